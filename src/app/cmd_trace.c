/* Subcommands about units: trace, where-used, units. They ask the running node; what people see is
 * printed by cli_trace.c.
 */
#include "app/commands.h"

/* How an answer is printed. */
struct shape {
    const char *data;
    bool json;
    bool csv;
};

#define SHAPE_OPTIONS(s)                                                                           \
    {"data", 0, "DIR", "the node's data directory", &(s)->data, NULL},                             \
        {"json", 0, NULL, "print JSON for programs", NULL, &(s)->json},                            \
    {                                                                                              \
        "csv", 0, NULL, "print CSV", NULL, &(s)->csv                                               \
    }

static int shape_check(const struct shape *shape, const char *command)
{
    if (shape->csv && shape->json)
        return cli_error(EXIT_USAGE, "%s: --csv or --json, not both", command);
    return EXIT_OK;
}

typedef int (*print_fn)(struct bytes json, bool as_json, bool as_csv);

static int ask(const struct shape *shape, struct buf *path, print_fn print)
{
    struct buf answer = {0};
    int code = cli_request(cli_data_dir(shape->data), "GET", buf_text(path), NULL, &answer);
    if (code == EXIT_OK)
        code = print(buf_bytes(&answer), shape->json, shape->csv);
    buf_fini(&answer);
    buf_fini(path);
    return code;
}

/* ---------------------------------------------------------------------------- trace, where-used
 */

struct asking {
    struct shape shape;
    bool forward;
    bool no_curves;
    const char *as_of;
    const char *at;
    const char *depth;
    const char *station;
    const char *since;
    const char *until;
    const char *limit;
};

static int ask_forward(const struct asking *a, const char *from)
{
    struct buf path = {0};
    (void)buf_append_text(&path, "/api/v1/containment");
    cli_query_append(&path, "from", from);
    cli_query_append(&path, "station", a->station);
    cli_query_time(&path, "since", a->since);
    cli_query_time(&path, "until", a->until);
    cli_query_time(&path, "as_of", a->as_of);
    cli_query_append(&path, "depth", a->depth);
    cli_query_append(&path, "limit", a->limit);
    return ask(&a->shape, &path, cli_print_forward);
}

static int ask_trace(const struct asking *a, const char *serial)
{
    struct buf path = {0};
    (void)buf_append_text(&path, "/api/v1/trace/");
    cli_url_encode(&path, serial);
    cli_query_time(&path, "as_of", a->as_of);
    cli_query_time(&path, "at", a->at);
    cli_query_append(&path, "depth", a->depth);
    cli_query_append(&path, "curves", a->no_curves ? "false" : NULL);
    return ask(&a->shape, &path, cli_print_trace);
}

static int trace_check(const struct asking *a, int count, char **argv, const char *command)
{
    if (count > 1)
        return cli_error(EXIT_USAGE, "%s: what is '%s'? One name at a time", command, argv[2]);
    if (!count && !a->forward)
        return cli_error(EXIT_USAGE, "%s needs a serial number: lotline %s SERIAL", command,
                         command);
    if (!count && !a->station)
        return cli_error(EXIT_USAGE,
                         "%s needs a serial number, a lot, a factor as NAME=VALUE, or --station",
                         command);
    if (a->forward && a->at)
        return cli_error(EXIT_USAGE, "%s: --at goes without --forward; --until says which unit",
                         command);
    if (!a->forward && (a->station || a->since || a->until || a->limit))
        return cli_error(EXIT_USAGE, "--station, --since, --until and --limit go with --forward");
    if (!cli_time_check(command, "since", a->since) ||
        !cli_time_check(command, "until", a->until) ||
        !cli_time_check(command, "as-of", a->as_of) || !cli_time_check(command, "at", a->at) ||
        !cli_count_check(command, "depth", 0, a->depth) ||
        !cli_count_check(command, "limit", 1, a->limit))
        return EXIT_USAGE;
    return shape_check(&a->shape, command);
}

static int trace_run(struct asking *a, int argc, char **argv, const struct cli_command *command)
{
    const struct cli_option options[] = {
        SHAPE_OPTIONS(&a->shape),
        {"forward", 'f', NULL, "every unit that it reaches: the containment", NULL, &a->forward},
        {"depth", 0, "N", "steps through the genealogy", &a->depth, NULL},
        {"as-of", 0, "TIME", "what was known then; a time, or how long ago: 2h", &a->as_of, NULL},
        {"at", 0, "TIME", "of several units that bore the serial the one of then", &a->at, NULL},
        {"station", 0, "NAME", "forward, instead of a name: what was at this station", &a->station,
         NULL},
        {"since", 0, "TIME", "forward: only from then on; a time, or how long ago: 2h", &a->since,
         NULL},
        {"until", 0, "TIME", "forward: only until then", &a->until, NULL},
        {"limit", 'n', "COUNT", "forward: units at most (default 1000)", &a->limit, NULL},
        {"no-curves", 0, NULL, "without the curves", NULL, &a->no_curves},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    const char *name = count ? argv[1] : NULL;
    int code = trace_check(a, count, argv, command->name);
    if (code != EXIT_OK)
        return code;
    return a->forward ? ask_forward(a, name) : ask_trace(a, name);
}

int command_trace(int argc, char **argv, const struct cli_command *command)
{
    struct asking a = {0};
    return trace_run(&a, argc, argv, command);
}

int command_where_used(int argc, char **argv, const struct cli_command *command)
{
    struct asking a = {.forward = true};
    return trace_run(&a, argc, argv, command);
}

/* ------------------------------------------------------------------------------------------ units
 */

int command_units(int argc, char **argv, const struct cli_command *command)
{
    struct shape shape = {0};
    const char *verdict = NULL;
    const char *station = NULL;
    const char *since = NULL;
    const char *until = NULL;
    const char *limit = NULL;
    const struct cli_option options[] = {
        SHAPE_OPTIONS(&shape),
        {"verdict", 0, "NAME", "only units that are bad now: fail, rework, scrap, or bad (any)",
         &verdict, NULL},
        {"station", 0, "NAME", "only there", &station, NULL},
        {"since", 0, "TIME", "only from then on; a time, or how long ago: 2h", &since, NULL},
        {"until", 0, "TIME", "only until then", &until, NULL},
        {"limit", 'n', "COUNT", "rows at most (default 100)", &limit, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count)
        return cli_error(EXIT_USAGE, "units: what is '%s'? (One unit: lotline trace SERIAL)",
                         argv[1]);
    if (!cli_time_check(command->name, "since", since) ||
        !cli_time_check(command->name, "until", until) ||
        !cli_count_check(command->name, "limit", 1, limit))
        return EXIT_USAGE;
    int code = shape_check(&shape, command->name);
    if (code != EXIT_OK)
        return code;
    struct buf path = {0};
    (void)buf_append_text(&path, "/api/v1/units");
    cli_query_append(&path, "verdict", verdict);
    cli_query_append(&path, "station", station);
    cli_query_time(&path, "since", since);
    cli_query_time(&path, "until", until);
    cli_query_append(&path, "limit", limit);
    return ask(&shape, &path, cli_print_units);
}
