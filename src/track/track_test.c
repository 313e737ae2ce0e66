/* Tracks with begin and end signals: each case of the interval and of the serial with its exact
 * answer, and the same answer after a restart at any record. */
#include "track/track.h"

#include "journal/journal.h"
#include "tests/support/check.h"
#include "tests/support/feed_fake.h"
#include "track/track_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0   ((int64_t)1763800000000000)
#define STEP ((int64_t)100000) /* a poll cycle */

static const char config_one[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: press1, station: press, unit: plc.press.serial,\n"
    "     begin: {signal: plc.press.cycle, edge: rising},\n"
    "     end: {signal: plc.press.cycle, edge: falling}, result: plc.press.result,\n"
    "     signals: [plc.press]}\n";

/* The serial in a stream of its own, and no result. */
static const char config_two[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: press1, station: press, unit: scanner.line.code, place: hall/line,\n"
    "     begin: {signal: plc.press.cycle}, end: {signal: plc.press.cycle, edge: falling}}\n";

struct seen {
    char serial[64];
    char status[16];
    char result[16];
    char evidence[128];
    char place[32];
    double probability;
    int64_t t_in;
    int64_t t_out;
    uint8_t unit[TRACK_UNIT_BYTES];
    struct position at;
};

struct fixture {
    struct feed_fake log;
    struct feed feed;
    struct config *config;
    struct catalogue catalogue;
    struct schema *press;
    struct schema *scanner;
    struct track_stage *t;
    struct journal *journal;
    struct flow *flow;
    struct exec *sink;
    pthread_mutex_t mutex;
    struct seen seen[64];
    uint32_t count;
    int64_t time;
};

static void copy_cell(char *out, size_t size, const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    struct bytes v = column_bytes(&c, row);
    (void)snprintf(out, size, "%.*s", (int)v.len, (const char *)v.ptr);
}

static void seen_add(struct fixture *f, const struct batch *b, uint32_t row, struct position at)
{
    struct seen s = {.at = at};
    struct column t_in = batch_column(b, TRACK_T_IN);
    struct column t_out = batch_column(b, TRACK_T_OUT);
    struct column p = batch_column(b, TRACK_PROBABILITY);
    struct column unit = batch_column(b, TRACK_UNIT);
    struct column visit = batch_column(b, TRACK_VISIT);
    struct column retracted = batch_column(b, TRACK_RETRACTED);
    copy_cell(s.serial, sizeof s.serial, b, TRACK_SERIAL, row);
    copy_cell(s.status, sizeof s.status, b, TRACK_STATUS, row);
    copy_cell(s.result, sizeof s.result, b, TRACK_RESULT, row);
    copy_cell(s.evidence, sizeof s.evidence, b, TRACK_EVIDENCE, row);
    copy_cell(s.place, sizeof s.place, b, TRACK_PLACE, row);
    CHECK_EQ(column_value(&visit, row).i64, 0);
    CHECK(!column_value(&retracted, row).boolean);
    s.t_in = column_value(&t_in, row).i64;
    s.t_out = column_value(&t_out, row).i64;
    s.probability = column_value(&p, row).f64;
    memcpy(s.unit, column_bytes(&unit, row).ptr, TRACK_UNIT_BYTES);
    (void)pthread_mutex_lock(&f->mutex);
    if (f->count < 64)
        f->seen[f->count++] = s;
    (void)pthread_mutex_unlock(&f->mutex);
}

static void sink_ready(void *ctx, struct flow *flow)
{
    struct flow_item item;
    while (flow_take(flow, &item)) {
        for (uint32_t row = 0; row < item.batch->rows; row++)
            seen_add(ctx, item.batch, row, item.at);
        flow_finish(&item, item.at, OK);
    }
}

static void sink_closed(void *ctx, struct flow *flow)
{
    (void)ctx;
    (void)flow;
}

static void fixture_catalogue(struct fixture *f)
{
    const struct field press[] = {
        {.name = "serial", .type = VALUE_BYTES, .flags = FIELD_TEXT},
        {.name = "cycle", .type = VALUE_BOOL},
        {.name = "result", .type = VALUE_UINT64},
    };
    const struct field scanner[] = {{.name = "code", .type = VALUE_STRING}};
    struct stream *s = NULL;
    CHECK_OK(schema_new(press, 3, &f->press));
    CHECK_OK(schema_new(scanner, 1, &f->scanner));
    CHECK_OK(catalogue_init(&f->catalogue, "n"));
    CHECK_OK(catalogue_stream_add(&f->catalogue, "plc.press", STREAM_GROUP, "plant/press", f->press,
                                  &s));
    CHECK_OK(catalogue_stream_add(&f->catalogue, "scanner.line", STREAM_GROUP, "plant/line",
                                  f->scanner, &s));
}

static void fixture_track(struct fixture *f)
{
    struct outlet *producer = NULL;
    struct diag diag = {0};
    struct track_options options = {.node = "n", .journal = f->journal, .feed = &f->feed};
    struct flow_options flow = {.name = "sink",
                                .consumer = f->sink,
                                .policy = FLOW_BLOCK,
                                .ctx = f,
                                .on_ready = sink_ready,
                                .on_closed = sink_closed};
    CHECK_OK(track_new(&options, &f->t));
    if (track_configure(f->t, f->config, &f->catalogue, &diag))
        check_fail_at(__FILE__, __LINE__, "configure: %s", diag.text);
    struct stream *stream = track_output(f->t, 0, &producer);
    CHECK_STR(stream->name, "presence.press1");
    CHECK(track_output(f->t, 1, &producer) == NULL);
    CHECK_OK(flow_new(&flow, &f->flow));
    outlet_attach(producer, f->flow);
    CHECK_OK(track_start(f->t, &diag));
}

static struct fixture *fixture_new(const char *config)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct diag diag = {0};
    CHECK(f != NULL);
    (void)pthread_mutex_init(&f->mutex, NULL);
    f->time = T0;
    feed_fake_init(&f->log);
    f->feed = feed_fake_feed(&f->log);
    CHECK_OK(exec_thread_new("sink", 0, &f->sink));
    if (config_parse("t.yaml", bytes_of_text(config), &f->config, &diag))
        check_fail_at(__FILE__, __LINE__, "config: %s", diag.text);
    fixture_catalogue(f);
    return f;
}

static void fixture_end_track(struct fixture *f)
{
    track_free(f->t);
    f->t = NULL;
    exec_thread_free(f->sink);
    f->sink = NULL;
    flow_unref(f->flow);
    f->flow = NULL;
    catalogue_fini(&f->catalogue);
    schema_unref(f->press);
    schema_unref(f->scanner);
}

static void fixture_free(struct fixture *f)
{
    if (f->t)
        fixture_end_track(f);
    journal_close(f->journal);
    config_free(f->config);
    feed_fake_fini(&f->log);
    (void)pthread_mutex_destroy(&f->mutex);
    free(f);
}

/* One poll cycle of the press. serial NULL = the cell was not read; cycle < 0 = nothing was. */
static void press(struct fixture *f, const char *serial, int cycle, uint64_t result)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(f->press, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, f->time) >= 0);
    if (serial)
        CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(serial)));
    if (cycle >= 0) {
        batch_set_bool(bb, 1, cycle != 0);
        batch_set_u64(bb, 2, result);
    } else {
        CHECK_OK(batch_set_quality(bb, 1, QUALITY_TIMEOUT));
        CHECK_OK(batch_set_quality(bb, 2, QUALITY_TIMEOUT));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    (void)feed_fake_add(&f->log, "n", "plc.press", b);
    f->time += STEP;
}

