/*
 * Lower bounds on condition numbers, for several random matrices at once, compiled once per instruction set.
 *
 * With G = A^T A of unit diagonal and G = L L^T: sigma_min^2 is at most every L_kk^2 and at most 1 / (Rayleigh quotient of G^-1);
 * sigma_max^2 is at least |G|_F^2 / n (the mean of the squared eigenvalues over their mean, 1) and at least a Rayleigh quotient of G.
 */
#include "model/mixing.h"

#include <math.h>

#define LANES MMCL__MIXING_LANES
#define EACH for (int l = 0; l < LANES; l++)

/* mmcl__philox on as many counters as there are lanes; only word 1 differs between them. */
static void philox(uint32_t c0, uint32_t first, uint32_t c2, uint32_t c3, uint64_t key, uint32_t out[4][LANES])
{
    uint32_t c[4][LANES], k0 = (uint32_t) key, k1 = (uint32_t) (key >> 32);
    EACH
    {
        c[0][l] = c0;
        c[1][l] = first + (uint32_t) l;
        c[2][l] = c2;
        c[3][l] = c3;
    }
    for (int round = 0; round < 10; round++) {
        EACH
        {
            uint64_t p0 = (uint64_t) 0xD2511F53u * c[0][l], p1 = (uint64_t) 0xCD9E8D57u * c[2][l];
            uint32_t c1 = c[1][l], c3_ = c[3][l];
            c[0][l] = (uint32_t) (p1 >> 32) ^ c1 ^ k0;
            c[1][l] = (uint32_t) p1;
            c[2][l] = (uint32_t) (p0 >> 32) ^ c3_ ^ k1;
            c[3][l] = (uint32_t) p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++)
        EACH out[i][l] = c[i][l];
}

static void fill(size_t n, const mmcl__mixing_source *source, uint32_t first, double *a)
{
    for (size_t at = 0; at < n * n; at += 4) {
        uint32_t words[4][LANES];
        philox((uint32_t) (at / 4), first, source->layer, 0x4d495800u | source->side, source->seed, words);
        for (size_t i = 0; i < 4 && at + i < n * n; i++)
            EACH a[(at + i) * LANES + (size_t) l] = ((double) words[i][l] + 0.5) * 0x1p-31 - 1.0;
    }
}

/* g = a^T a scaled to a unit diagonal: lower triangle and diagonal. Leaves the columns' 1 / length behind in `a`, first row. */
static void gram(size_t n, double *restrict a, double *restrict g)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum[LANES] = {0};
            for (size_t k = 0; k < n; k++)
                EACH sum[l] += a[(k * n + i) * LANES + (size_t) l] * a[(k * n + j) * LANES + (size_t) l];
            EACH g[(i * n + j) * LANES + (size_t) l] = sum[l];
        }
    for (size_t i = 0; i < n; i++)
        EACH a[i * LANES + (size_t) l] = 1.0 / sqrt(g[(i * n + i) * LANES + (size_t) l]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            EACH g[(i * n + j) * LANES + (size_t) l] *= a[i * LANES + (size_t) l] * a[j * LANES + (size_t) l];
}

/* c = the lower factor of g with 1 / L_kk on its diagonal; least = the smallest L_kk^2. */
static void factor(size_t n, const double *restrict g, double *restrict c, double least[LANES])
{
    EACH least[l] = 1;
    for (size_t j = 0; j < n; j++)
        for (size_t i = j; i < n; i++) {
            double sum[LANES];
            EACH sum[l] = g[(i * n + j) * LANES + (size_t) l];
            for (size_t k = 0; k < j; k++)
                EACH sum[l] -= c[(i * n + k) * LANES + (size_t) l] * c[(j * n + k) * LANES + (size_t) l];
            double *to = c + (i * n + j) * LANES, *pivot = c + (j * n + j) * LANES;
            EACH
            {
                double positive = sum[l] > 1e-30 ? sum[l] : 1e-30;
                least[l]        = i == j && positive < least[l] ? positive : least[l];
                to[l]           = i == j ? 1.0 / sqrt(positive) : sum[l] * pivot[l];
            }
        }
}

