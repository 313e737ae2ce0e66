/* Block-wise bump allocation. See arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_ALIGN       16
#define ARENA_BLOCK_BYTES 4096
#define ROOM_FIRST        16

struct arena_block {
    struct arena_block *next;
    size_t cap;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

static struct arena_block *arena_grow(struct arena *a, size_t size)
{
    size_t cap = a->block_bytes ? a->block_bytes : ARENA_BLOCK_BYTES;
    if (cap < size)
        cap = size;
    if (a->total_bytes_max && a->total_bytes + cap > a->total_bytes_max)
        return NULL;
    struct arena_block *block = malloc(sizeof *block + cap);
    if (!block)
        return NULL;
    block->cap = cap;
    block->next = a->head;
    a->head = block;
    a->used = 0;
    a->total_bytes += cap;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *block = a->head;
    if (!block || block->cap - a->used < size) {
        block = arena_grow(a, size);
        if (!block)
            return NULL;
    }
    void *ptr = block->data + a->used;
    a->used += size;
    return memset(ptr, 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_alloc(a, bytes);
}

void *arena_room(struct arena *a, void *items, uint32_t count, uint32_t *cap, size_t item_bytes)
{
    if (count < *cap)
        return items;
    if (*cap > UINT32_MAX / 2)
        return NULL;
    uint32_t more = *cap ? *cap * 2 : ROOM_FIRST;
    void *grown = arena_array(a, more, item_bytes);
    if (!grown)
        return NULL;
    if (count)
        memcpy(grown, items, count * item_bytes);
    *cap = more;
    return grown;
}

char *arena_copy(struct arena *a, struct bytes v)
{
    char *copy = arena_alloc(a, v.len + 1);
    if (copy && v.len)
        memcpy(copy, v.ptr, v.len);
    return copy;
}

char *arena_text(struct arena *a, const char *text)
{
    return arena_copy(a, bytes_of_text(text));
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = need < 0 ? NULL : arena_alloc(a, (size_t)need + 1);
    if (text)
        (void)vsnprintf(text, (size_t)need + 1, format, again);
    va_end(again);
    return text;
}

void arena_reset(struct arena *a)
{
    while (a->head && a->head->next) {
        struct arena_block *block = a->head;
        a->head = block->next;
        a->total_bytes -= block->cap;
        free(block);
    }
    a->used = 0;
}

void arena_fini(struct arena *a)
{
    arena_reset(a);
    free(a->head);
    a->head = NULL;
    a->used = 0;
    a->total_bytes = 0;
}
