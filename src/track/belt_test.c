/* Belts: a small plant that knows where every unit truly is, polled as a PLC would be, and what the
 * track says of it. Stops, ramps, reversals, pulses and codes that are missing or there twice, gaps
 * and late readings, each with its exact answer; and any of it against the truth. */
#include "track/belt.h"

#include "base/rand.h"
#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0        INT64_C(1763800000000000)
#define POLL_MS   100
#define POLLS_MAX 2000
#define UNITS_MAX 40
#define SEEN_MAX  200
#define EXIT_MM   1000.0
#define LENGTH_MM 150.0

static const char config_plain[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: belt1, entry: {signal: plc.line.entry, unit: plc.line.code},\n"
    "     speed: {signal: plc.line.speed}, exit: {signal: plc.line.exit, tolerance_mm: 60},\n"
    "     places: [{station: oven, from_mm: 200, to_mm: 600},\n"
    "              {station: aoi, from_mm: 800, to_mm: 1000, place: hall/aoi}],\n"
    "     signals: {plc.line.zone: {from_mm: 200, to_mm: 400}}}\n";

static const char config_scanned[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: belt1, entry: {signal: plc.line.entry, unit: plc.line.code},\n"
    "     exit: {signal: plc.line.exit, at_mm: 1000, unit: plc.line.code_out}, wait: 30s,\n"
    "     speed: {signal: plc.line.speed}, places: [{station: oven, from_mm: 200, to_mm: 600}]}\n";

static const char config_slow[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: belt1, entry: {signal: plc.line.entry, unit: plc.line.code},\n"
    "     speed: {signal: drive.line.speed, scale: 0.1}, exit: {signal: plc.line.exit, at_mm: "
    "1000},\n"
    "     places: [{station: oven, from_mm: 200, to_mm: 600}]}\n";

/* ---------------------------------------------------------------------------------------- plant */

struct plant_unit {
    int entered; /* poll at which it was put on */
    const char *code;
    bool no_entry_pulse;
    bool no_exit_pulse;
    double mm[POLLS_MAX * POLL_MS + 1]; /* its true position, each ms */
};

struct plant {
    double speed[POLLS_MAX + 1]; /* mm/s at each poll; straight between them */
    double slip;                 /* the units move by so much more than the speed says */
    int polls;
    struct plant_unit *units;
    int unit_count;
    int gap_from; /* polls that were not made */
    int gap_to;
    int bounce; /* poll at which the entry's sensor is low for once, 0 none */
};

struct seen {
    char serial[64];
    char station[16];
    char place[32];
    char status[16];
    char evidence[160];
    double probability;
    double from_mm;
    int64_t t_in;
    int64_t t_out;
    int64_t revision;
    uint8_t unit[TRACK_UNIT_BYTES];
    struct path path;
};

struct bench {
    struct config *config;
    struct catalogue catalogue;
    struct schema *line;
    struct schema *drive;
    struct arena arena;
    struct track *track;
    struct track_stats stats;
    struct plant plant;
    uint64_t seq;
    struct seen seen[SEEN_MAX];
    int count;
};

static void plant_put(struct bench *t, int poll, const char *code)
{
    struct plant *p = &t->plant;
    CHECK(p->unit_count < UNITS_MAX);
    struct plant_unit *u = &p->units[p->unit_count++];
    *u = (struct plant_unit){.entered = poll, .code = code};
}

static void plant_speed(struct bench *t, int from, int to, double speed)
{
    for (int i = from; i <= to; i++)
        t->plant.speed[i] = speed;
}

/* The speed is straight between polls, so the sum over each millisecond is exact. */
static void plant_go(struct plant *p)
{
    for (int k = 0; k < p->unit_count; k++) {
        struct plant_unit *u = &p->units[k];
        double mm = 0;
        for (int ms = 0; ms < p->polls * POLL_MS; ms++) {
            int poll = ms / POLL_MS;
            double middle = (ms % POLL_MS + 0.5) / POLL_MS;
            double speed = p->speed[poll] + (p->speed[poll + 1] - p->speed[poll]) * middle;
            u->mm[ms] = mm;
            if (ms >= u->entered * POLL_MS)
                mm += speed * (1 + p->slip) / 1000;
        }
        u->mm[p->polls * POLL_MS] = mm;
    }
}

static bool is_over(const struct plant_unit *u, int poll, double at_mm)
{
    double mm = u->mm[poll * POLL_MS] + 1e-6;
    return poll >= u->entered && mm >= at_mm && mm < at_mm + LENGTH_MM;
}

static bool sensor(const struct plant *p, int poll, bool exit)
{
    if (!exit && p->bounce && poll == p->bounce)
        return false;
    for (int k = 0; k < p->unit_count; k++) {
        const struct plant_unit *u = &p->units[k];
        if (is_over(u, poll, exit ? EXIT_MM : 0) && !(exit ? u->no_exit_pulse : u->no_entry_pulse))
            return true;
    }
    return false;
}

/* The code of the last unit that passed there; the scanner keeps it. */
static const char *scanner(const struct plant *p, int poll, bool exit)
{
    const char *code = "";
    for (int k = 0; k < p->unit_count; k++)
        if (poll >= p->units[k].entered &&
            (!exit || p->units[k].mm[poll * POLL_MS] + 1e-6 >= EXIT_MM))
            code = p->units[k].code;
    return code;
}

/* When it first was in the place, and last: ms, to the ms. */
static bool truth(const struct plant *p, const struct plant_unit *u, double from, double to,
                  int *ret_in, int *ret_out)
{
    *ret_in = -1;
    for (int ms = u->entered * POLL_MS; ms <= p->polls * POLL_MS; ms++) {
        if (u->mm[ms] < from - 1e-6)
            continue;
        if (u->mm[ms] >= EXIT_MM - 1e-6)
            break;
        if (u->mm[ms] >= to - 1e-6)
            continue;
        if (*ret_in < 0)
            *ret_in = ms;
        *ret_out = ms + 1;
    }
    return *ret_in >= 0;
}

/* ---------------------------------------------------------------------------------------- bench */

static struct bench *bench_new(const char *config)
{
    const struct field line[] = {
        {.name = "entry", .type = VALUE_BOOL},
        {.name = "exit", .type = VALUE_BOOL},
        {.name = "speed", .type = VALUE_DOUBLE},
        {.name = "code", .type = VALUE_BYTES, .flags = FIELD_TEXT},
        {.name = "code_out", .type = VALUE_STRING},
        {.name = "zone", .type = VALUE_DOUBLE},
    };
    const struct field drive[] = {{.name = "speed", .type = VALUE_INT64}};
    struct bench *t = calloc(1, sizeof *t);
    struct diag diag = {0};
    struct stream *s = NULL;
    CHECK(t != NULL);
    t->plant.units = calloc(UNITS_MAX, sizeof *t->plant.units);
    CHECK(t->plant.units != NULL);
    if (config_parse("t.yaml", bytes_of_text(config), &t->config, &diag))
        check_fail_at(__FILE__, __LINE__, "config: %s", diag.text);
    CHECK_OK(schema_new(line, 6, &t->line));
    CHECK_OK(schema_new(drive, 1, &t->drive));
    CHECK_OK(catalogue_init(&t->catalogue, "n"));
    CHECK_OK(
        catalogue_stream_add(&t->catalogue, "plc.line", STREAM_GROUP, "plant/line", t->line, &s));
    CHECK_OK(catalogue_stream_add(&t->catalogue, "drive.line", STREAM_GROUP, "", t->drive, &s));
    return t;
}

static void bench_track(struct bench *t)
{
    struct diag diag = {0};
    const struct config_object *object = config_object_at(t->config, CONFIG_TRACK, 0);
    if (track_make(object, &t->arena, &t->catalogue, &diag, &t->track))
        check_fail_at(__FILE__, __LINE__, "%u:%u %s", diag.line, diag.column, diag.text);
    t->track->stats = &t->stats;
}

static void bench_free(struct bench *t)
{
    track_drop(t->track);
    for (int i = 0; i < t->count; i++)
        path_fini(&t->seen[i].path);
    catalogue_fini(&t->catalogue);
    schema_unref(t->line);
    schema_unref(t->drive);
    config_free(t->config);
    arena_fini(&t->arena);
    free(t->plant.units);
    free(t);
}

static struct batch *line_row(struct bench *t, int poll, bool speed)
{
    struct plant *p = &t->plant;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(t->line, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, T0 + poll * INT64_C(1000) * POLL_MS) >= 0);
    batch_set_bool(bb, 0, sensor(p, poll, false));
    batch_set_bool(bb, 1, sensor(p, poll, true));
    if (speed)
        batch_set_f64(bb, 2, p->speed[poll]);
    CHECK_OK(batch_set_bytes(bb, 3, bytes_of_text(scanner(p, poll, false))));
    CHECK_OK(batch_set_bytes(bb, 4, bytes_of_text(scanner(p, poll, true))));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

static void copy_cell(char *out, size_t size, const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    struct bytes v = column_bytes(&c, row);
    (void)snprintf(out, size, "%.*s", (int)v.len, (const char *)v.ptr);
}

static int64_t cell_i64(const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    return column_value(&c, row).i64;
}

static double cell_f64(const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    return column_value(&c, row).f64;
}

static void seen_add(struct bench *t, const struct batch *b, uint32_t row)
{
    CHECK(t->count < SEEN_MAX);
    struct seen *s = &t->seen[t->count++];
    struct column unit = batch_column(b, TRACK_UNIT);
    struct column path = batch_column(b, TRACK_PATH);
    copy_cell(s->serial, sizeof s->serial, b, TRACK_SERIAL, row);
    copy_cell(s->station, sizeof s->station, b, TRACK_STATION, row);
    copy_cell(s->place, sizeof s->place, b, TRACK_PLACE, row);
    copy_cell(s->status, sizeof s->status, b, TRACK_STATUS, row);
    copy_cell(s->evidence, sizeof s->evidence, b, TRACK_EVIDENCE, row);
    s->t_in = cell_i64(b, TRACK_T_IN, row);
    s->t_out = cell_i64(b, TRACK_T_OUT, row);
    s->revision = cell_i64(b, TRACK_REVISION, row);
    s->probability = cell_f64(b, TRACK_PROBABILITY, row);
    s->from_mm = cell_f64(b, TRACK_FROM_MM, row);
    memcpy(s->unit, column_bytes(&unit, row).ptr, TRACK_UNIT_BYTES);
    CHECK_OK(path_decode(column_bytes(&path, row), &s->path));
}

static void bench_take(struct bench *t, const char *stream, struct batch *b)
{
    struct batch *out = NULL;
    CHECK_OK(track_record(t->track, (struct position){1, ++t->seq}, bytes_of_text(stream), b));
    batch_unref(b);
    if (batch_builder_rows(t->track->builder) == 0)
        return;
    CHECK_OK(batch_builder_finish(t->track->builder, &out));
    for (uint32_t i = 0; i < out->rows; i++)
        seen_add(t, out, i);
    batch_unref(out);
}

static void bench_poll(struct bench *t, int from, int to)
{
    for (int i = from; i < to; i++)
        if (i < t->plant.gap_from || i >= t->plant.gap_to)
            bench_take(t, "plc.line", line_row(t, i, true));
}

/* The whole plant through a new track. */
static void bench_run(struct bench *t)
{
    plant_go(&t->plant);
    bench_track(t);
    bench_poll(t, 0, t->plant.polls);
}

/* A plant of `seconds` at 100 mm/s with a unit put on after one second. */
static struct bench *bench_even(const char *config, int seconds)
{
    struct bench *t = bench_new(config);
    t->plant.polls = seconds * 10;
    plant_speed(t, 0, t->plant.polls, 100);
    plant_put(t, 10, "A");
    return t;
}

static void check_times(const struct seen *s, int in_ms, int out_ms)
{
    CHECK_EQ(s->t_in, T0 + in_ms * INT64_C(1000));
    CHECK_EQ(s->t_out, T0 + out_ms * INT64_C(1000));
}

static void check_truth(const struct bench *t, const struct seen *s, int unit, int64_t off_ms)
{
    int in = 0;
    int out = 0;
    bool oven = strcmp(s->station, "oven") == 0;
    CHECK(truth(&t->plant, &t->plant.units[unit], oven ? 200 : 800, oven ? 600 : 1000, &in, &out));
    if (llabs(s->t_in - T0 - in * INT64_C(1000)) > off_ms * 1000 ||
        llabs(s->t_out - T0 - out * INT64_C(1000)) > off_ms * 1000)
        check_fail_at(__FILE__, __LINE__, "unit %d at %s: [%lld, %lld) ms instead of [%d, %d)",
                      unit, s->station, (long long)(s->t_in - T0) / 1000,
                      (long long)(s->t_out - T0) / 1000, in, out);
}

/* ------------------------------------------------------------------------------------------ tests
 */

TEST(an_even_belt_gives_a_presence_a_place)
{
    struct bench *t = bench_even(config_plain, 15);
    bench_run(t);
    CHECK_EQ(t->count, 2);
    check_times(&t->seen[0], 3000, 7000);
    check_times(&t->seen[1], 9000, 11000);
    CHECK_STR(t->seen[0].station, "oven");
    CHECK_STR(t->seen[0].place, "plant/line");
    CHECK_STR(t->seen[1].place, "hall/aoi");
    CHECK_STR(t->seen[0].serial, "A");
    CHECK_STR(t->seen[0].status, "inferred"); /* the code was read before the oven */
    CHECK_NEAR(t->seen[0].probability, 1, 0);
    CHECK_STR(t->seen[0].evidence, "entry=edge exit=edge error=0.0mm serial=read:100");
    CHECK_EQ(t->seen[0].revision, 1);
    CHECK_NEAR(t->seen[1].from_mm, 800, 0);
    CHECK_MEM(t->seen[0].unit, t->seen[1].unit, TRACK_UNIT_BYTES);
    CHECK_EQ(t->seen[0].path.count, 2);
    CHECK_NEAR(t->seen[0].path.points[1].mm, 1000, 0.001);
    CHECK_EQ(t->track->stream->signal_count, 1);
    CHECK_STR(t->track->stream->signals[0].stream, "plc.line");
    CHECK_STR(t->track->stream->signals[0].column, "zone");
    bench_free(t);
}

TEST(a_stop_and_a_restart_move_the_interval)
{
    struct bench *t = bench_even(config_plain, 30);
    plant_speed(t, 51, 150, 0); /* down within 5.0 … 5.1 s, up again within 15.0 … 15.1 s */
    bench_run(t);
    CHECK_EQ(t->count, 2);
    check_truth(t, &t->seen[0], 0, 1);
    check_times(&t->seen[0], 3000, 17000); /* 400 mm: 2.0 s + 5 mm + 5 mm + 1.9 s */
    check_times(&t->seen[1], 19000, 21000);
    CHECK(t->seen[0].path.count <= 16);
    bench_free(t);
}

TEST(a_ramp_is_integrated)
{
    struct bench *t = bench_even(config_plain, 30);
    for (int i = 0; i <= 300; i++)
        t->plant.speed[i] = 20 + i;
    bench_run(t);
    CHECK_EQ(t->count, 2);
    /* From 1 s on: 30 t + 5 t² = 200 and 600; at the exit the edge is seen up to a poll later. */
    CHECK_NEAR((double)(t->seen[0].t_in - T0) / 1e6, 1 + (-30 + sqrt(900 + 4000)) / 10, 0.05);
    CHECK_NEAR((double)(t->seen[0].t_out - T0) / 1e6, 1 + (-30 + sqrt(900 + 12000)) / 10, 0.1);
    bench_free(t);
}

TEST(a_reversal_is_within_the_interval_and_said)
{
    struct bench *t = bench_even(config_plain, 40);
    plant_speed(t, 41, 60, -100); /* turns at 302.5 mm, back out of the oven */
    bench_run(t);
    CHECK_EQ(t->count, 2);
    check_truth(t, &t->seen[0], 0, 1);
    CHECK_EQ(t->seen[0].t_in, T0 + 3000 * INT64_C(1000));
    CHECK(strstr(t->seen[0].evidence, "back=195.0mm") != NULL);
    CHECK(strstr(t->seen[0].evidence, "visits=2") != NULL);
    CHECK_STR(t->seen[0].status, "inferred");
    CHECK_EQ(t->stats.ghosts, 0);
    CHECK_EQ(t->stats.lost, 0);
    bench_free(t);
}

TEST(a_unit_that_jogs_over_the_sensors_is_still_one)
{
    struct bench *t = bench_even(config_plain, 40);
    plant_speed(t, 11, 13, -100); /* back over the entry */
    plant_speed(t, 14, 16, 100);
    plant_speed(t, 116, 119, -100); /* and over the exit */
    bench_run(t);
    CHECK_EQ(t->count, 2);
    CHECK_EQ(t->stats.ghosts, 0);
    CHECK_EQ(t->stats.lost, 0);
    CHECK(t->stats.bounces >= 1);
    bench_free(t);
}

TEST(without_an_entry_pulse_the_pass_is_reckoned_back_from_the_exit)
{
    struct bench *t = bench_even(config_plain, 15);
    t->plant.units[0].no_entry_pulse = true;
    bench_run(t);
    CHECK_EQ(t->count, 2);
    check_times(&t->seen[0], 3000, 7000);
    CHECK_STR(t->seen[0].status, "missing");
    CHECK_STR(t->seen[0].evidence, "entry=unseen exit=edge serial=unread");
    CHECK_EQ(t->seen[0].serial[0], '?');
    CHECK_EQ(t->stats.ghosts, 1);
    bench_free(t);
}

TEST(a_code_without_a_pulse_is_of_a_unit_that_entered_unseen)
{
    struct bench *t = bench_even(config_plain, 25);
    plant_put(t, 60, "B");
    t->plant.units[1].no_entry_pulse = true;
    bench_run(t);
    CHECK_EQ(t->count, 4);
    check_times(&t->seen[0], 3000, 7000);
    CHECK_STR(t->seen[0].serial, "A");
    CHECK_STR(t->seen[0].status, "inferred"); /* nothing of B's is in it */
    CHECK_NEAR(t->seen[0].probability, 1, 0);
    check_times(&t->seen[2], 8000, 12000);
    CHECK_STR(t->seen[2].serial, "B");
    CHECK_STR(t->seen[2].status, "missing");
    CHECK(strstr(t->seen[2].evidence, "entry=unseen exit=edge") != NULL);
    CHECK_EQ(t->stats.ghosts, 1);
    CHECK_EQ(t->stats.lost, 0);
    bench_free(t);
}

TEST(a_unit_that_entered_while_nobody_looked_is_told_once)
{
    struct bench *t = bench_even(config_plain, 30);
    plant_put(t, 60, "B");
    t->plant.gap_from = 50; /* B enters, and has passed the sensor when it is looked at again */
    t->plant.gap_to = 85;
    bench_run(t);
    CHECK_EQ(t->count, 4);
    CHECK_STR(t->seen[0].serial, "A");
    check_truth(t, &t->seen[0], 0, 1);
    CHECK_STR(t->seen[2].serial, "B");
    CHECK_STR(t->seen[2].status, "missing");
    check_truth(t, &t->seen[2], 1, 1); /* the exit says when it was where */
    CHECK_EQ(t->stats.lost, 0);
    bench_free(t);
}

TEST(without_an_exit_pulse_the_unit_is_lost_and_the_next_one_is_not)
{
    struct bench *t = bench_even(config_plain, 25);
    plant_put(t, 60, "B");
    t->plant.units[0].no_exit_pulse = true;
    bench_run(t);
    CHECK_EQ(t->count, 4);
    check_times(&t->seen[0], 3000, 7000);
    CHECK_STR(t->seen[0].serial, "A");
    CHECK_STR(t->seen[0].status, "inferred");
    CHECK_NEAR(t->seen[0].probability, 0.5, 0);
    CHECK_STR(t->seen[0].evidence, "entry=edge exit=unseen serial=read:50");
    check_times(&t->seen[2], 8000, 12000);
    CHECK_STR(t->seen[2].serial, "B");
    CHECK_NEAR(t->seen[2].probability, 1, 0);
    CHECK_EQ(t->stats.lost, 1);
    CHECK_EQ(t->stats.ghosts, 0);
    bench_free(t);
}

TEST(a_double_pulse_is_one_unit)
{
    struct bench *t = bench_even(config_plain, 20);
    plant_speed(t, 11, 20, 10); /* slow while the sensor flickers, 7 mm behind the pulse */
    t->plant.bounce = 11;
    bench_run(t);
    CHECK_EQ(t->count, 2);
    CHECK_EQ(t->stats.bounces, 1);
    CHECK(strstr(t->seen[0].evidence, "pulses=2") != NULL);
    bench_free(t);
}

TEST(a_code_that_was_not_read_comes_from_the_scan_at_the_exit)
{
    struct bench *t = bench_even(config_scanned, 30);
    t->plant.units[0].code = "";
    plant_put(t, 60, "B");
    bench_run(t);
    CHECK_EQ(t->count, 2);
    CHECK_EQ(t->seen[0].serial[0], '?'); /* nowhere read */
    CHECK_NEAR(t->seen[0].probability, 0, 0);
    CHECK_STR(t->seen[1].serial, "B"); /* read on both sides */
    CHECK_STR(t->seen[1].status, "exact");
    bench_free(t);

    t = bench_even(config_scanned, 30);
    bench_track(t);
    plant_go(&t->plant);
    for (int i = 0; i < 300; i++) {
        t->plant.units[0].code = i < 110 ? "" : "A"; /* the scanner at the entry is dead */
        bench_poll(t, i, i + 1);
    }
    CHECK_EQ(t->count, 1);
    CHECK_STR(t->seen[0].serial, "A");
    CHECK_STR(t->seen[0].status, "inferred");
    CHECK_NEAR(t->seen[0].probability, 1, 0);
    CHECK(strstr(t->seen[0].evidence, "serial=unread exit: serial=read:") != NULL);
    bench_free(t);
}

TEST(a_scanner_in_the_middle_reads_who_passes_it)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - {name: belt1, entry: {signal: plc.line.entry},\n"
        "     exit: {signal: plc.line.exit, at_mm: 1000, unit: plc.line.code, unit_mm: 500},\n"
        "     speed: {signal: plc.line.speed}, places: [{station: oven, from_mm: 200, to_mm: "
        "600},\n"
        "     {station: aoi, from_mm: 800, to_mm: 1000}]}\n";
    struct bench *t = bench_even(config, 40);
    plant_put(t, 30, "B"); /* 200 mm behind: both are on the belt when A is scanned */
    plant_put(t, 50, "C");
    plant_go(&t->plant);
    bench_track(t);
    for (int i = 0; i < 400; i++) {
        struct plant_unit *u = t->plant.units;
        /* Each code shows from when its unit passes 520 mm, and until the next one does. */
        u[0].code = u[1].code = u[2].code = i < 62 ? "" : i < 82 ? "A" : i < 102 ? "B" : "C";
        bench_poll(t, i, i + 1);
    }
    CHECK_EQ(t->count, 6);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(t->seen[i].serial[0], "AABBCC"[i]);
        CHECK_STR(t->seen[i].status, i % 2 ? "inferred" : "exact"); /* the scanner is in the oven */
        CHECK_NEAR(t->seen[i].probability, 1, 0);
    }
    bench_free(t);
}

TEST(a_serial_of_the_next_unit_that_is_read_early_is_the_next_units)
{
    struct bench *t = bench_even(config_plain, 30);
    plant_put(t, 60, "B");
    plant_go(&t->plant);
    bench_track(t);
    for (int i = 0; i < 300; i++) {
        t->plant.units[0].code = i >= 58 ? "B" : "A"; /* two polls before B is seen */
        bench_poll(t, i, i + 1);
    }
    CHECK_EQ(t->count, 4);
    CHECK_STR(t->seen[0].serial, "A");
    CHECK_STR(t->seen[0].status, "inferred");
    CHECK_NEAR(t->seen[0].probability, 1, 0);
    CHECK_STR(t->seen[2].serial, "B");
    CHECK_NEAR(t->seen[2].probability, 1, 0);
    bench_free(t);
}

TEST(a_scanner_reaches_so_far_and_a_pulse_counts_once_in_so_long)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - {name: belt1, speed: {signal: plc.line.speed},\n"
        "     entry: {signal: plc.line.entry, edge: falling, at_mm: 150, unit: plc.line.code,\n"
        "             unit_mm: 200, reach_mm: 95, debounce: 2s, debounce_mm: 0},\n"
        "     exit: {signal: plc.line.exit, at_mm: 1120},\n"
        "     places: [{station: oven, from_mm: 200, to_mm: 600}]}\n";
    struct bench *t = bench_even(config, 30);
    t->plant.bounce = 13; /* once low while the unit is over the sensor: the end comes at 2.5 s */
    bench_run(t);
    CHECK_EQ(t->count, 1);
    CHECK_EQ(t->stats.bounces, 1);
    CHECK_EQ(t->seen[0].path.points[0].time_us, T0 + 1300 * INT64_C(1000));
    /* Read at 1.3 … 2.7 s: from 150 to 290 mm as the track has it. */
    CHECK(strstr(t->seen[0].evidence, "serial=read:15") != NULL);
    CHECK_STR(t->seen[0].status, "exact"); /* the scanner stands in the oven */
    bench_free(t);
}

TEST(what_the_speed_is_wrong_by_is_spread_over_the_pass)
{
    struct bench *t = bench_even(config_plain, 20);
    t->plant.slip = -0.02; /* units are 2 % slower than the belt says: 10.204 s for 1000 mm */
    bench_run(t);
    CHECK_EQ(t->count, 2);
    check_truth(t, &t->seen[0], 0, 60); /* the exit's edge is seen at 11.3 instead of 11.204 s */
    CHECK(strstr(t->seen[0].evidence, "error=30.0mm") != NULL);
    check_times(&t->seen[1], 1000 + 8240, 11300);
    bench_free(t);
}

TEST(two_units_that_may_both_have_been_it_are_ambiguous)
{
    struct bench *t = bench_new(config_plain);
    t->plant.polls = 300;
    plant_speed(t, 0, 300, 100);
    plant_put(t, 10, "A");
    plant_put(t, 12, "B"); /* 20 mm behind; one long pulse */
    plant_go(&t->plant);
    bench_track(t);
    for (int i = 0; i < 300; i++) {
        t->plant.bounce = i == 11 ? 11 : 0; /* the sensor sees a slit between them */
        bench_poll(t, i, i + 1);
    }
    CHECK_EQ(t->count, 4);
    CHECK_STR(t->seen[0].serial, "A");
    CHECK_STR(t->seen[0].status, "ambiguous");
    CHECK(t->seen[0].probability > 0.5 && t->seen[0].probability < 0.7);
    CHECK_EQ(t->stats.lost, 1); /* the exit gave one pulse for both */
    bench_free(t);
}

TEST(a_gap_in_the_readings_is_bridged_and_said)
{
    struct bench *t = bench_even(config_plain, 20);
    t->plant.gap_from = 40;
    t->plant.gap_to = 65; /* 2.6 s inside the oven's 4 s */
    bench_run(t);
    CHECK_EQ(t->count, 2);
    check_times(&t->seen[0], 3000, 7000);
    CHECK_STR(t->seen[0].status, "missing"); /* more than half of it */
    CHECK(strstr(t->seen[0].evidence, "gap=2600ms") != NULL);
    CHECK_STR(t->seen[1].status, "inferred");
    CHECK(strstr(t->seen[1].evidence, "gap") == NULL);
    bench_free(t);
}

TEST(a_slow_stream_with_the_speed_is_waited_for)
{
    struct bench *t = bench_even(config_slow, 30);
    plant_speed(t, 51, 150, 0);
    plant_go(&t->plant);
    bench_track(t);
    for (int i = 0; i < 300; i++) {
        bench_take(t, "plc.line", line_row(t, i, false));
        for (int k = i - 14; k >= 0 && i % 10 == 9 && k < i - 4; k++) { /* ten at a time, late */
            struct batch_builder *bb = NULL;
            struct batch *b = NULL;
            CHECK_OK(batch_builder_new(t->drive, 1, NULL, &bb));
            CHECK(batch_builder_row(bb, T0 + k * INT64_C(1000) * POLL_MS) >= 0);
            batch_set_i64(bb, 0, (int64_t)t->plant.speed[k] * 10);
            CHECK_OK(batch_builder_finish(bb, &b));
            batch_builder_free(bb);
            bench_take(t, "drive.line", b);
        }
    }
    CHECK_EQ(t->count, 1);
    check_times(&t->seen[0], 3000, 17000);
    CHECK_EQ(t->stats.late, 0);
    bench_free(t);
}

static struct bench *bench_many(void)
{
    static const char *const codes[] = {"B", "C", "D", "E", "F"};
    struct bench *t = bench_even(config_plain, 50);
    for (int i = 0; i < 5; i++)
        plant_put(t, 50 + 40 * i, codes[i]);
    return t;
}

/* What a publisher did not see acknowledged comes again, after what it had sent since. */
TEST(readings_that_come_again_change_nothing)
{
    struct bench *once = bench_many();
    bench_run(once);
    for (int back = 5; back <= 155; back += 15) {
        struct bench *t = bench_many();
        plant_go(&t->plant);
        bench_track(t);
        for (int i = 0; i < t->plant.polls; i++) {
            bench_poll(t, i, i + 1);
            if (i % 10 == 9 && i > back)
                bench_poll(t, i - back, i + 1);
        }
        CHECK_EQ(t->count, once->count);
        for (int i = 0; i < t->count; i++) {
            CHECK_STR(t->seen[i].serial, once->seen[i].serial);
            CHECK_STR(t->seen[i].status, once->seen[i].status);
            CHECK_EQ(t->seen[i].t_in, once->seen[i].t_in);
            CHECK_EQ(t->seen[i].t_out, once->seen[i].t_out);
        }
        CHECK(t->stats.late > 0);
        CHECK_EQ(t->stats.ghosts, 0);
        bench_free(t);
    }
    bench_free(once);
}

TEST(a_stopped_belt_tells_what_it_knows_and_corrects_it_later)
{
    struct bench *t = bench_even(config_scanned, 120);
    plant_speed(t, 81, 900, 0); /* behind the oven */
    plant_go(&t->plant);
    bench_track(t);
    bench_poll(t, 0, 400);
    CHECK_EQ(t->count, 1);
    CHECK_EQ(t->seen[0].revision, 1);
    check_times(&t->seen[0], 3000, 7000);
    CHECK_STR(t->seen[0].evidence,
              "entry=edge exit=waited-for serial=read:301 exit: serial=unread");
    bench_poll(t, 400, 1200);
    CHECK_EQ(t->count, 2);
    CHECK_EQ(t->seen[1].revision, 2);
    CHECK_STR(t->seen[1].status, "exact");
    CHECK_MEM(t->seen[0].unit, t->seen[1].unit, TRACK_UNIT_BYTES);
    bench_free(t);
}

TEST(a_belt_of_which_no_speed_is_known_stands_still)
{
    struct bench *t = bench_even(config_plain, 30);
    plant_go(&t->plant);
    bench_track(t);
    for (int i = 0; i < 300; i++)
        bench_take(t, "plc.line", line_row(t, i, false));
    CHECK_EQ(t->count, 0);
    CHECK_EQ(t->stats.ghosts, 1); /* the unit left, and nobody knows when it was where */
    bench_free(t);
}

/* ------------------------------------------------------------------------------- after a restart
 */

static struct bench *bench_busy(void)
{
    struct bench *t = bench_even(config_scanned, 40);
    plant_speed(t, 51, 80, 0);
    plant_speed(t, 120, 125, -50);
    plant_put(t, 40, "B");
    plant_put(t, 95, "C");
    return t;
}

static void seen_same(const struct seen *a, const struct seen *b)
{
    CHECK_STR(a->serial, b->serial);
    CHECK_STR(a->status, b->status);
    CHECK_STR(a->evidence, b->evidence);
    CHECK_EQ(a->t_in, b->t_in);
    CHECK_EQ(a->t_out, b->t_out);
    CHECK_EQ(a->path.count, b->path.count);
    CHECK_MEM(a->unit, b->unit, TRACK_UNIT_BYTES);
}

TEST(a_checkpoint_at_any_record_leads_to_the_same_presences)
{
    struct bench *whole = bench_busy();
    bench_run(whole);
    CHECK_EQ(whole->count, 3);
    for (int cut = 5; cut < 400; cut += 13) {
        struct bench *t = bench_busy();
        struct buf blob = {0};
        plant_go(&t->plant);
        bench_track(t);
        bench_poll(t, 0, cut);
        CHECK_OK(checkpoint_encode(t->track, &blob));
        track_reset(t->track);
        CHECK_OK(checkpoint_decode(t->track, buf_bytes(&blob)));
        bench_poll(t, cut, 400);
        CHECK_EQ(t->count, whole->count);
        for (int i = 0; i < t->count; i++)
            seen_same(&t->seen[i], &whole->seen[i]);
        for (size_t len = 0; len < blob.len; len += 1 + len / 40)
            CHECK(checkpoint_decode(t->track, bytes_of(blob.ptr, len)) != OK);
        buf_fini(&blob);
        bench_free(t);
    }
    bench_free(whole);
}

/* --------------------------------------------------------------------------------- against truth
 */

static void property_plant(struct bench *t, struct rand *rand)
{
    static const char *const codes[] = {"U0", "U1", "U2", "U3", "U4", "U5", "U6", "U7"};
    struct plant *p = &t->plant;
    p->polls = POLLS_MAX;
    int poll = 0;
    while (poll < p->polls) {
        uint64_t what = rand_below(rand, 8);
        double speed = what == 0 ? 0 : what == 1 ? -20 : 50 + (double)rand_below(rand, 60);
        int until = poll + 5 + (int)rand_below(rand, what <= 1 ? 20 : 60);
        for (; poll <= until && poll <= p->polls; poll++)
            p->speed[poll] = speed;
    }
    plant_speed(t, p->polls - 400, p->polls, 100); /* all come out */
    double way = 0;
    double next = 0;
    for (int i = 1; i < p->polls - 500 && p->unit_count < 8; i++) {
        way += (p->speed[i] + p->speed[i + 1]) / 2 / 10;
        if (way < next || p->speed[i] < 50 || p->speed[i + 1] < 50)
            continue;
        plant_put(t, i, codes[p->unit_count]);
        next = way + 320 + (double)rand_below(rand, 300);
    }
}

/* Where the unit truly was at t_in and t_out: pulses are seen up to a poll late, at 110 mm/s. */
static void check_way(const struct bench *t, const struct seen *s, int unit)
{
    const struct plant_unit *u = &t->plant.units[unit];
    bool oven = strcmp(s->station, "oven") == 0;
    CHECK_NEAR(u->mm[(s->t_in - T0) / 1000], oven ? 200 : 800, 11.5);
    CHECK_NEAR(u->mm[(s->t_out - T0) / 1000], oven ? 600 : 1000, 11.5);
    for (int ms = u->entered * POLL_MS + POLL_MS; ms < (s->t_out - T0) / 1000; ms += 50) {
        double mm = 0;
        CHECK(path_mm(&s->path, T0 + ms * INT64_C(1000), &mm));
        CHECK_NEAR(mm, u->mm[ms], 11.5);
    }
}

TEST(any_belt_agrees_with_where_the_units_truly_were)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct bench *t = bench_new(config_plain);
        struct rand rand;
        rand_seed(&rand, seed);
        property_plant(t, &rand);
        bench_run(t);
        CHECK_EQ(t->stats.lost, 0);
        CHECK_EQ(t->stats.ghosts, 0);
        CHECK_EQ(t->count, 2 * t->plant.unit_count);
        for (int i = 0; i < t->count; i++) {
            CHECK_STR(t->seen[i].serial, t->plant.units[i / 2].code);
            check_way(t, &t->seen[i], i / 2);
        }
        bench_free(t);
    }
}

