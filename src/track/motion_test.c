/* The integral of the speed: exact for straight speeds, and against sums of single milliseconds. */
#include "track/motion.h"

#include "base/rand.h"
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

#define T0  INT64_C(1763800000000000)
#define S   INT64_C(1000000)
#define GAP (2 * S)

static void read_at(struct motion *m, double seconds, double speed)
{
    CHECK_OK(motion_read(m, T0 + llround(seconds * 1e6), speed));
}

static int64_t at(double seconds)
{
    return T0 + llround(seconds * 1e6);
}

static struct path_interval from_to(double from, double to)
{
    return (struct path_interval){at(from), at(to)};
}

TEST(the_way_is_the_integral_of_the_speed)
{
    struct motion m = {0};
    CHECK_NEAR(motion_mm(&m, T0), 0, 0);
    read_at(&m, 0, 100);
    read_at(&m, 1, 100);
    read_at(&m, 2, 0); /* a ramp */
    read_at(&m, 3, 0);
    CHECK_OK(motion_reach(&m, at(3), GAP));
    CHECK_NEAR(motion_mm(&m, at(0.5)), 50, 1e-9);
    CHECK_NEAR(motion_mm(&m, at(1.5)), 137.5, 1e-9);
    CHECK_NEAR(motion_mm(&m, at(2)), 150, 1e-9);
    CHECK_NEAR(motion_mm(&m, at(2.7)), 150, 1e-9);
    CHECK_NEAR(motion_speed(&m, at(1.25)), 75, 1e-9);
    motion_fini(&m);
}

TEST(readings_in_any_order_are_taken_by_their_time)
{
    struct motion m = {0};
    read_at(&m, 2, 0);
    read_at(&m, 0, 100);
    read_at(&m, 1, 50);
    read_at(&m, 1, 100); /* again: the later word */
    CHECK_EQ(motion_next(&m)->time_us, T0);
    CHECK_OK(motion_reach(&m, at(1.2), GAP));
    CHECK_NEAR(motion_mm(&m, at(1)), 100, 1e-9);
    read_at(&m, 1.5, 1000); /* behind what was taken */
    CHECK_EQ(m.late, 1);
    CHECK_EQ(motion_end_us(&m), at(2));
    motion_fini(&m);
}

TEST(without_readings_the_speed_is_held_and_a_gap_is_noted)
{
    struct motion m = {0};
    read_at(&m, 0, 100);
    read_at(&m, 1, 100);
    CHECK_OK(motion_reach(&m, at(2), GAP));
    CHECK_NEAR(motion_mm(&m, at(2)), 200, 1e-9);
    read_at(&m, 7, 100);
    CHECK_OK(motion_reach(&m, at(7), GAP));
    struct motion_stay stay = motion_stay(&m, from_to(0, 7), 150, 450);
    CHECK_EQ(stay.t_in, at(1.5));
    CHECK_EQ(stay.t_out, at(4.5));
    CHECK_EQ(stay.gap_us, 5 * S / 2);
    CHECK(!stay.in_gap);
    CHECK(stay.out_gap);
    motion_fini(&m);
}

TEST(a_run_of_equal_speed_is_one_piece)
{
    struct motion m = {0};
    for (int i = 0; i < 36000; i++) { /* an hour's stop, ten readings a second */
        read_at(&m, i / 10.0, i < 10 ? 100 : 0);
        CHECK_OK(motion_reach(&m, at(i / 10.0), GAP));
    }
    CHECK_EQ(m.count, 4);
    CHECK_NEAR(motion_mm(&m, at(3599)), 95, 1e-9);
    motion_fini(&m);
}

