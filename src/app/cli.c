/* Options, exit codes and printing for the subcommands. See cli.h. */
#include "app/cli.h"

#include "api/client.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "config/tree.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define DATA_DIR_DEFAULT  "/var/lib/lotline"
#define SOCKET_NAME       "lotline.sock"
#define TABLE_COLUMNS_MAX 32
#define CELL_BYTES_MAX    120
#define TYPING_ERRORS_MAX 2 /* how far off a word may be for "did you mean" */

int cli_error(enum cli_exit code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("lotline: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return (int)code;
}

void cli_print_diag(const struct diag *diag)
{
    if (diag->file[0])
        (void)fprintf(stderr, "%s:", diag->file);
    if (diag->line)
        (void)fprintf(stderr, "%u:%u:", diag->line, diag->column);
    (void)fprintf(stderr, "%s %s\n", diag->file[0] || diag->line ? "" : "lotline:", diag->text);
}

/* -------------------------------------------------------------------------------------- options */

static void print_help(const struct cli_command *command, const struct cli_option *options)
{
    (void)printf("Usage: lotline %s [options] %s\n\n%s\n", command->name, command->arguments,
                 command->doc);
    if (options->name)
        (void)printf("\nOptions:\n");
    for (const struct cli_option *o = options; o->name; o++) {
        char left[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                       o->value ? o->value : "");
        (void)printf("  %c%c%c %-24s %s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                     o->letter ? ',' : ' ', left, o->doc);
    }
    if (command->examples)
        (void)printf("\nExamples:\n%s", command->examples);
}

static const struct cli_option *option_of(const struct cli_option *options, struct bytes name)
{
    for (const struct cli_option *o = options; o->name; o++) {
        bool letter = name.len == 1 && o->letter && (char)name.ptr[0] == o->letter;
        if (letter || bytes_equal(name, bytes_of_text(o->name)))
            return o;
    }
    return NULL;
}

static int option_unknown(const char *word, const struct cli_command *command,
                          const struct cli_option *options)
{
    char name[32] = "";
    const char *like = NULL;
    unsigned best = TYPING_ERRORS_MAX + 1;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    for (const struct cli_option *o = options; word[1] == '-' && o->name; o++) {
        unsigned distance = str_distance(o->name, name);
        if (distance < best) {
            best = distance;
            like = o->name;
        }
    }
    if (like)
        return cli_error(EXIT_USAGE, "%s: unknown option %s; did you mean --%s?", command->name,
                         word, like);
    return cli_error(EXIT_USAGE, "%s: unknown option %s (try: lotline %s --help)", command->name,
                     word, command->name);
}

/* One option at argv[i]; returns how many words it took, 0 after printing an error. */
static int take_option(int argc, char **argv, int i, const struct cli_command *command,
                       const struct cli_option *options)
{
    const char *word = argv[i] + (argv[i][1] == '-' ? 2 : 1);
    const char *equals = strchr(word, '=');
    struct bytes name = bytes_of(word, equals ? (size_t)(equals - word) : strlen(word));
    const struct cli_option *o = option_of(options, name);
    if (!o || (argv[i][1] != '-' && name.len != 1)) {
        (void)option_unknown(argv[i], command, options);
        return 0;
    }
    if (equals && !o->value) {
        (void)cli_error(EXIT_USAGE, "%s: option --%s takes no value", command->name, o->name);
        return 0;
    }
    if (o->set)
        *o->set = true;
    if (!o->value)
        return 1;
    if (equals) {
        *o->text = equals + 1;
        return 1;
    }
    if (i + 1 >= argc) {
        (void)cli_error(EXIT_USAGE, "%s: option %s needs a value: %s", command->name, argv[i],
                        o->value);
        return 0;
    }
    *o->text = argv[i + 1];
    return 2;
}

/* "-" is a word, and so is a negative number: `lotline write TAG -5`. */
static bool is_option(const char *word)
{
    double number;
    return word[0] == '-' && word[1] != 0 && str_to_double(bytes_of_text(word), &number) != OK;
}

bool cli_parse(int argc, char **argv, const struct cli_command *command,
               const struct cli_option *options, int *ret_count)
{
    int count = 0;
    bool only_words = false;
    for (int i = 1; i < argc;) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            i++;
        } else if (only_words || !is_option(word)) {
            argv[1 + count++] = argv[i++];
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(command, options);
            exit(EXIT_OK); /* NOLINT(concurrency-mt-unsafe): nothing else runs yet */
        } else {
            int words = take_option(argc, argv, i, command, options);
            if (!words)
                return false;
            i += words;
        }
    }
    *ret_count = count;
    return true;
}

/* --------------------------------------------------------------------------------------- output */

