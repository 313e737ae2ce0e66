/* Runs a fuzz target on the files named, or on every file of the folders named.
 *
 * The seeds are replayed by this small main instead of libFuzzer's, because its coverage is then
 * the decoder's alone, and because it runs under any compiler. Each input lies in a heap block of
 * just its size, so that a sanitizer sees a read of one byte too many.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPLAY_PATH_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rbe");
    if (!file || fstat(fileno(file), &info) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        if (file)
            (void)fclose(file);
        return -1;
    }
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size ? size : 1);
    int rc = data && fread(data, 1, size, file) == size ? 0 : -1;
    (void)fclose(file);
    if (rc == 0)
        (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return rc;
}

static int replay_folder(const char *path, size_t *ret_count)
{
    DIR *folder = opendir(path);
    if (!folder)
        return replay_file(path) == 0 ? (int)(++*ret_count, 0) : -1;
    int rc = 0;
    for (struct dirent *e = readdir(folder); e && rc == 0; e = readdir(folder)) {
        char file[REPLAY_PATH_BYTES_MAX];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        rc = replay_file(file);
        ++*ret_count;
    }
    closedir(folder);
    return rc;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    for (int i = 1; i < argc; i++)
        if (replay_folder(argv[i], &count) != 0)
            return 1;
    printf("%zu inputs\n", count);
    return 0;
}
