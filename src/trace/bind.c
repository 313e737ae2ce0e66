/* Each row to the visit it belongs to, and from them the verdicts. See story.h.
 *
 * A row of a unit window names the visit by its unit id. A row of a file or of another system names
 * the unit by its serial, and the visit follows from station (or operation) and time: the last one
 * that had begun by then. So a unit that was at a station twice has two visits with each its own
 * measures and defects. What no track saw is a visit too, made from the rows alone: "recorded"; so
 * is a visit whose code nobody read, when files report of the unit once more though it was
 * elsewhere since they did, or report of it before it came from elsewhere to the visit that is
 * known.
 *
 * Verdict of a visit: what an inspection said; else fail if a defect was found; else the track's
 * result; else fail or pass by the limits of its measures; else unknown. Of the unit: the last
 * visit of each operation counts, and the worst of these is it: scrap, fail, rework, pass.
 */
#include "trace/story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Clocks of two systems differ by this much, and a row may name a moment before the visit. */
#define BIND_EARLY_US ((int64_t)2 * 1000000)

/* Rows without a visit that are so near to each other are of one. */
#define BIND_RECORDED_US ((int64_t)60 * 1000000)

/* ------------------------------------------------------------------------------------------ time
 */

static int64_t visit_time(const struct story_visit *v)
{
    return v->t_in != INT64_MIN ? v->t_in : v->t_out;
}

static int visit_compare(const void *a, const void *b)
{
    int64_t x = visit_time(a);
    int64_t y = visit_time(b);
    return (x > y) - (x < y);
}

/* How far a moment is from the visit: 0 inside. */
static int64_t visit_distance(const struct story_visit *v, int64_t at)
{
    int64_t from = visit_time(v);
    int64_t to = v->t_out != INT64_MIN ? v->t_out : from;
    if (at < from)
        return from - at;
    return at > to ? at - to : 0;
}

/* ---------------------------------------------------------------------------------------- binding
 */

static bool fits_unit(const struct story_visit *v, const struct story_fact *f)
{
    return strcmp(v->unit, f->unit) == 0;
}

static bool fits_place(const struct story_visit *v, const struct story_fact *f)
{
    if (v->subject != f->subject || v->retracted)
        return false;
    if (f->station[0])
        return strcmp(v->station, f->station) == 0;
    return strcmp(v->operation, f->operation) == 0;
}

/* Of two visits that are as near: the one that ended when the row says, since a unit window's rows
 * do; then the one that was not taken back. */
static bool visit_fits_better(const struct story_visit *a, const struct story_visit *b, int64_t at)
{
    if ((a->t_out == at) != (b->t_out == at))
        return a->t_out == at;
    return b->retracted && !a->retracted;
}

/* A visit of the unit id: on a belt several stations share it. */
static struct story_visit *visit_by_unit(const struct story *s, const struct story_fact *f)
{
    struct story_visit *best = NULL;
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < s->visit_count; i++) {
        struct story_visit *v = &s->visits[i];
        if (!fits_unit(v, f))
            continue;
        int64_t far = visit_distance(v, f->at);
        if (f->station[0] && strcmp(v->station, f->station) != 0)
            far += STORY_LATE_US;
        bool nearer = far < least || (far == least && best && visit_fits_better(v, best, f->at));
        if (!best || nearer) {
            best = v;
            least = far;
        }
    }
    return best;
}

/* Whether the unit came to another station in between. */
static bool is_elsewhere(const struct story *s, const struct story_visit *v, int64_t from,
                         int64_t to)
{
    for (uint32_t i = 0; i < s->visit_count; i++) {
        const struct story_visit *o = &s->visits[i];
        if (o->subject == v->subject && strcmp(o->station, v->station) != 0 &&
            visit_time(o) > from && visit_time(o) < to)
            return true;
    }
    return false;
}

/* Whether the row is of another visit than the nearest one that is known. It may come late, so it
 * is only if its rule has spoken of that one before the unit was elsewhere. */
static bool visit_is_parted(const struct story *s, const struct story_visit *v,
                            const struct story_fact *f)
{
    if (f->at + BIND_EARLY_US < visit_time(v))
        return is_elsewhere(s, v, f->at, visit_time(v));
    for (uint32_t i = 0; i < s->fact_count; i++) {
        const struct story_fact *o = &s->facts[i];
        if (o->visit == (uint32_t)(v - s->visits) && o->serial[0] &&
            strcmp(o->rule, f->rule) == 0 && is_elsewhere(s, v, o->at, f->at))
            return true;
    }
    return false;
}

