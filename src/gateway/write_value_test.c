/* What people write becomes one raw value, or a refusal that says why. */
#include "gateway/gateway_priv.h"
#include "tests/support/check.h"

#include <stdio.h>

static int parse(uint8_t type, double scale, double offset, const char *json,
                 struct lotline_value *ret)
{
    static struct arena arena;
    struct diag diag = {0};
    const struct tag tag = {
        .name = "t", .type = type, .text_bytes_max = 4, .exact_len = type == LOTLINE_BYTES};
    struct field field = {.name = "t", .scale = scale, .offset = offset};
    field.flags = scale != 1 || offset != 0 ? FIELD_SCALED : 0;
    arena_reset(&arena);
    int err = write_value_parse(&tag, &field, bytes_of_text(json), &arena, ret, &diag);
    if (err)
        CHECK(diag.text[0] != 0);
    return err;
}

static int refusal(uint8_t type, const char *json)
{
    struct lotline_value v = {.type = 99};
    int err = parse(type, 1, 0, json, &v);
    CHECK_EQ(v.type, err ? 99u : type);
    return err;
}

TEST(integers_keep_all_their_digits)
{
    struct lotline_value v;
    CHECK_OK(parse(LOTLINE_UINT64, 1, 0, "18446744073709551615", &v));
    CHECK_EQ(v.as.u64, UINT64_MAX);
    CHECK_OK(parse(LOTLINE_INT64, 1, 0, "-9223372036854775808", &v));
    CHECK_EQ(v.as.i64, INT64_MIN);
    CHECK_OK(parse(LOTLINE_INT64, 1, 0, "9007199254740993", &v));
    CHECK_EQ(v.as.i64, 9007199254740993);
    CHECK_OK(parse(LOTLINE_INT16, 1, 0, "2e3", &v));
    CHECK_EQ(v.as.i64, 2000);
    CHECK_OK(parse(LOTLINE_UINT16, 1, 0, "5.0", &v));
    CHECK_EQ(v.as.u64, 5);
}

TEST(ranges_are_those_of_the_type)
{
    CHECK_OK(refusal(LOTLINE_INT16, "32767"));
    CHECK_ERR(refusal(LOTLINE_INT16, "32768"), ERR_RANGE);
    CHECK_OK(refusal(LOTLINE_INT16, "-32768"));
    CHECK_ERR(refusal(LOTLINE_INT16, "-32769"), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_UINT16, "-1"), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_UINT16, "65536"), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_UINT16, "6.5536e4"), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_UINT32, "4294967296"), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_UINT64, "18446744073709551616"), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_INT64, "1e300"), ERR_UNIQUE);
    CHECK_ERR(refusal(LOTLINE_FLOAT, "1e39"), ERR_RANGE);
}

TEST(types_are_not_guessed)
{
    CHECK_ERR(refusal(LOTLINE_INT16, "\"5\""), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_INT16, "true"), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_INT16, "null"), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_INT16, "[1]"), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_INT16, "nan"), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_FLOAT, "nan"), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_BOOL, "2"), ERR_TYPE);
    CHECK_ERR(refusal(LOTLINE_BOOL, "\"true\""), ERR_TYPE);
    CHECK_OK(refusal(LOTLINE_BOOL, "true"));
    CHECK_OK(refusal(LOTLINE_BIT, "0"));
    CHECK_ERR(refusal(LOTLINE_INT16, "1.5"), ERR_UNIQUE);
    CHECK_ERR(refusal(LOTLINE_INT16, "{"), ERR_SYNTAX);
}

TEST(a_scaled_value_maps_to_one_raw_value)
{
    struct lotline_value v;
    CHECK_OK(parse(LOTLINE_UINT16, 0.1, 0, "23.4", &v));
    CHECK_EQ(v.as.u64, 234);
    CHECK_ERR(parse(LOTLINE_UINT16, 0.1, 0, "23.56", &v), ERR_UNIQUE);
    CHECK_OK(parse(LOTLINE_INT16, 0.01, -40, "21.57", &v));
    CHECK_EQ(v.as.i64, 6157);
    CHECK_ERR(parse(LOTLINE_UINT16, 0.1, 0, "6553.6", &v), ERR_RANGE);
    CHECK_ERR(parse(LOTLINE_UINT16, 0.1, 0, "-0.1", &v), ERR_RANGE);
    /* A scale that vanishes beside the offset: many raw values look the same. */
    CHECK_ERR(parse(LOTLINE_INT32, 1e-20, 1, "1", &v), ERR_UNIQUE);
    /* Beyond 2^53 neighbours cannot be told apart any more. */
    CHECK_ERR(parse(LOTLINE_INT64, 2, 0, "36028797018963968", &v), ERR_UNIQUE);
    CHECK_OK(parse(LOTLINE_FLOAT, 0.5, 0, "3", &v));
    CHECK_NEAR((double)v.as.f32, 6.0, 0);
}

TEST(every_raw_value_can_be_written_as_it_is_shown)
{
    struct lotline_value v;
    char json[64];
    for (int raw = INT16_MIN; raw <= INT16_MAX; raw += 7) {
        snprintf(json, sizeof json, "%.17g", raw * 0.1 + 3.7);
        CHECK_OK(parse(LOTLINE_INT16, 0.1, 3.7, json, &v));
        CHECK_EQ(v.as.i64, raw);
    }
}

TEST(text_fits_or_is_refused)
{
    struct lotline_value v;
    CHECK_OK(parse(LOTLINE_STRING, 1, 0, "\"a\\u00e4\"", &v));
    CHECK_BYTES(bytes_of(v.as.ptr, v.len), bytes_of("a\xc3\xa4", 3));
    CHECK_OK(parse(LOTLINE_STRING, 1, 0, "\"\"", &v));
    CHECK_EQ(v.len, 0);
    CHECK_ERR(refusal(LOTLINE_STRING, "{\"$bytes\":\"/wA=\"}"), ERR_RANGE); /* holds a zero */
    CHECK_OK(parse(LOTLINE_STRING, 1, 0, "{\"$bytes\":\"/w==\"}", &v));
    CHECK_BYTES(bytes_of(v.as.ptr, v.len), bytes_of("\xff", 1));
    CHECK_ERR(refusal(LOTLINE_STRING, "\"abcde\""), ERR_RANGE);
    CHECK_ERR(refusal(LOTLINE_BYTES, "{\"$bytes\":\"AAAA\"}"), ERR_RANGE);
    CHECK_OK(refusal(LOTLINE_BYTES, "{\"$bytes\":\"AAECAw==\"}"));
    CHECK_ERR(refusal(LOTLINE_BYTES, "{\"$bytes\":\"AAEC=w==\"}"), ERR_SYNTAX);
    CHECK_ERR(refusal(LOTLINE_BYTES, "{\"bytes\":\"AAECAw==\"}"), ERR_TYPE);
}
