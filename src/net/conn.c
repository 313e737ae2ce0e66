/* Connections. See conn.h.
 *
 * All state changes go one way: connecting → open → (finishing →) closed. conn_end is the only door
 * to closed: it closes the socket at once, so that nothing more can happen, and posts on_close, so
 * that an owner is never called back from inside its own call.
 */
#include "base/clock.h"
#include "net/conn_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUED_BYTES_MAX_DEFAULT  (64u << 20)
#define DRAIN_BYTES_DEFAULT       (64u << 10)
#define FINISH_TIMEOUT_MS_DEFAULT 2000
#define FLUSH_PIECES_MAX          64
#define FLUSH_BYTES_MAX           (1u << 20) /* in one turn: then the others have theirs */

/* ------------------------------------------------------------------------------------------- end
 */

static void conn_free(struct conn *c)
{
    out_queue_fini(&c->out);
    free(c->peer);
    free(c->local);
    free(c->error);
    free(c);
}

static void conn_closed_run(struct exec_task *task)
{
    struct conn *c = CONTAINER_OF(task, struct conn, closed_task);
    if (c->handler)
        c->handler->on_close(c->ctx, c, c->err);
    if (c->on_gone)
        c->on_gone(c->gone_ctx);
    conn_free(c);
}

void conn_gone_later(struct conn *c)
{
    (void)exec_post(&c->loop->exec, &c->closed_task);
}

void conn_end(struct conn *c, int err, const char *format, ...)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    c->err = err;
    if (format) {
        va_list args;
        va_start(args, format);
        if (vasprintf(&c->error, format, args) < 0)
            c->error = NULL;
        va_end(args);
    }
    exec_timer_stop(&c->loop->exec, &c->timer);
    watch_close(c->watch);
    c->watch = NULL;
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    list_remove(&c->flush.link);
    list_remove(&c->end.link);
    /* A start that is still queued, or a look-up, touches the conn once more: it goes after them.
     */
    if (!connect_free(c))
        conn_gone_later(c);
}

/* The other side is gone, or the socket failed. */
static void conn_lost(struct conn *c, int err)
{
    if (c->state == CONN_FINISHING)
        conn_end(c, OK, NULL);
    else if (err == ERR_CLOSED)
        conn_end(c, err, "%s closed the connection", c->peer);
    else
        conn_end(c, err, "the connection to %s broke: %s", c->peer, err_text(err));
}

static void conn_on_loop_end(struct loop_end *end)
{
    struct conn *c = CONTAINER_OF(end, struct conn, end);
    conn_end(c, ERR_CANCELLED, "the loop of %s ends", c->peer);
}

/* ----------------------------------------------------------------------------------------- events
 */

static void conn_watch(struct conn *c)
{
    if (!c->watch || c->state == CONN_CONNECTING)
        return;
    bool reads = c->state == CONN_FINISHING || (c->handler && !c->paused);
    watch_set(c->watch, (reads ? UV_READABLE : 0) | (c->blocked ? UV_WRITABLE : 0));
}

/* All is sent that was queued when conn_finish was called. */
static void conn_finish_sending(struct conn *c)
{
    if (c->finished)
        return;
    c->finished = true;
    c->transport->finish(c->fd);
}

/* Sends until the queue is empty, the kernel is full or this turn's share is used up. */
static int conn_send(struct conn *c)
{
    size_t budget = FLUSH_BYTES_MAX;
    struct iovec iov[FLUSH_PIECES_MAX];
    c->blocked = false;
    while (c->out.bytes) {
        int count = out_queue_iov(&c->out, iov, FLUSH_PIECES_MAX);
        ssize_t sent = c->transport->send(c->fd, iov, count);
        if (sent == ERR_AGAIN) {
            c->blocked = true;
            return OK;
        }
        if (sent < 0)
            return (int)sent;
        out_queue_consume(&c->out, (size_t)sent);
        if ((size_t)sent >= budget) {
            c->blocked = c->out.bytes > 0;
            return OK;
        }
        budget -= (size_t)sent;
    }
    return OK;
}

static void conn_flush(struct conn *c)
{
    if (c->state != CONN_OPEN && c->state != CONN_FINISHING)
        return;
    bool was_blocked = c->blocked;
    int err = conn_send(c);
    if (err) {
        conn_lost(c, err);
        return;
    }
    if (c->blocked != was_blocked)
        conn_watch(c);
    if (c->state == CONN_FINISHING) {
        if (c->out.bytes == 0)
            conn_finish_sending(c);
        return;
    }
    if (c->above && c->out.bytes <= c->options.drain_bytes) {
        c->above = false;
        if (c->handler && c->handler->on_drain)
            c->handler->on_drain(c->ctx, c);
    }
}

