/* `devices:` → devices, groups and tags, with every mistake named by file, line and column.
 *
 * Pure: nothing is opened and nothing runs, `lotline check` ends here. What a driver knows better
 * (addresses, its own options) it checks itself, and its sentence is shown at the place of the tag.
 */
#include "config/config.h"
#include "gateway/gateway_priv.h"
#include "model/topic.h"
#include "net/address.h"

#include <math.h>
#include <stdio.h>

#define OPTION_ALIGN 16u

const char *const tag_type_names[] = {"bit",    "bool",   "int8",   "uint8", "int16",
                                      "uint16", "int32",  "uint32", "int64", "uint64",
                                      "float",  "double", "string", "bytes", NULL};

static const char *const interpolations[] = {"hold", "linear", NULL};

struct tag_options {
    const char *name;
    const char *address;
    int type;
    const char *order;
    const char *uom;
    double scale;
    double offset;
    int interpolate;
    bool write;
};

static const struct option tag_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct tag_options, name),
     .doc = "what the value is called; a column of the group's stream"},
    {.name = "address",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct tag_options, address),
     .doc = "where the device keeps it, in the driver's notation"},
    {.name = "type",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct tag_options, type),
     .choices = tag_type_names,
     .doc = "what the device keeps there"},
    {.name = "order",
     .type = OPTION_TEXT,
     .offset = offsetof(struct tag_options, order),
     .doc = "byte order, where it is not the device's (ABCD, CDAB, …)"},
    {.name = "uom",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct tag_options, uom),
     .doc = "unit of measure, as shown to people"},
    {.name = "scale",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = offsetof(struct tag_options, scale),
     .doc = "people see raw × scale + offset"},
    {.name = "offset",
     .type = OPTION_DOUBLE,
     .default_text = "0",
     .offset = offsetof(struct tag_options, offset),
     .doc = "people see raw × scale + offset"},
    {.name = "interpolate",
     .type = OPTION_ENUM,
     .default_text = "hold",
     .offset = offsetof(struct tag_options, interpolate),
     .choices = interpolations,
     .doc = "what the signal does between two readings"},
    {.name = "write",
     .type = OPTION_BOOL,
     .default_text = "true",
     .offset = offsetof(struct tag_options, write),
     .doc = "whether it may be written, where the device lets one"},
    {.name = NULL},
};

struct group_options {
    const char *name;
    int64_t interval_us;
    int64_t linger_us;
    uint64_t gap_max_ms;
    const struct tree *tags;
};

static const struct option group_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct group_options, name),
     .doc = "what the group is called; its stream is device.group"},
    {.name = "interval",
     .type = OPTION_DURATION,
     .default_text = "1s",
     .min = GATEWAY_INTERVAL_US_MIN,
     .offset = offsetof(struct group_options, interval_us),
     .doc = "how often it is polled"},
    {.name = "linger",
     .type = OPTION_DURATION,
     .default_text = "100ms",
     .min = 0,
     .max = 60 * 1000 * 1000,
     .offset = offsetof(struct group_options, linger_us),
     .doc = "how long a row may wait for the next ones to share a batch"},
    {.name = "gap_max_ms",
     .type = OPTION_UINT,
     .default_text = "0",
     .offset = offsetof(struct group_options, gap_max_ms),
     .doc = "a longer time between two readings counts as unknown; 0 = three intervals"},
    {.name = "tags",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct group_options, tags),
     .items = tag_table,
     .doc = "the values that are read together"},
    {.name = NULL},
};

struct device_options {
    const char *name;
    const char *driver;
    const char *address;
    const char *place;
    uint64_t in_flight_max;
    int64_t timeout_us;
    bool enabled;
    const struct tree *groups;
};

