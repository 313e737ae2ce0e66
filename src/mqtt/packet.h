/* The packets of MQTT 3.1.1 and MQTT 5.0: bytes to structs and back, and nothing else.
 *
 * No socket, no session and no clock is known here, so the same code serves the broker, the client,
 * the fuzzer and the tests. One .c file a packet type, named as the standard names it.
 *
 * Decoded packets borrow: every `struct bytes` is a view into the input. What the standard lets
 * vary in length (properties, topic filters, reason codes) stays in its encoded form, was checked
 * once, and is walked with the _next functions, so that decoding allocates nothing whatever a
 * hostile sender puts into a packet.
 *
 * Clauses in square brackets are the normative statements of OASIS MQTT 5.0; 3.1.1 is named where
 * it differs.
 */
#ifndef LOTLINE_MQTT_PACKET_H
#define LOTLINE_MQTT_PACKET_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* The protocol level as it stands in CONNECT. */
enum mqtt_version {
    MQTT_3_1_1 = 4,
    MQTT_5_0 = 5,
};

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_UNSUBSCRIBE = 10,
    MQTT_UNSUBACK = 11,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
    MQTT_AUTH = 15,
};

#define MQTT_TYPE_COUNT         16
#define MQTT_PACKET_BYTES_MAX   268435455u /* what a remaining length can say (2.1.4) */
#define MQTT_PACKET_BYTES_USUAL (1u << 20) /* default limit of broker and client */
#define MQTT_HEAD_BYTES_MAX     5u         /* first byte and remaining length */
#define MQTT_PACKET_ID_MAX      65535u

/* Reason codes (2.4). 3.1.1 has codes of its own for CONNACK: mqtt_connack_code. */
enum mqtt_reason {
    MQTT_SUCCESS = 0x00, /* also: granted QoS 0, normal disconnection */
    MQTT_GRANTED_QOS1 = 0x01,
    MQTT_GRANTED_QOS2 = 0x02,
    MQTT_DISCONNECT_WITH_WILL = 0x04,
    MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
    MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
    MQTT_CONTINUE_AUTHENTICATION = 0x18,
    MQTT_REAUTHENTICATE = 0x19,
    MQTT_UNSPECIFIED_ERROR = 0x80,
    MQTT_MALFORMED_PACKET = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_IMPLEMENTATION_ERROR = 0x83,
    MQTT_UNSUPPORTED_VERSION = 0x84,
    MQTT_CLIENT_ID_NOT_VALID = 0x85,
    MQTT_BAD_USER_OR_PASSWORD = 0x86,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SERVER_UNAVAILABLE = 0x88,
    MQTT_SERVER_BUSY = 0x89,
    MQTT_BANNED = 0x8a,
    MQTT_SERVER_SHUTTING_DOWN = 0x8b,
    MQTT_BAD_AUTHENTICATION_METHOD = 0x8c,
    MQTT_KEEP_ALIVE_TIMEOUT = 0x8d,
    MQTT_SESSION_TAKEN_OVER = 0x8e,
    MQTT_TOPIC_FILTER_INVALID = 0x8f,
    MQTT_TOPIC_NAME_INVALID = 0x90,
    MQTT_PACKET_ID_IN_USE = 0x91,
    MQTT_PACKET_ID_NOT_FOUND = 0x92,
    MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_MESSAGE_RATE_TOO_HIGH = 0x96,
    MQTT_QUOTA_EXCEEDED = 0x97,
    MQTT_ADMINISTRATIVE_ACTION = 0x98,
    MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
    MQTT_RETAIN_NOT_SUPPORTED = 0x9a,
    MQTT_QOS_NOT_SUPPORTED = 0x9b,
    MQTT_USE_ANOTHER_SERVER = 0x9c,
    MQTT_SERVER_MOVED = 0x9d,
    MQTT_SHARED_NOT_SUPPORTED = 0x9e,
    MQTT_CONNECTION_RATE_EXCEEDED = 0x9f,
    MQTT_MAXIMUM_CONNECT_TIME = 0xa0,
    MQTT_SUBSCRIPTION_ID_NOT_SUPPORTED = 0xa1,
    MQTT_WILDCARD_NOT_SUPPORTED = 0xa2,
};

/* The standard's name of a reason code ("not authorized"), "unknown reason" for others. Static. */
const char *mqtt_reason_text(uint8_t reason);

/* The error of ours that is nearest to a reason code; 0 for codes below 0x80. */
int mqtt_reason_err(uint8_t reason);

/* "CONNECT", …; "packet" for a number that is no type. Static. */
const char *mqtt_type_name(enum mqtt_type type);

/* Why a packet was refused: the reason code to disconnect with and a sentence for the log. */
struct mqtt_fault {
    uint8_t reason;
    const char *text; /* static */
};

/* ------------------------------------------------------------------------------------ properties
 */

