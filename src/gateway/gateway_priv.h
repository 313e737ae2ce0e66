/* Inside the gateway: devices, groups, requests, operations.
 *
 * Everything about a device is touched on its loop only, once it has started; counters are the
 * exception and are atomics. The files and what each is for:
 *
 *   gateway.c       new, start, stop, free, counters      configure.c   YAML → devices and groups
 *   driver_table.c  built-in drivers and plug-ins         calls.c       gateway.devices, …
 *   device.c        a device's life: link, faults, retry  link_tcp.c    its bytes, over net/conn.h
 *   schedule.c      which request goes next, time-outs    op.c          writes and single reads
 *   group.c         the grid, cycles, rows, batches       plan.c        requests, and splitting
 * them decode.c        steps → cells                         write_value.c what people write → raw
 *   probe.c         one read without configuration
 */
#ifndef LOTLINE_GATEWAY_GATEWAY_PRIV_H
#define LOTLINE_GATEWAY_GATEWAY_PRIV_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/rand.h"
#include "config/option.h"
#include "gateway/gateway.h"
#include "lotline/driver.h"

#include <stdatomic.h>

#define GATEWAY_INTERVAL_US_MIN (10 * 1000)
#define GATEWAY_GROUP_TAGS_MAX  SCHEMA_FIELDS_MAX
#define GATEWAY_DEVICES_MAX     10000u
#define GATEWAY_DRIVERS_MAX     256u
#define GATEWAY_GROUPS_MAX      512u  /* of a device */
#define GATEWAY_OPS_MAX         1000u /* writes and reads waiting for one device */
#define GATEWAY_ROWS_MAX        1024u /* of one batch */
#define GATEWAY_CELLS_MAX       (1u << 20)
#define GATEWAY_SILENT_MAX      32u /* requests in a row without an answer: the link is dropped */
#define GATEWAY_PEER_SILENT_MAX 2u  /* of one peer: it is asked only now and then */
#define GATEWAY_RETRY_US_MIN    (250 * 1000)
#define GATEWAY_RETRY_US_MAX    (15 * 1000 * 1000)
#define GATEWAY_CONNECT_US_MAX  (5 * 1000 * 1000)
#define GATEWAY_OFFLINE_ROW_US  (1000 * 1000) /* while offline, a row that says so each … */
#define GATEWAY_CLOCK_SLACK_US  1000          /* wall and monotonic clock may part by so much */
#define GATEWAY_NAME_BYTES_MAX  64

struct device;
struct group;
struct op;

/* ---------------------------------------------------------------------------------------- drivers
 */

struct driver_table {
    const struct lotline_driver *drivers[GATEWAY_DRIVERS_MAX];
    void *handles[GATEWAY_DRIVERS_MAX]; /* of dlopen; NULL for built-in ones */
    uint32_t count;
};

/* The built-in drivers. */
void driver_table_init(struct driver_table *t);
void driver_table_fini(struct driver_table *t);

/* Loads every *.so of a folder. ERR_NOT_FOUND (the folder), ERR_INVALID (no driver in a file),
 * ERR_VERSION, ERR_EXISTS, ERR_LIMIT; *diag names the file. */
int driver_table_load(struct driver_table *t, const char *folder, struct diag *diag);

const struct lotline_driver *driver_table_find(const struct driver_table *t, const char *name);

/* ERR_VERSION or ERR_INVALID with a sentence when a driver cannot be used. */
int driver_check(const struct lotline_driver *driver, const char *where, struct diag *diag);

/* `common` followed by the driver's options as rows that store `shift` bytes further, in the arena.
 * NULL when out of memory. */
const struct option *driver_options_join(const struct lotline_driver *driver,
                                         const struct option *common, size_t shift,
                                         struct arena *arena);

/* ------------------------------------------------------------------------------------------- tags
 */

struct tag {
    const char *name;
    const char *address_text;
    uint8_t type; /* enum lotline_type */
    bool writable;
    bool exact_len;
    uint32_t text_bytes_max;
};

extern const char *const tag_type_names[]; /* by enum lotline_type - 1; ends with NULL */

/* How a type is stored. */
enum value_type tag_value_type(uint8_t type);
uint32_t tag_field_flags(uint8_t type);

/* What the device can hold of it. */
struct field_limit tag_limit(const struct tag *tag);
bool tag_type_is_number(uint8_t type);

/* ------------------------------------------------------------------------------------------- plan
 */

