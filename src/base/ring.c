/* Bounded multi-producer multi-consumer queue. See ring.h. */
#include "base/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define CACHE_LINE_BYTES 64

struct ring_cell {
    atomic_size_t turn;
    void *item;
};

struct ring {
    size_t mask;
    struct ring_cell *cells;
    _Alignas(CACHE_LINE_BYTES) atomic_size_t head; /* next to push */
    _Alignas(CACHE_LINE_BYTES) atomic_size_t tail; /* next to pop */
};

struct ring *ring_new(size_t capacity)
{
    size_t size = 2;
    while (size < capacity)
        size *= 2;
    struct ring *r = aligned_alloc(CACHE_LINE_BYTES, sizeof *r);
    struct ring_cell *cells = calloc(size, sizeof *cells);
    if (!r || !cells) {
        free(r);
        free(cells);
        return NULL;
    }
    r->mask = size - 1;
    r->cells = cells;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    for (size_t i = 0; i < size; i++)
        atomic_init(&cells[i].turn, i);
    return r;
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    free(r->cells);
    free(r);
}

bool ring_push(struct ring *r, void *item)
{
    assert(item);
    size_t at = atomic_load_explicit(&r->head, memory_order_relaxed);
    for (;;) {
        struct ring_cell *cell = &r->cells[at & r->mask];
        size_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        intptr_t ahead = (intptr_t)turn - (intptr_t)at;
        if (ahead < 0)
            return false;
        if (ahead > 0) {
            at = atomic_load_explicit(&r->head, memory_order_relaxed);
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&r->head, &at, at + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            cell->item = item;
            atomic_store_explicit(&cell->turn, at + 1, memory_order_release);
            return true;
        }
    }
}

void *ring_pop(struct ring *r)
{
    size_t at = atomic_load_explicit(&r->tail, memory_order_relaxed);
    for (;;) {
        struct ring_cell *cell = &r->cells[at & r->mask];
        size_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        intptr_t ahead = (intptr_t)turn - (intptr_t)(at + 1);
        if (ahead < 0)
            return NULL;
        if (ahead > 0) {
            at = atomic_load_explicit(&r->tail, memory_order_relaxed);
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&r->tail, &at, at + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            void *item = cell->item;
            atomic_store_explicit(&cell->turn, at + r->mask + 1, memory_order_release);
            return item;
        }
    }
}

size_t ring_count(const struct ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    return head > tail ? head - tail : 0;
}
