/* Opening a DuckDB file, connections, statements with binds. See duckdb.h.
 *
 * What could reach outside the file is switched off before anybody can say anything: other files,
 * the network, extensions, and the settings themselves.
 */
#include "db/duckdb_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DUCK_MEMORY_DEFAULT ((uint64_t)128 << 20)
#define DUCK_WAL_DEFAULT    ((uint64_t)16 << 20)
#define DUCK_TEMP_DEFAULT   ((uint64_t)1 << 30)
#define DUCK_COLUMNS_MAX    64

/* ---------------------------------------------------------------------------------------- errors
 */

/* DuckDB tells its kinds of error apart only by the beginning of the sentence in some places (a
 * failed prepare) and by a number in others; the sentence is always there. */
static const struct {
    const char *part;
    int err;
} duck_errors[] = {
    {"INTERRUPT", ERR_CANCELLED},       {"Interrupted", ERR_CANCELLED},
    {"No space left", ERR_NO_SPACE},    {"Disk quota exceeded", ERR_NO_SPACE},
    {"File too large", ERR_NO_SPACE},   {"Could not set lock", ERR_IN_USE},
    {"Out of Memory Error", ERR_LIMIT}, {"Parser Error", ERR_SYNTAX},
    {"Binder Error", ERR_SYNTAX},       {"Catalog Error", ERR_SYNTAX},
    {"Permission Error", ERR_DENIED},   {"read-only mode", ERR_DENIED},
    {"Conversion Error", ERR_TYPE},     {"Invalid Input Error", ERR_INVALID},
    {"Out of Range Error", ERR_RANGE},
};

static int duck_error_of(const char *text)
{
    for (size_t i = 0; i < sizeof duck_errors / sizeof duck_errors[0]; i++)
        if (strstr(text, duck_errors[i].part))
            return duck_errors[i].err;
    return ERR_DATABASE;
}

int duck_fail(struct duck_conn *c, const char *text, struct diag *diag)
{
    if (!text)
        text = "DuckDB gave no reason";
    if (strstr(text, "has been invalidated") || strstr(text, "FATAL Error"))
        c->broken = true;
    return diag_set(diag, duck_error_of(text), 0, 0, "%s", text);
}

/* -------------------------------------------------------------------------------------- database
 */

static int duck_config(const struct duck_lib *lib, const struct duck_options *o, duckdb_config *ret,
                       struct diag *diag)
{
    char memory[32];
    char threads[32];
    char wal[32];
    char temp[32];
    uint64_t memory_bytes = o->memory_bytes_max ? o->memory_bytes_max : DUCK_MEMORY_DEFAULT;
    uint64_t wal_bytes = o->wal_bytes_max ? o->wal_bytes_max : DUCK_WAL_DEFAULT;
    uint64_t temp_bytes = o->temp_bytes_max ? o->temp_bytes_max : DUCK_TEMP_DEFAULT;
    (void)snprintf(memory, sizeof memory, "%" PRIu64 "KiB", memory_bytes >> 10);
    (void)snprintf(threads, sizeof threads, "%u", o->threads ? o->threads : 1);
    (void)snprintf(wal, sizeof wal, "%" PRIu64 "KiB", wal_bytes >> 10);
    (void)snprintf(temp, sizeof temp, "%" PRIu64 "KiB", temp_bytes >> 10);
    const char *const pairs[][2] = {
        {"memory_limit", memory},
        {"threads", threads},
        {"checkpoint_threshold", wal},
        {"max_temp_directory_size", temp},
        {"enable_external_access", "false"},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
    };
    duckdb_config config = NULL;
    if (lib->create_config(&config) != DuckDBSuccess)
        return ERR_NOMEM;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (lib->set_config(config, pairs[i][0], pairs[i][1]) != DuckDBSuccess) {
            lib->destroy_config(&config);
            return diag_set(diag, ERR_DATABASE, 0, 0, "DuckDB does not take %s = %s", pairs[i][0],
                            pairs[i][1]);
        }
    }
    *ret = config;
    return OK;
}

