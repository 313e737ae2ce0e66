/* Counting and scoring: what is done once for the units as they are and hundreds of times for the
 * shifted ones, so by counts alone.
 *
 * Each slot is scored as Cochran-Mantel-Haenszel does, from observed, expected and variance summed
 * over strata. Where little is expected chi-square's tail is far too thin (three of five units bad
 * where one in a hundred is), so the statistic is no larger than the deviance of a binomial with
 * the same mean and variance, which is within a few per cent of the exact tail.
 */
#include "trace/why_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------- counting
 */

int why_counts_init(const struct why_coded *c, uint32_t cells, struct why_counts *ret)
{
    uint32_t *counts = calloc((size_t)c->rows * cells, sizeof *counts);
    if (!counts)
        return ERR_NOMEM;
    *ret = (struct why_counts){cells, counts, counts + (size_t)c->slots * cells};
    return OK;
}

void why_counts_fini(struct why_counts *counts)
{
    free(counts->slots);
}

static void counts_zero(const struct why_coded *c, struct why_counts *counts)
{
    memset(counts->slots, 0, (size_t)c->rows * counts->cells * sizeof *counts->slots);
}

static void count_unit(const struct why_coded *c, const uint16_t *cell, uint32_t unit,
                       struct why_counts *ret)
{
    uint32_t at = cell ? cell[unit] : 0;
    ret->units[at]++;
    for (uint32_t i = c->begin[unit]; i < c->begin[unit + 1]; i++)
        ret->slots[c->codes[i] * ret->cells + at]++;
    if (!c->weight_begin)
        return;
    for (uint32_t i = c->weight_begin[unit]; i < c->weight_begin[unit + 1]; i++) {
        uint32_t weight = c->weights[i].weight;
        ret->slots[(size_t)c->weights[i].row * ret->cells + at] += weight;
        ret->slots[(size_t)(c->weights[i].row + c->weighted) * ret->cells + at] += weight * weight;
    }
}

void why_count_all(const struct why_coded *c, const uint16_t *cell, struct why_counts *ret)
{
    counts_zero(c, ret);
    for (uint32_t unit = 0; unit < c->matrix->units; unit++)
        count_unit(c, cell, unit, ret);
}

void why_count_bad(const struct why_coded *c, const uint16_t *cell, const struct why_bad *bad,
                   struct why_counts *ret)
{
    uint32_t units = c->matrix->units;
    counts_zero(c, ret);
    for (uint32_t b = 0; b < bad->count; b++) {
        uint32_t unit = bad->units[b] + bad->shift;
        count_unit(c, cell, unit >= units ? unit - units : unit, ret);
    }
}

void why_fold(const struct why_coded *c, const struct why_counts *from,
              const struct why_layout *layout, struct why_counts *ret)
{
    uint32_t *out = ret->slots;
    for (uint32_t at = 0; at < c->rows; at++) {
        const uint32_t *cells = &from->slots[(size_t)at * from->cells];
        for (uint32_t h = 0, i = 0; h < layout->strata; h++) {
            uint32_t sum = 0;
            for (; i < layout->end[h]; i++)
                sum += cells[i];
            *out++ = sum;
        }
    }
}

/* --------------------------------------------------------------------------------------- scoring
 */

/* Of one factor. Pointers into the scorer's work, [count] each, the first STRATA_WORK of it. */
struct strata {
    uint32_t count;
    double *units;    /* that take part */
    double *bad;      /* of these */
    double *rate;     /* bad / units */
    double *variance; /* of one draw, for the variance of a count */
    double *below;    /* units and bad ones below a cut */
    double *below_bad;
    double *squares; /* of the bins' scores */
};

#define STRATA_WORK 7

static const uint32_t *row(const struct why_counts *counts, uint32_t slot)
{
    return &counts->slots[(size_t)slot * counts->cells];
}

static void strata_add(uint32_t count, const uint32_t *cells, double *sums)
{
    for (uint32_t h = 0; h < count; h++)
        sums[h] += cells[h];
}

static void strata_begin(const struct why_scorer *s, const struct why_coded_factor *f,
                         struct strata *ret)
{
    double *w = s->work;
    uint32_t n = s->all->cells;
    bool everyone = !f->numeric || f->complete;
    uint32_t from = everyone ? s->coded->slots : f->first; /* the row behind the slots */
    uint32_t to = everyone ? from + 1 : f->first + f->count;
    *ret = (struct strata){n, w, w + n, w + 2 * n, w + 3 * n, w + 4 * n, w + 5 * n, w + 6 * n};
    memset(w, 0, (size_t)WHY_WORK * n * sizeof *w);
    for (uint32_t slot = from; slot < to; slot++) {
        strata_add(n, row(s->all, slot), ret->units);
        strata_add(n, row(s->bad, slot), ret->bad);
    }
    for (uint32_t h = 0; h < n; h++) {
        double units = ret->units[h];
        double bad = ret->bad[h];
        ret->rate[h] = units > 0 ? bad / units : 0;
        ret->variance[h] = units > 1 ? bad * (units - bad) / (units * units * (units - 1)) : 0;
    }
}

