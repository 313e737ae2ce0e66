/* The node's log as the historian and the tracks follow it (model/feed.h), made of a stream reader
 * and a cursor. */
#ifndef LOTLINE_APP_FEED_H
#define LOTLINE_APP_FEED_H

#include "journal/journal.h"
#include "model/feed.h"
#include "stream/log.h"

struct log_feed {
    struct feed feed; /* hand out &f->feed */
    struct stream_log *log;
    struct stream_reader *reader;
    struct journal_cursor *cursor;
    struct stream_record record;
    struct journal_watch watch;
    struct exec_task *told; /* the consumer's task; posted by the watch's */
    bool watching;
};

/* `name` is the cursor's: it holds the log until the consumer's done. After stream_log_start. */
int log_feed_open(struct log_feed *f, struct stream_log *log, const char *name);

/* After the consumer has stopped. Harmless on a zeroed one. */
void log_feed_close(struct log_feed *f);

#endif
