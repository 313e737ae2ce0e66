/* From the bytes of an answer to the cells of a batch, by the driver's table of steps.
 *
 * This is the gateway's inner loop: a million values a second go through it. A step is data, so
 * there is one switch and no call through a pointer for a value; integers are never turned into
 * floating-point numbers and floating-point numbers never change a bit.
 */
#include "gateway/gateway_priv.h"

#include <assert.h>

uint32_t decode_step_end(const struct lotline_step *s)
{
    if (s->kind == LOTLINE_STEP_BIT)
        return s->offset + 1;
    if (s->kind == LOTLINE_STEP_TEXT && s->len > 0) {
        uint32_t stride = s->stride ? s->stride : 1;
        /* Registers hold pairs: the exclusive or may reach one byte further. */
        uint32_t last = (uint32_t)(s->len - 1) * stride;
        return s->offset + (s->order ? last | 1u : last) + 1;
    }
    return s->offset + s->len;
}

/* The step's bytes as a number, most significant first after the byte order. */
static inline uint64_t step_word(const struct lotline_step *s, const uint8_t *p)
{
    uint64_t w;
    switch (s->len) {
    case 2:
        w = load_be16(p);
        return s->order & 1 ? __builtin_bswap16((uint16_t)w) : w;
    case 4:
        w = load_be32(p);
        if (s->order & 1)
            w = (w & 0x00ff00ffu) << 8 | (w >> 8 & 0x00ff00ffu);
        return s->order & 2 ? (uint32_t)(w << 16 | w >> 16) : w;
    case 8:
        w = load_be64(p);
        if (s->order & 1)
            w = (w & 0x00ff00ff00ff00ffu) << 8 | (w >> 8 & 0x00ff00ff00ff00ffu);
        if (s->order & 2)
            w = (w & 0x0000ffff0000ffffu) << 16 | (w >> 16 & 0x0000ffff0000ffffu);
        return s->order & 4 ? w << 32 | w >> 32 : w;
    default:
        return p[0];
    }
}

static inline int64_t sign_extend(uint64_t w, uint32_t bytes)
{
    uint32_t shift = 64 - bytes * 8;
    return (int64_t)(w << shift) >> shift;
}

static inline float word_float(uint64_t w)
{
    uint32_t bits = (uint32_t)w;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline double word_double(uint64_t w)
{
    double v;
    memcpy(&v, &w, sizeof v);
    return v;
}

static bool any_set(const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (p[i])
            return true;
    return false;
}

/* The characters up to the first zero, in scratch. */
static struct bytes step_text(const struct lotline_step *s, const uint8_t *p, uint8_t *scratch)
{
    uint32_t stride = s->stride ? s->stride : 1;
    size_t n = 0;
    for (; n < s->len; n++) {
        uint8_t c = p[(n * stride) ^ s->order];
        if (c == 0)
            break;
        scratch[n] = c;
    }
    return bytes_of(scratch, n);
}

static int bytes_set(const struct lotline_step *s, const uint8_t *p, struct batch_builder *bb)
{
    uint8_t scratch[LOTLINE_VALUE_BYTES_MAX];
    if (s->kind == LOTLINE_STEP_TEXT)
        return batch_set_bytes(bb, s->tag, step_text(s, p, scratch));
    return batch_set_bytes(bb, s->tag, bytes_of(p, s->len));
}

int decode_steps(const struct lotline_step *steps, uint32_t count, const uint8_t *data,
                 struct batch_builder *bb, int32_t time_offset_us)
{
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++) {
        const struct lotline_step *s = &steps[i];
        const uint8_t *p = data + s->offset;
        switch ((enum lotline_step_kind)s->kind) {
        case LOTLINE_STEP_INT:
            batch_set_i64(bb, s->tag, sign_extend(step_word(s, p), s->len));
            break;
        case LOTLINE_STEP_UINT:
            batch_set_u64(bb, s->tag, step_word(s, p));
            break;
        case LOTLINE_STEP_FLOAT:
            batch_set_f32(bb, s->tag, word_float(step_word(s, p)));
            break;
        case LOTLINE_STEP_DOUBLE:
            batch_set_f64(bb, s->tag, word_double(step_word(s, p)));
            break;
        case LOTLINE_STEP_BIT:
            batch_set_bool(bb, s->tag, (p[0] >> s->bit) & 1);
            break;
        case LOTLINE_STEP_NONZERO:
            batch_set_bool(bb, s->tag, any_set(p, s->len));
            break;
        case LOTLINE_STEP_TEXT:
        case LOTLINE_STEP_BYTES:
            err = bytes_set(s, p, bb);
            break;
        }
        if (!err && time_offset_us)
            err = batch_set_time_offset(bb, s->tag, time_offset_us);
    }
    return err;
}

struct value decode_value(const struct lotline_step *s, const uint8_t *data, uint8_t *scratch)
{
    const uint8_t *p = data + s->offset;
    struct value v = {.quality = QUALITY_GOOD};
    switch ((enum lotline_step_kind)s->kind) {
    case LOTLINE_STEP_INT:
        v.type = VALUE_INT64;
        v.i64 = sign_extend(step_word(s, p), s->len);
        break;
    case LOTLINE_STEP_UINT:
        v.type = VALUE_UINT64;
        v.u64 = step_word(s, p);
        break;
    case LOTLINE_STEP_FLOAT:
        v.type = VALUE_FLOAT32;
        v.f32 = word_float(step_word(s, p));
        break;
    case LOTLINE_STEP_DOUBLE:
        v.type = VALUE_DOUBLE;
        v.f64 = word_double(step_word(s, p));
        break;
    case LOTLINE_STEP_BIT:
        v.type = VALUE_BOOL;
        v.boolean = (p[0] >> s->bit) & 1;
        break;
    case LOTLINE_STEP_NONZERO:
        v.type = VALUE_BOOL;
        v.boolean = any_set(p, s->len);
        break;
    case LOTLINE_STEP_TEXT:
        v.type = VALUE_BYTES;
        v.bytes = step_text(s, p, scratch);
        break;
    case LOTLINE_STEP_BYTES:
        v.type = VALUE_BYTES;
        memcpy(scratch, p, s->len);
        v.bytes = bytes_of(scratch, s->len);
        break;
    }
    return v;
}

struct value decode_lotline(const struct lotline_value *lv)
{
    struct value v = {.type = tag_value_type((uint8_t)lv->type), .quality = QUALITY_GOOD};
    if (v.type == VALUE_BOOL)
        v.boolean = lv->as.boolean;
    else if (v.type == VALUE_FLOAT32)
        v.f32 = lv->as.f32;
    else if (v.type == VALUE_BYTES)
        v.bytes = bytes_of(lv->as.ptr, lv->len);
    else
        v.u64 = lv->as.u64;
    return v;
}
