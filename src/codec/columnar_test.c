/* The columnar format: bit-exact there and back, small where nothing is special, and deaf to lies.
 */
#include "codec/columnar.h"

#include "base/err.h"
#include "base/rand.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t word_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* --------------------------------------------------------------------------- making and comparing
 */

static struct schema *schema_of(const enum value_type *types, uint32_t count)
{
    struct field *fields = calloc(count ? count : 1, sizeof *fields);
    char(*names)[16] = calloc(count ? count : 1, sizeof *names);
    CHECK(fields && names);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof names[i], "c%u", i);
        fields[i] = (struct field){.name = names[i], .type = types[i]};
    }
    struct schema *s = NULL;
    CHECK_OK(schema_new(fields, count, &s));
    free(fields);
    free(names);
    return s;
}

static void check_same(const struct batch *a, const struct batch *b)
{
    CHECK_EQ(a->rows, b->rows);
    CHECK_EQ(a->schema->hash, b->schema->hash);
    CHECK_MEM(batch_times(a), batch_times(b), a->rows * sizeof(int64_t));
    for (uint32_t i = 0; i < a->schema->count; i++) {
        struct column ca = batch_column(a, i);
        struct column cb = batch_column(b, i);
        CHECK_EQ(ca.quality != NULL, cb.quality != NULL);
        CHECK_EQ(ca.time_offset != NULL, cb.time_offset != NULL);
        for (uint32_t row = 0; row < a->rows; row++) {
            struct value va = column_value(&ca, row);
            struct value vb = column_value(&cb, row);
            CHECK(value_identical(&va, &vb));
            if (ca.time_offset && cb.time_offset)
                CHECK_EQ(ca.time_offset[row], cb.time_offset[row]);
        }
    }
}

static struct batch *round_trip(const struct batch *b, bool zstd)
{
    struct buf out = {0};
    struct batch *again = NULL;
    struct columnar_options options = {.zstd = zstd};
    uint64_t hash = 0;
    CHECK_OK(buf_append_text(&out, "before"));
    CHECK_OK(columnar_encode(b, &options, &out));
    struct bytes payload = bytes_of(out.ptr + 6, out.len - 6);
    CHECK_OK(columnar_schema_hash(payload, &hash));
    CHECK_EQ(hash, b->schema->hash);
    CHECK_OK(columnar_decode(payload, b->schema, NULL, &again));
    buf_fini(&out);
    return again;
}

static void check_round_trip(struct batch *b)
{
    for (int zstd = 0; zstd < 2; zstd++) {
        struct batch *again = round_trip(b, zstd);
        check_same(b, again);
        batch_unref(again);
    }
}

/* ------------------------------------------------------------------------------------ random ones
 */

static struct value random_value(struct rand *r, enum value_type type, uint8_t *text)
{
    if (type == VALUE_ANY)
        type = (enum value_type)rand_below(r, VALUE_ANY);
    struct value v = {.type = type};
    v.u64 = rand_below(r, 4) ? rand_u64(r) : rand_below(r, 3);
    if (type == VALUE_BOOL)
        v.boolean = rand_below(r, 2);
    if (type == VALUE_STRING || type == VALUE_BYTES) {
        size_t len = rand_below(r, 12);
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)(type == VALUE_STRING ? 'a' + rand_below(r, 26) : rand_u64(r));
        v.bytes = bytes_of(text, len);
    }
    return v;
}

/* How often something is special: never, sometimes, always. */
static bool chance(struct rand *r, uint64_t in_four)
{
    return rand_below(r, 4) < in_four;
}

static void fill_cell(struct rand *r, struct batch_builder *bb, uint32_t col, enum value_type type,
                      const uint64_t *odds)
{
    uint8_t text[16];
    if (!chance(r, odds[0])) {
        struct value v = random_value(r, type, text);
        CHECK_OK(batch_set_value(bb, col, &v));
    }
    if (chance(r, odds[1]))
        CHECK_OK(batch_set_quality(bb, col, (enum quality)rand_below(r, QUALITY_COUNT)));
    if (chance(r, odds[2]))
        CHECK_OK(batch_set_time_offset(bb, col, (int32_t)(rand_u64(r) >> rand_below(r, 40))));
}

