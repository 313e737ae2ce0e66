/* JSON into columns.
 *
 * simdjson's on-demand parser reads the text once and values go straight into a batch builder. A
 * reader wants either the fields of a schema (a name is looked up by what followed the last one in
 * the message before, so that messages of one shape cost a comparison a field; `a.b` reaches into
 * objects) or, schemaless, finds the columns itself.
 *
 * A malformed message is refused whole: UTF-8 and structure are checked over all of it, also
 * where nobody reads.
 *
 * json.cc is the one C++ file of the tree; no exception leaves it and none is thrown.
 */
#ifndef LOTLINE_CODEC_JSON_H
#define LOTLINE_CODEC_JSON_H

#include "model/batch.h"

#define JSON_DEPTH_MAX         64u
#define JSON_MESSAGE_BYTES_MAX (64u << 20)
#define JSON_COLUMNS_MAX       65535u      /* that a schemaless message may make */
#define JSON_CELLS_MAX         (16u << 20) /* rows × columns of a schemaless message */

struct json_reader;

/* A reader for messages up to JSON_MESSAGE_BYTES_MAX; one thread at a time. wanted (referenced) may
 * be NULL: schemaless, only json_decode_any then. ERR_NOMEM. */
int json_reader_new(const struct schema *wanted, struct json_reader **ret);
void json_reader_free(struct json_reader *r); /* NULL is allowed */

/* Adds a row of payload's object, or a row of each object in its array, to bb, whose schema is the
 * wanted one, with time_us as the row time. PAYLOAD_PAD spare bytes are readable behind payload.
 *
 * A wanted field that is absent or null stays null. A value that does not fit its column's type is
 * null with QUALITY_CONVERT: a fraction or a string in an integer column, a number in a string
 * column, an integer beyond 64 bits; integers fit double columns, and `any` takes all. Objects and
 * arrays go into string, bytes and any columns as their JSON text. A timestamp column takes an RFC
 * 3339 string or an integer of milliseconds since 1970. Of a repeated key the last counts.
 *
 * Errors: ERR_SYNTAX (malformed, or not an object or an array of objects; then bb has the rows it
 * had before, see json_error for where), ERR_LIMIT (depth, size, rows of bb), ERR_NOMEM. */
int json_decode(struct json_reader *r, struct bytes payload, int64_t time_us,
                struct batch_builder *bb);

/* Schemaless: the message as a batch of its own whose columns are of type any (objects and arrays
 * as JSON text in a string), in the order of their first occurrence. An empty array gives
 * ERR_INVALID. The schema is the reader's last one as long as the keys stay the same. */
int json_decode_any(struct json_reader *r, struct bytes payload, int64_t time_us,
                    struct batch_pool *pool, struct batch **ret);

/* ---- rows of a group: as json_print_rows prints them, read back
 *
 * Each object is a row with its own time under time_key: milliseconds since 1970 (a fraction
 * carries µs) or RFC 3339; behind a row with JSON_STEP_KEY one without a time is so many
 * microseconds (a fraction too) behind the one before, as the samples of a block are that is
 * stamped once. Values are the shown ones, taken to the stored ones by field_raw. All or nothing: a
 * key that is no column, a value that is no value of its column (or of no single stored one), a row
 * without time refuse the message. null is a null of QUALITY_UNREAD, a column that is left out a
 * null that says nothing; 0 and 1 are bools too; bytes are a string or {"$bytes": base64}. */

#define JSON_STEP_KEY "step_us" /* unless a column is called so */

/* A reader for json_decode_rows. limits (borrowed): what else is refused, one a column; NULL =
 * nothing. ERR_EXISTS: wanted has a column called time_key. ERR_NOMEM. */
int json_rows_reader_new(const struct schema *wanted, const struct field_limit *limits,
                         const char *time_key, struct json_reader **ret);

/* Adds payload's rows to bb. PAYLOAD_PAD spare bytes are readable behind payload. ERR_SYNTAX (see
 * json_error, which names row and column), ERR_NOMEM; bb then has the rows it had before. */
int json_decode_rows(struct json_reader *r, struct bytes payload, struct batch_builder *bb);

/* What was wrong with the last message, for a person: "at byte 17: …". Valid until the next call.
 */
const char *json_error(const struct json_reader *r);

#endif
