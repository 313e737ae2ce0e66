/* How the parts of a node are joined. See node.h, and ARCHITECTURE.md for the picture.
 *
 * Everything finds everything by name in the catalogue, so this file is a list: make, configure,
 * put the log between durable producers and their readers, start in the order in which data flows
 * backwards (stores first, devices last), stop in reverse.
 */
#include "app/node_priv.h"
#include "app/replay.h"
#include "base/log.h"
#include "net/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool has(const struct node *n, enum config_module module)
{
    return config_has_module(n->config, module);
}

/* ------------------------------------------------------------------------------------------ new */

static int loops_start(struct node *n)
{
    uint32_t count = config_loops(n->config);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (count == 0)
        count = cores > 0 ? (uint32_t)cores : 1;
    if (count > NODE_LOOPS_MAX)
        count = NODE_LOOPS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "loop%u", i);
        int err = loop_new(name, &n->loops[i]);
        if (err)
            return err;
        n->loop_count++;
    }
    return OK;
}

int node_new(const struct node_options *options, struct node **ret)
{
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return ERR_NOMEM;
    n->options = *options;
    n->config = options->config;
    n->data = strdup(options->data);
    int err = n->data ? catalogue_init(&n->catalogue, config_name(n->config)) : ERR_NOMEM;
    if (!err)
        err = loops_start(n);
    if (err) {
        node_free(n);
        return err;
    }
    *ret = n;
    return OK;
}

/* ------------------------------------------------------------------------------------ configure */

static int make_alarm_and_gateway(struct node *n)
{
    int err = OK;
    if (has(n, MODULE_ALARM)) {
        err = alarm_new(&(struct alarm_options){0}, &n->alarm);
        if (!err)
            err = audit_bridge_new(n->alarm, n->loops[0], &n->audit);
    }
    if (!err && has(n, MODULE_GATEWAY)) {
        struct gateway_options options = {
            .loops = n->loops,
            .loop_count = n->loop_count,
            .audit = n->audit ? audit_bridge_hooks(n->audit) : NULL,
        };
        err = gateway_new(&options, &n->gateway);
    }
    return err;
}

static void track_alarm(void *ctx, const char *name, const char *source, const char *text)
{
    struct node *n = ctx;
    if (n->alarm && text)
        alarm_raise(n->alarm, name, ALARM_MAJOR, source, text);
    else if (n->alarm)
        alarm_clear(n->alarm, name, source);
}

static int make_stages(struct node *n)
{
    int err = make_alarm_and_gateway(n);
    if (!err && has(n, MODULE_BROKER))
        err = broker_new(&(struct broker_options){.exec = n->loops[0]}, &n->broker);
    if (!err)
        err = node_sources_make(n);
    if (!err && has(n, MODULE_TRACK))
        err = track_new(
            &(struct track_options){.node = n->catalogue.node, .alarm = track_alarm, .ctx = n},
            &n->track);
    if (!err && has(n, MODULE_STREAM)) {
        struct stream_engine_options options = {.loops = n->loops, .loop_count = n->loop_count};
        err = stream_engine_new(&options, &n->stream);
    }
    return err;
}

static void historian_state(void *ctx, int err, const char *text)
{
    struct node *n = ctx;
    if (err)
        log_error("historian", "%s", text);
    else
        log_info("historian", "writing again");
    if (n->alarm && err)
        alarm_raise(n->alarm, "historian", ALARM_MAJOR, "node", text);
    else if (n->alarm)
        alarm_clear(n->alarm, "historian", "node");
}

static int make_stores(struct node *n, struct diag *diag)
{
    struct historian_options options;
    int err = node_store_options(n, &options, diag);
    if (err || !has(n, MODULE_HISTORIAN))
        return err;
    options.path = "";
    options.on_state = historian_state;
    options.ctx = n;
    err = historian_new(&options, &n->historian);
    if (!err && has(n, MODULE_TRACE))
        err = trace_new(&(struct trace_options){.historian = n->historian}, &n->trace);
    return err;
}

static void api_changed(void *ctx, const struct api_change *change)
{
    struct node *n = ctx;
    if (n->audit)
        audit_bridge_change(n->audit, change);
}

static int make_api(struct node *n)
{
    int err = node_metrics_new(n);
    if (err || !has(n, MODULE_API))
        return err;
    struct api_options options = {
        .data = n->data,
        .console = n->options.console_dir,
        .version = LOTLINE_VERSION,
        .metrics = n->metrics,
        .health = node_health,
        .changed = api_changed,
        .ctx = n,
    };
    return api_new(&options, &n->api);
}

/* Producers before consumers: a rule must find the streams that it reads. */
static int configure_producers(struct node *n, struct diag *diag)
{
    struct catalogue *c = &n->catalogue;
    int err = OK;
    if (n->alarm)
        err = alarm_configure(n->alarm, n->config, c, diag);
    if (!err && n->gateway)
        err = gateway_configure(n->gateway, n->config, c, diag);
    if (!err && n->broker)
        err = broker_configure(n->broker, n->config, c, diag);
    if (!err)
        err = source_stage_configure(n->source, n->config, c, diag);
    if (!err && n->track)
        err = track_configure(n->track, n->config, c, diag);
    if (!err && n->stream)
        err = stream_engine_configure(n->stream, n->config, c, diag);
    return err;
}

/* The rows of a rule with a historian action are kept as points. */
static int keep_rule(struct node *n, const struct config_object *rule)
{
    const struct tree *actions = tree_get(rule->spec, "actions");
    for (const struct tree *a = actions ? actions->first : NULL; a; a = a->next) {
        struct stream *s = catalogue_stream_find(&n->catalogue, bytes_of_text(rule->name));
        if (s && tree_get(a, "historian"))
            return historian_keep(n->historian, s);
    }
    return OK;
}

static int configure_historian(struct node *n, struct diag *diag)
{
    int err = historian_configure(n->historian, &n->catalogue, diag);
    for (size_t i = 0; !err && i < config_count(n->config, CONFIG_RULE); i++)
        err = keep_rule(n, config_object_at(n->config, CONFIG_RULE, i));
    return err;
}

static int configure_consumers(struct node *n, struct diag *diag)
{
    struct catalogue *c = &n->catalogue;
    int err = OK;
    if (n->historian)
        err = configure_historian(n, diag);
    if (!err && n->trace)
        err = trace_configure(n->trace, n->config, c, diag);
    if (!err && n->uplink)
        err = uplink_configure(n->uplink, n->config, c, diag);
    if (!err && n->api)
        err = api_configure(n->api, n->config, c, diag);
    if (!err && n->stream)
        stream_engine_wire(n->stream);
    return err;
}

int node_configure(struct node *n, struct diag *diag)
{
    int err = make_stages(n);
    if (!err)
        err = make_stores(n, diag);
    if (!err)
        err = node_links_make(n, diag);
    if (!err)
        err = make_api(n);
    if (!err)
        err = node_calls_add(n);
    if (!err)
        err = node_replay_add(n);
    if (!err)
        err = configure_producers(n, diag);
    if (!err)
        err = configure_consumers(n, diag);
    if (err && !diag->text[0])
        (void)diag_set(diag, err, 0, 0, "the node cannot be configured: %s", err_text(err));
    return err;
}
