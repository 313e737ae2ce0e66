/* The search for causes on made plants: an assembly line with shifts, reels, lots, two products
 * and slow drifts everywhere, in which one thing goes wrong, or none. */
#include "trace/why_rank.h"

#include "base/rand.h"
#include "tests/support/check.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNITS     5000
#define TAKT_US   INT64_C(30000000)
#define FEEDERS   10
#define ZONES     8
#define NOISES    20
#define LEVELS    64
#define BASE_RATE 0.008

enum fault {
    FAULT_NONE,
    FAULT_NONE_DRIFTING, /* the rate of bad units drifts, with nothing that is known */
    FAULT_REEL,
    FAULT_NOZZLE,
    FAULT_ZONE,
    FAULT_OPERATOR,
    FAULT_HUMIDITY,
    FAULT_PASTE,
    FAULT_COUNT,
};

enum {
    AT_OPERATOR,
    AT_PACKER,
    AT_PASTE,
    AT_PRODUCT,
    AT_PLACER,
    AT_NOZZLE_A,
    AT_NOZZLE_B,
    AT_FEEDER,
    AT_NAMED = AT_FEEDER + FEEDERS,
    AT_ZONE = AT_NAMED,
    AT_HUMIDITY = AT_ZONE + ZONES,
    AT_HALL,
    AT_NOISE,
    AT_COUNT = AT_NOISE + NOISES,
};

struct plant {
    struct rand rand;
    int64_t times[UNITS];
    uint8_t bad[UNITS];
    uint32_t level[AT_NAMED][UNITS]; /* UINT32_MAX = none */
    double numbers[AT_COUNT - AT_NAMED][UNITS];
    struct why_entry entries[AT_NAMED][UNITS];
    char names[LEVELS][16];
    const char *levels[LEVELS];
    struct why_factor factors[AT_COUNT];
    struct why_matrix matrix;
    uint32_t reel; /* the bad ones */
    uint32_t paste;
};

/* Blocks of random lengths, each with the next level of so many (0 = always a new one). */
static void fill_blocks(struct plant *p, uint32_t *out, uint32_t least, uint32_t most,
                        uint32_t levels)
{
    uint32_t level = 0;
    uint32_t left = 1 + (uint32_t)rand_below(&p->rand, most);
    for (uint32_t i = 0; i < UNITS; i++) {
        if (left-- == 0) {
            level = levels ? (level + 1) % levels : level + 1;
            left = least + (uint32_t)rand_below(&p->rand, most - least + 1);
        }
        out[i] = level < LEVELS ? level : LEVELS - 1;
    }
}

/* Slow wandering, a trend, and noise of its own. */
static void fill_drift(struct plant *p, double *out, double mean, double drift, double noise)
{
    double trend = drift * rand_normal(&p->rand);
    double wave = drift * rand_normal(&p->rand);
    double phase = 6.3 * rand_double(&p->rand);
    double walk = 0;
    for (uint32_t i = 0; i < UNITS; i++) {
        double t = (double)i / UNITS;
        walk = 0.998 * walk + 0.06 * drift * rand_normal(&p->rand);
        out[i] =
            mean + trend * t + wave * sin(12.6 * t + phase) + walk + noise * rand_normal(&p->rand);
    }
}

static void fill(struct plant *p)
{
    fill_blocks(p, p->level[AT_OPERATOR], 800, 1000, 3);
    fill_blocks(p, p->level[AT_PACKER], 800, 1000, 3);
    fill_blocks(p, p->level[AT_PASTE], 500, 900, 0);
    fill_blocks(p, p->level[AT_PRODUCT], 300, 700, 2);
    for (uint32_t f = 0; f < FEEDERS; f++)
        fill_blocks(p, p->level[AT_FEEDER + f], 250, 700, 0);
    for (uint32_t i = 0; i < UNITS; i++) {
        uint32_t placer = rand_double(&p->rand) < 0.5;
        uint32_t nozzle = (uint32_t)rand_below(&p->rand, 4);
        p->level[AT_PLACER][i] = placer;
        p->level[AT_NOZZLE_A][i] = placer ? UINT32_MAX : nozzle;
        p->level[AT_NOZZLE_B][i] = placer ? nozzle : UINT32_MAX;
        for (uint32_t f = 0; f < FEEDERS; f++)
            if (f % 2 != placer)
                p->level[AT_FEEDER + f][i] = UINT32_MAX;
    }
    for (int i = AT_ZONE; i < AT_COUNT; i++)
        fill_drift(p, p->numbers[i - AT_NAMED], 100, 1, i < AT_NOISE ? 0.7 : 1.5);
}

