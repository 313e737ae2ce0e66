/* The node's parts, private to app/node*.c. */
#ifndef LOTLINE_APP_NODE_PRIV_H
#define LOTLINE_APP_NODE_PRIV_H

#include "alarm/alarm.h"
#include "api/api.h"
#include "app/audit.h"
#include "app/feed.h"
#include "app/links.h"
#include "app/node.h"
#include "bridge/uplink.h"
#include "broker/broker.h"
#include "gateway/gateway.h"
#include "historian/historian.h"
#include "journal/journal.h"
#include "model/catalogue.h"
#include "model/metrics.h"
#include "source/source.h"
#include "stream/log.h"
#include "stream/stream.h"
#include "trace/trace.h"
#include "track/track.h"

#define NODE_LOOPS_MAX 64

/* The section `journal`. */
struct node_journal_options {
    int64_t flush_us;
    uint64_t waiting_bytes_max;
    uint64_t segment_bytes;
    uint64_t bytes_max;
    int64_t age_max_us;
};

/* A feed that a source has opened. */
struct node_feed {
    struct log_feed *feed;
    struct node_feed *next;
};

struct node {
    struct node_options options;
    const struct config *config;
    struct arena arena; /* paths, option texts */
    struct catalogue catalogue;
    struct exec *loops[NODE_LOOPS_MAX];
    uint32_t loop_count;
    char *data;

    struct node_journal_options journal_options;
    struct journal *journal;
    struct stream_log *log;
    struct alarm_stage *alarm;
    struct audit_bridge *audit;
    struct gateway *gateway;
    struct broker *broker;
    struct source_stage *source;
    struct track_stage *track;
    struct stream_engine *stream;
    struct historian *historian;
    struct trace *trace;
    struct uplink *uplink;
    struct uplink_receiver *receiver;
    struct api *api;
    struct metrics *metrics;
    struct exec *worker;   /* the node's own calls */
    struct exec *replayer; /* replays, one at a time */

    struct link_source link_source;
    struct link_store link_store;
    struct log_feed historian_feed;
    struct log_feed track_feed;
    struct node_feed *source_feeds;
    struct node_clock *clock; /* NULL: nobody is told */
    bool started;
};

/* node_store.c: what lies on disk. The options are read first, the journal's into the node. */
int node_store_options(struct node *n, struct historian_options *ret, struct diag *diag);
int node_store_open(struct node *n, struct diag *diag);
void node_store_close(struct node *n);

/* A path below the data directory, in the node's arena; NULL when out of memory. */
char *node_path(struct node *n, const char *name);

/* node_links.c: the uplink's two ends. */
int node_links_make(struct node *n, struct diag *diag);
int node_links_join(struct node *n);
int node_links_start(struct node *n, struct diag *diag);
void node_links_stop(struct node *n);
void node_links_end(struct node *n);
void node_links_free(struct node *n);

/* node_sources.c: streams from outside that we ask for. */
/* node_clock.c: tells when the host's clock is set. */
int node_clock_start(struct node *n, struct diag *diag);
void node_clock_stop(struct node *n);

int node_sources_make(struct node *n);
void node_sources_feeds_close(struct node *n);
int node_sources_insert(struct node *n);
int node_sources_start(struct node *n, struct diag *diag);
int node_sources_go(struct node *n, struct diag *diag);
void node_sources_collect(void *ctx, struct metrics_writer *w);

/* node_metrics.c, node_calls.c */
int node_metrics_new(struct node *n);
int node_metrics_start(struct node *n, struct diag *diag);
void node_metrics_stop(struct node *n);
void node_health(void *ctx, struct api_health *h);
int node_calls_add(struct node *n);

/* Whose password (an API token) it is; for the broker. */
int node_authenticate(void *ctx, struct bytes user, struct bytes password,
                      enum call_role *ret_role);

#endif
