/* Staging of output rows. See output.h. */
#include "stream/output.h"

#include "base/err.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int output_init(struct output *o, const struct schema *schema)
{
    memset(o, 0, sizeof *o);
    o->cols = calloc(schema->count + 1u, sizeof *o->cols);
    if (!o->cols)
        return ERR_NOMEM;
    o->schema = schema_ref(schema);
    return OK;
}

static void col_each(struct output_col *c, void (*fn)(struct buf *b))
{
    fn(&c->data);
    fn(&c->valid);
    fn(&c->offsets);
    fn(&c->chars);
    fn(&c->tags);
    fn(&c->quality);
    fn(&c->time_offset);
}

void output_fini(struct output *o)
{
    for (uint32_t i = 0; o->cols && i < o->schema->count; i++)
        col_each(&o->cols[i], buf_fini);
    buf_fini(&o->times);
    free(o->cols);
    schema_unref(o->schema);
    memset(o, 0, sizeof *o);
}

static uint32_t row_at(struct output_rows r, uint32_t k)
{
    return r.rows ? r.rows[k] : k;
}

/* --------------------------------------------------------------------------------------- staging
 */

/* Grows a bitmap to hold `rows` bits; new bits are zero. */
static uint8_t *bits_grow(struct buf *b, uint32_t rows)
{
    size_t need = (rows + 7) / 8;
    size_t old = b->len;
    if (need > old) {
        uint8_t *more = buf_extend(b, need - old);
        if (!more)
            return NULL;
        memset(more, 0, need - old);
    }
    return b->ptr;
}

static void bit_put(uint8_t *bits, uint32_t at, bool v)
{
    if (v)
        bitmap_set(bits, at);
}

static void valid_vec(struct output *o, struct output_col *c, const struct vec *v,
                      struct output_rows r)
{
    uint8_t *bits = bits_grow(&c->valid, o->rows + r.count);
    for (uint32_t k = 0; bits && k < r.count; k++) {
        bool present = !vec_is_null(v, row_at(r, k));
        bit_put(bits, o->rows + k, present);
        c->has_null |= !present;
    }
}

static int32_t chars_end(const struct output_col *c)
{
    return (int32_t)c->chars.len;
}

/* offsets hold where each row's characters end; the leading zero comes at finish. */
static void text_put(struct output_col *c, struct bytes t)
{
    (void)buf_append_bytes(&c->chars, t);
    (void)buf_append_le32(&c->offsets, (uint32_t)chars_end(c));
}

static void vec_words(struct output_col *c, const struct vec *v, struct output_rows r)
{
    uint64_t *out = (uint64_t *)(void *)buf_extend(&c->data, r.count * sizeof *out);
    for (uint32_t k = 0; out && k < r.count; k++)
        out[k] = v->u[row_at(r, k)];
}

static void vec_floats(struct output_col *c, const struct vec *v, struct output_rows r)
{
    float *out = (float *)(void *)buf_extend(&c->data, r.count * sizeof *out);
    for (uint32_t k = 0; out && k < r.count; k++)
        out[k] = (float)v->f[row_at(r, k)];
}

static void vec_bools(struct output *o, struct output_col *c, const struct vec *v,
                      struct output_rows r)
{
    uint8_t *bits = bits_grow(&c->data, o->rows + r.count);
    for (uint32_t k = 0; bits && k < r.count; k++)
        bit_put(bits, o->rows + k, v->b[row_at(r, k)] && !vec_is_null(v, row_at(r, k)));
}

static void vec_texts(struct output_col *c, const struct vec *v, struct output_rows r)
{
    for (uint32_t k = 0; k < r.count; k++) {
        uint32_t i = row_at(r, k);
        text_put(c, vec_is_null(v, i) ? bytes_of(NULL, 0) : v->t[i]);
    }
}

static void any_put(struct output_col *c, const struct value *v)
{
    bool text = v->type == VALUE_STRING || v->type == VALUE_BYTES;
    uint64_t bits = v->type == VALUE_NULL || text ? 0
                    : v->type == VALUE_BOOL       ? v->boolean
                    : v->type == VALUE_FLOAT32    ? 0
                                                  : v->u64;
    if (v->type == VALUE_FLOAT32)
        memcpy(&bits, &v->f32, sizeof v->f32);
    (void)buf_append_le64(&c->data, bits);
    (void)buf_append_u8(&c->tags, (uint8_t)v->type);
    text_put(c, text ? v->bytes : bytes_of(NULL, 0));
}

static void vec_anys(struct output_col *c, const struct vec *v, struct output_rows r)
{
    for (uint32_t k = 0; k < r.count; k++) {
        struct value value = vec_value(v, row_at(r, k));
        any_put(c, &value);
    }
}

