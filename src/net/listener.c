/* Listening sockets. See listener.h. */
#include "net/listener.h"

#include "base/clock.h"
#include "net/address.h"
#include "net/net_priv.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG_DEFAULT   511
#define CONNS_MAX_DEFAULT 65536
#define UNIX_MODE_DEFAULT 0600
#define ACCEPTS_MAX       64             /* in one turn */
#define ACCEPT_REST_US    (100 * 1000LL) /* when file descriptors ran out */

struct listener {
    struct loop *loop;
    struct loop_end end;
    struct watch *watch;
    struct exec_timer rest; /* until then nothing is accepted */
    int fd;
    uint32_t conns;      /* accepted and alive */
    uint32_t references; /* the owner, and each conn alive */
    uint64_t refused;
    struct listener_options options;
    void (*on_accept)(void *ctx, struct conn *c);
    void *ctx;
    char address[ADDRESS_TEXT_BYTES_MAX];
    char path[ADDRESS_PATH_BYTES_MAX + 1]; /* to remove at the end; "" for tcp */
};

/* ---------------------------------------------------------------------------------------- binding
 */

static int listen_failed(int err, const struct address *a, const char *key, struct diag *diag)
{
    const char *where = key ? key : "this listener";
    char text[ADDRESS_TEXT_BYTES_MAX];
    address_format(a, text);
    if (a->kind == ADDRESS_UNIX)
        return diag_set(diag, err, 0, 0, "cannot listen on %s: %s", text,
                        err == ERR_IN_USE ? "another process listens on it" : err_text(err));
    const char *host = a->host[0] ? a->host : "any address";
    switch (err) {
    case ERR_IN_USE:
        return diag_set(diag, err, 0, 0,
                        "port %u on %s is in use; set another one at %s, or stop the program that "
                        "has it (ss -ltnp 'sport = :%u' names it)",
                        a->port, host, where, a->port);
    case ERR_DENIED:
        return diag_set(diag, err, 0, 0,
                        "port %u on %s may not be used by this user; set one above 1023 at %s",
                        a->port, host, where);
    case ERR_UNREACHABLE:
        return diag_set(diag, err, 0, 0,
                        "%s is not an address of this machine; set one of its own at %s", host,
                        where);
    default:
        return diag_set(diag, err, 0, 0, "cannot listen on %s: %s", text, err_text(err));
    }
}

/* A socket file may be left over from a process that was killed: then nobody answers there. */
static int unix_clear(const struct sockaddr_storage *addr, socklen_t len)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
    struct stat st;
    if (lstat(un->sun_path, &st))
        return OK;
    if (!S_ISSOCK(st.st_mode))
        return ERR_EXISTS;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    int rc = connect(fd, (const struct sockaddr *)addr, len);
    bool alive = rc == 0 || errno == EAGAIN;
    (void)close(fd);
    if (alive)
        return ERR_IN_USE;
    return unlink(un->sun_path) ? err_from_errno(errno) : OK;
}

static int listen_bind_unix(int fd, const struct sockaddr_storage *addr, socklen_t len,
                            const struct listener_options *options)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
    int err = unix_clear(addr, len);
    if (err)
        return err;
    if (bind(fd, (const struct sockaddr *)addr, len))
        return err_from_errno(errno);
    /* Before listen: until then nobody can connect. */
    mode_t mode = options->unix_mode ? options->unix_mode : UNIX_MODE_DEFAULT;
    return chmod(un->sun_path, mode) ? err_from_errno(errno) : OK;
}

static int listen_bind_tcp(int fd, const struct sockaddr_storage *addr, socklen_t len,
                           const struct listener_options *options)
{
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (options->reuse_port)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (addr->ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)addr, len) == 0)
        return OK;
    return errno == EADDRNOTAVAIL ? ERR_UNREACHABLE : err_from_errno(errno);
}

static int listen_bind(int fd, const struct sockaddr_storage *addr, socklen_t len,
                       const struct listener_options *options)
{
    int err = addr->ss_family == AF_UNIX ? listen_bind_unix(fd, addr, len, options)
                                         : listen_bind_tcp(fd, addr, len, options);
    if (err)
        return err;
    /* With SO_REUSEADDR a port in use may show only here. */
    return listen(fd, options->backlog ? options->backlog : BACKLOG_DEFAULT) ? err_from_errno(errno)
                                                                             : OK;
}

