/* A node's configuration: defaults, objects, folders, and the messages people meet. */
#include "config/config.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct diag diag;

static struct config *load(const char *text)
{
    struct config *c = NULL;
    memset(&diag, 0, sizeof diag);
    CHECK_OK(config_parse("a.yaml", bytes_of_text(text), &c, &diag));
    return c;
}

static void refused(const char *text, int want, uint32_t line, uint32_t column, const char *part)
{
    struct config *c = NULL;
    memset(&diag, 0, sizeof diag);
    CHECK_ERR(config_parse("a.yaml", bytes_of_text(text), &c, &diag), want);
    CHECK(c == NULL);
    CHECK_STR(diag.file, "a.yaml");
    CHECK_EQ(diag.line, line);
    CHECK_EQ(diag.column, column);
    if (!strstr(diag.text, part))
        CHECK_STR(diag.text, part);
}

TEST(config_of_nothing_is_everything_on_loopback)
{
    struct config *c = NULL;
    CHECK_OK(config_load(NULL, &c, &diag));
    CHECK_STR(config_name(c), "node1");
    CHECK(config_data(c) == NULL);
    CHECK(config_plugins(c) == NULL);
    CHECK_STR(config_listen(c, "mqtt"), "127.0.0.1:1883");
    CHECK_STR(config_listen(c, "http"), "127.0.0.1:8080");
    CHECK(config_listen(c, "mqtts") == NULL);
    CHECK(config_listen(c, "gopher") == NULL);
    for (int m = 0; m < CONFIG_MODULE_COUNT; m++)
        CHECK(config_has_module(c, (enum config_module)m));
    CHECK_EQ(config_count(c, CONFIG_DEVICE), 0);
    CHECK_EQ(config_loops(c), 0);
    CHECK_STR(config_log_level(c), "info");
    CHECK_EQ(config_tree(c)->kind, TREE_MAP);
    config_free(c);
    config_free(NULL);
}

TEST(config_of_a_line)
{
    struct config *c = load("name: line1\n"
                            "data: /var/lib/lotline\n"
                            "modules: [gateway, api]\n"
                            "listen: {mqtt: off, http: \"[::1]:80\", https: \"unix:/run/x\"}\n"
                            "devices:\n"
                            "  - name: plc2\n"
                            "    driver: modbus-tcp\n"
                            "  - {name: plc1}\n"
                            "uplink: {to: \"mqtts://hub.example:8883\", streams: [\"*\"]}\n"
                            "log: debug\n"
                            "rules:\n");
    CHECK_STR(config_name(c), "line1");
    CHECK_STR(config_data(c), "/var/lib/lotline");
    CHECK(config_has_module(c, MODULE_API));
    CHECK(!config_has_module(c, MODULE_BROKER));
    CHECK(config_listen(c, "mqtt") == NULL);
    CHECK_STR(config_listen(c, "http"), "[::1]:80");
    CHECK_EQ(config_count(c, CONFIG_DEVICE), 2);
    const struct config_object *o = config_object_at(c, CONFIG_DEVICE, 0);
    CHECK_STR(o->name, "plc2");
    CHECK_STR(tree_text(tree_get(o->spec, "driver")), "modbus-tcp");
    CHECK_EQ(o->owner, CONFIG_OWNER_FILE);
    CHECK(config_object_find(c, CONFIG_DEVICE, "plc1") == config_object_at(c, CONFIG_DEVICE, 1));
    CHECK(config_object_find(c, CONFIG_RULE, "plc1") == NULL);
    CHECK(config_object_at(c, CONFIG_DEVICE, 2) == NULL);
    CHECK_STR(tree_text(tree_get(config_section(c, "uplink"), "to")), "mqtts://hub.example:8883");
    CHECK(config_section(c, "journal") == NULL);
    CHECK_EQ(config_list(c, "devices")->count, 2);
    CHECK(config_list(c, "rules") == NULL);
    CHECK_STR(config_log_level(c), "debug");
    config_free(c);
}

TEST(config_messages_name_the_place)
{
    refused("nmae: x\n", ERR_UNKNOWN_KEY, 1, 1, "did you mean name?");
    refused("listen: {htp: x}\n", ERR_UNKNOWN_KEY, 1, 10, "did you mean http?");
    refused("listen: {http: 8080}\n", ERR_INVALID, 1, 16, "127.0.0.1:1883");
    refused("listen: {http: \"::1:80\"}\n", ERR_INVALID, 1, 16, "address and a port");
    refused("listen: {http: \"a:70000\"}\n", ERR_INVALID, 1, 16, "address and a port");
    refused("modules: [gateway, brokr]\n", ERR_INVALID, 1, 20, "\"brokr\" is no module");
    refused("modules: all\n", ERR_INVALID, 1, 10, "\"all\" is no module");
    refused("uplink: {to: x}\n", ERR_INVALID, 1, 1, "name of its own");
    refused("name: a\nuplink: x\n", ERR_TYPE, 2, 9, "uplink must be a map");
    refused("devices: {a: 1}\n", ERR_TYPE, 1, 10, "must be a list");
    refused("devices: [a]\n", ERR_TYPE, 1, 11, "begins with its name");
    refused("devices:\n  - driver: x\n", ERR_INVALID, 2, 5, "has no name");
    refused("devices:\n  - name: [x]\n", ERR_INVALID, 2, 11, "has no name");
    refused("devices:\n  - name: a b\n", ERR_INVALID, 2, 11, "is not a name");
    refused("rules:\n  - name: a\n  - name: b\n  - name: a\n", ERR_EXISTS, 4, 11,
            "first is at a.yaml:2:11");
    refused("- a\n", ERR_TYPE, 1, 1, "a configuration is a map");
    refused("log: loud\n", ERR_INVALID, 1, 6, "one of debug, info");
    refused("loops: 1000\n", ERR_RANGE, 1, 8, "from 0 to 256");
}

