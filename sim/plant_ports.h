/* How the plant leaves its model: what plant.c joins. Private to sim/. */
#ifndef LOTLINE_SIM_PLANT_PORTS_H
#define LOTLINE_SIM_PLANT_PORTS_H

#include "sim/modbus_server.h"
#include "sim/plant.h"

/* -------------------------------------------------------------------------------- what machines
 * show: one table for the registers, the configuration and the payloads of a backfill */

enum tag_type {
    TAG_BIT,
    TAG_UINT16,
    TAG_UINT32,
    TAG_TENTH, /* int16, 0.1 */
    TAG_FLOAT,
    TAG_TEXT,
};

struct plant_tag {
    const char *name;
    uint32_t machines; /* a bit each */
    char area;         /* 0 coil, 1 discrete input, 3 input register, 4 holding register */
    uint16_t number;   /* from 1 */
    uint8_t type;
    uint8_t bytes; /* of a text */
    uint8_t quantity;
    uint8_t index;
    const char *uom;
};

struct plant_value {
    double number;
    const char *text; /* of a TAG_TEXT */
};

/* Ends with a row whose name is NULL. */
extern const struct plant_tag plant_tags[];

static inline bool plant_tag_is_of(const struct plant_tag *tag, enum machine m)
{
    return tag->machines >> m & 1;
}

/* As the machine shows it at t, which is p->now_us or later. */
struct plant_value plant_tag_value(struct plant *p, const struct plant_tag *tag, enum machine m,
                                   int64_t t);

/* Brings the machine's registers up to date. */
void plant_registers(struct plant *p, enum machine m, int64_t t, struct modbus_unit *unit);

/* The sections devices, tracks and characteristics of a node's configuration. */
void plant_config(const char *host, const uint16_t ports[static MACHINES], const char *interval,
                  struct buf *out);

/* ------------------------------------------------------------------------------------------ MES */

struct plant_mes {
    struct plant *plant;
    char **verdicts; /* as they were posted, the latest MES_POSTS_MAX */
    char **holds;
    uint32_t verdict_count, hold_count;
};

#define MES_POSTS_MAX 10000

/* For sim_http_serve: GET and POST of docs/simulators.md. ctx is a struct plant_mes. */
int plant_mes_answer(void *ctx, struct bytes method, struct bytes path, struct bytes query,
                     struct bytes body, struct buf *out);
void plant_mes_free(struct plant_mes *m);

/* ---------------------------------------------------------------------------------------- files */

#define FILES_PENDING_MAX 64

struct plant_files {
    const char *folder; /* NULL = none are written */
    uint32_t every;     /* inspections in one file */
    struct rand rand;

    struct {
        struct buf text;
        uint32_t inspections, files;
        int64_t t_us; /* of the last one */
    } open[STATIONS];

    struct {
        char path[512];
        struct buf rest;
        int64_t due_us; /* monotonic */
    } pending[FILES_PENDING_MAX];

    uint32_t pending_count;
};

/* Makes DIR/spi and so on. ERR_* with a line on stderr. */
int plant_files_start(struct plant_files *f, const char *folder, uint32_t every, uint64_t seed);
void plant_files_inspected(struct plant_files *f, struct plant *p, const struct unit *u,
                           enum machine station);
/* Writes what was left out of files begun earlier; all of it at the end. */
void plant_files_tick(struct plant_files *f, bool end);

#endif