/* ---------------------------------------------------------------------------------- configuration
 */

static void check_bad(const char *belt, int want, const char *part)
{
    char text[1024];
    struct diag diag = {0};
    struct arena arena = {0};
    struct track *track = NULL;
    (void)snprintf(text, sizeof text, "name: n\ntracks:\n  - {name: b, %s}\n", belt);
    struct bench *t = bench_new(text);
    int err = track_make(config_object_at(t->config, CONFIG_TRACK, 0), &arena, &t->catalogue, &diag,
                         &track);
    if (err != want || !strstr(diag.text, part) || diag.line != 3)
        check_fail_at(__FILE__, __LINE__, "%d, line %u: %s", err, diag.line, diag.text);
    track_drop(track);
    arena_fini(&arena);
    bench_free(t);
}

#define GATES                                                                                      \
    "entry: {signal: plc.line.entry}, speed: {signal: plc.line.speed}, exit: {signal: "            \
    "plc.line.exit}, "

TEST(a_wrong_belt_is_said_with_its_place_and_a_hint)
{
    check_bad("entry: {signal: plc.line.entry}, exit: {signal: plc.line.exit}, places: []",
              ERR_INVALID, "speed");
    check_bad(GATES "places: []", ERR_TYPE, "places is a list");
    check_bad(GATES "places: [{station: a, from_mm: 5, to_mm: 5}]", ERR_RANGE, "must be above");
    check_bad(GATES "places: [{station: a, from_mm: -1, to_mm: 5}]", ERR_RANGE, "before the entry");
    check_bad(GATES
              "places: [{station: a, from_mm: 0, to_mm: 5}, {station: a, from_mm: 5, to_mm: 9}]",
              ERR_EXISTS, "already");
    check_bad(GATES "places: [{station: a, from_mm: 0, to_mm: 9}], "
                    "signals: {plc.line.zon: {from_mm: 0, to_mm: 9}}",
              ERR_NOT_FOUND, "did you mean zone?");
    check_bad(GATES "places: [{station: a, from_mm: 0, to_mm: 9}], "
                    "signals: {plc.line.zone: {from_mm: 0, to_mm: 10}}",
              ERR_RANGE, "behind the exit, which is at 9 mm");
    check_bad(GATES "places: [{station: a, from_mm: 0, to_mm: 9}], signals: [plc.line.zone]",
              ERR_TYPE, "have places");
    check_bad("entry: {signal: plc.line.entry, at_mm: 9}, speed: {signal: plc.line.speed}, exit: "
              "{signal: plc.line.exit}, places: [{station: a, from_mm: 0, to_mm: 9}]",
              ERR_RANGE, "must stand behind the entry");
    check_bad("entry: {signal: plc.line.entry}, speed: {signal: plc.line.spede}, exit: "
              "{signal: plc.line.exit}, places: [{station: a, from_mm: 0, to_mm: 9}]",
              ERR_NOT_FOUND, "did you mean speed?");
}

