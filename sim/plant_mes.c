/* The plant's MES as an HTTP API: orders, routing, recipes, characteristics, operators, rota,
 * feeders, paste; verdicts and holds come back. Routes are in docs/simulators.md. Times are RFC
 * 3339; `to` is null while a row holds. */
#include "base/clock.h"
#include "base/str.h"
#include "config/tree.h"
#include "sim/plant_ports.h"

#include <stdlib.h>

#define ROUTES (sizeof routes / sizeof routes[0])

static void print_time(const struct plant *p, const char *name, int64_t t, struct buf *out)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    if (t == INT64_MAX) {
        (void)buf_printf(out, ",\"%s\":null", name);
        return;
    }
    int64_t wall = plant_wall(p, t);
    (void)clock_format(wall, text);
    (void)buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void print_validity(const struct plant *p, const struct book_row *row, struct buf *out)
{
    print_time(p, "from", row->from_us, out);
    print_time(p, "to", row->to_us, out);
    (void)buf_append_text(out, "}");
}

/* `?since=TIME`: only rows that held then or later; INT64_MIN = all. */
static bool since_read(const struct plant *p, struct bytes query, int64_t *ret)
{
    *ret = INT64_MIN;
    while (query.len > 0) {
        struct bytes pair;
        struct bytes key;
        int64_t wall;
        query = str_split(query, '&', &pair);
        struct bytes value = str_split(pair, '=', &key);
        if (!str_equal(key, "since"))
            continue;
        if (clock_parse(value, &wall))
            return false;
        *ret = plant_time(p, wall);
    }
    return true;
}

typedef void print_row(const struct plant *p, const struct book_row *row, struct buf *out);

static void print_book(const struct plant *p, const struct book *b, int64_t since, print_row *print,
                       struct buf *out)
{
    bool first = true;
    (void)buf_append_text(out, "[");
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->rows[i].to_us < since)
            continue;
        (void)buf_append_text(out, first ? "\n{" : ",\n{");
        first = false;
        print(p, &b->rows[i], out);
        print_validity(p, &b->rows[i], out);
    }
    (void)buf_append_text(out, "]\n");
}

static void print_order(const struct plant *p, const struct book_row *row, struct buf *out)
{
    (void)p;
    (void)buf_printf(out, "\"order\":\"%s\",\"product\":\"%s\",\"quantity\":%u", row->what,
                     row->part, row->number);
}

static void print_recipe(const struct plant *p, const struct book_row *row, struct buf *out)
{
    (void)p;
    (void)buf_printf(out, "\"product\":\"%s\",\"revision\":\"R%u\"", row->where, row->number);
}

static void print_rota(const struct plant *p, const struct book_row *row, struct buf *out)
{
    (void)p;
    (void)buf_printf(out, "\"station\":\"%s\",\"operator\":\"%s\"", row->where, row->what);
}

static void print_feeder(const struct plant *p, const struct book_row *row, struct buf *out)
{
    (void)p;
    const char *slot = strchr(row->where, '.');
    (void)buf_printf(out,
                     "\"feeder\":\"%s\",\"station\":\"%.*s\",\"slot\":\"%s\",\"part\":\"%s\","
                     "\"lot\":\"%s\"",
                     row->where, (int)(slot - row->where), row->where, slot + 1, row->part,
                     row->what);
}

static void print_paste(const struct plant *p, const struct book_row *row, struct buf *out)
{
    (void)p;
    (void)buf_printf(out, "\"station\":\"%s\",\"part\":\"%s\",\"lot\":\"%s\"", row->where,
                     row->part, row->what);
}

