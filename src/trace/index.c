/* The adjacency index: what is found by a key (a serial, a unit's id, a lot), in both directions.
 *
 * Written in the transaction of the rows it tells of, so that it is never behind. A row is a 64-bit
 * hash of the key and one text: the other key, how the two belong together, and when. New rows go
 * to trace_index_tail; when there are enough of them they are moved, sorted, to trace_index. That
 * consists of sorted runs then, and of each run DuckDB's statistics leave one piece of some
 * thousand rows to be read; RUNS_MAX runs are made one, which is what keeps a lookup short.
 *
 * What a lookup costs is the memory it reads: with 1.6 million rows in eight runs and half of
 * 200,000 unsorted ones, 5 MB and 1 ms; in one or two runs and half of 100,000, 1 MB. DuckDB's own
 * index would be faster, but has to stay in memory, and an edge has not got that.
 *
 * A walk through the genealogy is some lookups a step, and no table is ever joined with itself; the
 * times say in which row groups of the other tables the unit's rows lie. The index holds nothing
 * that the other tables do not: it can be dropped and is then made anew.
 */
#include "base/log.h"
#include "base/str.h"
#include "trace/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ENTRY_SEPARATOR 0x1f
#define TAIL_ROWS_MAX   100000
#define TAIL_ROWS_MANY  400000  /* beside more than WHOLE_ROWS_MAX */
#define RUNS_MAX        4       /* then they become one, … */
#define WHOLE_ROWS_MAX  4000000 /* … as long as that takes seconds */
#define TAIL_COMMITS    16      /* it is looked at every so many commits */
#define KEYS_SINGLY_MAX 256     /* more keys than that are joined, and the index read whole */

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

int trace_index_txn(void *txn, uint64_t hash, struct bytes entry)
{
    const struct value cells[] = {{.type = VALUE_UINT64, .u64 = hash}, cell_from_text(entry)};
    return historian_insert(txn, &trace_tables[TRACE_INDEX], cells);
}

static uint64_t side_hash(struct bytes key, bool children)
{
    return trace_hash(key) ^ (children ? 0x9e3779b97f4a7c15u : 0);
}

/* Text of one line: what stands between two separators. */
static void entry_append(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        (void)buf_append_u8(out, text.ptr[i] == ENTRY_SEPARATOR ? ' ' : text.ptr[i]);
    (void)buf_append_u8(out, ENTRY_SEPARATOR);
}

int trace_index_insert(trace_index_sink sink, void *ctx, struct bytes key,
                       const struct trace_mark *a)
{
    struct buf entry = {0};
    int64_t t_to = a->t_to.type == VALUE_NULL ? a->t_from : a->t_to.i64;
    (void)buf_printf(&entry, "%d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, (int)a->role,
                     a->t_from, t_to, a->known_at, a->revision);
    (void)buf_append_u8(&entry, ENTRY_SEPARATOR);
    entry_append(&entry, bytes_of_text(a->kind ? a->kind : ""));
    entry_append(&entry, a->position);
    (void)buf_append_bytes(&entry, a->other);
    int err = buf_error(&entry);
    if (!err)
        err = sink(ctx, side_hash(key, a->role == TRACE_HAS_CHILD), buf_bytes(&entry));
    buf_fini(&entry);
    return err;
}

/* Two keys that find each other. */
static int index_pair(trace_index_sink sink, void *ctx, const struct bytes keys[2],
                      const enum trace_role roles[2], const struct trace_mark *like)
{
    struct trace_mark a = *like;
    int err = OK;
    for (int i = 0; !err && i < 2; i++) {
        a.role = roles[i];
        a.other = keys[1 - i];
        err = trace_index_insert(sink, ctx, keys[i], &a);
    }
    return err;
}

int trace_index_alias(trace_index_sink sink, void *ctx, struct bytes unit, struct bytes serial,
                      const struct trace_mark *like)
{
    const enum trace_role roles[] = {TRACE_IS_SERIAL, TRACE_IS_UNIT};
    struct trace_mark a = *like;
    a.role = TRACE_IS_SERIAL;
    if (serial.len == 0)
        return trace_index_insert(sink, ctx, unit, &a);
    return index_pair(sink, ctx, (const struct bytes[]){unit, serial}, roles, like);
}

