/* The engine's parts: rules, sources, publishers, tails, and who owns which thread.
 *
 * Each rule, source and publisher lives on one loop: its flows are consumed there, its outlets push
 * there. What other threads may look at is atomic.
 */
#ifndef LOTLINE_STREAM_ENGINE_PRIV_H
#define LOTLINE_STREAM_ENGINE_PRIV_H

#include "base/arena.h"
#include "codec/json.h"
#include "codec/json_print.h"
#include "model/message.h"
#include "model/topic.h"
#include "stream/log.h"
#include "stream/pipeline.h"
#include "stream/stream.h"

#include <pthread.h>

#define RULE_ITEMS_PER_TURN 64  /* input batches before others on the loop have their turn */
#define RULE_WRITES_MAX     256 /* tag writes of one rule on their way */
#define RULE_OUTPUTS_MAX    256 /* output batches that wait for credit before inputs stop */
#define RULE_CHECKPOINT_US  1000000
#define TAILS_MAX           64
#define TAIL_ID_BYTES_MAX   24
#define TAIL_IDLE_US        10000000
#define SOURCE_ROWS_MAX     4096
#define IMPORT_ROWS_MAX     65536u     /* of one message */
#define IMPORT_CELLS_MAX    (1u << 20) /* its rows × the group's tags */
#define IMPORT_FLOW_BYTES   (8u << 20) /* of messages of one group that are not yet durable */
#define IMPORT_FLOW_ITEMS   256
#define IMPORT_AHEAD_US     (60 * 1000000LL)        /* of the node's clock */
#define IMPORT_FIRST_US     (315532800LL * 1000000) /* 1980: what lies before was meant in seconds */
#define PUBLISH_AGE_US      (60 * 1000000LL)        /* rows older than that are no news */
#define ENGINE_STOP_MS      10000

/* -------------------------------------------------------------------------------------- counting
 */

/* Something of the engine's that still runs on a loop: the engine waits for all at stop. */
struct engine_busy {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    uint32_t count;
};

void engine_busy_add(struct stream_engine *e);
void engine_busy_done(struct stream_engine *e);

/* ----------------------------------------------------------------------------------------- action
 */

enum action_kind {
    ACTION_MQTT,
    ACTION_WRITE,
    ACTION_ALARM,
    ACTION_STORE, /* historian, trace, http: others read the rule's stream */
};

struct rule;

struct rule_action {
    enum action_kind kind;
    struct rule *rule;
    const char *topic; /* mqtt */
    uint64_t qos;
    bool retain;
    bool array; /* one message a batch instead of one a row */
    struct outlet out;
    struct schema *message;
    struct batch *waiting; /* messages without credit */
    const char *tag;       /* write */
    const char *column;
    uint32_t writes;  /* on their way */
    const char *name; /* alarm */
    const char *severity;
    const char *text;
    bool raised;
    bool settled;      /* alarm: what it is there is what `raised` says; not so after a restart */
    struct flow *flow; /* mqtt, write: on the rule's stream */
    struct exec_task work;
    const struct call_port *port;
    const struct call_port *clear_port;
};

void action_init(struct rule_action *a, struct rule *r);
int action_open(struct rule_action *a);
void action_close(struct rule_action *a); /* on the rule's loop */
void action_fini(struct rule_action *a);

/* The condition of an alarm action: b = its rows, NULL: an input was looked at and had none. */
void action_alarm(struct rule_action *a, const struct batch *b);

/* An alarm of an earlier run may still be raised, for a condition that ended meanwhile. */
bool action_alarm_may_be_raised(const struct rule_action *a);

/* ------------------------------------------------------------------------------------------ rule
 */

struct rule_options {
    const char *name;
    const char *sql;
    int64_t linger_us;
    int64_t lateness_us;
    int64_t gap_max_us;
    int64_t unit_wait_us;
    int64_t unit_time_us;
    int64_t unit_lead_us;
    int64_t unit_lag_us;
    int64_t unit_delay_us;
    const struct tree *actions;
};

struct rule_output {
    struct list link;
    struct flow_done done;
    struct rule *rule;
    struct batch *batch;
    struct record_key key;
    struct position resume;
};

struct rule {
    struct stream_engine *engine;
    struct rule_options options;
    struct plan *plan;
    struct exec *exec;
    struct stream *output;
    struct outlet out;
    struct pipeline *pipeline;
    struct rule_action *actions;
    uint32_t action_count;
    struct flow *inputs[2]; /* signals, presences */
    struct list outputs;    /* not yet pushed */
    uint32_t output_count;
    struct list in_flight; /* durable: pushed, not yet committed */
    struct exec_task work;
    struct exec_task stop_task;
    struct exec_task save_task; /* on the keeper */
    struct exec_task saved_task;
    struct exec_timer linger;
    struct exec_timer unit_timer;
    struct pipeline_units units; /* when it was set */
    struct exec_timer save_timer;
    struct position replayed; /* items up to here came by the replay */
    struct position checkpoint;
    struct position saved;
    struct position lost; /* where to resume for the first output that was not stored */
    bool has_lost;
    bool saving;
    atomic_bool started;
    atomic_bool stopping;
    bool replaying;
    bool blocked;
    bool opened;
    uint32_t holds; /* flows, outputs and writes that are not through */
    bool closed;    /* stopped and let go of everything */
    void (*on_stopped)(struct rule *r);
    atomic_ullong rows_in;
    atomic_ullong rows_out;
    atomic_ullong rows_late;
    atomic_ullong errors;
    pthread_mutex_t error_lock; /* last_error alone */
    char last_error[DIAG_TEXT_BYTES_MAX];
};

