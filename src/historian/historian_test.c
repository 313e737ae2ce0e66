/* The historian on a real DuckDB: every type bit for bit, order, exactly once, queries, taps. */
#include "base/clock.h"
#include "historian/historian_priv.h"
#include "tests/support/check.h"
#include "tests/support/feed_fake.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define T0 ((int64_t)1763800000000000)

struct fixture {
    struct feed_fake log;
    struct feed feed;
    struct historian *h;
    char path[640];
    int copies;
};

static void fixture_open(struct fixture *f, bool follow, uint32_t commit_rows)
{
    struct diag diag = {0};
    feed_fake_init(&f->log);
    f->feed = feed_fake_feed(&f->log);
    (void)snprintf(f->path, sizeof f->path, "%s/h.duckdb", check_folder());
    struct historian_options options = {.path = f->path,
                                        .commit_rows = commit_rows,
                                        .linger_ms = 20,
                                        .feed = follow ? &f->feed : NULL};
    CHECK_OK(historian_new(&options, &f->h));
    if (historian_start(f->h, &diag))
        check_fail_at(__FILE__, __LINE__, "start: %s", diag.text);
}

static void fixture_close(struct fixture *f)
{
    historian_free(f->h);
    feed_fake_fini(&f->log);
}

static uint64_t committed_seq(struct fixture *f)
{
    struct historian_stats stats;
    historian_stats_get(f->h, &stats);
    return stats.at.seq;
}

/* An answer as JSON lists, read on this thread: nothing else reads. */
static void check_sql(struct fixture *f, const char *sql, const char *want)
{
    struct duck_conn *c = NULL;
    struct duck_answer a = {0};
    struct diag diag = {0};
    struct duck_limits limits = {100000, 1 << 20, clock_mono_us() + 10000000};
    CHECK_OK(historian_reader_open_new(f->h, &c));
    if (duck_query(c, sql, DUCK_ARRAY, &limits, &a, &diag))
        check_fail_at(__FILE__, __LINE__, "%s: %s", sql, diag.text);
    historian_reader_close(f->h, c);
    char *got = strdup(buf_text(&a.text));
    duck_answer_fini(&a);
    if (strcmp(got, want) != 0)
        check_fail_at(__FILE__, __LINE__, "%s\n  gave %s\n  not  %s", sql, got, want);
    free(got);
}

/* --------------------------------------------------------------------------------------- batches
 */

static struct batch *batch_i64(const char *const *names, uint32_t columns, const int64_t *times,
                               uint32_t rows, int64_t base)
{
    struct field fields[64];
    for (uint32_t i = 0; i < columns; i++)
        fields[i] = (struct field){.name = names[i], .type = VALUE_INT64};
    struct schema *schema = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(schema_new(fields, columns, &schema));
    CHECK_OK(batch_builder_new(schema, rows, NULL, &bb));
    for (uint32_t r = 0; r < rows; r++) {
        CHECK(batch_builder_row(bb, times[r]) >= 0);
        for (uint32_t i = 0; i < columns; i++)
            batch_set_i64(bb, i, base + (int64_t)(r * 100 + i));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(schema);
    return b;
}

static const uint64_t odd_doubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x7ff0000000000000, 0xfff0000000000000,
    0x7ff8000000000000, 0x7ff8000000000001, 0x7ff0000000000001, 0xfff8dead0000beef,
    0x0000000000000001, 0x7fefffffffffffff, 0x3ff0000000000000, 0xbff0000000000000,
};
#define ODD_COUNT (sizeof odd_doubles / sizeof odd_doubles[0])

static const uint32_t odd_floats[ODD_COUNT] = {
    0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7fc00001,
    0x7f800001, 0xffc0beef, 0x00000001, 0x7f7fffff, 0x3f800000, 0xbf800000,
};

static const int64_t odd_ints[ODD_COUNT] = {0, -1, 1,  INT64_MIN, INT64_MAX, 7,
                                            8, 9,  10, 11,        12,        13};

