/* The search: score, hold against chance, pick the strongest, ask again given what was picked. See
 * why_rank.h.
 *
 * What a cause explains vanishes for the others once units are compared within the cause's strata:
 * the lots that were on the line in the same hours, the zone next to the cold one. So the list is
 * made one by one, and a factor that shows nothing more of its own is not on it.
 */
#include "trace/why_rank.h"

#include "trace/why_priv.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DRIFT_BLOCKS_FEW 8
#define DRIFT_BLOCKS_MAX 32
#define DRIFT_P_MAX      0.025
#define DRIFT_SEED       0x6472696674u
#define EXACT_MIN        3.0 /* below this chi-square an approximate p is good enough */
#define GROUPS_MAX       4   /* into which a cause divides the units */

struct ranking {
    struct why_coded coded;
    const struct why_matrix *matrix;
    uint32_t *bad_units;
    struct why_bad bad;
    uint16_t *cell; /* of time; NULL if the rate does not drift */
    uint32_t cells;
    uint16_t *stratum; /* of time and the causes so far */
    uint32_t strata;
    struct why_layout *layouts; /* [WHY_LAYOUTS_MAX] */
    struct why_scale scales[WHY_SCALES];
    uint32_t scale_count;
    double *work;
    double *scores; /* of the last pass */
    double *p;
    double *q;
    double *first_p; /* of the first, the smaller of its scales */
    double *first_q;
    double *first_scores; /* of its scales together */
    uint32_t shifts;
};

/* ----------------------------------------------------------------------------------------- drift
 */

static int rate_drifts(const struct ranking *r, uint32_t blocks, bool *ret)
{
    uint32_t bad[DRIFT_BLOCKS_MAX] = {0};
    uint32_t all[DRIFT_BLOCKS_MAX] = {0};
    struct why_chi2 chi2;
    for (uint32_t i = 0; i < r->matrix->units; i++) {
        uint32_t block = (uint32_t)((uint64_t)i * blocks / r->matrix->units);
        all[block]++;
        bad[block] += r->matrix->bad[i];
    }
    int err = why_chi2(bad, all, blocks, DRIFT_SEED, &chi2);
    if (!err && chi2.p < DRIFT_P_MAX)
        *ret = true;
    return err;
}

/* Cells have equal numbers of units. */
static void time_layouts(struct ranking *r)
{
    struct why_layout *even = &r->layouts[0];
    struct why_layout *odd = &r->layouts[1];
    struct why_layout *narrow = &r->layouts[2];
    *even = (struct why_layout){.strata = r->cell ? WHY_CELLS / WHY_WIDE : 1};
    *odd = (struct why_layout){.strata = WHY_CELLS / WHY_WIDE + 1};
    *narrow = (struct why_layout){.strata = WHY_CELLS};
    even->end[0] = 1;
    for (uint32_t i = 0; r->cell && i < even->strata; i++)
        even->end[i] = (uint16_t)((i + 1) * WHY_WIDE);
    for (uint32_t i = 0; i < odd->strata; i++)
        odd->end[i] = (uint16_t)(i * WHY_WIDE + WHY_WIDE / 2);
    odd->end[odd->strata - 1] = WHY_CELLS;
    for (uint16_t i = 0; i < WHY_CELLS; i++)
        narrow->end[i] = (uint16_t)(i + 1);
    r->scale_count = r->cell ? WHY_SCALES : 1;
    r->scales[0].layouts = even;
    r->scales[0].layout_count = r->cell ? 2 : 1;
    r->scales[1].layouts = narrow;
    r->scales[1].layout_count = 1;
}

static int time_cells(struct ranking *r)
{
    bool drifts = false;
    uint32_t units = r->matrix->units;
    int err = rate_drifts(r, DRIFT_BLOCKS_FEW, &drifts);
    if (!err && !drifts)
        err = rate_drifts(r, DRIFT_BLOCKS_MAX, &drifts);
    r->cells = drifts ? WHY_CELLS : 1;
    if (!err && drifts) {
        r->cell = calloc(units, sizeof *r->cell);
        err = r->cell ? OK : ERR_NOMEM;
    }
    for (uint32_t i = 0; !err && drifts && i < units; i++) {
        r->cell[i] = (uint16_t)((uint64_t)i * WHY_CELLS / units);
        r->stratum[i] = r->cell[i];
    }
    r->strata = drifts ? WHY_CELLS : 1;
    time_layouts(r);
    return err;
}

