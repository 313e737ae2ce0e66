/* The arithmetic of the good units' band, against curves that can be told by hand. */
#include "tests/support/check.h"
#include "trace/band.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((int64_t)1000000)

static struct band_slot slots[4 * BAND_SLOTS];

static void slot_put(uint32_t signal, uint32_t slot, double v)
{
    slots[signal * BAND_SLOTS + slot] = (struct band_slot){v, 1};
}

/* Two zones that touch, a free stretch behind them, and the belt's speed. */
static const struct band_plan belt = {
    .signals = {{.from_mm = 0, .to_mm = 400}, {.from_mm = 400, .to_mm = 800}, {.from_mm = 0}},
    .count = 3,
    .speed = 2,
    .by_way = true,
    .from_mm = 0,
    .to_mm = 1600,
};

static void belt_fill(void)
{
    memset(slots, 0, sizeof slots);
    for (uint32_t i = 0; i < BAND_SLOTS; i++) {
        slot_put(0, i, 100);
        slot_put(1, i, 200);
        slot_put(2, i, i < BAND_SLOTS / 2 ? 0 : 10); /* it stands for half of the time */
    }
}

static double curve_at(const double curve[BAND_GRID], double mm)
{
    return curve[(uint32_t)(mm / belt.to_mm * (BAND_GRID - 1))];
}

TEST(over_the_way_a_curve_goes_from_zone_to_zone_by_position)
{
    double curve[BAND_GRID];
    belt_fill();
    band_shape(&belt, &(struct band_visit){.t_out = 100 * SECOND, .slots = slots}, curve);
    CHECK_NEAR(curve_at(curve, 0), 100, 1e-9);
    CHECK_NEAR(curve_at(curve, 200), 100, 1e-9);
    CHECK_NEAR(curve_at(curve, 300), 125, 1e-9);
    CHECK_NEAR(curve_at(curve, 500), 175, 1e-9);
    CHECK_NEAR(curve_at(curve, 700), 200, 1e-9);
    CHECK(isnan(curve_at(curve, 1000)));
}

TEST(a_belt_that_stands_reads_no_place_before_the_unit_is_there)
{
    double curve[BAND_GRID];
    belt_fill();
    /* Zone 1 is wrong while the unit stands before it, and right when it is there. */
    for (uint32_t i = 0; i < BAND_SLOTS / 2; i++)
        slot_put(1, i, 999);
    band_shape(&belt, &(struct band_visit){.t_out = 100 * SECOND, .slots = slots}, curve);
    CHECK_NEAR(curve_at(curve, 600), 200, 1e-9);
}

TEST(without_a_speed_the_unit_went_evenly)
{
    double curve[BAND_GRID];
    struct band_plan plan = belt;
    plan.speed = plan.count;
    belt_fill();
    for (uint32_t i = BAND_SLOTS / 2; i < BAND_SLOTS; i++)
        slot_put(1, i, 999);
    band_shape(&plan, &(struct band_visit){.t_out = 100 * SECOND, .slots = slots}, curve);
    CHECK_NEAR(curve_at(curve, 700), 200, 1e-9);
}

TEST(over_time_gaps_are_straight_and_nothing_is_behind_the_end)
{
    static const struct band_plan plan = {.count = 1, .speed = 1, .length_s = 20};
    double curve[BAND_GRID];
    memset(slots, 0, sizeof slots);
    slot_put(0, 0, 10);
    slot_put(0, BAND_SLOTS - 1, 20);
    band_shape(&plan, &(struct band_visit){.t_out = 10 * SECOND, .slots = slots}, curve);
    CHECK_NEAR(curve[0], 10, 1e-9);
    CHECK_NEAR(curve[40], 15, 0.05);
    CHECK_NEAR(curve[80], 20, 1e-9);
    CHECK(isnan(curve[81]));
    CHECK_NEAR(band_place(&plan, BAND_GRID - 1), 20, 1e-9);
}

TEST(a_signal_without_a_value_has_no_curve)
{
    double curve[BAND_GRID];
    belt_fill();
    memset(slots, 0, BAND_SLOTS * sizeof slots[0]);
    band_shape(&belt, &(struct band_visit){.t_out = SECOND, .slots = slots}, curve);
    CHECK(isnan(curve_at(curve, 100)));
    CHECK_NEAR(curve_at(curve, 500), 200, 1e-9);
}

TEST(quantiles_leave_out_what_is_unknown_and_need_enough)
{
    double values[101];
    double q[3] = {0};
    for (uint32_t i = 0; i < 101; i++)
        values[i] = 100 - i;
    CHECK(band_quantiles(values, 101, q));
    CHECK_NEAR(q[0], 5, 1e-9);
    CHECK_NEAR(q[1], 50, 1e-9);
    CHECK_NEAR(q[2], 95, 1e-9);
    double few[BAND_UNITS_LEAST] = {1, 2, 3, 4, (double)NAN};
    CHECK(!band_quantiles(few, BAND_UNITS_LEAST, q));
    few[0] = 1, few[1] = 1, few[2] = 1, few[3] = 1, few[4] = 1;
    CHECK(band_quantiles(few, BAND_UNITS_LEAST, q));
    CHECK_NEAR(q[2], 1, 1e-9);
}
