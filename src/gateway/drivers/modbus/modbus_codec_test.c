/* Frames byte by byte as the standard has them, and every way in which an answer can be wrong. */
#include "base/err.h"
#include "gateway/drivers/modbus/modbus.h"
#include "tests/support/check.h"

static const struct bytes no_data = {NULL, 0};

static void check_frame(const struct modbus_ask *ask, struct bytes data, const char *want,
                        size_t len)
{
    uint8_t out[MODBUS_FRAME_BYTES_MAX];
    CHECK_EQ(modbus_frame_encode(ask, 0x1234, data, out), len);
    CHECK_MEM(out, want, len);
}

TEST(requests_are_as_the_standard_has_them)
{
    const struct modbus_ask read = {.start = 0x6b, .count = 3, .unit = 17, .function = 3};
    check_frame(&read, no_data, "\x12\x34\0\0\0\x06\x11\x03\0\x6b\0\x03", 12);
    const struct modbus_ask coil = {
        .start = 0xac, .count = 1, .unit = 1, .function = 5, .value = 0xff00};
    check_frame(&coil, no_data, "\x12\x34\0\0\0\x06\x01\x05\0\xac\xff\0", 12);
    const struct modbus_ask reg = {.start = 1, .count = 1, .unit = 1, .function = 6, .value = 3};
    check_frame(&reg, no_data, "\x12\x34\0\0\0\x06\x01\x06\0\x01\0\x03", 12);
    const struct modbus_ask coils = {.start = 0x13, .count = 10, .unit = 1, .function = 15};
    check_frame(&coils, bytes_of("\xcd\x01", 2),
                "\x12\x34\0\0\0\x09\x01\x0f\0\x13\0\x0a\x02\xcd\x01", 15);
    const struct modbus_ask regs = {.start = 1, .count = 2, .unit = 1, .function = 16};
    check_frame(&regs, bytes_of("\0\x0a\x01\x02", 4),
                "\x12\x34\0\0\0\x0b\x01\x10\0\x01\0\x02\x04\0\x0a\x01\x02", 17);
    const struct modbus_ask mask = {
        .start = 4, .count = 1, .unit = 1, .function = 22, .value = 0x25, .mask = 0xf2};
    check_frame(&mask, no_data, "\x12\x34\0\0\0\x08\x01\x16\0\x04\0\xf2\0\x25", 14);
}

TEST(a_frame_is_taken_whole_or_not_at_all)
{
    static const char wire[] = "\x12\x34\0\0\0\x05\x11\x03\x02\x02\x2b\xff";
    struct modbus_frame f = {0};
    size_t used = 0;
    for (size_t i = 0; i < 11; i++)
        CHECK_ERR(modbus_frame_decode(bytes_of(wire, i), &f, &used), ERR_SHORT);
    CHECK_OK(modbus_frame_decode(bytes_of(wire, 12), &f, &used));
    CHECK_EQ(used, 11);
    CHECK_EQ(f.transaction, 0x1234);
    CHECK_EQ(f.unit, 17);
    CHECK_EQ(f.function, 3);
    CHECK_BYTES(f.body, bytes_of("\x02\x02\x2b", 3));
}

TEST(a_head_that_cannot_be_is_refused)
{
    struct modbus_frame f = {0};
    size_t used = 0;
    CHECK_ERR(modbus_frame_decode(bytes_of("\0\1\0\1\0\x05\1\3\2\0\0", 11), &f, &used),
              ERR_VERSION);
    CHECK_ERR(modbus_frame_decode(bytes_of("\0\1\0\0\0\x02\1\3", 8), &f, &used), ERR_MALFORMED);
    CHECK_ERR(modbus_frame_decode(bytes_of("\0\1\0\0\0\xff\1\3", 8), &f, &used), ERR_MALFORMED);
    CHECK_ERR(modbus_frame_decode(bytes_of("\0\1\0\0\xff\xff", 6), &f, &used), ERR_MALFORMED);
}

static enum modbus_verdict verdict(const struct modbus_ask *ask, uint8_t unit, uint8_t function,
                                   const char *body, size_t len)
{
    struct modbus_frame f = {.unit = unit, .function = function, .body = bytes_of(body, len)};
    struct bytes data = {0};
    uint8_t exception = 0;
    enum modbus_verdict v = modbus_reply_check(ask, &f, &data, &exception);
    if (v == MODBUS_DATA)
        CHECK_EQ(data.len, ask->function <= 2 ? (ask->count + 7u) / 8u : ask->count * 2u);
    if (v == MODBUS_EXCEPTION)
        CHECK_EQ(exception, (uint8_t)body[0]);
    return v;
}

