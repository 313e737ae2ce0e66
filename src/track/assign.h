/* Which unit made which pulse, on a line of parts that units pass through.
 *
 * A line is a graph: parts (a belt with its length, a station, a buffer, with their order and room)
 * and ways between them and the outside. A gate is a sensor that sees what passes its ways; each
 * way has one. A unit between two gates is where the part says: on a belt where the way since it
 * entered says, elsewhere inside.
 *
 * A pulse may be of any unit that the model lets be there, or of one that nobody saw before; a unit
 * that should have passed and gave no pulse passed unseen or is gone. Each such choice is a branch.
 * Branches that nothing tells apart yet stand beside each other as hypotheses with weights:
 * multiple hypothesis tracking (Reid 1979), by clusters: only units whose fates hang together share
 * a list of hypotheses, the others are certain and cost nothing. A scan is a likelihood like
 * others, a strong one: it leaves one hypothesis, and what had been said under the others is taken
 * back.
 *
 * Nothing here knows of streams, tags or rows. It is deterministic: the same pulses give the same
 * answers, to the last bit.
 *
 * Weights: a sighting is worth (1 - missed) · L, L the density of the distance from where the unit
 * is predicted over an even one in the window (normal, the window is three standard deviations to
 * each side; 1 where no position is known); a passage unseen `missed`; a unit that is gone
 * `removed`; one that comes from nowhere `appeared`; a pulse of nobody `spurious`. A unit that only
 * one pulse speaks for may be that pulse of nobody: its doubt is part of the state and not of the
 * branches, since what never was leaves no trace that could tell.
 */
#ifndef LOTLINE_TRACK_ASSIGN_H
#define LOTLINE_TRACK_ASSIGN_H

#include "track/track_priv.h"

#define ASSIGN_PARTS_MAX         256
#define ASSIGN_WAYS_MAX          1024
#define ASSIGN_GATES_MAX         256
#define ASSIGN_UNITS_MAX         65536 /* in the line at once */
#define ASSIGN_CLUSTER_UNITS_MAX 24    /* beyond it a pulse is not asked of others */
#define ASSIGN_STAYS_MAX         32    /* undecided ones of a cluster; then the oldest stays so */
#define ASSIGN_HYPOTHESES_MAX    64

#define ASSIGN_OUTSIDE ((uint16_t)0xffff)

enum assign_order { ASSIGN_FIFO, ASSIGN_LIFO, ASSIGN_RANDOM };

struct assign_part {
    enum assign_order order;
    uint32_t capacity;   /* 0: no limit */
    double length_mm;    /* above 0: a belt, always FIFO */
    int64_t time_min_us; /* no belt: nobody leaves earlier */
    int64_t time_max_us; /* no belt: nobody stays longer; 0: no limit */
};

struct assign_way {
    uint16_t from; /* part, or ASSIGN_OUTSIDE */
    uint16_t into;
    uint16_t gate;
    double share; /* of what leaves `from`, this way: a prior; 1 where there is but one */
};

struct assign_gate {
    double tolerance_mm; /* the window at no way at all */
    double drift;        /* and what is added to it for each mm of the way */
};

struct assign_odds {
    double missed;
    double removed;
    double appeared;
    double spurious;
    double misread;
    double moved; /* a unit whose code is read where it could not have come by itself */
};

/* What is said about one unit's stay in one part. */
struct assign_stay {
    const uint8_t *unit; /* TRACK_UNIT_BYTES */
    const char *code;    /* "": not read yet */
    uint16_t part;
    uint32_t visit; /* number; the same for all that it may have been of */
    int64_t t_in;
    int64_t t_out;
    double in_mm; /* a belt: its position then */
    double out_mm;
    enum track_edge begin;
    enum track_edge end;
    double probability; /* 0: it was not so after all */
    double sure;        /* if it was so, that the code is the unit's */
    uint32_t revision;
    uint32_t rivals; /* other stays with this visit that are possible */
    bool read;       /* its code was, at an end of the stay */
};

