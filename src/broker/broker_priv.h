/* What the broker's files share. Everything here belongs to the broker's loop unless it says so.
 *
 *   client    one network connection, from accept to close; speaks MQTT
 *   session   what the standard calls session state, by client identifier: subscriptions, messages
 *             queued and in flight, the will. Outlives its client when it has an expiry
 *   message   what was published, immutable, counted; many sessions hold the same one
 *   filter    one topic filter whose messages go into flows
 *   ack       a PUBACK that waits for flows
 *
 *   client ──▶ publish.c ──▶ route.c ─┬─▶ session.c ──▶ client (other clients)
 *                                     ├─▶ filter.c  ──▶ flows ──▶ done ──▶ ack.c ──▶ PUBACK
 *                                     └─▶ retain.c
 */
#ifndef LOTLINE_BROKER_BROKER_PRIV_H
#define LOTLINE_BROKER_BROKER_PRIV_H

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "broker/broker.h"
#include "broker/topic_tree.h"
#include "model/message.h"
#include "mqtt/packet.h"
#include "net/conn.h"

#include <semaphore.h>

struct listener;
struct tree;

/* ---------------------------------------------------------------------------------------- limits
 */

#define BROKER_ADDRESS_DEFAULT     "127.0.0.1:1883"
#define BROKER_CLIENT_ID_BYTES_MAX 256
#define BROKER_USER_BYTES_MAX      256
#define BROKER_WRITE_TAGS_MAX      256 /* in one write request */

/* Section `broker` of the configuration; the table is in options.c. */
struct broker_limits {
    uint64_t packet_bytes_max;
    uint64_t connections_max;
    uint64_t sessions_max;
    uint64_t subscriptions_max;  /* of a session */
    uint64_t queue_messages_max; /* of a session, QoS 1 */
    uint64_t queue_bytes_max;
    uint64_t in_flight_max;   /* QoS 1 to a client, not yet acknowledged */
    uint64_t receive_maximum; /* QoS 1 from a client, not yet acknowledged */
    uint64_t topic_alias_max;
    uint64_t out_bytes_max; /* waiting in a connection; QoS 0 is dropped above */
    uint64_t retained_max;
    uint64_t retained_bytes_max;
    int64_t connect_timeout_us;
    int64_t session_expiry_max_us;
    int64_t keep_alive_max_us;
    int64_t sys_interval_us;
};

int broker_limits_bind(const struct tree *section, struct arena *arena, struct broker_limits *ret,
                       struct diag *diag);

/* ---------------------------------------------------------------------------------------- counts
 */

enum broker_count {
    COUNT_CONNECTIONS,
    COUNT_CONNECTS,
    COUNT_REFUSED,
    COUNT_SESSIONS,
    COUNT_SUBSCRIPTIONS,
    COUNT_RETAINED,
    COUNT_RETAINED_BYTES,
    COUNT_MESSAGES_IN,
    COUNT_MESSAGES_OUT,
    COUNT_MESSAGES_OWN,
    COUNT_BYTES_IN,
    COUNT_BYTES_OUT,
    COUNT_PROTOCOL_ERRORS,
    COUNT_DENIED,
    COUNT_WRITES,
    COUNT_ACKS_HELD,
    COUNT_DROPPED, /* and as many as there are reasons */
    COUNT_COUNT = COUNT_DROPPED + BROKER_DROP_COUNT,
};

/* --------------------------------------------------------------------------------------- message
 */

#define MESSAGE_VARIANTS      8   /* version × QoS × retain */
#define MESSAGE_INLINE_MAX    512 /* packets up to this are kept whole and copied */
#define MESSAGE_NEVER_EXPIRES INT64_MAX

struct message {
    uint32_t refs;
    uint32_t topic_len;
    uint32_t properties_len;
    uint8_t qos;
    bool retain;
    int64_t expires_us; /* wall clock */
    struct payload *payload;
    struct payload *packets[MESSAGE_VARIANTS]; /* small ones, encoded once */
    uint16_t packet_id_at;                     /* in those with QoS 1, same in all */
    uint8_t text[];                            /* topic, properties */
};

/* What a message is made of. Views are borrowed; either payload or content. */
struct message_parts {
    struct bytes topic;
    struct bytes properties; /* encoded, as passed on to subscribers; no expiry among them */
    struct bytes content;
    struct payload *payload; /* referenced if not NULL */
    uint8_t qos;
    bool retain;
    int64_t expires_us;
};

/* One reference; NULL when out of memory. */
struct message *message_new(const struct message_parts *parts);
struct message *message_ref(struct message *m);
void message_unref(struct message *m); /* NULL is allowed */

static inline struct bytes message_topic(const struct message *m)
{
    return bytes_of(m->text, m->topic_len);
}

