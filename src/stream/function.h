/* The functions of the SQL: one table row each, from which binding takes the number and types of
 * arguments, compiling the kernel, and docs/sql.md the list.
 */
#ifndef LOTLINE_STREAM_FUNCTION_H
#define LOTLINE_STREAM_FUNCTION_H

#include "base/err.h"
#include "stream/machine.h"

enum function_result {
    RESULT_DOUBLE,
    RESULT_INT,
    RESULT_STRING,
    RESULT_BOOL,
    RESULT_TIMESTAMP,
    RESULT_FIRST,  /* the first argument's type */
    RESULT_COMMON, /* the type all arguments have in common, else any */
    RESULT_CAST,   /* named by the second argument, a string constant */
    RESULT_ANY,
};

#define FUNCTION_ARGS_MAX 1024

struct function {
    const char *name;
    /* What each argument may be, one letter each, the last one repeated for more of them:
     * n number, i integer, s text, b boolean, * anything. */
    const char *args;
    uint16_t args_min;
    uint16_t args_max;
    enum function_result result;
    bool may_fail;
    /* Called also when an argument is null; else the result is null then. */
    bool takes_null;
    step_fn kernel;
    step_fn kernel_f64; /* faster, when all arguments and the result are doubles; may be NULL */
    const char *doc;
};

/* Case-insensitive; NULL if there is none. */
const struct function *function_find(struct bytes name);

/* The i-th of all, NULL behind the last. */
const struct function *function_at(size_t i);

/* The tables, by file. Each ends with a row whose name is NULL. */
extern const struct function functions_math[];
extern const struct function functions_text[];
extern const struct function functions_misc[];

/* Arguments of one row as values. */
#define FUNCTION_VALUES_MAX 8

/* Makes a function's kernel out of an inline function of one row: `name_row(m, s, i, args, &out)`
 * gives 0 or an error; out is null at first. The call is direct, so the loop has no indirection. */
#define FUNCTION_KERNEL(name)                                                                      \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        uint64_t *valid = machine_valid(m, s);                                                     \
        void *memory = machine_out(m, s);                                                          \
        struct vec *out = &m->regs[s->dst];                                                        \
        out->valid = valid;                                                                        \
        (void)memory;                                                                              \
        EACH_ROW(m, i, {                                                                           \
            struct value args[FUNCTION_VALUES_MAX];                                                \
            struct value v = {.type = VALUE_NULL};                                                 \
            if (function_args(m, s, i, args) && name##_row(m, s, i, args, &v) != OK)               \
                v.type = VALUE_NULL;                                                               \
            vec_store(out, valid, i, &v);                                                          \
        });                                                                                        \
    }

/* Reads the arguments of row i; false if one is null and the function does not take null. */
static inline bool function_args(const struct machine *m, const struct step *s, uint32_t i,
                                 struct value *ret)
{
    bool present = true;
    ret[0] = ret[1] = ret[2] = (struct value){.type = VALUE_NULL}; /* what may be left out */
    for (uint16_t k = 0; k < s->arg_count && k < FUNCTION_VALUES_MAX; k++) {
        ret[k] = vec_value(&m->regs[s->args[k]], i);
        present &= ret[k].type != VALUE_NULL;
    }
    return present || s->op;
}

/* Notes ERR_TYPE for row i: an argument is not `what` ("a number"). */
void function_arg_refuse(struct machine *m, const struct step *s, uint32_t i, const struct value *v,
                         const char *what);

/* An argument as a kernel wants it. ERR_TYPE, noted for row i. */
static inline int function_arg_number(struct machine *m, const struct step *s, uint32_t i,
                                      const struct value *v, double *ret)
{
    if (v->type == VALUE_BOOL || !value_to_double(v, ret)) {
        function_arg_refuse(m, s, i, v, "a number");
        return ERR_TYPE;
    }
    return OK;
}

static inline int function_arg_integer(struct machine *m, const struct step *s, uint32_t i,
                                       const struct value *v, int64_t *ret)
{
    if (v->type != VALUE_INT64 && v->type != VALUE_UINT64) {
        function_arg_refuse(m, s, i, v, "an integer");
        return ERR_TYPE;
    }
    *ret = v->i64;
    return OK;
}

static inline int function_arg_text(struct machine *m, const struct step *s, uint32_t i,
                                    const struct value *v, struct bytes *ret)
{
    if (v->type != VALUE_STRING) {
        function_arg_refuse(m, s, i, v, "a string");
        return ERR_TYPE;
    }
    *ret = v->bytes;
    return OK;
}

#endif
