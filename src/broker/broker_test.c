/* The broker on a real loop, spoken to by our own client, and its doors to flows: what a PUBACK
 * means, and what happens to messages when somebody is slow, full or gone. The wire as other
 * people's clients see it is tested in tests/e2e/test_30_broker*.py. */
#include "broker/broker.h"

#include "config/config.h"
#include "model/message.h"
#include "mqtt/client.h"
#include "net/loop.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

#define SOON_MS     10000
#define ADDRESS_MAX 64
#define TOPICS_MAX  1024

/* ------------------------------------------------------------------------------------ the broker
 */

struct bed {
    struct exec *loop;
    struct catalogue catalogue;
    struct config *config;
    struct broker *broker;
    char address[ADDRESS_MAX];
};

static int authenticate(void *ctx, struct bytes user, struct bytes password,
                        enum call_role *ret_role)
{
    (void)ctx;
    (void)user;
    if (!bytes_equal(password, bytes_of_text("token")))
        return ERR_AUTH;
    *ret_role = CALL_ENGINEER;
    return OK;
}

/* Nobody can connect yet. */
static void bed_new(struct bed *bed, uint16_t port, const char *section)
{
    char yaml[512];
    struct diag diag = {0};
    *bed = (struct bed){0};
    snprintf(yaml, sizeof yaml, "name: test\nlisten: {mqtt: \"127.0.0.1:%u\"}\nbroker: {%s}\n",
             port, section);
    CHECK_OK(loop_new("test", &bed->loop));
    CHECK_OK(config_parse("test.yaml", bytes_of_text(yaml), &bed->config, &diag));
    CHECK_OK(catalogue_init(&bed->catalogue, "test"));
    struct broker_options options = {.exec = bed->loop, .authenticate = authenticate};
    CHECK_OK(broker_new(&options, &bed->broker));
    CHECK_OK(broker_configure(bed->broker, bed->config, &bed->catalogue, &diag));
}

static void bed_listen(struct bed *bed)
{
    struct diag diag = {0};
    int err = broker_start(bed->broker, &diag);
    if (err)
        check_fail_at(__FILE__, __LINE__, "%s", diag.text);
    snprintf(bed->address, sizeof bed->address, "127.0.0.1:%u", broker_port(bed->broker));
}

static void bed_start(struct bed *bed, uint16_t port, const char *section)
{
    bed_new(bed, port, section);
    bed_listen(bed);
}

static void bed_stop(struct bed *bed)
{
    broker_stop(bed->broker);
    broker_free(bed->broker);
    catalogue_fini(&bed->catalogue);
    config_free(bed->config);
    loop_free(bed->loop);
}

/* ------------------------------------------------------------------------------------ a client */

struct sent {
    struct mqtt_send send;
    atomic_int err; /* 1 = nothing yet */
    atomic_uint reason;
    atomic_uint order; /* in which it was acknowledged, from 1 */
    struct party *party;
};

struct party {
    struct exec *loop;
    struct mqtt_client *client;
    struct mqtt_client_options options;
    atomic_int state;
    atomic_uint ups;
    atomic_uint received;
    atomic_uint acknowledged;
    atomic_bool session_present;
    char topic[256];   /* of the last message */
    char payload[256]; /* … */
    atomic_bool retain;
};

static void party_state(void *ctx, struct mqtt_client *c, const struct mqtt_client_event *event)
{
    struct party *p = ctx;
    (void)c;
    if (event->state == MQTT_CLIENT_UP) {
        atomic_store(&p->session_present, event->session_present);
        atomic_fetch_add(&p->ups, 1);
    }
    atomic_store(&p->state, (int)event->state);
}

static int party_message(void *ctx, struct mqtt_client *c, const struct mqtt_publish *m)
{
    struct party *p = ctx;
    (void)c;
    snprintf(p->topic, sizeof p->topic, "%.*s", (int)m->topic.len, (const char *)m->topic.ptr);
    snprintf(p->payload, sizeof p->payload, "%.*s", (int)m->payload.len,
             (const char *)m->payload.ptr);
    atomic_store(&p->retain, m->retain);
    atomic_fetch_add(&p->received, 1);
    return OK;
}

static int party_start_run(void *ctx)
{
    struct party *p = ctx;
    int err = mqtt_client_new(&p->options, &p->client);
    return err ? err : mqtt_client_start(p->client);
}

