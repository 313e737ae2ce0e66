/* The call node.replay. See replay.h. */
#include "app/replay.h"

#include "app/node_priv.h"
#include "app/replay_rules.h"
#include "base/clock.h"
#include "base/str.h"

#include <stdlib.h>

#define LEAD_DEFAULT_US (INT64_C(10) * 60 * 1000000)
#define LEAD_MAX_US     (INT64_C(24) * 3600 * 1000000)
#define SPARE_US        (INT64_C(300) * 1000) /* of the deadline, for the answer's way */

#define REPLAY_STACK_BYTES (1u << 20) /* configurations and statements are trees */

static const struct call_field replay_request[] = {
    {"from", VALUE_STRING, 0, true, "visits that end from this time on (RFC 3339)"},
    {"to", VALUE_STRING, 0, true, "visits that end before this time (RFC 3339)"},
    {"lead", VALUE_STRING, 0, false,
     "how long before and after it readings are taken too; default: 10m"},
    {"tracks", VALUE_STRING, 0, true,
     "tracks and rules in YAML, as in the configuration: those of the same name are replaced"},
    {"file", VALUE_STRING, 0, false, "what to call it in messages"},
    {0},
};

static const struct call_field replay_answer_fields[] = {
    {"from", VALUE_TIMESTAMP, 0, true, "visits that end from then on"},
    {"to", VALUE_TIMESTAMP, 0, true, "visits that end before then"},
    {"values", VALUE_INT64, 0, true, "readings of the tracks' signals in that time"},
    {"same", VALUE_INT64, 0, true, "visits that are the same"},
    {"moved", VALUE_INT64, 0, true, "visits with other times"},
    {"status", VALUE_INT64, 0, true, "visits with another status or probability"},
    {"unit", VALUE_INT64, 0, true, "visits of another unit"},
    {"new", VALUE_INT64, 0, true, "visits that there were not before"},
    {"gone", VALUE_INT64, 0, true, "visits that there are no longer"},
    {"truncated", VALUE_BOOL, 0, true, "there are more rows"},
    {"note", VALUE_STRING, 0, true, "what else there is to know, or nothing"},
    {"rows", VALUE_STRING, FIELD_JSON, true, "the visits that differ, in the order of time"},
    {"rules", VALUE_STRING, FIELD_JSON, true, "what became of each rule that changes"},
    {"results_truncated", VALUE_BOOL, 0, true, "there are more results"},
    {"results", VALUE_STRING, FIELD_JSON, true,
     "what the rules give otherwise than before, in the order of time"},
    {0},
};

static const struct call_spec replay_spec = {
    .name = "node.replay",
    .doc = "What a past period would have given with changed tracks and rules.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = replay_request,
    .answer = replay_answer_fields,
};

struct asking {
    struct node *node;
    struct call *call;
    struct replay_period period;
    struct config *over;   /* what was given */
    struct config *tracks; /* with the node's own */
    struct config *all_rules;
    struct replay_stop stop;
    struct replay_run *run;
    struct replay_rules *rules; /* NULL: none takes part */
    bool visits;                /* tracks are replayed */
    struct replay_list before;
    struct buf note;
    struct diag *diag;
};

static int asking_stop(void *ctx)
{
    const struct call *c = ctx;
    if (call_is_cancelled(c))
        return ERR_CANCELLED;
    return clock_mono_us() > call_deadline_us(c) - SPARE_US ? ERR_TIMEOUT : OK;
}

/* ---------------------------------------------------------------------------------------- request
 */

static int read_time(const struct asking *a, const char *name, int64_t *ret)
{
    struct value v = call_arg(a->call, name);
    if (v.type != VALUE_STRING || clock_parse(v.bytes, ret))
        return diag_set(a->diag, ERR_INVALID, 0, 0, "%s is a time such as 2026-11-22T08:30:00Z",
                        name);
    return OK;
}

static int read_period(struct asking *a)
{
    struct value lead = call_arg(a->call, "lead");
    struct replay_period *p = &a->period;
    p->lead_us = LEAD_DEFAULT_US;
    int err = read_time(a, "from", &p->from_us);
    if (!err)
        err = read_time(a, "to", &p->to_us);
    if (!err && lead.type == VALUE_STRING &&
        (str_to_duration_us(lead.bytes, &p->lead_us) || p->lead_us < 0 || p->lead_us > LEAD_MAX_US))
        err = diag_set(a->diag, ERR_INVALID, 0, 0, "lead is a time of at most 24h, such as 10m");
    if (!err && p->from_us >= p->to_us)
        err = diag_set(a->diag, ERR_RANGE, 0, 0, "from is not before to");
    return err;
}

