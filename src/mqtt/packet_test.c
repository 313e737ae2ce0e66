/* Every packet in both versions there and back, and what a decoder must refuse and with which
 * reason. The malformed ones are written as hex, so that what is wrong with each can be read. */
#include "mqtt/packet.h"

#include "base/err.h"
#include "base/rand.h"
#include "tests/support/check.h"

#include <stdlib.h>

static struct bytes text(const char *s)
{
    return bytes_of_text(s);
}

/* The one packet in b; it must be whole and alone. The caller keeps b. */
static struct mqtt_packet decoded(const struct buf *b, enum mqtt_version version)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct mqtt_fault fault = {0, ""};
    CHECK_OK(mqtt_frame_next(buf_bytes(b), MQTT_PACKET_BYTES_MAX, &frame));
    CHECK_EQ(frame.size, b->len);
    int err = mqtt_packet_decode(&frame, version, &packet, &fault);
    if (err)
        check_fail_at(__FILE__, __LINE__, "refused with 0x%02x: %s", fault.reason, fault.text);
    return packet;
}

static const enum mqtt_version versions[] = {MQTT_3_1_1, MQTT_5_0};

#define EACH_VERSION(v)                                                                            \
    for (size_t v##_i = 0; v##_i < 2; v##_i++)                                                     \
        for (enum mqtt_version v = versions[v##_i], *v##_once = &v; v##_once; v##_once = NULL)

TEST(connect_comes_back_as_it_was)
{
    EACH_VERSION(v)
    {
        struct buf props = {0};
        struct buf will_props = {0};
        struct buf out = {0};
        CHECK_OK(mqtt_property_put_number(&props, MQTT_SESSION_EXPIRY, 0x01020304));
        CHECK_OK(mqtt_property_put_number(&props, MQTT_RECEIVE_MAXIMUM, 20));
        CHECK_OK(mqtt_property_put_number(&will_props, MQTT_WILL_DELAY, 5));
        struct mqtt_connect c = {
            .version = v,
            .clean_start = true,
            .has_will = true,
            .has_user = true,
            .has_password = true,
            .keep_alive_s = 300,
            .client_id = text("press-1"),
            .user = text("Grüße"),
            .password = bytes_of("\0\xff", 2),
            .will = {.topic = text("gone/press-1"),
                     .payload = text("bye"),
                     .properties = {.raw = buf_bytes(&will_props)},
                     .qos = 1,
                     .retain = true},
            .properties = {.raw = buf_bytes(&props)},
        };
        CHECK_OK(mqtt_connect_encode(&c, &out));
        struct mqtt_packet p = decoded(&out, MQTT_3_1_1);
        CHECK_EQ(p.type, MQTT_CONNECT);
        CHECK_EQ(p.connect.version, v);
        CHECK(p.connect.clean_start && p.connect.has_will && p.connect.will.retain);
        CHECK_EQ(p.connect.will.qos, 1);
        CHECK_EQ(p.connect.keep_alive_s, 300);
        CHECK_BYTES(p.connect.client_id, c.client_id);
        CHECK_BYTES(p.connect.user, c.user);
        CHECK_BYTES(p.connect.password, c.password);
        CHECK_BYTES(p.connect.will.topic, c.will.topic);
        CHECK_BYTES(p.connect.will.payload, c.will.payload);
        bool five = v == MQTT_5_0;
        CHECK_EQ(mqtt_property_number(&p.connect.properties, MQTT_SESSION_EXPIRY, 7),
                 five ? 0x01020304 : 7);
        CHECK_EQ(mqtt_property_number(&p.connect.will.properties, MQTT_WILL_DELAY, 7),
                 five ? 5 : 7);
        buf_fini(&props);
        buf_fini(&will_props);
        buf_fini(&out);
    }
}

TEST(connack_comes_back_as_it_was)
{
    EACH_VERSION(v)
    {
        struct buf props = {0};
        struct buf out = {0};
        CHECK_OK(mqtt_property_put_number(&props, MQTT_MAXIMUM_QOS, 1));
        CHECK_OK(mqtt_property_put_bytes(&props, MQTT_ASSIGNED_CLIENT_ID, text("auto-1")));
        struct mqtt_connack c = {.session_present = true, .properties = {.raw = buf_bytes(&props)}};
        CHECK_OK(mqtt_connack_encode(v, &c, &out));
        struct mqtt_packet p = decoded(&out, v);
        CHECK(p.connack.session_present);
        CHECK_EQ(p.connack.reason, 0);
        CHECK_BYTES(mqtt_property_bytes(&p.connack.properties, MQTT_ASSIGNED_CLIENT_ID),
                    v == MQTT_5_0 ? text("auto-1") : text(""));
        buf_fini(&props);
        buf_fini(&out);
    }
}

TEST(publish_comes_back_as_it_was)
{
    EACH_VERSION(v)
    {
        for (uint8_t qos = 0; qos <= 2; qos++) {
            struct buf props = {0};
            struct buf out = {0};
            CHECK_OK(mqtt_property_put_user(&props, text("a"), text("1")));
            CHECK_OK(mqtt_property_put_user(&props, text("a"), text("2")));
            CHECK_OK(mqtt_property_put_bytes(&props, MQTT_CORRELATION_DATA, bytes_of("\0\1", 2)));
            struct mqtt_publish m = {
                .dup = qos > 0,
                .retain = true,
                .qos = qos,
                .packet_id = 513,
                .topic = text("a/b"),
                .properties = {.raw = buf_bytes(&props)},
                .payload = text("payload"),
            };
            CHECK_OK(mqtt_publish_encode(v, &m, &out));
            CHECK_EQ(out.len, mqtt_publish_size(v, &m));
            struct mqtt_packet p = decoded(&out, v);
            CHECK_EQ(p.publish.qos, qos);
            CHECK_EQ(p.publish.dup, qos > 0);
            CHECK(p.publish.retain);
            CHECK_EQ(p.publish.packet_id, qos ? 513 : 0);
            CHECK_BYTES(p.publish.topic, m.topic);
            CHECK_BYTES(p.publish.payload, m.payload);
            CHECK_BYTES(p.publish.properties.raw,
                        v == MQTT_5_0 ? m.properties.raw : bytes_of(NULL, 0));
            buf_fini(&props);
            buf_fini(&out);
        }
    }
}

TEST(a_publish_head_can_be_patched_for_another_receiver)
{
    EACH_VERSION(v)
    {
        struct buf out = {0};
        struct mqtt_publish m = {
            .qos = 1, .packet_id = 1, .topic = text("a/b"), .payload = text("x")};
        size_t at = 0;
        CHECK_OK(buf_append_text(&out, "##"));
        CHECK_OK(mqtt_publish_encode_head(v, &m, &out, &at));
        store_be16(out.ptr + 2 + at, 777);
        CHECK_OK(buf_append_text(&out, "x"));
        struct buf packet = {.ptr = out.ptr + 2, .len = out.len - 2};
        CHECK_EQ(decoded(&packet, v).publish.packet_id, 777);
        buf_fini(&out);
    }
}

TEST(acknowledgements_come_back_as_they_were)
{
    static const enum mqtt_type types[] = {MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL, MQTT_PUBCOMP};

    EACH_VERSION(v)
    {
        for (size_t i = 0; i < 4; i++) {
            for (int form = 0; form < 3; form++) {
                struct buf props = {0};
                struct buf out = {0};
                CHECK_OK(mqtt_property_put_bytes(&props, MQTT_REASON_STRING, text("why")));
                uint8_t bad = i < 2 ? MQTT_QUOTA_EXCEEDED : MQTT_PACKET_ID_NOT_FOUND;
                struct mqtt_ack a = {.packet_id = 9, .reason = form ? bad : 0};
                if (form == 2)
                    a.properties.raw = buf_bytes(&props);
                CHECK_OK(mqtt_ack_encode(v, types[i], &a, &out));
                struct mqtt_packet p = decoded(&out, v);
                CHECK_EQ(p.type, types[i]);
                CHECK_EQ(p.ack.packet_id, 9);
                CHECK_EQ(p.ack.reason, v == MQTT_5_0 ? a.reason : 0);
                CHECK_EQ(out.len, v == MQTT_3_1_1 || form == 0 ? 4 : form == 1 ? 5 : 12);
                buf_fini(&props);
                buf_fini(&out);
            }
        }
    }
}

TEST(subscribe_and_unsubscribe_come_back_as_they_were)
{
    EACH_VERSION(v)
    {
        struct buf props = {0};
        struct buf out = {0};
        CHECK_OK(mqtt_property_put_number(&props, MQTT_SUBSCRIPTION_ID, 268435455));
        struct mqtt_subscription subs[2] = {
            {.filter = text("a/+"), .qos = 1},
            {.filter = text("#"),
             .qos = 2,
             .no_local = true,
             .retain_as_published = true,
             .retain_handling = MQTT_RETAIN_DO_NOT_SEND},
        };
        CHECK_OK(mqtt_subscribe_encode(v, 3, subs, 2, buf_bytes(&props), &out));
        struct mqtt_packet p = decoded(&out, v);
        CHECK_EQ(p.subscribe.count, 2);
        CHECK_EQ(mqtt_property_number(&p.subscribe.properties, MQTT_SUBSCRIPTION_ID, 0),
                 v == MQTT_5_0 ? 268435455 : 0);
        struct mqtt_subscription s;
        struct bytes rest = p.subscribe.filters;
        CHECK(mqtt_subscribe_next(&rest, &s) && s.qos == 1 && !s.no_local);
        CHECK_BYTES(s.filter, text("a/+"));
        CHECK(mqtt_subscribe_next(&rest, &s) && s.qos == 2);
        CHECK_EQ(s.no_local, v == MQTT_5_0);
        CHECK_EQ(s.retain_handling, v == MQTT_5_0 ? MQTT_RETAIN_DO_NOT_SEND : MQTT_RETAIN_SEND);
        CHECK(!mqtt_subscribe_next(&rest, &s));
        buf_reset(&out);
        struct bytes filters[2] = {text("a/+"), text("#")};
        CHECK_OK(mqtt_unsubscribe_encode(v, 4, filters, 2, bytes_of(NULL, 0), &out));
        p = decoded(&out, v);
        CHECK_EQ(p.unsubscribe.count, 2);
        struct bytes filter;
        rest = p.unsubscribe.filters;
        CHECK(mqtt_unsubscribe_next(&rest, &filter) && mqtt_unsubscribe_next(&rest, &filter));
        CHECK_BYTES(filter, text("#"));
        CHECK(!mqtt_unsubscribe_next(&rest, &filter));
        buf_fini(&props);
        buf_fini(&out);
    }
}

TEST(suback_and_unsuback_come_back_as_they_were)
{
    EACH_VERSION(v)
    {
        struct buf out = {0};
        struct mqtt_suback a = {.packet_id = 4, .reasons = bytes_of("\x00\x01\x8f", 3)};
        CHECK_OK(mqtt_suback_encode(v, MQTT_SUBACK, &a, &out));
        struct mqtt_packet p = decoded(&out, v);
        CHECK_BYTES(p.suback.reasons, bytes_of(v == MQTT_5_0 ? "\x00\x01\x8f" : "\x00\x01\x80", 3));
        buf_reset(&out);
        a.reasons = bytes_of("\x00\x11", 2);
        CHECK_OK(mqtt_suback_encode(v, MQTT_UNSUBACK, &a, &out));
        p = decoded(&out, v);
        CHECK_EQ(p.suback.reasons.len, v == MQTT_5_0 ? 2 : 0);
        buf_fini(&out);
    }
}

TEST(disconnect_auth_and_pings_come_back_as_they_were)
{
    EACH_VERSION(v)
    {
        struct buf out = {0};
        struct mqtt_notice n = {.reason = MQTT_DISCONNECT_WITH_WILL};
        CHECK_OK(mqtt_notice_encode(v, MQTT_DISCONNECT, &n, &out));
        CHECK_EQ(decoded(&out, v).notice.reason, v == MQTT_5_0 ? MQTT_DISCONNECT_WITH_WILL : 0);
        buf_reset(&out);
        CHECK_OK(mqtt_ping_encode(MQTT_PINGREQ, &out));
        CHECK_EQ(decoded(&out, v).type, MQTT_PINGREQ);
        buf_fini(&out);
    }
    struct buf props = {0};
    struct buf out = {0};
    CHECK_OK(mqtt_property_put_bytes(&props, MQTT_AUTH_METHOD, text("SCRAM")));
    struct mqtt_notice n = {.reason = MQTT_CONTINUE_AUTHENTICATION,
                            .properties = {.raw = buf_bytes(&props)}};
    CHECK_OK(mqtt_notice_encode(MQTT_5_0, MQTT_AUTH, &n, &out));
    struct mqtt_packet p = decoded(&out, MQTT_5_0);
    CHECK_BYTES(mqtt_property_bytes(&p.notice.properties, MQTT_AUTH_METHOD), text("SCRAM"));
    buf_fini(&props);
    buf_fini(&out);
}

/* --------------------------------------------------------------------------------------- framing
 */

TEST(a_frame_waits_for_all_its_bytes)
{
    static const uint8_t packet[] = {0x30, 0x85, 0x01, 0};
    uint8_t whole[136] = {0};
    memcpy(whole, packet, 3);
    struct mqtt_frame frame;
    for (size_t n = 0; n < sizeof whole; n++)
        CHECK_ERR(mqtt_frame_next(bytes_of(whole, n), 1024, &frame), ERR_AGAIN);
    CHECK_OK(mqtt_frame_next(bytes_of(whole, sizeof whole), 1024, &frame));
    CHECK_EQ(frame.body.len, 133);
}

TEST(a_frame_above_the_limit_is_refused_by_its_head)
{
    struct mqtt_frame frame;
    CHECK_ERR(mqtt_frame_next(bytes_of("\x30\xff\xff\xff\x7f", 5), MQTT_PACKET_BYTES_USUAL, &frame),
              ERR_LIMIT);
    CHECK_ERR(mqtt_frame_next(bytes_of("\x30\xff\xff\xff\x7f", 5), UINT32_MAX, &frame), ERR_AGAIN);
    CHECK_ERR(mqtt_frame_next(bytes_of("\x30\xff\xff\xff\xff", 5), 1024, &frame), ERR_MALFORMED);
    CHECK_ERR(mqtt_frame_next(bytes_of("\x30\x80\x00", 3), 1024, &frame), ERR_MALFORMED);
    CHECK_ERR(mqtt_frame_next(bytes_of("\x30\x0a", 2), 11, &frame), ERR_LIMIT);
}

/* --------------------------------------------------------------------------------------- refusing
 */

struct refused {
    enum mqtt_version version;
    const char *hex;
    uint8_t reason;
    const char *what;
};

static const struct refused refused[] = {
    {5, "00 00", 0x81, "packet type 0"},
    {5, "31 00", 0x81, "PUBLISH without a topic"},
    {5, "c1 00", 0x81, "PINGREQ with flags"},
    {5, "c0 01 00", 0x81, "PINGREQ with a body"},
    {4, "e0 01 00", 0x81, "DISCONNECT of 3.1.1 with a body"},
    {4, "f0 00", 0x82, "AUTH in 3.1.1"},
    {5, "10 04 0004 4d51", 0x81, "CONNECT cut in its name"},
    {5, "10 0c 0004 4d515454 03 02 003c 0000", 0x84, "protocol level 3"},
    {5, "10 0c 0004 4d515454 06 02 003c 0000", 0x84, "protocol level 6"},
    {5, "10 0c 0004 58585858 04 02 003c 0000", 0x84, "protocol XXXX"},
    {5, "10 0c 0004 4d515454 04 03 003c 0000", 0x81, "CONNECT's reserved flag"},
    {5, "10 0c 0004 4d515454 04 0a 003c 0000", 0x81, "will QoS without will"},
    {5, "10 0c 0004 4d515454 04 1e 003c 0000", 0x81, "will QoS 3"},
    {5, "10 0c 0004 4d515454 04 42 003c 0000", 0x81, "password without user in 3.1.1"},
    {5, "10 0c 0004 4d515454 04 06 003c 0000", 0x81, "a will that is not there"},
    {5, "10 12 0004 4d515454 04 06 003c 0000 0002 612b 0000", 0x90, "a will to a wildcard"},
    {5, "10 0c 0004 4d515454 04 82 003c 0000", 0x81, "a user that is not there"},
    {5, "10 0d 0004 4d515454 04 02 003c 0000 00", 0x81, "bytes behind CONNECT"},
    {5, "10 0f 0004 4d515454 05 02 003c 02 2100 0000", 0x81, "receive maximum cut"},
    {5, "10 10 0004 4d515454 05 02 003c 03 210000 0000", 0x82, "receive maximum 0"},
    {5, "10 12 0004 4d515454 05 02 003c 05 2700000000 0000", 0x82, "maximum packet size 0"},
    {5, "10 0f 0004 4d515454 05 02 003c 02 1702 0000", 0x82, "request problem information 2"},
    {5, "10 0f 0004 4d515454 05 02 003c 02 2401 0000", 0x82, "maximum QoS in CONNECT"},
    {5, "10 11 0004 4d515454 05 02 003c 04 1701 1701 0000", 0x82, "a property twice"},
    {5, "10 11 0004 4d515454 05 02 003c 04 160001 61 0000", 0x82, "authentication data alone"},
    {5, "10 0f 0004 4d515454 05 02 003c 02 7f00 0000", 0x81, "property 127"},
    {5, "10 11 0004 4d515454 05 02 003c 04 15 0001 ff 0000", 0x81, "a property not in UTF-8"},
    {5, "10 0d 0004 4d515454 05 02 003c 05 0000", 0x81, "properties beyond the end"},
    {5, "10 0f 0004 4d515454 05 02 003c 8080 8080 01", 0x81, "a length of five bytes"},
    {5, "10 0e 0004 4d515454 05 02 003c 8000 0000", 0x81, "a length not in its shortest form"},
    {5, "20 03 02 00 00", 0x81, "CONNACK's reserved flags"},
    {5, "20 01 00", 0x81, "CONNACK cut"},
    {4, "20 02 00 06", 0x82, "return code 6"},
    {5, "20 03 00 01 00", 0x82, "reason 1 in CONNACK"},
    {5, "20 03 01 80 00", 0x82, "refused with a session"},
    {5, "36 06 0001 61 0001 00", 0x81, "QoS 3"},
    {5, "38 04 0001 61 00", 0x81, "DUP with QoS 0"},
    {5, "32 06 0001 61 0000 00", 0x82, "packet identifier 0"},
    {5, "32 03 0001 61", 0x81, "PUBLISH ends before its identifier"},
    {5, "30 04 0001 23 00", 0x90, "a topic with #"},
    {5, "30 04 0001 00 00", 0x81, "a topic with a zero"},
    {5, "30 05 0002 c0af 00", 0x81, "a topic not in UTF-8"},
    {5, "30 05 0002 61c3 00", 0x81, "a topic that ends inside a character"},
    {5, "30 03 0000 00", 0x82, "no topic, no alias"},
    {4, "30 02 0000", 0x82, "no topic in 3.1.1"},
    {5, "30 07 0001 61 03 230000", 0x94, "topic alias 0"},
    {5, "30 08 0001 61 04 08 0001 2b", 0x82, "a response topic with +"},
    {5, "30 06 0001 61 02 0b00", 0x82, "subscription identifier 0"},
    {5, "30 06 0001 61 02 0102", 0x82, "payload format 2"},
    {5, "40 00", 0x81, "PUBACK without identifier"},
    {5, "40 03 0001 01", 0x82, "reason 1 in PUBACK"},
    {4, "40 03 0001 00", 0x81, "a reason in a PUBACK of 3.1.1"},
    {5, "60 02 0001", 0x81, "PUBREL's flags"},
    {5, "62 03 0001 97", 0x82, "reason 0x97 in PUBREL"},
    {5, "80 07 0001 00 0001 61 00", 0x81, "SUBSCRIBE's flags"},
    {5, "82 03 0001 00", 0x82, "SUBSCRIBE of nothing"},
    {5, "82 06 0001 00 0001 61", 0x81, "SUBSCRIBE without options"},
    {5, "82 07 0001 00 0001 61 40", 0x81, "reserved option bits"},
    {4, "82 06 0001 0001 61 04", 0x81, "options of 5.0 in 3.1.1"},
    {5, "82 07 0001 00 0001 61 03", 0x82, "SUBSCRIBE with QoS 3"},
    {5, "82 07 0001 00 0001 61 30", 0x82, "retain handling 3"},
    {5, "82 0b 0001 04 0b01 0b02 0001 61 00", 0x82, "two subscription identifiers"},
    {5, "90 03 0001 00", 0x81, "SUBACK of nothing"},
    {4, "90 03 0001 81", 0x82, "reason 0x81 in a SUBACK of 3.1.1"},
    {5, "a2 03 0001 00", 0x82, "UNSUBSCRIBE of nothing"},
    {5, "a2 05 0001 00 0001", 0x81, "UNSUBSCRIBE cut"},
    {4, "b0 03 0001 00", 0x81, "a reason in an UNSUBACK of 3.1.1"},
    {5, "e0 01 01", 0x82, "reason 1 in DISCONNECT"},
    {5, "f0 01 80", 0x82, "reason 0x80 in AUTH"},
};

static struct bytes hex_bytes(const char *hex, uint8_t out[static 64])
{
    size_t n = 0;
    for (const char *p = hex; *p;) {
        char pair[3] = {p[0], p[1], 0};
        if (*p == ' ') {
            p++;
            continue;
        }
        out[n++] = (uint8_t)strtoul(pair, NULL, 16);
        p += 2;
    }
    return bytes_of(out, n);
}

TEST(what_breaks_the_standard_is_refused_with_its_reason)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        uint8_t bytes[64];
        struct mqtt_frame frame;
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0, NULL};
        struct bytes in = hex_bytes(refused[i].hex, bytes);
        if (mqtt_frame_next(in, 1024, &frame) != OK || frame.size != in.len)
            check_fail_at(__FILE__, __LINE__, "%s: the test's own length is wrong",
                          refused[i].what);
        int err = mqtt_packet_decode(&frame, refused[i].version, &packet, &fault);
        if (err == OK || fault.reason != refused[i].reason || !fault.text)
            check_fail_at(__FILE__, __LINE__, "%s: %s, reason 0x%02x, wanted 0x%02x (%s)",
                          refused[i].what, err_name(err), fault.reason, refused[i].reason,
                          fault.text ? fault.text : "no text");
    }
}

