/* Rows of a group: what is printed comes back bit by bit, and what does not fit is refused in words
 * that name row and tag. */
#include "base/err.h"
#include "codec/json.h"
#include "codec/json_print.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdlib.h>

#define BEGIN_MS 1790000000000

static const struct field fields[] = {
    {.name = "d", .type = VALUE_DOUBLE},
    {.name = "i", .type = VALUE_INT64},
    {.name = "u", .type = VALUE_UINT64},
    {.name = "f", .type = VALUE_FLOAT32},
    {.name = "b", .type = VALUE_BOOL},
    {.name = "s", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "x", .type = VALUE_BYTES},
    {.name = "t", .type = VALUE_TIMESTAMP},
    {.name = "tenths", .type = VALUE_INT64, .flags = FIELD_SCALED, .scale = 0.1, .offset = -40},
    {.name = "fs", .type = VALUE_FLOAT32, .flags = FIELD_SCALED, .scale = 0.25, .offset = 1},
    {.name = "ds", .type = VALUE_DOUBLE, .flags = FIELD_SCALED, .scale = 0.001, .offset = 7},
    {.name = "same", .type = VALUE_UINT64, .flags = FIELD_SCALED, .scale = 1e-20, .offset = 1},
};

enum { D, I, U, F, B, S, X, T, TENTHS, FS, DS, SAME, FIELD_COUNT };

static const struct field_limit limits[FIELD_COUNT] = {
    [I] = {INT16_MIN, INT16_MAX, 0}, [U] = {0, UINT64_MAX, 0},           [S] = {0, 0, 4},
    [TENTHS] = {0, UINT16_MAX, 0},   [SAME] = {INT64_MIN, INT64_MAX, 0},
};

static struct json_reader *reader;
static struct batch_builder *builder;
static struct batch *batch;

static void set_up(const struct field_limit *of)
{
    struct schema *s = NULL;
    CHECK_OK(schema_new(fields, FIELD_COUNT, &s));
    CHECK_OK(json_rows_reader_new(s, of, "ts", &reader));
    CHECK_OK(batch_builder_new(s, 4, NULL, &builder));
    schema_unref(s);
    batch = NULL;
}

static void tear_down(void)
{
    json_reader_free(reader);
    batch_builder_free(builder);
    batch_unref(batch);
}

static int decode_bytes(struct bytes text)
{
    struct payload *p = payload_copy(text);
    CHECK(p != NULL);
    int err = json_decode_rows(reader, payload_bytes(p), builder);
    payload_unref(p);
    return err;
}

static int decode(const char *text)
{
    return decode_bytes(bytes_of_text(text));
}

static void finish(void)
{
    batch_unref(batch);
    batch = NULL;
    CHECK_OK(batch_builder_finish(builder, &batch));
}

static struct column column_of(uint32_t col)
{
    return batch_column(batch, col);
}

TEST(rows_bring_their_own_times)
{
    set_up(NULL);
    CHECK_OK(decode("[{\"ts\": 1790000000000, \"i\": 1}, {\"i\": 2, \"ts\": 1790000000000.25},"
                    " {\"ts\": \"2026-09-21T14:13:20.000001Z\", \"i\": 3}]"));
    CHECK_OK(decode("{\"ts\": 1790000000001}"));
    finish();
    CHECK_EQ(batch->rows, 4);
    CHECK_EQ(batch_times(batch)[0], BEGIN_MS * 1000);
    CHECK_EQ(batch_times(batch)[1], BEGIN_MS * 1000 + 250);
    CHECK_EQ(batch_times(batch)[2], BEGIN_MS * 1000 + 1);
    CHECK_EQ(batch_times(batch)[3], BEGIN_MS * 1000 + 1000);
    struct column i = column_of(I);
    CHECK_EQ(column_value(&i, 2).i64, 3);
    CHECK(column_is_null(&i, 3));
    CHECK_EQ(column_quality(&i, 3), QUALITY_GOOD);
    tear_down();
}

