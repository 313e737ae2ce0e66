/* Tests on tables of counts. See why_stats.h. */
#include "trace/why_stats.h"

#include "base/rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED_MIN     5.0 /* below it chi-square's tail is no guide */
#define SIMULATION_DRAWS 20000000u
#define GAMMA_TERMS_MAX  500
#define GAMMA_EPSILON    1e-16

/* ----------------------------------------------------------------------------------------- tails
 */

double why_normal_tail(double z)
{
    return erfc(fabs(z) / sqrt(2.0));
}

/* Lower regularized gamma by its series; for x < a + 1. */
static double gamma_series(double a, double x)
{
    double term = 1 / a;
    double sum = term;
    for (int i = 1; i < GAMMA_TERMS_MAX && term > sum * GAMMA_EPSILON; i++) {
        term *= x / (a + i);
        sum += term;
    }
    return sum * exp(a * log(x) - x - lgamma(a));
}

/* Upper regularized gamma by its continued fraction (Lentz); for x >= a + 1. */
static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a;
    double c = 1e300;
    double d = 1 / b;
    double h = d;
    for (int i = 1; i < GAMMA_TERMS_MAX; i++) {
        double an = -i * (i - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1) < GAMMA_EPSILON)
            break;
    }
    return h * exp(a * log(x) - x - lgamma(a));
}

double why_chi2_tail(double x, double df)
{
    if (x <= 0)
        return 1;
    if (df == 1)
        return why_normal_tail(sqrt(x));
    double a = df / 2;
    return x / 2 < a + 1 ? 1 - gamma_series(a, x / 2) : gamma_fraction(a, x / 2);
}

/* ---------------------------------------------------------------------------------------- Fisher
 */

