/* The stage of tracks: follows the log, feeds the tracks, puts presences out, keeps checkpoints.
 * See track.h.
 *
 * A presence goes out with the position of the record that completed it as its key, so what a
 * replay makes a second time is dropped by whoever takes it (the stream log, keyed). A checkpoint
 * is stored only while nothing that was put out is still on its way to the disk.
 */
#include "track/track.h"

#include "base/log.h"
#include "journal/state.h"
#include "track/clocks.h"
#include "track/twice.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TRACK_TURN_RECORDS 64
#define TWICE_KEY          "track-twice"
/* Between tries after an error, until a checkpoint, and at most for a credit call that was missed.
 */
#define TRACK_WAIT_MS 1000

struct track_stage {
    struct feed feed;
    bool has_feed;
    struct journal *journal;
    track_alarm_fn *alarm;
    void *alarm_ctx;
    struct arena arena; /* options */
    struct track **tracks;
    uint32_t track_count;
    char *node;
    struct map streams; /* names that some track reads */
    struct exec *exec;
    struct exec_task task;
    struct exec_timer timer;
    struct position at; /* read up to here */
    int64_t stored_us;  /* when the checkpoint was stored; 0 = nothing to store */
    uint32_t pending;   /* batches put out and not durable yet */
    bool unsure;        /* one of them failed: no checkpoint any more */
    bool recover;       /* start anew from the checkpoint */
    bool running;
    struct twice twice;
    struct track_stats now;
    pthread_mutex_t mutex;
    struct track_stats stats; /* under the mutex */
};

static void track_publish(struct track_stage *t)
{
    t->now.at = t->at;
    t->now.twice = t->twice.found;
    (void)pthread_mutex_lock(&t->mutex);
    t->stats = t->now;
    (void)pthread_mutex_unlock(&t->mutex);
}

void track_stats_get(const struct track_stage *t, struct track_stats *ret)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&t->mutex;
    (void)pthread_mutex_lock(mutex);
    *ret = t->stats;
    (void)pthread_mutex_unlock(mutex);
}

/* ---------------------------------------------------------------------------------------- output
 */

struct track_done {
    struct flow_done done;
    struct track_stage *stage;
};

static void track_done_run(struct flow_done *done, struct position at, int err)
{
    struct track_done *d = CONTAINER_OF(done, struct track_done, done);
    struct track_stage *t = d->stage;
    (void)at;
    t->pending--;
    if (err && !t->unsure && t->running)
        log_warn("track", "a presence may not be durable: %s; it is made again at the next start",
                 err_text(err));
    t->unsure = t->unsure || err;
    free(d);
}

/* Pushes what the track holds. ERR_AGAIN: no credit, later. */
static int output_push(struct track_stage *t, struct track *s)
{
    if (!outlet_ready(&s->producer, s->held))
        return ERR_AGAIN;
    struct track_done *d = calloc(1, sizeof *d);
    if (!d)
        return ERR_NOMEM;
    d->stage = t;
    flow_done_init(&d->done, t->exec, track_done_run);
    t->pending++;
    int err = outlet_push(&s->producer, s->held, s->held_at, &d->done);
    if (err) {
        t->pending--;
        free(d);
        return err;
    }
    batch_unref(s->held);
    s->held = NULL;
    return OK;
}

/* Presences made by the record at `at` become one batch. */
static int output_hold(struct track *s, struct position at)
{
    if (batch_builder_rows(s->builder) == 0)
        return OK;
    int err = batch_builder_finish(s->builder, &s->held);
    s->held_at = at;
    return err;
}

/* OK when nothing is held any more. */
static int track_flush(struct track_stage *t)
{
    int err = OK;
    for (uint32_t i = 0; i < t->track_count && !err; i++)
        if (t->tracks[i]->held)
            err = output_push(t, t->tracks[i]);
    return err;
}

static void track_credit(struct outlet *o)
{
    struct track *s = CONTAINER_OF(o, struct track, producer);
    (void)exec_post(o->exec, &s->stage->task);
}

