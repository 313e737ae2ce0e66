/* A belt: units that enter at one sensor and leave at another, and are where the belt's way says in
 * between. What belt*.c share; see belt.c. */
#ifndef LOTLINE_TRACK_BELT_H
#define LOTLINE_TRACK_BELT_H

#include "track/motion.h"
#include "track/track_priv.h"

#define BELT_UNITS_MAX   4096 /* on one belt at a time; one more, and the oldest counts as lost */
#define BELT_PLACES_MAX  64
#define BELT_SIGNALS_MAX 1024
#define BELT_SCALE_MAX   2.0 /* of the way by the sensors over that by the speed, and its inverse */

/* A sensor at an end of the belt, with its scanner. */
struct belt_gate_options {
    struct edge_options edge;
    const char *unit;
    double at_mm;
    double unit_mm;
    double reach_mm;
    double debounce_mm;
    int64_t debounce_us;
    double tolerance_mm; /* exit */
    double drift;        /* exit */
};

struct belt_speed_options {
    const char *signal;
    double scale;
};

struct belt_place {
    const char *station;
    const char *place;
    double from_mm;
    double to_mm;
};

struct belt_options {
    const char *name;
    const char *place;
    const struct tree *entry;
    const struct tree *speed;
    const struct tree *places;
    const struct tree *signals;
    const struct tree *exit;
    const struct tree *clocks;
    int64_t gap_max_us;
    int64_t grace_us;
    int64_t late_us;
    int64_t wait_us;
};

/* A code at the entry that is not the last unit's, and no pulse yet. */
struct belt_stranger {
    char code[TRACK_SERIAL_BYTES_MAX + 1]; /* "": there is none */
    int64_t time_us;                       /* first read */
    double mm;                             /* of the belt, then */
    double slack_mm;                       /* the unit's */
    struct position at;
    uint32_t row;
    uint32_t reads;
};

/* What a gate has seen. */
struct belt_gate {
    struct belt_gate_options options;
    struct track_level level;
    bool pulsed; /* there was a pulse, at */
    int64_t pulse_us;
    double pulse_mm;
    struct track_scanner scanner;
};

struct belt_unit {
    uint8_t id[TRACK_UNIT_BYTES];
    int64_t t_in;
    int64_t t_out;  /* when it has left */
    double belt_mm; /* the belt's position when the unit was at the entry */
    double
        slack_mm; /* + the motion's way in gaps = how far it may be from where it is said to be */
    double scale; /* way of the unit = way of the belt × scale */
    enum track_edge begin;
    enum track_edge end;
    uint32_t pulses; /* of the entry: more than one is a bounce */
    double error_mm; /* predicted less true position at the exit */
    double share;    /* of this unit among those that the exit's pulse may have been of */
    int64_t due_us;  /* then what it has left goes out, exit or not */
    uint8_t revisions[BELT_PLACES_MAX]; /* of its presences, that went out last */
    struct track_scan entry_scan;
    struct track_scan exit_scan;
};

struct belt {
    struct track track;
    struct belt_options options;
    double speed_scale;
    struct belt_place places[BELT_PLACES_MAX];
    uint32_t place_count;
    struct signal_place *signals; /* in the arena */
    uint32_t signal_count;
    struct path path; /* of the unit that goes out; its memory */

    /* State. */
    struct belt_gate entry;
    struct belt_gate exit;
    struct motion motion;
    struct belt_stranger stranger;
    int64_t read_us;         /* when the scanner at the entry was last read, */
    double read_gap_mm;      /* and the motion's way in gaps then */
    double scale;            /* what the last passes had */
    struct belt_unit *units; /* in the order in which they entered */
    uint32_t first;
    uint32_t end;
    uint32_t cap;
    int64_t due_us; /* the earliest of the units', or before it */
    bool closing;   /* a unit has left and waits for its scan */
    struct belt_unit last;
};

extern const struct track_kind belt_kind;
extern const struct option belt_option_table[];

/* ---------------------------------------------------------------------------------------- belt.c
 */

int belt_number(struct track *t, uint32_t signal, int64_t time_us, double value);
int belt_advance(struct track *t, int64_t safe_us);

/* Room for one more unit, zeroed, behind the others; NULL when out of memory. */
struct belt_unit *belt_unit_add(struct belt *b);

/* Where it is on the track when the belt is at belt_mm. */
double belt_unit_mm(const struct belt *b, const struct belt_unit *u, double belt_mm);

/* ------------------------------------------------------------------------------- belt_presence.c
 */

/* Puts out the unit's presences: all when it has left (end_us: until then it was on the belt), else
 * those of the places that it has left and that did not go out yet. next: who entered after it;
 * NULL. */
int belt_unit_put(struct belt *b, struct belt_unit *u, const struct belt_unit *next, int64_t end_us,
                  bool left);

#endif
