/* Subcommands that ask a running node over its socket: lists, read, write, sql, tail, link,
 * backup. Each builds one request, sends it and prints the answer. */
#include "api/client.h"
#include "app/commands.h"
#include "base/arena.h"
#include "base/str.h"
#include "codec/json_print.h"
#include "config/tree.h"
#include "gateway/gateway.h"

#include <unistd.h>

#define PATH_BYTES_MAX 4096

/* Options that every one of them has. */
struct common {
    const char *data;
    bool json;
};

#define COMMON_OPTIONS(c)                                                                          \
    {"data", 0, "DIR", "the node's data directory", &(c)->data, NULL},                             \
    {                                                                                              \
        "json", 0, NULL, "print JSON for programs", NULL, &(c)->json                               \
    }

/* Sends and prints; gives the exit code. */
static int ask_and_print(const struct common *common, const char *method, const char *path,
                         const char *body)
{
    struct buf answer = {0};
    int code = cli_request(cli_data_dir(common->data), method, path, body, &answer);
    if (code == EXIT_OK)
        code = cli_print_json(buf_bytes(&answer), common->json);
    buf_fini(&answer);
    return code;
}

/* devices, tags, streams, rules, alarms, units: GET /api/v1/NAME. */
int command_list(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    const struct cli_option options[] = {COMMON_OPTIONS(&common), {0}};
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    int count_max = strcmp(command->name, "tags") == 0;
    bool filtered = count == 1 && count_max == 1;
    if (count > count_max)
        return cli_error(EXIT_USAGE, "%s: what is '%s'?", command->name, argv[count_max + 1]);
    struct buf path = {0};
    (void)buf_printf(&path, "/api/v1/%s", command->name);
    if (filtered) {
        (void)buf_append_text(&path, "?match=");
        cli_url_encode(&path, argv[1]);
    }
    int code = ask_and_print(&common, "GET", buf_text(&path), NULL);
    buf_fini(&path);
    return code;
}

/* Whole JSON and nothing behind it: what begins like JSON may be no more than a text. */
static bool is_json(struct bytes text)
{
    struct arena arena = {0};
    struct tree *tree = NULL;
    struct diag diag = {0};
    bool json = tree_parse_json(&arena, "", text, &tree, &diag) == OK;
    arena_fini(&arena);
    return json;
}

/* A word of the command line as a JSON value: a number, true, false, null or JSON text as it is,
 * anything else as a string. */
static void append_json_value(struct buf *out, const char *word)
{
    double number;
    struct bytes text = bytes_of_text(word);
    bool literal = strcmp(word, "true") == 0 || strcmp(word, "false") == 0 ||
                   strcmp(word, "null") == 0 ||
                   (strchr("\"{[", word[0]) && word[0] && is_json(text));
    /* JSON knows neither "+1" nor ".5" nor "nan". */
    bool numeric = str_to_double(text, &number) == OK && number - number == 0 &&
                   (word[0] == '-' || (word[0] >= '0' && word[0] <= '9'));
    if (literal || numeric)
        (void)buf_append_text(out, word);
    else
        (void)json_print_string(text, out);
}

static void append_member(struct buf *out, const char *name, const char *text)
{
    (void)buf_append_text(out, out->len > 1 ? "," : "");
    (void)json_print_string(bytes_of_text(name), out);
    (void)buf_append_text(out, ":");
    (void)json_print_string(bytes_of_text(text), out);
}

int command_write(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    const struct cli_option options[] = {COMMON_OPTIONS(&common), {0}};
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count != 2)
        return cli_error(EXIT_USAGE,
                         "write needs a tag and a value: lotline write plc1.press.set 5");
    struct buf body = {0};
    struct buf answer = {0};
    (void)buf_append_text(&body, "{");
    append_member(&body, "tag", argv[1]);
    (void)buf_append_text(&body, ",\"value\":");
    append_json_value(&body, argv[2]);
    (void)buf_append_text(&body, "}");
    int code =
        cli_request(cli_data_dir(common.data), "POST", "/api/v1/write", buf_text(&body), &answer);
    if (code == EXIT_OK) {
        code = cli_print_json(buf_bytes(&answer), common.json);
        /* The answer came, but the device may have said no. */
        if (!strstr(buf_text(&answer), "\"ok\":true"))
            code = EXIT_FAILED;
    }
    buf_fini(&body);
    buf_fini(&answer);
    return code;
}

/* `lotline read URL ADDRESS`: no node, no configuration, just the device. */
static int probe_and_print(const char *url, const char *address, const char *type,
                           const char *order)
{
    struct gateway_probe probe = {.url = url, .address = address, .type = type, .order = order};
    struct buf value = {0};
    struct diag diag = {0};
    int err = gateway_probe(&probe, &value, &diag);
    int code = EXIT_OK;
    if (err)
        code = cli_error(EXIT_FAILED, "%s %s: %s", url, address,
                         diag.text[0] ? diag.text : err_text(err));
    else
        (void)puts(buf_text(&value));
    buf_fini(&value);
    return code;
}