static void scan(struct fixture *f, const char *code, int64_t time)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(f->scanner, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, time) >= 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(code)));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    (void)feed_fake_add(&f->log, "n", "scanner.line", b);
}

/* A whole cycle: scanned, pressed for `rows` polls, out. */
static void cycle(struct fixture *f, const char *serial, int rows, uint64_t before, uint64_t result)
{
    press(f, serial, 0, before);
    for (int i = 0; i < rows; i++)
        press(f, serial, 1, before);
    press(f, serial, 0, result);
}

static uint32_t seen_count(struct fixture *f)
{
    (void)pthread_mutex_lock(&f->mutex);
    uint32_t n = f->count;
    (void)pthread_mutex_unlock(&f->mutex);
    return n;
}

static bool all_read(struct fixture *f)
{
    struct track_stats stats;
    track_stats_get(f->t, &stats);
    return stats.at.seq == f->log.count;
}

static int sink_pass(void *ctx)
{
    (void)ctx;
    return OK;
}

static void wait_all(struct fixture *f)
{
    CHECK_SOON(all_read(f), 10000);
    CHECK_OK(exec_call(f->sink, sink_pass, NULL)); /* what was pushed before has arrived */
}

TEST(a_cycle_makes_one_exact_presence)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    cycle(f, "PRS-1", 12, 0, 1);
    cycle(f, "PRS-2", 3, 1, 2);
    wait_all(f);
    CHECK_EQ(seen_count(f), 2);
    CHECK_STR(f->seen[0].serial, "PRS-1");
    CHECK_STR(f->seen[0].status, "exact");
    CHECK_STR(f->seen[0].result, "pass");
    CHECK_STR(f->seen[0].evidence, "begin=edge end=edge serial=read:12 result=1");
    CHECK_STR(f->seen[0].place, "plant/press");
    CHECK_EQ(f->seen[0].t_in, T0 + STEP);
    CHECK_EQ(f->seen[0].t_out, T0 + 13 * STEP);
    CHECK_NEAR(f->seen[0].probability, 1, 0);
    CHECK_EQ(f->seen[0].at.seq, 14);
    CHECK_STR(f->seen[1].serial, "PRS-2");
    CHECK_STR(f->seen[1].result, "fail");
    CHECK(memcmp(f->seen[0].unit, f->seen[1].unit, TRACK_UNIT_BYTES) != 0);
    fixture_free(f);
}

