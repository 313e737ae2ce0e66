/* What the track's files share. A track is the state machine of one station or one belt, fed with
 * readings and giving presences; the stage around it follows the log. All of it lives on the
 * track's thread. */
#ifndef LOTLINE_TRACK_TRACK_PRIV_H
#define LOTLINE_TRACK_TRACK_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "model/path.h"
#include "track/track.h"

#include <pthread.h>

#define TRACK_CANDIDATES_MAX     8
#define TRACK_EVENTS_MAX         65536 /* readings that wait for a slower stream */
#define TRACK_CHECKPOINT_MS      1000
#define TRACK_EVIDENCE_BYTES_MAX 1023
#define TRACK_ROWS_MAX           8192 /* presences that one record completes */

/* What a checkpoint may hold: beyond these nothing was measured, and sums would run over. */
#define TRACK_TIME_MAX_US (INT64_C(1) << 60) /* both ways */
#define TRACK_MM_MAX      1e15 /* both ways; a belt at MOTION_SPEED_MAX for 30 years */
#define TRACK_READS_MAX   (UINT64_C(1) << 48)

/* The inputs of a station and of a belt, in the order in which readings of the same moment are
 * taken: a unit that leaves goes before the one that enters, and a serial read at the moment of
 * entering belongs to it. A line has its own (line.h). */
enum track_signal {
    SIGNAL_END, /* of a belt: the exit */
    SIGNAL_RESULT,
    SIGNAL_BEGIN, /* of a belt: the entry */
    SIGNAL_UNIT,
    SIGNAL_EXIT_UNIT, /* belt: the scanner at the exit */
    SIGNAL_SPEED,     /* belt; its readings do not wait among the events */
    SIGNAL_COUNT,
};

/* What a signal's readings are. */
enum track_read {
    READ_LEVEL,
    READ_TEXT,
    READ_NUMBER, /* handed on at once, in the order of their arrival */
};

/* Where a signal is found. */
struct track_input {
    char *stream; /* NULL: the track has no such signal */
    char *column;
    enum track_read read;
    bool rising;     /* a level: the edge that counts */
    uint32_t source; /* index into track.sources */
    uint64_t schema; /* hash that col belongs to; 0 = none */
    int32_t col;
    int64_t scanned_us; /* state: of a scanner, the latest reading that was taken */
};

/* One of the streams that carry the signals, and how far its readings are. */
struct track_source {
    char *stream;
    struct track_clock *clock; /* what its times are of; NULL: of the track's own */
    int64_t seen_us;
};

/* One reading of one signal. */
struct track_event {
    int64_t time_us;
    struct position at; /* the record it came with */
    uint32_t row;
    uint32_t order;  /* of arrival, among the same time and signal */
    uint32_t signal; /* the input's index */
    bool level;
    char text[TRACK_SERIAL_BYTES_MAX + 1]; /* units, result; "" = not read */
};

/* The same, of whatever signal. */
struct track_reading {
    struct track_event event;
    double number; /* of a signal that is read as one */
};

/* When an event is due, and its index among the events. */
struct track_event_key {
    int64_t time_us;
    uint32_t signal;
    uint32_t order;
    uint32_t slot;
};

struct track_serial {
    char text[TRACK_SERIAL_BYTES_MAX + 1];
    uint64_t reads;
};

/* What a scanner read of one unit. */
struct track_scan {
    bool open;  /* it began with the unit's first reading */
    bool stale; /* nothing but `before` was read since the unit before left */
    char before[TRACK_SERIAL_BYTES_MAX + 1]; /* serial of the unit before */
    uint64_t unread;
    uint32_t serial_count;
    struct track_serial serials[TRACK_CANDIDATES_MAX];
};

/* What a scanner read last, of whatever unit. */
struct track_scanner {
    char last[TRACK_SERIAL_BYTES_MAX + 1]; /* of the unit before */
    bool fresh;                            /* another serial, or none, was read since it left */
};

