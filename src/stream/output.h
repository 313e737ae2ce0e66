/* Rows on their way into a batch, column by column.
 *
 * Unlike batch_builder this takes whole selections of a vector or of a stored column at a time;
 * values of a column that only passes through keep their bits, quality and acquisition time.
 */
#ifndef LOTLINE_STREAM_OUTPUT_H
#define LOTLINE_STREAM_OUTPUT_H

#include "stream/vec.h"

#define OUTPUT_ROWS_MAX  65536u
#define OUTPUT_BYTES_MAX (64u << 20)

struct output_col {
    struct buf data;
    struct buf valid; /* bitmap */
    struct buf offsets;
    struct buf chars;
    struct buf tags;
    struct buf quality;
    struct buf time_offset;
    bool has_null;
    bool has_quality;
    bool has_time_offset;
};

struct output {
    struct schema *schema;
    struct buf times;
    uint32_t rows;
    struct output_col *cols;
};

int output_init(struct output *o, const struct schema *schema);
void output_fini(struct output *o);

/* Which rows of a chunk: rows[0..count), or 0 … count-1 when rows is NULL; base is where the chunk
 * begins in its batch. */
struct output_rows {
    const uint16_t *rows;
    uint32_t count;
    uint32_t base;
};

/* Appends to column col. Every column must get the same rows before output_rows_add. What memory
 * does not allow is found by output_finish. */
void output_vec(struct output *o, uint32_t col, const struct vec *v, struct output_rows r);
void output_column(struct output *o, uint32_t col, const struct column *from, struct output_rows r);
void output_null(struct output *o, uint32_t col, uint32_t count);

/* The rows' times, after all columns. */
void output_times(struct output *o, const int64_t *times, struct output_rows r);

/* Bytes staged, roughly. */
size_t output_bytes(const struct output *o);

/* The rows as a batch, and an empty output. ERR_INVALID without rows, ERR_NOMEM, ERR_LIMIT. */
int output_finish(struct output *o, struct batch **ret);

#endif
