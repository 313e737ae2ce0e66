/* The stream log: taps, remote records, repeats, keys, back-pressure, over restarts. */
#include "stream/log.h"

#include "base/clock.h"
#include "codec/columnar.h"
#include "journal/io.h"
#include "tests/support/check.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 20000

/* ------------------------------------------------------------------------------------- the node */

struct node {
    struct journal_io io;
    atomic_int allocate_err; /* what the next reservations of space give */
    struct journal *journal;
    struct stream_log *log;
    struct exec *producer; /* a thread, as a loop would be */
    struct schema *schema;
    struct stream *stream;
    struct outlet outlet;
    atomic_uint credits; /* how often the producer was told of credit */
};

static int node_allocate(void *ctx, int fd, uint64_t bytes)
{
    struct node *n = ctx;
    int err = atomic_load(&n->allocate_err);
    return err ? err : journal_io_kernel.allocate(NULL, fd, bytes);
}

static ssize_t node_write(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    (void)ctx;
    return journal_io_kernel.write(NULL, fd, parts, count, offset);
}

static int node_sync(void *ctx, int fd)
{
    (void)ctx;
    return journal_io_kernel.sync(NULL, fd);
}

static void told_credit(struct outlet *o)
{
    atomic_fetch_add(&CONTAINER_OF(o, struct node, outlet)->credits, 1);
}

static struct schema *make_schema(const char *name)
{
    struct field field = {.name = name, .type = VALUE_INT64};
    struct schema *s;
    CHECK_OK(schema_new(&field, 1, &s));
    return s;
}

