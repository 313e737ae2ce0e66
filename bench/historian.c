/* The historian from batch to durable against DuckDB's bare chunk appender: the same table, the
 * same values in the same order (tag, time), 10,000 rows a commit. Once without a journal on either
 * side, and once as in a node: the batches go into the log of streams first, the historian follows
 * the log, and the clock runs until DuckDB has committed the position of the last one. The peer is
 * the same both times and has no journal.
 *
 *   bench_historian [DIR]       default: the current directory
 *
 * The peer gets its rows ready-made and sorted; ours takes wide batches (100 columns × 100 rows),
 * turns them into points, sorts them and keeps the dictionary of tags.
 */
#include "historian/historian.h"

#include "app/feed.h"
#include "bench/bench.h"
#include "bench/folder.h"
#include "bench/node.h"

#define COLUMNS     100
#define BATCH_ROWS  100
#define COMMIT_ROWS 10000
#define COMMITS     60
#define ROUNDS      5
#define GOAL        0.7

static struct schema *make_schema(void)
{
    struct field fields[COLUMNS];
    char names[COLUMNS][16];
    struct schema *schema = NULL;
    struct diag diag = {0};
    for (int i = 0; i < COLUMNS; i++) {
        (void)snprintf(names[i], sizeof names[i], "signal%03d", i);
        fields[i] = (struct field){.name = names[i], .scale = 1, .type = VALUE_DOUBLE};
    }
    bench_must(schema_new(fields, COLUMNS, &schema), "historian", diag.text);
    return schema;
}

static struct batch *make_batch(struct batch_builder *bb, int64_t first_us)
{
    struct batch *b = NULL;
    struct diag diag = {0};
    for (int row = 0; row < BATCH_ROWS; row++) {
        (void)batch_builder_row(bb, first_us + row * 1000);
        for (uint32_t col = 0; col < COLUMNS; col++)
            batch_set_f64(bb, col, (double)(row * COLUMNS + (int)col) * 0.5);
    }
    bench_must(batch_builder_finish(bb, &b), "historian", diag.text);
    return b;
}

/* ------------------------------------------------------------------------------------------ ours
 */

struct ours {
    struct historian *historian;
    struct batch *batches[COMMITS]; /* made before the clock starts */
};

static int append_all(void *ctx)
{
    struct ours *o = ctx;
    struct diag diag = {0};
    for (int i = 0; i < COMMITS; i++) {
        bench_must(historian_append(o->historian, "bench", "group", o->batches[i],
                                    (struct position){0, 0}, &diag),
                   "historian", diag.text);
    }
    bench_must(historian_commit(o->historian, &diag), "historian", diag.text);
    return OK;
}

static void make_batches(struct batch *batches[COMMITS], struct batch_builder *bb, int64_t first_us)
{
    for (int i = 0; i < COMMITS; i++)
        batches[i] = make_batch(bb, first_us + i * BATCH_ROWS * 1000);
}

static double round_ours(struct ours *o, struct batch_builder *bb, int64_t first_us)
{
    make_batches(o->batches, bb, first_us);
    double start = bench_now_s();
    bench_must(exec_call(historian_writer(o->historian), append_all, o), "historian", NULL);
    return bench_now_s() - start;
}

static struct historian *historian_make(const char *path, const struct feed *feed)
{
    struct historian *h = NULL;
    struct diag diag = {0};
    struct historian_options options = {.path = path, .commit_rows = COMMIT_ROWS, .feed = feed};
    bench_must(historian_new(&options, &h), "historian", diag.text);
    bench_must(historian_start(h, &diag), "historian", diag.text);
    return h;
}

/* ----------------------------------------------------------------------------- ours, with journal
 */

struct logged {
    struct bench_node node;
    struct log_feed feed;
    void (*feed_done)(void *ctx, struct position at);
    struct bench_progress committed; /* in DuckDB */
    struct historian *historian;
    struct batch *batches[COMMITS];
};

static void logged_done(void *ctx, struct position at)
{
    struct logged *l = CONTAINER_OF(ctx, struct logged, feed);
    l->feed_done(ctx, at);
    bench_progress_set(&l->committed, at);
}

static void logged_open(struct logged *l, const char *dir, const struct schema *schema)
{
    char path[BENCH_PATH_BYTES_MAX + 32];
    bench_progress_init(&l->committed);
    bench_node_open(&l->node, dir, "journal", schema);
    bench_must(log_feed_open(&l->feed, l->node.log, "historian"), "historian", NULL);
    l->feed_done = l->feed.feed.done;
    l->feed.feed.done = logged_done;
    (void)snprintf(path, sizeof path, "%s/logged.duckdb", dir);
    l->historian = historian_make(path, &l->feed.feed);
}

static double round_logged(struct logged *l, struct batch_builder *bb, int64_t first_us)
{
    make_batches(l->batches, bb, first_us);
    double start = bench_now_s();
    struct position last = bench_node_append(&l->node, l->batches, COMMITS, COMMITS);
    bench_progress_wait(&l->committed, last);
    double seconds = bench_now_s() - start;
    for (int i = 0; i < COMMITS; i++)
        batch_unref(l->batches[i]);
    return seconds;
}

/* All of it is in the table: otherwise the figure is of something else. */
static void logged_close(struct logged *l, double rows)
{
    struct historian_stats stats;
    historian_stop(l->historian);
    historian_stats_get(l->historian, &stats);
    bench_must((double)stats.points == rows ? OK : ERR_CONFLICT, "historian",
               "points are missing in the table");
    historian_free(l->historian);
    log_feed_close(&l->feed);
    bench_node_close(&l->node);
    bench_progress_fini(&l->committed);
}

