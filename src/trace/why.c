/* The call trace.why. See why.h. */
#include "trace/why.h"

#include "base/clock.h"
#include "trace/why_gather.h"

#include <math.h>
#include <stdlib.h>

#define SINCE_DEFAULT_US (INT64_C(30) * 86400 * 1000000)

static const struct call_field why_request[] = {
    {"defect", VALUE_STRING, 0, true, "name of the defect"},
    {"since", VALUE_STRING, 0, false,
     "units tested from this time on (RFC 3339); default: 30 days"},
    {"until", VALUE_STRING, 0, false, "units tested before this time (RFC 3339); default: now"},
    {"operation", VALUE_STRING, 0, false,
     "where it is found; default: where it was found most often"},
    {0},
};

static const struct call_field why_answer_fields[] = {
    {"defect", VALUE_STRING, 0, true, "what was asked for"},
    {"operation", VALUE_STRING, 0, true, "where it is found"},
    {"since", VALUE_TIMESTAMP, 0, true, "units tested from then on"},
    {"until", VALUE_TIMESTAMP, 0, true, "units tested before then"},
    {"result", VALUE_STRING, 0, true, "causes, none or inconclusive"},
    {"text", VALUE_STRING, 0, true, "the answer in a sentence"},
    {"bad", VALUE_INT64, 0, true, "units with the defect"},
    {"good", VALUE_INT64, 0, true, "units that went through the operation without it"},
    {"factors", VALUE_INT64, 0, true, "factors that were looked at"},
    {"tests", VALUE_INT64, 0, true, "tests that were made, all of which count against q"},
    {"shifts", VALUE_INT64, 0, true, "shifts in time that were tried, for p_shift"},
    {"weighted", VALUE_INT64, 0, true,
     "units of which something counts in part, because it may have been another unit's"},
    {"strata", VALUE_INT64, 0, true,
     "pieces of time within which units were compared; 1: the rate of bad units does not drift"},
    {"causes", VALUE_STRING, FIELD_JSON, true,
     "the causes, the strongest first; after them suspects, which p_shift does not bear out"},
    {0},
};

const struct call_spec trace_why_spec = {
    .name = "trace.why",
    .doc = "Ranks what may have caused a defect, by evidence.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = why_request,
    .answer = why_answer_fields,
};

/* ------------------------------------------------------------------------------------------ JSON
 */

static void put_text(struct buf *out, const char *name, const char *text)
{
    (void)buf_printf(out, ",\"%s\":", name);
    trace_json_string(bytes_of_text(text), out);
}

static void put_number(struct buf *out, const char *name, double v)
{
    (void)buf_printf(out, ",\"%s\":", name);
    (void)(isfinite(v) ? buf_printf(out, "%.6g", v) : buf_append_text(out, "null"));
}

static void put_time(struct buf *out, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    (void)clock_format(us, text);
    put_text(out, name, text);
}

static void put_interval(struct buf *out, const char *name, const struct why_interval *v)
{
    (void)buf_printf(out, ",\"%s\":{\"value\":%.6g,\"low\":%.6g,\"high\":%.6g}", name, v->value,
                     v->low, v->high);
}

/* What a factor is called. */
static void put_factor(struct buf *out, const struct why_factor *f)
{
    (void)buf_append_text(out, "\"kind\":\"");
    (void)buf_printf(out, "%s\"", trace_kinds[f->kind]);
    put_text(out, "name", f->name);
    put_text(out, "operation", f->station);
}

/* "operator B at print", "zone5 at reflow". */
static void put_name(struct buf *out, const struct why_factor *f, uint32_t level)
{
    (void)buf_append_text(out, f->name);
    if (!f->numbers)
        (void)buf_printf(out, " %s", f->levels[level]);
    if (f->station[0])
        (void)buf_printf(out, " at %s", f->station);
}

/* "operator B at print", "zone5 at reflow above 241.5". */
static void put_subject(struct buf *out, const struct why_matrix *m, const struct why_cause *c)
{
    put_name(out, &m->factors[c->factor], c->level);
    if (c->numeric)
        (void)buf_printf(out, "%s %.6g", c->above ? " above" : " not above", c->cut);
}

static double share(double bad, double good)
{
    return bad + good > 0 ? 100.0 * bad / (bad + good) : 0;
}

static void put_sentence(struct buf *out, const struct why_matrix *m, const struct why_cause *c)
{
    const struct why_table *t = &c->counts;
    struct buf text = {0};
    put_subject(&text, m, c);
    (void)buf_printf(
        &text, ": %.6g of %.6g units with it are bad (%.3g %%), %.6g of %.6g without (%.3g %%)",
        t->bad_with, t->bad_with + t->good_with, share(t->bad_with, t->good_with), t->bad_without,
        t->bad_without + t->good_without, share(t->bad_without, t->good_without));
    if (c->weighted)
        (void)buf_printf(&text, "; %u of them counted in part, together as %.6g", c->weighted,
                         c->weight);
    put_text(out, "text", buf_text(&text));
    buf_fini(&text);
}

