/* What a reading costs a track that is a whole line: polls of its sensors, scanners and belts in,
 * presences out, on one core. Lines of 10, 50 and 200 belts of 20 m, one behind the other, with 50
 * units on each: a reading is to cost the same on all of them (at most twice as much: more of the
 * line is out of the caches), and a core takes a million of them a second with 10,000 units on the
 * line. Two nearly empty lines show what readings cost that are no pulse of anybody, and a full one
 * whose sensors miss one pulse of a hundred how many hypotheses that keeps open.
 *
 * Peer: the shift register that a controller would use, one for each belt: a unit enters at the
 * pulse of the gate before, and leaves at that of the gate behind. It reads the same batches in the
 * same way (columns, qualities, edges) and knows nothing of lost pulses, speeds or probabilities.
 *
 *   bench_line [BELTS UNITS]   default: the shapes above, one after the other
 */
#include "bench/bench.h"
#include "bench/plant.h"

#include <string.h>

#define ROUND_S 1.0
#define ROUNDS  5

/* What is timed. */
static void ours_take(struct plant_track *o, struct plant *p, const struct batch *b)
{
    batch_unref(plant_track_take(o, p, b));
}

/* How many hypotheses any units' fates have now. */
static uint32_t hypotheses_now(const struct plant_track *o)
{
    struct assign_stats stats;
    assign_stats_get(line_of(o->track)->assign, &stats);
    return stats.hypotheses;
}

/* ------------------------------------------------------------------------------------------ peer
 */

struct shift {
    uint64_t first; /* the numbers of the units on it */
    uint64_t end;
    bool level;
};

static uint64_t peer_take(struct shift *belts, const struct plant *p, const struct batch *b)
{
    uint32_t gates = plant_gates(p);
    uint64_t left = 0;
    for (uint32_t gate = 0; gate < gates; gate++) {
        struct column c = batch_column(b, gate);
        for (uint32_t row = 0; row < b->rows; row++) {
            if (column_quality(&c, row) != QUALITY_GOOD || column_is_null(&c, row))
                continue;
            struct value v = column_shown(&c, row);
            bool edge = v.boolean && !belts[gate].level;
            belts[gate].level = v.boolean;
            if (!edge)
                continue;
            belts[gate].end += gate + 1 < gates;
            if (gate > 0 && belts[gate - 1].first < belts[gate - 1].end) {
                belts[gate - 1].first++;
                left++;
            }
        }
    }
    return left;
}

/* --------------------------------------------------------------------------------------- measured
 */

struct figures {
    struct plant_cost cost;
    uint32_t hypotheses; /* the most after any second */
    uint64_t forced;     /* what was beyond a limit */
};

static double round_ns(struct plant_track *o, struct shift *belts, struct plant *p,
                       uint32_t *io_most)
{
    double busy = 0;
    double readings = 0;
    double end = bench_now_s() + ROUND_S;
    while (bench_now_s() < end) {
        struct batch *b = plant_record(p);
        double from = bench_now_s();
        if (o)
            ours_take(o, p, b);
        else
            (void)peer_take(belts, p, b);
        busy += bench_now_s() - from;
        readings += plant_record_readings(p);
        uint32_t now = o ? hypotheses_now(o) : 0;
        *io_most = now > *io_most ? now : *io_most;
        batch_unref(b);
    }
    return busy / readings * 1e9;
}

static struct figures measure(struct shape shape)
{
    struct figures f = {.cost.shape = shape};
    struct plant p;
    struct plant_track o;
    double ours[ROUNDS];
    double peer[ROUNDS];
    plant_init(&p, shape);
    plant_track_init(&o, &p, NULL);
    plant_track_fill(&o, &p);
    struct shift *belts = calloc(plant_gates(&p), sizeof *belts);
    bench_must(belts ? OK : ERR_NOMEM, "peer", NULL);
    for (int i = 0; i < ROUNDS; i++) {
        ours[i] = round_ns(&o, NULL, &p, &f.hypotheses);
        /* The peer sees a plant of its own: what it misses of ours is not timed. */
        struct plant q;
        plant_init(&q, shape);
        peer[i] = round_ns(NULL, belts, &q, &f.hypotheses);
        plant_fini(&q);
    }
    struct assign_stats stats;
    assign_stats_get(line_of(o.track)->assign, &stats);
    f.cost.ours_ns = bench_median(ours, ROUNDS);
    f.cost.peer_ns = bench_median(peer, ROUNDS);
    f.cost.units = stats.units;
    f.forced = stats.forced;
    char said[96];
    (void)snprintf(said, sizeof said, "%llu lost, %llu from nowhere, %llu forced, %llu presences",
                   (unsigned long long)o.stats.lost, (unsigned long long)o.stats.ghosts,
                   (unsigned long long)stats.forced, (unsigned long long)o.presences);
    bool right = o.stats.lost + o.stats.ghosts + stats.forced == 0 || shape.lost;
    bench_must(right && o.presences ? OK : ERR_INVALID, "what the track says of the plant", said);
    plant_track_fini(&o);
    free(belts);
    plant_fini(&p);
    return f;
}

/* A plant whose sensors miss pulses: how much is kept open. */
static void lossy_print(const struct figures *f)
{
    const struct shape *shape = &f->cost.shape;
    char what[96];
    (void)snprintf(what, sizeof what, "%u belts, %u units, a pulse of %u lost: readings a second",
                   shape->belts, f->cost.units, shape->lost);
    bench_ratio("line", what, 1e9 / f->cost.ours_ns, PLANT_GOAL, "1/s", 1);
    (void)snprintf(what, sizeof what, "%u belts, %u units, a pulse of %u lost: hypotheses at once",
                   shape->belts, f->cost.units, shape->lost);
    bench_value("line", what, f->hypotheses, "hypotheses of a cluster", ASSIGN_HYPOTHESES_MAX);
    (void)snprintf(what, sizeof what, "%u belts, %u units, a pulse of %u lost: beyond a limit",
                   shape->belts, f->cost.units, shape->lost);
    bench_value("line", what, (double)f->forced, "units and stays", 0);
}

int main(int argc, char **argv)
{
    struct shape shapes[] = {{10, 500, 0}, {50, 2500, 0}, {200, 10000, 0},
                             {10, 10, 0},  {200, 200, 0}, {200, 10000, 100}};
    size_t count = sizeof shapes / sizeof shapes[0];
    struct figures first = {0};
    if (argc == 3) {
        shapes[0] = (struct shape){(uint32_t)strtoul(argv[1], NULL, 10),
                                   (uint32_t)strtoul(argv[2], NULL, 10), 0};
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        struct figures f = measure(shapes[i]);
        first = i ? first : f;
        if (shapes[i].lost) {
            lossy_print(&f);
            continue;
        }
        plant_cost_print("line", "readings", "a shift register", &f.cost, &first.cost);
    }
    return 0;
}
