/* Casts. See cast.h. */
#include "stream/cast.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool cast_type(struct bytes name, enum value_type *ret)
{
    static const struct {
        const char *name;
        enum value_type type;
    } names[] = {
        {"bigint", VALUE_INT64},        {"int", VALUE_INT64},     {"float", VALUE_DOUBLE},
        {"double", VALUE_DOUBLE},       {"string", VALUE_STRING}, {"boolean", VALUE_BOOL},
        {"bool", VALUE_BOOL},           {"bytea", VALUE_BYTES},   {"datetime", VALUE_TIMESTAMP},
        {"timestamp", VALUE_TIMESTAMP}, {"int64", VALUE_INT64},   {"uint64", VALUE_UINT64},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!str_equal_nocase(name, names[i].name))
            continue;
        *ret = names[i].type;
        return true;
    }
    return false;
}

static int text_copy(struct arena *arena, const char *text, size_t len, struct bytes *ret)
{
    const char *copy = arena_copy(arena, bytes_of(text, len));
    if (!copy)
        return ERR_NOMEM;
    *ret = bytes_of(copy, len);
    return OK;
}

/* As Go prints a float: whole numbers without a point, an exponent only beyond 21 digits. */
static size_t float_print(double d, char out[static STR_NUMBER_BYTES_MAX])
{
    if (d == floor(d) && fabs(d) < 1e15)
        return (size_t)snprintf(out, STR_NUMBER_BYTES_MAX, "%.0f", d);
    return str_from_double(d, out);
}

int cast_text(struct arena *arena, const struct value *v, struct bytes *ret)
{
    char text[64];
    double d = 0;
    switch (v->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        *ret = v->bytes;
        return OK;
    case VALUE_BOOL:
        *ret = bytes_of_text(v->boolean ? "true" : "false");
        return OK;
    case VALUE_INT64:
        return text_copy(arena, text, (size_t)snprintf(text, sizeof text, "%" PRId64, v->i64), ret);
    case VALUE_UINT64:
        return text_copy(arena, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, v->u64), ret);
    case VALUE_FLOAT32:
    case VALUE_DOUBLE:
        (void)value_to_double(v, &d);
        return text_copy(arena, text, float_print(d, text), ret);
    case VALUE_TIMESTAMP:
        return text_copy(arena, text, clock_format(v->i64, text), ret);
    case VALUE_NULL:
    case VALUE_ANY:
        break;
    }
    *ret = bytes_of_text("null");
    return OK;
}

static int to_double(const struct value *v, double *ret)
{
    if (v->type == VALUE_STRING)
        return str_to_double(v->bytes, ret);
    if (v->type == VALUE_TIMESTAMP) {
        *ret = (double)v->i64 / 1000.0;
        return OK;
    }
    return value_to_double(v, ret) ? OK : ERR_TYPE;
}

static int to_int(const struct value *v, int64_t *ret)
{
    double d;
    if (v->type == VALUE_INT64 || v->type == VALUE_UINT64) {
        *ret = v->i64;
        return OK;
    }
    if (v->type == VALUE_TIMESTAMP) {
        *ret = v->i64 / 1000;
        return OK;
    }
    if (v->type == VALUE_STRING)
        return str_to_i64(v->bytes, ret);
    int err = to_double(v, &d);
    if (err)
        return err;
    if (!(d >= -0x1p63 && d < 0x1p63))
        return ERR_RANGE;
    *ret = (int64_t)d;
    return OK;
}

static int to_unsigned(const struct value *v, uint64_t *ret)
{
    int64_t i;
    if (v->type == VALUE_UINT64) {
        *ret = v->u64;
        return OK;
    }
    if (v->type == VALUE_STRING)
        return str_to_u64(v->bytes, ret);
    int err = to_int(v, &i);
    if (!err && i < 0)
        err = ERR_RANGE;
    if (!err)
        *ret = (uint64_t)i;
    return err;
}

static int to_bool(const struct value *v, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    double d;
    if (v->type == VALUE_BOOL) {
        *ret = v->boolean;
        return OK;
    }
    if (v->type == VALUE_STRING) {
        for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
            *ret = str_equal(v->bytes, yes[i]);
            if (*ret || str_equal(v->bytes, no[i]))
                return OK;
        }
        return ERR_SYNTAX;
    }
    if (v->type == VALUE_TIMESTAMP || !value_to_double(v, &d))
        return ERR_TYPE;
    *ret = d != 0;
    return OK;
}

static int to_time(const struct value *v, int64_t *ret)
{
    int64_t ms;
    if (v->type == VALUE_STRING)
        return clock_parse(v->bytes, ret);
    if (v->type == VALUE_TIMESTAMP) {
        *ret = v->i64;
        return OK;
    }
    if (v->type == VALUE_BOOL)
        return ERR_TYPE;
    int err = to_int(v, &ms);
    if (!err && __builtin_mul_overflow(ms, 1000, ret))
        err = ERR_RANGE;
    return err;
}

int cast_value(struct arena *arena, const struct value *v, enum value_type to, struct value *ret)
{
    struct value out = {.type = to};
    int err;
    if (v->type == VALUE_NULL) {
        *ret = *v;
        return OK;
    }
    switch (to) {
    case VALUE_BOOL:
        err = to_bool(v, &out.boolean);
        break;
    case VALUE_INT64:
        err = to_int(v, &out.i64);
        break;
    case VALUE_UINT64:
        err = to_unsigned(v, &out.u64);
        break;
    case VALUE_DOUBLE:
        err = to_double(v, &out.f64);
        break;
    case VALUE_STRING:
        err = cast_text(arena, v, &out.bytes);
        break;
    case VALUE_BYTES:
        err = v->type == VALUE_STRING || v->type == VALUE_BYTES ? OK : ERR_TYPE;
        out.bytes = v->bytes;
        break;
    case VALUE_TIMESTAMP:
        err = to_time(v, &out.i64);
        break;
    case VALUE_NULL:
    case VALUE_FLOAT32:
    case VALUE_ANY:
    default:
        err = ERR_TYPE;
        break;
    }
    if (!err)
        *ret = out;
    return err;
}
