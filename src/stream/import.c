/* A group's past, from MQTT messages into the group's own stream.
 *
 * The rows go where the group's polls go: into the producer's outlet, on its thread, in the order
 * of arrival. What stands behind it (the log of a durable stream, or rules and tails straight away)
 * does not know them from polled ones, and a message is finished, so that its publisher gets the
 * PUBACK, when its rows are as safe as polled ones.
 *
 * A message is taken whole or refused whole, with the reason in the publisher's words. A group
 * costs next to nothing until somebody imports: reader and builder are made by the first message.
 *
 * When the node stops, the group's outlet loses its log before the broker loses its clients. A
 * durable stream whose outlet leads nowhere is therefore waited for, never finished: it would look
 * stored.
 */
#include "base/clock.h"
#include "base/log.h"
#include "stream/engine_priv.h"

#include <stdlib.h>
#include <string.h>

#define TIME_KEY "ts"

/* One message. */
struct import_item {
    struct flow_done done; /* of its batch */
    struct importer *importer;
    struct flow_item item;
    struct batch *batch; /* NULL: no rows */
};

/* ------------------------------------------------------------------------------------------- end
 */

static void item_done(struct flow_done *done, struct position at, int err)
{
    struct import_item *it = CONTAINER_OF(done, struct import_item, done);
    struct stream_engine *e = it->importer->engine;
    flow_finish(&it->item, at, err);
    batch_unref(it->batch);
    free(it);
    engine_busy_done(e);
}

/* Refused for what the message says, which sending it again would not change. */
static void item_refuse(struct importer *im, struct flow_item *item, const char *why)
{
    struct column client = batch_column(item->batch, MESSAGE_CLIENT);
    struct bytes who = column_is_null(&client, 0) ? bytes_of("", 0) : column_bytes(&client, 0);
    atomic_fetch_add_explicit(&im->refused, 1, memory_order_relaxed);
    log_warn("stream", "%s: an import by %.*s is refused: %s", im->stream->name, (int)who.len,
             (const char *)who.ptr, why);
    if (item->done && item->done->diag)
        (void)diag_set(item->done->diag, ERR_MALFORMED, 0, 0, "%s", why);
    flow_finish(item, (struct position){0, 0}, ERR_MALFORMED);
}

/* ---------------------------------------------------------------------------------------- decode
 */

static int importer_prepare(struct importer *im)
{
    const struct schema *schema = im->stream->schema;
    uint32_t rows = IMPORT_CELLS_MAX / schema->count;
    rows = rows > IMPORT_ROWS_MAX ? IMPORT_ROWS_MAX : rows;
    if (!im->reader) {
        int err = json_rows_reader_new(schema, im->stream->limits, TIME_KEY, &im->reader);
        if (err)
            return err;
    }
    return im->builder ? OK : batch_builder_new(schema, rows ? rows : 1, NULL, &im->builder);
}

/* A row of the future would make tracks and rules pass over what comes until then; one of 1970 was
 * meant in seconds. */
static int times_check(const struct importer *im, const struct batch *b, struct diag *diag)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    const int64_t *times = batch_times(b);
    int64_t last_us = exec_wall_us(im->exec) + IMPORT_AHEAD_US;
    for (uint32_t row = 0; row < b->rows; row++) {
        if (times[row] >= IMPORT_FIRST_US && times[row] <= last_us)
            continue;
        if (times[row] < IMPORT_FIRST_US)
            return diag_set(
                diag, ERR_SYNTAX, 0, 0,
                "row %u: its time lies before 1980: milliseconds are meant, not seconds", row + 1);
        size_t len = clock_format(last_us, text);
        return diag_set(diag, ERR_SYNTAX, 0, 0, "row %u: its time lies in the future, behind %.*s",
                        row + 1, (int)len, text);
    }
    return OK;
}

/* The message's rows; *ret NULL when it has none. */
static int message_decode(struct importer *im, struct bytes payload, struct batch **ret,
                          struct diag *diag)
{
    struct batch *b = NULL;
    int err = importer_prepare(im);
    if (err == ERR_EXISTS)
        return diag_set(diag, err, 0, 0,
                        "a tag of this group is called " TIME_KEY
                        ", as the time of a row: nothing can be imported");
    if (!err)
        err = buf_copy_padded(&im->payload, payload);
    if (err)
        return err;
    err = json_decode_rows(im->reader, buf_bytes(&im->payload), im->builder);
    if (err == ERR_SYNTAX)
        return diag_set(diag, err, 0, 0, "%s", json_error(im->reader));
    if (err || batch_builder_rows(im->builder) == 0)
        return err;
    err = batch_builder_finish(im->builder, &b);
    if (err) {
        batch_builder_reset(im->builder);
        return err;
    }
    err = times_check(im, b, diag);
    if (err)
        batch_unref(b);
    else
        *ret = b;
    return err;
}

