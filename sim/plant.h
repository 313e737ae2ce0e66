/* The simulated plant: a line that solders components on boards. Private to sim/.
 *
 *   panels of 4 → printer → spi → placer_a | placer_b → reflow oven (belt, 8 zones) → aoi
 *          → depanel (one panel becomes 4 boards) → ict ⇄ rework
 *
 * The model knows one time, the plant's own, in µs from its start: `t`. A faster plant is one whose
 * own time runs faster than the wall's; nothing in the model depends on the wall. It is driven by
 * plant_run(p, t), which lets happen what happens until then, and the same seed gives the same
 * plant whoever asks it how often: what is drawn is drawn by events, and what signals show besides
 * is a function of time (drift, noise by hashing).
 *
 * Faults act on physical quantities (a vacuum, a zone's temperature, a lot's wetting, the paste's
 * slump, the air's humidity, the stencil's offset), and only these decide about defects.
 *
 * Who does what: plant_names.c all names; plant_rename.c other names for all of them; plant_belt.c
 * how the belt moves; plant_air.c drifts, noise and faults in the physical quantities; plant_book.c
 * what the MES knows (orders, lots, rota); plant_line.c events, stations and units; plant_defect.c
 * what becomes of a unit; plant_eyes.c light barriers, speeds that sway, hands that take units off
 * and put them on; plant_ledger.c the truth; plant_tags.c what the machines show; the rest
 * how it leaves.
 */
#ifndef LOTLINE_SIM_PLANT_H
#define LOTLINE_SIM_PLANT_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/rand.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND_US       1000000LL
#define MINUTE_US       (60 * SECOND_US)
#define HOUR_US         (3600 * SECOND_US)
#define NOMINAL_TAKT_US (100 * SECOND_US) /* all cycle times are given for this takt */

#define SERIAL_BYTES  20 /* as the machines show it */
#define NAME_BYTES    24
#define BOARDS        4  /* of a panel */
#define POSITIONS     10 /* components of a board */
#define NOZZLES       4
#define FEEDERS       4
#define ZONES         8
#define FAULTS_MAX    32
#define STEPS_MAX     16 /* of one unit: rework may repeat two of them */
#define DEFECTS_MAX   24
#define CONSUMED_MAX  8
#define REPAIRS_MAX   3
#define UNITS_MAX     4096 /* in the line at a time; above, no panel enters */
#define OPERATORS     4    /* that may work at a station */
#define BOOK_ROWS_MAX 65536

#define BELT_PANEL_MM 250.0 /* length of a panel; positions are those of its leading edge */
#define BELT_SPACE_MM 420.0 /* the next panel enters behind this at the earliest */
#define BELT_ZONE0_MM 300.0
#define BELT_ZONE_MM  375.0
#define BELT_EXIT_MM  3600.0

enum machine {
    PRINTER,
    SPI,
    PLACER_A,
    PLACER_B,
    OVEN,
    AOI,
    DEPANEL,
    ICT,
    REWORK,
    HALL,
    MACHINES,
};

#define STATIONS HALL /* the machines before it are stations */

enum defect {
    OFFSET_PRINT,
    MISPLACEMENT,
    TOMBSTONE,
    COLD_SOLDER,
    BRIDGING,
    SOLDER_BALLS,
    DEFECTS,
};

enum fault {
    OPERATOR_SETUP,
    NOZZLE_WEAR,
    BAD_REEL_LOT,
    ZONE_DRIFT,
    OLD_PASTE,
    HUMIDITY,
    FAULTS, /* fault i causes defect i */
};

enum outcome {
    NO_RESULT,
    PASS,
    FAIL,
};

/* plant_names.c */
extern const char *const plant_machine_names[MACHINES]; /* of the devices */
extern const char *const plant_station_names[STATIONS];
extern const char *const plant_group_names[MACHINES];
extern const char *const plant_defect_names[DEFECTS];
extern const char *const plant_fault_names[FAULTS + 1]; /* ends with NULL */
extern const char *const plant_products[2];
extern const char *const plant_parts[FEEDERS];
extern const char *const plant_positions[POSITIONS];
extern const char *const plant_symptoms[2]; /* what ICT calls it: no contact, contact */

/* plant_rename.c: the plant under other names. */
struct renaming {
    bool on;
    char to[128]; /* what stands for a character */
};

struct name {
    char text[NAME_BYTES];
};

