/* One read with no configuration: is the device there, and what does it say?
 *
 * The same device machinery on a loop of its own, with no group and one operation. The calling
 * thread waits for the outcome; the first failure to connect or answer ends it, since a person is
 * waiting who wants to know what is wrong rather than have it tried again.
 */
#include "base/clock.h"
#include "base/str.h"
#include "gateway/gateway_priv.h"
#include "net/loop.h"

#include <errno.h>
#include <math.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#define PROBE_TIMEOUT_US 3000000
#define TYPE_DEFAULT     "int16"

struct probe {
    struct gateway *gateway;
    struct device device;
    struct tag tag;
    _Alignas(16) uint8_t address[LOTLINE_ADDRESS_BYTES_MAX];
    void *options;
    struct op *op;
    sem_t ended;
    char text[LOTLINE_ERROR_BYTES_MAX];
    struct diag *diag;
};

/* ------------------------------------------------------------------------------------------- value
 */

static int string_print(struct bytes v, struct buf *out)
{
    buf_append_u8(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ')
            buf_printf(out, "\\u%04x", c);
        else
            buf_append_u8(out, c);
    }
    return buf_append_u8(out, '"');
}

static int bytes_print(struct bytes v, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_append_text(out, "{\"$bytes\":\"");
    for (size_t i = 0; i < v.len; i += 3) {
        size_t n = v.len - i < 3 ? v.len - i : 3;
        uint32_t word = (uint32_t)v.ptr[i] << 16;
        word |= n > 1 ? (uint32_t)v.ptr[i + 1] << 8 : 0;
        word |= n > 2 ? v.ptr[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            buf_append_u8(out, k <= n ? (uint8_t)digits[word >> (18 - 6 * k) & 63] : '=');
    }
    return buf_append_text(out, "\"}");
}

static int value_print(const struct value *v, bool text, struct buf *out)
{
    char number[STR_NUMBER_BYTES_MAX];
    if (v->type == VALUE_BYTES)
        return text && str_is_utf8(v->bytes) ? string_print(v->bytes, out)
                                             : bytes_print(v->bytes, out);
    if (v->type == VALUE_BOOL)
        return buf_append_text(out, v->boolean ? "true" : "false");
    if (v->type == VALUE_INT64)
        return buf_printf(out, "%lld", (long long)v->i64);
    if (v->type == VALUE_UINT64)
        return buf_printf(out, "%llu", (unsigned long long)v->u64);
    double d = v->type == VALUE_FLOAT32 ? (double)v->f32 : v->f64;
    if (v->type == VALUE_FLOAT32)
        (void)str_from_float(v->f32, number);
    else
        (void)str_from_double(v->f64, number);
    return isfinite(d) ? buf_append_text(out, number) : buf_printf(out, "\"%s\"", number);
}

/* ------------------------------------------------------------------------------------------- setup
 */

static int type_find(const char *name, uint8_t *ret, struct diag *diag)
{
    for (uint8_t i = 0; tag_type_names[i]; i++) {
        if (strcmp(tag_type_names[i], name) == 0) {
            *ret = (uint8_t)(i + 1);
            return OK;
        }
    }
    return diag_set(diag, ERR_INVALID, 0, 0,
                    "there is no type \"%s\"; known are bit, bool, int16, uint16, int32, uint32, "
                    "int64, uint64, float, double, string, bytes",
                    name);
}

/* "driver://rest" */
static const struct lotline_driver *url_driver(struct probe *p, const char *url,
                                               const char **ret_rest)
{
    const char *mark = strstr(url, "://");
    const char *name =
        mark ? arena_copy(&p->gateway->arena, bytes_of(url, (size_t)(mark - url))) : NULL;
    const struct lotline_driver *driver =
        name ? driver_table_find(&p->gateway->drivers, name) : NULL;
    if (!mark) {
        (void)diag_set(p->diag, ERR_INVALID, 0, 0,
                       "\"%s\" is no device: write DRIVER://HOST:PORT, as in "
                       "modbus-tcp://192.0.2.10:502",
                       url);
    } else if (!driver) {
        char known[DIAG_TEXT_BYTES_MAX / 2];
        configure_drivers_print(&p->gateway->drivers, known, sizeof known);
        (void)diag_set(p->diag, ERR_NOT_FOUND, 0, 0, "there is no driver \"%s\"; known are: %s",
                       name ? name : "", known);
    } else {
        *ret_rest = mark + strlen("://");
    }
    return driver;
}

/* The driver's options with their defaults. */
static int options_default(struct probe *p, const struct lotline_driver *driver)
{
    static const struct option none[] = {{.name = NULL}};
    const struct option *table = driver_options_join(driver, none, 0, &p->gateway->arena);
    p->options = arena_alloc(&p->gateway->arena, driver->options_bytes + 1u);
    if (!table || !p->options)
        return ERR_NOMEM;
    return option_bind(table, NULL, &p->gateway->arena, p->options, p->diag);
}

static void op_done(struct op *op)
{
    struct probe *p = op->ctx;
    sem_post(&p->ended);
}

static int probe_setup(struct probe *p, const struct gateway_probe *wish)
{
    const char *rest = NULL;
    bool missing = false;
    struct lotline_error error = {""};
    const struct lotline_driver *driver = url_driver(p, wish->url, &rest);
    if (!driver)
        return strstr(wish->url, "://") ? ERR_NOT_FOUND : ERR_INVALID;
    int err = options_default(p, driver);
    if (err)
        return err;
    p->tag.name = wish->address;
    p->tag.address_text = wish->address;
    err = type_find(wish->type ? wish->type : TYPE_DEFAULT, &p->tag.type, p->diag);
    if (err)
        return err;
    if (configure_tag(driver, p->options, wish->order, &p->tag, p->address, &error))
        return diag_set(p->diag, ERR_INVALID, 0, 0, "%s", error.text);
    p->device.address = configure_address(&p->gateway->arena, rest, driver->port, &missing);
    if (!p->device.address)
        return missing ? diag_set(p->diag, ERR_INVALID, 0, 0, "\"%s\" needs a port", wish->url)
                       : ERR_NOMEM;
    err = configure_address_check(p->device.address, p->diag);
    if (err)
        return err;
    err = device_init(&p->device, p->gateway, p->gateway->loops[0], driver);
    if (err)
        return err;
    p->device.name = rest;
    p->device.place = "";
    p->device.options = p->options;
    p->device.enabled = true;
    p->device.in_flight_max = 1;
    p->device.timeout_us = wish->timeout_us ? wish->timeout_us : PROBE_TIMEOUT_US;
    p->device.quiet = true;
    return OK;
}

/* ------------------------------------------------------------------------------------------- run
 */

static void start_task(struct exec_task *task)
{
    device_start(CONTAINER_OF(task, struct device, start_task));
}

static void stop_task(struct exec_task *task)
{
    device_stop(CONTAINER_OF(task, struct device, stop_task));
}

static void sem_wait_all(sem_t *s)
{
    while (sem_wait(s) != 0 && errno == EINTR) {
    }
}

/* The operation always ends: by its answer, by a failure of the link, or by its deadline. */
static int probe_run(struct probe *p, struct buf *ret_json)
{
    struct device *d = &p->device;
    struct op *op = NULL;
    int err = op_new(OP_READ, &op);
    if (err)
        return err;
    op->device = d;
    op->tag = &p->tag;
    op->address = p->address;
    op->deadline_us = exec_now_us(d->exec) + d->timeout_us;
    op->ctx = p;
    op->done = op_done;
    p->op = op;
    exec_task_init(&d->start_task, start_task);
    exec_task_init(&d->stop_task, stop_task);
    atomic_store(&p->gateway->running, 1);
    exec_post(d->exec, &d->start_task);
    op_submit(op);
    sem_wait_all(&p->ended);
    exec_post(d->exec, &d->stop_task);
    sem_wait_all(p->gateway->stopped);
    if (op->err)
        err = diag_set(p->diag, op->err, 0, 0, "%s", op->text[0] ? op->text : err_text(op->err));
    else
        err = value_print(&op->result, p->tag.type == LOTLINE_STRING, ret_json);
    op_free(op);
    return err;
}

int gateway_probe(const struct gateway_probe *probe, struct buf *ret_json, struct diag *diag)
{
    struct exec *loop = NULL;
    int err = loop_new("probe", &loop);
    if (err)
        return err;
    struct gateway_options options = {.loops = &loop, .loop_count = 1};
    struct gateway *g = NULL;
    struct probe *p = aligned_alloc(_Alignof(struct probe), sizeof *p);
    err = p ? gateway_new(&options, &g) : ERR_NOMEM;
    if (!err && probe->plugins)
        err = driver_table_load(&g->drivers, probe->plugins, diag);
    if (!err) {
        memset(p, 0, sizeof *p);
        p->gateway = g;
        p->diag = diag;
        (void)sem_init(&p->ended, 0, 0);
        err = probe_setup(p, probe);
        if (!err)
            err = probe_run(p, ret_json);
        if (p->device.driver)
            device_fini(&p->device);
        sem_destroy(&p->ended);
    }
    loop_free(loop);
    gateway_free(g);
    free(p);
    return err;
}
