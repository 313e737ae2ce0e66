/* Slabs, their references and their pool; reading single cells. See batch.h. */
#include "model/batch.h"

#include "base/err.h"
#include "base/ring.h"
#include "base/str.h"

#include <assert.h>
#include <stdlib.h>

struct batch_pool {
    atomic_uint refs; /* the owner and every batch out there */
    struct ring *free_slabs;
};

/* A slab in the pool's ring. */
struct free_slab {
    uint64_t cap;
};

_Static_assert(sizeof(struct free_slab) <= sizeof(struct batch), "a free slab fits its header");

struct batch_pool *batch_pool_new(uint32_t slabs_max)
{
    struct batch_pool *p = malloc(sizeof *p);
    struct ring *ring = ring_new(slabs_max);
    if (!p || !ring) {
        free(p);
        ring_free(ring);
        return NULL;
    }
    atomic_init(&p->refs, 1);
    p->free_slabs = ring;
    return p;
}

static void batch_pool_unref(struct batch_pool *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    void *slab;
    while ((slab = ring_pop(p->free_slabs)) != NULL)
        free(slab);
    ring_free(p->free_slabs);
    free(p);
}

void batch_pool_free(struct batch_pool *p)
{
    if (p)
        batch_pool_unref(p);
}

/* A slab of at least `bytes`; the pool's slabs are of one producer and so of like size: one that
 * is too small is given up. */
static struct batch *slab_take(struct batch_pool *pool, size_t bytes, uint64_t *ret_cap)
{
    struct free_slab *slab = pool ? ring_pop(pool->free_slabs) : NULL;
    if (slab && slab->cap >= bytes) {
        *ret_cap = slab->cap;
        return (struct batch *)(void *)slab;
    }
    free(slab);
    *ret_cap = bytes;
    return malloc(bytes);
}

size_t batch_header_bytes(uint32_t columns)
{
    size_t bytes = sizeof(struct batch) + (size_t)columns * sizeof(struct batch_col);
    return (bytes + 7) & ~(size_t)7;
}

int batch_alloc(const struct schema *schema, uint32_t rows, size_t slab_bytes,
                struct batch_pool *pool, struct batch **ret)
{
    assert(slab_bytes >= batch_header_bytes(schema->count));
    if (slab_bytes > BATCH_BYTES_MAX || rows > BATCH_ROWS_MAX)
        return ERR_LIMIT;
    uint64_t cap;
    struct batch *b = slab_take(pool, slab_bytes, &cap);
    if (!b)
        return ERR_NOMEM;
    memset(b, 0, batch_header_bytes(schema->count));
    atomic_init(&b->refs, 1);
    b->rows = rows;
    b->slab_bytes = (uint32_t)slab_bytes;
    b->slab_cap = cap;
    b->schema = schema_ref(schema);
    b->pool = pool;
    if (pool)
        atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    *ret = b;
    return OK;
}

struct batch *batch_ref(const struct batch *b)
{
    /* The count is the one part of a published batch that changes. */
    struct batch *shared = (struct batch *)(uintptr_t)b;
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void batch_unref(struct batch *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct batch_pool *pool = b->pool;
    schema_unref(b->schema);
    if (!pool) {
        free(b);
        return;
    }
    struct free_slab *slab = (struct free_slab *)(void *)b;
    slab->cap = b->slab_cap;
    if (!ring_push(pool->free_slabs, slab))
        free(slab);
    batch_pool_unref(pool);
}

struct column batch_column(const struct batch *b, uint32_t col)
{
    assert(col < b->schema->count);
    const struct batch_col *c = &b->cols[col];
    const struct field *field = &b->schema->fields[col];
    return (struct column){
        .field = field,
        .rows = b->rows,
        .type = field->type,
        .data = batch_at(b, c->data),
        .validity = batch_at(b, c->validity),
        .offsets = batch_at(b, c->offsets),
        .chars = batch_at(b, c->chars),
        .tags = batch_at(b, c->tags),
        .quality = batch_at(b, c->quality),
        .time_offset = batch_at(b, c->time_offset),
    };
}

static void value_from_any(const struct column *c, uint32_t row, struct value *v)
{
    v->type = (enum value_type)c->tags[row];
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        v->bytes = column_bytes(c, row);
        return;
    }
    uint64_t bits = ((const uint64_t *)c->data)[row];
    if (v->type == VALUE_BOOL)
        v->boolean = bits != 0;
    else
        memcpy(&v->u64, &bits, sizeof bits);
}

struct value column_value(const struct column *c, uint32_t row)
{
    struct value v = {.type = VALUE_NULL, .quality = column_quality(c, row)};
    if (column_is_null(c, row))
        return v;
    v.type = c->type;
    switch (c->type) {
    case VALUE_BOOL:
        v.boolean = bitmap_get(c->data, row);
        break;
    case VALUE_INT64:
    case VALUE_UINT64:
    case VALUE_DOUBLE:
    case VALUE_TIMESTAMP:
        memcpy(&v.u64, (const uint64_t *)c->data + row, sizeof v.u64);
        break;
    case VALUE_FLOAT32:
        memcpy(&v.f32, (const float *)c->data + row, sizeof v.f32);
        break;
    case VALUE_STRING:
    case VALUE_BYTES:
        v.bytes = column_bytes(c, row);
        break;
    case VALUE_ANY:
        value_from_any(c, row, &v);
        break;
    case VALUE_NULL:
        break;
    }
    return v;
}

struct value column_shown(const struct column *c, uint32_t row)
{
    struct value v = column_value(c, row);
    double number;
    if (field_is_scaled(c->field) && value_to_double(&v, &number)) {
        v.type = VALUE_DOUBLE;
        v.f64 = field_number(c->field, number);
    } else if (v.type == VALUE_BYTES && (c->field->flags & FIELD_TEXT) && str_is_utf8(v.bytes)) {
        v.type = VALUE_STRING;
    }
    return v;
}
