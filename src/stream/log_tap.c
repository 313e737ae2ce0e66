/* A tap: takes a producer's batches, appends them, hands them on, and finishes them when durable.
 *
 * One batch at a time waits in the tap: for space in the log, or for credit of a blocking flow
 * behind the stream. While it does, nothing more is taken, and the producer runs out of credit. A
 * batch is handed on only after its append, so it is appended only when it can be handed on.
 */
#include "base/log.h"
#include "codec/columnar.h"
#include "stream/log_priv.h"

#include <stdlib.h>

/* ----------------------------------------------------------------------------------- pending */

static struct log_pending *pending_take(struct stream_log *sl)
{
    struct log_pending *p = sl->free_pending;
    if (p)
        sl->free_pending = p->next;
    else
        p = calloc(1, sizeof *p);
    if (p)
        p->sl = sl;
    return p;
}

static void pending_give(struct log_pending *p)
{
    p->next = p->sl->free_pending;
    p->sl->free_pending = p;
}

static void pending_durable(struct journal_wait *wait, struct position at, int err)
{
    struct log_pending *p = CONTAINER_OF(wait, struct log_pending, wait);
    struct stream_log *sl = p->sl;
    flow_finish(&p->item, at, err);
    pending_give(p);
    sl->pending_count--;
    log_stop_check(sl);
}

/* ------------------------------------------------------------------------------------- append */

static struct record_key key_of(const struct flow_item *item)
{
    return (struct record_key){item->at.epoch, item->at.seq};
}

static bool key_is_above(struct record_key a, struct record_key b)
{
    return a.major != b.major ? a.major > b.major : a.minor > b.minor;
}

static void key_raise(struct stream_log *sl, struct log_key *key, struct record_key to)
{
    (void)pthread_mutex_lock(&sl->mutex);
    key->highest = to;
    (void)pthread_mutex_unlock(&sl->mutex);
}

static bool tap_is_repeat(const struct log_tap *tap)
{
    return tap->key && !key_is_above(key_of(&tap->item), tap->key->highest);
}

/* The record in sl->scratch. */
static int tap_encode(struct log_tap *tap)
{
    struct stream_log *sl = tap->sl;
    const struct batch *b = tap->item.batch;
    if (tap->schema_hash != b->schema->hash) {
        int err = stream_log_schema_put(sl, b->schema);
        if (err)
            return err;
        tap->schema_hash = b->schema->hash;
    }
    struct record head = {
        .node = bytes_of_text(sl->node),
        .stream = bytes_of_text(tap->stream->name),
    };
    if (tap->key)
        head.key = key_of(&tap->item);
    buf_reset(&sl->scratch);
    int err = record_head_encode(&head, &sl->scratch);
    return err ? err : columnar_encode(b, NULL, &sl->scratch);
}

static int tap_append(struct log_tap *tap, struct journal_wait *wait, struct position *ret_at)
{
    struct stream_log *sl = tap->sl;
    int err = tap_encode(tap);
    if (err)
        return err;
    struct bytes payload = buf_bytes(&sl->scratch);
    struct journal_record record = {
        .codec = RECORD_CODEC_COLUMNAR,
        .time_us = exec_wall_us(sl->exec),
        .parts = &payload,
        .part_count = 1,
    };
    err = journal_append(sl->log, &record, wait, ret_at);
    if (err)
        return err;
    atomic_fetch_add_explicit(&sl->batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sl->rows, tap->item.batch->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&sl->bytes, payload.len, memory_order_relaxed);
    if (tap->key)
        key_raise(sl, tap->key, key_of(&tap->item));
    log_seen_changed(sl);
    return OK;
}

/* A repeat needs no place; it is safe when what it repeats is. */
static int tap_repeat(struct log_tap *tap, struct log_pending *p)
{
    int err = journal_commit_wait(tap->sl->log, &p->wait);
    if (!err)
        atomic_fetch_add_explicit(&tap->sl->key_repeats, 1, memory_order_relaxed);
    return err;
}

/* Appends the waiting item and hands it on. */
static int tap_put(struct log_tap *tap)
{
    struct stream_log *sl = tap->sl;
    bool repeat = tap_is_repeat(tap);
    if (!repeat && !outlet_ready(&tap->outlet, tap->item.batch))
        return ERR_AGAIN;
    struct log_pending *p = pending_take(sl);
    if (!p)
        return ERR_NOMEM;
    struct position at = {0, 0};
    p->wait.fn = pending_durable;
    p->item = tap->item;
    int err = repeat ? tap_repeat(tap, p) : tap_append(tap, &p->wait, &at);
    if (err) {
        pending_give(p);
        return err;
    }
    sl->pending_count++;
    tap->has_item = false;
    if (!repeat)
        (void)outlet_push(&tap->outlet, p->item.batch, at, NULL);
    return OK;
}

/* True for what passes by itself: the batch waits. */
static bool err_is_passing(const struct log_tap *tap, int err)
{
    if (err == ERR_AGAIN)
        return true;
    return (err == ERR_NO_SPACE || err == ERR_NOMEM) &&
           !atomic_load_explicit(&tap->sl->draining, memory_order_relaxed);
}

