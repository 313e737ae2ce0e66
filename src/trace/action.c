/* The trace action of a rule: which of its columns name the unit, are measures, factors, defects,
 * children and so on. See docs/trace.md.
 *
 * Each column is looked up when the configuration is read, so that a wrong name is said with its
 * place and the names there are, and no row is lost to it later.
 */
#include "base/str.h"
#include "trace/trace_priv.h"

#include <string.h>

#define LIKE_DISTANCE_MAX 3

const char *const trace_kinds[TRACE_KINDS + 1] = {
    "man", "machine", "material", "method", "measurement", "environment", NULL};

static const char *const link_kinds[] = {"split",     "assembly", "consumption", "merge",
                                         "transform", "rework",   NULL};

struct factor_options {
    struct option_texts kinds[TRACE_KINDS];
};

#define FACTOR(index, text, meaning)                                                               \
    {                                                                                              \
        .name = text, .type = OPTION_TEXT_LIST,                                                    \
        .offset = offsetof(struct factor_options, kinds) + (index) * sizeof(struct option_texts),  \
        .doc = meaning                                                                             \
    }

static const struct option factor_table[] = {
    FACTOR(0, "man", "columns that name people: operators, shifts"),
    FACTOR(1, "machine", "columns of machines and their parts: nozzle, head, cavity, tool"),
    FACTOR(2, "material", "columns of materials: lots, suppliers"),
    FACTOR(3, "method", "columns of methods: recipe, program, its revision"),
    FACTOR(4, "measurement", "columns of the means of measuring: gauge, its calibration"),
    FACTOR(5, "environment", "columns of surroundings: temperature, dust"),
    {.name = NULL},
};

struct action_options {
    const char *operation;
    const char *station;
    const char *unit;
    const struct tree *factors;
    struct option_texts measures;
    struct option_texts covered;
    struct option_texts defects;
    struct option_texts children;
    struct option_texts parents;
    struct option_texts consumes;
    struct option_texts quantity;
    const char *position;
    const char *verdict;
    const char *order;
    const char *recipe;
    int link;
};

#define TEXTS(text, meaning)                                                                       \
    {                                                                                              \
        .name = #text, .type = OPTION_TEXT_LIST, .offset = offsetof(struct action_options, text),  \
        .doc = meaning                                                                             \
    }
#define TEXT(text, otherwise, meaning)                                                             \
    {                                                                                              \
        .name = #text, .type = OPTION_TEXT, .default_text = (otherwise),                           \
        .offset = offsetof(struct action_options, text), .doc = meaning                            \
    }

static const struct option action_table[] = {
    {.name = "operation",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct action_options, operation),
     .doc = "what is done at the station"},
    TEXT(station, "", "where it is done; default: where the unit was at that time"),
    TEXT(unit, "unit",
         "column that names the unit: bytes are a unit's id (unit_id()), text is a serial"),
    TEXTS(measures, "columns that are measures; default: every column of numbers that no other "
                    "option names"),
    TEXTS(covered,
          "columns that tell which part of the stay each measure knows, as covered(x) does, "
          "0 to 1: of each of `measures`, in their order; a single one is of all"),
    {.name = "factors",
     .type = OPTION_TREE,
     .offset = offsetof(struct action_options, factors),
     .items = factor_table,
     .doc = "columns that may explain quality, by 5M1E"},
    TEXTS(defects, "columns of text: what is not empty is the name of a defect of the unit"),
    TEXT(position, NULL, "column that tells where on the unit: of the row's defects and links"),
    TEXTS(children, "columns with the serials of units made from this one"),
    TEXTS(parents, "columns with the serials of units that went into this one"),
    {.name = "link",
     .type = OPTION_ENUM,
     .default_text = "split",
     .choices = link_kinds,
     .offset = offsetof(struct action_options, link),
     .doc = "how children and parents are linked; default: split for children, assembly for "
            "parents"},
    TEXTS(consumes, "columns with the lots that the unit consumed"),
    TEXTS(quantity, "columns that tell how much went on by each link: children, then parents, then "
                    "consumes, in their order; a single one is of each of them"),
    TEXT(verdict, NULL, "column that says pass, fail, rework or scrap"),
    TEXT(order, NULL,
         "column with the order it is made for: shown with the step, no suspect of why"),
    TEXT(recipe, NULL,
         "column with the recipe and its revision: shown with the step, no suspect of "
         "why; a column may be a factor besides"),
    {.name = NULL},
};