static const struct field all_fields[] = {
    {.name = "b", .type = VALUE_BOOL},   {.name = "i", .type = VALUE_INT64},
    {.name = "u", .type = VALUE_UINT64}, {.name = "f", .type = VALUE_FLOAT32},
    {.name = "d", .type = VALUE_DOUBLE}, {.name = "s", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "any", .type = VALUE_ANY},  {.name = "t", .type = VALUE_TIMESTAMP},
};

static struct value odd_any(uint32_t row)
{
    struct value v = {.type = VALUE_NULL};
    if (row % 4 == 0)
        v = (struct value){.type = VALUE_STRING, .bytes = bytes_of_text("text in a mixed column")};
    else if (row % 4 == 1)
        v = (struct value){.type = VALUE_DOUBLE, .f64 = -0.0};
    else if (row % 4 == 2)
        v = (struct value){.type = VALUE_BOOL, .boolean = true};
    return v;
}

static struct batch *batch_all(void)
{
    struct schema *schema = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(schema_new(all_fields, 8, &schema));
    CHECK_OK(batch_builder_new(schema, ODD_COUNT, NULL, &bb));
    for (uint32_t r = 0; r < ODD_COUNT; r++) {
        double d;
        float f;
        struct value any = odd_any(r);
        uint8_t raw[20] = {0xff, 0x00, (uint8_t)r, 0xc3, 0x28};
        memcpy(&d, &odd_doubles[r], sizeof d);
        memcpy(&f, &odd_floats[r], sizeof f);
        CHECK(batch_builder_row(bb, T0 + r) >= 0);
        batch_set_bool(bb, 0, r % 2);
        batch_set_i64(bb, 1, odd_ints[r]);
        batch_set_u64(bb, 2, (uint64_t)odd_ints[r]);
        batch_set_f32(bb, 3, f);
        batch_set_f64(bb, 4, d);
        CHECK_OK(batch_set_bytes(bb, 5, bytes_of(raw, r)));
        CHECK_OK(batch_set_value(bb, 6, &any));
        batch_set_i64(bb, 7, odd_ints[r]);
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(schema);
    return b;
}

/* ----------------------------------------------------------------------------------------- types
 */

struct bits_check {
    const char *tag;
    uint32_t row;
};

static int bits_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct bits_check *c = ctx;
    uint32_t r = c->row++;
    CHECK_EQ(count, 4);
    CHECK(r < ODD_COUNT);
    const struct value *i = &cells[0];
    const struct value *u = &cells[1];
    const struct value *d = &cells[2];
    switch (c->tag[0]) {
    case 'b':
        CHECK_EQ(i->i64, r % 2);
        break;
    case 'i':
    case 't':
        CHECK_EQ(i->i64, odd_ints[r]);
        break;
    case 'u':
        CHECK_EQ(u->u64, (uint64_t)odd_ints[r]);
        break;
    case 'f': {
        float f = (float)d->f64;
        CHECK_EQ(u->type == VALUE_NULL ? load_le32(&f) : (uint32_t)u->u64, odd_floats[r]);
        break;
    }
    case 'd':
        CHECK_EQ(u->type == VALUE_NULL ? load_le64(&d->f64) : u->u64, odd_doubles[r]);
        break;
    default: {
        uint8_t raw[20] = {0xff, 0x00, (uint8_t)r, 0xc3, 0x28};
        CHECK_BYTES(cells[3].bytes, bytes_of(raw, r));
    }
    }
    return OK;
}

static void check_bits(struct fixture *f, const char *tag)
{
    struct duck_conn *c = NULL;
    struct duck_stmt *s = NULL;
    struct bits_check check = {tag, 0};
    CHECK_OK(historian_reader_open(f->h, &c));
    CHECK_OK(duck_prepare(
        c, "SELECT raw_i, raw_u, raw_d, raw_b FROM history WHERE tag = ? ORDER BY ts", &s, NULL));
    CHECK_OK(duck_bind_text(s, 1, tag));
    CHECK_OK(duck_run(s, bits_row, &check, NULL));
    CHECK_EQ(check.row, ODD_COUNT);
    duck_stmt_free(s);
    historian_reader_close(f->h, c);
}

