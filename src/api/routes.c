/* See routes.h. Adding a route is adding a row here and a row in docs/rest.md. */
#include "api/routes.h"

#include "api/special.h"

#include <string.h>

static const struct route table[] = {
    {.method = "GET",
     .path = "/devices",
     .call = "gateway.devices",
     .module = "gateway",
     .tag = "devices",
     .summary = "devices with their state and counters"},
    {.method = "GET",
     .path = "/tags",
     .call = "gateway.tags",
     .module = "gateway",
     .tag = "devices",
     .summary = "tags with their last values"},
    {.method = "POST",
     .path = "/write",
     .call = "gateway.write",
     .module = "gateway",
     .tag = "devices",
     .summary = "write a tag; the answer is the device's"},
    {.method = "POST",
     .path = "/read",
     .call = "gateway.read",
     .module = "gateway",
     .tag = "devices",
     .summary = "ask the device for a tag now"},
    {.method = "GET",
     .path = "/streams",
     .call = "stream.list",
     .module = "stream",
     .tag = "streams",
     .summary = "streams with their columns"},
    {.method = "GET",
     .path = "/rules",
     .call = "stream.rules",
     .module = "stream",
     .tag = "streams",
     .summary = "rules with their state and counters"},
    {.method = "POST",
     .path = "/tail",
     .call = "stream.tail",
     .module = "stream",
     .tag = "streams",
     .summary = "run a statement over live streams; one JSON object a row, until the client leaves",
     .special = special_tail,
     .media = "application/x-ndjson"},
    {.method = "GET",
     .path = "/events",
     .tag = "streams",
     .summary = "live values and alarms as server-sent events",
     .spec = &special_events_spec,
     .special = special_events,
     .media = "text/event-stream"},
    {.method = "GET",
     .path = "/alarms",
     .call = "alarm.list",
     .module = "alarm",
     .tag = "alarms",
     .summary = "alarms, active and past"},
    {.method = "POST",
     .path = "/alarms/{id}/ack",
     .call = "alarm.ack",
     .module = "alarm",
     .tag = "alarms",
     .summary = "acknowledge an alarm"},
    {.method = "GET",
     .path = "/audit",
     .call = "alarm.audit",
     .module = "alarm",
     .tag = "alarms",
     .summary = "who changed what, when, with what result"},
    {.method = "GET",
     .path = "/sql",
     .call = "historian.sql",
     .module = "historian",
     .tag = "history",
     .summary = "ask the historian"},
    {.method = "POST",
     .path = "/sql",
     .call = "historian.sql",
     .module = "historian",
     .tag = "history",
     .summary = "ask the historian; for long statements"},
    {.method = "GET",
     .path = "/units",
     .call = "trace.units",
     .module = "trace",
     .tag = "trace",
     .summary = "visits, the newest first; with a verdict, the bad units of a time",
     .timeout_ms = 60 * 1000LL},
    {.method = "GET",
     .path = "/containment",
     .call = "trace.forward",
     .module = "trace",
     .tag = "trace",
     .summary = "every unit that a serial, a lot, a factor or a station's time reaches",
     .timeout_ms = 60 * 1000LL},
    {.method = "GET",
     .path = "/trace/{serial}",
     .call = "trace.unit",
     .module = "trace",
     .tag = "trace",
     .summary = "a unit's visits, measures, defects, factors, relatives and verdict"},
    {.method = "GET",
     .path = "/trace/{serial}/band",
     .call = "trace.band",
     .module = "trace",
     .tag = "trace",
     .summary = "a unit's curve at a station, against the band of the good units' curves",
     .timeout_ms = 60 * 1000LL},
    {.method = "GET",
     .path = "/lines",
     .call = "track.lines",
     .module = "track",
     .tag = "lines",
     .summary = "lines: parts, ways between them, gates"},
    {.method = "GET",
     .path = "/lines/{name}",
     .call = "track.line",
     .module = "track",
     .tag = "lines",
     .summary =
         "who is on a line now, where, and how sure that is; its gates; units not explained"},
    {.method = "GET",
     .path = "/lines/{name}/stays",
     .call = "trace.stays",
     .module = "trace",
     .tag = "lines",
     .summary = "who was where on a line between two moments, as stored",
     .timeout_ms = 60 * 1000LL},
    {.method = "GET",
     .path = "/why",
     .call = "trace.why",
     .module = "trace",
     .tag = "trace",
     .summary = "what may have caused a defect: factors ranked by evidence",
     .timeout_ms = 120000},
    {.method = "POST",
     .path = "/replay",
     .call = "node.replay",
     .module = "trace",
     .tag = "trace",
     .summary = "what a past period would have given with changed tracks and rules: what differs",
     .timeout_ms = 600000},
    {.method = "GET",
     .path = "/sessions",
     .call = "broker.sessions",
     .module = "broker",
     .tag = "mqtt",
     .summary = "MQTT clients and their sessions"},
    {.method = "POST",
     .path = "/publish",
     .call = "broker.publish",
     .module = "broker",
     .tag = "mqtt",
     .summary = "publish an MQTT message"},
    {.method = "GET",
     .path = "/uplink",
     .call = "uplink.status",
     .module = "uplink",
     .tag = "mqtt",
     .summary = "how far the hub has this node's streams"},
    {.method = "GET",
     .path = "/node",
     .call = "node.info",
     .module = "api",
     .tag = "node",
     .summary = "name, version, modules, time since the start"},
    {.method = "GET",
     .path = "/log-level",
     .call = "node.log_level",
     .module = "api",
     .tag = "node",
     .summary = "which log lines are written"},
    {.method = "PUT",
     .path = "/log-level",
     .call = "node.log_level_set",
     .module = "api",
     .tag = "node",
     .summary = "change which log lines are written"},
    {.method = "POST",
     .path = "/link",
     .call = "node.link",
     .module = "api",
     .tag = "node",
     .summary = "make a link that signs in once"},
    {.method = "POST",
     .path = "/backup",
     .call = "node.backup",
     .module = "node",
     .tag = "node",
     .summary = "copy the node's state into a new folder while it runs",
     .timeout_ms = 3600 * 1000LL},
    {.method = "GET",
     .path = "/session",
     .tag = "session",
     .summary = "who is signed in",
     .spec = &special_session_get_spec,
     .special = special_session_get},
    {.method = "POST",
     .path = "/session",
     .tag = "session",
     .summary = "sign in with a token: sets the session cookie",
     .open = true,
     .spec = &special_session_post_spec,
     .special = special_session_post},
    {.method = "DELETE",
     .path = "/session",
     .tag = "session",
     .summary = "sign out",
     .spec = &special_session_delete_spec,
     .special = special_session_delete},
    {.method = "GET",
     .path = "/openapi.json",
     .tag = "node",
     .summary = "this description",
     .spec = &special_openapi_spec,
     .special = special_openapi},
    {.method = NULL},
};