/* What is dead or alive on its own behind one connection. */
struct peer {
    struct list link; /* device->peers */
    uint32_t id;
    uint32_t silent;     /* requests in a row without an answer */
    bool probing;        /* the one request that finds out is on its way */
    int64_t retry_at_us; /* before it nothing is sent to a silent peer */
    int64_t retry_us;
};

/* One planned read. */
struct request {
    struct list link; /* in its plan */
    struct list redo; /* in the group's list of what a split made, to be sent in this cycle */
    struct peer *peer;
    uint32_t data_bytes_min; /* the steps reach so far */
    uint32_t step_count;
    uint32_t step_cap;
    struct lotline_step *steps; /* step.tag is the tag's index in the group */
    _Alignas(16) uint8_t driver[LOTLINE_REQUEST_BYTES_MAX];
};

/* Appends the requests for tags[0..count) (indices into addresses) to the list.
 * tags NULL = 0, 1, … count - 1. ERR_NOMEM, ERR_INTERNAL (the driver forgot a tag). */
int poll_plan_make(struct device *d, const uint8_t *addresses, const uint32_t *tags, uint32_t count,
                   struct list *requests);
void poll_plan_free(struct list *requests);
void request_free(struct request *r);

/* Replaces r by requests for its first and second half of tags; *ret_parts (initialised) gets them
 * by their `redo` links, and they stand in the plan at r's place. ERR_INVALID when r has one tag.
 */
int plan_split(struct device *d, const uint8_t *addresses, struct request *r,
               struct list *ret_parts);

/* ----------------------------------------------------------------------------------------- decode
 */

/* Sets the cells of the builder's newest row from the data, which is long enough for the steps. */
int decode_steps(const struct lotline_step *steps, uint32_t count, const uint8_t *data,
                 struct batch_builder *bb, int32_t time_offset_us);

/* One step's value; text and bytes are written to scratch, which has room for step->len. */
struct value decode_value(const struct lotline_step *step, const uint8_t *data, uint8_t *scratch);

/* How many bytes of data a step needs. */
uint32_t decode_step_end(const struct lotline_step *step);

/* A driver's value as a model's; bytes are borrowed. */
struct value decode_lotline(const struct lotline_value *v);

/* ------------------------------------------------------------------------------------------ group
 */

struct group_counters {
    atomic_uint_least64_t polls;
    atomic_uint_least64_t missed;
    atomic_uint_least64_t skipped;
    atomic_uint_least64_t values;
};

struct group {
    struct device *device;
    const char *name;
    int64_t interval_us;
    int64_t linger_us;
    struct stream *stream;
    struct outlet outlet;
    struct schema *schema;
    struct field_limit *limits; /* of each tag */
    struct tag *tags;
    uint32_t tag_count;
    uint8_t *addresses; /* the driver's, tag_count × device->address_stride */
    struct list plan;   /* of struct request */

    /* The grid: where the next cycle starts, on both clocks. */
    struct exec_timer timer;
    int64_t due_us;
    int64_t due_wall_us;

    /* The cycle under way. */
    bool running;
    struct list turn;    /* in device->turns while requests wait to be sent */
    struct list *cursor; /* the next request of the plan */
    struct list redo;
    uint32_t outstanding;
    int64_t row_wall_us;

    /* Rows that are not pushed yet. */
    struct batch_builder *builder;
    struct batch_pool *pool;
    uint32_t rows_max;
    int64_t first_row_us; /* monotonic */
    struct batch *held;   /* refused for want of credit */
    bool gap;             /* cycles were skipped: say so before the next row */
    bool offline_said;
    int64_t gap_wall_us;
    int64_t offline_row_us;
    struct batch *last; /* the newest batch, for gateway.tags */
    struct group_counters count;
};

/* Builder and plan. ERR_NOMEM, ERR_LIMIT, ERR_INTERNAL. On the loop. */
int group_start(struct group *g);
void group_stop(struct group *g);
void group_on_credit(struct outlet *o);
void group_fini(struct group *g);

/* The grid begins (the device's first attempt to connect has ended). */
void group_grid_start(struct group *g);

/* The cycle's next request to send, NULL if all are sent. */
struct request *group_next_request(struct group *g);

/* Values of a request have arrived; the builder has a row. */
int group_values(struct group *g, const struct request *r, const uint8_t *data);
void group_value(struct group *g, uint32_t tag, const struct lotline_value *v);

/* None of the request's tags has a value this time. */
void group_fail(struct group *g, const struct request *r, enum quality quality);

/* Ends the cycle when nothing is left to send or to wait for. */
void group_cycle_check(struct group *g);

