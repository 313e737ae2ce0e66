/* An answer of trace.unit on a terminal. See trace.h.
 *
 * The answer's lists are JSON; the configuration's reader makes trees of them. A curve is one line
 * of eight heights, as wide as the terminal allows.
 */
#include "base/clock.h"
#include "base/str.h"
#include "config/tree.h"
#include "trace/trace_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PRINT_COLUMNS_MAX 12
#define PRINT_WIDTH_MIN   40
#define PRINT_WIDTH       80
#define SPARK_CELLS_MAX   60

struct print {
    const struct trace_print_options *options;
    struct buf *out;
    struct arena arena;
};

/* ----------------------------------------------------------------------------------------- cells
 */

/* Characters shown, counting those of East Asia twice. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (const char *p = text; *p; p++) {
        uint8_t c = (uint8_t)*p;
        if ((c & 0xc0) != 0x80)
            width += c >= 0xe3 ? 2 : 1;
    }
    return width;
}

static void print_colour(struct print *p, const char *word)
{
    if (!p->options->colour)
        return;
    const char *code = "0";
    if (strcmp(word, "pass") == 0 || strcmp(word, "yes") == 0)
        code = "32";
    else if (strcmp(word, "fail") == 0 || strcmp(word, "no") == 0 || strcmp(word, "missing") == 0)
        code = "31";
    else if (strcmp(word, "inferred") == 0 || strcmp(word, "ambiguous") == 0)
        code = "33";
    (void)buf_printf(p->out, "\x1b[%sm", code);
}

/* "2026-11-22 08:30:00.123" in the reader's zone; the text itself if it is no time. */
static const char *print_time(struct print *p, const char *text)
{
    char out[CLOCK_TEXT_BYTES_MAX];
    int64_t us = 0;
    if (!text[0] || clock_parse(bytes_of_text(text), &us))
        return text;
    us += p->options->utc_offset_s * 1000000;
    us -= ((us % 1000) + 1000) % 1000; /* milliseconds are enough here */
    size_t len = clock_format(us, out);
    if (len && out[len - 1] == 'Z')
        out[len - 1] = 0;
    out[10] = ' ';
    return arena_text(&p->arena, out);
}

/* At most six digits: the exact value is in the JSON. */
static const char *print_number(struct print *p, const char *text)
{
    double v = 0;
    if (!text[0] || str_to_double(bytes_of_text(text), &v))
        return text;
    return arena_printf(&p->arena, "%.6g", v);
}

/* A measured quantity likewise; a whole number may be somebody's number, and stays. */
static const char *print_value(struct print *p, const char *text)
{
    return strchr(text, '.') ? print_number(p, text) : text;
}

static const char *field(const struct tree *row, const char *name)
{
    const struct tree *t = tree_get(row, name);
    return t && t->kind == TREE_TEXT ? tree_text(t) : ""; /* null is nothing */
}

/* ----------------------------------------------------------------------------------------- table
 */

struct table {
    const char *titles[PRINT_COLUMNS_MAX];
    uint32_t columns;
    const char **cells;
    uint32_t rows;
};

static void table_line(struct print *p, const struct table *t, const size_t *widths,
                       const char *const *cells)
{
    for (uint32_t i = 0; i < t->columns; i++) {
        const char *text = cells[i] ? cells[i] : "";
        size_t pad = widths[i] - text_width(text);
        print_colour(p, text);
        (void)buf_append_text(p->out, text);
        if (p->options->colour)
            (void)buf_append_text(p->out, "\x1b[0m");
        if (i + 1 < t->columns)
            (void)buf_printf(p->out, "%*s", (int)pad + 2, "");
    }
    (void)buf_append_u8(p->out, '\n');
}

