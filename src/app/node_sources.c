/* Sources on the node: their alarms, their state, their place between log and rules. */
#include "app/node_priv.h"
#include "base/log.h"
#include "journal/state.h"

static void hook_alarm(void *ctx, const char *name, const char *text)
{
    struct node *n = ctx;
    if (text)
        log_warn("source", "%s: %s", name, text);
    if (n->alarm && text)
        alarm_raise(n->alarm, name, ALARM_MAJOR, "source", text);
    else if (n->alarm)
        alarm_clear(n->alarm, name, "source");
}

static int hook_get(void *ctx, struct bytes key, struct buf *ret)
{
    return state_get(((struct node *)ctx)->journal, key, ret);
}

static int hook_put(void *ctx, struct bytes key, struct bytes value)
{
    return state_put(((struct node *)ctx)->journal, key, value);
}

static int hook_remove(void *ctx, struct bytes key)
{
    return state_remove(((struct node *)ctx)->journal, key);
}

static int hook_each(void *ctx, struct bytes prefix,
                     int (*fn)(void *ctx, struct bytes key, struct bytes value), void *fn_ctx)
{
    return state_each(((struct node *)ctx)->journal, prefix, fn, fn_ctx);
}

static int hook_feed(void *ctx, const char *name, struct feed *ret)
{
    struct node *n = ctx;
    struct log_feed *f = arena_alloc(&n->arena, sizeof *f);
    struct node_feed *link = f ? arena_alloc(&n->arena, sizeof *link) : NULL;
    int err = link ? log_feed_open(f, n->log, name) : ERR_NOMEM;
    if (err)
        return err;
    *link = (struct node_feed){.feed = f, .next = n->source_feeds};
    n->source_feeds = link;
    *ret = f->feed;
    return OK;
}

void node_sources_feeds_close(struct node *n)
{
    for (struct node_feed *f = n->source_feeds; f; f = f->next)
        log_feed_close(f->feed);
    n->source_feeds = NULL;
}

int node_sources_make(struct node *n)
{
    struct source_options options = {
        .hooks =
            {
                .ctx = n,
                .alarm = hook_alarm,
                .state_get = hook_get,
                .state_put = hook_put,
                .state_remove = hook_remove,
                .state_each = hook_each,
                .feed_open = hook_feed,
            },
    };
    return source_stage_new(&options, &n->source);
}

int node_sources_insert(struct node *n)
{
    struct outlet *producer = NULL;
    struct stream *s;
    bool keyed = false;
    for (uint32_t i = 0; (s = source_stage_output(n->source, i, &producer, &keyed)) != NULL; i++)
        if (s->durable && !stream_log_insert(n->log, s, producer, keyed ? STREAM_LOG_KEYED : 0))
            return ERR_NOMEM;
    return OK;
}

int node_sources_start(struct node *n, struct diag *diag)
{
    return source_stage_start(n->source, diag);
}

int node_sources_go(struct node *n, struct diag *diag)
{
    (void)diag;
    source_stage_go(n->source);
    return OK;
}

/* --------------------------------------------------------------------------------------- metrics
 */

struct source_metric {
    const char *name;
    const char *help;
    size_t offset;
    bool lookups; /* of lookups alone */
};

#define SOURCE_METRIC(name_, field_, lookups_, help_)                                              \
    {                                                                                              \
        .name = "lotline_source_" name_, .help = help_,                                            \
        .offset = offsetof(struct source_stats, field_), .lookups = lookups_                       \
    }

static const struct source_metric metrics[] = {
    SOURCE_METRIC("reads_total", reads, false, "Answers and parts of files that were read."),
    SOURCE_METRIC("failures_total", failures, false, "Answers or folders that could not be read."),
    SOURCE_METRIC("rows_total", rows, false, "Rows of sources."),
    SOURCE_METRIC("broken_rows_total", broken_rows, false, "Lines of files that were left out."),
    SOURCE_METRIC("lookup_unloaded_total", lookup_unloaded, true,
                  "Rows that asked a lookup before it had loaded."),
    SOURCE_METRIC("lookup_missed_total", lookup_missed, true,
                  "Rows whose key a lookup did not have at their time."),
};

static const struct {
    const char *name;
    const char *help;
    size_t offset;
} post_metrics[] = {
    {"lotline_rule_http_sent_total", "Rows of rules that another system was told of.",
     offsetof(struct source_post_stats, told)},
    {"lotline_rule_http_refused_total", "Rows that the other system refused for good.",
     offsetof(struct source_post_stats, refused)},
    {"lotline_rule_http_old_total", "Rows too old to be told (max_age).",
     offsetof(struct source_post_stats, old)},
};

static void posts_collect(const struct node *n, struct metrics_writer *w)
{
    struct source_post_stats stats;
    if (!source_stage_post_stats(n->source, 0, &stats))
        return;
    for (size_t m = 0; m < sizeof post_metrics / sizeof post_metrics[0]; m++) {
        metrics_family(w, post_metrics[m].name, METRIC_COUNTER, post_metrics[m].help);
        for (uint32_t i = 0; source_stage_post_stats(n->source, i, &stats); i++) {
            struct metric_label label = {"rule", stats.rule};
            metrics_u64(
                w, &label, 1,
                *(const uint64_t *)(const void *)((const char *)&stats + post_metrics[m].offset));
        }
    }
}

void node_sources_collect(void *ctx, struct metrics_writer *w)
{
    const struct node *n = ctx;
    struct source_stats stats;
    posts_collect(n, w);
    if (!source_stage_stats(n->source, 0, &stats))
        return;
    for (size_t m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
        metrics_family(w, metrics[m].name, METRIC_COUNTER, metrics[m].help);
        for (uint32_t i = 0; source_stage_stats(n->source, i, &stats); i++) {
            struct metric_label label = {"stream", stats.name};
            uint64_t value =
                *(const uint64_t *)(const void *)((const char *)&stats + metrics[m].offset);
            if (!metrics[m].lookups || stats.is_lookup)
                metrics_u64(w, &label, 1, value);
        }
    }
}
