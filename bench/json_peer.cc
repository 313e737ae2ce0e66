// The peer of bench_json. See json.h.
#include "bench/json.h"

#include <simdjson.h>

using namespace simdjson;

extern "C" void *json_peer_new(void)
{
    return new ondemand::parser;
}

static double read_number(ondemand::value value)
{
    ondemand::number number;
    if (value.get_number().get(number))
        return 0;
    return number.as_double();
}

static double read_value(ondemand::value value)
{
    ondemand::json_type type;
    if (value.type().get(type))
        return 0;
    if (type == ondemand::json_type::number)
        return read_number(value);
    if (type == ondemand::json_type::boolean) {
        bool flag = false;
        return value.get_bool().get(flag) ? 0 : flag;
    }
    if (type == ondemand::json_type::string) {
        std::string_view text;
        return value.get_string().get(text) ? 0 : static_cast<double>(text.size());
    }
    return 0;
}

extern "C" double json_peer_read(void *parser, const uint8_t *text, size_t len)
{
    auto *p = static_cast<ondemand::parser *>(parser);
    ondemand::document document;
    ondemand::object object;
    double sum = 0;
    if (p->iterate(padded_string_view(text, len, len + SIMDJSON_PADDING)).get(document) ||
        document.get_object().get(object))
        return 0;
    for (auto field : object) {
        std::string_view key;
        ondemand::value value;
        if (field.unescaped_key().get(key) || field.value().get(value))
            return 0;
        sum += static_cast<double>(key.size()) + read_value(value);
    }
    return sum;
}
