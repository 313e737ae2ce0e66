/* The adjacency: what is found by a key, in both directions. */
#include "trace/trace_priv.h"

/* FNV-1a, then mixed so that its high bits are as good as its low ones. */
uint64_t trace_hash(struct bytes key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ key.ptr[i]) * 0x100000001b3u;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}
