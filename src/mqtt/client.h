/* An MQTT client that stays connected.
 *
 * Everything runs on the loop it was made for. It connects, speaks MQTT 5.0 (and falls back to
 * 3.1.1 where the server refuses 5.0), subscribes again after each connect, keeps alive, and after
 * a loss tries again with exponential back-off and jitter, so that two hundred edges don't all come
 * back in the same second.
 *
 * QoS 1 publications wait in a bounded window: no more are in flight than the server's Receive
 * Maximum and in_flight_max allow. What happens to them when the link is lost is the owner's
 * choice:
 *
 *   resend = false   each comes back as ERR_CLOSED ("lost in flight"): an owner that reads from a
 * log just goes back to its cursor (the uplink) resend = true    the client keeps them and sends
 * them again, with DUP where the server still has the session, as new ones where it has not
 *
 * A publication is intrusive (struct mqtt_send lies in what the owner must remember anyway), so
 * that its completion cannot fail and needs no table.
 */
#ifndef LOTLINE_MQTT_CLIENT_H
#define LOTLINE_MQTT_CLIENT_H

#include "base/err.h"
#include "base/exec.h"
#include "base/list.h"
#include "mqtt/packet.h"

struct mqtt_client;
struct conn_options;

enum mqtt_client_state {
    MQTT_CLIENT_STOPPED,    /* not started, or stopped */
    MQTT_CLIENT_CONNECTING, /* TCP, TLS or CONNECT under way */
    MQTT_CLIENT_UP,         /* CONNACK was a success */
    MQTT_CLIENT_WAITING,    /* for the next attempt */
};

/* Why the link went down or could not be made. */
struct mqtt_client_event {
    enum mqtt_client_state state; /* the new one */
    int err;                      /* 0 when going up or stopping */
    uint8_t reason;               /* of a CONNACK or DISCONNECT of the server, else 0 */
    bool session_present;         /* with MQTT_CLIENT_UP */
    int64_t retry_ms;             /* with MQTT_CLIENT_WAITING: until the next attempt */
    const char *text;             /* one sentence for the log; lives during the callback */
};

/* Strings are copied by mqtt_client_new. 0 = the default in brackets. */
struct mqtt_client_options {
    struct exec *exec;               /* a loop's (net/loop.h) */
    const char *address;             /* "host:port" or "unix:PATH" */
    const struct conn_options *conn; /* TLS and socket options (net/conn.h); may be NULL, else
                                        kept by the caller as long as the client */
    enum mqtt_version version;       /* the one to begin with [MQTT_5_0] */
    bool no_fallback;                /* don't try 3.1.1 when 5.0 is refused */
    const char *client_id;           /* NULL or "" = the server assigns one */
    const char *user;                /* NULL = none */
    const char *password;            /* NULL = none */
    bool clean_start;                /* forget the server's session at the first connect */
    uint32_t session_expiry_s;       /* how long the server keeps it [0: with the link] */
    uint16_t keep_alive_s;           /* [30] */
    uint16_t in_flight_max;          /* unacknowledged QoS 1 publications [64] */
    uint32_t queue_max;              /* accepted, not yet sent; then ERR_AGAIN [1024] */
    uint32_t packet_bytes_max;       /* of what the server may send us [1 MiB] */
    uint16_t receive_maximum;        /* QoS 1 from the server at once [1024] */
    bool resend;                     /* see above */
    int64_t connect_timeout_ms;      /* until CONNACK [10,000] */
    int64_t ack_timeout_ms;          /* a QoS 1 publication without PUBACK for so long: the link is
                                        given up and made anew [0: waits as long as it stands] */
    int64_t backoff_min_ms;          /* first wait after a loss [500] */
    int64_t backoff_max_ms;          /* waits double up to this [60,000] */
    uint64_t seed;                   /* of the jitter; 0 = from the kernel */
    const struct mqtt_will *will;    /* copied; NULL = none */

