/* From the key that was asked for to all names of the unit and its relatives. See story.h.
 *
 * The walk goes step by step through the genealogy, up to the parents and down to the children, and
 * within a step from names to names: a serial leads to the ids of the unit's visits, these to the
 * serials that were read there. One question to the index serves all names of a round. Names that
 * were seen are not asked again, so cycles end; every list has a limit, and what it cuts is said.
 *
 * An id belongs to the serial that its latest revision names: a serial that was corrected later
 * does not tie two units together.
 */
#include "trace/story.h"

#include <string.h>

/* ------------------------------------------------------------------------------- names, subjects
 */

static struct story_key *key_find(const struct story *s, const char *text)
{
    return map_find_text(&s->names, text);
}

/* The key, new or known; NULL: a limit (truncated) or no memory. */
static struct story_key *key_add(struct story *s, const char *text, uint32_t subject, int64_t at_us)
{
    struct story_key *key = key_find(s, text);
    if (key)
        return key;
    s->truncated = s->truncated || s->key_count == STORY_KEYS_MAX;
    if (s->key_count == STORY_KEYS_MAX)
        return NULL;
    key = arena_alloc(&s->arena, sizeof *key);
    if (!key || map_put(&s->names, bytes_of_text(text), key, NULL))
        return NULL;
    *key = (struct story_key){
        .text = text, .subject = subject, .at_us = at_us, .time = trace_span_all};
    s->keys[s->key_count++] = key;
    return key;
}

static struct story_subject *subject_add(struct story *s, const char *name, int64_t at_us)
{
    s->truncated = s->truncated || s->subject_count == STORY_SUBJECTS_MAX;
    if (s->subject_count == STORY_SUBJECTS_MAX)
        return NULL;
    struct story_subject *subject = &s->subjects[s->subject_count];
    *subject = (struct story_subject){.name = name, .position = "", .until_us = STORY_NO_END_US};
    if (!key_add(s, name, s->subject_count, at_us))
        return NULL;
    s->subject_count++;
    return subject;
}

/* --------------------------------------------------------------------------------------- one key
 */

/* The entries of one key of a round. */
struct found {
    const struct trace_entry *items;
    uint32_t count;
    uint32_t key;
};

static bool found_is(const struct found *f, uint32_t i, enum trace_role role)
{
    return f->items[i].key == f->key && f->items[i].role == role;
}

/* Whether a later revision of the same visit says otherwise. */
static bool alias_is_replaced(const struct found *f, uint32_t i)
{
    const struct trace_entry *own = &f->items[i];
    for (uint32_t k = 0; k < f->count; k++) {
        const struct trace_entry *e = &f->items[k];
        if (k == i || !found_is(f, k, TRACE_IS_SERIAL) || strcmp(e->kind, own->kind) != 0)
            continue;
        bool later = e->revision != own->revision ? e->revision > own->revision
                                                  : e->known_at > own->known_at;
        if (later || (e->revision == own->revision && e->known_at == own->known_at && k > i))
            return true;
    }
    return false;
}

static bool claim_holds(const struct story_key *key, const struct found *f)
{
    if (!key->claim)
        return true;
    for (uint32_t i = 0; i < f->count; i++)
        if (found_is(f, i, TRACE_IS_SERIAL) && !alias_is_replaced(f, i) &&
            strcmp(f->items[i].other, key->claim) == 0)
            return true;
    return false;
}

static int span_add(struct story *s, const struct story_key *key, const struct trace_entry *e)
{
    if (!s->subjects[key->subject].carries)
        return OK;
    struct trace_span *spans =
        arena_room(&s->arena, s->spans, s->span_count, &s->span_cap, sizeof *spans);
    if (!spans)
        return ERR_NOMEM;
    s->spans = spans;
    s->spans[s->span_count++] = (struct trace_span){e->t_from, e->t_to};
    return OK;
}

static int alias_add(struct story *s, struct story_key *key, const struct trace_entry *e)
{
    key->is_unit = true;
    struct story_alias *aliases =
        arena_room(&s->arena, s->aliases, s->alias_count, &s->alias_cap, sizeof *aliases);
    if (!aliases)
        return ERR_NOMEM;
    s->aliases = aliases;
    s->aliases[s->alias_count++] =
        (struct story_alias){key->text, e->other, key->subject, e->t_from, e->t_to};
    /* '?' is written before the id of a unit whose serial was not read. */
    if (e->other[0] && e->other[0] != '?')
        (void)key_add(s, e->other, key->subject, e->t_from);
    return span_add(s, key, e);
}