/* What is read of one action. */
struct binding {
    struct arena *arena;
    const char *rule;
    const struct schema *schema;
    const struct tree *action;
    bool *used; /* [schema->count]: named by some option */
    struct diag *diag;
};

/* --------------------------------------------------------------------------------------- columns
 */

static void columns_print(const struct schema *schema, struct buf *out)
{
    (void)buf_append_text(out, schema->count ? "its columns are " : "it has no columns");
    for (uint32_t i = 0; i < schema->count; i++)
        (void)buf_printf(out, "%s%s", i ? ", " : "", schema->fields[i].name);
}

static const char *column_like(const struct schema *schema, const char *name)
{
    const char *like = NULL;
    unsigned best = LIKE_DISTANCE_MAX + 1;
    for (uint32_t i = 0; i < schema->count; i++) {
        unsigned distance = str_distance(schema->fields[i].name, name);
        if (distance < best) {
            best = distance;
            like = schema->fields[i].name;
        }
    }
    return like;
}

static int column_missing(const struct binding *b, const struct tree *at, const char *name)
{
    struct buf columns = {0};
    const char *like = column_like(b->schema, name);
    columns_print(b->schema, &columns);
    int err = tree_error(b->diag, ERR_NOT_FOUND, at, "rule %s has no column %s%s%s%s (%s)", b->rule,
                         name, like ? "; did you mean " : "", like ? like : "", like ? "?" : "",
                         buf_text(&columns));
    buf_fini(&columns);
    return err;
}

static int column_check(struct binding *b, const struct tree *at, const char *name)
{
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0)
        return column_missing(b, at, name);
    b->used[col] = true;
    return OK;
}

/* A list of columns; `at` is the option as written. */
static int columns_bind(struct binding *b, const struct tree *at, const struct option_texts *texts,
                        struct trace_columns *ret)
{
    if (texts->count > TRACE_COLUMNS_MAX)
        return tree_error(b->diag, ERR_LIMIT, at, "%s has at most %d columns", at->key,
                          TRACE_COLUMNS_MAX);
    const struct tree *item = at && at->kind == TREE_LIST ? at->first : at;
    int err = OK;
    for (uint32_t i = 0; !err && i < texts->count; i++) {
        err = column_check(b, item, texts->items[i]);
        item = item && item->next && at->kind == TREE_LIST ? item->next : item;
    }
    *ret = (struct trace_columns){texts->items, texts->count};
    return err;
}

static int column_bind(struct binding *b, const char *option, const char *name)
{
    return name ? column_check(b, tree_get(b->action, option), name) : OK;
}

/* -------------------------------------------------------------------------------------- measures
 */

static bool type_is_number(enum value_type type)
{
    return type == VALUE_INT64 || type == VALUE_UINT64 || type == VALUE_FLOAT32 ||
           type == VALUE_DOUBLE || type == VALUE_ANY;
}

static int measures_all(struct binding *b, struct trace_columns *ret)
{
    ret->count = 0;
    ret->items = arena_array(b->arena, b->schema->count + 1, sizeof *ret->items);
    if (!ret->items)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < b->schema->count && ret->count < TRACE_COLUMNS_MAX; i++)
        if (type_is_number(b->schema->fields[i].type) && !b->used[i])
            ret->items[ret->count++] = arena_text(b->arena, b->schema->fields[i].name);
    return OK;
}

static int factors_bind(struct binding *b, const struct tree *spec, struct trace_rule *ret)
{
    struct factor_options o = {0};
    int err = option_bind(factor_table, spec, b->arena, &o, b->diag);
    for (int i = 0; !err && i < TRACE_KINDS; i++)
        err = columns_bind(b, tree_get(spec, trace_kinds[i]), &o.kinds[i], &ret->factors[i]);
    return err;
}

/* ------------------------------------------------------------------------------------------ unit
 */

static int unit_bind(struct binding *b, const char *name, struct trace_rule *ret)
{
    const struct tree *at = tree_get(b->action, "unit");
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 && at)
        return column_missing(b, at, name);
    if (col < 0) {
        return tree_error(b->diag, ERR_NOT_FOUND, b->action,
                          "a trace action needs to know the unit: let rule %s SELECT unit_id() AS "
                          "unit … GROUP BY UNITWINDOW(…), or say `unit: COLUMN` for a column with "
                          "the serial",
                          b->rule);
    }
    const struct field *f = &b->schema->fields[col];
    bool text = f->type == VALUE_STRING || f->type == VALUE_ANY || (f->flags & FIELD_TEXT) != 0;
    if (!text && f->type != VALUE_BYTES && !type_is_number(f->type)) {
        return tree_error(b->diag, ERR_TYPE, at ? at : b->action,
                          "column %s of rule %s is %s: a unit is named by bytes (unit_id()) or by "
                          "the text of its serial",
                          name, b->rule, value_type_name(f->type));
    }
    b->used[col] = true;
    ret->unit = name;
    ret->unit_is_serial = text || f->type != VALUE_BYTES;
    return OK;
}

