/* The hub's end of the uplink: what it holds, what it refuses, and that nothing is told durable
 * before it is. The log behind it is a table here, so that a full disk and a slow commit are one
 * line each; the real one stands behind it in tests/chain and tests/e2e/test_40_edge_hub.py. */
#include "bridge/uplink.h"
#include "model/message.h"
#include "tests/support/check.h"

#include <stdio.h>

#define ROWS_MAX      8
#define RETRY_OVER_US 1000000

struct hub {
    struct exec *exec; /* the journal's and the broker's */
    struct uplink_store store;
    struct uplink_receiver *receiver;
    struct schema *schema;
    struct outlet outlet; /* the broker's side */
    int append_err;       /* what the next appends give */
    int schema_err;
    struct journal_wait *waits[ROWS_MAX]; /* appended, not durable yet */
    uint32_t wait_count;
    char log[256]; /* "node=payload;" of every append, "schema=payload;" */
};

static void note(struct hub *h, const char *what, size_t what_len, struct bytes payload)
{
    size_t len = strlen(h->log);
    (void)snprintf(h->log + len, sizeof h->log - len, "%.*s=%.*s;", (int)what_len, what,
                   (int)payload.len, (const char *)payload.ptr);
}

static int store_append(void *ctx, struct bytes node, struct bytes payload,
                        struct journal_wait *wait)
{
    struct hub *h = ctx;
    if (h->append_err)
        return h->append_err;
    note(h, (const char *)node.ptr, node.len, payload);
    CHECK(h->wait_count < ROWS_MAX);
    h->waits[h->wait_count++] = wait;
    return OK;
}

static int store_schema(void *ctx, struct bytes payload)
{
    struct hub *h = ctx;
    note(h, "schema", strlen("schema"), payload);
    return h->schema_err;
}

/* The commit of everything appended so far. */
static void commit(struct hub *h, int err)
{
    uint32_t count = h->wait_count;
    h->wait_count = 0;
    for (uint32_t i = 0; i < count; i++)
        h->waits[i]->fn(h->waits[i], (struct position){1, i + 1}, err);
    (void)exec_fake_run(h->exec);
}

static void hub_open(struct hub *h)
{
    *h = (struct hub){.exec = exec_fake_new(0, 0)};
    h->store = (struct uplink_store){
        .ctx = h, .exec = h->exec, .append = store_append, .schema = store_schema};
    CHECK_OK(message_schema_new(&h->schema));
    CHECK_OK(uplink_receiver_new(&h->store, &h->receiver));
    outlet_init(&h->outlet, h->exec, NULL, NULL);
    outlet_attach(&h->outlet, uplink_receiver_flow(h->receiver));
}

static void hub_close(struct hub *h)
{
    uplink_receiver_free(h->receiver);
    (void)exec_fake_run(h->exec);
    outlet_fini(&h->outlet);
    (void)exec_fake_run(h->exec);
    schema_unref(h->schema);
    exec_fake_free(h->exec);
}

struct sent {
    struct flow_done done;
    bool through;
    struct position at;
    int err;
};

static void sent_done(struct flow_done *done, struct position at, int err)
{
    struct sent *s = CONTAINER_OF(done, struct sent, done);
    CHECK(!s->through);
    s->through = true;
    s->at = at;
    s->err = err;
}

/* A batch of messages: topic, payload, topic, payload, …, NULL. */
static void publish(struct hub *h, struct sent *s, const char *const *pairs)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    *s = (struct sent){0};
    CHECK_OK(batch_builder_new(h->schema, ROWS_MAX, NULL, &bb));
    for (; *pairs; pairs += 2) {
        CHECK(batch_builder_row(bb, 0) >= 0);
        CHECK_OK(batch_set_bytes(bb, MESSAGE_TOPIC, bytes_of_text(pairs[0])));
        CHECK_OK(batch_set_bytes(bb, MESSAGE_PAYLOAD, bytes_of_text(pairs[1])));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    flow_done_init(&s->done, h->exec, sent_done);
    CHECK_OK(outlet_push(&h->outlet, b, (struct position){0, 0}, &s->done));
    batch_unref(b);
    (void)exec_fake_run(h->exec);
}

TEST(messages_are_through_when_every_record_in_them_is_durable)
{
    struct hub h;
    struct sent s;
    const char *const pairs[] = {
        "lotline/up/e1/schema", "S", "lotline/up/e1/data", "a", "lotline/up/e2/data", "b", NULL};
    hub_open(&h);
    publish(&h, &s, pairs);
    CHECK_STR(h.log, "schema=S;e1=a;e2=b;");
    CHECK(!s.through);
    h.waits[0]->fn(h.waits[0], (struct position){1, 1}, OK);
    (void)exec_fake_run(h.exec);
    CHECK(!s.through);
    h.waits[1]->fn(h.waits[1], (struct position){1, 2}, OK);
    (void)exec_fake_run(h.exec);
    CHECK(s.through);
    CHECK_OK(s.err);
    CHECK_EQ(s.at.seq, 2);
    hub_close(&h);
}

