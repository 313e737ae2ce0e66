/* What rules gave against what is stored of them, result by result. See replay_rules.h.
 *
 * A unit's id is made of positions in a log, so a result is known again by the serial of its unit:
 * by (rule, kind, serial, station, operation, name), of several the one of the same time, else the
 * nearest, at most `lead` apart. A value of a row has no unit, only its time. Partners are looked
 * for in the order of time, so the same lists give the same answer.
 */
#include "app/replay_rules.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[REPLAY_FACT_KINDS] = {
    [REPLAY_MEASURE] = "measure", [REPLAY_FACTOR] = "factor", [REPLAY_DEFECT] = "defect",
    [REPLAY_VERDICT] = "verdict", [REPLAY_LINK] = "link",     [REPLAY_VALUE] = "value",
};

const char *const replay_fact_changes[REPLAY_FACT_CHANGES] = {
    [REPLAY_FACT_SAME] = "same",   [REPLAY_FACT_CHANGED] = "changed", [REPLAY_FACT_MOVED] = "moved",
    [REPLAY_FACT_ADDED] = "added", [REPLAY_FACT_REMOVED] = "removed",
};

/* ------------------------------------------------------------------------------------------ lists
 */

const char *replay_facts_text(struct replay_facts *l, struct bytes text)
{
    const char *known = map_find(&l->texts, text);
    if (known)
        return known;
    char *copy = arena_copy(&l->arena, text);
    return copy && map_put(&l->texts, text, copy, NULL) == OK ? copy : NULL;
}

int replay_facts_add(struct replay_facts *l, const struct replay_fact *fact)
{
    if (l->count == REPLAY_FACTS_MAX)
        return ERR_LIMIT;
    struct replay_fact *items = array_room(l->items, l->count, &l->cap, 256, sizeof *items);
    if (!items)
        return ERR_NOMEM;
    l->items = items;
    if (!fact->rule || !fact->unit || !fact->serial || !fact->operation || !fact->station ||
        !fact->name || !fact->type || !fact->position || !fact->value)
        return ERR_NOMEM;
    items[l->count] = *fact;
    items[l->count].order = l->count;
    items[l->count++].other = -1;
    return OK;
}

void replay_facts_fini(struct replay_facts *l)
{
    free(l->items);
    map_fini(&l->texts);
    arena_fini(&l->arena);
    *l = (struct replay_facts){0};
}

static const char *hex_text(struct replay_facts *l, struct bytes v)
{
    struct buf text = {0};
    (void)str_print_hex(v, &text);
    const char *copy = buf_error(&text) ? NULL : replay_facts_text(l, buf_bytes(&text));
    buf_fini(&text);
    return copy;
}

static const char *value_text(struct replay_facts *l, const struct value *v, bool is_text)
{
    char text[STR_NUMBER_BYTES_MAX + CLOCK_TEXT_BYTES_MAX] = "";
    if (v->type == VALUE_STRING || (v->type == VALUE_BYTES && is_text))
        return replay_facts_text(l, v->bytes);
    if (v->type == VALUE_BYTES)
        return hex_text(l, v->bytes);
    if (v->type == VALUE_BOOL)
        (void)snprintf(text, sizeof text, "%s", v->boolean ? "true" : "false");
    else if (v->type == VALUE_INT64)
        (void)snprintf(text, sizeof text, "%" PRId64, v->i64);
    else if (v->type == VALUE_UINT64)
        (void)snprintf(text, sizeof text, "%" PRIu64, v->u64);
    else if (v->type == VALUE_TIMESTAMP)
        (void)clock_format(v->i64, text);
    else if (v->type == VALUE_FLOAT32)
        (void)str_from_float(v->f32, text);
    else if (v->type == VALUE_DOUBLE)
        (void)str_from_double(v->f64, text);
    return replay_facts_text(l, bytes_of_text(text));
}