/* One for all links of a row, or one for each. */
static int quantity_bind(struct binding *b, const struct option_texts *texts,
                         struct trace_rule *ret)
{
    const struct tree *at = tree_get(b->action, "quantity");
    uint32_t links = ret->children.count + ret->parents.count + ret->consumes.count;
    if (!at)
        return OK;
    if (links == 0) {
        return tree_error(b->diag, ERR_INVALID, at,
                          "quantity says how much went on by children, parents or consumes, but "
                          "none of them is there");
    }
    if (texts->count > 1 && texts->count != links) {
        return tree_error(b->diag, ERR_INVALID, at,
                          "quantity has %u columns for %u links: name one for each of children, "
                          "parents and consumes, in this order, or a single one for all",
                          texts->count, links);
    }
    return columns_bind(b, at, texts, &ret->quantities);
}

/* One for all measures, or one for each. */
static int covered_bind(struct binding *b, const struct option_texts *texts, struct trace_rule *ret)
{
    const struct tree *at = tree_get(b->action, "covered");
    const struct tree *measures = tree_get(b->action, "measures");
    uint32_t named = measures ? ret->measures.count : 1;
    if (!at)
        return OK;
    if (texts->count > 1 && texts->count != named) {
        return tree_error(
            b->diag, ERR_INVALID, at,
            "covered has %u columns for %u measures that are named: name one for each "
            "of `measures`, in this order, or a single one for all",
            texts->count, measures ? named : 0);
    }
    return columns_bind(b, at, texts, &ret->covered);
}

static int measures_bind(struct binding *b, const struct action_options *o, struct trace_rule *ret)
{
    const struct tree *at = tree_get(b->action, "measures");
    int err = at ? columns_bind(b, at, &o->measures, &ret->measures) : OK;
    if (!err)
        err = covered_bind(b, &o->covered, ret);
    return err || at ? err : measures_all(b, &ret->measures);
}

static int lists_bind(struct binding *b, const struct action_options *o, struct trace_rule *ret)
{
    int err = columns_bind(b, tree_get(b->action, "defects"), &o->defects, &ret->defects);
    if (!err)
        err = columns_bind(b, tree_get(b->action, "children"), &o->children, &ret->children);
    if (!err)
        err = columns_bind(b, tree_get(b->action, "parents"), &o->parents, &ret->parents);
    if (!err)
        err = columns_bind(b, tree_get(b->action, "consumes"), &o->consumes, &ret->consumes);
    if (!err)
        err = quantity_bind(b, &o->quantity, ret);
    if (!err)
        err = column_bind(b, "position", o->position);
    if (!err)
        err = column_bind(b, "verdict", o->verdict);
    if (!err)
        err = column_bind(b, "order", o->order);
    if (!err)
        err = column_bind(b, "recipe", o->recipe);
    if (!err)
        err = factors_bind(b, o->factors, ret);
    return err ? err : measures_bind(b, o, ret);
}

int trace_action_bind(struct arena *arena, const char *rule, const struct schema *schema,
                      const struct tree *action, struct trace_rule *ret, struct diag *diag)
{
    struct action_options o = {0};
    struct binding b = {arena, rule, schema, action, NULL, diag};
    int err = option_bind(action_table, action, arena, &o, diag);
    if (err)
        return err;
    b.used = arena_array(arena, schema->count + 1, sizeof *b.used);
    if (!b.used)
        return ERR_NOMEM;
    bool linked = tree_get(action, "link") != NULL;
    *ret = (struct trace_rule){
        .name = rule,
        .operation = o.operation,
        .station = o.station,
        .position = o.position,
        .verdict = o.verdict,
        .order = o.order,
        .recipe = o.recipe,
        .child_kind = link_kinds[o.link],
        .parent_kind = linked ? link_kinds[o.link] : "assembly",
    };
    if (linked && !o.children.count && !o.parents.count)
        return tree_error(diag, ERR_INVALID, tree_get(action, "link"),
                          "link says how children or parents are linked, but neither is there");
    err = unit_bind(&b, o.unit, ret);
    return err ? err : lists_bind(&b, &o, ret);
}