static struct batch *random_batch(struct rand *r)
{
    enum value_type types[40];
    uint64_t odds[40][3];
    uint32_t columns = (uint32_t)rand_below(r, 40);
    uint32_t rows = (uint32_t)rand_below(r, 3) ? (uint32_t)rand_below(r, 40) + 1 : 1;
    for (uint32_t i = 0; i < columns; i++) {
        types[i] = (enum value_type)(rand_below(r, VALUE_TYPE_COUNT - 1) + 1);
        for (int k = 0; k < 3; k++)
            odds[i][k] = rand_below(r, 2) ? 0 : rand_below(r, 5);
    }
    struct schema *s = schema_of(types, columns);
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(s, rows, NULL, &bb));
    bool even = rand_below(r, 2);
    int64_t time = (int64_t)rand_u64(r);
    for (uint32_t row = 0; row < rows; row++) {
        time = (int64_t)((uint64_t)time + (even ? 100000 : rand_u64(r)));
        CHECK_EQ(batch_builder_row(bb, time), (int)row);
        for (uint32_t i = 0; i < columns; i++)
            fill_cell(r, bb, i, types[i], odds[i]);
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(s);
    return b;
}

TEST(columnar_brings_back_any_batch)
{
    struct rand r;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        rand_seed(&r, seed);
        struct batch *b = random_batch(&r);
        check_round_trip(b);
        batch_unref(b);
    }
}

TEST(columnar_survives_every_cut_and_flip)
{
    struct rand r;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        rand_seed(&r, seed);
        struct batch *b = random_batch(&r);
        struct buf out = {0};
        CHECK_OK(columnar_encode(b, NULL, &out));
        struct batch *again = NULL;
        for (size_t len = 0; len < out.len; len++)
            CHECK(columnar_decode(bytes_of(out.ptr, len), b->schema, NULL, &again) != OK);
        for (size_t i = 10; i < out.len; i++) {
            uint8_t bit = (uint8_t)(1u << rand_below(&r, 8));
            out.ptr[i] ^= bit;
            again = NULL;
            if (columnar_decode(buf_bytes(&out), b->schema, NULL, &again) == OK)
                batch_unref(again);
            out.ptr[i] ^= bit;
        }
        CHECK_OK(buf_append_u8(&out, 0));
        CHECK_ERR(columnar_decode(buf_bytes(&out), b->schema, NULL, &again), ERR_MALFORMED);
        buf_fini(&out);
        batch_unref(b);
    }
}

/* -------------------------------------------------------------------------------------- bit-exact
 */

static struct batch_builder *builder_of(enum value_type type, uint32_t columns, uint32_t rows)
{
    enum value_type *types = calloc(columns, sizeof *types);
    CHECK(types != NULL);
    for (uint32_t i = 0; i < columns; i++)
        types[i] = type;
    struct schema *s = schema_of(types, columns);
    struct batch_builder *bb = NULL;
    CHECK_OK(batch_builder_new(s, rows, NULL, &bb));
    schema_unref(s);
    free(types);
    return bb;
}