static bool track_holds(const struct track_stage *t)
{
    for (uint32_t i = 0; i < t->track_count; i++)
        if (t->tracks[i]->held)
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------ checkpoint
 */

static struct bytes checkpoint_key(const struct track *s, struct buf *b)
{
    (void)buf_printf(b, "track/%s/checkpoint", s->name);
    return buf_bytes(b);
}

/* Before the tracks' own: what it knows too much of, they put out before already. */
static int twice_store(struct track_stage *t)
{
    struct buf blob = {0};
    int err = twice_encode(&t->twice, &blob);
    if (!err)
        err = state_put(t->journal, bytes_of_text(TWICE_KEY), buf_bytes(&blob));
    buf_fini(&blob);
    return err;
}

static void twice_alarm(void *ctx, const char *serial, const char *text)
{
    struct track_stage *t = ctx;
    if (text)
        log_warn("track", "%s", text);
    t->alarm(t->alarm_ctx, "serial.twice", serial, text);
}

static void twice_load(struct track_stage *t)
{
    struct buf blob = {0};
    twice_fini(&t->twice);
    twice_init(&t->twice);
    t->twice.alarm = t->alarm ? twice_alarm : NULL;
    t->twice.ctx = t;
    if (t->journal && state_get(t->journal, bytes_of_text(TWICE_KEY), &blob) == OK &&
        twice_decode(&t->twice, buf_bytes(&blob)) != OK)
        log_warn("track", "which serials were where lately is not known any more");
    buf_fini(&blob);
}

struct twice *track_twice(struct track_stage *t)
{
    return &t->twice;
}

static int checkpoint_store(struct track_stage *t)
{
    int err = twice_store(t);
    for (uint32_t i = 0; i < t->track_count && !err; i++) {
        struct buf key = {0};
        struct buf blob = {0};
        struct track *s = t->tracks[i];
        /* A track that the record did not concern has nothing new but the position. */
        if (position_compare(t->at, s->at) > 0)
            s->at = t->at;
        err = checkpoint_encode(s, &blob);
        if (!err)
            err = state_put(t->journal, checkpoint_key(s, &key), buf_bytes(&blob));
        buf_fini(&key);
        buf_fini(&blob);
    }
    if (!err)
        t->feed.done(t->feed.ctx, t->at);
    return err;
}

/* Now and then, when everything that was put out is on the disk. */
static void track_checkpoint(struct track_stage *t, bool now)
{
    int64_t now_us = exec_now_us(t->exec);
    if (!t->journal || t->pending || t->unsure || t->recover || t->stored_us == 0 || track_holds(t))
        return;
    if (!now && now_us - t->stored_us < TRACK_CHECKPOINT_MS * 1000)
        return;
    int err = checkpoint_store(t);
    if (err)
        log_warn("track",
                 "the checkpoint cannot be stored: %s; the next start reads more of the log",
                 err_text(err));
    t->stored_us = 0;
}

static void checkpoint_load(struct track_stage *t, struct track *s)
{
    struct buf key = {0};
    struct buf blob = {0};
    track_reset(s);
    int err = t->journal ? state_get(t->journal, checkpoint_key(s, &key), &blob) : ERR_NOT_FOUND;
    if (!err)
        err = checkpoint_decode(s, buf_bytes(&blob));
    if (err && err != ERR_NOT_FOUND)
        log_warn("track", "%s starts without its earlier state: %s", s->name,
                 err == ERR_VERSION ? "its configuration or the program was changed"
                                    : err_text(err));
    buf_fini(&key);
    buf_fini(&blob);
}

/* ----------------------------------------------------------------------------------------- follow
 */

static bool track_wants(void *ctx, const struct feed_record *r)
{
    const struct track_stage *t = ctx;
    return bytes_equal(r->node, bytes_of_text(t->node)) && map_find(&t->streams, r->stream);
}

static int track_take(void *ctx, const struct feed_record *r, struct batch *batch)
{
    struct track_stage *t = ctx;
    int err = OK;
    for (uint32_t i = 0; i < t->track_count && !err; i++) {
        struct track *s = t->tracks[i];
        err = track_record(s, r->at, r->stream, batch);
        if (!err)
            err = output_hold(s, r->at);
    }
    batch_unref(batch);
    return err;
}

static int track_read(struct track_stage *t)
{
    const struct feed_consumer consumer = {
        .name = "track",
        .missing = "are lost",
        .ctx = t,
        .wants = track_wants,
        .take = track_take,
        .records = &t->now.records,
        .lost = &t->now.lost_records,
    };
    int err = feed_read(&t->feed, &consumer, &t->at);
    if (!err && t->stored_us == 0)
        t->stored_us = exec_now_us(t->exec);
    return err;
}

/* From the tracks' own state: what they have seen already they pass over. */
static int track_seek(struct track_stage *t)
{
    struct position first = {0, 0};
    for (uint32_t i = 0; i < t->track_count; i++) {
        struct position at = t->tracks[i]->at;
        if (i == 0 || position_compare(at, first) < 0)
            first = at;
    }
    t->at = first;
    return t->feed.seek(t->feed.ctx, first);
}

/* A record was taken in part: what the tracks know is thrown away. Presences that are made a
 * second time have the keys of the first and are dropped. */
static int track_recover(struct track_stage *t)
{
    twice_load(t);
    for (uint32_t i = 0; i < t->track_count; i++) {
        struct track *s = t->tracks[i];
        batch_unref(s->held);
        s->held = NULL;
        batch_builder_reset(s->builder);
        checkpoint_load(t, s);
    }
    int err = track_seek(t);
    t->recover = err != OK;
    return err;
}

static void track_turn(struct track_stage *t)
{
    int err = t->recover ? track_recover(t) : track_flush(t);
    for (int i = 0; !err && i < TRACK_TURN_RECORDS; i++) {
        err = track_read(t);
        if (!err)
            err = track_flush(t);
    }
    if (err && err != ERR_AGAIN) {
        log_warn("track", "cannot go on: %s; next try in %d ms", err_text(err), TRACK_WAIT_MS);
        t->recover = true;
    }
    if (!err)
        (void)exec_post(t->exec, &t->task);
    else if (t->recover || t->stored_us || track_holds(t))
        (void)exec_timer_start(t->exec, &t->timer, exec_now_us(t->exec) + TRACK_WAIT_MS * 1000);
    track_checkpoint(t, false);
    track_publish(t);
}

static void track_task_run(struct exec_task *task)
{
    struct track_stage *t = CONTAINER_OF(task, struct track_stage, task);
    if (t->running)
        track_turn(t);
}

static void track_timer_run(struct exec_timer *timer)
{
    struct track_stage *t = CONTAINER_OF(timer, struct track_stage, timer);
    if (t->running)
        track_turn(t);
}

/* ------------------------------------------------------------------------------------------ life
 */

int track_new(const struct track_options *options, struct track_stage **ret)
{
    struct track_stage *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&t->mutex, NULL);
    t->alarm = options->alarm;
    t->alarm_ctx = options->ctx;
    twice_init(&t->twice);
    exec_task_init(&t->task, track_task_run);
    exec_timer_init(&t->timer, track_timer_run);
    int err = exec_thread_new("track", 0, &t->exec);
    if (err) {
        track_free(t);
        return err;
    }
    track_feed_set(t, options->feed, options->journal);
    *ret = t;
    return OK;
}

