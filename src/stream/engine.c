/* The engine: what it is made of, and its life. See stream.h.
 *
 * configure makes everything in memory; start only attaches. Rules may read streams of other rules
 * in any order of writing: a rule is compiled when all it reads is there, and what never gets its
 * stream is the error of the rule that names it.
 */
#include "base/log.h"
#include "base/str.h"
#include "stream/engine_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ------------------------------------------------------------------------------------------- busy
 */

void engine_busy_add(struct stream_engine *e)
{
    pthread_mutex_lock(&e->busy.lock);
    e->busy.count++;
    pthread_mutex_unlock(&e->busy.lock);
}

void engine_busy_done(struct stream_engine *e)
{
    pthread_mutex_lock(&e->busy.lock);
    if (--e->busy.count == 0)
        pthread_cond_broadcast(&e->busy.idle);
    pthread_mutex_unlock(&e->busy.lock);
}

static bool engine_busy_wait(struct stream_engine *e, int64_t timeout_ms)
{
    struct timespec until;
    int rc = 0;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    pthread_mutex_lock(&e->busy.lock);
    while (e->busy.count > 0 && rc == 0)
        rc = pthread_cond_timedwait(&e->busy.idle, &e->busy.lock, &until);
    bool idle = e->busy.count == 0;
    pthread_mutex_unlock(&e->busy.lock);
    return idle;
}

/* ------------------------------------------------------------------------------------------- life
 */

struct exec *engine_loop(struct stream_engine *e)
{
    if (e->options.loop_count == 0)
        return NULL; /* `check` runs nothing */
    return e->options.loops[e->next_loop++ % e->options.loop_count];
}

static void tails_run(struct exec_task *task)
{
    struct stream_engine *e = CONTAINER_OF(task, struct stream_engine, tails_task);
    tails_stop(e);
    engine_busy_done(e);
}

int stream_engine_new(const struct stream_engine_options *options, struct stream_engine **ret)
{
    struct stream_engine *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->options = *options;
    list_init(&e->tails);
    exec_task_init(&e->tails_task, tails_run);
    if (pthread_mutex_init(&e->busy.lock, NULL) || pthread_cond_init(&e->busy.idle, NULL)) {
        free(e);
        return ERR_NOMEM;
    }
    *ret = e;
    return OK;
}

void stream_engine_log_set(struct stream_engine *e, struct stream_log *log, struct journal *journal)
{
    e->options.log = log;
    e->options.journal = journal;
}

void stream_engine_free(struct stream_engine *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < e->rule_count; i++)
        rule_fini(&e->rules[i]);
    for (uint32_t i = 0; i < e->source_count; i++)
        source_fini(&e->sources[i]);
    for (uint32_t i = 0; i < e->publisher_count; i++)
        publisher_fini(&e->publishers[i]);
    free(e->rules);
    free(e->sources);
    for (uint32_t i = 0; i < e->importer_count; i++)
        importer_fini(&e->importers[i]);
    free(e->publishers);
    free(e->importers);
    arena_fini(&e->arena);
    pthread_mutex_destroy(&e->busy.lock);
    pthread_cond_destroy(&e->busy.idle);
    free(e);
}

/* ---------------------------------------------------------------------------------------- sources
 */

struct source_options {
    const char *name;
    int source;
    const char *topic;
    int format;
    const char *place;
    const struct tree *columns;
};

static const char *const source_choices[] = {"mqtt", NULL};
static const char *const format_choices[] = {"json", NULL};

static const struct option source_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct source_options, name),
     .doc = "what the stream is called"},
    {.name = "source",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = source_choices,
     .offset = offsetof(struct source_options, source),
     .doc = "where it comes from"},
    {.name = "topic",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct source_options, topic),
     .doc = "a topic filter: a/+/b, a/#"},
    {.name = "format",
     .type = OPTION_ENUM,
     .default_text = "json",
     .choices = format_choices,
     .offset = offsetof(struct source_options, format),
     .doc = "of the payload"},
    {.name = "place",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct source_options, place),
     .doc = "where its values are measured"},
    {.name = "columns",
     .type = OPTION_TREE,
     .offset = offsetof(struct source_options, columns),
     .doc = "name: type of each column; without it rules take what the messages have"},
    {.name = NULL},
};

