/* The text of a time, there and back. */
#include "base/clock.h"

#include "base/err.h"
#include "base/rand.h"
#include "tests/support/check.h"

static void check_text(int64_t us, const char *want)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    size_t n = clock_format(us, text);
    CHECK_STR(text, want);
    CHECK_EQ(n, strlen(want));
}

TEST(clock_prints_rfc_3339)
{
    check_text(0, "1970-01-01T00:00:00Z");
    check_text(1000, "1970-01-01T00:00:00.001Z");
    check_text(1, "1970-01-01T00:00:00.000001Z");
    check_text(-1, "1969-12-31T23:59:59.999999Z");
    check_text(-62135596800000000, "0001-01-01T00:00:00Z");
    check_text(1795336200123456, "2026-11-22T08:30:00.123456Z");
}

TEST(clock_prints_the_ends_of_time)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    CHECK(clock_format(INT64_MIN, text) < sizeof text);
    CHECK(clock_format(INT64_MAX, text) < sizeof text);
}

static int64_t parsed(const char *text)
{
    int64_t us = 7;
    CHECK_OK(clock_parse(bytes_of_text(text), &us));
    return us;
}

TEST(clock_reads_rfc_3339)
{
    CHECK_EQ(parsed("1970-01-01"), 0);
    CHECK_EQ(parsed("1970-01-01T00:00:00Z"), 0);
    CHECK_EQ(parsed("1970-01-01t00:00:00.5z"), 500000);
    CHECK_EQ(parsed("1970-01-01 01:00:00+01:00"), 0);
    CHECK_EQ(parsed("1969-12-31T22:30:00.000001-01:30"), 1);
    CHECK_EQ(parsed("2026-11-22T08:30:00.1234567Z"), 1795336200123456);
    CHECK_EQ(parsed("2024-02-29"), 1709164800000000);
    CHECK_EQ(parsed("0001-01-01"), -62135596800000000);
}

TEST(clock_refuses_what_is_no_time)
{
    static const char *const bad[] = {
        "",
        "yesterday",
        "2026",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2026-1-1",
        "0000-01-01",
        "2026-01-01T",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Zx",
        "2026-01-01X00:00:00Z",
    };
    int64_t us = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_ERR(clock_parse(bytes_of_text(bad[i]), &us), ERR_SYNTAX);
    CHECK_ERR(clock_parse(bytes_of_text("2026-02-29"), &us), ERR_RANGE);
    CHECK_ERR(clock_parse(bytes_of_text("1900-02-29"), &us), ERR_RANGE);
    CHECK_EQ(us, 7);
}

TEST(clock_reads_what_it_prints)
{
    struct rand r;
    rand_seed(&r, 5);
    for (int i = 0; i < 2000; i++) {
        char text[CLOCK_TEXT_BYTES_MAX];
        int64_t us = (int64_t)rand_below(&r, 250000000000000000) - 60000000000000000;
        (void)clock_format(us, text);
        CHECK_EQ(parsed(text), us);
    }
}

TEST(clock_mono_does_not_go_back)
{
    int64_t before = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        CHECK(now >= before);
        before = now;
    }
    CHECK(clock_wall_us() > 1600000000000000);
}

/* The host's clock is set: its smooth time goes on, nearer by one in a hundred. */
static void check_smooth(int64_t set_us)
{
    struct clock_smooth c = {0};
    int64_t wall_us = 1000000000;
    int64_t mono_us = 5000;
    int64_t last_us = clock_smooth_us(&c, mono_us, wall_us);
    CHECK_EQ(last_us, wall_us);
    wall_us += set_us;
    for (int i = 0; i < 60000; i++) {
        mono_us += 10000;
        wall_us += 10000;
        int64_t us = clock_smooth_us(&c, mono_us, wall_us);
        CHECK(us - last_us >= 9900 && us - last_us <= 10100);
        last_us = us;
        if (i == 9999) /* 100 s: a second nearer */
            CHECK_EQ(clock_smooth_behind_us(&c, mono_us, wall_us),
                     set_us < 0 ? set_us + 1000000 : set_us - 1000000);
    }
    CHECK_EQ(last_us, wall_us);
}

TEST(clock_smooth_does_not_jump)
{
    check_smooth(5000000);
    check_smooth(-5000000);
    check_smooth(1100000);
}

TEST(clock_smooth_follows_what_is_set_by_hours)
{
    struct clock_smooth c = {0};
    (void)clock_smooth_us(&c, 1000, 1000000000000);
    CHECK_EQ(clock_smooth_us(&c, 2000, 1003600000000), 1003600000000);
    CHECK_EQ(clock_smooth_us(&c, 3000, 1000000000000), 1000000000000);
}

/* Read more often than the correction has microseconds. */
TEST(clock_smooth_also_comes_nearer_when_it_is_read_all_the_time)
{
    struct clock_smooth c = {0};
    int64_t last_us = clock_smooth_us(&c, 0, 1000000);
    for (int64_t us = 1; us <= 1000000; us++) {
        int64_t now_us = clock_smooth_us(&c, us, 1000000 + us - 500000);
        CHECK(now_us >= last_us);
        last_us = now_us;
    }
    CHECK_EQ(clock_smooth_behind_us(&c, 1000000, 1500000), -490000);
}
