/* The historian: every point of every stream it follows, in DuckDB, exactly once.
 *
 * One writer thread reads committed records of the log (model/feed.h), sorts the points of one
 * commit by (tag, time) and writes them together with the log's position in one transaction; after
 * a kill it goes on behind that position, so nothing is written twice and nothing left out. When
 * DuckDB cannot write (a full disk) it stops, says so and tries again: it never skips. People's
 * queries run on a second thread with limits of rows and time. docs/historian.md has the tables.
 */
#ifndef LOTLINE_HISTORIAN_HISTORIAN_H
#define LOTLINE_HISTORIAN_HISTORIAN_H

#include "db/duckdb.h"
#include "model/catalogue.h"
#include "model/feed.h"

struct historian;

#define HISTORIAN_SQL_ROWS_MAX_DEFAULT   10000
#define HISTORIAN_SQL_ROWS_MAX_LIMIT     1000000
#define HISTORIAN_SQL_TIMEOUT_MS_DEFAULT 10000
#define HISTORIAN_SQL_TIMEOUT_MS_LIMIT   600000
#define HISTORIAN_SQL_BYTES_MAX          (64u << 20)
#define HISTORIAN_TAPS_MAX               4

/* Texts are copied. Zero = the default in brackets. */
struct historian_options {
    const char *path;          /* the DuckDB file: DATA/historian.duckdb */
    uint64_t memory_bytes_max; /* [128 MiB] */
    uint32_t threads;          /* [1] DuckDB's, for queries */
    uint64_t wal_bytes_max;    /* [16 MiB] checkpoint beyond it */
    uint32_t commit_rows;      /* [50,000] commit when so many values and rows wait … */
    int64_t linger_ms;         /* [500] … or the oldest has waited so long */
    /* Which streams to keep: patterns (str_matches) over "stream" and "node:stream". None = all.
     * Presences never become points. */
    const char *const *streams;
    uint32_t stream_count;
    const struct feed *feed; /* NULL: only what historian_append brings (bench, tests) */
    /* Trouble begins (err < 0, a sentence) or ends (OK, ""): for an alarm. On the writer's thread.
     * May be NULL. */
    void (*on_state)(void *ctx, int err, const char *text);
    void *ctx;
};

/* Memory only. ERR_NOMEM. */
int historian_new(const struct historian_options *options, struct historian **ret);

/* Adds the call historian.sql and sets `durable` on the groups and sources of the catalogue that
 * the patterns take. A rule's output is kept when its stream was named to historian_keep. Pure. */
int historian_configure(struct historian *h, struct catalogue *catalogue, struct diag *diag);

/* Also keeps this stream of this node (a rule with a historian action). Before start. */
int historian_keep(struct historian *h, struct stream *stream);

/* The path is known only when the data directory is. Before start; copied. */
int historian_path_set(struct historian *h, const char *path);
void historian_feed_set(struct historian *h, const struct feed *feed);

/* Opens the file, makes the tables, starts following. Blocking. */
int historian_start(struct historian *h, struct diag *diag);
void historian_stop(struct historian *h); /* commits what waits; idempotent */
void historian_free(struct historian *h); /* NULL is allowed */

/* The writer's thread, and the one that queries run on (both may block). */
struct exec *historian_writer(const struct historian *h);
struct exec *historian_reader(const struct historian *h);

struct historian_stats {
    uint64_t records; /* of the log, read */
    uint64_t points;  /* committed */
    uint64_t commits;
    uint64_t failures;     /* commits that failed and were tried again */
    uint64_t lost_records; /* trimmed or damaged before they were read: gaps */
    uint64_t queries;
    uint64_t waiting_points;
    struct position at; /* committed with the points */
    int err;            /* OK, or why it cannot write at present */
};

/* Any thread. */
void historian_stats_get(const struct historian *h, struct historian_stats *ret);

/* -------------------------------------------------------------------------------- other tables */

struct historian_txn;

/* A table that is written in the same transaction as the points. Static storage. */
struct historian_table {
    const char *name;
    const char *ddl; /* CREATE TABLE IF NOT EXISTS …; views and indexes may follow */
    const struct duck_column *columns;
    uint32_t column_count;
};

/* Sees every record before it becomes points, on the writer's thread. */
struct historian_tap {
    void *ctx;
    const struct historian_table *tables;
    uint32_t table_count;

    /* True: on_record wants the rows of this stream. Called for each record; cheap. */
    bool (*wants)(void *ctx, const struct feed_record *record);

    /* Inserts rows by historian_insert. May be called again for the same record after a failed
     * commit, so it must not remember. *ret_points false = no points of this record. */
    int (*on_record)(void *ctx, const struct feed_record *record, const struct batch *batch,
                     struct historian_txn *txn, bool *ret_points);

    /* NULL, or called on the writer's thread each time the file was opened and the tables are
     * there, before anything is written: brings an older database up to date. Outside of a
     * transaction. An error keeps the historian closed, as any error of opening. */
    int (*on_open)(void *ctx, struct duck_conn *conn, struct diag *diag);

    /* NULL, or called on the writer's thread when all rows of a transaction are written, right
     * before its commit: historian_rows_each tells them. What it remembers of them it forgets in
     * on_open, which comes before anything else if this transaction fails. An error undoes it. */
    int (*on_write)(void *ctx, const struct historian_txn *txn);

