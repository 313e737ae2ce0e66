/* Tables valid in time. See lookup.h.
 *
 * A table's rows are sorted by key and beginning once, when it is published; a hash leads to the
 * first row of a key. Finding is then one hash, one comparison and a binary search over the times.
 */
#include "model/lookup.h"

#include "base/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t hash;
    struct bytes key;
    int64_t from_us;
    int64_t to_us;
    uint32_t row;
    uint32_t count; /* in the first of a key: how many it has */
};

struct lookup_table {
    atomic_uint refs;
    const struct batch *rows; /* NULL: empty */
    struct buf keys;          /* all keys one behind the other */
    struct entry *entries;
    uint32_t count;
    uint32_t *slots; /* index + 1 of a key's first entry */
    uint32_t slot_mask;
};

/* ------------------------------------------------------------------------------------------ keys
 */

static int key_put(struct buf *key, char kind, const void *p, size_t len)
{
    (void)buf_append_u8(key, (uint8_t)kind);
    (void)buf_append_varint(key, len);
    return buf_append(key, p, len);
}

static int key_put_double(struct buf *key, double v)
{
    if (v == trunc(v) && v >= -0x1p63 && v < 0x1p63) {
        int64_t whole = (int64_t)v;
        return key_put(key, 'i', &whole, sizeof whole);
    }
    return key_put(key, 'f', &v, sizeof v);
}

int lookup_key_append(struct buf *key, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        return key_put(key, 'b', v->boolean ? "1" : "0", 1);
    case VALUE_INT64:
        return key_put(key, 'i', &v->i64, sizeof v->i64);
    case VALUE_UINT64:
        return key_put(key, v->u64 > INT64_MAX ? 'u' : 'i', &v->u64, sizeof v->u64);
    case VALUE_FLOAT32:
        return key_put_double(key, (double)v->f32);
    case VALUE_DOUBLE:
        return key_put_double(key, v->f64);
    case VALUE_STRING:
    case VALUE_BYTES:
        return key_put(key, 's', v->bytes.ptr, v->bytes.len);
    case VALUE_TIMESTAMP:
        return key_put(key, 't', &v->i64, sizeof v->i64);
    case VALUE_NULL:
    case VALUE_ANY:
        break;
    }
    return ERR_INVALID;
}

/* FNV-1a, finished by a multiplication: keys are short. */
static uint64_t key_hash(struct bytes key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ key.ptr[i]) * 0x100000001b3u;
    return (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
}

/* ----------------------------------------------------------------------------------------- table
 */

static void table_unref(struct lookup_table *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (t->rows)
        batch_unref((struct batch *)(uintptr_t)t->rows);
    buf_fini(&t->keys);
    free(t->entries);
    free(t->slots);
    free(t);
}

static int64_t time_of(const struct batch *b, int32_t col, uint32_t row, int64_t otherwise)
{
    if (col < 0)
        return otherwise;
    struct column c = batch_column(b, (uint32_t)col);
    return column_is_null(&c, row) ? otherwise : ((const int64_t *)c.data)[row];
}

/* False: a part of it is null. */
static bool row_key(const struct lookup *l, const struct batch *b, uint32_t row, struct buf *key)
{
    size_t before = key->len;
    for (uint32_t k = 0; k < l->key_count; k++) {
        struct column c = batch_column(b, l->keys[k]);
        struct value v = column_value(&c, row);
        if (lookup_key_append(key, &v) == ERR_INVALID) {
            key->len = before;
            return false;
        }
    }
    return true;
}

