/* Lines: gates, codes and speeds polled as a PLC would show them, and what the track says of them.
 * The edge cases of a floor that is not ideal, each with its exact answer; checkpoints at any
 * record; configurations that are wrong. */
#include "base/rand.h"
#include "tests/support/line_bench.h"

/* ------------------------------------------------------------------------------------------ cases
 */

TEST(a_unit_passes_belts_and_stations)
{
    struct bench *t = bench_new(config_row, 30);
    row_unit(t, 1000, "A");
    bench_run(t);
    CHECK_EQ(t->count, 3);
    CHECK_STAY(t, "A", "print", 3000, 7000, "exact");
    CHECK_STAY(t, "A", "press", 11000, 13000, "inferred");
    CHECK_STAY(t, "A", "aoi", 17000, 21000, "exact");
    CHECK_MEM(t->seen[0].unit, t->seen[2].unit, TRACK_UNIT_BYTES);
    CHECK_EQ(t->stats.lost + t->stats.ghosts + t->stats.bounces, 0);
    bench_free(t);
}

TEST(case_1_a_belt_that_stops_keeps_its_units_where_they_are)
{
    struct bench *t = bench_new(config_row, 60);
    speed(t, 0, 5000, 15000, 0);
    row_unit(t, 1000, "A");
    for (int i = 1; i <= 3; i++)
        memset(t->gate[i], 0, (size_t)t->polls);
    pulse(t, 1, 21000);
    pulse(t, 2, 23000);
    pulse(t, 3, 33000);
    bench_run(t);
    /* The speed is straight between polls: 50 mm/s in the middle of 4.9 to 5.0 s, as it is at the
     * start: what it loses at one end it gains at the other. */
    CHECK_STAY(t, "A", "print", 3000, 17000, "exact");
    CHECK_STAY(t, "A", "press", 21000, 23000, "inferred");
    CHECK_EQ(t->stats.lost, 0);
    bench_free(t);
}

/* The rest of a unit's way on the row, from the end of the first belt on. */
static void row_unit_end(struct bench *t, int ms)
{
    pulse(t, 1, ms);
    pulse(t, 2, ms + 2000);
    pulse(t, 3, ms + 12000);
}

TEST(case_2_a_belt_that_becomes_faster_and_slower_has_its_units_where_the_ramps_bring_them)
{
    struct bench *t = bench_new(config_row, 30);
    for (int i = 30; i <= 75; i++) /* 48 mm/s² from 3.0 to 5.5 s, -20 mm/s² to 7.5 s */
        t->speed[0][i] = i <= 55 ? 100 + 4.8 * (i - 30) : 220 - 2.0 * (i - 55);
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    row_unit_end(t, 7500);
    code(t, 1, 19500, "A");
    bench_run(t);
    /* 200 mm at 3.0 s, 400 mm more in the first ramp, 400 mm in the second. */
    CHECK_STAY(t, "A", "print", 3000, 5500, "exact");
    CHECK_STAY(t, "A", "press", 7500, 9500, "inferred");
    CHECK_STAY(t, "A", "aoi", 13500, 17500, "exact");
    CHECK_EQ(t->alarms, 0);
    bench_free(t);
}

TEST(case_3_a_belt_that_runs_backwards_takes_its_units_back)
{
    struct bench *t = bench_new(config_row, 30);
    speed(t, 0, 5000, 6000, -100); /* from 390 mm at 5.0 to 300 mm at 6.0 s */
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    row_unit_end(t, 13000);
    bench_run(t);
    CHECK_STAY(t, "A", "print", 3000, 9000, "exact");
    CHECK_STAY(t, "A", "press", 13000, 15000, "inferred");
    CHECK_EQ(t->alarms, 0);
    bench_free(t);
}

TEST(case_3_a_unit_that_is_jogged_over_a_gate_and_back_is_one)
{
    struct bench *t = bench_new(config_row, 30);
    speed(t, 0, 1500, 2500, -100); /* 40 mm at 1.5 s, 0 at 1.9, -50 at 2.5, 0 at 3.0 s */
    code(t, 0, 1000, "A");
    high(t, 0, 1000, 400);
    high(t, 0, 1900, 200);
    high(t, 0, 3000, 300);
    row_unit_end(t, 13000);
    bench_run(t);
    CHECK_STAY(t, "A", "print", 5000, 9000, "exact");
    CHECK_STAY(t, "A", "press", 13000, 15000, "inferred");
    CHECK_EQ(stays_of(t, "?", "press"), 0);
    CHECK_EQ(t->stats.bounces, 2);
    CHECK_EQ(t->alarms, 0);
    bench_free(t);
}

