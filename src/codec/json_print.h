/* Columns as JSON, as people and other programs read it.
 *
 * Values are the shown ones (scaled); numbers have the shortest digits that read back as the same
 * value; 64-bit integers are exact.
 */
#ifndef LOTLINE_CODEC_JSON_PRINT_H
#define LOTLINE_CODEC_JSON_PRINT_H

#include "model/batch.h"

struct json_print_options {
    const char
        *time_key;  /* the row's time under this name, as milliseconds since 1970; NULL = no */
    bool time_text; /* … as an RFC 3339 string instead */
    bool lines;     /* an object per line instead of one array */
    bool skip_null; /* leave absent values out instead of printing null */
    bool raw;       /* stored values instead of shown ones */
    bool nan_text;  /* "NaN", "Infinity", "-Infinity" as strings instead of null */
};

/* Appends all rows of b. options may be NULL. Bytes that are not text are {"$bytes": "base64"};
 * FIELD_JSON columns are embedded as they are (the producer vouches for them); timestamps are RFC
 * 3339 strings. ERR_NOMEM. */
int json_print_rows(const struct batch *b, const struct json_print_options *options,
                    struct buf *out);

/* Appends one row as an object. */
int json_print_row(const struct batch *b, uint32_t row, const struct json_print_options *options,
                   struct buf *out);

/* One value, unscaled, as in json_print_rows. */
int json_print_value(const struct value *v, const struct json_print_options *options,
                     struct buf *out);

/* text in quotes, escaped (RFC 8259 section 7); ill-formed UTF-8 becomes U+FFFD. */
int json_print_string(struct bytes text, struct buf *out);

/* Shortest digits that read back as v; nan, inf, -inf. At most STR_NUMBER_BYTES_MAX; no zero byte
 * behind them; returns the length. Faster than str_from_double. */
size_t json_number_from_double(double v, char *out);
size_t json_number_from_float(float v, char *out);

#endif
