/* One importer on a fake exec: what goes where, what waits for what, and what a stop may not
 * acknowledge. */
#include "base/err.h"
#include "stream/engine_priv.h"
#include "tests/support/check.h"

#define NOW_US 1790000000000000

static const struct field fields[] = {
    {.name = "force", .type = VALUE_DOUBLE},
    {.name = "n", .type = VALUE_INT64},
};

struct sent {
    struct flow_done done;
    struct diag diag;
    unsigned told;
    int err;
};

static struct exec *fake;
static struct stream_engine engine;
static struct stream *group;
static struct outlet polls; /* the group's, as its gateway has it */
static struct outlet door;  /* the broker's */
static struct schema *messages;
static struct importer importer;
static struct flow *behind; /* what reads the group; NULL: nobody */
static unsigned credit_told;
static unsigned behind_closed;

static void polls_credit(struct outlet *o)
{
    (void)o;
    credit_told++;
}

static void nothing_ready(void *ctx, struct flow *f)
{
    (void)ctx;
    (void)f;
}

static void behind_gone(void *ctx, struct flow *f)
{
    (void)ctx;
    (void)f;
    behind_closed++;
}

static void read_group(uint32_t items_max)
{
    struct flow_options o = {.name = "reader",
                             .consumer = fake,
                             .policy = FLOW_BLOCK,
                             .items_max = items_max,
                             .on_ready = nothing_ready,
                             .on_closed = behind_gone};
    CHECK_OK(flow_new(&o, &behind));
    outlet_attach(&polls, behind);
}

static void set_up(uint32_t items_max)
{
    struct schema *s = NULL;
    fake = exec_fake_new(0, NOW_US);
    engine = (struct stream_engine){0};
    importer = (struct importer){0};
    behind = NULL;
    credit_told = 0;
    CHECK_EQ(pthread_mutex_init(&engine.busy.lock, NULL), 0);
    CHECK_EQ(pthread_cond_init(&engine.busy.idle, NULL), 0);
    CHECK_OK(schema_new(fields, 2, &s));
    CHECK_OK(stream_new("plc1.press", "node1", STREAM_GROUP, "plant/line", s, &group));
    schema_unref(s);
    outlet_init(&polls, fake, group, polls_credit);
    group->outlet = &polls;
    CHECK_OK(importer_init(&importer, &engine, group));
    CHECK_STR(importer.filter, "plant/line/plc1/press/import");
    engine_busy_add(&engine);
    CHECK_OK(message_schema_new(&messages));
    outlet_init(&door, fake, NULL, NULL);
    outlet_attach(&door, importer.flow);
    if (items_max)
        read_group(items_max);
}

static void tear_down(void)
{
    importer_stop(&importer);
    (void)exec_fake_run(fake);
    CHECK_EQ(engine.busy.count, 0);
    outlet_fini(&door);
    outlet_fini(&polls);
    (void)exec_fake_run(fake);
    flow_unref(behind);
    importer_fini(&importer);
    stream_free(group);
    schema_unref(messages);
    pthread_mutex_destroy(&engine.busy.lock);
    pthread_cond_destroy(&engine.busy.idle);
    exec_fake_free(fake);
}

static void on_done(struct flow_done *done, struct position at, int err)
{
    struct sent *s = CONTAINER_OF(done, struct sent, done);
    (void)at;
    s->told++;
    s->err = err;
}

/* A message as the broker hands it over; runs what that starts. */
static void send(struct sent *s, const char *payload)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    *s = (struct sent){.told = 0};
    CHECK_OK(batch_builder_new(messages, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, NOW_US) >= 0);
    CHECK_OK(batch_set_bytes(bb, MESSAGE_TOPIC, bytes_of_text(importer.filter)));
    CHECK_OK(batch_set_bytes(bb, MESSAGE_CLIENT, bytes_of_text("me")));
    CHECK_OK(batch_set_bytes(bb, MESSAGE_PAYLOAD, bytes_of_text(payload)));
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    flow_done_init(&s->done, fake, on_done);
    s->done.diag = &s->diag;
    CHECK_OK(outlet_push(&door, b, (struct position){0, 0}, &s->done));
    batch_unref(b);
    (void)exec_fake_run(fake);
}

/* The next batch that came out of the group: its first row's time and its rows. */
static int64_t take(uint32_t *ret_rows, int err)
{
    struct flow_item item;
    if (!flow_take(behind, &item))
        return 0;
    int64_t first = batch_times(item.batch)[0];
    *ret_rows = item.batch->rows;
    CHECK(item.batch->schema == group->schema);
    flow_finish(&item, item.at, err);
    (void)exec_fake_run(fake);
    return first;
}

