/* Every type and byte order, bit for bit: what a device's registers hold is what a cell holds. */
#include "base/rand.h"
#include "gateway/drivers/modbus/modbus.h"
#include "gateway/gateway_priv.h"
#include "tests/support/check.h"

#define ROUNDS 200

static struct lotline_step step(uint8_t kind, uint16_t len, uint8_t order)
{
    return (struct lotline_step){.kind = kind, .len = len, .order = order};
}

static uint64_t decode_word(const struct lotline_step *s, const uint8_t *data)
{
    uint8_t scratch[LOTLINE_VALUE_BYTES_MAX];
    struct value v = decode_value(s, data, scratch);
    uint64_t word = 0;
    if (v.type == VALUE_FLOAT32)
        memcpy(&word, &v.f32, sizeof v.f32);
    else if (v.type == VALUE_DOUBLE)
        memcpy(&word, &v.f64, sizeof v.f64);
    else
        word = v.u64;
    return word;
}

/* The order by its definition, byte for byte. */
static uint64_t word_by_definition(const uint8_t *data, uint16_t len, uint8_t order)
{
    uint64_t word = 0;
    for (uint16_t i = 0; i < len; i++)
        word = word << 8 | data[i ^ order];
    return word;
}

TEST(every_order_of_every_width_is_an_exclusive_or)
{
    struct rand r;
    uint8_t data[8];
    rand_seed(&r, 1);
    for (int round = 0; round < ROUNDS; round++) {
        store_le64(data, rand_u64(&r));
        for (uint16_t len = 1; len <= 8; len = (uint16_t)(len * 2)) {
            for (uint16_t order = 0; order < len; order++) {
                struct lotline_step s = step(LOTLINE_STEP_UINT, len, (uint8_t)order);
                CHECK_EQ(decode_word(&s, data), word_by_definition(data, len, (uint8_t)order));
            }
        }
    }
}

TEST(what_is_written_is_read_back_bit_for_bit)
{
    static const uint64_t words[] = {0,
                                     1,
                                     UINT64_MAX,
                                     0x8000000000000000,
                                     0x7fffffffffffffff,
                                     0x7ff8000000000001, /* NaN with a payload */
                                     0xfff0dead0000beef,
                                     0x7f800001ffc00001,
                                     0x0123456789abcdef};
    uint8_t registers[8];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (uint8_t order = 0; order < 8; order++) {
            struct modbus_address a = {.count = 4, .order = order};
            struct lotline_value v = {.type = LOTLINE_DOUBLE};
            memcpy(&v.as.f64, &words[i], sizeof words[i]);
            modbus_value_encode(&a, &v, registers);
            struct lotline_step s = step(LOTLINE_STEP_DOUBLE, 8, order);
            CHECK_EQ(decode_word(&s, registers), words[i]);
        }
        for (uint8_t order = 0; order < 4; order++) {
            struct modbus_address a = {.count = 2, .order = order};
            struct lotline_value v = {.type = LOTLINE_FLOAT};
            uint32_t half = (uint32_t)words[i];
            memcpy(&v.as.f32, &half, sizeof half);
            modbus_value_encode(&a, &v, registers);
            struct lotline_step s = step(LOTLINE_STEP_FLOAT, 4, order);
            CHECK_EQ(decode_word(&s, registers), half);
        }
    }
}

TEST(signs_are_extended)
{
    uint8_t scratch[LOTLINE_VALUE_BYTES_MAX];
    const uint8_t data[8] = {0x80, 0, 0, 0, 0, 0, 0, 0};
    struct lotline_step s = step(LOTLINE_STEP_INT, 2, 0);
    CHECK_EQ(decode_value(&s, data, scratch).i64, INT16_MIN);
    s.len = 4;
    CHECK_EQ(decode_value(&s, data, scratch).i64, INT32_MIN);
    s.len = 8;
    CHECK_EQ(decode_value(&s, data, scratch).i64, INT64_MIN);
    s.len = 1;
    CHECK_EQ(decode_value(&s, data, scratch).i64, INT8_MIN);
}

TEST(bits_and_texts)
{
    uint8_t scratch[LOTLINE_VALUE_BYTES_MAX];
    const uint8_t data[8] = {'b', 'a', 'd', 'c', 0, 'e', 0xff, 0x10};
    struct lotline_step s = {.kind = LOTLINE_STEP_BIT, .offset = 7, .bit = 4};
    CHECK(decode_value(&s, data, scratch).boolean);
    s.bit = 3;
    CHECK(!decode_value(&s, data, scratch).boolean);
    s = (struct lotline_step){.kind = LOTLINE_STEP_NONZERO, .offset = 4, .len = 2};
    CHECK(decode_value(&s, data, scratch).boolean);
    s.len = 1;
    CHECK(!decode_value(&s, data, scratch).boolean);
    s = (struct lotline_step){.kind = LOTLINE_STEP_TEXT, .len = 8, .order = 1};
    CHECK_BYTES(decode_value(&s, data, scratch).bytes, bytes_of("abcde", 5));
    CHECK_EQ(decode_step_end(&s), 8);
    s = (struct lotline_step){.kind = LOTLINE_STEP_TEXT, .len = 7, .order = 1};
    CHECK_EQ(decode_step_end(&s), 8);
    s = (struct lotline_step){.kind = LOTLINE_STEP_TEXT, .offset = 6, .len = 1, .stride = 2};
    CHECK_BYTES(decode_value(&s, data, scratch).bytes, bytes_of("\xff", 1));
    s = (struct lotline_step){.kind = LOTLINE_STEP_BYTES, .offset = 4, .len = 4};
    CHECK_BYTES(decode_value(&s, data, scratch).bytes, bytes_of("\0e\xff\x10", 4));
}