int trace_index_link(trace_index_sink sink, void *ctx, const struct bytes keys[2],
                     const struct trace_mark *like)
{
    const enum trace_role roles[] = {TRACE_HAS_CHILD, TRACE_HAS_PARENT};

    return index_pair(sink, ctx, keys, roles, like);
}

/* -------------------------------------------------------------------------------------- making it
 */

/* Each visit has an entry or two and each link has two: with fewer, some were lost. */
static const char sql_missing[] =
    "SELECT CAST(1 AS BIGINT) WHERE (SELECT count(*) FROM trace_index) + (SELECT count(*) FROM "
    "trace_index_tail) < (SELECT count(*) + count(*) FILTER (serial <> '') FROM units) + 2 * "
    "(SELECT count(*) FROM links)";

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

static int making_sink(void *ctx, uint64_t hash, struct bytes entry)
{
    struct making *m = ctx;
    const struct duck_vector *v = duck_appender_vectors(m->appender);
    ((uint64_t *)v[0].data)[m->rows] = hash;
    duck_vector_set_bytes(&v[1], m->rows, entry);
    m->total++;
    if (++m->rows < DUCK_CHUNK_ROWS)
        return OK;
    m->rows = 0;
    return duck_appender_push(m->appender, DUCK_CHUNK_ROWS, m->diag);
}

