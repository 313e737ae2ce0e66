/* The factors while they are filled, row by row. See why_gather.h. */
#include "base/array.h"
#include "trace/why_gather.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_LEVELS_MAX 24 /* of whole numbers: more are a quantity */
#define KEY_BYTES_MAX    (2 * TRACE_SERIAL_BYTES_MAX + 4)

/* A level that a unit has in part. */
struct part {
    struct why_entry entry;
    struct why_share share;
};

struct why_column {
    const char *name;
    const char *operation;
    enum why_kind kind;
    double *numbers;  /* [units], NULL until there is one */
    uint8_t *weights; /* of the numbers, and then of the entries; NULL until one is not whole */
    bool fraction;    /* one of them is no whole number */
    bool text;        /* a value came that is no number */
    struct why_entry *entries;
    uint32_t entry_count;
    uint32_t entry_cap;
    struct part *parts;
    uint32_t part_count;
    uint32_t part_cap;
    struct map levels; /* text → index + 1 */
};

int why_column_get(struct why_columns *c, enum why_kind kind, struct bytes name,
                   struct bytes operation, struct why_column **ret)
{
    uint8_t key[KEY_BYTES_MAX];
    if (name.len > TRACE_SERIAL_BYTES_MAX || operation.len > TRACE_SERIAL_BYTES_MAX)
        return ERR_LIMIT;
    key[0] = (uint8_t)kind;
    if (name.len)
        memcpy(key + 1, name.ptr, name.len);
    key[1 + name.len] = 0;
    if (operation.len)
        memcpy(key + 2 + name.len, operation.ptr, operation.len);
    struct bytes whole = bytes_of(key, 2 + name.len + operation.len);
    *ret = map_find(&c->map, whole);
    if (*ret)
        return OK;
    if (c->count == WHY_FACTORS_MAX)
        return ERR_LIMIT;
    struct why_column **list =
        array_room(c->list, c->count, &c->cap, 64, sizeof(struct why_column *));
    if (!list)
        return ERR_NOMEM;
    c->list = list;
    struct why_column *column = arena_alloc(&c->arena, sizeof *column);
    if (!column || map_put(&c->map, whole, column, NULL))
        return ERR_NOMEM;
    column->name = arena_copy(&c->arena, name);
    column->operation = arena_copy(&c->arena, operation);
    column->kind = kind;
    c->list[c->count++] = column;
    *ret = column;
    return column->name && column->operation ? OK : ERR_NOMEM;
}

static int bytes_take(struct why_columns *c, size_t more)
{
    c->bytes += more;
    return c->bytes > WHY_COLUMN_BYTES_MAX ? ERR_LIMIT : OK;
}

static int entry_add(struct why_columns *c, struct why_column *column, struct why_entry entry)
{
    if (column->entry_count == column->entry_cap) {
        uint32_t cap = column->entry_cap ? 2 * column->entry_cap : 256;
        struct why_entry *entries = realloc(column->entries, cap * sizeof *entries);
        if (!entries)
            return ERR_NOMEM;
        column->entries = entries;
        int err = bytes_take(c, (cap - column->entry_cap) * sizeof *entries);
        column->entry_cap = cap;
        if (err)
            return err;
    }
    column->entries[column->entry_count++] = entry;
    return OK;
}

static int part_add(struct why_columns *c, struct why_column *column, struct why_entry entry,
                    struct why_share share)
{
    uint32_t had = column->part_cap;
    struct part *parts =
        array_room(column->parts, column->part_count, &column->part_cap, 64, sizeof *parts);
    if (!parts)
        return ERR_NOMEM;
    column->parts = parts;
    column->parts[column->part_count++] = (struct part){entry, share};
    return bytes_take(c, (column->part_cap - had) * sizeof *parts);
}

static int level_add(struct why_columns *c, struct why_column *column, uint32_t unit,
                     struct bytes text, struct why_share share)
{
    uintptr_t level = (uintptr_t)map_find(&column->levels, text);
    if (!level) {
        level = column->levels.count + 1;
        int err = map_put(&column->levels, text, (void *)level, NULL);
        if (!err)
            err = bytes_take(c, text.len + 64);
        if (err)
            return err;
    }
    const struct why_entry entry = {unit, (uint32_t)level - 1};
    return share.weight < WHY_WHOLE ? part_add(c, column, entry, share)
                                    : entry_add(c, column, entry);
}

int why_column_text(struct why_columns *c, struct why_column *column, uint32_t unit,
                    struct bytes text, struct why_share share)
{
    column->text = true;
    return level_add(c, column, unit, text, share);
}

