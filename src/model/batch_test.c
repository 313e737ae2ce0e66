/* Batches and their builder: every type, nothing left over from before, pools. */
#include "model/batch.h"

#include "base/err.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <pthread.h>

enum {
    B,
    I,
    U,
    F,
    D,
    S,
    X,
    T,
    ANY,
    COLUMNS,
};

static const struct field fields[COLUMNS] = {
    [B] = {.name = "b", .type = VALUE_BOOL},
    [I] = {.name = "i", .type = VALUE_INT64, .scale = 0.5, .offset = 1, .flags = FIELD_SCALED},
    [U] = {.name = "u", .type = VALUE_UINT64},
    [F] = {.name = "f", .type = VALUE_FLOAT32},
    [D] = {.name = "d", .type = VALUE_DOUBLE},
    [S] = {.name = "s", .type = VALUE_STRING},
    [X] = {.name = "x", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    [T] = {.name = "t", .type = VALUE_TIMESTAMP},
    [ANY] = {.name = "any", .type = VALUE_ANY},
};

static struct batch_builder *builder(uint32_t rows_max, struct batch_pool *pool)
{
    struct schema *s = NULL;
    struct batch_builder *bb = NULL;
    CHECK_OK(schema_new(fields, COLUMNS, &s));
    CHECK_OK(batch_builder_new(s, rows_max, pool, &bb));
    schema_unref(s);
    return bb;
}

static struct batch *finish(struct batch_builder *bb)
{
    struct batch *b = NULL;
    CHECK_OK(batch_builder_finish(bb, &b));
    return b;
}

static struct value cell(const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    return column_value(&c, row);
}

static void fill_row(struct batch_builder *bb, int64_t v)
{
    CHECK(batch_builder_row(bb, v) >= 0);
    batch_set_bool(bb, B, v % 2);
    batch_set_i64(bb, I, -v);
    batch_set_u64(bb, U, (uint64_t)v);
    batch_set_f32(bb, F, (float)v);
    batch_set_f64(bb, D, (double)v);
    CHECK_OK(batch_set_bytes(bb, S, bytes_of_text("text")));
    CHECK_OK(batch_set_bytes(bb, X, bytes_of("\xff", 1)));
    batch_set_i64(bb, T, v);
    struct value any = {.type = VALUE_FLOAT32, .f32 = 1.5f};
    CHECK_OK(batch_set_value(bb, ANY, &any));
}

TEST(batch_holds_what_was_set)
{
    struct batch_builder *bb = builder(100, NULL);
    for (int64_t i = 0; i < 100; i++)
        fill_row(bb, i);
    CHECK_ERR(batch_builder_row(bb, 0), ERR_LIMIT);
    struct batch *b = finish(bb);
    CHECK_EQ(b->rows, 100);
    for (uint32_t row = 0; row < 100; row++) {
        CHECK_EQ(batch_times(b)[row], row);
        CHECK_EQ(cell(b, B, row).boolean, row % 2);
        CHECK_EQ(cell(b, I, row).i64, -(int64_t)row);
        CHECK_EQ(cell(b, U, row).u64, row);
        CHECK(cell(b, F, row).f32 == (float)row);
        CHECK_NEAR(cell(b, D, row).f64, row, 0);
        CHECK_BYTES(cell(b, S, row).bytes, bytes_of_text("text"));
        CHECK_BYTES(cell(b, X, row).bytes, bytes_of("\xff", 1));
        CHECK_EQ(cell(b, T, row).i64, row);
        CHECK(cell(b, ANY, row).f32 == 1.5f);
    }
    for (uint32_t col = 0; col < COLUMNS; col++) {
        CHECK_EQ(b->cols[col].validity, 0);
        CHECK_EQ(b->cols[col].data % 8, 0);
        CHECK_EQ(b->cols[col].chars % 8, 0);
    }
    batch_unref(b);
    batch_builder_free(bb);
    batch_builder_free(NULL);
    batch_unref(NULL);
}

TEST(batch_shows_scaled_values_and_text)
{
    struct batch_builder *bb = builder(1, NULL);
    fill_row(bb, 8);
    CHECK_OK(batch_set_bytes(bb, X, bytes_of_text("SN")));
    struct batch *b = finish(bb);
    struct column c = batch_column(b, I);
    CHECK_NEAR(column_shown(&c, 0).f64, -3, 0);
    c = batch_column(b, X);
    CHECK_EQ(column_shown(&c, 0).type, VALUE_STRING);
    CHECK_EQ(column_value(&c, 0).type, VALUE_BYTES);
    batch_unref(b);
    fill_row(bb, 8);
    b = finish(bb);
    c = batch_column(b, X);
    CHECK_EQ(column_shown(&c, 0).type, VALUE_BYTES);
    batch_unref(b);
    batch_builder_free(bb);
}

/* A builder's second batch shows nothing of its first, not even where a cell is null. */
TEST(batch_builder_forgets)
{
    struct batch_builder *bb = builder(3, NULL);
    for (int64_t i = 1; i <= 3; i++) {
        fill_row(bb, i);
        CHECK_OK(batch_set_quality(bb, D, QUALITY_TIMEOUT));
        CHECK_OK(batch_set_time_offset(bb, D, 5));
    }
    batch_unref(finish(bb));
    CHECK_EQ(batch_builder_rows(bb), 0);
    CHECK(batch_builder_row(bb, 1) == 0);
    CHECK(batch_builder_row(bb, 2) == 1);
    batch_set_f64(bb, D, 7);
    struct batch *b = finish(bb);
    for (uint32_t col = 0; col < COLUMNS; col++) {
        struct column c = batch_column(b, col);
        CHECK(column_is_null(&c, 0));
        CHECK_EQ(c.quality == NULL, true);
        CHECK_EQ(c.time_offset == NULL, true);
        CHECK_EQ(column_value(&c, 0).type, VALUE_NULL);
        static const uint8_t zeros[16] = {0};
        if (c.data && col != D)
            CHECK_MEM(c.data, zeros, col == B ? 1 : (size_t)2 * (col == F ? 4 : 8));
        if (c.offsets)
            CHECK_EQ(c.offsets[2], 0);
    }
    CHECK_NEAR(cell(b, D, 1).f64, 7, 0);
    batch_unref(b);
    batch_builder_free(bb);
}

TEST(batch_cells_that_are_not_good)
{
    struct batch_builder *bb = builder(3, NULL);
    fill_row(bb, 1);
    fill_row(bb, 2);
    CHECK_OK(batch_set_quality(bb, D, QUALITY_OFFLINE));
    CHECK_OK(batch_set_time_offset(bb, I, -7));
    fill_row(bb, 3);
    struct batch *b = finish(bb);
    CHECK_EQ(cell(b, D, 0).quality, QUALITY_GOOD);
    CHECK_EQ(cell(b, D, 1).quality, QUALITY_OFFLINE);
    CHECK_EQ(cell(b, D, 2).quality, QUALITY_GOOD);
    struct column c = batch_column(b, I);
    CHECK_EQ(c.time_offset[0], 0);
    CHECK_EQ(c.time_offset[1], -7);
    CHECK_EQ(c.time_offset[2], 0);
    CHECK_EQ(cell(b, I, 1).quality, QUALITY_GOOD);
    batch_unref(b);
    batch_builder_free(bb);
}

TEST(batch_set_value_minds_the_type)
{
    struct batch_builder *bb = builder(1, NULL);
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    struct value v = {.type = VALUE_DOUBLE, .f64 = 1};
    CHECK_ERR(batch_set_value(bb, I, &v), ERR_TYPE);
    CHECK_OK(batch_set_value(bb, D, &v));
    CHECK_OK(batch_set_value(bb, ANY, &v));
    v = (struct value){.type = VALUE_STRING, .bytes = bytes_of_text("s")};
    CHECK_OK(batch_set_value(bb, X, &v));
    CHECK_OK(batch_set_value(bb, ANY, &v));
    v.type = VALUE_BYTES;
    CHECK_ERR(batch_set_value(bb, S, &v), ERR_TYPE);
    v.type = VALUE_ANY;
    CHECK_ERR(batch_set_value(bb, ANY, &v), ERR_TYPE);
    v.type = VALUE_NULL;
    CHECK_OK(batch_set_value(bb, U, &v));
    struct batch *b = finish(bb);
    CHECK_BYTES(cell(b, ANY, 0).bytes, bytes_of_text("s"));
    CHECK_EQ(cell(b, U, 0).type, VALUE_NULL);
    batch_unref(b);
    batch_builder_free(bb);
}

TEST(batch_any_keeps_the_last_value_of_a_cell)
{
    struct batch_builder *bb = builder(2, NULL);
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    struct value text = {.type = VALUE_STRING, .bytes = bytes_of_text("long text")};
    struct value number = {.type = VALUE_INT64, .i64 = 5};
    CHECK_OK(batch_set_value(bb, ANY, &text));
    CHECK_OK(batch_set_value(bb, ANY, &number));
    CHECK_EQ(batch_builder_row(bb, 1), 1);
    CHECK_OK(batch_set_value(bb, ANY, &number));
    CHECK_OK(batch_set_value(bb, ANY, &text));
    CHECK_OK(batch_set_bytes(bb, S, bytes_of_text("abc")));
    CHECK_OK(batch_set_bytes(bb, S, bytes_of_text("z")));
    struct batch *b = finish(bb);
    CHECK_EQ(cell(b, ANY, 0).i64, 5);
    CHECK_BYTES(cell(b, ANY, 1).bytes, text.bytes);
    CHECK_BYTES(cell(b, S, 1).bytes, bytes_of_text("z"));
    batch_unref(b);
    batch_builder_free(bb);
}

TEST(batch_rows_and_cells_are_taken_back)
{
    struct batch_builder *bb = builder(4, NULL);
    for (int64_t i = 1; i <= 4; i++)
        fill_row(bb, i);
    batch_builder_truncate(bb, 7);
    CHECK_EQ(batch_builder_rows(bb), 4);
    batch_builder_truncate(bb, 1);
    CHECK_EQ(batch_builder_rows(bb), 1);
    CHECK_EQ(batch_builder_row(bb, 9), 1);
    fill_row(bb, 5);
    batch_set_null(bb, S);
    batch_set_null(bb, D);
    batch_set_null(bb, ANY);
    CHECK_OK(batch_set_quality(bb, U, QUALITY_CONVERT));
    batch_set_null(bb, U);
    batch_set_null(bb, U);
    struct batch *b = finish(bb);
    CHECK_EQ(b->rows, 3);
    CHECK_EQ(cell(b, I, 0).i64, -1);
    CHECK_BYTES(cell(b, S, 0).bytes, bytes_of_text("text"));
    for (uint32_t col = 0; col < COLUMNS; col++)
        CHECK_EQ(cell(b, col, 1).type, VALUE_NULL);
    CHECK_EQ(cell(b, S, 2).type, VALUE_NULL);
    CHECK_EQ(cell(b, D, 2).type, VALUE_NULL);
    CHECK_EQ(cell(b, ANY, 2).type, VALUE_NULL);
    CHECK_EQ(cell(b, U, 2).quality, QUALITY_GOOD);
    CHECK_EQ(cell(b, T, 2).i64, 5);
    batch_unref(b);
    fill_row(bb, 1);
    batch_builder_truncate(bb, 0);
    CHECK_ERR(batch_builder_finish(bb, &b), ERR_INVALID);
    batch_builder_free(bb);
}

TEST(batch_cells_are_copied_from_another)
{
    struct batch_builder *bb = builder(2, NULL);
    fill_row(bb, 3);
    CHECK_OK(batch_set_quality(bb, D, QUALITY_REFUSED));
    CHECK_OK(batch_set_time_offset(bb, D, 9));
    CHECK_EQ(batch_builder_row(bb, 4), 1);
    struct batch *from = finish(bb);
    for (uint32_t row = 0; row < 2; row++) {
        CHECK_EQ(batch_builder_row(bb, 0), (int)row);
        for (uint32_t col = 0; col < COLUMNS; col++) {
            struct column c = batch_column(from, col);
            CHECK_OK(batch_set_from(bb, col, &c, row));
        }
    }
    struct batch *to = finish(bb);
    for (uint32_t col = 0; col < COLUMNS; col++) {
        for (uint32_t row = 0; row < 2; row++) {
            struct value a = cell(from, col, row);
            struct value b = cell(to, col, row);
            CHECK(value_identical(&a, &b));
        }
    }
    struct column c = batch_column(to, D);
    CHECK_EQ(c.time_offset[0], 9);
    batch_unref(from);
    batch_unref(to);
    batch_builder_free(bb);
}

TEST(batch_slabs_come_back_to_their_pool)
{
    struct batch_pool *pool = batch_pool_new(2);
    struct batch_builder *bb = builder(2, pool);
    fill_row(bb, 1);
    struct batch *b = finish(bb);
    uintptr_t first = (uintptr_t)b;
    batch_unref(batch_ref(b));
    batch_unref(b);
    fill_row(bb, 2);
    b = finish(bb);
    CHECK_EQ((uintptr_t)b, first);
    CHECK_EQ(cell(b, I, 0).i64, -2);
    fill_row(bb, 3);
    fill_row(bb, 4);
    struct batch *larger = finish(bb);
    batch_pool_free(pool); /* the batches live on */
    batch_builder_free(bb);
    CHECK_EQ(cell(larger, I, 1).i64, -4);
    batch_unref(b);
    batch_unref(larger);
    batch_pool_free(NULL);
}

static void *drop(void *batch)
{
    for (int i = 0; i < 1000; i++)
        batch_unref(batch_ref(batch));
    batch_unref(batch);
    return NULL;
}

TEST(batch_is_let_go_from_any_thread)
{
    struct batch_pool *pool = batch_pool_new(4);
    struct batch_builder *bb = builder(1, pool);
    for (int round = 0; round < 20; round++) {
        pthread_t threads[2];
        fill_row(bb, round);
        struct batch *b = finish(bb);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, drop, batch_ref(b)), 0);
        batch_unref(b);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    batch_builder_free(bb);
    batch_pool_free(pool);
}

