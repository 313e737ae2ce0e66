/* Functions on texts. Positions count characters (UTF-8), from 0, as eKuiper's do.
 *
 * New text lies in the machine's arena until the chunk is through; what is a part of an existing
 * text is a view of it.
 */
#include "base/str.h"
#include "stream/cast.h"
#include "stream/function.h"

#include <ctype.h>
#include <string.h>

static int no_memory(struct machine *m, const struct step *s, uint32_t i)
{
    step_fail(m, s, i, ERR_NOMEM, "out of memory for the text of one row");
    return ERR_NOMEM;
}

static int put_text(struct bytes text, struct value *ret)
{
    *ret = (struct value){.type = VALUE_STRING, .bytes = text};
    return OK;
}

static int put_int(int64_t v, struct value *ret)
{
    *ret = (struct value){.type = VALUE_INT64, .i64 = v};
    return OK;
}

static int put_bool(bool v, struct value *ret)
{
    *ret = (struct value){.type = VALUE_BOOL, .boolean = v};
    return OK;
}

static int64_t chars_count(struct bytes t)
{
    int64_t n = 0;
    for (size_t k = 0; k < t.len; k++)
        n += (t.ptr[k] & 0xc0) != 0x80;
    return n;
}

/* Byte offset of the character `at`; the length if there are fewer. */
static size_t chars_offset(struct bytes t, int64_t at)
{
    size_t k = 0;
    while (k < t.len && ((t.ptr[k] & 0xc0) == 0x80 || at-- > 0))
        k++;
    return k;
}

/* ---------------------------------------------------------------------------------------- concat
 */

/* Nulls are left out; what is not text is printed. */
static int text_concat_row(struct machine *m, const struct step *s, uint32_t i,
                           const struct value *args, struct value *ret)
{
    (void)args; /* there may be more than FUNCTION_VALUES_MAX */
    struct bytes parts[FUNCTION_VALUES_MAX];
    size_t len = 0;
    uint8_t *out = NULL;
    for (uint16_t at = 0; at < s->arg_count; at = (uint16_t)(at + FUNCTION_VALUES_MAX)) {
        uint32_t n = 0;
        size_t more = 0;
        for (uint16_t k = at; k < s->arg_count && n < FUNCTION_VALUES_MAX; k++) {
            struct value v = vec_value(&m->regs[s->args[k]], i);
            parts[n] = (struct bytes){(const uint8_t *)"", 0};
            if (v.type != VALUE_NULL && cast_text(&m->text, &v, &parts[n]) != OK)
                return no_memory(m, s, i);
            more += parts[n++].len;
        }
        uint8_t *grown = arena_alloc(&m->text, len + more + 1);
        if (!grown)
            return no_memory(m, s, i);
        if (len)
            memcpy(grown, out, len);
        for (uint32_t k = 0; k < n; k++) {
            memcpy(grown + len, parts[k].ptr, parts[k].len);
            len += parts[k].len;
        }
        out = grown;
    }
    return put_text(bytes_of(out, len), ret);
}

FUNCTION_KERNEL(text_concat)

/* ------------------------------------------------------------------------------------ characters
 */

static int map_case(struct machine *m, const struct step *s, uint32_t i, const struct value *arg,
                    int (*map)(int), struct value *ret)
{
    struct bytes t;
    int err = function_arg_text(m, s, i, arg, &t);
    if (err)
        return err;
    uint8_t *out = arena_alloc(&m->text, t.len + 1);
    if (!out)
        return no_memory(m, s, i);
    for (size_t k = 0; k < t.len; k++)
        out[k] = t.ptr[k] < 0x80 ? (uint8_t)map(t.ptr[k]) : t.ptr[k];
    return put_text(bytes_of(out, t.len), ret);
}

static int text_lower_row(struct machine *m, const struct step *s, uint32_t i,
                          const struct value *args, struct value *ret)
{
    return map_case(m, s, i, &args[0], tolower, ret);
}

static int text_upper_row(struct machine *m, const struct step *s, uint32_t i,
                          const struct value *args, struct value *ret)
{
    return map_case(m, s, i, &args[0], toupper, ret);
}

static int text_length_row(struct machine *m, const struct step *s, uint32_t i,
                           const struct value *args, struct value *ret)
{
    struct bytes t;
    if (args[0].type == VALUE_NULL)
        return put_int(0, ret);
    int err = function_arg_text(m, s, i, &args[0], &t);
    return err ? err : put_int(chars_count(t), ret);
}

