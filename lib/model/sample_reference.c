/* The definitions, row by row, with the C library's functions: what sample_kernels.c has to agree with. */
#include "core/rng.h"
#include "model/sampler.h"

#include <math.h>

#define PI 3.14159265358979323846

typedef struct place {
    uint64_t seed, step;
    uint32_t row;
} place;

typedef struct pair {
    double a, b;
} pair;

/* A row of a block, as an array of its coordinates. */
typedef struct coordinates {
    double (*of)[MMCL__SAMPLE_ROWS];
    int lane;
} coordinates;

#define AT(x, i) (x).of[i][(x).lane]

static pair draw(const place *p, uint32_t purpose, uint32_t index)
{
    uint32_t       words[4];
    const uint32_t counter[4] = {(purpose << 24) + index, p->row, (uint32_t) p->step, (uint32_t) (p->step >> 32)};
    mmcl__philox(counter, (const uint32_t[]){(uint32_t) p->seed, (uint32_t) (p->seed >> 32)}, words);
    uint64_t a = (uint64_t) words[0] << 20 | words[1] >> 12, b = (uint64_t) words[2] << 20 | words[3] >> 12;
    return (pair){((double) a + 0.5) * 0x1p-52, ((double) b + 0.5) * 0x1p-52};
}

static double uniform(const place *p, uint32_t purpose, size_t i)
{
    pair u = draw(p, purpose, (uint32_t) (i / 2));
    return i % 2 == 0 ? u.a : u.b;
}

static double normal(const place *p, uint32_t purpose, size_t i)
{
    pair u = draw(p, purpose, (uint32_t) (i / 2));
    return sqrt(-2 * log(u.a)) * (i % 2 == 0 ? cos(2 * PI * u.b) : sin(2 * PI * u.b));
}

/* Probability of the half line between 0 and t, and its inverse; neither near 0 nor near 1 is anything lost. */
static double mass(const mmcl__tail *tail, double t)
{
    return t > 0 ? -expm1(-mmcl__tail_h(tail, t)) : 0;
}
static double tail_of_mass(const mmcl__tail *tail, double m)
{
    return m > 0 ? mmcl__tail_t(tail, -log1p(-fmin(m, 1 - 0x1p-53))) : 0;
}

static double line_of_uniform(const mmcl__tail *tail, double u)
{
    return u < 0.5 ? -mmcl__tail_t(tail, -log(2 * u)) : mmcl__tail_t(tail, -log(2 - 2 * u));
}

static double noise(const place *p, uint32_t purpose, const mmcl__line *line, size_t i)
{
    if (line->kind == MMCL_DIST_NORMAL)
        return line->deviation * normal(p, purpose, i);
    return line->scale * line_of_uniform(line->tail, uniform(p, purpose, i));
}

static double truncated(const mmcl__sampler *sampler, const mmcl__line *line, double from, double u)
{
    double left  = mass(line->tail, (from - sampler->lower) / line->scale);
    double right = mass(line->tail, (sampler->upper - from) / line->scale);
    double share = u * (left + right) - left;
    double reach = line->scale * tail_of_mass(line->tail, fabs(share));
    return fmin(fmax(from + (share < 0 ? -reach : reach), sampler->lower), sampler->upper);
}

/* A normal number into the marginal's distribution. */
static double through_copula(const mmcl__sampler *sampler, double n)
{
    const mmcl__line *line = &sampler->marginal;
    double            half = (sampler->upper - sampler->lower) / 2, sign = n < 0 ? -1 : 1;
    if (line->kind == MMCL_DIST_NORMAL && sampler->space != MMCL_SPACE_BOX)
        return line->deviation * n;
    double h = mmcl__tail_h(sampler->normal_tail, fabs(n) / sqrt(2));
    if (sampler->space != MMCL_SPACE_BOX)
        return sign * line->scale * mmcl__tail_t(line->tail, h);
    double share = -expm1(-h) * sampler->half_mass;
    double reach = line->kind == MMCL_DIST_UNIFORM ? half * share : fmin(line->scale * tail_of_mass(line->tail, share), half);
    return sampler->lower + half + sign * reach;
}

