/* Keyed state: small things that must survive under a name (cursors, schemas, checkpoints,
 * configuration objects, retained messages), in LMDB.
 *
 * Every change is one key and is durable when the call returns. No caller needs two keys to change
 * together, so that a second implementation (a key-value store on a cluster) fits behind the same
 * functions.
 *
 * All of these block (a change costs an fsync): not on loop threads; on the journal thread only for
 * what happens once, such as a schema's first use. Any number of threads at a time.
 *
 * Keys are paths: "cursor/streams/uplink", "schema/9f3c…". Whoever owns a prefix says so in its
 * README.
 */
#ifndef LOTLINE_JOURNAL_STATE_H
#define LOTLINE_JOURNAL_STATE_H

#include "base/bytes.h"

struct journal;

#define STATE_KEY_BYTES_MAX   480
#define STATE_VALUE_BYTES_MAX (16u << 20)

/* Appends the value to *ret. ERR_NOT_FOUND, ERR_INVALID (key empty or too long), ERR_IO. */
int state_get(struct journal *j, struct bytes key, struct buf *ret);

/* ERR_INVALID, ERR_LIMIT (value too large), ERR_NO_SPACE (the map or the disk is full), ERR_IO. */
int state_put(struct journal *j, struct bytes key, struct bytes value);

/* Takes the key out; OK also when it was not there. */
int state_remove(struct journal *j, struct bytes key);

/* Puts value only if the present one is `expected`; expected.ptr NULL = only if the key is absent.
 * ERR_CONFLICT otherwise, and as state_put. */
int state_compare_and_set(struct journal *j, struct bytes key, struct bytes expected,
                          struct bytes value);

/* fn for every key that begins with prefix, in memcmp order, on one snapshot. Views live during the
 * call; fn must not call state functions. A non-zero return ends it and is returned. */
int state_each(struct journal *j, struct bytes prefix,
               int (*fn)(void *ctx, struct bytes key, struct bytes value), void *ctx);

/* A consistent copy into the folder `dir` (must exist, empty), while the node runs. */
int state_copy(struct journal *j, const char *dir);

/* Bytes in use and the limit, for metrics. */
int state_usage(struct journal *j, uint64_t *ret_used, uint64_t *ret_max);

#endif