static struct batch *finish(struct batch_builder *bb)
{
    struct batch *b = NULL;
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

TEST(columnar_keeps_every_bit_of_a_double)
{
    static const uint64_t words[] = {0x7ff8000000000001, 0xfff0000000000001, 0x7ff4deadbeef0001,
                                     0x8000000000000000, 0x0000000000000001, 0x7fefffffffffffff,
                                     0x7ff0000000000000, 0xfff0000000000000};
    for (int by_row = 0; by_row < 2; by_row++) {
        struct batch_builder *bb = builder_of(VALUE_DOUBLE, by_row ? 1 : 8, by_row ? 8 : 1);
        for (uint32_t i = 0; i < 8; i++) {
            if (by_row || i == 0)
                CHECK(batch_builder_row(bb, INT64_MIN) >= 0);
            batch_set_f64(bb, by_row ? 0 : i, double_of(words[i]));
        }
        struct batch *b = finish(bb);
        struct batch *again = round_trip(b, false);
        for (uint32_t i = 0; i < 8; i++) {
            struct column c = batch_column(again, by_row ? 0 : i);
            struct value v = column_value(&c, by_row ? i : 0);
            CHECK_EQ(v.u64, words[i]);
        }
        const int64_t *times = batch_times(again);
        CHECK(times != NULL);
        CHECK_EQ(times[0], INT64_MIN);
        batch_unref(again);
        batch_unref(b);
    }
    CHECK_EQ(word_of(-0.0), 0x8000000000000000);
}

TEST(columnar_keeps_the_ends_of_integers_and_times)
{
    struct batch_builder *bb = builder_of(VALUE_INT64, 1, 4);
    static const int64_t ends[] = {INT64_MIN, INT64_MAX, -1, 0};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(batch_builder_row(bb, ends[i]), i);
        batch_set_i64(bb, 0, ends[i]);
        CHECK_OK(batch_set_time_offset(bb, 0, i % 2 ? INT32_MIN : INT32_MAX));
    }
    struct batch *b = finish(bb);
    check_round_trip(b);
    batch_unref(b);
}

TEST(columnar_keeps_bytes_that_are_no_text)
{
    struct batch_builder *bb = builder_of(VALUE_BYTES, 2, 1);
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of("\xff\xfe\0\x80", 4)));
    CHECK_OK(batch_set_bytes(bb, 1, bytes_of("", 0)));
    struct batch *b = finish(bb);
    check_round_trip(b);
    batch_unref(b);
}

/* ------------------------------------------------------------------------------------------- size
 */

static struct batch *grid_of(enum value_type type, uint32_t columns, uint32_t rows)
{
    struct batch_builder *bb = builder_of(type, columns, rows);
    struct rand r;
    rand_seed(&r, 7);
    for (uint32_t row = 0; row < rows; row++) {
        CHECK_EQ(batch_builder_row(bb, 1790000000000000 + row * 100000), (int)row);
        for (uint32_t i = 0; i < columns; i++) {
            struct value v = {.type = type};
            v.u64 = type == VALUE_BOOL ? rand_below(&r, 2) : rand_u64(&r);
            CHECK_OK(batch_set_value(bb, i, &v));
        }
    }
    return finish(bb);
}

static size_t size_of(const struct batch *b, const struct columnar_options *options)
{
    struct buf out = {0};
    CHECK_OK(columnar_encode(b, options, &out));
    size_t len = out.len;
    buf_fini(&out);
    return len;
}

TEST(columnar_costs_next_to_nothing_beside_the_values)
{
    static const struct {
        uint32_t columns;
        uint32_t rows;
    } shapes[] = {{10000, 1}, {10000, 10}, {100, 100}, {1, 1}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct batch *b = grid_of(VALUE_DOUBLE, shapes[i].columns, shapes[i].rows);
        size_t raw = (size_t)shapes[i].columns * shapes[i].rows * 8;
        CHECK(size_of(b, NULL) <= raw + 32);
        batch_unref(b);
        b = grid_of(VALUE_FLOAT32, shapes[i].columns, shapes[i].rows);
        CHECK(size_of(b, NULL) <= raw / 2 + 32);
        batch_unref(b);
    }
}

TEST(columnar_time_offsets_of_one_reply_cost_one_run)
{
    struct batch_builder *bb = builder_of(VALUE_DOUBLE, 1000, 10);
    for (uint32_t row = 0; row < 10; row++) {
        CHECK_EQ(batch_builder_row(bb, row * 1000), (int)row);
        for (uint32_t i = 0; i < 1000; i++) {
            batch_set_f64(bb, i, 1.5);
            CHECK_OK(batch_set_time_offset(bb, i, (int32_t)(i / 50 * 700 + row)));
        }
    }
    struct batch *b = finish(bb);
    CHECK(size_of(b, NULL) < 10 * 1000 * 8 * 11 / 10);
    check_round_trip(b);
    batch_unref(b);
}

