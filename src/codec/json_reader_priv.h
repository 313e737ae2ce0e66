/* A reader of JSON, as json_reader.c (cells of any message) and json_rows.c (rows of a group) share
 * it.
 */
#ifndef LOTLINE_CODEC_JSON_READER_PRIV_H
#define LOTLINE_CODEC_JSON_READER_PRIV_H

#include "base/arena.h"
#include "codec/json.h"
#include "codec/json_priv.h"

#define JSON_PROBLEM_BYTES_MAX 256u

struct json_reader {
    struct json_parser *parser;
    struct schema *wanted; /* NULL: schemaless */
    struct json_scope *root;
    struct arena names; /* the fields' */
    char problem[JSON_PROBLEM_BYTES_MAX];
    /* The message that is being read. */
    int64_t time_us;
    struct batch_builder *bb;
    bool misfit; /* some value did not fit its column */
    /* Schemaless. */
    struct buf records;
    uint32_t rows;
    bool grown;            /* a key was not there before */
    struct schema *schema; /* of the root's fields, or NULL */
    /* Rows of a group. */
    bool strict;
    bool has_time;       /* the row has said it */
    bool has_bytes;      /* the object that ends now held base64 */
    int32_t time_column; /* stands for the row's time: behind the schema's last */
    double step_us;      /* between rows without a time of their own, behind it; 0: each has one */
    int64_t block_us;    /* the last time that a row said, and which row that was */
    uint32_t block_row;
    uint32_t row; /* in the message, from 1 */
    bool refused; /* problem says why already */
    struct buf decoded;
    const struct field_limit *limits;
};

/* A whole number of 64 bits, also when written like 5.0. */
bool json_to_i64(const struct json_value *v, int64_t *ret);
bool json_to_u64(const struct json_value *v, uint64_t *ret);
bool json_to_number(const struct json_value *v, double *ret);
bool json_to_time(const struct json_value *v, int64_t *ret);

/* A reader that wants nothing yet; NULL without memory. */
struct json_reader *json_reader_alloc(const struct schema *wanted);

/* An object nobody wants a key of yet; NULL without memory. */
struct json_scope *json_scope_new(void);

/* The wanted key of that name, made if need be; it moves when the next one is. ERR_NOMEM. */
int json_scope_want(struct arena *names, struct json_scope *s, struct bytes name,
                    struct json_field **ret);

/* Reads all of payload; json_error says what was wrong. */
int json_reader_walk(struct json_reader *r, struct bytes payload);

/* ---- json_rows.c, while walking */
int json_rows_row(struct json_reader *r);
int json_rows_end(struct json_reader *r);
int json_rows_value(struct json_reader *r, const struct json_field *f, const struct json_value *v);
int json_rows_number(struct json_reader *r, uint32_t col, double v);
int json_rows_unknown(struct json_reader *r, struct bytes name);

#endif
