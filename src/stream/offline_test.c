/* Rules beside the engine: chains, windows, units, and that batches do not matter. */
#include "stream/offline.h"

#include "base/err.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define S    INT64_C(1000000)
#define ROWS 40

static const struct field press_fields[] = {{.name = "force", .type = VALUE_INT64}};
static const struct field presence_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},      {.name = "serial", .type = VALUE_STRING},
    {.name = "station", .type = VALUE_STRING},  {.name = "t_in", .type = VALUE_TIMESTAMP},
    {.name = "t_out", .type = VALUE_TIMESTAMP},
};

static const char rules[] =
    "name: n\n"
    "rules:\n"
    "  - {name: late, sql: 'SELECT top FROM tens WHERE top > 15'}\n"
    "  - {name: tens, sql: 'SELECT max(force) AS top FROM plc.press GROUP BY "
    "TUMBLINGWINDOW(ss, 10)', actions: [{alarm: {severity: major}}]}\n"
    "  - {name: units, sql: 'SELECT unit_serial() AS serial, max(force) AS top "
    "FROM plc.press GROUP BY UNITWINDOW(''t'')'}\n";

struct bench {
    struct catalogue catalogue;
    struct config *config;
    struct schema *press;
    struct schema *presence;
    struct stream *presences;
    struct stream *stream;
    struct stream_offline *offline;
    struct diag diag;
    struct buf text; /* "rule time: value …" a line a row */
};

static void bench_init(struct bench *t, const char *text)
{
    *t = (struct bench){.text = {0}};
    CHECK_OK(catalogue_init(&t->catalogue, "n"));
    CHECK_OK(schema_new(press_fields, 1, &t->press));
    CHECK_OK(schema_new(presence_fields, 5, &t->presence));
    CHECK_OK(
        catalogue_stream_add(&t->catalogue, "plc.press", STREAM_GROUP, "", t->press, &t->stream));
    CHECK_OK(catalogue_stream_add(&t->catalogue, "presence.t", STREAM_PRESENCE, "", t->presence,
                                  &t->presences));
    CHECK_OK(config_parse("rules.yaml", bytes_of_text(text), &t->config, &t->diag));
}

static void bench_fini(struct bench *t)
{
    stream_offline_free(t->offline);
    config_free(t->config);
    catalogue_fini(&t->catalogue);
    schema_unref(t->press);
    schema_unref(t->presence);
    buf_fini(&t->text);
}

static int note(void *ctx, uint32_t rule, const struct batch *b)
{
    struct bench *t = ctx;
    struct stream_offline_rule r;
    CHECK(stream_offline_rule(t->offline, rule, &r));
    for (uint32_t row = 0; row < b->rows; row++) {
        (void)buf_printf(&t->text, "%s %d:", r.name, (int)(batch_times(b)[row] / S));
        for (uint32_t i = 0; i < b->schema->count; i++) {
            struct column c = batch_column(b, i);
            struct value v = column_value(&c, row);
            if (v.type == VALUE_STRING)
                (void)buf_printf(&t->text, " %.*s", (int)v.bytes.len, (const char *)v.bytes.ptr);
            else
                (void)buf_printf(&t->text, " %" PRId64, v.i64);
        }
        (void)buf_append_u8(&t->text, '\n');
    }
    return OK;
}

static void use_all(struct bench *t)
{
    struct stream_offline_rule r;
    CHECK_OK(stream_offline_new(t->config, &t->catalogue, &t->offline, &t->diag));
    for (uint32_t i = 0; stream_offline_rule(t->offline, i, &r); i++)
        CHECK_OK(stream_offline_use(t->offline, i));
}

/* The force of each second is its number. */
static void push_rows(struct bench *t, int64_t from, int64_t to)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(t->press, ROWS, NULL, &bb));
    for (int64_t s = from; s < to; s++) {
        CHECK(batch_builder_row(bb, s * S) >= 0);
        batch_set_i64(bb, 0, s);
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    CHECK_OK(stream_offline_push(t->offline, t->stream, b, note, t));
    batch_unref(b);
    batch_builder_free(bb);
}

