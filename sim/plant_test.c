/* The plant's model: no unit is lost, the same seed makes the same plant, and each fault raises the
 * rate of its own defect and of no other. */
#include "sim/plant.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

struct seen {
    uint64_t split, finished, scrapped, held, in_line;
    uint64_t hash;
    uint64_t panels_with[DEFECTS];
    uint64_t panels;
    struct rand rand; /* when to ask, in the test of determinism */
};

static void note(struct seen *s, uint64_t v)
{
    s->hash = (s->hash ^ v) * 0x100000001b3u;
}

static void on_left(void *ctx, struct plant *p, const struct unit *u, const char *status, int64_t t)
{
    struct seen *s = ctx;
    (void)p;
    s->split += strcmp(status, "split") == 0;
    s->finished += strcmp(status, "finished") == 0;
    s->scrapped += strcmp(status, "scrapped") == 0;
    s->held += strcmp(status, "held") == 0;
    s->in_line += strcmp(status, "in_line") == 0;
    note(s, (uint64_t)t);
    note(s, u->number * 8 + u->board);
    for (uint32_t i = 0; i < u->step_count; i++)
        note(s, (uint64_t)u->steps[i].t_in ^ (uint64_t)u->steps[i].t_out << 1);
    if (u->board || strcmp(status, "split") != 0)
        return;
    s->panels++;
    bool has[DEFECTS] = {false};
    for (uint32_t i = 0; i < u->defect_count; i++)
        has[u->defects[i].defect] = true;
    for (unsigned d = 0; d < DEFECTS; d++)
        s->panels_with[d] += has[d];
}

static struct plant *start(const struct scenario *s, struct seen *seen)
{
    struct plant *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    *seen = (struct seen){.hash = 1};
    p->ports = (struct plant_ports){.ctx = seen, .left = on_left};
    CHECK_EQ(plant_start(p, s, 0), OK);
    return p;
}

static void stop(struct plant *p)
{
    plant_free(p);
    free(p);
}

static void trouble(struct scenario *s)
{
    s->stops = (struct rate_spec){2, 30 * SECOND_US, 0};
    s->ramps = (struct rate_spec){2, 60 * SECOND_US, 0.6};
    s->slips = (struct rate_spec){2, 20 * SECOND_US, 0.1};
    s->reversals = (struct rate_spec){2, SECOND_US, 60};
    s->missing_pulse = 0.02;
    s->double_pulse = 0.02;
    s->unread = 0.02;
}

TEST(no_unit_is_lost)
{
    struct scenario s;
    struct seen seen;
    scenario_default(&s);
    trouble(&s);
    struct plant *p = start(&s, &seen);
    plant_run(p, 48 * HOUR_US);
    CHECK(p->panels > 1500);
    CHECK(p->unit_count < 60);
    plant_end(p);
    CHECK_EQ(p->unit_count, 0);
    uint64_t boards = seen.split * BOARDS;
    CHECK(seen.finished + seen.scrapped <= boards);
    CHECK(seen.split + seen.in_line >= p->panels);
    CHECK_EQ(p->panels * BOARDS >= boards, true);
    uint64_t boards_in_line = boards - seen.finished - seen.scrapped;
    CHECK_EQ(seen.in_line, p->panels - seen.split + boards_in_line);
    CHECK_EQ(seen.held, 0);
    stop(p);
}

TEST(the_same_seed_makes_the_same_plant_however_often_it_is_asked)
{
    struct scenario s;
    struct seen once;
    struct seen often;
    scenario_default(&s);
    trouble(&s);
    struct plant *p = start(&s, &once);
    plant_run(p, 6 * HOUR_US);
    stop(p);
    p = start(&s, &often);
    rand_seed(&often.rand, 5);
    for (int64_t t = 0; t < 6 * HOUR_US; t += 1 + (int64_t)rand_below(&often.rand, 7 * SECOND_US)) {
        plant_run(p, t);
        (void)belt_mm(&p->belt, t);
        (void)air_vacuum(p, 1, 2, t);
    }
    plant_run(p, 6 * HOUR_US);
    stop(p);
    CHECK_EQ(once.hash, often.hash);
    s.seed = 2;
    p = start(&s, &often);
    plant_run(p, 6 * HOUR_US);
    stop(p);
    CHECK(once.hash != often.hash);
}