static void conn_on_flush(struct loop_flush *flush)
{
    struct conn *c = CONTAINER_OF(flush, struct conn, flush);
    /* A blocked one goes on when the kernel says so. */
    if (!c->blocked)
        conn_flush(c);
}

/* One read. False when there is nothing (more) to read now or the conn is closed. */
static bool conn_receive(struct conn *c)
{
    ssize_t got = c->transport->receive(c->fd, c->loop->read_buf, LOOP_READ_BYTES);
    if (got == ERR_AGAIN)
        return false;
    if (got <= 0) {
        conn_lost(c, got == 0 ? ERR_CLOSED : (int)got);
        return false;
    }
    if (c->state == CONN_OPEN && c->handler)
        c->handler->on_data(c->ctx, c, bytes_of(c->loop->read_buf, (size_t)got));
    return c->state == CONN_OPEN || c->state == CONN_FINISHING;
}

/* libuv reports an error condition by stopping the watch. What had arrived before it is still read,
 * and reading ends with the reason. */
static void conn_on_broken(struct conn *c)
{
    if (!c->paused && c->handler) {
        while (conn_receive(c)) {
        }
    }
    if (c->state == CONN_CLOSED)
        return;
    int errno_value = 0;
    socklen_t len = sizeof errno_value;
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errno_value, &len);
    conn_lost(c, errno_value ? err_from_errno(errno_value) : ERR_CLOSED);
}

void conn_on_events(void *ctx, int err, int events)
{
    struct conn *c = ctx;
    if (c->state == CONN_CONNECTING) {
        connect_on_events(c);
        return;
    }
    if (err) {
        conn_on_broken(c);
        return;
    }
    if (events & UV_WRITABLE)
        conn_flush(c);
    if ((events & UV_READABLE) && c->state != CONN_CLOSED)
        (void)conn_receive(c);
}

static void conn_on_timer(struct exec_timer *timer)
{
    struct conn *c = CONTAINER_OF(timer, struct conn, timer);
    if (c->state == CONN_CONNECTING)
        connect_on_timer(c);
    else
        conn_end(c, OK, NULL);
}

/* ---------------------------------------------------------------------------------------- opening
 */

static struct conn *conn_new(struct loop *l, const struct conn_options *options)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->loop = l;
    c->fd = -1;
    if (options)
        c->options = *options;
    if (!c->options.queued_bytes_max)
        c->options.queued_bytes_max = QUEUED_BYTES_MAX_DEFAULT;
    if (!c->options.drain_bytes)
        c->options.drain_bytes = DRAIN_BYTES_DEFAULT;
    list_init(&c->flush.link);
    list_init(&c->end.link);
    c->flush.fn = conn_on_flush;
    c->end.fn = conn_on_loop_end;
    exec_task_init(&c->closed_task, conn_closed_run);
    exec_timer_init(&c->timer, conn_on_timer);
    return c;
}

static void conn_start_run(struct exec_task *task)
{
    struct conn *c = CONTAINER_OF(task, struct conn, start_task);
    if (c->state == CONN_CONNECTING)
        connect_start(c);
}

int conn_open(struct exec *e, const char *address, const struct conn_options *options,
              const struct conn_handler *handler, void *ctx, struct conn **ret)
{
    struct loop *l = loop_of(e);
    assert(exec_is_current(e));
    struct conn *c = conn_new(l, options);
    if (!c)
        return ERR_NOMEM;
    c->handler = handler;
    c->ctx = ctx;
    c->state = CONN_CONNECTING;
    c->peer = strdup(address);
    int err = c->peer ? connect_new(c, address) : ERR_NOMEM;
    if (err) {
        conn_free(c);
        return err;
    }
    list_push_back(&l->ends, &c->end.link);
    exec_task_init(&c->start_task, conn_start_run);
    (void)exec_post(e, &c->start_task);
    *ret = c;
    return OK;
}

void conn_opened(struct conn *c)
{
    exec_timer_stop(&c->loop->exec, &c->timer);
    (void)connect_free(c);
    c->state = CONN_OPEN;
    conn_watch(c);
    if (c->out.bytes)
        loop_flush_later(c->loop, &c->flush);
    if (c->handler->on_open)
        c->handler->on_open(c->ctx, c);
}

