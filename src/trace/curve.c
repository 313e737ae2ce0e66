/* The curves of a unit's visits: each number signal of the track while the unit was there.
 *
 * All signals of a visit are read at once, out of those rows of `points` that the historian says
 * may hold them. A curve of up to TRACE_CURVE_POINTS_MAX points is told as it is; of a longer one
 * the smallest and largest value of each of TRACE_CURVE_POINTS_MAX / 2 equal pieces of the visit's
 * time, so that no peak is lost and memory does not grow with the length of the visit.
 */
#include "base/list.h"
#include "base/str.h"
#include "trace/trace_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CURVES_MAX   64
#define CURVE_PIECES (TRACE_CURVE_POINTS_MAX / 2)
#define CUTS_MAX     16 /* stretches of rows that are read for a visit */

/* $1 node, $2 signals, one a line: whole streams or tags. */
static const char sql_tags[] =
    "WITH wanted AS (SELECT string_split($2, chr(10)) AS list) SELECT id, stream || '.' || tag AS "
    "name, uom, scale, \"offset\" FROM tags, wanted WHERE node = $1 AND (list_contains(list, "
    "stream) OR list_contains(list, stream || '.' || tag)) AND type IN ('int64', 'uint64', "
    "'float32', 'double') ORDER BY CASE WHEN list_contains(list, stream) THEN list_position(list, "
    "stream) ELSE list_position(list, stream || '.' || tag) END, stream, tag, id";

/* $1, $2 = pieces, $3, $4 = time, $5, $6 = tags */
static const char sql_points[] =
    "SELECT tag, ts, coalesce(d, i::DOUBLE, u::DOUBLE) FROM points WHERE piece >= $1 AND piece <= "
    "$2 AND ts >= $3 AND ts < $4 AND tag >= $5 AND tag <= $6 AND quality = 0";

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

struct curve {
    uint32_t tag;
    char *signal;
    char *uom;
    double scale;
    double offset;
    struct point *points; /* all of them, … */
    uint32_t count;
    struct piece *pieces; /* … or what is kept of more than TRACE_CURVE_POINTS_MAX */
};

/* Those of one visit. */
struct curves {
    const struct trace_track *track;
    const struct trace_visit *visit;
    struct curve list[CURVES_MAX];
    uint32_t count;
    uint32_t last; /* whose point came before */
};

void trace_json_string(struct bytes v, struct buf *out)
{
    (void)buf_append_u8(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c < 0x20)
            (void)buf_printf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            (void)buf_printf(out, "\\%c", c);
        else
            (void)buf_append_u8(out, c);
    }
    (void)buf_append_u8(out, '"');
}

static bool is_own(const struct trace_track *track, struct bytes signal)
{
    for (size_t i = 0; i < sizeof track->own / sizeof track->own[0]; i++)
        if (track->own[i] && bytes_equal(signal, bytes_of_text(track->own[i])))
            return true;
    return false;
}

static int curve_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct curves *c = ctx;
    if (count != 5 || c->count == CURVES_MAX || is_own(c->track, cells[1].bytes))
        return OK;
    struct curve *curve = &c->list[c->count];
    *curve = (struct curve){
        .tag = (uint32_t)cells[0].u64,
        .signal = bytes_to_text(cells[1].bytes),
        .uom = cells[2].bytes.len ? bytes_to_text(cells[2].bytes) : strdup(""),
        .scale = cells[3].f64,
        .offset = cells[4].f64,
    };
    c->count++;
    return curve->signal && curve->uom ? OK : ERR_NOMEM;
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

static int curves_find(struct curves *c, struct duck_conn *conn, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    struct buf names = {0};
    for (uint32_t i = 0; i < c->track->signal_count; i++)
        if (is_there(c->track, i, c->visit->station))
            (void)buf_printf(&names, "%s%s", names.len ? "\n" : "", c->track->signals[i]);
    int err = buf_error(&names);
    if (!err && names.len)
        err = duck_statement(conn, sql_tags, &s, diag);
    if (!err && s)
        err = duck_bind_text(s, 1, c->visit->node);
    if (!err && s)
        err = duck_bind_text(s, 2, buf_text(&names));
    if (!err && s)
        err = duck_run(s, curve_row, c, diag);
    buf_fini(&names);
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

/* The points of a tag mostly follow one another. */
static struct curve *curve_of(struct curves *c, uint32_t tag)
{
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t at = (c->last + i) % c->count;
        if (c->list[at].tag != tag)
            continue;
        c->last = at;
        return &c->list[at];
    }
    return NULL;
}