static void push_unit(struct bench *t, const char *serial, int64_t t_in, int64_t t_out)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(t->presence, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, t_out * S) >= 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text("0123456789abcdef")));
    CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text(serial)));
    CHECK_OK(batch_set_bytes(bb, 2, bytes_of_text("press")));
    batch_set_i64(bb, 3, t_in * S);
    batch_set_i64(bb, 4, t_out * S);
    CHECK_OK(batch_builder_finish(bb, &b));
    CHECK_OK(stream_offline_push(t->offline, t->presences, b, note, t));
    batch_unref(b);
    batch_builder_free(bb);
}

TEST(a_rule_reads_another_whatever_their_order)
{
    struct bench t;
    struct stream_offline_rule r;
    bench_init(&t, rules);
    use_all(&t);
    CHECK(stream_offline_rule(t.offline, 0, &r));
    CHECK_STR(r.name, "tens"); /* before who reads it */
    CHECK_EQ(r.window_us, 10 * S);
    CHECK(r.actions != NULL && r.presence == NULL && r.from == t.stream);
    push_rows(&t, 0, 25);
    CHECK_STR(buf_text(&t.text), "tens 10: 9\ntens 20: 19\nlate 20: 19\n");
    CHECK_OK(stream_offline_end(t.offline, note, &t)); /* the open window gives nothing */
    CHECK_STR(buf_text(&t.text), "tens 10: 9\ntens 20: 19\nlate 20: 19\n");
    bench_fini(&t);
}

TEST(who_takes_no_part_gives_nothing)
{
    struct bench t;
    bench_init(&t, rules);
    CHECK_OK(stream_offline_new(t.config, &t.catalogue, &t.offline, &t.diag));
    CHECK_OK(stream_offline_use(t.offline, 0));
    push_unit(&t, "A", 2, 5);
    push_rows(&t, 0, 25);
    CHECK_STR(buf_text(&t.text), "tens 10: 9\ntens 20: 19\n");
    bench_fini(&t);
}

TEST(units_come_before_their_rows_and_batches_do_not_matter)
{
    for (int64_t step = 1; step <= ROWS; step++) {
        struct bench t;
        struct stream_offline_stats stats;
        bench_init(&t, rules);
        CHECK_OK(stream_offline_new(t.config, &t.catalogue, &t.offline, &t.diag));
        CHECK_OK(stream_offline_use(t.offline, 1));
        push_unit(&t, "A", 2, 5);
        push_unit(&t, "B", 5, 9);
        push_unit(&t, "C", 38, 60); /* its signals never go so far */
        for (int64_t s = 0; s < ROWS; s += step)
            push_rows(&t, s, s + step < ROWS ? s + step : ROWS);
        CHECK_OK(stream_offline_end(t.offline, note, &t));
        CHECK_STR(buf_text(&t.text), "units 5: A 4\nunits 9: B 8\nunits 60: C 39\n");
        stream_offline_stats_get(t.offline, 1, &stats);
        CHECK_EQ(stats.in_rows, ROWS);
        CHECK_EQ(stats.out_rows, 3);
        CHECK_EQ(stats.error_rows, 0);
        bench_fini(&t);
    }
}

TEST(what_is_wrong_with_a_rule_is_said_with_its_place)
{
    struct bench t;
    bench_init(&t, "name: n\nrules:\n  - {name: r, sql: 'SELECT forse FROM plc.press'}\n");
    CHECK_EQ(stream_offline_new(t.config, &t.catalogue, &t.offline, &t.diag), ERR_NOT_FOUND);
    CHECK_EQ(t.diag.line, 3);
    CHECK(strstr(t.diag.text, "force") != NULL);
    bench_fini(&t);
}
