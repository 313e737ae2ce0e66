/* The call trace.unit: everything about one unit. See trace.h.
 *
 * The rows are insert-only, so each statement first picks what was known at the moment asked for,
 * then the latest revision of each key. A serial may be carried by several visits, each with a unit
 * id of its own: they are one unit to whoever asks by the serial.
 */
#include "base/clock.h"
#include "base/str.h"
#include "trace/trace_priv.h"

#include <stdlib.h>
#include <string.h>

/* 9999-12-31: after everything. */
#define TRACE_NO_END_US  ((int64_t)253402214400000000)
#define TRACE_ROWS_MAX   10000
#define TRACE_BYTES_MAX  (16u << 20)
#define TRACE_VISITS_MAX 1000

static const struct call_field unit_request[] = {
    {"serial", VALUE_STRING, 0, true, "serial number, or the unit's id"},
    {"as_of", VALUE_STRING, 0, false, "as known at this time (RFC 3339); default: now"},
    {0},
};

static const struct call_field unit_answer[] = {
    {"unit", VALUE_STRING, 0, true, "id of the unit, as of its latest visit"},
    {"serial", VALUE_STRING, 0, true, "its serial number"},
    {"verdict", VALUE_STRING, 0, true, "pass, fail or unknown"},
    {"serials", VALUE_STRING, FIELD_JSON, true, "serials and ids it is known by, since when"},
    {"steps", VALUE_STRING, FIELD_JSON, true, "its visits in the order of time"},
    {"measures", VALUE_STRING, FIELD_JSON, true, "what was measured, with limits"},
    {"curves", VALUE_STRING, FIELD_JSON, true,
     "the signals during its visits, [time in µs, value]"},
    {0},
};

const struct call_spec trace_unit_spec = {
    .name = "trace.unit",
    .doc = "Tells where a unit was and when, its measures, verdict and curves.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = unit_request,
    .answer = unit_answer,
};

/* $1 = serial or id, $2 = as of. */
#define UNIT_IDS                                                                                   \
    "WITH ids AS (SELECT * FROM (SELECT * FROM units WHERE (serial = $1 OR unit = $1) AND "        \
    "known_at <= $2 QUALIFY row_number() OVER (PARTITION BY unit, serial ORDER BY known_at DESC, " \
    "revision DESC) = 1) WHERE NOT retracted), "                                                   \
    "m AS (SELECT *, " TRACE_SQL_OK " AS ok FROM (SELECT * FROM measures WHERE unit IN (SELECT "   \
    "unit FROM ids) AND known_at <= $2 QUALIFY row_number() OVER (PARTITION BY unit, operation, "  \
    "characteristic ORDER BY known_at DESC, revision DESC) = 1) WHERE NOT retracted), "            \
    "v AS (SELECT unit, any_value(operation) AS operation, bool_and(ok) AS ok FROM m GROUP BY "    \
    "unit), "                                                                                      \
    "s AS (SELECT * FROM (SELECT * FROM steps WHERE unit IN (SELECT unit FROM ids) AND known_at "  \
    "<= $2 QUALIFY row_number() OVER (PARTITION BY node, track, unit ORDER BY known_at DESC, "     \
    "revision DESC) = 1) WHERE NOT retracted), "                                                   \
    "w AS (SELECT s.*, coalesce(v.operation, s.station) AS operation, " TRACE_SQL_VERDICT          \
    " AS verdict FROM s LEFT JOIN v ON s.unit = v.unit) "

/* The latest visit to a station counts: a unit that was reworked and passed is good. */
static const char sql_head[] =
    UNIT_IDS ", last AS (SELECT * FROM w QUALIFY row_number() OVER (PARTITION BY node, station "
             "ORDER BY t_in DESC) = 1) SELECT (SELECT arg_max(unit, valid_from) FROM ids), (SELECT "
             "arg_max(serial, valid_from) FROM ids), (SELECT CASE WHEN bool_or(verdict = 'fail') "
             "THEN 'fail' WHEN bool_or(verdict = 'pass') THEN 'pass' ELSE 'unknown' END FROM last)";

static const char sql_serials[] =
    UNIT_IDS "SELECT serial, unit, status, valid_from, valid_to FROM ids ORDER BY valid_from";

static const char sql_steps[] =
    UNIT_IDS "SELECT station, operation, t_in, t_out, status, nullif(result, '') AS result, "
             "verdict, probability, evidence, place, node, track, unit FROM w ORDER BY t_in";

static const char sql_measures[] =
    UNIT_IDS "SELECT characteristic, operation, station, value, lower, upper, target, uom, ok, "
             "measured_at, unit FROM m ORDER BY measured_at, characteristic";

static const char sql_visits[] =
    UNIT_IDS "SELECT node, track, station, t_in, t_out FROM w WHERE t_in IS NOT NULL AND t_out IS "
             "NOT NULL ORDER BY t_in";

/* What was asked, and the answer as it grows. */
struct asking {
    const struct trace *trace;
    struct duck_conn *conn;
    struct diag *diag;
    struct value serial;
    int64_t as_of_us;
    struct arena arena; /* texts of the head and the visits */
    const char *unit;
    const char *name;
    const char *verdict;
    struct trace_visit *visits;
    uint32_t visit_count;
};

