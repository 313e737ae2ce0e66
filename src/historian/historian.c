/* The historian's life, its configuration, lending connections to readers, and the copy for a
 * backup. See historian.h.
 */
#include "historian/historian.h"

#include "base/log.h"
#include "base/str.h"
#include "historian/historian_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* DuckDB's parser and planner recurse: their threads get room for it, touched only as needed. */
#define HISTORIAN_STACK_BYTES ((size_t)8 << 20)

static int historian_copy_options(struct historian *h, const struct historian_options *o)
{
    h->options = *o;
    if (o->path && !(h->path = strdup(o->path)))
        return ERR_NOMEM;
    if (h->options.commit_rows == 0)
        h->options.commit_rows = HISTORIAN_COMMIT_ROWS_DEFAULT;
    if (h->options.linger_ms == 0)
        h->options.linger_ms = HISTORIAN_LINGER_MS_DEFAULT;
    if (o->stream_count > HISTORIAN_STREAMS_MAX)
        return ERR_LIMIT;
    h->patterns = calloc(o->stream_count ? o->stream_count : 1, sizeof *h->patterns);
    if (!h->patterns)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < o->stream_count; i++) {
        h->patterns[i] = strdup(o->streams[i]);
        if (!h->patterns[i])
            return ERR_NOMEM;
        h->pattern_count++;
    }
    return OK;
}

int historian_new(const struct historian_options *options, struct historian **ret)
{
    struct historian *h = calloc(1, sizeof *h);
    if (!h)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&h->mutex, NULL);
    (void)pthread_cond_init(&h->idle, NULL);
    h->closing = true;
    writer_init(h);
    int err = historian_copy_options(h, options);
    if (!err)
        err = exec_thread_new("historian", HISTORIAN_STACK_BYTES, &h->writer);
    if (!err)
        err = exec_thread_new("query", HISTORIAN_STACK_BYTES, &h->reader);
    if (err) {
        historian_free(h);
        return err;
    }
    historian_feed_set(h, options->feed);
    *ret = h;
    return OK;
}

void historian_free(struct historian *h)
{
    if (!h)
        return;
    if (h->writer)
        historian_stop(h);
    exec_thread_free(h->reader);
    exec_thread_free(h->writer);
    points_fini(&h->points);
    ranges_fini(&h->ranges);
    arena_fini(&h->txn.arena);
    tags_fini(&h->tags);
    map_fini(&h->keep);
    for (uint32_t i = 0; i < h->pattern_count; i++)
        free(h->patterns[i]);
    free(h->patterns);
    free(h->node);
    free(h->path);
    (void)pthread_cond_destroy(&h->idle);
    (void)pthread_mutex_destroy(&h->mutex);
    free(h);
}

/* ----------------------------------------------------------------------------------- configuring
 */

bool historian_chooses(const struct historian *h, struct bytes name)
{
    return h->pattern_count == 0 ||
           str_matches_any(name, (const char *const *)h->patterns, h->pattern_count);
}

static bool historian_takes(const struct historian *h, const struct stream *s)
{
    if (s->kind != STREAM_GROUP && s->kind != STREAM_SOURCE)
        return false;
    return historian_chooses(h, bytes_of_text(s->name));
}

int historian_keep(struct historian *h, struct stream *stream)
{
    stream->durable = true;
    return map_put(&h->keep, bytes_of_text(stream->name), stream, NULL);
}

int historian_configure(struct historian *h, struct catalogue *catalogue, struct diag *diag)
{
    h->configured = true;
    free(h->node);
    h->node = strdup(catalogue->node);
    int err = h->node ? OK : ERR_NOMEM;
    if (!err)
        err = catalogue_call_add(catalogue, &historian_sql_spec, h->reader, historian_sql_serve, h);
    for (size_t i = 0; !err && i < catalogue->streams.count; i++) {
        struct stream *s = catalogue->streams.entries[i].value;
        if (historian_takes(h, s))
            err = historian_keep(h, s);
    }
    return err ? diag_set(diag, err, 0, 0, "the historian cannot be set up: %s", err_text(err))
               : OK;
}

int historian_path_set(struct historian *h, const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return ERR_NOMEM;
    free(h->path);
    h->path = copy;
    return OK;
}

const char *historian_path(const struct historian *h)
{
    return h->path ? h->path : "";
}

void historian_feed_set(struct historian *h, const struct feed *feed)
{
    h->has_feed = feed != NULL;
    if (feed)
        h->feed = *feed;
}

int historian_tap_add(struct historian *h, const struct historian_tap *tap)
{
    uint32_t tables = tap->table_count;
    for (uint32_t i = 0; i < h->tap_count; i++)
        tables += h->taps[i].table_count;
    if (h->tap_count == HISTORIAN_TAPS_MAX || tables > HISTORIAN_TABLES_MAX)
        return ERR_LIMIT;
    h->taps[h->tap_count++] = *tap;
    return OK;
}

/* ------------------------------------------------------------------------------------------ life
 */

struct starting {
    struct historian *h;
    struct diag *diag;
};

static int historian_start_run(void *ctx)
{
    struct starting *s = ctx;
    return writer_start(s->h, s->diag);
}

int historian_start(struct historian *h, struct diag *diag)
{
    if (!h->path)
        return diag_set(diag, ERR_INVALID, 0, 0, "the historian has no file");
    struct starting s = {h, diag};
    return exec_call(h->writer, historian_start_run, &s);
}

static int historian_stop_run(void *ctx)
{
    writer_stop(ctx);
    return OK;
}

void historian_stop(struct historian *h)
{
    (void)exec_call(h->writer, historian_stop_run, h);
}

