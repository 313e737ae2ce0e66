/* Stations with buffers between them, as they stand on most floors: sensors where units go in and
 * out, no belt that would say where they are meanwhile. */
#include "tests/support/line_bench.h"

static const char config[] = "name: n\n"
                             "tracks:\n"
                             "  - name: line\n"
                             "    parts:\n"
                             "      - {station: print, time_min: 2s, time_max: 6s, to: rack}\n"
                             "      - {buffer: rack, time_min: 1s, to: press}\n"
                             "      - {station: press, time_min: 2s, time_max: 6s, to: shelf}\n"
                             "      - {buffer: shelf, time_min: 1s, to: check}\n"
                             "      - {station: check, time_min: 2s, time_max: 6s}\n"
                             "    gates:\n"
                             "      - {signal: plc.line.g0, into: print, unit: plc.line.c0}\n"
                             "      - {signal: plc.line.g1, out_of: print}\n"
                             "      - {signal: plc.line.g2, into: press, unit: plc.line.c1}\n"
                             "      - {signal: plc.line.g3, out_of: press}\n"
                             "      - {signal: plc.line.g4, into: check, unit: plc.line.c2}\n"
                             "      - {signal: plc.line.g5, out_of: check}\n"
                             "    odds: {missed: 0.02, spurious: 0.005, removed: 0.001,\n"
                             "           appeared: 0.001}\n";

/* Four seconds in each station and two between them; `but` is the gate that gives no pulse. */
static void unit_goes(struct bench *t, int ms, const char *serial, int but)
{
    for (int gate = 0; gate < 6; gate++) {
        int at = ms + gate / 2 * 6000 + gate % 2 * 4000;
        if (gate % 2 == 0)
            code(t, gate / 2, at - 500, serial);
        if (gate != but)
            pulse(t, gate, at);
    }
}

static struct bench *three_units(int but)
{
    struct bench *t = bench_new(config, 60);
    unit_goes(t, 1000, "A", -1);
    unit_goes(t, 11000, "B", but);
    unit_goes(t, 21000, "C", -1);
    return t;
}

TEST(a_unit_that_is_seen_twice_as_it_leaves_left_the_first_time)
{
    for (int gate = 1; gate < 6; gate += 2) {
        struct bench *t = three_units(-1);
        pulse(t, gate, 11000 + gate / 2 * 6000 + 4000 + 1500);
        bench_run(t);
        CHECK_STAY(t, "B", "print", 11000, 15000, "exact");
        CHECK_STAY(t, "B", "press", 17000, 21000, "exact");
        CHECK_STAY(t, "B", "check", 23000, 27000, "exact");
        CHECK_STAY(t, "C", "check", 33000, 37000, "exact");
        bench_free(t);
    }
}

TEST(a_unit_that_gave_no_pulse_into_a_station_is_the_one_that_comes_out_of_it)
{
    for (int gate = 2; gate < 6; gate += 2) {
        struct bench *t = three_units(gate);
        const char *missed = gate == 2 ? "press" : "check";
        int out_ms = 11000 + gate / 2 * 6000 + 4000;
        bench_run(t);
        CHECK_EQ(stays_of(t, "B", missed), 1);
        const struct seen *b = stay_of(t, "B", missed, 0);
        CHECK_STR(b->status, "missing");
        CHECK(b->probability > 0.9);
        /* It left the rack after 1 s at the earliest, and was in the press for 2 at least. */
        CHECK_EQ((b->t_in - T0) / 1000, out_ms - (2000 + 5000) / 2);
        CHECK_EQ((b->t_out - T0) / 1000, out_ms);
        CHECK_STAY(t, "A", missed, out_ms - 14000, out_ms - 10000, "exact");
        CHECK_STAY(t, "C", missed, out_ms + 6000, out_ms + 10000, "exact");
        CHECK_EQ(t->alarms, 0);
        bench_free(t);
    }
}

TEST(a_unit_that_came_unseen_was_there_as_long_as_units_mostly_are)
{
    for (int gate = 0; gate < 4; gate += 2) {
        struct bench *t = bench_new(config, 150);
        char serial[8];
        for (int i = 0; i < 10; i++) {
            (void)snprintf(serial, sizeof serial, "U%d", i);
            unit_goes(t, 1000 + i * 10000, serial, i == 9 ? gate : -1);
        }
        bench_run(t);
        CHECK_STAY(t, "U9", gate ? "press" : "print", gate ? 97000 : 91000, gate ? 101000 : 95000,
                   "missing");
        CHECK_STAY(t, "U9", "check", 103000, 107000, "exact");
        bench_free(t);
    }
}

