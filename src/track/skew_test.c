/* How far one clock is from another: constant, drifting, stepping, with noise, with events that
 * only one side has seen, and when nothing can be said. */
#include "track/skew.h"

#include "tests/support/check.h"

#define T0 INT64_C(1763800000000000)
#define MS INT64_C(1000)
#define S  INT64_C(1000000)

static const struct skew_options usual = {
    .offset_max_us = 10 * S, .tolerance_us = 200 * MS, .rate_max = 200e-6};

/* The i-th event: at irregular times, 4 to 9 s apart. */
static int64_t event_us(int i)
{
    static const int64_t apart[] = {4100, 7350, 5230, 8810, 4690, 6170, 9020, 5550};
    int64_t at = T0;
    for (int k = 0; k < i; k++)
        at += apart[k % 8] * MS;
    return at;
}

/* An event that both see, the other clock being so far off. */
static enum skew_found both(struct skew *s, int i, int64_t offset)
{
    (void)skew_event(s, SKEW_REFERENCE, event_us(i), 0);
    return skew_event(s, SKEW_OWN, event_us(i) + offset, 0);
}

TEST(case_17_an_offset_that_stays_is_known_exactly)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        struct skew s = {.options = usual};
        CHECK_EQ(both(&s, 0, sign * 5 * S), SKEW_NONE);
        CHECK_EQ(both(&s, 1, sign * 5 * S), SKEW_NONE);
        CHECK(!s.known);
        CHECK_EQ(skew_offset(&s, event_us(1)), 0);
        CHECK_EQ(both(&s, 2, sign * 5 * S), SKEW_PAIR);
        for (int i = 3; i < 50; i++)
            CHECK_EQ(both(&s, i, sign * 5 * S), SKEW_PAIR);
        for (int i = 0; i < 60; i++)
            CHECK_EQ(skew_offset(&s, event_us(i)), sign * 5 * S);
    }
}

/* 50 ppm: 4.3 s a day. */
static int64_t drift_us(int64_t time_us)
{
    return (time_us - T0) / 20000;
}

TEST(case_17_a_drift_of_50_ppm_is_followed)
{
    struct skew s = {.options = usual};
    for (int i = 0; i < 400; i++) {
        (void)both(&s, i, drift_us(event_us(i)));
        if (i < 8)
            continue;
        int64_t ahead = event_us(i) + 60 * S;
        CHECK_NEAR((double)skew_offset(&s, event_us(i)), (double)drift_us(event_us(i)), 2);
        CHECK_NEAR((double)skew_offset(&s, ahead), (double)drift_us(ahead), 10);
        CHECK_NEAR((double)skew_offset(&s, event_us(i - 1) + S),
                   (double)drift_us(event_us(i - 1) + S), 2);
    }
    CHECK_NEAR(s.line.rate, 50e-6, 1e-8);
}

TEST(case_17_a_step_is_believed_when_three_events_say_it)
{
    const int64_t steps[] = {-5 * S, 5 * S, 1 * S, -1 * S, -400 * MS - 1};
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        struct skew s = {.options = usual};
        for (int i = 0; i < 10; i++)
            (void)both(&s, i, 3 * S);
        CHECK_EQ(both(&s, 10, 3 * S + steps[k]), SKEW_NONE);
        CHECK_EQ(both(&s, 11, 3 * S + steps[k]), SKEW_NONE);
        CHECK_EQ(both(&s, 12, 3 * S + steps[k]), SKEW_STEP);
        int64_t at = event_us(9) + 2 * S;
        skew_stepped(&s, at + 3 * S, at + 100 * MS + 3 * S + steps[k]);
        CHECK_EQ(skew_offset(&s, at), 3 * S);
        CHECK_EQ(skew_offset(&s, at + 100 * MS), 3 * S + steps[k]);
        CHECK_EQ(skew_offset(&s, event_us(9)), 3 * S);
        CHECK_EQ(skew_offset(&s, event_us(13)), 3 * S + steps[k]);
        CHECK_EQ(both(&s, 13, 3 * S + steps[k]), SKEW_PAIR);
    }
}

TEST(case_17_local_time_loses_an_hour_in_spring)
{
    struct skew s = {.options = usual};
    s.options.offset_max_us = 3 * 3600 * S;
    for (int i = 0; i < 10; i++)
        (void)both(&s, i, 3600 * S);
    CHECK_EQ(skew_offset(&s, event_us(9)), 3600 * S);
    (void)both(&s, 10, 7200 * S);
    (void)both(&s, 11, 7200 * S);
    CHECK_EQ(both(&s, 12, 7200 * S), SKEW_STEP);
    CHECK_EQ(skew_line_offset(&s.line, event_us(12) + 7200 * S), 7200 * S);
    CHECK_EQ(skew_line_offset(&s.before, event_us(9) + 3600 * S), 3600 * S);
}

