/* The ways between a line's parts, and that a gate sees each of them. See line_config.h. */
#include "track/line_config.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------ ways
 */

static int way_add(struct line *l, uint16_t from, uint16_t into, double share,
                   const struct tree *tree, struct diag *diag)
{
    if (l->way_count == ASSIGN_WAYS_MAX)
        return tree_error(diag, ERR_LIMIT, tree, "a line has at most %d ways between its parts",
                          ASSIGN_WAYS_MAX);
    l->model_ways[l->way_count++] = (struct assign_way){.from = from, .into = into, .share = share};
    return OK;
}

static int part_ways(struct line *l, uint16_t part, struct diag *diag)
{
    const struct line_part *p = &l->parts[part];
    const struct tree *tree = tree_or(p->tree, "to");
    int err = OK;
    for (uint32_t i = 0; i < p->options.to.count && !err; i++) {
        const char *name = p->options.to.items[i];
        uint16_t into = strcmp(name, LINE_OUT) == 0 ? ASSIGN_OUTSIDE : line_part_find(l, name);
        if (into == LINE_NONE)
            return line_part_missing(l, tree, name, diag);
        for (uint32_t k = 0; k < l->way_count; k++)
            if (l->model_ways[k].from == part && l->model_ways[k].into == into)
                return tree_error(diag, ERR_EXISTS, tree, "units go from %s to %s already", p->name,
                                  name);
        err = way_add(l, part, into, 1.0 / p->options.to.count, tree, diag);
    }
    return err;
}

static bool part_has_way_in(const struct line *l, uint16_t part)
{
    for (uint32_t i = 0; i < l->way_count; i++)
        if (l->model_ways[i].into == part)
            return true;
    return false;
}

int line_ways_bind(struct line *l, struct arena *arena, struct diag *diag)
{
    int err = OK;
    l->model_ways = arena_array(arena, ASSIGN_WAYS_MAX, sizeof *l->model_ways);
    if (!l->model_ways)
        return ERR_NOMEM;
    for (uint16_t i = 0; i < l->part_count && !err; i++)
        err = part_ways(l, i, diag);
    for (uint16_t i = 0; i < l->part_count && !err; i++)
        if (l->parts[i].options.entry || !part_has_way_in(l, i))
            err = way_add(l, ASSIGN_OUTSIDE, i, 1, l->parts[i].tree, diag);
    return err;
}

int line_ways_reach(const struct line *l, bool forward, struct diag *diag)
{
    bool reached[ASSIGN_PARTS_MAX] = {false};
    bool more = true;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < l->way_count; i++) {
            uint16_t from = forward ? l->model_ways[i].from : l->model_ways[i].into;
            uint16_t into = forward ? l->model_ways[i].into : l->model_ways[i].from;
            bool known = from == ASSIGN_OUTSIDE || reached[from];
            if (!known || into == ASSIGN_OUTSIDE || reached[into])
                continue;
            reached[into] = true;
            more = true;
        }
    }
    for (uint32_t i = 0; i < l->part_count; i++) {
        if (!reached[i]) {
            return tree_error(diag, ERR_INVALID, l->parts[i].tree,
                              forward ? "no way leads to %s from an entry: name it in the `to` of "
                                        "another part, or give it entry: true"
                                      : "no way leads from %s out of the line: units would stay on "
                                        "it for ever; some part needs `to: out`",
                              l->parts[i].name);
        }
    }
    return OK;
}

/* ----------------------------------------------------------------------------------------- gates
 */

static bool gate_sees(const struct line_gate *g, const struct assign_way *w)
{
    return (g->out_of == LINE_NONE || g->out_of == w->from) &&
           (g->into == LINE_NONE || g->into == w->into);
}

static bool gate_is_narrow(const struct line_gate *g)
{
    return g->out_of != LINE_NONE && g->into != LINE_NONE;
}

static int gate_part(const struct line *l, const struct tree *item, const char *key,
                     const char *name, uint16_t *ret, struct diag *diag)
{
    *ret = LINE_NONE;
    if (!name)
        return OK;
    *ret = strcmp(name, LINE_OUT) == 0 ? ASSIGN_OUTSIDE : line_part_find(l, name);
    return *ret == LINE_NONE ? line_part_missing(l, tree_or(item, key), name, diag) : OK;
}

static int gate_numbers(const struct tree *item, const struct line_gate_options *o,
                        struct diag *diag)
{
    const struct {
        const char *key;
        double value;
    } at_least_0[] = {{"tolerance_mm", o->tolerance_mm},
                      {"drift", o->drift},
                      {"debounce_mm", o->debounce_mm},
                      {"unit_length_mm", o->unit_length_mm}};

    for (size_t i = 0; i < sizeof at_least_0 / sizeof at_least_0[0]; i++)
        if (!(at_least_0[i].value >= 0 && at_least_0[i].value <= PATH_MM_MAX))
            return tree_error(diag, ERR_RANGE, tree_or(item, at_least_0[i].key),
                              "%s is a number from 0", at_least_0[i].key);
    return OK;
}

/* Of a belt behind the gate, or else before it. */
static uint32_t gate_motion(const struct line *l, const struct line_gate *g)
{
    uint32_t before = UINT32_MAX;
    for (uint32_t i = 0; i < l->way_count; i++) {
        const struct assign_way *w = &l->model_ways[i];
        if (!gate_sees(g, w))
            continue;
        if (w->into < l->part_count && l->parts[w->into].kind == LINE_BELT)
            return l->parts[w->into].motion;
        if (w->from < l->part_count && l->parts[w->from].kind == LINE_BELT)
            before = l->parts[w->from].motion;
    }
    return before;
}