/* What goes by before the first gate sees it is as likely as that the gate is blind, and not as
 * rare as what people put on by hand. */
TEST(a_unit_that_the_first_gate_of_a_line_missed_is_believed)
{
    static const char single[] = "name: n\n"
                                 "tracks:\n"
                                 "  - name: line\n"
                                 "    parts:\n"
                                 "      - {station: print, time_min: 2s, time_max: 6s}\n"
                                 "    gates:\n"
                                 "      - {signal: plc.line.g0, into: print, unit: plc.line.c0}\n"
                                 "      - {signal: plc.line.g1, out_of: print}\n"
                                 "    odds: {missed: 0.02, spurious: 0.005, removed: 0.001,\n"
                                 "           appeared: 0.001}\n";
    struct bench *t = bench_new(single, 60);
    code(t, 0, 500, "A");
    pulse(t, 0, 1000);
    pulse(t, 1, 5000);
    pulse(t, 1, 15000); /* nobody went in */
    bench_run(t);
    CHECK_STAY(t, "A", "print", 1000, 5000, "exact");
    CHECK_EQ(stays_of(t, "?", "print"), 1);
    const struct seen *b = stay_of(t, "?", "print", 0);
    CHECK_STR(b->status, "ambiguous");
    CHECK(b->probability > 0.8076 && b->probability < 0.8078); /* 0.021 of 0.026 */
    CHECK_EQ((b->t_out - T0) / 1000, 15000);
    CHECK_EQ(t->alarms, 1);
    bench_free(t);
}

/* One that was not read goes back and may be each of those that come: their fates hang together
 * until the cluster is full. Whoever comes then is itself all the same. */
TEST(units_beyond_what_a_cluster_holds_keep_their_own_ids)
{
    static const char loop[] = "name: n\n"
                               "tracks:\n"
                               "  - name: line\n"
                               "    parts:\n"
                               "      - {station: test, entry: true, time_min: 1s, time_max: 4s,\n"
                               "         to: [out, bench]}\n"
                               "      - {buffer: bench, to: test}\n"
                               "    gates:\n"
                               "      - {signal: plc.line.g0, into: test, unit: plc.line.c0}\n"
                               "      - {signal: plc.line.g1, out_of: test, into: out}\n"
                               "      - {signal: plc.line.g2, out_of: test, into: bench}\n";
    struct bench *t = bench_new(loop, 300);
    char serial[8];
    int named = 0;
    pulse(t, 0, 1000);
    pulse(t, 2, 3000);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(serial, sizeof serial, "U%d", i);
        code(t, 0, 9500 + i * 5000, serial);
        pulse(t, 0, 10000 + i * 5000);
        pulse(t, 1, 12000 + i * 5000);
    }
    bench_run(t);
    for (int i = 0; i < t->count; i++) {
        if (t->seen[i].serial[0] != 'U' || t->seen[i].probability <= 0.5)
            continue;
        named++;
        for (int k = 0; k < i; k++)
            CHECK(memcmp(t->seen[i].unit, t->seen[k].unit, TRACK_UNIT_BYTES) != 0 ||
                  strcmp(t->seen[i].serial, t->seen[k].serial) == 0 ||
                  t->seen[k].serial[0] != 'U' || t->seen[k].probability <= 0.5);
    }
    CHECK(named >= 50);
    bench_free(t);
}

TEST(a_scan_behind_a_random_buffer_takes_back_all_that_was_said_of_the_other)
{
    struct bench *t = bench_new(config_rack, 30);
    code(t, 0, 900, "A");
    pulse(t, 0, 1000);
    code(t, 0, 1900, "B");
    pulse(t, 0, 2000);
    pulse(t, 1, 4000);
    pulse(t, 2, 6000);
    code(t, 1, 8900, "B");
    pulse(t, 3, 9000);
    bench_run(t);
    CHECK_STAY(t, "B", "press", 4000, 6000, "inferred");
    CHECK_EQ(stays_of(t, "A", "press"), 0);
    bench_free(t);
}