/* Property identifiers (2.2.2.2). */
enum mqtt_property_id {
    MQTT_PAYLOAD_FORMAT = 1,
    MQTT_MESSAGE_EXPIRY = 2,
    MQTT_CONTENT_TYPE = 3,
    MQTT_RESPONSE_TOPIC = 8,
    MQTT_CORRELATION_DATA = 9,
    MQTT_SUBSCRIPTION_ID = 11,
    MQTT_SESSION_EXPIRY = 17,
    MQTT_ASSIGNED_CLIENT_ID = 18,
    MQTT_SERVER_KEEP_ALIVE = 19,
    MQTT_AUTH_METHOD = 21,
    MQTT_AUTH_DATA = 22,
    MQTT_REQUEST_PROBLEM_INFO = 23,
    MQTT_WILL_DELAY = 24,
    MQTT_REQUEST_RESPONSE_INFO = 25,
    MQTT_RESPONSE_INFO = 26,
    MQTT_SERVER_REFERENCE = 28,
    MQTT_REASON_STRING = 31,
    MQTT_RECEIVE_MAXIMUM = 33,
    MQTT_TOPIC_ALIAS_MAXIMUM = 34,
    MQTT_TOPIC_ALIAS = 35,
    MQTT_MAXIMUM_QOS = 36,
    MQTT_RETAIN_AVAILABLE = 37,
    MQTT_USER_PROPERTY = 38,
    MQTT_MAXIMUM_PACKET_SIZE = 39,
    MQTT_WILDCARD_AVAILABLE = 40,
    MQTT_SUBSCRIPTION_ID_AVAILABLE = 41,
    MQTT_SHARED_AVAILABLE = 42,
};

#define MQTT_PROPERTY_ID_MAX 42u

/* A packet's properties in encoded form, without their length. Checked when they come from a
 * decoder; `seen` has bit id set for each identifier in it. Zero-initialised = none. For encoding
 * only `raw` counts: fill a struct buf with mqtt_property_put_… */
struct mqtt_properties {
    struct bytes raw;
    uint64_t seen;
};

/* One property as walked. */
struct mqtt_property {
    enum mqtt_property_id id;
    uint32_t number;    /* byte, two byte, four byte and variable byte integers */
    struct bytes text;  /* strings and binary; a user property's value */
    struct bytes name;  /* a user property's name */
    struct bytes whole; /* the property as encoded, with its identifier */
};

static inline bool mqtt_property_has(const struct mqtt_properties *p, enum mqtt_property_id id)
{
    return (p->seen >> id) & 1u;
}

/* Walks: *rest starts as p->raw. False at the end (or at bytes that are no property). */
bool mqtt_property_next(struct bytes *rest, struct mqtt_property *ret);

/* The number of property id, otherwise `absent`. */
uint32_t mqtt_property_number(const struct mqtt_properties *p, enum mqtt_property_id id,
                              uint32_t absent);

/* The string or binary of property id, an empty view with ptr NULL when it is not there. */
struct bytes mqtt_property_bytes(const struct mqtt_properties *p, enum mqtt_property_id id);

/* Append one encoded property to b. The id decides about the width. Errors stay in b (buf_error);
 * a text longer than 65,535 bytes is ERR_LIMIT and nothing is appended. */
int mqtt_property_put_number(struct buf *b, enum mqtt_property_id id, uint32_t number);
int mqtt_property_put_bytes(struct buf *b, enum mqtt_property_id id, struct bytes text);
int mqtt_property_put_user(struct buf *b, struct bytes name, struct bytes value);

/* --------------------------------------------------------------------------------------- packets
 */

struct mqtt_will {
    struct bytes topic;
    struct bytes payload;
    struct mqtt_properties properties; /* will delay among them */
    uint8_t qos;
    bool retain;
};

struct mqtt_connect {
    enum mqtt_version version;
    bool clean_start; /* 3.1.1: clean session */
    bool has_will;
    bool has_user;
    bool has_password;
    uint16_t keep_alive_s;
    struct bytes client_id;
    struct bytes user;
    struct bytes password;
    struct mqtt_will will;
    struct mqtt_properties properties;
};

struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* on a 3.1.1 link its return code, 0 to 5 */
    struct mqtt_properties properties;
};