static inline struct bytes message_properties(const struct message *m)
{
    return bytes_of(m->text + m->topic_len, m->properties_len);
}

static inline size_t message_bytes(const struct message *m)
{
    return sizeof *m + m->topic_len + m->properties_len + m->payload->len;
}

/* How one receiver is to see a message. */
struct message_view {
    enum mqtt_version version;
    uint8_t qos;
    bool retain;
    bool dup;
    uint16_t packet_id;
    const uint32_t *ids; /* subscription identifiers */
    uint32_t id_count;
    int64_t now_us; /* wall clock, for the expiry that is left */
};

/* Writes m as a PUBLISH to conn. *ret_size: bytes of the packet. ERR_LIMIT when it is larger than
 * packet_bytes_max (nothing was written); other errors leave the connection of no use. scratch is
 * used and left empty. */
int message_send(struct message *m, const struct message_view *view, struct conn *conn,
                 uint32_t packet_bytes_max, struct buf *scratch, size_t *ret_size);

/* --------------------------------------------------------------------------------------- session
 */

struct session;

/* All that hangs on one topic filter in the tree of subscriptions. */
struct topic_entry {
    struct list subscriptions; /* struct subscription.in_entry */
    struct list filters;       /* struct filter.in_entry */
};

/* The filter's entry, made if need be; NULL without memory. */
struct topic_entry *topic_entry_make(struct broker *b, struct bytes filter);

struct subscription {
    struct list in_entry;
    struct topic_entry *entry;
    struct session *session;
    uint32_t id; /* subscription identifier, 0 = none */
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint32_t filter_len;
    char filter[];
};

/* One message on its way to a session. */
struct out {
    struct list link;
    struct message *message;
    uint16_t packet_id; /* in flight */
    uint8_t qos;
    bool retain;
    bool sent;  /* once at least: DUP from then on */
    bool again; /* in flight, and not yet sent on the present connection */
    uint32_t id_count;
    uint32_t ids[];
};

struct session {
    struct broker *broker;
    struct client *client; /* NULL: nobody is connected */
    char *id;
    size_t id_len;
    char *user; /* "" = anonymous */
    enum call_role role;
    enum mqtt_version version;
    uint32_t expiry_s; /* after the connection is gone; UINT32_MAX = never */
    uint16_t next_packet_id;
    uint16_t receive_maximum;
    uint32_t packet_bytes_max;
    struct map subscriptions; /* filter → struct subscription */
    struct list queue;        /* struct out: not sent */
    struct list in_flight;    /* struct out: QoS 1 sent, in order of packet_id */
    uint32_t queue_count;
    uint32_t in_flight_count;
    uint32_t again_count; /* of those in flight, to be sent again */
    uint64_t queue_bytes;
    uint64_t dropped;
    struct message *will;
    int64_t will_delay_us;
    struct exec_timer will_timer;
    struct exec_timer expiry_timer;
    uint64_t hit_generation; /* route.c: in which search it was found */
    uint32_t hit;            /* … and where in the hits */
};

/* NULL if there is none. */
struct session *session_find(struct broker *b, struct bytes id);

/* A new session under id, which is free. ERR_NOMEM, ERR_LIMIT. */
int session_new(struct broker *b, struct bytes id, struct bytes user, struct session **ret);

/* Ends it: will out, subscriptions and messages gone. It has no client any more. */
void session_end(struct session *s);

/* Ends it without a word (the broker stops). */
void session_free(struct session *s);

/* The connection is gone. keep_will: it did not say good-bye. May end the session. */
void session_lost(struct session *s, bool keep_will);

/* Sends what is in flight again and then what is queued. After the CONNACK. */
void session_resume(struct session *s);

/* Sends from the queue what the windows allow. */
void session_pump(struct session *s);

/* The client acknowledged a packet; session_pump may then send more. Unknown identifiers are
 * ignored. */
void session_acked(struct session *s, uint16_t packet_id);

/* Hands over one message for delivery. retained: from the store, to a new subscription. */
struct delivery {
    struct message *message;
    const uint32_t *ids;
    uint32_t id_count;
    uint8_t qos;
    bool retain;
    bool retained;
};

void session_deliver(struct session *s, const struct delivery *d);

/* What a client asked for, at most what the limits allow. */
uint32_t session_expiry_limit(const struct broker *b, uint32_t expiry_s);

/* Takes message (one reference) as the will; delay as in CONNECT. */
void session_will_set(struct session *s, struct message *will, uint32_t delay_s);
void session_will_clear(struct session *s);

/* subscribe.c: ERR_NOMEM, ERR_LIMIT. *ret_new: there was none before. */
int session_subscribe(struct session *s, const struct mqtt_subscription *request, uint32_t id,
                      struct subscription **ret, bool *ret_new);
