/* What a presence says about clocks: how far those of other devices were from the presence's own
 * time, while the unit was there. A track that compares clocks writes it; who binds readings by the
 * presence's interval moves that by it, since readings bear the time of their own device.
 *
 * As text, one entry a clock, blanks between them: NAME=IN:OUT, the offsets at t_in and t_out in
 * µs, own time less the presence's. NAME is a device, whose streams are NAME.GROUP, or a stream.
 */
#ifndef LOTLINE_MODEL_CLOCKS_H
#define LOTLINE_MODEL_CLOCKS_H

#include "base/bytes.h"
#include "base/err.h"

struct clock_offset {
    int64_t in_us;
    int64_t out_us;
};

/* Whether a stream's values bear the time of that clock. */
bool clock_covers(const char *name, struct bytes stream);

/* Appends an entry. ERR_NOMEM. */
int clock_put(const char *name, struct clock_offset offset, struct buf *out);

/* The offset of the stream's clock; 0, 0 if nothing (well-formed) is said of it. Hostile input. */
struct clock_offset clock_find(struct bytes text, struct bytes stream);

/* The stream's own time of a moment of the presence [t_in, t_out]; beyond the ends as at them. */
int64_t clock_own_us(struct clock_offset offset, int64_t t_in, int64_t t_out, int64_t time_us);

#endif
