/* The alarm stage's parts, private to alarm/. */
#ifndef LOTLINE_ALARM_PRIV_H
#define LOTLINE_ALARM_PRIV_H

#include "alarm/alarm.h"
#include "base/map.h"
#include "journal/journal.h"

#include <pthread.h>

#define ALARM_KEY_BYTES_MAX (2 * ALARM_NAME_BYTES_MAX + 2)

/* --------------------------------------------------------------------------------------- records
 */

/* What the log `events` holds; numbers are on disk: never change one. */
enum event_kind {
    EVENT_RAISE = 1,
    EVENT_CLEAR = 2,
    EVENT_ACK = 3,
    EVENT_INTENT = 4,
    EVENT_RESULT = 5,
};

/* One event: of an alarm or of the audit. Views. Which members count depends on the kind. */
struct event {
    enum event_kind kind;
    int64_t time_us;
    uint64_t id;
    uint8_t severity;
    int32_t err;
    struct bytes name;   /* alarm; audit: action */
    struct bytes source; /* alarm; audit: target */
    struct bytes text;   /* alarm and result; intent: value */
    struct bytes user;
    struct bytes channel;
};

int event_encode(const struct event *e, struct buf *out);

/* ERR_SHORT, ERR_VERSION, ERR_MALFORMED. */
int event_decode(struct bytes in, struct event *ret);

/* ----------------------------------------------------------------------------------------- state
 */

struct alarm {
    struct list link; /* active ones and ended ones, oldest first */
    uint64_t id;
    enum alarm_severity severity;
    uint64_t count; /* how often it was raised */
    int64_t raised_us;
    int64_t cleared_us; /* 0 = still raised */
    int64_t acked_us;   /* 0 = not acknowledged */
    char *key;          /* name, zero, source */
    size_t key_len;
    char *name;
    char *source;
    char *text;
    char *acked_by;
};

enum audit_state {
    AUDIT_PENDING, /* the change is being made */
    AUDIT_DONE,
    AUDIT_FAILED,
    AUDIT_UNKNOWN, /* the node ended before the result was known */
};

struct audit_entry {
    struct list link;
    uint64_t id;
    int64_t time_us;
    int64_t result_us;
    enum audit_state state;
    int32_t err;
    char *user;
    char *channel;
    char *action;
    char *target;
    char *value;
    char *text;
};

/* What events make; one thread. */
struct alarm_state {
    struct map by_key;   /* active alarms */
    struct list active;  /* of struct alarm */
    struct list ended;   /* cleared and acknowledged */
    struct list entries; /* of struct audit_entry */
    size_t active_count;
    size_t ended_count;
    size_t entry_count;
    uint64_t refused;
};

void alarm_state_init(struct alarm_state *s);
void alarm_state_fini(struct alarm_state *s);

/* Applies an event. *ret_alarm (may be NULL) is the alarm it changed, NULL if it changed none (a
 * clear of what is not raised, an entry of the audit). ERR_NOMEM, ERR_LIMIT, ERR_NOT_FOUND (the
 * alarm to acknowledge). */
int alarm_state_apply(struct alarm_state *s, const struct event *e, struct alarm **ret_alarm);

/* After the log was read back: what is pending will never have a result. */
void alarm_state_close_pending(struct alarm_state *s);

struct alarm *alarm_state_find(const struct alarm_state *s, struct bytes name, struct bytes source);
const char *alarm_state_name(const struct alarm *a);       /* "raised", "acknowledged", "cleared" */
const char *audit_state_name(const struct audit_entry *e); /* "pending", "done", … */
const char *alarm_severity_name(enum alarm_severity severity);
bool alarm_severity_find(struct bytes name, enum alarm_severity *ret);

/* ----------------------------------------------------------------------------------------- stage
 */

struct alarm_stage {
    struct exec *exec; /* the stage's own thread; all state is here */
    struct journal *journal;
    struct journal_log *log; /* NULL until start */
    struct alarm_state state;
    struct stream *stream;
    struct outlet outlet;
    struct batch_builder *builder; /* rows of the stream */
    uint64_t next_id;
    uint64_t log_bytes_max;
    bool stopping;
    pthread_mutex_t under_way_lock;
    pthread_cond_t idle;
    uint64_t under_way; /* operations that have not ended */
};

/* An event on its way: asker → stage → journal → stage → asker. */
struct operation;

typedef void (*operation_done_fn)(struct operation *op, int err);

struct operation {
    struct alarm_stage *stage;
    struct exec_task to_stage;
    struct exec_task to_journal;
    struct exec_task back;
    struct journal_wait wait;
    struct event event;
    struct buf texts; /* what the event's views point into */
    struct buf record;
    operation_done_fn done; /* on the stage's exec; may be NULL */
    void *owner;
    int err;
};

/* An operation with copies of the event's texts; posted to the stage. ERR_NOMEM: not done. */
int operation_submit(struct alarm_stage *a, const struct event *e, operation_done_fn done,
                     void *owner);

/* alarm_calls.c */
int alarm_calls_add(struct alarm_stage *a, struct catalogue *catalogue);
int alarm_stream_schema(struct schema **ret);
void alarm_stream_push(struct alarm_stage *a, const struct alarm *alarm);

#endif
