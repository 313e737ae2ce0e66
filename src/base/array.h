/* Arrays that grow by doubling: room for one more item before it is written.
 *
 *     struct point *points = array_room(p->points, p->count, &p->cap, 64, sizeof *points);
 *     if (!points)
 *         return ERR_NOMEM;
 *     p->points = points;
 *     p->points[p->count++] = …;
 *
 * An array that lives in an arena grows by arena_room.
 */
#ifndef LOTLINE_BASE_ARRAY_H
#define LOTLINE_BASE_ARRAY_H

#include <stddef.h>
#include <stdint.h>

/* The address of an array with room for more than `count` items of item_bytes each: items itself
 * while count < *cap, otherwise realloc'ed to twice as many (`first` if it had none; first ≥ 1)
 * with *cap set. NULL when out of memory or beyond what size_t or cap can hold: then items and *cap
 * are as they were. New items are not initialised. The caller frees with free(). */
void *array_room(void *items, uint32_t count, uint32_t *cap, uint32_t first, size_t item_bytes);

#endif
