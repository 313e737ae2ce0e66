/* What the MES knows of the plant: orders, recipes, who works where, which lot lies on which
 * feeder.
 *
 * Lots come from pools of three: a feeder gets a reel of one of them, by chance, so that a lot
 * comes and goes many times in its life, on both machines, and so do the lots of paste. Operators
 * change places every rota period. A bad lot, or an operator who sets up badly, is one among
 * others. */
#include "sim/plant.h"

#include <math.h>
#include <stdlib.h>

#define PASTE_PART      "PASTE-SAC305"
#define POOL            3
#define LOT_ENDS        0.06 /* how often a new reel is of a lot nobody has had yet */
#define BAD_SHARE       0.3  /* of the reels put on during the fault */
#define REEL_PANELS_MIN 20
#define REEL_PANELS     25
#define JAR_PANELS_MIN  12
#define JAR_PANELS      16
#define REVISION_ODDS   10
#define SETUP_UM        6.0
#define SETUP_BAD_UM    70.0

/* Closes the row before of the same place and opens one. Above BOOK_ROWS_MAX the older half goes.
 */
static void row_add(struct book *b, const struct book_row *row, bool close)
{
    for (uint32_t i = b->count; close && i-- > 0;) {
        if (b->rows[i].to_us == INT64_MAX && strcmp(b->rows[i].where, row->where) == 0) {
            b->rows[i].to_us = row->from_us;
            break;
        }
    }
    if (b->count == BOOK_ROWS_MAX) {
        b->count /= 2;
        memmove(b->rows, b->rows + b->count, b->count * sizeof *b->rows);
    }
    if (b->count == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 64;
        struct book_row *grown = realloc(b->rows, cap * sizeof *grown);
        if (!grown)
            return; /* the book lacks a row; the plant goes on */
        b->rows = grown;
        b->cap = cap;
    }
    b->rows[b->count++] = *row;
}

static void name_copy(const struct plant *p, const char *word, char out[static NAME_BYTES])
{
    struct name n = renamed(&p->names, word);
    memcpy(out, n.text, sizeof n.text);
}

static void lot_print(const struct plant *p, uint64_t stamp, uint32_t number,
                      char out[static NAME_BYTES])
{
    char own[NAME_BYTES];
    (void)snprintf(own, sizeof own, "L%04llu-%05u", (unsigned long long)stamp, number);
    name_copy(p, own, out);
}

static void lot_name(struct plant *p, char out[static NAME_BYTES])
{
    uint64_t stamp = rand_below(&p->rand_book, 9000) + 1000;
    lot_print(p, stamp, ++p->lots, out);
}

static void pool_fill(struct plant *p, struct lot_pool *pool)
{
    for (unsigned i = 0; i < POOL; i++)
        lot_name(p, pool->lots[i]);
}

/* The lot's name for as long as the fault lasts: made from its number, not drawn. */
static void bad_name(const struct plant *p, enum fault kind, int64_t t, char out[static NAME_BYTES])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->scenario.fault_count; i++) {
        const struct fault_spec *f = &p->scenario.faults[i];
        if (f->kind == (int)kind && t >= f->start_us)
            n = i + 1;
    }
    uint64_t stamp = 1000 + (p->scenario.seed * 733 + (uint64_t)kind * 389 + n * 97) % 9000;
    lot_print(p, stamp, 70000 + n, out);
}

static void lot_draw(struct plant *p, struct lot_pool *pool, enum fault kind, bool may_be_bad,
                     struct book_row *row)
{
    double fault = may_be_bad ? air_fault(p, kind, row->from_us) : 0;
    bool bad = rand_double(&p->rand_book) < BAD_SHARE; /* drawn in any case: the same sequence */
    if (rand_double(&p->rand_book) < LOT_ENDS)
        lot_name(p, pool->lots[pool->next++ % POOL]);
    uint64_t pick = rand_below(&p->rand_book, POOL);
    row->bad = fault > 0 && bad;
    if (row->bad)
        bad_name(p, kind, row->from_us, row->what);
    else
        (void)snprintf(row->what, sizeof row->what, "%s", pool->lots[pick]);
}

static void reel_change(struct plant *p, unsigned placer, unsigned slot, int64_t t)
{
    struct feeder *f = &p->feeders[placer][slot];
    struct book_row row = {.from_us = t, .to_us = INT64_MAX};
    char own[NAME_BYTES];
    (void)snprintf(own, sizeof own, "f%u", slot + 1);
    (void)snprintf(row.where, sizeof row.where, "%.16s.%.5s",
                   renamed(&p->names, plant_station_names[PLACER_A + placer]).text,
                   renamed(&p->names, own).text);
    name_copy(p, plant_parts[slot], row.part);
    lot_draw(p, &p->part_pools[slot], BAD_REEL_LOT, slot == 0, &row);
    f->left = REEL_PANELS_MIN + (uint32_t)rand_below(&p->rand_book, REEL_PANELS);
    f->now = row;
    row_add(&p->reels, &row, true);
}

static void jar_change(struct plant *p, int64_t t)
{
    struct book_row row = {.from_us = t, .to_us = INT64_MAX};
    name_copy(p, PASTE_PART, row.part);
    name_copy(p, plant_station_names[PRINTER], row.where);
    lot_draw(p, &p->paste_pool, OLD_PASTE, true, &row);
    p->jar.left = JAR_PANELS_MIN + (uint32_t)rand_below(&p->rand_book, JAR_PANELS);
    p->jar.now = row;
    row_add(&p->paste, &row, true);
}

