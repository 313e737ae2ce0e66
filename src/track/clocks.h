/* Clocks of devices that a track compares with its own: readings of such a device wait until the
 * next pair of events has shown how far its clock is, and go on under the reference's time.
 *
 * Until a pair behind them is known, readings wait in the order of their arrival, at most `wait` of
 * the reference's time: so a step of the clock between two pairs is found where the device's own
 * times leap, and readings on either side of it get the offset that held for them.
 */
#ifndef LOTLINE_TRACK_CLOCKS_H
#define LOTLINE_TRACK_CLOCKS_H

#include "track/skew.h"
#include "track/track_priv.h"

#define CLOCKS_MAX     16            /* of a track */
#define CLOCK_HELD_MAX 65536         /* readings that wait; of more the oldest go on as they are */
#define CLOCK_ALARM    "track.clock" /* of TRACK/CLOCK */

struct clock_options {
    const char *of;
    const char *signal;
    const char *with;
    int match; /* 0 edge, 1 value */
    int64_t delay_us;
    int64_t offset_max_us;
    int64_t tolerance_us;
    int64_t wait_us;
};

/* One of the two signals that see the same events. */
struct clock_signal {
    char *stream;
    char *column;
    uint64_t schema; /* hash that col belongs to; 0 = none */
    int32_t col;

    /* State. */
    bool known;
    bool level;
    uint64_t value; /* what was shown last, as a hash; 0: nothing */
};

/* Two of the device's own times, one after the other. */
struct clock_leap {
    bool known;
    int64_t from_us;
    int64_t to_us;
};

/* A reading that waits for its time. */
struct clock_reading {
    struct track_reading reading; /* its time is the device's own */
    int64_t since_us;             /* newest time of the reference when it came */
};

struct track_clock {
    struct clock_options options;
    struct clock_signal signals[2]; /* by enum skew_side */
    bool alone;                     /* no signal of the track itself has this clock */

    /* State. */
    struct skew skew;
    int64_t seen_us[2];         /* newest times of the two signals' streams */
    int64_t *passed_us;         /* by source: own time of the latest reading that went on */
    struct clock_leap leaps[2]; /* of the own signal since the latest pair: most back, most forth */
    int64_t row_us;             /* its latest time; INT64_MIN: none */
    struct clock_reading *held; /* in the order of their arrival, from held_first to held_count */
    uint32_t held_first;
    uint32_t held_count;
    uint32_t held_cap;
    bool told; /* an alarm stands */
};

/* -------------------------------------------------------------------------------- clocks_config.c
 */

extern const struct option clock_option_table[]; /* what `clocks` of a track are */

/* Before the kind's configure: the clocks of the track, their signals found and durable. */
int clocks_configure(struct track *t, const struct tree *spec, struct arena *arena,
                     struct catalogue *catalogue, struct diag *diag);

/* Behind it: which source has which clock; nothing waits less than its clock needs. ERR_NOMEM. */
int clocks_sources(struct track *t, const struct tree *spec);

void clocks_fini(struct track *t);

/* --------------------------------------------------------------------------------------- clocks.c
 */

void clocks_reset(struct track *t);

/* A reading of a source that has a clock; copied. ERR_NOMEM. */
int clocks_hold(struct track *t, const struct track_reading *r);

/* The events in a record of whatever stream, then the readings whose time they tell. After the
 * record's own readings are held. */
int clocks_record(struct track *t, struct bytes stream, const struct batch *batch);

/* Up to which moment of the reference all clocks are known that no signal waits for: presences are
 * not told before. INT64_MAX if there are none. */
int64_t clocks_known_us(const struct track *t);

/* Appends what a presence says about clocks; *ret_unknown: one of which nothing is known, or NULL.
 */
int clocks_put(const struct track *t, int64_t t_in, int64_t t_out, struct buf *out,
               const char **ret_unknown);

/* State, in the checkpoint. */
int clocks_encode(const struct track *t, struct buf *out);
int clocks_decode(struct track *t, struct reader *in);

#endif
