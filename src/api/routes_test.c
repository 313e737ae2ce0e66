/* The table of routes: what fits, and that docs/rest.md says the same. */
#include "api/routes.h"

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct route_match find(const char *method, const char *path)
{
    struct route_match m = {0};
    CHECK_OK(route_find(method, bytes_of_text(path), &m, NULL));
    return m;
}

TEST(paths_lead_to_their_routes)
{
    CHECK_STR(find("GET", "/devices").route->call, "gateway.devices");
    CHECK_STR(find("HEAD", "/devices").route->call, "gateway.devices");
    CHECK_STR(find("POST", "/sql").route->call, "historian.sql");
    CHECK_STR(find("PUT", "/log-level").route->call, "node.log_level_set");
    struct route_match m = find("POST", "/alarms/17/ack");
    CHECK_STR(m.route->call, "alarm.ack");
    CHECK_EQ(m.param_count, 1);
    CHECK_BYTES(m.params[0].name, bytes_of_text("id"));
    CHECK_BYTES(m.params[0].value, bytes_of_text("17"));
    m = find("GET", "/trace/SN 1%\xc3\xa9");
    CHECK_BYTES(m.params[0].value, bytes_of_text("SN 1%\xc3\xa9"));
}

TEST(other_paths_and_methods_do_not)
{
    struct route_match m;
    struct buf allow = {0};
    static const char *const none[] = {
        "",          "/",      "x",       "/devices/",  "/devices/x", "/alarms//ack",
        "/alarms/1", "/trace", "/trace/", "/trace/a/b", "//"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_ERR(route_find("GET", bytes_of_text(none[i]), &m, NULL), ERR_NOT_FOUND);
    CHECK_ERR(route_find("DELETE", bytes_of_text("/sql"), &m, &allow), ERR_UNSUPPORTED);
    CHECK_STR(buf_text(&allow), "GET, POST");
    buf_fini(&allow);
}

TEST(every_route_is_said_to_be_what_it_is)
{
    for (const struct route *r = routes_table(); r->method; r++) {
        CHECK(r->path[0] == '/');
        CHECK(r->summary && r->summary[0]);
        CHECK(r->tag && r->tag[0]);
        CHECK(r->call ? r->module != NULL : r->special != NULL && r->spec != NULL);
        for (const struct route *other = routes_table(); other != r; other++)
            CHECK(strcmp(other->path, r->path) != 0 || strcmp(other->method, r->method) != 0);
    }
    CHECK(routes_count() > 20);
}

/* docs/rest.md, found from this file's own path. */
static void read_document(struct buf *out)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", __FILE__);
    char *slash = strrchr(path, '/');
    CHECK(slash != NULL);
    (void)snprintf(slash, sizeof path - (size_t)(slash - path), "/../../docs/rest.md");
    FILE *f = fopen(path, "re");
    if (!f)
        check_fail_at(__FILE__, __LINE__, "%s cannot be read", path);
    for (;;) {
        uint8_t *at = buf_reserve(out, 4096);
        size_t got = at ? fread(at, 1, 4096, f) : 0;
        if (got == 0)
            break;
        out->len += got;
    }
    (void)fclose(f);
}

TEST(every_route_is_in_the_document_with_its_summary)
{
    struct buf document = {0};
    read_document(&document);
    const char *text = buf_text(&document);
    for (const struct route *r = routes_table(); r->method; r++) {
        char row[512];
        (void)snprintf(row, sizeof row, "| %s | `%s` | %s |", r->method, r->path, r->summary);
        if (!strstr(text, row))
            check_fail_at(__FILE__, __LINE__, "route %s %s is not in docs/rest.md: it needs %s",
                          r->method, r->path, row);
    }
    buf_fini(&document);
}
