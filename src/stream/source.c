/* MQTT messages into the batches of a stream.
 *
 * A message batch's item is finished only when every batch that was decoded from it is: the done of
 * the stream's batches is chained to it, so that a publisher's PUBACK waits for the log. A message
 * that is not JSON gives no rows; it is counted, and acknowledged, since sending it again would not
 * help.
 */
#include "base/log.h"
#include "stream/engine_priv.h"

#include <stdlib.h>
#include <string.h>

struct source_item {
    struct flow_done done; /* of the decoded batches together */
    struct source *source;
    struct flow_item item;
    struct batch **batches;
    uint32_t count;
    uint32_t pushed;
};

static void source_turn(struct source *s);

static void item_done(struct flow_done *done, struct position at, int err)
{
    struct source_item *it = CONTAINER_OF(done, struct source_item, done);
    struct stream_engine *e = it->source->engine;
    flow_finish(&it->item, at, err);
    for (uint32_t i = 0; i < it->count; i++)
        batch_unref(it->batches[i]);
    free(it->batches);
    free(it);
    engine_busy_done(e);
}

static int batches_add(struct source_item *it, struct batch *b)
{
    struct batch **more = realloc(it->batches, (it->count + 1u) * sizeof(struct batch *));
    if (!more) {
        batch_unref(b);
        return ERR_NOMEM;
    }
    it->batches = more;
    it->batches[it->count++] = b;
    return OK;
}

static int builder_flush(struct source *s, struct source_item *it)
{
    struct batch *b = NULL;
    if (!s->builder || batch_builder_rows(s->builder) == 0)
        return OK;
    int err = batch_builder_finish(s->builder, &b);
    return err ? err : batches_add(it, b);
}

static int decode_declared(struct source *s, struct source_item *it, int64_t time_us)
{
    int err = json_decode(s->reader, buf_bytes(&s->payload), time_us, s->builder);
    if (err != ERR_LIMIT || batch_builder_rows(s->builder) == 0)
        return err;
    /* The builder is full: what it has goes, and the message has it for itself. */
    err = builder_flush(s, it);
    return err ? err : json_decode(s->reader, buf_bytes(&s->payload), time_us, s->builder);
}

static void message_decode(struct source *s, struct source_item *it, struct bytes payload,
                           int64_t time_us)
{
    struct batch *b = NULL;
    int err = buf_copy_padded(&s->payload, payload);
    if (!err && s->builder)
        err = decode_declared(s, it, time_us);
    else if (!err)
        err = json_decode_any(s->reader, buf_bytes(&s->payload), time_us, NULL, &b);
    if (!err && b)
        err = batches_add(it, b);
    atomic_fetch_add_explicit(&s->messages, 1, memory_order_relaxed);
    if (!err)
        return;
    if (atomic_fetch_add_explicit(&s->malformed, 1, memory_order_relaxed) == 0)
        log_warn("stream", "%s: a message on %s was left out, it is no JSON: %s", s->stream->name,
                 s->filter, json_error(s->reader));
}

static void item_decode(struct source *s, struct source_item *it)
{
    const struct batch *b = it->item.batch;
    struct column payload = batch_column(b, MESSAGE_PAYLOAD);
    for (uint32_t i = 0; i < b->rows; i++)
        if (!column_is_null(&payload, i))
            message_decode(s, it, column_bytes(&payload, i), batch_times(b)[i]);
    if (builder_flush(s, it) != OK)
        atomic_fetch_add_explicit(&s->malformed, 1, memory_order_relaxed);
}

/* False: no credit; the rest goes when there is some. The done was held once at first, so that it
 * cannot come before the last push. */
static bool item_push(struct source *s, struct source_item *it)
{
    while (it->pushed < it->count) {
        flow_done_hold(&it->done);
        int err = outlet_push(&s->out, it->batches[it->pushed], (struct position){0, 0}, &it->done);
        if (err) {
            flow_done_finish(&it->done, (struct position){0, 0}, OK);
            return false;
        }
        it->pushed++;
    }
    s->waiting = NULL;
    flow_done_finish(&it->done, (struct position){0, 0}, OK);
    return true;
}

static bool item_take(struct source *s)
{
    struct flow_item item;
    if (!s->flow || !flow_take(s->flow, &item))
        return false;
    struct source_item *it = calloc(1, sizeof *it);
    if (!it) {
        flow_finish(&item, item.at, ERR_NOMEM);
        return true;
    }
    it->source = s;
    it->item = item;
    flow_done_init(&it->done, s->exec, item_done);
    engine_busy_add(s->engine);
    item_decode(s, it);
    s->waiting = it;
    return true;
}

static void source_turn(struct source *s)
{
    for (int n = 0; n < RULE_ITEMS_PER_TURN; n++) {
        if (s->waiting && !item_push(s, s->waiting))
            return;
        if (!item_take(s))
            return;
    }
    (void)exec_post(s->exec, &s->work);
}

static void work_run(struct exec_task *task)
{
    source_turn(CONTAINER_OF(task, struct source, work));
}

static void out_credit(struct outlet *o)
{
    source_turn(CONTAINER_OF(o, struct source, out));
}

static void flow_ready(void *ctx, struct flow *f)
{
    (void)f;
    source_turn(ctx);
}

static void flow_closed(void *ctx, struct flow *f)
{
    struct source *s = ctx;
    struct source_item *it = s->waiting;
    s->flow = NULL;
    flow_unref(f);
    if (it) {
        s->waiting = NULL;
        flow_done_finish(&it->done, (struct position){0, 0}, ERR_CANCELLED);
    }
    outlet_fini(&s->out);
    engine_busy_done(s->engine);
}

static void stop_run(struct exec_task *task)
{
    struct source *s = CONTAINER_OF(task, struct source, stop_task);
    if (s->flow)
        flow_close(s->flow);
    engine_busy_done(s->engine);
}

int source_init(struct source *s, struct stream_engine *e, const char *filter,
                struct stream *stream, struct exec *exec)
{
    struct flow_options o = {
        .name = stream->name,
        .consumer = exec,
        .policy = FLOW_BLOCK,
        .ctx = s,
        .on_ready = flow_ready,
        .on_closed = flow_closed,
    };
    s->engine = e;
    s->filter = filter;
    s->exec = exec;
    s->stream = stream;
    exec_task_init(&s->work, work_run);
    exec_task_init(&s->stop_task, stop_run);
    outlet_init(&s->out, exec, stream, out_credit);
    stream->outlet = &s->out;
    int err = json_reader_new(stream->schema, &s->reader);
    if (!err && stream->schema)
        err = batch_builder_new(stream->schema, SOURCE_ROWS_MAX, NULL, &s->builder);
    if (!err)
        err = flow_new(&o, &s->flow);
    return err;
}

void source_stop(struct source *s)
{
    engine_busy_add(s->engine);
    (void)exec_post(s->exec, &s->stop_task);
}

void source_fini(struct source *s)
{
    flow_unref(s->flow);
    json_reader_free(s->reader);
    batch_builder_free(s->builder);
    buf_fini(&s->payload);
}
