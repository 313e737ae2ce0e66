/* Queries that people write: one reading statement, limited in rows, bytes and time. See duckdb.h.
 *
 * Three fences stand behind one another: the statement must be one that reads, by DuckDB's own
 * parser; it runs in a read-only transaction, which also stops what EXPLAIN ANALYZE would run; and
 * the database was opened without access to anything but its file. Rows are streamed, so that a
 * limit of rows also limits memory.
 *
 * Types that `struct value` does not have come as DuckDB's own text: the statement is then asked
 * for again with casts around those columns.
 */
#include "db/duckdb_priv.h"

#include <stdlib.h>
#include <string.h>

#define QUERY_COLUMNS_MAX 1024

struct query {
    struct duck_conn *conn;
    const struct duck_lib *lib;
    duckdb_prepared_statement stmt;
    duckdb_result result;
    struct duck_head *heads;
    char **names;
    uint32_t count;
    bool streaming; /* result is to be destroyed */
    bool borrowed;  /* stmt is the caller's */
};

static void query_fini(struct query *q)
{
    if (q->streaming)
        q->lib->destroy_result(&q->result);
    if (!q->borrowed)
        q->lib->destroy_prepare(&q->stmt);
    for (uint32_t i = 0; q->names && i < q->count; i++)
        free(q->names[i]);
    free(q->names);
    free(q->heads);
}

static int query_check(struct query *q, struct diag *diag)
{
    duckdb_statement_type type = q->lib->prepared_statement_type(q->stmt);
    if (type == DUCKDB_STATEMENT_TYPE_SELECT || type == DUCKDB_STATEMENT_TYPE_EXPLAIN)
        return OK;
    return diag_set(diag, ERR_DENIED, 0, 0,
                    "only reading is allowed here: SELECT, WITH, FROM, VALUES, SHOW, DESCRIBE or "
                    "EXPLAIN");
}

static int query_prepare(struct query *q, const char *sql, struct diag *diag)
{
    duckdb_extracted_statements all = NULL;
    idx_t count = q->lib->extract_statements(q->conn->conn, sql, &all);
    const char *text = count ? NULL : q->lib->extract_statements_error(all);
    int err = OK;
    if (count == 0)
        err = text && text[0] ? duck_fail(q->conn, text, diag)
                              : diag_set(diag, ERR_SYNTAX, 0, 0, "there is no statement");
    else if (count > 1)
        err = diag_set(diag, ERR_DENIED, 0, 0, "one statement at a time, please");
    else if (q->lib->prepare_extracted_statement(q->conn->conn, all, 0, &q->stmt) != DuckDBSuccess)
        err = duck_fail(q->conn, q->lib->prepare_error(q->stmt), diag);
    else
        err = query_check(q, diag);
    q->lib->destroy_extracted(&all);
    return err;
}

static bool query_is_number(duckdb_type type)
{
    return type == DUCKDB_TYPE_HUGEINT || type == DUCKDB_TYPE_UHUGEINT ||
           type == DUCKDB_TYPE_DECIMAL || type == DUCKDB_TYPE_BIGNUM;
}

static int query_columns(struct query *q, idx_t count, struct diag *diag)
{
    if (count == 0 || count > QUERY_COLUMNS_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "an answer has 1 to %d columns", QUERY_COLUMNS_MAX);
    q->count = (uint32_t)count;
    q->heads = calloc(count, sizeof *q->heads);
    q->names = calloc(count, sizeof *q->names);
    return q->heads && q->names ? OK : ERR_NOMEM;
}

static int query_head(struct query *q, uint32_t i, const char *name, duckdb_type type)
{
    q->names[i] = strdup(name ? name : "");
    q->heads[i] = (struct duck_head){q->names[i], type, query_is_number(type)};
    return q->names[i] ? OK : ERR_NOMEM;
}

