/* Which units a curve is compared with: those that passed. See band.h.
 *
 * Good is what something good and nothing bad was ever said of, neither of the unit nor of what it
 * became: a unit that failed and was reworked is no model for how a curve should go, nor is a
 * panel of which one board failed. The candidates' names are put into a map, and everything that
 * was said in those days passes by it once: no table is joined, so that the database needs next to
 * no memory, and to read each one's story as trace.unit does would take ten times as long.
 */
#include "base/map.h"
#include "trace/band.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX (4 * BAND_UNITS_MAX)

#define DAY_US ((int64_t)24 * 3600 * 1000000)

/* $1 when the unit came in, $2 as of; what is looked at. */
#define DAYS(time) time " BETWEEN $1 - INTERVAL 2 DAYS AND $1 + INTERVAL 4 DAYS AND known_at <= $2"

/* $3 node, $4 track, $5 station, $6 candidates at most. */
static const char sql_candidates[] =
    "SELECT unit, t_in, t_out, clocks FROM (SELECT unit, t_in, t_out, coalesce(clocks, '') AS "
    "clocks, status, retracted FROM steps WHERE "
    "node = $3 AND track = $4 AND station = $5 AND " DAYS(
        "t_in") " QUALIFY row_number() OVER "
                "(PARTITION BY unit, coalesce(visit, 0) ORDER BY revision DESC, known_at DESC) = "
                "1) WHERE NOT "
                "retracted AND status "
                "<> 'missing' AND t_out > t_in ORDER BY abs(epoch_us(t_in) - epoch_us($1)), unit "
                "LIMIT $6";

static const char sql_names[] =
    "SELECT unit, serial, valid_from FROM units WHERE serial <> '' AND NOT "
    "retracted AND " DAYS("valid_from");

/* Through these the thing itself is handed on. */
static const char sql_links[] = "SELECT parent, child, valid_from FROM links WHERE kind IN "
                                "('split', 'merge', 'transform', 'rework') AND "
                                "NOT retracted AND " DAYS("valid_from");

static const char sql_recipes[] = "SELECT unit, value FROM factors WHERE kind = "
                                  "'" TRACE_KIND_RECIPE "' AND NOT retracted AND " DAYS("\"at\"");

#define NAME "CASE WHEN serial = '' OR serial IS NULL THEN unit ELSE serial END"
static const char sql_said[] =
    "SELECT " NAME ", true, detected_at FROM defects WHERE NOT retracted AND " DAYS(
        "detected_at") " UNION ALL SELECT " NAME
                       ", verdict <> 'pass', decided_at FROM verdicts WHERE NOT retracted "
                       "AND " DAYS(
                           "decided_at") " UNION ALL SELECT " NAME ", NOT (" TRACE_SQL_OK
                                         "), measured_at FROM measures WHERE NOT retracted "
                                         "AND " DAYS(
                                             "measured_at") " UNION ALL SELECT unit, result = "
                                                            "'fail', t_in "
                                                            "FROM steps WHERE result IN ('pass', "
                                                            "'fail') AND " DAYS("t_in");

struct candidate {
    struct band_visit visit;
    char *recipe; /* NULL = not known */
    bool good;
    bool bad;
    bool self; /* whose curve is asked for */
};

struct search {
    const struct band_question *q;
    struct bearers bearers;
    struct map names; /* of candidates and what they became → struct candidate */
    struct candidate list[CANDIDATES_MAX];
    uint32_t count;
};

static int candidate_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct search *s = ctx;
    if (count != 4 || s->count == CANDIDATES_MAX)
        return OK;
    struct candidate *c = &s->list[s->count++];
    c->visit = (struct band_visit){.t_in = cells[1].i64, .t_out = cells[2].i64};
    c->visit.clocks = arena_copy(s->q->arena, cells[3].bytes);
    if (!c->visit.clocks)
        return ERR_NOMEM;
    c->self = bytes_equal(cells[0].bytes, bytes_of_text(s->q->unit));
    return map_put(&s->names, cells[0].bytes, c, NULL);
}

/* unit, serial, since when: both names of a pair belong to the candidate that has one of them. */
static int names_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct search *s = ctx;
    char own[BEARER_NAME_BYTES_MAX];
    if (count != 3)
        return OK;
    struct bytes serial = bearer_name(&s->bearers, cells[1].bytes, cells[2].i64, own);
    struct candidate *c = map_find(&s->names, cells[0].bytes);
    struct candidate *other = map_find(&s->names, serial);
    if (c && !other)
        return map_put(&s->names, serial, c, NULL);
    return other && !c ? map_put(&s->names, cells[0].bytes, other, NULL) : OK;
}