TEST(batch_limits)
{
    struct schema *s = NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(schema_new(fields, COLUMNS, &s));
    CHECK_ERR(batch_builder_new(s, 0, NULL, &bb), ERR_LIMIT);
    CHECK_ERR(batch_builder_new(s, BATCH_ROWS_MAX + 1, NULL, &bb), ERR_LIMIT);
    CHECK_ERR(batch_alloc(s, 1, (size_t)BATCH_BYTES_MAX + 1, NULL, &b), ERR_LIMIT);
    CHECK_ERR(batch_alloc(s, BATCH_ROWS_MAX + 1, 1000, NULL, &b), ERR_LIMIT);
    schema_unref(s);
}

TEST(batch_without_memory)
{
    FAULT_EACH (n) {
        struct schema *s = NULL;
        struct batch_builder *bb = NULL;
        struct batch *b = NULL;
        int err = schema_new(fields, COLUMNS, &s);
        if (!err)
            err = batch_builder_new(s, 2, NULL, &bb);
        if (!err) {
            CHECK_EQ(batch_builder_row(bb, 0), 0);
            err = batch_set_bytes(bb, S, bytes_of_text("x"));
        }
        if (!err)
            err = batch_set_quality(bb, D, QUALITY_TIMEOUT);
        if (!err)
            err = batch_set_time_offset(bb, D, 1);
        if (!err)
            err = batch_builder_finish(bb, &b);
        CHECK_EQ(err, fault_hit() ? ERR_NOMEM : OK);
        batch_unref(b);
        batch_builder_free(bb);
        schema_unref(s);
    }
}
