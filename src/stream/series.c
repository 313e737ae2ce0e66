/* Values by their time, in a ring. See series.h. */
#include "stream/series.h"

#include <stdlib.h>

#define SERIES_FIRST 256u

void series_fini(struct series *s)
{
    free(s->times);
    free(s->values);
    free(s->valid);
    texts_fini(&s->texts);
    *s = (struct series){0};
}

static int series_grow(struct series *s)
{
    uint32_t cap = s->cap ? s->cap * 2 : SERIES_FIRST;
    if (cap > SERIES_VALUES_MAX)
        return ERR_LIMIT;
    struct series more = {.times = calloc(cap, sizeof *s->times),
                          .values = calloc(cap, sizeof *s->values),
                          .valid = calloc(cap, 1),
                          .count = s->count,
                          .cap = cap,
                          .of_texts = s->of_texts,
                          .texts = s->texts};
    if (!more.times || !more.values || !more.valid) {
        more.texts = (struct texts){0};
        series_fini(&more);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t from = series_slot(s, i);
        more.times[i] = s->times[from];
        more.values[i] = s->values[from];
        more.valid[i] = s->valid[from];
    }
    struct series old = *s;
    old.texts = (struct texts){0};
    *s = more;
    series_fini(&old);
    return OK;
}

static void series_copy(struct series *s, uint32_t to, uint32_t from)
{
    s->times[to] = s->times[from];
    s->values[to] = s->values[from];
    s->valid[to] = s->valid[from];
}

int series_add(struct series *s, int64_t time_us, uint64_t value, bool valid)
{
    int err = s->count == s->cap ? series_grow(s) : OK;
    if (err)
        return err;
    uint32_t i = s->count++;
    while (i > 0 && series_time(s, i - 1) > time_us) {
        series_copy(s, series_slot(s, i), series_slot(s, i - 1));
        i--;
    }
    uint32_t at = series_slot(s, i);
    s->times[at] = time_us;
    s->values[at] = value;
    s->valid[at] = valid;
    return OK;
}

int series_add_text(struct series *s, int64_t time_us, struct bytes text, bool valid)
{
    uint32_t number = 0;
    int err = valid ? texts_keep(&s->texts, text, &number) : OK;
    if (err)
        return err;
    s->of_texts = true;
    err = series_add(s, time_us, number, valid);
    if (err && valid)
        texts_drop(&s->texts, number);
    return err;
}

int series_add_none(struct series *s, int64_t time_us)
{
    uint32_t before = s->count;
    if (before && series_time(s, before - 1) > time_us)
        before = series_lower(s, time_us);
    if (before && !series_valid(s, before - 1))
        return OK;
    return series_add(s, time_us, 0, false);
}

/* The first at or after time_us is in [*io_low, *io_high]. Values mostly come evenly: looked for
 * from where it would be then, in steps that double. There is one before time_us and one that is
 * not. */
static void series_bracket(const struct series *s, int64_t time_us, uint32_t *io_low,
                           uint32_t *io_high)
{
    double first = (double)series_time(s, 0);
    double whole = (double)series_time(s, s->count - 1) - first;
    uint32_t at = (uint32_t)(((double)time_us - first) / whole * (s->count - 1));
    at = at < s->count ? at : s->count - 1;
    bool up = series_time(s, at) < time_us;
    for (uint32_t step = 1; up && at < s->count && series_time(s, at) < time_us; step *= 2) {
        *io_low = at + 1;
        at = step < s->count - at ? at + step : s->count;
    }
    for (uint32_t step = 1; !up && series_time(s, at) >= time_us; step *= 2) {
        *io_high = at;
        at = step < at ? at - step : 0;
    }
    if (up)
        *io_high = at;
    else
        *io_low = at + 1;
}

uint32_t series_lower(const struct series *s, int64_t time_us)
{
    uint32_t low = 0;
    uint32_t high = s->count;
    if (!s->count || series_time(s, 0) >= time_us)
        return 0;
    if (series_time(s, s->count - 1) < time_us)
        return s->count;
    series_bracket(s, time_us, &low, &high);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (series_time(s, mid) < time_us)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void series_trim(struct series *s, int64_t time_us)
{
    uint32_t n = series_lower(s, time_us);
    if (n < 2)
        return;
    for (uint32_t i = 0; s->of_texts && i < n - 1; i++)
        if (series_valid(s, i))
            texts_drop(&s->texts, (uint32_t)s->values[series_slot(s, i)]);
    s->head = series_slot(s, n - 1);
    s->count -= n - 1;
}

struct value series_value(const struct series *s, uint32_t i, enum value_type type)
{
    uint64_t bits = s->values[series_slot(s, i)];
    struct value v = {.type = type == VALUE_FLOAT32 ? VALUE_DOUBLE : type};
    if (!series_valid(s, i))
        return (struct value){.type = VALUE_NULL};
    if (s->of_texts)
        v.bytes = texts_get(&s->texts, (uint32_t)bits);
    else if (type == VALUE_BOOL)
        v.boolean = bits != 0;
    else
        v.u64 = bits;
    return v;
}

double series_number(const struct series *s, uint32_t i, enum value_type type)
{
    uint64_t bits = s->values[series_slot(s, i)];
    struct value v = {.type = type == VALUE_FLOAT32 ? VALUE_DOUBLE : type, .u64 = bits};
    double d = 0;
    (void)value_to_double(&v, &d);
    return d;
}
