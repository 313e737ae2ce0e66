/* The writer: follows the log, gathers points, commits, and never skips. See historian.h.
 *
 * Whatever fails, there is one way out: forget what waits, wait a little longer each time, make
 * memory agree with the database (store_open) and read the log again from the position the
 * database has. So no error path has to know how far the transaction got.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "historian/historian_priv.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITER_TURN_RECORDS   64  /* then other tasks of the thread have their turn */
#define WRITER_NAME_BYTES_MAX 600 /* "node:stream" */

void writer_publish(struct historian *h)
{
    (void)pthread_mutex_lock(&h->mutex);
    uint64_t queries = h->stats.queries;
    h->stats = h->now;
    h->stats.queries = queries;
    h->stats.waiting_points = h->points.cells;
    (void)pthread_mutex_unlock(&h->mutex);
}

/* Said once, by whoever owns the event: the app if it listens. */
static void writer_state(struct historian *h, int err, const char *text)
{
    if (err == h->now.err)
        return;
    h->now.err = err;
    if (h->options.on_state)
        h->options.on_state(h->options.ctx, err, text);
    else if (err)
        log_error("historian", "cannot write, will try again: %s", text);
    else
        log_info("historian", "writes again");
}

static void writer_forget(struct historian *h)
{
    points_clear(&h->points);
    txn_reset(&h->txn);
    h->waiting_since_us = 0;
}

static void writer_failed(struct historian *h, int err, const char *text)
{
    writer_forget(h);
    h->recover = true;
    h->now.failures++;
    writer_state(h, err, text && text[0] ? text : err_text(err));
    h->backoff_ms = h->backoff_ms ? h->backoff_ms * 2 : HISTORIAN_BACKOFF_MS_MIN;
    if (h->backoff_ms > HISTORIAN_BACKOFF_MS_MAX)
        h->backoff_ms = HISTORIAN_BACKOFF_MS_MAX;
    if (h->running)
        (void)exec_timer_start(h->writer, &h->timer, exec_now_us(h->writer) + h->backoff_ms * 1000);
}

/* --------------------------------------------------------------------------------------- records
 */

/* Own streams were chosen by configuration; another node's by their names alone. */
static bool writer_keeps(const struct historian *h, const struct feed_record *r)
{
    if (!h->configured)
        return true;
    if (h->node && bytes_equal(r->node, bytes_of_text(h->node)))
        return map_find(&h->keep, r->stream) != NULL;
    char text[WRITER_NAME_BYTES_MAX];
    if (str_starts(r->stream, "presence.") || r->node.len + r->stream.len + 2 > sizeof text)
        return false;
    (void)snprintf(text, sizeof text, "%.*s:%.*s", (int)r->node.len, (const char *)r->node.ptr,
                   (int)r->stream.len, (const char *)r->stream.ptr);
    return historian_chooses(h, bytes_of_text(text)) || historian_chooses(h, r->stream);
}

static bool writer_wants(void *ctx, const struct feed_record *r)
{
    const struct historian *h = ctx;
    bool wants = writer_keeps(h, r);
    for (uint32_t i = 0; !wants && i < h->tap_count; i++)
        wants = h->taps[i].wants(h->taps[i].ctx, r);
    return wants;
}

/* Takes one reference of batch, also on failure. */
static int writer_take(void *ctx, const struct feed_record *r, struct batch *batch)
{
    struct historian *h = ctx;
    bool points = writer_keeps(h, r);
    int err = OK;
    h->txn.known_us = clock_wall_us();
    for (uint32_t i = 0; !err && i < h->tap_count; i++) {
        bool keep = true;
        if (!h->taps[i].wants(h->taps[i].ctx, r))
            continue;
        err = h->taps[i].on_record(h->taps[i].ctx, r, batch, &h->txn, &keep);
        points = points && keep;
    }
    struct source *source = NULL;
    if (!err && points)
        err = tags_source(&h->tags, r->node, r->stream, batch->schema, &source);
    if (!err && points)
        err = points_add(&h->points, source, batch);
    if (err || !points)
        batch_unref(batch);
    return err;
}

/* Reads one record. ERR_AGAIN: there is none. */
static int writer_read(struct historian *h)
{
    const struct feed_consumer consumer = {
        .name = "historian",
        .missing = "are not in the history",
        .ctx = h,
        .wants = writer_wants,
        .take = writer_take,
        .records = &h->now.records,
        .lost = &h->now.lost_records,
    };
    int err = feed_read(&h->feed, &consumer, &h->seen);
    if (!err && h->waiting_since_us == 0)
        h->waiting_since_us = exec_now_us(h->writer);
    return err;
}

/* ---------------------------------------------------------------------------------------- commit
 */

static int writer_commit(struct historian *h, struct diag *diag)
{
    int err = store_commit(h, diag);
    if (err)
        return err;
    h->waiting_since_us = 0;
    h->backoff_ms = 0;
    writer_state(h, OK, "");
    if (h->has_feed)
        h->feed.done(h->feed.ctx, h->now.at);
    return OK;
}

