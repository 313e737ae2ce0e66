/* Streams from outside that we ask for: documents of an HTTP API, files in a folder.
 *
 * `streams: {source: http}` asks a URL again and again; each answer is rows of a stream, and with
 * `lookup: true` also a table valid in time that rules ask by key (model/lookup.h). `source: file`
 * reads the CSV files that others drop into a folder, each row once. (MQTT is the stream engine's.)
 * And the other way: a rule's action `http` tells another system of its rows.
 *
 * Whatever is down raises one alarm that names the URL or the file and the reason, and takes it
 * back when it works again; nothing else is disturbed by it.
 *
 * Called by app alone, in this order: new, configure, start, (rules start), go, stop, free.
 */
#ifndef LOTLINE_SOURCE_SOURCE_H
#define LOTLINE_SOURCE_SOURCE_H

#include "config/config.h"
#include "model/catalogue.h"
#include "model/feed.h"

struct source_stage;

/* What the stage needs of others; app gives it. state_…: as journal/state.h, called on the stage's
 * own thread only. */
struct source_hooks {
    void *ctx;
    /* text NULL: it is over. Any thread, must not block. */
    void (*alarm)(void *ctx, const char *name, const char *text);
    int (*state_get)(void *ctx, struct bytes key, struct buf *ret);
    int (*state_put)(void *ctx, struct bytes key, struct bytes value);
    int (*state_remove)(void *ctx, struct bytes key);
    int (*state_each)(void *ctx, struct bytes prefix,
                      int (*fn)(void *ctx, struct bytes key, struct bytes value), void *fn_ctx);
    /* The log, for who tells others of it; it lives until after source_stage_stop. `name` is the
     * cursor's. Called by source_stage_start. */
    int (*feed_open)(void *ctx, const char *name, struct feed *ret);
};

struct source_options {
    struct source_hooks hooks;
};

int source_stage_new(const struct source_options *options, struct source_stage **ret);

/* Checks `streams` with source http or file, adds their streams, and lookups to these; and checks
 * the rules' actions http. Pure. */
int source_stage_configure(struct source_stage *s, const struct config *config,
                           struct catalogue *catalogue, struct diag *diag);

/* The i-th stream and the outlet its producer pushes to, for the stream log; keyed: its batches
 * carry keys that grow (STREAM_LOG_KEYED). NULL when there is no i-th. After configure. */
struct stream *source_stage_output(const struct source_stage *s, uint32_t i,
                                   struct outlet **ret_producer, bool *ret_keyed);

/* Asks for the lookups' tables and waits for each as long as its `wait` says: rules that start
 * behind it find them. Rows come only after go. Blocking. Errors: libcurl is missing. */
int source_stage_start(struct source_stage *s, struct diag *diag);
void source_stage_go(struct source_stage *s);

/* Idempotent. Not from the loop. */
void source_stage_stop(struct source_stage *s);
/* After the log and all readers of lookups are gone. NULL is allowed. */
void source_stage_free(struct source_stage *s);

/* --------------------------------------------------------------------------------------- metrics
 */

struct source_stats {
    const char *name;
    uint64_t reads;    /* answers, chunks of files */
    uint64_t failures; /* answers that did not come or were not understood */
    uint64_t rows;
    uint64_t broken_rows; /* lines of files that were left out */
    bool is_lookup;
    uint64_t lookup_unloaded; /* rows that asked before the table was there */
    uint64_t lookup_missed;   /* rows that found nothing */
};

struct source_post_stats {
    const char *rule;
    uint64_t told;    /* rows that the other side took */
    uint64_t refused; /* for good */
    uint64_t old;     /* not told because of max_age */
};

/* The i-th action http; false when there is none. Any thread. */
bool source_stage_post_stats(const struct source_stage *s, uint32_t i,
                             struct source_post_stats *ret);

/* The i-th source's; false when there is none. Any thread. */
bool source_stage_stats(const struct source_stage *s, uint32_t i, struct source_stats *ret);

#endif
