/* The sender's parts, private to bridge/. */
#ifndef LOTLINE_BRIDGE_UPLINK_PRIV_H
#define LOTLINE_BRIDGE_UPLINK_PRIV_H

#include "base/map.h"
#include "bridge/uplink.h"
#include "mqtt/client.h"

#include <semaphore.h>

#define UPLINK_ERROR_BYTES_MAX 256

/* What the section `uplink` says. */
struct uplink_section {
    const char *to;
    struct option_texts streams;
    const char *client_id;
    const char *user;
    const char *password;
    uint64_t in_flight_max;
    uint64_t bytes_in_flight_max;
    int64_t ack_timeout_us;
};

/* A publication on its way: worker → loop → hub → loop → worker. */
struct slot {
    struct uplink *uplink;
    struct mqtt_send send;
    struct exec_task to_loop;
    struct exec_task to_worker;
    struct payload *payload;
    struct position at; /* the cursor's when this and all before is acknowledged; none = schema */
    uint64_t schema_hash;
    uint32_t link; /* the connection it is meant for */
    bool is_schema;
    bool back;
    int err;
    uint8_t reason;
};

struct uplink {
    struct uplink_options options;
    struct uplink_section section;
    struct arena arena;
    char *address;
    char *data_topic;
    char *schema_topic;
    struct uplink_log log;
    struct exec *worker;
    struct mqtt_client *client; /* the loop's */
    sem_t stopped;
    bool configured;
    atomic_bool started; /* counters are asked for by other threads from the first moment on */

    /* The worker's. */
    struct slot *slots; /* a ring: `count` of them from `first` are out, oldest first */
    uint32_t slot_count;
    uint32_t first;
    uint32_t count;
    uint64_t bytes_out;
    bool up;
    uint32_t link; /* the connection that the window is for */
    bool stopping;
    bool broken;      /* something came back: wait for the rest, then read again */
    bool rewound;     /* the log stands behind the cursor */
    bool have_record; /* `record` was read and not sent */
    struct uplink_record record;
    struct map schemas; /* hashes the hub has seen in this connection */
    struct position refused_at;
    unsigned refused_times;
    uint8_t refused_reason; /* the PUBACK's */
    struct position skip_to;
    struct exec_task work;
    struct exec_task link_task; /* the loop tells of the link */
    struct exec_timer retry;
    char last_error[UPLINK_ERROR_BYTES_MAX];

    atomic_bool link_up;
    atomic_uint link_count; /* connections so far; counted on the loop */
    atomic_ullong sent;
    atomic_ullong acknowledged;
    atomic_ullong bytes;
    atomic_ullong lost;
    atomic_ullong refused;
    atomic_ullong skipped;
    atomic_ullong expired;
};

/* uplink_window.c: reading, sending, acknowledging; all on the worker. */
void uplink_work(struct uplink *u);
int uplink_slots_new(struct uplink *u);
void uplink_slots_free(struct uplink *u);

/* True if the section's patterns take that stream. */
bool uplink_wants(const struct uplink *u, struct bytes stream);

#endif