TEST(a_stay_begins_with_the_first_entering_and_ends_with_the_last_leaving)
{
    struct motion m = {0};
    const double speeds[] = {100, 100, -100, -100, 100, 100, 100};
    for (int i = 0; i < 7; i++) /* 0 100 | turns at 125 | 100 at 2 s, 0 at 3 s … */
        read_at(&m, i, speeds[i]);
    CHECK_OK(motion_reach(&m, at(6), GAP));
    struct motion_stay stay = motion_stay(&m, from_to(0, 6), 50, 110);
    CHECK_EQ(stay.t_in, at(0.5));
    CHECK_EQ(stay.visits, 3); /* up, down, up */
    CHECK_EQ(stay.t_out, at(5.1));
    CHECK_NEAR(motion_back_mm(&m, from_to(0, 6)), 150, 1e-4);
    stay = motion_stay(&m, from_to(0, 6), 500, 600);
    CHECK_EQ(stay.visits, 0);
    int64_t last = 0;
    CHECK(motion_last_at(&m, at(6), 50, &last));
    CHECK_EQ(last, at(4.5));
    CHECK(!motion_last_at(&m, at(6), 900, &last));
    motion_fini(&m);
}

TEST(what_nobody_needs_is_forgotten_and_the_rest_stays_exact)
{
    struct motion m = {0};
    for (int i = 0; i <= 1000; i++)
        read_at(&m, i, 50 + i % 2);
    CHECK_OK(motion_reach(&m, at(1000), GAP));
    double mm = motion_mm(&m, at(990.5));
    motion_trim(&m, at(980), motion_mm(&m, at(985)));
    CHECK_EQ(m.points[0].time_us, at(980));
    CHECK_NEAR(motion_mm(&m, at(990.5)), mm, 0);
    motion_trim(&m, at(1000), mm - 1000);
    CHECK_EQ(m.points[0].time_us, at(980));
    motion_fini(&m);
}

TEST(too_many_points_are_thinned_and_the_way_stays)
{
    struct motion m = {0};
    double want = 0;
    for (int i = 0; i <= 40000; i++) {
        read_at(&m, i / 10.0, 50 + i % 3);
        CHECK_OK(motion_reach(&m, at(i / 10.0), GAP));
        if (i)
            want += (50 + i % 3 + 50 + (i - 1) % 3) / 20.0;
    }
    CHECK(m.count <= MOTION_POINTS_MAX);
    CHECK_NEAR(motion_mm(&m, at(4000)), want, 1e-6);
    CHECK_NEAR(motion_mm(&m, at(2000)), want / 2, 0.1);
    motion_fini(&m);
}

/* ---------------------------------------------------------------------------- against milliseconds
 */

#define PROPERTY_S            60
#define PROPERTY_READINGS_MAX (PROPERTY_S * 10 + 2)

struct truth {
    double mm[PROPERTY_S * 1000 + 1];
};

/* Straight between the readings, summed up in steps of 1 ms. */
static void truth_make(struct truth *t, const double *speeds, const int *ms, int count)
{
    int piece = 0;
    t->mm[0] = 0;
    for (int i = 1; i <= PROPERTY_S * 1000; i++) {
        double v[2];
        for (int k = 0; k < 2; k++) {
            int now = i - 1 + k;
            while (piece + 2 < count && ms[piece + 1] < now)
                piece++;
            double part = (double)(now - ms[piece]) / (ms[piece + 1] - ms[piece]);
            v[k] = speeds[piece] + (speeds[piece + 1] - speeds[piece]) * part;
        }
        t->mm[i] = t->mm[i - 1] + (v[0] + v[1]) / 2 / 1000;
    }
}

static void truth_stay(const struct truth *t, double from, double to, int *ret_in, int *ret_out)
{
    *ret_in = -1;
    for (int i = 0; i < PROPERTY_S * 1000; i++) {
        if (t->mm[i] < from || t->mm[i] >= to)
            continue;
        if (*ret_in < 0)
            *ret_in = i;
        *ret_out = i;
    }
}

