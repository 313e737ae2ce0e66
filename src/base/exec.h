/* A thread of execution as an interface: post, timer, clock.
 *
 * Whatever runs asynchronously is written against `struct exec` and never against a library: net
 * implements it on libuv (a loop), exec_thread.c on a plain thread that may block (a worker), and
 * exec_fake.c on a clock that a test moves by hand.
 *
 * Tasks and timers are intrusive: they lie inside the object they serve, so posting allocates
 * nothing, cannot fail and is bounded by the number of objects. Posting a task that is already
 * waiting does nothing: a task is a wake-up ("there is something in your ring"), not a message.
 *
 * Order: tasks of one exec run in the order in which they were posted; timers run in order of
 * their time. Nothing else is promised.
 */
#ifndef LOTLINE_BASE_EXEC_H
#define LOTLINE_BASE_EXEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exec;

/* ----------------------------------------------------------------------------------------- task */

struct exec_task {
    void (*fn)(struct exec_task *task); /* runs on the exec's thread */
    struct exec_task *next;             /* the queue's */
    atomic_bool queued;                 /* posted and not yet started */
};

static inline void exec_task_init(struct exec_task *task, void (*fn)(struct exec_task *task))
{
    task->fn = fn;
    task->next = NULL;
    atomic_init(&task->queued, false);
}

/* Makes task->fn run on e's thread soon. Any thread, never blocks, never fails. A task that is
 * queued already stays queued once; one that is running may be posted again and runs again.
 * Returns true if this call queued it. What the caller wrote before is seen by that run of fn even
 * when this call found it queued already. The task's memory must live until fn has started. */
bool exec_post(struct exec *e, struct exec_task *task);

/* ---------------------------------------------------------------------------------------- timer */

struct exec_timer {
    void (*fn)(struct exec_timer *timer); /* runs on the exec's thread */
    int64_t at_us;                        /* monotonic time at which it is due */
    size_t index;                         /* place in the heap + 1, 0 = not running */
};

static inline void exec_timer_init(struct exec_timer *timer, void (*fn)(struct exec_timer *timer))
{
    timer->fn = fn;
    timer->at_us = 0;
    timer->index = 0;
}

/* Runs timer->fn once, at or after the monotonic time at_us (exec_now_us's scale); a running timer
 * is moved. Only on e's own thread. 0 or ERR_NOMEM. */
int exec_timer_start(struct exec *e, struct exec_timer *timer, int64_t at_us);

/* Harmless when it is not running. Only on e's own thread. */
void exec_timer_stop(struct exec *e, struct exec_timer *timer);

static inline bool exec_timer_active(const struct exec_timer *timer)
{
    return timer->index != 0;
}

/* ---------------------------------------------------------------------------------------- clock */

/* Monotonic µs, and wall µs; a fake exec's are moved by the test. Any thread. */
int64_t exec_now_us(const struct exec *e);
int64_t exec_wall_us(const struct exec *e);

/* True on the exec's own thread (for assertions). */
bool exec_is_current(const struct exec *e);

/* --------------------------------------------------------------------------------------- waiting
 */

/* Runs fn(ctx) on e's thread and waits for it; at once when that is the calling thread. For
 * starting and stopping, where one thread sets up what lives on another; never from an exec that
 * may not block. Returns what fn returned. */
int exec_call(struct exec *e, int (*fn)(void *ctx), void *ctx);

/* --------------------------------------------------------------------- for those who implement it
 */

/* The heap of timers and the queue of tasks, common to every implementation. */
struct exec_queue {
    _Atomic(struct exec_task *) inbox; /* newest first, pushed by any thread */
    atomic_uint posting;               /* threads that are inside exec_post */
    struct exec_timer **heap;
    size_t heap_count;
    size_t heap_cap;
};

struct exec_ops {
    /* Makes the exec's thread call exec_queue_run soon; any thread; must not block. */
    void (*wake)(struct exec *e);
    /* The earliest timer changed; called on the exec's thread. */
    void (*timer_changed)(struct exec *e);
    int64_t (*now_us)(const struct exec *e);
    int64_t (*wall_us)(const struct exec *e);
    bool (*is_current)(const struct exec *e);
};

/* First member of every implementation's struct. */
struct exec {
    const struct exec_ops *ops;
    struct exec_queue queue;
};

void exec_init(struct exec *e, const struct exec_ops *ops);
void exec_fini(struct exec *e);

/* For who ends the exec's thread, before what wakes it is taken apart: waits until nobody is inside
 * exec_post any more. The thread may run a task, and its owner act on that, before the thread that
 * posted it has come to the wake. */
void exec_posts_end(const struct exec *e);

/* Runs the tasks that are queued now, then every timer due at now_us. Tasks posted meanwhile wait
 * for the next call (the implementation is woken again for them). Returns how many ran. */
size_t exec_queue_run(struct exec *e, int64_t now_us);

/* When the earliest timer is due; INT64_MAX if none runs. */
int64_t exec_queue_next_us(const struct exec *e);

bool exec_queue_has_tasks(const struct exec *e);

/* --------------------------------------------------------------------------------------- worker */

/* A thread of its own that may block: fsync, DuckDB, segment reads. stack_bytes 0 = 256 KiB.
 * The name (≤ 15 bytes) is seen in ps and gdb. */
int exec_thread_new(const char *name, size_t stack_bytes, struct exec **ret);

/* Lets the tasks queued so far run, then ends the thread and frees the exec. Not from the thread
 * itself. NULL is allowed. */
void exec_thread_free(struct exec *e);

/* ----------------------------------------------------------------------------------------- fake */

/* For tests: runs on the calling thread, only inside exec_fake_run and exec_fake_advance. */
struct exec *exec_fake_new(int64_t now_us, int64_t wall_us);
void exec_fake_free(struct exec *e);

/* Runs tasks and due timers until nothing is left to do at the present time; returns the count. */
size_t exec_fake_run(struct exec *e);

/* Moves both clocks forward by us, stopping at each timer on the way. */
void exec_fake_advance(struct exec *e, int64_t us);

#endif