TEST(case_4_a_unit_whose_entry_gave_no_pulse_is_found_at_the_next_gate)
{
    struct bench *t = bench_new(config_row, 60);
    row_unit(t, 1000, "A");
    row_unit(t, 6000, "B");
    row_unit(t, 11000, "C");
    for (int i = 58; i < 65; i++)
        t->gate[0][i] = false;
    bench_run(t);
    CHECK_STAY(t, "A", "press", 11000, 13000, "inferred");
    CHECK_STAY(t, "C", "press", 21000, 23000, "inferred");
    CHECK_STAY(t, "C", "aoi", 27000, 31000, "exact");
    /* Reckoned back from the gate at the belt's end; its code is read at the last one only. */
    CHECK_STAY(t, "B", "aoi", 22000, 26000, "exact");
    CHECK_STAY(t, "?", "print", 8000, 12000, "missing");
    CHECK_STAY(t, "?", "press", 16000, 18000, "inferred");
    CHECK_EQ(t->stats.ghosts, 1);
    bench_free(t);
}

TEST(case_5_a_unit_whose_exit_gave_no_pulse_is_found_behind_it)
{
    struct bench *t = bench_new(config_row, 60);
    row_unit(t, 1000, "A");
    row_unit(t, 6000, "B");
    row_unit(t, 11000, "C");
    for (int i = 180; i < 183; i++)
        t->gate[2][i] = false; /* B leaves the press unseen */
    bench_run(t);
    CHECK_STAY(t, "A", "press", 11000, 13000, "inferred");
    CHECK_STAY(t, "A", "aoi", 17000, 21000, "exact");
    CHECK_STAY(t, "C", "press", 21000, 23000, "inferred");
    CHECK_STAY(t, "C", "aoi", 27000, 31000, "exact");
    CHECK_EQ(stays_of(t, "B", "press"), 1);
    CHECK_STR(stay_of(t, "B", "press", 0)->status, "missing");
    CHECK_EQ(stays_of(t, "B", "aoi"), 1);
    CHECK_STR(stay_of(t, "B", "aoi", 0)->serial, "B");
    bench_free(t);
}

TEST(case_6_a_pulse_that_bounces_is_one)
{
    struct bench *t = bench_new(config_row, 30);
    row_unit(t, 1000, "A");
    t->gate[0][11] = false;      /* 20 mm on; the debounce is 10 mm … */
    speed(t, 0, 1000, 1300, 40); /* … and so slow that it is 8 */
    bench_run(t);
    CHECK_EQ(stays_of(t, "A", "press"), 1);
    CHECK_EQ(t->stats.bounces, 1);
    bench_free(t);
}

TEST(case_7_two_units_that_touch_are_two_by_their_length)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - name: line\n"
        "    parts:\n"
        "      - {belt: infeed, length_mm: 1000, speed: {signal: plc.line.v0}, to: press}\n"
        "      - {station: press}\n"
        "    gates:\n"
        "      - {signal: plc.line.g0, into: infeed, unit_length_mm: 150}\n"
        "      - {signal: plc.line.g1, into: press}\n"
        "      - {signal: plc.line.g2, out_of: press}\n";
    struct bench *t = bench_new(config, 30);
    high(t, 0, 1000, 3000); /* 300 mm */
    pulse(t, 1, 11000);
    pulse(t, 2, 12000);
    pulse(t, 1, 12500);
    pulse(t, 2, 14000);
    high(t, 0, 6000, 1500); /* one alone */
    pulse(t, 1, 16000);
    pulse(t, 2, 17000);
    bench_run(t);
    CHECK_EQ(stays_of(t, "?", "press"), 3);
    CHECK_STAY_N(t, "?", "press", 0, 11000, 12000, "inferred");
    CHECK_STAY_N(t, "?", "press", 1, 12500, 14000, "inferred");
    CHECK_STAY_N(t, "?", "press", 2, 16000, 17000, "inferred");
    CHECK_EQ(t->stats.lost + t->stats.ghosts, 0);
    bench_free(t);
}

TEST(case_8_a_unit_that_is_taken_off_is_gone_and_the_next_is_itself)
{
    struct bench *t = bench_new(config_row, 60);
    row_unit(t, 1000, "A");
    code(t, 0, 6000, "B");
    pulse(t, 0, 6000); /* B is never seen again */
    row_unit(t, 11000, "C");
    code(t, 0, 6000, "B");
    code(t, 0, 11000, "C");
    bench_run(t);
    CHECK_STAY(t, "C", "press", 21000, 23000, "inferred");
    CHECK_STAY(t, "C", "aoi", 27000, 31000, "exact");
    CHECK_EQ(stays_of(t, "B", "aoi"), 0);
    CHECK_EQ(t->stats.lost, 1);
    CHECK_EQ(t->alarms, 1);
    CHECK_STR(t->alarm, "line.units line/infeed");
    CHECK_STR(
        t->alarm_text,
        "B went into infeed at 2025-11-22T08:26:46Z and had not come out at "
        "2025-11-22T08:26:56.900Z. It was taken off, or the sensors behind it did not see it");
    bench_free(t);
}

