/* Single values: types, names and bit-exact comparison. */
#include "model/value.h"

#include "tests/support/check.h"

#include <math.h>

TEST(value_types_have_names_and_widths)
{
    static const uint32_t widths[VALUE_TYPE_COUNT] = {0, 1, 8, 8, 4, 8, 0, 0, 8, 0};
    for (int i = 0; i < VALUE_TYPE_COUNT; i++) {
        enum value_type type = VALUE_NULL;
        const char *name = value_type_name((enum value_type)i);
        CHECK(value_type_find(bytes_of_text(name), &type));
        CHECK_EQ(type, i);
        CHECK_EQ(value_type_width(type), widths[i]);
    }
    enum value_type none = VALUE_BOOL;
    CHECK(!value_type_find(bytes_of_text("int7"), &none));
    CHECK_EQ(none, VALUE_BOOL);
    CHECK_STR(value_type_name((enum value_type)99), "unknown");
    CHECK_EQ(value_type_width((enum value_type)99), 0);
    CHECK_STR(quality_name(QUALITY_OFFLINE), "offline");
    CHECK_STR(quality_name((enum quality)99), "unknown");
}

/* They are on disk and on the wire. */
TEST(value_numbers_never_change)
{
    CHECK_EQ(VALUE_BOOL, 1);
    CHECK_EQ(VALUE_INT64, 2);
    CHECK_EQ(VALUE_UINT64, 3);
    CHECK_EQ(VALUE_FLOAT32, 4);
    CHECK_EQ(VALUE_DOUBLE, 5);
    CHECK_EQ(VALUE_STRING, 6);
    CHECK_EQ(VALUE_BYTES, 7);
    CHECK_EQ(VALUE_TIMESTAMP, 8);
    CHECK_EQ(VALUE_ANY, 9);
    CHECK_EQ(QUALITY_SKIPPED, 7);
}

TEST(value_identical_is_bit_exact)
{
    struct value a = {.type = VALUE_DOUBLE, .f64 = 0.0};
    struct value b = {.type = VALUE_DOUBLE, .f64 = -0.0};
    CHECK(!value_identical(&a, &b));
    a.u64 = b.u64 = 0x7ff8000000000001;
    CHECK(value_identical(&a, &b));
    b.u64++;
    CHECK(!value_identical(&a, &b));
    struct value f = {.type = VALUE_FLOAT32, .f32 = 0.0f};
    struct value g = {.type = VALUE_FLOAT32, .f32 = -0.0f};
    CHECK(!value_identical(&f, &g));
    CHECK(value_identical(&f, &f));
    struct value s = {.type = VALUE_STRING, .bytes = bytes_of_text("a")};
    struct value t = {.type = VALUE_BYTES, .bytes = bytes_of_text("a")};
    CHECK(!value_identical(&s, &t));
    t.type = VALUE_STRING;
    CHECK(value_identical(&s, &t));
    t.quality = QUALITY_TIMEOUT;
    CHECK(!value_identical(&s, &t));
    struct value n = {.type = VALUE_NULL, .u64 = 1};
    struct value m = {.type = VALUE_NULL, .u64 = 2};
    CHECK(value_identical(&n, &m));
    struct value x = {.type = VALUE_BOOL, .boolean = true};
    CHECK(value_identical(&x, &x));
}

TEST(value_to_double_takes_numbers_only)
{
    double d = 7;
    struct value v = {.type = VALUE_BOOL, .boolean = true};
    CHECK(value_to_double(&v, &d) && d == 1);
    v = (struct value){.type = VALUE_INT64, .i64 = INT64_MIN};
    CHECK(value_to_double(&v, &d) && d == -0x1p63);
    v = (struct value){.type = VALUE_UINT64, .u64 = UINT64_MAX};
    CHECK(value_to_double(&v, &d) && d == 0x1p64);
    v = (struct value){.type = VALUE_FLOAT32, .f32 = 0.5f};
    CHECK(value_to_double(&v, &d) && d == 0.5);
    v = (struct value){.type = VALUE_TIMESTAMP, .i64 = 3};
    CHECK(value_to_double(&v, &d) && d == 3);
    v = (struct value){.type = VALUE_DOUBLE, .f64 = 2.5};
    CHECK(value_to_double(&v, &d) && d == 2.5);
    v = (struct value){.type = VALUE_STRING, .bytes = bytes_of_text("1")};
    CHECK(!value_to_double(&v, &d));
    CHECK_NEAR(d, 2.5, 0);
}
