/* Changed rules over a past period. See replay_rules.h.
 *
 * The rules have a catalogue of their own: the node's streams, the replay's presences, and lookups
 * that are copies, so that a table that comes meanwhile changes nothing. Which of them take part:
 * those of the file, those that join units of its tracks, whoever reads one of these (their results
 * are compared), and what these read (they are not).
 */
#include "app/replay_rules.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "model/lookup.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Actions that a replay does not carry out. */
static const char *const actions_left[] = {"alarm", "mqtt", "write", "http"};

#define ACTIONS_LEFT (sizeof actions_left / sizeof actions_left[0])

struct chosen {
    struct stream_offline_rule rule;
    bool target; /* is compared */
    bool used;
    bool is_new;
    bool traced;
    bool stored;
    bool left[ACTIONS_LEFT];
    const char *why; /* why not, NULL: it was replayed */
    int64_t back_us; /* how long before a row what it is made of may lie: windows */
    uint64_t rows;   /* within the period */
    uint64_t counts[REPLAY_FACT_CHANGES];
};

/* A copy of a lookup's table. */
struct snapshot {
    struct snapshot *next;
    struct lookup *lookup;
    const char *why; /* it cannot say what held then; NULL: it can */
};

struct replay_rules {
    struct replay_rules_options options;
    struct catalogue catalogue;
    struct arena arena;
    struct snapshot *snapshots;
    struct stream_offline *offline;
    struct trace_results *results;
    struct chosen *rules;
    uint32_t count;
    struct buf stored_names;  /* rules with a historian action, a line each */
    struct buf results_names; /* with a trace action */
    struct replay_rows rows;
    struct replay_facts before;
    struct replay_facts after;
    struct diag *diag;
};

static int limit_said(const struct replay_rules *r, int err)
{
    if (err != ERR_LIMIT || !r->diag)
        return err;
    return diag_set(r->diag, err, 0, 0,
                    "the rules have more than %d results in that time: ask for a shorter one",
                    REPLAY_FACTS_MAX);
}

__attribute__((format(printf, 2, 3))) static const char *why_text(struct replay_rules *r,
                                                                  const char *format, ...)
{
    char text[DIAG_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *copy = arena_text(&r->arena, text);
    return copy ? copy : "out of memory";
}

/* ---------------------------------------------------------------------------------------- lookups
 */

/* When the first of its rows began to hold; INT64_MIN: one always did. */
static int64_t table_since(const struct lookup *l, const struct batch *rows)
{
    int64_t since = INT64_MAX;
    struct column c = batch_column(rows, (uint32_t)l->from);
    for (uint32_t i = 0; i < rows->rows; i++) {
        int64_t from = column_is_null(&c, i) ? INT64_MIN : ((const int64_t *)c.data)[i];
        since = from < since ? from : since;
    }
    return since;
}

/* Why a lookup does not say what held in the period; NULL if it does. */
static const char *lookup_why(struct replay_rules *r, const struct lookup *l,
                              const struct batch *rows)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    if (l->from < 0) {
        return why_text(r,
                        "the lookup %s does not say since when its rows hold (it has no `from`), "
                        "so what it was then is not known",
                        l->name);
    }
    if (!rows || rows->rows == 0)
        return why_text(r, "the lookup %s has no rows", l->name);
    int64_t since = table_since(l, rows);
    if (since <= r->options.period.from_us)
        return NULL;
    (void)clock_format(since, text);
    return why_text(r, "the rows of the lookup %s begin at %s, later than the period", l->name,
                    text);
}

static int lookup_copy(struct replay_rules *r, struct lookup *live, struct stream *to)
{
    struct snapshot *s = arena_alloc(&r->arena, sizeof *s);
    struct lookup_options options = {.name = live->name,
                                     .schema = live->schema,
                                     .key_count = live->key_count,
                                     .from = live->from,
                                     .to = live->to,
                                     .rows_max = live->rows_max};
    memcpy(options.keys, live->keys, sizeof options.keys);
    if (!s)
        return ERR_NOMEM;
    *s = (struct snapshot){.next = r->snapshots};
    int err = lookup_new(&options, &s->lookup);
    if (err)
        return err;
    r->snapshots = s;
    struct lookup_reader reader;
    lookup_reader_open(&reader, live);
    lookup_reader_refresh(&reader);
    const struct batch *rows = reader.table ? lookup_rows(reader.table) : NULL;
    if (rows)
        err = lookup_publish(s->lookup, rows);
    s->why = lookup_why(r, live, rows);
    lookup_reader_close(&reader);
    to->lookup = s->lookup;
    return err;
}

