/* Rules as they are written in the configuration. */
#include "base/str.h"
#include "model/topic.h"
#include "stream/engine_priv.h"

#include <string.h>

struct mqtt_options {
    const char *topic;
    uint64_t qos;
    bool retain;
    int format;
    int rows;
};

struct alarm_options {
    const char *name;
    const char *severity;
    const char *text;
};

static const char *const format_choices[] = {"json", NULL};
static const char *const rows_choices[] = {"single", "array", NULL};

static const struct option mqtt_table[] = {
    {.name = "topic",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct mqtt_options, topic),
     .doc = "where the rows are published"},
    {.name = "qos",
     .type = OPTION_UINT,
     .max = 1,
     .offset = offsetof(struct mqtt_options, qos),
     .doc = "quality of service, 0 or 1"},
    {.name = "retain",
     .type = OPTION_BOOL,
     .offset = offsetof(struct mqtt_options, retain),
     .doc = "whether the broker keeps the last one for later subscribers"},
    {.name = "format",
     .type = OPTION_ENUM,
     .default_text = "json",
     .choices = format_choices,
     .offset = offsetof(struct mqtt_options, format),
     .doc = "of the payload"},
    {.name = "rows",
     .type = OPTION_ENUM,
     .default_text = "single",
     .choices = rows_choices,
     .offset = offsetof(struct mqtt_options, rows),
     .doc = "one message a row, or one array a batch"},
    {.name = NULL},
};

static const struct option alarm_table[] = {
    {.name = "name",
     .type = OPTION_TEXT,
     .offset = offsetof(struct alarm_options, name),
     .doc = "what the alarm is called; default: the rule's name"},
    {.name = "severity",
     .type = OPTION_TEXT,
     .default_text = "minor",
     .offset = offsetof(struct alarm_options, severity),
     .doc = "info, warning, minor, major or critical"},
    {.name = "text",
     .type = OPTION_TEXT,
     .offset = offsetof(struct alarm_options, text),
     .doc = "what a person reads; default: the row that raised it"},
    {.name = NULL},
};

static const struct option rule_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct rule_options, name),
     .doc = "what the rule and the stream it makes are called"},
    {.name = "sql",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct rule_options, sql),
     .doc = "one SELECT"},
    {.name = "linger",
     .type = OPTION_DURATION,
     .default_text = "10ms",
     .max = INT64_C(60000000),
     .offset = offsetof(struct rule_options, linger_us),
     .doc = "how long rows wait for others to make a larger batch"},
    {.name = "lateness",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .max = INT64_C(86400000000),
     .offset = offsetof(struct rule_options, lateness_us),
     .doc = "how long windows wait for rows that come late"},
    {.name = "gap_max",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .max = INT64_C(86400000000),
     .offset = offsetof(struct rule_options, gap_max_us),
     .doc = "unit windows: a value counts no longer than this; 0s: until the next one"},
    {.name = "unit_wait",
     .type = OPTION_DURATION,
     .default_text = "10s",
     .min = 1000,
     .max = INT64_C(3600000000),
     .offset = offsetof(struct rule_options, unit_wait_us),
     .doc = "unit windows: how long a unit that left waits for signals that don't come"},
    {.name = "unit_time",
     .type = OPTION_DURATION,
     .default_text = "1h",
     .min = 1000000,
     .max = INT64_C(604800000000),
     .offset = offsetof(struct rule_options, unit_time_us),
     .doc = "unit windows: how long values are kept, at least the longest stay of a unit"},
    {.name = "unit_lead",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .max = INT64_C(3600000000),
     .offset = offsetof(struct rule_options, unit_lead_us),
     .doc = "unit windows: values so long before a stay are the unit's too"},
    {.name = "unit_lag",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .max = INT64_C(3600000000),
     .offset = offsetof(struct rule_options, unit_lag_us),
     .doc = "unit windows: and so long behind it"},
    {.name = "unit_delay",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .max = INT64_C(3600000000),
     .offset = offsetof(struct rule_options, unit_delay_us),
     .doc = "unit windows: values are stamped so long after what they tell of, as those that a "
            "machine writes at the end of its cycle; both ends of a stay are looked for so much "
            "later"},
    {.name = "actions",
     .type = OPTION_TREE,
     .offset = offsetof(struct rule_options, actions),
     .doc = "what is done with the rows: mqtt, write, http, alarm, historian, trace"},
    {.name = NULL},
};

int rule_options_bind(const struct tree *spec, struct arena *arena, struct rule_options *ret,
                      struct diag *diag)
{
    return option_bind(rule_table, spec, arena, ret, diag);
}

/* ---------------------------------------------------------------------------------------- actions
 */

