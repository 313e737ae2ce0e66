/* The node's log as the historian and the tracks follow it (model/feed.h). */
#ifndef LOTLINE_APP_FEED_H
#define LOTLINE_APP_FEED_H

#include "app/follower.h"
#include "model/feed.h"

struct log_feed {
    struct feed feed; /* hand out &f->feed */
    struct log_follower follower;
    struct stream_record record; /* the last one given */
};

/* `name` is the cursor's: it holds the log until the consumer's done. After stream_log_start. */
int log_feed_open(struct log_feed *f, struct stream_log *log, const char *name);

/* After the consumer has stopped. Harmless on a zeroed one. */
void log_feed_close(struct log_feed *f);

#endif