/* ------------------------------------------------------------------------------------------ peer
 */

static const struct duck_column point_columns[] = {
    {"tag", DUCK_U32, false},    {"ts", DUCK_TIME, false}, {"lag_us", DUCK_I32, false},
    {"quality", DUCK_U8, false}, {"i", DUCK_I64, true},    {"u", DUCK_U64, true},
    {"d", DUCK_F64, true},       {"b", DUCK_BYTES, true},
};

#define POINT_COLUMNS (sizeof point_columns / sizeof point_columns[0])

static void fill_chunk(const struct duck_vector *v, int first, int rows, int64_t first_us)
{
    for (int r = 0; r < rows; r++) {
        int n = first + r; /* in (tag, time) order, as ours sorts them */
        int tag = n / BATCH_ROWS;
        int row = n % BATCH_ROWS;
        ((uint32_t *)v[0].data)[r] = (uint32_t)tag;
        ((int64_t *)v[1].data)[r] = first_us + row * 1000;
        ((int32_t *)v[2].data)[r] = 0;
        ((uint8_t *)v[3].data)[r] = 0;
        ((double *)v[6].data)[r] = (double)(row * COLUMNS + tag) * 0.5;
        v[6].valid[r >> 6] |= (uint64_t)1 << (r & 63);
    }
}

static double round_peer(struct duck_conn *conn, int64_t first_us)
{
    struct duck_appender *appender = NULL;
    struct diag diag = {0};
    double start = bench_now_s();
    for (int i = 0; i < COMMITS; i++) {
        bench_must(duck_exec(conn, "BEGIN", &diag), "historian", diag.text);
        bench_must(
            duck_appender_new(conn, "points", point_columns, POINT_COLUMNS, &appender, &diag),
            "historian", diag.text);
        for (int at = 0; at < COMMIT_ROWS; at += DUCK_CHUNK_ROWS) {
            int rows = COMMIT_ROWS - at < DUCK_CHUNK_ROWS ? COMMIT_ROWS - at : DUCK_CHUNK_ROWS;
            fill_chunk(duck_appender_vectors(appender), at, rows, first_us + i * BATCH_ROWS * 1000);
            bench_must(duck_appender_push(appender, (uint32_t)rows, &diag), "historian", diag.text);
        }
        bench_must(duck_appender_flush(appender, &diag), "historian", diag.text);
        duck_appender_free(appender);
        bench_must(duck_exec(conn, "COMMIT", &diag), "historian", diag.text);
    }
    return bench_now_s() - start;
}

/* The peer's table is the historian's own. */
static struct duck *peer_open(const char *dir)
{
    char path[BENCH_PATH_BYTES_MAX + 32];
    struct duck *duck = NULL;
    struct diag diag = {0};
    (void)snprintf(path, sizeof path, "%s/peer.duckdb", dir);
    struct historian *layout = historian_make(path, NULL);
    historian_stop(layout);
    historian_free(layout);
    bench_must(duck_open(&(struct duck_options){.path = path}, &duck, &diag), "historian",
               diag.text);
    return duck;
}

/* ------------------------------------------------------------------------------------------ rounds
 */

/* Alternating, so that the disk's moods hit all. */
static void rounds_run(struct ours *ours, struct logged *logged, struct duck_conn *peer,
                       const struct schema *schema)
{
    struct batch_builder *bb = NULL;
    double seconds_ours[ROUNDS];
    double seconds_logged[ROUNDS];
    double seconds_peer[ROUNDS];
    bench_must(batch_builder_new(schema, BATCH_ROWS, NULL, &bb), "historian", NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t first_us = 1700000000000000 + (int64_t)i * COMMITS * BATCH_ROWS * 1000;
        seconds_peer[i] = round_peer(peer, first_us);
        seconds_ours[i] = round_ours(ours, bb, first_us);
        seconds_logged[i] = round_logged(logged, bb, first_us);
    }
    double rows = (double)COMMITS * COMMIT_ROWS;
    double rows_peer = rows / bench_median(seconds_peer, ROUNDS);
    bench_ratio("historian", "batch to durable vs bare chunk appender, 10,000 rows a commit",
                rows / bench_median(seconds_ours, ROUNDS), rows_peer, "rows/s", GOAL);
    bench_ratio("historian", "the same with the journal, batch to position durable in DuckDB",
                rows / bench_median(seconds_logged, ROUNDS), rows_peer, "rows/s", 0);
    batch_builder_free(bb);
}

int main(int argc, char **argv)
{
    char dir[BENCH_PATH_BYTES_MAX];
    char path[BENCH_PATH_BYTES_MAX + 32];
    static struct ours ours;
    static struct logged logged;
    struct duck_conn *conn = NULL;
    bench_folder_enter(argc, argv, "historian", dir);
    struct schema *schema = make_schema();
    struct duck *duck = peer_open(dir);
    bench_must(duck_connect(duck, &conn), "historian", NULL);
    (void)snprintf(path, sizeof path, "%s/ours.duckdb", dir);
    ours.historian = historian_make(path, NULL);
    logged_open(&logged, dir, schema);
    rounds_run(&ours, &logged, conn, schema);
    logged_close(&logged, (double)ROUNDS * COMMITS * COMMIT_ROWS);
    historian_stop(ours.historian);
    historian_free(ours.historian);
    schema_unref(schema);
    duck_disconnect(conn);
    duck_close(duck);
    bench_folder_remove(dir);
    return 0;
}
