/* What a presence knows of its unit, and what the unit window makes of signals that have a place on
 * the belt. */
#include "base/str.h"
#include "stream/bind_priv.h"

#include <stdlib.h>
#include <string.h>

#define PROFILE_SIGNALS_MAX 256
#define PROFILE_TOUCH_MM    1.0 /* places no further apart than this touch */

static const struct {
    const char *name;
    const char *column;
} unit_names[] = {
    {"unit_id", "unit"},
    {"unit_serial", "serial"},
    {"unit_station", "station"},
    {"unit_place", "place"},
    {"t_in", "t_in"},
    {"t_out", "t_out"},
    {"unit_status", "status"},
    {"unit_probability", "probability"},
    {"unit_evidence", "evidence"},
    {"unit_revision", "revision"},
    {"unit_result", "result"},
    {"unit_visit", "visit"},
};

static int unit_column(struct binder *b, const struct expr *e, const char *column,
                       struct bound **ret)
{
    if (e->arg_count)
        return bind_error(b, ERR_INVALID, e, "%.*s takes 0 arguments, here are %u",
                          (int)e->name.len, (const char *)e->name.ptr, e->arg_count);
    if (b->out->window != WINDOW_UNIT)
        return bind_error(b, ERR_INVALID, e, "%.*s() needs GROUP BY UNITWINDOW('track')",
                          (int)e->name.len, (const char *)e->name.ptr);
    const struct schema *s = b->out->presence->schema;
    int32_t at = s ? schema_find(s, bytes_of_text(column)) : -1;
    if (at < 0)
        return bind_error(b, ERR_NOT_FOUND, e, "%s has no column %s", b->out->presence->name,
                          column);
    struct group_input spec = {
        .kind = GROUP_UNIT, .index = (uint32_t)at, .type = s->fields[at].type};
    return bind_group_input(b, e, spec, ret);
}

bool bind_unit(struct binder *b, const struct expr *e, struct bound **ret, int *ret_err)
{
    for (size_t i = 0; i < sizeof unit_names / sizeof unit_names[0]; i++) {
        if (!str_equal_nocase(e->name, unit_names[i].name))
            continue;
        *ret_err = unit_column(b, e, unit_names[i].column, ret);
        return true;
    }
    if (!str_equal_nocase(e->name, "profile"))
        return false;
    *ret_err = bind_error(b, ERR_INVALID, e,
                          "profile() is a curve: say what of it, as in max(profile()), "
                          "avg, min, timeabove(profile(), 217) or covered");
    return true;
}

/* ---------------------------------------------------------------------------------------- places
 */

void bind_aggregate_place(const struct binder *b, uint32_t column, struct aggregate *io)
{
    const struct stream *track = b->out->presence;
    const char *name = b->out->schema->fields[column].name;
    for (uint32_t i = 0; track && i < track->signal_count; i++) {
        const struct signal_place *s = &track->signals[i];
        if (strcmp(s->stream, b->out->from->name) != 0 || strcmp(s->column, name) != 0)
            continue;
        io->placed = true;
        io->from_mm = s->from_mm;
        io->to_mm = s->to_mm;
        return;
    }
}

/* --------------------------------------------------------------------------------------- profile
 */

static int place_compare(const void *a, const void *b)
{
    const struct signal_place *const *x = a;
    const struct signal_place *const *y = b;
    return (*x)->from_mm < (*y)->from_mm ? -1 : (*x)->from_mm > (*y)->from_mm;
}

/* The signals of FROM that have a place and fit the pattern, along the belt. */
static int profile_signals(struct binder *b, const struct expr *e, const char *pattern,
                           const struct signal_place **ret, uint32_t *ret_count)
{
    const struct stream *track = b->out->presence;
    uint32_t n = 0;
    for (uint32_t i = 0; i < track->signal_count; i++) {
        const struct signal_place *s = &track->signals[i];
        if (strcmp(s->stream, b->out->from->name) != 0 ||
            !str_matches(bytes_of_text(s->column), pattern))
            continue;
        if (n == PROFILE_SIGNALS_MAX)
            return bind_error(b, ERR_LIMIT, e, "a profile has at most %d signals",
                              PROFILE_SIGNALS_MAX);
        ret[n++] = s;
    }
    if (n == 0) {
        return bind_error(b, ERR_NOT_FOUND, e,
                          "no signal of %s that fits '%s' has a place on this track: the track's "
                          "signals give them",
                          b->out->from->name, pattern);
    }
    qsort(ret, n, sizeof(const struct signal_place *), place_compare);
    for (uint32_t i = 1; i < n; i++) {
        if (ret[i]->from_mm >= ret[i - 1]->to_mm)
            continue;
        return bind_error(b, ERR_INVALID, e,
                          "%s and %s are at the same place: say which belong to the curve, as in "
                          "profile('zone*')",
                          ret[i - 1]->column, ret[i]->column);
    }
    *ret_count = n;
    return OK;
}

