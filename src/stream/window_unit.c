/* Unit windows: an interval join of signals with the presences of units. On a belt a signal that
 * has a place of its own is joined by where the unit was (its path), not by the presence's
 * interval.
 *
 * Values wait, each with its own acquisition time, in one ring an argument (`series`) until the
 * presence they belong to arrives; that is one row after the unit has left, while its values came
 * before. A value is bound by its own time, never by its row's, and belongs to every unit whose
 * interval [t_in, t_out) holds it. A presence is answered when the signals have passed its t_out,
 * and presences in the order in which they came, so that a replay gives the same keys.
 *
 * A presence may say that the signals' device has another clock (`clocks`, model/clocks.h): then
 * its interval and path are moved to that clock's times, since values wait under their own.
 *
 * What is weighted by time is in curve.h. Texts wait by number (texts.h): a code that is shown row
 * after row is kept once.
 */
#include "base/array.h"
#include "model/clocks.h"
#include "stream/pipeline_priv.h"

#include <stdlib.h>
#include <string.h>

#define INPUTS_FIRST 256u

/* A past comes in faster than its time goes by: within the moments that a track needs until it
 * tells of a unit, the signals may be hours ahead. So values stay that long too, as far as this
 * memory goes: of a month told in three minutes, five seconds of a machine with twenty signals. */
#define HOLD_US        (30 * INT64_C(1000000))
#define HOLD_BYTES_MAX (4u << 20) /* of all values of a window */

/* ------------------------------------------------------------------------------------------ life
 */

/* Whether two aggregates are made of the same values. */
static bool is_same_input(const struct aggregate *a, const struct aggregate *b)
{
    bool rows = a->kind == AGG_COUNT_ROWS;
    return (a->kind == AGG_FIRST_ROW) == (b->kind == AGG_FIRST_ROW) &&
           rows == (b->kind == AGG_COUNT_ROWS) && (rows || a->reg == b->reg) &&
           a->offset_column == b->offset_column;
}

static struct series *series_for(struct pipeline *p, uint32_t a)
{
    struct unit_window *u = &p->unit;
    const struct aggregate *all = p->plan->aggregates;
    if (all[a].profile)
        return NULL;
    for (uint32_t i = 0; i < u->kept_count; i++)
        if (is_same_input(&all[u->kept[i].aggregate], &all[a]))
            return &u->kept[i].values;
    struct unit_series *more = &u->kept[u->kept_count++];
    more->aggregate = a;
    return &more->values;
}

int unit_init(struct pipeline *p)
{
    struct unit_window *u = &p->unit;
    u->kept = calloc(p->plan->aggregate_count + 1u, sizeof *u->kept);
    u->series = calloc(p->plan->aggregate_count + 1u, sizeof(struct series *));
    u->dropped_us = INT64_MIN;
    u->quiet_us = INT64_MIN;
    if (!u->kept || !u->series)
        return ERR_NOMEM;
    for (uint32_t a = 0; a < p->plan->aggregate_count; a++) {
        u->needs_path |= p->plan->aggregates[a].placed || p->plan->aggregates[a].profile;
        u->series[a] = series_for(p, a);
    }
    return OK;
}

void unit_fini(struct pipeline *p)
{
    struct unit_window *u = &p->unit;
    for (uint32_t i = 0; i < u->kept_count; i++)
        series_fini(&u->kept[i].values);
    for (uint32_t i = 0; i < u->pending_count; i++)
        batch_unref(u->pending[i].batch);
    path_fini(&u->path);
    free(u->kept);
    free(u->series);
    free(u->inputs);
    free(u->pending);
}

/* ------------------------------------------------------------------------------------------- rows
 */

/* One value of the signal; v NULL: the row alone counts. Most rows of an imported past lack most of
 * its signals. (To first_row() each row counts.) */