/* The last one that had begun; before all of them, the first. NULL: none, or it is another's. */
static struct story_visit *visit_by_place(const struct story *s, const struct story_fact *f)
{
    struct story_visit *best = NULL;
    for (uint32_t i = 0; i < s->visit_count; i++) {
        struct story_visit *v = &s->visits[i];
        if (!v->recorded && fits_place(v, f) && (!best || visit_time(v) <= f->at + BIND_EARLY_US))
            best = v;
    }
    return best && visit_is_parted(s, best, f) ? NULL : best;
}

static bool place_is_known(const struct story *s, const struct story_fact *f)
{
    for (uint32_t i = 0; i < s->visit_count; i++)
        if (!s->visits[i].recorded && fits_place(&s->visits[i], f))
            return true;
    return false;
}

static struct story_visit *visit_recorded(const struct story *s, const struct story_fact *f)
{
    for (uint32_t i = 0; i < s->visit_count; i++) {
        struct story_visit *v = &s->visits[i];
        if (v->recorded && fits_place(v, f) && visit_distance(v, f->at) <= BIND_RECORDED_US)
            return v;
    }
    return NULL;
}

static struct story_visit *visit_record(struct story *s, const struct story_fact *f)
{
    s->truncated = s->truncated || s->visit_count == STORY_VISITS_MAX;
    if (s->visit_count == STORY_VISITS_MAX)
        return NULL;
    struct story_visit *visits =
        arena_room(&s->arena, s->visits, s->visit_count, &s->visit_cap, sizeof *visits);
    if (!visits)
        return NULL;
    s->visits = visits;
    struct story_visit *v = &s->visits[s->visit_count++];
    *v = (struct story_visit){.station = f->station[0] ? f->station : f->operation,
                              .operation = f->operation,
                              .node = "",
                              .track = "",
                              .place = "",
                              .unit = f->unit,
                              .status = "recorded",
                              .evidence = f->rule,
                              .result = "",
                              .said = "",
                              .probability = (double)NAN,
                              .t_in = f->at,
                              .t_out = f->at,
                              .said_at = INT64_MIN,
                              .subject = f->subject,
                              .labelled = true,
                              .recorded = true};
    return v;
}

static void fact_bind(const struct story *s, struct story_fact *f, struct story_visit *v)
{
    f->visit = (uint32_t)(v - s->visits);
    if (f->operation[0] && !v->labelled) {
        v->operation = f->operation;
        v->labelled = true;
    }
    if (v->recorded && f->at > v->t_out)
        v->t_out = f->at;
    if (v->recorded && f->at < v->t_in)
        v->t_in = f->at;
}

/* What is done at a station is done at each visit, also at one that left no rows. */
static void visits_label(struct story *s)
{
    for (uint32_t i = 0; i < s->visit_count; i++) {
        struct story_visit *v = &s->visits[i];
        for (uint32_t k = 0; k < s->visit_count && !v->labelled; k++) {
            const struct story_visit *o = &s->visits[k];
            if (o->labelled && strcmp(o->station, v->station) == 0)
                v->operation = o->operation;
        }
    }
}

static void fact_bind_place(struct story *s, struct story_fact *f)
{
    struct story_visit *v = visit_by_place(s, f);
    v = v ? v : visit_recorded(s, f);
    v = v ? v : visit_record(s, f);
    if (v)
        fact_bind(s, f, v);
    else
        f->dropped = true;
}

/* Those that name a visit first: they tell what is done at its station. Then those of stations
 * where no track saw the unit: they tell when it was elsewhere. */
static int facts_bind(struct story *s)
{
    for (uint32_t i = 0; i < s->fact_count; i++) {
        struct story_fact *f = &s->facts[i];
        struct story_visit *v = f->serial[0] ? NULL : visit_by_unit(s, f);
        f->visit = UINT32_MAX;
        if (v)
            fact_bind(s, f, v);
    }
    visits_label(s);
    for (uint32_t i = 0; i < s->fact_count; i++)
        if (s->facts[i].visit == UINT32_MAX && !place_is_known(s, &s->facts[i]))
            fact_bind_place(s, &s->facts[i]);
    for (uint32_t i = 0; i < s->fact_count; i++)
        if (s->facts[i].visit == UINT32_MAX && !s->facts[i].dropped)
            fact_bind_place(s, &s->facts[i]);
    visits_label(s);
    return OK;
}

