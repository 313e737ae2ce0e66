/* Unit windows on a belt: signals with places of their own, and the unit's curve across them; each
 * with its exact answer, and against sums of single milliseconds. */
#include "base/rand.h"
#include "stream/pipeline_priv.h"
#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define S INT64_C(1000000)

enum { ZONE1, ZONE2, ZONE3, FAN, BELT, CODE, LABEL, DOOR, ZONE_COUNT = 3 };

static const struct field oven_fields[] = {
    {.name = "zone1", .type = VALUE_DOUBLE},
    {.name = "zone2", .type = VALUE_DOUBLE, .flags = FIELD_LINEAR},
    {.name = "zone3", .type = VALUE_DOUBLE},
    {.name = "fan", .type = VALUE_DOUBLE},
    {.name = "belt", .type = VALUE_DOUBLE},
    {.name = "code", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "label", .type = VALUE_STRING},
    {.name = "door", .type = VALUE_BOOL},
};

enum { UNIT, SERIAL, STATION, T_IN, T_OUT, PATH, CLOCKS };

static const struct field presence_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},      {.name = "serial", .type = VALUE_STRING},
    {.name = "station", .type = VALUE_STRING},  {.name = "t_in", .type = VALUE_TIMESTAMP},
    {.name = "t_out", .type = VALUE_TIMESTAMP}, {.name = "path", .type = VALUE_BYTES},
    {.name = "clocks", .type = VALUE_STRING},
};

/* The fan stands where zone 2 is; zone 3 begins 100 mm behind zone 2, and the label is read there.
 */
static const struct signal_place places[] = {
    {"plc.oven", "zone2", 100, 200}, {"plc.oven", "zone1", 0, 100},
    {"plc.oven", "zone3", 300, 400}, {"plc.oven", "fan", 100, 200},
    {"plc.oven", "label", 300, 400},
};

struct bench {
    struct catalogue catalogue;
    struct schema *oven;
    struct schema *presence;
    struct plan *plan;
    struct pipeline *pipeline;
    struct diag diag;
    uint64_t seq;
    int64_t wall_us;
    struct value row[8];
    struct batch *answer; /* whose texts the row borrows */
    int rows;
    int64_t row_us;
    const char *clocks; /* of the presences; NULL: they say nothing of any */
};

static void take(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct bench *t = ctx;
    (void)key;
    (void)resume;
    for (uint32_t i = 0; i < b->rows; i++) {
        t->rows++;
        t->row_us = batch_times(b)[i];
        for (uint32_t k = 0; k < b->schema->count && k < 8; k++) {
            struct column c = batch_column(b, k);
            t->row[k] = column_value(&c, i);
        }
    }
    batch_unref(t->answer);
    t->answer = b;
}

static void bench_init(struct bench *t)
{
    struct stream *s = NULL;
    *t = (struct bench){0};
    CHECK_OK(catalogue_init(&t->catalogue, "n"));
    CHECK_OK(schema_new(oven_fields, sizeof oven_fields / sizeof oven_fields[0], &t->oven));
    CHECK_OK(schema_new(presence_fields, 7, &t->presence));
    CHECK_OK(catalogue_stream_add(&t->catalogue, "plc.oven", STREAM_GROUP, "", t->oven, &s));
    CHECK_OK(
        catalogue_stream_add(&t->catalogue, "presence.b", STREAM_PRESENCE, "", t->presence, &s));
    s->signals = places;
    s->signal_count = sizeof places / sizeof places[0];
}

static void bench_fini(struct bench *t)
{
    batch_unref(t->answer);
    pipeline_free(t->pipeline);
    plan_free(t->plan);
    catalogue_fini(&t->catalogue);
    schema_unref(t->oven);
    schema_unref(t->presence);
}

/* where: "" or "WHERE …"; options: without what the bench itself gives. */
static void bench_plan_where(struct bench *t, const char *select, const char *where,
                             struct pipeline_options o)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "SELECT %s FROM \"plc.oven\" %s GROUP BY UNITWINDOW('b', 'reflow')", select,
                   where);
    if (plan_new(sql, &t->catalogue, &t->plan, &t->diag))
        check_fail_at(__FILE__, __LINE__, "%s", t->diag.text);
    o.plan = t->plan;
    o.emit = take;
    o.ctx = t;
    CHECK_OK(pipeline_new(&o, &t->pipeline));
}

static void bench_plan(struct bench *t, const char *select, int64_t gap_max_us)
{
    bench_plan_where(t, select, "", (struct pipeline_options){.gap_max_us = gap_max_us});
}

static void refuse(struct bench *t, const char *select, int want, const char *part)
{
    char sql[512];
    struct plan *plan = NULL;
    (void)snprintf(sql, sizeof sql, "SELECT %s", select);
    int err = plan_new(sql, &t->catalogue, &plan, &t->diag);
    if (err != want || !strstr(t->diag.text, part))
        check_fail_at(__FILE__, __LINE__, "%s: %d %s", select, err, t->diag.text);
}

