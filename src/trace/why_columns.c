/* The factors while they are filled, row by row. See why_gather.h. */
#include "base/array.h"
#include "trace/why_gather.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_LEVELS_MAX 24 /* of whole numbers: more are a quantity */
#define KEY_BYTES_MAX    (2 * TRACE_SERIAL_BYTES_MAX + 4)

struct why_column {
    const char *name;
    const char *operation;
    enum why_kind kind;
    double *numbers; /* [units], NULL until there is one */
    bool fraction;   /* one of them is no whole number */
    bool text;       /* a value came that is no number */
    struct why_entry *entries;
    uint32_t entry_count;
    uint32_t entry_cap;
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

static int level_add(struct why_columns *c, struct why_column *column, uint32_t unit,
                     struct bytes text)
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
    return entry_add(c, column, (struct why_entry){unit, (uint32_t)level - 1});
}

int why_column_text(struct why_columns *c, struct why_column *column, uint32_t unit,
                    struct bytes text)
{
    column->text = true;
    return level_add(c, column, unit, text);
}

int why_column_number(struct why_columns *c, struct why_column *column, uint32_t unit, double v,
                      struct bytes text)
{
    if (!column->numbers) {
        int err = bytes_take(c, c->units * sizeof *column->numbers);
        column->numbers = err ? NULL : calloc((size_t)c->units + 1, sizeof *column->numbers);
        if (!column->numbers)
            return err ? err : ERR_NOMEM;
        for (uint32_t i = 0; i < c->units; i++)
            column->numbers[i] = (double)NAN;
    }
    column->numbers[unit] = v;
    column->fraction = column->fraction || v != floor(v);
    if (!text.len || column->fraction || column->levels.count > NAMED_LEVELS_MAX)
        return OK;
    return level_add(c, column, unit, text);
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

/* Levels that enough units have and not all, numbered anew in the order in which they came. */
static int levels_finish(struct why_columns *c, struct why_column *column, struct why_factor *f)
{
    uint32_t count = (uint32_t)column->levels.count;
    uint32_t *units = calloc((size_t)count + 1, sizeof *units);
    const char **names = arena_array(&c->arena, (size_t)count + 1, sizeof(const char *));
    uint32_t n = 0;
    if (!units || !names) {
        free(units);
        return ERR_NOMEM;
    }
    entries_tidy(column);
    for (uint32_t i = 0; i < column->entry_count; i++)
        units[column->entries[i].level]++;
    for (uint32_t i = 0; i < count; i++) {
        bool useful = units[i] >= WHY_LEVEL_BAD_MIN && units[i] < c->units;
        units[i] = useful ? n : UINT32_MAX;
        if (useful)
            names[n++] = column->levels.entries[i].key;
    }
    f->level_count = n;
    f->levels = names;
    n = 0;
    for (uint32_t i = 0; i < column->entry_count; i++) {
        struct why_entry e = {column->entries[i].unit, units[column->entries[i].level]};
        if (e.level != UINT32_MAX)
            column->entries[n++] = e;
    }
    f->entries = column->entries;
    f->entry_count = n;
    free(units);
    return OK;
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
        map_fini(&c->list[i]->levels);
    }
    free(c->list);
    map_fini(&c->map);
    arena_fini(&c->arena);
}
