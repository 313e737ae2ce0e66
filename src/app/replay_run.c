/* A second track stage beside the node's own, fed from memory. See replay.h.
 *
 * The stage is what the node runs too: same code, same threads. It differs in what it is given (a
 * feed of batches in memory instead of the log), in that it keeps no checkpoints, and in where its
 * presences go (into a list). It has a catalogue of its own, since configuring adds streams.
 */
#include "app/replay.h"
#include "base/array.h"
#include "base/err.h"
#include "base/str.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUN_LOOK_MS 100 /* how often it is asked whether anybody still waits */

struct replay_run {
    struct catalogue catalogue;
    struct feed feed;
    struct track_stage *track;
    struct exec *sink;
    struct flow **flows;
    uint32_t flow_count;

    /* The sink's. */
    struct replay_list presences;
    bool keeps;
    struct replay_batch *kept;
    uint32_t kept_count;
    uint32_t kept_cap;
    int err;

    /* Under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    const struct replay_batch *batches;
    uint32_t batch_count;
    uint32_t batch_at;
    bool drained;
    bool sought;
    bool broken; /* the stage went back, which it does after a failure only */
    uint64_t seq;
    struct exec *exec;
    struct exec_task *task;
};

/* ------------------------------------------------------------------------------------------- feed
 */

static int run_seek(void *ctx, struct position after)
{
    struct replay_run *r = ctx;
    (void)after;
    (void)pthread_mutex_lock(&r->mutex);
    r->broken = r->broken || r->sought;
    r->sought = true;
    (void)pthread_mutex_unlock(&r->mutex);
    return OK;
}

static int run_next(void *ctx, struct feed_record *ret)
{
    struct replay_run *r = ctx;
    int err = OK;
    (void)pthread_mutex_lock(&r->mutex);
    if (r->batch_at < r->batch_count && !r->broken) {
        const struct replay_batch *b = &r->batches[r->batch_at++];
        *ret = (struct feed_record){.at = {1, ++r->seq},
                                    .node = bytes_of_text(r->catalogue.node),
                                    .stream = bytes_of_text(b->stream),
                                    .view = b->batch};
    } else {
        r->drained = true;
        (void)pthread_cond_signal(&r->cond);
        err = ERR_AGAIN;
    }
    (void)pthread_mutex_unlock(&r->mutex);
    return err;
}

static int run_batch(void *ctx, const struct feed_record *record, struct batch **ret)
{
    (void)ctx;
    *ret = batch_ref(record->view);
    return OK;
}

static void run_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    struct replay_run *r = ctx;
    (void)pthread_mutex_lock(&r->mutex);
    r->exec = exec;
    r->task = task;
    (void)pthread_mutex_unlock(&r->mutex);
}

static void run_done(void *ctx, struct position at)
{
    (void)ctx;
    (void)at;
}

static struct timespec look_again(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += RUN_LOOK_MS * 1000000L;
    at.tv_sec += at.tv_nsec / 1000000000L;
    at.tv_nsec %= 1000000000L;
    return at;
}

/* Under the mutex. */
static int run_wait(struct replay_run *r, const struct replay_stop *stop)
{
    int err = OK;
    while (!r->drained) {
        struct timespec until = look_again();
        (void)pthread_cond_timedwait(&r->cond, &r->mutex, &until);
        if (!err)
            err = stop->fn(stop->ctx);
        if (err)
            r->batch_at = r->batch_count; /* the rest is not given; what is under way ends */
    }
    return err;
}

int replay_run_feed(struct replay_run *r, struct replay_batch *batches, uint32_t count,
                    const struct replay_stop *stop)
{
    (void)pthread_mutex_lock(&r->mutex);
    r->batches = batches;
    r->batch_count = count;
    r->batch_at = 0;
    r->drained = false;
    (void)exec_post(r->exec, r->task);
    int err = run_wait(r, stop);
    if (!err && r->broken)
        err = ERR_INTERNAL;
    r->batch_count = 0;
    r->batch_at = 0;
    (void)pthread_mutex_unlock(&r->mutex);
    for (uint32_t i = 0; i < count; i++)
        batch_unref(batches[i].batch);
    return err;
}

/* ------------------------------------------------------------------------------------------- sink
 */

static const char *cell_text(struct arena *arena, const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    const char *text = column_is_null(&c, row) ? "" : arena_copy(arena, column_bytes(&c, row));
    return text ? text : "";
}

static const char *cell_unit(struct arena *arena, const struct batch *b, uint32_t row)
{
    struct column c = batch_column(b, TRACK_UNIT);
    struct bytes v = column_bytes(&c, row);
    char text[2 * TRACK_UNIT_BYTES + 1];
    str_hex(bytes_of(v.ptr, v.len < TRACK_UNIT_BYTES ? v.len : TRACK_UNIT_BYTES), text);
    const char *copy = arena_text(arena, text);
    return copy ? copy : "";
}

static struct value cell_of(const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    return column_value(&c, row);
}

static int presence_add(struct replay_list *l, const char *track, const struct batch *b,
                        uint32_t row)
{
    struct arena arena = {0};
    struct value retracted = cell_of(b, TRACK_RETRACTED, row);
    const struct replay_presence p = {
        .track = track,
        .station = cell_text(&arena, b, TRACK_STATION, row),
        .unit = cell_unit(&arena, b, row),
        .serial = cell_text(&arena, b, TRACK_SERIAL, row),
        .status = cell_text(&arena, b, TRACK_STATUS, row),
        .evidence = cell_text(&arena, b, TRACK_EVIDENCE, row),
        .t_in = cell_of(b, TRACK_T_IN, row).i64,
        .t_out = cell_of(b, TRACK_T_OUT, row).i64,
        .visit = cell_of(b, TRACK_VISIT, row).i64,
        .revision = cell_of(b, TRACK_REVISION, row).i64,
        .probability = cell_of(b, TRACK_PROBABILITY, row).f64,
        .retracted = retracted.type == VALUE_BOOL && retracted.boolean,
    };
    int err = replay_list_add(l, &p);
    arena_fini(&arena);
    return err;
}

