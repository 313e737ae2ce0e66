/* Followers of the stream log. See log.h. */
#include "codec/columnar.h"
#include "stream/log_priv.h"

#include <stdlib.h>

struct stream_reader {
    struct stream_log *sl;
    struct journal_reader *journal;
    struct schema *schema; /* of the last batch: most often also of the next */
};

int stream_reader_new(struct stream_log *sl, struct position after, struct stream_reader **ret)
{
    struct stream_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->sl = sl;
    int err = journal_reader_new(sl->log, after, &r->journal);
    if (err) {
        free(r);
        return err;
    }
    *ret = r;
    return OK;
}

void stream_reader_free(struct stream_reader *r)
{
    if (!r)
        return;
    journal_reader_free(r->journal);
    schema_unref(r->schema);
    free(r);
}

void stream_reader_seek(struct stream_reader *r, struct position after)
{
    journal_reader_seek(r->journal, after);
}

int stream_reader_next(struct stream_reader *r, struct stream_record *ret)
{
    struct journal_view view = {0};
    struct record record;
    int err = journal_reader_next(r->journal, &view);
    if (err == ERR_EXPIRED || err == ERR_CHECKSUM)
        ret->at = view.at;
    if (err)
        return err;
    if (view.codec != RECORD_CODEC_COLUMNAR || record_decode(view.payload, &record)) {
        ret->at = view.at;
        return ERR_MALFORMED;
    }
    *ret = (struct stream_record){
        .at = view.at,
        .node = record.node,
        .stream = record.stream,
        .origin = position_is_none(record.origin) ? view.at : record.origin,
        .key = record.key,
        .time_us = view.time_us,
        .columnar = record.columnar,
    };
    return OK;
}

int stream_reader_batch(struct stream_reader *r, const struct stream_record *record,
                        struct batch **ret)
{
    uint64_t hash;
    int err = columnar_schema_hash(record->columnar, &hash);
    if (err)
        return err;
    if (!r->schema || r->schema->hash != hash) {
        struct schema *schema;
        err = stream_log_schema_get(r->sl, hash, &schema);
        if (err)
            return err;
        schema_unref(r->schema);
        r->schema = schema;
    }
    return columnar_decode(record->columnar, r->schema, NULL, ret);
}
