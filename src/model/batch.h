/* Columns of equal length with one schema: the only currency between modules.
 *
 * One batch is one allocation (a slab): this header, then one `struct batch_col` a column, then the
 * buffers, each 8-byte aligned. Columns say where their buffers are by 32-bit offsets into the slab
 * (0 = the buffer is absent), so that a column costs 28 bytes and 10,000 of them with one row
 * stay cheap. The buffers themselves have the Arrow layout: validity and bool as least-significant-
 * bit-first bitmaps, strings as int32 offsets + characters; batch_arrow.h hands them out as Arrow C
 * Data Interface structs without a copy.
 *
 *   slab: | struct batch | col[0] … col[n-1] | row times | buffers of col 0 | buffers of col 1 | …
 *
 * Once published (handed to another owner) a batch never changes; it is reference-counted and goes
 * back to its pool, or to the heap, with its last reference, from whatever thread that is.
 */
#ifndef LOTLINE_MODEL_BATCH_H
#define LOTLINE_MODEL_BATCH_H

#include "base/position.h"
#include "model/schema.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BATCH_ROWS_MAX  (1u << 20)
#define BATCH_BYTES_MAX (1u << 30)

/* Offsets in bytes from the start of the slab; 0 = absent. */
struct batch_col {
    uint32_t data;        /* fixed-width values; bitmap for bool; uint64 value bits for any */
    uint32_t validity;    /* bitmap, bit set = value present; absent = all present */
    uint32_t offsets;     /* int32[rows + 1] for string, bytes, any */
    uint32_t chars;       /* what the offsets point into */
    uint32_t tags;        /* uint8[rows], enum value_type of each row, for any */
    uint32_t quality;     /* uint8[rows], enum quality; absent = all good */
    uint32_t time_offset; /* int32[rows] µs added to the row's time; absent = all 0 */
};

struct batch_pool;

struct batch {
    atomic_uint refs;
    uint32_t rows;
    uint32_t slab_bytes; /* in use */
    uint32_t times;      /* offset of int64[rows]: each row's event time, µs UTC */
    struct schema *schema;
    struct batch_pool *pool; /* NULL = heap */
    uint64_t slab_cap;
    struct batch_col cols[];
};

/* From any thread. */
struct batch *batch_ref(const struct batch *b);
void batch_unref(struct batch *b); /* NULL is allowed */

static inline const void *batch_at(const struct batch *b, uint32_t offset)
{
    return offset ? (const uint8_t *)b + offset : NULL;
}

/* int64[rows], µs UTC. */
static inline const int64_t *batch_times(const struct batch *b)
{
    return (const void *)((const uint8_t *)b + b->times); /* never absent */
}

/* A column's buffers as pointers; what is absent is NULL. */
struct column {
    const struct field *field;
    uint32_t rows;
    enum value_type type;
    const void *data;
    const uint8_t *validity;
    const int32_t *offsets;
    const uint8_t *chars;
    const uint8_t *tags;
    const uint8_t *quality;
    const int32_t *time_offset;
};

struct column batch_column(const struct batch *b, uint32_t col);

static inline bool bitmap_get(const uint8_t *bits, uint32_t i)
{
    return (bits[i >> 3] >> (i & 7)) & 1;
}

static inline void bitmap_set(uint8_t *bits, uint32_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] | 1u << (i & 7));
}

static inline void bitmap_clear(uint8_t *bits, uint32_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] & ~(1u << (i & 7)));
}

static inline bool column_is_null(const struct column *c, uint32_t row)
{
    return c->validity && !bitmap_get(c->validity, row);
}

static inline enum quality column_quality(const struct column *c, uint32_t row)
{
    return c->quality ? (enum quality)c->quality[row] : QUALITY_GOOD;
}

/* A string's or bytes' row as a view into the slab. */
static inline struct bytes column_bytes(const struct column *c, uint32_t row)
{
    return bytes_of(c->chars + c->offsets[row], (size_t)(c->offsets[row + 1] - c->offsets[row]));
}

/* One value, stored (raw) form; VALUE_NULL when absent. Not for the data path. */
struct value column_value(const struct column *c, uint32_t row);

