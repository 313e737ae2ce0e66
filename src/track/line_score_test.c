/* How well a line binds when its floor is not ideal: pulses lost and doubled, codes unread, speeds
 * that vary and are calibrated wrong, two lanes that merge, units that are rejected. The plant
 * knows where each unit truly was at each poll, and every reading is scored.
 *
 * LINE_SCORE=1 prints the figures.
 */
#include "base/rand.h"
#include "tests/support/line_bench.h"

#include <math.h>

#define SECONDS  1800
#define UNITS    400
#define STATIONS 5
#define NEAR_MS  150   /* of a true boundary: a poll, and 5 mm of belt */
#define TRUE_WAY 1.005 /* the belts go so much further than their speeds say */
#define PRESS_MS 2000
#define APART_MM 350.0
#define SURE     0.95

static const char config[] =
    "name: n\n"
    "tracks:\n"
    "  - name: line\n"
    "    parts:\n"
    "      - {belt: infeed, length_mm: 2000, speed: {signal: plc.line.v0}, to: [left, right]}\n"
    "      - {belt: left, length_mm: 3000, speed: {signal: plc.line.v0}, to: joint,\n"
    "         places: [{station: glue_l, from_mm: 800, to_mm: 1600}]}\n"
    "      - {belt: right, length_mm: 3700, speed: {signal: plc.line.v0}, to: joint,\n"
    "         places: [{station: glue_r, from_mm: 1200, to_mm: 2000}]}\n"
    "      - {belt: joint, length_mm: 1500, speed: {signal: plc.line.v1}, to: [press, out],\n"
    "         places: [{station: aoi, from_mm: 500, to_mm: 900}]}\n"
    "      - {station: press, time_min: 1s, time_max: 6s, to: outfeed}\n"
    "      - {belt: outfeed, length_mm: 2000, speed: {signal: plc.line.v1},\n"
    "         places: [{station: pack, from_mm: 700, to_mm: 1500}]}\n"
    "    gates:\n"
    "      - {signal: plc.line.g0, into: infeed, unit: plc.line.c0, debounce: 1s}\n"
    "      - {signal: plc.line.g1, into: left, debounce: 1s}\n"
    "      - {signal: plc.line.g2, into: right, debounce: 1s}\n"
    "      - {signal: plc.line.g3, into: joint, debounce: 1s}\n"
    "      - {signal: plc.line.g4, out_of: joint, into: out, debounce: 1s}\n"
    "      - {signal: plc.line.g5, into: press, debounce: 1s}\n"
    "      - {signal: plc.line.g6, out_of: press, debounce: 1s}\n"
    "      - {signal: plc.line.g7, out_of: outfeed, unit: plc.line.c1, debounce: 1s}\n"
    "    odds: {missed: 0.02, spurious: 0.01}\n";

static const char *const stations[STATIONS] = {"glue_l", "glue_r", "aoi", "press", "pack"};

/* ------------------------------------------------------------------------------------------ plant
 */

struct interval {
    int from_ms; /* -1: it was never there */
    int to_ms;
};

struct truth {
    struct interval at[STATIONS];
};

struct score {
    uint64_t readings;
    uint64_t right;
    uint64_t wrong;
    uint64_t unsure;
    uint64_t none;
    double brier;
    uint64_t said;
    int worst_run; /* units one behind the other with a reading bound to another one */
    int lost;      /* pulses */
};

struct plant {
    struct bench *t;
    struct rand rand;
    double *mm[SPEEDS]; /* of each belt's drive, at each poll */
    struct truth units[UNITS];
    int count;
    int lost;
};

static bool chance(struct plant *p, double odds)
{
    return rand_double(&p->rand) < odds;
}

