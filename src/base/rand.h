/* Random numbers: unguessable ones for tokens and ids, and fast, seedable ones for jitter,
 * simulators and tests. */
#ifndef LOTLINE_BASE_RAND_H
#define LOTLINE_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Fills out from the kernel (getrandom). 0 or ERR_IO. */
int rand_bytes(void *out, size_t len);

/* xoshiro256**; not for secrets. */
struct rand {
    uint64_t state[4];
};

/* The same seed gives the same sequence. */
void rand_seed(struct rand *r, uint64_t seed);
uint64_t rand_u64(struct rand *r);

/* Uniform in [0, 1). */
double rand_double(struct rand *r);

/* Uniform in [0, bound); bound > 0. */
uint64_t rand_below(struct rand *r, uint64_t bound);

/* Normal with mean 0 and deviation 1. */
double rand_normal(struct rand *r);

#endif
