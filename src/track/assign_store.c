/* The state of a line's units as bytes, for a checkpoint. See assign.h.
 *
 *   varint: orders, visits, codes, units, clusters; then the codes that somebody bears or bore in a
 *   stay that is not decided (text, who bears it), the units (id, order, and its state if it is
 *   certain), the clusters (units, stays, hypotheses), the lists of the parts, each with how long
 *   units stay there. Numbers of codes and
 *   units are those of this list. Little-endian.
 *
 * It lies in keyed state, which is ours; it is read with the same care as anything from outside.
 */
#include "base/array.h"
#include "track/assign_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ASSIGN_ORDER_MAX                                                                           \
    (UINT64_MAX / 2)      /* so many units came so far; one more has a number too                  \
                           */
#define ROWS_SUM_OFF 1e-6 /* the weights of hypotheses sum to 1 but for rounding */

int64_t assign_oldest_us(const struct assign *a)
{
    int64_t oldest = INT64_MAX;
    for (uint32_t i = 0; i < a->unit_end; i++) {
        const struct assign_unit *u = &a->units[i];
        for (uint32_t k = 0; u->order && k < u->member_count; k++)
            oldest = u->members[k].t_in < oldest ? u->members[k].t_in : oldest;
        if (!u->order || u->cluster == ASSIGN_NOBODY)
            continue;
        const struct cluster *c = a->clusters[u->cluster];
        for (uint32_t k = 0; k < c->stay_count; k++)
            oldest = c->stays[k].t_in < oldest ? c->stays[k].t_in : oldest;
    }
    return oldest;
}

/* ---------------------------------------------------------------------------------------- encode
 */

/* Numbers in the state's own order. 0: not in it. */
struct numbering {
    uint32_t *codes;
    uint32_t *code_at; /* by number, less 1 */
    uint32_t *units;   /* + 1 */
    uint32_t code_count;
    uint32_t unit_count;
};

static bool is_leader(const struct assign *a, uint32_t unit)
{
    const struct assign_unit *u = &a->units[unit];
    return u->order && u->cluster != ASSIGN_NOBODY && a->clusters[u->cluster]->units[0] == unit;
}

static void code_use(struct numbering *n, uint32_t code)
{
    if (!code || n->codes[code])
        return;
    n->code_at[n->code_count] = code;
    n->codes[code] = ++n->code_count;
}

static void cluster_use(struct numbering *n, const struct cluster *c)
{
    for (uint32_t i = 0; i < c->rows.count; i++)
        for (uint32_t k = 0; k < c->rows.n; k++)
            code_use(n, rows_states(&c->rows, i)[k].code);
    for (uint32_t i = 0; i < c->stay_count; i++)
        code_use(n, c->stays[i].code);
}

static int numbering_make(const struct assign *a, struct numbering *ret)
{
    *ret = (struct numbering){
        .codes = calloc(a->code_count + 1u, sizeof *ret->codes),
        .code_at = calloc(a->code_count + 1u, sizeof *ret->code_at),
        .units = calloc(a->unit_end + 1u, sizeof *ret->units),
    };
    if (!ret->codes || !ret->code_at || !ret->units)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < a->unit_end; i++) {
        const struct assign_unit *u = &a->units[i];
        if (!u->order)
            continue;
        ret->units[i] = ++ret->unit_count;
        if (u->cluster == ASSIGN_NOBODY)
            code_use(ret, u->one.code);
        else if (is_leader(a, i))
            cluster_use(ret, a->clusters[u->cluster]);
    }
    return OK;
}

static void put_state(struct buf *out, const struct numbering *n, const struct assign_state *s)
{
    put_i64(out, s->t_in);
    (void)buf_append_double(out, s->ref_mm);
    (void)buf_append_double(out, s->slack_mm);
    (void)buf_append_double(out, s->doubt);
    (void)buf_append_varint(out, n->codes[s->code]);
    (void)buf_append_le32(out, s->visit);
    (void)buf_append_le32(out, s->part);
    (void)buf_append_u8(out, (uint8_t)s->begin);
    (void)buf_append_u8(out, (uint8_t)s->read);
}

static void put_stay(struct buf *out, const struct assign *a, const struct numbering *n,
                     const struct undecided *s)
{
    bool there = s->owner < a->unit_end && a->units[s->owner].order &&
                 memcmp(a->units[s->owner].id, s->unit, sizeof s->unit) == 0;
    (void)buf_append(out, s->unit, sizeof s->unit);
    (void)buf_append_varint(out, there ? n->units[s->owner] : 0);
    put_i64(out, s->t_in);
    put_i64(out, s->t_out);
    (void)buf_append_double(out, s->in_mm);
    (void)buf_append_double(out, s->out_mm);
    (void)buf_append_varint(out, n->codes[s->code]);
    (void)buf_append_le32(out, s->visit);
    (void)buf_append_le32(out, s->revision);
    (void)buf_append_double(out, s->said);
    put_i64(out, s->said_in);
    put_i64(out, s->said_out);
    (void)buf_append_le32(out, s->part);
    (void)buf_append_u8(out, s->begin);
    (void)buf_append_u8(out, s->end);
    (void)buf_append_u8(out, s->breach);
    (void)buf_append_u8(out, s->read);
    (void)buf_append_u8(out, s->breach_said);
}

