/* What the packet files share: text with a 16-bit length, variable byte integers, property blocks.
 *
 * Decoders take a reader and set the fault themselves; encoders compute the remaining length first
 * and then append, so that nothing is moved afterwards. Not for use outside src/mqtt.
 */
#ifndef LOTLINE_MQTT_MQTT_PRIV_H
#define LOTLINE_MQTT_MQTT_PRIV_H

#include "base/err.h"
#include "mqtt/packet.h"

#define MQTT_TEXT_BYTES_MAX   65535u
#define MQTT_VARINT_MAX       268435455u
#define MQTT_VARINT_BYTES_MAX 4u

/* Property blocks are checked against the packet they stand in; a will's stand in CONNECT but obey
 * rules of their own. */
#define MQTT_IN_WILL ((enum mqtt_type)0)

/* What a decoder works with. */
struct mqtt_decoding {
    struct reader in;
    enum mqtt_version version;
    uint8_t flags; /* the low four bits of the first byte */
    struct mqtt_fault fault;
};

/* Sets the fault and returns the error that goes with its reason. */
int mqtt_fail(struct mqtt_decoding *d, uint8_t reason, const char *text);

/* mqtt_fail for a packet whose bytes end too early or go on too long. */
int mqtt_malformed(struct mqtt_decoding *d, const char *text);

/* Minimal variable byte integer [MQTT-1.5.5-1]; the reader fails otherwise. */
uint32_t mqtt_read_varint(struct reader *in);

/* 16-bit length and bytes. */
struct bytes mqtt_read_binary(struct reader *in);

/* The same, and UTF-8 without U+0000 [MQTT-1.5.4-1, -2]; the reader fails otherwise. */
struct bytes mqtt_read_text(struct reader *in);

/* The property block of a 5.0 packet, checked by the table; empty in 3.1.1. */
int mqtt_read_properties(struct mqtt_decoding *d, enum mqtt_type in_packet,
                         struct mqtt_properties *ret);

/* A packet identifier, which is never 0 [MQTT-2.2.1-3]. */
int mqtt_read_packet_id(struct mqtt_decoding *d, uint16_t *ret);

/* Whether the standard lists the reason code for that packet. */
bool mqtt_reason_allowed(enum mqtt_type type, uint8_t reason);

size_t mqtt_varint_size(uint32_t value);
int mqtt_put_varint(struct buf *out, uint32_t value);

/* First byte and remaining length. ERR_LIMIT when the packet would be too long. */
int mqtt_put_head(struct buf *out, uint8_t head, size_t remaining);

/* 16-bit length and bytes; the caller has checked the length. */
int mqtt_put_text(struct buf *out, struct bytes text);

/* Bytes of a property block with its length: 0 in 3.1.1. */
size_t mqtt_properties_size(enum mqtt_version version, struct bytes raw);
int mqtt_put_properties(enum mqtt_version version, struct bytes raw, struct buf *out);

/* 0 if all appends since `start` went well; otherwise out is cut back to it. */
int mqtt_encoded(struct buf *out, size_t start, int err);

/* One decoder a packet type. */
int mqtt_connect_decode(struct mqtt_decoding *d, struct mqtt_connect *ret);
int mqtt_connack_decode(struct mqtt_decoding *d, struct mqtt_connack *ret);
int mqtt_publish_decode(struct mqtt_decoding *d, struct mqtt_publish *ret);
int mqtt_ack_decode(struct mqtt_decoding *d, enum mqtt_type type, struct mqtt_ack *ret);
int mqtt_subscribe_decode(struct mqtt_decoding *d, struct mqtt_subscribe *ret);
int mqtt_unsubscribe_decode(struct mqtt_decoding *d, struct mqtt_unsubscribe *ret);
int mqtt_suback_decode(struct mqtt_decoding *d, enum mqtt_type type, struct mqtt_suback *ret);
int mqtt_notice_decode(struct mqtt_decoding *d, enum mqtt_type type, struct mqtt_notice *ret);

#endif
