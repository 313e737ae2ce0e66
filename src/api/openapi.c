/* The OpenAPI 3.1 description, made from the table of routes and the calls' specs.
 *
 * It is printed once at the start. Schemas stand in place, one an operation: they are short, and a
 * reader sees all of a call at once. A field of an answer may be null unless its spec says that it
 * is always there.
 */
#include "api/api_priv.h"
#include "api/special.h"
#include "codec/json_print.h"

#include <ctype.h>
#include <string.h>

const struct call_spec special_openapi_spec = {
    "openapi.get", "This description.", CALL_VIEWER, CALL_ONE, NULL, NULL};

static void quoted(struct buf *out, const char *text)
{
    (void)json_print_string(bytes_of_text(text), out);
}

/* ----------------------------------------------------------------------------------------- schemas
 */

static void type_print(struct buf *out, const char *type, bool nullable, const char *more)
{
    if (nullable)
        (void)buf_printf(out, "\"type\":[\"%s\",\"null\"]%s", type, more);
    else
        (void)buf_printf(out, "\"type\":\"%s\"%s", type, more);
}

/* The keywords of one field, without the braces around them. */
static void field_type_print(struct buf *out, const struct call_field *f, bool nullable)
{
    switch (f->type) {
    case VALUE_BOOL:
        type_print(out, "boolean", nullable, "");
        return;
    case VALUE_INT64:
        type_print(out, "integer", nullable, ",\"format\":\"int64\"");
        return;
    case VALUE_UINT64:
        type_print(out, "integer", nullable, ",\"minimum\":0");
        return;
    case VALUE_FLOAT32:
    case VALUE_DOUBLE:
        type_print(out, "number", nullable, "");
        return;
    case VALUE_TIMESTAMP:
        type_print(out, "string", nullable, ",\"format\":\"date-time\"");
        return;
    case VALUE_STRING:
        if (!(f->flags & FIELD_JSON))
            type_print(out, "string", nullable, "");
        else
            (void)buf_append_text(out, "\"title\":\"JSON\""); /* any JSON value */
        return;
    case VALUE_BYTES:
        (void)buf_printf(out, "\"type\":[\"string\",\"object\"%s]", nullable ? ",\"null\"" : "");
        return;
    case VALUE_NULL:
    case VALUE_ANY:
        break;
    }
    (void)buf_append_text(out, "\"title\":\"any value\"");
}

static void field_print(struct buf *out, const struct call_field *f, bool nullable)
{
    (void)buf_append_text(out, "{");
    field_type_print(out, f, nullable);
    if (f->doc) {
        (void)buf_append_text(out, ",\"description\":");
        quoted(out, f->doc);
    }
    (void)buf_append_text(out, "}");
}

/* Is the field in the path's template? */
static bool field_in_path(const struct route *route, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{')) {
        if (strncmp(at + 1, name, len) == 0 && at[1 + len] == '}')
            return true;
    }
    return false;
}

/* An object of the fields; route not NULL leaves out those that stand in its path. all_present: an
 * answer has every field, a request only those that are required. */
static void object_print(struct buf *out, const struct call_field *fields,
                         const struct route *route, bool all_present)
{
    const char *comma = "";
    (void)buf_append_text(out, "{\"type\":\"object\",\"additionalProperties\":false,"
                               "\"properties\":{");
    for (const struct call_field *f = fields; f && f->name; f++) {
        if (route && field_in_path(route, f->name))
            continue;
        (void)buf_append_text(out, comma);
        quoted(out, f->name);
        (void)buf_append_text(out, ":");
        bool number = f->type == VALUE_DOUBLE || f->type == VALUE_FLOAT32; /* NaN is null */
        field_print(out, f, !f->required || (all_present && number));
        comma = ",";
    }
    (void)buf_append_text(out, "},\"required\":[");
    comma = "";
    for (const struct call_field *f = fields; f && f->name; f++) {
        if ((route && field_in_path(route, f->name)) || (!all_present && !f->required))
            continue;
        (void)buf_append_text(out, comma);
        quoted(out, f->name);
        comma = ",";
    }
    (void)buf_append_text(out, "]}");
}

static void answer_schema_print(struct buf *out, const struct call_spec *spec)
{
    if (spec->flags & CALL_ONE || !spec->answer) {
        object_print(out, spec->answer, NULL, true);
        return;
    }
    (void)buf_append_text(out, "{\"type\":\"array\",\"items\":");
    object_print(out, spec->answer, NULL, true);
    (void)buf_append_text(out, "}");
}

/* -------------------------------------------------------------------------------------- operations
 */

static void parameter_print(struct buf *out, const struct call_field *f, const char *in,
                            const char *comma)
{
    bool in_path = strcmp(in, "path") == 0;
    (void)buf_printf(out, "%s{\"name\":", comma);
    quoted(out, f->name);
    (void)buf_printf(out, ",\"in\":\"%s\",\"required\":%s,\"schema\":", in,
                     in_path || f->required ? "true" : "false");
    field_print(out, f, false);
    (void)buf_append_text(out, "}");
}

static void parameters_print(struct buf *out, const struct route *route,
                             const struct call_spec *spec)
{
    const char *comma = "";
    bool in_query = strcmp(route->method, "GET") == 0;
    (void)buf_append_text(out, ",\"parameters\":[");
    for (const struct call_field *f = spec->request; f && f->name; f++) {
        bool in_path = field_in_path(route, f->name);
        if (!in_path && !in_query)
            continue;
        parameter_print(out, f, in_path ? "path" : "query", comma);
        comma = ",";
    }
    (void)buf_append_text(out, "]");
}

