/* What the files of the stage share: a source is one stream, and what feeds it. */
#ifndef LOTLINE_SOURCE_SOURCE_PRIV_H
#define LOTLINE_SOURCE_SOURCE_PRIV_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "codec/csv_read.h"
#include "codec/json.h"
#include "model/feed.h"
#include "model/lookup.h"
#include "net/http_client.h"
#include "source/source.h"

#include <limits.h>
#include <pthread.h>

#define SOURCES_MAX           1000
#define SOURCE_HEADERS_MAX    32
#define SOURCE_BACKOFF_US_MAX 60000000
#define SOURCE_RETRY_US       1000000 /* the first wait of a back-off, at least */
/* A lookup's: what changed meanwhile is bound wrongly until it is asked again. */
#define SOURCE_LOOKUP_BACKOFF_US_MAX 10000000
#define SOURCE_ROWS_MAX              1000000
#define SOURCE_FILE_BYTES            (256u << 10) /* read at a time */
#define SOURCE_FILE_ROWS             4096
#define SOURCE_FILES_MAX             10000 /* in one folder */
#define SOURCE_NAME_BYTES_MAX        255
#define SOURCE_POSTS_MAX             24 /* each has a cursor of the log */
#define SOURCE_POST_KEY_BYTES_MAX    768
#define SOURCE_ALARM_BYTES_MAX       1024
#define SOURCE_PROBLEM_BYTES_MAX     512

struct http_options {
    const char *name;
    int source;
    const char *url;
    int64_t interval_us;
    int64_t timeout_us;
    int format;
    const char *rows;
    const struct tree *headers;
    const char *token;
    const struct tree *columns;
    const char *time;
    const char *place;
    bool only_changes;
    uint64_t rows_max;
    uint64_t bytes_max;
    bool lookup;
    struct option_texts key;
    const char *from;
    const char *to;
    int64_t wait_us;
};

struct file_options {
    const char *name;
    int source;
    const char *folder;
    const char *pattern;
    int format;
    const char *separator;
    int64_t interval_us;
    int64_t settle_us;
    const struct tree *columns;
    const char *time;
    const char *place;
};

/* Common to all. */
struct source {
    struct source_stage *stage;
    const char *name;
    struct stream *stream;
    struct outlet out;
    struct batch_builder *builder;
    int32_t time_column; /* -1: when it was asked for or read */
    bool has_outlet;
    bool failed;  /* its alarm is raised */
    bool settled; /* its alarm is what `failed` says; one of an earlier run may be raised till then
                   */
    atomic_ullong reads;
    atomic_ullong failures;
    atomic_ullong rows;
    atomic_ullong broken;
};

struct http_source {
    struct source base; /* first */
    struct http_options options;
    const char *shown; /* the URL as written, without its secrets */
    const char *header_texts[SOURCE_HEADERS_MAX];
    uint32_t header_count;
    struct schema *rows_schema; /* of one text column named as the path of the rows */
    struct json_reader *rows_reader;
    struct batch_builder *rows_builder;
    struct json_reader *reader;
    struct lookup *lookup; /* NULL: none */
    struct exec_timer timer;
    struct http_call *call;
    struct batch *waiting; /* has no credit */
    struct buf body;
    uint64_t body_hash;
    bool body_known;
    bool tried;     /* under the stage's mutex, as the next: the first question is over */
    bool loaded;    /* an answer came in this run */
    bool has_table; /* a table was published, perhaps the kept one */
    uint32_t table_rows;
    int64_t table_us; /* wall: when it was last answered */
    struct exec_timer keep_timer;
    struct buf kept;       /* a table that waits to be stored */
    int64_t keep_after_us; /* monotonic: not before */
    char problem[SOURCE_PROBLEM_BYTES_MAX];
    uint32_t tries; /* that failed, one after the other */
};

struct file_source;

struct post_options {
    const char *url;
    const char *token;
    int rows; /* 1 = array */
    int64_t max_age_us;
};

/* An action http of a rule. See post.c. */
struct post {
    struct source_stage *stage;
    const char *node;
    const char *rule;
    const char *shown; /* the URL as written, without its secrets */
    const char *token; /* a header line, NULL if there is none */
    uint32_t number;   /* which of the rule's */
    struct post_options options;
    struct feed feed;
    bool opened;

