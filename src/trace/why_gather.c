/* The units of a question, their ancestors and their rows. See why_gather.h.
 *
 * Keys of the tables are texts: serials, and ids of visits, which lead to serials. Here each is a
 * node, found by the hash of its key, so that millions of rows find their units without keeping a
 * name. Each query is cut by time and read once, in the order in which the rows became known.
 */
#include "trace/why_gather.h"

#include "base/array.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FACTS_TO_STOP 4096 /* then it is asked whether to stop */
#define NODE_NONE     UINT32_MAX
#define TABLE_START   4096u
#define NODES_MAX     (16u << 20)

struct node_slot {
    uint64_t hash; /* 0 = empty */
    uint32_t node;
};

struct pair {
    uint32_t from;
    uint32_t to;
    uint32_t weight; /* how likely it is so, of WHY_WHOLE */
};

struct pairs {
    struct pair *list;
    uint32_t count;
    uint32_t cap;
};

struct unit {
    uint32_t node;
    bool bad;
    int64_t at; /* of the test; of a bad unit the first that found the defect */
};

/* A stay that may have been another unit's. */
struct stay {
    uint64_t unit; /* hashes */
    uint64_t station;
    int64_t t_in;
    int64_t t_out;
    uint32_t weight;
};

struct gather {
    struct duck_conn *conn;
    const struct why_question *q;
    struct why_gathered *out;
    struct diag *diag;
    int64_t from_us;
    struct node_slot *slots;
    uint32_t slot_count;
    uint32_t used;
    uint32_t nodes;
    struct unit *units; /* first by node, then by time */
    uint32_t unit_count;
    uint32_t unit_cap;
    struct pairs links;  /* child → parent */
    struct pairs owners; /* node → unit: whose rows are whose factors */
    uint32_t *owner_at;  /* [nodes + 1] into owners */
    struct stay *stays;  /* by unit, then as they came */
    uint32_t stay_count;
    uint32_t stay_cap;
    uint32_t facts; /* looked at */
    struct bearers bearers;
};

/* ----------------------------------------------------------------------------------------- nodes
 */

static struct node_slot *slot_find(struct gather *g, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (g->slot_count - 1);
    while (g->slots[i].hash && g->slots[i].hash != hash)
        i = (i + 1) & (g->slot_count - 1);
    return &g->slots[i];
}

static int slots_grow(struct gather *g)
{
    struct node_slot *old = g->slots;
    uint32_t count = g->slot_count;
    if (g->slots && 2 * (g->used + 1) <= count)
        return OK;
    if (g->used > NODES_MAX)
        return diag_set(g->diag, ERR_LIMIT, 0, 0, "too many units; ask for a shorter time");
    g->slot_count = count ? 2 * count : TABLE_START;
    g->slots = calloc(g->slot_count, sizeof *g->slots);
    if (!g->slots) {
        g->slots = old;
        g->slot_count = count;
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; old && i < count; i++)
        if (old[i].hash)
            *slot_find(g, old[i].hash) = old[i];
    free(old);
    return OK;
}

static uint64_t key_hash(struct bytes key)
{
    uint64_t hash = trace_hash(key);
    return hash ? hash : 1;
}

/* Of a name at a time: serials may come around. */
static uint64_t name_hash(const struct gather *g, struct bytes key, int64_t at_us)
{
    char own[BEARER_NAME_BYTES_MAX];
    return key_hash(bearer_name(&g->bearers, key, at_us, own));
}

static int node_of(struct gather *g, struct bytes key, int64_t at_us, uint32_t *ret)
{
    int err = slots_grow(g);
    if (err)
        return err;
    uint64_t hash = name_hash(g, key, at_us);
    struct node_slot *slot = slot_find(g, hash);
    if (!slot->hash) {
        *slot = (struct node_slot){hash, g->nodes++};
        g->used++;
    }
    *ret = slot->node;
    return OK;
}

/* Rows carry a serial, an id, or both; the serial is what tells. */
static struct bytes row_key(const struct value *unit, const struct value *serial)
{
    return serial->bytes.len ? serial->bytes : unit->bytes;
}

