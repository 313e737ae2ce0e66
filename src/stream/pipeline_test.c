/* Statements from text to output rows: what comes out is compared as one line of text a row. */
#include "stream/pipeline.h"

#include "base/str.h"
#include "model/lookup.h"
#include "tests/support/check.h"
#include "tests/support/presence_row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)

struct bench {
    struct catalogue catalogue;
    struct plan *plan;
    struct pipeline *pipeline;
    struct diag diag;
    struct buf out; /* one line a row */
    struct record_key key;
    struct position resume;
    uint32_t batches;
};

static void show_row(struct bench *t, const struct batch *b, uint32_t row)
{
    for (uint32_t i = 0; i < b->schema->count; i++) {
        struct column c = batch_column(b, i);
        struct value v = column_shown(&c, row);
        char number[STR_NUMBER_BYTES_MAX];
        (void)buf_printf(&t->out, "%s%s=", i ? " " : "", b->schema->fields[i].name);
        switch (v.type) {
        case VALUE_BOOL:
            (void)buf_append_text(&t->out, v.boolean ? "true" : "false");
            break;
        case VALUE_INT64:
        case VALUE_TIMESTAMP:
            (void)buf_printf(&t->out, "%" PRId64, v.i64);
            break;
        case VALUE_UINT64:
            (void)buf_printf(&t->out, "%" PRIu64 "u", v.u64);
            break;
        case VALUE_FLOAT32:
            (void)str_from_float(v.f32, number);
            (void)buf_append_text(&t->out, number);
            break;
        case VALUE_DOUBLE:
            (void)str_from_double(v.f64, number);
            (void)buf_append_text(&t->out, number);
            break;
        case VALUE_STRING:
        case VALUE_BYTES:
            (void)buf_append_bytes(&t->out, v.bytes);
            break;
        case VALUE_NULL:
        case VALUE_ANY:
            (void)buf_append_text(&t->out, "null");
            break;
        }
    }
    (void)buf_append_text(&t->out, "\n");
}

static void take(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct bench *t = ctx;
    for (uint32_t i = 0; i < b->rows; i++)
        show_row(t, b, i);
    t->key = key;
    t->resume = resume;
    t->batches++;
    batch_unref(b);
}

static const struct field press_fields[] = {
    {.name = "force", .type = VALUE_FLOAT32, .uom = "kN"},
    {.name = "count", .type = VALUE_UINT64},
    {.name = "temp", .type = VALUE_INT64, .flags = FIELD_SCALED, .scale = 0.1, .offset = -40},
    {.name = "n", .type = VALUE_INT64},
    {.name = "name", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "run", .type = VALUE_BOOL},
    {.name = "x", .type = VALUE_DOUBLE},
};

enum { FORCE, COUNT, TEMP, N, NAME, RUN, X };

static struct schema *schema_of(const struct field *fields, uint32_t count)
{
    struct schema *s = NULL;
    CHECK_OK(schema_new(fields, count, &s));
    return s;
}

static void bench_init(struct bench *t)
{
    *t = (struct bench){0};
    struct stream *s;
    CHECK_OK(catalogue_init(&t->catalogue, "node1"));
    struct schema *press = schema_of(press_fields, sizeof press_fields / sizeof press_fields[0]);
    struct schema *presence = schema_of(presence_row_fields, PRESENCE_ROW_FIELDS);
    CHECK_OK(catalogue_stream_add(&t->catalogue, "plc1.press", STREAM_GROUP, "", press, &s));
    CHECK_OK(
        catalogue_stream_add(&t->catalogue, "presence.press1", STREAM_PRESENCE, "", presence, &s));
    CHECK_OK(catalogue_stream_add(&t->catalogue, "loose", STREAM_SOURCE, "", NULL, &s));
    schema_unref(press);
    schema_unref(presence);
}

static void bench_plan(struct bench *t, const char *sql, struct pipeline_options o)
{
    int err = plan_new(sql, &t->catalogue, &t->plan, &t->diag);
    if (err)
        printf("# %u:%u %s\n", t->diag.line, t->diag.column, t->diag.text);
    CHECK_OK(err);
    o.plan = t->plan;
    o.emit = take;
    o.ctx = t;
    CHECK_OK(pipeline_new(&o, &t->pipeline));
}

