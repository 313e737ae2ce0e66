/* Loading a node's configuration. See config.h.
 *
 * Three steps: every file becomes a tree, the trees become one, and the top level is bound by its
 * option table while the lists become objects with unique names. What a device or a rule means is
 * its stage's business.
 */
#include "base/map.h"
#include "base/str.h"
#include "config/config_priv.h"
#include "model/topic.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NAME_DEFAULT "node1"
#define PORT_MAX     65535u

struct listen_options {
    const char *mqtt;
    const char *mqtts;
    const char *ws;
    const char *wss;
    const char *http;
    const char *https;
};

struct top_options {
    const char *name;
    const char *data;
    struct option_texts modules;
    const struct tree *listen;
    const struct tree *trees[CONFIG_KIND_COUNT];
    const struct tree *section;
    const char *plugins;
    uint64_t loops;
    int log;
};

struct kind_objects {
    struct config_object *items;
    size_t count;
    struct map by_name;
};

struct config {
    struct arena arena;
    struct tree *root;
    struct top_options top;
    struct listen_options listen;
    struct kind_objects kinds[CONFIG_KIND_COUNT];
    bool modules[CONFIG_MODULE_COUNT];
};

/* ---------------------------------------------------------------------------------------- tables
 */

static const struct config_kind_info kind_infos[CONFIG_KIND_COUNT] = {
    [CONFIG_DEVICE] = {"device", "devices"},
    [CONFIG_STREAM] = {"stream", "streams"},
    [CONFIG_TRACK] = {"track", "tracks"},
    [CONFIG_CHARACTERISTIC] = {"characteristic", "characteristics"},
    [CONFIG_RULE] = {"rule", "rules"},
    [CONFIG_BRIDGE] = {"bridge", "bridges"},
};

static const char *const module_names[CONFIG_MODULE_COUNT + 1] = {
    "gateway", "track", "stream", "broker", "alarm", "historian", "trace", "api", NULL,
};

static const char *const log_levels[] = {"debug", "info", "warn", "error", "off", NULL};

#define LISTEN(name_, default_, doc_)                                                              \
    {                                                                                              \
        .name = #name_, .type = OPTION_TEXT, .offset = offsetof(struct listen_options, name_),     \
        .default_text = default_, .doc = doc_                                                      \
    }

static const struct option listen_table[] = {
    LISTEN(mqtt, "127.0.0.1:1883", "MQTT over TCP, as host:port; off = don't"),
    LISTEN(mqtts, NULL, "MQTT over TLS"),
    LISTEN(ws, NULL, "MQTT over WebSocket"),
    LISTEN(wss, NULL, "MQTT over WebSocket and TLS"),
    LISTEN(http, "127.0.0.1:8080", "console and REST; off = don't"),
    LISTEN(https, NULL, "console and REST over TLS"),
    {.name = NULL},
};

#define OBJECTS(kind_, name_, doc_)                                                                \
    {                                                                                              \
        .name = name_, .type = OPTION_TREE, .offset = offsetof(struct top_options, trees[kind_]),  \
        .doc = doc_                                                                                \
    }
#define SECTION(name_, doc_)                                                                       \
    {                                                                                              \
        .name = name_, .type = OPTION_TREE, .offset = offsetof(struct top_options, section),       \
        .doc = doc_                                                                                \
    }

static const struct option top_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .offset = offsetof(struct top_options, name),
     .default_text = NAME_DEFAULT,
     .doc = "this node's name, unique among all that send to one hub"},
    {.name = "data",
     .type = OPTION_TEXT,
     .offset = offsetof(struct top_options, data),
     .doc = "the folder of all state; --data DIR overrides it"},
    {.name = "modules",
     .type = OPTION_TEXT_LIST,
     .offset = offsetof(struct top_options, modules),
     .doc = "what runs here; left out = all: gateway, track, stream, broker, alarm, historian, "
            "trace, api"},
    {.name = "listen",
     .type = OPTION_TREE,
     .offset = offsetof(struct top_options, listen),
     .items = listen_table,
     .doc = "where others can connect"},
    OBJECTS(CONFIG_DEVICE, "devices", "controllers, their groups and tags"),
    OBJECTS(CONFIG_STREAM, "streams", "flows from elsewhere: MQTT filters, APIs, files"),
    OBJECTS(CONFIG_TRACK, "tracks", "how units move past stations"),
    OBJECTS(CONFIG_CHARACTERISTIC, "characteristics", "what is measured, with its limits"),
    OBJECTS(CONFIG_RULE, "rules", "SQL over streams, and what is done with its rows"),
    OBJECTS(CONFIG_BRIDGE, "bridges", "journalled outputs to other systems"),
    SECTION("uplink", "the way to the hub (an edge has one)"),
    SECTION("journal", "the durable log: limits and commit rhythm"),
    SECTION("historian", "the store of points and history"),
    SECTION("broker", "limits of the MQTT broker"),
    SECTION("alarm", "alarms and audit"),
    SECTION("api", "REST and console"),
    SECTION("publish", "how groups are published over MQTT"),
    {.name = "plugins",
     .type = OPTION_TEXT,
     .offset = offsetof(struct top_options, plugins),
     .doc = "a folder of plug-ins (.so) to load"},
    {.name = "loops",
     .type = OPTION_UINT,
     .offset = offsetof(struct top_options, loops),
     .default_text = "0",
     .max = 256,
     .doc = "threads for connections and rules; 0 = one per core"},
    {.name = "log",
     .type = OPTION_ENUM,
     .offset = offsetof(struct top_options, log),
     .default_text = "info",
     .choices = log_levels,
     .flags = OPTION_RELOAD,
     .doc = "which log lines are written"},
    {.name = NULL},
};

