/* The $SYS topics: a few numbers about the broker for those who only speak MQTT.
 *
 * Published now and then to those who are subscribed, never retained: they are made anew, and a
 * disk is not for them. Everything else that can be known is in /metrics.
 */
#include "base/err.h"
#include "broker/broker_priv.h"

#include <inttypes.h>
#include <stdio.h>

#define US_PER_S     1000000
#define NUMBER_BYTES 24

struct sys_topic {
    const char *topic;
    enum broker_count count;
};

static const struct sys_topic topics[] = {
    {"$SYS/broker/clients/connected", COUNT_CONNECTIONS},
    {"$SYS/broker/clients/total", COUNT_SESSIONS},
    {"$SYS/broker/subscriptions/count", COUNT_SUBSCRIPTIONS},
    {"$SYS/broker/retained messages/count", COUNT_RETAINED},
    {"$SYS/broker/messages/received", COUNT_MESSAGES_IN},
    {"$SYS/broker/messages/sent", COUNT_MESSAGES_OUT},
    {"$SYS/broker/bytes/received", COUNT_BYTES_IN},
    {"$SYS/broker/bytes/sent", COUNT_BYTES_OUT},
};

static void sys_publish(struct broker *b, const char *topic, uint64_t number)
{
    char text[NUMBER_BYTES];
    int n = snprintf(text, sizeof text, "%" PRIu64, number);
    struct publication pub = {
        .parts = {.topic = bytes_of_text(topic),
                  .content = bytes_of(text, (size_t)n),
                  .expires_us = MESSAGE_NEVER_EXPIRES},
    };
    (void)route_publish(b, &pub);
}

static void sys_due(struct exec_timer *timer)
{
    struct broker *b = CONTAINER_OF(timer, struct broker, sys_timer);
    int64_t now_us = exec_now_us(b->exec);
    sys_publish(b, "$SYS/broker/uptime", (uint64_t)(now_us - b->started_us) / US_PER_S);
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        sys_publish(b, topics[i].topic, count_get(b, topics[i].count));
    retain_sweep(b);
    (void)exec_timer_start(b->exec, &b->sys_timer, now_us + b->limits.sys_interval_us);
}

void sys_start(struct broker *b)
{
    exec_timer_init(&b->sys_timer, sys_due);
    if (b->limits.sys_interval_us > 0)
        (void)exec_timer_start(b->exec, &b->sys_timer,
                               exec_now_us(b->exec) + b->limits.sys_interval_us);
}

void sys_stop(struct broker *b)
{
    exec_timer_stop(b->exec, &b->sys_timer);
}
