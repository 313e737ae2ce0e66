/* The call trace.band: a unit's curve at a station, against the good units' band. See band.h. */
#include "trace/band.h"

#include "base/clock.h"
#include "base/str.h"
#include "trace/story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAND_DEPTH 2 /* a board's panel is two links away at most */

static const struct call_field band_request[] = {
    {"serial", VALUE_STRING, 0, true, "serial number, or the unit's id"},
    {"station", VALUE_STRING, 0, true, "where it was"},
    {"signal", VALUE_STRING, 0, false,
     "device.group.tag: this signal over the time since the unit came in; with * for any text: "
     "the unit's own curve over the signals of a belt's places; default: that of all of them, "
     "else the station's first signal"},
    {"visit", VALUE_INT64, 0, false, "which of its visits there, 1 = the first; default: the last"},
    {"as_of", VALUE_STRING, 0, false, "as known at this time (RFC 3339); default: now"},
    {"at", VALUE_STRING, 0, false, TRACE_AT_DOC},
    {0},
};

static const struct call_field band_answer[] = {
    {"serial", VALUE_STRING, 0, true, "the unit whose visit it is: it, or what it was a part of"},
    {"station", VALUE_STRING, 0, true, "where it was"},
    {"t_in", VALUE_TIMESTAMP, 0, false, "since when"},
    {"t_out", VALUE_TIMESTAMP, 0, false, "until when"},
    {"signals", VALUE_STRING, FIELD_JSON, true, "what the curve is made of, with their places"},
    {"uom", VALUE_STRING, 0, true, "what the values are in"},
    {"axis", VALUE_STRING, 0, true, "mm: the position on the belt; s: since the unit came in"},
    {"units", VALUE_INT64, 0, true, "how many good units the band is of"},
    {"curve", VALUE_STRING, FIELD_JSON, true, "[place, value]"},
    {"band", VALUE_STRING, FIELD_JSON, true, "[place, 5 %, 50 %, 95 % of the good units' values]"},
    {0},
};

enum {
    ANSWER_SERIAL,
    ANSWER_STATION,
    ANSWER_T_IN,
    ANSWER_T_OUT,
    ANSWER_SIGNALS,
    ANSWER_UOM,
    ANSWER_AXIS,
    ANSWER_UNITS,
    ANSWER_CURVE,
    ANSWER_BAND,
};

const struct call_spec trace_band_spec = {
    .name = "trace.band",
    .doc = "Tells a unit's curve at a station, and the band in which the good units' curves lie.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = band_request,
    .answer = band_answer,
};

/* One question. */
struct asking {
    struct trace *trace;
    const char *serial;
    const char *station;
    const char *pattern; /* "" = what is usual there */
    int64_t visit;       /* 0 = the last */
    struct story story;
    const struct story_visit *at;
    const struct trace_track *track;
    struct band_plan plan;
    struct band_visit own;
    struct band_visit good[BAND_UNITS_MAX];
    uint32_t good_count;
};

static int text_read(struct asking *a, const struct call *c, const char *name, bool needed,
                     const char **ret)
{
    struct value v = {.type = VALUE_NULL};
    *ret = "";
    if (!needed && call_arg(c, name).type == VALUE_NULL)
        return OK;
    int err = trace_read_key(c, name, &v, a->story.diag);
    if (!err)
        *ret = arena_copy(&a->story.arena, v.bytes);
    return err ? err : *ret ? OK : ERR_NOMEM;
}

static int asking_read(struct asking *a, const struct call *c)
{
    struct value visit = call_arg(c, "visit");
    a->visit = visit.type == VALUE_NULL ? 0 : visit.i64;
    int err = text_read(a, c, "serial", true, &a->serial);
    if (!err)
        err = text_read(a, c, "station", true, &a->station);
    if (!err)
        err = text_read(a, c, "signal", false, &a->pattern);
    if (!err && visit.type != VALUE_NULL && visit.i64 < 1)
        err = diag_set(a->story.diag, ERR_RANGE, 0, 0, "visit is 1 or more");
    if (!err)
        err = trace_read_at(c, &a->story.at_us, a->story.diag);
    return err ? err : trace_read_as_of(c, &a->story.as_of_us, a->story.diag);
}

