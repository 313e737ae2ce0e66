/* What trace actions make of rows, without storing it. See results.h.
 *
 * The rows are made by record.c, as those that are stored; only where they go is another place. */
#include "trace/results.h"

#include "trace/trace_priv.h"

#include <stdlib.h>

struct trace_results {
    struct trace trace; /* its characteristics are borrowed */
};

int trace_results_new(const struct trace *t, const struct config *config,
                      struct catalogue *catalogue, struct trace_results **ret, struct diag *diag)
{
    struct trace_results *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->trace.catalogue = catalogue;
    r->trace.characteristics = t->characteristics;
    r->trace.characteristic_count = t->characteristic_count;
    int err = trace_config_rules(&r->trace, config, catalogue, diag);
    if (err) {
        trace_results_free(r);
        return err;
    }
    *ret = r;
    return OK;
}

void trace_results_free(struct trace_results *r)
{
    if (!r)
        return;
    map_fini(&r->trace.rules);
    arena_fini(&r->trace.arena);
    free(r);
}

bool trace_results_has(const struct trace_results *r, const char *rule)
{
    return map_find_text(&r->trace.rules, rule) != NULL;
}

/* ----------------------------------------------------------------------------------------- telling
 */

struct teller {
    const char *rule;
    trace_result_fn fn;
    void *ctx;
};

static const struct value none = {.type = VALUE_NULL};

/* The columns of the tables, in the order of tables.c. */
static struct trace_result result_measure(const struct value *c)
{
    return (struct trace_result){.kind = TRACE_RESULT_MEASURE,
                                 .unit = c[0].bytes,
                                 .serial = c[15].bytes,
                                 .operation = c[4].bytes,
                                 .station = c[3].bytes,
                                 .name = c[5].bytes,
                                 .value = c[6],
                                 .at = c[11].i64};
}

static struct trace_result result_link(const struct value *c)
{
    return (struct trace_result){.kind = TRACE_RESULT_LINK,
                                 .unit = c[0].bytes,
                                 .operation = c[5].bytes,
                                 .station = c[6].bytes,
                                 .name = c[1].bytes,
                                 .type = c[2].bytes,
                                 .position = c[4].bytes,
                                 .value = c[3],
                                 .at = c[7].i64};
}

/* Those that begin with unit, serial, operation, station. */
static struct trace_result result_other(int table, const struct value *c)
{
    struct trace_result r = {.unit = c[0].bytes,
                             .serial = c[1].bytes,
                             .operation = c[2].bytes,
                             .station = c[3].bytes,
                             .value = none};
    if (table == TRACE_DEFECTS) {
        r.kind = TRACE_RESULT_DEFECT;
        r.name = c[4].bytes;
        r.position = c[5].bytes;
        r.at = c[6].i64;
    } else if (table == TRACE_FACTORS) {
        r.kind = TRACE_RESULT_FACTOR;
        r.type = c[4].bytes;
        r.name = c[5].bytes;
        r.value = c[6];
        r.at = c[8].i64;
    } else {
        r.kind = TRACE_RESULT_VERDICT;
        r.value = c[4];
        r.at = c[5].i64;
    }
    return r;
}

static int tell(void *ctx, int table, const struct value *cells)
{
    const struct teller *t = ctx;
    struct trace_result r = table == TRACE_MEASURES ? result_measure(cells)
                            : table == TRACE_LINKS  ? result_link(cells)
                                                    : result_other(table, cells);
    r.rule = bytes_of_text(t->rule);
    return t->fn(t->ctx, &r);
}

int trace_results_tell(const struct trace_results *r, const char *rule, const struct batch *rows,
                       trace_result_fn fn, void *ctx)
{
    const struct trace_rule *actions = map_find_text(&r->trace.rules, rule);
    struct teller teller = {rule, fn, ctx};
    const struct trace_sink sink = {.insert = tell, .ctx = &teller};
    const struct feed_record record = {.node = bytes_of_text(r->trace.catalogue->node),
                                       .stream = bytes_of_text(rule)};
    return actions ? trace_rows(&r->trace, actions, &record, rows, &sink) : OK;
}

