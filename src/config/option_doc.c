/* Option tables as documentation: a Markdown table and a commented example. See option.h.
 *
 * Nested tables are printed after the one that names them; they are static and shallow, and no
 * deeper than TREE_DEPTH_MAX, which is the depth at which their values could not be written.
 */
#include "config/option.h"

/* NOLINTBEGIN(misc-no-recursion): the depth is limited to TREE_DEPTH_MAX in both walks. */

#define PATH_BYTES_MAX 256
#define LINE_COLUMNS   44 /* comments of an example begin here */

#include <stdio.h>

static void doc_default(const struct option *o, struct buf *out)
{
    if (o->flags & OPTION_REQUIRED)
        (void)buf_append_text(out, "required");
    else if (o->default_text)
        (void)buf_printf(out, "`%s`", o->default_text);
}

static int markdown_rows(const struct option *table, const char *path, struct buf *out,
                         uint32_t depth)
{
    if (depth > TREE_DEPTH_MAX)
        return ERR_LIMIT;
    int err = OK;
    for (const struct option *o = table; o->name && !err; o++) {
        if (o->flags & OPTION_HIDDEN)
            continue;
        (void)buf_printf(out, "| `%s%s` | ", path, o->name);
        (void)option_type_print(o, out);
        (void)buf_append_text(out, " | ");
        doc_default(o, out);
        err = buf_printf(out, " | %s |\n", o->doc ? o->doc : "");
        if (o->items && !err) {
            char nested[PATH_BYTES_MAX];
            (void)snprintf(nested, sizeof nested, "%s%s.", path, o->name);
            err = markdown_rows(o->items, nested, out, depth + 1);
        }
    }
    return err;
}

int option_print_markdown(const struct option *table, struct buf *out)
{
    (void)buf_append_text(out, "| key | value | default | meaning |\n|---|---|---|---|\n");
    return markdown_rows(table, "", out, 0);
}

static const char *example_value(const struct option *o)
{
    static const char *const values[OPTION_TYPE_COUNT] = {
        [OPTION_BOOL] = "false",  [OPTION_INT] = "0",        [OPTION_UINT] = "0",
        [OPTION_DOUBLE] = "0",    [OPTION_TEXT] = "\"\"",    [OPTION_NAME] = "name1",
        [OPTION_DURATION] = "1s", [OPTION_SIZE] = "1M",      [OPTION_ENUM] = "",
        [OPTION_TREE] = "",       [OPTION_TEXT_LIST] = "[]",
    };
    if (o->default_text)
        return *o->default_text ? o->default_text : "\"\"";
    return o->type == OPTION_ENUM ? o->choices[0] : values[o->type];
}

static int example_rows(const struct option *table, unsigned indent, struct buf *out,
                        uint32_t depth)
{
    if (depth > TREE_DEPTH_MAX)
        return ERR_LIMIT;
    int err = OK;
    for (const struct option *o = table; o->name && !err; o++) {
        if (o->flags & OPTION_HIDDEN)
            continue;
        size_t start = out->len;
        /* What has no default stands there as a comment, so that the example is valid as it is. */
        bool shown = o->default_text || o->items || (o->flags & OPTION_REQUIRED);
        /* Quoted: a list's default is mostly a pattern, and * is an alias in YAML. */
        bool listed = o->type == OPTION_TEXT_LIST && o->default_text;
        (void)buf_printf(out, "%*s%s%s: %s%s%s", (int)indent, "", shown ? "" : "# ", o->name,
                         listed ? "[\"" : "", example_value(o), listed ? "\"]" : "");
        size_t used = out->len - start;
        int pad = used < LINE_COLUMNS ? (int)(LINE_COLUMNS - used) : 1;
        (void)buf_printf(out, "%*s# %s (", pad, "", o->doc ? o->doc : "");
        (void)option_type_print(o, out);
        err = buf_printf(out, "%s)\n", o->flags & OPTION_REQUIRED ? "; required" : "");
        if (o->items && !err)
            err = example_rows(o->items, indent + 2, out, depth + 1);
    }
    return err;
}

int option_print_example(const struct option *table, unsigned indent, struct buf *out)
{
    return example_rows(table, indent, out, 0);
}

/* NOLINTEND(misc-no-recursion) */
