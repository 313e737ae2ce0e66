/* From records of the log to rows of units, steps and measures. See trace.h.
 *
 * Runs on the historian's writer, in the transaction of the record, so that each row is there once.
 * Nothing is remembered and nothing read: which row is the latest is decided when somebody asks.
 */
#include "trace/trace_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct duck_column unit_columns[] = {
    {"unit", DUCK_TEXT, false},    {"serial", DUCK_TEXT, false},
    {"status", DUCK_TEXT, false},  {"node", DUCK_TEXT, false},
    {"track", DUCK_TEXT, false},   {"valid_from", DUCK_TIME, false},
    {"valid_to", DUCK_TIME, true}, {"known_at", DUCK_TIME, false},
    {"revision", DUCK_I64, false}, {"retracted", DUCK_BOOL, false},
};

static const struct duck_column step_columns[] = {
    {"unit", DUCK_TEXT, false},      {"node", DUCK_TEXT, false},
    {"track", DUCK_TEXT, false},     {"station", DUCK_TEXT, false},
    {"place", DUCK_TEXT, false},     {"t_in", DUCK_TIME, true},
    {"t_out", DUCK_TIME, true},      {"status", DUCK_TEXT, false},
    {"probability", DUCK_F64, true}, {"evidence", DUCK_TEXT, false},
    {"result", DUCK_TEXT, false},    {"known_at", DUCK_TIME, false},
    {"revision", DUCK_I64, false},   {"retracted", DUCK_BOOL, false},
};

static const struct duck_column measure_columns[] = {
    {"unit", DUCK_TEXT, false},      {"node", DUCK_TEXT, false},
    {"rule", DUCK_TEXT, false},      {"station", DUCK_TEXT, false},
    {"operation", DUCK_TEXT, false}, {"characteristic", DUCK_TEXT, false},
    {"value", DUCK_F64, true},       {"lower", DUCK_F64, true},
    {"upper", DUCK_F64, true},       {"target", DUCK_F64, true},
    {"uom", DUCK_TEXT, false},       {"measured_at", DUCK_TIME, false},
    {"known_at", DUCK_TIME, false},  {"revision", DUCK_I64, false},
    {"retracted", DUCK_BOOL, false},
};

enum {
    TABLE_UNITS,
    TABLE_STEPS,
    TABLE_MEASURES,
};

#define COLUMNS(list) list, sizeof(list) / sizeof((list)[0])

const struct historian_table trace_tables[TRACE_TABLE_COUNT] = {
    [TABLE_UNITS] =
        {"units",
         "CREATE TABLE IF NOT EXISTS units(unit VARCHAR NOT NULL, serial VARCHAR NOT NULL, status "
         "VARCHAR NOT NULL, node VARCHAR NOT NULL, track VARCHAR NOT NULL, valid_from TIMESTAMP "
         "NOT "
         "NULL, valid_to TIMESTAMP, known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, "
         "retracted BOOLEAN NOT NULL)",
         COLUMNS(unit_columns)},
    [TABLE_STEPS] =
        {"steps",
         "CREATE TABLE IF NOT EXISTS steps(unit VARCHAR NOT NULL, node VARCHAR NOT NULL, track "
         "VARCHAR NOT NULL, station VARCHAR NOT NULL, place VARCHAR NOT NULL, t_in TIMESTAMP, "
         "t_out "
         "TIMESTAMP, status VARCHAR NOT NULL, probability DOUBLE, evidence VARCHAR NOT NULL, "
         "result "
         "VARCHAR NOT NULL, known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, retracted "
         "BOOLEAN NOT NULL)",
         COLUMNS(step_columns)},
    [TABLE_MEASURES] =
        {"measures",
         "CREATE TABLE IF NOT EXISTS measures(unit VARCHAR NOT NULL, node VARCHAR NOT NULL, rule "
         "VARCHAR NOT NULL, station VARCHAR NOT NULL, operation VARCHAR NOT NULL, characteristic "
         "VARCHAR NOT NULL, value DOUBLE, lower DOUBLE, upper DOUBLE, target DOUBLE, uom VARCHAR "
         "NOT NULL, measured_at TIMESTAMP NOT NULL, known_at TIMESTAMP NOT NULL, revision BIGINT "
         "NOT NULL, retracted BOOLEAN NOT NULL)",
         COLUMNS(measure_columns)},
};

/* ---------------------------------------------------------------------------------------- values
 */

static struct value text_value(struct bytes v)
{
    return (struct value){.type = VALUE_STRING, .bytes = v};
}

static struct value time_value(int64_t us)
{
    return (struct value){.type = VALUE_TIMESTAMP, .i64 = us};
}

static struct value number_value(bool present, double v)
{
    if (!present || isnan(v))
        return (struct value){.type = VALUE_NULL};
    return (struct value){.type = VALUE_DOUBLE, .f64 = v};
}

static struct value count_value(int64_t v)
{
    return (struct value){.type = VALUE_INT64, .i64 = v};
}

static struct value no_value(void)
{
    return (struct value){.type = VALUE_BOOL, .boolean = false};
}

/* The cell of a column by its name; VALUE_NULL if it is absent or of another type. */
static struct value cell_value(const struct batch *b, const char *name, uint32_t row,
                               enum value_type type)
{
    struct value none = {.type = VALUE_NULL};
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 || b->schema->fields[col].type != type)
        return none;
    struct column c = batch_column(b, (uint32_t)col);
    return column_value(&c, row);
}

