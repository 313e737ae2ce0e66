/* Tables valid in time: what holds when, and tables that change under readers. */
#include "model/lookup.h"

#include "base/err.h"
#include "base/exec.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdio.h>

static struct lookup *feeders_new(uint32_t rows_max)
{
    static const struct field fields[] = {
        {.name = "line", .type = VALUE_INT64},     {.name = "feeder", .type = VALUE_STRING},
        {.name = "from", .type = VALUE_TIMESTAMP}, {.name = "to", .type = VALUE_TIMESTAMP},
        {.name = "lot", .type = VALUE_STRING},
    };

    struct schema *s = NULL;
    struct lookup *l = NULL;
    CHECK_OK(schema_new(fields, 5, &s));
    struct lookup_options o = {.name = "feeders",
                               .schema = s,
                               .key_count = 2,
                               .keys = {0, 1},
                               .from = 2,
                               .to = 3,
                               .rows_max = rows_max};
    CHECK_OK(lookup_new(&o, &l));
    schema_unref(s);
    return l;
}

struct feeder_row {
    const char *feeder; /* NULL: null */
    int64_t from;
    int64_t to; /* 0: null */
    const char *lot;
};

static void feeders_publish(struct lookup *l, const struct feeder_row *rows, uint32_t count,
                            int want)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(l->schema, count, NULL, &bb));
    for (uint32_t i = 0; i < count; i++) {
        CHECK(batch_builder_row(bb, 0) >= 0);
        batch_set_i64(bb, 0, 1);
        if (rows[i].feeder)
            CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text(rows[i].feeder)));
        batch_set_i64(bb, 2, rows[i].from);
        if (rows[i].to)
            batch_set_i64(bb, 3, rows[i].to);
        CHECK_OK(batch_set_bytes(bb, 4, bytes_of_text(rows[i].lot)));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    CHECK_EQ(lookup_publish(l, b), want);
    batch_unref(b);
    batch_builder_free(bb);
}

/* The lot on a feeder at a time, "-" if there is none. */
static const char *lot_at(struct lookup_reader *r, struct value line, const char *feeder,
                          int64_t time_us, char out[static 16])
{
    struct buf key = {0};
    struct value f = {.type = VALUE_BYTES, .bytes = bytes_of_text(feeder)};
    CHECK_OK(lookup_key_append(&key, &line));
    CHECK_OK(lookup_key_append(&key, &f));
    int64_t row = lookup_find(r->table, buf_bytes(&key), time_us);
    buf_fini(&key);
    if (row == LOOKUP_NONE)
        return "-";
    struct column c = batch_column(lookup_rows(r->table), 4);
    struct bytes lot = column_bytes(&c, (uint32_t)row);
    (void)snprintf(out, 16, "%.*s", (int)lot.len, (const char *)lot.ptr);
    return out;
}

static const struct value line_1 = {.type = VALUE_INT64, .i64 = 1};

TEST(the_row_that_held_then_is_found)
{
    static const struct feeder_row rows[] = {
        {"f2", 100, 0, "C"}, {"f1", 200, 0, "B"},   {"f1", 100, 200, "A"},
        {NULL, 100, 0, "x"}, {"f3", 100, 900, "L"}, {"f3", 300, 400, "S"},
    };
    struct lookup *l = feeders_new(100);
    struct lookup_reader r;
    char out[16];
    lookup_reader_open(&r, l);
    lookup_reader_refresh(&r);
    CHECK(r.table == NULL);
    feeders_publish(l, rows, 6, OK);
    lookup_reader_refresh(&r);
    CHECK_STR(lot_at(&r, line_1, "f1", 99, out), "-");
    CHECK_STR(lot_at(&r, line_1, "f1", 100, out), "A");
    CHECK_STR(lot_at(&r, line_1, "f1", 199, out), "A");
    CHECK_STR(lot_at(&r, line_1, "f1", 200, out), "B");
    CHECK_STR(lot_at(&r, line_1, "f1", INT64_MAX, out), "B");
    CHECK_STR(lot_at(&r, line_1, "f3", 350, out), "S");
    CHECK_STR(lot_at(&r, line_1, "f3", 450, out), "L");
    CHECK_STR(lot_at(&r, line_1, "f3", 900, out), "-");
    CHECK_STR(lot_at(&r, line_1, "f4", 200, out), "-");
    CHECK_STR(lot_at(&r, (struct value){.type = VALUE_INT64, .i64 = 2}, "f1", 150, out), "-");
    CHECK_STR(lot_at(&r, (struct value){.type = VALUE_DOUBLE, .f64 = 1}, "f1", 150, out), "A");
    CHECK_STR(lot_at(&r, (struct value){.type = VALUE_UINT64, .u64 = 1}, "f1", 150, out), "A");
    lookup_reader_close(&r);
    lookup_free(l);
}

TEST(a_table_that_is_too_large_leaves_the_old_one)
{
    static const struct feeder_row rows[] = {{"f1", 0, 0, "A"}, {"f1", 5, 0, "B"}};
    struct lookup *l = feeders_new(1);
    struct lookup_reader r;
    char out[16];
    lookup_reader_open(&r, l);
    feeders_publish(l, rows, 1, OK);
    feeders_publish(l, rows, 2, ERR_LIMIT);
    lookup_reader_refresh(&r);
    CHECK_STR(lot_at(&r, line_1, "f1", 9, out), "A");
    CHECK_OK(lookup_publish(l, NULL));
    lookup_reader_refresh(&r);
    CHECK_STR(lot_at(&r, line_1, "f1", 9, out), "-");
    lookup_reader_close(&r);
    lookup_free(l);
}

struct racing {
    struct lookup *l;
    atomic_bool end;
    uint64_t rounds;
    bool mixed;
};

static void *racing_run(void *arg)
{
    struct racing *a = arg;
    struct lookup_reader r;
    char one[16];
    char two[16];
    lookup_reader_open(&r, a->l);
    while (!atomic_load(&a->end)) {
        lookup_reader_refresh(&r);
        if (!r.table)
            continue;
        /* Both rows come from one table. */
        const char *x = lot_at(&r, line_1, "f1", 1, one);
        const char *y = lot_at(&r, line_1, "f2", 1, two);
        a->mixed |= x[0] != y[0];
        a->rounds++;
    }
    lookup_reader_close(&r);
    return NULL;
}

TEST(readers_see_whole_tables)
{
    static const struct feeder_row rows[2][2] = {
        {{"f1", 0, 0, "A"}, {"f2", 0, 0, "A"}},
        {{"f1", 0, 0, "B"}, {"f2", 0, 0, "B"}},
    };
    struct racing a = {.l = feeders_new(10)};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, racing_run, &a), 0);
    for (int i = 0; i < 2000; i++)
        feeders_publish(a.l, rows[i % 2], 2, OK);
    atomic_store(&a.end, true);
    (void)pthread_join(thread, NULL);
    CHECK(!a.mixed);
    lookup_free(a.l);
}