/* Settings cannot be changed any more, from no connection. */
static int duck_lock(struct duck *d, struct diag *diag)
{
    struct duck_conn *c = NULL;
    int err = duck_connect(d, &c);
    if (err)
        return err;
    err = duck_exec(c, "SET lock_configuration = true", diag);
    duck_disconnect(c);
    return err;
}

static int duck_open_file(struct duck *d, const struct duck_options *options, struct diag *diag)
{
    duckdb_config config = NULL;
    int err = duck_load(&d->lib, diag);
    if (!err)
        err = duck_config(&d->lib, options, &config, diag);
    if (err)
        return err;
    char *text = NULL;
    if (d->lib.open_ext(options->path, &d->db, config, &text) != DuckDBSuccess) {
        err = diag_set(diag, duck_error_of(text ? text : ""), 0, 0, "%s cannot be opened: %s",
                       options->path, text ? text : "DuckDB gave no reason");
        d->lib.free(text);
        d->db = NULL;
    }
    d->lib.destroy_config(&config);
    return err;
}

int duck_open(const struct duck_options *options, struct duck **ret, struct diag *diag)
{
    struct duck *d = calloc(1, sizeof *d);
    if (!d)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&d->mutex, NULL);
    int err = duck_open_file(d, options, diag);
    if (!err)
        err = duck_lock(d, diag);
    if (err) {
        duck_close(d);
        return err;
    }
    (void)snprintf(d->version, sizeof d->version, "%s", d->lib.library_version());
    *ret = d;
    return OK;
}

void duck_close(struct duck *d)
{
    if (!d)
        return;
    duck_guard_free(d->guard);
    if (d->db)
        d->lib.close(&d->db);
    (void)pthread_mutex_destroy(&d->mutex);
    free(d);
}

const char *duck_version(const struct duck *d)
{
    return d->version;
}

int duck_connect(struct duck *d, struct duck_conn **ret)
{
    struct duck_conn *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->duck = d;
    c->lib = &d->lib;
    if (d->lib.connect(d->db, &c->conn) != DuckDBSuccess) {
        free(c);
        return ERR_DATABASE;
    }
    *ret = c;
    return OK;
}

void duck_disconnect(struct duck_conn *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->statements.count; i++)
        duck_stmt_free(c->statements.entries[i].value);
    map_fini(&c->statements);
    c->lib->disconnect(&c->conn);
    free(c);
}

void duck_interrupt(struct duck_conn *c)
{
    c->lib->interrupt(c->conn);
}

bool duck_is_broken(const struct duck_conn *c)
{
    return c->broken;
}

/* ------------------------------------------------------------------------------------ statements
 */

int duck_exec(struct duck_conn *c, const char *sql, struct diag *diag)
{
    duckdb_result result;
    int err = OK;
    if (c->lib->query(c->conn, sql, &result) != DuckDBSuccess)
        err = duck_fail(c, c->lib->result_error(&result), diag);
    c->lib->destroy_result(&result);
    return err;
}

int duck_prepare(struct duck_conn *c, const char *sql, struct duck_stmt **ret, struct diag *diag)
{
    struct duck_stmt *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->conn = c;
    if (c->lib->prepare(c->conn, sql, &s->stmt) != DuckDBSuccess) {
        int err = duck_fail(c, c->lib->prepare_error(s->stmt), diag);
        duck_stmt_free(s);
        return err;
    }
    *ret = s;
    return OK;
}

void duck_stmt_free(struct duck_stmt *s)
{
    if (!s)
        return;
    s->conn->lib->destroy_prepare(&s->stmt);
    free(s);
}

int duck_statement(struct duck_conn *c, const char *sql, struct duck_stmt **ret, struct diag *diag)
{
    struct duck_stmt *s = map_find_text(&c->statements, sql);
    if (s) {
        *ret = s;
        return OK;
    }
    int err = duck_prepare(c, sql, &s, diag);
    if (err)
        return err;
    err = map_add_text(&c->statements, sql, s);
    if (err)
        duck_stmt_free(s);
    else
        *ret = s;
    return err;
}

static int duck_bound(duckdb_state state)
{
    return state == DuckDBSuccess ? OK : ERR_INVALID;
}

int duck_bind_i64(struct duck_stmt *s, uint32_t index, int64_t v)
{
    return duck_bound(s->conn->lib->bind_int64(s->stmt, index, v));
}