const struct route *routes_table(void)
{
    return table;
}

size_t routes_count(void)
{
    return sizeof table / sizeof table[0] - 1;
}

/* The next segment of a path that begins with '/'; false at the end. */
static bool segment_next(struct bytes *path, struct bytes *ret)
{
    if (path->len == 0)
        return false;
    const uint8_t *start = path->ptr + 1;
    size_t left = path->len - 1;
    const uint8_t *slash = left ? memchr(start, '/', left) : NULL;
    size_t len = slash ? (size_t)(slash - start) : left;
    *ret = bytes_of(start, len);
    *path = bytes_of(start + len, left - len);
    return true;
}

/* Does path fit the route's template? Fills the params. */
static bool route_fits(const struct route *route, struct bytes path, struct route_match *out)
{
    struct bytes template = bytes_of_text(route->path);
    struct bytes want;
    struct bytes have;
    out->param_count = 0;
    while (segment_next(&template, &want)) {
        if (!segment_next(&path, &have))
            return false;
        if (want.len > 2 && want.ptr[0] == '{') {
            if (have.len == 0 || out->param_count == ROUTE_PARAMS_MAX)
                return false;
            out->params[out->param_count++] =
                (struct route_param){bytes_of(want.ptr + 1, want.len - 2), have};
        } else if (!bytes_equal(want, have)) {
            return false;
        }
    }
    out->route = route;
    return path.len == 0;
}

int route_find(const char *method, struct bytes path, struct route_match *ret,
               struct buf *ret_allow)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    bool other = false;
    if (path.len == 0 || path.ptr[0] != '/')
        return ERR_NOT_FOUND;
    for (const struct route *route = table; route->method; route++) {
        struct route_match match;
        if (!route_fits(route, path, &match))
            continue;
        if (strcmp(route->method, wanted) == 0) {
            *ret = match;
            return OK;
        }
        if (ret_allow)
            (void)buf_printf(ret_allow, "%s%s", other ? ", " : "", route->method);
        other = true;
    }
    return other ? ERR_UNSUPPORTED : ERR_NOT_FOUND;
}
