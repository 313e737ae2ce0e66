/* `lotline why`: what may have caused a defect. The node does the work; what people see is printed
 * by cli_trace.c. */
#include "app/commands.h"

int command_why(int argc, char **argv, const struct cli_command *command)
{
    const char *data = NULL;
    const char *defect = NULL;
    const char *since = NULL;
    const char *until = NULL;
    const char *operation = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {"data", 0, "DIR", "the node's data directory", &data, NULL},
        {"json", 0, NULL, "print JSON for programs", NULL, &json},
        {"defect", 'd', "NAME", "the defect to explain", &defect, NULL},
        {"since", 0, "TIME",
         "units tested from then on; a time, or how long ago: 2h (default: 30d)", &since, NULL},
        {"until", 0, "TIME", "units tested before then (default: now)", &until, NULL},
        {"operation", 0, "NAME", "where the defect is found (default: where it is most often)",
         &operation, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count)
        return cli_error(EXIT_USAGE, "why: what is '%s'? As in: lotline why --defect %s", argv[1],
                         argv[1]);
    if (!defect || !defect[0])
        return cli_error(EXIT_USAGE, "why needs --defect NAME");
    if (!cli_time_check(command->name, "since", since) ||
        !cli_time_check(command->name, "until", until))
        return EXIT_USAGE;
    struct buf path = {0};
    struct buf answer = {0};
    (void)buf_append_text(&path, "/api/v1/why");
    cli_query_append(&path, "defect", defect);
    cli_query_time(&path, "since", since);
    cli_query_time(&path, "until", until);
    cli_query_append(&path, "operation", operation);
    int code = cli_request(cli_data_dir(data), "GET", buf_text(&path), NULL, &answer);
    if (code == EXIT_OK)
        code = cli_print_why(buf_bytes(&answer), json);
    buf_fini(&answer);
    buf_fini(&path);
    return code;
}
