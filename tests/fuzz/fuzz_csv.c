/* CSV records and their fields as values of every type. The first byte chooses the separator. */
#include "codec/csv_read.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fields_check(const struct csv_record *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        for (int type = 0; type < VALUE_TYPE_COUNT; type++) {
            struct value v = {.type = VALUE_NULL};
            if (csv_value(&r->fields[i], (enum value_type)type, &v) == OK)
                assert(v.type == VALUE_NULL || v.type == (enum value_type)type ||
                       type == VALUE_ANY);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separators[] = {',', ';', '\t', '|'};

    struct csv_record r = {0};
    struct bytes rest = bytes_of(data + 1, size ? size - 1 : 0);
    while (rest.len) {
        size_t used = 0;
        int err = csv_read(&r, rest, separators[data[0] % sizeof separators], &used);
        if (err == ERR_SHORT || err == ERR_NOMEM)
            break;
        assert(used > 0 && used <= rest.len && rest.ptr[used - 1] == '\n' && r.lines > 0);
        if (err == OK)
            fields_check(&r);
        rest = bytes_of(rest.ptr + used, rest.len - used);
    }
    csv_record_fini(&r);
    return 0;
}
