/* `lotline replay`: what a past period would have given with changed tracks and rules. The node
 * does the work (replay.c); here is the question, and what people see of the answer. */
#include "app/commands.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "config/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

struct asking {
    const char *from;
    const char *to;
    const char *lead;
    const char *file;
    bool json;
    bool csv;
    bool results;
};

/* --------------------------------------------------------------------------------------- question
 */

static int file_text(const char *path, struct buf *out)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return cli_error(EXIT_FAILED, "replay: %s cannot be read: %s", path,
                         err_text(err_from_errno(errno)));
    size_t got = 1;
    while (got && out->len <= FILE_BYTES_MAX) {
        uint8_t *to = buf_reserve(out, 4096);
        got = to ? fread(to, 1, 4096, in) : 0;
        if (got)
            (void)buf_extend(out, got);
    }
    bool failed = ferror(in) != 0 || buf_error(out);
    (void)fclose(in);
    if (failed)
        return cli_error(EXIT_FAILED, "replay: %s cannot be read", path);
    if (out->len > FILE_BYTES_MAX)
        return cli_error(EXIT_FAILED,
                         "replay: %s is larger than 1 MiB; give the tracks and rules alone", path);
    return EXIT_OK;
}

static void put(struct buf *body, const char *name, const char *text)
{
    (void)buf_printf(body, "%s\"%s\":", body->len > 1 ? "," : "", name);
    (void)str_print_json(bytes_of_text(text), body);
}

/* A moment, or how long ago it was. */
static void put_time(struct buf *body, const char *name, const char *text)
{
    char out[CLOCK_TEXT_BYTES_MAX];
    int64_t ago_us = 0;
    if (str_to_duration_us(bytes_of_text(text), &ago_us) == OK) {
        (void)clock_format(clock_wall_us() - ago_us, out);
        text = out;
    }
    put(body, name, text);
}

static int question(const struct asking *a, struct buf *body)
{
    struct buf text = {0};
    int code = file_text(a->file, &text);
    if (code == EXIT_OK && text.len && memchr(text.ptr, 0, text.len))
        code = cli_error(EXIT_FAILED, "replay: %s is no text", a->file);
    if (code == EXIT_OK) {
        (void)buf_append_u8(body, '{');
        put_time(body, "from", a->from);
        put_time(body, "to", a->to);
        if (a->lead)
            put(body, "lead", a->lead);
        put(body, "file", a->file);
        put(body, "tracks", buf_text(&text));
        (void)buf_append_u8(body, '}');
    }
    buf_fini(&text);
    return code;
}

/* ----------------------------------------------------------------------------------------- answer
 */

/* "": that side has none. */
static const char *side(const struct tree *row, const char *name, const char *which)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s_%s", name, which);
    const struct tree *cell = tree_get(row, key);
    return cell && cell->kind != TREE_NULL ? tree_text(cell) : "";
}

static void put_cell(struct buf *out, const struct tree *row, const char *title, const char *name)
{
    const char *before = side(row, name, "before");
    const char *after = side(row, name, "after");
    struct buf text = {0};
    if (strcmp(before, after) == 0)
        (void)buf_append_text(&text, before);
    else
        (void)buf_printf(&text, "%s → %s", before[0] ? before : "–", after[0] ? after : "–");
    put(out, title, buf_text(&text));
    buf_fini(&text);
}

/* The rows with before and after in one cell, for a terminal. */
static void short_rows(const struct tree *rows, struct buf *out)
{
    (void)buf_append_u8(out, '[');
    TREE_EACH(row, rows)
    {
        struct buf line = {0};
        (void)buf_append_u8(&line, '{');
        put(&line, "change", tree_text(tree_get(row, "change")));
        put(&line, "track", tree_text(tree_get(row, "track")));
        put(&line, "station", tree_text(tree_get(row, "station")));
        put_cell(&line, row, "serial", "serial");
        put_cell(&line, row, "t_in", "t_in");
        put_cell(&line, row, "t_out", "t_out");
        put_cell(&line, row, "status", "status");
        put_cell(&line, row, "probability", "probability");
        put_cell(&line, row, "evidence", "evidence");
        (void)buf_printf(out, "%s%s}", out->len > 1 ? "," : "", buf_text(&line));
        buf_fini(&line);
    }
    (void)buf_append_u8(out, ']');
}

/* Results of rules: what of which unit, and how its value was and would be. */
static void short_results(const struct tree *rows, struct buf *out)
{
    static const char *const names[] = {"change",  "rule", "kind", "serial",
                                        "station", "name", "type", "position"};
    (void)buf_append_u8(out, '[');
    TREE_EACH(row, rows)
    {
        struct buf line = {0};
        (void)buf_append_u8(&line, '{');
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            put(&line, names[i], tree_text(tree_get(row, names[i])));
        put_cell(&line, row, "value", "value");
        put_cell(&line, row, "at", "at");
        (void)buf_printf(out, "%s%s}", out->len > 1 ? "," : "", buf_text(&line));
        buf_fini(&line);
    }
    (void)buf_append_u8(out, ']');
}

/* All counts are 0 where no track was replayed. */
static void print_counts(const struct tree *answer)
{
    static const char *const names[][2] = {
        {"same", "same"},
        {"moved", "with other times"},
        {"status", "with another status"},
        {"unit", "of another unit"},
        {"new", "new"},
        {"gone", "gone"},
    };
    if (strcmp(tree_text(tree_get(answer, "values")), "0") == 0)
        return;
    (void)printf("Visits that end from %s to %s:", tree_text(tree_get(answer, "from")),
                 tree_text(tree_get(answer, "to")));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)printf("%s %s %s", i ? "," : "", tree_text(tree_get(answer, names[i][0])),
                     names[i][1]);
    (void)puts(".");
}

