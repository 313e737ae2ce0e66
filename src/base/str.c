/* Strict parsing and printing of text. See str.h. */
#include "base/str.h"

#include "base/err.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES_MAX 63

int str_to_u64(struct bytes text, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.len == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (digit > 9)
            return ERR_SYNTAX;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return ERR_RANGE;
    }
    *ret = v;
    return OK;
}

int str_to_i64(struct bytes text, int64_t *ret)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        text = bytes_of(text.ptr + 1, text.len - 1);
    uint64_t v;
    int err = str_to_u64(text, &v);
    if (err)
        return err;
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return ERR_RANGE;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return OK;
}

int str_to_double(struct bytes text, double *ret)
{
    char copy[128];
    if (text.len == 0 || text.len >= sizeof copy)
        return ERR_SYNTAX;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    /* strtod also takes leading spaces and hexadecimal, which nobody means in a configuration. */
    if (strspn(copy, "0123456789+-.eEnNaAiIfFtTyY") != text.len)
        return ERR_SYNTAX;
    char *end;
    double v = strtod(copy, &end);
    if (end != copy + text.len)
        return ERR_SYNTAX;
    *ret = v;
    return OK;
}

struct suffix {
    const char *text;
    uint64_t factor;
};

static int str_scaled(struct bytes text, const struct suffix *suffixes, uint64_t *ret)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    uint64_t v;
    int err = str_to_u64(bytes_of(text.ptr, digits), &v);
    if (err)
        return err;
    struct bytes rest = bytes_of(text.ptr + digits, text.len - digits);
    for (const struct suffix *s = suffixes; s->text; s++) {
        if (str_equal(rest, s->text))
            return __builtin_mul_overflow(v, s->factor, ret) ? ERR_RANGE : OK;
    }
    return ERR_SYNTAX;
}

int str_to_duration_us(struct bytes text, int64_t *ret_us)
{
    static const struct suffix suffixes[] = {
        {"us", 1},         {"ms", 1000},        {"s", 1000000}, {"m", 60000000},
        {"h", 3600000000}, {"d", 86400000000u}, {NULL, 0},
    };
    uint64_t us;
    int err = str_scaled(text, suffixes, &us);
    if (err)
        return err;
    if (us > INT64_MAX)
        return ERR_RANGE;
    *ret_us = (int64_t)us;
    return OK;
}

int str_to_size(struct bytes text, uint64_t *ret_bytes)
{
    static const struct suffix suffixes[] = {
        {"", 1},         {"B", 1},          {"k", 1024},        {"K", 1024},         {"KiB", 1024},
        {"kB", 1024},    {"M", 1024 << 10}, {"MB", 1024 << 10}, {"MiB", 1024 << 10}, {"G", 1 << 30},
        {"GB", 1 << 30}, {"GiB", 1 << 30},  {NULL, 0},
    };
    return str_scaled(text, suffixes, ret_bytes);
}

/* Length of the UTF-8 sequence that starts at p (1 to 4), 0 if it is ill-formed.
 * RFC 3629 section 4 gives the ranges of the second byte. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0x80)
        return 1;
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < n)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

bool str_is_utf8(struct bytes v)
{
    size_t i = 0;
    while (i < v.len) {
        /* Most text is ASCII: eight bytes at a time while none has its high bit set. */
        if (v.len - i >= 8 && (load_le64(v.ptr + i) & 0x8080808080808080u) == 0) {
            i += 8;
            continue;
        }
        size_t n = utf8_sequence(v.ptr + i, v.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* What a byte below 0x80 needs in a JSON string: 0 = nothing, 'u' = \u00XX, else the letter. */
static char json_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 || c == 0x7f ? 'u' : 0;
    }
}

static const char hex_digits[] = "0123456789abcdef";

