/* From records of the log to rows of the trace's tables. See trace.h.
 *
 * Runs on the historian's writer, in the transaction of the record, so that each row is there once.
 * Nothing is remembered and nothing read: which row is the latest is decided when somebody asks.
 * What each row's keys are is written beside it into the index (index.c), in the same transaction,
 * so that the index never lags behind.
 */
#include "trace/trace_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* -------------------------------------------------------------------------------------- presence
 */

static const char presence_prefix[] = "presence.";

static bool is_presence(struct bytes stream)
{
    size_t len = sizeof presence_prefix - 1;
    return stream.len > len && memcmp(stream.ptr, presence_prefix, len) == 0;
}

/* The unit and its serial find each other. `units` is the row as in that table. */
static int presence_index(const struct value *units, struct value t_out, struct historian_txn *txn)
{
    char visit[TRACE_VISIT_BYTES_MAX];
    struct trace_mark a = {
        .t_from = units[5].i64, .t_to = t_out, .known_at = units[7].i64, .revision = units[8].i64};
    trace_visit_name(units[4].bytes, units[10].bytes, units[11].i64, visit);
    a.kind = visit;
    return trace_index_alias(trace_index_txn, txn, units[0].bytes, units[1].bytes, &a);
}

static int presence_row(const struct feed_record *r, const struct batch *b, uint32_t row,
                        struct historian_txn *txn)
{
    char unit[TRACE_UNIT_TEXT + 1];
    size_t prefix = sizeof presence_prefix - 1;
    struct value track = cell_from_text(bytes_of(r->stream.ptr + prefix, r->stream.len - prefix));
    struct value t_in = cell_value(b, "t_in", row, VALUE_TIMESTAMP);
    struct value t_out = cell_value(b, "t_out", row, VALUE_TIMESTAMP);
    struct value revision = cell_value(b, "revision", row, VALUE_INT64);
    struct value visit = cell_value(b, "visit", row, VALUE_INT64);
    struct value retracted = cell_value(b, "retracted", row, VALUE_BOOL);
    struct value known = cell_from_time(historian_known_at(txn));
    struct value status = cell_text(b, "status", row);
    if (!cell_unit(b, "unit", row, unit))
        return ERR_MALFORMED;
    if (revision.type == VALUE_NULL)
        revision = cell_from_count(1);
    if (visit.type == VALUE_NULL)
        visit = cell_from_count(0);
    if (retracted.type == VALUE_NULL)
        retracted = cell_no();
    struct value from = t_in.type == VALUE_NULL ? cell_from_time(batch_times(b)[row]) : t_in;
    const struct value units[] = {
        cell_from_text(bytes_of_text(unit)),
        cell_text(b, "serial", row),
        status,
        cell_from_text(r->node),
        track,
        from,
        {.type = VALUE_NULL},
        known,
        revision,
        retracted,
        cell_text(b, "station", row),
        visit,
    };
    const struct value steps[] = {
        cell_from_text(bytes_of_text(unit)),
        cell_from_text(r->node),
        track,
        cell_text(b, "station", row),
        cell_text(b, "place", row),
        t_in,
        t_out,
        status,
        cell_value(b, "probability", row, VALUE_DOUBLE),
        cell_text(b, "evidence", row),
        cell_text(b, "result", row),
        known,
        revision,
        retracted,
        visit,
        cell_text(b, "clocks", row),
    };
    int err = historian_insert(txn, &trace_tables[TRACE_UNITS], units);
    if (!err)
        err = historian_insert(txn, &trace_tables[TRACE_STEPS], steps);
    return err ? err : presence_index(units, t_out, txn);
}

/* ------------------------------------------------------------------------------------------ rows
 */

const struct characteristic *trace_characteristic(const struct trace *t, const char *name)
{
    for (uint32_t i = 0; i < t->characteristic_count; i++)
        if (strcmp(t->characteristics[i].name, name) == 0)
            return &t->characteristics[i];
    return NULL;
}