static void print_routing(const struct plant *p, struct buf *out)
{
    static const uint8_t routing[] = {PRINTER, SPI,     PLACER_A, PLACER_B, OVEN,
                                      AOI,     DEPANEL, ICT,      REWORK};
    static const int number[] = {10, 20, 30, 30, 40, 50, 60, 70, 80};
    (void)buf_append_text(out, "[");
    for (unsigned product = 0; product < 2; product++) {
        for (unsigned i = 0; i < sizeof routing; i++) {
            (void)buf_printf(
                out, "%s{\"product\":\"%s\",\"step\":%d,\"station\":\"%s\",\"optional\":%s}",
                product + i ? ",\n" : "\n", p->products[product].text, number[i],
                renamed(&p->names, plant_station_names[routing[i]]).text,
                routing[i] == REWORK ? "true" : "false");
        }
    }
    (void)buf_append_text(out, "]\n");
}

static void print_characteristics(const struct plant *p, struct buf *out)
{
    struct buf marked = {0};
    (void)buf_append_text(&marked, "[");
    for (unsigned i = 0; i < 2; i++) {
        const char *product = p->products[i].text;
        (void)buf_printf(
            &marked,
            "%s{\"product\":\"%s\",\"name\":\"@offset\",\"station\":\"@spi\",\"lower\":null,"
            "\"upper\":45,\"target\":0,\"uom\":\"um\",\"revision\":1},\n"
            "{\"product\":\"%s\",\"name\":\"@volume\",\"station\":\"@spi\",\"lower\":70,"
            "\"upper\":130,\"target\":100,\"uom\":\"%%\",\"revision\":1},\n"
            "{\"product\":\"%s\",\"name\":\"@resistance\",\"station\":\"@ict\",\"lower\":9.5,"
            "\"upper\":10.5,\"target\":10,\"uom\":\"kOhm\",\"revision\":1}",
            i ? ",\n" : "\n", product, product, product);
    }
    (void)buf_append_text(&marked, "]\n");
    renamed_text(&p->names, buf_text(&marked), out);
    buf_fini(&marked);
}

static void print_operators(const struct plant *p, struct buf *out)
{
    (void)buf_append_text(out, "[");
    for (unsigned station = 0; station < STATIONS; station++) {
        for (unsigned i = 0; i < OPERATORS; i++) {
            char badge[NAME_BYTES];
            book_badge(p, (enum machine)station, i, badge);
            (void)buf_printf(out, "%s{\"operator\":\"%s\",\"station\":\"%s\"}",
                             station + i ? ",\n" : "\n", badge,
                             renamed(&p->names, plant_station_names[station]).text);
        }
    }
    (void)buf_append_text(out, "]\n");
}

/* ---------------------------------------------------------------------------- what comes back in
 */

static void post_keep(char ***list, uint32_t *count, const char *text)
{
    if (*count == MES_POSTS_MAX) {
        free((*list)[0]);
        memmove(*list, *list + 1, (MES_POSTS_MAX - 1) * sizeof **list);
        --*count;
    }
    char **grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown)
        return;
    *list = grown;
    grown[*count] = strdup(text);
    *count += grown[*count] != NULL;
}

static bool post_object(struct plant_mes *m, bool hold, const struct tree *object)
{
    struct buf text = {0};
    const char *serial = tree_text(tree_get(object, "serial"));
    if (serial[0] == '\0' || tree_print_json(object, &text)) {
        buf_fini(&text);
        return false;
    }
    if (hold) {
        if (m->book == m->plant) /* a past happens as it happened */
            (void)plant_hold(m->plant, serial);
        post_keep(&m->holds, &m->hold_count, buf_text(&text));
    } else {
        post_keep(&m->verdicts, &m->verdict_count, buf_text(&text));
    }
    buf_fini(&text);
    return true;
}

