/* A columnar batch under a stranger's schema: two bytes of schema length, the schema, the payload.
 *
 * The payload's schema hash is put right first, or nearly nothing would get past it. What is
 * accepted must survive being encoded and decoded again, bit for bit.
 */
#include "base/err.h"
#include "codec/columnar.h"

#include <assert.h>
#include <stdlib.h>

#define HASH_AT 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct batch *a, const struct batch *b)
{
    assert(a->rows == b->rows);
    assert(memcmp(batch_times(a), batch_times(b), a->rows * sizeof(int64_t)) == 0);
    for (uint32_t i = 0; i < a->schema->count; i++) {
        struct column ca = batch_column(a, i);
        struct column cb = batch_column(b, i);
        for (uint32_t row = 0; row < a->rows; row++) {
            struct value va = column_value(&ca, row);
            struct value vb = column_value(&cb, row);
            assert(value_identical(&va, &vb));
            assert(!ca.time_offset || ca.time_offset[row] == cb.time_offset[row]);
        }
    }
}

static void check_again(const struct batch *b)
{
    struct columnar_options options = {.zstd = b->rows % 2};
    struct buf out = {0};
    struct batch *again = NULL;
    int err = columnar_encode(b, &options, &out);
    assert(err == OK);
    err = columnar_decode(buf_bytes(&out), b->schema, NULL, &again);
    assert(err == OK);
    check_same(b, again);
    batch_unref(again);
    buf_fini(&out);
}

static void decode(const struct schema *schema, struct bytes payload)
{
    struct batch *b = NULL;
    uint8_t *copy = malloc(payload.len ? payload.len : 1);
    if (!copy)
        return;
    if (payload.len)
        memcpy(copy, payload.ptr, payload.len);
    if (payload.len >= HASH_AT + sizeof schema->hash && schema->hash % 16)
        store_le64(copy + HASH_AT, schema->hash);
    if (columnar_decode(bytes_of(copy, payload.len), schema, NULL, &b) == OK) {
        /* Comparing a million cells of nothing would only be slow. */
        if ((uint64_t)b->rows * b->schema->count < 100000)
            check_again(b);
        batch_unref(b);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(bytes_of(data, size));
    struct bytes text = reader_take(&r, reader_le16(&r));
    struct schema *schema = NULL;
    if (r.failed || columnar_schema_decode(text, &schema) != OK)
        return 0;
    decode(schema, bytes_of(r.ptr, reader_left(&r)));
    schema_unref(schema);
    return 0;
}
