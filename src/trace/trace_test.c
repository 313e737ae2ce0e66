/* The trace over a real historian: from records to the answer about a unit, and to the terminal. */
#include "trace/trace.h"

#include "base/clock.h"
#include "tests/support/check.h"
#include "tests/support/feed_fake.h"
#include "tests/support/presence_row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0   ((int64_t)1763800000000000)
#define STEP ((int64_t)100000)

static const char config_text[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: press1, station: press, unit: plc.press.serial,\n"
    "     begin: {signal: plc.press.cycle}, end: {signal: plc.press.cycle, edge: falling},\n"
    "     signals: [plc.press]}\n"
    "characteristics:\n"
    "  - {name: force_max, station: press, lower: 10, upper: 20, target: 15, uom: kN}\n"
    "  - {name: force_mean, uom: kN}\n"
    "rules:\n"
    "  - {name: press_row, sql: \"SELECT 1\",\n"
    "     actions: [{mqtt: {topic: a}}, {trace: {operation: pressing, measures: [force_max, "
    "force_mean]}}]}\n";

struct fixture {
    struct feed_fake log;
    struct feed feed;
    struct config *config;
    struct catalogue catalogue;
    struct historian *h;
    struct trace *t;
    struct exec *exec;
    struct schema *press;
    struct schema *presence;
    struct schema *row;
    char path[512];
};

static const struct field press_fields[] = {
    {.name = "serial", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "cycle", .type = VALUE_INT64},
    {.name = "force", .type = VALUE_INT64, .uom = "kN", .scale = 0.1, .flags = FIELD_SCALED},
};
static const struct field row_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},
    {.name = "force_max", .type = VALUE_DOUBLE},
    {.name = "force_mean", .type = VALUE_DOUBLE},
};

static void fixture_configure(struct fixture *f, const char *text)
{
    struct diag diag = {0};
    struct stream *s = NULL;
    if (config_parse("t.yaml", bytes_of_text(text), &f->config, &diag))
        check_fail_at(__FILE__, __LINE__, "config: %s", diag.text);
    CHECK_OK(schema_new(press_fields, 3, &f->press));
    CHECK_OK(schema_new(presence_row_fields, PRESENCE_ROW_FIELDS, &f->presence));
    CHECK_OK(schema_new(row_fields, 3, &f->row));
    CHECK_OK(catalogue_init(&f->catalogue, "n"));
    CHECK_OK(
        catalogue_stream_add(&f->catalogue, "plc.press", STREAM_GROUP, "hall/press", f->press, &s));
    CHECK_OK(catalogue_stream_add(&f->catalogue, "presence.press1", STREAM_PRESENCE, "hall/press",
                                  f->presence, &s));
    CHECK_OK(catalogue_stream_add(&f->catalogue, "press_row", STREAM_RULE, "", f->row, &s));
    feed_fake_init(&f->log);
    f->feed = feed_fake_feed(&f->log);
    (void)snprintf(f->path, sizeof f->path, "%s/h.duckdb", check_folder());
    struct historian_options options = {.path = f->path, .feed = &f->feed, .linger_ms = 10};
    CHECK_OK(historian_new(&options, &f->h));
    CHECK_OK(historian_configure(f->h, &f->catalogue, &diag));
    CHECK_OK(trace_new(&(struct trace_options){f->h}, &f->t));
    CHECK_OK(exec_thread_new("caller", 0, &f->exec));
}

static void fixture_open_with(struct fixture *f, const char *text)
{
    struct diag diag = {0};
    fixture_configure(f, text);
    if (trace_configure(f->t, f->config, &f->catalogue, &diag))
        check_fail_at(__FILE__, __LINE__, "trace: %s", diag.text);
    CHECK_OK(historian_start(f->h, &diag));
    CHECK_OK(trace_start(f->t));
}

static void fixture_open(struct fixture *f)
{
    fixture_open_with(f, config_text);
}

