/* What the broker answers: broker.sessions, broker.publish. */
#include "base/err.h"
#include "broker/broker_priv.h"
#include "model/topic.h"

static const struct call_field sessions_answer[] = {
    {"client", VALUE_STRING, 0, true, "client identifier"},
    {"user", VALUE_STRING, 0, true, "user name; empty = anonymous"},
    {"connected", VALUE_BOOL, 0, true, "whether there is a connection"},
    {"address", VALUE_STRING, 0, true, "where it is connected from; empty if it is not"},
    {"version", VALUE_STRING, 0, true, "MQTT version of the last connection"},
    {"subscriptions", VALUE_UINT64, 0, true, "topic filters"},
    {"queued", VALUE_UINT64, 0, true, "messages that wait"},
    {"in_flight", VALUE_UINT64, 0, true, "messages sent and not yet acknowledged"},
    {"dropped", VALUE_UINT64, 0, true, "messages it did not get"},
    {"expiry_s", VALUE_UINT64, 0, true, "how long it is kept without a connection"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

enum sessions_column {
    SESSIONS_CLIENT,
    SESSIONS_USER,
    SESSIONS_CONNECTED,
    SESSIONS_ADDRESS,
    SESSIONS_VERSION,
    SESSIONS_SUBSCRIPTIONS,
    SESSIONS_QUEUED,
    SESSIONS_IN_FLIGHT,
    SESSIONS_DROPPED,
    SESSIONS_EXPIRY,
};

static const struct call_spec sessions_spec = {
    .name = "broker.sessions",
    .doc = "Lists the MQTT sessions of this node",
    .role = CALL_VIEWER,
    .answer = sessions_answer,
};

static int session_row(struct batch_builder *bb, const struct session *s, int64_t time_us)
{
    const char *address = s->client ? conn_peer(s->client->conn) : "";
    const char *version = s->version == MQTT_5_0 ? "5.0" : "3.1.1";
    int err = batch_builder_row(bb, time_us);
    if (err < 0)
        return err;
    batch_set_bool(bb, SESSIONS_CONNECTED, s->client != NULL);
    batch_set_u64(bb, SESSIONS_SUBSCRIPTIONS, s->subscriptions.count);
    batch_set_u64(bb, SESSIONS_QUEUED, s->queue_count);
    batch_set_u64(bb, SESSIONS_IN_FLIGHT, s->in_flight_count);
    batch_set_u64(bb, SESSIONS_DROPPED, s->dropped);
    batch_set_u64(bb, SESSIONS_EXPIRY, s->expiry_s);
    err = batch_set_bytes(bb, SESSIONS_CLIENT, bytes_of(s->id, s->id_len));
    if (!err)
        err = batch_set_bytes(bb, SESSIONS_USER, bytes_of_text(s->user));
    if (!err)
        err = batch_set_bytes(bb, SESSIONS_ADDRESS, bytes_of_text(address));
    return err ? err : batch_set_bytes(bb, SESSIONS_VERSION, bytes_of_text(version));
}

static void sessions_call(void *owner, struct call *c)
{
    const struct broker *b = owner;
    struct batch_builder *bb = NULL;
    size_t count = b->sessions.count < BATCH_ROWS_MAX ? b->sessions.count : BATCH_ROWS_MAX;
    int err = call_answer_builder(c, count ? (uint32_t)count : 1, &bb);
    for (size_t i = 0; !err && i < count; i++)
        err = session_row(bb, b->sessions.entries[i].value, exec_wall_us(b->exec));
    if (err) {
        batch_builder_free(bb);
        call_fail(c, err, "the sessions cannot be listed: %s", err_text(err));
        return;
    }
    call_answer_rows(c, bb);
}

static const struct call_field publish_request[] = {
    {"topic", VALUE_STRING, 0, true, "topic name"},
    {"payload", VALUE_BYTES, FIELD_TEXT, false, "what to publish; empty if left out"},
    {"qos", VALUE_INT64, 0, false, "0 (default) or 1"},
    {"retain", VALUE_BOOL, 0, false, "keep it for those who subscribe later"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_spec publish_spec = {
    .name = "broker.publish",
    .doc = "Publishes one MQTT message",
    .role = CALL_ENGINEER,
    .request = publish_request,
};

static void publish_call(void *owner, struct call *c)
{
    struct broker *b = owner;
    struct value topic = call_arg(c, "topic");
    struct value payload = call_arg(c, "payload");
    struct value qos = call_arg(c, "qos");
    struct value retain = call_arg(c, "retain");
    if (topic.type != VALUE_STRING || !topic_is_name(topic.bytes)) {
        call_fail(c, ERR_INVALID, "the topic is missing, has wildcards or is not UTF-8");
        return;
    }
    if (qos.type == VALUE_INT64 && (qos.i64 < 0 || qos.i64 > 1)) {
        call_fail(c, ERR_RANGE, "qos is 0 or 1");
        return;
    }
    if (publish_denied(b, call_origin_of(c)->role, topic.bytes, call_origin_of(c)->user)) {
        call_fail(c, ERR_DENIED, "topics that begin with $SYS are the broker's own");
        return;
    }
    struct broker_message m = {
        .topic = topic.bytes,
        .payload = payload.type == VALUE_BYTES ? payload_copy(payload.bytes) : NULL,
        .qos = qos.type == VALUE_INT64 ? (uint8_t)qos.i64 : 0,
        .retain = retain.type == VALUE_BOOL && retain.boolean,
    };
    int err = broker_publish(b, &m);
    payload_unref(m.payload);
    if (err)
        call_fail(c, err, "not published: %s", err_text(err));
    else
        call_answer(c, NULL);
}

int calls_offer(struct broker *b, struct catalogue *catalogue)
{
    static const struct call_entry entries[] = {
        {&sessions_spec, sessions_call},
        {&publish_spec, publish_call},
    };
    return catalogue_calls_add(catalogue, entries, sizeof entries / sizeof entries[0], b->exec, b);
}
