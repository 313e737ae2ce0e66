/* A hash map from byte strings to pointers.
 *
 * Open addressing with linear probing over XXH3 hashes; keys are copied, values are the caller's.
 * Iteration follows the order of insertion while nothing is removed (a removal moves the last
 * entry into the gap), so that listings and documents come out the same each time.
 * One thread at a time.
 */
#ifndef LOTLINE_BASE_MAP_H
#define LOTLINE_BASE_MAP_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct map_entry {
    char *key; /* owned, zero-terminated after len bytes */
    size_t len;
    uint64_t hash;
    void *value;
};

/* Zero-initialised is a valid, empty map. entries[0..count) may be read while nothing changes. */
struct map {
    struct map_entry *entries;
    uint32_t *slots; /* index + 1 into entries, 0 = empty */
    size_t count;
    size_t cap;
    size_t slot_count; /* power of two, or 0 */
};

/* Frees keys and tables, not the values. */
void map_fini(struct map *m);

/* The value under key, NULL if absent. */
void *map_find(const struct map *m, struct bytes key);
void *map_find_text(const struct map *m, const char *key);

/* Adds or replaces. *ret_old (may be NULL) gets the replaced value or NULL. 0 or ERR_NOMEM. */
int map_put(struct map *m, struct bytes key, void *value, void **ret_old);

/* Adds; ERR_EXISTS if the key is there already, ERR_NOMEM. */
int map_add_text(struct map *m, const char *key, void *value);

/* Takes the key out and returns its value, NULL if absent. */
void *map_remove(struct map *m, struct bytes key);

#endif
