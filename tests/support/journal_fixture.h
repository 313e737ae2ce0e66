/* What the journal's tests share: a journal in a folder of the test's own, appends from the test's
 * thread, and file operations that fail on demand.
 */
#ifndef LOTLINE_TESTS_SUPPORT_JOURNAL_FIXTURE_H
#define LOTLINE_TESTS_SUPPORT_JOURNAL_FIXTURE_H

#include "base/clock.h"
#include "journal/io.h"
#include "journal/journal.h"
#include "tests/support/check.h"

#include <semaphore.h>
#include <stdio.h>
#include <time.h>

#define FIXTURE_WAIT_MS 20000

/* ------------------------------------------------------------------------- failing operations */

/* Counts calls; from `fail_from` on (1 = the first; 0 = never) and for `fail_count` calls each
 * fails with `err`. */
struct fixture_fault {
    atomic_uint calls;
    atomic_uint fail_from;
    atomic_uint fail_count;
    atomic_int err;
};

struct fixture_io {
    struct journal_io io;
    struct fixture_fault allocate;
    struct fixture_fault write;
    struct fixture_fault sync;
    atomic_uint write_bytes_max; /* a write takes at most so many bytes; 0 = all */
    sem_t *sync_gate;            /* every sync waits for it once; NULL = none */
};

static inline int fixture_fault_hit(struct fixture_fault *f)
{
    unsigned call = atomic_fetch_add(&f->calls, 1) + 1;
    unsigned from = atomic_load(&f->fail_from);
    if (from == 0 || call < from || call >= from + atomic_load(&f->fail_count))
        return OK;
    return atomic_load(&f->err);
}

static inline void fixture_fail(struct fixture_fault *f, unsigned after, unsigned count, int err)
{
    atomic_store(&f->err, err);
    atomic_store(&f->fail_count, count);
    atomic_store(&f->fail_from, atomic_load(&f->calls) + 1 + after);
}

static int fixture_allocate(void *ctx, int fd, uint64_t bytes)
{
    struct fixture_io *f = ctx;
    int err = fixture_fault_hit(&f->allocate);
    return err ? err : journal_io_kernel.allocate(NULL, fd, bytes);
}

static ssize_t fixture_write(void *ctx, int fd, const struct iovec *parts, int count,
                             uint64_t offset)
{
    struct fixture_io *f = ctx;
    int err = fixture_fault_hit(&f->write);
    if (err)
        return err == ERR_NO_SPACE ? -28 : -5; /* ENOSPC, EIO */
    struct iovec first = parts[0];
    unsigned max = atomic_load(&f->write_bytes_max);
    if (!max)
        return journal_io_kernel.write(NULL, fd, parts, count, offset);
    if (first.iov_len > max)
        first.iov_len = max;
    return journal_io_kernel.write(NULL, fd, &first, 1, offset);
}

static int fixture_sync(void *ctx, int fd)
{
    struct fixture_io *f = ctx;
    if (f->sync_gate)
        (void)sem_wait(f->sync_gate);
    int err = fixture_fault_hit(&f->sync);
    return err ? err : journal_io_kernel.sync(NULL, fd);
}

static inline void fixture_io_init(struct fixture_io *f)
{
    memset(f, 0, sizeof *f);
    f->io = (struct journal_io){f, fixture_allocate, fixture_write, fixture_sync};
}

/* ----------------------------------------------------------------------- running on the thread */

struct fixture_call {
    struct exec_task task;
    void (*fn)(void *ctx);
    void *ctx;
    sem_t done;
};

static void fixture_call_run(struct exec_task *task)
{
    struct fixture_call *c = CONTAINER_OF(task, struct fixture_call, task);
    c->fn(c->ctx);
    (void)sem_post(&c->done);
}

/* fn(ctx) on e's thread; returns when it has returned. */
static inline void fixture_run(struct exec *e, void (*fn)(void *ctx), void *ctx)
{
    struct fixture_call c = {.fn = fn, .ctx = ctx};
    exec_task_init(&c.task, fixture_call_run);
    CHECK(sem_init(&c.done, 0, 0) == 0);
    (void)exec_post(e, &c.task);
    (void)sem_wait(&c.done);
    (void)sem_destroy(&c.done);
}

/* ------------------------------------------------------------------------------------ appending */

struct fixture_append {
    struct journal_log *log;
    struct bytes payload;
    struct journal_wait *wait;
    struct position at;
    int err;
};

static inline void fixture_append_on_thread(void *ctx)
{
    struct fixture_append *a = ctx;
    struct journal_record r = {.codec = 1, .time_us = 1000, .parts = &a->payload, .part_count = 1};
    a->err = journal_append(a->log, &r, a->wait, &a->at);
}

/* One record from the test's thread. */
static inline int fixture_append(struct journal *j, struct journal_log *log, struct bytes payload,
                                 struct journal_wait *wait, struct position *ret_at)
{
    struct fixture_append a = {.log = log, .payload = payload, .wait = wait};
    fixture_run(journal_exec(j), fixture_append_on_thread, &a);
    if (!a.err && ret_at)
        *ret_at = a.at;
    return a.err;
}

/* A wait that a test can wait for. */
struct fixture_wait {
    struct journal_wait wait;
    sem_t done;
    struct position at;
    int err;
};

static void fixture_wait_fn(struct journal_wait *wait, struct position at, int err)
{
    struct fixture_wait *w = CONTAINER_OF(wait, struct fixture_wait, wait);
    w->at = at;
    w->err = err;
    (void)sem_post(&w->done);
}

static inline void fixture_wait_init(struct fixture_wait *w)
{
    memset(w, 0, sizeof *w);
    w->wait.fn = fixture_wait_fn;
    CHECK(sem_init(&w->done, 0, 0) == 0);
}

static inline int fixture_wait_for(struct fixture_wait *w)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += FIXTURE_WAIT_MS / 1000;
    CHECK(sem_timedwait(&w->done, &deadline) == 0);
    (void)sem_destroy(&w->done);
    return w->err;
}

/* Appends and waits until it is durable. */
static inline int fixture_append_durable(struct journal *j, struct journal_log *log,
                                         struct bytes payload, struct position *ret_at)
{
    struct fixture_wait w;
    fixture_wait_init(&w);
    int err = fixture_append(j, log, payload, &w.wait, ret_at);
    return err ? err : fixture_wait_for(&w);
}

/* A payload of len bytes that depends on n. */
static inline struct bytes fixture_payload(uint8_t *out, uint64_t n, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(n * 131 + i * 7 + (i >> 8));
    if (len >= 8)
        store_le64(out, n);
    return bytes_of(out, len);
}

static inline struct journal *fixture_open(const char *dir, const struct journal_io *io)
{
    struct journal_options o = {.dir = dir, .io = io};
    struct journal *j;
    struct diag diag = {0};
    if (journal_open(&o, &j, &diag))
        check_fail_at(__FILE__, __LINE__, "%s", diag.text);
    return j;
}

static inline struct journal_log *fixture_log(struct journal *j,
                                              const struct journal_log_options *o)
{
    struct journal_log *log;
    struct diag diag = {0};
    if (journal_log_open(j, "test", o, &log, &diag))
        check_fail_at(__FILE__, __LINE__, "%s", diag.text);
    return log;
}

#endif
