/* Statistics for the search of causes: pure functions of counts and values.
 *
 * Nothing here knows of units, factors or files, reads a clock or keeps anything between calls;
 * what is random comes from a seed the caller gives, so that an answer can be repeated.
 * Probabilities are two-sided. Sums of probabilities are taken in logarithms: a table of a hundred
 * thousand units neither overflows nor rounds to nothing. Against exact values: fisher within 1e-9
 * relative, everything else that is a closed formula within 1e-9, tails of chi-square and normal
 * within 1e-12 absolute.
 *
 * Sources: Fisher 1935; Mann and Whitney 1947; Cochran 1954, Mantel and Haenszel 1959 with the
 * variance of Robins, Breslow and Greenland 1986; van Elteren 1960; Benjamini and Hochberg 1995;
 * Newcombe 1998 (method 10); Hanley and McNeil 1982.
 */
#ifndef LOTLINE_TRACE_WHY_STATS_H
#define LOTLINE_TRACE_WHY_STATS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHY_Z95             1.959963984540054 /* of a 95 % interval */
#define WHY_SIMULATIONS_MIN 199
#define WHY_SIMULATIONS_MAX 9999

/* Two ways of being bad or good: with a level of a factor, and without it. Units; where some are
 * counted in part, the sums of their weights. */
struct why_table {
    double bad_with;
    double good_with;
    double bad_without;
    double good_without;
};

/* A 95 % interval. */
struct why_interval {
    double value;
    double low;
    double high;
};

/* The tails: P(|Z| >= |z|), and P(X >= x) with df degrees of freedom (df > 0, x >= 0). */
double why_normal_tail(double z);
double why_chi2_tail(double x, double df);

/* Fisher's exact test: the sum of all tables with these margins that are no likelier. Of whole
 * units only. */
double why_fisher(const struct why_table *t);

/* Odds ratio with Woolf's interval; 0.5 is added to each cell where one is 0. */
struct why_interval why_odds_ratio(const struct why_table *t);

/* Share of bad with less share of bad without, with Newcombe's interval; empty rows count as 0. */
struct why_interval why_risk_difference(const struct why_table *t);

struct why_chi2 {
    double chi2;
    uint32_t df;
    double p;
    bool simulated; /* a count below 5 was expected: p by random tables with the same margins */
};

/* Pearson's chi-square of levels × (bad, good); all[i] >= bad[i]. Levels without units are left
 * out; p = 1 where fewer than two are left. ERR_NOMEM. */
int why_chi2(const uint32_t *bad, const uint32_t *all, uint32_t levels, uint64_t seed,
             struct why_chi2 *ret);

struct why_cmh {
    double chi2; /* one degree of freedom, no continuity correction */
    double p;
    struct why_interval odds_ratio; /* common; value 0 where it is not defined */
};

/* Cochran-Mantel-Haenszel over strata. p = 1 where no stratum has both margins. */
struct why_cmh why_cmh(const struct why_table *strata, uint32_t count);

/* Values of *ret_q: the smallest false discovery rate at which test i is called. ERR_NOMEM. */
int why_bh(const double *p, uint32_t count, double *ret_q);

struct why_mann_whitney {
    uint32_t bad;
    uint32_t good;
    double u; /* pairs in which the bad unit has the larger value; ties count half */
    double z; /* with correction for ties and continuity */
    double p;
    struct why_interval auc; /* u / (bad × good), interval of Hanley and McNeil */
};

/* Values of units. A value that may be another unit's has a weight: ranks are sums of weights, a
 * unit's score is its weight times its midrank's distance from the mean, and the variance is that
 * of the scores when bad and good are dealt out at random. */
struct why_values {
    const double *values; /* NaN is left out */
    const uint8_t *bad;
    const uint8_t *weights; /* above 0; only how they stand to `whole` matters. NULL: all whole */
    double whole;
    uint32_t count;
};

/* Values of bad units against values of good ones. p = 1 and auc 0.5 where one side is empty or all
 * values are alike. With weights u and auc are of pairs by the product of their weights, the
 * interval is that of so many whole units as weigh as much (Kish), and continuity is not corrected.
 * ERR_NOMEM. */
int why_mann_whitney(const struct why_values *v, struct why_mann_whitney *ret);

/* The same within strata, each weighted by 1 / (its units + 1). *ret_z > 0:
 * bad units have the larger values. No continuity correction. ERR_NOMEM. */
int why_van_elteren(const struct why_values *v, const uint16_t *stratum, double *ret_z,
                    double *ret_p);

#define WHY_CHANGES_MAX 8

/* Where the rate of bad units changes: binary segmentation of the sequence by the likelihood of a
 * rate for each piece; a cut must gain more than 3 ln(count) in twice the logarithm. Returns how
 * many cuts are in ret (ascending; the first unit of the new piece), at most WHY_CHANGES_MAX. */
uint32_t why_changes(const uint8_t *bad, uint32_t count, uint32_t ret[static WHY_CHANGES_MAX]);

#endif