static int mqtt_bind(struct rule_action *a, const struct tree *spec, struct arena *arena,
                     struct diag *diag)
{
    struct mqtt_options o;
    a->kind = ACTION_MQTT;
    int err = option_bind(mqtt_table, spec, arena, &o, diag);
    if (err)
        return err;
    if (!topic_is_name(bytes_of_text(o.topic)))
        return tree_error(diag, ERR_INVALID, tree_get(spec, "topic"),
                          "%s is no topic to publish on: it must not be empty nor hold + or #",
                          o.topic);
    a->topic = o.topic;
    a->qos = o.qos;
    a->retain = o.retain;
    a->array = o.rows == 1;
    return OK;
}

static int alarm_bind(struct rule_action *a, const struct tree *spec, struct arena *arena,
                      struct diag *diag)
{
    static const char *const severities[] = {"info", "warning", "minor", "major", "critical"};
    struct alarm_options o;
    a->kind = ACTION_ALARM;
    int err = option_bind(alarm_table, spec, arena, &o, diag);
    if (err)
        return err;
    a->name = o.name ? o.name : a->rule->options.name;
    a->severity = o.severity;
    a->text = o.text;
    for (size_t i = 0; i < sizeof severities / sizeof severities[0]; i++)
        if (strcmp(o.severity, severities[i]) == 0)
            return OK;
    return tree_error(diag, ERR_INVALID, tree_get(spec, "severity"),
                      "a severity is one of info, warning, minor, major, critical");
}

/* {device.group.tag: column, …}: an action a tag. */
static int write_bind(struct rule_action *a, const struct tree *pair, struct diag *diag)
{
    const struct plan *plan = a->rule->plan;
    a->kind = ACTION_WRITE;
    a->tag = pair->key;
    a->column = tree_text(pair);
    if (pair->kind != TREE_TEXT)
        return tree_error(diag, ERR_TYPE, pair, "the name of a column is needed here: %s: column",
                          pair->key);
    if (plan->output && schema_find(plan->output, bytes_of_text(a->column)) < 0)
        return tree_error(diag, ERR_NOT_FOUND, pair, "the rule makes no column %s", a->column);
    return OK;
}

static uint32_t actions_count(const struct tree *list)
{
    uint32_t count = 0;
    TREE_EACH(item, list)
    TREE_EACH(action, item)
    count += strcmp(action->key ? action->key : "", "write") == 0 ? action->count : 1;
    return count;
}

/* Everything is kept; there is nothing to choose yet. */
static const struct option historian_table[] = {{.name = NULL}};

static int action_bind(struct rule *r, const struct tree *spec, struct arena *arena,
                       struct diag *diag)
{
    struct rule_action *a = &r->actions[r->action_count];
    const char *kind = spec->key;
    int err = OK;
    a->rule = r;
    if (strcmp(kind, "mqtt") == 0) {
        err = mqtt_bind(a, spec, arena, diag);
    } else if (strcmp(kind, "alarm") == 0) {
        err = alarm_bind(a, spec, arena, diag);
    } else if (strcmp(kind, "historian") == 0 || strcmp(kind, "trace") == 0 ||
               strcmp(kind, "http") == 0) {
        a->kind = ACTION_STORE;
        r->output->durable = true;
        /* What trace and http say is read by the stages that take their rows. */
        if (strcmp(kind, "historian") == 0)
            err = option_bind(historian_table, spec, arena, a, diag);
    } else {
        return tree_key_error(
            diag, ERR_UNKNOWN_KEY, spec,
            "there is no action %s: mqtt, write, http, alarm, historian and trace "
            "are",
            kind);
    }
    if (!err)
        r->action_count++;
    return err;
}

static int writes_bind(struct rule *r, const struct tree *spec, struct diag *diag)
{
    int err = OK;
    if (spec->kind != TREE_MAP)
        return tree_error(diag, ERR_TYPE, spec, "write needs {device.group.tag: column}");
    TREE_EACH(pair, spec)
    {
        struct rule_action *a = &r->actions[r->action_count];
        a->rule = r;
        err = err ? err : write_bind(a, pair, diag);
        r->action_count += !err;
    }
    return err;
}

int rule_actions_bind(struct rule *r, struct arena *arena, struct diag *diag)
{
    const struct tree *list = r->options.actions;
    int err = OK;
    if (list && list->kind != TREE_LIST && list->kind != TREE_NULL)
        return tree_error(diag, ERR_TYPE, list, "actions are a list: [{mqtt: {topic: a/b}}]");
    r->actions = arena_array(arena, actions_count(list) + 1u, sizeof *r->actions);
    if (!r->actions)
        return ERR_NOMEM;
    TREE_EACH(item, list)
    {
        if (item->kind != TREE_MAP)
            return tree_error(diag, ERR_TYPE, item, "an action is a map: {mqtt: {topic: a/b}}");
        TREE_EACH(action, item)
        {
            if (!err && strcmp(action->key, "write") == 0)
                err = writes_bind(r, action, diag);
            else if (!err)
                err = action_bind(r, action, arena, diag);
        }
    }
    for (uint32_t i = 0; i < r->action_count && !err; i++)
        action_init(&r->actions[i], r);
    return err;
}