TEST(a_serial_that_was_not_read_is_provisional)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    cycle(f, "", 3, 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_EQ(f->seen[0].serial[0], '?');
    CHECK_EQ(strlen(f->seen[0].serial), 33);
    CHECK_STR(f->seen[0].status, "inferred");
    CHECK_NEAR(f->seen[0].probability, 0, 0);
    fixture_free(f);
}

TEST(the_serial_of_the_unit_before_is_not_trusted)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    cycle(f, "A", 3, 0, 1);
    cycle(f, "A", 3, 1, 1); /* the scanner did not read anew */
    press(f, "", 0, 1);
    cycle(f, "A", 3, 1, 1); /* it was cleared, and read again: the same unit a second time */
    press(f, "A", 1, 1);    /* late: overwritten one poll after the begin */
    press(f, "B", 1, 1);
    press(f, "B", 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 4);
    CHECK_STR(f->seen[0].status, "exact");
    CHECK_STR(f->seen[1].status, "inferred");
    CHECK_STR(f->seen[1].evidence, "begin=edge end=edge serial=same-as-before:3 result=1");
    CHECK_STR(f->seen[2].status, "exact");
    CHECK_STR(f->seen[3].serial, "B");
    CHECK_STR(f->seen[3].status, "exact");
    fixture_free(f);
}

TEST(several_serials_in_one_visit_are_ambiguous)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    press(f, "", 0, 0);
    press(f, "A", 1, 0);
    press(f, "A", 1, 0);
    press(f, "A", 1, 0);
    press(f, "B", 1, 0);
    press(f, "B", 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_STR(f->seen[0].serial, "A");
    CHECK_STR(f->seen[0].status, "ambiguous");
    CHECK_NEAR(f->seen[0].probability, 0.75, 0);
    CHECK_STR(f->seen[0].evidence, "begin=edge end=edge serial=several:A:3|B:1 result=1");
    fixture_free(f);
}