static void property_check(struct rand *rand, struct truth *t)
{
    struct motion m = {0};
    struct path path = {0};
    double speeds[PROPERTY_READINGS_MAX];
    int ms[PROPERTY_READINGS_MAX];
    int count = 0;
    for (int at_ms = 0; at_ms <= PROPERTY_S * 1000; count++) {
        uint64_t what = rand_below(rand, 10);
        speeds[count] = what == 0 ? 0 : what == 1 ? -40 : 20 + (double)rand_below(rand, 80);
        ms[count] = at_ms;
        CHECK_OK(motion_read(&m, T0 + at_ms * INT64_C(1000), speeds[count]));
        int left = PROPERTY_S * 1000 - at_ms;
        int step = 100 + (int)rand_below(rand, 1500);
        at_ms += left && step > left ? left : step;
    }
    CHECK_OK(motion_reach(&m, at(PROPERTY_S), GAP));
    truth_make(t, speeds, ms, count);
    struct path_interval when = from_to(0, PROPERTY_S);
    CHECK_OK(motion_path(&m, when, (struct motion_frame){0, 0, 1}, &path));
    for (int i = 0; i <= PROPERTY_S * 1000; i += 7) {
        double mm = 0;
        CHECK_NEAR(motion_mm(&m, T0 + i * INT64_C(1000)), t->mm[i], 1e-3);
        CHECK(path_mm(&path, T0 + i * INT64_C(1000), &mm));
        CHECK_NEAR(mm, t->mm[i], MOTION_PATH_MM + 1e-3);
    }
    for (int k = 0; k < 20; k++) {
        double from = (double)rand_below(rand, 2000);
        int in = -1;
        int out = -1;
        truth_stay(t, from, from + 300, &in, &out);
        struct motion_stay stay = motion_stay(&m, when, from, from + 300);
        CHECK_EQ(stay.visits > 0, in >= 0);
        if (in < 0)
            continue;
        CHECK(llabs(stay.t_in - (T0 + in * INT64_C(1000))) <= 1001);
        CHECK(llabs(stay.t_out - (T0 + out * INT64_C(1000))) <= 1001);
    }
    motion_fini(&m);
    path_fini(&path);
}

TEST(any_speed_gives_what_milliseconds_add_up_to)
{
    struct rand rand;
    struct truth *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        rand_seed(&rand, seed);
        property_check(&rand, t);
    }
    free(t);
}

TEST(a_checkpoint_keeps_the_motion)
{
    struct motion m = {0};
    struct motion n = {0};
    struct buf out = {0};
    read_at(&m, 0, 10);
    read_at(&m, 1, 20);
    read_at(&m, 9, 20);
    read_at(&m, 10, 30);
    CHECK_OK(motion_reach(&m, at(8), GAP));
    motion_encode(&m, &out);
    struct reader in = reader_of(buf_bytes(&out));
    CHECK(motion_decode(&n, &in));
    CHECK_EQ(reader_left(&in), 0);
    CHECK_OK(motion_reach(&m, at(10), GAP));
    CHECK_OK(motion_reach(&n, at(10), GAP));
    CHECK_NEAR(motion_mm(&n, at(9.5)), motion_mm(&m, at(9.5)), 0);
    CHECK_EQ(motion_stay(&n, from_to(0, 10), 0, 100).gap_us,
             motion_stay(&m, from_to(0, 10), 0, 100).gap_us);
    for (size_t len = 0; len < out.len; len++) {
        in = reader_of(bytes_of(out.ptr, len));
        CHECK(!motion_decode(&n, &in) || in.failed);
    }
    buf_fini(&out);
    motion_fini(&m);
    motion_fini(&n);
}

/* ------------------------------------------------------------------------------------------ counts
 */

static struct motion counter(double mm, double rollover)
{
    return (struct motion){.counts = {.mm = mm, .rollover = rollover, .fastest_mm_s = 10000}};
}

TEST(case_19_counts_that_run_over_go_on)
{
    static const double circles[] = {65536, 16777216, 4294967296};
    for (size_t i = 0; i < sizeof circles / sizeof circles[0]; i++) {
        struct motion m = counter(0.1, circles[i]);
        /* 1000 counts a second, and over the end in the third second; then back over it. */
        for (int k = 0; k <= 4; k++)
            read_at(&m, k, fmod(circles[i] - 2500 + 1000 * k, circles[i]));
        read_at(&m, 5, circles[i] - 500);
        CHECK_OK(motion_reach(&m, at(5), GAP));
        CHECK_NEAR(motion_mm(&m, at(2)), 200, 1e-9);
        CHECK_NEAR(motion_mm(&m, at(2.5)), 250, 1e-9);
        CHECK_NEAR(motion_mm(&m, at(4)), 400, 1e-9);
        CHECK_NEAR(motion_mm(&m, at(5)), 200, 1e-9);
        CHECK_EQ(m.anew, 0);
        motion_fini(&m);
    }
}