/* Copying checkpoints. */
static int checkpoint(struct fixture *f)
{
    char dir[700];
    (void)snprintf(dir, sizeof dir, "%s.copy%d", f->path, f->copies++);
    CHECK_EQ(mkdir(dir, 0750), 0);
    return historian_copy(f->h, dir, NULL);
}

TEST(every_type_comes_back_bit_for_bit)
{
    struct fixture f = {0};
    fixture_open(&f, true, 0);
    (void)feed_fake_add(&f.log, "n", "all", batch_all());
    CHECK_SOON(committed_seq(&f) == 1, 10000);
    /* From the log, then from the compressed row groups of a checkpoint. */
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 6; i++)
            check_bits(&f, all_fields[i].name);
        check_bits(&f, "t");
        check_sql(&f,
                  "SELECT type, count(*), any_value(text), any_value(raw_u) FROM history WHERE tag "
                  "= 'any' GROUP BY type ORDER BY type",
                  "[[\"bool\",3,null,null],[\"double\",3,null,9223372036854775808],[\"string\",3,"
                  "\"text in a mixed column\",null]]");
        CHECK_OK(checkpoint(&f));
    }
    fixture_close(&f);
}

TEST(what_people_see_is_scaled_and_named)
{
    struct fixture f = {0};
    const struct field fields[] = {
        {.name = "temp",
         .type = VALUE_INT64,
         .uom = "°C",
         .scale = 0.1,
         .offset = -40,
         .flags = FIELD_SCALED},
        {.name = "serial", .type = VALUE_BYTES, .flags = FIELD_TEXT},
        {.name = "tenths", .type = VALUE_INT64, .scale = 0.1, .flags = FIELD_SCALED},
    };
    struct schema *schema = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    fixture_open(&f, true, 0);
    CHECK_OK(schema_new(fields, 3, &schema));
    CHECK_OK(batch_builder_new(schema, 4, NULL, &bb));
    CHECK(batch_builder_row(bb, T0) >= 0);
    batch_set_i64(bb, 0, 655);
    batch_set_i64(bb, 2, 453);
    CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text("序列1")));
    CHECK_OK(batch_set_time_offset(bb, 1, 1500));
    CHECK(batch_builder_row(bb, T0 + 100000) >= 0);
    CHECK_OK(batch_set_quality(bb, 0, QUALITY_TIMEOUT));
    CHECK_OK(batch_set_quality(bb, 2, QUALITY_TIMEOUT));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(schema);
    (void)feed_fake_add(&f.log, "edge", "plc.line", b);
    CHECK_SOON(committed_seq(&f) == 1, 10000);
    check_sql(
        &f,
        "SELECT node, stream, tag, value, text, quality, uom, type FROM history ORDER BY tag, ts",
        "[[\"edge\",\"plc.line\",\"serial\",null,\"序列1\",\"good\",\"\",\"bytes\"],"
        "[\"edge\",\"plc.line\",\"temp\",25.5,null,\"good\",\"°C\",\"int64\"],"
        "[\"edge\",\"plc.line\",\"temp\",null,null,\"timeout\",\"°C\",\"int64\"],"
        "[\"edge\",\"plc.line\",\"tenths\",45.3,null,\"good\",\"\",\"int64\"],"
        "[\"edge\",\"plc.line\",\"tenths\",null,null,\"timeout\",\"\",\"int64\"]]");
    check_sql(&f, "SELECT epoch_us(ts) - epoch_us(cycle) FROM history WHERE tag = 'serial'",
              "[[1500]]");
    fixture_close(&f);
}

/* ----------------------------------------------------------------------------------------- order
 */