static void bench_fini(struct bench *t)
{
    pipeline_free(t->pipeline);
    plan_free(t->plan);
    catalogue_fini(&t->catalogue);
    buf_fini(&t->out);
}

/* Three rows, a second apart. */
static struct batch *press_batch(struct bench *t)
{
    struct batch_builder *bb;
    struct batch *b;
    const struct stream *s = catalogue_stream_find(&t->catalogue, bytes_of_text("plc1.press"));
    CHECK_OK(batch_builder_new(s->schema, 8, NULL, &bb));
    for (int i = 0; i < 3; i++) {
        CHECK(batch_builder_row(bb, (10 + i) * SECOND) >= 0);
        batch_set_f32(bb, FORCE, 1.5f + (float)i);
        batch_set_u64(bb, COUNT, UINT64_MAX - (uint64_t)i);
        batch_set_i64(bb, TEMP, 600 + 10 * i);
        if (i != 1)
            batch_set_i64(bb, N, i);
        CHECK_OK(batch_set_bytes(bb, NAME, bytes_of_text(i == 2 ? "c\xff" : i ? "b" : "a")));
        batch_set_bool(bb, RUN, i != 0);
        batch_set_f64(bb, X, 0.5 * i);
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

static void run_one(const char *sql, const char *want)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, sql, (struct pipeline_options){0});
    struct batch *b = press_batch(&t);
    CHECK_OK(pipeline_push(t.pipeline, b, (struct position){1, 1}, 0, NULL));
    CHECK_OK(pipeline_watermark(t.pipeline, 1000 * SECOND));
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_STR(buf_text(&t.out), want);
    batch_unref(b);
    bench_fini(&t);
}

TEST(a_column_passes_as_it_is_stored)
{
    run_one("SELECT force, count, temp FROM \"plc1.press\"",
            "force=1.5 count=18446744073709551615u temp=20\n"
            "force=2.5 count=18446744073709551614u temp=21\n"
            "force=3.5 count=18446744073709551613u temp=22\n");
}

TEST(where_chooses_rows)
{
    run_one("SELECT n, force FROM \"plc1.press\" WHERE force > 2", "n=null force=2.5\n"
                                                                   "n=2 force=3.5\n");
    run_one("SELECT force FROM plc1.press WHERE n >= 0 AND run", "force=3.5\n");
    run_one("SELECT force FROM plc1.press WHERE NOT run OR force = 3.5", "force=1.5\nforce=3.5\n");
}

TEST(a_comparison_with_null_is_false)
{
    run_one("SELECT force FROM plc1.press WHERE n != 99", "force=1.5\nforce=3.5\n");
    run_one("SELECT force FROM plc1.press WHERE isnull(n)", "force=2.5\n");
    run_one("SELECT force FROM plc1.press WHERE n IS NOT NULL", "force=1.5\nforce=3.5\n");
}

TEST(scaled_values_are_computed_with_as_people_see_them)
{
    run_one("SELECT temp + 1 AS t, raw(temp) AS r FROM plc1.press WHERE temp > 20.5",
            "t=22 r=610\nt=23 r=620\n");
}

TEST(integers_stay_integers)
{
    run_one("SELECT n / 2 AS a, n * 3 AS b, n % 2 AS c FROM plc1.press",
            "a=0 b=0 c=0\na=null b=null c=null\na=1 b=6 c=0\n");
    run_one("SELECT count + 1 AS a FROM plc1.press WHERE n = 2", "a=18446744073709551614u\n");
}

TEST(dividing_by_zero_drops_the_row)
{
    run_one("SELECT 10 / n AS a FROM plc1.press", "a=null\na=5\n");
    run_one("SELECT x FROM plc1.press WHERE n != 0 AND 10 / n > 1", "x=1\n");
}

