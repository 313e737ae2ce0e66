/* The call trace.forward: the containment, every unit that a suspicion reaches. See trace.h.
 *
 * A suspicion is a serial or a lot, a factor (`nozzle=3`), or a station during some time. From its
 * units the walk follows the links to the children, step by step, all names of a step together. A
 * name that was met is not met again, so cycles end; a link counts only if it was made after the
 * suspicion had reached its parent. Depth and number of units have limits, and the answer says when
 * one of them cut something off: a containment that is not complete must not look as if it were.
 */
#include "base/clock.h"
#include "trace/story.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORWARD_UNITS_DEFAULT 1000
#define FORWARD_UNITS_MAX     20000
#define FORWARD_NAMES_MAX     400000 /* of all units: each has several */
#define FORWARD_ASKED_MAX     4000   /* names in one question to the index */

static const struct call_field forward_request[] = {
    {"from", VALUE_STRING, 0, false, "a serial, a unit's id, a lot, or a factor as NAME=VALUE"},
    {"station", VALUE_STRING, 0, false, "instead of from: what was at this station"},
    {"since", VALUE_STRING, 0, false, "only what happened from this time on (RFC 3339)"},
    {"until", VALUE_STRING, 0, false, "only what happened until this time (RFC 3339)"},
    {"as_of", VALUE_STRING, 0, false, "as known at this time (RFC 3339); default: now"},
    {"depth", VALUE_INT64, 0, false, "steps through the genealogy, 0 to 32; default 32"},
    {"limit", VALUE_INT64, 0, false, "units at most; default 1000, at most 20000"},
    {0},
};

static const struct call_field forward_answer[] = {
    {"from", VALUE_STRING, 0, true, "what was asked for"},
    {"count", VALUE_INT64, 0, true, "units found"},
    {"truncated", VALUE_BOOL, 0, true, "a limit cut something off: there are more"},
    {"reason", VALUE_STRING, 0, false, "which limit that was"},
    {"units", VALUE_STRING, FIELD_JSON, true,
     "the units, the nearest first: serial, unit, depth, via, kind, at, station, seen, "
     "probability, quantity (of what was reached before, how much went into it)"},
    {"possible", VALUE_INT64, 0, true,
     "how many of them are only possible (probability below 1): it may have been another unit, or "
     "the factor changed while it was there"},
    {"certain", VALUE_INT64, 0, true, "how many of them are certain"},
    {"expected", VALUE_DOUBLE, 0, true, "how many units to expect: the sum of their probabilities"},
    {"quantity", VALUE_DOUBLE, 0, false,
     "how much of what was asked for went on: the sum of the quantities that its links tell"},
    {0},
};

const struct call_spec trace_forward_spec = {
    .name = "trace.forward",
    .doc = "Finds every unit that a serial, a lot, a factor or a station's time reaches.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = forward_request,
    .answer = forward_answer,
};

/* A unit (or lot) of the containment; several may turn out to be one. */
struct reached {
    struct reached *same; /* NULL, or the one that it turned out to be */
    const char *name;     /* the name it was met by, later its serial */
    const char *unit;     /* an id, "" = no track saw it */
    const char *via;      /* the parent's name; "" = a beginning */
    const char *kind;     /* of the link from there */
    const char *station;  /* where it was last */
    int64_t at;           /* since when it is suspect; INT64_MIN = always */
    int64_t seen;         /* last */
    double sure;          /* that it was reached, and not another unit */
    double quantity;      /* of what was reached before, so much went into it; NaN = not said */
    uint32_t depth;
    bool is_unit; /* a track saw it, or rows tell of it */
    bool seed;
    bool claimed; /* an id that a serial leads to, and that has not confirmed it */
};

/* Of a serial that comes around there is a name of each link that leads to it, until the index has
 * told which bearer that is; those of one bearer are one then. */
struct name {
    const char *text;
    struct reached *reached;
    int64_t at_us;          /* when it was met */
    struct trace_span time; /* while it was this unit's */
    struct name *next;      /* another bearer of the same serial, as the index has told */
    bool again;             /* another name stands for it */
};