static void push(struct bench *t, int64_t us, double z1, double z2, double z3, double other)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    const double values[] = {z1, z2, z3, other, other};
    CHECK_OK(batch_builder_new(t->oven, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, us) >= 0);
    for (uint32_t i = 0; i < 5; i++)
        if (!isnan(values[i]))
            batch_set_f64(bb, i, values[i]);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    CHECK_OK(pipeline_push(t->pipeline, b, (struct position){1, ++t->seq}, t->wall_us, NULL));
    batch_unref(b);
}

/* NULL: not there. */
static void push_texts(struct bench *t, int64_t us, const char *code, const char *label, int door)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(t->oven, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, us) >= 0);
    if (code)
        CHECK_OK(batch_set_bytes(bb, CODE, bytes_of_text(code)));
    if (label)
        CHECK_OK(batch_set_bytes(bb, LABEL, bytes_of_text(label)));
    if (door >= 0)
        batch_set_bool(bb, DOOR, door != 0);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    CHECK_OK(pipeline_push(t->pipeline, b, (struct position){1, ++t->seq}, 0, NULL));
    batch_unref(b);
}

static void push_presence_of(struct bench *t, const char *station, int64_t t_in, int64_t t_out,
                             const struct path *path)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    struct buf bytes = {0};
    CHECK_OK(batch_builder_new(t->presence, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, t_out) >= 0);
    CHECK_OK(batch_set_bytes(bb, STATION, bytes_of_text(station)));
    batch_set_i64(bb, T_IN, t_in);
    batch_set_i64(bb, T_OUT, t_out);
    if (t->clocks)
        CHECK_OK(batch_set_bytes(bb, CLOCKS, bytes_of_text(t->clocks)));
    if (path) {
        CHECK_OK(path_encode(path, &bytes));
        CHECK_OK(batch_set_bytes(bb, PATH, buf_bytes(&bytes)));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    CHECK_OK(pipeline_presence(t->pipeline, b, (struct position){1, ++t->seq}, false));
    batch_unref(b);
    buf_fini(&bytes);
}

static void push_presence_only(struct bench *t, int64_t t_in, int64_t t_out,
                               const struct path *path)
{
    push_presence_of(t, "reflow", t_in, t_out, path);
}

/* Answered at once, whatever is still to come. */
static void push_presence(struct bench *t, int64_t t_in, int64_t t_out, const struct path *path)
{
    push_presence_only(t, t_in, t_out, path);
    CHECK_OK(pipeline_units_release(t->pipeline, UINT64_MAX));
    CHECK_OK(pipeline_flush(t->pipeline));
}

/* From 0 to 400 mm at 100 mm/s, from 10 s on. */
static void path_even(struct path *p)
{
    CHECK_OK(path_add(p, 10 * S, 0));
    CHECK_OK(path_add(p, 14 * S, 400));
}

static void check_number(const struct bench *t, int column, double want)
{
    CHECK_EQ(t->row[column].type, VALUE_DOUBLE);
    CHECK_NEAR(t->row[column].f64, want, 1e-9);
}

TEST(a_signal_with_a_place_is_bound_while_the_unit_is_there)
{
    struct bench t;
    struct path p = {0};
    bench_init(&t);
    bench_plan(&t,
               "max(zone1) AS a, avg(zone3) AS b, count(zone3) AS c, covered(zone3) AS d, "
               "max(belt) AS e, avg(zone3 + belt) AS f",
               0);
    path_even(&p);
    for (int i = 0; i <= 20; i++) /* each half second: 0, 1, 2 … from 8 s on */
        push(&t, 8 * S + i * S / 2, i, i, i, i);
    push_presence(&t, 10 * S, 14 * S, &p);
    CHECK_EQ(t.rows, 1);
    check_number(&t, 0, 5);    /* zone 1: 10 … 11 s, the values 4 and 5 */
    check_number(&t, 1, 10.5); /* zone 3: 13 … 14 s, 10 and 11 */
    CHECK_EQ(t.row[2].i64, 2);
    check_number(&t, 3, 1);
    check_number(&t, 4, 11); /* no place of its own: the station's interval */
    check_number(&t, 5, 15); /* nor has what is made of two: twice the mean of 4 … 11 */
    path_fini(&p);
    bench_fini(&t);
}

static void check_text(const struct bench *t, int column, const char *want)
{
    CHECK_EQ(t->row[column].type, VALUE_STRING);
    CHECK(bytes_equal(t->row[column].bytes, bytes_of_text(want)));
}