/* Visits that were taken back, with the rows that were made of them. */
static int visits_take_back(struct story *s)
{
    uint32_t *moved = arena_array(&s->arena, s->visit_count + 1, sizeof *moved);
    uint32_t n = 0;
    if (!moved)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->visit_count; i++) {
        moved[i] = s->visits[i].retracted ? UINT32_MAX : n;
        if (!s->visits[i].retracted)
            s->visits[n++] = s->visits[i];
    }
    s->visit_count = n;
    for (uint32_t i = 0; i < s->fact_count; i++) {
        struct story_fact *f = &s->facts[i];
        f->dropped = f->dropped || moved[f->visit] == UINT32_MAX;
        f->visit = f->dropped ? f->visit : moved[f->visit];
    }
    return OK;
}

/* Recorded visits were put behind the others: the order of time again, for facts too. */
static int visits_sort(struct story *s)
{
    struct story_visit *from = s->visits;
    uint32_t *moved = arena_array(&s->arena, s->visit_count + 1, sizeof *moved);
    struct story_visit *sorted = arena_array(&s->arena, s->visit_count + 1, sizeof *sorted);
    if (!moved || !sorted)
        return ERR_NOMEM;
    uint32_t n = s->visit_count;
    if (n)
        memcpy(sorted, from, n * sizeof *sorted);
    /* Where each was, carried along in a member that is not used any more. */
    for (uint32_t i = 0; i < n; i++)
        sorted[i].known_at = i;
    qsort(sorted, n, sizeof *sorted, visit_compare);
    for (uint32_t i = 0; i < n; i++)
        moved[sorted[i].known_at] = i;
    for (uint32_t i = 0; i < s->fact_count; i++)
        if (!s->facts[i].dropped)
            s->facts[i].visit = moved[s->facts[i].visit];
    s->visits = sorted;
    s->visit_cap = n;
    return OK;
}

/* -------------------------------------------------------------------------------------- revisions
 */

static int text_compare(const char *a, const char *b, int before)
{
    return before ? before : strcmp(a, b);
}

static int number_compare(int64_t a, int64_t b, int before)
{
    return before ? before : (a > b) - (a < b);
}

/* What makes two rows say something about the same thing. */
static int fact_group(const struct story_fact *a, const struct story_fact *b)
{
    int c = number_compare(a->visit, b->visit, 0);
    c = number_compare(a->kind, b->kind, c);
    if (a->kind == STORY_VERDICT && b->kind == STORY_VERDICT)
        return c;
    c = text_compare(a->name, b->name, c);
    c = text_compare(a->more, b->more, c);
    return text_compare(a->operation, b->operation, c);
}

/* By group, the latest first. */
static int fact_compare(const void *x, const void *y)
{
    const struct story_fact *a = x;
    const struct story_fact *b = y;
    int c = fact_group(a, b);
    c = number_compare(b->revision, a->revision, c);
    c = number_compare(b->known_at, a->known_at, c);
    return text_compare(a->text, b->text, c);
}

static int fact_compare_time(const void *x, const void *y)
{
    const struct story_fact *a = x;
    const struct story_fact *b = y;
    int c = number_compare(a->visit, b->visit, 0);
    c = number_compare(a->at, b->at, c);
    c = number_compare(a->kind, b->kind, c);
    c = text_compare(a->name, b->name, c);
    return text_compare(a->text, b->text, c);
}

static bool same_text(const struct story_fact *a, const struct story_fact *b)
{
    return strcmp(a->text, b->text) == 0;
}

/* A factor that may change while the unit is there. */
static bool is_inside(const struct story *s, const struct story_fact *f)
{
    const struct story_visit *v = &s->visits[f->visit];
    return f->kind == STORY_FACTOR && !f->serial[0] && f->at >= v->t_in && f->at < v->t_out;
}

