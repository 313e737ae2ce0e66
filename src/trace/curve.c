/* The curves of a unit's visits: each number signal of the track while the unit was there.
 *
 * All signals of a visit are read at once, out of those rows of `points` that the historian says
 * may hold them. A curve of up to TRACE_CURVE_POINTS_MAX points is told as it is; of a longer one
 * the smallest and largest value of each of TRACE_CURVE_POINTS_MAX / 2 equal pieces of the visit's
 * time, so that no peak is lost and memory does not grow with the length of the visit.
 */
#include "base/list.h"
#include "base/str.h"
#include "model/clocks.h"
#include "trace/trace_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CURVES_MAX   64
#define CURVE_PIECES 250 /* of two points each: TRACE_CURVE_POINTS_MAX */
/* Visits of so long a time are looked up at once. */
#define CHAPTER_US ((int64_t)86400 * 1000000)

/* $1 node, $2 signals, one a line: whole streams or tags. */
static const char sql_tags[] =
    "WITH wanted AS (SELECT string_split($2, chr(10)) AS list) SELECT id, stream || '.' || tag AS "
    "name, uom, scale, \"offset\" FROM tags, wanted WHERE node = $1 AND (list_contains(list, "
    "stream) OR list_contains(list, stream || '.' || tag)) AND type IN ('int64', 'uint64', "
    "'float32', 'double') ORDER BY CASE WHEN list_contains(list, stream) THEN list_position(list, "
    "stream) ELSE list_position(list, stream || '.' || tag) END, stream, tag, id";

_Static_assert(2 * CURVE_PIECES == TRACE_CURVE_POINTS_MAX, "CURVE_PIECES");

struct point {
    int64_t at;
    double value;
};

/* The extremes of a piece of the time. */
struct piece {
    struct point least;
    struct point most;
    bool used;
};

/* One signal of a station. */
struct signal {
    uint32_t tag;
    char *name;
    char *uom;
    double scale;
    double offset;
};

/* Those that are drawn of a track's visit to a station, found once. */
struct trace_signals {
    struct signal list[CURVES_MAX];
    uint32_t count;
    uint32_t tag_from;
    uint32_t tag_to;
    const struct trace_track *track; /* while they are found */
};

/* Of a signal during one visit. */
struct curve {
    struct clock_offset clock; /* of its device */
    struct point *points;      /* all of them, … */
    uint32_t count;
    struct piece *pieces; /* … or what is kept of more than TRACE_CURVE_POINTS_MAX */
};

struct curves {
    const struct trace_visit *visit;
    const struct trace_signals *signals; /* NULL: none are drawn */
    struct curve list[CURVES_MAX];
    uint32_t last; /* whose point came before */
};

/* All visits of a unit. */
struct drawing {
    struct trace *trace;
    struct duck_conn *conn;
    struct diag *diag;
    struct curves *visits;
    uint32_t count;
    struct historian_cuts cuts;
    int64_t found_to; /* how far cuts knows where values lie */
};

static bool is_own(const struct trace_track *track, struct bytes signal)
{
    for (size_t i = 0; i < sizeof track->own / sizeof track->own[0]; i++)
        if (track->own[i] && bytes_equal(signal, bytes_of_text(track->own[i])))
            return true;
    return false;
}

static int signal_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct trace_signals *s = ctx;
    if (count != 5 || s->count == CURVES_MAX || is_own(s->track, cells[1].bytes))
        return OK;
    struct signal *signal = &s->list[s->count];
    *signal = (struct signal){
        .tag = (uint32_t)cells[0].u64,
        .name = bytes_to_text(cells[1].bytes),
        .uom = cells[2].bytes.len ? bytes_to_text(cells[2].bytes) : strdup(""),
        .scale = cells[3].f64,
        .offset = cells[4].f64,
    };
    s->tag_from = signal->tag < s->tag_from ? signal->tag : s->tag_from;
    s->tag_to = signal->tag > s->tag_to ? signal->tag : s->tag_to;
    s->count++;
    return signal->name && signal->uom ? OK : ERR_NOMEM;
}

