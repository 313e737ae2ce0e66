/* What loop.c, conn.c and listener.c know of each other.
 *
 * A loop knows its connections (to close them at the end and to flush those with something to send
 * at the end of a turn) and lends them its read buffer; it knows nothing of what they do.
 */
#ifndef LOTLINE_NET_NET_PRIV_H
#define LOTLINE_NET_NET_PRIV_H

#include "base/bytes.h"
#include "base/exec.h"
#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>

#include <uv.h>

#define LOOP_READ_BYTES (64u * 1024)

struct loop {
    struct exec exec; /* first */
    uv_loop_t uv;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_idle_t idle; /* runs what the loop's own thread posted, without a system call */
    uv_poll_t timer_poll;
    int timer_fd;
    int64_t timer_armed_us; /* what timer_fd is set to; INT64_MAX = not set */
    pthread_t thread;
    _Atomic(pthread_t) self;
    atomic_bool stopping;
    bool ending;         /* the loop's own handles are closed */
    struct list ends;    /* struct loop_end: whoever must be closed with the loop */
    struct list flushes; /* struct loop_flush: who has something to send */
    uint8_t *read_buf;   /* LOOP_READ_BYTES + PAYLOAD_PAD */
    struct exec_task halt_task;
};

/* Closed when the loop ends. */
struct loop_end {
    struct list link;
    void (*fn)(struct loop_end *end);
};

/* Flushed at the end of this turn, once. */
struct loop_flush {
    struct list link;
    void (*fn)(struct loop_flush *flush);
};

struct loop *loop_of(struct exec *e);

static inline void loop_flush_later(struct loop *l, struct loop_flush *flush)
{
    if (list_empty(&flush->link))
        list_push_back(&l->flushes, &flush->link);
}

/* A file descriptor watched by the loop. It has memory of its own because libuv lets go of a handle
 * one turn after it was closed, when its owner may be gone. */
struct watch {
    uv_poll_t poll;
    void (*fn)(void *ctx, int err, int events); /* NULL after watch_close */
    void *ctx;
};

/* ERR_NOMEM, ERR_IO. */
int watch_new(struct loop *l, int fd, void (*fn)(void *ctx, int err, int events), void *ctx,
              struct watch **ret);

/* events: UV_READABLE | UV_WRITABLE, 0 = none. */
void watch_set(struct watch *w, int events);

/* fn is not called any more; fd may be closed at once. NULL is allowed. */
void watch_close(struct watch *w);

struct conn;
struct conn_options;

/* A conn around an accepted socket (fd is taken, also on error). on_gone is told when it is freed.
 */
int conn_accept(struct loop *l, int fd, const struct conn_options *options,
                void (*on_gone)(void *ctx), void *ctx, struct conn **ret);

#endif
