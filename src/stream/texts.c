/* The texts of one signal, by number. See texts.h. */
#include "stream/texts.h"

#include "base/array.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_FIRST    16u
#define TEXT_BYTES_MIN 32u

void texts_fini(struct texts *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        free(t->slots[i].ptr);
    free(t->slots);
    *t = (struct texts){0};
}

struct bytes texts_get(const struct texts *t, uint32_t number)
{
    assert(number < t->count);
    return bytes_of(t->slots[number].ptr, t->slots[number].len);
}

void texts_drop(struct texts *t, uint32_t number)
{
    assert(number < t->count && t->slots[number].refs);
    struct text_slot *slot = &t->slots[number];
    if (--slot->refs)
        return;
    slot->next = t->free;
    t->free = number + 1;
}

/* A slot without a reference, which stays in the list of free ones until it is taken. */
static int slot_find(struct texts *t, uint32_t *ret)
{
    if (t->free) {
        *ret = t->free - 1;
        return OK;
    }
    struct text_slot *more = array_room(t->slots, t->count, &t->cap, TEXTS_FIRST, sizeof *more);
    if (!more)
        return ERR_NOMEM;
    t->slots = more;
    *ret = t->count++;
    t->slots[*ret] = (struct text_slot){0};
    t->free = *ret + 1;
    return OK;
}

static int slot_room(struct texts *t, struct text_slot *slot, size_t bytes)
{
    size_t want = bytes < TEXT_BYTES_MIN ? TEXT_BYTES_MIN : bytes;
    if (bytes <= slot->cap && slot->ptr)
        return OK;
    if (want > TEXTS_BYTES_MAX || t->bytes - slot->cap + want > TEXTS_BYTES_MAX)
        return ERR_LIMIT;
    uint8_t *more = realloc(slot->ptr, want);
    if (!more)
        return ERR_NOMEM;
    t->bytes += want - slot->cap;
    slot->ptr = more;
    slot->cap = (uint32_t)want;
    return OK;
}

int texts_keep(struct texts *t, struct bytes text, uint32_t *ret)
{
    uint32_t number = 0;
    if (t->last && bytes_equal(texts_get(t, t->last - 1), text)) {
        t->slots[t->last - 1].refs++;
        *ret = t->last - 1;
        return OK;
    }
    int err = slot_find(t, &number);
    struct text_slot *slot = err ? NULL : &t->slots[number];
    if (!err)
        err = slot_room(t, slot, text.len);
    if (err)
        return err;
    t->free = slot->next;
    if (text.len)
        memcpy(slot->ptr, text.ptr, text.len);
    slot->len = (uint32_t)text.len;
    slot->refs = 2; /* the caller's, and that of the last one */
    if (t->last)
        texts_drop(t, t->last - 1);
    t->last = number + 1;
    *ret = number;
    return OK;
}
