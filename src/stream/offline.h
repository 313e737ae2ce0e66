/* Rules beside the engine, over batches in memory: what a past period would have given with others.
 *
 * They are compiled as the engine does it, and their pipelines are the same; but nothing is
 * attached to anything, no action is carried out and nothing is kept. now() is the time of a
 * batch's last row, so that the same batches give the same rows whenever they are pushed. One
 * thread.
 */
#ifndef LOTLINE_STREAM_OFFLINE_H
#define LOTLINE_STREAM_OFFLINE_H

#include "stream/stream.h"

struct stream_offline;
struct lookup;

/* Compiles the rules of `config`, all of them, against the catalogue, to which the streams that
 * they make are added; it must be nobody else's. Errors as of stream_engine_configure. */
int stream_offline_new(const struct config *config, struct catalogue *catalogue,
                       struct stream_offline **ret, struct diag *diag);
void stream_offline_free(struct stream_offline *o); /* NULL is allowed */

/* The i-th rule; each comes behind those whose streams it reads. */
struct stream_offline_rule {
    const char *name;
    const struct stream *from;
    const struct stream *presence; /* NULL: no unit window */
    const struct stream *output;
    const struct tree *actions; /* as written, NULL: none */
    int64_t window_us;          /* of a tumbling window, else 0 */
};

/* False when there is no i-th. */
bool stream_offline_rule(const struct stream_offline *o, uint32_t i,
                         struct stream_offline_rule *ret);

/* The k-th lookup that rule i reads (one may come twice); NULL when there is no k-th. */
const struct lookup *stream_offline_lookup(const struct stream_offline *o, uint32_t i, uint32_t k);

/* Rule i takes part from now on; others cost nothing. */
int stream_offline_use(struct stream_offline *o, uint32_t i);

/* Takes the rows of a rule that takes part, in the order in which they are made. */
typedef int (*stream_offline_fn)(void *ctx, uint32_t rule, const struct batch *rows);

/* The next batch of a stream. Batches of presences come before the signals that are newer than
 * they. */
int stream_offline_push(struct stream_offline *o, const struct stream *s, const struct batch *b,
                        stream_offline_fn fn, void *ctx);

/* No batch comes any more: units that wait for signals are answered with what there is. Windows
 * that are still open give nothing. */
int stream_offline_end(struct stream_offline *o, stream_offline_fn fn, void *ctx);

struct stream_offline_stats {
    uint64_t in_rows;
    uint64_t out_rows;
    uint64_t error_rows; /* dropped: evaluating them failed */
    uint64_t lost_rows;  /* dropped: a limit was reached */
    const char *last_error;
};

/* Of a rule that takes part. */
void stream_offline_stats_get(const struct stream_offline *o, uint32_t i,
                              struct stream_offline_stats *ret);

#endif