/* ------------------------------------------------------------------------------------------ stored
 */

/* $1 = node, $2 and $3 = from and to, $4 = rules. A unit has the serial that is known of it now. */
#define STORED(time)                                                                               \
    " WHERE node = $1 AND NOT retracted AND " time " >= $2 AND " time                              \
    " < $3 AND list_contains(string_split($4, chr(10)), rule)"
#define AND_ALSO     " UNION ALL "
#define LINKS_STORED STORED("valid_from")
#define CHILDREN     TRACE_SQL_SERIALS_OF("c", "SELECT name FROM p WHERE kind = 4")

static const char sql_stored[] =
    "WITH p AS (SELECT 0 AS kind, rule, unit, coalesce(serial, '') AS serial, operation, station, "
    "characteristic AS name, '' AS type, '' AS position, value AS number, NULL AS text, "
    "measured_at AS t, known_at, revision FROM measures" STORED("measured_at") AND_ALSO
    "SELECT 1, rule, unit, serial, operation, station, name, kind, '', NULL, value, \"at\", "
    "known_at, revision FROM factors" STORED("\"at\"") AND_ALSO
    "SELECT 2, rule, unit, serial, operation, station, defect, '', \"position\", NULL, NULL, "
    "detected_at, known_at, revision FROM defects" STORED("detected_at") AND_ALSO
    "SELECT 3, rule, unit, serial, operation, station, '', '', '', NULL, verdict, decided_at, "
    "known_at, revision FROM verdicts" STORED("decided_at") AND_ALSO
    "SELECT 4, rule, parent, '', operation, station, child, kind, \"position\", quantity, NULL, "
    "valid_from, known_at, revision FROM links" LINKS_STORED "), " TRACE_SQL_SERIALS ", " CHILDREN
    " SELECT p.kind, p.rule, p.unit, CASE WHEN p.serial <> '' THEN p.serial ELSE "
    "coalesce(u.serial, '') END, p.operation, p.station, coalesce(c.serial, p.name), p.type, "
    "p.position, p.number, p.text, p.t FROM p LEFT JOIN u ON p.unit = u.unit LEFT JOIN c ON p.kind "
    "= 4 AND c.unit = p.name ORDER BY p.known_at, p.revision, p.kind, p.rule, p.t, p.unit, "
    "p.serial, p.name, p.position";

static int stored_row(void *ctx, const struct value *c, uint32_t count)
{
    const struct teller *t = ctx;
    if (count != 12)
        return ERR_INTERNAL;
    const struct trace_result r = {
        .kind = (enum trace_result_kind)c[0].i64,
        .rule = c[1].bytes,
        .unit = c[2].bytes,
        .serial = c[3].bytes,
        .operation = c[4].bytes,
        .station = c[5].bytes,
        .name = c[6].bytes,
        .type = c[7].bytes,
        .position = c[8].bytes,
        .value = c[9].type == VALUE_NULL ? c[10] : c[9],
        .at = c[11].i64,
    };
    return t->fn(t->ctx, &r);
}

int trace_results_stored(struct duck_conn *conn, const struct trace_results_asked *asked,
                         trace_result_fn fn, void *ctx, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    struct teller teller = {"", fn, ctx};
    int err = duck_statement(conn, sql_stored, &s, diag);
    if (!err)
        err = duck_bind_text(s, 1, asked->node);
    if (!err)
        err = duck_bind_time(s, 2, asked->from_us);
    if (!err)
        err = duck_bind_time(s, 3, asked->to_us);
    if (!err)
        err = duck_bind_text(s, 4, asked->rules);
    return err ? err : duck_run(s, stored_row, &teller, diag);
}
