/* Known answers, and the processor against the portable way at every length and alignment. */
#include "journal/crc32c.h"

#include "base/rand.h"
#include "tests/support/check.h"

TEST(crc32c_knows_the_answers_of_rfc3720)
{
    uint8_t block[32] = {0};
    CHECK_EQ(crc32c(0, bytes_of_text("123456789")), 0xe3069283u);
    CHECK_EQ(crc32c(0, bytes_of(block, sizeof block)), 0x8a9136aau);
    memset(block, 0xff, sizeof block);
    CHECK_EQ(crc32c(0, bytes_of(block, sizeof block)), 0x62a8ab43u);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)i;
    CHECK_EQ(crc32c(0, bytes_of(block, sizeof block)), 0x46dd794eu);
    CHECK_EQ(crc32c_portable(0, bytes_of(block, sizeof block)), 0x46dd794eu);
}

TEST(crc32c_is_the_same_both_ways)
{
    static uint8_t data[20000];
    static uint8_t copy[sizeof data];
    struct rand r;
    rand_seed(&r, 1);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rand_u64(&r);
    for (size_t len = 0; len < sizeof data - 9; len += len < 600 ? 1 : 997) {
        struct bytes v = bytes_of(data + len % 9, len);
        CHECK_EQ(crc32c(7, v), crc32c_portable(7, v));
        memset(copy, 0xee, sizeof copy);
        CHECK_EQ(crc32c_copy(7, copy + len % 5, v), crc32c_portable(7, v));
        CHECK(memcmp(copy + len % 5, v.ptr, len) == 0);
        CHECK_EQ(copy[len % 5 + len], 0xee);
    }
}

TEST(crc32c_goes_on_where_it_stopped)
{
    static uint8_t data[10000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31);
    uint32_t whole = crc32c(0, bytes_of(data, sizeof data));
    for (size_t cut = 0; cut < sizeof data; cut += 333) {
        uint32_t first = crc32c(0, bytes_of(data, cut));
        CHECK_EQ(crc32c(first, bytes_of(data + cut, sizeof data - cut)), whole);
    }
}
