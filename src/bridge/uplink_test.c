/* The sender's window against a hub that does as it is told: acknowledges, keeps silent and hangs
 * up, refuses. What must hold whatever it does: the hub sees the log's order without a gap (repeats
 * apart), and the cursor never passes a record that was not acknowledged. */
#include "bridge/uplink_priv.h"
#include "mqtt/packet.h"
#include "net/listener.h"
#include "net/loop.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SOON_MS      20000
#define RECORDS      200
#define SCHEMA_HASH  77
#define SEEN_MAX     4096
#define ADDRESS_MAX  64
#define RECORD_BYTES 8

/* ------------------------------------------------------------------------------------- the log */

/* Records 1 … RECORDS of one stream; on the uplink's worker, but `done`. */
struct table {
    uint64_t at;
    uint64_t expired_to; /* records up to this are gone */
    uint64_t strange;    /* every so many-th record is of a stream that nobody wants; 0 = none */
    char body[RECORD_BYTES + 1];
    atomic_ullong done;
};

static int table_rewind(void *ctx)
{
    struct table *t = ctx;
    t->at = atomic_load(&t->done);
    return OK;
}

static int table_next(void *ctx, struct uplink_record *ret)
{
    struct table *t = ctx;
    if (t->at < t->expired_to) {
        t->at = t->expired_to;
        ret->at = (struct position){1, t->at};
        return ERR_EXPIRED;
    }
    if (t->at == RECORDS)
        return ERR_AGAIN;
    t->at++;
    (void)snprintf(t->body, sizeof t->body, "%08llu", (unsigned long long)t->at);
    bool strange = t->strange && t->at % t->strange == 0;
    *ret = (struct uplink_record){
        .at = {1, t->at},
        .node = bytes_of_text("e1"),
        .stream = bytes_of_text(strange ? "other" : "plc1.g"),
        .schema_hash = SCHEMA_HASH,
        .head = bytes_of_text("r"),
        .body = bytes_of(t->body, RECORD_BYTES),
    };
    return OK;
}

static int table_schema(void *ctx, uint64_t hash, struct buf *out)
{
    (void)ctx;
    CHECK_EQ(hash, SCHEMA_HASH);
    return buf_append_text(out, "schema");
}

static void table_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    (void)ctx;
    (void)exec;
    (void)task;
}

static void table_done(void *ctx, struct position at)
{
    struct table *t = ctx;
    CHECK(at.seq > atomic_load(&t->done));
    atomic_store(&t->done, at.seq);
}

static uint64_t table_behind(void *ctx)
{
    return RECORDS - atomic_load(&((struct table *)ctx)->done);
}

/* -------------------------------------------------------------------------------------- the hub */

struct rig {
    struct exec *loop; /* the hub's and the client's */
    struct listener *listener;
    struct conn *conn; /* the newest */
    struct buf rest;
    char address[ADDRESS_MAX];
    struct table table;
    struct config *config;
    struct catalogue catalogue;
    struct uplink *uplink;

    /* What the hub is told to do; the loop's once it runs. */
    unsigned hang_up_after; /* records of a connection that stay unanswered, then it is closed */
    unsigned hang_ups;      /* so many times */
    uint64_t refused_seq;   /* this record is refused … */
    unsigned refusals;      /* … so many times */
    uint8_t reason;

    unsigned unanswered;
    atomic_uint schemas;
    atomic_uint seen_count;
    uint64_t seen[SEEN_MAX]; /* numbers of the records that came */
    uint64_t acked;          /* up to here all were answered with success */
};

static void hub_answer(struct rig *g, uint16_t packet_id, uint8_t reason)
{
    struct mqtt_ack ack = {.packet_id = packet_id, .reason = reason};
    struct buf out = {0};
    CHECK_OK(mqtt_ack_encode(MQTT_5_0, MQTT_PUBACK, &ack, &out));
    (void)conn_write(g->conn, buf_bytes(&out));
    buf_fini(&out);
}

