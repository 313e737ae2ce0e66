/* The adjacency: what is found by a key (a serial, a unit's id, a lot), in both directions.
 *
 * One table beside the others, written in their transaction, so that it is never behind. A key is
 * kept as its 64-bit hash: looking a key up is a scan of one column of whole numbers, or of some
 * row groups of it, and each row tells the other key and the time. A walk through the genealogy is
 * one lookup a step for all keys of the step together, and no table is ever joined with itself;
 * the time says in which row groups of the other tables the unit's rows lie.
 *
 * It holds nothing that the other tables do not: it can be dropped and is then made anew.
 */
#include "base/log.h"
#include "trace/trace_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a, then mixed so that its high bits are as good as its low ones. */
uint64_t trace_hash(struct bytes key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ key.ptr[i]) * 0x100000001b3u;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

void trace_visit_name(struct bytes track, struct bytes station, char *out)
{
    (void)snprintf(out, TRACE_VISIT_BYTES_MAX, "%.*s/%.*s", (int)track.len, (const char *)track.ptr,
                   (int)station.len, (const char *)station.ptr);
}

/* --------------------------------------------------------------------------------------- writing
 */

int trace_index_txn(void *txn, const struct value *cells)
{
    return historian_insert(txn, &trace_tables[TRACE_ADJACENCY], cells);
}

int trace_index_insert(trace_index_sink sink, void *ctx, struct bytes key,
                       const struct trace_adjacency *a)
{
    const struct value cells[] = {
        {.type = VALUE_UINT64, .u64 = trace_hash(key)},
        {.type = VALUE_UINT64, .u64 = a->role},
        cell_from_text(a->other),
        cell_from_text(bytes_of_text(a->kind ? a->kind : "")),
        cell_from_text(a->position),
        cell_from_time(a->t_from),
        a->t_to,
        cell_from_time(a->known_at),
        cell_from_count(a->revision),
    };
    return sink(ctx, cells);
}

/* Two keys that find each other. */
static int index_pair(trace_index_sink sink, void *ctx, const struct bytes keys[2],
                      const enum trace_role roles[2], const struct trace_adjacency *like)
{
    struct trace_adjacency a = *like;
    int err = OK;
    for (int i = 0; !err && i < 2; i++) {
        a.role = roles[i];
        a.other = keys[1 - i];
        err = trace_index_insert(sink, ctx, keys[i], &a);
    }
    return err;
}

int trace_index_alias(trace_index_sink sink, void *ctx, struct bytes unit, struct bytes serial,
                      const struct trace_adjacency *like)
{
    const enum trace_role roles[] = {TRACE_IS_SERIAL, TRACE_IS_UNIT};
    struct trace_adjacency a = *like;
    a.role = TRACE_IS_SERIAL;
    if (serial.len == 0)
        return trace_index_insert(sink, ctx, unit, &a);
    return index_pair(sink, ctx, (const struct bytes[]){unit, serial}, roles, like);
}

int trace_index_link(trace_index_sink sink, void *ctx, const struct bytes keys[2],
                     const struct trace_adjacency *like)
{
    const enum trace_role roles[] = {TRACE_HAS_CHILD, TRACE_HAS_PARENT};

    return index_pair(sink, ctx, keys, roles, like);
}

/* -------------------------------------------------------------------------------------- making it
 */

#define EMPTY_TABLES                                                                               \
    "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM adjacency) AND (EXISTS (SELECT 1 FROM units) OR "    \
    "EXISTS (SELECT 1 FROM links))"

static const char sql_aliases[] =
    "SELECT u.unit, u.serial, u.track, coalesce(u.station, ''), u.valid_from, u.known_at, "
    "u.revision, s.t_out FROM units u LEFT JOIN (SELECT unit, track, revision, max(t_out) AS t_out "
    "FROM steps GROUP BY unit, track, revision) s ON u.unit = s.unit AND u.track = s.track AND "
    "u.revision = s.revision";

static const char sql_links[] =
    "SELECT parent, child, kind, position, valid_from, known_at, revision FROM links";

static const char sql_rows[] =
    "SELECT DISTINCT unit, serial, measured_at, known_at, revision FROM measures UNION SELECT "
    "DISTINCT unit, serial, \"at\", known_at, revision FROM factors UNION SELECT DISTINCT unit, "
    "serial, detected_at, known_at, revision FROM defects UNION SELECT DISTINCT unit, serial, "
    "decided_at, known_at, revision FROM verdicts";

