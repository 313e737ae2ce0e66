/* The head of a stream record: decoded, and what was understood is written and read again. */
#include "base/err.h"
#include "stream/record.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record r;
    struct record again;
    struct buf out = {0};
    int err = record_decode(bytes_of(data, size), &r);
    if (err == OK) {
        assert(r.columnar.len > 0 && r.columnar.ptr + r.columnar.len == data + size);
        err = record_head_encode(&r, &out);
        assert(err == OK && out.len <= RECORD_HEAD_BYTES_MAX);
        (void)buf_append_bytes(&out, r.columnar);
        err = record_decode(buf_bytes(&out), &again);
        assert(err == OK && bytes_equal(r.node, again.node) && bytes_equal(r.stream, again.stream));
        assert(position_compare(r.origin, again.origin) == 0);
        assert(r.key.major == again.key.major && r.key.minor == again.key.minor);
    } else {
        /* Names that do not fit are refused by the encoder too. */
        struct record odd = {.node = bytes_of(data, size), .stream = bytes_of(data, size)};
        (void)record_head_encode(&odd, &out);
    }
    buf_fini(&out);
    return 0;
}