static void party_start(struct party *p, const struct bed *bed)
{
    p->loop = bed->loop;
    p->options.exec = bed->loop;
    p->options.address = bed->address;
    p->options.ctx = p;
    p->options.on_state = party_state;
    p->options.on_message = party_message;
    p->options.backoff_min_ms = 10;
    p->options.backoff_max_ms = 50;
    CHECK_OK(exec_call(p->loop, party_start_run, p));
    CHECK_SOON(atomic_load(&p->ups) == 1, SOON_MS);
}

static int party_stop_run(void *ctx)
{
    struct party *p = ctx;
    mqtt_client_stop(p->client);
    return OK;
}

static int party_free_run(void *ctx)
{
    struct party *p = ctx;
    mqtt_client_free(p->client);
    return OK;
}

static void party_stop(struct party *p)
{
    CHECK_OK(exec_call(p->loop, party_stop_run, p));
    CHECK_SOON(atomic_load(&p->state) == MQTT_CLIENT_STOPPED, SOON_MS);
    CHECK_OK(exec_call(p->loop, party_free_run, p));
}

struct asking {
    struct party *party;
    const char *topic;
    const char *payload;
    uint8_t qos;
    bool retain;
    struct sent *sent;
};

static int subscribe_run(void *ctx)
{
    const struct asking *a = ctx;
    struct mqtt_subscription s = {.filter = bytes_of_text(a->topic), .qos = a->qos};
    return mqtt_client_subscribe(a->party->client, &s);
}

static void sent_done(struct mqtt_send *send, int err, uint8_t reason)
{
    struct sent *s = CONTAINER_OF(send, struct sent, send);
    atomic_store(&s->reason, reason);
    atomic_store(&s->order, atomic_fetch_add(&s->party->acknowledged, 1) + 1);
    atomic_store(&s->err, err);
}

static int publish_run(void *ctx)
{
    const struct asking *a = ctx;
    struct mqtt_publish m = {.topic = bytes_of_text(a->topic), .qos = a->qos, .retain = a->retain};
    struct payload *payload = payload_copy(bytes_of_text(a->payload));
    *a->sent = (struct sent){.send = {.fn = sent_done}, .err = 1, .party = a->party};
    int err = mqtt_client_publish(a->party->client, &m, payload, &a->sent->send);
    payload_unref(payload);
    return err;
}

static void subscribe(struct party *p, const char *filter, uint8_t qos)
{
    struct asking a = {.party = p, .topic = filter, .qos = qos};
    CHECK_OK(exec_call(p->loop, subscribe_run, &a));
}

static void publish(struct party *p, const char *topic, const char *payload, struct sent *sent)
{
    struct asking a = {.party = p, .topic = topic, .payload = payload, .qos = 1, .sent = sent};
    CHECK_OK(exec_call(p->loop, publish_run, &a));
}

/* ------------------------------------------------------------------------------------ a consumer
 */

struct consumer {
    struct flow *flow;
    atomic_uint batches;
    atomic_uint rows;
    atomic_bool hold; /* take, but don't finish */
    atomic_bool closed;
    bool requests; /* wants messages one by one, and says why it refuses them */
    int err;       /* to finish with */
    struct flow_item items[64];
    unsigned held;
    char topics[TOPICS_MAX];
};

static void consumer_ready(void *ctx, struct flow *f)
{
    struct consumer *c = ctx;
    struct flow_item item;
    while (c->held < 64 && flow_take(f, &item)) {
        struct column topic = batch_column(item.batch, MESSAGE_TOPIC);
        for (uint32_t i = 0; i < item.batch->rows; i++) {
            struct bytes v = column_bytes(&topic, i);
            size_t n = strlen(c->topics);
            snprintf(c->topics + n, sizeof c->topics - n, "%.*s ", (int)v.len, (const char *)v.ptr);
        }
        uint32_t rows = item.batch->rows;
        if (c->requests && item.done && c->err)
            (void)diag_set(item.done->diag, c->err, 0, 0, "row 1: no");
        if (atomic_load(&c->hold))
            c->items[c->held++] = item;
        else
            flow_finish(&item, item.at, c->err);
        atomic_fetch_add(&c->batches, 1);
        atomic_fetch_add(&c->rows, rows);
    }
}

