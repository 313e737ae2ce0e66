/* Running something on another thread's exec and waiting for it. See exec.h. */
#include "base/exec.h"
#include "base/list.h"

#include <pthread.h>

struct exec_calling {
    struct exec_task task;
    int (*fn)(void *ctx);
    void *ctx;
    int result;
    bool done;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

static void exec_calling_run(struct exec_task *task)
{
    struct exec_calling *c = CONTAINER_OF(task, struct exec_calling, task);
    int result = c->fn(c->ctx);
    (void)pthread_mutex_lock(&c->mutex);
    c->result = result;
    c->done = true;
    (void)pthread_cond_signal(&c->cond);
    (void)pthread_mutex_unlock(&c->mutex);
}

int exec_call(struct exec *e, int (*fn)(void *ctx), void *ctx)
{
    if (exec_is_current(e))
        return fn(ctx);
    struct exec_calling c = {.fn = fn, .ctx = ctx};
    exec_task_init(&c.task, exec_calling_run);
    (void)pthread_mutex_init(&c.mutex, NULL);
    (void)pthread_cond_init(&c.cond, NULL);
    (void)exec_post(e, &c.task);
    (void)pthread_mutex_lock(&c.mutex);
    while (!c.done)
        (void)pthread_cond_wait(&c.cond, &c.mutex);
    (void)pthread_mutex_unlock(&c.mutex);
    (void)pthread_cond_destroy(&c.cond);
    (void)pthread_mutex_destroy(&c.mutex);
    return c.result;
}
