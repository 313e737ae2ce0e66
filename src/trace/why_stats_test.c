/* The statistics against values computed elsewhere: SciPy 1.10 (named where used), published
 * examples, or the formula written out. */
#include "trace/why_stats.h"

#include "tests/support/check.h"

#include <math.h>

static void check_relative(double got, double want)
{
    CHECK_NEAR(got / want, 1, 1e-9);
}

TEST(tails_are_those_of_scipy)
{
    /* scipy.stats.chi2.sf(x, df) */
    check_relative(why_chi2_tail(3.84, 1), 0.05004352124870519);
    check_relative(why_chi2_tail(18.307, 10), 0.05000058909139812);
    check_relative(why_chi2_tail(0.5, 3), 0.9188914116546758);
    check_relative(why_chi2_tail(120, 100), 0.08440668109369177);
    check_relative(why_chi2_tail(900, 40), 8.168029978662771e-163);
    CHECK_NEAR(why_normal_tail(WHY_Z95), 0.05, 1e-15);
    CHECK_NEAR(why_normal_tail(-WHY_Z95), 0.05, 1e-15);
}

TEST(fisher_is_exact)
{
    /* scipy.stats.fisher_exact([[bad_with, good_with], [bad_without, good_without]]); the second
     * is the lady tasting tea (Fisher 1935): 17/35. */
    check_relative(why_fisher(&(struct why_table){8, 2, 1, 5}), 0.034965034965034975);
    check_relative(why_fisher(&(struct why_table){3, 1, 1, 3}), 17.0 / 35);
    check_relative(why_fisher(&(struct why_table){12, 38, 5, 945}), 3.2082507423088116e-13);
    check_relative(why_fisher(&(struct why_table){40, 460, 10, 4490}), 9.36210115137371e-32);
    check_relative(why_fisher(&(struct why_table){0, 10, 7, 20}), 0.15507030663577154);
    check_relative(why_fisher(&(struct why_table){150, 9850, 1000, 89000}), 0.0009026451129550783);
    CHECK_NEAR(why_fisher(&(struct why_table){900, 100, 50, 99000}), 0, 0); /* below 1e-308 */
    CHECK_NEAR(why_fisher(&(struct why_table){0, 10, 0, 20}), 1, 0);
    CHECK_NEAR(why_fisher(&(struct why_table){0, 0, 0, 0}), 1, 0);
}

TEST(effects_have_intervals)
{
    /* Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10. */
    struct why_interval d = why_risk_difference(&(struct why_table){56, 14, 48, 32});
    CHECK_NEAR(d.value, 0.2, 1e-12);
    CHECK_NEAR(d.low, 0.0524, 5e-5);
    CHECK_NEAR(d.high, 0.3339, 5e-5);
    /* 8 × 5 / (2 × 1) = 20; half = 1.96 sqrt(1/8 + 1/2 + 1/1 + 1/5) */
    struct why_interval r = why_odds_ratio(&(struct why_table){8, 2, 1, 5});
    CHECK_NEAR(r.value, 20, 1e-12);
    CHECK_NEAR(log(r.high / r.value), WHY_Z95 * sqrt(1.825), 1e-12);
    CHECK_NEAR(log(r.value / r.low), WHY_Z95 * sqrt(1.825), 1e-12);
    /* A zero: 0.5 is added to each: 10.5 × 20.5 / (0.5 × 0.5). */
    r = why_odds_ratio(&(struct why_table){10, 0, 0, 20});
    CHECK_NEAR(r.value, 861, 1e-9);
}

TEST(chi2_of_many_levels)
{
    /* scipy.stats.chi2_contingency([[30, 970], [45, 955], [25, 975]], correction=False) */
    const uint32_t bad[] = {30, 45, 0, 25};
    const uint32_t all[] = {1000, 1000, 0, 1000};
    struct why_chi2 r;
    CHECK_OK(why_chi2(bad, all, 4, 1, &r));
    CHECK_EQ(r.df, 2);
    CHECK(!r.simulated);
    check_relative(r.chi2, 6.724137931034482);
    check_relative(r.p, 0.034663467184696865);
}

