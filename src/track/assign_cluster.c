/* Units whose fates hang together, and what is said of them once that is known. See assign_priv.h.
 *
 * An event takes the units that it may concern out of their clusters into the work: the product of
 * what these know. Afterwards units that are in the same state under all hypotheses go back to
 * being certain, and the others become one cluster. A stay is said as soon as it has an end, with
 * the weight that it then has, and again when that is decided.
 */
#include "base/array.h"
#include "track/assign_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DWELL_COUNT_MIN 8
#define DWELL_WEIGHT    64 /* of so many the mean is */
#define STAY_SURE       0.95
#define ALIKE           0.999 /* of two weights, and they are the same */
#define BREACH_MIN      0.5   /* from here on it is more likely than not */

/* ----------------------------------------------------------------------------------------- units
 */

const struct assign_state *unit_certain(const struct assign *a, uint32_t unit)
{
    const struct assign_unit *u = &a->units[unit];
    return u->cluster == ASSIGN_NOBODY ? &u->one : NULL;
}

const char *code_text(const struct assign *a, uint32_t code)
{
    return code ? a->codes[code].text : "";
}

static int unit_make(struct assign *a, const uint8_t id[static TRACK_UNIT_BYTES], uint32_t *ret)
{
    uint32_t at;
    if (a->free_count) {
        at = a->unit_free[--a->free_count];
    } else {
        if (a->unit_end == ASSIGN_UNITS_MAX)
            return ERR_LIMIT;
        struct assign_unit *units =
            array_room(a->units, a->unit_end, &a->unit_cap, 64, sizeof *units);
        if (!units)
            return ERR_NOMEM;
        a->units = units;
        at = a->unit_end++;
    }
    a->units[at] = (struct assign_unit){.cluster = ASSIGN_NOBODY, .order = ++a->order};
    memcpy(a->units[at].id, id, TRACK_UNIT_BYTES);
    a->stats.units++;
    *ret = at;
    return OK;
}

static int unit_free(struct assign *a, uint32_t unit)
{
    uint32_t *free_units =
        array_room(a->unit_free, a->free_count, &a->free_cap, 64, sizeof *free_units);
    if (!free_units)
        return ERR_NOMEM;
    a->unit_free = free_units;
    a->unit_free[a->free_count++] = unit;
    a->units[unit].order = 0;
    a->stats.units--;
    return OK;
}

/* --------------------------------------------------------------------------------- lists of parts
 */

static void part_list_remove(struct assign *a, uint16_t part, uint32_t unit)
{
    struct part_list *l = &a->parts[part];
    uint32_t at = l->first;
    while (at < l->end && l->units[at] != unit)
        at++;
    assert(at < l->end);
    l->stale = true;
    if (at - l->first < l->end - at) { /* those before it are fewer */
        memmove(l->units + l->first + 1, l->units + l->first, (at - l->first) * sizeof *l->units);
        l->first++;
    } else {
        memmove(l->units + at, l->units + at + 1, (l->end - at - 1) * sizeof *l->units);
        l->end--;
    }
}

static int64_t part_list_time(const struct assign *a, uint16_t part, uint32_t unit)
{
    const struct assign_unit *u = &a->units[unit];
    for (uint32_t i = 0; i < u->member_count; i++)
        if (u->members[i].part == part)
            return u->members[i].t_in;
    return INT64_MAX;
}

static int part_list_insert(struct assign *a, uint16_t part, uint32_t unit, int64_t t_in)
{
    struct part_list *l = &a->parts[part];
    l->stale = true;
    if (l->end == l->cap && l->first > l->cap / 2) {
        memmove(l->units, l->units + l->first, (l->end - l->first) * sizeof *l->units);
        l->end -= l->first;
        l->first = 0;
    }
    uint32_t *units = array_room(l->units, l->end, &l->cap, 8, sizeof *units);
    if (!units)
        return ERR_NOMEM;
    l->units = units;
    uint32_t at = l->end++;
    while (at > l->first && part_list_time(a, part, l->units[at - 1]) > t_in) {
        l->units[at] = l->units[at - 1];
        at--;
    }
    l->units[at] = unit;
    return OK;
}

static bool is_part(uint16_t part)
{
    return part < ASSIGN_PARTS_MAX;
}

