/* The API's life. See api.h. */
#include "api/api.h"

#include "api/api_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/option.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#define WORKER_STACK_BYTES (512u * 1024)
#define SOCKET_CONNS_MAX   64
#define SOCKET_TEXT_BYTES  4200

/* -------------------------------------------------------------------------------------- the
 * section
 */

static const char *const roles[] = {"viewer", "engineer", "admin", NULL};

struct token_options {
    const char *name;
    int role;
    const char *token;
};

static const struct option token_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .offset = offsetof(struct token_options, name),
     .flags = OPTION_REQUIRED,
     .doc = "whose it is, for the audit"},
    {.name = "role",
     .type = OPTION_ENUM,
     .offset = offsetof(struct token_options, role),
     .default_text = "viewer",
     .choices = roles,
     .doc = "what it may do"},
    {.name = "token",
     .type = OPTION_TEXT,
     .offset = offsetof(struct token_options, token),
     .flags = OPTION_REQUIRED | OPTION_SECRET,
     .doc = "at least 16 characters; better ${file:…} than the token itself"},
    {.name = NULL},
};

static const struct option section_table[] = {
    {.name = "console",
     .type = OPTION_TEXT,
     .offset = offsetof(struct api_section, console),
     .doc = "the folder of the console's files"},
    {.name = "tokens",
     .type = OPTION_TREE,
     .offset = offsetof(struct api_section, tokens),
     .items = token_table,
     .doc = "tokens beside the administrator's own"},
    {.name = NULL},
};

#define TOKEN_BYTES_MIN 16

static int tokens_configure(struct api *a, struct diag *diag)
{
    TREE_EACH(item, a->section.tokens)
    {
        struct token_options t;
        int err = option_bind(token_table, item, &a->arena, &t, diag);
        if (err)
            return err;
        size_t len = strlen(t.token);
        if (len < TOKEN_BYTES_MIN || len > AUTH_GIVEN_BYTES_MAX)
            return tree_error(diag, ERR_RANGE, tree_get(item, "token"),
                              "a token has %d to %d characters, this one has %zu", TOKEN_BYTES_MIN,
                              AUTH_GIVEN_BYTES_MAX, len);
        err = auth_token_add(a->auth, t.name, (enum call_role)t.role, t.token);
        if (err)
            return tree_error(diag, err, item, "there may be %d tokens", AUTH_TOKENS_MAX - 1);
    }
    return OK;
}

/* ----------------------------------------------------------------------------------------- pending
 */

void api_pending_add(struct api *a)
{
    (void)pthread_mutex_lock(&a->pending_mutex);
    a->pending++;
    (void)pthread_mutex_unlock(&a->pending_mutex);
}

void api_pending_done(struct api *a)
{
    (void)pthread_mutex_lock(&a->pending_mutex);
    if (--a->pending == 0)
        (void)pthread_cond_broadcast(&a->pending_cond);
    (void)pthread_mutex_unlock(&a->pending_mutex);
}

static void api_pending_wait(struct api *a)
{
    (void)pthread_mutex_lock(&a->pending_mutex);
    while (a->pending)
        (void)pthread_cond_wait(&a->pending_cond, &a->pending_mutex);
    (void)pthread_mutex_unlock(&a->pending_mutex);
}

/* --------------------------------------------------------------------------------------------- new
 */

static int api_make(struct api *a, const struct api_options *options)
{
    a->data = strdup(options->data);
    a->console = options->console ? strdup(options->console) : NULL;
    if (!a->data || (options->console && !a->console))
        return ERR_NOMEM;
    int err = auth_new(&a->auth);
    if (!err && !options->metrics)
        err = metrics_new(&a->own_metrics);
    if (!err)
        err = exec_thread_new("api", WORKER_STACK_BYTES, &a->worker);
    return err;
}

int api_new(const struct api_options *options, struct api **ret)
{
    struct api *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->options = *options;
    a->version = options->version ? options->version : "";
    a->started_us = clock_mono_us();
    atomic_init(&a->serving, false);
    (void)pthread_mutex_init(&a->pending_mutex, NULL);
    (void)pthread_cond_init(&a->pending_cond, NULL);
    int err = api_make(a, options);
    if (err) {
        api_free(a);
        return err;
    }
    a->metrics = options->metrics ? options->metrics : a->own_metrics;
    *ret = a;
    return OK;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    api_stop(a);
    exec_thread_free(a->worker);
    events_free(a->events);
    auth_free(a->auth);
    metrics_free(a->own_metrics);
    arena_fini(&a->arena);
    buf_fini(&a->openapi);
    (void)pthread_mutex_destroy(&a->pending_mutex);
    (void)pthread_cond_destroy(&a->pending_cond);
    free(a->ports);
    free(a->timings);
    free(a->address);
    free(a->link);
    free(a->data);
    free(a->console);
    free(a);
}

int api_configure(struct api *a, const struct config *config, struct catalogue *catalogue,
                  struct diag *diag)
{
    const char *address = config_listen(config, "http");
    struct address parsed;
    a->config = config;
    a->catalogue = catalogue;
    int err =
        option_bind(section_table, config_section(config, "api"), &a->arena, &a->section, diag);
    if (!err && address)
        err = address_parse(address, &parsed, diag);
    if (!err)
        err = tokens_configure(a, diag);
    if (!err && a->section.console) {
        free(a->console);
        a->console = strdup(a->section.console);
        err = a->console ? OK : ERR_NOMEM;
    }
    return err ? err : calls_add(a);
}

