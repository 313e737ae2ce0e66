/* MQTT topic names and filters (OASIS MQTT 5.0, section 4.7), and places.
 *
 * A place is a path in the equipment hierarchy, written like a topic without wildcards
 * ("plant1/smt/line1/press"); a group publishes on place/device/group.
 */
#ifndef LOTLINE_MODEL_TOPIC_H
#define LOTLINE_MODEL_TOPIC_H

#include "base/bytes.h"

#include <stdbool.h>

#define TOPIC_BYTES_MAX  65535
#define TOPIC_LEVELS_MAX 128

/* A topic name: 1 to 65,535 bytes of UTF-8, no wildcard, no zero (4.7.3). */
bool topic_is_name(struct bytes topic);

/* A topic filter: as a name, but "+" may stand for a whole level and "#" for the last ones. */
bool topic_is_filter(struct bytes filter);

/* Whether the name matches the filter; a name beginning with "$" is not matched by a filter that
 * begins with a wildcard (4.7.2). Both must be valid. */
bool topic_matches(struct bytes filter, struct bytes name);

/* A place: valid topic name whose levels are not empty, not longer than 64 bytes each. */
bool place_is_valid(struct bytes place);

/* A name of a device, group, tag, stream, rule, …: 1 to 127 bytes of UTF-8 without control
 * characters, and without any of "/ + # . : \"" and space. */
bool name_is_valid(struct bytes name);

#endif
