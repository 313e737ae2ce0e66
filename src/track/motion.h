/* How far a belt has moved: the integral of its speed or the counts of its encoder, and when it was
 * where.
 *
 * The speed runs straight between two readings, so the position between them is a parabola; where
 * readings end it is held. Belt millimetres count from the first reading on and say nothing by
 * themselves: a unit's place is the way since it entered. History reaches back as far as somebody
 * needs it; runs of equal speed, a stop of hours too, are one piece.
 *
 * An encoder's counts are positions: the way between two of them is their difference on the circle
 * on which they run over, whatever the belt did meanwhile, and is taken as even. So a position
 * beyond the last counts is put right by the next ones, where a speed's would go on from there.
 */
#ifndef LOTLINE_TRACK_MOTION_H
#define LOTLINE_TRACK_MOTION_H

#include "base/bytes.h"
#include "model/path.h"

#include <stdbool.h>

#define MOTION_POINTS_MAX  16384 /* then every second one goes, what is between is estimated */
#define MOTION_WAITING_MAX 65536
#define MOTION_SPEED_MAX   1e6    /* mm/s; beyond it a reading is none */
#define MOTION_COUNTS_MAX  0x1p53 /* and beyond this one of counts */
#define MOTION_PATH_MM     0.1    /* how far a path may be from the parabolas */

struct motion_point {
    int64_t time_us;
    double speed; /* mm/s */
    double mm;
    bool gap; /* nobody had looked for longer than gap_max, up to here */
};

struct motion_reading {
    int64_t time_us;
    double value; /* a speed in mm/s; counts */
};

/* That readings are counts. */
struct motion_counts {
    double mm;           /* a count; below 0: they fall as the belt runs forward; 0: speeds */
    double rollover;     /* so many counts are none again; 0: they never run over */
    double fastest_mm_s; /* faster than this, and the counter began anew */
};

/* Zero-initialised is valid: a belt of which nothing is known stands still. */
struct motion {
    struct motion_point *points;
    uint32_t count;
    uint32_t cap;
    struct motion_reading *waiting; /* read ahead of what was taken, by time */
    uint32_t waiting_first;
    uint32_t waiting_end;
    uint32_t waiting_cap;
    int64_t read_us; /* of the last reading taken, while there are points */
    double read_mm;  /* counts: the position then, and what was read */
    double read_value;
    double gap_mm; /* the way in all gaps so far: what the position may be wrong by */
    uint64_t late; /* readings that came behind what was taken, and were passed over */
    uint64_t anew; /* times that the counter began anew */

    struct motion_counts counts; /* set once */
};

void motion_fini(struct motion *m);
void motion_reset(struct motion *m); /* keeps the memory, and what readings are */

/* A reading, in any order. ERR_NOMEM, ERR_LIMIT. */
int motion_read(struct motion *m, int64_t time_us, double value);

/* The earliest reading not yet taken, NULL if there is none. */
const struct motion_reading *motion_next(const struct motion *m);

/* Takes readings until the position at time_us is known; the last speed is held if there are none.
 * ERR_NOMEM. */
int motion_reach(struct motion *m, int64_t time_us, int64_t gap_max_us);

/* The same without taking a reading. ERR_NOMEM. */
int motion_hold(struct motion *m, int64_t time_us, int64_t gap_max_us);

/* The belt's position; before the first reading the one it had there. Up to what was reached. */
double motion_mm(const struct motion *m, int64_t time_us);
double motion_speed(const struct motion *m, int64_t time_us);
int64_t motion_end_us(const struct motion *m); /* INT64_MIN: nothing is known */

/* Forgets what is both before time_us and further back than mm. */
void motion_trim(struct motion *m, int64_t time_us, double mm);

/* A stay in [from_mm, to_mm), between two moments. */
struct motion_stay {
    int64_t t_in;    /* first entered */
    int64_t t_out;   /* last left */
    uint32_t visits; /* times that it was entered; 0: it was never there */
    int64_t gap_us;  /* of [t_in, t_out) without readings */
    bool in_gap;     /* t_in, t_out lie where nobody looked */
    bool out_gap;
};

struct motion_stay motion_stay(const struct motion *m, struct path_interval when, double from_mm,
                               double to_mm);

/* The last time before time_us that the belt came up to mm. False: not in what is kept. */
bool motion_last_at(const struct motion *m, int64_t time_us, double mm, int64_t *ret);

/* How far it went backwards. */
double motion_back_mm(const struct motion *m, struct path_interval when);

/* The path of what is at `zero_mm` on the track when the belt is at from.mm, with the way stretched
 * by scale: from start to end, no further than MOTION_PATH_MM from the truth unless that needs more
 * than PATH_POINTS_MAX points. ERR_NOMEM. */
struct motion_frame {
    double belt_mm;  /* this position of the belt */
    double track_mm; /* is this one of the unit */
    double scale;
};

int motion_path(const struct motion *m, struct path_interval when, struct motion_frame frame,
                struct path *ret);

/* As part of a checkpoint. decode: false and reset if it is malformed; ERR_NOMEM counts as that. */
void motion_encode(const struct motion *m, struct buf *out);
bool motion_decode(struct motion *m, struct reader *in);

#endif
