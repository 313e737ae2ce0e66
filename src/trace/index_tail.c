/* The newest entries of the index. See index_tail.h. */
#include "trace/index_tail.h"

#include "base/array.h"
#include "base/err.h"

#include <stdlib.h>

#define CHAINS_LOG2 16
#define BYTES_BLOCK ((size_t)256 << 10)

static uint32_t chain_of(uint64_t hash)
{
    return (uint32_t)(hash >> (64 - CHAINS_LOG2));
}

int tail_add(struct tail *t, uint64_t hash, struct bytes entry)
{
    if (!t->heads)
        t->heads = calloc((size_t)1 << CHAINS_LOG2, sizeof *t->heads);
    struct tail_entry *list = array_room(t->list, t->count, &t->cap, 1024, sizeof *list);
    if (!list || !t->heads)
        return ERR_NOMEM;
    t->list = list;
    t->bytes.block_bytes = BYTES_BLOCK;
    const char *copy = arena_copy(&t->bytes, entry);
    if (!copy)
        return ERR_NOMEM;
    uint32_t *head = &t->heads[chain_of(hash)];
    t->list[t->count++] = (struct tail_entry){hash, bytes_of(copy, entry.len), *head};
    *head = t->count;
    return OK;
}

const struct tail_entry *tail_find(const struct tail *t, uint64_t hash, uint32_t *at)
{
    uint32_t next = *at ? t->list[*at - 1].before : t->heads ? t->heads[chain_of(hash)] : 0;
    while (next && t->list[next - 1].hash != hash)
        next = t->list[next - 1].before;
    *at = next;
    return next ? &t->list[next - 1] : NULL;
}

static int entry_compare(const void *a, const void *b, void *ctx)
{
    const struct tail *t = ctx;
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    uint64_t p = t->list[x].hash;
    uint64_t q = t->list[y].hash;
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

uint32_t *tail_sorted(const struct tail *t)
{
    uint32_t *order = calloc((size_t)t->count + 1, sizeof *order);
    if (!order)
        return NULL;
    for (uint32_t i = 0; i < t->count; i++)
        order[i] = i;
    qsort_r(order, t->count, sizeof *order, entry_compare, (void *)(uintptr_t)t);
    return order;
}

void tail_fini(struct tail *t)
{
    free(t->list);
    free(t->heads);
    arena_fini(&t->bytes);
    *t = (struct tail){0};
}