/* -------------------------------------------------------------------------------------- catalogue
 */

static int stream_copy(struct replay_rules *r, const struct stream *s)
{
    struct stream *copy = NULL;
    int err = catalogue_stream_add(&r->catalogue, s->name, s->kind, s->place, s->schema, &copy);
    if (err)
        return err;
    copy->signals = s->signals;
    copy->signal_count = s->signal_count;
    return s->lookup ? lookup_copy(r, s->lookup, copy) : OK;
}

static int streams_copy(struct replay_rules *r)
{
    const struct map *live = &r->options.catalogue->streams;
    int err = catalogue_init(&r->catalogue, r->options.catalogue->node);
    for (size_t i = 0; !err && i < live->count; i++) {
        const struct stream *s = live->entries[i].value;
        if (s->kind != STREAM_PRESENCE && s->kind != STREAM_RULE)
            err = stream_copy(r, s);
    }
    const struct map *tracks = r->options.presences ? &r->options.presences->streams : NULL;
    for (size_t i = 0; !err && tracks && i < tracks->count; i++) {
        const struct stream *s = tracks->entries[i].value;
        if (s->kind == STREAM_PRESENCE)
            err = stream_copy(r, s);
    }
    return err;
}

/* ----------------------------------------------------------------------------------------- choice
 */

static void actions_read(struct chosen *c)
{
    TREE_EACH(item, c->rule.actions)
    TREE_EACH(action, item)
    {
        c->traced = c->traced || strcmp(action->key, "trace") == 0;
        c->stored = c->stored || strcmp(action->key, "historian") == 0;
        for (size_t i = 0; i < ACTIONS_LEFT; i++)
            c->left[i] = c->left[i] || strcmp(action->key, actions_left[i]) == 0;
    }
}

static bool is_changed(const struct replay_rules *r, const struct chosen *c)
{
    const struct stream *inputs[] = {c->rule.from, c->rule.presence};
    if (config_object_find(r->options.over, CONFIG_RULE, c->rule.name))
        return true;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        if (inputs[i] && inputs[i]->kind == STREAM_PRESENCE &&
            config_object_find(r->options.over, CONFIG_TRACK,
                               inputs[i]->name + strlen(STREAM_PRESENCE_PREFIX)))
            return true;
    }
    return false;
}

static int rules_choose(struct replay_rules *r)
{
    struct stream_offline_rule rule;
    while (stream_offline_rule(r->offline, r->count, &rule))
        r->count++;
    r->rules = arena_array(&r->arena, r->count + 1u, sizeof *r->rules);
    if (!r->rules)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->count; i++) {
        struct chosen *c = &r->rules[i];
        *c = (struct chosen){.why = NULL};
        (void)stream_offline_rule(r->offline, i, &c->rule);
        actions_read(c);
        c->is_new = !catalogue_stream_find(r->options.catalogue, bytes_of_text(c->rule.name));
        c->target = is_changed(r, c);
        c->back_us = c->rule.window_us;
        for (uint32_t k = 0; k < i; k++) {
            const struct chosen *before = &r->rules[k];
            if (before->rule.output != c->rule.from)
                continue;
            c->target = c->target || before->target;
            c->back_us += before->back_us;
        }
    }
    for (uint32_t i = r->count; i-- > 0;) {
        struct chosen *c = &r->rules[i];
        c->used = c->used || c->target;
        for (uint32_t k = 0; c->used && k < i; k++)
            r->rules[k].used = r->rules[k].used || r->rules[k].rule.output == c->rule.from;
    }
    return OK;
}

uint32_t replay_rules_count(const struct replay_rules *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->count; i++)
        count += r->rules[i].used;
    return count;
}

