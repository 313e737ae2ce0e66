/* Vectors: what expressions are computed in.
 *
 * A batch is worked through in chunks of VEC_ROWS rows, so that all registers of a rule stay in the
 * cache and have a fixed size: nothing is allocated while a rule runs, except for text that a
 * function makes (the machine's arena, reset each chunk). Constants are written out VEC_ROWS times
 * when the rule is made, so that no kernel has to know about them. A column of plain 64-bit numbers
 * is not copied: its vector points into the batch.
 *
 * Scaled values, float32 and double are computed as double; int64 and uint64 stay exact. A column
 * whose type is only known per row (schemaless JSON) is a vector of struct value.
 */
#ifndef LOTLINE_STREAM_VEC_H
#define LOTLINE_STREAM_VEC_H

#include "model/batch.h"

#define VEC_ROWS  256u
#define VEC_WORDS (VEC_ROWS / 64u)

enum vec_kind {
    VEC_BOOL, /* uint8_t: 0 or 1 */
    VEC_I64,  /* int64_t: int64 and timestamp */
    VEC_U64,  /* uint64_t */
    VEC_F64,  /* double: also float32, and whatever is scaled */
    VEC_TEXT, /* struct bytes: string and bytes */
    VEC_ANY,  /* struct value */
};

#define VEC_KIND_COUNT 6

/* How values of a type are computed with. */
static inline enum vec_kind vec_kind_of(enum value_type type)
{
    static const enum vec_kind kinds[VALUE_TYPE_COUNT] = {
        [VALUE_NULL] = VEC_ANY,    [VALUE_BOOL] = VEC_BOOL,   [VALUE_INT64] = VEC_I64,
        [VALUE_UINT64] = VEC_U64,  [VALUE_FLOAT32] = VEC_F64, [VALUE_DOUBLE] = VEC_F64,
        [VALUE_STRING] = VEC_TEXT, [VALUE_BYTES] = VEC_TEXT,  [VALUE_TIMESTAMP] = VEC_I64,
        [VALUE_ANY] = VEC_ANY,
    };

    return kinds[type];
}

static inline size_t vec_width(enum vec_kind kind)
{
    static const uint8_t widths[VEC_KIND_COUNT] = {
        [VEC_BOOL] = 1,
        [VEC_I64] = 8,
        [VEC_U64] = 8,
        [VEC_F64] = 8,
        [VEC_TEXT] = sizeof(struct bytes),
        [VEC_ANY] = sizeof(struct value),
    };
    return widths[kind];
}

struct vec {
    enum value_type type;
    enum vec_kind kind;

    union {
        const void *data;
        const uint8_t *b;
        const int64_t *i;
        const uint64_t *u;
        const double *f;
        const struct bytes *t;
        const struct value *v;
    };

    /* Bit set = present; NULL = all present. In a VEC_ANY a value of type VALUE_NULL is absent
     * too. */
    const uint64_t *valid;
};

static inline bool words_get(const uint64_t *words, uint32_t i)
{
    return (words[i >> 6] >> (i & 63)) & 1;
}

static inline void words_set(uint64_t *words, uint32_t i)
{
    words[i >> 6] |= (uint64_t)1 << (i & 63);
}

static inline void words_clear(uint64_t *words, uint32_t i)
{
    words[i >> 6] &= ~((uint64_t)1 << (i & 63));
}

static inline bool vec_is_null(const struct vec *v, uint32_t i)
{
    return (v->valid && !words_get(v->valid, i)) ||
           (v->kind == VEC_ANY && v->v[i].type == VALUE_NULL);
}

/* One value of any vector; VALUE_NULL if absent. */
static inline struct value vec_value(const struct vec *v, uint32_t i)
{
    struct value out = {.type = VALUE_NULL};
    if (v->valid && !words_get(v->valid, i))
        return out;
    if (v->kind == VEC_ANY)
        return v->v[i];
    out.type = v->type == VALUE_FLOAT32 ? VALUE_DOUBLE : v->type;
    if (v->kind == VEC_BOOL)
        out.boolean = v->b[i] != 0;
    else if (v->kind == VEC_TEXT)
        out.bytes = v->t[i];
    else
        out.u64 = v->u[i];
    return out;
}

#endif