int duck_bind_u64(struct duck_stmt *s, uint32_t index, uint64_t v)
{
    return duck_bound(s->conn->lib->bind_uint64(s->stmt, index, v));
}

int duck_bind_f64(struct duck_stmt *s, uint32_t index, double v)
{
    return duck_bound(s->conn->lib->bind_double(s->stmt, index, v));
}

int duck_bind_time(struct duck_stmt *s, uint32_t index, int64_t wall_us)
{
    duckdb_timestamp t = {wall_us};
    return duck_bound(s->conn->lib->bind_timestamp(s->stmt, index, t));
}

static int duck_bind_null(struct duck_stmt *s, uint32_t index)
{
    return duck_bound(s->conn->lib->bind_null(s->stmt, index));
}

static int duck_bind_string(struct duck_stmt *s, uint32_t index, struct bytes v)
{
    /* An empty view may have no pointer, and DuckDB wants one. */
    const char *text = v.len ? (const char *)v.ptr : "";
    return duck_bound(s->conn->lib->bind_varchar_length(s->stmt, index, text, v.len));
}

int duck_bind_text(struct duck_stmt *s, uint32_t index, const char *text)
{
    if (!text)
        return duck_bind_null(s, index);
    return duck_bind_string(s, index, bytes_of_text(text));
}

int duck_bind_bytes(struct duck_stmt *s, uint32_t index, struct bytes v)
{
    const void *data = v.len ? (const void *)v.ptr : "";
    return duck_bound(s->conn->lib->bind_blob(s->stmt, index, data, v.len));
}

int duck_bind(struct duck_stmt *s, uint32_t index, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        return duck_bound(s->conn->lib->bind_boolean(s->stmt, index, v->boolean));
    case VALUE_INT64:
        return duck_bind_i64(s, index, v->i64);
    case VALUE_UINT64:
        return duck_bind_u64(s, index, v->u64);
    case VALUE_FLOAT32:
        return duck_bind_f64(s, index, (double)v->f32);
    case VALUE_DOUBLE:
        return duck_bind_f64(s, index, v->f64);
    case VALUE_STRING:
        return duck_bind_string(s, index, v->bytes);
    case VALUE_BYTES:
        return duck_bind_bytes(s, index, v->bytes);
    case VALUE_TIMESTAMP:
        return duck_bind_time(s, index, v->i64);
    case VALUE_NULL:
    case VALUE_ANY:
        break;
    }
    return duck_bind_null(s, index);
}

/* --------------------------------------------------------------------------------------- results
 */

bool duck_type_is_plain(duckdb_type type)
{
    struct value v;
    static const uint64_t cell[2] = {0, 0};
    duck_cell(type, cell, NULL, 0, &v);
    return v.type != VALUE_NULL;
}

static struct bytes duck_string(const void *data, uint64_t row)
{
    /* DuckDB's string_t: up to 12 bytes inline, else a pointer. */
    const duckdb_string_t *s = (const duckdb_string_t *)data + row;
    uint32_t len = s->value.inlined.length;
    const char *text =
        len <= sizeof s->value.inlined.inlined ? s->value.inlined.inlined : s->value.pointer.ptr;
    return bytes_of(text, len);
}

static void duck_cell_signed(duckdb_type type, const void *data, uint64_t row, struct value *v)
{
    v->type = VALUE_INT64;
    if (type == DUCKDB_TYPE_TINYINT) {
        uint8_t bits = ((const uint8_t *)data)[row];
        v->i64 = bits < 128 ? bits : (int64_t)bits - 256;
        return;
    }
    if (type == DUCKDB_TYPE_SMALLINT)
        v->i64 = ((const int16_t *)data)[row];
    else if (type == DUCKDB_TYPE_INTEGER)
        v->i64 = ((const int32_t *)data)[row];
    else
        v->i64 = ((const int64_t *)data)[row];
}

static void duck_cell_unsigned(duckdb_type type, const void *data, uint64_t row, struct value *v)
{
    v->type = VALUE_UINT64;
    if (type == DUCKDB_TYPE_UTINYINT)
        v->u64 = ((const uint8_t *)data)[row];
    else if (type == DUCKDB_TYPE_USMALLINT)
        v->u64 = ((const uint16_t *)data)[row];
    else if (type == DUCKDB_TYPE_UINTEGER)
        v->u64 = ((const uint32_t *)data)[row];
    else
        v->u64 = ((const uint64_t *)data)[row];
}

