/* The call trace.units: what was made lately, or what of it is bad. See trace.h.
 *
 * Without a verdict it lists visits, and one statement tells how each went. With one it lists
 * units: those that something bad was said of during the time are looked at one by one as
 * trace.unit does, because a unit that failed and was reworked since is good.
 */
#include "base/clock.h"
#include "trace/story.h"

#include <inttypes.h>
#include <string.h>

#define UNITS_DEFAULT 100
#define UNITS_DEPTH   2

static const struct call_field units_request[] = {
    {"since", VALUE_STRING, 0, false, "only visits that ended after this time (RFC 3339)"},
    {"limit", VALUE_INT64, 0, false, "rows at most; default 100"},
    {"until", VALUE_STRING, 0, false, "only visits that ended until this time (RFC 3339)"},
    {"station", VALUE_STRING, 0, false, "only visits to this station"},
    {"verdict", VALUE_STRING, 0, false,
     "only units that are fail, rework or scrap now, or bad: any of these; something bad was said "
     "of them during the time"},
    {0},
};

static const struct call_field units_answer[] = {
    {"unit", VALUE_STRING, 0, true, "id of the unit"},
    {"serial", VALUE_STRING, 0, true, "its serial number"},
    {"station", VALUE_STRING, 0, true, "where it was; with a verdict, where it got that"},
    {"t_in", VALUE_TIMESTAMP, 0, false, "since when"},
    {"t_out", VALUE_TIMESTAMP, 0, false, "until when"},
    {"status", VALUE_STRING, 0, true, "how sure that is: exact, inferred, ambiguous, missing"},
    {"verdict", VALUE_STRING, 0, true, "pass, fail, rework, scrap or unknown"},
    {"defects", VALUE_STRING, 0, true, "what was found wrong there, between commas"},
    {"probability", VALUE_DOUBLE, 0, true,
     "that it was this unit; below 1 it may have been another: only possible"},
    {0},
};

const struct call_spec trace_units_spec = {
    .name = "trace.units",
    .doc = "Lists the latest visits of units, the last first; or the bad units of a time.",
    .role = CALL_VIEWER,
    .request = units_request,
    .answer = units_answer,
};

struct listing {
    const struct call *call;
    struct trace *trace;
    struct duck_conn *conn;
    struct arena arena;
    struct diag *diag;
    struct batch_builder *bb;
    int64_t since_us;
    int64_t until_us;
    int64_t limit;
    const char *station; /* "" = all */
    const char *verdict; /* "" = all */
    struct named *names; /* of units that something bad was said of */
    uint32_t name_count;
};

/* What names a unit, at what time. */
struct named {
    const char *text;
    int64_t at_us;
};

/* ----------------------------------------------------------------------------------------- visits
 */

/* $1 since, $2 rows, $3 until, $4 station. p: the visits of the answer. */
#define SQL_ANSWER                                                                                 \
    "WITH p AS (SELECT * FROM (SELECT * FROM steps WHERE t_out >= $1 AND t_out <= $3 AND ($4 = "   \
    "'' OR station = $4) QUALIFY row_number() OVER (PARTITION BY node, track, unit, station, "     \
    "coalesce(visit, 0) ORDER BY revision DESC, known_at DESC) = 1) WHERE NOT retracted ORDER BY " \
    "t_out DESC LIMIT $2)"

/* s: with their serials. n: $5 serials, one a line, that come around, and $6 when each is another
 * unit's, µs. */
#define SQL_VISITS                                                                                 \
    SQL_ANSWER ", " TRACE_SQL_SERIALS ", "                                                         \
               "n AS (SELECT unnest(string_split($5, '\n')) AS serial, "                           \
               "make_timestamp(unnest(string_split($6, '\n'))::BIGINT) AS t), s AS (SELECT s.*, "  \
               "row_number() OVER () id, coalesce(u.serial, '') AS serial, " TRACE_SQL_SURE        \
               " AS sure, coalesce(least(lead(t_in) OVER (PARTITION BY u.serial, station ORDER "   \
               "BY t_in), "                                                                        \
               "(SELECT min(n.t) FROM n WHERE n.serial = u.serial AND n.t > s.t_in)), TIMESTAMP "  \
               "'9999-01-01') AS next_in FROM p s LEFT JOIN u ON s.unit = "                        \
               "u.unit), "