static int series_take(struct series *s, int64_t at, const struct vec *v, uint32_t row,
                       bool each_row)
{
    bool valid = !v || !vec_is_null(v, row);
    if (!valid && !each_row)
        return series_add_none(s, at);
    if (v && v->kind == VEC_TEXT)
        return series_add_text(s, at, valid ? v->t[row] : bytes_of("", 0), valid);
    uint64_t bits = 0;
    if (v && valid && v->kind == VEC_BOOL)
        bits = v->b[row];
    else if (v && valid && vec_width(v->kind) == 8)
        bits = v->u[row];
    return series_add(s, at, bits, valid);
}

/* Where the chunk's values of one aggregate go. */
struct take {
    struct series *series;
    const struct vec *values; /* NULL: the rows are counted */
    const int64_t *times;
    const int32_t *offsets; /* NULL: all 0 */
    bool each_row;
};

static struct take take_of(struct pipeline *p, uint32_t a)
{
    struct machine *m = &p->rows;
    const struct aggregate *agg = &p->plan->aggregates[a];
    struct take t = {
        .series = p->unit.series[a],
        .values = agg->kind == AGG_COUNT_ROWS ? NULL : &m->regs[agg->reg],
        .times = batch_times(m->batch) + m->base,
        .each_row = agg->kind == AGG_FIRST_ROW,
    };
    if (agg->offset_column != PLAN_NONE) {
        struct column c = batch_column(m->batch, agg->offset_column);
        t.offsets = c.time_offset ? c.time_offset + m->base : NULL;
    }
    return t;
}

static int64_t take_time(const struct take *t, uint32_t row)
{
    return t->times[row] + (t->offsets ? t->offsets[row] : 0);
}

/* The rows in [from, to), which WHERE did not choose: they end what held before. */
static int take_ends(const struct pipeline *p, const struct take *t, uint32_t from, uint32_t to)
{
    int err = OK;
    if (p->plan->where == PLAN_NONE || !t->values || t->each_row)
        return OK;
    for (uint32_t i = from; i < to && !err; i++)
        err = series_add_none(t->series, take_time(t, i));
    return err;
}

static int aggregate_rows(struct pipeline *p, uint32_t a)
{
    struct machine *m = &p->rows;
    int err = OK;
    struct take t = take_of(p, a);
    uint32_t next = 0;
    EACH_ROW(m, i, {
        if (!err || err == ERR_LIMIT)
            err = take_ends(p, &t, next, i);
        if (!err)
            err = series_take(t.series, take_time(&t, i), t.values, i, t.each_row);
        if (err == ERR_LIMIT)
            p->stats.lost_rows++;
        else if (err)
            break;
        next = i + 1;
    });
    if (!err || err == ERR_LIMIT)
        err = take_ends(p, &t, next, m->rows);
    return err == ERR_LIMIT ? OK : err;
}

int unit_rows(struct pipeline *p)
{
    int err = OK;
    for (uint32_t i = 0; i < p->unit.kept_count && !err; i++)
        err = aggregate_rows(p, p->unit.kept[i].aggregate);
    return err;
}

/* ---------------------------------------------------------------------------------------- results
 */

/* What the window's own cells do with the values inside. */
static int plain_add(struct agg_cell *cell, const struct aggregate *agg, const struct series *s,
                     struct path_interval in)
{
    uint32_t end = series_lower(s, in.to_us);
    int err = OK;
    for (uint32_t i = series_lower(s, in.from_us); i < end && !err; i++) {
        struct value v = series_value(s, i, agg->arg_type);
        err = agg_update(cell, agg, &v);
    }
    return err;
}

/* The time whose values are the unit's. */
static struct path_interval stay_wide(const struct pipeline *p, struct path_interval stay)
{
    return (struct path_interval){stay.from_us - p->options.unit_lead_us,
                                  stay.to_us + p->options.unit_lag_us};
}

/* When an aggregate's values are the unit's: while it is at the window's station, or where the
 * signal itself is. */