/* What the gates of a part do not explain: more units came out of it than went in, or fewer. */
enum assign_breach_kind {
    ASSIGN_KEPT,     /* none */
    ASSIGN_TAKEN,    /* a unit went in and is gone */
    ASSIGN_APPEARED, /* one came out that nobody had seen go in */
    ASSIGN_MOVED,    /* one went in, and its code was read where it could not have come by itself */
    ASSIGN_GHOST,    /* something went in and is gone, which rather was a pulse of nobody */
};

struct assign_breach {
    enum assign_breach_kind kind;
    const uint8_t *unit;
    const char *code;
    uint16_t part;
    int64_t t_in; /* since when it was in the part; ASSIGN_APPEARED: by the model */
    int64_t
        time_us; /* when it was noticed: it should have come out, came out, was read elsewhere */
    double probability; /* that there is such a unit */
};

struct assign_pulse {
    uint16_t gate;
    int64_t time_us;
    const uint8_t *unit; /* the id of whoever is seen by it for the first time */
    const char *code;    /* what was read; "": nothing */
};

/* All pointers stay the caller's and must outlive it. Calls back on the caller's thread; what they
 * get is valid during the call. */
struct assign_model {
    const struct assign_part *parts;
    const struct assign_way *ways;
    const struct assign_gate *gates;
    uint32_t part_count;
    uint32_t way_count;
    uint32_t gate_count;
    struct assign_odds odds;
    uint32_t hypotheses_max; /* at most ASSIGN_HYPOTHESES_MAX, but in tests */
    double weight_min;       /* a hypothesis below this part of the best one is dropped */
    double change_min;       /* a smaller change of a probability is not said */
    double said_min;         /* nor is a stay that is less likely */
    bool learns;             /* how long units stay in stations and buffers, from those seen */

    /* A belt's position at a moment; when it came last to a position before a moment. */
    double (*mm)(void *ctx, uint16_t part, int64_t time_us);
    int64_t (*when)(void *ctx, uint16_t part, double mm, int64_t before_us);
    int (*stay)(void *ctx, const struct assign_stay *stay);
    int (*breach)(void *ctx, const struct assign_breach *breach);
    void *ctx;
};

struct assign;

/* ERR_NOMEM. */
int assign_new(const struct assign_model *model, struct assign **ret);
void assign_free(struct assign *a); /* NULL is allowed */
void assign_reset(struct assign *a);

/* A pulse; time never goes back. ERR_NOMEM, and what the callbacks gave. */
int assign_pulse(struct assign *a, const struct assign_pulse *p);

/* Time goes on to here: who should have passed a gate by now and did not. */
int assign_reach(struct assign *a, int64_t time_us);

/* Since when somebody is in a part, or was whose stay is not decided; INT64_MAX: nobody. */
int64_t assign_oldest_us(const struct assign *a);

/* The state as bytes, and back: decode begins from reset, and leaves it so when what it reads is no
 * state (ERR_MALFORMED) or memory ends. */
void assign_encode(const struct assign *a, struct buf *out);
int assign_decode(struct assign *a, struct reader *in);

struct assign_stats {
    uint64_t pulses;
    uint64_t seen;     /* passages that a pulse shows, by the likeliest hypothesis */
    uint64_t unseen;   /* passages without a pulse */
    uint64_t appeared; /* units from nowhere */
    uint64_t gone;
    uint64_t ghosts; /* pulses that no other one of their unit followed */
    uint64_t moved;  /* units that were read where they could not have come by themselves */
    uint64_t forced; /* units that were not asked, and stays left undecided, since too many were */
    uint32_t units;  /* in the line now */
    uint32_t clusters;
    uint32_t hypotheses; /* the most that a cluster has now */
};

void assign_stats_get(const struct assign *a, struct assign_stats *ret);

/* A unit's likeliest place now. */
struct assign_where {
    const uint8_t *unit;
    const char *code;
    uint16_t part;
    int64_t t_in;
    double in_mm; /* of a belt, when it was at the part's begin */
    double probability;
};

/* Each unit that is more likely in the line than not, once. Stops at the first error. */
int assign_each(const struct assign *a, int (*one)(void *ctx, const struct assign_where *w),
                void *ctx);

#endif