TEST(texts_of_the_stay_are_watched_like_numbers)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t,
               "first(code) AS a, last(code) AS b, min(code) AS c, max(code) AS d, "
               "count(code) AS e, last_value(code) AS f, last(door) AS g",
               0);
    push_texts(&t, 9 * S, "before", NULL, 1);
    push_texts(&t, 10 * S, NULL, NULL, -1);
    push_texts(&t, 11 * S, "mid", NULL, 1);
    push_texts(&t, 12 * S, "zed", NULL, 0);
    push_texts(&t, 13 * S, "all", NULL, 0);
    push_texts(&t, 13 * S + 1, NULL, NULL, -1);
    push_texts(&t, 14 * S, "behind", NULL, 1);
    push_presence(&t, 10 * S, 14 * S, NULL);
    CHECK_EQ(t.rows, 1);
    check_text(&t, 0, "mid");
    check_text(&t, 1, "all");
    check_text(&t, 2, "all");
    check_text(&t, 3, "zed");
    CHECK_EQ(t.row[4].i64, 3);
    CHECK_EQ(t.row[5].type, VALUE_NULL); /* the last row has none */
    CHECK_EQ(t.row[6].boolean, false);
    push_presence(&t, 20 * S, 21 * S, NULL);
    CHECK_EQ(t.row[1].type, VALUE_NULL);
    bench_fini(&t);
}

TEST(a_text_with_a_place_is_that_of_the_unit_there)
{
    struct bench t;
    struct path p = {0};
    bench_init(&t);
    bench_plan(&t, "last(label) AS a, first(concat(label, code)) AS b, count(label) AS c", 0);
    path_even(&p);
    push_texts(&t, 12 * S, "other", "other", -1); /* at 200 mm */
    push_texts(&t, 13 * S, "x", "mine", -1);
    push_texts(&t, 13 * S + S / 2, "x", "", -1); /* an empty text is a text */
    push_texts(&t, 14 * S, "x", "next", -1);
    push_presence(&t, 10 * S, 14 * S, &p);
    check_text(&t, 0, "");
    check_text(&t, 1, "otherother"); /* of two columns: while it is at the station */
    CHECK_EQ(t.row[2].i64, 2);
    path_fini(&p);
    bench_fini(&t);
}

TEST(units_of_one_answer_have_each_its_own_texts)
{
    struct bench t;
    char code[16];
    bench_init(&t);
    bench_plan(&t, "last(code) AS a", 0);
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(code, sizeof code, "C%d", i / 3);
        push_texts(&t, i * S, code, NULL, -1);
        if (i % 3000 != 2999)
            continue;
        push_presence(&t, (i - 5) * S, (i - 2) * S, NULL);
        (void)snprintf(code, sizeof code, "C%d", (i - 3) / 3);
        check_text(&t, 0, code);
    }
    CHECK(t.pipeline->unit.series[0]->texts.count < 3600 / 3 + 4); /* of the time that is kept */
    bench_fini(&t);
}

TEST(a_unit_that_comes_back_is_at_a_place_twice)
{
    struct bench t;
    struct path p = {0};
    bench_init(&t);
    bench_plan(&t, "count(zone1) AS a, avg(zone1) AS b, timeabove(zone1, 3.5) AS c", 0);
    CHECK_OK(path_add(&p, 10 * S, 0));
    CHECK_OK(path_add(&p, 12 * S, 200)); /* out of zone 1 at 11 s */
    CHECK_OK(path_add(&p, 14 * S, 0));   /* in again at 13 s */
    CHECK_OK(path_add(&p, 18 * S, 400)); /* out at 15 s */
    for (int i = 0; i <= 10; i++)
        push(&t, (9 + i) * S, i, 0, 0, 0);
    push_presence(&t, 10 * S, 18 * S, &p);
    CHECK_EQ(t.row[0].i64, 3); /* at 10, 13 and 14 s: 1, 4, 5 */
    check_number(&t, 1, 10.0 / 3);
    check_number(&t, 2, 2);
    path_fini(&p);
    bench_fini(&t);
}

TEST(polls_that_found_nobody_do_not_push_the_past_out)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "max(belt) AS a, covered(belt) AS b", 0);
    double none = (double)NAN;
    push(&t, 100000 * S, none, none, none, none); /* today */
    for (int i = 0; i <= 5; i++)
        push(&t, (10 + i) * S, 1, 1, 1, i); /* of the past */
    push_presence(&t, 11 * S, 14 * S, NULL);
    check_number(&t, 0, 3);
    check_number(&t, 1, 1);
    bench_fini(&t);
}

/* A presence and nothing else: it waits for its signals. */
static void present(struct bench *t, int64_t t_in, int64_t t_out, bool ahead)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(t->presence, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, t_out) >= 0);
    CHECK_OK(batch_set_bytes(bb, STATION, bytes_of_text("reflow")));
    batch_set_i64(bb, T_IN, t_in);
    batch_set_i64(bb, T_OUT, t_out);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    /* Signals that are pushed later were in the log before it. */
    struct position at = {1, ahead ? t->seq + 1000 : ++t->seq};
    CHECK_OK(pipeline_presence(t->pipeline, b, at, ahead));
    batch_unref(b);
}

