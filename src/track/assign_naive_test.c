/* Random lines and random pulses: the clusters against a tracker that keeps every history there
 * could be, and shares no code with them.
 *
 * A world is one history: what each pulse was, and who passed unseen, was taken off or never was.
 * Its weight is the product of the odds. At the end every stay has the same probability in both.
 */
#include "base/rand.h"
#include "tests/support/check.h"
#include "track/assign_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S          INT64_C(1000000)
#define SPEED      100.0 /* mm/s, all belts */
#define PARTS      5
#define WAYS       10
#define UNITS      10
#define STAYS      40
#define WORLDS_MAX 40000
#define SEEN_MAX   2048

static const struct assign_odds odds = {
    .missed = 0.05,
    .removed = 0.01,
    .appeared = 0.02,
    .spurious = 0.03,
    .misread = 1e-4,
    .moved = 1e-3,
};

struct topology {
    struct assign_part parts[PARTS];
    struct assign_way ways[WAYS];
    struct assign_gate gates[WAYS];
    uint32_t part_count;
    uint32_t way_count;
    uint32_t gate_count;
};

static double line_mm(void *ctx, uint16_t part, int64_t time_us)
{
    (void)ctx;
    (void)part;
    return SPEED * (double)time_us / 1e6;
}

static int64_t line_when(void *ctx, uint16_t part, double mm, int64_t before_us)
{
    (void)ctx;
    (void)part;
    int64_t t = (int64_t)llround(mm / SPEED * 1e6);
    return t < before_us ? t : before_us;
}

/* ----------------------------------------------------------------------------------------- worlds
 */

struct naive_unit {
    int part; /* -1: not in the line */
    int64_t t_in;
    double ref;
    double slack;
    int code;
    int begin;
};

struct naive_stay {
    int unit;
    int part;
    int64_t t_in;
    int64_t t_out;
    int begin;
    int end;
    int breach;
    uint32_t visit;
};

struct world {
    double weight;
    struct naive_unit units[UNITS];
    struct naive_stay stays[STAYS];
    int stay_count;
};

struct naive {
    const struct topology *line;
    struct world *worlds;
    struct world *next;
    uint32_t count;
    uint32_t next_count;
    bool full;
};

static bool naive_belt(const struct naive *n, int part)
{
    return n->line->parts[part].length_mm > 0;
}

static struct world *world_add(struct naive *n, const struct world *w, double factor)
{
    static struct world spare;
    if (n->next_count == WORLDS_MAX || w->stay_count > STAYS - 4) {
        n->full = true;
        spare = *w;
        return &spare;
    }
    struct world *to = &n->next[n->next_count++];
    *to = *w;
    to->weight *= factor;
    return to;
}

static void worlds_turn(struct naive *n)
{
    struct world *w = n->worlds;
    n->worlds = n->next;
    n->count = n->next_count;
    n->next = w;
    n->next_count = 0;
}

static void world_leave(struct world *w, int unit, int64_t t_out, int end, int breach)
{
    const struct naive_unit *u = &w->units[unit];
    w->stays[w->stay_count++] =
        (struct naive_stay){unit, u->part, u->t_in, t_out, u->begin, end, breach, 0};
}

static void world_enter(const struct naive *n, struct world *w, int unit, uint16_t part,
                        int64_t t_in, double slack, int begin)
{
    struct naive_unit *u = &w->units[unit];
    if (part == ASSIGN_OUTSIDE) {
        *u = (struct naive_unit){.part = -1};
        return;
    }
    u->part = part;
    u->t_in = t_in;
    u->begin = begin;
    u->ref = naive_belt(n, part) ? line_mm(NULL, part, t_in) : 0;
    u->slack = naive_belt(n, part) ? slack : 0;
}

static double naive_window(const struct naive *n, int gate, double way, double slack)
{
    const struct assign_gate *g = &n->line->gates[gate];
    return g->tolerance_mm + g->drift * fmax(way, 0) + slack;
}