/* A track that the node does not have is a new one, or a slip of the pen. */
static void note_new_tracks(struct asking *a)
{
    for (size_t i = 0; i < config_count(a->over, CONFIG_TRACK); i++) {
        const char *name = config_object_at(a->over, CONFIG_TRACK, i)->name;
        if (!config_object_find(a->node->config, CONFIG_TRACK, name)) {
            (void)buf_printf(&a->note,
                             "%strack %s is new: the node has none of that name, so all of its "
                             "visits are new",
                             a->note.len ? "; " : "", name);
        }
    }
}

static int read_tracks(struct asking *a)
{
    struct value text = call_arg(a->call, "tracks");
    struct value file = call_arg(a->call, "file");
    struct arena arena = {0};
    const char *name = file.type == VALUE_STRING ? arena_copy(&arena, file.bytes) : "tracks";
    int err = name ? config_parse(name, text.bytes, &a->over, a->diag) : ERR_NOMEM;
    arena_fini(&arena);
    if (err)
        return err;
    if (config_count(a->over, CONFIG_TRACK) == 0 && config_count(a->over, CONFIG_RULE) == 0)
        return diag_set(a->diag, ERR_INVALID, 0, 0,
                        "there are no tracks in it and no rules: give those that change, as in the "
                        "configuration: \"tracks: [{name: …}]\"");
    note_new_tracks(a);
    err = config_overlay(a->node->config, a->over, CONFIG_TRACK, &a->tracks, a->diag);
    return err ? err
               : config_overlay(a->node->config, a->over, CONFIG_RULE, &a->all_rules, a->diag);
}

/* ----------------------------------------------------------------------------------------- before
 */

/* track, station, unit, serial, status, evidence, t_in, t_out, probability, visit, revision,
 * retracted */
static int before_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct asking *a = ctx;
    struct arena arena = {0};
    const char *text[6] = {"", "", "", "", "", ""};
    int err = count == 12 ? OK : ERR_INTERNAL;
    for (int i = 0; !err && i < 6; i++) {
        text[i] = arena_copy(&arena, cells[i].bytes);
        err = text[i] ? OK : ERR_NOMEM;
    }
    const struct replay_presence p = {
        .track = text[0],
        .station = text[1],
        .unit = text[2],
        .serial = text[3],
        .status = text[4],
        .evidence = text[5],
        .t_in = cells[6].i64,
        .t_out = cells[7].i64,
        .probability = cells[8].type == VALUE_NULL ? 1 : cells[8].f64,
        .visit = cells[9].i64,
        .revision = cells[10].i64,
        .retracted = cells[11].boolean,
    };
    if (!err)
        err = replay_list_add(&a->before, &p);
    arena_fini(&arena);
    return err;
}

/* What is known now, all revisions: replay_list_settle takes of each visit the last one. */
static int before_read(void *ctx, struct duck_conn *conn)
{
    struct asking *a = ctx;
    struct duck_stmt *s = NULL;
    int err = duck_statement(
        conn,
        "WITH p AS (SELECT * FROM steps WHERE node = $1 AND t_out >= $2 AND t_in < $3 AND track <> "
        "''), u AS (SELECT unit, arg_max(serial, known_at) AS serial FROM units WHERE unit IN "
        "(SELECT unit FROM p) AND NOT retracted GROUP BY unit) SELECT p.track, p.station, p.unit, "
        "coalesce(u.serial, ''), p.status, p.evidence, p.t_in, p.t_out, p.probability, "
        "coalesce(p.visit, 0), p.revision, p.retracted FROM p LEFT JOIN u ON p.unit = u.unit ORDER "
        "BY p.track, p.station, p.t_in, p.unit, p.revision, p.known_at",
        &s, a->diag);
    if (!err)
        err = duck_bind_text(s, 1, a->node->catalogue.node);
    if (!err)
        err = duck_bind_time(s, 2, a->period.from_us - a->period.lead_us);
    if (!err)
        err = duck_bind_time(s, 3, a->period.to_us + a->period.lead_us);
    return err ? err : duck_run(s, before_row, a, a->diag);
}

/* ------------------------------------------------------------------------------------------ replay
 */

struct feeding {
    struct asking *asking;
    struct replay_reader reader;
};

/* The rules get the presences that came, then the rows up to there. */
static int feed_rules(struct asking *a, int64_t to_us)
{
    struct replay_batch *batches = NULL;
    uint32_t count = 0;
    int err = replay_run_batches(a->run, &batches, &count);
    if (!err)
        err = replay_rules_presences(a->rules, batches, count);
    for (uint32_t i = 0; i < count; i++)
        batch_unref(batches[i].batch);
    free(batches);
    return err ? err : replay_rules_until(a->rules, to_us, a->diag);
}

static int feed_take(void *ctx, struct replay_batch *batches, uint32_t count)
{
    struct feeding *f = ctx;
    int err = replay_run_feed(f->asking->run, batches, count, &f->asking->stop);
    return err || !f->asking->rules ? err : feed_rules(f->asking, f->reader.piece_to_us);
}