static void fixture_close(struct fixture *f)
{
    trace_stop(f->t);
    historian_free(f->h);
    trace_free(f->t);
    feed_fake_fini(&f->log);
    catalogue_fini(&f->catalogue);
    exec_thread_free(f->exec);
    config_free(f->config);
    schema_unref(f->press);
    schema_unref(f->presence);
    schema_unref(f->row);
}

static void written(struct fixture *f)
{
    struct historian_stats stats = {0};
    CHECK_SOON((historian_stats_get(f->h, &stats), stats.at.seq == f->log.count), 10000);
}

/* --------------------------------------------------------------------------------------- records
 */

static struct bytes unit_of(uint8_t n)
{
    static const uint8_t units[10][16] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}};
    return bytes_of(units[n], 16);
}

static void add_points(struct fixture *f, int64_t from, uint32_t rows)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(f->press, rows, NULL, &bb));
    for (uint32_t i = 0; i < rows; i++) {
        CHECK(batch_builder_row(bb, from + i * STEP) >= 0);
        CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text("S")));
        batch_set_i64(bb, 1, 1);
        batch_set_i64(bb, 2, i == 700 ? 999 : (int64_t)(i % 100));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    (void)feed_fake_add(&f->log, "n", "plc.press", b);
}

static void add_presence(struct fixture *f, uint8_t unit, const char *serial, int64_t t_in,
                         int64_t t_out, const char *result, int64_t revision)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    const struct presence_row row = {
        .unit = unit_of(unit),
        .serial = serial,
        .station = "press",
        .result = result,
        .t_in = t_in,
        .t_out = t_out,
        .revision = revision,
    };
    CHECK_OK(batch_builder_new(f->presence, 1, NULL, &bb));
    CHECK_OK(presence_row_add(bb, &row));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    (void)feed_fake_add(&f->log, "n", "presence.press1", b);
}

static void add_measures(struct fixture *f, uint8_t unit, double max, double mean)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(f->row, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, T0) >= 0);
    CHECK_OK(batch_set_bytes(bb, 0, unit_of(unit)));
    batch_set_f64(bb, 1, max);
    batch_set_f64(bb, 2, mean);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    (void)feed_fake_add(&f->log, "n", "press_row", b);
}

/* ----------------------------------------------------------------------------------------- calls
 */

struct asked {
    atomic_bool done;
    int err;
    char diag[512];
    struct batch *answer;
};

static void asked_done(void *ctx, const struct call_result *r)
{
    struct asked *a = ctx;
    a->err = r->err;
    (void)snprintf(a->diag, sizeof a->diag, "%s", r->diag ? r->diag->text : "");
    a->answer = r->answer ? batch_ref(r->answer) : NULL;
    atomic_store(&a->done, true);
}

static void ask(struct fixture *f, const char *name, const char *first, const char *second,
                struct asked *ret)
{
    const struct call_port *port = catalogue_call_find(&f->catalogue, name);
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    CHECK(port != NULL);
    *ret = (struct asked){0};
    CHECK_OK(batch_builder_new(port->request, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, 0) >= 0);
    if (first)
        CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(first)));
    if (second && strcmp(name, "trace.unit") == 0)
        CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text(second)));
    else if (second)
        batch_set_i64(bb, 1, strtoll(second, NULL, 10));
    CHECK_OK(batch_builder_finish(bb, &request));
    batch_builder_free(bb);
    struct call_options options = {
        .exec = f->exec, .done = asked_done, .ctx = ret, .origin = {"tester", "test", CALL_VIEWER}};
    CHECK_OK(call_send(port, request, &options));
    CHECK_SOON(atomic_load(&ret->done), 10000);
}

static struct bytes answer_text(const struct asked *a, const char *name, uint32_t row)
{
    CHECK_OK(a->err);
    CHECK(a->answer != NULL);
    int32_t col = schema_find(a->answer->schema, bytes_of_text(name));
    CHECK(col >= 0);
    struct column c = batch_column(a->answer, (uint32_t)col);
    return column_bytes(&c, row);
}