/* A packet cut anywhere, its length made to fit, is never taken for another one whole, and never
 * read beyond its end (the sanitizers look). */
TEST(a_packet_cut_anywhere_is_refused_or_shorter)
{
    static const char connect[] = "10 24 0004 4d515454 05 c6 003c 05 1100000001 0001 61 00 0001 62 "
                                  "0001 63 0001 64 0002 6566";
    uint8_t bytes[64];
    struct bytes whole = hex_bytes(connect, bytes);
    for (size_t n = 2; n < whole.len; n++) {
        uint8_t *cut = malloc(n);
        CHECK(cut);
        memcpy(cut, whole.ptr, n);
        cut[1] = (uint8_t)(n - 2);
        struct mqtt_frame frame;
        struct mqtt_packet packet;
        struct mqtt_fault fault;
        CHECK_OK(mqtt_frame_next(bytes_of(cut, n), 1024, &frame));
        CHECK(mqtt_packet_decode(&frame, MQTT_5_0, &packet, &fault) != OK);
        free(cut);
    }
}

TEST(reasons_have_names_and_errors)
{
    CHECK_STR(mqtt_reason_text(MQTT_NOT_AUTHORIZED), "not authorized");
    CHECK_STR(mqtt_reason_text(0x7f), "unknown reason");
    CHECK_EQ(mqtt_reason_err(MQTT_NO_MATCHING_SUBSCRIBERS), OK);
    CHECK_EQ(mqtt_reason_err(MQTT_QUOTA_EXCEEDED), ERR_LIMIT);
    CHECK_EQ(mqtt_reason_err(0xfe), ERR_PROTOCOL);
    CHECK_EQ(mqtt_reason_err(0x7f), OK);
    CHECK_STR(mqtt_type_name(MQTT_SUBACK), "SUBACK");
    CHECK_STR(mqtt_type_name((enum mqtt_type)0), "packet");
    static const uint8_t codes[][2] = {{0x00, 0}, {0x84, 1}, {0x85, 2}, {0x86, 4},
                                       {0x87, 5}, {0x8a, 5}, {0x88, 3}, {0x97, 3}};
    for (size_t i = 0; i < 8; i++)
        CHECK_EQ(mqtt_connack_code(codes[i][0]), codes[i][1]);
}