/* Seed 0: all keep their names. */
void renaming_make(uint64_t seed, struct renaming *ret);
/* Names that differ stay different; what is too long is cut. */
struct name renamed(const struct renaming *r, const char *word);
/* Appends a text in which names are marked: `@zone5`; `@@` is an `@`. */
void renamed_text(const struct renaming *r, const char *marked, struct buf *out);
/* Appends a text in which nothing is a name, so that the above gives it back as it is. */
void plant_mark_none(const char *text, struct buf *out);

struct plant;

/* ------------------------------------------------------------------------------------ scenario */

struct fault_spec {
    int kind; /* enum fault */
    int64_t start_us;
    int64_t length_us;
    double strength;
};

struct rate_spec {
    double per_hour;
    int64_t length_us;
    double size; /* stops: unused; ramps: factor; slips: part lost; reversals: mm */
};

/* plant_scenario.c; its contents are documented in docs/simulators.md. Times are the plant's. */
struct scenario {
    int64_t takt_us;
    double speed;
    uint64_t seed;
    uint64_t names;     /* 0 = the plant's own */
    double noise;       /* factor on the noise of signals and quantities */
    double drift;       /* factor on the slow drifts */
    double defect_rate; /* of each defect, a board, without any fault */
    uint64_t order_panels;
    int64_t rota_us;
    double missing_pulse; /* probabilities, a unit */
    double double_pulse;
    double unread;
    bool eyes;       /* light barriers at the stations; they too miss units, or see them twice */
    double sway;     /* up to this part the belt and the machines are slower or faster */
    double removed;  /* probability, a unit on its way to the next machine: somebody takes it off */
    double inserted; /* probability, a panel: it is put on by hand behind the printer */
    struct rate_spec stops, ramps, slips, reversals;
    struct fault_spec faults[FAULTS_MAX];
    uint32_t fault_count;
};

/* The plant without a file. */
void scenario_default(struct scenario *ret);

/* Errors with *diag: file, line, column. */
int scenario_load(const char *file, struct scenario *ret, struct diag *diag);

/* ---------------------------------------------------------------------------------------- belt */

/* From t on: v(t) = v + a (t - from), until the next piece begins. */
struct belt_piece {
    int64_t t_us;
    double mm;
    double v;    /* mm/s of the plant's time */
    double a;    /* mm/s² */
    double slip; /* part by which the encoder shows too much */
};

struct belt {
    const struct scenario *scenario;
    struct rand rand;
    struct belt_piece *pieces;
    uint32_t count, cap;
    int64_t end_us;     /* the last piece holds until here */
    int64_t trouble_us; /* when the next disturbance begins */
    double nominal;
    bool failed; /* out of memory */
};

void belt_start(struct belt *b, const struct scenario *s);
void belt_free(struct belt *b);
double belt_mm(struct belt *b, int64_t t);
double belt_speed(struct belt *b, int64_t t);   /* the true one */
double belt_encoder(struct belt *b, int64_t t); /* what the encoder shows, without noise */
/* First time from t on when the belt is at mm or beyond. */
int64_t belt_when(struct belt *b, int64_t t, double mm);
/* Last time in [t, end) when it came up to mm; t if it never was below. */
int64_t belt_when_last(struct belt *b, int64_t t, int64_t end, double mm);
/* First time from t on when a panel can be put on the belt without being pushed back again. */
int64_t belt_when_free(struct belt *b, int64_t t, double mm);
/* Forgets what was before t. */
void belt_trim(struct belt *b, int64_t t);
/* Writes [t,mm] pairs of the way since `mm`, exact at each, straight between within a millimetre.
 */
void belt_print_path(struct plant *p, int64_t from, int64_t to, double mm, struct buf *out);

/* ---------------------------------------------------------------------------------------- book */

/* One row of what the MES knows: `what` is at `where` from … to. */
struct book_row {
    int64_t from_us;
    int64_t to_us; /* INT64_MAX: still */
    char where[NAME_BYTES];
    char what[NAME_BYTES];
    char part[NAME_BYTES];
    uint32_t number; /* orders: panels; recipes: revision */
    bool bad;        /* the truth about a lot; never leaves but by the ledger */
};

struct book {
    struct book_row *rows;
    uint32_t count, cap;
};

struct lot_pool {
    char lots[3][NAME_BYTES];
    uint32_t next;
};

