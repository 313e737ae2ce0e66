/* The ledger: what really happened to a unit, one JSON object a line, written when it leaves.
 *
 * Times are µs since 1970 of the wall clock, true to a millisecond and better. The form is in
 * docs/simulators.md. */
#include "sim/plant.h"

static const char *outcome_name(unsigned result)
{
    return result == PASS ? "pass" : result == FAIL ? "fail" : "none";
}

static void print_steps(const struct plant *p, const struct unit *u, struct buf *out)
{
    (void)buf_append_text(out, ",\"steps\":[");
    for (uint32_t i = 0; i < u->step_count; i++) {
        const struct step *s = &u->steps[i];
        (void)buf_printf(out, "%s{\"station\":\"%s\",\"t_in\":%lld", i ? "," : "",
                         renamed(&p->names, plant_station_names[s->station]).text,
                         (long long)plant_wall(p, s->t_in));
        if (s->t_out)
            (void)buf_printf(out, ",\"t_out\":%lld", (long long)plant_wall(p, s->t_out));
        else
            (void)buf_append_text(out, ",\"t_out\":null");
        (void)buf_printf(out, ",\"result\":\"%s\",\"operator\":\"%s\",\"read\":%s",
                         outcome_name(s->result), s->operator, s->unread ? "false" : "true");
        if (p->scenario.eyes && s->station != OVEN)
            (void)buf_printf(out, ",\"pulses\":[%u,%u]", s->pulses_in, s->pulses_out);
        (void)buf_append_text(out, "}");
    }
    (void)buf_append_text(out, "]");
}

static void print_belt(const struct plant *p, const struct unit *u, struct buf *out)
{
    if (!u->exit_us)
        return;
    (void)buf_printf(out,
                     ",\"belt\":{\"entry\":%s,\"exit\":%s,\"double_entry\":%s,\"double_exit\":%s",
                     u->missing_entry ? "false" : "true", u->missing_exit ? "false" : "true",
                     u->double_entry ? "true" : "false", u->double_exit ? "true" : "false");
    (void)buf_append_text(out, ",\"zones\":[");
    for (unsigned i = 0; i < ZONES; i++)
        (void)buf_printf(out, "%s{\"zone\":%u,\"t_in\":%lld,\"t_out\":%lld}", i ? "," : "", i + 1,
                         (long long)plant_wall(p, u->zone_in[i]),
                         (long long)plant_wall(p, u->zone_out[i]));
    (void)buf_append_text(out, "],\"path\":");
    (void)buf_append_text(out, u->path ? u->path : "[]");
    (void)buf_append_text(out, "}");
}

static void print_consumed(const struct plant *p, const struct unit *u, struct buf *out)
{
    (void)buf_append_text(out, ",\"consumed\":[");
    for (uint32_t i = 0; i < u->consumed_count; i++)
        (void)buf_printf(out, "%s{\"lot\":\"%s\",\"part\":\"%s\",\"station\":\"%s\"}", i ? "," : "",
                         u->consumed[i].lot, u->consumed[i].part,
                         renamed(&p->names, plant_station_names[u->consumed[i].station]).text);
    (void)buf_append_text(out, "]");
}

static void print_defects(const struct plant *p, const struct unit *u, struct buf *out)
{
    (void)buf_append_text(out, ",\"defects\":[");
    for (uint32_t i = 0; i < u->defect_count; i++) {
        const struct found *f = &u->defects[i];
        (void)buf_printf(out,
                         "%s{\"defect\":\"%s\",\"board\":%u,\"position\":\"%s\",\"nozzle\":%u,"
                         "\"cause\":\"%s\",\"repaired\":%s}",
                         i ? "," : "", renamed(&p->names, plant_defect_names[f->defect]).text,
                         f->board + 1u, plant_positions[f->position], defect_nozzle(u, f->position),
                         f->fault < 0 ? "chance" : plant_fault_names[f->fault],
                         f->repaired ? "true" : "false");
    }
    (void)buf_append_text(out, "]");
}

static void print_kin(const struct unit *u, struct buf *out)
{
    if (u->board) {
        (void)buf_printf(out, ",\"parent\":\"%s\"", u->parent);
        return;
    }
    (void)buf_append_text(out, ",\"children\":[");
    for (unsigned k = 0; k < BOARDS; k++)
        (void)buf_printf(out, "%s\"B%07llu\"", k ? "," : "",
                         (unsigned long long)(u->number - 1) * BOARDS + k + 1);
    (void)buf_append_text(out, "]");
}

void ledger_unit(struct plant *p, const struct unit *u, const char *status, int64_t t, FILE *to)
{
    struct buf line = {0};
    (void)buf_printf(&line,
                     "{\"kind\":\"%s\",\"serial\":\"%s\",\"status\":\"%s\",\"t\":%lld,"
                     "\"product\":\"%s\",\"recipe_rev\":%u,\"order\":\"%s\"",
                     u->board ? "board" : "panel", u->serial, status, (long long)plant_wall(p, t),
                     p->products[u->product].text, u->revision, u->order);
    print_steps(p, u, &line);
    if (!u->board) {
        print_belt(p, u, &line);
        print_consumed(p, u, &line);
    }
    print_defects(p, u, &line);
    if (strcmp(status, "split") == 0 || u->board)
        print_kin(u, &line);
    (void)buf_append_text(&line, "}\n");
    if (!buf_error(&line))
        (void)fwrite(line.ptr, 1, line.len, to);
    buf_fini(&line);
}
