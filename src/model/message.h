/* The schema of MQTT messages as rows: what crosses between the broker and those who read or
 * publish messages.
 *
 * Both sides make the same schema (same hash), so a column is found by its number. A row's time is
 * when the broker took the message; a publisher may leave everything but topic null.
 */
#ifndef LOTLINE_MODEL_MESSAGE_H
#define LOTLINE_MODEL_MESSAGE_H

#include "model/schema.h"

enum message_column {
    MESSAGE_TOPIC,          /* string */
    MESSAGE_PAYLOAD,        /* bytes */
    MESSAGE_QOS,            /* int64: 0 or 1; null = 0 */
    MESSAGE_RETAIN,         /* bool; null = false */
    MESSAGE_CLIENT,         /* string: who published it; "" = this node */
    MESSAGE_RESPONSE_TOPIC, /* string; null = none */
    MESSAGE_CORRELATION,    /* bytes; null = none */
};

#define MESSAGE_COLUMN_COUNT 7

/* What a topic ends with whose messages bring values of a group's past: PLACE/DEVICE/GROUP/import.
 */
#define IMPORT_SUFFIX "/import"

/* One reference. ERR_NOMEM. */
int message_schema_new(struct schema **ret);

#endif
