/* `lotline sim NAME`: finds the simulator and reads the options that all of them have. */
#include "sim/sim.h"

#include "base/err.h"
#include "base/str.h"
#include "sim/sim_priv.h"

#include <errno.h>
#include <string.h>

static const char usage[] =
    "Usage: lotline sim press [options]\n"
    "       lotline sim plant [options]     (try: lotline sim plant --help)\n"
    "\n"
    "  --host IP         address to listen on (default 127.0.0.1)\n"
    "  --port N          port (default 5020; 0 = any free one)\n"
    "  --speed X         how much faster than real the machine works (default 1)\n"
    "  --seed N          the same seed makes the same parts (default 1)\n"
    "  --units N         stop after N parts (default: never)\n"
    "  --ledger FILE     append what really happened, as JSON lines\n"
    "  --registers N     no press but a bank of N counting registers\n"
    "\n"
    "The registers are explained in docs/simulators.md.\n";

struct number_option {
    const char *name;
    uint64_t *value;
    uint64_t max;
};

static int number_read(const struct number_option *options, const char *name, const char *text)
{
    for (const struct number_option *o = options; o->name; o++) {
        if (strcmp(o->name, name) != 0)
            continue;
        uint64_t v;
        if (str_to_u64(bytes_of_text(text), &v) || v > o->max)
            return -1;
        *o->value = v;
        return 1;
    }
    return 0;
}

/* 1 = taken, 0 = unknown, -1 = bad value. */
static int option_read(struct sim_options *o, uint64_t *port, const char *name, const char *text)
{
    const struct number_option numbers[] = {
        {"--port", port, 65535},
        {"--seed", &o->seed, UINT64_MAX},
        {"--units", &o->units, UINT64_MAX},
        {"--registers", &o->registers, UINT64_MAX},
        {NULL, NULL, 0},
    };
    if (strcmp(name, "--host") == 0) {
        o->host = text;
        return 1;
    }
    if (strcmp(name, "--ledger") == 0) {
        o->ledger = text;
        return 1;
    }
    if (strcmp(name, "--speed") == 0)
        return str_to_double(bytes_of_text(text), &o->speed) || !(o->speed > 0) ? -1 : 1;
    return number_read(numbers, name, text);
}

int sim_options_read(int argc, char **argv, struct sim_options *ret)
{
    uint64_t port = 5020;
    *ret = (struct sim_options){.host = "127.0.0.1", .speed = 1, .seed = 1};
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        int taken = i + 1 < argc ? option_read(ret, &port, argv[i], argv[i + 1]) : 0;
        if (taken <= 0) {
            (void)fprintf(stderr, "sim: %s %s (try: lotline sim press --help)\n",
                          taken ? "bad value for" : "unknown option or no value:", argv[i]);
            return 2;
        }
    }
    ret->port = (uint16_t)port;
    return -1;
}

FILE *sim_ledger_open(const struct sim_options *o)
{
    if (!o->ledger)
        return NULL;
    FILE *ledger = fopen(o->ledger, "ae");
    if (!ledger)
        (void)fprintf(stderr, "sim: the ledger %s cannot be written: %s\n", o->ledger,
                      err_text(err_from_errno(errno)));
    return ledger;
}

int sim_main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "press") == 0)
        return sim_press(argc, argv);
    if (argc >= 2 && strcmp(argv[1], "plant") == 0)
        return sim_plant(argc, argv);
    bool help = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc >= 2 && !help)
        (void)fprintf(stderr, "sim: there is no machine '%s'\n\n", argv[1]);
    (void)fputs(usage, help ? stdout : stderr);
    return help ? 0 : 2;
}