static int entries_fill(const struct lookup *l, struct lookup_table *t, const struct batch *b)
{
    for (uint32_t row = 0; row < b->rows; row++) {
        size_t before = t->keys.len;
        if (!row_key(l, b, row, &t->keys))
            continue;
        if (t->keys.len - before > LOOKUP_KEY_BYTES_MAX)
            return ERR_LIMIT;
        t->entries[t->count++] = (struct entry){
            .key = {NULL, t->keys.len - before},
            .from_us = time_of(b, l->from, row, INT64_MIN),
            .to_us = time_of(b, l->to, row, INT64_MAX),
            .row = row,
        };
    }
    int err = buf_error(&t->keys);
    size_t at = 0;
    for (uint32_t i = 0; i < t->count && !err; i++) {
        struct entry *e = &t->entries[i];
        e->key.ptr = t->keys.ptr + at;
        e->hash = key_hash(e->key);
        at += e->key.len;
    }
    return err;
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    int order = bytes_compare(x->key, y->key);
    if (order)
        return order;
    if (x->from_us != y->from_us)
        return x->from_us < y->from_us ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static void slots_fill(struct lookup_table *t)
{
    uint32_t first = 0;
    while (first < t->count) {
        struct entry *e = &t->entries[first];
        uint32_t end = first;
        while (end < t->count && bytes_equal(t->entries[end].key, e->key))
            end++;
        e->count = end - first;
        uint32_t slot = (uint32_t)e->hash & t->slot_mask;
        while (t->slots[slot])
            slot = (slot + 1) & t->slot_mask;
        t->slots[slot] = first + 1;
        first = end;
    }
}

static int table_new(const struct lookup *l, const struct batch *b, struct lookup_table **ret)
{
    uint32_t rows = b ? b->rows : 0;
    uint32_t slots = 4;
    struct lookup_table *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    atomic_init(&t->refs, 1);
    while (slots < rows * 2)
        slots *= 2;
    t->slot_mask = slots - 1;
    t->slots = calloc(slots, sizeof *t->slots);
    t->entries = calloc(rows + 1u, sizeof *t->entries);
    int err = t->slots && t->entries ? OK : ERR_NOMEM;
    if (!err && b) {
        t->rows = batch_ref(b);
        err = entries_fill(l, t, b);
    }
    if (err) {
        table_unref(t);
        return err;
    }
    qsort(t->entries, t->count, sizeof *t->entries, entry_compare);
    slots_fill(t);
    *ret = t;
    return OK;
}

static const struct entry *key_find(const struct lookup_table *t, struct bytes key)
{
    uint64_t hash = key_hash(key);
    for (uint32_t slot = (uint32_t)hash & t->slot_mask; t->slots[slot];
         slot = (slot + 1) & t->slot_mask) {
        const struct entry *e = &t->entries[t->slots[slot] - 1];
        if (e->hash == hash && bytes_equal(e->key, key))
            return e;
    }
    return NULL;
}

int64_t lookup_find(const struct lookup_table *t, struct bytes key, int64_t time_us)
{
    const struct entry *e = key_find(t, key);
    uint32_t low = 0;
    uint32_t high = e ? e->count : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (e[middle].from_us <= time_us)
            low = middle + 1;
        else
            high = middle;
    }
    /* An earlier one may hold still, where a later one inside it is over. */
    while (low-- > 0)
        if (time_us < e[low].to_us || e[low].to_us == INT64_MAX)
            return e[low].row;
    return LOOKUP_NONE;
}

const struct batch *lookup_rows(const struct lookup_table *t)
{
    return t->rows;
}

/* ---------------------------------------------------------------------------------------- lookup
 */

int lookup_new(const struct lookup_options *options, struct lookup **ret)
{
    struct lookup *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->name = strdup(options->name);
    l->schema = schema_ref(options->schema);
    l->key_count = options->key_count;
    memcpy(l->keys, options->keys, sizeof l->keys);
    l->from = options->from;
    l->to = options->to;
    l->rows_max = options->rows_max;
    (void)pthread_mutex_init(&l->mutex, NULL);
    if (!l->name) {
        lookup_free(l);
        return ERR_NOMEM;
    }
    *ret = l;
    return OK;
}

void lookup_free(struct lookup *l)
{
    if (!l)
        return;
    table_unref(l->table);
    (void)pthread_mutex_destroy(&l->mutex);
    schema_unref(l->schema);
    free(l->name);
    free(l);
}

int lookup_publish(struct lookup *l, const struct batch *b)
{
    struct lookup_table *t = NULL;
    if (b && b->rows > l->rows_max)
        return ERR_LIMIT;
    int err = table_new(l, b, &t);
    if (err)
        return err;
    (void)pthread_mutex_lock(&l->mutex);
    struct lookup_table *old = l->table;
    l->table = t;
    atomic_fetch_add_explicit(&l->version, 1, memory_order_release);
    (void)pthread_mutex_unlock(&l->mutex);
    table_unref(old);
    return OK;
}

void lookup_reader_open(struct lookup_reader *r, struct lookup *l)
{
    *r = (struct lookup_reader){.lookup = l};
}

void lookup_reader_close(struct lookup_reader *r)
{
    table_unref((struct lookup_table *)(uintptr_t)r->table);
    r->table = NULL;
    r->version = 0;
}

void lookup_reader_refresh(struct lookup_reader *r)
{
    struct lookup *l = r->lookup;
    if (atomic_load_explicit(&l->version, memory_order_acquire) == r->version)
        return;
    lookup_reader_close(r);
    (void)pthread_mutex_lock(&l->mutex);
    atomic_fetch_add_explicit(&l->table->refs, 1, memory_order_relaxed);
    r->table = l->table;
    r->version = atomic_load_explicit(&l->version, memory_order_relaxed);
    (void)pthread_mutex_unlock(&l->mutex);
}
