/* Case 17: a line whose second half is on a device with a clock of its own. Whatever that clock
 * does, the presences are those of the right time, and say how far it was. */
#include "track/clocks.h"

#include "tests/support/line_bench.h"

#define S  INT64_C(1000000)
#define MS INT64_C(1000)

#define CONFIG_FAR(clocks)                                                                         \
    "name: n\n"                                                                                    \
    "tracks:\n"                                                                                    \
    "  - name: line\n" clocks "    parts:\n"                                                       \
    "      - {belt: infeed, length_mm: 1000, speed: {signal: plc.line.v0}, to: press,\n"           \
    "         places: [{station: print, from_mm: 200, to_mm: 600}]}\n"                             \
    "      - {station: press, to: outfeed}\n"                                                      \
    "      - {belt: outfeed, length_mm: 1000, speed: {signal: far.line.v1},\n"                     \
    "         places: [{station: aoi, from_mm: 400, to_mm: 800}]}\n"                               \
    "    gates:\n"                                                                                 \
    "      - {signal: plc.line.g0, into: infeed, unit: plc.line.c0}\n"                             \
    "      - {signal: plc.line.g1, into: press}\n"                                                 \
    "      - {signal: far.line.g2, out_of: press}\n"                                               \
    "      - {signal: far.line.g3, out_of: outfeed, unit: far.line.c1}\n"
#define CLOCK(more) "    clocks: [{of: far, signal: far.line.g7, with: plc.line.g7" more "}]\n"

static const char config_far[] = CONFIG_FAR(CLOCK(""));

/* How far the clock is off at a moment of the right time. */
typedef int64_t clock_fn(int64_t time_us);

static struct bench *far_new(const char *config, int seconds)
{
    static const int handshakes_ms[] = {1000,  5100,  12400, 17600, 26400, 31100, 37300, 46900,
                                        52200, 61000, 65700, 74100, 79600, 88300, 93900, 101200};
    struct bench *t = bench_new(config, seconds);
    struct stream *s = NULL;
    CHECK_OK(
        catalogue_stream_add(&t->catalogue, "far.line", STREAM_GROUP, "plant/line", t->schema, &s));
    for (size_t i = 0; i < sizeof handshakes_ms / sizeof handshakes_ms[0]; i++)
        pulse(t, 7, handshakes_ms[i]);
    row_unit(t, 2000, "A");
    row_unit(t, 10000, "B");
    row_unit(t, 19000, "C");
    row_unit(t, 30000, "D");
    row_unit(t, 44000, "E");
    row_unit(t, 58000, "F");
    return t;
}

static void far_poll(struct bench *t, int poll, clock_fn *clock)
{
    int64_t time_us = T0 + poll * MS * POLL_MS;
    bench_record(t, "plc.line", poll_batch(t, poll, time_us));
    bench_record(t, "far.line", poll_batch(t, poll, time_us + clock(time_us)));
}

static void far_run(struct bench *t, clock_fn *clock)
{
    bench_track(t);
    for (int i = 0; i < t->polls; i++)
        far_poll(t, i, clock);
}

/* All were where they should, whatever the clock showed; by at most that many microseconds. */
static void check_far(int line, const struct bench *t, int64_t slack_us)
{
    static const char *const serials[] = {"A", "B", "C", "D", "E", "F"};
    static const int in_ms[] = {2000, 10000, 19000, 30000, 44000, 58000};

    static const struct {
        const char *station;
        int from_ms;
        int to_ms;
        const char *status;
    } stays[] = {{"print", 2000, 6000, "exact"},
                 {"press", 10000, 12000, "inferred"},
                 {"aoi", 16000, 20000, "exact"}};

    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 3; k++) {
            const struct seen *s = stay_of(t, serials[i], stays[k].station, 0);
            if (!s) {
                check_fail_at(__FILE__, line, "%s was not at %s", serials[i], stays[k].station);
                return;
            }
            int64_t in = T0 + (in_ms[i] + stays[k].from_ms) * MS;
            int64_t out = T0 + (in_ms[i] + stays[k].to_ms) * MS;
            if (llabs(s->t_in - in) > slack_us || llabs(s->t_out - out) > slack_us ||
                strcmp(s->status, stays[k].status) != 0)
                check_fail_at(__FILE__, line, "%s was at %s %lld us later, until %lld later, %s",
                              serials[i], stays[k].station, (long long)(s->t_in - in),
                              (long long)(s->t_out - out), s->status);
        }
    }
    CHECK_EQ(t->stats.lost, 0);
    CHECK_EQ(t->stats.ghosts, 0);
}