static int64_t writer_due_us(const struct historian *h)
{
    if (h->waiting_since_us == 0)
        return INT64_MAX;
    bool idle = h->points.count == 0 && h->txn.count == 0;
    return h->waiting_since_us + (idle ? HISTORIAN_IDLE_MS : h->options.linger_ms) * 1000;
}

static int writer_recover(struct historian *h, struct diag *diag)
{
    writer_forget(h);
    int err = store_open(h, diag);
    if (!err)
        err = h->feed.seek(h->feed.ctx, h->now.at);
    if (err)
        return err;
    h->seen = h->now.at;
    h->recover = false;
    return OK;
}

/* What bounds the memory of a commit: points that wait, and rows of other tables. */
static bool writer_is_full(const struct historian *h)
{
    return h->points.cells + h->txn.count >= h->options.commit_rows;
}

/* Reads until there is nothing, or enough for a commit. */
static int writer_gather(struct historian *h, bool *ret_more)
{
    int err = OK;
    for (int i = 0; !err && i < WRITER_TURN_RECORDS; i++) {
        if (writer_is_full(h))
            break;
        err = writer_read(h);
    }
    *ret_more = err == OK;
    return err == ERR_AGAIN ? OK : err;
}

static void writer_turn(struct historian *h)
{
    struct diag diag = {0};
    bool more = false;
    int err = h->recover ? writer_recover(h, &diag) : OK;
    if (!err)
        err = writer_gather(h, &more);
    if (!err && (writer_is_full(h) || writer_due_us(h) <= exec_now_us(h->writer)))
        err = writer_commit(h, &diag);
    if (err) {
        writer_failed(h, err, diag.text);
    } else if (more) {
        (void)exec_post(h->writer, &h->task);
    } else if (h->waiting_since_us) {
        (void)exec_timer_start(h->writer, &h->timer, writer_due_us(h));
    }
    writer_publish(h);
}

static void writer_task_run(struct exec_task *task)
{
    struct historian *h = CONTAINER_OF(task, struct historian, task);
    /* While it recovers only the timer goes on: a disk that is full stays so for a while. */
    if (h->running && !h->recover)
        writer_turn(h);
}

static void writer_timer_run(struct exec_timer *timer)
{
    struct historian *h = CONTAINER_OF(timer, struct historian, timer);
    if (h->running)
        writer_turn(h);
}

/* ------------------------------------------------------------------------------------------ life
 */

void writer_init(struct historian *h)
{
    exec_task_init(&h->task, writer_task_run);
    exec_timer_init(&h->timer, writer_timer_run);
    txn_reset(&h->txn);
}

/* A file that is there and ours to write, and that the database refuses all the same: its own words
 * name no way out. */
static void writer_explain(const struct historian *h, struct diag *diag)
{
    struct stat info;
    struct diag reason = *diag;
    if (stat(h->path, &info) || !S_ISREG(info.st_mode) || access(h->path, R_OK | W_OK))
        return;
    (void)diag_set(
        diag, ERR_DATABASE, 0, 0,
        "%s cannot be used: restore a backup (lotline restore), or move it away together "
        "with its .wal, and the next start fills a new one from what the journal still "
        "holds; %s",
        h->path, reason.text);
}

int writer_start(struct historian *h, struct diag *diag)
{
    int err = store_open(h, diag);
    if (err == ERR_DATABASE && diag)
        writer_explain(h, diag);
    if (!err && h->has_feed)
        err = h->feed.seek(h->feed.ctx, h->now.at);
    if (err) {
        store_close(h);
        return err;
    }
    h->seen = h->now.at;
    h->recover = false;
    writer_publish(h);
    if (!h->has_feed)
        return OK;
    h->running = true;
    h->feed.watch(h->feed.ctx, h->writer, &h->task);
    (void)exec_post(h->writer, &h->task);
    return OK;
}

void writer_stop(struct historian *h)
{
    if (h->running)
        h->feed.watch(h->feed.ctx, h->writer, NULL);
    h->running = false;
    exec_timer_stop(h->writer, &h->timer);
    struct diag diag = {0};
    if (h->conn && !h->recover && h->waiting_since_us && writer_commit(h, &diag))
        log_warn("historian", "the last points wait in the log: %s", diag.text);
    writer_forget(h);
    store_close(h);
    tags_fini(&h->tags);
    writer_publish(h);
}

int historian_append(struct historian *h, const char *node, const char *stream, struct batch *batch,
                     struct position at, struct diag *diag)
{
    struct feed_record r = {.at = at, .node = bytes_of_text(node), .stream = bytes_of_text(stream)};
    int err = writer_take(h, &r, batch);
    if (err)
        return err;
    if (position_compare(at, h->seen) > 0)
        h->seen = at;
    return writer_is_full(h) ? historian_commit(h, diag) : OK;
}

int historian_commit(struct historian *h, struct diag *diag)
{
    struct diag own = {0};
    diag = diag ? diag : &own;
    int err = h->conn ? writer_commit(h, diag) : ERR_CLOSED;
    if (err && h->running)
        writer_failed(h, err, diag->text);
    writer_publish(h);
    return err;
}
