/* `lotline run` and `lotline check`: from a configuration to a node, or to what is wrong with it.
 */
#include "app/commands.h"
#include "app/node.h"
#include "base/log.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define DATA_DIR_DEFAULT  "/var/lib/lotline"
#define PROGRAM_BYTES_MAX 1024

/* Signals that end a node are waited for, not caught: every thread is born with them blocked. */
static void signals_block(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGINT);
    (void)sigaddset(ret_set, SIGTERM);
    (void)sigaddset(ret_set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, ret_set, NULL);
}

static int signal_wait(const sigset_t *set)
{
    int signal = 0;
    while (sigwait(set, &signal) != 0) {
    }
    return signal;
}

/* The console's files: beside the program in console/, where the build puts them. */
static const char *console_dir(char *out, size_t out_bytes)
{
    char program[PROGRAM_BYTES_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return NULL;
    program[n] = 0;
    char *slash = strrchr(program, '/');
    *slash = 0;
    (void)snprintf(out, out_bytes, "%s/console", program);
    return access(out, R_OK) == 0 ? out : NULL;
}

struct run_options {
    const char *config;
    const char *data;
    const char *log;
};

static const char *run_data_dir(const struct run_options *options, const struct config *config)
{
    if (options->data)
        return options->data;
    const char *environment = getenv("LOTLINE_DATA");
    if (environment && *environment)
        return environment;
    return config_data(config) ? config_data(config) : DATA_DIR_DEFAULT;
}

static int log_level_apply(const char *name)
{
    enum log_level level;
    if (!log_level_find(name, &level))
        return cli_error(EXIT_USAGE, "there is no log level '%s': debug, info, warn, error, off",
                         name);
    log_level_set(level);
    return EXIT_OK;
}

static int run_until_signal(struct node *node, const sigset_t *set)
{
    struct diag diag = {0};
    int err = node_start(node, &diag);
    if (err) {
        cli_print_diag(&diag);
        return EXIT_FAILED;
    }
    if (node_sign_in_link(node)[0])
        (void)printf("Console: %s\n(the link signs in once, within ten minutes; `lotline link` "
                     "makes another)\n",
                     node_sign_in_link(node));
    (void)fflush(stdout);
    int signal = signal_wait(set);
    log_info("node", "%s: stopping", signal == SIGINT ? "interrupted" : "asked to end");
    return EXIT_OK;
}

int command_run(int argc, char **argv, const struct cli_command *command)
{
    struct run_options o = {0};
    const struct cli_option options[] = {
        {"config", 'c', "FILE|DIR", "the configuration (default: everything, on loopback)",
         &o.config, NULL},
        {"data", 0, "DIR",
         "the data directory (default: the configuration's, LOTLINE_DATA, "
         "/var/lib/lotline)",
         &o.data, NULL},
        {"log", 0, "LEVEL", "debug, info, warn, error or off", &o.log, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count)
        return cli_error(EXIT_USAGE, "run: what is '%s'?", argv[1]);
    struct config *config = NULL;
    struct diag diag = {0};
    if (config_load(o.config, &config, &diag)) {
        cli_print_diag(&diag);
        return EXIT_FAILED;
    }
    int code = log_level_apply(o.log ? o.log : config_log_level(config));
    if (code) {
        config_free(config);
        return code;
    }
    sigset_t set;
    signals_block(&set);
    char console[PROGRAM_BYTES_MAX + 16];
    struct node_options node_options = {
        .config = config,
        .data = run_data_dir(&o, config),
        .console_dir = console_dir(console, sizeof console),
    };
    struct node *node = NULL;
    int err = node_new(&node_options, &node);
    if (err)
        (void)diag_set(&diag, err, 0, 0, "the node cannot start: %s", err_text(err));
    else
        err = node_configure(node, &diag);
    if (err) {
        cli_print_diag(&diag);
        code = EXIT_FAILED;
    } else {
        code = run_until_signal(node, &set);
    }
    if (node)
        node_stop(node);
    node_free(node);
    config_free(config);
    return code;
}

int command_check(int argc, char **argv, const struct cli_command *command)
{
    const char *path = NULL;
    const struct cli_option options[] = {
        {"config", 'c', "FILE|DIR", "the configuration to check", &path, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (!path && count == 1)
        path = argv[1];
    if (!path || count > 1)
        return cli_error(EXIT_USAGE, "check needs a configuration: lotline check -c FILE");
    struct config *config = NULL;
    struct node *node = NULL;
    struct diag diag = {0};
    int err = config_load(path, &config, &diag);
    if (!err) {
        struct node_options node_options = {.config = config, .data = ""};
        err = node_new(&node_options, &node);
    }
    if (!err)
        err = node_configure(node, &diag);
    if (err && !diag.text[0])
        (void)diag_set(&diag, err, 0, 0, "%s", err_text(err));
    if (err)
        cli_print_diag(&diag);
    else
        (void)printf("%s: no errors\n", path);
    node_free(node);
    config_free(config);
    return err ? EXIT_FAILED : EXIT_OK;
}
