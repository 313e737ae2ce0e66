/* Flows and outlets. See flow.h.
 *
 * Credit is two atomic sums, added to by the producer alone and taken from by whoever finishes an
 * item. A flow that has been refused sets `starved`; the finisher that brings it back under its
 * limits posts the outlet's credit task. Attach and detach run on the producer's exec as posted
 * tasks, so that pushing needs no lock.
 */
#include "model/flow.h"

#include "base/err.h"
#include "base/ring.h"

#include <assert.h>
#include <stdlib.h>

#define FLOW_ITEMS_DEFAULT 1024
#define FLOW_ROWS_DEFAULT  (1u << 20)
#define FLOW_BYTES_DEFAULT (64u << 20)

struct flow {
    struct list link; /* in the outlet's list; producer's exec */
    atomic_uint refs;
    char *name;
    struct flow_options options;
    struct ring *items;
    _Atomic(struct outlet *) outlet;
    struct exec *producer;
    struct exec_task ready_task;  /* on the consumer */
    struct exec_task attach_task; /* on the producer */
    struct exec_task detach_task; /* on the producer */
    struct exec_task closed_task; /* on the consumer */
    atomic_bool closing;
    atomic_bool starved;
    atomic_uint items_waiting;
    atomic_ullong rows_waiting;
    atomic_ullong bytes_waiting;
    atomic_ullong items_total;
    atomic_ullong rows_total;
    atomic_ullong dropped_items;
    atomic_ullong dropped_rows;
    atomic_ullong blocked;
};

/* ----------------------------------------------------------------------------------------- done */

static void done_run(struct exec_task *task)
{
    struct flow_done *done = CONTAINER_OF(task, struct flow_done, task);
    done->fn(done, done->at, atomic_load_explicit(&done->err, memory_order_relaxed));
}

void flow_done_init(struct flow_done *done, struct exec *exec,
                    void (*fn)(struct flow_done *done, struct position at, int err))
{
    done->fn = fn;
    done->exec = exec;
    done->diag = NULL;
    done->at = (struct position){0, 0};
    exec_task_init(&done->task, done_run);
    atomic_init(&done->err, OK);
    atomic_init(&done->pending, 1);
}

void flow_done_hold(struct flow_done *done)
{
    atomic_fetch_add_explicit(&done->pending, 1, memory_order_relaxed);
}

void flow_done_finish(struct flow_done *done, struct position at, int err)
{
    if (!done)
        return;
    int expected = OK;
    if (err)
        (void)atomic_compare_exchange_strong(&done->err, &expected, err);
    /* One journal per node: at most one finisher brings a position. */
    if (!position_is_none(at))
        done->at = at;
    if (atomic_fetch_sub_explicit(&done->pending, 1, memory_order_acq_rel) == 1)
        (void)exec_post(done->exec, &done->task);
}

/* ----------------------------------------------------------------------------------------- flow */

static void flow_ready_run(struct exec_task *task)
{
    struct flow *f = CONTAINER_OF(task, struct flow, ready_task);
    if (!atomic_load_explicit(&f->closing, memory_order_acquire))
        f->options.on_ready(f->options.ctx, f);
    flow_unref(f);
}

/* Wakes the consumer; the queued task holds a reference. */
static void flow_wake(struct flow *f)
{
    (void)flow_ref(f);
    if (!exec_post(f->options.consumer, &f->ready_task))
        flow_unref(f);
}

static void flow_attach_run(struct exec_task *task)
{
    struct flow *f = CONTAINER_OF(task, struct flow, attach_task);
    struct outlet *o = atomic_load_explicit(&f->outlet, memory_order_relaxed);
    if (!atomic_load_explicit(&f->closing, memory_order_acquire))
        list_push_back(&o->flows, &f->link);
}

static void flow_closed_run(struct exec_task *task)
{
    struct flow *f = CONTAINER_OF(task, struct flow, closed_task);
    struct flow_item item;
    while (flow_take(f, &item))
        flow_finish(&item, item.at, ERR_CANCELLED);
    if (f->options.on_closed)
        f->options.on_closed(f->options.ctx, f);
    flow_unref(f); /* the outlet's */
}

static void flow_detach_run(struct exec_task *task)
{
    struct flow *f = CONTAINER_OF(task, struct flow, detach_task);
    struct outlet *o = atomic_load_explicit(&f->outlet, memory_order_relaxed);
    atomic_store_explicit(&f->outlet, NULL, memory_order_relaxed);
    list_remove(&f->link);
    /* The producer may have been waiting for this one. */
    if (o && o->on_credit)
        (void)exec_post(o->exec, &o->credit_task);
    (void)exec_post(f->options.consumer, &f->closed_task);
}