static void check_text(const struct asked *a, const char *name, uint32_t row, const char *want)
{
    CHECK_BYTES(answer_text(a, name, row), bytes_of_text(want));
}

static void check_verdict(struct fixture *f, const char *serial, const char *want)
{
    struct asked a;
    ask(f, "trace.unit", serial, NULL, &a);
    check_text(&a, "verdict", 0, want);
    batch_unref(a.answer);
}

static struct tree *json_of(struct arena *arena, const struct asked *a, const char *name)
{
    struct tree *t = NULL;
    CHECK_OK(tree_parse_json(arena, name, answer_text(a, name, 0), &t, NULL));
    return t;
}

TEST(a_unit_is_told_with_steps_measures_and_curve)
{
    struct fixture f;
    struct asked a;
    struct arena arena = {0};
    fixture_open(&f);
    add_points(&f, T0, 60);
    add_presence(&f, 1, "PRS-1", T0 + 10 * STEP, T0 + 20 * STEP, "", 1);
    add_measures(&f, 1, 15.5, 7);
    written(&f);
    ask(&f, "trace.unit", "PRS-1", NULL, &a);
    check_text(&a, "unit", 0, "01000000000000000000000000000000");
    check_text(&a, "serial", 0, "PRS-1");
    check_text(&a, "verdict", 0, "pass");
    struct tree *steps = json_of(&arena, &a, "steps");
    CHECK_EQ(steps->count, 1);
    CHECK_STR(tree_text(tree_get(steps->first, "station")), "press");
    CHECK_STR(tree_text(tree_get(steps->first, "operation")), "pressing");
    CHECK_STR(tree_text(tree_get(steps->first, "t_in")), "2025-11-22T08:26:41Z");
    CHECK_STR(tree_text(tree_get(steps->first, "verdict")), "pass");
    struct tree *measures = json_of(&arena, &a, "measures");
    CHECK_EQ(measures->count, 2);
    CHECK_STR(tree_text(tree_get(measures->first, "characteristic")), "force_max");
    CHECK_STR(tree_text(tree_get(measures->first, "value")), "15.5");
    CHECK_STR(tree_text(tree_get(measures->first, "upper")), "20");
    CHECK_STR(tree_text(tree_get(measures->first, "ok")), "true");
    CHECK_EQ(tree_get(measures->last, "ok")->kind, TREE_NULL);
    struct tree *curves = json_of(&arena, &a, "curves");
    CHECK_EQ(curves->count, 1); /* cycle is the track's own, serial is no number */
    CHECK_STR(tree_text(tree_get(curves->first, "signal")), "plc.press.force");
    const struct tree *points = tree_get(curves->first, "points");
    CHECK_EQ(points->count, 10); /* [t_in, t_out) */
    CHECK_STR(tree_text(points->first->first), "1763800001000000");
    CHECK_STR(tree_text(points->first->last), "1");
    batch_unref(a.answer);
    ask(&f, "trace.unit", "01000000000000000000000000000000", NULL, &a);
    check_text(&a, "serial", 0, "PRS-1");
    batch_unref(a.answer);
    ask(&f, "trace.unit", "PRS-2", NULL, &a);
    CHECK_ERR(a.err, ERR_NOT_FOUND);
    CHECK(strstr(a.diag, "PRS-2") != NULL);
    ask(&f, "trace.unit", "", NULL, &a);
    CHECK_ERR(a.err, ERR_INVALID);
    ask(&f, "trace.unit", "PRS-1", "yesterday", &a);
    CHECK_ERR(a.err, ERR_INVALID);
    arena_fini(&arena);
    fixture_close(&f);
}