/* The link is gone: what was not sent has no value; requests on their way were failed before. */
void group_cycle_abort(struct group *g, enum quality quality);

/* ----------------------------------------------------------------------------------------- device
 */

enum device_state {
    DEVICE_CONNECTING, /* not known yet */
    DEVICE_ONLINE,     /* it answers */
    DEVICE_OFFLINE,
    DEVICE_DISABLED,
};

const char *device_state_name(enum device_state state);

/* The bytes' way. TCP in the program; tests have their own. On the device's loop. */
struct link_ops {
    /* Begins to connect; the outcome comes by device_link_opened or device_link_closed, later. */
    int (*open)(struct device *d);
    void (*send)(struct device *d, struct bytes frame);
    /* device_link_closed follows, later. Not called when it is closed. */
    void (*close)(struct device *d);
};

extern const struct link_ops link_tcp;

struct slot {
    struct request *request; /* NULL = free, or a write */
    struct group *group;     /* whose cycle; NULL for an operation */
    struct op *op;
    struct peer *peer; /* NULL for a write */
    int64_t sent_us;
    int64_t deadline_us;
};

static inline bool slot_is_free(const struct slot *s)
{
    return !s->request && !s->op;
}

struct device_counters {
    atomic_uint_least64_t requests;
    atomic_uint_least64_t timeouts;
    atomic_uint_least64_t refused;
    atomic_uint_least64_t late;
    atomic_uint_least64_t faults;
    atomic_uint_least64_t connects;
    atomic_uint_least64_t writes;
    atomic_uint_least64_t writes_failed;
    atomic_int state; /* enum device_state, for the counters of the whole */
};