int replay_facts_value(struct replay_facts *l, const struct replay_fact *like,
                       const struct value *v, bool is_text)
{
    struct replay_fact fact = *like;
    fact.kind = REPLAY_VALUE;
    fact.value = value_text(l, v, is_text);
    fact.unit = fact.serial = fact.operation = fact.station = fact.type = fact.position =
        replay_facts_text(l, bytes_of_text(""));
    return replay_facts_add(l, &fact);
}

int replay_facts_result(struct replay_facts *l, const struct trace_result *result)
{
    static const enum replay_fact_kind kinds[] = {
        [TRACE_RESULT_MEASURE] = REPLAY_MEASURE, [TRACE_RESULT_FACTOR] = REPLAY_FACTOR,
        [TRACE_RESULT_DEFECT] = REPLAY_DEFECT,   [TRACE_RESULT_VERDICT] = REPLAY_VERDICT,
        [TRACE_RESULT_LINK] = REPLAY_LINK,
    };
    const struct replay_fact fact = {
        .kind = kinds[result->kind],
        .rule = replay_facts_text(l, result->rule),
        .unit = replay_facts_text(l, result->unit),
        .serial = replay_facts_text(l, result->serial),
        .operation = replay_facts_text(l, result->operation),
        .station = replay_facts_text(l, result->station),
        .name = replay_facts_text(l, result->name),
        .type = replay_facts_text(l, result->type),
        .position = replay_facts_text(l, result->position),
        .value = value_text(l, &result->value, true),
        .at = result->at,
    };
    return replay_facts_add(l, &fact);
}

/* ------------------------------------------------------------------------------------------ names
 */

/* Of units: id → its serial; of visits: id and t_out → the station, or taken_back. */
struct names {
    struct map serials;
    struct map stations;
};

/* A visit that ended then was told of and does not hold any more: nor do the results of it. */
static const char taken_back[] = "";

#define VISIT_KEY_BYTES 80

static struct bytes visit_key(const char *unit, int64_t t_out, char out[static VISIT_KEY_BYTES])
{
    int len = snprintf(out, VISIT_KEY_BYTES, "%.40s %" PRId64, unit, t_out);
    return bytes_of(out, len > 0 ? (size_t)len : 0);
}

static int stations_read(struct names *n, const struct replay_list *visits, bool hold)
{
    char key[VISIT_KEY_BYTES];
    int err = OK;
    for (uint32_t i = 0; !err && i < visits->count; i++) {
        const struct replay_presence *p = &visits->items[i];
        err = map_put(&n->stations, visit_key(p->unit, p->t_out, key),
                      (void *)(uintptr_t)(hold ? p->station : taken_back), NULL);
    }
    return err;
}

static int names_read(struct names *n, struct replay_list *visits)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < visits->count; i++) {
        const struct replay_presence *p = &visits->items[i];
        err = map_put(&n->serials, bytes_of_text(p->unit), (void *)(uintptr_t)p->serial, NULL);
    }
    if (!err)
        err = stations_read(n, visits, false);
    replay_list_settle(visits);
    return err ? err : stations_read(n, visits, true);
}

/* "?…": was not read, and the rest is another each time. */
static const char *serial_of(struct replay_facts *l, const char *serial)
{
    return replay_facts_text(l, bytes_of_text(serial[0] == '?' ? "" : serial));
}

static int fact_name(struct replay_facts *l, struct replay_fact *f, const struct names *n)
{
    char key[VISIT_KEY_BYTES];
    const char *serial = map_find_text(&n->serials, f->unit);
    const char *station = map_find(&n->stations, visit_key(f->unit, f->at, key));
    const char *inner = f->kind == REPLAY_LINK ? f->name : f->kind == REPLAY_VALUE ? f->value : "";
    const char *named = map_find_text(&n->serials, inner);
    if (!f->serial[0])
        f->serial = serial ? serial : f->kind == REPLAY_LINK ? f->unit : "";
    f->serial = serial_of(l, f->serial);
    if (!f->station[0] && station && station != taken_back)
        f->station = replay_facts_text(l, bytes_of_text(station));
    if (named && f->kind == REPLAY_LINK)
        f->name = serial_of(l, named);
    else if (named)
        f->value = named[0] == '?' ? replay_facts_text(l, bytes_of_text("?")) : serial_of(l, named);
    return f->serial && f->station && f->name && f->value ? OK : ERR_NOMEM;
}

