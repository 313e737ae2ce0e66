/* Filling a batch cell by cell. See batch.h.
 *
 * Cells are staged in one block that is as wide as the schema and rows_max rows deep, and packed
 * at finish into a slab of just the right size: a cycle that was cut short, a column without bad
 * qualities or a group without strings then costs nothing on disk or on the wire. Staging for
 * qualities, time offsets and strings is made for a column when it first needs it and kept.
 *
 * A new row touches only the columns that have such staging. Fixed-width cells are not cleared
 * beforehand: what a null cell holds is zeroed at finish, and only in columns that have nulls.
 */
#include "base/err.h"
#include "model/batch.h"

#include <assert.h>
#include <stdlib.h>

struct staged {
    uint8_t *data;        /* in the block; NULL for strings and bytes */
    uint8_t *validity;    /* in the block */
    uint8_t *tags;        /* in the block, for any */
    uint8_t *quality;     /* own memory or NULL */
    int32_t *time_offset; /* own memory or NULL */
    int32_t *offsets;     /* own memory or NULL: end of each row's bytes */
    struct buf chars;
    uint32_t present; /* rows that have a value */
    uint8_t width;    /* bytes of a fixed-width cell; 0 for bool, string, bytes */
    bool has_quality;
    bool has_time_offset;
    bool extra; /* is in the builder's list of columns with own memory */
};

struct batch_builder {
    struct schema *schema;
    struct batch_pool *pool;
    uint32_t rows_max;
    uint32_t rows;
    int64_t *times;
    uint8_t *block;
    size_t block_bytes;
    struct staged *cols;
    uint32_t *extras; /* the columns with quality, time_offset or offsets */
    uint32_t extra_count;
};

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static size_t bitmap_bytes(uint32_t rows)
{
    return (rows + 7u) / 8u;
}

/* Bytes of a cell in the data buffer; 0 where there is none of its own. */
static uint8_t cell_width(enum value_type type)
{
    if (type == VALUE_ANY)
        return sizeof(uint64_t);
    return type == VALUE_BOOL ? 0 : (uint8_t)value_type_width(type);
}

/* Bytes of a column's data buffer for that many rows. */
static size_t data_bytes(enum value_type type, uint32_t rows)
{
    return type == VALUE_BOOL ? bitmap_bytes(rows) : (size_t)rows * cell_width(type);
}

static bool type_has_chars(enum value_type type)
{
    return type == VALUE_STRING || type == VALUE_BYTES || type == VALUE_ANY;
}

static void builder_lay_out(struct batch_builder *bb)
{
    uint8_t *at = bb->block;
    bb->times = (int64_t *)(void *)at;
    at += align8((size_t)bb->rows_max * sizeof(int64_t));
    for (uint32_t i = 0; i < bb->schema->count; i++) {
        enum value_type type = bb->schema->fields[i].type;
        size_t bytes = data_bytes(type, bb->rows_max);
        bb->cols[i].width = cell_width(type);
        bb->cols[i].data = bytes ? at : NULL;
        at += align8(bytes);
        bb->cols[i].validity = at;
        at += align8(bitmap_bytes(bb->rows_max));
        if (type == VALUE_ANY) {
            bb->cols[i].tags = at;
            at += align8(bb->rows_max);
        }
    }
    assert(at == bb->block + bb->block_bytes);
}

static size_t builder_block_bytes(const struct schema *schema, uint32_t rows_max)
{
    size_t bytes = align8((size_t)rows_max * sizeof(int64_t));
    for (uint32_t i = 0; i < schema->count; i++) {
        enum value_type type = schema->fields[i].type;
        bytes += align8(data_bytes(type, rows_max)) + align8(bitmap_bytes(rows_max));
        if (type == VALUE_ANY)
            bytes += align8(rows_max);
    }
    return bytes;
}

