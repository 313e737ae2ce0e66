/* The index after kill -9: whatever the writer was doing (a commit, a new run, a merge), the next
 * start finds the runs that the database names and no other file, and every unit that was stored
 * once, without making the index anew.
 */
#include "base/clock.h"
#include "tests/support/check.h"
#include "tests/support/child.h"
#include "tests/support/feed_made.h"
#include "tests/support/presence_row.h"
#include "trace/trace_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHILD_VARIABLE "LOTLINE_INDEX_KILL_TEST_CHILD"
#define T0             ((int64_t)1763800000000000)
#define ROWS           20
#define TAIL           100 /* entries: a run every second commit */
#define KILLS          12
#define LOOKUPS        50

/* DuckDB's checkpoint of these tables holds more locks at a time than ThreadSanitizer's search for
 * deadlocks can follow; it looks for races here as everywhere. */
const char *__tsan_default_options(void); /* NOLINT(*-reserved-identifier,cert-dcl*) */

const char *__tsan_default_options(void) /* NOLINT(*-reserved-identifier,cert-dcl*) */
{
    return "detect_deadlocks=0";
}

static void serial_of(int64_t n, char out[static 32])
{
    (void)snprintf(out, 32, "S-%lld", (long long)n);
}

/* Record n of the log tells of the units n × ROWS … + ROWS - 1. */
static int unit_add(struct batch_builder *bb, int64_t n)
{
    char serial[32];
    int64_t id[2] = {n, 1};
    serial_of(n, serial);
    const struct presence_row row = {.unit = bytes_of(id, sizeof id),
                                     .serial = serial,
                                     .station = "press",
                                     .result = "",
                                     .t_in = T0 + n,
                                     .t_out = T0 + n + 1,
                                     .revision = 1};
    return presence_row_add(bb, &row);
}

/* A historian with its trace, as a node has it. */
struct node {
    struct feed_made made;
    struct feed feed;
    struct config *config;
    struct catalogue catalogue;
    struct historian *h;
    struct trace *t;
};

static void node_start(struct node *n, const char *path, uint64_t records)
{
    struct diag diag = {0};
    *n = (struct node){
        .made = {.stream = "presence.line", .rows = ROWS, .end = records, .add = unit_add}};
    n->feed = feed_made_feed(&n->made);
    CHECK_OK(schema_new(presence_row_fields, PRESENCE_ROW_FIELDS, &n->made.schema));
    CHECK_OK(config_parse("t.yaml", bytes_of_text("name: n\n"), &n->config, &diag));
    CHECK_OK(catalogue_init(&n->catalogue, "n"));
    struct historian_options options = {
        .path = path, .feed = &n->feed, .commit_rows = 2 * ROWS, .linger_ms = 5};
    CHECK_OK(historian_new(&options, &n->h));
    CHECK_OK(historian_configure(n->h, &n->catalogue, &diag));
    CHECK_OK(trace_new(&(struct trace_options){n->h}, &n->t));
    CHECK_OK(trace_configure(n->t, n->config, &n->catalogue, &diag));
    n->t->store.tail_max = TAIL;
    if (historian_start(n->h, &diag))
        check_fail_at(__FILE__, __LINE__, "start: %s", diag.text);
}

static void node_free(struct node *n)
{
    historian_free(n->h);
    trace_free(n->t);
    catalogue_fini(&n->catalogue);
    config_free(n->config);
    schema_unref(n->made.schema);
}

__attribute__((constructor)) static void child_begin(void)
{
    static struct node n;
    const char *path = getenv(CHILD_VARIABLE);
    if (!path)
        return;
    node_start(&n, path, UINT64_MAX);
    child_begun();
}

/* ---------------------------------------------------------------------------------- what is there
 */

/* What the database says: units stored, and the sum of the runs' numbers. */
struct stored {
    int64_t units;
    int64_t runs;
    int64_t numbers;
};

static int stored_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct stored *s = ctx;
    CHECK_EQ(count, 3);
    *s = (struct stored){cells[0].i64, cells[1].i64, cells[2].i64};
    return OK;
}

static struct stored stored_read(const char *path)
{
    struct duck *duck = NULL;
    struct duck_conn *conn = NULL;
    struct duck_stmt *s = NULL;
    struct duck_options options = {.path = path};
    struct stored got = {0};
    CHECK_OK(duck_open(&options, &duck, NULL));
    CHECK_OK(duck_connect(duck, &conn));
    int err = duck_prepare(conn,
                           "SELECT (SELECT count(*) FROM units), count(*), coalesce(sum(number), "
                           "0)::BIGINT FROM trace_runs",
                           &s, NULL);
    if (!err) /* else killed before the tables were made */
        CHECK_OK(duck_run(s, stored_row, &got, NULL));
    duck_stmt_free(s);
    duck_disconnect(conn);
    duck_close(duck);
    return got;
}

/* The unit's one name is its serial, and the serial's one unit is this. */
static void check_unit(const struct node *n, int64_t unit)
{
    struct arena arena = {0};
    struct diag diag = {0};
    const struct trace_index index = {n->t, &arena, TRACE_NO_END_US, &diag};
    struct trace_entries found;
    char serial[32];
    const char *key = serial;
    serial_of(unit, serial);
    CHECK_OK(trace_index_find_sides(&index, &key, 1, TRACE_SIDE_NAMES, &found));
    CHECK_EQ(found.count, 1);
    CHECK_EQ(found.items[0].role, TRACE_IS_UNIT);
    CHECK_EQ(found.items[0].t_from, T0 + unit);
    key = found.items[0].other;
    CHECK_EQ(strlen(key), TRACE_UNIT_TEXT);
    CHECK_OK(trace_index_find_sides(&index, &key, 1, TRACE_SIDE_NAMES, &found));
    CHECK_EQ(found.count, 1);
    CHECK_STR(found.items[0].other, serial);
    arena_fini(&arena);
}

static int64_t check_whole(const char *path)
{
    struct node n;
    char folder[600];
    struct stored before = stored_read(path);
    node_start(&n, path, 0); /* there is nothing to go on with */
    struct index_store *s = &n.t->store;
    int64_t numbers = 0;
    uint64_t entries = s->tail.count;
    for (uint32_t i = 0; i < s->runs.count; i++) {
        numbers += s->runs.list[i].number;
        entries += run_info(s->runs.list[i].run).entries;
    }
    CHECK_EQ((int64_t)s->runs.count, before.runs); /* not made anew */
    CHECK_EQ(numbers, before.numbers);
    (void)snprintf(folder, sizeof folder, "%s.index", path);
    CHECK_EQ(check_files(folder, NULL), (uint32_t)before.runs);
    CHECK_EQ((int64_t)entries, 2 * before.units);
    for (int64_t i = 0; i < LOOKUPS && before.units; i++)
        check_unit(&n, (before.units - 1) * i / (LOOKUPS - 1));
    node_free(&n);
    return before.units;
}

TEST(a_killed_writer_leaves_an_index_that_is_whole)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/h.duckdb", check_folder());
    uint64_t seed = (uint64_t)clock_wall_us();
    int64_t last = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = child_start(CHILD_VARIABLE, path);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        child_kill(pid, (int64_t)((seed >> 33) % 300));
        int64_t units = check_whole(path);
        CHECK(units >= last);
        last = units;
    }
    CHECK(last > TAIL);
}
