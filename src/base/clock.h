/* Two clocks and the text of a time.
 *
 * Wall time (event, acquired and known times) is microseconds since 1970-01-01T00:00:00Z, signed.
 * Monotonic time (deadlines, grids) never jumps. The two are never compared with each other.
 */
#ifndef LOTLINE_BASE_CLOCK_H
#define LOTLINE_BASE_CLOCK_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CLOCK_REALTIME in µs. Any thread. */
int64_t clock_wall_us(void);

/* CLOCK_MONOTONIC in µs. Any thread. */
int64_t clock_mono_us(void);

/* A wall clock for the times of values: it follows the host's, but where that is set it does not
 * jump. An operator or NTP that sets a clock by five seconds must not make a unit pass a station
 * twice, or a belt run five seconds in none. It runs on at its own pace instead and comes nearer
 * by CLOCK_SMOOTH_PERCENT; only what is set by more than CLOCK_SMOOTH_MAX_US it follows at once.
 * Never runs back within that. Zeroed = not read yet. */
struct clock_smooth {
    int64_t offset_us; /* to the monotonic clock */
    int64_t mono_us;   /* when it was corrected last */
    bool known;
};

#define CLOCK_SMOOTH_PERCENT 1
#define CLOCK_SMOOTH_MAX_US  60000000

/* The time at mono_us, when the host's clock shows wall_us. mono_us never goes back. One thread. */
int64_t clock_smooth_us(struct clock_smooth *c, int64_t mono_us, int64_t wall_us);

/* How far it is behind the host's clock (negative: ahead of it) as of the last reading of both. */
int64_t clock_smooth_behind_us(const struct clock_smooth *c, int64_t mono_us, int64_t wall_us);

/* "2026-11-22T08:30:00.123456Z" (RFC 3339; the fraction is cut to 3 digits when the µs end in
 * 000, left out when it is 0). out needs CLOCK_TEXT_BYTES_MAX; returns the length. */
#define CLOCK_TEXT_BYTES_MAX 40
size_t clock_format(int64_t wall_us, char out[static CLOCK_TEXT_BYTES_MAX]);

/* Reads RFC 3339 ("T" or a space between date and time, "Z" or ±hh:mm, fraction up to 6 digits
 * used) or a date alone (midnight UTC). 0, ERR_SYNTAX, ERR_RANGE. */
int clock_parse(struct bytes text, int64_t *ret_wall_us);

#endif
