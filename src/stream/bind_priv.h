/* What the files of the binder share. */
#ifndef LOTLINE_STREAM_BIND_PRIV_H
#define LOTLINE_STREAM_BIND_PRIV_H

#include "stream/bound.h"
#include "stream/function.h"

/* Where a name stands decides what it means. */
enum bind_stage {
    BIND_ROW,   /* WHERE, GROUP BY, arguments of aggregates, items of a statement without window */
    BIND_GROUP, /* items and HAVING of a statement with a window */
};

struct bind_alias {
    const struct select_item *item;
    bool open;         /* being bound now: its own name means the column */
    struct bound *row; /* bound already, by stage; NULL */
    struct bound *group;
};

struct binder {
    struct arena *arena;
    struct diag *diag;
    const struct catalogue *catalogue;
    const struct select *select;
    struct bound_select *out;
    struct bind_alias *aliases; /* one an item of the SELECT */
    bool in_aggregate;
    uint32_t inputs_cap;
    uint32_t group_inputs_cap;
    uint32_t aggregates_cap;
    uint32_t items_cap;
    uint32_t fields;        /* unnamed expressions so far */
    struct bound **lookups; /* searches that are bound */
    uint32_t lookup_count;
    uint32_t lookups_cap;
};

int bind_expr(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret);

/* Whether the name is an aggregate function. */
bool bind_is_aggregate(struct bytes name);

/* A bare name: alias, column, or `ts`. */
int bind_column(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret);

/* A call: function, aggregate, or one of those that belong to the row or the window. */
int bind_call(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret);

/* lookup('stream', 'column', key, …). */
int bind_lookup(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret);

/* The input of the row program; the same one when asked again. */
int bind_input(struct binder *b, enum input_kind kind, const struct expr *at, struct bytes name,
               struct bound **ret);

/* The group program's input of that kind. */
int bind_group_input(struct binder *b, const struct expr *at, struct group_input spec,
                     struct bound **ret);

/* An aggregate over arg (NULL: count(*)) as an input of the group program. */
int bind_aggregate(struct binder *b, const struct expr *at, enum agg_kind kind, struct bound *arg,
                   struct bound **ret);

/* The same without an input of its own: where it stands among the aggregates. spec needs kind, type
 * and what belongs to them. */
int bind_aggregate_index(struct binder *b, const struct expr *at, struct aggregate spec,
                         struct bound *arg, uint32_t *ret);

/* Where along the track the column is, if it has a place of its own. */
void bind_aggregate_place(const struct binder *b, uint32_t column, struct aggregate *io);

/* profile(), and an aggregate of it. */
bool bind_is_profile(const struct expr *e);
int bind_profile(struct binder *b, const struct expr *e, enum agg_kind kind, double threshold,
                 struct bound **ret);

/* unit_id() and the like. False: it is none of these. */
bool bind_unit(struct binder *b, const struct expr *e, struct bound **ret, int *ret_err);

struct bound *bound_new(struct binder *b, enum bound_kind kind, enum value_type type,
                        const struct expr *at);

/* bound_new with arguments copied. NULL when out of memory. */
struct bound *bound_with(struct binder *b, enum bound_kind kind, enum value_type type,
                         const struct expr *at, struct bound *const *args, uint32_t count);

/* x as a vector of the kind of `type` (x itself if it is one already). */
int bind_convert(struct binder *b, struct bound *x, enum value_type type, struct bound **ret);

/* The column's index, PLAN_NONE in a schemaless stream; ERR_NOT_FOUND with the columns there are.
 */
int bind_find_column(struct binder *b, const struct expr *at, struct bytes name, uint32_t *ret);

int bind_error(struct binder *b, int err, const struct expr *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
