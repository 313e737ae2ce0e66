/* Strict texts: whole numbers, units, UTF-8, JSON strings, shortest numbers. */
#include "base/str.h"

#include "base/err.h"
#include "base/rand.h"
#include "tests/support/check.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

TEST(str_integers_are_whole_or_an_error)
{
    int64_t i = 7;
    uint64_t u = 7;
    CHECK_OK(str_to_i64(bytes_of_text("-9223372036854775808"), &i));
    CHECK_EQ(i, INT64_MIN);
    CHECK_OK(str_to_i64(bytes_of_text("+9223372036854775807"), &i));
    CHECK_EQ(i, INT64_MAX);
    CHECK_OK(str_to_u64(bytes_of_text("18446744073709551615"), &u));
    CHECK_EQ(u, UINT64_MAX);
    CHECK_ERR(str_to_i64(bytes_of_text("9223372036854775808"), &i), ERR_RANGE);
    CHECK_ERR(str_to_i64(bytes_of_text("-9223372036854775809"), &i), ERR_RANGE);
    CHECK_ERR(str_to_u64(bytes_of_text("18446744073709551616"), &u), ERR_RANGE);
    static const char *const bad[] = {"", "-", "+", " 1", "1 ", "1a", "0x1", "--1", "1.0"};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        CHECK_ERR(str_to_i64(bytes_of_text(bad[k]), &i), ERR_SYNTAX);
        CHECK_ERR(str_to_u64(bytes_of_text(bad[k]), &u), ERR_SYNTAX);
    }
    CHECK_ERR(str_to_u64(bytes_of_text("-1"), &u), ERR_SYNTAX);
}

TEST(str_doubles)
{
    double d = 7;
    CHECK_OK(str_to_double(bytes_of_text("-1.5e3"), &d));
    CHECK_NEAR(d, -1500, 0);
    CHECK_OK(str_to_double(bytes_of_text("nan"), &d));
    CHECK(isnan(d));
    CHECK_OK(str_to_double(bytes_of_text("-inf"), &d));
    CHECK(isinf(d) && d < 0);
    static const char *const bad[] = {"", " 1", "1 ", "0x10", "1,5", "1e", "one", "nan(1)"};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        CHECK_ERR(str_to_double(bytes_of_text(bad[k]), &d), ERR_SYNTAX);
}

TEST(str_durations_need_their_unit)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"100us", 100},     {"250ms", 250000},    {"10s", 10000000}, {"5m", 300000000},
                {"2h", 7200000000}, {"7d", 604800000000}, {"0s", 0}};

    int64_t us = 7;
    for (size_t k = 0; k < sizeof good / sizeof good[0]; k++) {
        CHECK_OK(str_to_duration_us(bytes_of_text(good[k].text), &us));
        CHECK_EQ(us, good[k].us);
    }
    CHECK_ERR(str_to_duration_us(bytes_of_text("10"), &us), ERR_SYNTAX);
    CHECK_ERR(str_to_duration_us(bytes_of_text("ms"), &us), ERR_SYNTAX);
    CHECK_ERR(str_to_duration_us(bytes_of_text("1.5s"), &us), ERR_SYNTAX);
    CHECK_ERR(str_to_duration_us(bytes_of_text("-1s"), &us), ERR_SYNTAX);
    CHECK_ERR(str_to_duration_us(bytes_of_text("1 s"), &us), ERR_SYNTAX);
    CHECK_ERR(str_to_duration_us(bytes_of_text("200000000d"), &us), ERR_RANGE);
    CHECK_ERR(str_to_duration_us(bytes_of_text("9223372036854775808us"), &us), ERR_RANGE);
}

TEST(str_sizes)
{
    uint64_t size = 7;
    CHECK_OK(str_to_size(bytes_of_text("64"), &size));
    CHECK_EQ(size, 64);
    CHECK_OK(str_to_size(bytes_of_text("16k"), &size));
    CHECK_EQ(size, 16384);
    CHECK_OK(str_to_size(bytes_of_text("4MiB"), &size));
    CHECK_EQ(size, 4 << 20);
    CHECK_OK(str_to_size(bytes_of_text("3GB"), &size));
    CHECK_EQ(size, 3ull << 30);
    CHECK_ERR(str_to_size(bytes_of_text("1T"), &size), ERR_SYNTAX);
    CHECK_ERR(str_to_size(bytes_of_text("17179869184G"), &size), ERR_RANGE);
}

