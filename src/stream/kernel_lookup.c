/* Looking up rows as of a moment, and taking their values. See bind_lookup.c.
 *
 * The machine holds on to one table of each lookup for a whole chunk, so that a row's number and
 * the texts of its columns stay good until the chunk is out.
 */
#include "model/lookup.h"
#include "stream/kernels.h"

/* The row's key; false: a part of it is null. */
static bool key_of(const struct machine *m, const struct step *s, uint32_t i, struct buf *key)
{
    buf_reset(key);
    for (uint16_t k = 0; k < s->arg_count; k++) {
        struct value v = vec_value(&m->regs[s->args[k]], i);
        if (lookup_key_append(key, &v) != OK)
            return false;
    }
    return true;
}

void kernel_lookup_find(struct machine *m, const struct step *s)
{
    const struct lookup_reader *r = &m->lookups[s->input];
    uint64_t *valid = machine_valid(m, s);
    int64_t *out = machine_out(m, s);
    uint64_t missed = 0;
    m->regs[s->dst].valid = valid;
    EACH_ROW(m, i, {
        int64_t row = LOOKUP_NONE;
        if (r->table && key_of(m, s, i, &m->key)) {
            row = lookup_find(r->table, buf_bytes(&m->key), m->times[i]);
            missed += row == LOOKUP_NONE;
        }
        out[i] = row;
        if (row == LOOKUP_NONE)
            words_clear(valid, i);
    });
    if (!r->table)
        atomic_fetch_add_explicit(&r->lookup->unloaded, m->count, memory_order_relaxed);
    if (missed)
        atomic_fetch_add_explicit(&r->lookup->missed, missed, memory_order_relaxed);
}

void kernel_lookup_column(struct machine *m, const struct step *s)
{
    const struct lookup_reader *r = &m->lookups[s->input];
    const struct batch *b = r->table ? lookup_rows(r->table) : NULL;
    const struct vec *rows = &m->regs[s->args[0]];
    uint64_t *valid = machine_valid(m, s);
    (void)machine_out(m, s);
    struct vec *out = &m->regs[s->dst];
    out->valid = valid;
    struct column c = {0};
    if (b)
        c = batch_column(b, s->op);
    EACH_ROW(m, i, {
        struct value v = {.type = VALUE_NULL};
        if (b && !vec_is_null(rows, i))
            v = column_value(&c, (uint32_t)rows->i[i]);
        vec_store(out, valid, i, &v);
    });
}