/* ------------------------------------------------------------------------------------------ pass
 */

/* Units without strata have an exact test: of a level, or of all below a cut. */
static void exact_factor(const struct ranking *r, const struct why_counts *all,
                         const struct why_counts *bad, const struct why_coded_factor *f, double *p)
{
    uint32_t bads = f->numeric ? 0 : bad->units[0];
    uint32_t goods = f->numeric ? 0 : all->units[0] - bad->units[0];
    for (uint32_t slot = f->first; f->numeric && slot < f->first + f->count; slot++) {
        bads += bad->slots[slot];
        goods += all->slots[slot] - bad->slots[slot];
    }
    struct why_table t = {0};
    for (uint32_t slot = f->first; slot < f->first + f->count - f->numeric; slot++) {
        uint32_t k = bad->slots[slot];
        uint32_t n = all->slots[slot];
        t.bad_with = f->numeric ? t.bad_with + k : k;
        t.good_with = f->numeric ? t.good_with + n - k : n - k;
        t.bad_without = bads - t.bad_with;
        t.good_without = goods - t.good_with;
        if (fabs(r->scores[slot]) > EXACT_MIN)
            p[slot] = why_fisher(&t);
    }
}

/* p of each slot by the last scores: the smallest of so many tests of it. */
static void pass_p(struct ranking *r, const struct why_counts *all, const struct why_counts *bad,
                   uint32_t tests, double *p)
{
    for (uint32_t i = 0; i < r->coded.slots; i++)
        p[i] = why_normal_tail(sqrt(fabs(r->scores[i])));
    for (uint32_t i = 0; all->cells == 1 && i < r->matrix->factor_count; i++)
        if (!r->coded.factors[i].weighted)
            exact_factor(r, all, bad, &r->coded.factors[i], p);
    for (uint32_t i = 0; i < r->coded.slots; i++)
        p[i] = fmin(1, tests * p[i]);
}

/* The counts of a pass, for all units and bad ones. */
struct pass {
    struct why_counts all;
    struct why_counts bad;
};

static void pass_fini(struct pass *p)
{
    why_counts_fini(&p->all);
    why_counts_fini(&p->bad);
}

static int pass_init(struct pass *p, const struct why_coded *c, uint32_t cells)
{
    *p = (struct pass){0};
    int err = why_counts_init(c, cells, &p->all);
    if (!err)
        err = why_counts_init(c, cells, &p->bad);
    if (err)
        pass_fini(p);
    return err;
}

/* Scores the counts as they stand into r->scores. */
static void pass_score(struct ranking *r, const struct pass *p)
{
    const struct why_scorer s = {
        .coded = &r->coded, .all = &p->all, .bad = &p->bad, .work = r->work};
    why_score(&s, r->scores);
}

/* The largest of a scale's layouts. */
static int pass_scale(struct ranking *r, const struct why_scale *scale, const struct pass *cells,
                      uint32_t tests)
{
    memset(r->scores, 0, r->coded.slots * sizeof *r->scores);
    for (uint32_t l = 0; l < scale->layout_count; l++) {
        struct pass p;
        int err = pass_init(&p, &r->coded, scale->layouts[l].strata);
        if (err)
            return err;
        why_fold(&r->coded, &cells->all, &scale->layouts[l], &p.all);
        why_fold(&r->coded, &cells->bad, &scale->layouts[l], &p.bad);
        pass_score(r, &p);
        pass_fini(&p);
    }
    pass_p(r, &cells->all, &cells->bad, tests, r->p);
    memcpy(scale->scores, r->scores, r->coded.slots * sizeof *r->scores);
    return OK;
}

/* Every layout is a test of its own. */
static int pass_scales(struct ranking *r, const struct pass *cells)
{
    uint32_t slots = r->coded.slots;
    uint32_t tests = 0;
    int err = OK;
    for (uint32_t k = 0; k < r->scale_count; k++)
        tests += r->scales[k].layout_count;
    for (uint32_t k = 0; !err && k < r->scale_count; k++) {
        err = pass_scale(r, &r->scales[k], cells, tests);
        for (uint32_t i = 0; i < slots; i++) {
            r->first_p[i] = k ? fmin(r->first_p[i], r->p[i]) : r->p[i];
            r->first_scores[i] += r->scores[i];
        }
    }
    memcpy(r->scores, r->first_scores, slots * sizeof *r->scores);
    if (!err)
        err = why_bh(r->first_p, slots, r->first_q);
    memcpy(r->q, r->first_q, slots * sizeof *r->q);
    return err;
}

