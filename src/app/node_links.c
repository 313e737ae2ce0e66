/* The node's part in the chain edge → hub: the uplink's sender and receiver. */
#include "app/node_priv.h"

/* A node without a configured uplink still has the stage: its call and its counters say so. */
int node_links_make(struct node *n, struct diag *diag)
{
    (void)diag;
    if (!config_section(n->config, "uplink"))
        return OK;
    struct uplink_options options = {.loop = n->loops[0], .node = n->catalogue.node};
    return uplink_new(&options, &n->uplink);
}

/* Before the broker starts: what edges publish goes to the log. */
int node_links_join(struct node *n)
{
    struct uplink_store store;
    link_store_init(&n->link_store, n->log, n->journal, &store);
    int err = uplink_receiver_new(&store, &n->receiver);
    return err ? err
               : broker_subscribe_flow(n->broker, UPLINK_TOPIC_FILTER,
                                       uplink_receiver_flow(n->receiver));
}

int node_links_start(struct node *n, struct diag *diag)
{
    if (!n->uplink)
        return OK;
    struct uplink_log log;
    int err = link_source_open(&n->link_source, n->log, &log);
    return err ? err : uplink_start(n->uplink, &log, diag);
}

void node_links_stop(struct node *n)
{
    if (n->uplink)
        uplink_stop(n->uplink);
}

/* After the broker has stopped. */
void node_links_end(struct node *n)
{
    uplink_receiver_free(n->receiver);
    n->receiver = NULL;
}

void node_links_free(struct node *n)
{
    uplink_free(n->uplink);
    n->uplink = NULL;
}