/* v = g^-1 v, from the factor. */
static void solve(size_t n, const double *restrict c, double *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            EACH v[i * LANES + (size_t) l] -= c[(i * n + k) * LANES + (size_t) l] * v[k * LANES + (size_t) l];
        EACH v[i * LANES + (size_t) l] *= c[(i * n + i) * LANES + (size_t) l];
    }
    for (size_t i = n; i-- > 0;) {
        EACH v[i * LANES + (size_t) l] *= c[(i * n + i) * LANES + (size_t) l];
        for (size_t k = 0; k < i; k++)
            EACH v[k * LANES + (size_t) l] -= c[(i * n + k) * LANES + (size_t) l] * v[i * LANES + (size_t) l];
    }
}

/* w = g v. */
static void multiply(size_t n, const double *restrict g, const double *restrict v, double *restrict w)
{
    for (size_t i = 0; i < n * LANES; i++)
        w[i] = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            EACH
            {
                w[i * LANES + (size_t) l] += g[(i * n + j) * LANES + (size_t) l] * v[j * LANES + (size_t) l];
                w[j * LANES + (size_t) l] += g[(i * n + j) * LANES + (size_t) l] * v[i * LANES + (size_t) l];
            }
        EACH w[i * LANES + (size_t) l] += v[i * LANES + (size_t) l];
    }
}

static void norm(size_t n, const double *v, double out[LANES])
{
    EACH out[l] = 0;
    for (size_t i = 0; i < n; i++)
        EACH out[l] += v[i * LANES + (size_t) l] * v[i * LANES + (size_t) l];
    EACH out[l] = sqrt(out[l]);
}

/* A vector without symmetry, so that it meets every eigenvector. */
static void begin(size_t n, double *v)
{
    for (size_t i = 0; i < n; i++)
        EACH v[i * LANES + (size_t) l] = (i % 2 ? -1.0 : 1.0) * (1.0 + 0.37 * (double) (i % 5));
}

/* Multiplies by g, or solves with its factor, a few times; the growth of the last step bounds an eigenvalue of g or g^-1 from below. */
static void growth(size_t n, int steps, bool inverse, const double *matrix, double *v, double *w, double out[LANES])
{
    double before[LANES];
    begin(n, v);
    for (int step = 0; step < steps; step++) {
        norm(n, v, before);
        for (size_t i = 0; i < n; i++)
            EACH v[i * LANES + (size_t) l] /= before[l];
        if (inverse) {
            solve(n, matrix, v);
        } else {
            multiply(n, matrix, v, w);
            for (size_t i = 0; i < n * LANES; i++)
                v[i] = w[i];
        }
    }
    norm(n, v, out);
}

static void bound(size_t n, const mmcl__mixing_source *source, uint32_t first, double limit, double *scratch,
                  double bounds[MMCL__MIXING_LANES])
{
    double *a = scratch, *g = scratch + n * n * LANES, least[LANES], largest[LANES], grown[LANES];
    bool    open = false;
    fill(n, source, first, a);
    gram(n, a, g);
    EACH largest[l] = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            EACH largest[l] += g[(i * n + j) * LANES + (size_t) l] * g[(i * n + j) * LANES + (size_t) l];
    EACH largest[l] = 1.0 + 2.0 * largest[l] / (double) n;
    factor(n, g, a, least);
    EACH bounds[l] = sqrt(largest[l] / least[l]);
    EACH open |= bounds[l] <= limit;
    if (!open)
        return;
    double *vectors = scratch + 2 * n * n * LANES;
    growth(n, 4, true, a, vectors, NULL, grown);
    EACH least[l] = 1.0 / grown[l] < least[l] ? 1.0 / grown[l] : least[l];
    growth(n, 6, false, g, vectors, vectors + n * LANES, grown);
    EACH largest[l] = grown[l] > largest[l] ? grown[l] : largest[l];
    EACH bounds[l]  = sqrt(largest[l] / least[l]);
}

const mmcl__mixing_kernels MMCL__ISA_NAME(mmcl__mixing_bounds) = {bound};