TEST(noise_is_averaged_and_is_no_drift)
{
    static const int64_t noise[] = {40, -75, 10, 90, -20, -95, 60, -10};
    struct skew s = {.options = usual};
    for (int i = 0; i < 64; i++)
        (void)both(&s, i, 2 * S + noise[(i * 5) % 8] * MS);
    CHECK_NEAR((double)skew_offset(&s, event_us(60)), 2e6, 25e3);
    CHECK_NEAR((double)skew_offset(&s, event_us(70)), 2e6, 25e3);
}

TEST(events_that_one_side_missed_or_saw_twice_are_passed_over)
{
    struct skew s = {.options = usual};
    for (int i = 0; i < 60; i++) {
        if (i % 7 != 3)
            (void)skew_event(&s, SKEW_REFERENCE, event_us(i), 0);
        if (i % 11 == 5)
            (void)skew_event(&s, SKEW_OWN, event_us(i) + 8 * S, 0); /* of nobody */
        if (i % 5 != 2)
            (void)skew_event(&s, SKEW_OWN, event_us(i) + 4 * S, 0);
        (void)skew_event(&s, SKEW_OWN, event_us(i) + 4 * S, 0); /* sent again */
    }
    CHECK(s.known);
    CHECK_EQ(skew_offset(&s, event_us(59)), 4 * S);
    CHECK(!skew_is_lost(&s));
}

/* A stream that is told late: its events come when many of the other one did. */
TEST(either_side_may_be_behind)
{
    for (int late = 0; late < 2; late++) {
        struct skew s = {.options = usual};
        for (int i = 0; i < 40; i++) {
            int first = late ? i : i - 8;
            int second = late ? i - 8 : i;
            if (first >= 0)
                (void)skew_event(&s, SKEW_REFERENCE, event_us(first), 0);
            if (second >= 0)
                (void)skew_event(&s, SKEW_OWN, event_us(second) - 5 * S, 0);
        }
        CHECK(s.known);
        CHECK_EQ(skew_offset(&s, event_us(20)), -5 * S);
    }
}

TEST(events_that_come_as_evenly_as_a_clock_say_nothing)
{
    struct skew s = {.options = usual};
    for (int i = 0; i < 40; i++) {
        (void)skew_event(&s, SKEW_REFERENCE, T0 + i * S, 0);
        (void)skew_event(&s, SKEW_OWN, T0 + i * S + 5 * S, 0);
    }
    CHECK(!s.known);
    CHECK(skew_is_lost(&s));
}

TEST(events_that_come_evenly_tell_if_no_other_offset_is_possible)
{
    struct skew s = {.options = usual};
    s.options.offset_max_us = S / 2 - 1;
    for (int i = 0; i < 5; i++) {
        (void)skew_event(&s, SKEW_REFERENCE, T0 + i * S, 0);
        (void)skew_event(&s, SKEW_OWN, T0 + i * S + 300 * MS, 0);
    }
    CHECK_EQ(skew_offset(&s, T0), 300 * MS);
}

TEST(values_tell_at_once_and_evenly_too)
{
    struct skew s = {.options = usual};
    s.options.by_value = true;
    (void)skew_event(&s, SKEW_REFERENCE, T0, 1);
    CHECK_EQ(skew_event(&s, SKEW_OWN, T0 + 5 * S, 1), SKEW_PAIR);
    CHECK_EQ(skew_offset(&s, T0), 5 * S);
    for (int i = 1; i < 9; i++) {
        (void)skew_event(&s, SKEW_REFERENCE, T0 + i * S, (uint64_t)i);
        (void)skew_event(&s, SKEW_OWN, T0 + i * S + 5 * S, (uint64_t)i + 100);
    }
    CHECK_EQ(skew_paired_us(&s), T0 + 5 * S); /* those bore other values */
    (void)skew_event(&s, SKEW_REFERENCE, T0 + 20 * S, 20);
    (void)skew_event(&s, SKEW_OWN, T0 + 20 * S, 20);
    (void)skew_event(&s, SKEW_REFERENCE, T0 + 21 * S, 21);
    CHECK_EQ(skew_event(&s, SKEW_OWN, T0 + 21 * S, 21), SKEW_STEP);
}

TEST(what_the_device_needs_to_see_it_is_no_offset)
{
    struct skew s = {.options = usual};
    s.options.delay_us = 700 * MS;
    for (int i = 0; i < 5; i++)
        (void)both(&s, i, 700 * MS + 2 * S);
    CHECK_EQ(skew_offset(&s, event_us(4)), 2 * S);
}

TEST(offsets_beyond_the_largest_are_not_believed)
{
    struct skew s = {.options = usual};
    for (int i = 0; i < 20; i++)
        (void)both(&s, i, 11 * S);
    CHECK(!s.known);
    CHECK(skew_is_lost(&s));
}