TEST(a_schema_alone_is_through_at_once)
{
    struct hub h;
    struct sent s;
    const char *const pairs[] = {"lotline/up/e1/schema", "S", NULL};
    hub_open(&h);
    publish(&h, &s, pairs);
    CHECK(s.through);
    CHECK_OK(s.err);
    h.schema_err = ERR_MALFORMED;
    publish(&h, &s, pairs);
    CHECK_ERR(s.err, ERR_MALFORMED);
    hub_close(&h);
}

TEST(a_full_disk_holds_a_message_and_all_behind_it_and_nothing_comes_twice)
{
    struct hub h;
    struct sent first;
    struct sent second;
    struct uplink_receiver_stats stats;
    const char *const one[] = {"lotline/up/e1/data", "1", "lotline/up/e1/data", "2", NULL};
    const char *const two[] = {"lotline/up/e1/data", "3", NULL};
    hub_open(&h);
    h.append_err = ERR_NO_SPACE;
    publish(&h, &first, one);
    publish(&h, &second, two);
    exec_fake_advance(h.exec, RETRY_OVER_US);
    CHECK_STR(h.log, "");
    CHECK(!first.through && !second.through);
    uplink_receiver_stats_get(h.receiver, &stats);
    CHECK_EQ(stats.held, 1);
    h.append_err = OK;
    exec_fake_advance(h.exec, RETRY_OVER_US);
    CHECK_STR(h.log, "e1=1;e1=2;e1=3;");
    commit(&h, OK);
    CHECK(first.through && second.through);
    CHECK_OK(first.err);
    uplink_receiver_stats_get(h.receiver, &stats);
    CHECK_EQ(stats.records, 3);
    CHECK_EQ(stats.held, 0);
    hub_close(&h);
}

TEST(what_is_no_record_is_refused_and_counted_and_the_rest_goes_on)
{
    struct hub h;
    struct sent s;
    struct uplink_receiver_stats stats;
    const char *const strange[] = {"lotline/up/e1/other", "x", "lotline/up/", "x",
                                   "elsewhere/e1/data",   "x", NULL};
    const char *const good[] = {"lotline/up/e1/data", "g", NULL};
    hub_open(&h);
    publish(&h, &s, strange);
    CHECK_ERR(s.err, ERR_MALFORMED);
    h.append_err = ERR_NOT_FOUND;
    publish(&h, &s, good);
    CHECK_ERR(s.err, ERR_NOT_FOUND);
    h.append_err = ERR_DENIED;
    publish(&h, &s, good);
    CHECK_ERR(s.err, ERR_DENIED);
    h.append_err = OK;
    publish(&h, &s, good);
    CHECK(!s.through);
    commit(&h, OK);
    CHECK_OK(s.err);
    uplink_receiver_stats_get(h.receiver, &stats);
    CHECK_EQ(stats.unknown, 1);
    CHECK_EQ(stats.malformed, 4);
    CHECK_EQ(stats.records, 1);
    CHECK_STR(h.log, "e1=g;");
    hub_close(&h);
}

TEST(a_commit_that_fails_is_told)
{
    struct hub h;
    struct sent s;
    const char *const pairs[] = {"lotline/up/e1/data", "a", NULL};
    hub_open(&h);
    publish(&h, &s, pairs);
    commit(&h, ERR_IO);
    CHECK(s.through);
    CHECK_ERR(s.err, ERR_IO);
    hub_close(&h);
}

TEST(at_the_end_what_waits_for_space_is_let_go_and_what_is_in_the_log_is_waited_for)
{
    struct hub h;
    struct sent logged;
    struct sent waiting;
    struct sent behind;
    const char *const a[] = {"lotline/up/e1/data", "a", NULL};
    const char *const b[] = {"lotline/up/e1/data", "b", NULL};
    hub_open(&h);
    publish(&h, &logged, a);
    h.append_err = ERR_NO_SPACE;
    publish(&h, &waiting, b);
    publish(&h, &behind, b);
    uplink_receiver_free(h.receiver);
    h.receiver = NULL;
    (void)exec_fake_run(h.exec);
    CHECK(waiting.through && behind.through && !logged.through);
    CHECK_ERR(waiting.err, ERR_CANCELLED);
    CHECK_ERR(behind.err, ERR_CANCELLED);
    commit(&h, OK);
    CHECK(logged.through);
    CHECK_OK(logged.err);
    hub_close(&h);
}