/* ----------------------------------------------------------------------------------------- visit
 */

static int visit_find(struct asking *a)
{
    struct story *s = &a->story;
    int64_t seen = 0;
    int err = story_read(s, a->serial);
    if (err == ERR_NOT_FOUND)
        return diag_set(s->diag, err, 0, 0,
                        "no unit has the serial or id %s, as it is written here", a->serial);
    for (uint32_t i = 0; !err && i < s->visit_count; i++) {
        const struct story_visit *v = &s->visits[i];
        if (v->recorded || v->t_in == INT64_MIN || v->t_out <= v->t_in ||
            strcmp(v->station, a->station) != 0)
            continue;
        seen++;
        if (a->visit == 0 || a->visit == seen)
            a->at = v;
    }
    if (!err && !a->at)
        err = diag_set(s->diag, ERR_NOT_FOUND, 0, 0,
                       "%s has no %s to %s of which both ends are known", a->serial,
                       a->visit > 1 ? "such visit" : "visit", a->station);
    return err;
}

static int track_find(struct asking *a)
{
    a->track = map_find_text(&a->trace->tracks, a->at->track);
    if (a->track && strcmp(a->at->node, a->trace->catalogue->node) == 0)
        return OK;
    return diag_set(a->story.diag, ERR_NOT_FOUND, 0, 0,
                    "track %s of node %s is not configured here, so its signals are not known: ask "
                    "that node",
                    a->at->track, a->at->node);
}

/* --------------------------------------------------------------------------------------- signals
 */

/* $1 node, $2 signals, one a line: whole streams or tags. In the order they are configured in. */
static const char sql_signals[] =
    "WITH wanted AS (SELECT string_split($2, chr(10)) AS list) SELECT id, stream || '.' || tag AS "
    "name, uom, scale, \"offset\" FROM tags, wanted WHERE node = $1 AND (list_contains(list, "
    "stream) OR list_contains(list, stream || '.' || tag)) AND type IN ('int64', 'uint64', "
    "'float32', 'double') ORDER BY CASE WHEN list_contains(list, stream) THEN list_position(list, "
    "stream) ELSE list_position(list, stream || '.' || tag) END, stream, tag, id";

static double number_at(const struct tree *map, const char *key)
{
    double v = 0;
    return str_to_double(bytes_of_text(tree_text(tree_get(map, key))), &v) ? 0 : v;
}

static const struct tree *range_of(const struct trace_track *track, const char *name)
{
    for (uint32_t i = 0; i < track->signal_count; i++)
        if (strcmp(track->signals[i], name) == 0 && track->ranges[i] &&
            tree_get(track->ranges[i], "to_mm"))
            return track->ranges[i];
    return NULL;
}

static bool is_own(const struct trace_track *track, const char *name)
{
    for (size_t i = 0; i < sizeof track->own / sizeof track->own[0]; i++)
        if (track->own[i] && strcmp(name, track->own[i]) == 0)
            return true;
    return false;
}

/* "zone*" fits the tag, as in profile('zone*'); with the stream before it, the whole name. */
static bool is_named(const char *pattern, const char *name)
{
    const char *tag = strrchr(name, '.');
    return str_matches(bytes_of_text(name), pattern) ||
           (tag && str_matches(bytes_of_text(tag + 1), pattern));
}

static bool is_wanted(const struct asking *a, const struct band_signal *s, bool placed)
{
    const struct band_plan *plan = &a->plan;
    if (plan->count >= BAND_SIGNALS_MAX - 1 || is_own(a->track, s->name))
        return false;
    if (plan->by_way)
        return placed && s->from_mm < plan->to_mm && s->to_mm > plan->from_mm &&
               (a->pattern[0] ? is_named(a->pattern, s->name)
                              : plan->count == 0 || strcmp(plan->signals[0].uom, s->uom) == 0);
    return plan->count == 0 && (!a->pattern[0] || strcmp(a->pattern, s->name) == 0);
}

