/* A folder of its own for a benchmark that writes files. */
#ifndef LOTLINE_BENCH_FOLDER_H
#define LOTLINE_BENCH_FOLDER_H

#define BENCH_PATH_BYTES_MAX 256

/* Makes a folder, in the present one or in argv[1], which it changes into. */
void bench_folder_enter(int argc, char **argv, const char *name, char out[BENCH_PATH_BYTES_MAX]);

/* With all that is in it. */
void bench_folder_remove(const char *dir);

#endif
