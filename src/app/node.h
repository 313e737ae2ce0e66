/* One running Lotline: what `lotline run` builds and `lotline check` builds half of.
 *
 * Life: node_new (memory, loops) → node_configure (checks everything, opens nothing) → node_start
 * (journal, stores, listeners, devices) → node_stop (in reverse) → node_free.
 */
#ifndef LOTLINE_APP_NODE_H
#define LOTLINE_APP_NODE_H

#include "config/config.h"

struct node;

struct node_options {
    const struct config *config; /* borrowed for the node's life */
    const char *data;            /* the data directory; made by node_start if it is not there */
    const char *console_dir;     /* built console, NULL = none is served */
};

/* ERR_NOMEM and what starting a thread can give. */
int node_new(const struct node_options *options, struct node **ret);

/* Errors with file, line, column and what to do. */
int node_configure(struct node *n, struct diag *diag);

/* Blocks until everything listens. On an error the caller still stops and frees. */
int node_start(struct node *n, struct diag *diag);

/* Idempotent. Everything acknowledged is on disk before and stays there. */
void node_stop(struct node *n);
void node_free(struct node *n); /* NULL is allowed */

/* For people: where to sign in. "" if no API runs. */
const char *node_sign_in_link(const struct node *n);

#endif
