/* Kernels: one function a step, chosen by operator and kind of vector when a plan is compiled. */
#ifndef LOTLINE_STREAM_KERNELS_H
#define LOTLINE_STREAM_KERNELS_H

#include "stream/machine.h"
#include "stream/value_ops.h"

/* Inputs of the row program, for every row of the chunk whatever is selected (a register that was
 * loaded once serves all later steps). */
void kernel_load_column(struct machine *m, const struct step *s);
void kernel_load_raw(struct machine *m, const struct step *s);
void kernel_load_quality(struct machine *m, const struct step *s);
void kernel_load_time(struct machine *m, const struct step *s);
/* Of the group program. */
void kernel_load_group(struct machine *m, const struct step *s);

/* Both operands are of kind; NULL if there is no such kernel. */
step_fn kernel_arith(enum op op, enum vec_kind kind);
step_fn kernel_compare(enum op op, enum vec_kind kind);
step_fn kernel_negate(enum vec_kind kind);

/* From one kind of vector to another: anything to VEC_ANY, integers to VEC_F64, VEC_I64 to
 * VEC_U64. NULL if there is no such kernel. */
step_fn kernel_convert(enum vec_kind from, enum vec_kind to);

/* a AND b; b was computed where a is true alone. a OR b; b where a is false alone. a, b: boolean.
 */
void kernel_and(struct machine *m, const struct step *s);
void kernel_or(struct machine *m, const struct step *s);
/* a is boolean; null stays null. */
void kernel_not(struct machine *m, const struct step *s);
/* any → boolean; what is neither boolean nor null fails. s->op: enum op it is for. */
void kernel_truth(struct machine *m, const struct step *s);

/* args: the value, then from and to. s->op: negated. Null on any side gives false. */
step_fn kernel_between(enum vec_kind kind);
/* args: the value, then the list. s->op: negated. */
step_fn kernel_in(enum vec_kind kind);
/* a LIKE b on texts; s->op: negated. */
void kernel_like_text(struct machine *m, const struct step *s);
void kernel_like_any(struct machine *m, const struct step *s);
/* s->op: negated. */
void kernel_is_null(struct machine *m, const struct step *s);

/* Goes on with those selected rows alone in which the boolean register a is true (op 1), or is not
 * (op 0), until kernel_widen. */
void kernel_narrow(struct machine *m, const struct step *s);
void kernel_widen(struct machine *m, const struct step *s);

/* dst = a in the selected rows, which leaves the others as they are. */
void kernel_blend(struct machine *m, const struct step *s);
/* args: the parts of a key; dst: the row of the lookup s->input that holds at the row's time. */
void kernel_lookup_find(struct machine *m, const struct step *s);
/* args[0]: such a row; dst: its column s->op. */
void kernel_lookup_column(struct machine *m, const struct step *s);

/* dst = null in every row of the chunk. */
void kernel_null(struct machine *m, const struct step *s);

#endif