struct forward {
    struct trace *trace;
    struct duck_conn *conn;
    struct arena arena;
    struct diag *diag;
    int64_t since_us;
    int64_t until_us;
    int64_t as_of_us;
    uint32_t depth_max;
    uint32_t units_max;
    const char *reason; /* of being cut off; NULL = it is whole */
    struct map names;   /* text → struct name */
    struct map links;   /* link_key → double: how likely it is, if not certain; 0: taken back */
    struct map weighed; /* link, kind and position → double: the quantity that was counted */
    struct reached *origin; /* what was asked for, if it is no factor and no station */
    double quantity;        /* of it, so much went on; NaN = not said */
    struct name **list;     /* in the order in which they were met */
    uint32_t name_count;
    uint32_t name_cap;
    uint32_t asked; /* names of the list that were asked for */
    struct reached **all;
    uint32_t all_count;
    uint32_t all_cap;
    uint32_t unit_count; /* of all, without those that are the same */
};

/* ----------------------------------------------------------------------------------------- names
 */

static struct reached *reached_own(struct reached *r)
{
    while (r->same)
        r = r->same;
    return r;
}

static void forward_cut(struct forward *f, const char *reason)
{
    f->reason = f->reason ? f->reason : reason;
}

/* NULL: a limit, or no memory. */
static struct reached *reached_add(struct forward *f, const char *name, uint32_t depth)
{
    if (f->unit_count > f->units_max) {
        forward_cut(f, "limit");
        return NULL;
    }
    struct reached *r = arena_alloc(&f->arena, sizeof *r);
    struct reached **all =
        arena_room(&f->arena, f->all, f->all_count, &f->all_cap, sizeof(struct reached *));
    if (!r || !all)
        return NULL;
    f->all = all;
    *r = (struct reached){.name = name,
                          .unit = "",
                          .via = "",
                          .kind = "",
                          .station = "",
                          .at = INT64_MIN,
                          .seen = INT64_MIN,
                          .sure = 1,
                          .quantity = (double)NAN,
                          .depth = depth};
    f->all[f->all_count++] = r;
    f->unit_count++;
    return r;
}

/* What the name of that time is found by: itself, unless the serial comes around. NULL: no memory.
 */
static const char *name_key(struct forward *f, const char *text, int64_t at_us)
{
    if (!bearer_after(&f->trace->reused, bytes_of_text(text)))
        return text;
    return arena_printf(&f->arena, "%s\n%" PRId64, text, at_us);
}

/* Bearers of a serial that the index has told of: the first, and by `next` the others. */
static const char *bearers_key(struct forward *f, const char *text)
{
    return arena_printf(&f->arena, "%s\n#", text);
}

static struct name *name_find(struct forward *f, const char *text, int64_t at_us)
{
    const char *key = name_key(f, text, at_us);
    struct name *n = key ? map_find_text(&f->names, key) : NULL;
    if (n || key == text)
        return n;
    key = bearers_key(f, text);
    n = key ? map_find_text(&f->names, key) : NULL;
    while (n && !trace_span_has(n->time, at_us))
        n = n->next;
    return n;
}

/* Gives the name to r; NULL: a limit, or no memory. */
static struct name *name_add(struct forward *f, const char *text, int64_t at_us, struct reached *r)
{
    const char *key = name_key(f, text, at_us);
    if (f->name_count == FORWARD_NAMES_MAX) {
        forward_cut(f, "names");
        return NULL;
    }
    struct name *n = arena_alloc(&f->arena, sizeof *n);
    struct name **list =
        arena_room(&f->arena, f->list, f->name_count, &f->name_cap, sizeof(struct name *));
    if (!key || !n || !list || map_put(&f->names, bytes_of_text(key), n, NULL))
        return NULL;
    f->list = list;
    *n = (struct name){.text = text, .reached = r, .at_us = at_us, .time = trace_span_all};
    f->list[f->name_count++] = n;
    return n;
}

/* NaN is none. */
static void quantity_add(double *sum, double more)
{
    if (!isnan(more))
        *sum = isnan(*sum) ? more : *sum + more;
}

