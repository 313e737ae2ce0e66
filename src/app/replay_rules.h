/* What changed rules would have given: the second part of node.replay (replay.h).
 *
 * The rules of a file, those that read what changes with them, and those that they read, run over
 * the stored rows of the period and over the presences of the replay (stream/offline.h). What they
 * give is compared with what is stored of them: the results of trace actions, and the rows of those
 * with a historian action. All other actions are only counted.
 *
 * replay_rules.c chooses and runs the rules, replay_rows.c reads whole rows, replay_facts.c
 * compares and prints. Private to app/.
 */
#ifndef LOTLINE_APP_REPLAY_RULES_H
#define LOTLINE_APP_REPLAY_RULES_H

#include "app/replay.h"
#include "base/map.h"
#include "stream/offline.h"
#include "trace/results.h"

#define REPLAY_FACTS_MAX 400000 /* of each side */

/* --------------------------------------------------------------------------------- replay_facts.c
 */

/* What is compared: a row of a table of the trace, or one value of a rule's stored row. */
enum replay_fact_kind {
    REPLAY_MEASURE,
    REPLAY_FACTOR,
    REPLAY_DEFECT,
    REPLAY_VERDICT,
    REPLAY_LINK,
    REPLAY_VALUE,
    REPLAY_FACT_KINDS,
};

/* Texts live in the list's arena, each once. */
struct replay_fact {
    enum replay_fact_kind kind;
    const char *rule;
    const char *unit;   /* its id, "" if there is none */
    const char *serial; /* "" if it was not read */
    const char *operation;
    const char *station;
    const char *name;
    const char *type;
    const char *position;
    const char *value; /* "": none */
    int64_t at;
    uint32_t order; /* in which they came: the last word counts */
    int32_t other;  /* index of what it is on the other side, -1 = nothing */
};

struct replay_facts {
    struct arena arena;
    struct map texts;
    struct replay_fact *items;
    uint32_t count;
    uint32_t cap;
};

/* A text of the list's own. NULL when out of memory. */
const char *replay_facts_text(struct replay_facts *l, struct bytes text);

/* Its texts must be the list's. ERR_LIMIT (REPLAY_FACTS_MAX), ERR_NOMEM. */
int replay_facts_add(struct replay_facts *l, const struct replay_fact *fact);
int replay_facts_result(struct replay_facts *l, const struct trace_result *result);

/* One stored value; bytes that are no text are the ids of units. */
int replay_facts_value(struct replay_facts *l, const struct replay_fact *like,
                       const struct value *v, bool is_text);
void replay_facts_fini(struct replay_facts *l);

/* Units get the serials, and the stations, that these visits have: all that were told of, which are
 * settled by this. The results of those that do not hold any more are dropped. */
int replay_facts_name(struct replay_facts *l, struct replay_list *visits);

/* Of what was said twice of one moment the last; by (rule, kind, …, time). */
void replay_facts_settle(struct replay_facts *l);

enum replay_fact_change {
    REPLAY_FACT_SAME,
    REPLAY_FACT_CHANGED, /* another value */
    REPLAY_FACT_MOVED,   /* of another time */
    REPLAY_FACT_ADDED,
    REPLAY_FACT_REMOVED,
    REPLAY_FACT_CHANGES,
};

extern const char *const replay_fact_changes[REPLAY_FACT_CHANGES]; /* their names */

/* Tells of each pair within the period what it is. */
typedef void (*replay_fact_fn)(void *ctx, const char *rule, enum replay_fact_change change);

/* Compares two settled lists and prints what differs as a JSON list, in the order of time.
 * ERR_NOMEM.
 */
int replay_facts_diff(struct replay_facts *before, struct replay_facts *after,
                      const struct replay_period *period, replay_fact_fn fn, void *ctx,
                      struct replay_answer *ret);

/* ---------------------------------------------------------------------------------- replay_rows.c
 */

struct replay_rows_stream;

/* Stored rows, whole: all cells that one row had when it came, of any quality. */
struct replay_rows {
    struct historian *historian;
    const char *node;
    const struct replay_stop *stop;
    struct arena arena;
    struct replay_rows_stream *streams;
    uint32_t stream_count;
    uint32_t stream_cap;
    struct replay_tags tags;
    int64_t lag_min_us; /* of a value, against its row */
    int64_t lag_max_us;
    int64_t at_us;
    int64_t length_us;
    struct replay_rows_piece *piece;
    uint64_t rows;

    int (*take)(void *ctx, const struct stream *s, const struct batch *b);
    void *ctx;
};

/* The stream's rows are wanted. Set historian, node, stop, take and ctx first; the rest zero. */
int replay_rows_add(struct replay_rows *r, const struct stream *s);

/* Finds what is stored of them from from_us to to_us; the rows begin there. */
int replay_rows_open(struct replay_rows *r, int64_t from_us, int64_t to_us, struct diag *diag);

/* Why the stream's rows cannot be had as they were, NULL if they can. After open; what is only seen
 * by reading them, after that. */
const char *replay_rows_why(const struct replay_rows *r, const struct stream *s);

/* Gives the rows before to_us that were not given yet, in the order of time. */
int replay_rows_until(struct replay_rows *r, int64_t to_us, struct diag *diag);
void replay_rows_fini(struct replay_rows *r);

/* --------------------------------------------------------------------------------- replay_rules.c
 */

struct replay_rules;

struct replay_rules_options {
    const struct config *config; /* of all rules */
    const struct config *over;   /* what was given: whose tracks and rules are changed */
    const struct catalogue *catalogue;
    const struct catalogue *presences; /* the replay's; NULL: no tracks */
    const struct trace *trace;
    struct historian *historian;
    const struct replay_stop *stop;
    struct replay_period period;
};

/* What is wrong with a rule is in diag, with its place. */
int replay_rules_new(const struct replay_rules_options *options, struct replay_rules **ret,
                     struct diag *diag);
void replay_rules_free(struct replay_rules *r); /* NULL is allowed */

/* How many take part. */
uint32_t replay_rules_count(const struct replay_rules *r);

/* Whether one of those that take part joins units. */
bool replay_rules_join(const struct replay_rules *r);

/* What is stored is read, and where the rows lie. */
int replay_rules_open(struct replay_rules *r, struct diag *diag);

/* Presences of the replay, in the order in which they came, before the rows of their time. */
int replay_rules_presences(struct replay_rules *r, const struct replay_batch *batches,
                           uint32_t count);
int replay_rules_until(struct replay_rules *r, int64_t to_us, struct diag *diag);

/* No presences come any more: the rest of the rows. */
int replay_rules_end(struct replay_rules *r, struct diag *diag);

/* Rows that were read, and of which tags: their numbers, "" if none. */
uint64_t replay_rules_rows(const struct replay_rules *r);
const char *replay_rules_tags(struct replay_rules *r);

struct replay_rules_answer {
    struct buf rules;             /* JSON: what became of each */
    struct replay_answer results; /* what differs */
};

/* before, after: all visits of both sides that were told of, with their serials; settled by this.
 */
int replay_rules_diff(struct replay_rules *r, struct replay_list *before, struct replay_list *after,
                      struct replay_rules_answer *ret);

#endif