static int batch_keep(struct replay_run *r, const struct flow_item *item)
{
    struct replay_batch *kept = array_room(r->kept, r->kept_count, &r->kept_cap, 64, sizeof *kept);
    if (!kept)
        return ERR_NOMEM;
    r->kept = kept;
    kept[r->kept_count++] = (struct replay_batch){item->stream->name, batch_ref(item->batch)};
    return OK;
}

static void sink_ready(void *ctx, struct flow *flow)
{
    struct replay_run *r = ctx;
    struct flow_item item;
    while (flow_take(flow, &item)) {
        const char *track = item.stream->name + strlen(TRACK_STREAM_PREFIX);
        for (uint32_t row = 0; !r->err && row < item.batch->rows; row++)
            r->err = presence_add(&r->presences, track, item.batch, row);
        if (!r->err && r->keeps)
            r->err = batch_keep(r, &item);
        flow_finish(&item, item.at, OK);
    }
}

static void sink_closed(void *ctx, struct flow *flow)
{
    (void)ctx;
    (void)flow;
}

static int sink_nothing(void *ctx)
{
    struct replay_run *r = ctx;
    return r->err;
}

int replay_run_presences(struct replay_run *r, struct replay_list **ret)
{
    int err = exec_call(r->sink, sink_nothing, r);
    if (!err)
        *ret = &r->presences;
    return err;
}

void replay_run_keep(struct replay_run *r)
{
    r->keeps = true;
}

int replay_run_batches(struct replay_run *r, struct replay_batch **ret, uint32_t *ret_count)
{
    int err = exec_call(r->sink, sink_nothing, r);
    *ret = NULL;
    *ret_count = 0;
    if (err)
        return err;
    *ret = r->kept;
    *ret_count = r->kept_count;
    r->kept = NULL;
    r->kept_count = 0;
    r->kept_cap = 0;
    return OK;
}

static int run_attach(struct replay_run *r, uint32_t i, struct outlet *producer)
{
    const struct flow_options options = {
        .name = "replay",
        .consumer = r->sink,
        .policy = FLOW_BLOCK,
        .ctx = r,
        .on_ready = sink_ready,
        .on_closed = sink_closed,
    };
    int err = flow_new(&options, &r->flows[i]);
    if (err)
        return err;
    r->flow_count++;
    outlet_attach(producer, r->flows[i]);
    return OK;
}

/* ------------------------------------------------------------------------------------------- life
 */

static int run_catalogue(struct replay_run *r, const struct catalogue *from)
{
    int err = catalogue_init(&r->catalogue, from->node);
    for (size_t i = 0; !err && i < from->streams.count; i++) {
        const struct stream *s = from->streams.entries[i].value;
        struct stream *copy = NULL;
        if (s->kind == STREAM_PRESENCE)
            continue;
        err = catalogue_stream_add(&r->catalogue, s->name, s->kind, s->place, s->schema, &copy);
    }
    return err;
}

static int run_track(struct replay_run *r, const struct config *config, struct diag *diag)
{
    const struct track_options options = {.node = r->catalogue.node, .feed = &r->feed};
    struct outlet *producer = NULL;
    size_t count = config_count(config, CONFIG_TRACK);
    int err = track_new(&options, &r->track);
    if (!err)
        err = track_configure(r->track, config, &r->catalogue, diag);
    if (!err)
        err = exec_thread_new("replay", 0, &r->sink);
    r->flows = calloc(count + 1, sizeof(struct flow *));
    if (!err && !r->flows)
        err = ERR_NOMEM;
    for (uint32_t i = 0; !err && track_output(r->track, i, &producer); i++)
        err = run_attach(r, i, producer);
    return err;
}

static void run_sync_init(struct replay_run *r)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->cond, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&r->mutex, NULL);
}

int replay_run_new(const struct config *config, const struct catalogue *catalogue,
                   struct replay_run **ret, struct diag *diag)
{
    struct replay_run *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    run_sync_init(r);
    r->feed = (struct feed){.ctx = r,
                            .seek = run_seek,
                            .next = run_next,
                            .batch = run_batch,
                            .watch = run_watch,
                            .done = run_done};
    int err = run_catalogue(r, catalogue);
    if (!err)
        err = run_track(r, config, diag);
    if (err) {
        replay_run_free(r);
        return err;
    }
    *ret = r;
    return OK;
}

const struct track_stage *replay_run_track(const struct replay_run *r)
{
    return r->track;
}

const struct catalogue *replay_run_catalogue(const struct replay_run *r)
{
    return &r->catalogue;
}

int replay_run_start(struct replay_run *r, struct diag *diag)
{
    return track_start(r->track, diag);
}

void replay_run_free(struct replay_run *r)
{
    if (!r)
        return;
    track_free(r->track);
    exec_thread_free(r->sink);
    for (uint32_t i = 0; i < r->flow_count; i++)
        flow_unref(r->flows[i]);
    free(r->flows);
    for (uint32_t i = 0; i < r->kept_count; i++)
        batch_unref(r->kept[i].batch);
    free(r->kept);
    catalogue_fini(&r->catalogue);
    replay_list_fini(&r->presences);
    (void)pthread_cond_destroy(&r->cond);
    (void)pthread_mutex_destroy(&r->mutex);
    free(r);
}
