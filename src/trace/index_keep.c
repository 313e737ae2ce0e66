/* The adjacency index on the disk: opening it, making a run of the tail, many runs one, and the
 * copy for a backup. See index_store.h.
 *
 * Runs have levels: RUNS_MAX of a level become one of the next, so that each entry is written some
 * three times and a key is looked for in some twenty files at most for ten million entries. Those
 * of the highest level stay as they are: to merge them would hold up the writer for seconds.
 */
#include "trace/index_keep.h"

#include "base/array.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNS_MAX          8
#define LEVEL_MAX         2
#define SETTLE_AGAIN_ROWS 8192 /* more, after it failed */

/* ------------------------------------------------------------------------------------- statements
 */

/* All or nothing. */
static int transaction(struct duck_conn *conn, int (*run)(struct duck_conn *conn, void *ctx),
                       void *ctx, struct diag *diag)
{
    int err = duck_exec(conn, "BEGIN TRANSACTION", diag);
    if (err)
        return err;
    err = run(conn, ctx);
    if (!err)
        err = duck_exec(conn, "COMMIT", diag);
    if (err)
        (void)duck_exec(conn, "ROLLBACK", NULL);
    return err;
}

int index_statement(struct duck_conn *conn, const char *sql, const int64_t *numbers, uint32_t count,
                    duck_row_fn fn, void *ctx, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(conn, sql, &s, diag);
    for (uint32_t i = 0; !err && i < count; i++)
        err = duck_bind_i64(s, i + 1, numbers[i]);
    if (!err)
        err = duck_run(s, fn, ctx, diag);
    duck_stmt_free(s);
    return err;
}

/* One more row of trace_runs. */
static int run_insert(struct duck_conn *conn, const struct index_run *r, struct diag *diag)
{
    const struct run_info info = run_info(r->run);
    const int64_t numbers[] = {r->number, r->level, (int64_t)info.entries, info.checksum};
    return index_statement(conn, "INSERT INTO trace_runs VALUES ($1, $2, $3, $4)", numbers, 4, NULL,
                           NULL, diag);
}

/* ------------------------------------------------------------------------------------------ files
 */

#define NAME_FORMAT    "%012" PRId64 ".run"
#define NAME_BYTES_MAX 32
#define PATH_BYTES_MAX (INDEX_PATH_BYTES_MAX + NAME_BYTES_MAX)

static void run_path(const char *dir, int64_t number, char out[static PATH_BYTES_MAX])
{
    (void)snprintf(out, PATH_BYTES_MAX, "%s/" NAME_FORMAT, dir, number);
}

/* Files of the folder are there after a power cut too. */
static int dir_sync(const char *dir, struct diag *diag)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) ? err_from_errno(errno) : OK;
    if (fd >= 0)
        (void)close(fd);
    return err ? diag_set(diag, err, 0, 0, "cannot write the folder %s: %s", dir, err_text(err))
               : OK;
}

