/* Tests on the order of values: Mann-Whitney, and van Elteren's over strata. See why_stats.h. */
#include "trace/why_stats.h"

#include <math.h>
#include <stdlib.h>

struct ordered {
    double value;
    uint32_t stratum;
    uint32_t bad;
};

static int ordered_compare(const void *a, const void *b)
{
    const struct ordered *x = a;
    const struct ordered *y = b;
    if (x->stratum != y->stratum)
        return x->stratum < y->stratum ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

/* What the ranks of one stratum add up to. */
struct rank_sums {
    double bad;
    double good;
    double bad_ranks; /* midranks from 1 */
    double ties;      /* Σ t³ − t */
};

static struct rank_sums rank(const struct ordered *list, uint32_t count)
{
    struct rank_sums sums = {0};
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i;
        uint32_t bad = 0;
        while (end < count && list[end].value == list[i].value)
            bad += list[end++].bad;
        double t = end - i;
        sums.bad_ranks += bad * (i + (t + 1) / 2);
        sums.bad += bad;
        sums.good += t - bad;
        sums.ties += t * t * t - t;
        i = end;
    }
    return sums;
}

/* Of U or of the rank sum, by permutation. */
static double rank_variance(const struct rank_sums *s)
{
    double n = s->bad + s->good;
    if (n < 2)
        return 0;
    return s->bad * s->good / 12 * (n + 1 - s->ties / (n * (n - 1)));
}

/* Hanley and McNeil 1982. */
static struct why_interval auc_interval(double auc, double bad, double good)
{
    double q1 = auc / (2 - auc);
    double q2 = 2 * auc * auc / (1 + auc);
    double a2 = auc * auc;
    double variance =
        (auc * (1 - auc) + (bad - 1) * (q1 - a2) + (good - 1) * (q2 - a2)) / (bad * good);
    double half = WHY_Z95 * sqrt(fmax(variance, 0));
    return (struct why_interval){auc, fmax(auc - half, 0), fmin(auc + half, 1)};
}

static uint32_t fill(const double *values, const uint8_t *bad, const uint16_t *stratum,
                     uint32_t count, struct ordered *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            list[n++] = (struct ordered){values[i], stratum ? stratum[i] : 0, bad[i] != 0};
    qsort(list, n, sizeof *list, ordered_compare);
    return n;
}

int why_mann_whitney(const double *values, const uint8_t *bad, uint32_t count,
                     struct why_mann_whitney *ret)
{
    struct ordered *list = calloc(count ? count : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    struct rank_sums s = rank(list, fill(values, bad, NULL, count, list));
    double pairs = s.bad * s.good;
    double deviation = sqrt(rank_variance(&s));
    struct why_mann_whitney out = {.bad = (uint32_t)s.bad,
                                   .good = (uint32_t)s.good,
                                   .u = s.bad_ranks - s.bad * (s.bad + 1) / 2,
                                   .p = 1,
                                   .auc = {0.5, 0, 1}};
    if (pairs > 0)
        out.auc = auc_interval(out.u / pairs, s.bad, s.good);
    if (deviation > 0) {
        double away = out.u - pairs / 2;
        double corrected = fmax(fabs(away) - 0.5, 0);
        out.z = copysign(corrected / deviation, away);
        out.p = why_normal_tail(out.z);
    }
    free(list);
    *ret = out;
    return OK;
}

int why_van_elteren(const double *values, const uint8_t *bad, const uint16_t *stratum,
                    uint32_t count, double *ret_z, double *ret_p)
{
    struct ordered *list = calloc(count ? count : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    uint32_t n = fill(values, bad, stratum, count, list);
    double away = 0;
    double variance = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t end = i;
        while (end < n && list[end].stratum == list[i].stratum)
            end++;
        struct rank_sums s = rank(&list[i], end - i);
        double weight = 1 / (s.bad + s.good + 1);
        away += weight * (s.bad_ranks - s.bad * (s.bad + s.good + 1) / 2);
        variance += weight * weight * rank_variance(&s);
        i = end;
    }
    free(list);
    *ret_z = variance > 0 ? away / sqrt(variance) : 0;
    *ret_p = variance > 0 ? why_normal_tail(*ret_z) : 1;
    return OK;
}