/* Rows on their way into an appender. */
struct making {
    struct duck_appender *appender;
    struct diag *diag;
    uint32_t rows;
    uint64_t total;
};

static int making_sink(void *ctx, const struct value *cells)
{
    struct making *m = ctx;
    const struct duck_vector *v = duck_appender_vectors(m->appender);
    uint32_t i = m->rows;
    ((uint64_t *)v[0].data)[i] = cells[0].u64;
    ((uint8_t *)v[1].data)[i] = (uint8_t)cells[1].u64;
    for (int c = 2; c < 5; c++)
        duck_vector_set_bytes(&v[c], i, cells[c].bytes);
    ((int64_t *)v[5].data)[i] = cells[5].i64;
    if (cells[6].type != VALUE_NULL) {
        duck_vector_set_valid(&v[6], i);
        ((int64_t *)v[6].data)[i] = cells[6].i64;
    }
    ((int64_t *)v[7].data)[i] = cells[7].i64;
    ((int64_t *)v[8].data)[i] = cells[8].i64;
    m->total++;
    if (++m->rows < DUCK_CHUNK_ROWS)
        return OK;
    m->rows = 0;
    return duck_appender_push(m->appender, DUCK_CHUNK_ROWS, m->diag);
}

static int making_alias(void *ctx, const struct value *c, uint32_t count)
{
    char visit[TRACE_VISIT_BYTES_MAX];
    struct trace_adjacency a = {
        .t_from = c[4].i64, .t_to = c[7], .known_at = c[5].i64, .revision = c[6].i64};
    if (count != 8)
        return ERR_INTERNAL;
    trace_visit_name(c[2].bytes, c[3].bytes, visit);
    a.kind = visit;
    return trace_index_alias(making_sink, ctx, c[0].bytes, c[1].bytes, &a);
}

static int making_link(void *ctx, const struct value *c, uint32_t count)
{
    char kind[64];
    const struct bytes keys[] = {c[0].bytes, c[1].bytes};
    struct trace_adjacency a = {
        .position = c[3].bytes, .t_from = c[4].i64, .known_at = c[5].i64, .revision = c[6].i64};
    if (count != 7)
        return ERR_INTERNAL;
    (void)snprintf(kind, sizeof kind, "%.*s", (int)c[2].bytes.len, (const char *)c[2].bytes.ptr);
    a.kind = kind;
    return trace_index_link(making_sink, ctx, keys, &a);
}

static int making_row(void *ctx, const struct value *c, uint32_t count)
{
    struct trace_adjacency a = {.role = TRACE_HAS_ROWS,
                                .t_from = c[2].i64,
                                .t_to = c[2],
                                .known_at = c[3].i64,
                                .revision = c[4].i64};
    if (count != 5)
        return ERR_INTERNAL;
    bool named = c[1].type == VALUE_STRING && c[1].bytes.len;
    return trace_index_insert(making_sink, ctx, named ? c[1].bytes : c[0].bytes, &a);
}

static int making_run(struct duck_conn *conn, struct making *m, const char *sql, duck_row_fn fn)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(conn, sql, &s, m->diag);
    if (!err)
        err = duck_run(s, fn, m, m->diag);
    duck_stmt_free(s);
    return err;
}

static int making_all(struct duck_conn *conn, struct making *m)
{
    const struct historian_table *t = &trace_tables[TRACE_ADJACENCY];
    int err = duck_appender_new(conn, t->name, t->columns, t->column_count, &m->appender, m->diag);
    if (!err)
        err = making_run(conn, m, sql_aliases, making_alias);
    if (!err)
        err = making_run(conn, m, sql_links, making_link);
    if (!err)
        err = making_run(conn, m, sql_rows, making_row);
    if (!err && m->rows)
        err = duck_appender_push(m->appender, m->rows, m->diag);
    if (!err)
        err = duck_appender_flush(m->appender, m->diag);
    duck_appender_free(m->appender);
    return err;
}

static int row_seen(void *ctx, const struct value *cells, uint32_t count)
{
    (void)cells;
    (void)count;
    *(bool *)ctx = true;
    return OK;
}

