/* Memory by lifespan: everything taken from an arena is given back at once.
 *
 * An arena belongs to one connection, request, plan or batch. It grows in blocks; resetting keeps
 * the first block. Single pieces are never freed, so there is nothing to leak on an error path.
 * One thread at a time.
 */
#ifndef LOTLINE_BASE_ARENA_H
#define LOTLINE_BASE_ARENA_H

#include "base/bytes.h"

#include <stddef.h>

struct arena_block;

/* Zero-initialised is a valid, empty arena with the default block size. */
struct arena {
    struct arena_block *head;
    size_t used;            /* bytes used in head */
    size_t block_bytes;     /* size of a new block; 0 = default (4 KiB) */
    size_t total_bytes;     /* bytes held from the heap */
    size_t total_bytes_max; /* 0 = no limit; above it arena_alloc gives NULL */
};

/* size bytes, zeroed, aligned to 16; NULL when out of memory or above total_bytes_max.
 * Lives until the next reset or fini. */
void *arena_alloc(struct arena *a, size_t size);

/* As arena_alloc for count × size, safe against overflow. */
void *arena_array(struct arena *a, size_t count, size_t size);

/* The address of an array of the arena's with room for more than `count` items: items itself while
 * count < *cap, otherwise a copy in twice as much room (16 at first) with *cap set. NULL when out
 * of memory: then *cap is as it was. What was outgrown stays in the arena until its end. */
void *arena_room(struct arena *a, void *items, uint32_t count, uint32_t *cap, size_t item_bytes);

/* A copy of v followed by a zero byte (not counted); NULL when out of memory. */
char *arena_copy(struct arena *a, struct bytes v);
char *arena_text(struct arena *a, const char *text);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets all pieces, keeps one block. */
void arena_reset(struct arena *a);

/* Gives all memory back and leaves an empty, usable arena. */
void arena_fini(struct arena *a);

#endif