TEST(text_that_is_not_utf8_is_null)
{
    run_one("SELECT upper(name) AS u, length(name) AS l FROM plc1.press",
            "u=A l=1\nu=B l=1\nu=null l=0\n");
}

TEST(case_in_both_forms)
{
    run_one("SELECT CASE WHEN force < 2 THEN 'low' WHEN force < 3 THEN 'mid' ELSE 'high' END AS c "
            "FROM plc1.press",
            "c=low\nc=mid\nc=high\n");
    run_one("SELECT CASE n WHEN 0 THEN 1 WHEN 2 THEN 2.5 END AS c FROM plc1.press",
            "c=1\nc=null\nc=2.5\n");
}

TEST(aliases_are_used_by_others)
{
    run_one("SELECT force * 2 AS f2, f2 + 1 AS f3 FROM plc1.press WHERE f2 > 4", "f2=5 f3=6\nf2=7 "
                                                                                 "f3=8\n");
}

TEST(in_between_and_like)
{
    run_one("SELECT force FROM plc1.press WHERE n IN (2, 5)", "force=3.5\n");
    run_one("SELECT force FROM plc1.press WHERE n NOT IN (2, 5)", "force=1.5\n");
    run_one("SELECT n FROM plc1.press WHERE force BETWEEN 2 AND 3", "n=null\n");
    run_one("SELECT n FROM plc1.press WHERE name LIKE '_'", "n=0\nn=null\n");
}

TEST(functions_on_numbers)
{
    run_one("SELECT round(force) AS r, floor(x) AS f, sqrt(x * 8) AS s, power(n, 2) AS p, abs(n - "
            "5) AS a FROM plc1.press WHERE n IS NOT NULL",
            "r=2 f=0 s=0 p=0 a=5\nr=4 f=1 s=2.8284271247461903 p=4 a=3\n");
}

TEST(tumbling_windows_group)
{
    run_one("SELECT window_start() AS s, count(*) AS c, avg(force) AS a, max(n) AS m FROM "
            "plc1.press GROUP BY TUMBLINGWINDOW(ss, 2)",
            "s=10000 c=2 a=2 m=0\ns=12000 c=1 a=3.5 m=2\n");
    run_one("SELECT run, count(*) AS c, sum(x) AS s FROM plc1.press GROUP BY run, "
            "TUMBLINGWINDOW(ss, 10) HAVING c > 1",
            "run=true c=2 s=1.5\n");
}

TEST(star_and_row_time)
{
    run_one("SELECT ts, n FROM plc1.press WHERE x = 0.5", "ts=11000000 n=null\n");
    run_one("SELECT * EXCEPT(force, count, name, run) FROM plc1.press WHERE n = 2",
            "temp=22 n=2 x=1\n");
}

static void refuse(const char *sql, int want, uint32_t line, uint32_t column, const char *part)
{
    struct bench t;
    struct plan *plan = NULL;
    bench_init(&t);
    CHECK_ERR(plan_new(sql, &t.catalogue, &plan, &t.diag), want);
    printf("# %s\n", t.diag.text);
    CHECK_EQ(t.diag.line, line);
    CHECK_EQ(t.diag.column, column);
    CHECK(strstr(t.diag.text, part) != NULL);
    catalogue_fini(&t.catalogue);
}

TEST(errors_say_where_and_what_there_is)
{
    refuse("SELECT forc FROM \"plc1.press\"", ERR_NOT_FOUND, 1, 8, "did you mean force?");
    refuse("SELECT force\nFROM \"plc1.pres\"", ERR_NOT_FOUND, 2, 6, "plc1.press");
    refuse("SELECT force FROM plc1.press WHERE", ERR_SYNTAX, 1, 35, "an expression expected");
    refuse("SELECT name + 1 FROM plc1.press", ERR_TYPE, 1, 13, "cast()");
    refuse("SELECT avg(force) FROM plc1.press", ERR_INVALID, 1, 8, "TUMBLINGWINDOW");
    refuse("SELECT fooo(force) FROM plc1.press", ERR_NOT_FOUND, 1, 8, "floor");
    refuse("SELECT max(force) AS m FROM plc1.press GROUP BY UNITWINDOW('p')", ERR_NOT_FOUND, 1, 60,
           "no track p");
    refuse("SELECT force FROM plc1.press GROUP BY HOPPINGWINDOW(ss, 10, 5)", ERR_UNSUPPORTED, 1, 39,
           "HOPPINGWINDOW");
}