static void put_cluster(struct buf *out, const struct assign *a, const struct numbering *n,
                        const struct cluster *c)
{
    (void)buf_append_varint(out, c->rows.n);
    for (uint32_t i = 0; i < c->rows.n; i++)
        (void)buf_append_varint(out, n->units[c->units[i]] - 1);
    (void)buf_append_varint(out, c->stay_count);
    for (uint32_t i = 0; i < c->stay_count; i++)
        put_stay(out, a, n, &c->stays[i]);
    (void)buf_append_varint(out, c->rows.count);
    for (uint32_t i = 0; i < c->rows.count; i++) {
        (void)buf_append_double(out, c->rows.w[i]);
        for (uint32_t k = 0; k < c->rows.n; k++)
            put_state(out, n, &rows_states(&c->rows, i)[k]);
        for (uint32_t k = 0; k < c->stay_count; k++)
            (void)buf_append_double(out, rows_stays(&c->rows, i)[k]);
    }
}

/* In the order of their new numbers. */
static void put_codes(const struct assign *a, const struct numbering *n, struct buf *out)
{
    for (uint32_t i = 0; i < n->code_count; i++) {
        const struct assign_code *code = &a->codes[n->code_at[i]];
        put_text(out, code->text);
        for (uint32_t k = 0; k < ASSIGN_HOLDERS_MAX; k++) {
            bool held = code->holders[k].order &&
                        a->units[code->holders[k].unit].order == code->holders[k].order;
            (void)buf_append_varint(out, held ? n->units[code->holders[k].unit] : 0);
        }
    }
}

static void put_units(const struct assign *a, const struct numbering *n, struct buf *out)
{
    for (uint32_t i = 0; i < a->unit_end; i++) {
        const struct assign_unit *u = &a->units[i];
        if (!u->order)
            continue;
        (void)buf_append(out, u->id, sizeof u->id);
        (void)buf_append_le64(out, u->order);
        for (uint32_t k = 0; k < ASSIGN_SAID_MAX; k++) {
            (void)buf_append_varint(out, u->said[k].visit);
            (void)buf_append_varint(out, u->said[k].revision);
        }
        (void)buf_append_u8(out, u->cluster == ASSIGN_NOBODY);
        if (u->cluster == ASSIGN_NOBODY)
            put_state(out, n, &u->one);
    }
}

void assign_encode(const struct assign *a, struct buf *out)
{
    struct numbering n;
    int err = numbering_make(a, &n);
    if (!err) {
        (void)buf_append_le64(out, a->order);
        (void)buf_append_le32(out, a->visit);
        (void)buf_append_varint(out, n.code_count);
        (void)buf_append_varint(out, n.unit_count);
        (void)buf_append_varint(out, a->stats.clusters);
        put_codes(a, &n, out);
        put_units(a, &n, out);
        for (uint32_t i = 0; i < a->unit_end; i++)
            if (is_leader(a, i))
                put_cluster(out, a, &n, a->clusters[a->units[i].cluster]);
        for (uint32_t i = 0; i < a->model.part_count; i++) {
            const struct part_list *l = &a->parts[i];
            (void)buf_append_varint(out, l->end - l->first);
            for (uint32_t k = l->first; k < l->end; k++)
                (void)buf_append_varint(out, n.units[l->units[k]] - 1);
            (void)buf_append_varint(out, a->dwells[i].count);
            (void)buf_append_double(out, a->dwells[i].mean_us);
            (void)buf_append_double(out, a->dwells[i].off_us);
        }
    } else {
        (void)buf_append_le64(out, 0); /* no state at all is one: decode says that it is none */
    }
    free(n.codes);
    free(n.code_at);
    free(n.units);
}

/* ---------------------------------------------------------------------------------------- decode
 */

static struct assign_state get_state(const struct assign *a, struct reader *in)
{
    struct assign_state s = {0};
    s.t_in = get_time(in);
    s.ref_mm = get_mm(in);
    s.slack_mm = get_mm(in);
    s.doubt = get_share(in);
    s.code = get_count(in, a->code_count - 1);
    s.visit = reader_le32(in);
    uint32_t part = reader_le32(in);
    bool known = part < a->model.part_count || part == ASSIGN_GONE || part == ASSIGN_ABSENT;
    s.begin = (uint16_t)get_edge(in);
    s.read = reader_u8(in) != 0;
    if (!known)
        in->failed = true;
    s.part = in->failed ? ASSIGN_GONE : (uint16_t)part;
    return s;
}