int batch_builder_new(const struct schema *schema, uint32_t rows_max, struct batch_pool *pool,
                      struct batch_builder **ret)
{
    if (rows_max == 0 || rows_max > BATCH_ROWS_MAX)
        return ERR_LIMIT;
    size_t block_bytes = builder_block_bytes(schema, rows_max);
    if (block_bytes > BATCH_BYTES_MAX)
        return ERR_LIMIT;
    struct batch_builder *bb = calloc(1, sizeof *bb);
    struct staged *cols = calloc(schema->count + 1u, sizeof *cols);
    uint32_t *extras = calloc(schema->count + 1u, sizeof *extras);
    uint8_t *block = calloc(1, block_bytes);
    if (!bb || !cols || !extras || !block) {
        free(bb);
        free(cols);
        free(extras);
        free(block);
        return ERR_NOMEM;
    }
    bb->extras = extras;
    bb->schema = schema_ref(schema);
    bb->pool = pool;
    bb->rows_max = rows_max;
    bb->cols = cols;
    bb->block = block;
    bb->block_bytes = block_bytes;
    builder_lay_out(bb);
    *ret = bb;
    return OK;
}

void batch_builder_free(struct batch_builder *bb)
{
    if (!bb)
        return;
    for (uint32_t i = 0; i < bb->schema->count; i++) {
        struct staged *c = &bb->cols[i];
        free(c->quality);
        free(c->time_offset);
        free(c->offsets);
        buf_fini(&c->chars);
    }
    free(bb->cols);
    free(bb->extras);
    free(bb->block);
    schema_unref(bb->schema);
    free(bb);
}

/* Bools are bits, and what is behind the last row must be zero too. */
static bool is_bits(const struct staged *c)
{
    return c->data && c->width == 0;
}

/* Bitmaps of the block have whole words: a few rows are one store, not a call. */
static void bitmap_zero(uint8_t *bits, uint32_t rows)
{
    if (rows <= 64)
        memset(bits, 0, sizeof(uint64_t));
    else
        memset(bits, 0, bitmap_bytes(rows));
}

void batch_builder_reset(struct batch_builder *bb)
{
    if (bb->rows == 0)
        return;
    for (uint32_t i = 0; i < bb->schema->count; i++) {
        struct staged *c = &bb->cols[i];
        bitmap_zero(c->validity, bb->rows);
        if (is_bits(c))
            bitmap_zero(c->data, bb->rows);
        c->chars.len = 0;
        c->present = 0;
        c->has_quality = false;
        c->has_time_offset = false;
    }
    bb->rows = 0;
}

static void staged_truncate(struct staged *c, uint32_t from, uint32_t rows)
{
    for (uint32_t row = rows; row < from; row++) {
        if (bitmap_get(c->validity, row)) {
            bitmap_clear(c->validity, row);
            c->present--;
        }
        if (is_bits(c))
            bitmap_clear(c->data, row);
    }
    if (c->offsets)
        c->chars.len = (size_t)c->offsets[rows];
}

void batch_builder_truncate(struct batch_builder *bb, uint32_t rows)
{
    if (rows == 0)
        batch_builder_reset(bb);
    if (rows >= bb->rows)
        return;
    for (uint32_t i = 0; i < bb->schema->count; i++)
        staged_truncate(&bb->cols[i], bb->rows, rows);
    bb->rows = rows;
}

uint32_t batch_builder_rows(const struct batch_builder *bb)
{
    return bb->rows;
}

/* What a new row must find in the staging that exists already. */
static void staged_row_start(struct staged *c, uint32_t row)
{
    if (c->quality)
        c->quality[row] = QUALITY_GOOD;
    if (c->time_offset)
        c->time_offset[row] = 0;
    if (c->offsets)
        c->offsets[row + 1] = (int32_t)c->chars.len;
}

/* From now on a new row asks this column too. */
static void extra_add(struct batch_builder *bb, uint32_t col)
{
    if (!bb->cols[col].extra)
        bb->extras[bb->extra_count++] = col;
    bb->cols[col].extra = true;
}