struct span {
    int64_t first_us;
    int64_t last_us;
};

static int span_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct span *span = ctx;
    if (count == 2 && cells[0].type == VALUE_TIMESTAMP) {
        span->first_us = cells[0].i64;
        span->last_us = cells[1].i64;
    }
    return OK;
}

/* Nothing was read: says what there is. */
struct nothing {
    struct asking *asking;
    const char *tags; /* their numbers */
    const char *what;
};

static int nothing_read(void *ctx, struct duck_conn *conn)
{
    const struct nothing *n = ctx;
    struct diag *diag = n->asking->diag;
    char first[CLOCK_TEXT_BYTES_MAX];
    char last[CLOCK_TEXT_BYTES_MAX];
    struct span span = {INT64_MAX, INT64_MIN};
    struct duck_stmt *s = NULL;
    int err = duck_statement(conn,
                             "SELECT min(ts), max(ts) FROM points WHERE quality = 0 AND tag IN "
                             "(SELECT unnest(string_split($1, ','))::UINTEGER)",
                             &s, diag);
    if (!err)
        err = duck_bind_text(s, 1, n->tags);
    if (!err)
        err = duck_run(s, span_row, &span, diag);
    if (err)
        return err;
    if (span.first_us > span.last_us)
        return diag_set(diag, ERR_NOT_FOUND, 0, 0, "no good value of %s is stored", n->what);
    (void)clock_format(span.first_us, first);
    (void)clock_format(span.last_us, last);
    return diag_set(
        diag, ERR_NOT_FOUND, 0, 0,
        "there are no values of %s in that time%s: those that are stored reach from %s to %s",
        n->what,
        n->asking->period.to_us <= span.first_us ? ", which is older than what is kept" : "", first,
        last);
}

static int replay_visits(struct asking *a, uint64_t *ret_values)
{
    struct feeding f = {.asking = a};
    struct replay_reader *r = &f.reader;
    *r = (struct replay_reader){
        .historian = a->node->historian,
        .node = a->node->catalogue.node,
        .named = a->over,
        .stop = &a->stop,
        .take = feed_take,
        .ctx = &f,
    };
    if (a->rules)
        replay_run_keep(a->run);
    int err = replay_reader_tags(r, replay_run_track(a->run), a->diag);
    if (!err)
        err = replay_run_start(a->run, a->diag);
    if (!err)
        err = replay_reader_run(r, &a->period, a->diag);
    struct nothing n = {a, buf_text(&r->tags.ids), "the tracks' signals"};
    if (!err && r->values == 0)
        err = replay_on_reader(r->historian, nothing_read, &n, a->diag);
    *ret_values = r->values;
    replay_reader_fini(r);
    return err;
}

static int replay_rest(struct asking *a)
{
    int err = replay_rules_end(a->rules, a->diag);
    struct nothing n = {a, replay_rules_tags(a->rules), "the streams that the rules read"};
    if (!err && !a->visits && n.tags[0] && replay_rules_rows(a->rules) == 0)
        err = replay_on_reader(a->node->historian, nothing_read, &n, a->diag);
    return err;
}

static int replay_tables(struct asking *a, uint64_t *ret_values)
{
    int err = OK;
    if (a->visits)
        err = replay_on_reader(a->node->historian, before_read, a, a->diag);
    if (!err && a->rules)
        err = replay_rules_open(a->rules, a->diag);
    if (!err && a->visits)
        err = replay_visits(a, ret_values);
    return !err && a->rules ? replay_rest(a) : err;
}

/* ------------------------------------------------------------------------------------------ answer
 */

static int put_answer(const struct asking *a, const struct replay_answer *answer,
                      const struct replay_rules_answer *rules, uint64_t values,
                      struct batch_builder *bb)
{
    uint32_t col = 0;
    if (batch_builder_row(bb, a->period.to_us) < 0)
        return ERR_NOMEM;
    batch_set_i64(bb, col++, a->period.from_us);
    batch_set_i64(bb, col++, a->period.to_us);
    batch_set_i64(bb, col++, (int64_t)values);
    for (int i = 0; i < REPLAY_CHANGE_COUNT; i++)
        batch_set_i64(bb, col++, (int64_t)answer->counts[i]);
    batch_set_bool(bb, col++, answer->truncated);
    int err = batch_set_bytes(bb, col++, buf_bytes(&a->note));
    if (!err)
        err = batch_set_bytes(bb, col++, buf_bytes(&answer->rows));
    if (!err)
        err = batch_set_bytes(bb, col++, buf_bytes(&rules->rules));
    batch_set_bool(bb, col++, rules->results.truncated);
    return err ? err : batch_set_bytes(bb, col, buf_bytes(&rules->results.rows));
}

