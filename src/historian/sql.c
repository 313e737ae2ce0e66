/* The call historian.sql: what people and programs ask of the history. See historian.h. */
#include "base/clock.h"
#include "historian/historian_priv.h"

#include <string.h>

static const struct call_field sql_request[] = {
    {"sql", VALUE_STRING, 0, true, "one statement that reads"},
    {"format", VALUE_STRING, 0, false, "json (default), array, csv or table"},
    {"rows_max", VALUE_INT64, 0, false, "rows at most; default 10000, at most 1000000"},
    {"timeout_ms", VALUE_INT64, 0, false, "time at most; default 10000"},
    {0},
};

static const struct call_field sql_answer[] = {
    {"columns", VALUE_STRING, FIELD_JSON, true, "names and types of the columns"},
    {"rows", VALUE_STRING, FIELD_JSON, false, "rows as objects (json) or lists (array)"},
    {"text", VALUE_STRING, 0, false, "rows as csv or table"},
    {"row_count", VALUE_INT64, 0, true, "rows given"},
    {"truncated", VALUE_BOOL, 0, true, "a limit cut the rest"},
    {"elapsed_ms", VALUE_DOUBLE, 0, true, "time taken"},
    {0},
};

const struct call_spec historian_sql_spec = {
    .name = "historian.sql",
    .doc = "Runs one reading SQL statement on the history.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = sql_request,
    .answer = sql_answer,
};

static const char *const sql_formats[] = {
    [DUCK_JSON] = "json", [DUCK_ARRAY] = "array", [DUCK_CSV] = "csv", [DUCK_TABLE] = "table"};

static bool sql_format(const struct value *v, enum duck_format *ret)
{
    if (v->type == VALUE_NULL) {
        *ret = DUCK_JSON;
        return true;
    }
    for (size_t i = 0; i < sizeof sql_formats / sizeof sql_formats[0]; i++) {
        if (bytes_equal(v->bytes, bytes_of_text(sql_formats[i]))) {
            *ret = (enum duck_format)i;
            return true;
        }
    }
    return false;
}

static int64_t sql_number(const struct call *c, const char *name, int64_t otherwise)
{
    struct value v = call_arg(c, name);
    return v.type == VALUE_NULL ? otherwise : v.i64;
}

static struct duck_limits sql_limits(const struct call *c)
{
    int64_t rows = sql_number(c, "rows_max", HISTORIAN_SQL_ROWS_MAX_DEFAULT);
    int64_t ms = sql_number(c, "timeout_ms", HISTORIAN_SQL_TIMEOUT_MS_DEFAULT);
    if (rows < 0 || rows > HISTORIAN_SQL_ROWS_MAX_LIMIT)
        rows = HISTORIAN_SQL_ROWS_MAX_LIMIT;
    if (ms < 0 || ms > HISTORIAN_SQL_TIMEOUT_MS_LIMIT)
        ms = HISTORIAN_SQL_TIMEOUT_MS_LIMIT;
    int64_t deadline_us = clock_mono_us() + ms * 1000;
    if (deadline_us > call_deadline_us(c))
        deadline_us = call_deadline_us(c);
    return (struct duck_limits){(uint64_t)rows, HISTORIAN_SQL_BYTES_MAX, deadline_us};
}

static int sql_answer_make(const struct call *c, const struct duck_answer *a,
                           enum duck_format format, double elapsed_ms, struct batch_builder **ret)
{
    struct batch_builder *bb = NULL;
    int err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = batch_builder_row(bb, clock_wall_us()) < 0 ? ERR_NOMEM : OK;
    if (!err)
        err = batch_set_bytes(bb, 0, buf_bytes(&a->columns));
    if (!err)
        err = batch_set_bytes(bb, format == DUCK_JSON || format == DUCK_ARRAY ? 1 : 2,
                              buf_bytes(&a->text));
    if (err) {
        batch_builder_free(bb);
        return err;
    }
    batch_set_i64(bb, 3, (int64_t)a->row_count);
    batch_set_bool(bb, 4, a->truncated);
    batch_set_f64(bb, 5, elapsed_ms);
    *ret = bb;
    return OK;
}

static void sql_serve(struct historian *h, struct call *c, const char *sql, enum duck_format format)
{
    struct duck_conn *conn = NULL;
    struct duck_answer a = {0};
    struct diag diag = {0};
    struct batch_builder *bb = NULL;
    int64_t from_us = clock_mono_us();
    struct duck_limits limits = sql_limits(c);
    int err = historian_reader_open_new(h, &conn);
    if (!err) {
        err = duck_query(conn, sql, format, &limits, &a, &diag);
        historian_reader_close(h, conn);
    } else {
        (void)diag_set(&diag, err, 0, 0, "the historian is not open at present");
    }
    if (!err)
        err = sql_answer_make(c, &a, format, (double)(clock_mono_us() - from_us) / 1000, &bb);
    duck_answer_fini(&a);
    if (err)
        call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
    else
        call_answer_rows(c, bb);
}

void historian_sql_serve(void *owner, struct call *c)
{
    struct historian *h = owner;
    struct value sql = call_arg(c, "sql");
    struct value wanted = call_arg(c, "format");
    enum duck_format format;
    if (call_is_cancelled(c)) {
        call_fail(c, ERR_CANCELLED, "nobody waits for the answer any more");
        return;
    }
    if (!sql_format(&wanted, &format)) {
        call_fail(c, ERR_INVALID, "format is one of json, array, csv, table");
        return;
    }
    if (sql.type == VALUE_NULL || memchr(sql.bytes.ptr, 0, sql.bytes.len)) {
        call_fail(c, ERR_INVALID, "sql is missing, or holds a zero byte");
        return;
    }
    struct buf text = {0};
    (void)buf_append_bytes(&text, sql.bytes);
    const char *z = buf_text(&text);
    if (buf_error(&text))
        call_fail(c, ERR_NOMEM, "out of memory");
    else
        sql_serve(h, c, z, format);
    buf_fini(&text);
}
