/* A scenario's file: YAML, bound by an option table, errors with their place. */
#include "config/option.h"
#include "sim/plant.h"

#include <errno.h>
#include <math.h>

#define FILE_BYTES_MAX 65536
#define RATE_MAX       1000.0 /* disturbances an hour */

static const struct option rate_table[] = {
    {.name = "per_hour",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = offsetof(struct rate_spec, per_hour),
     .doc = "how often"},
    {.name = "length",
     .type = OPTION_DURATION,
     .default_text = "20s",
     .min = 100000,
     .max = HOUR_US,
     .offset = offsetof(struct rate_spec, length_us),
     .doc = "how long each lasts (not used by reversals)"},
    {.name = "size",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = offsetof(struct rate_spec, size),
     .doc = "ramps: factor on the speed; slips: lost part of the way; reversals: mm"},
    {.name = NULL},
};

static const struct option fault_table[] = {
    {.name = "fault",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = plant_fault_names,
     .offset = offsetof(struct fault_spec, kind),
     .doc = "which"},
    {.name = "start",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct fault_spec, start_us),
     .doc = "when it begins, from the start of the plant"},
    {.name = "length",
     .type = OPTION_DURATION,
     .default_text = "3650d",
     .min = 1,
     .offset = offsetof(struct fault_spec, length_us),
     .doc = "how long it lasts"},
    {.name = "strength",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = offsetof(struct fault_spec, strength),
     .doc = "1 = as strong as it usually is; 0 = not at all"},
    {.name = NULL},
};

struct scenario_file {
    struct scenario s;
    const struct tree *stops, *ramps, *slips, *reversals, *faults;
};

#define AT(field) offsetof(struct scenario_file, field)
#define RATE_ROW(name_, doc_)                                                                      \
    {                                                                                              \
        .name = #name_, .type = OPTION_TREE, .offset = AT(name_), .items = rate_table, .doc = doc_ \
    }

static const struct option scenario_table[] = {
    {.name = "takt",
     .type = OPTION_DURATION,
     .default_text = "100s",
     .min = SECOND_US,
     .max = HOUR_US,
     .offset = AT(s.takt_us),
     .doc = "from panel to panel; cycles and the belt follow"},
    {.name = "speed",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = AT(s.speed),
     .doc = "how much faster than real everything happens"},
    {.name = "seed",
     .type = OPTION_UINT,
     .default_text = "1",
     .offset = AT(s.seed),
     .doc = "the same seed makes the same plant"},
    {.name = "names",
     .type = OPTION_UINT,
     .default_text = "0",
     .offset = AT(s.names),
     .doc = "0, or the seed of other names for everything"},
    {.name = "noise",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = AT(s.noise),
     .doc = "factor on the scatter of everything"},
    {.name = "drift",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = AT(s.drift),
     .doc = "factor on the slow drifts"},
    {.name = "defect_rate",
     .type = OPTION_DOUBLE,
     .default_text = "0.003",
     .offset = AT(s.defect_rate),
     .doc = "probability of each defect, a board, by chance"},
    {.name = "order",
     .type = OPTION_UINT,
     .default_text = "60",
     .min = 1,
     .max = 100000,
     .offset = AT(s.order_panels),
     .doc = "panels of an order; then comes the other product"},
    {.name = "rota",
     .type = OPTION_DURATION,
     .default_text = "2h",
     .min = MINUTE_US,
     .offset = AT(s.rota_us),
     .doc = "how often operators change places"},
    {.name = "missing_pulse",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = AT(s.missing_pulse),
     .doc = "probability that a sensor of the belt does not see a panel"},
    {.name = "double_pulse",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = AT(s.double_pulse),
     .doc = "probability that it sees it twice"},
    {.name = "unread",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = AT(s.unread),
     .doc = "probability that a barcode is not read"},
    {.name = "eyes",
     .type = OPTION_BOOL,
     .default_text = "false",
     .offset = AT(s.eyes),
     .doc = "stations have light barriers; these too miss units, or see them twice"},
    {.name = "sway",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = AT(s.sway),
     .doc = "up to this part the belt and the machines are slower or faster"},
    {.name = "removed",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = AT(s.removed),
     .doc = "probability, from machine to machine, that a unit is taken off by hand"},
    {.name = "inserted",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = AT(s.inserted),
     .doc = "probability that a panel is put on by hand behind the printer"},
    RATE_ROW(stops, "the belt stands still"),
    RATE_ROW(ramps, "the belt runs at another speed"),
    RATE_ROW(slips, "the belt moves less than the encoder shows"),
    RATE_ROW(reversals, "the belt runs back"),
    {.name = "faults",
     .type = OPTION_TREE,
     .offset = AT(faults),
     .items = fault_table,
     .doc = "a list"},
    {.name = NULL},
};

void scenario_default(struct scenario *ret)
{
    *ret = (struct scenario){
        .takt_us = NOMINAL_TAKT_US,
        .speed = 1,
        .seed = 1,
        .noise = 1,
        .drift = 1,
        .defect_rate = 0.003,
        .order_panels = 60,
        .rota_us = 2 * HOUR_US,
    };
}