TEST(case_9_a_unit_that_is_put_on_is_there_from_where_it_was_seen)
{
    struct bench *t = bench_new(config_row, 60);
    row_unit(t, 1000, "A");
    row_unit(t, 16000, "C");
    pulse(t, 3, 30000);
    code(t, 1, 30000, "B"); /* put on the second belt */
    code(t, 1, 38000, "C");
    bench_run(t);
    CHECK_STAY(t, "A", "aoi", 17000, 21000, "exact");
    CHECK_STAY(t, "C", "aoi", 32000, 36000, "exact");
    CHECK_EQ(stays_of(t, "B", "press"), 0);
    CHECK_EQ(stays_of(t, "B", "aoi"), 1);
    CHECK_STR(stay_of(t, "B", "aoi", 0)->status, "missing");
    CHECK_EQ(t->stats.ghosts, 1);
    CHECK_EQ(t->alarms, 1);
    CHECK_STR(t->alarm, "line.units line/outfeed");
    CHECK_STR(t->alarm_text,
              "B came out of outfeed at 2025-11-22T08:27:10Z and nobody had seen it go in. It was "
              "put on by hand, or the sensor before it did not see it");
    bench_free(t);
}

TEST(a_part_whose_units_are_accounted_for_again_is_told_when_half_an_hour_has_passed)
{
    struct bench *t = bench_new(config_row, 2000);
    pulse(t, 0, 6000); /* two that are never seen again */
    pulse(t, 0, 11000);
    row_unit(t, 16000, "C");
    bench_track(t);
    bench_poll(t, 0, 600);
    CHECK_EQ(t->alarms, 2);
    CHECK_EQ(t->cleared, 0);
    CHECK_STR(t->alarm, "line.units line/infeed");
    CHECK(strstr(t->alarm_text, "; since 2025-11-22T08:26:56.900Z 2 more went in than came out, "
                                "and 0 came out that had not gone in") != NULL);

    /* The alarm is known after a restart. */
    struct buf blob = {0};
    CHECK_OK(checkpoint_encode(t->track, &blob));
    track_reset(t->track);
    CHECK_OK(checkpoint_decode(t->track, buf_bytes(&blob)));
    buf_fini(&blob);
    bench_poll(t, 600, 18000);
    CHECK_EQ(t->cleared, 0);
    bench_poll(t, 18000, t->polls);
    CHECK_EQ(t->alarms, 2);
    CHECK_EQ(t->cleared, 1);
    bench_free(t);
}

TEST(a_unit_that_is_carried_is_missed_where_it_was)
{
    struct bench *t = bench_new(config_row, 60);
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    code(t, 1, 6000, "A"); /* half way down the first belt, and then at the end of the last */
    pulse(t, 3, 6000);
    bench_run(t);
    CHECK_EQ(t->alarms, 1);
    CHECK_STR(t->alarm, "line.units line/infeed");
    CHECK_STR(t->alarm_text,
              "A went into infeed at 2025-11-22T08:26:41Z and was read at 2025-11-22T08:26:46Z "
              "where it cannot have come by itself. Somebody carried it");
    bench_free(t);
}

TEST(case_10_a_scan_behind_a_random_buffer_repairs_what_was_said)
{
    struct bench *t = bench_new(config_rack, 60);
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    code(t, 0, 3000, "B");
    pulse(t, 0, 3000);
    pulse(t, 1, 10000); /* one of them, and then the other */
    pulse(t, 2, 12000);
    pulse(t, 3, 14000);
    pulse(t, 1, 20000);
    pulse(t, 2, 22000);
    pulse(t, 3, 24000);
    code(t, 1, 14000, "B"); /* it was B that came first */
    code(t, 1, 24000, "A");
    bench_run(t);
    CHECK_STAY(t, "B", "press", 10000, 12000, "inferred");
    CHECK_STAY(t, "A", "press", 20000, 22000, "inferred");
    CHECK_STAY(t, "B", "check", 12000, 14000, "exact");
    CHECK_EQ(stays_of(t, "A", "press"), 1);
    CHECK_EQ(stays_of(t, "B", "press"), 1);
    CHECK_STAY(t, "A", "rack", 1000, 20000, "exact");
    CHECK_EQ(stay_of(t, "A", "rack", 0)->revision, 3); /* said, taken back, and said */
    /* Before the scan both may have been it, alike; then one is taken back. */
    const struct seen *first = NULL;
    bool taken_back = false;
    for (int i = 0; i < t->count; i++) {
        const struct seen *s = &t->seen[i];
        if (strcmp(s->station, "press") != 0)
            continue;
        first = first ? first : s;
        taken_back = taken_back || (s->retracted && s->revision == 2 && s->visit == first->visit &&
                                    strcmp(s->serial, "A") == 0);
    }
    CHECK(first != NULL);
    CHECK_STR(first->status, "ambiguous");
    CHECK_NEAR(first->probability, 0.5, 0.01);
    CHECK(taken_back);
    bench_free(t);
}

TEST(case_10_units_that_are_read_behind_a_random_buffer_only_may_each_be_any_of_them)
{
    static const char config[] = "name: n\n"
                                 "tracks:\n"
                                 "  - name: line\n"
                                 "    parts: [{buffer: rack, order: random}]\n"
                                 "    gates:\n"
                                 "      - {signal: plc.line.g0, into: rack}\n"
                                 "      - {signal: plc.line.g1, out_of: rack, unit: plc.line.c0}\n";
    struct bench *t = bench_new(config, 60);
    for (int i = 0; i < 4; i++) {
        char text[] = {(char)('A' + i), 0};
        pulse(t, 0, 1000 + i * 1000);
        pulse(t, 1, 20000 + i * 5000);
        code(t, 0, 20000 + i * 5000, text);
    }
    bench_run(t);
    for (int i = 0; i < 4; i++) {
        char text[] = {(char)('A' + i), 0};
        const struct seen *s = stay_of(t, text, "rack", 0);
        CHECK(s != NULL);
        CHECK_EQ(s->t_out, T0 + (20000 + i * 5000) * INT64_C(1000));
        CHECK_STR(s->status, "ambiguous");
        CHECK_NEAR(s->probability, 0.25, 0.01);
    }
    CHECK_EQ(stays_of(t, "A", "rack"), 1);
    bench_free(t);
}

