/* The stages' counters at /metrics, and their health at /health. See node.h.
 *
 * The stages keep the numbers; here they get their names. A row of a table is a family with one
 * sample. */
#include "app/node_priv.h"

#include <stddef.h>

struct row {
    const char *name;
    enum metric_type type;
    const char *help;
    size_t offset; /* of a uint64_t in the stage's stats */
};

static void print_rows(struct metrics_writer *w, const struct row *rows, size_t count,
                       const void *stats)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)stats + rows[i].offset, sizeof value);
        metrics_one(w, rows[i].name, rows[i].type, rows[i].help, value);
    }
}

#define ROWS(rows) rows, sizeof rows / sizeof rows[0]

static const struct row gateway_rows[] = {
#define G(field, type, help)                                                                       \
    {                                                                                              \
        "lotline_gateway_" #field, type, help, offsetof(struct gateway_stats, field)               \
    }
#define GT(field, help)                                                                            \
    {                                                                                              \
        "lotline_gateway_" #field "_total", METRIC_COUNTER, help,                                  \
            offsetof(struct gateway_stats, field)                                                  \
    }
    G(devices, METRIC_GAUGE, "Devices configured."),
    G(devices_online, METRIC_GAUGE, "Devices that answer."),
    G(groups, METRIC_GAUGE, "Groups configured."),
    G(tags, METRIC_GAUGE, "Tags configured."),
    GT(polls, "Poll cycles run."),
    GT(missed, "Grid points that found the cycle before still running."),
    GT(skipped, "Cycles not run because nobody took the values."),
    GT(values, "Good values delivered."),
    GT(requests, "Requests sent to devices."),
    GT(timeouts, "Requests that were not answered in time."),
    GT(refused, "Requests answered with an exception."),
    GT(late, "Answers that came after their time."),
    GT(faults, "Connections dropped because the device broke the protocol."),
    GT(connects, "Connections made to devices."),
    GT(writes, "Writes asked for."),
    GT(writes_failed, "Writes the device did not confirm."),
#undef G
#undef GT
};

static void collect_gateway(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct gateway_stats stats;
    gateway_stats_get(n->gateway, &stats);
    print_rows(w, ROWS(gateway_rows), &stats);
}

static const struct row broker_rows[] = {
#define B(field, help)                                                                             \
    {                                                                                              \
        "lotline_broker_" #field, METRIC_GAUGE, help, offsetof(struct broker_stats, field)         \
    }
#define BT(field, help)                                                                            \
    {                                                                                              \
        "lotline_broker_" #field "_total", METRIC_COUNTER, help,                                   \
            offsetof(struct broker_stats, field)                                                   \
    }
    B(connections, "MQTT connections now."),
    BT(connects, "MQTT connections accepted."),
    BT(refused, "MQTT connections refused."),
    B(sessions, "MQTT sessions."),
    B(subscriptions, "MQTT subscriptions."),
    B(retained, "Retained messages."),
    BT(messages_in, "Messages from MQTT clients."),
    BT(messages_out, "Messages to MQTT clients."),
    BT(messages_own, "Messages published by this node itself."),
    BT(bytes_in, "Bytes from MQTT clients."),
    BT(bytes_out, "Bytes to MQTT clients."),
    BT(protocol_errors, "MQTT connections closed for a protocol error."),
    BT(denied, "MQTT publications and subscriptions not allowed."),
    B(acks_held, "PUBACKs that wait until their message is durable."),
#undef B
#undef BT
};

static void collect_broker(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct broker_stats stats;
    broker_stats_get(n->broker, &stats);
    print_rows(w, ROWS(broker_rows), &stats);
    metrics_family(w, "lotline_broker_dropped_total", METRIC_COUNTER,
                   "Messages dropped, by reason.");
    for (int i = 0; i < BROKER_DROP_COUNT; i++) {
        struct metric_label label = {"reason", broker_drop_name((enum broker_drop)i)};
        metrics_u64(w, &label, 1, stats.dropped[i]);
    }
}

static const struct row journal_rows[] = {
#define J(name, type, field, help)                                                                 \
    {                                                                                              \
        "lotline_journal_" name, type, help, offsetof(struct journal_log_stats, field)             \
    }
    J("records_total", METRIC_COUNTER, records, "Records appended to the log of streams."),
    J("bytes_total", METRIC_COUNTER, bytes, "Bytes of payload appended."),
    J("commits_total", METRIC_COUNTER, commits, "Group commits (fdatasync)."),
    J("segments", METRIC_GAUGE, segments, "Segment files."),
    J("file_bytes", METRIC_GAUGE, file_bytes, "Bytes of segment files."),
    J("cut_bytes", METRIC_GAUGE, cut_bytes, "Bytes of a torn tail cut at the last opening."),
    J("expired_total", METRIC_COUNTER, expired, "Records deleted before a consumer had read them."),
    J("refused_total", METRIC_COUNTER, refused, "Appends refused for want of space."),
#undef J
};

static const struct row log_rows[] = {
#define L(field, help)                                                                             \
    {                                                                                              \
        "lotline_log_" #field "_total", METRIC_COUNTER, help,                                      \
            offsetof(struct stream_log_stats, field)                                               \
    }
    L(batches, "Batches of this node's durable streams appended."),
    L(rows, "Rows of these."),
    L(remote_records, "Records of other nodes appended."),
    L(remote_repeats, "Records of other nodes that were there already."),
    L(key_repeats, "Outputs of rules and tracks that were there already."),
#undef L
};

