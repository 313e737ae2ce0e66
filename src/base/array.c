/* Arrays that grow by doubling. See array.h. */
#include "base/array.h"

#include <assert.h>
#include <stdlib.h>

void *array_room(void *items, uint32_t count, uint32_t *cap, uint32_t first, size_t item_bytes)
{
    assert(first > 0 && item_bytes > 0);
    if (count < *cap)
        return items;
    if (*cap > UINT32_MAX / 2)
        return NULL;
    uint32_t more = *cap ? *cap * 2 : first;
    if (more > SIZE_MAX / item_bytes)
        return NULL;
    void *grown = realloc(items, more * item_bytes);
    if (grown)
        *cap = more;
    return grown;
}
