/* Finding and loading libduckdb.so on first use. See duckdb.h.
 *
 * The library is never unloaded: it leaves thread-local destructors behind, and a second opening
 * finds it in place.
 */
#include "db/duckdb_priv.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Our declarations are of this version; the functions used have not changed within it. */
#define DUCK_VERSION_PREFIX "v1.4."

/* dlclose is never called on purpose. */
static void *duck_dlopen(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static void *duck_load_beside(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0)
        return NULL;
    path[len] = 0;
    char *slash = strrchr(path, '/');
    static const char tail[] = "/lib/libduckdb.so";
    if (!slash || (size_t)(slash - path) + sizeof tail > sizeof path)
        return NULL;
    memcpy(slash, tail, sizeof tail);
    return duck_dlopen(path);
}

static void *duck_load_cached(void)
{
    char path[PATH_MAX];
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int len = 0;
    if (cache && cache[0])
        len = snprintf(path, sizeof path, "%s/lotline/duckdb-1.4.4/lib/libduckdb.so", cache);
    else if (home)
        len = snprintf(path, sizeof path, "%s/.cache/lotline/duckdb-1.4.4/lib/libduckdb.so", home);
    if (len <= 0 || (size_t)len >= sizeof path)
        return NULL;
    return duck_dlopen(path);
}

static int duck_find(void **ret, struct diag *diag)
{
    const char *named = getenv("LOTLINE_DUCKDB");
    void *handle = NULL;
    if (named && named[0]) {
        handle = duck_dlopen(named);
        if (!handle) {
            return diag_set(diag, ERR_NOT_FOUND, 0, 0,
                            "LOTLINE_DUCKDB=%s cannot be loaded: %s; correct the path or unset it",
                            named, dlerror());
        }
    }
    if (!handle)
        handle = duck_load_beside();
    if (!handle)
        handle = duck_load_cached();
    if (!handle)
        handle = duck_dlopen("libduckdb.so");
    if (!handle) {
        return diag_set(diag, ERR_NOT_FOUND, 0, 0,
                        "libduckdb.so was not found: run tools/install build, put it into lib/ "
                        "beside the program, or name it in LOTLINE_DUCKDB (%s)",
                        dlerror());
    }
    *ret = handle;
    return OK;
}

static const struct {
    const char *name;
    size_t offset;
} duck_symbols[] = {

#define DUCK_SYMBOL(name) {"duckdb_" #name, offsetof(struct duck_lib, name)},
    DUCK_FUNCTIONS(DUCK_SYMBOL)
#undef DUCK_SYMBOL
};

int duck_load(struct duck_lib *lib, struct diag *diag)
{
    void *handle = NULL;
    int err = duck_find(&handle, diag);
    if (err)
        return err;
    for (size_t i = 0; i < sizeof duck_symbols / sizeof duck_symbols[0]; i++) {
        void *symbol = dlsym(handle, duck_symbols[i].name);
        if (!symbol)
            return diag_set(diag, ERR_VERSION, 0, 0,
                            "libduckdb.so has no %s: version 1.4.4 is needed",
                            duck_symbols[i].name);
        /* POSIX gives functions as void *; ISO C has no cast for that, but the bits are the same.
         */
        memcpy((char *)lib + duck_symbols[i].offset, &symbol, sizeof symbol);
    }
    const char *version = lib->library_version();
    if (strncmp(version, DUCK_VERSION_PREFIX, strlen(DUCK_VERSION_PREFIX)) != 0)
        return diag_set(diag, ERR_VERSION, 0, 0, "libduckdb.so is %s: version 1.4.4 is needed",
                        version);
    return OK;
}
