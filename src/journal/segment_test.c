/* The segment format: what is written is read, what is not ours is refused, and the dump. */
#include "journal/segment.h"

#include "base/err.h"
#include "tests/support/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct segment_head make_head(uint8_t out[static SEGMENT_HEAD_BYTES])
{
    struct segment_head h = {.epoch = 7,
                             .first_seq = 3,
                             .created_us = 1700000000000000,
                             .committed_seq = 2,
                             .log = segment_log_hash("streams")};
    segment_head_encode(&h, out);
    return h;
}

static void put_record(struct buf *out, const struct segment_head *h, uint64_t seq,
                       struct bytes payload)
{
    uint8_t head[SEGMENT_RECORD_HEAD_BYTES];
    struct segment_record r = {.seq = seq, .time_us = 5, .codec = 9};
    segment_record_encode(h, &r, &payload, 1, head);
    CHECK_OK(buf_append(out, head, sizeof head));
    CHECK_OK(buf_append_bytes(out, payload));
    while (out->len % 8)
        CHECK_OK(buf_append_u8(out, 0));
}

TEST(segment_head_comes_back)
{
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    struct segment_head h = make_head(bytes);
    struct segment_head again;
    CHECK_OK(segment_head_decode(bytes_of(bytes, sizeof bytes), &again));
    CHECK_EQ(again.epoch, 7);
    CHECK_EQ(again.first_seq, 3);
    CHECK_EQ(again.created_us, 1700000000000000);
    CHECK_EQ(again.committed_seq, 2);
    CHECK_EQ(again.log, h.log);
    CHECK_EQ(again.seed, h.seed);
    CHECK_ERR(segment_head_decode(bytes_of(bytes, SEGMENT_HEAD_BYTES - 1), &again), ERR_SHORT);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x40;
        int err = segment_head_decode(bytes_of(bytes, sizeof bytes), &again);
        CHECK_ERR(err, i < 8 ? ERR_MALFORMED : ERR_CHECKSUM);
        bytes[i] ^= 0x40;
    }
}

TEST(segment_record_comes_back_from_several_parts)
{
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    struct segment_head h = make_head(bytes);
    struct bytes parts[3] = {bytes_of_text("ab"), bytes_of(NULL, 0), bytes_of_text("cdefg")};
    struct segment_record r = {.seq = 11, .time_us = -1, .codec = 200};
    uint8_t out[64] = {0};
    uint64_t used;
    segment_record_encode(&h, &r, parts, 3, out);
    for (size_t i = 0; i < 7; i++)
        out[SEGMENT_RECORD_HEAD_BYTES + i] = (uint8_t)('a' + i);
    struct segment_record again;
    CHECK_OK(segment_record_decode(&h, bytes_of(out, sizeof out), &again, &used));
    CHECK_EQ(used, 40);
    CHECK_EQ(again.seq, 11);
    CHECK_EQ(again.time_us, -1);
    CHECK_EQ(again.codec, 200);
    CHECK_BYTES(again.payload, bytes_of_text("abcdefg"));
}

TEST(segment_record_says_what_it_misses)
{
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    struct segment_head h = make_head(bytes);
    struct buf out = {0};
    struct segment_record r;
    uint64_t used = 0;
    put_record(&out, &h, 3, bytes_of_text("hello"));
    CHECK_ERR(segment_record_decode(&h, bytes_of(out.ptr, 0), &r, &used), ERR_NOT_FOUND);
    CHECK_ERR(segment_record_decode(&h, bytes_of(out.ptr, 31), &r, &used), ERR_SHORT);
    CHECK_EQ(used, 32);
    CHECK_ERR(segment_record_decode(&h, bytes_of(out.ptr, 36), &r, &used), ERR_SHORT);
    CHECK_EQ(used, 37);
    CHECK_OK(segment_record_decode(&h, bytes_of(out.ptr, 37), &r, &used));
    out.ptr[36] ^= 1;
    CHECK_ERR(segment_record_decode(&h, buf_bytes(&out), &r, &used), ERR_CHECKSUM);
    out.ptr[0] ^= 1;
    CHECK_ERR(segment_record_decode(&h, buf_bytes(&out), &r, &used), ERR_MALFORMED);
    buf_fini(&out);
}

TEST(a_record_belongs_to_its_segment_alone)
{
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    struct segment_head h = make_head(bytes);
    struct segment_head other = h;
    struct buf out = {0};
    struct segment_record r;
    uint64_t used;
    put_record(&out, &h, 3, bytes_of_text("hello"));
    other.first_seq = 4;
    segment_head_encode(&other, bytes);
    CHECK_ERR(segment_record_decode(&other, buf_bytes(&out), &r, &used), ERR_CHECKSUM);
    other.log++;
    CHECK_ERR(segment_record_decode(&other, buf_bytes(&out), &r, &used), ERR_MALFORMED);
    buf_fini(&out);
}

TEST(segment_names_sort_by_position)
{
    char a[SEGMENT_NAME_BYTES];
    char b[SEGMENT_NAME_BYTES];
    uint64_t epoch;
    uint64_t seq;
    segment_name(0x9, UINT64_MAX, a);
    segment_name(0x10, 1, b);
    CHECK(strcmp(a, b) < 0);
    CHECK(segment_name_parse(a, &epoch, &seq));
    CHECK_EQ(epoch, 9);
    CHECK_EQ(seq, UINT64_MAX);
    CHECK(!segment_name_parse("lock", &epoch, &seq));
    CHECK(!segment_name_parse("000000000000000g-0000000000000001.seg", &epoch, &seq));
    CHECK(!segment_name_parse("0000000000000001-000000000000000G.seg", &epoch, &seq));
    CHECK(!segment_name_parse("0000000000000001-0000000000000001.cut", &epoch, &seq));
}

static void write_dump_file(const char *path, bool torn)
{
    struct buf out = {0};
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    struct segment_head h = make_head(bytes);
    CHECK_OK(buf_append(&out, bytes, sizeof bytes));
    put_record(&out, &h, 3, bytes_of_text("hello"));
    put_record(&out, &h, 4, bytes_of_text("world"));
    if (torn)
        out.ptr[out.len - 5] ^= 1;
    CHECK(buf_extend(&out, 1000) != NULL);
    memset(out.ptr + out.len - 1000, 0, 1000);
    FILE *f = fopen(path, "wbe");
    CHECK(f != NULL);
    CHECK_EQ(fwrite(out.ptr, 1, out.len, f), out.len);
    CHECK(fclose(f) == 0);
    buf_fini(&out);
}

TEST(a_dump_shows_records_and_how_the_file_ends)
{
    char path[512];
    struct buf out = {0};
    (void)snprintf(path, sizeof path, "%s/x.seg", check_folder());
    write_dump_file(path, false);
    CHECK_OK(segment_dump(path, &out));
    const char *text = buf_text(&out);
    CHECK(strstr(text, "epoch 7, first seq 3") != NULL);
    CHECK(strstr(text, "seq 4") != NULL);
    CHECK(strstr(text, "end: 2 records\n") != NULL);
    buf_reset(&out);
    write_dump_file(path, true);
    CHECK_OK(segment_dump(path, &out));
    text = buf_text(&out);
    CHECK(strstr(text, "end: 1 records, then") != NULL);
    CHECK(strstr(text, "checksum mismatch") != NULL);
    CHECK_ERR(segment_dump("/nowhere/x.seg", &out), ERR_NOT_FOUND);
    buf_fini(&out);
}
