/* Random numbers: repeatable by seed, within their bounds. */
#include "base/rand.h"

#include "base/err.h"
#include "tests/support/check.h"

#include <math.h>

TEST(rand_same_seed_same_sequence)
{
    struct rand a;
    struct rand b;
    rand_seed(&a, 42);
    rand_seed(&b, 42);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(rand_u64(&a), rand_u64(&b));
    rand_seed(&b, 43);
    CHECK(rand_u64(&a) != rand_u64(&b));
}

TEST(rand_stays_in_its_bounds)
{
    struct rand r;
    uint32_t seen = 0;
    rand_seed(&r, 1);
    for (int i = 0; i < 10000; i++) {
        double d = rand_double(&r);
        CHECK(d >= 0 && d < 1);
        uint64_t v = rand_below(&r, 7);
        CHECK(v < 7);
        seen |= 1u << v;
    }
    CHECK_EQ(seen, 0x7f);
    CHECK_EQ(rand_below(&r, 1), 0);
}

TEST(rand_normal_has_its_moments)
{
    struct rand r;
    double sum = 0;
    double squares = 0;
    rand_seed(&r, 2);
    for (int i = 0; i < 100000; i++) {
        double v = rand_normal(&r);
        CHECK(isfinite(v));
        sum += v;
        squares += v * v;
    }
    CHECK_NEAR(sum / 100000, 0, 0.02);
    CHECK_NEAR(squares / 100000, 1, 0.02);
}

TEST(rand_bytes_differ)
{
    uint8_t a[64] = {0};
    uint8_t b[64] = {0};
    CHECK_OK(rand_bytes(a, sizeof a));
    CHECK_OK(rand_bytes(b, sizeof b));
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK_OK(rand_bytes(a, 0));
}