static uint32_t node_find(struct gather *g, struct bytes key, int64_t at_us)
{
    struct node_slot *slot = slot_find(g, name_hash(g, key, at_us));
    return slot->hash ? slot->node : NODE_NONE;
}

/* unit, serial, since when: the id leads to the serial's node. */
static int alias_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct gather *g = ctx;
    uint32_t node = 0;
    (void)count;
    int err = node_of(g, cells[1].bytes, cells[2].i64, &node);
    if (!err)
        err = slots_grow(g);
    if (err)
        return err;
    struct node_slot *slot = slot_find(g, key_hash(cells[0].bytes));
    g->used += slot->hash == 0;
    *slot = (struct node_slot){key_hash(cells[0].bytes), node};
    return OK;
}

/* --------------------------------------------------------------------------------------- queries
 */

/* $1 = from, $2 = until, and what the query has beyond. */
static int ask(struct gather *g, const char *sql, int64_t from_us, const char *const *texts,
               duck_row_fn row)
{
    struct duck_stmt *s = NULL;
    int err = why_stopped(g->q->stop);
    if (!err)
        err = duck_prepare(g->conn, sql, &s, g->diag);
    if (!err)
        err = duck_bind_time(s, 1, from_us);
    if (!err)
        err = duck_bind_time(s, 2, g->q->until_us);
    for (uint32_t i = 0; !err && texts && texts[i]; i++)
        err = duck_bind_text(s, i + 3, texts[i]);
    if (!err)
        err = duck_run(s, row, g, g->diag);
    duck_stmt_free(s);
    return err;
}

/* Whatever is known. */
#define NOW "TIMESTAMP '9999-01-01'"

/* Of a row of facts: it is not of a stay that was taken back. */
#define STANDS(t) TRACE_SQL_STANDS("unit", t, NOW)

static const char sql_operation[] =
    "SELECT operation FROM defects f WHERE detected_at >= $1 AND detected_at < $2 AND defect = $3 "
    "AND NOT retracted AND " STANDS(
        "detected_at") " GROUP BY operation ORDER BY count(*) DESC, min(detected_at) LIMIT 1";

static const char sql_others[] =
    "SELECT string_agg(defect, ', ') FROM (SELECT defect FROM defects f WHERE detected_at >= $1 "
    "AND "
    "detected_at < $2 AND NOT retracted AND " STANDS(
        "detected_at") " GROUP BY defect ORDER BY count(*) DESC, defect LIMIT 10)";

static const char sql_alias[] =
    "SELECT unit, serial, valid_from FROM units WHERE valid_from >= $1 AND "
    "valid_from < $2 AND serial <> '' AND NOT retracted";

/* Whatever was written in the operation tells that the unit was there; and the visits to its
 * station. Per key: the first time, and the first time with the defect; $5 so many µs, within which
 * no serial comes around. */
#define WRITTEN(table, t, bad)                                                                     \
    "SELECT unit, serial, " t " AS t, " bad " AS bad FROM " table " f WHERE " t " >= $1 AND " t    \
    " < $2 AND operation = $4 AND NOT retracted AND " STANDS(t) " UNION ALL "

#define DEFECTS  WRITTEN("defects", "detected_at", "defect = $3")
#define VERDICTS WRITTEN("verdicts", "decided_at", "false")
#define MEASURES WRITTEN("measures", "measured_at", "false")
#define FACTORS  WRITTEN("factors", "\"at\"", "false")
#define VISITS                                                                                     \
    "SELECT unit, '', t_out, false FROM steps s WHERE t_out >= $1 AND t_out < $2 AND (station = "  \
    "$4 OR station IN (SELECT station FROM defects WHERE operation = $4 AND station <> '')) "      \
    "AND " TRACE_SQL_HOLDS(NOW)

