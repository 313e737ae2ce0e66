/* The call trace.units: what was made lately. See trace.h. */
#include "base/clock.h"
#include "trace/trace_priv.h"

#define UNITS_DEFAULT 100

static const struct call_field units_request[] = {
    {"since", VALUE_STRING, 0, false, "only visits that ended after this time (RFC 3339)"},
    {"limit", VALUE_INT64, 0, false, "rows at most; default 100"},
    {0},
};

static const struct call_field units_answer[] = {
    {"unit", VALUE_STRING, 0, true, "id of the unit"},
    {"serial", VALUE_STRING, 0, true, "its serial number"},
    {"station", VALUE_STRING, 0, true, "where it was"},
    {"t_in", VALUE_TIMESTAMP, 0, false, "since when"},
    {"t_out", VALUE_TIMESTAMP, 0, false, "until when"},
    {"status", VALUE_STRING, 0, true, "how sure that is: exact, inferred, ambiguous, missing"},
    {"verdict", VALUE_STRING, 0, true, "pass, fail or unknown"},
    {0},
};

const struct call_spec trace_units_spec = {
    .name = "trace.units",
    .doc = "Lists the latest visits of units, the last first.",
    .role = CALL_VIEWER,
    .request = units_request,
    .answer = units_answer,
};

/* $1 = since, $2 = rows. The measures are cut by the units of the answer before they are ranked. */
static const char sql_units[] =
    "WITH s AS (SELECT * FROM (SELECT * FROM steps WHERE t_out >= $1 QUALIFY row_number() OVER "
    "(PARTITION BY node, track, unit ORDER BY known_at DESC, revision DESC) = 1) WHERE NOT "
    "retracted "
    "ORDER BY t_out DESC LIMIT $2), "
    "m AS (SELECT unit, " TRACE_SQL_OK " AS ok FROM (SELECT * FROM measures WHERE unit IN (SELECT "
    "unit FROM s) QUALIFY row_number() OVER (PARTITION BY unit, operation, characteristic ORDER BY "
    "known_at DESC, revision DESC) = 1) WHERE NOT retracted), "
    "v AS (SELECT unit, bool_and(ok) AS ok FROM m GROUP BY unit), "
    "u AS (SELECT unit, arg_max(serial, known_at) AS serial FROM units WHERE unit IN (SELECT unit "
    "FROM s) AND NOT retracted GROUP BY unit) "
    "SELECT s.unit, coalesce(u.serial, ''), s.station, s.t_in, s.t_out, "
    "s.status, " TRACE_SQL_VERDICT
    " FROM s LEFT JOIN v ON s.unit = v.unit LEFT JOIN u ON s.unit = u.unit ORDER "
    "BY s.t_out DESC";

static int units_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct batch_builder *bb = ctx;
    int err = batch_builder_row(bb, cells[4].i64);
    err = err < 0 ? err : OK;
    for (uint32_t i = 0; !err && i < count; i++)
        err = batch_set_value(bb, i, &cells[i]);
    return err;
}

static int units_fill(struct duck_conn *conn, int64_t since_us, int64_t limit,
                      struct batch_builder *bb, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(conn, sql_units, &s, diag);
    if (!err)
        err = duck_bind_time(s, 1, since_us);
    if (!err)
        err = duck_bind_i64(s, 2, limit);
    if (!err)
        err = duck_run(s, units_row, bb, diag);
    duck_stmt_free(s);
    return err;
}

static int units_read(const struct call *c, int64_t *ret_since_us, int64_t *ret_limit,
                      struct diag *diag)
{
    struct value since = call_arg(c, "since");
    struct value limit = call_arg(c, "limit");
    *ret_since_us = 0;
    *ret_limit = limit.type == VALUE_NULL ? UNITS_DEFAULT : limit.i64;
    if (*ret_limit < 1 || *ret_limit > TRACE_UNITS_MAX)
        return diag_set(diag, ERR_RANGE, 0, 0, "limit is 1 to %d", TRACE_UNITS_MAX);
    if (since.type == VALUE_STRING && clock_parse(since.bytes, ret_since_us))
        return diag_set(diag, ERR_INVALID, 0, 0, "since is a time such as 2026-11-22T08:30:00Z");
    return OK;
}

void trace_units_serve(void *owner, struct call *c)
{
    const struct trace *t = owner;
    struct diag diag = {0};
    struct duck_conn *conn = NULL;
    struct batch_builder *bb = NULL;
    int64_t since_us = 0;
    int64_t limit = 0;
    int err = units_read(c, &since_us, &limit, &diag);
    if (!err)
        err = call_answer_builder(c, (uint32_t)limit, &bb);
    if (!err)
        err = historian_reader_open(t->historian, &conn);
    if (!err)
        err = units_fill(conn, since_us, limit, bb, &diag);
    if (conn)
        historian_reader_close(t->historian, conn);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
