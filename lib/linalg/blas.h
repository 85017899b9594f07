/*
 * The one seam to BLAS and LAPACK. Everything is row-major; `ld` is the distance between rows in elements. Dimensions fit in 31
 * bits (MMCL_MAX_COLUMNS and tiles see to it). Products of size zero are fine.
 */
#ifndef MMCL_LINALG_BLAS_H
#define MMCL_LINALG_BLAS_H

#include "core/core.h"

/*
 * Holds the BLAS library at one thread until the matching leave, by the context's policy. The count is the process's, so these
 * nest and count across contexts and threads; the last to leave restores what the first to enter found.
 */
void mmcl__blas_enter(mmcl_blas_policy policy);
void mmcl__blas_leave(mmcl_blas_policy policy);

/* c [m, n] = alpha op(a) [m, k] op(b) [k, n] + beta c; a transposed operand is stored [k, m] or [n, k]. */
void mmcl__gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                    const float *b, size_t ldb, float beta, float *c, size_t ldc);
void mmcl__gemm_f64(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                    const double *b, size_t ldb, double beta, double *c, size_t ldc);

/* As mmcl__gemm_f64 for square matrices [k, k] with beta 0, over the context's threads: the rows are split in the same way for any number. */
mmcl_status mmcl__square_gemm(const mmcl_context *context, bool transpose_a, bool transpose_b, size_t k, const double *a,
                              const double *b, double *c);

/* Upper triangle of c [n, n] += a^T a, a [rows, n]. */
void mmcl__syrk_f64(size_t n, size_t rows, const double *a, size_t lda, double *c, size_t ldc);

/* y = alpha op(a) x + beta y, a [m, n] as it is stored. */
void mmcl__gemv_f64(bool transpose, size_t m, size_t n, double alpha, const double *a, const double *x, double beta, double *y);

double mmcl__dot_f64(size_t n, const double *a, const double *b);
void   mmcl__axpy_f64(size_t n, double alpha, const double *x, double *y);
void   mmcl__scale_f64(size_t n, double alpha, double *x);

/* Copies the upper triangle of a [n, n] to the lower. */
void mmcl__symmetrize(size_t n, double *a, size_t lda);

/*
 * Eigenvalues of the symmetric a [n, n] (upper triangle read), descending into values [n]; a receives the eigenvectors as rows.
 * Allocates workspace. MMCL_E_NUMERIC when LAPACK does not converge.
 */
mmcl_status mmcl__eigsym(mmcl_context *context, size_t n, double *a, double *values);

/* Solves a x = b for symmetric positive definite a [n, n] (upper triangle read, overwritten) and b [n, m], in place. */
mmcl_status mmcl__solve_spd(mmcl_context *context, size_t n, size_t m, double *a, double *b);

/* Upper R with R^T R = a for symmetric a [n, n] (upper triangle read), in its place; false when a is not positive definite. */
bool mmcl__cholesky(size_t n, double *a);

/* Solves R^T R t = t for the upper R [n, n], in the place of t. */
void mmcl__solve_factor(size_t n, const double *factor, double *t);

/* a [n, n] = its inverse, for symmetric positive definite a (upper triangle read, all of it written). Allocates nothing. */
mmcl_status mmcl__invert_spd(mmcl_context *context, size_t n, double *a);

/*
 * Solves a x = b for general a [n, n] and b [n, m] in place; a is destroyed. *log_abs_det (may be NULL) receives log |det a|;
 * m may be 0 when only that is wanted. The columns of b are spread over the context's threads.
 */
mmcl_status mmcl__solve(mmcl_context *context, size_t n, size_t m, double *a, double *b, double *log_abs_det);

#endif