TEST(columnar_of_a_dead_device_is_small)
{
    struct batch_builder *bb = builder_of(VALUE_DOUBLE, 1000, 10);
    for (uint32_t row = 0; row < 10; row++) {
        CHECK_EQ(batch_builder_row(bb, row * 1000), (int)row);
        for (uint32_t i = 0; i < 1000; i++)
            CHECK_OK(batch_set_quality(bb, i, QUALITY_OFFLINE));
    }
    struct batch *b = finish(bb);
    CHECK(size_of(b, NULL) < 320);
    check_round_trip(b);
    batch_unref(b);
}

TEST(columnar_compresses_when_asked_and_worth_it)
{
    struct columnar_options zstd = {.zstd = true, .zstd_level = 3};
    struct batch_builder *bb = builder_of(VALUE_DOUBLE, 1000, 1);
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    for (uint32_t i = 0; i < 1000; i++)
        batch_set_f64(bb, i, (double)(i % 7));
    struct batch *b = finish(bb);
    CHECK(size_of(b, &zstd) < size_of(b, NULL) / 4);
    batch_unref(b);
    b = grid_of(VALUE_UINT64, 1000, 1); /* random words don't shrink */
    CHECK_EQ(size_of(b, &zstd), size_of(b, NULL));
    batch_unref(b);
    b = grid_of(VALUE_UINT64, 10, 1);
    CHECK_EQ(size_of(b, &zstd), size_of(b, NULL));
    batch_unref(b);
}

/* ------------------------------------------------------------------------------------------- lies
 */

struct lie {
    const char *what;
    int want;
    size_t len;
    uint8_t body[16];
};

