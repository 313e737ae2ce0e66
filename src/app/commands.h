/* The subcommands; each is explained by `lotline NAME --help`. Private to app/. */
#ifndef LOTLINE_APP_COMMANDS_H
#define LOTLINE_APP_COMMANDS_H

#include "app/cli.h"

typedef int command_fn(int argc, char **argv, const struct cli_command *command);

command_fn command_run;
command_fn command_check;
command_fn command_list; /* devices, tags, streams, rules, alarms: lists over REST */
command_fn command_read;
command_fn command_write;
command_fn command_tail;
command_fn command_sql;
command_fn command_trace;
command_fn command_where_used;
command_fn command_units;
command_fn command_why;
command_fn command_replay;
command_fn command_link;
command_fn command_backup;
command_fn command_restore;
command_fn command_journal;
command_fn command_sim;
command_fn command_version;

#endif