TEST(a_verdict_is_the_result_or_else_the_limits)
{
    struct fixture f;
    fixture_open(&f);
    add_presence(&f, 1, "A", T0, T0 + STEP, "fail", 1);
    add_measures(&f, 1, 15, 1);
    add_presence(&f, 2, "B", T0, T0 + STEP, "", 1);
    add_measures(&f, 2, 20.5, 1);
    add_measures(&f, 3, 20, 1); /* the measures may come before the presence */
    add_presence(&f, 3, "C", T0, T0 + STEP, "", 1);
    add_presence(&f, 4, "D", T0, T0 + STEP, "", 1);
    add_presence(&f, 5, "E", T0, T0 + STEP, "", 1);
    add_measures(&f, 5, (double)NAN, 1); /* not measured is not passed */
    add_presence(&f, 6, "A", T0 + 9 * STEP, T0 + 10 * STEP, "pass", 1); /* reworked */
    add_presence(&f, 7, "F", T0, T0 + STEP, "pass", 1);
    add_presence(&f, 7, "F", T0, T0 + STEP, "fail", 2); /* corrected later */
    written(&f);
    check_verdict(&f, "A", "pass");
    check_verdict(&f, "B", "fail");
    check_verdict(&f, "C", "pass");
    check_verdict(&f, "D", "unknown");
    check_verdict(&f, "E", "fail");
    check_verdict(&f, "F", "fail");
    fixture_close(&f);
}

TEST(an_answer_can_be_had_as_of_an_earlier_moment)
{
    struct fixture f;
    struct asked a;
    char then[CLOCK_TEXT_BYTES_MAX];
    fixture_open(&f);
    add_presence(&f, 1, "A", T0, T0 + STEP, "pass", 1);
    written(&f);
    (void)clock_format(clock_wall_us(), then);
    add_presence(&f, 1, "A", T0, T0 + STEP, "fail", 2);
    written(&f);
    check_verdict(&f, "A", "fail");
    ask(&f, "trace.unit", "A", then, &a);
    check_text(&a, "verdict", 0, "pass");
    batch_unref(a.answer);
    ask(&f, "trace.unit", "A", "2020-01-01T00:00:00Z", &a);
    CHECK_ERR(a.err, ERR_NOT_FOUND);
    fixture_close(&f);
}

TEST(a_long_curve_keeps_its_peak)
{
    struct fixture f;
    struct asked a;
    struct arena arena = {0};
    bool peak = false;
    fixture_open(&f);
    add_points(&f, T0, 2000);
    add_presence(&f, 1, "A", T0, T0 + 2000 * STEP, "pass", 1);
    written(&f);
    ask(&f, "trace.unit", "A", NULL, &a);
    const struct tree *points = tree_get(json_of(&arena, &a, "curves")->first, "points");
    CHECK(points->count <= TRACE_CURVE_POINTS_MAX);
    CHECK(points->count > TRACE_CURVE_POINTS_MAX / 2);
    for (const struct tree *point = points->first; point; point = point->next) {
        peak = peak || strncmp(tree_text(point->last), "99.9", 4) == 0;
    }
    CHECK(peak);
    batch_unref(a.answer);
    arena_fini(&arena);
    fixture_close(&f);
}

static void check_curve(struct fixture *f, const char *serial, const char *first, uint32_t count)
{
    struct asked a;
    struct arena arena = {0};
    ask(f, "trace.unit", serial, NULL, &a);
    struct tree *curves = json_of(&arena, &a, "curves");
    CHECK_EQ(curves->count, 1);
    const struct tree *points = tree_get(curves->first, "points");
    CHECK_EQ(points->count, count);
    CHECK_STR(tree_text(points->first->first), first);
    batch_unref(a.answer);
    arena_fini(&arena);
}

