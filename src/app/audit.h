/* Joins what changes things to the audit: a write's intent is durable before the frame goes. */
#ifndef LOTLINE_APP_AUDIT_H
#define LOTLINE_APP_AUDIT_H

#include "alarm/alarm.h"
#include "api/api.h"
#include "gateway/gateway.h"

struct audit_bridge;

/* exec: where waits come back (any that runs as long as the gateway). ERR_NOMEM. */
int audit_bridge_new(struct alarm_stage *alarm, struct exec *exec, struct audit_bridge **ret);
void audit_bridge_free(struct audit_bridge *b); /* after the gateway has stopped; NULL is allowed */

/* The exec is known only when the journal is open. Before the gateway starts. */
void audit_bridge_exec_set(struct audit_bridge *b, struct exec *exec);

/* Records a change that was made by REST or the socket. Any thread, never blocks. */
void audit_bridge_change(struct audit_bridge *b, const struct api_change *change);

/* What the gateway is given; lives as long as the bridge. */
const struct gateway_audit *audit_bridge_hooks(struct audit_bridge *b);

#endif