static void duck_cell_other(duckdb_type type, const void *data, uint64_t row, struct value *v)
{
    if (type == DUCKDB_TYPE_BOOLEAN) {
        v->type = VALUE_BOOL;
        v->boolean = ((const uint8_t *)data)[row] != 0;
    } else if (type == DUCKDB_TYPE_FLOAT) {
        v->type = VALUE_FLOAT32;
        v->f32 = ((const float *)data)[row];
    } else if (type == DUCKDB_TYPE_DOUBLE) {
        v->type = VALUE_DOUBLE;
        v->f64 = ((const double *)data)[row];
    } else if (type == DUCKDB_TYPE_VARCHAR || type == DUCKDB_TYPE_BLOB) {
        v->type = type == DUCKDB_TYPE_BLOB ? VALUE_BYTES : VALUE_STRING;
        v->bytes = duck_string(data, row);
    } else if (type == DUCKDB_TYPE_TIMESTAMP || type == DUCKDB_TYPE_TIMESTAMP_TZ) {
        v->type = VALUE_TIMESTAMP;
        v->i64 = ((const int64_t *)data)[row];
    }
}

void duck_cell(duckdb_type type, const void *data, const uint64_t *valid, uint64_t row,
               struct value *ret)
{
    *ret = (struct value){.type = VALUE_NULL};
    if (valid && !((valid[row >> 6] >> (row & 63)) & 1))
        return;
    if (type >= DUCKDB_TYPE_TINYINT && type <= DUCKDB_TYPE_BIGINT)
        duck_cell_signed(type, data, row, ret);
    else if (type >= DUCKDB_TYPE_UTINYINT && type <= DUCKDB_TYPE_UBIGINT)
        duck_cell_unsigned(type, data, row, ret);
    else
        duck_cell_other(type, data, row, ret);
}

static int duck_chunk_rows(struct duck_conn *c, duckdb_result *result, duckdb_data_chunk chunk,
                           duck_row_fn fn, void *ctx)
{
    struct value cells[DUCK_COLUMNS_MAX];
    const void *data[DUCK_COLUMNS_MAX];
    const uint64_t *valid[DUCK_COLUMNS_MAX];
    duckdb_type types[DUCK_COLUMNS_MAX];
    uint32_t count = (uint32_t)c->lib->data_chunk_get_column_count(chunk);
    if (count > DUCK_COLUMNS_MAX)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        types[i] = c->lib->column_type(result, i);
        duckdb_vector v = c->lib->data_chunk_get_vector(chunk, i);
        data[i] = c->lib->vector_get_data(v);
        valid[i] = c->lib->vector_get_validity(v);
    }
    uint64_t rows = c->lib->data_chunk_get_size(chunk);
    for (uint64_t row = 0; row < rows; row++) {
        for (uint32_t i = 0; i < count; i++)
            duck_cell(types[i], data[i], valid[i], row, &cells[i]);
        int err = fn(ctx, cells, count);
        if (err)
            return err;
    }
    return OK;
}

int duck_row_i64(void *ctx, const struct value *cells, uint32_t count)
{
    if (count == 1 && cells[0].type != VALUE_NULL)
        *(int64_t *)ctx = cells[0].i64;
    return OK;
}

int duck_run(struct duck_stmt *s, duck_row_fn fn, void *ctx, struct diag *diag)
{
    struct duck_conn *c = s->conn;
    duckdb_result result;
    int err = OK;
    if (c->lib->execute_prepared(s->stmt, &result) != DuckDBSuccess)
        err = duck_fail(c, c->lib->result_error(&result), diag);
    while (!err && fn) {
        duckdb_data_chunk chunk = c->lib->fetch_chunk(result);
        if (!chunk)
            break;
        err = duck_chunk_rows(c, &result, chunk, fn, ctx);
        c->lib->destroy_data_chunk(&chunk);
    }
    c->lib->destroy_result(&result);
    return err;
}
