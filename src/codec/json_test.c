/* JSON into columns: exact numbers, paths, what does not fit, and every malformed message refused
 * whole. */
#include "codec/json.h"

#include "base/err.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>
#include <stdlib.h>

#define TIME 1790000000000000

static const struct field wanted_fields[] = {
    {.name = "d", .type = VALUE_DOUBLE},    {.name = "i", .type = VALUE_INT64},
    {.name = "u", .type = VALUE_UINT64},    {.name = "s", .type = VALUE_STRING},
    {.name = "b", .type = VALUE_BOOL},      {.name = "f", .type = VALUE_FLOAT32},
    {.name = "t", .type = VALUE_TIMESTAMP}, {.name = "any", .type = VALUE_ANY},
    {.name = "x", .type = VALUE_BYTES},     {.name = "deep.er.d", .type = VALUE_DOUBLE},
    {.name = "deep", .type = VALUE_STRING}, {.name = "q\"\\", .type = VALUE_INT64},
};

enum {
    D,
    I,
    U,
    S,
    B,
    F,
    T,
    ANY,
    X,
    DEEPER,
    DEEP,
    QUOTED,
    WANTED_COUNT,
};

static struct json_reader *reader;
static struct batch_builder *builder;
static struct batch *batch;

static void set_up(void)
{
    struct schema *s = NULL;
    CHECK_OK(schema_new(wanted_fields, WANTED_COUNT, &s));
    CHECK_OK(json_reader_new(s, &reader));
    CHECK_OK(batch_builder_new(s, 16, NULL, &builder));
    schema_unref(s);
    batch = NULL;
}

static void tear_down(void)
{
    json_reader_free(reader);
    batch_builder_free(builder);
    batch_unref(batch);
}

/* The text with what a hostile neighbour in the buffer might leave behind it. */
static struct payload *payload_of(const char *text, size_t len)
{
    struct payload *p = payload_new(len);
    CHECK(p != NULL);
    memcpy(p->data, text, len);
    memset(p->data + len, text[0] == '[' ? ']' : '}', PAYLOAD_PAD);
    return p;
}

static int decode_bytes(const char *text, size_t len)
{
    struct payload *p = payload_of(text, len);
    int err = json_decode(reader, payload_bytes(p), TIME, builder);
    payload_unref(p);
    return err;
}

static int decode(const char *text)
{
    return decode_bytes(text, strlen(text));
}

static void finish(void)
{
    batch_unref(batch);
    CHECK_OK(batch_builder_finish(builder, &batch));
}

static struct value cell(uint32_t col, uint32_t row)
{
    struct column c = batch_column(batch, col);
    return column_value(&c, row);
}

static void check_text(uint32_t col, uint32_t row, enum value_type type, const char *text)
{
    struct value v = cell(col, row);
    CHECK_EQ(v.type, type);
    CHECK_BYTES(v.bytes, bytes_of_text(text));
}

TEST(json_fills_columns_of_every_type)
{
    set_up();
    CHECK_OK(decode("{\"d\": 1.5, \"i\": -9223372036854775808, \"u\": 18446744073709551615,"
                    " \"s\": \"a\\u4e2d\\n\\ud83d\\ude00\", \"b\": true, \"f\": 0.1,"
                    " \"t\": \"2026-11-22T08:30:00.5Z\", \"any\": 7, \"x\": \"y\"}"));
    finish();
    CHECK_EQ(batch->rows, 1);
    CHECK_EQ(batch_times(batch)[0], TIME);
    CHECK_NEAR(cell(D, 0).f64, 1.5, 0);
    CHECK_EQ(cell(I, 0).i64, INT64_MIN);
    CHECK_EQ(cell(U, 0).u64, UINT64_MAX);
    check_text(S, 0, VALUE_STRING, "a中\n😀");
    CHECK(cell(B, 0).boolean);
    CHECK(cell(F, 0).f32 == 0.1f);
    CHECK_EQ(cell(T, 0).i64, 1795336200500000);
    CHECK_EQ(cell(ANY, 0).type, VALUE_INT64);
    check_text(X, 0, VALUE_BYTES, "y");
    CHECK_EQ(cell(DEEP, 0).type, VALUE_NULL);
    CHECK_EQ(cell(DEEP, 0).quality, QUALITY_GOOD);
    tear_down();
}

