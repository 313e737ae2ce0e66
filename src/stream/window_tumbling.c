/* Tumbling windows by event time.
 *
 * Rows are aggregated as they come, nothing is kept but one cell a group and aggregate, so a
 * window's memory is that of its groups. Windows are aligned to 1970-01-01T00:00:00Z: a length that
 * divides a minute, an hour or a day starts where one expects, and a replay finds the same ones.
 * Groups come out in the order in which they were first seen.
 */
#include "base/array.h"
#include "stream/pipeline_priv.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 64u

int tumbling_init(struct pipeline *p)
{
    const struct plan *plan = p->plan;
    struct tumbling *t = &p->tumbling;
    t->each_row = plan->key_count == 0;
    for (uint32_t i = 0; i < plan->aggregate_count; i++)
        t->each_row &= plan->aggregates[i].kind == AGG_FIRST_ROW;
    t->each_row &= plan->aggregate_count > 0;
    t->cells = calloc(plan->aggregate_count + 1u, sizeof(struct agg_cell *));
    return t->cells ? OK : ERR_NOMEM;
}

static void window_free(struct window *w)
{
    map_fini(&w->groups);
    free(w->slots);
    free(w);
}

void tumbling_fini(struct pipeline *p)
{
    struct tumbling *t = &p->tumbling;
    for (uint32_t i = 0; i < t->window_count; i++)
        window_free(t->windows[i]);
    for (uint32_t a = 0; t->cells && a < p->plan->aggregate_count; a++) {
        for (uint32_t s = 0; t->cells[a] && s < t->slot_count; s++)
            agg_fini(&t->cells[a][s]);
        free(t->cells[a]);
    }
    free(t->windows);
    free(t->cells);
    free(t->free_slots);
    buf_fini(&t->key);
}

/* ------------------------------------------------------------------------------------------ slots
 */

static int slots_grow(struct pipeline *p)
{
    struct tumbling *t = &p->tumbling;
    uint32_t cap = t->slot_cap ? t->slot_cap * 2 : SLOTS_FIRST;
    if (t->slot_cap >= PIPELINE_GROUPS_MAX)
        return ERR_LIMIT;
    uint32_t *free_slots = realloc(t->free_slots, cap * sizeof *free_slots);
    if (!free_slots)
        return ERR_NOMEM;
    t->free_slots = free_slots;
    for (uint32_t a = 0; a < p->plan->aggregate_count; a++) {
        struct agg_cell *cells = realloc(t->cells[a], cap * sizeof *cells);
        if (!cells)
            return ERR_NOMEM;
        memset(cells + t->slot_cap, 0, (cap - t->slot_cap) * sizeof *cells);
        t->cells[a] = cells;
    }
    t->slot_cap = cap;
    return OK;
}

static int slot_take(struct pipeline *p, uint32_t *ret)
{
    struct tumbling *t = &p->tumbling;
    if (t->free_count) {
        *ret = t->free_slots[--t->free_count];
        return OK;
    }
    int err = t->slot_count == t->slot_cap ? slots_grow(p) : OK;
    if (!err)
        *ret = t->slot_count++;
    return err;
}

static void slot_give(struct pipeline *p, uint32_t slot)
{
    struct tumbling *t = &p->tumbling;
    for (uint32_t a = 0; a < p->plan->aggregate_count; a++)
        agg_reset(&t->cells[a][slot]);
    t->free_slots[t->free_count++] = slot;
}

/* ---------------------------------------------------------------------------------------- windows
 */

static int64_t window_start_of(int64_t time_us, int64_t length_us)
{
    int64_t rest = time_us % length_us;
    return time_us - (rest < 0 ? rest + length_us : rest);
}

static int window_insert(struct tumbling *t, uint32_t at, int64_t start, struct position after,
                         struct window **ret)
{
    struct window **more =
        array_room(t->windows, t->window_count, &t->window_cap, 4, sizeof(struct window *));
    if (!more)
        return ERR_NOMEM;
    t->windows = more;
    struct window *w = calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->start = start;
    w->after = after;
    memmove(t->windows + at + 1, t->windows + at, (t->window_count - at) * sizeof(struct window *));
    t->windows[at] = w;
    t->window_count++;
    *ret = w;
    return OK;
}

static int window_find(struct pipeline *p, int64_t start, struct position after,
                       struct window **ret)
{
    struct tumbling *t = &p->tumbling;
    uint32_t at = t->window_count;
    while (at > 0 && t->windows[at - 1]->start > start)
        at--;
    if (at > 0 && t->windows[at - 1]->start == start) {
        *ret = t->windows[at - 1];
        return OK;
    }
    return window_insert(t, at, start, after, ret);
}

/* ----------------------------------------------------------------------------------------- groups
 */

static void key_append(struct buf *key, const struct value *v)
{
    (void)buf_append_u8(key, (uint8_t)v->type);
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        (void)buf_append_varint(key, v->bytes.len);
        (void)buf_append_bytes(key, v->bytes);
    } else if (v->type == VALUE_BOOL) {
        (void)buf_append_u8(key, v->boolean);
    } else if (v->type != VALUE_NULL) {
        (void)buf_append_le64(key, v->u64);
    }
}

static int window_slot_add(struct pipeline *p, struct window *w, uint32_t *ret)
{
    uint32_t *more = array_room(w->slots, w->slot_count, &w->slot_cap, 4, sizeof *more);
    if (!more)
        return ERR_NOMEM;
    w->slots = more;
    int err = slot_take(p, ret);
    if (!err)
        w->slots[w->slot_count++] = *ret;
    return err;
}