static double number_at(const struct tree *map, const char *key)
{
    double v = 0;
    return str_to_double(bytes_of_text(tree_text(tree_get(map, key))), &v) ? 0 : v;
}

/* Whether a signal of a belt is measured where the station is. */
static bool is_there(const struct trace_track *track, uint32_t signal, const char *station)
{
    const struct tree *range = track->ranges[signal];
    if (!range || !tree_get(range, "to_mm"))
        return true;
    TREE_EACH(place, track->places)
    {
        if (strcmp(tree_text(tree_get(place, "station")), station) != 0)
            continue;
        return number_at(range, "from_mm") < number_at(place, "to_mm") &&
               number_at(place, "from_mm") < number_at(range, "to_mm");
    }
    return true;
}

static int signals_read(struct trace_signals *found, struct duck_conn *conn,
                        const struct trace_visit *v, struct diag *diag)
{
    const struct trace_track *track = found->track;
    struct duck_stmt *s = NULL;
    struct buf names = {0};
    for (uint32_t i = 0; i < track->signal_count; i++)
        if (is_there(track, i, v->station))
            (void)buf_printf(&names, "%s%s", names.len ? "\n" : "", track->signals[i]);
    int err = buf_error(&names);
    if (!err && names.len)
        err = duck_statement(conn, sql_tags, &s, diag);
    if (!err && s)
        err = duck_bind_text(s, 1, v->node);
    if (!err && s)
        err = duck_bind_text(s, 2, buf_text(&names));
    if (!err && s)
        err = duck_run(s, signal_row, found, diag);
    buf_fini(&names);
    return err;
}

static void signals_free(struct trace_signals *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->list[i].name);
        free(s->list[i].uom);
    }
    free(s);
}

void trace_signals_fini(struct trace *t)
{
    for (size_t i = 0; i < t->signals.count; i++)
        signals_free(t->signals.entries[i].value);
    map_fini(&t->signals);
}

/* What was found counts until there is a tag more: tags are never taken away. */
static int signals_renew(const struct drawing *d)
{
    struct duck_stmt *s = NULL;
    int64_t tags = 0;
    int err = duck_statement(d->conn, "SELECT count(*) FROM tags", &s, d->diag);
    if (!err)
        err = duck_run(s, duck_row_i64, &tags, d->diag);
    if (err || tags == d->trace->signals_of)
        return err;
    trace_signals_fini(d->trace);
    d->trace->signals_of = tags;
    return OK;
}

static int signals_find(const struct drawing *d, const struct trace_visit *v,
                        const struct trace_signals **ret)
{
    char name[TRACE_VISIT_BYTES_MAX];
    const struct trace_track *track = map_find_text(&d->trace->tracks, v->track);
    /* The tracks of other nodes are configured there; their signals are not known here. */
    if (!track || strcmp(v->node, d->trace->catalogue->node) != 0)
        return OK;
    trace_visit_name(bytes_of_text(v->track), bytes_of_text(v->station), 0, name);
    *ret = map_find_text(&d->trace->signals, name);
    if (*ret)
        return OK;
    struct trace_signals *found = calloc(1, sizeof *found);
    if (!found)
        return ERR_NOMEM;
    found->track = track;
    found->tag_from = UINT32_MAX;
    int err = signals_read(found, d->conn, v, d->diag);
    if (!err)
        err = map_add_text(&d->trace->signals, name, found);
    if (err)
        signals_free(found);
    else
        *ret = found;
    return err;
}

/* ---------------------------------------------------------------------------------------- points
 */

static void piece_take(struct curve *c, const struct trace_visit *v, const struct point *p)
{
    double part = (double)(p->at - v->t_in) / (double)(v->t_out - v->t_in);
    struct piece *piece = &c->pieces[(uint32_t)(part * CURVE_PIECES)];
    if (!piece->used || p->value < piece->least.value)
        piece->least = *p;
    if (!piece->used || p->value > piece->most.value)
        piece->most = *p;
    piece->used = true;
}

