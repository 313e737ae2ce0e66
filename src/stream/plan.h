/* A bound plan: what one statement does, checked against the catalogue and never changed again.
 *
 * Expressions are flat arrays of steps (struct program); each step is one kernel, chosen by the
 * types at compile time, that works on whole vectors in numbered registers. What changes while a
 * rule runs is the machine's (machine.h) and the operator's (pipeline.h), so that a plan may be
 * shared and looked at from any thread.
 *
 *   rows:     batch → [where] → items                                      (row program)
 *   windows:  batch → [where] → keys, arguments → groups … window closes
 *             groups → [having] → items                                    (group program)
 */
#ifndef LOTLINE_STREAM_PLAN_H
#define LOTLINE_STREAM_PLAN_H

#include "base/arena.h"
#include "model/catalogue.h"
#include "stream/vec.h"

#define PLAN_REGISTERS_MAX 65535
#define PLAN_NONE          UINT32_MAX

/* ---------------------------------------------------------------------------------------- program
 */

struct lookup;
struct machine;
struct step;

/* Works on the machine's present chunk and selection: registers a, b, c (or args) → dst. */
typedef void (*step_fn)(struct machine *m, const struct step *s);

struct step {
    step_fn fn;
    uint16_t dst;
    uint16_t a;
    uint16_t b;
    uint16_t arg_count;
    const uint16_t *args; /* registers, for functions */
    uint32_t input;       /* loads: index into the program's inputs; lookups: of those */
    uint32_t op;          /* enum op, for errors and for kernels of many operators; a column */
};

enum input_kind {
    INPUT_COLUMN,  /* the value as people see it */
    INPUT_RAW,     /* the stored value */
    INPUT_QUALITY, /* "good", "timeout", … */
    INPUT_TIME,    /* the row's time */
    INPUT_GROUP,   /* a result of a group or of its window: struct group_input */
};

struct input {
    enum input_kind kind;
    enum value_type type;
    uint32_t column;   /* of the stream's schema; of a schemaless stream by name */
    struct bytes name; /* the column's, without a terminating zero */
};

struct program {
    const struct step *steps;
    uint32_t step_count;
    uint32_t reg_count;
    const enum value_type *reg_types;
    const struct input *inputs;
    uint32_t input_count;
    const struct value *constants; /* the first registers hold these for ever */
    uint32_t constant_count;
    uint32_t narrow_max;                 /* how deep selections are stacked */
    const struct lookup *const *lookups; /* what lookup() reads, by number */
    uint32_t lookup_count;
};

/* -------------------------------------------------------------------------------------- aggregates
 */

enum agg_kind {
    AGG_FIRST_ROW, /* of the group's first row, null or not: a bare column beside aggregates */
    AGG_FIRST,     /* the first that is not null */
    AGG_LAST,
    AGG_LAST_PRESENT, /* last_value(x, true) */
    AGG_COUNT,
    AGG_COUNT_ROWS, /* count(*) */
    AGG_SUM,
    AGG_AVG,
    AGG_MIN,
    AGG_MAX,
    AGG_COVERED,   /* unit windows: part of the interval whose value is known, 0 … 1 */
    AGG_TIMEABOVE, /* unit windows: seconds above the threshold */
    AGG_SERIES,    /* unit windows: no result, values that a profile is made of */
};

/* Along a piece of the belt the unit's own curve goes from one signal to the next: at low_mm it is
 * that of one, at high_mm that of the other. */
struct profile_region {
    double from_mm;
    double to_mm;
    uint32_t low; /* index of the aggregate that keeps the signal's values */
    uint32_t high;
    double low_mm; /* equal to high_mm: one signal alone */
    double high_mm;
};

struct profile {
    const struct profile_region *regions; /* by from_mm */
    uint32_t region_count;
};

struct aggregate {
    enum agg_kind kind;
    enum value_type type;     /* of the result */
    enum value_type arg_type; /* of the argument */
    uint16_t reg;             /* the argument's register in the row program */
    uint32_t offset_column; /* unit windows: whose acquisition times count; PLAN_NONE: the row's */
    bool linear;            /* unit windows: the signal runs straight between two values */
    bool placed;            /* unit windows: counts while the unit is in [from_mm, to_mm) */
    double from_mm;
    double to_mm;
    double threshold;              /* AGG_TIMEABOVE */
    const struct profile *profile; /* of the unit's own curve, which needs no argument; NULL */
};

enum group_input_kind {
    GROUP_AGGREGATE, /* index: which */
    GROUP_WINDOW_START,
    GROUP_WINDOW_END,
    GROUP_TIME,
    GROUP_UNIT, /* index: column of the presence */
};

struct group_input {
    enum group_input_kind kind;
    uint32_t index;
    enum value_type type;
};

/* -------------------------------------------------------------------------------------------- plan
 */

enum window_kind {
    WINDOW_NONE,
    WINDOW_TUMBLING,
    WINDOW_UNIT,
};

/* An output column. */
struct plan_item {
    const char *name;
    bool pass;       /* a stored column goes through as it is: type, scale, quality, time offset */
    uint32_t column; /* pass: of the input schema, PLAN_NONE when it is found by name at run time */
    const char *column_name; /* pass */
    uint16_t reg;            /* otherwise */
    enum value_type type;
};

struct plan {
    struct arena arena; /* holds all of this */
    const char *sql;
    struct stream *from;
    struct stream *presence; /* WINDOW_UNIT, else NULL */
    struct schema *input;    /* NULL: schemaless */
    struct program rows;
    uint32_t where;       /* register of the row program, PLAN_NONE */
    uint32_t where_steps; /* steps up to there */
    enum window_kind window;
    int64_t window_us;
    struct bytes station; /* WINDOW_UNIT: only this one; ptr NULL: all */
    const uint16_t *keys; /* registers of the row program */
    uint32_t key_count;
    const struct aggregate *aggregates;
    uint32_t aggregate_count;
    const struct group_input *group_inputs; /* by the input number of the group program */
    struct program groups;
    uint32_t having; /* register of the group program, PLAN_NONE */
    uint32_t having_steps;
    const struct plan_item *items;
    uint32_t item_count;
    bool star; /* a schemaless input: all of its columns stand before the items */
    const struct bytes *star_except;
    uint32_t star_except_count;
    struct schema *output; /* NULL with star */
};

/* Parses, binds and compiles. sql is copied. Errors with *diag (line, column, what to write):
 * ERR_SYNTAX, ERR_NOT_FOUND, ERR_TYPE, ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT; ERR_NOMEM. */
int plan_new(const char *sql, const struct catalogue *catalogue, struct plan **ret,
             struct diag *diag);
void plan_free(struct plan *p); /* NULL is allowed */

/* The output schema over a schemaless input of that schema (star plans; a reference). */
int plan_output_schema(const struct plan *p, const struct schema *input, struct schema **ret);

#endif
