/* Growing arrays: what is in them stays, and failing changes nothing. */
#include "base/array.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdlib.h>

TEST(array_doubles_and_keeps_its_items)
{
    uint32_t *items = NULL;
    uint32_t cap = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t *more = array_room(items, i, &cap, 3, sizeof *more);
        CHECK(more != NULL);
        items = more;
        items[i] = i;
    }
    CHECK_EQ(cap, 1536);
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(items[i], i);
    CHECK(array_room(items, 7, &cap, 3, sizeof *items) == items);
    CHECK_EQ(cap, 1536);
    free(items);
}

TEST(array_beyond_its_count_is_refused)
{
    uint8_t one = 0;
    uint32_t cap = UINT32_MAX / 2 + 1;
    CHECK(array_room(&one, cap, &cap, 1, 1) == NULL);
    CHECK_EQ(cap, UINT32_MAX / 2 + 1);
    cap = 1u << 30;
    CHECK(array_room(&one, cap, &cap, 1, SIZE_MAX / 1024) == NULL);
    CHECK_EQ(cap, 1u << 30);
}

TEST(array_without_memory_stays)
{
    FAULT_EACH (n) {
        uint32_t cap = 0;
        int *items = array_room(NULL, 0, &cap, 4, sizeof *items);
        CHECK_EQ(fault_hit(), items == NULL);
        CHECK_EQ(cap, items ? 4 : 0);
        free(items);
    }
}
