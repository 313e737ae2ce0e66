/* Functions on values of any type: cast, coalesce, isnull, now. */
#include "stream/cast.h"
#include "stream/function.h"
#include "stream/value_ops.h"

static int misc_isnull_row(struct machine *m, const struct step *s, uint32_t i,
                           const struct value *args, struct value *ret)
{
    (void)m;
    (void)s;
    (void)i;
    *ret = (struct value){.type = VALUE_BOOL, .boolean = args[0].type == VALUE_NULL};
    return OK;
}

static int misc_coalesce_row(struct machine *m, const struct step *s, uint32_t i,
                             const struct value *args, struct value *ret)
{
    (void)args; /* there may be more than FUNCTION_VALUES_MAX */
    for (uint16_t k = 0; k < s->arg_count && ret->type == VALUE_NULL; k++)
        *ret = vec_value(&m->regs[s->args[k]], i);
    return OK;
}

/* The second argument's constant was read at compile time: it is the result's type. */
static int misc_cast_row(struct machine *m, const struct step *s, uint32_t i,
                         const struct value *args, struct value *ret)
{
    enum value_type to = m->regs[s->dst].type;
    int err = cast_value(&m->text, &args[0], to, ret);
    if (err) {
        char text[64];
        value_show(&args[0], text, sizeof text);
        step_fail(m, s, i, err, "%s cannot be cast to %s: %s", text, value_type_name(to),
                  err_text(err));
    }
    return err;
}

static int misc_now_row(struct machine *m, const struct step *s, uint32_t i,
                        const struct value *args, struct value *ret)
{
    (void)s;
    (void)i;
    (void)args;
    *ret = (struct value){.type = VALUE_INT64, .i64 = m->wall_us / 1000};
    return OK;
}

FUNCTION_KERNEL(misc_isnull)
FUNCTION_KERNEL(misc_coalesce)
FUNCTION_KERNEL(misc_cast)
FUNCTION_KERNEL(misc_now)

const struct function functions_misc[] = {
    {.name = "cast",
     .args = "*s",
     .args_min = 2,
     .args_max = 2,
     .result = RESULT_CAST,
     .may_fail = true,
     .kernel = misc_cast,
     .doc = "as bigint, float, string, boolean, datetime or bytea"},
    {.name = "coalesce",
     .args = "*",
     .args_min = 1,
     .args_max = FUNCTION_ARGS_MAX,
     .result = RESULT_COMMON,
     .takes_null = true,
     .kernel = misc_coalesce,
     .doc = "the first that is not null"},
    {.name = "isnull",
     .args = "*",
     .args_min = 1,
     .args_max = 1,
     .result = RESULT_BOOL,
     .takes_null = true,
     .kernel = misc_isnull,
     .doc = "whether it is null"},
    {.name = "now",
     .args = "",
     .args_min = 0,
     .args_max = 0,
     .result = RESULT_INT,
     .takes_null = true,
     .kernel = misc_now,
     .doc = "the wall clock in milliseconds"},
    {.name = "tstamp",
     .args = "",
     .args_min = 0,
     .args_max = 0,
     .result = RESULT_INT,
     .takes_null = true,
     .kernel = misc_now,
     .doc = "as now"},
    {.name = NULL},
};