/* The aggregate that keeps the signal's values. */
static int profile_series(struct binder *b, const struct expr *e, const struct signal_place *s,
                          uint32_t *ret)
{
    struct bound *row = NULL;
    struct bytes name = bytes_of_text(s->column);
    int err = bind_input(b, INPUT_COLUMN, e, name, &row);
    if (err)
        return err;
    enum value_type t = row->type;
    if (t != VALUE_INT64 && t != VALUE_UINT64 && t != VALUE_DOUBLE && t != VALUE_FLOAT32)
        return bind_error(b, ERR_TYPE, e, "a profile is made of numbers; %s is a %s", s->column,
                          value_type_name(t));
    return bind_aggregate_index(b, e, (struct aggregate){.kind = AGG_SERIES}, row, ret);
}

static double middle(const struct signal_place *s)
{
    return (s->from_mm + s->to_mm) / 2;
}

static bool touch(const struct signal_place *a, const struct signal_place *b)
{
    return b->from_mm - a->to_mm <= PROFILE_TOUCH_MM;
}

/* Two regions a place: up to its middle, and from there on. */
static void profile_regions(const struct signal_place *const *s, const uint32_t *series, uint32_t n,
                            struct profile_region *ret)
{
    for (uint32_t i = 0; i < n; i++) {
        struct profile_region *left = &ret[2 * (size_t)i];
        struct profile_region *right = left + 1;
        double mm = middle(s[i]);
        *left = (struct profile_region){s[i]->from_mm, mm, series[i], series[i], mm, mm};
        *right = (struct profile_region){mm, s[i]->to_mm, series[i], series[i], mm, mm};
        if (i > 0 && touch(s[i - 1], s[i])) {
            left->from_mm = s[i - 1]->to_mm;
            left->low = series[i - 1];
            left->low_mm = middle(s[i - 1]);
        }
        if (i + 1 < n && touch(s[i], s[i + 1])) {
            right->high = series[i + 1];
            right->high_mm = middle(s[i + 1]);
        }
    }
}

static int profile_make(struct binder *b, const struct expr *e, const char *pattern,
                        const struct profile **ret)
{
    const struct signal_place **s =
        arena_array(b->arena, PROFILE_SIGNALS_MAX, sizeof(const struct signal_place *));
    uint32_t *series = arena_array(b->arena, PROFILE_SIGNALS_MAX, sizeof *series);
    struct profile *profile = arena_alloc(b->arena, sizeof *profile);
    uint32_t n = 0;
    if (!s || !series || !profile)
        return ERR_NOMEM;
    int err = profile_signals(b, e, pattern, s, &n);
    for (uint32_t i = 0; i < n && !err; i++)
        err = profile_series(b, e, s[i], &series[i]);
    if (err)
        return err;
    struct profile_region *regions = arena_array(b->arena, 2 * (size_t)n, sizeof *regions);
    if (!regions)
        return ERR_NOMEM;
    profile_regions(s, series, n, regions);
    *profile = (struct profile){regions, 2 * n};
    *ret = profile;
    return OK;
}

bool bind_is_profile(const struct expr *e)
{
    return e->kind == EXPR_CALL && str_equal_nocase(e->name, "profile");
}

int bind_profile(struct binder *b, const struct expr *e, enum agg_kind kind, double threshold,
                 struct bound **ret)
{
    const char *pattern = "*";
    struct aggregate a = {.kind = kind, .type = VALUE_DOUBLE, .threshold = threshold};
    uint32_t index = 0;
    bool curve = kind == AGG_AVG || kind == AGG_MIN || kind == AGG_MAX || kind == AGG_COVERED ||
                 kind == AGG_TIMEABOVE;
    if (b->out->window != WINDOW_UNIT)
        return bind_error(b, ERR_INVALID, e, "profile() needs GROUP BY UNITWINDOW('track')");
    if (!curve)
        return bind_error(b, ERR_INVALID, e,
                          "a curve has avg, min, max, timeabove and covered, nothing else");
    if (e->arg_count > 1 || (e->arg_count == 1 && (e->args[0]->kind != EXPR_LITERAL ||
                                                   e->args[0]->value.type != VALUE_STRING)))
        return bind_error(b, ERR_INVALID, e,
                          "write profile() for all signals with places, or profile('zone*')");
    if (e->arg_count == 1)
        pattern = arena_copy(b->arena, e->args[0]->value.bytes);
    int err = pattern ? profile_make(b, e, pattern, &a.profile) : ERR_NOMEM;
    if (!err)
        err = bind_aggregate_index(b, e, a, NULL, &index);
    if (err)
        return err;
    struct group_input spec = {.kind = GROUP_AGGREGATE, .index = index, .type = VALUE_DOUBLE};
    return bind_group_input(b, e, spec, ret);
}