static int64_t clock_right(int64_t time_us)
{
    (void)time_us;
    return 0;
}

static int64_t clock_ahead(int64_t time_us)
{
    (void)time_us;
    return 5 * S;
}

static int64_t clock_behind(int64_t time_us)
{
    (void)time_us;
    return -5 * S;
}

static int64_t clock_drift(int64_t time_us)
{
    return 2 * S + (time_us - T0) / 20000;
}

/* Set back by 5 s while C is in the press, between two handshakes. */
static int64_t clock_set_back(int64_t time_us)
{
    return time_us < T0 + 30 * S ? 4 * S : -1 * S;
}

static int64_t clock_set_forth(int64_t time_us)
{
    return time_us < T0 + 30 * S ? -3 * S : 2 * S;
}

/* A leap second that the device inserts, and the other does not know. */
static int64_t clock_leap_second(int64_t time_us)
{
    return time_us < T0 + 36 * S ? 0 : -1 * S;
}

static int64_t clock_summer(int64_t time_us)
{
    return time_us < T0 + 48 * S ? 3600 * S : 7200 * S;
}

static void check_clock(int line, const char *config, clock_fn *clock, int64_t slack_us,
                        uint64_t steps)
{
    struct bench *t = far_new(config, 110);
    far_run(t, clock);
    check_far(line, t, slack_us);
    CHECK_EQ(t->stats.clock_steps, steps);
    CHECK_EQ(t->alarms, 0);
    bench_free(t);
}

TEST(case_17_a_clock_that_is_5_seconds_off_changes_nothing)
{
    check_clock(__LINE__, config_far, clock_right, 0, 0);
    check_clock(__LINE__, config_far, clock_ahead, 0, 0);
    check_clock(__LINE__, config_far, clock_behind, 0, 0);
}

TEST(case_17_a_clock_that_drifts_by_50_ppm_changes_nothing)
{
    check_clock(__LINE__, config_far, clock_drift, 150, 0);
}

TEST(case_17_a_clock_that_is_set_changes_nothing)
{
    check_clock(__LINE__, config_far, clock_set_back, 0, 1);
    check_clock(__LINE__, config_far, clock_set_forth, 0, 1);
}

TEST(case_17_a_leap_second_changes_nothing)
{
    check_clock(__LINE__, config_far, clock_leap_second, 0, 1);
}

TEST(case_17_summer_time_changes_nothing)
{
    check_clock(__LINE__, CONFIG_FAR(CLOCK(", offset_max: 3h")), clock_summer, 0, 1);
}

/* Both see a code: after the first one it is known. */
TEST(case_17_a_code_that_both_read_tells_at_once)
{
    static const char config[] = CONFIG_FAR(
        "    clocks: [{of: far, signal: far.line.c2, with: plc.line.c2, match: value}]\n");
    struct bench *t = far_new(config, 110);
    for (int i = 0; i < 18; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%d", i + 100);
        code(t, 2, 1000 + i * 6000, text);
    }
    far_run(t, clock_behind);
    check_far(__LINE__, t, 0);
    bench_free(t);
}

TEST(case_17_presences_say_how_far_the_clock_was)
{
    struct bench *t = far_new(config_far, 110);
    far_run(t, clock_set_back);
    CHECK_STR(stay_of(t, "A", "aoi", 0)->clocks, "far=4000000:4000000");
    CHECK_STR(stay_of(t, "C", "press", 0)->clocks, "far=4000000:-1000000");
    CHECK_STR(stay_of(t, "D", "print", 0)->clocks, "far=-1000000:-1000000");
    bench_free(t);
}