/* Two that turn out to be one: the nearer one stays, suspect since the earlier time. */
static void reached_join(struct forward *f, struct reached *a, struct reached *b)
{
    a = reached_own(a);
    b = reached_own(b);
    if (a == b)
        return;
    struct reached *near = b->depth < a->depth ? b : a;
    struct reached *far = near == a ? b : a;
    far->same = near;
    near->at = far->at < near->at ? far->at : near->at;
    near->sure = fmax(near->sure, far->sure);
    quantity_add(&near->quantity, far->quantity);
    near->seed = near->seed || far->seed;
    near->is_unit = near->is_unit || far->is_unit;
    f->unit_count -= !near->claimed && !far->claimed;
    near->claimed = near->claimed && far->claimed;
}

/* A further name of r's unit. */
static void name_share(struct forward *f, const char *text, int64_t at_us, struct reached *r)
{
    struct name *known = name_find(f, text, at_us);
    if (known)
        reached_join(f, known->reached, r);
    else
        (void)name_add(f, text, at_us, r);
}

/* An id that had the serial, at least once: whether it still has it, its own entries tell. */
static void name_claim(struct forward *f, const char *text, const struct reached *r)
{
    if (name_find(f, text, 0))
        return;
    struct reached *claimed = reached_add(f, text, r->depth);
    if (!claimed)
        return;
    f->unit_count--;
    claimed->claimed = true;
    claimed->sure = r->sure;
    claimed->at = r->at;
    claimed->via = r->via;
    claimed->kind = r->kind;
    (void)name_add(f, text, 0, claimed);
}

/* at: since when it is suspect; when: of those who bore the serial, the one of then. */
static struct reached *seed_add(struct forward *f, const char *text, int64_t at, int64_t when,
                                double sure)
{
    struct name *known = name_find(f, text, when);
    struct reached *r = known ? reached_own(known->reached) : reached_add(f, text, 0);
    if (!r || (!known && !name_add(f, text, when, r)))
        return NULL;
    r->at = known && r->at < at ? r->at : at;
    r->sure = known ? fmax(r->sure, sure) : sure;
    r->seed = true;
    return r;
}

/* -------------------------------------------------------------------------------------- the walk
 */

static void take_alias(struct forward *f, const struct name *n, const struct trace_entry *e)
{
    bool read = e->other[0] && e->other[0] != '?';
    if (read)
        name_share(f, e->other, e->t_from, reached_own(n->reached));
    struct reached *r = reached_own(n->reached);
    r->is_unit = true;
    if (read)
        r->name = e->other;
    if (e->t_to >= r->seen) {
        const char *slash = strrchr(e->kind, '/');
        r->seen = e->t_to;
        r->unit = n->text;
        r->station = slash ? slash + 1 : e->kind;
    }
}

/* Of the arena; NULL: no memory. */
static const char *link_key(struct forward *f, const char *parent, const char *child, int64_t at)
{
    return arena_printf(&f->arena, "%s\n%s\n%" PRId64, parent, child, at);
}

#define LINK_STANDS TRACE_SQL_STANDS("child", "valid_from", "$2")
#define LINK_SHARE  TRACE_SQL_SHARE("child", "valid_from", "$2")

/* $1 names of children, one a line; $2 as of */
static const char sql_links[] =
    "SELECT * FROM (SELECT parent, child, valid_from, CASE WHEN " LINK_STANDS " THEN " LINK_SHARE
    " ELSE 0 END AS sure FROM links f WHERE child IN (SELECT unnest(string_split($1, '\n')))) "
    "WHERE sure < 1";

static int link_row(void *ctx, const struct value *c, uint32_t count)
{
    struct forward *f = ctx;
    if (count != 4)
        return ERR_INTERNAL;
    const char *parent = arena_copy(&f->arena, c[0].bytes);
    const char *child = arena_copy(&f->arena, c[1].bytes);
    const char *key = parent && child ? link_key(f, parent, child, c[2].i64) : NULL;
    double *sure = arena_alloc(&f->arena, sizeof *sure);
    if (!key || !sure)
        return ERR_NOMEM;
    *sure = c[3].f64;
    return map_put(&f->links, bytes_of_text(key), sure, NULL);
}

/* Which of the links to these children are of a stay that was taken back, or that may have been
 * another unit's. The index does not know. */
