/* The plant's past, told afterwards: rows of the groups with their own times, published for import
 * (PLACE/DEVICE/GROUP/import), in the order of time, all groups side by side.
 *
 * A poll would read the same values again and again. Here a row has what tracks need at any moment
 * (the cycle; the oven's sensors and speed) and what has changed; the slow quantities every few
 * seconds; everything when a cycle begins or ends and every ten seconds in between. A machine that
 * only waits has a row every ten seconds, and one just before something happens, so that the moment
 * is known as well as if it had been polled. */
#include "base/clock.h"
#include "base/str.h"
#include "sim/plant_ports.h"

#include <math.h>
#include <stdlib.h>

#define FULL_US (10 * SECOND_US)
#define SLOW_US (4 * SECOND_US)

static void value_print(const struct plant_tag *tag, struct plant_value v, char *out, size_t size)
{
    char number[STR_NUMBER_BYTES_MAX];
    switch ((enum tag_type)tag->type) {
    case TAG_BIT:
        (void)snprintf(out, size, "%s", v.number != 0 ? "true" : "false");
        break;
    case TAG_UINT16:
    case TAG_UINT32:
        (void)snprintf(out, size, "%.0f", v.number);
        break;
    case TAG_TENTH:
        (void)snprintf(out, size, "%.1f", (double)lround(v.number * 10) / 10);
        break;
    case TAG_FLOAT:
        (void)str_from_float((float)v.number, number);
        (void)snprintf(out, size, "%s", number);
        break;
    case TAG_TEXT:
        (void)snprintf(out, size, "\"%s\"", v.text);
        break;
    }
}

/* What a track follows: in each row. */
static bool is_edge(const struct plant_tag *tag)
{
    return tag->type == TAG_BIT || strcmp(tag->name, "speed") == 0;
}

struct row {
    struct plant_backfill *b;
    enum machine machine;
    int64_t t;
    bool full, slow;
    bool changed; /* an edge, or what is no noisy number */
};

static void row_value(struct row *r, const struct plant_tag *tag, unsigned i, struct buf *out)
{
    char text[VALUE_BYTES];
    char *last = r->b->groups[r->machine].last[i];
    struct plant_value v = plant_tag_value(r->b->plant, tag, r->machine, r->t);
    value_print(tag, v, text, sizeof text);
    bool noisy = tag->type == TAG_FLOAT || tag->type == TAG_TENTH;
    bool changed = strcmp(text, last) != 0;
    r->changed |= changed && !noisy;
    if (!r->full && !is_edge(tag) && (noisy ? !r->slow : !changed))
        return;
    (void)buf_printf(out, ",\"%s\":%s", renamed(&r->b->plant->names, tag->name).text, text);
    memcpy(last, text, sizeof text);
}

static void row_print(struct row *r, struct buf *out)
{
    int64_t wall = plant_wall(r->b->plant, r->t);
    unsigned i = 0;
    (void)buf_printf(out, "{\"ts\":%lld.%03lld", (long long)(wall / 1000),
                     (long long)(wall % 1000));
    for (const struct plant_tag *tag = plant_tags; tag->name; tag++) {
        if (plant_tag_is_of(tag, r->machine, r->b->plant->scenario.eyes))
            row_value(r, tag, i++, out);
    }
    (void)buf_append_text(out, "}");
}

static bool cycle_changed(const struct plant_backfill *b, enum machine m)
{
    unsigned i = 0;
    for (const struct plant_tag *tag = plant_tags; tag->name; tag++) {
        if (!plant_tag_is_of(tag, m, b->plant->scenario.eyes))
            continue;
        const char *last = b->groups[m].last[i++];
        if (m != OVEN && tag->type == TAG_BIT)
            return (strcmp(last, "true") == 0) != b->plant->stations[m].working;
    }
    return false;
}

static void text_add(struct plant_backfill *b, enum machine m, const struct buf *row)
{
    struct buf *text = &b->groups[m].text;
    (void)buf_append_text(text, text->len == 0 ? "[" : ",\n");
    (void)buf_append_bytes(text, buf_bytes(row));
    b->rows++;
}

/* A row of one machine: sent, or held until it is known whether it matters. */
static void row_add(struct plant_backfill *b, enum machine m)
{
    bool busy = m == OVEN || (m < STATIONS && b->plant->stations[m].working);
    struct row r = {.b = b, .machine = m, .t = b->t_us};
    r.full = b->t_us - b->groups[m].full_us >= FULL_US || cycle_changed(b, m);
    r.slow = b->t_us % SLOW_US < (int64_t)(1e6 / b->rate);
    struct buf text = {0};
    row_print(&r, &text);
    if (r.changed && !r.full) { /* what changes comes with all that belongs to it */
        r.full = true;
        buf_reset(&text);
        row_print(&r, &text);
    }
    struct buf *held = &b->groups[m].held;
    bool matters = busy || r.changed || r.full;
    if (r.changed && held->len > 0)
        text_add(b, m, held);
    buf_reset(held);
    if (matters)
        text_add(b, m, &text);
    else
        (void)buf_append_bytes(held, buf_bytes(&text));
    if (r.full)
        b->groups[m].full_us = b->t_us;
    buf_fini(&text);
}

/* The next rows of all groups; each one's text is whole then. */
static void messages_make(struct plant_backfill *b, int64_t until_us)
{
    int64_t end = b->t_us + BACKFILL_CHUNK_US;
    end = end < until_us ? end : until_us;
    int64_t step = llround(1e6 / b->rate);
    for (; b->t_us < end; b->t_us += step) {
        plant_run(b->plant, b->t_us);
        for (unsigned m = 0; m < MACHINES; m++)
            row_add(b, (enum machine)m);
    }
    for (unsigned m = 0; m < MACHINES; m++) {
        if (b->groups[m].text.len > 0)
            (void)buf_append_text(&b->groups[m].text, "]");
    }
    b->made = true;
}

static int message_send(struct plant_backfill *b, enum machine m)
{
    struct buf *text = &b->groups[m].text;
    struct buf marked = {0};
    struct buf topic = {0};
    if (text->len == 0)
        return OK;
    plant_topic(m, &marked);
    (void)buf_append_text(&marked, "/import");
    renamed_text(&b->plant->names, buf_text(&marked), &topic);
    buf_fini(&marked);
    int err = buf_error(text) || buf_error(&topic) ? ERR_NOMEM : OK;
    if (err)
        (void)fprintf(stderr, "sim plant: out of memory\n");
    else
        err = plant_publisher_send(b->publisher, buf_bytes(&topic), buf_bytes(text));
    if (!err) {
        b->messages++;
        buf_reset(text);
    }
    buf_fini(&topic);
    return err;
}

/* Those that were sent are empty. */
static int messages_send(struct plant_backfill *b)
{
    int err = OK;
    for (unsigned m = 0; m < MACHINES && !err; m++)
        err = message_send(b, (enum machine)m);
    b->made = err != OK;
    return err;
}

int plant_backfill_go(struct plant_backfill *b, int64_t until_us)
{
    if (!b->made)
        messages_make(b, until_us);
    return messages_send(b);
}

int plant_backfill_flush(struct plant_backfill *b)
{
    int err = b->made ? messages_send(b) : OK;
    return err ? err : plant_publisher_flush(b->publisher);
}

void plant_backfill_free(struct plant_backfill *b)
{
    plant_publisher_close(b->publisher);
    for (unsigned m = 0; m < MACHINES; m++) {
        buf_fini(&b->groups[m].text);
        buf_fini(&b->groups[m].held);
    }
}
