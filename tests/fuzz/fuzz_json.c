/* A JSON message, read by wanted names and without any. The first byte stands for whatever the
 * receive buffer holds behind the message; what is accepted can be printed and read again. */
#include "base/err.h"
#include "codec/json.h"
#include "codec/json_print.h"

#include <assert.h>

#define ROWS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct field wanted_fields[] = {
    {.name = "d", .type = VALUE_DOUBLE},    {.name = "i", .type = VALUE_INT64},
    {.name = "u", .type = VALUE_UINT64},    {.name = "s", .type = VALUE_STRING},
    {.name = "b", .type = VALUE_BOOL},      {.name = "f", .type = VALUE_FLOAT32},
    {.name = "t", .type = VALUE_TIMESTAMP}, {.name = "any", .type = VALUE_ANY},
    {.name = "x", .type = VALUE_BYTES},     {.name = "o.p.d", .type = VALUE_DOUBLE},
    {.name = "o", .type = VALUE_STRING},    {.name = "q\"", .type = VALUE_INT64},
};

static struct payload *payload_of(struct bytes text, uint8_t behind)
{
    struct payload *p = payload_copy(text);
    if (p)
        memset(p->data + p->len, behind, PAYLOAD_PAD);
    return p;
}

static void check_again(const struct batch *b)
{
    struct json_reader *reader = NULL;
    struct batch *again = NULL;
    struct buf out = {0};
    int err = json_print_rows(b, NULL, &out);
    assert(err == OK);
    struct payload *p = payload_copy(buf_bytes(&out));
    err = json_reader_new(NULL, &reader);
    assert(err == OK && p);
    err = json_decode_any(reader, payload_bytes(p), 0, NULL, &again);
    assert(err == OK && again->rows == b->rows);
    batch_unref(again);
    payload_unref(p);
    json_reader_free(reader);
    buf_fini(&out);
}

/* Each message twice: the second time the keys are expected. */
static void read_wanted(struct bytes message)
{
    struct schema *schema = NULL;
    struct json_reader *reader = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    (void)schema_new(wanted_fields, sizeof wanted_fields / sizeof wanted_fields[0], &schema);
    (void)json_reader_new(schema, &reader);
    (void)batch_builder_new(schema, ROWS_MAX, NULL, &bb);
    assert(schema && reader && bb);
    uint32_t before = 0;
    for (int i = 0; i < 2; i++) {
        int err = json_decode(reader, message, 0, bb);
        assert(!err || batch_builder_rows(bb) == before);
        before = batch_builder_rows(bb);
    }
    if (batch_builder_finish(bb, &b) == OK)
        check_again(b);
    batch_unref(b);
    batch_builder_free(bb);
    json_reader_free(reader);
    schema_unref(schema);
}

static void read_any(struct bytes message)
{
    struct json_reader *reader = NULL;
    static const char other[] = "{\"a\":1,\"d\":2}";
    int err = json_reader_new(NULL, &reader);
    struct payload *p = payload_of(bytes_of(other, sizeof other - 1), 0);
    assert(!err && p);
    for (int i = 0; i < 3; i++) {
        struct batch *b = NULL;
        if (json_decode_any(reader, i == 0 ? payload_bytes(p) : message, 0, NULL, &b) == OK)
            check_again(b);
        batch_unref(b);
    }
    payload_unref(p);
    json_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct payload *p = payload_of(bytes_of(data + 1, size - 1), data[0]);
    if (!p)
        return 0;
    read_wanted(payload_bytes(p));
    read_any(payload_bytes(p));
    payload_unref(p);
    return 0;
}