static int signal_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct asking *a = ctx;
    struct arena *arena = &a->story.arena;
    if (count != 5)
        return ERR_INTERNAL;
    struct band_signal s = {.tag = (uint32_t)cells[0].u64,
                            .name = arena_copy(arena, cells[1].bytes),
                            .uom = arena_copy(arena, cells[2].bytes),
                            .scale = cells[3].f64,
                            .offset = cells[4].f64};
    if (!s.name || !s.uom)
        return ERR_NOMEM;
    const struct tree *range = range_of(a->track, s.name);
    s.from_mm = number_at(range, "from_mm");
    s.to_mm = number_at(range, "to_mm");
    if (is_wanted(a, &s, range != NULL))
        a->plan.signals[a->plan.count++] = s;
    return OK;
}

static int speed_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct band_plan *plan = ctx;
    if (count == 5)
        plan->signals[plan->count] = (struct band_signal){
            .tag = (uint32_t)cells[0].u64, .scale = cells[3].f64, .offset = cells[4].f64};
    return OK;
}

static int signals_ask(struct asking *a, const char *names, duck_row_fn fn, void *ctx)
{
    struct duck_stmt *s = NULL;
    int err = duck_statement(a->story.conn, sql_signals, &s, a->story.diag);
    if (!err)
        err = duck_bind_text(s, 1, a->at->node);
    if (!err)
        err = duck_bind_text(s, 2, names);
    return err ? err : duck_run(s, fn, ctx, a->story.diag);
}

/* The belt's speed comes last, so that nothing takes it for a signal. */
static int speed_find(struct asking *a)
{
    struct band_plan *plan = &a->plan;
    const char *name = a->track->own[4];
    plan->speed = plan->count;
    if (!plan->by_way || !name || !name[0])
        return OK;
    plan->signals[plan->count] = (struct band_signal){.tag = UINT32_MAX};
    int err = signals_ask(a, name, speed_row, plan);
    if (!err && plan->signals[plan->count].tag != UINT32_MAX)
        plan->count++;
    return err;
}

/* Over the position, if the station is a belt's, signals have places, and none is asked for alone.
 */
static void plan_axis(struct asking *a)
{
    struct band_plan *plan = &a->plan;
    bool placed = false;
    for (uint32_t i = 0; i < a->track->signal_count; i++)
        placed |= range_of(a->track, a->track->signals[i]) != NULL;
    plan->length_s = (double)(a->at->t_out - a->at->t_in) / 1e6;
    TREE_EACH(place, a->track->places)
    {
        if (strcmp(tree_text(tree_get(place, "station")), a->at->station) != 0)
            continue;
        plan->from_mm = number_at(place, "from_mm");
        plan->to_mm = number_at(place, "to_mm");
        plan->by_way =
            placed && plan->to_mm > plan->from_mm && (!a->pattern[0] || strchr(a->pattern, '*'));
    }
}

static int plan_make(struct asking *a)
{
    struct buf names = {0};
    plan_axis(a);
    for (uint32_t i = 0; i < a->track->signal_count; i++)
        (void)buf_printf(&names, "%s%s", names.len ? "\n" : "", a->track->signals[i]);
    int err = buf_error(&names);
    if (!err && names.len)
        err = signals_ask(a, buf_text(&names), signal_row, a);
    if (!err && a->plan.count == 0)
        err = diag_set(a->story.diag, ERR_NOT_FOUND, 0, 0,
                       "track %s has no signal %s at %s that is a number", a->track->name,
                       a->pattern[0] ? a->pattern : "", a->station);
    buf_fini(&names);
    return err ? err : speed_find(a);
}

/* ---------------------------------------------------------------------------------------- curves
 */

static int visit_compare(const void *a, const void *b)
{
    const struct band_visit *x = a;
    const struct band_visit *y = b;
    return (x->t_in > y->t_in) - (x->t_in < y->t_in);
}