TEST(an_edge_inside_a_gap_makes_the_interval_unknown)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    press(f, "A", 0, 0);
    press(f, "A", 1, 0);
    press(f, NULL, -1, 0);
    f->time += 3000000;
    press(f, "A", 0, 1);
    press(f, "B", 1, 1); /* seen from its first reading on */
    press(f, "B", 0, 2);
    wait_all(f);
    CHECK_EQ(seen_count(f), 2);
    CHECK_STR(f->seen[0].status, "missing");
    CHECK_STR(f->seen[0].serial, "A");
    CHECK_STR(f->seen[0].evidence, "begin=edge end=gap serial=read:1 gap=3200ms result=1");
    CHECK_STR(f->seen[1].status, "exact");
    fixture_free(f);
}

/* Nobody looks for 3 s. */
static void nobody_looks(struct fixture *f)
{
    press(f, NULL, -1, 0);
    f->time += 3000000;
}

/* A press that holds A for four seconds, and then nobody looks. */
static struct fixture *fixture_of_gap(void)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    press(f, "A", 0, 0);
    for (int i = 0; i < 40; i++)
        press(f, "A", 1, 0);
    nobody_looks(f);
    return f;
}

TEST(another_serial_after_a_gap_is_another_unit)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    press(f, "A", 0, 0);
    press(f, "A", 1, 0);
    nobody_looks(f); /* A leaves, B comes */
    press(f, "B", 1, 0);
    press(f, "B", 1, 0);
    press(f, "B", 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 2);
    CHECK_STR(f->seen[0].serial, "A");
    CHECK_STR(f->seen[0].status, "missing");
    CHECK(strstr(f->seen[0].evidence, "begin=edge end=gap") != NULL);
    CHECK_STR(f->seen[1].serial, "B");
    CHECK_STR(f->seen[1].status, "missing");
    CHECK(strstr(f->seen[1].evidence, "begin=gap end=edge") != NULL);
    CHECK_EQ(f->seen[0].t_out, f->seen[1].t_in);
    CHECK(memcmp(f->seen[0].unit, f->seen[1].unit, TRACK_UNIT_BYTES) != 0);
    fixture_free(f);
}

