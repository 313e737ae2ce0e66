/* From units, good and bad, and their factors to the causes that the evidence bears out.
 *
 * A matrix in, an answer out: no tables, no clock, no names are looked at (a renamed plant gives
 * the same answer). What is called a cause has passed both Benjamini-Hochberg over every test made
 * and a null in which the bad units are shifted in time against the factors, as they are: lots,
 * shifts and drifts make neighbours alike, and a test that takes units as independent finds a cause
 * in most of them. docs/why.md tells the method to those who use it.
 */
#ifndef LOTLINE_TRACE_WHY_RANK_H
#define LOTLINE_TRACE_WHY_RANK_H

#include "base/arena.h"
#include "trace/why_stats.h"

#define WHY_UNITS_MAX     200000
#define WHY_FACTORS_MAX   1000
#define WHY_LEVELS_MAX    60000      /* of all factors; a factor of numbers takes up to 26 */
#define WHY_ENTRIES_MAX   100000000u /* units × factors that are known */
#define WHY_BAD_MIN       8          /* fewer bad units: inconclusive */
#define WHY_GOOD_MIN      8          /* fewer good ones as well */
#define WHY_LEVEL_BAD_MIN 3          /* of them with a level, for it to be looked at */
#define WHY_Q_MAX         0.001      /* false discovery rate */
#define WHY_SHIFT_P_MAX   0.10       /* chance that shifted bad units match any factor so well */
#define WHY_ALIKE_MIN     0.9        /* |phi| or |r| from which two factors are not separable */
#define WHY_WHOLE         100        /* hundredths: a weight of what is in no doubt */
#define WHY_CAUSES_MAX    4
#define WHY_SUSPECTS_MAX  5
#define WHY_ALIKE_MAX     8
#define WHY_CHANGED_MAX   6

/* 5M1E, in the order in which factors that are not separable are named. */
enum why_kind {
    WHY_MAN,
    WHY_MACHINE,
    WHY_MATERIAL,
    WHY_METHOD,
    WHY_MEASUREMENT,
    WHY_ENVIRONMENT,
};

/* That a unit has a level of a factor. */
struct why_entry {
    uint32_t unit;
    uint32_t level;
};

/* Either numbers or entries. A unit without a number takes no part in the factor's tests; one
 * without a level is without all of them. What may have been another unit's has a weight, how
 * likely it is this one's: 1 to WHY_WHOLE. */
struct why_factor {
    const char *name;
    const char *station; /* or operation; "" = none */
    enum why_kind kind;
    const double *numbers;           /* [units], NaN = none */
    const struct why_entry *entries; /* ascending by unit, then level; a unit may have several */
    uint32_t entry_count;
    const char *const *levels; /* [level_count] */
    uint32_t level_count;
    const uint8_t *weights; /* of the entries, or of each unit's number; NULL = all are whole */
};

/* Whether the search has to end, asked between its parts, each some milliseconds long. fn: OK,
 * or the error that it ends with. */
struct why_stop {
    int (*fn)(void *ctx);
    void *ctx;
};

/* NULL never ends it. */
static inline int why_stopped(const struct why_stop *s)
{
    return s ? s->fn(s->ctx) : OK;
}

struct why_matrix {
    uint32_t units;
    const int64_t *times; /* [units], µs, ascending */
    const uint8_t *bad;   /* [units], 0 or 1 */
    const struct why_factor *factors;
    uint32_t factor_count;
    const struct why_stop *stop;
};

/* Another factor that can't be told from a cause. */
struct why_alike {
    uint32_t factor;
    uint32_t level; /* of a factor with levels */
    double v;       /* |phi|; of two factors of numbers |r| */
};

/* A level that came up near the moment a cause set in. */
struct why_change {
    uint32_t factor;
    uint32_t level;
    uint32_t before; /* the level it took over from; UINT32_MAX = several or none */
    int64_t at_us;
};

struct why_cause {
    uint32_t factor;
    uint32_t level; /* of a factor with levels */
    bool numeric;   /* the factor has numbers: "with" is … */
    bool above;     /* … above the cut, or at or below it */
    bool proven;    /* false: a suspect, beyond chance but not beyond a shift in time */
    double cut;
    struct why_table counts; /* by weight */
    uint32_t weighted;       /* units that were counted in part … */
    double weight;           /* … and what they add up to */

    double strength; /* chi-square with 1 degree of freedom: the order of the list */
    double p;
    double q;
    double p_shift;
    double p_factor; /* of all levels together; of numbers: Mann-Whitney (van Elteren if strata) */
    struct why_interval risk_difference;
    struct why_interval odds_ratio; /* common over the strata where there are some */
    struct why_interval auc;        /* of numbers */
    int64_t first_us;               /* the first unit with it … */
    int64_t last_us;                /* … and the last */
    bool set_in;                    /* the rate of bad units with it rose, at since_us … */
    int64_t since_us;
    int64_t until_us; /* … and fell again; INT64_MAX = it has not */
    struct why_alike alike[WHY_ALIKE_MAX];
    uint32_t alike_count;
    struct why_change changed[WHY_CHANGED_MAX];
    uint32_t changed_count;
};

enum why_result {
    WHY_CAUSES,
    WHY_NOTHING,      /* no factor explains the bad units */
    WHY_INCONCLUSIVE, /* too few units on one side */
};

struct why_answer {
    enum why_result result;
    uint32_t bad;
    uint32_t good;
    uint32_t weighted; /* units of which something was counted in part */
    uint32_t tests;    /* all that were made */
    uint32_t shifts;   /* of the null */
    uint32_t strata;   /* of time; 1 = the rate of bad units does not drift */
    struct why_cause causes[WHY_CAUSES_MAX + WHY_SUSPECTS_MAX]; /* proven ones first */
    uint32_t cause_count;
};

/* ERR_LIMIT (diag says which), ERR_NOMEM, or what matrix->stop says. Deterministic. Blocking:
 * seconds at the limits. */
int why_rank(const struct why_matrix *matrix, struct why_answer *ret, struct diag *diag);

#endif
