/* Replay: durable rules read the log from their checkpoints before they go on live.
 *
 * A checkpoint is the position behind which everything lies that a rule's future output depends on:
 * its oldest open window, or the oldest values that wait for a unit. It is kept in keyed state
 * under rule/NAME/checkpoint with a hash of the statement, because the windows of another statement
 * are none of its own. What comes out again has a key that the log knows, and is not emitted.
 */
#include "base/log.h"
#include "journal/state.h"
#include "stream/engine_priv.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#define CHECKPOINT_BYTES 24

static uint64_t rule_revision(const struct rule *r)
{
    uint64_t h = XXH3_64bits(r->plan->sql, strlen(r->plan->sql));
    const int64_t options[] = {r->options.lateness_us,  r->options.gap_max_us,
                               r->options.unit_time_us, r->options.unit_lead_us,
                               r->options.unit_lag_us,  r->options.unit_delay_us};
    /* A rule without the last three goes on from what an earlier version stored. */
    size_t count = options[3] || options[4] || options[5] ? 6 : 3;
    return XXH3_64bits_withSeed(options, count * sizeof options[0], h);
}

static struct bytes checkpoint_key(const struct rule *r, char *out, size_t size)
{
    int len = snprintf(out, size, "rule/%s/checkpoint", r->options.name);
    return bytes_of(out, (size_t)len);
}

int rule_checkpoint_store(struct rule *r, struct position at)
{
    char key[STATE_KEY_BYTES_MAX];
    uint8_t value[CHECKPOINT_BYTES];
    store_le64(value, rule_revision(r));
    store_le64(value + 8, at.epoch);
    store_le64(value + 16, at.seq);
    return state_put(r->engine->options.journal, checkpoint_key(r, key, sizeof key),
                     bytes_of(value, sizeof value));
}

/* A rule that is new, or says something else now, starts at the log's end. */
static int checkpoint_load(struct rule *r, struct position end)
{
    char key[STATE_KEY_BYTES_MAX];
    struct buf value = {0};
    int err = state_get(r->engine->options.journal, checkpoint_key(r, key, sizeof key), &value);
    r->checkpoint = end;
    if (!err && value.len == CHECKPOINT_BYTES && load_le64(value.ptr) == rule_revision(r))
        r->checkpoint = (struct position){load_le64(value.ptr + 8), load_le64(value.ptr + 16)};
    buf_fini(&value);
    r->saved = r->checkpoint;
    r->replayed = r->checkpoint;
    return err && err != ERR_NOT_FOUND ? err : rule_checkpoint_store(r, r->checkpoint);
}

static bool wants(const struct rule *r, const struct stream_record *rec, bool *ret_presence)
{
    *ret_presence =
        r->plan->presence && bytes_equal(rec->stream, bytes_of_text(r->plan->presence->name));
    if (!rule_is_durable(r) || position_compare(rec->at, r->checkpoint) <= 0)
        return false;
    return *ret_presence || bytes_equal(rec->stream, bytes_of_text(r->plan->from->name));
}

static int record_feed(struct stream_engine *e, struct stream_reader *reader,
                       const struct stream_record *rec)
{
    struct batch *b = NULL;
    if (!bytes_equal(rec->node, bytes_of_text(e->catalogue->node)))
        return OK;
    for (uint32_t i = 0; i < e->rule_count; i++) {
        struct rule *r = &e->rules[i];
        bool presence;
        if (!wants(r, rec, &presence))
            continue;
        if (!b && stream_reader_batch(reader, rec, &b) != OK)
            return OK; /* damaged, or of a schema that is gone */
        r->replaying = true;
        (void)rule_feed(r, presence, b, rec->at);
        r->replaying = false;
    }
    batch_unref(b);
    return OK;
}

static void replayed_set(struct stream_engine *e, struct position at)
{
    for (uint32_t i = 0; i < e->rule_count; i++)
        if (position_compare(at, e->rules[i].replayed) > 0)
            e->rules[i].replayed = at;
}

static int log_read(struct stream_engine *e, struct position after)
{
    struct stream_reader *reader = NULL;
    struct stream_record rec;
    uint64_t records = 0;
    int err = stream_reader_new(e->options.log, after, &reader);
    while (!err) {
        err = stream_reader_next(reader, &rec);
        if (err == OK) {
            err = record_feed(e, reader, &rec);
            records++;
        } else if (err == ERR_EXPIRED || err == ERR_CHECKSUM || err == ERR_MALFORMED) {
            err = OK; /* the next call goes on behind it */
        } else {
            break;
        }
        replayed_set(e, rec.at);
    }
    stream_reader_free(reader);
    if (records)
        log_info("stream", "rules: %llu records of the log read again",
                 (unsigned long long)records);
    return err == ERR_AGAIN ? OK : err;
}

int engine_replay(struct stream_engine *e)
{
    struct position end = journal_committed(stream_log_journal(e->options.log));
    struct position first = end;
    int err = OK;
    bool any = false;
    for (uint32_t i = 0; i < e->rule_count && !err; i++) {
        struct rule *r = &e->rules[i];
        if (!rule_is_durable(r))
            continue;
        any = true;
        err = checkpoint_load(r, end);
        if (position_compare(r->checkpoint, first) < 0)
            first = r->checkpoint;
    }
    return err || !any ? err : log_read(e, first);
}
