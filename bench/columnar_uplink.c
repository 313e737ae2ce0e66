/* Batches from an edge's log into a hub's log.
 *
 * Both nodes' parts stand in this process, joined as a node joins them: the edge's log, the
 * uplink's sender on a loop of its own, TCP over loopback, the hub's broker on another loop, the
 * receiver, the hub's log. The clock runs from the first push at the edge until the sender has the
 * last PUBACK, which the hub gives when the record is durable there: every value is encoded once,
 * written and synced twice. The bytes are all that went over the connection in both directions, as
 * the broker counts them: records, their heads, MQTT's, and the acknowledgements.
 */
#include "app/links.h"
#include "bench/bench.h"
#include "bench/columnar.h"
#include "bench/node.h"
#include "broker/broker.h"
#include "net/loop.h"

struct hub {
    struct bench_node node;
    struct exec *loop;
    struct catalogue catalogue;
    struct config *config;
    struct link_store store;
    struct uplink_receiver *receiver;
    struct broker *broker;
};

struct edge {
    struct bench_node node;
    struct exec *loop;
    struct catalogue catalogue;
    struct config *config;
    struct link_source source;
    void (*source_done)(void *ctx, struct position at);
    struct bench_progress acknowledged;
    struct uplink *uplink;
};

static void hub_open(struct hub *h, const char *dir)
{
    static const char yaml[] = "name: hub\nlisten: {mqtt: \"127.0.0.1:0\"}\n";
    struct diag diag = {0};
    struct uplink_store store;
    bench_node_open(&h->node, dir, "hub", NULL);
    bench_must(config_parse("hub.yaml", bytes_of_text(yaml), &h->config, &diag), "hub", diag.text);
    bench_must(catalogue_init(&h->catalogue, "hub"), "hub", NULL);
    bench_must(loop_new("hub", &h->loop), "hub", NULL);
    struct broker_options options = {.exec = h->loop, .journal = h->node.journal};
    bench_must(broker_new(&options, &h->broker), "hub", NULL);
    bench_must(broker_configure(h->broker, h->config, &h->catalogue, &diag), "hub", diag.text);
    link_store_init(&h->store, h->node.log, h->node.journal, &store);
    bench_must(uplink_receiver_new(&store, &h->receiver), "hub", NULL);
    bench_must(
        broker_subscribe_flow(h->broker, UPLINK_TOPIC_FILTER, uplink_receiver_flow(h->receiver)),
        "hub", NULL);
    bench_must(broker_start(h->broker, &diag), "hub", diag.text);
}

static void hub_close(struct hub *h)
{
    broker_stop(h->broker);
    uplink_receiver_free(h->receiver);
    broker_free(h->broker);
    bench_node_close(&h->node);
    catalogue_fini(&h->catalogue);
    loop_free(h->loop);
    config_free(h->config);
}

static void edge_done(void *ctx, struct position at)
{
    struct edge *e = CONTAINER_OF(ctx, struct edge, source);
    e->source_done(ctx, at);
    bench_progress_set(&e->acknowledged, at);
}

static void edge_open(struct edge *e, const char *dir, const struct schema *schema, uint16_t port)
{
    char yaml[128];
    struct diag diag = {0};
    struct uplink_log log;
    bench_progress_init(&e->acknowledged);
    bench_node_open(&e->node, dir, "edge", schema);
    (void)snprintf(yaml, sizeof yaml,
                   "name: edge\nuplink: {to: \"mqtt://127.0.0.1:%u\", streams: [\"*\"]}\n", port);
    bench_must(config_parse("edge.yaml", bytes_of_text(yaml), &e->config, &diag), "edge",
               diag.text);
    bench_must(catalogue_init(&e->catalogue, "edge"), "edge", NULL);
    bench_must(loop_new("edge", &e->loop), "edge", NULL);
    struct uplink_options options = {.loop = e->loop, .node = "edge"};
    bench_must(uplink_new(&options, &e->uplink), "edge", NULL);
    bench_must(uplink_configure(e->uplink, e->config, &e->catalogue, &diag), "edge", diag.text);
    bench_must(link_source_open(&e->source, e->node.log, &log), "edge", NULL);
    e->source_done = log.done;
    log.done = edge_done;
    bench_must(uplink_start(e->uplink, &log, &diag), "edge", diag.text);
}

static void edge_close(struct edge *e)
{
    uplink_stop(e->uplink);
    uplink_free(e->uplink);
    link_source_close(&e->source);
    bench_node_close(&e->node);
    catalogue_fini(&e->catalogue);
    loop_free(e->loop);
    config_free(e->config);
    bench_progress_fini(&e->acknowledged);
}

static double wire_bytes(const struct hub *h)
{
    struct broker_stats stats;
    broker_stats_get(h->broker, &stats);
    return (double)(stats.bytes_in + stats.bytes_out);
}

/* Seconds until `count` batches are in both logs and the edge knows. */
static double round_run(struct edge *e, const struct columnar_shape *s, uint32_t count)
{
    double start = bench_now_s();
    struct position last = bench_node_append(&e->node, s->batches, COLUMNAR_BATCHES, count);
    bench_progress_wait(&e->acknowledged, last);
    return bench_now_s() - start;
}

/* A link that broke, or a record sent twice, would make the figures another thing's. */
static void check_once(const struct edge *e, const struct hub *h, uint64_t records)
{
    char text[160];
    struct uplink_stats sent;
    struct stream_log_stats stored;
    uplink_stats_get(e->uplink, &sent);
    stream_log_stats(h->node.log, &stored);
    (void)snprintf(
        text, sizeof text, "of %llu records %llu were sent, %llu stored, %llu of them repeats",
        (unsigned long long)records, (unsigned long long)sent.sent,
        (unsigned long long)stored.remote_records, (unsigned long long)stored.remote_repeats);
    bool once = sent.sent == records && stored.remote_records == records && !stored.remote_repeats;
    bench_must(once ? OK : ERR_CONFLICT, "uplink", text);
}

void columnar_uplink_measure(const struct columnar_shape *s, const char *dir)
{
    static struct edge edge;
    static struct hub hub;
    double ns[COLUMNAR_ROUNDS];
    uint32_t count = columnar_round_batches(s);
    double values = (double)count * s->columns * s->rows;
    hub_open(&hub, dir);
    edge_open(&edge, dir, s->schema, broker_port(hub.broker));
    (void)round_run(&edge, s, count); /* connects, sends the schema */
    double bytes = wire_bytes(&hub);
    for (int i = 0; i < COLUMNAR_ROUNDS; i++)
        ns[i] = round_run(&edge, s, count) / values * 1e9;
    bytes = wire_bytes(&hub) - bytes;
    check_once(&edge, &hub, (uint64_t)count * (COLUMNAR_ROUNDS + 1));
    columnar_print(s, "uplink, MQTT both ways", bytes / (values * COLUMNAR_ROUNDS), "B/value");
    columnar_print(s, "uplink, batch to acknowledged by the hub", bench_median(ns, COLUMNAR_ROUNDS),
                   "ns/value");
    edge_close(&edge);
    hub_close(&hub);
}