/* How an end of the interval is known. */
enum track_edge {
    EDGE_SEEN,
    EDGE_GAP,    /* somewhere in a gap of readings */
    EDGE_UNSEEN, /* there was none */
};

/* A unit in the station, or just gone. */
struct track_visit {
    bool active;
    uint8_t unit[TRACK_UNIT_BYTES];
    int64_t t_in;
    int64_t t_out;
    enum track_edge begin;
    enum track_edge end;
    int64_t gap_us;     /* time of it without readings of the signals */
    int64_t resumed_us; /* the first reading after a gap, until a code is read again; 0: none */
    struct track_scan scan;
};

/* What a level signal showed last. */
struct track_level {
    bool known;
    bool level;
    int64_t seen_us;
};

struct track;
struct track_clock;
struct twice_seen;

/* What a station and a belt do differently. */
struct track_kind {
    size_t bytes;                  /* of the struct that begins with struct track */
    const enum track_read *inputs; /* SIGNAL_COUNT of them; NULL: configure makes them */
    int (*configure)(struct track *t, const struct config_object *object, struct arena *arena,
                     struct catalogue *catalogue, struct diag *diag);
    /* Readings of a number, in the order of their arrival. */
    int (*number)(struct track *t, uint32_t signal, int64_t time_us, double value);
    /* Takes what is due: everything up to safe_us has been read. */
    int (*advance)(struct track *t, int64_t safe_us);
    void (*reset)(struct track *t);
    int (*encode)(const struct track *t, struct buf *out);
    int (*decode)(struct track *t, struct reader *in);
    void (*fini)(struct track *t);
};

struct track {
    const struct track_kind *kind;
    const char *name;
    char *place;
    char *node;
    int64_t gap_max_us;
    int64_t grace_us;
    int64_t late_us;
    uint64_t config_hash; /* a checkpoint of another configuration is not taken */
    struct track_input *inputs;
    uint32_t input_count;
    struct track_source *sources; /* room for as many as there are inputs */
    uint32_t source_count;
    struct track_clock *clocks; /* clocks.h */
    uint32_t clock_count;

    /* State: goes into the checkpoint. */
    struct position at; /* all records up to here are in it */
    int64_t done_us;    /* readings up to this moment were taken */
    struct track_event *events;
    struct track_event_key *event_heap; /* by (time, signal, order); then those free */
    uint32_t event_count;
    uint32_t event_cap;
    uint32_t event_order;

    /* The output. */
    struct stream *stream;
    struct outlet producer;
    struct batch_builder *builder;
    struct batch *held; /* the log had no credit */
    struct position held_at;
    struct track_stage *stage;
    struct track_stats *stats; /* the stage's, on its thread */
    track_alarm_fn *alarm;     /* the stage's; NULL: nobody is told */
    void *alarm_ctx;
};

/* ----------------------------------------------------------------------------------- station.c */

struct station_options {
    const char *name;
    const char *station;
    const char *place;
    const char *unit;
    const char *result;
    const struct tree *begin;
    const struct tree *end;
    struct option_texts signals;
    struct option_texts pass;
    const struct tree *clocks;
    int64_t gap_max_us;
    int64_t grace_us;
    int64_t late_us;
};

struct station {
    struct track track;
    struct station_options options;

    /* State. */
    struct track_level begin;
    struct track_level end;
    struct track_scanner scanner;
    struct track_visit open;
    struct track_visit closing; /* waits for its result */
    struct path_interval gap;   /* the last one, until a code was read after it; 0, 0: none */
    struct track_visit passed;  /* was scanned in that gap, and perhaps came and left in it */
};

int station_advance(struct track *t, int64_t safe_us);

extern const struct track_kind station_kind;
extern const enum track_read station_reads[SIGNAL_COUNT]; /* a belt's too */

/* ------------------------------------------------------------------------------------ inputs.c */

/* Readings of a record, and what follows from them: presences go to the builder. */
int track_record(struct track *t, struct position at, struct bytes stream,
                 const struct batch *batch);