static struct candidate *candidate_of(const struct search *s, struct bytes name, int64_t at_us)
{
    char own[BEARER_NAME_BYTES_MAX];
    return map_find(&s->names, bearer_name(&s->bearers, name, at_us, own));
}

/* parent, child, when: from a parent to its children only. */
static int link_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct search *s = ctx;
    struct candidate *c = count == 3 ? candidate_of(s, cells[0].bytes, cells[2].i64) : NULL;
    char own[BEARER_NAME_BYTES_MAX];
    if (!c)
        return OK;
    return map_put(&s->names, bearer_name(&s->bearers, cells[1].bytes, cells[2].i64, own), c, NULL);
}

static int recipe_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct search *s = ctx;
    struct candidate *c = count == 2 ? map_find(&s->names, cells[0].bytes) : NULL;
    if (!c || c->recipe)
        return OK;
    c->recipe = bytes_to_text(cells[1].bytes);
    return c->recipe ? OK : ERR_NOMEM;
}

static int said_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct search *s = ctx;
    struct candidate *c = count == 3 ? candidate_of(s, cells[0].bytes, cells[2].i64) : NULL;
    if (!c || cells[1].type != VALUE_BOOL)
        return OK;
    if (cells[1].boolean)
        c->bad = true;
    else
        c->good = true;
    return OK;
}

static int search_run(struct search *s, const char *sql, duck_row_fn fn)
{
    const struct band_question *q = s->q;
    struct duck_stmt *stmt = NULL;
    int err = duck_statement(q->conn, sql, &stmt, q->diag);
    if (!err)
        err = duck_bind_time(stmt, 1, q->t_in);
    if (!err)
        err = duck_bind_time(stmt, 2, q->as_of_us);
    if (!err && sql == sql_candidates) {
        err = duck_bind_text(stmt, 3, q->node);
        if (!err)
            err = duck_bind_text(stmt, 4, q->track);
        if (!err)
            err = duck_bind_text(stmt, 5, q->station);
        if (!err)
            err = duck_bind_i64(stmt, 6, CANDIDATES_MAX);
    }
    return err ? err : duck_run(stmt, fn, s, q->diag);
}

static int visit_compare(const void *a, const void *b)
{
    const struct band_visit *x = a;
    const struct band_visit *y = b;
    return (x->t_in > y->t_in) - (x->t_in < y->t_in);
}

static const char *recipe_asked(const struct search *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->list[i].self)
            return s->list[i].recipe;
    return NULL;
}

/* Candidates are the nearest first. */
static uint32_t search_take(const struct search *s, struct band_visit *ret)
{
    const char *recipe = recipe_asked(s);
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count && count < BAND_UNITS_MAX; i++) {
        const struct candidate *c = &s->list[i];
        if (c->self || c->bad || !c->good)
            continue;
        if (!recipe || (c->recipe && strcmp(recipe, c->recipe) == 0))
            ret[count++] = c->visit;
    }
    qsort(ret, count, sizeof *ret, visit_compare);
    return count;
}

int band_good_find(const struct band_question *q, struct band_visit *ret, uint32_t *ret_count)
{
    /* Twice the names: ids lead to serials, and these to the ids of other visits. */
    static const struct {
        const char *sql;
        duck_row_fn fn;
    } passes[] = {
        {sql_candidates, candidate_row},
        {sql_recipes, recipe_row},
        {sql_names, names_row},
        {sql_names, names_row},
        {sql_links, link_row},
        {sql_names, names_row},
        {sql_said, said_row},
    };
    struct search *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->q = q;
    int err = bearers_read(&s->bearers, q->reused, q->conn, q->t_in - 2 * DAY_US,
                           q->t_in + 4 * DAY_US, q->diag);
    for (size_t i = 0; !err && i < sizeof passes / sizeof passes[0]; i++)
        err = search_run(s, passes[i].sql, passes[i].fn);
    if (!err)
        *ret_count = search_take(s, ret);
    for (uint32_t i = 0; i < s->count; i++)
        free(s->list[i].recipe);
    map_fini(&s->names);
    bearers_fini(&s->bearers);
    free(s);
    return err;
}
