/* Schemas. See schema.h. One allocation holds the struct, the fields, their texts and the index. */
#include "model/schema.h"

#include "base/err.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include <xxhash.h>

static uint64_t name_hash(struct bytes name)
{
    return XXH3_64bits(name.ptr, name.len);
}

static uint32_t slot_count_for(uint32_t count)
{
    uint32_t slots = 4;
    while (slots < count * 2)
        slots *= 2;
    return slots;
}

static size_t text_bytes(const struct field *f)
{
    return strlen(f->name) + 1 + (f->uom ? strlen(f->uom) : 0) + 1;
}

static char *text_copy(char **at, const char *text)
{
    char *copy = *at;
    size_t n = strlen(text) + 1;
    memcpy(copy, text, n);
    *at += n;
    return copy;
}

static int fields_measure(const struct field *fields, uint32_t count, size_t *ret_text_bytes)
{
    size_t total = 0;
    if (count > SCHEMA_FIELDS_MAX)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        if (strlen(fields[i].name) > FIELD_NAME_BYTES_MAX)
            return ERR_LIMIT;
        total += text_bytes(&fields[i]);
    }
    *ret_text_bytes = total;
    return OK;
}

static uint32_t schema_slot(const struct schema *s, struct bytes name)
{
    uint32_t mask = s->slot_count - 1;
    uint32_t slot = (uint32_t)name_hash(name) & mask;
    while (s->slots[slot] && !bytes_equal(bytes_of_text(s->fields[s->slots[slot] - 1].name), name))
        slot = (slot + 1) & mask;
    return slot;
}

static int schema_index(struct schema *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t slot = schema_slot(s, bytes_of_text(s->fields[i].name));
        if (s->slots[slot])
            return ERR_EXISTS;
        s->slots[slot] = i + 1;
    }
    return OK;
}

#define DIVISOR_MAX  1e12
#define DIVISOR_NEAR 1e-12 /* relative: what 1 / 0.001 may be off by */

/* 1 / scale if that is a whole number larger than 1 (either sign), else 0. */
static double scale_divisor(double scale)
{
    double inverse = 1.0 / scale;
    double whole = round(inverse);
    bool fits = fabs(whole) > 1 && fabs(whole) <= DIVISOR_MAX;
    return fits && fabs(inverse - whole) <= DIVISOR_NEAR * fabs(whole) ? whole : 0;
}

static uint64_t schema_hash(const struct schema *s)
{
    XXH64_hash_t hash = s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct field *f = &s->fields[i];
        uint64_t fixed[4] = {(uint64_t)f->type << 32 | f->flags, 0, 0, strlen(f->name)};
        memcpy(&fixed[1], &f->scale, sizeof f->scale);
        memcpy(&fixed[2], &f->offset, sizeof f->offset);
        hash = XXH3_64bits_withSeed(fixed, sizeof fixed, hash);
        hash = XXH3_64bits_withSeed(f->name, strlen(f->name), hash);
        hash = XXH3_64bits_withSeed(f->uom, strlen(f->uom), hash);
    }
    return hash ? hash : 1;
}

int schema_new(const struct field *fields, uint32_t count, struct schema **ret)
{
    size_t texts = 0;
    int err = fields_measure(fields, count, &texts);
    if (err)
        return err;
    uint32_t slots = slot_count_for(count);
    size_t head = sizeof(struct schema) + count * sizeof(struct field);
    struct schema *s = calloc(1, head + slots * sizeof(uint32_t) + texts);
    if (!s)
        return ERR_NOMEM;
    atomic_init(&s->refs, 1);
    s->count = count;
    s->slot_count = slots;
    s->slots = (uint32_t *)(void *)((char *)s + head);
    char *at = (char *)(s->slots + slots);
    for (uint32_t i = 0; i < count; i++) {
        s->fields[i] = fields[i];
        s->fields[i].divisor = field_is_scaled(&fields[i]) ? scale_divisor(fields[i].scale) : 0;
        s->fields[i].name = text_copy(&at, fields[i].name);
        s->fields[i].uom = text_copy(&at, fields[i].uom ? fields[i].uom : "");
    }
    err = schema_index(s);
    if (err) {
        free(s);
        return err;
    }
    s->hash = schema_hash(s);
    *ret = s;
    return OK;
}

#define INTEGERS_EXACT_MAX 9007199254740992.0 /* 2^53 */
#define ROUNDING_ULPS      4.0

/* Whether raw is shown as v, rounding of the arithmetic apart. */
static bool shown_as(const struct field *f, double raw, double v)
{
    double shown = field_number(f, raw);
    double size = fmax(fmax(fabs(v), fabs(shown - f->offset)), fabs(f->offset));
    return fabs(shown - v) <= ROUNDING_ULPS * DBL_EPSILON * size;
}

static int integer_raw(const struct field *f, double raw, double shown, double *ret)
{
    raw = round(raw);
    if (!shown_as(f, raw, shown))
        return ERR_UNIQUE;
    if (fabs(raw) > INTEGERS_EXACT_MAX || shown_as(f, raw - 1, shown) ||
        shown_as(f, raw + 1, shown))
        return ERR_EXISTS;
    *ret = raw;
    return OK;
}

/* What division has rounded away is mostly one step off. */
static double double_raw(const struct field *f, double raw, double shown)
{
    double below = nextafter(raw, -HUGE_VAL);
    double above = nextafter(raw, HUGE_VAL);
    if (field_number(f, raw) == shown)
        return raw;
    if (field_number(f, below) == shown)
        return below;
    return field_number(f, above) == shown ? above : raw;
}

int field_raw(const struct field *f, double shown, double *ret)
{
    double part = shown - f->offset;
    double raw = f->divisor != 0 ? part * f->divisor : part / f->scale;
    if (!isfinite(raw))
        return ERR_RANGE;
    if (f->type != VALUE_FLOAT32 && f->type != VALUE_DOUBLE)
        return integer_raw(f, raw, shown, ret);
    *ret = f->type == VALUE_DOUBLE ? double_raw(f, raw, shown) : raw;
    return OK;
}

struct schema *schema_ref(const struct schema *s)
{
    /* The count is the one part of a schema that changes. */
    struct schema *shared = (struct schema *)(uintptr_t)s;
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void schema_unref(struct schema *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free(s);
}

int32_t schema_find(const struct schema *s, struct bytes name)
{
    return (int32_t)s->slots[schema_slot(s, name)] - 1;
}
