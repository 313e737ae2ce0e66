/* The flow port: batches from one producer to one consumer, with credit and `done`.
 *
 * A flow is a bounded queue between two execs. The producer pushes without ever blocking; the
 * consumer is woken on its own exec and takes items when it wants them, so that not taking is
 * back-pressure. An item stays charged to the flow's credit (rows and bytes) until the consumer
 * finishes it. What happens without credit is the edge's policy:
 *
 *   FLOW_BLOCK        push says ERR_AGAIN; the producer keeps the batch and is told when there is
 *                     credit again
 *   FLOW_DROP_OLDEST  the oldest waiting item makes room, and is counted
 *   FLOW_LATEST       as DROP_OLDEST with room for one item: who is slow sees the newest
 *
 * `done` tells the producer when its batch is durable: the journal position (or none) and an error.
 * It comes on the exec named in the done, once, after every consumer that the batch was pushed to
 * has finished it. The MQTT PUBACK, the cursor of the uplink and "the edge forgets" hang on it.
 *
 * Life: flow_new → outlet_attach → (pushes) → flow_close by the consumer → on_closed → flow_unref.
 */
#ifndef LOTLINE_MODEL_FLOW_H
#define LOTLINE_MODEL_FLOW_H

#include "base/exec.h"
#include "base/list.h"
#include "model/batch.h"

struct flow;
struct stream;

/* ----------------------------------------------------------------------------------------- done */

/* Embedded by the producer in whatever it must remember about a batch; must live until fn ran. */
struct flow_done {
    /* On `exec`. `at` is where the batch went in the journal ({0,0} if nowhere); err is 0 or the
     * first error that a consumer reported. */
    void (*fn)(struct flow_done *done, struct position at, int err);
    struct exec *exec;
    /* Where the consumer says in words why, before it finishes with an error; NULL: nobody wants to
     * know. Only with a single consumer. flow_done_init sets NULL. */
    struct diag *diag;
    struct exec_task task; /* private from here */
    struct position at;
    atomic_int err;
    atomic_uint pending;
};

/* Makes *done wait for one finisher. */
void flow_done_init(struct flow_done *done, struct exec *exec,
                    void (*fn)(struct flow_done *done, struct position at, int err));

/* One more finisher, before the item is handed on. Any thread that holds an unfinished share. */
void flow_done_hold(struct flow_done *done);

/* One finisher is through; with the last one fn is posted. Any thread. NULL is allowed. */
void flow_done_finish(struct flow_done *done, struct position at, int err);

/* ----------------------------------------------------------------------------------------- flow */

enum flow_policy {
    FLOW_BLOCK,
    FLOW_DROP_OLDEST,
    FLOW_LATEST,
};

struct flow_options {
    const char *name;      /* for metrics and logs; copied */
    struct exec *consumer; /* where on_ready runs */
    enum flow_policy policy;
    uint32_t items_max; /* 0 = 1024 */
    uint64_t rows_max;  /* 0 = 1 Mi */
    uint64_t bytes_max; /* 0 = 64 MiB */
    void *ctx;          /* the consumer's, handed to on_ready and on_closed */
    void (*on_ready)(void *ctx, struct flow *f);  /* items wait; on the consumer's exec */
    void (*on_closed)(void *ctx, struct flow *f); /* after flow_close; nothing comes any more */
};

struct flow_item {
    struct batch *batch;
    const struct stream *stream; /* where it comes from; lives as long as the node */
    struct position at;          /* in this node's log; none if the stream is not durable */
    struct flow_done *done;      /* NULL if nobody waits */
    struct flow *flow;           /* private */
};

int flow_new(const struct flow_options *options, struct flow **ret);
struct flow *flow_ref(struct flow *f);
void flow_unref(struct flow *f); /* NULL is allowed; the last one frees */

/* Consumer: the next item, or false. The item is the consumer's until flow_finish. On the
 * consumer's exec. */
bool flow_take(struct flow *f, struct flow_item *ret_item);

/* Consumer: through with an item: gives its batch reference and credit back and finishes its done.
 * `at` is where it was made durable (pass item->at otherwise). Any thread. */
void flow_finish(struct flow_item *item, struct position at, int err);

/* Consumer: no more items, please. Detaches from the outlet (on the producer's exec), finishes
 * what still waits with ERR_CANCELLED, then calls on_closed. On the consumer's exec. */
void flow_close(struct flow *f);

/* Counters for /metrics. Any thread. */
struct flow_stats {
    uint64_t items;
    uint64_t rows;
    uint64_t dropped_items; /* by policy */
    uint64_t dropped_rows;
    uint64_t blocked; /* pushes refused for want of credit */
    uint64_t waiting_rows;
    uint64_t waiting_bytes;
};

void flow_stats_get(const struct flow *f, struct flow_stats *ret);
const char *flow_name(const struct flow *f);

/* --------------------------------------------------------------------------------------- outlet */

/* Where a producer pushes: fans out to the flows attached to it. Owned by one exec. */
struct outlet {
    struct exec *exec;
    const struct stream *stream;
    struct list flows;
    /* Called on exec when a blocked flow has credit again; may be NULL. */
    void (*on_credit)(struct outlet *o);
    struct exec_task credit_task;
    struct list waiters; /* struct outlet_waiter */
};

/* A second producer of an outlet that has its own on_credit, on the same exec, waiting for credit.
 * The owner comes first. */
struct outlet_waiter {
    struct list link; /* list_init; list_remove takes it back */
    void (*fn)(struct outlet_waiter *w);
};

void outlet_init(struct outlet *o, struct exec *exec, const struct stream *stream,
                 void (*on_credit)(struct outlet *o));

/* Detaches and closes every flow. On exec. */
void outlet_fini(struct outlet *o);

/* Attaches f (taking a reference). On o->exec at once; from elsewhere it is posted there and takes
 * effect a little later, without losing order within one flow. */
void outlet_attach(struct outlet *o, struct flow *f);

/* True if a batch of that size can be pushed to every blocking flow now. On exec. */
bool outlet_ready(struct outlet *o, const struct batch *b);

/* Pushes one reference of b to every flow (b stays the caller's too). With a blocking flow out of
 * credit nothing is pushed anywhere and ERR_AGAIN returned. done may be NULL; it is finished at
 * once with {0,0} when no flow is attached. On exec. */
int outlet_push(struct outlet *o, struct batch *b, struct position at, struct flow_done *done);

/* After a push without credit: fn is called once, when there is some again. o has an on_credit. On
 * exec. */
void outlet_wait(struct outlet *o, struct outlet_waiter *w);

static inline bool outlet_has_flows(const struct outlet *o)
{
    return !list_empty(&o->flows);
}

#endif
