/* The dictionary of tags: points carry a number, the table `tags` says what it means.
 *
 * All tags of the database are in memory while the node runs (some 100 bytes each): a batch's
 * columns are matched once for each (stream, schema), after that a batch costs one look-up.
 */
#include "base/array.h"
#include "base/str.h"
#include "historian/historian_priv.h"

#include <stdlib.h>
#include <string.h>

const struct duck_column tag_columns[TAG_COLUMN_COUNT] = {
    {"id", DUCK_U32, false},     {"node", DUCK_TEXT, false},  {"stream", DUCK_TEXT, false},
    {"tag", DUCK_TEXT, false},   {"type", DUCK_TEXT, false},  {"uom", DUCK_TEXT, false},
    {"scale", DUCK_F64, false},  {"offset", DUCK_F64, false}, {"flags", DUCK_U32, false},
    {"since", DUCK_TIME, false},
};

#define TAG_FLAGS (FIELD_TEXT | FIELD_SCALED | FIELD_LINEAR)

/* What makes a tag the same tag. */
struct tag_key {
    struct bytes node;
    struct bytes stream;
    struct bytes name;
    struct bytes type;
    struct bytes uom;
    double scale;
    double offset;
    uint32_t flags;
};

static void tag_key_part(struct buf *b, struct bytes v)
{
    (void)buf_append_varint(b, v.len);
    (void)buf_append_bytes(b, v);
}

/* + 0.0 makes one zero of both: the database does not tell them apart either. */
static void tag_key_number(struct buf *b, double v)
{
    (void)buf_append_double(b, v + 0.0);
}

static int tag_key_print(const struct tag_key *k, struct buf *b)
{
    tag_key_part(b, k->node);
    tag_key_part(b, k->stream);
    tag_key_part(b, k->name);
    tag_key_part(b, k->type);
    tag_key_part(b, k->uom);
    tag_key_number(b, k->scale);
    tag_key_number(b, k->offset);
    (void)buf_append_le32(b, k->flags);
    return buf_error(b);
}

static void source_free(struct source *s)
{
    if (!s)
        return;
    schema_unref(s->schema);
    free(s->node);
    free(s->stream);
    free(s->tags);
    free(s->any_tags);
    free(s);
}

void tags_fini(struct tags *t)
{
    for (size_t i = 0; i < t->sources.count; i++)
        source_free(t->sources.entries[i].value);
    map_fini(&t->sources);
    map_fini(&t->ids);
    free(t->fresh);
    *t = (struct tags){0};
}

/* --------------------------------------------------------------------------------------- loading
 */

static int tags_load_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct tags *t = ctx;
    struct tag_key key = {cells[1].bytes, cells[2].bytes, cells[3].bytes, cells[4].bytes,
                          cells[5].bytes, cells[6].f64,   cells[7].f64,   (uint32_t)cells[8].u64};
    uint32_t id = (uint32_t)cells[0].u64;
    struct buf b = {0};
    int err = count == 9 ? tag_key_print(&key, &b) : ERR_INTERNAL;
    if (!err)
        err = map_put(&t->ids, buf_bytes(&b), (void *)(uintptr_t)id, NULL);
    buf_fini(&b);
    if (!err && id > t->id_max)
        t->id_max = id;
    return err;
}

int tags_load(struct tags *t, struct duck_conn *c, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(c,
                           "SELECT id, node, stream, tag, type, uom, scale, \"offset\", flags "
                           "FROM tags ORDER BY id",
                           &s, diag);
    if (!err)
        err = duck_run(s, tags_load_row, t, diag);
    duck_stmt_free(s);
    return err;
}

/* --------------------------------------------------------------------------------------- finding
 */