static void consumer_closed(void *ctx, struct flow *f)
{
    struct consumer *c = ctx;
    (void)f;
    atomic_store(&c->closed, true);
}

static void consumer_start(struct consumer *c, const struct bed *bed, const char *filter,
                           uint32_t items_max)
{
    struct flow_options options = {
        .name = "consumer",
        .consumer = bed->loop,
        .policy = FLOW_BLOCK,
        .items_max = items_max,
        .ctx = c,
        .on_ready = consumer_ready,
        .on_closed = consumer_closed,
    };
    CHECK_OK(flow_new(&options, &c->flow));
    CHECK_OK(c->requests ? broker_request_flow(bed->broker, filter, c->flow)
                         : broker_subscribe_flow(bed->broker, filter, c->flow));
}

static int release_run(void *ctx)
{
    struct consumer *c = ctx;
    unsigned held = c->held;
    c->held = 0;
    for (unsigned i = 0; i < held; i++)
        flow_finish(&c->items[i], c->items[i].at, c->err);
    return OK;
}

static void consumer_release(struct consumer *c, const struct bed *bed)
{
    CHECK_OK(exec_call(bed->loop, release_run, c));
}

/* ---------------------------------------------------------------------------------------- tests */

TEST(a_message_reaches_a_subscriber)
{
    struct bed bed;
    struct party a = {0};
    struct sent sent;
    bed_start(&bed, 0, "");
    party_start(&a, &bed);
    subscribe(&a, "plant/+/temperature", 1);
    publish(&a, "plant/line1/temperature", "21.5", &sent);
    CHECK_SOON(atomic_load(&a.received) == 1 && atomic_load(&sent.err) != 1, SOON_MS);
    CHECK_EQ(atomic_load(&sent.err), OK);
    CHECK_STR(a.topic, "plant/line1/temperature");
    CHECK_STR(a.payload, "21.5");
    party_stop(&a);
    bed_stop(&bed);
}

TEST(a_client_that_speaks_3_1_1_talks_with_one_of_5)
{
    struct bed bed;
    struct party a = {.options = {.version = MQTT_3_1_1, .client_id = "old"}};
    struct party b = {.options = {.client_id = "new"}};
    struct sent sent;
    bed_start(&bed, 0, "");
    party_start(&a, &bed);
    party_start(&b, &bed);
    subscribe(&a, "#", 1);
    publish(&a, "there", "x", &sent); /* shows that the subscription stands */
    CHECK_SOON(atomic_load(&a.received) == 1, SOON_MS);
    publish(&b, "t", "y", &sent);
    CHECK_SOON(atomic_load(&a.received) == 2 && atomic_load(&sent.err) == OK, SOON_MS);
    CHECK_STR(a.payload, "y");
    party_stop(&a);
    party_stop(&b);
    bed_stop(&bed);
}

TEST(a_puback_waits_until_the_flow_has_finished)
{
    struct bed bed;
    struct party a = {0};
    struct consumer c = {.hold = true};
    struct sent sent[3];
    struct broker_stats stats;
    bed_start(&bed, 0, "");
    consumer_start(&c, &bed, "stored/#", 0);
    party_start(&a, &bed);
    publish(&a, "stored/1", "x", &sent[0]);
    publish(&a, "elsewhere", "x", &sent[1]); /* due at once, but behind the first */
    publish(&a, "stored/2", "x", &sent[2]);
    CHECK_SOON(atomic_load(&c.rows) == 2, SOON_MS);
    CHECK_EQ(atomic_load(&a.acknowledged), 0);
    broker_stats_get(bed.broker, &stats);
    CHECK_EQ(stats.acks_held, 3);
    consumer_release(&c, &bed);
    CHECK_SOON(atomic_load(&a.acknowledged) == 3, SOON_MS);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(atomic_load(&sent[i].err), OK);
        CHECK_EQ(atomic_load(&sent[i].order), i + 1);
    }
    CHECK_EQ(atomic_load(&sent[0].reason), MQTT_SUCCESS);
    CHECK_EQ(atomic_load(&sent[1].reason), MQTT_NO_MATCHING_SUBSCRIBERS);
    CHECK_STR(c.topics, "stored/1 stored/2 ");
    party_stop(&a);
    bed_stop(&bed);
    CHECK(atomic_load(&c.closed));
    flow_unref(c.flow);
}

