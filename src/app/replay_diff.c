/* Which visits differ between what the tables hold and what a replay gave. See replay.h.
 *
 * Ids of units are made of positions in a log, so those of a replay are others. A visit is
 * therefore known again by (track, station) and its serial, of several the one that overlaps most;
 * what has no partner then, or no serial, by overlapping alone. Each visit has one partner at most,
 * and the order in which partners are looked for is that of time, so the same lists give the same
 * answer.
 */
#include "app/replay.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROBABILITY_SAME 1e-6

static const char *const change_names[REPLAY_CHANGE_COUNT] = {
    [REPLAY_SAME] = "same", [REPLAY_MOVED] = "moved", [REPLAY_STATUS] = "status",
    [REPLAY_UNIT] = "unit", [REPLAY_NEW] = "new",     [REPLAY_GONE] = "gone",
};

/* ------------------------------------------------------------------------------------------ lists
 */

int replay_list_add(struct replay_list *l, const struct replay_presence *p)
{
    if (l->count == REPLAY_PRESENCES_MAX)
        return ERR_LIMIT;
    struct replay_presence *items = array_room(l->items, l->count, &l->cap, 256, sizeof *items);
    if (!items)
        return ERR_NOMEM;
    l->items = items;
    struct replay_presence copy = *p;
    copy.track = arena_text(&l->arena, p->track);
    copy.station = arena_text(&l->arena, p->station);
    copy.unit = arena_text(&l->arena, p->unit);
    copy.serial = arena_text(&l->arena, p->serial);
    copy.status = arena_text(&l->arena, p->status);
    copy.evidence = arena_text(&l->arena, p->evidence);
    copy.other = -1;
    if (!copy.track || !copy.station || !copy.unit || !copy.serial || !copy.status ||
        !copy.evidence)
        return ERR_NOMEM;
    l->items[l->count++] = copy;
    return OK;
}

void replay_list_fini(struct replay_list *l)
{
    free(l->items);
    arena_fini(&l->arena);
    *l = (struct replay_list){0};
}

int replay_list_name(struct replay_list *l)
{
    struct map names = {0};
    int err = OK;
    for (uint32_t i = 0; !err && i < l->count; i++) {
        struct replay_presence *p = &l->items[i];
        if (!p->retracted)
            err = map_put(&names, bytes_of_text(p->unit), (void *)(uintptr_t)p->serial, NULL);
    }
    for (uint32_t i = 0; !err && i < l->count; i++) {
        const char *serial = map_find(&names, bytes_of_text(l->items[i].unit));
        l->items[i].serial = serial ? serial : l->items[i].serial;
    }
    map_fini(&names);
    return err;
}

static int compare_place(const struct replay_presence *a, const struct replay_presence *b)
{
    int order = strcmp(a->track, b->track);
    return order ? order : strcmp(a->station, b->station);
}

/* One key after the other, of each the highest revision first. */
static int by_key(const void *x, const void *y)
{
    const struct replay_presence *a = x;
    const struct replay_presence *b = y;
    int order = compare_place(a, b);
    if (!order)
        order = strcmp(a->unit, b->unit);
    if (!order)
        order = replay_compare(a->visit, b->visit);
    return order ? order : replay_compare(b->revision, a->revision);
}

static int by_time(const void *x, const void *y)
{
    const struct replay_presence *a = x;
    const struct replay_presence *b = y;
    int order = compare_place(a, b);
    if (!order)
        order = replay_compare(a->t_in, b->t_in);
    if (!order)
        order = replay_compare(a->t_out, b->t_out);
    return order ? order : strcmp(a->serial, b->serial);
}

static bool is_same_key(const struct replay_presence *a, const struct replay_presence *b)
{
    return compare_place(a, b) == 0 && strcmp(a->unit, b->unit) == 0 && a->visit == b->visit;
}

void replay_list_settle(struct replay_list *l)
{
    uint32_t kept = 0;
    struct replay_presence key = {0};
    if (l->count)
        qsort(l->items, l->count, sizeof *l->items, by_key);
    for (uint32_t i = 0; i < l->count; i++) {
        bool older = i > 0 && is_same_key(&key, &l->items[i]);
        key = l->items[i];
        if (!older && !key.retracted)
            l->items[kept++] = key;
    }
    l->count = kept;
    if (kept)
        qsort(l->items, kept, sizeof *l->items, by_time);
}

