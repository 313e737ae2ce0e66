/* Tests on the order of values: Mann-Whitney, and van Elteren's over strata. See why_stats.h. */
#include "trace/why_stats.h"

#include <math.h>
#include <stdlib.h>

struct ordered {
    double value;
    double weight;
    uint32_t stratum;
    bool bad;
};

static int ordered_compare(const void *a, const void *b)
{
    const struct ordered *x = a;
    const struct ordered *y = b;
    if (x->stratum != y->stratum)
        return x->stratum < y->stratum ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

/* What the ranks of one stratum add up to. Of whole units weights are counts. */
struct rank_sums {
    double bad; /* weights */
    double good;
    double bad_squares; /* of weights */
    double good_squares;
    uint32_t bad_units;
    uint32_t units;
    double bad_ranks; /* midranks from 1, by weight */
    double ties;      /* Σ t³ − t of whole units */
    double scores;    /* Σ (weight × distance of the midrank from the mean)² */
};

static double weight_of(const struct ordered *list, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += list[i].weight;
    return sum;
}

static struct rank_sums rank(const struct ordered *list, uint32_t count)
{
    struct rank_sums sums = {.units = count};
    double mean = (weight_of(list, count) + 1) / 2;
    double below = 0;
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i;
        double weight[2] = {0}; /* good, bad */
        double squares[2] = {0};
        for (; end < count && list[end].value == list[i].value; end++) {
            weight[list[end].bad] += list[end].weight;
            squares[list[end].bad] += list[end].weight * list[end].weight;
            sums.bad_units += list[end].bad;
        }
        double t = weight[0] + weight[1];
        double midrank = below + (t + 1) / 2;
        sums.bad_ranks += weight[1] * midrank;
        sums.good += weight[0];
        sums.bad += weight[1];
        sums.good_squares += squares[0];
        sums.bad_squares += squares[1];
        sums.ties += t * t * t - t;
        sums.scores += (squares[0] + squares[1]) * (midrank - mean) * (midrank - mean);
        below += t;
        i = end;
    }
    return sums;
}

/* Of U or of the rank sum, by permutation. */
static double rank_variance(const struct rank_sums *s, bool weighted)
{
    double n = s->units;
    if (n < 2)
        return 0;
    if (weighted)
        return s->bad_units * (n - s->bad_units) / (n * (n - 1)) * s->scores;
    return s->bad * s->good / 12 * (n + 1 - s->ties / (n * (n - 1)));
}

/* So many whole units weigh as much (Kish 1965). */
static double effective(double weight, double squares)
{
    return squares > 0 ? weight * weight / squares : 0;
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

static uint32_t fill(const struct why_values *v, const uint16_t *stratum, struct ordered *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        double weight = v->weights ? v->weights[i] / v->whole : 1;
        if (!isnan(v->values[i]))
            list[n++] =
                (struct ordered){v->values[i], weight, stratum ? stratum[i] : 0, v->bad[i] != 0};
    }
    qsort(list, n, sizeof *list, ordered_compare);
    return n;
}

int why_mann_whitney(const struct why_values *v, struct why_mann_whitney *ret)
{
    struct ordered *list = calloc(v->count ? v->count : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    bool weighted = v->weights != NULL;
    struct rank_sums s = rank(list, fill(v, NULL, list));
    double pairs = s.bad * s.good;
    double deviation = sqrt(rank_variance(&s, weighted));
    struct why_mann_whitney out = {.bad = s.bad_units,
                                   .good = s.units - s.bad_units,
                                   .u = s.bad_ranks - s.bad * (s.bad + 1) / 2,
                                   .p = 1,
                                   .auc = {0.5, 0, 1}};
    if (pairs > 0)
        out.auc = auc_interval(out.u / pairs, effective(s.bad, s.bad_squares),
                               effective(s.good, s.good_squares));
    if (deviation > 0) {
        double away = out.u - pairs / 2;
        double corrected = fmax(fabs(away) - (weighted ? 0 : 0.5), 0);
        out.z = copysign(corrected / deviation, away);
        out.p = why_normal_tail(out.z);
    }
    free(list);
    *ret = out;
    return OK;
}

int why_van_elteren(const struct why_values *v, const uint16_t *stratum, double *ret_z,
                    double *ret_p)
{
    struct ordered *list = calloc(v->count ? v->count : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    uint32_t n = fill(v, stratum, list);
    double away = 0;
    double variance = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t end = i;
        while (end < n && list[end].stratum == list[i].stratum)
            end++;
        struct rank_sums s = rank(&list[i], end - i);
        double weight = 1 / (s.bad + s.good + 1);
        away += weight * (s.bad_ranks - s.bad * (s.bad + s.good + 1) / 2);
        variance += weight * weight * rank_variance(&s, v->weights != NULL);
        i = end;
    }
    free(list);
    *ret_z = variance > 0 ? away / sqrt(variance) : 0;
    *ret_p = variance > 0 ? why_normal_tail(*ret_z) : 1;
    return OK;
}
