/* The Modbus TCP driver, as the gateway sees it. See modbus.h for its parts. */
#include "gateway/drivers/modbus/modbus.h"

static const char *const bases[] = {"1", "0", NULL};
static const char *const orders_64[] = {"auto",     "12345678", "21436587", "87654321",
                                        "78563412", "34127856", "56781234", NULL};

static const char *const orders_16[] = {"AB", "BA", NULL};
static const char *const orders_32[] = {"ABCD", "BADC", "DCBA", "CDAB", NULL};

static const struct lotline_option options[] = {
    {.name = "gap_max",
     .kind = LOTLINE_OPTION_UINT,
     .offset = offsetof(struct modbus_options, gap_max),
     .default_text = "8",
     .min = 0,
     .max = MODBUS_READ_REGISTERS_MAX,
     .doc = "registers between two tags that are read over rather than asked for separately"},
    {.name = "base",
     .kind = LOTLINE_OPTION_ENUM,
     .offset = offsetof(struct modbus_options, base),
     .default_text = "1",
     .choices = bases,
     .doc = "the number of the first register of an area"},
    {.name = "order16",
     .kind = LOTLINE_OPTION_ENUM,
     .offset = offsetof(struct modbus_options, order16),
     .default_text = "AB",
     .choices = orders_16,
     .doc = "byte order of 16-bit numbers that name none"},
    {.name = "order",
     .kind = LOTLINE_OPTION_ENUM,
     .offset = offsetof(struct modbus_options, order32),
     .default_text = "ABCD",
     .choices = orders_32,
     .doc = "byte order of 32-bit numbers that name none"},
    {.name = "order64",
     .kind = LOTLINE_OPTION_ENUM,
     .offset = offsetof(struct modbus_options, order64),
     .default_text = "auto",
     .choices = orders_64,
     .doc = "byte order of 64-bit numbers that name none; auto follows order"},
    {0},
};

static int tag_parse(const void *opts, const struct lotline_tag *tag, void *ret_address,
                     struct lotline_tag_info *ret_info, struct lotline_error *error)
{
    struct modbus_address *a = ret_address;
    if (modbus_address_parse(opts, tag, a, error))
        return -1;
    ret_info->writable = a->area == MODBUS_COIL || a->area == MODBUS_HOLDING;
    ret_info->text_bytes_max = a->len;
    ret_info->exact_len = tag->type == LOTLINE_BYTES;
    return 0;
}

const struct lotline_driver modbus_tcp_driver = {
    .abi = LOTLINE_DRIVER_ABI,
    .size = sizeof(struct lotline_driver),
    .name = "modbus-tcp",
    .doc = "Modbus over TCP, functions 1 to 6, 15, 16 and 22",
    .port = MODBUS_PORT,
    .in_flight_max = LOTLINE_IN_FLIGHT_MAX,
    .options = options,
    .options_bytes = sizeof(struct modbus_options),
    .address_bytes = sizeof(struct modbus_address),
    .request_bytes = sizeof(struct modbus_read),
    .session_bytes = sizeof(struct modbus_session),
    .frame_bytes_max = MODBUS_FRAME_BYTES_MAX,
    .tag_parse = tag_parse,
    .plan = modbus_plan,
    .session_init = modbus_session_init,
    .opened = modbus_opened,
    .closed = modbus_closed,
    .received = modbus_received,
    .read = modbus_read,
    .write = modbus_write,
    .cancel = modbus_cancel,
};
