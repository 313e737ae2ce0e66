/* Looking at a folder: what is new, what has grown, what is settled, and what is gone. */
#include "base/str.h"
#include "source/file_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

uint64_t file_identity(const struct statx *st)
{
    uint64_t born = (uint64_t)st->stx_btime.tv_sec * 1000000000u + st->stx_btime.tv_nsec;
    return (st->stx_ino + 1) * 0x9e3779b97f4a7c15u ^ born * 0xff51afd7ed558ccdu;
}

int64_t file_mtime_us(const struct statx *st)
{
    return st->stx_mtime.tv_sec * INT64_C(1000000) + st->stx_mtime.tv_nsec / 1000;
}

static void known_restart(struct file_known *f, uint64_t id)
{
    f->id = id;
    f->offset = 0;
    f->line = 0;
    f->stalled = 0;
    f->whole = false;
    f->behind = false;
}

static void known_see(struct file_source *s, struct file_known *f, const struct statx *st)
{
    int64_t now_us = exec_now_us(s->base.out.exec);
    if (f->id != file_identity(st) || st->stx_size < f->offset)
        known_restart(f, file_identity(st));
    if (f->since_us == 0 || f->size != st->stx_size || f->mtime_us != file_mtime_us(st))
        f->since_us = now_us;
    f->size = st->stx_size;
    f->mtime_us = file_mtime_us(st);
    f->seen = true;
    f->ready = f->size > f->offset && f->size != f->stalled &&
               now_us - f->since_us >= s->options.settle_us;
}

static int entry_see(struct file_source *s, int dir, const char *name)
{
    struct statx st;
    if (!str_matches(bytes_of_text(name), s->options.pattern) ||
        statx(dir, name, 0, STATX_BASIC_STATS | STATX_BTIME, &st) != 0 || !S_ISREG(st.stx_mode))
        return OK; /* also what went away just now */
    struct file_known *f = map_find_text(&s->known, name);
    if (!f && s->known.count >= SOURCE_FILES_MAX)
        return ERR_LIMIT;
    if (!f) {
        f = file_known_add(s, bytes_of_text(name));
        if (!f)
            return ERR_NOMEM;
        f->id = file_identity(&st);
    }
    known_see(s, f, &st);
    return OK;
}

static void known_forget(struct file_source *s, struct file_known *f)
{
    struct buf key = {0};
    if (strcmp(f->name, s->broken.name) == 0)
        file_broken_clear(s);
    if (buf_printf(&key, "source/%s/file/%s", s->base.name, f->name) == OK)
        (void)file_hooks(s)->state_remove(file_hooks(s)->ctx, buf_bytes(&key));
    buf_fini(&key);
    /* What was read of it is not asked for again; the key stays. */
    if (!s->busy && s->part.to && strcmp(f->name, s->part.name) == 0) {
        s->part.from = s->part.to = 0;
        (void)file_part_store(s);
    }
    (void)map_remove(&s->known, bytes_of_text(f->name));
    file_known_free(f);
}

static int entries_read(struct file_source *s, DIR *dir)
{
    const struct dirent *e;
    int err = OK;
    for (size_t i = 0; i < s->known.count; i++)
        ((struct file_known *)s->known.entries[i].value)->seen = false;
    while (!err && (e = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): our own stream */
        err = entry_see(s, dirfd(dir), e->d_name);
    for (size_t i = s->known.count; !err && i-- > 0;) {
        struct file_known *f = s->known.entries[i].value;
        if (!f->seen)
            known_forget(s, f);
    }
    return err;
}

int file_folder_scan(struct file_source *s)
{
    DIR *dir = opendir(s->options.folder);
    if (!dir) {
        source_fail(&s->base, "the folder %s cannot be read: %s", s->options.folder,
                    strerror(errno)); /* NOLINT(concurrency-mt-unsafe): glibc's is safe */
        return ERR_IO;
    }
    int err = entries_read(s, dir);
    (void)closedir(dir);
    if (err == ERR_LIMIT)
        source_fail(&s->base, "the folder %s has more than %d files: move away what was read",
                    s->options.folder, SOURCE_FILES_MAX);
    if (!err)
        source_works(&s->base);
    return err;
}

/* The oldest that is ready. */
struct file_known *file_ready_find(const struct file_source *s)
{
    struct file_known *best = NULL;
    for (size_t i = 0; i < s->known.count; i++) {
        struct file_known *f = s->known.entries[i].value;
        if (!f->ready)
            continue;
        if (!best || f->mtime_us < best->mtime_us ||
            (f->mtime_us == best->mtime_us && strcmp(f->name, best->name) < 0))
            best = f;
    }
    return best;
}