TEST(rows_come_out_where_polls_do_and_are_finished_when_those_are)
{
    struct sent s;
    uint32_t rows = 0;
    set_up(8);
    send(&s, "[{\"ts\":1700000000000,\"force\":1},{\"ts\":1700000000001,\"n\":2}]");
    CHECK_EQ(s.told, 0);
    CHECK_EQ(take(&rows, OK), 1700000000000000);
    CHECK_EQ(rows, 2);
    CHECK_EQ(s.told, 1);
    CHECK_OK(s.err);
    send(&s, "{\"ts\":1700000000002,\"force\":1}");
    CHECK_EQ(take(&rows, ERR_NO_SPACE), 1700000000002000);
    CHECK_EQ(s.told, 1);
    CHECK_ERR(s.err, ERR_NO_SPACE); /* and not as if it were stored */
    send(&s, "[]");
    CHECK_EQ(s.told, 1);
    CHECK_OK(s.err);
    tear_down();
}

TEST(a_message_that_does_not_fit_is_refused_in_words)
{
    static const struct {
        const char *payload;
        const char *why;
    } bad[] = {
        {"nonsense", "at byte"},
        {"{\"ts\":1700000000000,\"m\":1}", "row 1: the group has no tag \"m\""},
        {"{\"ts\":1700000000,\"n\":1}", "row 1: its time lies before 1980"},
        {"{\"ts\":1790000060001,\"n\":1}", "row 1: its time lies in the future"},
    };
    struct sent s;
    uint32_t rows = 0;
    set_up(8);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        send(&s, bad[i].payload);
        CHECK_EQ(s.told, 1);
        CHECK_ERR(s.err, ERR_MALFORMED);
        CHECK(strstr(s.diag.text, bad[i].why) != NULL);
    }
    CHECK_EQ(take(&rows, OK), 0);
    send(&s, "{\"ts\":1790000060000,\"n\":1}"); /* just so */
    CHECK_EQ(take(&rows, OK), 1790000060000000);
    CHECK_EQ(atomic_load(&importer.messages), 5);
    CHECK_EQ(atomic_load(&importer.refused), 4);
    CHECK_EQ(atomic_load(&importer.rows), 1);
    tear_down();
}

TEST(without_credit_it_waits_behind_the_polls_and_goes_on_in_order)
{
    struct sent s[3];
    uint32_t rows = 0;
    set_up(1);
    send(&s[0], "{\"ts\":1700000000001}");
    send(&s[1], "{\"ts\":1700000000002}");
    send(&s[2], "{\"ts\":1700000000003}");
    for (int64_t i = 1; i <= 3; i++) {
        CHECK_EQ(take(&rows, OK), 1700000000000000 + i * 1000);
        CHECK_EQ(s[i - 1].told, 1);
        CHECK_EQ(credit_told, i < 3 ? (unsigned)i : 2); /* the group was told first */
    }
    CHECK_EQ(take(&rows, OK), 0);
    tear_down();
}

TEST(a_stop_cancels_what_waits)
{
    struct sent s[2];
    set_up(1);
    send(&s[0], "{\"ts\":1700000000001}");
    send(&s[1], "{\"ts\":1700000000002}");
    outlet_fini(&door);
    (void)exec_fake_run(fake);
    CHECK_EQ(s[0].told, 0); /* is with its reader */
    CHECK_EQ(s[1].told, 1);
    CHECK_ERR(s[1].err, ERR_CANCELLED);
    outlet_fini(&polls);
    (void)exec_fake_run(fake);
    CHECK_EQ(s[0].told, 1);
    CHECK_ERR(s[0].err, ERR_CANCELLED);
    tear_down();
}

TEST(what_no_log_takes_any_more_is_not_acknowledged)
{
    struct sent s;
    set_up(0);
    group->durable = true;
    send(&s, "{\"ts\":1700000000001,\"n\":1}");
    CHECK_EQ(s.told, 0);
    outlet_fini(&door);
    (void)exec_fake_run(fake);
    CHECK_ERR(s.err, ERR_CANCELLED);
    tear_down();
}

TEST(where_nobody_reads_nothing_waits)
{
    struct sent s;
    set_up(0);
    send(&s, "{\"ts\":1700000000001,\"n\":1}");
    CHECK_EQ(s.told, 1);
    CHECK_OK(s.err);
    tear_down();
}