TEST(an_answer_is_held_against_its_request)
{
    const struct modbus_ask ask = {.start = 0, .count = 2, .unit = 1, .function = 3};
    CHECK_EQ(verdict(&ask, 1, 3, "\x04\0\1\0\2", 5), MODBUS_DATA);
    CHECK_EQ(verdict(&ask, 1, 3, "\xff\0\1\0\2", 5), MODBUS_DATA); /* the count overflowed */
    CHECK_EQ(verdict(&ask, 2, 3, "\x04\0\1\0\2", 5), MODBUS_FOREIGN_UNIT);
    CHECK_EQ(verdict(&ask, 1, 4, "\x04\0\1\0\2", 5), MODBUS_FOREIGN_FUNCTION);
    CHECK_EQ(verdict(&ask, 1, 0x84, "\x02", 1), MODBUS_FOREIGN_FUNCTION);
    CHECK_EQ(verdict(&ask, 1, 3, "\x02\0\1", 3), MODBUS_SHORT);
    CHECK_EQ(verdict(&ask, 1, 3, "\x06\0\1\0\2\0\3", 7), MODBUS_LONG);
    CHECK_EQ(verdict(&ask, 1, 3, "\x06\0\1\0\2", 5), MODBUS_BYTE_COUNT);
    CHECK_EQ(verdict(&ask, 1, 0x83, "\x02", 1), MODBUS_EXCEPTION);
    CHECK_EQ(verdict(&ask, 1, 0x83, "\x02\x02", 2), MODBUS_LONG);
    const struct modbus_ask bits = {.start = 0, .count = 9, .unit = 1, .function = 1};
    CHECK_EQ(verdict(&bits, 1, 1, "\x02\xff\x01", 3), MODBUS_DATA);
    CHECK_EQ(verdict(&bits, 1, 1, "\x01\xff", 2), MODBUS_SHORT);
}

TEST(a_confirmation_names_what_was_written)
{
    const struct modbus_ask reg = {.start = 1, .count = 1, .unit = 1, .function = 6, .value = 3};
    CHECK_EQ(verdict(&reg, 1, 6, "\0\1\0\3", 4), MODBUS_CONFIRMED);
    CHECK_EQ(verdict(&reg, 1, 6, "\0\1\0\4", 4), MODBUS_ECHO);
    CHECK_EQ(verdict(&reg, 1, 6, "\0\2\0\3", 4), MODBUS_ECHO);
    CHECK_EQ(verdict(&reg, 1, 6, "\0\1\0", 3), MODBUS_SHORT);
    const struct modbus_ask regs = {.start = 1, .count = 2, .unit = 1, .function = 16};
    CHECK_EQ(verdict(&regs, 1, 16, "\0\1\0\2", 4), MODBUS_CONFIRMED);
    CHECK_EQ(verdict(&regs, 1, 16, "\0\1\0\1", 4), MODBUS_ECHO);
    const struct modbus_ask mask = {
        .start = 4, .count = 1, .unit = 1, .function = 22, .value = 0x25, .mask = 0xf2};
    CHECK_EQ(verdict(&mask, 1, 22, "\0\4\0\xf2\0\x25", 6), MODBUS_CONFIRMED);
    CHECK_EQ(verdict(&mask, 1, 22, "\0\4\0\xf2\0\x24", 6), MODBUS_ECHO);
}

TEST(exceptions_have_names)
{
    static const char *const names[] = {"illegal function",
                                        "illegal data address",
                                        "illegal data value",
                                        "server device failure",
                                        "acknowledge",
                                        "server device busy",
                                        "negative acknowledge",
                                        "memory parity error",
                                        NULL,
                                        "gateway path unavailable",
                                        "gateway target device failed to respond"};
    char out[MODBUS_EXCEPTION_TEXT_BYTES_MAX];
    for (uint8_t i = 0; i < 11; i++) {
        const char *text = modbus_exception_text((uint8_t)(i + 1), out);
        if (names[i])
            CHECK(strncmp(text, names[i], strlen(names[i])) == 0);
    }
    CHECK_STR(modbus_exception_text(9, out), "exception 9");
    CHECK_STR(modbus_exception_text(200, out), "exception 200");
}

TEST(values_lie_in_registers_by_their_order)
{
    uint8_t out[16];
    struct modbus_address a = {.count = 2, .order = 2};
    struct lotline_value v = {.type = LOTLINE_UINT32, .as.u64 = 0x41424344};
    modbus_value_encode(&a, &v, out);
    CHECK_MEM(out, "CDAB", 4);
    a.order = 1;
    modbus_value_encode(&a, &v, out);
    CHECK_MEM(out, "BADC", 4);
    struct modbus_address wide = {.count = 4, .order = 6};
    struct lotline_value w = {.type = LOTLINE_INT64, .as.u64 = 0x3132333435363738};
    modbus_value_encode(&wide, &w, out);
    CHECK_MEM(out, "78563412", 8);
    struct modbus_address single = {.count = 2};
    struct lotline_value f = {.type = LOTLINE_FLOAT, .as.f32 = -0.0F};
    modbus_value_encode(&single, &f, out);
    CHECK_MEM(out, "\x80\0\0\0", 4);
}

TEST(strings_lie_in_registers_by_their_mode)
{
    uint8_t out[16];
    struct lotline_value v = {.type = LOTLINE_STRING, .len = 3, .as.ptr = (const uint8_t *)"abc"};
    struct modbus_address a = {.count = 2, .len = 4, .text = MODBUS_TEXT_HIGH};
    modbus_value_encode(&a, &v, out);
    CHECK_MEM(out, "abc\0", 4);
    a.text = MODBUS_TEXT_LOW;
    modbus_value_encode(&a, &v, out);
    CHECK_MEM(out, "ba\0c", 4);
    struct modbus_address wide = {.count = 4, .len = 4, .text = MODBUS_TEXT_LOW_ONLY};
    modbus_value_encode(&wide, &v, out);
    CHECK_MEM(out, "\0a\0b\0c\0\0", 8);
    wide.text = MODBUS_TEXT_HIGH_ONLY;
    modbus_value_encode(&wide, &v, out);
    CHECK_MEM(out, "a\0b\0c\0\0\0", 8);
}
