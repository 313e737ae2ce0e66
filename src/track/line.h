/* A line: parts that units pass through, gates that see them, and what is said of their stays. What
 * line*.c share; see line.c, and assign.h for who made which pulse. */
#ifndef LOTLINE_TRACK_LINE_H
#define LOTLINE_TRACK_LINE_H

#include "track/assign.h"
#include "track/motion.h"

#define LINE_NONE         ((uint16_t)0xfffe) /* no part */
#define LINE_PLACES_MAX   1024
#define LINE_SIGNALS_MAX  4096
#define LINE_PULSES_MAX   4096 /* that wait for their codes */
#define LINE_BREACHES_MAX 64   /* the newest that are shown */
#define LINE_SHOT_MAX     24   /* units of one pulse: as many as a cluster holds */

enum line_kind { LINE_BELT, LINE_STATION, LINE_BUFFER };

struct line_part_options {
    const char *belt;
    const char *station;
    const char *buffer;
    const char *place;
    bool entry;
    int order;
    uint64_t capacity;
    double length_mm;
    const struct tree *speed;
    const struct tree *places;
    struct option_texts to;
    int64_t time_min_us;
    int64_t time_max_us;
};

/* What a part's gates do not explain of late. */
struct line_balance {
    uint32_t taken;    /* units that went in and did not come out by a gate */
    uint32_t appeared; /* and those that came out and had not gone in */
    int64_t first_us;
    int64_t last_us;
};

struct line_part {
    struct line_part_options options;
    enum line_kind kind;
    const char *name;
    uint32_t motion;      /* a belt's, index */
    uint32_t place_first; /* its places in line.places */
    uint32_t place_count;
    const struct tree *tree;

    /* State. */
    struct line_balance balance;
};

struct line_place {
    const char *station;
    const char *place;
    double from_mm;
    double to_mm;
};

struct line_gate_options {
    const char *signal;
    int edge;
    const char *out_of;
    const char *into;
    const char *unit;
    int64_t scan_us;
    double tolerance_mm;
    double drift;
    double debounce_mm;
    int64_t debounce_us;
    double unit_length_mm;
    uint64_t units; /* that one pulse is */
};

struct line_gate {
    struct line_gate_options options;
    uint16_t out_of; /* part; ASSIGN_OUTSIDE; LINE_NONE: any that leads into `into` */
    uint16_t into;
    uint32_t motion; /* of the belt on either side; UINT32_MAX: none */

    /* State. */
    struct track_level level;
    bool pulsed;
    int64_t pulse_us;
    double pulse_mm;
    uint32_t more;   /* units seen in the pulse beside the first */
    uint64_t pulses; /* since the program started */
    struct track_scanner scanner;
};

/* A unit that the gates did not explain, as it is shown. */
struct line_breach {
    enum assign_breach_kind kind;
    uint8_t unit[TRACK_UNIT_BYTES];
    char code[TRACK_SERIAL_BYTES_MAX + 1];
    uint16_t part;
    int64_t t_in;
    int64_t time_us;
    double probability;
};

/* Of what may have been several belts: those that move together have one. */
struct line_motion {
    double scale;
    const char *signal;
    struct motion motion; /* state, but for what its readings are */
};

/* A pulse that waits for its code. */
struct line_pulse {
    int64_t time_us;
    struct position at;
    uint32_t row;
    uint32_t gate;
    struct track_scan scan;
};

struct line_options {
    const char *name;
    const char *place;
    const struct tree *parts;
    const struct tree *gates;
    const struct tree *signals;
    const struct tree *odds;
    uint64_t hypotheses;
    const struct tree *clocks;
    int64_t gap_max_us;
    int64_t grace_us;
    int64_t late_us;
};

struct line {
    struct track track;
    struct line_options options;
    struct assign_odds odds;
    struct line_part *parts; /* in the arena, as all of these */
    struct line_gate *gates;
    struct line_motion *motions;
    struct line_place *places;
    struct signal_place *signals;
    struct assign_part *model_parts;
    struct assign_way *model_ways;
    struct assign_gate *model_gates;
    uint32_t part_count;
    uint32_t gate_count;
    uint32_t motion_count;
    uint32_t place_count;
    uint32_t signal_count;
    uint32_t way_count;
    int64_t delay_us; /* pulses are decided so long after they came */
    int64_t aged_us;  /* when what is old was last dropped */
    struct path path; /* of what goes out; its memory */

    /* State. */
    struct assign *assign;
    struct line_pulse *pulses;
    uint32_t *pulse_order; /* indices into pulses, by time; then those that are free */
    uint32_t pulse_count;
    uint32_t pulse_cap;
    int64_t decided_us; /* up to here */

    /* Of this run of the program; not in the checkpoint. */
    struct line_breach breaches[LINE_BREACHES_MAX]; /* a ring */
    uint32_t breach_end;
    uint32_t breach_count;
};

extern const struct track_kind line_kind;
extern const struct option line_option_table[];

/* The inputs of a line: the sensors of all gates, their scanners, the speeds. */
uint32_t line_input_level(const struct line *l, uint32_t gate);
uint32_t line_input_code(const struct line *l, uint32_t gate);
uint32_t line_input_speed(const struct line *l, uint32_t motion);

/* ---------------------------------------------------------------------------------------- line.c
 */

struct line *line_of(struct track *t);
int line_number(struct track *t, uint32_t signal, int64_t time_us, double value);
int line_advance(struct track *t, int64_t safe_us);

/* For assign_model. ctx is the line. */
double line_mm(void *ctx, uint16_t part, int64_t time_us);
int64_t line_when(void *ctx, uint16_t part, double mm, int64_t before_us);

/* -------------------------------------------------------------------------------- line_config.c
 */

int line_configure(struct track *t, const struct config_object *object, struct arena *arena,
                   struct catalogue *catalogue, struct diag *diag);

/* ------------------------------------------------------------------------------ line_presence.c
 */

/* For assign_model. */
int line_stay(void *ctx, const struct assign_stay *stay);

/* --------------------------------------------------------------------------------- line_alarm.c
 */

#define LINE_ALARM          "line.units" /* of TRACK/PART */
#define LINE_BALANCE_AGE_US (30 * 60 * INT64_C(1000000))

/* For assign_model: counts the unit and raises the part's alarm. */
int line_breach(void *ctx, const struct assign_breach *breach);

/* Clears the alarms of parts whose units were all accounted for since long. */
void line_balance_age(struct line *l);

void line_balance_put(struct buf *out, const struct line_balance *n);
struct line_balance line_balance_get(struct reader *in);

/* -------------------------------------------------------------------------------- line_state.c
 */

extern const struct call_spec line_lines_spec; /* track.lines */
extern const struct call_spec line_line_spec;  /* track.line */

/* The line as a row of the one answer, and its state as the row of the other. On the tracks'
 * thread. ERR_NOMEM. */
int line_topology_put(const struct line *l, struct batch_builder *bb);
int line_state_put(const struct line *l, struct batch_builder *bb);

/* Keeps what is shown of it; the oldest goes. */
void line_breach_note(struct line *l, const struct assign_breach *breach);

#endif
