/* Tracing one unit out of 100,000 while the writer writes.
 *
 *   bench_trace [DIR]                  both of the below in a folder of its own, 1,000 questions
 *   bench_trace fill FILE [BOARDS]     makes the history of that many boards (default 100,000)
 *   bench_trace ask FILE [QUESTIONS]   in a process of its own: traces that many different boards
 *                                      (default 10,000) while more panels are written, and prints
 *                                      how long the server took
 *
 * Panels of four boards pass seven stations and are cut; each board is then tested. Everything goes
 * through the historian's writer and the trace's tap, as records of the log do: presences, the rows
 * of rules with measures, factors and lots, and defects that name the board by its serial.
 */
#include "trace/trace.h"

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/folder.h"
#include "tests/support/presence_row.h"

#include <inttypes.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOARDS         100000
#define BOARDS_A_PANEL 4
#define QUESTIONS      10000
#define QUESTIONS_FEW  "1000"
#define STATIONS       7
#define TAKT_US        ((int64_t)1200000)
#define T0             ((int64_t)1763800000000000)
#define MEASURES       6
#define PANELS_A_TURN  4 /* of a record */
#define GOAL_MS        50.0

static const char *const stations[STATIONS + 1] = {"printer", "spi",  "placer",  "reflow",
                                                   "aoi",     "rest", "depanel", "ict"};

static const char config_text[] =
    "name: n\n"
    "characteristics:\n"
    "  - {name: m1, lower: 0, upper: 100}\n"
    "  - {name: m2, lower: 0, upper: 100}\n"
    "rules:\n"
    "  - {name: row, sql: \"SELECT 1\", actions: [{trace: {operation: work, measures: [m1, m2, m3, "
    "m4, m5, m6], factors: {man: [operator], machine: [nozzle], method: [recipe], environment: "
    "[rh]}, consumes: [lot1, lot2]}}]}\n"
    "  - {name: cut, sql: \"SELECT 1\", actions: [{trace: {operation: cut, children: [b1, b2, b3, "
    "b4]}}]}\n"
    "  - {name: test, sql: \"SELECT 1\", actions: [{trace: {operation: test, unit: serial, "
    "station: "
    "ict, measures: [m1, m2], defects: [defect], verdict: result}}]}\n";

static const struct field row_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},    {.name = "m1", .type = VALUE_DOUBLE},
    {.name = "m2", .type = VALUE_DOUBLE},     {.name = "m3", .type = VALUE_DOUBLE},
    {.name = "m4", .type = VALUE_DOUBLE},     {.name = "m5", .type = VALUE_DOUBLE},
    {.name = "m6", .type = VALUE_DOUBLE},     {.name = "operator", .type = VALUE_STRING},
    {.name = "nozzle", .type = VALUE_STRING}, {.name = "recipe", .type = VALUE_STRING},
    {.name = "rh", .type = VALUE_DOUBLE},     {.name = "lot1", .type = VALUE_STRING},
    {.name = "lot2", .type = VALUE_STRING},
};
static const struct field cut_fields[] = {
    {.name = "unit", .type = VALUE_BYTES}, {.name = "b1", .type = VALUE_STRING},
    {.name = "b2", .type = VALUE_STRING},  {.name = "b3", .type = VALUE_STRING},
    {.name = "b4", .type = VALUE_STRING},
};
static const struct field test_fields[] = {
    {.name = "serial", .type = VALUE_STRING}, {.name = "m1", .type = VALUE_DOUBLE},
    {.name = "m2", .type = VALUE_DOUBLE},     {.name = "defect", .type = VALUE_STRING},
    {.name = "result", .type = VALUE_STRING},
};

enum {
    STREAM_PRESENCES,
    STREAM_ROWS,
    STREAM_CUTS,
    STREAM_TESTS,
    STREAM_COUNT,
};

static const struct {
    const char *name;
    enum stream_kind kind;
    const struct field *fields;
    uint32_t count;
} streams[STREAM_COUNT] = {
    {"presence.line", STREAM_PRESENCE, presence_row_fields, PRESENCE_ROW_FIELDS},
    {"row", STREAM_RULE, row_fields, 13},
    {"cut", STREAM_RULE, cut_fields, 5},
    {"test", STREAM_RULE, test_fields, 5},
};

struct bench {
    struct config *config;
    struct catalogue catalogue;
    struct historian *h;
    struct trace *t;
    struct exec *exec;
    struct schema *schemas[STREAM_COUNT];
    struct batch_builder *builders[STREAM_COUNT];
    struct diag diag;
    uint64_t seq;
    uint32_t next_panel;
    struct exec_timer timer;
    atomic_bool stop;
};

