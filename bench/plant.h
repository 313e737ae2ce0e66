/* A line in a plant: belts one behind the other with units on them, as polls of its sensors,
 * scanners and speed show it, and the track that is that line. */
#ifndef LOTLINE_BENCH_PLANT_H
#define LOTLINE_BENCH_PLANT_H

#include "bench/bench.h"
#include "track/line.h"

#define BELT_MM    20000
#define SPEED_MM_S 200.0
#define DRIFT      0.005
#define POLL_US    100000
#define ROWS       10  /* polls a record: a second */
#define PLANT_GOAL 1e6 /* readings a second and core */
#define T0         INT64_C(1763800000000000)

struct shape {
    uint32_t belts;
    uint32_t units; /* on the line at once */
    uint32_t lost;  /* of so many pulses one is not given; 0: none */
};

/* The plant: units that enter every `apart` polls and are at each gate so much later. */
struct plant {
    struct shape shape;
    struct schema *schema;
    struct batch_pool *pool;
    struct batch_builder *builder;
    uint64_t apart;
    uint64_t polls; /* made so far */
    uint64_t seq;
};

/* Its belts are b0, b1, …; on each is a station, s0, s1, …, from 1000 to 2000 mm. */
void plant_init(struct plant *p, struct shape shape);
void plant_fini(struct plant *p);

uint32_t plant_gates(const struct plant *p);

/* The next second. The reference is the caller's. */
struct batch *plant_record(struct plant *p);

/* Readings that a track takes of a record: all sensors, two scanners, the speed. */
double plant_record_readings(const struct plant *p);

struct plant_track {
    struct config *config;
    struct catalogue catalogue;
    struct arena arena;
    struct track *track;
    struct track_stats stats;
    uint64_t presences;
};

/* What is said of a line besides, into its configuration, and the streams that this needs. */
struct plant_more {
    void (*config)(void *ctx, const struct plant *p, struct buf *out);
    void (*streams)(void *ctx, const struct plant *p, struct catalogue *catalogue);
    void *ctx;
};

/* more: NULL, or what the line has besides. */
void plant_track_init(struct plant_track *o, const struct plant *p, const struct plant_more *more);
void plant_track_fini(struct plant_track *o);

/* The presences that the record completes, the caller's; NULL: none. */
struct batch *plant_track_take(struct plant_track *o, struct plant *p, const struct batch *b);

/* Lets the plant run until all its units are on the line. */
void plant_track_fill(struct plant_track *o, struct plant *p);

/* What a reading cost on a line of a shape. */
struct plant_cost {
    struct shape shape;
    uint32_t units; /* that were on it */
    double ours_ns;
    double peer_ns;
};

/* Prints readings a second against the goal of a million and against the peer, and the cost of one
 * against that on the smallest line: at most twice as much. what: what is done to readings. */
void plant_cost_print(const char *bench, const char *what, const char *peer,
                      const struct plant_cost *cost, const struct plant_cost *smallest);

#endif