/* True if anything of the request is left for the body. */
static bool has_body(const struct route *route, const struct call_spec *spec)
{
    if (strcmp(route->method, "GET") == 0)
        return false;
    for (const struct call_field *f = spec->request; f && f->name; f++) {
        if (!field_in_path(route, f->name))
            return true;
    }
    return false;
}

static void responses_print(struct buf *out, const struct route *route,
                            const struct call_spec *spec)
{
    const char *media = route->media ? route->media : "application/json";
    (void)buf_append_text(out, ",\"responses\":{\"200\":{\"description\":");
    quoted(out, spec->doc ? spec->doc : route->summary);
    (void)buf_printf(out, ",\"content\":{\"%s\":{\"schema\":", media);
    if (route->media)
        (void)buf_append_text(out, "{\"type\":\"string\"}");
    else if (spec == &special_openapi_spec)
        (void)buf_append_text(out, "{\"type\":\"object\"}");
    else
        answer_schema_print(out, spec);
    (void)buf_append_text(out, "}}},\"default\":{\"$ref\":\"#/components/responses/Problem\"}}");
}

/* "get_alarms_id_ack" */
static void operation_id_print(struct buf *out, const struct route *route)
{
    (void)buf_append_text(out, "\"");
    for (const char *c = route->method; *c; c++)
        (void)buf_append_u8(out, (uint8_t)tolower((unsigned char)*c));
    for (const char *c = route->path; *c; c++) {
        if (*c == '{' || *c == '}')
            continue;
        (void)buf_append_u8(out, isalnum((unsigned char)*c) ? (uint8_t)*c : '_');
    }
    (void)buf_append_text(out, "\"");
}

static void operation_print(struct buf *out, const struct route *route,
                            const struct call_spec *spec)
{
    (void)buf_append_text(out, "\"");
    for (const char *c = route->method; *c; c++)
        (void)buf_append_u8(out, (uint8_t)tolower((unsigned char)*c));
    (void)buf_append_text(out, "\":{\"operationId\":");
    operation_id_print(out, route);
    (void)buf_append_text(out, ",\"summary\":");
    quoted(out, route->summary);
    (void)buf_printf(out, ",\"tags\":[\"%s\"],\"x-role\":\"%s\"", route->tag,
                     auth_role_name(spec->role));
    if (route->open)
        (void)buf_append_text(out, ",\"security\":[]");
    parameters_print(out, route, spec);
    if (has_body(route, spec)) {
        (void)buf_append_text(out, ",\"requestBody\":{\"required\":true,\"content\":"
                                   "{\"application/json\":{\"schema\":");
        object_print(out, spec->request, route, false);
        (void)buf_append_text(out, "}}}");
    }
    responses_print(out, route, spec);
    (void)buf_append_text(out, "}");
}

/* What answers the route; NULL if its module is off. */
static const struct call_spec *route_spec(const struct api *a, const struct route *route)
{
    const struct call_port *port = a->ports[route - routes_table()];
    if (route->call)
        return port ? port->spec : NULL;
    return route->spec;
}

/* All methods of route's path; routes of one path are printed with the first that exists. */
static bool path_is_printed_before(const struct api *a, const struct route *route)
{
    for (const struct route *r = routes_table(); r != route; r++) {
        if (strcmp(r->path, route->path) == 0 && route_spec(a, r))
            return true;
    }
    return false;
}

static void path_print(const struct api *a, struct buf *out, const struct route *first)
{
    const char *comma = "";
    quoted(out, first->path);
    (void)buf_append_text(out, ":{");
    for (const struct route *r = first; r->method; r++) {
        const struct call_spec *spec = route_spec(a, r);
        if (!spec || strcmp(r->path, first->path) != 0)
            continue;
        (void)buf_append_text(out, comma);
        operation_print(out, r, spec);
        comma = ",";
    }
    (void)buf_append_text(out, "}");
}

static const char components[] =
    "},\"components\":{"
    "\"securitySchemes\":{"
    "\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
    "\"session\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":\"%s\"}},"
    "\"schemas\":{\"Problem\":{\"type\":\"object\",\"description\":\"RFC 9457\","
    "\"properties\":{\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
    "\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"}},"
    "\"required\":[\"type\",\"title\",\"status\",\"detail\"]}},"
    "\"responses\":{\"Problem\":{\"description\":\"What went wrong, for a person.\","
    "\"content\":{\"application/problem+json\":{\"schema\":"
    "{\"$ref\":\"#/components/schemas/Problem\"}}}}}},"
    "\"security\":[{\"token\":[]},{\"session\":[]}]}";

int openapi_print(const struct api *a, struct buf *out)
{
    const char *comma = "";
    (void)buf_append_text(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Lotline\","
                               "\"description\":\"Product quality traceability: devices, streams, "
                               "history and units of one node.\",\"version\":");
    quoted(out, a->version);
    (void)buf_append_text(out, "},\"servers\":[{\"url\":\"" ROUTE_PREFIX "\"}],\"paths\":{");
    for (const struct route *r = routes_table(); r->method; r++) {
        if (!route_spec(a, r) || path_is_printed_before(a, r))
            continue;
        (void)buf_append_text(out, comma);
        path_print(a, out, r);
        comma = ",";
    }
    (void)buf_printf(out, components, a->cookie);
    return buf_error(out);
}

void special_openapi(struct exchange *x)
{
    struct buf body = {0};
    (void)buf_append_bytes(&body, buf_bytes(&x->api->openapi));
    exchange_json(x, NULL, 0, &body);
}