struct mqtt_publish {
    bool dup;
    bool retain;
    uint8_t qos;
    uint16_t packet_id; /* with QoS > 0 */
    struct bytes topic; /* may be empty in 5.0, with a topic alias */
    struct mqtt_properties properties;
    struct bytes payload;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct mqtt_ack {
    uint16_t packet_id;
    uint8_t reason; /* 0 in 3.1.1 */
    struct mqtt_properties properties;
};

/* Retain handling of a subscription (3.8.3.1). */
enum mqtt_retain_handling {
    MQTT_RETAIN_SEND = 0,
    MQTT_RETAIN_SEND_IF_NEW = 1,
    MQTT_RETAIN_DO_NOT_SEND = 2,
};

struct mqtt_subscription {
    struct bytes filter;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    enum mqtt_retain_handling retain_handling;
};

struct mqtt_subscribe {
    uint16_t packet_id;
    uint32_t count;       /* of filters, at least 1 */
    struct bytes filters; /* encoded; mqtt_subscribe_next */
    struct mqtt_properties properties;
};

/* Walks: *rest starts as s->filters. False at the end. Filters are UTF-8; whether each is a valid
 * filter is for the caller, who answers for each of them. */
bool mqtt_subscribe_next(struct bytes *rest, struct mqtt_subscription *ret);

struct mqtt_unsubscribe {
    uint16_t packet_id;
    uint32_t count;
    struct bytes filters; /* encoded; mqtt_unsubscribe_next */
    struct mqtt_properties properties;
};

bool mqtt_unsubscribe_next(struct bytes *rest, struct bytes *ret_filter);

/* SUBACK and UNSUBACK. */
struct mqtt_suback {
    uint16_t packet_id;
    struct bytes reasons; /* one byte a filter; none in an UNSUBACK of 3.1.1 */
    struct mqtt_properties properties;
};

/* DISCONNECT and AUTH. */
struct mqtt_notice {
    uint8_t reason;
    struct mqtt_properties properties;
};

struct mqtt_packet {
    enum mqtt_type type;

    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_unsubscribe unsubscribe;
        struct mqtt_suback suback; /* also UNSUBACK */
        struct mqtt_notice notice; /* DISCONNECT, AUTH */
    };
};

/* --------------------------------------------------------------------------------------- framing
 */

struct mqtt_frame {
    uint8_t head;      /* type << 4 | flags */
    struct bytes body; /* the remaining length's bytes */
    size_t size;       /* of the whole packet, head included */
};

/* The first packet in `in`. 0; ERR_AGAIN: not all of it is there yet; ERR_MALFORMED: the remaining
 * length has five bytes or more; ERR_LIMIT: the packet is larger than packet_bytes_max (said as
 * soon as its head is there, so that nobody has to store it). */
int mqtt_frame_next(struct bytes in, uint32_t packet_bytes_max, struct mqtt_frame *ret);

/* Decodes one packet. version is that of the connection; a CONNECT brings its own, and any version
 * may be given. 0; ERR_MALFORMED, ERR_PROTOCOL or ERR_VERSION with *ret_fault filled. */
int mqtt_packet_decode(const struct mqtt_frame *frame, enum mqtt_version version,
                       struct mqtt_packet *ret, struct mqtt_fault *ret_fault);

/* -------------------------------------------------------------------------------------- encoding
 */

/* Each appends one packet to out. 0, ERR_NOMEM, or ERR_LIMIT when a field or the packet is longer
 * than the standard allows (out is then as before). Values are taken as the caller gives them:
 * whoever encodes sees to their validity. On a 3.1.1 link properties and reasons are left out. */
int mqtt_connect_encode(const struct mqtt_connect *p, struct buf *out);
int mqtt_connack_encode(enum mqtt_version version, const struct mqtt_connack *p, struct buf *out);
int mqtt_publish_encode(enum mqtt_version version, const struct mqtt_publish *p, struct buf *out);
int mqtt_ack_encode(enum mqtt_version version, enum mqtt_type type, const struct mqtt_ack *p,
                    struct buf *out);
int mqtt_subscribe_encode(enum mqtt_version version, uint16_t packet_id,
                          const struct mqtt_subscription *subscriptions, size_t count,
                          struct bytes properties, struct buf *out);
int mqtt_unsubscribe_encode(enum mqtt_version version, uint16_t packet_id,
                            const struct bytes *filters, size_t count, struct bytes properties,
                            struct buf *out);
int mqtt_suback_encode(enum mqtt_version version, enum mqtt_type type, const struct mqtt_suback *p,
                       struct buf *out);
int mqtt_notice_encode(enum mqtt_version version, enum mqtt_type type, const struct mqtt_notice *p,
                       struct buf *out);

/* PINGREQ, PINGRESP. */
int mqtt_ping_encode(enum mqtt_type type, struct buf *out);

/* A PUBLISH without its payload: everything that precedes p->payload (whose length counts).
 * *ret_packet_id_at (may be NULL): where in the appended bytes the packet identifier stands, 0 with
 * QoS 0: one encoded head can be patched for many receivers. */
int mqtt_publish_encode_head(enum mqtt_version version, const struct mqtt_publish *p,
                             struct buf *out, size_t *ret_packet_id_at);

/* The bytes mqtt_publish_encode would append. */
size_t mqtt_publish_size(enum mqtt_version version, const struct mqtt_publish *p);

/* The return code of a 3.1.1 CONNACK for a reason code of ours (3.1.1: 3.2.2.3). */
uint8_t mqtt_connack_code(uint8_t reason);

#endif
