/* CSV records from texts that are whole, cut, and broken. */
#include "codec/csv_read.h"

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

/* "[a][b]" and the bytes used, or the error's name. */
static const char *shown(const char *text, size_t len)
{
    static char out[256];
    struct csv_record r = {0};
    size_t used = 0;
    size_t at = 0;
    int err = csv_read(&r, bytes_of(text, len), ',', &used);
    for (uint32_t i = 0; !err && i < r.count; i++)
        at += (size_t)snprintf(out + at, sizeof out - at, r.fields[i].quoted ? "<%.*s>" : "[%.*s]",
                               (int)r.fields[i].text.len, (const char *)r.fields[i].text.ptr);
    if (err)
        at = (size_t)snprintf(out, sizeof out, "%s", err_name(err));
    (void)snprintf(out + at, sizeof out - at, " %zu", used);
    csv_record_fini(&r);
    return out;
}

#define SHOWN(text) shown(text, sizeof text - 1)

TEST(records_of_plain_and_quoted_fields)
{
    CHECK_STR(SHOWN("a,b\nc"), "[a][b] 4");
    CHECK_STR(SHOWN("a,,\r\n"), "[a][][] 5");
    CHECK_STR(SHOWN("\"a,\"\"b\"\"\n\",\"\"\n"), "<a,\"b\"\n><> 14");
    CHECK_STR(SHOWN("\"x\"\r\nnext"), "<x> 5");
    CHECK_STR(SHOWN("\n"), " 1");
}

TEST(a_record_without_its_end_waits)
{
    static const char whole[] = "ab,\"c\"\"d\",e\r\n";
    for (size_t len = 0; len < sizeof whole - 1; len++)
        CHECK_STR(shown(whole, len), "ERR_SHORT 0");
    CHECK_STR(SHOWN(whole), "[ab]<c\"d>[e] 13");
}

TEST(a_broken_line_costs_itself_alone)
{
    CHECK_STR(SHOWN("a\"b,c\nd,e\n"), "ERR_SYNTAX 6");
    CHECK_STR(SHOWN("\"a\"b,c\nd,e\n"), "ERR_SYNTAX 7");
    struct csv_record r = {0};
    size_t used = 0;
    char *text = malloc(CSV_RECORD_BYTES_MAX + 10);
    CHECK(text != NULL);
    memset(text, 'x', CSV_RECORD_BYTES_MAX + 10);
    text[0] = '"';
    text[5] = '\n';
    CHECK_ERR(csv_read(&r, bytes_of(text, CSV_RECORD_BYTES_MAX + 10), ',', &used), ERR_LIMIT);
    CHECK_EQ(used, 6);
    memset(text, ',', CSV_RECORD_BYTES_MAX);
    text[2000] = '\n';
    CHECK_ERR(csv_read(&r, bytes_of(text, 3000), ',', &used), ERR_LIMIT);
    CHECK_EQ(used, 2001);
    free(text);
    csv_record_fini(&r);
}

static int value_of(const char *text, enum value_type type, struct value *ret)
{
    struct csv_field f = {.text = bytes_of_text(text)};
    return csv_value(&f, type, ret);
}

TEST(fields_become_values)
{
    struct value v;
    CHECK_OK(value_of("", VALUE_INT64, &v));
    CHECK_EQ(v.type, VALUE_NULL);
    CHECK_OK(
        csv_value(&(struct csv_field){.text = bytes_of("", 0), .quoted = true}, VALUE_STRING, &v));
    CHECK_EQ(v.type, VALUE_STRING);
    CHECK_OK(value_of("-5", VALUE_INT64, &v));
    CHECK_EQ(v.i64, -5);
    CHECK_OK(value_of("18446744073709551615", VALUE_UINT64, &v));
    CHECK_EQ(v.u64, UINT64_MAX);
    CHECK_OK(value_of("1.5", VALUE_FLOAT32, &v));
    CHECK_NEAR((double)v.f32, 1.5, 0);
    CHECK_OK(value_of("TRUE", VALUE_BOOL, &v));
    CHECK(v.boolean);
    CHECK_OK(value_of("2026-11-23T00:00:01Z", VALUE_TIMESTAMP, &v));
    CHECK_EQ(v.i64 % 60000000, 1000000);
    CHECK_OK(value_of("1500", VALUE_TIMESTAMP, &v));
    CHECK_EQ(v.i64, 1500000);
    CHECK_OK(value_of("\xff", VALUE_BYTES, &v));
}

TEST(what_is_no_value_of_the_type_is_refused)
{
    struct value v;
    CHECK_ERR(value_of("x", VALUE_INT64, &v), ERR_TYPE);
    CHECK_ERR(value_of("-1", VALUE_UINT64, &v), ERR_TYPE);
    CHECK_ERR(value_of("1e400x", VALUE_DOUBLE, &v), ERR_TYPE);
    CHECK_ERR(value_of("1e300", VALUE_FLOAT32, &v), ERR_TYPE);
    CHECK_ERR(value_of("maybe", VALUE_BOOL, &v), ERR_TYPE);
    CHECK_ERR(value_of("yesterday", VALUE_TIMESTAMP, &v), ERR_TYPE);
    CHECK_ERR(value_of("\xff", VALUE_STRING, &v), ERR_TYPE);
}
