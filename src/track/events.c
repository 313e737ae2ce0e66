/* Readings that wait until slower streams have caught up: a heap by time. See track_priv.h. */
#include "track/track_priv.h"

#include <stdlib.h>

static bool event_before(const struct track_event *a, const struct track_event *b)
{
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us;
    if (a->signal != b->signal)
        return a->signal < b->signal;
    return a->order < b->order;
}

static void event_swap(struct track_event *a, struct track_event *b)
{
    struct track_event t = *a;
    *a = *b;
    *b = t;
}

int events_push(struct track *t, const struct track_event *e)
{
    if (t->event_count == TRACK_EVENTS_MAX)
        return ERR_LIMIT;
    if (t->event_count == t->event_cap) {
        uint32_t cap = t->event_cap ? t->event_cap * 2 : 16;
        struct track_event *list = realloc(t->events, cap * sizeof *list);
        if (!list)
            return ERR_NOMEM;
        t->events = list;
        t->event_cap = cap;
    }
    uint32_t i = t->event_count++;
    t->events[i] = *e;
    t->events[i].order = t->event_order++;
    while (i && event_before(&t->events[i], &t->events[(i - 1) / 2])) {
        event_swap(&t->events[i], &t->events[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    return OK;
}

const struct track_event *events_first(const struct track *t)
{
    return t->event_count ? &t->events[0] : NULL;
}

void events_pop(struct track *t)
{
    t->events[0] = t->events[--t->event_count];
    if (t->event_count == 0)
        t->event_order = 0;
    for (uint32_t i = 0;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < t->event_count; child++)
            if (event_before(&t->events[child], &t->events[least]))
                least = child;
        if (least == i)
            return;
        event_swap(&t->events[i], &t->events[least]);
        i = least;
    }
}
