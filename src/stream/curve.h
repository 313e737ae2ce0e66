/* Signals as curves over time: what is weighted by time in a unit window.
 *
 * A value holds until the next one (or runs straight to it, for linear signals), at most gap_max.
 * The last value before an interval counts from its beginning on. A null says that the value is
 * unknown from there on.
 *
 * The unit's own curve (profile) is at each moment the signal where the unit is. Between the
 * middles of two places that touch it goes straight, by the unit's position, from the one signal to
 * the other; before the first middle, behind the last one and beside a place that nothing touches
 * it is the place's own signal; where no signal is, it is unknown.
 */
#ifndef LOTLINE_STREAM_CURVE_H
#define LOTLINE_STREAM_CURVE_H

#include "model/path.h"
#include "stream/plan.h"
#include "stream/series.h"

/* What is known of a curve; add interval after interval. */
struct curve {
    int64_t gap_max_us; /* 0: no limit */
    double threshold;
    double total_us;
    double known_us;
    double above_us; /* above the threshold */
    double sum;      /* value × µs */
    double min;
    double max;
};

struct curve curve_of(int64_t gap_max_us, double threshold);

/* A signal over an interval. */
void curve_signal(struct curve *c, const struct aggregate *a, const struct series *s,
                  struct path_interval in);

/* The unit's own curve over its stay. aggregates, series: all of the window, which the profile's
 * regions point into. */
void curve_profile(struct curve *c, const struct aggregate *aggregates,
                   struct series *const *series, const struct profile *profile,
                   const struct path *path, struct path_interval stay);

/* AGG_AVG, AGG_MIN, AGG_MAX, AGG_COVERED (0 … 1) or AGG_TIMEABOVE (seconds); null if nothing is
 * known (covered: 0). */
struct value curve_result(const struct curve *c, enum agg_kind kind);

#endif