struct feeder {
    uint32_t row;  /* in the book, as its number from the beginning */
    uint32_t left; /* panels until the next reel */
    struct book_row now;
};

/* ---------------------------------------------------------------------------------------- units */

struct step {
    uint8_t station;
    uint8_t result; /* enum outcome */
    bool unread;
    uint8_t pulses_in, pulses_out; /* of the light barriers */
    int64_t t_in, t_out;
    char operator[NAME_BYTES];
};

struct found {
    uint8_t defect;
    uint8_t board;    /* 0 … 3 */
    uint8_t position; /* 0 … 9 */
    int8_t fault;     /* its true cause; -1 = chance */
    bool repaired;
};

struct consumed {
    char lot[NAME_BYTES];
    char part[NAME_BYTES];
    uint8_t station;
};

struct unit {
    struct unit *next; /* in a queue */
    struct unit *all_prev, *all_next;
    uint64_t number;
    uint8_t board; /* of the panel, from 1; 0 = it is a panel */
    uint8_t product;
    uint8_t placer;
    uint8_t repairs;
    bool held;
    bool missing_entry, missing_exit, double_entry, double_exit; /* pulses */
    char serial[SERIAL_BYTES + 1];
    char parent[SERIAL_BYTES + 1];
    char order[NAME_BYTES];
    uint32_t revision;
    int64_t enter_us; /* the belt */
    int64_t exit_us;
    double enter_mm;
    int64_t zone_in[ZONES], zone_out[ZONES];
    char *path; /* on the belt, as JSON; if the ledger wants it */
    int64_t printed_us;
    double offset_um;
    double slump;
    double wetting;
    uint32_t step_count, defect_count, consumed_count;
    struct step steps[STEPS_MAX];
    struct found defects[DEFECTS_MAX];
    struct consumed consumed[CONSUMED_MAX];
};

struct queue {
    struct unit *first, *last;
    uint32_t count;
};

/* Light barriers of a station: what goes in, what comes out, what goes back to be repaired. */
enum eye {
    EYE_IN,
    EYE_OUT,
    EYE_REJECT,
    EYES,
};

struct eye_pulse {
    int64_t at_us; /* when the unit came that it saw last */
    int64_t again_us;
    bool twice; /* it saw it again after again_us */
};

/* A station that has one unit at a time. */
struct station {
    struct queue queue;
    struct unit *unit;
    bool working;
    int64_t t_in, t_out; /* of the present or last cycle */
    int64_t free_us;
    struct eye_pulse eyes[EYES];
    uint8_t result; /* of the present or last cycle; shown late in it */
    uint32_t done, failed;
    char serial[SERIAL_BYTES + 1]; /* as shown */
    char children[BOARDS][SERIAL_BYTES + 1];
    uint8_t product;
    uint32_t revision;
    char order[NAME_BYTES];
};

struct event {
    int64_t t_us;
    uint64_t order;
    uint8_t kind;
    uint8_t station;
    struct unit *unit;
};

#define EVENTS_MAX 256

/* What leaves the model while it runs; each may be NULL. */
struct plant_ports {
    void *ctx;
    /* A unit is through a station that inspects or repairs. */
    void (*inspected)(void *ctx, struct plant *p, const struct unit *u, enum machine station);
    /* It has left the line: finished, scrapped, held, removed, split, or in_line at the end. */
    void (*left)(void *ctx, struct plant *p, const struct unit *u, const char *status, int64_t t);
};

struct plant {
    struct scenario scenario;
    struct renaming names;
    struct name products[2];
    struct plant_ports ports;
    int64_t start_us; /* wall time of t = 0 */
    int64_t live_t;   /* from then on the speed is the scenario's, before it is 1 (a past that is */
    int64_t live_us;  /* told afterwards); wall time of live_t */
    int64_t now_us;
    double pace; /* cycle times = nominal × pace */
    struct rand rand_flow, rand_book, rand_quality, rand_eyes, rand_hands;
    struct belt belt;
    struct station stations[STATIONS];
    struct queue belt_units; /* on it; those before it wait at the station OVEN */
    bool belt_entering;
    double belt_last_mm;
    bool keep_paths;
    uint32_t entered, left;
    char entry_serial[SERIAL_BYTES + 1];
    struct unit *units; /* all in the line */
    uint32_t unit_count;
    uint64_t panels, panels_max;
    struct event events[EVENTS_MAX];
    uint32_t event_count;
    uint64_t event_order;
    /* the book */
    struct book orders, recipes, rota, reels, paste;
    struct feeder feeders[2][FEEDERS];
    struct feeder jar;
    struct lot_pool part_pools[FEEDERS], paste_pool;
    uint32_t lots;
    uint64_t order_left;
    uint64_t order_number;
    uint8_t product;
    uint32_t revision[2];
    int64_t rota_us; /* when it changes next */
    uint8_t operators[STATIONS];
    double setup_um; /* the stencil's offset since the last set-up */
    bool setup_bad;
    bool changeover;
    uint64_t made[DEFECTS]; /* defects so far, for tests and the summary */
    uint64_t boards, scrapped, held;
};