/* What the columns are called and of which type. *ret_plain: none needs a cast. */
static int query_heads(struct query *q, bool *ret_plain, struct diag *diag)
{
    int err = query_columns(q, q->lib->prepared_statement_column_count(q->stmt), diag);
    bool plain = true;
    for (uint32_t i = 0; !err && i < q->count; i++) {
        const char *name = q->lib->prepared_statement_column_name(q->stmt, i);
        duckdb_type type = q->lib->prepared_statement_column_type(q->stmt, i);
        err = query_head(q, i, name, type);
        q->lib->free((void *)(uintptr_t)name);
        plain = plain && duck_type_is_plain(type);
    }
    *ret_plain = plain;
    return err;
}

/* The same of a result: before it runs, a statement with parameters does not know its columns. */
static int query_result_heads(struct query *q, struct diag *diag)
{
    int err = query_columns(q, q->lib->column_count(&q->result), diag);
    for (uint32_t i = 0; !err && i < q->count; i++)
        err = query_head(q, i, q->lib->column_name(&q->result, i),
                         q->lib->column_type(&q->result, i));
    return err;
}

/* The first byte behind the quoted piece or comment that begins at `at`; at itself if none does. A
 * piece that does not end goes to the end of the text: DuckDB's parser has complained by then. */
static const char *query_skip(const char *at)
{
    static const char *const pieces[][2] = {
        {"'", "'"}, {"\"", "\""}, {"--", "\n"}, {"/*", "*/"}, {"$$", "$$"},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t len = strlen(pieces[i][0]);
        if (strncmp(at, pieces[i][0], len) != 0)
            continue;
        const char *end = strstr(at + len, pieces[i][1]);
        return end ? end + strlen(pieces[i][1]) : at + strlen(at);
    }
    return at;
}

/* Bytes before the semicolon that ends the one statement. */
static size_t query_len(const char *sql)
{
    const char *at = sql;
    while (*at && *at != ';') {
        const char *behind = query_skip(at);
        at = behind == at ? at + 1 : behind;
    }
    return (size_t)(at - sql);
}

/* The same rows, with the columns of other types as text. */
static int query_cast(struct query *q, const char *sql, struct diag *diag)
{
    struct buf text = {0};
    (void)buf_append_text(&text, "SELECT ");
    for (uint32_t i = 0; i < q->count; i++) {
        bool plain = duck_type_is_plain(q->heads[i].type);
        (void)buf_printf(&text, plain ? "%s#%u" : "%sCAST(#%u AS VARCHAR)", i ? ", " : "", i + 1);
    }
    (void)buf_append_text(&text, " FROM (");
    (void)buf_append(&text, sql, query_len(sql));
    (void)buf_append_text(&text, "\n)"); /* a comment may have ended the statement */
    (void)buf_text(&text);
    int err = buf_error(&text);
    if (!err) {
        q->lib->destroy_prepare(&q->stmt);
        err = query_prepare(q, buf_text(&text), diag);
    }
    buf_fini(&text);
    return err;
}

static int query_start(struct query *q, struct diag *diag)
{
    duckdb_pending_result pending = NULL;
    int err = OK;
    if (q->lib->pending_prepared_streaming(q->stmt, &pending) != DuckDBSuccess) {
        err = duck_fail(q->conn, q->lib->pending_error(pending), diag);
    } else {
        q->streaming = true;
        if (q->lib->execute_pending(pending, &q->result) != DuckDBSuccess)
            err = duck_fail(q->conn, q->lib->result_error(&q->result), diag);
    }
    q->lib->destroy_pending(&pending);
    return err;
}

/* Prints the rows of a chunk; true in *ret_more if more may follow. */
static int query_chunk(struct query *q, duckdb_data_chunk chunk, const struct duck_limits *limits,
                       struct duck_printer *p, bool *ret_more)
{
    struct value *cells = calloc(q->count, sizeof *cells);
    if (!cells)
        return ERR_NOMEM;
    uint64_t rows = q->lib->data_chunk_get_size(chunk);
    int err = OK;
    bool more = true;
    for (uint64_t row = 0; !err && row < rows; row++) {
        more = p->rows < limits->rows_max && duck_print_bytes(p) < limits->bytes_max;
        if (!more)
            break;
        for (uint32_t i = 0; i < q->count; i++) {
            duckdb_vector v = q->lib->data_chunk_get_vector(chunk, i);
            duck_cell(q->lib->column_type(&q->result, i), q->lib->vector_get_data(v),
                      q->lib->vector_get_validity(v), row, &cells[i]);
        }
        err = duck_print_row(p, cells);
    }
    free(cells);
    *ret_more = more;
    return err;
}

