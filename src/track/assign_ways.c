/* The ways of a line by their gates, by the parts they leave and by those they lead into, and when
 * somebody may be overdue: what keeps a pulse from looking at the whole line. See assign.h.
 *
 * Of each part a bound is kept before which none of those in front can be overdue: a position of
 * its belt, or a moment. It holds until one of its units changes; so between two pulses a part
 * costs a comparison, and at one moment it is asked once however many pulses that moment has.
 */
#include "track/assign_priv.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DUE_SURE_MM 1e-3 /* the bound is earlier by so much: it only says whom to look at */

enum way_key { BY_GATE, BY_PART, BY_INTO };

static uint16_t way_key(const struct assign_way *w, enum way_key by)
{
    return by == BY_GATE ? w->gate : by == BY_PART ? w->from : w->into;
}

static void ways_sort(const struct assign_model *m, enum way_key by, struct assign_way *ways,
                      uint32_t *firsts)
{
    uint32_t keys = by == BY_GATE ? m->gate_count : m->part_count;
    uint32_t n = 0;
    for (uint32_t key = 0; key < keys; key++) {
        firsts[key] = n;
        for (uint32_t i = 0; i < m->way_count; i++)
            if (way_key(&m->ways[i], by) == key)
                ways[n++] = m->ways[i];
    }
    firsts[keys] = n;
}

struct way_list gate_ways(const struct assign *a, uint16_t gate)
{
    assert(gate < a->model.gate_count);
    const struct assign_ways *w = &a->ways;
    return (struct way_list){w->by_gate + w->gates[gate], w->by_gate + w->gates[gate + 1u]};
}

struct way_list part_ways(const struct assign *a, uint16_t part)
{
    assert(part < a->model.part_count);
    const struct assign_ways *w = &a->ways;
    return (struct way_list){w->by_part + w->parts[part], w->by_part + w->parts[part + 1u]};
}

struct way_list into_ways(const struct assign *a, uint16_t part)
{
    assert(part < a->model.part_count);
    const struct assign_ways *w = &a->ways;
    return (struct way_list){w->by_into + w->intos[part], w->by_into + w->intos[part + 1u]};
}

/* The way from where a unit that has come exactly is overdue at all gates of the belt. */
static double belt_due_mm(const struct assign *a, uint16_t part)
{
    double length = a->model.parts[part].length_mm;
    double most = length;
    struct way_list ways = part_ways(a, part);
    for (const struct assign_way *w = ways.first; w < ways.end; w++) {
        const struct assign_gate *g = &a->model.gates[w->gate];
        most = fmax(most, g->drift < 1 ? (length + g->tolerance_mm) / (1 - g->drift) : HUGE_VAL);
    }
    return most;
}

int ways_index(struct assign *a)
{
    const struct assign_model *m = &a->model;
    struct assign_ways *w = &a->ways;
    w->by_gate = calloc(m->way_count + 1u, sizeof *w->by_gate);
    w->by_part = calloc(m->way_count + 1u, sizeof *w->by_part);
    w->by_into = calloc(m->way_count + 1u, sizeof *w->by_into);
    w->gates = calloc(m->gate_count + 1u, sizeof *w->gates);
    w->parts = calloc(m->part_count + 1u, sizeof *w->parts);
    w->intos = calloc(m->part_count + 1u, sizeof *w->intos);
    w->due_mm = calloc(m->part_count + 1u, sizeof *w->due_mm);
    if (!w->by_gate || !w->by_part || !w->by_into || !w->gates || !w->parts || !w->intos ||
        !w->due_mm)
        return ERR_NOMEM;
    ways_sort(m, BY_GATE, w->by_gate, w->gates);
    ways_sort(m, BY_PART, w->by_part, w->parts);
    ways_sort(m, BY_INTO, w->by_into, w->intos);
    for (uint16_t part = 0; part < m->part_count; part++)
        w->due_mm[part] = belt_due_mm(a, part);
    return OK;
}

void ways_free(struct assign *a)
{
    free(a->ways.by_gate);
    free(a->ways.by_part);
    free(a->ways.by_into);
    free(a->ways.gates);
    free(a->ways.parts);
    free(a->ways.intos);
    free(a->ways.due_mm);
}

/* ------------------------------------------------------------------------------------------- due
 */

static void part_due_find(const struct assign *a, uint16_t part, struct part_list *l)
{
    const struct assign_part *p = &a->model.parts[part];
    bool belt = p->length_mm > 0;
    double way = a->ways.due_mm[part] - DUE_SURE_MM;
    l->due_mm = HUGE_VAL;
    l->due_us = INT64_MAX;
    for (uint32_t i = l->first; i < l->end && i < l->first + ASSIGN_FRONT; i++) {
        const struct assign_unit *u = &a->units[l->units[i]];
        uint32_t m = 0;
        while (u->members[m].part != part)
            m++;
        if (belt)
            l->due_mm = fmin(l->due_mm, u->members[m].ref_mm + way);
        else if (p->time_max_us && u->members[m].t_in + p->time_max_us < l->due_us)
            l->due_us = u->members[m].t_in + p->time_max_us;
    }
    l->stale = false;
}

bool part_may_be_due(struct assign *a, uint16_t part, int64_t now_us)
{
    struct part_list *l = &a->parts[part];
    if (l->first == l->end || (!l->stale && now_us == a->reached_us))
        return false;
    if (l->stale)
        part_due_find(a, part, l);
    if (!(a->model.parts[part].length_mm > 0))
        return now_us > l->due_us;
    return a->model.mm(a->model.ctx, part, now_us) > l->due_mm;
}