static double log_choose(double n, double k)
{
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

/* From the likeliest table outwards, each probability from its neighbour's: the ratios are exact,
 * and what is far out and adds nothing is not visited. */
struct hypergeometric {
    double bad; /* margins */
    double good;
    double with;
    double low; /* smallest and largest count of bad with */
    double high;
};

/* P(k + 1) / P(k). */
static double step_up(const struct hypergeometric *h, double k)
{
    return (h->bad - k) * (h->with - k) / ((k + 1) * (h->good - h->with + k + 1));
}

/* Sum, relative to the mode's, of what is no likelier than `limit`; *ret_all of everything. */
static double walk(const struct hypergeometric *h, double mode, bool up, double limit,
                   double *ret_all)
{
    double p = 1;
    double sum = 0;
    double k = mode;
    while (up ? k < h->high : k > h->low) {
        p *= up ? step_up(h, k) : 1 / step_up(h, k - 1);
        k += up ? 1 : -1;
        *ret_all += p;
        sum += p <= limit ? p : 0;
        if (p == 0 || (p < limit && p < sum * 1e-18))
            break;
    }
    return sum;
}

double why_fisher(const struct why_table *t)
{
    struct hypergeometric h = {
        .bad = t->bad_with + t->bad_without,
        .good = t->good_with + t->good_without,
        .with = t->bad_with + t->good_with,
    };
    double total = h.bad + h.good;
    h.low = h.with > h.good ? h.with - h.good : 0;
    h.high = h.with < h.bad ? h.with : h.bad;
    if (h.low == h.high)
        return 1;
    double mode = floor((h.with + 1) * (h.bad + 1) / (total + 2));
    mode = fmin(fmax(mode, h.low), h.high);
    double at_mode = log_choose(h.bad, mode) + log_choose(h.good, h.with - mode);
    double here = log_choose(h.bad, t->bad_with) + log_choose(h.good, t->good_with);
    double limit = exp(here - at_mode) * (1 + 1e-7); /* equal tables differ by rounding */
    double all = 1;
    double sum = walk(&h, mode, true, limit, &all) + walk(&h, mode, false, limit, &all);
    if (limit >= 1)
        return 1;
    /* A table so far out that its probability is below the smallest double. */
    return sum > 0 ? fmin(sum / all, 1) : 0;
}

/* --------------------------------------------------------------------------------------- effects
 */

struct why_interval why_odds_ratio(const struct why_table *t)
{
    double a = t->bad_with;
    double b = t->good_with;
    double c = t->bad_without;
    double d = t->good_without;
    if (a == 0 || b == 0 || c == 0 || d == 0) {
        a += 0.5;
        b += 0.5;
        c += 0.5;
        d += 0.5;
    }
    double ratio = a * d / (b * c);
    double half = WHY_Z95 * sqrt(1 / a + 1 / b + 1 / c + 1 / d);
    return (struct why_interval){ratio, ratio * exp(-half), ratio * exp(half)};
}

/* Wilson's score interval of a share. */
static struct why_interval wilson(double k, double n)
{
    if (n == 0)
        return (struct why_interval){0, 0, 1};
    double p = k / n;
    double z2 = WHY_Z95 * WHY_Z95;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = WHY_Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
    return (struct why_interval){p, centre - half, centre + half};
}

struct why_interval why_risk_difference(const struct why_table *t)
{
    struct why_interval with = wilson(t->bad_with, t->bad_with + t->good_with);
    struct why_interval without = wilson(t->bad_without, t->bad_without + t->good_without);
    double value = with.value - without.value;
    double below = hypot(with.value - with.low, without.high - without.value);
    double above = hypot(with.high - with.value, without.value - without.low);
    return (struct why_interval){value, fmax(value - below, -1), fmin(value + above, 1)};
}

/* ------------------------------------------------------------------------------------ chi-square
 */

struct margins {
    double bad;
    double total;
    double smallest; /* expected count */
    uint32_t levels; /* with units */
};

static struct margins margins_of(const uint32_t *bad, const uint32_t *all, uint32_t levels)
{
    struct margins m = {.smallest = HUGE_VAL};
    for (uint32_t i = 0; i < levels; i++) {
        m.bad += bad[i];
        m.total += all[i];
        m.levels += all[i] > 0;
    }
    double rarer = fmin(m.bad, m.total - m.bad);
    for (uint32_t i = 0; i < levels; i++)
        if (all[i])
            m.smallest = fmin(m.smallest, all[i] * rarer / m.total);
    return m;
}

static double chi2_of(const uint32_t *bad, const uint32_t *all, uint32_t levels,
                      const struct margins *m)
{
    double rate = m->bad / m->total;
    double chi2 = 0;
    for (uint32_t i = 0; i < levels; i++) {
        double away = bad[i] - all[i] * rate;
        chi2 += all[i] ? away * away / (all[i] * rate * (1 - rate)) : 0;
    }
    return chi2;
}

/* Draws `bad` units without replacement and counts their levels. */
static void draw(struct rand *r, uint32_t *deck, uint32_t total, uint32_t bad, uint32_t *counts)
{
    for (uint32_t i = 0; i < bad; i++) {
        uint32_t j = i + (uint32_t)rand_below(r, total - i);
        uint32_t level = deck[j];
        deck[j] = deck[i];
        deck[i] = level;
        counts[level]++;
    }
}

static int simulate(const uint32_t *all, uint32_t levels, const struct margins *m, uint64_t seed,
                    struct why_chi2 *ret)
{
    uint32_t total = (uint32_t)m->total;
    /* Which side is drawn makes no difference to chi-square. */
    uint32_t drawn = (uint32_t)fmin(m->bad, m->total - m->bad);
    uint32_t rounds = SIMULATION_DRAWS / (drawn + levels);
    rounds = rounds < WHY_SIMULATIONS_MIN ? WHY_SIMULATIONS_MIN : rounds;
    rounds = rounds > WHY_SIMULATIONS_MAX ? WHY_SIMULATIONS_MAX : rounds;
    uint32_t *deck = calloc((size_t)total + levels, sizeof *deck);
    if (!deck)
        return ERR_NOMEM;
    uint32_t *counts = deck + total;
    uint32_t reached = 0;
    struct rand r;
    struct margins side = *m;
    side.bad = drawn;
    rand_seed(&r, seed);
    for (uint32_t i = 0, n = 0; i < levels; i++)
        for (uint32_t k = 0; k < all[i]; k++)
            deck[n++] = i;
    for (uint32_t i = 0; i < rounds; i++) {
        memset(counts, 0, levels * sizeof *counts);
        draw(&r, deck, total, drawn, counts);
        reached += chi2_of(counts, all, levels, &side) >= ret->chi2 * (1 - 1e-9);
    }
    ret->p = (reached + 1.0) / (rounds + 1.0);
    ret->simulated = true;
    free(deck);
    return OK;
}

int why_chi2(const uint32_t *bad, const uint32_t *all, uint32_t levels, uint64_t seed,
             struct why_chi2 *ret)
{
    struct margins m = margins_of(bad, all, levels);
    struct why_chi2 out = {.p = 1, .df = m.levels ? m.levels - 1 : 0};
    int err = OK;
    if (out.df > 0 && m.bad > 0 && m.bad < m.total) {
        out.chi2 = chi2_of(bad, all, levels, &m);
        out.p = why_chi2_tail(out.chi2, out.df);
        if (m.smallest < EXPECTED_MIN)
            err = simulate(all, levels, &m, seed, &out);
    }
    if (!err)
        *ret = out;
    return err;
}

/* ------------------------------------------------------------------------------------------- CMH
 */

struct cmh_sums {
    double away; /* observed less expected */
    double variance;
    double r; /* Σ a d / n and Σ b c / n, and the products of Robins, Breslow and Greenland */
    double s;
    double pr;
    double ps_qr;
    double qs;
};

static void cmh_add(struct cmh_sums *sums, const struct why_table *t)
{
    double a = t->bad_with;
    double b = t->good_with;
    double c = t->bad_without;
    double d = t->good_without;
    double n = a + b + c + d;
    if (n < 2)
        return;
    double p = (a + d) / n;
    double q = (b + c) / n;
    double r = a * d / n;
    double s = b * c / n;
    sums->away += a - (a + b) * (a + c) / n;
    sums->variance += (a + b) * (c + d) * (a + c) * (b + d) / (n * n * (n - 1));
    sums->r += r;
    sums->s += s;
    sums->pr += p * r;
    sums->ps_qr += p * s + q * r;
    sums->qs += q * s;
}

struct why_cmh why_cmh(const struct why_table *strata, uint32_t count)
{
    struct cmh_sums sums = {0};
    struct why_cmh ret = {.p = 1};
    for (uint32_t i = 0; i < count; i++)
        cmh_add(&sums, &strata[i]);
    if (sums.variance > 0) {
        ret.chi2 = sums.away * sums.away / sums.variance;
        ret.p = why_chi2_tail(ret.chi2, 1);
    }
    if (sums.r > 0 && sums.s > 0) {
        double ratio = sums.r / sums.s;
        double variance = sums.pr / (2 * sums.r * sums.r) + sums.ps_qr / (2 * sums.r * sums.s) +
                          sums.qs / (2 * sums.s * sums.s);
        double half = WHY_Z95 * sqrt(variance);
        ret.odds_ratio = (struct why_interval){ratio, ratio * exp(-half), ratio * exp(half)};
    }
    return ret;
}

/* --------------------------------------------------------------------------- Benjamini-Hochberg
 */

struct ranked {
    double p;
    uint32_t at;
};

static int ranked_compare(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

int why_bh(const double *p, uint32_t count, double *ret_q)
{
    struct ranked *list = calloc(count ? count : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct ranked){p[i], i};
    qsort(list, count, sizeof *list, ranked_compare);
    double q = 1;
    for (uint32_t i = count; i > 0; i--) {
        q = fmin(q, list[i - 1].p * count / i);
        ret_q[list[i - 1].at] = q;
    }
    free(list);
    return OK;
}

/* --------------------------------------------------------------------------------------- changes
 */

/* Twice the log-likelihood of a rate for n units of which k are bad. */
static double likelihood(double k, double n)
{
    if (k <= 0 || k >= n)
        return 0;
    return 2 * (k * log(k / n) + (n - k) * log((n - k) / n));
}

/* The best cut of [from, to); its gain. */
static double best_cut(const uint8_t *bad, uint32_t from, uint32_t to, uint32_t *ret)
{
    double all = 0;
    for (uint32_t i = from; i < to; i++)
        all += bad[i] != 0;
    double whole = likelihood(all, to - from);
    double best = 0;
    double k = 0;
    for (uint32_t i = from + 1; i < to; i++) {
        k += bad[i - 1] != 0;
        if ((bad[i] != 0) == (bad[i - 1] != 0))
            continue; /* a cut inside a run never beats one at its ends */
        double gain = likelihood(k, i - from) + likelihood(all - k, to - i) - whole;
        if (gain > best) {
            best = gain;
            *ret = i;
        }
    }
    return best;
}

/* The piece whose best cut gains most is cut first, so that the largest changes are found when
 * there are too many. */
uint32_t why_changes(const uint8_t *bad, uint32_t count, uint32_t ret[static WHY_CHANGES_MAX])
{
    double least = 3 * log(count > 1 ? count : 2);
    uint32_t edges[WHY_CHANGES_MAX + 2] = {0, count};
    uint32_t pieces = 1;
    while (pieces <= WHY_CHANGES_MAX) {
        double best = least;
        uint32_t cut = 0;
        uint32_t piece = 0;
        for (uint32_t i = 0; i < pieces; i++) {
            uint32_t at = 0;
            double gain = best_cut(bad, edges[i], edges[i + 1], &at);
            if (gain > best) {
                best = gain;
                cut = at;
                piece = i;
            }
        }
        if (cut == 0)
            break;
        memmove(&edges[piece + 2], &edges[piece + 1], (pieces - piece) * sizeof *edges);
        edges[piece + 1] = cut;
        pieces++;
    }
    memcpy(ret, &edges[1], (pieces - 1) * sizeof *ret);
    return pieces - 1;
}