static int text_numbytes_row(struct machine *m, const struct step *s, uint32_t i,
                             const struct value *args, struct value *ret)
{
    struct bytes t;
    if (args[0].type == VALUE_NULL)
        return put_int(0, ret);
    int err = function_arg_text(m, s, i, &args[0], &t);
    return err ? err : put_int((int64_t)t.len, ret);
}

static int text_reverse_row(struct machine *m, const struct step *s, uint32_t i,
                            const struct value *args, struct value *ret)
{
    struct bytes t;
    int err = function_arg_text(m, s, i, &args[0], &t);
    if (err)
        return err;
    uint8_t *out = arena_alloc(&m->text, t.len + 1);
    if (!out)
        return no_memory(m, s, i);
    size_t end = t.len;
    for (size_t k = 0; k < t.len;) {
        size_t n = 1;
        while (k + n < t.len && (t.ptr[k + n] & 0xc0) == 0x80)
            n++;
        end -= n;
        memcpy(out + end, t.ptr + k, n);
        k += n;
    }
    return put_text(bytes_of(out, t.len), ret);
}

FUNCTION_KERNEL(text_lower)
FUNCTION_KERNEL(text_upper)
FUNCTION_KERNEL(text_length)
FUNCTION_KERNEL(text_numbytes)
FUNCTION_KERNEL(text_reverse)

/* -------------------------------------------------------------------------------------- finding */

static bool ends_with(struct bytes t, struct bytes end)
{
    return t.len >= end.len && memcmp(t.ptr + t.len - end.len, end.ptr, end.len) == 0;
}

static bool starts_with(struct bytes t, struct bytes start)
{
    return t.len >= start.len && memcmp(t.ptr, start.ptr, start.len) == 0;
}

static int two_texts(struct machine *m, const struct step *s, uint32_t i, const struct value *args,
                     struct bytes ret[2])
{
    int err = function_arg_text(m, s, i, &args[0], &ret[0]);
    return err ? err : function_arg_text(m, s, i, &args[1], &ret[1]);
}

static bool any_null(const struct value *args)
{
    return args[0].type == VALUE_NULL || args[1].type == VALUE_NULL;
}

static int text_endswith_row(struct machine *m, const struct step *s, uint32_t i,
                             const struct value *args, struct value *ret)
{
    struct bytes t[2];
    if (any_null(args))
        return put_bool(false, ret);
    int err = two_texts(m, s, i, args, t);
    return err ? err : put_bool(ends_with(t[0], t[1]), ret);
}

static int text_startswith_row(struct machine *m, const struct step *s, uint32_t i,
                               const struct value *args, struct value *ret)
{
    struct bytes t[2];
    if (any_null(args))
        return put_bool(false, ret);
    int err = two_texts(m, s, i, args, t);
    return err ? err : put_bool(starts_with(t[0], t[1]), ret);
}

static int text_indexof_row(struct machine *m, const struct step *s, uint32_t i,
                            const struct value *args, struct value *ret)
{
    struct bytes t[2];
    if (any_null(args))
        return put_int(-1, ret);
    int err = two_texts(m, s, i, args, t);
    if (err)
        return err;
    const uint8_t *at = memmem(t[0].ptr, t[0].len, t[1].ptr, t[1].len);
    return put_int(at ? at - t[0].ptr : -1, ret);
}

FUNCTION_KERNEL(text_endswith)
FUNCTION_KERNEL(text_startswith)
FUNCTION_KERNEL(text_indexof)

/* --------------------------------------------------------------------------------------- cutting
 */

/* substring(text, from[, to)): to is the end, not a length (eKuiper). */
static int text_substring_row(struct machine *m, const struct step *s, uint32_t i,
                              const struct value *args, struct value *ret)
{
    struct bytes t;
    int64_t from;
    int err = function_arg_text(m, s, i, &args[0], &t);
    if (!err)
        err = function_arg_integer(m, s, i, &args[1], &from);
    int64_t to = INT64_MAX;
    if (!err && s->arg_count > 2)
        err = function_arg_integer(m, s, i, &args[2], &to);
    if (err)
        return err;
    if (from < 0 || to < 0 || to < from) {
        step_fail(m, s, i, ERR_RANGE, "substring needs 0 <= start <= end, these are %lld and %lld",
                  (long long)from, (long long)to);
        return ERR_RANGE;
    }
    size_t start = chars_offset(t, from);
    size_t end = to == INT64_MAX ? t.len : chars_offset(t, to);
    return put_text(bytes_of(t.ptr + start, end - start), ret);
}

FUNCTION_KERNEL(text_substring)

static struct bytes trim(struct bytes t, bool left, bool right)
{
    while (left && t.len && isspace(t.ptr[0])) {
        t.ptr++;
        t.len--;
    }
    while (right && t.len && isspace(t.ptr[t.len - 1]))
        t.len--;
    return t;
}