/* One row of a rule, on its way into the tables. */
struct row {
    const struct trace *trace;
    const struct trace_rule *rule;
    const struct feed_record *record;
    const struct batch *batch;
    uint32_t row;
    const struct trace_sink *sink;
    char unit_text[TRACE_UNIT_TEXT + 1];
    char serial_text[TRACE_CELL_BYTES_MAX];
    struct bytes unit;   /* empty if the row names a serial … */
    struct bytes serial; /* … and the other way round */
    struct bytes position;
};

static struct bytes row_key(const struct row *r)
{
    return r->serial.len ? r->serial : r->unit;
}

static int row_insert(const struct row *r, int table, const struct value *cells)
{
    return r->sink->insert(r->sink->ctx, table, cells);
}

static struct value row_time(const struct row *r)
{
    return cell_from_time(batch_times(r->batch)[r->row]);
}

/* What every table's row ends with: node, rule, known_at, revision, retracted. */
static void row_end(const struct row *r, struct value *cells)
{
    cells[0] = cell_from_text(r->record->node);
    cells[1] = cell_from_text(bytes_of_text(r->rule->name));
    cells[2] = cell_from_time(r->sink->known_at);
    cells[3] = cell_from_count((int64_t)r->record->at.seq);
    cells[4] = cell_no();
}

/* And what most begin with: unit, serial, operation, station. */
static void row_begin(const struct row *r, struct value *cells)
{
    cells[0] = cell_from_text(r->unit);
    cells[1] = cell_from_text(r->serial);
    cells[2] = cell_from_text(bytes_of_text(r->rule->operation));
    cells[3] = cell_from_text(bytes_of_text(r->rule->station));
}

/* A cell as text; empty: there is none. */
static struct bytes row_text(const struct row *r, const char *column,
                             char out[static TRACE_CELL_BYTES_MAX])
{
    struct value v = cell_shown(r->batch, column, r->row, NULL);
    return cell_print(&v, out);
}

/* What a row says beside each of a list: columns are none, one for all, or one for each. */
static struct value row_beside(const struct row *r, const struct trace_columns *columns,
                               uint32_t index)
{
    double number = 0;
    if (columns->count == 0)
        return cell_from_number(false, number);
    const char *name = columns->items[columns->count == 1 ? 0 : index];
    struct value v = cell_shown(r->batch, name, r->row, NULL);
    bool present = cell_number(&v, &number);
    return cell_from_number(present, number);
}

static int row_measure(const struct row *r, uint32_t index)
{
    const char *name = r->rule->measures.items[index];
    static const struct characteristic none = {.station = "", .uom = ""};
    const char *uom = "";
    double number = 0;
    struct value v = cell_shown(r->batch, name, r->row, &uom);
    bool present = cell_number(&v, &number);
    const struct characteristic *c = trace_characteristic(r->trace, name);
    /* A unit that was there and has no value was not measured, which is not the same as good; a
     * line of a file that names no value says nothing. */
    if (!present && (r->rule->unit_is_serial || v.type != VALUE_NULL))
        return OK;
    if (!c)
        c = &none;
    const char *station = r->rule->station[0] ? r->rule->station : c->station;
    const struct value cells[] = {
        cell_from_text(r->unit),
        cell_from_text(r->record->node),
        cell_from_text(bytes_of_text(r->rule->name)),
        cell_from_text(bytes_of_text(station)),
        cell_from_text(bytes_of_text(r->rule->operation)),
        cell_from_text(bytes_of_text(name)),
        cell_from_number(present, number),
        cell_from_number(c->has_lower, c->lower),
        cell_from_number(c->has_upper, c->upper),
        cell_from_number(c->has_target, c->target),
        cell_from_text(bytes_of_text(c->uom[0] ? c->uom : uom)),
        row_time(r),
        cell_from_time(r->sink->known_at),
        cell_from_count((int64_t)r->record->at.seq),
        cell_no(),
        cell_from_text(r->serial),
        row_beside(r, &r->rule->covered, index),
    };
    return row_insert(r, TRACE_MEASURES, cells);
}