static double naive_widest(const struct naive *n, int part, double way, double slack)
{
    double most = 0;
    for (uint32_t i = 0; i < n->line->way_count; i++)
        if (n->line->ways[i].from == part)
            most = fmax(most, naive_window(n, n->line->ways[i].gate, way, slack));
    return most;
}

static double naive_likelihood(const struct naive *n, const struct naive_unit *u, int gate,
                               int64_t now)
{
    const struct assign_part *p = &n->line->parts[u->part];
    if (naive_belt(n, u->part)) {
        double way = line_mm(NULL, 0, now) - u->ref;
        double off = (way - p->length_mm) / naive_window(n, gate, way, u->slack);
        return fabs(off) <= 1 ? 6 / sqrt(2 * M_PI) * exp(-4.5 * off * off) : 0;
    }
    int64_t stay = now - u->t_in;
    return stay >= p->time_min_us && (p->time_max_us == 0 || stay <= p->time_max_us);
}

/* Every world that follows from the unit having left its part unseen. */
static void naive_unseen(struct naive *n, const struct world *w, int unit, int64_t now,
                         void (*then)(struct naive *, const struct world *, void *), void *ctx)
{
    const struct naive_unit u = w->units[unit];
    const struct assign_part *p = &n->line->parts[u.part];
    for (uint32_t i = 0; i < n->line->way_count; i++) {
        const struct assign_way *way = &n->line->ways[i];
        if (way->from != u.part)
            continue;
        struct world to = *w;
        int64_t when = now;
        double slack = 0;
        if (naive_belt(n, u.part)) {
            when = line_when(NULL, 0, u.ref + p->length_mm, now);
            slack = naive_widest(n, u.part, p->length_mm, u.slack);
        } else {
            int64_t last =
                p->time_max_us && u.t_in + p->time_max_us < now ? u.t_in + p->time_max_us : now;
            int64_t first = u.t_in + p->time_min_us < last ? u.t_in + p->time_min_us : last;
            when = first + (last - first) / 2;
            if (way->into != ASSIGN_OUTSIDE && naive_belt(n, way->into))
                slack = (line_mm(NULL, 0, last) - line_mm(NULL, 0, first)) / 2;
        }
        to.weight *= odds.missed * way->share;
        world_leave(&to, unit, when, EDGE_UNSEEN, ASSIGN_KEPT);
        world_enter(n, &to, unit, way->into, when, slack, EDGE_UNSEEN);
        then(n, &to, ctx);
    }
    struct world to = *w;
    to.weight *= odds.removed;
    world_leave(&to, unit, now, EDGE_UNSEEN, ASSIGN_TAKEN);
    to.units[unit] = (struct naive_unit){.part = -1};
    then(n, &to, ctx);
}

/* --------------------------------------------------------------------------------------- overdue
 */

static void keep_world(struct naive *n, const struct world *w, void *ctx)
{
    (void)ctx;
    (void)world_add(n, w, 1);
}

static int world_overdue(const struct naive *n, const struct world *w, int64_t now)
{
    for (int i = 0; i < UNITS; i++) {
        const struct naive_unit *u = &w->units[i];
        if (u->part < 0)
            continue;
        const struct assign_part *p = &n->line->parts[u->part];
        if (!naive_belt(n, u->part)) {
            if (p->time_max_us && now - u->t_in > p->time_max_us)
                return i;
            continue;
        }
        double way = line_mm(NULL, 0, now) - u->ref;
        if (way > p->length_mm && way - p->length_mm > naive_widest(n, u->part, way, u->slack))
            return i;
    }
    return -1;
}

static void naive_reach(struct naive *n, int64_t now)
{
    bool again = true;
    while (again && !n->full) {
        again = false;
        for (uint32_t i = 0; i < n->count; i++) {
            int unit = world_overdue(n, &n->worlds[i], now);
            again = again || unit >= 0;
            if (unit >= 0)
                naive_unseen(n, &n->worlds[i], unit, now, keep_world, NULL);
            else
                (void)world_add(n, &n->worlds[i], 1);
        }
        worlds_turn(n);
    }
}