bool replay_rules_join(const struct replay_rules *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct chosen *c = &r->rules[i];
        if (c->used && (c->rule.presence || c->rule.from->kind == STREAM_PRESENCE))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------- life
 */

static int rows_take(void *ctx, const struct stream *s, const struct batch *b);

int replay_rules_new(const struct replay_rules_options *options, struct replay_rules **ret,
                     struct diag *diag)
{
    struct replay_rules *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->options = *options;
    r->diag = diag;
    r->rows = (struct replay_rows){.historian = options->historian,
                                   .node = options->catalogue->node,
                                   .stop = options->stop,
                                   .take = rows_take,
                                   .ctx = r};
    int err = streams_copy(r);
    if (!err)
        err = stream_offline_new(options->config, &r->catalogue, &r->offline, diag);
    if (!err)
        err = trace_results_new(options->trace, options->config, &r->catalogue, &r->results, diag);
    if (!err)
        err = rules_choose(r);
    if (err) {
        replay_rules_free(r);
        return err;
    }
    *ret = r;
    return OK;
}

void replay_rules_free(struct replay_rules *r)
{
    if (!r)
        return;
    stream_offline_free(r->offline);
    trace_results_free(r->results);
    replay_rows_fini(&r->rows);
    replay_facts_fini(&r->before);
    replay_facts_fini(&r->after);
    catalogue_fini(&r->catalogue);
    for (struct snapshot *s = r->snapshots; s; s = s->next)
        lookup_free(s->lookup);
    buf_fini(&r->stored_names);
    buf_fini(&r->results_names);
    arena_fini(&r->arena);
    free(r);
}

/* ------------------------------------------------------------------------------------------ before
 */

/* stream, tag, type, flags, time, i, u, d, b */
static int value_row(void *ctx, const struct value *c, uint32_t count)
{
    struct replay_rules *r = ctx;
    enum value_type type = VALUE_NULL;
    struct value v;
    if (count != 9 || !value_type_find(c[2].bytes, &type))
        return ERR_INTERNAL;
    if (type == VALUE_NULL || type == VALUE_ANY || !replay_value_of(&c[5], type, &v))
        return OK;
    const struct replay_fact like = {.rule = replay_facts_text(&r->before, c[0].bytes),
                                     .name = replay_facts_text(&r->before, c[1].bytes),
                                     .at = c[4].i64};
    return replay_facts_value(&r->before, &like, &v, (c[3].u64 & FIELD_TEXT) != 0);
}

static const char sql_values[] =
    "SELECT t.stream, t.tag, t.type, t.flags, p.ts - to_microseconds(p.lag_us) AS t, p.i, p.u, "
    "p.d, p.b FROM points p JOIN tags t ON p.tag = t.id WHERE t.node = $1 AND p.ts >= $2 AND p.ts "
    "< $3 AND p.quality = 0 AND list_contains(string_split($4, chr(10)), t.stream) ORDER BY t, "
    "t.stream, t.tag, p.rowid";

static int before_result(void *ctx, const struct trace_result *result)
{
    struct replay_rules *r = ctx;
    return replay_facts_result(&r->before, result);
}

static int before_read(void *ctx, struct duck_conn *conn)
{
    struct replay_rules *r = ctx;
    const struct replay_period *p = &r->options.period;
    const struct trace_results_asked asked = {
        .node = r->catalogue.node,
        .rules = buf_text(&r->results_names),
        .from_us = p->from_us - p->lead_us,
        .to_us = p->to_us + p->lead_us,
    };
    struct duck_stmt *s = NULL;
    int err = trace_results_stored(conn, &asked, before_result, r, r->diag);
    if (err || !r->stored_names.len)
        return err;
    err = duck_statement(conn, sql_values, &s, r->diag);
    if (!err)
        err = duck_bind_text(s, 1, asked.node);
    if (!err)
        err = duck_bind_time(s, 2, asked.from_us);
    if (!err)
        err = duck_bind_time(s, 3, asked.to_us);
    if (!err)
        err = duck_bind_text(s, 4, buf_text(&r->stored_names));
    return err ? err : duck_run(s, value_row, r, r->diag);
}

/* ------------------------------------------------------------------------------------------- open
 */

static const char *lookups_why(const struct replay_rules *r, uint32_t i)
{
    const struct lookup *l;
    for (uint32_t k = 0; (l = stream_offline_lookup(r->offline, i, k)) != NULL; k++)
        for (const struct snapshot *s = r->snapshots; s; s = s->next)
            if (s->lookup == l && s->why)
                return s->why;
    return NULL;
}

/* A rule that another one reads was not replayed: nor can that be. */
static const char *upstream_why(struct replay_rules *r, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (r->rules[k].rule.output == r->rules[i].rule.from && r->rules[k].why)
            return why_text(r, "the rule %s, which it reads, could not be replayed: %s",
                            r->rules[k].rule.name, r->rules[k].why);
    return NULL;
}

static void whys_find(struct replay_rules *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct chosen *c = &r->rules[i];
        if (!c->used || c->why)
            continue;
        c->why = lookups_why(r, i);
        if (!c->why && c->rule.from->kind == STREAM_REMOTE)
            c->why = why_text(r, "%s is of another node: only the node's own streams are replayed",
                              c->rule.from->name);
        if (!c->why)
            c->why = replay_rows_why(&r->rows, c->rule.from);
        if (!c->why)
            c->why = upstream_why(r, i);
    }
}