static void member_note(struct assign_member *members, uint32_t *count,
                        const struct assign_state *s)
{
    if (!is_part(s->part))
        return;
    uint32_t i = 0;
    while (i < *count && members[i].part != s->part)
        i++;
    if (i == ASSIGN_MEMBERS_MAX)
        return;
    struct assign_member *m = &members[i];
    if (i == *count) {
        *m = (struct assign_member){s->part, s->t_in, s->ref_mm, s->slack_mm};
        (*count)++;
        return;
    }
    m->t_in = s->t_in < m->t_in ? s->t_in : m->t_in;
    m->ref_mm = s->ref_mm < m->ref_mm ? s->ref_mm : m->ref_mm;
    m->slack_mm = s->slack_mm > m->slack_mm ? s->slack_mm : m->slack_mm;
}

/* The unit stands in the lists of the parts where it may be, in its place. */
static int members_set(struct assign *a, uint32_t unit, const struct assign_member *members,
                       uint32_t count)
{
    struct assign_unit *u = &a->units[unit];
    for (uint32_t i = 0; i < u->member_count; i++)
        part_list_remove(a, u->members[i].part, unit);
    memcpy(u->members, members, count * sizeof *members);
    u->member_count = count;
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = part_list_insert(a, members[i].part, unit, members[i].t_in);
    return err;
}

/* ------------------------------------------------------------------------------------------ work
 */

void work_begin(struct assign *a)
{
    a->work.stay_count = 0;
    rows_clear(&a->work.rows, 0);
}

uint32_t work_find(const struct assign *a, uint32_t unit)
{
    for (uint32_t i = 0; i < a->work.rows.n; i++)
        if (a->work.units[i] == unit)
            return i;
    return ASSIGN_NOBODY;
}

/* Each row of the work with each of `with`; the others' stays come behind ours. */
static int work_product(struct assign *a, const struct rows *with, uint32_t with_stays)
{
    struct assign_state states[ASSIGN_CLUSTER_UNITS_MAX];
    double stays[ASSIGN_STAYS_MAX];
    const struct rows *own = &a->work.rows;
    uint32_t n = own->n;
    bool none = n == 0;
    int err = OK;
    rows_clear(&a->next, n + with->n);
    for (uint32_t i = 0; i < (none ? 1 : own->count) && !err; i++) {
        memset(stays, 0, sizeof stays);
        if (!none) {
            memcpy(states, rows_states(own, i), n * sizeof *states);
            memcpy(stays, rows_stays(own, i), a->work.stay_count * sizeof *stays);
        }
        for (uint32_t j = 0; j < with->count && !err; j++) {
            memcpy(states + n, rows_states(with, j), with->n * sizeof *states);
            memcpy(stays + a->work.stay_count, rows_stays(with, j), with_stays * sizeof *stays);
            err = rows_add(&a->next, (none ? 1 : own->w[i]) * with->w[j], states, stays);
        }
    }
    rows_swap(&a->work.rows, &a->next);
    return err;
}

int work_settle(struct assign *a)
{
    return rows_tidy(&a->work.rows, a->model.hypotheses_max, a->model.weight_min,
                     a->work.stay_count);
}

/* The column of the unit whose stay it is; ASSIGN_NOBODY: it is certain, or gone. */
static uint32_t stay_column(const struct assign *a, const struct cluster *c, uint32_t stay)
{
    for (uint32_t i = 0; i < c->rows.n; i++)
        if (memcmp(a->units[c->units[i]].id, c->stays[stay].unit, TRACK_UNIT_BYTES) == 0)
            return i;
    return ASSIGN_NOBODY;
}

double cluster_stay_weight(const struct assign *a, const struct cluster *c, uint32_t stay)
{
    uint32_t column = stay_column(a, c, stay);
    double p = 0;
    for (uint32_t i = 0; i < c->rows.count; i++) {
        double doubt = column == ASSIGN_NOBODY ? 0 : rows_states(&c->rows, i)[column].doubt;
        p += c->rows.w[i] * rows_stays(&c->rows, i)[stay] * (1 - doubt);
    }
    return p;
}

void work_doubt(const struct assign *a, double *m, uint32_t column, double real)
{
    const struct cluster *c = &a->work;
    for (uint32_t i = 0; i < c->stay_count; i++)
        if (memcmp(a->units[c->units[column]].id, c->stays[i].unit, TRACK_UNIT_BYTES) == 0)
            m[i] *= real;
}

