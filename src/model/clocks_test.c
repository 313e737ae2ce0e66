/* What presences say about clocks: there and back, and what cannot be read. */
#include "model/clocks.h"

#include "tests/support/check.h"

static struct clock_offset find(const char *text, const char *stream)
{
    return clock_find(bytes_of_text(text), bytes_of_text(stream));
}

TEST(the_offset_of_a_stream_s_device_comes_back)
{
    struct buf out = {0};
    CHECK_OK(clock_put("plc2", (struct clock_offset){5000000, 5000003}, &out));
    CHECK_OK(clock_put("scans", (struct clock_offset){-20, -7}, &out));
    CHECK_STR(buf_text(&out), "plc2=5000000:5000003 scans=-20:-7");
    CHECK_EQ(find(buf_text(&out), "plc2.oven").in_us, 5000000);
    CHECK_EQ(find(buf_text(&out), "plc2.oven").out_us, 5000003);
    CHECK_EQ(find(buf_text(&out), "scans").in_us, -20);
    CHECK_EQ(find(buf_text(&out), "scans").out_us, -7);
    CHECK_EQ(find(buf_text(&out), "plc22.oven").in_us, 0);
    CHECK_EQ(find(buf_text(&out), "plc").out_us, 0);
    buf_fini(&out);
    CHECK(clock_covers("plc2", bytes_of_text("plc2.oven")));
    CHECK(!clock_covers("plc2", bytes_of_text("plc2b.oven")));
}

TEST(what_is_no_offset_is_none)
{
    const char *wrong[] = {"",
                           "plc2",
                           "plc2=",
                           "plc2=1",
                           "plc2=1:",
                           "plc2=:1",
                           "plc2=a:b",
                           "=1:2",
                           "  plc2 =1:2",
                           "plc2=99999999999999999:1",
                           "plc2=1:99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct clock_offset offset = find(wrong[i], "plc2.oven");
        CHECK_EQ(offset.in_us, 0);
        CHECK_EQ(offset.out_us, 0);
    }
}

TEST(a_moment_between_has_its_part_of_the_drift)
{
    const struct clock_offset offset = {1000, 2000};
    CHECK_EQ(clock_own_us(offset, 0, 100, 0), 1000);
    CHECK_EQ(clock_own_us(offset, 0, 100, 50), 1550);
    CHECK_EQ(clock_own_us(offset, 0, 100, 100), 2100);
    CHECK_EQ(clock_own_us(offset, 0, 100, -10), 990);
    CHECK_EQ(clock_own_us(offset, 0, 100, 200), 2200);
    CHECK_EQ(clock_own_us(offset, 0, 0, 0), 1000);
}
