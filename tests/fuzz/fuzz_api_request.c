/* What a client sends to a call: a query ("name=value&name=value") on the first line, the JSON body
 * behind it. The call takes a field of every type; what is accepted must be of the call's schema,
 * and what is refused must say why. */
#include "api/bind.h"
#include "base/str.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct call_field fields[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {"value", VALUE_ANY, 0, false, NULL},
    {"count", VALUE_INT64, 0, false, NULL},
    {"size", VALUE_UINT64, 0, false, NULL},
    {"factor", VALUE_DOUBLE, 0, false, NULL},
    {"ratio", VALUE_FLOAT32, 0, false, NULL},
    {"deep", VALUE_BOOL, 0, false, NULL},
    {"since", VALUE_TIMESTAMP, 0, false, NULL},
    {"spec", VALUE_STRING, FIELD_JSON, false, NULL},
    {"raw", VALUE_BYTES, 0, false, NULL},
    {.name = NULL},
};

static const struct call_spec all_spec = {"fuzz.all", "Takes all.", CALL_VIEWER, 0, fields, NULL};
static const struct call_spec no_spec = {"fuzz.none", "Takes none.", CALL_VIEWER, 0, NULL, NULL};

static size_t split_query(struct bytes text, struct bind_argument *out)
{
    size_t count = 0;
    while (text.ptr && text.len && count < BIND_ARGUMENTS_MAX) {
        struct bytes pair;
        text = str_split(text, '&', &pair);
        struct bytes value = str_split(pair, '=', &out[count].name);
        out[count++].value = value;
    }
    return count;
}

static void bind(const struct call_spec *spec, const struct bind_input *in)
{
    struct call_port port;
    struct arena arena = {.total_bytes_max = 64u << 20};
    struct batch *batch = NULL;
    struct diag diag = {0};
    if (call_port_init(&port, spec, NULL, NULL, NULL))
        return;
    int err = bind_request(spec, port.request, in, &arena, &batch, &diag);
    if (err) {
        assert(!batch && diag.text[0]);
    } else if (port.request) {
        assert(batch->rows == 1 && batch->schema->hash == port.request->hash);
        struct column tag = batch_column(batch, 0);
        assert(!column_is_null(&tag, 0) && str_is_utf8(column_bytes(&tag, 0)));
    }
    batch_unref(batch);
    arena_fini(&arena);
    call_port_fini(&port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bind_argument query[BIND_ARGUMENTS_MAX];
    struct bytes head;
    struct bytes body = str_split(bytes_of(data, size), '\n', &head);
    struct bind_input in = {.query = query, .query_count = split_query(head, query)};
    in.body = body;
    bind(&all_spec, &in);
    bind(&no_spec, &in);
    return 0;
}
