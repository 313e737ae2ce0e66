/* The matrix as small numbers: what the counting loops run over. See why_priv.h. */
#include "trace/why_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS_MAX   26
#define SAMPLE_MAX 8192 /* values from which quantiles are taken */

/* Dense at both ends: what goes wrong in one unit of a hundred is often at an end. */
static const double quantiles[BINS_MAX - 1] = {
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1,   0.15, 0.2,  0.25, 0.3,  0.4,  0.5,
    0.6,   0.7,  0.75, 0.8,  0.85, 0.9,   0.925, 0.95, 0.97, 0.98, 0.99, 0.995};

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Every so many-th value that is one. */
static uint32_t sample(const double *numbers, uint32_t units, double *out)
{
    uint32_t step = units / SAMPLE_MAX + 1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < units; i += step)
        if (!isnan(numbers[i]))
            out[n++] = numbers[i];
    qsort(out, n, sizeof *out, double_compare);
    return n;
}

static int code_edges(struct why_coded *c, uint32_t index, double *scratch)
{
    struct why_coded_factor *f = &c->factors[index];
    double *edges = arena_array(&c->arena, BINS_MAX, sizeof *edges);
    if (!edges)
        return ERR_NOMEM;
    uint32_t n = sample(c->matrix->factors[index].numbers, c->matrix->units, scratch);
    uint32_t count = 0;
    for (uint32_t i = 0; n && i < BINS_MAX - 1; i++) {
        double edge = scratch[(uint32_t)(quantiles[i] * (n - 1))];
        if ((count == 0 || edge > edges[count - 1]) && edge < scratch[n - 1])
            edges[count++] = edge;
    }
    f->numeric = true;
    f->complete = true;
    for (uint32_t i = 0; i < c->matrix->units; i++)
        f->complete = f->complete && !isnan(c->matrix->factors[index].numbers[i]);
    f->edges = edges;
    f->count = count + 1;
    return OK;
}