    void *ctx;
    /* State changes, in order. May call anything here but mqtt_client_free. */
    void (*on_state)(void *ctx, struct mqtt_client *c, const struct mqtt_client_event *event);
    /* A message came. Views live during the callback. QoS 1 is acknowledged when this returns,
     * with the reason of the error returned (0 = success). */
    int (*on_message)(void *ctx, struct mqtt_client *c, const struct mqtt_publish *message);
    /* There is room for more publications after an ERR_AGAIN. May be NULL. */
    void (*on_room)(void *ctx, struct mqtt_client *c);
};

/* Memory only. ERR_NOMEM, ERR_INVALID. */
int mqtt_client_new(const struct mqtt_client_options *options, struct mqtt_client **ret);

/* Begins to connect. On the exec. */
int mqtt_client_start(struct mqtt_client *c);

/* Sends DISCONNECT, closes, gives back every publication with ERR_CANCELLED; on_state says STOPPED
 * a little later, never from inside here. May be started again after that. On the exec. */
void mqtt_client_stop(struct mqtt_client *c);

/* A client that is stopped (state MQTT_CLIENT_STOPPED); not from inside its own callbacks. NULL is
 * allowed. */
void mqtt_client_free(struct mqtt_client *c);

enum mqtt_client_state mqtt_client_state(const struct mqtt_client *c);

/* The version of the present link. */
enum mqtt_version mqtt_client_version(const struct mqtt_client *c);

/* ---------------------------------------------------------------------------------------- publish
 */

/* One publication. The owner sets fn; the rest is the client's until fn ran. */
struct mqtt_send {
    /* On the exec, once. err 0: QoS 1 was acknowledged with a reason below 0x80 (0x10 = nobody
     * subscribes), QoS 0 was handed to the socket. ERR_CLOSED: lost in flight (only without
     * resend; unsent ones are given back too). Else mqtt_reason_err(reason): the server refused it.
     * Never called from inside mqtt_client_publish. */
    void (*fn)(struct mqtt_send *send, int err, uint8_t reason);
    struct list link; /* private from here */
    struct payload *payload;
    struct payload *head; /* topic and properties */
    uint32_t topic_len;
    int64_t sent_us; /* monotonic, on this link */
    uint16_t packet_id;
    uint8_t qos;
    bool retain;
    bool sent;
};

/* Publishes: topic and properties (encoded with mqtt_property_put_…, may be empty; left out on a
 * 3.1.1 link) are copied, the payload is referenced (NULL = empty). Keeps order. Without a link:
 * with resend it is queued, otherwise ERR_CLOSED. ERR_AGAIN: queue_max wait, on_room tells when
 * not; ERR_LIMIT: larger than the server's Maximum Packet Size, or its Maximum QoS is lower;
 * ERR_INVALID: no topic name; ERR_NOMEM. On the exec. */
int mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *message,
                        struct payload *payload, struct mqtt_send *send);

/* How many publications wait or are in flight. */
size_t mqtt_client_pending(const struct mqtt_client *c);

/* -------------------------------------------------------------------------------------- subscribe
 */

/* Remembers a subscription, made now if there is a link and again after each connect. ERR_INVALID,
 * ERR_NOMEM. What the server refuses is reported by on_state's text and logged. On the exec (or
 * before start). */
int mqtt_client_subscribe(struct mqtt_client *c, const struct mqtt_subscription *subscription);

/* Forgets it, on the server too. On the exec. */
int mqtt_client_unsubscribe(struct mqtt_client *c, struct bytes filter);

/* Counters for /metrics; on the exec. */
struct mqtt_client_stats {
    uint64_t connects;
    uint64_t disconnects;
    uint64_t published;
    uint64_t acknowledged;
    uint64_t refused;
    uint64_t lost;
    uint64_t resent;
    uint64_t received;
    uint64_t bytes_out;
    uint64_t bytes_in;
};

void mqtt_client_stats_get(const struct mqtt_client *c, struct mqtt_client_stats *ret);

#endif
