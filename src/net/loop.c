/* An exec on a libuv loop. See loop.h.
 *
 * A turn of the loop: idle (tasks posted from this thread) → prepare (write what is queued, set the
 * timer) → poll (sockets, wake-ups, the timerfd) → again. The timer is set once a turn, not at each
 * change, so that moving a thousand timers costs one system call.
 */
#include "net/loop.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/net_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LOOP_STACK_BYTES (256u * 1024)

struct loop *loop_of(struct exec *e)
{
    return (struct loop *)e;
}

struct uv_loop_s *loop_uv(struct exec *e)
{
    assert(exec_is_current(e));
    return &loop_of(e)->uv;
}

/* ------------------------------------------------------------------------------------- exec_ops */

static bool loop_is_current(const struct exec *e)
{
    const struct loop *l = (const struct loop *)e;
    return atomic_load_explicit(&l->self, memory_order_relaxed) == pthread_self();
}

static void loop_on_idle(uv_idle_t *idle)
{
    struct loop *l = idle->data;
    (void)uv_idle_stop(idle);
    (void)exec_queue_run(&l->exec, clock_mono_us());
}

/* One more turn without sleeping. */
static void loop_again(struct loop *l)
{
    if (!l->ending)
        (void)uv_idle_start(&l->idle, loop_on_idle);
}

static void loop_wake(struct exec *e)
{
    struct loop *l = loop_of(e);
    if (loop_is_current(e))
        loop_again(l);
    else
        (void)uv_async_send(&l->async);
}

static void loop_timer_changed(struct exec *e)
{
    (void)e; /* loop_on_prepare looks at the heap before the loop sleeps */
}

static int64_t loop_now_us(const struct exec *e)
{
    (void)e;
    return clock_mono_us();
}

static int64_t loop_wall_us(const struct exec *e)
{
    (void)e;
    return clock_wall_us();
}

static const struct exec_ops loop_ops = {
    .wake = loop_wake,
    .timer_changed = loop_timer_changed,
    .now_us = loop_now_us,
    .wall_us = loop_wall_us,
    .is_current = loop_is_current,
};

/* ------------------------------------------------------------------------------------- callbacks
 */

static void loop_on_async(uv_async_t *async)
{
    struct loop *l = async->data;
    (void)exec_queue_run(&l->exec, clock_mono_us());
}

static void loop_on_timer(uv_poll_t *poll, int status, int events)
{
    struct loop *l = poll->data;
    (void)status;
    (void)events;
    /* Not read: setting it again clears it, and loop_on_prepare does that, now that it is stale. */
    l->timer_armed_us = INT64_MIN;
    (void)exec_queue_run(&l->exec, clock_mono_us());
}

static void loop_timer_set(struct loop *l)
{
    int64_t next_us = exec_queue_next_us(&l->exec);
    if (next_us == l->timer_armed_us)
        return;
    struct itimerspec at = {0};
    if (next_us != INT64_MAX) {
        int64_t due_us = next_us > 0 ? next_us : 1; /* 0 would disarm it */
        at.it_value.tv_sec = (time_t)(due_us / 1000000);
        at.it_value.tv_nsec = (long)(due_us % 1000000) * 1000;
    }
    (void)timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    l->timer_armed_us = next_us;
}

static void loop_on_prepare(uv_prepare_t *prepare)
{
    struct loop *l = prepare->data;
    struct list mark;
    /* What is queued while flushing waits for the next turn, or one fast reader would be all. */
    list_push_back(&l->flushes, &mark);
    while (l->flushes.next != &mark) {
        struct loop_flush *flush = CONTAINER_OF(l->flushes.next, struct loop_flush, link);
        list_remove(&flush->link);
        flush->fn(flush);
    }
    list_remove(&mark);
    if (!list_empty(&l->flushes))
        loop_again(l);
    loop_timer_set(l);
}

/* ----------------------------------------------------------------------------------------- watch
 */

static void watch_on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = CONTAINER_OF(poll, struct watch, poll);
    if (w->fn)
        w->fn(w->ctx, status < 0 ? err_from_errno(-status) : OK, events);
}

static void watch_on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF(handle, struct watch, poll));
}

int watch_new(struct loop *l, int fd, void (*fn)(void *ctx, int err, int events), void *ctx,
              struct watch **ret)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->fn = fn;
    w->ctx = ctx;
    int rc = uv_poll_init(&l->uv, &w->poll, fd);
    if (rc) {
        free(w);
        return err_from_errno(-rc);
    }
    *ret = w;
    return OK;
}

