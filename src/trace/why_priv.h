/* What the files of the search for causes share. See why_rank.h. */
#ifndef LOTLINE_TRACE_WHY_PRIV_H
#define LOTLINE_TRACE_WHY_PRIV_H

#include "trace/why_rank.h"

/* ---------------------------------------------------------------------------------- why_code.c */

#define WHY_CODE_NONE UINT32_MAX

/* Numbers become bins by quantiles; levels of all factors get numbers in one row. The slots of a
 * factor are also those of its tests: of a factor of levels one each, against all other units (a
 * reel on one of two machines is held against the other machine's units of the same hour as well);
 * of numbers one for each cut between two bins, and the last for the order of the bins, among the
 * units that have a number. */
struct why_coded_factor {
    uint32_t first; /* slot */
    uint32_t count; /* levels, or bins */
    bool numeric;
    bool complete;       /* every unit has a number */
    bool weighted;       /* some are counted in part */
    uint32_t weights;    /* then: the row of the first slot's weights */
    const double *edges; /* [count - 1] of numbers: bin i is above edges[i - 1] */
};

/* What a unit adds to a row of weights. */
struct why_weight {
    uint32_t row;
    uint32_t weight;
};

/* Counts have a row for each slot, one for the units, and behind these, of weighted factors alone,
 * one for each slot's weights and one for its squares of weights: a sum of WHY_UNITS_MAX squares
 * fits in 32 bits. */

struct why_coded {
    const struct why_matrix *matrix;
    struct why_coded_factor *factors; /* [matrix->factor_count] */
    uint32_t slots;
    uint32_t *begin; /* [units + 1] into codes */
    uint16_t *codes; /* slots of a unit, ascending */
    uint32_t rows;
    uint32_t weighted;          /* slots of weighted factors: so far behind weights are squares */
    uint32_t *weight_begin;     /* [units + 1] into weights; NULL = all are whole */
    struct why_weight *weights; /* of a unit, ascending by row */
    struct arena arena;
};

int why_code(const struct why_matrix *matrix, struct why_coded *ret, struct diag *diag);
void why_code_fini(struct why_coded *c);

/* Whether a unit is with the level, or on that side of the cut. */
bool why_is_with(const struct why_coded *c, const struct why_cause *cause, uint32_t unit);

/* The bin of a number. */
uint32_t why_bin(const struct why_coded_factor *f, double v);

/* Whether the unit takes part in the cause's tests. */
bool why_has(const struct why_coded *c, const struct why_cause *cause, uint32_t unit);

/* How much of a unit counts that is with the cause, or of numbers takes part: 1 if whole. */
double why_part(const struct why_coded *c, const struct why_cause *cause, uint32_t unit);

/* How many units have anything that counts in part. */
uint32_t why_part_count(const struct why_coded *c);

/* --------------------------------------------------------------------------------- why_score.c */

/* Time, where the rate of bad units drifts, is cut into cells, and these are put together into
 * strata in three ways: few and wide, twice, so that what changes at an edge of one lies within a
 * stratum of the other: they see lots and shifts. And many and narrow: they see what differs from
 * one unit to the next, which no lot and no drift can imitate. */
#define WHY_CELLS      16
#define WHY_WIDE       4 /* cells of a wide stratum */
#define WHY_SCALES     2
#define WHY_STRATA_MAX 256
#define WHY_WORK       11

/* Units by slot and cell of time, all of them by cell, and weights. */
struct why_counts {
    uint32_t cells;
    uint32_t *slots; /* [rows × cells] */
    uint32_t *units; /* [cells] */
};

/* How cells make strata: each is the cells from the end of the one before to its own. */
struct why_layout {
    uint16_t end[WHY_CELLS]; /* [strata] */
    uint32_t strata;
};

/* Which units are bad when all of them are moved by so many places in time. */
struct why_bad {
    const uint32_t *units; /* ascending */
    uint32_t count;
    uint32_t shift;
};

int why_counts_init(const struct why_coded *c, uint32_t cells, struct why_counts *ret);
void why_counts_fini(struct why_counts *counts); /* zeroed is allowed */

/* cell may be NULL: all are in cell 0. */
void why_count_all(const struct why_coded *c, const uint16_t *cell, struct why_counts *ret);
void why_count_bad(const struct why_coded *c, const uint16_t *cell, const struct why_bad *bad,
                   struct why_counts *ret);

/* Cells into strata; ret has layout->strata cells. */
void why_fold(const struct why_coded *c, const struct why_counts *from,
              const struct why_layout *layout, struct why_counts *ret);

struct why_scorer {
    const struct why_coded *coded;
    const struct why_counts *all; /* each cell is a stratum */
    const struct why_counts *bad;
    bool more_bad; /* levels without bad units need not be scored … */
    double floor;  /* … nor exactly what chi-square puts below */
    double *work;  /* [WHY_WORK × strata] */
};

/* The statistic of each slot: chi-square with one degree of freedom, with the sign of the
 * association (of a cut: + = low values are bad; of the order: + = high values are bad). Where ret
 * holds a larger one, that stays. */
void why_score(const struct why_scorer *s, double *ret);

/* ---------------------------------------------------------------------------------- why_null.c */

/* The layouts of one scale, and what the null gives for it. */
struct why_scale {
    const struct why_layout *layouts;
    uint32_t layout_count;
    double *scores;  /* [slots] of the units as they are */
    double *largest; /* [WHY_SHIFTS_MAX] of any factor, in each shift */
};

#define WHY_LAYOUTS_MAX 3
#define WHY_SHIFTS_MAX  499

/* What is shifted. */
struct why_null {
    const struct why_coded *coded;
    const uint16_t *cell;
    const struct why_counts *all; /* by cell */
    struct why_bad bad;
    const struct why_scale *scales;
    uint32_t scale_count;
    double *work;
};

/* Fills `largest` of each scale. ERR_NOMEM, or what the matrix' stop says. */
int why_null_run(const struct why_null *n, uint32_t *ret_shifts);

/* -------------------------------------------------------------------------------- why_detail.c */

/* Fills what is told about a cause that has been chosen. */
int why_detail(const struct why_coded *c, const uint16_t *stratum, uint32_t strata,
               struct why_cause *cause);

#endif