static void print_rule(const struct tree *rule)
{
    static const char *const names[] = {"same", "changed", "moved", "added", "removed"};
    (void)printf("Rule %s%s: ", tree_text(tree_get(rule, "rule")),
                 strcmp(tree_text(tree_get(rule, "new")), "true") == 0 ? " (new)" : "");
    if (strcmp(tree_text(tree_get(rule, "replayed")), "true") != 0) {
        (void)printf("not replayed: %s.\n", tree_text(tree_get(rule, "why")));
        return;
    }
    (void)printf("%s rows; results:", tree_text(tree_get(rule, "rows")));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)printf("%s %s %s", i ? "," : "", tree_text(tree_get(rule, names[i])), names[i]);
    TREE_EACH(action, tree_get(rule, "left_out"))
    (void)printf("; %s rows for its action %s, which was not carried out", tree_text(action),
                 action->key);
    (void)puts(".");
    if (strcmp(tree_text(tree_get(rule, "errors")), "0") != 0)
        (void)fprintf(stderr, "lotline: rule %s: %s rows were dropped, the last one since %s\n",
                      tree_text(tree_get(rule, "rule")), tree_text(tree_get(rule, "errors")),
                      tree_text(tree_get(rule, "error")));
}

static bool is_true(const struct tree *answer, const char *name)
{
    return strcmp(tree_text(tree_get(answer, name)), "true") == 0;
}

static void print_notes(const struct tree *answer)
{
    const char *note = tree_text(tree_get(answer, "note"));
    if (note[0])
        (void)fprintf(stderr, "lotline: %s\n", note);
    if (is_true(answer, "truncated"))
        (void)fputs("lotline: there are more visits that differ; ask for a shorter time\n", stderr);
    if (is_true(answer, "results_truncated"))
        (void)fputs("lotline: there are more results that differ; ask for a shorter time\n",
                    stderr);
}

/* A heading, and what differs; nothing if nothing does. */
static int print_rows(struct buf *rows)
{
    int code = rows->len > 2 ? cli_print_json(buf_bytes(rows), false) : EXIT_OK;
    buf_fini(rows);
    return code;
}

static int print_tables(const struct tree *answer)
{
    struct buf rows = {0};
    print_counts(answer);
    short_rows(tree_get(answer, "rows"), &rows);
    int code = print_rows(&rows);
    TREE_EACH(rule, tree_get(answer, "rules"))
    print_rule(rule);
    short_results(tree_get(answer, "results"), &rows);
    int result = print_rows(&rows);
    return code ? code : result;
}

static int print_csv(const struct asking *a, const struct tree *answer)
{
    struct buf rows = {0};
    (void)tree_print_json(tree_get(answer, a->results ? "results" : "rows"), &rows);
    int code = cli_print_units(buf_bytes(&rows), false, true);
    buf_fini(&rows);
    return code;
}

static int print_answer(const struct asking *a, struct bytes json)
{
    struct arena arena = {0};
    struct tree *tree = NULL;
    struct diag diag = {0};
    int code = EXIT_OK;
    if (tree_parse_json(&arena, "answer", json, &tree, &diag))
        code = cli_error(EXIT_FAILED, "the node's answer could not be read: %s", diag.text);
    else
        code = a->csv ? print_csv(a, tree) : print_tables(tree);
    if (tree)
        print_notes(tree);
    arena_fini(&arena);
    return code;
}

static int ask(const struct asking *a, const char *data)
{
    struct buf body = {0};
    struct buf answer = {0};
    int code = question(a, &body);
    if (code == EXIT_OK)
        code = cli_request(cli_data_dir(data), "POST", "/api/v1/replay", buf_text(&body), &answer);
    if (code == EXIT_OK)
        code = a->json ? cli_print_json(buf_bytes(&answer), true)
                       : print_answer(a, buf_bytes(&answer));
    buf_fini(&answer);
    buf_fini(&body);
    return code;
}

int command_replay(int argc, char **argv, const struct cli_command *command)
{
    const char *data = NULL;
    struct asking a = {0};
    const struct cli_option options[] = {
        {"data", 0, "DIR", "the node's data directory", &data, NULL},
        {"json", 0, NULL, "print JSON for programs", NULL, &a.json},
        {"csv", 0, NULL, "print the visits that differ as CSV", NULL, &a.csv},
        {"results", 0, NULL, "with --csv: the results of rules that differ", NULL, &a.results},
        {"from", 0, "TIME", "visits that end from then on; a time, or how long ago: 2h", &a.from,
         NULL},
        {"to", 0, "TIME", "visits that end before then", &a.to, NULL},
        {"tracks", 0, "FILE", "the changed tracks and rules, as in a configuration (YAML)", &a.file,
         NULL},
        {"lead", 0, "TIME",
         "how long before and after the period readings are taken too (default: 10m)", &a.lead,
         NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count)
        return cli_error(EXIT_USAGE, "replay: what is '%s'? (lotline replay --help)", argv[1]);
    if (!a.from || !a.to || !a.file)
        return cli_error(EXIT_USAGE, "replay needs --from TIME, --to TIME and --tracks FILE");
    if (a.json && a.csv)
        return cli_error(EXIT_USAGE, "replay: --json or --csv, not both");
    if (a.results && !a.csv)
        return cli_error(EXIT_USAGE, "replay: --results goes with --csv");
    if (!cli_time_check(command->name, "from", a.from) ||
        !cli_time_check(command->name, "to", a.to))
        return EXIT_USAGE;
    return ask(&a, data);
}
