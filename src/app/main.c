/* The program: finds the subcommand and runs it. Everything else is behind commands.h. */
#include "app/commands.h"
#include "base/str.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

static const struct cli_command commands[] = {
    {"run", "", "Run a node: edge, hub or both, as the configuration says.",
     "  lotline run                          a whole node with an embedded store\n"
     "  lotline run -c plant.yaml            what plant.yaml says\n"
     "  lotline run -c conf.d --data /srv/lotline\n",
     command_run},
    {"check", "", "Check a configuration without opening anything; say what is wrong and where.",
     "  lotline check -c plant.yaml\n", command_check},
    {"devices", "", "The devices of the running node and how they are.", "  lotline devices\n",
     command_list},
    {"tags", "[TEXT]", "The tags with their latest values; only those whose name holds TEXT.",
     "  lotline tags press --json\n", command_list},
    {"streams", "", "The streams and where they come from.", NULL, command_list},
    {"rules", "", "The rules, their counters and their last errors.", NULL, command_list},
    {"alarms", "", "The alarms: raised, cleared, acknowledged.", NULL, command_list},
    {"units", "", "The units seen lately, or the bad ones of a time.",
     "  lotline units --verdict bad --since 8h\n", command_units},
    {"read", "TAG | URL ADDRESS",
     "Read a tag from its device now, or try a device without any "
     "configuration.",
     "  lotline read plc1.press.force\n"
     "  lotline read modbus-tcp://192.0.2.10:502 \"1!400001\" --type float\n",
     command_read},
    {"write", "TAG VALUE", "Write a tag; succeeds only when the device says so.",
     "  lotline write plc1.press.setpoint 14.5\n", command_write},
    {"tail", "SQL", "Run a live streaming query and print its rows until Ctrl-C.",
     "  lotline tail 'SELECT ts, force FROM \"plc1.press\" WHERE force > 10'\n", command_tail},
    {"sql", "SQL", "Ask the historian (read-only).",
     "  lotline sql 'SELECT count(*) FROM points'\n"
     "  lotline sql --csv 'SELECT * FROM history LIMIT 100' > history.csv\n",
     command_sql},
    {"trace", "SERIAL",
     "What happened to a unit: where it was, its measures, defects, relatives, verdict and curve.",
     "  lotline trace PRS-000007\n"
     "  lotline trace LOT-4711 --forward --json\n",
     command_trace},
    {"where-used", "SERIAL | LOT | NAME=VALUE",
     "Every unit that something reaches: trace --forward.",
     "  lotline where-used LOT-4711\n"
     "  lotline where-used nozzle=3 --since 2h --csv\n"
     "  lotline where-used --station press --since 2026-11-22T08:00:00Z\n",
     command_where_used},
    {"why", "--defect NAME", "What may have caused a defect: factors ranked by evidence.",
     "  lotline why --defect scratch\n"
     "  lotline why --defect dent --since 2d --json\n",
     command_why},
    {"replay", "--from TIME --to TIME --tracks FILE",
     "What a past period would have given with changed tracks and rules.",
     "  lotline replay --from 2h --to 1h --tracks belt.yaml\n"
     "  lotline replay --from 2026-11-22T08:00:00Z --to 2026-11-22T12:00:00Z --tracks t.yaml "
     "--csv\n"
     "  lotline replay --from 1d --to 0s --tracks rules.yaml --csv --results\n",
     command_replay},
    {"link", "", "Print a new one-time link that signs in to the console.", NULL, command_link},
    {"backup", "DIR", "Copy a running node's state to DIR.", "  lotline backup /mnt/backup/today\n",
     command_backup},
    {"restore", "DIR", "Put a backup back into an empty data directory (node stopped).",
     "  lotline restore /mnt/backup/today --data /var/lib/lotline\n", command_restore},
    {"journal", "dump", "Print the records of a journal (node stopped or running).",
     "  lotline journal dump --data /var/lib/lotline\n", command_journal},
    {"sim", "press", "Simulated machines to try Lotline with.", "  lotline sim press --port 5020\n",
     command_sim},
    {"version", "", "The version.", NULL, command_version},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_usage(FILE *to)
{
    (void)fputs("Lotline: every process value bound to the unit that was in the machine.\n\n"
                "Usage: lotline COMMAND [options] …\n\n",
                to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].doc);
    (void)fputs("\nlotline COMMAND --help says more, with examples.\n", to);
}

static const struct cli_command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *like = NULL;
    unsigned best = 3;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        unsigned distance = str_distance(commands[i].name, name);
        if (distance < best) {
            best = distance;
            like = commands[i].name;
        }
    }
    if (like)
        return cli_error(EXIT_USAGE, "there is no command '%s'; did you mean '%s'?", name, like);
    return cli_error(EXIT_USAGE, "there is no command '%s' (lotline --help lists them)", name);
}

/* lotline completion: one word a line, for `complete -C`-like shells. */
static int print_completion(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)puts(commands[i].name);
    return EXIT_OK;
}

/* What a full disk swallowed must not pass for an answer; a reader that has left has had enough. */
static int output_end(int code)
{
    bool failed = fflush(stdout) != 0 || ferror(stdout) != 0;
    struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (!failed || code != EXIT_OK || (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR)))
        return code;
    return cli_error(EXIT_FAILED, "not all of the output could be written; is the disk full?");
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    if (strcmp(name, "completion") == 0)
        return print_completion();
    const struct cli_command *command = command_find(name);
    if (!command)
        return unknown_command(name);
    return output_end(command->run(argc - 1, argv + 1, command));
}
