/* Slots of a visit → its curve on the grid; curves → quantiles. See band.h. Pure functions. */
#include "trace/band.h"

#include <math.h>
#include <stdlib.h>

double band_place(const struct band_plan *plan, uint32_t i)
{
    double part = (double)i / (BAND_GRID - 1);
    return plan->by_way ? plan->from_mm + part * (plan->to_mm - plan->from_mm)
                        : part * plan->length_s;
}

/* The means of a signal's slots, straight between those that have one; the first and the last hold
 * to the ends. False: it has none at all. */
static bool line_fill(const struct band_slot *slots, double line[BAND_SLOTS])
{
    uint32_t last = BAND_SLOTS;
    for (uint32_t i = 0; i < BAND_SLOTS; i++) {
        if (slots[i].count == 0)
            continue;
        line[i] = slots[i].sum / slots[i].count;
        for (uint32_t k = last == BAND_SLOTS ? 0 : last + 1; k < i; k++)
            line[k] = last == BAND_SLOTS
                          ? line[i]
                          : line[last] + (line[i] - line[last]) * (k - last) / (double)(i - last);
        last = i;
    }
    for (uint32_t k = last + 1; last < BAND_SLOTS && k < BAND_SLOTS; k++)
        line[k] = line[last];
    return last < BAND_SLOTS;
}

/* At a moment of the visit, 0 … 1: a slot's mean counts for its middle. */
static double line_at(const double line[BAND_SLOTS], double part)
{
    double at = part * BAND_SLOTS - 0.5;
    if (at <= 0)
        return line[0];
    if (at >= BAND_SLOTS - 1)
        return line[BAND_SLOTS - 1];
    uint32_t i = (uint32_t)at;
    return line[i] + (line[i + 1] - line[i]) * (at - i);
}

/* --------------------------------------------------------------------------------------- by time
 */

static void shape_by_time(const struct band_plan *plan, const struct band_visit *v,
                          double ret[BAND_GRID])
{
    double line[BAND_SLOTS];
    double length_s = (double)(v->t_out - v->t_in) / 1e6;
    bool known = line_fill(v->slots, line);
    for (uint32_t i = 0; i < BAND_GRID; i++) {
        double at = band_place(plan, i);
        ret[i] = known && at <= length_s ? line_at(line, at / length_s) : (double)NAN;
    }
}

/* ---------------------------------------------------------------------------------------- by way
 */

/* For each grid point the part of the visit, 0 … 1, at which the unit first got there. */
static void way_fill(const struct band_plan *plan, const struct band_visit *v,
                     double ret[BAND_GRID])
{
    double speed[BAND_SLOTS];
    double way[BAND_SLOTS + 1] = {0};
    bool known =
        plan->speed < plan->count && line_fill(&v->slots[(size_t)plan->speed * BAND_SLOTS], speed);
    for (uint32_t i = 0; i < BAND_SLOTS; i++)
        way[i + 1] = way[i] + (known ? speed[i] : 1);
    if (!(way[BAND_SLOTS] > 0)) /* it stood, or the speed is nonsense: straight */
        for (uint32_t i = 0; i <= BAND_SLOTS; i++)
            way[i] = i;
    uint32_t k = 0;
    for (uint32_t i = 0; i < BAND_GRID; i++) {
        double wanted = way[BAND_SLOTS] * i / (BAND_GRID - 1);
        while (k < BAND_SLOTS - 1 && way[k + 1] < wanted)
            k++;
        double step = way[k + 1] - way[k];
        double part = step > 0 ? (wanted - way[k]) / step : 0;
        ret[i] = (k + fmin(fmax(part, 0), 1)) / BAND_SLOTS;
    }
}

/* Which signal is measured at a position; count: none is. */
static uint32_t signal_at(const struct band_plan *plan, double mm)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (i != plan->speed && plan->signals[i].from_mm <= mm && mm < plan->signals[i].to_mm)
            return i;
    return plan->count;
}

/* The signal beside it, towards the position; count: a free stretch. */
static uint32_t signal_beside(const struct band_plan *plan, uint32_t at, double mm)
{
    const struct band_signal *s = &plan->signals[at];
    bool ahead = mm > (s->from_mm + s->to_mm) / 2;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct band_signal *other = &plan->signals[i];
        double gap = ahead ? other->from_mm - s->to_mm : s->from_mm - other->to_mm;
        if (i != plan->speed && i != at && fabs(gap) < 1e-6)
            return i;
    }
    return plan->count;
}

/* As the SQL's profile(): between the middles of two places that touch straight from one signal to
 * the other, by the position. */
static void shape_by_way(const struct band_plan *plan, const struct band_visit *v,
                         double lines[][BAND_SLOTS], const bool *known, double ret[BAND_GRID])
{
    double parts[BAND_GRID];
    way_fill(plan, v, parts);
    for (uint32_t i = 0; i < BAND_GRID; i++) {
        double mm = band_place(plan, i);
        uint32_t a = signal_at(plan, mm);
        ret[i] = (double)NAN;
        if (a == plan->count || !known[a])
            continue;
        uint32_t b = signal_beside(plan, a, mm);
        ret[i] = line_at(lines[a], parts[i]);
        if (b == plan->count || !known[b])
            continue;
        double middle_a = (plan->signals[a].from_mm + plan->signals[a].to_mm) / 2;
        double middle_b = (plan->signals[b].from_mm + plan->signals[b].to_mm) / 2;
        double share = (mm - middle_a) / (middle_b - middle_a);
        ret[i] += (line_at(lines[b], parts[i]) - ret[i]) * share;
    }
}

void band_shape(const struct band_plan *plan, const struct band_visit *v, double ret[BAND_GRID])
{
    bool known[BAND_SIGNALS_MAX] = {false};
    if (!plan->by_way) {
        shape_by_time(plan, v, ret);
        return;
    }
    double(*lines)[BAND_SLOTS] = calloc(plan->count, sizeof *lines);
    for (uint32_t i = 0; i < BAND_GRID; i++)
        ret[i] = (double)NAN;
    if (!lines)
        return;
    for (uint32_t i = 0; i < plan->count; i++)
        known[i] = line_fill(&v->slots[(size_t)i * BAND_SLOTS], lines[i]);
    shape_by_way(plan, v, lines, known, ret);
    free(lines);
}

/* ------------------------------------------------------------------------------------- quantiles
 */

static int number_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

bool band_quantiles(double *values, uint32_t count, double ret[3])
{
    static const double parts[3] = {0.05, 0.5, 0.95};
    uint32_t known = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            values[known++] = values[i];
    if (known < BAND_UNITS_LEAST)
        return false;
    qsort(values, known, sizeof *values, number_compare);
    for (uint32_t i = 0; i < 3; i++) {
        double at = parts[i] * (known - 1);
        uint32_t low = (uint32_t)at;
        uint32_t high = low + 1 < known ? low + 1 : low;
        ret[i] = values[low] + (values[high] - values[low]) * (at - low);
    }
    return true;
}
