/* Columns as CSV (RFC 4180): a comma between fields, CRLF behind records, quotes where needed.
 *
 * Values are the shown ones; an absent value is an empty field, an empty string is "". Bytes that
 * are not text are base64 with a leading "base64:". */
#ifndef LOTLINE_CODEC_CSV_H
#define LOTLINE_CODEC_CSV_H

#include "model/batch.h"

/* Appends all rows of b, with a line of column names first if header is set. ERR_NOMEM. */
int csv_print(const struct batch *b, bool header, struct buf *out);

#endif
