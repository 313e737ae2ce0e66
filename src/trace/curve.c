/* The curves of a unit's visits: each number signal of the track while the unit was there.
 *
 * Tags are looked up first and the points cut by tag and time, which the historian's order makes a
 * matter of some row groups. Long curves are thinned to the smallest and largest value of each of
 * TRACE_CURVE_POINTS_MAX / 2 pieces, so that no peak is lost.
 */
#include "base/list.h"
#include "base/str.h"
#include "trace/trace_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURVES_MAX      64
#define CURVE_BYTES_MAX (1u << 20)

static const char sql_tags[] = "SELECT id, stream || '.' || tag, uom, scale, \"offset\" FROM tags "
                               "WHERE node = $1 AND (stream = "
                               "$2 OR stream || '.' || tag = $2) AND type IN ('int64', 'uint64', "
                               "'float32', 'double') ORDER BY "
                               "stream, tag, id";

/* $1 tag, $2 from, $3 to, $4 scale, $5 offset, $6 points at most, $7 pieces */
static const char sql_points[] =
    "WITH p AS (SELECT ts, coalesce(d, i::DOUBLE, u::DOUBLE) * $4::DOUBLE + $5::DOUBLE AS value, "
    "row_number() OVER (ORDER BY ts) - 1 AS n, count(*) OVER () AS c FROM points WHERE tag = "
    "$1::UINTEGER AND ts >= $2 AND ts < $3 AND quality = 0), "
    "q AS (SELECT ts, value, CASE WHEN c <= $6 THEN n ELSE n * $7 // c END AS piece FROM p) "
    "SELECT epoch_us(ts), value FROM q WHERE value IS NOT NULL QUALIFY row_number() OVER "
    "(PARTITION "
    "BY piece ORDER BY value, ts) = 1 OR row_number() OVER (PARTITION BY piece ORDER BY value "
    "DESC, "
    "ts) = 1 ORDER BY ts";

struct curve {
    uint32_t tag;
    char *signal;
    char *uom;
    double scale;
    double offset;
};

struct curves {
    const struct trace_track *track;
    struct curve list[CURVES_MAX];
    uint32_t count;
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

static int curves_find(struct curves *c, struct duck_conn *conn, const struct trace_visit *v,
                       struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(conn, sql_tags, &s, diag);
    for (uint32_t i = 0; !err && i < c->track->signal_count; i++) {
        if (!is_there(c->track, i, v->station))
            continue;
        err = duck_bind_text(s, 1, v->node);
        if (!err)
            err = duck_bind_text(s, 2, c->track->signals[i]);
        if (!err)
            err = duck_run(s, curve_row, c, diag);
    }
    duck_stmt_free(s);
    return err;
}

static int curve_bind(struct duck_stmt *s, const struct curve *c, const struct trace_visit *v)
{
    int err = duck_bind_i64(s, 1, c->tag);
    if (!err)
        err = duck_bind_time(s, 2, v->t_in);
    if (!err)
        err = duck_bind_time(s, 3, v->t_out);
    if (!err)
        err = duck_bind_f64(s, 4, c->scale);
    if (!err)
        err = duck_bind_f64(s, 5, c->offset);
    if (!err)
        err = duck_bind_i64(s, 6, TRACE_CURVE_POINTS_MAX);
    return err ? err : duck_bind_i64(s, 7, TRACE_CURVE_POINTS_MAX / 2);
}

static int curve_print(struct duck_stmt *s, const struct curve *c, const struct trace_visit *v,
                       struct buf *out, struct diag *diag)
{
    const struct duck_limits limits = {TRACE_CURVE_POINTS_MAX, CURVE_BYTES_MAX, INT64_MAX};
    struct duck_answer a = {0};
    int err = curve_bind(s, c, v);
    if (!err)
        err = duck_print(s, DUCK_ARRAY, &limits, &a, diag);
    if (!err && a.row_count) {
        (void)buf_append_text(out, out->len > 1 ? ",{\"signal\":" : "{\"signal\":");
        trace_json_string(bytes_of_text(c->signal), out);
        (void)buf_append_text(out, ",\"station\":");
        trace_json_string(bytes_of_text(v->station), out);
        (void)buf_append_text(out, ",\"uom\":");
        trace_json_string(bytes_of_text(c->uom), out);
        (void)buf_append_text(out, ",\"points\":");
        (void)buf_append_bytes(out, buf_bytes(&a.text));
        (void)buf_append_u8(out, '}');
        err = buf_error(out);
    }
    duck_answer_fini(&a);
    return err;
}

static int visit_print(const struct trace *t, struct duck_conn *conn, struct duck_stmt *points,
                       const struct trace_visit *v, struct buf *out, struct diag *diag)
{
    struct curves *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->track = map_find_text(&t->tracks, v->track);
    /* The tracks of other nodes are configured there; their signals are not known here. */
    bool own = c->track && strcmp(v->node, t->catalogue->node) == 0;
    int err = own ? curves_find(c, conn, v, diag) : OK;
    for (uint32_t i = 0; i < c->count; i++) {
        if (!err)
            err = curve_print(points, &c->list[i], v, out, diag);
        free(c->list[i].signal);
        free(c->list[i].uom);
    }
    free(c);
    return err;
}

int trace_curves(const struct trace *t, struct duck_conn *conn, const struct trace_visit *visits,
                 uint32_t count, struct buf *out, struct diag *diag)
{
    struct duck_stmt *points = NULL;
    int err = duck_prepare(conn, sql_points, &points, diag);
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; !err && i < count; i++)
        err = visit_print(t, conn, points, &visits[i], out, diag);
    (void)buf_append_u8(out, ']');
    duck_stmt_free(points);
    return err ? err : buf_error(out);
}
