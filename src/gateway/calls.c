/* What the gateway answers: gateway.devices, gateway.tags, gateway.read, gateway.write.
 *
 * Calls arrive on the gateway's home loop (the first); what they ask about lives on the devices'
 * loops. A listing visits the devices one after the other, each on its own loop, carrying the
 * answer along; a read or a write becomes an operation of its device. The answer is given at home.
 */
#include "base/str.h"
#include "gateway/gateway_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES_MAX (3 * (FIELD_NAME_BYTES_MAX + 1))

/* --------------------------------------------------------------------------------------- listings
 */

struct listing {
    struct gateway *gateway;
    struct call *call;
    struct batch_builder *rows;
    struct exec_task task;
    uint32_t next; /* device */
    struct bytes device;
    struct bytes group;
    struct bytes match; /* empty = all */
    void (*add)(struct listing *l, const struct device *d);
    int err;
};

static void listing_visit(struct exec_task *task);

static void listing_end(struct exec_task *task)
{
    struct listing *l = CONTAINER_OF(task, struct listing, task);
    if (l->err) {
        call_fail(l->call, l->err, "the listing is too large; ask for one device or one group");
        batch_builder_free(l->rows);
    } else {
        call_answer_rows(l->call, l->rows);
    }
    free(l);
}

static bool wanted(struct bytes wish, const char *name)
{
    return wish.len == 0 || bytes_equal(wish, bytes_of_text(name));
}

static void listing_go(struct listing *l)
{
    struct gateway *g = l->gateway;
    while (l->next < g->device_count && !wanted(l->device, g->devices[l->next].name))
        l->next++;
    bool more = l->next < g->device_count && !l->err;
    exec_task_init(&l->task, more ? listing_visit : listing_end);
    exec_post(more ? g->devices[l->next].exec : g->loops[0], &l->task);
}

static void listing_visit(struct exec_task *task)
{
    struct listing *l = CONTAINER_OF(task, struct listing, task);
    l->add(l, &l->gateway->devices[l->next++]);
    listing_go(l);
}

static struct bytes text_arg(const struct call *c, const char *name)
{
    struct value v = call_arg(c, name);
    return v.type == VALUE_STRING ? v.bytes : bytes_of(NULL, 0);
}

static uint32_t tags_total(const struct gateway *g)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < g->device_count; i++)
        for (uint32_t k = 0; k < g->devices[i].group_count; k++)
            total += g->devices[i].groups[k].tag_count;
    return total;
}

static void listing_start(struct gateway *g, struct call *c, uint32_t rows_max,
                          void (*add)(struct listing *l, const struct device *d))
{
    struct listing *l = calloc(1, sizeof *l);
    if (!l) {
        call_fail(c, ERR_NOMEM, "out of memory");
        return;
    }
    l->gateway = g;
    l->call = c;
    l->add = add;
    if (call_request(c)) {
        l->device = text_arg(c, "device");
        l->group = text_arg(c, "group");
        l->match = text_arg(c, "match");
    }
    rows_max = rows_max > BATCH_ROWS_MAX ? BATCH_ROWS_MAX : rows_max;
    int err = call_answer_builder(c, rows_max ? rows_max : 1, &l->rows);
    if (err) {
        call_fail(c, err, "no memory for the answer");
        free(l);
        return;
    }
    listing_go(l);
}

/* Cells in the order of the answer's fields. */
struct cells {
    struct batch_builder *rows;
    uint32_t col;
    int err;
};

static void cell_text(struct cells *c, const char *text)
{
    int err = batch_set_bytes(c->rows, c->col++, bytes_of_text(text));
    c->err = c->err ? c->err : err;
}

static void cell_u64(struct cells *c, uint64_t v)
{
    batch_set_u64(c->rows, c->col++, v);
}

static void cell_time(struct cells *c, int64_t wall_us)
{
    if (wall_us)
        batch_set_i64(c->rows, c->col, wall_us);
    c->col++;
}

static void cell_value(struct cells *c, const struct value *v)
{
    int err = batch_set_value(c->rows, c->col++, v);
    c->err = c->err ? c->err : err;
}

/* --------------------------------------------------------------------------------- gateway.devices
 */