TEST(case_30_the_rows_of_a_block_that_is_stamped_once_are_so_far_apart)
{
    set_up(NULL);
    /* 44,100 a second: steps are not summed up; then another block of that message. */
    CHECK_OK(
        decode("[{\"step_us\": 22.675736961451247, \"i\": 0, \"ts\": 1790000000000}, {\"i\": 1},"
               " {\"i\": 2}, {\"i\": 3, \"ts\": 1790000000001}]"));
    finish();
    CHECK_EQ(batch->rows, 4);
    CHECK_EQ(batch_times(batch)[0], BEGIN_MS * 1000);
    CHECK_EQ(batch_times(batch)[1], BEGIN_MS * 1000 + 23);
    CHECK_EQ(batch_times(batch)[2], BEGIN_MS * 1000 + 45);
    CHECK_EQ(batch_times(batch)[3], BEGIN_MS * 1000 + 1000);
    /* It is the message's own. */
    CHECK_EQ(decode("[{\"i\": 1}]"), ERR_SYNTAX);
    CHECK_EQ(decode("[{\"i\": 1, \"step_us\": 100}, {\"i\": 2, \"ts\": 1790000000000}]"),
             ERR_SYNTAX);
    CHECK_EQ(decode("[{\"ts\": 1790000000000, \"step_us\": 0}]"), ERR_SYNTAX);
    CHECK_STR(json_error(reader), "row 1: step_us is the number of microseconds from a row to the "
                                  "next, above 0 and at most 3.6e+09");
    CHECK_EQ(decode("[{\"ts\": 1790000000000, \"step_us\": \"x\"}]"), ERR_SYNTAX);
    tear_down();
}

TEST(no_rows_are_no_error)
{
    set_up(NULL);
    CHECK_OK(decode("[]"));
    CHECK_EQ(batch_builder_rows(builder), 0);
    tear_down();
}

TEST(null_says_that_there_was_no_value)
{
    set_up(NULL);
    CHECK_OK(decode("{\"ts\":1790000000000,\"d\":null,\"i\":null,\"s\":null,\"b\":true}"));
    CHECK_OK(decode("{\"ts\":1790000000000,\"d\":null,\"d\":1,\"i\":null,\"i\":2,\"s\":\"a\"}"));
    finish();
    for (uint32_t col = 0; col < FIELD_COUNT; col++) {
        struct column c = column_of(col);
        bool said = col == D || col == I || col == S;
        CHECK(col == B || column_is_null(&c, 0));
        CHECK_EQ(column_quality(&c, 0), said ? QUALITY_UNREAD : QUALITY_GOOD);
        CHECK_EQ(column_quality(&c, 1), QUALITY_GOOD);
        CHECK_EQ(column_is_null(&c, 1), !said);
    }
    tear_down();
}

/* Any bits of the type, from a generator with a fixed seed. */
static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed ^ *seed >> 29;
}

static double some_double(uint64_t *seed)
{
    uint64_t bits = next(seed);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v - v == 0 ? v : -0.0;
}

static float some_float(uint64_t *seed)
{
    uint32_t bits = (uint32_t)next(seed);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v - v == 0 ? v : -0.0F;
}

static void row_make(struct batch_builder *bb, uint64_t *seed, bool exact)
{
    uint8_t chars[3];
    CHECK(batch_builder_row(bb, (BEGIN_MS + (int64_t)(next(seed) % 1000)) * 1000) >= 0);
    batch_set_f64(bb, D, some_double(seed));
    batch_set_i64(bb, I, (int64_t)next(seed));
    batch_set_u64(bb, U, next(seed));
    batch_set_f32(bb, F, some_float(seed));
    batch_set_bool(bb, B, next(seed) & 1);
    memcpy(chars, seed, sizeof chars);
    CHECK_OK(batch_set_bytes(bb, X, bytes_of(chars, sizeof chars)));
    CHECK_OK(batch_set_bytes(bb, S, bytes_of(next(seed) & 1 ? (const void *)chars : "\"\n", 2)));
    batch_set_i64(bb, T, (int64_t)(next(seed) % (uint64_t)BEGIN_MS));
    batch_set_i64(bb, TENTHS, (int64_t)(next(seed) >> 32));
    if (exact)
        batch_set_f32(bb, FS, (float)(next(seed) >> 48));
}

static void check_same(const struct batch *a, const struct batch *b)
{
    CHECK_EQ(a->rows, b->rows);
    for (uint32_t i = 0; i < a->rows * FIELD_COUNT; i++) {
        struct column ca = batch_column(a, i % FIELD_COUNT);
        struct column cb = batch_column(b, i % FIELD_COUNT);
        struct value va = column_value(&ca, i / FIELD_COUNT);
        struct value vb = column_value(&cb, i / FIELD_COUNT);
        if (va.type == VALUE_NULL)
            vb.quality = va.quality; /* a null of no quality is read as "no value" */
        CHECK(value_identical(&va, &vb));
        CHECK_EQ(batch_times(a)[i / FIELD_COUNT], batch_times(b)[i / FIELD_COUNT]);
    }
}