/* The tracks, and the rules that change with them. */
static int rules_make(struct asking *a)
{
    const struct replay_rules_options options = {
        .config = a->all_rules,
        .over = a->over,
        .catalogue = &a->node->catalogue,
        .presences = a->run ? replay_run_catalogue(a->run) : NULL,
        .trace = a->node->trace,
        .historian = a->node->historian,
        .stop = &a->stop,
        .period = a->period,
    };
    int err = replay_rules_new(&options, &a->rules, a->diag);
    if (err && a->diag->text[0] && config_count(a->over, CONFIG_RULE) == 0) {
        /* A rule of the node does not go with the changed tracks: what these do is shown still. */
        (void)buf_printf(&a->note, "%sno rule is replayed: %s:%u:%u: %s", a->note.len ? "; " : "",
                         a->diag->file, a->diag->line, a->diag->column, a->diag->text);
        *a->diag = (struct diag){0};
        err = OK;
    }
    if (!err && a->rules && replay_rules_count(a->rules) == 0) {
        replay_rules_free(a->rules);
        a->rules = NULL;
    }
    return err;
}

static int parts_make(struct asking *a)
{
    int err = OK;
    if (config_count(a->tracks, CONFIG_TRACK))
        err = replay_run_new(a->tracks, &a->node->catalogue, &a->run, a->diag);
    if (!err)
        err = rules_make(a);
    a->visits = config_count(a->over, CONFIG_TRACK) || (a->rules && replay_rules_join(a->rules));
    return err;
}

/* The visits after, NULL: none were replayed. The rules want them with all their revisions. */
static int compare(struct asking *a, struct replay_list *after, struct replay_answer *answer,
                   struct replay_rules_answer *rules)
{
    struct replay_list none = {0};
    after = after ? after : &none;
    int err = replay_list_name(after);
    if (!err && a->rules)
        err = replay_rules_diff(a->rules, &a->before, after, rules);
    if (err)
        return err;
    replay_list_settle(&a->before);
    replay_list_settle(after);
    return replay_diff(&a->before, after, &a->period, answer);
}

static int answer_make(struct asking *a, struct batch_builder *bb)
{
    struct replay_answer answer = {.truncated = false};
    struct replay_rules_answer rules = {.results = {.truncated = false}};
    struct replay_list *after = NULL;
    uint64_t values = 0;
    int err = parts_make(a);
    if (!err)
        err = replay_tables(a, &values);
    if (!err && a->visits)
        err = replay_run_presences(a->run, &after);
    if (!err)
        err = compare(a, after, &answer, &rules);
    if (!err && !a->rules) {
        (void)buf_append_text(&rules.rules, "[]");
        (void)buf_append_text(&rules.results.rows, "[]");
    }
    if (!err)
        err = put_answer(a, &answer, &rules, values, bb);
    buf_fini(&answer.rows);
    buf_fini(&rules.rules);
    buf_fini(&rules.results.rows);
    return err;
}

static void asking_fini(struct asking *a)
{
    replay_rules_free(a->rules);
    replay_run_free(a->run);
    replay_list_fini(&a->before);
    config_free(a->tracks);
    config_free(a->all_rules);
    config_free(a->over);
    buf_fini(&a->note);
}

static void say_failure(struct call *c, int err, const struct diag *diag)
{
    if (diag->text[0] && diag->line)
        call_fail(c, err, "%s:%u:%u: %s", diag->file, diag->line, diag->column, diag->text);
    else if (diag->text[0])
        call_fail(c, err, "%s", diag->text);
    else if (err == ERR_TIMEOUT)
        call_fail(c, err, "the replay takes longer than the caller waits: ask for a shorter time");
    else if (err == ERR_LIMIT)
        call_fail(c, err, "there are more than %d visits in that time: ask for a shorter one",
                  REPLAY_PRESENCES_MAX);
    else
        call_fail(c, err, "the replay failed: %s", err_text(err));
}

static void replay_serve(void *owner, struct call *c)
{
    struct diag diag = {0};
    struct asking a = {.node = owner, .call = c, .stop = {asking_stop, c}, .diag = &diag};
    struct batch_builder *bb = NULL;
    int err = asking_stop(c);
    if (!err)
        err = read_period(&a);
    if (!err)
        err = read_tracks(&a);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = answer_make(&a, bb);
    asking_fini(&a);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    say_failure(c, err, &diag);
}

int node_replay_add(struct node *n)
{
    if (!n->historian || !n->trace)
        return OK;
    int err = exec_thread_new("replay", REPLAY_STACK_BYTES, &n->replayer);
    return err ? err
               : catalogue_call_add(&n->catalogue, &replay_spec, n->replayer, replay_serve, n);
}
