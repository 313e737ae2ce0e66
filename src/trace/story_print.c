/* A unit's story as the lists of the answer of trace.unit: JSON. See story.h. */
#include "base/str.h"
#include "trace/story.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ JSON
 */

static void json_count(struct buf *out, const char *name, uint32_t v)
{
    trace_json_name(out, name);
    (void)buf_printf(out, "%u", v);
}

/* ----------------------------------------------------------------------------------------- lists
 */

/* One row a name and visit, in the order of time. */
static void print_serials(const struct story *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->alias_count; i++) {
        const struct story_alias *a = &s->aliases[i];
        if (a->subject != 0)
            continue;
        trace_json_begin(out);
        trace_json_text(out, "serial", a->serial);
        trace_json_text(out, "unit", a->unit);
        trace_json_time(out, "valid_from", a->t_from);
        trace_json_time(out, "valid_to", a->t_to == a->t_from ? INT64_MIN : a->t_to);
        (void)buf_append_u8(out, '}');
    }
}

static uint32_t visit_number(const struct story *s, uint32_t i)
{
    uint32_t n = 1;
    for (uint32_t k = 0; k < i; k++)
        n += strcmp(s->visits[k].operation, s->visits[i].operation) == 0;
    return n;
}

/* What was said of a visit as a factor of that kind; several of them between commas. from: where
 * the visit's facts begin. */
static void print_said(const struct story *s, uint32_t visit, const char *kind, uint32_t from,
                       const char *name, struct buf *out)
{
    struct buf text = {0};
    for (uint32_t i = from; i < s->fact_count && s->facts[i].visit == visit; i++) {
        const struct story_fact *f = &s->facts[i];
        if (!f->dropped && f->kind == STORY_FACTOR && strcmp(f->more, kind) == 0)
            (void)buf_printf(&text, "%s%s", text.len ? ", " : "", f->text);
    }
    trace_json_maybe(out, name, buf_text(&text));
    buf_fini(&text);
}

/* Whom an ambiguous stay may have been of instead. */
static void print_rivals(const struct story_visit *v, struct buf *out)
{
    trace_json_name(out, "others");
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < v->rival_count; i++) {
        trace_json_begin(out);
        trace_json_text(out, "serial", v->rivals[i].serial);
        trace_json_text(out, "unit", v->rivals[i].unit);
        trace_json_number(out, "probability", v->rivals[i].probability);
        (void)buf_append_u8(out, '}');
    }
    (void)buf_append_u8(out, ']');
}

static void print_steps(const struct story *s, struct buf *out)
{
    uint32_t fact = 0;
    for (uint32_t i = 0; i < s->visit_count; i++) {
        const struct story_visit *v = &s->visits[i];
        trace_json_begin(out);
        trace_json_text(out, "station", v->station);
        trace_json_text(out, "operation", v->operation);
        trace_json_time(out, "t_in", v->t_in);
        trace_json_time(out, "t_out", v->t_out);
        trace_json_text(out, "status", v->status);
        while (fact < s->fact_count && (s->facts[fact].dropped || s->facts[fact].visit < i))
            fact++;
        print_said(s, i, "man", fact, "operator", out);
        print_said(s, i, TRACE_KIND_RECIPE, fact, "recipe", out);
        print_said(s, i, TRACE_KIND_ORDER, fact, "order", out);
        trace_json_maybe(out, "result", v->result);
        trace_json_text(out, "verdict", v->verdict);
        trace_json_number(out, "probability", v->probability);
        print_rivals(v, out);
        trace_json_text(out, "evidence", v->evidence);
        trace_json_text(out, "place", v->place);
        trace_json_text(out, "node", v->node);
        trace_json_text(out, "track", v->track);
        trace_json_text(out, "unit", v->unit);
        trace_json_text(out, "of", story_name(s, v->subject));
        json_count(out, "visit", visit_number(s, i));
        (void)buf_append_u8(out, '}');
    }
}

/* What every row of a visit ends with; `at` is the name of its time. */
static void print_end(const struct story *s, const struct story_fact *f, const char *at,
                      struct buf *out)
{
    const struct story_visit *v = &s->visits[f->visit];
    trace_json_text(out, "operation", f->operation);
    trace_json_text(out, "station", v->station);
    trace_json_time(out, at, f->at);
    trace_json_text(out, "unit", v->unit);
    trace_json_text(out, "of", story_name(s, f->subject));
    trace_json_number(out, "probability", story_sure(v));
    json_count(out, "step", f->visit);
    (void)buf_append_u8(out, '}');
}

static void print_measure(const struct story *s, const struct story_fact *f, struct buf *out)
{
    bool limited = !isnan(f->lower) || !isnan(f->upper);
    bool within = !isnan(f->value) && (isnan(f->lower) || f->value >= f->lower) &&
                  (isnan(f->upper) || f->value <= f->upper);
    trace_json_begin(out);
    trace_json_text(out, "characteristic", f->name);
    trace_json_number(out, "value", f->value);
    trace_json_number(out, "lower", f->lower);
    trace_json_number(out, "upper", f->upper);
    trace_json_number(out, "target", f->target);
    trace_json_text(out, "uom", f->more);
    trace_json_number(out, "covered", f->covered);
    trace_json_name(out, "ok");
    (void)buf_append_text(out, !limited ? "null" : within ? "true" : "false");
    print_end(s, f, "measured_at", out);
}