static bool fact_holds(const struct replay_fact *f, const struct names *n)
{
    char key[VISIT_KEY_BYTES];
    const char *child = f->kind == REPLAY_LINK ? f->name : "";
    return map_find(&n->stations, visit_key(f->unit, f->at, key)) != taken_back &&
           map_find(&n->stations, visit_key(child, f->at, key)) != taken_back;
}

int replay_facts_name(struct replay_facts *l, struct replay_list *visits)
{
    struct names n = {0};
    uint32_t kept = 0;
    int err = names_read(&n, visits);
    for (uint32_t i = 0; !err && i < l->count; i++) {
        struct replay_fact *f = &l->items[kept];
        *f = l->items[i];
        kept += fact_holds(f, &n);
        err = fact_name(l, f, &n);
    }
    l->count = kept;
    map_fini(&n.serials);
    map_fini(&n.stations);
    return err;
}

/* ----------------------------------------------------------------------------------------- settle
 */

/* Of a measure, a factor and a verdict the value may be another; a defect and a link are there or
 * are not. */
static int compare_key(const struct replay_fact *a, const struct replay_fact *b)
{
    int order = strcmp(a->rule, b->rule);
    if (!order)
        order = (int)a->kind - (int)b->kind;
    if (!order)
        order = strcmp(a->serial, b->serial);
    if (!order)
        order = strcmp(a->station, b->station);
    if (!order)
        order = strcmp(a->operation, b->operation);
    if (!order)
        order = strcmp(a->name, b->name);
    if (!order)
        order = strcmp(a->type, b->type);
    return order ? order : strcmp(a->position, b->position);
}

static int by_key(const void *x, const void *y)
{
    const struct replay_fact *a = x;
    const struct replay_fact *b = y;
    int order = compare_key(a, b);
    if (!order)
        order = replay_compare(a->at, b->at);
    return order ? order : replay_compare(a->order, b->order);
}

/* In the order in which partners are looked for. */
static int by_value(const void *x, const void *y)
{
    const struct replay_fact *a = x;
    const struct replay_fact *b = y;
    int order = compare_key(a, b);
    if (!order)
        order = replay_compare(a->at, b->at);
    if (!order)
        order = strcmp(a->value, b->value);
    return order ? order : replay_compare(a->order, b->order);
}

void replay_facts_settle(struct replay_facts *l)
{
    uint32_t kept = 0;
    if (l->count)
        qsort(l->items, l->count, sizeof *l->items, by_key);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct replay_fact *next = i + 1 < l->count ? &l->items[i + 1] : NULL;
        const struct replay_fact *f = &l->items[i];
        bool again = next && f->kind != REPLAY_VALUE && f->serial[0] && f->at == next->at &&
                     compare_key(f, next) == 0;
        if (!again)
            l->items[kept++] = *f;
    }
    l->count = kept;
    if (kept)
        qsort(l->items, kept, sizeof *l->items, by_value);
}

/* ---------------------------------------------------------------------------------------- partners
 */

/* Results of one key: before[a, a_end) and after[b, b_end). */
struct same_key {
    struct replay_fact *before;
    struct replay_fact *after;
    uint32_t a, a_end;
    uint32_t b, b_end;
    int64_t reach_us; /* how far apart two may be */
};

static int64_t distance(const struct replay_fact *a, const struct replay_fact *b)
{
    return a->at < b->at ? b->at - a->at : a->at - b->at;
}

