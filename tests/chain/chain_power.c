/* Power cuts: what a kill leaves in the page cache is taken away too.
 *
 * After kill -9 the kernel still has every write, so a missing fdatasync would never be seen. Here
 * each process notes, for every file of its journal, how far the last fdatasync reached; after a
 * "power cut" the controller destroys what lies behind that: it leaves a random part of it, as a
 * disk would, and zeros or noise in the rest.
 */
#include "base/err.h"
#include "journal/io.h"
#include "tests/chain/chain.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX      64
#define NAME_BYTES_MAX 64

/* How far a file was written, by this process. */
struct power_file {
    int fd;
    uint64_t written;
};

struct power {
    struct journal_io io;
    pthread_mutex_t mutex;
    struct power_file files[FILES_MAX];
    int note_fd;
};

/* One line of the notes: everything of the file before `bytes` is durable. */
struct power_note {
    char name[NAME_BYTES_MAX];
    uint64_t bytes;
};

static struct power_file *file_of(struct power *p, int fd)
{
    struct power_file *free_one = NULL;
    for (int i = 0; i < FILES_MAX; i++) {
        if (p->files[i].written && p->files[i].fd == fd)
            return &p->files[i];
        if (!p->files[i].written)
            free_one = &p->files[i];
    }
    chain_must(free_one ? OK : ERR_LIMIT, "files being written");
    *free_one = (struct power_file){fd, 0};
    return free_one;
}

static int power_allocate(void *ctx, int fd, uint64_t bytes)
{
    struct power *p = ctx;
    (void)pthread_mutex_lock(&p->mutex);
    /* A new file: whatever had this descriptor before is gone. */
    file_of(p, fd)->written = 1;
    (void)pthread_mutex_unlock(&p->mutex);
    return journal_io_kernel.allocate(NULL, fd, bytes);
}

static ssize_t power_write(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    struct power *p = ctx;
    ssize_t n = journal_io_kernel.write(NULL, fd, parts, count, offset);
    if (n <= 0)
        return n;
    (void)pthread_mutex_lock(&p->mutex);
    struct power_file *f = file_of(p, fd);
    if (offset + (uint64_t)n > f->written)
        f->written = offset + (uint64_t)n;
    (void)pthread_mutex_unlock(&p->mutex);
    return n;
}

static int power_sync(void *ctx, int fd)
{
    struct power *p = ctx;
    struct power_note note = {.bytes = 0};
    char link[64];
    char path[CHAIN_PATH_BYTES_MAX];
    (void)pthread_mutex_lock(&p->mutex);
    for (int i = 0; i < FILES_MAX; i++) {
        if (p->files[i].written && p->files[i].fd == fd)
            note.bytes = p->files[i].written;
    }
    (void)pthread_mutex_unlock(&p->mutex);
    struct stat info;
    /* Written by an earlier process and synced as it is. */
    if (!note.bytes && fstat(fd, &info) == 0)
        note.bytes = (uint64_t)info.st_size;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    chain_must(n <= 0 ? ERR_IO : OK, "a descriptor's name");
    path[n] = 0;
    const char *name = strrchr(path, '/');
    (void)snprintf(note.name, sizeof note.name, "%.63s", name ? name + 1 : path);
    int err = journal_io_kernel.sync(NULL, fd);
    if (!err && write(p->note_fd, &note, sizeof note) != sizeof note)
        chain_must(ERR_IO, "the notes");
    return err;
}

const struct journal_io *chain_power_io(const char *notes)
{
    struct power *p = chain_new(sizeof *p);
    (void)pthread_mutex_init(&p->mutex, NULL);
    p->io = (struct journal_io){p, power_allocate, power_write, power_sync};
    p->note_fd = open(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    chain_must(p->note_fd < 0 ? ERR_IO : OK, notes);
    return &p->io;
}

void chain_power_free(const struct journal_io *io)
{
    struct power *p = io->ctx;
    (void)close(p->note_fd);
    (void)pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* ---------------------------------------------------------------------------------------- cut */

static uint64_t durable_bytes(const char *notes, const char *name)
{
    struct power_note note;
    uint64_t bytes = 0;
    FILE *file = fopen(notes, "rbe");
    if (!file)
        return 0;
    while (fread(&note, sizeof note, 1, file) == 1) {
        if (strncmp(note.name, name, sizeof note.name) == 0)
            bytes = note.bytes;
    }
    (void)fclose(file);
    return bytes;
}

/* Leaves some of [from, end), then zeros or noise. */
static uint64_t destroy(int fd, uint64_t from, uint64_t end, struct rand *r)
{
    uint8_t block[512];
    uint64_t at = from + (rand_below(r, 2) ? rand_below(r, end - from) : 0);
    uint64_t lost = end - at;
    while (at < end) {
        size_t n = end - at < sizeof block ? (size_t)(end - at) : sizeof block;
        bool noise = rand_below(r, 4) == 0;
        for (size_t i = 0; i < n; i++)
            block[i] = noise ? (uint8_t)rand_u64(r) : 0;
        chain_must(pwrite(fd, block, n, (off_t)at) == (ssize_t)n ? OK : ERR_IO, "destroying");
        at += n;
    }
    return lost;
}

static uint64_t cut_file(const char *path, uint64_t durable, struct rand *r)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    chain_must(fd < 0 ? ERR_IO : OK, path);
    struct stat info;
    chain_must(fstat(fd, &info) == 0 ? OK : ERR_IO, path);
    uint64_t end = (uint64_t)info.st_size;
    uint64_t lost = durable < end ? destroy(fd, durable, end, r) : 0;
    (void)close(fd);
    return lost;
}

void chain_power_cut(const char *dir, const char *role, struct rand *r)
{
    char notes[CHAIN_PATH_BYTES_MAX];
    char folder[CHAIN_PATH_BYTES_MAX];
    (void)snprintf(notes, sizeof notes, "%s/%s.notes", dir, role);
    (void)snprintf(folder, sizeof folder, "%s/%s/streams", dir, role);
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[CHAIN_PATH_BYTES_MAX + 256];
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".seg") != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        (void)cut_file(path, durable_bytes(notes, e->d_name), r);
    }
    (void)closedir(d);
}