/* ------------------------------------------------------------------------------------------- start
 */

/* Of one host all ports share cookies, so each node has a name of its own. */
static void cookie_name(struct api *a)
{
    uint64_t hash = XXH3_64bits(a->data, strlen(a->data));
    (void)snprintf(a->cookie, sizeof a->cookie, "lotline_%08x", (unsigned)(hash & 0xffffffff));
}

static int ports_find(struct api *a)
{
    a->ports = calloc(routes_count(), sizeof(const struct call_port *));
    if (!a->ports)
        return ERR_NOMEM;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = &routes_table()[i];
        if (route->call)
            a->ports[i] = catalogue_call_find(a->catalogue, route->call);
    }
    return OK;
}

static int api_prepare(struct api *a, struct diag *diag)
{
    struct buf path = {0};
    (void)buf_printf(&path, "%s/" API_TOKEN_FILE, a->data);
    int err = auth_admin_open(a->auth, buf_text(&path), diag);
    buf_fini(&path);
    cookie_name(a);
    if (!err)
        err = ports_find(a);
    if (!err)
        err = timing_new(&a->timings);
    if (!err)
        err = openapi_print(a, &a->openapi);
    if (!err)
        err = events_new(a, &a->events);
    if (!err && a->own_metrics)
        err = metrics_add(a->own_metrics, metrics_process, NULL);
    if (!err)
        err = metrics_add(a->metrics, timing_collect, a);
    return err;
}

static int http_open(struct api *a, struct diag *diag)
{
    struct http_server_options options = {
        .address = config_listen(a->config, "http"),
        .key = "listen.http",
        .on_request = api_on_request,
        .ctx = a,
    };
    if (!options.address)
        return OK; /* switched off; the socket remains */
    return http_server_start(&options, &a->http, diag);
}

/* DATA/lotline.sock, for the command line. A path that is too long for a socket's address goes by
 * the folder's descriptor, which makes it short. */
static int socket_open(struct api *a, struct diag *diag)
{
    char address[SOCKET_TEXT_BYTES];
    struct http_server_options options = {.address = address,
                                          .key = "data",
                                          .threads = 1,
                                          .conns_max = SOCKET_CONNS_MAX,
                                          .on_request = api_on_request,
                                          .ctx = a};
    if (strlen(a->data) + sizeof API_SOCKET_FILE <= ADDRESS_PATH_BYTES_MAX) {
        (void)snprintf(address, sizeof address, "unix:%s/" API_SOCKET_FILE, a->data);
    } else {
        a->data_fd = open(a->data, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (a->data_fd < 0)
            return diag_set(diag, ERR_NOT_FOUND, 0, 0, "cannot open the folder %s", a->data);
        (void)snprintf(address, sizeof address, "unix:/proc/self/fd/%d/" API_SOCKET_FILE,
                       a->data_fd);
    }
    return http_server_start(&options, &a->socket, diag);
}

static int api_open(struct api *a, struct diag *diag)
{
    struct buf link = {0};
    int err = http_open(a, diag);
    if (!err)
        err = socket_open(a, diag);
    if (err)
        return err;
    a->address = strdup(a->http ? http_server_address(a->http) : "");
    a->port = a->http ? http_server_port(a->http) : 0;
    if (!a->address)
        return ERR_NOMEM;
    if (a->http)
        err = calls_link_new(a, &link);
    a->link = err ? NULL : strdup(buf_text(&link));
    buf_fini(&link);
    if (!err && !a->link)
        err = ERR_NOMEM;
    return err;
}

int api_start(struct api *a, struct diag *diag)
{
    a->data_fd = -1;
    a->started = true;
    int err = api_prepare(a, diag);
    if (!err)
        err = api_open(a, diag);
    if (err) {
        api_stop(a);
        return err;
    }
    atomic_store_explicit(&a->serving, true, memory_order_release);
    if (a->http)
        log_info("api", "console and REST on http://%s", a->address);
    return OK;
}

void api_stop(struct api *a)
{
    if (!a->started)
        return;
    a->started = false;
    atomic_store_explicit(&a->serving, false, memory_order_release);
    http_server_stop(a->http);
    http_server_stop(a->socket);
    a->http = NULL;
    a->socket = NULL;
    if (a->events)
        events_stop(a->events);
    api_pending_wait(a);
    metrics_remove(a->metrics, timing_collect, a);
    if (a->data_fd >= 0)
        (void)close(a->data_fd);
    a->data_fd = -1;
}

/* ------------------------------------------------------------------------------------------ asking
 */

const char *api_address(const struct api *a)
{
    return a->address ? a->address : "";
}

uint16_t api_port(const struct api *a)
{
    return a->port;
}

const char *api_sign_in_link(const struct api *a)
{
    return a->link ? a->link : "";
}

int api_token_check(struct api *a, struct bytes token, enum call_role *ret_role)
{
    struct auth_who who;
    int err = auth_token_check(a->auth, token, &who);
    if (!err)
        *ret_role = who.role;
    return err;
}
