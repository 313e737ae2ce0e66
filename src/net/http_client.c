/* libcurl's multi interface on a loop. See http_client.h.
 *
 * libcurl tells by two callbacks what it waits for (sockets, one timer), and is told what happened
 * by curl_multi_socket_action. A call is finished only after that returned, so that whoever hears
 * of it may send and cancel as he likes.
 *
 * libcurl is loaded at run time: linked, it and what it brings (two dozen libraries) would cost
 * every edge some megabytes that most never use.
 */
#include "net/http_client.h"

#include "base/list.h"
#include "net/net_priv.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <curl/curl.h>

#define CONNECTIONS_KEPT 16L

/* X(function of libcurl) */
#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_global_init)                                                                            \
    X(curl_easy_init)                                                                              \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_multi_init)                                                                             \
    X(curl_multi_setopt)                                                                           \
    X(curl_multi_add_handle)                                                                       \
    X(curl_multi_remove_handle)                                                                    \
    X(curl_multi_socket_action)                                                                    \
    X(curl_multi_info_read)                                                                        \
    X(curl_multi_assign)                                                                           \
    X(curl_multi_cleanup)

struct curl_api {
#define CURL_MEMBER(name) __typeof__(name) *f_##name;
    CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

static const struct {
    const char *name;
    size_t offset;
} functions[] = {

#define CURL_NAME(name) {#name, offsetof(struct curl_api, f_##name)},
    CURL_FUNCTIONS(CURL_NAME)
#undef CURL_NAME
};

struct http_client {
    struct exec *exec;
    struct curl_api api;
    CURLM *multi;
    struct exec_timer timer;
    struct list calls;
    uint32_t call_count;
};

/* A socket that libcurl waits for. */
struct http_socket {
    struct http_client *client;
    curl_socket_t fd;
    struct watch *watch;
};

struct http_call {
    struct list link;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    char *shown;
    struct buf body;
    size_t body_bytes_max;
    bool too_long;
    int64_t timeout_ms;
    http_done_fn done;
    void *ctx;
    char error[CURL_ERROR_SIZE];
    char text[HTTP_CLIENT_TEXT_BYTES];
};

/* ------------------------------------------------------------------------------------- libcurl */

static int api_load(struct curl_api *api, struct diag *diag)
{
    void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib)
        lib = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib) {
        return diag_set(diag, ERR_NOT_FOUND, 0, 0,
                        "libcurl, which HTTP sources need, cannot be loaded (%s): install the "
                        "package libcurl4",
                        dlerror());
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *function = dlsym(lib, functions[i].name);
        if (!function) {
            return diag_set(diag, ERR_VERSION, 0, 0,
                            "the installed libcurl has no %s: version 7.85 is needed",
                            functions[i].name);
        }
        memcpy((uint8_t *)api + functions[i].offset, &function, sizeof function);
    }
    return api->f_curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? OK : ERR_NOMEM;
}

/* --------------------------------------------------------------------------------------- outcome
 */

static void call_free(struct http_call *call)
{
    struct http_client *c = call->client;
    list_remove(&call->link);
    c->call_count--;
    if (call->easy) {
        (void)c->api.f_curl_multi_remove_handle(c->multi, call->easy);
        c->api.f_curl_easy_cleanup(call->easy);
    }
    c->api.f_curl_slist_free_all(call->headers);
    buf_fini(&call->body);
    free(call->shown);
    free(call);
}

static __attribute__((format(printf, 3, 4))) int call_say(struct http_call *call, int err,
                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(call->text, sizeof call->text, format, args);
    va_end(args);
    return err;
}

static int status_error(struct http_call *call, long status)
{
    static const struct {
        long status;
        int err;
    } known[] = {{401, ERR_AUTH}, {403, ERR_DENIED}, {404, ERR_NOT_FOUND}, {410, ERR_NOT_FOUND}};

    int err = ERR_PROTOCOL;
    if (status >= 200 && status < 300)
        return OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status)
            err = known[i].err;
    return call_say(call, err, "status %ld from %s", status, call->shown);
}

struct curl_problem {
    CURLcode code;
    int err;
    const char *format; /* of the URL */
};

