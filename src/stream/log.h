/* The stream log: stands between the producers of durable streams and everybody else.
 *
 * A producer pushes into its own outlet as always. The stream log takes the batch on the journal
 * thread, appends it to the node's one log `streams`, then pushes it, now with its position, into
 * the stream's outlet, and finishes the producer's done when the fdatasync is through. So rules see
 * a batch right after the append, and whoever waits for done (a PUBACK, say) hears of it when it is
 * durable. Followers (historian, uplink) read committed records by a stream_reader.
 *
 * Batches of other nodes come by stream_log_append_remote and keep their origin. Repeats are
 * dropped here, before the append, and nowhere else: by the highest origin per (node, stream), and
 * for outputs of rules by the highest key per stream. Both are rebuilt at start from a checkpoint
 * in keyed state and the log behind it. A repeat is acknowledged when what it repeats is durable.
 *
 * When the log cannot take a record (disk full, or a blocking flow behind the stream's outlet has
 * no credit) the batch waits here, its flow is not taken from any more, and the producer sees no
 * credit.
 */
#ifndef LOTLINE_STREAM_LOG_H
#define LOTLINE_STREAM_LOG_H

#include "journal/journal.h"
#include "model/catalogue.h"
#include "stream/record.h"

struct stream_log;

struct stream_log_options {
    struct journal *journal;
    const char *node; /* this node's name; copied */
    int64_t seen_ms;  /* what tells repeats is stored this often; 0 = 30,000 */
    /* What may wait in memory for one stream while the disk is slow or full; beyond it the producer
     * has no credit. 0 = 4 MiB; one batch always may. */
    uint64_t waiting_bytes_max;
    /* Limits of the log `streams`; its on_state is the alarm hook. */
    struct journal_log_options log;
};

/* Memory only. ERR_NOMEM. */
int stream_log_new(const struct stream_log_options *options, struct stream_log **ret);

/* Opens the log `streams`, reads back what is known of origins and keys. Blocking, not on
 * journal_exec. diag->text is empty, or says what was cut, also on success. */
int stream_log_start(struct stream_log *sl, struct diag *diag);

/* From here on what finds no space does not wait for it, but is finished with its error. Called
 * before the producers are stopped: they wait for what they have handed in, and on a full disk that
 * would be for ever. What was refused so was promised to nobody. Any thread. */
void stream_log_drain(struct stream_log *sl);

/* Takes no more, finishes what waits (ERR_CANCELLED), closes its flows, stores its checkpoint.
 * Blocking, idempotent; before journal_close. */
void stream_log_stop(struct stream_log *sl);
void stream_log_free(struct stream_log *sl); /* after stop; NULL is allowed */

/* The log `streams` after start, for cursors, watches, metrics. */
struct journal_log *stream_log_journal(const struct stream_log *sl);

enum stream_log_flags {
    /* The producer's `at` in outlet_push is the key of a rule's output: {epoch = major, seq =
     * minor}. Keys grow strictly from batch to batch (a window's output in parts counts the parts
     * in minor). A batch whose key is not above the highest so far is a repeat: it is dropped, and
     * its done finished with OK once what is in the log is durable. */
    STREAM_LOG_KEYED = 1u << 0,
};

/* Takes over stream: attaches a blocking flow to producer_side, and sets stream->outlet to an
 * outlet on journal_exec where its batches come out with their position. Returns that outlet. After
 * start, before producers push. flags: enum stream_log_flags. NULL when out of memory. */
struct outlet *stream_log_insert(struct stream_log *sl, struct stream *stream,
                                 struct outlet *producer_side, uint32_t flags);

/* The highest key in the log of a keyed stream; {0,0} if there is none. A rule that coalesces
 * several inputs into a batch and is keyed by the last one's position skips, when it replays, what
 * came from inputs up to this key. Any thread, after start. */
struct record_key stream_log_key(struct stream_log *sl, struct bytes stream);

/* --------------------------------------------------------------------------------- other nodes */

/* Appends a batch of another node. r->origin must be set; views are borrowed during the call.
 * On journal_exec.
 *   OK           wait->fn will run when it is durable. *ret_at = its position, {0,0} for a repeat.
 *   ERR_NO_SPACE, ERR_AGAIN   not now (the disk is full, or a reader of the stream at this node has
 *                             no credit): the caller keeps the record and tries again; ERR_NOMEM
 * too ERR_IO       the log has failed, see journal.h ERR_NOT_FOUND             the schema its batch
 * needs is not known (stream_log_schema_put) ERR_MALFORMED, ERR_SHORT, ERR_VERSION, ERR_INVALID the
 * record is not one, or is this node's own ERR_LIMIT    more than STREAM_LOG_REMOTES_MAX streams */
#define STREAM_LOG_REMOTES_MAX 100000
int stream_log_append_remote(struct stream_log *sl, const struct record *r,
                             struct journal_wait *wait, struct position *ret_at);

/* The stream "node:name", NULL if nothing came from it yet. Its outlet (on journal_exec) gives its
 * batches right after their append. Lives as long as the stream log. Any thread. */
struct stream *stream_log_remote_find(struct stream_log *sl, struct bytes name);

/* The highest origin that is in the log of a stream of another node; {0,0} if there is none. On
 * journal_exec, or before anything is appended. */
struct position stream_log_origin(struct stream_log *sl, struct bytes node, struct bytes stream);

/* ------------------------------------------------------------------------------------- schemas */

/* Makes a schema known by its hash, durably (keyed state `schema/HASH`); cheap when it is known.
 * Blocking the first time; any thread. ERR_NO_SPACE, ERR_IO, ERR_NOMEM. */
int stream_log_schema_put(struct stream_log *sl, const struct schema *schema);

/* The schema of that hash (a reference). ERR_NOT_FOUND, ERR_IO, ERR_NOMEM. Blocking the first
 * time; any thread. */
int stream_log_schema_get(struct stream_log *sl, uint64_t hash, struct schema **ret);

/* -------------------------------------------------------------------------------------- reader */

struct stream_reader;

struct stream_record {
    struct position at;     /* in this node's log */
    struct bytes node;      /* whose: this node's name for its own */
    struct bytes stream;    /* as that node calls it */
    struct position origin; /* = at for this node's own */
    struct record_key key;
    int64_t time_us; /* when it was appended here */
    struct bytes columnar;
};

/* A follower of the log behind `after`. One thread at a time. */
int stream_reader_new(struct stream_log *sl, struct position after, struct stream_reader **ret);
void stream_reader_free(struct stream_reader *r); /* NULL is allowed */

/* The next committed record; views until the next call. Returns as journal_reader_next; a record
 * that is not one of ours is ERR_MALFORMED with ret->at set, and passed over by the next call. */
int stream_reader_next(struct stream_reader *r, struct stream_record *ret);

/* Its batch (a new reference). ERR_NOT_FOUND (schema), and as columnar_decode. */
int stream_reader_batch(struct stream_reader *r, const struct stream_record *record,
                        struct batch **ret);

void stream_reader_seek(struct stream_reader *r, struct position after);

/* ------------------------------------------------------------------------------------- metrics */

struct stream_log_stats {
    uint64_t batches; /* appended, of this node */
    uint64_t rows;
    uint64_t bytes; /* payload of both kinds */
    uint64_t remote_records;
    uint64_t remote_repeats;
    uint64_t key_repeats;
    uint64_t waiting; /* streams whose batch waits for space or credit */
};

/* Any thread. */
void stream_log_stats(const struct stream_log *sl, struct stream_log_stats *ret);

#endif
