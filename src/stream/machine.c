/* The machine. See machine.h. */
#include "stream/machine.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MACHINE_TEXT_BLOCK_BYTES (16u << 10)

/* Writes a constant out for every row. */
static void constant_fill(struct machine *m, uint32_t reg, const struct value *v)
{
    struct vec *vec = &m->regs[reg];
    uint64_t *valid = m->words[reg];
    memset(valid, 0xff, sizeof m->words[reg]);
    vec->data = m->storage[reg];
    vec->valid = v->type == VALUE_NULL ? valid : NULL;
    for (uint32_t i = 0; i < VEC_ROWS; i++)
        vec_store(vec, valid, i, v);
}

static int registers_make(struct machine *m, const struct program *p)
{
    for (uint32_t i = 0; i < p->reg_count; i++) {
        m->regs[i].type = p->reg_types[i];
        m->regs[i].kind = vec_kind_of(p->reg_types[i]);
        m->storage[i] = calloc(VEC_ROWS, vec_width(m->regs[i].kind));
        if (!m->storage[i])
            return ERR_NOMEM;
        m->regs[i].data = m->storage[i];
    }
    for (uint32_t i = 0; i < p->constant_count; i++)
        constant_fill(m, i, &p->constants[i]);
    return OK;
}

int machine_init(struct machine *m, const struct program *p)
{
    memset(m, 0, sizeof *m);
    m->program = p;
    m->text.block_bytes = MACHINE_TEXT_BLOCK_BYTES;
    m->regs = calloc(p->reg_count + 1u, sizeof *m->regs);
    m->storage = calloc(p->reg_count + 1u, sizeof(void *));
    m->words = calloc(p->reg_count + 1u, sizeof *m->words);
    m->stack = calloc(p->narrow_max + 1u, sizeof *m->stack);
    m->lookups = calloc(p->lookup_count + 1u, sizeof *m->lookups);
    bool made = m->regs && m->storage && m->words && m->stack && m->lookups;
    /* What a plan borrows is const to the plan; here its tables are taken and given back. */
    for (uint32_t i = 0; made && i < p->lookup_count; i++)
        lookup_reader_open(&m->lookups[i], (struct lookup *)(uintptr_t)p->lookups[i]);
    int err = made ? registers_make(m, p) : ERR_NOMEM;
    if (err)
        machine_fini(m);
    return err;
}

void machine_fini(struct machine *m)
{
    for (uint32_t i = 0; m->storage && i < m->program->reg_count; i++)
        free(m->storage[i]);
    for (uint32_t i = 0; m->lookups && i < m->program->lookup_count; i++)
        lookup_reader_close(&m->lookups[i]);
    free(m->lookups);
    buf_fini(&m->key);
    free(m->regs);
    free(m->storage);
    free(m->words);
    free(m->stack);
    arena_fini(&m->text);
    memset(m, 0, sizeof *m);
}

void machine_chunk(struct machine *m, const struct batch *batch, uint32_t base, uint32_t rows)
{
    m->batch = batch;
    m->base = base;
    m->rows = rows;
    m->times = batch ? batch_times(batch) + base : NULL;
    for (uint32_t i = 0; i < m->program->lookup_count; i++)
        lookup_reader_refresh(&m->lookups[i]);
    m->selected = NULL;
    m->count = rows;
    m->stack_used = 0;
    if (m->any_failed)
        memset(m->failed, 0, sizeof m->failed);
    m->any_failed = false;
    m->error.text[0] = 0;
    arena_reset(&m->text);
}

void machine_run(struct machine *m, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        const struct step *s = &m->program->steps[i];
        s->fn(m, s);
    }
}

static bool row_passes(struct machine *m, const struct vec *v, uint32_t i)
{
    if ((m->any_failed && words_get(m->failed, i)) || vec_is_null(v, i))
        return false;
    if (v->kind == VEC_BOOL)
        return v->b[i] != 0;
    if (v->kind == VEC_ANY && v->v[i].type == VALUE_BOOL)
        return v->v[i].boolean;
    machine_fail(m, i, ERR_TYPE, "WHERE needs true or false, this is a %s",
                 value_type_name(v->kind == VEC_ANY ? v->v[i].type : v->type));
    return false;
}