/* The rate of bad units because of the fault, at each unit; it may move a factor first. */
static double fault_rate(struct plant *p, enum fault fault, uint32_t i, uint32_t start)
{
    bool on = i >= start && i < start + UNITS / 5;
    double *zone = &p->numbers[AT_ZONE + 4 - AT_NAMED][i];
    double *humid = &p->numbers[AT_HUMIDITY - AT_NAMED][i];
    switch (fault) {
    case FAULT_REEL:
        return p->level[AT_FEEDER + 3][i] == p->reel ? 0.2 : 0;
    case FAULT_NOZZLE:
        return on && p->level[AT_NOZZLE_B][i] == 3 ? 0.3 : 0;
    case FAULT_ZONE:
        *zone -= on ? 5 * sin(3.14 * (i - start) / (UNITS / 5.0)) : 0;
        return 0.3 / (1 + exp(2 * (*zone - 96)));
    case FAULT_OPERATOR:
        return p->level[AT_OPERATOR][i] == 2 ? 0.08 : 0;
    case FAULT_HUMIDITY:
        *humid += on ? 4 * sin(3.14 * (i - start) / (UNITS / 5.0)) : 0;
        return 0.3 / (1 + exp(-2 * (*humid - 104)));
    case FAULT_PASTE:
        return p->level[AT_PASTE][i] == p->paste ? 0.15 : 0;
    case FAULT_NONE:
    case FAULT_NONE_DRIFTING:
    case FAULT_COUNT:
        break;
    }
    return 0;
}

static void strike(struct plant *p, enum fault fault)
{
    static double drift[UNITS];
    uint32_t start = (uint32_t)(UNITS * (0.15 + 0.5 * rand_double(&p->rand)));
    p->reel = p->level[AT_FEEDER + 3][start] == UINT32_MAX ? 3 : p->level[AT_FEEDER + 3][start];
    p->paste = p->level[AT_PASTE][start];
    fill_drift(p, drift, 0, 0.8, 0);
    for (uint32_t i = 0; i < UNITS; i++) {
        double rate = BASE_RATE + fault_rate(p, fault, i, start);
        if (fault == FAULT_NONE_DRIFTING)
            rate = 0.02 * exp(drift[i]);
        p->bad[i] |= rand_double(&p->rand) < rate;
    }
}

static void describe(struct plant *p, const char *prefix)
{
    for (int i = 0; i < LEVELS; i++) {
        (void)snprintf(p->names[i], sizeof p->names[i], "%s%d", prefix, i);
        p->levels[i] = p->names[i];
    }
    for (int i = 0; i < AT_COUNT; i++) {
        struct why_factor *f = &p->factors[i];
        *f = (struct why_factor){.name = prefix, .station = prefix};
        f->kind = i < AT_PASTE ? WHY_MAN : i < AT_PRODUCT ? WHY_MATERIAL : WHY_MACHINE;
        if (i >= AT_NAMED) {
            f->numbers = p->numbers[i - AT_NAMED];
            continue;
        }
        f->entries = p->entries[i];
        f->levels = p->levels;
        f->level_count = LEVELS;
        for (uint32_t u = 0; u < UNITS; u++)
            if (p->level[i][u] != UINT32_MAX)
                p->entries[i][f->entry_count++] = (struct why_entry){u, p->level[i][u]};
    }
    p->matrix = (struct why_matrix){UNITS, p->times, p->bad, p->factors, AT_COUNT, NULL};
}

static struct plant *plant_new(enum fault fault, uint64_t seed)
{
    struct plant *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    rand_seed(&p->rand, seed * 1000 + fault);
    for (uint32_t i = 0; i < UNITS; i++)
        p->times[i] = TAKT_US * (i + 1);
    fill(p);
    strike(p, fault);
    describe(p, "x");
    return p;
}