static void drop_ranges(struct fixture *f)
{
    struct duck_options options = {.path = f->path};
    struct duck *duck = NULL;
    struct duck_conn *conn = NULL;
    struct diag diag = {0};
    CHECK_OK(duck_open(&options, &duck, &diag));
    CHECK_OK(duck_connect(duck, &conn));
    CHECK_OK(duck_exec(conn, "DROP TABLE point_ranges", &diag));
    duck_disconnect(conn);
    duck_close(duck);
}

/* Some 4,000 points are a piece, and the past may come in the midst of the present. */
TEST(a_curve_is_found_among_many_pieces)
{
    struct fixture f;
    struct diag diag = {0};
    int64_t day = (int64_t)86400 * 1000000;
    fixture_open(&f);
    add_points(&f, T0, 8000);
    add_points(&f, T0 - day, 60); /* yesterday's */
    add_points(&f, T0 + 8000 * STEP, 8000);
    add_presence(&f, 1, "PRS-1", T0 - day + 10 * STEP, T0 - day + 20 * STEP, "", 1);
    add_presence(&f, 2, "PRS-2", T0 + 100 * STEP, T0 + 130 * STEP, "", 1);
    add_presence(&f, 3, "PRS-3", T0 + 15990 * STEP, T0 + 16000 * STEP, "", 1);
    for (int i = 0; i < 3; i++) {
        written(&f);
        check_curve(&f, "PRS-1", "1763713601000000", 10);
        check_curve(&f, "PRS-2", "1763800010000000", 30);
        check_curve(&f, "PRS-3", "1763801599000000", 10);
        historian_stop(f.h);
        if (i == 0)
            drop_ranges(&f);
        CHECK_OK(historian_start(f.h, &diag));
    }
    fixture_close(&f);
}

TEST(a_belt_shows_the_signals_of_the_place)
{
    struct fixture f;
    struct asked a;
    struct arena arena = {0};
    fixture_open_with(&f, "name: n\ntracks:\n"
                          "  - name: press1\n"
                          "    entry: {signal: plc.line.entry, unit: plc.line.serial}\n"
                          "    speed: {signal: plc.line.speed}\n"
                          "    places: [{station: press, from_mm: 0, to_mm: 100}]\n"
                          "    signals:\n"
                          "      plc.press.force: {from_mm: 50, to_mm: 150}\n"
                          "      plc.press.cycle: {from_mm: 100, to_mm: 200}\n");
    add_points(&f, T0, 20);
    add_presence(&f, 1, "A", T0, T0 + 20 * STEP, "pass", 1);
    written(&f);
    ask(&f, "trace.unit", "A", NULL, &a);
    struct tree *curves = json_of(&arena, &a, "curves");
    CHECK_EQ(curves->count, 1);
    CHECK_STR(tree_text(tree_get(curves->first, "signal")), "plc.press.force");
    batch_unref(a.answer);
    arena_fini(&arena);
    fixture_close(&f);
}

TEST(the_latest_units_are_listed)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    for (uint8_t i = 1; i < 6; i++) {
        char serial[8];
        (void)snprintf(serial, sizeof serial, "S-%d", i);
        add_presence(&f, i, serial, T0 + i * STEP, T0 + (i + 1) * STEP, i % 2 ? "pass" : "", 1);
    }
    add_measures(&f, 4, 5, 1);
    written(&f);
    ask(&f, "trace.units", NULL, "3", &a);
    CHECK_EQ(a.answer->rows, 3);
    check_text(&a, "serial", 0, "S-5");
    check_text(&a, "verdict", 0, "pass");
    check_text(&a, "serial", 1, "S-4");
    check_text(&a, "verdict", 1, "fail");
    batch_unref(a.answer);
    ask(&f, "trace.units", "2025-11-22T08:26:40.550Z", NULL, &a);
    CHECK_EQ(a.answer->rows, 1);
    batch_unref(a.answer);
    ask(&f, "trace.units", NULL, "0", &a);
    CHECK_ERR(a.err, ERR_RANGE);
    fixture_close(&f);
}

