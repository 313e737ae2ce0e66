/* Rows of other tables (the trace's) that go into the database with the points of the same records.
 * See historian.h.
 *
 * They are few (some a unit), so they are kept as values until the commit and appended one by one.
 */
#include "historian/historian_priv.h"

#include <string.h>

void txn_reset(struct historian_txn *t)
{
    arena_reset(&t->arena);
    t->first = NULL;
    t->last = &t->first;
    t->count = 0;
}

int64_t historian_known_at(const struct historian_txn *txn)
{
    return txn->known_us;
}

static const enum value_type txn_types[] = {
    [DUCK_U8] = VALUE_UINT64,      [DUCK_I32] = VALUE_INT64,  [DUCK_U32] = VALUE_UINT64,
    [DUCK_I64] = VALUE_INT64,      [DUCK_U64] = VALUE_UINT64, [DUCK_F64] = VALUE_DOUBLE,
    [DUCK_TIME] = VALUE_TIMESTAMP, [DUCK_BOOL] = VALUE_BOOL,  [DUCK_TEXT] = VALUE_STRING,
    [DUCK_BYTES] = VALUE_BYTES,
};

int historian_insert(struct historian_txn *txn, const struct historian_table *table,
                     const struct value *cells)
{
    uint32_t count = table->column_count;
    for (uint32_t i = 0; i < count; i++) {
        bool null = cells[i].type == VALUE_NULL;
        if (null ? !table->columns[i].nullable : cells[i].type != txn_types[table->columns[i].type])
            return ERR_TYPE;
    }
    struct txn_row *row =
        arena_alloc(&txn->arena, sizeof *row + (size_t)count * sizeof(struct value));
    if (!row)
        return ERR_NOMEM;
    row->table = table;
    for (uint32_t i = 0; i < count; i++) {
        row->cells[i] = cells[i];
        if (cells[i].type != VALUE_STRING && cells[i].type != VALUE_BYTES)
            continue;
        const char *copy = arena_copy(&txn->arena, cells[i].bytes);
        if (!copy)
            return ERR_NOMEM;
        row->cells[i].bytes = bytes_of(copy, cells[i].bytes.len);
    }
    *txn->last = row;
    txn->last = &row->next;
    txn->count++;
    return OK;
}

int historian_rows_each(const struct historian_txn *txn, const struct historian_table *table,
                        int (*fn)(void *ctx, const struct value *cells), void *ctx)
{
    int err = OK;
    for (const struct txn_row *row = txn->first; row && !err; row = row->next)
        if (row->table == table)
            err = fn(ctx, row->cells);
    return err;
}

static void txn_fill(const struct duck_vector *v, enum duck_type type, const struct value *cell,
                     uint32_t row)
{
    if (v->valid)
        duck_vector_set_valid(v, row);
    if (type == DUCK_U8)
        ((uint8_t *)v->data)[row] = (uint8_t)cell->u64;
    else if (type == DUCK_BOOL)
        ((uint8_t *)v->data)[row] = cell->boolean;
    else if (type == DUCK_I32)
        ((int32_t *)v->data)[row] = (int32_t)cell->i64;
    else if (type == DUCK_U32)
        ((uint32_t *)v->data)[row] = (uint32_t)cell->u64;
    else if (type == DUCK_F64)
        ((double *)v->data)[row] = cell->f64;
    else if (type == DUCK_TEXT || type == DUCK_BYTES)
        duck_vector_set_bytes(v, row, cell->bytes);
    else /* I64, U64, TIME */
        ((uint64_t *)v->data)[row] = cell->u64;
}

static int txn_write_table(const struct historian_txn *t, const struct txn_table *table,
                           struct diag *diag)
{
    const struct historian_table *spec = table->table;
    uint32_t rows = 0;
    uint32_t total = 0;
    int err = OK;
    for (const struct txn_row *row = t->first; row && !err; row = row->next) {
        if (row->table != spec)
            continue;
        const struct duck_vector *v = duck_appender_vectors(table->appender);
        for (uint32_t i = 0; i < spec->column_count; i++)
            if (row->cells[i].type != VALUE_NULL)
                txn_fill(&v[i], spec->columns[i].type, &row->cells[i], rows);
        total++;
        if (++rows < DUCK_CHUNK_ROWS)
            continue;
        err = duck_appender_push(table->appender, rows, diag);
        rows = 0;
    }
    if (!err && rows)
        err = duck_appender_push(table->appender, rows, diag);
    return err || total == 0 ? err : duck_appender_flush(table->appender, diag);
}

int txn_write(const struct historian_txn *t, const struct txn_table *tables, uint32_t count,
              struct diag *diag)
{
    int err = OK;
    for (uint32_t i = 0; t->count && !err && i < count; i++)
        err = txn_write_table(t, &tables[i], diag);
    return err;
}