static int rules_use(struct replay_rules *r)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < r->count; i++) {
        const struct chosen *c = &r->rules[i];
        if (!c->used || c->why)
            continue;
        err = stream_offline_use(r->offline, i);
        if (c->target && c->traced)
            (void)buf_printf(&r->results_names, "%s\n", c->rule.name);
        if (c->target && c->stored)
            (void)buf_printf(&r->stored_names, "%s\n", c->rule.name);
    }
    if (!err)
        err = buf_error(&r->results_names);
    return err ? err : buf_error(&r->stored_names);
}

static bool is_read_from_store(const struct stream *s)
{
    return s->kind == STREAM_GROUP || s->kind == STREAM_SOURCE;
}

int replay_rules_open(struct replay_rules *r, struct diag *diag)
{
    const struct replay_period *p = &r->options.period;
    int64_t lead_us = p->lead_us;
    int err = OK;
    r->diag = diag;
    for (uint32_t i = 0; !err && i < r->count; i++) {
        const struct chosen *c = &r->rules[i];
        if (!c->used)
            continue;
        lead_us = lead_us < c->back_us ? c->back_us : lead_us;
        if (is_read_from_store(c->rule.from))
            err = replay_rows_add(&r->rows, c->rule.from);
    }
    if (!err)
        err = replay_rows_open(&r->rows, p->from_us - lead_us, p->to_us + p->lead_us, diag);
    if (!err) {
        whys_find(r);
        err = rules_use(r);
    }
    if (!err)
        err = replay_on_reader(r->options.historian, before_read, r, diag);
    return limit_said(r, err);
}

/* -------------------------------------------------------------------------------------------- rows
 */

static int after_result(void *ctx, const struct trace_result *result)
{
    struct replay_rules *r = ctx;
    const struct replay_period *p = &r->options.period;
    if (result->at < p->from_us - p->lead_us || result->at >= p->to_us + p->lead_us)
        return OK;
    return replay_facts_result(&r->after, result);
}

static int values_add(struct replay_rules *r, const struct chosen *c, const struct batch *b,
                      uint32_t row)
{
    const struct replay_period *p = &r->options.period;
    struct replay_fact like = {.rule = replay_facts_text(&r->after, bytes_of_text(c->rule.name)),
                               .at = batch_times(b)[row]};
    int err = OK;
    if (like.at < p->from_us - p->lead_us || like.at >= p->to_us + p->lead_us)
        return OK;
    for (uint32_t i = 0; !err && i < b->schema->count; i++) {
        struct column column = batch_column(b, i);
        struct value v = column_value(&column, row);
        if (v.type == VALUE_NULL || column_quality(&column, row) != QUALITY_GOOD)
            continue;
        like.name = replay_facts_text(&r->after, bytes_of_text(column.field->name));
        err = replay_facts_value(&r->after, &like, &v, (column.field->flags & FIELD_TEXT) != 0);
    }
    return err;
}

/* What a rule gave. */
static int rule_rows(void *ctx, uint32_t rule, const struct batch *b)
{
    struct replay_rules *r = ctx;
    const struct replay_period *p = &r->options.period;
    struct chosen *c = &r->rules[rule];
    const int64_t *times = batch_times(b);
    int err = OK;
    for (uint32_t i = 0; i < b->rows; i++)
        c->rows += times[i] >= p->from_us && times[i] < p->to_us;
    if (c->target && c->traced)
        err = trace_results_tell(r->results, c->rule.name, b, after_result, r);
    for (uint32_t i = 0; !err && c->target && c->stored && i < b->rows; i++)
        err = values_add(r, c, b, i);
    return err;
}

