/* Vectors against rows: random expressions over random rows are evaluated twice, by the compiled
 * vector program and by a plain walk over the tree with single values, and must agree in every
 * row, errors included. */
#include "base/rand.h"
#include "base/str.h"
#include "stream/ast.h"
#include "stream/pipeline.h"
#include "stream/value_ops.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS      400
#define ROWS        700 /* more than two chunks, and not a multiple of one */
#define TREE_LEVELS 4

static const struct field fields[] = {
    {.name = "i", .type = VALUE_INT64},  {.name = "j", .type = VALUE_INT64},
    {.name = "x", .type = VALUE_DOUBLE}, {.name = "y", .type = VALUE_FLOAT32},
    {.name = "b", .type = VALUE_BOOL},   {.name = "u", .type = VALUE_UINT64},
    {.name = "s", .type = VALUE_STRING}, {.name = "a", .type = VALUE_ANY},
};

enum { COL_I, COL_J, COL_X, COL_Y, COL_B, COL_U, COL_S, COL_A, COL_COUNT };

/* ------------------------------------------------------------------------------------- generating
 */

static void number(struct rand *r, struct buf *out, int level);

// NOLINTNEXTLINE(misc-no-recursion): at most TREE_LEVELS deep
static void condition(struct rand *r, struct buf *out, int level)
{
    static const char *const compare[] = {"=", "!=", "<", "<=", ">", ">="};
    if (level == 0) {
        (void)buf_append_text(out, rand_below(r, 2) ? "b" : "i > 0");
        return;
    }
    switch (rand_below(r, 8)) {
    case 0:
    case 1:
        (void)buf_append_text(out, "(");
        condition(r, out, level - 1);
        (void)buf_append_text(out, rand_below(r, 2) ? " AND " : " OR ");
        condition(r, out, level - 1);
        (void)buf_append_text(out, ")");
        return;
    case 2:
        (void)buf_append_text(out, "NOT (");
        condition(r, out, level - 1);
        (void)buf_append_text(out, ")");
        return;
    case 3:
        (void)buf_append_text(out, "(");
        number(r, out, level - 1);
        (void)buf_append_text(out, rand_below(r, 2) ? " NOT BETWEEN " : " BETWEEN ");
        number(r, out, 0);
        (void)buf_append_text(out, " AND ");
        number(r, out, 0);
        (void)buf_append_text(out, ")");
        return;
    case 4:
        (void)buf_append_text(out, "(");
        number(r, out, level - 1);
        (void)buf_append_text(out, rand_below(r, 2) ? " NOT IN (1, 2, " : " IN (0, -1, ");
        number(r, out, 0);
        (void)buf_append_text(out, "))");
        return;
    case 5:
        (void)buf_append_text(out, rand_below(r, 2) ? "s LIKE '%a_'" : "s >= 'b'");
        return;
    default:
        (void)buf_append_text(out, "(");
        number(r, out, level - 1);
        (void)buf_printf(out, " %s ", compare[rand_below(r, 6)]);
        number(r, out, level - 1);
        (void)buf_append_text(out, ")");
    }
}

// NOLINTNEXTLINE(misc-no-recursion): at most TREE_LEVELS deep
static void number(struct rand *r, struct buf *out, int level)
{
    static const char *const leaves[] = {"i", "j", "x", "y", "a", "u", "1", "2.5", "-3", "0"};
    static const char *const ops[] = {"+", "-", "*", "/", "%"};
    if (level == 0) {
        (void)buf_append_text(out, leaves[rand_below(r, sizeof leaves / sizeof leaves[0])]);
        return;
    }
    switch (rand_below(r, 6)) {
    case 0:
        (void)buf_append_text(out, "(CASE WHEN ");
        condition(r, out, level - 1);
        (void)buf_append_text(out, " THEN ");
        number(r, out, level - 1);
        if (rand_below(r, 2)) {
            (void)buf_append_text(out, " ELSE ");
            number(r, out, level - 1);
        }
        (void)buf_append_text(out, " END)");
        return;
    case 1:
        (void)buf_append_text(out, "(-");
        number(r, out, level - 1);
        (void)buf_append_text(out, ")");
        return;
    default:
        (void)buf_append_text(out, "(");
        number(r, out, level - 1);
        (void)buf_printf(out, " %s ", ops[rand_below(r, 5)]);
        number(r, out, level - 1);
        (void)buf_append_text(out, ")");
    }
}