/* Another id or a serial of the same unit. */
static void unit_add(struct story *s, const struct story_key *key, const struct trace_entry *e)
{
    if (key_find(s, e->other))
        return;
    struct story_key *unit = key_add(s, e->other, key->subject, e->t_from);
    if (unit)
        unit->claim = key->text;
}

static int link_add(struct story *s, const struct story_key *key, const struct trace_entry *e)
{
    bool up = e->role == TRACE_HAS_PARENT;
    const struct story_subject *subject = &s->subjects[key->subject];
    if ((up ? !subject->up : !subject->down) || subject->depth >= s->depth_max)
        return OK;
    s->truncated = s->truncated || s->link_count == STORY_LINKS_MAX;
    if (s->link_count == STORY_LINKS_MAX || e->t_from > subject->until_us + STORY_LATE_US)
        return OK;
    s->links[s->link_count++] = (struct story_link){.parent = up ? e->other : key->text,
                                                    .child = up ? key->text : e->other,
                                                    .kind = e->kind,
                                                    .position = e->position,
                                                    .quantity = e->quantity,
                                                    .at = e->t_from,
                                                    .depth = subject->depth + 1,
                                                    .up = up};
    return OK;
}

/* If the serial comes around: while which time it was this unit's. */
static int bearer_find(struct story *s, struct story_key *key, const struct found *f)
{
    int64_t after_us = bearer_after(&s->trace->reused, bytes_of_text(key->text));
    if (!after_us || !f->count)
        return OK;
    uint32_t count = 0;
    struct trace_span *spans = trace_bearers(&s->arena, f->items, f->count, after_us, &count);
    if (!spans)
        return ERR_NOMEM;
    uint32_t number = bearer_at(spans, count, key->at_us);
    key->time = bearer_time(spans, count, number);
    if (key->subject == 0 && !s->borne) {
        s->borne = key->text;
        s->bearers = spans;
        s->bearer_count = count;
        s->bearer = number;
    }
    return OK;
}

static int key_take(struct story *s, struct story_key *key, const struct found *f)
{
    int err = OK;
    if (!claim_holds(key, f)) {
        key->refused = true;
        return OK;
    }
    err = bearer_find(s, key, f);
    for (uint32_t i = 0; !err && i < f->count; i++) {
        const struct trace_entry *e = &f->items[i];
        if (e->key != f->key || !trace_span_has(key->time, e->t_from))
            continue;
        if (e->role == TRACE_IS_SERIAL && !alias_is_replaced(f, i))
            err = alias_add(s, key, e);
        else if (e->role == TRACE_IS_UNIT)
            unit_add(s, key, e);
        else if (e->role == TRACE_HAS_ROWS)
            err = span_add(s, key, e);
        else if (e->role == TRACE_HAS_CHILD || e->role == TRACE_HAS_PARENT)
            err = link_add(s, key, e);
    }
    return err;
}

/* ----------------------------------------------------------------------------------------- rounds
 */

static int round_take(struct story *s, struct story_key **asked, uint32_t count,
                      const struct trace_entries *entries)
{
    const struct trace_entry *next = entries->items;
    uint32_t left = entries->count;
    int err = OK;
    for (uint32_t k = 0; !err && k < count; k++) {
        struct found f = {.items = next, .key = k};
        for (; left && next->key == k; next++, left--)
            f.count++;
        err = key_take(s, asked[k], &f);
    }
    return err;
}

/* A lot at the end of the walk has no names that anybody asks for; a unit's id may have a serial.
 */
static bool key_is_of_use(const struct story *s, const struct story_key *key)
{
    const struct story_subject *subject = &s->subjects[key->subject];
    uint8_t id[TRACE_UNIT_BYTES];
    return subject->depth < s->depth_max || subject->depth == 0 || subject->carries ||
           cell_unit_parse(bytes_of_text(key->text), id);
}

/* All that is told of a serial that comes around tells its bearers apart. */
static uint8_t sides_of(const struct story *s, const struct story_key *key, uint8_t sides)
{
    bool reused = bearer_after(&s->trace->reused, bytes_of_text(key->text)) > 0;
    return reused ? TRACE_SIDE_NAMES | TRACE_SIDE_CHILDREN : sides;
}