int index_runs_add(struct index_runs *runs, const struct index_run *r)
{
    struct index_run *list = array_room(runs->list, runs->count, &runs->cap, 16, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    runs->list = list;
    runs->list[runs->count++] = *r;
    return OK;
}

static void runs_fini(struct index_runs *runs)
{
    for (uint32_t i = 0; i < runs->count; i++)
        run_unref(runs->list[i].run);
    free(runs->list);
    *runs = (struct index_runs){0};
}

void index_run_remove(const struct index_store *s, struct index_run *r)
{
    char path[PATH_BYTES_MAX];
    run_path(s->dir, r->number, path);
    run_unref(r->run);
    r->run = NULL;
    (void)unlink(path);
}

/* A file in the making, under the next number. */
struct making {
    struct run_writer writer;
    int64_t number;
    char path[PATH_BYTES_MAX];
};

static int making_begin(struct index_store *s, struct making *m, struct diag *diag)
{
    m->number = s->number++;
    run_path(s->dir, m->number, m->path);
    (void)unlink(m->path); /* of an attempt that failed */
    return run_write_begin(&m->writer, m->path, diag);
}

static int making_end(const struct index_store *s, struct making *m, int err, int64_t level,
                      struct index_run *ret, struct diag *diag)
{
    struct index_run made = {.number = m->number, .level = level};
    if (err) {
        run_write_abort(&m->writer);
        return err;
    }
    err = run_write_end(&m->writer, &made.run, diag);
    if (err)
        return err;
    err = dir_sync(s->dir, diag);
    if (err)
        index_run_remove(s, &made);
    else
        *ret = made;
    return err;
}

int index_run_of_tail(struct index_store *s, const struct tail *t, struct index_run *ret,
                      struct diag *diag)
{
    struct making m;
    uint32_t *order = tail_sorted(t);
    int err = order ? making_begin(s, &m, diag) : ERR_NOMEM;
    if (err) {
        free(order);
        return err;
    }
    for (uint32_t i = 0; !err && i < t->count; i++)
        err = run_write(&m.writer, t->list[order[i]].hash, t->list[order[i]].entry, diag);
    free(order);
    return making_end(s, &m, err, 0, ret, diag);
}

/* ---------------------------------------------------------------------------------------- opening
 */

struct opening {
    struct index_store *store;
    struct index_runs runs;
    struct tail tail;
    int64_t entries; /* of the runs */
    int64_t wanted;  /* that the other tables ask for at least */
    const char *why; /* the runs are not what trace_runs says; NULL: they are */
    struct diag reason;
};

static int opening_run(void *ctx, const struct value *c, uint32_t count)
{
    struct opening *o = ctx;
    char path[PATH_BYTES_MAX];
    if (count != 4)
        return ERR_INTERNAL;
    struct index_run r = {.number = c[0].i64, .level = c[1].i64};
    if (r.number >= o->store->number)
        o->store->number = r.number + 1;
    run_path(o->store->dir, r.number, path);
    int err = run_open(path, &r.run, &o->reason);
    if (err == ERR_NOMEM)
        return err;
    if (!err && (run_info(r.run).entries != (uint64_t)c[2].i64 ||
                 run_info(r.run).checksum != (uint32_t)c[3].i64)) {
        run_unref(r.run);
        err =
            diag_set(&o->reason, ERR_MALFORMED, 0, 0, "%s is not the file that belongs here", path);
    }
    if (err) {
        o->why = o->reason.text;
        return OK;
    }
    o->entries += c[2].i64;
    err = index_runs_add(&o->runs, &r);
    if (err)
        run_unref(r.run);
    return err;
}

static int opening_tail(void *ctx, const struct value *c, uint32_t count)
{
    struct opening *o = ctx;
    return count == 2 ? tail_add(&o->tail, c[0].u64, c[1].bytes) : ERR_INTERNAL;
}

static int opening_read(struct opening *o, struct duck_conn *conn, struct diag *diag)
{
    int err = index_statement(conn,
                              "SELECT number, level, entries, checksum FROM trace_runs ORDER BY "
                              "level DESC, number",
                              NULL, 0, opening_run, o, diag);
    if (!err)
        err = index_statement(conn, "SELECT hash, entry FROM trace_tail ORDER BY rowid", NULL, 0,
                              opening_tail, o, diag);
    if (!err)
        err = index_wanted(conn, &o->wanted, diag);
    if (!err && !o->why && o->entries + o->tail.count < o->wanted)
        o->why = "entries are missing";
    return err;
}

static int replace_all(struct duck_conn *conn, void *ctx)
{
    const struct opening *o = ctx;
    int err = duck_exec(conn, "DELETE FROM trace_tail; DELETE FROM trace_runs", NULL);
    for (uint32_t i = 0; !err && i < o->runs.count; i++)
        err = run_insert(conn, &o->runs.list[i], NULL);
    return err;
}

static int opening_make(struct opening *o, struct duck_conn *conn, struct diag *diag)
{
    runs_fini(&o->runs);
    tail_fini(&o->tail);
    log_info("trace",
             "the index of units is made anew, which takes some seconds a million units: %s",
             o->why);
    int err = index_make(o->store, conn, o->wanted, &o->runs, diag);
    if (!err)
        err = transaction(conn, replace_all, o, diag);
    for (uint32_t i = 0; err && i < o->runs.count; i++)
        index_run_remove(o->store, &o->runs.list[i]);
    return err;
}

static bool is_known(const struct index_runs *runs, const char *name)
{
    char known[NAME_BYTES_MAX];
    for (uint32_t i = 0; i < runs->count; i++) {
        (void)snprintf(known, sizeof known, NAME_FORMAT, runs->list[i].number);
        if (strcmp(known, name) == 0)
            return true;
    }
    return false;
}

/* What was cut off by a kill, or merged right before it. */
static void files_clean(const struct index_store *s, const struct index_runs *runs)
{
    DIR *dir = opendir(s->dir);
    const struct dirent *e;
    while (dir && (e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own DIR */
        const char *end = strrchr(e->d_name, '.');
        if (end && strcmp(end, ".run") == 0 && !is_known(runs, e->d_name))
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir)
        (void)closedir(dir);
}

/* From here on readers find what was opened. */
static void opening_end(struct opening *o)
{
    struct index_store *s = o->store;
    (void)pthread_mutex_lock(&s->mutex);
    struct index_runs runs = s->runs;
    struct tail tail = s->tail;
    s->runs = o->runs;
    s->tail = o->tail;
    o->runs = runs;
    o->tail = tail;
    runs_fini(&o->runs);
    (void)pthread_mutex_unlock(&s->mutex);
    tail_fini(&o->tail);
    files_clean(s, &s->runs);
}

/* why: NULL, or what is known to be wrong. */
static int store_open(struct index_store *s, struct duck_conn *conn, const char *why,
                      struct diag *diag)
{
    struct opening o = {.store = s};
    s->settle_at = s->tail_max;
    if (mkdir(s->dir, 0750) && errno != EEXIST) {
        int err = err_from_errno(errno);
        return diag_set(diag, err, 0, 0, "cannot make the folder %s: %s", s->dir, err_text(err));
    }
    int err = opening_read(&o, conn, diag);
    o.why = why ? why : o.why;
    if (!err && o.why)
        err = opening_make(&o, conn, diag);
    if (!err) {
        opening_end(&o);
        return OK;
    }
    (void)pthread_mutex_lock(&s->mutex);
    runs_fini(&o.runs);
    (void)pthread_mutex_unlock(&s->mutex);
    tail_fini(&o.tail);
    return err;
}

int trace_index_open(void *ctx, struct duck_conn *conn, struct diag *diag)
{
    struct trace *t = ctx;
    int n = snprintf(t->store.dir, sizeof t->store.dir, "%s.index", historian_path(t->historian));
    if (n < 0 || (size_t)n >= sizeof t->store.dir)
        return diag_set(diag, ERR_LIMIT, 0, 0, "the path of the historian's file is too long");
    return store_open(&t->store, conn, NULL, diag);
}

/* --------------------------------------------------------------------------------------- settling
 */

static int add_entry(void *ctx, const struct value *cells)
{
    return tail_add(ctx, cells[0].u64, cells[1].bytes);
}

int trace_index_write(void *ctx, const struct historian_txn *txn)
{
    struct trace *t = ctx;
    (void)pthread_mutex_lock(&t->store.mutex);
    int err = historian_rows_each(txn, &trace_tables[TRACE_INDEX], add_entry, &t->store.tail);
    (void)pthread_mutex_unlock(&t->store.mutex);
    return err;
}

/* Some runs, or the tail, become one. */
struct settling {
    struct index_store *store;
    struct index_run made;
    uint32_t from; /* runs [from, from + count) */
    uint32_t count;
    struct diag *diag;
};

static int settle_rows(struct duck_conn *conn, void *ctx)
{
    const struct settling *s = ctx;
    int err = s->count ? OK : duck_exec(conn, "DELETE FROM trace_tail", s->diag);
    for (uint32_t i = 0; !err && i < s->count; i++)
        err = index_statement(conn, "DELETE FROM trace_runs WHERE number = $1",
                              &s->store->runs.list[s->from + i].number, 1, NULL, NULL, s->diag);
    return err ? err : run_insert(conn, &s->made, s->diag);
}

/* The list has room already. */
static void settle_show(struct settling *s, struct tail *ret_old)
{
    struct index_runs *runs = &s->store->runs;
    struct index_run *at = &runs->list[s->from];
    *ret_old = (struct tail){0};
    (void)pthread_mutex_lock(&s->store->mutex);
    if (s->count == 0) {
        *ret_old = s->store->tail;
        s->store->tail = (struct tail){0};
        runs->list[runs->count++] = s->made;
    } else {
        for (uint32_t i = 0; i < s->count; i++)
            index_run_remove(s->store, &at[i]);
        *at = s->made;
        memmove(at + 1, at + s->count, (runs->count - s->from - s->count) * sizeof *at);
        runs->count -= s->count - 1;
    }
    (void)pthread_mutex_unlock(&s->store->mutex);
}

static int settle_end(struct settling *s, struct duck_conn *conn)
{
    struct tail old;
    struct index_runs *runs = &s->store->runs;
    (void)pthread_mutex_lock(&s->store->mutex);
    struct index_run *list = array_room(runs->list, runs->count, &runs->cap, 16, sizeof *list);
    runs->list = list ? list : runs->list;
    (void)pthread_mutex_unlock(&s->store->mutex);
    int err = list ? transaction(conn, settle_rows, s, s->diag) : ERR_NOMEM;
    if (err) {
        index_run_remove(s->store, &s->made);
        return err;
    }
    settle_show(s, &old);
    tail_fini(&old);
    return OK;
}

static int settle_tail(struct index_store *store, struct duck_conn *conn, struct diag *diag)
{
    struct settling s = {.store = store, .from = store->runs.count, .diag = diag};
    int err = index_run_of_tail(store, &store->tail, &s.made, diag);
    return err ? err : settle_end(&s, conn);
}

/* The run with the lowest hash, the oldest of them; NULL: all are at their end. */
static struct run_cursor *cursor_least(struct run_cursor *cursors, uint32_t count)
{
    struct run_cursor *least = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (cursors[i].run && (!least || cursors[i].hash < least->hash))
            least = &cursors[i];
    return least;
}

static int cursor_step(struct run_cursor *c)
{
    int err = run_next(c);
    if (err == ERR_NOT_FOUND)
        c->run = NULL;
    return err == ERR_NOT_FOUND ? OK : err;
}

static int merge_write(struct run_cursor *cursors, uint32_t count, struct run_writer *w,
                       struct diag *diag)
{
    struct run_cursor *least;
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++)
        err = cursor_step(&cursors[i]);
    while (!err && (least = cursor_least(cursors, count)) != NULL) {
        err = run_write(w, least->hash, least->entry, diag);
        if (!err)
            err = cursor_step(least);
    }
    return err;
}

static int merge(struct index_store *store, uint32_t from, struct duck_conn *conn,
                 struct diag *diag)
{
    struct settling s = {.store = store, .from = from, .count = RUNS_MAX, .diag = diag};
    struct run_cursor cursors[RUNS_MAX] = {0};
    struct making m;
    int err = making_begin(store, &m, diag);
    if (err)
        return err;
    for (uint32_t i = 0; i < RUNS_MAX; i++)
        cursors[i].run = store->runs.list[from + i].run;
    err = merge_write(cursors, RUNS_MAX, &m.writer, diag);
    for (uint32_t i = 0; i < RUNS_MAX; i++)
        run_cursor_fini(&cursors[i]);
    if (err == ERR_CHECKSUM || err == ERR_MALFORMED)
        index_store_damaged(store);
    err = making_end(store, &m, err, store->runs.list[from].level + 1, &s.made, diag);
    return err ? err : settle_end(&s, conn);
}

/* Levels only fall from the oldest run to the newest. */
static bool merge_wanted(const struct index_runs *runs, uint32_t *ret_from)
{
    for (uint32_t i = 0; i + RUNS_MAX <= runs->count; i++) {
        int64_t level = runs->list[i].level;
        *ret_from = i;
        if (level < LEVEL_MAX && runs->list[i + RUNS_MAX - 1].level == level)
            return true;
    }
    return false;
}

static int settle(struct index_store *s, struct duck_conn *conn, struct diag *diag)
{
    uint32_t from = 0;
    bool damaged = atomic_exchange(&s->damaged, false);
    int err = damaged ? store_open(s, conn, "a file of it was damaged", diag) : OK;
    if (!err && s->tail.count >= s->settle_at)
        err = settle_tail(s, conn, diag);
    while (!err && merge_wanted(&s->runs, &from))
        err = merge(s, from, conn, diag);
    return err;
}

void trace_index_settle(void *ctx, struct duck_conn *conn)
{
    struct index_store *s = &((struct trace *)ctx)->store;
    struct diag diag = {0};
    if (s->tail.count < s->settle_at && !atomic_load(&s->damaged))
        return;
    int err = settle(s, conn, &diag);
    /* It goes on in the table, and is tried again. */
    s->settle_at = err ? s->tail.count + SETTLE_AGAIN_ROWS : s->tail_max;
    if (err)
        log_warn("trace", "the index of units could not be put in order: %s",
                 diag.text[0] ? diag.text : err_text(err));
}

/* ----------------------------------------------------------------------------------------- backup
 */

int trace_index_copy(void *ctx, const char *to, struct diag *diag)
{
    const struct index_store *s = &((struct trace *)ctx)->store;
    char dir[INDEX_PATH_BYTES_MAX];
    char from_path[PATH_BYTES_MAX];
    char to_path[PATH_BYTES_MAX];
    int n = snprintf(dir, sizeof dir, "%s.index", to);
    if (n < 0 || (size_t)n >= sizeof dir)
        return diag_set(diag, ERR_LIMIT, 0, 0, "the path of the backup is too long: %s", to);
    if (mkdir(dir, 0700)) {
        int err = err_from_errno(errno);
        return diag_set(diag, err, 0, 0, "cannot make the folder %s: %s", dir, err_text(err));
    }
    int err = OK;
    for (uint32_t i = 0; !err && i < s->runs.count; i++) {
        run_path(s->dir, s->runs.list[i].number, from_path);
        run_path(dir, s->runs.list[i].number, to_path);
        err = historian_file_copy(from_path, to_path, diag);
    }
    return err;
}