TEST(chi2_of_few_units_is_simulated)
{
    /* Two levels: all tables with these margins are those of Fisher's test, so the simulated p must
     * come near its exact one, 0.034965 (standard error 0.0018). The same seed, the same p. */
    const uint32_t bad[] = {8, 1};
    const uint32_t all[] = {10, 6};
    struct why_chi2 r;
    struct why_chi2 again;
    CHECK_OK(why_chi2(bad, all, 2, 7, &r));
    CHECK_OK(why_chi2(bad, all, 2, 7, &again));
    CHECK(r.simulated);
    CHECK_NEAR(r.p, 0.034965, 0.006);
    CHECK_NEAR(r.p, again.p, 0);
    const uint32_t none[] = {0, 0};
    CHECK_OK(why_chi2(none, all, 2, 7, &r));
    CHECK_NEAR(r.p, 1, 0);
}

TEST(cmh_of_berkeley_admissions)
{
    /* Bickel 1975 as in R's UCBAdmissions: men, women × admitted, rejected in six departments. R:
     * common odds ratio 0.9046968 (0.7719074, 1.0603298); 1.5246 without correction. */
    const struct why_table strata[] = {
        {512, 313, 89, 19},   {353, 207, 17, 8},  {120, 205, 202, 391},
        {138, 279, 131, 244}, {53, 138, 94, 299}, {22, 351, 24, 317},
    };
    struct why_cmh r = why_cmh(strata, 6);
    check_relative(r.chi2, 1.5246066604434356);
    check_relative(r.p, 0.21692369705551479);
    CHECK_NEAR(r.odds_ratio.value, 0.9046968, 5e-8);
    CHECK_NEAR(r.odds_ratio.low, 0.7719074, 5e-8);
    CHECK_NEAR(r.odds_ratio.high, 1.0603298, 5e-8);
    CHECK_NEAR(why_cmh(strata, 0).p, 1, 0);
}

TEST(bh_of_the_first_example)
{
    /* Benjamini and Hochberg 1995, section 3.1: four of fifteen are called at 0.05. */
    const double p[] = {.3240, .0001, .0004, .0019, .0095, .0201, .0278, .0298,
                        .0344, .0459, .4262, .5719, .6528, .7590, 1.000};
    double q[15];
    CHECK_OK(why_bh(p, 15, q));
    uint32_t called = 0;
    for (int i = 0; i < 15; i++)
        called += q[i] <= 0.05;
    CHECK_EQ(called, 4);
    CHECK_NEAR(q[1], .0015, 1e-12);
    CHECK_NEAR(q[4], .0095 * 15 / 4, 1e-12);
    CHECK_NEAR(q[6], .0298 * 15 / 7, 1e-12); /* never above a larger p's */
    CHECK_NEAR(q[14], 1, 1e-12);
}

TEST(mann_whitney_with_and_without_ties)
{
    /* scipy.stats.mannwhitneyu(x, y, method='asymptotic'), the example of its own page. */
    const double plain[] = {19, 22, 16, 29, 24, 20, 11, (double)NAN, 17, 12};
    const uint8_t first[] = {1, 1, 1, 1, 1, 0, 0, 1, 0, 0};
    struct why_mann_whitney r;
    CHECK_OK(why_mann_whitney(&(struct why_values){plain, first, NULL, 1, 10}, &r));
    CHECK_EQ(r.bad, 5);
    CHECK_EQ(r.good, 4);
    CHECK_NEAR(r.u, 17, 0);
    check_relative(r.p, 0.11134688653314041);
    CHECK_NEAR(r.auc.value, 17.0 / 20, 1e-12);
    const double tied[] = {1, 2, 2, 3, 3, 3, 5, 8, 1, 1, 2, 2, 3, 4, 2, 1, 0, 2};
    const uint8_t eight[] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    CHECK_OK(why_mann_whitney(&(struct why_values){tied, eight, NULL, 1, 18}, &r));
    CHECK_NEAR(r.u, 60, 0);
    check_relative(r.p, 0.07442541330914182);
    const double same[] = {1, 1, 1};
    CHECK_OK(why_mann_whitney(&(struct why_values){same, first, NULL, 1, 3}, &r));
    CHECK_NEAR(r.p, 1, 0);
}