static const char sql_units[] = "WITH r AS (" DEFECTS VERDICTS MEASURES FACTORS VISITS
                                ") SELECT unit, serial, min(t), min(t) FILTER (bad) FROM r GROUP "
                                "BY unit, serial, epoch_us(t) // $5::BIGINT";

/* Those of TRACE_SQL_SHARE, for as many rows as there are. */
static const char sql_stays[] =
    "SELECT unit, station, coalesce(t_in, t_out), t_out, " TRACE_SQL_SURE
    " FROM steps s WHERE t_out >= $1 AND coalesce(t_in, t_out) < $2 AND status = 'ambiguous' "
    "AND " TRACE_SQL_LATEST(NOW) " ORDER BY unit, t_out, station, visit";

static const char sql_links[] =
    "SELECT parent, child, station, valid_from FROM links f WHERE valid_from >= $1 AND valid_from "
    "< $2 AND kind <> 'consumption' AND NOT retracted AND " TRACE_SQL_STANDS(
        "parent", "valid_from", NOW) " AND " TRACE_SQL_STANDS("child", "valid_from", NOW);

static const char sql_lots[] =
    "SELECT station, child, parent, operation, position, valid_from FROM links f WHERE valid_from "
    ">= $1 "
    "AND valid_from < $2 AND kind = 'consumption' AND NOT retracted "
    "AND " TRACE_SQL_STANDS("child", "valid_from", NOW);

static const char sql_factors[] =
    "SELECT unit, serial, kind, name, operation, value, number, \"at\", station FROM factors f "
    "WHERE \"at\" "
    ">= $1 AND \"at\" < $2 AND kind NOT IN ('" TRACE_KIND_ORDER "', '" TRACE_KIND_RECIPE
    "') AND NOT retracted AND " STANDS("\"at\"");

static const char sql_measures[] =
    "SELECT unit, serial, characteristic, operation, value, measured_at, station FROM measures f "
    "WHERE "
    "measured_at >= $1 AND measured_at < $2 AND operation <> $3 AND value IS NOT NULL AND NOT "
    "retracted AND " STANDS("measured_at");

static const char sql_steps[] =
    "SELECT unit, '', station, epoch(t_out - t_in), t_out, " TRACE_SQL_SURE
    " FROM steps s WHERE t_out >= $1 AND t_out "
    "< $2 AND station <> $3 AND station NOT IN (SELECT station FROM defects WHERE operation = $3) "
    "AND t_in IS NOT NULL AND " TRACE_SQL_LATEST(NOW);

/* ----------------------------------------------------------------------------------------- units
 */

static int operation_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct gather *g = ctx;
    (void)count;
    g->out->operation = arena_copy(&g->out->arena, cells[0].bytes);
    return g->out->operation ? OK : ERR_NOMEM;
}

static int others_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct gather *g = ctx;
    (void)count;
    if (cells[0].type == VALUE_NULL)
        return diag_set(g->diag, ERR_NOT_FOUND, 0, 0, "no unit has any defect in this time");
    return diag_set(g->diag, ERR_NOT_FOUND, 0, 0,
                    "no unit has the defect %s in this time; there are %.*s", g->q->defect,
                    (int)cells[0].bytes.len, (const char *)cells[0].bytes.ptr);
}

static int find_operation(struct gather *g)
{
    int err =
        ask(g, sql_operation, g->q->since_us, (const char *[]){g->q->defect, NULL}, operation_row);
    if (!err && !g->out->operation)
        err = ask(g, sql_others, g->q->since_us, NULL, others_row);
    if (!err && g->q->operation)
        g->out->operation = g->q->operation;
    return err;
}

static int unit_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct gather *g = ctx;
    uint32_t node = 0;
    (void)count;
    int err = node_of(g, row_key(&cells[0], &cells[1]), cells[2].i64, &node);
    if (err)
        return err;
    struct unit *units = array_room(g->units, g->unit_count, &g->unit_cap, 1024, sizeof *units);
    if (!units)
        return ERR_NOMEM;
    g->units = units;
    bool bad = cells[3].type != VALUE_NULL;
    g->units[g->unit_count++] = (struct unit){node, bad, bad ? cells[3].i64 : cells[2].i64};
    return OK;
}