static void no_extras(struct output_col *c, uint32_t count)
{
    uint8_t *at;
    if (c->has_quality && (at = buf_extend(&c->quality, count)) != NULL)
        memset(at, 0, count);
    if (c->has_time_offset && (at = buf_extend(&c->time_offset, count * sizeof(int32_t))) != NULL)
        memset(at, 0, count * sizeof(int32_t));
}

void output_vec(struct output *o, uint32_t col, const struct vec *v, struct output_rows r)
{
    struct output_col *c = &o->cols[col];
    enum value_type type = o->schema->fields[col].type;
    if (type == VALUE_ANY)
        vec_anys(c, v, r);
    else if (type == VALUE_BOOL)
        vec_bools(o, c, v, r);
    else if (type == VALUE_STRING || type == VALUE_BYTES)
        vec_texts(c, v, r);
    else if (type == VALUE_FLOAT32)
        vec_floats(c, v, r);
    else
        vec_words(c, v, r);
    valid_vec(o, c, v, r);
    no_extras(c, r.count);
}

/* --------------------------------------------------------------------------------- stored columns
 */

static void valid_column(struct output *o, struct output_col *c, const struct column *from,
                         struct output_rows r)
{
    uint8_t *bits = bits_grow(&c->valid, o->rows + r.count);
    for (uint32_t k = 0; bits && k < r.count; k++) {
        bool present = !column_is_null(from, r.base + row_at(r, k));
        bit_put(bits, o->rows + k, present);
        c->has_null |= !present;
    }
}

static void column_fixed(struct output_col *c, const struct column *from, struct output_rows r)
{
    size_t width = value_type_width(from->type);
    const uint8_t *in = (const uint8_t *)from->data + r.base * width;
    uint8_t *out = buf_extend(&c->data, r.count * width);
    if (!out)
        return;
    if (!r.rows) {
        memcpy(out, in, r.count * width);
    } else if (width == 8) {
        for (uint32_t k = 0; k < r.count; k++)
            memcpy(out + k * (size_t)8, in + r.rows[k] * (size_t)8, 8);
    } else {
        for (uint32_t k = 0; k < r.count; k++)
            memcpy(out + k * width, in + r.rows[k] * width, width);
    }
}

static void column_rows(struct output *o, struct output_col *c, const struct column *from,
                        struct output_rows r)
{
    uint8_t *bits = from->type == VALUE_BOOL ? bits_grow(&c->data, o->rows + r.count) : NULL;
    for (uint32_t k = 0; k < r.count; k++) {
        uint32_t row = r.base + row_at(r, k);
        if (from->type == VALUE_ANY) {
            struct value v = column_value(from, row);
            any_put(c, &v);
        } else if (from->type == VALUE_BOOL) {
            if (bits)
                bit_put(bits, o->rows + k, bitmap_get(from->data, row));
        } else {
            text_put(c, column_bytes(from, row));
        }
    }
}

/* Makes room for a per-row extra of `width` bytes, zero for the rows so far. */
static uint8_t *extra_rows(struct output *o, struct buf *b, bool *has, uint32_t count, size_t width)
{
    if (!*has) {
        uint8_t *before = buf_extend(b, o->rows * width);
        if (before)
            memset(before, 0, o->rows * width);
        *has = true;
    }
    return buf_extend(b, count * width);
}

static void column_extras(struct output *o, struct output_col *c, const struct column *from,
                          struct output_rows r)
{
    if (from->quality || c->has_quality) {
        uint8_t *out = extra_rows(o, &c->quality, &c->has_quality, r.count, 1);
        for (uint32_t k = 0; out && k < r.count; k++)
            out[k] = from->quality ? from->quality[r.base + row_at(r, k)] : 0;
    }
    if (from->time_offset || c->has_time_offset) {
        int32_t *out = (int32_t *)(void *)extra_rows(o, &c->time_offset, &c->has_time_offset,
                                                     r.count, sizeof(int32_t));
        for (uint32_t k = 0; out && k < r.count; k++)
            out[k] = from->time_offset ? from->time_offset[r.base + row_at(r, k)] : 0;
    }
}

void output_column(struct output *o, uint32_t col, const struct column *from, struct output_rows r)
{
    struct output_col *c = &o->cols[col];
    enum value_type type = from->type;
    assert(type == o->schema->fields[col].type);
    if (type == VALUE_BOOL || type == VALUE_ANY || type == VALUE_STRING || type == VALUE_BYTES)
        column_rows(o, c, from, r);
    else
        column_fixed(c, from, r);
    valid_column(o, c, from, r);
    column_extras(o, c, from, r);
}