const struct option *config_options(void)
{
    return top_table;
}

const struct config_kind_info *config_kind_info(enum config_kind kind)
{
    return &kind_infos[kind];
}

bool config_kind_find(const char *name, enum config_kind *ret)
{
    for (int i = 0; i < CONFIG_KIND_COUNT; i++) {
        if (strcmp(kind_infos[i].name, name) == 0 || strcmp(kind_infos[i].list, name) == 0) {
            *ret = (enum config_kind)i;
            return true;
        }
    }
    return false;
}

const char *config_module_name(enum config_module module)
{
    return (unsigned)module < CONFIG_MODULE_COUNT ? module_names[module] : "unknown";
}

/* ---------------------------------------------------------------------------------------- binding
 */

/* The item of the configuration's "modules" that goes with the i-th text. */
static const struct tree *module_at(const struct config *c, uint32_t i)
{
    const struct tree *t = tree_get(c->root, "modules");
    if (t && t->kind == TREE_LIST) {
        t = t->first;
        while (i-- > 0)
            t = t->next;
    }
    return t;
}

static int modules_bind(struct config *c, struct diag *diag)
{
    const struct option_texts *texts = &c->top.modules;
    const struct tree *given = tree_get(c->root, "modules");
    bool all = !given || given->kind == TREE_NULL;
    for (int m = 0; m < CONFIG_MODULE_COUNT; m++)
        c->modules[m] = all;
    for (uint32_t i = 0; i < texts->count; i++) {
        int m = 0;
        while (m < CONFIG_MODULE_COUNT && strcmp(module_names[m], texts->items[i]) != 0)
            m++;
        if (m == CONFIG_MODULE_COUNT) {
            return tree_error(diag, ERR_INVALID, module_at(c, i),
                              "\"%.80s\" is no module; there are gateway, track, stream, broker, "
                              "alarm, historian, trace, api",
                              texts->items[i]);
        }
        c->modules[m] = true;
    }
    return OK;
}

/* host:port, [v6]:port or unix:PATH. */
static bool address_is_valid(const char *text)
{
    if (strncmp(text, "unix:", 5) == 0)
        return text[5] != 0;
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || str_to_u64(bytes_of_text(colon + 1), &port) != OK || port > PORT_MAX)
        return false;
    size_t host = (size_t)(colon - text);
    if (text[0] == '[')
        return host > 2 && text[host - 1] == ']';
    return host > 0 && memchr(text, ':', host) == NULL;
}

static int listen_bind(struct config *c, struct diag *diag)
{
    int err = option_bind(listen_table, c->top.listen, &c->arena, &c->listen, diag);
    for (const struct option *o = listen_table; !err && o->name; o++) {
        const char **address = (const char **)(void *)((char *)&c->listen + o->offset);
        if (*address && strcmp(*address, "off") == 0)
            *address = NULL;
        if (*address && !address_is_valid(*address)) {
            err = tree_error(diag, ERR_INVALID, tree_get(c->top.listen, o->name),
                             "%s must be an address and a port, like 127.0.0.1:1883, or off; not "
                             "\"%.80s\"",
                             o->name, *address);
        }
    }
    return err;
}

/* Two edges of one name would be taken for one by the hub, and half their data for repeats. */
static int name_check(const struct config *c, struct diag *diag)
{
    const struct tree *uplink = tree_get(c->root, "uplink");
    if (!uplink || uplink->kind == TREE_NULL || tree_get(c->root, "name"))
        return OK;
    return tree_key_error(diag, ERR_INVALID, uplink,
                          "a node with an uplink needs a name of its own: add \"name: line1\" at "
                          "the top");
}