static void consume(struct unit *u, const struct book_row *row, enum machine station)
{
    if (u->consumed_count == CONSUMED_MAX)
        return;
    struct consumed *c = &u->consumed[u->consumed_count++];
    memcpy(c->lot, row->what, sizeof c->lot);
    memcpy(c->part, row->part, sizeof c->part);
    c->station = (uint8_t)station;
}

/* A bad lot is taken off when the fault is over. */
static bool recalled(const struct plant *p, const struct book_row *row, enum fault kind, int64_t t)
{
    return row->bad && air_fault(p, kind, t) <= 0;
}

void book_consume_paste(struct plant *p, struct unit *u, int64_t t)
{
    if (p->jar.left == 0 || recalled(p, &p->jar.now, OLD_PASTE, t))
        jar_change(p, t);
    p->jar.left--;
    consume(u, &p->jar.now, PRINTER);
    u->slump = p->jar.now.bad ? air_fault(p, OLD_PASTE, t) : 0;
}

void book_consume_parts(struct plant *p, struct unit *u, int64_t t)
{
    unsigned placer = u->placer;
    for (unsigned slot = 0; slot < FEEDERS; slot++) {
        struct feeder *f = &p->feeders[placer][slot];
        if (f->left == 0 || recalled(p, &f->now, BAD_REEL_LOT, t))
            reel_change(p, placer, slot, t);
        f->left--;
        consume(u, &f->now, PLACER_A + placer);
    }
    u->wetting = p->feeders[placer][0].now.bad ? air_fault(p, BAD_REEL_LOT, t) : 0;
}

/* ------------------------------------------------------------------------------------- operators
 */

void book_badge(const struct plant *p, enum machine station, unsigned which,
                char out[static NAME_BYTES])
{
    char own[NAME_BYTES];
    (void)snprintf(own, sizeof own, "W%u", 1000 + (unsigned)station * 16 + which * 3 + 1);
    name_copy(p, own, out);
}

void book_operator(const struct plant *p, enum machine station, char out[static NAME_BYTES])
{
    book_badge(p, station, p->operators[station], out);
}

/* The stencil is set up anew: by whoever is at the printer. */
void book_setup(struct plant *p, int64_t t)
{
    double fault = air_fault(p, OPERATOR_SETUP, t);
    double side = rand_below(&p->rand_book, 2) ? 1 : -1;
    p->setup_bad = fault > 0 && p->operators[PRINTER] == p->scenario.seed % OPERATORS;
    p->setup_um = SETUP_UM * rand_normal(&p->rand_book);
    if (p->setup_bad)
        p->setup_um += side * SETUP_BAD_UM * fault;
}

void book_rota_change(struct plant *p, int64_t t)
{
    for (unsigned i = 0; i < STATIONS; i++) {
        struct book_row row = {.from_us = t, .to_us = INT64_MAX};
        p->operators[i] = (uint8_t)rand_below(&p->rand_book, OPERATORS);
        name_copy(p, plant_station_names[i], row.where);
        book_operator(p, (enum machine)i, row.what);
        row_add(&p->rota, &row, true);
    }
    p->rota_us = t + p->scenario.rota_us;
    book_setup(p, t);
}

/* ---------------------------------------------------------------------------------------- orders
 */

static void recipe_change(struct plant *p, unsigned product, int64_t t)
{
    struct book_row row = {.from_us = t, .to_us = INT64_MAX, .number = ++p->revision[product]};
    name_copy(p, plant_products[product], row.where);
    row_add(&p->recipes, &row, true);
}

static void order_start(struct plant *p, int64_t t)
{
    struct book_row row = {.from_us = t, .to_us = INT64_MAX, .where = "line"};
    p->order_number++;
    p->order_left = p->scenario.order_panels;
    p->product = (uint8_t)(p->order_number % 2 ? 0 : 1);
    (void)snprintf(row.what, sizeof row.what, "WO-%05llu", (unsigned long long)p->order_number);
    name_copy(p, plant_products[p->product], row.part);
    row.number = (uint32_t)p->scenario.order_panels;
    row_add(&p->orders, &row, true);
    if (rand_below(&p->rand_book, REVISION_ODDS) == 0)
        recipe_change(p, p->product, t);
}

void book_order_next(struct plant *p, int64_t t)
{
    p->changeover = p->order_left == 0;
    if (p->changeover)
        order_start(p, t);
    p->order_left--;
}

int book_start(struct plant *p)
{
    for (unsigned i = 0; i < FEEDERS; i++)
        pool_fill(p, &p->part_pools[i]);
    pool_fill(p, &p->paste_pool);
    for (unsigned i = 0; i < 2 * FEEDERS; i++)
        reel_change(p, i / FEEDERS, i % FEEDERS, 0);
    jar_change(p, 0);
    recipe_change(p, 0, 0);
    recipe_change(p, 1, 0);
    order_start(p, 0);
    book_rota_change(p, 0);
    return p->orders.rows && p->recipes.rows && p->rota.rows && p->reels.rows && p->paste.rows
               ? OK
               : ERR_NOMEM;
}

void book_free(struct plant *p)
{
    free(p->orders.rows);
    free(p->recipes.rows);
    free(p->rota.rows);
    free(p->reels.rows);
    free(p->paste.rows);
}
