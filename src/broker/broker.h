/* The MQTT broker: sessions, topics, retained messages, and the two doors between MQTT and the
 * node's flows.
 *
 * MQTT 3.1.1 and 5.0 over TCP, QoS 0 and 1. Everything of a broker is owned by one loop; work for
 * other threads leaves by flows and calls.
 *
 *   filter → flow    a flow of schema `message` (model/message.h) gets every message that matches
 *                    a topic filter, in batches of one turn of the loop. A QoS 1 publication from a
 *                    client is acknowledged when every such flow that matched has finished its
 *                    batch: the PUBACK means "stored" wherever something stores it.
 *   flow → publish   message batches from rules and groups are published as if a client had.
 *
 * Closed by default: without a user name only loopback may connect, and nobody but an engineer may
 * publish to a topic that ends in "/set", since that writes to a machine.
 *
 * Sessions and what is queued in them live in memory for now: a restart of the node ends them.
 * Retained messages survive in the journal's keyed state.
 */
#ifndef LOTLINE_BROKER_BROKER_H
#define LOTLINE_BROKER_BROKER_H

#include "base/err.h"
#include "model/call.h"
#include "model/catalogue.h"

struct broker;
struct config;
struct journal;
struct option;

/* Checks who connects. user is a view, password holds an API token. 0 and *ret_role, or ERR_AUTH.
 * Called on the broker's loop: must not block. */
typedef int (*broker_authenticate_fn)(void *ctx, struct bytes user, struct bytes password,
                                      enum call_role *ret_role);

struct broker_options {
    struct exec *exec;       /* the loop that owns it */
    struct journal *journal; /* retained messages are kept there; NULL = in memory only */
    broker_authenticate_fn authenticate; /* NULL: nobody gets in by a password */
    void *authenticate_ctx;
};

/* Memory only. ERR_NOMEM. */
int broker_new(const struct broker_options *options, struct broker **ret);

/* What only exists after configure (the journal, the API's tokens). Before broker_start. */
void broker_journal_set(struct broker *b, struct journal *journal);
void broker_authenticate_set(struct broker *b, broker_authenticate_fn fn, void *ctx);

/* Binds the section `broker` and the address `listen.mqtt`, offers the calls broker.sessions and
 * broker.publish, and notes gateway.write for writes by MQTT (looked up at start). Pure. config may
 * be NULL (all defaults, listening on 127.0.0.1:1883). Errors with *diag. */
int broker_configure(struct broker *b, const struct config *config, struct catalogue *catalogue,
                     struct diag *diag);

/* Loads retained messages and opens the listener. From the thread that starts the node, the loop
 * being at work; returns when it listens. ERR_IN_USE, … with *diag (may be NULL). */
int broker_start(struct broker *b, struct diag *diag);

/* Disconnects everybody (reason "server shutting down"), closes listener and flows, and returns
 * when the loop holds nothing of the broker any more. Idempotent. Not from a loop. */
void broker_stop(struct broker *b);
void broker_free(struct broker *b); /* NULL is allowed */

/* The port it listens on, 0 if it does not listen. After start. */
uint16_t broker_port(const struct broker *b);

/* ------------------------------------------------------------------------------------------ doors
 */

/* From now on flow (whose consumer the caller is) gets every message matching filter, from clients,
 * rules and broker_publish alike. PUBACKs wait for flow_finish. A FLOW_BLOCK flow without credit
 * makes the broker stop reading from those who publish to it. ERR_INVALID (no topic filter),
 * ERR_NOMEM. Before start or on the broker's exec. The flow is let go by flow_close. */
int broker_subscribe_flow(struct broker *b, const char *filter, struct flow *flow);

/* As broker_subscribe_flow, but each message is a batch of its own, so that it alone is refused
 * when its item is finished with an error; what the consumer then has put into the done's diag is
 * the Reason String of the PUBACK. */
int broker_request_flow(struct broker *b, const char *filter, struct flow *flow);

/* Publishes every `message` row that comes out of o (of a rule, of a group). The broker makes and
 * attaches the flow; items are finished once routed. Before start or on the broker's exec. */
int broker_publish_flow(struct broker *b, struct outlet *o, const char *name);

/* One message. Properties other than these are not for publishers inside the node. */
struct broker_message {
    struct bytes topic;
    struct payload *payload; /* referenced; NULL = empty */
    uint8_t qos;
    bool retain;
    struct bytes response_topic; /* len 0 = none */
    struct bytes correlation;    /* len 0 = none */
    uint32_t expiry_s;           /* 0 = never */
};

/* Publishes to clients and filter flows alike. On the broker's exec. ERR_INVALID (topic or QoS),
 * ERR_NOMEM. */
int broker_publish(struct broker *b, const struct broker_message *message);

/* ------------------------------------------------------------------------------------------ counts
 */

enum broker_drop {
    BROKER_DROP_QUEUE_FULL,   /* QoS 1: the session's queue was full */
    BROKER_DROP_SLOW,         /* QoS 0: the connection takes too slowly */
    BROKER_DROP_OFFLINE,      /* QoS 0: the session has no connection */
    BROKER_DROP_EXPIRED,      /* message expiry ran out */
    BROKER_DROP_TOO_LARGE,    /* for the client's Maximum Packet Size */
    BROKER_DROP_SESSION_END,  /* was queued when the session ended */
    BROKER_DROP_FLOW_FULL,    /* a filter's flow has no credit and the waiting batches are full */
    BROKER_DROP_RETAIN_LIMIT, /* not retained: limit reached */
    BROKER_DROP_NO_MEMORY,
};

#define BROKER_DROP_COUNT 9

/* "queue_full", …: the label in /metrics. */
const char *broker_drop_name(enum broker_drop drop);

struct broker_stats {
    uint64_t connections; /* now */
    uint64_t connects;    /* ever accepted */
    uint64_t refused;     /* CONNACK with an error */
    uint64_t sessions;    /* now, connected or not */
    uint64_t subscriptions;
    uint64_t retained;
    uint64_t retained_bytes;
    uint64_t messages_in;  /* PUBLISH from clients */
    uint64_t messages_out; /* PUBLISH to clients */
    uint64_t messages_own; /* published by this node itself */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t protocol_errors; /* connections closed for one */
    uint64_t denied;          /* publications and subscriptions not allowed */
    uint64_t writes;          /* tag writes asked for by MQTT */
    uint64_t acks_held;       /* PUBACKs that wait for a flow, now */
    uint64_t dropped[BROKER_DROP_COUNT];
};

/* Any thread; a snapshot that may be a moment old. */
void broker_stats_get(const struct broker *b, struct broker_stats *ret);

/* The table of the section `broker`, for the documentation. */
const struct option *broker_option_table(void);

#endif
