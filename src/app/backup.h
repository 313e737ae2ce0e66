/* Copying a running node's state, and putting it back. */
#ifndef LOTLINE_APP_BACKUP_H
#define LOTLINE_APP_BACKUP_H

#include "base/err.h"

#include <stdint.h>

struct historian;
struct journal;
struct stream_log;

struct backup_source {
    struct journal *journal;
    struct stream_log *log;
    struct historian *historian; /* NULL if the node has none */
};

/* Copies into dir, which must be empty or not exist yet in a directory that does (else
 * ERR_INVALID): the historian's file, then keyed state, then the log's segments (hard links where
 * the file system allows it). In that order the stored positions never exceed the log. Blocking: on
 * a worker's thread. *ret_bytes: what was written. */
int backup_make(const struct backup_source *source, const char *dir, uint64_t *ret_bytes,
                struct diag *diag);

/* Copies a backup into a data directory that is empty or not there. No node may run on it. */
int backup_restore(const char *dir, const char *data, struct diag *diag);

#endif
