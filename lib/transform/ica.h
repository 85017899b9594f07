/*
 * Independent component analysis of whitened rows: the pass over the data that every solver shares, and the solvers.
 *
 * With y = W x for whitened x, one pass gives mean psi(y) x^T, and from it G = mean psi(y) y^T = (mean psi(y) x^T) W^T. So FastICA and
 * Picard are small loops over k x k matrices in float64, and only the pass knows precision, cache, tiles and threads.
 */
#ifndef MMCL_TRANSFORM_ICA_H
#define MMCL_TRANSFORM_ICA_H

#include "transform/source.h"

/* ------------------------------------------------------------------------------------------------------------ rows --- */

/* Whitened rows: the first `cached` of them in memory, the rest computed from the source in each pass. */
typedef struct mmcl__ica_rows {
    mmcl_context       *context;
    const mmcl__source *source;
    const mmcl__stage  *whitening; /* source columns to k */
    size_t              n, k;
    mmcl_precision      precision;
    size_t              cached;
    void               *cache;      /* [cached, k] in the precision: tiles in pieces */
    mmcl__lanes         lanes;      /* over tiles */
    mmcl__trouble      *trouble;    /* [lanes] */
    void               *scratch;    /* [workers, share] in the precision */
    void               *w;          /* [k, k] of the pass, in the precision, in panels */
    size_t              share;
    double             *sums;       /* [lanes, sums_share] */
    size_t              sums_share;
    uint64_t            passes;
    bool                curvature;  /* passes may ask for it */
    bool                shares;     /* the cache is another's */
} mmcl__ica_rows;

/* Fills the cache, of at most `cache_bytes`. `curvature`: the free Picard's statistics will be asked for. */
mmcl_status mmcl__ica_rows_open(mmcl__ica_rows *rows, mmcl_context *context, const mmcl__source *source, const mmcl__stage *whitening,
                                mmcl_precision precision, uint64_t cache_bytes, bool curvature);
void        mmcl__ica_rows_close(mmcl__ica_rows *rows);

/* The same rows for another task, with what passes write to of its own: from `context`, whose threads they use. */
mmcl_status mmcl__ica_rows_share(mmcl__ica_rows *view, const mmcl__ica_rows *rows, mmcl_context *context);

/* Bytes of an annex that has room for one thread's share of the rows and for a solver. */
uint64_t mmcl__ica_annex_bytes(const mmcl__ica_rows *rows, const mmcl_step_options *options);

/* Peak bytes of open. */
uint64_t mmcl__ica_rows_bytes(size_t n, size_t k, size_t cols, size_t width, mmcl_precision precision, uint64_t cache_bytes,
                              bool curvature, uint32_t threads);

/* Means over the rows for y = W x, W [m, k]. */
typedef struct mmcl__ica_stats {
    double *psi_x;    /* [m, k] psi(y_i) x_j */
    double *slope;    /* [m] psi'(y_i) */
    double *density;  /* [m] -log p(y_i); NULL: not wanted */
    double *curvature; /* [m, m] psi'(y_i) y_j^2; NULL: not wanted */
} mmcl__ica_stats;

mmcl_status mmcl__ica_pass(mmcl__ica_rows *rows, const double *w, size_t m, mmcl_ica_contrast contrast, double alpha,
                           mmcl__ica_stats *stats);

/* E log cosh of a standard normal, the value that negentropy is measured against. */
#define MMCL__GAUSSIAN_LOGCOSH 0.374567207491438

/* Means of y_i^3 into third [m] and of log cosh y_i into logcosh [m]. */
mmcl_status mmcl__ica_describe(mmcl__ica_rows *rows, const double *w, size_t m, double *third, double *logcosh);

/* --------------------------------------------------------------------------------------------------------- solvers --- */

/* Options resolved, and what the solver found. */
typedef struct mmcl__ica_problem {
    const mmcl_step_options *options; /* with defaults filled in */
    mmcl__operation         *operation;
    double                  *w;       /* [k, k] the start on entry (any rows), the unmixing matrix on success */
    uint64_t                 iterations;
    mmcl_stop_reason         stop;
    double                   residual;
    uint64_t                 super_gaussian;
} mmcl__ica_problem;

mmcl_status mmcl__fastica_symmetric(mmcl__ica_problem *problem, mmcl__ica_rows *rows);
mmcl_status mmcl__fastica_deflation(mmcl__ica_problem *problem, mmcl__ica_rows *rows);
mmcl_status mmcl__picard(mmcl__ica_problem *problem, mmcl__ica_rows *rows);

/* By the solver that the options name, as an operation of its own. */
mmcl_status mmcl__ica_solve(mmcl__ica_problem *problem, mmcl__ica_rows *rows);

/*
 * Residual and kinds of the components at the final W, from a pass of its own: max |G - G^T| / 2, the rows of G turned for which
 * mean psi' < mean psi(y) y, which is 0 at the fixed points of both FastICA and Picard-O. `g` [k, k] is scratch.
 */
mmcl_status mmcl__ica_examine(mmcl__ica_problem *problem, mmcl__ica_rows *rows, mmcl__ica_stats *stats, double *g);

/* max |G - G^T| / 2 for G [k, k], and G itself from psi_x [k, k] and W. */
double      mmcl__skewness(size_t k, const double *g);
mmcl_status mmcl__ica_gradient(const mmcl_context *context, size_t k, const double *psi_x, const double *w, double *g);

/* W = (W W^T)^(-1/2) W, in place; scratch from the context. */
mmcl_status mmcl__decorrelate(mmcl_context *context, size_t k, double *w);

/* mean psi' - mean psi(y) y: its sign tells super-Gaussian (true) from sub-Gaussian components. */
bool mmcl__is_super(mmcl_ica_contrast contrast, double slope, double psi_y);

#endif