/* Several rows may have one moment: those that are the same in value too go before all others. */
static void partners_same(const struct same_key *k)
{
    uint32_t i = k->a;
    uint32_t j = k->b;
    while (i < k->a_end && j < k->b_end) {
        struct replay_fact *a = &k->before[i];
        struct replay_fact *b = &k->after[j];
        int order = replay_compare(a->at, b->at);
        if (!order)
            order = strcmp(a->value, b->value);
        if (!order) {
            a->other = (int32_t)j;
            b->other = (int32_t)i;
        }
        i += order <= 0;
        j += order >= 0;
    }
}

static uint32_t next_alone(const struct replay_fact *items, uint32_t at, uint32_t end)
{
    while (at < end && items[at].other >= 0)
        at++;
    return at;
}

/* Those without a partner, in the order of time, at most `reach` apart; the nearer one first. */
static void partners_find(const struct same_key *k, int64_t reach)
{
    uint32_t i = next_alone(k->before, k->a, k->a_end);
    uint32_t j = next_alone(k->after, k->b, k->b_end);
    while (i < k->a_end && j < k->b_end) {
        struct replay_fact *a = &k->before[i];
        struct replay_fact *b = &k->after[j];
        uint32_t i2 = next_alone(k->before, i + 1, k->a_end);
        uint32_t j2 = next_alone(k->after, j + 1, k->b_end);
        int64_t far = distance(a, b);
        bool near = far <= reach;
        bool skip_a = near && far && i2 < k->a_end && distance(&k->before[i2], b) < far;
        bool skip_b = near && far && j2 < k->b_end && distance(a, &k->after[j2]) < far;
        if (near && !skip_a && !skip_b) {
            a->other = (int32_t)j;
            b->other = (int32_t)i;
        }
        bool both = near && skip_a == skip_b;
        i = both || skip_a || (!near && a->at < b->at) ? i2 : i;
        j = both || skip_b || (!near && a->at >= b->at) ? j2 : j;
    }
}

static uint32_t key_end(const struct replay_facts *l, uint32_t at)
{
    uint32_t end = at;
    while (end < l->count && compare_key(&l->items[end], &l->items[at]) == 0)
        end++;
    return end;
}

static void match(struct replay_facts *before, struct replay_facts *after, int64_t reach_us)
{
    struct same_key k = {.before = before->items, .after = after->items};
    while (k.a < before->count && k.b < after->count) {
        int order = compare_key(&before->items[k.a], &after->items[k.b]);
        k.a_end = order <= 0 ? key_end(before, k.a) : k.a;
        k.b_end = order >= 0 ? key_end(after, k.b) : k.b;
        if (order == 0) {
            partners_same(&k);
            partners_find(&k, REPLAY_SAME_US - 1);
            if (before->items[k.a].kind != REPLAY_VALUE)
                partners_find(&k, reach_us);
        }
        k.a = k.a_end;
        k.b = k.b_end;
    }
}

/* ------------------------------------------------------------------------------------------- rows
 */

/* One side may be missing. */
struct pair {
    const struct replay_fact *before;
    const struct replay_fact *after;
    enum replay_fact_change change;
};

static enum replay_fact_change change_of(const struct replay_fact *a, const struct replay_fact *b)
{
    if (!a)
        return REPLAY_FACT_ADDED;
    if (!b)
        return REPLAY_FACT_REMOVED;
    if (strcmp(a->value, b->value) != 0)
        return REPLAY_FACT_CHANGED;
    return distance(a, b) >= REPLAY_SAME_US ? REPLAY_FACT_MOVED : REPLAY_FACT_SAME;
}

static bool is_inside(const struct replay_fact *f, const struct replay_period *period)
{
    return f && f->at >= period->from_us && f->at < period->to_us;
}

static const struct replay_fact *pair_first(const struct pair *p)
{
    return p->before ? p->before : p->after;
}