static int row_factor(const struct row *r, const char *kind, const char *name)
{
    char out[TRACE_CELL_BYTES_MAX];
    double number = 0;
    struct value v = cell_shown(r->batch, name, r->row, NULL);
    bool present = v.type != VALUE_BOOL && value_to_double(&v, &number);
    struct bytes text = cell_print(&v, out);
    struct value cells[14];
    if (text.len == 0)
        return OK;
    row_begin(r, cells);
    cells[4] = cell_from_text(bytes_of_text(kind));
    cells[5] = cell_from_text(bytes_of_text(name));
    cells[6] = cell_from_text(text);
    cells[7] = cell_from_number(present, number);
    cells[8] = row_time(r);
    row_end(r, &cells[9]);
    return row_insert(r, TRACE_FACTORS, cells);
}

static int row_defect(const struct row *r, const char *name)
{
    char out[TRACE_CELL_BYTES_MAX];
    struct bytes text = row_text(r, name, out);
    struct value cells[12];
    if (text.len == 0)
        return OK;
    row_begin(r, cells);
    cells[4] = cell_from_text(text);
    cells[5] = cell_from_text(r->position);
    cells[6] = row_time(r);
    row_end(r, &cells[7]);
    return row_insert(r, TRACE_DEFECTS, cells);
}

/* The words of devices and inspections; NULL: none is said. */
static const char *verdict_of(struct bytes text)
{
    static const char *const words[][2] = {
        {"1", "pass"},      {"true", "pass"}, {"ok", "pass"},       {"pass", "pass"},
        {"passed", "pass"}, {"good", "pass"}, {"io", "pass"},       {"0", NULL},
        {"none", NULL},     {"", NULL},       {"rework", "rework"}, {"scrap", "scrap"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i][0]) == text.len &&
            strncasecmp(words[i][0], (const char *)text.ptr, text.len) == 0)
            return words[i][1];
    return "fail";
}

static int row_verdict(const struct row *r, const char *name)
{
    char out[TRACE_CELL_BYTES_MAX];
    const char *verdict = verdict_of(row_text(r, name, out));
    struct value cells[11];
    if (!verdict)
        return OK;
    row_begin(r, cells);
    cells[4] = cell_from_text(bytes_of_text(verdict));
    cells[5] = row_time(r);
    row_end(r, &cells[6]);
    return row_insert(r, TRACE_VERDICTS, cells);
}

/* ----------------------------------------------------------------------------------------- links
 */

static int row_link(const struct row *r, const struct bytes keys[2], const char *kind,
                    struct bytes position, uint32_t link)
{
    struct value cells[14] = {
        cell_from_text(keys[0]),
        cell_from_text(keys[1]),
        cell_from_text(bytes_of_text(kind)),
        row_beside(r, &r->rule->quantities, link),
        cell_from_text(position),
        cell_from_text(bytes_of_text(r->rule->operation)),
        cell_from_text(bytes_of_text(r->rule->station)),
        row_time(r),
        {.type = VALUE_NULL},
    };
    const struct trace_mark a = {.kind = kind,
                                 .position = position,
                                 .t_from = cells[7].i64,
                                 .quantity = cells[3],
                                 .known_at = r->sink->known_at,
                                 .revision = (int64_t)r->record->at.seq};
    row_end(r, &cells[9]);
    int err = row_insert(r, TRACE_LINKS, cells);
    return err || !r->sink->txn ? err : trace_index_link(trace_index_txn, r->sink->txn, keys, &a);
}

/* Without a column that says so, the position of a child is its number in the list. */
static int row_children(const struct row *r)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < r->rule->children.count; i++) {
        char out[TRACE_CELL_BYTES_MAX];
        char number[16];
        struct bytes child = row_text(r, r->rule->children.items[i], out);
        (void)snprintf(number, sizeof number, "%u", i + 1);
        struct bytes position = r->rule->position ? r->position : bytes_of_text(number);
        if (child.len && !bytes_equal(child, row_key(r)))
            err = row_link(r, (const struct bytes[]){row_key(r), child}, r->rule->child_kind,
                           position, i);
    }
    return err;
}

/* first: the number of the first of these links among the row's. */
static int row_parents(const struct row *r, const struct trace_columns *columns, const char *kind,
                       uint32_t first)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < columns->count; i++) {
        char out[TRACE_CELL_BYTES_MAX];
        struct bytes parent = row_text(r, columns->items[i], out);
        if (parent.len && !bytes_equal(parent, row_key(r)))
            err = row_link(r, (const struct bytes[]){parent, row_key(r)}, kind, r->position,
                           first + i);
    }
    return err;
}