static void print_factor(const struct story *s, const struct story_fact *f, struct buf *out)
{
    trace_json_begin(out);
    trace_json_text(out, "kind", f->more);
    trace_json_text(out, "name", f->name);
    trace_json_text(out, "value", f->text);
    trace_json_number(out, "number", f->value);
    trace_json_number(out, "share", f->share);
    print_end(s, f, "at", out);
}

static void print_defect(const struct story *s, const struct story_fact *f, struct buf *out)
{
    trace_json_begin(out);
    trace_json_text(out, "defect", f->name);
    trace_json_maybe(out, "position", f->text);
    print_end(s, f, "detected_at", out);
}

/* Shown with the step instead. */
static bool is_of_step(const struct story_fact *f)
{
    return f->kind == STORY_FACTOR &&
           (strcmp(f->more, TRACE_KIND_ORDER) == 0 || strcmp(f->more, TRACE_KIND_RECIPE) == 0);
}

static void print_facts(const struct story *s, enum story_kind kind, struct buf *out)
{
    for (uint32_t i = 0; i < s->fact_count; i++) {
        const struct story_fact *f = &s->facts[i];
        if (f->dropped || f->kind != kind || is_of_step(f))
            continue;
        if (kind == STORY_MEASURE)
            print_measure(s, f, out);
        else if (kind == STORY_FACTOR)
            print_factor(s, f, out);
        else
            print_defect(s, f, out);
    }
}

/* A link that two records tell of is one. */
static bool link_is_same(const struct story *s, const struct story_link *o,
                         const struct story_link *l)
{
    return o->up == l->up && strcmp(o->kind, l->kind) == 0 &&
           strcmp(o->position, l->position) == 0 &&
           strcmp(story_key_name(s, o->parent), story_key_name(s, l->parent)) == 0 &&
           strcmp(story_key_name(s, o->child), story_key_name(s, l->child)) == 0;
}

static bool link_is_known(const struct story *s, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (link_is_same(s, &s->links[k], &s->links[i]))
            return true;
    return false;
}

/* What went on by it, all of it: several rows of different times that say so add up; of one time
 * the last word counts. NaN: nobody said. */
static double link_quantity(const struct story *s, uint32_t first)
{
    double sum = (double)NAN;
    for (uint32_t i = first; i < s->link_count; i++) {
        const struct story_link *l = &s->links[i];
        bool counts = !isnan(l->quantity) && link_is_same(s, l, &s->links[first]);
        for (uint32_t k = i + 1; k < s->link_count && counts; k++)
            counts = s->links[k].at != l->at || isnan(s->links[k].quantity) ||
                     !link_is_same(s, &s->links[k], l);
        if (counts)
            sum = isnan(sum) ? l->quantity : sum + l->quantity;
    }
    return sum;
}

static void print_links(const struct story *s, bool up, struct buf *out)
{
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct story_link *l = &s->links[i];
        if (l->up != up || link_is_known(s, i))
            continue;
        trace_json_begin(out);
        trace_json_text(out, "parent", story_key_name(s, l->parent));
        trace_json_text(out, "child", story_key_name(s, l->child));
        trace_json_text(out, "kind", l->kind);
        trace_json_maybe(out, "position", l->position);
        trace_json_number(out, "quantity", link_quantity(s, i));
        trace_json_time(out, "at", l->at);
        json_count(out, "depth", l->depth);
        (void)buf_append_u8(out, '}');
    }
}

/* One bearer alone is nothing to tell. */
static void print_bearers(const struct story *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->bearer_count && s->bearer_count > 1; i++) {
        trace_json_begin(out);
        trace_json_text(out, "serial", s->borne);
        trace_json_time(out, "from", s->bearers[i].from);
        trace_json_time(out, "to", s->bearers[i].to);
        trace_json_name(out, "this");
        (void)buf_append_text(out, i == s->bearer ? "true}" : "false}");
    }
}

int story_print(const struct story *s, enum story_list list, struct buf *out)
{
    (void)buf_append_u8(out, '[');
    if (list == STORY_SERIALS)
        print_serials(s, out);
    else if (list == STORY_STEPS)
        print_steps(s, out);
    else if (list == STORY_MEASURES)
        print_facts(s, STORY_MEASURE, out);
    else if (list == STORY_FACTORS)
        print_facts(s, STORY_FACTOR, out);
    else if (list == STORY_BEARERS)
        print_bearers(s, out);
    else if (list == STORY_DEFECTS)
        print_facts(s, STORY_DEFECT, out);
    else
        print_links(s, list == STORY_PARENTS, out);
    (void)buf_append_u8(out, ']');
    return buf_error(out);
}
