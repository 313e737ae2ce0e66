/* What the trace's files share. The tables are written on the historian's writer (record.c) and
 * read on its reader (unit.c, units.c); what is here is made by configure and then only read. */
#ifndef LOTLINE_TRACE_TRACE_PRIV_H
#define LOTLINE_TRACE_TRACE_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "trace/bearer.h"
#include "trace/index_store.h"
#include "trace/trace.h"

#define TRACE_COLUMNS_MAX 1024 /* of one list of an action */
#define TRACE_SIGNALS_MAX 256  /* of one track */
/* 9999-12-31: after everything. */
#define TRACE_NO_END_US ((int64_t)253402214400000000)

#define TRACE_UNIT_BYTES 16
#define TRACE_UNIT_TEXT  (2 * TRACE_UNIT_BYTES)

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

/* Factors by 5M1E. */
#define TRACE_KINDS 6
extern const char *const trace_kinds[TRACE_KINDS + 1]; /* ends with NULL */

/* What a step was made for and by: rows of the factors' table that are no factors. */
#define TRACE_KIND_ORDER  "order"
#define TRACE_KIND_RECIPE "recipe"

/* Names of columns. */
struct trace_columns {
    const char **items;
    uint32_t count;
};

/* A trace action of a rule. */
struct trace_rule {
    struct trace_rule *next; /* another action of the same rule */
    const char *name;
    const char *operation;
    const char *station; /* "" = where the unit was then */
    const char *unit;    /* the column that names the unit … */
    bool unit_is_serial; /* … by its serial and not by its id */
    struct trace_columns measures;
    struct trace_columns covered; /* none, one of all measures, or one of each */
    struct trace_columns factors[TRACE_KINDS];
    struct trace_columns defects;
    struct trace_columns children;
    struct trace_columns parents;
    struct trace_columns consumes;
    struct trace_columns
        quantities;       /* none, one of all links, or one of each: as they stand above */
    const char *position; /* a column, or NULL */
    const char *verdict;  /* a column, or NULL */
    const char *order;    /* a column, or NULL */
    const char *recipe;   /* a column, or NULL */
    const char *child_kind;
    const char *parent_kind;
};

/* What of a track's signals is drawn. */
struct trace_track {
    const char *name;
    const char **signals; /* streams or tags, as configured */
    uint32_t signal_count;
    const struct tree **ranges; /* beside signals: where on the belt, NULL = anywhere */
    const struct tree *places;  /* of a belt: station, from_mm, to_mm; NULL = no belt */
    const char *own[5];         /* what makes the presences: not drawn; "" = none */
};

struct trace {
    struct historian *historian;
    struct arena arena; /* everything from the configuration */
    struct catalogue *catalogue;
    struct characteristic *characteristics;
    uint32_t characteristic_count;
    struct bearer_rules reused; /* which serials come around */
    struct map rules;           /* name → struct trace_rule */
    struct map tracks;          /* name → struct trace_track */
    struct index_store store;   /* the adjacency index */
    /* The historian's reader alone: what curves of a track and a station are drawn of. */
    struct map signals; /* trace_visit_name → struct trace_signals */
    int64_t signals_of; /* how many tags there were then */
};

/* ------------------------------------------------------------------------------------ tables.c */

enum {
    TRACE_UNITS,
    TRACE_STEPS,
    TRACE_MEASURES,
    TRACE_LINKS,
    TRACE_DEFECTS,
    TRACE_FACTORS,
    TRACE_VERDICTS,
    TRACE_INDEX,
    TRACE_TABLE_COUNT,
};

extern const struct historian_table trace_tables[TRACE_TABLE_COUNT];

/* -------------------------------------------------------------------------------------- cell.c */

#define TRACE_CELL_BYTES_MAX 64 /* of what is no text: numbers, times */

struct value cell_from_text(struct bytes v);
struct value cell_from_time(int64_t us);
struct value cell_from_number(bool present, double v); /* NaN is none */
struct value cell_from_count(int64_t v);
struct value cell_no(void); /* retracted: no */

/* The cell of a column by its name; VALUE_NULL if it is absent or of another type. */
struct value cell_value(const struct batch *b, const char *name, uint32_t row,
                        enum value_type type);

/* As cell_value for text; "" if it is absent. */
struct value cell_text(const struct batch *b, const char *name, uint32_t row);

