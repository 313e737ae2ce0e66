/* Finding functions by name, and refusing arguments. See function.h. */
#include "stream/function.h"

#include "base/str.h"
#include "stream/value_ops.h"

static const struct function *const tables[] = {functions_math, functions_text, functions_misc};

const struct function *function_find(struct bytes name)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct function *f = tables[t]; f->name; f++)
            if (str_equal_nocase(name, f->name))
                return f;
    return NULL;
}

const struct function *function_at(size_t i)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct function *f = tables[t]; f->name; f++)
            if (i-- == 0)
                return f;
    }
    return NULL;
}

void function_arg_refuse(struct machine *m, const struct step *s, uint32_t i, const struct value *v,
                         const char *what)
{
    char text[64];
    value_show(v, text, sizeof text);
    step_fail(m, s, i, ERR_TYPE, "%s is needed, this is %s", what, text);
}
