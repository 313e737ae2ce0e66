/* A node's configuration: its name, what it listens on, and its objects.
 *
 * Comes from one YAML file, from a directory of them (lists are joined, everything else may stand
 * in one file only), or from nothing: then everything runs on this machine, on loopback. Loading
 * checks the shape (known keys, names, duplicates); what stands inside a device or a rule is
 * checked by the stage that owns it, in its X_configure.
 *
 * Immutable after loading; any thread may read it.
 */
#ifndef LOTLINE_CONFIG_CONFIG_H
#define LOTLINE_CONFIG_CONFIG_H

#include "config/option.h"

enum config_kind {
    CONFIG_DEVICE,
    CONFIG_STREAM,
    CONFIG_TRACK,
    CONFIG_CHARACTERISTIC,
    CONFIG_RULE,
    CONFIG_BRIDGE,
};

#define CONFIG_KIND_COUNT 6

struct config_kind_info {
    const char *name; /* "device": REST, messages */
    const char *list; /* "devices": the key in YAML and the path in REST */
};

const struct config_kind_info *config_kind_info(enum config_kind kind);

/* By "device" or "devices"; false if there is none. */
bool config_kind_find(const char *name, enum config_kind *ret);

enum config_owner {
    CONFIG_OWNER_FILE, /* read-only elsewhere */
    CONFIG_OWNER_API,
    CONFIG_OWNER_FLEET,
};

/* One object of a kind; names are unique within a kind. */
struct config_object {
    enum config_kind kind;
    const char *name;
    const struct tree *spec; /* the map as written, name included */
    enum config_owner owner;
    uint64_t revision; /* counts changes; 1 for a file's */
};

enum config_module {
    MODULE_GATEWAY,
    MODULE_TRACK,
    MODULE_STREAM,
    MODULE_BROKER,
    MODULE_ALARM,
    MODULE_HISTORIAN,
    MODULE_TRACE,
    MODULE_API,
};

#define CONFIG_MODULE_COUNT 8

/* "gateway", …; the order is that of the enum. */
const char *config_module_name(enum config_module module);

struct config;

/* Reads a file, or every *.yaml and *.yml of a directory in the order of their names; path NULL =
 * the default configuration. Blocks on the files. Errors with *diag: ERR_NOT_FOUND, ERR_IO, and
 * those of tree_parse_yaml and option_bind. *ret is untouched on failure. */
int config_load(const char *path, struct config **ret, struct diag *diag);

/* The same from a text in memory (tests, REST). */
int config_parse(const char *file, struct bytes text, struct config **ret, struct diag *diag);

/* The objects of one kind as they would be with those of `over` in place of base's of the same
 * name, or added: base's first, in their order. Everything else is as in the default configuration,
 * but the name, which is base's. Copies; neither is changed. ERR_NOMEM. */
int config_overlay(const struct config *base, const struct config *over, enum config_kind kind,
                   struct config **ret, struct diag *diag);

void config_free(struct config *c); /* NULL is allowed */

const char *config_name(const struct config *c);

/* The data directory as configured; NULL if it was left out (the program then chooses). */
const char *config_data(const struct config *c);

/* NULL if no plug-ins are to be loaded. */
const char *config_plugins(const struct config *c);

bool config_has_module(const struct config *c, enum config_module module);

/* What to listen on for "mqtt", "http", …: an address, or NULL if it is not wanted. */
const char *config_listen(const struct config *c, const char *protocol);

/* Loop threads; 0 = as many as the machine has cores. */
uint32_t config_loops(const struct config *c);

/* "debug", "info", … */
const char *config_log_level(const struct config *c);

/* A top-level section ("uplink", "journal", "historian", "broker", …) as written; NULL if it is
 * absent. Its owner binds it. */
const struct tree *config_section(const struct config *c, const char *key);

/* A top-level list ("devices", …) as one TREE_LIST over all files; NULL if it is absent. */
const struct tree *config_list(const struct config *c, const char *key);

/* The objects of a kind in the order as written. */
size_t config_count(const struct config *c, enum config_kind kind);
const struct config_object *config_object_at(const struct config *c, enum config_kind kind,
                                             size_t index);
const struct config_object *config_object_find(const struct config *c, enum config_kind kind,
                                               const char *name);

/* The whole configuration as one tree (objects included), for display. */
const struct tree *config_tree(const struct config *c);

/* The table of top-level keys, for documentation. */
const struct option *config_options(void);

/* Prints a documented example of the top level. ERR_NOMEM. */
int config_example(struct buf *out);

#endif
