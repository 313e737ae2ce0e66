/* Serials that are at two places at once. See twice.c. All on the tracks' thread. */
#ifndef LOTLINE_TRACK_TWICE_H
#define LOTLINE_TRACK_TWICE_H

#include "base/list.h"
#include "track/track_priv.h"

#define TWICE_SLACK_US       1000000 /* stays may overlap by so much: the edges' own times */
#define TWICE_STAYS_MAX      1024
#define TWICE_AGE_US         (30 * 60 * INT64_C(1000000))
#define TWICE_ALARMS_MAX     20 /* serials that are told at a time; more are only counted */
#define TWICE_TEXT_BYTES_MAX 1024

struct twice_stay {
    struct list link;          /* oldest first */
    struct twice_stay *before; /* of the same serial */
    struct twice_stay *after;
    char *serial;
    char *station;
    uint8_t unit[TRACK_UNIT_BYTES];
    int64_t t_in;
    int64_t t_out;
    bool told; /* its serial's alarm stands as long as this is kept */
};

struct twice {
    struct list stays;
    struct map by_serial; /* the newest stay of each */
    uint32_t count;
    uint32_t alarms; /* serials whose alarm stands */
    uint64_t found;
    int64_t newest_us;

    /* text NULL: over. */
    void (*alarm)(void *ctx, const char *serial, const char *text);
    void *ctx;
};

/* What a track says; unit has TRACK_UNIT_BYTES. Views. */
struct twice_seen {
    const char *serial;
    const char *station;
    const uint8_t *unit;
    int64_t t_in;
    int64_t t_out;
};

struct track_stage;
struct twice *track_twice(struct track_stage *t);

void twice_init(struct twice *w);
void twice_fini(struct twice *w);

/* *ret_station: where else another unit with that serial was meanwhile; NULL if nowhere. Lives
 * until the next call. ERR_NOMEM. */
int twice_note(struct twice *w, const struct twice_seen *seen, const char **ret_station);

int twice_encode(const struct twice *w, struct buf *out);
/* Into a fresh one. ERR_VERSION, ERR_MALFORMED, ERR_NOMEM: then it holds a part. */
int twice_decode(struct twice *w, struct bytes blob);

#endif
