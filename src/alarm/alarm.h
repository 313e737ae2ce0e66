/* Alarms and the audit: what is wrong, who has seen it; who changed what, with what result.
 *
 * An alarm has a key (its name and what it is about). It is raised, perhaps again, acknowledged by
 * somebody and cleared; each step is a record in the journal's log `events`, and the list is
 * rebuilt from these at start. A change of a device is audited in two records: the intent, durable
 * before the first byte goes to the device, and the result. An intent without a result is what a
 * kill in between leaves, and it is listed as unknown.
 *
 * All state lives on the stage's own thread; the journal's appends the records.
 */
#ifndef LOTLINE_ALARM_ALARM_H
#define LOTLINE_ALARM_ALARM_H

#include "config/config.h"
#include "model/catalogue.h"

struct alarm_stage;
struct journal;

#define ALARM_ACTIVE_MAX     10000 /* beyond it a new alarm is refused, and that is counted */
#define ALARM_ENDED_MAX      1000  /* cleared and acknowledged ones that are still listed */
#define ALARM_TEXT_BYTES_MAX 1024
#define ALARM_NAME_BYTES_MAX 255
#define AUDIT_ENTRIES_MAX    1000 /* in memory; the log has them all */

enum alarm_severity {
    ALARM_INFO,
    ALARM_WARNING,
    ALARM_MINOR,
    ALARM_MAJOR,
    ALARM_CRITICAL,
};

#define ALARM_SEVERITY_COUNT 5

struct alarm_options {
    struct journal *journal; /* may be set later: alarm_journal_set */
};

int alarm_new(const struct alarm_options *options, struct alarm_stage **ret);
void alarm_journal_set(struct alarm_stage *a, struct journal *journal);

/* Checks the section `alarm`, adds the stream `alarms` and the calls alarm.list, alarm.raise,
 * alarm.clear, alarm.ack, alarm.audit. Pure. */
int alarm_configure(struct alarm_stage *a, const struct config *config, struct catalogue *catalogue,
                    struct diag *diag);

/* Opens the log `events` and rebuilds the list. Blocking. */
int alarm_start(struct alarm_stage *a, struct diag *diag);
void alarm_stop(struct alarm_stage *a);
void alarm_free(struct alarm_stage *a); /* NULL is allowed */

/* ------------------------------------------------------------------------- for the app's wiring
 */

/* Raises (again) or clears without a call: the node's own troubles (a full disk, a historian that
 * cannot write). Any thread, never blocks; lost only when memory is. */
void alarm_raise(struct alarm_stage *a, const char *name, enum alarm_severity severity,
                 const char *source, const char *text);
void alarm_clear(struct alarm_stage *a, const char *name, const char *source);

/* ---------------------------------------------------------------------------------------- audit */

struct audit_intent {
    const char *user;
    const char *channel; /* "rest", "socket", "mqtt", "rule" */
    const char *action;  /* "gateway.write" */
    const char *target;  /* "plc1.press.setpoint" */
    const char *value;   /* as a person reads it */
};

/* Someone who waits until an intent is durable. Lives until fn ran. */
struct audit_wait {
    /* On `exec`. err: ERR_NO_SPACE, ERR_IO, …: the change must not be made. */
    void (*fn)(struct audit_wait *wait, uint64_t id, int err);
    struct exec *exec;
    struct exec_task task; /* private from here */
    uint64_t id;
    int err;
    void *entry;
};

/* Any thread, never blocks. The texts are copied. fn runs once. */
void audit_intent(struct alarm_stage *a, const struct audit_intent *intent,
                  struct audit_wait *wait);

/* err and text: what came of it. Any thread, never blocks. */
void audit_result(struct alarm_stage *a, uint64_t id, int err, const char *text);

#endif
