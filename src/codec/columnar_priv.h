/* Shared by the columnar encoder and decoder; the format itself is told in columnar.h. */
#ifndef LOTLINE_CODEC_COLUMNAR_PRIV_H
#define LOTLINE_CODEC_COLUMNAR_PRIV_H

#include "codec/columnar.h"

#define HEAD_BYTES 10u /* version, flags, hash */
#define FLAG_ZSTD  0x01u

enum section {
    SECTION_NULLS = 1u << 0,
    SECTION_QUALITY = 1u << 1,
    SECTION_TIME_OFFSET = 1u << 2,
    SECTION_ALL_NULL = 1u << 3,
    SECTION_EVEN_TIMES = 1u << 4,
};

#define SECTION_ALL 0x1fu

/* How a type's values lie in the payload. */
enum layout {
    LAYOUT_8,
    LAYOUT_4,
    LAYOUT_BIT,
    LAYOUT_CHARS,
    LAYOUT_ANY,
    LAYOUT_NONE,
};

#define LAYOUT_COUNT 6

static inline enum layout layout_of(enum value_type type)
{
    static const uint8_t layouts[VALUE_TYPE_COUNT] = {
        [VALUE_NULL] = LAYOUT_NONE,    [VALUE_BOOL] = LAYOUT_BIT,    [VALUE_INT64] = LAYOUT_8,
        [VALUE_UINT64] = LAYOUT_8,     [VALUE_FLOAT32] = LAYOUT_4,   [VALUE_DOUBLE] = LAYOUT_8,
        [VALUE_STRING] = LAYOUT_CHARS, [VALUE_BYTES] = LAYOUT_CHARS, [VALUE_TIMESTAMP] = LAYOUT_8,
        [VALUE_ANY] = LAYOUT_ANY,
    };
    return (enum layout)layouts[type];
}

/* Bytes of a cell of an `any` column by its tag; strings and bytes have a length instead. */
static inline size_t any_width(uint8_t tag)
{
    static const uint8_t widths[VALUE_TYPE_COUNT] = {
        [VALUE_BOOL] = 1,    [VALUE_INT64] = 8,  [VALUE_UINT64] = 8,
        [VALUE_FLOAT32] = 4, [VALUE_DOUBLE] = 8, [VALUE_TIMESTAMP] = 8,
    };
    return widths[tag];
}

static inline bool any_has_chars(uint8_t tag)
{
    return tag == VALUE_STRING || tag == VALUE_BYTES;
}

static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline size_t bits_bytes(uint64_t bits)
{
    return (size_t)((bits + 7) / 8);
}

/* Copies n bits from bit `from` of src to bit `to` of dst, whose bits from there on are zero. */
static inline void bits_copy(uint8_t *dst, uint64_t to, const uint8_t *src, uint64_t from,
                             uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t f = from + i;
        uint64_t t = to + i;
        unsigned bit = (src[f >> 3] >> (f & 7)) & 1u;
        dst[t >> 3] = (uint8_t)(dst[t >> 3] | bit << (t & 7));
    }
}

#endif
