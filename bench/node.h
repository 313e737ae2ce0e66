/* What a node has between a producer and the consumers of its log, for benchmarks: a journal, the
 * log of streams with a node's defaults, and one durable stream that a producer on a thread of its
 * own pushes into, as a device's loop does. The code is the product's; only the calls that a node
 * makes at its start are made here.
 *
 * Every call is for the benchmark's main thread, blocks, and ends the program when it fails.
 */
#ifndef LOTLINE_BENCH_NODE_H
#define LOTLINE_BENCH_NODE_H

#include "journal/io.h"
#include "stream/log.h"

#include <pthread.h>
#include <semaphore.h>

struct bench_push;

struct bench_node {
    struct journal_io io; /* the kernel's, counting */
    atomic_ullong written;
    struct journal *journal;
    struct stream_log *log;
    struct exec *producer;
    struct stream *stream; /* NULL: this node produces nothing */
    struct outlet outlet;

    /* One bench_node_append; the producer's. */
    struct batch *const *batches;
    uint32_t batch_count;
    uint32_t total;
    uint32_t pushed;
    uint32_t durable;
    struct bench_push *pushes;
    struct position last;
    sem_t through;
};

/* Opens the node `name` in DIR/name (made). With a schema it has the stream "plc1.press" of it,
 * without it only a log, such as a hub's. */
void bench_node_open(struct bench_node *n, const char *dir, const char *name,
                     const struct schema *schema);

/* Its consumers are gone. */
void bench_node_close(struct bench_node *n);

/* Pushes `total` batches, batches[0 … count) again and again, as fast as the log gives credit, and
 * waits until the last is durable in it. Returns that one's position. */
struct position bench_node_append(struct bench_node *n, struct batch *const *batches,
                                  uint32_t count, uint32_t total);

/* Bytes written into the journal's files so far: records, their heads and padding, file heads. Free
 * space at the end of a file is not in it. */
uint64_t bench_node_written(const struct bench_node *n);

/* ---------------------------------------------------------------------------------------- waiting
 */

/* How far a consumer of the log is: what its `done` says, for someone who waits for it. */
struct bench_progress {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    struct position at;
};

void bench_progress_init(struct bench_progress *p);
void bench_progress_fini(struct bench_progress *p);
void bench_progress_set(struct bench_progress *p, struct position at); /* any thread */
void bench_progress_wait(struct bench_progress *p, struct position at);

#endif