/* ----------------------------------------------------------------------------------------- pulses
 */

struct naive_pulse {
    int64_t now;
    int gate;
    int code;
    int newcomer; /* its unit, if it is one */
    /* While a branch is made. */
    const struct assign_way *way;
    int unit;
    int end;
    bool appears;
};

static bool naive_held(const struct world *w, int code, int but)
{
    for (int i = 0; i < UNITS; i++)
        if (i != but && w->units[i].part >= 0 && w->units[i].code == code)
            return true;
    return false;
}

static void naive_arrive(struct naive *n, const struct world *w, void *ctx)
{
    const struct naive_pulse *p = ctx;
    struct world *to = world_add(n, w, 1);
    struct naive_unit *u = &to->units[p->unit];
    if (p->appears && p->way->from != ASSIGN_OUTSIDE) {
        u->part = p->way->from;
        u->begin = EDGE_UNSEEN;
        u->t_in = p->now;
        if (naive_belt(n, u->part))
            u->t_in = line_when(
                NULL, 0, line_mm(NULL, 0, p->now) - n->line->parts[u->part].length_mm, p->now);
        world_leave(to, p->unit, p->now, EDGE_SEEN, ASSIGN_APPEARED);
    } else if (!p->appears) {
        world_leave(to, p->unit, p->now, p->end, p->end == EDGE_SEEN ? ASSIGN_KEPT : ASSIGN_MOVED);
    }
    if (p->code && !u->code)
        u->code = p->code;
    world_enter(n, to, p->unit, p->way->into, p->now, 0, EDGE_SEEN);
}

/* If the part is full, one of its units goes first: by its order, in a random one any of them. Who
 * entered unseen may have made it more than full. */
static void naive_room(struct naive *n, const struct world *w, void *ctx)
{
    const struct naive_pulse *p = ctx;
    uint16_t into = p->way->into;
    int inside[UNITS];
    int count = 0;
    int pick = -1;
    for (int i = 0; i < UNITS; i++)
        if (into != ASSIGN_OUTSIDE && i != p->unit && w->units[i].part == into)
            inside[count++] = i;
    if (into == ASSIGN_OUTSIDE || !n->line->parts[into].capacity ||
        count < (int)n->line->parts[into].capacity) {
        naive_arrive(n, w, ctx);
        return;
    }
    const struct assign_part *part = &n->line->parts[into];
    for (int i = 0; i < count; i++) {
        struct world to = *w;
        to.weight /= count;
        if (part->order == ASSIGN_RANDOM)
            naive_unseen(n, &to, inside[i], p->now, naive_arrive, ctx);
        int64_t t = w->units[inside[i]].t_in;
        int64_t best = pick < 0 ? 0 : w->units[pick].t_in;
        if (pick < 0 || (part->order == ASSIGN_LIFO ? t > best : t < best))
            pick = inside[i];
    }
    if (part->order != ASSIGN_RANDOM)
        naive_unseen(n, w, pick, p->now, naive_arrive, ctx);
}

/* Those that would have been overtaken are away first, one after the other. */
static void naive_first(struct naive *n, const struct world *w, void *ctx)
{
    const struct naive_pulse *p = ctx;
    const struct naive_unit *u = &w->units[p->unit];
    const struct assign_part *part = &n->line->parts[u->part];
    for (int i = 0; i < UNITS; i++) {
        const struct naive_unit *o = &w->units[i];
        if (i == p->unit || o->part != u->part || p->end == EDGE_UNSEEN)
            continue;
        bool belt = naive_belt(n, u->part);
        if (part->order == ASSIGN_RANDOM && !belt)
            continue;
        bool before = belt                         ? o->ref < u->ref
                      : part->order == ASSIGN_LIFO ? o->t_in > u->t_in
                                                   : o->t_in < u->t_in;
        if (!before)
            continue;
        naive_unseen(n, w, i, p->now, naive_first, ctx);
        return;
    }
    naive_room(n, w, ctx);
}