TEST(what_could_not_be_stored_is_not_acknowledged_as_if)
{
    struct bed bed;
    struct party five = {.options = {.client_id = "five"}};
    struct party three = {.options = {.version = MQTT_3_1_1, .client_id = "three"}};
    struct consumer c = {.err = ERR_NO_SPACE};
    struct sent sent;
    bed_start(&bed, 0, "");
    consumer_start(&c, &bed, "stored", 0);
    party_start(&five, &bed);
    party_start(&three, &bed);
    publish(&five, "stored", "x", &sent);
    CHECK_SOON(atomic_load(&sent.err) != 1, SOON_MS);
    CHECK_EQ(atomic_load(&sent.err), ERR_LIMIT);
    CHECK_EQ(atomic_load(&sent.reason), MQTT_QUOTA_EXCEEDED);
    publish(&three, "stored", "x", &sent); /* 3.1.1 has no word for it: the connection ends */
    CHECK_SOON(atomic_load(&sent.err) != 1, SOON_MS);
    CHECK_EQ(atomic_load(&sent.err), ERR_CLOSED);
    party_stop(&five);
    party_stop(&three);
    bed_stop(&bed);
    flow_unref(c.flow);
}

TEST(a_request_is_refused_alone_and_for_what_it_says)
{
    struct bed bed;
    struct party five = {.options = {.client_id = "five"}};
    struct party three = {.options = {.version = MQTT_3_1_1, .client_id = "three"}};
    struct consumer c = {.requests = true, .hold = true, .err = ERR_MALFORMED};
    struct sent sent[2];
    bed_start(&bed, 0, "");
    consumer_start(&c, &bed, "asked", 0);
    CHECK_ERR(broker_request_flow(bed.broker, "a/#/b", c.flow), ERR_INVALID);
    party_start(&five, &bed);
    publish(&five, "asked", "x", &sent[0]);
    publish(&five, "asked", "y", &sent[1]);
    CHECK_SOON(atomic_load(&c.rows) == 2, SOON_MS);
    CHECK_EQ(atomic_load(&c.batches), 2); /* each its own */
    consumer_release(&c, &bed);
    CHECK_SOON(atomic_load(&five.acknowledged) == 2, SOON_MS);
    CHECK_EQ(atomic_load(&sent[0].reason), MQTT_PAYLOAD_FORMAT_INVALID);
    CHECK_EQ(atomic_load(&sent[1].reason), MQTT_PAYLOAD_FORMAT_INVALID);
    /* 3.1.1 has no word for it, and would send it again for ever. */
    atomic_store(&c.hold, false);
    party_start(&three, &bed);
    publish(&three, "asked", "x", &sent[0]);
    CHECK_SOON(atomic_load(&sent[0].err) != 1, SOON_MS);
    CHECK_OK(atomic_load(&sent[0].err));
    party_stop(&five);
    party_stop(&three);
    bed_stop(&bed);
    flow_unref(c.flow);
}

TEST(a_flow_without_credit_holds_and_goes_on)
{
    struct bed bed;
    struct party a = {0};
    struct consumer c = {.hold = true};
    static struct sent sent[40];
    bed_start(&bed, 0, "");
    consumer_start(&c, &bed, "stored/#", 1);
    party_start(&a, &bed);
    for (unsigned i = 0; i < 40; i++)
        publish(&a, "stored/x", "value", &sent[i]);
    /* One batch is out and keeps the credit; the others wait in the broker. */
    CHECK_SOON(atomic_load(&c.batches) == 1, SOON_MS);
    CHECK_EQ(atomic_load(&a.acknowledged), 0);
    atomic_store(&c.hold, false);
    consumer_release(&c, &bed);
    CHECK_SOON(atomic_load(&a.acknowledged) == 40, SOON_MS);
    CHECK_EQ(atomic_load(&c.rows), 40);
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(atomic_load(&sent[i].order), i + 1);
    party_stop(&a);
    bed_stop(&bed);
    flow_unref(c.flow);
}