static const struct curl_problem problems[] = {
    {CURLE_COULDNT_RESOLVE_HOST, ERR_UNREACHABLE, "the host of %s was not found"},
    {CURLE_COULDNT_CONNECT, ERR_REFUSED,
     "nobody answers at %s: connection refused or no way there"},
    {CURLE_TOO_MANY_REDIRECTS, ERR_LIMIT, "%s redirects too often"},
    {CURLE_URL_MALFORMAT, ERR_INVALID, "%s is no URL"},
    {CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID, "%s (or where it redirects to) is not http or https"},
    {CURLE_GOT_NOTHING, ERR_CLOSED, "%s closed the connection without an answer"},
    {CURLE_PEER_FAILED_VERIFICATION, ERR_AUTH,
     "the certificate of %s is not signed by an authority known here"},
};

static int code_error(struct http_call *call, CURLcode code)
{
    if (call->too_long)
        return call_say(call, ERR_LIMIT, "the answer of %s is longer than %zu bytes", call->shown,
                        call->body_bytes_max);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return call_say(call, ERR_TIMEOUT, "no answer from %s within %g s", call->shown,
                        (double)call->timeout_ms / 1000);
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++) {
        if (problems[i].code != code)
            continue;
        struct buf text = {0};
        const char *at = strstr(problems[i].format, "%s");
        assert(at);
        (void)buf_printf(&text, "%.*s%s%s", (int)(at - problems[i].format), problems[i].format,
                         call->shown, at + 2);
        int err = call_say(call, problems[i].err, "%s", buf_text(&text));
        buf_fini(&text);
        return err;
    }
    return call_say(call, ERR_IO, "%s: %s", call->shown,
                    call->error[0] ? call->error : call->client->api.f_curl_easy_strerror(code));
}

static void call_finish(struct http_call *call, CURLcode code)
{
    struct http_client *c = call->client;
    struct http_outcome out = {.text = call->text};
    int padded = buf_pad(&call->body);
    (void)c->api.f_curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &out.status);
    if (code != CURLE_OK)
        out.err = code_error(call, code);
    else
        out.err = padded ? padded : status_error(call, out.status);
    out.body = buf_bytes(&call->body);
    call->done(call->ctx, &out);
    call_free(call);
}

static void client_reap(struct http_client *c)
{
    CURLMsg *msg;
    int left;
    while ((msg = c->api.f_curl_multi_info_read(c->multi, &left)) != NULL) {
        struct http_call *call = NULL;
        CURLcode code = msg->data.result;
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)c->api.f_curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call_finish(call, code);
    }
}

/* --------------------------------------------------------------------------------------- waiting
 */

static void socket_on_ready(void *ctx, int err, int events)
{
    const struct http_socket *s = ctx;
    struct http_client *c = s->client;
    int what = err ? CURL_CSELECT_ERR : 0;
    int running;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    (void)c->api.f_curl_multi_socket_action(c->multi, s->fd, what, &running);
    client_reap(c);
}

static void timer_run(struct exec_timer *timer)
{
    struct http_client *c = CONTAINER_OF(timer, struct http_client, timer);
    int running;
    (void)c->api.f_curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    client_reap(c);
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *c = ctx;
    (void)multi;
    if (timeout_ms < 0)
        exec_timer_stop(c->exec, &c->timer);
    else if (exec_timer_start(c->exec, &c->timer, exec_now_us(c->exec) + timeout_ms * 1000))
        return -1;
    return 0;
}

static struct http_socket *socket_open(struct http_client *c, curl_socket_t fd)
{
    struct http_socket *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->client = c;
    s->fd = fd;
    if (watch_new(loop_of(c->exec), fd, socket_on_ready, s, &s->watch)) {
        free(s);
        return NULL;
    }
    (void)c->api.f_curl_multi_assign(c->multi, fd, s);
    return s;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket)
{
    struct http_client *c = ctx;
    struct http_socket *s = socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            watch_close(s->watch);
            (void)c->api.f_curl_multi_assign(c->multi, fd, NULL);
            free(s);
        }
        return 0;
    }
    if (!s)
        s = socket_open(c, fd);
    if (!s)
        return -1;
    watch_set(s->watch,
              (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0));
    return 0;
}

/* ------------------------------------------------------------------------------------------ send
 */

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http_call *call = ctx;
    size_t bytes = size * count;
    call->too_long = bytes > call->body_bytes_max - call->body.len;
    if (call->too_long || buf_append(&call->body, data, bytes) != OK)
        return 0;
    return bytes;
}

