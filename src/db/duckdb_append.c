/* The appender by data chunk: the caller writes into DuckDB's own vectors. See duckdb.h.
 *
 * Measured, this is DuckDB's fastest way in that stays within a transaction. Nullable columns begin
 * each chunk all null, so that a writer of sparse columns touches only what it has.
 */
#include "db/duckdb_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct duck_appender {
    struct duck_conn *conn;
    duckdb_appender appender;
    duckdb_data_chunk chunk;
    const struct duck_column *columns; /* the caller's, static */
    struct duck_vector *vectors;
    uint32_t count;
    bool dirty; /* chunks were pushed and not flushed */
};

static const duckdb_type duck_types[] = {
    [DUCK_U8] = DUCKDB_TYPE_UTINYINT,    [DUCK_I32] = DUCKDB_TYPE_INTEGER,
    [DUCK_U32] = DUCKDB_TYPE_UINTEGER,   [DUCK_I64] = DUCKDB_TYPE_BIGINT,
    [DUCK_U64] = DUCKDB_TYPE_UBIGINT,    [DUCK_F64] = DUCKDB_TYPE_DOUBLE,
    [DUCK_TIME] = DUCKDB_TYPE_TIMESTAMP, [DUCK_BOOL] = DUCKDB_TYPE_BOOLEAN,
    [DUCK_TEXT] = DUCKDB_TYPE_VARCHAR,   [DUCK_BYTES] = DUCKDB_TYPE_BLOB,
};

static void duck_appender_begin(struct duck_appender *a)
{
    const struct duck_lib *lib = a->conn->lib;
    lib->data_chunk_reset(a->chunk);
    for (uint32_t i = 0; i < a->count; i++) {
        duckdb_vector v = lib->data_chunk_get_vector(a->chunk, i);
        a->vectors[i].handle = v;
        a->vectors[i].lib = lib;
        a->vectors[i].data = lib->vector_get_data(v);
        a->vectors[i].valid = NULL;
        if (!a->columns[i].nullable)
            continue;
        lib->vector_ensure_validity_writable(v);
        a->vectors[i].valid = lib->vector_get_validity(v);
        memset(a->vectors[i].valid, 0, DUCK_CHUNK_ROWS / 8);
    }
}

static int duck_appender_chunk(struct duck_appender *a)
{
    const struct duck_lib *lib = a->conn->lib;
    duckdb_logical_type *types = calloc(a->count, sizeof(duckdb_logical_type));
    if (!types)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < a->count; i++)
        types[i] = lib->create_logical_type(duck_types[a->columns[i].type]);
    a->chunk = lib->create_data_chunk(types, a->count);
    for (uint32_t i = 0; i < a->count; i++)
        lib->destroy_logical_type(&types[i]);
    free(types);
    return a->chunk ? OK : ERR_NOMEM;
}

int duck_appender_new(struct duck_conn *c, const char *table, const struct duck_column *columns,
                      uint32_t count, struct duck_appender **ret, struct diag *diag)
{
    struct duck_appender *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->conn = c;
    a->columns = columns;
    a->count = count;
    a->vectors = calloc(count, sizeof *a->vectors);
    int err = a->vectors ? duck_appender_chunk(a) : ERR_NOMEM;
    if (!err && c->lib->appender_create(c->conn, NULL, table, &a->appender) != DuckDBSuccess)
        err = duck_fail(c, a->appender ? c->lib->appender_error(a->appender) : NULL, diag);
    if (err) {
        duck_appender_free(a);
        return err;
    }
    duck_appender_begin(a);
    *ret = a;
    return OK;
}

/* DuckDB flushes what an appender still holds when it is destroyed, which after a failure would
 * write rows outside of the transaction they belong to. So it does that in one that is undone. */
static void duck_appender_drop(struct duck_appender *a)
{
    if (a->dirty)
        (void)duck_exec(a->conn, "BEGIN TRANSACTION", NULL);
    (void)a->conn->lib->appender_destroy(&a->appender);
    if (a->dirty)
        (void)duck_exec(a->conn, "ROLLBACK", NULL);
}

void duck_appender_free(struct duck_appender *a)
{
    if (!a)
        return;
    const struct duck_lib *lib = a->conn->lib;
    if (a->appender)
        duck_appender_drop(a);
    if (a->chunk)
        lib->destroy_data_chunk(&a->chunk);
    free(a->vectors);
    free(a);
}

const struct duck_vector *duck_appender_vectors(struct duck_appender *a)
{
    return a->vectors;
}

void duck_vector_set_bytes(const struct duck_vector *v, uint32_t row, struct bytes bytes)
{
    const struct duck_lib *lib = v->lib;
    const char *text = bytes.len ? (const char *)bytes.ptr : "";
    lib->vector_assign_string_element_len(v->handle, row, text, bytes.len);
}

int duck_appender_push(struct duck_appender *a, uint32_t rows, struct diag *diag)
{
    assert(rows <= DUCK_CHUNK_ROWS);
    const struct duck_lib *lib = a->conn->lib;
    lib->data_chunk_set_size(a->chunk, rows);
    int err = OK;
    a->dirty = true;
    if (lib->append_data_chunk(a->appender, a->chunk) != DuckDBSuccess)
        err = duck_fail(a->conn, lib->appender_error(a->appender), diag);
    duck_appender_begin(a);
    return err;
}

int duck_appender_flush(struct duck_appender *a, struct diag *diag)
{
    if (a->conn->lib->appender_flush(a->appender) != DuckDBSuccess)
        return duck_fail(a->conn, a->conn->lib->appender_error(a->appender), diag);
    a->dirty = false;
    return OK;
}