static int push_run(void *ctx)
{
    struct outlet *o = ctx;
    struct schema *schema = NULL;
    struct batch_builder *bb = NULL;
    struct batch *batch = NULL;
    CHECK_OK(message_schema_new(&schema));
    CHECK_OK(batch_builder_new(schema, 2, NULL, &bb));
    for (unsigned i = 0; i < 2; i++) {
        CHECK(batch_builder_row(bb, 0) >= 0);
        CHECK_OK(batch_set_bytes(bb, MESSAGE_TOPIC, bytes_of_text(i ? "out/2" : "out/1")));
        CHECK_OK(batch_set_bytes(bb, MESSAGE_PAYLOAD, bytes_of_text("{\"v\":1}")));
        batch_set_i64(bb, MESSAGE_QOS, i);
        batch_set_bool(bb, MESSAGE_RETAIN, i == 1);
    }
    CHECK_OK(batch_builder_finish(bb, &batch));
    int err = outlet_push(o, batch, (struct position){0, 0}, NULL);
    batch_unref(batch);
    batch_builder_free(bb);
    schema_unref(schema);
    return err;
}

static int outlet_fini_run(void *ctx)
{
    outlet_fini(ctx);
    return OK;
}

TEST(batches_of_rules_are_published_and_loop_back)
{
    struct bed bed;
    struct party a = {.options = {.client_id = "a"}};
    struct party late = {.options = {.client_id = "late"}};
    struct consumer c = {.err = OK};
    struct outlet outlet;
    struct sent sent;
    bed_start(&bed, 0, "");
    outlet_init(&outlet, bed.loop, NULL, NULL);
    CHECK_OK(broker_publish_flow(bed.broker, &outlet, "rule"));
    consumer_start(&c, &bed, "out/+", 0);
    party_start(&a, &bed);
    subscribe(&a, "out/#", 1);
    publish(&a, "out/ready", "", &sent);
    CHECK_SOON(atomic_load(&a.received) == 1, SOON_MS);
    CHECK_OK(exec_call(bed.loop, push_run, &outlet));
    CHECK_SOON(atomic_load(&a.received) == 3 && atomic_load(&c.rows) == 3, SOON_MS);
    CHECK_STR(c.topics, "out/ready out/1 out/2 ");
    party_start(&late, &bed);
    subscribe(&late, "#", 1);
    CHECK_SOON(atomic_load(&late.received) == 1, SOON_MS);
    CHECK_STR(late.topic, "out/2");
    CHECK(atomic_load(&late.retain));
    party_stop(&a);
    party_stop(&late);
    CHECK_OK(exec_call(bed.loop, outlet_fini_run, &outlet));
    bed_stop(&bed);
    flow_unref(c.flow);
}

TEST(a_session_keeps_what_came_while_nobody_was_connected)
{
    struct bed bed;
    struct party a = {.options = {.client_id = "a", .session_expiry_s = 60}};
    struct party again = {.options = {.client_id = "a", .session_expiry_s = 60}};
    struct party b = {.options = {.client_id = "b"}};
    struct sent sent[5];
    bed_start(&bed, 0, "");
    party_start(&a, &bed);
    party_start(&b, &bed);
    subscribe(&a, "q/#", 1);
    publish(&a, "q/ready", "", &sent[0]);
    CHECK_SOON(atomic_load(&a.received) == 1 && atomic_load(&a.acknowledged) == 1, SOON_MS);
    party_stop(&a);
    for (unsigned i = 0; i < 5; i++)
        publish(&b, "q/x", "kept", &sent[i]);
    CHECK_SOON(atomic_load(&b.acknowledged) == 5, SOON_MS);
    party_start(&again, &bed);
    CHECK(atomic_load(&again.session_present));
    CHECK_SOON(atomic_load(&again.received) == 5, SOON_MS);
    CHECK_STR(again.payload, "kept");
    party_stop(&again);
    party_stop(&b);
    bed_stop(&bed);
}

TEST(a_full_queue_drops_the_newest_and_counts)
{
    struct bed bed;
    struct party a = {.options = {.client_id = "a", .session_expiry_s = 60}};
    struct party b = {.options = {.client_id = "b"}};
    struct sent sent[6];
    struct broker_stats stats;
    bed_start(&bed, 0, "queue_messages_max: 4");
    party_start(&a, &bed);
    party_start(&b, &bed);
    subscribe(&a, "q", 1);
    publish(&a, "q", "", &sent[0]);
    CHECK_SOON(atomic_load(&a.received) == 1 && atomic_load(&a.acknowledged) == 1, SOON_MS);
    party_stop(&a);
    for (unsigned i = 0; i < 6; i++)
        publish(&b, "q", "x", &sent[i]);
    CHECK_SOON(atomic_load(&b.acknowledged) == 6, SOON_MS);
    broker_stats_get(bed.broker, &stats);
    CHECK_EQ(stats.dropped[BROKER_DROP_QUEUE_FULL], 2);
    party_stop(&b);
    bed_stop(&bed);
}

