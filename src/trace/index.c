/* The adjacency index: what is found by a key (a serial, a unit's id, a lot), in both directions.
 *
 * An entry is found by the 64-bit hash of its key and says the other key, how the two belong
 * together, and when. Its hash and bytes go into the table trace_tail in the transaction of the
 * rows that it tells of, and into memory (index_tail.c) as that is committed. When there are some
 * ten thousand they become a sorted run, a file (index_run.c), and the table is emptied; runs of a
 * size become one (index_keep.c). So an entry survives a kill as the rows do, and a key costs some
 * look-ups in memory and one read of 8 KiB a run: microseconds. (As tables of DuckDB, sorted as
 * well, each key cost it half a millisecond, and a trace asks for a dozen.)
 *
 * A question sees the index as it is, and the rows as of its beginning: the index may be ahead by
 * what is being committed, which says of a unit that it has rows which are not there yet.
 *
 * A walk through the genealogy is some lookups a step, and no table is ever joined with itself; the
 * times say in which row groups of the other tables the unit's rows lie. The index holds nothing
 * that the other tables do not: it can be dropped and is then made anew.
 *
 * Bytes of an entry: u8 role and flags, le64 t_from, then as varints t_to - t_from, known_at -
 * t_from, revision (each wrapping), length of kind, length of position; with HAS_QUANTITY a double
 * as le64; kind, position, and the rest is the other key: its text, or with OTHER_IS_ID the 16
 * bytes of a unit's id.
 */
#include "trace/index_store.h"
#include "trace/story.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROLE_MASK    7
#define OTHER_IS_ID  8
#define HAS_QUANTITY 16

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

void trace_visit_name(struct bytes track, struct bytes station, int64_t number, char *out)
{
    int at = snprintf(out, TRACE_VISIT_BYTES_MAX, "%.*s/%.*s", (int)track.len,
                      (const char *)track.ptr, (int)station.len, (const char *)station.ptr);
    if (number && at < TRACE_VISIT_BYTES_MAX)
        (void)snprintf(out + at, (size_t)(TRACE_VISIT_BYTES_MAX - at), "/%" PRId64, number);
}

/* --------------------------------------------------------------------------------------- writing
 */

int trace_index_txn(void *txn, uint64_t hash, struct bytes entry)
{
    const struct value cells[] = {{.type = VALUE_UINT64, .u64 = hash},
                                  {.type = VALUE_BYTES, .bytes = entry}};
    return historian_insert(txn, &trace_tables[TRACE_INDEX], cells);
}

static uint64_t side_hash(struct bytes key, bool children)
{
    return trace_hash(key) ^ (children ? 0x9e3779b97f4a7c15u : 0);
}

static void entry_print(struct buf *out, const struct trace_mark *a)
{
    uint8_t id[TRACE_UNIT_BYTES];
    bool is_id = cell_unit_parse(a->other, id);
    struct bytes kind = bytes_of_text(a->kind ? a->kind : "");
    uint64_t from = (uint64_t)a->t_from;
    uint64_t to = a->t_to.type == VALUE_NULL ? from : (uint64_t)a->t_to.i64;
    bool weighed = a->quantity.type == VALUE_DOUBLE && isfinite(a->quantity.f64);
    (void)buf_append_u8(
        out, (uint8_t)((int)a->role | (is_id ? OTHER_IS_ID : 0) | (weighed ? HAS_QUANTITY : 0)));
    (void)buf_append_le64(out, from);
    (void)buf_append_varint(out, to - from);
    (void)buf_append_varint(out, (uint64_t)a->known_at - from);
    (void)buf_append_varint(out, (uint64_t)a->revision);
    (void)buf_append_varint(out, kind.len);
    (void)buf_append_varint(out, a->position.len);
    if (weighed)
        (void)buf_append_double(out, a->quantity.f64);
    (void)buf_append_bytes(out, kind);
    (void)buf_append_bytes(out, a->position);
    (void)buf_append_bytes(out, is_id ? bytes_of(id, sizeof id) : a->other);
}

