/* Topic names, filters and places. See topic.h. */
#include "model/topic.h"

#include "base/str.h"

#define LEVEL_BYTES_MAX 64
#define NAME_BYTES_MAX  127

static bool topic_text_ok(struct bytes topic)
{
    return topic.len >= 1 && topic.len <= TOPIC_BYTES_MAX && !memchr(topic.ptr, 0, topic.len) &&
           str_is_utf8(topic);
}

static size_t topic_levels(struct bytes topic)
{
    size_t levels = 1;
    for (size_t i = 0; i < topic.len; i++)
        levels += topic.ptr[i] == '/';
    return levels;
}

bool topic_is_name(struct bytes topic)
{
    return topic_text_ok(topic) && !memchr(topic.ptr, '+', topic.len) &&
           !memchr(topic.ptr, '#', topic.len) && topic_levels(topic) <= TOPIC_LEVELS_MAX;
}

bool topic_is_filter(struct bytes filter)
{
    if (!topic_text_ok(filter) || topic_levels(filter) > TOPIC_LEVELS_MAX)
        return false;
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t c = filter.ptr[i];
        if (c != '+' && c != '#')
            continue;
        bool starts = i == 0 || filter.ptr[i - 1] == '/';
        bool ends = i + 1 == filter.len || filter.ptr[i + 1] == '/';
        if (!starts || !ends || (c == '#' && i + 1 != filter.len))
            return false;
    }
    return true;
}

bool topic_matches(struct bytes filter, struct bytes name)
{
    if (name.ptr[0] == '$' && (filter.ptr[0] == '+' || filter.ptr[0] == '#'))
        return false;
    for (;;) {
        struct bytes want;
        struct bytes have;
        filter = str_split(filter, '/', &want);
        if (str_equal(want, "#"))
            return true;
        name = str_split(name, '/', &have);
        if (!str_equal(want, "+") && !bytes_equal(want, have))
            return false;
        if (!name.ptr)
            return !filter.ptr || str_equal(filter, "#"); /* "a/#" also matches "a" */
        if (!filter.ptr)
            return false;
    }
}

bool place_is_valid(struct bytes place)
{
    if (!topic_is_name(place))
        return false;
    struct bytes rest = place;
    while (rest.ptr) {
        struct bytes level;
        rest = str_split(rest, '/', &level);
        if (level.len == 0 || level.len > LEVEL_BYTES_MAX)
            return false;
    }
    return true;
}

bool name_is_valid(struct bytes name)
{
    if (name.len == 0 || name.len > NAME_BYTES_MAX || !str_is_utf8(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] == 0x7f || strchr("/+#.:\"", name.ptr[i]))
            return false;
    }
    return true;
}