static struct batch *force_row(struct bench *t, int64_t time_us, float force, int32_t offset_us)
{
    struct batch_builder *bb;
    struct batch *b;
    const struct stream *s = catalogue_stream_find(&t->catalogue, bytes_of_text("plc1.press"));
    CHECK_OK(batch_builder_new(s->schema, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, time_us) >= 0);
    batch_set_f32(bb, FORCE, force);
    if (offset_us)
        CHECK_OK(batch_set_time_offset(bb, FORCE, offset_us));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

static struct batch *press_visit(struct bench *t, const char *serial, int64_t t_in, int64_t t_out)
{
    struct batch_builder *bb;
    struct batch *b;
    const struct stream *s = catalogue_stream_find(&t->catalogue, bytes_of_text("presence.press1"));
    const struct presence_row row = {.unit = bytes_of("0123456789abcdef", 16),
                                     .serial = serial,
                                     .station = "press",
                                     .result = "",
                                     .t_in = t_in,
                                     .t_out = t_out,
                                     .revision = 1};
    CHECK_OK(batch_builder_new(s->schema, 1, NULL, &bb));
    CHECK_OK(presence_row_add(bb, &row));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

static void push_force(struct bench *t, uint64_t seq, int64_t ms, float force, int32_t offset_us)
{
    struct batch *b = force_row(t, ms * 1000, force, offset_us);
    CHECK_OK(pipeline_push(t->pipeline, b, (struct position){1, seq}, 0, NULL));
    batch_unref(b);
}

static void push_presence(struct bench *t, uint64_t seq, const char *serial, int64_t in_ms,
                          int64_t out_ms)
{
    struct batch *b = press_visit(t, serial, in_ms * 1000, out_ms * 1000);
    CHECK_OK(pipeline_presence(t->pipeline, b, (struct position){1, seq}, false));
    batch_unref(b);
    CHECK_OK(pipeline_flush(t->pipeline));
}

TEST(a_unit_window_binds_values_by_their_own_time)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t,
               "SELECT unit_serial() AS s, max(force) AS m, avg(force) AS a, count(force) AS n, "
               "covered(force) AS c, t_out() AS o FROM plc1.press GROUP BY UNITWINDOW('press1')",
               (struct pipeline_options){0});
    push_force(&t, 1, 900, 9, 0);
    push_force(&t, 2, 1000, 2, 0);
    push_force(&t, 3, 1100, 4, 0);
    push_force(&t, 4, 1190, 50, 10 * 1000); /* acquired at 1200, when the unit had left */
    push_presence(&t, 5, "S1", 1000, 1200);
    CHECK_STR(buf_text(&t.out), "");
    push_force(&t, 6, 1300, 7, 0);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_STR(buf_text(&t.out), "s=S1 m=4 a=3 n=2 c=1 o=1200000\n");
    CHECK_EQ(t.key.minor, 5);
    bench_fini(&t);
}

TEST(a_unit_window_weighs_by_time_and_counts_gaps)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t,
               "SELECT avg(force) AS a, covered(force) AS c FROM plc1.press GROUP BY "
               "UNITWINDOW('press1', 'press')",
               (struct pipeline_options){.gap_max_us = 200 * 1000});
    push_force(&t, 1, 950, 1, 0);  /* holds from t_in 1000 to 1100 */
    push_force(&t, 2, 1100, 3, 0); /* holds to 1300, then nobody knows until 1500 */
    push_force(&t, 3, 1500, 5, 0);
    push_force(&t, 4, 1600, 5, 0);
    push_presence(&t, 5, "S1", 1000, 1600);
    CHECK_STR(buf_text(&t.out), "a=3 c=0.6666666666666666\n");
    bench_fini(&t);
}