/* As the units are, in strata of time only, and as they are when shifted. */
static int pass_first(struct ranking *r)
{
    struct pass cells;
    int err = pass_init(&cells, &r->coded, r->cells);
    if (err)
        return err;
    why_count_all(&r->coded, r->cell, &cells.all);
    why_count_bad(&r->coded, r->cell, &r->bad, &cells.bad);
    const struct why_null null = {.coded = &r->coded,
                                  .cell = r->cell,
                                  .all = &cells.all,
                                  .bad = r->bad,
                                  .scales = r->scales,
                                  .scale_count = r->scale_count,
                                  .work = r->work};
    err = pass_scales(r, &cells);
    if (!err)
        err = why_null_run(&null, &r->shifts);
    pass_fini(&cells);
    return err;
}

/* Given the causes so far. */
static int pass_next(struct ranking *r)
{
    struct pass p;
    int err = pass_init(&p, &r->coded, r->strata);
    if (err)
        return err;
    why_count_all(&r->coded, r->stratum, &p.all);
    why_count_bad(&r->coded, r->stratum, &r->bad, &p.bad);
    memset(r->scores, 0, r->coded.slots * sizeof *r->scores);
    pass_score(r, &p);
    pass_p(r, &p.all, &p.bad, 1, r->p);
    err = why_bh(r->p, r->coded.slots, r->q);
    pass_fini(&p);
    return err;
}

/* ---------------------------------------------------------------------------------------- choice
 */

/* How often shifted bad units reach a slot's statistic, at the better of the scales. */
static double shift_p(const struct ranking *r, uint32_t slot)
{
    double best = 1;
    for (uint32_t k = 0; k < r->scale_count; k++) {
        uint32_t reached = 0;
        for (uint32_t i = 0; i < r->shifts; i++)
            reached += r->scales[k].largest[i] >= fabs(r->scales[k].scores[slot]);
        best = fmin(best, r->scale_count * (reached + 1.0) / (r->shifts + 1.0));
    }
    return best;
}

/* Of a factor of numbers the best of its cuts and its order. */
static double factor_shift_p(const struct ranking *r, uint32_t factor, uint32_t slot)
{
    const struct why_coded_factor *f = &r->coded.factors[factor];
    double best = 1;
    if (!f->numeric)
        return shift_p(r, slot);
    for (uint32_t i = f->first; i < f->first + f->count; i++)
        best = fmin(best, shift_p(r, i));
    return best;
}

static uint32_t strongest(const double *scores, uint32_t from, uint32_t count)
{
    uint32_t best = from;
    for (uint32_t slot = from; slot < from + count; slot++)
        if (fabs(scores[slot]) > fabs(scores[best]))
            best = slot;
    return best;
}

static bool enough_bad(const struct ranking *r, uint32_t slot)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b < r->bad.count && n < WHY_LEVEL_BAD_MIN; b++) {
        uint32_t unit = r->bad.units[b];
        for (uint32_t i = r->coded.begin[unit]; i < r->coded.begin[unit + 1]; i++)
            n += r->coded.codes[i] == slot;
    }
    return n >= WHY_LEVEL_BAD_MIN;
}

/* The numbers of a candidate: slot `now` is what this pass scores, `then` the first one's. */
struct candidate {
    uint32_t factor;
    uint32_t slot;
    double score; /* of this pass */
    uint32_t then;
    double p_shift;
};

static bool candidate_at(const struct ranking *r, uint32_t factor, uint32_t slot,
                         struct candidate *ret)
{
    const struct why_coded_factor *f = &r->coded.factors[factor];
    uint32_t then = slot;
    uint32_t now = slot;
    if (f->numeric) {
        now = strongest(r->scores, f->first, f->count);
        then = strongest(r->first_scores, f->first, f->count);
    } else if (r->scores[slot] <= 0 || r->first_scores[slot] <= 0) {
        return false;
    }
    *ret = (struct candidate){factor, slot, fabs(r->scores[now]), then, 1};
    return r->q[now] <= WHY_Q_MAX && r->first_q[then] <= WHY_Q_MAX;
}

static bool is_chosen(const struct why_answer *answer, const struct candidate *c,
                      const struct why_coded_factor *f)
{
    for (uint32_t i = 0; i < answer->cause_count; i++)
        if (answer->causes[i].factor == c->factor &&
            (f->numeric || answer->causes[i].level == c->slot - f->first))
            return true;
    return false;
}