static void bench_open(struct bench *b, const char *path)
{
    struct stream *s = NULL;
    struct historian_options options = {.path = path};
    bench_must(config_parse("bench.yaml", bytes_of_text(config_text), &b->config, &b->diag),
               "config", b->diag.text);
    bench_must(catalogue_init(&b->catalogue, "n"), "catalogue", NULL);
    for (int i = 0; i < STREAM_COUNT; i++) {
        bench_must(schema_new(streams[i].fields, streams[i].count, &b->schemas[i]), "schema", NULL);
        bench_must(catalogue_stream_add(&b->catalogue, streams[i].name, streams[i].kind, "",
                                        b->schemas[i], &s),
                   "stream", NULL);
        bench_must(batch_builder_new(b->schemas[i], 1024, NULL, &b->builders[i]), "batch", NULL);
    }
    bench_must(historian_new(&options, &b->h), "historian", NULL);
    bench_must(historian_configure(b->h, &b->catalogue, &b->diag), "historian", b->diag.text);
    bench_must(trace_new(&(struct trace_options){b->h}, &b->t), "trace", NULL);
    bench_must(trace_configure(b->t, b->config, &b->catalogue, &b->diag), "trace", b->diag.text);
    bench_must(historian_start(b->h, &b->diag), "historian", b->diag.text);
    bench_must(exec_thread_new("caller", 0, &b->exec), "thread", NULL);
}

static void bench_close(struct bench *b)
{
    historian_free(b->h);
    trace_free(b->t);
    for (int i = 0; i < STREAM_COUNT; i++) {
        batch_builder_free(b->builders[i]);
        schema_unref(b->schemas[i]);
    }
    catalogue_fini(&b->catalogue);
    exec_thread_free(b->exec);
    config_free(b->config);
}

/* --------------------------------------------------------------------------------------- writing
 */

static void set_text(struct batch_builder *bb, uint32_t col, const char *text)
{
    bench_must(batch_set_bytes(bb, col, bytes_of_text(text)), "cell", NULL);
}

#define UNIT_BYTES 16

/* The id of a visit: bytes that differ. */
static void make_unit(uint32_t thing, uint32_t station, uint8_t unit[UNIT_BYTES])
{
    memset(unit, 0, UNIT_BYTES);
    store_le32(unit, thing * 2654435761u);
    store_le32(unit + 4, station);
    store_le32(unit + 8, thing);
}

static void set_unit(struct batch_builder *bb, uint32_t thing, uint32_t station)
{
    uint8_t unit[UNIT_BYTES];
    make_unit(thing, station, unit);
    bench_must(batch_set_bytes(bb, 0, bytes_of(unit, sizeof unit)), "unit", NULL);
}

static void add_presence(struct bench *b, uint32_t thing, const char *serial, uint32_t station,
                         int64_t t_in)
{
    uint8_t unit[UNIT_BYTES];
    const struct presence_row row = {
        .unit = bytes_of(unit, sizeof unit),
        .serial = serial,
        .station = stations[station],
        .result = station == STATIONS ? "" : "pass",
        .t_in = t_in,
        .t_out = t_in + TAKT_US,
        .revision = 1,
    };
    make_unit(thing, station, unit);
    bench_must(presence_row_add(b->builders[STREAM_PRESENCES], &row), "presence", NULL);
}

static void add_row(struct bench *b, uint32_t panel, uint32_t station, int64_t at)
{
    struct batch_builder *bb = b->builders[STREAM_ROWS];
    char text[32];
    (void)batch_builder_row(bb, at);
    set_unit(bb, panel, station);
    for (uint32_t i = 0; i < MEASURES; i++)
        batch_set_f64(bb, 1 + i, (double)((panel * 7919u + i * 104729u + station) % 1000) / 10);
    (void)snprintf(text, sizeof text, "operator%u", panel / 500 % 9);
    set_text(bb, 7, text);
    (void)snprintf(text, sizeof text, "%u", panel % 4);
    set_text(bb, 8, text);
    set_text(bb, 9, "recipe-7");
    batch_set_f64(bb, 10, 40 + (double)(panel % 100) / 10);
    (void)snprintf(text, sizeof text, "LOT-%u-%u", station, panel / 300);
    set_text(bb, 11, text);
    (void)snprintf(text, sizeof text, "REEL-%u-%u", station, panel / 200);
    set_text(bb, 12, text);
}