int batch_builder_row(struct batch_builder *bb, int64_t time_us)
{
    if (bb->rows == bb->rows_max)
        return ERR_LIMIT;
    uint32_t row = bb->rows;
    for (uint32_t i = 0; i < bb->extra_count; i++)
        staged_row_start(&bb->cols[bb->extras[i]], row);
    bb->times[row] = time_us;
    bb->rows++;
    return (int)row;
}

void batch_set_time(struct batch_builder *bb, int64_t time_us)
{
    assert(bb->rows > 0);
    bb->times[bb->rows - 1] = time_us;
}

/* The staging of a cell of the newest row, marked as present. */
static struct staged *cell_mark(struct batch_builder *bb, uint32_t col)
{
    assert(col < bb->schema->count && bb->rows > 0);
    struct staged *c = &bb->cols[col];
    uint32_t row = bb->rows - 1;
    if (!bitmap_get(c->validity, row)) {
        bitmap_set(c->validity, row);
        c->present++;
    }
    return c;
}

static enum value_type col_type(const struct batch_builder *bb, uint32_t col)
{
    return bb->schema->fields[col].type;
}

static void cell_set_word(struct batch_builder *bb, uint32_t col, uint64_t bits)
{
    struct staged *c = cell_mark(bb, col);
    memcpy(c->data + (size_t)(bb->rows - 1) * sizeof bits, &bits, sizeof bits);
}

void batch_set_bool(struct batch_builder *bb, uint32_t col, bool v)
{
    assert(col_type(bb, col) == VALUE_BOOL);
    struct staged *c = cell_mark(bb, col);
    if (v)
        bitmap_set(c->data, bb->rows - 1);
    else
        bitmap_clear(c->data, bb->rows - 1);
}

void batch_set_i64(struct batch_builder *bb, uint32_t col, int64_t v)
{
    assert(col_type(bb, col) == VALUE_INT64 || col_type(bb, col) == VALUE_TIMESTAMP);
    cell_set_word(bb, col, (uint64_t)v);
}

void batch_set_u64(struct batch_builder *bb, uint32_t col, uint64_t v)
{
    assert(col_type(bb, col) == VALUE_UINT64);
    cell_set_word(bb, col, v);
}

void batch_set_f32(struct batch_builder *bb, uint32_t col, float v)
{
    assert(col_type(bb, col) == VALUE_FLOAT32);
    struct staged *c = cell_mark(bb, col);
    memcpy(c->data + (size_t)(bb->rows - 1) * sizeof v, &v, sizeof v);
}

void batch_set_f64(struct batch_builder *bb, uint32_t col, double v)
{
    assert(col_type(bb, col) == VALUE_DOUBLE);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    cell_set_word(bb, col, bits);
}

static int staged_offsets(struct batch_builder *bb, uint32_t col)
{
    struct staged *c = &bb->cols[col];
    if (!c->offsets)
        c->offsets = calloc((size_t)bb->rows_max + 1, sizeof(int32_t));
    if (!c->offsets)
        return ERR_NOMEM;
    extra_add(bb, col);
    return OK;
}

int batch_set_bytes(struct batch_builder *bb, uint32_t col, struct bytes v)
{
    assert(type_has_chars(col_type(bb, col)));
    struct staged *c = &bb->cols[col];
    int err = staged_offsets(bb, col);
    if (err)
        return err;
    /* A cell set twice takes the last: drop what this row has put there before. */
    c->chars.len = (size_t)c->offsets[bb->rows - 1];
    if (c->chars.len + v.len > BATCH_BYTES_MAX)
        return ERR_LIMIT;
    err = buf_append_bytes(&c->chars, v);
    if (err)
        return err;
    c->offsets[bb->rows] = (int32_t)c->chars.len;
    (void)cell_mark(bb, col);
    return OK;
}

