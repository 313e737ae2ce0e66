/* An exec on a plain thread that may block. See exec.h.
 *
 * It sleeps in ppoll on an eventfd, with the earliest timer as the time-out: no condition
 * variable, so posting stays lock-free.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/exec.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES_DEFAULT (256u * 1024)

struct exec_thread {
    struct exec exec;
    pthread_t thread;        /* the creator's, for joining */
    _Atomic(pthread_t) self; /* set by the thread, read by any */
    int wake_fd;
    atomic_bool stopping;
};

static void thread_wake(struct exec *e)
{
    struct exec_thread *t = (struct exec_thread *)e;
    uint64_t one = 1;
    /* Can only fail when the counter is full, and then the thread is awake anyway. */
    ssize_t written = write(t->wake_fd, &one, sizeof one);
    (void)written;
}

static void thread_timer_changed(struct exec *e)
{
    (void)e; /* the loop looks at the heap before it sleeps */
}

static int64_t thread_now_us(const struct exec *e)
{
    (void)e;
    return clock_mono_us();
}

static int64_t thread_wall_us(const struct exec *e)
{
    (void)e;
    return clock_wall_us();
}

static bool thread_is_current(const struct exec *e)
{
    const struct exec_thread *t = (const struct exec_thread *)e;
    return atomic_load_explicit(&t->self, memory_order_relaxed) == pthread_self();
}

static const struct exec_ops thread_ops = {
    .wake = thread_wake,
    .timer_changed = thread_timer_changed,
    .now_us = thread_now_us,
    .wall_us = thread_wall_us,
    .is_current = thread_is_current,
};

static void thread_sleep(struct exec_thread *t)
{
    int64_t next_us = exec_queue_next_us(&t->exec);
    struct timespec wait = {0, 0};
    int64_t left_us = next_us - clock_mono_us();
    if (left_us > 0) {
        wait.tv_sec = (time_t)(left_us / 1000000);
        wait.tv_nsec = (long)(left_us % 1000000) * 1000;
    }
    struct pollfd fd = {.fd = t->wake_fd, .events = POLLIN};
    if (ppoll(&fd, 1, next_us == INT64_MAX ? NULL : &wait, NULL) > 0) {
        uint64_t count;
        ssize_t got = read(t->wake_fd, &count, sizeof count);
        (void)got;
    }
}

static void *thread_main(void *arg)
{
    struct exec_thread *t = arg;
    atomic_store_explicit(&t->self, pthread_self(), memory_order_relaxed);
    while (!atomic_load_explicit(&t->stopping, memory_order_acquire)) {
        if (!exec_queue_has_tasks(&t->exec))
            thread_sleep(t);
        (void)exec_queue_run(&t->exec, clock_mono_us());
    }
    while (exec_queue_has_tasks(&t->exec))
        (void)exec_queue_run(&t->exec, INT64_MIN);
    return NULL;
}

static int thread_start(struct exec_thread *t, const char *name, size_t stack_bytes)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr))
        return ERR_NOMEM;
    (void)pthread_attr_setstacksize(&attr, stack_bytes ? stack_bytes : STACK_BYTES_DEFAULT);
    int err = err_from_errno(pthread_create(&t->thread, &attr, thread_main, t));
    (void)pthread_attr_destroy(&attr);
    if (err)
        return err;
    (void)pthread_setname_np(t->thread, name);
    return OK;
}

int exec_thread_new(const char *name, size_t stack_bytes, struct exec **ret)
{
    struct exec_thread *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    exec_init(&t->exec, &thread_ops);
    atomic_init(&t->stopping, false);
    atomic_init(&t->self, 0);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = t->wake_fd < 0 ? err_from_errno(errno) : thread_start(t, name, stack_bytes);
    if (err) {
        if (t->wake_fd >= 0)
            (void)close(t->wake_fd);
        exec_fini(&t->exec);
        free(t);
        return err;
    }
    *ret = &t->exec;
    return OK;
}

void exec_thread_free(struct exec *e)
{
    struct exec_thread *t = (struct exec_thread *)e;
    if (!t)
        return;
    atomic_store_explicit(&t->stopping, true, memory_order_release);
    thread_wake(e);
    (void)pthread_join(t->thread, NULL);
    exec_posts_end(e);
    (void)close(t->wake_fd);
    exec_fini(e);
    free(t);
}
