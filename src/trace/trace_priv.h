/* What the trace's files share. The tables are written on the historian's writer (record.c) and
 * read on its reader (unit.c, units.c); what is here is made by configure and then only read. */
#ifndef LOTLINE_TRACE_TRACE_PRIV_H
#define LOTLINE_TRACE_TRACE_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "trace/trace.h"

#define TRACE_MEASURES_MAX 1024 /* of one rule */
#define TRACE_SIGNALS_MAX  256  /* of one track */
#define TRACE_UNIT_BYTES   16
#define TRACE_UNIT_TEXT    (2 * TRACE_UNIT_BYTES)

/* A characteristic as configured. */
struct characteristic {
    const char *name;
    const char *station;
    const char *uom;
    double lower;
    double upper;
    double target;
    bool has_lower;
    bool has_upper;
    bool has_target;
};

/* A rule with a trace action. */
struct trace_rule {
    const char *name;
    const char *operation;
    const char **measures; /* column names */
    uint32_t measure_count;
};

/* What of a track's signals is drawn. */
struct trace_track {
    const char *name;
    const char **signals; /* streams or tags, as configured */
    uint32_t signal_count;
    const char *own[4]; /* unit, begin, end, result: not drawn; NULL = none */
};

struct trace {
    struct historian *historian;
    struct arena arena; /* everything from the configuration */
    struct catalogue *catalogue;
    struct characteristic *characteristics;
    uint32_t characteristic_count;
    struct map rules;  /* name → struct trace_rule */
    struct map tracks; /* name → struct trace_track */
};

/* ------------------------------------------------------------------------------------ record.c */

extern const struct historian_table trace_tables[];
#define TRACE_TABLE_COUNT 3

bool trace_wants(void *ctx, const struct feed_record *record);
int trace_record(void *ctx, const struct feed_record *record, const struct batch *batch,
                 struct historian_txn *txn, bool *ret_points);

/* The limits of a characteristic; NULL if none are configured. */
const struct characteristic *trace_characteristic(const struct trace *t, const char *name);

/* ------------------------------------------------------------------------------------ config.c */

int trace_config(struct trace *t, const struct config *config, struct catalogue *catalogue,
                 struct diag *diag);

/* ------------------------------------------------------------------------------ unit.c, units.c */

extern const struct call_spec trace_unit_spec;
extern const struct call_spec trace_units_spec;
void trace_unit_serve(void *owner, struct call *c);
void trace_units_serve(void *owner, struct call *c);

/* curve.c: the curves of the unit's visits as a JSON list, appended to out. */
struct trace_visit {
    const char *node;
    const char *track;
    const char *station;
    int64_t t_in;
    int64_t t_out;
};

int trace_curves(const struct trace *t, struct duck_conn *conn, const struct trace_visit *visits,
                 uint32_t count, struct buf *out, struct diag *diag);

/* A JSON string, quoted. */
void trace_json_string(struct bytes v, struct buf *out);

/* A verdict for a step: its result if it has one, else what its measures say. Needs `s` (steps)
 * and `v` (unit, ok). */
#define TRACE_SQL_VERDICT                                                                          \
    "CASE WHEN s.result IN ('pass', 'fail') THEN s.result WHEN v.ok THEN 'pass' WHEN NOT v.ok "    \
    "THEN 'fail' ELSE 'unknown' END"

/* Whether a measure is within its limits; NULL without limits. */
#define TRACE_SQL_OK                                                                               \
    "CASE WHEN lower IS NULL AND upper IS NULL THEN NULL ELSE coalesce(value >= coalesce(lower, "  \
    "value) AND value <= coalesce(upper, value), false) END"

#endif