static void stay_drop(struct cluster *c, uint32_t stay)
{
    uint32_t last = --c->stay_count;
    c->stays[stay] = c->stays[last];
    for (uint32_t i = 0; i < c->rows.count; i++) {
        double *m = rows_stays(&c->rows, i);
        m[stay] = m[last];
        m[last] = 0;
    }
}

/* Room for the stays of another cluster: the oldest of ours stay as undecided as they are. */
static void stays_make_room(struct assign *a, struct cluster *c, uint32_t need)
{
    while (c->stay_count && c->stay_count + need > ASSIGN_STAYS_MAX / 2) {
        uint32_t oldest = 0;
        for (uint32_t i = 1; i < c->stay_count; i++)
            if (c->stays[i].visit < c->stays[oldest].visit)
                oldest = i;
        stay_drop(c, oldest);
        a->stats.forced++;
    }
}

static int work_add_cluster(struct assign *a, uint32_t slot)
{
    struct cluster *c = a->clusters[slot];
    uint32_t n = a->work.rows.n;
    stays_make_room(a, c, 0);
    stays_make_room(a, &a->work, c->stay_count);
    memcpy(a->work.units + n, c->units, c->rows.n * sizeof *c->units);
    int err = work_product(a, &c->rows, c->stay_count);
    memcpy(a->work.stays + a->work.stay_count, c->stays, c->stay_count * sizeof *c->stays);
    a->work.stay_count += c->stay_count;
    for (uint32_t i = 0; i < c->rows.n; i++)
        a->units[c->units[i]].cluster = ASSIGN_NOBODY;
    c->next_free = a->cluster_free;
    a->cluster_free = slot;
    a->stats.clusters--;
    return err ? err : work_settle(a);
}

/* With so much room left. */
static int work_add_within(struct assign *a, uint32_t unit, uint32_t room)
{
    if (work_find(a, unit) != ASSIGN_NOBODY)
        return OK;
    struct assign_unit *u = &a->units[unit];
    struct cluster *c = u->cluster == ASSIGN_NOBODY ? NULL : a->clusters[u->cluster];
    uint32_t more = c ? c->rows.n : 1;
    if (a->work.rows.n + more + room > ASSIGN_CLUSTER_UNITS_MAX) {
        a->stats.forced++;
        return OK;
    }
    if (c)
        return work_add_cluster(a, u->cluster);
    a->work.units[a->work.rows.n] = unit;
    struct rows one = {.n = 1, .count = 1, .w = (double[1]){1}, .s = &u->one};
    one.m = (double[ASSIGN_STAYS_MAX]){0};
    return work_product(a, &one, 0);
}

int work_add(struct assign *a, uint32_t unit)
{
    return work_add_within(a, unit, 1); /* the newcomer's */
}

int work_load(struct assign *a, uint32_t unit)
{
    return work_add_within(a, unit, 0);
}

int work_new_unit(struct assign *a, const uint8_t id[static TRACK_UNIT_BYTES], uint32_t *ret)
{
    uint32_t unit = 0;
    int err = unit_make(a, id, &unit);
    if (err)
        return err;
    a->units[unit].one = (struct assign_state){.part = ASSIGN_ABSENT};
    err = work_add_within(a, unit, 0);
    *ret = a->work.rows.n - 1;
    return err;
}

uint32_t work_stay(struct assign *a, const struct undecided *stay)
{
    struct cluster *c = &a->work;
    for (uint32_t i = 0; i < c->stay_count; i++) {
        const struct undecided *s = &c->stays[i];
        if (s->visit == stay->visit && s->t_out == stay->t_out && s->t_in == stay->t_in &&
            s->begin == stay->begin && s->end == stay->end && s->part == stay->part &&
            s->breach == stay->breach && memcmp(s->unit, stay->unit, sizeof s->unit) == 0)
            return i;
    }
    if (c->stay_count == ASSIGN_STAYS_MAX) {
        a->stats.forced++;
        return ASSIGN_NOBODY;
    }
    c->stays[c->stay_count] = *stay;
    return c->stay_count++;
}

/* The unit whose stay it is, if it is still in the line. */
static struct assign_unit *stay_owner(const struct assign *a, const struct undecided *s)
{
    struct assign_unit *u = s->owner < a->unit_end ? &a->units[s->owner] : NULL;
    return u && u->order && memcmp(u->id, s->unit, sizeof u->id) == 0 ? u : NULL;
}