TEST(str_utf8_is_rfc_3629)
{
    static const char *const good[] = {"",
                                       "plain text of more than eight bytes",
                                       "ä",
                                       "中文",
                                       "😀",
                                       "\x7f",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "12345678ä"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3",
                                      "\xe4\xb8",
                                      "\xf0\x9f\x98",
                                      "\xc3\x41",
                                      "12345678\xff",
                                      "1234567\xc3",
                                      "12345678901234\x80"};
    for (size_t k = 0; k < sizeof good / sizeof good[0]; k++)
        CHECK(str_is_utf8(bytes_of_text(good[k])));
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        CHECK(!str_is_utf8(bytes_of_text(bad[k])));
    CHECK(str_is_utf8(bytes_of("a\0b", 3)));
}

TEST(str_json_is_escaped)
{
    struct buf out = {0};
    CHECK_OK(str_print_json(bytes_of("a\"\\\b\f\n\r\t\0\x1f\x7f/ä\xff"
                                     "b\xc3",
                                     17),
                            &out));
    CHECK_STR(buf_text(&out), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f/ä\xef\xbf\xbd"
                              "b\xef\xbf\xbd\"");
    buf_reset(&out);
    CHECK_OK(str_print_json(bytes_of(NULL, 0), &out));
    CHECK_STR(buf_text(&out), "\"\"");
    buf_fini(&out);
}

TEST(str_compares_and_splits)
{
    CHECK(str_equal(bytes_of_text("a"), "a"));
    CHECK(!str_equal(bytes_of_text("a"), "ab"));
    CHECK(str_equal_nocase(bytes_of_text("SeLect"), "sELECT"));
    CHECK(!str_equal_nocase(bytes_of_text("a"), "b"));
    CHECK(!str_equal_nocase(bytes_of_text("@"), "`"));
    CHECK(str_starts(bytes_of_text("abc"), "ab"));
    CHECK(!str_starts(bytes_of_text("a"), "ab"));
    struct bytes head;
    struct bytes rest = str_split(bytes_of_text("a.b.c"), '.', &head);
    CHECK_BYTES(head, bytes_of_text("a"));
    CHECK_BYTES(rest, bytes_of_text("b.c"));
    rest = str_split(bytes_of_text("a."), '.', &head);
    CHECK(rest.ptr != NULL && rest.len == 0);
    rest = str_split(bytes_of_text("abc"), '.', &head);
    CHECK(rest.ptr == NULL);
    CHECK_BYTES(head, bytes_of_text("abc"));
    rest = str_split(bytes_of(NULL, 0), '.', &head);
    CHECK(rest.ptr == NULL && head.len == 0);
}

TEST(str_numbers_read_back)
{
    struct rand r;
    char text[STR_NUMBER_BYTES_MAX];
    rand_seed(&r, 4);
    for (int i = 0; i < 5000; i++) {
        uint64_t bits = rand_u64(&r);
        double d;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &bits, sizeof f);
        size_t n = str_from_double(d, text);
        CHECK_EQ(n, strlen(text));
        CHECK(!isfinite(d) || strtod(text, NULL) == d);
        n = str_from_float(f, text);
        CHECK_EQ(n, strlen(text));
        CHECK(!isfinite(f) || strtof(text, NULL) == f);
    }
    static const double ten[] = {1, 10, 100, 1000, 10000, 100000, 1e10};
    for (int i = 0; i < 200000; i++) { /* as printf has it, also where it is done without */
        char want[STR_NUMBER_BYTES_MAX];
        uint64_t seed = rand_u64(&r);
        double d = (double)(int64_t)(seed >> (14 + i % 40)) / ten[(seed >> 3) % 7];
        d = seed & 1 ? d : -d;
        (void)str_from_double(d, text);
        (void)snprintf(want, sizeof want, "%.15g", d);
        if (strtod(want, NULL) == d)
            CHECK_STR(text, want);
        CHECK(strtod(text, NULL) == d);
    }
    (void)str_from_double(0.1, text);
    CHECK_STR(text, "0.1");
    (void)str_from_double(0.0, text);
    CHECK_STR(text, "0");
    (void)str_from_double(-0.0, text);
    CHECK_STR(text, "-0");
    (void)str_from_double(5e-324, text);
    CHECK_STR(text, "5e-324");
    (void)str_from_float(0.1f, text);
    CHECK_STR(text, "0.1");
    (void)str_from_float(1e-45f, text);
    CHECK_STR(text, "1e-45");
    (void)str_from_double((double)-INFINITY, text);
    CHECK_STR(text, "-inf");
    (void)str_from_float(NAN, text);
    CHECK_STR(text, "nan");
}

static bool matches(const char *pattern, const char *text)
{
    return str_matches(bytes_of_text(text), pattern);
}