static int any_set(struct batch_builder *bb, uint32_t col, const struct value *v)
{
    struct staged *c = &bb->cols[col];
    if (v->type == VALUE_ANY)
        return ERR_TYPE;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        int err = batch_set_bytes(bb, col, v->bytes);
        if (err)
            return err;
        cell_set_word(bb, col, 0);
    } else {
        uint64_t bits = v->type == VALUE_BOOL ? v->boolean : v->type == VALUE_FLOAT32 ? 0 : v->u64;
        if (v->type == VALUE_FLOAT32)
            memcpy(&bits, &v->f32, sizeof v->f32);
        cell_set_word(bb, col, bits);
    }
    c->tags[bb->rows - 1] = (uint8_t)v->type;
    return OK;
}

int batch_set_value(struct batch_builder *bb, uint32_t col, const struct value *v)
{
    enum value_type type = col_type(bb, col);
    if (v->type == VALUE_NULL)
        return OK;
    if (type == VALUE_ANY)
        return any_set(bb, col, v);
    bool text = type_has_chars(type);
    if (text && (v->type == type || v->type == VALUE_STRING))
        return batch_set_bytes(bb, col, v->bytes);
    if (v->type != type)
        return ERR_TYPE;
    if (type == VALUE_BOOL)
        batch_set_bool(bb, col, v->boolean);
    else if (type == VALUE_FLOAT32)
        batch_set_f32(bb, col, v->f32);
    else
        cell_set_word(bb, col, v->u64);
    return OK;
}

void batch_set_null(struct batch_builder *bb, uint32_t col)
{
    assert(col < bb->schema->count && bb->rows > 0);
    struct staged *c = &bb->cols[col];
    uint32_t row = bb->rows - 1;
    if (!bitmap_get(c->validity, row) && !c->has_quality && !c->has_time_offset)
        return; /* nothing was set */
    staged_truncate(c, bb->rows, row);
    staged_row_start(c, row);
}

int batch_set_from(struct batch_builder *bb, uint32_t col, const struct column *from, uint32_t row)
{
    struct value v = column_value(from, row);
    int err = batch_set_value(bb, col, &v);
    if (!err && from->quality && from->quality[row])
        err = batch_set_quality(bb, col, (enum quality)from->quality[row]);
    if (!err && from->time_offset && from->time_offset[row])
        err = batch_set_time_offset(bb, col, from->time_offset[row]);
    return err;
}

int batch_set_quality(struct batch_builder *bb, uint32_t col, enum quality quality)
{
    assert(col < bb->schema->count && bb->rows > 0);
    struct staged *c = &bb->cols[col];
    if (!c->quality)
        c->quality = calloc(bb->rows_max, 1);
    if (!c->quality)
        return ERR_NOMEM;
    extra_add(bb, col);
    if (!c->has_quality)
        memset(c->quality, QUALITY_GOOD, bb->rows);
    c->quality[bb->rows - 1] = (uint8_t)quality;
    c->has_quality = true;
    return OK;
}

int batch_set_time_offset(struct batch_builder *bb, uint32_t col, int32_t us)
{
    assert(col < bb->schema->count && bb->rows > 0);
    struct staged *c = &bb->cols[col];
    if (!c->time_offset)
        c->time_offset = calloc(bb->rows_max, sizeof(int32_t));
    if (!c->time_offset)
        return ERR_NOMEM;
    extra_add(bb, col);
    if (!c->has_time_offset)
        memset(c->time_offset, 0, (size_t)bb->rows * sizeof(int32_t));
    c->time_offset[bb->rows - 1] = us;
    c->has_time_offset = true;
    return OK;
}

/* --------------------------------------------------------------------------------------- packing
 */

/* Hands out 8-byte aligned places in a slab; with base NULL it only measures. */
struct packer {
    uint8_t *base;
    size_t at;
};

