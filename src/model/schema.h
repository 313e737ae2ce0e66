/* The names, types and meanings of a batch's columns.
 *
 * A schema is immutable, reference-counted and known by a 64-bit hash over everything in it, so
 * that two nodes agree on a schema by exchanging eight bytes. Scale and offset live here and not
 * in the values: the stored value is the device's own (raw), what people see is
 * raw × scale + offset.
 */
#ifndef LOTLINE_MODEL_SCHEMA_H
#define LOTLINE_MODEL_SCHEMA_H

#include "model/value.h"

#include <stdatomic.h>

#define SCHEMA_FIELDS_MAX    65535
#define FIELD_NAME_BYTES_MAX 127

enum field_flags {
    FIELD_TEXT = 1u << 0,   /* a bytes column that is meant as text: shown as a string when UTF-8 */
    FIELD_SCALED = 1u << 1, /* scale and offset apply */
    FIELD_LINEAR = 1u << 2, /* between two values the signal runs straight; else it holds */
    FIELD_JSON = 1u << 3,   /* a string column that holds JSON text, embedded as it is (answers) */
};

/* On the way in (schema_new) names are borrowed; inside a schema they are its own. */
struct field {
    const char *name;
    const char *uom; /* unit of measure, "" = none; NULL on the way in = none */
    double scale;    /* with FIELD_SCALED */
    double offset;
    double divisor; /* set by schema_new: 1 / scale where that is a whole number, else 0 */
    enum value_type type;
    uint32_t flags;
};

/* What a device can hold of a field, where that is less than the field's type can. */
struct field_limit {
    int64_t min;        /* of a signed integer's stored value */
    uint64_t max;       /* of an integer's stored value */
    uint32_t bytes_max; /* of text and bytes; 0 = any length */
};

struct schema {
    atomic_uint refs;
    uint32_t count;
    uint64_t hash;   /* XXH3-64 over count and every field; never 0 */
    uint32_t *slots; /* name index, private to schema.c */
    uint32_t slot_count;
    struct field fields[];
};

/* A schema with one reference, from a copy of fields[count]. Errors: ERR_NOMEM, ERR_LIMIT (too many
 * fields, name too long), ERR_EXISTS (two fields of one name). */
int schema_new(const struct field *fields, uint32_t count, struct schema **ret);

/* From any thread. */
struct schema *schema_ref(const struct schema *s);
void schema_unref(struct schema *s); /* NULL is allowed */

/* Index of the field of that name, or -1. */
int32_t schema_find(const struct schema *s, struct bytes name);

/* What people see of a raw number: raw × scale + offset. A scale of 0.1 is meant as tenths, and 453
 * tenths are 45.3, not 45.300000000000004: where the scale is one over a whole number it divides.
 */
static inline double field_number(const struct field *f, double raw)
{
    return (f->divisor != 0 ? raw / f->divisor : raw * f->scale) + f->offset;
}

/* The raw number that is shown as `shown`: field_number's inverse. An integer field has just one,
 * or an error: ERR_UNIQUE where `shown` lies between two, ERR_EXISTS where several are shown alike
 * (or all the digits would be needed: beyond 2^53). A floating-point field has the nearest one.
 * ERR_RANGE where it is not finite. */
int field_raw(const struct field *f, double shown, double *ret);

/* True if the value people see differs in type from the stored one. */
static inline bool field_is_scaled(const struct field *f)
{
    return (f->flags & FIELD_SCALED) != 0;
}

#endif