static int sections_check(const struct config *c, struct diag *diag)
{
    TREE_EACH(t, c->root)
    {
        const struct option *o = option_find(top_table, t->key);
        bool section = o && o->offset == offsetof(struct top_options, section);
        if (section && t->kind != TREE_MAP && t->kind != TREE_NULL)
            return tree_error(diag, ERR_TYPE, t, "%s must be a map (lines of \"key: value\")",
                              t->key);
    }
    return OK;
}

/* --------------------------------------------------------------------------------------- objects
 */

static int object_bind(struct config *c, enum config_kind kind, const struct tree *spec,
                       struct diag *diag)
{
    const char *what = kind_infos[kind].name;
    if (spec->kind != TREE_MAP)
        return tree_error(diag, ERR_TYPE, spec, "a %s must be a map that begins with its name",
                          what);
    const struct tree *name = tree_get(spec, "name");
    if (!name || name->kind != TREE_TEXT)
        return tree_error(diag, ERR_INVALID, name ? name : spec,
                          "this %s has no name: add \"name: …\"", what);
    if (!name_is_valid(name->text))
        return tree_error(diag, ERR_INVALID, name,
                          "\"%.80s\" is not a name: 1 to 127 bytes without spaces and / + # . : \"",
                          tree_text(name));
    struct kind_objects *objects = &c->kinds[kind];
    const struct config_object *before = map_find(&objects->by_name, name->text);
    if (before) {
        const struct tree *first = tree_get(before->spec, "name");
        return tree_error(diag, ERR_EXISTS, name,
                          "%s \"%s\" is here a second time; the first is at %s:%u:%u", what,
                          tree_text(name), first->file, first->line, first->column);
    }
    struct config_object *o = &objects->items[objects->count++];
    *o = (struct config_object){kind, tree_text(name), spec, CONFIG_OWNER_FILE, 1};
    return map_put(&objects->by_name, name->text, o, NULL);
}

static int kind_bind(struct config *c, enum config_kind kind, struct diag *diag)
{
    const char *key = kind_infos[kind].list;
    const struct tree *list = tree_get(c->root, key);
    if (!list || list->kind == TREE_NULL)
        return OK;
    if (list->kind != TREE_LIST)
        return tree_error(diag, ERR_TYPE, list, "%s must be a list: begin each with \"- name: …\"",
                          key);
    c->kinds[kind].items = arena_array(&c->arena, list->count, sizeof(struct config_object));
    if (!c->kinds[kind].items)
        return ERR_NOMEM;
    TREE_EACH(spec, list)
    {
        int err = object_bind(c, kind, spec, diag);
        if (err)
            return err;
    }
    return OK;
}

static int config_bind(struct config *c, struct diag *diag)
{
    int err = option_bind(top_table, c->root, &c->arena, &c->top, diag);
    if (!err)
        err = modules_bind(c, diag);
    if (!err)
        err = listen_bind(c, diag);
    if (!err)
        err = name_check(c, diag);
    if (!err)
        err = sections_check(c, diag);
    for (int kind = 0; kind < CONFIG_KIND_COUNT && !err; kind++)
        err = kind_bind(c, (enum config_kind)kind, diag);
    return err;
}

/* --------------------------------------------------------------------------------------- loading
 */

static struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->root = tree_new(&c->arena, TREE_MAP, NULL);
    if (!c->root) {
        config_free(c);
        return NULL;
    }
    return c;
}

static int text_add(struct config *c, const char *file, struct bytes text, struct diag *diag)
{
    struct tree *t = NULL;
    int err = tree_parse_yaml(&c->arena, file, text, &t, diag);
    if (err)
        return err;
    if (c->root->count == 0) {
        c->root->file = t->file;
        c->root->line = 1;
        c->root->column = 1;
    }
    return tree_merge(&c->arena, c->root, t, diag);
}

/* An error about a whole file, which has no line. */
static int file_error(struct diag *diag, int err, const char *path, const char *what)
{
    struct tree at = {.file = path};
    return tree_error(diag, err, &at, "%s", what);
}

static int file_add(struct config *c, const char *path, struct diag *diag)
{
    struct buf text = {0};
    int err = file_read(path, TREE_TEXT_BYTES_MAX, &text);
    if (err)
        err = file_error(diag, err, path,
                         err == ERR_NOT_FOUND ? "there is no such file" : err_text(err));
    else
        err = text_add(c, path, buf_bytes(&text), diag);
    buf_fini(&text);
    return err;
}

static int is_yaml(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return e->d_name[0] != '.' && dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int folder_add(struct config *c, const char *path, struct diag *diag)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_yaml, alphasort);
    if (count < 0)
        return file_error(diag, err_from_errno(errno), path, "cannot be read as a folder");
    int err = OK;
    if (count == 0)
        err = file_error(diag, ERR_NOT_FOUND, path, "this folder has no *.yaml file");
    for (int i = 0; i < count; i++) {
        const char *file = err ? NULL : arena_printf(&c->arena, "%s/%s", path, entries[i]->d_name);
        if (!err)
            err = file ? file_add(c, file, diag) : ERR_NOMEM;
        free(entries[i]);
    }
    free(entries);
    return err;
}

