/* The table of routes: which call answers which path, and what is said about it. Everything about a
 * route that is not in its call's spec stands here, once.
 */
#ifndef LOTLINE_API_ROUTES_H
#define LOTLINE_API_ROUTES_H

#include "base/bytes.h"
#include "base/err.h"
#include "model/call.h"

#define ROUTE_PREFIX     "/api/v1"
#define ROUTE_PARAMS_MAX 4

struct api;
struct exchange;

struct route {
    const char *method;
    const char *path; /* below ROUTE_PREFIX; a segment {name} is the request's field of that name */
    const char *call; /* name in the catalogue; NULL with `special` */
    const char *module;  /* who offers the call, for the text when it is switched off */
    const char *tag;     /* group in the document */
    const char *summary; /* one phrase */
    int64_t timeout_ms;  /* for the call; 0 = the usual */
    bool open;           /* answered without a token */
    /* What no call can answer (streams, cookies): spec describes it, special answers it. */
    const struct call_spec *spec;
    void (*special)(struct exchange *x);
    const char *media; /* of a special's answer; NULL = JSON */
};

/* The table; ends with a row whose method is NULL. */
const struct route *routes_table(void);
size_t routes_count(void);

struct route_param {
    struct bytes name; /* into the table */
    struct bytes value;
};

struct route_match {
    const struct route *route;
    struct route_param params[ROUTE_PARAMS_MAX];
    size_t param_count;
};

/* path without ROUTE_PREFIX. ERR_NOT_FOUND: no such path. ERR_UNSUPPORTED: the path has other
 * methods, which are appended to *ret_allow ("GET, POST"; may be NULL). HEAD is GET. */
int route_find(const char *method, struct bytes path, struct route_match *ret,
               struct buf *ret_allow);

#endif
