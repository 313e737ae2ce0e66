/* What is told about a cause: counts and effect, when it set in, what came up then, and what can't
 * be told from it. See why_priv.h. */
#include "base/rand.h"
#include "trace/why_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FACTOR_SEED   0x666163746f72u
#define PARTS_DRAWS   20000000.0
#define WINDOW_MIN    10
#define WINDOW_MAX    60
#define WINDOW_PART   50  /* of the units, one in so many */
#define CHANGED_SHARE 0.6 /* of the window's units, more than before */
#define BEFORE_SHARE  0.5
#define RATE_SHARE    0.5 /* of the worst piece's rate: the cause is at work */

struct detail {
    const struct why_coded *c;
    const struct why_matrix *m;
    const uint16_t *stratum;
    uint32_t strata;
    uint8_t *with; /* [units] */
    uint8_t *has;
    uint32_t with_count;
    struct why_cause *cause;
};

/* ---------------------------------------------------------------------------------------- counts
 */

static void table_add(struct why_table *t, bool with, bool bad, double part)
{
    if (with && bad)
        t->bad_with += part;
    else if (with)
        t->good_with += part;
    else if (bad)
        t->bad_without += part;
    else
        t->good_without += part;
}

/* What a unit has of a level with a likelihood it lacks with the rest of it. */
static void effect_add(const struct detail *d, struct why_table *t, uint32_t unit, double part)
{
    table_add(t, d->with[unit], d->m->bad[unit], part);
    if (!d->cause->numeric && part < 1)
        table_add(t, false, d->m->bad[unit], 1 - part);
}

static int detail_effect(const struct detail *d)
{
    struct why_cause *cause = d->cause;
    struct why_table *tables = calloc(d->strata, sizeof *tables);
    if (!tables)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < d->m->units; i++) {
        if (!d->has[i])
            continue;
        double part = why_part(d->c, cause, i);
        effect_add(d, &cause->counts, i, part);
        effect_add(d, &tables[d->stratum[i]], i, part);
        cause->weighted += part < 1;
        cause->weight += part < 1 ? part : 0;
        if (d->with[i]) {
            cause->first_us = cause->first_us ? cause->first_us : d->m->times[i];
            cause->last_us = d->m->times[i];
        }
    }
    cause->risk_difference = why_risk_difference(&cause->counts);
    cause->odds_ratio = why_odds_ratio(&cause->counts);
    if (d->strata > 1) {
        struct why_cmh cmh = why_cmh(tables, d->strata);
        if (cmh.odds_ratio.value > 0)
            cause->odds_ratio = cmh.odds_ratio;
    }
    free(tables);
    return OK;
}

/* A statistic of all levels: Pearson's, by weight. */
static double levels_away(const double *bad, const double *all, uint32_t levels, double rate)
{
    double sum = 0;
    for (uint32_t i = 0; i < levels; i++) {
        double away = bad[i] - all[i] * rate;
        sum += all[i] > 0 ? away * away / (all[i] * rate * (1 - rate)) : 0;
    }
    return sum;
}

/* A unit's levels by weight. */
static void levels_add(const struct detail *d, uint32_t unit, double *sums)
{
    const struct why_coded_factor *f = &d->c->factors[d->cause->factor];
    for (uint32_t i = d->c->weight_begin[unit]; i < d->c->weight_begin[unit + 1]; i++) {
        uint32_t level = d->c->weights[i].row - f->weights;
        if (d->c->weights[i].row >= f->weights && level < f->count)
            sums[level] += d->c->weights[i].weight;
    }
}

/* How often as many units, dealt out at random, are as far from what is expected as the bad ones.
 * What a unit has of several levels stays together. deck: [units]; sums: [2 × levels]. */