static uint32_t aggregate_intervals(const struct pipeline *p, const struct aggregate *agg,
                                    struct path_interval stay, struct path_interval *ret)
{
    if (agg->placed)
        return path_intervals(&p->unit.path, agg->from_mm, agg->to_mm, ret, PATH_INTERVALS_MAX);
    ret[0] = stay_wide(p, stay);
    return 1;
}

/* stay: as late as the values are. */
static struct value aggregate_value(const struct pipeline *p, uint32_t index,
                                    struct path_interval stay)
{
    const struct aggregate *agg = &p->plan->aggregates[index];
    struct path_interval when[PATH_INTERVALS_MAX];
    struct agg_cell cell = {.borrows = true}; /* texts stay in the series */
    struct curve curve = curve_of(p->options.gap_max_us, agg->threshold);
    if (agg->profile) {
        curve_profile(&curve, p->plan->aggregates, p->unit.series, agg->profile, &p->unit.path,
                      stay);
        return curve_result(&curve, agg->kind);
    }
    uint32_t n = aggregate_intervals(p, agg, stay, when);
    bool timed = agg->kind == AGG_AVG || agg->kind == AGG_COVERED || agg->kind == AGG_TIMEABOVE;
    for (uint32_t i = 0; i < n; i++) {
        if (timed)
            curve_signal(&curve, agg, p->unit.series[index], when[i]);
        else
            (void)plain_add(&cell, agg, p->unit.series[index], when[i]);
    }
    return timed ? curve_result(&curve, agg->kind) : agg_result(&cell, agg);
}

