/* The clocks of a track as configured. See clocks.h. */
#include "base/str.h"
#include "model/clocks.h"
#include "track/clocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define RATE_MAX 200e-6 /* of the cheapest quartz */

static const char *const match_choices[] = {"edge", "value", NULL};

const struct option clock_option_table[] = {
    {.name = "of",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct clock_options, of),
     .doc = "the device, or the stream, whose clock may be wrong"},
    {.name = "signal",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct clock_options, signal),
     .doc = "a tag of it that shows an event"},
    {.name = "with",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct clock_options, with),
     .doc = "the tag of a device with the right time that shows the same event"},
    {.name = "match",
     .type = OPTION_ENUM,
     .default_text = "edge",
     .choices = match_choices,
     .offset = offsetof(struct clock_options, match),
     .doc = "what an event is: edge: the signal rises; value: both show the same new text or "
            "number, as a code or a counter, which says more"},
    {.name = "delay",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct clock_options, delay_us),
     .doc = "how much later than `with` the signal shows it"},
    {.name = "offset_max",
     .type = OPTION_DURATION,
     .default_text = "10s",
     .min = 1,
     .offset = offsetof(struct clock_options, offset_max_us),
     .doc = "the clock is never farther off; 3h where it may be local time"},
    {.name = "tolerance",
     .type = OPTION_DURATION,
     .default_text = "200ms",
     .min = 1,
     .offset = offsetof(struct clock_options, tolerance_us),
     .doc =
         "how much an event's two times may be wrong by: at least the time between two readings"},
    {.name = "wait",
     .type = OPTION_DURATION,
     .default_text = "1m",
     .min = 1,
     .offset = offsetof(struct clock_options, wait_us),
     .doc = "how long readings of that clock wait for the next event: longer than there is mostly "
            "between two; for edges, than between four"},
    {.name = NULL},
};

/* ----------------------------------------------------------------------------------------- signals
 */

static bool covered(const struct track *t, struct bytes stream)
{
    for (uint32_t i = 0; i < t->clock_count; i++)
        if (clock_covers(t->clocks[i].options.of, stream))
            return true;
    return false;
}

static int signal_find(struct clock_signal *s, const struct tree *tree, const char *text,
                       struct catalogue *catalogue, struct diag *diag)
{
    struct track_input in = {0};
    int err = track_input_find(&in, tree, text, catalogue, NULL, diag);
    s->stream = in.stream;
    s->column = in.column;
    return err;
}

/* That the two signals are on the two sides, and that no stream has two clocks. */
static int clock_check(const struct track *t, const struct tree *spec, const struct track_clock *c,
                       struct diag *diag)
{
    const char *of = c->options.of;
    for (const struct track_clock *o = t->clocks; o < c; o++) {
        if (clock_covers(o->options.of, bytes_of_text(of)) ||
            clock_covers(of, bytes_of_text(o->options.of))) {
            return tree_error(diag, ERR_EXISTS, tree_or(spec, "of"),
                              "%s has a clock already: that of %s", of, o->options.of);
        }
    }
    if (!clock_covers(of, bytes_of_text(c->signals[SKEW_OWN].stream)))
        return tree_error(diag, ERR_INVALID, tree_or(spec, "signal"),
                          "%s is not of %s: its times are not of the clock that is asked for",
                          c->options.signal, of);
    return OK;
}

static int clock_bind(struct track *t, const struct tree *spec, struct arena *arena,
                      struct catalogue *catalogue, struct diag *diag)
{
    struct track_clock *c = &t->clocks[t->clock_count++];
    struct clock_options *o = &c->options;
    int err = option_bind(clock_option_table, spec, arena, o, diag);
    if (!err)
        err =
            signal_find(&c->signals[SKEW_OWN], tree_or(spec, "signal"), o->signal, catalogue, diag);
    if (!err)
        err = signal_find(&c->signals[SKEW_REFERENCE], tree_or(spec, "with"), o->with, catalogue,
                          diag);
    if (!err)
        err = clock_check(t, spec, c, diag);
    return err;
}

int clocks_configure(struct track *t, const struct tree *spec, struct arena *arena,
                     struct catalogue *catalogue, struct diag *diag)
{
    const struct tree *list = tree_get(spec, "clocks");
    int err = OK;
    if (!list || list->kind == TREE_NULL)
        return OK;
    if (list->kind != TREE_LIST || list->count > CLOCKS_MAX) {
        return tree_error(diag, ERR_TYPE, list,
                          "clocks is a list of at most %d: - {of: plc2, signal: plc2.line.ready, "
                          "with: plc1.line.ready}",
                          CLOCKS_MAX);
    }
    t->clocks = calloc(list->count + 1u, sizeof *t->clocks);
    if (!t->clocks)
        return ERR_NOMEM;
    TREE_EACH(item, list)
    {
        if (!err)
            err = clock_bind(t, item, arena, catalogue, diag);
    }
    uint32_t i = 0;
    TREE_EACH(item, list)
    {
        if (err)
            return err;
        const struct track_clock *c = &t->clocks[i++];
        if (covered(t, bytes_of_text(c->signals[SKEW_REFERENCE].stream))) {
            return tree_error(diag, ERR_INVALID, tree_or(item, "with"),
                              "the clock of %s may be wrong as well: compare with a device that "
                              "has the right time",
                              c->options.with);
        }
    }
    return OK;
}

static void clock_options_give(struct track_clock *c)
{
    c->skew.options = (struct skew_options){
        .delay_us = c->options.delay_us,
        .offset_max_us = c->options.offset_max_us,
        .tolerance_us = c->options.tolerance_us,
        .rate_max = RATE_MAX,
        .by_value = c->options.match == 1,
    };
}

int clocks_sources(struct track *t, const struct tree *spec)
{
    struct buf text = {0};
    int64_t wait_us = 0;
    if (!t->clock_count)
        return OK;
    int err = tree_print_json(tree_get(spec, "clocks"), &text);
    if (!err)
        t->config_hash = XXH3_64bits_withSeed(text.ptr, text.len, t->config_hash);
    buf_fini(&text);
    for (uint32_t i = 0; i < t->clock_count && !err; i++) {
        struct track_clock *c = &t->clocks[i];
        clock_options_give(c);
        c->alone = true;
        wait_us = c->options.wait_us > wait_us ? c->options.wait_us : wait_us;
        c->passed_us = calloc(t->source_count + 1u, sizeof *c->passed_us);
        err = c->passed_us ? OK : ERR_NOMEM;
        for (uint32_t k = 0; k < t->source_count; k++) {
            if (!clock_covers(c->options.of, bytes_of_text(t->sources[k].stream)))
                continue;
            t->sources[k].clock = c;
            c->alone = false;
        }
    }
    t->grace_us += wait_us;
    return err;
}

void clocks_fini(struct track *t)
{
    for (uint32_t i = 0; i < t->clock_count; i++) {
        struct track_clock *c = &t->clocks[i];
        for (int side = 0; side < 2; side++) {
            free(c->signals[side].stream);
            free(c->signals[side].column);
        }
        free(c->passed_us);
        free(c->held);
    }
    free(t->clocks);
}