/* Whether both were so, one after the other: a reel that was changed while the unit was there. What
 * a unit window says, at the moment of leaving, is of the whole stay, and its latest word counts.
 */
static bool is_change(const struct story *s, const struct story_fact *f,
                      const struct story_fact *first)
{
    return is_inside(s, f) && first->at != s->visits[f->visit].t_out && f->at != first->at &&
           strcmp(f->rule, first->rule) == 0;
}

/* `first` is the latest of the group that f is in, `stands` the one before it that stands. A row of
 * a later record replaces what earlier ones said of the same measure; defects and what files list
 * for several positions add up. What changed is looked at afterwards (changes_share). */
static bool fact_is_replaced(const struct story *s, const struct story_fact *f,
                             const struct story_fact *first, const struct story_fact *stands)
{
    bool older = f->revision != first->revision || f->known_at != first->known_at;
    if (f->kind == STORY_VERDICT)
        return older && !f->serial[0];
    if (is_change(s, f, first))
        return false;
    if (f->kind == STORY_MEASURE || (f->kind == STORY_FACTOR && !f->serial[0]))
        return older;
    return same_text(f, stands) || (older && same_text(f, first));
}

/* By group, in the order of time, of one moment the latest word first. */
static int fact_compare_change(const void *x, const void *y)
{
    const struct story_fact *a = x;
    const struct story_fact *b = y;
    int c = fact_group(a, b);
    c = text_compare(a->rule, b->rule, c);
    c = number_compare(a->at, b->at, c);
    c = number_compare(b->revision, a->revision, c);
    c = number_compare(b->known_at, a->known_at, c);
    return text_compare(a->text, b->text, c);
}

static bool is_same_record(const struct story_fact *a, const struct story_fact *b)
{
    return a->revision == b->revision && a->known_at == b->known_at;
}

/* Values that a factor had at once, as of several feeders: each is named once, and all were there.
 */
static void changes_are_parallel(struct story_fact *f, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = 0; k < i && !f[i].dropped; k++)
            f[i].dropped = !f[k].dropped && same_text(&f[i], &f[k]);
}

/* What a rule said of one factor within one stay, by time. Of a moment the latest word counts; what
 * is said again is no change. Each value was so from when it was said first, the first one from the
 * beginning, until the next. */
static void changes_part(const struct story *s, struct story_fact *f, uint32_t count)
{
    const struct story_visit *v = &s->visits[f->visit];
    struct story_fact *said = &f[0];  /* of the moment before */
    struct story_fact *stands = said; /* the value that was so until then */
    int64_t since = v->t_in;
    for (uint32_t i = 1; i < count; i++) {
        if (f[i].dropped)
            continue;
        bool corrected = f[i].at == said->at && !is_same_record(&f[i], said);
        if (f[i].at == said->at && !corrected) {
            changes_are_parallel(f, count);
            return;
        }
        said = corrected ? said : &f[i];
        f[i].dropped = corrected || same_text(&f[i], stands);
        if (f[i].dropped)
            continue;
        stands->share = (double)(f[i].at - since) / (double)(v->t_out - v->t_in);
        since = f[i].at;
        stands = &f[i];
    }
    stands->share = (double)(v->t_out - since) / (double)(v->t_out - v->t_in);
}

/* Of factors that changed within a stay: which values stand, and for how much of it. */
static void changes_share(struct story *s)
{
    uint32_t n = 0;
    qsort(s->facts, s->fact_count, sizeof *s->facts, fact_compare_change);
    for (uint32_t i = 0; i < s->fact_count; i += n) {
        struct story_fact *f = &s->facts[i];
        n = 1;
        if (f->dropped || !is_inside(s, f))
            continue;
        while (i + n < s->fact_count && is_inside(s, &f[n]) && fact_group(f, &f[n]) == 0 &&
               strcmp(f->rule, f[n].rule) == 0)
            n++;
        changes_part(s, f, n);
    }
}

static void facts_revise(struct story *s)
{
    if (s->fact_count == 0)
        return;
    qsort(s->facts, s->fact_count, sizeof *s->facts, fact_compare);
    struct story_fact *first = &s->facts[0];
    struct story_fact *stands = first;
    for (uint32_t i = 1; i < s->fact_count; i++) {
        struct story_fact *f = &s->facts[i];
        if (fact_group(f, first) != 0)
            first = f;
        else if (!first->dropped && fact_is_replaced(s, f, first, stands))
            f->dropped = true;
        stands = f->dropped ? stands : f;
    }
    changes_share(s);
    qsort(s->facts, s->fact_count, sizeof *s->facts, fact_compare_time);
}

