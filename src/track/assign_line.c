/* A line as a whole: its making and its end, the codes that were read, who is where. See assign.h.
 */
#include "base/array.h"
#include "track/assign_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CODES_FIRST 64

/* ---------------------------------------------------------------------------------------- a line
 */

int assign_new(const struct assign_model *model, struct assign **ret)
{
    assert(model->part_count <= ASSIGN_PARTS_MAX && model->way_count <= ASSIGN_WAYS_MAX);
    struct assign *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->model = *model;
    a->parts = calloc(model->part_count + 1u, sizeof *a->parts);
    a->codes = calloc(CODES_FIRST, sizeof *a->codes);
    a->dwells = calloc(model->part_count + 1u, sizeof *a->dwells);
    a->code_cap = CODES_FIRST;
    if (!a->parts || !a->codes || !a->dwells || ways_index(a) != OK) {
        assign_free(a);
        return ERR_NOMEM;
    }
    assign_reset(a);
    *ret = a;
    return OK;
}

static void codes_free(struct assign *a)
{
    for (uint32_t i = 1; i < a->code_count; i++)
        free(a->codes[i].text);
    map_fini(&a->code_of);
    a->code_of = (struct map){0};
    a->code_count = 1;
}

void assign_reset(struct assign *a)
{
    a->unit_end = 0;
    a->free_count = 0;
    a->order = 0;
    a->visit = 0;
    a->cluster_free = ASSIGN_NOBODY;
    for (uint32_t i = 0; i < a->cluster_end; i++) {
        a->clusters[i]->next_free = a->cluster_free;
        a->cluster_free = i;
    }
    for (uint32_t i = 0; i < a->model.part_count; i++)
        a->parts[i] = (struct part_list){.units = a->parts[i].units, .cap = a->parts[i].cap};
    a->reached_us = INT64_MIN;
    memset(a->dwells, 0, a->model.part_count * sizeof *a->dwells);
    codes_free(a);
    a->stats = (struct assign_stats){0};
}

void assign_free(struct assign *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; a->parts && i < a->model.part_count; i++)
        free(a->parts[i].units);
    for (uint32_t i = 0; i < a->cluster_end; i++) {
        rows_fini(&a->clusters[i]->rows);
        free(a->clusters[i]);
    }
    if (a->codes)
        codes_free(a);
    rows_fini(&a->work.rows);
    rows_fini(&a->next);
    rows_fini(&a->fan[0]);
    rows_fini(&a->fan[1]);
    free(a->clusters);
    free(a->codes);
    free(a->dwells);
    free(a->parts);
    ways_free(a);
    free(a->units);
    free(a->unit_free);
    free(a);
}

/* ----------------------------------------------------------------------------------------- codes
 */

int assign_code_number(struct assign *a, const char *text, uint32_t *ret)
{
    *ret = 0;
    if (!text[0])
        return OK;
    void *found = map_find_text(&a->code_of, text);
    if (found) {
        *ret = (uint32_t)(uintptr_t)found;
        return OK;
    }
    struct assign_code *codes =
        array_room(a->codes, a->code_count, &a->code_cap, CODES_FIRST, sizeof *codes);
    char *copy = codes ? strdup(text) : NULL;
    if (codes)
        a->codes = codes;
    if (!copy)
        return ERR_NOMEM;
    int err = map_add_text(&a->code_of, text, (void *)(uintptr_t)a->code_count);
    if (err) {
        free(copy);
        return err;
    }
    a->codes[a->code_count] = (struct assign_code){.text = copy};
    *ret = a->code_count++;
    return OK;
}

/* ------------------------------------------------------------------------------------- questions
 */

void assign_stats_get(const struct assign *a, struct assign_stats *ret)
{
    *ret = a->stats;
    for (uint32_t i = 0; i < a->unit_end; i++) {
        const struct assign_unit *u = &a->units[i];
        if (!u->order || u->cluster == ASSIGN_NOBODY)
            continue;
        uint32_t count = a->clusters[u->cluster]->rows.count;
        ret->hypotheses = count > ret->hypotheses ? count : ret->hypotheses;
    }
}

/* Where it is likeliest to be; false: not in the line. */
static bool unit_where(const struct assign *a, const struct assign_unit *u,
                       struct assign_where *ret)
{
    const struct cluster *c = u->cluster == ASSIGN_NOBODY ? NULL : a->clusters[u->cluster];
    uint32_t column = 0;
    while (c && &a->units[c->units[column]] != u)
        column++;
    const struct assign_state *best = &u->one;
    double sum = 1;
    double most = 0;
    for (uint32_t i = 0; c && i < c->rows.count; i++) {
        const struct assign_state *s = &rows_states(&c->rows, i)[column];
        sum = 0;
        for (uint32_t k = 0; k < c->rows.count; k++)
            if (rows_states(&c->rows, k)[column].part == s->part)
                sum += c->rows.w[k];
        if (sum > most) {
            most = sum;
            best = s;
        }
    }
    *ret = (struct assign_where){
        .unit = u->id,
        .code = code_text(a, best->code),
        .part = best->part,
        .t_in = best->t_in,
        .in_mm = best->ref_mm,
        .probability = (c ? most : 1) * (1 - best->doubt),
    };
    return is_in_line(best);
}

int assign_each(const struct assign *a, int (*one)(void *ctx, const struct assign_where *w),
                void *ctx)
{
    int err = OK;
    for (uint32_t i = 0; i < a->unit_end && !err; i++) {
        struct assign_where w;
        if (a->units[i].order && unit_where(a, &a->units[i], &w))
            err = one(ctx, &w);
    }
    return err;
}