/* -------------------------------------------------------------------------------------- the rule
 */

static bool row_unit(struct row *r)
{
    if (r->rule->unit_is_serial) {
        r->serial = row_text(r, r->rule->unit, r->serial_text);
        return r->serial.len > 0;
    }
    r->unit = bytes_of(r->unit_text, TRACE_UNIT_TEXT);
    return cell_unit(r->batch, r->rule->unit, r->row, r->unit_text);
}

static int row_values(const struct row *r)
{
    const struct trace_rule *rule = r->rule;
    int err = OK;
    for (uint32_t i = 0; !err && i < rule->measures.count; i++)
        err = row_measure(r, i);
    for (int kind = 0; kind < TRACE_KINDS; kind++)
        for (uint32_t i = 0; !err && i < rule->factors[kind].count; i++)
            err = row_factor(r, trace_kinds[kind], rule->factors[kind].items[i]);
    if (!err && rule->order)
        err = row_factor(r, TRACE_KIND_ORDER, rule->order);
    if (!err && rule->recipe)
        err = row_factor(r, TRACE_KIND_RECIPE, rule->recipe);
    for (uint32_t i = 0; !err && i < rule->defects.count; i++)
        err = row_defect(r, rule->defects.items[i]);
    if (!err && rule->verdict)
        err = row_verdict(r, rule->verdict);
    return err;
}

static int row_record(struct row *r)
{
    char out[TRACE_CELL_BYTES_MAX];
    if (!row_unit(r))
        return OK; /* a row of readings that belong to nobody */
    r->position = r->rule->position ? row_text(r, r->rule->position, out) : bytes_of("", 0);
    int err = row_values(r);
    if (!err)
        err = row_children(r);
    uint32_t link = r->rule->children.count;
    if (!err)
        err = row_parents(r, &r->rule->parents, r->rule->parent_kind, link);
    link += r->rule->parents.count;
    if (!err)
        err = row_parents(r, &r->rule->consumes, "consumption", link);
    const struct trace_mark a = {.role = TRACE_HAS_ROWS,
                                 .t_from = row_time(r).i64,
                                 .t_to = row_time(r),
                                 .known_at = r->sink->known_at,
                                 .revision = (int64_t)r->record->at.seq};
    return err || !r->sink->txn ? err
                                : trace_index_insert(trace_index_txn, r->sink->txn, row_key(r), &a);
}

int trace_rows(const struct trace *t, const struct trace_rule *rule,
               const struct feed_record *record, const struct batch *batch,
               const struct trace_sink *sink)
{
    int err = OK;
    for (uint32_t row = 0; !err && row < batch->rows; row++) {
        for (const struct trace_rule *action = rule; action && !err; action = action->next) {
            struct row r = {t, action, record, batch, row, sink, .position = {0}};
            err = row_record(&r);
        }
    }
    return err;
}

/* --------------------------------------------------------------------------------------- records
 */

static int txn_insert(void *ctx, int table, const struct value *cells)
{
    return historian_insert(ctx, &trace_tables[table], cells);
}

static const struct trace_rule *record_rule(const struct trace *t, const struct feed_record *r)
{
    if (!bytes_equal(r->node, bytes_of_text(t->catalogue->node)))
        return NULL;
    return map_find(&t->rules, r->stream);
}

bool trace_wants(void *ctx, const struct feed_record *record)
{
    return is_presence(record->stream) || record_rule(ctx, record);
}

int trace_record(void *ctx, const struct feed_record *record, const struct batch *batch,
                 struct historian_txn *txn, bool *ret_points)
{
    const struct trace *t = ctx;
    const struct trace_rule *rule = record_rule(t, record);
    const struct trace_sink sink = {txn_insert, txn, historian_known_at(txn), txn};
    int err = OK;
    *ret_points = rule != NULL;
    if (rule)
        return trace_rows(t, rule, record, batch, &sink);
    for (uint32_t row = 0; !err && row < batch->rows; row++)
        err = presence_row(record, batch, row, txn);
    return err;
}