/* By node, bad first, then by time: the first of a node is what counts. */
static int unit_compare_node(const void *a, const void *b)
{
    const struct unit *x = a;
    const struct unit *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->bad != y->bad)
        return x->bad ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int unit_compare_time(const void *a, const void *b)
{
    const struct unit *x = a;
    const struct unit *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static int find_units(struct gather *g)
{
    char apart[24];
    const char *const texts[] = {g->q->defect, g->out->operation, apart, NULL};
    (void)snprintf(apart, sizeof apart, "%" PRId64,
                   g->q->reused ? bearer_after_least(g->q->reused) : INT64_MAX);
    int err = ask(g, sql_alias, g->from_us, NULL, alias_row);
    if (!err)
        err = slots_grow(g);
    if (!err)
        err = ask(g, sql_units, g->q->since_us, texts, unit_row);
    if (!err && !g->unit_count && g->q->operation)
        err = diag_set(g->diag, ERR_NOT_FOUND, 0, 0, "no unit was tested at %s in this time",
                       g->q->operation);
    if (err || !g->unit_count)
        return err;
    uint32_t n = 0;
    qsort(g->units, g->unit_count, sizeof *g->units, unit_compare_node);
    for (uint32_t i = 0; i < g->unit_count; i++)
        if (n == 0 || g->units[n - 1].node != g->units[i].node)
            g->units[n++] = g->units[i];
    g->unit_count = n;
    qsort(g->units, n, sizeof *g->units, unit_compare_time);
    if (n > WHY_UNITS_MAX) {
        return diag_set(g->diag, ERR_LIMIT, 0, 0,
                        "%u units went through %s in this time, more than %d; ask for a shorter "
                        "time (--since, --until)",
                        n, g->out->operation, WHY_UNITS_MAX);
    }
    return OK;
}

/* ---------------------------------------------------------------------------------------- doubt
 */

/* unit, station, t_in, t_out, how likely */
static int stay_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct gather *g = ctx;
    (void)count;
    struct stay *stays = array_room(g->stays, g->stay_count, &g->stay_cap, 256, sizeof *stays);
    if (!stays)
        return ERR_NOMEM;
    g->stays = stays;
    double likely = cells[4].f64;
    bool sure = !(likely >= 0 && likely < 1);
    g->stays[g->stay_count++] = (struct stay){
        .unit = key_hash(cells[0].bytes),
        .station = key_hash(cells[1].bytes),
        .t_in = cells[2].i64,
        .t_out = cells[3].i64,
        .weight = sure ? WHY_WHOLE : (uint32_t)(likely * WHY_WHOLE + 0.5),
    };
    return OK;
}

/* Stays of a unit stay as they came: by time. */
static int stay_compare(const void *a, const void *b)
{
    const struct stay *x = a;
    const struct stay *y = b;
    if (x->unit != y->unit)
        return x->unit < y->unit ? -1 : 1;
    if (x->t_out != y->t_out)
        return x->t_out < y->t_out ? -1 : 1;
    return x->station < y->station ? -1 : x->station > y->station;
}

static int find_stays(struct gather *g)
{
    int err = ask(g, sql_stays, g->from_us, NULL, stay_row);
    if (g->stay_count)
        qsort(g->stays, g->stay_count, sizeof *g->stays, stay_compare);
    return err;
}

