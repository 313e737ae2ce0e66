/* What the historian's files share. The writer's part belongs to the writer's thread, the database
 * handle is lent to the reader under the mutex. */
#ifndef LOTLINE_HISTORIAN_HISTORIAN_PRIV_H
#define LOTLINE_HISTORIAN_HISTORIAN_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "historian/historian.h"

#include <pthread.h>

#define HISTORIAN_STREAMS_MAX         1024 /* patterns */
#define HISTORIAN_COMMIT_ROWS_DEFAULT 50000
#define HISTORIAN_LINGER_MS_DEFAULT   500
#define HISTORIAN_IDLE_MS             5000 /* a position that moved without points */
#define HISTORIAN_BACKOFF_MS_MIN      100
#define HISTORIAN_BACKOFF_MS_MAX      10000
#define HISTORIAN_TABLES_MAX          16 /* of all taps */

/* ----------------------------------------------------------------------------------------- tags
 */

/* A stream with one schema, and which tag each of its columns is. */
struct source {
    char *node;
    char *stream;
    struct schema *schema;
    uint32_t *tags;     /* [schema->count] */
    uint32_t *any_tags; /* [schema->count × VALUE_TYPE_COUNT] if a column is `any`; 0 = none yet */
};

/* A tag that the table does not have yet. */
struct new_tag {
    const struct source *source;
    uint32_t col;
    uint32_t id;
    enum value_type type;
};

/* Tag = (node, stream, name, type, uom, scale, offset): a change of any makes a new id, so what
 * was stored keeps its meaning. */
struct tags {
    struct map ids;     /* key of a tag → its id */
    struct map sources; /* node, stream, schema hash → struct source */
    uint32_t id_max;
    struct new_tag *fresh;
    uint32_t fresh_count;
    uint32_t fresh_cap;
};

void tags_fini(struct tags *t);

/* Reads the table. */
int tags_load(struct tags *t, struct duck_conn *c, struct diag *diag);

/* The source of a batch, made with its tags if it is new. ERR_MALFORMED (a name is not UTF-8). */
int tags_source(struct tags *t, struct bytes node, struct bytes stream, const struct schema *schema,
                struct source **ret);

/* The tag of an `any` column's values of one type. */
int tags_any(struct tags *t, struct source *s, uint32_t col, enum value_type type,
             uint32_t *ret_id);

/* Appends the fresh ones to the table; tags_settled when that is committed. */
int tags_write(struct tags *t, struct duck_appender *a, int64_t known_us, struct diag *diag);
void tags_settled(struct tags *t);

extern const struct duck_column tag_columns[];
#define TAG_COLUMN_COUNT 10

/* --------------------------------------------------------------------------------------- points
 */

/* A batch that waits to be written. */
struct waiting {
    struct batch *batch;
    struct source *source;
    bool sorted; /* its rows are in the order of time */
};

struct points {
    struct waiting *items;
    uint32_t count;
    uint32_t cap;
    uint64_t cells; /* columns × rows of all */
};

/* Takes one reference of batch on success. */
int points_add(struct points *p, struct source *source, struct batch *batch);
void points_clear(struct points *p);
void points_fini(struct points *p);

struct ranges;

/* Appends all, in the order of (tag, time), and notes in `ranges` where they lie. */
int points_write(const struct points *p, struct tags *t, struct duck_appender *a,
                 struct ranges *ranges, uint64_t *ret_points, struct diag *diag);

extern const struct duck_column point_columns[];
#define POINT_COLUMN_COUNT 9

/* --------------------------------------------------------------------------------------- ranges
 */

#define RANGE_ROWS       4096 /* of `points`: a piece */
#define RANGE_GROUPS_MAX 32

/* From when to when the good values of some tags in a piece of the table are. */
struct range {
    int64_t ts_from;
    int64_t ts_to;
    uint32_t tag_from;
    uint32_t tag_to;
    int32_t piece;
};

struct ranges {
    int32_t piece; /* that is not full */
    uint32_t rows; /* that it has */
    struct range list[RANGE_GROUPS_MAX + 1];
    uint32_t count;
    uint32_t shift;     /* a group's tags agree but for so many bits */
    struct range *full; /* to be written with the commit */
    uint32_t full_count;
    uint32_t full_cap;
};

/* Reads the table, and makes what is missing in it. */
int ranges_load(struct ranges *r, struct duck_conn *c, struct diag *diag);

/* The next rows of `points`; ret_pieces gets the piece of each. */
int ranges_add(struct ranges *r, const uint32_t *tags, const int64_t *ts, const uint8_t *quality,
               uint32_t count, int32_t *ret_pieces);

