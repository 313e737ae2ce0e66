/* CSV into fields and values, a record at a time (RFC 4180).
 *
 * The text may end anywhere: a record whose line end is not there yet is told from one that is
 * broken, so that a file which still grows is read as far as it goes. A broken record costs its own
 * line and nothing behind it. LF and CRLF end a line; quoted fields may hold both.
 */
#ifndef LOTLINE_CODEC_CSV_READ_H
#define LOTLINE_CODEC_CSV_READ_H

#include "base/err.h"
#include "model/value.h"

#define CSV_FIELDS_MAX       1024
#define CSV_RECORD_BYTES_MAX (64u << 10)

struct csv_field {
    struct bytes text; /* without quotes; of the input or of the record's scratch */
    bool quoted;
};

/* Zero-initialised is valid. Fields live until the next csv_read. */
struct csv_record {
    struct csv_field *fields;
    uint32_t count;
    uint32_t lines; /* line ends in it: 1, more with quoted ones */
    struct buf memory;
    struct buf scratch;
};

void csv_record_fini(struct csv_record *r);

/* Reads the record at the start of text. *ret_used = its bytes, line end included; also with
 * ERR_SYNTAX and ERR_LIMIT, where it is the first line alone, to be passed over.
 * ERR_SHORT: no line end yet. ERR_SYNTAX: a quote inside a field that does not begin with one, or
 * something behind a closing one. ERR_LIMIT: more than CSV_FIELDS_MAX fields, or longer than
 * CSV_RECORD_BYTES_MAX (a quote that never closes). ERR_NOMEM. An empty line has no fields. */
int csv_read(struct csv_record *r, struct bytes text, char separator, size_t *ret_used);

/* A field as a value: an empty one without quotes is null; true, false, 1 and 0 are booleans; times
 * are RFC 3339 or milliseconds since 1970. ERR_TYPE: it is none of that type. Texts are borrowed
 * from the field. */
int csv_value(const struct csv_field *f, enum value_type type, struct value *ret);

#endif
