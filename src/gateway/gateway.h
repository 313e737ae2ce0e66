/* The gateway: devices, their groups of tags, and writing back.
 *
 * Each group is a stream `device.group`: one row a poll cycle, one column a tag, with quality and
 * acquisition time for each value. A device lives on one loop; everything about it happens there.
 * The kinds of controller are drivers behind include/lotline/driver.h, built in (modbus-tcp) or
 * loaded from the folder that `plugins:` names.
 *
 * Calls it offers: gateway.devices, gateway.tags, gateway.read, gateway.write.
 */
#ifndef LOTLINE_GATEWAY_GATEWAY_H
#define LOTLINE_GATEWAY_GATEWAY_H

#include "base/err.h"
#include "base/exec.h"
#include "model/catalogue.h"

struct config;
struct gateway;

/* ----------------------------------------------------------------------------------------- audit
 */

/* A write that is about to be sent. Borrowed for the call. */
struct gateway_intent {
    uint64_t id; /* of this write; the result names it. Unique over restarts of the node */
    const struct call_origin *origin;
    const char *tag;    /* "device.group.tag" */
    struct bytes value; /* JSON text, as asked for */
    int64_t wall_us;
};

/* Given with an intent: to be told when it is recorded. Any thread, exactly once. */
struct gateway_audit_wait {
    void (*fn)(struct gateway_audit_wait *wait, int err);
};

/* How the gateway has its writes audited; the frame is sent only after the intent was recorded.
 * Both functions are called on loop threads and must not block. */
struct gateway_audit {
    void *ctx;
    /* 0: wait->fn will be called (also from inside). An error: the write is refused with it. */
    int (*intent)(void *ctx, const struct gateway_intent *intent, struct gateway_audit_wait *wait);
    /* err 0: the device confirmed. text: the device's or our words, "" if there are none. Not
     * called for a write whose outcome nobody knows because the node stopped. */
    void (*result)(void *ctx, uint64_t id, int err, const char *text);
};

/* ------------------------------------------------------------------------------------------ life
 */

struct gateway_options {
    struct exec *const *loops; /* devices are dealt out to them in turn; may be NULL for `check` */
    uint32_t loop_count;
    const struct gateway_audit *audit; /* NULL: writes are not audited */
};

/* Memory only. ERR_NOMEM. */
int gateway_new(const struct gateway_options *options, struct gateway **ret);

/* Checks `devices` and `plugins`, loads the plug-ins, adds the groups' streams (each with its
 * outlet) and the calls to the catalogue. Opens no connection. Errors with file, line, column. */
int gateway_configure(struct gateway *g, const struct config *config, struct catalogue *catalogue,
                      struct diag *diag);

/* Starts to connect and to poll. Any thread but the loops'. */
int gateway_start(struct gateway *g);

/* Closes every connection and waits for it. Idempotent. Any thread but the loops'; the loops must
 * still run. */
void gateway_stop(struct gateway *g);
void gateway_free(struct gateway *g); /* NULL is allowed */

/* Counters of the whole gateway, for /metrics. Any thread, roughly. */
struct gateway_stats {
    uint64_t devices;
    uint64_t devices_online;
    uint64_t groups;
    uint64_t tags;
    uint64_t polls;   /* cycles that were run */
    uint64_t missed;  /* grid points that found the cycle before still running */
    uint64_t skipped; /* cycles not run because nobody took the values (back-pressure) */
    uint64_t values;  /* good values delivered */
    uint64_t requests;
    uint64_t timeouts;
    uint64_t refused; /* exceptions */
    uint64_t late;    /* answers that came after their time */
    uint64_t faults;  /* connections dropped because the device broke the protocol */
    uint64_t connects;
    uint64_t writes;
    uint64_t writes_failed;
};

void gateway_stats_get(const struct gateway *g, struct gateway_stats *ret);

/* ----------------------------------------------------------------------------------------- probe
 */

/* Reads one address once, with no configuration: `lotline read URL ADDRESS --type T`. */
struct gateway_probe {
    const char *url;     /* "modbus-tcp://HOST[:PORT]" */
    const char *address; /* "1!400001" */
    const char *type;    /* "float"; NULL = int16 */
    const char *order;   /* NULL = the driver's */
    int64_t timeout_us;  /* for all of it; 0 = 3 s */
    const char *plugins; /* a folder of plug-ins, or NULL */
};

/* Appends the value as JSON text. Blocks the calling thread up to the time-out, on a loop of its
 * own. Errors: ERR_INVALID, ERR_NOT_FOUND (driver), ERR_TIMEOUT, ERR_DEVICE (diag->text says what
 * the device said), and those of connecting. */
int gateway_probe(const struct gateway_probe *probe, struct buf *ret_json, struct diag *diag);

#endif