/* The revision that was said last of this stay: also when it was taken back, and is so after all.
 */
static uint32_t stay_revision(const struct assign *a, const struct undecided *s)
{
    const struct assign_unit *u = stay_owner(a, s);
    uint32_t revision = s->revision;
    for (uint32_t i = 0; u && i < ASSIGN_SAID_MAX; i++)
        if (u->said[i].visit == s->visit && u->said[i].revision > revision)
            revision = u->said[i].revision;
    return revision;
}

/* Whether the unit may still be there, so that the stay is said again when it ends. */
static bool visit_is_open(const struct assign *a, const uint8_t unit[static TRACK_UNIT_BYTES],
                          uint32_t visit)
{
    const struct cluster *c = &a->work;
    for (uint32_t k = 0; k < c->rows.n; k++) {
        if (memcmp(a->units[c->units[k]].id, unit, TRACK_UNIT_BYTES) != 0)
            continue;
        for (uint32_t i = 0; i < c->rows.count; i++) {
            const struct assign_state *s = &rows_states(&c->rows, i)[k];
            if (is_part(s->part) && s->visit == visit)
                return true;
        }
    }
    return false;
}

static void stay_note_revision(const struct assign *a, const struct undecided *s, uint32_t revision)
{
    struct assign_unit *u = stay_owner(a, s);
    uint32_t at = 0;
    if (!u)
        return;
    for (uint32_t i = 0; i < ASSIGN_SAID_MAX; i++) {
        if (u->said[i].visit == s->visit) {
            at = i;
            break;
        }
        bool open = visit_is_open(a, s->unit, u->said[i].visit);
        bool was = visit_is_open(a, s->unit, u->said[at].visit);
        at = was > open || (was == open && u->said[i].visit < u->said[at].visit) ? i : at;
    }
    u->said[at].visit = s->visit;
    u->said[at].revision = revision;
}

/* ------------------------------------------------------------------------------------ what is said
 */

void dwell_note(struct assign_dwell *d, double us)
{
    double part = d->count < DWELL_WEIGHT ? 1.0 / ++d->count : 1.0 / DWELL_WEIGHT;
    double off = us > d->mean_us ? us - d->mean_us : d->mean_us - us;
    d->mean_us += (us - d->mean_us) * part;
    d->off_us += ((d->count > 1 ? off : 0) - d->off_us) * part;
}

bool dwell_is_known(const struct assign_dwell *d)
{
    return d->count >= DWELL_COUNT_MIN;
}

/* How likely the ending is, whether there was a unit or nothing but a pulse. */
static double breach_weight(const struct cluster *c, uint32_t stay)
{
    double p = 0;
    for (uint32_t i = 0; i < c->rows.count; i++)
        p += rows_stays(&c->rows, i)[stay] > 0 ? c->rows.w[i] : 0;
    return p;
}

static int breach_say(struct assign *a, uint32_t stay, double p)
{
    struct undecided *s = &a->work.stays[stay];
    bool ghost = s->breach == ASSIGN_TAKEN && p < BREACH_MIN && s->begin == EDGE_SEEN;
    if (!s->breach || s->breach_said || (ghost ? breach_weight(&a->work, stay) : p) < BREACH_MIN)
        return OK;
    s->breach_said = true;
    a->stats.appeared += s->breach == ASSIGN_APPEARED;
    a->stats.ghosts += ghost;
    a->stats.gone += s->breach == ASSIGN_TAKEN && !ghost;
    a->stats.moved += s->breach == ASSIGN_MOVED;
    struct assign_breach breach = {
        .kind = ghost ? ASSIGN_GHOST : (enum assign_breach_kind)s->breach,
        .unit = s->unit,
        .code = code_text(a, s->code),
        .part = s->part,
        .t_in = s->t_in,
        .time_us = s->t_out,
        .probability = p,
    };
    return a->model.breach(a->model.ctx, &breach);
}

/* The same unit's same stay, however it may have ended. */
static bool is_same_stay(const struct undecided *a, const struct undecided *b)
{
    return a->visit == b->visit && a->part == b->part &&
           memcmp(a->unit, b->unit, sizeof a->unit) == 0;
}

/* Whether nothing will change its weight any more: it is the same under all hypotheses, and nobody
 * doubts that the unit is. */
