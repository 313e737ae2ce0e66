/* A schema as bytes and back. See columnar.h. */
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/columnar.h"

#define BIT_SCALE 0x80u
#define BIT_UOM   0x40u
#define BIT_FLAGS 0x20u
#define BITS_TYPE 0x1fu

#define FLAGS_ALL       ((uint64_t)(FIELD_TEXT | FIELD_SCALED | FIELD_LINEAR | FIELD_JSON))
#define FIELD_BYTES_MIN 2u /* type and an empty name */

static uint64_t double_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static int put_field(const struct field *f, struct buf *out)
{
    size_t name = strlen(f->name);
    size_t uom = strlen(f->uom);
    /* Also where no scale applies: the hash is over these bits too. */
    bool scale = double_bits(f->scale) != 0 || double_bits(f->offset) != 0;
    if (uom > COLUMNAR_UOM_BYTES_MAX)
        return ERR_LIMIT;
    unsigned head = (unsigned)f->type | (scale ? BIT_SCALE : 0) | (uom ? BIT_UOM : 0) |
                    (f->flags ? BIT_FLAGS : 0);
    (void)buf_append_u8(out, (uint8_t)head);
    (void)buf_append_u8(out, (uint8_t)name);
    int err = buf_append(out, f->name, name);
    if (f->flags)
        err = buf_append_varint(out, f->flags);
    if (uom) {
        (void)buf_append_varint(out, uom);
        err = buf_append(out, f->uom, uom);
    }
    if (scale) {
        (void)buf_append_le64(out, double_bits(f->scale));
        err = buf_append_le64(out, double_bits(f->offset));
    }
    return err;
}

int columnar_schema_encode(const struct schema *s, struct buf *out)
{
    size_t start = out->len;
    (void)buf_append_u8(out, COLUMNAR_SCHEMA_VERSION);
    int err = buf_append_varint(out, s->count);
    for (uint32_t i = 0; i < s->count && !err; i++)
        err = put_field(&s->fields[i], out);
    if (err)
        out->len = start;
    return err;
}

static int take_text(struct reader *r, size_t len, struct arena *arena, const char **ret)
{
    struct bytes v = reader_take(r, len);
    if (r->failed)
        return ERR_SHORT;
    if (!str_is_utf8(v) || (v.len && memchr(v.ptr, 0, v.len)))
        return ERR_MALFORMED;
    const char *copy = arena_copy(arena, v);
    if (!copy)
        return ERR_NOMEM;
    *ret = copy;
    return OK;
}

static double take_double(struct reader *r)
{
    uint64_t bits = reader_le64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static int take_field(struct reader *r, struct arena *arena, struct field *f)
{
    uint8_t head = reader_u8(r);
    unsigned type = head & BITS_TYPE;
    if (!r->failed && (type == VALUE_NULL || type >= VALUE_TYPE_COUNT))
        return ERR_MALFORMED;
    f->type = (enum value_type)type;
    int err = take_text(r, reader_u8(r), arena, &f->name);
    if (err)
        return err;
    if (head & BIT_FLAGS) {
        uint64_t flags = reader_varint(r);
        if (flags & ~FLAGS_ALL)
            return ERR_MALFORMED;
        f->flags = (uint32_t)flags;
    }
    if (head & BIT_UOM) {
        uint64_t uom = reader_varint(r);
        if (uom > COLUMNAR_UOM_BYTES_MAX)
            return ERR_LIMIT;
        err = take_text(r, (size_t)uom, arena, &f->uom);
        if (err)
            return err;
    }
    if (head & BIT_SCALE) {
        f->scale = take_double(r);
        f->offset = take_double(r);
    }
    return r->failed ? ERR_SHORT : OK;
}

static int take_fields(struct reader *r, struct arena *arena, struct schema **ret)
{
    if (reader_u8(r) != COLUMNAR_SCHEMA_VERSION)
        return r->failed ? ERR_SHORT : ERR_VERSION;
    uint64_t count = reader_varint(r);
    if (count > SCHEMA_FIELDS_MAX)
        return ERR_LIMIT;
    if (r->failed || count > reader_left(r) / FIELD_BYTES_MIN)
        return ERR_SHORT;
    struct field *fields = arena_array(arena, (size_t)count, sizeof *fields);
    if (!fields)
        return ERR_NOMEM;
    for (uint64_t i = 0; i < count; i++) {
        int err = take_field(r, arena, &fields[i]);
        if (err)
            return err;
    }
    if (reader_left(r))
        return ERR_MALFORMED;
    return schema_new(fields, (uint32_t)count, ret);
}

int columnar_schema_decode(struct bytes text, struct schema **ret)
{
    struct arena arena = {0};
    struct reader r = reader_of(text);
    int err = take_fields(&r, &arena, ret);
    arena_fini(&arena);
    return err;
}
