/* A unit's story from beginning to end. See story.h. */
#include "trace/story.h"

#include <math.h>
#include <string.h>

int story_read(struct story *s, const char *key)
{
    int err = story_find(s, key);
    if (!err)
        err = story_gather(s);
    return err ? err : story_bind(s);
}

void story_fini(struct story *s)
{
    map_fini(&s->names);
    arena_fini(&s->arena);
}

static bool alias_is_read(const struct story_alias *a)
{
    return a->serial[0] && a->serial[0] != '?';
}

/* The latest serial of a subject; what was read goes before what was not. NULL: it has none. */
static const struct story_alias *alias_latest(const struct story *s, uint32_t subject)
{
    const struct story_alias *best = NULL;
    for (uint32_t i = 0; i < s->alias_count; i++) {
        const struct story_alias *a = &s->aliases[i];
        if (a->subject != subject || !a->serial[0])
            continue;
        if (!best || alias_is_read(a) > alias_is_read(best) ||
            (alias_is_read(a) == alias_is_read(best) && a->t_from >= best->t_from))
            best = a;
    }
    return best;
}

const char *story_name(const struct story *s, uint32_t subject)
{
    const struct story_alias *a = alias_latest(s, subject);
    return a ? a->serial : s->subjects[subject].name;
}

const char *story_key_name(const struct story *s, const char *key)
{
    const struct story_key *k = map_find_text(&s->names, key);
    return k && !k->refused ? story_name(s, k->subject) : key;
}

double story_sure(const struct story_visit *v)
{
    return strcmp(v->status, "ambiguous") == 0 && !isnan(v->probability) ? v->probability : 1;
}

/* Of the latest visit. */
const char *story_unit(const struct story *s)
{
    const struct story_alias *best = NULL;
    for (uint32_t i = 0; i < s->alias_count; i++)
        if (s->aliases[i].subject == 0 && (!best || s->aliases[i].t_from >= best->t_from))
            best = &s->aliases[i];
    return best ? best->unit : "";
}