/* The strongest that is left; false if there is none. Of equal ones the first stays. */
static bool choose(const struct ranking *r, const struct why_answer *answer, bool proven,
                   struct candidate *ret)
{
    bool found = false;
    for (uint32_t i = 0; i < r->matrix->factor_count; i++) {
        const struct why_coded_factor *f = &r->coded.factors[i];
        uint32_t count = f->numeric ? 1 : f->count;
        for (uint32_t slot = f->first; slot < f->first + count; slot++) {
            struct candidate c;
            if (!candidate_at(r, i, slot, &c) || (found && c.score <= ret->score * (1 + 1e-9)) ||
                is_chosen(answer, &c, f) || (!f->numeric && !enough_bad(r, slot)))
                continue;
            c.p_shift = factor_shift_p(r, i, slot);
            if ((c.p_shift <= WHY_SHIFT_P_MAX) != proven)
                continue;
            *ret = c;
            found = true;
        }
    }
    return found;
}

static void cause_begin(const struct ranking *r, const struct candidate *c, bool proven,
                        struct why_cause *cause)
{
    const struct why_coded_factor *f = &r->coded.factors[c->factor];
    *cause = (struct why_cause){
        .factor = c->factor,
        .level = f->numeric ? 0 : c->slot - f->first,
        .numeric = f->numeric,
        .proven = proven,
        .strength = fabs(r->first_scores[c->then]),
        .p = r->first_p[c->then],
        .q = r->first_q[c->then],
        .p_shift = c->p_shift,
    };
    if (f->numeric && f->count > 1) {
        uint32_t cut = strongest(r->first_scores, f->first, f->count - 1);
        cause->cut = f->edges[cut - f->first];
        cause->above = r->first_scores[cut] < 0;
    }
}

/* ------------------------------------------------------------------------------------ given that
 */

/* Each side of a cut is halved again: a cause of numbers works by degrees. */
static void halves(const struct ranking *r, const struct why_cause *cause, uint32_t ret[2])
{
    const struct why_coded_factor *f = &r->coded.factors[cause->factor];
    const double *numbers = r->matrix->factors[cause->factor].numbers;
    uint32_t counts[2][64] = {{0}};
    uint32_t sums[2] = {0};
    for (uint32_t i = 0; i < r->matrix->units; i++) {
        bool with = why_is_with(&r->coded, cause, i);
        if (isnan(numbers[i]))
            continue;
        counts[with][why_bin(f, numbers[i])]++;
        sums[with]++;
    }
    for (int side = 0; side < 2; side++) {
        uint32_t below = 0;
        ret[side] = 0;
        while (ret[side] < f->count && 2 * (below += counts[side][ret[side]]) < sums[side])
            ret[side]++;
    }
}

/* False if there would be too many strata. Units that have a level in part are a group. */
static bool divide(struct ranking *r, const struct why_cause *cause)
{
    uint16_t seen[WHY_STRATA_MAX * GROUPS_MAX] = {0};
    uint32_t middle[2] = {0};
    uint32_t strata = 0;
    const struct why_coded_factor *f = &r->coded.factors[cause->factor];
    const double *numbers = r->matrix->factors[cause->factor].numbers;
    if (r->strata * (cause->numeric ? GROUPS_MAX : f->weighted ? 3 : 2) > WHY_STRATA_MAX)
        return false;
    if (cause->numeric)
        halves(r, cause, middle);
    for (uint32_t i = 0; i < r->matrix->units; i++) {
        bool with = why_is_with(&r->coded, cause, i);
        uint32_t group = with;
        if (cause->numeric && !isnan(numbers[i]))
            group += why_bin(f, numbers[i]) > middle[with] ? 2 : 0;
        else if (!cause->numeric && with && why_part(&r->coded, cause, i) < 1)
            group = 2;
        uint32_t at = r->stratum[i] * GROUPS_MAX + group;
        if (!seen[at])
            seen[at] = (uint16_t)++strata;
        r->stratum[i] = (uint16_t)(seen[at] - 1);
    }
    r->strata = strata;
    return true;
}