/* Each signal's values are told under its device's time. */
static int visit_clocks(struct asking *a, struct band_visit *v)
{
    if (!v->clocks || !v->clocks[0])
        return OK;
    v->offsets = arena_array(&a->story.arena, a->plan.count, sizeof *v->offsets);
    for (uint32_t i = 0; v->offsets && i < a->plan.count; i++)
        v->offsets[i] =
            clock_find(bytes_of_text(v->clocks), bytes_of_text(a->plan.signals[i].name));
    return v->offsets ? OK : ERR_NOMEM;
}

/* The unit's own visit is read together with the others'; it is the one with these slots. */
static int visits_read(struct asking *a)
{
    struct story *s = &a->story;
    uint32_t count = a->good_count + 1;
    size_t slots = (size_t)a->plan.count * BAND_SLOTS;
    struct band_visit *all = arena_array(&s->arena, count, sizeof *all);
    struct band_slot *room = arena_array(&s->arena, slots * count, sizeof *room);
    if (!all || !room)
        return ERR_NOMEM;
    memset(room, 0, slots * count * sizeof *room);
    a->own = (struct band_visit){
        .t_in = a->at->t_in, .t_out = a->at->t_out, .slots = room, .clocks = a->at->clocks};
    all[0] = a->own;
    for (uint32_t i = 0; i < a->good_count; i++) {
        a->good[i].slots = &room[slots * (i + 1)];
        all[i + 1] = a->good[i];
    }
    qsort(all, count, sizeof *all, visit_compare);
    for (uint32_t i = 0; i < count; i++)
        if (visit_clocks(a, &all[i]))
            return ERR_NOMEM;
    return band_read(s->trace->historian, s->conn, &a->plan, all, count, s->diag);
}

static int good_find(struct asking *a)
{
    const struct story_visit *v = a->at;
    const struct band_question q = {.conn = a->story.conn,
                                    .arena = &a->story.arena,
                                    .node = v->node,
                                    .track = v->track,
                                    .station = v->station,
                                    .serial = story_name(&a->story, v->subject),
                                    .unit = v->unit,
                                    .t_in = v->t_in,
                                    .as_of_us = a->story.as_of_us,
                                    .reused = &a->trace->reused,
                                    .diag = a->story.diag};
    return band_good_find(&q, a->good, &a->good_count);
}

/* ---------------------------------------------------------------------------------------- answer
 */

static void number_print(double v, struct buf *out)
{
    char text[STR_NUMBER_BYTES_MAX];
    (void)str_from_double(v, text);
    (void)buf_printf(out, ",%s", text);
}

/* [place, …values]; nothing where the first is not known. */
static void point_print(const struct band_plan *plan, uint32_t place, const double *values,
                        uint32_t count, struct buf *out)
{
    char text[STR_NUMBER_BYTES_MAX];
    if (isnan(values[0]))
        return;
    (void)str_from_double(band_place(plan, place), text);
    (void)buf_printf(out, "%s[%s", out->len > 1 ? "," : "", text);
    for (uint32_t i = 0; i < count; i++)
        number_print(values[i], out);
    (void)buf_append_u8(out, ']');
}

static int curve_print(const struct asking *a, struct buf *out)
{
    double curve[BAND_GRID];
    band_shape(&a->plan, &a->own, curve);
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < BAND_GRID; i++)
        point_print(&a->plan, i, &curve[i], 1, out);
    (void)buf_append_u8(out, ']');
    return buf_error(out);
}

static int band_print(struct asking *a, struct buf *out)
{
    double(*curves)[BAND_GRID] = arena_array(&a->story.arena, a->good_count + 1, sizeof *curves);
    double values[BAND_UNITS_MAX];
    double quantiles[3];
    if (!curves)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < a->good_count; i++)
        band_shape(&a->plan, &a->good[i], curves[i]);
    (void)buf_append_u8(out, '[');
    for (uint32_t k = 0; k < BAND_GRID; k++) {
        for (uint32_t i = 0; i < a->good_count; i++)
            values[i] = curves[i][k];
        if (band_quantiles(values, a->good_count, quantiles))
            point_print(&a->plan, k, quantiles, 3, out);
    }
    (void)buf_append_u8(out, ']');
    return buf_error(out);
}