static struct batch *make_batch(const struct schema *schema, int64_t v)
{
    struct batch_builder *bb;
    struct batch *b;
    CHECK_OK(batch_builder_new(schema, 1, NULL, &bb));
    CHECK_EQ(batch_builder_row(bb, 1000 + v), 0);
    batch_set_i64(bb, 0, v);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

static void node_open(struct node *n, const char *name)
{
    char dir[512];
    struct diag diag = {0};
    memset(n, 0, sizeof *n);
    n->io = (struct journal_io){n, node_allocate, node_write, node_sync};
    (void)snprintf(dir, sizeof dir, "%s/%s", check_folder(), name);
    struct journal_options jo = {.dir = dir, .io = &n->io, .flush_ms = 20, .keep_ms = 20};
    CHECK_OK(journal_open(&jo, &n->journal, &diag));
    struct stream_log_options so = {
        .journal = n->journal, .node = name, .seen_ms = 20, .log = {.segment_bytes = 64 * 1024}};
    CHECK_OK(stream_log_new(&so, &n->log));
    CHECK_OK(stream_log_start(n->log, &diag));
    CHECK_OK(exec_thread_new("producer", 0, &n->producer));
    n->schema = make_schema("v");
    CHECK_OK(stream_new("plc1.press", name, STREAM_GROUP, "", n->schema, &n->stream));
    outlet_init(&n->outlet, n->producer, n->stream, told_credit);
}

static void node_insert(struct node *n, uint32_t flags)
{
    struct outlet *o = stream_log_insert(n->log, n->stream, &n->outlet, flags);
    CHECK(o != NULL);
    CHECK(n->stream->outlet == o);
}

static void node_close(struct node *n)
{
    stream_log_stop(n->log);
    stream_log_stop(n->log); /* idempotent */
    exec_thread_free(n->producer);
    stream_log_free(n->log);
    journal_close(n->journal);
    stream_free(n->stream);
    schema_unref(n->schema);
}

/* ---------------------------------------------------------------------- on the other's thread */

struct on_thread {
    struct exec_task task;
    void (*fn)(void *ctx);
    void *ctx;
    sem_t through;
};

static void on_thread_run(struct exec_task *task)
{
    struct on_thread *t = CONTAINER_OF(task, struct on_thread, task);
    t->fn(t->ctx);
    (void)sem_post(&t->through);
}

static void run_on(struct exec *e, void (*fn)(void *ctx), void *ctx)
{
    struct on_thread t = {.fn = fn, .ctx = ctx};
    exec_task_init(&t.task, on_thread_run);
    CHECK(sem_init(&t.through, 0, 0) == 0);
    (void)exec_post(e, &t.task);
    (void)sem_wait(&t.through);
    (void)sem_destroy(&t.through);
}

struct push {
    struct flow_done done;
    struct node *node;
    struct batch *batch;
    struct position key;
    int rc;
    atomic_int err; /* 1 = not done yet */
    struct position at;
};

static void push_done(struct flow_done *done, struct position at, int err)
{
    struct push *p = CONTAINER_OF(done, struct push, done);
    p->at = at;
    atomic_store(&p->err, err);
}

static void push_on_thread(void *ctx)
{
    struct push *p = ctx;
    flow_done_init(&p->done, p->node->producer, push_done);
    p->rc = outlet_push(&p->node->outlet, p->batch, p->key, &p->done);
}

/* Pushes v; p lives until it is done. */
static int push(struct node *n, struct push *p, int64_t v, struct position key)
{
    *p = (struct push){.node = n, .key = key, .batch = make_batch(n->schema, v)};
    atomic_init(&p->err, 1);
    run_on(n->producer, push_on_thread, p);
    batch_unref(p->batch);
    return p->rc;
}

static int push_durable(struct node *n, int64_t v, struct position key, struct position *ret_at)
{
    struct push p;
    CHECK_OK(push(n, &p, v, key));
    CHECK_SOON(atomic_load(&p.err) != 1, WAIT_MS);
    if (ret_at)
        *ret_at = p.at;
    return atomic_load(&p.err);
}

struct remote {
    struct journal_wait wait;
    struct node *node;
    struct record record;
    struct buf columnar;
    struct position at;
    int rc;
    atomic_int err; /* 1 = not durable yet */
};

static void remote_durable(struct journal_wait *wait, struct position at, int err)
{
    (void)at;
    atomic_store(&CONTAINER_OF(wait, struct remote, wait)->err, err);
}

static void remote_on_thread(void *ctx)
{
    struct remote *r = ctx;
    r->wait.fn = remote_durable;
    r->rc = stream_log_append_remote(r->node->log, &r->record, &r->wait, &r->at);
}

/* Appends v of "edge1"'s stream as a hub does; gives append's result when it is durable. */
static int remote(struct node *n, const struct schema *schema, const char *stream, int64_t v,
                  struct position origin, struct position *ret_at)
{
    struct remote r = {.node = n};
    struct batch *b = make_batch(schema, v);
    CHECK_OK(columnar_encode(b, NULL, &r.columnar));
    batch_unref(b);
    r.record = (struct record){.node = bytes_of_text("edge1"),
                               .stream = bytes_of_text(stream),
                               .origin = origin,
                               .columnar = buf_bytes(&r.columnar)};
    atomic_init(&r.err, 1);
    run_on(journal_exec(n->journal), remote_on_thread, &r);
    if (!r.rc) {
        CHECK_SOON(atomic_load(&r.err) != 1, WAIT_MS);
        CHECK_OK(atomic_load(&r.err));
        if (ret_at)
            *ret_at = r.at;
    }
    buf_fini(&r.columnar);
    return r.rc;
}

/* ------------------------------------------------------------------------------------- reading */

/* The values of the log, in order. */
static size_t read_values(struct node *n, int64_t *ret, size_t max)
{
    struct stream_reader *r;
    struct stream_record record;
    size_t count = 0;
    int err;
    CHECK_OK(stream_reader_new(n->log, (struct position){0, 0}, &r));
    while ((err = stream_reader_next(r, &record)) == OK) {
        struct batch *b;
        CHECK(count < max);
        CHECK_OK(stream_reader_batch(r, &record, &b));
        struct column c = batch_column(b, 0);
        ret[count++] = column_value(&c, 0).i64;
        batch_unref(b);
    }
    CHECK_ERR(err, ERR_AGAIN);
    stream_reader_free(r);
    return count;
}

TEST(a_batch_is_done_when_it_is_durable_and_followers_read_it)
{
    struct node n;
    struct position at;
    struct stream_reader *r;
    struct stream_record record;
    node_open(&n, "edge1");
    node_insert(&n, 0);
    CHECK_OK(push_durable(&n, 7, (struct position){0, 0}, &at));
    CHECK_EQ(at.seq, 1);
    CHECK_EQ(at.epoch, journal_epoch(stream_log_journal(n.log)));
    CHECK_OK(stream_reader_new(n.log, (struct position){0, 0}, &r));
    CHECK_OK(stream_reader_next(r, &record));
    CHECK_BYTES(record.node, bytes_of_text("edge1"));
    CHECK_BYTES(record.stream, bytes_of_text("plc1.press"));
    CHECK_EQ(position_compare(record.origin, at), 0);
    CHECK_EQ(position_compare(record.at, at), 0);
    struct batch *b;
    CHECK_OK(stream_reader_batch(r, &record, &b));
    CHECK_EQ(batch_times(b)[0], 1007);
    batch_unref(b);
    stream_reader_free(r);
    node_close(&n);
}

struct taken {
    atomic_uint count;
    struct position at[16];
    bool hold; /* keeps items, so that credit runs out */
    struct flow_item held[16];
};

static void taken_ready(void *ctx, struct flow *f)
{
    struct taken *t = ctx;
    struct flow_item item;
    while (flow_take(f, &item)) {
        unsigned i = atomic_load(&t->count);
        t->at[i] = item.at;
        t->held[i] = item;
        if (!t->hold)
            flow_finish(&item, item.at, OK);
        atomic_store(&t->count, i + 1);
    }
}

TEST(batches_come_out_behind_the_log_with_their_position)
{
    struct node n;
    struct taken taken = {0};
    struct flow *f;
    node_open(&n, "edge1");
    node_insert(&n, 0);
    struct flow_options o = {
        .name = "taken", .consumer = n.producer, .ctx = &taken, .on_ready = taken_ready};
    CHECK_OK(flow_new(&o, &f));
    outlet_attach(n.stream->outlet, f);
    for (int64_t v = 0; v < 5; v++)
        CHECK_OK(push_durable(&n, v, (struct position){0, 0}, NULL));
    CHECK_SOON(atomic_load(&taken.count) == 5, WAIT_MS);
    for (uint64_t i = 0; i < 5; i++)
        CHECK_EQ(taken.at[i].seq, i + 1);
    flow_unref(f);
    node_close(&n);
}

static void finish_held(void *ctx)
{
    struct taken *t = ctx;
    for (unsigned i = 0; i < atomic_load(&t->count); i++)
        flow_finish(&t->held[i], t->held[i].at, OK);
    t->hold = false;
}

TEST(a_reader_without_credit_holds_the_producer_back_before_the_append)
{
    struct node n;
    struct taken taken = {.hold = true};
    struct flow *f;
    struct push p[3];
    struct journal_log_stats stats;
    struct stream_log_stats counts;
    node_open(&n, "edge1");
    node_insert(&n, 0);
    struct flow_options o = {.name = "slow",
                             .consumer = n.producer,
                             .ctx = &taken,
                             .items_max = 1,
                             .on_ready = taken_ready};
    CHECK_OK(flow_new(&o, &f));
    outlet_attach(n.stream->outlet, f);
    for (int i = 0; i < 3; i++)
        CHECK_OK(push(&n, &p[i], i, (struct position){0, 0}));
    CHECK_SOON(atomic_load(&p[0].err) == OK, WAIT_MS);
    CHECK_SOON((stream_log_stats(n.log, &counts), counts.waiting == 1), WAIT_MS);
    journal_log_stats(stream_log_journal(n.log), &stats);
    CHECK_EQ(stats.records, 1);
    run_on(n.producer, finish_held, &taken);
    CHECK_SOON(atomic_load(&p[2].err) == OK, WAIT_MS);
    stream_log_stats(n.log, &counts);
    CHECK_EQ(counts.waiting, 0);
    CHECK_EQ(counts.batches, 3);
    flow_unref(f);
    node_close(&n);
}

TEST(a_full_disk_holds_batches_and_lets_them_through_later)
{
    struct node n;
    struct push p[3];
    struct stream_log_stats counts;
    int64_t values[8];
    node_open(&n, "edge1");
    node_insert(&n, 0);
    atomic_store(&n.allocate_err, ERR_NO_SPACE);
    for (int i = 0; i < 3; i++)
        CHECK_OK(push(&n, &p[i], i, (struct position){0, 0}));
    CHECK_SOON((stream_log_stats(n.log, &counts), counts.waiting == 1), WAIT_MS);
    CHECK_EQ(atomic_load(&p[0].err), 1);
    atomic_store(&n.allocate_err, OK);
    for (int i = 0; i < 3; i++)
        CHECK_SOON(atomic_load(&p[i].err) == OK, WAIT_MS);
    CHECK_EQ(read_values(&n, values, 8), 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(values[i], i);
    node_close(&n);
}

TEST(what_waits_for_a_full_disk_is_refused_when_the_node_ends)
{
    struct node n;
    struct push p[3];
    struct stream_log_stats counts;
    int64_t values[8];
    node_open(&n, "edge1");
    node_insert(&n, STREAM_LOG_KEYED);
    atomic_store(&n.allocate_err, ERR_NO_SPACE);
    for (int i = 0; i < 2; i++)
        CHECK_OK(push(&n, &p[i], i, (struct position){2, (uint64_t)i}));
    CHECK_SOON((stream_log_stats(n.log, &counts), counts.waiting == 1), WAIT_MS);
    stream_log_drain(n.log);
    for (int i = 0; i < 2; i++)
        CHECK_SOON(atomic_load(&p[i].err) < 0, WAIT_MS);
    CHECK_EQ(atomic_load(&p[0].err), ERR_NO_SPACE);
    /* Space again, but what was refused would now come behind it. */
    atomic_store(&n.allocate_err, OK);
    CHECK_OK(push(&n, &p[2], 9, (struct position){3, 0}));
    CHECK_SOON(atomic_load(&p[2].err) == ERR_CANCELLED, WAIT_MS);
    stream_log_stats(n.log, &counts);
    CHECK_EQ(counts.waiting, 0);
    CHECK_EQ(read_values(&n, values, 8), 0);
    node_close(&n);
}

/* ----------------------------------------------------------------------------- rules' outputs */

TEST(an_output_of_a_rule_with_a_known_key_is_dropped_also_after_a_restart)
{
    struct node n;
    int64_t values[8];
    for (int round = 0; round < 3; round++) {
        node_open(&n, "edge1");
        struct record_key known = stream_log_key(n.log, bytes_of_text("plc1.press"));
        CHECK_EQ(known.major, round ? 2 : 0);
        CHECK_EQ(known.minor, round ? 7 : 0);
        node_insert(&n, STREAM_LOG_KEYED);
        CHECK_OK(push_durable(&n, 10, (struct position){1, 5}, NULL));
        CHECK_OK(push_durable(&n, 10, (struct position){1, 5}, NULL));
        CHECK_OK(push_durable(&n, 11, (struct position){2, 0}, NULL));
        CHECK_OK(push_durable(&n, 12, (struct position){2, 7}, NULL));
        CHECK_OK(push_durable(&n, 10, (struct position){1, 6}, NULL));
        CHECK_EQ(read_values(&n, values, 8), 3);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(values[i], 10 + i);
        node_close(&n);
    }
}

/* --------------------------------------------------------------------------------- other nodes */

TEST(a_remote_record_is_appended_once)
{
    struct node n;
    struct position at;
    int64_t values[8];
    for (int round = 0; round < 3; round++) {
        node_open(&n, "hub");
        CHECK_OK(stream_log_schema_put(n.log, n.schema));
        for (uint64_t i = 1; i <= 3; i++) {
            CHECK_OK(remote(&n, n.schema, "s", (int64_t)i, (struct position){9, i}, &at));
            CHECK_EQ(position_is_none(at), round > 0);
        }
        CHECK_OK(remote(&n, n.schema, "s", 2, (struct position){9, 2}, &at));
        CHECK(position_is_none(at));
        CHECK_OK(remote(&n, n.schema, "other", 4, (struct position){9, 1}, &at));
        CHECK_EQ(position_is_none(at), round > 0);
        CHECK_OK(remote(&n, n.schema, "s", 1, (struct position){8, 100}, &at));
        CHECK(position_is_none(at)); /* an older epoch is older */
        CHECK_EQ(read_values(&n, values, 8), 4);
        CHECK_EQ(stream_log_origin(n.log, bytes_of_text("edge1"), bytes_of_text("s")).seq, 3);
        const struct stream *s = stream_log_remote_find(n.log, bytes_of_text("edge1:s"));
        CHECK(s && s->kind == STREAM_REMOTE);
        CHECK_STR(s->node, "edge1");
        CHECK(!stream_log_remote_find(n.log, bytes_of_text("edge1:x")));
        node_close(&n);
    }
}

TEST(a_record_that_must_be_refused_makes_no_gap)
{
    struct node n;
    int64_t values[8];
    struct schema *unknown = make_schema("new");
    node_open(&n, "hub");
    CHECK_OK(stream_log_schema_put(n.log, n.schema));
    CHECK_OK(remote(&n, n.schema, "s", 1, (struct position){9, 1}, NULL));
    CHECK_ERR(remote(&n, unknown, "s", 2, (struct position){9, 2}, NULL), ERR_NOT_FOUND);
    /* In flight behind it: if this were taken, 2 could never come any more. */
    CHECK_ERR(remote(&n, n.schema, "s", 3, (struct position){9, 3}, NULL), ERR_CONFLICT);
    CHECK_ERR(remote(&n, n.schema, "t", 4, (struct position){9, 4}, NULL), ERR_CONFLICT);
    CHECK_OK(stream_log_schema_put(n.log, unknown));
    CHECK_OK(remote(&n, unknown, "s", 2, (struct position){9, 2}, NULL));
    CHECK_OK(remote(&n, n.schema, "s", 3, (struct position){9, 3}, NULL));
    CHECK_OK(remote(&n, n.schema, "t", 4, (struct position){9, 4}, NULL));
    CHECK_EQ(read_values(&n, values, 8), 4);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(values[i], i + 1);
    node_close(&n);
    schema_unref(unknown);
}

TEST(a_node_that_lost_the_refused_record_goes_on)
{
    struct node n;
    struct schema *unknown = make_schema("new");
    node_open(&n, "hub");
    CHECK_OK(stream_log_schema_put(n.log, n.schema));
    CHECK_ERR(remote(&n, unknown, "s", 2, (struct position){9, 2}, NULL), ERR_NOT_FOUND);
    CHECK_ERR(remote(&n, n.schema, "s", 3, (struct position){9, 3}, NULL), ERR_CONFLICT);
    /* Its log dropped 2 meanwhile: it begins again with 3. */
    CHECK_OK(remote(&n, n.schema, "s", 3, (struct position){9, 3}, NULL));
    node_close(&n);
    schema_unref(unknown);
}

TEST(a_full_disk_at_the_hub_refuses_and_makes_no_gap)
{
    struct node n;
    int64_t values[8];
    node_open(&n, "hub");
    CHECK_OK(stream_log_schema_put(n.log, n.schema));
    atomic_store(&n.allocate_err, ERR_NO_SPACE);
    CHECK_ERR(remote(&n, n.schema, "s", 1, (struct position){9, 1}, NULL), ERR_NO_SPACE);
    atomic_store(&n.allocate_err, OK);
    CHECK_ERR(remote(&n, n.schema, "s", 2, (struct position){9, 2}, NULL), ERR_CONFLICT);
    CHECK_OK(remote(&n, n.schema, "s", 1, (struct position){9, 1}, NULL));
    CHECK_OK(remote(&n, n.schema, "s", 2, (struct position){9, 2}, NULL));
    CHECK_EQ(read_values(&n, values, 8), 2);
    node_close(&n);
}

TEST(the_hub_keeps_nobody_waiting_for_space_when_it_ends)
{
    struct node n;
    node_open(&n, "hub");
    CHECK_OK(stream_log_schema_put(n.log, n.schema));
    atomic_store(&n.allocate_err, ERR_NO_SPACE);
    stream_log_drain(n.log);
    CHECK_ERR(remote(&n, n.schema, "s", 1, (struct position){9, 1}, NULL), ERR_CANCELLED);
    node_close(&n);
}

TEST(records_that_are_none_are_refused)
{
    struct node n;
    struct remote r = {0};
    node_open(&n, "hub");
    r.node = &n;
    r.record = (struct record){.node = bytes_of_text("edge1"),
                               .stream = bytes_of_text("s"),
                               .columnar = bytes_of_text("x")};
    run_on(journal_exec(n.journal), remote_on_thread, &r);
    CHECK_ERR(r.rc, ERR_INVALID); /* no origin */
    r.record.origin = (struct position){1, 1};
    run_on(journal_exec(n.journal), remote_on_thread, &r);
    CHECK(r.rc == ERR_SHORT || r.rc == ERR_VERSION);
    r.record.node = bytes_of_text("hub");
    run_on(journal_exec(n.journal), remote_on_thread, &r);
    CHECK_ERR(r.rc, ERR_INVALID); /* this node's own */
    node_close(&n);
}

/* ------------------------------------------------------------------------------------- schemas */

TEST(schemas_are_known_by_hash_over_restarts)
{
    struct node n;
    struct schema *again;
    node_open(&n, "edge1");
    uint64_t hash = n.schema->hash;
    CHECK_ERR(stream_log_schema_get(n.log, hash, &again), ERR_NOT_FOUND);
    CHECK_OK(stream_log_schema_put(n.log, n.schema));
    node_close(&n);
    node_open(&n, "edge1");
    CHECK_OK(stream_log_schema_get(n.log, hash, &again));
    CHECK_EQ(again->hash, hash);
    CHECK_STR(again->fields[0].name, "v");
    schema_unref(again);
    node_close(&n);
}
