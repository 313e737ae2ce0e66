/* What trace actions make of rows, told instead of stored, and what is stored of them: for
 * comparing the two (replay). */
#ifndef LOTLINE_TRACE_RESULTS_H
#define LOTLINE_TRACE_RESULTS_H

#include "trace/trace.h"

struct trace_results;

enum trace_result_kind {
    TRACE_RESULT_MEASURE,
    TRACE_RESULT_FACTOR,
    TRACE_RESULT_DEFECT,
    TRACE_RESULT_VERDICT,
    TRACE_RESULT_LINK,
};

/* One row of one of the tables. Texts are borrowed for the callback. */
struct trace_result {
    enum trace_result_kind kind;
    struct bytes rule;
    struct bytes unit;   /* its id as text, "" if a serial is given; of a link the parent */
    struct bytes serial; /* "" if an id is given, unless it is known besides */
    struct bytes operation;
    struct bytes station;
    struct bytes name;     /* characteristic, factor, defect; of a link the child */
    struct bytes type;     /* of a factor and a link */
    struct bytes position; /* of a defect and a link */
    struct value value;    /* a number, a text, or VALUE_NULL: it has none */
    int64_t at;
};

/* A non-zero return ends it and is returned. */
typedef int (*trace_result_fn)(void *ctx, const struct trace_result *result);

/* The trace actions of the rules in `config`, whose streams are in `catalogue` (where they become
 * durable). The characteristics are those of t, which must live as long. What is wrong with an
 * action is in diag, with its place. */
int trace_results_new(const struct trace *t, const struct config *config,
                      struct catalogue *catalogue, struct trace_results **ret, struct diag *diag);
void trace_results_free(struct trace_results *r); /* NULL is allowed */

/* Whether the rule has a trace action. */
bool trace_results_has(const struct trace_results *r, const char *rule);

/* Tells what would be stored of rows of that rule. */
int trace_results_tell(const struct trace_results *r, const char *rule, const struct batch *rows,
                       trace_result_fn fn, void *ctx);

/* Tells what is stored of some rules (names with line feeds between them) of this node in
 * [from_us, to_us), in the order in which it became known. On the historian's reader. */
struct trace_results_asked {
    const char *node;
    const char *rules;
    int64_t from_us;
    int64_t to_us;
};

int trace_results_stored(struct duck_conn *conn, const struct trace_results_asked *asked,
                         trace_result_fn fn, void *ctx, struct diag *diag);

#endif