static bool is_true(const struct plant *p, enum fault fault, uint32_t factor, uint32_t level)
{
    switch (fault) {
    case FAULT_REEL:
        return factor == AT_FEEDER + 3 && level == p->reel;
    case FAULT_NOZZLE:
        return factor == AT_NOZZLE_B && level == 3;
    case FAULT_ZONE:
        return factor == AT_ZONE + 4;
    case FAULT_OPERATOR:
        return factor == AT_OPERATOR && level == 2;
    case FAULT_HUMIDITY:
        return factor == AT_HUMIDITY;
    case FAULT_PASTE:
        return factor == AT_PASTE && level == p->paste;
    case FAULT_NONE:
    case FAULT_NONE_DRIFTING:
    case FAULT_COUNT:
        break;
    }
    return false;
}

/* ----------------------------------------------------------------------------------------- tests
 */

struct score {
    int right;
    int wrong; /* something else is called the cause */
    int none;  /* nothing is */
};

/* The cause on top, or one that is said not to be separable from it. */
static bool is_named(const struct plant *p, enum fault fault, const struct why_cause *c)
{
    bool named = is_true(p, fault, c->factor, c->level);
    for (uint32_t i = 0; i < c->alike_count; i++)
        named = named || is_true(p, fault, c->alike[i].factor, c->alike[i].level);
    return named;
}

static struct score play(enum fault fault, int seeds)
{
    struct score score = {0};
    for (int seed = 1; seed <= seeds; seed++) {
        struct plant *p = plant_new(fault, (uint64_t)seed);
        struct why_answer *a = calloc(1, sizeof *a);
        struct diag diag = {0};
        CHECK_OK(why_rank(&p->matrix, a, &diag));
        if (a->result != WHY_CAUSES)
            score.none++;
        else if (is_named(p, fault, &a->causes[0]))
            score.right++;
        else
            score.wrong++;
        free(a);
        free(p);
    }
    return score;
}

/* One thing is wrong: it stands on top. Over 20 seeds each it does in 113 of 120 plants (once with
 * another that can't be told from it), and in 7 nothing does. */
TEST(a_single_cause_is_on_top)
{
    int right = 0;
    int wrong = 0;
    for (int fault = FAULT_REEL; fault < FAULT_COUNT; fault++) {
        struct score s = play((enum fault)fault, 3);
        right += s.right;
        wrong += s.wrong;
    }
    CHECK_EQ(wrong, 0);
    CHECK(right >= 15); /* of 18 */
}

/* Everything drifts, and units are bad by chance. */
TEST(drifts_alone_are_no_cause)
{
    struct score s = play(FAULT_NONE, 30);
    CHECK(s.none >= 27);
}

/* Even the rate of bad units drifts: many factors run with it. */
TEST(a_rate_that_drifts_by_itself_has_no_cause)
{
    struct score s = play(FAULT_NONE_DRIFTING, 20);
    CHECK(s.none >= 18);
}

/* Other names, other numbers for the levels: the same answer. */
TEST(names_make_no_difference)
{
    struct plant *p = plant_new(FAULT_REEL, 2);
    struct why_answer *a = calloc(2, sizeof *a);
    struct diag diag = {0};
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    for (int i = 0; i < AT_NAMED; i++)
        for (uint32_t u = 0; u < UNITS; u++)
            if (p->level[i][u] != UINT32_MAX)
                p->level[i][u] = LEVELS - 1 - p->level[i][u];
    describe(p, "other");
    CHECK_OK(why_rank(&p->matrix, a + 1, &diag));
    CHECK(a->cause_count > 0);
    CHECK_EQ(a->cause_count, a[1].cause_count);
    for (uint32_t i = 0; i < a->cause_count; i++) {
        const struct why_cause *x = &a->causes[i];
        const struct why_cause *y = &a[1].causes[i];
        CHECK_EQ(x->factor, y->factor);
        CHECK_EQ(x->level, x->numeric ? 0 : LEVELS - 1 - y->level);
        CHECK_NEAR(x->strength, y->strength, 1e-9);
        CHECK_NEAR(x->p_shift, y->p_shift, 0);
    }
    free(a);
    free(p);
}

