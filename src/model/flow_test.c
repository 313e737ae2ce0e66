/* Flows: order, credit, policies, done, closing; on one thread with a fake clock, then on two. */
#include "model/flow.h"

#include "base/err.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#define WAIT_MS 20000

struct side {
    struct exec *exec;
    struct outlet outlet;
    struct flow *flow;
    struct flow *other;
    int ready;
    int closed;
    int credit;
};

static struct side side;

static void on_ready(void *ctx, struct flow *f)
{
    struct side *s = ctx;
    CHECK(f == s->flow || f == s->other);
    s->ready++;
}

static void on_closed(void *ctx, struct flow *f)
{
    struct side *s = ctx;
    CHECK(f == s->flow || f == s->other);
    s->closed++;
}

static void on_credit(struct outlet *o)
{
    CONTAINER_OF(o, struct side, outlet)->credit++;
}

static struct batch *batch_of(uint32_t rows)
{
    static const struct field field = {.name = "i", .type = VALUE_INT64};
    struct schema *s = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(schema_new(&field, 1, &s));
    CHECK_OK(batch_builder_new(s, rows, NULL, &bb));
    for (uint32_t i = 0; i < rows; i++) {
        CHECK_EQ(batch_builder_row(bb, i), (int)i);
        batch_set_i64(bb, 0, i);
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(s);
    return b;
}

static void set_up(enum flow_policy policy, uint32_t items_max, uint64_t rows_max)
{
    side = (struct side){.exec = exec_fake_new(0, 0)};
    struct flow_options options = {.name = "test",
                                   .consumer = side.exec,
                                   .policy = policy,
                                   .items_max = items_max,
                                   .rows_max = rows_max,
                                   .ctx = &side,
                                   .on_ready = on_ready,
                                   .on_closed = on_closed};
    outlet_init(&side.outlet, side.exec, NULL, on_credit);
    CHECK_OK(flow_new(&options, &side.flow));
    CHECK_STR(flow_name(side.flow), "test");
    outlet_attach(&side.outlet, side.flow);
    CHECK(outlet_has_flows(&side.outlet));
}

static void tear_down(void)
{
    flow_close(side.flow);
    (void)exec_fake_run(side.exec);
    CHECK_EQ(side.closed, 1);
    flow_unref(side.flow);
    outlet_fini(&side.outlet);
    exec_fake_free(side.exec);
}

static int push_done(uint32_t rows, uint64_t seq, struct flow_done *done)
{
    struct batch *b = batch_of(rows);
    int err = outlet_push(&side.outlet, b, (struct position){1, seq}, done);
    batch_unref(b);
    return err;
}

static int push(uint32_t rows, uint64_t seq)
{
    return push_done(rows, seq, NULL);
}

/* Takes and finishes one item; its sequence number, 0 if there is none. */
static uint64_t take(int err)
{
    struct flow_item item;
    if (!flow_take(side.flow, &item))
        return 0;
    uint64_t seq = item.at.seq;
    CHECK(item.batch->rows > 0);
    flow_finish(&item, item.at, err);
    return seq;
}

TEST(flow_hands_over_in_order)
{
    set_up(FLOW_BLOCK, 0, 0);
    CHECK_OK(push(1, 1));
    CHECK_OK(push(2, 2));
    (void)exec_fake_run(side.exec);
    CHECK_EQ(side.ready, 1);
    CHECK_EQ(take(OK), 1);
    CHECK_EQ(take(OK), 2);
    CHECK_EQ(take(OK), 0);
    struct flow_stats stats;
    flow_stats_get(side.flow, &stats);
    CHECK_EQ(stats.items, 2);
    CHECK_EQ(stats.rows, 3);
    CHECK_EQ(stats.waiting_rows, 0);
    CHECK_EQ(stats.waiting_bytes, 0);
    tear_down();
}

TEST(flow_blocks_without_credit_and_says_when_there_is_some)
{
    struct flow_stats stats;
    set_up(FLOW_BLOCK, 2, 10);
    CHECK_OK(push(100, 1)); /* larger than all credit, but alone */
    CHECK_ERR(push(1, 2), ERR_AGAIN);
    flow_stats_get(side.flow, &stats);
    CHECK_EQ(stats.blocked, 1);
    CHECK_EQ(take(OK), 1);
    (void)exec_fake_run(side.exec);
    CHECK_EQ(side.credit, 1);
    CHECK_OK(push(5, 2));
    CHECK_OK(push(5, 3));
    CHECK_ERR(push(1, 4), ERR_AGAIN); /* two items */
    struct flow_item item;
    CHECK(flow_take(side.flow, &item));
    CHECK_ERR(push(1, 4), ERR_AGAIN); /* taken is not finished */
    flow_finish(&item, item.at, OK);
    CHECK_OK(push(1, 4));
    CHECK_EQ(take(OK), 3);
    CHECK_EQ(take(OK), 4);
    tear_down();
}

TEST(flow_drops_the_oldest)
{
    struct flow_stats stats;
    set_up(FLOW_DROP_OLDEST, 2, 0);
    for (uint64_t i = 1; i <= 5; i++)
        CHECK_OK(push(3, i));
    CHECK_EQ(take(OK), 4);
    CHECK_EQ(take(OK), 5);
    CHECK_EQ(take(OK), 0);
    flow_stats_get(side.flow, &stats);
    CHECK_EQ(stats.dropped_items, 3);
    CHECK_EQ(stats.dropped_rows, 9);
    tear_down();
}

TEST(flow_keeps_the_latest)
{
    set_up(FLOW_LATEST, 50, 0);
    for (uint64_t i = 1; i <= 5; i++)
        CHECK_OK(push(1, i));
    CHECK_EQ(take(OK), 5);
    CHECK_EQ(take(OK), 0);
    tear_down();
}

/* ------------------------------------------------------------------------------------------ done
 */

struct receipt {
    struct flow_done done;
    int told;
    struct position at;
    int err;
};

static void on_done(struct flow_done *done, struct position at, int err)
{
    struct receipt *r = CONTAINER_OF(done, struct receipt, done);
    r->told++;
    r->at = at;
    r->err = err;
}

TEST(flow_done_comes_after_the_last_consumer)
{
    struct receipt r = {.told = 0};
    set_up(FLOW_BLOCK, 0, 0);
    struct flow_options options = {
        .name = "other", .consumer = side.exec, .ctx = &side, .on_ready = on_ready};
    CHECK_OK(flow_new(&options, &side.other));
    outlet_attach(&side.outlet, side.other);
    flow_done_init(&r.done, side.exec, on_done);
    CHECK_OK(push_done(1, 7, &r.done));
    struct flow_item item;
    CHECK(flow_take(side.other, &item));
    flow_finish(&item, (struct position){0, 0}, ERR_IO);
    (void)exec_fake_run(side.exec);
    CHECK_EQ(r.told, 0);
    CHECK_EQ(take(ERR_NO_SPACE), 7);
    CHECK_EQ(r.told, 0); /* by its own exec, not from within */
    (void)exec_fake_run(side.exec);
    CHECK_EQ(r.told, 1);
    CHECK_EQ(r.at.seq, 7);
    CHECK_EQ(r.err, ERR_IO);
    flow_close(side.other);
    (void)exec_fake_run(side.exec);
    flow_unref(side.other);
    tear_down();
}

TEST(flow_done_comes_at_once_when_nobody_listens)
{
    struct receipt r = {.told = 0};
    side = (struct side){.exec = exec_fake_new(0, 0)};
    outlet_init(&side.outlet, side.exec, NULL, NULL);
    flow_done_init(&r.done, side.exec, on_done);
    CHECK_OK(push_done(1, 7, &r.done));
    (void)exec_fake_run(side.exec);
    CHECK_EQ(r.told, 1);
    CHECK_EQ(r.err, OK);
    CHECK(position_is_none(r.at));
    flow_done_finish(NULL, r.at, OK);
    outlet_fini(&side.outlet);
    exec_fake_free(side.exec);
}

TEST(flow_closed_finishes_what_waits_as_cancelled)
{
    struct receipt r = {.told = 0};
    set_up(FLOW_BLOCK, 0, 0);
    flow_done_init(&r.done, side.exec, on_done);
    CHECK_OK(push_done(1, 1, &r.done));
    flow_close(side.flow);
    flow_close(side.flow);
    (void)exec_fake_run(side.exec);
    CHECK_EQ(side.closed, 1);
    CHECK_EQ(side.ready, 0);
    CHECK_EQ(r.told, 1);
    CHECK_EQ(r.err, ERR_CANCELLED);
    CHECK(!outlet_has_flows(&side.outlet));
    CHECK_OK(push(1, 2));
    flow_unref(side.flow);
    outlet_fini(&side.outlet);
    exec_fake_free(side.exec);
}

TEST(flow_outlet_closes_its_flows)
{
    set_up(FLOW_BLOCK, 0, 0);
    CHECK_OK(push(1, 1));
    outlet_fini(&side.outlet);
    (void)exec_fake_run(side.exec);
    CHECK_EQ(side.closed, 1);
    CHECK_EQ(take(OK), 0);
    flow_close(side.flow);
    (void)exec_fake_run(side.exec);
    CHECK_EQ(side.closed, 1);
    flow_unref(side.flow);
    flow_unref(NULL);
    exec_fake_free(side.exec);
}

TEST(flow_that_was_never_attached_closes)
{
    side = (struct side){.exec = exec_fake_new(0, 0)};
    struct flow_options options = {.name = "test",
                                   .consumer = side.exec,
                                   .ctx = &side,
                                   .on_ready = on_ready,
                                   .on_closed = on_closed};
    CHECK_OK(flow_new(&options, &side.flow));
    flow_close(side.flow);
    CHECK_EQ(side.closed, 1);
    flow_unref(side.flow);
    exec_fake_free(side.exec);
}

TEST(flow_without_memory)
{
    struct exec *e = exec_fake_new(0, 0);
    struct flow_options options = {.name = "test", .consumer = e};
    FAULT_EACH (n) {
        struct flow *f = NULL;
        int err = flow_new(&options, &f);
        CHECK_EQ(err, fault_hit() ? ERR_NOMEM : OK);
        flow_unref(f);
    }
    exec_fake_free(e);
}

TEST(flow_push_without_memory_is_counted)
{
    struct receipt r = {.told = 0};
    struct flow_stats stats;
    set_up(FLOW_BLOCK, 0, 0);
    struct batch *b = batch_of(4);
    flow_done_init(&r.done, side.exec, on_done);
    fault_at(1);
    CHECK_OK(outlet_push(&side.outlet, b, (struct position){1, 1}, &r.done));
    fault_off();
    (void)exec_fake_run(side.exec);
    CHECK_EQ(r.err, ERR_NOMEM);
    flow_stats_get(side.flow, &stats);
    CHECK_EQ(stats.dropped_rows, 4);
    CHECK_EQ(stats.waiting_rows, 0);
    batch_unref(b);
    tear_down();
}

/* ----------------------------------------------------------------------------------- two threads
 */

#define ITEMS 20000

struct line {
    struct exec *producer;
    struct exec *consumer;
    struct outlet outlet;
    struct exec_task push_task;
    struct exec_task close_task;
    struct flow *flow;
    struct batch *batch;
    uint64_t pushed;
    uint64_t taken;
    bool in_order;
    atomic_int closed;
};

static void line_push(struct line *l)
{
    while (l->pushed < ITEMS) {
        if (outlet_push(&l->outlet, l->batch, (struct position){1, l->pushed + 1}, NULL))
            return; /* the credit brings us back */
        l->pushed++;
    }
}

static void line_push_run(struct exec_task *task)
{
    line_push(CONTAINER_OF(task, struct line, push_task));
}

static void line_credit(struct outlet *o)
{
    line_push(CONTAINER_OF(o, struct line, outlet));
}

static void line_ready(void *ctx, struct flow *f)
{
    struct line *l = ctx;
    struct flow_item item;
    while (flow_take(f, &item)) {
        l->in_order &= item.at.seq == ++l->taken;
        flow_finish(&item, item.at, OK);
    }
    if (l->taken == ITEMS)
        flow_close(f);
}

static void line_closed(void *ctx, struct flow *f)
{
    struct line *l = ctx;
    (void)f;
    atomic_store(&l->closed, 1);
}

TEST(flow_loses_nothing_between_two_threads)
{
    struct line l = {.in_order = true};
    CHECK_OK(exec_thread_new("producer", 0, &l.producer));
    CHECK_OK(exec_thread_new("consumer", 0, &l.consumer));
    struct flow_options options = {.name = "line",
                                   .consumer = l.consumer,
                                   .items_max = 3,
                                   .ctx = &l,
                                   .on_ready = line_ready,
                                   .on_closed = line_closed};
    l.batch = batch_of(1);
    outlet_init(&l.outlet, l.producer, NULL, line_credit);
    CHECK_OK(flow_new(&options, &l.flow));
    outlet_attach(&l.outlet, l.flow);
    exec_task_init(&l.push_task, line_push_run);
    CHECK(exec_post(l.producer, &l.push_task));
    CHECK_SOON(atomic_load(&l.closed) == 1, WAIT_MS);
    exec_thread_free(l.producer);
    exec_thread_free(l.consumer);
    CHECK_EQ(l.pushed, ITEMS);
    CHECK_EQ(l.taken, ITEMS);
    CHECK(l.in_order);
    flow_unref(l.flow);
    batch_unref(l.batch);
}
