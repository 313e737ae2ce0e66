/* Numbers about the node itself, in the text format that Prometheus reads (exposition format
 * 0.0.4).
 *
 * Whoever owns numbers registers a function; it is called when somebody asks for /metrics, on the
 * thread of the asker, and reads counters that its owner keeps as atomics. Nothing is paid for
 * until then. A name that several functions write (one a device, say) comes out as one family.
 */
#ifndef LOTLINE_MODEL_METRICS_H
#define LOTLINE_MODEL_METRICS_H

#include "base/bytes.h"

#include <stdint.h>

struct metrics;
struct metrics_writer;

#define METRICS_COLLECTORS_MAX 64

enum metric_type {
    METRIC_COUNTER, /* only grows; its name ends in _total */
    METRIC_GAUGE,
    METRIC_HISTOGRAM, /* its samples by metrics_histogram */
};

struct metric_label {
    const char *name;
    const char *value; /* any text */
};

typedef void (*metrics_collect_fn)(void *ctx, struct metrics_writer *w);

int metrics_new(struct metrics **ret);
void metrics_free(struct metrics *m); /* NULL is allowed */

/* collect must be callable from any thread until metrics_remove, must not block and must not call
 * metrics_print. ERR_LIMIT. Any thread. */
int metrics_add(struct metrics *m, metrics_collect_fn collect, void *ctx);

/* After it collect is not running and does not run any more. Any thread. */
void metrics_remove(struct metrics *m, metrics_collect_fn collect, void *ctx);

/* Appends all of them as text. ERR_NOMEM. Any thread. */
int metrics_print(struct metrics *m, struct buf *out);

/* ------------------------------------------------------------------------------ inside collect */

/* What follows belongs to the family `name` ("lotline_polls_total"); help is one sentence. */
void metrics_family(struct metrics_writer *w, const char *name, enum metric_type type,
                    const char *help);

/* One sample of the family named last. labels may be NULL with count 0. */
void metrics_u64(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                 uint64_t value);
void metrics_f64(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                 double value);

/* How often something lay up to each bound, and beyond the last. */
struct metric_histogram {
    const double *bounds;   /* rising */
    const uint64_t *counts; /* [bound_count + 1], each of its own bucket alone */
    size_t bound_count;
    double sum; /* of all that was counted */
};

/* The samples of one histogram of the family named last; one label at most (NULL = none). */
void metrics_histogram(struct metrics_writer *w, const struct metric_label *label,
                       const struct metric_histogram *h);

/* A whole family of one sample without labels. */
void metrics_one(struct metrics_writer *w, const char *name, enum metric_type type,
                 const char *help, uint64_t value);

/* Collects what the kernel knows about this process: memory, file descriptors, threads, CPU time,
 * start time. For metrics_add; ctx unused. */
void metrics_process(void *ctx, struct metrics_writer *w);

#endif