/* --------------------------------------------------------------------------------------- the cost
 */

/* A thousand units on a belt that stands: readings cost no more than with one. */
TEST(a_long_belt_holds_a_thousand_units)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - {name: belt1, entry: {signal: plc.line.entry, unit: plc.line.code},\n"
        "     speed: {signal: plc.line.speed}, exit: {signal: plc.line.exit},\n"
        "     places: [{station: oven, from_mm: 100, to_mm: 100000}]}\n";
    struct bench *t = bench_new(config);
    struct buf blob = {0};
    bench_track(t);
    for (int i = 0; i < 4000; i++) {
        struct batch_builder *bb = NULL;
        struct batch *b = NULL;
        char code[16];
        bool leaves = i > 2000 && i % 2;
        (void)snprintf(code, sizeof code, "U%d", i / 2);
        CHECK_OK(batch_builder_new(t->line, 1, NULL, &bb));
        CHECK(batch_builder_row(bb, T0 + i * INT64_C(500000)) >= 0);
        batch_set_bool(bb, 0, i && i % 2 == 0); /* one a second, 100 mm apart */
        batch_set_bool(bb, 1, i > 2000 && i % 2 == 0);
        batch_set_f64(bb, 2, 100);
        CHECK_OK(batch_set_bytes(bb, 3, bytes_of_text(code)));
        CHECK_OK(batch_builder_finish(bb, &b));
        batch_builder_free(bb);
        bench_take(t, "plc.line", b);
        CHECK(!leaves || t->count == (i - 1) / 2 - 1000);
        if (t->count == SEEN_MAX)
            break;
    }
    CHECK_EQ(t->count, SEEN_MAX);
    CHECK_STR(t->seen[SEEN_MAX - 1].serial, "U200");
    check_times(&t->seen[SEEN_MAX - 1], 200000 + 1000, 200000 + 1000000);
    CHECK_OK(checkpoint_encode(t->track, &blob));
    CHECK(blob.len < 1000 * 200);
    buf_fini(&blob);
    bench_free(t);
}