static void add_board(struct bench *b, uint32_t panel, uint32_t n, int64_t at)
{
    char serial[32];
    uint32_t board = panel * BOARDS_A_PANEL + n;
    struct batch_builder *bb = b->builders[STREAM_TESTS];
    (void)snprintf(serial, sizeof serial, "B-%08u", board);
    add_presence(b, (1u << 31) + board, serial, STATIONS, at);
    (void)batch_builder_row(bb, at + TAKT_US);
    set_text(bb, 0, serial);
    batch_set_f64(bb, 1, board % 97);
    batch_set_f64(bb, 2, board % 101);
    if (board % 50 == 0)
        set_text(bb, 3, "open");
    set_text(bb, 4, board % 50 == 0 ? "fail" : "pass");
}

static void add_panel(struct bench *b, uint32_t panel)
{
    char serial[32];
    int64_t at = T0 + panel * TAKT_US * BOARDS_A_PANEL;
    (void)snprintf(serial, sizeof serial, "P-%08u", panel);
    for (uint32_t i = 0; i < STATIONS; i++) {
        add_presence(b, panel, serial, i, at + i * TAKT_US * 10);
        if (i < STATIONS - 1)
            add_row(b, panel, i, at + (i * 10 + 1) * TAKT_US);
    }
    at += STATIONS * 10 * TAKT_US;
    struct batch_builder *bb = b->builders[STREAM_CUTS];
    (void)batch_builder_row(bb, at);
    set_unit(bb, panel, STATIONS - 1);
    for (uint32_t n = 0; n < BOARDS_A_PANEL; n++) {
        char board[32];
        (void)snprintf(board, sizeof board, "B-%08u", panel * BOARDS_A_PANEL + n);
        set_text(bb, 1 + n, board);
        add_board(b, panel, n, at + n * TAKT_US);
    }
}

/* One record a stream, of some panels. On the writer's thread. */
static int write_turn(void *ctx)
{
    struct bench *b = ctx;
    for (int i = 0; i < PANELS_A_TURN; i++)
        add_panel(b, b->next_panel++);
    for (int i = 0; i < STREAM_COUNT; i++) {
        struct batch *batch = NULL;
        bench_must(batch_builder_finish(b->builders[i], &batch), "batch", NULL);
        bench_must(historian_append(b->h, "n", streams[i].name, batch,
                                    (struct position){1, ++b->seq}, &b->diag),
                   "append", b->diag.text);
    }
    if (b->next_panel % 64 == 0)
        bench_must(historian_commit(b->h, &b->diag), "commit", b->diag.text);
    return OK;
}

static int write_rest(void *ctx)
{
    struct bench *b = ctx;
    return historian_commit(b->h, &b->diag);
}

static void fill(struct bench *b, uint32_t boards)
{
    double from = bench_now_s();
    while (b->next_panel * BOARDS_A_PANEL < boards)
        bench_must(exec_call(historian_writer(b->h), write_turn, b), "write", NULL);
    bench_must(exec_call(historian_writer(b->h), write_rest, b), "write", b->diag.text);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("{\"bench\":\"trace\",\"case\":\"fill\",\"boards\":%u,\"seconds\":%.1f,"
                 "\"peak_mb\":%ld}\n",
                 boards, bench_now_s() - from, usage.ru_maxrss / 1024);
}

/* ---------------------------------------------------------------------------------------- asking
 */

/* While questions are asked, five commits a second. */
static void write_some(struct exec_timer *timer)
{
    struct bench *b = CONTAINER_OF(timer, struct bench, timer);
    if (atomic_load(&b->stop))
        return;
    (void)write_turn(b);
    (void)write_rest(b);
    (void)exec_timer_start(historian_writer(b->h), timer,
                           exec_now_us(historian_writer(b->h)) + 200000);
}

static int write_begin(void *ctx)
{
    struct bench *b = ctx;
    b->next_panel = 1u << 24;
    exec_timer_init(&b->timer, write_some);
    return exec_timer_start(historian_writer(b->h), &b->timer, exec_now_us(historian_writer(b->h)));
}

static int write_end(void *ctx)
{
    struct bench *b = ctx;
    exec_timer_stop(historian_writer(b->h), &b->timer);
    return OK;
}

struct question {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
    int err;
    size_t bytes;
};

static void answered(void *ctx, const struct call_result *r)
{
    struct question *q = ctx;
    (void)pthread_mutex_lock(&q->mutex);
    q->done = true;
    q->err = r->err;
    q->bytes = r->answer ? r->answer->slab_bytes : 0;
    (void)pthread_cond_signal(&q->cond);
    (void)pthread_mutex_unlock(&q->mutex);
}