TEST(what_is_printed_comes_back_bit_by_bit)
{
    const struct json_print_options options = {.time_key = "ts"};
    uint64_t seed = 42;
    set_up(NULL);
    for (int n = 0; n < 500; n++) {
        struct buf text = {0};
        row_make(builder, &seed, true);
        row_make(builder, &seed, false);
        finish();
        struct batch *first = batch;
        batch = NULL;
        CHECK_OK(json_print_rows(first, &options, &text));
        CHECK_OK(decode_bytes(buf_bytes(&text)));
        finish();
        check_same(first, batch);
        batch_unref(first);
        buf_fini(&text);
    }
    tear_down();
}

TEST(a_scaled_double_is_off_by_a_last_digit_at_most)
{
    uint64_t seed = 7;
    set_up(NULL);
    for (int n = 0; n < 1000; n++) {
        double raw = (double)(next(&seed) >> 12) * 1e-6;
        double shown = field_number(&fields[DS], raw);
        double back = 0;
        CHECK_OK(field_raw(&fields[DS], shown, &back));
        double off = field_number(&fields[DS], back) - shown;
        CHECK(off <= shown * 1e-15 && off >= -shown * 1e-15);
    }
    tear_down();
}

TEST(zero_and_one_are_bools_and_text_may_be_base64)
{
    set_up(limits);
    CHECK_OK(decode("{\"ts\":1790000000000,\"b\":1,\"s\":{ \"$bytes\" : \"AP8=\" },"
                    "\"x\":{\"$bytes\":\"\"},\"u\":18446744073709551615,\"i\":-32768,"
                    "\"tenths\":-40,\"ds\":7.001,\"fs\":1.5}"));
    finish();
    struct column b = column_of(B);
    struct column s = column_of(S);
    struct column x = column_of(X);
    struct column u = column_of(U);
    struct column tenths = column_of(TENTHS);
    struct column ds = column_of(DS);
    CHECK(column_value(&b, 0).boolean);
    CHECK_BYTES(column_bytes(&s, 0), bytes_of("\0\xff", 2));
    CHECK(!column_is_null(&x, 0));
    CHECK_EQ(column_bytes(&x, 0).len, 0);
    CHECK(column_value(&u, 0).u64 == UINT64_MAX);
    CHECK_EQ(column_value(&tenths, 0).i64, 0);
    CHECK(column_value(&ds, 0).f64 > 0.999 && column_value(&ds, 0).f64 < 1.001);
    tear_down();
}