TEST(str_patterns_fit_whole_names)
{
    CHECK(matches("plc1.press", "plc1.press"));
    CHECK(!matches("plc1", "plc1.press"));
    CHECK(!matches("plc1.press", "plc1"));
    CHECK(!matches("PLC1", "plc1"));
    CHECK(matches("", ""));
    CHECK(!matches("", "a"));
    CHECK(matches("*", ""));
    CHECK(matches("**", "plc1.press"));
    CHECK(matches("plc*", "plc"));
    CHECK(matches("edge?:*.press", "edge7:plc1.press"));
    CHECK(!matches("edge?:*", "edge:plc1.press"));
    CHECK(matches("*press*press", "press.press.press"));
    CHECK(!matches("*a*b*c", "abcabcab"));
    CHECK(matches("a\\b", "a\\b"));
}

TEST(str_patterns_have_sets)
{
    CHECK(matches("plc[12]", "plc2"));
    CHECK(!matches("plc[12]", "plc3"));
    CHECK(!matches("plc[12]", "plc"));
    CHECK(matches("[a-fx]", "e"));
    CHECK(matches("[a-fx]", "x"));
    CHECK(!matches("[a-fx]", "g"));
    CHECK(matches("[!a-f]", "g"));
    CHECK(!matches("[^a-f]", "a"));
    CHECK(matches("[]-]", "]"));
    CHECK(matches("[a-]", "-"));
    CHECK(matches("[!]]", "a"));
    CHECK(matches("*[0-9].*", "plc12.x"));
    CHECK(matches("[ab", "[ab"));
    CHECK(matches("[", "["));
    CHECK(matches("[]", "[]"));
    CHECK(!matches("[", ""));
    CHECK(matches("[\x80-\xff]", "\xc3"));
}

TEST(str_patterns_see_every_byte_of_a_name)
{
    CHECK(!str_matches((struct bytes){(const uint8_t *)"ab\0c", 4}, "ab"));
    CHECK(str_matches((struct bytes){(const uint8_t *)"ab\0c", 4}, "ab?c"));
    CHECK(!str_matches((struct bytes){(const uint8_t *)"ab\0", 3}, "ab"));
    CHECK(str_matches((struct bytes){NULL, 0}, "*"));
}

TEST(str_patterns_agree_with_the_shells)
{
    static const char in_pattern[] = "ab*?[]!";
    static const char in_text[] = "ab![";
    struct rand r;
    rand_seed(&r, 7);
    for (int i = 0; i < 200000; i++) {
        char pattern[9] = "";
        char text[9] = "";
        for (uint64_t k = rand_u64(&r) % sizeof pattern; k > 0; k--)
            pattern[k - 1] = in_pattern[rand_u64(&r) % (sizeof in_pattern - 1)];
        for (uint64_t k = rand_u64(&r) % sizeof text; k > 0; k--)
            text[k - 1] = in_text[rand_u64(&r) % (sizeof in_text - 1)];
        if (matches(pattern, text) != (fnmatch(pattern, text, FNM_NOESCAPE) == 0))
            check_fail_at(__FILE__, __LINE__, "'%s' and '%s'", pattern, text);
    }
}

/* What takes a matcher that tries every * again until the end of days. */
TEST(str_patterns_never_take_long)
{
    static const char pattern[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    uint8_t text[4096];
    memset(text, 'a', sizeof text);
    CHECK(!str_matches((struct bytes){text, sizeof text}, pattern));
    text[sizeof text - 1] = 'b';
    CHECK(str_matches((struct bytes){text, sizeof text}, pattern));
}

TEST(str_patterns_one_of_several)
{
    static const char *const patterns[] = {"plc1.*", "edge7:*"};
    CHECK(str_matches_any(bytes_of_text("edge7:x"), patterns, 2));
    CHECK(!str_matches_any(bytes_of_text("edge7:x"), patterns, 1));
    CHECK(!str_matches_any(bytes_of_text("edge7:x"), patterns, 0));
}

TEST(str_distance_counts_edits)
{
    CHECK_EQ(str_distance("interval", "interval"), 0);
    CHECK_EQ(str_distance("interval", "intervall"), 1);
    CHECK_EQ(str_distance("", "abc"), 3);
    CHECK_EQ(str_distance("kitten", "sitting"), 3);
    char longer[80];
    memset(longer, 'a', 79);
    longer[79] = 0;
    CHECK_EQ(str_distance(longer, longer), 64);
}

TEST(str_hex_is_two_digits_a_byte)
{
    char out[9];
    struct buf buf = {0};
    str_hex(bytes_of("\x00\x0f\xa5\xff", 4), out);
    CHECK_STR(out, "000fa5ff");
    CHECK_OK(buf_append_text(&buf, "0x"));
    CHECK_OK(str_print_hex(bytes_of("\x00\x0f\xa5\xff", 4), &buf));
    CHECK_STR(buf_text(&buf), "0x000fa5ff");
    str_hex(bytes_of("", 0), out);
    CHECK_STR(out, "");
    buf_fini(&buf);
}