bool session_unsubscribe(struct session *s, struct bytes filter);
void session_unsubscribe_all(struct session *s);

/* ---------------------------------------------------------------------------------------- client
 */

enum client_pause {
    CLIENT_PAUSE_ACKS = 1u << 0, /* a 3.1.1 client with too many unacknowledged publications */
    CLIENT_PAUSE_FLOW = 1u << 1, /* it publishes to a flow without credit */
};

struct client_alias {
    char *topic; /* NULL: not set */
    size_t len;
};

struct client {
    struct list link;
    struct broker *broker;
    struct conn *conn;
    struct session *session; /* NULL before CONNECT and after it was closed */
    struct buf in;           /* the begin of a packet whose end has not come yet */
    enum mqtt_version version;
    bool connected; /* CONNECT was accepted */
    bool closing;
    bool keep_will; /* it did not say good-bye */
    uint8_t paused; /* enum client_pause */
    uint16_t alias_count;
    uint32_t ack_count;
    int64_t keep_alive_us; /* 1.5 times what the client said; 0 = none */
    int64_t heard_us;
    struct exec_timer timer;      /* for CONNECT first, then for keep-alive */
    struct list acks;             /* struct ack, in the order of the publications */
    struct client_alias *aliases; /* by alias - 1; made with the first one */
};

/* The listener's. */
void client_accept(void *ctx, struct conn *conn);

/* Appends what `packet` holds to what the connection sends; empties it. */
void client_write(struct client *c, struct buf *packet);

/* Says DISCONNECT with the reason (5.0) and closes. The session stays with it until the connection
 * is gone. Harmless when it is closing already. text: for the log, NULL = nothing to log. */
void client_close(struct client *c, uint8_t reason, const char *text);

/* Lets go of the session (which may end) and of acks. Not while something is routed. */
void client_detach(struct client *c);

/* From CONNECT on. */
void client_keep_alive_start(struct client *c);

void client_pause(struct client *c, enum client_pause why);
void client_resume(struct client *c, enum client_pause why);

/* connect.c, publish.c, subscribe.c: one packet each. */
void client_on_connect(struct client *c, const struct mqtt_connect *p);
void client_refuse(struct client *c, enum mqtt_version version, uint8_t reason, const char *text);
/* When a message with these properties expires, wall clock. */
int64_t publish_expiry(const struct broker *b, const struct mqtt_properties *properties);

/* Those properties that are passed on; lives until scratch_properties is used again. */
struct bytes publish_properties(struct broker *b, const struct mqtt_properties *properties);

void client_on_publish(struct client *c, const struct mqtt_publish *p);
void client_on_subscribe(struct client *c, const struct mqtt_subscribe *p);
void client_on_unsubscribe(struct client *c, const struct mqtt_unsubscribe *p);

/* ------------------------------------------------------------------------------------------- ack
 */

/* A PUBACK that cannot be sent yet. */
struct ack {
    struct list link;
    struct client *client; /* NULL: gone meanwhile, nobody to tell */
    uint16_t packet_id;
    uint32_t pending;
    uint8_t reason; /* on success */
    int err;        /* the first one */
    char *text;     /* why, in words; NULL: none */
};

/* A new ack at the end of the client's, held once. NULL when out of memory. */
struct ack *ack_new(struct client *c, uint16_t packet_id);

/* One holder less; with the last one the client's acks that are due are sent, in order. */
void ack_release(struct ack *a, int err);

/* Gives it the reason in words (UTF-8), the first one, before ack_release with an error. */
void ack_explain(struct ack *a, const char *text);

/* Acknowledges now, behind those that wait. */
void ack_now(struct client *c, uint16_t packet_id, uint8_t reason);

/* The client is gone: its acks let go of it. */
void acks_detach(struct client *c);

/* ----------------------------------------------------------------------------------------- route
 */

/* One publication while it is routed. */
struct publication {
    struct message_parts parts;
    struct session *from;  /* NULL: this node */
    struct client *client; /* whom to acknowledge, with parts.qos 1; NULL = nobody */
    uint16_t packet_id;
    struct bytes response_topic;
    struct bytes correlation;
    struct message *message; /* made when somebody wants it */
    struct ack *ack;         /* made when a flow wants it */
};

/* Hands the publication to everyone; returns how many subscriptions and filters matched. */
size_t route_publish(struct broker *b, struct publication *pub);

/* Publishes a message that is a message already (a will). */
void route_message(struct broker *b, struct message *m, struct session *from);

/* The publication's message, made on first use; NULL when out of memory (counted). */
struct message *publication_message(struct broker *b, struct publication *pub);