static int links_read(struct forward *f, const struct trace_entries *entries)
{
    struct duck_stmt *s = NULL;
    struct buf names = {0};
    for (uint32_t i = 0; i < entries->count; i++)
        if (entries->items[i].role == TRACE_HAS_CHILD)
            (void)buf_printf(&names, "%s%s", names.len ? "\n" : "", entries->items[i].other);
    int err = buf_error(&names);
    if (!err && names.len)
        err = duck_prepare(f->conn, sql_links, &s, f->diag);
    if (s) {
        err = duck_bind_text(s, 1, buf_text(&names));
        if (!err)
            err = duck_bind_time(s, 2, f->as_of_us);
        if (!err)
            err = duck_run(s, link_row, f, f->diag);
    }
    duck_stmt_free(s);
    buf_fini(&names);
    return err;
}

static double link_sure(struct forward *f, const struct name *n, const struct trace_entry *e)
{
    const char *key = f->links.count ? link_key(f, n->text, e->other, e->t_from) : NULL;
    const double *sure = key ? map_find_text(&f->links, key) : NULL;
    return sure ? *sure : 1;
}

/* What a link says that went from parent to child. Who says it again, of the same time, corrects
 * it.
 */
static void take_quantity(struct forward *f, const struct name *n, const struct trace_entry *e,
                          struct reached *child)
{
    const char *link = isnan(e->quantity) ? NULL : link_key(f, n->text, e->other, e->t_from);
    const char *key =
        link ? arena_printf(&f->arena, "%s\n%s\n%s", link, e->kind, e->position) : NULL;
    if (!key)
        return;
    double *counted = map_find_text(&f->weighed, key);
    if (!counted) {
        counted = arena_alloc(&f->arena, sizeof *counted);
        if (!counted || map_put(&f->weighed, bytes_of_text(key), counted, NULL))
            return;
        *counted = 0;
    }
    quantity_add(&child->quantity, e->quantity - *counted);
    if (f->origin && reached_own(n->reached) == reached_own(f->origin))
        quantity_add(&f->quantity, e->quantity - *counted);
    *counted = e->quantity;
}

static void take_child(struct forward *f, const struct name *n, const struct trace_entry *e,
                       double sure)
{
    struct reached *r = reached_own(n->reached);
    /* Of a lot or a serial, the time that was asked for is when it was used; a factor's or a
     * station's units have been chosen by it already. */
    bool in_time = r->at == INT64_MIN ? e->t_from >= f->since_us && e->t_from <= f->until_us
                                      : e->t_from >= r->at - STORY_LATE_US;
    const struct name *known = name_find(f, e->other, e->t_from);
    if (!in_time || sure <= 0)
        return;
    if (known) {
        struct reached *own = reached_own(known->reached);
        own->sure = fmax(own->sure, r->sure * sure);
        take_quantity(f, n, e, own);
        return;
    }
    if (r->depth >= f->depth_max) {
        forward_cut(f, "depth");
        return;
    }
    struct reached *child = reached_add(f, e->other, r->depth + 1);
    if (!child || !name_add(f, e->other, e->t_from, child))
        return;
    child->via = r->name;
    child->sure = r->sure * sure;
    child->kind = e->kind;
    child->at = e->t_from;
    take_quantity(f, n, e, child);
}

static bool name_has(const struct name *n, const struct trace_entry *e)
{
    return !n->again && trace_span_has(n->time, e->t_from);
}

static void take(struct forward *f, const struct name *n, const struct trace_entry *e)
{
    struct reached *r = reached_own(n->reached);
    if (!name_has(n, e))
        return;
    if (r->claimed)
        return; /* the serial was corrected: it is another unit's */
    if (e->role == TRACE_IS_UNIT)
        name_claim(f, e->other, r);
    else if (e->role == TRACE_HAS_ROWS)
        r->is_unit = true;
    else if (e->role == TRACE_HAS_CHILD)
        take_child(f, n, e, link_sure(f, n, e));
}