static double levels_p(const struct detail *d, uint32_t *deck, double *sums)
{
    uint32_t units = d->m->units;
    uint32_t levels = d->c->factors[d->cause->factor].count;
    uint32_t drawn = 0;
    double *all = sums + levels;
    for (uint32_t i = 0; i < units; i++) {
        deck[i] = i;
        drawn += d->m->bad[i];
        levels_add(d, i, all);
        if (d->m->bad[i])
            levels_add(d, i, sums);
    }
    double rate = (double)drawn / units;
    double found = levels_away(sums, all, levels, rate) * (1 - 1e-9);
    double wanted = fmax(PARTS_DRAWS / ((double)drawn + levels), WHY_SIMULATIONS_MIN);
    uint32_t rounds = (uint32_t)fmin(wanted, WHY_SIMULATIONS_MAX);
    uint32_t reached = 0;
    struct rand r;
    rand_seed(&r, FACTOR_SEED);
    for (uint32_t round = 0; round < rounds; round++) {
        memset(sums, 0, levels * sizeof *sums);
        for (uint32_t i = 0; i < drawn; i++) {
            uint32_t j = i + (uint32_t)rand_below(&r, units - i);
            uint32_t unit = deck[j];
            deck[j] = deck[i];
            deck[i] = unit;
            levels_add(d, unit, sums);
        }
        reached += levels_away(sums, all, levels, rate) >= found;
    }
    return (reached + 1.0) / (rounds + 1.0);
}

static int detail_levels_in_part(const struct detail *d)
{
    size_t levels = d->c->factors[d->cause->factor].count;
    uint32_t *deck = calloc((size_t)d->m->units + 1, sizeof *deck);
    double *sums = calloc(2 * levels + 1, sizeof *sums);
    int err = deck && sums ? OK : ERR_NOMEM;
    if (!err)
        d->cause->p_factor = levels_p(d, deck, sums);
    free(deck);
    free(sums);
    return err;
}

/* All levels together, or the order of the numbers. */
static int detail_factor(const struct detail *d)
{
    struct why_cause *cause = d->cause;
    const struct why_factor *f = &d->m->factors[cause->factor];
    if (f->numbers) {
        const struct why_values values = {f->numbers, d->m->bad, f->weights, WHY_WHOLE,
                                          d->m->units};
        struct why_mann_whitney mw;
        double z = 0;
        int err = why_mann_whitney(&values, &mw);
        if (err)
            return err;
        cause->auc = mw.auc;
        cause->p_factor = mw.p;
        if (d->strata == 1)
            return OK;
        return why_van_elteren(&values, d->stratum, &z, &cause->p_factor);
    }
    if (f->weights)
        return detail_levels_in_part(d);
    struct why_chi2 chi2;
    uint32_t *counts = calloc(2 * (size_t)f->level_count, sizeof *counts);
    if (!counts)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < f->entry_count; i++) {
        counts[f->entries[i].level] += d->m->bad[f->entries[i].unit];
        counts[f->level_count + f->entries[i].level]++;
    }
    int err = why_chi2(counts, counts + f->level_count, f->level_count, FACTOR_SEED, &chi2);
    if (!err)
        cause->p_factor = chi2.p;
    free(counts);
    return err;
}

/* ---------------------------------------------------------------------------------------- set-in
 */

static double rate(const uint8_t *flags, uint32_t from, uint32_t to)
{
    double sum = 0;
    for (uint32_t i = from; i < to; i++)
        sum += flags[i];
    return to > from ? sum / (to - from) : 0;
}

/* The pieces of time in which bad units with the cause come at more than half of the worst rate,
 * from the first to the last of them. *ret_unit: the first unit then. */
static int detail_since(const struct detail *d, uint32_t *ret_unit)
{
    uint32_t n = 0;
    uint32_t edges[WHY_CHANGES_MAX + 2] = {0};
    uint32_t *units = calloc((size_t)d->m->units + 1, sizeof *units);
    uint8_t *flags = calloc((size_t)d->m->units + 1, 1);
    if (!units || !flags) {
        free(units);
        free(flags);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < d->m->units; i++) {
        if (!d->has[i])
            continue;
        units[n] = i;
        flags[n++] = d->with[i] && d->m->bad[i];
    }
    uint32_t cuts = why_changes(flags, n, &edges[1]);
    edges[cuts + 1] = n;
    double worst = 0;
    for (uint32_t i = 0; i <= cuts; i++)
        worst = fmax(worst, rate(flags, edges[i], edges[i + 1]));
    d->cause->until_us = INT64_MAX;
    bool begun = false;
    for (uint32_t i = 0; i <= cuts; i++) {
        bool at_work = rate(flags, edges[i], edges[i + 1]) > RATE_SHARE * worst;
        if (at_work && !begun) {
            begun = true;
            *ret_unit = units[edges[i]];
        }
        if (at_work)
            d->cause->until_us = i == cuts ? INT64_MAX : d->m->times[units[edges[i + 1]]];
    }
    d->cause->since_us = d->m->times[*ret_unit];
    d->cause->set_in = begun && *ret_unit > units[0];
    free(units);
    free(flags);
    return OK;
}