/* One value as people see it: scaled to double, text bytes as a string when they are UTF-8. */
struct value column_shown(const struct column *c, uint32_t row);

/* ---------------------------------------------------------------------------------------- builder
 */

/* Fills a batch column by column or cell by cell. Fixed-width cells are written straight into the
 * slab that will be published; strings, qualities and time offsets are staged and packed at finish.
 * Reusable: after finish it is empty again and keeps its staging memory. One thread. */
struct batch_builder;

/* A builder for at most rows_max rows of schema (referenced). pool may be NULL (heap).
 * Errors: ERR_NOMEM, ERR_LIMIT. */
int batch_builder_new(const struct schema *schema, uint32_t rows_max, struct batch_pool *pool,
                      struct batch_builder **ret);
void batch_builder_free(struct batch_builder *bb); /* NULL is allowed */

/* Starts a new row with its event time; every cell is null and good until set. Returns the row's
 * index, or ERR_LIMIT when rows_max rows are there, ERR_NOMEM. */
int batch_builder_row(struct batch_builder *bb, int64_t time_us);

/* Sets the event time of the row that was started last: for decoders that learn it on the way. */
void batch_set_time(struct batch_builder *bb, int64_t time_us);

uint32_t batch_builder_rows(const struct batch_builder *bb);

/* Set a cell of the row that was started last. col < schema->count and the field's type must
 * match (programmer errors). The bytes forms return ERR_NOMEM or ERR_LIMIT (BATCH_BYTES_MAX). */
void batch_set_bool(struct batch_builder *bb, uint32_t col, bool v);
void batch_set_i64(struct batch_builder *bb, uint32_t col, int64_t v); /* also timestamps */
void batch_set_u64(struct batch_builder *bb, uint32_t col, uint64_t v);
void batch_set_f32(struct batch_builder *bb, uint32_t col, float v);
void batch_set_f64(struct batch_builder *bb, uint32_t col, double v);
int batch_set_bytes(struct batch_builder *bb, uint32_t col, struct bytes v); /* also strings */

/* Any of the above by the value's type; for an `any` column every type goes. ERR_TYPE if it does
 * not fit the column; VALUE_NULL leaves the cell null. */
int batch_set_value(struct batch_builder *bb, uint32_t col, const struct value *v);

/* Makes a cell of the row that was started last null again. */
void batch_set_null(struct batch_builder *bb, uint32_t col);

/* Copies one row's cell of a column of the same type. */
int batch_set_from(struct batch_builder *bb, uint32_t col, const struct column *from, uint32_t row);

/* A cell that is not good (it stays null unless a value is set too). ERR_NOMEM. */
int batch_set_quality(struct batch_builder *bb, uint32_t col, enum quality quality);

/* When this cell's value was acquired, µs after the row's time. ERR_NOMEM. */
int batch_set_time_offset(struct batch_builder *bb, uint32_t col, int32_t us);

/* The rows so far as a batch with one reference, and an empty builder. ERR_NOMEM, ERR_LIMIT,
 * ERR_INVALID when there are no rows. */
int batch_builder_finish(struct batch_builder *bb, struct batch **ret);

/* Forgets the rows. */
void batch_builder_reset(struct batch_builder *bb);

/* Forgets all but the first `rows` rows: a decoder takes back what a bad message has added. */
void batch_builder_truncate(struct batch_builder *bb, uint32_t rows);

/* ------------------------------------------------------------------------------------------- raw
 */

/* For decoders that know all sizes beforehand: a slab of slab_bytes with the columns' table zeroed
 * and nothing else initialised; the caller lays out the buffers. slab_bytes includes the header
 * (batch_header_bytes). pool may be NULL. */
size_t batch_header_bytes(uint32_t columns);
int batch_alloc(const struct schema *schema, uint32_t rows, size_t slab_bytes,
                struct batch_pool *pool, struct batch **ret);

/* ------------------------------------------------------------------------------------------ pool
 */

/* Slabs that come back by a lock-free ring to be used again. new/free by the owner; a batch may
 * outlive its pool (the pool lives until its last batch is gone). */
struct batch_pool *batch_pool_new(uint32_t slabs_max);
void batch_pool_free(struct batch_pool *p); /* NULL is allowed */

#endif