static void get_stay(const struct assign *a, struct reader *in, struct undecided *s)
{
    struct bytes id = reader_take(in, sizeof s->unit);
    if (id.len == sizeof s->unit)
        memcpy(s->unit, id.ptr, sizeof s->unit);
    uint32_t owner = get_count(in, a->unit_end);
    s->owner = owner ? owner - 1 : UINT32_MAX;
    s->t_in = get_time(in);
    s->t_out = get_time(in);
    s->in_mm = get_mm(in);
    s->out_mm = get_mm(in);
    s->code = get_count(in, a->code_count - 1);
    s->visit = reader_le32(in);
    s->revision = reader_le32(in);
    s->said = get_share(in);
    s->said_in = get_time(in);
    s->said_out = get_time(in);
    uint32_t part = reader_le32(in);
    s->part = (uint16_t)part;
    s->begin = (uint8_t)get_edge(in);
    s->end = (uint8_t)get_edge(in);
    s->breach = reader_u8(in);
    s->read = reader_u8(in) != 0;
    s->breach_said = reader_u8(in) != 0;
    if (part >= a->model.part_count || s->breach > ASSIGN_MOVED)
        in->failed = true;
}

static int get_codes(struct assign *a, struct reader *in, uint32_t count, uint32_t unit_count)
{
    char text[TRACK_SERIAL_BYTES_MAX + 1];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = 0;
        get_text(in, text);
        if (in->failed || !text[0])
            return ERR_MALFORMED;
        int err = assign_code_number(a, text, &number);
        if (err)
            return err;
        if (number != i + 1)
            return ERR_MALFORMED;
        for (uint32_t k = 0; k < ASSIGN_HOLDERS_MAX; k++) {
            uint32_t holder = get_count(in, unit_count);
            a->codes[number].holders[k].unit = holder ? holder - 1 : 0;
            a->codes[number].holders[k].order = holder; /* the unit's, once it is known */
        }
    }
    return in->failed ? ERR_MALFORMED : OK;
}

static int get_units(struct assign *a, struct reader *in, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct assign_unit *units = array_room(a->units, i, &a->unit_cap, 64, sizeof *units);
        if (!units)
            return ERR_NOMEM;
        a->units = units;
        struct assign_unit *u = &a->units[i];
        *u = (struct assign_unit){.cluster = ASSIGN_NOBODY};
        struct bytes id = reader_take(in, sizeof u->id);
        if (id.len == sizeof u->id)
            memcpy(u->id, id.ptr, sizeof u->id);
        u->order = reader_le64(in);
        for (uint32_t k = 0; k < ASSIGN_SAID_MAX; k++) {
            u->said[k].visit = get_count(in, UINT32_MAX);
            u->said[k].revision = get_count(in, UINT32_MAX);
        }
        bool certain = reader_u8(in) != 0;
        u->one = certain ? get_state(a, in) : (struct assign_state){.part = ASSIGN_ABSENT};
        if (in->failed || u->order == 0 || u->order > a->order ||
            (certain && u->one.part >= ASSIGN_PARTS_MAX))
            return ERR_MALFORMED;
        a->unit_end = i + 1;
        a->stats.units++;
    }
    for (uint32_t i = 1; i < a->code_count; i++)
        for (uint32_t k = 0; k < ASSIGN_HOLDERS_MAX; k++)
            if (a->codes[i].holders[k].order)
                a->codes[i].holders[k].order = a->units[a->codes[i].holders[k].unit].order;
    return OK;
}

static int get_rows(struct assign *a, struct reader *in, struct cluster *c)
{
    struct assign_state states[ASSIGN_CLUSTER_UNITS_MAX];
    double stays[ASSIGN_STAYS_MAX];
    double sum = 0;
    uint32_t count = get_count(in, a->model.hypotheses_max);
    int err = count ? OK : ERR_MALFORMED;
    for (uint32_t i = 0; i < count && !err; i++) {
        double w = get_share(in);
        memset(stays, 0, sizeof stays);
        for (uint32_t k = 0; k < c->rows.n; k++)
            states[k] = get_state(a, in);
        for (uint32_t k = 0; k < c->stay_count; k++)
            stays[k] = get_share(in);
        if (in->failed || !(w > 0))
            return ERR_MALFORMED;
        sum += w;
        err = rows_add(&c->rows, w, states, stays);
    }
    return !err && !(fabs(sum - 1) < ROWS_SUM_OFF) ? ERR_MALFORMED : err;
}