static inline void count_add(atomic_uint_least64_t *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t count_get(const atomic_uint_least64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

struct device {
    struct gateway *gateway;
    struct exec *exec;
    const struct lotline_driver *driver;
    const char *name;
    const char *address; /* with the port */
    const char *place;
    void *options; /* the driver's */
    int64_t timeout_us;
    uint32_t in_flight_max;
    uint32_t address_stride;
    bool enabled;
    struct group *groups;
    uint32_t group_count;

    /* The link. */
    const struct link_ops *link_ops;
    void *link;   /* the link's own: a conn, or NULL when closed */
    bool opened;  /* bytes can be sent */
    bool ready;   /* requests can be sent */
    bool faulted; /* a fault was raised in the call under way: close when it returns */
    bool closing;
    bool stopping;
    bool grid_started;
    bool initialised; /* session_init was called */
    bool quiet;       /* a probe: what is wrong is told, not logged */
    enum device_state state;
    struct exec_timer retry_timer;
    int64_t retry_us;
    struct rand rand;
    struct buf rest;           /* bytes of an unfinished frame */
    struct clock_smooth clock; /* of the values' times */
    int64_t arrival_wall_us;

    /* Requests. */
    struct lotline_host host;
    void *session;
    struct slot slots[LOTLINE_IN_FLIGHT_MAX];
    uint32_t in_flight;
    bool writing;      /* a write is on its way */
    struct list turns; /* groups with requests to send */
    struct list ops;   /* operations that wait */
    uint32_t op_count;
    struct list peers;
    struct exec_timer timeout_timer;
    uint32_t silent;

    /* For people. */
    char error_name[GATEWAY_NAME_BYTES_MAX];
    char error_text[LOTLINE_ERROR_BYTES_MAX];
    int64_t error_wall_us;
    int64_t rtt_us; /* smoothed */
    struct device_counters count;

    struct exec_task start_task;
    struct exec_task stop_task;
};

/* Memory that a device needs to run; configuration has filled the part above. ERR_NOMEM. */
int device_init(struct device *d, struct gateway *g, struct exec *exec,
                const struct lotline_driver *driver);
void device_fini(struct device *d);

/* Now, for the time of a value. */
int64_t device_wall_us(struct device *d);

/* On the loop. device_stop leads to gateway_device_stopped. */
void device_start(struct device *d);
void device_stop(struct device *d);

void device_link_opened(struct device *d);
void device_link_data(struct device *d, struct bytes data);

/* err 0: closed by ourselves. text: a sentence, or "". */
void device_link_closed(struct device *d, int err, const char *text);

/* Remembers and logs what is wrong with the device; name is short and stable. */
void device_error(struct device *d, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The link is of no use any more (a fault, or silence): closes it; the retry follows. */
void device_drop(struct device *d);

void *device_address(const struct device *d, const uint8_t *addresses, uint32_t tag);
struct peer *device_peer(struct device *d, uint32_t id); /* NULL when out of memory */

/* --------------------------------------------------------------------------------------- schedule
 */

/* Sends what may be sent: operations first, then the groups' requests in turn. */
void schedule_pump(struct device *d);

/* The request in the slot has ended in one of the driver's ways. */
void schedule_finish(struct device *d, uint32_t slot, enum lotline_result result, const char *text);
void schedule_extend(struct device *d, uint32_t slot);

/* Everything on its way or waiting ends: the link is gone. */
void schedule_abort(struct device *d, enum quality quality, int err, const char *text);

/* The timer that looks after deadlines; started by whoever adds a deadline. */
void schedule_timer_init(struct device *d);
void schedule_deadline(struct device *d, int64_t deadline_us);

/* ------------------------------------------------------------------------------------- operations
 */

enum op_kind {
    OP_READ,
    OP_WRITE,
};

/* A write, or a read of one tag now. Made anywhere, runs on the device's loop, ends with done. */
struct op {
    struct list link; /* device->ops while it waits */
    struct exec_task task;
    enum op_kind kind;
    struct device *device;
    const struct tag *tag;
    const struct field *field; /* NULL for a probe */
    const void *address;
    int64_t deadline_us;
    bool sent;

    /* A write. */
    struct lotline_value value;
    uint64_t id;
    struct gateway_audit_wait wait;
    char *tag_path;     /* owned */
    struct bytes asked; /* JSON text, in memory of `arena` */

    /* A read. */
    struct list plan; /* one request */
    bool has_result;
    struct value result;
    int64_t result_wall_us;
    uint8_t *scratch; /* LOTLINE_VALUE_BYTES_MAX, for a read */

    /* The end. */
    int err;
    char text[LOTLINE_ERROR_BYTES_MAX];
    struct call *call; /* NULL for a probe */
    void *ctx;
    void (*done)(struct op *op); /* on the device's loop; frees or hands on */
    struct arena arena;
};

int op_new(enum op_kind kind, struct op **ret);
void op_free(struct op *op);

/* Hands the operation to its device; any thread. done follows always. */
void op_submit(struct op *op);

/* On the device's loop: it is over. err 0 or an error with a sentence. */
void op_end(struct op *op, int err, const char *text);

/* Values of a single read. */
void op_values(struct op *op, const struct request *r, const uint8_t *data);
void op_value(struct op *op, const struct lotline_value *v);

/* JSON text → the tag's raw value. Bytes are put in the arena. ERR_SYNTAX, ERR_TYPE, ERR_RANGE,
 * ERR_UNIQUE, ERR_NOMEM; *diag has the sentence. */
int write_value_parse(const struct tag *tag, const struct field *field, struct bytes json,
                      struct arena *arena, struct lotline_value *ret, struct diag *diag);

/* ---------------------------------------------------------------------------------------- gateway
 */

struct gateway {
    struct exec *const *loops;
    uint32_t loop_count;
    const struct gateway_audit *audit;
    struct driver_table drivers;
    struct arena arena; /* configuration */
    struct device *devices;
    uint32_t device_count;
    struct map device_names;
    bool started;
    atomic_uint running; /* devices not stopped yet */
    void *stopped;       /* sem_t */
    atomic_uint_least64_t op_id;
};

/* A device is down for good. On its loop. */
void gateway_device_stopped(struct gateway *g);

extern const struct call_entry gateway_calls[];
extern const size_t gateway_call_count;

/* Fills devices from the configuration (configure.c). */
int configure_devices(struct gateway *g, const struct config *config, struct catalogue *catalogue,
                      struct diag *diag);

/* "host" → "host:port" with the driver's port, in the arena; NULL when out of memory or when no
 * port is known (then *ret_missing is set). */
const char *configure_address(struct arena *arena, const char *address, uint16_t port,
                              bool *ret_missing);

/* Whether an address, its port in it, can be one at all: 0, or ERR_SYNTAX with a sentence. */
int configure_address_check(const char *address, struct diag *diag);

/* The drivers there are, for an error: "modbus-tcp, echo". */
void configure_drivers_print(const struct driver_table *t, char *out, size_t out_bytes);

/* Stores one tag's address; used by configuration and by the probe. 0 or ERR_INVALID. */
int configure_tag(const struct lotline_driver *driver, const void *options, const char *order,
                  struct tag *tag, void *ret_address, struct lotline_error *error);

#endif
