/* The calls that the API offers itself: about the node as such. They run on the API's worker. */
#include "api/api_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/json_print.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct call_field info_fields[] = {
    {"name", VALUE_STRING, 0, true, "the node's name"},
    {"version", VALUE_STRING, 0, true, "of the program"},
    {"modules", VALUE_STRING, FIELD_JSON, true, "what runs here, a list of names"},
    {"started_at", VALUE_TIMESTAMP, 0, true, "when the node started"},
    {"uptime_s", VALUE_INT64, 0, true, "seconds since then"},
    {"pid", VALUE_INT64, 0, true, "the process"},
    {"http", VALUE_STRING, 0, false, "where console and REST listen"},
    {.name = NULL},
};

static const struct call_field level_fields[] = {
    {"level", VALUE_STRING, 0, true, "debug, info, warn, error or off"},
    {.name = NULL},
};

static const struct call_field link_fields[] = {
    {"link", VALUE_STRING, 0, true, "open it in a browser; it works once"},
    {"expires_at", VALUE_TIMESTAMP, 0, true, "until then"},
    {.name = NULL},
};

/* Fills one row of c's answer by fn and ends the call. */
static void answer_one(struct call *c, struct api *a,
                       int (*fn)(struct api *, struct batch_builder *))
{
    struct batch_builder *bb = NULL;
    int err = call_answer_builder(c, 1, &bb);
    if (!err) {
        int row = batch_builder_row(bb, clock_wall_us());
        err = row < 0 ? row : fn(a, bb);
    }
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "%s", err_text(err));
}

static int info_fill(struct api *a, struct batch_builder *bb)
{
    struct buf modules = {0};
    int64_t uptime_us = clock_mono_us() - a->started_us;
    (void)buf_append_text(&modules, "[");
    for (int i = 0; i < CONFIG_MODULE_COUNT; i++) {
        if (!config_has_module(a->config, (enum config_module)i))
            continue;
        (void)buf_printf(&modules, "%s\"%s\"", modules.len > 1 ? "," : "",
                         config_module_name((enum config_module)i));
    }
    (void)buf_append_text(&modules, "]");
    int err = batch_set_bytes(bb, 0, bytes_of_text(a->catalogue->node));
    if (!err)
        err = batch_set_bytes(bb, 1, bytes_of_text(a->version));
    if (!err)
        err = batch_set_bytes(bb, 2, buf_bytes(&modules));
    if (!err && a->address[0])
        err = batch_set_bytes(bb, 6, bytes_of_text(a->address));
    batch_set_i64(bb, 3, clock_wall_us() - uptime_us);
    batch_set_i64(bb, 4, uptime_us / 1000000);
    batch_set_i64(bb, 5, getpid());
    buf_fini(&modules);
    return err;
}

static void info_serve(void *owner, struct call *c)
{
    answer_one(c, owner, info_fill);
}

static int level_fill(struct api *a, struct batch_builder *bb)
{
    (void)a;
    return batch_set_bytes(bb, 0, bytes_of_text(log_level_name(log_level_get())));
}

static void level_serve(void *owner, struct call *c)
{
    answer_one(c, owner, level_fill);
}

static void level_set_serve(void *owner, struct call *c)
{
    struct value wanted = call_arg(c, "level");
    char name[16];
    enum log_level level;
    (void)snprintf(name, sizeof name, "%.*s", (int)wanted.bytes.len,
                   (const char *)wanted.bytes.ptr);
    if (!log_level_find(name, &level)) {
        call_fail(c, ERR_INVALID, "the level is one of debug, info, warn, error, off");
        return;
    }
    log_level_set(level);
    log_info("api", "log level %s, set by %s", name, call_origin_of(c)->user);
    answer_one(c, owner, level_fill);
}

/* ------------------------------------------------------------------------------------------- link
 */

/* A person opens the link in a browser: "any address" is none that can be opened. */
static void link_host(const struct api *a, char out[static ADDRESS_TEXT_BYTES_MAX])
{
    struct address address;
    (void)snprintf(out, ADDRESS_TEXT_BYTES_MAX, "%s", a->address);
    if (address_parse(a->address, &address, NULL))
        return;
    if (strcmp(address.host, "0.0.0.0") == 0)
        (void)snprintf(address.host, sizeof address.host, "127.0.0.1");
    else if (strcmp(address.host, "::") == 0)
        (void)snprintf(address.host, sizeof address.host, "::1");
    address_format(&address, out);
}

int calls_link_new(struct api *a, struct buf *out)
{
    char token[AUTH_TOKEN_TEXT_BYTES];
    char host[ADDRESS_TEXT_BYTES_MAX];
    struct auth_who who = {CALL_ADMIN, "admin"};
    int err = auth_link_new(a->auth, &who, clock_mono_us(), token);
    if (err)
        return err;
    link_host(a, host);
    return buf_printf(out, "http://%s/signin?link=%s", host, token);
}

static int link_fill(struct api *a, struct batch_builder *bb)
{
    struct buf link = {0};
    int err = calls_link_new(a, &link);
    if (!err)
        err = batch_set_bytes(bb, 0, buf_bytes(&link));
    batch_set_i64(bb, 1, clock_wall_us() + AUTH_LINK_LIFE_US);
    buf_fini(&link);
    return err;
}

static void link_serve(void *owner, struct call *c)
{
    struct api *a = owner;
    if (a->address[0])
        answer_one(c, a, link_fill);
    else
        call_fail(c, ERR_UNSUPPORTED, "this node serves no console: listen.http is off");
}

static const struct call_spec info_spec = {"node.info", "About this node.", CALL_VIEWER, CALL_ONE,
                                           NULL,        info_fields};
static const struct call_spec level_spec = {
    "node.log_level", "Which log lines are written.", CALL_VIEWER, CALL_ONE, NULL, level_fields};
static const struct call_spec level_set_spec = {
    "node.log_level_set", "Changes which log lines are written.",
    CALL_ADMIN,           CALL_ONE | CALL_CHANGES,
    level_fields,         level_fields};
static const struct call_spec link_spec = {"node.link", "Makes a link that signs in once.",
                                           CALL_ADMIN,  CALL_ONE | CALL_CHANGES,
                                           NULL,        link_fields};

int calls_add(struct api *a)
{
    static const struct call_entry entries[] = {
        {&info_spec, info_serve},
        {&level_spec, level_serve},
        {&level_set_spec, level_set_serve},
        {&link_spec, link_serve},
    };
    return catalogue_calls_add(a->catalogue, entries, sizeof entries / sizeof entries[0], a->worker,
                               a);
}