static void collect_log(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct journal_log_stats journal;
    struct stream_log_stats log;
    journal_log_stats(stream_log_journal(n->log), &journal);
    stream_log_stats(n->log, &log);
    print_rows(w, ROWS(journal_rows), &journal);
    print_rows(w, ROWS(log_rows), &log);
    metrics_one(w, "lotline_log_waiting", METRIC_GAUGE,
                "Streams whose batch waits for space or credit.", log.waiting);
}

static const struct row historian_rows[] = {
#define H(field, type, suffix, help)                                                               \
    {                                                                                              \
        "lotline_historian_" #field suffix, type, help, offsetof(struct historian_stats, field)    \
    }
    H(records, METRIC_COUNTER, "_total", "Records of the log read by the historian."),
    H(points, METRIC_COUNTER, "_total", "Points committed."),
    H(commits, METRIC_COUNTER, "_total", "Commits."),
    H(failures, METRIC_COUNTER, "_total", "Commits that failed and were tried again."),
    H(lost_records, METRIC_COUNTER, "_total", "Records gone before the historian had read them."),
    H(queries, METRIC_COUNTER, "_total", "Queries of people."),
    H(waiting_points, METRIC_GAUGE, "", "Points that wait for their commit."),
#undef H
};

static void collect_historian(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct historian_stats stats;
    historian_stats_get(n->historian, &stats);
    print_rows(w, ROWS(historian_rows), &stats);
}

static const struct row uplink_rows[] = {
#define U(field, type, suffix, help)                                                               \
    {                                                                                              \
        "lotline_uplink_" #field suffix, type, help, offsetof(struct uplink_stats, field)          \
    }
    U(sent, METRIC_COUNTER, "_total", "Records sent to the hub, repeats included."),
    U(acknowledged, METRIC_COUNTER, "_total", "Records the hub has acknowledged."),
    U(bytes, METRIC_COUNTER, "_total", "Bytes sent to the hub."),
    U(lost, METRIC_COUNTER, "_total", "Publications whose answer was lost."),
    U(refused, METRIC_COUNTER, "_total", "Publications the hub refused."),
    U(skipped, METRIC_COUNTER, "_total", "Records given up after repeated refusal."),
    U(expired, METRIC_COUNTER, "_total", "Records gone before they were sent."),
    U(behind, METRIC_GAUGE, "", "Records the hub has not acknowledged yet."),
#undef U
};

static void collect_uplink(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct uplink_stats stats;
    uplink_stats_get(n->uplink, &stats);
    metrics_one(w, "lotline_uplink_connected", METRIC_GAUGE, "Whether the hub is connected.",
                stats.connected);
    print_rows(w, ROWS(uplink_rows), &stats);
}

static const struct row track_rows[] = {
#define T(field, help)                                                                             \
    {                                                                                              \
        "lotline_track_" #field "_total", METRIC_COUNTER, help,                                    \
            offsetof(struct track_stats, field)                                                    \
    }
    T(records, "Records read by the tracks."),
    T(presences, "Presences emitted."),
    T(exact, "Presences whose identity was read inside the interval."),
    T(inferred, "Presences whose identity was inferred."),
    T(ambiguous, "Presences with several possible units."),
    T(missing, "Presences whose interval is not wholly known."),
    T(lost_records, "Records gone before the tracks had read them."),
#undef T
};

static void collect_track(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct track_stats stats;
    track_stats_get(n->track, &stats);
    print_rows(w, ROWS(track_rows), &stats);
}

int node_metrics_new(struct node *n)
{
    int err = metrics_new(&n->metrics);
    if (!err)
        err = metrics_add(n->metrics, metrics_process, NULL);
    return err;
}

/* After the start: the stages that run, and nothing that does not. */
int node_metrics_start(struct node *n, struct diag *diag)
{
    (void)diag;

    const struct {
        const void *stage;
        metrics_collect_fn collect;
    } rows[] = {
        {n->log, collect_log},       {n->gateway, collect_gateway},
        {n->broker, collect_broker}, {n->historian, collect_historian},
        {n->uplink, collect_uplink}, {n->track, collect_track},
    };

    int err = OK;
    for (size_t i = 0; !err && i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].stage)
            err = metrics_add(n->metrics, rows[i].collect, n);
    }
    return err;
}

/* Before the stages end. */
void node_metrics_stop(struct node *n)
{
    static const metrics_collect_fn collectors[] = {
        collect_log,       collect_gateway, collect_broker,
        collect_historian, collect_uplink,  collect_track,
    };
    for (size_t i = 0; i < sizeof collectors / sizeof collectors[0]; i++)
        metrics_remove(n->metrics, collectors[i], n);
}

/* --------------------------------------------------------------------------------------- health */

void node_health(void *ctx, struct api_health *h)
{
    const struct node *n = ctx;
    if (n->log) {
        struct journal_log_stats log;
        journal_log_stats(stream_log_journal(n->log), &log);
        api_health_module(h, "journal", !log.err, log.err ? err_text(log.err) : "");
    }
    if (n->historian) {
        struct historian_stats stats;
        historian_stats_get(n->historian, &stats);
        api_health_module(h, "historian", !stats.err, stats.err ? err_text(stats.err) : "");
    }
    if (n->gateway) {
        struct gateway_stats stats;
        gateway_stats_get(n->gateway, &stats);
        bool all = stats.devices_online == stats.devices;
        api_health_module(h, "gateway", true, all ? "" : "some devices do not answer");
    }
    if (n->uplink) {
        struct uplink_stats stats;
        uplink_stats_get(n->uplink, &stats);
        api_health_module(h, "uplink", true, stats.connected ? "" : "the hub is not connected");
    }
}