/* What is told of a cause is what was put in. */
TEST(a_cause_is_described)
{
    struct plant *p = plant_new(FAULT_PASTE, 2);
    struct why_answer *a = calloc(1, sizeof *a);
    struct diag diag = {0};
    uint32_t first = 0;
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK_EQ(a->result, WHY_CAUSES);
    const struct why_cause *c = &a->causes[0];
    while (p->level[AT_PASTE][first] != p->paste)
        first++;
    CHECK_EQ(c->factor, AT_PASTE);
    CHECK_EQ(c->first_us, p->times[first]);
    CHECK_NEAR(c->counts.bad_with + c->counts.bad_without, a->bad, 0);
    CHECK_NEAR(c->counts.good_with + c->counts.good_without, a->good, 0);
    CHECK(c->set_in);
    CHECK(llabs(c->since_us - c->first_us) < 30 * TAKT_US);
    CHECK(c->until_us > c->since_us && c->until_us < INT64_MAX);
    CHECK(c->risk_difference.low > 0.08 && c->risk_difference.high < 0.22);
    CHECK(c->odds_ratio.low > 1);
    CHECK(c->p_shift <= WHY_SHIFT_P_MAX && c->q <= WHY_Q_MAX);
    bool named = false;
    for (uint32_t i = 0; i < c->changed_count; i++)
        named = named || (c->changed[i].factor == AT_PASTE && c->changed[i].level == p->paste &&
                          c->changed[i].before == p->paste - 1);
    CHECK(named);
    free(a);
    free(p);
}

/* Two things are wrong at once: both are found, and nothing else. */
TEST(several_causes_are_found_one_by_one)
{
    struct plant *p = plant_new(FAULT_REEL, 4);
    struct why_answer *a = calloc(1, sizeof *a);
    struct diag diag = {0};
    strike(p, FAULT_NOZZLE);
    p->reel = 4; /* as the first strike had it */
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    bool reel = false;
    bool nozzle = false;
    for (uint32_t i = 0; i < a->cause_count; i++) {
        const struct why_cause *c = &a->causes[i];
        reel = reel || (c->proven && is_true(p, FAULT_REEL, c->factor, c->level));
        nozzle = nozzle || (c->proven && is_true(p, FAULT_NOZZLE, c->factor, c->level));
    }
    CHECK(reel && nozzle);
    CHECK(a->cause_count == 2 || !a->causes[2].proven);
    free(a);
    free(p);
}

/* Two factors that never differ are one. */
TEST(what_can_not_be_told_apart_is_said)
{
    struct plant *p = plant_new(FAULT_PASTE, 2);
    struct why_answer *a = calloc(1, sizeof *a);
    struct diag diag = {0};
    memcpy(p->level[AT_PACKER], p->level[AT_PASTE], sizeof p->level[AT_PACKER]);
    describe(p, "x");
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK_EQ(a->result, WHY_CAUSES);
    const struct why_cause *c = &a->causes[0];
    uint32_t twin = c->factor == AT_PASTE ? AT_PACKER : AT_PASTE;
    CHECK(c->alike_count >= 1);
    CHECK_EQ(c->alike[0].factor, twin);
    CHECK_EQ(c->alike[0].level, c->level);
    CHECK_NEAR(c->alike[0].v, 1, 1e-12);
    CHECK(a->cause_count == 1 || a->causes[1].factor != twin);
    free(a);
    free(p);
}

TEST(too_few_units_are_inconclusive)
{
    struct plant *p = plant_new(FAULT_NONE, 1);
    struct why_answer *a = calloc(1, sizeof *a);
    struct diag diag = {0};
    memset(p->bad, 0, sizeof p->bad);
    for (int i = 0; i < WHY_BAD_MIN - 1; i++)
        p->bad[100 * i] = 1;
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK_EQ(a->result, WHY_INCONCLUSIVE);
    CHECK_EQ(a->bad, WHY_BAD_MIN - 1);
    memset(p->bad, 1, sizeof p->bad);
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK_EQ(a->result, WHY_INCONCLUSIVE);
    p->matrix.units = 0;
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK_EQ(a->result, WHY_INCONCLUSIVE);
    free(a);
    free(p);
}