static bool stay_is_decided(const struct assign *a, const struct cluster *c, uint32_t stay)
{
    double first = rows_stays(&c->rows, 0)[stay];
    uint32_t column = stay_column(a, c, stay);
    for (uint32_t i = 0; i < c->rows.count; i++)
        if (rows_stays(&c->rows, i)[stay] != first ||
            (column != ASSIGN_NOBODY && rows_states(&c->rows, i)[column].doubt > 0))
            return false;
    return true;
}

/* An ending that no hypothesis has, of a stay that has others. */
static bool stay_is_void(const struct cluster *c, uint32_t stay)
{
    bool others = false;
    for (uint32_t i = 0; i < c->stay_count; i++)
        others = others || (i != stay && is_same_stay(&c->stays[i], &c->stays[stay]));
    for (uint32_t i = 0; i < c->rows.count && others; i++)
        others = rows_stays(&c->rows, i)[stay] == 0;
    return others;
}

/* What is known of a unit's stay: all that it may have been. */
struct whole {
    uint32_t likeliest; /* of its endings */
    double probability;
    double sure;  /* that the code is its, if it was there */
    bool decided; /* nothing will change it any more */
    bool first;   /* no stay before this one in the list is the same */
};

static struct whole stay_whole(const struct assign *a, const struct cluster *c, uint32_t stay,
                               const double *weights)
{
    struct whole w = {.likeliest = stay, .decided = true, .first = true};
    for (uint32_t i = 0; i < c->stay_count; i++) {
        if (!is_same_stay(&c->stays[i], &c->stays[stay]))
            continue;
        w.first = w.first && i >= stay;
        w.probability += weights[i];
        w.decided = w.decided && stay_is_decided(a, c, i);
        if (weights[i] > weights[w.likeliest])
            w.likeliest = i;
    }
    return w;
}

/* Of endings that are as likely as the likeliest, one that no other unit was said to have had: who
 * cannot be told apart shall not all have left first. */
static void whole_choose(const struct cluster *c, const double *weights, const bool *said,
                         struct whole *w)
{
    uint32_t best = w->likeliest;
    for (uint32_t i = 0; i < c->stay_count; i++) {
        const struct undecided *s = &c->stays[i];
        bool told = s->revision && s->said_in == s->t_in && s->said_out == s->t_out;
        if (!(weights[best] > 0) && told && is_same_stay(s, &c->stays[best]))
            w->likeliest = i; /* it was not so: what is taken back is what was said */
    }
    for (uint32_t i = 0; i < c->stay_count && weights[best] > 0; i++) {
        const struct undecided *s = &c->stays[i];
        bool free = is_same_stay(s, &c->stays[best]) && weights[i] >= weights[best] * ALIKE;
        for (uint32_t k = 0; k < c->stay_count && free; k++)
            free = !said[k] || c->stays[k].part != s->part || c->stays[k].t_out != s->t_out;
        if (free) {
            w->likeliest = i;
            return;
        }
    }
}

/* That the code is the unit's, if it was there: under other hypotheses it may bear others. */
static double whole_sure(const struct cluster *c, const double *weights, const struct whole *w)
{
    const struct undecided *best = &c->stays[w->likeliest];
    double other = 0;
    for (uint32_t i = 0; i < c->stay_count; i++)
        if (is_same_stay(&c->stays[i], best) && c->stays[i].code != best->code)
            other += weights[i];
    return best->code && w->probability > 0 ? 1 - other / w->probability : 1;
}

/* Other units' stays of that number which are possible. */
static uint32_t stay_rivals(const struct assign *a, const double *weights, uint32_t stay)
{
    const struct cluster *c = &a->work;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->stay_count; i++)
        n += c->stays[i].visit == c->stays[stay].visit && c->stays[i].part == c->stays[stay].part &&
             !is_same_stay(&c->stays[i], &c->stays[stay]) && weights[i] >= a->model.said_min;
    return n;
}

static int stay_say(struct assign *a, const struct undecided *s, double p, double sure,
                    uint32_t rivals)
{
    struct assign_stay stay = {
        .unit = s->unit,
        .code = code_text(a, s->code),
        .part = s->part,
        .visit = s->visit,
        .t_in = s->t_in,
        .t_out = s->t_out,
        .in_mm = s->in_mm,
        .out_mm = s->out_mm,
        .begin = (enum track_edge)s->begin,
        .end = (enum track_edge)s->end,
        .probability = p,
        .sure = sure,
        .revision = s->revision + 1,
        .rivals = rivals,
        .read = s->read,
    };
    if (!s->revision && p >= STAY_SURE && s->begin == EDGE_SEEN && s->end == EDGE_SEEN)
        dwell_note(&a->dwells[s->part], (double)(s->t_out - s->t_in));
    if (!s->revision && p >= BREACH_MIN) {
        a->stats.seen += s->end == EDGE_SEEN;
        a->stats.unseen += s->end != EDGE_SEEN;
    }
    return a->model.stay(a->model.ctx, &stay);
}