/* A reading under the track's own time. */
int track_reading_take(struct track *t, const struct track_reading *r);

/* What a value says as a text ("": there is nothing) and as a level (false: it says none). */
void text_of_value(const struct value *v, char out[static TRACK_SERIAL_BYTES_MAX + 1]);
bool level_of_value(const struct value *v, bool *ret);

/* Notes a reading of a level signal; true if it is the edge that counts. *ret_gap_us: how long
 * nobody had looked, 0 if no longer than gap_max. */
bool level_edge(struct track_level *l, const struct track_event *e, bool rising, int64_t gap_max_us,
                enum track_edge *ret, int64_t *ret_gap_us);

/* -------------------------------------------------------------------------------------- scan.c */

/* Whether a later reading of the same scanner was taken already: then this one is out of its order,
 * as what is sent again after its acknowledgement was lost, and says nothing new. Notes when it was
 * if it is not. */
bool scan_is_behind(struct track *t, const struct track_event *e);

void scan_open(struct track_scan *s, const struct track_scanner *scanner);
void scan_read(struct track_scan *s, const char *text);
void scan_read_times(struct track_scan *s, const char *text,
                     uint64_t times); /* so often; above 0 */

/* The serial that was read most (of equals the last), NULL if none was; without the one of the unit
 * before where that was only not yet overwritten. */
const struct track_serial *scan_best(const struct track_scan *s, uint64_t *ret_reads,
                                     uint32_t *ret_count);

/* Whether the serial may just be the one of the unit before. */
bool scan_is_stale(const struct track_scan *s, const struct track_serial *best);

/* Whether another serial than this one was read, and not just that of the unit before. */
bool scan_unlike(const struct track_scan *s, const char *text);

/* The scanner's reading, also when no unit is there; a unit left, which had that scan. */
void scanner_read(struct track_scanner *scanner, const char *text);
void scanner_left(struct track_scanner *scanner, const struct track_scan *s);

/* What is said about whose the visit was. */
struct track_identity {
    char serial[TRACK_SERIAL_BYTES_MAX + 1];
    const char *status;
    double probability;
};

/* By one scanner. Adds " serial=…" to the evidence. */
void scan_identity(const struct track_scan *s, const uint8_t unit[static TRACK_UNIT_BYTES],
                   struct track_identity *ret, struct buf *evidence);

/* "?" and the unit's id. */
void identity_provisional(const uint8_t unit[static TRACK_UNIT_BYTES], struct track_identity *ret);

/* ---------------------------------------------------------------------------------- presence.c */

/* Of a station, and of a belt: with TRACK_FROM_MM and what follows. What is said of clocks is the
 * last column of a track that has some. */
int presence_schema(const struct track *t, bool belt, struct schema **ret);

/* Decides serial, status, probability and evidence, and adds the row. result is what was read. */
int presence_put(struct station *s, const struct track_visit *v, const char *result);

/* The columns that every presence has, as a new row of the builder. */
struct presence_row {
    const uint8_t *unit;
    const char *station;
    const char *place;
    int64_t t_in;
    int64_t t_out;
    const struct track_identity *identity;
    const char *evidence;
    const char *result;
    int64_t revision;
    int64_t visit;  /* 0 = the unit's only stay at the station */
    bool retracted; /* takes back what lower revisions say */
};

/* The serial was read of a unit that was there from edge to edge. If another unit bore it elsewhere
 * meanwhile, it is ambiguous, and the evidence says where. */
int presence_twice(struct track *t, const struct twice_seen *seen, struct track_identity *io,
                   struct buf *evidence);

int presence_row_put(struct track *t, const struct presence_row *row);

void track_unit_id(const char *node, const char *track, struct position at, uint32_t row,
                   uint8_t ret[static TRACK_UNIT_BYTES]);

/* ------------------------------------------------------------------------------------ events.c */