static void drives_run(struct plant *p)
{
    for (int d = 0; d < SPEEDS; d++) {
        double phase = 6.28 * rand_double(&p->rand);
        double period_s = 60 + 80 * rand_double(&p->rand);
        double *v = p->t->speed[d];
        CHECK((p->mm[d] = calloc((size_t)p->t->polls + 1, sizeof(double))) != NULL);
        for (int i = 0; i <= p->t->polls; i++) {
            v[i] = 100 * (1 + 0.2 * sin(phase + 6.2832 * i * POLL_MS / 1000 / period_s));
            p->mm[d][i] =
                i ? p->mm[d][i - 1] + (v[i - 1] + v[i]) / 2 * POLL_MS / 1000 * TRUE_WAY : 0;
        }
    }
}

/* When the drive has come to that position; -1: not any more. */
static int drive_ms(const struct plant *p, int drive, double mm)
{
    int low = 0;
    int high = p->t->polls;
    if (p->mm[drive][high] <= mm)
        return -1;
    while (high - low > 1) {
        int mid = (low + high) / 2;
        if (p->mm[drive][mid] <= mm)
            low = mid;
        else
            high = mid;
    }
    double part = (mm - p->mm[drive][low]) / (p->mm[drive][high] - p->mm[drive][low]);
    return (int)((low + part) * POLL_MS);
}

static double drive_mm(const struct plant *p, int drive, int ms)
{
    int poll = ms / POLL_MS;
    double part = (double)(ms % POLL_MS) / POLL_MS;
    return p->mm[drive][poll] + (p->mm[drive][poll + 1] - p->mm[drive][poll]) * part;
}

/* What the gate shows of a unit that is there from then on; lost and doubled as it comes. */
static void gate_shows(struct plant *p, int gate, int ms)
{
    int first = (ms + POLL_MS - 1) / POLL_MS * POLL_MS;
    if (chance(p, 0.02)) {
        p->lost++;
        return;
    }
    high(p->t, gate, first, 1000);
    if (chance(p, 0.01))
        high(p->t, gate, first + 1100 + (int)rand_below(&p->rand, 5) * POLL_MS, 200);
}

static void scanner_shows(struct plant *p, int scanner, int ms, int unit)
{
    char text[8];
    int first = (ms + POLL_MS - 1) / POLL_MS * POLL_MS;
    (void)snprintf(text, sizeof text, "U%d", unit);
    if (!chance(p, 0.01))
        code(p->t, scanner, first, text);
    else if (chance(p, 0.5))
        code(p->t, scanner, first, "");
}

static struct interval belt_stay(const struct plant *p, int drive, double mm, double from,
                                 double to)
{
    struct interval in = {drive_ms(p, drive, mm + from), drive_ms(p, drive, mm + to)};
    if (in.to_ms < 0)
        in.from_ms = -1;
    return in;
}

/* One unit from its entry to its end; false: it is not through when the plant ends. */
static bool unit_goes(struct plant *p, int ms, bool right)
{
    int n = p->count;
    struct truth *u = &p->units[n];
    double in_mm = drive_mm(p, 0, ms);
    double lane_mm = in_mm + 2000;
    for (int i = 0; i < STATIONS; i++)
        u->at[i] = (struct interval){-1, -1};
    int lane_ms = drive_ms(p, 0, lane_mm);
    int joint_ms = drive_ms(p, 0, lane_mm + (right ? 3700 : 3000));
    if (joint_ms < 0)
        return false;
    double joint_mm = drive_mm(p, 1, joint_ms);
    int press_ms = drive_ms(p, 1, joint_mm + 1500);
    if (press_ms < 0 || drive_ms(p, 1, joint_mm + 4500) < 0)
        return false;
    gate_shows(p, 0, ms);
    scanner_shows(p, 0, ms, n);
    gate_shows(p, right ? 2 : 1, lane_ms);
    gate_shows(p, 3, joint_ms);
    u->at[right ? 1 : 0] = belt_stay(p, 0, lane_mm, right ? 1200 : 800, right ? 2000 : 1600);
    u->at[2] = belt_stay(p, 1, joint_mm, 500, 900);
    p->count++;
    if (chance(p, 0.05)) {
        gate_shows(p, 4, press_ms);
        return true;
    }
    int out_ms = press_ms + PRESS_MS;
    double out_mm = drive_mm(p, 1, out_ms);
    gate_shows(p, 5, press_ms);
    u->at[3] = (struct interval){press_ms, out_ms};
    gate_shows(p, 6, out_ms);
    u->at[4] = belt_stay(p, 1, out_mm, 700, 1500);
    int end_ms = drive_ms(p, 1, out_mm + 2000);
    gate_shows(p, 7, end_ms);
    scanner_shows(p, 1, end_ms, n);
    return true;
}

