/* From the tables of the trace to the matrix of the search for causes.
 *
 * The units are those that went through the operation in which the defect is found. Whatever is
 * known of a unit before that moment is a factor, of the unit itself and of what it was made from
 * (a panel's printing explains its boards): factors and measures that rules have stored, lots it
 * consumed, stations it was at and for how long. What the test itself measured is not: it would
 * explain nothing.
 */
#ifndef LOTLINE_TRACE_WHY_GATHER_H
#define LOTLINE_TRACE_WHY_GATHER_H

#include "trace/trace_priv.h"
#include "trace/why_rank.h"

#define WHY_BEFORE_US   (INT64_C(7) * 86400 * 1000000) /* how long before its test a unit begins */
#define WHY_PARENTS_MAX 64                             /* of one unit, all generations */
#define WHY_DEPTH_MAX   8

/* --------------------------------------------------------------------------------- why_columns.c
 */

struct why_column;

/* The factors while they are filled. Zeroed is empty. */
struct why_columns {
    struct arena arena;
    struct map map; /* kind, name, operation → struct why_column */
    struct why_column **list;
    uint32_t count;
    uint32_t cap;
    uint32_t units;
    size_t bytes; /* held, against WHY_COLUMN_BYTES_MAX */
};

#define WHY_COLUMN_BYTES_MAX (512u << 20)

/* The column of that name, made when it is new. ERR_NOMEM, ERR_LIMIT. */
int why_column_get(struct why_columns *c, enum why_kind kind, struct bytes name,
                   struct bytes operation, struct why_column **ret);

/* How far a value is a unit's. What is in doubt at the same stay, or by the same ancestor, is so
 * for one reason; for others its likelihoods add up. */
struct why_share {
    uint32_t weight; /* 1 to WHY_WHOLE */
    uint32_t reason; /* of what is not whole */
};

/* A unit's value: another level of it, or its number (the likeliest counts, of these the last) with
 * its text, since a whole number may be a name; "" = it is none. */
int why_column_text(struct why_columns *c, struct why_column *column, uint32_t unit,
                    struct bytes text, struct why_share share);
int why_column_number(struct why_columns *c, struct why_column *column, uint32_t unit, double v,
                      struct bytes text, struct why_share share);

/* The columns that can explain anything as the matrix' factors: they differ between units, and a
 * level is shared by at least WHY_LEVEL_BAD_MIN units. They live as long as c. */
int why_columns_finish(struct why_columns *c, const struct why_factor **ret, uint32_t *ret_count);
void why_columns_fini(struct why_columns *c);

/* ---------------------------------------------------------------------------------- why_gather.c
 */

struct why_question {
    const char *defect;
    const char *operation; /* NULL: where it was found most often */
    int64_t since_us;
    int64_t until_us;
    const struct why_stop *stop;       /* the matrix' too */
    const struct bearer_rules *reused; /* which serials come around; NULL: none */
};

struct why_gathered {
    struct arena arena;
    const char *operation;
    struct why_matrix matrix;
    struct why_columns columns;
    uint32_t parents; /* that units were made from, whose factors count too */
};

/* ERR_NOT_FOUND (no unit has the defect; diag says which defects there are), ERR_LIMIT, ERR_NOMEM,
 * ERR_DATABASE, or what question->stop says. *ret needs fini in any case. On the historian's
 * reader; blocking. */
int why_gather(struct duck_conn *conn, const struct why_question *question,
               struct why_gathered *ret, struct diag *diag);
void why_gathered_fini(struct why_gathered *g);

#endif