/* Whether what was said of it does not hold any more: it is decided now, or has become sure, or was
 * sure and is not likely any more. */
static bool is_to_say(const struct assign *a, const struct whole *w, const struct undecided *s)
{
    double p = w->probability;
    if (!s->revision)
        return p >= a->model.said_min;
    bool changed = (p > s->said ? p - s->said : s->said - p) > a->model.change_min;
    bool other = s->said_out != s->t_out || s->said_in != s->t_in;
    bool turned = (p >= STAY_SURE && s->said < STAY_SURE) ||
                  (p < 1 - STAY_SURE && s->said >= 1 - STAY_SURE) ||
                  (p < BREACH_MIN && s->said >= STAY_SURE);
    return turned || (w->decided && (changed || (other && p >= a->model.said_min)));
}

/* Of a unit that was read after the stay too. */
static uint32_t stay_code(const struct assign *a, const struct cluster *c, uint32_t stay)
{
    uint32_t column = c->stays[stay].code ? ASSIGN_NOBODY : stay_column(a, c, stay);
    return column == ASSIGN_NOBODY ? c->stays[stay].code : rows_states(&c->rows, 0)[column].code;
}

/* What was said last of the stay: an ending that is new knows nothing of it. */
static void whole_recall(const struct cluster *c, struct undecided *s)
{
    for (uint32_t i = 0; i < c->stay_count; i++) {
        const struct undecided *o = &c->stays[i];
        if (!is_same_stay(o, s) || o->revision <= s->revision)
            continue;
        s->revision = o->revision;
        s->said = o->said;
        s->said_in = o->said_in;
        s->said_out = o->said_out;
    }
}

/* Says the stay if it is to be said, and notes that in all its endings. */
static int whole_say(struct assign *a, const struct whole *w, const double *weights)
{
    struct cluster *c = &a->work;
    struct undecided s = c->stays[w->likeliest];
    whole_recall(c, &s);
    if (!is_to_say(a, w, &s))
        return OK;
    s.code = stay_code(a, c, w->likeliest);
    s.revision = stay_revision(a, &s);
    double p = w->probability < a->model.said_min ? 0 : w->probability;
    int err = stay_say(a, &s, p, w->sure, stay_rivals(a, weights, w->likeliest));
    stay_note_revision(a, &s, s.revision + 1);
    for (uint32_t i = 0; i < c->stay_count; i++) {
        if (!is_same_stay(&c->stays[i], &s))
            continue;
        c->stays[i].revision = s.revision + 1;
        c->stays[i].said = p;
        c->stays[i].said_in = s.t_in;
        c->stays[i].said_out = s.t_out;
    }
    return err;
}

/* What has an end now, and what is decided now. */
static int stays_say(struct assign *a)
{
    struct cluster *c = &a->work;
    double weights[ASSIGN_STAYS_MAX] = {0};
    bool decided[ASSIGN_STAYS_MAX];
    bool said[ASSIGN_STAYS_MAX] = {false};
    int err = OK;
    for (uint32_t i = 0; i < c->stay_count; i++)
        weights[i] = cluster_stay_weight(a, c, i);
    for (uint32_t i = 0; i < c->stay_count && !err; i++) {
        struct whole w = stay_whole(a, c, i, weights);
        decided[i] = w.decided;
        if (w.first) {
            whole_choose(c, weights, said, &w);
            w.sure = whole_sure(c, weights, &w);
            said[w.likeliest] = w.probability >= STAY_SURE; /* not a pulse of nobody, likely */
            err = whole_say(a, &w, weights);
        }
        if (!err)
            err = breach_say(a, i, weights[i]);
    }
    for (uint32_t i = c->stay_count; i > 0 && !err; i--)
        if (decided[i - 1] || stay_is_void(c, i - 1))
            stay_drop(c, i - 1);
    return err;
}

/* --------------------------------------------------------------------------------------- put back
 */