static int by_pair(const void *x, const void *y)
{
    const struct pair *a = x;
    const struct pair *b = y;
    int order = replay_compare(pair_first(a)->at, pair_first(b)->at);
    if (!order)
        order = compare_key(pair_first(a), pair_first(b));
    if (!order)
        order = (int)a->change - (int)b->change;
    if (!order)
        order = strcmp(pair_first(a)->value, pair_first(b)->value);
    return order ? order : replay_compare(pair_first(a)->order, pair_first(b)->order);
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    (void)buf_printf(out, ",\"%s\":", name);
    (void)str_print_json(bytes_of_text(text), out);
}

static void put_side(struct buf *out, const struct replay_fact *f, bool after)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    const char *value = after ? "value_after" : "value_before";
    const char *at = after ? "at_after" : "at_before";
    if (!f) {
        (void)buf_printf(out, ",\"%s\":null,\"%s\":null", value, at);
        return;
    }
    put_text(out, value, f->value);
    (void)clock_format((f->at / 1000 - (f->at % 1000 < 0)) * 1000, text);
    put_text(out, at, text);
}

static void put_row(struct buf *out, const struct pair *p)
{
    const struct replay_fact *f = pair_first(p);
    bool has_unit = f->kind != REPLAY_VALUE;
    (void)buf_printf(out, "%s{\"change\":\"%s\"", out->len > 1 ? "," : "",
                     replay_fact_changes[p->change]);
    put_text(out, "rule", f->rule);
    put_text(out, "kind", kind_names[f->kind]);
    put_text(out, "serial", f->serial[0] || !has_unit ? f->serial : "?");
    put_text(out, "station", f->station);
    put_text(out, "operation", f->operation);
    put_text(out, "name", f->name);
    put_text(out, "type", f->type);
    put_text(out, "position", f->position);
    put_side(out, p->before, false);
    put_side(out, p->after, true);
    (void)buf_append_u8(out, '}');
}

struct pairs {
    struct pair *items;
    uint32_t count;
    const struct replay_period *period;
    replay_fact_fn fn;
    void *ctx;
};

static void pairs_add(struct pairs *l, struct pair p)
{
    if (!is_inside(p.before, l->period) && !is_inside(p.after, l->period))
        return;
    p.change = change_of(p.before, p.after);
    l->fn(l->ctx, pair_first(&p)->rule, p.change);
    if (p.change != REPLAY_FACT_SAME)
        l->items[l->count++] = p;
}

int replay_facts_diff(struct replay_facts *before, struct replay_facts *after,
                      const struct replay_period *period, replay_fact_fn fn, void *ctx,
                      struct replay_answer *ret)
{
    struct pairs l = {.period = period, .fn = fn, .ctx = ctx};
    l.items = calloc((size_t)before->count + after->count + 1, sizeof *l.items);
    if (!l.items)
        return ERR_NOMEM;
    match(before, after, period->lead_us);
    for (uint32_t i = 0; i < before->count; i++) {
        const struct replay_fact *a = &before->items[i];
        pairs_add(
            &l, (struct pair){a, a->other < 0 ? NULL : &after->items[a->other], REPLAY_FACT_SAME});
    }
    for (uint32_t i = 0; i < after->count; i++)
        if (after->items[i].other < 0)
            pairs_add(&l, (struct pair){NULL, &after->items[i], REPLAY_FACT_SAME});
    if (l.count)
        qsort(l.items, l.count, sizeof *l.items, by_pair);
    (void)buf_append_u8(&ret->rows, '[');
    for (uint32_t i = 0; i < l.count && i < REPLAY_ROWS_MAX; i++)
        put_row(&ret->rows, &l.items[i]);
    (void)buf_append_u8(&ret->rows, ']');
    ret->truncated = l.count > REPLAY_ROWS_MAX;
    free(l.items);
    return buf_error(&ret->rows);
}