/* a: all stays of these units, also those that were taken back, since rows are to be told apart.
 * The id of one that is not in the answer is NULL. */
#define SQL_STAYS                                                                                  \
    "a AS (SELECT q.unit, q.station, epoch_us(coalesce(q.t_in, q.t_out)) AS t_in, "                \
    "epoch_us(q.t_out) AS t_out, q.retracted, s.id FROM (SELECT * FROM steps WHERE unit IN "       \
    "(SELECT unit FROM p) QUALIFY row_number() OVER (PARTITION BY node, track, unit, station, "    \
    "coalesce(visit, 0) ORDER BY revision DESC, known_at DESC) = 1) q LEFT JOIN s ON s.unit = "    \
    "q.unit AND s.station = q.station AND s.track = q.track AND s.node = q.node AND "              \
    "coalesce(s.visit, 0) = coalesce(q.visit, 0)), "

/* The rows of a table with the visit that each is of, id: of those of its unit's id the nearest in
 * time; of two, the one that ended then, as a unit window's rows do. What names the unit by its
 * serial belongs to the last visit of its station that had begun. */
#define BOUND(table, t)                                                                            \
    "(SELECT f.*, a.id FROM " table " f JOIN a ON f.unit = a.unit AND (f.station = '' OR "         \
    "f.station = a.station) WHERE NOT f.retracted AND coalesce(f.serial, '') = '' QUALIFY "        \
    "row_number() OVER (PARTITION BY f.rowid ORDER BY greatest(a.t_in - epoch_us(f." t             \
    "), epoch_us(f." t ") - a.t_out, 0), a.t_out <> epoch_us(f." t                                 \
    "), a.retracted) = 1 UNION ALL SELECT f.*, s.id FROM " table                                   \
    " f JOIN s ON f.serial = s.serial AND f.station = s.station AND f." t                          \
    " >= s.t_in - INTERVAL '2s' AND f." t " < s.next_in WHERE NOT f.retracted AND f.serial <> '')"

/* The last word, and of one moment's words the worst. */
#define LAST_VERDICT                                                                               \
    "arg_max(verdict, epoch_us(decided_at) * 4 + CASE verdict WHEN 'scrap' THEN 3 WHEN 'fail' "    \
    "THEN 2 WHEN 'rework' THEN 1 ELSE 0 END)"

static const char sql_visits[] =
    SQL_VISITS SQL_STAYS "m AS (SELECT id, " TRACE_SQL_OK " AS ok FROM " BOUND(
        "measures",
        "measured_at") " QUALIFY row_number() OVER (PARTITION BY id, operation, characteristic "
                       "ORDER BY known_at "
                       "DESC, revision DESC) = 1), "
                       "v AS (SELECT id, bool_and(ok) AS ok FROM m GROUP BY id), "
                       "d AS (SELECT id, string_agg(DISTINCT defect, ', ' ORDER BY defect) AS "
                       "defects FROM " BOUND(
                           "defects",
                           "detected_at") " GROUP BY id), "
                                          "w AS (SELECT id, " LAST_VERDICT " AS said FROM " BOUND(
                                              "verdicts",
                                              "decided_at") " GROUP BY id) "
                                                            "SELECT s.unit, s.serial, s.station, "
                                                            "s.t_in, s.t_out, s.status, CASE WHEN "
                                                            "w.said <> '' "
                                                            "THEN w.said WHEN d.defects <> ''  "
                                                            "THEN 'fail' WHEN s.result IN "
                                                            "('pass', 'fail') THEN "
                                                            "s.result WHEN v.ok THEN 'pass' WHEN "
                                                            "NOT v.ok THEN 'fail' ELSE 'unknown' "
                                                            "END, "
                                                            "coalesce(d.defects, ''), s.sure FROM "
                                                            "s LEFT JOIN v ON s.id = v.id LEFT "
                                                            "JOIN d ON s.id = d.id "
                                                            "LEFT JOIN w ON s.id = w.id ORDER BY "
                                                            "s.t_out DESC";