static double ask_one(struct bench *b, uint32_t board, struct question *q)
{
    const struct call_port *port = catalogue_call_find(&b->catalogue, "trace.unit");
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    char serial[32];
    struct call_options options = {.exec = b->exec, .done = answered, .ctx = q};
    (void)snprintf(serial, sizeof serial, "B-%08u", board);
    bench_must(batch_builder_new(port->request, 1, NULL, &bb), "request", NULL);
    (void)batch_builder_row(bb, 0);
    set_text(bb, 0, serial);
    bench_must(batch_builder_finish(bb, &request), "request", NULL);
    batch_builder_free(bb);
    q->done = false;
    double from = bench_now_s();
    bench_must(call_send(port, request, &options), "trace.unit", NULL);
    (void)pthread_mutex_lock(&q->mutex);
    while (!q->done)
        (void)pthread_cond_wait(&q->cond, &q->mutex);
    (void)pthread_mutex_unlock(&q->mutex);
    bench_must(q->err, serial, NULL);
    return (bench_now_s() - from) * 1000;
}

static void ask(struct bench *b, uint32_t boards, uint32_t questions)
{
    double *ms = calloc(questions, sizeof *ms);
    struct question q = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    size_t bytes = 0;
    double cpu = bench_cpu_s();
    bench_must(ms ? OK : ERR_NOMEM, "memory", NULL);
    bench_must(exec_call(historian_writer(b->h), write_begin, b), "write", NULL);
    for (uint32_t i = 0; i < questions; i++) {
        /* A walk that visits every board once before any a second time. */
        ms[i] = ask_one(b, (uint32_t)((uint64_t)i * 61813 % boards), &q);
        bytes += q.bytes;
    }
    atomic_store(&b->stop, true);
    bench_must(exec_call(historian_writer(b->h), write_end, b), "write", NULL);
    cpu = (bench_cpu_s() - cpu) * 1000 / questions; /* with what the writer used */
    double first = ms[0];
    qsort(ms, questions, sizeof *ms, bench_compare);
    double p99 = ms[questions * 99 / 100];
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("{\"bench\":\"trace\",\"case\":\"ask\",\"questions\":%u,\"first_ms\":%.2f,"
                 "\"median_ms\":%.2f,\"p90_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,\"cpu_ms\":%."
                 "2f,\"answer_bytes\":%zu,"
                 "\"peak_mb\":%ld}\n",
                 questions, first, ms[questions / 2], ms[questions * 9 / 10], p99,
                 ms[questions - 1], cpu, bytes / questions, usage.ru_maxrss / 1024);
    bench_ratio("trace", "unit_50_ms_over_p99", GOAL_MS, p99, "ms", 1);
    free(ms);
}

static int run_self(const char *verb, char *file, char *count)
{
    char self[] = "/proc/self/exe";
    char word[8];
    char *arguments[] = {self, word, file, count, NULL};
    pid_t child;
    int status = 0;
    (void)snprintf(word, sizeof word, "%s", verb);
    if (posix_spawn(&child, self, NULL, NULL, arguments, environ) != 0)
        return 1;
    if (waitpid(child, &status, 0) != child)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int run_both(int argc, char **argv)
{
    char dir[BENCH_PATH_BYTES_MAX];
    char file[BENCH_PATH_BYTES_MAX + 16];
    char count[] = QUESTIONS_FEW;
    bench_folder_enter(argc, argv, "trace", dir);
    (void)snprintf(file, sizeof file, "%s/trace.duckdb", dir);
    int rc = run_self("fill", file, NULL);
    if (!rc)
        rc = run_self("ask", file, count);
    bench_folder_remove(dir);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    if (argc <= 2)
        return run_both(argc, argv);
    bool fills = strcmp(argv[1], "fill") == 0;
    if (!fills && strcmp(argv[1], "ask") != 0) {
        (void)fprintf(stderr,
                      "bench_trace fill FILE [BOARDS] | bench_trace ask FILE [QUESTIONS]\n");
        return 2;
    }
    long count = argc > 3 ? strtol(argv[3], NULL, 10) : fills ? BOARDS : QUESTIONS;
    bench_open(&b, argv[2]);
    if (fills)
        fill(&b, (uint32_t)count);
    else
        ask(&b, BOARDS, (uint32_t)count);
    bench_close(&b);
    return 0;
}