struct table {
    const char *titles[TABLE_COLUMNS_MAX];
    size_t widths[TABLE_COLUMNS_MAX];
    size_t columns;
};

/* Columns on a terminal: UTF-8 continuation bytes take none. (Wide characters count as one.) */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static size_t table_column(struct table *t, const char *title)
{
    for (size_t i = 0; i < t->columns; i++) {
        if (strcmp(t->titles[i], title) == 0)
            return i;
    }
    if (t->columns == TABLE_COLUMNS_MAX)
        return TABLE_COLUMNS_MAX - 1;
    t->titles[t->columns] = title;
    t->widths[t->columns] = text_width(title);
    return t->columns++;
}

/* A list of things that have names, as a person would say it: "ts, force, result". */
static bool names_print(const struct tree *list, struct buf *out)
{
    TREE_EACH(item, list)
    {
        const struct tree *name = item->kind == TREE_MAP ? tree_get(item, "name") : NULL;
        if (!name || name->kind != TREE_TEXT)
            return false;
        (void)buf_append_text(out, out->len ? ", " : "");
        (void)buf_append_text(out, tree_text(name));
    }
    return true;
}

/* A cell's text: scalars as they are, anything else as names or as JSON, cut to a width that a
 * person reads. */
static const char *cell_text(const struct tree *node, struct arena *arena)
{
    if (!node || node->kind == TREE_NULL)
        return "";
    struct buf out = {0};
    if (node->kind == TREE_TEXT)
        (void)buf_append_text(&out, tree_text(node));
    else if (node->kind != TREE_LIST || !names_print(node, &out)) {
        buf_reset(&out);
        (void)tree_print_json(node, &out);
    }
    if (out.len > CELL_BYTES_MAX) {
        out.len = CELL_BYTES_MAX;
        while (out.len > 0 && (out.ptr[out.len] & 0xc0) == 0x80)
            out.len--;
        (void)buf_append_text(&out, "…");
    }
    const char *text = arena_copy(arena, buf_bytes(&out));
    buf_fini(&out);
    return text ? text : "";
}

static void table_measure(struct table *t, const struct tree *row, struct arena *arena)
{
    TREE_EACH(item, row)
    {
        size_t column = table_column(t, item->key);
        size_t width = text_width(cell_text(item, arena));
        if (width > t->widths[column])
            t->widths[column] = width;
    }
}

static void print_cell(const char *text, size_t width, bool last)
{
    (void)fputs(text, stdout);
    for (size_t w = text_width(text); !last && w < width + 2; w++)
        (void)fputc(' ', stdout);
}

static void table_print_row(const struct table *t, const struct tree *row, struct arena *arena)
{
    for (size_t i = 0; i < t->columns; i++)
        print_cell(cell_text(tree_get(row, t->titles[i]), arena), t->widths[i],
                   i + 1 == t->columns);
    (void)fputc('\n', stdout);
}

static void print_rows(const struct tree *list, struct arena *arena)
{
    struct table t = {0};
    TREE_EACH(row, list)
    {
        table_measure(&t, row, arena);
    }
    bool bold = isatty(STDOUT_FILENO) != 0;
    for (size_t i = 0; i < t.columns; i++) {
        (void)fputs(bold ? "\033[1m" : "", stdout);
        print_cell(t.titles[i], t.widths[i], i + 1 == t.columns);
        (void)fputs(bold ? "\033[0m" : "", stdout);
    }
    (void)fputs(t.columns ? "\n" : "(nothing)\n", stdout);
    TREE_EACH(row, list)
    {
        table_print_row(&t, row, arena);
    }
}

/* What is empty is left out. */
static void print_object(const struct tree *object, struct arena *arena)
{
    size_t width = 0;
    TREE_EACH(item, object)
    {
        size_t w = text_width(item->key);
        width = w > width ? w : width;
    }
    TREE_EACH(item, object)
    {
        const char *text = cell_text(item, arena);
        if (!*text)
            continue;
        print_cell(item->key, width, false);
        (void)printf("%s\n", text);
    }
}

int cli_print_json(struct bytes json, bool as_json)
{
    if (as_json) {
        (void)fwrite(json.ptr, 1, json.len, stdout);
        (void)fputc('\n', stdout);
        return EXIT_OK;
    }
    struct arena arena = {0};
    struct tree *tree = NULL;
    struct diag diag = {0};
    int err = tree_parse_json(&arena, "answer", json, &tree, &diag);
    if (err) {
        cli_print_diag(&diag);
        arena_fini(&arena);
        return cli_error(EXIT_FAILED, "the node's answer could not be read");
    }
    if (tree->kind == TREE_LIST)
        print_rows(tree, &arena);
    else if (tree->kind == TREE_MAP)
        print_object(tree, &arena);
    else
        (void)printf("%s\n", cell_text(tree, &arena));
    arena_fini(&arena);
    return EXIT_OK;
}

