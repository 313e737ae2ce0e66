/* The stages' counters at /metrics, and their health at /health. See node.h.
 *
 * The stages keep the numbers; here they get their names. A row of a table is a family with one
 * sample: lotline_STAGE_FIELD, and what only grows ends in _total. */
#include "app/node_priv.h"

#include <assert.h>
#include <stddef.h>

struct row {
    const char *name;
    enum metric_type type;
    const char *help;
    size_t offset; /* in the stage's stats */
    size_t size;   /* of a uint64_t or a bool */
};

#define ROW(name, type, help, stats, field)                                                        \
    {                                                                                              \
        name, type, help, offsetof(struct stats, field), sizeof(((struct stats *)NULL)->field)     \
    }
#define GAUGE(stage, stats, field, help)                                                           \
    ROW("lotline_" #stage "_" #field, METRIC_GAUGE, help, stats, field)
#define COUNTER(stage, stats, field, help)                                                         \
    ROW("lotline_" #stage "_" #field "_total", METRIC_COUNTER, help, stats, field)

static const struct row gateway_rows[] = {
    GAUGE(gateway, gateway_stats, devices, "Devices configured."),
    GAUGE(gateway, gateway_stats, devices_online, "Devices that answer."),
    GAUGE(gateway, gateway_stats, groups, "Groups configured."),
    GAUGE(gateway, gateway_stats, tags, "Tags configured."),
    COUNTER(gateway, gateway_stats, polls, "Poll cycles run."),
    COUNTER(gateway, gateway_stats, missed,
            "Grid points that found the cycle before still running."),
    COUNTER(gateway, gateway_stats, skipped, "Cycles not run because nobody took the values."),
    COUNTER(gateway, gateway_stats, values, "Good values delivered."),
    COUNTER(gateway, gateway_stats, requests, "Requests sent to devices."),
    COUNTER(gateway, gateway_stats, timeouts, "Requests that were not answered in time."),
    COUNTER(gateway, gateway_stats, refused, "Requests answered with an exception."),
    COUNTER(gateway, gateway_stats, late, "Answers that came after their time."),
    COUNTER(gateway, gateway_stats, faults,
            "Connections dropped because the device broke the protocol."),
    COUNTER(gateway, gateway_stats, connects, "Connections made to devices."),
    COUNTER(gateway, gateway_stats, writes, "Writes asked for."),
    COUNTER(gateway, gateway_stats, writes_failed, "Writes the device did not confirm."),
};

static const struct row broker_rows[] = {
    GAUGE(broker, broker_stats, connections, "MQTT connections now."),
    COUNTER(broker, broker_stats, connects, "MQTT connections accepted."),
    COUNTER(broker, broker_stats, refused, "MQTT connections refused."),
    GAUGE(broker, broker_stats, sessions, "MQTT sessions."),
    GAUGE(broker, broker_stats, subscriptions, "MQTT subscriptions."),
    GAUGE(broker, broker_stats, retained, "Retained messages."),
    COUNTER(broker, broker_stats, messages_in, "Messages from MQTT clients."),
    COUNTER(broker, broker_stats, messages_out, "Messages to MQTT clients."),
    COUNTER(broker, broker_stats, messages_own, "Messages published by this node itself."),
    COUNTER(broker, broker_stats, bytes_in, "Bytes from MQTT clients."),
    COUNTER(broker, broker_stats, bytes_out, "Bytes to MQTT clients."),
    COUNTER(broker, broker_stats, protocol_errors, "MQTT connections closed for a protocol error."),
    COUNTER(broker, broker_stats, denied, "MQTT publications and subscriptions not allowed."),
    GAUGE(broker, broker_stats, acks_held, "PUBACKs that wait until their message is durable."),
};

static const struct row journal_rows[] = {
    COUNTER(journal, journal_log_stats, records, "Records appended to the log of streams."),
    COUNTER(journal, journal_log_stats, bytes, "Bytes of payload appended."),
    COUNTER(journal, journal_log_stats, commits, "Group commits (fdatasync)."),
    GAUGE(journal, journal_log_stats, segments, "Segment files."),
    GAUGE(journal, journal_log_stats, file_bytes, "Bytes of segment files."),
    GAUGE(journal, journal_log_stats, cut_bytes, "Bytes of a torn tail cut at the last opening."),
    COUNTER(journal, journal_log_stats, expired,
            "Records deleted before a consumer had read them."),
    COUNTER(journal, journal_log_stats, refused, "Appends refused for want of space."),
};

static const struct row log_rows[] = {
    COUNTER(log, stream_log_stats, batches, "Batches of this node's durable streams appended."),
    COUNTER(log, stream_log_stats, rows, "Rows of these."),
    COUNTER(log, stream_log_stats, remote_records, "Records of other nodes appended."),
    COUNTER(log, stream_log_stats, remote_repeats,
            "Records of other nodes that were there already."),
    COUNTER(log, stream_log_stats, key_repeats,
            "Outputs of rules and tracks that were there already."),
    GAUGE(log, stream_log_stats, waiting, "Streams whose batch waits for space or credit."),
};

static const struct row stream_rows[] = {
    COUNTER(stream, stream_engine_stats, messages, "MQTT messages decoded into streams."),
    COUNTER(stream, stream_engine_stats, malformed, "Messages left out because they are no JSON."),
    COUNTER(stream, stream_engine_stats, imports, "MQTT messages with values of the past."),
    COUNTER(stream, stream_engine_stats, imports_refused, "Imports refused whole."),
    COUNTER(stream, stream_engine_stats, import_rows, "Rows of the past taken into groups."),
};

static const struct row historian_rows[] = {
    COUNTER(historian, historian_stats, records, "Records of the log read by the historian."),
    COUNTER(historian, historian_stats, points, "Points committed."),
    COUNTER(historian, historian_stats, commits, "Commits."),
    COUNTER(historian, historian_stats, failures, "Commits that failed and were tried again."),
    COUNTER(historian, historian_stats, lost_records,
            "Records gone before the historian had read them."),
    COUNTER(historian, historian_stats, queries, "Queries of people."),
    GAUGE(historian, historian_stats, waiting_points, "Points that wait for their commit."),
};

static const struct row uplink_rows[] = {
    GAUGE(uplink, uplink_stats, connected, "Whether the hub is connected."),
    COUNTER(uplink, uplink_stats, sent, "Records sent to the hub, repeats included."),
    COUNTER(uplink, uplink_stats, acknowledged, "Records the hub has acknowledged."),
    COUNTER(uplink, uplink_stats, bytes, "Bytes sent to the hub."),
    COUNTER(uplink, uplink_stats, lost, "Publications whose answer was lost."),
    COUNTER(uplink, uplink_stats, refused, "Publications the hub refused."),
    COUNTER(uplink, uplink_stats, skipped, "Records given up after repeated refusal."),
    COUNTER(uplink, uplink_stats, expired, "Records gone before they were sent."),
    GAUGE(uplink, uplink_stats, behind, "Records the hub has not acknowledged yet."),
};

static const struct row track_rows[] = {
    COUNTER(track, track_stats, records, "Records read by the tracks."),
    COUNTER(track, track_stats, presences, "Presences emitted."),
    COUNTER(track, track_stats, exact, "Presences whose identity was read inside the interval."),
    COUNTER(track, track_stats, inferred, "Presences whose identity was inferred."),
    COUNTER(track, track_stats, ambiguous, "Presences with several possible units."),
    COUNTER(track, track_stats, missing, "Presences whose interval is not wholly known."),
    COUNTER(track, track_stats, ghosts, "Pulses without a unit, and units that nobody saw come."),
    COUNTER(track, track_stats, lost, "Units that did not come out where they should."),
    COUNTER(track, track_stats, hurried,
            "Pulses of a line that were decided before their codes, since too many waited."),
    COUNTER(track, track_stats, bounces, "Pulses that were the echo of another one."),
    COUNTER(track, track_stats, late, "Readings of a belt behind what was decided already."),
    COUNTER(track, track_stats, twice,
            "Presences whose serial another unit bore elsewhere meanwhile."),
    COUNTER(track, track_stats, clock_steps, "Steps of devices' clocks that were found."),
    COUNTER(track, track_stats, clock_waits,
            "Readings that went on before their clock's next event."),
    COUNTER(track, track_stats, lost_records, "Records gone before the tracks had read them."),
};

/* ---------------------------------------------------------------------------------------- stages
 */

union stats {
    struct journal_log_stats journal;
    struct stream_log_stats log;
    struct stream_engine_stats stream;
    struct gateway_stats gateway;
    struct broker_stats broker;
    struct historian_stats historian;
    struct uplink_stats uplink;
    struct track_stats track;
};

static void journal_read(const struct node *n, union stats *ret)
{
    journal_log_stats(stream_log_journal(n->log), &ret->journal);
}

static void log_read(const struct node *n, union stats *ret)
{
    stream_log_stats(n->log, &ret->log);
}

static void gateway_read(const struct node *n, union stats *ret)
{
    gateway_stats_get(n->gateway, &ret->gateway);
}

static void broker_read(const struct node *n, union stats *ret)
{
    broker_stats_get(n->broker, &ret->broker);
}

static void stream_read(const struct node *n, union stats *ret)
{
    stream_engine_stats_get(n->stream, &ret->stream);
}

static void historian_read(const struct node *n, union stats *ret)
{
    historian_stats_get(n->historian, &ret->historian);
}

static void uplink_read(const struct node *n, union stats *ret)
{
    uplink_stats_get(n->uplink, &ret->uplink);
}

static void track_read(const struct node *n, union stats *ret)
{
    track_stats_get(n->track, &ret->track);
}

static void broker_print_dropped(struct metrics_writer *w, const union stats *stats)
{
    metrics_family(w, "lotline_broker_dropped_total", METRIC_COUNTER,
                   "Messages dropped, by reason.");
    for (int i = 0; i < BROKER_DROP_COUNT; i++) {
        struct metric_label label = {"reason", broker_drop_name((enum broker_drop)i)};
        metrics_u64(w, &label, 1, stats->broker.dropped[i]);
    }
}

struct metrics_stage {
    size_t offset; /* of the stage in struct node */
    void (*read)(const struct node *n, union stats *ret);
    const struct row *rows;
    size_t count;
    void (*print_more)(struct metrics_writer *w, const union stats *stats); /* may be NULL */
};

#define STAGE(member, read, rows, more)                                                            \
    {                                                                                              \
        offsetof(struct node, member), read, rows, sizeof rows / sizeof rows[0], more              \
    }

/* In the order of /metrics. */
static const struct metrics_stage stages[] = {
    STAGE(log, journal_read, journal_rows, NULL),
    STAGE(log, log_read, log_rows, NULL),
    STAGE(gateway, gateway_read, gateway_rows, NULL),
    STAGE(broker, broker_read, broker_rows, broker_print_dropped),
    STAGE(stream, stream_read, stream_rows, NULL),
    STAGE(historian, historian_read, historian_rows, NULL),
    STAGE(uplink, uplink_read, uplink_rows, NULL),
    STAGE(track, track_read, track_rows, NULL),
};

static bool stage_runs(const struct node *n, const struct metrics_stage *s)
{
    const void *stage = NULL;
    memcpy(&stage, (const char *)n + s->offset, sizeof stage);
    return stage != NULL;
}

static void print_row(struct metrics_writer *w, const struct row *row, const union stats *stats)
{
    const char *field = (const char *)stats + row->offset;
    uint64_t value = 0;
    bool flag = false;
    if (row->size == sizeof flag) {
        memcpy(&flag, field, sizeof flag);
        value = flag;
    } else {
        assert(row->size == sizeof value);
        memcpy(&value, field, sizeof value);
    }
    metrics_one(w, row->name, row->type, row->help, value);
}

/* The stages that run, and nothing that does not. */
static void collect_stages(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        const struct metrics_stage *s = &stages[i];
        union stats stats;
        if (!stage_runs(n, s))
            continue;
        s->read(n, &stats);
        for (size_t k = 0; k < s->count; k++)
            print_row(w, &s->rows[k], &stats);
        if (s->print_more)
            s->print_more(w, &stats);
    }
}

int node_metrics_new(struct node *n)
{
    int err = metrics_new(&n->metrics);
    if (!err)
        err = metrics_add(n->metrics, metrics_process, NULL);
    return err;
}

/* After the start. */
int node_metrics_start(struct node *n, struct diag *diag)
{
    (void)diag;
    int err = metrics_add(n->metrics, node_sources_collect, n);
    return err ? err : metrics_add(n->metrics, collect_stages, n);
}

/* Before the stages end. */
void node_metrics_stop(struct node *n)
{
    metrics_remove(n->metrics, node_sources_collect, n);
    metrics_remove(n->metrics, collect_stages, n);
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
