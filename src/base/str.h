/* Text helpers that check what they are given: strict numbers, UTF-8, dotted names.
 *
 * libc's atoi and strtol accept " 12abc" and depend on the locale; here a text is either wholly a
 * number or it is an error.
 */
#ifndef LOTLINE_BASE_STR_H
#define LOTLINE_BASE_STR_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Decimal, optional sign for the signed one, whole text, no spaces. 0, ERR_SYNTAX or ERR_RANGE. */
int str_to_i64(struct bytes text, int64_t *ret);
int str_to_u64(struct bytes text, uint64_t *ret);

/* A decimal or scientific floating-point number ("nan", "inf" included). 0, ERR_SYNTAX. */
int str_to_double(struct bytes text, double *ret);

/* A duration "250ms", "10s", "5m", "2h", "7d", "100us" in microseconds. A number without unit is
 * an error, so that nobody has to guess. 0, ERR_SYNTAX, ERR_RANGE. */
int str_to_duration_us(struct bytes text, int64_t *ret_us);

/* A size "64", "16k", "4M", "1G" (powers of 1024; an optional "B" or "iB" may follow). */
int str_to_size(struct bytes text, uint64_t *ret_bytes);

/* True if v is well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong, at most U+10FFFF). */
bool str_is_utf8(struct bytes v);

static inline bool str_equal(struct bytes v, const char *text)
{
    return bytes_equal(v, bytes_of_text(text));
}

/* ASCII case-insensitive comparison. */
bool str_equal_nocase(struct bytes v, const char *text);

bool str_starts(struct bytes v, const char *prefix);

/* Whether the whole of v fits a pattern: * stands for any bytes, ? for one, [a-f_] for one of
 * these, [!a-f_] for one that is none of these; a [ without its ] stands for itself. Upper and
 * lower case differ, and nothing escapes. At most as many comparisons as v's length times the
 * pattern's: names from anywhere are safe to try. */
bool str_matches(struct bytes v, const char *pattern);

/* Whether v fits one of the patterns. */
bool str_matches_any(struct bytes v, const char *const *patterns, uint32_t count);

/* Splits v at the first `sep`: *ret_head is what precedes it, the return value what follows; an
 * empty view with ptr NULL and *ret_head = v if there is none. */
struct bytes str_split(struct bytes v, char sep, struct bytes *ret_head);

/* Shortest decimal text that reads back as exactly v (double, float32); "nan", "inf", "-inf".
 * Writes at most 32 bytes with a terminating zero; returns the length. */
#define STR_NUMBER_BYTES_MAX 32
size_t str_from_double(double v, char out[static STR_NUMBER_BYTES_MAX]);
size_t str_from_float(float v, char out[static STR_NUMBER_BYTES_MAX]);

/* v as hexadecimal digits, two a byte, lower case. str_hex writes 2 × v.len of them and a
 * terminating zero; str_print_hex appends them: 0 or ERR_NOMEM. */
void str_hex(struct bytes v, char *out);
int str_print_hex(struct bytes v, struct buf *out);

/* Appends v in quotes as a JSON string (RFC 8259, section 7); each byte that is no part of
 * well-formed UTF-8 becomes U+FFFD. 0 or ERR_NOMEM. */
int str_print_json(struct bytes v, struct buf *out);

/* Decodes base64 (RFC 4648, section 4, padded) into out, which has room for 3/4 of text's length.
 * 0 or ERR_SYNTAX. */
int str_from_base64(struct bytes text, uint8_t *out, size_t *ret_len);

/* Edit distance between two short names (at most 63 bytes each, longer ones give 64), for
 * "did you mean …?". */
unsigned str_distance(const char *a, const char *b);

#endif
