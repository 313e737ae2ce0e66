/* The HTTP server asked by plain sockets. */
#include "net/http_server.h"

#include "base/exec.h"
#include "base/list.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
    struct http_server *server;
    struct exec *worker;
    struct exec_task later;
    _Atomic(struct http_request *) waiting;
    _Atomic(struct http_stream *) stream;
    atomic_int closed;
};

static void answer_text(struct http_request *r, int status, const char *text)
{
    struct buf body = {0};
    (void)buf_append_text(&body, text);
    static const struct http_header headers[] = {{"X-Test", "yes"}};
    struct http_answer answer = {status, "text/plain", headers, 1};
    http_respond(r, &answer, &body);
}

static void later_run(struct exec_task *task)
{
    struct world *w = CONTAINER_OF(task, struct world, later);
    answer_text(atomic_load(&w->waiting), 200, "later");
}

static int add_query(void *ctx, struct bytes name, struct bytes value)
{
    return buf_printf(ctx, "[%.*s=%.*s]", (int)name.len, (const char *)name.ptr, (int)value.len,
                      (const char *)value.ptr);
}

static void on_stream_close(void *ctx)
{
    struct world *w = ctx;
    atomic_fetch_add(&w->closed, 1);
}

static void answer_echo(struct http_request *r)
{
    struct buf text = {0};
    const char *agent = http_request_header(r, "x-agent");
    const char *cookie = http_request_cookie(r, "session");
    (void)buf_printf(&text, "%s %s %s %s %zu ", http_request_method(r), http_request_path(r),
                     agent ? agent : "-", cookie ? cookie : "-", http_request_body(r).len);
    (void)http_request_query_each(r, add_query, &text);
    answer_text(r, 200, buf_text(&text));
    buf_fini(&text);
}

static void on_request(void *ctx, struct http_request *r)
{
    struct world *w = ctx;
    const char *path = http_request_path(r);
    if (strcmp(path, "/later") == 0) {
        atomic_store(&w->waiting, r);
        (void)exec_post(w->worker, &w->later);
    } else if (strcmp(path, "/never") == 0) {
        atomic_store(&w->waiting, r);
    } else if (strcmp(path, "/stream") == 0) {
        struct http_answer answer = {200, "text/event-stream", NULL, 0};
        struct http_stream_options options = {100000, w, on_stream_close};
        struct http_stream *s = NULL;
        if (http_respond_stream(r, &answer, &options, &s))
            answer_text(r, 500, "no stream");
        else
            atomic_store(&w->stream, s);
    } else if (strcmp(path, "/uid") == 0) {
        char text[32];
        (void)snprintf(text, sizeof text, "uid %u",
                       http_request_peer(r)->is_unix ? http_request_peer(r)->uid : 99999);
        answer_text(r, 200, text);
    } else {
        answer_echo(r);
    }
}

static void world_open(struct world *w, const char *address)
{
    *w = (struct world){0};
    CHECK_OK(exec_thread_new("worker", 0, &w->worker));
    exec_task_init(&w->later, later_run);
    struct http_server_options options = {
        .address = address, .body_bytes_max = 100000, .on_request = on_request, .ctx = w};
    CHECK_OK(http_server_start(&options, &w->server, NULL));
}

static void world_close(struct world *w)
{
    http_server_stop(w->server);
    exec_thread_free(w->worker);
}

/* ----------------------------------------------------------------------------------------- client
 */