static const struct option device_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct device_options, name),
     .doc = "what the device is called"},
    {.name = "driver",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct device_options, driver),
     .doc = "the protocol it speaks: modbus-tcp, or a plug-in's"},
    {.name = "address",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct device_options, address),
     .doc = "host or host:port"},
    {.name = "place",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct device_options, place),
     .doc = "where it stands, as in plant1/line1/press"},
    {.name = "in_flight_max",
     .type = OPTION_UINT,
     .default_text = "1",
     .min = 1,
     .max = LOTLINE_IN_FLIGHT_MAX,
     .offset = offsetof(struct device_options, in_flight_max),
     .doc = "how many requests may be on their way at once"},
    {.name = "timeout",
     .type = OPTION_DURATION,
     .default_text = "1s",
     .min = 10 * 1000,
     .max = 60 * 1000 * 1000,
     .offset = offsetof(struct device_options, timeout_us),
     .doc = "how long one request may take"},
    {.name = "enabled",
     .type = OPTION_BOOL,
     .default_text = "true",
     .offset = offsetof(struct device_options, enabled),
     .doc = "false: it is configured, and left alone"},
    {.name = "groups",
     .type = OPTION_TREE,
     .offset = offsetof(struct device_options, groups),
     .items = group_table,
     .doc = "its tags, by how often they are read"},
    {.name = NULL},
};

/* What configuring carries along. */
struct maker {
    struct gateway *gateway;
    struct catalogue *catalogue;
    struct diag *diag;
};

/* ------------------------------------------------------------------------------------------- types
 */

enum value_type tag_value_type(uint8_t type)
{
    static const enum value_type types[LOTLINE_TYPE_COUNT] = {
        [LOTLINE_BIT] = VALUE_BOOL,      [LOTLINE_BOOL] = VALUE_BOOL,
        [LOTLINE_INT8] = VALUE_INT64,    [LOTLINE_UINT8] = VALUE_UINT64,
        [LOTLINE_INT16] = VALUE_INT64,   [LOTLINE_UINT16] = VALUE_UINT64,
        [LOTLINE_INT32] = VALUE_INT64,   [LOTLINE_UINT32] = VALUE_UINT64,
        [LOTLINE_INT64] = VALUE_INT64,   [LOTLINE_UINT64] = VALUE_UINT64,
        [LOTLINE_FLOAT] = VALUE_FLOAT32, [LOTLINE_DOUBLE] = VALUE_DOUBLE,
        [LOTLINE_STRING] = VALUE_BYTES,  [LOTLINE_BYTES] = VALUE_BYTES,
    };

    return type < LOTLINE_TYPE_COUNT ? types[type] : VALUE_NULL;
}

struct field_limit tag_limit(const struct tag *tag)
{
    static const struct field_limit limits[LOTLINE_TYPE_COUNT] = {
        [LOTLINE_INT8] = {INT8_MIN, INT8_MAX, 0},    [LOTLINE_UINT8] = {0, UINT8_MAX, 0},
        [LOTLINE_INT16] = {INT16_MIN, INT16_MAX, 0}, [LOTLINE_UINT16] = {0, UINT16_MAX, 0},
        [LOTLINE_INT32] = {INT32_MIN, INT32_MAX, 0}, [LOTLINE_UINT32] = {0, UINT32_MAX, 0},
        [LOTLINE_INT64] = {INT64_MIN, INT64_MAX, 0}, [LOTLINE_UINT64] = {0, UINT64_MAX, 0},
    };
    struct field_limit limit = limits[tag->type];
    limit.bytes_max = tag->text_bytes_max;
    return limit;
}

uint32_t tag_field_flags(uint8_t type)
{
    return type == LOTLINE_STRING ? FIELD_TEXT : 0;
}

bool tag_type_is_number(uint8_t type)
{
    return type >= LOTLINE_INT8 && type <= LOTLINE_DOUBLE;
}

int configure_tag(const struct lotline_driver *driver, const void *options, const char *order,
                  struct tag *tag, void *ret_address, struct lotline_error *error)
{
    struct lotline_tag_info info = {0};
    struct lotline_tag spec = {.address = tag->address_text, .type = tag->type, .order = order};
    if (driver->tag_parse(options, &spec, ret_address, &info, error))
        return ERR_INVALID;
    tag->writable = info.writable && driver->write;
    tag->text_bytes_max = info.text_bytes_max;
    tag->exact_len = info.exact_len;
    return OK;
}

