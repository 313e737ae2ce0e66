/* The drivers a node knows: the built-in ones, and those of the plug-in folder.
 *
 * A plug-in runs inside our process, so what it says about itself is checked before it is used: its
 * ABI version, the sizes it wants and that no function is missing. Its options become rows of the
 * same option tables that ours have, so that its keys are checked, documented and suggested like
 * any other.
 */
#include "gateway/drivers/modbus/modbus.h"
#include "gateway/gateway_priv.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES_MAX    4096
#define SESSION_BYTES_MAX (16u << 20)
#define OPTIONS_BYTES_MAX 65536u
#define FRAME_BYTES_MAX   (1u << 20)
#define PLUGIN_FILES_MAX  1000

void driver_table_init(struct driver_table *t)
{
    memset(t, 0, sizeof *t);
    t->drivers[t->count++] = &modbus_tcp_driver;
}

void driver_table_fini(struct driver_table *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->handles[i])
            dlclose(t->handles[i]);
    t->count = 0;
}

const struct lotline_driver *driver_table_find(const struct driver_table *t, const char *name)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (strcmp(t->drivers[i]->name, name) == 0)
            return t->drivers[i];
    return NULL;
}

int driver_check(const struct lotline_driver *driver, const char *where, struct diag *diag)
{
    if (driver->abi != LOTLINE_DRIVER_ABI) {
        return diag_set(diag, ERR_VERSION, 0, 0,
                        "%s was built for version %u of the driver API, this is version %u: build "
                        "it again with the present lotline/driver.h",
                        where, driver->abi, LOTLINE_DRIVER_ABI);
    }
    if (driver->size < sizeof *driver) {
        return diag_set(diag, ERR_VERSION, 0, 0,
                        "%s has a struct lotline_driver of %u bytes, %zu are needed: build it "
                        "again with the present lotline/driver.h",
                        where, driver->size, sizeof *driver);
    }
    bool functions = driver->tag_parse && driver->plan && driver->session_init && driver->opened &&
                     driver->closed && driver->received && driver->read && driver->cancel;
    if (!functions || !driver->name || !driver->name[0])
        return diag_set(diag, ERR_INVALID, 0, 0, "%s: its driver lacks its name or a function",
                        where);
    if (driver->address_bytes == 0 || driver->address_bytes > LOTLINE_ADDRESS_BYTES_MAX ||
        driver->request_bytes > LOTLINE_REQUEST_BYTES_MAX ||
        driver->session_bytes > SESSION_BYTES_MAX || driver->options_bytes > OPTIONS_BYTES_MAX ||
        driver->frame_bytes_max == 0 || driver->frame_bytes_max > FRAME_BYTES_MAX ||
        driver->in_flight_max == 0 || driver->in_flight_max > LOTLINE_IN_FLIGHT_MAX) {
        return diag_set(diag, ERR_INVALID, 0, 0,
                        "%s: a size that driver %s declares is not within "
                        "the limits of lotline/driver.h",
                        where, driver->name);
    }
    return OK;
}

/* ---------------------------------------------------------------------------------------- plug-ins
 */

static int plugin_symbol(void *handle, const char *path, const struct lotline_driver **ret,
                         struct diag *diag)
{
    lotline_driver_fn fn = NULL;
    void *symbol = dlsym(handle, LOTLINE_DRIVER_SYMBOL);
    /* POSIX lets a void pointer from dlsym stand for a function; ISO C does not. */
    memcpy(&fn, &symbol, sizeof fn);
    const struct lotline_driver *driver = fn ? fn() : NULL;
    if (!driver)
        return diag_set(diag, ERR_INVALID, 0, 0, "%s exports no %s()", path, LOTLINE_DRIVER_SYMBOL);
    *ret = driver;
    return driver_check(driver, path, diag);
}

static int plugin_load(struct driver_table *t, const char *path, struct diag *diag)
{
    const struct lotline_driver *driver = NULL;
    if (t->count == GATEWAY_DRIVERS_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "more than %u drivers", GATEWAY_DRIVERS_MAX);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return diag_set(diag, ERR_INVALID, 0, 0, "the plug-in cannot be loaded: %s", dlerror());
    int err = plugin_symbol(handle, path, &driver, diag);
    if (!err && driver && driver_table_find(t, driver->name))
        err = diag_set(diag, ERR_EXISTS, 0, 0, "%s: there is a driver \"%s\" already", path,
                       driver->name);
    if (err) {
        dlclose(handle);
        return err;
    }
    t->handles[t->count] = handle;
    t->drivers[t->count++] = driver;
    return OK;
}

static int is_plugin(const struct dirent *e)
{
    size_t len = strlen(e->d_name);
    return len > 3 && e->d_name[0] != '.' && strcmp(e->d_name + len - 3, ".so") == 0;
}

int driver_table_load(struct driver_table *t, const char *folder, struct diag *diag)
{
    struct dirent **files = NULL;
    int count = scandir(folder, &files, is_plugin, alphasort);
    if (count < 0)
        return diag_set(diag, ERR_NOT_FOUND, 0, 0, "the folder of plug-ins \"%s\" cannot be read",
                        folder);
    int err = OK;
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        if (!err && i < PLUGIN_FILES_MAX)
            err = plugin_load(t, path, diag);
        free(files[i]);
    }
    free(files);
    return err;
}

/* ----------------------------------------------------------------------------------------- options
 */

static bool option_type_of(uint32_t kind, enum option_type *ret)
{
    static const enum option_type types[] = {
        [LOTLINE_OPTION_BOOL] = OPTION_BOOL, [LOTLINE_OPTION_INT] = OPTION_INT,
        [LOTLINE_OPTION_UINT] = OPTION_UINT, [LOTLINE_OPTION_DOUBLE] = OPTION_DOUBLE,
        [LOTLINE_OPTION_TEXT] = OPTION_TEXT, [LOTLINE_OPTION_DURATION] = OPTION_DURATION,
        [LOTLINE_OPTION_ENUM] = OPTION_ENUM,
    };

    if (kind < LOTLINE_OPTION_BOOL || kind > LOTLINE_OPTION_ENUM)
        return false;
    *ret = types[kind];
    return true;
}

static size_t common_count(const struct option *common)
{
    size_t n = 0;
    while (common[n].name)
        n++;
    return n;
}

const struct option *driver_options_join(const struct lotline_driver *driver,
                                         const struct option *common, size_t shift,
                                         struct arena *arena)
{
    size_t head = common_count(common);
    size_t tail = 0;
    while (driver->options && driver->options[tail].name)
        tail++;
    struct option *all = arena_array(arena, head + tail + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, common, head * sizeof *all);
    struct option *at = all + head;
    for (size_t i = 0; i < tail; i++) {
        const struct lotline_option *o = &driver->options[i];
        if (!option_type_of(o->kind, &at->type))
            continue;
        at->name = o->name;
        at->offset = shift + o->offset;
        at->default_text = o->default_text;
        at->min = (int64_t)o->min;
        at->max = (int64_t)o->max;
        at->choices = o->choices;
        at->doc = o->doc;
        at++;
    }
    return all;
}
