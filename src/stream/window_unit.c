/* Unit windows: an interval join of signals with the presences of units.
 *
 * Values wait, each with its own acquisition time, in one ring an aggregate (`series`) until the
 * presence they belong to arrives; that is one row after the unit has left, while its values came
 * before. A value is bound by its own time, never by its row's, and belongs to every unit whose
 * interval [t_in, t_out) holds it. A presence is answered when the signals have passed its t_out,
 * and presences in the order in which they came, so that a replay gives the same keys.
 *
 * Means are weighted by time: a value holds until the next one (or runs straight to it, for linear
 * signals), at most gap_max. The last value before t_in counts from t_in on. A null says that the
 * value is unknown from there on. covered() is the part of the interval that is known.
 */
#include "stream/pipeline_priv.h"

#include <stdlib.h>
#include <string.h>

#define SERIES_FIRST 256u

/* ----------------------------------------------------------------------------------------- series
 */

static uint32_t series_slot(const struct series *s, uint32_t i)
{
    return (s->head + i) & (s->cap - 1);
}

static int64_t series_time(const struct series *s, uint32_t i)
{
    return s->times[series_slot(s, i)];
}

static void series_fini(struct series *s)
{
    free(s->times);
    free(s->values);
    free(s->valid);
    *s = (struct series){0};
}

static int series_grow(struct series *s)
{
    uint32_t cap = s->cap ? s->cap * 2 : SERIES_FIRST;
    if (cap > PIPELINE_UNIT_SAMPLES_MAX)
        return ERR_LIMIT;
    struct series more = {.times = calloc(cap, sizeof *s->times),
                          .values = calloc(cap, sizeof *s->values),
                          .valid = calloc(cap, 1),
                          .count = s->count,
                          .cap = cap};
    if (!more.times || !more.values || !more.valid) {
        series_fini(&more);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t from = series_slot(s, i);
        more.times[i] = s->times[from];
        more.values[i] = s->values[from];
        more.valid[i] = s->valid[from];
    }
    struct series old = *s;
    *s = more;
    series_fini(&old);
    return OK;
}

static void series_copy(struct series *s, uint32_t to, uint32_t from)
{
    s->times[to] = s->times[from];
    s->values[to] = s->values[from];
    s->valid[to] = s->valid[from];
}

/* Keeps the order of time: what comes a little late moves to its place. */
static int series_add(struct series *s, int64_t time_us, uint64_t value, bool valid)
{
    int err = s->count == s->cap ? series_grow(s) : OK;
    if (err)
        return err;
    uint32_t i = s->count++;
    while (i > 0 && series_time(s, i - 1) > time_us) {
        series_copy(s, series_slot(s, i), series_slot(s, i - 1));
        i--;
    }
    uint32_t at = series_slot(s, i);
    s->times[at] = time_us;
    s->values[at] = value;
    s->valid[at] = valid;
    return OK;
}

