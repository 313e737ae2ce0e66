/* What a line looks like, and who is on it now: the calls track.lines and track.line.
 *
 * Both run on the tracks' own thread, between two turns of it, as any call runs on its owner's: so
 * an answer is one moment of the line, and nothing that readings pass is locked for it. That moment
 * is the one up to which the line has decided, which lies behind the clock by what codes may come
 * late; a unit on a belt stands where the belt's way until then has brought it.
 *
 * What a gate counted and whom the gates missed is kept since the program started, and only the
 * newest LINE_BREACHES_MAX of these: the alarms and the stored stays are what lasts.
 */
#include "base/clock.h"
#include "base/str.h"
#include "track/line.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define STATE_UNITS_MAX 4096 /* that an answer shows */

/* ------------------------------------------------------------------------------------- the calls
 */

static const struct call_field lines_answer[] = {
    {"name", VALUE_STRING, 0, true, "the track's name"},
    {"place", VALUE_STRING, 0, true, "where the line is"},
    {"parts", VALUE_STRING, FIELD_JSON, true,
     "the parts, in the configuration's order: part, kind (belt, station, buffer), length_mm, "
     "order, capacity, places"},
    {"ways", VALUE_STRING, FIELD_JSON, true,
     "ways between parts: from, into (null: the outside), gate (its number among the gates), "
     "share"},
    {"gates", VALUE_STRING, FIELD_JSON, true, "sensors: signal, out_of, into, unit (the scanner)"},
    {0},
};

const struct call_spec line_lines_spec = {
    .name = "track.lines",
    .doc = "Lists the lines: parts, ways between them, gates.",
    .role = CALL_VIEWER,
    .answer = lines_answer,
};

static const struct call_field line_request[] = {
    {"name", VALUE_STRING, 0, true, "the track's name"},
    {0},
};

static const struct call_field line_answer[] = {
    {"name", VALUE_STRING, 0, true, "the track's name"},
    {"at", VALUE_TIMESTAMP, 0, false,
     "the moment that this is the state of: what was read up to it is decided"},
    {"count", VALUE_INT64, 0, true, "units in the line"},
    {"truncated", VALUE_BOOL, 0, true, "there are more than are listed"},
    {"units", VALUE_STRING, FIELD_JSON, true,
     "units: unit, serial (empty: not read), part, mm (on a belt), since, probability, came "
     "(seen, or unseen: no gate saw it come)"},
    {"gates", VALUE_STRING, FIELD_JSON, true,
     "of each gate, in the order of track.lines: signal, pulses since the start, last"},
    {"breaches", VALUE_STRING, FIELD_JSON, true,
     "the newest units that the gates do not explain, the last first: kind (taken, appeared, "
     "moved, ghost), unit, serial, part, since, at, probability"},
    {0},
};

const struct call_spec line_line_spec = {
    .name = "track.line",
    .doc = "Tells who is on a line now, where, and how sure that is.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = line_request,
    .answer = line_answer,
};

/* --------------------------------------------------------------------------------------- printing
 */

/* ,"name": with the comma where something stands before. */
static void put_key(struct buf *out, const char *name)
{
    if (out->len && out->ptr[out->len - 1] != '{')
        (void)buf_append_u8(out, ',');
    (void)buf_printf(out, "\"%s\":", name);
}

static void put_string(struct buf *out, const char *name, const char *text)
{
    put_key(out, name);
    if (text)
        (void)str_print_json(bytes_of_text(text), out);
    else
        (void)buf_printf(out, "null");
}

static void put_number(struct buf *out, const char *name, double v)
{
    put_key(out, name);
    if (isfinite(v))
        (void)buf_printf(out, "%.10g", v);
    else
        (void)buf_printf(out, "null");
}

static void put_time(struct buf *out, const char *name, int64_t time_us)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    bool known = time_us != INT64_MIN && time_us != INT64_MAX;
    if (known)
        (void)clock_format(time_us, text);
    put_string(out, name, known ? text : NULL);
}

static void put_unit(struct buf *out, const uint8_t unit[static TRACK_UNIT_BYTES])
{
    char text[2 * TRACK_UNIT_BYTES + 1];
    str_hex(bytes_of(unit, TRACK_UNIT_BYTES), text);
    put_string(out, "unit", text);
}

static void put_open(struct buf *out, bool first)
{
    (void)buf_printf(out, first ? "{" : ",{");
}

static const char *part_name(const struct line *l, uint16_t part)
{
    return part < l->part_count ? l->parts[part].name : NULL;
}

/* -------------------------------------------------------------------------------------- topology
 */

