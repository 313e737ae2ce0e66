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

int events_push(struct station *s, const struct track_event *e)
{
    if (s->event_count == TRACK_EVENTS_MAX)
        return ERR_LIMIT;
    if (s->event_count == s->event_cap) {
        uint32_t cap = s->event_cap ? s->event_cap * 2 : 16;
        struct track_event *list = realloc(s->events, cap * sizeof *list);
        if (!list)
            return ERR_NOMEM;
        s->events = list;
        s->event_cap = cap;
    }
    uint32_t i = s->event_count++;
    s->events[i] = *e;
    s->events[i].order = s->event_order++;
    while (i && event_before(&s->events[i], &s->events[(i - 1) / 2])) {
        event_swap(&s->events[i], &s->events[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    return OK;
}

const struct track_event *events_first(const struct station *s)
{
    return s->event_count ? &s->events[0] : NULL;
}

void events_pop(struct station *s)
{
    s->events[0] = s->events[--s->event_count];
    if (s->event_count == 0)
        s->event_order = 0;
    for (uint32_t i = 0;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->event_count; child++)
            if (event_before(&s->events[child], &s->events[least]))
                least = child;
        if (least == i)
            return;
        event_swap(&s->events[i], &s->events[least]);
        i = least;
    }
}
