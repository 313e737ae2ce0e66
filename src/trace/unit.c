/* The call trace.unit: everything about one unit. See trace.h; how it is found is in story.h. */
#include "base/clock.h"
#include "base/str.h"
#include "trace/story.h"

#include <string.h>

#define ANSWER_SPARE_US ((int64_t)300 * 1000)
#define UNIT_DEPTH      2
#define UNIT_VISITS_MAX 100 /* whose curves are drawn */

static const struct call_field unit_request[] = {
    {"serial", VALUE_STRING, 0, true, "serial number, the unit's id, or a lot"},
    {"as_of", VALUE_STRING, 0, false, "as known at this time (RFC 3339); default: now"},
    {"at", VALUE_STRING, 0, false, TRACE_AT_DOC},
    {"depth", VALUE_INT64, 0, false, "steps through the genealogy, 0 to 32; default 2"},
    {"curves", VALUE_BOOL, 0, false, "with the curves; default true"},
    {0},
};

static const struct call_field unit_answer[] = {
    {"unit", VALUE_STRING, 0, true, "id of the unit, as of its latest visit"},
    {"serial", VALUE_STRING, 0, true, "its serial number"},
    {"verdict", VALUE_STRING, 0, true, "pass, fail, rework, scrap or unknown"},
    {"serials", VALUE_STRING, FIELD_JSON, true, "serials and ids it is known by, since when"},
    {"steps", VALUE_STRING, FIELD_JSON, true,
     "its visits in the order of time; of an ambiguous one the others that it may have been"},
    {"measures", VALUE_STRING, FIELD_JSON, true,
     "what was measured, with limits; probability: that it was this unit"},
    {"curves", VALUE_STRING, FIELD_JSON, true,
     "the signals during its visits, [time in µs, value]"},
    {"factors", VALUE_STRING, FIELD_JSON, true, "what it was made with, by 5M1E"},
    {"defects", VALUE_STRING, FIELD_JSON, true, "what was found wrong, and where on the unit"},
    {"parents", VALUE_STRING, FIELD_JSON, true, "links to what it was made from"},
    {"children", VALUE_STRING, FIELD_JSON, true, "links to what was made from it"},
    {"bearers", VALUE_STRING, FIELD_JSON, true,
     "of a serial that comes around: the units that bore it, the earliest first: serial, from, to, "
     "this (the one that is told here)"},
    {"truncated", VALUE_BOOL, 0, true, "a limit cut something off"},
    {0},
};

enum {
    ANSWER_UNIT,
    ANSWER_SERIAL,
    ANSWER_VERDICT,
    ANSWER_SERIALS,
    ANSWER_STEPS,
    ANSWER_MEASURES,
    ANSWER_CURVES,
    ANSWER_FACTORS,
    ANSWER_DEFECTS,
    ANSWER_PARENTS,
    ANSWER_CHILDREN,
    ANSWER_BEARERS,
    ANSWER_TRUNCATED,
};

const struct call_spec trace_unit_spec = {
    .name = "trace.unit",
    .doc = "Tells where a unit was and when, its measures, factors, defects, relatives, verdict "
           "and curves.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = unit_request,
    .answer = unit_answer,
};

/* What was asked. */
struct asking {
    struct trace *trace;
    struct value serial;
    bool curves;
};

int trace_read_time(const struct call *c, const char *name, int64_t otherwise, int64_t *ret_us,
                    struct diag *diag)
{
    struct value v = call_arg(c, name);
    *ret_us = otherwise;
    if (v.type == VALUE_STRING && clock_parse(v.bytes, ret_us))
        return diag_set(diag, ERR_INVALID, 0, 0, "%s is a time such as 2026-11-22T08:30:00Z", name);
    return OK;
}

int trace_read_as_of(const struct call *c, int64_t *ret_us, struct diag *diag)
{
    return trace_read_time(c, "as_of", TRACE_NO_END_US, ret_us, diag);
}

int trace_read_at(const struct call *c, int64_t *ret_us, struct diag *diag)
{
    return trace_read_time(c, "at", 0, ret_us, diag);
}

int trace_read_key(const struct call *c, const char *name, struct value *ret, struct diag *diag)
{
    struct value key = call_arg(c, name);
    if (key.type != VALUE_STRING || key.bytes.len == 0 || key.bytes.len > TRACE_SERIAL_BYTES_MAX ||
        memchr(key.bytes.ptr, 0, key.bytes.len) || !str_is_utf8(key.bytes))
        return diag_set(diag, ERR_INVALID, 0, 0, "%s is missing or longer than %d bytes", name,
                        TRACE_SERIAL_BYTES_MAX);
    *ret = key;
    return OK;
}

