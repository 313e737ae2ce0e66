/* The simulators behind `lotline sim NAME`. They know nothing of the node, and the node nothing of
 * them: what they say leaves by their devices' protocols alone. */
#ifndef LOTLINE_SIM_SIM_H
#define LOTLINE_SIM_SIM_H

/* argv[1] names the simulator. Returns an exit code. */
int sim_main(int argc, char **argv);

/* A press with a scanner, or with --registers a bank of counters (press.c, bank.c). */
int sim_press(int argc, char **argv);

/* A soldering line with its MES (plant.c). */
int sim_plant(int argc, char **argv);

#endif