static void table_print(struct print *p, const struct table *t)
{
    size_t widths[PRINT_COLUMNS_MAX] = {0};
    for (uint32_t i = 0; i < t->columns; i++) {
        widths[i] = text_width(t->titles[i]);
        for (uint32_t r = 0; r < t->rows; r++) {
            const char *cell = t->cells[r * t->columns + i];
            size_t width = cell ? text_width(cell) : 0;
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    table_line(p, t, widths, t->titles);
    for (uint32_t r = 0; r < t->rows; r++)
        table_line(p, t, widths, &t->cells[r * t->columns]);
    (void)buf_append_u8(p->out, '\n');
}

/* A column of a section: its title, the member it shows, how, and whether it is left out where it
 * would say nothing. */
enum column_form {
    FORM_TEXT,
    FORM_TIME,
    FORM_NUMBER,
    FORM_VALUE, /* a text that may be a number */
    FORM_YES,   /* true: yes, false: no */
    FORM_SURE,  /* a probability below 1: possible, nothing else */
    FORM_SHARE, /* below 1: in percent */
};

struct section_column {
    const char *title;
    const char *member;
    enum column_form form;

    enum { SHOWN_ALWAYS, SHOWN_IF_ANY, SHOWN_IF_DIFFERENT, SHOWN_IF_UNSURE } shown;
};

static const struct section_column step_columns[] = {
    {"STATION", "station", FORM_TEXT, SHOWN_ALWAYS},
    {"OPERATION", "operation", FORM_TEXT, SHOWN_ALWAYS},
    {"VISIT", "visit", FORM_TEXT, SHOWN_IF_DIFFERENT},
    {"OF", "of", FORM_TEXT, SHOWN_IF_DIFFERENT},
    {"IN", "t_in", FORM_TIME, SHOWN_ALWAYS},
    {"OUT", "t_out", FORM_TIME, SHOWN_ALWAYS},
    {"OPERATOR", "operator", FORM_TEXT, SHOWN_IF_ANY},
    {"RECIPE", "recipe", FORM_TEXT, SHOWN_IF_ANY},
    {"ORDER", "order", FORM_TEXT, SHOWN_IF_ANY},
    {"STATUS", "status", FORM_TEXT, SHOWN_ALWAYS},
    {"VERDICT", "verdict", FORM_TEXT, SHOWN_ALWAYS},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};
static const struct section_column measure_columns[] = {
    {"MEASURE", "characteristic", FORM_TEXT, SHOWN_ALWAYS},
    {"OPERATION", "operation", FORM_TEXT, SHOWN_IF_DIFFERENT},
    {"VALUE", "value", FORM_NUMBER, SHOWN_ALWAYS},
    {"LOWER", "lower", FORM_NUMBER, SHOWN_ALWAYS},
    {"UPPER", "upper", FORM_NUMBER, SHOWN_ALWAYS},
    {"UNIT", "uom", FORM_TEXT, SHOWN_ALWAYS},
    {"OK", "ok", FORM_YES, SHOWN_ALWAYS},
    {"COVERED", "covered", FORM_SHARE, SHOWN_IF_UNSURE},
    {"HOW SURE", "probability", FORM_SURE, SHOWN_IF_UNSURE},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};
static const struct section_column defect_columns[] = {
    {"DEFECT", "defect", FORM_TEXT, SHOWN_ALWAYS},
    {"POSITION", "position", FORM_TEXT, SHOWN_ALWAYS},
    {"STATION", "station", FORM_TEXT, SHOWN_ALWAYS},
    {"OPERATION", "operation", FORM_TEXT, SHOWN_ALWAYS},
    {"OF", "of", FORM_TEXT, SHOWN_IF_DIFFERENT},
    {"FOUND", "detected_at", FORM_TIME, SHOWN_ALWAYS},
    {"HOW SURE", "probability", FORM_SURE, SHOWN_IF_UNSURE},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};
static const struct section_column factor_columns[] = {
    {"MADE WITH", "name", FORM_TEXT, SHOWN_ALWAYS},
    {"VALUE", "value", FORM_VALUE, SHOWN_ALWAYS},
    {"KIND", "kind", FORM_TEXT, SHOWN_ALWAYS},
    {"OPERATION", "operation", FORM_TEXT, SHOWN_ALWAYS},
    {"AT", "at", FORM_TIME, SHOWN_ALWAYS},
    {"OF THE STAY", "share", FORM_SHARE, SHOWN_IF_UNSURE},
    {"HOW SURE", "probability", FORM_SURE, SHOWN_IF_UNSURE},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};
static const struct section_column parent_columns[] = {
    {"MADE FROM", "parent", FORM_TEXT, SHOWN_ALWAYS},
    {"INTO", "child", FORM_TEXT, SHOWN_ALWAYS},
    {"LINK", "kind", FORM_TEXT, SHOWN_ALWAYS},
    {"POSITION", "position", FORM_TEXT, SHOWN_IF_DIFFERENT},
    {"QUANTITY", "quantity", FORM_NUMBER, SHOWN_IF_ANY},
    {"AT", "at", FORM_TIME, SHOWN_ALWAYS},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};
static const struct section_column child_columns[] = {
    {"BECAME", "child", FORM_TEXT, SHOWN_ALWAYS},
    {"FROM", "parent", FORM_TEXT, SHOWN_ALWAYS},
    {"LINK", "kind", FORM_TEXT, SHOWN_ALWAYS},
    {"POSITION", "position", FORM_TEXT, SHOWN_IF_DIFFERENT},
    {"QUANTITY", "quantity", FORM_NUMBER, SHOWN_IF_ANY},
    {"AT", "at", FORM_TIME, SHOWN_ALWAYS},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};

static const struct section_column bearer_columns[] = {
    {"SERIAL BORNE", "serial", FORM_TEXT, SHOWN_ALWAYS},
    {"FROM", "from", FORM_TIME, SHOWN_ALWAYS},
    {"TO", "to", FORM_TIME, SHOWN_ALWAYS},
    {"THIS ONE", "this", FORM_YES, SHOWN_ALWAYS},
    {NULL, NULL, FORM_TEXT, SHOWN_ALWAYS},
};

/* What is less than all of it, in percent. */
static const char *print_share(struct print *p, const char *text)
{
    double v = 1;
    if (!text[0] || str_to_double(bytes_of_text(text), &v) || !(v < 1))
        return "";
    return arena_printf(&p->arena, "%.3g %%", 100 * v);
}

/* Of what may have been of another unit: how likely it was of this one. */
static const char *print_sure(struct print *p, const char *text)
{
    const char *share = print_share(p, text);
    return share && share[0] ? arena_printf(&p->arena, "possible, %s", share) : share;
}

static bool column_is_unsure(struct print *p, const struct tree *list,
                             const struct section_column *c)
{
    bool unsure = false;
    for (const struct tree *row = list->first; row; row = row->next)
        unsure = unsure || print_sure(p, field(row, c->member))[0];
    return unsure;
}

static bool column_says_something(struct print *p, const struct tree *list,
                                  const struct section_column *c)
{
    if (c->shown == SHOWN_IF_UNSURE)
        return column_is_unsure(p, list, c);
    const char *first = list->first ? field(list->first, c->member) : "";
    bool different = false;
    for (const struct tree *row = list->first; row; row = row->next)
        different = different || strcmp(field(row, c->member), first) != 0;
    return c->shown == SHOWN_ALWAYS || different || (c->shown == SHOWN_IF_ANY && first[0]);
}

static const char *section_cell(struct print *p, const struct tree *row,
                                const struct section_column *c)
{
    const char *text = field(row, c->member);
    if (c->form == FORM_TIME)
        return print_time(p, text);
    if (c->form == FORM_NUMBER)
        return print_number(p, text);
    if (c->form == FORM_VALUE)
        return field(row, "number")[0] ? print_value(p, text) : text;
    if (c->form == FORM_YES)
        return strcmp(text, "true") == 0 ? "yes" : strcmp(text, "false") == 0 ? "no" : "";
    if (c->form == FORM_SURE)
        return print_sure(p, text);
    if (c->form == FORM_SHARE)
        return print_share(p, text);
    return text;
}

static int print_section(struct print *p, const struct tree *list,
                         const struct section_column *columns)
{
    const struct section_column *shown[PRINT_COLUMNS_MAX];
    struct table t = {0};
    if (list->count == 0)
        return OK;
    for (const struct section_column *c = columns; c->title; c++) {
        if (!column_says_something(p, list, c))
            continue;
        shown[t.columns] = c;
        t.titles[t.columns++] = c->title;
    }
    t.cells = arena_array(&p->arena, (size_t)list->count * t.columns, sizeof *t.cells);
    if (!t.cells)
        return ERR_NOMEM;
    for (const struct tree *row = list->first; row; row = row->next, t.rows++)
        for (uint32_t i = 0; i < t.columns; i++)
            t.cells[t.rows * t.columns + i] = section_cell(p, row, shown[i]);
    table_print(p, &t);
    return OK;
}

/* Whom the visit may have been of instead. */
static void print_others(struct print *p, const struct tree *row)
{
    const struct tree *list = tree_get(row, "others");
    if (!list || !list->first)
        return;
    (void)buf_printf(p->out, "  %s; it may have been", print_sure(p, field(row, "probability")));
    for (const struct tree *other = list->first; other; other = other->next) {
        const char *serial = field(other, "serial");
        const char *sure = print_sure(p, field(other, "probability"));
        (void)buf_printf(p->out, "%s %s (%s)", other == list->first ? "" : ",",
                         serial[0] ? serial : field(other, "unit"), sure);
    }
    (void)buf_append_text(p->out, "\n");
}

static int print_steps(struct print *p, const struct tree *list)
{
    int err = print_section(p, list, step_columns);
    for (const struct tree *row = list->first; row; row = row->next) {
        const char *status = field(row, "status");
        if (strcmp(status, "exact") == 0 || strcmp(status, "recorded") == 0)
            continue;
        (void)buf_printf(p->out, "%s is %s: %s\n", field(row, "station"), status,
                         field(row, "evidence"));
        print_others(p, row);
        (void)buf_append_u8(p->out, '\n');
    }
    return err;
}

static int print_measures(struct print *p, const struct tree *list)
{
    return print_section(p, list, measure_columns);
}

static int print_defects(struct print *p, const struct tree *list)
{
    return print_section(p, list, defect_columns);
}

static int print_factors(struct print *p, const struct tree *list)
{
    return print_section(p, list, factor_columns);
}

static int print_parents(struct print *p, const struct tree *list)
{
    return print_section(p, list, parent_columns);
}

static int print_bearers(struct print *p, const struct tree *list)
{
    return print_section(p, list, bearer_columns);
}

static int print_children(struct print *p, const struct tree *list)
{
    return print_section(p, list, child_columns);
}

/* ---------------------------------------------------------------------------------------- curves
 */

struct spark {
    double mean[SPARK_CELLS_MAX];
    uint32_t count[SPARK_CELLS_MAX];
    double low;
    double high;
    uint32_t points;
};

static bool point_of(const struct tree *point, double *ret_time, double *ret_value)
{
    const struct tree *time = point->first;
    return time && time->next && str_to_double(time->text, ret_time) == OK &&
           str_to_double(time->next->text, ret_value) == OK && isfinite(*ret_value);
}

/* Means over equal pieces of time. */
static void spark_of(const struct tree *points, uint32_t cells, struct spark *s)
{
    double from = 0;
    double to = 0;
    double value = 0;
    *s = (struct spark){.low = HUGE_VAL, .high = -HUGE_VAL};
    if (!points || !points->first || !point_of(points->first, &from, &value) ||
        !point_of(points->last, &to, &value))
        return;
    for (const struct tree *point = points->first; point; point = point->next) {
        double time = 0;
        if (!point_of(point, &time, &value))
            continue;
        double at = to > from ? (time - from) / (to - from) * (double)cells : 0;
        uint32_t i = at < 0 ? 0 : at >= (double)cells ? cells - 1 : (uint32_t)at;
        s->count[i]++;
        s->mean[i] += (value - s->mean[i]) / s->count[i];
        s->low = value < s->low ? value : s->low;
        s->high = value > s->high ? value : s->high;
        s->points++;
    }
}

static void spark_print(struct print *p, const struct spark *s, uint32_t cells)
{
    static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    for (uint32_t i = 0; i < cells; i++) {
        double part = s->high > s->low ? (s->mean[i] - s->low) / (s->high - s->low) : 0;
        int height = (int)(part * 7.999);
        (void)buf_append_text(p->out, s->count[i] ? heights[height] : " ");
    }
}

static int print_curves(struct print *p, const struct tree *list)
{
    uint32_t width = p->options->width ? p->options->width : PRINT_WIDTH;
    size_t name = 0;
    for (const struct tree *row = list->first; row; row = row->next) {
        size_t w = text_width(field(row, "signal"));
        name = w > name ? w : name;
    }
    width = width > PRINT_WIDTH_MIN + name ? width : PRINT_WIDTH_MIN + (uint32_t)name;
    uint32_t cells = width - (uint32_t)name - 30;
    cells = cells < SPARK_CELLS_MAX ? cells : SPARK_CELLS_MAX;
    for (const struct tree *row = list->first; row; row = row->next) {
        struct spark s;
        const char *signal = field(row, "signal");
        const struct tree *points = tree_get(row, "points");
        uint32_t wide = points && points->count < cells ? points->count : cells;
        spark_of(points, wide, &s);
        if (s.points == 0)
            continue;
        (void)buf_printf(p->out, "%s%*s", signal, (int)(name - text_width(signal)) + 2, "");
        spark_print(p, &s, wide);
        (void)buf_printf(p->out, "  %.4g … %.4g%s%s\n", s.low, s.high,
                         *field(row, "uom") ? " " : "", field(row, "uom"));
    }
    return OK;
}

/* ---------------------------------------------------------------------------------------- answer
 */

static const char *answer_text(struct print *p, const struct batch *b, const char *name)
{
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 || b->rows == 0)
        return "";
    struct column c = batch_column(b, (uint32_t)col);
    struct value v = column_value(&c, 0);
    bool text = v.type == VALUE_STRING || v.type == VALUE_BYTES;
    return text ? arena_copy(&p->arena, v.bytes) : "";
}

static int print_list(struct print *p, const struct batch *b, const char *name,
                      int (*print)(struct print *p, const struct tree *list))
{
    const char *text = answer_text(p, b, name);
    struct tree *list = NULL;
    if (!text)
        return ERR_NOMEM;
    int err = tree_parse_json(&p->arena, name, bytes_of_text(text[0] ? text : "[]"), &list, NULL);
    if (!err && list->kind != TREE_LIST)
        err = ERR_MALFORMED;
    return err ? err : print(p, list);
}

static bool answer_is_cut(const struct batch *b)
{
    int32_t col = schema_find(b->schema, bytes_of_text("truncated"));
    if (col < 0 || b->rows == 0)
        return false;
    struct column c = batch_column(b, (uint32_t)col);
    struct value v = column_value(&c, 0);
    return v.type == VALUE_BOOL && v.boolean;
}

/* A lot was at no station: it has neither an id nor a verdict. */
static void print_head(struct print *p, const char *serial, const char *unit, const char *verdict)
{
    (void)buf_printf(p->out, "%s  ", serial);
    if (!unit[0]) {
        (void)buf_append_text(p->out, "was at no station itself\n\n");
        return;
    }
    print_colour(p, verdict);
    (void)buf_append_text(p->out, verdict);
    (void)buf_printf(p->out, "%s   unit %s\n\n", p->options->colour ? "\x1b[0m" : "", unit);
}

int trace_print(const struct batch *answer, const struct trace_print_options *options,
                struct buf *out)
{
    struct print p = {.options = options, .out = out};
    const char *serial = answer_text(&p, answer, "serial");
    const char *unit = answer_text(&p, answer, "unit");
    const char *verdict = answer_text(&p, answer, "verdict");
    int err = serial && unit && verdict ? OK : ERR_NOMEM;
    if (!err) {
        print_head(&p, serial, unit, verdict);
        err = print_list(&p, answer, "bearers", print_bearers);
    }
    if (!err)
        err = print_list(&p, answer, "steps", print_steps);
    if (!err)
        err = print_list(&p, answer, "measures", print_measures);
    if (!err)
        err = print_list(&p, answer, "defects", print_defects);
    if (!err)
        err = print_list(&p, answer, "factors", print_factors);
    if (!err)
        err = print_list(&p, answer, "parents", print_parents);
    if (!err)
        err = print_list(&p, answer, "children", print_children);
    if (!err)
        err = print_list(&p, answer, "curves", print_curves);
    if (!err && answer_is_cut(answer))
        (void)buf_append_text(out, "There is more than this: a limit cut something off.\n");
    arena_fini(&p.arena);
    return err ? err : buf_error(out);
}

/* ------------------------------------------------------------------------------------------- CSV
 */

static const char csv_header[] =
    "what,time,of,station,operation,name,value,lower,upper,uom,position,verdict,operator,recipe,"
    "order,probability,share\n";

/* What stands in each column of a list's lines: members of its rows, NULL = nothing. */
struct csv_list {
    const char *list;
    const char *what;
    const char *members[16];
};

static const struct csv_list csv_lists[] = {
    {"steps",
     "step",
     {"t_in", "of", "station", "operation", "status", "t_out", NULL, NULL, NULL, "place", "verdict",
      "operator", "recipe", "order", "probability"}},
    {"measures",
     "measure",
     {"measured_at", "of", "station", "operation", "characteristic", "value", "lower", "upper",
      "uom", NULL, "ok", NULL, NULL, NULL, "probability", "covered"}},
    {"defects",
     "defect",
     {"detected_at", "of", "station", "operation", "defect", NULL, NULL, NULL, NULL, "position",
      NULL, NULL, NULL, NULL, "probability"}},
    {"factors",
     "factor",
     {"at", "of", "station", "operation", "name", "value", NULL, NULL, "kind", NULL, NULL, NULL,
      NULL, NULL, "probability", "share"}},
    {"parents",
     "parent",
     {"at", "child", NULL, NULL, "parent", "quantity", NULL, NULL, "kind", "position", NULL}},
    {"children",
     "child",
     {"at", "parent", NULL, NULL, "child", "quantity", NULL, NULL, "kind", "position", NULL}},
};

static void csv_cell(struct buf *out, const char *text)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    (void)buf_append_text(out, quoted ? ",\"" : ",");
    for (; *text; text++) {
        if (*text == '"')
            (void)buf_append_u8(out, '"');
        (void)buf_append_u8(out, (uint8_t)*text);
    }
    (void)buf_append_text(out, quoted ? "\"" : "");
}