TEST(a_signed_counter_and_one_that_falls_are_read_alike)
{
    struct motion m = counter(-0.5, 65536);
    read_at(&m, 0, -32700);
    read_at(&m, 1, 32736); /* 100 down, over the end */
    CHECK_OK(motion_reach(&m, at(1), GAP));
    CHECK_NEAR(motion_mm(&m, at(1)), 50, 1e-9);
    motion_fini(&m);
}

TEST(what_was_held_beyond_the_last_counts_is_put_right_by_the_next)
{
    struct motion m = counter(1, 0);
    read_at(&m, 0, 1000);
    read_at(&m, 1, 1100);
    CHECK_OK(motion_reach(&m, at(1.8), GAP));
    CHECK_NEAR(motion_mm(&m, at(1.8)), 180, 1e-9);
    read_at(&m, 2, 1100); /* it stopped */
    CHECK_OK(motion_reach(&m, at(2.5), GAP));
    CHECK_NEAR(motion_mm(&m, at(1.8)), 100, 1e-9);
    CHECK_NEAR(motion_mm(&m, at(2.5)), 100, 1e-9);
    CHECK_NEAR(motion_mm(&m, at(0.5)), 50, 1e-9);
    motion_fini(&m);
}

TEST(a_counter_that_begins_anew_goes_on_as_fast_as_before)
{
    struct motion m = counter(1, 0);
    read_at(&m, 0, 500000);
    read_at(&m, 1, 500100);
    read_at(&m, 2, 3);
    read_at(&m, 3, 103);
    CHECK_OK(motion_reach(&m, at(3), GAP));
    CHECK_NEAR(motion_mm(&m, at(2)), 200, 1e-9);
    CHECK_NEAR(motion_mm(&m, at(3)), 300, 1e-9);
    CHECK_EQ(m.anew, 1);
    CHECK_NEAR(m.gap_mm, 100, 1e-9);
    motion_fini(&m);
}

TEST(the_way_in_a_gap_is_known_by_the_counts_unless_they_may_have_run_over)
{
    struct motion m = counter(1, 1000);
    read_at(&m, 0, 0);
    read_at(&m, 1, 100);
    read_at(&m, 4, 400); /* 3 s: 300 mm of at most 500 */
    CHECK_OK(motion_reach(&m, at(4), GAP));
    CHECK_NEAR(motion_mm(&m, at(4)), 400, 1e-9);
    CHECK_NEAR(m.gap_mm, 0, 0);
    read_at(&m, 14, 400); /* 10 s: once around, or a stop */
    CHECK_OK(motion_reach(&m, at(14), GAP));
    CHECK_NEAR(motion_mm(&m, at(14)), 400, 1e-9);
    CHECK_NEAR(m.gap_mm, 1000, 1e-9);
    motion_fini(&m);
}

TEST(counts_of_any_belt_give_its_way)
{
    struct rand rand;
    rand_seed(&rand, 7);
    struct motion m = counter(0.25, 65536);
    struct motion loaded = counter(0.25, 65536);
    double mm[400] = {0};
    double way = 0;
    for (int i = 0; i < 400; i++) {
        double step = rand_below(&rand, 4) == 0 ? 0 : (double)rand_below(&rand, 400) / 4 - 20;
        way += i ? step : 0;
        mm[i] = way;
        read_at(&m, i * 0.1, fmod(60000 + mm[i] * 4 + 65536 * 10, 65536));
        if (i % 7 == 0)
            CHECK_OK(motion_reach(&m, at(i * 0.1 + 0.05), GAP));
        if (i % 50 != 49)
            continue;
        struct buf blob = {0};
        motion_encode(&m, &blob);
        struct reader in = reader_of(buf_bytes(&blob));
        CHECK(motion_decode(&loaded, &in));
        CHECK_EQ(loaded.count, m.count);
        CHECK_NEAR(loaded.read_mm, m.read_mm, 0);
        buf_fini(&blob);
    }
    CHECK_OK(motion_reach(&m, at(39.9), GAP));
    for (int i = 0; i < 400; i++)
        CHECK_NEAR(motion_mm(&m, at(i * 0.1)), mm[i], 1e-6);
    motion_fini(&m);
    motion_fini(&loaded);
}