static int get_cluster(struct assign *a, struct reader *in)
{
    uint32_t slot = ASSIGN_NOBODY;
    int err = cluster_slot(a, &slot);
    if (err)
        return err;
    struct cluster *c = a->clusters[slot];
    uint32_t n = get_count(in, ASSIGN_CLUSTER_UNITS_MAX);
    rows_clear(&c->rows, n);
    for (uint32_t i = 0; i < n; i++) {
        c->units[i] = get_count(in, a->unit_end ? a->unit_end - 1 : 0);
        bool again = in->failed || c->units[i] >= a->unit_end ||
                     a->units[c->units[i]].cluster != ASSIGN_NOBODY ||
                     a->units[c->units[i]].one.part != ASSIGN_ABSENT;
        if (again)
            return ERR_MALFORMED;
        a->units[c->units[i]].cluster = slot;
    }
    c->stay_count = get_count(in, ASSIGN_STAYS_MAX);
    for (uint32_t i = 0; i < c->stay_count; i++) {
        c->stays[i] = (struct undecided){0};
        get_stay(a, in, &c->stays[i]);
    }
    a->stats.clusters++;
    return in->failed || n == 0 ? ERR_MALFORMED : get_rows(a, in, c);
}

/* One of the part's list: a unit that may be there, and stands in it once. */
static int get_listed(struct assign *a, struct reader *in, uint32_t part, uint32_t *listed_in)
{
    struct part_list *l = &a->parts[part];
    uint32_t unit = get_count(in, a->unit_end - 1);
    uint32_t *units = array_room(l->units, l->end, &l->cap, 8, sizeof *units);
    if (!units)
        return ERR_NOMEM;
    l->units = units;
    uint32_t at = 0;
    while (!in->failed && at < a->units[unit].member_count &&
           a->units[unit].members[at].part != part)
        at++;
    if (in->failed || at == a->units[unit].member_count || listed_in[unit] == part + 1)
        return ERR_MALFORMED;
    listed_in[unit] = part + 1;
    l->units[l->end++] = unit;
    return OK;
}

static int get_part(struct assign *a, struct reader *in, uint32_t part, uint32_t *listed_in)
{
    struct assign_dwell *d = &a->dwells[part];
    uint32_t count = get_count(in, a->unit_end);
    int err = OK;
    a->parts[part].stale = true;
    for (uint32_t k = 0; k < count && !err; k++)
        err = get_listed(a, in, part, listed_in);
    d->count = get_count(in, UINT32_MAX);
    d->mean_us = reader_finite(in);
    d->off_us = reader_finite(in);
    if (!(fabs(d->mean_us) <= TRACK_TIME_MAX_US && fabs(d->off_us) <= TRACK_TIME_MAX_US))
        in->failed = true;
    return err;
}

/* As many in each list as units say that they may be there. */
static int get_lists(struct assign *a, struct reader *in)
{
    uint64_t members = 0;
    uint64_t listed = 0;
    int err = OK;
    for (uint32_t i = 0; i < a->unit_end; i++) {
        struct assign_unit *u = &a->units[i];
        if (u->cluster == ASSIGN_NOBODY && u->one.part >= ASSIGN_PARTS_MAX)
            return ERR_MALFORMED;
        unit_members(a, i, u->members, &u->member_count);
        members += u->member_count;
    }
    uint32_t *listed_in = calloc(a->unit_end + 1u, sizeof *listed_in); /* part + 1, by unit */
    if (!listed_in)
        return ERR_NOMEM;
    for (uint32_t part = 0; part < a->model.part_count && !err; part++) {
        err = get_part(a, in, part, listed_in);
        listed += a->parts[part].end;
    }
    free(listed_in);
    return err ? err : in->failed || listed != members ? ERR_MALFORMED : OK;
}

static int get_all(struct assign *a, struct reader *in)
{
    a->order = reader_le64(in);
    a->visit = reader_le32(in);
    if (a->order > ASSIGN_ORDER_MAX)
        in->failed = true;
    uint32_t codes = get_count(in, UINT32_MAX - 1);
    uint32_t units = get_count(in, ASSIGN_UNITS_MAX);
    uint32_t clusters = get_count(in, units);
    int err = in->failed ? ERR_MALFORMED : get_codes(a, in, codes, units);
    if (!err)
        err = get_units(a, in, units);
    for (uint32_t i = 0; i < clusters && !err; i++)
        err = get_cluster(a, in);
    return err ? err : get_lists(a, in);
}

int assign_decode(struct assign *a, struct reader *in)
{
    assign_reset(a);
    int err = get_all(a, in);
    if (err)
        assign_reset(a);
    return err;
}