/* ------------------------------------------------------------------------------------------ push
 */

/* Only while the node stops does a durable stream's outlet lead nowhere. */
static bool leads_nowhere(const struct importer *im)
{
    return im->stream->durable && !outlet_has_flows(im->out);
}

/* False: no credit; it is tried again when there is some. */
static bool waiting_push(struct importer *im)
{
    struct import_item *it = im->waiting;
    if (!it)
        return true;
    if (it->batch && leads_nowhere(im))
        return false;
    if (it->batch && outlet_push(im->out, it->batch, (struct position){0, 0}, &it->done)) {
        outlet_wait(im->out, &im->credit);
        return false;
    }
    im->waiting = NULL;
    if (!it->batch)
        flow_done_finish(&it->done, (struct position){0, 0}, OK);
    return true;
}

static bool message_take(struct importer *im)
{
    struct flow_item item;
    struct diag diag = {0};
    struct batch *b = NULL;
    if (!im->flow || !flow_take(im->flow, &item))
        return false;
    struct column payload = batch_column(item.batch, MESSAGE_PAYLOAD);
    atomic_fetch_add_explicit(&im->messages, 1, memory_order_relaxed);
    int err = message_decode(im, column_bytes(&payload, 0), &b, &diag);
    struct import_item *it = err ? NULL : calloc(1, sizeof *it);
    if (it) {
        it->importer = im;
        it->item = item;
        it->batch = b;
        atomic_fetch_add_explicit(&im->rows, b ? b->rows : 0, memory_order_relaxed);
        flow_done_init(&it->done, im->exec, item_done);
        engine_busy_add(im->engine);
        im->waiting = it;
        return true;
    }
    if (diag.text[0])
        item_refuse(im, &item, diag.text);
    else
        flow_finish(&item, item.at, err ? err : ERR_NOMEM);
    batch_unref(b);
    return true;
}

static void importer_turn(struct importer *im)
{
    for (int n = 0; n < RULE_ITEMS_PER_TURN; n++)
        if (!waiting_push(im) || !message_take(im))
            return;
    (void)exec_post(im->exec, &im->work);
}

static void work_run(struct exec_task *task)
{
    importer_turn(CONTAINER_OF(task, struct importer, work));
}

static void credit_run(struct outlet_waiter *w)
{
    importer_turn(CONTAINER_OF(w, struct importer, credit));
}

static void flow_ready(void *ctx, struct flow *f)
{
    (void)f;
    importer_turn(ctx);
}

/* ------------------------------------------------------------------------------------------ life
 */

static void flow_closed(void *ctx, struct flow *f)
{
    struct importer *im = ctx;
    struct import_item *it = im->waiting;
    im->flow = NULL;
    flow_unref(f);
    list_remove(&im->credit.link);
    im->waiting = NULL;
    if (it)
        flow_done_finish(&it->done, (struct position){0, 0}, ERR_CANCELLED);
    engine_busy_done(im->engine);
}

static void stop_run(struct exec_task *task)
{
    struct importer *im = CONTAINER_OF(task, struct importer, stop_task);
    if (im->flow)
        flow_close(im->flow);
    engine_busy_done(im->engine);
}

int importer_init(struct importer *im, struct stream_engine *e, struct stream *stream)
{
    struct flow_options o = {
        .name = stream->name,
        .consumer = stream->outlet->exec,
        .policy = FLOW_BLOCK,
        .items_max = IMPORT_FLOW_ITEMS,
        .bytes_max = IMPORT_FLOW_BYTES,
        .ctx = im,
        .on_ready = flow_ready,
        .on_closed = flow_closed,
    };
    im->engine = e;
    im->stream = stream;
    im->out = stream->outlet;
    im->exec = stream->outlet->exec;
    exec_task_init(&im->work, work_run);
    exec_task_init(&im->stop_task, stop_run);
    list_init(&im->credit.link);
    im->credit.fn = credit_run;
    im->filter = group_topic(stream, IMPORT_SUFFIX);
    return im->filter ? flow_new(&o, &im->flow) : ERR_NOMEM;
}

void importer_stop(struct importer *im)
{
    engine_busy_add(im->engine);
    (void)exec_post(im->exec, &im->stop_task);
}

void importer_fini(struct importer *im)
{
    flow_unref(im->flow);
    json_reader_free(im->reader);
    batch_builder_free(im->builder);
    buf_fini(&im->payload);
    free(im->filter);
}
