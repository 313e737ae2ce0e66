/* The map against a plain array, through many removals. */
#include "base/map.h"

#include "base/err.h"
#include "base/rand.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>

static int values[2000];

static struct bytes key_of(int i, char text[static 16])
{
    return bytes_of(text, (size_t)snprintf(text, 16, "key%d", i));
}

TEST(map_finds_what_was_put)
{
    struct map m = {0};
    char text[16];
    for (int i = 0; i < 2000; i++)
        CHECK_OK(map_put(&m, key_of(i, text), &values[i], NULL));
    CHECK_EQ(m.count, 2000);
    for (int i = 0; i < 2000; i++) {
        CHECK(map_find(&m, key_of(i, text)) == &values[i]);
        CHECK_STR(m.entries[i].key, text);
    }
    CHECK(map_find_text(&m, "key2000") == NULL);
    CHECK(map_find(&m, bytes_of(NULL, 0)) == NULL);
    map_fini(&m);
    CHECK(map_find_text(&m, "key0") == NULL);
}

TEST(map_put_replaces_and_add_does_not)
{
    struct map m = {0};
    void *old = &m;
    CHECK_OK(map_put(&m, bytes_of_text("a"), &values[1], &old));
    CHECK(old == NULL);
    CHECK_OK(map_put(&m, bytes_of_text("a"), &values[2], &old));
    CHECK(old == &values[1]);
    CHECK_ERR(map_add_text(&m, "a", &values[3]), ERR_EXISTS);
    CHECK(map_find_text(&m, "a") == &values[2]);
    CHECK_OK(map_put(&m, bytes_of("\0b", 2), &values[3], NULL));
    CHECK(map_find(&m, bytes_of("\0b", 2)) == &values[3]);
    CHECK_OK(map_put(&m, bytes_of(NULL, 0), &values[4], NULL));
    CHECK(map_find_text(&m, "") == &values[4]);
    map_fini(&m);
}

/* Against a plain array, with many removals in between. */
TEST(map_survives_a_random_life)
{
    struct map m = {0};
    bool there[2000] = {false};
    size_t count = 0;
    struct rand r;
    rand_seed(&r, 9);
    for (int step = 0; step < 40000; step++) {
        char text[16];
        int i = (int)rand_below(&r, 2000);
        struct bytes key = key_of(i, text);
        if (rand_below(&r, 2)) {
            CHECK_OK(map_put(&m, key, &values[i], NULL));
            count += !there[i];
            there[i] = true;
        } else {
            CHECK_EQ(map_remove(&m, key) == &values[i], there[i]);
            count -= there[i];
            there[i] = false;
        }
        i = (int)rand_below(&r, 2000);
        CHECK_EQ(map_find(&m, key_of(i, text)) == &values[i], there[i]);
        CHECK_EQ(m.count, count);
    }
    map_fini(&m);
}

TEST(map_without_memory)
{
    FAULT_EACH (n) {
        struct map m = {0};
        int err = OK;
        char text[16];
        for (int i = 0; i < 20 && !err; i++)
            err = map_put(&m, key_of(i, text), &values[i], NULL);
        if (fault_hit()) {
            CHECK_ERR(err, ERR_NOMEM);
            CHECK_EQ(map_find(&m, key_of(0, text)) == &values[0], m.count > 0);
            CHECK_OK(map_put(&m, key_of(50, text), &values[50], NULL));
        } else {
            CHECK_OK(err);
        }
        map_fini(&m);
    }
}
