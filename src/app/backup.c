/* Backup and restore. See backup.h.
 *
 * A backup is a data directory: historian.duckdb, journal/ with keyed state and the segments of
 * the log, and a manifest that is written last, so that a backup that was cut short is known as
 * one and never restored.
 */
#include "app/backup.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "historian/historian.h"
#include "journal/state.h"
#include "stream/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_NAME  "lotline-backup.json"
#define COPY_PIECE     (1u << 20)
#define DEPTH_MAX      8
#define PATH_BYTES_MAX 2048

/* ---------------------------------------------------------------------------------------- files */

static int system_error(struct diag *diag, const char *what, const char *path)
{
    int err = err_from_errno(errno);
    return diag_set(diag, err, 0, 0, "%s %s: %s", what, path, err_text(err));
}

/* The length of what stands before a path's last name: "/a/b" and "/a/b/" give 2, "b" gives 0. */
static size_t parent_len(const char *path)
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len;
}

/* Only the last directory is made: a mistyped path should not become a tree of them. */
static int directory_make(const char *path, struct diag *diag)
{
    size_t parent = parent_len(path);
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return OK;
    if (errno == ENOENT && parent > 0)
        return diag_set(diag, ERR_INVALID, 0, 0,
                        "%s cannot be made: there is no directory %.*s; make that one first", path,
                        (int)parent, path);
    return system_error(diag, "cannot make", path);
}

static int directory_ready(const char *path, struct diag *diag)
{
    int err = directory_make(path, diag);
    if (err)
        return err;
    DIR *dir = opendir(path);
    if (!dir)
        return system_error(diag, "cannot open", path);
    bool empty = true;
    const struct dirent *entry;
    while (empty && (entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): own DIR */
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    (void)closedir(dir);
    if (!empty)
        return diag_set(diag, ERR_EXISTS, 0, 0, "%s is not empty; give a new directory", path);
    return OK;
}

/* Copies `bytes` (or all, when UINT64_MAX) from one descriptor to another and syncs it. */
static int copy_bytes(int from, int to, uint64_t bytes, uint64_t *ret_copied)
{
    uint64_t copied = 0;
    while (copied < bytes) {
        size_t piece = bytes - copied < COPY_PIECE ? (size_t)(bytes - copied) : COPY_PIECE;
        ssize_t n = copy_file_range(from, NULL, to, NULL, piece, 0);
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            break;
        copied += (uint64_t)n;
    }
    *ret_copied += copied;
    return fsync(to) ? err_from_errno(errno) : OK;
}

static int copy_file(const char *from, const char *to, uint64_t bytes, uint64_t *ret_copied,
                     struct diag *diag)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return system_error(diag, "cannot read", from);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        (void)close(in);
        return system_error(diag, "cannot write", to);
    }
    int err = copy_bytes(in, out, bytes, ret_copied);
    (void)close(in);
    (void)close(out);
    if (err)
        return diag_set(diag, err, 0, 0, "copying %s to %s: %s", from, to, err_text(err));
    return OK;
}

/* --------------------------------------------------------------------------------------- backup */

struct segments {
    char dir[PATH_BYTES_MAX];
    uint64_t bytes;
    struct diag *diag;
};

/* The newest segment is still written to: only its committed part is copied. */
static int copy_segment(void *ctx, const char *path, uint64_t bytes)
{
    struct segments *s = ctx;
    char to[PATH_BYTES_MAX + 256];
    const char *name = strrchr(path, '/');
    (void)snprintf(to, sizeof to, "%s/%s", s->dir, name ? name + 1 : path);
    return copy_file(path, to, bytes, &s->bytes, s->diag);
}

static int make_directory(char *out, size_t out_bytes, const char *dir, const char *name,
                          struct diag *diag)
{
    (void)snprintf(out, out_bytes, "%s/%s", dir, name);
    return mkdir(out, 0700) ? system_error(diag, "cannot make", out) : OK;
}

