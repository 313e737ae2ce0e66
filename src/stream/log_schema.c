/* Schemas by hash, in memory and in keyed state. A schema is stored before the first record that
 * needs it, so that whoever can read a record can read its batch.
 */
#include "codec/columnar.h"
#include "journal/state.h"
#include "stream/log_priv.h"

#include <inttypes.h>
#include <stdio.h>

#define SCHEMA_KEY_BYTES 32

static struct bytes schema_key(uint64_t hash, char out[static SCHEMA_KEY_BYTES])
{
    (void)snprintf(out, SCHEMA_KEY_BYTES, STREAM_LOG_SCHEMA_PREFIX "%016" PRIx64, hash);
    return bytes_of_text(out);
}

/* A reference, or NULL. */
static struct schema *schema_known(struct stream_log *sl, uint64_t hash)
{
    (void)pthread_mutex_lock(&sl->mutex);
    struct schema *s = map_find(&sl->schemas, bytes_of(&hash, sizeof hash));
    if (s)
        (void)schema_ref(s);
    (void)pthread_mutex_unlock(&sl->mutex);
    return s;
}

static int schema_remember(struct stream_log *sl, const struct schema *schema)
{
    void *old = NULL;
    (void)pthread_mutex_lock(&sl->mutex);
    int err = sl->schemas.count < STREAM_LOG_SCHEMAS_MAX ? OK : ERR_LIMIT;
    struct bytes key = bytes_of(&schema->hash, sizeof schema->hash);
    if (!err)
        err = map_put(&sl->schemas, key, schema_ref(schema), &old);
    if (err == ERR_NOMEM)
        schema_unref((struct schema *)(uintptr_t)schema);
    (void)pthread_mutex_unlock(&sl->mutex);
    schema_unref(old);
    return err;
}

int stream_log_schema_put(struct stream_log *sl, const struct schema *schema)
{
    char text[SCHEMA_KEY_BYTES];
    struct buf value = {0};
    struct schema *known = schema_known(sl, schema->hash);
    if (known) {
        schema_unref(known);
        return OK;
    }
    int err = columnar_schema_encode(schema, &value);
    if (!err)
        err = state_put(sl->journal, schema_key(schema->hash, text), buf_bytes(&value));
    if (!err)
        err = schema_remember(sl, schema);
    buf_fini(&value);
    return err;
}

int stream_log_schema_get(struct stream_log *sl, uint64_t hash, struct schema **ret)
{
    char text[SCHEMA_KEY_BYTES];
    struct buf value = {0};
    struct schema *schema = schema_known(sl, hash);
    if (schema) {
        *ret = schema;
        return OK;
    }
    int err = state_get(sl->journal, schema_key(hash, text), &value);
    if (!err)
        err = columnar_schema_decode(buf_bytes(&value), &schema);
    buf_fini(&value);
    if (err)
        return err;
    /* Without room in the table it is read again next time. */
    (void)schema_remember(sl, schema);
    *ret = schema;
    return OK;
}