TEST(what_was_taken_back_and_is_said_again_has_the_next_revision)
{
    struct bench *t = bench_new(config_rack, 20);
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    code(t, 0, 2500, "B");
    pulse(t, 0, 2500);
    pulse(t, 1, 4000);
    pulse(t, 2, 6000);
    code(t, 1, 8000, "B");
    pulse(t, 3, 8000);
    pulse(t, 1, 9000);
    pulse(t, 2, 11000);
    code(t, 1, 13000, "A");
    pulse(t, 3, 13000);
    bench_run(t);
    CHECK_STAY(t, "B", "press", 4000, 6000, "inferred");
    CHECK_STAY(t, "A", "press", 9000, 11000, "inferred");
    CHECK_STAY(t, "A", "rack", 1000, 9000, "exact");
    bench_free(t); /* where the revisions are checked */
}

/* Two belts with a divert before and a merge behind. */
static const char config_lanes[] =
    "name: n\n"
    "tracks:\n"
    "  - name: line\n"
    "    parts:\n"
    "      - {belt: infeed, length_mm: 500, speed: {signal: plc.line.v0}, to: [left, right]}\n"
    "      - {belt: left, length_mm: 1000, speed: {signal: plc.line.v0}, to: joint,\n"
    "         places: [{station: glue_l, from_mm: 200, to_mm: 600}]}\n"
    "      - {belt: right, length_mm: 1000, speed: {signal: plc.line.v1}, to: [joint, out],\n"
    "         places: [{station: glue_r, from_mm: 200, to_mm: 600}]}\n"
    "      - {belt: joint, length_mm: 500, speed: {signal: plc.line.v0},\n"
    "         places: [{station: aoi, from_mm: 100, to_mm: 300}]}\n"
    "    gates:\n"
    "      - {signal: plc.line.g0, into: infeed, unit: plc.line.c0}\n"
    "      - {signal: plc.line.g1, into: left}\n"
    "      - {signal: plc.line.g2, into: right}\n"
    "      - {signal: plc.line.g3, into: joint}\n"
    "      - {signal: plc.line.g4, out_of: right, into: out}\n"
    "      - {signal: plc.line.g5, out_of: joint, unit: plc.line.c1}\n";

TEST(case_11_units_of_two_lanes_merge_in_any_order)
{
    struct bench *t = bench_new(config_lanes, 60);
    speed(t, 1, 0, 60000, 50); /* the right lane takes twice as long */

    static const struct {
        int ms;
        const char *code;
        bool right;
    } units[] = {{1000, "A", true},
                 {3000, "B", false},
                 {6000, "C", false},
                 {9000, "D", false},
                 {12000, "E", true}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        int ms = units[i].ms;
        int joint = ms + 5000 + (units[i].right ? 20000 : 10000);
        code(t, 0, ms, units[i].code);
        pulse(t, 0, ms);
        pulse(t, units[i].right ? 2 : 1, ms + 5000);
        pulse(t, 3, joint);
        pulse(t, 5, joint + 5000);
    }
    bench_run(t);
    /* At the joint: B at 18, C at 21, D at 24, A at 26, E at 37 s. */
    CHECK_STAY(t, "A", "glue_r", 10000, 18000, "inferred");
    CHECK_STAY(t, "B", "glue_l", 10000, 14000, "inferred");
    CHECK_STAY(t, "B", "aoi", 19000, 21000, "inferred");
    CHECK_STAY(t, "D", "aoi", 25000, 27000, "inferred");
    CHECK_STAY(t, "A", "aoi", 27000, 29000, "inferred");
    CHECK_STAY(t, "E", "aoi", 38000, 40000, "inferred");
    CHECK_EQ(t->stats.lost + t->stats.ghosts, 0);
    bench_free(t);
}

TEST(case_12_a_unit_that_is_rejected_leaves_there)
{
    struct bench *t = bench_new(config_lanes, 60);
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    pulse(t, 2, 6000);
    pulse(t, 4, 16000); /* rejected */
    code(t, 0, 4000, "B");
    pulse(t, 0, 4000);
    pulse(t, 2, 9000);
    pulse(t, 3, 19000);
    pulse(t, 5, 24000);
    bench_run(t);
    CHECK_STAY(t, "A", "glue_r", 8000, 12000, "inferred");
    CHECK_EQ(stays_of(t, "A", "aoi"), 0);
    CHECK_STAY(t, "B", "aoi", 20000, 22000, "inferred");
    CHECK_EQ(t->stats.lost + t->stats.ghosts, 0);
    bench_free(t);
}

