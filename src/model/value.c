/* Types and single values. See value.h. */
#include "model/value.h"

#include "base/str.h"

struct value_type_row {
    const char *name;
    uint32_t width;
};

static const struct value_type_row value_types[VALUE_TYPE_COUNT] = {
    [VALUE_NULL] = {"null", 0},           [VALUE_BOOL] = {"bool", 1},
    [VALUE_INT64] = {"int64", 8},         [VALUE_UINT64] = {"uint64", 8},
    [VALUE_FLOAT32] = {"float32", 4},     [VALUE_DOUBLE] = {"double", 8},
    [VALUE_STRING] = {"string", 0},       [VALUE_BYTES] = {"bytes", 0},
    [VALUE_TIMESTAMP] = {"timestamp", 8}, [VALUE_ANY] = {"any", 0},
};

static const char *const quality_names[QUALITY_COUNT] = {
    "good", "unread", "timeout", "offline", "refused", "protocol", "convert", "skipped",
};

const char *value_type_name(enum value_type type)
{
    return (unsigned)type < VALUE_TYPE_COUNT ? value_types[type].name : "unknown";
}

bool value_type_find(struct bytes name, enum value_type *ret)
{
    for (int i = 0; i < VALUE_TYPE_COUNT; i++) {
        if (str_equal(name, value_types[i].name)) {
            *ret = (enum value_type)i;
            return true;
        }
    }
    return false;
}

const char *quality_name(enum quality quality)
{
    return (unsigned)quality < QUALITY_COUNT ? quality_names[quality] : "unknown";
}

uint32_t value_type_width(enum value_type type)
{
    return (unsigned)type < VALUE_TYPE_COUNT ? value_types[type].width : 0;
}

bool value_identical(const struct value *a, const struct value *b)
{
    if (a->type != b->type || a->quality != b->quality)
        return false;
    switch (a->type) {
    case VALUE_NULL:
    case VALUE_ANY:
        return true;
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_FLOAT32:
        return memcmp(&a->f32, &b->f32, sizeof a->f32) == 0;
    case VALUE_STRING:
    case VALUE_BYTES:
        return bytes_equal(a->bytes, b->bytes);
    case VALUE_INT64:
    case VALUE_UINT64:
    case VALUE_DOUBLE:
    case VALUE_TIMESTAMP:
        break;
    }
    return a->u64 == b->u64;
}

bool value_to_double(const struct value *v, double *ret)
{
    switch (v->type) {
    case VALUE_BOOL:
        *ret = v->boolean ? 1.0 : 0.0;
        return true;
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        *ret = (double)v->i64;
        return true;
    case VALUE_UINT64:
        *ret = (double)v->u64;
        return true;
    case VALUE_FLOAT32:
        *ret = (double)v->f32;
        return true;
    case VALUE_DOUBLE:
        *ret = v->f64;
        return true;
    case VALUE_NULL:
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ANY:
        break;
    }
    return false;
}