static void run_days(const struct scenario *s, int days, struct seen *seen)
{
    struct plant *p = start(s, seen);
    plant_run(p, days * 24 * HOUR_US);
    stop(p);
}

static void check_fault(unsigned fault, uint64_t seed)
{
    struct scenario s;
    struct seen without;
    struct seen with;
    scenario_default(&s);
    s.seed = seed;
    run_days(&s, 2, &without);
    s.faults[s.fault_count++] = (struct fault_spec){(int)fault, 6 * HOUR_US, 36 * HOUR_US, 1};
    run_days(&s, 2, &with);
    for (unsigned d = 0; d < DEFECTS; d++) {
        double a = (double)without.panels_with[d];
        double b = (double)with.panels_with[d];
        (void)printf("# fault %u seed %u defect %u: %.0f without, %.0f with it\n", fault,
                     (unsigned)seed, d, a, b);
        bool raised = b > 2.5 * a + 20;
        bool same = fabs(a - b) < 5 * sqrt(a + b + 1);
        CHECK(d == fault ? raised : same);
    }
}

TEST(each_fault_raises_the_rate_of_its_defect_and_of_no_other)
{
    for (unsigned fault = 0; fault < FAULTS; fault++) {
        for (uint64_t seed = 1; seed <= 3; seed++)
            check_fault(fault, seed);
    }
}

TEST(a_held_unit_leaves_at_its_next_station)
{
    struct scenario s;
    struct seen seen;
    scenario_default(&s);
    struct plant *p = start(&s, &seen);
    plant_run(p, 30 * SECOND_US);
    CHECK(plant_hold(p, "P0000001"));
    CHECK(!plant_hold(p, "P0009999"));
    plant_run(p, 20 * MINUTE_US);
    CHECK_EQ(seen.held, 1);
    CHECK_EQ(seen.split > 0, true);
    CHECK(!plant_hold(p, "P0000001"));
    stop(p);
}

/* Light barriers, hands and sway: as often as the scenario says, and every unit is accounted for.
 */
struct floor_seen {
    uint64_t panels, put_on, taken, left;
    uint64_t pulses[3]; /* passages that gave so many */
    double shortest_s, longest_s;
};

static void on_left_floor(void *ctx, struct plant *p, const struct unit *u, const char *status,
                          int64_t t)
{
    struct floor_seen *f = ctx;
    (void)p;
    (void)t;
    f->left++;
    f->taken += strcmp(status, "removed") == 0;
    f->panels += u->board == 0;
    f->put_on += u->board == 0 && u->step_count > 0 && u->steps[0].station == SPI;
    for (uint32_t i = 0; i < u->step_count; i++) {
        const struct step *s = &u->steps[i];
        if (s->station == OVEN || s->t_out == 0)
            continue;
        f->pulses[s->pulses_in]++;
        f->pulses[s->pulses_out]++;
        double took = (double)(s->t_out - s->t_in) / SECOND_US;
        if (s->station != PRINTER)
            continue;
        f->shortest_s = fmin(f->shortest_s, took);
        f->longest_s = fmax(f->longest_s, took);
    }
}