/* In the same state under all hypotheses, and no stay of it waits for its doubt to end. */
static bool is_certain(const struct assign *a, uint32_t column)
{
    const struct cluster *c = &a->work;
    const struct rows *r = &c->rows;
    for (uint32_t i = 1; i < r->count; i++)
        if (memcmp(&rows_states(r, i)[column], &rows_states(r, 0)[column], sizeof *r->s) != 0)
            return false;
    for (uint32_t i = 0; i < c->stay_count && rows_states(r, 0)[column].doubt > 0; i++)
        if (stay_column(a, c, i) == column)
            return false;
    return true;
}

/* Takes the unit's column out. */
static void column_drop(struct cluster *c, uint32_t column)
{
    struct rows *r = &c->rows;
    struct assign_state *to = r->s;
    for (uint32_t i = 0; i < r->count; i++)
        for (uint32_t k = 0; k < r->n; k++)
            if (k != column)
                *to++ = rows_states(r, i)[k];
    memmove(c->units + column, c->units + column + 1, (r->n - column - 1) * sizeof *c->units);
    r->n--;
}

void unit_members(const struct assign *a, uint32_t unit, struct assign_member *ret,
                  uint32_t *ret_count)
{
    const struct assign_unit *u = &a->units[unit];
    *ret_count = 0;
    if (u->cluster == ASSIGN_NOBODY) {
        member_note(ret, ret_count, &u->one);
        return;
    }
    const struct cluster *c = a->clusters[u->cluster];
    uint32_t column = 0;
    while (c->units[column] != unit)
        column++;
    for (uint32_t i = 0; i < c->rows.count; i++)
        member_note(ret, ret_count, &rows_states(&c->rows, i)[column]);
}

static int unit_put(struct assign *a, uint32_t column)
{
    uint32_t unit = a->work.units[column];
    struct assign_member members[ASSIGN_MEMBERS_MAX] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->work.rows.count; i++)
        member_note(members, &count, &rows_states(&a->work.rows, i)[column]);
    return members_set(a, unit, members, count);
}

int cluster_slot(struct assign *a, uint32_t *ret)
{
    uint32_t i = a->cluster_free;
    if (i != ASSIGN_NOBODY) {
        a->cluster_free = a->clusters[i]->next_free;
        *ret = i;
        return OK;
    }
    i = a->cluster_end;
    struct cluster **clusters =
        array_room(a->clusters, i, &a->cluster_cap, 16, sizeof(struct cluster *));
    if (!clusters)
        return ERR_NOMEM;
    a->clusters = clusters;
    a->clusters[i] = calloc(1, sizeof **clusters);
    if (!a->clusters[i])
        return ERR_NOMEM;
    a->cluster_end++;
    *ret = i;
    return OK;
}

/* What is left of the work becomes a cluster. */
static int cluster_put(struct assign *a)
{
    uint32_t slot = ASSIGN_NOBODY;
    struct cluster *w = &a->work;
    if (w->rows.n == 0)
        return OK;
    int err = cluster_slot(a, &slot);
    if (err)
        return err;
    struct cluster *c = a->clusters[slot];
    memcpy(c->units, w->units, w->rows.n * sizeof *w->units);
    memcpy(c->stays, w->stays, w->stay_count * sizeof *w->stays);
    c->stay_count = w->stay_count;
    rows_clear(&c->rows, w->rows.n);
    for (uint32_t i = 0; i < w->rows.count && !err; i++)
        err = rows_add(&c->rows, w->rows.w[i], rows_states(&w->rows, i), rows_stays(&w->rows, i));
    a->stats.clusters++;
    for (uint32_t i = 0; i < c->rows.n; i++)
        a->units[c->units[i]].cluster = slot;
    return err;
}

int work_end(struct assign *a)
{
    struct cluster *w = &a->work;
    int err = stays_say(a);
    for (uint32_t k = w->rows.n; k > 0 && !err; k--) {
        uint32_t unit = w->units[k - 1];
        err = unit_put(a, k - 1);
        if (err || !is_certain(a, k - 1))
            continue;
        struct assign_state s = rows_states(&w->rows, 0)[k - 1];
        a->units[unit].one = s;
        a->units[unit].cluster = ASSIGN_NOBODY;
        column_drop(w, k - 1);
        if (!is_part(s.part))
            err = unit_free(a, unit);
    }
    return err ? err : cluster_put(a);
}