TEST(auc_interval_of_hanley_and_mcneil)
{
    /* Their formula written out for auc = 3/4, 2 bad, 2 good: q1 = 0.6, q2 = 9/14,
     * var = (0.1875 + 0.0375 + 0.0803571) / 4. */
    const double v[] = {3, 1, 2, 0};
    const uint8_t bad[] = {1, 1, 0, 0};
    struct why_mann_whitney r;
    CHECK_OK(why_mann_whitney(&(struct why_values){v, bad, NULL, 1, 4}, &r));
    double half = WHY_Z95 * sqrt((0.1875 + (0.6 - 0.5625) + (9.0 / 14 - 0.5625)) / 4);
    CHECK_NEAR(r.auc.value, 0.75, 1e-12);
    CHECK_NEAR(r.auc.low, 0.75 - half, 1e-12);
    CHECK_NEAR(r.auc.high, 1, 0);
}

TEST(van_elteren_over_two_strata)
{
    /* numpy, from the definition: ranks by scipy.stats.rankdata in each stratum, weights 1/(n+1),
     * permutation variance. */
    const double v[] = {3, 5, 1, 4, 4, 2, 10, 12, 11, 9, 12, 15, 13};
    const uint8_t bad[] = {1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0};
    const uint16_t stratum[] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1};
    double z = 0;
    double p = 0;
    CHECK_OK(why_van_elteren(&(struct why_values){v, bad, NULL, 1, 13}, stratum, &z, &p));
    CHECK_NEAR(z, 1.9496040268939723, 1e-12);
    CHECK_NEAR(p, 0.05122333306952512, 1e-12);
}

/* How the sum of the bad units' scores is distributed over every way of dealing them out. */
static double variance_of_all(const double *scores, const uint8_t *bad, uint32_t count)
{
    uint32_t bads = 0;
    double sum = 0;
    double squares = 0;
    double ways = 0;
    for (uint32_t i = 0; i < count; i++)
        bads += bad[i];
    for (uint32_t way = 0; way < 1u << count; way++) {
        double v = 0;
        if ((uint32_t)__builtin_popcount(way) != bads)
            continue;
        for (uint32_t i = 0; i < count; i++)
            v += way >> i & 1 ? scores[i] : 0;
        ways++;
        sum += v;
        squares += v * v;
    }
    return squares / ways - sum / ways * (sum / ways);
}

/* Each unit's weight times the distance of its midrank from the mean. */
static void weighted_scores(const double *v, const uint8_t *weights, uint32_t count, double *ret)
{
    double total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += weights[i] / 100.0;
    for (uint32_t i = 0; i < count; i++) {
        double rank = 0.5;
        for (uint32_t k = 0; k < count; k++)
            rank += weights[k] / 100.0 * (v[k] < v[i] ? 1 : v[k] == v[i] ? 0.5 : 0);
        ret[i] = weights[i] / 100.0 * (rank - (total + 1) / 2);
    }
}

static double of_bad(const double *scores, const uint8_t *bad, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += bad[i] ? scores[i] : 0;
    return sum;
}

/* Values, some tied, of which some may be another unit's. */
static const double part_values[] = {3, 5, 1, 4, 4, 2, 10, 12, 11, 9, 12, 15, 13, 9};
static const uint8_t part_bad[] = {1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1};
static const uint8_t part_weights[] = {100, 50, 100, 50, 25, 75, 100, 100, 50, 50, 100, 33, 67, 5};