TEST(a_unit_prints_on_a_terminal)
{
    struct fixture f;
    struct asked a;
    struct buf out = {0};
    fixture_open(&f);
    add_points(&f, T0, 60);
    add_presence(&f, 1, "PRS-1", T0 + 10 * STEP, T0 + 18 * STEP, "", 1);
    add_measures(&f, 1, 25.123456789, 7);
    written(&f);
    ask(&f, "trace.unit", "PRS-1", NULL, &a);
    struct trace_print_options options = {.utc_offset_s = 8 * 3600, .width = 60};
    CHECK_OK(trace_print(a.answer, &options, &out));
    CHECK_STR(buf_text(&out),
              "PRS-1  fail   unit 01000000000000000000000000000000\n\n"
              "STATION  OPERATION  IN                   OUT                      STATUS  VERDICT\n"
              "press    pressing   2025-11-22 16:26:41  2025-11-22 16:26:41.800  exact   fail\n\n"
              "MEASURE     VALUE    LOWER  UPPER  UNIT  OK\n"
              "force_max   25.1235  10     20     kN    no\n"
              "force_mean  7                      kN    \n\n"
              "plc.press.force  ▁▂▃▄▅▆▇█  1 … 1.7 kN\n");
    buf_reset(&out);
    options.colour = true;
    CHECK_OK(trace_print(a.answer, &options, &out));
    CHECK(strstr(buf_text(&out), "\x1b[31mfail") != NULL);
    buf_fini(&out);
    batch_unref(a.answer);
    fixture_close(&f);
}

/* --------------------------------------------------------------------------------- configuration
 */

static void check_bad(const char *text, int want, const char *part)
{
    struct fixture f;
    struct diag diag = {0};
    fixture_configure(&f, text);
    CHECK_ERR(trace_configure(f.t, f.config, &f.catalogue, &diag), want);
    if (!strstr(diag.text, part) || diag.line == 0)
        check_fail_at(__FILE__, __LINE__, "line %u: %s", diag.line, diag.text);
    fixture_close(&f);
}

TEST(wrong_configuration_is_said_with_its_place)
{
    check_bad("name: n\ncharacteristics: [{name: a, lower: 2, upper: 1}]\n", ERR_RANGE,
              "lower is above upper");
    check_bad("name: n\ncharacteristics: [{name: a, uper: 1}]\n", ERR_UNKNOWN_KEY, "upper");
    check_bad("name: n\nrules: [{name: press_row, sql: S, actions: [{trace: {operation: p, "
              "measures: [force_mx]}}]}]\n",
              ERR_NOT_FOUND, "did you mean force_max?");
    check_bad("name: n\nrules: [{name: press_row, sql: S, actions: [{trace: {operation: p, "
              "quantity: force_max}}]}]\n",
              ERR_INVALID, "children, parents or consumes, but none of them");
    check_bad("name: n\nrules: [{name: press_row, sql: S, actions: [{trace: {operation: p, "
              "children: [unit], quantity: [force_max, force_max]}}]}]\n",
              ERR_INVALID, "2 columns for 1 links");
    check_bad("name: n\nrules: [{name: press_row, sql: S, actions: [{trace: {operation: p, "
              "measures: [force_max], covered: [force_mean, force_mean]}}]}]\n",
              ERR_INVALID, "covered has 2 columns for 1 measures");
    check_bad("name: n\nrules: [{name: press_row, sql: S, actions: [{trace: {operation: p, "
              "covered: [force_mean, force_mean]}}]}]\n",
              ERR_INVALID, "covered has 2 columns for 0 measures that are named");
    check_bad("name: n\nrules: [{name: press_row, sql: S, actions: [{trace: {}}]}]\n", ERR_INVALID,
              "operation");
    check_bad("name: n\nrules: [{name: none, sql: S, actions: [{trace: {operation: p}}]}]\n",
              ERR_NOT_FOUND, "none");
}
