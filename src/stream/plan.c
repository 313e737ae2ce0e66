/* From text to plan, and the schema of what comes out. See plan.h. */
#include "stream/plan.h"

#include "base/str.h"
#include "stream/bound.h"

#include <stdlib.h>
#include <string.h>

#define PLAN_ARENA_BLOCK_BYTES (8u << 10)

/* The output column of a computed item. */
static struct field computed_field(const struct plan_item *item)
{
    return (struct field){.name = item->name, .type = item->type};
}

/* A stored column under its output name. */
static struct field passed_field(const struct plan_item *item, const struct schema *input)
{
    int32_t at = schema_find(input, bytes_of_text(item->column_name));
    if (at < 0)
        return (struct field){.name = item->name, .type = VALUE_ANY};
    struct field f = input->fields[at];
    f.name = item->name;
    return f;
}

static bool is_excepted(const struct plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->star_except_count; i++)
        if (str_equal(p->star_except[i], name))
            return true;
    for (uint32_t i = 0; i < p->item_count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return true;
    return false;
}

int plan_output_schema(const struct plan *p, const struct schema *input, struct schema **ret)
{
    uint32_t max = p->item_count + (p->star ? input->count : 0);
    struct field *fields = calloc(max + 1u, sizeof *fields);
    uint32_t count = 0;
    if (!fields)
        return ERR_NOMEM;
    for (uint32_t i = 0; p->star && i < input->count; i++)
        if (!is_excepted(p, input->fields[i].name))
            fields[count++] = input->fields[i];
    for (uint32_t i = 0; i < p->item_count; i++)
        fields[count++] =
            p->items[i].pass ? passed_field(&p->items[i], input) : computed_field(&p->items[i]);
    int err = schema_new(fields, count, ret);
    free(fields);
    return err;
}

/* Known beforehand unless a schemaless input's own columns go through. */
static int output_find(struct plan *p, struct diag *diag)
{
    bool open = p->star;
    for (uint32_t i = 0; i < p->item_count; i++)
        open |= p->items[i].pass && !p->input;
    if (open)
        return OK;
    struct schema *empty = NULL;
    int err = p->input ? OK : schema_new(NULL, 0, &empty);
    if (!err)
        err = plan_output_schema(p, p->input ? p->input : empty, &p->output);
    schema_unref(empty);
    return err ? diag_set(diag, err, 1, 1, "the columns of this statement make no schema: %s",
                          err_text(err))
               : OK;
}

int plan_new(const char *sql, const struct catalogue *catalogue, struct plan **ret,
             struct diag *diag)
{
    struct plan *p = calloc(1, sizeof *p);
    struct select *select = NULL;
    struct bound_select bound;
    if (!p)
        return ERR_NOMEM;
    p->arena.block_bytes = PLAN_ARENA_BLOCK_BYTES;
    p->sql = arena_text(&p->arena, sql);
    int err = p->sql ? sql_parse(&p->arena, bytes_of_text(p->sql), &select, diag) : ERR_NOMEM;
    if (!err)
        err = select_bind(&p->arena, select, catalogue, &bound, diag);
    if (!err)
        err = select_compile(p, &bound, diag);
    if (!err)
        err = output_find(p, diag);
    if (err) {
        plan_free(p);
        return err == ERR_NOMEM ? diag_set(diag, err, 0, 0, "out of memory") : err;
    }
    *ret = p;
    return OK;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    schema_unref(p->input);
    schema_unref(p->output);
    arena_fini(&p->arena);
    free(p);
}
