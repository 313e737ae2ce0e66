/* What is shown of a line: its topology, who is on it at a moment and where, its gates' counts, and
 * whom the gates did not explain. */
#include "base/str.h"
#include "tests/support/line_bench.h"

/* The answer's columns as texts. */
struct shown {
    struct call_port port;
    struct batch *batch;
};

static void shown_make(struct shown *s, const struct bench *t, const struct call_spec *spec,
                       int (*put)(const struct line *l, struct batch_builder *bb))
{
    struct batch_builder *bb = NULL;
    CHECK_OK(call_port_init(&s->port, spec, NULL, NULL, NULL));
    CHECK_OK(batch_builder_new(s->port.answer, 1, NULL, &bb));
    CHECK_OK(put(line_of(t->track), bb));
    CHECK_OK(batch_builder_finish(bb, &s->batch));
    batch_builder_free(bb);
    CHECK_EQ(s->batch->rows, 1);
}

static void shown_free(struct shown *s)
{
    batch_unref(s->batch);
    call_port_fini(&s->port);
}

static void check_has(int line, const struct shown *s, uint32_t col, const char *want)
{
    struct bytes v = cell(s->batch, col, 0).bytes;
    if (!memmem(v.ptr, v.len, want, strlen(want)))
        check_fail_at(__FILE__, line, "no %s in %.*s", want, (int)v.len, (const char *)v.ptr);
}

#define CHECK_HAS(s, col, want) check_has(__LINE__, s, col, want)

TEST(a_line_is_shown_with_its_parts_ways_and_gates)
{
    struct bench *t = bench_new(config_row, 1);
    struct shown s;
    bench_run(t);
    shown_make(&s, t, &line_lines_spec, line_topology_put);
    CHECK_HAS(&s, 0, "line");
    CHECK_HAS(&s, 2,
              "[{\"part\":\"infeed\",\"kind\":\"belt\",\"length_mm\":1000,\"order\":\"fifo\","
              "\"capacity\":0,\"places\":[{\"station\":\"print\",\"from_mm\":200,\"to_mm\":600}]},"
              "{\"part\":\"press\",\"kind\":\"station\"");
    CHECK_HAS(&s, 3, "{\"from\":null,\"into\":\"infeed\",\"gate\":0,");
    CHECK_HAS(&s, 3, "{\"from\":\"outfeed\",\"into\":null,\"gate\":3,");
    CHECK_HAS(&s, 4,
              "[{\"signal\":\"plc.line.g0\",\"out_of\":null,\"into\":\"infeed\",\"unit\":"
              "\"plc.line.c0\"}");
    shown_free(&s);
    bench_free(t);
}

TEST(who_is_on_a_line_stands_where_the_belt_has_brought_it)
{
    struct bench *t = bench_new(config_row, 60);
    struct line *l;
    struct shown s;
    row_unit(t, 1000, "A");
    bench_track(t);
    l = line_of(t->track);
    shown_make(&s, t, &line_line_spec, line_state_put);
    CHECK(cell(s.batch, 1, 0).type == VALUE_NULL);
    CHECK_HAS(&s, 4, "[]");
    shown_free(&s);

    bench_poll(t, 0, 90);
    shown_make(&s, t, &line_line_spec, line_state_put);
    int64_t at = cell(s.batch, 1, 0).i64;
    char mm[64];
    (void)snprintf(mm, sizeof mm, "\"serial\":\"A\",\"part\":\"infeed\",\"mm\":%.10g,\"since\":",
                   (double)(at - T0 - 1000000) / 10000.0);
    CHECK_EQ(cell(s.batch, 2, 0).i64, 1);
    CHECK_EQ(at, l->decided_us);
    CHECK(at > T0 + 3000000 && at <= T0 + 9000000);
    CHECK_HAS(&s, 4, mm);
    CHECK_HAS(&s, 4, "\"probability\":1,\"came\":\"seen\"}]");
    CHECK_HAS(&s, 5, "{\"signal\":\"plc.line.g0\",\"pulses\":1,\"last\":\"2025-11-22T");
    CHECK_HAS(&s, 5, "{\"signal\":\"plc.line.g1\",\"pulses\":0,\"last\":null}");
    CHECK_HAS(&s, 6, "[]");
    shown_free(&s);
    bench_poll(t, 90, t->polls);
    shown_make(&s, t, &line_line_spec, line_state_put);
    CHECK_EQ(cell(s.batch, 2, 0).i64, 0);
    shown_free(&s);
    bench_free(t);
}

TEST(units_that_the_gates_do_not_explain_are_listed_the_last_first_and_so_many)
{
    struct bench *t = bench_new(config_row, 60 + 4 * LINE_BREACHES_MAX);
    struct shown s;
    char last[8];
    for (int i = 0; i <= LINE_BREACHES_MAX; i++) {
        (void)snprintf(last, sizeof last, "u%d", i);
        code(t, 1, 1000 + 4000 * i, last);
        pulse(t, 3, 1000 + 4000 * i);
    }
    bench_run(t);
    shown_make(&s, t, &line_line_spec, line_state_put);
    CHECK_EQ(line_of(t->track)->breach_count, LINE_BREACHES_MAX);
    struct bytes v = cell(s.batch, 6, 0).bytes;
    CHECK(memmem(v.ptr, v.len, "\"serial\":\"u0\"", 13) == NULL);
    CHECK_HAS(&s, 6, "\"serial\":\"u1\",\"part\":\"outfeed\"");
    CHECK_HAS(&s, 6, "[{\"kind\":\"appeared\",\"unit\":");
    const uint8_t *first = memmem(v.ptr, v.len, "\"serial\":", 9);
    CHECK(first != NULL && memcmp(first + 10, last, strlen(last)) == 0);
    shown_free(&s);
    bench_free(t);
}