int command_read(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    const char *type = "int16";
    const char *order = NULL;
    const struct cli_option options[] = {
        COMMON_OPTIONS(&common),
        {"type", 't', "TYPE", "with a URL: the value's type (default int16)", &type, NULL},
        {"order", 0, "ORDER", "with a URL: byte order, ABCD and so on", &order, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    bool url = count > 0 && strstr(argv[1], "://");
    if (count == 2 && url)
        return probe_and_print(argv[1], argv[2], type, order);
    if (url && count == 1)
        return cli_error(EXIT_USAGE, "read: which address of %s? As in: lotline read %s '1!400001'",
                         argv[1], argv[1]);
    if (count != 1)
        return cli_error(EXIT_USAGE, "read needs a tag, or a URL and an address");
    struct buf body = {0};
    (void)buf_append_text(&body, "{");
    append_member(&body, "tag", argv[1]);
    (void)buf_append_text(&body, "}");
    int code = ask_and_print(&common, "POST", "/api/v1/read", buf_text(&body));
    buf_fini(&body);
    return code;
}

/* False after saying that an option's value is no count. */
static bool append_count(struct buf *body, const char *name, const char *option, const char *text)
{
    uint64_t count = 0;
    if (!text)
        return true;
    if (!cli_count_check("sql", option, 1, text))
        return false;
    (void)str_to_u64(bytes_of_text(text), &count);
    (void)buf_printf(body, ",\"%s\":%llu", name, (unsigned long long)count);
    return true;
}

int command_sql(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    bool csv = false;
    const char *rows = NULL;
    const char *timeout = NULL;
    const struct cli_option options[] = {
        COMMON_OPTIONS(&common),
        {"csv", 0, NULL, "print CSV", NULL, &csv},
        {"rows", 'n', "COUNT", "at most so many rows (default 10000)", &rows, NULL},
        {"timeout", 0, "MS", "give up after so many milliseconds (default 10000)", &timeout, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count != 1)
        return cli_error(EXIT_USAGE, "sql needs one statement in quotes");
    if (csv && common.json)
        return cli_error(EXIT_USAGE, "sql: --csv or --json, not both");
    struct buf body = {0};
    struct buf answer = {0};
    (void)buf_append_text(&body, "{");
    append_member(&body, "sql", argv[1]);
    append_member(&body, "format", csv ? "csv" : common.json ? "json" : "table");
    int code = EXIT_USAGE;
    if (append_count(&body, "rows_max", "rows", rows) &&
        append_count(&body, "timeout_ms", "timeout", timeout)) {
        (void)buf_append_text(&body, "}");
        code =
            cli_request(cli_data_dir(common.data), "POST", "/api/v1/sql", buf_text(&body), &answer);
    }
    if (code == EXIT_OK)
        code = cli_print_sql(buf_bytes(&answer), common.json);
    buf_fini(&body);
    buf_fini(&answer);
    return code;
}

/* *ctx turns true when nobody reads our output any more (`| head`): an end, not an error. */
static int print_line(void *ctx, struct bytes line)
{
    bool *closed = ctx;
    (void)fwrite(line.ptr, 1, line.len, stdout);
    (void)fputc('\n', stdout);
    if (fflush(stdout) == 0)
        return OK;
    *closed = true;
    return ERR_CLOSED;
}

int command_tail(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    const struct cli_option options[] = {COMMON_OPTIONS(&common), {0}};
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count != 1)
        return cli_error(EXIT_USAGE, "tail needs one statement in quotes");
    struct buf body = {0};
    struct buf sock = {0};
    struct buf problem = {0};
    (void)buf_append_text(&body, "{");
    append_member(&body, "sql", argv[1]);
    (void)buf_append_text(&body, "}");
    (void)buf_printf(&sock, "%s/lotline.sock", cli_data_dir(common.data));
    int status = 0;
    bool closed = false;
    int err = api_client_stream(buf_text(&sock), "/api/v1/tail", buf_text(&body), print_line,
                                &closed, &problem, &status);
    int code = EXIT_OK;
    if (err && !closed)
        code = cli_no_node(buf_text(&sock), err);
    else if (status >= 400)
        code = cli_problem(buf_bytes(&problem), status);
    else if (!closed)
        code = cli_error(EXIT_NO_NODE, "the node has ended, and the query with it");
    buf_fini(&body);
    buf_fini(&sock);
    buf_fini(&problem);
    return code;
}

int command_link(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    const struct cli_option options[] = {COMMON_OPTIONS(&common), {0}};
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count)
        return cli_error(EXIT_USAGE, "link: what is '%s'?", argv[1]);
    return ask_and_print(&common, "POST", "/api/v1/link", "{}");
}

int command_backup(int argc, char **argv, const struct cli_command *command)
{
    struct common common = {0};
    const struct cli_option options[] = {COMMON_OPTIONS(&common), {0}};
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count != 1 || !argv[1][0])
        return cli_error(EXIT_USAGE, "backup needs a directory to make");
    /* The node may stand in another directory than we do. */
    char here[PATH_BYTES_MAX] = "";
    if (argv[1][0] != '/' && !getcwd(here, sizeof here))
        return cli_error(EXIT_FAILED, "backup: give the whole path of %s", argv[1]);
    struct buf dir = {0};
    (void)buf_printf(&dir, "%s%s%s", here, *here ? "/" : "", argv[1]);
    struct buf body = {0};
    (void)buf_append_text(&body, "{");
    append_member(&body, "dir", buf_text(&dir));
    (void)buf_append_text(&body, "}");
    buf_fini(&dir);
    int code = ask_and_print(&common, "POST", "/api/v1/backup", buf_text(&body));
    buf_fini(&body);
    return code;
}