/* A unit may have several levels of a factor: the lots of one feeder before and after a splice. */
TEST(a_unit_may_have_several_levels)
{
    struct plant *p = plant_new(FAULT_REEL, 2);
    struct why_answer *a = calloc(1, sizeof *a);
    struct why_entry *both = calloc(2 * UNITS, sizeof *both);
    struct diag diag = {0};
    uint32_t n = 0;
    for (uint32_t u = 0; u < UNITS; u++) {
        if (p->level[AT_FEEDER + 3][u] != UINT32_MAX)
            both[n++] = (struct why_entry){u, p->level[AT_FEEDER + 3][u]};
        if (p->level[AT_FEEDER + 5][u] != UINT32_MAX)
            both[n++] = (struct why_entry){u, LEVELS / 2 + p->level[AT_FEEDER + 5][u] % 32};
    }
    p->factors[AT_FEEDER + 3].entries = both;
    p->factors[AT_FEEDER + 3].entry_count = n;
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK_EQ(a->result, WHY_CAUSES);
    CHECK_EQ(a->causes[0].factor, AT_FEEDER + 3);
    CHECK_EQ(a->causes[0].level, p->reel);
    free(both);
    free(a);
    free(p);
}

/* Says stop when it was asked so often. */
static int stop_at(void *ctx)
{
    int *left = ctx;
    return --*left > 0 ? OK : ERR_TIMEOUT;
}

TEST(a_search_stops_when_it_is_told_to)
{
    struct plant *p = plant_new(FAULT_REEL, 2);
    struct why_answer *a = calloc(2, sizeof *a);
    struct diag diag = {0};
    int left = INT_MAX;
    const struct why_stop stop = {stop_at, &left};
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    p->matrix.stop = &stop;
    CHECK_OK(why_rank(&p->matrix, a + 1, &diag));
    CHECK_EQ(memcmp(a, a + 1, sizeof *a), 0);
    int asked = INT_MAX - left;
    CHECK(asked > (int)a->shifts);
    for (int at = 1; at <= asked; at += asked / 7) {
        left = at;
        a[1].tests = 77;
        CHECK_ERR(why_rank(&p->matrix, a + 1, &diag), ERR_TIMEOUT);
        CHECK_EQ(left, 0);
        CHECK_EQ(a[1].tests, 77); /* untouched */
    }
    free(a);
    free(p);
}

/* ---------------------------------------------------------------------------------------- in part
 */

/* Of every unit of [from, to) that has a nozzle of B nobody knows which of two it was. The likelier
 * one, by so many hundredths, is the true one as often. */
struct doubt {
    struct why_entry entries[2 * UNITS];
    uint8_t weights[2 * UNITS];
};

static void doubt_nozzle(struct plant *p, struct doubt *d, uint32_t from, uint32_t to,
                         uint8_t hundredths)
{
    struct why_factor *f = &p->factors[AT_NOZZLE_B];
    uint32_t n = 0;
    for (uint32_t u = 0; u < UNITS; u++) {
        uint32_t level = p->level[AT_NOZZLE_B][u];
        if (level == UINT32_MAX)
            continue;
        uint32_t other = (level + 1 + (uint32_t)rand_below(&p->rand, 3)) % 4;
        bool certain = u < from || u >= to;
        bool likelier = rand_below(&p->rand, 100) < hundredths;
        uint8_t weight = likelier ? hundredths : (uint8_t)(100 - hundredths);
        const struct why_entry pair[] = {{u, level}, {u, other}};
        const uint8_t weights[] = {certain ? WHY_WHOLE : weight, (uint8_t)(WHY_WHOLE - weight)};
        for (int i = 0; i < (certain ? 1 : 2); i++, n++) {
            int which = !certain && other < level ? 1 - i : i;
            d->entries[n] = pair[which];
            d->weights[n] = weights[which];
        }
    }
    f->entries = d->entries;
    f->entry_count = n;
    f->weights = d->weights;
}

static const struct why_cause *nozzle_of(const struct why_answer *a)
{
    for (uint32_t i = 0; i < a->cause_count; i++)
        if (a->causes[i].factor == AT_NOZZLE_B && a->causes[i].level == 3)
            return &a->causes[i];
    check_fail_at(__FILE__, __LINE__, "the nozzle is not among %u causes", a->cause_count);
    return NULL;
}