static int copy_journal(const struct backup_source *source, const char *dir, uint64_t *ret_bytes,
                        struct diag *diag)
{
    char path[PATH_BYTES_MAX];
    struct segments segments = {.diag = diag};
    int err = make_directory(path, sizeof path, dir, "journal", diag);
    if (!err)
        err = make_directory(path, sizeof path, dir, "journal/state", diag);
    if (err)
        return err;
    err = state_copy(source->journal, path);
    if (err)
        return diag_set(diag, err, 0, 0, "copying keyed state to %s: %s", path, err_text(err));
    err = make_directory(segments.dir, sizeof segments.dir, dir, "journal/streams", diag);
    if (!err)
        err = journal_segment_each(stream_log_journal(source->log), copy_segment, &segments);
    *ret_bytes += segments.bytes;
    return err;
}

static int write_manifest(const char *dir, struct diag *diag)
{
    char path[PATH_BYTES_MAX];
    char now[CLOCK_TEXT_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s/" MANIFEST_NAME, dir);
    (void)clock_format(clock_wall_us(), now);
    FILE *out = fopen(path, "we");
    if (!out)
        return system_error(diag, "cannot write", path);
    (void)fprintf(out, "{\"program\":\"lotline\",\"version\":\"%s\",\"made_at\":\"%s\"}\n",
                  LOTLINE_VERSION, now);
    bool failed = fflush(out) != 0 || fsync(fileno(out)) != 0;
    if (fclose(out) != 0 || failed)
        return system_error(diag, "cannot write", path);
    return OK;
}

int backup_make(const struct backup_source *source, const char *dir, uint64_t *ret_bytes,
                struct diag *diag)
{
    uint64_t bytes = 0;
    int err = directory_ready(dir, diag);
    if (err)
        return err;
    struct journal_log *log = stream_log_journal(source->log);
    journal_trim_hold(log);
    if (source->historian)
        err = historian_copy(source->historian, dir, diag);
    if (!err)
        err = copy_journal(source, dir, &bytes, diag);
    journal_trim_release(log);
    if (!err)
        err = write_manifest(dir, diag);
    if (!err)
        *ret_bytes = bytes;
    return err;
}

/* -------------------------------------------------------------------------------------- restore */

static int restore_tree(const char *from, const char *to, unsigned depth, struct diag *diag);

/* NOLINTNEXTLINE(misc-no-recursion): a backup is at most DEPTH_MAX folders deep */
static int restore_entry(const char *from, const char *to, unsigned depth, struct diag *diag)
{
    struct stat info;
    uint64_t bytes = 0;
    if (lstat(from, &info))
        return system_error(diag, "cannot read", from);
    if (S_ISREG(info.st_mode))
        return copy_file(from, to, UINT64_MAX, &bytes, diag);
    if (!S_ISDIR(info.st_mode))
        return OK;
    if (mkdir(to, 0700) && errno != EEXIST)
        return system_error(diag, "cannot make", to);
    return restore_tree(from, to, depth + 1, diag);
}

/* NOLINTNEXTLINE(misc-no-recursion): a backup is at most DEPTH_MAX folders deep */
static int restore_tree(const char *from, const char *to, unsigned depth, struct diag *diag)
{
    if (depth > DEPTH_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "%s is nested too deep for a backup", from);
    DIR *dir = opendir(from);
    if (!dir)
        return system_error(diag, "cannot open", from);
    int err = OK;
    const struct dirent *entry;
    while (!err && (entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own DIR */
        char child_from[PATH_BYTES_MAX];
        char child_to[PATH_BYTES_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int a = snprintf(child_from, sizeof child_from, "%s/%s", from, entry->d_name);
        int b = snprintf(child_to, sizeof child_to, "%s/%s", to, entry->d_name);
        if (a >= (int)sizeof child_from || b >= (int)sizeof child_to)
            err = diag_set(diag, ERR_LIMIT, 0, 0, "a path below %s is too long", from);
        else
            err = restore_entry(child_from, child_to, depth, diag);
    }
    (void)closedir(dir);
    return err;
}

int backup_restore(const char *dir, const char *data, struct diag *diag)
{
    char manifest[PATH_BYTES_MAX];
    (void)snprintf(manifest, sizeof manifest, "%s/" MANIFEST_NAME, dir);
    if (access(manifest, R_OK))
        return diag_set(diag, ERR_NOT_FOUND, 0, 0,
                        "%s is not a whole backup (it has no " MANIFEST_NAME ")", dir);
    int err = directory_ready(data, diag);
    return err ? err : restore_tree(dir, data, 0, diag);
}
