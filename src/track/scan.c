/* What scanners read: which serial belongs to the unit that is there. See track_priv.h.
 *
 * A scanner's register keeps the last code until the next one is read, so what is in it when a unit
 * comes may still be the code of the one before.
 */
#include "base/str.h"
#include "track/track_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool scan_is_behind(struct track *t, const struct track_event *e)
{
    int64_t *latest = &t->inputs[e->signal].scanned_us;
    if (e->time_us < *latest)
        return true;
    *latest = e->time_us;
    return false;
}

void scan_open(struct track_scan *s, const struct track_scanner *scanner)
{
    *s = (struct track_scan){.open = true, .stale = !scanner->fresh};
    memcpy(s->before, scanner->last, sizeof s->before);
}

void scan_read(struct track_scan *s, const char *text)
{
    scan_read_times(s, text, 1);
}

void scan_read_times(struct track_scan *s, const char *text, uint64_t times)
{
    if (!text[0]) {
        s->unread += times;
        return;
    }
    for (uint32_t i = 0; i < s->serial_count; i++) {
        if (strcmp(s->serials[i].text, text) == 0) {
            s->serials[i].reads += times;
            return;
        }
    }
    if (s->serial_count == TRACK_CANDIDATES_MAX) {
        s->unread += times; /* so many serials in one visit say nothing any more */
        return;
    }
    struct track_serial *serial = &s->serials[s->serial_count++];
    (void)snprintf(serial->text, sizeof serial->text, "%s", text);
    serial->reads = times;
}

const struct track_serial *scan_best(const struct track_scan *s, uint64_t *ret_reads,
                                     uint32_t *ret_count)
{
    const struct track_serial *best = NULL;
    *ret_reads = 0;
    *ret_count = 0;
    for (uint32_t i = 0; i < s->serial_count; i++) {
        const struct track_serial *c = &s->serials[i];
        bool old = i == 0 && s->stale && strcmp(c->text, s->before) == 0;
        if (old && s->serial_count > 1)
            continue;
        *ret_reads += c->reads;
        (*ret_count)++;
        if (!best || c->reads >= best->reads)
            best = c;
    }
    return best;
}

bool scan_unlike(const struct track_scan *s, const char *text)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = scan_best(s, &reads, &count);
    return best && !scan_is_stale(s, best) && strcmp(best->text, text) != 0;
}

bool scan_is_stale(const struct track_scan *s, const struct track_serial *best)
{
    return s->stale && strcmp(best->text, s->before) == 0;
}

void scanner_read(struct track_scanner *scanner, const char *text)
{
    if (strcmp(text, scanner->last) != 0)
        scanner->fresh = true;
}

void scanner_left(struct track_scanner *scanner, const struct track_scan *s)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = scan_best(s, &reads, &count);
    if (best)
        memcpy(scanner->last, best->text, sizeof scanner->last);
    scanner->fresh = false;
}

/* -------------------------------------------------------------------------------------- identity
 */

void identity_provisional(const uint8_t unit[static TRACK_UNIT_BYTES], struct track_identity *ret)
{
    ret->serial[0] = '?';
    str_hex(bytes_of(unit, TRACK_UNIT_BYTES), ret->serial + 1);
}

static void evidence_serials(const struct track_scan *s, struct buf *evidence)
{
    for (uint32_t i = 0; i < s->serial_count; i++)
        (void)buf_printf(evidence, "%s%s:%" PRIu64, i ? "|" : "", s->serials[i].text,
                         s->serials[i].reads);
}

void scan_identity(const struct track_scan *s, const uint8_t unit[static TRACK_UNIT_BYTES],
                   struct track_identity *ret, struct buf *evidence)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = scan_best(s, &reads, &count);
    ret->status = "exact";
    ret->probability = 1;
    if (!best) {
        identity_provisional(unit, ret);
        ret->status = "inferred";
        ret->probability = 0;
        (void)buf_append_text(evidence, " serial=unread");
        return;
    }
    (void)snprintf(ret->serial, sizeof ret->serial, "%s", best->text);
    if (count > 1) {
        ret->status = "ambiguous";
        ret->probability = (double)best->reads / (double)reads;
        (void)buf_append_text(evidence, " serial=several:");
        evidence_serials(s, evidence);
    } else if (scan_is_stale(s, best)) {
        ret->status = "inferred";
        ret->probability = 0.5;
        (void)buf_printf(evidence, " serial=same-as-before:%" PRIu64, best->reads);
    } else {
        (void)buf_printf(evidence, " serial=read:%" PRIu64, best->reads);
    }
}