/* Of the entries of one visit the latest revision alone says what its serial is. */
static int take_aliases(struct forward *f, const struct trace_entries *entries, uint32_t first)
{
    struct map latest = {0};
    int err = OK;
    for (uint32_t i = 0; !err && i < entries->count; i++) {
        struct trace_entry *e = &entries->items[i];
        const char *visit = arena_printf(&f->arena, "%u %s", e->key, e->kind);
        if (e->role != TRACE_IS_SERIAL || !name_has(f->list[first + e->key], e))
            continue;
        const struct trace_entry *known = visit ? map_find_text(&latest, visit) : NULL;
        bool newer = !known || e->revision > known->revision ||
                     (e->revision == known->revision && e->known_at >= known->known_at);
        err = !visit ? ERR_NOMEM : newer ? map_put(&latest, bytes_of_text(visit), e, NULL) : OK;
    }
    for (size_t i = 0; !err && i < latest.count; i++) {
        const struct trace_entry *e = latest.entries[i].value;
        take_alias(f, f->list[first + e->key], e);
    }
    map_fini(&latest);
    return err;
}

/* Which bearer of its serial a name is, of its own entries. One that was met already stands for
 * it. */
static int bearer_find(struct forward *f, struct name *n, const struct trace_entry *own,
                       uint32_t count)
{
    int64_t after_us = bearer_after(&f->trace->reused, bytes_of_text(n->text));
    if (!after_us || !count)
        return OK;
    struct trace_span *spans = trace_bearers(&f->arena, own, count, after_us, &count);
    const char *key = bearers_key(f, n->text);
    if (!spans || !key)
        return ERR_NOMEM;
    n->time = bearer_time(spans, count, bearer_at(spans, count, n->at_us));
    struct name *first = map_find_text(&f->names, key);
    for (struct name *o = first; o && !n->again; o = o->next) {
        n->again = o->time.from == n->time.from;
        if (n->again)
            reached_join(f, o->reached, n->reached);
    }
    n->next = first;
    return n->again ? OK : map_put(&f->names, bytes_of_text(key), n, NULL);
}

static int bearers_find(struct forward *f, const struct trace_entries *entries, uint32_t first,
                        uint32_t count)
{
    const struct trace_entry *next = entries->items;
    uint32_t left = entries->count;
    int err = OK;
    for (uint32_t k = 0; !err && k < count && f->trace->reused.count; k++) {
        const struct trace_entry *own = next;
        uint32_t own_count = 0;
        for (; left && next->key == k; next++, left--)
            own_count++;
        err = bearer_find(f, f->list[first + k], own, own_count);
    }
    return err;
}

/* The names that were met and not asked for; false when there are none. */
static int round_ask(struct forward *f, bool *ret_more)
{
    const char **texts = arena_array(&f->arena, FORWARD_ASKED_MAX, sizeof *texts);
    const struct trace_index index = {f->trace, &f->arena, f->as_of_us, f->diag};
    struct trace_entries entries = {0};
    uint32_t first = f->asked;
    uint32_t count = 0;
    if (!texts)
        return ERR_NOMEM;
    while (f->asked < f->name_count && count < FORWARD_ASKED_MAX)
        texts[count++] = f->list[f->asked++]->text;
    *ret_more = count > 0;
    int err = trace_index_find_sides(&index, texts, count, TRACE_SIDE_NAMES | TRACE_SIDE_CHILDREN,
                                     &entries);
    if (entries.truncated)
        forward_cut(f, "entries");
    if (!err)
        err = bearers_find(f, &entries, first, count);
    if (!err)
        err = links_read(f, &entries);
    if (!err)
        err = take_aliases(f, &entries, first);
    for (uint32_t i = 0; !err && i < entries.count; i++)
        take(f, f->list[first + entries.items[i].key], &entries.items[i]);
    return err;
}

/* ----------------------------------------------------------------------------------------- seeds
 */

/* f: the rows that say so. $1 name, $2 value, $3 since, $4 until, $5 as of, $6 rows at most, $7 so
 * many µs, within which no serial comes around */
#define SQL_SAID                                                                                   \
    "f AS MATERIALIZED (SELECT * FROM factors f WHERE (name = $1 OR ($1 = '' AND kind = "          \
    "'material')) AND value = $2 AND \"at\" BETWEEN $3 AND $4 AND known_at <= $5 AND NOT "         \
    "retracted AND " TRACE_SQL_STANDS("unit", "\"at\"", "$5") "), "

/* h: of factors of which something else was said within the stay too, how much of it each value
 * was so: until the next, or all of it if it was said of the whole, at its end. What was corrected
 * was so at no time (place > 1), and of several values at once, as of several feeders, each all the
 * time. bind.c does the same for one unit. */