int rule_init(struct rule *r, struct stream_engine *e, const struct rule_options *options,
              struct plan *plan, struct exec *exec);
/* The stream it makes: its outlet is the rule's until a log stands between. */
void rule_output_set(struct rule *r, struct stream *output);
/* What a pipeline of the rule is made with; nothing is skipped. */
struct pipeline_options rule_pipeline_options(const struct rule *r, pipeline_emit_fn emit_fn,
                                              void *ctx);
int rule_open(struct rule *r);  /* makes the pipeline, attaches; any thread, before the producers */
void rule_go(struct rule *r);   /* after the replay */
void rule_stop(struct rule *r); /* on_stopped, on its loop, when nothing of it runs any more */
void rule_fini(struct rule *r);
void rule_hold(struct rule *r);    /* on its loop, or before rule_go */
void rule_release(struct rule *r); /* on its loop */
void rule_error(struct rule *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Feeds one record of the log (replay). */
int rule_feed(struct rule *r, bool presence, const struct batch *b, struct position at);
bool rule_is_durable(const struct rule *r);
struct position rule_checkpoint(const struct rule *r);

/* Binds a rule object. */
int rule_options_bind(const struct tree *spec, struct arena *arena, struct rule_options *ret,
                      struct diag *diag);
int rule_actions_bind(struct rule *r, struct arena *arena, struct diag *diag);

/* Loads checkpoints, reads the log behind them into the rules. Blocking. */
int engine_replay(struct stream_engine *e);
int rule_checkpoint_store(struct rule *r, struct position at);

/* ---------------------------------------------------------------------------------------- source
 */

struct source {
    struct stream_engine *engine;
    const char *filter;
    struct exec *exec;
    struct stream *stream;
    struct outlet out;
    struct flow *flow;
    struct json_reader *reader;
    struct batch_builder *builder; /* NULL: schemaless */
    struct buf payload;
    struct source_item *waiting; /* has no credit */
    struct exec_task work;
    struct exec_task stop_task;
    atomic_ullong messages;
    atomic_ullong malformed;
    bool opened;
};

int source_init(struct source *s, struct stream_engine *e, const char *filter,
                struct stream *stream, struct exec *exec);
void source_stop(struct source *s);
void source_fini(struct source *s);

/* ---------------------------------------------------------------------------------------- import
 */

/* Messages on place/device/group/import into the group's own stream. It lives where the group is
 * produced and pushes into the outlet that its polls go into. */
struct importer {
    struct stream_engine *engine;
    struct stream *stream;
    struct outlet *out; /* the group's */
    struct exec *exec;
    char *filter;
    struct flow *flow;
    struct json_reader *reader; /* made by the first message, as all below */
    struct batch_builder *builder;
    struct buf payload;
    struct import_item *waiting; /* has no credit */
    struct outlet_waiter credit;
    struct exec_task work;
    struct exec_task stop_task;
    atomic_ullong messages;
    atomic_ullong refused;
    atomic_ullong rows;
};

int importer_init(struct importer *im, struct stream_engine *e, struct stream *stream);
void importer_stop(struct importer *im);
void importer_fini(struct importer *im);

/* ------------------------------------------------------------------------------------- publisher
 */

/* "plc1.press" at plant1/line1 is on plant1/line1/plc1/press, with `suffix` behind it. NULL without
 * memory. */
char *group_topic(const struct stream *s, const char *suffix);

/* A group's batches as JSON messages. */
struct publisher {
    struct stream_engine *engine;
    struct stream *stream;
    struct exec *exec;
    char *topic;
    struct outlet out;
    struct flow *flow;
    struct schema *message;
    struct batch *waiting;
    struct exec_task work;
    struct exec_task stop_task;
    bool opened;
};

int publisher_init(struct publisher *p, struct stream_engine *e, struct stream *stream,
                   struct exec *exec);
int publisher_open(struct publisher *p);
void publisher_stop(struct publisher *p);
void publisher_fini(struct publisher *p);

/* Rows of b as JSON in message batches of that topic: one message a row, or one for all. */
struct message_format {
    const char *topic;
    uint64_t qos;
    bool retain;
    bool array;
    struct json_print_options json;
};

int messages_print(const struct schema *message, const struct batch *b,
                   const struct message_format *format, struct batch **ret);

/* ------------------------------------------------------------------------------------------ tail
 */

/* A live statement: a rule for a while, whose stream "tail:ID" is a transient one. All of them live
 * on the first loop, where the calls are served too. */
struct tail {
    struct list link;
    struct stream_engine *engine;
    struct rule rule;
    struct stream *stream;
    struct exec_timer idle; /* nobody reads it */
    struct exec_task free_task;
    char id[TAIL_ID_BYTES_MAX];
};

int tail_open(struct stream_engine *e, const char *sql, struct tail **ret, struct diag *diag);
bool tail_close(struct stream_engine *e, struct bytes id);
void tails_stop(struct stream_engine *e);

/* ---------------------------------------------------------------------------------------- engine
 */

struct stream_engine {
    struct stream_engine_options options;
    struct catalogue *catalogue;
    struct arena arena;
    struct rule *rules;
    uint32_t rule_count;
    struct source *sources;
    uint32_t source_count;
    struct publisher *publishers;
    uint32_t publisher_count;
    struct importer *importers;
    uint32_t importer_count;
    struct list tails; /* on the first loop */
    uint32_t tail_count;
    uint64_t tail_next;
    struct exec_task tails_task;
    uint32_t next_loop;
    struct engine_busy busy;
    bool started;
    bool stopped;
};

struct exec *engine_loop(struct stream_engine *e);
int engine_calls_add(struct stream_engine *e, struct catalogue *c);

#endif