/* As people see it; *ret_uom (may be NULL) stays if there is no such column. */
struct value cell_shown(const struct batch *b, const char *name, uint32_t row,
                        const char **ret_uom);

/* A value as text, without the blanks and zeros that devices pad with: a view into v or out. Empty:
 * null, no text, or longer than TRACE_SERIAL_BYTES_MAX. */
struct bytes cell_print(const struct value *v, char out[static TRACE_CELL_BYTES_MAX]);

/* A number, also one that a file has as text; false for everything else. */
bool cell_number(const struct value *v, double *ret);

/* A unit's id, TRACE_UNIT_BYTES of them, as text: lower-case digits. */
void cell_unit_print(const uint8_t *id, char out[static TRACE_UNIT_TEXT + 1]);

/* And back; false for every other text. */
bool cell_unit_parse(struct bytes text, uint8_t out[static TRACE_UNIT_BYTES]);

/* The id of a row's unit as text; false if it has none. */
bool cell_unit(const struct batch *b, const char *name, uint32_t row,
               char out[static TRACE_UNIT_TEXT + 1]);

/* ------------------------------------------------------------------------------------- index.c */

/* What an entry of the index says about the key it is found by. */
enum trace_role {
    TRACE_IS_SERIAL = 1, /* the key is a unit's id: other = its serial ("" = unread), while there */
    TRACE_IS_UNIT = 2,   /* the key is a serial: other = a unit's id, while there */
    TRACE_HAS_CHILD = 3, /* a link to other */
    TRACE_HAS_PARENT = 4, /* a link from other */
    TRACE_HAS_ROWS = 5,   /* measures, factors, defects, verdicts at that time */
};

/* Where a key is found. Written to disk: never changes. */
uint64_t trace_hash(struct bytes key);

/* One entry beside its key. Texts are borrowed. */
struct trace_mark {
    enum trace_role role;
    struct bytes other;
    const char *kind; /* of the link; of an alias: which visit says so (trace_visit_name) */
    struct bytes position;
    int64_t t_from;
    struct value t_to;
    struct value quantity; /* of the link; VALUE_NULL: not said */
    int64_t known_at;
    int64_t revision;
};

/* Track and station of a visit as one text. */
#define TRACE_VISIT_BYTES_MAX 600
void trace_visit_name(struct bytes track, struct bytes station, int64_t number, char *out);

/* Takes an entry: into a transaction (trace_index_txn), or into runs (making it anew). */
typedef int (*trace_index_sink)(void *ctx, uint64_t hash, struct bytes entry);
int trace_index_txn(void *txn, uint64_t hash, struct bytes entry);

int trace_index_insert(trace_index_sink sink, void *ctx, struct bytes key,
                       const struct trace_mark *a);
int trace_index_alias(trace_index_sink sink, void *ctx, struct bytes unit, struct bytes serial,
                      const struct trace_mark *like);
int trace_index_link(trace_index_sink sink, void *ctx, const struct bytes keys[2],
                     const struct trace_mark *like);

/* What the index has for one of the keys asked for. */
struct trace_entry {
    uint32_t key; /* number in the list asked for */
    enum trace_role role;
    const char *other;
    const char *kind;
    const char *position;
    double quantity; /* of a link; NaN = not said */
    int64_t t_from;
    int64_t t_to; /* = t_from if it has no end */
    int64_t known_at;
    int64_t revision;
};

struct trace_entries {
    struct trace_entry *items;
    uint32_t count;
    uint32_t cap;
    bool truncated;
};

/* A key has two sides, so that a lot's parents are found without its 100,000 children. */
#define TRACE_SIDE_NAMES    1u /* its other names, its rows, its parents */
#define TRACE_SIDE_CHILDREN 2u

#define TRACE_ENTRIES_MAX 50000

/* Everything known at as_of_us on these sides of the keys, the first key's first, at most
 * TRACE_ENTRIES_MAX. Texts and list are the arena's. Keys are zero-terminated. */
struct trace_index {
    struct trace *trace;
    struct arena *arena;
    int64_t as_of_us;
    struct diag *diag;
};

/* sides: of each key. */
int trace_index_find(const struct trace_index *index, const char *const *keys, const uint8_t *sides,
                     uint32_t count, struct trace_entries *ret);