static int path_add(struct config *c, const char *path, struct diag *diag)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return folder_add(c, path, diag);
    return file_add(c, path, diag);
}

static int config_finish(struct config *c, int err, struct config **ret, struct diag *diag)
{
    if (!err)
        err = config_bind(c, diag);
    if (err) {
        config_free(c);
        return err;
    }
    *ret = c;
    return OK;
}

int config_load(const char *path, struct config **ret, struct diag *diag)
{
    struct config *c = config_new();
    if (!c)
        return ERR_NOMEM;
    return config_finish(c, path ? path_add(c, path, diag) : OK, ret, diag);
}

int config_parse(const char *file, struct bytes text, struct config **ret, struct diag *diag)
{
    struct config *c = config_new();
    if (!c)
        return ERR_NOMEM;
    return config_finish(c, text_add(c, file, text, diag), ret, diag);
}

static int overlay_put(struct config *c, struct tree *list, const struct tree *spec)
{
    struct tree *copy = tree_copy(&c->arena, spec);
    return copy ? tree_add(&c->arena, list, NULL, copy) : ERR_NOMEM;
}

static int overlay_fill(struct config *c, const struct config *base, const struct config *over,
                        enum config_kind kind, struct tree *list)
{
    int err = OK;
    for (size_t i = 0; !err && i < base->kinds[kind].count; i++) {
        const struct config_object *o = &base->kinds[kind].items[i];
        const struct config_object *instead = config_object_find(over, kind, o->name);
        err = overlay_put(c, list, instead ? instead->spec : o->spec);
    }
    for (size_t i = 0; !err && i < over->kinds[kind].count; i++) {
        const struct config_object *o = &over->kinds[kind].items[i];
        if (!config_object_find(base, kind, o->name))
            err = overlay_put(c, list, o->spec);
    }
    return err;
}

int config_overlay(const struct config *base, const struct config *over, enum config_kind kind,
                   struct config **ret, struct diag *diag)
{
    struct config *c = config_new();
    if (!c)
        return ERR_NOMEM;
    struct tree *name = tree_new(&c->arena, TREE_TEXT, config_name(base));
    struct tree *list = tree_new(&c->arena, TREE_LIST, NULL);
    int err = name && list ? OK : ERR_NOMEM;
    if (!err)
        err = tree_add(&c->arena, c->root, "name", name);
    if (!err)
        err = overlay_fill(c, base, over, kind, list);
    if (!err)
        err = tree_add(&c->arena, c->root, kind_infos[kind].list, list);
    return config_finish(c, err, ret, diag);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (int i = 0; i < CONFIG_KIND_COUNT; i++)
        map_fini(&c->kinds[i].by_name);
    arena_fini(&c->arena);
    free(c);
}

/* --------------------------------------------------------------------------------------- reading
 */

const char *config_name(const struct config *c)
{
    return c->top.name;
}

const char *config_data(const struct config *c)
{
    return c->top.data;
}

const char *config_plugins(const struct config *c)
{
    return c->top.plugins;
}

bool config_has_module(const struct config *c, enum config_module module)
{
    return c->modules[module];
}

const char *config_listen(const struct config *c, const char *protocol)
{
    const struct option *o = option_find(listen_table, protocol);
    return o ? *(const char *const *)(const void *)((const char *)&c->listen + o->offset) : NULL;
}

uint32_t config_loops(const struct config *c)
{
    return (uint32_t)c->top.loops;
}

const char *config_log_level(const struct config *c)
{
    return log_levels[c->top.log];
}

const struct tree *config_section(const struct config *c, const char *key)
{
    const struct tree *t = tree_get(c->root, key);
    return t && t->kind != TREE_NULL ? t : NULL;
}

const struct tree *config_list(const struct config *c, const char *key)
{
    const struct tree *t = tree_get(c->root, key);
    return t && t->kind == TREE_LIST ? t : NULL;
}

size_t config_count(const struct config *c, enum config_kind kind)
{
    return c->kinds[kind].count;
}

const struct config_object *config_object_at(const struct config *c, enum config_kind kind,
                                             size_t index)
{
    return index < c->kinds[kind].count ? &c->kinds[kind].items[index] : NULL;
}

const struct config_object *config_object_find(const struct config *c, enum config_kind kind,
                                               const char *name)
{
    return map_find_text(&c->kinds[kind].by_name, name);
}

const struct tree *config_tree(const struct config *c)
{
    return c->root;
}

int config_example(struct buf *out)
{
    (void)buf_append_text(out, "# Every key may be left out; what stands here is its default.\n");
    return option_print_example(top_table, 0, out);
}