static int query_rows(struct query *q, const struct duck_limits *limits, struct duck_printer *p,
                      bool *ret_truncated, struct diag *diag)
{
    bool more = true;
    int err = duck_print_begin(p);
    while (!err && more) {
        duckdb_data_chunk chunk = q->lib->fetch_chunk(q->result);
        const char *text = chunk ? NULL : q->lib->result_error(&q->result);
        if (text && text[0])
            err = duck_fail(q->conn, text, diag);
        if (!chunk)
            break;
        err = query_chunk(q, chunk, limits, p, &more);
        q->lib->destroy_data_chunk(&chunk);
    }
    *ret_truncated = !more;
    return err ? err : duck_print_end(p);
}

static int query_run(struct query *q, const char *sql, const struct duck_limits *limits,
                     struct duck_printer *p, struct duck_answer *ret, struct diag *diag)
{
    bool plain = true;
    int err = query_prepare(q, sql, diag);
    if (!err)
        err = query_heads(q, &plain, diag);
    if (!err && !plain)
        err = query_cast(q, sql, diag);
    if (!err)
        err = query_start(q, diag);
    p->heads = q->heads;
    p->count = q->count;
    if (!err)
        err = duck_print_columns(q->heads, q->count, &ret->columns);
    if (!err)
        err = query_rows(q, limits, p, &ret->truncated, diag);
    ret->row_count = p->rows;
    return err;
}

int duck_print(struct duck_stmt *s, enum duck_format format, const struct duck_limits *limits,
               struct duck_answer *ret, struct diag *diag)
{
    *ret = (struct duck_answer){0};
    struct query q = {.conn = s->conn, .lib = s->conn->lib, .stmt = s->stmt, .borrowed = true};
    struct duck_printer p = {.format = format, .out = &ret->text};
    int err = query_start(&q, diag);
    if (!err)
        err = query_result_heads(&q, diag);
    p.heads = q.heads;
    p.count = q.count;
    if (!err)
        err = duck_print_columns(q.heads, q.count, &ret->columns);
    if (!err)
        err = query_rows(&q, limits, &p, &ret->truncated, diag);
    ret->row_count = p.rows;
    duck_print_fini(&p);
    query_fini(&q);
    return err;
}

static int query_guard(struct duck *d, struct duck_guard **ret)
{
    int err = OK;
    (void)pthread_mutex_lock(&d->mutex);
    if (!d->guard)
        err = duck_guard_new(&d->guard);
    *ret = d->guard;
    (void)pthread_mutex_unlock(&d->mutex);
    return err;
}

void duck_answer_fini(struct duck_answer *a)
{
    buf_fini(&a->columns);
    buf_fini(&a->text);
}

int duck_query(struct duck_conn *c, const char *sql, enum duck_format format,
               const struct duck_limits *limits, struct duck_answer *ret, struct diag *diag)
{
    *ret = (struct duck_answer){0};
    struct duck_guard *guard = NULL;
    int err = query_guard(c->duck, &guard);
    if (!err)
        err = duck_exec(c, "BEGIN TRANSACTION READ ONLY", diag);
    if (err)
        return err;
    struct query q = {.conn = c, .lib = c->lib};
    struct duck_printer p = {.format = format, .out = &ret->text};
    duck_guard_arm(guard, c, limits->deadline_us);
    err = query_run(&q, sql, limits, &p, ret, diag);
    if (duck_guard_disarm(guard) && err)
        err = diag_set(diag, ERR_TIMEOUT, 0, 0,
                       "the query took longer than allowed: ask for less, or allow more time");
    duck_print_fini(&p);
    query_fini(&q);
    /* The transaction may have ended with the error already. */
    (void)duck_exec(c, "ROLLBACK", NULL);
    return err;
}
