/* A unit's path: decoded, looked at, and what was understood is written and read again. */
#include "model/path.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void intervals_check(const struct path *p)
{
    struct path_interval in[4];
    double from = p->points[0].mm - 1;
    double mm = 0;
    uint32_t n = path_intervals(p, from, from + 100, in, 4);
    assert(n <= 4);
    for (uint32_t i = 0; i < n; i++) {
        assert(in[i].from_us < in[i].to_us);
        assert(path_mm(p, in[i].from_us, &mm));
        assert(i == 0 || in[i].from_us >= in[i - 1].to_us);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct path p = {0};
    struct path again = {0};
    struct buf out = {0};
    if (path_decode(bytes_of(data, size), &p) == OK) {
        intervals_check(&p);
        int err = path_encode(&p, &out);
        assert(err == OK);
        err = path_decode(buf_bytes(&out), &again);
        assert(err == OK && again.count == p.count);
        for (uint32_t i = 0; i < p.count; i++)
            assert(p.points[i].time_us == again.points[i].time_us);
    } else {
        assert(p.count == 0);
    }
    buf_fini(&out);
    path_fini(&p);
    path_fini(&again);
    return 0;
}