/* The first stay of a unit. */
static uint32_t stay_first(const struct gather *g, uint64_t unit)
{
    uint32_t low = 0;
    uint32_t high = g->stay_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->stays[middle].unit < unit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How likely a row of a unit's id at that time is the unit's, as TRACE_SQL_SHARE has it; station ""
 * = any. *ret_reason (may be NULL): of which stay it is, 0 if of none in doubt. */
static uint32_t stay_weight(const struct gather *g, struct bytes unit, struct bytes station,
                            int64_t at, uint32_t *ret_reason)
{
    uint64_t hash = g->stay_count ? key_hash(unit) : 0;
    uint64_t place = g->stay_count ? key_hash(station) : 0;
    const struct stay *best = NULL;
    for (uint32_t i = stay_first(g, hash); i < g->stay_count && g->stays[i].unit == hash; i++) {
        const struct stay *s = &g->stays[i];
        bool there = at <= s->t_out && (at > s->t_in || at == s->t_out);
        if (there && (!station.len || s->station == place) && (!best || s->weight > best->weight))
            best = s;
    }
    if (ret_reason)
        *ret_reason = best ? (uint32_t)(best - g->stays) + 1 : 0;
    return best ? best->weight : WHY_WHOLE;
}

/* Of two likelihoods that both are needed. */
static uint32_t product(uint32_t a, uint32_t b)
{
    return (a * b + WHY_WHOLE / 2) / WHY_WHOLE;
}

/* ------------------------------------------------------------------------------------- ancestors
 */

static int pair_add(struct pairs *p, uint32_t from, uint32_t to, uint32_t weight)
{
    struct pair *list = array_room(p->list, p->count, &p->cap, 1024, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    p->list = list;
    p->list[p->count++] = (struct pair){from, to, weight};
    return OK;
}

/* Of the same two the likeliest first. */
static int pair_compare(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return (x->weight < y->weight) - (x->weight > y->weight);
}

static void pairs_sort(struct pairs *p)
{
    if (p->count)
        qsort(p->list, p->count, sizeof *p->list, pair_compare);
}

/* The first pair from a node. */
static uint32_t pair_first(const struct pairs *p, uint32_t from)
{
    uint32_t low = 0;
    uint32_t high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->list[middle].from < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int link_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct gather *g = ctx;
    uint32_t parent = 0;
    uint32_t child = 0;
    (void)count;
    int err = node_of(g, cells[0].bytes, cells[3].i64, &parent);
    if (!err)
        err = node_of(g, cells[1].bytes, cells[3].i64, &child);
    if (err || parent == child)
        return err;
    uint32_t weight = product(stay_weight(g, cells[0].bytes, cells[2].bytes, cells[3].i64, NULL),
                              stay_weight(g, cells[1].bytes, cells[2].bytes, cells[3].i64, NULL));
    return weight ? pair_add(&g->links, child, parent, weight) : OK;
}

/* A unit and what it was made from, and how likely it was. */
struct family {
    uint32_t nodes[WHY_PARENTS_MAX + 1];
    uint32_t weights[WHY_PARENTS_MAX + 1];
    uint32_t count;
};

static bool seen(const struct family *f, uint32_t node)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->nodes[i] == node)
            return true;
    return false;
}

/* The unit, what it was made from, and so on: breadth first, each once. */
static int own(struct gather *g, uint32_t unit)
{
    struct family f = {.nodes = {g->units[unit].node}, .weights = {WHY_WHOLE}, .count = 1};
    uint32_t from = 0;
    for (int depth = 0; depth < WHY_DEPTH_MAX && from < f.count; depth++) {
        uint32_t end = f.count;
        for (; from < end; from++) {
            uint32_t i = pair_first(&g->links, f.nodes[from]);
            for (; i < g->links.count && g->links.list[i].from == f.nodes[from]; i++) {
                const struct pair *link = &g->links.list[i];
                uint32_t weight = product(f.weights[from], link->weight);
                if (f.count > WHY_PARENTS_MAX || !weight || seen(&f, link->to))
                    continue;
                f.nodes[f.count] = link->to;
                f.weights[f.count++] = weight;
            }
        }
    }
    int err = OK;
    for (uint32_t i = 0; !err && i < f.count; i++)
        err = pair_add(&g->owners, f.nodes[i], unit, f.weights[i]);
    g->out->parents += f.count - 1;
    return err;
}