static int making_alias(void *ctx, const struct value *c, uint32_t count)
{
    char visit[TRACE_VISIT_BYTES_MAX];
    struct trace_mark a = {
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
    struct trace_mark a = {
        .position = c[3].bytes, .t_from = c[4].i64, .known_at = c[5].i64, .revision = c[6].i64};
    if (count != 7)
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

static int making_run(struct duck_conn *conn, struct making *m, const char *sql, duck_row_fn fn)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(conn, sql, &s, m->diag);
    if (!err)
        err = duck_run(s, fn, m, m->diag);
    duck_stmt_free(s);
    return err;
}

static int making_all(struct duck_conn *conn, void *ctx)
{
    struct making *m = ctx;
    const struct historian_table *t = &trace_tables[TRACE_INDEX];
    int err = duck_exec(conn, "DELETE FROM trace_index; DELETE FROM trace_index_tail", m->diag);
    if (!err)
        err = duck_appender_new(conn, t->name, t->columns, t->column_count, &m->appender, m->diag);
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
    if (count == 1)
        *(int64_t *)ctx = cells[0].i64;
    return OK;
}

/* The number that a statement answers; 0 if it has no row. */
static int number_read(struct duck_conn *conn, const char *sql, int64_t *ret, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    *ret = 0;
    int err = duck_prepare(conn, sql, &s, diag);
    if (!err)
        err = duck_run(s, row_seen, ret, diag);
    duck_stmt_free(s);
    return err;
}

/* All or nothing. */
static int transaction(struct duck_conn *conn, int (*run)(struct duck_conn *conn, void *ctx),
                       void *ctx, struct diag *diag)
{
    int err = duck_exec(conn, "BEGIN TRANSACTION", diag);
    if (err)
        return err;
    err = run(conn, ctx);
    if (!err)
        err = duck_exec(conn, "COMMIT", diag);
    if (err)
        (void)duck_exec(conn, "ROLLBACK", NULL);
    return err;
}

int trace_index_ensure(void *ctx, struct duck_conn *conn, struct diag *diag)
{
    struct making m = {.diag = diag};
    int64_t missing = 0;
    (void)ctx;
    int err = number_read(conn, sql_missing, &missing, diag);
    if (err || !missing)
        return err;
    err = transaction(conn, making_all, &m, diag);
    if (!err)
        log_info("trace", "the index of units lacked entries and was made: %" PRIu64, m.total);
    return err;
}

/* One more run. */
static int settle_run(struct duck_conn *conn, void *ctx)
{
    return duck_exec(conn,
                     "INSERT INTO trace_index SELECT * FROM trace_index_tail ORDER BY hash;"
                     "DELETE FROM trace_index_tail",
                     ctx);
}

/* All runs become one. What is appended within the transaction has other row numbers than what is
 * there, so it stays when that goes. */
static int settle_whole(struct duck_conn *conn, void *ctx)
{
    struct duck_stmt *s = NULL;
    int64_t rows = 0;
    int err = number_read(conn, "SELECT max(rowid) + 1 FROM trace_index", &rows, ctx);
    if (!err) {
        err = duck_exec(conn,
                        "INSERT INTO trace_index SELECT * FROM (SELECT * FROM trace_index UNION "
                        "ALL SELECT * FROM trace_index_tail) ORDER BY hash;"
                        "DELETE FROM trace_index_tail",
                        ctx);
    }
    if (!err)
        err = duck_prepare(conn, "DELETE FROM trace_index WHERE rowid < $1", &s, ctx);
    if (!err)
        err = duck_bind_i64(s, 1, rows);
    if (!err)
        err = duck_run(s, NULL, NULL, ctx);
    duck_stmt_free(s);
    return err;
}

static int settle(struct trace *t, struct duck_conn *conn, int64_t tail, struct diag *diag)
{
    int64_t rows = 0;
    int err = number_read(conn, "SELECT count(*) FROM trace_index", &rows, diag);
    if (err || tail < (rows < WHOLE_ROWS_MAX ? TAIL_ROWS_MAX : TAIL_ROWS_MANY))
        return err;
    bool whole = rows && rows < WHOLE_ROWS_MAX && t->runs + 1 >= RUNS_MAX;
    err = transaction(conn, whole ? settle_whole : settle_run, diag, diag);
    if (!err)
        t->runs = whole ? 0 : t->runs + 1;
    return err;
}

void trace_index_settle(void *ctx, struct duck_conn *conn)
{
    struct trace *t = ctx;
    struct diag diag = {0};
    int64_t tail = 0;
    if (++t->commits % TAIL_COMMITS)
        return;
    int err = number_read(conn, "SELECT count(*) FROM trace_index_tail", &tail, &diag);
    if (!err && tail >= TAIL_ROWS_MAX)
        err = settle(t, conn, tail, &diag);
    /* It goes on unsorted, slower, and is tried again. */
    if (err)
        log_warn("trace", "the index of units could not be sorted: %s",
                 diag.text[0] ? diag.text : err_text(err));
}

/* --------------------------------------------------------------------------------------- reading
 */

/* Some keys at once: what a statement costs hardly depends on how many it looks up, but a list of
 * them would read everything. One row more than the limit says that there were more. */
#define FIND_LIMIT " LIMIT 50001"
_Static_assert(TRACE_ENTRIES_MAX == 50000, "FIND_LIMIT");
#define FIND_1(n)                                                                                  \
    "SELECT hash, entry FROM trace_index WHERE hash = $" n                                         \
    " UNION ALL SELECT hash, entry FROM trace_index_tail WHERE hash = $" n
#define FIND_2(n, m)       FIND_1(n) " UNION ALL " FIND_1(m)
#define FIND_4(n, m, o, p) FIND_2(n, m) " UNION ALL " FIND_2(o, p)

static const struct {
    uint32_t keys;
    const char *sql;
} finds[] = {
    {8, FIND_4("1", "2", "3", "4") " UNION ALL " FIND_4("5", "6", "7", "8") FIND_LIMIT},
    {4, FIND_4("1", "2", "3", "4") FIND_LIMIT},
    {2, FIND_2("1", "2") FIND_LIMIT},
    {1, FIND_1("1") FIND_LIMIT},
};

/* As above with $1 = hashes, between blanks. */
#define FIND_KEYS "WHERE hash IN (SELECT unnest(CAST(string_split($1, ' ') AS UBIGINT[])))"
static const char sql_find_all[] =
    "SELECT hash, entry FROM trace_index " FIND_KEYS
    " UNION ALL SELECT hash, entry FROM trace_index_tail " FIND_KEYS FIND_LIMIT;

struct finding {
    struct arena *arena;
    int64_t as_of_us;
    struct map numbers; /* hash → number of the key + 1 */
    struct trace_entries *out;
};

/* "role from to known revision", then kind, position and the other key. */
static int entry_read(struct finding *f, struct bytes text, struct trace_entry *ret)
{
    struct bytes part[3];
    int64_t number[5] = {0};
    for (int i = 0; i < 3; i++)
        text = str_split(text, ENTRY_SEPARATOR, &part[i]);
    struct bytes rest = part[0];
    for (int i = 0; i < 5; i++) {
        struct bytes one;
        rest = str_split(rest, ' ', &one);
        if (str_to_i64(one, &number[i]))
            return ERR_MALFORMED;
    }
    ret->role = (enum trace_role)number[0];
    ret->t_from = number[1];
    ret->t_to = number[2];
    ret->known_at = number[3];
    ret->revision = number[4];
    ret->kind = arena_copy(f->arena, part[1]);
    ret->position = arena_copy(f->arena, part[2]);
    ret->other = arena_copy(f->arena, text);
    return ret->kind && ret->position && ret->other ? OK : ERR_NOMEM;
}

static int find_row(void *ctx, const struct value *c, uint32_t count)
{
    struct finding *f = ctx;
    struct trace_entries *out = f->out;
    struct trace_entry e = {0};
    if (count != 2)
        return ERR_INTERNAL;
    uintptr_t number = (uintptr_t)map_find(&f->numbers, bytes_of(&c[0].u64, sizeof c[0].u64));
    out->truncated = out->truncated || out->count == TRACE_ENTRIES_MAX;
    if (out->count == TRACE_ENTRIES_MAX || !number)
        return OK;
    int err = entry_read(f, c[1].bytes, &e);
    if (err || e.known_at > f->as_of_us)
        return err;
    struct trace_entry *items = arena_room(f->arena, out->items, out->count, &out->cap, sizeof e);
    if (!items)
        return ERR_NOMEM;
    e.key = (uint32_t)number - 1;
    out->items = items;
    out->items[out->count++] = e;
    return OK;
}

/* All hashes with what they are the hashes of. */
static int find_hashes(struct finding *f, const char *const *keys, uint32_t count, unsigned sides,
                       struct buf *text)
{
    int err = OK;
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned side = 0; !err && side < 2; side++) {
            if (!(sides & 1u << side))
                continue;
            uint64_t h = side_hash(bytes_of_text(keys[i]), side == 1);
            (void)buf_printf(text, "%s%" PRIu64, text->len ? " " : "", h);
            err = map_put(&f->numbers, bytes_of(&h, sizeof h), (void *)(uintptr_t)(i + 1), NULL);
        }
    }
    return err ? err : buf_error(text);
}