/* --------------------------------------------------------------------------------------- changed
 */

/* How many of the units in [from, to) have each slot. */
static void window(const struct why_coded *c, uint32_t from, uint32_t to, uint32_t *counts)
{
    memset(counts, 0, c->slots * sizeof *counts);
    for (uint32_t unit = from; unit < to; unit++)
        for (uint32_t i = c->begin[unit]; i < c->begin[unit + 1]; i++)
            counts[c->codes[i]]++;
}

static uint32_t factor_units(const struct why_coded_factor *f, const uint32_t *counts)
{
    uint32_t sum = 0;
    for (uint32_t slot = f->first; slot < f->first + f->count; slot++)
        sum += counts[slot];
    return sum;
}

static int64_t first_time(const struct detail *d, uint32_t slot, uint32_t from, uint32_t to)
{
    for (uint32_t unit = from; unit < to; unit++)
        for (uint32_t i = d->c->begin[unit]; i < d->c->begin[unit + 1]; i++)
            if (d->c->codes[i] == slot)
                return d->m->times[unit];
    return d->m->times[from];
}

/* A level that most units after the moment have, and hardly any before; the one it took over from.
 */
static void changed_factor(const struct detail *d, uint32_t factor, const uint32_t *before,
                           const uint32_t *after, const uint32_t range[3])
{
    const struct why_coded_factor *f = &d->c->factors[factor];
    double units_before = range[2] - range[0];
    double units_after = range[1] - range[2];
    struct why_cause *cause = d->cause;
    uint32_t old = UINT32_MAX;
    if (f->numeric || units_before == 0 || units_after == 0)
        return;
    for (uint32_t i = 0; i < f->count; i++)
        if (before[f->first + i] > BEFORE_SHARE * units_before)
            old = i;
    for (uint32_t i = 0; i < f->count && cause->changed_count < WHY_CHANGED_MAX; i++) {
        double gain = after[f->first + i] / units_after - before[f->first + i] / units_before;
        if (gain > CHANGED_SHARE)
            cause->changed[cause->changed_count++] = (struct why_change){
                factor, i, old, first_time(d, f->first + i, range[0], range[1])};
    }
}

static int detail_changed(const struct detail *d, uint32_t unit)
{
    uint32_t units = d->m->units;
    uint32_t size = units / WINDOW_PART;
    size = size < WINDOW_MIN ? WINDOW_MIN : size > WINDOW_MAX ? WINDOW_MAX : size;
    uint32_t range[3] = {unit > size ? unit - size : 0, unit + size < units ? unit + size : units,
                         unit};
    uint32_t *counts = calloc(2 * (size_t)d->c->slots + 1, sizeof *counts);
    if (!counts)
        return ERR_NOMEM;
    window(d->c, range[0], unit, counts);
    window(d->c, unit, range[1], counts + d->c->slots);
    for (uint32_t i = 0; i < d->m->factor_count; i++)
        changed_factor(d, i, counts, counts + d->c->slots, range);
    free(counts);
    return OK;
}

/* ----------------------------------------------------------------------------------------- alike
 */

static void alike_add(struct why_cause *cause, uint32_t factor, uint32_t level, double v)
{
    if (v > WHY_ALIKE_MIN && cause->alike_count < WHY_ALIKE_MAX)
        cause->alike[cause->alike_count++] = (struct why_alike){factor, level, fmin(v, 1)};
}