static char *conn_name_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    char text[ADDRESS_TEXT_BYTES_MAX] = "";
    if (get(fd, (struct sockaddr *)&addr, &len) == 0)
        address_from_sockaddr((const struct sockaddr *)&addr, text);
    return strdup(text);
}

int conn_accept(struct loop *l, int fd, const struct conn_options *options,
                void (*on_gone)(void *ctx), void *ctx, struct conn **ret)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    struct conn *c = conn_new(l, options);
    if (!c) {
        (void)close(fd);
        return ERR_NOMEM;
    }
    c->fd = fd;
    c->state = CONN_OPEN;
    (void)getsockname(fd, (struct sockaddr *)&addr, &len);
    c->transport = transport_for(addr.ss_family);
    c->transport->tune(fd, &c->options);
    c->peer = conn_name_of(fd, getpeername);
    int err = c->peer ? watch_new(l, fd, conn_on_events, c, &c->watch) : ERR_NOMEM;
    if (err) {
        (void)close(fd);
        conn_free(c);
        return err;
    }
    c->on_gone = on_gone;
    c->gone_ctx = ctx;
    list_push_back(&l->ends, &c->end.link);
    *ret = c;
    return OK;
}

void conn_handler_set(struct conn *c, const struct conn_handler *handler, void *ctx)
{
    assert(exec_is_current(&c->loop->exec));
    c->handler = handler;
    c->ctx = ctx;
    conn_watch(c);
}

/* ---------------------------------------------------------------------------------------- writing
 */

static int conn_may_queue(const struct conn *c, size_t len)
{
    assert(exec_is_current(&c->loop->exec));
    if (c->state != CONN_OPEN && c->state != CONN_CONNECTING)
        return ERR_CLOSED;
    return c->out.bytes + len > c->options.queued_bytes_max ? ERR_LIMIT : OK;
}

static void conn_queued(struct conn *c)
{
    if (c->out.bytes > c->options.drain_bytes)
        c->above = true;
    if (c->state == CONN_OPEN && !c->blocked)
        loop_flush_later(c->loop, &c->flush);
}

int conn_write(struct conn *c, struct bytes v)
{
    int err = conn_may_queue(c, v.len);
    if (!err)
        err = out_queue_copy(&c->out, v);
    if (!err)
        conn_queued(c);
    return err;
}

int conn_write_payload(struct conn *c, struct payload *p)
{
    int err = conn_may_queue(c, p->len);
    if (!err)
        err = out_queue_payload(&c->out, p);
    if (!err)
        conn_queued(c);
    return err;
}

size_t conn_queued_bytes(const struct conn *c)
{
    return c->out.bytes;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
    conn_watch(c);
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    conn_watch(c);
}

/* ---------------------------------------------------------------------------------------- closing
 */

void conn_close(struct conn *c)
{
    assert(exec_is_current(&c->loop->exec));
    if (c->state == CONN_OPEN && !c->blocked)
        (void)conn_send(c);
    conn_end(c, OK, NULL);
}

void conn_finish(struct conn *c, int64_t timeout_ms)
{
    if (c->state == CONN_FINISHING)
        return;
    if (c->state != CONN_OPEN) {
        conn_close(c);
        return;
    }
    c->state = CONN_FINISHING;
    int64_t wait_ms = timeout_ms ? timeout_ms : FINISH_TIMEOUT_MS_DEFAULT;
    if (exec_timer_start(&c->loop->exec, &c->timer, clock_mono_us() + wait_ms * 1000)) {
        conn_close(c);
        return;
    }
    conn_watch(c);
    loop_flush_later(c->loop, &c->flush);
}

/* ------------------------------------------------------------------------------------------ asking
 */

bool conn_is_open(const struct conn *c)
{
    return c->state == CONN_OPEN;
}

struct exec *conn_exec(const struct conn *c)
{
    return &c->loop->exec;
}

const char *conn_peer(const struct conn *c)
{
    return c->peer;
}

const char *conn_local(struct conn *c)
{
    if (!c->local && c->fd >= 0 && c->state != CONN_CONNECTING)
        c->local = conn_name_of(c->fd, getsockname);
    return c->local ? c->local : "";
}

bool conn_is_loopback(const struct conn *c)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    return c->fd >= 0 && getpeername(c->fd, (struct sockaddr *)&addr, &len) == 0 &&
           address_is_loopback((const struct sockaddr *)&addr);
}

int conn_peer_uid(const struct conn *c, uid_t *ret)
{
    return c->fd >= 0 ? c->transport->peer_uid(c->fd, ret) : ERR_CLOSED;
}

const char *conn_error(const struct conn *c)
{
    return c->error ? c->error : "";
}
