/* Events, stations and units: how panels and boards go down the line.
 *
 * A station has one unit at a time and a queue before it: scan, begin, end. The oven's belt has
 * several. What can happen next lies in one small list of events, taken by time and then by age. */
#include "sim/plant.h"

#include <math.h>
#include <stdlib.h>

#define SCAN_US     (3 * SECOND_US) /* from the scan to the begin, at the nominal takt */
#define GAP_US      (6 * SECOND_US) /* from the end to the next scan */
#define CHANGEOVER  4               /* takts */
#define WIP_MAX     120             /* units in the line; above, panels wait outside */
#define REPAIR_ODDS 0.85
#define WAY_US                                                                                     \
    (6 * SECOND_US)     /* from machine to machine, where light barriers tell the two apart */
#define LEAVE_MM   10.0 /* behind the exit sensor the panel is taken off */
#define EVENT_NONE UINT32_MAX

enum event_kind {
    EVENT_ARRIVE,
    EVENT_ROTA,
    EVENT_SCAN,
    EVENT_BEGIN,
    EVENT_END,
    EVENT_ENTER,
    EVENT_EXIT,
    EVENT_COME,
};

/* Nominal seconds of a cycle; the oven has none. */
static const int cycle_s[STATIONS] = {
    [PRINTER] = 40, [SPI] = 25,     [PLACER_A] = 130, [PLACER_B] = 130,
    [AOI] = 30,     [DEPANEL] = 20, [ICT] = 13,       [REWORK] = 35,
};

double plant_speed(const struct plant *p, int64_t t)
{
    return t < p->live_t ? 1 : p->scenario.speed;
}

int64_t plant_wall(const struct plant *p, int64_t t)
{
    if (t < p->live_t)
        return p->start_us + t;
    return p->live_us + llround((double)(t - p->live_t) / p->scenario.speed);
}

int64_t plant_time(const struct plant *p, int64_t wall_us)
{
    if (wall_us < p->live_us)
        return p->live_t > 0 ? wall_us - p->start_us : 0;
    return p->live_t + llround((double)(wall_us - p->live_us) * p->scenario.speed);
}

void plant_past(struct plant *p, int64_t start_us)
{
    p->start_us = start_us;
    p->live_t = INT64_MAX;
    p->live_us = INT64_MAX;
}

void plant_live(struct plant *p, int64_t wall_us)
{
    p->live_t = p->now_us;
    p->live_us = wall_us;
}

static int64_t paced(const struct plant *p, double us)
{
    return llround(us * p->pace);
}

static void event_add(struct plant *p, int64_t t, enum event_kind kind, unsigned station,
                      struct unit *u)
{
    if (p->event_count == EVENTS_MAX)
        return; /* a station and a unit have one each: cannot be with this many stations */
    p->events[p->event_count++] = (struct event){
        .t_us = t,
        .order = p->event_order++,
        .kind = (uint8_t)kind,
        .station = (uint8_t)station,
        .unit = u,
    };
}

static uint32_t event_next(const struct plant *p)
{
    uint32_t best = EVENT_NONE;
    for (uint32_t i = 0; i < p->event_count; i++) {
        const struct event *e = &p->events[i];
        const struct event *b = best == EVENT_NONE ? NULL : &p->events[best];
        if (!b || e->t_us < b->t_us || (e->t_us == b->t_us && e->order < b->order))
            best = i;
    }
    return best;
}

/* ----------------------------------------------------------------------------------------- units
 */

static struct unit *unit_new(struct plant *p, uint64_t number)
{
    struct unit *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->number = number;
    u->all_next = p->units;
    if (p->units)
        p->units->all_prev = u;
    p->units = u;
    p->unit_count++;
    return u;
}

static void unit_free(struct plant *p, struct unit *u)
{
    if (u->all_prev)
        u->all_prev->all_next = u->all_next;
    else
        p->units = u->all_next;
    if (u->all_next)
        u->all_next->all_prev = u->all_prev;
    p->unit_count--;
    free(u->path);
    free(u);
}

