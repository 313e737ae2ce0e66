/* The client's inside: client.c makes and keeps the link, client_send.c publishes over it. */
#ifndef LOTLINE_MQTT_CLIENT_PRIV_H
#define LOTLINE_MQTT_CLIENT_PRIV_H

#include "base/arena.h"
#include "base/rand.h"
#include "mqtt/client.h"
#include "net/conn.h"

#define CLIENT_TEXT_BYTES_MAX 256
#define CLIENT_OUT_BYTES_MAX  (1u << 20) /* waiting in the connection; publishing rests above */

struct client_subscription {
    struct list link;
    struct mqtt_subscription request; /* its filter points behind this struct */
    uint16_t packet_id;               /* of the SUBSCRIBE under way, 0 = none */
    char filter[];
};

struct mqtt_client {
    struct mqtt_client_options options; /* texts in the arena, defaults filled in */
    struct exec *exec;
    struct arena arena;
    enum mqtt_client_state state;
    enum mqtt_version version;
    struct conn *conn;
    bool up;       /* CONNACK was a success, and the link is not being given up */
    bool stopping; /* by mqtt_client_stop */
    bool began;    /* connected before: no clean start from then on */
    struct buf in;
    struct buf scratch;
    struct exec_task stopped_task;
    struct exec_timer timer;     /* connect time-out, keep-alive or the next attempt */
    struct exec_timer ack_timer; /* active while something is in flight; looks at the oldest */
    int64_t heard_us;
    int64_t said_us;
    uint32_t attempts; /* since the last success */
    struct rand jitter;

    /* why the link is being given up */
    int err;
    uint8_t reason;
    char text[CLIENT_TEXT_BYTES_MAX];

    /* what the server said in CONNACK */
    uint16_t keep_alive_s;
    uint16_t server_receive_maximum;
    uint32_t server_packet_bytes_max;
    uint8_t server_maximum_qos;

    struct list subscriptions;

    /* publishing */
    struct list queue;     /* struct mqtt_send, not sent on this link */
    struct list in_flight; /* QoS 1 sent, in the order of their identifiers */
    struct list written;   /* QoS 0 handed to the socket, their fn not yet called */
    struct exec_task written_task;
    size_t queue_count;
    size_t in_flight_count;
    uint16_t next_packet_id;
    bool room_wanted;

    struct mqtt_client_stats stats;
};

/* A free packet identifier, 0 if there is none. */
uint16_t mqtt_client_packet_id(struct mqtt_client *c);

/* Writes one small packet (and empties it); a failure gives the link up. */
void mqtt_client_write(struct mqtt_client *c, struct buf *packet);

/* Gives the link up; on_close does the rest. Only the first cause counts. */
void mqtt_client_fail(struct mqtt_client *c, int err, uint8_t reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* client_send.c */
void mqtt_client_send_init(struct mqtt_client *c);
void mqtt_client_send_pump(struct mqtt_client *c);
void mqtt_client_send_up(struct mqtt_client *c, bool session_present);
void mqtt_client_send_acked(struct mqtt_client *c, const struct mqtt_ack *ack);
void mqtt_client_send_lost(struct mqtt_client *c, int err);

#endif