static const char config_loop[] =
    "name: n\n"
    "tracks:\n"
    "  - name: line\n"
    "    parts:\n"
    "      - {station: ict, entry: true, to: [out, repair]}\n"
    "      - {buffer: repair, order: random, to: ict}\n"
    "    gates:\n"
    "      - {signal: plc.line.g0, into: ict, out_of: out, unit: plc.line.c0}\n"
    "      - {signal: plc.line.g1, out_of: ict, into: out}\n"
    "      - {signal: plc.line.g2, into: repair}\n"
    "      - {signal: plc.line.g3, out_of: repair}\n";

TEST(case_13_a_unit_that_comes_again_has_two_stays)
{
    struct bench *t = bench_new(config_loop, 60);
    code(t, 0, 1000, "A");
    pulse(t, 0, 1000);
    pulse(t, 2, 3000); /* A to repair */
    code(t, 0, 5000, "B");
    pulse(t, 0, 5000);
    pulse(t, 1, 7000);
    pulse(t, 3, 10000); /* A again */
    pulse(t, 1, 12000);
    bench_run(t);
    CHECK_EQ(stays_of(t, "A", "ict"), 2);
    CHECK_STAY_N(t, "A", "ict", 0, 1000, 3000, "exact");
    CHECK_STAY(t, "A", "repair", 3000, 10000, "inferred");
    CHECK_STAY_N(t, "A", "ict", 1, 10000, 12000, "inferred");
    CHECK_STAY(t, "B", "ict", 5000, 7000, "exact");
    CHECK(stay_of(t, "A", "ict", 0)->visit != stay_of(t, "A", "ict", 1)->visit);
    bench_free(t);
}

TEST(case_14_units_of_a_batch_are_in_the_oven_together)
{
    static const char config[] = "name: n\n"
                                 "tracks:\n"
                                 "  - name: line\n"
                                 "    parts: [{station: oven, capacity: 3, order: fifo}]\n"
                                 "    gates:\n"
                                 "      - {signal: plc.line.g0, into: oven, unit: plc.line.c0}\n"
                                 "      - {signal: plc.line.g1, out_of: oven}\n";
    struct bench *t = bench_new(config, 60);
    for (int i = 0; i < 3; i++) {
        char text[] = {(char)('A' + i), 0};
        code(t, 0, 1000 + i * 1000, text);
        pulse(t, 0, 1000 + i * 1000);
        pulse(t, 1, 20000 + i * 1000);
    }
    bench_run(t);
    CHECK_STAY(t, "A", "oven", 1000, 20000, "exact");
    CHECK_STAY(t, "B", "oven", 2000, 21000, "exact");
    CHECK_STAY(t, "C", "oven", 3000, 22000, "exact");
    bench_free(t);
}

/* The same row, whose readings may be so late. */
static struct bench *bench_late(const char *lateness, int seconds)
{
    char config[sizeof config_row + 64];
    (void)snprintf(config, sizeof config, "%s    lateness: %s\n", config_row, lateness);
    struct bench *t = bench_new(config, seconds);
    row_unit(t, 1000, "A");
    row_unit(t, 6000, "B");
    row_unit(t, 11000, "C");
    return t;
}

/* Ids come from positions in the log, which are not the same. */
static void check_same_presences(const struct bench *a, const struct bench *b)
{
    CHECK_EQ(a->count, b->count);
    for (int i = 0; i < a->count && i < b->count; i++) {
        struct seen x = a->seen[i];
        struct seen y = b->seen[i];
        memset(x.unit, 0, sizeof x.unit);
        memset(y.unit, 0, sizeof y.unit);
        if (x.serial[0] == '?')
            memcpy(x.serial, y.serial, sizeof x.serial);
        CHECK_MEM(&x, &y, sizeof x);
    }
}

TEST(case_18_readings_in_any_order_within_the_lateness_are_as_in_order)
{
    struct bench *in_order = bench_late("2s", 60);
    bench_run(in_order);
    CHECK(in_order->count > 8);
    struct rand rand;
    rand_seed(&rand, 18);
    for (int round = 0; round < 20; round++) {
        struct bench *t = bench_late("2s", 60);
        int order[600] = {0};
        for (int i = 0; i < t->polls; i++)
            order[i] = i;
        for (int i = 0; i + 19 < t->polls; i += 20) { /* shuffled within 2 s */
            for (int k = 19; k > 0; k--) {
                int other = (int)rand_below(&rand, (uint64_t)k + 1);
                int poll = order[i + k];
                order[i + k] = order[i + other];
                order[i + other] = poll;
            }
        }
        bench_track(t);
        for (int i = 0; i < t->polls; i++)
            bench_take(t, order[i]);
        CHECK_EQ(t->stats.late, 0);
        check_same_presences(t, in_order);
        bench_free(t);
    }
    bench_free(in_order);
}

TEST(case_18_readings_that_come_again_are_there_once)
{
    struct bench *once = bench_late("0s", 60);
    struct bench *twice = bench_late("0s", 60);
    bench_run(once);
    bench_track(twice);
    for (int i = 0; i < twice->polls; i++) {
        bench_take(twice, i);
        bench_take(twice, i);
    }
    check_same_presences(twice, once);
    bench_free(once);
    bench_free(twice);
}