TEST(a_floor_that_is_not_ideal_is_so_as_often_as_it_is_said)
{
    struct scenario s;
    struct floor_seen f = {.shortest_s = 1000};
    scenario_default(&s);
    s.eyes = true;
    s.missing_pulse = 0.02;
    s.double_pulse = 0.01;
    s.sway = 0.2;
    s.removed = 0.002;
    s.inserted = 0.02;
    struct plant *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->ports = (struct plant_ports){.ctx = &f, .left = on_left_floor};
    CHECK_EQ(plant_start(p, &s, 0), OK);
    plant_run(p, 96 * HOUR_US);
    plant_end(p);
    CHECK_EQ(f.panels, p->panels);
    double passes = (double)(f.pulses[0] + f.pulses[1] + f.pulses[2]);
    CHECK(passes > 50000);
    CHECK(fabs((double)f.pulses[0] / passes - 0.02) < 0.003);
    CHECK(fabs((double)f.pulses[2] / passes - 0.98 * 0.01) < 0.002);
    CHECK(fabs((double)f.put_on / (double)f.panels - 0.02) < 0.01);
    double ways = 5 * (double)f.panels + (double)p->boards;
    CHECK(fabs((double)f.taken / ways - 0.002) < 0.001);
    CHECK(f.shortest_s > 40 / 1.2 * 0.9 && f.shortest_s < 40 / 1.15);
    CHECK(f.longest_s > 40 / 0.85 && f.longest_s < 40 / 0.8 * 1.1);
    stop(p);
}

TEST(a_barrier_shows_what_passed_and_a_missed_unit_not)
{
    struct scenario s;
    scenario_default(&s);
    s.eyes = true;
    s.double_pulse = 1;
    struct seen seen;
    struct plant *p = start(&s, &seen);
    CHECK_EQ(eye_pass(p, AOI, EYE_IN, HOUR_US), 2);
    CHECK(!eye_sees(p, AOI, EYE_IN, HOUR_US - 1));
    CHECK(eye_sees(p, AOI, EYE_IN, HOUR_US));
    CHECK(!eye_sees(p, AOI, EYE_OUT, HOUR_US));
    unsigned rising = 0;
    bool was = false;
    for (int64_t t = HOUR_US; t < HOUR_US + 20 * SECOND_US; t += SECOND_US / 10) {
        bool is = eye_sees(p, AOI, EYE_IN, t);
        rising += is && !was;
        was = is;
    }
    CHECK_EQ(rising, 2);
    p->scenario.missing_pulse = 1;
    CHECK_EQ(eye_pass(p, AOI, EYE_OUT, HOUR_US), 0);
    CHECK(!eye_sees(p, AOI, EYE_OUT, HOUR_US));
    stop(p);
}

/* Where the belt is is what it did: its way between two moments is the integral of its speed. */
TEST(the_way_of_the_belt_is_the_integral_of_its_speed)
{
    struct scenario s;
    struct belt b;
    scenario_default(&s);
    trouble(&s);
    belt_start(&b, &s);
    double sum = 0;
    double back = 0;
    int64_t step = 20000;
    for (int64_t t = 0; t < 4 * HOUR_US; t += step) {
        double v = belt_speed(&b, t + step / 2);
        sum += v * (double)step / 1e6;
        back = v < back ? v : back;
    }
    CHECK(fabs(sum - belt_mm(&b, 4 * HOUR_US)) < 1);
    CHECK(back < -1);
    double there = belt_mm(&b, HOUR_US);
    int64_t first = belt_when(&b, 0, there);
    int64_t last = belt_when_last(&b, 0, 2 * HOUR_US, there);
    CHECK(first <= HOUR_US && last >= HOUR_US);
    CHECK(fabs(belt_mm(&b, first) - there) < 0.01);
    CHECK(fabs(belt_mm(&b, last) - there) < 0.01);
    belt_free(&b);
}

/* The form of a ledger's line is promised to its readers. */
static void on_left_print(void *ctx, struct plant *p, const struct unit *u, const char *status,
                          int64_t t)
{
    ledger_unit(p, u, status, t, ctx);
}