void output_null(struct output *o, uint32_t col, uint32_t count)
{
    struct vec none = {.type = VALUE_ANY, .kind = VEC_ANY};
    struct value nulls[VEC_ROWS];
    memset(nulls, 0, count * sizeof nulls[0]);
    none.v = nulls;
    assert(o->schema->fields[col].type == VALUE_ANY && count <= VEC_ROWS);
    output_vec(o, col, &none, (struct output_rows){.count = count});
}

void output_times(struct output *o, const int64_t *times, struct output_rows r)
{
    int64_t *out = (int64_t *)(void *)buf_extend(&o->times, r.count * sizeof *out);
    for (uint32_t k = 0; out && k < r.count; k++)
        out[k] = times[r.base + row_at(r, k)];
    o->rows += r.count;
}

size_t output_bytes(const struct output *o)
{
    size_t bytes = o->times.len;
    for (uint32_t i = 0; i < o->schema->count; i++)
        bytes += o->cols[i].data.len + o->cols[i].chars.len + o->cols[i].offsets.len;
    return bytes;
}

/* --------------------------------------------------------------------------------------- packing
 */

struct packer {
    uint8_t *base; /* NULL: only measure */
    size_t at;
};

static uint32_t pack(struct packer *p, struct bytes from, size_t lead)
{
    size_t at = p->at;
    p->at += (from.len + lead + 7) & ~(size_t)7;
    if (p->base) {
        memset(p->base + at, 0, p->at - at);
        if (from.len)
            memcpy(p->base + at + lead, from.ptr, from.len);
    }
    return (uint32_t)at;
}

static void pack_column(struct packer *p, const struct output_col *c, enum value_type type,
                        struct batch_col *out)
{
    bool text = type == VALUE_STRING || type == VALUE_BYTES;
    if (!text)
        out->data = pack(p, buf_bytes(&c->data), 0);
    if (c->has_null)
        out->validity = pack(p, buf_bytes(&c->valid), 0);
    if (type == VALUE_ANY)
        out->tags = pack(p, buf_bytes(&c->tags), 0);
    if (text || type == VALUE_ANY) {
        out->offsets = pack(p, buf_bytes(&c->offsets), sizeof(int32_t));
        out->chars = pack(p, buf_bytes(&c->chars), 0);
        p->at += c->chars.len ? 0 : 8; /* an empty buffer still needs a place of its own */
    }
    if (c->has_quality)
        out->quality = pack(p, buf_bytes(&c->quality), 0);
    if (c->has_time_offset)
        out->time_offset = pack(p, buf_bytes(&c->time_offset), 0);
}

static size_t pack_all(const struct output *o, struct batch *b)
{
    struct batch_col scratch;
    struct packer p = {(uint8_t *)b, batch_header_bytes(o->schema->count)};
    uint32_t times = pack(&p, buf_bytes(&o->times), 0);
    if (b)
        b->times = times;
    for (uint32_t i = 0; i < o->schema->count; i++)
        pack_column(&p, &o->cols[i], o->schema->fields[i].type, b ? &b->cols[i] : &scratch);
    return p.at;
}

static int output_error(const struct output *o)
{
    int err = buf_error(&o->times);
    for (uint32_t i = 0; i < o->schema->count && !err; i++) {
        const struct output_col *c = &o->cols[i];
        if (c->data.failed || c->valid.failed || c->offsets.failed || c->chars.failed ||
            c->tags.failed || c->quality.failed || c->time_offset.failed)
            err = ERR_NOMEM;
        else if (c->chars.len > BATCH_BYTES_MAX)
            err = ERR_LIMIT;
    }
    return err;
}

static void output_reset(struct output *o)
{
    for (uint32_t i = 0; i < o->schema->count; i++) {
        struct output_col *c = &o->cols[i];
        col_each(c, buf_reset);
        c->has_null = false;
        c->has_quality = false;
        c->has_time_offset = false;
    }
    buf_reset(&o->times);
    o->rows = 0;
}

int output_finish(struct output *o, struct batch **ret)
{
    struct batch *b = NULL;
    int err = o->rows ? output_error(o) : ERR_INVALID;
    size_t bytes = err ? 0 : pack_all(o, NULL);
    if (!err && bytes > BATCH_BYTES_MAX)
        err = ERR_LIMIT;
    if (!err)
        err = batch_alloc(o->schema, o->rows, bytes, NULL, &b);
    if (!err) {
        (void)pack_all(o, b);
        *ret = b;
    }
    output_reset(o);
    return err;
}