/* stay: as the presence says; own: as the clock of the signals shows it. */
static struct value unit_value(const struct pipeline *p, const struct batch *presences,
                               uint32_t row, const struct group_input *in,
                               struct path_interval stay, struct path_interval own)
{
    if (in->kind == GROUP_UNIT) {
        struct column c = batch_column(presences, in->index);
        return column_value(&c, row);
    }
    if (in->kind != GROUP_AGGREGATE)
        return (struct value){.type = VALUE_TIMESTAMP, .i64 = stay.to_us};
    own.from_us += p->options.unit_delay_us;
    own.to_us += p->options.unit_delay_us;
    return aggregate_value(p, in->index, own);
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

/* What says which presences of a batch are wanted. */
struct wanted {
    bool retractable;
    struct column retracted;
    struct column station;
    struct bytes only; /* ptr NULL: all stations */
};

static struct wanted wanted_of(const struct pipeline *p, const struct batch *b)
{
    struct wanted w = {.only = p->plan->station};
    int32_t at = schema_find(b->schema, bytes_of_text("retracted"));
    w.retractable = at >= 0;
    if (w.retractable)
        w.retracted = batch_column(b, (uint32_t)at);
    if (w.only.ptr)
        w.station = batch_column(b, (uint32_t)schema_find(b->schema, bytes_of_text("station")));
    return w;
}

static bool presence_wanted(const struct wanted *w, uint32_t row)
{
    if (w->only.ptr &&
        (column_is_null(&w->station, row) || !bytes_equal(column_bytes(&w->station, row), w->only)))
        return false;
    /* Taken back: the unit was not there after all. */
    return !w->retractable || column_is_null(&w->retracted, row) ||
           !column_value(&w->retracted, row).boolean;
}

/* How far the signals' clock is from the presences'. */
static struct clock_offset presence_clock(const struct pipeline *p, const struct batch *b,
                                          uint32_t row)
{
    int32_t at = schema_find(b->schema, bytes_of_text("clocks"));
    struct column c = at < 0 ? (struct column){0} : batch_column(b, (uint32_t)at);
    if (at < 0 || c.type != VALUE_STRING || column_is_null(&c, row))
        return (struct clock_offset){0, 0};
    return clock_find(column_bytes(&c, row), bytes_of_text(p->plan->from->name));
}

/* The unit's path, as late as the values are; empty if the presence has none or it is not asked
 * for.
 */
static void presence_path(struct pipeline *p, const struct batch *b, uint32_t row,
                          struct path_interval in, struct clock_offset clock)
{
    struct unit_window *u = &p->unit;
    u->path.count = 0;
    if (!u->needs_path)
        return;
    int32_t at = schema_find(b->schema, bytes_of_text("path"));
    if (at < 0)
        return;
    struct column c = batch_column(b, (uint32_t)at);
    if (c.type == VALUE_BYTES && !column_is_null(&c, row))
        (void)path_decode(column_bytes(&c, row), &u->path);
    for (uint32_t i = 0; i < u->path.count; i++) {
        struct path_point *point = &u->path.points[i];
        point->time_us = clock_own_us(clock, in.from_us, in.to_us, point->time_us);
        point->time_us += p->options.unit_delay_us;
    }
}

static void presence_row(struct pipeline *p, const struct batch *b, uint32_t row, uint32_t to)
{
    struct path_interval in = {presence_time(p, b, "t_in", row), presence_time(p, b, "t_out", row)};
    struct clock_offset clock = presence_clock(p, b, row);
    struct path_interval own = {in.from_us + clock.in_us, in.to_us + clock.out_us};
    presence_path(p, b, row, in, clock);
    p->stats.units++;
    if (own.from_us + p->options.unit_delay_us - p->options.unit_lead_us < p->unit.dropped_us)
        p->stats.units_short++;
    for (uint32_t g = 0; g < p->plan->groups.input_count; g++) {
        struct value v = unit_value(p, b, row, &p->plan->group_inputs[g], in, own);
        vec_store(&p->group_vecs[g], p->group_words[g], to, &v);
    }
    p->group_times[to] = in.to_us;
}

static int pending_out(struct pipeline *p, const struct unit_pending *u)
{
    struct record_key key = {.major = u->at.epoch, .minor = u->at.seq};
    struct wanted wanted = wanted_of(p, u->batch);
    uint32_t n = 0;
    if (pipeline_skips(p, key))
        return OK;
    for (uint32_t row = u->first; row < u->batch->rows; row++) {
        if (!presence_wanted(&wanted, row))
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

/* Whether a presence is of the track as it is, or as it was before its clocks were compared (or
 * since they no longer are): that is its last column. */
static bool presence_fits(const struct pipeline *p, const struct batch *b)
{
    const struct schema *now = p->plan->presence->schema;
    if (b->schema->hash == now->hash)
        return true;
    const struct schema *more = now->count > b->schema->count ? now : b->schema;
    const struct schema *less = more == now ? b->schema : now;
    if (less->count + 1 != more->count || strcmp(more->fields[less->count].name, "clocks") != 0)
        return false;
    for (uint32_t i = 0; i < less->count; i++)
        if (strcmp(less->fields[i].name, more->fields[i].name) != 0 ||
            less->fields[i].type != more->fields[i].type)
            return false;
    return true;
}

/* When all that can be the row's unit's is over. */
static int64_t presence_end(struct pipeline *p, const struct batch *b, uint32_t row)
{
    const struct path *path = &p->unit.path;
    struct path_interval in = {presence_time(p, b, "t_in", row), presence_time(p, b, "t_out", row)};
    struct clock_offset clock = presence_clock(p, b, row);
    int64_t end = in.to_us + clock.out_us + p->options.unit_delay_us + p->options.unit_lag_us;
    presence_path(p, b, row, in, clock);
    int64_t left = path->count ? path->points[path->count - 1].time_us : end;
    return left > end ? left : end;
}

int unit_presence(struct pipeline *p, const struct batch *b, struct position at, bool ahead)
{
    struct unit_window *u = &p->unit;
    uint32_t row = 0;
    if (!presence_fits(p, b))
        return ERR_TYPE;
    /* On a long line nearly all are of other stations: they cost a look. */
    struct wanted wanted = wanted_of(p, b);
    while (row < b->rows && !presence_wanted(&wanted, row))
        row++;
    if (row == b->rows)
        return OK;
    struct unit_pending *more =
        array_room(u->pending, u->pending_count, &u->pending_cap, 8, sizeof *more);
    if (!more)
        return ERR_NOMEM;
    u->pending = more;
    struct unit_pending *last = &u->pending[u->pending_count++];
    *last = (struct unit_pending){
        .batch = batch_ref(b), .at = at, .first = row, .t_out_max = INT64_MIN, .ahead = ahead};
    for (; row < b->rows; row++) {
        int64_t end = presence_wanted(&wanted, row) ? presence_end(p, b, row) : INT64_MIN;
        last->t_out_max = end > last->t_out_max ? end : last->t_out_max;
    }
    return OK;
}

/* --------------------------------------------------------------------------------------- progress
 */

bool unit_caught_up(struct pipeline *p)
{
    struct unit_window *u = &p->unit;
    bool any = false;
    for (uint32_t i = 0; i < u->pending_count; i++) {
        any = any || u->pending[i].ahead;
        u->pending[i].ahead = false;
    }
    return any;
}

/* Whether all signals that can be the unit's are here. */
static bool unit_is_due(const struct pipeline *p, const struct unit_pending *u)
{
    bool behind = !u->ahead || position_compare(p->last, u->at) > 0;
    return behind && p->time_max_us >= u->t_out_max + p->options.lateness_us;
}

/* Remembers where a batch's values came from, for as long as they are kept. */
static int input_note(struct pipeline *p, struct position after)
{
    struct unit_window *u = &p->unit;
    if (u->input_count == u->input_cap) {
        uint32_t cap = u->input_cap ? u->input_cap * 2 : INPUTS_FIRST;
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
        (struct unit_input){.after = after, .time_max = p->time_max_us, .wall_us = p->rows.wall_us};
    return OK;
}

/* Whether the oldest batch came only just now and stays; of too much, two go for one that comes. */
static bool unit_holds(const struct pipeline *p, uint32_t gone)
{
    const struct unit_window *u = &p->unit;
    int64_t came = u->inputs[u->input_head].wall_us;
    size_t values = 0;
    if (!came || p->rows.wall_us - came >= HOLD_US)
        return false;
    for (uint32_t i = 0; i < u->kept_count; i++)
        values += u->kept[i].values.count;
    return values < HOLD_BYTES_MAX / SERIES_VALUE_BYTES || gone >= 2;
}

static void unit_trim(struct pipeline *p)
{
    struct unit_window *u = &p->unit;
    if (p->time_max_us == INT64_MIN)
        return;
    int64_t oldest = p->time_max_us - p->options.unit_time_us;
    int64_t before = INT64_MIN;
    uint32_t gone = 0;
    if (oldest <= u->dropped_us)
        return;
    while (u->input_count && u->inputs[u->input_head].time_max < oldest && !unit_holds(p, gone)) {
        gone++;
        before = u->inputs[u->input_head].time_max;
        u->input_head = (u->input_head + 1) & (u->input_cap - 1);
        u->input_count--;
    }
    if (before == INT64_MIN)
        return;
    if (!u->input_count || u->inputs[u->input_head].time_max >= oldest)
        before = oldest;
    u->dropped_us = before > u->dropped_us ? before : u->dropped_us;
    for (uint32_t i = 0; i < u->kept_count; i++)
        if (u->kept[i].values.count)
            series_trim(&u->kept[i].values, before);
}

int unit_advance(struct pipeline *p, struct position after, uint64_t seen)
{
    struct unit_window *u = &p->unit;
    uint32_t out = 0;
    int err = position_compare(after, p->last) != 0 || position_is_none(after)
                  ? input_note(p, after)
                  : OK;
    while (out < u->pending_count && !err) {
        struct unit_pending *first = &u->pending[out];
        if (u->answered + out >= seen && !unit_is_due(p, first))
            break;
        err = pending_out(p, first);
        batch_unref(first->batch);
        out++;
    }
    if (out) {
        u->pending_count -= out;
        u->answered += out;
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