/* ---------------------------------------------------------------------------------------- partners
 */

static bool is_read(const struct replay_presence *p)
{
    return p->serial[0] && p->serial[0] != '?';
}

/* How long both were there, negative: how far they are apart. */
static int64_t overlap(const struct replay_presence *a, const struct replay_presence *b)
{
    int64_t from = a->t_in > b->t_in ? a->t_in : b->t_in;
    int64_t to = a->t_out < b->t_out ? a->t_out : b->t_out;
    return to - from;
}

/* Stays of one place: before[a, a_end) and after[b, b_end). */
struct place {
    struct replay_list *before;
    struct replay_list *after;
    uint32_t a, a_end;
    uint32_t b, b_end;
    int64_t longest_us; /* of the after side */
    int64_t reach_us;   /* how far apart two stays of a serial may be */
};

/* The first of the after side that may reach so far back. They are in the order of t_in. */
static uint32_t first_from(const struct place *p, int64_t t_in)
{
    uint32_t low = p->b;
    uint32_t high = p->b_end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->after->items[middle].t_in < t_in)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The best partner by the serial, or by overlapping alone. */
static void partner_find(const struct place *p, uint32_t at, bool by_serial)
{
    struct replay_presence *mine = &p->before->items[at];
    int64_t reach = by_serial ? p->reach_us : 0;
    int64_t best = by_serial ? -reach - 1 : 0;
    uint32_t found = UINT32_MAX;
    for (uint32_t i = first_from(p, mine->t_in - p->longest_us - reach);
         i < p->b_end && p->after->items[i].t_in <= mine->t_out + reach; i++) {
        const struct replay_presence *theirs = &p->after->items[i];
        int64_t both = overlap(mine, theirs);
        if (theirs->other >= 0 || both <= best ||
            (by_serial && strcmp(theirs->serial, mine->serial) != 0))
            continue;
        best = both;
        found = i;
    }
    if (found == UINT32_MAX)
        return;
    mine->other = (int32_t)found;
    p->after->items[found].other = (int32_t)at;
}

static void place_match(struct place *p)
{
    p->longest_us = 0;
    for (uint32_t i = p->b; i < p->b_end; i++) {
        int64_t length = p->after->items[i].t_out - p->after->items[i].t_in;
        p->longest_us = length > p->longest_us ? length : p->longest_us;
    }
    for (uint32_t i = p->a; i < p->a_end; i++)
        if (is_read(&p->before->items[i]))
            partner_find(p, i, true);
    for (uint32_t i = p->a; i < p->a_end; i++)
        if (p->before->items[i].other < 0)
            partner_find(p, i, false);
}

static uint32_t place_end(const struct replay_list *l, uint32_t at)
{
    uint32_t end = at;
    while (end < l->count && compare_place(&l->items[end], &l->items[at]) == 0)
        end++;
    return end;
}

static void match(struct replay_list *before, struct replay_list *after, int64_t reach_us)
{
    struct place p = {.before = before, .after = after, .reach_us = reach_us};
    while (p.a < before->count && p.b < after->count) {
        int order = compare_place(&before->items[p.a], &after->items[p.b]);
        p.a_end = order <= 0 ? place_end(before, p.a) : p.a;
        p.b_end = order >= 0 ? place_end(after, p.b) : p.b;
        if (order == 0)
            place_match(&p);
        p.a = p.a_end;
        p.b = p.b_end;
    }
}

/* ------------------------------------------------------------------------------------------- rows
 */

/* One side may be missing. */
struct pair {
    const struct replay_presence *before;
    const struct replay_presence *after;
    enum replay_change change;
};

static bool is_far(int64_t a, int64_t b)
{
    return a - b >= REPLAY_SAME_US || b - a >= REPLAY_SAME_US;
}

static enum replay_change change_of(const struct replay_presence *a,
                                    const struct replay_presence *b)
{
    if (!a)
        return REPLAY_NEW;
    if (!b)
        return REPLAY_GONE;
    if (is_read(a) != is_read(b) || (is_read(a) && strcmp(a->serial, b->serial) != 0))
        return REPLAY_UNIT;
    if (strcmp(a->status, b->status) != 0 ||
        fabs(a->probability - b->probability) > PROBABILITY_SAME)
        return REPLAY_STATUS;
    return is_far(a->t_in, b->t_in) || is_far(a->t_out, b->t_out) ? REPLAY_MOVED : REPLAY_SAME;
}