TEST(a_unit_that_no_scan_confirms_after_a_gap_may_have_left_in_it)
{
    struct fixture *f = fixture_of_gap();
    press(f, "", 1, 0);
    press(f, "", 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_STR(f->seen[0].serial, "A");
    CHECK_STR(f->seen[0].status, "missing");
    fixture_free(f);
}

TEST(a_visit_that_goes_on_after_a_gap_is_inferred)
{
    struct fixture *f = fixture_of_gap();
    press(f, "A", 1, 0);
    press(f, "A", 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_STR(f->seen[0].serial, "A");
    CHECK_STR(f->seen[0].status, "inferred");
    CHECK(strstr(f->seen[0].evidence, "begin=edge end=edge") != NULL);
    CHECK_EQ(f->seen[0].t_in, T0 + STEP);
    fixture_free(f);
}

TEST(who_was_scanned_in_a_gap_and_did_not_come_after_it_was_there_within_it)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    cycle(f, "A", 3, 0, 1);
    nobody_looks(f); /* B comes and leaves */
    press(f, "B", 0, 1);
    cycle(f, "C", 3, 1, 1);
    nobody_looks(f);
    press(f, "D", 0, 1); /* comes next */
    cycle(f, "D", 3, 1, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 4);
    CHECK_STR(f->seen[1].serial, "B");
    CHECK_STR(f->seen[1].status, "missing");
    CHECK(strstr(f->seen[1].evidence, "begin=gap end=gap") != NULL);
    CHECK(strstr(f->seen[1].evidence, "gap=3200ms") != NULL);
    CHECK_EQ(f->seen[1].t_in, f->seen[1].t_out); /* no reading is its own */
    CHECK_STR(f->seen[2].serial, "C");
    CHECK_STR(f->seen[2].status, "exact");
    CHECK_STR(f->seen[3].serial, "D");
    CHECK_STR(f->seen[3].status, "exact");
    fixture_free(f);
}

TEST(a_visit_that_had_begun_before_the_first_reading_is_missing_its_begin)
{
    struct fixture *f = fixture_new(config_one);
    fixture_track(f);
    press(f, "A", 1, 0);
    press(f, "A", 1, 0);
    press(f, "A", 0, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_STR(f->seen[0].status, "missing");
    CHECK_STR(f->seen[0].evidence, "begin=unseen end=edge serial=read:2 result=1");
    fixture_free(f);
}

TEST(a_serial_from_a_slower_stream_is_waited_for)
{
    struct fixture *f = fixture_new(config_two);
    fixture_track(f);
    press(f, NULL, 0, 0);          /* T0 */
    press(f, NULL, 1, 0);          /* T0 + 1 */
    press(f, NULL, 1, 0);          /* T0 + 2 */
    press(f, NULL, 0, 0);          /* T0 + 3 */
    scan(f, "S-1", T0 + STEP * 2); /* arrives behind the end, belongs inside */
    wait_all(f);
    CHECK_EQ(seen_count(f), 0);
    scan(f, "S-2", T0 + STEP * 3); /* at the moment of leaving: the next one's */
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_STR(f->seen[0].serial, "S-1");
    CHECK_STR(f->seen[0].status, "exact");
    CHECK_STR(f->seen[0].place, "hall/line");
    CHECK_STR(f->seen[0].result, "");
    fixture_free(f);
}

TEST(a_silent_stream_is_waited_for_no_longer_than_the_grace)
{
    struct fixture *f = fixture_new(config_two);
    fixture_track(f);
    scan(f, "S-1", T0);
    press(f, NULL, 0, 0);
    press(f, NULL, 1, 0);
    press(f, NULL, 0, 0);
    for (int i = 0; i < 21; i++)
        press(f, NULL, 0, 0);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    CHECK_STR(f->seen[0].status, "inferred");
    CHECK_EQ(f->seen[0].serial[0], '?');
    fixture_free(f);
}

/* ------------------------------------------------------------------------------- after a restart
 */

static void script(struct fixture *f)
{
    cycle(f, "A", 2, 0, 1);
    cycle(f, "A", 2, 1, 2);
    cycle(f, "B", 3, 2, 1);
}

TEST(a_checkpoint_at_any_record_leads_to_the_same_presences)
{
    struct fixture *whole = fixture_new(config_one);
    fixture_track(whole);
    script(whole);
    wait_all(whole);
    CHECK_EQ(whole->count, 3);
    for (uint64_t cut = 1; cut < whole->log.count; cut++) {
        struct fixture *f = fixture_new(config_one);
        struct track_stats stats = {0};
        struct track *from = NULL;
        struct track *to = NULL;
        struct arena arena = {0};
        struct catalogue again;
        struct buf blob = {0};
        const struct config_object *object = config_object_at(f->config, CONFIG_TRACK, 0);
        CHECK_OK(track_make(object, &arena, &f->catalogue, NULL, &from));
        from->stats = &stats;
        for (uint64_t i = 0; i < cut; i++)
            CHECK_OK(track_record(from, (struct position){1, i + 1}, bytes_of_text("plc.press"),
                                  whole->log.records[i].batch));
        uint32_t before = batch_builder_rows(from->builder);
        CHECK_OK(checkpoint_encode(from, &blob));
        CHECK_OK(catalogue_init(&again, "n"));
        struct stream *s = NULL;
        CHECK_OK(
            catalogue_stream_add(&again, "plc.press", STREAM_GROUP, "plant/press", f->press, &s));
        CHECK_OK(track_make(object, &arena, &again, NULL, &to));
        to->stats = &stats;
        CHECK_OK(checkpoint_decode(to, buf_bytes(&blob)));
        for (uint64_t i = 0; i < whole->log.count; i++) /* what it has seen is passed over */
            CHECK_OK(track_record(to, (struct position){1, i + 1}, bytes_of_text("plc.press"),
                                  whole->log.records[i].batch));
        CHECK_EQ(before + batch_builder_rows(to->builder), 3);
        if (batch_builder_rows(to->builder)) {
            struct batch *b = NULL;
            CHECK_OK(batch_builder_finish(to->builder, &b));
            struct column unit = batch_column(b, TRACK_UNIT);
            CHECK_BYTES(column_bytes(&unit, b->rows - 1),
                        bytes_of(whole->seen[2].unit, TRACK_UNIT_BYTES));
            char status[16];
            copy_cell(status, sizeof status, b, TRACK_STATUS, 0);
            CHECK_STR(status, whole->seen[before].status);
            batch_unref(b);
        }
        for (size_t len = 0; len < blob.len; len++)
            CHECK(checkpoint_decode(to, bytes_of(blob.ptr, len)) != OK);
        buf_fini(&blob);
        track_drop(from);
        track_drop(to);
        catalogue_fini(&again);
        arena_fini(&arena);
        exec_thread_free(f->sink);
        f->sink = NULL;
        catalogue_fini(&f->catalogue);
        schema_unref(f->press);
        schema_unref(f->scanner);
        fixture_free(f);
    }
    fixture_free(whole);
}

TEST(the_stage_goes_on_from_its_stored_checkpoint)
{
    struct fixture *f = fixture_new(config_one);
    struct journal_options options = {.dir = check_folder()};
    struct diag diag = {0};
    if (journal_open(&options, &f->journal, &diag))
        check_fail_at(__FILE__, __LINE__, "journal: %s", diag.text);
    fixture_track(f);
    cycle(f, "A", 2, 0, 1);
    press(f, "B", 0, 1);
    press(f, "B", 1, 1);
    wait_all(f);
    CHECK_EQ(seen_count(f), 1);
    fixture_end_track(f);
    CHECK_EQ(feed_fake_done(&f->log).seq, 6);
    CHECK_OK(exec_thread_new("sink", 0, &f->sink));
    fixture_catalogue(f);
    fixture_track(f);
    press(f, "B", 1, 1);
    press(f, "B", 0, 2);
    wait_all(f);
    CHECK_EQ(seen_count(f), 2);
    CHECK_STR(f->seen[1].serial, "B");
    CHECK_STR(f->seen[1].status, "exact");
    CHECK_STR(f->seen[1].evidence, "begin=edge end=edge serial=read:2 result=2");
    CHECK_EQ(f->seen[1].t_in, T0 + 5 * STEP);
    struct track_stats stats;
    track_stats_get(f->t, &stats);
    CHECK_EQ(stats.records, 2);
    fixture_free(f);
}

/* --------------------------------------------------------------------------------- configuration
 */

static void check_bad(const char *track, int want, const char *part)
{
    char text[1024];
    struct diag diag = {0};
    struct track_stage *t = NULL;
    struct track_options options = {.node = "n"};
    (void)snprintf(text, sizeof text, "name: n\ntracks:\n  - {name: p, station: s, %s}\n", track);
    struct fixture *f = fixture_new(text);
    CHECK_OK(track_new(&options, &t));
    CHECK_ERR(track_configure(t, f->config, &f->catalogue, &diag), want);
    if (!strstr(diag.text, part) || diag.line != 3)
        check_fail_at(__FILE__, __LINE__, "line %u: %s", diag.line, diag.text);
    f->t = t;
    fixture_free(f);
}

TEST(a_wrong_track_is_said_with_its_place_and_a_hint)
{
    check_bad("begin: {signal: plc.pres.cycle}, end: {signal: plc.press.cycle}", ERR_NOT_FOUND,
              "did you mean plc.press?");
    check_bad("begin: {signal: plc.press.cycel}, end: {signal: plc.press.cycle}", ERR_NOT_FOUND,
              "did you mean cycle?");
    check_bad("begin: {signal: cycle}, end: {signal: plc.press.cycle}", ERR_SYNTAX,
              "device.group.tag");
    check_bad("begin: {signal: plc.press.cycle, edge: up}, end: {signal: plc.press.cycle}",
              ERR_INVALID, "rising");
    check_bad("begin: {signal: plc.press.cycle}", ERR_INVALID, "end");
    check_bad("begin: {signal: plc.press.cycle}, end: {signal: plc.press.cycle}, signals: [no.no]",
              ERR_NOT_FOUND, "no.no");
}