static double marginal_coordinate(const mmcl__sampler *sampler, const place *p, size_t i)
{
    const mmcl__line *line = &sampler->marginal;
    double            side = sampler->upper - sampler->lower;
    if (sampler->cholesky != NULL) {
        double sum = 0;
        for (size_t j = 0; j <= i; j++)
            sum += sampler->cholesky[i * sampler->latent + j] * normal(p, MMCL__DRAW_MARGINAL, j);
        return sampler->space == MMCL_SPACE_SPHERE && line->kind == MMCL_DIST_UNIFORM ? sum : through_copula(sampler, sum);
    }
    if (sampler->space == MMCL_SPACE_BOX) {
        double u = uniform(p, MMCL__DRAW_MARGINAL, i);
        return line->kind == MMCL_DIST_UNIFORM ? sampler->lower + side * u : truncated(sampler, line, sampler->lower + side / 2, u);
    }
    return line->kind == MMCL_DIST_UNIFORM ? normal(p, MMCL__DRAW_MARGINAL, i) : noise(p, MMCL__DRAW_MARGINAL, line, i);
}

static void normalize(size_t n, coordinates x)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += AT(x, i) * AT(x, i);
    for (size_t i = 0; i < n; i++)
        AT(x, i) /= sqrt(square);
}

static void draw_marginal(const mmcl__sampler *sampler, const place *p, coordinates x)
{
    for (size_t i = 0; i < sampler->latent; i++)
        AT(x, i) = marginal_coordinate(sampler, p, i);
    if (sampler->space != MMCL_SPACE_SPHERE)
        return;
    if (sampler->marginal.kind != MMCL_DIST_UNIFORM)
        AT(x, 0) += sampler->center;
    normalize(sampler->latent, x);
}

/* Wood (1994): 1 less the cosine. */
static double draw_delta(const mmcl__sampler *sampler, const place *p)
{
    double d = (double) sampler->latent, b = sampler->b, delta = 0;
    for (uint32_t try = 0; try < MMCL__COSINE_TRIES; try++) {
        pair   u = draw(p, MMCL__DRAW_COSINE, 2 * try), v = draw(p, MMCL__DRAW_COSINE, 2 * try + 1);
        double z    = (1 + (d > 2 ? sqrt(-expm1(log(u.a) * 2 / (d - 2))) : 1) * cos(2 * PI * u.b)) / 2;
        double rest = (1 - z) + b * z;
        delta       = 2 * b * z / rest;
        if (sampler->kappa * (2 * b / (1 + b) - delta) + (d - 1) * (log((1 + b) / 2) - log(rest)) >= log(v.a))
            break;
    }
    return delta;
}

static void draw_vmf(const mmcl__sampler *sampler, const place *p, coordinates x, coordinates y)
{
    double along = 0, square = 0, delta = draw_delta(sampler, p);
    for (size_t i = 0; i < sampler->latent; i++) {
        AT(y, i) = normal(p, MMCL__DRAW_COUPLING, i);
        along += AT(x, i) * AT(y, i);
    }
    for (size_t i = 0; i < sampler->latent; i++) {
        AT(y, i) -= along * AT(x, i);
        square += AT(y, i) * AT(y, i);
    }
    for (size_t i = 0; i < sampler->latent; i++)
        AT(y, i) = (1 - delta) * AT(x, i) + sqrt(delta * (2 - delta) / square) * AT(y, i);
}

static void draw_coupling(const mmcl__sampler *sampler, const place *p, coordinates x, coordinates y)
{
    if (sampler->coupling_kind == MMCL_DIST_VMF) {
        draw_vmf(sampler, p, x, y);
        return;
    }
    for (size_t i = 0; i < sampler->latent; i++)
        AT(y, i) = sampler->space == MMCL_SPACE_BOX
                       ? truncated(sampler, &sampler->coupling, AT(x, i), uniform(p, MMCL__DRAW_COUPLING, i))
                       : AT(x, i) + noise(p, MMCL__DRAW_COUPLING, &sampler->coupling, i);
    if (sampler->space == MMCL_SPACE_SPHERE)
        normalize(sampler->latent, y);
}

static double energy(const mmcl__line *line, double x)
{
    return pow(fabs(x) / line->scale, line->tail->beta);
}