int cli_print_sql(struct bytes json, bool as_json)
{
    if (as_json)
        return cli_print_json(json, true);
    struct arena arena = {0};
    struct tree *tree = NULL;
    struct diag diag = {0};
    int err = tree_parse_json(&arena, "answer", json, &tree, &diag);
    if (err)
        cli_print_diag(&diag);
    else
        (void)fputs(tree_text(tree_get(tree, "text")), stdout);
    if (!err && strcmp(tree_text(tree_get(tree, "truncated")), "true") == 0)
        (void)fputs("(there are more rows; --rows raises the limit)\n", stderr);
    arena_fini(&arena);
    return err ? EXIT_FAILED : EXIT_OK;
}

/* -------------------------------------------------------------------------------------- the node
 */

const char *cli_data_dir(const char *option)
{
    if (option)
        return option;
    const char *environment = getenv("LOTLINE_DATA");
    return environment && *environment ? environment : DATA_DIR_DEFAULT;
}

int cli_problem(struct bytes json, int status)
{
    struct arena arena = {0};
    struct tree *tree = NULL;
    struct diag diag = {0};
    const char *detail = NULL;
    if (!tree_parse_json(&arena, "answer", json, &tree, &diag)) {
        const struct tree *node = tree_get(tree, "detail");
        if (!node)
            node = tree_get(tree, "title");
        detail = node ? tree_text(node) : NULL;
    }
    enum cli_exit code = status == 404 ? EXIT_NOT_FOUND : EXIT_FAILED;
    (void)cli_error(code, "%s", detail ? detail : "the node refused the request");
    arena_fini(&arena);
    return (int)code;
}

int cli_no_node(const char *sock, int err)
{
    if (err == ERR_DENIED)
        return cli_error(EXIT_NO_NODE,
                         "%s may not be opened by you: be root, or the user that the node runs as",
                         sock);
    return cli_error(EXIT_NO_NODE,
                     "no node answers at %s (%s); is `lotline run` running, and is --data (or "
                     "LOTLINE_DATA) its directory?",
                     sock, err_text(err));
}

int cli_request(const char *data_dir, const char *method, const char *path, const char *body,
                struct buf *ret_body)
{
    struct buf sock = {0};
    (void)buf_printf(&sock, "%s/" SOCKET_NAME, data_dir);
    int status = 0;
    int err = api_client_request(buf_text(&sock), method, path, body, ret_body, &status);
    int code = EXIT_OK;
    if (err) {
        code = cli_no_node(buf_text(&sock), err);
    } else if (status >= 400) {
        code = cli_problem(buf_bytes(ret_body), status);
    }
    buf_fini(&sock);
    return code;
}

void cli_url_encode(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-._~", *c);
        if (plain)
            (void)buf_append_u8(out, (uint8_t)*c);
        else
            (void)buf_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
    }
}

void cli_query_append(struct buf *path, const char *name, const char *text)
{
    if (!text)
        return;
    bool first = memchr(path->ptr, '?', path->len) == NULL;
    (void)buf_printf(path, "%s%s=", first ? "?" : "&", name);
    cli_url_encode(path, text);
}

void cli_query_time(struct buf *path, const char *name, const char *text)
{
    char out[CLOCK_TEXT_BYTES_MAX];
    int64_t ago_us = 0;
    if (text && str_to_duration_us(bytes_of_text(text), &ago_us) == OK) {
        (void)clock_format(clock_wall_us() - ago_us, out);
        text = out;
    }
    cli_query_append(path, name, text);
}

bool cli_time_check(const char *command, const char *option, const char *text)
{
    int64_t us = 0;
    if (!text || str_to_duration_us(bytes_of_text(text), &us) == OK ||
        clock_parse(bytes_of_text(text), &us) == OK)
        return true;
    (void)cli_error(EXIT_USAGE,
                    "%s: --%s is a time such as 2026-11-22T08:30:00Z, or how long ago: 2h; not "
                    "'%s'",
                    command, option, text);
    return false;
}

bool cli_count_check(const char *command, const char *option, uint32_t min, const char *text)
{
    uint64_t count = 0;
    if (!text ||
        (str_to_u64(bytes_of_text(text), &count) == OK && count >= min && count <= UINT32_MAX))
        return true;
    (void)cli_error(EXIT_USAGE, "%s: --%s is a whole number from %u on, not '%s'", command, option,
                    min, text);
    return false;
}
