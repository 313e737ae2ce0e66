/* The machine that runs a program: registers, the present chunk of rows, and who failed.
 *
 * One thread. Its memory is made once, when the rule is made.
 */
#ifndef LOTLINE_STREAM_MACHINE_H
#define LOTLINE_STREAM_MACHINE_H

#include "base/err.h"
#include "model/lookup.h"
#include "stream/plan.h"

struct machine {
    const struct program *program;
    struct vec *regs;
    void **storage;               /* each register's own memory */
    uint64_t (*words)[VEC_WORDS]; /* each register's own validity */
    struct arena text;            /* what functions make; reset by machine_chunk */

    /* the chunk */
    const struct batch *batch; /* NULL in a group program */
    uint32_t base;             /* first row of the chunk in the batch */
    uint32_t rows;             /* of the chunk, ≤ VEC_ROWS */
    const struct vec *inputs;  /* of a group program */
    const uint32_t *columns;   /* schemaless: column of each input in this batch, PLAN_NONE */
    int64_t wall_us;           /* now() */
    const int64_t *times;      /* of the chunk's rows */
    struct lookup_reader *lookups;
    struct buf key; /* of a lookup */

    /* which rows of it; NULL = all */
    const uint16_t *selected;
    uint32_t count;
    struct machine_narrow *stack;
    uint32_t stack_used;

    uint64_t failed[VEC_WORDS];
    bool any_failed;
    struct diag error; /* the first of the chunk */
};

/* A selection put aside while some rows alone are looked at. */
struct machine_narrow {
    const uint16_t *selected;
    uint32_t count;
    uint16_t rows[VEC_ROWS];
};

int machine_init(struct machine *m, const struct program *p);
void machine_fini(struct machine *m);

/* Makes [base, base + rows) of batch the present chunk, all rows selected, none failed. */
void machine_chunk(struct machine *m, const struct batch *batch, uint32_t base, uint32_t rows);

/* Runs steps [from, to) of the program. */
void machine_run(struct machine *m, uint32_t from, uint32_t to);

/* Keeps of `rows` (capacity VEC_ROWS) the selected ones for which a WHERE register is true, and
 * selects them; failed rows go. A register that is neither boolean nor null fails its row. */
void machine_where(struct machine *m, uint16_t reg, uint16_t *rows);

/* Takes failed rows out of the selection (into rows). */
void machine_drop_failed(struct machine *m, uint16_t *rows);

/* Marks the row as failed; its result is null. The first text of a chunk is kept. */
void machine_fail(struct machine *m, uint32_t row, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ------------------------------------------------------------------------------------ for kernels
 */

/* The destination's own memory, and its validity with every bit set. */
static inline void *machine_out(struct machine *m, const struct step *s)
{
    struct vec *v = &m->regs[s->dst];
    v->data = m->storage[s->dst];
    v->valid = NULL;
    return m->storage[s->dst];
}

/* The destination's validity, all rows present, to clear bits in. */
uint64_t *machine_valid(struct machine *m, const struct step *s);

/* The destination is present where both a and b are (b may be NULL). */
void machine_valid_both(struct machine *m, const struct step *s, const struct vec *a,
                        const struct vec *b);

/* machine_fail, and row i of the destination is null. */
void step_fail(struct machine *m, const struct step *s, uint32_t i, int err, const char *format,
               ...) __attribute__((format(printf, 5, 6)));

/* Runs the block for every selected row i. Two loops, so that the common one without a selection
 * can be vectorised. */
#define EACH_ROW(m, i, ...)                                                                        \
    if (!(m)->selected)                                                                            \
        for (uint32_t i = 0; i < (m)->count; i++)                                                  \
            __VA_ARGS__                                                                            \
    else                                                                                           \
        for (uint32_t each_k = 0, i = (m)->count ? (m)->selected[0] : 0; each_k < (m)->count;      \
             i = ++each_k < (m)->count ? (m)->selected[each_k] : 0)                                \
        __VA_ARGS__

/* Puts a value into row i of the destination, whose memory and validity are given. */
void vec_store(const struct vec *out, uint64_t *valid, uint32_t i, const struct value *v);

#endif
