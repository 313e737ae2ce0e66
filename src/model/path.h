/* Where a unit was when, on its way over a belt: a line of straight pieces, time → millimetres.
 *
 * A track makes it when the unit has left, and puts it as bytes into each of the unit's presences;
 * the unit window takes from it when the unit was at a signal's place, and the unit's own curve
 * across signals that stand one behind the other. A belt that runs evenly gives two points,
 * whatever its length; one that stops, ramps or turns back gives some more.
 *
 *   u8 version = 1, varint count, u64 first time (µs UTC), zigzag varint first position (µm), then
 *   for each further point varint time since the one before (µs, above 0) and zigzag varint way
 *   since the one before (µm). Little-endian.
 */
#ifndef LOTLINE_MODEL_PATH_H
#define LOTLINE_MODEL_PATH_H

#include "base/bytes.h"
#include "base/err.h"

#define PATH_POINTS_MAX    4096 /* of what is encoded */
#define PATH_MM_MAX        1e9
#define PATH_INTERVALS_MAX 64

struct path_point {
    int64_t time_us;
    double mm;
};

/* Zero-initialised is valid and empty. */
struct path {
    struct path_point *points; /* times grow */
    uint32_t count;
    uint32_t cap;
};

void path_fini(struct path *p);

/* Appends a point. One at the time of the last takes its place. ERR_NOMEM. Programmer error: a time
 * before the last. */
int path_add(struct path *p, int64_t time_us, double mm);

/* ERR_INVALID (no points), ERR_LIMIT (more than PATH_POINTS_MAX, a position beyond ±PATH_MM_MAX),
 * ERR_NOMEM. Positions are rounded to µm. */
int path_encode(const struct path *p, struct buf *out);

/* Into p, whose memory is used again. Hostile input. ERR_MALFORMED, ERR_VERSION, ERR_NOMEM; p is
 * empty then. */
int path_decode(struct bytes bytes, struct path *p);

/* The position at a moment; false outside [first, last]. */
bool path_mm(const struct path *p, int64_t time_us, double *ret);

/* [from_us, to_us) */
struct path_interval {
    int64_t from_us;
    int64_t to_us;
};

/* When the unit was in [from_mm, to_mm): one interval, more if it came back. In the order of time;
 * those beyond max are joined to the last. Returns how many. */
uint32_t path_intervals(const struct path *p, double from_mm, double to_mm,
                        struct path_interval *ret, uint32_t max);

#endif
