/* The DuckDB wrapper against the real library: values, appending, limits, and what is refused. */
#include "db/duckdb.h"

#include "base/clock.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct base {
    struct duck *duck;
    struct duck_conn *conn;
};

static struct base base_open(void)
{
    struct base b = {0};
    struct diag diag = {0};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/t.duckdb", check_folder());
    struct duck_options options = {.path = path};
    int err = duck_open(&options, &b.duck, &diag);
    if (err)
        check_fail_at(__FILE__, __LINE__, "duck_open: %s", diag.text);
    CHECK_OK(duck_connect(b.duck, &b.conn));
    return b;
}

static void base_close(struct base *b)
{
    duck_disconnect(b->conn);
    duck_close(b->duck);
}

static struct duck_limits limits_of(uint64_t rows, int64_t ms)
{
    return (struct duck_limits){rows, 1 << 20, clock_mono_us() + ms * 1000};
}

static int ask(struct base *b, const char *sql, enum duck_format format, struct duck_answer *ret)
{
    struct diag diag = {0};
    struct duck_limits limits = limits_of(1000, 10000);
    return duck_query(b->conn, sql, format, &limits, ret, &diag);
}

static void check_answer(struct base *b, const char *sql, enum duck_format format, const char *want)
{
    struct duck_answer a;
    CHECK_OK(ask(b, sql, format, &a));
    CHECK_STR(buf_text(&a.text), want);
    duck_answer_fini(&a);
}

static void check_refused(struct base *b, const char *sql, int want)
{
    struct duck_answer a;
    int err = ask(b, sql, DUCK_JSON, &a);
    if (err != want)
        check_fail_at(__FILE__, __LINE__, "%s: got %s", sql, err_name(err));
    duck_answer_fini(&a);
}

static int row_keep(void *ctx, const struct value *cells, uint32_t count)
{
    struct value *keep = ctx;
    CHECK_EQ(count, 1);
    *keep = cells[0];
    if (cells[0].type == VALUE_BYTES || cells[0].type == VALUE_STRING)
        CHECK_EQ(cells[0].bytes.len, 20); /* lives only here: the length is what is kept */
    return OK;
}

TEST(binds_come_back_as_they_went)
{
    struct base b = base_open();
    struct duck_stmt *s = NULL;
    const struct value values[] = {
        {.type = VALUE_BOOL, .boolean = true},
        {.type = VALUE_INT64, .i64 = INT64_MIN},
        {.type = VALUE_UINT64, .u64 = UINT64_MAX},
        {.type = VALUE_DOUBLE, .f64 = 0.1},
        {.type = VALUE_TIMESTAMP, .i64 = 1763800000123456},
        {.type = VALUE_BYTES, .bytes = {(const uint8_t *)"\0\xff longer than 12  ", 20}},
        {.type = VALUE_STRING, .bytes = {(const uint8_t *)"longer than twelve !", 20}},
    };
    CHECK_OK(duck_prepare(b.conn, "SELECT ?", &s, NULL));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct value got = {0};
        CHECK_OK(duck_bind(s, 1, &values[i]));
        CHECK_OK(duck_run(s, row_keep, &got, NULL));
        CHECK_EQ(got.type, values[i].type);
        if (got.type != VALUE_BYTES && got.type != VALUE_STRING)
            CHECK(value_identical(&got, &values[i]));
    }
    duck_stmt_free(s);
    base_close(&b);
}

TEST(answers_print_in_four_formats)
{
    struct base b = base_open();
    check_answer(&b,
                 "SELECT 1 AS a, 'x\"y\n' AS b, NULL AS c, 0.5::DOUBLE AS d, 'nan'::DOUBLE AS e",
                 DUCK_JSON, "[{\"a\":1,\"b\":\"x\\\"y\\n\",\"c\":null,\"d\":0.5,\"e\":null}]");
    check_answer(&b, "SELECT 18446744073709551615::UBIGINT, true, '\\xFF\\x00'::BLOB", DUCK_ARRAY,
                 "[[18446744073709551615,true,{\"$bytes\":\"/wA=\"}]]");
    check_answer(&b, "SELECT 'a,b' AS x, 'q\"' AS \"y z\", '' AS e, NULL AS n, 7 AS i", DUCK_CSV,
                 "x,y z,e,n,i\n\"a,b\",\"q\"\"\",\"\",,7\n");
    check_answer(&b, "SELECT 'ab' AS name, 12 AS n UNION ALL SELECT '压机', 3 ORDER BY n DESC",
                 DUCK_TABLE, "name   n\n----  --\nab    12\n压机   3\n");
    base_close(&b);
}