int events_push(struct track *t, const struct track_event *e);
const struct track_event *events_first(const struct track *t); /* NULL if there is none */
void events_pop(struct track *t); /* the first; it is valid until the next is pushed */

/* -------------------------------------------------------------------------------- checkpoint.c */

int checkpoint_encode(const struct track *t, struct buf *out);

/* ERR_VERSION (another version or configuration), ERR_MALFORMED; the track is then reset. */
int checkpoint_decode(struct track *t, struct bytes blob);

void track_reset(struct track *t);

void put_i64(struct buf *b, int64_t v);
void put_text(struct buf *b, const char *text);
void put_level(struct buf *b, const struct track_level *l);
void put_scan(struct buf *b, const struct track_scan *s);
void put_scanner(struct buf *b, const struct track_scanner *s);
void put_visit(struct buf *b, const struct track_visit *v);
void put_event(struct buf *b, const struct track_event *e);

/* What is none of it fails the reader, and gives what does no harm. */
int64_t get_time(struct reader *r);  /* within TRACK_TIME_MAX_US */
int64_t get_since(struct reader *r); /* the same; INT64_MIN: never */
double get_mm(struct reader *r);     /* within TRACK_MM_MAX */
double get_share(struct reader *r);  /* 0 to 1, but for rounding */
void get_text(struct reader *r, char out[static TRACK_SERIAL_BYTES_MAX + 1]);
uint32_t get_count(struct reader *r, uint32_t max); /* more than max fails */
enum track_edge get_edge(struct reader *r);
struct track_level get_level(struct reader *r);
void get_scan(struct reader *r, struct track_scan *s);
void get_scanner(struct reader *r, struct track_scanner *s);
void get_visit(struct reader *r, struct track_visit *v);
void get_event(struct reader *r, struct track_event *e);

/* ------------------------------------------------------------------------------------- track.c */

/* The i-th track; NULL when there is no i-th. */
const struct track *track_at(const struct track_stage *t, uint32_t i);

/* ------------------------------------------------------------------------------------ config.c */

/* One track of the configuration, reset; freed with track_drop, also after a failure (*ret NULL:
 * there is nothing to free). */
int track_make(const struct config_object *object, struct arena *arena, struct catalogue *catalogue,
               struct diag *diag, struct track **ret);
void track_drop(struct track *t); /* NULL is allowed */

/* What begin, end, entry and exit hold first. */
struct edge_options {
    const char *signal;
    int edge; /* 0 rising, 1 falling */
};

/* Finds the tag `text` ("device.group.tag"), written at `tree`, as the track's signal; its stream
 * becomes durable. ret_stream may be NULL. */
int track_signal_find(struct track *t, uint32_t signal, const struct tree *tree, const char *text,
                      struct catalogue *catalogue, struct stream **ret_stream, struct diag *diag);

/* The same for a tag that is no input: in->stream and in->column are set, the caller frees them. */
int track_input_find(struct track_input *in, const struct tree *tree, const char *text,
                     struct catalogue *catalogue, struct stream **ret_stream, struct diag *diag);

/* Room for so many inputs, which have no signals yet. ERR_NOMEM. */
int track_inputs_make(struct track *t, uint32_t count);

/* That a tag exists. */
int track_tag_check(const struct tree *tree, const char *text, const struct catalogue *catalogue,
                    struct diag *diag);

/* The presence stream and its builder; hashes what all tracks have into config_hash. */
int track_stream_make(struct track *t, const struct schema *schema, struct catalogue *catalogue,
                      struct diag *diag);

/* The same for a track with belts: its presences have places, and signals may have. `spec` is what
 * its configuration's hash is of; the signals stay the track's. */
int track_placed_stream_make(struct track *t, const struct tree *spec,
                             const struct signal_place *signals, uint32_t signal_count,
                             struct catalogue *catalogue, struct diag *diag);

/* Where an error of the map's key is shown: at its value, or if that is not there at the map. */
const struct tree *tree_or(const struct tree *map, const char *key);

extern const struct option track_option_table[];

#endif