TEST(json_converts_what_loses_nothing_and_marks_the_rest)
{
    static const struct {
        const char *text;
        uint32_t col;
        bool fits;
    } cases[] = {
        {"{\"d\": 7}", D, true},
        {"{\"d\": 18446744073709551615}", D, true},
        {"{\"d\": -7}", D, true},
        {"{\"d\": 123456789012345678901234567890}", D, true},
        {"{\"d\": \"7\"}", D, false},
        {"{\"d\": true}", D, false},
        {"{\"d\": [7]}", D, false},
        {"{\"i\": 5.0}", I, true},
        {"{\"i\": 5.5}", I, false},
        {"{\"i\": 9223372036854775808}", I, false},
        {"{\"i\": 1e30}", I, false},
        {"{\"i\": \"5\"}", I, false},
        {"{\"u\": 5}", U, true},
        {"{\"u\": 5.0}", U, true},
        {"{\"u\": -5}", U, false},
        {"{\"u\": -5.0}", U, false},
        {"{\"u\": 18446744073709551616}", U, false},
        {"{\"s\": 5}", S, false},
        {"{\"s\": [5, {\"a\": null}]}", S, true},
        {"{\"b\": 1}", B, false},
        {"{\"f\": 16777217}", F, true},
        {"{\"f\": 1e300}", F, false},
        {"{\"f\": \"1\"}", F, false},
        {"{\"t\": 1790000000000}", T, true},
        {"{\"t\": 9223372036854775807}", T, false},
        {"{\"t\": \"yesterday\"}", T, false},
        {"{\"t\": false}", T, false},
        {"{\"x\": {}}", X, true},
    };

    set_up();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_OK(decode(cases[i].text));
        finish();
        struct value v = cell(cases[i].col, 0);
        if ((v.type != VALUE_NULL) != cases[i].fits)
            check_fail_at(__FILE__, __LINE__, "%s", cases[i].text);
        CHECK_EQ(v.quality, cases[i].fits ? QUALITY_GOOD : QUALITY_CONVERT);
    }
    tear_down();
}

TEST(json_any_takes_everything)
{
    set_up();
    CHECK_OK(decode("[{\"any\": null}, {\"any\": false}, {\"any\": -1}, {\"any\": 1e2},"
                    "{\"any\": 9223372036854775808}, {\"any\": \"x\"}, {\"any\": [1, \"]\"] },"
                    "{\"any\": { } }]"));
    finish();

    static const enum value_type types[] = {VALUE_NULL,   VALUE_BOOL,   VALUE_INT64,
                                            VALUE_DOUBLE, VALUE_UINT64, VALUE_STRING};

    for (uint32_t i = 0; i < 6; i++)
        CHECK_EQ(cell(ANY, i).type, types[i]);
    check_text(ANY, 6, VALUE_STRING, "[1, \"]\"]");
    check_text(ANY, 7, VALUE_STRING, "{ }");
    tear_down();
}

TEST(json_reaches_into_objects)
{
    set_up();
    CHECK_OK(decode("{\"deep\": {\"er\": {\"d\": 2.5, \"e\": 1}, \"d\": 3}, \"d\": 1}"));
    CHECK_OK(decode("{\"deep.er.d\": 4}"));
    CHECK_OK(decode("{\"deep\": {\"er\": 5}}"));
    CHECK_OK(decode("{\"deep\": {\"er.d\": 6}}"));
    finish();
    CHECK_NEAR(cell(DEEPER, 0).f64, 2.5, 0);
    CHECK_NEAR(cell(D, 0).f64, 1, 0);
    check_text(DEEP, 0, VALUE_STRING, "{\"er\": {\"d\": 2.5, \"e\": 1}, \"d\": 3}");
    CHECK_NEAR(cell(DEEPER, 1).f64, 4, 0);
    CHECK_EQ(cell(DEEPER, 2).type, VALUE_NULL);
    CHECK_NEAR(cell(DEEPER, 3).f64, 6, 0);
    tear_down();
}