static int point_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct curves *c = ctx;
    if (count != 3)
        return ERR_INTERNAL;
    struct curve *curve = curve_of(c, (uint32_t)cells[0].u64);
    if (!curve || cells[2].type != VALUE_DOUBLE || !isfinite(cells[2].f64))
        return OK;
    const struct point p = {cells[1].i64, cells[2].f64 * curve->scale + curve->offset};
    return curve_take(curve, c->visit, &p);
}

static struct historian_cut curves_cut(const struct curves *c)
{
    struct historian_cut cut = {
        .tag_from = UINT32_MAX, .tag_to = 0, .from_us = c->visit->t_in, .to_us = c->visit->t_out};
    for (uint32_t i = 0; i < c->count; i++) {
        cut.tag_from = c->list[i].tag < cut.tag_from ? c->list[i].tag : cut.tag_from;
        cut.tag_to = c->list[i].tag > cut.tag_to ? c->list[i].tag : cut.tag_to;
    }
    return cut;
}

static int rows_bind(struct duck_stmt *s, const struct historian_pieces *rows,
                     const struct historian_cut *cut)
{
    int err = duck_bind_i64(s, 1, rows->from);
    if (!err)
        err = duck_bind_i64(s, 2, rows->to);
    if (!err)
        err = duck_bind_time(s, 3, cut->from_us);
    if (!err)
        err = duck_bind_time(s, 4, cut->to_us);
    if (!err)
        err = duck_bind_i64(s, 5, cut->tag_from);
    return err ? err : duck_bind_i64(s, 6, cut->tag_to);
}

static int curves_read(struct curves *c, struct duck_conn *conn, struct diag *diag)
{
    struct historian_pieces rows[CUTS_MAX];
    const struct historian_cut cut = curves_cut(c);
    struct duck_stmt *s = NULL;
    uint32_t count = 0;
    if (c->count == 0 || cut.to_us <= cut.from_us)
        return OK;
    int err = historian_pieces_find(conn, &cut, rows, CUTS_MAX, &count, diag);
    if (!err)
        err = duck_statement(conn, sql_points, &s, diag);
    for (uint32_t i = 0; !err && i < count; i++) {
        err = rows_bind(s, &rows[i], &cut);
        if (!err)
            err = duck_run(s, point_row, c, diag);
    }
    return err;
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

static int curve_print(struct curve *c, const struct trace_visit *v, struct buf *out)
{
    if (c->count == 0)
        return OK;
    (void)buf_append_text(out, out->len > 1 ? ",{\"signal\":" : "{\"signal\":");
    trace_json_string(bytes_of_text(c->signal), out);
    (void)buf_append_text(out, ",\"station\":");
    trace_json_string(bytes_of_text(v->station), out);
    (void)buf_append_text(out, ",\"uom\":");
    trace_json_string(bytes_of_text(c->uom), out);
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

static void curves_free(struct curves *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->list[i].signal);
        free(c->list[i].uom);
        free(c->list[i].points);
        free(c->list[i].pieces);
    }
    free(c);
}

static int visit_print(const struct trace *t, struct duck_conn *conn, const struct trace_visit *v,
                       struct buf *out, struct diag *diag)
{
    struct curves *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->visit = v;
    c->track = map_find_text(&t->tracks, v->track);
    /* The tracks of other nodes are configured there; their signals are not known here. */
    bool own = c->track && strcmp(v->node, t->catalogue->node) == 0;
    int err = own ? curves_find(c, conn, diag) : OK;
    if (!err)
        err = curves_read(c, conn, diag);
    for (uint32_t i = 0; !err && i < c->count; i++)
        err = curve_print(&c->list[i], v, out);
    curves_free(c);
    return err;
}

int trace_curves(const struct trace *t, struct duck_conn *conn, const struct trace_visit *visits,
                 uint32_t count, struct buf *out, struct diag *diag)
{
    int err = OK;
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; !err && i < count; i++)
        err = visit_print(t, conn, &visits[i], out, diag);
    (void)buf_append_u8(out, ']');
    return err ? err : buf_error(out);
}
