/* What a consumer's reading does with records, and with those it cannot have. */
#include "model/feed.h"

#include "base/err.h"
#include "tests/support/check.h"

/* One call of feed_read: what each part of it gives, and what comes of it. */
struct reading {
    int next;
    bool wanted;
    int batch;
    int take;
    int result;
    uint64_t records; /* counted */
    uint64_t lost;
};

struct script {
    const struct reading *now;
    struct schema *schema;
    uint64_t seq;
    bool taken;
};

static int script_next(void *ctx, struct feed_record *ret)
{
    const struct script *s = ctx;
    ret->at = (struct position){1, s->seq};
    ret->stream = bytes_of_text("s");
    return s->now->next;
}

static int script_batch(void *ctx, const struct feed_record *record, struct batch **ret)
{
    struct script *s = ctx;
    struct batch_builder *bb = NULL;
    CHECK_EQ(record->at.seq, s->seq);
    if (s->now->batch)
        return s->now->batch;
    CHECK_OK(batch_builder_new(s->schema, 1, NULL, &bb));
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    CHECK_OK(batch_builder_finish(bb, ret));
    batch_builder_free(bb);
    return OK;
}

static bool script_wants(void *ctx, const struct feed_record *record)
{
    const struct script *s = ctx;
    CHECK(bytes_equal(record->stream, bytes_of_text("s")));
    return s->now->wanted;
}

static int script_take(void *ctx, const struct feed_record *record, struct batch *batch)
{
    struct script *s = ctx;
    CHECK_EQ(record->at.seq, s->seq);
    CHECK_EQ(batch->rows, 1);
    s->taken = true;
    batch_unref(batch);
    return s->now->take;
}

static void check_reading(const struct reading *r)
{
    static const struct field field = {.name = "v", .type = VALUE_INT64};
    struct script s = {.now = r, .seq = 7};
    uint64_t records = 0;
    uint64_t lost = 0;
    struct position at = {1, 6};
    struct feed feed = {.ctx = &s, .next = script_next, .batch = script_batch};
    struct feed_consumer consumer = {
        .name = "test",
        .missing = "are missing",
        .ctx = &s,
        .wants = script_wants,
        .take = script_take,
        .records = &records,
        .lost = &lost,
    };
    CHECK_OK(schema_new(&field, 1, &s.schema));
    CHECK_EQ(feed_read(&feed, &consumer, &at), r->result);
    CHECK_EQ(records, r->records);
    CHECK_EQ(lost, r->lost);
    CHECK_EQ(at.seq, r->result ? 6 : 7);
    CHECK_EQ(s.taken, !r->next && r->wanted && !r->batch);
    schema_unref(s.schema);
}

TEST(a_record_is_taken_if_it_is_wanted)
{
    check_reading(&(struct reading){.wanted = true, .records = 1});
    check_reading(&(struct reading){.wanted = false, .records = 1});
}

TEST(nothing_beyond_is_no_record)
{
    check_reading(&(struct reading){.next = ERR_AGAIN, .wanted = true, .result = ERR_AGAIN});
}

TEST(what_no_second_attempt_mends_is_counted_and_passed_over)
{
    static const int final[] = {ERR_EXPIRED,     ERR_CHECKSUM, ERR_MALFORMED, ERR_VERSION,
                                ERR_UNSUPPORTED, ERR_SHORT,    ERR_NOT_FOUND, ERR_INVALID};
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++) {
        int err = final[i];
        check_reading(&(struct reading){.next = err, .wanted = true, .lost = 1});
        check_reading(&(struct reading){.batch = err, .wanted = true, .records = 1, .lost = 1});
        check_reading(&(struct reading){.take = err, .wanted = true, .records = 1, .lost = 1});
    }
}

TEST(another_error_leaves_the_record_to_the_next_attempt)
{
    static const int again[] = {ERR_NOMEM, ERR_IO, ERR_NO_SPACE, ERR_LIMIT};
    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++) {
        int err = again[i];
        check_reading(&(struct reading){.next = err, .wanted = true, .result = err});
        check_reading(&(struct reading){.batch = err, .wanted = true, .result = err, .records = 1});
        check_reading(&(struct reading){.take = err, .wanted = true, .result = err, .records = 1});
    }
}

/* A consumer that hears ERR_AGAIN waits for more, and the record would never be read again. */
TEST(only_the_feed_says_that_there_is_nothing_beyond)
{
    check_reading(
        &(struct reading){.batch = ERR_AGAIN, .wanted = true, .result = ERR_LIMIT, .records = 1});
    check_reading(
        &(struct reading){.take = ERR_AGAIN, .wanted = true, .result = ERR_LIMIT, .records = 1});
}