/* Also in the last hour of the past: a unit is not answered before its values are here. */
TEST(polls_that_found_nobody_answer_no_unit_of_a_past_that_is_near)
{
    struct bench t;
    double none = (double)NAN;
    bench_init(&t);
    bench_plan(&t, "max(belt) AS a", 0);
    push(&t, 10 * S, 1, 1, 1, 1);
    push(&t, 1000 * S, none, none, none, none); /* today */
    present(&t, 10 * S, 14 * S, false);
    push(&t, 1001 * S, none, none, none, none);
    push(&t, 13 * S, 1, 1, 1, 7);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.rows, 0);
    push(&t, 15 * S, 1, 1, 1, 2);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.rows, 1);
    check_number(&t, 0, 7);
    present(&t, 20 * S, 24 * S, false); /* the past comes no further */
    push(&t, 1010 * S, none, none, none, none);
    push(&t, 1030 * S, none, none, none, none);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.rows, 1);
    push(&t, 1041 * S, none, none, none, none);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.rows, 2);
    bench_fini(&t);
}

/* Ten seconds of stay, values each second and held for at most one; none from 13 to 17 s: of the
 * four seconds after 13 only the first is known. */
TEST(case_20_a_gap_inside_the_dwell_is_what_covered_says)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "covered(belt) AS a, count(belt) AS b, avg(belt) AS c", S);
    for (int i = 9; i <= 21; i++)
        if (i <= 13 || i >= 17)
            push(&t, i * S, 1, 1, 1, i < 15 ? 2 : 9);
    push_presence(&t, 10 * S, 20 * S, NULL);
    CHECK_EQ(t.rows, 1);
    check_number(&t, 0, 0.7);
    CHECK_EQ(t.row[1].i64, 7);
    check_number(&t, 2, (4 * 2 + 3 * 9) / 7.0);
    bench_fini(&t);
}

/* Came and left at one moment: a row, and nothing was read of it. */
TEST(case_21_a_dwell_of_no_length_is_a_row_without_values)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "count(belt) AS a, max(belt) AS b, covered(belt) AS c", 0);
    for (int i = 9; i <= 12; i++)
        push(&t, i * S, 1, 1, 1, i);
    push_presence(&t, 11 * S, 11 * S, NULL);
    CHECK_EQ(t.rows, 1);
    CHECK_EQ(t.row[0].i64, 0);
    CHECK_EQ(t.row[1].type, VALUE_NULL);
    check_number(&t, 2, 0);
    bench_fini(&t);
}

/* The machine stamps the value of a cycle when the cycle has ended, 300 ms after the unit has left,
 * and the next unit is in already. Each cycle's value is its own unit's, none is two units'. */
TEST(case_29_what_is_stamped_at_the_end_of_a_cycle_is_the_unit_s_that_left)
{
    static const struct pipeline_options late = {.unit_delay_us = S / 2};
    struct bench t;
    bench_init(&t);
    bench_plan_where(&t, "max(belt) AS a, count(belt) AS b, first(belt) AS c", "", late);
    for (int i = 1; i <= 6; i++) /* of the unit in [10 i, 10 i + 9.9) */
        push(&t, (10 * i + 10) * S + S / 5, 1, 1, 1, i);
    for (int i = 1; i <= 5; i++) {
        push_presence(&t, 10 * i * S, (10 * i + 10) * S - S / 10, NULL);
        CHECK_EQ(t.rows, i);
        check_number(&t, 0, i);
        CHECK_EQ(t.row[1].i64, 1);
        check_number(&t, 2, i);
    }
    bench_fini(&t);
}

/* A press that is at work (zone3 2) from 12 to 15 and from 17 to 18 s of a stay of 10 s. What belt
 * shows between is not the unit's. */
TEST(what_the_machine_does_not_work_for_is_not_the_unit_s)
{
    struct bench t;
    bench_init(&t);
    bench_plan_where(&t,
                     "avg(belt) AS a, max(belt) AS b, count(belt) AS c, covered(belt) AS d, "
                     "timeabove(belt, 4) AS e",
                     "WHERE zone3 = 2", (struct pipeline_options){0});
    for (int i = 8; i <= 22; i++) {
        bool work = (i >= 12 && i < 15) || i == 17;
        push(&t, i * S, 1, 1, work ? 2 : 1, work ? (i == 17 ? 9 : 3) : 100);
    }
    push_presence(&t, 10 * S, 20 * S, NULL);
    CHECK_EQ(t.rows, 1);
    check_number(&t, 0, (3 * 3 + 9) / 4.0);
    check_number(&t, 1, 9);
    CHECK_EQ(t.row[2].i64, 4);
    check_number(&t, 3, 0.4);
    check_number(&t, 4, 1);
    bench_fini(&t);
}

TEST(lead_and_lag_widen_a_stay)
{
    static const struct pipeline_options wide = {.unit_lead_us = 2 * S, .unit_lag_us = S};
    struct bench t;
    bench_init(&t);
    bench_plan_where(&t, "count(belt) AS a, first(belt) AS b, max(belt) AS c, avg(belt) AS d", "",
                     wide);
    for (int i = 1; i <= 20; i++) {
        push(&t, i * S, 1, 1, 1, i);
        if (i == 15)
            push_presence_only(&t, 10 * S, 15 * S, NULL);
        CHECK_OK(pipeline_flush(t.pipeline));
        CHECK_EQ(t.rows, i < 16 ? 0 : 1); /* not before what may lag is here */
    }
    CHECK_EQ(t.row[0].i64, 8); /* 8 to 15 s */
    check_number(&t, 1, 8);
    check_number(&t, 2, 15);
    check_number(&t, 3, 11.5);
    CHECK_EQ(t.row_us, 15 * S);
    bench_fini(&t);
}