int trace_index_insert(trace_index_sink sink, void *ctx, struct bytes key,
                       const struct trace_mark *a)
{
    struct buf entry = {0};
    entry_print(&entry, a);
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

/* --------------------------------------------------------------------------------------- reading
 */

struct finding {
    const struct trace_index *index;
    struct trace_entries *out;
    uint32_t key; /* number of the one whose entries come */
};

static const char *id_text(struct arena *arena, struct bytes id)
{
    char text[TRACE_UNIT_TEXT + 1];
    cell_unit_print(id.ptr, text);
    return arena_text(arena, text);
}

/* Sizes are checked, since it may come from a file that was damaged in a way that its checksum does
 * not show. */
int trace_index_entry(struct arena *arena, struct bytes text, struct trace_entry *ret)
{
    struct reader r = reader_of(text);
    uint8_t role = reader_u8(&r);
    uint64_t from = reader_le64(&r);
    uint64_t to = from + reader_varint(&r);
    uint64_t known = from + reader_varint(&r);
    uint64_t revision = reader_varint(&r);
    uint64_t kind_len = reader_varint(&r);
    uint64_t position_len = reader_varint(&r);
    double quantity = role & HAS_QUANTITY ? reader_finite(&r) : (double)NAN;
    bool is_id = role & OTHER_IS_ID;
    size_t left = reader_left(&r);
    if (r.failed || kind_len > left || position_len > left - kind_len ||
        (is_id && left - kind_len - position_len != TRACE_UNIT_BYTES))
        return ERR_MALFORMED;
    struct bytes kind = reader_take(&r, (size_t)kind_len);
    struct bytes position = reader_take(&r, (size_t)position_len);
    struct bytes other = reader_take(&r, reader_left(&r));
    *ret = (struct trace_entry){
        .role = (enum trace_role)(role & ROLE_MASK),
        .t_from = (int64_t)from,
        .t_to = (int64_t)to,
        .known_at = (int64_t)known,
        .revision = (int64_t)revision,
        .quantity = quantity,
        .kind = arena_copy(arena, kind),
        .position = arena_copy(arena, position),
        .other = is_id ? id_text(arena, other) : arena_copy(arena, other),
    };
    return ret->kind && ret->position && ret->other ? OK : ERR_NOMEM;
}

static int find_entry(void *ctx, uint64_t hash, struct bytes entry)
{
    const struct finding *f = ctx;
    struct trace_entries *out = f->out;
    struct trace_entry e = {0};
    (void)hash;
    int err = trace_index_entry(f->index->arena, entry, &e);
    if (err || e.known_at > f->index->as_of_us)
        return err;
    out->truncated = out->truncated || out->count == TRACE_ENTRIES_MAX;
    if (out->truncated)
        return ERR_LIMIT;
    struct trace_entry *items =
        arena_room(f->index->arena, out->items, out->count, &out->cap, sizeof e);
    if (!items)
        return ERR_NOMEM;
    e.key = f->key;
    out->items = items;
    out->items[out->count++] = e;
    return OK;
}

/* What the newest entries say of a key, oldest first. */
static int find_newest(struct finding *f, const struct index_snapshot *snap, uint32_t lookup)
{
    int err = OK;
    for (const struct index_found *e = snap->found[lookup]; e && !err; e = e->next)
        err = find_entry(f, 0, e->entry);
    return err;
}

static int find_key(struct finding *f, const struct index_snapshot *snap, uint32_t lookup)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < snap->run_count; i++)
        err = run_find(snap->runs[i], snap->hashes[lookup], find_entry, f);
    return err ? err : find_newest(f, snap, lookup);
}

static int find_failed(const struct trace_index *index, int err)
{
    if (err == ERR_NOMEM)
        return err;
    index_store_damaged(&index->trace->store);
    return diag_set(index->diag, err, 0, 0,
                    "the index of units in %s cannot be read (%s): it is made anew with the next "
                    "rows that are stored; ask again then",
                    index->trace->store.dir, err_text(err));
}

int trace_index_find(const struct trace_index *index, const char *const *keys, const uint8_t *sides,
                     uint32_t count, struct trace_entries *ret)
{
    struct finding f = {.index = index, .out = ret};
    struct index_snapshot snap = {
        .hashes = arena_array(index->arena, 2 * (size_t)count + 1, sizeof *snap.hashes)};
    uint32_t *numbers = arena_array(index->arena, 2 * (size_t)count + 1, sizeof *numbers);
    *ret = (struct trace_entries){0};
    if (!snap.hashes || !numbers)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned side = 0; side < 2; side++) {
            if (!(sides[i] & 1u << side))
                continue;
            numbers[snap.count] = i;
            snap.hashes[snap.count++] = side_hash(bytes_of_text(keys[i]), side == 1);
        }
    }
    int err = index_store_take(&index->trace->store, index->arena, &snap);
    for (uint32_t i = 0; !err && i < snap.count; i++) {
        f.key = numbers[i];
        err = find_key(&f, &snap, i);
    }
    index_store_give(&index->trace->store, &snap);
    return err && err != ERR_LIMIT ? find_failed(index, err) : OK;
}

int trace_index_find_sides(const struct trace_index *index, const char *const *keys, uint32_t count,
                           uint8_t sides, struct trace_entries *ret)
{
    uint8_t *all = arena_array(index->arena, (size_t)count + 1, sizeof *all);
    *ret = (struct trace_entries){0};
    if (!all)
        return ERR_NOMEM;
    memset(all, sides, count);
    return trace_index_find(index, keys, all, count, ret);
}

struct trace_span *trace_bearers(struct arena *arena, const struct trace_entry *told,
                                 uint32_t count, int64_t after_us, uint32_t *ret_count)
{
    struct trace_span *spans = arena_array(arena, (size_t)count + 1, sizeof *spans);
    if (!spans)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        spans[i] = (struct trace_span){told[i].t_from, told[i].t_to};
    *ret_count = trace_spans_unite(spans, count, after_us);
    return spans;
}
