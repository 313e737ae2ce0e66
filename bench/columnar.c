/* What a value costs on its way: bytes and nanoseconds of a batch, 10,000 × 1, 10,000 × 10 and
 * 100 × 100 (columns × rows), through the codec both ways, through the journal both ways
 * (columnar_journal.c) and over the uplink (columnar_uplink.c). Half the columns are doubles, a
 * quarter uint64, an eighth float32, an eighth bool: raw = the bytes the values themselves have.
 *
 *   bench_columnar [DIR]       default: the current directory
 */
#include "codec/columnar.h"

#include "base/log.h"
#include "bench/bench.h"
#include "bench/columnar.h"
#include "bench/folder.h"
#include "bench/node.h"
#include "stream/record.h"

#include <string.h>
#include <sys/stat.h>

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

uint32_t columnar_round_batches(const struct columnar_shape *s)
{
    return (uint32_t)(COLUMNAR_ROUND_BYTES / raw_bytes(s->columns, s->rows)) + 1;
}

void columnar_print(const struct columnar_shape *s, const char *what, double value,
                    const char *unit)
{
    char text[96];
    (void)snprintf(text, sizeof text, "%u x %u %s", s->columns, s->rows, what);
    bench_value("columnar", text, value, unit, 0);
}

static void codec_print(const struct columnar_shape *s, double bytes, double values,
                        const double seconds[3])
{
    char what[96];
    (void)snprintf(what, sizeof what, "%u x %u bytes vs raw values", s->columns, s->rows);
    bench_value("columnar", what, bytes / raw_bytes(s->columns, s->rows), "ratio", 1.1);
    columnar_print(s, "wire", bytes / ((double)s->columns * s->rows), "B/value");
    columnar_print(s, "build", seconds[0] / values * 1e9, "ns/value");
    columnar_print(s, "encode", seconds[1] / values * 1e9, "ns/value");
    columnar_print(s, "decode", seconds[2] / values * 1e9, "ns/value");
}

static void codec_measure(const struct columnar_shape *s)
{
    struct batch_pool *pool = batch_pool_new(8);
    struct batch_builder *bb = NULL;
    struct buf wire = {0};
    double seconds[3] = {0}; /* build, encode, decode */
    double values = 0;
    bench_must(batch_builder_new(s->schema, s->rows, pool, &bb), "builder", NULL);
    double end = bench_now_s() + SECONDS * 3;
    for (uint64_t i = 0; bench_now_s() < end; i++) {
        struct batch *made = NULL;
        struct batch *back = NULL;
        double t0 = bench_now_s();
        fill(bb, s->columns, s->rows, i);
        bench_must(batch_builder_finish(bb, &made), "finish", NULL);
        double t1 = bench_now_s();
        buf_reset(&wire);
        bench_must(columnar_encode(made, NULL, &wire), "encode", NULL);
        double t2 = bench_now_s();
        bench_must(columnar_decode(buf_bytes(&wire), s->schema, pool, &back), "decode", NULL);
        seconds[0] += t1 - t0;
        seconds[1] += t2 - t1;
        seconds[2] += bench_now_s() - t2;
        values += (double)s->columns * s->rows;
        batch_unref(made);
        batch_unref(back);
    }
    codec_print(s, (double)wire.len, values, seconds);
    buf_fini(&wire);
    batch_builder_free(bb);
    batch_pool_free(pool);
}

static void shape_init(struct columnar_shape *s, uint32_t columns, uint32_t rows)
{
    struct batch_builder *bb = NULL;
    *s = (struct columnar_shape){.columns = columns, .rows = rows, .schema = make_schema(columns)};
    bench_must(batch_builder_new(s->schema, rows, NULL, &bb), "builder", NULL);
    for (uint64_t i = 0; i < COLUMNAR_BATCHES; i++) {
        fill(bb, columns, rows, i);
        bench_must(batch_builder_finish(bb, &s->batches[i]), "finish", NULL);
    }
    batch_builder_free(bb);
}

static void shape_fini(struct columnar_shape *s)
{
    for (uint32_t i = 0; i < COLUMNAR_BATCHES; i++)
        batch_unref(s->batches[i]);
    schema_unref(s->schema);
}

static void measure(const char *dir, uint32_t columns, uint32_t rows)
{
    struct columnar_shape shape;
    char own[BENCH_PATH_BYTES_MAX + 32];
    shape_init(&shape, columns, rows);
    codec_measure(&shape);
    (void)snprintf(own, sizeof own, "%s/%ux%u", dir, columns, rows);
    bench_must(mkdir(own, 0700) == 0 ? OK : ERR_IO, own, NULL);
    columnar_journal_measure(&shape, own);
    columnar_uplink_measure(&shape, own);
    bench_folder_remove(own);
    shape_fini(&shape);
}

int main(int argc, char **argv)
{
    char dir[BENCH_PATH_BYTES_MAX];
    struct buf head = {0};
    struct record record = {
        .node = bytes_of_text("edge1"),
        .stream = bytes_of_text("plc1.press"),
        .origin = {1700000000000, 123456},
    };
    log_level_set(LOG_WARN);
    bench_folder_enter(argc, argv, "columnar", dir);
    bench_must(record_head_encode(&record, &head), "head", NULL);
    bench_value("columnar", "record head, journal and uplink", (double)head.len, "B/record", 0);
    buf_fini(&head);
    measure(dir, 10000, 1);
    measure(dir, 10000, 10);
    measure(dir, 100, 100);
    bench_folder_remove(dir);
    return 0;
}