#define SQL_CHANGED                                                                                \
    "g AS (SELECT unit, station, rule, operation, kind, name, value, \"at\", rank() OVER "         \
    "(PARTITION BY unit, station, rule, operation, kind, name, \"at\" ORDER BY revision DESC) AS " \
    "place FROM factors WHERE serial = '' AND unit IN (SELECT unit FROM f WHERE serial = '') AND " \
    "name IN (SELECT name FROM f) AND known_at <= $5 AND NOT retracted), "                         \
    "m AS (SELECT unit, name FROM g GROUP BY 1, 2 HAVING count(DISTINCT value) > 1), "             \
    "s AS (SELECT * FROM steps WHERE unit IN (SELECT unit FROM m) AND known_at <= $5 QUALIFY "     \
    "row_number() OVER (PARTITION BY node, track, unit, station, coalesce(visit, 0) ORDER BY "     \
    "revision DESC, known_at DESC) = 1), "                                                         \
    "d AS (SELECT g.*, s.t_in, s.t_out, s.track, s.station AS there, s.visit, count(*) OVER "      \
    "(PARTITION BY g.unit, g.station, g.rule, g.operation, g.kind, g.name, g.\"at\", g.place, "    \
    "s.track, s.station, s.visit) AS beside FROM g JOIN m ON g.unit = m.unit AND g.name = m.name " \
    "JOIN s ON s.unit = g.unit AND (g.station = '' OR g.station = s.station) AND g.\"at\" >= "     \
    "s.t_in AND g.\"at\" <= s.t_out AND NOT s.retracted), "                                        \
    "e AS (SELECT *, epoch_us(t_in) AS i, epoch_us(t_out) AS o, epoch_us(coalesce(lead(\"at\") "   \
    "OVER w, t_out)) - epoch_us(CASE WHEN lag(\"at\") OVER w IS NULL THEN t_in ELSE \"at\" END) "  \
    "AS span, bool_or(\"at\" = t_out) OVER v AS whole, max(CASE WHEN place = 1 THEN beside ELSE "  \
    "1 END) OVER v AS most FROM d WINDOW w AS (PARTITION BY unit, station, rule, operation, "      \
    "kind, name, track, there, visit, place = 1 ORDER BY \"at\"), v AS (PARTITION BY unit, "       \
    "station, rule, operation, kind, name, track, there, visit)), "                                \
    "h AS (SELECT unit, rule, operation, kind, name, value, t_in, t_out, CASE WHEN "               \
    "bool_or(whole) THEN max(CASE WHEN \"at\" = t_out AND place = 1 THEN 1 ELSE 0 END) WHEN "      \
    "max(most) > 1 THEN max(CASE WHEN place = 1 THEN 1 ELSE 0 END) ELSE sum(CASE WHEN place = 1 "  \
    "THEN span ELSE 0 END) / (max(o) - max(i)) END AS share FROM e GROUP BY unit, station, rule, " \
    "operation, kind, name, value, t_in, t_out, track, there, visit) "

#define SQL_SURE TRACE_SQL_SHARE("unit", "\"at\"", "$5") " * coalesce(h.share, 1)"

static const char sql_factor[] =
    "WITH " SQL_SAID SQL_CHANGED
    "SELECT CASE WHEN f.serial = '' THEN f.unit ELSE f.serial END AS name, min(f.\"at\"), "
    "max(" SQL_SURE
    ") AS sure FROM f LEFT JOIN h ON f.serial = '' AND f.unit = h.unit AND f.rule = h.rule AND "
    "f.operation = h.operation AND f.kind = h.kind AND f.name = h.name AND f.value = h.value AND "
    "f.\"at\" >= h.t_in AND f.\"at\" <= h.t_out GROUP BY 1, epoch_us(f.\"at\") // $7 HAVING sure > "
    "0 ORDER BY 2 LIMIT $6";

/* $1 station, $2 and $7 are not used, the others as above */
static const char sql_station[] =
    "SELECT unit, min(coalesce(t_in, t_out)), max(" TRACE_SQL_SURE
    ") FROM steps s WHERE station = $1 AND $2 = $2 AND $7 = $7 AND "
    "coalesce(t_out, t_in) >= $3 AND coalesce(t_in, t_out) <= $4 "
    "AND " TRACE_SQL_LATEST("$5") " GROUP BY unit ORDER BY 2 LIMIT $6";