static void world_passes(struct naive *n, const struct world *w, struct naive_pulse *p)
{
    for (uint32_t i = 0; i < n->line->way_count; i++) {
        p->way = &n->line->ways[i];
        for (p->unit = 0; p->unit < UNITS; p->unit++) {
            const struct naive_unit *u = &w->units[p->unit];
            if (p->way->gate != p->gate || u->part < 0 || p->way->from != u->part)
                continue;
            double f = naive_likelihood(n, u, p->gate, p->now) * p->way->share * (1 - odds.missed);
            if (p->code && u->code != p->code && (u->code || naive_held(w, p->code, p->unit)))
                f *= odds.misread;
            struct world to = *w;
            to.weight *= f;
            p->end = EDGE_SEEN;
            if (f > 0)
                naive_first(n, &to, p);
        }
    }
}

/* Out of a part in which nobody is, somebody who stood in the one before and gave no pulse between.
 */
static void world_hops(struct naive *n, const struct world *w, struct naive_pulse *p)
{
    for (uint32_t i = 0; i < n->line->way_count * n->line->way_count * UNITS; i++) {
        const struct assign_way *in = &n->line->ways[i / UNITS % n->line->way_count];
        const struct assign_way *out = &n->line->ways[i / UNITS / n->line->way_count];
        const struct naive_unit *u = &w->units[i % UNITS];
        if (out->gate != p->gate || in->into != out->from || in->from == ASSIGN_OUTSIDE ||
            out->from == ASSIGN_OUTSIDE || u->part != in->from || naive_belt(n, in->from) ||
            naive_belt(n, out->from) || n->line->parts[in->from].order == ASSIGN_RANDOM)
            continue;
        bool fits = true;
        bool lifo = n->line->parts[in->from].order == ASSIGN_LIFO;
        for (int k = 0; k < UNITS; k++) {
            const struct naive_unit *o = &w->units[k];
            fits = fits && o->part != out->from &&
                   (o->part != u->part || (lifo ? o->t_in <= u->t_in : o->t_in >= u->t_in));
        }
        const struct assign_part *from = &n->line->parts[in->from];
        const struct assign_part *through = &n->line->parts[out->from];
        int64_t first = u->t_in + from->time_min_us;
        int64_t last = p->now - through->time_min_us;
        if (from->time_max_us && last > u->t_in + from->time_max_us)
            last = u->t_in + from->time_max_us;
        if (through->time_max_us && first < p->now - through->time_max_us)
            first = p->now - through->time_max_us;
        if (!fits || first > last)
            continue;
        struct world to = *w;
        p->unit = (int)(i % UNITS);
        p->way = out;
        p->end = EDGE_SEEN;
        to.weight *= odds.missed * in->share * (1 - odds.missed) * out->share;
        if (p->code && u->code != p->code && (u->code || naive_held(w, p->code, p->unit)))
            to.weight *= odds.misread;
        int64_t when = first + (last - first) / 2;
        world_leave(&to, p->unit, when, EDGE_UNSEEN, ASSIGN_KEPT);
        world_enter(n, &to, p->unit, out->from, when, 0, EDGE_UNSEEN);
        naive_room(n, &to, p);
    }
}

/* A unit that came into the line there without a pulse, if there was room for it. */
static double naive_entered(const struct naive *n, const struct world *w, uint16_t part)
{
    bool entry = false;
    bool room = true;
    for (uint32_t i = 0; i < n->line->way_count; i++)
        entry = entry || (n->line->ways[i].from == ASSIGN_OUTSIDE && n->line->ways[i].into == part);
    for (int i = 0; i < UNITS; i++)
        room = room && (naive_belt(n, part) || w->units[i].part != part);
    return entry && room ? odds.missed : 0;
}