int trace_index_ensure(void *ctx, struct duck_conn *conn, struct diag *diag)
{
    struct making m = {.diag = diag};
    bool empty = false;
    struct duck_stmt *s = NULL;
    (void)ctx;
    int err = duck_prepare(conn, EMPTY_TABLES, &s, diag);
    if (!err)
        err = duck_run(s, row_seen, &empty, diag);
    duck_stmt_free(s);
    if (err || !empty)
        return err;
    err = duck_exec(conn, "BEGIN TRANSACTION", diag);
    if (!err)
        err = making_all(conn, &m);
    if (err)
        (void)duck_exec(conn, "ROLLBACK", NULL);
    else
        err = duck_exec(conn, "COMMIT", diag);
    if (!err)
        log_info("trace", "the index of units was made: %" PRIu64 " entries", m.total);
    return err;
}

/* --------------------------------------------------------------------------------------- reading
 */

/* $1 = hashes, $2 = roles, $3 = as of, $4 = rows at most */
static const char sql_find[] =
    "SELECT hash, role, other, kind, position, t_from, coalesce(t_to, t_from), known_at, revision "
    "FROM adjacency WHERE hash IN (SELECT unnest(CAST(string_split($1, ' ') AS UBIGINT[]))) AND "
    "($2 >> role) & 1 = 1 AND known_at <= $3 LIMIT $4";

struct finding {
    struct arena *arena;
    struct map numbers; /* hash → number + 1 */
    struct trace_entries *out;
};

static int find_row(void *ctx, const struct value *c, uint32_t count)
{
    struct finding *f = ctx;
    struct trace_entries *out = f->out;
    if (count != 9)
        return ERR_INTERNAL;
    if (out->count == TRACE_ENTRIES_MAX) {
        out->truncated = true;
        return OK;
    }
    if (out->count == out->cap) {
        uint32_t cap = out->cap ? out->cap * 2 : 64;
        struct trace_entry *more = arena_array(f->arena, cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        if (out->count)
            memcpy(more, out->items, out->count * sizeof *more);
        out->items = more;
        out->cap = cap;
    }
    uintptr_t number = (uintptr_t)map_find(&f->numbers, bytes_of(&c[0].u64, sizeof c[0].u64));
    struct trace_entry e = {
        .key = (uint32_t)number - 1,
        .role = (enum trace_role)c[1].u64,
        .other = arena_copy(f->arena, c[2].bytes),
        .kind = arena_copy(f->arena, c[3].bytes),
        .position = arena_copy(f->arena, c[4].bytes),
        .t_from = c[5].i64,
        .t_to = c[6].i64,
        .known_at = c[7].i64,
        .revision = c[8].i64,
    };
    out->items[out->count++] = e;
    return number && e.other && e.kind && e.position ? OK : ERR_NOMEM;
}

static int find_hashes(struct finding *f, const char *const *keys, uint32_t count, struct buf *text)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        uint64_t h = trace_hash(bytes_of_text(keys[i]));
        (void)buf_printf(text, "%s%" PRIu64, i ? " " : "", h);
        err = map_put(&f->numbers, bytes_of(&h, sizeof h), (void *)(uintptr_t)(i + 1), NULL);
    }
    return err ? err : buf_error(text);
}

int trace_index_find(struct duck_conn *conn, struct arena *arena, const char *const *keys,
                     uint32_t count, unsigned roles, int64_t as_of_us, struct trace_entries *ret,
                     struct diag *diag)
{
    struct finding f = {.arena = arena, .out = ret};
    struct duck_stmt *s = NULL;
    struct buf text = {0};
    *ret = (struct trace_entries){0};
    if (count == 0)
        return OK;
    int err = find_hashes(&f, keys, count, &text);
    if (!err)
        err = duck_prepare(conn, sql_find, &s, diag);
    if (!err)
        err = duck_bind_text(s, 1, buf_text(&text));
    if (!err)
        err = duck_bind_i64(s, 2, (int64_t)roles);
    if (!err)
        err = duck_bind_time(s, 3, as_of_us);
    if (!err)
        err = duck_bind_i64(s, 4, TRACE_ENTRIES_MAX + 1);
    if (!err)
        err = duck_run(s, find_row, &f, diag);
    duck_stmt_free(s);
    buf_fini(&text);
    map_fini(&f.numbers);
    return err;
}