int trace_read_depth(const struct call *c, uint32_t otherwise, uint32_t *ret, struct diag *diag)
{
    struct value depth = call_arg(c, "depth");
    *ret = otherwise;
    if (depth.type == VALUE_NULL)
        return OK;
    if (depth.i64 < 0 || depth.i64 > STORY_DEPTH_MAX)
        return diag_set(diag, ERR_RANGE, 0, 0, "depth is 0 to %d", STORY_DEPTH_MAX);
    *ret = (uint32_t)depth.i64;
    return OK;
}

bool trace_is_late(const struct call *c)
{
    return clock_mono_us() > call_deadline_us(c) - ANSWER_SPARE_US;
}

static int asking_read(struct asking *a, struct story *s, const struct call *c)
{
    struct value curves = call_arg(c, "curves");
    a->curves = curves.type != VALUE_BOOL || curves.boolean;
    int err = trace_read_key(c, "serial", &a->serial, s->diag);
    if (!err)
        err = trace_read_as_of(c, &s->as_of_us, s->diag);
    if (!err)
        err = trace_read_at(c, &s->at_us, s->diag);
    return err ? err : trace_read_depth(c, UNIT_DEPTH, &s->depth_max, s->diag);
}

/* ---------------------------------------------------------------------------------------- answer
 */

/* Its own visits first: a panel's curves are of interest too, but not more than the board's. */
static int answer_curves(const struct asking *a, struct story *s, struct buf *out)
{
    struct trace_visit *visits = arena_array(&s->arena, UNIT_VISITS_MAX, sizeof *visits);
    uint32_t count = 0;
    if (!visits)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->visit_count && a->curves && count < UNIT_VISITS_MAX; i++) {
        const struct story_visit *v = &s->visits[i];
        if (!v->recorded && v->t_in != INT64_MIN && v->t_out != INT64_MIN)
            visits[count++] =
                (struct trace_visit){v->node, v->track, v->station, v->clocks, v->t_in, v->t_out};
    }
    return trace_curves(a->trace, s->conn, visits, count, out, s->diag);
}

static int answer_list(const struct asking *a, struct story *s, struct batch_builder *bb,
                       uint32_t col)
{
    static const enum story_list lists[] = {
        [ANSWER_SERIALS] = STORY_SERIALS,   [ANSWER_STEPS] = STORY_STEPS,
        [ANSWER_MEASURES] = STORY_MEASURES, [ANSWER_FACTORS] = STORY_FACTORS,
        [ANSWER_DEFECTS] = STORY_DEFECTS,   [ANSWER_PARENTS] = STORY_PARENTS,
        [ANSWER_CHILDREN] = STORY_CHILDREN, [ANSWER_BEARERS] = STORY_BEARERS,
    };
    struct buf out = {0};
    int err = col == ANSWER_CURVES ? answer_curves(a, s, &out) : story_print(s, lists[col], &out);
    if (!err)
        err = batch_set_bytes(bb, col, buf_bytes(&out));
    buf_fini(&out);
    return err;
}

static int answer_fill(const struct asking *a, struct story *s, struct batch_builder *bb)
{
    int err = batch_builder_row(bb, clock_wall_us()) < 0 ? ERR_NOMEM : OK;
    if (!err)
        err = batch_set_bytes(bb, ANSWER_UNIT, bytes_of_text(story_unit(s)));
    if (!err)
        err = batch_set_bytes(bb, ANSWER_SERIAL, bytes_of_text(story_name(s, 0)));
    if (!err)
        err = batch_set_bytes(bb, ANSWER_VERDICT, bytes_of_text(s->verdict));
    for (uint32_t col = ANSWER_SERIALS; !err && col < ANSWER_TRUNCATED; col++)
        err = answer_list(a, s, bb, col);
    if (!err)
        batch_set_bool(bb, ANSWER_TRUNCATED, s->truncated);
    return err;
}

static int story_ask(const struct asking *a, struct story *s)
{
    char *key = arena_copy(&s->arena, a->serial.bytes);
    int err = key ? story_read(s, key) : ERR_NOMEM;
    if (!err)
        err = story_rivals(s);
    if (err == ERR_NOT_FOUND)
        return diag_set(s->diag, err, 0, 0,
                        "no unit has the serial or id %s, as it is written here", key);
    return err;
}

void trace_unit_serve(void *owner, struct call *c)
{
    struct trace *t = owner;
    struct diag diag = {0};
    struct asking a = {.trace = t};
    struct story s = {.trace = t, .diag = &diag};
    struct batch_builder *bb = NULL;
    int err = asking_read(&a, &s, c);
    if (!err)
        err = historian_reader_open(t->historian, &s.conn);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = story_ask(&a, &s);
    if (!err)
        err = answer_fill(&a, &s, bb);
    if (s.conn)
        historian_reader_close(t->historian, s.conn);
    story_fini(&s);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