/* The oven's own clock is 5 s ahead, and slow: what it says of a unit is found under its times. */
TEST(case_17_values_of_a_device_with_another_clock_are_bound_by_it)
{
    struct bench now;
    struct bench then;
    struct path p = {0};
    path_even(&p);
    bench_init(&now);
    bench_init(&then);
    const char *select = "avg(zone2) AS a, max(profile('zone*')) AS b, count(belt) AS c";
    bench_plan(&now, select, 0);
    bench_plan(&then, select, 0);
    then.clocks = "other=1:2 plc=5000000:4999000";
    for (int i = 0; i <= 40; i++) {
        push(&now, i * S / 2, i, 40 - i, 7, i);
        push(&then, i * S / 2 + 5 * S - (i - 20) * 125, i, 40 - i, 7, i);
    }
    push_presence_only(&now, 10 * S, 14 * S, &p);
    push_presence_only(&then, 10 * S, 14 * S, &p);
    CHECK_OK(pipeline_units_release(now.pipeline, UINT64_MAX));
    CHECK_OK(pipeline_units_release(then.pipeline, UINT64_MAX));
    CHECK_OK(pipeline_flush(now.pipeline));
    CHECK_OK(pipeline_flush(then.pipeline));
    CHECK_EQ(now.rows, 1);
    CHECK_EQ(then.rows, 1);
    CHECK_EQ(now.row[2].i64, 8);
    CHECK_EQ(then.row[2].i64, 8);
    check_number(&then, 0, now.row[0].f64);
    check_number(&then, 1, now.row[1].f64);
    CHECK_EQ(then.row_us, 14 * S);
    path_fini(&p);
    bench_fini(&now);
    bench_fini(&then);
}

/* Of before the track compared clocks, and one of another track altogether. */
TEST(a_presence_of_before_clocks_were_compared_counts)
{
    struct bench t;
    struct schema *now = NULL;
    struct schema *before = NULL;
    struct schema *other = NULL;
    bench_init(&t);
    CHECK_OK(schema_new(presence_fields, 6, &before));
    CHECK_OK(schema_new(presence_fields, 5, &other));
    bench_plan(&t, "count(belt) AS a", 0);
    for (int i = 0; i <= 20; i++)
        push(&t, i * S, 1, 1, 1, i);
    now = t.presence;
    t.presence = before;
    push_presence(&t, 10 * S, 14 * S, NULL);
    CHECK_EQ(t.rows, 1);
    CHECK_EQ(t.row[0].i64, 4);
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(other, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, 14 * S) >= 0);
    CHECK_OK(batch_builder_finish(bb, &b));
    CHECK_ERR(pipeline_presence(t.pipeline, b, (struct position){1, 99}, false), ERR_TYPE);
    batch_builder_free(bb);
    batch_unref(b);
    t.presence = now;
    bench_fini(&t);
    schema_unref(before);
    schema_unref(other);
}

/* A place on the belt is looked at so much later too, and the unit's own curve. */
TEST(a_delay_counts_along_a_path)
{
    static const struct pipeline_options late = {.unit_delay_us = 3 * S};
    struct bench now;
    struct bench then;
    struct path p = {0};
    CHECK_OK(path_add(&p, 2 * S, -50));
    CHECK_OK(path_add(&p, 17 * S, 450));
    bench_init(&now);
    bench_init(&then);
    const char *select = "avg(zone2) AS a, max(profile('zone*')) AS b, count(zone1) AS c";
    bench_plan(&now, select, 0);
    bench_plan_where(&then, select, "", late);
    for (int i = 0; i <= 40; i++) {
        push(&now, i * S / 2, i, 40 - i, 7, 1);
        push(&then, i * S / 2 + 3 * S, i, 40 - i, 7, 1);
    }
    push_presence(&now, 4 * S, 15 * S, &p);
    push_presence(&then, 4 * S, 15 * S, &p);
    CHECK_EQ(now.rows, 1);
    CHECK_EQ(then.rows, 1);
    check_number(&then, 0, now.row[0].f64);
    check_number(&then, 1, now.row[1].f64);
    CHECK_EQ(then.row[2].i64, now.row[2].i64);
    CHECK(now.row[2].i64 > 0);
    path_fini(&p);
    bench_fini(&now);
    bench_fini(&then);
}

