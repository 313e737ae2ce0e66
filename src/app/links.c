/* Joins the uplink to the log of streams. See links.h. */
#include "app/links.h"

#include "codec/columnar.h"

/* --------------------------------------------------------------------------------------- sender */

static int source_rewind(void *ctx)
{
    struct link_source *s = ctx;
    return log_follower_seek(&s->follower, journal_cursor_get(s->follower.cursor));
}

static int source_next(void *ctx, struct uplink_record *ret)
{
    struct link_source *s = ctx;
    struct stream_record record = {0};
    int err = stream_reader_next(s->follower.reader, &record);
    ret->at = record.at;
    if (err)
        return err;
    struct record head = {
        .node = record.node,
        .stream = record.stream,
        .origin = record.origin,
        .key = record.key,
    };
    buf_reset(&s->head);
    err = record_head_encode(&head, &s->head);
    if (err)
        return err;
    ret->node = record.node;
    ret->stream = record.stream;
    ret->head = buf_bytes(&s->head);
    ret->body = record.columnar;
    return columnar_schema_hash(record.columnar, &ret->schema_hash);
}

static int source_schema(void *ctx, uint64_t hash, struct buf *out)
{
    struct link_source *s = ctx;
    struct schema *schema = NULL;
    int err = stream_log_schema_get(s->follower.log, hash, &schema);
    if (err)
        return err;
    err = columnar_schema_encode(schema, out);
    schema_unref(schema);
    return err;
}

static void source_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    struct link_source *s = ctx;
    log_follower_watch(&s->follower, exec, task);
}

static void source_done(void *ctx, struct position at)
{
    struct link_source *s = ctx;
    log_follower_done(&s->follower, at);
}

/* Within an epoch the difference of the numbers; across epochs what is known of the present one. */
static uint64_t source_behind(void *ctx)
{
    struct link_source *s = ctx;
    struct position committed = journal_committed(stream_log_journal(s->follower.log));
    struct position done = journal_cursor_get(s->follower.cursor);
    if (position_compare(done, committed) >= 0)
        return 0;
    return done.seq < committed.seq ? committed.seq - done.seq : 1;
}

int link_source_open(struct link_source *s, struct stream_log *log, struct uplink_log *ret)
{
    *s = (struct link_source){0};
    *ret = (struct uplink_log){
        .ctx = s,
        .rewind = source_rewind,
        .next = source_next,
        .schema = source_schema,
        .watch = source_watch,
        .done = source_done,
        .behind = source_behind,
    };
    return log_follower_open(&s->follower, log, "uplink");
}

void link_source_close(struct link_source *s)
{
    log_follower_close(&s->follower);
    buf_fini(&s->head);
}

/* ------------------------------------------------------------------------------------- receiver */

static int store_append(void *ctx, struct bytes node, struct bytes payload,
                        struct journal_wait *wait)
{
    struct link_store *s = ctx;
    struct record record = {0};
    int err = record_decode(payload, &record);
    if (err)
        return err;
    /* A node speaks for itself alone. */
    if (!bytes_equal(record.node, node))
        return ERR_DENIED;
    struct position at;
    return stream_log_append_remote(s->log, &record, wait, &at);
}

static int store_schema(void *ctx, struct bytes payload)
{
    struct link_store *s = ctx;
    struct schema *schema = NULL;
    int err = columnar_schema_decode(payload, &schema);
    if (err)
        return err;
    err = stream_log_schema_put(s->log, schema);
    schema_unref(schema);
    return err;
}

void link_store_init(struct link_store *s, struct stream_log *log, struct journal *journal,
                     struct uplink_store *ret)
{
    s->log = log;
    *ret = (struct uplink_store){
        .ctx = s,
        .exec = journal_exec(journal),
        .append = store_append,
        .schema = store_schema,
    };
}
