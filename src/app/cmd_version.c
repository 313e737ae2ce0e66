/* `lotline version`. The number comes from the build. */
#include "app/commands.h"

int command_version(int argc, char **argv, const struct cli_command *command)
{
    const struct cli_option options[] = {{0}};
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    (void)puts("lotline " LOTLINE_VERSION);
    return EXIT_OK;
}
