/* What the parts of the columnar benchmark share: the shape of a batch, and what is in it.
 */
#ifndef LOTLINE_BENCH_COLUMNAR_H
#define LOTLINE_BENCH_COLUMNAR_H

#include "model/batch.h"

#define COLUMNAR_BATCHES     16 /* different ones; a run takes them again and again */
#define COLUMNAR_ROUNDS      9
#define COLUMNAR_ROUND_BYTES (32u << 20) /* of values, about */

/* A batch of so many columns × rows, and ready-made ones. */
struct columnar_shape {
    uint32_t columns;
    uint32_t rows;
    struct schema *schema;
    struct batch *batches[COLUMNAR_BATCHES];
};

/* Batches of a round. */
uint32_t columnar_round_batches(const struct columnar_shape *s);

/* Prints one figure: "COLUMNS x ROWS what". */
void columnar_print(const struct columnar_shape *s, const char *what, double value,
                    const char *unit);

/* Through the journal and back, and over the uplink; each in a folder of its own in dir. */
void columnar_journal_measure(const struct columnar_shape *s, const char *dir);
void columnar_uplink_measure(const struct columnar_shape *s, const char *dir);

#endif