/* All that there are so far are whole. */
static int weights_begin(struct why_columns *c, struct why_column *column)
{
    int err = bytes_take(c, c->units);
    column->weights = err ? NULL : malloc((size_t)c->units + 1);
    if (!column->weights)
        return err ? err : ERR_NOMEM;
    memset(column->weights, WHY_WHOLE, (size_t)c->units + 1);
    return OK;
}

/* Unless there is a likelier one. */
static int number_put(struct why_columns *c, struct why_column *column, uint32_t unit, double v,
                      uint32_t weight)
{
    if (!column->weights && weight < WHY_WHOLE) {
        int err = weights_begin(c, column);
        if (err)
            return err;
    }
    if (column->weights && !isnan(column->numbers[unit]) && column->weights[unit] > weight)
        return OK;
    column->numbers[unit] = v;
    if (column->weights)
        column->weights[unit] = (uint8_t)weight;
    return OK;
}

int why_column_number(struct why_columns *c, struct why_column *column, uint32_t unit, double v,
                      struct bytes text, struct why_share share)
{
    if (!column->numbers) {
        int err = bytes_take(c, c->units * sizeof *column->numbers);
        column->numbers = err ? NULL : calloc((size_t)c->units + 1, sizeof *column->numbers);
        if (!column->numbers)
            return err ? err : ERR_NOMEM;
        for (uint32_t i = 0; i < c->units; i++)
            column->numbers[i] = (double)NAN;
    }
    int err = number_put(c, column, unit, v, share.weight);
    column->fraction = column->fraction || v != floor(v);
    if (err || !text.len || column->fraction || column->levels.count > NAMED_LEVELS_MAX)
        return err;
    return level_add(c, column, unit, text, share);
}

/* ---------------------------------------------------------------------------------------- finish
 */

static int entry_compare(const void *a, const void *b)
{
    const struct why_entry *x = a;
    const struct why_entry *y = b;
    if (x->unit != y->unit)
        return x->unit < y->unit ? -1 : 1;
    return x->level < y->level ? -1 : x->level > y->level;
}

/* Sorted, each once; ascending by unit. */
static void entries_tidy(struct why_column *column)
{
    uint32_t n = 0;
    if (column->entry_count)
        qsort(column->entries, column->entry_count, sizeof *column->entries, entry_compare);
    for (uint32_t i = 0; i < column->entry_count; i++)
        if (n == 0 || entry_compare(&column->entries[n - 1], &column->entries[i]) != 0)
            column->entries[n++] = column->entries[i];
    column->entry_count = n;
}

static int part_compare(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;
    int v = entry_compare(&x->entry, &y->entry);
    if (v != 0 || x->share.reason == y->share.reason)
        return v ? v : (x->share.weight < y->share.weight) - (x->share.weight > y->share.weight);
    return x->share.reason < y->share.reason ? -1 : 1;
}

/* Each once, of one reason the likeliest, of several together; what is whole as well is left out.
 */
static void parts_tidy(struct why_column *column)
{
    uint32_t n = 0;
    uint32_t at = 0;
    if (column->part_count)
        qsort(column->parts, column->part_count, sizeof *column->parts, part_compare);
    for (uint32_t i = 0; i < column->part_count; i++) {
        const struct part p = column->parts[i];
        struct part *last = n ? &column->parts[n - 1] : NULL;
        while (at < column->entry_count && entry_compare(&column->entries[at], &p.entry) < 0)
            at++;
        if (at < column->entry_count && entry_compare(&column->entries[at], &p.entry) == 0)
            continue;
        if (!last || entry_compare(&last->entry, &p.entry) != 0)
            column->parts[n++] = p;
        else if (last->share.reason != p.share.reason)
            last->share = (struct why_share){last->share.weight + p.share.weight, p.share.reason};
    }
    column->part_count = n;
}

/* The parts among the entries, both tidy: from the end, in place. */
static int parts_merge(struct why_columns *c, struct why_column *column)
{
    uint32_t i = column->entry_count;
    uint32_t k = column->part_count;
    uint32_t n = i + k;
    free(column->weights); /* of numbers that are names */
    column->weights = NULL;
    if (k == 0)
        return OK;
    struct why_entry *entries = realloc(column->entries, n * sizeof *entries);
    if (!entries)
        return ERR_NOMEM;
    column->entries = entries;
    column->entry_count = n;
    int err = bytes_take(c, k * sizeof *entries + n);
    column->weights = err ? NULL : malloc(n);
    if (!column->weights)
        return err ? err : ERR_NOMEM;
    memset(column->weights, WHY_WHOLE, n);
    while (k > 0) {
        const struct part *p = &column->parts[k - 1];
        n--;
        if (i && entry_compare(&entries[i - 1], &p->entry) > 0) {
            entries[n] = entries[--i];
            continue;
        }
        entries[n] = p->entry;
        column->weights[n] = (uint8_t)(p->share.weight < WHY_WHOLE ? p->share.weight : WHY_WHOLE);
        k--;
    }
    return OK;
}

