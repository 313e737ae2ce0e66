/* A consumer's reading of the log. See feed.h. */
#include "model/feed.h"

#include "base/err.h"
#include "base/log.h"

/* ERR_NOT_FOUND: nobody has the schema that the record needs. */
static bool err_is_final(int err)
{
    static const int final[] = {ERR_EXPIRED,     ERR_CHECKSUM, ERR_MALFORMED, ERR_VERSION,
                                ERR_UNSUPPORTED, ERR_SHORT,    ERR_NOT_FOUND, ERR_INVALID};
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++)
        if (err == final[i])
            return true;
    return false;
}

static int record_take(const struct feed *feed, const struct feed_consumer *c,
                       const struct feed_record *r)
{
    if (!c->wants(c->ctx, r))
        return OK;
    struct batch *batch = NULL;
    int err = feed->batch(feed->ctx, r, &batch);
    if (!err)
        err = c->take(c->ctx, r, batch);
    /* "Nothing beyond" is for `next` alone to say: here it would lose the record. */
    return err == ERR_AGAIN ? ERR_LIMIT : err;
}

int feed_read(const struct feed *feed, const struct feed_consumer *c, struct position *at)
{
    struct feed_record r = {0};
    int err = feed->next(feed->ctx, &r);
    if (!err) {
        (*c->records)++;
        err = record_take(feed, c, &r);
    }
    if (err && !err_is_final(err))
        return err;
    if (err) {
        (*c->lost)++;
        log_error(c->name, "records of the log up to %llu %s: %s", (unsigned long long)r.at.seq,
                  c->missing, err_text(err));
    }
    *at = r.at;
    return OK;
}
