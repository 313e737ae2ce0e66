/* The columnar format: a batch as bytes, the same on disk, between nodes and in checkpoints.
 *
 * Shaped for what a gateway makes all day: thousands of columns and one row. There the cost of a
 * format is what it spends per column, so nothing is spent: the schema is named by its hash, what
 * most columns don't have (nulls, qualities, time offsets) costs nothing until a column has it, and
 * values of one width lie back to back. Values are copied bit for bit.
 *
 *     u8  version = 1
 *     u8  flags          bit 0: the rest after the hash is one zstd frame
 *     u64 schema hash    little-endian, as everything below
 *     [flags bit 0: varint bytes of the rest when decompressed]
 *     varint rows        1 …
 *     u8  sections       bit 0 nulls, 1 quality, 2 time offsets, 3 all null, 4 even times
 *     zigzag varint      time of row 0; then the differences of the rows that follow (section bit
 * 4: they are all equal, and only one is written) for each of section bits 3, 0, 1, 2 that is set:
 * which columns, ⌈columns / 8⌉ bytes values by width:   all 8-byte columns in schema order, rows
 * values each; all 4-byte ones; then the bools as one run of columns × rows bits strings, bytes:
 * per column: rows varint lengths, then the characters back to back any:               per column:
 * rows tags; then per row, by tag: 8 bytes (numbers), 4 (float32), 1 (bool), varint length (string,
 * bytes); then the characters nulls              per column with some: ⌈rows / 8⌉ bytes, bit set =
 * value present quality            the columns' qualities, row after row, as runs: u8, varint
 * length time offsets       the columns' offsets, row after row, as runs: zigzag varint difference
 * to the run before, varint length
 *
 * Columns that are all null have no values. Runs go along the rows because tags that came in one
 * reply share their time and their fate.
 * The end of the payload is the end of the batch: spare bytes are an error.
 */
#ifndef LOTLINE_CODEC_COLUMNAR_H
#define LOTLINE_CODEC_COLUMNAR_H

#include "model/batch.h"

#define COLUMNAR_VERSION        1
#define COLUMNAR_SCHEMA_VERSION 1

/* Below this zstd is not tried. */
#define COLUMNAR_ZSTD_BYTES_MIN 4096u

/* What a compressed batch may grow to when decompressed: a frame that claims more is refused before
 * anything is allocated. */
#define COLUMNAR_PLAIN_BYTES_MAX (64u << 20)

/* What a batch may take in memory. Nulls and runs take next to nothing in the payload, so this and
 * not the payload's size bounds what a stranger can make us allocate. */
#define COLUMNAR_SLAB_BYTES_MAX (64u << 20)

#define COLUMNAR_UOM_BYTES_MAX 1023u

struct columnar_options {
    bool zstd;      /* compress when the batch is large enough and shrinks */
    int zstd_level; /* 0 = 1 */
};

/* Appends b to out. options may be NULL (plain). Any thread, no state. ERR_NOMEM, ERR_LIMIT (larger
 * than COLUMNAR_SLAB_BYTES_MAX). On failure out has its old length. */
int columnar_encode(const struct batch *b, const struct columnar_options *options, struct buf *out);

/* The batch in payload, made by a producer with that schema. The payload is hostile: everything is
 * checked before it is believed. pool may be NULL. Errors: ERR_VERSION, ERR_SHORT, ERR_MALFORMED,
 * ERR_CONFLICT (another schema's hash), ERR_LIMIT, ERR_NOMEM. */
int columnar_decode(struct bytes payload, const struct schema *schema, struct batch_pool *pool,
                    struct batch **ret);

/* Which schema the batch needs. ERR_SHORT, ERR_VERSION. */
int columnar_schema_hash(struct bytes payload, uint64_t *ret);

/* A schema as bytes: u8 version, varint count, then per field: u8 type (bit 7: scale and offset
 * follow, 6: uom follows, 5: flags follow), u8 name length + name, [varint flags], [varint uom
 * length + uom], [f64 scale, f64 offset]. ERR_NOMEM, ERR_LIMIT (uom too long). */
int columnar_schema_encode(const struct schema *s, struct buf *out);

/* ERR_VERSION, ERR_SHORT, ERR_MALFORMED (type, flags, text that is not UTF-8 or holds a zero),
 * ERR_LIMIT, ERR_EXISTS (a name twice), ERR_NOMEM. */
int columnar_schema_decode(struct bytes text, struct schema **ret);

#endif