static int headers_add(struct http_call *call, const struct http_ask *ask)
{
    for (size_t i = 0; i < ask->header_count; i++) {
        struct curl_slist *more =
            call->client->api.f_curl_slist_append(call->headers, ask->headers[i]);
        if (!more)
            return ERR_NOMEM;
        call->headers = more;
    }
    return OK;
}

static void body_set(struct http_call *call, const struct http_ask *ask)
{
    const struct curl_api *api = &call->client->api;
    if (ask->body.len) {
        (void)api->f_curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                      (curl_off_t)ask->body.len);
        (void)api->f_curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS, ask->body.ptr);
    }
    if (ask->method && strcasecmp(ask->method, "GET") != 0)
        (void)api->f_curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, ask->method);
}

static int call_set(struct http_call *call, const struct http_ask *ask)
{
    const struct curl_api *api = &call->client->api;
    CURL *easy = call->easy;
    long redirects = ask->redirects_max ? (long)ask->redirects_max : HTTP_CLIENT_REDIRECTS_MAX;
    (void)api->f_curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_MAXREDIRS, redirects);
    (void)api->f_curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    (void)api->f_curl_easy_setopt(easy, CURLOPT_USERAGENT, "lotline/" LOTLINE_VERSION);
    /* Not through whatever proxy the environment names: a plant's servers are near. */
    (void)api->f_curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    if (api->f_curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK)
        return ERR_VERSION;
    if (api->f_curl_easy_setopt(easy, CURLOPT_URL, ask->url) != CURLE_OK)
        return ERR_NOMEM;
    body_set(call, ask);
    int err = headers_add(call, ask);
    if (!err)
        (void)api->f_curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    return err;
}

static int call_new(struct http_client *c, const struct http_ask *ask, struct http_call **ret)
{
    struct http_call *call = calloc(1, sizeof *call);
    if (!call)
        return ERR_NOMEM;
    list_push_back(&c->calls, &call->link);
    c->call_count++;
    call->client = c;
    call->shown = strdup(ask->shown ? ask->shown : ask->url);
    call->body_bytes_max = ask->answer_bytes_max ? ask->answer_bytes_max : HTTP_CLIENT_ANSWER_BYTES;
    call->timeout_ms = ask->timeout_ms ? ask->timeout_ms : HTTP_CLIENT_TIMEOUT_MS;
    call->easy = c->api.f_curl_easy_init();
    int err = call->shown && call->easy ? call_set(call, ask) : ERR_NOMEM;
    if (err) {
        call_free(call);
        return err;
    }
    *ret = call;
    return OK;
}

int http_client_send(struct http_client *c, const struct http_ask *ask, http_done_fn done,
                     void *ctx, struct http_call **ret)
{
    struct http_call *call = NULL;
    assert(exec_is_current(c->exec));
    if (c->call_count >= HTTP_CLIENT_CALLS_MAX)
        return ERR_LIMIT;
    int err = call_new(c, ask, &call);
    if (err)
        return err;
    call->done = done;
    call->ctx = ctx;
    if (c->api.f_curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
        call_free(call);
        return ERR_NOMEM;
    }
    if (ret)
        *ret = call;
    return OK;
}

void http_call_cancel(struct http_call *call)
{
    call_free(call);
}

/* ------------------------------------------------------------------------------------------ life
 */

int http_client_new(struct exec *loop, struct http_client **ret, struct diag *diag)
{
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->exec = loop;
    list_init(&c->calls);
    exec_timer_init(&c->timer, timer_run);
    int err = api_load(&c->api, diag);
    if (!err) {
        assert(c->api.f_curl_multi_init);
        c->multi = c->api.f_curl_multi_init();
        err = c->multi ? OK : ERR_NOMEM;
    }
    if (err) {
        free(c);
        return err;
    }
    (void)c->api.f_curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)c->api.f_curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)c->api.f_curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)c->api.f_curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)c->api.f_curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    *ret = c;
    return OK;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    struct list *link;
    while ((link = list_pop_front(&c->calls)) != NULL)
        call_free(CONTAINER_OF(link, struct http_call, link));
    (void)c->api.f_curl_multi_cleanup(c->multi);
    exec_timer_stop(c->exec, &c->timer);
    free(c);
}