/* As much of all keys. */
int trace_index_find_sides(const struct trace_index *index, const char *const *keys, uint32_t count,
                           uint8_t sides, struct trace_entries *ret);

/* When something is told of each bearer of a serial, the earliest first (bearer.h). The list is the
 * arena's; NULL: no memory. */
struct trace_span *trace_bearers(struct arena *arena, const struct trace_entry *told,
                                 uint32_t count, int64_t after_us, uint32_t *ret_count);

/* The fields of an entry but for its key; texts are the arena's. ERR_MALFORMED, ERR_NOMEM. */
int trace_index_entry(struct arena *arena, struct bytes text, struct trace_entry *ret);

/* ------------------------------------------------------------------------------------ record.c */

/* Where the rows of a rule's actions go: into a transaction, or to whoever asks what they would be.
 */
struct trace_sink {
    int (*insert)(void *ctx, int table, const struct value *cells);
    void *ctx;
    int64_t known_at;
    struct historian_txn *txn; /* NULL: nothing is written into the index */
};

/* What the actions of a rule (the first of them) make of a batch. */
int trace_rows(const struct trace *t, const struct trace_rule *rule,
               const struct feed_record *record, const struct batch *batch,
               const struct trace_sink *sink);

bool trace_wants(void *ctx, const struct feed_record *record);
int trace_record(void *ctx, const struct feed_record *record, const struct batch *batch,
                 struct historian_txn *txn, bool *ret_points);

/* The limits of a characteristic; NULL if none are configured. */
const struct characteristic *trace_characteristic(const struct trace *t, const char *name);

/* ------------------------------------------------------------------------------------ action.c */

/* Reads one trace action of the rule whose rows have this schema. The names are the arena's. */
int trace_action_bind(struct arena *arena, const char *rule, const struct schema *schema,
                      const struct tree *action, struct trace_rule *ret, struct diag *diag);

/* ------------------------------------------------------------------------------------ config.c */

int trace_config(struct trace *t, const struct config *config, struct catalogue *catalogue,
                 struct diag *diag);

/* The trace actions of the rules alone. */
int trace_config_rules(struct trace *t, const struct config *config, struct catalogue *catalogue,
                       struct diag *diag);

/* ------------------------------------------------------------------------------ unit.c, units.c */

extern const struct call_spec trace_unit_spec;
extern const struct call_spec trace_units_spec;
extern const struct call_spec trace_forward_spec;
extern const struct call_spec trace_stays_spec;
void trace_unit_serve(void *owner, struct call *c);
void trace_forward_serve(void *owner, struct call *c);
void trace_stays_serve(void *owner, struct call *c); /* stays.c */
void trace_units_serve(void *owner, struct call *c);

/* Arguments that several calls have; diag says what is wrong. */
int trace_read_as_of(const struct call *c, int64_t *ret_us, struct diag *diag);
int trace_read_time(const struct call *c, const char *name, int64_t otherwise, int64_t *ret_us,
                    struct diag *diag);
/* Of several units that bore the serial the one of then; 0: the last. */
#define TRACE_AT_DOC                                                                               \
    "of several units that bore the serial, one after the other, the one of this time (RFC "       \
    "3339); "                                                                                      \
    "default: the last"
int trace_read_at(const struct call *c, int64_t *ret_us, struct diag *diag);
int trace_read_key(const struct call *c, const char *name, struct value *ret, struct diag *diag);
int trace_read_depth(const struct call *c, uint32_t otherwise, uint32_t *ret, struct diag *diag);

/* Whether there is hardly time left to print an answer before the caller's deadline. */
bool trace_is_late(const struct call *c);

/* curve.c: the curves of the unit's visits as a JSON list, appended to out. */
struct trace_visit {
    const char *node;
    const char *track;
    const char *station;
    const char *clocks; /* of devices: model/clocks.h; NULL = none */
    int64_t t_in;
    int64_t t_out;
};

int trace_curves(struct trace *t, struct duck_conn *conn, const struct trace_visit *visits,
                 uint32_t count, struct buf *out, struct diag *diag);

void trace_signals_fini(struct trace *t);

/* ------------------------------------------------------------------------------------- json.c */

void trace_json_string(struct bytes v, struct buf *out); /* quoted */

/* The next object of a list: its brace. */
void trace_json_begin(struct buf *out);