/* `keys` of them from number `from` on. */
static int find_some(struct finding *f, struct duck_conn *conn, const char *sql, size_t from,
                     uint32_t keys, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_statement(conn, sql, &s, diag);
    for (uint32_t i = 0; !err && i < keys; i++)
        err = duck_bind_u64(s, i + 1, load_le64(f->numbers.entries[from + i].key));
    return err ? err : duck_run(s, find_row, f, diag);
}

static int find_singly(struct finding *f, struct duck_conn *conn, struct diag *diag)
{
    size_t at = 0;
    int err = OK;
    for (size_t i = 0; i < sizeof finds / sizeof finds[0]; i++) {
        for (; !err && f->numbers.count - at >= finds[i].keys; at += finds[i].keys)
            err = find_some(f, conn, finds[i].sql, at, finds[i].keys, diag);
    }
    return err;
}

static int find_all(struct finding *f, struct duck_conn *conn, const char *hashes,
                    struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_statement(conn, sql_find_all, &s, diag);
    if (!err)
        err = duck_bind_text(s, 1, hashes);
    return err ? err : duck_run(s, find_row, f, diag);
}

int trace_index_find(const struct trace_index *index, const char *const *keys, uint32_t count,
                     unsigned sides, struct trace_entries *ret)
{
    struct finding f = {.arena = index->arena, .as_of_us = index->as_of_us, .out = ret};
    struct buf text = {0};
    *ret = (struct trace_entries){0};
    if (count == 0)
        return OK;
    int err = find_hashes(&f, keys, count, sides, &text);
    if (!err)
        err = count <= KEYS_SINGLY_MAX ? find_singly(&f, index->conn, index->diag)
                                       : find_all(&f, index->conn, buf_text(&text), index->diag);
    buf_fini(&text);
    map_fini(&f.numbers);
    return err;
}