TEST(json_of_a_repeated_key_takes_the_last)
{
    set_up();
    CHECK_OK(decode("{\"d\": 1, \"d\": 2, \"i\": 1, \"i\": null, \"s\": \"a\", \"s\": 5}"));
    CHECK_OK(decode("{\"d\": \"x\", \"d\": 2, \"i\": \"x\", \"i\": 3}"));
    finish();
    CHECK_NEAR(cell(D, 0).f64, 2, 0);
    CHECK_EQ(cell(I, 0).type, VALUE_NULL);
    CHECK_EQ(cell(I, 0).quality, QUALITY_GOOD);
    CHECK_EQ(cell(S, 0).type, VALUE_NULL);
    CHECK_EQ(cell(S, 0).quality, QUALITY_CONVERT);
    CHECK_NEAR(cell(D, 1).f64, 2, 0);
    CHECK_EQ(cell(D, 1).quality, QUALITY_GOOD);
    CHECK_EQ(cell(I, 1).quality, QUALITY_GOOD);
    tear_down();
}

TEST(json_finds_keys_in_any_order_and_spelling)
{
    set_up();
    CHECK_OK(decode("{\"d\":1,\"i\":2,\"u\":3}"));
    CHECK_OK(decode("{\"u\":3,\"none\":[],\"i\":2,\"d\":1}"));
    CHECK_OK(decode("{\"d\":1,\"dd\":9,\"i\":2,\"u\":3}"));
    CHECK_OK(decode("{\"\\u0064\":1,\"\\u0069\":2,\"u\":3,\"q\\\"\\\\\":4}"));
    finish();
    for (uint32_t row = 0; row < 4; row++) {
        CHECK_NEAR(cell(D, row).f64, 1, 0);
        CHECK_EQ(cell(I, row).i64, 2);
        CHECK_EQ(cell(U, row).u64, 3);
    }
    CHECK_EQ(cell(QUOTED, 3).i64, 4);
    tear_down();
}

static const char *const bad[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "7",
    "\"x\"",
    "null",
    "nul",
    "{\"d\":1",
    "{\"d\":1}}",
    "{\"d\":1} {\"d\":2}",
    "{\"d\":1},",
    "{\"d\" 1}",
    "{\"d\":1,}",
    "{,}",
    "{d:1}",
    "{1:1}",
    "{\"d\":1 \"i\":2}",
    "{\"d\":01}",
    "{\"d\":1.}",
    "{\"d\":.5}",
    "{\"d\":+1}",
    "{\"d\":1e}",
    "{\"d\":1e999}",
    "{\"d\":0x1}",
    "{\"d\":-}",
    "{\"d\":NaN}",
    "{\"s\":\"\\x\"}",
    "{\"s\":\"\\u12\"}",
    "{\"s\":\"\\ud800\"}",
    "{\"s\":\"a",
    "{\"s\":\"a\nb\"}",
    "{\"s\":\"\xff\"}",
    "{\"none\":tru}",
    "{\"none\":truex}",
    "{\"none\":falsy}",
    "{\"none\":nulx}",
    "{\"none\":1x}",
    "{\"none\":[1,]}",
    "{\"none\":[1 2]}",
    "{\"none\":[1}",
    "{\"none\":{\"a\":1]}",
    "{\"none\":{\"\\x\":1}}",
    "{\"\\x\":1}",
    "{\"none\":{\"a\":\"\\x\"}}",
    "{\"none\":[[[[01]]]]}",
    "{\"none\":}",
    "{\"none\"}",
    "[1]",
    "[{\"d\":1},2]",
    "[{\"d\":1},{\"d\":01}]",
    "[{\"d\":1}",
    "[{\"d\":1},]",
    "[{\"d\":1}]]",
    "\xef\xbb\xbf{x}",
};