/* The first at or after time_us. */
static uint32_t series_lower(const struct series *s, int64_t time_us)
{
    uint32_t low = 0;
    uint32_t high = s->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (series_time(s, mid) < time_us)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Forgets what is before time_us, but for the last one, which still holds. */
static void series_trim(struct series *s, int64_t time_us)
{
    uint32_t n = series_lower(s, time_us);
    if (n < 2)
        return;
    s->head = series_slot(s, n - 1);
    s->count -= n - 1;
}

static double series_number(const struct series *s, uint32_t i, enum value_type type)
{
    uint64_t bits = s->values[series_slot(s, i)];
    struct value v = {.type = type == VALUE_FLOAT32 ? VALUE_DOUBLE : type, .u64 = bits};
    double d = 0;
    (void)value_to_double(&v, &d);
    return d;
}

/* ------------------------------------------------------------------------------------------ life
 */

int unit_init(struct pipeline *p)
{
    p->unit.series = calloc(p->plan->aggregate_count + 1u, sizeof *p->unit.series);
    p->unit.dropped_us = INT64_MIN;
    return p->unit.series ? OK : ERR_NOMEM;
}

void unit_fini(struct pipeline *p)
{
    struct unit_window *u = &p->unit;
    for (uint32_t a = 0; u->series && a < p->plan->aggregate_count; a++)
        series_fini(&u->series[a]);
    for (uint32_t i = 0; i < u->pending_count; i++)
        batch_unref(u->pending[i].batch);
    free(u->series);
    free(u->inputs);
    free(u->pending);
}

/* ------------------------------------------------------------------------------------------- rows
 */

static int aggregate_rows(struct pipeline *p, uint32_t a)
{
    struct machine *m = &p->rows;
    const struct aggregate *agg = &p->plan->aggregates[a];
    struct series *s = &p->unit.series[a];
    const struct vec *v = agg->kind == AGG_COUNT_ROWS ? NULL : &m->regs[agg->reg];
    const int64_t *times = batch_times(m->batch) + m->base;
    const int32_t *offsets = NULL;
    int err = OK;
    if (agg->offset_column != PLAN_NONE) {
        struct column c = batch_column(m->batch, agg->offset_column);
        offsets = c.time_offset ? c.time_offset + m->base : NULL;
    }
    EACH_ROW(m, i, {
        int64_t at = times[i] + (offsets ? offsets[i] : 0);
        bool valid = !v || !vec_is_null(v, i);
        uint64_t bits = v && valid && vec_width(v->kind) == 8 ? v->u[i] : 0;
        if (err)
            continue;
        err = series_add(s, at, bits, valid);
        if (err == ERR_LIMIT) {
            p->stats.lost_rows++;
            err = OK;
        }
    });
    return err;
}

int unit_rows(struct pipeline *p)
{
    int err = OK;
    for (uint32_t a = 0; a < p->plan->aggregate_count && !err; a++)
        err = aggregate_rows(p, a);
    return err;
}

/* ---------------------------------------------------------------------------------------- results
 */

struct interval {
    int64_t from;
    int64_t to;
};

/* The time integral of the signal over an interval, and how much of it is known. */
struct weighted {
    double sum;
    double known_us;
};

/* The part of [i, i+1) that lies in the interval. */
static void weigh_segment(const struct pipeline *p, const struct aggregate *agg,
                          const struct series *s, uint32_t i, struct interval in,
                          struct weighted *io)
{
    int64_t t0 = series_time(s, i);
    bool has_next = i + 1 < s->count;
    int64_t t1 = has_next ? series_time(s, i + 1) : INT64_MAX;
    bool straight = agg->linear && has_next && s->valid[series_slot(s, i + 1)];
    int64_t gap = p->options.gap_max_us;
    int64_t end = t1;
    if (gap > 0 && (t1 == INT64_MAX || t1 - t0 > gap)) {
        end = t0 + gap;
        straight = false;
    }
    int64_t from = t0 > in.from ? t0 : in.from;
    int64_t to = end < in.to ? end : in.to;
    if (from >= to || !s->valid[series_slot(s, i)])
        return;
    double v = series_number(s, i, agg->arg_type);
    if (straight) {
        /* The mean of a straight line over a part of it is its value in that part's middle. */
        double middle = ((double)(from - t0) + (double)(to - t0)) / 2.0 / (double)(t1 - t0);
        v += (series_number(s, i + 1, agg->arg_type) - v) * middle;
    }
    io->sum += v * (double)(to - from);
    io->known_us += (double)(to - from);
}

static struct weighted weigh(const struct pipeline *p, const struct aggregate *agg,
                             const struct series *s, struct interval in)
{
    struct weighted w = {0, 0};
    uint32_t i = series_lower(s, in.from);
    /* The one before holds into the interval, if the first does not begin just there. */
    if (i > 0 && (i == s->count || series_time(s, i) > in.from))
        i--;
    for (; i < s->count && series_time(s, i) < in.to; i++)
        weigh_segment(p, agg, s, i, in, &w);
    return w;
}

static struct value number_value(double d)
{
    return (struct value){.type = VALUE_DOUBLE, .f64 = d};
}

static struct value weighted_result(const struct pipeline *p, const struct aggregate *agg,
                                    const struct series *s, struct interval in)
{
    struct weighted w = weigh(p, agg, s, in);
    if (agg->kind == AGG_COVERED)
        return number_value(in.to > in.from ? w.known_us / (double)(in.to - in.from) : 0);
    if (w.known_us > 0)
        return number_value(w.sum / w.known_us);
    return (struct value){.type = VALUE_NULL};
}

/* Everything else is what the window's own cells do with the values inside. */
static struct value plain_result(const struct aggregate *agg, const struct series *s,
                                 struct interval in)
{
    struct agg_cell cell = {0};
    uint32_t end = series_lower(s, in.to);
    enum value_type type = agg->arg_type == VALUE_FLOAT32 ? VALUE_DOUBLE : agg->arg_type;
    for (uint32_t i = series_lower(s, in.from); i < end; i++) {
        uint32_t at = series_slot(s, i);
        struct value v = {.type = s->valid[at] ? type : VALUE_NULL, .u64 = s->values[at]};
        (void)agg_update(&cell, agg, &v);
    }
    return agg_result(&cell, agg);
}

static struct value unit_value(const struct pipeline *p, const struct batch *presences,
                               uint32_t row, const struct group_input *in, struct interval interval)
{
    if (in->kind == GROUP_UNIT) {
        struct column c = batch_column(presences, in->index);
        return column_value(&c, row);
    }
    if (in->kind != GROUP_AGGREGATE)
        return (struct value){.type = VALUE_TIMESTAMP, .i64 = interval.to};
    const struct aggregate *agg = &p->plan->aggregates[in->index];
    const struct series *s = &p->unit.series[in->index];
    if (agg->kind == AGG_AVG || agg->kind == AGG_COVERED)
        return weighted_result(p, agg, s, interval);
    return plain_result(agg, s, interval);
}

/* -------------------------------------------------------------------------------------- presences
 */

static int64_t presence_time(const struct pipeline *p, const struct batch *b, const char *name,
                             uint32_t row)
{
    int32_t at = schema_find(p->plan->presence->schema, bytes_of_text(name));
    struct column c = batch_column(b, (uint32_t)at);
    return column_is_null(&c, row) ? batch_times(b)[row] : ((const int64_t *)c.data)[row];
}

static bool presence_wanted(const struct pipeline *p, const struct batch *b, uint32_t row)
{
    if (!p->plan->station.ptr)
        return true;
    int32_t at = schema_find(p->plan->presence->schema, bytes_of_text("station"));
    struct column c = batch_column(b, (uint32_t)at);
    return !column_is_null(&c, row) && bytes_equal(column_bytes(&c, row), p->plan->station);
}

static void presence_row(struct pipeline *p, const struct batch *b, uint32_t row, uint32_t to)
{
    struct interval in = {presence_time(p, b, "t_in", row), presence_time(p, b, "t_out", row)};
    p->stats.units++;
    if (in.from < p->unit.dropped_us)
        p->stats.units_short++;
    for (uint32_t g = 0; g < p->plan->groups.input_count; g++) {
        struct value v = unit_value(p, b, row, &p->plan->group_inputs[g], in);
        vec_store(&p->group_vecs[g], p->group_words[g], to, &v);
    }
    p->group_times[to] = in.to;
}

static int pending_out(struct pipeline *p, const struct unit_pending *u)
{
    struct record_key key = {.major = u->at.epoch, .minor = u->at.seq};
    uint32_t n = 0;
    if (pipeline_skips(p, key))
        return OK;
    for (uint32_t row = 0; row < u->batch->rows; row++) {
        if (!presence_wanted(p, u->batch, row))
            continue;
        presence_row(p, u->batch, row, n++);
        if (n == VEC_ROWS) {
            pipeline_groups_out(p, n);
            n = 0;
        }
    }
    if (n)
        pipeline_groups_out(p, n);
    if (p->output.rows)
        pipeline_gathered(p, key, p->last);
    return p->output.rows >= OUTPUT_ROWS_MAX ? pipeline_flush(p) : OK;
}

int unit_presence(struct pipeline *p, const struct batch *b, struct position at)
{
    struct unit_window *u = &p->unit;
    if (b->schema->hash != p->plan->presence->schema->hash)
        return ERR_TYPE;
    if (u->pending_count == u->pending_cap) {
        uint32_t cap = u->pending_cap ? u->pending_cap * 2 : 8;
        struct unit_pending *more = realloc(u->pending, cap * sizeof *more);
        if (!more)
            return ERR_NOMEM;
        u->pending = more;
        u->pending_cap = cap;
    }
    struct unit_pending *last = &u->pending[u->pending_count++];
    *last = (struct unit_pending){.batch = batch_ref(b), .at = at, .t_out_max = INT64_MIN};
    for (uint32_t i = 0; i < b->rows; i++) {
        int64_t t_out = presence_time(p, b, "t_out", i);
        last->t_out_max = t_out > last->t_out_max ? t_out : last->t_out_max;
    }
    return OK;
}

/* --------------------------------------------------------------------------------------- progress
 */

/* Remembers where a batch's values came from, for as long as they are kept. */
static int input_note(struct pipeline *p, struct position after)
{
    struct unit_window *u = &p->unit;
    if (u->input_count == u->input_cap) {
        uint32_t cap = u->input_cap ? u->input_cap * 2 : SERIES_FIRST;
        struct unit_input *more = calloc(cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        for (uint32_t i = 0; i < u->input_count; i++)
            more[i] = u->inputs[(u->input_head + i) & (u->input_cap - 1)];
        free(u->inputs);
        u->inputs = more;
        u->input_head = 0;
        u->input_cap = cap;
    }
    u->inputs[(u->input_head + u->input_count++) & (u->input_cap - 1)] =
        (struct unit_input){.after = after, .time_max = p->time_max_us};
    return OK;
}

static void unit_trim(struct pipeline *p)
{
    struct unit_window *u = &p->unit;
    int64_t before = p->time_max_us - p->options.unit_time_us;
    if (p->time_max_us == INT64_MIN || before <= u->dropped_us)
        return;
    while (u->input_count && u->inputs[u->input_head].time_max < before) {
        u->input_head = (u->input_head + 1) & (u->input_cap - 1);
        u->input_count--;
        u->dropped_us = before;
    }
    if (u->dropped_us != before)
        return;
    for (uint32_t a = 0; a < p->plan->aggregate_count; a++)
        if (u->series[a].count)
            series_trim(&u->series[a], before);
}

int unit_advance(struct pipeline *p, struct position after, bool all)
{
    struct unit_window *u = &p->unit;
    uint32_t out = 0;
    int err = position_compare(after, p->last) != 0 || position_is_none(after)
                  ? input_note(p, after)
                  : OK;
    while (out < u->pending_count && !err) {
        struct unit_pending *first = &u->pending[out];
        if (!all && p->time_max_us < first->t_out_max + p->options.lateness_us)
            break;
        err = pending_out(p, first);
        batch_unref(first->batch);
        out++;
    }
    if (out) {
        u->pending_count -= out;
        memmove(u->pending, u->pending + out, u->pending_count * sizeof *u->pending);
    }
    unit_trim(p);
    return err;
}

struct position unit_resume(const struct pipeline *p, struct position otherwise)
{
    const struct unit_window *u = &p->unit;
    if (u->input_count && position_compare(u->inputs[u->input_head].after, otherwise) < 0)
        return u->inputs[u->input_head].after;
    return otherwise;
}
