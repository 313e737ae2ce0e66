/* The rows of a unit's names, from the tables. See story.h.
 *
 * The index has said when they were written, so each question is about some pieces of time, and
 * DuckDB passes over the row groups that hold other times.
 */
#include "trace/story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows so near to each other in time are read by one question. */
#define GATHER_GAP_US   ((int64_t)3600 * 1000000)
#define GATHER_SPAN_MAX 16

/* $1 = names, $2 and $3 = from and to, $4 = as of, $5 = rows at most. A visit whose beginning was
 * not seen has no t_in. (A list is searched in half the time that a join with it takes.) */
#define NAMED(name) "list_contains(string_split($1, chr(10)), " name ")"
#define STEPS                                                                                      \
    "SELECT unit, node, track, station, place, t_in, t_out, status, probability, evidence, "       \
    "result, known_at, revision, retracted, coalesce(visit, 0), coalesce(clocks, '') FROM steps "  \
    "WHERE " NAMED("unit") " AND known_at <= "                                                     \
                           "$4 AND "

static const char sql_steps[] =
    STEPS "t_in BETWEEN $2 AND $3 UNION ALL " STEPS
          "t_in IS NULL AND coalesce(t_out, $3) BETWEEN $2 AND $3 LIMIT $5";

#define FACTS                                                                                      \
    " BETWEEN $2 AND $3 AND known_at <= $4 AND NOT retracted AND " NAMED(                          \
        "CASE WHEN serial = '' OR serial IS NULL THEN unit ELSE serial END")
#define MEASURES                                                                                   \
    "SELECT 0, unit, coalesce(serial, ''), operation, station, characteristic, '', uom, rule, "    \
    "value, lower, upper, target, measured_at AS t, known_at, revision, covered FROM measures "    \
    "WHERE "                                                                                       \
    "measured_at" FACTS
#define FACTORS                                                                                    \
    "SELECT 1, unit, serial, operation, station, name, value, kind, rule, number, NULL, NULL, "    \
    "NULL, \"at\", known_at, revision, NULL FROM factors WHERE \"at\"" FACTS
#define DEFECTS                                                                                    \
    "SELECT 2, unit, serial, operation, station, defect, \"position\", '', rule, NULL, NULL, "     \
    "NULL, NULL, detected_at, known_at, revision, NULL FROM defects WHERE detected_at" FACTS
#define VERDICTS                                                                                   \
    "SELECT 3, unit, serial, operation, station, verdict, '', '', rule, NULL, NULL, NULL, NULL, "  \
    "decided_at, known_at, revision, NULL FROM verdicts WHERE decided_at" FACTS
#define AND_ALSO " UNION ALL "

static const char sql_facts[] =
    "SELECT * FROM (" MEASURES AND_ALSO FACTORS AND_ALSO DEFECTS AND_ALSO VERDICTS
    ") ORDER BY t LIMIT $5";

/* ------------------------------------------------------------------------------------------ time
 */

/* Puts neighbours together; more than GATHER_SPAN_MAX become one. */
static void spans_merge(struct story *s)
{
    s->span_count = trace_spans_unite(s->spans, s->span_count, GATHER_GAP_US);
    if (s->span_count <= GATHER_SPAN_MAX)
        return;
    s->spans[0].to = s->spans[s->span_count - 1].to;
    s->span_count = 1;
}

/* ------------------------------------------------------------------------------------------ rows
 */

static const char *text_of(struct story *s, const struct value *v)
{
    return v->type == VALUE_STRING && v->bytes.len ? arena_copy(&s->arena, v->bytes) : "";
}

static double number_of(const struct value *v)
{
    return v->type == VALUE_DOUBLE ? v->f64 : (double)NAN;
}

static int64_t time_of(const struct value *v)
{
    return v->type == VALUE_NULL ? INT64_MIN : v->i64;
}

/* Whose rows a name's of that time are; false: the name was refused, or was another's then. */
static bool subject_of(const struct story *s, const char *name, int64_t at_us, uint32_t *ret)
{
    const struct story_key *key = map_find_text(&s->names, name);
    if (!key || key->refused || !trace_span_has(key->time, at_us))
        return false;
    *ret = key->subject;
    return true;
}

static int step_row(void *ctx, const struct value *c, uint32_t count)
{
    struct story *s = ctx;
    uint32_t subject = 0;
    if (count != 16)
        return ERR_INTERNAL;
    const char *unit = text_of(s, &c[0]);
    if (!unit)
        return ERR_NOMEM;
    if (!subject_of(s, unit, 0, &subject)) /* a unit's id is for ever */
        return OK;
    struct story_visit *visits =
        arena_room(&s->arena, s->visits, s->visit_count, &s->visit_cap, sizeof *visits);
    if (!visits)
        return ERR_NOMEM;
    s->visits = visits;
    struct story_visit *v = &s->visits[s->visit_count];
    *v = (struct story_visit){
        .unit = unit,
        .node = text_of(s, &c[1]),
        .track = text_of(s, &c[2]),
        .station = text_of(s, &c[3]),
        .place = text_of(s, &c[4]),
        .t_in = time_of(&c[5]),
        .t_out = time_of(&c[6]),
        .status = text_of(s, &c[7]),
        .probability = number_of(&c[8]),
        .evidence = text_of(s, &c[9]),
        .result = text_of(s, &c[10]),
        .said = "",
        .known_at = c[11].i64,
        .said_at = INT64_MIN,
        .revision = c[12].i64,
        .subject = subject,
        .retracted = c[13].boolean,
        .number = c[14].i64,
        .clocks = text_of(s, &c[15]),
    };
    v->operation = v->station;
    if (!v->node || !v->track || !v->station || !v->place || !v->status || !v->evidence ||
        !v->result || !v->clocks)
        return ERR_NOMEM;
    s->visit_count++;
    return OK;
}

