/* The console's files from its folder.
 *
 * A path is taken apart segment by segment before it touches the disk: nothing that begins with a
 * dot is served, so neither "..", nor hidden files. What the build names by its contents (assets/)
 * may be kept for ever; everything else is asked for again and answered by its tag if it has not
 * changed.
 */
#include "api/api_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1024
#define TAG_BYTES_MAX  48

struct media {
    const char *suffix;
    const char *type;
};

static const struct media medias[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
    {".webmanifest", "application/manifest+json"},
};

static const char *media_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof medias / sizeof medias[0]; i++) {
        if (strcmp(dot, medias[i].suffix) == 0)
            return medias[i].type;
    }
    return "application/octet-stream";
}

/* True for "/a/b.js": plain segments, none empty, none beginning with a dot. */
static bool path_is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *c = path; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == '\\' || byte == 0x7f)
            return false;
        if (c[0] == '/' && (c[1] == '.' || c[1] == '/'))
            return false;
    }
    return true;
}

/* -1 if there is no such plain file. */
static int file_open(const struct api *a, const char *path, struct stat *ret)
{
    char full[PATH_BYTES_MAX];
    int len = snprintf(full, sizeof full, "%s%s", a->console, path);
    if (len < 0 || (size_t)len >= sizeof full)
        return -1;
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd >= 0 && (fstat(fd, ret) || !S_ISREG(ret->st_mode))) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void file_respond(struct http_request *r, const char *path, int fd, const struct stat *st)
{
    char tag[TAG_BYTES_MAX];
    bool forever = strncmp(path, "/assets/", 8) == 0;
    (void)snprintf(tag, sizeof tag, "\"%llx-%llx\"", (unsigned long long)st->st_mtim.tv_sec,
                   (unsigned long long)st->st_size);
    const struct http_header headers[] = {
        {"Cache-Control", forever ? "public, max-age=31536000, immutable" : "no-cache"},
        {"ETag", tag},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Content-Security-Policy",
         "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
         "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"},
    };
    struct http_answer answer = {200, media_of(path), headers, sizeof headers / sizeof headers[0]};
    const char *have = http_request_header(r, "If-None-Match");
    if (have && strcmp(have, tag) == 0) {
        (void)close(fd);
        answer.status = 304;
        answer.content_type = NULL;
        http_respond(r, &answer, NULL);
        return;
    }
    http_respond_file(r, &answer, fd, (uint64_t)st->st_size);
}

static void files_missing(struct api *a, struct http_request *r)
{
    const char *why = "there is no such page";
    if (strcmp(http_request_path(r), "/") == 0)
        why = a->console ? "the console is not built; the API is at " ROUTE_PREFIX
                         : "this node has no console (api.console sets its folder); the API is "
                           "at " ROUTE_PREFIX;
    answer_problem(r, ERR_NOT_FOUND, "%s", why);
}

void files_serve(struct api *a, struct http_request *r)
{
    const char *path = http_request_path(r);
    struct stat st;
    int fd = -1;
    if (strcmp(path, "/") == 0)
        path = "/index.html";
    if (a->console && path_is_plain(path))
        fd = file_open(a, path, &st);
    if (fd < 0)
        files_missing(a, r);
    else
        file_respond(r, path, fd, &st);
}
