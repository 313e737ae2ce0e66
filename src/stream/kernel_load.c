/* Loading: a chunk of a batch's column as a vector.
 *
 * Plain 64-bit columns are not copied. Device strings become text only where they are UTF-8;
 * otherwise they are null for SQL, while the stored bytes stay what they are (raw()).
 */
#include "base/str.h"
#include "stream/kernels.h"

#include <string.h>

#define LOAD_EACH(m, i) for (uint32_t i = 0; i < (m)->rows; i++)

static void load_null(struct machine *m, const struct step *s)
{
    uint64_t *words = m->words[s->dst];
    (void)machine_out(m, s);
    memset(words, 0, sizeof m->words[s->dst]);
    m->regs[s->dst].valid = words;
    if (m->regs[s->dst].kind == VEC_ANY)
        memset(m->storage[s->dst], 0, m->rows * sizeof(struct value));
}

/* The chunk's validity; chunks start at multiples of 64 rows, and bitmaps are padded to 8 bytes. */
static const uint64_t *chunk_valid(const struct machine *m, const struct column *c)
{
    return c->validity ? (const uint64_t *)(const void *)(c->validity + m->base / 8) : NULL;
}

static double stored_number(const struct column *c, uint32_t row)
{
    switch ((int)c->type) {
    case VALUE_BOOL:
        return bitmap_get(c->data, row);
    case VALUE_INT64:
        return (double)((const int64_t *)c->data)[row];
    case VALUE_UINT64:
        return (double)((const uint64_t *)c->data)[row];
    case VALUE_FLOAT32:
        return (double)((const float *)c->data)[row];
    default:
        return ((const double *)c->data)[row];
    }
}

static void load_scaled(struct machine *m, const struct step *s, const struct column *c)
{
    double *out = machine_out(m, s);
    LOAD_EACH(m, i)
    out[i] = field_number(c->field, stored_number(c, m->base + i));
}

static void load_float32(struct machine *m, const struct step *s, const struct column *c)
{
    double *out = machine_out(m, s);
    const float *in = (const float *)c->data + m->base;
    LOAD_EACH(m, i)
    out[i] = (double)in[i];
}

static void load_bool(struct machine *m, const struct step *s, const struct column *c)
{
    uint8_t *out = machine_out(m, s);
    LOAD_EACH(m, i)
    out[i] = bitmap_get(c->data, m->base + i);
}

static void load_text(struct machine *m, const struct step *s, const struct column *c, bool checked)
{
    struct bytes *out = machine_out(m, s);
    uint64_t *valid = NULL;
    if (checked) {
        valid = machine_valid(m, s);
        if (c->validity)
            memcpy(valid, c->validity + m->base / 8, (m->rows + 7) / 8);
    }
    LOAD_EACH(m, i)
    {
        out[i] = column_bytes(c, m->base + i);
        if (checked && !str_is_utf8(out[i]))
            words_clear(valid, i);
    }
    m->regs[s->dst].valid = valid ? valid : chunk_valid(m, c);
}

static void load_any(struct machine *m, const struct step *s, const struct column *c, bool raw)
{
    struct value *out = machine_out(m, s);
    uint64_t *valid = machine_valid(m, s);
    LOAD_EACH(m, i)
    {
        out[i] = raw ? column_value(c, m->base + i) : column_shown(c, m->base + i);
        if (out[i].type == VALUE_NULL)
            words_clear(valid, i);
        else if (out[i].type == VALUE_FLOAT32)
            out[i] = (struct value){.type = VALUE_DOUBLE, .f64 = (double)out[i].f32};
    }
}

static void load_plain(struct machine *m, const struct step *s, const struct column *c)
{
    struct vec *out = &m->regs[s->dst];
    switch (c->type) {
    case VALUE_BOOL:
        load_bool(m, s, c);
        break;
    case VALUE_FLOAT32:
        load_float32(m, s, c);
        break;
    case VALUE_INT64:
    case VALUE_UINT64:
    case VALUE_DOUBLE:
    case VALUE_TIMESTAMP:
        out->data = (const uint8_t *)c->data + (size_t)m->base * 8;
        break;
    case VALUE_NULL:
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ANY:
        break;
    }
    out->valid = chunk_valid(m, c);
}

/* The batch's column of an input; PLAN_NONE if it has none (schemaless). */
static uint32_t column_of(const struct machine *m, const struct step *s)
{
    return m->columns ? m->columns[s->input] : m->program->inputs[s->input].column;
}

void kernel_load_column(struct machine *m, const struct step *s)
{
    uint32_t at = column_of(m, s);
    if (at == PLAN_NONE) {
        load_null(m, s);
        return;
    }
    struct column c = batch_column(m->batch, at);
    if (m->regs[s->dst].kind == VEC_ANY)
        load_any(m, s, &c, false);
    else if (c.type == VALUE_STRING || c.type == VALUE_BYTES)
        load_text(m, s, &c, c.type == VALUE_BYTES && (c.field->flags & FIELD_TEXT));
    else if (field_is_scaled(c.field))
        load_scaled(m, s, &c);
    else
        load_plain(m, s, &c);
}

void kernel_load_raw(struct machine *m, const struct step *s)
{
    uint32_t at = column_of(m, s);
    if (at == PLAN_NONE) {
        load_null(m, s);
        return;
    }
    struct column c = batch_column(m->batch, at);
    if (m->regs[s->dst].kind == VEC_ANY)
        load_any(m, s, &c, true);
    else if (c.type == VALUE_STRING || c.type == VALUE_BYTES)
        load_text(m, s, &c, false);
    else
        load_plain(m, s, &c);
}

void kernel_load_quality(struct machine *m, const struct step *s)
{
    struct bytes *out = machine_out(m, s);
    uint32_t at = column_of(m, s);
    if (at == PLAN_NONE) {
        load_null(m, s);
        return;
    }
    struct column c = batch_column(m->batch, at);
    LOAD_EACH(m, i)
    out[i] = bytes_of_text(quality_name(column_quality(&c, m->base + i)));
}

void kernel_load_time(struct machine *m, const struct step *s)
{
    struct vec *out = &m->regs[s->dst];
    out->data = batch_times(m->batch) + m->base;
    out->valid = NULL;
}

void kernel_load_group(struct machine *m, const struct step *s)
{
    m->regs[s->dst].data = m->inputs[s->input].data;
    m->regs[s->dst].valid = m->inputs[s->input].valid;
}
