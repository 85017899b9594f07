/*
 * Drawing latents and mixing them, a block of rows at a time, compiled once per instruction set. The readable twin, with the
 * definitions row by row, is sample_reference.c.
 */
#include "model/lanes.h"
#include "model/sampler.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LANES MMCL__SAMPLE_ROWS
#define EACH MMCL__EACH_LANE

_Static_assert(MMCL__LANES == MMCL__SAMPLE_ROWS, "one block, one width");

/* Where a block's random numbers come from. */
typedef struct stream {
    uint64_t key;
    uint32_t row, step_low, step_high;
} stream;

/* ------------------------------------------------------------------------------------------------- uniform numbers --- */

/* Words of 32 bits in elements of 64, so that a product needs no shuffling. */
typedef uint64_t words __attribute__((vector_size(32), may_alias, aligned(8)));

#ifdef __AVX2__
#define TIMES(a, constant) ((words) _mm256_mul_epu32((__m256i) (a), _mm256_set1_epi64x(constant)))
#else
#define TIMES(a, constant) ((a) * (uint64_t) (constant))
#endif

/* Two numbers a lane from one Philox block: (k + 1/2) / 2^52, so that neither they nor 1 less they round. */
static void draw(const stream *s, uint32_t purpose, uint32_t index, double a[LANES], double b[LANES])
{
    const uint64_t low = 0xffffffffu;
    for (int at = 0; at < LANES; at += 4) {
        const uint64_t row = (uint64_t) s->row + (uint64_t) at;
        words          c0 = {0}, c1 = {row & low, (row + 1) & low, (row + 2) & low, (row + 3) & low}, c2 = {0}, c3 = {0};
        uint32_t       k0 = (uint32_t) s->key, k1 = (uint32_t) (s->key >> 32);
        c0 += (purpose << 24) + index;
        c2 += s->step_low;
        c3 += s->step_high;
        for (int round = 0; round < 10; round++) {
            const words p0 = TIMES(c0, 0xD2511F53u), p1 = TIMES(c2, 0xCD9E8D57u);
            c0 = (p1 >> 32) ^ c1 ^ k0;
            c1 = p1 & low;
            c2 = (p0 >> 32) ^ c3 ^ k1;
            c3 = p0 & low;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        const words first = (c0 << 20) | (c1 >> 12) | 0x3ff0000000000000u, second = (c2 << 20) | (c3 >> 12) | 0x3ff0000000000000u;
        for (int l = 0; l < 4; l++) {
            a[at + l] = mmcl__of_bits(first[l]) - (1.0 - 0x1p-53);
            b[at + l] = mmcl__of_bits(second[l]) - (1.0 - 0x1p-53);
        }
    }
}

/* Standard normals (Box and Muller 1958), two coordinates from each block. */
static void normals(const stream *s, uint32_t purpose, size_t n, double (*out)[LANES])
{
    for (size_t i = 0; i < n; i += 2) {
        double a[LANES], b[LANES], odd[LANES];
        draw(s, purpose, (uint32_t) (i / 2), a, b);
        EACH
        {
            double cosine, sine, radius = sqrt(-2.0 * mmcl__log_f64(a[l]));
            mmcl__turn_f64(b[l], &cosine, &sine);
            out[i][l] = radius * cosine;
            odd[l]    = radius * sine;
        }
        for (int l = 0; l < LANES && i + 1 < n; l++)
            out[i + 1][l] = odd[l];
    }
}

static void uniforms(const stream *s, uint32_t purpose, size_t n, double (*out)[LANES])
{
    for (size_t i = 0; i < n; i += 2) {
        double odd[LANES];
        draw(s, purpose, (uint32_t) (i / 2), out[i], odd);
        for (int l = 0; l < LANES && i + 1 < n; l++)
            out[i + 1][l] = odd[l];
    }
}

/* ------------------------------------------------------------------------------------------------------------ tails --- */

static void look_up(const mmcl__hermite *table, double x[LANES])
{
    const double last = (double) (table->n - 1), most = (double) (table->n - 2);
    double       q[LANES], inside[LANES];
    int32_t      node[LANES];
    EACH
    {
        q[l]         = (x[l] - table->first) * table->inverse_step;
        inside[l]    = q[l] < 0 ? 0 : q[l] > last ? last : q[l];
        double below = inside[l] > most ? most : inside[l];
        node[l]      = (int32_t) below;
    }
    EACH
    {
        const double *at = table->nodes + 2 * (size_t) node[l];
        double        f = inside[l] - node[l], v0 = at[0], s0 = at[1], rise = at[2] - v0, s1 = at[3];
        double        inner = v0 + f * (s0 + f * ((3 * rise - 2 * s0 - s1) + f * (s0 + s1 - 2 * rise)));
        x[l]                = inner + (q[l] - inside[l]) * (q[l] < 0 ? s0 : s1);
    }
}

/* h(t) and t(h) in place; arguments of 0 count as the smallest normal number. */
static void through(const mmcl__hermite *table, double x[LANES])
{
    EACH x[l] = mmcl__log_f64(x[l] > 0x1p-1000 ? x[l] : 0x1p-1000);
    look_up(table, x);
    EACH x[l] = mmcl__exp_f64(x[l] < 700 ? x[l] : 700);
}
static void tail_h(const mmcl__tail *tail, double x[LANES])
{
    if (!tail->exponential)
        through(&tail->log_h, x);
}
static void tail_t(const mmcl__tail *tail, double x[LANES])
{
    if (!tail->exponential)
        through(&tail->log_t, x);
}

/* t with mass P(t) = x, in place; a mass that rounds to 1 counts as the largest that the uniform numbers can ask for. */
static void tail_of_mass(const mmcl__tail *tail, double x[LANES])
{
    EACH x[l] = -mmcl__log1m_f64(x[l] < 1.0 - 0x1p-53 ? x[l] : 1.0 - 0x1p-53);
    tail_t(tail, x);
}

/* The mass between 0 and t, in place. */
static void mass(const mmcl__tail *tail, double x[LANES])
{
    tail_h(tail, x);
    EACH x[l] = mmcl__mass_f64(x[l]);
}

/* A uniform number becomes one from the line's distribution with scale 1: side and survival probability from its two halves. */
static void line_of_uniform(const mmcl__tail *tail, double u[LANES])
{
    double t[LANES];
    EACH t[l] = -mmcl__log_f64(u[l] < 0.5 ? 2.0 * u[l] : 2.0 - 2.0 * u[l]);
    tail_t(tail, t);
    EACH u[l] = u[l] < 0.5 ? -t[l] : t[l];
}

/* Draws around 0. */
static void noise(const stream *s, uint32_t purpose, const mmcl__line *line, size_t n, double (*out)[LANES])
{
    if (line->kind == MMCL_DIST_NORMAL) {
        normals(s, purpose, n, out);
        for (size_t i = 0; i < n; i++)
            EACH out[i][l] *= line->deviation;
        return;
    }
    uniforms(s, purpose, n, out);
    for (size_t i = 0; i < n; i++) {
        line_of_uniform(line->tail, out[i]);
        EACH out[i][l] *= line->scale;
    }
}

/*
 * One coordinate in the box given the other's `from`, by inversion: of the masses to the left and to the right of `from` together, the
 * share u is to the left of the result.
 */
static void truncated(const mmcl__sampler *sampler, const mmcl__line *line, const double from[LANES], const double u[LANES],
                      double out[LANES])
{
    double left[LANES], right[LANES], m[LANES];
    EACH
    {
        left[l]  = (from[l] - sampler->lower) / line->scale;
        right[l] = (sampler->upper - from[l]) / line->scale;
    }
    mass(line->tail, left);
    mass(line->tail, right);
    EACH
    {
        double share = u[l] * (left[l] + right[l]) - left[l];
        m[l]         = share < 0 ? -share : share;
        left[l]      = share < 0 ? -line->scale : line->scale;
    }
    tail_of_mass(line->tail, m);
    EACH
    {
        double value = from[l] + left[l] * m[l];
        value        = value < sampler->lower ? sampler->lower : value;
        out[l]       = value > sampler->upper ? sampler->upper : value;
    }
}

/* --------------------------------------------------------------------------------------------------------- marginal --- */

/* Correlated normals into the marginal's distribution: |n| says how much of the half-line's mass is beyond it. */
static void through_copula(const mmcl__sampler *sampler, double x[LANES])
{
    const mmcl__line *line = &sampler->marginal;
    const double      half = 0.5 * (sampler->upper - sampler->lower), middle = sampler->lower + half;
    double            t[LANES];
    if (line->kind == MMCL_DIST_NORMAL && sampler->space != MMCL_SPACE_BOX) {
        EACH x[l] *= line->deviation;
        return;
    }
    EACH t[l] = (x[l] < 0 ? -x[l] : x[l]) * 0x1.6a09e667f3bcdp-1; /* the tail's scale is sqrt(2) standard deviations */
    tail_h(sampler->normal_tail, t);
    if (sampler->space != MMCL_SPACE_BOX) {
        tail_t(line->tail, t);
        EACH x[l] = (x[l] < 0 ? -line->scale : line->scale) * t[l];
        return;
    }
    EACH t[l] = mmcl__mass_f64(t[l]) * sampler->half_mass;
    if (line->kind == MMCL_DIST_UNIFORM) {
        EACH x[l] = middle + (x[l] < 0 ? -half : half) * t[l];
        return;
    }
    tail_of_mass(line->tail, t);
    EACH
    {
        double reach = line->scale * t[l] < half ? line->scale * t[l] : half;
        x[l]         = middle + (x[l] < 0 ? -reach : reach);
    }
}

/* x = L x, from below, so that it can be done in place. */
static void correlate(size_t n, const double *cholesky, double (*x)[LANES])
{
    for (size_t i = n; i-- > 0;) {
        double sum[LANES] = {0};
        for (size_t j = 0; j <= i; j++)
            EACH sum[l] += cholesky[i * n + j] * x[j][l];
        EACH x[i][l] = sum[l];
    }
}

static void normalize(size_t n, double (*x)[LANES])
{
    double square[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        EACH square[l] += x[i][l] * x[i][l];
    EACH square[l] = 1.0 / sqrt(square[l]);
    for (size_t i = 0; i < n; i++)
        EACH x[i][l] *= square[l];
}

static void draw_marginal(const mmcl__sampler *sampler, const stream *s, double (*x)[LANES])
{
    const size_t      n    = sampler->latent;
    const mmcl__line *line = &sampler->marginal;
    const bool        ball = sampler->space == MMCL_SPACE_SPHERE, box = sampler->space == MMCL_SPACE_BOX;
    if (ball && line->kind == MMCL_DIST_UNIFORM) {
        normals(s, MMCL__DRAW_MARGINAL, n, x);
        if (sampler->cholesky != NULL)
            correlate(n, sampler->cholesky, x);
    } else if (sampler->cholesky != NULL) {
        normals(s, MMCL__DRAW_MARGINAL, n, x);
        correlate(n, sampler->cholesky, x);
        for (size_t i = 0; i < n; i++)
            through_copula(sampler, x[i]);
    } else if (box) {
        const double middle = 0.5 * (sampler->lower + sampler->upper);
        double       from[LANES];
        EACH from[l] = middle;
        uniforms(s, MMCL__DRAW_MARGINAL, n, x);
        for (size_t i = 0; i < n; i++) {
            if (line->kind != MMCL_DIST_UNIFORM)
                truncated(sampler, line, from, x[i], x[i]);
            else
                EACH x[i][l] = sampler->lower + (sampler->upper - sampler->lower) * x[i][l];
        }
    } else {
        noise(s, MMCL__DRAW_MARGINAL, line, n, x);
    }
    if (!ball)
        return;
    if (line->kind != MMCL_DIST_UNIFORM)
        EACH x[0][l] += sampler->center;
    normalize(n, x);
}

/* --------------------------------------------------------------------------------------------------------- coupling --- */

/*
 * 1 - z_x.z_t of the von Mises-Fisher density (Wood 1994), written in delta = 1 - w and D = (1 - Z) + b Z so that nothing cancels for
 * any kappa: delta = 2 b Z / D, accepted when kappa (2b / (1 + b) - delta) + (d - 1) (log((1 + b) / 2) - log D) >= log u. Z from
 * Beta((d-1)/2, (d-1)/2) by Ulrich's (1984) pair: (1 + sqrt(1 - u1^(2/(d-2))) cos 2 pi u2) / 2.
 */
static void draw_cosine(const mmcl__sampler *sampler, const stream *s, double delta[LANES])
{
    const double d = (double) sampler->latent, exponent = d > 2 ? 2.0 / (d - 2.0) : 0;
    uint64_t     open[LANES], any = 1;
    EACH open[l] = ~(uint64_t) 0;
    for (uint32_t try = 0; try < MMCL__COSINE_TRIES && any; try++) {
        double u1[LANES], u2[LANES], u3[LANES], unused[LANES];
        draw(s, MMCL__DRAW_COSINE, 2 * try, u1, u2);
        draw(s, MMCL__DRAW_COSINE, 2 * try + 1, u3, unused);
        EACH
        {
            double cosine, sine, spread = d > 2 ? mmcl__mass_f64(-exponent * mmcl__log_f64(u1[l])) : 1.0;
            mmcl__turn_f64(u2[l], &cosine, &sine);
            double   x = sqrt(spread) * cosine, z = 0.5 + 0.5 * x, rest = (0.5 - 0.5 * x) + sampler->b * z;
            double   tried = 2.0 * sampler->b * z / rest;
            double   gain  = sampler->kappa * (sampler->cosine_shift - tried) +
                          (d - 1.0) * (sampler->log_half_b - mmcl__log_f64(rest)) - mmcl__log_f64(u3[l]);
            uint64_t was = mmcl__bits_of(delta[l]), now = mmcl__bits_of(tried);
            delta[l]     = mmcl__of_bits((now & open[l]) | (was & ~open[l]));
            open[l] &= gain >= 0 ? 0 : ~(uint64_t) 0;
        }
        any = 0;
        EACH any |= open[l];
    }
}

/* y = (1 - delta) x + sqrt(delta (2 - delta)) v, v a uniform unit tangent at x. */
static void draw_vmf(const mmcl__sampler *sampler, const stream *s, const double (*x)[LANES], double (*y)[LANES])
{
    const size_t n = sampler->latent;
    double       delta[LANES] = {0}, along[LANES] = {0}, square[LANES] = {0};
    draw_cosine(sampler, s, delta);
    normals(s, MMCL__DRAW_COUPLING, n, y);
    for (size_t i = 0; i < n; i++)
        EACH along[l] += x[i][l] * y[i][l];
    for (size_t i = 0; i < n; i++)
        EACH
        {
            y[i][l] -= along[l] * x[i][l];
            square[l] += y[i][l] * y[i][l];
        }
    EACH square[l] = sqrt(delta[l] * (2.0 - delta[l]) / square[l]);
    for (size_t i = 0; i < n; i++)
        EACH y[i][l] = (1.0 - delta[l]) * x[i][l] + square[l] * y[i][l];
}

static void draw_coupling(const mmcl__sampler *sampler, const stream *s, const double (*x)[LANES], double (*y)[LANES])
{
    const size_t n = sampler->latent;
    if (sampler->coupling_kind == MMCL_DIST_VMF) {
        draw_vmf(sampler, s, x, y);
        return;
    }
    if (sampler->space == MMCL_SPACE_BOX) {
        uniforms(s, MMCL__DRAW_COUPLING, n, y);
        for (size_t i = 0; i < n; i++)
            truncated(sampler, &sampler->coupling, x[i], y[i], y[i]);
        return;
    }
    noise(s, MMCL__DRAW_COUPLING, &sampler->coupling, n, y);
    for (size_t i = 0; i < n; i++)
        EACH y[i][l] += x[i][l];
    if (sampler->space == MMCL_SPACE_SPHERE)
        normalize(n, y);
}

/* -------------------------------------------------------------------------------------------------------- symmetric --- */

/* (|x| / scale)^beta in place. */
static void energy(const mmcl__line *line, double x[LANES])
{
    const double scale = 1.0 / line->scale, beta = line->tail->beta;
    EACH
    {
        double t = (x[l] < 0 ? -x[l] : x[l]) * scale, e = beta * mmcl__log_f64(t > 0x1p-1000 ? t : 0x1p-1000);
        x[l]     = mmcl__exp_f64(e < 700 ? e : 700);
    }
}

/*
 * One coordinate of a box: the first of the pair has density proportional to the coupling's mass in the box around it, at least half of what it is
 * in the middle.
 */
static void propose_in_box(const mmcl__sampler *sampler, const double u[LANES], double x[LANES], double energy_of[LANES])
{
    double left[LANES], right[LANES];
    EACH
    {
        x[l]     = sampler->lower + (sampler->upper - sampler->lower) * u[l];
        left[l]  = (x[l] - sampler->lower) / sampler->coupling.scale;
        right[l] = (sampler->upper - x[l]) / sampler->coupling.scale;
    }
    mass(sampler->coupling.tail, left);
    mass(sampler->coupling.tail, right);
    EACH energy_of[l] = -mmcl__log_f64((left[l] + right[l]) / (2.0 * sampler->half_mass));
}

/* One coordinate on R^d: a pair, with what is left of the density's exponent after the proposal. */
static void propose_pair(const mmcl__sampler *sampler, double u1[LANES], double u2[LANES], double x[LANES], double y[LANES],
                         double energy_of[LANES])
{
    const mmcl__line *marginal = &sampler->marginal, *second = sampler->propose_pairs ? marginal : &sampler->coupling;
    line_of_uniform(marginal->tail, u1);
    line_of_uniform(second->tail, u2);
    EACH
    {
        x[l]         = marginal->scale * u1[l];
        y[l]         = second->scale * u2[l] + (sampler->propose_pairs ? 0 : x[l]);
        energy_of[l] = sampler->propose_pairs ? y[l] - x[l] : y[l];
    }
    energy(sampler->propose_pairs ? &sampler->coupling : marginal, energy_of);
}

static void draw_symmetric(const mmcl__sampler *sampler, const stream *s, double (*x)[LANES], double (*y)[LANES])
{
    const bool box = sampler->space == MMCL_SPACE_BOX;
    for (size_t i = 0; i < sampler->latent; i++) {
        bool open[LANES], any = true;
        EACH open[l] = true;
        for (uint32_t try = 0; try < MMCL__SYMMETRIC_TRIES && any; try++) {
            double   u1[LANES], u2[LANES], u3[LANES], unused[LANES], first[LANES], second[LANES], spent[LANES];
            uint32_t index = (uint32_t) i * 2 * MMCL__SYMMETRIC_TRIES + 2 * try;
            draw(s, MMCL__DRAW_SYMMETRIC, index, u1, u2);
            if (box) {
                EACH u3[l] = u2[l];
                propose_in_box(sampler, u1, first, spent);
            } else {
                draw(s, MMCL__DRAW_SYMMETRIC, index + 1, u3, unused);
                propose_pair(sampler, u1, u2, first, second, spent);
            }
            any = false;
            EACH
            {
                x[i][l] = open[l] ? first[l] : x[i][l];
                if (!box)
                    y[i][l] = open[l] ? second[l] : y[i][l];
                open[l] = open[l] && spent[l] > -mmcl__log_f64(u3[l]);
                any |= open[l];
            }
        }
    }
    if (box)
        draw_coupling(sampler, s, (const double (*)[LANES]) x, y);
}

/* ------------------------------------------------------------------------------------------------------------ block --- */

static void draw_private(const mmcl__sampler *sampler, const stream *s, uint32_t purpose, size_t n, const double (*z)[LANES],
                         double (*m)[LANES])
{
    if (sampler->space == MMCL_SPACE_BOX) {
        uniforms(s, purpose, n, m);
        for (size_t i = 0; i < n; i++)
            EACH m[i][l] = sampler->lower + (sampler->upper - sampler->lower) * m[i][l];
    } else {
        normals(s, purpose, n, m);
    }
    if (sampler->dependence == 0)
        return;
    for (size_t i = 0; i < n; i++)
        EACH m[i][l] = sampler->own * m[i][l] + sampler->follow * z[i % sampler->latent][l];
}

/* Swaps the sides of the rows whose coin says so. */
static void flip(const mmcl__sampler *sampler, const stream *s, double (*x)[LANES], double (*y)[LANES])
{
    double coin[LANES], unused[LANES];
    draw(s, MMCL__DRAW_DIRECTION, 0, coin, unused);
    for (size_t i = 0; i < sampler->latent; i++)
        EACH
        {
            double kept = x[i][l];
            x[i][l]     = coin[l] < 0.5 ? kept : y[i][l];
            y[i][l]     = coin[l] < 0.5 ? y[i][l] : kept;
        }
}

static void block(const mmcl__sampler *sampler, uint64_t seed, uint64_t step, uint32_t row, const mmcl__block *out)
{
    const stream s = {.key = seed, .row = row, .step_low = (uint32_t) step, .step_high = (uint32_t) (step >> 32)};
    const int    first = sampler->direction == MMCL_DIRECTION_T2X;
    if (sampler->direction == MMCL_DIRECTION_SYMMETRIC && sampler->space != MMCL_SPACE_SPHERE) {
        draw_symmetric(sampler, &s, out->z[0], out->z[1]);
    } else {
        draw_marginal(sampler, &s, out->z[first]);
        draw_coupling(sampler, &s, (const double (*)[LANES]) out->z[first], out->z[!first]);
    }
    if (sampler->direction == MMCL_DIRECTION_MIXED)
        flip(sampler, &s, out->z[0], out->z[1]);
    draw_private(sampler, &s, MMCL__DRAW_PRIVATE_X, sampler->private_x, (const double (*)[LANES]) out->z[0], out->m[0]);
    draw_private(sampler, &s, MMCL__DRAW_PRIVATE_T, sampler->private_t, (const double (*)[LANES]) out->z[1], out->m[1]);
}

/* ----------------------------------------------------------------------------------------------------------- mixing --- */

/* Half a row of lanes as one value, which stays in a register where an array would go through memory. */
typedef float   half_row __attribute__((vector_size(32), may_alias, aligned(4)));
typedef int32_t half_mask __attribute__((vector_size(32)));

/* `count` rows of the matrix at once, 1 to 4, against one half of the lanes; each sum runs over j in order. */
static inline void layer_rows(size_t n, int count, const float *a, float slope, const float *in, float *out)
{
    const half_row zero = {0};
    half_row       sum[4] = {{0}, {0}, {0}, {0}};
    for (size_t j = 0; j < n; j++) {
        const half_row h = *(const half_row *) (in + j * LANES);
        for (int i = 0; i < count; i++)
            sum[i] += a[(size_t) i * n + j] * h;
    }
    for (int i = 0; i < count; i++) {
        const half_row  scaled = sum[i] * slope;
        const half_mask below  = (half_mask) (sum[i] < zero);
        *(half_row *) (out + i * LANES) = (half_row) (((half_mask) scaled & below) | ((half_mask) sum[i] & ~below));
    }
}

static void layer(size_t n, const float *a, float slope, const float (*in)[LANES], float (*out)[LANES])
{
    for (size_t half = 0; half < LANES; half += LANES / 2) {
        size_t i = 0;
        for (; i + 4 <= n; i += 4)
            layer_rows(n, 4, a + i * n, slope, in[0] + half, out[i] + half);
        for (; i < n; i++)
            layer_rows(n, 1, a + i * n, slope, in[0] + half, out[i] + half);
    }
}

const mmcl__sample_kernels MMCL__ISA_NAME(mmcl__sample) = {block, layer};