TEST(case_18_readings_ten_minutes_late_are_waited_for_or_passed_over_and_counted)
{
    struct bench *in_order = bench_late("11m", 1400);
    struct bench *waits = bench_late("11m", 1400);
    struct bench *passes = bench_late("0s", 1400);
    bench_run(in_order);
    bench_track(waits);
    bench_track(passes);
    for (int i = 0; i < waits->polls; i++) {
        bool late = i >= 55 && i < 65; /* B comes in */
        if (!late) {
            bench_take(waits, i);
            bench_take(passes, i);
        }
        for (int k = 55; i == 6060 && k < 65; k++) {
            bench_take(waits, k);
            bench_take(passes, k);
        }
    }
    CHECK_EQ(waits->stats.late, 0);
    check_same_presences(waits, in_order);
    CHECK_STAY(waits, "B", "print", 8000, 12000, "exact");
    /* Without it B's entry is as good as not seen; it is found at the next gate. */
    CHECK(passes->stats.late > 0);
    CHECK_STAY(passes, "A", "print", 3000, 7000, "exact");
    CHECK_EQ(stays_of(passes, "B", "print"), 0);
    CHECK_STAY(passes, "?", "press", 16000, 18000, "inferred");
    CHECK_STAY(passes, "C", "print", 13000, 17000, "exact");
    bench_free(in_order);
    bench_free(waits);
    bench_free(passes);
}

TEST(case_19_a_belt_whose_counts_run_over_is_where_they_say)
{
    static const char config[] =
        CONFIG_ROW("{counts: plc.line.v0, mm_per_count: 0.5, rollover: 65536}");
    struct bench *t = bench_new(config, 30);
    for (int i = 0; i <= t->polls; i++) /* over the end at 4.0 s */
        t->speed[0][i] = (65536 - 800 + 20 * i) % 65536;
    row_unit(t, 1000, "A");
    bench_run(t);
    CHECK_STAY(t, "A", "print", 3000, 7000, "exact");
    CHECK_STAY(t, "A", "press", 11000, 13000, "inferred");
    CHECK_STAY(t, "A", "aoi", 17000, 21000, "exact");
    bench_free(t);
}

/* ----------------------------------------------------------------------------------- after a kill
 */

/* Everything that happens above, one after the other. */
static struct bench *bench_busy(void)
{
    struct bench *t = bench_new(config_row, 100);
    for (int i = 0; i < 12; i++) {
        char text[] = {(char)('A' + i), 0};
        row_unit(t, 1000 + i * 5000, i % 4 == 3 ? NULL : text);
    }
    memset(&t->gate[0][155], 0, 10);
    memset(&t->gate[1][305], 0, 10);
    memset(&t->gate[2][475], 0, 10);
    pulse(t, 1, 33000);
    return t;
}

TEST(case_23_a_checkpoint_at_any_record_leads_to_the_same_presences)
{
    struct bench *whole = bench_busy();
    bench_run(whole);
    CHECK(whole->count > 30);
    for (int cut = 5; cut < whole->polls; cut += 17) {
        struct bench *t = bench_busy();
        struct buf blob = {0};
        struct buf again = {0};
        bench_track(t);
        bench_poll(t, 0, cut);
        CHECK_OK(checkpoint_encode(t->track, &blob));
        track_reset(t->track);
        CHECK_OK(checkpoint_decode(t->track, buf_bytes(&blob)));
        CHECK_OK(checkpoint_encode(t->track, &again));
        CHECK_EQ(again.len, blob.len);
        CHECK_MEM(again.ptr, blob.ptr, blob.len);
        bench_poll(t, cut, t->polls);
        CHECK_EQ(t->count, whole->count);
        for (int i = 0; i < t->count; i++)
            CHECK_MEM(&t->seen[i], &whole->seen[i], sizeof t->seen[i]);
        for (size_t len = 0; len < blob.len; len += 1 + len / 40)
            CHECK(checkpoint_decode(t->track, bytes_of(blob.ptr, len)) != OK);
        buf_fini(&blob);
        buf_fini(&again);
        bench_free(t);
    }
    bench_free(whole);
}

/* ---------------------------------------------------------------------------------- configuration
 */

static void check_bad(const char *spec, int want, uint32_t line, uint32_t column, const char *part)
{
    char text[2048];
    struct diag diag = {0};
    struct arena arena = {0};
    struct track *track = NULL;
    (void)snprintf(text, sizeof text, "name: n\ntracks:\n  - name: line\n%s", spec);
    struct bench *t = bench_new(text, 1);
    int err = track_make(config_object_at(t->config, CONFIG_TRACK, 0), &arena, &t->catalogue, &diag,
                         &track);
    if (err != want || !strstr(diag.text, part) || diag.line != line || diag.column != column)
        check_fail_at(__FILE__, __LINE__, "%d, line %u:%u: %s", err, diag.line, diag.column,
                      diag.text);
    track_drop(track);
    arena_fini(&arena);
    bench_free(t);
}