static int rows_take(void *ctx, const struct stream *s, const struct batch *b)
{
    struct replay_rules *r = ctx;
    return stream_offline_push(r->offline, s, b, rule_rows, r);
}

int replay_rules_presences(struct replay_rules *r, const struct replay_batch *batches,
                           uint32_t count)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        const struct stream *s =
            catalogue_stream_find(&r->catalogue, bytes_of_text(batches[i].stream));
        if (s)
            err = rows_take(r, s, batches[i].batch);
    }
    return limit_said(r, err);
}

int replay_rules_until(struct replay_rules *r, int64_t to_us, struct diag *diag)
{
    return limit_said(r, replay_rows_until(&r->rows, to_us, diag));
}

int replay_rules_end(struct replay_rules *r, struct diag *diag)
{
    int err = replay_rules_until(r, r->options.period.to_us + r->options.period.lead_us, diag);
    if (!err)
        err = stream_offline_end(r->offline, rule_rows, r);
    whys_find(r);
    return limit_said(r, err);
}

uint64_t replay_rules_rows(const struct replay_rules *r)
{
    return r->rows.rows;
}

const char *replay_rules_tags(struct replay_rules *r)
{
    return buf_text(&r->rows.tags.ids);
}

/* ------------------------------------------------------------------------------------------- diff
 */

static struct chosen *rule_of(struct replay_rules *r, const char *name)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (strcmp(r->rules[i].rule.name, name) == 0)
            return &r->rules[i];
    return NULL;
}

static void change_count(void *ctx, const char *rule, enum replay_fact_change change)
{
    struct chosen *c = rule_of(ctx, rule);
    if (c)
        c->counts[change]++;
}

/* What was found only by reading: the results of those rules are not to be compared. */
static void facts_drop(struct replay_rules *r, struct replay_facts *l)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct chosen *c = rule_of(r, l->items[i].rule);
        if (c && !c->why)
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    (void)buf_printf(out, "\"%s\":", name);
    (void)str_print_json(bytes_of_text(text), out);
}

static void put_rule(struct replay_rules *r, uint32_t i, struct buf *out)
{
    const struct chosen *c = &r->rules[i];
    struct stream_offline_stats stats = {.last_error = ""};
    const char *separator = "";
    if (!c->why)
        stream_offline_stats_get(r->offline, i, &stats);
    (void)buf_append_text(out, out->len > 1 ? ",{" : "{");
    put_text(out, "rule", c->rule.name);
    (void)buf_printf(out, ",\"new\":%s,\"replayed\":%s,", c->is_new ? "true" : "false",
                     c->why ? "false" : "true");
    put_text(out, "why", c->why ? c->why : "");
    (void)buf_printf(out, ",\"rows\":%" PRIu64, c->why ? 0 : c->rows);
    for (int k = 0; k < REPLAY_FACT_CHANGES; k++)
        (void)buf_printf(out, ",\"%s\":%" PRIu64, replay_fact_changes[k], c->counts[k]);
    (void)buf_printf(out, ",\"errors\":%" PRIu64 ",", stats.error_rows + stats.lost_rows);
    put_text(out, "error", stats.last_error);
    (void)buf_append_text(out, ",\"left_out\":{");
    for (size_t k = 0; k < ACTIONS_LEFT; k++) {
        if (!c->left[k])
            continue;
        (void)buf_printf(out, "%s\"%s\":%" PRIu64, separator, actions_left[k], c->rows);
        separator = ",";
    }
    (void)buf_append_text(out, "}}");
}

int replay_rules_diff(struct replay_rules *r, struct replay_list *before, struct replay_list *after,
                      struct replay_rules_answer *ret)
{
    facts_drop(r, &r->before);
    facts_drop(r, &r->after);
    int err = replay_facts_name(&r->before, before);
    if (!err)
        err = replay_facts_name(&r->after, after);
    if (err)
        return err;
    replay_facts_settle(&r->before);
    replay_facts_settle(&r->after);
    err = replay_facts_diff(&r->before, &r->after, &r->options.period, change_count, r,
                            &ret->results);
    (void)buf_append_u8(&ret->rules, '[');
    for (uint32_t i = 0; i < r->count; i++)
        if (r->rules[i].target)
            put_rule(r, i, &ret->rules);
    (void)buf_append_u8(&ret->rules, ']');
    return err ? err : buf_error(&ret->rules);
}