static void world_newcomers(struct naive *n, const struct world *w, struct naive_pulse *p)
{
    uint32_t entries = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; i < n->line->way_count; i++) {
        entries += n->line->ways[i].gate == p->gate && n->line->ways[i].from == ASSIGN_OUTSIDE;
        others += n->line->ways[i].gate == p->gate && n->line->ways[i].from != ASSIGN_OUTSIDE;
    }
    double held = p->code && naive_held(w, p->code, p->newcomer) ? odds.misread : 1;
    if (!p->code)
        (void)world_add(n, w, odds.spurious); /* of nobody */
    p->unit = p->newcomer;
    p->appears = true;
    for (uint32_t i = 0; i < n->line->way_count; i++) {
        p->way = &n->line->ways[i];
        bool entry = p->way->from == ASSIGN_OUTSIDE;
        if (p->way->gate != p->gate || (entries && !entry))
            continue;
        struct world to = *w;
        to.weight *=
            held * (entries ? 1.0 / entries
                            : (odds.appeared + naive_entered(n, w, p->way->from)) / others);
        to.units[p->unit] = (struct naive_unit){.part = -1, .code = p->code};
        naive_room(n, &to, p);
    }
    p->appears = false;
}

static void world_moves(struct naive *n, const struct world *w, struct naive_pulse *p)
{
    for (int k = 0; k < UNITS && p->code; k++) {
        const struct naive_unit *u = &w->units[k];
        if (u->part < 0 || u->code != p->code)
            continue;
        bool comes = false;
        for (uint32_t i = 0; i < n->line->way_count; i++)
            comes =
                comes || (n->line->ways[i].gate == p->gate && n->line->ways[i].from == u->part &&
                          naive_likelihood(n, u, p->gate, p->now) > 0);
        for (uint32_t i = 0; i < n->line->way_count && !comes; i++) {
            p->way = &n->line->ways[i];
            p->unit = k;
            p->end = EDGE_UNSEEN;
            struct world to = *w;
            to.weight *= odds.moved * p->way->share;
            if (p->way->gate == p->gate)
                naive_room(n, &to, p);
        }
    }
}

static void naive_take(struct naive *n, struct naive_pulse *p)
{
    naive_reach(n, p->now);
    for (uint32_t i = 0; i < n->count && !n->full; i++) {
        world_newcomers(n, &n->worlds[i], p);
        world_passes(n, &n->worlds[i], p);
        world_hops(n, &n->worlds[i], p);
        world_moves(n, &n->worlds[i], p);
    }
    worlds_turn(n);
}

/* --------------------------------------------------------------------------------------- compared
 */

struct seen {
    struct naive_stay stay;
    double probability;
};

struct compared {
    struct seen said[SEEN_MAX];
    int said_count;
    struct seen naive[SEEN_MAX];
    int naive_count;
};

static struct compared compared;

static double *seen_at(struct seen *list, int *count, const struct naive_stay *s)
{
    const struct naive_stay key = {
        .unit = s->unit, .part = s->part, .t_in = s->t_in, .visit = s->visit};
    for (int i = 0; i < *count; i++) {
        const struct naive_stay *o = &list[i].stay;
        if (o->unit == key.unit && o->part == key.part && o->t_in == key.t_in &&
            o->visit == key.visit)
            return &list[i].probability;
    }
    CHECK(*count < SEEN_MAX);
    list[*count] = (struct seen){key, 0};
    return &list[(*count)++].probability;
}

static int on_stay(void *ctx, const struct assign_stay *s)
{
    (void)ctx;
    const struct naive_stay key = {
        .unit = s->unit[0], .part = s->part, .t_in = s->t_in, .visit = s->visit};
    *seen_at(compared.said, &compared.said_count, &key) = s->probability;
    return OK;
}

static int on_breach(void *ctx, const struct assign_breach *b)
{
    (void)ctx;
    CHECK(b->kind == ASSIGN_GHOST || b->probability >= 0.5);
    return OK;
}

