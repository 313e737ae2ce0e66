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

/* Whether that machine shows it, with or without light barriers. */
bool plant_tag_is_of(const struct plant_tag *tag, enum machine m, bool eyes);

/* As the machine shows it at t, which is p->now_us or later. */
struct plant_value plant_tag_value(struct plant *p, const struct plant_tag *tag, enum machine m,
                                   int64_t t);

/* Brings the machine's registers up to date. */
void plant_registers(struct plant *p, enum machine m, int64_t t, struct modbus_unit *unit);

/* How a node reaches the machines. */
struct plant_access {
    const char *host;
    uint16_t ports[MACHINES];
    const char *interval;
    bool eyes;
};

/* The sections devices and tracks of a node's configuration. Here and in the next two the names are
 * marked, for renamed_text. */
void plant_config(const struct plant_access *access, struct buf *out);

/* The sections streams, characteristics and rules: what is asked of the MES, what is read from
 * files (if there are any) and the trace that is made. */
void plant_rules(const char *host, uint16_t mes, const char *files, struct buf *out);

/* The topic that the machine's group publishes on. */
void plant_topic(enum machine m, struct buf *out);

/* ------------------------------------------------------------------------------------------ MES */

struct plant_mes {
    struct plant *plant; /* of which units are held */
    struct plant *book;  /* whose book is told: the same, but during a backfill */
    uint64_t asked;      /* how often a book was */
    char **verdicts;     /* as they were posted, the latest MES_POSTS_MAX */
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
    struct renaming names;

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
int plant_files_start(struct plant_files *f, const char *folder, uint32_t every,
                      const struct scenario *s);
void plant_files_inspected(struct plant_files *f, struct plant *p, const struct unit *u,
                           enum machine station);
/* From now on so many inspections in one file; what is collected is written. */
void plant_files_every(struct plant_files *f, uint32_t every);
/* Writes what was left out of files begun earlier; all of it at the end. */
void plant_files_tick(struct plant_files *f, bool end);

/* ------------------------------------------------------------------------------------- backfill */

/* A connection to a broker over which messages go with QoS 1: MQTT 5.0 (OASIS), as much as it
 * takes. Blocking; errors are told on stderr, as are the broker's going and its coming back. */
struct plant_publisher;

/* NULL: refused (told), or nobody is there (told if `tell`). Copies both texts. */
struct plant_publisher *plant_publisher_open(const char *address, const char *token, bool tell);
/* OK: the message is sent or kept to be sent again, and only some wait for their acknowledgement.
 * ERR_AGAIN: the broker is away, nothing was taken; to be asked again soon, since that is what
 * dials anew. Other errors: it stayed away too long, or refused; told. */
int plant_publisher_send(struct plant_publisher *b, struct bytes topic, struct bytes payload);
/* OK: all are acknowledged. Errors as above. */
int plant_publisher_flush(struct plant_publisher *b);
void plant_publisher_close(struct plant_publisher *b);

#define VALUE_BYTES 48 /* of a value as printed */

struct plant_backfill {
    struct plant *plant;
    struct plant_publisher *publisher;
    double rate; /* rows a second */
    int64_t begin_mono_us;
    uint64_t rows, messages;
    int64_t t_us; /* of the next row */
    bool made;    /* what `text` has is whole and not yet sent */

    struct {
        struct buf text;            /* a message's payload */
        struct buf held;            /* a row that says nothing new, unless the next one does */
        char last[64][VALUE_BYTES]; /* what each text or number showed last, as printed */
        int64_t row_us, full_us;
    } groups[MACHINES];
};

#define BACKFILL_CHUNK_US (120 * SECOND_US)

/* Goes on for BACKFILL_CHUNK_US of the plant's time, at most until then, and sends. ERR_AGAIN: the
 * broker is away; called again it goes on where it was. Other errors are told on stderr. */
int plant_backfill_go(struct plant_backfill *b, int64_t until_us);
/* OK: nothing is left to be acknowledged. Errors as above. */
int plant_backfill_flush(struct plant_backfill *b);
void plant_backfill_free(struct plant_backfill *b);

#endif