/* Whole numbers of few kinds are names: nozzle 3, recipe 12. Not what surroundings and measures
 * give. */
static bool is_numeric(const struct why_column *column)
{
    if (!column->numbers || column->text)
        return false;
    return column->fraction || column->kind == WHY_ENVIRONMENT ||
           column->levels.count > NAMED_LEVELS_MAX || column->levels.count == 0;
}

static bool numbers_differ(const struct why_columns *c, const double *numbers)
{
    double first = (double)NAN;
    for (uint32_t i = 0; i < c->units; i++) {
        if (isnan(first))
            first = numbers[i];
        else if (!isnan(numbers[i]) && numbers[i] != first)
            return true;
    }
    return false;
}

/* How many units have each level, and what they weigh, as hundredths. */
struct level_sum {
    uint32_t units;
    uint32_t weight;
};

/* NULL if all are whole after all. */
static const uint8_t *weights_if(const uint8_t *weights, uint32_t count)
{
    for (uint32_t i = 0; weights && i < count; i++)
        if (weights[i] < WHY_WHOLE)
            return weights;
    return NULL;
}

/* Levels that enough units have and not all whole, numbered anew in the order in which they came.
 */
static int levels_number(struct why_columns *c, struct why_column *column, struct level_sum *sums,
                         struct why_factor *f)
{
    uint32_t count = (uint32_t)column->levels.count;
    const char **names = arena_array(&c->arena, (size_t)count + 1, sizeof(const char *));
    uint32_t n = 0;
    if (!names)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < column->entry_count; i++) {
        struct level_sum *sum = &sums[column->entries[i].level];
        sum->units++;
        sum->weight += column->weights ? column->weights[i] : WHY_WHOLE;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool useful =
            sums[i].units >= WHY_LEVEL_BAD_MIN && sums[i].weight < c->units * (uint64_t)WHY_WHOLE;
        sums[i].units = useful ? n : UINT32_MAX;
        if (useful)
            names[n++] = column->levels.entries[i].key;
    }
    f->level_count = n;
    f->levels = names;
    n = 0;
    for (uint32_t i = 0; i < column->entry_count; i++) {
        struct why_entry e = {column->entries[i].unit, sums[column->entries[i].level].units};
        if (e.level == UINT32_MAX)
            continue;
        if (column->weights)
            column->weights[n] = column->weights[i];
        column->entries[n++] = e;
    }
    f->entries = column->entries;
    f->weights = weights_if(column->weights, n);
    f->entry_count = n;
    return OK;
}

static int levels_finish(struct why_columns *c, struct why_column *column, struct why_factor *f)
{
    struct level_sum *sums = calloc(column->levels.count + 1, sizeof *sums);
    if (!sums)
        return ERR_NOMEM;
    entries_tidy(column);
    parts_tidy(column);
    int err = parts_merge(c, column);
    if (!err)
        err = levels_number(c, column, sums, f);
    free(sums);
    return err;
}

int why_columns_finish(struct why_columns *c, const struct why_factor **ret, uint32_t *ret_count)
{
    struct why_factor *factors = arena_array(&c->arena, c->count + 1, sizeof *factors);
    uint32_t n = 0;
    int err = factors ? OK : ERR_NOMEM;
    for (uint32_t i = 0; !err && i < c->count; i++) {
        struct why_column *column = c->list[i];
        struct why_factor *f = &factors[n];
        *f = (struct why_factor){
            .name = column->name, .station = column->operation, .kind = column->kind};
        if (is_numeric(column)) {
            f->numbers = column->numbers;
            f->weights = weights_if(column->weights, c->units);
            n += numbers_differ(c, column->numbers);
            continue;
        }
        err = levels_finish(c, column, f);
        n += f->level_count > 0;
    }
    *ret = factors;
    *ret_count = n;
    return err;
}

void why_columns_fini(struct why_columns *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->list[i]->numbers);
        free(c->list[i]->entries);
        free(c->list[i]->weights);
        free(c->list[i]->parts);
        map_fini(&c->list[i]->levels);
    }
    free(c->list);
    map_fini(&c->map);
    arena_fini(&c->arena);
}