TEST(a_replay_emits_only_what_is_new)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "SELECT n FROM plc1.press WHERE n = 2",
               (struct pipeline_options){.skip = {1, 1}});
    struct batch *b = press_batch(&t);
    CHECK_OK(pipeline_push(t.pipeline, b, (struct position){1, 1}, 0, NULL));
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.batches, 0);
    CHECK_OK(pipeline_push(t.pipeline, b, (struct position){1, 2}, 0, NULL));
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_EQ(t.batches, 1);
    CHECK_EQ(t.key.minor, 2);
    batch_unref(b);
    bench_fini(&t);
}

TEST(a_window_resumes_behind_its_first_input)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "SELECT count(*) AS c FROM plc1.press GROUP BY TUMBLINGWINDOW(ss, 10)",
               (struct pipeline_options){0});
    push_force(&t, 1, 1000, 1, 0);
    push_force(&t, 2, 5000, 1, 0);
    CHECK_EQ(pipeline_resume(t.pipeline).seq, 0);
    push_force(&t, 3, 12000, 1, 0);
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_STR(buf_text(&t.out), "c=2\n");
    CHECK_EQ(t.resume.seq, 0);
    CHECK_EQ(pipeline_resume(t.pipeline).seq, 2);
    push_force(&t, 4, 9000, 1, 0);
    CHECK_EQ(pipeline_stats(t.pipeline)->late_rows, 1);
    bench_fini(&t);
}

TEST(schemaless_columns_are_found_by_name)
{
    struct bench t;
    bench_init(&t);
    bench_plan(&t, "SELECT *, a + b AS c FROM loose WHERE a > 1", (struct pipeline_options){0});
    static const struct field fields[] = {{.name = "b", .type = VALUE_ANY},
                                          {.name = "a", .type = VALUE_ANY}};
    struct schema *s = schema_of(fields, 2);
    struct batch_builder *bb;
    struct batch *b;
    CHECK_OK(batch_builder_new(s, 4, NULL, &bb));
    for (int i = 0; i < 3; i++) {
        struct value v = {.type = i == 2 ? VALUE_DOUBLE : VALUE_INT64, .i64 = i + 1};
        if (i == 2)
            v.f64 = 2.5;
        CHECK(batch_builder_row(bb, i) >= 0);
        CHECK_OK(batch_set_value(bb, 1, &v));
        CHECK_OK(batch_set_value(bb, 0, &v));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    CHECK_OK(pipeline_push(t.pipeline, b, (struct position){0, 0}, 0, NULL));
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_STR(buf_text(&t.out), "b=2 a=2 c=4\nb=2.5 a=2.5 c=5\n");
    batch_unref(b);
    batch_builder_free(bb);
    schema_unref(s);
    bench_fini(&t);
}

/* --------------------------------------------------------------------------------------- lookups
 */

/* name → lot: a had A1 until 11 s and A2 since; b has B1 since ever. */
static struct lookup *lots_add(struct bench *t)
{
    static const struct field fields[] = {
        {.name = "name", .type = VALUE_STRING},  {.name = "from", .type = VALUE_TIMESTAMP},
        {.name = "to", .type = VALUE_TIMESTAMP}, {.name = "lot", .type = VALUE_STRING},
        {.name = "rev", .type = VALUE_INT64},
    };

    struct schema *schema = schema_of(fields, 5);
    struct lookup_options o = {.name = "lots",
                               .schema = schema,
                               .key_count = 1,
                               .keys = {0},
                               .from = 1,
                               .to = 2,
                               .rows_max = 100};
    struct lookup *l = NULL;
    struct stream *s = NULL;
    CHECK_OK(lookup_new(&o, &l));
    CHECK_OK(catalogue_stream_add(&t->catalogue, "lots", STREAM_SOURCE, "", schema, &s));
    s->lookup = l;
    schema_unref(schema);
    return l;
}

static void lots_publish(struct lookup *l)
{
    static const char *const names[] = {"a", "a", "b"};
    static const char *const lots[] = {"A1", "A2", "B1"};
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(l->schema, 3, NULL, &bb));
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(batch_builder_row(bb, 0) >= 0);
        CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(names[i])));
        if (i < 2)
            batch_set_i64(bb, 1, i * 11 * SECOND);
        if (i == 0)
            batch_set_i64(bb, 2, 11 * SECOND);
        CHECK_OK(batch_set_bytes(bb, 3, bytes_of_text(lots[i])));
        batch_set_i64(bb, 4, i);
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    CHECK_OK(lookup_publish(l, b));
    batch_unref(b);
    batch_builder_free(bb);
}

