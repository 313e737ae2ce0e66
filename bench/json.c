/* JSON into columns against simdjson's on-demand parser that reads every field and stores nothing.
 * Messages of 40 fields (doubles, integers, strings, booleans), one at a time, as they come from
 * MQTT; ours makes batches of 100 rows of them.
 */
#include "bench/json.h"

#include "bench/bench.h"
#include "codec/json.h"

#include <string.h>

#define FIELDS   40
#define ROWS     100
#define ROUNDS   9
#define MESSAGES 20000
#define GOAL     0.4

static enum value_type type_of(int i)
{
    static const enum value_type types[] = {VALUE_DOUBLE, VALUE_INT64,  VALUE_DOUBLE,
                                            VALUE_STRING, VALUE_DOUBLE, VALUE_BOOL};

    return types[i % 6];
}

static struct payload *make_message(void)
{
    struct buf out = {0};
    (void)buf_append_text(&out, "{");
    for (int i = 0; i < FIELDS; i++) {
        (void)buf_printf(&out, "%s\"signal_%02d\":", i ? "," : "", i);
        enum value_type type = type_of(i);
        if (type == VALUE_DOUBLE)
            (void)buf_printf(&out, "%.6f", 17.25 * i + 0.123456);
        else if (type == VALUE_INT64)
            (void)buf_printf(&out, "%d", i * 123457);
        else if (type == VALUE_BOOL)
            (void)buf_append_text(&out, i % 2 ? "true" : "false");
        else
            (void)buf_printf(&out, "\"PRS-%06d\"", i);
    }
    (void)buf_append_text(&out, "}");
    struct payload *p = payload_copy(buf_bytes(&out));
    buf_fini(&out);
    return p;
}

static struct schema *make_schema(void)
{
    struct field fields[FIELDS];
    char names[FIELDS][16];
    struct schema *schema = NULL;
    for (int i = 0; i < FIELDS; i++) {
        (void)snprintf(names[i], sizeof names[i], "signal_%02d", i);
        fields[i] = (struct field){.name = names[i], .scale = 1, .type = type_of(i)};
    }
    bench_must(schema_new(fields, FIELDS, &schema), "schema", NULL);
    return schema;
}

static double round_ours(struct json_reader *reader, struct batch_builder *bb,
                         const struct payload *message)
{
    double start = bench_cpu_s();
    for (int i = 0; i < MESSAGES; i++) {
        bench_must(json_decode(reader, payload_bytes(message), i, bb), "decode", NULL);
        if (batch_builder_rows(bb) < ROWS)
            continue;
        struct batch *b = NULL;
        bench_must(batch_builder_finish(bb, &b), "finish", NULL);
        batch_unref(b);
    }
    return bench_cpu_s() - start;
}

static double round_peer(void *parser, const struct payload *message)
{
    double start = bench_cpu_s();
    double sum = 0;
    for (int i = 0; i < MESSAGES; i++)
        sum += json_peer_read(parser, message->data, message->len);
    bench_must(sum > 0 ? OK : ERR_INTERNAL, "peer", NULL);
    return bench_cpu_s() - start;
}

int main(void)
{
    struct payload *message = make_message();
    struct schema *schema = make_schema();
    struct json_reader *reader = NULL;
    struct batch_builder *bb = NULL;
    void *parser = json_peer_new();
    double ours[ROUNDS];
    double peer[ROUNDS];
    bench_must(json_reader_new(schema, &reader), "reader", NULL);
    bench_must(batch_builder_new(schema, ROWS, NULL, &bb), "builder", NULL);
    for (int i = 0; i < ROUNDS; i++) {
        peer[i] = round_peer(parser, message);
        ours[i] = round_ours(reader, bb, message);
    }
    double mb = (double)message->len * MESSAGES / 1e6;
    bench_ratio("json", "into columns vs simdjson on-demand reading every field",
                mb / bench_median(ours, ROUNDS), mb / bench_median(peer, ROUNDS), "MB/s", GOAL);
    batch_builder_free(bb);
    json_reader_free(reader);
    schema_unref(schema);
    payload_unref(message);
    return 0;
}
