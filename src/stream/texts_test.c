/* Texts by number: one that stays costs nothing, one that nobody needs gives its memory back. */
#include "stream/texts.h"

#include "base/rand.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t keep(struct texts *t, const char *text)
{
    uint32_t n = UINT32_MAX;
    CHECK_OK(texts_keep(t, bytes_of_text(text), &n));
    CHECK(bytes_equal(texts_get(t, n), bytes_of_text(text)));
    return n;
}

TEST(the_same_text_again_is_the_same_number)
{
    struct texts t = {0};
    uint32_t a = keep(&t, "A");
    CHECK_EQ(keep(&t, "A"), a);
    uint32_t b = keep(&t, "B");
    CHECK(b != a);
    CHECK_EQ(keep(&t, "B"), b);
    CHECK_EQ(t.count, 2);
    CHECK_EQ(keep(&t, "") < 3, true);
    texts_fini(&t);
}

TEST(what_nobody_needs_is_used_again)
{
    struct texts t = {0};
    char text[32];
    uint32_t held[4];
    for (uint32_t i = 0; i < 4; i++) {
        (void)snprintf(text, sizeof text, "%u", i);
        held[i] = keep(&t, text);
    }
    for (uint32_t i = 4; i < 100000; i++) {
        texts_drop(&t, held[i % 4]);
        (void)snprintf(text, sizeof text, "%u", i);
        held[i % 4] = keep(&t, text);
    }
    CHECK(t.count <= 6);
    CHECK(t.bytes <= 6 * 32);
    texts_fini(&t);
}

TEST(the_last_one_stays_though_nobody_needs_it)
{
    struct texts t = {0};
    uint32_t a = keep(&t, "A");
    texts_drop(&t, a);
    CHECK_EQ(keep(&t, "A"), a);
    texts_drop(&t, a);
    CHECK(keep(&t, "B") != a);
    CHECK_EQ(keep(&t, "C"), a); /* B took the place of A as the last one */
    texts_fini(&t);
}

TEST(too_much_is_refused_and_nothing_is_lost)
{
    struct texts t = {0};
    uint32_t n = 7;
    uint8_t *large = calloc(1, TEXTS_BYTES_MAX);
    CHECK(large != NULL);
    uint32_t a = keep(&t, "A");
    CHECK_EQ(texts_keep(&t, bytes_of(large, TEXTS_BYTES_MAX), &n), ERR_LIMIT);
    CHECK_EQ(n, 7);
    CHECK(bytes_equal(texts_get(&t, a), bytes_of_text("A")));
    CHECK_OK(texts_keep(&t, bytes_of(large, TEXTS_BYTES_MAX / 2), &n));
    keep(&t, "B");
    texts_drop(&t, n);
    free(large);
    texts_fini(&t);
}

/* Against an array of copies. */
TEST(any_order_of_keeping_and_dropping_keeps_what_is_held)
{
    enum { HELD = 40 };

    struct texts t = {0};
    struct rand rand;
    uint32_t numbers[HELD];
    char texts[HELD][16];
    rand_seed(&rand, 5);
    for (int i = 0; i < HELD; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%llu", (unsigned long long)rand_below(&rand, 5));
        numbers[i] = keep(&t, texts[i]);
    }
    for (int round = 0; round < 20000; round++) {
        uint32_t i = (uint32_t)rand_below(&rand, HELD);
        CHECK(bytes_equal(texts_get(&t, numbers[i]), bytes_of_text(texts[i])));
        texts_drop(&t, numbers[i]);
        (void)snprintf(texts[i], sizeof texts[i], "%.*s", (int)rand_below(&rand, 12),
                       "ABABABABABAB");
        numbers[i] = keep(&t, texts[i]);
    }
    CHECK(t.count <= HELD + 2);
    texts_fini(&t);
}
