/* A folder of its own for a benchmark. See folder.h. */
#include "bench/folder.h"

#include "bench/bench.h"

#include <ftw.h>
#include <unistd.h>

void bench_folder_enter(int argc, char **argv, const char *name, char out[BENCH_PATH_BYTES_MAX])
{
    bench_must(argc > 1 && chdir(argv[1]) != 0 ? ERR_NOT_FOUND : OK, argv[argc > 1], NULL);
    (void)snprintf(out, BENCH_PATH_BYTES_MAX, "bench-%s-XXXXXX", name);
    bench_must(mkdtemp(out) ? OK : ERR_IO, out, "no folder can be made here: name another");
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *at)
{
    (void)info;
    (void)flag;
    (void)at;
    return remove(path);
}

void bench_folder_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
