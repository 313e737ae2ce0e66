/* Batches as JSON and CSV. */
#include "base/err.h"
#include "base/rand.h"
#include "base/str.h"
#include "codec/csv.h"
#include "codec/json.h"
#include "codec/json_print.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <math.h>
#include <stdlib.h>

#define TIME 1790000000000500

static const struct field fields[] = {
    {.name = "温\"度", .type = VALUE_INT64, .scale = 0.1, .offset = -40, .flags = FIELD_SCALED},
    {.name = "d", .type = VALUE_DOUBLE},
    {.name = "f", .type = VALUE_FLOAT32},
    {.name = "u", .type = VALUE_UINT64},
    {.name = "b", .type = VALUE_BOOL},
    {.name = "t", .type = VALUE_TIMESTAMP},
    {.name = "s", .type = VALUE_STRING},
    {.name = "serial", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "raw", .type = VALUE_BYTES},
    {.name = "json", .type = VALUE_STRING, .flags = FIELD_JSON},
    {.name = "any", .type = VALUE_ANY},
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static struct batch *sample(void)
{
    struct schema *s = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(schema_new(fields, FIELD_COUNT, &s));
    CHECK_OK(batch_builder_new(s, 2, NULL, &bb));
    CHECK_EQ(batch_builder_row(bb, TIME), 0);
    batch_set_i64(bb, 0, 655);
    batch_set_f64(bb, 1, 0.1);
    batch_set_f32(bb, 2, 0.1f);
    batch_set_u64(bb, 3, UINT64_MAX);
    batch_set_bool(bb, 4, true);
    batch_set_i64(bb, 5, TIME);
    CHECK_OK(batch_set_bytes(bb, 6, bytes_of_text("a,\"b\"\n\\\x01")));
    CHECK_OK(batch_set_bytes(bb, 7, bytes_of_text("SN-1")));
    CHECK_OK(batch_set_bytes(bb, 8, bytes_of("\xff\x00", 2)));
    CHECK_OK(batch_set_bytes(bb, 9, bytes_of_text("{\"x\":\n1}")));
    struct value v = {.type = VALUE_INT64, .i64 = INT64_MIN};
    CHECK_OK(batch_set_value(bb, 10, &v));
    CHECK_EQ(batch_builder_row(bb, -1), 1);
    batch_set_f64(bb, 1, (double)NAN);
    batch_set_f32(bb, 2, -INFINITY);
    CHECK_OK(batch_set_bytes(bb, 6, bytes_of_text("")));
    CHECK_OK(batch_set_bytes(bb, 7, bytes_of("\xff", 1)));
    CHECK_OK(batch_set_bytes(bb, 9, bytes_of_text("")));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(s);
    return b;
}

#define ROW0                                                                                       \
    "{\"温\\\"度\":25.5,\"d\":0.1,\"f\":0.1,\"u\":18446744073709551615,\"b\":true,"              \
    "\"t\":\"2026-09-21T14:13:20.000500Z\",\"s\":\"a,\\\"b\\\"\\n\\\\\\u0001\","                   \
    "\"serial\":\"SN-1\",\"raw\":{\"$bytes\":\"/wA=\"},\"json\":{\"x\":\n1},"                      \
    "\"any\":-9223372036854775808}"

static void check_json(const struct json_print_options *options, const char *want)
{
    struct batch *b = sample();
    struct buf out = {0};
    CHECK_OK(json_print_rows(b, options, &out));
    CHECK_STR(buf_text(&out), want);
    buf_fini(&out);
    batch_unref(b);
}

TEST(json_print_shows_what_people_see)
{
    check_json(NULL, "[" ROW0 ",{\"温\\\"度\":null,\"d\":null,\"f\":null,\"u\":null,\"b\":null,"
                     "\"t\":null,\"s\":\"\",\"serial\":{\"$bytes\":\"/w==\"},\"raw\":null,"
                     "\"json\":null,\"any\":null}]");
}

TEST(json_print_options_apply)
{
    struct json_print_options options = {
        .time_key = "ts", .skip_null = true, .lines = true, .raw = true, .nan_text = true};
    struct batch *b = sample();
    struct buf out = {0};
    CHECK_OK(json_print_row(b, 1, &options, &out));
    CHECK_STR(buf_text(&out), "{\"ts\":-1,\"d\":\"NaN\",\"f\":\"-Infinity\",\"s\":\"\","
                              "\"serial\":{\"$bytes\":\"/w==\"},\"json\":null}\n");
    buf_reset(&out);
    options.time_text = true;
    CHECK_OK(json_print_row(b, 0, &options, &out));
    CHECK(str_starts(buf_bytes(&out), "{\"ts\":\"2026-09-21T14:13:20.000500Z\",\"温\\\"度\":655,"));
    CHECK(strstr(buf_text(&out), "\"serial\":\"SN-1\"") != NULL);
    CHECK(strstr(buf_text(&out), "{\"x\": 1}") != NULL);
    buf_fini(&out);
    batch_unref(b);
}

TEST(json_print_of_single_values)
{
    struct buf out = {0};
    struct json_print_options options = {.nan_text = true};
    struct value v = {.type = VALUE_DOUBLE, .f64 = (double)INFINITY};
    CHECK_OK(json_print_value(&v, &options, &out));
    v.type = VALUE_NULL;
    CHECK_OK(json_print_value(&v, NULL, &out));
    v.type = VALUE_BYTES;
    v.bytes = bytes_of("abcd", 4);
    CHECK_OK(json_print_value(&v, NULL, &out));
    CHECK_OK(json_print_string(bytes_of("\xc3x\x7f/", 4), &out));
    CHECK_STR(buf_text(&out), "\"Infinity\"null{\"$bytes\":\"YWJjZA==\"}\"\xef\xbf\xbdx\\u007f/\"");
    buf_fini(&out);
}

TEST(json_numbers_read_back_as_themselves)
{
    struct rand r;
    rand_seed(&r, 3);
    for (int i = 0; i < 20000; i++) {
        char text[STR_NUMBER_BYTES_MAX + 1];
        uint64_t bits = rand_u64(&r);
        double d;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &bits, sizeof f);
        if (isfinite(d)) {
            text[json_number_from_double(d, text)] = 0;
            CHECK(strtod(text, NULL) == d);
        }
        if (isfinite(f)) {
            text[json_number_from_float(f, text)] = 0;
            CHECK(strtof(text, NULL) == f);
        }
    }
}