static void unit_leave(struct plant *p, struct unit *u, const char *status, int64_t t)
{
    p->held += u->held;
    if (p->ports.left)
        p->ports.left(p->ports.ctx, p, u, status, t);
    unit_free(p, u);
}

static void queue_add(struct queue *q, struct unit *u)
{
    u->next = NULL;
    if (q->last)
        q->last->next = u;
    else
        q->first = u;
    q->last = u;
    q->count++;
}

static struct unit *queue_take(struct queue *q)
{
    struct unit *u = q->first;
    q->first = u->next;
    if (!q->first)
        q->last = NULL;
    q->count--;
    u->next = NULL;
    return u;
}

static struct step *step_add(struct plant *p, struct unit *u, enum machine station, int64_t t)
{
    struct step *s = &u->steps[u->step_count < STEPS_MAX ? u->step_count++ : STEPS_MAX - 1];
    *s = (struct step){.station = (uint8_t)station, .t_in = t};
    book_operator(p, station, s->operator);
    return s;
}

bool plant_hold(struct plant *p, const char *serial)
{
    for (struct unit *u = p->units; u; u = u->all_next) {
        if (strcmp(u->serial, serial) == 0) {
            u->held = true;
            return true;
        }
    }
    return false;
}

/* -------------------------------------------------------------------------------------- stations
 */

static void station_offer(struct plant *p, unsigned i, int64_t t)
{
    struct station *s = &p->stations[i];
    while (!s->unit && s->queue.first) {
        struct unit *u = queue_take(&s->queue);
        if (u->held) {
            unit_leave(p, u, "held", t);
            continue;
        }
        s->unit = u;
        event_add(p, t > s->free_us ? t : s->free_us, EVENT_SCAN, i, u);
    }
}

static void belt_offer(struct plant *p, int64_t t)
{
    struct station *s = &p->stations[OVEN];
    while (s->queue.first && s->queue.first->held)
        unit_leave(p, queue_take(&s->queue), "held", t);
    if (p->belt_entering || !s->queue.first)
        return;
    int64_t when = belt_when_free(&p->belt, t, p->belt_last_mm + BELT_SPACE_MM);
    p->belt_entering = true;
    event_add(p, when, EVENT_ENTER, OVEN, s->queue.first);
}

static void unit_come(struct plant *p, struct unit *u, enum machine station, int64_t t)
{
    queue_add(&p->stations[station].queue, u);
    if (station == OVEN)
        belt_offer(p, t);
    else
        station_offer(p, station, t);
}

static void unit_go(struct plant *p, struct unit *u, enum machine station, int64_t t)
{
    if (station != PRINTER && hand_takes(p))
        unit_leave(p, u, "removed", t);
    else if (p->scenario.eyes)
        event_add(p, t + paced(p, WAY_US), EVENT_COME, station, u);
    else
        unit_come(p, u, station, t);
}

static void on_scan(struct plant *p, unsigned i, struct unit *u, int64_t t)
{
    struct station *s = &p->stations[i];
    bool unread = rand_double(&p->rand_flow) < p->scenario.unread;
    memset(s->serial, 0, sizeof s->serial);
    memset(s->children, 0, sizeof s->children);
    if (!unread)
        memcpy(s->serial, u->serial, sizeof s->serial);
    s->product = u->product;
    s->revision = u->revision;
    memcpy(s->order, u->order, sizeof s->order);
    step_add(p, u, (enum machine)i, t)->unread = unread;
    event_add(p, t + paced(p, SCAN_US), EVENT_BEGIN, i, u);
}

static void repair(struct plant *p, struct unit *u)
{
    u->repairs++;
    for (uint32_t i = 0; i < u->defect_count; i++) {
        if (rand_double(&p->rand_quality) < REPAIR_ODDS)
            u->defects[i].repaired = true;
    }
}

static void child_serial(const struct unit *u, unsigned k, char out[static SERIAL_BYTES + 1])
{
    (void)snprintf(out, SERIAL_BYTES + 1, "B%07llu",
                   (unsigned long long)(u->number - 1) * BOARDS + k + 1);
}