/* plant_line.c. Heap and belt grow; ERR_NOMEM. p is zero before; the scenario is copied. */
int plant_start(struct plant *p, const struct scenario *s, int64_t start_us);
void plant_run(struct plant *p, int64_t until_us);
void plant_end(struct plant *p); /* tells ports.left of what is still in the line */
void plant_free(struct plant *p);

/* The plant's time ⇄ wall time. */
int64_t plant_wall(const struct plant *p, int64_t t);
int64_t plant_time(const struct plant *p, int64_t wall_us);
/* How fast the plant's time runs at t. */
double plant_speed(const struct plant *p, int64_t t);
/* What is before live_t happened at a speed of 1; begins plant_start with that. */
void plant_past(struct plant *p, int64_t start_us);
/* From now on, the wall's wall_us, at the scenario's speed. */
void plant_live(struct plant *p, int64_t wall_us);

/* Takes the unit with this serial out at its next station. False: it is not in the line. */
bool plant_hold(struct plant *p, const char *serial);

/* plant_air.c: quantities as they truly are at t. */
double air_fault(const struct plant *p, enum fault kind, int64_t t); /* 0 = none */
double air_temperature(const struct plant *p, int64_t t);
double air_humidity(const struct plant *p, int64_t t);
double air_zone(const struct plant *p, unsigned zone, int64_t t);
double air_vacuum(const struct plant *p, unsigned placer, unsigned nozzle, int64_t t);
double air_squeegee(const struct plant *p, int64_t t);
double air_defect_rate(const struct plant *p, int64_t t);
/* Normal noise of a signal, the same for the same t. */
double air_noise(const struct plant *p, unsigned signal, int64_t t);

/* plant_book.c */
int book_start(struct plant *p);
void book_free(struct plant *p);
void book_rota_change(struct plant *p, int64_t t);
void book_order_next(struct plant *p, int64_t t); /* before a panel enters */
void book_consume_paste(struct plant *p, struct unit *u, int64_t t);
void book_consume_parts(struct plant *p, struct unit *u, int64_t t);
void book_badge(const struct plant *p, enum machine station, unsigned which,
                char out[static NAME_BYTES]);
void book_operator(const struct plant *p, enum machine station, char out[static NAME_BYTES]);
void book_setup(struct plant *p, int64_t t);

/* plant_defect.c */
unsigned defect_nozzle(const struct unit *u, unsigned position); /* from 1 */
void defect_print(struct plant *p, struct unit *u, int64_t t);
void defect_place(struct plant *p, struct unit *u, int64_t t);
void defect_reflow(struct plant *p, struct unit *u);
bool defect_electrical(const struct unit *u, bool *ret_contact); /* one that ICT finds */
enum outcome defect_result(const struct unit *u, enum machine station);

/* plant_eyes.c */
void eyes_start(struct plant *p);
/* A unit passes the barrier at t. How many pulses it gives: 0, 1 or 2; 0 where there are none. */
unsigned eye_pass(struct plant *p, unsigned station, enum eye which, int64_t t);
/* Whether its light is broken at t, which is p->now_us or later. */
bool eye_sees(const struct plant *p, unsigned station, enum eye which, int64_t t);
/* Factor on the speed of a station, or of the belt (OVEN), at t. */
double sway(const struct scenario *s, unsigned who, int64_t t);
bool hand_takes(struct plant *p);
bool hand_puts(struct plant *p);

/* plant_ledger.c: appends the unit's line to a FILE *. */
void ledger_unit(struct plant *p, const struct unit *u, const char *status, int64_t t, FILE *to);

#endif
