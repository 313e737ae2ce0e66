/* What the track's files share. A station is the state machine of one track, fed with readings and
 * giving presences; the stage around it follows the log. All of it lives on the track's thread. */
#ifndef LOTLINE_TRACK_TRACK_PRIV_H
#define LOTLINE_TRACK_TRACK_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "track/track.h"

#include <pthread.h>

#define TRACK_CANDIDATES_MAX     8
#define TRACK_EVENTS_MAX         65536 /* readings that wait for a slower stream */
#define TRACK_CHECKPOINT_MS      1000
#define TRACK_EVIDENCE_BYTES_MAX 1023

/* In the order in which readings of the same moment are taken: a unit that leaves goes before the
 * one that enters, and a serial read at the moment of entering belongs to it. */
enum track_signal {
    SIGNAL_END,
    SIGNAL_RESULT,
    SIGNAL_BEGIN,
    SIGNAL_UNIT,
    SIGNAL_COUNT,
};

/* Where a signal is found. */
struct track_input {
    char *stream; /* NULL: the track has no such signal */
    char *column;
    bool rising;     /* begin and end: the edge that counts */
    uint32_t source; /* index into station.sources */
    uint64_t schema; /* hash that col belongs to; 0 = none */
    int32_t col;
};

/* One of the streams that carry the signals, and how far its readings are. */
struct track_source {
    char *stream;
    int64_t seen_us;
};

/* One reading of one signal. */
struct track_event {
    int64_t time_us;
    struct position at; /* the record it came with */
    uint32_t row;
    uint32_t order; /* of arrival, among the same time and signal */
    enum track_signal signal;
    bool level;                            /* begin, end */
    char text[TRACK_SERIAL_BYTES_MAX + 1]; /* unit, result; "" = not read */
};

struct track_serial {
    char text[TRACK_SERIAL_BYTES_MAX + 1];
    uint64_t reads;
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
    int64_t gap_us; /* time of it without readings of the signals */
    bool stale;     /* nothing but `before` was read since the unit before left */
    char before[TRACK_SERIAL_BYTES_MAX + 1]; /* serial of the unit before */
    uint64_t unread;
    uint32_t serial_count;
    struct track_serial serials[TRACK_CANDIDATES_MAX];
};

/* What a level signal showed last. */
struct track_level {
    bool known;
    bool level;
    int64_t seen_us;
};

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
    int64_t gap_max_us;
    int64_t grace_us;
};

struct station {
    struct station_options options;
    char *place;
    char *node;
    uint64_t config_hash; /* a checkpoint of another configuration is not taken */
    struct track_input inputs[SIGNAL_COUNT];
    struct track_source sources[SIGNAL_COUNT];
    uint32_t source_count;

    /* State: goes into the checkpoint. */
    struct position at; /* all records up to here are in it */
    int64_t done_us;    /* readings up to this moment were taken */
    struct track_level begin;
    struct track_level end;
    char last_serial[TRACK_SERIAL_BYTES_MAX + 1]; /* of the unit before */
    bool fresh; /* another serial, or none, was read since that unit left */
    struct track_visit open;
    struct track_visit closing; /* waits for its result */
    struct track_event *events; /* a heap by (time, signal, order) */
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
};

/* ---------------------------------------------------------------------------------- station.c */

/* Readings of a record, and what follows from them: presences go to presence_put. */
int station_record(struct station *s, struct position at, struct bytes stream,
                   const struct batch *batch);

/* ---------------------------------------------------------------------------------- presence.c */

int presence_schema(struct schema **ret);

/* The serial that was read most in the visit (of equals the last), NULL if none was; without the
 * one of the unit before where that was only not yet overwritten. */
const struct track_serial *visit_best(const struct track_visit *v, uint64_t *ret_reads,
                                      uint32_t *ret_count);

/* Decides serial, status, probability and evidence, and adds the row. result is what was read. */
int presence_put(struct station *s, const struct track_visit *v, const char *result);

void track_unit_id(const char *node, const char *track, struct position at, uint32_t row,
                   uint8_t ret[static TRACK_UNIT_BYTES]);

/* ---------------------------------------------------------------------------------- events.c */

int events_push(struct station *s, const struct track_event *e);
const struct track_event *events_first(const struct station *s); /* NULL if there is none */
void events_pop(struct station *s);

/* -------------------------------------------------------------------------------- checkpoint.c */

int checkpoint_encode(const struct station *s, struct buf *out);

/* ERR_VERSION (another version or configuration), ERR_MALFORMED; the station is then reset. */
int checkpoint_decode(struct station *s, struct bytes blob);

void station_reset(struct station *s);

/* ------------------------------------------------------------------------------------ config.c */

int station_configure(struct station *s, const struct config_object *object, struct arena *arena,
                      struct catalogue *catalogue, struct diag *diag);
void station_fini(struct station *s);

extern const struct option track_option_table[];

#endif