/* From when to when the good values are of all that is not written yet: what is full since the last
 * commit, and the piece that is not. None: *ret_from is later than *ret_to. */
void ranges_span(const struct ranges *r, int64_t *ret_from, int64_t *ret_to);

/* Appends what is full. */
int ranges_write(struct ranges *r, struct duck_appender *a, struct diag *diag);
void ranges_fini(struct ranges *r);

/* For readers (cuts.c). Everything that is known of a cut, read anew. ERR_DATABASE, ERR_CANCELLED,
 * ERR_NOMEM. */
int ranges_read(struct duck_conn *c, const struct historian_cut *cut, struct historian_ranges *ret,
                struct diag *diag);
void ranges_found_fini(struct historian_ranges *r);

/* Where in `points` the values of a part of that cut lie: within these pieces, which hold others
 * too, and in what ranges_open says. How many; in order; when there are more than `max` (at least
 * 1), gaps are in. */
uint32_t ranges_pieces(const struct historian_ranges *r, const struct historian_cut *cut,
                       struct historian_pieces *list, uint32_t max);

/* The pieces that are not full yet. */
int ranges_open(struct duck_conn *c, struct historian_pieces *ret, struct diag *diag);

extern const struct duck_column range_columns[];
extern const char range_ddl[];
#define RANGE_COLUMN_COUNT 5

/* What readers are told of the pieces that are not full, so that they need not look there. It holds
 * for whoever finds `piece` to be the first of them: it is widened before a commit, and made anew
 * after it. */
struct open_piece {
    int64_t piece; /* -1: nothing is known */
    int64_t ts_from;
    int64_t ts_to;
};

/* -------------------------------------------------------------------------------- other tables */

struct txn_row {
    struct txn_row *next;
    const struct historian_table *table;
    struct value cells[];
};

struct historian_txn {
    struct arena arena;
    struct txn_row *first;
    struct txn_row **last;
    uint32_t count;
    int64_t known_us;
};

struct txn_table {
    const struct historian_table *table;
    struct duck_appender *appender;
};

void txn_reset(struct historian_txn *t);
int txn_write(const struct historian_txn *t, const struct txn_table *tables, uint32_t count,
              struct diag *diag);

/* ------------------------------------------------------------------------------------ historian
 */

struct historian {
    struct historian_options options;
    char *path;
    char **patterns;
    uint32_t pattern_count;
    char *node;      /* this node's name, from the catalogue */
    struct map keep; /* this node's streams that are kept */
    bool configured;
    struct feed feed;
    bool has_feed;
    struct historian_tap taps[HISTORIAN_TAPS_MAX];
    uint32_t tap_count;
    struct exec *writer;
    struct exec *reader;

    pthread_mutex_t mutex;
    pthread_cond_t idle;       /* readers became 0 */
    struct duck *duck;         /* NULL while closed; under the mutex from here */
    struct duck_conn *reading; /* lent out */
    struct duck_conn *kept;    /* what historian_reader_open lends */
    bool closing;              /* no lending */
    struct open_piece open;
    struct historian_stats stats; /* what others see */

    /* The writer's thread alone. */
    struct duck_conn *conn;
    struct duck_appender *points_appender;
    struct duck_appender *tags_appender;
    struct duck_appender *ranges_appender;
    struct duck_stmt *position_stmt;
    struct txn_table tables[HISTORIAN_TABLES_MAX];
    uint32_t table_count;
    struct tags tags;
    struct points points;
    struct ranges ranges;
    bool ranges_stale; /* a commit failed while they were noted */
    struct historian_txn txn;
    struct historian_stats now; /* copied to stats */
    struct position seen;       /* read from the feed */
    int64_t waiting_since_us;   /* 0 = nothing waits */
    int64_t backoff_ms;
    bool running;
    bool recover;          /* start anew from the committed position */
    struct exec_task task; /* there may be records */
    struct exec_timer timer;
};

/* historian.c: as historian_reader_open, a connection of its own, in no transaction: for what
 * people write. */
int historian_reader_open_new(struct historian *h, struct duck_conn **ret);

/* historian.c: whether the patterns take a name; without patterns all are taken. */
bool historian_chooses(const struct historian *h, struct bytes name);

/* store.c: the database's side of the writer. */
int store_open(struct historian *h, struct diag *diag);
void store_close(struct historian *h);
int store_commit(struct historian *h, struct diag *diag);

/* writer.c */
void writer_init(struct historian *h);
int writer_start(struct historian *h, struct diag *diag);
void writer_stop(struct historian *h);
void writer_publish(struct historian *h);

/* sql.c */
extern const struct call_spec historian_sql_spec;
void historian_sql_serve(void *owner, struct call *c);

#endif