static void flow_defaults(struct flow_options *options)
{
    if (!options->items_max)
        options->items_max = FLOW_ITEMS_DEFAULT;
    if (!options->rows_max)
        options->rows_max = FLOW_ROWS_DEFAULT;
    if (!options->bytes_max)
        options->bytes_max = FLOW_BYTES_DEFAULT;
    if (options->policy == FLOW_LATEST)
        options->items_max = 1;
}

int flow_new(const struct flow_options *options, struct flow **ret)
{
    struct flow *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->options = *options;
    flow_defaults(&f->options);
    f->name = strdup(options->name);
    /* One place more than items_max: what makes room and what comes may overlap for a moment. */
    f->items = ring_new((size_t)f->options.items_max + 1);
    if (!f->name || !f->items) {
        ring_free(f->items);
        free(f->name);
        free(f);
        return ERR_NOMEM;
    }
    list_init(&f->link);
    atomic_init(&f->refs, 1);
    exec_task_init(&f->ready_task, flow_ready_run);
    exec_task_init(&f->attach_task, flow_attach_run);
    exec_task_init(&f->detach_task, flow_detach_run);
    exec_task_init(&f->closed_task, flow_closed_run);
    *ret = f;
    return OK;
}

struct flow *flow_ref(struct flow *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void flow_unref(struct flow *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct flow_item *left;
    while ((left = ring_pop(f->items)) != NULL) {
        batch_unref(left->batch);
        flow_done_finish(left->done, left->at, ERR_CANCELLED);
        free(left);
    }
    ring_free(f->items);
    free(f->name);
    free(f);
}

const char *flow_name(const struct flow *f)
{
    return f->name;
}

bool flow_take(struct flow *f, struct flow_item *ret_item)
{
    struct flow_item *item = ring_pop(f->items);
    if (!item)
        return false;
    *ret_item = *item;
    free(item);
    return true;
}

static bool flow_has_credit(struct flow *f, uint64_t rows, uint64_t bytes)
{
    uint64_t waiting = atomic_load(&f->items_waiting);
    /* An item larger than the whole limit still passes when it is alone. */
    if (waiting == 0)
        return true;
    return waiting < f->options.items_max &&
           atomic_load_explicit(&f->rows_waiting, memory_order_relaxed) + rows <=
               f->options.rows_max &&
           atomic_load_explicit(&f->bytes_waiting, memory_order_relaxed) + bytes <=
               f->options.bytes_max;
}

static void flow_uncharge(struct flow *f, const struct batch *b)
{
    atomic_fetch_sub_explicit(&f->rows_waiting, b->rows, memory_order_relaxed);
    atomic_fetch_sub_explicit(&f->bytes_waiting, b->slab_bytes, memory_order_relaxed);
    atomic_fetch_sub(&f->items_waiting, 1);
    if (!atomic_exchange(&f->starved, false))
        return;
    struct outlet *o = atomic_load_explicit(&f->outlet, memory_order_relaxed);
    if (o && o->on_credit)
        (void)exec_post(f->producer, &o->credit_task);
}

void flow_finish(struct flow_item *item, struct position at, int err)
{
    struct flow *f = item->flow;
    flow_uncharge(f, item->batch);
    batch_unref(item->batch);
    flow_done_finish(item->done, at, err);
    item->batch = NULL;
    item->done = NULL;
    flow_unref(f);
}

void flow_close(struct flow *f)
{
    if (atomic_exchange_explicit(&f->closing, true, memory_order_acq_rel))
        return;
    if (f->producer)
        (void)exec_post(f->producer, &f->detach_task);
    else if (f->options.on_closed)
        f->options.on_closed(f->options.ctx, f);
}

void flow_stats_get(const struct flow *f, struct flow_stats *ret)
{
    ret->items = atomic_load_explicit(&f->items_total, memory_order_relaxed);
    ret->rows = atomic_load_explicit(&f->rows_total, memory_order_relaxed);
    ret->dropped_items = atomic_load_explicit(&f->dropped_items, memory_order_relaxed);
    ret->dropped_rows = atomic_load_explicit(&f->dropped_rows, memory_order_relaxed);
    ret->blocked = atomic_load_explicit(&f->blocked, memory_order_relaxed);
    ret->waiting_rows = atomic_load_explicit(&f->rows_waiting, memory_order_relaxed);
    ret->waiting_bytes = atomic_load_explicit(&f->bytes_waiting, memory_order_relaxed);
}

/* --------------------------------------------------------------------------------------- outlet */

static void outlet_credit_run(struct exec_task *task)
{
    struct outlet *o = CONTAINER_OF(task, struct outlet, credit_task);
    o->on_credit(o);
    /* Those that wait again do so for the next time. */
    struct list now = {&now, &now};
    struct list *link;
    while ((link = list_pop_front(&o->waiters)) != NULL)
        list_push_back(&now, link);
    while ((link = list_pop_front(&now)) != NULL) {
        struct outlet_waiter *w = CONTAINER_OF(link, struct outlet_waiter, link);
        w->fn(w);
    }
}

void outlet_wait(struct outlet *o, struct outlet_waiter *w)
{
    assert(exec_is_current(o->exec) && o->on_credit);
    list_remove(&w->link);
    list_push_back(&o->waiters, &w->link);
}

void outlet_init(struct outlet *o, struct exec *exec, const struct stream *stream,
                 void (*on_credit)(struct outlet *o))
{
    o->exec = exec;
    o->stream = stream;
    list_init(&o->flows);
    list_init(&o->waiters);
    o->on_credit = on_credit;
    exec_task_init(&o->credit_task, outlet_credit_run);
}

void outlet_fini(struct outlet *o)
{
    struct list *link;
    while ((link = list_pop_front(&o->flows)) != NULL) {
        struct flow *f = CONTAINER_OF(link, struct flow, link);
        atomic_store_explicit(&f->outlet, NULL, memory_order_relaxed);
        if (!atomic_exchange_explicit(&f->closing, true, memory_order_acq_rel))
            (void)exec_post(f->options.consumer, &f->closed_task);
    }
}

void outlet_attach(struct outlet *o, struct flow *f)
{
    assert(!f->producer);
    f->producer = o->exec;
    atomic_store_explicit(&f->outlet, o, memory_order_relaxed);
    (void)flow_ref(f);
    if (exec_is_current(o->exec))
        flow_attach_run(&f->attach_task);
    else
        (void)exec_post(o->exec, &f->attach_task);
}

bool outlet_ready(struct outlet *o, const struct batch *b)
{
    bool ready = true;
    LIST_FOR (link, &o->flows) {
        struct flow *f = CONTAINER_OF(link, struct flow, link);
        if (f->options.policy != FLOW_BLOCK || flow_has_credit(f, b->rows, b->slab_bytes))
            continue;
        /* Set first, look again after: a finisher in between sees the flag or leaves credit. */
        atomic_store(&f->starved, true);
        if (flow_has_credit(f, b->rows, b->slab_bytes))
            continue;
        atomic_fetch_add_explicit(&f->blocked, 1, memory_order_relaxed);
        ready = false;
    }
    return ready;
}

static void flow_drop(struct flow *f, struct flow_item *item)
{
    atomic_fetch_add_explicit(&f->dropped_items, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->dropped_rows, item->batch->rows, memory_order_relaxed);
    flow_finish(item, item->at, ERR_LIMIT);
    free(item);
}

/* Pushes one item; the caller has seen to credit for a blocking flow. */
static void flow_push(struct flow *f, struct batch *b, const struct stream *stream,
                      struct position at, struct flow_done *done)
{
    while (f->options.policy != FLOW_BLOCK && !flow_has_credit(f, b->rows, b->slab_bytes)) {
        struct flow_item *oldest = ring_pop(f->items);
        if (!oldest)
            break;
        flow_drop(f, oldest);
    }
    struct flow_item *item = malloc(sizeof *item);
    if (!item) {
        atomic_fetch_add_explicit(&f->dropped_items, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&f->dropped_rows, b->rows, memory_order_relaxed);
        flow_done_finish(done, at, ERR_NOMEM);
        return;
    }
    *item = (struct flow_item){batch_ref(b), stream, at, done, flow_ref(f)};
    atomic_fetch_add_explicit(&f->items_waiting, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->rows_waiting, b->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->bytes_waiting, b->slab_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->items_total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->rows_total, b->rows, memory_order_relaxed);
    if (!ring_push(f->items, item))
        flow_drop(f, item);
    flow_wake(f);
}

int outlet_push(struct outlet *o, struct batch *b, struct position at, struct flow_done *done)
{
    assert(exec_is_current(o->exec));
    if (!outlet_ready(o, b))
        return ERR_AGAIN;
    LIST_FOR_SAFE (link, after, &o->flows) {
        struct flow *f = CONTAINER_OF(link, struct flow, link);
        if (done)
            flow_done_hold(done);
        flow_push(f, b, o->stream, at, done);
    }
    flow_done_finish(done, (struct position){0, 0}, OK);
    return OK;
}