static void places_print(const struct line *l, const struct line_part *p, struct buf *out)
{
    put_key(out, "places");
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < p->place_count; i++) {
        const struct line_place *place = &l->places[p->place_first + i];
        put_open(out, i == 0);
        put_string(out, "station", place->station);
        put_number(out, "from_mm", place->from_mm);
        put_number(out, "to_mm", place->to_mm);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void parts_print(const struct line *l, struct buf *out)
{
    static const char *const kinds[] = {
        [LINE_BELT] = "belt", [LINE_STATION] = "station", [LINE_BUFFER] = "buffer"};
    static const char *const orders[] = {
        [ASSIGN_FIFO] = "fifo", [ASSIGN_LIFO] = "lifo", [ASSIGN_RANDOM] = "random"};
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < l->part_count; i++) {
        const struct line_part *p = &l->parts[i];
        const struct assign_part *m = &l->model_parts[i];
        put_open(out, i == 0);
        put_string(out, "part", p->name);
        put_string(out, "kind", kinds[p->kind]);
        put_number(out, "length_mm", m->length_mm);
        put_string(out, "order", orders[m->order]);
        put_number(out, "capacity", m->capacity);
        places_print(l, p, out);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void ways_print(const struct line *l, struct buf *out)
{
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < l->way_count; i++) {
        const struct assign_way *w = &l->model_ways[i];
        put_open(out, i == 0);
        put_string(out, "from", part_name(l, w->from));
        put_string(out, "into", part_name(l, w->into));
        put_number(out, "gate", w->gate);
        put_number(out, "share", w->share);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void gates_print(const struct line *l, struct buf *out)
{
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < l->gate_count; i++) {
        const struct line_gate *g = &l->gates[i];
        put_open(out, i == 0);
        put_string(out, "signal", g->options.signal);
        put_string(out, "out_of", g->options.out_of);
        put_string(out, "into", g->options.into);
        put_string(out, "unit", g->options.unit);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

/* The texts become columns from `column` on; all are freed. */
static int texts_set(struct batch_builder *bb, uint32_t column, struct buf *texts, uint32_t count)
{
    int err = OK;
    for (uint32_t i = 0; i < count; i++) {
        if (!err)
            err = buf_error(&texts[i]);
        if (!err)
            err = batch_set_bytes(bb, column + i, buf_bytes(&texts[i]));
        buf_fini(&texts[i]);
    }
    return err;
}

int line_topology_put(const struct line *l, struct batch_builder *bb)
{
    struct buf texts[3] = {{0}, {0}, {0}};
    int err = batch_builder_row(bb, 0);
    err = err < 0 ? err : batch_set_bytes(bb, 0, bytes_of_text(l->track.name));
    if (!err)
        err = batch_set_bytes(bb, 1, bytes_of_text(l->track.place));
    parts_print(l, &texts[0]);
    ways_print(l, &texts[1]);
    gates_print(l, &texts[2]);
    int put = texts_set(bb, 2, texts, 3);
    return err ? err : put;
}

/* ------------------------------------------------------------------------------------------- now
 */

struct units_print {
    const struct line *line;
    struct buf *out;
    uint32_t count;
};

static bool came_unseen(const struct line *l, const uint8_t unit[static TRACK_UNIT_BYTES])
{
    for (uint32_t i = 0; i < l->breach_count; i++)
        if (l->breaches[i].kind == ASSIGN_APPEARED &&
            memcmp(l->breaches[i].unit, unit, TRACK_UNIT_BYTES) == 0)
            return true;
    return false;
}

/* How far it has come on its belt; a belt's end holds it until it is seen to leave. */
static double unit_mm(const struct line *l, const struct assign_where *w)
{
    void *line = (void *)(uintptr_t)l;
    double mm = line_mm(line, w->part, l->decided_us) - w->in_mm;
    return fmin(fmax(mm, 0), l->parts[w->part].options.length_mm);
}

static int unit_print(void *ctx, const struct assign_where *w)
{
    struct units_print *p = ctx;
    const struct line *l = p->line;
    if (p->count++ >= STATE_UNITS_MAX)
        return OK;
    put_open(p->out, p->count == 1);
    put_unit(p->out, w->unit);
    put_string(p->out, "serial", w->code);
    put_string(p->out, "part", part_name(l, w->part));
    if (l->parts[w->part].kind == LINE_BELT)
        put_number(p->out, "mm", unit_mm(l, w));
    put_time(p->out, "since", w->t_in);
    put_number(p->out, "probability", w->probability);
    put_string(p->out, "came", came_unseen(l, w->unit) ? "unseen" : "seen");
    (void)buf_append_u8(p->out, '}');
    return OK;
}

static void pulses_print(const struct line *l, struct buf *out)
{
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < l->gate_count; i++) {
        const struct line_gate *g = &l->gates[i];
        put_open(out, i == 0);
        put_string(out, "signal", g->options.signal);
        put_key(out, "pulses");
        (void)buf_printf(out, "%" PRIu64, g->pulses);
        put_time(out, "last", g->pulsed ? g->pulse_us : INT64_MIN);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void breaches_print(const struct line *l, struct buf *out)
{
    static const char *const kinds[] = {[ASSIGN_KEPT] = "kept",
                                        [ASSIGN_TAKEN] = "taken",
                                        [ASSIGN_APPEARED] = "appeared",
                                        [ASSIGN_MOVED] = "moved",
                                        [ASSIGN_GHOST] = "ghost"};
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < l->breach_count; i++) {
        uint32_t at = (l->breach_end + LINE_BREACHES_MAX - 1 - i) % LINE_BREACHES_MAX;
        const struct line_breach *b = &l->breaches[at];
        put_open(out, i == 0);
        put_string(out, "kind", kinds[b->kind]);
        put_unit(out, b->unit);
        put_string(out, "serial", b->code);
        put_string(out, "part", part_name(l, b->part));
        put_time(out, "since", b->t_in);
        put_time(out, "at", b->time_us);
        put_number(out, "probability", b->probability);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

void line_breach_note(struct line *l, const struct assign_breach *breach)
{
    struct line_breach *b = &l->breaches[l->breach_end];
    *b = (struct line_breach){.kind = breach->kind,
                              .part = breach->part,
                              .t_in = breach->t_in,
                              .time_us = breach->time_us,
                              .probability = breach->probability};
    memcpy(b->unit, breach->unit, sizeof b->unit);
    size_t len = strnlen(breach->code, sizeof b->code - 1);
    memcpy(b->code, breach->code, len);
    l->breach_end = (l->breach_end + 1) % LINE_BREACHES_MAX;
    l->breach_count += l->breach_count < LINE_BREACHES_MAX;
}

int line_state_put(const struct line *l, struct batch_builder *bb)
{
    struct buf texts[3] = {{0}, {0}, {0}};
    struct units_print units = {l, &texts[0], 0};
    bool known = l->decided_us != INT64_MIN;
    (void)buf_append_u8(&texts[0], '[');
    int err = assign_each(l->assign, unit_print, &units);
    (void)buf_append_u8(&texts[0], ']');
    pulses_print(l, &texts[1]);
    breaches_print(l, &texts[2]);
    int row = err ? err : batch_builder_row(bb, known ? l->decided_us : 0);
    err = row < 0 ? row : batch_set_bytes(bb, 0, bytes_of_text(l->track.name));
    if (!err && known)
        batch_set_i64(bb, 1, l->decided_us);
    if (!err) {
        batch_set_i64(bb, 2, units.count);
        batch_set_bool(bb, 3, units.count > STATE_UNITS_MAX);
    }
    int put = texts_set(bb, 4, texts, 3);
    return err ? err : put;
}

/* ----------------------------------------------------------------------------------------- serving
 */

/* The n-th line among the tracks; NULL: there is none. */
static const struct line *line_nth(const struct track_stage *t, uint32_t n)
{
    const struct track *s;
    for (uint32_t i = 0; (s = track_at(t, i)) != NULL; i++)
        if (s->kind == &line_kind && n-- == 0)
            return (const void *)s; /* its first member */
    return NULL;
}

static void answer_end(struct call *c, struct batch_builder *bb, int err)
{
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "the line cannot be shown: %s", err_text(err));
}

static void lines_serve(void *owner, struct call *c)
{
    const struct track_stage *t = owner;
    struct batch_builder *bb = NULL;
    const struct line *l;
    int err = call_answer_builder(c, TRACK_TRACKS_MAX, &bb);
    for (uint32_t i = 0; !err && (l = line_nth(t, i)) != NULL; i++)
        err = line_topology_put(l, bb);
    answer_end(c, bb, err);
}

static void line_serve(void *owner, struct call *c)
{
    const struct track_stage *t = owner;
    struct batch_builder *bb = NULL;
    struct value name = call_arg(c, "name");
    uint32_t i = 0;
    const struct line *l = line_nth(t, i++);
    while (l && !bytes_equal(name.bytes, bytes_of_text(l->track.name)))
        l = line_nth(t, i++);
    if (!l) {
        call_fail(c, ERR_NOT_FOUND,
                  "no track of that name has parts and gates: GET /lines names those that have");
        return;
    }
    int err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = line_state_put(l, bb);
    answer_end(c, bb, err);
}

int track_calls_add(struct track_stage *t, struct catalogue *catalogue)
{
    int err = catalogue_call_add(catalogue, &line_lines_spec, track_exec(t), lines_serve, t);
    return err ? err : catalogue_call_add(catalogue, &line_line_spec, track_exec(t), line_serve, t);
}