static int source_schema(const struct tree *columns, struct schema **ret, struct diag *diag)
{
    *ret = NULL;
    if (!columns || columns->kind == TREE_NULL)
        return OK;
    if (columns->kind != TREE_MAP)
        return tree_error(diag, ERR_TYPE, columns, "columns is a map: {name: type}");
    struct field *fields = calloc(columns->count + 1u, sizeof *fields);
    uint32_t count = 0;
    int err = fields ? OK : ERR_NOMEM;
    TREE_EACH(c, columns)
    {
        if (err)
            break;
        fields[count] = (struct field){.name = c->key};
        if (!value_type_find(bytes_of_text(tree_text(c)), &fields[count].type) ||
            fields[count].type == VALUE_NULL) {
            err = tree_error(diag, ERR_INVALID, c,
                             "%s is no type: bool, int64, uint64, float, double, string, bytes, "
                             "timestamp and any are",
                             tree_text(c));
        }
        count++;
    }
    if (!err)
        err = schema_new(fields, count, ret);
    free(fields);
    return err;
}

static int source_configure(struct stream_engine *e, const struct config_object *object,
                            struct diag *diag)
{
    struct source_options o;
    struct schema *schema = NULL;
    struct stream *stream = NULL;
    int err = option_bind(source_table, object->spec, &e->arena, &o, diag);
    if (!err && !topic_is_filter(bytes_of_text(o.topic)))
        err = tree_error(diag, ERR_INVALID, tree_get(object->spec, "topic"),
                         "%s is no topic filter: + stands for a whole level, # for the last ones",
                         o.topic);
    if (!err)
        err = source_schema(o.columns, &schema, diag);
    if (!err)
        err = catalogue_stream_add(e->catalogue, o.name, STREAM_SOURCE, o.place, schema, &stream);
    schema_unref(schema);
    if (err == ERR_EXISTS)
        return tree_error(diag, err, object->spec, "there is a stream %s already", o.name);
    return err ? err
               : source_init(&e->sources[e->source_count++], e, o.topic, stream, engine_loop(e));
}

/* Other kinds of source belong to other stages. */
static bool is_ours(const struct config_object *object)
{
    const struct tree *source = tree_get(object->spec, "source");
    return !source || strcmp(tree_text(source), "mqtt") == 0;
}

static int sources_configure(struct stream_engine *e, const struct config *config,
                             struct diag *diag)
{
    size_t count = config_count(config, CONFIG_STREAM);
    int err = OK;
    e->sources = calloc(count + 1, sizeof *e->sources);
    if (!e->sources)
        return ERR_NOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        const struct config_object *object = config_object_at(config, CONFIG_STREAM, i);
        if (is_ours(object))
            err = source_configure(e, object, diag);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------ rules
 */

/* A diag of the statement, moved to where it stands in the file. */
static int sql_error(struct diag *diag, int err, const struct tree *sql)
{
    struct diag inner = *diag;
    if (!sql || !inner.text[0])
        return err;
    if (inner.line > 1)
        return tree_error(diag, err, sql, "line %u, column %u of the statement: %s", inner.line,
                          inner.column, inner.text);
    (void)tree_error(diag, err, sql, "%s", inner.text);
    if (inner.column)
        diag->column += inner.column - 1 + (sql->quoted ? 1 : 0);
    return err;
}

static int rule_configure(struct stream_engine *e, struct rule *r, const struct rule_options *o,
                          const struct config_object *object, struct diag *diag)
{
    struct plan *plan = NULL;
    struct stream *output = NULL;
    int err = plan_new(o->sql, e->catalogue, &plan, diag);
    if (err)
        return sql_error(diag, err, tree_get(object->spec, "sql"));
    err = rule_init(r, e, o, plan, engine_loop(e));
    if (err) {
        plan_free(plan);
        return err;
    }
    e->rule_count++;
    err = catalogue_stream_add(e->catalogue, o->name, STREAM_RULE, plan->from->place, plan->output,
                               &output);
    if (err == ERR_EXISTS)
        return tree_error(diag, err, object->spec, "there is a stream %s already", o->name);
    if (err)
        return err;
    rule_output_set(r, output);
    return rule_actions_bind(r, &e->arena, diag);
}

struct rules_pending {
    struct rule_options options;
    const struct config_object *object;
    bool done;
};

/* One pass over the rules that are left; those whose stream is not there yet wait for the next. */
static int rules_pass(struct stream_engine *e, struct rules_pending *list, size_t count, bool last,
                      size_t *ret_made, struct diag *diag)
{
    int err = OK;
    *ret_made = 0;
    for (size_t i = 0; i < count && !err; i++) {
        struct diag found = {0};
        if (list[i].done)
            continue;
        err = rule_configure(e, &e->rules[e->rule_count], &list[i].options, list[i].object, &found);
        if (err == ERR_NOT_FOUND && !last) {
            err = OK;
            continue;
        }
        if (err)
            *diag = found;
        list[i].done = true;
        ++*ret_made;
    }
    return err;
}

static int rules_configure(struct stream_engine *e, const struct config *config, struct diag *diag)
{
    size_t count = config_count(config, CONFIG_RULE);
    struct rules_pending *list = calloc(count + 1, sizeof *list);
    int err = list ? OK : ERR_NOMEM;
    e->rules = calloc(count + 1, sizeof *e->rules);
    if (!e->rules)
        err = ERR_NOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        list[i].object = config_object_at(config, CONFIG_RULE, i);
        err = rule_options_bind(list[i].object->spec, &e->arena, &list[i].options, diag);
    }
    size_t made = 1;
    while (!err && made)
        err = rules_pass(e, list, count, false, &made, diag);
    if (!err)
        err = rules_pass(e, list, count, true, &made, diag);
    free(list);
    return err;
}