static const struct tree *place_of(const struct tree *map, const char *key)
{
    const struct tree *t = tree_get(map, key);
    return t ? t : map;
}

struct range {
    const char *key;
    double value, min, max;
};

static int ranges_check(const struct tree *map, const struct range *ranges, struct diag *diag)
{
    for (const struct range *r = ranges; r->key; r++) {
        if (!(r->value >= r->min && r->value <= r->max))
            return tree_error(diag, ERR_RANGE, place_of(map, r->key),
                              "%s is a number from %g to %g", r->key, r->min, r->max);
    }
    return OK;
}

static int rate_bind(const struct tree *map, struct arena *arena, double min, double max,
                     struct rate_spec *ret, struct diag *diag)
{
    *ret = (struct rate_spec){0};
    if (!map || map->kind == TREE_NULL)
        return OK;
    int err = option_bind(rate_table, map, arena, ret, diag);
    const struct range ranges[] = {
        {"per_hour", ret->per_hour, 0, RATE_MAX},
        {"size", ret->size, min, max},
        {NULL, 0, 0, 0},
    };
    return err ? err : ranges_check(map, ranges, diag);
}

static int faults_bind(const struct tree *list, struct arena *arena, struct scenario *s,
                       struct diag *diag)
{
    if (!list || list->kind == TREE_NULL)
        return OK;
    if (list->kind != TREE_LIST)
        return tree_error(diag, ERR_TYPE, list,
                          "faults is a list: - {fault: %s, start: 6h, length: 12h, strength: 1}",
                          plant_fault_names[0]);
    TREE_EACH(item, list)
    {
        if (s->fault_count == FAULTS_MAX)
            return tree_error(diag, ERR_LIMIT, item, "at most %d faults", FAULTS_MAX);
        struct fault_spec *f = &s->faults[s->fault_count++];
        int err = option_bind(fault_table, item, arena, f, diag);
        const struct range ranges[] = {{"strength", f->strength, 0, 10}, {NULL, 0, 0, 0}};
        if (!err)
            err = ranges_check(item, ranges, diag);
        if (err)
            return err;
    }
    return OK;
}

static int scenario_bind(const struct tree *map, struct arena *arena, struct scenario *ret,
                         struct diag *diag)
{
    struct scenario_file f = {0};
    int err = option_bind(scenario_table, map, arena, &f, diag);
    const struct range ranges[] = {
        {"speed", f.s.speed, 0.01, 1000},
        {"noise", f.s.noise, 0, 10},
        {"drift", f.s.drift, 0, 10},
        {"defect_rate", f.s.defect_rate, 0, 1},
        {"missing_pulse", f.s.missing_pulse, 0, 1},
        {"double_pulse", f.s.double_pulse, 0, 1},
        {"unread", f.s.unread, 0, 1},
        {"sway", f.s.sway, 0, 0.5},
        {"removed", f.s.removed, 0, 0.5},
        {"inserted", f.s.inserted, 0, 0.5},
        {NULL, 0, 0, 0},
    };
    if (!err)
        err = ranges_check(map, ranges, diag);
    if (!err)
        err = rate_bind(f.stops, arena, 0, 0, &f.s.stops, diag);
    if (!err)
        err = rate_bind(f.ramps, arena, 0.1, 3, &f.s.ramps, diag);
    if (!err)
        err = rate_bind(f.slips, arena, 0, 0.5, &f.s.slips, diag);
    if (!err)
        err = rate_bind(f.reversals, arena, 0, 200, &f.s.reversals, diag);
    if (!err)
        err = faults_bind(f.faults, arena, &f.s, diag);
    if (!err)
        *ret = f.s;
    return err;
}

static int text_read(const char *file, struct buf *text, struct diag *diag)
{
    FILE *from = fopen(file, "re");
    if (!from)
        return diag_set(diag, err_from_errno(errno), 0, 0, "the scenario cannot be read: %s",
                        errno == ENOENT ? "there is no such file"
                                        : err_text(err_from_errno(errno)));
    uint8_t *at = buf_reserve(text, FILE_BYTES_MAX);
    size_t n = at ? fread(at, 1, FILE_BYTES_MAX, from) : 0;
    bool whole = at && feof(from);
    (void)fclose(from);
    if (!whole)
        return diag_set(diag, ERR_LIMIT, 0, 0, "a scenario has less than %d bytes", FILE_BYTES_MAX);
    (void)buf_extend(text, n);
    return OK;
}

int scenario_load(const char *file, struct scenario *ret, struct diag *diag)
{
    struct buf text = {0};
    struct arena arena = {0};
    struct tree *root = NULL;
    (void)snprintf(diag->file, sizeof diag->file, "%s", file);
    int err = text_read(file, &text, diag);
    if (!err)
        err = tree_parse_yaml(&arena, file, buf_bytes(&text), &root, diag);
    if (!err)
        err = scenario_bind(root, &arena, ret, diag);
    arena_fini(&arena);
    buf_fini(&text);
    return err;
}
