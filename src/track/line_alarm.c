/* Whether as many units come out of each part of a line as went in. See line.h.
 *
 * In every hypothesis units are conserved: one that goes into a part comes out of it, is inside,
 * was taken away or came from nowhere. The last two are what the gates do not show, and each is
 * told as soon as it is more likely than not: one alarm for a part, raised again with each further
 * unit, cleared when LINE_BALANCE_AGE_US of the line's own time have passed without one. What
 * stands is part of the checkpoint, so that an alarm of before a restart ends too.
 */
#include "base/clock.h"
#include "base/log.h"
#include "track/line.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_BALANCE_TEXT_MAX   1024
#define LINE_BALANCE_SOURCE_MAX 256

static void alarm_say(const struct line *l, const struct line_part *p, const char *text)
{
    char source[LINE_BALANCE_SOURCE_MAX];
    (void)snprintf(source, sizeof source, "%s/%s", l->track.name, p->name);
    if (!l->track.alarm)
        return;
    if (text && p->balance.taken + p->balance.appeared == 1)
        log_warn("track", "%s: %s", source, text);
    l->track.alarm(l->track.alarm_ctx, LINE_ALARM, source, text);
}

static int breach_text(const struct line_part *p, const struct assign_breach *b, const char *serial,
                       size_t max, char *out)
{
    char in[CLOCK_TEXT_BYTES_MAX];
    char at[CLOCK_TEXT_BYTES_MAX];
    (void)clock_format(b->t_in, in);
    (void)clock_format(b->time_us, at);
    switch (b->kind) {
    case ASSIGN_TAKEN:
        return snprintf(out, max,
                        "%s went into %s at %s and had not come out at %s. It was taken off, or "
                        "the sensors behind it did not see it",
                        serial, p->name, in, at);
    case ASSIGN_APPEARED:
        return snprintf(out, max,
                        "%s came out of %s at %s and nobody had seen it go in. It was put on by "
                        "hand, or the sensor before it did not see it",
                        serial, p->name, at);
    case ASSIGN_MOVED:
        return snprintf(out, max,
                        "%s went into %s at %s and was read at %s where it cannot have come by "
                        "itself. Somebody carried it",
                        serial, p->name, in, at);
    case ASSIGN_GHOST:
        return snprintf(out, max,
                        "the sensor into %s gave a pulse at %s, and what came in had not come out "
                        "at %s. Most likely nothing was there: look at the sensor",
                        p->name, in, at);
    case ASSIGN_KEPT:
        break;
    }
    return 0;
}

static void balance_tell(const struct line *l, const struct line_part *p,
                         const struct assign_breach *b)
{
    const struct line_balance *n = &p->balance;
    char text[LINE_BALANCE_TEXT_MAX];
    char since[CLOCK_TEXT_BYTES_MAX];
    struct track_identity who;
    identity_provisional(b->unit, &who);
    const char *serial = b->code[0] ? b->code : who.serial;
    int len = breach_text(p, b, serial, sizeof text, text);
    if (n->taken + n->appeared > 1 && len > 0 && (size_t)len < sizeof text) {
        (void)clock_format(n->first_us, since);
        (void)snprintf(text + len, sizeof text - (size_t)len,
                       "; since %s %" PRIu32 " more went in than came out, and %" PRIu32
                       " came out that had not gone in",
                       since, n->taken, n->appeared);
    }
    alarm_say(l, p, text);
}

int line_breach(void *ctx, const struct assign_breach *breach)
{
    struct line *l = ctx;
    struct line_part *p = &l->parts[breach->part];
    struct line_balance *n = &p->balance;
    bool appeared = breach->kind == ASSIGN_APPEARED;
    bool ghost = breach->kind == ASSIGN_GHOST;
    l->track.stats->ghosts += appeared || ghost;
    l->track.stats->lost += !appeared && !ghost;
    if (n->taken + n->appeared == 0)
        n->first_us = breach->time_us;
    n->appeared += appeared;
    n->taken += !appeared;
    n->last_us = l->decided_us;
    line_breach_note(l, breach);
    balance_tell(l, p, breach);
    return OK;
}

void line_balance_age(struct line *l)
{
    for (uint32_t i = 0; i < l->part_count; i++) {
        struct line_balance *n = &l->parts[i].balance;
        if (n->taken + n->appeared == 0 || l->decided_us - n->last_us < LINE_BALANCE_AGE_US)
            continue;
        *n = (struct line_balance){0};
        alarm_say(l, &l->parts[i], NULL);
    }
}

void line_balance_put(struct buf *out, const struct line_balance *n)
{
    (void)buf_append_le32(out, n->taken);
    (void)buf_append_le32(out, n->appeared);
    put_i64(out, n->first_us);
    put_i64(out, n->last_us);
}

struct line_balance line_balance_get(struct reader *in)
{
    struct line_balance n = {.taken = reader_le32(in), .appeared = reader_le32(in)};
    n.first_us = get_time(in);
    n.last_us = get_time(in);
    return n;
}