/* --------------------------------------------------------------------------------------- verdicts
 */

/* "2.C17" and "2/C17" are on part 2 of a panel. Empty: no part is named. */
static struct bytes position_part(const char *position)
{
    size_t digits = strspn(position, "0123456789");
    bool parted = digits && strchr("./:-", position[digits]) && position[digits];
    return bytes_of(position, parted ? digits : 0);
}

/* A defect of the panel that is on another board than the one asked for. */
static bool is_sibling(const struct story *s, const struct story_fact *f)
{
    const struct story_subject *subject = &s->subjects[f->subject];
    struct bytes part = position_part(f->text);
    if (f->kind != STORY_DEFECT || f->subject == 0 || !subject->position[0] || !part.len)
        return false;
    return !bytes_equal(part, bytes_of_text(subject->position));
}

static int verdict_rank(const char *verdict)
{
    static const char *const ranks[] = {"unknown", "pass", "rework", "fail", "scrap"};
    for (int i = 4; i > 0; i--)
        if (strcmp(verdict, ranks[i]) == 0)
            return i;
    return 0;
}

/* The last word counts; of several lines of one moment the worst. */
static bool visit_hears(const struct story_visit *v, const struct story_fact *f)
{
    if (f->at != v->said_at)
        return f->at > v->said_at;
    return verdict_rank(f->name) > verdict_rank(v->said);
}

static void fact_judge(struct story *s, struct story_fact *f)
{
    struct story_visit *v = &s->visits[f->visit];
    bool limited = !isnan(f->lower) || !isnan(f->upper);
    bool within = !isnan(f->value) && (isnan(f->lower) || f->value >= f->lower) &&
                  (isnan(f->upper) || f->value <= f->upper);
    if (f->kind == STORY_MEASURE && limited) {
        v->failed = v->failed || !within;
        v->passed = v->passed || within;
    } else if (f->kind == STORY_DEFECT && is_sibling(s, f)) {
        f->dropped = true;
        v->defective_sibling = true;
    } else if (f->kind == STORY_DEFECT) {
        v->defective = true;
    } else if (f->kind == STORY_VERDICT && visit_hears(v, f)) {
        v->said = f->name;
        v->said_at = f->at;
    }
}

static const char *visit_judge(const struct story_visit *v)
{
    const char *said = v->said[0] ? v->said : v->result;
    /* The panel failed by another board's defect alone. */
    if (v->defective_sibling && !v->defective && !v->failed)
        return "pass";
    if (v->said[0])
        return v->said;
    if (v->defective)
        return "fail";
    if (strcmp(said, "pass") == 0 || strcmp(said, "fail") == 0)
        return said;
    if (v->failed)
        return "fail";
    return v->passed ? "pass" : "unknown";
}

static bool visit_is_last(const struct story *s, uint32_t i)
{
    for (uint32_t k = i + 1; k < s->visit_count; k++)
        if (strcmp(s->visits[k].operation, s->visits[i].operation) == 0)
            return false;
    return true;
}

static void story_judge(struct story *s)
{
    s->verdict = "unknown";
    for (uint32_t i = 0; i < s->fact_count; i++)
        if (!s->facts[i].dropped)
            fact_judge(s, &s->facts[i]);
    for (uint32_t i = 0; i < s->visit_count; i++)
        s->visits[i].verdict = visit_judge(&s->visits[i]);
    for (uint32_t i = 0; i < s->visit_count; i++)
        if (visit_is_last(s, i) && verdict_rank(s->visits[i].verdict) > verdict_rank(s->verdict))
            s->verdict = s->visits[i].verdict;
}

int story_bind(struct story *s)
{
    if (s->visit_count)
        qsort(s->visits, s->visit_count, sizeof *s->visits, visit_compare);
    int err = facts_bind(s);
    if (!err)
        err = visits_take_back(s);
    if (!err)
        err = visits_sort(s);
    if (err)
        return err;
    facts_revise(s);
    story_judge(s);
    return OK;
}
