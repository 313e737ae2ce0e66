/* Rows of a group from anybody. The first byte stands for whatever the receive buffer holds behind
 * the message; what is accepted is printed and read again as the same values. */
#include "base/err.h"
#include "codec/json.h"
#include "codec/json_print.h"

#include <assert.h>

#define ROWS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct field fields[] = {
    {.name = "d", .type = VALUE_DOUBLE},
    {.name = "i", .type = VALUE_INT64},
    {.name = "u", .type = VALUE_UINT64},
    {.name = "f", .type = VALUE_FLOAT32},
    {.name = "b", .type = VALUE_BOOL},
    {.name = "s", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "x", .type = VALUE_BYTES},
    {.name = "t", .type = VALUE_TIMESTAMP},
    {.name = "is", .type = VALUE_INT64, .flags = FIELD_SCALED, .scale = 0.1, .offset = -40},
    {.name = "us", .type = VALUE_UINT64, .flags = FIELD_SCALED, .scale = 1e-20, .offset = 1},
    {.name = "fs", .type = VALUE_FLOAT32, .flags = FIELD_SCALED, .scale = 0.25},
    {.name = "ds", .type = VALUE_DOUBLE, .flags = FIELD_SCALED, .scale = 3, .offset = 7},
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])
#define EXACT_COUNT 9 /* the first ones come back bit by bit */

static const struct field_limit limits[FIELD_COUNT] = {
    [1] = {INT16_MIN, INT16_MAX, 0}, [2] = {0, UINT32_MAX, 0}, [5] = {0, 0, 8},
    [8] = {INT64_MIN, INT64_MAX, 0}, [9] = {0, UINT64_MAX, 0},
};

static void check_same(const struct batch *a, const struct batch *b)
{
    assert(a->rows == b->rows);
    for (uint32_t col = 0; col < EXACT_COUNT; col++) {
        struct column ca = batch_column(a, col);
        struct column cb = batch_column(b, col);
        for (uint32_t row = 0; row < a->rows; row++) {
            struct value va = column_value(&ca, row);
            struct value vb = column_value(&cb, row);
            vb.quality = va.quality; /* what was left out is printed as null */
            assert(value_identical(&va, &vb));
        }
    }
}

static void check_again(struct json_reader *reader, struct batch_builder *bb)
{
    const struct json_print_options options = {.time_key = "ts", .time_text = true};
    struct batch *first = NULL;
    struct batch *again = NULL;
    struct buf out = {0};
    if (batch_builder_finish(bb, &first))
        return;
    int err = json_print_rows(first, &options, &out);
    struct payload *p = payload_copy(buf_bytes(&out));
    assert(!err && p);
    /* A text cannot say years before 0 or behind 9999, nor a scaled double every value. */
    if (json_decode_rows(reader, payload_bytes(p), bb) == OK) {
        err = batch_builder_finish(bb, &again);
        assert(!err);
        check_same(first, again);
    }
    batch_unref(first);
    batch_unref(again);
    payload_unref(p);
    buf_fini(&out);
}

static void read_rows(struct bytes message, const struct field_limit *of)
{
    struct schema *schema = NULL;
    struct json_reader *reader = NULL;
    struct batch_builder *bb = NULL;
    (void)schema_new(fields, FIELD_COUNT, &schema);
    (void)json_rows_reader_new(schema, of, "ts", &reader);
    (void)batch_builder_new(schema, ROWS_MAX, NULL, &bb);
    assert(schema && reader && bb);
    int err = json_decode_rows(reader, message, bb);
    if (err) {
        assert(batch_builder_rows(bb) == 0);
        assert(json_error(reader)[0]);
    } else {
        check_again(reader, bb);
    }
    batch_builder_free(bb);
    json_reader_free(reader);
    schema_unref(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct payload *p = payload_copy(bytes_of(data + 1, size - 1));
    if (!p)
        return 0;
    memset(p->data + p->len, data[0], PAYLOAD_PAD);
    read_rows(payload_bytes(p), NULL);
    read_rows(payload_bytes(p), limits);
    payload_unref(p);
    return 0;
}