/* Units come in so that none meets another one where the lanes join. */
static void plant_run(struct plant *p)
{
    double joined[UNITS] = {0};
    int ms = 3000;
    drives_run(p);
    while (p->count < UNITS && ms < SECONDS * 1000 - 120000) {
        double mm = drive_mm(p, 0, ms);
        bool right = chance(p, 0.5);
        bool room = false;
        for (int tries = 0; tries < 2 && !room; tries++, right = !right) {
            double at = mm + (right ? 3700 : 3000);
            room = true;
            for (int i = 0; i < p->count; i++)
                room = room && fabs(joined[i] - at) >= APART_MM;
            if (room) {
                joined[p->count] = at;
                if (!unit_goes(p, ms, right))
                    return;
                break;
            }
        }
        ms = drive_ms(p, 0, mm + APART_MM + (double)rand_below(&p->rand, 500));
    }
}

/* ------------------------------------------------------------------------------------------ score
 */

/* The last that was said of each stay. */
static int finals_of(const struct bench *t, const struct seen **ret)
{
    int count = 0;
    for (int i = 0; i < t->count; i++) {
        const struct seen *s = &t->seen[i];
        int at = count;
        while (at > 0 &&
               (ret[at - 1]->visit != s->visit || strcmp(ret[at - 1]->station, s->station) != 0 ||
                memcmp(ret[at - 1]->unit, s->unit, sizeof s->unit) != 0))
            at--;
        if (at)
            ret[at - 1] = s;
        else
            ret[count++] = s;
    }
    return count;
}

static int64_t overlap(const struct seen *s, const struct interval *in)
{
    int64_t from = (s->t_in - T0) / 1000;
    int64_t to = (s->t_out - T0) / 1000;
    from = from > in->from_ms ? from : in->from_ms;
    to = to < in->to_ms ? to : in->to_ms;
    return in->from_ms >= 0 && to > from ? to - from : 0;
}

static int station_of(const struct seen *s)
{
    for (int i = 0; i < STATIONS; i++)
        if (strcmp(s->station, stations[i]) == 0)
            return i;
    return -1;
}

/* Which unit that is: by its code, or the one that was mostly where it is said to have been. */
static int who_is(const struct plant *p, const struct seen *const *finals, int count,
                  const struct seen *s)
{
    int64_t most = 0;
    int who = -1;
    for (int i = 0; i < count; i++)
        if (finals[i]->serial[0] == 'U' && memcmp(finals[i]->unit, s->unit, sizeof s->unit) == 0)
            return (int)strtol(finals[i]->serial + 1, NULL, 10);
    for (int k = 0; k < p->count; k++) {
        int64_t sum = 0;
        for (int i = 0; i < count; i++)
            if (memcmp(finals[i]->unit, s->unit, sizeof s->unit) == 0 && station_of(finals[i]) >= 0)
                sum += overlap(finals[i], &p->units[k].at[station_of(finals[i])]);
        if (sum > most) {
            most = sum;
            who = k;
        }
    }
    return who;
}

/* A reading of a unit that truly is there: several units may be at one place. */
static void reading_score(const struct seen *const *finals, const int *who, int count, int unit,
                          int station, int ms, struct score *io)
{
    double sure = 0;
    for (int i = 0; i < count; i++) {
        const struct seen *s = finals[i];
        int64_t at = T0 + ms * INT64_C(1000);
        if (!s->retracted && who[i] == unit && station_of(s) == station && at >= s->t_in &&
            at < s->t_out)
            sure += s->probability;
    }
    io->readings++;
    io->right += sure >= SURE;
    io->unsure += sure < SURE && sure > 0;
    io->none += !(sure > 0);
}