/* What the machine does to the unit, decided when it begins. */
static void work(struct plant *p, unsigned i, struct unit *u, int64_t t)
{
    struct station *s = &p->stations[i];
    if (i == PRINTER) {
        book_consume_paste(p, u, t);
        defect_print(p, u, t);
    } else if (i == PLACER_A || i == PLACER_B) {
        book_consume_parts(p, u, t);
        defect_place(p, u, t);
    } else if (i == DEPANEL) {
        for (unsigned k = 0; k < BOARDS; k++)
            child_serial(u, k, s->children[k]);
    } else if (i == REWORK) {
        repair(p, u);
    }
    s->result = (uint8_t)defect_result(u, (enum machine)i);
}

static void on_begin(struct plant *p, unsigned i, struct unit *u, int64_t t)
{
    struct station *s = &p->stations[i];
    double scatter = 1 + 0.02 * rand_normal(&p->rand_flow);
    s->working = true;
    s->t_in = t;
    double cycle = (double)cycle_s[i] * SECOND_US / sway(&p->scenario, i, t);
    s->t_out = t + paced(p, cycle * (scatter > 0.8 ? scatter : 0.8));
    struct step *step = &u->steps[u->step_count - 1];
    step->t_in = t;
    step->pulses_in = (uint8_t)eye_pass(p, i, EYE_IN, t);
    work(p, i, u, t);
    event_add(p, s->t_out, EVENT_END, i, u);
}

static enum machine placer_of(struct plant *p)
{
    const struct station *a = &p->stations[PLACER_A];
    const struct station *b = &p->stations[PLACER_B];
    uint32_t wait_a = a->queue.count + (a->unit != NULL);
    uint32_t wait_b = b->queue.count + (b->unit != NULL);
    bool pick_b = rand_below(&p->rand_flow, 2) == 1;
    if (wait_a != wait_b)
        pick_b = wait_b < wait_a;
    return pick_b ? PLACER_B : PLACER_A;
}

static void split(struct plant *p, struct unit *panel, int64_t t)
{
    for (unsigned k = 0; k < BOARDS; k++) {
        struct unit *u = unit_new(p, panel->number);
        if (!u)
            continue;
        u->board = (uint8_t)(k + 1);
        u->product = panel->product;
        u->revision = panel->revision;
        memcpy(u->order, panel->order, sizeof u->order);
        memcpy(u->parent, panel->serial, sizeof u->parent);
        child_serial(panel, k, u->serial);
        for (uint32_t i = 0; i < panel->defect_count; i++) {
            if (panel->defects[i].board == k)
                u->defects[u->defect_count++] = panel->defects[i];
        }
        unit_go(p, u, ICT, t);
    }
    unit_leave(p, panel, "split", t);
}

static bool is_repaired(const struct unit *u, bool pass)
{
    return !pass && u->repairs < REPAIRS_MAX;
}

static enum eye eye_of(unsigned i, const struct station *s, const struct unit *u)
{
    return i == ICT && is_repaired(u, s->result == PASS) ? EYE_REJECT : EYE_OUT;
}

static void tested(struct plant *p, struct unit *u, int64_t t, bool pass)
{
    if (is_repaired(u, pass)) {
        unit_go(p, u, REWORK, t);
        return;
    }
    p->boards++;
    p->scrapped += !pass;
    unit_leave(p, u, pass ? "finished" : "scrapped", t);
}

static void on_end(struct plant *p, unsigned i, struct unit *u, int64_t t)
{
    struct station *s = &p->stations[i];
    struct step *step = &u->steps[u->step_count - 1];
    step->t_out = t;
    step->result = s->result;
    step->pulses_out = (uint8_t)eye_pass(p, i, eye_of(i, s, u), t);
    s->working = false;
    s->unit = NULL;
    s->free_us = t + paced(p, GAP_US);
    s->done++;
    s->failed += s->result == FAIL;
    if (p->ports.inspected && (i == SPI || i == AOI || i == ICT || i == REWORK))
        p->ports.inspected(p->ports.ctx, p, u, (enum machine)i);
    if (i == SPI) {
        enum machine placer = placer_of(p);
        u->placer = (uint8_t)(placer - PLACER_A);
        unit_go(p, u, placer, t);
    } else if (i == PLACER_A || i == PLACER_B) {
        unit_go(p, u, OVEN, t);
    } else if (i == DEPANEL) {
        split(p, u, t);
    } else if (i == ICT) {
        tested(p, u, t, s->result == PASS);
    } else {
        unit_go(p, u, i == REWORK ? ICT : (enum machine)(i + 1), t);
    }
    station_offer(p, i, t);
}