/* -------------------------------------------------------------------------------------------- tags
 */

static int scale_check(const struct tag_options *o, uint8_t type, const struct tree *spec,
                       struct field *field, struct diag *diag)
{
    bool scaled = tree_get(spec, "scale") || tree_get(spec, "offset");
    if (!scaled)
        return OK;
    if (!tag_type_is_number(type))
        return tree_error(diag, ERR_TYPE, spec, "tag %s: only numbers have a scale or an offset",
                          o->name);
    if (o->scale == 0 || !isfinite(o->scale) || !isfinite(o->offset))
        return tree_error(diag, ERR_RANGE, spec,
                          "tag %s: scale must be a finite number other than 0", o->name);
    field->scale = o->scale;
    field->offset = o->offset;
    field->flags |= FIELD_SCALED;
    return OK;
}

static int tag_make(const struct maker *m, struct group *g, const struct tree *spec, uint32_t index,
                    struct field *field)
{
    const struct device *d = g->device;
    struct tag_options o;
    struct lotline_error error = {""};
    struct tag *tag = &g->tags[index];
    int err = option_bind(tag_table, spec, &m->gateway->arena, &o, m->diag);
    if (err)
        return err;
    tag->name = o.name;
    tag->address_text = o.address;
    tag->type = (uint8_t)(o.type + 1);
    err = configure_tag(d->driver, d->options, o.order, tag, device_address(d, g->addresses, index),
                        &error);
    if (err) {
        const struct tree *at = tree_get(spec, "address");
        return tree_error(m->diag, err, at ? at : spec, "tag %s: %s", o.name, error.text);
    }
    tag->writable = tag->writable && o.write;
    *field = (struct field){.name = o.name,
                            .uom = o.uom,
                            .scale = 1,
                            .type = tag_value_type(tag->type),
                            .flags = tag_field_flags(tag->type)};
    if (o.interpolate == 1 && !tag_type_is_number(tag->type))
        return tree_error(m->diag, ERR_TYPE, spec, "tag %s: only numbers run straight (linear)",
                          o.name);
    if (o.interpolate == 1)
        field->flags |= FIELD_LINEAR;
    return scale_check(&o, tag->type, spec, field, m->diag);
}

/* schema_new has said that two fields have one name: which? */
static int tag_twice(const struct group *g, const struct tree *tags, struct diag *diag)
{
    struct map seen = {0};
    uint32_t i = 0;
    int err = ERR_EXISTS;
    TREE_EACH(spec, tags)
    {
        if (map_add_text(&seen, g->tags[i].name, &seen) == ERR_EXISTS) {
            err = tree_error(diag, ERR_EXISTS, tree_get(spec, "name"),
                             "tag %s stands twice in group %s", g->tags[i].name, g->name);
            break;
        }
        i++;
    }
    map_fini(&seen);
    return err;
}

static int group_tags(const struct maker *m, struct group *g, const struct tree *tags)
{
    struct arena *arena = &m->gateway->arena;
    if (tags->kind != TREE_LIST || tags->count == 0 || tags->count > GATEWAY_GROUP_TAGS_MAX)
        return tree_error(m->diag, ERR_INVALID, tags, "tags of group %s: a list of 1 to %u tags",
                          g->name, GATEWAY_GROUP_TAGS_MAX);
    struct arena scratch = {0};
    struct field *fields = arena_array(&scratch, tags->count, sizeof *fields);
    g->tags = arena_array(arena, tags->count, sizeof *g->tags);
    g->addresses = arena_array(arena, tags->count, g->device->address_stride);
    g->limits = arena_array(arena, tags->count, sizeof *g->limits);
    int err = fields && g->tags && g->addresses && g->limits ? OK : ERR_NOMEM;
    TREE_EACH(spec, tags)
    {
        if (!err)
            err = tag_make(m, g, spec, g->tag_count, &fields[g->tag_count]);
        if (!err)
            g->limits[g->tag_count] = tag_limit(&g->tags[g->tag_count]);
        g->tag_count += !err;
    }
    if (!err)
        err = schema_new(fields, g->tag_count, &g->schema);
    arena_fini(&scratch);
    return err == ERR_EXISTS && !g->schema ? tag_twice(g, tags, m->diag) : err;
}

