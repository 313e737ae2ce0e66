/* What the reader takes of the index. See index_store.h. */
#include "trace/index_store.h"

#include <stdlib.h>

void index_store_init(struct index_store *s)
{
    (void)pthread_mutex_init(&s->mutex, NULL);
    s->tail_max = TAIL_ENTRIES_MAX;
}

void index_store_fini(struct index_store *s)
{
    for (uint32_t i = 0; i < s->runs.count; i++)
        run_unref(s->runs.list[i].run);
    free(s->runs.list);
    tail_fini(&s->tail);
    (void)pthread_mutex_destroy(&s->mutex);
}

static int newest_take(const struct tail *t, struct arena *arena, struct index_snapshot *snap,
                       uint32_t i)
{
    uint32_t at = 0;
    for (const struct tail_entry *e; (e = tail_find(t, snap->hashes[i], &at)) != NULL;) {
        struct index_found *found = arena_alloc(arena, sizeof *found);
        const char *copy = arena_copy(arena, e->entry);
        if (!found || !copy)
            return ERR_NOMEM;
        *found = (struct index_found){snap->found[i], bytes_of(copy, e->entry.len)};
        snap->found[i] = found;
    }
    return OK;
}

static int store_take(struct index_store *s, struct arena *arena, struct index_snapshot *snap)
{
    snap->found = arena_array(arena, (size_t)snap->count + 1, sizeof(void *));
    snap->runs = arena_array(arena, (size_t)s->runs.count + 1, sizeof(void *));
    if (!snap->found || !snap->runs)
        return ERR_NOMEM;
    int err = OK;
    for (uint32_t i = 0; !err && i < snap->count; i++)
        err = newest_take(&s->tail, arena, snap, i);
    for (uint32_t i = 0; !err && i < s->runs.count; i++)
        snap->runs[snap->run_count++] = run_ref(s->runs.list[i].run);
    return err;
}

int index_store_take(struct index_store *s, struct arena *arena, struct index_snapshot *snap)
{
    (void)pthread_mutex_lock(&s->mutex);
    int err = store_take(s, arena, snap);
    (void)pthread_mutex_unlock(&s->mutex);
    return err;
}

void index_store_give(struct index_store *s, struct index_snapshot *snap)
{
    (void)pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < snap->run_count; i++)
        run_unref(snap->runs[i]);
    snap->run_count = 0;
    (void)pthread_mutex_unlock(&s->mutex);
}

void index_store_damaged(struct index_store *s)
{
    atomic_store(&s->damaged, true);
}