/* Stops a broker on a thread of its own, because that waits for what is held. */
struct stopping {
    struct exec_task task;
    struct broker *broker;
    atomic_bool done;
};

static void stopping_run(struct exec_task *task)
{
    struct stopping *s = CONTAINER_OF(task, struct stopping, task);
    broker_stop(s->broker);
    atomic_store(&s->done, true);
}

/* What is not acknowledged when the server goes away comes back to its owner, or is sent to the
 * next one; in no case does anybody hear that it was stored. */
TEST(publications_in_flight_are_given_back_or_sent_again)
{
    struct bed bed;
    struct bed clients = {0};
    static struct party gives = {.options = {.client_id = "gives"}};
    static struct party again = {.options = {.client_id = "again", .resend = true}};
    static struct consumer c = {.hold = true};
    static struct consumer c2 = {.err = OK};
    struct stopping stopping = {.done = false};
    struct exec *stopper = NULL;
    struct sent sent[2];
    bed_start(&bed, 0, "");
    uint16_t port = broker_port(bed.broker);
    CHECK_OK(loop_new("clients", &clients.loop));
    CHECK_OK(exec_thread_new("stopper", 0, &stopper));
    snprintf(clients.address, sizeof clients.address, "%s", bed.address);
    consumer_start(&c, &bed, "#", 0);
    party_start(&gives, &clients);
    party_start(&again, &clients);
    publish(&gives, "g", "x", &sent[0]);
    publish(&again, "a", "x", &sent[1]);
    CHECK_SOON(atomic_load(&c.rows) == 2, SOON_MS);
    stopping.broker = bed.broker;
    exec_task_init(&stopping.task, stopping_run);
    (void)exec_post(stopper, &stopping.task);
    CHECK_SOON(atomic_load(&sent[0].err) == ERR_CLOSED, SOON_MS);
    CHECK_EQ(atomic_load(&sent[1].err), 1);
    CHECK(!atomic_load(&stopping.done));
    consumer_release(&c, &bed);
    CHECK_SOON(atomic_load(&stopping.done), SOON_MS);
    exec_thread_free(stopper);
    bed_stop(&bed);
    bed_new(&bed, port, "");
    consumer_start(&c2, &bed, "#", 0);
    bed_listen(&bed);
    CHECK_SOON(atomic_load(&sent[1].err) == OK, SOON_MS);
    CHECK_STR(c2.topics, "a ");
    party_stop(&gives);
    party_stop(&again);
    loop_free(clients.loop);
    bed_stop(&bed);
    flow_unref(c.flow);
    flow_unref(c2.flow);
}

TEST(a_stopping_broker_waits_for_batches_that_are_out)
{
    struct bed bed;
    struct party a = {0};
    struct consumer c = {.hold = true};
    struct sent sent;
    bed_start(&bed, 0, "");
    consumer_start(&c, &bed, "#", 0);
    party_start(&a, &bed);
    publish(&a, "x", "y", &sent);
    CHECK_SOON(atomic_load(&c.rows) == 1, SOON_MS);
    party_stop(&a);
    CHECK_EQ(atomic_load(&sent.err), ERR_CANCELLED);
    consumer_release(&c, &bed);
    bed_stop(&bed);
    CHECK(atomic_load(&c.closed));
    flow_unref(c.flow);
}

TEST(options_out_of_range_are_refused_with_their_place)
{
    struct bed bed = {0};
    struct diag diag = {0};
    CHECK_OK(loop_new("test", &bed.loop));
    CHECK_OK(config_parse("test.yaml",
                          bytes_of_text("name: test\nbroker: {receive_maximum: 70000}\n"),
                          &bed.config, &diag));
    CHECK_OK(catalogue_init(&bed.catalogue, "test"));
    struct broker_options options = {.exec = bed.loop};
    CHECK_OK(broker_new(&options, &bed.broker));
    CHECK_ERR(broker_configure(bed.broker, bed.config, &bed.catalogue, &diag), ERR_RANGE);
    CHECK_EQ(diag.line, 2);
    bed_stop(&bed);
}
