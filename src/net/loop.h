/* A thread with a libuv loop, as an exec.
 *
 * Everything that does network I/O belongs to one loop and is touched on its thread only. Tasks
 * posted from other threads wake it through uv_async; tasks posted from its own thread need no
 * system call. Timers are exec timers on one timerfd (absolute, monotonic), so that a 10 ms grid
 * keeps its beat to well under a millisecond; libuv's own timers count in whole milliseconds.
 *
 * What connections have to send is written at the end of each turn of the loop, before it sleeps:
 * many small writes of one turn leave in one system call.
 */
#ifndef LOTLINE_NET_LOOP_H
#define LOTLINE_NET_LOOP_H

#include "base/exec.h"

struct uv_loop_s;

/* Starts a loop on a thread of its own. name (≤ 15 bytes) is seen in ps and gdb.
 * ERR_NOMEM, ERR_IO, ERR_LIMIT (no more file descriptors). */
int loop_new(const char *name, struct exec **ret);

/* Lets the tasks queued so far run, closes what connections and listeners are still open (on_close
 * with ERR_CANCELLED), ends the thread and frees the exec. Waits for all of it; not from the
 * loop's own thread. NULL is allowed. */
void loop_free(struct exec *e);

/* The libuv loop, for what has no wrapper here yet. Only on e's own thread. */
struct uv_loop_s *loop_uv(struct exec *e);

#endif
