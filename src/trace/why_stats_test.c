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
    CHECK_OK(why_mann_whitney(plain, first, 10, &r));
    CHECK_EQ(r.bad, 5);
    CHECK_EQ(r.good, 4);
    CHECK_NEAR(r.u, 17, 0);
    check_relative(r.p, 0.11134688653314041);
    CHECK_NEAR(r.auc.value, 17.0 / 20, 1e-12);
    const double tied[] = {1, 2, 2, 3, 3, 3, 5, 8, 1, 1, 2, 2, 3, 4, 2, 1, 0, 2};
    const uint8_t eight[] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    CHECK_OK(why_mann_whitney(tied, eight, 18, &r));
    CHECK_NEAR(r.u, 60, 0);
    check_relative(r.p, 0.07442541330914182);
    const double same[] = {1, 1, 1};
    CHECK_OK(why_mann_whitney(same, first, 3, &r));
    CHECK_NEAR(r.p, 1, 0);
}

TEST(auc_interval_of_hanley_and_mcneil)
{
    /* Their formula written out for auc = 3/4, 2 bad, 2 good: q1 = 0.6, q2 = 9/14,
     * var = (0.1875 + 0.0375 + 0.0803571) / 4. */
    const double v[] = {3, 1, 2, 0};
    const uint8_t bad[] = {1, 1, 0, 0};
    struct why_mann_whitney r;
    CHECK_OK(why_mann_whitney(v, bad, 4, &r));
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
    CHECK_OK(why_van_elteren(v, bad, stratum, 13, &z, &p));
    CHECK_NEAR(z, 1.9496040268939723, 1e-12);
    CHECK_NEAR(p, 0.05122333306952512, 1e-12);
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