struct hit {
    struct session *session;
    uint8_t qos;
    bool retain;
    uint32_t id_count;
    uint32_t id_first; /* index into hit_ids */
};

struct hits {
    struct hit *items;
    uint32_t count;
    uint32_t cap;
    uint32_t *ids; /* pairs: identifier, hit */
    uint32_t id_count;
    uint32_t id_cap;
    struct filter **filters;
    uint32_t filter_count;
    uint32_t filter_cap;
    uint64_t generation;
};

/* ---------------------------------------------------------------------------------------- filter
 */

struct filter {
    struct list link; /* broker.filters */
    struct list in_entry;
    struct broker *broker;
    char *text;
    struct outlet outlet;
    struct batch_builder *rows;
    uint64_t row_bytes;
    struct ack **acks; /* of the rows so far */
    uint32_t ack_count;
    struct list waiting; /* struct filter_batch without credit */
    uint64_t waiting_bytes;
    bool dirty;    /* rows to flush at the end of this turn */
    bool requests; /* each message is a batch of its own, and may be refused in words */
};

/* Appends one row. */
void filter_append(struct filter *f, struct publication *pub);

/* True if the last search found a filter of requests. */
bool filters_took_request(const struct broker *b);

/* Pushes the rows of every filter that has some. */
void filters_flush(struct broker *b);

/* Closes their flows; batches under way come back by themselves. */
void filters_close(struct broker *b);
void filters_free(struct broker *b);

/* ---------------------------------------------------------------------------------------- retain
 */

/* Keeps m as the retained message of its topic, or forgets that topic when its payload is empty. */
void retain_set(struct broker *b, struct message *m);

/* Delivers what is retained to a new subscription. */
void retain_deliver(struct broker *b, struct subscription *s);

/* Throws away what has expired. */
void retain_sweep(struct broker *b);

/* Loads from keyed state; blocks. From broker_start, before the loop knows of the broker. */
int retain_open(struct broker *b, struct diag *diag);
void retain_close(struct broker *b); /* waits for writes; not on a loop */
void retain_free(struct broker *b);

/* --------------------------------------------------------------------------------------- writes
 */

/* True if publishing to the topic brings values of a group's past. */
bool import_is_request(struct bytes topic);

/* True if publishing to the topic asks for a tag to be written. */
bool write_is_request(struct bytes topic);

/* Starts the write that a publication asks for; its answer is published later. */
void write_request(struct broker *b, const struct session *from, const struct publication *pub);

/* ---------------------------------------------------------------------------------------- broker
 */

struct broker {
    struct broker_options options;
    struct broker_limits limits;
    struct exec *exec;
    struct arena arena;
    const char *address; /* NULL: doesn't listen */
    struct catalogue *catalogue;
    const struct call_port *write_port; /* NULL: there is no gateway */
    struct listener *listener;
    uint16_t port;
    bool started;
    bool stopping;
    struct schema *schema; /* of messages */
    struct map sessions;   /* client identifier → struct session */
    struct list clients;
    struct topic_tree topics;   /* struct topic_entry */
    struct topic_tree retained; /* struct retained */
    struct list retained_list;
    struct list filters;
    struct list publishers;
    struct hits hits;
    struct buf scratch; /* small packets */
    struct buf scratch_properties;
    struct exec_task flush_task;
    struct exec_timer sys_timer;
    int64_t started_us;
    struct exec *retain_worker;
    uint32_t outstanding; /* batches, writes, clients and flows that still come back */
    sem_t stopped;
    atomic_ullong counts[COUNT_COUNT];
};

/* One thread writes, any may read: no locked instruction is needed. */
static inline void count_add(struct broker *b, unsigned which, uint64_t n)
{
    atomic_ullong *c = &b->counts[which];
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void count_sub(struct broker *b, unsigned which, uint64_t n)
{
    count_add(b, which, (uint64_t)0 - n);
}

static inline uint64_t count_get(const struct broker *b, unsigned which)
{
    return atomic_load_explicit(&b->counts[which], memory_order_relaxed);
}

static inline void count_drop(struct broker *b, enum broker_drop why)
{
    count_add(b, COUNT_DROPPED + (unsigned)why, 1);
}

/* Something that must come back before the broker has stopped. */
static inline void outstanding_add(struct broker *b)
{
    b->outstanding++;
}

void outstanding_remove(struct broker *b);

/* The role needed to publish there is missing: counted and logged. */
bool publish_denied(struct broker *b, enum call_role role, struct bytes topic, const char *who);

/* publisher.c */
void publishers_close(struct broker *b);
void publishers_free(struct broker *b);

/* calls.c */
int calls_offer(struct broker *b, struct catalogue *catalogue);

/* sys.c */
void sys_start(struct broker *b);
void sys_stop(struct broker *b);

#endif