void machine_where(struct machine *m, uint16_t reg, uint16_t *rows)
{
    const struct vec *v = &m->regs[reg];
    uint32_t kept = 0;
    EACH_ROW(m, i, {
        if (row_passes(m, v, i))
            rows[kept++] = (uint16_t)i;
    });
    m->selected = kept == m->rows ? NULL : rows;
    m->count = kept;
}

void machine_drop_failed(struct machine *m, uint16_t *rows)
{
    if (!m->any_failed)
        return;
    uint32_t kept = 0;
    EACH_ROW(m, i, {
        if (!words_get(m->failed, i))
            rows[kept++] = (uint16_t)i;
    });
    m->selected = rows;
    m->count = kept;
}

static __attribute__((format(printf, 3, 0))) void fail_with(struct machine *m, uint32_t row,
                                                            const char *format, va_list args)
{
    words_set(m->failed, row);
    if (!m->any_failed)
        vsnprintf(m->error.text, sizeof m->error.text, format, args);
    m->any_failed = true;
}

void machine_fail(struct machine *m, uint32_t row, int err, const char *format, ...)
{
    va_list args;
    (void)err;
    va_start(args, format);
    fail_with(m, row, format, args);
    va_end(args);
}

void step_fail(struct machine *m, const struct step *s, uint32_t i, int err, const char *format,
               ...)
{
    struct vec *out = &m->regs[s->dst];
    va_list args;
    (void)err;
    va_start(args, format);
    fail_with(m, i, format, args);
    va_end(args);
    if (out->valid != m->words[s->dst]) {
        uint64_t *words = m->words[s->dst];
        if (out->valid)
            memcpy(words, out->valid, sizeof m->words[s->dst]);
        else
            memset(words, 0xff, sizeof m->words[s->dst]);
        out->valid = words;
    }
    words_clear(m->words[s->dst], i);
    if (out->kind == VEC_ANY)
        ((struct value *)m->storage[s->dst])[i].type = VALUE_NULL;
}

uint64_t *machine_valid(struct machine *m, const struct step *s)
{
    uint64_t *words = m->words[s->dst];
    memset(words, 0xff, sizeof m->words[s->dst]);
    m->regs[s->dst].valid = words;
    return words;
}

void machine_valid_both(struct machine *m, const struct step *s, const struct vec *a,
                        const struct vec *b)
{
    struct vec *out = &m->regs[s->dst];
    const uint64_t *x = a->valid;
    const uint64_t *y = b ? b->valid : NULL;
    uint32_t words = (m->rows + 63) / 64;
    out->valid = NULL;
    if (!x && !y)
        return;
    uint64_t *w = m->words[s->dst];
    for (uint32_t k = 0; k < words; k++)
        w[k] = (x ? x[k] : UINT64_MAX) & (y ? y[k] : UINT64_MAX);
    out->valid = w;
}

void vec_store(const struct vec *out, uint64_t *valid, uint32_t i, const struct value *v)
{
    /* The vector's memory is the machine's own; only readers see it as const. */
    void *data = (void *)(uintptr_t)out->data;
    bool present = v->type != VALUE_NULL;
    assert(data);
    if (present)
        words_set(valid, i);
    else
        words_clear(valid, i);
    switch (out->kind) {
    case VEC_BOOL:
        ((uint8_t *)data)[i] = present && v->boolean;
        break;
    case VEC_F64: {
        double d = 0;
        if (present)
            (void)value_to_double(v, &d);
        ((double *)data)[i] = d;
        break;
    }
    case VEC_I64:
    case VEC_U64:
        ((uint64_t *)data)[i] = present ? v->u64 : 0;
        break;
    case VEC_TEXT:
        ((struct bytes *)data)[i] = present ? v->bytes : bytes_of("", 0);
        break;
    case VEC_ANY:
        ((struct value *)data)[i] = *v;
        break;
    }
}
