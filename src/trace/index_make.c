/* Making the adjacency index anew, from the other tables: of a database from before there was one,
 * or whose index was lost or damaged. See index_store.h.
 *
 * Each TAIL_ENTRIES_MAX entries become a run, so that it takes the memory of one tail; and what has
 * to be joined or sorted comes in parts that the database can hold in some ten megabytes. */
#include "trace/index_keep.h"

#include <stdio.h>

#define PART_ENTRIES 100000 /* of aliases and links; rows are as many again */

/* Each visit has an entry or two and each link has two: with fewer, some were lost. */
static const char sql_wanted[] =
    "SELECT CAST((SELECT count(*) + count(*) FILTER (serial <> '') FROM units) + 2 * (SELECT "
    "count(*) FROM links) AS BIGINT)";

/* What joins or sorts is asked in parts, $1 of them, of which this is $2. */
#define IN_PART(columns) "hash(" columns ") % CAST($1 AS UBIGINT) = CAST($2 AS UBIGINT)"

static const char sql_aliases[] =
    "SELECT u.unit, u.serial, u.track, coalesce(u.station, ''), u.valid_from, u.known_at, "
    "u.revision, s.t_out, coalesce(u.visit, 0) FROM (SELECT * FROM units WHERE " IN_PART(
        "unit") ") u LEFT JOIN (SELECT unit, track, revision, max(t_out) AS t_out FROM steps WHERE "
                "" IN_PART("unit") " GROUP BY unit, track, revision) s ON u.unit = s.unit AND "
                                   "u.track = s.track AND u.revision = s.revision";

static const char sql_links[] =
    "SELECT parent, child, kind, position, valid_from, known_at, revision, quantity FROM links";

#define ROWS(at, table)                                                                            \
    "SELECT DISTINCT unit, serial, " at ", known_at, revision FROM " table                         \
    " WHERE " IN_PART("unit, serial")

static const char sql_rows[] =
    ROWS("measured_at", "measures") " UNION " ROWS("\"at\"", "factors") " UNION " ROWS(
        "detected_at", "defects") " UNION " ROWS("decided_at", "verdicts");

struct making {
    struct index_store *store;
    struct index_runs *runs;
    struct tail tail;
    struct diag *diag;
};

int index_wanted(struct duck_conn *conn, int64_t *ret, struct diag *diag)
{
    return index_statement(conn, sql_wanted, NULL, 0, duck_row_i64, ret, diag);
}

static int making_run(struct making *m)
{
    struct index_run r;
    int err = m->tail.count ? index_run_of_tail(m->store, &m->tail, &r, m->diag) : ERR_NOT_FOUND;
    tail_fini(&m->tail);
    if (err)
        return err == ERR_NOT_FOUND ? OK : err;
    err = index_runs_add(m->runs, &r);
    if (err)
        index_run_remove(m->store, &r);
    return err;
}

static int making_sink(void *ctx, uint64_t hash, struct bytes entry)
{
    struct making *m = ctx;
    int err = tail_add(&m->tail, hash, entry);
    return err || m->tail.count < m->store->tail_max ? err : making_run(m);
}

static int making_alias(void *ctx, const struct value *c, uint32_t count)
{
    char visit[TRACE_VISIT_BYTES_MAX];
    struct trace_mark a = {
        .t_from = c[4].i64, .t_to = c[7], .known_at = c[5].i64, .revision = c[6].i64};
    if (count != 9)
        return ERR_INTERNAL;
    trace_visit_name(c[2].bytes, c[3].bytes, c[8].i64, visit);
    a.kind = visit;
    return trace_index_alias(making_sink, ctx, c[0].bytes, c[1].bytes, &a);
}

static int making_link(void *ctx, const struct value *c, uint32_t count)
{
    char kind[64];
    const struct bytes keys[] = {c[0].bytes, c[1].bytes};
    struct trace_mark a = {.position = c[3].bytes,
                           .t_from = c[4].i64,
                           .known_at = c[5].i64,
                           .revision = c[6].i64,
                           .quantity = c[7]};
    if (count != 8)
        return ERR_INTERNAL;
    (void)snprintf(kind, sizeof kind, "%.*s", (int)c[2].bytes.len, (const char *)c[2].bytes.ptr);
    a.kind = kind;
    return trace_index_link(making_sink, ctx, keys, &a);
}

static int making_row(void *ctx, const struct value *c, uint32_t count)
{
    struct trace_mark a = {.role = TRACE_HAS_ROWS,
                           .t_from = c[2].i64,
                           .t_to = c[2],
                           .known_at = c[3].i64,
                           .revision = c[4].i64};
    if (count != 5)
        return ERR_INTERNAL;
    bool named = c[1].type == VALUE_STRING && c[1].bytes.len;
    return trace_index_insert(making_sink, ctx, named ? c[1].bytes : c[0].bytes, &a);
}

static int making_parts(struct making *m, struct duck_conn *conn, int64_t parts)
{
    int err = OK;
    for (int64_t i = 0; !err && i < parts; i++) {
        const int64_t part[] = {parts, i};
        err = index_statement(conn, sql_aliases, part, 2, making_alias, m, m->diag);
        if (!err)
            err = index_statement(conn, sql_rows, part, 2, making_row, m, m->diag);
    }
    return err;
}

int index_make(struct index_store *store, struct duck_conn *conn, int64_t wanted,
               struct index_runs *ret, struct diag *diag)
{
    struct making m = {.store = store, .runs = ret, .diag = diag};
    int err = index_statement(conn, sql_links, NULL, 0, making_link, &m, diag);
    if (!err)
        err = making_parts(&m, conn, 1 + wanted / PART_ENTRIES);
    if (!err)
        err = making_run(&m);
    tail_fini(&m.tail);
    return err;
}