/* A lot that a rule has as a factor and as consumed is one thing known twice, not two suspects. */
static bool alike_is_another(const struct why_matrix *m, const struct why_cause *c,
                             const struct why_alike *alike)
{
    const struct why_factor *f = &m->factors[c->factor];
    const struct why_factor *g = &m->factors[alike->factor];
    return f->numbers || g->numbers || strcmp(f->station, g->station) != 0 ||
           strcmp(f->levels[c->level], g->levels[alike->level]) != 0;
}

static void put_alike(struct buf *out, const struct why_matrix *m, const struct why_cause *c)
{
    bool first = true;
    (void)buf_append_text(out, ",\"alike\":[");
    for (uint32_t i = 0; i < c->alike_count; i++) {
        const struct why_factor *f = &m->factors[c->alike[i].factor];
        if (!alike_is_another(m, c, &c->alike[i]))
            continue;
        (void)buf_append_text(out, first ? "{" : ",{");
        first = false;
        put_factor(out, f);
        if (!f->numbers)
            put_text(out, "value", f->levels[c->alike[i].level]);
        put_number(out, "v", c->alike[i].v);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void put_changed(struct buf *out, const struct why_matrix *m, const struct why_cause *c)
{
    (void)buf_append_text(out, ",\"changed\":[");
    for (uint32_t i = 0; i < c->changed_count; i++) {
        const struct why_change *change = &c->changed[i];
        const struct why_factor *f = &m->factors[change->factor];
        (void)buf_append_text(out, i ? ",{" : "{");
        put_factor(out, f);
        put_text(out, "value", f->levels[change->level]);
        if (change->before != UINT32_MAX)
            put_text(out, "before", f->levels[change->before]);
        put_time(out, "at", change->at_us);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void put_counts(struct buf *out, const struct why_cause *c)
{
    const struct why_table *t = &c->counts;
    (void)buf_printf(out,
                     ",\"bad_with\":%.6g,\"good_with\":%.6g,\"bad_without\":%.6g,"
                     "\"good_without\":%.6g,\"weighted\":%u,\"weight\":%.6g",
                     t->bad_with, t->good_with, t->bad_without, t->good_without, c->weighted,
                     c->weight);
    put_interval(out, "risk_difference", &c->risk_difference);
    put_interval(out, "odds_ratio", &c->odds_ratio);
    if (c->numeric)
        put_interval(out, "auc", &c->auc);
    put_number(out, "strength", c->strength);
    put_number(out, "p", c->p);
    put_number(out, "q", c->q);
    put_number(out, "p_shift", c->p_shift);
    put_number(out, "p_factor", c->p_factor);
}

static void put_cause(struct buf *out, const struct why_matrix *m, const struct why_cause *c)
{
    const struct why_factor *f = &m->factors[c->factor];
    put_factor(out, f);
    put_text(out, "status", c->proven ? "cause" : "suspect");
    if (c->numeric) {
        put_text(out, "side", c->above ? "above" : "not above");
        put_number(out, "cut", c->cut);
    } else {
        put_text(out, "value", f->levels[c->level]);
    }
    put_sentence(out, m, c);
    put_counts(out, c);
    put_time(out, "first", c->first_us);
    put_time(out, "last", c->last_us);
    if (c->set_in)
        put_time(out, "since", c->since_us);
    if (c->until_us != INT64_MAX)
        put_time(out, "until", c->until_us);
    put_changed(out, m, c);
    put_alike(out, m, c);
}

static void put_causes(struct buf *out, const struct why_matrix *m, const struct why_answer *a)
{
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < a->cause_count; i++) {
        (void)buf_append_text(out, i ? ",{" : "{");
        put_cause(out, m, &a->causes[i]);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

/* ", or lot L5 at press, which can't be told from it". */
static void put_others(struct buf *out, const struct why_matrix *m, const struct why_cause *c)
{
    const struct why_alike *one = NULL;
    uint32_t others = 0;
    for (uint32_t i = 0; i < c->alike_count; i++) {
        if (!alike_is_another(m, c, &c->alike[i]))
            continue;
        one = &c->alike[i];
        others++;
    }
    if (others == 1) {
        (void)buf_append_text(out, ", or ");
        put_name(out, &m->factors[one->factor], one->level);
        (void)buf_append_text(out, ", which can't be told from it");
    } else if (others > 1) {
        (void)buf_printf(out, ", or one of %u others that can't be told from it", others);
    }
}

/* The whole answer in a sentence. */
static void put_summary(struct buf *out, const struct why_matrix *m, const struct why_answer *a)
{
    uint32_t causes = 0;
    for (uint32_t i = 0; i < a->cause_count; i++)
        causes += a->causes[i].proven;
    if (a->result == WHY_INCONCLUSIVE) {
        (void)buf_printf(out,
                         "Inconclusive: %u bad and %u good units; at least %d bad and %d good ones "
                         "are needed.",
                         a->bad, a->good, WHY_BAD_MIN, WHY_GOOD_MIN);
    } else if (a->result == WHY_NOTHING) {
        (void)buf_printf(out, "No factor explains this: of %u factors none stands above chance%s.",
                         m->factor_count,
                         a->cause_count ? " and drift; the strongest are listed as suspects" : "");
    } else {
        (void)buf_append_text(out,
                              causes > 1 ? "The first of several causes is " : "The cause is ");
        put_subject(out, m, &a->causes[0]);
        put_others(out, m, &a->causes[0]);
        (void)buf_append_u8(out, '.');
    }
}

/* ------------------------------------------------------------------------------------------ call
 */

static int read_time(const struct call *c, const char *name, int64_t otherwise, int64_t *ret,
                     struct diag *diag)
{
    struct value v = call_arg(c, name);
    *ret = otherwise;
    if (v.type == VALUE_STRING && clock_parse(v.bytes, ret))
        return diag_set(diag, ERR_INVALID, 0, 0, "%s is a time such as 2026-11-22T08:30:00Z", name);
    return OK;
}

static int read_question(const struct call *c, struct arena *arena, struct why_question *ret,
                         struct diag *diag)
{
    struct value defect = call_arg(c, "defect");
    struct value operation = call_arg(c, "operation");
    int err = read_time(c, "until", clock_wall_us(), &ret->until_us, diag);
    if (!err)
        err = read_time(c, "since", ret->until_us - SINCE_DEFAULT_US, &ret->since_us, diag);
    if (!err && ret->since_us >= ret->until_us)
        err = diag_set(diag, ERR_RANGE, 0, 0, "since is not before until");
    if (err)
        return err;
    ret->defect = arena_copy(arena, defect.bytes);
    if (operation.type == VALUE_STRING && operation.bytes.len)
        ret->operation = arena_copy(arena, operation.bytes);
    return ret->defect ? OK : ERR_NOMEM;
}

static struct value of_text(const char *text)
{
    return (struct value){.type = VALUE_STRING, .bytes = bytes_of_text(text)};
}

static int put_answer(const struct why_question *q, const struct why_gathered *g,
                      const struct why_answer *a, struct batch_builder *bb)
{
    static const char *const results[] = {"causes", "none", "inconclusive"};
    struct buf text = {0};
    struct buf causes = {0};
    put_summary(&text, &g->matrix, a);
    put_causes(&causes, &g->matrix, a);
    const struct value cells[] = {
        of_text(q->defect),
        of_text(g->operation),
        cell_from_time(q->since_us),
        cell_from_time(q->until_us),
        of_text(results[a->result]),
        of_text(buf_text(&text)),
        cell_from_count(a->bad),
        cell_from_count(a->good),
        cell_from_count(g->matrix.factor_count),
        cell_from_count(a->tests),
        cell_from_count(a->shifts),
        cell_from_count(a->weighted),
        cell_from_count(a->strata),
        of_text(buf_text(&causes)),
    };
    int err = buf_error(&causes);
    if (!err)
        err = buf_error(&text);
    if (!err && batch_builder_row(bb, q->until_us) < 0)
        err = ERR_NOMEM;
    for (uint32_t i = 0; !err && i < sizeof cells / sizeof cells[0]; i++)
        err = batch_set_value(bb, i, &cells[i]);
    buf_fini(&text);
    buf_fini(&causes);
    return err;
}

static int answer_why(const struct trace *t, const struct why_question *q, struct batch_builder *bb,
                      struct diag *diag)
{
    struct why_gathered g = {.operation = NULL};
    struct why_answer *answer = calloc(1, sizeof *answer);
    struct duck_conn *conn = NULL;
    int err = answer ? historian_reader_open(t->historian, &conn) : ERR_NOMEM;
    if (!err) {
        err = why_gather(conn, q, &g, diag);
        historian_reader_close(t->historian, conn);
    }
    if (!err)
        err = why_rank(&g.matrix, answer, diag);
    if (!err)
        err = put_answer(q, &g, answer, bb);
    why_gathered_fini(&g);
    free(answer);
    return err;
}

/* Nobody waits for the answer any more, or it would come too late. */
static int call_stopped(void *ctx)
{
    const struct call *c = ctx;
    if (call_is_cancelled(c))
        return ERR_CANCELLED;
    return trace_is_late(c) ? ERR_TIMEOUT : OK;
}

void trace_why_serve(void *owner, struct call *c)
{
    const struct trace *t = owner;
    const struct why_stop stop = {call_stopped, c};
    struct diag diag = {0};
    struct arena arena = {0};
    struct batch_builder *bb = NULL;
    struct why_question q = {.operation = NULL, .stop = &stop, .reused = &t->reused};
    int err = read_question(c, &arena, &q, &diag);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = answer_why(t, &q, bb, &diag);
    arena_fini(&arena);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    if (err == ERR_TIMEOUT && !diag.text[0])
        (void)diag_set(&diag, err, 0, 0,
                       "the search takes longer than the caller waits: ask for a shorter time "
                       "(--since, --until)");
    call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}
