/* The command line's common ground: options, exit codes, output for people and for programs.
 *
 * Each subcommand is a row in main.c's table and one function. Options are declared as data, so
 * that --help, parsing and shell completion come from the same place.
 */
#ifndef LOTLINE_APP_CLI_H
#define LOTLINE_APP_CLI_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

/* What a script can rely on. */
enum cli_exit {
    EXIT_OK = 0,
    EXIT_FAILED = 1,    /* it was tried and did not succeed; a configuration with errors */
    EXIT_USAGE = 2,     /* the command line itself is wrong */
    EXIT_NOT_FOUND = 3, /* no such unit, tag, device */
    EXIT_NO_NODE = 4,   /* no node answers */
};

struct cli_option {
    const char *name;  /* long name without dashes; NULL ends a table */
    char letter;       /* short name, 0 = none */
    const char *value; /* what to call its value in help; NULL = it takes none */
    const char *doc;
    const char **text; /* where the value goes */
    bool *set;         /* set to true when given; may be NULL */
};

struct cli_command {
    const char *name;
    const char *arguments; /* for the usage line: "TAG VALUE" */
    const char *doc;       /* one line */
    const char *examples;  /* lines for --help */
    int (*run)(int argc, char **argv, const struct cli_command *command);
};

/* Reads argv[1…] against the table; what is no option (a negative number is none) is moved to the
 * front of argv (from index 1) and counted in *ret_count. -h/--help prints the command's help and
 * leaves the program. False after printing what is wrong (the caller returns EXIT_USAGE). */
bool cli_parse(int argc, char **argv, const struct cli_command *command,
               const struct cli_option *options, int *ret_count);

/* "lotline: …" on standard error; returns `code` so that a command can end with it. */
int cli_error(enum cli_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A diag as "file:line:column: text", or "lotline: text" where no file is named. */
void cli_print_diag(const struct diag *diag);

/* Prints a JSON text (an array of objects, or one object) as an aligned table, or as it is. */
int cli_print_json(struct bytes json, bool as_json);

/* Prints an answer of historian.sql: the text in it (a table, CSV), or all of it as JSON. Says on
 * standard error when rows were left out. */
int cli_print_sql(struct bytes json, bool as_json);

/* Print an answer of trace.unit, trace.forward, trace.units (cli_trace.c). */
int cli_print_trace(struct bytes json, bool as_json, bool as_csv);
int cli_print_forward(struct bytes json, bool as_json, bool as_csv);
int cli_print_units(struct bytes json, bool as_json, bool as_csv);

/* Prints an answer of trace.why. */
int cli_print_why(struct bytes json, bool as_json);

/* Prints a problem+json answer as a sentence; gives the exit code for its status. */
int cli_problem(struct bytes json, int status);

/* The data directory to talk to: the option, $LOTLINE_DATA, the configuration's, /var/lib/lotline.
 * The text lives as long as the program. */
const char *cli_data_dir(const char *option);

/* One request to the running node over its socket. Prints what went wrong and returns an exit code,
 * or EXIT_OK with the answer's body in *ret_body. body may be NULL. */
int cli_request(const char *data_dir, const char *method, const char *path, const char *body,
                struct buf *ret_body);

/* Says that no node answers at a socket, and what to look at; returns EXIT_NO_NODE. */
int cli_no_node(const char *sock, int err);

/* Appends text percent-encoded for a URL's path segment or query value. */
void cli_url_encode(struct buf *out, const char *text);

/* Appends ?name=text to a path, &name=text if it has a query already; nothing if text is NULL. */
void cli_query_append(struct buf *path, const char *name, const char *text);

/* The same for a time as RFC 3339 has it, or how long ago it was: "2h". */
void cli_query_time(struct buf *path, const char *name, const char *text);

/* An option's value before it is sent: a time as cli_query_time takes it, a whole number from min
 * on. NULL is good. False after saying which option has what is none. */
bool cli_time_check(const char *command, const char *option, const char *text);
bool cli_count_check(const char *command, const char *option, uint32_t min, const char *text);

#endif