/* ------------------------------------------------------------------------------------- publishers
 */

struct publish_options {
    int format;
};

static const char *const publish_choices[] = {"json", "none", NULL};

static const struct option publish_table[] = {
    {.name = "format",
     .type = OPTION_ENUM,
     .default_text = "json",
     .choices = publish_choices,
     .offset = offsetof(struct publish_options, format),
     .doc = "groups on place/device/group, one JSON message a row; or none"},
    {.name = NULL},
};

static int publishers_configure(struct stream_engine *e, const struct config *config,
                                struct diag *diag)
{
    const struct map *streams = &e->catalogue->streams;
    struct publish_options o;
    int err = option_bind(publish_table, config_section(config, "publish"), &e->arena, &o, diag);
    if (err || o.format == 1)
        return err;
    e->publishers = calloc(streams->count + 1, sizeof *e->publishers);
    if (!e->publishers)
        return ERR_NOMEM;
    for (size_t i = 0; i < streams->count && !err; i++) {
        struct stream *s = streams->entries[i].value;
        if (s->kind == STREAM_GROUP)
            err = publisher_init(&e->publishers[e->publisher_count++], e, s, engine_loop(e));
    }
    return err;
}

static int importers_configure(struct stream_engine *e)
{
    const struct map *streams = &e->catalogue->streams;
    int err = OK;
    e->importers = calloc(streams->count + 1, sizeof *e->importers);
    if (!e->importers)
        return ERR_NOMEM;
    for (size_t i = 0; i < streams->count && !err; i++) {
        struct stream *s = streams->entries[i].value;
        if (s->kind == STREAM_GROUP && s->outlet && s->schema && s->schema->count)
            err = importer_init(&e->importers[e->importer_count++], e, s);
    }
    return err;
}

int stream_engine_configure(struct stream_engine *e, const struct config *config,
                            struct catalogue *catalogue, struct diag *ret_diag)
{
    e->catalogue = catalogue;
    int err = sources_configure(e, config, ret_diag);
    if (!err)
        err = rules_configure(e, config, ret_diag);
    if (!err && config_has_module(config, MODULE_BROKER))
        err = publishers_configure(e, config, ret_diag);
    if (!err && config_has_module(config, MODULE_BROKER))
        err = importers_configure(e);
    return err ? err : engine_calls_add(e, catalogue);
}