/* Readings that are given to a unit which was not there. True: there are some. */
static bool presence_score(const struct seen *s, const struct interval *in, struct score *io)
{
    int64_t from_ms = (s->t_in - T0) / 1000;
    int64_t to_ms = (s->t_out - T0) / 1000;
    uint64_t wrong = 0;
    for (int64_t ms = from_ms; ms < to_ms; ms += POLL_MS) {
        bool there = in->from_ms >= 0 && ms >= in->from_ms - NEAR_MS && ms < in->to_ms + NEAR_MS;
        wrong += !there;
    }
    io->wrong += wrong;
    return wrong > 0;
}

static struct score plant_score(const struct plant *p)
{
    const struct seen **finals = calloc((size_t)p->t->count + 1, sizeof(struct seen *));
    struct score score = {.lost = p->lost};
    bool wrong[UNITS] = {false};
    CHECK(finals != NULL);
    int count = finals_of(p->t, finals);
    int *who = calloc((size_t)count + 1, sizeof *who);
    CHECK(who != NULL);
    for (int i = 0; i < count; i++)
        who[i] = who_is(p, finals, count, finals[i]);
    for (int u = 0; u < p->count; u++) {
        for (int k = 0; k < STATIONS; k++) {
            for (int ms = p->units[u].at[k].from_ms + NEAR_MS;
                 p->units[u].at[k].from_ms >= 0 && ms < p->units[u].at[k].to_ms - NEAR_MS;
                 ms += POLL_MS)
                reading_score(finals, who, count, u, k, ms, &score);
        }
    }
    for (int i = 0; i < count; i++) {
        int k = station_of(finals[i]);
        const struct interval *in = k >= 0 && who[i] >= 0 ? &p->units[who[i]].at[k] : NULL;
        bool there = in && overlap(finals[i], in) > 0;
        if (k >= 0 && who[i] >= 0 && !finals[i]->retracted && finals[i]->probability >= SURE)
            wrong[who[i]] =
                presence_score(finals[i], &p->units[who[i]].at[k], &score) || wrong[who[i]];
        score.brier += pow(finals[i]->probability - there, 2);
        score.said++;
    }
    int run = 0;
    for (int u = 0; u < p->count; u++) {
        run = wrong[u] ? run + 1 : 0;
        score.worst_run = run > score.worst_run ? run : score.worst_run;
    }
    free(who);
    free(finals);
    return score;
}

static struct score seed_score(uint64_t seed)
{
    struct plant *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->t = bench_new(config, SECONDS);
    rand_seed(&p->rand, seed);
    plant_run(p);
    bench_track(p->t);
    bench_poll(p->t, 0, p->t->polls);
    struct score s = plant_score(p);
    if (getenv("LINE_SCORE")) {
        printf("seed %llu: %d units, %d pulses lost; readings %llu: wrong %.3f %%, unsure %.3f %%, "
               "none %.3f %%; Brier %.4f of %llu; wrong units in a row %d; gone %llu, appeared "
               "%llu\n",
               (unsigned long long)seed, p->count, s.lost, (unsigned long long)s.readings,
               100.0 * (double)s.wrong / (double)s.readings,
               100.0 * (double)s.unsure / (double)s.readings,
               100.0 * (double)s.none / (double)s.readings, s.brier / (double)s.said,
               (unsigned long long)s.said, s.worst_run, (unsigned long long)p->t->stats.lost,
               (unsigned long long)p->t->stats.ghosts);
    }
    bench_free(p->t);
    for (int d = 0; d < SPEEDS; d++)
        free(p->mm[d]);
    free(p);
    return s;
}

TEST(a_floor_that_is_not_ideal_is_bound_well)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct score s = seed_score(seed);
        CHECK(s.readings > 10000);
        CHECK((double)s.wrong <= 0.001 * (double)s.readings);
        CHECK((double)(s.wrong + s.unsure) <= 0.02 * (double)s.readings);
        CHECK(s.brier <= 0.05 * (double)s.said);
        CHECK(s.worst_run <= 2);
    }
}