static int seed_row(void *ctx, const struct value *c, uint32_t count)
{
    struct forward *f = ctx;
    if (count != 3)
        return ERR_INTERNAL;
    const char *name = arena_copy(&f->arena, c[0].bytes);
    if (!name)
        return ERR_NOMEM;
    (void)seed_add(f, name, c[1].i64, c[1].i64, c[2].f64);
    return OK;
}

static int seeds_read(struct forward *f, const char *sql, const char *first, const char *second)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(f->conn, sql, &s, f->diag);
    if (!err)
        err = duck_bind_text(s, 1, first);
    if (!err)
        err = duck_bind_text(s, 2, second);
    if (!err)
        err = duck_bind_time(s, 3, f->since_us);
    if (!err)
        err = duck_bind_time(s, 4, f->until_us);
    if (!err)
        err = duck_bind_time(s, 5, f->as_of_us);
    /* A unit has several ids: more rows than units. */
    if (!err)
        err = duck_bind_i64(s, 6, (int64_t)f->units_max * 16 + 1);
    if (!err)
        err = duck_bind_i64(s, 7, bearer_after_least(&f->trace->reused));
    if (!err)
        err = duck_run(s, seed_row, f, f->diag);
    duck_stmt_free(s);
    return err;
}

/* A lot is known by its links, or as the value of a factor, or both. */
static int seeds_find(struct forward *f, const char *from, const char *station)
{
    const char *equals = strchr(from, '=');
    if (station[0])
        return seeds_read(f, sql_station, station, "");
    if (equals && equals != from) {
        const char *name = arena_copy(&f->arena, bytes_of(from, (size_t)(equals - from)));
        return name ? seeds_read(f, sql_factor, name, equals + 1) : ERR_NOMEM;
    }
    f->origin = seed_add(f, from, INT64_MIN, f->until_us, 1);
    if (!f->origin)
        return ERR_NOMEM;
    return seeds_read(f, sql_factor, "", from);
}

/* ---------------------------------------------------------------------------------------- answer
 */

static int reached_compare(const void *a, const void *b)
{
    const struct reached *x = *(struct reached *const *)a;
    const struct reached *y = *(struct reached *const *)b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* A lot is reached, but it is no unit: it has no history of its own. */
static bool reached_counts(const struct reached *r)
{
    return !r->same && !r->claimed && (r->is_unit || !r->seed);
}

static void reached_print(const struct reached *r, bool first, struct buf *out)
{
    char at[CLOCK_TEXT_BYTES_MAX] = "";
    char seen[CLOCK_TEXT_BYTES_MAX] = "";
    const char *const texts[] = {"serial", r->name, "unit", r->unit,   "via",      r->via, "kind",
                                 r->kind,  "at",    at,     "station", r->station, "seen", seen};
    if (r->at != INT64_MIN)
        (void)clock_format(r->at, at);
    if (r->seen != INT64_MIN)
        (void)clock_format(r->seen, seen);
    (void)buf_printf(out, "%s{\"depth\":%u", first ? "" : ",", r->depth);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i += 2) {
        (void)buf_printf(out, ",\"%s\":", texts[i]);
        if (texts[i + 1][0])
            trace_json_string(bytes_of_text(texts[i + 1]), out);
        else
            (void)buf_append_text(out, "null");
    }
    trace_json_number(out, "probability", r->sure);
    trace_json_number(out, "quantity", r->quantity);
    (void)buf_append_u8(out, '}');
}

/* How many units there are. */
struct tally {
    int64_t count;
    int64_t possible; /* of them */
    double expected;
};

static struct tally units_print(struct forward *f, struct buf *out)
{
    struct tally tally = {0};
    if (f->all_count)
        qsort(f->all, f->all_count, sizeof(struct reached *), reached_compare);
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < f->all_count; i++) {
        if (!reached_counts(f->all[i]))
            continue;
        if (tally.count == f->units_max) {
            forward_cut(f, "limit");
            break;
        }
        reached_print(f->all[i], tally.count == 0, out);
        tally.possible += f->all[i]->sure < 1;
        tally.expected += f->all[i]->sure;
        tally.count++;
    }
    (void)buf_append_u8(out, ']');
    return tally;
}

