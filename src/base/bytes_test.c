/* Buffers, readers of hostile input, and shared payloads. */
#include "base/bytes.h"

#include "base/err.h"
#include "base/rand.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <math.h>

TEST(bytes_have_memcmp_order)
{
    CHECK(bytes_compare(bytes_of_text("a"), bytes_of_text("b")) < 0);
    CHECK(bytes_compare(bytes_of_text("a"), bytes_of_text("aa")) < 0);
    CHECK(bytes_compare(bytes_of_text("\xff"), bytes_of_text("a")) > 0);
    CHECK_EQ(bytes_compare(bytes_of(NULL, 0), bytes_of_text("")), 0);
    CHECK(bytes_equal(bytes_of(NULL, 0), bytes_of_text("")));
    CHECK(!bytes_equal(bytes_of_text("a"), bytes_of_text("b")));
}

TEST(bytes_load_what_they_stored)
{
    uint8_t raw[8];
    store_be16(raw, 0x0102);
    CHECK_MEM(raw, "\x01\x02", 2);
    CHECK_EQ(load_be16(raw), 0x0102);
    store_le32(raw, 0x01020304);
    CHECK_MEM(raw, "\x04\x03\x02\x01", 4);
    CHECK_EQ(load_be32(raw), 0x04030201);
    store_be64(raw, 0x0102030405060708);
    CHECK_EQ(load_le64(raw), 0x0807060504030201);
}

TEST(buf_grows_and_keeps)
{
    struct buf b = {0};
    CHECK(buf_reserve(&b, 0) != NULL);
    for (int i = 0; i < 1000; i++)
        CHECK_OK(buf_append_u8(&b, (uint8_t)i));
    CHECK_EQ(b.len, 1000);
    CHECK_EQ(b.ptr[999], 999 & 0xff);
    buf_reset(&b);
    CHECK_OK(buf_append_text(&b, "a"));
    CHECK_OK(buf_printf(&b, "%d-%s", 5, "x"));
    CHECK_OK(buf_append(&b, NULL, 0));
    CHECK_STR(buf_text(&b), "a5-x");
    CHECK_EQ(b.len, 4);
    buf_reset(&b);
    CHECK_OK(buf_append_be16(&b, 0x0102));
    CHECK_OK(buf_append_le32(&b, 3));
    CHECK_OK(buf_append_le64(&b, 4));
    CHECK_BYTES(buf_bytes(&b), bytes_of("\x01\x02\x03\0\0\0\x04\0\0\0\0\0\0\0", 14));
    buf_fini(&b);
    CHECK_STR(buf_text(&b), "");
    buf_fini(&b);
}

TEST(buf_remembers_that_it_failed)
{
    struct buf b = {0};
    CHECK(buf_reserve(&b, SIZE_MAX) == NULL);
    CHECK_ERR(buf_append_u8(&b, 1), ERR_NOMEM);
    CHECK_ERR(buf_append(&b, NULL, 0), ERR_NOMEM);
    CHECK_ERR(buf_error(&b), ERR_NOMEM);
    CHECK_STR(buf_text(&b), "");
    buf_reset(&b);
    CHECK_OK(buf_append_u8(&b, 1));
    buf_fini(&b);
}

TEST(a_reader_of_nothing_has_nothing)
{
    struct reader r = reader_of(bytes_of(NULL, 0));
    CHECK_EQ(reader_left(&r), 0);
    CHECK(!r.failed);
    CHECK_EQ(reader_u8(&r), 0);
    CHECK(r.failed);
}

TEST(varints_come_back)
{
    struct rand r;
    rand_seed(&r, 1);
    for (int i = 0; i < 5000; i++) {
        uint64_t v = i == 0 ? UINT64_MAX : rand_u64(&r) >> rand_below(&r, 64);
        struct buf b = {0};
        CHECK_OK(buf_append_varint(&b, v));
        struct reader reader = reader_of(buf_bytes(&b));
        CHECK_EQ(reader_varint(&reader), v);
        CHECK(!reader.failed && reader_left(&reader) == 0);
        reader = reader_of(bytes_of(b.ptr, b.len - 1));
        CHECK_EQ(reader_varint(&reader), 0);
        CHECK(reader.failed);
        buf_fini(&b);
    }
}

TEST(varints_beyond_64_bits_fail)
{
    struct reader r = reader_of(bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
    CHECK_EQ(reader_varint(&r), 0);
    CHECK(r.failed);
    r = reader_of(bytes_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11));
    CHECK_EQ(reader_varint(&r), 0);
    CHECK(r.failed);
}

TEST(reader_stays_failed)
{
    struct reader r = reader_of(bytes_of("\1\2\3\4\5\6\7\x08\x09", 9));
    CHECK_EQ(reader_u8(&r), 1);
    CHECK_EQ(reader_be16(&r), 0x0203);
    CHECK_EQ(reader_le16(&r), 0x0504);
    CHECK_EQ(reader_be32(&r), 0x06070809);
    CHECK(!r.failed);
    CHECK_EQ(reader_u8(&r), 0);
    CHECK(r.failed);
    r = reader_of(bytes_of("\1\2\3", 3));
    CHECK_EQ(reader_le32(&r), 0);
    CHECK_EQ(reader_u8(&r), 0);
    CHECK_EQ(reader_le64(&r), 0);
    CHECK(reader_take(&r, 0).ptr == NULL);
}

TEST(a_double_comes_back_as_it_was_and_infinity_fails)
{
    struct buf b = {0};
    CHECK_OK(buf_append_double(&b, -0.1));
    CHECK_OK(buf_append_double(&b, (double)INFINITY));
    struct reader r = reader_of(buf_bytes(&b));
    CHECK(reader_finite(&r) == -0.1);
    CHECK(!r.failed);
    CHECK(reader_finite(&r) == 0);
    CHECK(r.failed);
    buf_fini(&b);
}

TEST(payloads_are_shared_and_padded)
{
    struct payload *p = payload_copy(bytes_of_text("abc"));
    CHECK(p != NULL);
    for (int i = 0; i < PAYLOAD_PAD; i++)
        CHECK_EQ(p->data[3 + i], 0);
    CHECK(payload_ref(p) == p);
    payload_unref(p);
    CHECK_BYTES(payload_bytes(p), bytes_of_text("abc"));
    payload_unref(p);
    payload_unref(NULL);
    CHECK_EQ(payload_bytes(NULL).len, 0);
    CHECK(payload_new(SIZE_MAX) == NULL);
}

TEST(bytes_without_memory)
{
    FAULT_EACH (n) {
        struct buf b = {0};
        int err = buf_append_text(&b, "x");
        struct payload *p = payload_copy(bytes_of_text("y"));
        CHECK_EQ(fault_hit(), err != OK || p == NULL);
        payload_unref(p);
        buf_fini(&b);
    }
}

TEST(a_padded_buffer_has_zeros_behind_it)
{
    struct buf b = {0};
    CHECK_OK(buf_append_text(&b, "a longer text that leaves what must not be seen"));
    CHECK_OK(buf_copy_padded(&b, bytes_of_text("{}")));
    CHECK_EQ(b.len, 2);
    for (size_t i = 0; i < PAYLOAD_PAD; i++)
        CHECK_EQ(b.ptr[b.len + i], 0);
    CHECK_OK(buf_append_text(&b, "x"));
    CHECK_OK(buf_pad(&b));
    CHECK_STR((const char *)b.ptr, "{}x");
    buf_fini(&b);
    CHECK_OK(buf_pad(&b)); /* also of nothing */
    CHECK_EQ(b.len, 0);
    buf_fini(&b);
}