/* ------------------------------------------------------------------------------------------ belt
 */

static void belt_take(struct plant *p, int64_t t)
{
    struct unit *u = queue_take(&p->stations[OVEN].queue);
    const struct scenario *s = &p->scenario;
    u->enter_us = t;
    u->enter_mm = belt_mm(&p->belt, t);
    u->missing_entry = rand_double(&p->rand_flow) < s->missing_pulse;
    u->missing_exit = rand_double(&p->rand_flow) < s->missing_pulse;
    u->double_entry = rand_double(&p->rand_flow) < s->double_pulse;
    u->double_exit = rand_double(&p->rand_flow) < s->double_pulse;
    bool unread = rand_double(&p->rand_flow) < s->unread || u->missing_entry;
    if (!u->missing_entry) { /* the sensor triggers the scanner */
        memset(p->entry_serial, 0, sizeof p->entry_serial);
        if (!unread)
            memcpy(p->entry_serial, u->serial, sizeof p->entry_serial);
    }
    p->entered += !u->missing_entry;
    p->stations[OVEN].revision = u->revision;
    memcpy(p->stations[OVEN].order, u->order, sizeof u->order);
    struct step *step = step_add(p, u, OVEN, t);
    step->unread = unread;
    p->belt_last_mm = u->enter_mm;
    p->belt_entering = false;
    queue_add(&p->belt_units, u);
    double gone = u->enter_mm + BELT_EXIT_MM + BELT_PANEL_MM + LEAVE_MM;
    event_add(p, belt_when(&p->belt, t, gone), EVENT_EXIT, OVEN, u);
    belt_offer(p, t);
}

static void keep_path(struct plant *p, struct unit *u)
{
    struct buf text = {0};
    belt_print_path(p, u->enter_us, u->exit_us, u->enter_mm, &text);
    u->path = strdup(buf_text(&text));
    buf_fini(&text);
}

static void belt_leave(struct plant *p, int64_t t)
{
    struct unit *u = queue_take(&p->belt_units);
    struct step *step = &u->steps[u->step_count - 1];
    for (unsigned i = 0; i < ZONES; i++) {
        double from = u->enter_mm + BELT_ZONE0_MM + BELT_ZONE_MM * i;
        u->zone_in[i] = belt_when(&p->belt, u->enter_us, from);
        u->zone_out[i] = belt_when_last(&p->belt, u->enter_us, t, from + BELT_ZONE_MM);
    }
    u->exit_us = belt_when_last(&p->belt, u->enter_us, t, u->enter_mm + BELT_EXIT_MM);
    step->t_out = u->exit_us;
    if (p->keep_paths)
        keep_path(p, u);
    p->left++;
    p->stations[OVEN].done++;
    defect_reflow(p, u);
    belt_trim(&p->belt, p->belt_units.first ? p->belt_units.first->enter_us : t);
    unit_go(p, u, AOI, t);
}

/* ---------------------------------------------------------------------------------------- panels
 */

static void panel_enter(struct plant *p, int64_t t)
{
    struct unit *u = unit_new(p, p->panels + 1);
    if (!u)
        return;
    p->panels++;
    u->product = p->product;
    u->revision = p->revision[p->product];
    (void)snprintf(u->serial, sizeof u->serial, "P%07llu", (unsigned long long)p->panels);
    (void)snprintf(u->order, sizeof u->order, "WO-%05llu", (unsigned long long)p->order_number);
    if (!hand_puts(p)) {
        unit_go(p, u, PRINTER, t);
        return;
    }
    u->printed_us = t; /* elsewhere */
    unit_go(p, u, SPI, t);
}

