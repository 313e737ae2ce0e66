/* Between json.cc, which walks a text with simdjson, and json_reader.c, which knows columns.
 *
 * Understood by C and C++ alike, and therefore free of our other headers (they use C's atomics).
 */
#ifndef LOTLINE_CODEC_JSON_PRIV_H
#define LOTLINE_CODEC_JSON_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_PRIV_DEPTH_MAX 64u
#define JSON_NAME_PAD       8u

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_I64,
    JSON_U64,
    JSON_F64,
    JSON_STRING, /* unescaped, UTF-8; lives until the next message */
    JSON_RAW,    /* an object's or array's own text */
};

struct json_value {
    enum json_kind kind;

    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
    };

    const char *text; /* JSON_STRING, JSON_RAW */
    size_t text_bytes;
};

struct json_scope;

/* A key of an object that somebody wants. */
struct json_field {
    const char *name; /* of json_reader.c; JSON_NAME_PAD readable bytes behind it */
    uint32_t name_bytes;
    uint32_t after;           /* index + 1 of the field that came after it last time */
    int32_t column;           /* -1: wanted only for what is inside */
    bool plain;               /* the name is the same with and without JSON's escapes */
    bool is_double;           /* numbers go the straight way, as double */
    bool used;                /* in this message (schemaless) */
    bool coded;               /* "$bytes": its text is base64 (rows of a group) */
    struct json_scope *inner; /* wanted fields of the object under this key, or NULL */
};

/* The wanted keys of one object. */
struct json_scope {
    struct json_field *fields;
    uint32_t count;
    uint32_t cap;
    uint32_t first; /* index + 1 of the field that came first last time */
    uint32_t *slots;
    uint32_t slot_count;
};

struct json_reader;

/* Implemented by json_reader.c, called while walking. Each returns 0 or ERR_*. */
int json_on_row(struct json_reader *r);
int json_on_value(struct json_reader *r, struct json_scope *scope, uint32_t field,
                  const struct json_value *v);
int json_on_double(struct json_reader *r, uint32_t column, double v);

/* Index + 1 of the field of that (unescaped) name, 0 if it is not wanted; schemaless readers add
 * it. A negative *ret_err stops the walk. */
uint32_t json_scope_find(struct json_reader *r, struct json_scope *scope, const char *name,
                         size_t name_bytes, int *ret_err);

/* Implemented by json.cc. */
struct json_parser;

struct json_parser *json_parser_new(void); /* NULL when out of memory */
void json_parser_free(struct json_parser *p);

/* Walks all of text (64 readable bytes behind it), an object or an array of objects. On failure
 * *ret_problem says what is wrong (static) and *ret_at at which byte. */
int json_parser_walk(struct json_parser *p, const uint8_t *text, size_t bytes,
                     struct json_scope *root, struct json_reader *r, const char **ret_problem,
                     size_t *ret_at);

#ifdef __cplusplus
}
#endif

#endif
