/* One durable consumer of the node's log: a stream reader, the cursor that holds the log for it,
 * and the watch that wakes it. What the historian, the tracks and the uplink see of the log
 * (feed.h, links.h) is made of this. Private to app/.
 *
 * One thread at a time (the consumer's own, which may block).
 */
#ifndef LOTLINE_APP_FOLLOWER_H
#define LOTLINE_APP_FOLLOWER_H

#include "journal/journal.h"
#include "stream/log.h"

struct log_follower {
    struct stream_log *log;
    struct stream_reader *reader; /* after the first seek */
    struct journal_cursor *cursor;
    struct journal_watch watch;
    struct exec_task *told; /* the consumer's task; posted by the watch's */
    bool watching;
};

/* `name` is the cursor's: it holds the log until log_follower_done. After stream_log_start. Errors
 * as journal_cursor_open. */
int log_follower_open(struct log_follower *f, struct stream_log *log, const char *name);

/* After the consumer has stopped. Harmless on a zeroed one; leaves it zeroed. */
void log_follower_close(struct log_follower *f);

/* The next record read from f->reader is the first one after `after`. ERR_NOMEM. */
int log_follower_seek(struct log_follower *f, struct position after);

/* From now on `task` is posted to `exec` after each commit; task NULL = no longer. */
void log_follower_watch(struct log_follower *f, struct exec *exec, struct exec_task *task);

/* Everything up to `at` is no longer needed by this consumer: the log may be trimmed. */
void log_follower_done(struct log_follower *f, struct position at);

#endif
