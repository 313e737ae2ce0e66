/* The node's log as the uplink's two ends see it. Private to app/. */
#ifndef LOTLINE_APP_LINKS_H
#define LOTLINE_APP_LINKS_H

#include "app/follower.h"
#include "bridge/uplink.h"

/* What the sender reads. */
struct link_source {
    struct log_follower follower;
    struct buf head;
};

/* What the receiver fills. */
struct link_store {
    struct stream_log *log;
};

/* *ret is for uplink_start; s must outlive the uplink's run. */
int link_source_open(struct link_source *s, struct stream_log *log, struct uplink_log *ret);
void link_source_close(struct link_source *s);

void link_store_init(struct link_store *s, struct stream_log *log, struct journal *journal,
                     struct uplink_store *ret);

#endif
