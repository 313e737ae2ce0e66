/* What lies outside /api/v1: health, metrics, the sign-in link, and the console's files. */
#include "api/api_priv.h"
#include "base/clock.h"
#include "codec/json_print.h"

#include <string.h>

struct api_health {
    struct buf modules;
    bool ok;
};

void api_health_module(struct api_health *h, const char *module, bool ok, const char *text)
{
    (void)buf_append_text(&h->modules, h->modules.len ? "," : "");
    (void)json_print_string(bytes_of_text(module), &h->modules);
    (void)buf_printf(&h->modules, ":{\"status\":\"%s\",\"text\":", ok ? "ok" : "failed");
    (void)json_print_string(bytes_of_text(text ? text : ""), &h->modules);
    (void)buf_append_text(&h->modules, "}");
    h->ok = h->ok && ok;
}

static void health_collect(struct api *a, struct api_health *h)
{
    if (a->options.health) {
        a->options.health(a->options.ctx, h);
        return;
    }
    for (int i = 0; i < CONFIG_MODULE_COUNT; i++) {
        if (config_has_module(a->config, (enum config_module)i))
            api_health_module(h, config_module_name((enum config_module)i), true, "");
    }
}

/* 200 as long as the node serves, so that a watchdog does not kill an edge because a disk is full;
 * the status says the rest. */
static void health_serve(struct api *a, struct http_request *r)
{
    struct api_health h = {.ok = true};
    struct buf body = {0};
    static const struct http_header headers[] = {{"Cache-Control", "no-store"}};
    struct http_answer answer = {200, "application/json", headers, 1};
    health_collect(a, &h);
    (void)buf_printf(&body, "{\"status\":\"%s\",\"modules\":{", h.ok ? "ok" : "degraded");
    (void)buf_append_bytes(&body, buf_bytes(&h.modules));
    (void)buf_append_text(&body, "}}");
    buf_fini(&h.modules);
    http_respond(r, &answer, &body);
}

static void metrics_serve(struct api *a, struct http_request *r)
{
    struct caller caller;
    struct buf body = {0};
    struct http_answer answer = {200, "text/plain; version=0.0.4; charset=utf-8", NULL, 0};
    caller_identify(a, r, &caller);
    if (!caller.known && !http_request_peer(r)->is_loopback) {
        answer_problem(r, ERR_AUTH, "metrics need a token, except from this machine");
        return;
    }
    if (metrics_print(a->metrics, &body)) {
        buf_fini(&body);
        answer_problem(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        return;
    }
    http_respond(r, &answer, &body);
}

/* --------------------------------------------------------------------------------------- signing
 * in
 */

static int link_argument(void *ctx, struct bytes name, struct bytes value)
{
    struct bytes *link = ctx;
    if (bytes_equal(name, bytes_of_text("link")))
        *link = value;
    return OK;
}

/* A link that is used up or too old leads to the console too, which says how to get a new one. */
static void sign_in_serve(struct api *a, struct http_request *r)
{
    struct bytes link = {NULL, 0};
    struct auth_who who;
    char session[AUTH_TOKEN_TEXT_BYTES];
    struct buf cookie = {0};
    int64_t now_us = clock_mono_us();
    (void)http_request_query_each(r, link_argument, &link);
    int err = auth_link_use(a->auth, link, now_us, &who);
    if (!err)
        err = auth_session_new(a->auth, &who, now_us, session);
    if (!err)
        session_cookie(a, session, &cookie);
    const struct http_header headers[] = {
        {"Location", "/"},
        {"Cache-Control", "no-store"},
        {"Referrer-Policy", "no-referrer"},
        {"Set-Cookie", buf_text(&cookie)},
    };
    struct http_answer answer = {303, NULL, headers, err ? 3 : 4};
    http_respond(r, &answer, NULL);
    buf_fini(&cookie);
}

/* ------------------------------------------------------------------------------------------ pages
 */

struct page {
    const char *path;
    void (*serve)(struct api *a, struct http_request *r);
};

static const struct page pages[] = {
    {"/health", health_serve},
    {"/metrics", metrics_serve},
    {"/signin", sign_in_serve},
};

void pages_serve(struct api *a, struct http_request *r)
{
    const char *method = http_request_method(r);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        answer_status(r, 405, "method not allowed", "GET", "this path can only be read");
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(http_request_path(r), pages[i].path) == 0) {
            pages[i].serve(a, r);
            return;
        }
    }
    files_serve(a, r);
}
