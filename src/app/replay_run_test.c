/* A replay's presences do not depend on where one batch ends and the next begins; and what of two
 * lists is the same visit, with its exact answer. */
#include "app/replay.h"
#include "base/err.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#define T0   (INT64_C(1763800000) * 1000000)
#define POLL INT64_C(100000)
#define ROWS 400 /* five cycles of the press and a little */

static const char config_text[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: press1, station: press, unit: plc.press.serial,\n"
    "     begin: {signal: plc.press.cycle}, end: {signal: plc.press.cycle, edge: falling}}\n";

static int go_on(void *ctx)
{
    (void)ctx;
    return OK;
}

static const struct replay_stop never = {go_on, NULL};

/* One row a poll: 40 polls with a part, 40 without. */
static void row_put(struct batch_builder *bb, int64_t row)
{
    char serial[16];
    (void)snprintf(serial, sizeof serial, "S%d", (int)(row / 80));
    CHECK(batch_builder_row(bb, T0 + row * POLL) >= 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(serial)));
    batch_set_bool(bb, 1, row % 80 >= 40);
}

static void feed_rows(struct replay_run *run, const struct schema *schema, uint32_t rows_a_batch)
{
    struct batch_builder *bb = NULL;
    struct replay_batch batches[ROWS];
    uint32_t count = 0;
    CHECK_OK(batch_builder_new(schema, rows_a_batch, NULL, &bb));
    for (uint32_t row = 0; row < ROWS; row++) {
        row_put(bb, row);
        if (batch_builder_rows(bb) < rows_a_batch && row + 1 < ROWS)
            continue;
        batches[count].stream = "plc.press";
        CHECK_OK(batch_builder_finish(bb, &batches[count].batch));
        count++;
    }
    batch_builder_free(bb);
    uint32_t half = count / 2;
    CHECK_OK(replay_run_feed(run, batches, half, &never));
    CHECK_OK(replay_run_feed(run, batches + half, count - half, &never));
}

/* "S1 status t_in t_out" of each presence. */
static void replayed(const struct catalogue *catalogue, const struct config *config,
                     const struct schema *schema, uint32_t rows_a_batch, struct buf *out)
{
    struct replay_run *run = NULL;
    struct replay_list *list = NULL;
    struct diag diag = {0};
    CHECK_OK(replay_run_new(config, catalogue, &run, &diag));
    CHECK_OK(replay_run_start(run, &diag));
    feed_rows(run, schema, rows_a_batch);
    CHECK_OK(replay_run_presences(run, &list));
    replay_list_settle(list);
    for (uint32_t i = 0; i < list->count; i++)
        (void)buf_printf(out, "%s %s %lld %lld\n", list->items[i].serial, list->items[i].status,
                         (long long)(list->items[i].t_in - T0),
                         (long long)(list->items[i].t_out - T0));
    replay_run_free(run);
}

TEST(replay_is_the_same_for_all_sizes_of_batches)
{
    static const uint32_t sizes[] = {1, 3, 40, ROWS};
    const struct field fields[] = {{.name = "serial", .type = VALUE_STRING},
                                   {.name = "cycle", .type = VALUE_BOOL}};
    struct schema *schema = NULL;
    struct catalogue catalogue;
    struct stream *stream = NULL;
    struct config *config = NULL;
    struct diag diag = {0};
    struct buf first = {0};
    CHECK_OK(schema_new(fields, 2, &schema));
    CHECK_OK(catalogue_init(&catalogue, "n"));
    CHECK_OK(catalogue_stream_add(&catalogue, "plc.press", STREAM_GROUP, "a", schema, &stream));
    CHECK_OK(config_parse("t.yaml", bytes_of_text(config_text), &config, &diag));
    replayed(&catalogue, config, schema, sizes[0], &first);
    CHECK(strstr(buf_text(&first), "S0 exact 4000000 8000000\n") != NULL);
    CHECK(strstr(buf_text(&first), "S3 exact 28000000 32000000\n") != NULL);
    for (size_t i = 1; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf again = {0};
        replayed(&catalogue, config, schema, sizes[i], &again);
        CHECK_STR(buf_text(&again), buf_text(&first));
        buf_fini(&again);
    }
    CHECK(!stream->durable); /* the node's own catalogue stays as it was */
    buf_fini(&first);
    config_free(config);
    catalogue_fini(&catalogue);
    schema_unref(schema);
}

/* ---------------------------------------------------------------------------------------- compare
 */

static void add(struct replay_list *l, const char *unit, const char *serial, int64_t from_s,
                int64_t to_s)
{
    const struct replay_presence p = {
        .track = "t",
        .station = "s",
        .unit = unit,
        .serial = serial,
        .status = "exact",
        .evidence = "",
        .t_in = from_s * 1000000,
        .t_out = to_s * 1000000,
        .revision = 1,
        .probability = 1,
    };
    CHECK_OK(replay_list_add(l, &p));
}

TEST(replay_diff_knows_visits_again)
{
    const struct replay_period period = {.from_us = 0, .to_us = 1000000000, .lead_us = 50000000};
    struct replay_list before = {0};
    struct replay_list after = {0};
    struct replay_answer answer = {.truncated = false};
    add(&before, "1", "A", 10, 20);
    add(&after, "a", "A", 10, 20); /* same, though its id is another */
    add(&before, "2", "B", 30, 40);
    add(&after, "b", "B", 31, 40); /* moved */
    add(&before, "3", "?3", 50, 60);
    add(&after, "c", "?c", 50, 60); /* same: nobody has read either */
    add(&before, "4", "D", 70, 80);
    add(&after, "d", "E", 72, 79); /* unit, by overlapping */
    add(&before, "5", "F", 90, 100);
    add(&before, "6", "F", 200, 210); /* gone: the other F is the nearer one */
    add(&after, "f", "F", 91, 101);   /* moved */
    add(&after, "g", "G", 300, 310);  /* new */
    add(&before, "7", "H", -9, -1);   /* ends before the period */
    replay_list_settle(&before);
    replay_list_settle(&after);
    CHECK_OK(replay_diff(&before, &after, &period, &answer));
    CHECK_EQ(answer.counts[REPLAY_SAME], 2);
    CHECK_EQ(answer.counts[REPLAY_MOVED], 2);
    CHECK_EQ(answer.counts[REPLAY_UNIT], 1);
    CHECK_EQ(answer.counts[REPLAY_GONE], 1);
    CHECK_EQ(answer.counts[REPLAY_NEW], 1);
    CHECK_EQ(answer.counts[REPLAY_STATUS], 0);
    CHECK(strstr(buf_text(&answer.rows), "\"serial_before\":\"D\"") != NULL);
    buf_fini(&answer.rows);
    replay_list_fini(&before);
    replay_list_fini(&after);
}

TEST(replay_list_takes_the_last_revision)
{
    struct replay_list l = {0};
    add(&l, "1", "?1", 10, 20);
    add(&l, "2", "B", 10, 20);
    add(&l, "1", "A", 10, 20);
    add(&l, "2", "B", 10, 20);
    l.items[2].revision = 2;
    l.items[3].revision = 2;
    l.items[3].retracted = true;
    CHECK_OK(replay_list_name(&l));
    replay_list_settle(&l);
    CHECK_EQ(l.count, 1);
    CHECK_STR(l.items[0].serial, "A");
    replay_list_fini(&l);
}