static const char *reason_text(const struct forward *f)
{
    if (strcmp(f->reason, "limit") == 0)
        return "there are more units than limit; ask for a higher one";
    if (strcmp(f->reason, "depth") == 0)
        return "the genealogy goes on beyond depth";
    return "there are more links than one answer can follow: ask for less time";
}

static int answer_fill(struct forward *f, const char *from, struct batch_builder *bb)
{
    struct buf out = {0};
    struct tally tally = units_print(f, &out);
    int err = batch_builder_row(bb, clock_wall_us()) < 0 ? ERR_NOMEM : OK;
    if (!err)
        err = batch_set_bytes(bb, 0, bytes_of_text(from));
    if (!err) {
        batch_set_i64(bb, 1, tally.count);
        batch_set_bool(bb, 2, f->reason != NULL);
        batch_set_i64(bb, 5, tally.possible);
        batch_set_i64(bb, 6, tally.count - tally.possible);
        batch_set_f64(bb, 7, tally.expected);
        if (!isnan(f->quantity))
            batch_set_f64(bb, 8, f->quantity);
    }
    if (!err && f->reason)
        err = batch_set_bytes(bb, 3, bytes_of_text(reason_text(f)));
    if (!err)
        err = buf_error(&out) ? ERR_NOMEM : batch_set_bytes(bb, 4, buf_bytes(&out));
    buf_fini(&out);
    return err;
}

/* --------------------------------------------------------------------------------------- the call
 */

static int text_read(struct forward *f, const struct call *c, const char *name, const char **ret)
{
    struct value v = {.type = VALUE_NULL};
    *ret = "";
    if (call_arg(c, name).type == VALUE_NULL)
        return OK;
    int err = trace_read_key(c, name, &v, f->diag);
    if (!err)
        *ret = arena_copy(&f->arena, v.bytes);
    return err ? err : *ret ? OK : ERR_NOMEM;
}

static int limits_read(struct forward *f, const struct call *c)
{
    struct value limit = call_arg(c, "limit");
    int64_t units = limit.type == VALUE_NULL ? FORWARD_UNITS_DEFAULT : limit.i64;
    if (units < 1 || units > FORWARD_UNITS_MAX)
        return diag_set(f->diag, ERR_RANGE, 0, 0, "limit is 1 to %d", FORWARD_UNITS_MAX);
    f->units_max = (uint32_t)units;
    int err = trace_read_time(c, "since", 0, &f->since_us, f->diag);
    if (!err)
        err = trace_read_time(c, "until", TRACE_NO_END_US, &f->until_us, f->diag);
    if (!err)
        err = trace_read_as_of(c, &f->as_of_us, f->diag);
    return err ? err : trace_read_depth(c, STORY_DEPTH_MAX, &f->depth_max, f->diag);
}

static int forward_run(struct forward *f, const struct call *c, struct batch_builder *bb)
{
    const char *from = NULL;
    const char *station = NULL;
    bool more = true;
    int err = text_read(f, c, "from", &from);
    if (!err)
        err = text_read(f, c, "station", &station);
    if (!err && (from[0] != 0) == (station[0] != 0))
        return diag_set(f->diag, ERR_INVALID, 0, 0,
                        "say from (a serial, a lot, or a factor as NAME=VALUE) or station");
    if (!err)
        err = seeds_find(f, from, station);
    while (!err && more)
        err = round_ask(f, &more);
    if (!err)
        err = answer_fill(f, from[0] ? from : station, bb);
    return err;
}

void trace_forward_serve(void *owner, struct call *c)
{
    struct trace *t = owner;
    struct diag diag = {0};
    struct forward f = {.trace = t, .diag = &diag, .quantity = (double)NAN};
    struct batch_builder *bb = NULL;
    int err = limits_read(&f, c);
    if (!err)
        err = historian_reader_open(t->historian, &f.conn);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = forward_run(&f, c, bb);
    if (f.conn)
        historian_reader_close(t->historian, f.conn);
    map_fini(&f.names);
    map_fini(&f.links);
    map_fini(&f.weighed);
    arena_fini(&f.arena);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