/* No handshake: readings go on when they have waited, under the time that they have. */
TEST(case_17_a_clock_of_which_nothing_is_known_is_said)
{
    struct bench *t = far_new(CONFIG_FAR(CLOCK(", wait: 5s")), 110);
    memset(t->gate[7], 0, (size_t)t->polls * sizeof *t->gate[7]);
    far_run(t, clock_right);
    const struct seen *s = stay_of(t, "A", "press", 0);
    CHECK(s != NULL);
    CHECK(strstr(s->evidence, " clock=far:unknown") != NULL);
    CHECK_STR(s->clocks, "");
    CHECK_STR(t->alarm, "track.clock line/far");
    CHECK(strstr(t->alarm_text, "how far the clock of far is off is not known: the events of "
                                "far.line.g7 and of plc.line.g7 do not fit") != NULL);
    CHECK(t->stats.clock_waits > 0);
    CHECK_EQ(t->alarms, 1);
    CHECK_EQ(t->cleared, 0);
    check_far(__LINE__, t, 0);
    bench_free(t);
}

/* The alarm is over when the events fit again. */
TEST(case_17_a_clock_is_found_again)
{
    struct bench *t = far_new(CONFIG_FAR(CLOCK(", wait: 5s")), 110);
    for (int i = 0; i < t->polls / 2; i++)
        t->gate[7][i] = false;
    far_run(t, clock_right);
    CHECK_EQ(t->alarms, 1);
    CHECK_EQ(t->cleared, 1);
    CHECK_STR(stay_of(t, "F", "press", 0)->clocks, "far=0:0");
    bench_free(t);
}

static void state_change(struct bench *t)
{
    struct buf state = {0};
    struct buf again = {0};
    CHECK_OK(checkpoint_encode(t->track, &state));
    CHECK_OK(checkpoint_decode(t->track, buf_bytes(&state)));
    CHECK_OK(checkpoint_encode(t->track, &again));
    CHECK_BYTES(buf_bytes(&again), buf_bytes(&state));
    buf_fini(&state);
    buf_fini(&again);
}

TEST(case_17_a_restart_at_any_record_leads_to_the_same_presences)
{
    struct bench *t = far_new(config_far, 70);
    struct bench *u = far_new(config_far, 70);
    far_run(t, clock_set_back);
    bench_track(u);
    for (int i = 0; i < u->polls; i++) {
        far_poll(u, i, clock_set_back);
        state_change(u);
    }
    CHECK_EQ(u->count, t->count);
    for (int i = 0; i < t->count && i < u->count; i++)
        CHECK(memcmp(&t->seen[i], &u->seen[i], sizeof t->seen[i]) == 0);
    bench_free(t);
    bench_free(u);
}

static void check_wrong(int line, const char *clocks, const char *text)
{
    char config[4096];
    struct diag diag = {0};
    (void)snprintf(config, sizeof config, CONFIG_FAR("    clocks: %s\n"), clocks);
    struct bench *t = far_new(config, 1);
    int err = track_make(config_object_at(t->config, CONFIG_TRACK, 0), &t->arena, &t->catalogue,
                         &diag, &t->track);
    if (!err || diag.line != 4 || !strstr(diag.text, text))
        check_fail_at(__FILE__, line, "%s: %d at %u:%u: %s", clocks, err, diag.line, diag.column,
                      diag.text);
    bench_free(t);
}

TEST(a_wrong_clock_is_said_with_its_place_and_what_to_do)
{
    check_wrong(__LINE__, "far", "clocks is a list");
    check_wrong(__LINE__, "[{of: far}]", "signal");
    check_wrong(__LINE__, "[{of: far, signal: far.lin.g7, with: plc.line.g7}]",
                "did you mean far.line?");
    check_wrong(__LINE__, "[{of: far, signal: plc.line.g7, with: plc.line.g7}]",
                "plc.line.g7 is not of far");
    check_wrong(__LINE__, "[{of: far, signal: far.line.g7, with: far.line.g6}]",
                "the clock of far.line.g6 may be wrong as well");
    check_wrong(__LINE__,
                "[{of: far, signal: far.line.g7, with: plc.line.g7}, "
                "{of: far.line, signal: far.line.g6, with: plc.line.g7}]",
                "far.line has a clock already: that of far");
    check_wrong(__LINE__, "[{of: far, signal: far.line.g7, with: plc.line.g7, wait: 0s}]", "wait");
}