static int find_owners(struct gather *g)
{
    int err = ask(g, sql_links, g->from_us, NULL, link_row);
    pairs_sort(&g->links);
    for (uint32_t i = 0; !err && i < g->unit_count; i++)
        err = own(g, i);
    pairs_sort(&g->owners);
    g->owner_at = calloc((size_t)g->nodes + 2, sizeof *g->owner_at);
    if (err || !g->owner_at)
        return err ? err : ERR_NOMEM;
    for (uint32_t i = 0; i < g->owners.count; i++)
        g->owner_at[g->owners.list[i].from + 1]++;
    for (uint32_t i = 0; i <= g->nodes; i++)
        g->owner_at[i + 1] += g->owner_at[i];
    return OK;
}

/* ------------------------------------------------------------------------------------------ rows
 */

/* A value of a key at a time. */
struct fact {
    struct bytes key;
    enum why_kind kind;
    struct bytes name;
    struct bytes operation;
    struct bytes text;
    const struct value *number; /* NULL = none */
    int64_t at;
    uint32_t weight; /* of WHY_WHOLE */
    uint32_t reason; /* of what is not whole */
};

/* Of a row that names its unit by its id. */
static void fact_weigh(const struct gather *g, struct fact *f, const struct value *unit,
                       const struct value *station)
{
    f->weight = stay_weight(g, unit->bytes, station->bytes, f->at, &f->reason);
}

/* A fact's part in a unit: by its stay, and by how likely the unit was made from what was there. */
static struct why_share share_of(const struct fact *f, const struct pair *owner)
{
    struct why_share share = {product(f->weight, owner->weight), f->reason};
    if (owner->weight < WHY_WHOLE)
        share.reason ^= (owner->from + 1) * UINT32_C(2654435761);
    return share;
}

/* What is known before the test, or is tied to it as a factor by whoever wrote the rule. */
static bool is_before(const struct gather *g, const struct fact *f, uint32_t unit)
{
    return f->at <= g->units[unit].at || str_equal(f->operation, g->out->operation);
}

static int fact_add(struct gather *g, const struct fact *f)
{
    struct why_columns *columns = &g->out->columns;
    struct why_column *column = NULL;
    uint32_t node = f->key.len ? node_find(g, f->key, f->at) : NODE_NONE;
    int err = ++g->facts % FACTS_TO_STOP ? OK : why_stopped(g->q->stop);
    if (err || node == NODE_NONE || g->owner_at[node] == g->owner_at[node + 1])
        return err;
    err = why_column_get(columns, f->kind, f->name, f->operation, &column);
    for (uint32_t i = g->owner_at[node]; !err && i < g->owner_at[node + 1]; i++) {
        uint32_t unit = g->owners.list[i].to;
        struct why_share share = share_of(f, &g->owners.list[i]);
        if (!share.weight || !is_before(g, f, unit))
            continue;
        if (f->number && f->number->type == VALUE_DOUBLE)
            err = why_column_number(columns, column, unit, f->number->f64, f->text, share);
        else if (f->text.len)
            err = why_column_text(columns, column, unit, f->text, share);
    }
    if (err == ERR_LIMIT) {
        return diag_set(g->diag, ERR_LIMIT, 0, 0,
                        "there are more factors than fit (%d factors, %u MB); ask for a shorter "
                        "time (--since, --until)",
                        WHY_FACTORS_MAX, WHY_COLUMN_BYTES_MAX >> 20);
    }
    return err;
}

static enum why_kind kind_of(struct bytes text)
{
    for (int i = 0; i < TRACE_KINDS; i++)
        if (str_equal(text, trace_kinds[i]))
            return (enum why_kind)i;
    return WHY_MACHINE;
}

/* unit, serial, kind, name, operation, value, number, at, station */
static int factor_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct fact f = {
        .key = row_key(&cells[0], &cells[1]),
        .kind = kind_of(cells[2].bytes),
        .name = cells[3].bytes,
        .operation = cells[4].bytes,
        .text = cells[5].bytes,
        .number = &cells[6],
        .at = cells[7].i64,
    };
    (void)count;
    fact_weigh(ctx, &f, &cells[0], &cells[8]);
    return fact_add(ctx, &f);
}