static int curve_take(struct curve *c, const struct trace_visit *v, const struct point *p)
{
    if (!c->points)
        c->points = calloc(TRACE_CURVE_POINTS_MAX, sizeof *c->points);
    if (!c->points)
        return ERR_NOMEM;
    if (c->count < TRACE_CURVE_POINTS_MAX) {
        c->points[c->count++] = *p;
        return OK;
    }
    if (!c->pieces) {
        c->pieces = calloc(CURVE_PIECES, sizeof *c->pieces);
        for (uint32_t i = 0; c->pieces && i < c->count; i++)
            piece_take(c, v, &c->points[i]);
    }
    if (!c->pieces)
        return ERR_NOMEM;
    piece_take(c, v, p);
    return OK;
}

/* From its device's time to the visit's; false: then the unit was not there. */
static bool point_move(const struct trace_visit *v, struct clock_offset clock, struct point *p)
{
    int64_t in = v->t_in + clock.in_us;
    int64_t out = v->t_out + clock.out_us;
    if (p->at < in || p->at >= out)
        return false;
    if (!clock.in_us && !clock.out_us)
        return true;
    double part = (double)(p->at - in) / (double)(out - in);
    p->at = v->t_in + (int64_t)(part * (double)(v->t_out - v->t_in));
    return true;
}

/* Whose they are: the number of the visit. The points of a tag mostly follow one another. */
static int value_take(void *ctx, uint32_t who, const struct historian_value *v)
{
    const struct drawing *d = ctx;
    struct curves *c = &d->visits[who];
    for (uint32_t i = 0; c->signals && i < c->signals->count; i++) {
        uint32_t at = (c->last + i) % c->signals->count;
        const struct signal *signal = &c->signals->list[at];
        if (signal->tag != v->tag)
            continue;
        struct curve *curve = &c->list[at];
        struct point p = {v->at, v->raw * signal->scale + signal->offset};
        c->last = at;
        return point_move(c->visit, curve->clock, &p) ? curve_take(curve, c->visit, &p) : OK;
    }
    return OK;
}

/* What one visit wants; false: nothing. */
static bool cut_of(const struct curves *c, struct historian_cut *ret)
{
    const struct trace_visit *v = c->visit;
    if (!c->signals || c->signals->count == 0 || v->t_out <= v->t_in)
        return false;
    *ret = (struct historian_cut){c->signals->tag_from, c->signals->tag_to, v->t_in, v->t_out};
    for (uint32_t i = 0; i < c->signals->count; i++) {
        struct clock_offset clock = c->list[i].clock;
        ret->from_us = clock.in_us < ret->from_us - v->t_in ? v->t_in + clock.in_us : ret->from_us;
        ret->to_us = clock.out_us > ret->to_us - v->t_out ? v->t_out + clock.out_us : ret->to_us;
    }
    return true;
}

/* Each signal's values are told under its device's time. */
static void clocks_find(struct curves *c)
{
    const char *clocks = c->visit->clocks;
    for (uint32_t i = 0; clocks && clocks[0] && c->signals && i < c->signals->count; i++)
        c->list[i].clock =
            clock_find(bytes_of_text(clocks), bytes_of_text(c->signals->list[i].name));
}

/* Where the values of the visits from number i on lie, for a chapter of the unit's life. */
static int chapter_read(struct drawing *d, uint32_t i)
{
    struct historian_cut all = {UINT32_MAX, 0, INT64_MAX, INT64_MIN};
    struct historian_cut cut;
    int64_t from = d->visits[i].visit->t_in;
    for (; i < d->count; i++) {
        const struct trace_visit *v = d->visits[i].visit;
        if (v->t_in >= from && v->t_in <= from + CHAPTER_US && cut_of(&d->visits[i], &cut))
            historian_cut_widen(&all, &cut);
    }
    d->found_to = from + CHAPTER_US;
    return historian_cuts_find(&d->cuts, &all);
}

