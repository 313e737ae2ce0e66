/* The tables of the trace. See record.c for who fills them and docs/trace.md for what they mean.
 *
 * A table is made in the shape it had first, and each column that came later is added behind it, so
 * that a database of any age and a new one have the same columns in the same order: the appender
 * writes by order. (An added column cannot be NOT NULL in DuckDB; it is always written.)
 */
#include "trace/trace_priv.h"

#define ROW_ENDS                                                                                   \
    "node VARCHAR NOT NULL, rule VARCHAR NOT NULL, known_at TIMESTAMP NOT NULL, revision BIGINT "  \
    "NOT NULL, retracted BOOLEAN NOT NULL)"
#define ROW_OF                                                                                     \
    "(unit VARCHAR NOT NULL, serial VARCHAR NOT NULL, operation VARCHAR NOT NULL, station "        \
    "VARCHAR NOT NULL, "

#define ROW_END_COLUMNS                                                                            \
    {"node", DUCK_TEXT, false}, {"rule", DUCK_TEXT, false}, {"known_at", DUCK_TIME, false},        \
        {"revision", DUCK_I64, false},                                                             \
    {                                                                                              \
        "retracted", DUCK_BOOL, false                                                              \
    }
#define ROW_OF_COLUMNS                                                                             \
    {"unit", DUCK_TEXT, false}, {"serial", DUCK_TEXT, false}, {"operation", DUCK_TEXT, false},     \
    {                                                                                              \
        "station", DUCK_TEXT, false                                                                \
    }

static const struct duck_column unit_columns[] = {
    {"unit", DUCK_TEXT, false},    {"serial", DUCK_TEXT, false},
    {"status", DUCK_TEXT, false},  {"node", DUCK_TEXT, false},
    {"track", DUCK_TEXT, false},   {"valid_from", DUCK_TIME, false},
    {"valid_to", DUCK_TIME, true}, {"known_at", DUCK_TIME, false},
    {"revision", DUCK_I64, false}, {"retracted", DUCK_BOOL, false},
    {"station", DUCK_TEXT, false}, {"visit", DUCK_I64, false},
};

static const struct duck_column step_columns[] = {
    {"unit", DUCK_TEXT, false},      {"node", DUCK_TEXT, false},
    {"track", DUCK_TEXT, false},     {"station", DUCK_TEXT, false},
    {"place", DUCK_TEXT, false},     {"t_in", DUCK_TIME, true},
    {"t_out", DUCK_TIME, true},      {"status", DUCK_TEXT, false},
    {"probability", DUCK_F64, true}, {"evidence", DUCK_TEXT, false},
    {"result", DUCK_TEXT, false},    {"known_at", DUCK_TIME, false},
    {"revision", DUCK_I64, false},   {"retracted", DUCK_BOOL, false},
    {"visit", DUCK_I64, false},      {"clocks", DUCK_TEXT, false},
};

static const struct duck_column measure_columns[] = {
    {"unit", DUCK_TEXT, false},      {"node", DUCK_TEXT, false},
    {"rule", DUCK_TEXT, false},      {"station", DUCK_TEXT, false},
    {"operation", DUCK_TEXT, false}, {"characteristic", DUCK_TEXT, false},
    {"value", DUCK_F64, true},       {"lower", DUCK_F64, true},
    {"upper", DUCK_F64, true},       {"target", DUCK_F64, true},
    {"uom", DUCK_TEXT, false},       {"measured_at", DUCK_TIME, false},
    {"known_at", DUCK_TIME, false},  {"revision", DUCK_I64, false},
    {"retracted", DUCK_BOOL, false}, {"serial", DUCK_TEXT, false},
    {"covered", DUCK_F64, true},
};

static const struct duck_column link_columns[] = {
    {"parent", DUCK_TEXT, false},   {"child", DUCK_TEXT, false},
    {"kind", DUCK_TEXT, false},     {"quantity", DUCK_F64, true},
    {"position", DUCK_TEXT, false}, {"operation", DUCK_TEXT, false},
    {"station", DUCK_TEXT, false},  {"valid_from", DUCK_TIME, false},
    {"valid_to", DUCK_TIME, true},  ROW_END_COLUMNS,
};

static const struct duck_column defect_columns[] = {
    ROW_OF_COLUMNS,
    {"defect", DUCK_TEXT, false},
    {"position", DUCK_TEXT, false},
    {"detected_at", DUCK_TIME, false},
    ROW_END_COLUMNS,
};

static const struct duck_column factor_columns[] = {
    ROW_OF_COLUMNS,
    {"kind", DUCK_TEXT, false},
    {"name", DUCK_TEXT, false},
    {"value", DUCK_TEXT, false},
    {"number", DUCK_F64, true},
    {"at", DUCK_TIME, false},
    ROW_END_COLUMNS,
};

static const struct duck_column verdict_columns[] = {
    ROW_OF_COLUMNS,
    {"verdict", DUCK_TEXT, false},
    {"decided_at", DUCK_TIME, false},
    ROW_END_COLUMNS,
};

