/* All names of the plant. tools/hygiene reads this file and looks for them in src/, where none may
 * be: a node knows a plant from its configuration alone. */
#include "sim/plant.h"

const char *const plant_machine_names[MACHINES] = {
    "printer", "spi",     "placer_a", "placer_b",     "oven",
    "aoi",     "depanel", "ict",      "rework_bench", "hall",
};

const char *const plant_station_names[STATIONS] = {
    "printer", "spi", "placer_a", "placer_b", "reflow", "aoi", "depanel", "ict", "rework",
};

const char *const plant_group_names[MACHINES] = {
    "run", "run", "run", "run", "belt", "run", "run", "run", "run", "air",
};

const char *const plant_defect_names[DEFECTS] = {
    "offset_print", "misplacement", "tombstone", "cold_solder", "bridging", "solder_balls",
};

const char *const plant_fault_names[FAULTS + 1] = {
    "operator_setup", "nozzle_wear", "bad_reel_lot", "zone_drift", "old_paste", "humidity", NULL,
};

const char *const plant_products[2] = {"MB-100", "MB-200"};

const char *const plant_parts[FEEDERS] = {"CAP-100N", "RES-10K", "IC-32", "CON-8"};

const char *const plant_positions[POSITIONS] = {
    "C1", "C2", "C3", "C4", "R1", "R2", "R3", "U1", "U2", "J1",
};

const char *const plant_symptoms[2] = {"open", "short"};