static bool part_is_fifo(const struct line *l, uint16_t part)
{
    return part >= l->part_count || l->parts[part].options.order == ASSIGN_FIFO;
}

/* That what is seen at once can be told apart later: by its order. */
static int gate_units(const struct line *l, const struct line_gate *g, const struct tree *item,
                      struct diag *diag)
{
    const struct line_gate_options *o = &g->options;
    if (o->units > 1 && (o->unit || o->unit_length_mm > 0))
        return tree_error(diag, ERR_INVALID, tree_or(item, "units"),
                          "a pulse of several units at once has no one code and no length: read "
                          "their codes at a later gate, where they pass one by one");
    if (o->units > 1 && !(part_is_fifo(l, g->out_of) && part_is_fifo(l, g->into)))
        return tree_error(diag, ERR_INVALID, tree_or(item, "units"),
                          "units that come at once are told apart by their order: the part at this "
                          "gate needs order: fifo");
    return OK;
}

static int gate_bind(struct line *l, const struct tree *item, struct arena *arena,
                     struct diag *diag)
{
    struct line_gate *g = &l->gates[l->gate_count];
    struct line_gate_options *o = &g->options;
    int err = option_bind(line_gate_table, item, arena, o, diag);
    if (!err)
        err = gate_numbers(item, o, diag);
    if (!err)
        err = gate_part(l, item, "out_of", o->out_of, &g->out_of, diag);
    if (!err)
        err = gate_part(l, item, "into", o->into, &g->into, diag);
    if (err)
        return err;
    if (g->out_of == LINE_NONE && g->into == LINE_NONE)
        return tree_error(diag, ERR_INVALID, item,
                          "where is this gate? Say the part it sees units leave (out_of), the one "
                          "it sees them enter (into), or both");
    g->motion = gate_motion(l, g);
    if (o->unit_length_mm > 0 && g->motion == UINT32_MAX)
        return tree_error(diag, ERR_INVALID, tree_or(item, "unit_length_mm"),
                          "there is no belt at this gate whose way could say how long a unit is");
    err = gate_units(l, g, item, diag);
    if (err)
        return err;
    l->model_gates[l->gate_count++] = (struct assign_gate){o->tolerance_mm, o->drift};
    if (o->unit && o->scan_us > l->delay_us)
        l->delay_us = o->scan_us;
    return OK;
}

static const char *part_name(const struct line *l, uint16_t part)
{
    return part == ASSIGN_OUTSIDE ? LINE_OUT : l->parts[part].name;
}

/* The gate of a way: the one that sees it alone, or else the one that sees it. */
static int way_gate(struct line *l, struct assign_way *w, const struct tree *const *trees,
                    struct diag *diag)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < l->gate_count; i++) {
        if (!gate_sees(&l->gates[i], w))
            continue;
        bool better = best == UINT32_MAX ||
                      (gate_is_narrow(&l->gates[i]) && !gate_is_narrow(&l->gates[best]));
        bool worse =
            best != UINT32_MAX && !gate_is_narrow(&l->gates[i]) && gate_is_narrow(&l->gates[best]);
        if (!better && !worse) {
            return tree_error(
                diag, ERR_EXISTS, trees[i],
                "two gates see units go from %s to %s: put a belt or a buffer between "
                "them, or let one of them see another way only",
                part_name(l, w->from), part_name(l, w->into));
        }
        best = better ? i : best;
    }
    uint16_t at = w->from == ASSIGN_OUTSIDE ? w->into : w->from;
    if (best == UINT32_MAX) {
        return tree_error(diag, ERR_NOT_FOUND, l->parts[at].tree,
                          "no gate sees units go from %s to %s: give one out_of: %s or into: %s",
                          part_name(l, w->from), part_name(l, w->into), part_name(l, w->from),
                          part_name(l, w->into));
    }
    w->gate = (uint16_t)best;
    return OK;
}

int line_gates_bind(struct line *l, struct arena *arena, struct diag *diag)
{
    const struct tree *list = l->options.gates;
    const struct tree *trees[ASSIGN_GATES_MAX] = {NULL};
    bool used[ASSIGN_GATES_MAX] = {false};
    int err = line_list_check(list, "gates", "{signal: plc1.line.sensor, into: press}",
                              ASSIGN_GATES_MAX, diag);
    if (err)
        return err;
    l->gates = arena_array(arena, list->count, sizeof *l->gates);
    l->model_gates = arena_array(arena, list->count, sizeof *l->model_gates);
    if (!l->gates || !l->model_gates)
        return ERR_NOMEM;
    TREE_EACH(item, list)
    {
        trees[l->gate_count] = item;
        if (!err)
            err = gate_bind(l, item, arena, diag);
    }
    for (uint32_t i = 0; i < l->way_count && !err; i++) {
        err = way_gate(l, &l->model_ways[i], trees, diag);
        if (!err)
            used[l->model_ways[i].gate] = true;
    }
    for (uint32_t i = 0; i < l->gate_count && !err; i++) {
        if (!used[i]) {
            err =
                tree_error(diag, ERR_INVALID, trees[i],
                           "this gate is off the line: no unit goes that way, or another gate sees "
                           "it alone");
        }
    }
    return err;
}
