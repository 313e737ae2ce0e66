/* Numbers and base64 as text. See text_priv.h. */
#include "base/clock.h"
#include "base/str.h"
#include "codec/json_print.h"
#include "codec/text_priv.h"

#include <math.h>

#define U64_DIGITS_MAX 20

int base64_print(struct bytes v, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t groups = (v.len + 2) / 3;
    uint8_t *to = buf_extend(out, groups * 4);
    if (!to)
        return buf_error(out);
    for (size_t i = 0; i < v.len; i += 3, to += 4) {
        size_t left = v.len - i;
        uint32_t bits = (uint32_t)v.ptr[i] << 16;
        bits |= left > 1 ? (uint32_t)v.ptr[i + 1] << 8 : 0;
        bits |= left > 2 ? v.ptr[i + 2] : 0;
        to[0] = (uint8_t)digits[bits >> 18];
        to[1] = (uint8_t)digits[bits >> 12 & 63];
        to[2] = left > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
        to[3] = left > 2 ? (uint8_t)digits[bits & 63] : '=';
    }
    return buf_error(out);
}

static void u64_print(uint64_t v, bool negative, struct buf *out)
{
    char text[U64_DIGITS_MAX + 1];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    if (negative)
        text[--at] = '-';
    (void)buf_append(out, text + at, sizeof text - at);
}

static bool double_print(double v, bool single, struct buf *out)
{
    char text[STR_NUMBER_BYTES_MAX];
    if (!isfinite(v))
        return false;
    size_t n = single ? json_number_from_float((float)v, text) : json_number_from_double(v, text);
    (void)buf_append(out, text, n);
    return true;
}

bool number_print(const struct value *v, struct buf *out)
{
    char time[CLOCK_TEXT_BYTES_MAX];
    switch (v->type) {
    case VALUE_BOOL:
        (void)buf_append_text(out, v->boolean ? "true" : "false");
        return true;
    case VALUE_INT64:
        u64_print(v->i64 < 0 ? 0 - (uint64_t)v->i64 : (uint64_t)v->i64, v->i64 < 0, out);
        return true;
    case VALUE_UINT64:
        u64_print(v->u64, false, out);
        return true;
    case VALUE_FLOAT32:
        return double_print((double)v->f32, true, out);
    case VALUE_DOUBLE:
        return double_print(v->f64, false, out);
    case VALUE_TIMESTAMP:
        (void)buf_append(out, time, clock_format(v->i64, time));
        return true;
    case VALUE_NULL:
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ANY:
        break;
    }
    return false;
}
