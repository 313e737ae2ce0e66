/* DuckDB behind one wrapper: open, statements with binds, an appender by columns, limited queries.
 *
 * The library is 60 MB and most edges never need it, so it is loaded on first use (duck_open) and
 * nothing links with it: from $LOTLINE_DUCKDB, else lib/libduckdb.so beside the executable, else
 * where tools/install puts it, else the loader's own path.
 *
 * SQL texts given to duck_exec and duck_prepare are constants of the program; values go in by binds
 * only. What people write goes through duck_query, which refuses everything but one reading
 * statement.
 */
#ifndef LOTLINE_DB_DUCKDB_H
#define LOTLINE_DB_DUCKDB_H

#include "base/err.h"
#include "model/value.h"

struct duck;      /* an open database file */
struct duck_conn; /* a connection to it: one thread at a time */
struct duck_stmt;
struct duck_appender;

/* ------------------------------------------------------------------------------------- database */

struct duck_options {
    const char *path;          /* made if it is not there */
    uint64_t memory_bytes_max; /* DuckDB's own accounting; 0 = 128 MiB */
    uint32_t threads;          /* 0 = 1: a query runs on the thread that asks */
    uint64_t wal_bytes_max;    /* checkpoint beyond it; 0 = 16 MiB */
    uint64_t temp_bytes_max;   /* spilled to PATH.tmp; 0 = 1 GiB */
};

/* Loads the library if need be and opens the file. Access to other files, to the network and to
 * settings is switched off. Blocking (replays a log after a kill). ERR_NOT_FOUND (no library),
 * ERR_VERSION, ERR_IN_USE (another process has the file), ERR_DATABASE, ERR_NOMEM; diag (may be
 * NULL) says what to do. */
int duck_open(const struct duck_options *options, struct duck **ret, struct diag *diag);

/* Blocking. Every connection must be gone. NULL is allowed. */
void duck_close(struct duck *d);

/* "v1.4.4"; loads nothing: "" before the first duck_open. */
const char *duck_version(const struct duck *d);

int duck_connect(struct duck *d, struct duck_conn **ret);
void duck_disconnect(struct duck_conn *c); /* NULL is allowed */

/* The running statement of c ends with ERR_CANCELLED soon. Any thread, while c lives. */
void duck_interrupt(struct duck_conn *c);

/* True when the database refuses everything after an error it could not undo (a disk full at the
 * wrong moment): close it and open it again. */
bool duck_is_broken(const struct duck_conn *c);

/* --------------------------------------------------------------------------------------- statement
 */

/* Runs one or more statements without binds. ERR_NO_SPACE, ERR_DATABASE, ERR_CANCELLED, ERR_NOMEM.
 */
int duck_exec(struct duck_conn *c, const char *sql, struct diag *diag);

int duck_prepare(struct duck_conn *c, const char *sql, struct duck_stmt **ret, struct diag *diag);
void duck_stmt_free(struct duck_stmt *s); /* NULL is allowed */

/* The statement of this text, prepared when it is asked for the first time and the connection's own
 * until it ends: not to be freed. For the constant texts of a program, since none is dropped. */
int duck_statement(struct duck_conn *c, const char *sql, struct duck_stmt **ret, struct diag *diag);

/* Parameter `index` counts from 1. By the value's type: strings as VARCHAR (must be UTF-8), bytes
 * as BLOB, timestamps as TIMESTAMP, VALUE_NULL as NULL. */
int duck_bind(struct duck_stmt *s, uint32_t index, const struct value *v);
int duck_bind_i64(struct duck_stmt *s, uint32_t index, int64_t v);
int duck_bind_u64(struct duck_stmt *s, uint32_t index, uint64_t v);
int duck_bind_f64(struct duck_stmt *s, uint32_t index, double v);
int duck_bind_time(struct duck_stmt *s, uint32_t index, int64_t wall_us);
int duck_bind_text(struct duck_stmt *s, uint32_t index, const char *text); /* NULL = NULL */
int duck_bind_bytes(struct duck_stmt *s, uint32_t index, struct bytes v);

/* One row of an answer: as values, borrowed for the callback. A non-zero return ends the walk and
 * is returned. BLOB comes as bytes, VARCHAR as string, FLOAT and DECIMAL as double; types without a
 * value of ours as their text. */
