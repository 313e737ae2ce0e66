/* The head of a record. */
#include "stream/record.h"

#include "base/err.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdlib.h>

static struct record plain(void)
{
    return (struct record){
        .node = bytes_of_text("edge1"),
        .stream = bytes_of_text("plc1.press"),
        .columnar = bytes_of_text("batch"),
    };
}

static struct record round_trip(const struct record *r, struct buf *out)
{
    struct record again;
    buf_reset(out);
    CHECK_OK(record_head_encode(r, out));
    CHECK(out->len <= RECORD_HEAD_BYTES_MAX);
    CHECK_OK(buf_append_bytes(out, r->columnar));
    CHECK_OK(record_decode(buf_bytes(out), &again));
    CHECK_BYTES(again.node, r->node);
    CHECK_BYTES(again.stream, r->stream);
    CHECK_BYTES(again.columnar, r->columnar);
    CHECK_EQ(position_compare(again.origin, r->origin), 0);
    CHECK_EQ(again.key.major, r->key.major);
    CHECK_EQ(again.key.minor, r->key.minor);
    return again;
}

TEST(record_heads_come_back)
{
    struct buf out = {0};
    struct record r = plain();
    (void)round_trip(&r, &out);
    CHECK_EQ(out.len, 2 + 1 + 5 + 1 + 10 + 5);
    r.origin = (struct position){UINT64_MAX, 1};
    (void)round_trip(&r, &out);
    r.key = (struct record_key){0, 1};
    (void)round_trip(&r, &out);
    r.origin = (struct position){0, 0};
    (void)round_trip(&r, &out);
    char long_name[RECORD_STREAM_BYTES_MAX];
    memset(long_name, 'x', sizeof long_name);
    r.node = bytes_of(long_name, RECORD_NODE_BYTES_MAX);
    r.stream = bytes_of(long_name, RECORD_STREAM_BYTES_MAX);
    (void)round_trip(&r, &out);
    buf_fini(&out);
}

TEST(names_that_do_not_fit_are_not_written)
{
    char long_name[RECORD_STREAM_BYTES_MAX + 1];
    struct buf out = {0};
    struct record r = plain();
    memset(long_name, 'x', sizeof long_name);
    r.node.len = 0;
    CHECK_ERR(record_head_encode(&r, &out), ERR_INVALID);
    r.node = bytes_of(long_name, RECORD_NODE_BYTES_MAX + 1);
    CHECK_ERR(record_head_encode(&r, &out), ERR_INVALID);
    r = plain();
    r.stream = bytes_of(long_name, RECORD_STREAM_BYTES_MAX + 1);
    CHECK_ERR(record_head_encode(&r, &out), ERR_INVALID);
    CHECK_EQ(out.len, 0);
}

TEST(every_shorter_record_is_refused)
{
    struct buf out = {0};
    struct record r = plain();
    struct record again;
    r.origin = (struct position){1, 2};
    r.key = (struct record_key){3, 4};
    CHECK_OK(record_head_encode(&r, &out));
    for (size_t len = 0; len <= out.len; len++)
        CHECK_ERR(record_decode(bytes_of(out.ptr, len), &again), ERR_SHORT);
    buf_fini(&out);
}

TEST(what_no_encoder_writes_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        int err;
    } cases[] = {
        {"\x02\x00\x01n\x01sB", 7, ERR_VERSION},
        {"\x01\x04\x01n\x01sB", 7, ERR_MALFORMED},
        {"\x01\x00\x00\x01sB", 6, ERR_MALFORMED},
        {"\x01\x00\x01n\x00"
         "B",
         6, ERR_MALFORMED},
        {"\x01\x00\x01\xff\x01sB", 7, ERR_MALFORMED},
        {"\x01\x00\x01n\x01\xc0"
         "B",
         7, ERR_MALFORMED},
        {"\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01n", 13, ERR_SHORT},
        {"\x01\x01\x01n\x01s\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
         "B",
         23, ERR_MALFORMED},
        {"\x01\x01\x01n\x01s\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
         "B",
         23, ERR_MALFORMED},
    };
    struct record r;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_ERR(record_decode(bytes_of(cases[i].bytes, cases[i].len), &r), cases[i].err);
}

TEST(without_memory_nothing_is_added)
{
    struct record r = plain();
    FAULT_EACH (n) {
        struct buf out = {0};
        int rc = record_head_encode(&r, &out);
        if (fault_hit()) {
            CHECK_ERR(rc, ERR_NOMEM);
            CHECK_EQ(out.len, 0);
        } else {
            CHECK_OK(rc);
        }
        buf_fini(&out);
    }
}