static uint32_t place(struct packer *p, size_t bytes)
{
    size_t at = p->at;
    p->at += align8(bytes);
    return (uint32_t)at;
}

static uint32_t pack(struct packer *p, const void *from, size_t bytes)
{
    uint32_t at = place(p, bytes);
    if (!p->base)
        return at;
    if (bytes == sizeof(uint64_t)) /* a batch of one row is made of these */
        memcpy(p->base + at, from, sizeof(uint64_t));
    else if (bytes)
        memcpy(p->base + at, from, bytes);
    return at;
}

static void cell_clear(struct staged *c, uint32_t row)
{
    if (is_bits(c))
        bitmap_clear(c->data, row);
    else if (c->data)
        memset(c->data + (size_t)row * c->width, 0, c->width);
    if (c->tags)
        c->tags[row] = VALUE_NULL;
}

/* Null cells hold whatever an earlier batch left there: zero, so that equal batches have equal
 * bytes and nothing old leaves the node. */
static void nulls_clear(struct batch_builder *bb)
{
    for (uint32_t i = 0; i < bb->schema->count; i++) {
        struct staged *c = &bb->cols[i];
        if (c->present == bb->rows)
            continue;
        for (uint32_t row = 0; row < bb->rows; row++) {
            if (!bitmap_get(c->validity, row))
                cell_clear(c, row);
        }
    }
}

static void pack_chars(struct packer *p, const struct staged *c, uint32_t rows,
                       struct batch_col *out)
{
    size_t bytes = ((size_t)rows + 1) * sizeof(int32_t);
    out->offsets = place(p, bytes);
    if (p->base && c->offsets)
        memcpy(p->base + out->offsets, c->offsets, bytes);
    else if (p->base)
        memset(p->base + out->offsets, 0, bytes); /* no row has bytes */
    out->chars = pack(p, c->chars.ptr, c->chars.len);
    p->at += c->chars.len ? 0 : 8; /* an empty buffer still needs a place of its own */
}

static void pack_column(struct packer *p, const struct batch_builder *bb, uint32_t col,
                        struct batch_col *out)
{
    const struct staged *c = &bb->cols[col];
    enum value_type type = col_type(bb, col);
    uint32_t rows = bb->rows;
    if (c->data)
        out->data = pack(p, c->data, c->width ? (size_t)c->width * rows : bitmap_bytes(rows));
    if (c->present < rows)
        out->validity = pack(p, c->validity, bitmap_bytes(rows));
    if (c->tags)
        out->tags = pack(p, c->tags, rows);
    if (type_has_chars(type))
        pack_chars(p, c, rows, out);
    if (c->has_quality)
        out->quality = pack(p, c->quality, rows);
    if (c->has_time_offset)
        out->time_offset = pack(p, c->time_offset, (size_t)rows * sizeof(int32_t));
}

static void pack_all(struct packer *p, const struct batch_builder *bb, struct batch *b)
{
    struct batch_col scratch;
    uint32_t times = pack(p, bb->times, (size_t)bb->rows * sizeof(int64_t));
    if (b)
        b->times = times;
    for (uint32_t i = 0; i < bb->schema->count; i++)
        pack_column(p, bb, i, b ? &b->cols[i] : &scratch);
}

int batch_builder_finish(struct batch_builder *bb, struct batch **ret)
{
    if (bb->rows == 0)
        return ERR_INVALID;
    nulls_clear(bb);
    size_t head = batch_header_bytes(bb->schema->count);
    struct packer measure = {NULL, head};
    pack_all(&measure, bb, NULL);
    struct batch *b = NULL;
    int err = batch_alloc(bb->schema, bb->rows, measure.at, bb->pool, &b);
    if (err)
        return err;
    struct packer packer = {(uint8_t *)b, head};
    pack_all(&packer, bb, b);
    assert(packer.at == measure.at);
    batch_builder_reset(bb);
    *ret = b;
    return OK;
}