TEST(a_commit_lies_in_the_order_of_tag_and_time)
{
    struct fixture f = {0};
    fixture_open(&f, true, 1000000);
    static const char *const ab[] = {"a", "b"};
    static const char *const cd[] = {"c", "d"};
    const int64_t early[] = {T0, T0 + 1, T0 + 2};
    const int64_t later[] = {T0 + 3, T0 + 4};
    const int64_t late[] = {T0 - 5, T0 + 1}; /* behind its time, and once the same again */
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(ab, 2, early, 3, 0));
    (void)feed_fake_add(&f.log, "n", "y", batch_i64(cd, 2, early, 3, 1000));
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(ab, 2, later, 2, 2000));
    (void)feed_fake_add(&f.log, "n", "y", batch_i64(cd, 2, late, 2, 3000));
    CHECK_SOON(committed_seq(&f) == 4, 10000);
    check_sql(
        &f,
        "SELECT count(*) FILTER (tag < before OR (tag = before AND ts < ts_before)), count(*) "
        "FROM (SELECT tag, ts, lag(tag) OVER (ORDER BY rowid) AS before, lag(ts) OVER (ORDER "
        "BY rowid) AS ts_before FROM points)",
        "[[0,20]]");
    check_sql(&f, "SELECT list(raw_i ORDER BY ts, raw_i) FROM history WHERE tag = 'c'",
              "[[\"[3000, 1000, 1100, 3100, 1200]\"]]");
    check_sql(&f, "SELECT list(raw_i ORDER BY ts) FROM history WHERE tag = 'b'",
              "[[\"[1, 101, 201, 2001, 2101]\"]]");
    fixture_close(&f);
}

static int count_row(void *ctx, const struct value *cells, uint32_t count)
{
    CHECK_EQ(count, 1);
    *(int64_t *)ctx = cells[0].i64;
    return OK;
}

static int64_t points_counted(struct duck_conn *c)
{
    struct duck_stmt *s = NULL;
    int64_t n = -1;
    CHECK_OK(duck_statement(c, "SELECT count(*) FROM points", &s, NULL));
    CHECK_OK(duck_run(s, count_row, &n, NULL));
    return n;
}

TEST(all_that_one_question_reads_is_of_one_moment)
{
    struct fixture f = {0};
    fixture_open(&f, true, 1);
    static const char *const ab[] = {"a", "b"};
    const int64_t at[] = {T0, T0 + 1};
    struct duck_conn *c = NULL;
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(ab, 2, at, 1, 0));
    CHECK_SOON(committed_seq(&f) == 1, 10000);
    CHECK_OK(historian_reader_open(f.h, &c));
    CHECK_EQ(points_counted(c), 2);
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(ab, 2, &at[1], 1, 0));
    CHECK_SOON(committed_seq(&f) == 2, 10000);
    CHECK_EQ(points_counted(c), 2);
    CHECK_EQ(duck_exec(c, "DELETE FROM points", NULL) != OK, true); /* and nothing is written */
    historian_reader_close(f.h, c);
    CHECK_OK(historian_reader_open(f.h, &c));
    CHECK_EQ(points_counted(c), 4);
    historian_reader_close(f.h, c);
    fixture_close(&f);
}

TEST(a_changed_schema_makes_new_tags_and_keeps_the_old)
{
    struct fixture f = {0};
    fixture_open(&f, true, 0);
    static const char *const ab[] = {"a", "b"};
    static const char *const bac[] = {"b", "a", "c"};
    const int64_t at[] = {T0};
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(ab, 2, at, 1, 0));
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(bac, 3, at, 1, 10));
    CHECK_SOON(committed_seq(&f) == 2, 10000);
    check_sql(&f, "SELECT id, tag FROM tags ORDER BY id", "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]");
    historian_stop(f.h);
    CHECK_OK(historian_start(f.h, NULL));
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(ab, 2, at, 1, 20));
    CHECK_SOON(committed_seq(&f) == 3, 10000);
    check_sql(&f, "SELECT tag, list(raw_i ORDER BY raw_i) FROM history GROUP BY tag ORDER BY tag",
              "[[\"a\",\"[0, 11, 20]\"],[\"b\",\"[1, 10, 21]\"],[\"c\",\"[12]\"]]");
    check_sql(&f, "SELECT count(*) FROM tags", "[[3]]");
    fixture_close(&f);
}