static int client_open(const struct world *w)
{
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    CHECK_OK(address_parse(http_server_address(w->server), &a, NULL));
    CHECK_OK(address_to_sockaddr(&a, &sa, &len));
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (const struct sockaddr *)&sa, len), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    size_t len = strlen(text);
    CHECK_EQ(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Reads until `until` was seen (or, when it is NULL, until the end). */
static void client_read(int fd, const char *until, struct buf *out)
{
    while (!until || !strstr(buf_text(out), until)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK(poll(&p, 1, 10000) == 1);
        uint8_t *at = buf_reserve(out, 4096);
        ssize_t got = recv(fd, at, 4096, 0);
        if (got <= 0) {
            CHECK(until == NULL);
            return;
        }
        out->len += (size_t)got;
    }
}

static void check_answer(const struct world *w, const char *request, const char *status,
                         const char *body)
{
    struct buf out = {0};
    int fd = client_open(w);
    client_send(fd, request);
    client_read(fd, NULL, &out);
    CHECK(strstr(buf_text(&out), status) == buf_text(&out));
    CHECK(strstr(buf_text(&out), body) != NULL);
    buf_fini(&out);
    (void)close(fd);
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

TEST(a_request_is_handed_over_whole)
{
    struct world w;
    world_open(&w, "127.0.0.1:0");
    check_answer(&w, "GET /a%20b?x=1&y=%2Fz&flag HTTP/1.1\r\n" CLOSE "X-Agent: me\r\n\r\n",
                 "HTTP/1.1 200 OK", "GET /a b me - 0 [x=1][y=/z][flag=]");
    check_answer(&w,
                 "POST /p HTTP/1.1\r\n" CLOSE "Cookie: a=b; session=s3\r\nContent-Length: 5\r\n"
                 "\r\nhello",
                 "HTTP/1.1 200 OK", "POST /p - s3 5 ");
    check_answer(&w, "GET / HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 200 OK", "X-Test: yes");
    world_close(&w);
}

TEST(an_answer_may_come_later_from_another_thread)
{
    struct world w;
    world_open(&w, "127.0.0.1:0");
    for (int i = 0; i < 100; i++)
        check_answer(&w, "GET /later HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 200 OK", "later");
    world_close(&w);
}

TEST(a_body_above_the_limit_is_refused)
{
    struct world w;
    world_open(&w, "127.0.0.1:0");
    check_answer(&w, "POST /p HTTP/1.1\r\n" CLOSE "Content-Length: 100001\r\n\r\n", "HTTP/1.1 413",
                 "too large");
    struct buf chunked = {0};
    (void)buf_append_text(&chunked,
                          "POST /p HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 30; i++) {
        (void)buf_append_text(&chunked, "1000\r\n");
        memset(buf_extend(&chunked, 4096), 'x', 4096);
        (void)buf_append_text(&chunked, "\r\n");
    }
    (void)buf_append_text(&chunked, "0\r\n\r\n");
    check_answer(&w, buf_text(&chunked), "HTTP/1.1 413", "too large");
    buf_fini(&chunked);
    world_close(&w);
}

TEST(a_unix_client_is_known_by_its_user)
{
    char address[ADDRESS_TEXT_BYTES_MAX];
    char expected[32];
    struct world w;
    (void)snprintf(address, sizeof address, "unix:%s/http.sock", check_folder());
    (void)snprintf(expected, sizeof expected, "uid %u", getuid());
    world_open(&w, address);
    check_answer(&w, "GET /uid HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 200 OK", expected);
    world_close(&w);
    CHECK_EQ(access(address + 5, F_OK), -1);
}

static struct http_stream *stream_of(struct world *w)
{
    CHECK_SOON(atomic_load(&w->stream) != NULL, 5000);
    return atomic_load(&w->stream);
}

TEST(a_stream_brings_messages_as_they_come_and_ends)
{
    struct world w;
    struct buf out = {0};
    world_open(&w, "127.0.0.1:0");
    int fd = client_open(&w);
    client_send(fd, "GET /stream HTTP/1.1\r\n" CLOSE "\r\n");
    struct http_stream *s = stream_of(&w);
    client_read(fd, "\r\n\r\n", &out);
    for (int i = 0; i < 20; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "m%d.", i);
        CHECK_OK(http_stream_write(s, 0, bytes_of(text, (size_t)len)));
        client_read(fd, text, &out);
    }
    CHECK_OK(http_stream_write(s, 0, bytes_of_text("last.")));
    http_stream_end(s);
    http_stream_end(s);
    CHECK_ERR(http_stream_write(s, 0, bytes_of_text("late")), ERR_CLOSED);
    client_read(fd, NULL, &out);
    CHECK(strstr(buf_text(&out), "last.") != NULL);
    CHECK_SOON(atomic_load(&w.closed) == 1, 5000);
    CHECK_EQ(http_stream_dropped(s), 0);
    http_stream_unref(s);
    (void)close(fd);
    buf_fini(&out);
    world_close(&w);
}

/* A browser that does not read: what it will get in the end is the newest of each key, and the rest
 * is counted. */
TEST(a_slow_client_gets_the_newest_and_the_rest_is_counted)
{
    struct world w;
    world_open(&w, "127.0.0.1:0");
    int fd = client_open(&w);
    client_send(fd, "GET /stream HTTP/1.1\r\n" CLOSE "\r\n");
    struct http_stream *s = stream_of(&w);
    char block[4000];
    memset(block, 'b', sizeof block);
    struct buf large = {0};
    CHECK(buf_extend(&large, 100001) != NULL);
    CHECK_ERR(http_stream_write(s, 0, buf_bytes(&large)), ERR_LIMIT);
    buf_fini(&large);
    while (http_stream_dropped(s) < 100) {
        CHECK_OK(http_stream_write(s, 0, bytes_of(block, sizeof block)));
        CHECK(http_stream_queued_bytes(s) <= 100000);
    }
    uint64_t dropped = http_stream_dropped(s);
    for (int i = 0; i < 50; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "<v%d>", i);
        CHECK_OK(http_stream_write(s, 7, bytes_of(text, (size_t)len)));
    }
    uint64_t replaced = http_stream_dropped(s) - dropped;
    http_stream_end(s);
    struct buf out = {0};
    client_read(fd, NULL, &out);
    CHECK(strstr(buf_text(&out), "<v49>") != NULL);
    /* The kernel may take some of what waits, and a number with it, while these are written. */
    uint64_t came = 0;
    for (const char *at = buf_text(&out); (at = strstr(at, "<v")) != NULL; at++)
        came++;
    CHECK(replaced > 0 && came + replaced >= 50);
    buf_fini(&out);
    CHECK_SOON(atomic_load(&w.closed) == 1, 5000);
    http_stream_unref(s);
    (void)close(fd);
    world_close(&w);
}