static void hub_publish(struct rig *g, const struct mqtt_publish *p)
{
    if (p->payload.ptr[0] == 's') {
        CHECK_BYTES(p->topic, bytes_of_text("lotline/up/e1/schema"));
        atomic_fetch_add(&g->schemas, 1);
        hub_answer(g, p->packet_id, MQTT_SUCCESS);
        return;
    }
    CHECK_BYTES(p->topic, bytes_of_text("lotline/up/e1/data"));
    CHECK_EQ(p->payload.len, 1 + RECORD_BYTES);
    CHECK(atomic_load(&g->schemas) > 0);
    char text[RECORD_BYTES + 1] = {0};
    memcpy(text, p->payload.ptr + 1, RECORD_BYTES);
    uint64_t seq = strtoull(text, NULL, 10);
    unsigned n = atomic_load(&g->seen_count);
    CHECK(n < SEEN_MAX);
    g->seen[n] = seq;
    atomic_store(&g->seen_count, n + 1);
    if (g->hang_ups > 0) {
        if (++g->unanswered >= g->hang_up_after) {
            g->hang_ups--;
            g->unanswered = 0;
            conn_close(g->conn);
        }
        return;
    }
    bool refuse = seq == g->refused_seq && g->refusals > 0;
    if (refuse)
        g->refusals--;
    hub_answer(g, p->packet_id, refuse ? g->reason : MQTT_SUCCESS);
}

static void hub_packet(struct rig *g, const struct mqtt_frame *frame)
{
    struct mqtt_packet p;
    struct mqtt_fault fault;
    struct buf out = {0};
    CHECK_OK(mqtt_packet_decode(frame, MQTT_5_0, &p, &fault));
    if (p.type == MQTT_CONNECT) {
        struct mqtt_connack ack = {0};
        CHECK_OK(mqtt_connack_encode(MQTT_5_0, &ack, &out));
        (void)conn_write(g->conn, buf_bytes(&out));
    } else if (p.type == MQTT_PUBLISH) {
        hub_publish(g, &p.publish);
    }
    buf_fini(&out);
}

static void hub_data(void *ctx, struct conn *c, struct bytes data)
{
    struct rig *g = ctx;
    struct mqtt_frame frame;
    if (c != g->conn)
        return;
    CHECK_OK(buf_append_bytes(&g->rest, data));
    size_t used = 0;
    while (conn_is_open(c) && mqtt_frame_next(bytes_of(g->rest.ptr + used, g->rest.len - used),
                                              MQTT_PACKET_BYTES_USUAL, &frame) == OK) {
        used += frame.size;
        hub_packet(g, &frame);
    }
    memmove(g->rest.ptr, g->rest.ptr + used, g->rest.len - used);
    g->rest.len -= used;
}

static void hub_closed(void *ctx, struct conn *c, int err)
{
    struct rig *g = ctx;
    (void)err;
    if (c == g->conn)
        g->conn = NULL;
}

static void hub_accept(void *ctx, struct conn *c)
{
    static const struct conn_handler handler = {.on_data = hub_data, .on_close = hub_closed};
    struct rig *g = ctx;
    g->conn = c;
    g->unanswered = 0;
    buf_reset(&g->rest);
    conn_handler_set(c, &handler, g);
}

static int hub_listen(void *ctx)
{
    struct rig *g = ctx;
    return listener_open(g->loop, "127.0.0.1:0", &(struct listener_options){0}, hub_accept, g,
                         &g->listener, NULL);
}

static int hub_end(void *ctx)
{
    struct rig *g = ctx;
    listener_close(g->listener);
    if (g->conn)
        conn_close(g->conn);
    return OK;
}

/* ---------------------------------------------------------------------------------------- tests */

static void rig_open(struct rig *g)
{
    char yaml[256];
    struct diag diag = {0};
    memset(g, 0, sizeof *g);
    CHECK_OK(loop_new("hub", &g->loop));
    CHECK_OK(exec_call(g->loop, hub_listen, g));
    (void)snprintf(yaml, sizeof yaml,
                   "name: e1\nuplink: {to: \"mqtt://127.0.0.1:%u\", streams: [\"plc*\"], "
                   "in_flight_max: 16}\n",
                   listener_port(g->listener));
    CHECK_OK(config_parse("t.yaml", bytes_of_text(yaml), &g->config, &diag));
    CHECK_OK(catalogue_init(&g->catalogue, "e1"));
    CHECK_OK(uplink_new(&(struct uplink_options){.loop = g->loop, .node = "e1"}, &g->uplink));
    CHECK_OK(uplink_configure(g->uplink, g->config, &g->catalogue, &diag));
}

static void rig_start(struct rig *g)
{
    struct diag diag = {0};
    const struct uplink_log log = {&g->table,   table_rewind, table_next,  table_schema,
                                   table_watch, table_done,   table_behind};
    CHECK_OK(uplink_start(g->uplink, &log, &diag));
}