static int visit_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct listing *l = ctx;
    int err = batch_builder_row(l->bb, cells[4].i64);
    err = err < 0 ? err : OK;
    for (uint32_t i = 0; !err && i < count; i++)
        err = batch_set_value(l->bb, i, &cells[i]);
    return err;
}

/* *ret is to be freed whatever is returned. */
static int listing_prepare(struct listing *l, const char *sql, struct duck_stmt **ret)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(l->conn, sql, &s, l->diag);
    *ret = s;
    if (!err)
        err = duck_bind_time(s, 1, l->since_us);
    if (!err)
        err = duck_bind_i64(s, 2, l->limit);
    if (!err)
        err = duck_bind_time(s, 3, l->until_us);
    return err ? err : duck_bind_text(s, 4, l->station);
}

/* The serials of the answer's visits. */
static const char sql_serials[] = SQL_ANSWER
    " SELECT DISTINCT serial FROM units WHERE unit IN (SELECT unit FROM p) AND serial <> ''";

/* Serials that come around, and when. */
struct around {
    struct listing *listing;
    struct buf serials; /* one a line */
    struct buf times;
};

static int around_add(struct around *a, const char *serial, const struct trace_span *bearers,
                      uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const char *line = a->serials.len ? "\n" : "";
        (void)buf_printf(&a->serials, "%s%s", line, serial);
        (void)buf_printf(&a->times, "%s%" PRId64, line, bearers[i].from);
    }
    return buf_error(&a->serials) ? ERR_NOMEM : buf_error(&a->times);
}

static int serial_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct around *a = ctx;
    struct listing *l = a->listing;
    int64_t after_us = bearer_after(&l->trace->reused, cells[0].bytes);
    const struct trace_index index = {l->trace, &l->arena, TRACE_NO_END_US, l->diag};
    struct trace_entries told = {0};
    (void)count;
    if (!after_us)
        return OK;
    const char *serial = arena_copy(&l->arena, cells[0].bytes);
    int err = serial ? trace_index_find_sides(&index, &serial, 1,
                                              TRACE_SIDE_NAMES | TRACE_SIDE_CHILDREN, &told)
                     : ERR_NOMEM;
    if (err)
        return err;
    uint32_t bearers = 0;
    const struct trace_span *spans =
        trace_bearers(&l->arena, told.items, told.count, after_us, &bearers);
    return spans ? around_add(a, serial, spans, bearers) : ERR_NOMEM;
}

static int around_find(struct around *a)
{
    struct listing *l = a->listing;
    struct duck_stmt *s = NULL;
    int err = l->trace->reused.count ? listing_prepare(l, sql_serials, &s) : OK;
    if (!err && s)
        err = duck_run(s, serial_row, a, l->diag);
    duck_stmt_free(s);
    if (!err && !a->serials.len)
        err = buf_append_text(&a->times, "0"); /* nobody's */
    return err;
}

static int visits_list(struct listing *l)
{
    struct around around = {.listing = l};
    struct duck_stmt *s = NULL;
    int err = around_find(&around);
    if (!err)
        err = listing_prepare(l, sql_visits, &s);
    if (!err)
        err = duck_bind_text(s, 5, buf_text(&around.serials));
    if (!err)
        err = duck_bind_text(s, 6, buf_text(&around.times));
    if (!err)
        err = duck_run(s, visit_row, l, l->diag);
    duck_stmt_free(s);
    buf_fini(&around.serials);
    buf_fini(&around.times);
    return err;
}

/* -------------------------------------------------------------------------------------- bad units
 */

/* The binds as above; $5 so many µs, within which no serial comes around. More names than units:
 * each unit has several, and some were reworked since. */
#define BAD(table, time, what)                                                                     \
    "SELECT CASE WHEN serial <> '' THEN serial ELSE unit END AS name, " time " AS t FROM " table   \
    " WHERE " time " BETWEEN $1 AND $3 AND NOT retracted AND ($4 = '' OR station = '' OR station " \
    "= $4) AND " what

#define BAD_STEPS                                                                                  \
    "SELECT unit AS name, t_out AS t FROM steps WHERE t_out BETWEEN $1 AND $3 AND result = "       \
    "'fail' AND ($4 = '' OR station = $4)"