/* ------------------------------------------------------------------------------------------ groups
 */

static int group_make(const struct maker *m, struct device *d, const struct tree *spec)
{
    struct group_options o;
    struct group *g = &d->groups[d->group_count];
    int err = option_bind(group_table, spec, &m->gateway->arena, &o, m->diag);
    if (err)
        return err;
    g->device = d;
    g->name = o.name;
    g->interval_us = o.interval_us;
    g->linger_us = o.linger_us;
    list_init(&g->plan);
    list_init(&g->turn);
    list_init(&g->redo);
    d->group_count++;
    err = group_tags(m, g, o.tags);
    if (err)
        return err;
    const char *name = arena_printf(&m->gateway->arena, "%s.%s", d->name, g->name);
    if (!name)
        return ERR_NOMEM;
    err = catalogue_stream_add(m->catalogue, name, STREAM_GROUP, d->place, g->schema, &g->stream);
    if (err == ERR_EXISTS)
        return tree_error(m->diag, err, spec, "there is a group or stream %s already", name);
    if (err)
        return err;
    outlet_init(&g->outlet, d->exec, g->stream, group_on_credit);
    g->stream->outlet = &g->outlet;
    g->stream->limits = g->limits;
    return OK;
}

static int device_groups(const struct maker *m, struct device *d, const struct tree *groups)
{
    if (!groups || groups->kind == TREE_NULL)
        return OK;
    if (groups->kind != TREE_LIST || groups->count > GATEWAY_GROUPS_MAX)
        return tree_error(m->diag, ERR_INVALID, groups,
                          "groups of device %s: a list of at most %u groups", d->name,
                          GATEWAY_GROUPS_MAX);
    d->groups = arena_array(&m->gateway->arena, groups->count, sizeof *d->groups);
    if (!d->groups)
        return ERR_NOMEM;
    TREE_EACH(spec, groups)
    {
        int err = group_make(m, d, spec);
        if (err)
            return err;
    }
    return OK;
}

/* ----------------------------------------------------------------------------------------- devices
 */

const char *configure_address(struct arena *arena, const char *address, uint16_t port,
                              bool *ret_missing)
{
    const char *close = strrchr(address, ']');
    const char *colon = strrchr(close ? close : address, ':');
    if (colon || strncmp(address, "unix:", 5) == 0)
        return arena_text(arena, address);
    if (port == 0) {
        *ret_missing = true;
        return NULL;
    }
    return arena_printf(arena, "%s:%u", address, port);
}

int configure_address_check(const char *address, struct diag *diag)
{
    struct address parsed;
    return address_parse(address, &parsed, diag);
}

void configure_drivers_print(const struct driver_table *t, char *out, size_t out_bytes)
{
    size_t len = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < t->count && len < out_bytes; i++)
        len += (size_t)snprintf(out + len, out_bytes - len, "%s%s", i ? ", " : "",
                                t->drivers[i]->name);
}

static const struct lotline_driver *driver_of(const struct maker *m, const struct tree *spec)
{
    const struct tree *name = tree_get(spec, "driver");
    const struct driver_table *t = &m->gateway->drivers;
    char known[DIAG_TEXT_BYTES_MAX / 2];
    if (!name || name->kind != TREE_TEXT) {
        (void)tree_error(m->diag, ERR_INVALID, name ? name : spec,
                         "a device needs a driver: the protocol it speaks, as in "
                         "`driver: modbus-tcp`");
        return NULL;
    }
    const struct lotline_driver *driver = driver_table_find(t, tree_text(name));
    if (driver)
        return driver;
    configure_drivers_print(t, known, sizeof known);
    (void)tree_error(m->diag, ERR_INVALID, name, "there is no driver \"%s\"; known are: %s",
                     tree_text(name), known);
    return NULL;
}