TEST(types_of_duckdb_alone_come_as_text)
{
    struct base b = base_open();
    check_answer(&b,
                 "SELECT sum(i) AS s, DATE '2026-01-02' AS d, [1,2] AS l, 1.50::DECIMAL(9,2) AS m, "
                 "{'k': 1} AS t FROM range(3) r(i) WHERE ';' <> '/*' -- a; b\n; -- end",
                 DUCK_JSON,
                 "[{\"s\":3,\"d\":\"2026-01-02\",\"l\":\"[1, 2]\",\"m\":1.50,"
                 "\"t\":\"{'k': 1}\"}]");
    check_answer(&b, "SELECT i::HUGEINT AS i FROM range(4) r(i) ORDER BY i DESC", DUCK_ARRAY,
                 "[[3],[2],[1],[0]]");
    check_answer(&b, "SELECT TIMESTAMP '2026-11-22 08:30:00.5' AS t", DUCK_ARRAY,
                 "[[\"2026-11-22T08:30:00.500Z\"]]");
    base_close(&b);
}

TEST(only_reading_is_let_through)
{
    struct base b = base_open();
    CHECK_OK(duck_exec(b.conn, "CREATE TABLE t(i INTEGER); CREATE SEQUENCE q", NULL));
    check_refused(&b, "INSERT INTO t VALUES (1)", ERR_DENIED);
    check_refused(&b, "CREATE TABLE u(i INTEGER)", ERR_DENIED);
    check_refused(&b, "DROP TABLE t", ERR_DENIED);
    check_refused(&b, "SELECT 1; DROP TABLE t", ERR_DENIED);
    check_refused(&b, "EXPLAIN ANALYZE INSERT INTO t VALUES (1)", ERR_DENIED);
    check_refused(&b, "SELECT nextval('q')", ERR_DENIED);
    check_refused(&b, "SET threads = 4", ERR_DENIED);
    check_refused(&b, "PRAGMA force_checkpoint", ERR_DENIED);
    check_refused(&b, "PRAGMA memory_limit = '4GB'", ERR_DENIED);
    check_refused(&b, "COMMIT", ERR_DENIED);
    check_refused(&b, "CALL pragma_version()", ERR_DENIED);
    check_refused(&b, "ATTACH '/var/other.db'", ERR_DENIED);
    check_refused(&b, "COPY t TO '/var/t.csv'", ERR_DENIED);
    check_refused(&b, "SELECT * FROM read_text('/etc/passwd')", ERR_DENIED);
    check_refused(&b, "SELECT * FROM '/etc/passwd'", ERR_SYNTAX);
    check_refused(&b, "LOAD httpfs", ERR_DENIED);
    check_refused(&b, "", ERR_SYNTAX);
    check_refused(&b, "SELECT nothing", ERR_SYNTAX);
    check_refused(&b, "SELEC 1", ERR_SYNTAX);
    check_answer(&b, "SELECT count(*) AS n FROM t", DUCK_JSON, "[{\"n\":0}]");
    check_answer(&b, "SHOW TABLES", DUCK_CSV, "name\nt\n");
    base_close(&b);
}

TEST(rows_bytes_and_time_are_limited)
{
    struct base b = base_open();
    struct duck_answer a;
    struct diag diag = {0};
    struct duck_limits limits = limits_of(10, 10000);
    CHECK_OK(duck_query(b.conn, "SELECT * FROM range(5000)", DUCK_ARRAY, &limits, &a, &diag));
    CHECK_EQ(a.row_count, 10);
    CHECK(a.truncated);
    duck_answer_fini(&a);

    limits = limits_of(10, 10000);
    CHECK_OK(duck_query(b.conn, "SELECT * FROM range(10)", DUCK_ARRAY, &limits, &a, &diag));
    CHECK(!a.truncated);
    duck_answer_fini(&a);

    limits = (struct duck_limits){1000000, 100, clock_mono_us() + 10000000};
    CHECK_OK(duck_query(b.conn, "SELECT * FROM range(5000)", DUCK_ARRAY, &limits, &a, &diag));
    CHECK(a.truncated);
    CHECK(a.text.len < 200);
    duck_answer_fini(&a);

    limits = limits_of(10, 100);
    int64_t from_us = clock_mono_us();
    CHECK_ERR(duck_query(b.conn,
                         "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE "
                         "hash(a.range, b.range) = 7",
                         DUCK_JSON, &limits, &a, &diag),
              ERR_TIMEOUT);
    CHECK(clock_mono_us() - from_us < 5000000);
    duck_answer_fini(&a);
    check_answer(&b, "SELECT 1 AS one", DUCK_ARRAY, "[[1]]");
    base_close(&b);
}

