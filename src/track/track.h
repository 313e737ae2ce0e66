/* Tracks: which unit was at which station, from when to when, and how we know.
 *
 * A station's track has a begin signal and an end signal. The edges of these make presences, each
 * bound to the serial that was read inside it; a presence is emitted when the unit has left, on the
 * stream "presence.TRACK". Its unit id is made from (node, track, position of the begin's record),
 * so a replay after a kill finds the same ids, and what the log has of them already is not emitted
 * again.
 *
 * Tracks follow the log (model/feed.h) on a worker thread: a replay and live following are the same
 * code. Time is each value's own acquisition time, never its arrival.
 */
#ifndef LOTLINE_TRACK_TRACK_H
#define LOTLINE_TRACK_TRACK_H

#include "config/config.h"
#include "model/catalogue.h"
#include "model/feed.h"

struct journal;
struct track_stage;

#define TRACK_STREAM_PREFIX    "presence."
#define TRACK_UNIT_BYTES       16
#define TRACK_SERIAL_BYTES_MAX 255
#define TRACK_TRACKS_MAX       1024

/* The columns of a presence. */
enum track_column {
    TRACK_UNIT,        /* bytes (16) */
    TRACK_SERIAL,      /* string; "?…" when none was read */
    TRACK_STATION,     /* string */
    TRACK_PLACE,       /* string */
    TRACK_T_IN,        /* timestamp */
    TRACK_T_OUT,       /* timestamp; the interval is [t_in, t_out) */
    TRACK_STATUS,      /* string: exact, inferred, ambiguous, missing */
    TRACK_PROBABILITY, /* double: that the serial is right */
    TRACK_EVIDENCE,    /* string: "begin=edge end=edge serial=read:12 result=1" */
    TRACK_REVISION,    /* int64, from 1 */
    TRACK_RESULT,      /* string: pass, fail, or "" (no result signal, or not read) */
    TRACK_VISIT,       /* int64: number of the stay, the same for all units it may have been of;
                        * 0 = a unit has one stay at the station */
    TRACK_RETRACTED,   /* bool: this unit was not there after all */
    TRACK_COLUMN_COUNT,

    /* Of a belt's presences besides. */
    TRACK_FROM_MM = TRACK_COLUMN_COUNT, /* double: the place on the belt, [from_mm, to_mm) */
    TRACK_TO_MM,                        /* double */
    TRACK_PATH, /* bytes: where the unit was when, over its whole pass (model/path.h) */
    TRACK_BELT_COLUMN_COUNT,

    /* Behind the last column of a track that compares clocks: `clocks`, string (model/clocks.h). */
};

/* What somebody should look at: the alarm's name and what it is about; text NULL: it is over. On
 * the tracks' thread, must not block. */
typedef void track_alarm_fn(void *ctx, const char *name, const char *source, const char *text);

struct track_options {
    const char *node;
    struct journal *journal; /* checkpoints; NULL: none are kept (tests) */
    const struct feed *feed;

    track_alarm_fn *alarm; /* NULL: nobody is told */
    void *ctx;
};

int track_new(const struct track_options *options, struct track_stage **ret);

/* What exists only after configure. Before start. */
void track_feed_set(struct track_stage *t, const struct feed *feed, struct journal *journal);

/* Checks `tracks`, sets `durable` on the streams of their signals, adds the presence streams. To be
 * called after the stages whose streams carry the signals. Pure. */
int track_configure(struct track_stage *t, const struct config *config, struct catalogue *catalogue,
                    struct diag *diag);

/* The i-th presence stream and its producer's outlet, for stream_log_insert; NULL when there is no
 * i-th. After configure. */
struct stream *track_output(const struct track_stage *t, uint32_t i, struct outlet **ret_producer);

/* Offers track.lines and track.line, which tell of tracks that are lines; they run on the tracks'
 * own exec. After configure. */
int track_calls_add(struct track_stage *t, struct catalogue *catalogue);

/* A signal that a track reads to make presences. After configure; views live as long as t. */
struct track_signal_of {
    const char *track;
    const char *stream; /* the name without the node */
    const char *column;
};

/* The i-th of all tracks' signals; the same one may come for several. False when there is no i-th.
 */
bool track_signal_at(const struct track_stage *t, uint32_t i, struct track_signal_of *ret);

/* Loads the checkpoint, replays, goes on live. The outlets stand. */
int track_start(struct track_stage *t, struct diag *diag);
void track_stop(struct track_stage *t); /* stores the checkpoint; idempotent */
void track_free(struct track_stage *t); /* NULL is allowed */

/* Where the producers' outlets live and the tracks run (may block). */
struct exec *track_exec(const struct track_stage *t);

struct track_stats {
    uint64_t records;
    uint64_t presences; /* emitted */
    uint64_t exact, inferred, ambiguous, missing;
    uint64_t lost_records;
    uint64_t ghosts;      /* pulses without a unit, and units that nobody saw come */
    uint64_t lost;        /* units that did not come out where they should */
    uint64_t hurried;     /* pulses that were decided before their codes, since too many waited */
    uint64_t bounces;     /* pulses that were another's echo, or of a unit that came back */
    uint64_t late;        /* readings of a belt behind what was decided already */
    uint64_t twice;       /* presences whose serial another unit bore elsewhere meanwhile */
    uint64_t clock_steps; /* of devices' clocks that were found */
    uint64_t clock_waits; /* readings that went on before their clock's next event */
    struct position at;
};

/* Any thread. */
void track_stats_get(const struct track_stage *t, struct track_stats *ret);

#endif