/* An object with a serial, or a list of such; nothing is taken of a list with a wrong one. */
static int post(struct plant_mes *m, bool hold, struct bytes body, struct buf *out)
{
    struct arena arena = {0};
    struct tree *root = NULL;
    struct diag diag = {0};
    uint32_t taken = 0;
    int err = tree_parse_json(&arena, "", body, &root, &diag);
    const struct tree *first = !err && root->kind == TREE_LIST ? root->first : root;
    for (const struct tree *item = first; !err && item; item = item->next) {
        if (tree_text(tree_get(item, "serial"))[0] == '\0')
            err = ERR_INVALID;
    }
    for (const struct tree *item = first; !err && item; item = item->next)
        taken += post_object(m, hold, item);
    arena_fini(&arena);
    if (err)
        (void)buf_append_text(out,
                              "{\"error\":\"a JSON object with a serial, or a list of such\"}");
    else
        (void)buf_printf(out, "{\"taken\":%u}\n", taken);
    return err ? 400 : 200;
}

static void print_posts(char *const *list, uint32_t count, struct buf *out)
{
    (void)buf_append_text(out, "[");
    for (uint32_t i = 0; i < count; i++)
        (void)buf_printf(out, "%s%s", i ? ",\n" : "\n", list[i]);
    (void)buf_append_text(out, "]\n");
}

/* ---------------------------------------------------------------------------------------- routes
 */

struct book_route {
    const char *path;
    size_t book; /* in struct plant */
    print_row *print;
};

static const struct book_route routes[] = {
    {"/orders", offsetof(struct plant, orders), print_order},
    {"/recipes", offsetof(struct plant, recipes), print_recipe},
    {"/rota", offsetof(struct plant, rota), print_rota},
    {"/feeders", offsetof(struct plant, reels), print_feeder},
    {"/paste", offsetof(struct plant, paste), print_paste},
};

static int get_book(struct plant_mes *m, struct bytes path, struct bytes query, struct buf *out)
{
    int64_t since;
    const struct plant *p = m->book;
    for (size_t i = 0; i < ROUTES; i++) {
        if (!str_equal(path, routes[i].path))
            continue;
        if (!since_read(p, query, &since)) {
            (void)buf_append_text(out, "{\"error\":\"since is a time: 2026-11-22T08:30:00Z\"}\n");
            return 400;
        }
        const struct book *b = (const void *)((const char *)p + routes[i].book);
        m->asked++;
        print_book(p, b, since, routes[i].print, out);
        return 200;
    }
    (void)buf_append_text(out, "{\"error\":\"there are /orders /routing /recipes /characteristics"
                               " /operators /rota /feeders /paste /verdicts /holds\"}\n");
    return 404;
}

static int get(struct plant_mes *m, struct bytes path, struct bytes query, struct buf *out)
{
    if (str_equal(path, "/routing"))
        print_routing(m->plant, out);
    else if (str_equal(path, "/characteristics"))
        print_characteristics(m->plant, out);
    else if (str_equal(path, "/operators"))
        print_operators(m->plant, out);
    else if (str_equal(path, "/verdicts"))
        print_posts(m->verdicts, m->verdict_count, out);
    else if (str_equal(path, "/holds"))
        print_posts(m->holds, m->hold_count, out);
    else
        return get_book(m, path, query, out);
    return 200;
}

int plant_mes_answer(void *ctx, struct bytes method, struct bytes path, struct bytes query,
                     struct bytes body, struct buf *out)
{
    struct plant_mes *m = ctx;
    if (m->book == m->plant)
        plant_run(m->plant, plant_time(m->plant, clock_wall_us()));
    bool hold = str_equal(path, "/holds");
    if (str_equal(method, "GET"))
        return get(m, path, query, out);
    if (str_equal(method, "POST") && (hold || str_equal(path, "/verdicts")))
        return post(m, hold, body, out);
    (void)buf_append_text(out, "{\"error\":\"GET, or POST of /verdicts and /holds\"}\n");
    return 405;
}

void plant_mes_free(struct plant_mes *m)
{
    for (uint32_t i = 0; i < m->verdict_count; i++)
        free(m->verdicts[i]);
    for (uint32_t i = 0; i < m->hold_count; i++)
        free(m->holds[i]);
    free(m->verdicts);
    free(m->holds);
}