/* unit, serial, characteristic, operation, value, at, station */
static int measure_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct fact f = {
        .key = row_key(&cells[0], &cells[1]),
        .kind = WHY_MACHINE,
        .name = cells[2].bytes,
        .operation = cells[3].bytes,
        .number = &cells[4],
        .at = cells[5].i64,
    };
    (void)count;
    fact_weigh(ctx, &f, &cells[0], &cells[6]);
    return fact_add(ctx, &f);
}

/* unit, '', station, seconds, t_out, how likely: which of several stations, and how long. */
static int step_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct fact f = {
        .key = row_key(&cells[0], &cells[1]),
        .kind = WHY_MACHINE,
        .name = bytes_of_text("station"),
        .text = cells[2].bytes,
        .at = cells[4].i64,
        .weight = WHY_WHOLE,
    };
    (void)count;
    if (cells[5].f64 < 1)
        fact_weigh(ctx, &f, &cells[0], &cells[2]);
    int err = fact_add(ctx, &f);
    f.name = bytes_of_text("seconds there");
    f.operation = cells[2].bytes;
    f.text = bytes_of_text("");
    f.number = &cells[3];
    return err ? err : fact_add(ctx, &f);
}

/* station, child, lot, operation, position, at */
static int lot_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct fact f = {
        .key = cells[1].bytes,
        .kind = WHY_MATERIAL,
        .name = cells[4].bytes.len ? cells[4].bytes : bytes_of_text("lot"),
        .operation = cells[3].bytes,
        .text = cells[2].bytes,
        .at = cells[5].i64,
    };
    (void)count;
    fact_weigh(ctx, &f, &cells[1], &cells[0]);
    return fact_add(ctx, &f);
}

static int find_factors(struct gather *g)
{
    const char *const operation[] = {g->out->operation, NULL};
    int err = ask(g, sql_factors, g->from_us, NULL, factor_row);
    if (!err)
        err = ask(g, sql_measures, g->from_us, operation, measure_row);
    if (!err)
        err = ask(g, sql_steps, g->from_us, operation, step_row);
    if (!err)
        err = ask(g, sql_lots, g->from_us, NULL, lot_row);
    return err;
}

static int matrix_make(struct gather *g)
{
    struct why_gathered *out = g->out;
    int64_t *times = arena_array(&out->arena, (size_t)g->unit_count + 1, sizeof *times);
    uint8_t *bad = arena_array(&out->arena, (size_t)g->unit_count + 1, 1);
    if (!times || !bad)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < g->unit_count; i++) {
        times[i] = g->units[i].at;
        bad[i] = g->units[i].bad;
    }
    out->matrix =
        (struct why_matrix){.units = g->unit_count, .times = times, .bad = bad, .stop = g->q->stop};
    return why_columns_finish(&out->columns, &out->matrix.factors, &out->matrix.factor_count);
}

int why_gather(struct duck_conn *conn, const struct why_question *question,
               struct why_gathered *ret, struct diag *diag)
{
    struct gather g = {.conn = conn,
                       .q = question,
                       .out = ret,
                       .diag = diag,
                       .from_us = question->since_us - WHY_BEFORE_US};
    *ret = (struct why_gathered){.operation = NULL};
    int err = find_operation(&g);
    if (!err)
        err = bearers_read(&g.bearers, question->reused, conn, g.from_us, question->until_us, diag);
    if (!err)
        err = find_units(&g);
    if (!err)
        err = find_stays(&g);
    if (!err)
        err = find_owners(&g);
    ret->columns.units = g.unit_count;
    if (!err)
        err = find_factors(&g);
    if (!err)
        err = matrix_make(&g);
    free(g.slots);
    free(g.units);
    free(g.links.list);
    free(g.owners.list);
    free(g.owner_at);
    free(g.stays);
    bearers_fini(&g.bearers);
    return err;
}

void why_gathered_fini(struct why_gathered *g)
{
    why_columns_fini(&g->columns);
    arena_fini(&g->arena);
}