#define BAD_DEFECTS  BAD("defects", "detected_at", "true")
#define BAD_VERDICTS BAD("verdicts", "decided_at", "verdict <> 'pass'")
#define BAD_MEASURES BAD("measures", "measured_at", "NOT (" TRACE_SQL_OK ")")
#define AND_ALSO     " UNION ALL "

static const char sql_bad[] =
    "SELECT name, max(t) FROM (" BAD_STEPS AND_ALSO BAD_DEFECTS AND_ALSO BAD_VERDICTS AND_ALSO
        BAD_MEASURES ") GROUP BY name, epoch_us(t) // $5 ORDER BY 2 DESC LIMIT $2 * 8";

static int name_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct listing *l = ctx;
    if (count != 2)
        return ERR_INTERNAL;
    const char *name = arena_copy(&l->arena, cells[0].bytes);
    l->names[l->name_count++] = (struct named){name, cells[1].i64};
    return name ? OK : ERR_NOMEM;
}

static bool is_bad(const char *verdict)
{
    return strcmp(verdict, "fail") == 0 || strcmp(verdict, "rework") == 0 ||
           strcmp(verdict, "scrap") == 0;
}

/* The last visit with the unit's verdict, of those that were the likeliest this unit's. */
static const struct story_visit *visit_of_verdict(const struct story *s)
{
    const struct story_visit *best = NULL;
    for (uint32_t i = s->visit_count; i > 0; i--) {
        const struct story_visit *v = &s->visits[i - 1];
        if (strcmp(v->verdict, s->verdict) == 0 && (!best || story_sure(v) > story_sure(best)))
            best = v;
    }
    return best;
}

static void defects_print(const struct story *s, const struct story_visit *v, struct buf *out)
{
    for (uint32_t i = 0; i < s->fact_count; i++) {
        const struct story_fact *f = &s->facts[i];
        if (!f->dropped && f->kind == STORY_DEFECT && &s->visits[f->visit] == v)
            (void)buf_printf(out, "%s%s", out->len ? ", " : "", f->name);
    }
}

static int bad_fill(const struct story *s, const struct story_visit *v, struct batch_builder *bb)
{
    struct buf defects = {0};
    const char *texts[] = {story_unit(s), story_name(s, 0), v->station, NULL,
                           NULL,          v->status,        s->verdict};
    defects_print(s, v, &defects);
    int err = batch_builder_row(bb, v->t_out != INT64_MIN ? v->t_out : v->t_in);
    err = err < 0 ? err : OK;
    for (uint32_t i = 0; !err && i < 7; i++)
        if (texts[i])
            err = batch_set_bytes(bb, i, bytes_of_text(texts[i]));
    if (!err)
        err = batch_set_bytes(bb, 7, buf_bytes(&defects));
    if (!err && v->t_in != INT64_MIN)
        batch_set_i64(bb, 3, v->t_in);
    if (!err && v->t_out != INT64_MIN)
        batch_set_i64(bb, 4, v->t_out);
    if (!err)
        batch_set_f64(bb, 8, story_sure(v));
    buf_fini(&defects);
    return err;
}

/* A name of a unit that no other unit has. NULL: no memory. */
static const char *name_own(const struct listing *l, struct story *s, const struct story_key *key)
{
    if (!bearer_after(&l->trace->reused, bytes_of_text(key->text)))
        return key->text;
    return arena_printf(&s->arena, "%s\n%" PRId64, key->text, key->time.from);
}