/* Of two factors of numbers: how straight one runs with the other. */
static double correlation(const double *x, const double *y, uint32_t count)
{
    double n = 0;
    double mx = 0;
    double my = 0;
    double xx = 0;
    double yy = 0;
    double xy = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (isnan(x[i]) || isnan(y[i]))
            continue;
        n++;
        double dx = x[i] - mx;
        double dy = y[i] - my;
        mx += dx / n;
        my += dy / n;
        xx += dx * (x[i] - mx);
        yy += dy * (y[i] - my);
        xy += dx * (y[i] - my);
    }
    return xx > 0 && yy > 0 ? fabs(xy) / sqrt(xx * yy) : 0;
}

/* Of two ways of dividing n units: k are on one side of the first, j of the second, both of both.
 */
static double phi(double n, double k, double j, double both)
{
    double product = k * (n - k) * j * (n - j);
    return product > 0 ? (n * both - k * j) / sqrt(product) : 0;
}

/* Among the factor's units: how nearly a level, or all below a cut, are those with the cause. */
static void alike_factor(const struct detail *d, uint32_t factor, const uint32_t *all,
                         const uint32_t *with)
{
    const struct why_coded_factor *f = &d->c->factors[factor];
    const struct why_coded_factor *own = &d->c->factors[d->cause->factor];
    double n = f->numeric ? factor_units(f, all) : d->m->units;
    double k = f->numeric ? factor_units(f, with) : d->with_count;
    double best = 0;
    uint32_t level = 0;
    double j = 0;
    double both = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        j = all[f->first + i] + (f->numeric ? j : 0);
        both = with[f->first + i] + (f->numeric ? both : 0);
        double v = phi(n, k, j, both);
        v = f->numeric ? fabs(v) : v;
        if (v > best) {
            best = v;
            level = f->numeric ? 0 : i;
        }
    }
    if (f->numeric && own->numeric)
        best = fmax(best, correlation(d->m->factors[factor].numbers,
                                      d->m->factors[d->cause->factor].numbers, d->m->units));
    /* Units of a product that never came here can't tell the two apart either way. */
    if (n >= 0.5 * d->with_count)
        alike_add(d->cause, factor, level, best);
}

static int detail_alike(const struct detail *d)
{
    uint32_t *counts = calloc(2 * (size_t)d->c->slots + 1, sizeof *counts);
    if (!counts)
        return ERR_NOMEM;
    window(d->c, 0, d->m->units, counts);
    for (uint32_t unit = 0; unit < d->m->units; unit++)
        for (uint32_t i = d->c->begin[unit]; d->with[unit] && i < d->c->begin[unit + 1]; i++)
            counts[d->c->slots + d->c->codes[i]]++;
    for (int kind = WHY_MAN; kind <= WHY_ENVIRONMENT; kind++)
        for (uint32_t i = 0; i < d->m->factor_count; i++)
            if ((int)d->m->factors[i].kind == kind && i != d->cause->factor)
                alike_factor(d, i, counts, counts + d->c->slots);
    free(counts);
    return OK;
}

int why_detail(const struct why_coded *c, const uint16_t *stratum, uint32_t strata,
               struct why_cause *cause)
{
    struct detail d = {
        .c = c, .m = c->matrix, .stratum = stratum, .strata = strata, .cause = cause};
    uint32_t since = 0;
    d.with = calloc((size_t)d.m->units + 1, 2);
    if (!d.with)
        return ERR_NOMEM;
    d.has = d.with + d.m->units;
    for (uint32_t i = 0; i < d.m->units; i++) {
        d.has[i] = why_has(c, cause, i);
        d.with[i] = d.has[i] && why_is_with(c, cause, i);
        d.with_count += d.with[i];
    }
    int err = detail_effect(&d);
    if (!err)
        err = detail_factor(&d);
    if (!err)
        err = detail_since(&d, &since);
    if (!err && cause->set_in)
        err = detail_changed(&d, since);
    if (!err)
        err = detail_alike(&d);
    free(d.with);
    return err;
}