TEST(mann_whitney_in_part_against_every_way_of_dealing)
{
    double scores[14];
    double pairs = 0;
    double u = 0;
    double w[2] = {0};
    struct why_mann_whitney r;
    const struct why_values v = {part_values, part_bad, part_weights, 100, 14};
    weighted_scores(part_values, part_weights, 14, scores);
    for (int i = 0; i < 14; i++) {
        w[part_bad[i]] += part_weights[i] / 100.0;
        for (int k = 0; part_bad[i] && k < 14; k++) {
            double pair = part_bad[k] ? 0 : part_weights[i] * part_weights[k] / 1e4;
            double above = part_values[i] - part_values[k];
            u += pair * (above > 0 ? 1 : above == 0 ? 0.5 : 0);
            pairs += pair;
        }
    }
    CHECK_OK(why_mann_whitney(&v, &r));
    CHECK_EQ(r.bad, 7);
    CHECK_EQ(r.good, 7);
    CHECK_NEAR(r.u, u, 1e-12);
    CHECK_NEAR(pairs, w[0] * w[1], 1e-12);
    CHECK_NEAR(r.auc.value, u / pairs, 1e-12);
    check_relative(r.z, of_bad(scores, part_bad, 14) / sqrt(variance_of_all(scores, part_bad, 14)));
    check_relative(r.p, why_normal_tail(r.z));
    /* Half of everything: the same z, and an interval of half as many units. */
    uint8_t half[14];
    struct why_mann_whitney whole;
    for (int i = 0; i < 14; i++)
        half[i] = 50;
    CHECK_OK(why_mann_whitney(&(struct why_values){part_values, part_bad, half, 50, 14}, &whole));
    CHECK_OK(why_mann_whitney(&(struct why_values){part_values, part_bad, NULL, 1, 14}, &r));
    CHECK_NEAR(whole.u, r.u, 0);
    CHECK_NEAR(whole.auc.low, r.auc.low, 0);
    CHECK_NEAR(fabs(whole.z), fabs(r.z) * fabs(r.u - 24.5) / (fabs(r.u - 24.5) - 0.5), 1e-12);
}

TEST(van_elteren_in_part_against_every_way_of_dealing)
{
    const uint16_t stratum[] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const uint32_t begin[] = {0, 6, 14};
    double away = 0;
    double variance = 0;
    double z = 0;
    double p = 0;
    for (int h = 0; h < 2; h++) {
        uint32_t from = begin[h];
        uint32_t n = begin[h + 1] - from;
        double scores[14];
        double total = 0;
        weighted_scores(part_values + from, part_weights + from, n, scores);
        for (uint32_t i = 0; i < n; i++)
            total += part_weights[from + i] / 100.0;
        away += of_bad(scores, part_bad + from, n) / (total + 1);
        variance += variance_of_all(scores, part_bad + from, n) / (total + 1) / (total + 1);
    }
    CHECK_OK(why_van_elteren(&(struct why_values){part_values, part_bad, part_weights, 100, 14},
                             stratum, &z, &p));
    check_relative(z, away / sqrt(variance));
    check_relative(p, why_normal_tail(z));
}

TEST(changes_are_found_where_they_are)
{
    uint8_t bad[600] = {0};
    uint32_t cuts[WHY_CHANGES_MAX];
    CHECK_EQ(why_changes(bad, 600, cuts), 0);
    for (int i = 0; i < 600; i += 50)
        bad[i] = 1;
    CHECK_EQ(why_changes(bad, 600, cuts), 0);
    for (int i = 200; i < 400; i += 3)
        bad[i] = 1;
    CHECK_EQ(why_changes(bad, 600, cuts), 2);
    CHECK_EQ(cuts[0], 200);
    CHECK_NEAR(cuts[1], 400, 3);
    CHECK_EQ(why_changes(bad, 0, cuts), 0);
}
