/* Which units an ambiguous stay may have been of instead. See story.h.
 *
 * A line gives each unit that a stay may have been of a row with the same number of the stay. They
 * are looked for by its time, and only for stays that are ambiguous: a unit that was certainly
 * everywhere costs nothing.
 */
#include "trace/story.h"

#include <math.h>
#include <string.h>

#define RIVALS_VISITS_MAX 100 /* of one story */
#define RIVALS_MAX        64  /* of one stay */

/* $1 node, $2 track, $3 station, $4 number of the stay, $5 and $6 from and to, $7 as of, $8 the
 * unit itself. */
static const char sql_rivals[] =
    "SELECT unit, probability FROM (SELECT * FROM steps WHERE t_in <= $6 AND t_out >= $5 AND node "
    "= $1 AND track = $2 AND station = $3 AND visit = $4 AND known_at <= $7 QUALIFY row_number() "
    "OVER (PARTITION BY unit ORDER BY revision DESC, known_at DESC) = 1) WHERE NOT retracted AND "
    "status = 'ambiguous' AND unit <> $8 ORDER BY probability DESC, unit";

struct looking {
    struct story *story;
    struct story_visit *visit;
    uint32_t cap;
    bool cut;
};

static int rival_row(void *ctx, const struct value *c, uint32_t count)
{
    struct looking *l = ctx;
    struct story_visit *v = l->visit;
    if (count != 2)
        return ERR_INTERNAL;
    l->cut = v->rival_count == RIVALS_MAX;
    if (l->cut)
        return OK;
    struct story_rival *rivals =
        arena_room(&l->story->arena, v->rivals, v->rival_count, &l->cap, sizeof *rivals);
    char *unit = arena_copy(&l->story->arena, c[0].bytes);
    if (!rivals || !unit)
        return ERR_NOMEM;
    v->rivals = rivals;
    v->rivals[v->rival_count++] = (struct story_rival){
        .unit = unit,
        .serial = "",
        .probability = c[1].type == VALUE_DOUBLE ? c[1].f64 : (double)NAN,
    };
    return OK;
}

static int visit_ask(struct looking *l, struct duck_stmt *stmt)
{
    const struct story_visit *v = l->visit;
    const char *const texts[] = {v->node, v->track, v->station};
    int err = OK;
    for (uint32_t i = 0; !err && i < 3; i++)
        err = duck_bind_text(stmt, i + 1, texts[i]);
    if (!err)
        err = duck_bind_i64(stmt, 4, v->number);
    if (!err)
        err = duck_bind_time(stmt, 5, v->t_in);
    if (!err)
        err = duck_bind_time(stmt, 6, v->t_out);
    if (!err)
        err = duck_bind_time(stmt, 7, l->story->as_of_us);
    if (!err)
        err = duck_bind_text(stmt, 8, v->unit);
    return err ? err : duck_run(stmt, rival_row, l, l->story->diag);
}

/* What was said last of the unit's serial; one that was read goes before one that was not. */
static bool says_better(const struct trace_entry *a, const struct trace_entry *b)
{
    bool a_read = a->other[0] && a->other[0] != '?';
    bool b_read = b->other[0] && b->other[0] != '?';
    if (a_read != b_read)
        return a_read;
    return a->known_at != b->known_at ? a->known_at > b->known_at : a->t_from >= b->t_from;
}

/* The names of a stay's rivals, by the index. */
static int rivals_name(struct story *s, struct story_visit *v)
{
    const struct trace_index index = {s->trace, &s->arena, s->as_of_us, s->diag};
    const struct trace_entry *best[RIVALS_MAX] = {NULL};
    const char *units[RIVALS_MAX] = {NULL};
    struct trace_entries entries = {0};
    for (uint32_t i = 0; i < v->rival_count; i++)
        units[i] = v->rivals[i].unit;
    int err = trace_index_find_sides(&index, units, v->rival_count, TRACE_SIDE_NAMES, &entries);
    for (uint32_t i = 0; !err && i < entries.count; i++) {
        const struct trace_entry *e = &entries.items[i];
        if (e->role == TRACE_IS_SERIAL && (!best[e->key] || says_better(e, best[e->key])))
            best[e->key] = e;
    }
    for (uint32_t i = 0; i < v->rival_count; i++)
        v->rivals[i].serial = best[i] ? best[i]->other : "";
    return err;
}

static bool visit_has_rivals(const struct story_visit *v)
{
    return strcmp(v->status, "ambiguous") == 0 && v->number && v->t_in != INT64_MIN &&
           v->t_out != INT64_MIN;
}

int story_rivals(struct story *s)
{
    struct duck_stmt *stmt = NULL;
    uint32_t asked = 0;
    int err = OK;
    for (uint32_t i = 0; !err && i < s->visit_count; i++) {
        struct looking l = {.story = s, .visit = &s->visits[i]};
        if (!visit_has_rivals(l.visit))
            continue;
        if (asked++ == RIVALS_VISITS_MAX) {
            s->truncated = true;
            break;
        }
        err = stmt ? OK : duck_statement(s->conn, sql_rivals, &stmt, s->diag);
        if (!err)
            err = visit_ask(&l, stmt);
        if (!err && l.visit->rival_count)
            err = rivals_name(s, l.visit);
        s->truncated = s->truncated || l.cut;
    }
    return err;
}