static int group_find(struct pipeline *p, struct window *w, uint32_t row, uint32_t *ret)
{
    struct tumbling *t = &p->tumbling;
    if (t->each_row)
        return window_slot_add(p, w, ret);
    if (p->plan->key_count == 0) {
        if (w->slot_count == 0)
            return window_slot_add(p, w, ret);
        *ret = w->slots[0];
        return OK;
    }
    buf_reset(&t->key);
    for (uint32_t k = 0; k < p->plan->key_count; k++) {
        struct value v = vec_value(&p->rows.regs[p->plan->keys[k]], row);
        key_append(&t->key, &v);
    }
    if (buf_error(&t->key))
        return ERR_NOMEM;
    uintptr_t found = (uintptr_t)map_find(&w->groups, buf_bytes(&t->key));
    if (found) {
        *ret = (uint32_t)(found - 1);
        return OK;
    }
    int err = window_slot_add(p, w, ret);
    return err ? err : map_put(&w->groups, buf_bytes(&t->key), (void *)((uintptr_t)*ret + 1), NULL);
}

/* The group of a row; ERR_EXPIRED: its window is closed. */
static int row_group(struct pipeline *p, uint32_t row, struct position after, uint32_t *ret)
{
    struct tumbling *t = &p->tumbling;
    int64_t time_us = batch_times(p->rows.batch)[p->rows.base + row];
    int64_t start = window_start_of(time_us, p->plan->window_us);
    struct window *w = t->last_window;
    if (start + p->plan->window_us <= p->watermark_us)
        return ERR_EXPIRED;
    if (!w || w->start != start) {
        int err = window_find(p, start, after, &w);
        if (err)
            return err;
        t->last_window = w;
    }
    return group_find(p, w, row, ret);
}

int tumbling_rows(struct pipeline *p, struct position after)
{
    struct machine *m = &p->rows;
    uint32_t slots[VEC_ROWS];
    uint32_t kept = 0;
    int err = OK;
    EACH_ROW(m, i, {
        uint32_t slot = 0;
        int row_err = err ? err : row_group(p, i, after, &slot);
        if (row_err == ERR_EXPIRED) {
            p->stats.late_rows++;
        } else if (row_err == ERR_LIMIT) {
            p->stats.lost_rows++;
        } else if (row_err) {
            err = row_err;
        } else {
            slots[kept] = slot;
            p->kept[kept++] = (uint16_t)i;
        }
    });
    m->selected = p->kept;
    m->count = kept;
    for (uint32_t a = 0; a < p->plan->aggregate_count && !err; a++) {
        const struct aggregate *agg = &p->plan->aggregates[a];
        agg_update_vec(p->tumbling.cells[a], slots, agg, &m->regs[agg->reg], m);
    }
    return err;
}

/* ---------------------------------------------------------------------------------------- closing
 */

static struct value group_value(const struct pipeline *p, const struct window *w, uint32_t slot,
                                const struct group_input *in)
{
    struct value v = {.type = VALUE_TIMESTAMP, .i64 = w->start + p->plan->window_us};
    if (in->kind == GROUP_AGGREGATE)
        return agg_result(&p->tumbling.cells[in->index][slot], &p->plan->aggregates[in->index]);
    if (in->kind == GROUP_WINDOW_START)
        v.i64 = w->start;
    return v;
}

/* A value that could not be aggregated is an error of the whole window, as eKuiper has it. */
static bool window_is_bad(const struct pipeline *p, const struct window *w)
{
    for (uint32_t a = 0; a < p->plan->aggregate_count; a++)
        for (uint32_t i = 0; i < w->slot_count; i++)
            if (p->tumbling.cells[a][w->slots[i]].bad)
                return true;
    return false;
}

static void window_out(struct pipeline *p, const struct window *w)
{
    if (window_is_bad(p, w))
        return;
    for (uint32_t at = 0; at < w->slot_count; at += VEC_ROWS) {
        uint32_t n = w->slot_count - at < VEC_ROWS ? w->slot_count - at : VEC_ROWS;
        for (uint32_t g = 0; g < p->plan->groups.input_count; g++) {
            for (uint32_t i = 0; i < n; i++) {
                struct value v = group_value(p, w, w->slots[at + i], &p->plan->group_inputs[g]);
                vec_store(&p->group_vecs[g], p->group_words[g], i, &v);
            }
        }
        for (uint32_t i = 0; i < n; i++)
            p->group_times[i] = w->start + p->plan->window_us;
        pipeline_groups_out(p, n);
    }
}

int tumbling_close(struct pipeline *p, int64_t watermark_us)
{
    struct tumbling *t = &p->tumbling;
    uint32_t closed = 0;
    int err = OK;
    while (closed < t->window_count && !err) {
        struct window *w = t->windows[closed];
        int64_t end = w->start + p->plan->window_us;
        if (end > watermark_us)
            break;
        struct record_key key = {.major = (uint64_t)(end / 1000), .minor = 1};
        if (!pipeline_skips(p, key)) {
            window_out(p, w);
            pipeline_gathered(p, key, w->after);
        }
        if (p->output.rows >= OUTPUT_ROWS_MAX)
            err = pipeline_flush(p);
        for (uint32_t i = 0; i < w->slot_count; i++)
            slot_give(p, w->slots[i]);
        window_free(w);
        closed++;
    }
    if (!closed)
        return err;
    t->window_count -= closed;
    memmove(t->windows, t->windows + closed, t->window_count * sizeof(struct window *));
    t->last_window = NULL;
    return err;
}

struct position tumbling_resume(const struct pipeline *p, struct position otherwise)
{
    const struct tumbling *t = &p->tumbling;
    for (uint32_t i = 0; i < t->window_count; i++)
        if (position_compare(t->windows[i]->after, otherwise) < 0)
            otherwise = t->windows[i]->after;
    return otherwise;
}