TEST(after_a_restart_it_goes_on_behind_the_stored_position)
{
    struct fixture f = {0};
    fixture_open(&f, true, 0);
    static const char *const names[] = {"a"};
    for (int64_t i = 0; i < 100; i++) {
        const int64_t at[] = {T0 + i};
        (void)feed_fake_add(&f.log, "n", "x", batch_i64(names, 1, at, 1, i));
        if (i % 25 == 20) {
            historian_stop(f.h);
            CHECK_OK(historian_start(f.h, NULL));
        }
    }
    CHECK_SOON(committed_seq(&f) == 100, 10000);
    CHECK_SOON(feed_fake_done(&f.log).seq == 100, 10000);
    check_sql(&f, "SELECT count(*), count(DISTINCT raw_i), sum(raw_i) FROM history",
              "[[100,100,4950]]");
    check_sql(&f, "SELECT epoch, seq FROM positions", "[[1,100]]");
    fixture_close(&f);
}

TEST(what_is_lost_in_the_log_is_counted_and_passed)
{
    struct fixture f = {0};
    fixture_open(&f, true, 0);
    static const char *const names[] = {"a"};
    static const char *const bad[] = {"\xff\xfe"};
    const int64_t at[] = {T0};
    feed_fake_fail(&f.log, ERR_IO); /* tried again */
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(bad, 1, at, 1, 1));
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(names, 1, at, 1, 2));
    CHECK_SOON(committed_seq(&f) == 2, 10000);
    struct historian_stats stats;
    historian_stats_get(f.h, &stats);
    CHECK_EQ(stats.lost_records, 1);
    CHECK_EQ(stats.points, 1);
    fixture_close(&f);
}

/* ----------------------------------------------------------------------------------------- calls
 */

struct asked {
    atomic_bool done;
    int err;
    char text[512];
    char rows[512];
    int64_t count;
    bool truncated;
};

static void asked_copy(char out[static 512], const struct batch *b, const char *name)
{
    struct column c = batch_column(b, (uint32_t)schema_find(b->schema, bytes_of_text(name)));
    struct value v = column_value(&c, 0);
    out[0] = 0;
    if (v.type != VALUE_NULL)
        (void)snprintf(out, 512, "%.*s", (int)v.bytes.len, (const char *)v.bytes.ptr);
}

static void asked_done(void *ctx, const struct call_result *r)
{
    struct asked *a = ctx;
    a->err = r->err;
    (void)snprintf(a->text, sizeof a->text, "%s", r->diag ? r->diag->text : "");
    if (r->answer) {
        struct column count = batch_column(r->answer, 3);
        struct column truncated = batch_column(r->answer, 4);
        asked_copy(a->rows, r->answer, "rows");
        asked_copy(a->text, r->answer, "text");
        a->count = column_value(&count, 0).i64;
        a->truncated = column_value(&truncated, 0).boolean;
    }
    atomic_store(&a->done, true);
}

static void ask(const struct call_port *port, struct exec *exec, const char *sql,
                const char *format, int64_t rows_max, struct asked *ret)
{
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    *ret = (struct asked){0};
    CHECK_OK(batch_builder_new(port->request, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, 0) >= 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(sql)));
    if (format)
        CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text(format)));
    if (rows_max)
        batch_set_i64(bb, 2, rows_max);
    batch_set_i64(bb, 3, 300);
    CHECK_OK(batch_builder_finish(bb, &request));
    batch_builder_free(bb);
    struct call_options options = {
        .exec = exec, .done = asked_done, .ctx = ret, .origin = {"tester", "test", CALL_VIEWER}};
    CHECK_OK(call_send(port, request, &options));
    CHECK_SOON(atomic_load(&ret->done), 10000);
}

