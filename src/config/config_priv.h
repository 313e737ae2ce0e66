/* Shared inside config/ only. */
#ifndef LOTLINE_CONFIG_CONFIG_PRIV_H
#define LOTLINE_CONFIG_CONFIG_PRIV_H

#include "config/config.h"

/* Appends the whole file to out. Blocks. ERR_NOT_FOUND, ERR_DENIED, ERR_IO, ERR_LIMIT (more than
 * bytes_max), ERR_NOMEM. */
int file_read(const char *path, size_t bytes_max, struct buf *out);

/* Files' trees as one: adds the keys of `from` to the map `into` (both in arena; from's nodes are
 * moved). Lists of one key are joined, everything else may stand in one of them only.
 * ERR_EXISTS, ERR_TYPE (from is not a map), ERR_NOMEM. */
int tree_merge(struct arena *arena, struct tree *into, struct tree *from, struct diag *diag);

#endif