TEST(a_device_that_does_not_answer_keeps_nothing_for_ever)
{
    struct bench t;
    double none = (double)NAN;
    bench_init(&t);
    bench_plan(&t, "max(belt) AS a, count(*) AS b", 0);
    for (int i = 0; i <= 3; i++) /* first it answers, then it is silent for hours */
        push(&t, (10 + i) * S, 1, 1, 1, i);
    for (int i = 0; i < 20000; i++)
        push(&t, (14 + i) * S, none, none, none, none);
    CHECK(t.pipeline->unit.input_count < 3700);
    CHECK(t.pipeline->unit.series[1]->count < 3700);
    int64_t later = 14 * S + 30 * 86400 * S; /* and again after the node was down for a month */
    for (int i = 0; i < 8000; i++)
        push(&t, later + i * S, none, none, none, none);
    CHECK(t.pipeline->unit.input_count < 4500);
    CHECK_EQ(pipeline_resume(t.pipeline).seq > 20004, true);
    push(&t, later + 9000 * S, 1, 1, 1, 7);
    push_presence(&t, later + 8999 * S, later + 9001 * S, NULL);
    check_number(&t, 0, 7);
    bench_fini(&t);
}

/* While a past comes in, polls of a machine that does not answer tell of the present. */
TEST(a_unit_ahead_of_its_signals_waits_for_them_whatever_time_it_is)
{
    for (int way = 0; way < 2; way++) {
        struct bench t;
        bench_init(&t);
        bench_plan(&t, "max(belt) AS a", 0);
        push(&t, 1000 * S, 1, 1, 1, 1);
        present(&t, 10 * S, 12 * S, true);
        push(&t, 11 * S, 1, 1, 1, 7);
        CHECK_OK(pipeline_flush(t.pipeline));
        CHECK_EQ(t.rows, 0);
        t.seq += way ? 2000 : 0;
        if (way)
            push(&t, 1001 * S, 1, 1, 1, 2);
        else
            CHECK_OK(pipeline_caught_up(t.pipeline));
        CHECK_OK(pipeline_flush(t.pipeline));
        CHECK_EQ(t.rows, 1);
        check_number(&t, 0, 7);
        bench_fini(&t);
    }
}

TEST(those_that_just_came_are_not_let_go_with_those_that_waited)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "max(belt) AS a", 0);
    present(&t, 10 * S, 12 * S, false);
    present(&t, 10 * S, 13 * S, false);
    CHECK_EQ(pipeline_units(t.pipeline).seen, 2);
    CHECK_OK(pipeline_units_release(t.pipeline, 1));
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.rows, 1);
    CHECK_EQ(t.row[0].type, VALUE_NULL);
    CHECK_EQ(pipeline_units(t.pipeline).waiting, 1);
    push(&t, 12 * S, 1, 1, 1, 7);
    push(&t, 14 * S, 1, 1, 1, 8);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.rows, 2);
    check_number(&t, 0, 7);
    CHECK_EQ(pipeline_units(t.pipeline).waiting, 0);
    bench_fini(&t);
}

TEST(what_came_just_now_waits_for_its_unit_however_old_it_is)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "max(belt) AS a", 0);
    t.wall_us = 1000 * S;
    for (int i = 0; i < 20000; i++, t.wall_us += 1000) /* five hours in twenty seconds */
        push(&t, i * S, 1, 1, 1, i);
    push_presence(&t, 100 * S, 200 * S, NULL);
    check_number(&t, 0, 199);
    t.wall_us += 60 * S; /* it goes when it has waited for long */
    push(&t, 20000 * S, 1, 1, 1, 1);
    CHECK(t.pipeline->unit.series[0]->count < 3700);
    push_presence(&t, 300 * S, 400 * S, NULL);
    CHECK_EQ(t.row[0].type, VALUE_NULL);
    for (int i = 0; i < 400000; i++) /* and when there is too much of it */
        push(&t, (20001 + i) * S, 1, 1, 1, i);
    CHECK(t.pipeline->unit.series[0]->count * SERIES_VALUE_BYTES <= 4 << 20);
    CHECK(t.pipeline->unit.series[0]->count > 200000);
    bench_fini(&t);
}

/* A past has a signal's value when it changes, and hours of rows without. */
TEST(rows_without_a_value_take_no_memory_and_still_end_it)
{
    struct bench t;
    double none = (double)NAN;
    bench_init(&t);
    bench_plan(&t, "max(belt) AS a, covered(belt) AS b, count(belt) AS c", 0);
    push(&t, 10 * S, 1, 1, 1, 5);
    push(&t, 11 * S, 1, 1, 1, 6);
    for (int i = 12; i < 1000; i++)
        push(&t, i * S, 1, 1, 1, none);
    push(&t, 1000 * S, 1, 1, 1, 7);
    CHECK_EQ(t.pipeline->unit.series[0]->count, 4);
    push(&t, 1001 * S, 1, 1, 1, 7);
    push_presence(&t, 10 * S, 14 * S, NULL);
    check_number(&t, 0, 6);
    check_number(&t, 1, 0.5);
    CHECK_EQ(t.row[2].i64, 2);
    push(&t, 1010 * S, 1, 1, 1, 8);
    push_presence(&t, 500 * S, 600 * S, NULL);
    CHECK_EQ(t.row[0].type, VALUE_NULL);
    check_number(&t, 1, 0);
    bench_fini(&t);
}

