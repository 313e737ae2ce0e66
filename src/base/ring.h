/* A bounded, lock-free queue of pointers between threads.
 *
 * Any number of producers, any number of consumers (Vyukov's bounded queue: each cell carries a
 * sequence number that says whose turn it is). All memory is allocated at creation; a full ring
 * says so, it never grows and never blocks. What wakes the other side is the caller's business
 * (see exec.h).
 */
#ifndef LOTLINE_BASE_RING_H
#define LOTLINE_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring;

/* A ring of at least `capacity` pointers (rounded up to a power of two, at least 2).
 * NULL when out of memory. */
struct ring *ring_new(size_t capacity);

/* Frees the ring, not what is still in it. NULL is allowed. No other thread may be using it. */
void ring_free(struct ring *r);

/* False when full. item is not NULL. Any thread, never blocks. */
bool ring_push(struct ring *r, void *item);

/* The oldest item, NULL when empty. Any thread, never blocks. */
void *ring_pop(struct ring *r);

/* How many items are in it, roughly when others are at work. */
size_t ring_count(const struct ring *r);

#endif
