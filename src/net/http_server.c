/* libmicrohttpd behind http_server.h.
 *
 * A request passes through three hands: MHD's thread collects it, on_request takes it, and somebody
 * answers it, perhaps much later and elsewhere. In between the connection is suspended. "Answered"
 * and "suspended" change together under the server's mutex, so that an answer that comes while the
 * connection is just going to sleep wakes it, and so that stopping can answer what nobody has
 * answered: MHD insists that no connection is asleep when it ends.
 */
#include "net/http_server.h"

#include "base/log.h"
#include "net/http_priv.h"
#include "net/listener.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_DEFAULT        2
#define CONNS_MAX_DEFAULT      512
#define IDLE_TIMEOUT_S_DEFAULT 60
#define BODY_BYTES_MAX_DEFAULT (4u << 20)
#define THREAD_STACK_BYTES     (256u * 1024)

/* ------------------------------------------------------------------------------------- references
 */

struct http_server *http_server_ref(struct http_server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void http_server_unref(struct http_server *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}

void http_request_unref(struct http_request *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (r->response)
        MHD_destroy_response(r->response);
    buf_fini(&r->body);
    free(r->path);
    http_server_unref(r->server);
    free(r);
}

/* -------------------------------------------------------------------------------------- answering
 */

void http_answer_headers(struct MHD_Response *response, const struct http_answer *answer)
{
    if (answer->content_type)
        (void)MHD_add_response_header(response, "Content-Type", answer->content_type);
    for (size_t i = 0; i < answer->header_count; i++)
        (void)MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
}

/* Under the mutex. */
static bool http_request_settle(struct http_request *r, int status, struct MHD_Response *response)
{
    if (r->answered)
        return false;
    r->answered = true;
    r->status = status;
    r->response = response;
    if (r->suspended) {
        r->suspended = false;
        MHD_resume_connection(r->connection);
    }
    return true;
}

bool http_request_answer(struct http_request *r, int status, struct MHD_Response *response)
{
    struct http_server *s = r->server;
    (void)pthread_mutex_lock(&s->mutex);
    bool settled = http_request_settle(r, status, response);
    (void)pthread_mutex_unlock(&s->mutex);
    if (!settled && response)
        MHD_destroy_response(response);
    return settled;
}

static struct MHD_Response *http_response_of(struct buf *body)
{
    static const char nothing[1] = "";
    if (!body || body->failed || body->len == 0)
        return MHD_create_response_from_buffer(0, (void *)(uintptr_t)nothing,
                                               MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->len, body->ptr, MHD_RESPMEM_MUST_FREE);
    if (response)
        *body = (struct buf){0}; /* MHD frees the memory */
    return response;
}

void http_respond(struct http_request *r, const struct http_answer *answer, struct buf *body)
{
    bool failed = body && body->failed;
    struct MHD_Response *response = http_response_of(body);
    if (response)
        http_answer_headers(response, answer);
    /* Without a response MHD closes the connection: out of memory. */
    (void)http_request_answer(r, failed ? 500 : answer->status, response);
    if (body)
        buf_fini(body);
    http_request_unref(r);
}

void http_respond_file(struct http_request *r, const struct http_answer *answer, int fd,
                       uint64_t size)
{
    struct MHD_Response *response = MHD_create_response_from_fd64(size, fd);
    if (response)
        http_answer_headers(response, answer);
    else
        (void)close(fd);
    (void)http_request_answer(r, answer->status, response);
    http_request_unref(r);
}

/* --------------------------------------------------------------------------------------- receiving
 */

static void http_peer_read(struct MHD_Connection *connection, struct http_peer *out)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *sa = info ? info->client_addr : NULL;
    out->uid = (uid_t)-1;
    if (!sa)
        return;
    out->is_loopback = address_is_loopback(sa);
    out->is_unix = sa->sa_family == AF_UNIX;
    /* Of an unnamed unix socket MHD has the family alone, and no byte behind it. */
    if (out->is_unix)
        (void)snprintf(out->text, sizeof out->text, "unix");
    else
        address_from_sockaddr(sa, out->text);
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (out->is_unix && info &&
        getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        out->uid = cred.uid;
}

static struct http_request *http_request_new(struct http_server *s,
                                             struct MHD_Connection *connection, const char *url,
                                             const char *method)
{
    struct http_request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->path = strdup(url);
    if (!r->path) {
        free(r);
        return NULL;
    }
    atomic_init(&r->refs, 1);
    r->server = http_server_ref(s);
    r->connection = connection;
    (void)snprintf(r->method, sizeof r->method, "%s", method);
    http_peer_read(connection, &r->peer);
    (void)pthread_mutex_lock(&s->mutex);
    list_push_back(&s->requests, &r->link);
    (void)pthread_mutex_unlock(&s->mutex);
    return r;
}

static enum MHD_Result http_refuse(struct MHD_Connection *connection, int status, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", "application/problem+json");
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result http_refuse_size(struct MHD_Connection *connection)
{
    return http_refuse(connection, 413,
                       "{\"type\":\"about:blank\",\"title\":\"a limit was reached\",\"status\":413,"
                       "\"detail\":\"the body of the request is too large\"}");
}

/* True if the header announces a body above the limit. */
static bool http_body_is_announced_too_large(const struct http_server *s,
                                             struct MHD_Connection *connection)
{
    const char *text =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return text && strtoull(text, NULL, 10) > s->options.body_bytes_max;
}

static void http_body_append(struct http_request *r, const char *data, size_t *size)
{
    /* Too large: the rest is read and thrown away; the answer comes at the end. */
    if (r->body.len + *size > r->server->options.body_bytes_max)
        r->too_large = true;
    else
        (void)buf_append(&r->body, data, *size);
    *size = 0;
}

static enum MHD_Result http_queue(struct http_request *r)
{
    struct MHD_Response *response = r->response;
    r->response = NULL;
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* The request is whole: hands it over and goes to sleep unless it was answered at once. */
static enum MHD_Result http_hand_over(struct http_request *r)
{
    struct http_server *s = r->server;
    if (buf_pad(&r->body))
        return MHD_NO;
    (void)pthread_mutex_lock(&s->mutex);
    bool stopping = s->stopping;
    r->handed = !stopping;
    (void)pthread_mutex_unlock(&s->mutex);
    if (stopping)
        return MHD_NO;
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    s->options.on_request(s->options.ctx, r);
    (void)pthread_mutex_lock(&s->mutex);
    if (!r->answered) {
        MHD_suspend_connection(r->connection);
        r->suspended = true;
    }
    bool answered = r->answered;
    (void)pthread_mutex_unlock(&s->mutex);
    return answered ? http_queue(r) : MHD_YES;
}

/* NOLINTNEXTLINE(readability-function-size): MHD's own signature */
static enum MHD_Result http_on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                      const char *method, const char *version,
                                      const char *upload_data, size_t *upload_data_size,
                                      void **con_cls)
{
    struct http_server *s = cls;
    struct http_request *r = *con_cls;
    (void)version;
    if (!r) {
        if (strlen(method) > HTTP_METHOD_BYTES_MAX)
            return MHD_NO;
        *con_cls = http_request_new(s, connection, url, method);
        if (!*con_cls)
            return MHD_NO;
        return http_body_is_announced_too_large(s, connection) ? http_refuse_size(connection)
                                                               : MHD_YES;
    }
    if (*upload_data_size) {
        http_body_append(r, upload_data, upload_data_size);
        return MHD_YES;
    }
    if (r->too_large)
        return http_refuse_size(connection);
    (void)pthread_mutex_lock(&s->mutex);
    bool answered = r->answered;
    (void)pthread_mutex_unlock(&s->mutex);
    return answered ? http_queue(r) : http_hand_over(r);
}

static void http_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                              enum MHD_RequestTerminationCode code)
{
    struct http_server *s = cls;
    struct http_request *r = *con_cls;
    (void)connection;
    (void)code;
    if (!r)
        return;
    *con_cls = NULL;
    (void)pthread_mutex_lock(&s->mutex);
    list_remove(&r->link);
    r->answered = true; /* what comes now is too late */
    (void)pthread_mutex_unlock(&s->mutex);
    http_request_unref(r);
}

/* ------------------------------------------------------------------------------------ the
 * request's
 */

const char *http_request_method(const struct http_request *r)
{
    return r->method;
}

const char *http_request_path(const struct http_request *r)
{
    return r->path;
}

struct bytes http_request_body(const struct http_request *r)
{
    return buf_bytes(&r->body);
}

/* A suspended connection is not looked at by MHD. */
bool http_request_is_gone(struct http_request *r)
{
    struct http_server *s = r->server;
    (void)pthread_mutex_lock(&s->mutex);
    bool gone = r->answered;
    const union MHD_ConnectionInfo *info =
        r->suspended ? MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD)
                     : NULL;
    if (info) {
        struct pollfd at = {.fd = info->connect_fd, .events = POLLRDHUP};
        gone = poll(&at, 1, 0) > 0 && (at.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    }
    (void)pthread_mutex_unlock(&s->mutex);
    return gone;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *http_request_cookie(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_COOKIE_KIND, name);
}

struct query_walk {
    int (*fn)(void *ctx, struct bytes name, struct bytes value);
    void *ctx;
    int result;
};

static enum MHD_Result http_on_query(void *cls, enum MHD_ValueKind kind, const char *key,
                                     size_t key_size, const char *value, size_t value_size)
{
    struct query_walk *walk = cls;
    (void)kind;
    walk->result =
        walk->fn(walk->ctx, bytes_of(key, key_size), bytes_of(value, value ? value_size : 0));
    return walk->result ? MHD_NO : MHD_YES;
}

int http_request_query_each(const struct http_request *r,
                            int (*fn)(void *ctx, struct bytes name, struct bytes value), void *ctx)
{
    struct query_walk walk = {fn, ctx, 0};
    (void)MHD_get_connection_values_n(r->connection, MHD_GET_ARGUMENT_KIND, http_on_query, &walk);
    return walk.result;
}

const struct http_peer *http_request_peer(const struct http_request *r)
{
    return &r->peer;
}

/* ------------------------------------------------------------------------------------ start and
 * stop
 */

__attribute__((format(printf, 2, 0))) static void http_on_log(void *cls, const char *format,
                                                              va_list args)
{
    char text[256];
    (void)cls;
    int len = vsnprintf(text, sizeof text, format, args);
    while (len > 0 && len < (int)sizeof text && text[len - 1] == '\n')
        text[--len] = 0;
    log_debug("http", "%s", text);
}

static void http_server_defaults(struct http_server_options *o)
{
    if (!o->threads)
        o->threads = THREADS_DEFAULT;
    if (!o->conns_max)
        o->conns_max = CONNS_MAX_DEFAULT;
    if (!o->idle_timeout_s)
        o->idle_timeout_s = IDLE_TIMEOUT_S_DEFAULT;
    if (!o->body_bytes_max)
        o->body_bytes_max = BODY_BYTES_MAX_DEFAULT;
}

static struct MHD_Daemon *http_daemon_start(struct http_server *s, int fd)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem pool[] = {
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)s->options.threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem *pool_options = s->options.threads > 1 ? pool : pool + 1;
    return MHD_start_daemon(flags, 0, NULL, NULL, http_on_access, s,                  /* */
                            MHD_OPTION_EXTERNAL_LOGGER, http_on_log, NULL,            /* */
                            MHD_OPTION_LISTEN_SOCKET, fd,                             /* */
                            MHD_OPTION_ARRAY, pool_options,                           /* */
                            MHD_OPTION_CONNECTION_LIMIT, s->options.conns_max,        /* */
                            MHD_OPTION_CONNECTION_TIMEOUT, s->options.idle_timeout_s, /* */
                            MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES, /* */
                            MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, s,        /* */
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

int http_server_start(const struct http_server_options *options, struct http_server **ret,
                      struct diag *diag)
{
    struct http_server *s = calloc(1, sizeof *s);
    int fd = -1;
    if (!s)
        return ERR_NOMEM;
    atomic_init(&s->refs, 1);
    s->options = *options;
    http_server_defaults(&s->options);
    list_init(&s->requests);
    list_init(&s->streams);
    (void)pthread_mutex_init(&s->mutex, NULL);
    struct listener_options listen = {.key = options->key};
    int err = listener_socket(options->address, &listen, &fd, s->address, diag);
    if (!err) {
        s->daemon = http_daemon_start(s, fd);
        if (!s->daemon) {
            (void)close(fd);
            err = diag_set(diag, ERR_IO, 0, 0, "the HTTP server on %s could not start its threads",
                           s->address);
        }
    }
    if (err) {
        http_server_unref(s);
        return err;
    }
    *ret = s;
    return OK;
}

const char *http_server_address(const struct http_server *s)
{
    return s->address;
}

uint16_t http_server_port(const struct http_server *s)
{
    struct address a;
    return address_parse(s->address, &a, NULL) ? 0 : a.port;
}

/* Answers and ends all that is open, so that nothing is asleep when MHD ends. */
static void http_server_sweep(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    LIST_FOR (link, &s->requests) {
        struct http_request *r = CONTAINER_OF(link, struct http_request, link);
        if (r->handed && !r->answered)
            (void)http_request_settle(r, 503, http_response_of(NULL));
    }
    LIST_FOR (link, &s->streams) {
        http_stream_abandon(http_stream_of(link));
    }
    (void)pthread_mutex_unlock(&s->mutex);
}

void http_server_stop(struct http_server *s)
{
    if (!s)
        return;
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    http_server_sweep(s);
    MHD_stop_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        (void)close(fd);
    if (strncmp(s->address, "unix:", 5) == 0)
        (void)unlink(s->address + 5);
    http_server_unref(s);
}
