/* CRC-32C by the processor's instruction, or four bits at a time. See crc32c.h.
 *
 * The instruction takes 8 bytes every cycle but answers after three, so a long piece is cut into
 * three lanes that are computed side by side. Joining two lanes means moving a CRC over the zeros
 * that stand for the bytes behind it; since the lanes are always LANE_BYTES long, that is one
 * multiplication by a constant in the field of polynomials.
 */
#include "journal/crc32c.h"

#define CRC32C_POLYNOMIAL 0x82f63b78u /* reflected */

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

#define LANE_BYTES 1024u
#define LANE_COUNT 3u
/* x^(8 × LANE_BYTES) modulo the polynomial, reflected: a CRC times this is the CRC with LANE_BYTES
 * zero bytes behind it. crc32c_test.c derives it. */
#define LANE_SHIFT 0xe4172b16u

/* a × b modulo the polynomial; bit 31 is x^0. */
static uint32_t crc_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b >> 1) ^ (b & 1 ? CRC32C_POLYNOMIAL : 0);
    }
    return product;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_lanes(uint32_t crc, const uint8_t *p)
{
    uint64_t lane[LANE_COUNT] = {crc, 0, 0};
    for (uint32_t i = 0; i < LANE_BYTES; i += 8) {
        lane[0] = __builtin_ia32_crc32di(lane[0], load_le64(p + i));
        lane[1] = __builtin_ia32_crc32di(lane[1], load_le64(p + LANE_BYTES + i));
        lane[2] = __builtin_ia32_crc32di(lane[2], load_le64(p + 2 * LANE_BYTES + i));
    }
    uint32_t two = crc_multiply((uint32_t)lane[0], LANE_SHIFT) ^ (uint32_t)lane[1];
    return crc_multiply(two, LANE_SHIFT) ^ (uint32_t)lane[2];
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(uint32_t crc, struct bytes v)
{
    const uint8_t *p = v.ptr;
    size_t left = v.len;
    crc = ~crc;
    for (; left >= LANE_COUNT * LANE_BYTES; left -= LANE_COUNT * LANE_BYTES) {
        crc = crc32c_lanes(crc, p);
        p += LANE_COUNT * LANE_BYTES;
    }
    for (; left >= 8; left -= 8, p += 8)
        crc = (uint32_t)__builtin_ia32_crc32di(crc, load_le64(p));
    for (; left > 0; left--, p++)
        crc = __builtin_ia32_crc32qi(crc, *p);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, struct bytes v)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_hardware(crc, v) : crc32c_portable(crc, v);
}

#else

uint32_t crc32c(uint32_t crc, struct bytes v)
{
    return crc32c_portable(crc, v);
}

#endif