static void on_arrive(struct plant *p, int64_t t)
{
    double scatter = 1 + 0.03 * rand_normal(&p->rand_flow);
    int64_t takt = llround((double)p->scenario.takt_us * (scatter > 0.8 ? scatter : 0.8));
    if (p->unit_count < WIP_MAX) {
        if (p->changeover)
            book_setup(p, t);
        panel_enter(p, t);
        if (p->panels_max && p->panels == p->panels_max)
            return;
        book_order_next(p, t);
        if (p->changeover)
            takt += CHANGEOVER * p->scenario.takt_us;
    }
    event_add(p, t + takt, EVENT_ARRIVE, 0, NULL);
}

static void event_run(struct plant *p, const struct event *e)
{
    switch ((enum event_kind)e->kind) {
    case EVENT_ARRIVE:
        on_arrive(p, e->t_us);
        break;
    case EVENT_ROTA:
        book_rota_change(p, e->t_us);
        event_add(p, p->rota_us, EVENT_ROTA, 0, NULL);
        break;
    case EVENT_SCAN:
        on_scan(p, e->station, e->unit, e->t_us);
        break;
    case EVENT_BEGIN:
        on_begin(p, e->station, e->unit, e->t_us);
        break;
    case EVENT_END:
        on_end(p, e->station, e->unit, e->t_us);
        break;
    case EVENT_ENTER:
        belt_take(p, e->t_us);
        break;
    case EVENT_EXIT:
        belt_leave(p, e->t_us);
        break;
    case EVENT_COME:
        unit_come(p, e->unit, (enum machine)e->station, e->t_us);
        break;
    }
}

void plant_run(struct plant *p, int64_t until_us)
{
    for (;;) {
        uint32_t i = event_next(p);
        if (i == EVENT_NONE || p->events[i].t_us > until_us)
            break;
        struct event e = p->events[i];
        p->events[i] = p->events[--p->event_count];
        p->now_us = e.t_us;
        event_run(p, &e);
    }
    if (until_us > p->now_us)
        p->now_us = until_us;
}

int plant_start(struct plant *p, const struct scenario *s, int64_t start_us)
{
    p->scenario = *s;
    p->start_us = start_us;
    p->live_us = start_us;
    renaming_make(s->names, &p->names);
    for (unsigned i = 0; i < 2; i++)
        p->products[i] = renamed(&p->names, plant_products[i]);
    p->pace = (double)s->takt_us / (double)NOMINAL_TAKT_US;
    p->belt_last_mm = -BELT_SPACE_MM;
    rand_seed(&p->rand_flow, s->seed * 4);
    rand_seed(&p->rand_book, s->seed * 4 + 2);
    rand_seed(&p->rand_quality, s->seed * 4 + 3);
    eyes_start(p);
    belt_start(&p->belt, &p->scenario);
    int err = book_start(p);
    if (err || p->belt.failed)
        return ERR_NOMEM;
    book_order_next(p, 0);
    event_add(p, p->scenario.takt_us / 10, EVENT_ARRIVE, 0, NULL);
    event_add(p, p->rota_us, EVENT_ROTA, 0, NULL);
    return OK;
}

void plant_end(struct plant *p)
{
    struct unit *next = NULL;
    for (struct unit *u = p->units; u; u = next) {
        next = u->all_next;
        if (p->ports.left)
            p->ports.left(p->ports.ctx, p, u, "in_line", p->now_us);
        free(u->path);
        free(u);
    }
    p->units = NULL;
    p->unit_count = 0;
    p->event_count = 0;
    p->belt_units = (struct queue){0};
    for (unsigned i = 0; i < STATIONS; i++) {
        p->stations[i].queue = (struct queue){0};
        p->stations[i].unit = NULL;
    }
}

void plant_free(struct plant *p)
{
    p->ports = (struct plant_ports){0};
    plant_end(p);
    belt_free(&p->belt);
    book_free(p);
    memset(p, 0, sizeof *p);
}