/* Asks for all names that were not asked yet; *ret_more: there were any. The unit itself is asked
 * for everything; what lies above it not for its other children: a lot may have 100,000. */
static int round_ask(struct story *s, uint8_t sides, bool *ret_more)
{
    const struct trace_index index = {s->trace, &s->arena, s->as_of_us, s->diag};
    struct trace_entries entries = {0};
    struct story_key **asked = arena_array(&s->arena, s->key_count + 1, sizeof(void *));
    const char **texts = arena_array(&s->arena, s->key_count + 1, sizeof *texts);
    uint8_t *asides = arena_array(&s->arena, s->key_count + 1, sizeof *asides);
    uint32_t count = 0;
    if (!asked || !texts || !asides)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->key_count; i++) {
        if (s->keys[i]->asked)
            continue;
        s->keys[i]->asked = true;
        if (!key_is_of_use(s, s->keys[i]))
            continue;
        asked[count] = s->keys[i];
        asides[count] = sides_of(s, s->keys[i], sides);
        texts[count++] = s->keys[i]->text;
    }
    *ret_more = count > 0;
    int err = trace_index_find(&index, texts, asides, count, &entries);
    s->truncated = s->truncated || entries.truncated;
    s->found = s->found || entries.count;
    return err ? err : round_take(s, asked, count, &entries);
}

static int rounds(struct story *s, uint8_t sides)
{
    bool more = true;
    int err = OK;
    for (int i = 0; !err && more && i < STORY_ROUNDS_MAX; i++)
        err = round_ask(s, sides, &more);
    s->truncated = s->truncated || more;
    return err;
}

/* -------------------------------------------------------------------------------------- genealogy
 */

/* Links that hand a thing on, so that what was done to the parent was done to the child. */
static bool link_carries(const char *kind)
{
    return strcmp(kind, "split") == 0 || strcmp(kind, "merge") == 0 ||
           strcmp(kind, "transform") == 0 || strcmp(kind, "rework") == 0;
}

static void relative_add(struct story *s, const struct story_link *l)
{
    const struct story_key *from = key_find(s, l->up ? l->child : l->parent);
    const char *name = l->up ? l->parent : l->child;
    const struct story_key *known = key_find(s, name);
    /* Of two bearers of a serial in one story the first that was met is followed. */
    s->truncated = s->truncated || (known && !trace_span_has(known->time, l->at));
    if (!from || known)
        return;
    struct story_subject near = s->subjects[from->subject];
    struct story_subject *far = subject_add(s, name, l->at);
    if (!far)
        return;
    far->depth = l->depth;
    far->up = l->up;
    far->down = !l->up;
    far->carries = l->up && near.carries && link_carries(l->kind);
    if (l->up)
        far->until_us = l->at < near.until_us ? l->at : near.until_us;
    far->position = near.position[0] ? near.position : l->position;
}

/* One step away from the unit in one direction, until there is nothing more or depth_max. */
static int walk(struct story *s, bool up)
{
    uint8_t sides = up ? TRACE_SIDE_NAMES : TRACE_SIDE_NAMES | TRACE_SIDE_CHILDREN;
    int err = OK;
    for (uint32_t depth = 1; !err && depth <= s->depth_max; depth++) {
        uint32_t before = s->subject_count;
        for (uint32_t i = 0, n = s->link_count; i < n; i++)
            if (s->links[i].up == up && s->links[i].depth == depth)
                relative_add(s, &s->links[i]);
        if (s->subject_count == before)
            break;
        err = rounds(s, sides);
    }
    return err;
}

int story_find(struct story *s, const char *key)
{
    s->keys = arena_array(&s->arena, STORY_KEYS_MAX, sizeof(void *));
    s->subjects = arena_array(&s->arena, STORY_SUBJECTS_MAX, sizeof *s->subjects);
    s->links = arena_array(&s->arena, STORY_LINKS_MAX, sizeof *s->links);
    if (!s->keys || !s->subjects || !s->links)
        return ERR_NOMEM;
    struct story_subject *own = subject_add(s, key, s->at_us ? s->at_us : TRACE_NO_END_US);
    if (!own)
        return ERR_NOMEM;
    own->up = true;
    own->down = true;
    own->carries = true;
    int err = rounds(s, TRACE_SIDE_NAMES | TRACE_SIDE_CHILDREN);
    if (!err && !s->found)
        return ERR_NOT_FOUND;
    if (!err)
        err = walk(s, true);
    return err ? err : walk(s, false);
}
