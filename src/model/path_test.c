/* Paths: bytes and back, bytes from anywhere, and when a unit was in a place. */
#include "model/path.h"

#include "tests/support/check.h"

#define T0 INT64_C(1763800000000000)
#define S  INT64_C(1000000)

static void path_of(struct path *p, const double *mm, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        CHECK_OK(path_add(p, T0 + i * S, mm[i]));
}

TEST(a_path_comes_back_from_its_bytes)
{
    struct path p = {0};
    struct path q = {0};
    struct buf out = {0};
    const double mm[] = {-12.345, 0, 0, 1000.001, 900, 900.0004};
    path_of(&p, mm, 6);
    CHECK_OK(path_encode(&p, &out));
    CHECK_OK(path_decode(buf_bytes(&out), &q));
    CHECK_EQ(q.count, 6);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_EQ(q.points[i].time_us, p.points[i].time_us);
        CHECK_NEAR(q.points[i].mm, mm[i], 0.00051);
    }
    for (size_t len = 0; len < out.len; len++)
        CHECK(path_decode(bytes_of(out.ptr, len), &q) != OK);
    CHECK_EQ(q.count, 0);
    out.ptr[0] = 9;
    CHECK_ERR(path_decode(buf_bytes(&out), &q), ERR_VERSION);
    buf_fini(&out);
    path_fini(&p);
    path_fini(&q);
}

TEST(what_cannot_be_a_path_is_refused)
{
    struct path p = {0};
    struct buf out = {0};
    CHECK_ERR(path_encode(&p, &out), ERR_INVALID);
    CHECK_OK(path_add(&p, T0, 2e9));
    CHECK_ERR(path_encode(&p, &out), ERR_LIMIT);
    p.count = 0;
    for (int64_t i = 0; i <= PATH_POINTS_MAX; i++)
        CHECK_OK(path_add(&p, T0 + i, 0));
    CHECK_ERR(path_encode(&p, &out), ERR_LIMIT);
    const uint8_t still[] = {1, 2, 0, 0, 0, 0, 0,
                             0, 0, 0, 0, 0, 2}; /* no time between two points */
    CHECK_ERR(path_decode(bytes_of(still, sizeof still), &p), ERR_MALFORMED);
    const uint8_t over[] = {1, 2, 255, 255, 255, 255, 255, 255, 255, 127, 0, 1, 2};
    CHECK_ERR(path_decode(bytes_of(over, sizeof over), &p), ERR_MALFORMED);
    buf_fini(&out);
    path_fini(&p);
}

TEST(the_position_is_straight_between_points)
{
    struct path p = {0};
    double mm = 0;
    path_of(&p, (const double[]){0, 100, 100}, 3);
    CHECK(path_mm(&p, T0 + S / 4, &mm));
    CHECK_NEAR(mm, 25, 1e-9);
    CHECK(path_mm(&p, T0 + 2 * S, &mm));
    CHECK_NEAR(mm, 100, 0);
    CHECK(!path_mm(&p, T0 - 1, &mm));
    CHECK(!path_mm(&p, T0 + 2 * S + 1, &mm));
    path_fini(&p);
}

TEST(a_place_is_entered_and_left)
{
    struct path p = {0};
    struct path_interval in[3];
    path_of(&p, (const double[]){0, 100, 100, 200}, 4); /* a stop at 100 */
    CHECK_EQ(path_intervals(&p, 50, 150, in, 3), 1);
    CHECK_EQ(in[0].from_us, T0 + S / 2);
    CHECK_EQ(in[0].to_us, T0 + 2 * S + S / 2);
    CHECK_EQ(path_intervals(&p, 0, 100, in, 3), 1); /* half-open: it stands in the next one */
    CHECK_EQ(in[0].to_us, T0 + S);
    CHECK_EQ(path_intervals(&p, 100, 200, in, 3), 1);
    CHECK_EQ(in[0].from_us, T0 + S);
    CHECK_EQ(in[0].to_us, T0 + 3 * S);
    CHECK_EQ(path_intervals(&p, 300, 400, in, 3), 0);
    CHECK_EQ(path_intervals(&p, -50, 0, in, 3), 0);
    path_fini(&p);
}

TEST(a_unit_that_comes_back_has_two_intervals)
{
    struct path p = {0};
    struct path_interval in[2];
    path_of(&p, (const double[]){0, 100, 40, 140}, 4);
    CHECK_EQ(path_intervals(&p, 20, 80, in, 2), 2);
    CHECK_EQ(in[0].from_us, T0 + S / 5);
    CHECK_EQ(in[0].to_us, T0 + S * 4 / 5);
    CHECK_EQ(in[1].from_us, T0 + S + S / 3);
    CHECK_EQ(in[1].to_us, T0 + 2 * S + S * 2 / 5);
    CHECK_EQ(path_intervals(&p, 20, 80, in, 1), 1); /* joined when there is no room */
    CHECK_EQ(in[0].to_us, T0 + 2 * S + S * 2 / 5);
    path_fini(&p);
}
