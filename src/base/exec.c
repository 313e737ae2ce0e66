/* The task queue and timer heap that every exec shares. See exec.h.
 *
 * The inbox is a Treiber stack that producers push to and the owner empties whole, reversing it to
 * get the order of posting: one atomic exchange a batch, no ABA problem since nobody pops singly.
 */
#include "base/exec.h"

#include "base/err.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#define HEAP_CAP_MIN 16

void exec_init(struct exec *e, const struct exec_ops *ops)
{
    e->ops = ops;
    atomic_init(&e->queue.inbox, NULL);
    atomic_init(&e->queue.posting, 0);
    e->queue.heap = NULL;
    e->queue.heap_count = 0;
    e->queue.heap_cap = 0;
}

void exec_fini(struct exec *e)
{
    free(e->queue.heap);
    e->queue.heap = NULL;
    e->queue.heap_count = 0;
    e->queue.heap_cap = 0;
}

bool exec_post(struct exec *e, struct exec_task *task)
{
    assert(task->fn);
    if (atomic_exchange_explicit(&task->queued, true, memory_order_acq_rel))
        return false;
    atomic_fetch_add_explicit(&e->queue.posting, 1, memory_order_relaxed);
    struct exec_task *head = atomic_load_explicit(&e->queue.inbox, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&e->queue.inbox, &head, task,
                                                    memory_order_release, memory_order_relaxed));
    /* Whoever found the inbox empty wakes the thread; the others ride along. */
    if (!head)
        e->ops->wake(e);
    atomic_fetch_sub_explicit(&e->queue.posting, 1, memory_order_release);
    return true;
}

void exec_posts_end(const struct exec *e)
{
    while (atomic_load_explicit(&e->queue.posting, memory_order_acquire))
        (void)sched_yield();
}

bool exec_queue_has_tasks(const struct exec *e)
{
    return atomic_load_explicit(&e->queue.inbox, memory_order_acquire) != NULL;
}

static size_t exec_run_tasks(struct exec *e)
{
    struct exec_task *stack = atomic_exchange_explicit(&e->queue.inbox, NULL, memory_order_acquire);
    struct exec_task *first = NULL;
    while (stack) {
        struct exec_task *next = stack->next;
        stack->next = first;
        first = stack;
        stack = next;
    }
    size_t count = 0;
    while (first) {
        struct exec_task *task = first;
        first = task->next;
        /* Cleared before fn runs: what is posted from now on needs another run. An exchange and not
         * a store: it must see what a poster wrote that found the flag still set. */
        (void)atomic_exchange_explicit(&task->queued, false, memory_order_acq_rel);
        task->fn(task);
        count++;
    }
    return count;
}

/* ----------------------------------------------------------------------------------- timer heap */

static void heap_set(struct exec_queue *q, size_t at, struct exec_timer *timer)
{
    q->heap[at] = timer;
    timer->index = at + 1;
}

static void heap_up(struct exec_queue *q, size_t at)
{
    struct exec_timer *timer = q->heap[at];
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (q->heap[parent]->at_us <= timer->at_us)
            break;
        heap_set(q, at, q->heap[parent]);
        at = parent;
    }
    heap_set(q, at, timer);
}

static void heap_down(struct exec_queue *q, size_t at)
{
    struct exec_timer *timer = q->heap[at];
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= q->heap_count)
            break;
        if (child + 1 < q->heap_count && q->heap[child + 1]->at_us < q->heap[child]->at_us)
            child++;
        if (timer->at_us <= q->heap[child]->at_us)
            break;
        heap_set(q, at, q->heap[child]);
        at = child;
    }
    heap_set(q, at, timer);
}

static void heap_remove(struct exec_queue *q, struct exec_timer *timer)
{
    size_t at = timer->index - 1;
    assert(q->heap[at] == timer);
    timer->index = 0;
    struct exec_timer *last = q->heap[--q->heap_count];
    if (last == timer)
        return;
    heap_set(q, at, last);
    heap_up(q, at);
    heap_down(q, last->index - 1);
}

int exec_timer_start(struct exec *e, struct exec_timer *timer, int64_t at_us)
{
    struct exec_queue *q = &e->queue;
    assert(timer->fn);
    assert(e->ops->is_current(e));
    if (timer->index)
        heap_remove(q, timer);
    if (q->heap_count == q->heap_cap) {
        size_t cap = q->heap_cap ? q->heap_cap * 2 : HEAP_CAP_MIN;
        struct exec_timer **heap = realloc(q->heap, cap * sizeof(struct exec_timer *));
        if (!heap)
            return ERR_NOMEM;
        q->heap = heap;
        q->heap_cap = cap;
    }
    timer->at_us = at_us;
    heap_set(q, q->heap_count, timer);
    q->heap_count++;
    heap_up(q, q->heap_count - 1);
    if (q->heap[0] == timer)
        e->ops->timer_changed(e);
    return OK;
}

void exec_timer_stop(struct exec *e, struct exec_timer *timer)
{
    if (!timer->index)
        return;
    assert(e->ops->is_current(e));
    heap_remove(&e->queue, timer);
}

int64_t exec_queue_next_us(const struct exec *e)
{
    return e->queue.heap_count ? e->queue.heap[0]->at_us : INT64_MAX;
}

size_t exec_queue_run(struct exec *e, int64_t now_us)
{
    size_t count = exec_run_tasks(e);
    struct exec_queue *q = &e->queue;
    while (q->heap_count && q->heap[0]->at_us <= now_us) {
        struct exec_timer *timer = q->heap[0];
        heap_remove(q, timer);
        timer->fn(timer);
        count++;
    }
    return count;
}

int64_t exec_now_us(const struct exec *e)
{
    return e->ops->now_us(e);
}

int64_t exec_wall_us(const struct exec *e)
{
    return e->ops->wall_us(e);
}

bool exec_is_current(const struct exec *e)
{
    return e->ops->is_current(e);
}
