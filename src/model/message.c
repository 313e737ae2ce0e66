/* The schema of MQTT messages. See message.h. */
#include "model/message.h"

int message_schema_new(struct schema **ret)
{
    static const struct field fields[MESSAGE_COLUMN_COUNT] = {
        [MESSAGE_TOPIC] = {.name = "topic", .type = VALUE_STRING},
        [MESSAGE_PAYLOAD] = {.name = "payload", .type = VALUE_BYTES, .flags = FIELD_TEXT},
        [MESSAGE_QOS] = {.name = "qos", .type = VALUE_INT64},
        [MESSAGE_RETAIN] = {.name = "retain", .type = VALUE_BOOL},
        [MESSAGE_CLIENT] = {.name = "client", .type = VALUE_STRING},
        [MESSAGE_RESPONSE_TOPIC] = {.name = "response_topic", .type = VALUE_STRING},
        [MESSAGE_CORRELATION] = {.name = "correlation", .type = VALUE_BYTES},
    };
    return schema_new(fields, MESSAGE_COLUMN_COUNT, ret);
}