/* One try at one coordinate; true when it is accepted. */
static bool propose(const mmcl__sampler *sampler, pair u, double accept, double *x, double *y)
{
    const mmcl__line *marginal = &sampler->marginal, *coupling = &sampler->coupling;
    if (sampler->space == MMCL_SPACE_BOX) {
        *x = sampler->lower + (sampler->upper - sampler->lower) * u.a;
        return u.b < (mass(coupling->tail, (*x - sampler->lower) / coupling->scale) +
                      mass(coupling->tail, (sampler->upper - *x) / coupling->scale)) /
                         (2 * sampler->half_mass);
    }
    *x = marginal->scale * line_of_uniform(marginal->tail, u.a);
    if (sampler->propose_pairs) {
        *y = marginal->scale * line_of_uniform(marginal->tail, u.b);
        return accept < exp(-energy(coupling, *y - *x));
    }
    *y = *x + coupling->scale * line_of_uniform(coupling->tail, u.b);
    return accept < exp(-energy(marginal, *y));
}

static void draw_symmetric(const mmcl__sampler *sampler, const place *p, coordinates x, coordinates y)
{
    for (size_t i = 0; i < sampler->latent; i++) {
        bool accepted = false;
        for (uint32_t try = 0; try < MMCL__SYMMETRIC_TRIES && !accepted; try++) {
            uint32_t index = (uint32_t) i * 2 * MMCL__SYMMETRIC_TRIES + 2 * try;
            accepted = propose(sampler, draw(p, MMCL__DRAW_SYMMETRIC, index), draw(p, MMCL__DRAW_SYMMETRIC, index + 1).a, &AT(x, i),
                               &AT(y, i));
        }
    }
    if (sampler->space == MMCL_SPACE_BOX)
        draw_coupling(sampler, p, x, y);
}

static void draw_private(const mmcl__sampler *sampler, const place *p, uint32_t purpose, size_t n, coordinates z, coordinates m)
{
    for (size_t i = 0; i < n; i++) {
        double own = sampler->space == MMCL_SPACE_BOX ? sampler->lower + (sampler->upper - sampler->lower) * uniform(p, purpose, i)
                                                      : normal(p, purpose, i);
        AT(m, i) = sampler->own * own + sampler->follow * AT(z, i % sampler->latent);
    }
}

static void block(const mmcl__sampler *sampler, uint64_t seed, uint64_t step, uint32_t row, const mmcl__block *out)
{
    for (int lane = 0; lane < MMCL__SAMPLE_ROWS; lane++) {
        const place       p = {.seed = seed, .step = step, .row = row + (uint32_t) lane};
        const coordinates z[2] = {{out->z[0], lane}, {out->z[1], lane}}, m[2] = {{out->m[0], lane}, {out->m[1], lane}};
        bool              second = sampler->direction == MMCL_DIRECTION_T2X ||
                      (sampler->direction == MMCL_DIRECTION_MIXED && draw(&p, MMCL__DRAW_DIRECTION, 0).a >= 0.5);
        if (sampler->direction == MMCL_DIRECTION_SYMMETRIC && sampler->space != MMCL_SPACE_SPHERE) {
            draw_symmetric(sampler, &p, z[0], z[1]);
        } else {
            draw_marginal(sampler, &p, z[second]);
            draw_coupling(sampler, &p, z[second], z[!second]);
        }
        draw_private(sampler, &p, MMCL__DRAW_PRIVATE_X, sampler->private_x, z[0], m[0]);
        draw_private(sampler, &p, MMCL__DRAW_PRIVATE_T, sampler->private_t, z[1], m[1]);
    }
}

static void layer(size_t n, const float *a, float slope, const float (*in)[MMCL__SAMPLE_ROWS], float (*out)[MMCL__SAMPLE_ROWS])
{
    for (size_t i = 0; i < n; i++)
        for (int lane = 0; lane < MMCL__SAMPLE_ROWS; lane++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += (double) a[i * n + j] * (double) in[j][lane];
            out[i][lane] = (float) (sum < 0 ? (double) slope * sum : sum);
        }
}

const mmcl__sample_kernels mmcl__sample_reference = {block, layer};