struct exec *historian_writer(const struct historian *h)
{
    return h->writer;
}

struct exec *historian_reader(const struct historian *h)
{
    return h->reader;
}

void historian_stats_get(const struct historian *h, struct historian_stats *ret)
{
    /* The mutex protects what is read; the historian itself does not change. */
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&h->mutex;
    (void)pthread_mutex_lock(mutex);
    *ret = h->stats;
    (void)pthread_mutex_unlock(mutex);
}

/* --------------------------------------------------------------------------------------- lending
 */

/* Under the mutex: the connection that is kept, made when there is none. */
static int reader_kept(struct historian *h)
{
    if (h->kept && duck_is_broken(h->kept)) {
        duck_disconnect(h->kept);
        h->kept = NULL;
    }
    int err = h->kept ? OK : duck_connect(h->duck, &h->kept);
    if (!err)
        h->reading = h->kept;
    return err;
}

static int reader_lend(struct historian *h, bool keep, struct duck_conn **ret)
{
    (void)pthread_mutex_lock(&h->mutex);
    int err = h->closing || !h->duck || h->reading ? ERR_CLOSED : OK;
    if (!err)
        err = keep ? reader_kept(h) : duck_connect(h->duck, &h->reading);
    if (!err) {
        *ret = h->reading;
        h->stats.queries++;
    }
    (void)pthread_mutex_unlock(&h->mutex);
    return err;
}

/* One transaction for all statements of a question: each would begin one of its own, and wait there
 * for whatever commit is being made durable. */
int historian_reader_open(struct historian *h, struct duck_conn **ret)
{
    struct duck_conn *c = NULL;
    int err = reader_lend(h, true, &c);
    if (err)
        return err;
    err = duck_exec(c, "BEGIN TRANSACTION READ ONLY", NULL);
    if (err)
        historian_reader_close(h, c);
    else
        *ret = c;
    return err;
}

int historian_reader_open_new(struct historian *h, struct duck_conn **ret)
{
    return reader_lend(h, false, ret);
}

void historian_reader_close(struct historian *h, struct duck_conn *c)
{
    bool kept = c == h->kept; /* which is not exchanged while it is lent */
    if (kept)
        (void)duck_exec(c, "ROLLBACK", NULL);
    (void)pthread_mutex_lock(&h->mutex);
    h->reading = NULL;
    if (!kept)
        duck_disconnect(c);
    (void)pthread_cond_broadcast(&h->idle);
    (void)pthread_mutex_unlock(&h->mutex);
}

/* ---------------------------------------------------------------------------------------- backup
 */

#define COPY_PATH_MAX 2048

struct copying {
    struct historian *h;
    const char *dir;
    struct diag *diag;
};

static int copy_bytes(int from, int to)
{
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)1 << 30, 0);
        if (n == 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return err_from_errno(errno);
    }
}

int historian_file_copy(const char *from_path, const char *to_path, struct diag *diag)
{
    int err = OK;
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : err_from_errno(errno);
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (to < 0)
        err = err_from_errno(errno);
    if (!err)
        err = copy_bytes(from, to);
    if (!err && fdatasync(to))
        err = err_from_errno(errno);
    if (to >= 0)
        (void)close(to);
    (void)close(from);
    return err ? diag_set(diag, err, 0, 0, "%s cannot be copied to %s: %s", from_path, to_path,
                          err_text(err))
               : OK;
}

/* Where a file of the historian's is copied to. */
static int copy_path(const struct copying *c, const char *suffix, char to[static COPY_PATH_MAX])
{
    const char *slash = strrchr(c->h->path, '/');
    const char *base = slash ? slash + 1 : c->h->path;
    int n = snprintf(to, COPY_PATH_MAX, "%s/%s%s", c->dir, base, suffix);
    return n < 0 || n >= COPY_PATH_MAX ? ERR_LIMIT : OK;
}

static int copy_part(const struct copying *c, const char *suffix)
{
    char from[COPY_PATH_MAX];
    char to[COPY_PATH_MAX];
    int n = snprintf(from, sizeof from, "%s%s", c->h->path, suffix);
    if (n < 0 || (size_t)n >= sizeof from || copy_path(c, suffix, to))
        return ERR_LIMIT;
    return historian_file_copy(from, to, c->diag);
}

/* On the writer's thread: nothing writes while it copies. A checkpoint that a running query
 * prevents leaves rows in the write-ahead log, which is copied too. */
static int historian_copy_run(void *ctx)
{
    struct copying *c = ctx;
    char to[COPY_PATH_MAX];
    if (!c->h->conn)
        return diag_set(c->diag, ERR_CLOSED, 0, 0, "the historian is not open at present");
    int err = c->h->waiting_since_us ? historian_commit(c->h, c->diag) : OK;
    if (!err && duck_exec(c->h->conn, "CHECKPOINT", NULL))
        log_info("historian", "copying without a checkpoint: a query is running");
    if (!err)
        err = copy_part(c, "");
    if (!err)
        err = copy_part(c, ".wal");
    if (err == ERR_NOT_FOUND)
        err = OK; /* there is no log right after a checkpoint */
    if (!err)
        err = copy_path(c, "", to);
    for (uint32_t i = 0; !err && i < c->h->tap_count; i++)
        if (c->h->taps[i].on_copy)
            err = c->h->taps[i].on_copy(c->h->taps[i].ctx, to, c->diag);
    return err;
}

int historian_copy(struct historian *h, const char *dir, struct diag *diag)
{
    struct copying c = {h, dir, diag};
    return exec_call(h->writer, historian_copy_run, &c);
}
