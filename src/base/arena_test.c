/* Arenas: zeroed, aligned, bounded, and all given back at once. */
#include "base/arena.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

TEST(arena_gives_zeroed_aligned_pieces)
{
    struct arena a = {.block_bytes = 256};
    for (size_t size = 0; size < 600; size += 7) {
        uint8_t *p = arena_alloc(&a, size);
        CHECK(p != NULL);
        CHECK_EQ((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            CHECK_EQ(p[i], 0);
        memset(p, 0xff, size);
    }
    arena_fini(&a);
    CHECK_EQ(a.total_bytes, 0);
}

TEST(arena_keeps_one_block_over_a_reset)
{
    struct arena a = {0};
    for (int i = 0; i < 100; i++)
        CHECK(arena_alloc(&a, 1000) != NULL);
    CHECK(a.total_bytes >= 100000);
    arena_reset(&a);
    CHECK_EQ(a.total_bytes, 4096);
    const uint8_t *p = arena_alloc(&a, 16);
    CHECK(p && p[0] == 0);
    CHECK_EQ(a.total_bytes, 4096);
    arena_fini(&a);
    arena_reset(&a);
    arena_fini(&a);
}

TEST(arena_obeys_its_limit)
{
    struct arena a = {.total_bytes_max = 10000};
    CHECK(arena_alloc(&a, 4000) != NULL);
    CHECK(arena_alloc(&a, 4000) != NULL);
    CHECK(arena_alloc(&a, 4000) == NULL);
    CHECK(arena_alloc(&a, SIZE_MAX) == NULL);
    CHECK(arena_array(&a, SIZE_MAX / 2, 4) == NULL);
    CHECK(arena_array(&a, 4, 8) != NULL);
    arena_fini(&a);
}

TEST(arena_copies_text)
{
    struct arena a = {0};
    CHECK_STR(arena_text(&a, "abc"), "abc");
    CHECK_STR(arena_copy(&a, bytes_of("abc", 2)), "ab");
    CHECK_STR(arena_copy(&a, bytes_of(NULL, 0)), "");
    CHECK_STR(arena_printf(&a, "%s %d", "x", 7), "x 7");
    arena_fini(&a);
}

TEST(arena_without_memory)
{
    FAULT_EACH (n) {
        struct arena a = {0};
        const void *p = arena_alloc(&a, 10);
        const char *text = arena_printf(&a, "%05000d", 1);
        CHECK_EQ(fault_hit(), p == NULL || text == NULL);
        arena_fini(&a);
    }
}