/* The next member of an object: its name, or that with a value. */
void trace_json_name(struct buf *out, const char *name);
void trace_json_text(struct buf *out, const char *name, const char *text);
void trace_json_maybe(struct buf *out, const char *name, const char *text); /* null if empty */
void trace_json_time(struct buf *out, const char *name, int64_t us);        /* null if INT64_MIN */
void trace_json_number(struct buf *out, const char *name, double v);        /* null if not finite */

/* The table `name`: what serial these units (a query) bear now. */
#define TRACE_SQL_SERIALS_OF(name, units)                                                          \
    name " AS (SELECT unit, arg_max(serial, known_at) AS serial FROM units WHERE unit IN (" units  \
         ") AND NOT retracted GROUP BY unit)"
/* The table u: those of the table p. */
#define TRACE_SQL_SERIALS TRACE_SQL_SERIALS_OF("u", "SELECT unit FROM p")

/* Whether a measure is within its limits; NULL without limits. */
#define TRACE_SQL_OK                                                                               \
    "CASE WHEN lower IS NULL AND upper IS NULL THEN NULL ELSE coalesce(value >= coalesce(lower, "  \
    "value) AND value <= coalesce(upper, value), false) END"

/* Of two rows s and r of steps: r is a later word on the same visit, known by then. */
#define TRACE_SQL_LATER(as_of)                                                                     \
    "r.unit = s.unit AND r.track = s.track AND r.station = s.station AND coalesce(r.visit, 0) = "  \
    "coalesce(s.visit, 0) AND r.revision > s.revision AND r.known_at <= " as_of

/* Of a row s of steps: no later revision, known by then, takes the visit back. */
#define TRACE_SQL_HOLDS(as_of)                                                                     \
    "NOT s.retracted AND NOT EXISTS (SELECT 1 FROM steps r WHERE r.retracted "                     \
    "AND " TRACE_SQL_LATER(as_of) ")"

/* Of a row s of steps: it is what was known last of the visit by then, and that was not taken back.
 */
#define TRACE_SQL_LATEST(as_of)                                                                    \
    "NOT s.retracted AND s.known_at <= " as_of                                                     \
    " AND NOT EXISTS (SELECT 1 FROM steps r WHERE " TRACE_SQL_LATER(as_of) ")"

/* Of a row s of steps: how likely it was this unit. */
#define TRACE_SQL_SURE "CASE WHEN s.status = 'ambiguous' THEN coalesce(s.probability, 1) ELSE 1 END"

/* Of a row f of facts at the time t, with a station, and a stay g: it is of that stay. A unit
 * window's rows are of the moment at which the stay ended. Those that name their unit by its serial
 * are never of one stay. */
#define TRACE_SQL_OF_STAY(unit, t)                                                                 \
    "g.unit = f." unit " AND (f.station = '' OR f.station = g.station) AND f." t                   \
    " <= g.t_out AND (f." t " > g.t_in OR f." t " = g.t_out)"

/* Of a row f of facts: how likely it is the unit's, 1 unless it is of a stay that may have been
 * another's. */
#define TRACE_SQL_SHARE(unit, t, as_of)                                                            \
    "coalesce((SELECT max(g.sure) FROM (SELECT unit, station, t_in, t_out, " TRACE_SQL_SURE        \
    " AS sure FROM steps s WHERE status = 'ambiguous' AND " TRACE_SQL_LATEST(                      \
        as_of) ") g WHERE " TRACE_SQL_OF_STAY(unit, t) "), 1)"

/* Of a row f of facts: it is not of a stay that was taken back by then. A stay that was only given
 * another number still holds. */
#define TRACE_SQL_STANDS(unit, t, as_of)                                                           \
    "NOT EXISTS (SELECT 1 FROM (SELECT unit, station, t_in, t_out FROM steps s WHERE retracted "   \
    "AND known_at <= " as_of " AND NOT EXISTS (SELECT 1 FROM steps r WHERE " TRACE_SQL_LATER(      \
        as_of) ") AND NOT EXISTS (SELECT 1 FROM steps r WHERE r.unit = s.unit AND r.station = "    \
               "s.station AND r.known_at <= " as_of                                                \
               " AND r.t_out = s.t_out AND coalesce(r.visit, "                                     \
               "0) <> coalesce(s.visit, 0) AND NOT r.retracted)) g WHERE " TRACE_SQL_OF_STAY(      \
                   unit, t) ")"

#endif