uint32_t why_bin(const struct why_coded_factor *f, double v)
{
    uint32_t low = 0;
    uint32_t high = f->count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (v > f->edges[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int code_factors(struct why_coded *c, struct diag *diag)
{
    double *scratch = calloc(SAMPLE_MAX + 1, sizeof *scratch);
    int err = scratch ? OK : ERR_NOMEM;
    for (uint32_t i = 0; !err && i < c->matrix->factor_count; i++) {
        const struct why_factor *in = &c->matrix->factors[i];
        struct why_coded_factor *f = &c->factors[i];
        f->first = c->slots;
        f->count = in->level_count;
        if (in->numbers)
            err = code_edges(c, i, scratch);
        f->weighted = in->weights != NULL;
        f->weights = c->weighted; /* the rows before them are known only when all are counted */
        c->weighted += f->weighted ? f->count : 0;
        c->slots += f->count;
        if (!err && c->slots > WHY_LEVELS_MAX)
            err = diag_set(diag, ERR_LIMIT, 0, 0,
                           "the factors have more than %d levels; ask for a shorter time",
                           WHY_LEVELS_MAX);
    }
    for (uint32_t i = 0; i < c->matrix->factor_count; i++)
        c->factors[i].weights += c->slots + 1;
    c->rows = c->slots + 1 + 2 * c->weighted;
    free(scratch);
    return err;
}

static size_t codes_max(const struct why_matrix *m, bool weighted)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->factor_count; i++)
        if (!weighted || m->factors[i].weights)
            n += m->factors[i].numbers ? m->units : m->factors[i].entry_count;
    return n;
}

/* A unit's slots of one factor; *at walks through the factor's entries. */
static uint32_t unit_codes(const struct why_coded *c, uint32_t index, uint32_t unit, uint32_t *at,
                           uint16_t *out)
{
    const struct why_factor *in = &c->matrix->factors[index];
    const struct why_coded_factor *f = &c->factors[index];
    uint32_t n = 0;
    if (f->numeric) {
        if (isnan(in->numbers[unit]))
            return 0;
        out[0] = (uint16_t)(f->first + why_bin(f, in->numbers[unit]));
        return 1;
    }
    for (; *at < in->entry_count && in->entries[*at].unit == unit; (*at)++) {
        uint16_t code = (uint16_t)(f->first + in->entries[*at].level);
        if (n == 0 || out[n - 1] != code)
            out[n++] = code;
    }
    return n;
}

static int code_units(struct why_coded *c, struct diag *diag)
{
    const struct why_matrix *m = c->matrix;
    size_t max = codes_max(m, false);
    if (max > WHY_ENTRIES_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0,
                        "the units have more than %u values of factors; ask for a shorter time",
                        WHY_ENTRIES_MAX);
    uint32_t *at = arena_array(&c->arena, m->factor_count + 1, sizeof *at);
    c->begin = calloc((size_t)m->units + 1, sizeof *c->begin);
    c->codes = calloc(max + 1, sizeof *c->codes);
    if (!at || !c->begin || !c->codes)
        return ERR_NOMEM;
    uint32_t n = 0;
    for (uint32_t unit = 0; unit < m->units; unit++) {
        c->begin[unit] = n;
        for (uint32_t i = 0; i < m->factor_count; i++)
            n += unit_codes(c, i, unit, &at[i], &c->codes[n]);
    }
    c->begin[m->units] = n;
    return OK;
}

/* What a unit weighs in one weighted factor; *at walks through the factor's entries. */
static uint32_t unit_weights(const struct why_coded *c, uint32_t index, uint32_t unit, uint32_t *at,
                             struct why_weight *out)
{
    const struct why_factor *in = &c->matrix->factors[index];
    const struct why_coded_factor *f = &c->factors[index];
    uint32_t n = 0;
    if (f->numeric) {
        if (isnan(in->numbers[unit]))
            return 0;
        out[0] = (struct why_weight){f->weights + why_bin(f, in->numbers[unit]), in->weights[unit]};
        return 1;
    }
    for (; *at < in->entry_count && in->entries[*at].unit == unit; (*at)++)
        out[n++] = (struct why_weight){f->weights + in->entries[*at].level, in->weights[*at]};
    return n;
}

static int code_weights(struct why_coded *c)
{
    const struct why_matrix *m = c->matrix;
    if (!c->weighted)
        return OK;
    uint32_t *at = arena_array(&c->arena, m->factor_count + 1, sizeof *at);
    c->weight_begin = calloc((size_t)m->units + 1, sizeof *c->weight_begin);
    c->weights = calloc(codes_max(m, true) + 1, sizeof *c->weights);
    if (!at || !c->weight_begin || !c->weights)
        return ERR_NOMEM;
    uint32_t n = 0;
    for (uint32_t unit = 0; unit < m->units; unit++) {
        c->weight_begin[unit] = n;
        for (uint32_t i = 0; i < m->factor_count; i++)
            if (c->factors[i].weighted)
                n += unit_weights(c, i, unit, &at[i], &c->weights[n]);
    }
    c->weight_begin[m->units] = n;
    return OK;
}

int why_code(const struct why_matrix *matrix, struct why_coded *ret, struct diag *diag)
{
    struct why_coded c = {.matrix = matrix};
    if (matrix->units > WHY_UNITS_MAX || matrix->factor_count > WHY_FACTORS_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0,
                        "%u units and %u factors are more than %d and %d; ask for a shorter time",
                        matrix->units, matrix->factor_count, WHY_UNITS_MAX, WHY_FACTORS_MAX);
    c.factors = arena_array(&c.arena, matrix->factor_count + 1, sizeof *c.factors);
    int err = c.factors ? code_factors(&c, diag) : ERR_NOMEM;
    if (!err)
        err = code_units(&c, diag);
    if (!err)
        err = code_weights(&c);
    if (err)
        why_code_fini(&c);
    else
        *ret = c;
    return err;
}

void why_code_fini(struct why_coded *c)
{
    free(c->begin);
    free(c->codes);
    free(c->weight_begin);
    free(c->weights);
    arena_fini(&c->arena);
}

/* Whether a slot in [from, to) is among the unit's. */
static bool has_slot(const struct why_coded *c, uint32_t unit, uint32_t from, uint32_t to)
{
    uint32_t low = c->begin[unit];
    uint32_t high = c->begin[unit + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->codes[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->begin[unit + 1] && c->codes[low] < to;
}

bool why_is_with(const struct why_coded *c, const struct why_cause *cause, uint32_t unit)
{
    const struct why_coded_factor *f = &c->factors[cause->factor];
    if (!cause->numeric)
        return has_slot(c, unit, f->first + cause->level, f->first + cause->level + 1);
    double v = c->matrix->factors[cause->factor].numbers[unit];
    return cause->above ? v > cause->cut : v <= cause->cut;
}

bool why_has(const struct why_coded *c, const struct why_cause *cause, uint32_t unit)
{
    return !cause->numeric || !isnan(c->matrix->factors[cause->factor].numbers[unit]);
}

double why_part(const struct why_coded *c, const struct why_cause *cause, uint32_t unit)
{
    const struct why_coded_factor *f = &c->factors[cause->factor];
    if (!f->weighted)
        return 1;
    if (f->numeric)
        return c->matrix->factors[cause->factor].weights[unit] / (double)WHY_WHOLE;
    for (uint32_t i = c->weight_begin[unit]; i < c->weight_begin[unit + 1]; i++)
        if (c->weights[i].row == f->weights + cause->level)
            return c->weights[i].weight / (double)WHY_WHOLE;
    return 1;
}

uint32_t why_part_count(const struct why_coded *c)
{
    uint32_t count = 0;
    for (uint32_t unit = 0; c->weight_begin && unit < c->matrix->units; unit++) {
        uint32_t i = c->weight_begin[unit];
        while (i < c->weight_begin[unit + 1] && c->weights[i].weight == WHY_WHOLE)
            i++;
        count += i < c->weight_begin[unit + 1];
    }
    return count;
}
