/* A plan at work: the state of one rule between its inputs and its output batches.
 *
 * One thread, no clock, no I/O: what a rule does follows from the batches it is given and their
 * order alone, which is what makes a replay come out the same. The runtime around it (rule.c)
 * brings batches from flows or from the log, and takes what is emitted.
 */
#ifndef LOTLINE_STREAM_PIPELINE_H
#define LOTLINE_STREAM_PIPELINE_H

#include "base/position.h"
#include "stream/plan.h"
#include "stream/record.h"

#define PIPELINE_GROUPS_MAX   (1u << 20) /* open groups of one rule */
#define PIPELINE_UNIT_TIME_US (3600 * INT64_C(1000000))

struct pipeline;

/* An output batch: the reference is the receiver's. Keys grow from batch to batch: the newest
 * input's position where there is no window, {window end in ms, 1} for a tumbling one, the
 * presence's position for a unit window. Everything in it and in all later ones comes from inputs
 * behind `resume`. */
typedef void (*pipeline_emit_fn)(void *ctx, struct batch *b, struct record_key key,
                                 struct position resume);

struct pipeline_options {
    const struct plan *plan; /* borrowed */
    int64_t lateness_us;     /* windows wait so long for rows that come late */
    int64_t gap_max_us;      /* unit windows: a value counts no longer than this; 0 = no limit */
    int64_t unit_time_us;    /* unit windows: how long values wait for a presence; 0 = default */
    /* Unit windows: a stay [t_in, t_out) has the values of [t_in - lead + delay,
     * t_out + lag + delay); where a signal has a place of its own the delay alone counts. */
    int64_t unit_lead_us;
    int64_t unit_lag_us;
    int64_t unit_delay_us;
    struct record_key skip; /* keys up to this are in the log already and are not emitted */
    pipeline_emit_fn emit;
    void *ctx;
};

struct pipeline_stats {
    uint64_t in_rows;
    uint64_t out_rows;
    uint64_t late_rows;   /* for a window that was closed already */
    uint64_t error_rows;  /* dropped: evaluating them failed */
    uint64_t lost_rows;   /* dropped: a limit was reached */
    uint64_t units;       /* presences seen */
    uint64_t units_short; /* presences that began before what is kept */
    char last_error[DIAG_TEXT_BYTES_MAX];
};

int pipeline_new(const struct pipeline_options *options, struct pipeline **ret);
void pipeline_free(struct pipeline *p); /* NULL is allowed */

/* A batch of the stream that the plan reads FROM; at: its position ({0,0} if it has none). wall_us:
 * the time for now(). *ret_rows (may be NULL): how many rows passed WHERE. ERR_NOMEM, ERR_LIMIT. */
int pipeline_push(struct pipeline *p, const struct batch *b, struct position at, int64_t wall_us,
                  uint32_t *ret_rows);

/* A batch of presences (unit windows). The units' rows come when the signals have passed t_out.
 * ahead: signals that came before it may not have been pushed yet, and what was pushed may have
 * told of later times (polls without a value, while a past comes in); its units also wait for a
 * signal from behind it, or for pipeline_caught_up. */
int pipeline_presence(struct pipeline *p, const struct batch *b, struct position at, bool ahead);

/* All signals that came before the presences so far were pushed. */
int pipeline_caught_up(struct pipeline *p);

/* No row before time_us comes any more: closes windows. Goes forward only. */
int pipeline_watermark(struct pipeline *p, int64_t time_us);

/* Unit windows: how many batches of presences came so far, how many of them still wait for signals,
 * and how far these are (INT64_MIN: none came). */
struct pipeline_units {
    uint64_t seen;
    uint32_t waiting;
    int64_t signals_us;
};

struct pipeline_units pipeline_units(const struct pipeline *p);

/* Unit windows: emits what waits for its signals, however far they are, of the first `seen` batches
 * of presences that came. */
int pipeline_units_release(struct pipeline *p, uint64_t seen);

/* Emits the rows gathered so far as one batch. */
int pipeline_flush(struct pipeline *p);

/* Rows gathered and not yet emitted. */
uint32_t pipeline_rows_waiting(const struct pipeline *p);

/* Everything that came from inputs up to here has been emitted. */
struct position pipeline_resume(const struct pipeline *p);

const struct pipeline_stats *pipeline_stats(const struct pipeline *p);

#endif
