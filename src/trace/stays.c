/* The call trace.stays: who was where on a line between two moments, as stored, so that the line
 * can be shown again as it was. See trace.h.
 *
 * Of each stay the latest row counts, and what was taken back is left out; a stay that may have
 * been of several units has a row for each. The earliest come first: where a limit cuts, what is
 * there is whole up to the last one's begin.
 */
#include "trace/trace_priv.h"

#include <math.h>

#define STAYS_DEFAULT 5000
#define STAYS_MAX     20000
#define STAYS_CELLS   8

static const struct call_field stays_request[] = {
    {"name", VALUE_STRING, 0, true, "the track's name"},
    {"from", VALUE_STRING, 0, true, "only stays that ended after this time (RFC 3339)"},
    {"to", VALUE_STRING, 0, true, "only stays that began until this time (RFC 3339)"},
    {"limit", VALUE_INT64, 0, false, "stays at most; default 5000, at most 20000"},
    {0},
};

static const struct call_field stays_answer[] = {
    {"name", VALUE_STRING, 0, true, "the track's name"},
    {"count", VALUE_INT64, 0, true, "stays listed"},
    {"truncated", VALUE_BOOL, 0, true, "there are more: ask for a shorter time"},
    {"stays", VALUE_STRING, FIELD_JSON, true,
     "stays, the earliest first: unit, serial, station, place, t_in, t_out, status, probability"},
    {0},
};

const struct call_spec trace_stays_spec = {
    .name = "trace.stays",
    .doc = "Lists the stays of units on a track between two moments, as stored.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = stays_request,
    .answer = stays_answer,
};

struct stays {
    struct buf list; /* JSON */
    int64_t from_us;
    int64_t to_us;
    int64_t limit;
    int64_t count;
    bool truncated;
};

/* $1 from, $2 rows, $3 to, $4 track. */
static const char sql_stays[] =
    "WITH p AS (SELECT * FROM (SELECT * FROM steps WHERE track = $4 AND t_out >= $1 AND t_in <= $3 "
    "QUALIFY row_number() OVER (PARTITION BY node, unit, station, coalesce(visit, 0) ORDER BY "
    "revision DESC, known_at DESC) = 1) WHERE NOT retracted ORDER BY t_in, station, unit LIMIT "
    "$2), " TRACE_SQL_SERIALS " SELECT p.unit, coalesce(u.serial, ''), "
    "p.station, p.place, p.t_in, p.t_out, p.status, p.probability FROM p LEFT JOIN u ON p.unit = "
    "u.unit ORDER BY p.t_in, p.station, p.unit";

static void put_text(struct buf *out, const char *name, const struct value *v)
{
    trace_json_name(out, name);
    trace_json_string(v->type == VALUE_NULL ? bytes_of_text("") : v->bytes, out);
}

static void put_time(struct buf *out, const char *name, const struct value *v)
{
    trace_json_time(out, name, v->type == VALUE_NULL ? INT64_MIN : v->i64);
}

static void put_probability(struct buf *out, const struct value *v)
{
    trace_json_name(out, "probability");
    if (v->type != VALUE_NULL && isfinite(v->f64))
        (void)buf_printf(out, "%.10g", v->f64);
    else
        (void)buf_append_text(out, "null");
}

static int stay_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct stays *s = ctx;
    if (count != STAYS_CELLS)
        return ERR_INTERNAL;
    if (s->count == s->limit) {
        s->truncated = true;
        return OK;
    }
    s->count++;
    trace_json_begin(&s->list);
    put_text(&s->list, "unit", &cells[0]);
    put_text(&s->list, "serial", &cells[1]);
    put_text(&s->list, "station", &cells[2]);
    put_text(&s->list, "place", &cells[3]);
    put_time(&s->list, "t_in", &cells[4]);
    put_time(&s->list, "t_out", &cells[5]);
    put_text(&s->list, "status", &cells[6]);
    put_probability(&s->list, &cells[7]);
    (void)buf_append_u8(&s->list, '}');
    return buf_error(&s->list);
}

static int stays_ask(struct stays *s, struct duck_conn *conn, const char *track, struct diag *diag)
{
    struct duck_stmt *stmt = NULL;
    int err = duck_prepare(conn, sql_stays, &stmt, diag);
    if (!err)
        err = duck_bind_time(stmt, 1, s->from_us);
    if (!err)
        err = duck_bind_i64(stmt, 2, s->limit + 1);
    if (!err)
        err = duck_bind_time(stmt, 3, s->to_us);
    if (!err)
        err = duck_bind_text(stmt, 4, track);
    if (!err)
        err = duck_run(stmt, stay_row, s, diag);
    duck_stmt_free(stmt);
    return err;
}

static int stays_read(struct stays *s, const struct call *c, struct diag *diag)
{
    struct value limit = call_arg(c, "limit");
    s->limit = limit.type == VALUE_NULL ? STAYS_DEFAULT : limit.i64;
    if (s->limit < 1 || s->limit > STAYS_MAX)
        return diag_set(diag, ERR_RANGE, 0, 0, "limit is 1 to %d", STAYS_MAX);
    int err = trace_read_time(c, "from", 0, &s->from_us, diag);
    if (!err)
        err = trace_read_time(c, "to", TRACE_NO_END_US, &s->to_us, diag);
    if (!err && s->from_us > s->to_us)
        err = diag_set(diag, ERR_INVALID, 0, 0, "from is later than to");
    return err;
}

static int stays_put(struct stays *s, struct bytes name, struct batch_builder *bb)
{
    int err = batch_builder_row(bb, s->from_us);
    err = err < 0 ? err : batch_set_bytes(bb, 0, name);
    if (err)
        return err;
    batch_set_i64(bb, 1, s->count);
    batch_set_bool(bb, 2, s->truncated);
    (void)buf_append_u8(&s->list, ']');
    err = buf_error(&s->list);
    return err ? err : batch_set_bytes(bb, 3, buf_bytes(&s->list));
}

void trace_stays_serve(void *owner, struct call *c)
{
    struct trace *t = owner;
    struct diag diag = {0};
    struct stays s = {0};
    struct arena arena = {0};
    struct duck_conn *conn = NULL;
    struct batch_builder *bb = NULL;
    struct value name = {.type = VALUE_NULL};
    int err = trace_read_key(c, "name", &name, &diag);
    const char *track = err ? NULL : arena_copy(&arena, name.bytes);
    if (!err)
        err = track ? stays_read(&s, c, &diag) : ERR_NOMEM;
    if (!err)
        err = historian_reader_open(t->historian, &conn);
    (void)buf_append_u8(&s.list, '[');
    if (!err)
        err = stays_ask(&s, conn, track, &diag);
    if (conn)
        historian_reader_close(t->historian, conn);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = stays_put(&s, name.bytes, bb);
    buf_fini(&s.list);
    arena_fini(&arena);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
