/* What the simulators share: options and the ledger. Private to sim/. */
#ifndef LOTLINE_SIM_SIM_PRIV_H
#define LOTLINE_SIM_SIM_PRIV_H

#include <stdint.h>
#include <stdio.h>

struct sim_options {
    const char *host;
    uint16_t port;
    const char *ledger; /* NULL = none */
    double speed;
    uint64_t seed;
    uint64_t units;     /* parts until the machine stops; 0 = no end */
    uint64_t registers; /* > 0: a bank of counters instead of the machine */
};

/* Returns -1 when the simulator is to run, else the exit code (help, a mistake). */
int sim_options_read(int argc, char **argv, struct sim_options *ret);

/* The ledger to append to; NULL if none is wanted or it cannot be written (said). */
FILE *sim_ledger_open(const struct sim_options *o);

/* A bank of counters for load and loss tests (bank.c). */
int sim_bank(const struct sim_options *o);

#endif
