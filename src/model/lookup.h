/* The lookup port: a table of what was valid when, asked by key and time.
 *
 * Who owns the data (a source that polls an MES) publishes the whole table again and again; who
 * reads (rules) asks for the row of a key as of a moment: the lot that was on feeder 12 when this
 * board was placed, not the one that is there now. A published table never changes. A reader holds
 * on to one and compares a number to see whether there is a newer one; only then does it take a
 * mutex, so that the data path takes none.
 *
 *     rows of one key:   [from, to) [from, to) [from, ∞)     of several that hold the time, the one
 *                                                            that began last
 *
 * Keys are compared by what they mean: 7 is 7 as int64, uint64 and double; string and bytes are
 * one.
 */
#ifndef LOTLINE_MODEL_LOOKUP_H
#define LOTLINE_MODEL_LOOKUP_H

#include "model/batch.h"

#include <pthread.h>

#define LOOKUP_KEYS_MAX      8
#define LOOKUP_KEY_BYTES_MAX 4096 /* of one row's whole key */

struct lookup_table;

struct lookup {
    char *name;
    struct schema *schema;
    uint32_t key_count;
    uint32_t keys[LOOKUP_KEYS_MAX]; /* columns */
    int32_t from;                   /* timestamp columns; -1: none */
    int32_t to;
    uint32_t rows_max;
    atomic_ullong version;  /* of the table; 0: nothing was published yet */
    atomic_ullong unloaded; /* rows that asked before */
    atomic_ullong missed;   /* rows whose key and time no row has */
    pthread_mutex_t mutex;
    struct lookup_table *table; /* under the mutex */
};

struct lookup_options {
    const char *name;
    const struct schema *schema;
    uint32_t key_count; /* 1 to LOOKUP_KEYS_MAX */
    uint32_t keys[LOOKUP_KEYS_MAX];
    int32_t from; /* -1: every row since ever */
    int32_t to;   /* -1: every row until the next of its key */
    uint32_t rows_max;
};

/* Copies what it needs. ERR_NOMEM. */
int lookup_new(const struct lookup_options *options, struct lookup **ret);

/* After all readers are closed. NULL is allowed. */
void lookup_free(struct lookup *l);

/* Makes b (of the lookup's schema, referenced; NULL = an empty table) the table from now on. Rows
 * without a key are left out. Any one thread. ERR_LIMIT (more than rows_max rows, a key too long),
 * ERR_NOMEM: the table stays what it was. */
int lookup_publish(struct lookup *l, const struct batch *b);

/* ---------------------------------------------------------------------------------------- reading
 */

/* One reader's hold on a table. One thread. */
struct lookup_reader {
    struct lookup *lookup;
    const struct lookup_table *table; /* NULL: nothing was published yet */
    uint64_t version;
};

void lookup_reader_open(struct lookup_reader *r, struct lookup *l);
void lookup_reader_close(struct lookup_reader *r);

/* Goes on to the newest table. What was taken from the one before is gone. */
void lookup_reader_refresh(struct lookup_reader *r);

/* Appends a key's part in the form that is compared. ERR_INVALID (null), ERR_NOMEM. */
int lookup_key_append(struct buf *key, const struct value *v);

#define LOOKUP_NONE INT64_MAX

/* The row whose key has these parts and which holds at time_us; LOOKUP_NONE. */
int64_t lookup_find(const struct lookup_table *t, struct bytes key, int64_t time_us);

/* The rows. Lives as long as the table. */
const struct batch *lookup_rows(const struct lookup_table *t);

#endif