/* What is summed over strata, of a level or of all below a cut. */
struct sums {
    double observed;
    double expected;
    double variance;
};

/* No larger than chi-square, no larger than the binomial's deviance. */
static double statistic(const struct sums *s, double floor)
{
    double away = s->observed - s->expected;
    if (s->variance <= 0 || away == 0)
        return 0;
    double chi2 = away * away / s->variance;
    double sign = away > 0 ? 1 : -1;
    if (chi2 <= floor)
        return sign * chi2;
    double share = 1 - s->variance / s->expected; /* of a binomial with this mean and variance */
    double draws = share > 0 ? s->expected / share : HUGE_VAL;
    double deviance = s->observed > 0 ? 2 * s->observed * log(s->observed / s->expected) : 0;
    if (isinf(draws))
        deviance -= 2 * away;
    else if (s->observed < draws)
        deviance += 2 * (draws - s->observed) * log((draws - s->observed) / (draws - s->expected));
    return sign * fmin(chi2, deviance);
}

static void keep_larger(double *at, double v)
{
    if (fabs(v) > fabs(*at))
        *at = v;
}

static bool any(const uint32_t *cells, uint32_t count)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < count; i++)
        bits |= cells[i];
    return bits != 0;
}

/* Against the other units. */
static void score_levels(const struct why_scorer *s, const struct why_coded_factor *f,
                         const struct strata *h, double *ret)
{
    for (uint32_t slot = f->first; slot < f->first + f->count; slot++) {
        const uint32_t *level = row(s->all, slot);
        const uint32_t *bad = row(s->bad, slot);
        struct sums sums = {0};
        if (s->more_bad && !any(bad, h->count))
            continue;
        for (uint32_t i = 0; i < h->count; i++) {
            sums.observed += bad[i];
            sums.expected += h->rate[i] * level[i];
            sums.variance += h->variance[i] * level[i] * (h->units[i] - level[i]);
        }
        keep_larger(&ret[slot], statistic(&sums, s->floor));
    }
}

/* One bin's part in the sums for the order of the bins (van Elteren's, on midranks), and then in
 * those for the cut above it. */
static void bin_add(const struct strata *h, const uint32_t *bin, const uint32_t *bad, double *away,
                    struct sums *sums)
{
    *sums = (struct sums){0};
    for (uint32_t i = 0; i < h->count; i++) {
        double rank = h->below[i] + (bin[i] + 1.0) / 2;
        double score = rank / (h->units[i] + 1) - 0.5;
        *away += bad[i] * score;
        h->squares[i] += bin[i] * score * score;
        h->below[i] += bin[i];
        h->below_bad[i] += bad[i];
        sums->observed += h->below_bad[i];
        sums->expected += h->rate[i] * h->below[i];
        sums->variance += h->variance[i] * h->below[i] * (h->units[i] - h->below[i]);
    }
}

/* The last slot is the order's, the others are the cuts above each bin. */
static void score_numbers(const struct why_scorer *s, const struct why_coded_factor *f,
                          const struct strata *h, double *ret)
{
    double away = 0;
    double variance = 0;
    uint32_t last = f->first + f->count - 1;
    for (uint32_t slot = f->first; slot <= last; slot++) {
        struct sums sums;
        bin_add(h, row(s->all, slot), row(s->bad, slot), &away, &sums);
        if (slot < last)
            keep_larger(&ret[slot], statistic(&sums, s->floor));
    }
    for (uint32_t i = 0; i < h->count; i++)
        variance += h->variance[i] * h->units[i] * h->squares[i];
    if (variance > 0)
        keep_larger(&ret[last], copysign(away * away / variance, away));
}

/* ---------------------------------------------------------------------------------- in part
 *
 * A unit that has a level with a likelihood scores that much, and the variance is that of a sum of
 * such scores when bad and good are dealt out at random. Divided by the mean of the weights, by
 * weight, they are counts again: with weights of one they are those above.
 */

static double statistic_in_part(const struct sums *s, double weight, double squares, double floor)
{
    double unit = weight > 0 ? squares / weight : 1;
    return statistic(
        &(struct sums){s->observed / unit, s->expected / unit, s->variance / (unit * unit)}, floor);
}

/* The weights of a slot of the factor, and their squares. */
static const uint32_t *weights(const struct why_counts *counts, const struct why_coded_factor *f,
                               uint32_t slot)
{
    return row(counts, f->weights + slot - f->first);
}

