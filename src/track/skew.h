/* How far one clock is from another, by events that both have seen: a handshake bit that two
 * controllers show, a code that a scanner and a controller tell, each with its own time.
 *
 * What is known of the other clock is a straight line: its offset from the reference (own time less
 * reference time) and the rate at which that grows, through the latest pairs of events. A pair that
 * does not fit the line may be a step (NTP, daylight saving, a leap second); it is believed when
 * enough pairs say the same and no other step explains half as many of them, so that events which
 * come as regularly as a clock itself say nothing.
 *
 * Pure: no allocation, no clock. One thread.
 */
#ifndef LOTLINE_TRACK_SKEW_H
#define LOTLINE_TRACK_SKEW_H

#include <stdbool.h>
#include <stdint.h>

#define SKEW_EVENTS_MAX 16  /* of each side that wait for their other half */
#define SKEW_PAIRS_MAX  16  /* that the line goes through */
#define SKEW_POINTS_MAX 256 /* of the past that are kept */
#define SKEW_LOST       8   /* so many of each side without their other half: something is wrong */
#define SKEW_EDGES_MIN  3   /* pairs of a step, where events are told apart by their time alone */
#define SKEW_VALUES_MIN 2   /* where they bear values (at first one is enough) */

enum skew_side {
    SKEW_REFERENCE,
    SKEW_OWN,
};

/* What an event told. */
enum skew_found {
    SKEW_NONE, /* nothing yet */
    SKEW_PAIR, /* the line goes on */
    SKEW_STEP, /* there is another line; skew_stepped is to be called */
};

struct skew_options {
    int64_t delay_us;      /* the other clock's device sees an event so long after the reference */
    int64_t offset_max_us; /* the clocks are never farther from each other */
    int64_t tolerance_us;  /* by which the two moments of a pair may be wrong */
    double rate_max;       /* 200e-6: 200 ppm */
    bool by_value;         /* events of a pair bear the same value */
};

struct skew_event {
    int64_t time_us; /* of the clock that saw it; of the reference, the delay is in it */
    uint64_t value;
};

struct skew_pair {
    int64_t own_us;
    int64_t offset_us;
};

struct skew_line {
    int64_t at_us; /* own time */
    double offset_us;
    double rate;
};

/* The offset at a moment of the reference. */
struct skew_point {
    int64_t time_us;
    int64_t offset_us;
};

/* State. Zero-initialised but for its options it is valid: nothing is known. */
struct skew {
    struct skew_options options;
    bool known;
    struct skew_line line;
    struct skew_line before; /* what held before the latest step */
    struct skew_event events[2][SKEW_EVENTS_MAX];
    uint32_t event_count[2];
    int64_t seen[SKEW_EVENTS_MAX]; /* own times of the latest events, paired or not: a ring */
    uint32_t seen_count;
    bool has_reference;
    int64_t reference_us;                   /* of the newest event of the reference */
    struct skew_pair pairs[SKEW_PAIRS_MAX]; /* since the latest step, by their arrival */
    uint32_t pair_count;
    struct skew_point points[SKEW_POINTS_MAX]; /* times do not fall */
    uint32_t point_count;
};

/* An event of one side at its own time; of a side they come in the order in which they happened,
 * what comes again is passed over. */
enum skew_found skew_event(struct skew *s, enum skew_side side, int64_t time_us, uint64_t value);

/* After SKEW_STEP: the last moment that was shown by the clock as it was before, and the first as
 * it is since, both in own time. */
void skew_stepped(struct skew *s, int64_t last_us, int64_t first_us);

/* The offset that the line says at an own time. */
int64_t skew_line_offset(const struct skew_line *line, int64_t own_us);

/* The offset at a moment of the reference, as is known now; 0 while nothing is. */
int64_t skew_offset(const struct skew *s, int64_t time_us);

/* Own time of the latest pair; INT64_MIN if there is none. */
int64_t skew_paired_us(const struct skew *s);

/* Events of both sides have come, and no longer fit each other. */
bool skew_is_lost(const struct skew *s);

#endif