#define TRIM(name, left, right)                                                                    \
    static int name##_row(struct machine *m, const struct step *s, uint32_t i,                     \
                          const struct value *args, struct value *ret)                             \
    {                                                                                              \
        struct bytes t;                                                                            \
        int err = function_arg_text(m, s, i, &args[0], &t);                                        \
        return err ? err : put_text(trim(t, left, right), ret);                                    \
    }                                                                                              \
    FUNCTION_KERNEL(name)

TRIM(text_ltrim, true, false)
TRIM(text_rtrim, false, true)
TRIM(text_trim, true, true)

/* Blanks added on one side. */
#define PAD_CHARS_MAX 65536

static int pad(struct machine *m, const struct step *s, uint32_t i, const struct value *args,
               bool left, struct value *ret)
{
    struct bytes t;
    int64_t n;
    int err = function_arg_text(m, s, i, &args[0], &t);
    if (!err)
        err = function_arg_integer(m, s, i, &args[1], &n);
    if (err)
        return err;
    n = n < 0 ? 0 : n > PAD_CHARS_MAX ? PAD_CHARS_MAX : n;
    uint8_t *out = arena_alloc(&m->text, t.len + (size_t)n + 1);
    if (!out)
        return no_memory(m, s, i);
    memset(out, ' ', t.len + (size_t)n);
    memcpy(out + (left ? n : 0), t.ptr, t.len);
    return put_text(bytes_of(out, t.len + (size_t)n), ret);
}

static int text_lpad_row(struct machine *m, const struct step *s, uint32_t i,
                         const struct value *args, struct value *ret)
{
    return pad(m, s, i, args, true, ret);
}

static int text_rpad_row(struct machine *m, const struct step *s, uint32_t i,
                         const struct value *args, struct value *ret)
{
    return pad(m, s, i, args, false, ret);
}

FUNCTION_KERNEL(text_lpad)
FUNCTION_KERNEL(text_rpad)

#define ROW(name_, args_, n_, result_, kernel_, doc_)                                              \
    {                                                                                              \
        .name = name_, .args = args_, .args_min = n_, .args_max = n_, .result = result_,           \
        .may_fail = true, .kernel = kernel_, .doc = doc_                                           \
    }
#define ROW_NULL(name_, args_, n_, result_, kernel_, doc_)                                         \
    {                                                                                              \
        .name = name_, .args = args_, .args_min = n_, .args_max = n_, .result = result_,           \
        .may_fail = true, .takes_null = true, .kernel = kernel_, .doc = doc_                       \
    }

const struct function functions_text[] = {
    {.name = "concat",
     .args = "s",
     .args_min = 1,
     .args_max = FUNCTION_ARGS_MAX,
     .result = RESULT_STRING,
     .may_fail = true,
     .takes_null = true,
     .kernel = text_concat,
     .doc = "the texts one after the other; null is left out"},
    ROW_NULL("endswith", "s", 2, RESULT_BOOL, text_endswith, "whether a text ends with another"),
    ROW_NULL("indexof", "s", 2, RESULT_INT, text_indexof,
             "where a text has another, from 0; or -1"),
    ROW_NULL("length", "s", 1, RESULT_INT, text_length, "characters"),
    ROW("lower", "s", 1, RESULT_STRING, text_lower, "in small letters"),
    ROW("lpad", "si", 2, RESULT_STRING, text_lpad, "with n blanks before it"),
    ROW("ltrim", "s", 1, RESULT_STRING, text_ltrim, "without blanks before it"),
    ROW_NULL("numbytes", "s", 1, RESULT_INT, text_numbytes, "bytes"),
    ROW("reverse", "s", 1, RESULT_STRING, text_reverse, "backwards"),
    ROW("rpad", "si", 2, RESULT_STRING, text_rpad, "with n blanks behind it"),
    ROW("rtrim", "s", 1, RESULT_STRING, text_rtrim, "without blanks behind it"),
    ROW_NULL("startswith", "s", 2, RESULT_BOOL, text_startswith,
             "whether a text starts with another"),
    {.name = "substring",
     .args = "si",
     .args_min = 2,
     .args_max = 3,
     .result = RESULT_STRING,
     .may_fail = true,
     .kernel = text_substring,
     .doc = "from character start up to before end"},
    ROW("trim", "s", 1, RESULT_STRING, text_trim, "without blanks around it"),
    ROW("upper", "s", 1, RESULT_STRING, text_upper, "in capital letters"),
    {.name = NULL},
};