static bool ends_inside(const struct replay_presence *p, const struct replay_period *period)
{
    return p && p->t_out >= period->from_us && p->t_out < period->to_us;
}

static const struct replay_presence *pair_first(const struct pair *p)
{
    return p->before ? p->before : p->after;
}

static int by_pair(const void *x, const void *y)
{
    const struct pair *a = x;
    const struct pair *b = y;
    int order = replay_compare(pair_first(a)->t_in, pair_first(b)->t_in);
    if (!order)
        order = by_time(pair_first(a), pair_first(b));
    return order ? order : (int)a->change - (int)b->change;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    (void)buf_printf(out, ",\"%s\":", name);
    (void)str_print_json(bytes_of_text(text), out);
}

static void put_time(struct buf *out, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    int64_t ms = us / 1000 - (us % 1000 < 0);
    (void)clock_format(ms * 1000, text);
    put_text(out, name, text);
}

/* Each side has all its columns, so that all rows are alike: those of nobody are empty. */
static void put_side(struct buf *out, const struct replay_presence *p, bool after)
{
    static const char *const names[2][6] = {
        {"serial_before", "t_in_before", "t_out_before", "status_before", "probability_before",
         "evidence_before"},
        {"serial_after", "t_in_after", "t_out_after", "status_after", "probability_after",
         "evidence_after"},
    };
    const char *const *name = names[after];
    if (!p) {
        for (int i = 0; i < 6; i++)
            (void)buf_printf(out, ",\"%s\":null", name[i]);
        return;
    }
    put_text(out, name[0], is_read(p) ? p->serial : "?");
    put_time(out, name[1], p->t_in);
    put_time(out, name[2], p->t_out);
    put_text(out, name[3], p->status);
    (void)buf_printf(out, ",\"%s\":%.6g", name[4], p->probability);
    put_text(out, name[5], p->evidence);
}

static void put_row(struct buf *out, const struct pair *p)
{
    const struct replay_presence *first = pair_first(p);
    (void)buf_printf(out, "%s{\"change\":\"%s\"", out->len > 1 ? "," : "", change_names[p->change]);
    put_text(out, "track", first->track);
    put_text(out, "station", first->station);
    put_side(out, p->before, false);
    put_side(out, p->after, true);
    (void)buf_append_u8(out, '}');
}

static uint32_t pairs_add(struct pair *pairs, uint32_t count, struct pair p,
                          const struct replay_period *period, struct replay_answer *ret)
{
    if (!ends_inside(p.before, period) && !ends_inside(p.after, period))
        return count;
    p.change = change_of(p.before, p.after);
    ret->counts[p.change]++;
    if (p.change == REPLAY_SAME)
        return count;
    pairs[count] = p;
    return count + 1;
}

int replay_diff(struct replay_list *before, struct replay_list *after,
                const struct replay_period *period, struct replay_answer *ret)
{
    uint32_t count = 0;
    struct pair *pairs = calloc((size_t)before->count + after->count + 1, sizeof *pairs);
    if (!pairs)
        return ERR_NOMEM;
    match(before, after, period->lead_us);
    for (uint32_t i = 0; i < before->count; i++) {
        const struct replay_presence *a = &before->items[i];
        struct pair p = {a, a->other < 0 ? NULL : &after->items[a->other], REPLAY_SAME};
        count = pairs_add(pairs, count, p, period, ret);
    }
    for (uint32_t i = 0; i < after->count; i++) {
        struct pair p = {NULL, &after->items[i], REPLAY_SAME};
        if (after->items[i].other < 0)
            count = pairs_add(pairs, count, p, period, ret);
    }
    if (count)
        qsort(pairs, count, sizeof *pairs, by_pair);
    (void)buf_append_u8(&ret->rows, '[');
    for (uint32_t i = 0; i < count && i < REPLAY_ROWS_MAX; i++)
        put_row(&ret->rows, &pairs[i]);
    (void)buf_append_u8(&ret->rows, ']');
    ret->truncated = count > REPLAY_ROWS_MAX;
    free(pairs);
    return buf_error(&ret->rows);
}