static int fact_row(void *ctx, const struct value *c, uint32_t count)
{
    struct story *s = ctx;
    if (count != 17)
        return ERR_INTERNAL;
    struct story_fact *facts =
        arena_room(&s->arena, s->facts, s->fact_count, &s->fact_cap, sizeof *facts);
    if (!facts)
        return ERR_NOMEM;
    s->facts = facts;
    struct story_fact *f = &s->facts[s->fact_count];
    *f = (struct story_fact){
        .kind = (enum story_kind)c[0].i64,
        .unit = text_of(s, &c[1]),
        .serial = text_of(s, &c[2]),
        .operation = text_of(s, &c[3]),
        .station = text_of(s, &c[4]),
        .name = text_of(s, &c[5]),
        .text = text_of(s, &c[6]),
        .more = text_of(s, &c[7]),
        .rule = text_of(s, &c[8]),
        .share = 1,
        .value = number_of(&c[9]),
        .lower = number_of(&c[10]),
        .upper = number_of(&c[11]),
        .target = number_of(&c[12]),
        .at = time_of(&c[13]),
        .known_at = c[14].i64,
        .revision = c[15].i64,
        .covered = number_of(&c[16]),
    };
    if (!f->unit || !f->serial || !f->operation || !f->station || !f->name || !f->text ||
        !f->more || !f->rule)
        return ERR_NOMEM;
    if (subject_of(s, f->serial[0] ? f->serial : f->unit, f->at, &f->subject) &&
        f->at <= s->subjects[f->subject].until_us + STORY_LATE_US)
        s->fact_count++;
    return OK;
}

/* Whether b says something newer of the same visit than a. */
static bool visit_is_replaced(const struct story_visit *a, const struct story_visit *b)
{
    if (strcmp(a->unit, b->unit) != 0 || strcmp(a->station, b->station) != 0 ||
        strcmp(a->track, b->track) != 0 || strcmp(a->node, b->node) != 0 || a->number != b->number)
        return false;
    if (a->revision != b->revision)
        return b->revision > a->revision;
    return b->known_at != a->known_at ? b->known_at > a->known_at : b > a;
}

/* The latest revision of each visit stays, also one that takes it back, since its rows are to be
 * told from others (bind.c); and what was done to the panel after the board was cut off it is not
 * the board's. */
static void visits_revise(struct story *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->visit_count; i++) {
        struct story_visit *v = &s->visits[i];
        v->stays = v->t_in <= s->subjects[v->subject].until_us;
        for (uint32_t k = 0; v->stays && k < s->visit_count; k++)
            v->stays = k == i || !visit_is_replaced(v, &s->visits[k]);
    }
    for (uint32_t i = 0; i < s->visit_count; i++)
        if (s->visits[i].stays)
            s->visits[n++] = s->visits[i];
    s->visit_count = n;
}

/* ------------------------------------------------------------------------------------- questions
 */

/* The names of everything whose rows belong to the story, one a line. */
static int names_print(const struct story *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->key_count; i++) {
        const struct story_key *key = s->keys[i];
        if (!key->refused && s->subjects[key->subject].carries)
            (void)buf_printf(out, "%s%s", out->len ? "\n" : "", key->text);
    }
    return buf_error(out);
}

static int span_read(struct story *s, struct duck_stmt *stmt, const char *names,
                     const struct trace_span *span, duck_row_fn fn)
{
    int err = duck_bind_text(stmt, 1, names);
    if (!err)
        err = duck_bind_time(stmt, 2, span->from);
    if (!err)
        err = duck_bind_time(stmt, 3, span->to);
    if (!err)
        err = duck_bind_time(stmt, 4, s->as_of_us);
    if (!err)
        err = duck_bind_i64(stmt, 5,
                            fn == step_row ? STORY_VISITS_MAX + 1 : (int64_t)STORY_FACTS_MAX + 1);
    return err ? err : duck_run(stmt, fn, s, s->diag);
}

static int spans_read(struct story *s, const char *sql, const char *names, duck_row_fn fn)
{
    struct duck_stmt *stmt = NULL;
    int err = duck_statement(s->conn, sql, &stmt, s->diag);
    for (uint32_t i = 0; !err && i < s->span_count; i++)
        err = span_read(s, stmt, names, &s->spans[i], fn);
    return err;
}

int story_gather(struct story *s)
{
    struct buf names = {0};
    spans_merge(s);
    int err = names_print(s, &names);
    if (!err)
        err = spans_read(s, sql_steps, buf_text(&names), step_row);
    if (!err)
        err = spans_read(s, sql_facts, buf_text(&names), fact_row);
    buf_fini(&names);
    visits_revise(s);
    if (s->visit_count > STORY_VISITS_MAX) {
        s->visit_count = STORY_VISITS_MAX;
        s->truncated = true;
    }
    if (s->fact_count > STORY_FACTS_MAX) {
        s->fact_count = STORY_FACTS_MAX;
        s->truncated = true;
    }
    return err;
}
