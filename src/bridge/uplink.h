/* The uplink: an edge's streams, carried to a hub's log by MQTT.
 *
 * Sender (edge): a worker follows the node's log from the cursor `uplink` and publishes each record
 * as it is, MQTT 5 QoS 1, a bounded number in flight; the cursor moves with the PUBACKs, in order.
 * When the link is lost everything in flight is forgotten and read again from the cursor: an hour
 * without a link only lets the log grow.
 *
 *   lotline/up/NODE/schema   columnar_schema_encode: before the first record that needs it, once a
 *                            connection
 *   lotline/up/NODE/data     a record (stream/record.h) with its origin filled in
 *
 * Receiver (hub): takes both from the broker as one flow, on the journal thread; what is a repeat
 * is dropped by the stream log; the PUBACK goes out when the record is durable here. A record whose
 * schema is not known is refused, and the sender sends the schema again.
 */
#ifndef LOTLINE_BRIDGE_UPLINK_H
#define LOTLINE_BRIDGE_UPLINK_H

#include "config/config.h"
#include "journal/journal.h"
#include "model/catalogue.h"

struct uplink;
struct uplink_receiver;

#define UPLINK_TOPIC_PREFIX  "lotline/up/"
#define UPLINK_TOPIC_FILTER  "lotline/up/#"
#define UPLINK_IN_FLIGHT_MAX 1024

/* --------------------------------------------------------------------------------------- sender */

/* The node's log as the uplink reads it; given by the app, since stages don't know each other. One
 * thread at a time (the uplink's worker), all may block but `committed`. */
struct uplink_record {
    struct position at;
    struct bytes node;
    struct bytes stream;
    uint64_t schema_hash;
    struct bytes head; /* the record as it goes on the wire is head + body, its origin filled in; */
    struct bytes body; /* views until the next call */
};

struct uplink_log {
    void *ctx;
    /* Goes to the records after the cursor. */
    int (*rewind)(void *ctx);
    /* As journal_reader_next. */
    int (*next)(void *ctx, struct uplink_record *ret);
    /* Appends the schema of that hash, encoded. */
    int (*schema)(void *ctx, uint64_t hash, struct buf *out);
    /* task is posted to exec after each commit; task NULL = no longer. */
    void (*watch)(void *ctx, struct exec *exec, struct exec_task *task);
    /* Everything up to `at` is at the hub: moves the cursor. */
    void (*done)(void *ctx, struct position at);
    /* How many records were committed behind the cursor. Any thread. */
    uint64_t (*behind)(void *ctx);
};

struct uplink_options {
    struct exec *loop; /* where the MQTT client lives */
    const char *node;  /* this node's name; lives as long as the uplink */
};

/* Starts the worker thread (idle). ERR_NOMEM, … */
int uplink_new(const struct uplink_options *options, struct uplink **ret);

/* Binds the section `uplink`, makes the streams it names durable, adds the call uplink.status.
 * After every stage that adds streams. Without the section nothing is done, and start does
 * nothing. Pure. */
int uplink_configure(struct uplink *u, const struct config *config, struct catalogue *catalogue,
                     struct diag *diag);

/* Follows the log; *log is copied. Blocking. */
int uplink_start(struct uplink *u, const struct uplink_log *log, struct diag *diag);

/* Disconnects and waits. Idempotent; the loop must still run, before stream_log_stop. */
void uplink_stop(struct uplink *u);
void uplink_free(struct uplink *u); /* NULL is allowed */

struct uplink_stats {
    bool configured;
    bool connected;
    uint64_t sent;         /* records published, repeats included */
    uint64_t acknowledged; /* records */
    uint64_t bytes;        /* payload published */
    uint64_t lost;         /* publications that came back without an answer */
    uint64_t refused;      /* publications that the hub refused */
    uint64_t skipped;      /* records given up after being refused again and again */
    uint64_t expired;      /* records the log dropped before they were sent */
    uint64_t behind;       /* records committed here and not acknowledged there */
};

/* Any thread. */
void uplink_stats_get(const struct uplink *u, struct uplink_stats *ret);

/* ------------------------------------------------------------------------------------- receiver */

/* The hub's log as the receiver fills it; given by the app. All on exec. */
struct uplink_store {
    void *ctx;
    struct exec *exec; /* the journal's */
    /* Appends a record that came on NODE's topic, or knows it as a repeat; views are borrowed.
     * OK: wait->fn will run when it is durable. ERR_NO_SPACE, ERR_AGAIN, ERR_NOMEM: later.
     * ERR_NOT_FOUND: its schema is not known. ERR_CONFLICT: behind one that was refused. Anything
     * else: it is not a record, or not one of NODE's. */
    int (*append)(void *ctx, struct bytes node, struct bytes payload, struct journal_wait *wait);
    /* Makes an encoded schema known, durably. */
    int (*schema)(void *ctx, struct bytes payload);
};

/* Takes what edges send. *store is copied. */
int uplink_receiver_new(const struct uplink_store *store, struct uplink_receiver **ret);

/* For broker_subscribe_flow with UPLINK_TOPIC_FILTER; the reference stays the receiver's. */
struct flow *uplink_receiver_flow(struct uplink_receiver *r);

/* Lets everything held go unacknowledged and waits. After the broker has stopped, before the stream
 * log stops. NULL is allowed. */
void uplink_receiver_free(struct uplink_receiver *r);

struct uplink_receiver_stats {
    uint64_t records;   /* appended or known already */
    uint64_t malformed; /* refused: not a record */
    uint64_t unknown;   /* refused: schema not known here */
    uint64_t held;      /* waiting for room in the log, now */
};

/* Any thread. */
void uplink_receiver_stats_get(const struct uplink_receiver *r, struct uplink_receiver_stats *ret);

#endif