static int tags_fresh(struct tags *t, const struct new_tag *fresh)
{
    struct new_tag *list = array_room(t->fresh, t->fresh_count, &t->fresh_cap, 64, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    t->fresh = list;
    t->fresh[t->fresh_count++] = *fresh;
    return OK;
}

static int tags_find(struct tags *t, const struct source *s, uint32_t col, enum value_type type,
                     uint32_t *ret_id)
{
    const struct field *f = &s->schema->fields[col];
    bool scaled = field_is_scaled(f);
    struct tag_key key = {bytes_of_text(s->node), bytes_of_text(s->stream),
                          bytes_of_text(f->name), bytes_of_text(value_type_name(type)),
                          bytes_of_text(f->uom),  scaled ? f->scale : 1,
                          scaled ? f->offset : 0, f->flags & TAG_FLAGS};
    struct buf b = {0};
    int err = tag_key_print(&key, &b);
    uint32_t id = err ? 0 : (uint32_t)(uintptr_t)map_find(&t->ids, buf_bytes(&b));
    if (!err && id == 0) {
        id = t->id_max + 1;
        struct new_tag fresh = {s, col, id, type};
        err = map_put(&t->ids, buf_bytes(&b), (void *)(uintptr_t)id, NULL);
        if (!err)
            err = tags_fresh(t, &fresh);
        if (!err)
            t->id_max = id;
        else
            (void)map_remove(&t->ids, buf_bytes(&b));
    }
    buf_fini(&b);
    if (!err)
        *ret_id = id;
    return err;
}

static bool schema_has_any(const struct schema *schema)
{
    for (uint32_t i = 0; i < schema->count; i++)
        if (schema->fields[i].type == VALUE_ANY)
            return true;
    return false;
}

static char *copy_text(struct bytes v)
{
    return bytes_to_text(v);
}

/* Texts go into VARCHAR columns, and a zero would cut a name. */
static bool name_is_storable(struct bytes v)
{
    return str_is_utf8(v) && (v.len == 0 || !memchr(v.ptr, 0, v.len));
}

static int source_check(struct bytes node, struct bytes stream, const struct schema *schema)
{
    if (!name_is_storable(node) || !name_is_storable(stream))
        return ERR_MALFORMED;
    for (uint32_t i = 0; i < schema->count; i++)
        if (!str_is_utf8(bytes_of_text(schema->fields[i].name)) ||
            !str_is_utf8(bytes_of_text(schema->fields[i].uom)))
            return ERR_MALFORMED;
    return OK;
}

static int source_new(struct bytes node, struct bytes stream, const struct schema *schema,
                      struct source **ret)
{
    struct source *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->node = copy_text(node);
    s->stream = copy_text(stream);
    s->schema = schema_ref(schema);
    s->tags = calloc(schema->count ? schema->count : 1, sizeof *s->tags);
    bool any = schema_has_any(schema);
    if (any)
        s->any_tags = calloc((size_t)schema->count * VALUE_TYPE_COUNT, sizeof *s->any_tags);
    if (!s->node || !s->stream || !s->tags || (any && !s->any_tags)) {
        source_free(s);
        return ERR_NOMEM;
    }
    *ret = s;
    return OK;
}

/* The fresh list points at the source, so it is in the map before its tags are looked for. */
static int source_add(struct tags *t, struct bytes key, struct source *s)
{
    int err = map_put(&t->sources, key, s, NULL);
    if (err)
        source_free(s);
    return err;
}

static int source_match(struct tags *t, struct source *s)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < s->schema->count; i++)
        if (s->schema->fields[i].type != VALUE_ANY && s->tags[i] == 0)
            err = tags_find(t, s, i, s->schema->fields[i].type, &s->tags[i]);
    return err;
}

int tags_source(struct tags *t, struct bytes node, struct bytes stream, const struct schema *schema,
                struct source **ret)
{
    struct buf key = {0};
    tag_key_part(&key, node);
    tag_key_part(&key, stream);
    (void)buf_append_le64(&key, schema->hash);
    int err = buf_error(&key);
    struct source *s = err ? NULL : map_find(&t->sources, buf_bytes(&key));
    if (!err && !s) {
        err = source_check(node, stream, schema);
        if (!err)
            err = source_new(node, stream, schema, &s);
        if (!err)
            err = source_add(t, buf_bytes(&key), s);
        if (!err)
            err = source_match(t, s);
        if (err && s && map_find(&t->sources, buf_bytes(&key)))
            err = ERR_NOMEM; /* stays; the next attempt matches what is left */
    } else if (!err && schema->count && s->tags[schema->count - 1] == 0) {
        err = source_match(t, s);
    }
    buf_fini(&key);
    if (!err)
        *ret = s;
    return err;
}

int tags_any(struct tags *t, struct source *s, uint32_t col, enum value_type type, uint32_t *ret_id)
{
    uint32_t *id = &s->any_tags[(size_t)col * VALUE_TYPE_COUNT + type];
    if (*id == 0) {
        int err = tags_find(t, s, col, type, id);
        if (err)
            return err;
    }
    *ret_id = *id;
    return OK;
}

/* --------------------------------------------------------------------------------------- writing
 */

static void tags_fill(const struct duck_vector *v, uint32_t row, const struct new_tag *n,
                      int64_t known_us)
{
    const struct field *f = &n->source->schema->fields[n->col];
    bool scaled = field_is_scaled(f);
    ((uint32_t *)v[0].data)[row] = n->id;
    duck_vector_set_bytes(&v[1], row, bytes_of_text(n->source->node));
    duck_vector_set_bytes(&v[2], row, bytes_of_text(n->source->stream));
    duck_vector_set_bytes(&v[3], row, bytes_of_text(f->name));
    duck_vector_set_bytes(&v[4], row, bytes_of_text(value_type_name(n->type)));
    duck_vector_set_bytes(&v[5], row, bytes_of_text(f->uom));
    ((double *)v[6].data)[row] = scaled ? f->scale : 1;
    ((double *)v[7].data)[row] = scaled ? f->offset : 0;
    ((uint32_t *)v[8].data)[row] = f->flags & TAG_FLAGS;
    ((int64_t *)v[9].data)[row] = known_us;
}

int tags_write(struct tags *t, struct duck_appender *a, int64_t known_us, struct diag *diag)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < t->fresh_count;) {
        uint32_t rows = t->fresh_count - i;
        rows = rows < DUCK_CHUNK_ROWS ? rows : DUCK_CHUNK_ROWS;
        const struct duck_vector *v = duck_appender_vectors(a);
        for (uint32_t k = 0; k < rows; k++)
            tags_fill(v, k, &t->fresh[i + k], known_us);
        err = duck_appender_push(a, rows, diag);
        i += rows;
    }
    return err || t->fresh_count == 0 ? err : duck_appender_flush(a, diag);
}

void tags_settled(struct tags *t)
{
    t->fresh_count = 0;
}