typedef int (*duck_row_fn)(void *ctx, const struct value *cells, uint32_t count);

/* A duck_row_fn for statements that answer one number: ctx is the int64_t that gets it; null, and
 * no row at all, leave it as it was. */
int duck_row_i64(void *ctx, const struct value *cells, uint32_t count);

/* Runs s and gives its rows; fn may be NULL. May be run again with other binds. */
int duck_run(struct duck_stmt *s, duck_row_fn fn, void *ctx, struct diag *diag);

/* --------------------------------------------------------------------------------------- appender
 */

/* Rows go in by data chunks: the caller writes straight into DuckDB's vectors. */
#define DUCK_CHUNK_ROWS 2048

enum duck_type {
    DUCK_U8,
    DUCK_I32,
    DUCK_U32,
    DUCK_I64,
    DUCK_U64,
    DUCK_F64,
    DUCK_TIME,  /* int64 µs */
    DUCK_BOOL,  /* uint8 */
    DUCK_TEXT,  /* duck_vector_set_bytes; must be UTF-8 */
    DUCK_BYTES, /* duck_vector_set_bytes */
};

/* One column of the chunk that is being filled. */
struct duck_vector {
    void *data;      /* DUCK_CHUNK_ROWS values of the type; not for text and bytes */
    uint64_t *valid; /* bit set = present; NULL unless the column may be null. Begins all null */
    void *handle;    /* private from here */
    const void *lib;
};

struct duck_column {
    const char *name;
    enum duck_type type;
    bool nullable;
};

/* An appender to `table`, whose columns are exactly these, in this order. */
int duck_appender_new(struct duck_conn *c, const char *table, const struct duck_column *columns,
                      uint32_t count, struct duck_appender **ret, struct diag *diag);
/* Drops what was pushed and not flushed; if there is any, the connection's transaction is undone.
 */
void duck_appender_free(struct duck_appender *a); /* NULL is allowed */

/* The vectors to write the next rows into, [count]; valid until duck_appender_push. */
const struct duck_vector *duck_appender_vectors(struct duck_appender *a);
void duck_vector_set_bytes(const struct duck_vector *v, uint32_t row, struct bytes bytes);

static inline void duck_vector_set_valid(const struct duck_vector *v, uint32_t row)
{
    v->valid[row >> 6] |= (uint64_t)1 << (row & 63);
}

/* Hands the first `rows` rows over and starts an empty chunk. */
int duck_appender_push(struct duck_appender *a, uint32_t rows, struct diag *diag);

/* Puts everything pushed into the table, within the connection's transaction. */
int duck_appender_flush(struct duck_appender *a, struct diag *diag);

/* --------------------------------------------------------------------------- queries of people */

enum duck_format {
    DUCK_JSON,  /* rows as a JSON list of objects */
    DUCK_ARRAY, /* rows as a JSON list of lists */
    DUCK_CSV,   /* a header line, then the rows (RFC 4180, LF) */
    DUCK_TABLE, /* columns side by side for a terminal */
};

struct duck_limits {
    uint64_t rows_max;
    uint64_t bytes_max;  /* of the text made */
    int64_t deadline_us; /* monotonic */
};

struct duck_answer {
    struct buf columns; /* JSON: [{"name": …, "type": …}, …] */
    struct buf text;    /* the rows in the format asked for */
    uint64_t row_count;
    bool truncated; /* a limit cut the rest */
};

void duck_answer_fini(struct duck_answer *a);

/* Runs a prepared statement and prints its rows; types that are not plain (struct value) print as
 * null, so the statement casts them. *ret as for duck_query; limits->deadline_us is not used. */
int duck_print(struct duck_stmt *s, enum duck_format format, const struct duck_limits *limits,
               struct duck_answer *ret, struct diag *diag);

/* One SELECT, WITH, FROM, VALUES, SHOW, DESCRIBE or EXPLAIN, run in a read-only transaction;
 * anything else is ERR_DENIED. ERR_TIMEOUT (the deadline), ERR_SYNTAX, ERR_DATABASE, ERR_LIMIT (one
 * row is larger than bytes_max), with DuckDB's own sentence in diag. *ret is zeroed first and needs
 * fini in any case. */
int duck_query(struct duck_conn *c, const char *sql, enum duck_format format,
               const struct duck_limits *limits, struct duck_answer *ret, struct diag *diag);

#endif