#define LIE(what_, want_, ...)                                                                     \
    {                                                                                              \
        what_, want_, sizeof((const uint8_t[]){__VA_ARGS__}),                                      \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* body after version, flags and hash, for a schema of types. */
static int decode_body(const struct schema *s, uint8_t flags, const uint8_t *body, size_t len)
{
    struct buf out = {0};
    struct batch *b = NULL;
    CHECK_OK(buf_append_u8(&out, COLUMNAR_VERSION));
    CHECK_OK(buf_append_u8(&out, flags));
    CHECK_OK(buf_append_le64(&out, s->hash));
    CHECK_OK(buf_append(&out, body, len));
    int err = columnar_decode(buf_bytes(&out), s, NULL, &b);
    CHECK_EQ(err == OK, b != NULL);
    batch_unref(b);
    buf_fini(&out);
    return err;
}

static void check_lies(const enum value_type *types, uint32_t columns, const struct lie *lies,
                       size_t count)
{
    struct schema *s = schema_of(types, columns);
    for (size_t i = 0; i < count; i++) {
        int err = decode_body(s, 0, lies[i].body, lies[i].len);
        if (err != lies[i].want)
            check_fail_at(__FILE__, __LINE__, "%s: %s instead of %s", lies[i].what, err_name(err),
                          err_name(lies[i].want));
    }
    schema_unref(s);
}

TEST(columnar_refuses_lies_about_rows_and_sections)
{
    static const enum value_type types[] = {VALUE_BOOL, VALUE_BOOL};
    static const struct lie lies[] = {
        LIE("good", OK, 1, 0, 0, 1),
        LIE("no rows", ERR_MALFORMED, 0, 0, 0, 1),
        LIE("2^28 rows", ERR_LIMIT, 0x80, 0x80, 0x80, 0x80, 1, 0x10, 0, 0),
        LIE("rows without end", ERR_SHORT, 0x80, 0x80),
        LIE("an unknown section", ERR_MALFORMED, 1, 0x20, 0, 1),
        LIE("times missing", ERR_SHORT, 9, 0, 0, 1),
        LIE("values missing", ERR_SHORT, 1, 0, 0),
        LIE("bytes left over", ERR_MALFORMED, 1, 0, 0, 1, 0),
        LIE("all null and partly null", ERR_MALFORMED, 1, 9, 0, 3, 1, 0),
        LIE("all null", OK, 1, 8, 0, 3),
        LIE("map missing", ERR_SHORT, 1, 8, 0),
        LIE("nulls missing", ERR_SHORT, 1, 1, 0, 1, 1),
        LIE("quality 8", ERR_MALFORMED, 1, 2, 0, 1, 1, 8, 1),
        LIE("quality", OK, 1, 2, 0, 1, 1, 7, 1),
        LIE("quality run too long", ERR_MALFORMED, 1, 2, 0, 1, 1, 7, 2),
        LIE("quality run of none", ERR_MALFORMED, 1, 2, 0, 1, 1, 7, 0),
        LIE("quality run missing", ERR_SHORT, 1, 2, 0, 1, 1, 7),
        LIE("quality for nobody", OK, 1, 2, 0, 0, 1),
        LIE("offset", OK, 1, 4, 0, 1, 1, 6, 1),
        LIE("offset of 33 bits", ERR_MALFORMED, 1, 4, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 1),
        LIE("offset runs missing", ERR_SHORT, 1, 4, 0, 3, 1, 6, 1),
    };
    check_lies(types, 2, lies, sizeof lies / sizeof lies[0]);
}

TEST(columnar_refuses_lies_about_text)
{
    static const enum value_type types[] = {VALUE_STRING};
    static const struct lie lies[] = {
        LIE("good", OK, 2, 0, 0, 0, 2, 1, 0xc3, 0xa4, 'x'),
        LIE("a character cut in two", ERR_MALFORMED, 2, 0, 0, 0, 1, 1, 0xc3, 0xa4),
        LIE("not UTF-8", ERR_MALFORMED, 2, 0, 0, 0, 1, 0, 0xff),
        LIE("longer than the rest", ERR_SHORT, 2, 0, 0, 0, 3, 0, 'a'),
        LIE("lengths missing", ERR_SHORT, 2, 0, 0, 0, 0),
        LIE("huge", ERR_SHORT, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
    };
    check_lies(types, 1, lies, sizeof lies / sizeof lies[0]);
}

TEST(columnar_refuses_lies_about_any)
{
    static const enum value_type types[] = {VALUE_ANY};
    static const struct lie lies[] = {
        LIE("good", OK, 3, 0, 0, 0, 0, VALUE_BOOL, VALUE_STRING, VALUE_NULL, 1, 1, 'x'),
        LIE("unknown tag", ERR_MALFORMED, 1, 0, 0, VALUE_ANY),
        LIE("bool of 2", ERR_MALFORMED, 1, 0, 0, VALUE_BOOL, 2),
        LIE("number missing", ERR_SHORT, 1, 0, 0, VALUE_DOUBLE, 1, 2, 3),
        LIE("text missing", ERR_SHORT, 1, 0, 0, VALUE_BYTES, 4, 'a'),
        LIE("not UTF-8", ERR_MALFORMED, 1, 0, 0, VALUE_STRING, 1, 0xff),
        LIE("bytes may be anything", OK, 1, 0, 0, VALUE_BYTES, 1, 0xff),
    };
    check_lies(types, 1, lies, sizeof lies / sizeof lies[0]);
}

TEST(columnar_refuses_what_it_would_have_to_blow_up)
{
    enum value_type types[128];
    for (int i = 0; i < 128; i++)
        types[i] = VALUE_DOUBLE;
    struct schema *s = schema_of(types, 128);
    uint8_t body[6 + 16] = {0x80, 0x80, 0x40, 0x18, 0, 0}; /* 2^20 rows at even times, all null */
    memset(body + 6, 0xff, 16);
    CHECK_ERR(decode_body(s, 0, body, sizeof body), ERR_LIMIT);
    schema_unref(s);

    static const enum value_type text[] = {VALUE_STRING};

    s = schema_of(text, 1);
    uint8_t few[] = {0x80, 0x80, 0x40, 0x18, 0, 0, 1};
    CHECK_OK(decode_body(s, 0, few, sizeof few));
    schema_unref(s);
}

TEST(columnar_refuses_lies_about_compression)
{
    static const enum value_type types[] = {VALUE_BOOL};
    struct schema *s = schema_of(types, 1);
    static const uint8_t empty[] = {0};
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0};
    static const uint8_t none[] = {4, 1, 2, 3, 4};
    CHECK_ERR(decode_body(s, 1, empty, 0), ERR_SHORT);
    CHECK_ERR(decode_body(s, 1, empty, 1), ERR_MALFORMED);
    CHECK_ERR(decode_body(s, 1, huge, sizeof huge), ERR_LIMIT);
    CHECK_ERR(decode_body(s, 1, none, sizeof none), ERR_MALFORMED);
    CHECK_ERR(decode_body(s, 2, none, sizeof none), ERR_MALFORMED);
    /* A frame that says 4 bytes and is cut off. */
    static const uint8_t cut[] = {4, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x04, 0x21, 0, 0, 1, 0};
    CHECK_ERR(decode_body(s, 1, cut, sizeof cut), ERR_MALFORMED);
    static const uint8_t whole[] = {4, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x04, 0x21, 0, 0, 1, 0, 0, 1};
    CHECK_OK(decode_body(s, 1, whole, sizeof whole));
    schema_unref(s);
}

TEST(columnar_refuses_other_versions_and_schemas)
{
    struct batch *b = grid_of(VALUE_BOOL, 3, 1);
    struct batch *again = NULL;
    struct buf out = {0};
    uint64_t hash = 0;
    CHECK_OK(columnar_encode(b, NULL, &out));

    static const enum value_type types[] = {VALUE_BOOL};
    struct schema *other = schema_of(types, 1);
    CHECK_ERR(columnar_decode(buf_bytes(&out), other, NULL, &again), ERR_CONFLICT);
    out.ptr[0] = 2;
    CHECK_ERR(columnar_decode(buf_bytes(&out), b->schema, NULL, &again), ERR_VERSION);
    CHECK_ERR(columnar_schema_hash(bytes_of(out.ptr, 9), &hash), ERR_SHORT);
    schema_unref(other);
    buf_fini(&out);
    batch_unref(b);
}

TEST(columnar_without_memory)
{
    struct rand r;
    rand_seed(&r, 12);
    struct batch *b = random_batch(&r);
    struct columnar_options zstd = {.zstd = true};
    FAULT_EACH (n) {
        struct buf out = {0};
        struct batch *again = NULL;
        int err = columnar_encode(b, &zstd, &out);
        if (!err)
            err = columnar_decode(buf_bytes(&out), b->schema, NULL, &again);
        else
            CHECK_EQ(out.len, 0);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        batch_unref(again);
        buf_fini(&out);
    }
    batch_unref(b);
}

/* ---------------------------------------------------------------------------------------- schemas
 */

static struct schema *rich_schema(void)
{
    static const struct field fields[] = {
        {.name = "温度",
         .uom = "°C",
         .type = VALUE_INT64,
         .scale = 0.1,
         .offset = -40,
         .flags = FIELD_SCALED | FIELD_LINEAR},
        {.name = "serial", .type = VALUE_BYTES, .flags = FIELD_TEXT},
        {.name = "", .type = VALUE_ANY, .offset = -0.0},
        {.name = "answer", .uom = "kN", .type = VALUE_STRING, .flags = FIELD_JSON},
    };
    struct schema *s = NULL;
    CHECK_OK(schema_new(fields, 4, &s));
    return s;
}

TEST(columnar_schema_comes_back_with_its_hash)
{
    struct schema *s = rich_schema();
    struct schema *again = NULL;
    struct buf out = {0};
    CHECK_OK(columnar_schema_encode(s, &out));
    CHECK_OK(columnar_schema_decode(buf_bytes(&out), &again));
    CHECK_EQ(again->hash, s->hash);
    CHECK_STR(again->fields[0].uom, "°C");
    CHECK_NEAR(again->fields[0].scale, 0.1, 0);
    CHECK_EQ(again->fields[3].flags, FIELD_JSON);
    schema_unref(again);
    for (size_t len = 0; len < out.len; len++)
        CHECK_ERR(columnar_schema_decode(bytes_of(out.ptr, len), &again), ERR_SHORT);
    CHECK_OK(buf_append_u8(&out, 0));
    CHECK_ERR(columnar_schema_decode(buf_bytes(&out), &again), ERR_MALFORMED);
    out.ptr[0] = 9;
    CHECK_ERR(columnar_schema_decode(buf_bytes(&out), &again), ERR_VERSION);
    buf_fini(&out);
    schema_unref(s);
}

TEST(columnar_schema_refuses_lies)
{
    struct schema *s = NULL;
#define SCHEMA_LIE(want_, ...)                                                                     \
    CHECK_ERR(                                                                                     \
        columnar_schema_decode(                                                                    \
            bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})), &s), \
        want_)
    SCHEMA_LIE(ERR_MALFORMED, 1, 1, VALUE_NULL, 0);
    SCHEMA_LIE(ERR_MALFORMED, 1, 1, VALUE_TYPE_COUNT, 0);
    SCHEMA_LIE(ERR_MALFORMED, 1, 1, VALUE_BOOL, 1, 0xff);
    SCHEMA_LIE(ERR_MALFORMED, 1, 1, VALUE_BOOL, 1, 0);
    SCHEMA_LIE(ERR_MALFORMED, 1, 1, VALUE_BOOL | 0x20, 1, 'a', 0x40);
    SCHEMA_LIE(ERR_LIMIT, 1, 1, VALUE_BOOL | 0x40, 1, 'a', 0x80, 0x08);
    SCHEMA_LIE(ERR_MALFORMED, 1, 1, VALUE_BOOL | 0x40, 1, 'a', 1, 0xff);
    SCHEMA_LIE(ERR_EXISTS, 1, 2, VALUE_BOOL, 1, 'a', VALUE_BOOL, 1, 'a');
    SCHEMA_LIE(ERR_LIMIT, 1, 0x80, 0x80, 0x04);
    SCHEMA_LIE(ERR_SHORT, 1, 3, VALUE_BOOL, 1, 'a');
    SCHEMA_LIE(ERR_SHORT, 1, 0xff, 0xff, 0x03);
#undef SCHEMA_LIE
    CHECK(s == NULL);
}

TEST(columnar_schema_refuses_a_long_uom)
{
    char uom[COLUMNAR_UOM_BYTES_MAX + 2];
    memset(uom, 'm', sizeof uom - 1);
    uom[sizeof uom - 1] = 0;
    const struct field field = {.name = "a", .uom = uom, .type = VALUE_BOOL};
    struct schema *s = NULL;
    struct buf out = {0};
    CHECK_OK(schema_new(&field, 1, &s));
    CHECK_ERR(columnar_schema_encode(s, &out), ERR_LIMIT);
    CHECK_EQ(out.len, 0);
    buf_fini(&out);
    schema_unref(s);
}

TEST(columnar_schema_without_memory)
{
    struct schema *s = rich_schema();
    FAULT_EACH (n) {
        struct buf out = {0};
        struct schema *again = NULL;
        int err = columnar_schema_encode(s, &out);
        if (!err)
            err = columnar_schema_decode(buf_bytes(&out), &again);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        schema_unref(again);
        buf_fini(&out);
    }
    schema_unref(s);
}
