/* The types a value can have, and a single value on its own.
 *
 * Columns (batch.h) are what moves between modules; `struct value` is for the few places where one
 * value stands alone: the last value of a tag, a constant in a rule, the argument of a write.
 */
#ifndef LOTLINE_MODEL_VALUE_H
#define LOTLINE_MODEL_VALUE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* The numbers are part of the columnar format (codec/columnar.h): never change one. */
enum value_type {
    VALUE_NULL = 0,    /* only in `any` columns and single values */
    VALUE_BOOL = 1,    /* one bit a row */
    VALUE_INT64 = 2,   /* every signed integer of a device */
    VALUE_UINT64 = 3,  /* every unsigned integer of a device */
    VALUE_FLOAT32 = 4, /* kept apart from double: prints shortest, stays bit-exact */
    VALUE_DOUBLE = 5,
    VALUE_STRING = 6,    /* UTF-8 */
    VALUE_BYTES = 7,     /* any bytes; device strings too, with FIELD_TEXT */
    VALUE_TIMESTAMP = 8, /* int64 µs UTC since 1970 */
    VALUE_ANY = 9,       /* the type is per row: schemaless JSON */
};

#define VALUE_TYPE_COUNT 10

/* Why a value is not good. 0 = good. The numbers are part of the columnar format. */
enum quality {
    QUALITY_GOOD = 0,
    QUALITY_UNREAD = 1,   /* not asked for yet */
    QUALITY_TIMEOUT = 2,  /* the device did not answer in time */
    QUALITY_OFFLINE = 3,  /* there is no connection to the device */
    QUALITY_REFUSED = 4,  /* the device answered with an exception */
    QUALITY_PROTOCOL = 5, /* the answer broke the protocol */
    QUALITY_CONVERT = 6,  /* the bytes do not make a value of the tag's type */
    QUALITY_SKIPPED = 7,  /* the cycle was missed (overrun, back-pressure) */
};

#define QUALITY_COUNT 8

struct value {
    enum value_type type;
    enum quality quality;

    union {
        bool boolean;
        int64_t i64; /* VALUE_INT64 and VALUE_TIMESTAMP */
        uint64_t u64;
        float f32;
        double f64;
        struct bytes bytes; /* VALUE_STRING and VALUE_BYTES; borrowed */
    };
};

/* "int64", "double", … as written in configurations and shown to people. */
const char *value_type_name(enum value_type type);

/* The type of that name; false if there is none. */
bool value_type_find(struct bytes name, enum value_type *ret);

/* "good", "timeout", "offline", … */
const char *quality_name(enum quality quality);

/* Bytes of one fixed-width value (8, 4, or 1 for a bool's bit rounded up); 0 for string, bytes
 * and any. */
uint32_t value_type_width(enum value_type type);

/* Same type and same bits (a NaN equals the NaN with the same payload, -0.0 differs from 0.0). */
bool value_identical(const struct value *a, const struct value *b);

/* As a number: false for null, string, bytes. uint64 above 2^53 and int64 beyond ±2^53 round. */
bool value_to_double(const struct value *v, double *ret);

#endif
