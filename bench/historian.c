/* The historian from batch to durable against DuckDB's bare chunk appender: the same table, the
 * same values in the same order (tag, time), 10,000 rows a commit, both without a journal.
 *
 *   bench_historian [DIR]       default: the current directory
 *
 * The peer gets its rows ready-made and sorted; ours takes wide batches (100 columns × 100 rows),
 * turns them into points, sorts them and keeps the dictionary of tags.
 */
#include "historian/historian.h"

#include "bench/bench.h"

#include <string.h>
#include <unistd.h>

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

static double round_ours(struct ours *o, struct batch_builder *bb, int64_t first_us)
{
    for (int i = 0; i < COMMITS; i++)
        o->batches[i] = make_batch(bb, first_us + i * BATCH_ROWS * 1000);
    double start = bench_now_s();
    bench_must(exec_call(historian_writer(o->historian), append_all, o), "historian", NULL);
    return bench_now_s() - start;
}

static struct historian *historian_make(const char *path)
{
    struct historian *h = NULL;
    struct diag diag = {0};
    struct historian_options options = {.path = path, .commit_rows = COMMIT_ROWS};
    bench_must(historian_new(&options, &h), "historian", diag.text);
    bench_must(historian_start(h, &diag), "historian", diag.text);
    return h;
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

int main(int argc, char **argv)
{
    char dir[] = "bench-historian-XXXXXX";
    char path[64];
    static struct ours ours;
    struct duck *duck = NULL;
    struct duck_conn *conn = NULL;
    struct batch_builder *bb = NULL;
    static struct diag diag;
    double seconds_ours[ROUNDS];
    double seconds_peer[ROUNDS];
    if ((argc > 1 && chdir(argv[1]) != 0) || !mkdtemp(dir))
        return 1;
    (void)snprintf(path, sizeof path, "%s/peer.duckdb", dir);
    /* The peer's table is the historian's own. */
    struct historian *layout = historian_make(path);
    historian_stop(layout);
    historian_free(layout);
    bench_must(duck_open(&(struct duck_options){.path = path}, &duck, &diag), "historian",
               diag.text);
    bench_must(duck_connect(duck, &conn), "historian", diag.text);
    (void)snprintf(path, sizeof path, "%s/ours.duckdb", dir);
    ours.historian = historian_make(path);
    struct schema *schema = make_schema();
    bench_must(batch_builder_new(schema, BATCH_ROWS, NULL, &bb), "historian", diag.text);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t first_us = 1700000000000000 + (int64_t)i * COMMITS * BATCH_ROWS * 1000;
        seconds_peer[i] = round_peer(conn, first_us);
        seconds_ours[i] = round_ours(&ours, bb, first_us);
    }
    double rows = (double)COMMITS * COMMIT_ROWS;
    bench_ratio("historian", "batch to durable vs bare chunk appender, 10,000 rows a commit",
                rows / bench_median(seconds_ours, ROUNDS),
                rows / bench_median(seconds_peer, ROUNDS), "rows/s", GOAL);
    historian_stop(ours.historian);
    historian_free(ours.historian);
    batch_builder_free(bb);
    schema_unref(schema);
    duck_disconnect(conn);
    duck_close(duck);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? 1 : 0; /* NOLINT(cert-env33-c): our own folder */
}