/* As cell_value for text; "" if it is absent. */
static struct value cell_text(const struct batch *b, const char *name, uint32_t row)
{
    struct value v = cell_value(b, name, row, VALUE_STRING);
    return v.type == VALUE_STRING ? v : text_value(bytes_of_text(""));
}

/* The unit of a row as text; false if it has none. */
static bool unit_text(const struct batch *b, uint32_t row, char out[static TRACE_UNIT_TEXT + 1])
{
    struct value unit = cell_value(b, "unit", row, VALUE_BYTES);
    if (unit.type != VALUE_BYTES || unit.bytes.len != TRACE_UNIT_BYTES)
        return false;
    for (int i = 0; i < TRACE_UNIT_BYTES; i++)
        (void)snprintf(out + (size_t)2 * (size_t)i, 3, "%02x", unit.bytes.ptr[i]);
    return true;
}

/* -------------------------------------------------------------------------------------- presence
 */

static const char presence_prefix[] = "presence.";

static bool is_presence(struct bytes stream)
{
    size_t len = sizeof presence_prefix - 1;
    return stream.len > len && memcmp(stream.ptr, presence_prefix, len) == 0;
}

static int presence_row(const struct feed_record *r, const struct batch *b, uint32_t row,
                        struct historian_txn *txn)
{
    char unit[TRACE_UNIT_TEXT + 1];
    size_t prefix = sizeof presence_prefix - 1;
    struct value track = text_value(bytes_of(r->stream.ptr + prefix, r->stream.len - prefix));
    struct value t_in = cell_value(b, "t_in", row, VALUE_TIMESTAMP);
    struct value t_out = cell_value(b, "t_out", row, VALUE_TIMESTAMP);
    struct value revision = cell_value(b, "revision", row, VALUE_INT64);
    struct value known = time_value(historian_known_at(txn));
    struct value status = cell_text(b, "status", row);
    if (!unit_text(b, row, unit))
        return ERR_MALFORMED;
    if (revision.type == VALUE_NULL)
        revision = count_value(1);
    struct value from = t_in.type == VALUE_NULL ? time_value(batch_times(b)[row]) : t_in;
    const struct value units[] = {
        text_value(bytes_of_text(unit)),
        cell_text(b, "serial", row),
        status,
        text_value(r->node),
        track,
        from,
        {.type = VALUE_NULL},
        known,
        revision,
        no_value(),
    };
    const struct value steps[] = {
        text_value(bytes_of_text(unit)),
        text_value(r->node),
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
        no_value(),
    };
    int err = historian_insert(txn, &trace_tables[TABLE_UNITS], units);
    return err ? err : historian_insert(txn, &trace_tables[TABLE_STEPS], steps);
}

/* -------------------------------------------------------------------------------------- measures
 */

const struct characteristic *trace_characteristic(const struct trace *t, const char *name)
{
    for (uint32_t i = 0; i < t->characteristic_count; i++)
        if (strcmp(t->characteristics[i].name, name) == 0)
            return &t->characteristics[i];
    return NULL;
}

/* As people see it; a value of another kind than a number is none. */
static struct value measure_value(const struct batch *b, const char *name, uint32_t row,
                                  const char **ret_uom)
{
    struct value none = {.type = VALUE_NULL};
    double number = 0;
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0)
        return none;
    struct column c = batch_column(b, (uint32_t)col);
    struct value v = column_shown(&c, row);
    *ret_uom = c.field->uom ? c.field->uom : "";
    bool present = value_to_double(&v, &number);
    return number_value(present, number);
}

static int measure_row(const struct trace *t, const struct trace_rule *rule,
                       const struct feed_record *r, const struct batch *b, uint32_t row,
                       struct historian_txn *txn)
{
    char unit[TRACE_UNIT_TEXT + 1];
    int err = OK;
    if (!unit_text(b, row, unit))
        return OK; /* a row of readings that belong to nobody */
    for (uint32_t i = 0; !err && i < rule->measure_count; i++) {
        static const struct characteristic none = {.station = "", .uom = ""};
        const char *uom = "";
        struct value value = measure_value(b, rule->measures[i], row, &uom);
        const struct characteristic *c = trace_characteristic(t, rule->measures[i]);
        if (!c)
            c = &none;
        const struct value cells[] = {
            text_value(bytes_of_text(unit)),
            text_value(r->node),
            text_value(bytes_of_text(rule->name)),
            text_value(bytes_of_text(c->station)),
            text_value(bytes_of_text(rule->operation)),
            text_value(bytes_of_text(rule->measures[i])),
            value,
            number_value(c->has_lower, c->lower),
            number_value(c->has_upper, c->upper),
            number_value(c->has_target, c->target),
            text_value(bytes_of_text(c->uom[0] ? c->uom : uom)),
            time_value(batch_times(b)[row]),
            time_value(historian_known_at(txn)),
            count_value((int64_t)r->at.seq),
            no_value(),
        };
        err = historian_insert(txn, &trace_tables[TABLE_MEASURES], cells);
    }
    return err;
}

/* --------------------------------------------------------------------------------------- records
 */

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
    int err = OK;
    for (uint32_t row = 0; !err && row < batch->rows; row++) {
        if (rule)
            err = measure_row(t, rule, record, batch, row, txn);
        else
            err = presence_row(record, batch, row, txn);
    }
    *ret_points = rule != NULL;
    return err;
}
