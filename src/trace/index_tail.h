/* The newest entries of the adjacency index, in memory, found by hash: what trace_tail holds.
 *
 * Entries are only added, and all of them forgotten at once. Not thread-safe.
 */
#ifndef LOTLINE_TRACE_INDEX_TAIL_H
#define LOTLINE_TRACE_INDEX_TAIL_H

#include "base/arena.h"

struct tail_entry {
    uint64_t hash;
    struct bytes entry;
    uint32_t before; /* number of the one before it in its chain + 1; 0 = none */
};

/* Zero-initialised is empty. */
struct tail {
    struct tail_entry *list; /* in the order in which they were added */
    uint32_t count;
    uint32_t cap;
    uint32_t *heads; /* the last of each chain + 1 */
    struct arena bytes;
};

/* Copied. ERR_NOMEM. */
int tail_add(struct tail *t, uint64_t hash, struct bytes entry);

/* The next entry of this hash, the newest first; *at is 0 at first. NULL: no more. */
const struct tail_entry *tail_find(const struct tail *t, uint64_t hash, uint32_t *at);

/* The entries in the order of hash, equal ones as they were added: an array of count numbers that
 * the caller frees. NULL: out of memory. */
uint32_t *tail_sorted(const struct tail *t);

void tail_fini(struct tail *t);

#endif
