/* Batches into the log and back out of it.
 *
 * In: a producer pushes them into a durable stream; the log encodes them, appends them and makes
 * them durable. The clock runs from the first push until the last one's done. Out: a reader of the
 * log, as the historian and the rules have, takes each record and its batch; what it reads was just
 * written, so the files are in the page cache.
 *
 * How much one fdatasync covers decides what a value costs here, so that is printed too: a stream
 * has so many bytes of batches under way at most, and a batch of 10,000 columns is in memory five
 * times what it is in a file.
 */
#include "bench/bench.h"
#include "bench/columnar.h"
#include "bench/node.h"

static void read_back(struct stream_reader *reader, const struct columnar_shape *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct stream_record record;
        struct batch *b = NULL;
        bench_must(stream_reader_next(reader, &record), "reading the log", NULL);
        bench_must(stream_reader_batch(reader, &record, &b), "a batch of the log", NULL);
        bench_must(b->rows == s->rows ? OK : ERR_MALFORMED, "a batch of the log", NULL);
        batch_unref(b);
    }
}

static uint64_t commits_of(const struct bench_node *n)
{
    struct journal_log_stats stats;
    journal_log_stats(stream_log_journal(n->log), &stats);
    return stats.commits;
}

void columnar_journal_measure(const struct columnar_shape *s, const char *dir)
{
    struct bench_node node;
    struct stream_reader *reader = NULL;
    double append_ns[COLUMNAR_ROUNDS];
    double read_ns[COLUMNAR_ROUNDS];
    uint32_t count = columnar_round_batches(s);
    double values = (double)count * s->columns * s->rows;
    bench_node_open(&node, dir, "journal", s->schema);
    bench_must(stream_reader_new(node.log, (struct position){0, 0}, &reader), "a reader", NULL);
    /* Once before it counts: the first file, the schema, memory. */
    (void)bench_node_append(&node, s->batches, COLUMNAR_BATCHES, count);
    read_back(reader, s, count);
    uint64_t written = bench_node_written(&node);
    uint64_t commits = commits_of(&node);
    for (int i = 0; i < COLUMNAR_ROUNDS; i++) {
        double start = bench_now_s();
        (void)bench_node_append(&node, s->batches, COLUMNAR_BATCHES, count);
        double durable = bench_now_s();
        read_back(reader, s, count);
        append_ns[i] = (durable - start) / values * 1e9;
        read_ns[i] = (bench_now_s() - durable) / values * 1e9;
    }
    written = bench_node_written(&node) - written;
    commits = commits_of(&node) - commits;
    columnar_print(s, "journal files", (double)written / (values * COLUMNAR_ROUNDS), "B/value");
    columnar_print(s, "journal, batches an fdatasync",
                   (double)count * COLUMNAR_ROUNDS / (double)commits, "batches");
    columnar_print(s, "journal, batch to durable", bench_median(append_ns, COLUMNAR_ROUNDS),
                   "ns/value");
    columnar_print(s, "journal, record to batch", bench_median(read_ns, COLUMNAR_ROUNDS),
                   "ns/value");
    stream_reader_free(reader);
    bench_node_close(&node);
}