/* What the clusters have not decided. A stay and the same with a breach are two of them. */
static void undecided_add(const struct assign *a)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < a->unit_end; i++) {
            const struct assign_unit *u = &a->units[i];
            if (!u->order || u->cluster == ASSIGN_NOBODY)
                continue;
            const struct cluster *c = a->clusters[u->cluster];
            if (&a->units[c->units[0]] != u)
                continue;
            for (uint32_t k = 0; k < c->stay_count; k++) {
                const struct undecided *s = &c->stays[k];
                const struct naive_stay key = {
                    .unit = s->unit[0], .part = s->part, .t_in = s->t_in, .visit = s->visit};
                double *p = seen_at(compared.said, &compared.said_count, &key);
                *p = pass ? *p + cluster_stay_weight(a, c, k) : 0;
            }
        }
    }
}

static void naive_sum(const struct naive *n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n->count; i++)
        sum += n->worlds[i].weight;
    for (uint32_t i = 0; i < n->count; i++)
        for (int k = 0; k < n->worlds[i].stay_count; k++)
            *seen_at(compared.naive, &compared.naive_count, &n->worlds[i].stays[k]) +=
                n->worlds[i].weight / sum;
}

/* Over all numbers: a history has none. */
static double said_of(const struct naive_stay *s)
{
    double p = 0;
    for (int i = 0; i < compared.said_count; i++) {
        const struct naive_stay *o = &compared.said[i].stay;
        if (o->unit == s->unit && o->part == s->part && o->t_in == s->t_in)
            p += compared.said[i].probability;
    }
    return p;
}

static void compare(uint64_t seed)
{
    for (int i = 0; i < compared.naive_count; i++) {
        const struct naive_stay *s = &compared.naive[i].stay;
        double said = said_of(s);
        double truth = compared.naive[i].probability;
        if (fabs(said - truth) > 1e-9)
            check_fail_at(
                __FILE__, __LINE__, "seed %llu: unit %d in part %d from %lld: %.9f, in truth %.9f",
                (unsigned long long)seed, s->unit, s->part, (long long)s->t_in, said, truth);
    }
    for (int i = 0; i < compared.said_count; i++) {
        struct naive_stay s = compared.said[i].stay;
        s.visit = 0;
        double truth = *seen_at(compared.naive, &compared.naive_count, &s);
        CHECK(compared.said[i].probability < 1e-9 || truth > 0);
    }
}

/* ---------------------------------------------------------------------------------------- topology
 */

static void random_part(struct assign_part *p, struct rand *rand)
{
    *p = (struct assign_part){0};
    uint64_t kind = rand_below(rand, 5);
    if (kind < 2) {
        p->length_mm = 300 + (double)rand_below(rand, 5) * 100;
        return;
    }
    p->order = (enum assign_order)rand_below(rand, 3);
    p->time_min_us = (int64_t)rand_below(rand, 2) * S;
    p->time_max_us = rand_below(rand, 2) ? (int64_t)(5 + rand_below(rand, 5)) * S : 0;
    p->capacity = (uint32_t)rand_below(rand, 2);
}

static void way_add(struct topology *t, uint16_t from, uint16_t into, struct rand *rand)
{
    if (t->way_count == WAYS)
        return;
    bool shared = t->gate_count && rand_below(rand, 4) == 0;
    uint32_t gate = shared ? (uint32_t)rand_below(rand, t->gate_count) : t->gate_count++;
    if (!shared)
        t->gates[gate] = (struct assign_gate){40 + (double)rand_below(rand, 60), 0.02};
    t->ways[t->way_count++] = (struct assign_way){from, into, (uint16_t)gate, 1};
}

