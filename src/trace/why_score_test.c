/* The statistics of units that are counted in part, against every way of dealing out good and bad.
 */
#include "tests/support/check.h"
#include "trace/why_priv.h"

#include <math.h>
#include <stdlib.h>

#define UNITS 16
#define HALF  8 /* units of each cell of time */

static const int64_t times[UNITS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t bad[UNITS] = {1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0};
static const uint16_t cells[UNITS] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

/* Two lots; who may have had either is in part of both. */
static const struct why_entry entries[] = {
    {0, 0}, {1, 1}, {2, 0},  {2, 1},  {3, 0},  {4, 0},  {4, 1},  {5, 1},  {7, 1},
    {8, 0}, {9, 0}, {10, 0}, {10, 1}, {11, 1}, {12, 1}, {13, 0}, {15, 1},
};
static const uint8_t entry_weights[] = {100, 100, 50, 50, 75,  30,  70, 100, 5,
                                        100, 40,  50, 50, 100, 100, 90, 33};
#define ENTRIES ((uint32_t)(sizeof entries / sizeof entries[0]))
static const char *const lots[] = {"a", "b"};

static const double numbers[UNITS] = {1, 2, 2, 5, 4, 3, 2, 1, 3, 6, 5, (double)NAN, 6, 4, 2, 3};
static const uint8_t number_weights[UNITS] = {100, 50,  100, 25,  100, 100, 80, 100,
                                              50,  100, 100, 100, 50,  100, 5,  100};

/* What the search has of two factors, and its scores. */
struct scored {
    struct why_factor factors[2];
    struct why_matrix matrix;
    struct why_coded coded;
    struct why_counts all;
    struct why_counts bad;
    double scores[64];
};

static void score(struct scored *s, const uint8_t *of_entries, const uint8_t *of_numbers,
                  uint32_t strata, double floor)
{
    static const uint32_t bad_units[] = {0, 3, 4, 9, 10, 12, 13};
    struct diag diag = {0};
    double *work = calloc((size_t)WHY_WORK * strata, sizeof *work);
    const uint16_t *cell = strata > 1 ? cells : NULL;
    s->factors[0] = (struct why_factor){.name = "lot",
                                        .station = "",
                                        .entries = entries,
                                        .entry_count = ENTRIES,
                                        .levels = lots,
                                        .level_count = 2,
                                        .weights = of_entries};
    s->factors[1] = (struct why_factor){
        .name = "force", .station = "", .numbers = numbers, .weights = of_numbers};
    s->matrix = (struct why_matrix){UNITS, times, bad, s->factors, 2, NULL};
    CHECK_OK(why_code(&s->matrix, &s->coded, &diag));
    CHECK(s->coded.slots < 64);
    CHECK_OK(why_counts_init(&s->coded, strata, &s->all));
    CHECK_OK(why_counts_init(&s->coded, strata, &s->bad));
    why_count_all(&s->coded, cell, &s->all);
    why_count_bad(&s->coded, cell, &(struct why_bad){bad_units, 7, 0}, &s->bad);
    const struct why_scorer scorer = {
        .coded = &s->coded, .all = &s->all, .bad = &s->bad, .floor = floor, .work = work};
    for (int i = 0; i < 64; i++)
        s->scores[i] = 0;
    why_score(&scorer, s->scores);
    free(work);
}

static void scored_fini(struct scored *s)
{
    why_counts_fini(&s->all);
    why_counts_fini(&s->bad);
    why_code_fini(&s->coded);
}

/* Of one cell: the sum of the bad units' scores less its mean over every way of dealing out as many
 * bad ones, and the variance; NaN takes no part. */
static void deal(const double *x, uint32_t from, uint32_t to, double *away, double *variance)
{
    uint32_t units[UNITS];
    uint32_t n = 0;
    int bads = 0;
    double found = 0;
    double sum = 0;
    double squares = 0;
    double ways = 0;
    for (uint32_t i = from; i < to; i++) {
        if (isnan(x[i]))
            continue;
        units[n++] = i;
        bads += bad[i];
        found += bad[i] ? x[i] : 0;
    }
    for (uint32_t way = 0; way < 1u << n; way++) {
        double v = 0;
        if (__builtin_popcount(way) != bads)
            continue;
        for (uint32_t i = 0; i < n; i++)
            v += way >> i & 1 ? x[units[i]] : 0;
        ways++;
        sum += v;
        squares += v * v;
    }
    *away += found - sum / ways;
    *variance += squares / ways - sum / ways * (sum / ways);
}

static double signed_chi2(const double *x, uint32_t strata)
{
    double away = 0;
    double variance = 0;
    for (uint32_t h = 0; h < strata; h++)
        deal(x, h * UNITS / strata, (h + 1) * UNITS / strata, &away, &variance);
    return copysign(away * away / variance, away);
}

static void level_scores(uint32_t level, double *x)
{
    for (uint32_t i = 0; i < UNITS; i++)
        x[i] = 0;
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (entries[i].level == level)
            x[entries[i].unit] = entry_weights[i] / 100.0;
}

/* Weight times how far a unit is from the mean by weight: of being below a cut, or of its rank. */
static void number_scores(double cut, bool order, uint32_t strata, double *x)
{
    for (uint32_t h = 0; h < strata; h++) {
        double total = 0;
        double below = 0;
        uint32_t from = h * UNITS / strata;
        uint32_t to = (h + 1) * UNITS / strata;
        for (uint32_t i = from; i < to; i++) {
            double w = isnan(numbers[i]) ? 0 : number_weights[i] / 100.0;
            total += w;
            below += numbers[i] <= cut ? w : 0;
        }
        for (uint32_t i = from; i < to; i++) {
            double rank = 0.5;
            for (uint32_t k = from; k < to; k++)
                if (numbers[k] <= numbers[i])
                    rank += number_weights[k] / 100.0 * (numbers[k] < numbers[i] ? 1 : 0.5);
            double away = order ? rank / (total + 1) - 0.5 : (numbers[i] <= cut) - below / total;
            x[i] = isnan(numbers[i]) ? (double)NAN : number_weights[i] / 100.0 * away;
        }
    }
}

TEST(scores_in_part_are_those_of_every_way_of_dealing)
{
    for (uint32_t strata = 1; strata <= 2; strata++) {
        struct scored s;
        double x[UNITS];
        score(&s, entry_weights, number_weights, strata, HUGE_VAL);
        for (uint32_t level = 0; level < 2; level++) {
            level_scores(level, x);
            CHECK_NEAR(s.scores[s.coded.factors[0].first + level], signed_chi2(x, strata), 1e-9);
        }
        const struct why_coded_factor *f = &s.coded.factors[1];
        CHECK(f->count >= 5);
        for (uint32_t i = 0; i + 1 < f->count; i++) {
            number_scores(f->edges[i], false, strata, x);
            CHECK_NEAR(s.scores[f->first + i], signed_chi2(x, strata), 1e-9);
        }
        number_scores(0, true, strata, x);
        CHECK_NEAR(s.scores[f->first + f->count - 1], signed_chi2(x, strata), 1e-9);
        scored_fini(&s);
    }
}

/* Weights of one, and all of them halved, are counts; the deviance too. */
TEST(equal_weights_are_counts)
{
    uint8_t whole[UNITS + 1];
    uint8_t half[UNITS + 1];
    for (int i = 0; i <= UNITS; i++) {
        whole[i] = WHY_WHOLE;
        half[i] = WHY_WHOLE / 2;
    }
    for (uint32_t strata = 1; strata <= 2; strata++) {
        struct scored plain;
        struct scored s;
        score(&plain, NULL, NULL, strata, 0);
        score(&s, whole, whole, strata, 0);
        CHECK_EQ(why_part_count(&s.coded), 0);
        for (uint32_t i = 0; i < s.coded.slots; i++)
            CHECK_NEAR(s.scores[i], plain.scores[i], 1e-12);
        scored_fini(&s);
        score(&s, half, NULL, strata, 0);
        CHECK_EQ(why_part_count(&s.coded), UNITS - 2);
        for (uint32_t i = 0; i < 2; i++)
            CHECK_NEAR(s.scores[i], plain.scores[i], 1e-12);
        scored_fini(&s);
        scored_fini(&plain);
    }
}