/* What is told of the nozzle: sums of weights. */
static void check_weights(const struct plant *p, const struct why_answer *a)
{
    const struct why_factor *f = &p->factors[AT_NOZZLE_B];
    const struct why_cause *c = nozzle_of(a);
    uint32_t in_part = 0;
    double weight = 0;
    double with[2] = {0};
    for (uint32_t i = 0; i < f->entry_count; i++) {
        if (f->entries[i].level != 3)
            continue;
        with[p->bad[f->entries[i].unit]] += f->weights[i] / 100.0;
        in_part += f->weights[i] < WHY_WHOLE;
        weight += f->weights[i] < WHY_WHOLE ? f->weights[i] / 100.0 : 0;
    }
    CHECK_EQ(c->weighted, in_part);
    CHECK_NEAR(c->weight, weight, 1e-9);
    CHECK_NEAR(c->counts.bad_with, with[1], 1e-9);
    CHECK_NEAR(c->counts.good_with, with[0], 1e-9);
    CHECK_NEAR(c->counts.bad_with + c->counts.bad_without, a->bad, 1e-9);
    CHECK_NEAR(c->counts.good_with + c->counts.good_without, a->good, 1e-9);
    CHECK(a->weighted > in_part);
}

/* One nozzle is bad, and over half of the time two of four can't be told apart, or one is likelier
 * by four to one: the cause stands. Known for certain it stands by more; counted whole by less. */
TEST(a_cause_stands_when_units_are_counted_in_part)
{
    static const uint8_t likelier[] = {50, 80};
    double strength[3] = {0};
    struct why_answer *a = calloc(3, sizeof *a);
    struct doubt *d = calloc(1, sizeof *d);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct plant *p = plant_new(FAULT_NONE, seed);
        struct diag diag = {0};
        for (uint32_t u = 0; u < UNITS; u++)
            p->bad[u] |= p->level[AT_NOZZLE_B][u] == 3 && rand_double(&p->rand) < 0.08;
        CHECK_OK(why_rank(&p->matrix, &a[0], &diag));
        CHECK_EQ(a[0].weighted, 0);
        CHECK_EQ(nozzle_of(&a[0])->weighted, 0);
        doubt_nozzle(p, d, UNITS / 4, 3 * UNITS / 4, likelier[seed % 2]);
        CHECK_OK(why_rank(&p->matrix, &a[1], &diag));
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(a[i].result, WHY_CAUSES);
            CHECK(&a[i].causes[0] == nozzle_of(&a[i]));
        }
        check_weights(p, &a[1]);
        CHECK(nozzle_of(&a[1])->p_factor <= 0.001);
        p->factors[AT_NOZZLE_B].weights = NULL;
        CHECK_OK(why_rank(&p->matrix, &a[2], &diag));
        for (int i = 0; i < 3; i++)
            strength[i] += nozzle_of(&a[i])->strength;
        free(p);
    }
    CHECK(strength[0] > 1.1 * strength[1]);
    CHECK(strength[1] > 1.1 * strength[2]);
    free(d);
    free(a);
}

/* Given a nozzle that is known in part, the reel that is bad as well is still found, and the other
 * way round; the nozzle's neighbours in doubt are no causes. */
TEST(several_causes_are_found_where_one_is_in_doubt)
{
    struct plant *p = plant_new(FAULT_REEL, 4);
    struct why_answer *a = calloc(1, sizeof *a);
    struct doubt *d = calloc(1, sizeof *d);
    struct diag diag = {0};
    bool reel = false;
    for (uint32_t u = 0; u < UNITS; u++)
        p->bad[u] |= p->level[AT_NOZZLE_B][u] == 3 && rand_double(&p->rand) < 0.1;
    doubt_nozzle(p, d, UNITS / 4, 3 * UNITS / 4, 60);
    CHECK_OK(why_rank(&p->matrix, a, &diag));
    CHECK(nozzle_of(a)->proven);
    CHECK(nozzle_of(a)->weighted > 0);
    for (uint32_t i = 0; i < a->cause_count; i++) {
        const struct why_cause *c = &a->causes[i];
        reel = reel || (c->proven && is_true(p, FAULT_REEL, c->factor, c->level));
        CHECK(!c->proven || c->factor != AT_NOZZLE_B || c->level == 3);
    }
    CHECK(reel);
    CHECK(a->cause_count == 2 || !a->causes[2].proven);
    free(d);
    free(a);
    free(p);
}

