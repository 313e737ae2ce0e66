/* CRC-32C by the processor's instruction, or four bits at a time. See crc32c.h.
 *
 * The instruction takes 8 bytes every cycle but answers after three, so a long piece is cut into
 * three lanes that are computed side by side. Joining two lanes means moving a CRC over the zeros
 * that stand for the bytes behind it; since lanes have one of two lengths, that is one
 * multiplication by a constant in the field of polynomials. Copying beside it is nearly free: the
 * bytes have been loaded anyway.
 */
#include "journal/crc32c.h"

#ifdef __x86_64__
#include <wmmintrin.h>
#endif

/* crc_of_nibble[i]: what four bits i do to a CRC. */
static const uint32_t crc_of_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_portable(uint32_t crc, struct bytes v)
{
    crc = ~crc;
    for (size_t i = 0; i < v.len; i++) {
        crc ^= v.ptr[i];
        crc = (crc >> 4) ^ crc_of_nibble[crc & 15];
        crc = (crc >> 4) ^ crc_of_nibble[crc & 15];
    }
    return ~crc;
}

#ifdef __x86_64__

#define PROCESSOR  __attribute__((target("sse4.2,pclmul")))
#define LANE_COUNT 3u

/* x^(8 × bytes - 33) modulo the polynomial, reflected. A CRC times this, as 64 bits of data, has
 * the CRC of the first with so many zero bytes behind it: the instruction for 8 bytes of data
 * multiplies by x^32, and a product of two reflected factors lies one bit low. */
struct lanes {
    uint32_t bytes;
    uint32_t shift_one; /* over one lane */
    uint32_t shift_two;
};

static const struct lanes lanes_long = {1024, 0x170076fau, 0xa51b6135u};
static const struct lanes lanes_short = {256, 0xb9e02b86u, 0xdd7e3b0cu};

/* The 8 bytes at p, copied to `out` if there is one. */
PROCESSOR static inline uint64_t word_add(uint64_t crc, const uint8_t *p, uint8_t *out)
{
    uint64_t word = load_le64(p);
    if (out)
        store_le64(out, word);
    return __builtin_ia32_crc32di(crc, word);
}

PROCESSOR static inline uint64_t carryless_multiply(uint64_t a, uint32_t b)
{
    __m128i factor = _mm_cvtsi64_si128((int64_t)b);
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)a), factor, 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* LANE_COUNT × lanes->bytes of them. */
PROCESSOR static inline uint64_t lanes_add(const struct lanes *lanes, uint64_t crc,
                                           const uint8_t *p, uint8_t *out)
{
    uint32_t one = lanes->bytes;
    uint32_t two = 2 * lanes->bytes;
    uint64_t second = 0;
    uint64_t third = 0;
    for (uint32_t i = 0; i < one; i += 8) {
        crc = word_add(crc, p + i, out ? out + i : NULL);
        second = word_add(second, p + one + i, out ? out + one + i : NULL);
        third = word_add(third, p + two + i, out ? out + two + i : NULL);
    }
    uint64_t product =
        carryless_multiply(crc, lanes->shift_two) ^ carryless_multiply(second, lanes->shift_one);
    return __builtin_ia32_crc32di(0, product) ^ third;
}

/* Inlined twice, so that the check for `out` is not in the loops. */
PROCESSOR static inline __attribute__((always_inline)) uint32_t
bytes_add(uint32_t crc, struct bytes v, uint8_t *out)
{
    uint64_t sum = ~crc;
    size_t at = 0;
    for (; v.len - at >= LANE_COUNT * lanes_long.bytes; at += LANE_COUNT * lanes_long.bytes)
        sum = lanes_add(&lanes_long, sum, v.ptr + at, out ? out + at : NULL);
    for (; v.len - at >= LANE_COUNT * lanes_short.bytes; at += LANE_COUNT * lanes_short.bytes)
        sum = lanes_add(&lanes_short, sum, v.ptr + at, out ? out + at : NULL);
    for (; v.len - at >= 8; at += 8)
        sum = word_add(sum, v.ptr + at, out ? out + at : NULL);
    for (; at < v.len; at++) {
        if (out)
            out[at] = v.ptr[at];
        sum = __builtin_ia32_crc32qi((uint32_t)sum, v.ptr[at]);
    }
    return ~(uint32_t)sum;
}

PROCESSOR static uint32_t crc32c_processor(uint32_t crc, struct bytes v)
{
    return bytes_add(crc, v, NULL);
}

PROCESSOR static uint32_t crc32c_processor_copy(uint32_t crc, uint8_t *out, struct bytes v)
{
    return bytes_add(crc, v, out);
}

static bool processor_helps(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

uint32_t crc32c(uint32_t crc, struct bytes v)
{
    return processor_helps() ? crc32c_processor(crc, v) : crc32c_portable(crc, v);
}

uint32_t crc32c_copy(uint32_t crc, uint8_t *out, struct bytes v)
{
    if (processor_helps())
        return crc32c_processor_copy(crc, out, v);
    if (v.len)
        memcpy(out, v.ptr, v.len);
    return crc32c_portable(crc, v);
}

#else

uint32_t crc32c(uint32_t crc, struct bytes v)
{
    return crc32c_portable(crc, v);
}

uint32_t crc32c_copy(uint32_t crc, uint8_t *out, struct bytes v)
{
    if (v.len)
        memcpy(out, v.ptr, v.len);
    return crc32c_portable(crc, v);
}

#endif