TEST(people_ask_by_a_call_with_limits)
{
    struct fixture f = {0};
    struct catalogue catalogue;
    struct exec *exec = NULL;
    struct asked a;
    feed_fake_init(&f.log);
    (void)snprintf(f.path, sizeof f.path, "%s/h.duckdb", check_folder());
    struct historian_options options = {.path = f.path};
    CHECK_OK(exec_thread_new("caller", 0, &exec));
    CHECK_OK(catalogue_init(&catalogue, "n"));
    CHECK_OK(historian_new(&options, &f.h));
    CHECK_OK(historian_configure(f.h, &catalogue, NULL));
    const struct call_port *port = catalogue_call_find(&catalogue, "historian.sql");
    CHECK(port != NULL);
    ask(port, exec, "SELECT 1", NULL, 0, &a);
    CHECK_ERR(a.err, ERR_CLOSED);
    CHECK_OK(historian_start(f.h, NULL));
    ask(port, exec, "SELECT range AS n FROM range(5)", NULL, 2, &a);
    CHECK_OK(a.err);
    CHECK_STR(a.rows, "[{\"n\":0},{\"n\":1}]");
    CHECK_EQ(a.count, 2);
    CHECK(a.truncated);
    ask(port, exec, "SELECT 7 AS n", "csv", 0, &a);
    CHECK_STR(a.text, "n\n7\n");
    ask(port, exec, "SELECT 7 AS n", "xml", 0, &a);
    CHECK_ERR(a.err, ERR_INVALID);
    ask(port, exec, "DELETE FROM points", NULL, 0, &a);
    CHECK_ERR(a.err, ERR_DENIED);
    ask(port, exec, "SELECT valu FROM history", NULL, 0, &a);
    CHECK_ERR(a.err, ERR_SYNTAX);
    CHECK(strstr(a.text, "valu") != NULL);
    ask(port, exec,
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE hash(a.range, b.range) = 7",
        NULL, 0, &a);
    CHECK_ERR(a.err, ERR_TIMEOUT);
    fixture_close(&f);
    catalogue_fini(&catalogue);
    exec_thread_free(exec);
}

/* --------------------------------------------------------------------------- streams, taps, copy
 */

TEST(only_chosen_streams_are_kept)
{
    struct fixture f = {0};
    struct catalogue catalogue;
    struct stream *s = NULL;
    struct stream *rule = NULL;
    static const char *const names[] = {"a"};
    static const char *const patterns[] = {"plc*"};
    const int64_t at[] = {T0};
    feed_fake_init(&f.log);
    f.feed = feed_fake_feed(&f.log);
    (void)snprintf(f.path, sizeof f.path, "%s/h.duckdb", check_folder());
    struct historian_options options = {
        .path = f.path, .feed = &f.feed, .streams = patterns, .stream_count = 1, .linger_ms = 20};
    CHECK_OK(catalogue_init(&catalogue, "me"));
    CHECK_OK(catalogue_stream_add(&catalogue, "plc1.g", STREAM_GROUP, "", NULL, &s));
    CHECK_OK(catalogue_stream_add(&catalogue, "other.g", STREAM_GROUP, "", NULL, &s));
    CHECK_OK(catalogue_stream_add(&catalogue, "hot", STREAM_RULE, "", NULL, &rule));
    CHECK_OK(catalogue_stream_add(&catalogue, "plcrule", STREAM_RULE, "", NULL, &s));
    CHECK_OK(historian_new(&options, &f.h));
    CHECK_OK(historian_configure(f.h, &catalogue, NULL));
    CHECK_OK(historian_keep(f.h, rule));
    CHECK(rule->durable);
    CHECK(!s->durable);
    CHECK_OK(historian_start(f.h, NULL));
    static const char *const streams[][2] = {
        {"me", "plc1.g"},   {"me", "other.g"},     {"me", "hot"},           {"me", "plcrule"},
        {"edge", "plc9.g"}, {"edge", "different"}, {"edge", "presence.b1"}, {"edge", "plc"},
    };
    for (int64_t i = 0; i < 8; i++)
        (void)feed_fake_add(&f.log, streams[i][0], streams[i][1], batch_i64(names, 1, at, 1, i));
    (void)feed_fake_add(&f.log, "me", "hot", batch_i64(names, 1, at, 1, 8));
    CHECK_SOON(committed_seq(&f) == 9, 10000);
    check_sql(&f, "SELECT list(raw_i ORDER BY raw_i) FROM history", "[[\"[0, 2, 4, 7, 8]\"]]");
    fixture_close(&f);
    catalogue_fini(&catalogue);
}