void watch_set(struct watch *w, int events)
{
    if (events)
        (void)uv_poll_start(&w->poll, events, watch_on_poll);
    else
        (void)uv_poll_stop(&w->poll);
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    w->fn = NULL;
    uv_close((uv_handle_t *)&w->poll, watch_on_closed);
}

/* ---------------------------------------------------------------------------------- life and end
 */

static void loop_close_own(struct loop *l)
{
    uv_close((uv_handle_t *)&l->async, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    uv_close((uv_handle_t *)&l->timer_poll, NULL);
}

/* Stops the loop from inside: what was posted before has run by now. */
static void loop_halt_run(struct exec_task *task)
{
    struct loop *l = CONTAINER_OF(task, struct loop, halt_task);
    uv_stop(&l->uv);
}

static void loop_end_all(struct loop *l)
{
    do {
        struct list *link;
        while ((link = list_pop_front(&l->ends)) != NULL) {
            struct loop_end *end = CONTAINER_OF(link, struct loop_end, link);
            end->fn(end);
        }
        (void)exec_queue_run(&l->exec, INT64_MIN);
    } while (exec_queue_has_tasks(&l->exec) || !list_empty(&l->ends));
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    atomic_store_explicit(&l->self, pthread_self(), memory_order_relaxed);
    while (!atomic_load_explicit(&l->stopping, memory_order_acquire))
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    loop_end_all(l);
    l->ending = true;
    loop_close_own(l);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0 || exec_queue_has_tasks(&l->exec))
        (void)exec_queue_run(&l->exec, INT64_MIN);
    return NULL;
}

static int loop_init_handles(struct loop *l)
{
    int rc = uv_loop_init(&l->uv);
    if (rc)
        return err_from_errno(-rc);
    rc = uv_async_init(&l->uv, &l->async, loop_on_async);
    if (rc) {
        (void)uv_loop_close(&l->uv);
        return err_from_errno(-rc);
    }
    (void)uv_prepare_init(&l->uv, &l->prepare);
    (void)uv_prepare_start(&l->prepare, loop_on_prepare);
    (void)uv_idle_init(&l->uv, &l->idle);
    (void)uv_poll_init(&l->uv, &l->timer_poll, l->timer_fd);
    (void)uv_poll_start(&l->timer_poll, UV_READABLE, loop_on_timer);
    l->async.data = l;
    l->prepare.data = l;
    l->idle.data = l;
    l->timer_poll.data = l;
    return OK;
}

static int loop_start_thread(struct loop *l, const char *name)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr))
        return ERR_NOMEM;
    (void)pthread_attr_setstacksize(&attr, LOOP_STACK_BYTES);
    int err = err_from_errno(pthread_create(&l->thread, &attr, loop_main, l));
    (void)pthread_attr_destroy(&attr);
    if (!err)
        (void)pthread_setname_np(l->thread, name);
    return err;
}

static void loop_destroy(struct loop *l)
{
    if (l->timer_fd >= 0)
        (void)close(l->timer_fd);
    exec_fini(&l->exec);
    free(l->read_buf);
    free(l);
}

static int loop_open(struct loop *l, const char *name)
{
    l->read_buf = calloc(1, LOOP_READ_BYTES + PAYLOAD_PAD);
    if (!l->read_buf)
        return ERR_NOMEM;
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->timer_fd < 0)
        return err_from_errno(errno);
    int err = loop_init_handles(l);
    if (err)
        return err;
    err = loop_start_thread(l, name);
    if (err) {
        loop_close_own(l);
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
        (void)uv_loop_close(&l->uv);
    }
    return err;
}

int loop_new(const char *name, struct exec **ret)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    exec_init(&l->exec, &loop_ops);
    list_init(&l->ends);
    list_init(&l->flushes);
    exec_task_init(&l->halt_task, loop_halt_run);
    atomic_init(&l->self, 0);
    atomic_init(&l->stopping, false);
    l->timer_fd = -1;
    l->timer_armed_us = INT64_MAX;
    int err = loop_open(l, name);
    if (err) {
        loop_destroy(l);
        return err;
    }
    *ret = &l->exec;
    return OK;
}

void loop_free(struct exec *e)
{
    if (!e)
        return;
    struct loop *l = loop_of(e);
    assert(!loop_is_current(e));
    atomic_store_explicit(&l->stopping, true, memory_order_release);
    (void)exec_post(e, &l->halt_task);
    (void)pthread_join(l->thread, NULL);
    exec_posts_end(e);
    (void)uv_loop_close(&l->uv);
    loop_destroy(l);
}
