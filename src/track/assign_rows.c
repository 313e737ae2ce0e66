/* Lists of hypotheses. See assign_priv.h. */
#include "base/array.h"
#include "track/assign_priv.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define ROWS_FIRST  16
#define ROWS_MANY   32 /* to be compared with each other */
#define SLOTS_FIRST 256

void rows_fini(struct rows *r)
{
    free(r->w);
    free(r->s);
    free(r->m);
    free(r->slots);
    *r = (struct rows){0};
}

static int rows_room(struct rows *r)
{
    double *w = array_room(r->w, r->count, &r->w_cap, ROWS_FIRST, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    r->w = w;
    double *m = array_room(r->m, r->count, &r->m_cap, ROWS_FIRST, ASSIGN_STAYS_MAX * sizeof *m);
    if (!m)
        return ERR_NOMEM;
    r->m = m;
    struct assign_state *s = array_room(r->s, (r->count + 1) * r->n, &r->s_cap,
                                        ROWS_FIRST * ASSIGN_CLUSTER_UNITS_MAX, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    r->s = s;
    return OK;
}

void rows_clear(struct rows *r, uint32_t n)
{
    r->n = n;
    r->count = 0;
}

struct assign_state *rows_states(const struct rows *r, uint32_t row)
{
    return r->s + (size_t)row * r->n;
}

double *rows_stays(const struct rows *r, uint32_t row)
{
    return r->m + (size_t)row * ASSIGN_STAYS_MAX;
}

int rows_add(struct rows *r, double w, const struct assign_state *s, const double *m)
{
    int err = rows_room(r);
    if (err)
        return err;
    uint32_t row = r->count++;
    r->w[row] = w;
    size_t states = r->n * sizeof *s;
    size_t stays = ASSIGN_STAYS_MAX * sizeof *m;
    if (s && states)
        memcpy(rows_states(r, row), s, states);
    else
        memset(rows_states(r, row), 0, states);
    if (m)
        memcpy(rows_stays(r, row), m, stays);
    else
        memset(rows_stays(r, row), 0, stays);
    return OK;
}

void rows_swap(struct rows *a, struct rows *b)
{
    struct rows c = *a;
    *a = *b;
    *b = c;
}

static void row_copy(struct rows *r, uint32_t to, uint32_t from)
{
    if (to == from)
        return;
    r->w[to] = r->w[from];
    memcpy(rows_states(r, to), rows_states(r, from), r->n * sizeof *r->s);
    memcpy(rows_stays(r, to), rows_stays(r, from), ASSIGN_STAYS_MAX * sizeof *r->m);
}

/* What comes later cannot tell these two apart: they become one, and what they say of the past is
 * weighted. */
static void row_merge(struct rows *r, uint32_t to, uint32_t from, uint32_t stay_count)
{
    double sum = r->w[to] + r->w[from];
    double *a = rows_stays(r, to);
    const double *b = rows_stays(r, from);
    for (uint32_t k = 0; k < stay_count && sum > 0; k++)
        a[k] = (a[k] * r->w[to] + b[k] * r->w[from]) / sum;
    r->w[to] = sum;
}

static bool rows_same(const struct rows *r, uint32_t a, uint32_t b)
{
    return memcmp(rows_states(r, a), rows_states(r, b), r->n * sizeof *r->s) == 0;
}

/* Room to find rows by their states: 0, not there. False: there is no memory. */
static bool slots_room(struct rows *r)
{
    uint32_t cap = r->slot_cap ? r->slot_cap : SLOTS_FIRST;
    while (cap < 2 * r->count)
        cap *= 2;
    if (cap > r->slot_cap) {
        uint32_t *slots = realloc(r->slots, cap * sizeof *slots);
        if (!slots)
            return false;
        r->slots = slots;
        r->slot_cap = cap;
    }
    memset(r->slots, 0, r->slot_cap * sizeof *r->slots);
    return true;
}

/* The one of the first `count` rows that is the same as row i, else `count`, whose place the slot
 * then is. */
static uint32_t slots_find(struct rows *r, uint32_t i, uint32_t count)
{
    uint32_t at = (uint32_t)XXH3_64bits(rows_states(r, i), r->n * sizeof *r->s);
    for (at &= r->slot_cap - 1; r->slots[at]; at = (at + 1) & (r->slot_cap - 1))
        if (rows_same(r, r->slots[at] - 1, i))
            return r->slots[at] - 1;
    r->slots[at] = count + 1;
    return count;
}

static uint32_t rows_find(const struct rows *r, uint32_t i, uint32_t count)
{
    uint32_t same = 0;
    while (same < count && !rows_same(r, same, i))
        same++;
    return same;
}

/* One pulse may branch into thousands: of many, each is looked up. */
static void rows_unite(struct rows *r, uint32_t stay_count)
{
    bool many = r->count > ROWS_MANY && slots_room(r);
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t same = many ? slots_find(r, i, count) : rows_find(r, i, count);
        if (same < count)
            row_merge(r, same, i, stay_count);
        else
            row_copy(r, count++, i);
    }
    r->count = count;
}

/* The max likeliest to the front, in their order of weight; of equal ones the earlier. */
static void rows_best(struct rows *r, uint32_t max)
{
    uint32_t keep = r->count < max ? r->count : max;
    for (uint32_t i = 0; i < keep; i++) {
        uint32_t best = i;
        for (uint32_t j = i + 1; j < r->count; j++)
            if (r->w[j] > r->w[best])
                best = j;
        if (best == i)
            continue;
        /* The one in front goes behind, where order does not matter any more than it did. */
        struct assign_state state;
        for (uint32_t k = 0; k < r->n; k++) {
            state = rows_states(r, i)[k];
            rows_states(r, i)[k] = rows_states(r, best)[k];
            rows_states(r, best)[k] = state;
        }
        for (uint32_t k = 0; k < ASSIGN_STAYS_MAX; k++) {
            double m = rows_stays(r, i)[k];
            rows_stays(r, i)[k] = rows_stays(r, best)[k];
            rows_stays(r, best)[k] = m;
        }
        double w = r->w[i];
        r->w[i] = r->w[best];
        r->w[best] = w;
    }
    r->count = keep;
}

int rows_tidy(struct rows *r, uint32_t max, double min, uint32_t stay_count)
{
    rows_unite(r, stay_count);
    rows_best(r, max);
    double sum = 0;
    uint32_t count = 0;
    while (count < r->count && r->w[count] > 0 && r->w[count] >= r->w[0] * min)
        sum += r->w[count++];
    r->count = count;
    if (count == 0)
        return ERR_INVALID;
    for (uint32_t i = 0; i < count; i++)
        r->w[i] /= sum;
    return OK;
}
