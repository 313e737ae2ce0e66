/* Answers that no call can give: streams and cookies. Private to api/. */
#ifndef LOTLINE_API_SPECIAL_H
#define LOTLINE_API_SPECIAL_H

#include "model/call.h"

struct exchange;

/* events.c */
extern const struct call_spec special_events_spec;
void special_events(struct exchange *x);

/* tail.c */
void special_tail(struct exchange *x);

/* session.c */
extern const struct call_spec special_session_get_spec;
extern const struct call_spec special_session_post_spec;
extern const struct call_spec special_session_delete_spec;
void special_session_get(struct exchange *x);
void special_session_post(struct exchange *x);
void special_session_delete(struct exchange *x);

/* openapi.c */
extern const struct call_spec special_openapi_spec;
void special_openapi(struct exchange *x);

#endif