/* The units of one pulse are a microsecond apart. */
static void check_shot(const struct seen *s, int in_us, int out_us, struct wanted want)
{
    CHECK(s != NULL);
    CHECK_EQ(s->t_in, T0 + want.in_ms * INT64_C(1000) + in_us);
    CHECK_EQ(s->t_out, T0 + want.out_ms * INT64_C(1000) + out_us);
    CHECK_STR(s->status, want.status);
}

/* A mould of four cavities: one shot brings four units, which are in it together; they leave it one
 * by one and are read then. */
TEST(case_15_one_shot_is_as_many_units_as_the_mould_has_cavities)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - name: line\n"
        "    parts: [{station: mould, capacity: 4}]\n"
        "    gates:\n"
        "      - {signal: plc.line.g0, into: mould, units: 4}\n"
        "      - {signal: plc.line.g1, out_of: mould, unit: plc.line.c0}\n";
    static const char *const names[] = {"A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4"};
    struct bench *t = bench_new(config, 60);
    for (int i = 0; i < 8; i++) {
        int shot_ms = i < 4 ? 5000 : 25000;
        pulse(t, 0, shot_ms);
        pulse(t, 1, shot_ms + 10000 + i % 4 * 1000);
        code(t, 0, shot_ms + 10000 + i % 4 * 1000, names[i]);
    }
    bench_run(t);
    for (int i = 0; i < 8; i++) {
        int shot_ms = i < 4 ? 5000 : 25000;
        check_shot(stay_of(t, names[i], "mould", 0), i % 4, 0,
                   (struct wanted){shot_ms, shot_ms + 10000 + i % 4 * 1000, "exact"});
        for (int k = 0; k < i; k++)
            CHECK(memcmp(stay_of(t, names[i], "mould", 0)->unit,
                         stay_of(t, names[k], "mould", 0)->unit, TRACK_UNIT_BYTES) != 0);
    }
    CHECK_EQ(stays_of(t, "?", "mould"), 0);
    bench_free(t);
}

/* An oven whose carriers hold three: they go in together and leave together, unread. */
TEST(case_14_units_of_a_carrier_come_and_leave_together)
{
    static const char config[] = "name: n\n"
                                 "tracks:\n"
                                 "  - name: line\n"
                                 "    parts: [{station: oven, capacity: 3}]\n"
                                 "    gates:\n"
                                 "      - {signal: plc.line.g0, into: oven, units: 3}\n"
                                 "      - {signal: plc.line.g1, out_of: oven, units: 3}\n";
    struct bench *t = bench_new(config, 60);
    pulse(t, 0, 5000);
    pulse(t, 1, 25000);
    pulse(t, 0, 30000);
    pulse(t, 1, 48000);
    bench_run(t);
    CHECK_EQ(stays_of(t, "?", "oven"), 6);
    for (int i = 0; i < 6; i++)
        check_shot(stay_of(t, "?", "oven", i), i % 3, i % 3,
                   (struct wanted){i < 3 ? 5000 : 30000, i < 3 ? 25000 : 48000, "inferred"});
    bench_free(t);
}

/* A table with six nests that counts its turns is a belt that goes one nest, 100 mm, at a turn: a
 * unit is at nest k from the turn that brings it there to the next one. It turns every 4 s, the
 * third time after 9 s. Two nests are loaded, one between them is not. */
TEST(case_16_an_indexing_table_is_a_belt_of_its_turns)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - name: line\n"
        "    parts:\n"
        "      - {belt: table, length_mm: 500, speed: {counts: plc.line.v0, mm_per_count: 100},\n"
        "         places: [{station: weld, from_mm: 150, to_mm: 250},\n"
        "                  {station: test, from_mm: 250, to_mm: 350}]}\n"
        "    gates:\n"
        "      - {signal: plc.line.g0, into: table, unit: plc.line.c0, debounce_mm: 0}\n"
        "      - {signal: plc.line.g1, out_of: table, tolerance_mm: 40, drift: 0,\n"
        "         debounce_mm: 0}\n";
    static const int turns_ms[] = {4000, 8000, 17000, 21000, 25000, 29000, 33000, 37000};
    struct bench *t = bench_new(config, 60);
    speed(t, 0, 0, 60100, 0);
    for (size_t i = 0; i < sizeof turns_ms / sizeof turns_ms[0]; i++)
        speed(t, 0, turns_ms[i], 60100, (double)(i + 1));
    code(t, 0, 2000, "A");
    pulse(t, 0, 2000);
    code(t, 0, 10000, "B");
    pulse(t, 0, 10000);
    pulse(t, 1, 26000);
    pulse(t, 1, 34000);
    bench_run(t);
    /* The middle of the poll in which it turned: a turn's time is known to half a poll. */
    CHECK_STAY(t, "A", "weld", 7950, 16950, "exact");
    CHECK_STAY(t, "A", "test", 16950, 20950, "exact");
    CHECK_STAY(t, "B", "weld", 20950, 24950, "exact");
    CHECK_STAY(t, "B", "test", 24950, 28950, "exact");
    CHECK_EQ(stays_of(t, "?", "weld"), 0);
    bench_free(t);
}