TEST(a_presence_without_a_path_has_no_signals_with_places)
{
    struct bench t;
    bench_init(&t);
    bench_plan(
        &t, "max(zone1) AS a, covered(zone1) AS b, max(profile('zone*')) AS c, max(belt) AS d", 0);
    push(&t, 10 * S, 1, 1, 1, 1);
    push(&t, 15 * S, 1, 1, 1, 1);
    push_presence(&t, 10 * S, 14 * S, NULL);
    CHECK_EQ(t.row[0].type, VALUE_NULL);
    check_number(&t, 1, 0);
    CHECK_EQ(t.row[2].type, VALUE_NULL);
    check_number(&t, 3, 1);
    bench_fini(&t);
}

TEST(the_profile_is_the_signal_where_the_unit_is)
{
    struct bench t;
    struct path p = {0};
    bench_init(&t);
    bench_plan(&t,
               "max(profile('zone*')) AS a, avg(profile('zone*')) AS b, "
               "timeabove(profile('zone*'), 150) AS c, covered(profile('zone*')) AS d, "
               "min(profile('zone*')) AS e, timeabove(profile('zone?'), -1) AS f, "
               "timeabove(profile('zone*'), 300) AS g",
               0);
    path_even(&p);
    push(&t, 9 * S, 100, 200, 300, 0);
    push(&t, 15 * S, 100, 200, 300, 0);
    push_presence(&t, 10 * S, 14 * S, &p);
    check_number(&t, 0, 300);
    /* 100 for 0.5 s, up to 200 for 1 s, 200 for 0.5 s, nothing for 1 s, 300 for 1 s */
    check_number(&t, 1, (50 + 150 + 100 + 300) / 3.0);
    check_number(&t, 2, 0.5 + 0.5 + 1);
    check_number(&t, 3, 0.75);
    check_number(&t, 4, 100);
    check_number(&t, 5, 3);
    check_number(&t, 6, 0); /* not above what it just reaches */
    path_fini(&p);
    bench_fini(&t);
}

TEST(what_is_not_known_is_in_no_profile)
{
    struct bench t;
    struct path p = {0};
    bench_init(&t);
    bench_plan(&t, "covered(profile('zone*')) AS a, max(profile('zone*')) AS b, avg(zone1) AS c",
               S / 2);
    path_even(&p);
    push(&t, 10 * S, 100, (double)NAN, 50, 0); /* known until 10.5 s; zone 2 not at all */
    push(&t, 13 * S, 100, 200, 50, 0);         /* zone 3 until 13.5 s */
    push(&t, 15 * S, 100, 200, 50, 0);
    push_presence(&t, 10 * S, 14 * S, &p);
    check_number(&t, 0, 0.25);
    check_number(&t, 1, 100);
    check_number(&t, 2, 100);
    path_fini(&p);
    bench_fini(&t);
}

TEST(what_has_no_meaning_is_refused)
{
    struct bench t;
    bench_init(&t);
    refuse(&t, "max(profile()) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_INVALID,
           "zone2 and fan are at the same place");
    refuse(&t, "max(profile('x*')) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_NOT_FOUND,
           "has a place");
    refuse(&t, "count(profile('zone*')) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')",
           ERR_INVALID, "nothing else");
    refuse(&t, "profile() AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_INVALID,
           "say what of it");
    refuse(&t, "max(profile()) AS a FROM \"plc.oven\" GROUP BY TUMBLINGWINDOW(ss, 1)", ERR_INVALID,
           "UNITWINDOW");
    refuse(&t, "timeabove(zone1) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_INVALID,
           "2 arguments");
    refuse(&t, "timeabove(zone1, zone2) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_TYPE,
           "is a number");
    refuse(&t, "timeabove(zone1, 2) AS a FROM \"plc.oven\" GROUP BY TUMBLINGWINDOW(ss, 1)",
           ERR_INVALID, "UNITWINDOW");
    refuse(&t, "avg(code) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_TYPE, "numbers");
    refuse(&t, "covered(code) AS a FROM \"plc.oven\" GROUP BY UNITWINDOW('b')", ERR_TYPE,
           "over time only numbers");
    bench_fini(&t);
}

/* ---------------------------------------------------------------------------- against milliseconds
 */

#define SAMPLES 41
#define STEP_MS 500

struct truth {
    double values[ZONE_COUNT][SAMPLES];
    double sum, max, above;
    double known;
};

static double zone_at(const struct truth *w, int zone, double ms)
{
    int i = (int)(ms / STEP_MS);
    double v = w->values[zone][i];
    if (zone == ZONE2 && i + 1 < SAMPLES)
        v += (w->values[zone][i + 1] - v) * (ms - i * STEP_MS) / STEP_MS;
    return v;
}

static double profile_at(const struct truth *w, double mm, double ms)
{
    if (mm >= 300 && mm < 400)
        return zone_at(w, ZONE3, ms);
    if (mm < 0 || mm >= 200)
        return (double)NAN;
    double part = mm < 50 ? 0 : mm > 150 ? 1 : (mm - 50) / 100;
    return zone_at(w, ZONE1, ms) * (1 - part) + zone_at(w, ZONE2, ms) * part;
}

static void truth_sum(struct truth *w, const struct path *p, int from_ms, int to_ms)
{
    for (int tenth = from_ms * 10; tenth < to_ms * 10; tenth++) {
        double mm = 0;
        double ms = (tenth + 0.5) / 10;
        CHECK(path_mm(p, (int64_t)(ms * 1000), &mm));
        double v = profile_at(w, mm, ms);
        if (isnan(v))
            continue;
        w->known += 0.1;
        w->sum += v * 0.1;
        w->above += v > 60 ? 0.1 : 0;
        w->max = v > w->max ? v : w->max;
    }
}

TEST(any_profile_is_what_milliseconds_add_up_to)
{
    struct truth *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rand rand;
        struct bench t;
        struct path p = {0};
        rand_seed(&rand, seed);
        *w = (struct truth){0};
        bench_init(&t);
        bench_plan(&t,
                   "avg(profile('zone*')) AS a, max(profile('zone*')) AS b, "
                   "timeabove(profile('zone*'), 60) AS c, covered(profile('zone*')) AS d",
                   0);
        for (int i = 0; i < SAMPLES; i++) {
            for (int k = 0; k < ZONE_COUNT; k++)
                w->values[k][i] = (double)rand_below(&rand, 100);
            push(&t, i * STEP_MS * INT64_C(1000), w->values[0][i], w->values[1][i], w->values[2][i],
                 0);
        }
        int64_t at = 1000 + (int64_t)rand_below(&rand, 300);
        double mm = -20;
        int64_t start = at;
        while (at < 19000) {
            CHECK_OK(path_add(&p, at * 1000, mm));
            at += 100 + (int64_t)rand_below(&rand, 900);
            mm += (double)rand_below(&rand, 60) - 12;
        }
        int from = (int)start + 50;
        int to = (int)(p.points[p.count - 1].time_us / 1000) - 70;
        push_presence(&t, from * INT64_C(1000), to * INT64_C(1000), &p);
        truth_sum(w, &p, from, to);
        CHECK_EQ(t.rows, 1);
        CHECK_NEAR(t.row[0].f64, w->sum / w->known, 0.01);
        CHECK_NEAR(t.row[1].f64, w->max, 0.5);
        CHECK_NEAR(t.row[2].f64, w->above / 1000, 0.005);
        CHECK_NEAR(t.row[3].f64, w->known / (to - from), 0.001);
        path_fini(&p);
        bench_fini(&t);
    }
    free(w);
}

