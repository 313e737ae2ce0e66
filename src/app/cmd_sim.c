/* `lotline sim …`: hands over to the simulators, which know nothing of the node. */
#include "app/commands.h"
#include "sim/sim.h"

int command_sim(int argc, char **argv, const struct cli_command *command)
{
    (void)command;
    return sim_main(argc, argv);
}
