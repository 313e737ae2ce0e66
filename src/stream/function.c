/* Finding functions by name. See function.h. */
#include "stream/function.h"

#include "base/str.h"

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