    /* NULL, or called on the writer's thread after each commit, outside of a transaction: puts the
     * tap's own tables in order. It leaves no transaction open, and its failure is its own. */
    void (*on_commit)(void *ctx, struct duck_conn *conn);

    /* NULL, or called on the writer's thread when the database was copied to the file `to`: copies
     * what the tap has in files of its own, named after it. */
    int (*on_copy)(void *ctx, const char *to, struct diag *diag);
};

/* Before start. The tap's memory must live as long as h. ERR_LIMIT. */
int historian_tap_add(struct historian *h, const struct historian_tap *tap);

/* One row; cells by the table's columns (VALUE_NULL for null).
 * Copied. In on_record only. ERR_NOMEM, ERR_TYPE. */
int historian_insert(struct historian_txn *txn, const struct historian_table *table,
                     const struct value *cells);

/* The rows of one table, in the order in which they were inserted; cells by its columns. A non-zero
 * return of fn ends it and is returned. In on_write only. */
int historian_rows_each(const struct historian_txn *txn, const struct historian_table *table,
                        int (*fn)(void *ctx, const struct value *cells), void *ctx);

/* When this transaction's rows became known here, µs. */
int64_t historian_known_at(const struct historian_txn *txn);

/* ------------------------------------------------------------------------------ reading, backup */

/* The connection for reading, on the reader's thread; given back before its task ends. All that is
 * read until then is of one moment. It is the same one each time, so statements that it keeps
 * (duck_statement) are prepared once. ERR_CLOSED (not started), ERR_DATABASE. */
int historian_reader_open(struct historian *h, struct duck_conn **ret);
void historian_reader_close(struct historian *h, struct duck_conn *c);

/* Good values of some tags, [tag_from, tag_to], in [from_us, to_us). */
struct historian_cut {
    uint32_t tag_from;
    uint32_t tag_to;
    int64_t from_us;
    int64_t to_us;
};

/* Makes *all hold *by too. */
void historian_cut_widen(struct historian_cut *all, const struct historian_cut *by);

/* One of them: finite, without its tag's scale and offset. */
struct historian_value {
    uint32_t tag;
    int64_t at;
    double raw;
};

/* who: as the cut was added with. What it returns ends the reading. */
typedef int (*historian_value_fn)(void *ctx, uint32_t who, const struct historian_value *v);

/* Numbers in `points`.piece, [from, to]. */
struct historian_pieces {
    int64_t from;
    int64_t to;
};

/* What is known of where values lie. Zero-initialised is empty. */
struct historian_ranges {
    struct range *list;
    uint32_t count;
    uint32_t cap;
};

#define HISTORIAN_CUTS_MAX 16 /* that wait for one statement, and stretches of one cut */

/* Reads the values of many cuts by few statements, on the reader's thread: begin, then find and
 * add as often as is wanted, flush, add_open for all, flush, fini. The caller sets historian, conn,
 * diag, fn and ctx; the rest is zero. All: ERR_DATABASE, ERR_CANCELLED, ERR_NOMEM, or what fn
 * returned. */
struct historian_cuts {
    struct historian *historian;
    struct duck_conn *conn;
    struct diag *diag;
    historian_value_fn fn;
    void *ctx;
    struct historian_pieces open; /* what is not full yet, … */
    int64_t open_from_us;         /* … and from when to when its good values are at most */
    int64_t open_to_us;
    struct historian_ranges ranges; /* of what was found last */

    struct historian_asked {
        struct historian_pieces pieces;
        struct historian_cut cut;
        uint32_t who;
    } list[HISTORIAN_CUTS_MAX];

    uint32_t count;
};

/* Which pieces are open is asked first, so that no value is missed that comes meanwhile. */
int historian_cuts_begin(struct historian_cuts *c);

/* Where the values of *all lie; the cuts that are added next are parts of it. */
int historian_cuts_find(struct historian_cuts *c, const struct historian_cut *all);

/* What of it lies in full pieces. Values are told now or later, in any order of time. */
int historian_cuts_add(struct historian_cuts *c, const struct historian_cut *cut, uint32_t who);

/* What of it lies in pieces that are not full; not between add and flush. */
int historian_cuts_add_open(struct historian_cuts *c, const struct historian_cut *cut,
                            uint32_t who);

/* Tells everything that was added. */
int historian_cuts_flush(struct historian_cuts *c);
void historian_cuts_fini(struct historian_cuts *c);

/* Checkpoints and copies the database into the folder dir (which exists) under the one writer: what
 * is copied ends with the position stored in it. Blocking; not on the writer's thread. */
int historian_copy(struct historian *h, const char *dir, struct diag *diag);

/* A file's copy, on the disk, for on_copy; `to` is not there yet. diag says which. ERR_NOT_FOUND
 * (no such file; nothing is said), or as errno says. */
int historian_file_copy(const char *from, const char *to, struct diag *diag);

/* The database's file, for what a tap keeps beside it; "" before it is known. On the writer's
 * thread. */
const char *historian_path(const struct historian *h);

/* ------------------------------------------------------------------------- tests and benchmarks */

/* Takes a batch as if the log had given it (one reference is taken), on the writer's thread;
 * commits when commit_rows are there. `at` {0,0}: no position is written. */
int historian_append(struct historian *h, const char *node, const char *stream, struct batch *batch,
                     struct position at, struct diag *diag);

/* Commits what waits. On the writer's thread. */
int historian_commit(struct historian *h, struct diag *diag);

#endif
