/* Insertion-ordered open-addressing hash map. See map.h. */
#include "base/map.h"

#include "base/err.h"

#include <assert.h>
#include <stdlib.h>

#include <xxhash.h>

#define MAP_CAP_MIN   8
#define MAP_COUNT_MAX (UINT32_MAX / 4)

static uint64_t map_hash(struct bytes key)
{
    return XXH3_64bits(key.ptr, key.len);
}

/* The slot that holds key, or the empty slot where it would go. */
static size_t map_slot(const struct map *m, struct bytes key, uint64_t hash)
{
    size_t mask = m->slot_count - 1;
    size_t slot = (size_t)hash & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t index = m->slots[slot];
        if (index == 0)
            return slot;
        const struct map_entry *e = &m->entries[index - 1];
        if (e->hash == hash && bytes_equal(bytes_of(e->key, e->len), key))
            return slot;
    }
}

static int map_grow(struct map *m)
{
    size_t cap = m->cap ? m->cap * 2 : MAP_CAP_MIN;
    if (cap > MAP_COUNT_MAX)
        return ERR_LIMIT;
    struct map_entry *entries = realloc(m->entries, cap * sizeof *entries);
    if (!entries)
        return ERR_NOMEM;
    m->entries = entries;
    uint32_t *slots = calloc(cap * 2, sizeof *slots);
    if (!slots)
        return ERR_NOMEM;
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    m->slot_count = cap * 2;
    for (size_t i = 0; i < m->count; i++) {
        const struct map_entry *e = &m->entries[i];
        m->slots[map_slot(m, bytes_of(e->key, e->len), e->hash)] = (uint32_t)i + 1;
    }
    return OK;
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m->slots);
    *m = (struct map){0};
}

void *map_find(const struct map *m, struct bytes key)
{
    if (m->count == 0)
        return NULL;
    uint32_t index = m->slots[map_slot(m, key, map_hash(key))];
    return index ? m->entries[index - 1].value : NULL;
}

void *map_find_text(const struct map *m, const char *key)
{
    return map_find(m, bytes_of_text(key));
}

int map_put(struct map *m, struct bytes key, void *value, void **ret_old)
{
    if (m->count == m->cap) {
        int err = map_grow(m);
        if (err)
            return err;
    }
    uint64_t hash = map_hash(key);
    size_t slot = map_slot(m, key, hash);
    void *old = NULL;
    if (m->slots[slot]) {
        struct map_entry *e = &m->entries[m->slots[slot] - 1];
        old = e->value;
        e->value = value;
    } else {
        char *copy = malloc(key.len + 1);
        if (!copy)
            return ERR_NOMEM;
        if (key.len)
            memcpy(copy, key.ptr, key.len);
        copy[key.len] = 0;
        m->entries[m->count] = (struct map_entry){copy, key.len, hash, value};
        m->slots[slot] = (uint32_t)++m->count;
    }
    if (ret_old)
        *ret_old = old;
    return OK;
}

int map_add_text(struct map *m, const char *key, void *value)
{
    if (map_find_text(m, key))
        return ERR_EXISTS;
    return map_put(m, bytes_of_text(key), value, NULL);
}

/* Closes the gap at `slot` so that linear probing still finds what stood behind it. */
static void map_slot_clear(struct map *m, size_t slot)
{
    size_t mask = m->slot_count - 1;
    m->slots[slot] = 0;
    for (size_t next = (slot + 1) & mask; m->slots[next]; next = (next + 1) & mask) {
        uint32_t index = m->slots[next];
        const struct map_entry *e = &m->entries[index - 1];
        m->slots[next] = 0;
        m->slots[map_slot(m, bytes_of(e->key, e->len), e->hash)] = index;
    }
}

void *map_remove(struct map *m, struct bytes key)
{
    if (m->count == 0)
        return NULL;
    size_t slot = map_slot(m, key, map_hash(key));
    uint32_t index = m->slots[slot];
    if (!index)
        return NULL;
    void *value = m->entries[index - 1].value;
    free(m->entries[index - 1].key);
    map_slot_clear(m, slot);
    size_t last = --m->count;
    if (last != index - 1) {
        struct map_entry *e = &m->entries[last];
        size_t moved = map_slot(m, bytes_of(e->key, e->len), e->hash);
        assert(m->slots[moved] == last + 1);
        m->entries[index - 1] = *e;
        m->slots[moved] = index;
    }
    return value;
}