static void run_lookup(const char *sql, bool published, const char *want)
{
    struct bench t;
    bench_init(&t);
    struct lookup *l = lots_add(&t);
    if (published)
        lots_publish(l);
    bench_plan(&t, sql, (struct pipeline_options){0});
    struct batch *b = press_batch(&t);
    CHECK_OK(pipeline_push(t.pipeline, b, (struct position){1, 1}, 0, NULL));
    CHECK_OK(pipeline_watermark(t.pipeline, 1000 * SECOND));
    CHECK_OK(pipeline_flush(t.pipeline));
    CHECK_STR(buf_text(&t.out), want);
    CHECK(published || atomic_load(&l->unloaded) > 0);
    batch_unref(b);
    bench_fini(&t);
    lookup_free(l);
}

TEST(a_lookup_gives_what_held_at_the_rows_time)
{
    /* Rows at 10, 11 and 12 s; the last one's name is no text. */
    run_lookup("SELECT lookup('lots', 'lot', name) AS lot, lookup('lots', 'rev', name) AS rev FROM "
               "plc1.press",
               true, "lot=A1 rev=0\nlot=B1 rev=2\nlot=null rev=null\n");
    run_lookup("SELECT lookup('lots', 'lot', 'a') AS lot FROM plc1.press", true,
               "lot=A1\nlot=A2\nlot=A2\n");
    run_lookup("SELECT n FROM plc1.press WHERE lookup('lots', 'rev', 'a') = 1", true,
               "n=null\nn=2\n");
    run_lookup(
        "SELECT lookup('lots', 'rev', concat(name, '')) + 1 AS r FROM plc1.press WHERE n = 0", true,
        "r=1\n");
}

TEST(a_lookup_that_has_not_loaded_is_null_and_counted)
{
    run_lookup("SELECT lookup('lots', 'lot', 'a') AS lot FROM plc1.press WHERE n = 0", false,
               "lot=null\n");
}

TEST(a_lookup_in_a_window_is_as_of_the_windows_end)
{
    run_lookup("SELECT name, count(*) AS c, lookup('lots', 'rev', name) AS rev FROM plc1.press "
               "WHERE name = 'a' GROUP BY name, TUMBLINGWINDOW(ss, 10)",
               true, "name=a c=1 rev=1\n");
    run_lookup("SELECT max(lookup('lots', 'rev', name)) AS rev FROM plc1.press WHERE name = 'a' "
               "GROUP BY TUMBLINGWINDOW(ss, 10)",
               true, "rev=0\n");
}

static void refuse_lookup(const char *sql, const char *want)
{
    struct bench t;
    bench_init(&t);
    struct lookup *l = lots_add(&t);
    CHECK(plan_new(sql, &t.catalogue, &t.plan, &t.diag) != OK);
    CHECK_STR(t.diag.text, want);
    bench_fini(&t);
    lookup_free(l);
}

TEST(mistakes_in_a_lookup_say_what_there_is)
{
    refuse_lookup("SELECT lookup('lot', 'lot', name) AS x FROM plc1.press",
                  "there is no lookup lot; there is lots");
    refuse_lookup("SELECT lookup('lots', 'load', name) AS x FROM plc1.press",
                  "lots has no column load; it has name, from, to, lot, rev");
    refuse_lookup("SELECT lookup('lots', 'lot', n) AS x FROM plc1.press",
                  "the key name of lots is a string, this is a int64: use cast()");
    refuse_lookup("SELECT lookup('lots', 'lot', name, n) AS x FROM plc1.press",
                  "lookup('lots', column, …) needs 1 key in this order: name; here are 2");
}
