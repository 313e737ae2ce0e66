/* Pieces of text that JSON and CSV share, inside codec/ only. */
#ifndef LOTLINE_CODEC_TEXT_PRIV_H
#define LOTLINE_CODEC_TEXT_PRIV_H

#include "model/batch.h"

/* Appends v in base64 with padding (RFC 4648, section 4). */
int base64_print(struct bytes v, struct buf *out);

/* Appends a number, bool or timestamp as JSON and CSV both write it (a timestamp without quotes).
 * False if v is none of these, or NaN or infinite. */
bool number_print(const struct value *v, struct buf *out);

#endif
