/* The HTTP client against our own server, and against addresses where nobody is. */
#include "net/http_client.h"

#include "net/http_server.h"
#include "net/loop.h"
#include "tests/support/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct world {
    struct exec *loop;
    struct http_client *client;
    struct http_server *server;
    _Atomic(struct http_request *) held;
    char base[64];
};

struct asked {
    struct world *w;
    struct http_ask ask;
    struct http_call *call;
    int err;
    long status;
    size_t body_bytes;
    char body[128];
    char text[HTTP_CLIENT_TEXT_BYTES];
    atomic_bool done;
};

static void answer(struct http_request *r, int status, const struct http_header *headers,
                   size_t header_count, const char *text)
{
    struct buf body = {0};
    (void)buf_append_text(&body, text);
    http_respond(r, &(struct http_answer){status, "text/plain", headers, header_count}, &body);
}

static void on_request(void *ctx, struct http_request *r)
{
    struct world *w = ctx;
    const char *path = http_request_path(r);
    char text[128];
    if (strcmp(path, "/echo") == 0) {
        const char *agent = http_request_header(r, "x-agent");
        struct bytes body = http_request_body(r);
        (void)snprintf(text, sizeof text, "%s %s %.*s", http_request_method(r), agent ? agent : "-",
                       (int)body.len, (const char *)body.ptr);
        answer(r, 200, NULL, 0, text);
    } else if (strcmp(path, "/turn") == 0) {
        static const struct http_header to[] = {{"Location", "/turn"}};
        answer(r, 302, to, 1, "");
    } else if (strcmp(path, "/moved") == 0) {
        static const struct http_header to[] = {{"Location", "/echo"}};
        answer(r, 302, to, 1, "");
    } else if (strcmp(path, "/never") == 0) {
        atomic_store(&w->held, r);
    } else {
        answer(r, 404, NULL, 0, "nothing here");
    }
}

static int client_open(void *ctx)
{
    struct world *w = ctx;
    struct diag diag = {0};
    return http_client_new(w->loop, &w->client, &diag);
}

static int client_close(void *ctx)
{
    struct world *w = ctx;
    http_client_free(w->client);
    return OK;
}

static void world_open(struct world *w)
{
    *w = (struct world){0};
    struct diag diag = {0};
    struct http_server_options o = {
        .address = "127.0.0.1:0", .key = "test", .on_request = on_request, .ctx = w};
    CHECK_OK(loop_new("client", &w->loop));
    CHECK_OK(http_server_start(&o, &w->server, &diag));
    CHECK_OK(exec_call(w->loop, client_open, w));
    (void)snprintf(w->base, sizeof w->base, "http://127.0.0.1:%u", http_server_port(w->server));
}

static void world_close(struct world *w)
{
    (void)exec_call(w->loop, client_close, w);
    if (w->held)
        answer(w->held, 200, NULL, 0, "late");
    http_server_stop(w->server);
    loop_free(w->loop);
}

static void on_done(void *ctx, const struct http_outcome *o)
{
    struct asked *a = ctx;
    a->err = o->err;
    a->status = o->status;
    a->body_bytes = o->body.len;
    (void)snprintf(a->body, sizeof a->body, "%.*s", (int)o->body.len, (const char *)o->body.ptr);
    (void)snprintf(a->text, sizeof a->text, "%s", o->text);
    atomic_store(&a->done, true);
}

static int send_run(void *ctx)
{
    struct asked *a = ctx;
    return http_client_send(a->w->client, &a->ask, on_done, a, &a->call);
}

static int cancel_run(void *ctx)
{
    struct asked *a = ctx;
    http_call_cancel(a->call);
    return OK;
}

/* Asks for path (or a whole URL) and waits. */
static void ask(struct world *w, struct asked *a, const char *path)
{
    char url[256];
    (void)snprintf(url, sizeof url, "%s%s", path[0] == '/' ? w->base : "", path);
    a->w = w;
    a->ask.url = url;
    CHECK_OK(exec_call(w->loop, send_run, a));
    CHECK_SOON(atomic_load(&a->done), 10000);
}

TEST(an_answer_comes_whole_and_redirects_are_followed)
{
    struct world world;
    struct world *w = &world;
    world_open(w);
    static const char *const headers[] = {"X-Agent: me"};
    struct asked a = {.ask = {.headers = headers, .header_count = 1}};
    ask(w, &a, "/echo");
    CHECK_EQ(a.err, OK);
    CHECK_EQ(a.status, 200);
    CHECK_STR(a.body, "GET me ");
    struct asked b = {.ask = {.method = "POST", .body = bytes_of("held", 4)}};
    ask(w, &b, "/echo");
    CHECK_STR(b.body, "POST - held");
    struct asked c = {0};
    ask(w, &c, "/moved");
    CHECK_STR(c.body, "GET - ");
    world_close(w);
}

TEST(errors_name_the_url)
{
    struct world world;
    struct world *w = &world;
    world_open(w);
    struct asked a = {.ask = {.shown = "http://mes/recipe"}};
    ask(w, &a, "/nothing");
    CHECK_EQ(a.err, ERR_NOT_FOUND);
    CHECK_EQ(a.status, 404);
    CHECK_STR(a.text, "status 404 from http://mes/recipe");
    struct asked b = {0};
    ask(w, &b, "http://127.0.0.1:1/x");
    CHECK_EQ(b.err, ERR_REFUSED);
    CHECK(strstr(b.text, "http://127.0.0.1:1/x") != NULL);
    struct asked c = {0};
    ask(w, &c, "http://no-such-host.invalid/x");
    CHECK_EQ(c.err, ERR_UNREACHABLE);
    CHECK_STR(c.text, "the host of http://no-such-host.invalid/x was not found");
    struct asked d = {0};
    ask(w, &d, "file:///etc/passwd");
    CHECK_EQ(d.err, ERR_INVALID);
    world_close(w);
}

TEST(limits_end_a_call)
{
    struct world world;
    struct world *w = &world;
    world_open(w);
    struct asked a = {.ask = {.answer_bytes_max = 3}};
    ask(w, &a, "/echo");
    CHECK_EQ(a.err, ERR_LIMIT);
    CHECK(strstr(a.text, "longer than 3 bytes") != NULL);
    struct asked b = {.ask = {.redirects_max = 2}};
    ask(w, &b, "/turn");
    CHECK_EQ(b.err, ERR_LIMIT);
    struct asked c = {.ask = {.timeout_ms = 50}};
    ask(w, &c, "/never");
    CHECK_EQ(c.err, ERR_TIMEOUT);
    CHECK(strstr(c.text, "within 0.05 s") != NULL);
    world_close(w);
}

TEST(a_cancelled_call_is_silent)
{
    struct world world;
    struct world *w = &world;
    world_open(w);
    struct asked a = {.w = w};
    char url[128];
    (void)snprintf(url, sizeof url, "%s/never", w->base);
    a.ask.url = url;
    CHECK_OK(exec_call(w->loop, send_run, &a));
    CHECK_OK(exec_call(w->loop, cancel_run, &a));
    struct asked b = {0};
    ask(w, &b, "/echo");
    CHECK(!atomic_load(&a.done));
    world_close(w);
}
