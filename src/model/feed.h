/* The log of streams as a durable consumer sees it: committed records in order, from a position.
 *
 * The historian and the tracks follow the log at their own pace and know nothing of how it is kept;
 * the app gives them this. One thread at a time (the consumer's own, which may block).
 *
 * What all consumers do alike with a record, above all with one that cannot be had, is feed_read.
 */
#ifndef LOTLINE_MODEL_FEED_H
#define LOTLINE_MODEL_FEED_H

#include "base/exec.h"
#include "base/position.h"
#include "model/batch.h"

struct feed_record {
    struct position at;  /* in this node's log */
    struct bytes node;   /* whose stream; views live until the next call on the feed */
    struct bytes stream; /* the name without the node: "plc1.press" */
    int64_t time_us;     /* wall: when it came into the log */
    void *view;          /* the feed's own */
};

struct feed {
    void *ctx;

    /* Goes to the records after `after` ({0,0}: the oldest there is). Called first. Blocking. */
    int (*seek)(void *ctx, struct position after);

    /* The next committed record. Blocking. ERR_AGAIN: nothing beyond, the watch's task will say
     * when there is. ERR_EXPIRED, ERR_CHECKSUM: records up to ret->at are lost; the next call goes
     * on behind them. Anything else: the same record is tried again by the next call. */
    int (*next)(void *ctx, struct feed_record *ret);

    /* The rows of the record that `next` gave last, with one reference. Blocking. */
    int (*batch)(void *ctx, const struct feed_record *record, struct batch **ret);

    /* From now on `task` is posted to `exec` after each commit; task NULL = no longer. */
    void (*watch)(void *ctx, struct exec *exec, struct exec_task *task);

    /* Everything up to `at` is no longer needed by this consumer: the log may be trimmed. */
    void (*done)(void *ctx, struct position at);
};

/* What a consumer does with records. */
struct feed_consumer {
    const char *name;    /* whose lines in the program's log */
    const char *missing; /* what a loss means, as the end of "records of the log up to 7 …" */
    void *ctx;

    /* True: take wants the rows. Called for each record; cheap. */
    bool (*wants)(void *ctx, const struct feed_record *record);

    /* Takes one reference of batch, also on failure. */
    int (*take)(void *ctx, const struct feed_record *record, struct batch *batch);

    uint64_t *records; /* counted here: read, wanted or not */
    uint64_t *lost;    /* counted here: passed over */
};

/* Reads one record and hands it to the consumer if it wants it; *at is then the record's position.
 * What no second attempt would mend (trimmed, damaged, of an unknown schema, refused by `take` for
 * its content) is said, counted and passed over like a record that was read. Blocking.
 * ERR_AGAIN: nothing beyond. Anything else: the record may have been taken in part; the consumer
 * seeks back to what it knows to be whole before it reads again. */
int feed_read(const struct feed *feed, const struct feed_consumer *consumer, struct position *at);

#endif