static const struct duck_column pair_columns[] = {
    {"i", DUCK_U32, false},
    {"d", DUCK_F64, true},
    {"b", DUCK_BYTES, true},
};

TEST(appended_chunks_belong_to_the_transaction)
{
    struct base b = base_open();
    struct duck_appender *a = NULL;
    CHECK_OK(duck_exec(b.conn, "CREATE TABLE p(i UINTEGER, d DOUBLE, b BLOB)", NULL));
    CHECK_OK(duck_appender_new(b.conn, "p", pair_columns, 3, &a, NULL));
    for (int round = 0; round < 2; round++) {
        CHECK_OK(duck_exec(b.conn, "BEGIN TRANSACTION", NULL));
        const struct duck_vector *v = duck_appender_vectors(a);
        for (uint32_t i = 0; i < 100; i++) {
            ((uint32_t *)v[0].data)[i] = i;
            ((double *)v[1].data)[i] = i;
            if (i % 2)
                duck_vector_set_valid(&v[1], i);
            if (i % 3 == 0) {
                duck_vector_set_bytes(&v[2], i, bytes_of("\xff\x00 and much more than twelve", 27));
                duck_vector_set_valid(&v[2], i);
            }
        }
        CHECK_OK(duck_appender_push(a, 100, NULL));
        CHECK_OK(duck_appender_flush(a, NULL));
        CHECK_OK(duck_exec(b.conn, round ? "COMMIT" : "ROLLBACK", NULL));
    }
    duck_appender_free(a);
    check_answer(&b, "SELECT count(*), count(d), count(b), sum(i), min(octet_length(b)) FROM p",
                 DUCK_ARRAY, "[[100,50,34,4950,27]]");
    base_close(&b);
}

TEST(what_was_not_flushed_is_dropped_with_the_appender)
{
    struct base b = base_open();
    struct duck_appender *a = NULL;
    CHECK_OK(duck_exec(b.conn, "CREATE TABLE p(i UINTEGER, d DOUBLE, b BLOB)", NULL));
    CHECK_OK(duck_appender_new(b.conn, "p", pair_columns, 3, &a, NULL));
    ((uint32_t *)duck_appender_vectors(a)[0].data)[0] = 7;
    CHECK_OK(duck_appender_push(a, 1, NULL));
    duck_appender_free(a);
    check_answer(&b, "SELECT count(*) FROM p", DUCK_ARRAY, "[[0]]");
    base_close(&b);
}

TEST(a_second_process_or_a_bad_path_is_said_clearly)
{
    struct duck *d = NULL;
    struct diag diag = {0};
    struct duck_options options = {.path = "/nonexistent/folder/t.duckdb"};
    CHECK(duck_open(&options, &d, &diag) != OK);
    CHECK(strstr(diag.text, "/nonexistent/folder/t.duckdb") != NULL);
    CHECK(d == NULL);
}

TEST(a_library_named_wrongly_is_said_clearly)
{
    struct duck *d = NULL;
    struct diag diag = {0};
    struct duck_options options = {.path = "unused"};
    const char *before = getenv("LOTLINE_DUCKDB");
    char *kept = before ? strdup(before) : NULL;
    /* NOLINTBEGIN(concurrency-mt-unsafe): this test has one thread */
    CHECK_OK(setenv("LOTLINE_DUCKDB", "/nonexistent.so", 1));
    CHECK_ERR(duck_open(&options, &d, &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "LOTLINE_DUCKDB") != NULL);
    CHECK_OK(kept ? setenv("LOTLINE_DUCKDB", kept, 1) : unsetenv("LOTLINE_DUCKDB"));
    /* NOLINTEND(concurrency-mt-unsafe) */
    free(kept);
}