static void put(const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", check_folder(), name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(close(fd), 0);
}

TEST(config_joins_the_files_of_a_folder)
{
    put("10-node.yaml", "name: line1\ndevices:\nrules: [{name: r1}]\n");
    put("20-press.yaml", "devices: [{name: plc1}]\n");
    put("30-oven.yml", "devices: [{name: plc2}]\nrules:\n");
    put("40-empty.yaml", "");
    put("notes.txt", "[not, yaml");
    put(".hidden.yaml", "[not, yaml");
    struct config *c = NULL;
    CHECK_OK(config_load(check_folder(), &c, &diag));
    CHECK_STR(config_name(c), "line1");
    CHECK_EQ(config_count(c, CONFIG_DEVICE), 2);
    CHECK_STR(config_object_at(c, CONFIG_DEVICE, 1)->name, "plc2");
    CHECK_EQ(config_count(c, CONFIG_RULE), 1);
    config_free(c);
}

TEST(config_of_a_folder_tells_the_other_file)
{
    struct config *c = NULL;
    put("a.yaml", "name: line1\ndevices: [{name: plc1}]\n");
    put("b.yaml", "\nname: line2\n");
    CHECK_ERR(config_load(check_folder(), &c, &diag), ERR_EXISTS);
    CHECK(strstr(diag.file, "b.yaml") != NULL);
    CHECK_EQ(diag.line, 2);
    CHECK(strstr(diag.text, "a.yaml:1") != NULL);
    put("b.yaml", "devices:\n- name: plc1\n");
    CHECK_ERR(config_load(check_folder(), &c, &diag), ERR_EXISTS);
    CHECK(strstr(diag.file, "b.yaml") != NULL);
    CHECK(strstr(diag.text, "a.yaml:2:18") != NULL);
}

TEST(config_that_is_not_there)
{
    struct config *c = NULL;
    CHECK_ERR(config_load("/nowhere/x.yaml", &c, &diag), ERR_NOT_FOUND);
    CHECK_STR(diag.file, "/nowhere/x.yaml");
    CHECK_STR(diag.text, "there is no such file");
    CHECK_ERR(config_load(check_folder(), &c, &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "no *.yaml") != NULL);
}

TEST(config_kinds_and_modules_have_names)
{
    enum config_kind kind = CONFIG_DEVICE;
    CHECK(config_kind_find("rules", &kind));
    CHECK_EQ(kind, CONFIG_RULE);
    CHECK(config_kind_find("track", &kind));
    CHECK_STR(config_kind_info(kind)->list, "tracks");
    CHECK(!config_kind_find("gadget", &kind));
    CHECK_STR(config_module_name(MODULE_TRACE), "trace");
}

TEST(config_example_is_a_configuration)
{
    struct buf out = {0};
    struct config *c = NULL;
    CHECK_OK(config_example(&out));
    CHECK_OK(config_parse("example", buf_bytes(&out), &c, &diag));
    CHECK_STR(config_listen(c, "mqtt"), "127.0.0.1:1883");
    config_free(c);
    buf_fini(&out);
}

TEST(config_without_memory)
{
    static const char text[] = "name: a\ndevices: [{name: b}, {name: c}]\nlisten: {mqtt: \"a:1\"}";
    FAULT_EACH (n) {
        struct config *c = NULL;
        int err = config_parse("a.yaml", bytes_of_text(text), &c, &diag);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        config_free(c);
    }
}

TEST(config_overlay_replaces_by_name_and_adds)
{
    static const char base[] = "name: n\ntracks: [{name: a, x: 1}, {name: b, x: 2}]\n"
                               "rules: [{name: r}]\n";
    static const char over[] = "tracks:\n  - {name: c, x: 3}\n  - {name: b, x: 4}\n";
    struct config *b = NULL;
    struct config *o = NULL;
    CHECK_OK(config_parse("base.yaml", bytes_of_text(base), &b, &diag));
    CHECK_OK(config_parse("over.yaml", bytes_of_text(over), &o, &diag));
    FAULT_EACH (n) {
        struct config *c = NULL;
        int err = config_overlay(b, o, CONFIG_TRACK, &c, &diag);
        if (fault_hit()) {
            CHECK_ERR(err, ERR_NOMEM);
            config_free(c);
            continue;
        }
        CHECK_OK(err);
        CHECK_STR(config_name(c), "n");
        CHECK_EQ(config_count(c, CONFIG_TRACK), 3);
        CHECK_EQ(config_count(c, CONFIG_RULE), 0);
        CHECK_STR(config_object_at(c, CONFIG_TRACK, 0)->name, "a");
        const struct config_object *second = config_object_at(c, CONFIG_TRACK, 1);
        CHECK_STR(tree_text(tree_get(second->spec, "x")), "4");
        CHECK_STR(second->spec->file, "over.yaml");
        CHECK_EQ(second->spec->line, 3);
        CHECK_STR(config_object_at(c, CONFIG_TRACK, 2)->name, "c");
        config_free(c);
    }
    config_free(o);
    config_free(b);
}