static int drawing_read(struct drawing *d)
{
    struct historian_cut cut;
    int64_t chapter = INT64_MAX; /* where the one that was read begins */
    int err = signals_renew(d);
    for (uint32_t i = 0; !err && i < d->count; i++)
        err = signals_find(d, d->visits[i].visit, &d->visits[i].signals);
    for (uint32_t i = 0; !err && i < d->count; i++)
        clocks_find(&d->visits[i]);
    if (!err)
        err = historian_cuts_begin(&d->cuts);
    for (uint32_t i = 0; !err && i < d->count; i++) {
        if (!cut_of(&d->visits[i], &cut))
            continue;
        if (cut.from_us < chapter || cut.from_us > d->found_to) {
            chapter = cut.from_us;
            err = chapter_read(d, i);
        }
        if (!err)
            err = historian_cuts_add(&d->cuts, &cut, i);
    }
    if (!err)
        err = historian_cuts_flush(&d->cuts);
    for (uint32_t i = 0; !err && i < d->count; i++)
        if (cut_of(&d->visits[i], &cut))
            err = historian_cuts_add_open(&d->cuts, &cut, i);
    return err ? err : historian_cuts_flush(&d->cuts);
}

/* ---------------------------------------------------------------------------------------- answer
 */

static void point_print(const struct point *p, struct buf *out)
{
    char number[STR_NUMBER_BYTES_MAX];
    (void)str_from_double(p->value, number);
    (void)buf_printf(out, "%s[%lld,%s]", out->ptr[out->len - 1] == '[' ? "" : ",", (long long)p->at,
                     number);
}

static int point_compare(const void *a, const void *b)
{
    const struct point *x = a;
    const struct point *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static void pieces_print(const struct curve *c, struct buf *out)
{
    for (uint32_t i = 0; i < CURVE_PIECES; i++) {
        const struct piece *p = &c->pieces[i];
        bool least_first = p->least.at <= p->most.at;
        if (!p->used)
            continue;
        point_print(least_first ? &p->least : &p->most, out);
        if (p->least.at != p->most.at)
            point_print(least_first ? &p->most : &p->least, out);
    }
}

static int curve_print(struct curve *c, const struct signal *signal, const char *station,
                       struct buf *out)
{
    if (c->count == 0)
        return OK;
    (void)buf_append_text(out, out->len > 1 ? ",{\"signal\":" : "{\"signal\":");
    trace_json_string(bytes_of_text(signal->name), out);
    (void)buf_append_text(out, ",\"station\":");
    trace_json_string(bytes_of_text(station), out);
    (void)buf_append_text(out, ",\"uom\":");
    trace_json_string(bytes_of_text(signal->uom), out);
    (void)buf_append_text(out, ",\"points\":[");
    if (c->pieces) {
        pieces_print(c, out);
    } else {
        qsort(c->points, c->count, sizeof *c->points, point_compare);
        for (uint32_t i = 0; i < c->count; i++)
            point_print(&c->points[i], out);
    }
    (void)buf_append_text(out, "]}");
    return buf_error(out);
}

static int drawing_print(const struct drawing *d, struct buf *out)
{
    int err = OK;
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < d->count; i++) {
        struct curves *c = &d->visits[i];
        for (uint32_t k = 0; !err && c->signals && k < c->signals->count; k++)
            err = curve_print(&c->list[k], &c->signals->list[k], c->visit->station, out);
    }
    (void)buf_append_u8(out, ']');
    return err ? err : buf_error(out);
}

static void drawing_fini(struct drawing *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        for (uint32_t k = 0; k < CURVES_MAX; k++) {
            free(d->visits[i].list[k].points);
            free(d->visits[i].list[k].pieces);
        }
    }
    historian_cuts_fini(&d->cuts);
    free(d->visits);
}

int trace_curves(struct trace *t, struct duck_conn *conn, const struct trace_visit *visits,
                 uint32_t count, struct buf *out, struct diag *diag)
{
    struct drawing d = {.trace = t, .conn = conn, .diag = diag, .count = count};
    d.visits = calloc(count ? count : 1, sizeof *d.visits);
    if (!d.visits)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        d.visits[i].visit = &visits[i];
    d.cuts = (struct historian_cuts){
        .historian = t->historian, .conn = conn, .diag = diag, .fn = value_take, .ctx = &d};
    int err = count ? drawing_read(&d) : OK;
    if (!err)
        err = drawing_print(&d, out);
    drawing_fini(&d);
    return err;
}