/* Parts in a row, with ways that leave some out and one that leads back. */
static void random_topology(struct topology *t, struct rand *rand)
{
    *t = (struct topology){.part_count = 1 + (uint32_t)rand_below(rand, PARTS)};
    for (uint32_t i = 0; i < t->part_count; i++)
        random_part(&t->parts[i], rand);
    way_add(t, ASSIGN_OUTSIDE, 0, rand);
    for (uint32_t i = 0; i < t->part_count; i++) {
        uint16_t next = i + 1u < t->part_count ? (uint16_t)(i + 1) : ASSIGN_OUTSIDE;
        way_add(t, (uint16_t)i, next, rand);
        if (next != ASSIGN_OUTSIDE && rand_below(rand, 3) == 0)
            way_add(t, (uint16_t)i, i + 2u < t->part_count ? (uint16_t)(i + 2) : ASSIGN_OUTSIDE,
                    rand);
    }
    if (t->part_count > 2 && rand_below(rand, 3) == 0)
        way_add(t, (uint16_t)(t->part_count - 1), 1, rand);
    for (uint32_t i = 0; i < t->way_count; i++) {
        uint32_t outs = 0;
        for (uint32_t k = 0; k < t->way_count; k++)
            outs += t->ways[k].from == t->ways[i].from;
        t->ways[i].share = 1.0 / outs;
    }
}

/* Gates and times so that units come through now and then; codes that are right now and then. */
static uint32_t random_events(const struct topology *t, struct rand *rand, struct naive_pulse *ret)
{
    uint32_t count = 2 + (uint32_t)rand_below(rand, 5);
    int64_t now = 10 * S;
    for (uint32_t i = 0; i < count; i++) {
        now += (int64_t)(1 + rand_below(rand, 45)) * S / 10;
        bool entry = i == 0 || rand_below(rand, 3) == 0;
        ret[i] = (struct naive_pulse){.now = now, .newcomer = (int)i};
        ret[i].gate = entry ? t->ways[0].gate : (int)rand_below(rand, t->gate_count);
        ret[i].code = rand_below(rand, 3) == 0 ? 1 + (int)rand_below(rand, 3) : 0;
    }
    return count;
}

static bool run_seed(uint64_t seed, struct world *memory[static 2])
{
    struct topology t;
    struct rand rand;
    struct naive_pulse pulses[UNITS];
    struct assign *a = NULL;
    struct assign_stats stats;
    rand_seed(&rand, seed);
    random_topology(&t, &rand);
    uint32_t count = random_events(&t, &rand, pulses);
    const struct assign_model model = {
        .parts = t.parts,
        .ways = t.ways,
        .gates = t.gates,
        .part_count = t.part_count,
        .way_count = t.way_count,
        .gate_count = t.gate_count,
        .odds = odds,
        .hypotheses_max = 100000,
        .change_min = 1e-10,
        .said_min = 1e-10,
        .mm = line_mm,
        .when = line_when,
        .stay = on_stay,
        .breach = on_breach,
    };
    struct naive n = {.line = &t};
    n.worlds = memory[0];
    n.next = memory[1];
    compared.said_count = compared.naive_count = 0;
    CHECK_OK(assign_new(&model, &a));
    n.count = 1;
    n.worlds[0] = (struct world){.weight = 1};
    for (int i = 0; i < UNITS; i++)
        n.worlds[0].units[i].part = -1;
    for (uint32_t i = 0; i < count && !n.full; i++) {
        uint8_t id[TRACK_UNIT_BYTES] = {(uint8_t)i};
        char code[8] = "";
        if (pulses[i].code)
            (void)snprintf(code, sizeof code, "C%d", pulses[i].code);
        CHECK_OK(assign_pulse(
            a, &(struct assign_pulse){(uint16_t)pulses[i].gate, pulses[i].now, id, code}));
        naive_take(&n, &pulses[i]);
    }
    assign_stats_get(a, &stats);
    bool done = !n.full && stats.forced == 0;
    if (done) {
        naive_sum(&n);
        undecided_add(a);
        compare(seed);
    }
    assign_free(a);
    return done;
}

TEST(any_line_has_the_probabilities_of_all_its_histories)
{
    uint32_t done = 0;
    struct world *memory[2] = {calloc(WORLDS_MAX, sizeof **memory),
                               calloc(WORLDS_MAX, sizeof **memory)};
    CHECK(memory[0] && memory[1]);
    for (uint64_t seed = 1; seed <= 1000; seed++)
        done += run_seed(seed, memory);
    free(memory[0]);
    free(memory[1]);
    CHECK(done >= 900);
}