void track_feed_set(struct track_stage *t, const struct feed *feed, struct journal *journal)
{
    t->has_feed = feed != NULL;
    if (feed)
        t->feed = *feed;
    t->journal = journal;
}

struct exec *track_exec(const struct track_stage *t)
{
    return t->exec;
}

static int track_add(struct track_stage *t, const struct config_object *object,
                     struct catalogue *catalogue, struct diag *diag)
{
    struct track *s = NULL;
    int err = track_make(object, &t->arena, catalogue, diag, &s);
    if (s)
        t->tracks[t->track_count++] = s;
    if (err || !s)
        return err ? err : ERR_NOMEM;
    s->stage = t;
    s->stats = &t->now;
    s->alarm = t->alarm;
    s->alarm_ctx = t->alarm_ctx;
    outlet_init(&s->producer, t->exec, s->stream, track_credit);
    s->stream->outlet = &s->producer;
    for (uint32_t i = 0; i < s->source_count && !err; i++)
        err = map_put(&t->streams, bytes_of_text(s->sources[i].stream), t, NULL);
    for (uint32_t i = 0; i < 2 * s->clock_count && !err; i++) {
        const struct clock_signal *signal = &s->clocks[i / 2].signals[i % 2];
        err = map_put(&t->streams, bytes_of_text(signal->stream), t, NULL);
    }
    return err;
}