/* 2 × 24 pulses a second, and codes may come for ten minutes: more than can wait. */
TEST(pulses_that_are_too_many_to_wait_are_decided_without_their_codes)
{
    static const char config[] =
        "name: n\n"
        "tracks:\n"
        "  - name: line\n"
        "    parts:\n"
        "      - {station: mould, capacity: 24, order: fifo, time_max: 900ms, to: out}\n"
        "      - {station: look, to: out}\n"
        "    gates:\n"
        "      - {signal: plc.line.g0, into: mould, units: 24}\n"
        "      - {signal: plc.line.g1, out_of: mould, units: 24}\n"
        "      - {signal: plc.line.g2, into: look, unit: plc.line.c0, scan_time: 10m}\n"
        "      - {signal: plc.line.g3, out_of: look}\n";
    struct bench *t = bench_new(config, 130);
    for (int i = 0; i < 120; i++) {
        pulse(t, 0, 1000 + i * 1000);
        pulse(t, 1, 1500 + i * 1000);
    }
    bench_run(t);
    /* Of 5,760 at least so many were decided early that the others can wait. */
    CHECK(t->stats.hurried >= 2 * 24 * 120 - LINE_PULSES_MAX);
    CHECK(t->stats.hurried <= LINE_PULSES_MAX / 2 + 24);
    CHECK(t->stats.presences >= t->stats.hurried / 48 * 24); /* some with revisions */
    CHECK_EQ(t->stats.lost + t->stats.ghosts, 0);
    bench_free(t);
}

TEST(a_wrong_line_is_said_with_its_place_and_what_to_do)
{
    check_bad("    parts: [{station: a, order: random, capacity: 4}]\n"
              "    gates: [{signal: plc.line.g0, into: a, units: 2}]\n",
              ERR_INVALID, 5, 51, "needs order: fifo");
    check_bad("    parts: [{station: a}]\n"
              "    gates: [{signal: plc.line.g0, into: a, unit: plc.line.c0, units: 2}]\n",
              ERR_INVALID, 5, 70, "several units at once has no one code");
    check_bad("    parts: [{station: a, to: b}, {station: b}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_NOT_FOUND, 4, 13, "no gate sees units go from a to b");
    check_bad("    parts: [{station: a}, {station: b, to: b}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_INVALID, 4, 27, "no way leads to b");
    check_bad("    parts: [{station: a, to: [b, out]}, {station: b, to: b}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_INVALID, 4, 41, "no way leads from b out of the line");
    check_bad("    parts: [{station: a, to: prss}, {station: press}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_NOT_FOUND, 4, 30, "did you mean press?");
    check_bad("    parts:\n"
              "      - {belt: a, length_mm: 100, speed: {signal: plc.line.v0},\n"
              "         places: [{station: x, from_mm: 0, to_mm: 60},\n"
              "                  {station: y, from_mm: 50, to_mm: 90}]}\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_RANGE, 7, 41, "overlaps that of the station x, from 0 to 60 mm");
    check_bad("    parts:\n"
              "      - {belt: a, length_mm: 100, speed: {signal: plc.line.v0},\n"
              "         places: [{station: x, from_mm: 0, to_mm: 160}]}\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_RANGE, 6, 51, "ends behind the belt a, which is 100 mm long");
    check_bad("    parts: [{station: a}]\n"
              "    gates:\n"
              "      - {signal: plc.line.g0, into: a}\n"
              "      - {signal: plc.line.g1, out_of: a}\n"
              "      - {signal: plc.line.g2, out_of: a, into: a}\n",
              ERR_INVALID, 8, 9, "off the line");
    check_bad("    parts: [{station: a}]\n"
              "    gates:\n"
              "      - {signal: plc.line.g0, into: a}\n"
              "      - {signal: plc.line.g1, out_of: a}\n"
              "      - {signal: plc.line.g2, out_of: a}\n",
              ERR_EXISTS, 8, 9, "two gates see units go from a to out");
    check_bad("    parts: [{belt: a, length_mm: 10}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_NOT_FOUND, 4, 13, "a belt needs its speed");
    check_bad("    parts: [{belt: a, length_mm: 10, speed: {counts: plc.line.v0}}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_RANGE, 4, 45, "counts need mm_per_count");
    check_bad("    parts: [{belt: a, length_mm: 10, speed: {scale: 2}}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_INVALID, 4, 45, "either a signal with its speed or counts of its encoder");
    check_bad("    parts: [{station: a, length_mm: 10}]\n"
              "    gates: [{signal: plc.line.g0, into: a}]\n",
              ERR_INVALID, 4, 37, "only a belt has length_mm");
    check_bad("    parts: [{station: a}]\n"
              "    gates: [{signal: plc.line.gate, into: a}, {signal: plc.line.g1, out_of: a}]\n",
              ERR_NOT_FOUND, 5, 22, "plc.line has no tag gate");
    check_bad("    parts: [{station: a}]\n    odds: {missed: 1}\n"
              "    gates: [{signal: plc.line.g0, into: a}, {signal: plc.line.g1, out_of: a}]\n",
              ERR_RANGE, 5, 20, "above 0 and below 0.5");
}
