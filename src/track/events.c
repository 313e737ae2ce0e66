/* Readings that wait until slower streams have caught up: a heap by time, of keys and slots, since
 * an event is large. See track_priv.h. */
#include "track/track_priv.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool key_before(const struct track_event_key *a, const struct track_event_key *b)
{
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us;
    if (a->signal != b->signal)
        return a->signal < b->signal;
    return a->order < b->order;
}

/* Both arrays for that many; the slots that are not in use stand behind those that are. */
static int events_grow(struct track *t, uint32_t cap)
{
    struct track_event *events = realloc(t->events, cap * sizeof *events);
    if (!events)
        return ERR_NOMEM;
    t->events = events;
    struct track_event_key *heap = realloc(t->event_heap, cap * sizeof *heap);
    if (!heap)
        return ERR_NOMEM;
    t->event_heap = heap;
    for (uint32_t i = t->event_cap; i < cap; i++)
        heap[i] = (struct track_event_key){.slot = i};
    t->event_cap = cap;
    return OK;
}

static bool heap_before(const struct track *t, uint32_t a, uint32_t b)
{
    return key_before(&t->event_heap[a], &t->event_heap[b]);
}

static void heap_swap(struct track *t, uint32_t a, uint32_t b)
{
    struct track_event_key key = t->event_heap[a];
    t->event_heap[a] = t->event_heap[b];
    t->event_heap[b] = key;
}

int events_push(struct track *t, const struct track_event *e)
{
    if (t->event_count == TRACK_EVENTS_MAX)
        return ERR_LIMIT;
    int err =
        t->event_count == t->event_cap ? events_grow(t, t->event_cap ? t->event_cap * 2 : 16) : OK;
    if (err)
        return err;
    uint32_t i = t->event_count++;
    struct track_event_key *key = &t->event_heap[i];
    struct track_event *slot = &t->events[key->slot];
    memcpy(slot, e, offsetof(struct track_event, text) + strlen(e->text) + 1);
    slot->order = t->event_order++;
    key->time_us = slot->time_us;
    key->signal = slot->signal;
    key->order = slot->order;
    while (i && heap_before(t, i, (i - 1) / 2)) {
        heap_swap(t, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
    return OK;
}

const struct track_event *events_first(const struct track *t)
{
    return t->event_count ? &t->events[t->event_heap[0].slot] : NULL;
}

void events_pop(struct track *t)
{
    heap_swap(t, 0, --t->event_count);
    if (t->event_count == 0)
        t->event_order = 0;
    for (uint32_t i = 0;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < t->event_count; child++)
            if (heap_before(t, child, least))
                least = child;
        if (least == i)
            return;
        heap_swap(t, i, least);
        i = least;
    }
}