static void json_escape_append(struct buf *out, uint8_t c, char letter)
{
    char text[6] = {'\\', letter, '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};
    (void)buf_append(out, text, letter == 'u' ? 6 : 2);
}

int str_print_json(struct bytes v, struct buf *out)
{
    size_t from = 0; /* what is not yet appended begins here */
    (void)buf_append_u8(out, '"');
    for (size_t i = 0; i < v.len;) {
        uint8_t c = v.ptr[i];
        char letter = c < 0x80 ? json_escape(c) : 0;
        size_t n = c < 0x80 ? 1 : utf8_sequence(v.ptr + i, v.len - i);
        if (!letter && n) {
            i += n;
            continue;
        }
        (void)buf_append(out, v.ptr + from, i - from);
        if (letter)
            json_escape_append(out, c, letter);
        else
            (void)buf_append_text(out, "\xef\xbf\xbd");
        from = ++i;
    }
    if (from < v.len)
        (void)buf_append(out, v.ptr + from, v.len - from);
    return buf_append_u8(out, '"');
}

void str_hex(struct bytes v, char *out)
{
    for (size_t i = 0; i < v.len; i++) {
        *out++ = hex_digits[v.ptr[i] >> 4];
        *out++ = hex_digits[v.ptr[i] & 15];
    }
    *out = 0;
}

int str_print_hex(struct bytes v, struct buf *out)
{
    for (size_t i = 0; i < v.len; i++) {
        (void)buf_append_u8(out, (uint8_t)hex_digits[v.ptr[i] >> 4]);
        (void)buf_append_u8(out, (uint8_t)hex_digits[v.ptr[i] & 15]);
    }
    return buf_error(out);
}

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool str_equal_nocase(struct bytes v, const char *text)
{
    if (v.len != strlen(text))
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (ascii_lower(v.ptr[i]) != ascii_lower((uint8_t)text[i]))
            return false;
    }
    return true;
}

bool str_starts(struct bytes v, const char *prefix)
{
    size_t n = strlen(prefix);
    return v.len >= n && memcmp(v.ptr, prefix, n) == 0;
}

/* A [ that opens a set: the ] that closes it. NULL if there is none. */
static const char *set_end(const char *open)
{
    const char *p = open + 1;
    if (*p == '!' || *p == '^')
        p++;
    /* A ] that comes first is a member. */
    return *p ? strchr(p + 1, ']') : NULL;
}

static bool set_has(const char *open, const char *end, uint8_t c)
{
    const char *p = open + 1;
    bool inverse = *p == '!' || *p == '^';
    bool has = false;
    for (p += inverse; p < end; p++) {
        if (p[1] == '-' && p + 2 < end) {
            has = has || ((uint8_t)p[0] <= c && c <= (uint8_t)p[2]);
            p += 2;
        } else {
            has = has || (uint8_t)*p == c;
        }
    }
    return has != inverse;
}

/* Whether c fits the first element of the pattern (not *); NULL, or what follows the element. */
static const char *element_matches(const char *pattern, uint8_t c)
{
    const char *end = *pattern == '[' ? set_end(pattern) : NULL;
    bool fits = end ? set_has(pattern, end, c) : *pattern == '?' || (uint8_t)*pattern == c;
    if (!fits || !*pattern)
        return NULL;
    return end ? end + 1 : pattern + 1;
}

/* Only the last * is ever tried again with more: what stands before it fitted as early as it can,
 * so another choice there would find nothing that this one does not. */
bool str_matches(struct bytes v, const char *pattern)
{
    const char *star = NULL; /* what follows the last * */
    size_t retry = 0;        /* where that was last tried */
    size_t at = 0;
    while (at < v.len) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = at;
            continue;
        }
        const char *next = element_matches(pattern, v.ptr[at]);
        if (!next && !star)
            return false;
        pattern = next ? next : star;
        at = next ? at + 1 : ++retry;
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

bool str_matches_any(struct bytes v, const char *const *patterns, uint32_t count)
{
    bool matches = false;
    for (uint32_t i = 0; i < count && !matches; i++)
        matches = str_matches(v, patterns[i]);
    return matches;
}