static const struct duck_column index_columns[] = {
    {"hash", DUCK_U64, false},
    {"entry", DUCK_BYTES, false},
};

#define COLUMNS(list) list, sizeof(list) / sizeof((list)[0])

const struct historian_table trace_tables[TRACE_TABLE_COUNT] = {
    [TRACE_UNITS] =
        {"units",
         "CREATE TABLE IF NOT EXISTS units(unit VARCHAR NOT NULL, serial VARCHAR NOT NULL, status "
         "VARCHAR NOT NULL, node VARCHAR NOT NULL, track VARCHAR NOT NULL, valid_from TIMESTAMP "
         "NOT NULL, valid_to TIMESTAMP, known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, "
         "retracted BOOLEAN NOT NULL);"
         "ALTER TABLE units ADD COLUMN IF NOT EXISTS station VARCHAR DEFAULT '';"
         "ALTER TABLE units ADD COLUMN IF NOT EXISTS visit BIGINT DEFAULT 0",
         COLUMNS(unit_columns)},
    [TRACE_STEPS] =
        {"steps",
         "CREATE TABLE IF NOT EXISTS steps(unit VARCHAR NOT NULL, node VARCHAR NOT NULL, track "
         "VARCHAR NOT NULL, station VARCHAR NOT NULL, place VARCHAR NOT NULL, t_in TIMESTAMP, "
         "t_out TIMESTAMP, status VARCHAR NOT NULL, probability DOUBLE, evidence VARCHAR NOT NULL, "
         "result VARCHAR NOT NULL, known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, "
         "retracted BOOLEAN NOT NULL);"
         "ALTER TABLE steps ADD COLUMN IF NOT EXISTS visit BIGINT DEFAULT 0;"
         "ALTER TABLE steps ADD COLUMN IF NOT EXISTS clocks VARCHAR DEFAULT ''",
         COLUMNS(step_columns)},
    [TRACE_MEASURES] =
        {"measures",
         "CREATE TABLE IF NOT EXISTS measures(unit VARCHAR NOT NULL, node VARCHAR NOT NULL, rule "
         "VARCHAR NOT NULL, station VARCHAR NOT NULL, operation VARCHAR NOT NULL, characteristic "
         "VARCHAR NOT NULL, value DOUBLE, lower DOUBLE, upper DOUBLE, target DOUBLE, uom VARCHAR "
         "NOT NULL, measured_at TIMESTAMP NOT NULL, known_at TIMESTAMP NOT NULL, revision BIGINT "
         "NOT NULL, retracted BOOLEAN NOT NULL);"
         "ALTER TABLE measures ADD COLUMN IF NOT EXISTS serial VARCHAR DEFAULT '';"
         "ALTER TABLE measures ADD COLUMN IF NOT EXISTS covered DOUBLE",
         COLUMNS(measure_columns)},
    [TRACE_LINKS] =
        {"links",
         "CREATE TABLE IF NOT EXISTS links(parent VARCHAR NOT NULL, child VARCHAR NOT NULL, kind "
         "VARCHAR NOT NULL, quantity DOUBLE, position VARCHAR NOT NULL, operation VARCHAR NOT "
         "NULL, station VARCHAR NOT NULL, valid_from TIMESTAMP NOT NULL, valid_to "
         "TIMESTAMP, " ROW_ENDS,
         COLUMNS(link_columns)},
    [TRACE_DEFECTS] = {"defects",
                       "CREATE TABLE IF NOT EXISTS defects" ROW_OF
                       "defect VARCHAR NOT NULL, position VARCHAR NOT NULL, detected_at TIMESTAMP "
                       "NOT NULL, " ROW_ENDS,
                       COLUMNS(defect_columns)},
    [TRACE_FACTORS] = {"factors",
                       "CREATE TABLE IF NOT EXISTS factors" ROW_OF
                       "kind VARCHAR NOT NULL, name VARCHAR NOT NULL, value VARCHAR NOT NULL, "
                       "number DOUBLE, \"at\" TIMESTAMP NOT NULL, " ROW_ENDS,
                       COLUMNS(factor_columns)},
    [TRACE_VERDICTS] = {"verdicts",
                        "CREATE TABLE IF NOT EXISTS verdicts" ROW_OF
                        "verdict VARCHAR NOT NULL, decided_at TIMESTAMP NOT NULL, " ROW_ENDS,
                        COLUMNS(verdict_columns)},
    /* An index of before was in tables of its own. */
    [TRACE_INDEX] = {"trace_tail",
                     "DROP TABLE IF EXISTS trace_index; DROP TABLE IF EXISTS trace_index_tail;"
                     "CREATE TABLE IF NOT EXISTS trace_runs(number BIGINT NOT NULL, level BIGINT "
                     "NOT NULL, entries BIGINT NOT NULL, checksum BIGINT NOT NULL);"
                     "CREATE TABLE IF NOT EXISTS trace_tail(hash UBIGINT NOT NULL, entry BLOB NOT "
                     "NULL)",
                     COLUMNS(index_columns)},
};
