/* An answer of trace.why on a terminal. See why.h. */
#include "base/clock.h"
#include "base/str.h"
#include "config/tree.h"
#include "trace/trace_priv.h"
#include "trace/why.h"

#include <string.h>

struct why_print {
    const struct trace_print_options *options;
    struct arena arena;
    struct buf *out;
};

static const char *answer_text(struct why_print *p, const struct batch *b, const char *name)
{
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 || b->rows == 0)
        return "";
    struct column c = batch_column(b, (uint32_t)col);
    struct value v = column_value(&c, 0);
    bool text = v.type == VALUE_STRING || v.type == VALUE_BYTES;
    const char *copy = text ? arena_copy(&p->arena, v.bytes) : "";
    return copy ? copy : "";
}

static const char *field(const struct tree *row, const char *name)
{
    const struct tree *t = tree_get(row, name);
    return t && t->kind == TREE_TEXT ? tree_text(t) : "";
}

/* "2026-11-22 08:30:00" in the reader's zone. */
static const char *local_time(struct why_print *p, const char *text)
{
    char out[CLOCK_TEXT_BYTES_MAX];
    int64_t us = 0;
    if (clock_parse(bytes_of_text(text), &us))
        return text;
    us += p->options->utc_offset_s * 1000000;
    us -= ((us % 1000000) + 1000000) % 1000000;
    size_t len = clock_format(us, out);
    if (len && out[len - 1] == 'Z')
        out[len - 1] = 0;
    out[10] = ' ';
    const char *copy = arena_text(&p->arena, out);
    return copy ? copy : "";
}

static double number(const struct tree *row, const char *name)
{
    double v = 0;
    (void)str_to_double(bytes_of_text(field(row, name)), &v);
    return v;
}

static void print_interval(struct why_print *p, const struct tree *cause, const char *name,
                           const char *text, double scale)
{
    const struct tree *t = tree_get(cause, name);
    if (t)
        (void)buf_printf(p->out, "   %s %.3g (%.3g to %.3g)\n", text, number(t, "value") * scale,
                         number(t, "low") * scale, number(t, "high") * scale);
}

/* "nozzle 3 at place", "zone5 at reflow". */
static void print_factor(struct why_print *p, const struct tree *f)
{
    const char *value = field(f, "value");
    const char *operation = field(f, "operation");
    (void)buf_printf(p->out, "%s%s%s%s%s", field(f, "name"), value[0] ? " " : "", value,
                     operation[0] ? " at " : "", operation);
}

static void print_when(struct why_print *p, const struct tree *cause)
{
    const char *since = field(cause, "since");
    const char *until = field(cause, "until");
    if (since[0])
        (void)buf_printf(p->out, "   set in %s", local_time(p, since));
    else
        (void)buf_printf(p->out, "   from the first unit with it, %s",
                         local_time(p, field(cause, "first")));
    if (until[0])
        (void)buf_printf(p->out, ", until %s", local_time(p, until));
    (void)buf_append_u8(p->out, '\n');
    const struct tree *changed = tree_get(cause, "changed");
    for (const struct tree *t = changed ? changed->first : NULL; t; t = t->next) {
        (void)buf_append_text(p->out, "   then changed: ");
        print_factor(p, t);
        if (field(t, "before")[0])
            (void)buf_printf(p->out, " (before: %s)", field(t, "before"));
        (void)buf_printf(p->out, ", %s\n", local_time(p, field(t, "at")));
    }
}

static void print_alike(struct why_print *p, const struct tree *cause)
{
    const struct tree *alike = tree_get(cause, "alike");
    for (const struct tree *t = alike ? alike->first : NULL; t; t = t->next) {
        (void)buf_append_text(p->out, "   not separable from: ");
        print_factor(p, t);
        (void)buf_printf(p->out, " (the same units to %.3g)\n", number(t, "v"));
    }
}

static void print_cause(struct why_print *p, const struct tree *cause, uint32_t rank)
{
    bool proven = strcmp(field(cause, "status"), "cause") == 0;
    const char *colour = proven ? "\x1b[31m" : "\x1b[33m";
    (void)buf_printf(p->out, "%u. %s%s%s  [%s]\n   %s\n", rank, p->options->colour ? colour : "",
                     proven ? "cause" : "suspect", p->options->colour ? "\x1b[0m" : "",
                     field(cause, "kind"), field(cause, "text"));
    print_interval(p, cause, "risk_difference", "more bad ones, points of per cent:", 100);
    print_interval(p, cause, "odds_ratio", "odds ratio", 1);
    print_interval(p, cause, "auc", "bad above good (AUC)", 1);
    (void)buf_printf(p->out, "   q %.2g, shifted in time %.2g\n", number(cause, "q"),
                     number(cause, "p_shift"));
    print_when(p, cause);
    print_alike(p, cause);
    (void)buf_append_u8(p->out, '\n');
}

static int64_t answer_count(const struct batch *b, const char *name)
{
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 || b->rows == 0)
        return 0;
    struct column c = batch_column(b, (uint32_t)col);
    double v = 0;
    struct value cell = column_value(&c, 0);
    (void)value_to_double(&cell, &v);
    return (int64_t)v;
}

static void print_head(struct why_print *p, const struct batch *b)
{
    (void)buf_printf(p->out, "%s\n\n", answer_text(p, b, "text"));
    (void)buf_printf(
        p->out, "%s, found at %s: %lld bad, %lld good units. %lld factors, %lld tests, %lld shifts",
        answer_text(p, b, "defect"), answer_text(p, b, "operation"),
        (long long)answer_count(b, "bad"), (long long)answer_count(b, "good"),
        (long long)answer_count(b, "factors"), (long long)answer_count(b, "tests"),
        (long long)answer_count(b, "shifts"));
    if (answer_count(b, "strata") > 1)
        (void)buf_printf(p->out, "; compared within %lld pieces of time",
                         (long long)answer_count(b, "strata"));
    (void)buf_append_text(p->out, ".");
    if (answer_count(b, "weighted"))
        (void)buf_printf(p->out, " Of %lld units something counts in part: it may be another's.",
                         (long long)answer_count(b, "weighted"));
    (void)buf_append_text(p->out, "\n\n");
}

int trace_print_why(const struct batch *answer, const struct trace_print_options *options,
                    struct buf *out)
{
    struct why_print p = {.options = options, .out = out};
    struct tree *list = NULL;
    uint32_t rank = 0;
    const char *causes = answer_text(&p, answer, "causes");
    int err =
        tree_parse_json(&p.arena, "causes", bytes_of_text(causes[0] ? causes : "[]"), &list, NULL);
    if (!err && list->kind != TREE_LIST)
        err = ERR_MALFORMED;
    if (!err) {
        print_head(&p, answer);
        for (const struct tree *t = list->first; t; t = t->next)
            print_cause(&p, t, ++rank);
    }
    arena_fini(&p.arena);
    return err ? err : buf_error(out);
}
