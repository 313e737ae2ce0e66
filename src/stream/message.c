/* Rows as JSON messages. */
#include "model/message.h"

#include "stream/engine_priv.h"

static int message_row(struct batch_builder *bb, int64_t time_us, const struct message_format *f,
                       struct bytes payload)
{
    int err = batch_builder_row(bb, time_us);
    if (err < 0)
        return err;
    err = batch_set_bytes(bb, MESSAGE_TOPIC, bytes_of_text(f->topic));
    if (!err)
        err = batch_set_bytes(bb, MESSAGE_PAYLOAD, payload);
    if (err)
        return err;
    batch_set_i64(bb, MESSAGE_QOS, (int64_t)f->qos);
    batch_set_bool(bb, MESSAGE_RETAIN, f->retain);
    return OK;
}

int messages_print(const struct schema *message, const struct batch *b,
                   const struct message_format *format, struct batch **ret)
{
    struct batch_builder *bb = NULL;
    struct buf text = {0};
    uint32_t count = format->array ? 1 : b->rows;
    int err = batch_builder_new(message, count, NULL, &bb);
    for (uint32_t i = 0; i < count && !err; i++) {
        buf_reset(&text);
        err = format->array ? json_print_rows(b, &format->json, &text)
                            : json_print_row(b, i, &format->json, &text);
        if (!err)
            err = message_row(bb, batch_times(b)[i], format, buf_bytes(&text));
    }
    if (!err)
        err = batch_builder_finish(bb, ret);
    batch_builder_free(bb);
    buf_fini(&text);
    return err;
}