void stream_engine_wire(struct stream_engine *e)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < e->rule_count; i++) {
            struct rule *r = &e->rules[i];
            struct stream *inputs[2] = {r->plan->from, r->plan->presence};
            for (int k = 0; k < 2 && r->output->durable; k++) {
                changed |= inputs[k] && !inputs[k]->durable;
                if (inputs[k])
                    inputs[k]->durable = true;
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------ start
 */

static void rule_stopped(struct rule *r)
{
    engine_busy_done(r->engine);
}

int stream_engine_start(struct stream_engine *e, struct diag *ret_diag)
{
    int err = OK;
    e->started = true;
    for (uint32_t i = 0; i < e->publisher_count && !err; i++) {
        err = publisher_open(&e->publishers[i]);
        if (e->publishers[i].opened)
            engine_busy_add(e);
    }
    for (uint32_t i = 0; i < e->source_count; i++)
        engine_busy_add(e);
    for (uint32_t i = 0; i < e->importer_count; i++)
        engine_busy_add(e);
    for (uint32_t i = 0; i < e->rule_count && !err; i++) {
        struct rule *r = &e->rules[i];
        r->on_stopped = rule_stopped;
        r->opened = true;
        engine_busy_add(e);
        err = rule_open(r);
    }
    if (!err && e->options.log)
        err = engine_replay(e);
    if (err)
        return diag_set(ret_diag, err, 0, 0, "the rules cannot start: %s", err_text(err));
    for (uint32_t i = 0; i < e->rule_count; i++)
        rule_go(&e->rules[i]);
    return OK;
}

void stream_engine_stop(struct stream_engine *e)
{
    if (!e->started || e->stopped)
        return;
    e->stopped = true;
    engine_busy_add(e);
    (void)exec_post(e->options.loops[0], &e->tails_task);
    for (uint32_t i = 0; i < e->source_count; i++)
        source_stop(&e->sources[i]);
    for (uint32_t i = 0; i < e->importer_count; i++)
        importer_stop(&e->importers[i]);
    for (uint32_t i = 0; i < e->publisher_count; i++)
        publisher_stop(&e->publishers[i]);
    for (uint32_t i = 0; i < e->rule_count; i++)
        if (e->rules[i].opened)
            rule_stop(&e->rules[i]);
    if (!engine_busy_wait(e, ENGINE_STOP_MS))
        log_error("stream", "rules did not end within %d ms", ENGINE_STOP_MS);
    for (uint32_t i = 0; i < e->rule_count; i++) {
        struct rule *r = &e->rules[i];
        if (r->closed && rule_is_durable(r) && e->options.journal)
            (void)rule_checkpoint_store(r, r->checkpoint);
    }
}

/* --------------------------------------------------------------------------------------- joining
 */

bool stream_engine_source(const struct stream_engine *e, uint32_t i, const char **ret_filter,
                          struct flow **ret_flow)
{
    if (i >= e->source_count)
        return false;
    *ret_filter = e->sources[i].filter;
    *ret_flow = e->sources[i].flow;
    return true;
}

bool stream_engine_import(const struct stream_engine *e, uint32_t i, const char **ret_topic,
                          struct flow **ret_flow)
{
    if (i >= e->importer_count)
        return false;
    *ret_topic = e->importers[i].filter;
    *ret_flow = e->importers[i].flow;
    return true;
}

struct outlet *stream_engine_publisher(const struct stream_engine *e, uint32_t i)
{
    if (i < e->publisher_count)
        return &e->publishers[i].out;
    i -= e->publisher_count;
    for (uint32_t r = 0; r < e->rule_count; r++) {
        for (uint32_t a = 0; a < e->rules[r].action_count; a++) {
            if (e->rules[r].actions[a].kind != ACTION_MQTT)
                continue;
            if (i-- == 0)
                return &e->rules[r].actions[a].out;
        }
    }
    return NULL;
}

struct stream *stream_engine_output(const struct stream_engine *e, uint32_t i,
                                    struct outlet **ret_producer)
{
    if (i < e->rule_count) {
        *ret_producer = &e->rules[i].out;
        return e->rules[i].output;
    }
    i -= e->rule_count;
    if (i >= e->source_count)
        return NULL;
    *ret_producer = &e->sources[i].out;
    return e->sources[i].stream;
}

static uint64_t count_of(const atomic_ullong *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void stream_engine_stats_get(const struct stream_engine *e, struct stream_engine_stats *ret)
{
    *ret = (struct stream_engine_stats){0};
    for (uint32_t i = 0; i < e->source_count; i++) {
        ret->messages += count_of(&e->sources[i].messages);
        ret->malformed += count_of(&e->sources[i].malformed);
    }
    for (uint32_t i = 0; i < e->importer_count; i++) {
        ret->imports += count_of(&e->importers[i].messages);
        ret->imports_refused += count_of(&e->importers[i].refused);
        ret->import_rows += count_of(&e->importers[i].rows);
    }
}

int stream_check(const char *sql, const struct catalogue *catalogue, struct diag *ret_diag)
{
    struct plan *plan = NULL;
    int err = plan_new(sql, catalogue, &plan, ret_diag);
    plan_free(plan);
    return err;
}
