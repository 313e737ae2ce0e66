/* Serials that come around: a counter of n bits starts anew, a carrier's number is given again. Who
 * bore the serial then is told by time: where nothing was heard of it for longer than a unit is
 * ever left alone, another unit follows. Of each serial that gives pieces of time, one a bearer; a
 * piece reaches from the first that is told of its bearer to the first that is told of the next.
 *
 * Decided when somebody asks, from whatever is known then; nothing of it is stored.
 */
#ifndef LOTLINE_TRACE_BEARER_H
#define LOTLINE_TRACE_BEARER_H

#include "base/arena.h"
#include "base/map.h"
#include "config/config.h"
#include "config/option.h"

#include <stdbool.h>

struct duck_conn;

#define BEARER_RULES_MAX 32

/* What is configured: historian.serials_reused. */
struct bearer_rule {
    const char *match; /* as str_matches has it */
    int64_t after_us;  /* nothing was told of it for longer: another unit */
};

struct bearer_rules {
    struct bearer_rule *list;
    uint32_t count;
};

/* A piece of time, µs: [from, to), or where it says so with its end. */
struct trace_span {
    int64_t from;
    int64_t to;
};

extern const struct trace_span trace_span_all;

bool trace_span_has(struct trace_span span, int64_t at_us);

/* Texts are the arena's. What is wrong is said in *diag, with its line. */
int bearer_config(struct bearer_rules *r, const struct config *config, struct arena *arena,
                  struct diag *diag);

/* After how long the serial is another unit's; 0: never. Of several rules the first that fits; a
 * unit's id fits none. */
int64_t bearer_after(const struct bearer_rules *r, struct bytes serial);

/* The least of all; INT64_MAX: there are none. Times of two bearers are farther apart. */
int64_t bearer_after_least(const struct bearer_rules *r);

/* Sorts the spans, each with its end, unites those with no more than gap_us between them, and
 * returns how many are left. Of what is told of a serial, with bearer_after as the gap: its
 * bearers.
 */
uint32_t trace_spans_unite(struct trace_span *spans, uint32_t count, int64_t gap_us);

/* Of these bearers the number of the one at that time: the last that had begun; before all of them
 * the first. count > 0. */
uint32_t bearer_at(const struct trace_span *bearers, uint32_t count, int64_t at_us);

/* The whole time of that one: until the next begins, since ever if it is the first. */
struct trace_span bearer_time(const struct trace_span *bearers, uint32_t count, uint32_t number);

/* Serials of which several bearers are known, for questions about very many units. */
struct bearers {
    struct map names; /* serial → struct bearer_begins */
    struct arena arena;
};

/* Reads what is told of serials that fit a rule in [from_us, until_us). Asks the database only if
 * there are rules (NULL: none); sorts as many rows as name a unit by its serial. On error
 * bearers_fini too. */
int bearers_read(struct bearers *b, const struct bearer_rules *r, struct duck_conn *conn,
                 int64_t from_us, int64_t until_us, struct diag *diag);
void bearers_fini(struct bearers *b);

/* A name that only that bearer has: the serial itself for the first one known and wherever there is
 * but one, else a text in `out` that nobody else has (no serial has a line feed in it). */
#define BEARER_NAME_BYTES_MAX 320
struct bytes bearer_name(const struct bearers *b, struct bytes serial, int64_t at_us,
                         char out[static BEARER_NAME_BYTES_MAX]);

#endif