static const struct call_field device_answer[] = {
    {"device", VALUE_STRING, 0, true, "its name"},
    {"driver", VALUE_STRING, 0, true, "the protocol it speaks"},
    {"address", VALUE_STRING, 0, true, "host and port"},
    {"place", VALUE_STRING, 0, true, "where it stands"},
    {"state", VALUE_STRING, 0, true, "connecting, online, offline or disabled"},
    {"error", VALUE_STRING, 0, true, "short name of what was wrong last, empty if nothing was"},
    {"text", VALUE_STRING, 0, true, "what was wrong last, in a sentence"},
    {"error_ts", VALUE_TIMESTAMP, 0, false, "when that was"},
    {"groups", VALUE_UINT64, 0, true, "how many groups it has"},
    {"tags", VALUE_UINT64, 0, true, "how many tags it has"},
    {"polls", VALUE_UINT64, 0, true, "cycles run since the start"},
    {"missed", VALUE_UINT64, 0, true, "cycles missed because the one before was still running"},
    {"skipped", VALUE_UINT64, 0, true, "cycles skipped because nobody took the values"},
    {"values", VALUE_UINT64, 0, true, "good values read"},
    {"requests", VALUE_UINT64, 0, true, "requests sent"},
    {"timeouts", VALUE_UINT64, 0, true, "requests that were not answered in time"},
    {"refused", VALUE_UINT64, 0, true, "requests that the device answered with an exception"},
    {"late", VALUE_UINT64, 0, true, "answers thrown away because they came too late"},
    {"faults", VALUE_UINT64, 0, true, "times that the device broke the protocol"},
    {"connects", VALUE_UINT64, 0, true, "connections made"},
    {"rtt_us", VALUE_UINT64, 0, true, "smoothed time from request to answer, in microseconds"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static void devices_add(struct listing *l, const struct device *d)
{
    struct cells c = {.rows = l->rows};
    uint64_t sums[5] = {0};
    for (uint32_t i = 0; i < d->group_count; i++) {
        const struct group *g = &d->groups[i];
        sums[0] += g->tag_count;
        sums[1] += count_get(&g->count.polls);
        sums[2] += count_get(&g->count.missed);
        sums[3] += count_get(&g->count.skipped);
        sums[4] += count_get(&g->count.values);
    }
    if (batch_builder_row(l->rows, exec_wall_us(d->exec)) < 0) {
        l->err = ERR_LIMIT;
        return;
    }
    cell_text(&c, d->name);
    cell_text(&c, d->driver->name);
    cell_text(&c, d->address);
    cell_text(&c, d->place);
    cell_text(&c, device_state_name(d->state));
    cell_text(&c, d->error_name);
    cell_text(&c, d->error_text);
    cell_time(&c, d->error_wall_us);
    cell_u64(&c, d->group_count);
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++)
        cell_u64(&c, sums[i]);
    cell_u64(&c, count_get(&d->count.requests));
    cell_u64(&c, count_get(&d->count.timeouts));
    cell_u64(&c, count_get(&d->count.refused));
    cell_u64(&c, count_get(&d->count.late));
    cell_u64(&c, count_get(&d->count.faults));
    cell_u64(&c, count_get(&d->count.connects));
    cell_u64(&c, (uint64_t)d->rtt_us);
    l->err = c.err;
}

static void devices_call(void *owner, struct call *c)
{
    struct gateway *g = owner;
    listing_start(g, c, g->device_count, devices_add);
}

static const struct call_spec devices_spec = {
    .name = "gateway.devices",
    .doc = "The devices, how they are and what went wrong",
    .role = CALL_VIEWER,
    .answer = device_answer,
};

/* ------------------------------------------------------------------------------------ gateway.tags
 */

static const struct call_field tags_request[] = {
    {"device", VALUE_STRING, 0, false, "only this device's"},
    {"group", VALUE_STRING, 0, false, "only groups of this name"},
    {"match", VALUE_STRING, 0, false, "only those whose device.group.tag holds this text"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_field tags_answer[] = {
    {"device", VALUE_STRING, 0, true, "its device"},
    {"group", VALUE_STRING, 0, true, "its group"},
    {"tag", VALUE_STRING, 0, true, "its name"},
    {"type", VALUE_STRING, 0, true, "what the device keeps there"},
    {"address", VALUE_STRING, 0, true, "where the device keeps it"},
    {"uom", VALUE_STRING, 0, true, "unit of measure"},
    {"write", VALUE_BOOL, 0, true, "whether it may be written"},
    {"value", VALUE_ANY, 0, false, "the newest value, absent if there is none"},
    {"quality", VALUE_STRING, 0, true, "good, or why there is no value"},
    {"ts", VALUE_TIMESTAMP, 0, false, "when it was acquired"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static void tag_add(struct listing *l, const struct group *g, uint32_t index)
{
    struct cells c = {.rows = l->rows};
    const struct tag *tag = &g->tags[index];
    struct value v = {.type = VALUE_NULL, .quality = QUALITY_UNREAD};
    int64_t wall_us = 0;
    if (g->last) {
        struct column col = batch_column(g->last, index);
        uint32_t row = g->last->rows - 1;
        v = column_shown(&col, row);
        v.quality = column_quality(&col, row);
        wall_us = batch_times(g->last)[row] + (col.time_offset ? col.time_offset[row] : 0);
    }
    if (batch_builder_row(l->rows, wall_us) < 0) {
        l->err = ERR_LIMIT;
        return;
    }
    cell_text(&c, g->device->name);
    cell_text(&c, g->name);
    cell_text(&c, tag->name);
    cell_text(&c, tag_type_names[tag->type - 1]);
    cell_text(&c, tag->address_text);
    cell_text(&c, g->schema->fields[index].uom);
    batch_set_bool(l->rows, c.col++, tag->writable);
    cell_value(&c, &v);
    cell_text(&c, quality_name(v.quality));
    cell_time(&c, wall_us);
    l->err = c.err;
}

static bool tag_matches(const struct listing *l, const struct group *g, uint32_t index)
{
    char path[PATH_BYTES_MAX];
    if (l->match.len == 0)
        return true;
    int n = snprintf(path, sizeof path, "%s.%s.%s", g->device->name, g->name, g->tags[index].name);
    size_t len = n < (int)sizeof path ? (size_t)n : sizeof path - 1;
    return memmem(path, len, l->match.ptr, l->match.len) != NULL;
}

static void tags_add(struct listing *l, const struct device *d)
{
    for (uint32_t i = 0; i < d->group_count; i++) {
        if (!wanted(l->group, d->groups[i].name))
            continue;
        for (uint32_t k = 0; k < d->groups[i].tag_count && !l->err; k++) {
            if (tag_matches(l, &d->groups[i], k))
                tag_add(l, &d->groups[i], k);
        }
    }
}

static void tags_call(void *owner, struct call *c)
{
    struct gateway *g = owner;
    listing_start(g, c, tags_total(g), tags_add);
}

static const struct call_spec tags_spec = {
    .name = "gateway.tags",
    .doc = "The tags with their newest values",
    .role = CALL_VIEWER,
    .request = tags_request,
    .answer = tags_answer,
};

/* ----------------------------------------------------------------------------------- read and
 * write
 */

static const struct tag *tag_find(const struct group *g, struct bytes name, uint32_t *ret_index)
{
    int32_t index = schema_find(g->schema, name);
    if (index < 0)
        return NULL;
    *ret_index = (uint32_t)index;
    return &g->tags[index];
}

/* "device.group.tag" → where it is. Fails the call if it is nowhere. */
static struct group *path_find(struct gateway *g, struct call *c, struct bytes path,
                               uint32_t *ret_index)
{
    struct bytes device_name;
    struct bytes group_name;
    struct bytes rest = str_split(path, '.', &device_name);
    struct bytes tag_name = rest.ptr ? str_split(rest, '.', &group_name) : rest;
    struct device *d = map_find(&g->device_names, device_name);
    if (!tag_name.ptr || path.len >= PATH_BYTES_MAX) {
        call_fail(c, ERR_INVALID, "a tag is named device.group.tag");
        return NULL;
    }
    for (uint32_t i = 0; d && i < d->group_count; i++) {
        struct group *group = &d->groups[i];
        if (bytes_equal(bytes_of_text(group->name), group_name) &&
            tag_find(group, tag_name, ret_index))
            return group;
    }
    call_fail(c, ERR_NOT_FOUND, "there is no tag %.*s", (int)path.len, (const char *)path.ptr);
    return NULL;
}

static void op_answer(struct exec_task *task);

static void op_done(struct op *op)
{
    exec_task_init(&op->task, op_answer);
    exec_post(op->device->gateway->loops[0], &op->task);
}

static int op_for(struct gateway *g, enum op_kind kind, struct call *c, struct group *group,
                  uint32_t index, struct op **ret)
{
    struct op *op = NULL;
    struct bytes path = text_arg(c, "tag");
    int err = path.ptr ? op_new(kind, &op) : ERR_INVALID;
    if (err)
        return err;
    op->device = group->device;
    op->tag = &group->tags[index];
    op->field = &group->schema->fields[index];
    op->address = device_address(group->device, group->addresses, index);
    op->deadline_us = call_deadline_us(c);
    op->id = atomic_fetch_add(&g->op_id, 1);
    op->call = c;
    op->done = op_done;
    op->tag_path = bytes_to_text(path);
    if (!op->tag_path) {
        op_free(op);
        return ERR_NOMEM;
    }
    *ret = op;
    return OK;
}

static const struct call_field read_request[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_field read_answer[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {"value", VALUE_ANY, 0, false, "what the device has now"},
    {"uom", VALUE_STRING, 0, true, "unit of measure"},
    {"ts", VALUE_TIMESTAMP, 0, true, "when it was acquired"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_spec read_spec = {
    .name = "gateway.read",
    .doc = "Reads one tag from its device now",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = read_request,
    .answer = read_answer,
};

static const struct call_field write_request[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {"value", VALUE_STRING, FIELD_JSON, true, "what people would see, as JSON"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_field write_answer[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {"ok", VALUE_BOOL, 0, true, "true: the device has confirmed; failures are errors of the call"},
    {"error", VALUE_STRING, 0, true, "empty"},
    {"text", VALUE_STRING, 0, true, "what was done"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_spec write_spec = {
    .name = "gateway.write",
    .doc = "Writes one tag; succeeds only when the device has confirmed",
    .role = CALL_ENGINEER,
    .flags = CALL_ONE | CALL_CHANGES,
    .request = write_request,
    .answer = write_answer,
};

static void read_cells(const struct op *op, struct cells *c)
{
    struct value v = op->result;
    double raw = 0;
    if (field_is_scaled(op->field) && value_to_double(&v, &raw)) {
        v.type = VALUE_DOUBLE;
        v.f64 = field_number(op->field, raw);
    } else if (v.type == VALUE_BYTES && (op->field->flags & FIELD_TEXT) && str_is_utf8(v.bytes)) {
        v.type = VALUE_STRING;
    }
    cell_text(c, op->tag_path);
    cell_value(c, &v);
    cell_text(c, op->field->uom);
    cell_time(c, op->result_wall_us);
}

static void write_cells(const struct op *op, struct cells *c)
{
    cell_text(c, op->tag_path);
    batch_set_bool(c->rows, c->col++, true);
    cell_text(c, "");
    cell_text(c, op->text);
}

/* At home: the operation has ended. */
static void op_answer(struct exec_task *task)
{
    struct op *op = CONTAINER_OF(task, struct op, task);
    struct batch_builder *rows = NULL;
    int err = op->err;
    if (err) {
        call_fail(op->call, err, "%s: %s", op->tag_path, op->text);
        op_free(op);
        return;
    }
    err = call_answer_builder(op->call, 1, &rows);
    if (!err && batch_builder_row(rows, op->result_wall_us) < 0)
        err = ERR_NOMEM;
    if (!err) {
        struct cells c = {.rows = rows};
        if (op->kind == OP_READ)
            read_cells(op, &c);
        else
            write_cells(op, &c);
        err = c.err;
    }
    if (err) {
        batch_builder_free(rows);
        call_fail(op->call, err, "no memory for the answer");
    } else {
        call_answer_rows(op->call, rows);
    }
    op_free(op);
}

static void read_call(void *owner, struct call *c)
{
    struct gateway *g = owner;
    uint32_t index = 0;
    struct op *op = NULL;
    struct group *group = path_find(g, c, text_arg(c, "tag"), &index);
    if (!group)
        return;
    int err = op_for(g, OP_READ, c, group, index, &op);
    if (err)
        call_fail(c, err, "out of memory");
    else
        op_submit(op);
}

static int write_prepare(struct op *op, struct call *c, struct diag *diag)
{
    struct bytes asked = text_arg(c, "value");
    char *copy = arena_copy(&op->arena, asked);
    if (!copy)
        return diag_set(diag, ERR_NOMEM, 0, 0, "out of memory");
    op->asked = bytes_of(copy, asked.len);
    if (!op->tag->writable)
        return diag_set(diag, ERR_READ_ONLY, 0, 0, "%s may not be written (%s)", op->tag_path,
                        op->tag->address_text);
    return write_value_parse(op->tag, op->field, op->asked, &op->arena, &op->value, diag);
}

static void write_call(void *owner, struct call *c)
{
    struct gateway *g = owner;
    struct diag diag = {0};
    uint32_t index = 0;
    struct op *op = NULL;
    struct group *group = path_find(g, c, text_arg(c, "tag"), &index);
    if (!group)
        return;
    int err = op_for(g, OP_WRITE, c, group, index, &op);
    if (err) {
        call_fail(c, err, "out of memory");
        return;
    }
    err = write_prepare(op, c, &diag);
    if (err) {
        call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
        op_free(op);
        return;
    }
    op_submit(op);
}

const struct call_entry gateway_calls[] = {
    {&devices_spec, devices_call},
    {&tags_spec, tags_call},
    {&read_spec, read_call},
    {&write_spec, write_call},
};
const size_t gateway_call_count = sizeof gateway_calls / sizeof gateway_calls[0];