TEST(json_refuses_malformed_messages_whole)
{
    set_up();
    CHECK_OK(decode("{\"d\":42,\"s\":\"keep\"}"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int err = decode(bad[i]);
        if (err != ERR_SYNTAX)
            check_fail_at(__FILE__, __LINE__, "%s gave %s", bad[i], err_name(err));
        CHECK_EQ(batch_builder_rows(builder), 1);
        CHECK(strncmp(json_error(reader), "at byte ", 8) == 0);
    }
    CHECK_OK(decode("{\"s\":\"after\"}"));
    finish();
    CHECK_EQ(batch->rows, 2);
    CHECK_NEAR(cell(D, 0).f64, 42, 0);
    check_text(S, 0, VALUE_STRING, "keep");
    check_text(S, 1, VALUE_STRING, "after");
    CHECK_EQ(cell(D, 1).type, VALUE_NULL);
    tear_down();
}

TEST(json_tells_where_and_what)
{
    set_up();
    CHECK_ERR(decode("{\"d\": 1, \"none\": 01}"), ERR_SYNTAX);
    CHECK_STR(json_error(reader), "at byte 17: not a number that JSON and a double can hold");
    CHECK_ERR(decode("{\"d\": 1} {}"), ERR_SYNTAX);
    CHECK(strstr(json_error(reader), "behind the end") != NULL);
    CHECK_OK(decode("{}"));
    CHECK_STR(json_error(reader), "");
    tear_down();
}

TEST(json_every_cut_of_a_message_is_refused)
{
    static const char text[] = "[{\"d\":1.5,\"none\":{\"a\":[true,null,\"x\\n\"]}},{\"i\":-7}]";
    set_up();
    for (size_t len = 0; len < sizeof text - 1; len++)
        CHECK_ERR(decode_bytes(text, len), ERR_SYNTAX);
    CHECK_OK(decode_bytes(text, sizeof text - 1));
    CHECK_EQ(batch_builder_rows(builder), 2);
    tear_down();
}

TEST(json_limits)
{
    char text[256] = "{\"a\":";
    set_up();
    size_t n = 5;
    for (uint32_t i = 0; i < JSON_DEPTH_MAX; i++)
        text[n++] = '[';
    for (uint32_t i = 0; i < JSON_DEPTH_MAX; i++)
        text[n++] = ']';
    text[n++] = '}';
    CHECK_ERR(decode_bytes(text, n), ERR_LIMIT);
    memmove(text + 5, text + 6, n - 6);
    text[n - 3] = '}';
    CHECK_OK(decode_bytes(text, n - 2));
    for (int i = 1; i < 16; i++)
        CHECK_OK(decode("{}"));
    CHECK_ERR(decode("{}"), ERR_LIMIT);
    struct bytes huge = {(const uint8_t *)"", (size_t)JSON_MESSAGE_BYTES_MAX + 1};
    CHECK_ERR(json_decode(reader, huge, TIME, builder), ERR_LIMIT);
    tear_down();
}

/* ------------------------------------------------------------------------------------ schemaless
 */

static int decode_any(const char *text)
{
    struct payload *p = payload_of(text, strlen(text));
    struct batch *b = NULL;
    int err = json_decode_any(reader, payload_bytes(p), TIME, NULL, &b);
    payload_unref(p);
    if (!err) {
        batch_unref(batch);
        batch = b;
    }
    return err;
}

TEST(json_schemaless_finds_the_columns)
{
    batch = NULL;
    builder = NULL;
    CHECK_OK(json_reader_new(NULL, &reader));
    CHECK_OK(decode_any("[{\"a\":1,\"b\":\"x\"},{\"b\":true,\"c\":{\"d\":[1]}},{}]"));
    CHECK_EQ(batch->rows, 3);
    CHECK_EQ(batch->schema->count, 3);
    CHECK_STR(batch->schema->fields[2].name, "c");
    CHECK_EQ(cell(0, 0).i64, 1);
    CHECK_EQ(cell(0, 1).type, VALUE_NULL);
    CHECK(cell(1, 1).boolean);
    check_text(2, 1, VALUE_STRING, "{\"d\":[1]}");
    tear_down();
}

TEST(json_schemaless_keeps_the_schema_while_the_keys_are_the_same)
{
    batch = NULL;
    builder = NULL;
    CHECK_OK(json_reader_new(NULL, &reader));
    CHECK_OK(decode_any("{\"a\":1,\"b\":2}"));
    struct schema *first = schema_ref(batch->schema);
    CHECK_OK(decode_any("{\"b\":1,\"a\":2}"));
    CHECK(batch->schema == first);
    CHECK_EQ(cell(0, 0).i64, 2);
    CHECK_OK(decode_any("{\"b\":3}"));
    CHECK_EQ(batch->schema->count, 1);
    CHECK_EQ(cell(0, 0).i64, 3);
    CHECK_OK(decode_any("{\"b\":3,\"c\":4}"));
    CHECK_EQ(batch->schema->count, 2);
    CHECK_EQ(cell(1, 0).i64, 4);
    CHECK_ERR(decode_any("{\"evil\":1,\"b\":01}"), ERR_SYNTAX);
    CHECK_OK(decode_any("{\"b\":5,\"c\":6}"));
    CHECK_EQ(batch->schema->count, 2);
    CHECK_EQ(cell(1, 0).i64, 6);
    CHECK_OK(decode_any("{}"));
    CHECK_EQ(batch->schema->count, 0);
    CHECK_EQ(batch->rows, 1);
    schema_unref(first);
    tear_down();
}

TEST(json_schemaless_limits)
{
    batch = NULL;
    builder = NULL;
    CHECK_OK(json_reader_new(NULL, &reader));
    CHECK_ERR(decode_any("[]"), ERR_INVALID);
    CHECK_ERR(decode_any("{\"a\\u0000b\":1}"), ERR_LIMIT);
    char text[256];
    (void)snprintf(text, sizeof text, "{\"%0*d\":1}", FIELD_NAME_BYTES_MAX + 1, 0);
    CHECK_ERR(decode_any(text), ERR_LIMIT);
    (void)snprintf(text, sizeof text, "{\"%0*d\":1}", FIELD_NAME_BYTES_MAX, 0);
    CHECK_OK(decode_any(text));
    /* 5,000 rows, each with a key of its own: too many cells for what they hold. */
    struct buf many = {0};
    for (int i = 0; i < 5000; i++)
        (void)buf_printf(&many, "%c{\"k%d\":%d,\"l\":1}", i ? ',' : '[', i, i);
    (void)buf_append_u8(&many, ']');
    CHECK_ERR(decode_any(buf_text(&many)), ERR_LIMIT);
    buf_fini(&many);
    tear_down();
}

TEST(json_without_memory)
{
    static const char text[] = "[{\"deep\":{\"er\":{\"d\":1}},\"s\":\"x\"},{\"b\":1}]";
    struct payload *p = payload_of(text, sizeof text - 1);
    FAULT_EACH (n) {
        struct schema *s = NULL;
        struct json_reader *r = NULL;
        struct json_reader *any = NULL;
        struct batch_builder *bb = NULL;
        struct batch *b = NULL;
        int err = schema_new(wanted_fields, WANTED_COUNT, &s);
        if (!err)
            err = json_reader_new(s, &r);
        if (!err)
            err = json_reader_new(NULL, &any);
        if (!err)
            err = batch_builder_new(s, 4, NULL, &bb);
        if (!err)
            err = json_decode(r, payload_bytes(p), TIME, bb);
        if (!err)
            err = json_decode_any(any, payload_bytes(p), TIME, NULL, &b);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        batch_unref(b);
        batch_builder_free(bb);
        json_reader_free(r);
        json_reader_free(any);
        schema_unref(s);
    }
    payload_unref(p);
}