static void tap_count_waiting(struct log_tap *tap, bool waits)
{
    if (tap->counted == waits)
        return;
    tap->counted = waits;
    if (waits)
        atomic_fetch_add_explicit(&tap->sl->waiting, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&tap->sl->waiting, 1, memory_order_relaxed);
}

static void tap_refuse(struct log_tap *tap, int err)
{
    if (!tap->gave_up)
        log_warn("streams", "a batch of %s (%u rows) cannot be logged and is lost: %s",
                 tap->stream->name, tap->item.batch->rows, err_text(err));
    /* What comes behind it would make it look like a repeat when it is made again. */
    tap->gave_up = atomic_load_explicit(&tap->sl->draining, memory_order_relaxed);
    tap->has_item = false;
    flow_finish(&tap->item, (struct position){0, 0}, err);
}

void log_tap_pump(struct log_tap *tap)
{
    struct stream_log *sl = tap->sl;
    while (!sl->stopping && (tap->has_item || flow_take(tap->flow, &tap->item))) {
        tap->has_item = true;
        int err = tap->gave_up ? ERR_CANCELLED : tap_put(tap);
        bool waits = err && err_is_passing(tap, err);
        tap_count_waiting(tap, waits);
        if (err && !waits)
            tap_refuse(tap, err);
        /* Credit is told by the outlet; of space nobody tells. */
        if (waits && err != ERR_AGAIN && !exec_timer_active(&sl->retry_timer))
            (void)exec_timer_start(sl->exec, &sl->retry_timer,
                                   exec_now_us(sl->exec) + STREAM_LOG_RETRY_US);
        if (waits)
            return;
    }
}

void log_retry_run(struct exec_timer *timer)
{
    struct stream_log *sl = CONTAINER_OF(timer, struct stream_log, retry_timer);
    LIST_FOR (link, &sl->taps)
        log_tap_pump(CONTAINER_OF(link, struct log_tap, link));
}

/* --------------------------------------------------------------------------------- begin, end */

static void tap_ready(void *ctx, struct flow *f)
{
    (void)f;
    log_tap_pump(ctx);
}

static void tap_credit(struct outlet *o)
{
    log_tap_pump(CONTAINER_OF(o, struct log_tap, outlet));
}

static void tap_closed(void *ctx, struct flow *f)
{
    struct log_tap *tap = ctx;
    (void)f;
    tap->closed = true;
    log_stop_check(tap->sl);
}

void log_tap_close(struct log_tap *tap)
{
    if (tap->has_item) {
        tap->has_item = false;
        flow_finish(&tap->item, (struct position){0, 0}, ERR_CANCELLED);
    }
    tap_count_waiting(tap, false);
    flow_close(tap->flow);
    outlet_fini(&tap->outlet);
}

void log_tap_free(struct log_tap *tap)
{
    flow_unref(tap->flow);
    free(tap);
}

static int tap_new(struct stream_log *sl, struct stream *stream, uint32_t flags,
                   struct log_tap **ret)
{
    struct log_tap *tap = calloc(1, sizeof *tap);
    if (!tap)
        return ERR_NOMEM;
    tap->sl = sl;
    tap->stream = stream;
    list_init(&tap->link);
    outlet_init(&tap->outlet, sl->exec, stream, tap_credit);
    struct flow_options o = {
        .name = stream->name,
        .consumer = sl->exec,
        .policy = FLOW_BLOCK,
        .bytes_max = sl->options.waiting_bytes_max,
        .ctx = tap,
        .on_ready = tap_ready,
        .on_closed = tap_closed,
    };
    int err = flow_new(&o, &tap->flow);
    if (!err && (flags & STREAM_LOG_KEYED))
        err = log_key_get(sl, bytes_of_text(stream->name), &tap->key);
    if (err) {
        log_tap_free(tap);
        return err;
    }
    *ret = tap;
    return OK;
}

struct tap_add {
    struct exec_task task;
    struct log_tap *tap;
};

static void tap_add_run(struct exec_task *task)
{
    struct tap_add *add = CONTAINER_OF(task, struct tap_add, task);
    struct log_tap *tap = add->tap;
    free(add);
    list_push_back(&tap->sl->taps, &tap->link);
}

struct outlet *stream_log_insert(struct stream_log *sl, struct stream *stream,
                                 struct outlet *producer_side, uint32_t flags)
{
    struct log_tap *tap;
    struct tap_add *add = calloc(1, sizeof *add);
    if (!add || tap_new(sl, stream, flags, &tap)) {
        free(add);
        return NULL;
    }
    /* Stored now, and not on the journal thread with the first batch. If it cannot be, it is tried
     * again there. */
    if (stream->schema && stream_log_schema_put(sl, stream->schema) == OK)
        tap->schema_hash = stream->schema->hash;
    stream->outlet = &tap->outlet;
    add->tap = tap;
    exec_task_init(&add->task, tap_add_run);
    (void)exec_post(sl->exec, &add->task);
    /* From this thread, so that it is in the producer's queue before whatever starts it. */
    outlet_attach(producer_side, tap->flow);
    return &tap->outlet;
}
