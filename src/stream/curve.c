/* Integrals, extremes and times above of curves. See curve.h. Every curve is a row of pieces, each
 * of which is at most a parabola: the product of a signal that runs straight and a unit that moves
 * evenly. So three values say all of a piece. */
#include "stream/curve.h"

#include <math.h>

struct curve curve_of(int64_t gap_max_us, double threshold)
{
    return (struct curve){
        .gap_max_us = gap_max_us, .threshold = threshold, .min = HUGE_VAL, .max = -HUGE_VAL};
}

/* ---------------------------------------------------------------------------------------- pieces
 */

/* The value at the beginning, in the middle and at the end. */
struct piece {
    double us;
    double a;
    double m;
    double b;
};

static double clip(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* The part of [0, 1] on which c2 u² + c1 u + c0 > 0. */
static double part_above(double c2, double c1, double c0)
{
    double square = c1 * c1 - 4 * c2 * c0;
    if (fabs(c2) < 1e-12 * (fabs(c1) + fabs(c0))) {
        if (c1 == 0)
            return c0 > 0 ? 1 : 0;
        double u = clip(-c0 / c1);
        return c1 > 0 ? 1 - u : u;
    }
    if (square <= 0)
        return c2 > 0 ? 1 : 0;
    double root = (-c1 - copysign(sqrt(square), c1)) / 2; /* without cancellation */
    double u1 = root / c2;
    double u2 = root == 0 ? u1 : c0 / root;
    double between = fabs(clip(u2) - clip(u1));
    return c2 > 0 ? 1 - between : between;
}

static void extreme(struct curve *c, double v)
{
    c->min = v < c->min ? v : c->min;
    c->max = v > c->max ? v : c->max;
}

static void piece_add(struct curve *c, struct piece p)
{
    double bend = p.a - 2 * p.m + p.b;
    double c2 = 2 * bend;
    double c1 = 4 * p.m - 3 * p.a - p.b;
    c->known_us += p.us;
    c->sum += (p.m + bend / 6) * p.us;
    c->above_us += part_above(c2, c1, p.a - c->threshold) * p.us;
    extreme(c, p.a);
    extreme(c, p.b);
    double turn = c2 == 0 ? -1 : -c1 / (2 * c2);
    if (turn > 0 && turn < 1)
        extreme(c, p.a + (c1 + c2 * turn) * turn);
}

/* --------------------------------------------------------------------------------------- signals
 */

/* A straight piece of a signal, from the moment asked for on; times in µs behind a base. */
struct line {
    double to;
    bool known;
    double value;
    double slope; /* a µs */
};

static struct line line_at(const struct curve *c, const struct aggregate *a, const struct series *s,
                           int64_t base_us, double at)
{
    uint32_t next = series_lower(s, base_us + (int64_t)floor(at) + 1);
    struct line line = {.to = HUGE_VAL};
    if (next < s->count)
        line.to = (double)(series_time(s, next) - base_us);
    if (next == 0 || !series_valid(s, next - 1))
        return line;
    double from = (double)(series_time(s, next - 1) - base_us);
    double end = from + (double)c->gap_max_us;
    bool gap = c->gap_max_us > 0 && line.to > end;
    if (gap && at >= end)
        return line;
    line.known = true;
    line.value = series_number(s, next - 1, a->arg_type);
    if (gap) {
        line.to = end;
    } else if (a->linear && next < s->count && series_valid(s, next)) {
        line.slope = (series_number(s, next, a->arg_type) - line.value) / (line.to - from);
        line.value += line.slope * (at - from);
    }
    return line;
}

void curve_signal(struct curve *c, const struct aggregate *a, const struct series *s,
                  struct path_interval in)
{
    double end = (double)(in.to_us - in.from_us);
    double at = 0;
    c->total_us += end;
    while (at < end) {
        struct line line = line_at(c, a, s, in.from_us, at);
        double to = line.to < end ? line.to : end;
        struct piece p = {.us = to - at, .a = line.value};
        p.m = line.value + line.slope * p.us / 2;
        p.b = line.value + line.slope * p.us;
        if (line.known)
            piece_add(c, p);
        at = to;
    }
}

/* --------------------------------------------------------------------------------------- profile
 */

/* A piece of the unit's way on which it moves evenly; times in µs behind a base. */
struct leg {
    int64_t base_us;
    double from;
    double to;
    double from_mm;
    double to_mm;
};

static double leg_mm(const struct leg *l, double at)
{
    return l->from_mm + (l->to_mm - l->from_mm) * (at - l->from) / (l->to - l->from);
}

/* The part of the leg that lies in the region. */
static bool leg_cut(const struct leg *l, const struct profile_region *r, struct leg *ret)
{
    *ret = *l;
    if (l->from_mm == l->to_mm)
        return l->from_mm >= r->from_mm && l->from_mm < r->to_mm;
    double us_a_mm = (l->to - l->from) / (l->to_mm - l->from_mm);
    double t1 = l->from + (r->from_mm - l->from_mm) * us_a_mm;
    double t2 = l->from + (r->to_mm - l->from_mm) * us_a_mm;
    double first = t1 < t2 ? t1 : t2;
    double last = t1 < t2 ? t2 : t1;
    ret->from = first > l->from ? first : l->from;
    ret->to = last < l->to ? last : l->to;
    if (!(ret->from < ret->to))
        return false;
    ret->from_mm = leg_mm(l, ret->from);
    ret->to_mm = leg_mm(l, ret->to);
    return true;
}

/* How much of the signal at the region's far end counts. */
static double weight_high(const struct profile_region *r, double mm)
{
    return r->low == r->high ? 0 : (mm - r->low_mm) / (r->high_mm - r->low_mm);
}

static void region_add(struct curve *c, const struct aggregate *aggregates,
                       struct series *const *series, const struct profile_region *r,
                       const struct leg *l)
{
    for (double at = l->from; at < l->to;) {
        struct line low = line_at(c, &aggregates[r->low], series[r->low], l->base_us, at);
        struct line high = line_at(c, &aggregates[r->high], series[r->high], l->base_us, at);
        double to = low.to < high.to ? low.to : high.to;
        to = to < l->to ? to : l->to;
        struct piece p = {.us = to - at};
        double *const values[] = {&p.a, &p.m, &p.b};
        for (int i = 0; i < 3; i++) {
            double behind = p.us * i / 2;
            double w = weight_high(r, leg_mm(l, at + behind));
            *values[i] =
                (low.value + low.slope * behind) * (1 - w) + (high.value + high.slope * behind) * w;
        }
        if (low.known && high.known)
            piece_add(c, p);
        at = to;
    }
}

void curve_profile(struct curve *c, const struct aggregate *aggregates,
                   struct series *const *series, const struct profile *profile,
                   const struct path *path, struct path_interval stay)
{
    c->total_us += (double)(stay.to_us - stay.from_us);
    for (uint32_t i = 0; i + 1 < path->count; i++) {
        const struct path_point *a = &path->points[i];
        const struct path_point *b = a + 1;
        if (b->time_us <= stay.from_us || a->time_us >= stay.to_us)
            continue;
        struct leg whole = {stay.from_us, (double)(a->time_us - stay.from_us),
                            (double)(b->time_us - stay.from_us), a->mm, b->mm};
        struct leg inside = whole;
        double end = (double)(stay.to_us - stay.from_us);
        inside.from = whole.from > 0 ? whole.from : 0;
        inside.to = whole.to < end ? whole.to : end;
        inside.from_mm = leg_mm(&whole, inside.from);
        inside.to_mm = leg_mm(&whole, inside.to);
        for (uint32_t k = 0; k < profile->region_count; k++) {
            struct leg part;
            if (leg_cut(&inside, &profile->regions[k], &part))
                region_add(c, aggregates, series, &profile->regions[k], &part);
        }
    }
}

/* --------------------------------------------------------------------------------------- results
 */

struct value curve_result(const struct curve *c, enum agg_kind kind)
{
    struct value v = {.type = VALUE_DOUBLE};
    if (kind == AGG_COVERED) {
        v.f64 = c->total_us > 0 ? c->known_us / c->total_us : 0;
        return v;
    }
    if (!(c->known_us > 0))
        return (struct value){.type = VALUE_NULL};
    if (kind == AGG_TIMEABOVE)
        v.f64 = c->above_us / 1e6;
    else if (kind == AGG_MIN)
        v.f64 = c->min;
    else if (kind == AGG_MAX)
        v.f64 = c->max;
    else
        v.f64 = c->sum / c->known_us;
    return v;
}
