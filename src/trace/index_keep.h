/* What the files that keep the adjacency index share, on the historian's writer. */
#ifndef LOTLINE_TRACE_INDEX_KEEP_H
#define LOTLINE_TRACE_INDEX_KEEP_H

#include "trace/trace_priv.h"

/* Runs a statement with up to four whole numbers. */
int index_statement(struct duck_conn *conn, const char *sql, const int64_t *numbers, uint32_t count,
                    duck_row_fn fn, void *ctx, struct diag *diag);

/* Writes the tail's entries as the next run. The file is on the disk, and nobody knows of it. */
int index_run_of_tail(struct index_store *s, const struct tail *t, struct index_run *ret,
                      struct diag *diag);

/* Closes and removes a run that no row of trace_runs names. */
void index_run_remove(const struct index_store *s, struct index_run *r);

/* Puts it behind the others. ERR_NOMEM. */
int index_runs_add(struct index_runs *runs, const struct index_run *r);

/* index_make.c: entries that the other tables ask for at least. */
int index_wanted(struct duck_conn *conn, int64_t *ret, struct diag *diag);

/* index_make.c: new runs of everything that the other tables have, which is at least `wanted`;
 * their files are there, and nobody knows of them. */
int index_make(struct index_store *s, struct duck_conn *conn, int64_t wanted,
               struct index_runs *ret, struct diag *diag);

#endif