/* What is printed can be read, and is the same again. */
TEST(json_there_and_back)
{
    struct batch *b = sample();
    struct batch *again = NULL;
    struct json_reader *r = NULL;
    struct batch_builder *bb = NULL;
    struct buf out = {0};
    struct json_print_options options = {.raw = true};
    CHECK_OK(json_print_rows(b, &options, &out));
    struct payload *p = payload_copy(buf_bytes(&out));
    CHECK(p != NULL);
    CHECK_OK(json_reader_new(b->schema, &r));
    CHECK_OK(batch_builder_new(b->schema, 2, NULL, &bb));
    CHECK_OK(json_decode(r, payload_bytes(p), TIME, bb));
    CHECK_OK(batch_builder_finish(bb, &again));
    for (uint32_t i = 0; i < FIELD_COUNT; i++) {
        struct column a = batch_column(b, i);
        struct column c = batch_column(again, i);
        struct value va = column_value(&a, 0);
        struct value vc = column_value(&c, 0);
        if (i != 8)
            CHECK(value_identical(&va, &vc));
    }
    batch_builder_free(bb);
    json_reader_free(r);
    payload_unref(p);
    buf_fini(&out);
    batch_unref(again);
    batch_unref(b);
}

TEST(csv_prints_rows)
{
    struct batch *b = sample();
    struct buf out = {0};
    CHECK_OK(csv_print(b, true, &out));
    CHECK_STR(
        buf_text(&out),
        "\"温\"\"度\",d,f,u,b,t,s,serial,raw,json,any\r\n"
        "25.5,0.1,0.1,18446744073709551615,true,2026-09-21T14:13:20.000500Z,"
        "\"a,\"\"b\"\"\n\\\x01\",SN-1,base64:/wA=,\"{\"\"x\"\":\n1}\",-9223372036854775808\r\n"
        ",NaN,-Infinity,,,,\"\",base64:/w==,,\"\",\r\n");
    buf_reset(&out);
    CHECK_OK(csv_print(b, false, &out));
    CHECK(str_starts(buf_bytes(&out), "25.5,"));
    buf_fini(&out);
    batch_unref(b);
}

TEST(print_without_memory)
{
    struct batch *b = sample();
    FAULT_EACH (n) {
        struct buf json = {0};
        struct buf csv = {0};
        int err = json_print_rows(b, NULL, &json);
        if (!err)
            err = csv_print(b, true, &csv);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        buf_fini(&json);
        buf_fini(&csv);
    }
    batch_unref(b);
}