/* The block is bad for another reason: what is as likely as not there is no cause. */
TEST(a_block_in_doubt_is_no_cause)
{
    struct why_answer *a = calloc(1, sizeof *a);
    struct doubt *d = calloc(1, sizeof *d);
    int none = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct plant *p = plant_new(FAULT_NONE, seed);
        struct diag diag = {0};
        for (uint32_t u = UNITS / 2; u < UNITS / 2 + 400; u++)
            p->bad[u] |= rand_double(&p->rand) < 0.05;
        doubt_nozzle(p, d, UNITS / 2, UNITS / 2 + 400, 50);
        CHECK_OK(why_rank(&p->matrix, a, &diag));
        for (uint32_t i = 0; i < a->cause_count; i++)
            CHECK(!a->causes[i].proven || a->causes[i].factor != AT_NOZZLE_B);
        none += a->result == WHY_NOTHING;
        free(p);
    }
    CHECK(none >= 8);
    free(d);
    free(a);
}

/* For a third of the units a zone's temperature may be another unit's, and is: counted whole it is
 * a suspect, counted in part the cause. */
TEST(numbers_are_counted_in_part)
{
    struct plant *p = plant_new(FAULT_ZONE, 11);
    struct why_answer *a = calloc(3, sizeof *a);
    uint8_t *weights = calloc(UNITS, 1);
    struct diag diag = {0};
    double *zone = p->numbers[AT_ZONE + 4 - AT_NAMED];
    uint32_t in_part = 0;
    CHECK_OK(why_rank(&p->matrix, &a[0], &diag));
    for (uint32_t u = 0; u < UNITS; u++) {
        bool certain = u % 3 != 0;
        weights[u] = certain ? WHY_WHOLE : 20;
        in_part += !certain;
        zone[u] = certain ? zone[u] : zone[(u + UNITS / 2) % UNITS];
    }
    CHECK_OK(why_rank(&p->matrix, &a[1], &diag));
    p->factors[AT_ZONE + 4].weights = weights;
    CHECK_OK(why_rank(&p->matrix, &a[2], &diag));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(a[i].causes[0].factor, AT_ZONE + 4);
        CHECK(a[i].causes[0].proven == (i != 1));
    }
    const struct why_cause *c = &a[2].causes[0];
    CHECK(c->strength > 1.1 * a[1].causes[0].strength);
    CHECK(fabs(c->auc.value - 0.5) > fabs(a[1].causes[0].auc.value - 0.5));
    CHECK_EQ(c->weighted, in_part);
    CHECK_NEAR(c->weight, in_part / 5.0, 1e-6);
    CHECK_NEAR(c->counts.bad_with + c->counts.good_with + c->counts.bad_without +
                   c->counts.good_without,
               UNITS - in_part * 0.8, 1e-6);
    CHECK_EQ(a[2].weighted, in_part);
    free(weights);
    free(a);
    free(p);
}

/* Of what nothing is in doubt every number stays what it is, whatever is in doubt elsewhere. */
TEST(weights_touch_their_own_factor_alone)
{
    struct plant *p = plant_new(FAULT_REEL, 2);
    struct why_answer *a = calloc(2, sizeof *a);
    struct doubt *d = calloc(1, sizeof *d);
    struct diag diag = {0};
    CHECK_OK(why_rank(&p->matrix, &a[0], &diag));
    doubt_nozzle(p, d, 0, UNITS / 3, 70);
    CHECK_OK(why_rank(&p->matrix, &a[1], &diag));
    CHECK_EQ(a[0].result, WHY_CAUSES);
    CHECK_EQ(a[1].result, WHY_CAUSES);
    CHECK_EQ(a[1].tests, a[0].tests);
    a[1].causes[0].q = a[0].causes[0].q; /* which is over all factors */
    CHECK_EQ(memcmp(&a[0].causes[0], &a[1].causes[0], sizeof a[0].causes[0]), 0);
    free(d);
    free(a);
    free(p);
}
