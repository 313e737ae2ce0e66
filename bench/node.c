/* A node's log and its producer, for benchmarks. See node.h. */
#include "bench/node.h"

#include "bench/bench.h"
#include "bench/folder.h"

#include <string.h>
#include <unistd.h>

/* As a node has them without a section `journal`. */
#define FLUSH_MS          500
#define SEGMENT_BYTES     (16u << 20)
#define LOG_BYTES_MAX     (UINT64_C(8) << 30)
#define WAITING_BYTES_MAX (4u << 20)

#define STREAM_NAME "plc1.press"

/* A consumer that got stuck is an error, not a figure. */
#define PATIENCE_S 120

/* ------------------------------------------------------------------------------------ file bytes
 */

static ssize_t io_write(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    struct bench_node *n = ctx;
    ssize_t written = journal_io_kernel.write(NULL, fd, parts, count, offset);
    if (written > 0)
        atomic_fetch_add_explicit(&n->written, (uint64_t)written, memory_order_relaxed);
    return written;
}

static int io_allocate(void *ctx, int fd, uint64_t bytes)
{
    (void)ctx;
    return journal_io_kernel.allocate(NULL, fd, bytes);
}

static int io_sync(void *ctx, int fd)
{
    (void)ctx;
    return journal_io_kernel.sync(NULL, fd);
}

uint64_t bench_node_written(const struct bench_node *n)
{
    return atomic_load_explicit(&n->written, memory_order_relaxed);
}

/* -------------------------------------------------------------------------------------- producer
 */

struct bench_push {
    struct flow_done done;
    struct bench_node *node;
};

static void push_done(struct flow_done *done, struct position at, int err)
{
    struct bench_node *n = CONTAINER_OF(done, struct bench_push, done)->node;
    bench_must(err, "the log", NULL);
    n->last = at;
    if (++n->durable == n->total)
        (void)sem_post(&n->through);
}

/* As many as there is credit for. */
static void push_more(struct outlet *o)
{
    struct bench_node *n = CONTAINER_OF(o, struct bench_node, outlet);
    while (n->pushed < n->total) {
        struct bench_push *p = &n->pushes[n->pushed];
        p->node = n;
        flow_done_init(&p->done, n->producer, push_done);
        int err = outlet_push(o, n->batches[n->pushed % n->batch_count], (struct position){0, 0},
                              &p->done);
        if (err == ERR_AGAIN)
            return;
        bench_must(err, "the producer", NULL);
        n->pushed++;
    }
}

static int push_first(void *ctx)
{
    struct bench_node *n = ctx;
    push_more(&n->outlet);
    return OK;
}

struct position bench_node_append(struct bench_node *n, struct batch *const *batches,
                                  uint32_t count, uint32_t total)
{
    n->pushes = calloc(total, sizeof *n->pushes);
    bench_must(n->pushes ? OK : ERR_NOMEM, "the producer", NULL);
    n->batches = batches;
    n->batch_count = count;
    n->total = total;
    n->pushed = 0;
    n->durable = 0;
    bench_must(exec_call(n->producer, push_first, n), "the producer", NULL);
    while (sem_wait(&n->through) != 0) {
    }
    free(n->pushes);
    n->pushes = NULL;
    return n->last;
}

/* ------------------------------------------------------------------------------------------ life
 */

static void stream_open(struct bench_node *n, const char *name, const struct schema *schema)
{
    bench_must(exec_thread_new("producer", 0, &n->producer), name, NULL);
    bench_must(stream_new(STREAM_NAME, name, STREAM_GROUP, "", schema, &n->stream), name, NULL);
    outlet_init(&n->outlet, n->producer, n->stream, push_more);
    bench_must(stream_log_insert(n->log, n->stream, &n->outlet, 0) ? OK : ERR_NOMEM, name, NULL);
}

void bench_node_open(struct bench_node *n, const char *dir, const char *name,
                     const struct schema *schema)
{
    char path[BENCH_PATH_BYTES_MAX * 2];
    struct diag diag = {0};
    memset(n, 0, sizeof *n);
    (void)sem_init(&n->through, 0, 0);
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    n->io = (struct journal_io){n, io_allocate, io_write, io_sync};
    struct journal_options where = {.dir = path, .flush_ms = FLUSH_MS, .io = &n->io};
    bench_must(journal_open(&where, &n->journal, &diag), path, diag.text);
    struct stream_log_options options = {
        .journal = n->journal,
        .node = name,
        .waiting_bytes_max = WAITING_BYTES_MAX,
        .log = {.segment_bytes = SEGMENT_BYTES, .bytes_max = LOG_BYTES_MAX},
    };
    bench_must(stream_log_new(&options, &n->log), name, NULL);
    bench_must(stream_log_start(n->log, &diag), name, diag.text);
    if (schema)
        stream_open(n, name, schema);
}

void bench_node_close(struct bench_node *n)
{
    stream_log_stop(n->log);
    exec_thread_free(n->producer);
    stream_log_free(n->log);
    journal_close(n->journal);
    stream_free(n->stream);
    (void)sem_destroy(&n->through);
}

/* ---------------------------------------------------------------------------------------- waiting
 */

void bench_progress_init(struct bench_progress *p)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&p->mutex, NULL);
    (void)pthread_cond_init(&p->moved, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    p->at = (struct position){0, 0};
}

void bench_progress_fini(struct bench_progress *p)
{
    (void)pthread_cond_destroy(&p->moved);
    (void)pthread_mutex_destroy(&p->mutex);
}

void bench_progress_set(struct bench_progress *p, struct position at)
{
    (void)pthread_mutex_lock(&p->mutex);
    p->at = at;
    (void)pthread_cond_signal(&p->moved);
    (void)pthread_mutex_unlock(&p->mutex);
}

void bench_progress_wait(struct bench_progress *p, struct position at)
{
    struct timespec deadline;
    int rc = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += PATIENCE_S;
    (void)pthread_mutex_lock(&p->mutex);
    while (rc == 0 && position_compare(p->at, at) < 0)
        rc = pthread_cond_timedwait(&p->moved, &p->mutex, &deadline);
    (void)pthread_mutex_unlock(&p->mutex);
    bench_must(rc ? ERR_TIMEOUT : OK, "a consumer of the log", NULL);
}