int track_configure(struct track_stage *t, const struct config *config, struct catalogue *catalogue,
                    struct diag *diag)
{
    size_t count = config_count(config, CONFIG_TRACK);
    if (count > TRACK_TRACKS_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "a node has at most %d tracks", TRACK_TRACKS_MAX);
    t->node = strdup(catalogue->node);
    t->tracks = calloc(count ? count : 1, sizeof(struct track *));
    int err = t->node && t->tracks ? OK : ERR_NOMEM;
    for (size_t i = 0; !err && i < count; i++)
        err = track_add(t, config_object_at(config, CONFIG_TRACK, i), catalogue, diag);
    return err;
}

struct stream *track_output(const struct track_stage *t, uint32_t i, struct outlet **ret_producer)
{
    if (i >= t->track_count)
        return NULL;
    *ret_producer = &t->tracks[i]->producer;
    return t->tracks[i]->stream;
}

const struct track *track_at(const struct track_stage *t, uint32_t i)
{
    return i < t->track_count ? t->tracks[i] : NULL;
}

bool track_signal_at(const struct track_stage *t, uint32_t i, struct track_signal_of *ret)
{
    for (uint32_t k = 0; k < t->track_count; k++) {
        const struct track *s = t->tracks[k];
        for (uint32_t n = 0; n < s->input_count; n++) {
            const struct track_input *in = &s->inputs[n];
            if (!in->stream || i-- > 0)
                continue;
            *ret = (struct track_signal_of){s->name, in->stream, in->column};
            return true;
        }
        for (uint32_t n = 0; n < 2 * s->clock_count; n++) {
            const struct clock_signal *signal = &s->clocks[n / 2].signals[n % 2];
            if (i-- > 0)
                continue;
            *ret = (struct track_signal_of){s->name, signal->stream, signal->column};
            return true;
        }
    }
    return false;
}

static int track_start_run(void *ctx)
{
    struct track_stage *t = ctx;
    if (!t->has_feed || t->track_count == 0)
        return OK;
    int err = track_recover(t);
    if (err)
        return err;
    t->running = true;
    t->feed.watch(t->feed.ctx, t->exec, &t->task);
    (void)exec_post(t->exec, &t->task);
    return OK;
}

int track_start(struct track_stage *t, struct diag *diag)
{
    int err = exec_call(t->exec, track_start_run, t);
    return err ? diag_set(diag, err, 0, 0, "the tracks cannot follow the log: %s", err_text(err))
               : OK;
}

static int track_stop_run(void *ctx)
{
    struct track_stage *t = ctx;
    if (t->running) {
        t->running = false;
        t->feed.watch(t->feed.ctx, t->exec, NULL);
        exec_timer_stop(t->exec, &t->timer);
        track_checkpoint(t, true);
    }
    track_publish(t);
    return OK;
}

void track_stop(struct track_stage *t)
{
    (void)exec_call(t->exec, track_stop_run, t);
}

static int track_close_run(void *ctx)
{
    struct track_stage *t = ctx;
    for (uint32_t i = 0; i < t->track_count; i++)
        if (t->tracks[i]->stream)
            outlet_fini(&t->tracks[i]->producer);
    return OK;
}

void track_free(struct track_stage *t)
{
    if (!t)
        return;
    if (t->exec) {
        track_stop(t);
        (void)exec_call(t->exec, track_close_run, t);
        exec_thread_free(t->exec);
    }
    for (uint32_t i = 0; i < t->track_count; i++)
        track_drop(t->tracks[i]);
    free(t->tracks);
    map_fini(&t->streams);
    twice_fini(&t->twice);
    arena_fini(&t->arena);
    free(t->node);
    (void)pthread_mutex_destroy(&t->mutex);
    free(t);
}