/* Proven ones first, then suspects: both given all that stand before them. */
static int search(struct ranking *r, const uint16_t *time_stratum, struct why_answer *answer)
{
    int err = OK;
    uint32_t left[2] = {WHY_SUSPECTS_MAX, WHY_CAUSES_MAX};
    bool proven = true;
    while (!err) {
        struct candidate c = {0};
        while (!left[proven] || !choose(r, answer, proven, &c)) {
            if (!proven)
                return OK;
            proven = false;
        }
        struct why_cause *cause = &answer->causes[answer->cause_count++];
        left[proven]--;
        cause_begin(r, &c, proven, cause);
        err = why_detail(&r->coded, time_stratum, answer->strata, cause);
        if (!err && !divide(r, cause))
            return OK;
        if (!err)
            err = why_stopped(r->matrix->stop);
        if (!err)
            err = pass_next(r);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------ life
 */

static int ranking_init(struct ranking *r, const struct why_matrix *matrix, uint32_t bad)
{
    r->matrix = matrix;
    uint32_t slots = r->coded.slots + 1;
    r->bad_units = calloc(bad + 1, sizeof *r->bad_units);
    r->stratum = calloc(matrix->units + 1, sizeof *r->stratum);
    r->layouts = calloc(WHY_LAYOUTS_MAX, sizeof *r->layouts);
    r->scales[0].largest = calloc(WHY_SCALES, WHY_SHIFTS_MAX * sizeof(double));
    r->work = calloc((size_t)WHY_WORK * WHY_STRATA_MAX, sizeof *r->work);
    r->scores = calloc((size_t)slots * (6 + WHY_SCALES), sizeof *r->scores);
    if (!r->bad_units || !r->stratum || !r->layouts || !r->work || !r->scores ||
        !r->scales[0].largest)
        return ERR_NOMEM;
    r->p = r->scores + slots;
    r->q = r->p + slots;
    r->first_p = r->q + slots;
    r->first_q = r->first_p + slots;
    r->first_scores = r->first_q + slots;
    for (uint32_t k = 0; k < WHY_SCALES; k++) {
        r->scales[k].scores = r->first_scores + (k + 1) * (size_t)slots;
        r->scales[k].largest = r->scales[0].largest + k * (size_t)WHY_SHIFTS_MAX;
    }
    for (uint32_t i = 0; i < matrix->units; i++)
        if (matrix->bad[i])
            r->bad_units[r->bad.count++] = i;
    r->bad.units = r->bad_units;
    return OK;
}

static void ranking_fini(struct ranking *r)
{
    why_code_fini(&r->coded);
    free(r->bad_units);
    free(r->cell);
    free(r->stratum);
    free(r->layouts);
    free(r->work);
    free(r->scores);
    free(r->scales[0].largest);
}

static int rank_units(struct ranking *r, struct why_answer *answer)
{
    int err = ranking_init(r, r->coded.matrix, answer->bad);
    if (!err)
        err = time_cells(r);
    if (!err)
        err = pass_first(r);
    uint16_t *time_stratum = calloc(r->coded.matrix->units + 1, sizeof *time_stratum);
    if (!err && !time_stratum)
        err = ERR_NOMEM;
    if (!err) {
        for (uint32_t i = 0; r->cell && i < r->matrix->units; i++)
            time_stratum[i] = r->cell[i] / WHY_WIDE;
        answer->strata = r->cell ? WHY_CELLS / WHY_WIDE : 1;
        answer->shifts = r->shifts;
        answer->tests = r->coded.slots;
        answer->weighted = why_part_count(&r->coded);
        err = search(r, time_stratum, answer);
    }
    free(time_stratum);
    return err;
}

int why_rank(const struct why_matrix *matrix, struct why_answer *ret, struct diag *diag)
{
    struct why_answer *answer = calloc(1, sizeof *answer);
    struct ranking r = {0};
    if (!answer)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < matrix->units; i++) {
        assert(i == 0 || matrix->times[i] >= matrix->times[i - 1]);
        answer->bad += matrix->bad[i] != 0;
    }
    answer->good = matrix->units - answer->bad;
    answer->strata = 1;
    answer->result = WHY_INCONCLUSIVE;
    int err = OK;
    if (answer->bad >= WHY_BAD_MIN && answer->good >= WHY_GOOD_MIN) {
        err = why_code(matrix, &r.coded, diag);
        if (!err)
            err = rank_units(&r, answer);
        answer->result = answer->cause_count && answer->causes[0].proven ? WHY_CAUSES : WHY_NOTHING;
        ranking_fini(&r);
    }
    if (!err)
        *ret = *answer;
    free(answer);
    return err;
}