/* Whether the unit is bad as asked for; its other names are then known too. */
static int bad_look(struct listing *l, const struct named *name, struct map *known)
{
    struct story s = {.trace = l->trace,
                      .at_us = name->at_us,
                      .conn = l->conn,
                      .diag = l->diag,
                      .as_of_us = TRACE_NO_END_US,
                      .depth_max = UNITS_DEPTH};
    int err = story_read(&s, name->text);
    const char *own = err ? "" : name_own(l, &s, s.keys[0]);
    const struct story_visit *v =
        err || !own || map_find_text(known, own) ? NULL : visit_of_verdict(&s);
    bool wanted = v && is_bad(s.verdict) &&
                  (strcmp(l->verdict, "bad") == 0 || strcmp(l->verdict, s.verdict) == 0) &&
                  (!l->station[0] || strcmp(l->station, v->station) == 0);
    for (uint32_t i = 0; !err && i < s.key_count; i++) {
        if (s.keys[i]->subject != 0 || s.keys[i]->refused)
            continue;
        own = name_own(l, &s, s.keys[i]);
        err = own ? map_put(known, bytes_of_text(own), l, NULL) : ERR_NOMEM;
    }
    if (!err && wanted)
        err = bad_fill(&s, v, l->bb);
    story_fini(&s);
    return err == ERR_NOT_FOUND ? OK : err;
}

static int bad_names(struct listing *l)
{
    struct duck_stmt *s = NULL;
    l->names = arena_array(&l->arena, (size_t)l->limit * 8 + 1, sizeof *l->names);
    int err = l->names ? listing_prepare(l, sql_bad, &s) : ERR_NOMEM;
    if (!err)
        err = duck_bind_i64(s, 5, bearer_after_least(&l->trace->reused));
    if (!err)
        err = duck_run(s, name_row, l, l->diag);
    duck_stmt_free(s);
    return err;
}

static int bad_list(struct listing *l)
{
    struct map known = {0};
    int err = bad_names(l);
    for (uint32_t i = 0; !err && i < l->name_count; i++) {
        if (batch_builder_rows(l->bb) == (uint32_t)l->limit)
            break;
        if (trace_is_late(l->call)) {
            err = diag_set(l->diag, ERR_TIMEOUT, 0, 0,
                           "%u of %u units were looked at: ask for less time, or a smaller limit",
                           i, l->name_count);
        } else if (!map_find_text(&known, l->names[i].text)) {
            err = bad_look(l, &l->names[i], &known);
        }
    }
    map_fini(&known);
    return err;
}

/* --------------------------------------------------------------------------------------- the call
 */

static int text_read(struct listing *l, const char *name, const char **ret)
{
    struct value v = {.type = VALUE_NULL};
    *ret = "";
    if (call_arg(l->call, name).type == VALUE_NULL)
        return OK;
    int err = trace_read_key(l->call, name, &v, l->diag);
    if (!err)
        *ret = arena_copy(&l->arena, v.bytes);
    return err ? err : *ret ? OK : ERR_NOMEM;
}

static int listing_read(struct listing *l)
{
    struct value limit = call_arg(l->call, "limit");
    l->limit = limit.type == VALUE_NULL ? UNITS_DEFAULT : limit.i64;
    if (l->limit < 1 || l->limit > TRACE_UNITS_MAX)
        return diag_set(l->diag, ERR_RANGE, 0, 0, "limit is 1 to %d", TRACE_UNITS_MAX);
    int err = trace_read_time(l->call, "since", 0, &l->since_us, l->diag);
    if (!err)
        err = trace_read_time(l->call, "until", TRACE_NO_END_US, &l->until_us, l->diag);
    if (!err)
        err = text_read(l, "station", &l->station);
    if (!err)
        err = text_read(l, "verdict", &l->verdict);
    if (!err && l->verdict[0] && !is_bad(l->verdict) && strcmp(l->verdict, "bad") != 0)
        err = diag_set(l->diag, ERR_INVALID, 0, 0, "verdict is bad, fail, rework or scrap");
    return err;
}

void trace_units_serve(void *owner, struct call *c)
{
    struct trace *t = owner;
    struct diag diag = {0};
    struct listing l = {.call = c, .trace = t, .diag = &diag};
    int err = listing_read(&l);
    if (!err)
        err = call_answer_builder(c, (uint32_t)l.limit, &l.bb);
    if (!err)
        err = historian_reader_open(t->historian, &l.conn);
    if (!err)
        err = l.verdict[0] ? bad_list(&l) : visits_list(&l);
    if (l.conn)
        historian_reader_close(t->historian, l.conn);
    arena_fini(&l.arena);
    if (!err) {
        call_answer_rows(c, l.bb);
        return;
    }
    batch_builder_free(l.bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
