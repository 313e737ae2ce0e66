/* Answers of a Modbus device, against the codec and a whole session.
 *
 * The first byte says what was asked (function and size), the second how the input is cut into
 * pieces; the rest is what the device sends. The session has four requests out, with the
 * transaction ids 1 to 4 that a fresh session gives, so that good frames reach every branch.
 */
#include "base/err.h"
#include "gateway/drivers/modbus/modbus.h"

#include <assert.h>
#include <stdlib.h>

#define SLOTS 4

struct world {
    struct lotline_host host;
    struct modbus_session session;
    bool out[SLOTS];
    bool faulted;
};

static struct world *world_of(struct lotline_host *host)
{
    return (struct world *)host;
}

static void on_send(struct lotline_host *host, const void *frame, size_t len)
{
    (void)host;
    assert(len >= 10 && len <= MODBUS_FRAME_BYTES_MAX && frame);
}

static void on_ready(struct lotline_host *host)
{
    (void)host;
}

static void on_values(struct lotline_host *host, uint32_t slot, const uint8_t *data, size_t len)
{
    uint8_t sum = 0;
    assert(slot < SLOTS && world_of(host)->out[slot]);
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + data[i]);
    (void)sum;
}

static void on_finish(struct lotline_host *host, uint32_t slot, enum lotline_result result,
                      const char *text)
{
    struct world *w = world_of(host);
    assert(slot < SLOTS && w->out[slot] && (result == LOTLINE_DONE || text));
    w->out[slot] = false; /* each request ends once */
}

static void on_extend(struct lotline_host *host, uint32_t slot)
{
    assert(slot < SLOTS && world_of(host)->out[slot]);
}

static void on_fault(struct lotline_host *host, const char *name, const char *text)
{
    struct world *w = world_of(host);
    assert(!w->faulted && name && text);
    w->faulted = true;
}

static void on_late(struct lotline_host *host)
{
    (void)host;
}

static void session_feed(struct world *w, const uint8_t *data, size_t size, size_t piece)
{
    uint8_t *rest = malloc(size + 1);
    size_t kept = 0;
    assert(rest);
    for (size_t at = 0; at < size && !w->faulted;) {
        size_t n = size - at < piece ? size - at : piece;
        for (size_t i = 0; i < n; i++)
            rest[kept + i] = data[at + i];
        kept += n;
        at += n;
        size_t used = modbus_received(&w->session, rest, kept);
        assert(used <= kept);
        for (size_t i = used; i < kept; i++)
            rest[i - used] = rest[i];
        kept -= used;
    }
    free(rest);
}

static void codec_try(uint8_t function, const uint8_t *data, size_t size)
{
    struct modbus_ask ask = {.start = 0, .count = 2, .unit = 1, .function = function};
    struct modbus_frame frame;
    size_t used = 0;
    while (size > 0 && modbus_frame_decode(bytes_of(data, size), &frame, &used) == OK) {
        char text[MODBUS_EXCEPTION_TEXT_BYTES_MAX];
        struct bytes view = {0};
        uint8_t exception = 0;
        assert(used <= size);
        if (modbus_reply_check(&ask, &frame, &view, &exception) == MODBUS_EXCEPTION)
            (void)modbus_exception_text(exception, text);
        data += used;
        size -= used;
    }
}

/* What is written is a value of the address, bit for bit: also the encoder's own test. */
static void encode_try(uint8_t kind, const uint8_t *data, size_t size)
{
    static const uint8_t types[] = {LOTLINE_UINT16, LOTLINE_FLOAT, LOTLINE_DOUBLE, LOTLINE_STRING,
                                    LOTLINE_STRING, LOTLINE_BYTES, LOTLINE_BOOL};
    static const uint16_t counts[] = {1, 2, 4, 2, 4, 2, 1};
    uint8_t out[8] = {0};
    uint8_t i = kind % sizeof types;
    struct modbus_address a = {.count = counts[i],
                               .order = kind >> 4 & (counts[i] * 2 - 1),
                               .text = i == 4 ? 2 : kind & 1};
    struct lotline_value v = {.type = types[i]};
    if (size < 8)
        return;
    v.as.u64 = load_le64(data);
    if (types[i] >= LOTLINE_STRING) {
        v.as.ptr = data;
        v.len = 4;
    } else if (types[i] == LOTLINE_BOOL) {
        v.as.boolean = data[0] & 1;
    }
    modbus_value_encode(&a, &v, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t functions[] = {1, 2, 3, 4, 5, 6, 15, 16, 22};
    static const struct modbus_options options = {0};
    struct world *w = calloc(1, sizeof *w);
    struct modbus_address coil = {.area = MODBUS_COIL, .unit = 1, .count = 1, .bit = MODBUS_NO_BIT};
    struct modbus_address bit = {.area = MODBUS_HOLDING, .unit = 1, .count = 1, .bit = 3};
    struct modbus_address wide = {
        .area = MODBUS_HOLDING, .unit = 1, .count = 2, .bit = MODBUS_NO_BIT};
    struct lotline_value value = {.type = LOTLINE_UINT32, .as.u64 = 1};
    const struct modbus_address *addresses[] = {&coil, &bit, &wide};
    if (size < 2 || !w) {
        free(w);
        return 0;
    }
    uint8_t choice = data[0];
    size_t piece = data[1] ? data[1] : SIZE_MAX;
    w->host = (struct lotline_host){sizeof w->host, on_send,   on_ready, on_values, NULL,
                                    on_finish,      on_extend, on_fault, on_late,   NULL};
    modbus_session_init(&w->session, &w->host, &options);
    modbus_opened(&w->session);
    for (uint32_t slot = 0; slot < 3; slot++) {
        struct modbus_read read = {.count = (uint16_t)(slot + 2), .unit = 1};
        read.function = functions[(choice + slot) % 4];
        w->out[slot] = true;
        modbus_read(&w->session, slot, &read);
    }
    w->out[3] = true;
    modbus_write(&w->session, 3, addresses[choice / 4 % 3], &value);
    modbus_cancel(&w->session, 2); /* transaction 3 is late */
    w->out[2] = false;
    session_feed(w, data + 2, size - 2, piece);
    codec_try(functions[choice % sizeof functions], data + 2, size - 2);
    encode_try(data[1], data + 2, size - 2);
    modbus_closed(&w->session);
    free(w);
    return 0;
}