TEST(a_ledger_line_has_steps_zones_and_children)
{
    struct scenario s;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    struct plant *p = calloc(1, sizeof *p);
    CHECK(p != NULL && to != NULL);
    scenario_default(&s);
    p->keep_paths = true;
    p->ports = (struct plant_ports){.ctx = to, .left = on_left_print};
    CHECK_EQ(plant_start(p, &s, 1000000), OK);
    plant_run(p, 20 * MINUTE_US);
    plant_free(p);
    free(p);
    (void)fclose(to);
    CHECK(strstr(text, "{\"kind\":\"panel\",\"serial\":\"P0000001\",\"status\":\"split\"") == text);
    CHECK(strstr(text, "\"station\":\"reflow\"") != NULL);
    CHECK(strstr(text, "\"zones\":[{\"zone\":1,\"t_in\":") != NULL);
    CHECK(strstr(text, "\"path\":[[") != NULL);
    CHECK(strstr(text, "\"children\":[\"B0000001\",\"B0000002\",\"B0000003\",\"B0000004\"]") !=
          NULL);
    CHECK(strstr(text, "\"parent\":\"P0000001\"") != NULL);
    free(text);
}

static struct scenario load(const char *text, int want, struct diag *diag)
{
    struct scenario s = {0};
    const char *folder = check_folder();
    char file[512];
    (void)snprintf(file, sizeof file, "%s/scenario.yaml", folder);
    FILE *to = fopen(file, "we");
    CHECK(to != NULL);
    (void)fputs(text, to);
    (void)fclose(to);
    *diag = (struct diag){0};
    CHECK_EQ(scenario_load(file, &s, diag), want);
    return s;
}

TEST(a_scenario_says_where_it_is_wrong)
{
    struct diag diag;
    struct scenario s = load("takt: 50s\nspeed: 20\nfaults:\n  - {fault: zone_drift, start: 1h,"
                             " length: 2h, strength: 0.5}\nstops: {per_hour: 3, length: 10s}\n",
                             OK, &diag);
    CHECK_EQ(s.takt_us, 50 * SECOND_US);
    CHECK_EQ(s.fault_count, 1);
    CHECK_EQ(s.faults[0].kind, ZONE_DRIFT);
    CHECK_EQ(s.faults[0].length_us, 2 * HOUR_US);
    CHECK(s.stops.per_hour > 2.9 && s.stops.length_us == 10 * SECOND_US);
    (void)load("takt: 50s\nsped: 20\n", ERR_UNKNOWN_KEY, &diag);
    CHECK_EQ(diag.line, 2);
    (void)load("faults:\n  - {fault: gremlins}\n", ERR_INVALID, &diag);
    CHECK_EQ(diag.line, 2);
    (void)load("unread: 2\n", ERR_RANGE, &diag);
    CHECK_EQ(diag.line, 1);
}

TEST(other_names_differ_as_the_plants_own_do)
{
    struct renaming names;
    renaming_make(7, &names);
    struct name seen[MACHINES];
    for (unsigned m = 0; m < MACHINES; m++) {
        seen[m] = renamed(&names, plant_machine_names[m]);
        CHECK(strcmp(seen[m].text, plant_machine_names[m]) != 0);
        for (unsigned k = 0; k < m; k++)
            CHECK(strcmp(seen[m].text, seen[k].text) != 0);
    }
    struct name one = renamed(&names, "zone1");
    struct name two = renamed(&names, "zone2");
    CHECK(strncmp(one.text, two.text, 5) == 0 && strcmp(one.text, two.text) != 0);
    renaming_make(0, &names);
    CHECK_STR(renamed(&names, "zone1").text, "zone1");
}

TEST(only_marked_words_of_a_text_are_renamed)
{
    struct renaming names;
    struct buf marked = {0};
    struct buf out = {0};
    renaming_make(7, &names);
    plant_mark_none("a@b ", &marked);
    (void)buf_append_text(&marked, "name: @oven, profile('@zone*') @");
    renamed_text(&names, buf_text(&marked), &out);
    const char *text = buf_text(&out);
    CHECK(strncmp(text, "a@b name: x", 11) == 0);
    CHECK(strstr(text, "profile('x") && strstr(text, "*') "));
    CHECK(!strstr(text, "oven") && !strstr(text, "zone"));
    buf_reset(&out);
    renaming_make(0, &names);
    renamed_text(&names, buf_text(&marked), &out);
    CHECK_STR(buf_text(&out), "a@b name: oven, profile('zone*') ");
    buf_fini(&marked);
    buf_fini(&out);
}
