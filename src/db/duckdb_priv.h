/* What the files of the DuckDB wrapper share: the library's functions and the objects' insides. */
#ifndef LOTLINE_DB_DUCKDB_PRIV_H
#define LOTLINE_DB_DUCKDB_PRIV_H

#include "base/exec.h"
#include "base/map.h"
#include "db/duckdb.h"

#include <pthread.h>

#include <duckdb.h>

/* Every function of the library that is used, without its prefix. */
#define DUCK_FUNCTIONS(X)                                                                          \
    X(library_version)                                                                             \
    X(create_config)                                                                               \
    X(set_config)                                                                                  \
    X(destroy_config)                                                                              \
    X(open_ext)                                                                                    \
    X(close)                                                                                       \
    X(connect)                                                                                     \
    X(disconnect)                                                                                  \
    X(interrupt)                                                                                   \
    X(free)                                                                                        \
    X(query)                                                                                       \
    X(destroy_result)                                                                              \
    X(result_error)                                                                                \
    X(result_error_type)                                                                           \
    X(column_count)                                                                                \
    X(column_name)                                                                                 \
    X(column_type)                                                                                 \
    X(fetch_chunk)                                                                                 \
    X(prepare)                                                                                     \
    X(prepare_error)                                                                               \
    X(destroy_prepare)                                                                             \
    X(prepared_statement_type)                                                                     \
    X(prepared_statement_column_count)                                                             \
    X(prepared_statement_column_name)                                                              \
    X(prepared_statement_column_type)                                                              \
    X(execute_prepared)                                                                            \
    X(extract_statements)                                                                          \
    X(extract_statements_error)                                                                    \
    X(prepare_extracted_statement)                                                                 \
    X(destroy_extracted)                                                                           \
    X(pending_prepared_streaming)                                                                  \
    X(pending_error)                                                                               \
    X(destroy_pending)                                                                             \
    X(execute_pending)                                                                             \
    X(bind_boolean)                                                                                \
    X(bind_int64)                                                                                  \
    X(bind_uint64)                                                                                 \
    X(bind_double)                                                                                 \
    X(bind_timestamp)                                                                              \
    X(bind_varchar_length)                                                                         \
    X(bind_blob)                                                                                   \
    X(bind_null)                                                                                   \
    X(create_logical_type)                                                                         \
    X(destroy_logical_type)                                                                        \
    X(create_data_chunk)                                                                           \
    X(destroy_data_chunk)                                                                          \
    X(data_chunk_reset)                                                                            \
    X(data_chunk_get_size)                                                                         \
    X(data_chunk_set_size)                                                                         \
    X(data_chunk_get_vector)                                                                       \
    X(data_chunk_get_column_count)                                                                 \
    X(vector_get_data)                                                                             \
    X(vector_get_validity)                                                                         \
    X(vector_ensure_validity_writable)                                                             \
    X(vector_assign_string_element_len)                                                            \
    X(appender_create)                                                                             \
    X(appender_error)                                                                              \
    X(appender_flush)                                                                              \
    X(appender_destroy)                                                                            \
    X(append_data_chunk)

struct duck_lib {
#define DUCK_MEMBER(name) __typeof__(duckdb_##name) *name;
    DUCK_FUNCTIONS(DUCK_MEMBER)
#undef DUCK_MEMBER
};

/* Ends a query at its deadline, from a thread of its own. */
struct duck_guard {
    struct exec *exec;
    struct exec_task task;
    struct exec_timer timer;
    pthread_mutex_t mutex;
    struct duck_conn *conn; /* whose statement runs, NULL = none; under the mutex from here */
    int64_t deadline_us;
    bool fired;
};

struct duck {
    struct duck_lib lib;
    duckdb_database db;
    char version[32];
    pthread_mutex_t mutex; /* protects the making of guard */
    struct duck_guard *guard;
};

struct duck_conn {
    struct duck *duck;
    const struct duck_lib *lib;
    duckdb_connection conn;
    bool broken;
    struct map statements; /* text → struct duck_stmt: duck_statement */
};

struct duck_stmt {
    struct duck_conn *conn;
    duckdb_prepared_statement stmt;
};

/* Fills *lib. ERR_NOT_FOUND, ERR_VERSION. */
int duck_load(struct duck_lib *lib, struct diag *diag);

/* Our error for DuckDB's sentence, put into diag; notes a broken database. text may be NULL. */
int duck_fail(struct duck_conn *c, const char *text, struct diag *diag);

/* One cell of a chunk's column as a value, borrowed from the chunk. */
void duck_cell(duckdb_type type, const void *data, const uint64_t *valid, uint64_t row,
               struct value *ret);

/* True for the types that duck_cell knows. */
bool duck_type_is_plain(duckdb_type type);

int duck_guard_new(struct duck_guard **ret);
void duck_guard_free(struct duck_guard *g);
void duck_guard_arm(struct duck_guard *g, struct duck_conn *c, int64_t deadline_us);

/* True if the deadline came. */
bool duck_guard_disarm(struct duck_guard *g);

/* ------------------------------------------------------------------------------------- printing */

struct duck_head {
    const char *name; /* the statement's */
    duckdb_type type; /* as the query gives it */
    bool number;      /* its text is a number (HUGEINT, DECIMAL) */
};

/* Prints the answer's rows one after the other in one format. */
struct duck_printer {
    const struct duck_head *heads;
    uint32_t count;
    enum duck_format format;
    struct buf *out;
    uint64_t rows;
    /* DUCK_TABLE: cells are kept until the widths are known. */
    struct buf cells;
    size_t *ends; /* of each cell in cells */
    uint32_t end_count;
    uint32_t end_cap;
};

int duck_print_columns(const struct duck_head *heads, uint32_t count, struct buf *out);
int duck_print_begin(struct duck_printer *p);
int duck_print_row(struct duck_printer *p, const struct value *cells);
int duck_print_end(struct duck_printer *p);
void duck_print_fini(struct duck_printer *p);

/* Bytes the text has, or will have. */
size_t duck_print_bytes(const struct duck_printer *p);

#endif