static int signals_print(const struct asking *a, struct buf *out)
{
    char from[STR_NUMBER_BYTES_MAX];
    char to[STR_NUMBER_BYTES_MAX];
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < a->plan.count; i++) {
        const struct band_signal *s = &a->plan.signals[i];
        if (i == a->plan.speed)
            continue;
        (void)buf_append_text(out, out->len > 1 ? ",{\"signal\":" : "{\"signal\":");
        trace_json_string(bytes_of_text(s->name), out);
        if (a->plan.by_way) {
            (void)str_from_double(s->from_mm, from);
            (void)str_from_double(s->to_mm, to);
            (void)buf_printf(out, ",\"from_mm\":%s,\"to_mm\":%s", from, to);
        }
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
    return buf_error(out);
}

static int answer_list(struct asking *a, struct batch_builder *bb, uint32_t col)
{
    struct buf out = {0};
    int err = col == ANSWER_SIGNALS ? signals_print(a, &out)
              : col == ANSWER_CURVE ? curve_print(a, &out)
                                    : band_print(a, &out);
    if (!err)
        err = batch_set_bytes(bb, col, buf_bytes(&out));
    buf_fini(&out);
    return err;
}

static int answer_fill(struct asking *a, struct batch_builder *bb)
{
    static const uint32_t lists[] = {ANSWER_SIGNALS, ANSWER_CURVE, ANSWER_BAND};
    const char *serial = story_name(&a->story, a->at->subject);
    int err = batch_builder_row(bb, a->at->t_out) < 0 ? ERR_NOMEM : OK;
    if (!err)
        err = batch_set_bytes(bb, ANSWER_SERIAL, bytes_of_text(serial));
    if (!err)
        err = batch_set_bytes(bb, ANSWER_STATION, bytes_of_text(a->at->station));
    if (!err)
        err = batch_set_bytes(bb, ANSWER_UOM, bytes_of_text(a->plan.signals[0].uom));
    if (!err)
        err = batch_set_bytes(bb, ANSWER_AXIS, bytes_of_text(a->plan.by_way ? "mm" : "s"));
    for (size_t i = 0; !err && i < sizeof lists / sizeof lists[0]; i++)
        err = answer_list(a, bb, lists[i]);
    if (err)
        return err;
    batch_set_i64(bb, ANSWER_T_IN, a->at->t_in);
    batch_set_i64(bb, ANSWER_T_OUT, a->at->t_out);
    batch_set_i64(bb, ANSWER_UNITS, a->good_count);
    return OK;
}

static int asking_answer(struct asking *a, struct call *c, struct batch_builder **ret)
{
    int err = asking_read(a, c);
    if (!err)
        err = historian_reader_open(a->trace->historian, &a->story.conn);
    if (!err)
        err = visit_find(a);
    if (!err)
        err = track_find(a);
    if (!err)
        err = plan_make(a);
    if (!err)
        err = good_find(a);
    if (!err)
        err = visits_read(a);
    if (!err)
        err = call_answer_builder(c, 1, ret);
    return err ? err : answer_fill(a, *ret);
}

void trace_band_serve(void *owner, struct call *c)
{
    struct diag diag = {0};
    struct batch_builder *bb = NULL;
    struct asking *a = calloc(1, sizeof *a);
    if (!a) {
        call_fail(c, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        return;
    }
    a->trace = owner;
    a->story = (struct story){.trace = owner, .diag = &diag, .depth_max = BAND_DEPTH};
    int err = asking_answer(a, c, &bb);
    if (a->story.conn)
        historian_reader_close(a->trace->historian, a->story.conn);
    story_fini(&a->story);
    free(a);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