TEST(a_client_that_leaves_is_noticed_at_the_next_message)
{
    struct world w;
    struct buf out = {0};
    world_open(&w, "127.0.0.1:0");
    int fd = client_open(&w);
    client_send(fd, "GET /stream HTTP/1.1\r\n" CLOSE "\r\n");
    struct http_stream *s = stream_of(&w);
    CHECK_OK(http_stream_write(s, 0, bytes_of_text("one.")));
    client_read(fd, "one.", &out);
    (void)close(fd);
    while (atomic_load(&w.closed) == 0)
        (void)http_stream_write(s, 1, bytes_of_text("ping"));
    CHECK_ERR(http_stream_write(s, 0, bytes_of_text("gone")), ERR_CLOSED);
    http_stream_unref(s);
    buf_fini(&out);
    world_close(&w);
}

TEST(stopping_answers_what_waits_and_ends_streams)
{
    struct world w;
    struct buf out = {0};
    world_open(&w, "127.0.0.1:0");
    int waiting = client_open(&w);
    int streaming = client_open(&w);
    int idle = client_open(&w);
    client_send(waiting, "GET /never HTTP/1.1\r\n" CLOSE "\r\n");
    client_send(streaming, "GET /stream HTTP/1.1\r\n" CLOSE "\r\n");
    client_send(idle, "POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab");
    struct http_stream *s = stream_of(&w);
    CHECK_SOON(atomic_load(&w.waiting) != NULL, 5000);
    http_server_stop(w.server);
    /* Let go of later than the server: harmless. */
    answer_text(atomic_load(&w.waiting), 200, "too late");
    CHECK_ERR(http_stream_write(s, 0, bytes_of_text("x")), ERR_CLOSED);
    http_stream_end(s);
    http_stream_unref(s);
    CHECK_EQ(atomic_load(&w.closed), 1);
    client_read(waiting, NULL, &out);
    CHECK(strstr(buf_text(&out), "too late") == NULL);
    buf_fini(&out);
    (void)close(waiting);
    (void)close(streaming);
    (void)close(idle);
    exec_thread_free(w.worker);
}

TEST(a_client_that_leaves_before_the_answer_is_gone)
{
    struct world w;
    world_open(&w, "127.0.0.1:0");
    int client = client_open(&w);
    client_send(client, "GET /never HTTP/1.1\r\n" CLOSE "\r\n");
    CHECK_SOON(atomic_load(&w.waiting) != NULL, 5000);
    CHECK(!http_request_is_gone(atomic_load(&w.waiting)));
    (void)close(client);
    CHECK_SOON(http_request_is_gone(atomic_load(&w.waiting)), 5000);
    http_server_stop(w.server);
    CHECK(http_request_is_gone(atomic_load(&w.waiting)));
    answer_text(atomic_load(&w.waiting), 200, "too late");
    exec_thread_free(w.worker);
}

TEST(a_port_in_use_is_said_before_anything_runs)
{
    struct world w;
    struct http_server *second = NULL;
    struct diag diag = {0};
    world_open(&w, "127.0.0.1:0");
    struct http_server_options options = {.address = http_server_address(w.server),
                                          .key = "listen.http",
                                          .on_request = on_request,
                                          .ctx = &w};
    CHECK_ERR(http_server_start(&options, &second, &diag), ERR_IN_USE);
    CHECK(strstr(diag.text, "is in use") && strstr(diag.text, "listen.http"));
    world_close(&w);
}