static int listen_open(const struct address *a, const struct listener_options *options, int *ret_fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = 0;
    struct address numeric = *a;
    if (strcmp(a->host, "localhost") == 0)
        (void)snprintf(numeric.host, sizeof numeric.host, "127.0.0.1");
    int err = address_to_sockaddr(&numeric, &addr, &len);
    if (err)
        return ERR_UNREACHABLE;
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    err = listen_bind(fd, &addr, len, options);
    if (err) {
        (void)close(fd);
        return err;
    }
    *ret_fd = fd;
    return OK;
}

int listener_socket(const char *address, const struct listener_options *options, int *ret_fd,
                    char ret_address[static ADDRESS_TEXT_BYTES_MAX], struct diag *diag)
{
    struct address a;
    int fd = -1;
    int err = address_parse(address, &a, diag);
    if (err)
        return err;
    err = listen_open(&a, options, &fd);
    if (err)
        return listen_failed(err, &a, options->key, diag);
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    (void)getsockname(fd, (struct sockaddr *)&addr, &len);
    address_from_sockaddr((const struct sockaddr *)&addr, ret_address);
    *ret_fd = fd;
    return OK;
}

/* -------------------------------------------------------------------------------------- accepting
 */

static void listener_unref(struct listener *l)
{
    if (--l->references == 0)
        free(l);
}

static void listener_on_gone(void *ctx)
{
    struct listener *l = ctx;
    l->conns--;
    listener_unref(l);
}

static void listener_take(struct listener *l, int fd)
{
    struct conn *c = NULL;
    uint32_t max = l->options.conns_max ? l->options.conns_max : CONNS_MAX_DEFAULT;
    if (l->conns >= max) {
        l->refused++;
        (void)close(fd);
        return;
    }
    if (conn_accept(l->loop, fd, &l->options.conn, listener_on_gone, l, &c))
        return;
    l->conns++;
    l->references++;
    l->on_accept(l->ctx, c);
}

static void listener_on_rested(struct exec_timer *timer)
{
    struct listener *l = CONTAINER_OF(timer, struct listener, rest);
    watch_set(l->watch, UV_READABLE);
}

static void listener_on_events(void *ctx, int err, int events)
{
    struct listener *l = ctx;
    (void)events;
    for (int i = 0; !err && i < ACCEPTS_MAX && l->fd >= 0; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener_take(l, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Accepting would fail again at once, for ever: rest, if need be until the end. */
            watch_set(l->watch, 0);
            (void)exec_timer_start(&l->loop->exec, &l->rest, clock_mono_us() + ACCEPT_REST_US);
        }
        return;
    }
}

static void listener_on_loop_end(struct loop_end *end)
{
    struct listener *l = CONTAINER_OF(end, struct listener, end);
    watch_close(l->watch);
    l->watch = NULL;
    (void)close(l->fd);
    l->fd = -1;
}

int listener_open(struct exec *e, const char *address, const struct listener_options *options,
                  void (*on_accept)(void *ctx, struct conn *c), void *ctx, struct listener **ret,
                  struct diag *diag)
{
    assert(exec_is_current(e));
    struct listener *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->loop = loop_of(e);
    l->on_accept = on_accept;
    l->ctx = ctx;
    l->references = 1;
    if (options)
        l->options = *options;
    int err = listener_socket(address, &l->options, &l->fd, l->address, diag);
    if (err) {
        free(l);
        return err;
    }
    if (strncmp(l->address, "unix:", 5) == 0)
        (void)snprintf(l->path, sizeof l->path, "%s", l->address + 5);
    err = watch_new(l->loop, l->fd, listener_on_events, l, &l->watch);
    if (err) {
        (void)close(l->fd);
        free(l);
        return err;
    }
    exec_timer_init(&l->rest, listener_on_rested);
    l->end.fn = listener_on_loop_end;
    list_push_back(&l->loop->ends, &l->end.link);
    watch_set(l->watch, UV_READABLE);
    *ret = l;
    return OK;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

uint16_t listener_port(const struct listener *l)
{
    struct address a;
    return address_parse(l->address, &a, NULL) ? 0 : a.port;
}

uint64_t listener_refused(const struct listener *l)
{
    return l->refused;
}

void listener_close(struct listener *l)
{
    if (!l)
        return;
    assert(exec_is_current(&l->loop->exec));
    exec_timer_stop(&l->loop->exec, &l->rest);
    list_remove(&l->end.link);
    watch_close(l->watch);
    l->watch = NULL;
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    if (l->path[0])
        (void)unlink(l->path);
    listener_unref(l);
}