/* ----------------------------------------------------------------------------------------- rows */

static void fill_row(struct rand *r, struct batch_builder *bb, int64_t at)
{
    static const char *const texts[] = {"", "a", "bar", "xay", "b"};
    CHECK(batch_builder_row(bb, at) >= 0);
    if (rand_below(r, 5))
        batch_set_i64(bb, COL_I, (int64_t)rand_below(r, 7) - 3);
    if (rand_below(r, 9))
        batch_set_i64(bb, COL_J, rand_below(r, 20) ? (int64_t)rand_below(r, 5) - 2 : INT64_MIN);
    if (rand_below(r, 5))
        batch_set_f64(bb, COL_X, (double)rand_below(r, 9) / 2 - 2);
    if (rand_below(r, 5))
        batch_set_f32(bb, COL_Y, (float)rand_below(r, 9) / 4 - 1);
    if (rand_below(r, 4))
        batch_set_bool(bb, COL_B, rand_below(r, 2));
    if (rand_below(r, 4))
        batch_set_u64(bb, COL_U, rand_below(r, 3) ? rand_below(r, 4) : UINT64_MAX);
    if (rand_below(r, 4))
        CHECK_OK(batch_set_bytes(bb, COL_S, bytes_of_text(texts[rand_below(r, 5)])));
    struct value v = {.type = VALUE_NULL};
    switch (rand_below(r, 6)) {
    case 0:
        v = (struct value){.type = VALUE_DOUBLE, .f64 = (double)rand_below(r, 5) / 2};
        break;
    case 1:
        v = (struct value){.type = VALUE_STRING, .bytes = bytes_of_text("t")};
        break;
    case 2:
        break;
    default:
        v = (struct value){.type = VALUE_INT64, .i64 = (int64_t)rand_below(r, 5) - 2};
    }
    CHECK_OK(batch_set_value(bb, COL_A, &v));
}

