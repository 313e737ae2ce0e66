/* What the stream log's files share.
 *
 * The journal thread owns taps, the origins of remote streams and the snapshot; `mutex` guards what
 * other threads look up: the tables of remote streams, keys and schemas.
 */
#ifndef LOTLINE_STREAM_LOG_PRIV_H
#define LOTLINE_STREAM_LOG_PRIV_H

#include "base/map.h"
#include "stream/log.h"

#include <pthread.h>

#define STREAM_LOG_NAME          "streams"
#define STREAM_LOG_RETRY_US      250000 /* a batch that found no space tries again */
#define STREAM_LOG_WAITING_BYTES (4u << 20)
#define STREAM_LOG_SEEN_MS       30000 /* the tables are stored this often while they change */
#define STREAM_LOG_SCHEMAS_MAX   65536
#define STREAM_LOG_SEEN_KEY      "streams/seen"
#define STREAM_LOG_SCHEMA_PREFIX "schema/"
#define STREAM_LOG_REMOTE_BYTES  (RECORD_NODE_BYTES_MAX + 1 + RECORD_STREAM_BYTES_MAX + 1)

/* Between one producer and its stream. */
struct log_tap {
    struct list link;
    struct stream_log *sl;
    struct stream *stream;
    struct flow *flow;
    struct outlet outlet;  /* = stream->outlet */
    struct log_key *key;   /* NULL: not keyed */
    uint64_t schema_hash;  /* the last one known to be stored */
    struct flow_item item; /* waits for space or credit */
    bool has_item;
    bool counted; /* in sl->waiting */
    bool gave_up; /* draining: something was refused, and all behind it is */
    bool closed;  /* the flow is */
};

/* A batch between its append and its commit. */
struct log_pending {
    struct journal_wait wait;
    struct log_pending *next; /* free ones */
    struct stream_log *sl;
    struct flow_item item;
};

struct log_key {
    struct record_key highest; /* written on the journal thread under mutex */
};

struct log_remote {
    struct stream *stream; /* "node:name" */
    struct outlet outlet;
    struct position highest;
};

/* One sending node: whether it must go back, see log_remote.c. */
struct log_node {
    struct position last; /* the last origin that was tried */
    bool refused;         /* since then everything later is refused too */
};

struct stream_log {
    struct stream_log_options options;
    char *node;
    struct journal *journal;
    struct journal_log *log;
    struct exec *exec;

    struct list taps;
    struct buf scratch;
    struct log_pending *free_pending;
    uint64_t pending_count;
    struct exec_timer retry_timer;
    bool stopping;
    atomic_bool draining;

    /* seen.c */
    struct journal_cursor *seen_cursor;
    struct exec_timer seen_timer;
    struct journal_wait seen_wait;
    struct exec_task seen_task;      /* on the keeper */
    struct exec_task seen_done_task; /* and back */
    struct buf seen;
    struct position seen_at;
    int seen_err;
    bool seen_busy;
    bool seen_dirty;

    pthread_mutex_t mutex;
    pthread_cond_t cond; /* stopping: something ended */
    bool stopped;
    struct map nodes;   /* node → struct log_node; journal thread */
    struct map remotes; /* "node:name" → struct log_remote */
    struct map keys;    /* stream → struct log_key */
    struct map schemas; /* 8 bytes of hash → struct schema */
    struct exec_task stop_task;

    atomic_ullong batches;
    atomic_ullong rows;
    atomic_ullong bytes;
    atomic_ullong remote_records;
    atomic_ullong remote_repeats;
    atomic_ullong key_repeats;
    atomic_ullong waiting;
};

/* ---- log.c */

/* True when the stop may end: nothing pending, every flow closed, no snapshot under way. Tells
 * whoever waits. Journal thread. */
void log_stop_check(struct stream_log *sl);

/* ---- log_tap.c */

void log_tap_pump(struct log_tap *tap);
void log_tap_close(struct log_tap *tap);
void log_tap_free(struct log_tap *tap);
void log_retry_run(struct exec_timer *timer);

/* ---- log_remote.c */

/* The entry of node:stream, made if it is new. Under no lock. ERR_LIMIT, ERR_NOMEM. */
int log_remote_get(struct stream_log *sl, struct bytes node, struct bytes stream,
                   struct log_remote **ret);
void log_remote_free(struct log_remote *r);

/* ---- log_seen.c: the tables over a restart */

/* The entry of a keyed stream, made if it is new. */
int log_key_get(struct stream_log *sl, struct bytes stream, struct log_key **ret);

void log_seen_init(struct stream_log *sl);

/* Reads the checkpoint and the log behind it. Blocking. */
int log_seen_load(struct stream_log *sl);

/* Something was appended: the tables are stored after a while. Journal thread. */
void log_seen_changed(struct stream_log *sl);

/* Begins to store them now, if anything was appended; log_stop_check when it is through. */
void log_seen_store(struct stream_log *sl);

#endif