/* ----------------------------------------------------------------------------------- what it costs
 */

TEST(aggregates_of_one_signal_are_made_of_the_same_values)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t,
               "avg(fan) AS a, max(fan) AS b, timeabove(fan, 3) AS c, covered(zone1) AS d, "
               "count(*) AS e, max(zone1) AS f",
               0);
    CHECK_EQ(t.pipeline->unit.kept_count, 3); /* the fan, zone 1, the rows */
    push(&t, 10 * S, 1, 1, 1, 2);
    push(&t, 12 * S, 1, 1, 1, 4);
    push(&t, 20 * S, 5, 1, 1, 8);
    push_presence(&t, 10 * S, 14 * S, NULL);
    CHECK_EQ(t.rows, 1);
    CHECK(t.row[0].type == VALUE_NULL); /* no path: it was not at the fan */
    CHECK_EQ(t.row[4].i64, 2);
    bench_fini(&t);
}

TEST(presences_of_other_stations_do_not_wait)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "unit_station() AS s, count(*) AS n", 0);
    push(&t, 10 * S, 1, 1, 1, 2);
    push_presence_of(&t, "wash", 10 * S, 14 * S, NULL);
    CHECK_EQ(pipeline_units(t.pipeline).waiting, 0);
    push_presence_of(&t, "reflow", 10 * S, 14 * S, NULL);
    CHECK_EQ(pipeline_units(t.pipeline).waiting, 1);
    push(&t, 20 * S, 1, 1, 1, 2);
    CHECK_EQ(pipeline_units(t.pipeline).waiting, 0);
    bench_fini(&t);
}

/* Found from where it would be if times were even: they are not. */
TEST(a_value_is_found_by_its_time_however_uneven_times_are)
{
    struct rand r;
    rand_seed(&r, 7);
    for (int round = 0; round < 200; round++) {
        struct series s = {0};
        int64_t at = -1000;
        uint32_t count = (uint32_t)rand_below(&r, 60);
        for (uint32_t i = 0; i < count; i++) {
            at += (int64_t)(rand_u64(&r) >> (24 + rand_below(&r, 40)));
            CHECK_OK(series_add(&s, at, i, true));
            if (i % 7 == 3)
                series_trim(&s, at - 5000);
        }
        for (int k = 0; k < 50; k++) {
            int64_t time = s.count && k % 2
                               ? series_time(&s, (uint32_t)rand_below(&r, s.count)) + k % 3 - 1
                               : (int64_t)(rand_u64(&r) >> rand_below(&r, 64));
            uint32_t want = 0;
            while (want < s.count && series_time(&s, want) < time)
                want++;
            CHECK_EQ(series_lower(&s, time), want);
        }
        series_fini(&s);
    }
}
