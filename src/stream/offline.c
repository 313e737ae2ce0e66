/* Rules beside the engine. See offline.h.
 *
 * The engine's own configure compiles them, without loops, as `lotline check` does. Its rules stand
 * in the order in which they could be compiled, so one pass over them takes a batch through any
 * number of rules.
 */
#include "stream/offline.h"

#include "base/array.h"
#include "stream/engine_priv.h"

#include <stdlib.h>

struct offline_rule {
    struct pipeline *pipeline; /* NULL: takes no part */
    struct batch **out;        /* of the present push */
    uint32_t out_count;
    uint32_t out_cap;
    int err;
};

struct stream_offline {
    struct stream_engine *engine;
    struct offline_rule *rules;
    uint64_t seq;
};

int stream_offline_new(const struct config *config, struct catalogue *catalogue,
                       struct stream_offline **ret, struct diag *diag)
{
    const struct stream_engine_options options = {.loop_count = 0};
    struct stream_offline *o = calloc(1, sizeof *o);
    if (!o)
        return ERR_NOMEM;
    int err = stream_engine_new(&options, &o->engine);
    if (!err)
        err = stream_engine_configure(o->engine, config, catalogue, diag);
    if (!err) {
        o->rules = calloc(o->engine->rule_count + 1u, sizeof *o->rules);
        err = o->rules ? OK : ERR_NOMEM;
    }
    if (err) {
        stream_offline_free(o);
        return err;
    }
    *ret = o;
    return OK;
}

static void out_clear(struct offline_rule *r)
{
    for (uint32_t i = 0; i < r->out_count; i++)
        batch_unref(r->out[i]);
    r->out_count = 0;
}

void stream_offline_free(struct stream_offline *o)
{
    if (!o)
        return;
    for (uint32_t i = 0; o->rules && i < o->engine->rule_count; i++) {
        out_clear(&o->rules[i]);
        pipeline_free(o->rules[i].pipeline);
        free(o->rules[i].out);
    }
    stream_engine_free(o->engine);
    free(o->rules);
    free(o);
}

/* ------------------------------------------------------------------------------------------ rules
 */

bool stream_offline_rule(const struct stream_offline *o, uint32_t i,
                         struct stream_offline_rule *ret)
{
    if (i >= o->engine->rule_count)
        return false;
    const struct rule *r = &o->engine->rules[i];
    *ret = (struct stream_offline_rule){
        .name = r->options.name,
        .from = r->plan->from,
        .presence = r->plan->presence,
        .output = r->output,
        .actions = r->options.actions,
        .window_us = r->plan->window == WINDOW_TUMBLING ? r->plan->window_us : 0,
    };
    return true;
}

const struct lookup *stream_offline_lookup(const struct stream_offline *o, uint32_t i, uint32_t k)
{
    const struct plan *plan = o->engine->rules[i].plan;
    if (k < plan->rows.lookup_count)
        return plan->rows.lookups[k];
    k -= plan->rows.lookup_count;
    return k < plan->groups.lookup_count ? plan->groups.lookups[k] : NULL;
}

static void emit(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct offline_rule *r = ctx;
    (void)key;
    (void)resume;
    struct batch **out = array_room(r->out, r->out_count, &r->out_cap, 4, sizeof(struct batch *));
    if (!out) {
        r->err = ERR_NOMEM;
        batch_unref(b);
        return;
    }
    r->out = out;
    r->out[r->out_count++] = b;
}

int stream_offline_use(struct stream_offline *o, uint32_t i)
{
    const struct rule *r = &o->engine->rules[i];
    const struct pipeline_options options = rule_pipeline_options(r, emit, &o->rules[i]);
    return o->rules[i].pipeline ? OK : pipeline_new(&options, &o->rules[i].pipeline);
}

void stream_offline_stats_get(const struct stream_offline *o, uint32_t i,
                              struct stream_offline_stats *ret)
{
    const struct pipeline_stats *s = pipeline_stats(o->rules[i].pipeline);
    *ret = (struct stream_offline_stats){
        .in_rows = s->in_rows,
        .out_rows = s->out_rows,
        .error_rows = s->error_rows,
        .lost_rows = s->lost_rows,
        .last_error = s->last_error,
    };
}

/* ------------------------------------------------------------------------------------------- rows
 */

/* A batch that a rule reads FROM. The rows' own time is the clock. */
static int rule_signals(struct stream_offline *o, struct offline_rule *r, const struct batch *b)
{
    struct position at = {1, ++o->seq};
    int64_t wall_us = b->rows ? batch_times(b)[b->rows - 1] : 0;
    int err = pipeline_push(r->pipeline, b, at, wall_us, NULL);
    return err ? err : pipeline_flush(r->pipeline);
}

static int rule_presences(struct stream_offline *o, struct offline_rule *r, const struct batch *b)
{
    struct position at = {1, ++o->seq};
    int err = pipeline_presence(r->pipeline, b, at, false);
    return err ? err : pipeline_flush(r->pipeline);
}

/* What rule i makes of a batch of s, and of what the rules before it made of it. */
static int rule_turn(struct stream_offline *o, uint32_t i, const struct stream *s,
                     const struct batch *b)
{
    const struct rule *rule = &o->engine->rules[i];
    struct offline_rule *r = &o->rules[i];
    int err = OK;
    if (s && rule->plan->presence == s)
        err = rule_presences(o, r, b);
    if (!err && s && rule->plan->from == s)
        err = rule_signals(o, r, b);
    for (uint32_t k = 0; k < i; k++) {
        if (o->engine->rules[k].output != rule->plan->from)
            continue;
        for (uint32_t n = 0; !err && n < o->rules[k].out_count; n++)
            err = rule_signals(o, r, o->rules[k].out[n]);
    }
    return err ? err : r->err;
}

/* Gives away what the push made, also after an error. */
static int rows_give(struct stream_offline *o, int err, stream_offline_fn fn, void *ctx)
{
    for (uint32_t i = 0; i < o->engine->rule_count; i++) {
        struct offline_rule *r = &o->rules[i];
        for (uint32_t n = 0; !err && n < r->out_count; n++)
            err = fn(ctx, i, r->out[n]);
        out_clear(r);
    }
    return err;
}

int stream_offline_push(struct stream_offline *o, const struct stream *s, const struct batch *b,
                        stream_offline_fn fn, void *ctx)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < o->engine->rule_count; i++)
        if (o->rules[i].pipeline)
            err = rule_turn(o, i, s, b);
    return rows_give(o, err, fn, ctx);
}

int stream_offline_end(struct stream_offline *o, stream_offline_fn fn, void *ctx)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < o->engine->rule_count; i++) {
        struct pipeline *p = o->rules[i].pipeline;
        if (!p)
            continue;
        err = rule_turn(o, i, NULL, NULL);
        if (!err && o->engine->rules[i].plan->presence)
            err = pipeline_units_release(p, pipeline_units(p).seen);
        if (!err)
            err = pipeline_flush(p);
    }
    return rows_give(o, err, fn, ctx);
}
