/* Where a record stands in a log.
 *
 * An epoch is a new number at each opening of a log (start, restore), later epochs are larger; seq
 * counts within the log. (epoch, seq) is never used twice, so it both orders and identifies.
 */
#ifndef LOTLINE_BASE_POSITION_H
#define LOTLINE_BASE_POSITION_H

#include <stdbool.h>
#include <stdint.h>

/* {0, 0} = nowhere, before everything. */
struct position {
    uint64_t epoch;
    uint64_t seq;
};

static inline int position_compare(struct position a, struct position b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return (a.seq > b.seq) - (a.seq < b.seq);
}

static inline bool position_is_none(struct position p)
{
    return p.epoch == 0 && p.seq == 0;
}

#endif
