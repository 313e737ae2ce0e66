/* Random numbers. See rand.h. */
#include "base/rand.h"

#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <sys/random.h>

int rand_bytes(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR)
            return ERR_IO;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return OK;
}

/* splitmix64 spreads a small seed over the whole state. */
void rand_seed(struct rand *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->state[i] = z ^ (z >> 31);
    }
}

static uint64_t rotate_left(uint64_t v, int bits)
{
    return (v << bits) | (v >> (64 - bits));
}

uint64_t rand_u64(struct rand *r)
{
    uint64_t *s = r->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double rand_double(struct rand *r)
{
    return (double)(rand_u64(r) >> 11) * 0x1.0p-53;
}

uint64_t rand_below(struct rand *r, uint64_t bound)
{
    assert(bound > 0);
    /* The high half of a 128-bit product: no division, no modulo bias worth the name. */
    __extension__ typedef unsigned __int128 uint128;
    return (uint64_t)(((uint128)rand_u64(r) * bound) >> 64);
}

double rand_normal(struct rand *r)
{
    double u = 1.0 - rand_double(r);
    double v = rand_double(r);
    return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}
