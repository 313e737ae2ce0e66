/* The null: the bad units keep their order and their gaps, and all of them are moved in time
 * against the factors, round the end. See why_priv.h.
 *
 * Whatever makes neighbours alike on either side stays as it is, only what ties the two together is
 * cut. The largest statistic of any factor in each shift is what chance alone reaches with this
 * many factors (Westfall and Young's single step), so a cause must stand above nearly all of them.
 */
#include "base/rand.h"
#include "trace/why_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHIFTS_MAX   999
#define SHIFTS_MIN   199
#define SHIFTS_WORK  1500000000u /* counts in all */
#define SHIFTS_EDGE  0.04        /* of the units: shifts so small leave all as it is */
#define SHIFTS_FLOOR 10.0        /* no cause has so small a statistic: WHY_Q_MAX */
#define SHIFTS_SEED  0x6c6f746c696e65u

/* The largest statistic that may be called a cause: of a level more bad units, of a cut either. */
static double largest(const struct why_coded *c, const double *scores)
{
    double best = 0;
    for (uint32_t i = 0; i < c->matrix->factor_count; i++) {
        const struct why_coded_factor *f = &c->factors[i];
        for (uint32_t slot = f->first; slot < f->first + f->count; slot++) {
            double v = f->numeric ? fabs(scores[slot]) : scores[slot];
            best = v > best ? v : best;
        }
    }
    return best;
}

static uint32_t shift_count(const struct why_null *n)
{
    const struct why_coded *c = n->coded;
    double codes = (double)c->begin[c->matrix->units] / c->matrix->units;
    double work = codes * n->bad.count + 6.0 * c->slots * n->all->cells;
    double count = fmin(fmax(SHIFTS_WORK / work, SHIFTS_MIN), WHY_SHIFTS_MAX);
    return (uint32_t)fmin(count, c->matrix->units * (1 - 2 * SHIFTS_EDGE));
}

/* Spread evenly, each at a random place of its part. */
static uint32_t shift_at(struct rand *r, uint32_t units, uint32_t i, uint32_t count)
{
    double part = (i + rand_double(r)) / count;
    return (uint32_t)(units * (SHIFTS_EDGE + (1 - 2 * SHIFTS_EDGE) * part));
}

/* What is made once and used in each shift. */
struct shifting {
    const struct why_null *null;
    struct why_counts bad;                  /* by cell */
    struct why_counts folded;               /* by stratum */
    struct why_counts all[WHY_LAYOUTS_MAX]; /* by stratum of each layout */
    double *scores;
};

static void shifting_fini(struct shifting *s)
{
    why_counts_fini(&s->bad);
    why_counts_fini(&s->folded);
    for (int i = 0; i < WHY_LAYOUTS_MAX; i++)
        why_counts_fini(&s->all[i]);
    free(s->scores);
}

static int shifting_init(struct shifting *s, const struct why_null *n)
{
    uint32_t at = 0;
    *s = (struct shifting){.null = n, .scores = calloc(n->coded->slots + 1, sizeof *s->scores)};
    int err = s->scores ? why_counts_init(n->coded, n->all->cells, &s->bad) : ERR_NOMEM;
    if (!err)
        err = why_counts_init(n->coded, n->all->cells, &s->folded);
    for (uint32_t k = 0; k < n->scale_count; k++) {
        for (uint32_t l = 0; !err && l < n->scales[k].layout_count; l++, at++) {
            const struct why_layout *layout = &n->scales[k].layouts[l];
            err = why_counts_init(n->coded, layout->strata, &s->all[at]);
            if (!err)
                why_fold(n->coded, n->all, layout, &s->all[at]);
        }
    }
    if (err)
        shifting_fini(s);
    return err;
}

/* One shift: the largest statistic of each scale. */
static void shift(struct shifting *s, uint32_t index)
{
    const struct why_null *n = s->null;
    struct why_scorer scorer = {.coded = n->coded,
                                .bad = &s->folded,
                                .more_bad = true,
                                .floor = SHIFTS_FLOOR,
                                .work = n->work};
    uint32_t at = 0;
    for (uint32_t k = 0; k < n->scale_count; k++) {
        memset(s->scores, 0, n->coded->slots * sizeof *s->scores);
        for (uint32_t l = 0; l < n->scales[k].layout_count; l++) {
            const struct why_layout *layout = &n->scales[k].layouts[l];
            s->folded.cells = layout->strata;
            s->folded.units = s->folded.slots + (size_t)n->coded->slots * layout->strata;
            why_fold(n->coded, &s->bad, layout, &s->folded);
            scorer.all = &s->all[at++];
            why_score(&scorer, s->scores);
        }
        n->scales[k].largest[index] = largest(n->coded, s->scores);
    }
}

int why_null_run(const struct why_null *n, uint32_t *ret_shifts)
{
    struct shifting s;
    struct rand r;
    uint32_t count = shift_count(n);
    int err = shifting_init(&s, n);
    if (err)
        return err;
    rand_seed(&r, SHIFTS_SEED);
    for (uint32_t i = 0; !err && i < count; i++) {
        struct why_bad moved = n->bad;
        moved.shift = shift_at(&r, n->coded->matrix->units, i, count);
        why_count_bad(n->coded, n->cell, &moved, &s.bad);
        shift(&s, i);
        err = why_stopped(n->coded->matrix->stop);
    }
    shifting_fini(&s);
    if (!err)
        *ret_shifts = count;
    return err;
}