static void rig_close(struct rig *g)
{
    uplink_stop(g->uplink);
    uplink_stop(g->uplink); /* idempotent */
    uplink_free(g->uplink);
    CHECK_OK(exec_call(g->loop, hub_end, g));
    loop_free(g->loop);
    catalogue_fini(&g->catalogue);
    config_free(g->config);
    buf_fini(&g->rest);
}

/* Repeats go back, nothing goes on over a number that has not come. */
static void check_no_gap(const struct rig *g, uint64_t first)
{
    uint64_t highest = first - 1;
    for (unsigned i = 0; i < atomic_load(&g->seen_count); i++) {
        CHECK(g->seen[i] <= highest + 1);
        highest = g->seen[i] > highest ? g->seen[i] : highest;
    }
    CHECK_EQ(highest, RECORDS);
}

TEST(records_come_in_order_and_the_cursor_follows_the_acknowledgements)
{
    static struct rig g;
    struct uplink_stats stats;
    rig_open(&g);
    rig_start(&g);
    CHECK_SOON(atomic_load(&g.table.done) == RECORDS, SOON_MS);
    uplink_stats_get(g.uplink, &stats);
    CHECK(stats.connected);
    CHECK_EQ(stats.sent, RECORDS);
    CHECK_EQ(stats.acknowledged, RECORDS);
    CHECK_EQ(stats.behind, 0);
    rig_close(&g);
    CHECK_EQ(atomic_load(&g.seen_count), RECORDS);
    CHECK_EQ(atomic_load(&g.schemas), 1);
    check_no_gap(&g, 1);
}

TEST(what_a_lost_connection_took_with_it_is_sent_again_in_order)
{
    static struct rig g;
    struct uplink_stats stats;
    rig_open(&g);
    g.hang_up_after = 7;
    g.hang_ups = 2;
    rig_start(&g);
    CHECK_SOON(atomic_load(&g.table.done) == RECORDS, SOON_MS);
    uplink_stats_get(g.uplink, &stats);
    CHECK(stats.lost >= 14);
    rig_close(&g);
    CHECK(atomic_load(&g.seen_count) >= RECORDS + 14);
    CHECK_EQ(atomic_load(&g.schemas), 3); /* once a connection */
    check_no_gap(&g, 1);
}

TEST(a_refused_record_is_sent_again_and_never_passed_by)
{
    static struct rig g;
    struct uplink_stats stats;
    rig_open(&g);
    g.refused_seq = 20;
    g.refusals = 1;
    g.reason = MQTT_QUOTA_EXCEEDED;
    rig_start(&g);
    CHECK_SOON(atomic_load(&g.table.done) >= 19, SOON_MS);
    CHECK_SOON(atomic_load(&g.table.done) == RECORDS, SOON_MS);
    uplink_stats_get(g.uplink, &stats);
    CHECK_EQ(stats.refused, 1);
    CHECK_EQ(stats.skipped, 0);
    rig_close(&g);
    unsigned times = 0;
    for (unsigned i = 0; i < atomic_load(&g.seen_count); i++)
        times += g.seen[i] == 20;
    CHECK_EQ(times, 2);
    check_no_gap(&g, 1);
}

TEST(the_cursor_passes_over_what_is_not_wanted_and_what_is_gone)
{
    static struct rig g;
    struct uplink_stats stats;
    rig_open(&g);
    g.table.expired_to = 30;
    g.table.strange = RECORDS / 2; /* also the last one */
    rig_start(&g);
    CHECK_SOON(atomic_load(&g.table.done) == RECORDS, SOON_MS);
    uplink_stats_get(g.uplink, &stats);
    CHECK_EQ(stats.expired, 1);
    CHECK_EQ(stats.sent, RECORDS - 30 - 2);
    rig_close(&g);
    CHECK_EQ(g.seen[0], 31);
    for (unsigned i = 0; i < atomic_load(&g.seen_count); i++)
        CHECK(g.seen[i] % (RECORDS / 2) != 0);
}

TEST(it_ends_at_any_moment)
{
    static struct rig g;
    for (unsigned after = 0; after < 20; after++) {
        rig_open(&g);
        g.hang_up_after = UINT32_MAX;
        g.hang_ups = 1; /* never an answer */
        rig_start(&g);
        CHECK_SOON(atomic_load(&g.seen_count) >= after % 5 * 4, SOON_MS);
        rig_close(&g);
        CHECK_EQ(atomic_load(&g.table.done), 0);
    }
}