static const uint32_t *squares(const struct why_scorer *s, const struct why_coded_factor *f,
                               uint32_t slot)
{
    return row(s->all, f->weights + s->coded->weighted + slot - f->first);
}

static void score_levels_in_part(const struct why_scorer *s, const struct why_coded_factor *f,
                                 const struct strata *h, double *ret)
{
    for (uint32_t slot = f->first; slot < f->first + f->count; slot++) {
        const uint32_t *level = weights(s->all, f, slot);
        const uint32_t *square = squares(s, f, slot);
        const uint32_t *bad = weights(s->bad, f, slot);
        struct sums sums = {0};
        double sum = 0;
        double sum_squares = 0;
        if (s->more_bad && !any(bad, h->count))
            continue;
        for (uint32_t i = 0; i < h->count; i++) {
            double w = level[i];
            sums.observed += bad[i];
            sums.expected += h->rate[i] * w;
            sums.variance += h->variance[i] * (h->units[i] * square[i] - w * w);
            sum += w;
            sum_squares += square[i];
        }
        keep_larger(&ret[slot], statistic_in_part(&sums, sum, sum_squares, s->floor));
    }
}

/* Of all bins, and of those below a cut. In the work behind struct strata's. */
struct parts {
    double *sum;     /* weights */
    double *squares; /* of weights */
    double *bad;     /* weights of bad units */
    double *below_squares;
};

static struct parts parts_begin(const struct why_scorer *s, const struct why_coded_factor *f)
{
    uint32_t n = s->all->cells;
    double *w = s->work + STRATA_WORK * (size_t)n;
    struct parts p = {w, w + n, w + 2 * (size_t)n, w + 3 * (size_t)n};
    for (uint32_t slot = f->first; slot < f->first + f->count; slot++) {
        strata_add(n, weights(s->all, f, slot), p.sum);
        strata_add(n, squares(s, f, slot), p.squares);
        strata_add(n, weights(s->bad, f, slot), p.bad);
    }
    return p;
}

/* As bin_add. A unit's score is its weight times how far its value's is from the mean by weight, so
 * that one that may be another's is nearer to neither side. */
static double bin_add_in_part(const struct why_scorer *s, const struct why_coded_factor *f,
                              const struct strata *h, const struct parts *p, uint32_t slot,
                              double *away)
{
    const uint32_t *bin = weights(s->all, f, slot);
    const uint32_t *square = squares(s, f, slot);
    const uint32_t *bad = weights(s->bad, f, slot);
    struct sums sums = {0};
    double below = 0;
    double below_squares = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        double rank = (h->below[i] + (bin[i] + (double)WHY_WHOLE) / 2) / (p->sum[i] + WHY_WHOLE);
        double score = rank - 0.5;
        *away += bad[i] * score;
        h->squares[i] += square[i] * score * score;
        h->below[i] += bin[i];
        h->below_bad[i] += bad[i];
        p->below_squares[i] += square[i];
        double part = p->sum[i] > 0 ? h->below[i] / p->sum[i] : 0;
        sums.observed += h->below_bad[i];
        sums.expected += part * p->bad[i];
        sums.variance += h->variance[i] * h->units[i] *
                         ((1 - 2 * part) * p->below_squares[i] + part * part * p->squares[i]);
        below += h->below[i];
        below_squares += p->below_squares[i];
    }
    return statistic_in_part(&sums, below, below_squares, s->floor);
}

static void score_numbers_in_part(const struct why_scorer *s, const struct why_coded_factor *f,
                                  const struct strata *h, double *ret)
{
    struct parts p = parts_begin(s, f);
    double away = 0;
    double variance = 0;
    uint32_t last = f->first + f->count - 1;
    for (uint32_t slot = f->first; slot <= last; slot++) {
        double v = bin_add_in_part(s, f, h, &p, slot, &away);
        if (slot < last)
            keep_larger(&ret[slot], v);
    }
    for (uint32_t i = 0; i < h->count; i++)
        variance += h->variance[i] * h->units[i] * h->squares[i];
    if (variance > 0)
        keep_larger(&ret[last], copysign(away * away / variance, away));
}

void why_score(const struct why_scorer *s, double *ret)
{
    for (uint32_t i = 0; i < s->coded->matrix->factor_count; i++) {
        const struct why_coded_factor *f = &s->coded->factors[i];
        struct strata h;
        strata_begin(s, f, &h);
        if (f->weighted && f->numeric)
            score_numbers_in_part(s, f, &h, ret);
        else if (f->weighted)
            score_levels_in_part(s, f, &h, ret);
        else if (f->numeric)
            score_numbers(s, f, &h, ret);
        else
            score_levels(s, f, &h, ret);
    }
}