static int asking_prepare(struct asking *a, const char *sql, struct duck_stmt **ret)
{
    int err = duck_prepare(a->conn, sql, ret, a->diag);
    if (!err)
        err = duck_bind(*ret, 1, &a->serial);
    if (!err)
        err = duck_bind_time(*ret, 2, a->as_of_us);
    return err;
}

static int asking_rows(struct asking *a, const char *sql, duck_row_fn fn)
{
    struct duck_stmt *s = NULL;
    int err = asking_prepare(a, sql, &s);
    if (!err)
        err = duck_run(s, fn, a, a->diag);
    duck_stmt_free(s);
    return err;
}

/* The rows of sql as a JSON list into a column of the answer. */
static int asking_json(struct asking *a, const char *sql, struct batch_builder *bb, uint32_t col)
{
    const struct duck_limits limits = {TRACE_ROWS_MAX, TRACE_BYTES_MAX, INT64_MAX};
    struct duck_stmt *s = NULL;
    struct duck_answer answer = {0};
    int err = asking_prepare(a, sql, &s);
    if (!err)
        err = duck_print(s, DUCK_JSON, &limits, &answer, a->diag);
    if (!err)
        err = batch_set_bytes(bb, col, buf_bytes(&answer.text));
    duck_answer_fini(&answer);
    duck_stmt_free(s);
    return err;
}

static const char *asking_text(struct asking *a, const struct value *v)
{
    return arena_copy(&a->arena, v->type == VALUE_STRING ? v->bytes : bytes_of_text(""));
}

static int head_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct asking *a = ctx;
    if (count != 3)
        return ERR_INTERNAL;
    if (cells[0].type == VALUE_NULL)
        return ERR_NOT_FOUND;
    a->unit = asking_text(a, &cells[0]);
    a->name = asking_text(a, &cells[1]);
    a->verdict = asking_text(a, &cells[2]);
    return a->unit && a->name && a->verdict ? OK : ERR_NOMEM;
}

static int visit_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct asking *a = ctx;
    if (count != 5 || a->visit_count == TRACE_VISITS_MAX)
        return OK;
    struct trace_visit *v = &a->visits[a->visit_count++];
    *v = (struct trace_visit){.node = asking_text(a, &cells[0]),
                              .track = asking_text(a, &cells[1]),
                              .station = asking_text(a, &cells[2]),
                              .t_in = cells[3].i64,
                              .t_out = cells[4].i64};
    return v->node && v->track && v->station ? OK : ERR_NOMEM;
}

static int asking_curves(struct asking *a, struct batch_builder *bb, uint32_t col)
{
    struct buf out = {0};
    a->visits = arena_array(&a->arena, TRACE_VISITS_MAX, sizeof *a->visits);
    int err = a->visits ? asking_rows(a, sql_visits, visit_row) : ERR_NOMEM;
    if (!err)
        err = trace_curves(a->trace, a->conn, a->visits, a->visit_count, &out, a->diag);
    if (!err)
        err = batch_set_bytes(bb, col, buf_bytes(&out));
    buf_fini(&out);
    return err;
}

static int asking_fill(struct asking *a, struct batch_builder *bb)
{
    int err = batch_builder_row(bb, clock_wall_us()) < 0 ? ERR_NOMEM : OK;
    if (!err)
        err = asking_rows(a, sql_head, head_row);
    if (err == ERR_NOT_FOUND)
        return diag_set(a->diag, err, 0, 0, "no unit has the serial or id %.*s",
                        (int)a->serial.bytes.len, (const char *)a->serial.bytes.ptr);
    if (!err)
        err = batch_set_bytes(bb, 0, bytes_of_text(a->unit));
    if (!err)
        err = batch_set_bytes(bb, 1, bytes_of_text(a->name));
    if (!err)
        err = batch_set_bytes(bb, 2, bytes_of_text(a->verdict));
    if (!err)
        err = asking_json(a, sql_serials, bb, 3);
    if (!err)
        err = asking_json(a, sql_steps, bb, 4);
    if (!err)
        err = asking_json(a, sql_measures, bb, 5);
    return err ? err : asking_curves(a, bb, 6);
}

static int asking_read(struct asking *a, const struct call *c)
{
    a->serial = call_arg(c, "serial");
    struct value as_of = call_arg(c, "as_of");
    a->as_of_us = TRACE_NO_END_US;
    if (a->serial.type != VALUE_STRING || a->serial.bytes.len == 0 ||
        a->serial.bytes.len > TRACE_SERIAL_BYTES_MAX || !str_is_utf8(a->serial.bytes))
        return diag_set(a->diag, ERR_INVALID, 0, 0, "serial is missing or longer than %d bytes",
                        TRACE_SERIAL_BYTES_MAX);
    if (as_of.type == VALUE_STRING && clock_parse(as_of.bytes, &a->as_of_us))
        return diag_set(a->diag, ERR_INVALID, 0, 0, "as_of is a time such as 2026-11-22T08:30:00Z");
    return OK;
}

void trace_unit_serve(void *owner, struct call *c)
{
    const struct trace *t = owner;
    struct diag diag = {0};
    struct asking a = {.trace = t, .diag = &diag};
    struct batch_builder *bb = NULL;
    int err = asking_read(&a, c);
    if (!err)
        err = historian_reader_open(t->historian, &a.conn);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = asking_fill(&a, bb);
    if (a.conn)
        historian_reader_close(t->historian, a.conn);
    arena_fini(&a.arena);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