TEST(what_is_too_long_for_the_standard_is_not_encoded)
{
    static const uint8_t zeros[65537];
    struct bytes long_text = bytes_of(zeros, sizeof zeros);
    struct buf out = {0};
    CHECK_OK(buf_append_text(&out, "kept"));
    struct mqtt_publish m = {.topic = long_text};
    CHECK_ERR(mqtt_publish_encode(MQTT_5_0, &m, &out), ERR_LIMIT);
    struct mqtt_connect c = {.version = MQTT_5_0, .client_id = long_text};
    CHECK_ERR(mqtt_connect_encode(&c, &out), ERR_LIMIT);
    struct mqtt_subscription s = {.filter = long_text};
    CHECK_ERR(mqtt_subscribe_encode(MQTT_5_0, 1, &s, 1, bytes_of(NULL, 0), &out), ERR_LIMIT);
    CHECK_ERR(mqtt_unsubscribe_encode(MQTT_5_0, 1, &long_text, 1, bytes_of(NULL, 0), &out),
              ERR_LIMIT);
    CHECK_ERR(mqtt_property_put_bytes(&out, MQTT_CONTENT_TYPE, long_text), ERR_LIMIT);
    CHECK_ERR(mqtt_property_put_user(&out, text("a"), long_text), ERR_LIMIT);
    CHECK_BYTES(buf_bytes(&out), text("kept"));
    buf_fini(&out);
}

