/* Where the adjacency index is: its runs and its tail, who may touch them, and what puts them in
 * order. The historian's writer changes them, the reader takes a snapshot of what it needs; both
 * under the mutex, for microseconds.
 *
 * After kill -9: trace_runs (DuckDB) names the runs, trace_tail has the rest, both in the
 * transaction of the rows that they tell of. A file that is not named is removed; one that is
 * missing or not as it was has the index made anew from the other tables.
 */
#ifndef LOTLINE_TRACE_INDEX_STORE_H
#define LOTLINE_TRACE_INDEX_STORE_H

#include "trace/index_run.h"
#include "trace/index_tail.h"

#include <pthread.h>
#include <stdatomic.h>

struct duck_conn;
struct historian_txn;

#define INDEX_PATH_BYTES_MAX 2048
#define TAIL_ENTRIES_MAX     65536 /* then they become a run */

/* A run and what trace_runs says of it. */
struct index_run {
    struct run *run;
    int64_t number; /* names the file */
    int64_t level;  /* how often its entries were merged */
};

/* Oldest entries first. Zero-initialised is empty. */
struct index_runs {
    struct index_run *list;
    uint32_t count;
    uint32_t cap;
};

struct index_store {
    pthread_mutex_t mutex;
    struct index_runs runs;
    struct tail tail;
    atomic_bool damaged; /* a reader met what it could not read */
    /* The historian's writer alone. */
    char dir[INDEX_PATH_BYTES_MAX];
    int64_t number;     /* of the next run */
    uint32_t settle_at; /* entries of the tail */
    uint32_t tail_max;  /* TAIL_ENTRIES_MAX; tests have less */
};

void index_store_init(struct index_store *s);
void index_store_fini(struct index_store *s);

/* An entry of the tail as a reader took it. */
struct index_found {
    struct index_found *next;
    struct bytes entry;
};

/* What one call to the index reads: everything of one moment. */
struct index_snapshot {
    uint64_t *hashes; /* the caller's, [count] */
    uint32_t count;
    struct index_found **found; /* [count], lists, oldest first */
    struct run **runs;          /* oldest first */
    uint32_t run_count;
};

/* Copies what the tail has for the hashes into the arena and takes references of the runs.
 * ERR_NOMEM. Whatever it returns, index_store_give is needed. */
int index_store_take(struct index_store *s, struct arena *arena, struct index_snapshot *snap);
void index_store_give(struct index_store *s, struct index_snapshot *snap);

/* Has the index made anew after the next commit. Any thread. */
void index_store_damaged(struct index_store *s);

/* The historian_tap's functions; ctx is the struct trace. */
int trace_index_open(void *ctx, struct duck_conn *conn, struct diag *diag);
int trace_index_write(void *ctx, const struct historian_txn *txn);
void trace_index_settle(void *ctx, struct duck_conn *conn);
int trace_index_copy(void *ctx, const char *to, struct diag *diag);

#endif