static int device_address_set(const struct maker *m, struct device *d, const struct tree *spec,
                              const char *address)
{
    bool missing = false;
    d->address = configure_address(&m->gateway->arena, address, d->driver->port, &missing);
    if (missing)
        return tree_error(m->diag, ERR_INVALID, tree_get(spec, "address"),
                          "address of device %s needs a port: host:port", d->name);
    if (!d->address)
        return ERR_NOMEM;
    struct diag wrong = {0};
    int err = configure_address_check(d->address, &wrong);
    if (err)
        return tree_error(m->diag, err, tree_get(spec, "address"), "address of device %s: %s",
                          d->name, wrong.text);
    return OK;
}

static int device_place_set(const struct maker *m, struct device *d, const struct tree *spec,
                            const char *place)
{
    d->place = place;
    if (!place[0] || place_is_valid(bytes_of_text(place)))
        return OK;
    return tree_error(m->diag, ERR_INVALID, tree_get(spec, "place"),
                      "\"%s\" is no place: levels parted by /, without + and #, as in "
                      "plant1/smt/line1/press",
                      place);
}

static int device_make(const struct maker *m, const struct tree *spec)
{
    struct gateway *g = m->gateway;
    const struct lotline_driver *driver = driver_of(m, spec);
    size_t shift = (sizeof(struct device_options) + OPTION_ALIGN - 1) / OPTION_ALIGN * OPTION_ALIGN;
    if (!driver)
        return ERR_INVALID;
    const struct option *table = driver_options_join(driver, device_table, shift, &g->arena);
    struct device_options *o = arena_alloc(&g->arena, shift + driver->options_bytes);
    if (!table || !o)
        return ERR_NOMEM;
    int err = option_bind(table, spec, &g->arena, o, m->diag);
    if (err)
        return err;
    struct device *d = &g->devices[g->device_count];
    struct exec *exec = g->loop_count ? g->loops[g->device_count % g->loop_count] : NULL;
    struct lotline_error error = {""};
    err = device_init(d, g, exec, driver);
    if (err)
        return err;
    g->device_count++;
    d->name = o->name;
    d->options = (uint8_t *)o + shift;
    d->timeout_us = o->timeout_us;
    d->enabled = o->enabled;
    d->in_flight_max = (uint32_t)o->in_flight_max;
    if (d->in_flight_max > driver->in_flight_max)
        d->in_flight_max = driver->in_flight_max;
    if (driver->options_check && driver->options_check(d->options, &error))
        return tree_error(m->diag, ERR_INVALID, spec, "device %s: %s", o->name, error.text);
    err = map_add_text(&g->device_names, d->name, d);
    if (err == ERR_EXISTS)
        return tree_error(m->diag, err, spec, "there are two devices called %s", d->name);
    if (!err)
        err = device_address_set(m, d, spec, o->address);
    if (!err)
        err = device_place_set(m, d, spec, o->place);
    return err ? err : device_groups(m, d, o->groups);
}

int configure_devices(struct gateway *g, const struct config *config, struct catalogue *catalogue,
                      struct diag *diag)
{
    const struct maker m = {g, catalogue, diag};
    const struct tree *list = config_list(config, "devices");
    if (!list || list->count == 0)
        return OK;
    if (list->count > GATEWAY_DEVICES_MAX)
        return tree_error(diag, ERR_LIMIT, list, "more than %u devices", GATEWAY_DEVICES_MAX);
    g->devices = arena_array(&g->arena, list->count, sizeof *g->devices);
    if (!g->devices)
        return ERR_NOMEM;
    TREE_EACH(spec, list)
    {
        int err = device_make(&m, spec);
        if (err)
            return err;
    }
    return OK;
}