/* Every text is refused whole, and json_error says `why`. */
static const struct {
    const char *text;
    const char *why;
} refused[] = {
    {"{\"i\":1}", "row 1: it has no time"},
    {"[{\"ts\":1},{\"i\":1},{\"ts\":1}]", "row 2: it has no time"},
    {"{\"ts\":true}", "row 1: its time is neither"},
    {"{\"ts\":\"yesterday\"}", "row 1: its time is neither"},
    {"{\"ts\":1e300}", "row 1: its time is neither"},
    {"{\"ts\":1,\"nope\":1}", "row 1: the group has no tag \"nope\""},
    {"{\"ts\":1,\"\\u0000\\n\":1}", "row 1: the group has no tag \"\\u0000\\n\""},
    {"[{\"ts\":1,\"i\":1},{\"ts\":1,\"i\":1.5}]", "row 2: i: the value must be a whole number"},
    {"{\"ts\":1,\"i\":\"1\"}", "i: the value must be a whole number"},
    {"{\"ts\":1,\"i\":32768}", "i: the device holds raw values from -32768 to 32767"},
    {"{\"ts\":1,\"i\":-32769}", "i: the device holds raw values from -32768 to 32767"},
    {"{\"ts\":1,\"i\":1e17}", "i: a number of this size needs all its digits"},
    {"{\"ts\":1,\"u\":-1}", "u: the value must be a whole number of 64 bits, not negative"},
    {"{\"ts\":1,\"u\":18446744073709551616}", "u: a number of this size needs all its digits"},
    {"{\"ts\":1,\"d\":\"1\"}", "d: the value must be a number"},
    {"{\"ts\":1,\"f\":1e39}", "f: 1e+39 is too large"},
    {"{\"ts\":1,\"f\":{}}", "f: the value must be a number"},
    {"{\"ts\":1,\"b\":2}", "b: the value must be true or false, or 1 or 0"},
    {"{\"ts\":1,\"b\":\"true\"}", "b: the value must be true or false"},
    {"{\"ts\":1,\"s\":\"abcde\"}", "s: the device holds at most 4 bytes, the value has 5"},
    {"{\"ts\":1,\"s\":5}", "s: the value must be a string, or"},
    {"{\"ts\":1,\"s\":[]}", "s: the value must be a string, or"},
    {"{\"ts\":1,\"s\":{}}", "s: the value must be a string, or"},
    {"{\"ts\":1,\"s\":{\"$bytes\":\"A\"}}", "s: what stands under $bytes is not base64"},
    {"{\"ts\":1,\"s\":{\"$bytes\":\"A=A=\"}}", "s: what stands under $bytes is not base64"},
    {"{\"ts\":1,\"s\":{\"$bytes\":5}}", "s: what stands under $bytes is not base64"},
    {"{\"ts\":1,\"s\":{\"$bytes\":\"AAAAAAAA\"}}", "s: the device holds at most 4 bytes"},
    {"{\"ts\":1,\"s\":{\"bytes\":\"AAAA\"}}", "the group has no tag \"bytes\""},
    {"{\"ts\":1,\"t\":\"then\"}", "t: the value must be a time"},
    {"{\"ts\":1,\"tenths\":1.25}", "tenths: 1.25 lies between two raw values"},
    {"{\"ts\":1,\"tenths\":-40.1}", "tenths: the device holds raw values from 0 to 65535"},
    {"{\"ts\":1,\"tenths\":\"1\"}", "tenths: the value must be a number"},
    {"{\"ts\":1,\"tenths\":1e308}", "tenths: "},
    {"{\"ts\":1,\"same\":1}", "same: several raw values are shown as 1"},
    {"{\"ts\":1,\"fs\":1e39}", "fs: 1e+39 is too large"},
    {"[{\"ts\":1},{\"ts\":1},{\"ts\":1},{\"ts\":1},{\"ts\":1}]", "row 5: more rows than"},
    {"[1]", "an array of messages must hold objects only"},
    {"5", "a message is an object, or an array of objects"},
    {"{\"ts\":1", "not closed"},
    {"", "empty"},
};

TEST(what_does_not_fit_is_refused_whole_and_in_words)
{
    set_up(limits);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK_EQ(decode(refused[i].text), ERR_SYNTAX);
        if (!strstr(json_error(reader), refused[i].why))
            CHECK_STR(json_error(reader), refused[i].why);
        CHECK_EQ(batch_builder_rows(builder), 0);
    }
    CHECK_OK(decode("{\"ts\":1,\"i\":5}")); /* nothing of the refused ones is left */
    finish();
    CHECK_EQ(batch->rows, 1);
    struct column i = column_of(I);
    CHECK_EQ(column_value(&i, 0).i64, 5);
    tear_down();
}

TEST(a_tag_called_like_the_time_cannot_be)
{
    static const struct field field = {.name = "ts", .type = VALUE_DOUBLE};
    struct schema *s = NULL;
    CHECK_OK(schema_new(&field, 1, &s));
    CHECK_EQ(json_rows_reader_new(s, NULL, "ts", &reader), ERR_EXISTS);
    schema_unref(s);
}

TEST(without_memory_nothing_is_left_behind)
{
    struct payload *p = payload_copy(
        bytes_of_text("{\"ts\":1,\"s\":{\"$bytes\":\"AAA=\"},\"x\":\"abc\",\"d\":null,\"i\":1}"));
    FAULT_EACH (n) {
        struct schema *s = NULL;
        struct json_reader *r = NULL;
        struct batch_builder *bb = NULL;
        int err = schema_new(fields, FIELD_COUNT, &s);
        if (!err)
            err = json_rows_reader_new(s, NULL, "ts", &r);
        if (!err)
            err = batch_builder_new(s, 4, NULL, &bb);
        if (!err)
            err = json_decode_rows(r, payload_bytes(p), bb);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        batch_builder_free(bb);
        json_reader_free(r);
        schema_unref(s);
    }
    payload_unref(p);
}
