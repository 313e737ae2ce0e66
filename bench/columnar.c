/* What a value costs on its way: bytes and nanoseconds of a batch, 10,000 × 1, 10,000 × 10 and
 * 100 × 100 (columns × rows), through the codec both ways. The journal and the uplink add a head a
 * record (printed), not a byte a value. Half the columns are doubles, a quarter uint64, an eighth
 * float32, an eighth bool: raw = the bytes the values themselves have.
 */
#include "codec/columnar.h"

#include "bench/bench.h"
#include "stream/record.h"

#include <string.h>

#define SECONDS     0.5
#define NAME_FORMAT "column%05u"

static enum value_type type_of(uint32_t col)
{
    static const enum value_type types[8] = {VALUE_DOUBLE, VALUE_UINT64, VALUE_DOUBLE,
                                             VALUE_UINT64, VALUE_DOUBLE, VALUE_FLOAT32,
                                             VALUE_DOUBLE, VALUE_BOOL};

    return types[col % 8];
}

static struct schema *make_schema(uint32_t columns)
{
    struct field *fields = calloc(columns, sizeof *fields);
    char(*names)[16] = calloc(columns, sizeof *names);
    struct schema *schema = NULL;
    for (uint32_t i = 0; i < columns; i++) {
        (void)snprintf(names[i], sizeof names[i], NAME_FORMAT, i);
        fields[i] = (struct field){.name = names[i], .scale = 1, .type = type_of(i)};
    }
    bench_must(schema_new(fields, columns, &schema), "schema", NULL);
    free(fields);
    free(names);
    return schema;
}

static void fill(struct batch_builder *bb, uint32_t columns, uint32_t rows, uint64_t seed)
{
    for (uint32_t row = 0; row < rows; row++) {
        (void)batch_builder_row(bb, (int64_t)(1700000000000000 + row * 100000));
        for (uint32_t col = 0; col < columns; col++) {
            uint64_t v = seed * 2654435761u + (uint64_t)row * columns + col;
            enum value_type type = type_of(col);
            if (type == VALUE_DOUBLE)
                batch_set_f64(bb, col, (double)v * 0.001);
            else if (type == VALUE_UINT64)
                batch_set_u64(bb, col, v);
            else if (type == VALUE_FLOAT32)
                batch_set_f32(bb, col, (float)v);
            else
                batch_set_bool(bb, col, v & 1);
        }
    }
}

static double raw_bytes(uint32_t columns, uint32_t rows)
{
    double bytes = 0;
    for (uint32_t col = 0; col < columns; col++) {
        enum value_type type = type_of(col);
        bytes += type == VALUE_BOOL ? 0.125 : (double)value_type_width(type);
    }
    return bytes * rows;
}

static void measure(uint32_t columns, uint32_t rows)
{
    struct schema *schema = make_schema(columns);
    struct batch_pool *pool = batch_pool_new(8);
    struct batch_builder *bb = NULL;
    struct buf wire = {0};
    double build_s = 0;
    double encode_s = 0;
    double decode_s = 0;
    double values = 0;
    bench_must(batch_builder_new(schema, rows, pool, &bb), "builder", NULL);
    double end = bench_now_s() + SECONDS * 3;
    for (uint64_t i = 0; bench_now_s() < end; i++) {
        struct batch *made = NULL;
        struct batch *back = NULL;
        double t0 = bench_now_s();
        fill(bb, columns, rows, i);
        bench_must(batch_builder_finish(bb, &made), "finish", NULL);
        double t1 = bench_now_s();
        buf_reset(&wire);
        bench_must(columnar_encode(made, NULL, &wire), "encode", NULL);
        double t2 = bench_now_s();
        bench_must(columnar_decode(buf_bytes(&wire), schema, pool, &back), "decode", NULL);
        double t3 = bench_now_s();
        build_s += t1 - t0;
        encode_s += t2 - t1;
        decode_s += t3 - t2;
        values += (double)columns * rows;
        batch_unref(made);
        batch_unref(back);
    }
    char what[96];
    (void)snprintf(what, sizeof what, "%u x %u bytes vs raw values", columns, rows);
    double raw = raw_bytes(columns, rows);
    bench_value("columnar", what, (double)wire.len / raw, "ratio", 1.1);
    (void)snprintf(what, sizeof what, "%u x %u wire", columns, rows);
    bench_value("columnar", what, (double)wire.len / ((double)columns * rows), "B/value", 0);
    (void)snprintf(what, sizeof what, "%u x %u build", columns, rows);
    bench_value("columnar", what, build_s / values * 1e9, "ns/value", 0);
    (void)snprintf(what, sizeof what, "%u x %u encode", columns, rows);
    bench_value("columnar", what, encode_s / values * 1e9, "ns/value", 0);
    (void)snprintf(what, sizeof what, "%u x %u decode", columns, rows);
    bench_value("columnar", what, decode_s / values * 1e9, "ns/value", 0);
    buf_fini(&wire);
    batch_builder_free(bb);
    batch_pool_free(pool);
    schema_unref(schema);
}

int main(void)
{
    struct buf head = {0};
    struct record record = {
        .node = bytes_of_text("edge1"),
        .stream = bytes_of_text("plc1.press"),
        .origin = {1700000000000, 123456},
    };
    bench_must(record_head_encode(&record, &head), "head", NULL);
    bench_value("columnar", "record head, journal and uplink", (double)head.len, "B/record", 0);
    buf_fini(&head);
    measure(10000, 1);
    measure(10000, 10);
    measure(100, 100);
    return 0;
}
