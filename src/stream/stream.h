/* Stream SQL: rules over streams, the streams they make, and what is done with their rows.
 *
 * A rule is one SELECT. Its text becomes an AST, the AST a bound plan (read-only, checked against
 * the catalogue), the plan flat arrays of vector steps; what changes while it runs lies beside the
 * plan. A rule's output is a stream like any other, under the rule's own name: actions, other
 * rules, tail and every follower of the log read it there.
 *
 * The engine also decodes MQTT messages into streams (`streams: {source: mqtt}`) and publishes
 * groups as JSON, so that the broker stays free of formats. Other stages are reached by names in
 * the catalogue and by the flows and outlets below, which the app joins.
 *
 * Called by app alone, in this order: new, configure, (all other stages' configure), wire, start,
 * attach what is listed here, stop, free.
 */
#ifndef LOTLINE_STREAM_STREAM_H
#define LOTLINE_STREAM_STREAM_H

#include "config/config.h"
#include "model/catalogue.h"

struct journal;
struct stream_engine;
struct stream_log;

/* A track's presences are the stream "presence.TRACK", of kind STREAM_PRESENCE, one row per closed
 * presence:
 *   unit bytes (16), serial string, station string, place string, t_in timestamp,
 *   t_out timestamp, status string, probability double, evidence string, revision int64,
 *   result string
 * UNITWINDOW('TRACK') joins with it. */
#define STREAM_PRESENCE_PREFIX "presence."

struct stream_engine_options {
    struct exec *const *loops; /* rules are dealt out over them; borrowed, at least one */
    uint32_t loop_count;
    struct stream_log *log;  /* NULL: no durable stream, nothing is replayed */
    struct journal *journal; /* checkpoints; NULL as log */
};

/* Memory only. ERR_NOMEM. */
int stream_engine_new(const struct stream_engine_options *options, struct stream_engine **ret);

/* Gives the engine what only exists after configure (a node's log is opened by start). Before
 * stream_engine_start. */
void stream_engine_log_set(struct stream_engine *e, struct stream_log *log,
                           struct journal *journal);

/* Checks `rules`, `streams` with source mqtt and `publish`, compiles every rule against the
 * catalogue, adds the streams they make and the calls stream.list, stream.rules, stream.tail,
 * stream.tail_close. To be called after the stages whose streams rules read. Pure: opens nothing.
 * Errors say file, line and column, the columns that exist, and a near name. */
int stream_engine_configure(struct stream_engine *e, const struct config *config,
                            struct catalogue *catalogue, struct diag *ret_diag);

/* After every stage's configure: what a durable rule reads is made durable too, through any
 * number of rules. */
void stream_engine_wire(struct stream_engine *e);

/* Attaches the rules to their inputs, replays from the checkpoints, then goes on live. The
 * catalogue's outlets stand (and the log, where there is one, stands between). */
int stream_engine_start(struct stream_engine *e, struct diag *ret_diag);

/* Idempotent; waits until no rule runs any more. Not from one of the loops. */
void stream_engine_stop(struct stream_engine *e);
void stream_engine_free(struct stream_engine *e); /* NULL is allowed */

/* ------------------------------------------------------------------------- what the app joins */

/* The i-th flow that wants MQTT messages (schema `message`) of a topic filter: for
 * broker_subscribe_flow. Its items are finished when the stream they feed is durable, so that the
 * PUBACK waits for it. The flow's reference stays the engine's. False when there is no i-th. After
 * configure. */
bool stream_engine_source(const struct stream_engine *e, uint32_t i, const char **ret_filter,
                          struct flow **ret_flow);

/* The i-th topic whose messages bring values of a group's past, and the flow that wants them one by
 * one: for broker_request_flow. As stream_engine_source otherwise; a message that is refused is
 * finished with ERR_MALFORMED and the reason in its done's diag. */
bool stream_engine_import(const struct stream_engine *e, uint32_t i, const char **ret_topic,
                          struct flow **ret_flow);

/* The i-th outlet that gives messages to publish (schema `message`): each rule with an mqtt action
 * and each group published as JSON has one. NULL when there is no i-th. After configure. */
struct outlet *stream_engine_publisher(const struct stream_engine *e, uint32_t i);

/* The i-th stream this engine produces, and the outlet its producer pushes to; the app hands both
 * to stream_log_insert for a durable one. NULL when there is no i-th. After configure. */
struct stream *stream_engine_output(const struct stream_engine *e, uint32_t i,
                                    struct outlet **ret_producer);

/* ------------------------------------------------------------------------------------- metrics */

struct stream_engine_stats {
    uint64_t messages;        /* decoded into streams */
    uint64_t malformed;       /* … and left out */
    uint64_t imports;         /* messages that bring values of a group's past */
    uint64_t imports_refused; /* … that did not fit */
    uint64_t import_rows;     /* of those that did */
};

/* Any thread, after configure. */
void stream_engine_stats_get(const struct stream_engine *e, struct stream_engine_stats *ret);

/* --------------------------------------------------------------------------------------- check */

/* Compiles one statement against the catalogue and throws the result away. ERR_SYNTAX,
 * ERR_NOT_FOUND, ERR_TYPE, … with line, column and text. Any thread. */
int stream_check(const char *sql, const struct catalogue *catalogue, struct diag *ret_diag);

#endif