static const struct duck_column note_columns[] = {
    {"what", DUCK_TEXT, false}, {"n", DUCK_I64, true}, {"known", DUCK_TIME, false}};
static const struct historian_table note_table = {
    "notes", "CREATE TABLE IF NOT EXISTS notes(what VARCHAR, n BIGINT, known TIMESTAMP)",
    note_columns, 3};

static bool note_wants(void *ctx, const struct feed_record *record)
{
    (void)ctx;
    return bytes_equal(record->stream, bytes_of_text("noted"));
}

static int note_record(void *ctx, const struct feed_record *record, const struct batch *batch,
                       struct historian_txn *txn, bool *ret_points)
{
    (void)ctx;
    struct value cells[3] = {
        {.type = VALUE_STRING, .bytes = record->stream},
        {.type = VALUE_NULL},
        {.type = VALUE_TIMESTAMP, .i64 = historian_known_at(txn)},
    };
    struct column c = batch_column(batch, 0);
    cells[1] = column_value(&c, 0);
    *ret_points = false;
    int err = historian_insert(txn, &note_table, cells);
    cells[1] = (struct value){.type = VALUE_DOUBLE, .f64 = 1};
    CHECK_ERR(historian_insert(txn, &note_table, cells), ERR_TYPE);
    return err;
}

TEST(a_tap_writes_its_tables_in_the_same_transaction)
{
    struct fixture f = {0};
    static const char *const names[] = {"a"};
    const int64_t at[] = {T0};
    feed_fake_init(&f.log);
    f.feed = feed_fake_feed(&f.log);
    (void)snprintf(f.path, sizeof f.path, "%s/h.duckdb", check_folder());
    struct historian_options options = {.path = f.path, .feed = &f.feed, .linger_ms = 20};
    struct historian_tap tap = {
        .tables = &note_table, .table_count = 1, .wants = note_wants, .on_record = note_record};
    CHECK_OK(historian_new(&options, &f.h));
    CHECK_OK(historian_tap_add(f.h, &tap));
    CHECK_OK(historian_start(f.h, NULL));
    for (int64_t i = 0; i < 5; i++)
        (void)feed_fake_add(&f.log, "n", i % 2 ? "plain" : "noted", batch_i64(names, 1, at, 1, i));
    CHECK_SOON(committed_seq(&f) == 5, 10000);
    check_sql(&f, "SELECT count(*), sum(n), min(known) > TIMESTAMP '2020-01-01' FROM notes",
              "[[3,6,true]]");
    check_sql(&f, "SELECT list(raw_i ORDER BY raw_i) FROM history", "[[\"[1, 3]\"]]");
    fixture_close(&f);
}

TEST(a_copy_opens_by_itself)
{
    struct fixture f = {0};
    struct diag diag = {0};
    static const char *const names[] = {"a"};
    const int64_t at[] = {T0};
    char dir[512];
    fixture_open(&f, true, 0);
    (void)feed_fake_add(&f.log, "n", "x", batch_i64(names, 1, at, 1, 42));
    CHECK_SOON(committed_seq(&f) == 1, 10000);
    (void)snprintf(dir, sizeof dir, "%s/copy", check_folder());
    CHECK_EQ(mkdir(dir, 0750), 0);
    CHECK_OK(historian_copy(f.h, dir, &diag));
    CHECK_ERR(historian_copy(f.h, dir, &diag), ERR_EXISTS);
    CHECK(strstr(diag.text, "h.duckdb") != NULL);
    historian_free(f.h);
    (void)snprintf(f.path, sizeof f.path, "%s/h.duckdb", dir);
    struct historian_options options = {.path = f.path};
    CHECK_OK(historian_new(&options, &f.h));
    CHECK_OK(historian_start(f.h, NULL));
    check_sql(&f, "SELECT raw_i FROM history", "[[42]]");
    check_sql(&f, "SELECT seq FROM positions", "[[1]]");
    fixture_close(&f);
}
