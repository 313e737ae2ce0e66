/* What the trace takes from the configuration: characteristics with their limits, the rules whose
 * rows are measures, and which signals a track has for its curves. See trace.h.
 */
#include "base/str.h"
#include "trace/trace_priv.h"

#include <string.h>

struct characteristic_options {
    const char *name;
    const char *station;
    const char *uom;
    const char *doc;
    double lower;
    double upper;
    double target;
};

static const struct option characteristic_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct characteristic_options, name),
     .doc = "what is measured; the name of a column of the rule that measures it"},
    {.name = "station",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct characteristic_options, station),
     .doc = "where it is measured"},
    {.name = "lower",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct characteristic_options, lower),
     .doc = "smallest value that passes; none if it is left out"},
    {.name = "upper",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct characteristic_options, upper),
     .doc = "largest value that passes; none if it is left out"},
    {.name = "target",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct characteristic_options, target),
     .doc = "what it should be"},
    {.name = "uom",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct characteristic_options, uom),
     .doc = "its unit of measure"},
    {.name = "doc",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct characteristic_options, doc),
     .doc = "a note for people"},
    {.name = NULL},
};

/* ------------------------------------------------------------------------------- characteristics
 */

static int characteristic_bind(struct trace *t, const struct tree *spec, struct characteristic *ret,
                               struct diag *diag)
{
    struct characteristic_options o = {0};
    int err = option_bind(characteristic_table, spec, &t->arena, &o, diag);
    if (err)
        return err;
    *ret = (struct characteristic){.name = o.name,
                                   .station = o.station,
                                   .uom = o.uom,
                                   .lower = o.lower,
                                   .upper = o.upper,
                                   .target = o.target,
                                   .has_lower = tree_get(spec, "lower") != NULL,
                                   .has_upper = tree_get(spec, "upper") != NULL,
                                   .has_target = tree_get(spec, "target") != NULL};
    if (ret->has_lower && ret->has_upper && ret->lower > ret->upper)
        return tree_error(diag, ERR_RANGE, tree_get(spec, "lower"),
                          "lower is above upper: no value of %s could pass", o.name);
    return OK;
}

static int config_characteristics(struct trace *t, const struct config *config, struct diag *diag)
{
    size_t count = config_count(config, CONFIG_CHARACTERISTIC);
    t->characteristics = arena_array(&t->arena, count ? count : 1, sizeof *t->characteristics);
    int err = t->characteristics ? OK : ERR_NOMEM;
    for (size_t i = 0; !err && i < count; i++) {
        const struct config_object *object = config_object_at(config, CONFIG_CHARACTERISTIC, i);
        err = characteristic_bind(t, object->spec, &t->characteristics[i], diag);
        t->characteristic_count++;
    }
    return err;
}

/* ----------------------------------------------------------------------------------------- rules
 */

static int rule_add(struct trace *t, const struct config_object *object, const struct tree *action,
                    struct catalogue *catalogue, struct diag *diag)
{
    struct stream *stream = catalogue_stream_find(catalogue, bytes_of_text(object->name));
    struct trace_rule *rule = arena_alloc(&t->arena, sizeof *rule);
    if (!rule)
        return ERR_NOMEM;
    if (!stream || !stream->schema) {
        return tree_error(
            diag, ERR_NOT_FOUND, action,
            "the columns of rule %s are not known: give its stream `columns` (and the "
            "module stream must be on)",
            object->name);
    }
    int err = trace_action_bind(&t->arena, object->name, stream->schema, action, rule, diag);
    if (err)
        return err;
    stream->durable = true;
    rule->next = map_find_text(&t->rules, object->name);
    return map_put(&t->rules, bytes_of_text(object->name), rule, NULL);
}

int trace_config_rules(struct trace *t, const struct config *config, struct catalogue *catalogue,
                       struct diag *diag)
{
    int err = OK;
    for (size_t i = 0; !err && i < config_count(config, CONFIG_RULE); i++) {
        const struct config_object *object = config_object_at(config, CONFIG_RULE, i);
        const struct tree *actions = tree_get(object->spec, "actions");
        for (const struct tree *entry = actions ? actions->first : NULL; entry;
             entry = entry->next) {
            const struct tree *action = tree_get(entry, "trace");
            if (action && !err)
                err = rule_add(t, object, action, catalogue, diag);
        }
    }
    return err;
}

/* ---------------------------------------------------------------------------------------- tracks
 */

static int track_signals(struct trace *t, const struct tree *list, struct trace_track *track)
{
    uint32_t count = list && list->kind == TREE_TEXT ? 1 : list ? list->count : 0;
    count = count < TRACE_SIGNALS_MAX ? count : TRACE_SIGNALS_MAX;
    track->signals = arena_array(&t->arena, count ? count : 1, sizeof *track->signals);
    track->ranges = arena_array(&t->arena, count ? count : 1, sizeof(void *));
    if (!track->signals || !track->ranges)
        return ERR_NOMEM;
    if (list && list->kind == TREE_TEXT)
        track->signals[track->signal_count++] = tree_text(list);
    TREE_EACH(item, list)
    {
        if (track->signal_count == count)
            break;
        /* A belt names its signals by keys, with the place as the value. */
        bool placed = list->kind == TREE_MAP;
        track->ranges[track->signal_count] = placed ? item : NULL;
        track->signals[track->signal_count++] = placed ? item->key : tree_text(item);
    }
    return OK;
}

static void track_own(const struct tree *spec, struct trace_track *track)
{
    const struct tree *entry = tree_get(spec, "entry");
    track->places = tree_get(spec, "places");
    track->own[0] = tree_text(tree_get(entry ? entry : spec, "unit"));
    track->own[1] = tree_text(tree_get(entry ? entry : tree_get(spec, "begin"), "signal"));
    track->own[2] = tree_text(tree_get(tree_get(spec, entry ? "exit" : "end"), "signal"));
    track->own[3] = tree_text(tree_get(spec, "result"));
    track->own[4] = tree_text(tree_get(tree_get(spec, "speed"), "signal"));
}

/* The stage of tracks has checked these; here they are only read. */
static int config_tracks(struct trace *t, const struct config *config)
{
    int err = OK;
    for (size_t i = 0; !err && i < config_count(config, CONFIG_TRACK); i++) {
        const struct config_object *object = config_object_at(config, CONFIG_TRACK, i);
        const struct tree *spec = object->spec;
        struct trace_track *track = arena_alloc(&t->arena, sizeof *track);
        if (!track)
            return ERR_NOMEM;
        track->name = object->name;
        track_own(spec, track);
        err = track_signals(t, tree_get(spec, "signals"), track);
        if (!err)
            err = map_put(&t->tracks, bytes_of_text(object->name), track, NULL);
    }
    return err;
}

int trace_config(struct trace *t, const struct config *config, struct catalogue *catalogue,
                 struct diag *diag)
{
    int err = config_characteristics(t, config, diag);
    if (!err)
        err = trace_config_rules(t, config, catalogue, diag);
    if (!err)
        err = bearer_config(&t->reused, config, &t->arena, diag);
    return err ? err : config_tracks(t, config);
}
