/* What draws latents: the numbers that a block of rows needs, kernels per instruction set and a reference twin. */
#ifndef MMCL_MODEL_SAMPLER_H
#define MMCL_MODEL_SAMPLER_H

#include "linalg/isa.h"
#include "model/tail.h"

#include <mmcl/model.h>

/* Rows of a block; row i of the block is lane i of every array below. */
#define MMCL__SAMPLE_ROWS 16

/* Where the four words of a counter go: word 0 is (purpose << 24) + index, then row, then step. */
enum {
    MMCL__DRAW_MARGINAL = 1,
    MMCL__DRAW_COUPLING,
    MMCL__DRAW_PRIVATE_X,
    MMCL__DRAW_PRIVATE_T,
    MMCL__DRAW_COSINE,    /* of the von Mises-Fisher density: two blocks a try */
    MMCL__DRAW_DIRECTION,
    MMCL__DRAW_SYMMETRIC  /* two blocks a try, 2048 for each coordinate */
};
#define MMCL__COSINE_TRIES 64      /* at least 0.6 of them are accepted: to need more has probability below 1e-25 */
#define MMCL__SYMMETRIC_TRIES 1024 /* in a box at least a half, on R^d at least some 0.06 at the smallest exponents */

/* A distribution on the line, symmetric about 0: t scale with t from the tail, or standard normal times `deviation`. */
typedef struct mmcl__line {
    mmcl_distribution kind;      /* uniform, normal, Laplace or generalised normal */
    double            scale;     /* of exp(-(|u| / scale)^beta) */
    double            deviation; /* normal: its standard deviation */
    const mmcl__tail *tail;      /* NULL where none is needed */
} mmcl__line;

typedef struct mmcl__sampler {
    size_t               latent, private_x, private_t;
    mmcl_space           space;
    mmcl_direction       direction;
    mmcl_distribution    coupling_kind;
    mmcl__line           marginal, coupling;
    const mmcl__tail    *normal_tail;   /* for the copula */
    const double        *cholesky;      /* [latent, latent] or NULL */
    double               center;        /* of a marginal on the sphere: its first coordinate */
    double               lower, upper;
    double               half_mass;     /* of the marginal in half the box; symmetric: of the coupling */
    double               kappa, b, log_half_b, cosine_shift; /* Wood's b, log((1 + b) / 2), 2 b / (1 + b) */
    double               dependence, follow; /* weight of z in m, times what brings z to mean square 1 */
    double               own;           /* weight of m's own draw */
    bool                 propose_pairs; /* symmetric on R^d: propose z_t from the marginal, else from the coupling */
} mmcl__sampler;

/* Latents of a block, by coordinate: z_x [latent], z_t [latent], m_x [private_x], m_t [private_t] rows of lanes. */
typedef struct mmcl__block {
    double (*z[2])[MMCL__SAMPLE_ROWS];
    double (*m[2])[MMCL__SAMPLE_ROWS];
} mmcl__block;

typedef struct mmcl__sample_kernels {
    /* Fills the block with rows `row` ... of batch `step` of `seed`. */
    void (*block)(const mmcl__sampler *sampler, uint64_t seed, uint64_t step, uint32_t row, const mmcl__block *block);
    /* out [n] = a [n, n] in [n], each element a row of lanes, then leaky ReLU unless slope is 1. */
    void (*layer)(size_t n, const float *a, float slope, const float (*in)[MMCL__SAMPLE_ROWS], float (*out)[MMCL__SAMPLE_ROWS]);
} mmcl__sample_kernels;

MMCL__ISA_TABLE(mmcl__sample_kernels, mmcl__sample)
extern const mmcl__sample_kernels mmcl__sample_reference;

#endif
