/* Walking a JSON text with simdjson's on-demand parser, and printing numbers with std::to_chars.
 *
 * The one C++ file of the tree. It decides nothing about columns: it reads every value of the text,
 * also those nobody wants (the parser is lazy, and what it does not read it does not check), and
 * hands on those that are wanted. Compiled without exceptions; all errors are simdjson's codes.
 */
#define SIMDJSON_EXCEPTIONS 0

#include "base/err.h"
#include "codec/json_priv.h"

#include <charconv>
#include <cstring>
#include <new>

#include <simdjson.h>

using namespace simdjson;

struct json_parser {
    ondemand::parser parser;
};

namespace
{

struct walk {
    struct json_reader *reader;
    const char *end; /* of the text */
    const char *problem;
};

struct problem {
    error_code code;
    const char *text;
};

/* What the parser's codes mean to a person who sent the text. */
const struct problem problems[] = {
    {EMPTY, "the message is empty"},
    {UTF8_ERROR, "not UTF-8"},
    {UNCLOSED_STRING, "a string has no closing quote"},
    {UNESCAPED_CHARS, "a control character stands in a string; write it as \\u00XX"},
    {STRING_ERROR, "a string has an escape that JSON does not know"},
    {NUMBER_ERROR, "not a number that JSON and a double can hold"},
    {INCOMPLETE_ARRAY_OR_OBJECT, "an object or array is not closed, or something stands behind it"},
};

const char *problem_text(error_code code)
{
    for (const struct problem &p : problems) {
        if (p.code == code)
            return p.text;
    }
    return "not valid JSON";
}

int walk_fail(struct walk *w, int err, const char *problem)
{
    w->problem = problem;
    return err;
}

int walk_error(struct walk *w, error_code code)
{
    if (code == MEMALLOC)
        return walk_fail(w, ERR_NOMEM, "out of memory");
    return walk_fail(w, code == CAPACITY ? ERR_LIMIT : ERR_SYNTAX, problem_text(code));
}

/* NOLINTBEGIN(misc-no-recursion): the depth is limited to JSON_PRIV_DEPTH_MAX.
 * NOLINTBEGIN(performance-move-const-arg): a result hands out its value in place only so. */

int read_value(struct walk *w, ondemand::value &v, uint32_t depth, struct json_scope *inner,
               struct json_value *out);

/* Integers stay exact as far as 64 bits go; beyond, a double is what JSON offers. */
int read_number(struct walk *w, ondemand::value &v, struct json_value *out)
{
    ondemand::number n;
    error_code code = v.get_number().get(n);
    if (code) {
        out->kind = JSON_F64;
        code = v.get_double().get(out->f64);
        return code ? walk_error(w, NUMBER_ERROR) : OK;
    }
    if (n.is_int64()) {
        out->kind = JSON_I64;
        out->i64 = n.get_int64();
    } else if (n.is_uint64()) {
        out->kind = JSON_U64;
        out->u64 = n.get_uint64();
    } else {
        out->kind = JSON_F64;
        out->f64 = n.get_double();
    }
    return OK;
}

/* Like memcmp for equality, in words: both have readable bytes behind them, and keys are short. */
bool same_bytes(const char *a, const char *b, uint32_t n)
{
    uint64_t wa;
    uint64_t wb;
    for (; n > 8; n -= 8, a += 8, b += 8) {
        memcpy(&wa, a, 8);
        memcpy(&wb, b, 8);
        if (wa != wb)
            return false;
    }
    memcpy(&wa, a, 8);
    memcpy(&wb, b, 8);
    return n == 0 || (wa ^ wb) << (64 - 8 * n) == 0;
}

/* True if the raw key, which may still have escapes, is this name: the name has nothing that is
 * written with an escape, so equal bytes and a quote behind them are enough. */
bool key_is(const struct walk *w, const char *raw, const struct json_field *f)
{
    return f->plain && (size_t)(w->end - raw) > f->name_bytes && raw[f->name_bytes] == '"' &&
           same_bytes(raw, f->name, f->name_bytes);
}

/* Index + 1 of the field of that key, 0 if nobody wants it. What came after `last` in the message
 * before is tried first. */
int find_field(struct walk *w, ondemand::field &field, struct json_scope *scope, uint32_t last,
               uint32_t *ret)
{
    uint32_t guess = last ? scope->fields[last - 1].after : scope->first;
    if (guess && key_is(w, field.key().raw(), &scope->fields[guess - 1])) {
        *ret = guess;
        return OK;
    }
    std::string_view name;
    error_code code = field.unescaped_key().get(name);
    if (code)
        return walk_error(w, code);
    int err = OK;
    uint32_t found = json_scope_find(w->reader, scope, name.data(), name.size(), &err);
    if (err)
        return walk_fail(w, err, "a key is too long, or there are too many");
    if (found && last)
        scope->fields[last - 1].after = found;
    else if (found)
        scope->first = found;
    *ret = found;
    return OK;
}

int read_wanted(struct walk *w, ondemand::value &v, uint32_t depth, struct json_scope *scope,
                uint32_t index)
{
    const struct json_field *f = &scope->fields[index];
    if (f->is_double && !f->inner) {
        double number;
        if (v.get_double().get(number) == SUCCESS)
            return json_on_double(w->reader, (uint32_t)f->column, number);
    }
    struct json_value out = {};
    int err = read_value(w, v, depth, f->inner, &out);
    /* Not f, which may have moved meanwhile. */
    if (err || scope->fields[index].column < 0)
        return err;
    err = json_on_value(w->reader, scope, index, &out);
    return err ? walk_fail(w, err, "too large") : OK;
}

int check_key(struct walk *w, ondemand::field &field)
{
    std::string_view name;
    error_code code = field.unescaped_key().get(name);
    return code ? walk_error(w, code) : OK;
}

int walk_object(struct walk *w, ondemand::object &object, uint32_t depth, struct json_scope *scope)
{
    uint32_t last = 0;
    for (auto item : object) {
        if (item.error())
            return walk_error(w, item.error());
        /* In its place: a copy's wide load right behind the narrow stores would stall. */
        ondemand::field &&field = std::move(item).value_unsafe();
        uint32_t found = 0;
        int err = scope ? find_field(w, field, scope, last, &found) : check_key(w, field);
        if (err)
            return err;
        if (found) {
            last = found;
            err = read_wanted(w, field.value(), depth, scope, found - 1);
        } else {
            struct json_value unread = {};
            err = read_value(w, field.value(), depth, nullptr, &unread);
        }
        if (err)
            return err;
    }
    return OK;
}

int walk_array(struct walk *w, ondemand::array &array, uint32_t depth)
{
    for (auto item : array) {
        struct json_value unread = {};
        if (item.error())
            return walk_error(w, item.error());
        ondemand::value &&v = std::move(item).value_unsafe();
        int err = read_value(w, v, depth, nullptr, &unread);
        if (err)
            return err;
    }
    return OK;
}

bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* An object or array: walked, and handed on as its own text. */
int read_container(struct walk *w, ondemand::value &v, uint32_t depth, struct json_scope *inner,
                   struct json_value *out)
{
    if (depth >= JSON_PRIV_DEPTH_MAX)
        return walk_fail(w, ERR_LIMIT, "objects and arrays are nested more than 64 deep");
    const char *start = v.raw_json_token().data();
    ondemand::object object;
    ondemand::array array;
    int err;
    if (*start == '{') {
        error_code code = v.get_object().get(object);
        err = code ? walk_error(w, code) : walk_object(w, object, depth + 1, inner);
    } else {
        error_code code = v.get_array().get(array);
        err = code ? walk_error(w, code) : walk_array(w, array, depth + 1);
    }
    if (err)
        return err;
    const char *end;
    error_code code = v.current_location().get(end);
    if (code)
        return walk_error(w, INCOMPLETE_ARRAY_OR_OBJECT);
    while (end > start && is_space(end[-1]))
        end--;
    out->kind = JSON_RAW;
    out->text = start;
    out->text_bytes = (size_t)(end - start);
    return OK;
}

int read_string(struct walk *w, ondemand::value &v, struct json_value *out)
{
    std::string_view text;
    error_code code = v.get_string().get(text);
    if (code)
        return walk_error(w, code);
    out->kind = JSON_STRING;
    out->text = text.data();
    out->text_bytes = text.size();
    return OK;
}

int read_value(struct walk *w, ondemand::value &v, uint32_t depth, struct json_scope *inner,
               struct json_value *out)
{
    ondemand::json_type type;
    error_code code = v.type().get(type);
    if (code)
        return walk_error(w, code);
    bool null;
    switch (type) {
    case ondemand::json_type::object:
    case ondemand::json_type::array:
        return read_container(w, v, depth, inner, out);
    case ondemand::json_type::number:
        return read_number(w, v, out);
    case ondemand::json_type::string:
        return read_string(w, v, out);
    case ondemand::json_type::boolean:
        out->kind = JSON_BOOL;
        code = v.get_bool().get(out->boolean);
        return code ? walk_error(w, code) : OK;
    case ondemand::json_type::null:
        out->kind = JSON_NULL;
        code = v.is_null().get(null);
        return code || !null ? walk_error(w, TAPE_ERROR) : OK;
    }
    return walk_error(w, TAPE_ERROR);
}

int walk_row(struct walk *w, ondemand::object &object, struct json_scope *root)
{
    int err = json_on_row(w->reader);
    return err ? walk_fail(w, err, "more rows than there is room for")
               : walk_object(w, object, 1, root);
}

int walk_rows(struct walk *w, ondemand::array &array, struct json_scope *root)
{
    for (auto item : array) {
        ondemand::object object;
        if (item.error())
            return walk_error(w, item.error());
        ondemand::value &&v = std::move(item).value_unsafe();
        error_code code = v.get_object().get(object);
        if (code)
            return code == INCORRECT_TYPE
                       ? walk_fail(w, ERR_SYNTAX, "an array of messages must hold objects only")
                       : walk_error(w, code);
        int err = walk_row(w, object, root);
        if (err)
            return err;
    }
    return OK;
}

int walk_document(struct walk *w, ondemand::document &doc, struct json_scope *root)
{
    ondemand::json_type type;
    ondemand::object object;
    ondemand::array array;
    error_code code = doc.type().get(type);
    if (code)
        return walk_error(w, code);
    int err;
    if (type == ondemand::json_type::object) {
        code = doc.get_object().get(object);
        err = code ? walk_error(w, code) : walk_row(w, object, root);
    } else if (type == ondemand::json_type::array) {
        code = doc.get_array().get(array);
        err = code ? walk_error(w, code) : walk_rows(w, array, root);
    } else {
        err = walk_fail(w, ERR_SYNTAX, "a message is an object, or an array of objects");
    }
    const char *rest;
    if (!err && doc.current_location().get(rest) == SUCCESS)
        err = walk_fail(w, ERR_SYNTAX, "something stands behind the end of the message");
    return err;
}

/* NOLINTEND(performance-move-const-arg)
 * NOLINTEND(misc-no-recursion) */

template <typename T> size_t number_print(T v, char *out)
{
    /* Never too short: the shortest form of any double has at most 24 characters. */
    return (size_t)(std::to_chars(out, out + 32, v).ptr - out);
}

} // namespace

extern "C" struct json_parser *json_parser_new(void)
{
    return new (std::nothrow) json_parser;
}

extern "C" void json_parser_free(struct json_parser *p)
{
    delete p;
}

extern "C" int json_parser_walk(struct json_parser *p, const uint8_t *text, size_t bytes,
                                struct json_scope *root, struct json_reader *r,
                                const char **ret_problem, size_t *ret_at)
{
    const char *start = reinterpret_cast<const char *>(text);
    struct walk w = {r, start + bytes, ""};
    ondemand::document doc;
    padded_string_view view(start, bytes, bytes + SIMDJSON_PADDING);
    error_code code = p->parser.iterate(view).get(doc);
    int err = code ? walk_error(&w, code) : walk_document(&w, doc, root);
    if (!err)
        return OK;
    const char *at = start;
    if (!code && doc.current_location().get(at) != SUCCESS)
        at = w.end;
    *ret_problem = w.problem;
    *ret_at = at >= start && at <= w.end ? (size_t)(at - start) : 0;
    return err;
}

extern "C" size_t json_number_from_double(double v, char *out)
{
    return number_print(v, out);
}

extern "C" size_t json_number_from_float(float v, char *out)
{
    return number_print(v, out);
}
