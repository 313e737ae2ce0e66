/* A schema's bytes from a stranger. What is accepted is the same schema after another round. */
#include "base/err.h"
#include "codec/columnar.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct schema *schema = NULL;
    struct schema *again = NULL;
    struct buf out = {0};
    if (columnar_schema_decode(bytes_of(data, size), &schema) != OK)
        return 0;
    int err = columnar_schema_encode(schema, &out);
    assert(err == OK);
    err = columnar_schema_decode(buf_bytes(&out), &again);
    assert(err == OK && again->hash == schema->hash);
    schema_unref(again);
    schema_unref(schema);
    buf_fini(&out);
    return 0;
}
