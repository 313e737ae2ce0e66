/* The values of one signal by their own times, for as long as a unit may still ask for them: a ring
 * that grows by doubling. */
#ifndef LOTLINE_STREAM_SERIES_H
#define LOTLINE_STREAM_SERIES_H

#include "base/err.h"
#include "model/value.h"
#include "stream/texts.h"

#define SERIES_VALUES_MAX (4u << 20)

/* What a value takes: its time, its bits, whether there is one. */
#define SERIES_VALUE_BYTES (sizeof(int64_t) + sizeof(uint64_t) + 1)

/* Zero-initialised is valid and empty. */
struct series {
    int64_t *times;
    uint64_t *values; /* bits of double, int64 or uint64; of a text, its number */
    uint8_t *valid;
    uint32_t head;
    uint32_t count;
    uint32_t cap; /* power of two */
    bool of_texts;
    struct texts texts;
};

void series_fini(struct series *s);

/* Keeps the order of time: what comes a little late moves to its place. ERR_LIMIT
 * (SERIES_VALUES_MAX), ERR_NOMEM. */
int series_add(struct series *s, int64_t time_us, uint64_t value, bool valid);

/* As series_add, of a series that has nothing but texts; valid: the text is copied. */
int series_add_text(struct series *s, int64_t time_us, struct bytes text, bool valid);

/* The first at or after time_us; count if there is none. */
uint32_t series_lower(const struct series *s, int64_t time_us);

/* That there is no value at a moment. Behind another such moment it says nothing new and is not
 * kept. Errors as series_add. */
int series_add_none(struct series *s, int64_t time_us);

/* Forgets what is before time_us, but for the last one, which still holds. */
void series_trim(struct series *s, int64_t time_us);

/* The i-th in the order of time: its slot in the arrays. */
static inline uint32_t series_slot(const struct series *s, uint32_t i)
{
    return (s->head + i) & (s->cap - 1);
}

static inline int64_t series_time(const struct series *s, uint32_t i)
{
    return s->times[series_slot(s, i)];
}

static inline bool series_valid(const struct series *s, uint32_t i)
{
    return s->valid[series_slot(s, i)] != 0;
}

/* The i-th, null if it is not valid; type: of the values. A text is borrowed until the next one is
 * added. */
struct value series_value(const struct series *s, uint32_t i, enum value_type type);

/* The i-th as a number; type: of the values. */
double series_number(const struct series *s, uint32_t i, enum value_type type);

#endif