struct bytes str_split(struct bytes v, char sep, struct bytes *ret_head)
{
    const uint8_t *at = v.len ? memchr(v.ptr, sep, v.len) : NULL;
    if (!at) {
        *ret_head = v;
        return bytes_of(NULL, 0);
    }
    *ret_head = bytes_of(v.ptr, (size_t)(at - v.ptr));
    return bytes_of(at + 1, v.len - (size_t)(at - v.ptr) - 1);
}

static size_t str_from_special(double v, char *out)
{
    const char *text = isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
    size_t n = strlen(text);
    memcpy(out, text, n + 1);
    return n;
}

#define DECIMAL_PLACES_MAX 4
#define DECIMAL_DIGITS_END 1e15 /* with fewer digits each decimal number is another double */

static size_t decimal_print(bool negative, uint64_t digits, unsigned places, char *out)
{
    char reversed[STR_NUMBER_BYTES_MAX];
    size_t n = 0;
    for (unsigned i = 0; digits || i <= places; i++, digits /= 10) {
        if (i == places && places)
            reversed[n++] = '.';
        reversed[n++] = (char)('0' + digits % 10);
    }
    if (negative)
        reversed[n++] = '-';
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    return n;
}

/* What machines show, mostly: a few places behind the point, and nothing lost with them. 0: it is
 * not such a number. Printing and reading back takes 16 times as long. */
static size_t str_from_decimal(double v, char *out)
{
    double size = fabs(v);
    double ten = 1;
    for (unsigned places = 0; places <= DECIMAL_PLACES_MAX; places++, ten *= 10) {
        double scaled = size * ten + 0.5;
        if (size == 0 || scaled >= DECIMAL_DIGITS_END)
            return 0;
        uint64_t digits = (uint64_t)scaled;
        if ((double)digits / ten == size) /* the nearest double to that decimal */
            return decimal_print(v < 0, digits, places, out);
    }
    return 0;
}

size_t str_from_double(double v, char out[static STR_NUMBER_BYTES_MAX])
{
    if (!isfinite(v))
        return str_from_special(v, out);
    size_t len = str_from_decimal(v, out);
    if (len)
        return len;
    if (v == 0 && !signbit(v)) {
        memcpy(out, "0", 2);
        return 1;
    }
    int n = 0;
    /* 15 digits of a normal number are all its own, 17 are always enough. */
    for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        n = snprintf(out, STR_NUMBER_BYTES_MAX, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            break;
    }
    return (size_t)n;
}

size_t str_from_float(float v, char out[static STR_NUMBER_BYTES_MAX])
{
    if (!isfinite(v))
        return str_from_special((double)v, out);
    int n = 0;
    for (int digits = fabsf(v) < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
        n = snprintf(out, STR_NUMBER_BYTES_MAX, "%.*g", digits, (double)v);
        if (strtof(out, NULL) == v)
            break;
    }
    return (size_t)n;
}

unsigned str_distance(const char *a, const char *b)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);
    unsigned row[NAME_BYTES_MAX + 1];
    if (la > NAME_BYTES_MAX || lb > NAME_BYTES_MAX)
        return NAME_BYTES_MAX + 1;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[lb];
}

static int base64_digit(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

int str_from_base64(struct bytes text, uint8_t *out, size_t *ret_len)
{
    size_t n = 0;
    if (text.len % 4)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t word = 0;
        unsigned pad = 0;
        for (size_t k = 0; k < 4; k++) {
            bool end = text.ptr[i + k] == '=' && i + 4 == text.len && k >= 2;
            int digit = end ? 0 : base64_digit(text.ptr[i + k]);
            if (digit < 0 || (pad && !end))
                return ERR_SYNTAX;
            pad += end;
            word = word << 6 | (uint32_t)digit;
        }
        for (unsigned k = 0; k < 3 - pad; k++)
            out[n++] = (uint8_t)(word >> (16 - 8 * k));
    }
    *ret_len = n;
    return OK;
}