/* Whatever a decoder accepts, an encoder writes so that it is accepted again: random bytes flipped
 * in a good packet are refused or read as something that can be walked to its end. */
TEST(flipped_bytes_never_confuse_the_walkers)
{
    struct rand r;
    rand_seed(&r, 7);
    uint8_t bytes[64];
    struct bytes whole =
        hex_bytes("82 14 0001 02 0b05 0003 612f62 01 0001 23 2d 0002 2b2f 00", bytes);
    for (int round = 0; round < 20000; round++) {
        uint8_t copy[64];
        memcpy(copy, whole.ptr, whole.len);
        copy[2 + rand_below(&r, whole.len - 2)] = (uint8_t)rand_u64(&r);
        struct mqtt_frame frame;
        struct mqtt_packet p;
        struct mqtt_fault fault;
        CHECK_OK(mqtt_frame_next(bytes_of(copy, whole.len), 64, &frame));
        if (mqtt_packet_decode(&frame, MQTT_5_0, &p, &fault) != OK)
            continue;
        struct mqtt_subscription s;
        struct bytes rest = p.subscribe.filters;
        uint32_t count = 0;
        while (mqtt_subscribe_next(&rest, &s))
            count++;
        CHECK_EQ(count, p.subscribe.count);
        CHECK_EQ(rest.len, 0);
    }
}