    /* On the thread. */
    bool running;
    bool seek;            /* to `at`, before the next reading */
    bool busy;            /* a request is on its way */
    bool dirty;           /* the mark is further than it is stored */
    int64_t born_us;      /* wall: since when there is this action */
    int64_t stored_us;    /* monotonic */
    struct position at;   /* all before and this one are told */
    struct position part; /* the record being told, and how many of its rows are */
    uint32_t row;
    int64_t known_us; /* when that record came into the log */
    struct batch *batch;
    uint64_t records;
    uint64_t lost;
    struct exec_task turn_task;
    struct exec_task told_task;
    struct exec_timer again;

    /* The request: the thread's until busy, then the loop's. */
    struct buf body;
    char key[SOURCE_POST_KEY_BYTES_MAX]; /* a header line */
    bool refused;

    /* On the loop. */
    struct exec_task send_task;
    struct exec_timer timer;
    struct http_call *http;
    uint32_t tries;
    bool failed;
    bool settled;

    atomic_ullong told;
    atomic_ullong refusals;
    atomic_ullong old;
};

struct source_stage {
    struct source_options options;
    struct arena arena;
    struct http_source **http;
    uint32_t http_count;
    struct file_source **files;
    uint32_t file_count;
    struct http_client *client;
    struct post *posts[SOURCE_POSTS_MAX];
    uint32_t post_count;
    struct exec *loop;         /* HTTP's; NULL where nothing is asked */
    struct exec *thread;       /* the files' */
    struct exec *posts_thread; /* NULL where nobody is told */
    pthread_mutex_t mutex;
    pthread_cond_t loaded;
    bool started;
    bool going; /* rows may leave; on the loop */
    bool stopped;
};

/* source_config.c */
int source_columns(const struct tree *columns, struct arena *arena, struct schema **ret,
                   struct diag *diag);
/* Index of the column of that name and type; -1 for NULL. */
int source_column_find(const struct config_object *object, const struct schema *schema,
                       const char *key, const char *name, enum value_type type, int32_t *ret,
                       struct diag *diag);

/* The stream and its outlet, which lives on exec. */
struct source_add {
    struct source_stage *stage;
    const struct config_object *object;
    struct catalogue *catalogue;
    const char *place;
    const struct schema *schema; /* NULL: schemaless */
    struct exec *exec;
    void (*on_credit)(struct outlet *o);
};

int source_stream_add(struct source *s, const struct source_add *a, struct diag *diag);

/* Raises the source's alarm once, or takes it back. */
void source_fail(struct source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void source_works(struct source *s);

/* Gives each row the time of its time column, where it has one. b is not yet published. */
void source_times_set(const struct source *s, struct batch *b);

/* source.c: the loop, when there is something to ask. */
int source_loop_make(struct source_stage *s);

/* http.c */
int http_source_make(struct source_stage *stage, const struct config_object *object,
                     struct catalogue *catalogue, struct diag *diag);
void http_source_open(struct http_source *s); /* on the loop, as the next three */
void http_source_go(struct http_source *s);
void http_source_close(struct http_source *s);
void http_source_free(struct http_source *s);

/* Makes a kept answer the lookup's table; no rows of the stream. */
int http_table_take(struct http_source *s, struct bytes answer);

/* http_keep.c; on the loop */
void table_keep_init(struct http_source *s);
/* Stores an answer whose table was published, now or a little later. */
void table_keep(struct http_source *s, struct bytes answer);
/* Publishes what an earlier run has kept, if anything. */
void table_load(struct http_source *s);
/* Stores what waits. */
void table_keep_close(struct http_source *s);

/* post.c */
int source_posts_configure(struct source_stage *s, const struct config *config,
                           const struct catalogue *catalogue, struct diag *diag);
int source_posts_open(struct source_stage *s); /* their places in the log */
void source_posts_go(struct source_stage *s);
void source_posts_stop(struct source_stage *s);  /* nothing new is sent */
void source_posts_close(struct source_stage *s); /* on the loop */
void source_posts_free(struct source_stage *s);

/* file.c */
int file_source_make(struct source_stage *stage, const struct config_object *object,
                     struct catalogue *catalogue, struct diag *diag);
void file_source_open(struct file_source *s); /* on the thread */
void file_source_close(struct file_source *s);
void file_source_free(struct file_source *s);
struct source *file_source_base(struct file_source *s);

#endif