static struct batch *fill(struct rand *r, const struct schema *s)
{
    struct batch_builder *bb;
    struct batch *b;
    CHECK_OK(batch_builder_new(s, ROWS, NULL, &bb));
    for (int64_t i = 0; i < ROWS; i++)
        fill_row(r, bb, i);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

/* ----------------------------------------------------------------------------------- a row by hand
 */

static int walk(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret);

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree it was given, at most TREE_LEVELS
static int walk_truth(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret)
{
    int err = walk(e, b, row, ret);
    if (!err && ret->type != VALUE_BOOL && ret->type != VALUE_NULL)
        err = ERR_TYPE;
    return err;
}

static struct value truth(bool v)
{
    return (struct value){.type = VALUE_BOOL, .boolean = v};
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree it was given, at most TREE_LEVELS
static int walk_logic(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret)
{
    struct value x;
    int err = walk_truth(e->args[0], b, row, &x);
    bool left = !err && x.type == VALUE_BOOL && x.boolean;
    bool is_or = e->op == OP_OR;
    if (err)
        return err;
    if (x.type == VALUE_NULL) {
        /* The right side may still fail where OR looks at it, and counts for nothing. */
        err = is_or ? walk_truth(e->args[1], b, row, &x) : OK;
        *ret = truth(false);
        return err;
    }
    if (left == is_or) {
        *ret = truth(is_or);
        return OK;
    }
    err = walk_truth(e->args[1], b, row, &x);
    *ret = truth(x.type == VALUE_BOOL && x.boolean);
    return err;
}

static int walk_between(const struct expr *e, const struct value *v, struct value *ret)
{
    bool ge = false;
    bool le = false;
    bool null = v[0].type == VALUE_NULL || v[1].type == VALUE_NULL || v[2].type == VALUE_NULL;
    int err = value_compare(OP_GE, &v[0], &v[1], &ge);
    if (!err)
        err = value_compare(OP_LE, &v[0], &v[2], &le);
    *ret = truth(!null && (ge && le) != e->negated);
    return err;
}

static int walk_in(const struct expr *e, const struct value *v, struct value *ret)
{
    bool found = false;
    int err = OK;
    for (uint32_t i = 1; i < e->arg_count && !found && v[0].type != VALUE_NULL && !err; i++)
        err = value_compare(OP_EQ, &v[0], &v[i], &found);
    *ret = truth(v[0].type != VALUE_NULL && found != e->negated);
    return err;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree it was given, at most TREE_LEVELS
static int walk_case(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret)
{
    uint32_t arms = (e->arg_count - e->has_else) / 2;
    for (uint32_t i = 0; i < arms; i++) {
        int err = walk_truth(e->args[2 * (size_t)i], b, row, ret);
        if (err)
            return err;
        if (ret->type == VALUE_BOOL && ret->boolean)
            return walk(e->args[2 * (size_t)i + 1], b, row, ret);
    }
    ret->type = VALUE_NULL;
    return e->has_else ? walk(e->args[e->arg_count - 1], b, row, ret) : OK;
}

static int walk_column(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret)
{
    struct column c = batch_column(b, (uint32_t)schema_find(b->schema, e->name));
    *ret = column_shown(&c, row);
    if (ret->type == VALUE_FLOAT32)
        *ret = (struct value){.type = VALUE_DOUBLE, .f64 = (double)ret->f32};
    return OK;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree it was given, at most TREE_LEVELS
static int walk_args(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret)
{
    struct value v[8] = {{.type = VALUE_NULL}};
    struct value zero = {.type = VALUE_INT64};
    bool yes = false;
    int err = OK;
    for (uint32_t i = 0; i < e->arg_count && !err; i++)
        err = walk(e->args[i], b, row, &v[i]);
    if (err)
        return err;
    switch ((int)e->kind) {
    case EXPR_NEGATE:
        err = value_arith(OP_SUB, &zero, &v[0], ret);
        return err;
    case EXPR_NOT:
        *ret = v[0].type == VALUE_NULL ? v[0] : truth(!v[0].boolean);
        return v[0].type == VALUE_NULL || v[0].type == VALUE_BOOL ? OK : ERR_TYPE;
    case EXPR_BETWEEN:
        return walk_between(e, v, ret);
    case EXPR_IN:
        return walk_in(e, v, ret);
    case EXPR_LIKE:
        *ret = truth(v[0].type == VALUE_STRING && text_like(v[0].bytes, v[1].bytes) != e->negated);
        return OK;
    default:
        break;
    }
    if (e->op < OP_EQ)
        return value_arith(e->op, &v[0], &v[1], ret);
    err = value_compare(e->op, &v[0], &v[1], &yes);
    *ret = truth(yes);
    return err;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree it was given, at most TREE_LEVELS
static int walk(const struct expr *e, const struct batch *b, uint32_t row, struct value *ret)
{
    if (e->kind == EXPR_LITERAL) {
        *ret = e->value;
        return OK;
    }
    if (e->kind == EXPR_COLUMN)
        return walk_column(e, b, row, ret);
    if (e->kind == EXPR_CASE)
        return walk_case(e, b, row, ret);
    if (e->kind == EXPR_BINARY && e->op >= OP_AND)
        return walk_logic(e, b, row, ret);
    return walk_args(e, b, row, ret);
}

/* --------------------------------------------------------------------------------------- comparing
 */

struct seen {
    struct batch *batch;
};

static void take(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct seen *s = ctx;
    (void)key;
    (void)resume;
    s->batch = b;
}

/* Numbers of different types may be one value: CASE makes 1 and 2.5 doubles. */
static bool agree(const struct value *a, const struct value *b)
{
    double x;
    double y;
    if (a->type == b->type && value_identical(a, b))
        return true;
    if (!value_to_double(a, &x) || !value_to_double(b, &y))
        return a->type == VALUE_NULL && b->type == VALUE_NULL;
    return x == y || (isnan(x) && isnan(y));
}

static void compare(const struct select *s, const struct batch *in, const struct batch *out,
                    const char *sql)
{
    uint32_t k = 0;
    for (uint32_t row = 0; row < in->rows; row++) {
        struct value pass;
        struct value want = {.type = VALUE_NULL};
        if (walk_truth(s->where, in, row, &pass) || pass.type != VALUE_BOOL || !pass.boolean)
            continue;
        if (walk(s->items[0].expr, in, row, &want) != OK)
            continue;
        struct value got = {.type = VALUE_NULL};
        if (out && k < out->rows) {
            struct column c = batch_column(out, 0);
            got = column_value(&c, k);
        }
        bool here = out && k < out->rows && batch_times(out)[k] == (int64_t)row;
        if (!here || !agree(&got, &want)) {
            char a[64];
            char b[64];
            value_show(&got, a, sizeof a);
            value_show(&want, b, sizeof b);
            printf("# %s\n# row %u: %s %s, by hand %s\n", sql, row, here ? "gives" : "lost", a, b);
            CHECK(false);
        }
        k++;
    }
    CHECK_EQ(out ? out->rows : 0, k);
}

static void play(const char *sql, const struct catalogue *c, const struct batch *in,
                 unsigned *io_run)
{
    struct plan *plan = NULL;
    struct pipeline *p = NULL;
    struct select *s = NULL;
    struct seen seen = {0};
    struct arena arena = {0};
    struct diag diag = {0};
    if (plan_new(sql, c, &plan, &diag) != OK)
        return; /* types that never go together are refused beforehand */
    struct pipeline_options o = {.plan = plan, .emit = take, .ctx = &seen};
    CHECK_OK(pipeline_new(&o, &p));
    CHECK_OK(sql_parse(&arena, bytes_of_text(sql), &s, &diag));
    CHECK_OK(pipeline_push(p, in, (struct position){0, 0}, 0, NULL));
    CHECK_OK(pipeline_flush(p));
    compare(s, in, seen.batch, sql);
    batch_unref(seen.batch);
    pipeline_free(p);
    plan_free(plan);
    arena_fini(&arena);
    ++*io_run;
}

TEST(vectors_agree_with_rows)
{
    struct rand r;
    struct schema *s;
    struct stream *stream;
    struct catalogue c;
    unsigned run = 0;
    rand_seed(&r, 20261122);
    CHECK_OK(catalogue_init(&c, "node1"));
    CHECK_OK(schema_new(fields, COL_COUNT, &s));
    CHECK_OK(catalogue_stream_add(&c, "t", STREAM_GROUP, "", s, &stream));
    for (int i = 0; i < ROUNDS; i++) {
        struct buf sql = {0};
        struct batch *in = fill(&r, s);
        (void)buf_append_text(&sql, "SELECT ");
        number(&r, &sql, (int)rand_below(&r, TREE_LEVELS));
        (void)buf_append_text(&sql, " AS v FROM t WHERE ");
        condition(&r, &sql, (int)rand_below(&r, TREE_LEVELS));
        play(buf_text(&sql), &c, in, &run);
        batch_unref(in);
        buf_fini(&sql);
    }
    CHECK(run > ROUNDS / 2);
    schema_unref(s);
    catalogue_fini(&c);
}