/* Whom a step may have been of instead: a line each, of the step's time and station. */
static void csv_others(struct buf *out, const struct tree *row)
{
    static const char *const of_step[] = {"t_in", "of", "station", "operation"};
    const struct tree *list = tree_get(row, "others");
    TREE_EACH(other, list)
    {
        const char *serial = field(other, "serial");
        (void)buf_append_text(out, "other");
        for (size_t i = 0; i < sizeof of_step / sizeof of_step[0]; i++)
            csv_cell(out, field(row, of_step[i]));
        csv_cell(out, serial[0] ? serial : field(other, "unit"));
        (void)buf_append_text(out, ",,,,,,,,,");
        csv_cell(out, field(other, "probability"));
        (void)buf_append_text(out, ",\n");
    }
}

static void csv_row(struct buf *out, const struct csv_list *list, const struct tree *row)
{
    (void)buf_append_text(out, list->what);
    for (size_t i = 0; i < sizeof list->members / sizeof list->members[0]; i++)
        csv_cell(out, list->members[i] ? field(row, list->members[i]) : "");
    (void)buf_append_u8(out, '\n');
    csv_others(out, row);
}

int trace_print_csv(const struct batch *answer, struct buf *out)
{
    struct print p = {.out = out};
    int err = buf_append_text(out, csv_header);
    for (size_t i = 0; !err && i < sizeof csv_lists / sizeof csv_lists[0]; i++) {
        struct tree *rows = NULL;
        const char *text = answer_text(&p, answer, csv_lists[i].list);
        err = text ? tree_parse_json(&p.arena, csv_lists[i].list,
                                     bytes_of_text(text[0] ? text : "[]"), &rows, NULL)
                   : ERR_NOMEM;
        TREE_EACH(row, err ? NULL : rows)
        csv_row(out, &csv_lists[i], row);
    }
    arena_fini(&p.arena);
    return err ? err : buf_error(out);
}
