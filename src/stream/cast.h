/* Values into other types, as cast() and printing need it. */
#ifndef LOTLINE_STREAM_CAST_H
#define LOTLINE_STREAM_CAST_H

#include "base/arena.h"
#include "base/err.h"
#include "model/value.h"

/* The type that cast() calls by this name ("bigint", "float", "string", "boolean", "datetime",
 * "bytea", and our own names). False if there is none. */
bool cast_type(struct bytes name, enum value_type *ret);

/* v as `to`; new text is in arena. ERR_TYPE (no such cast), ERR_SYNTAX (a text that is not one),
 * ERR_RANGE, ERR_NOMEM. */
int cast_value(struct arena *arena, const struct value *v, enum value_type to, struct value *ret);

/* v as a person writes it. v is not null. ERR_NOMEM. */
int cast_text(struct arena *arena, const struct value *v, struct bytes *ret);

#endif
