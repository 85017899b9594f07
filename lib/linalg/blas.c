#include "linalg/blas.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------- thread count --- */

/* Present in OpenBLAS alone; another BLAS leaves them NULL and is taken as it comes. */
extern int  openblas_get_num_threads(void) __attribute__((weak));
extern void openblas_set_num_threads(int count) __attribute__((weak));

/* The count belongs to the process, so who holds it has to be known to the process. */
static pthread_mutex_t hold_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned        holders;
static int             found;

void mmcl__blas_enter(mmcl_blas_policy policy)
{
    if (policy == MMCL_BLAS_LEAVE || openblas_set_num_threads == NULL || openblas_get_num_threads == NULL)
        return;
    pthread_mutex_lock(&hold_mutex);
    if (holders++ == 0) {
        found = openblas_get_num_threads();
        if (found != 1)
            openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&hold_mutex);
}

void mmcl__blas_leave(mmcl_blas_policy policy)
{
    if (policy == MMCL_BLAS_LEAVE || openblas_set_num_threads == NULL || openblas_get_num_threads == NULL)
        return;
    pthread_mutex_lock(&hold_mutex);
    if (--holders == 0 && found != 1)
        openblas_set_num_threads(found);
    pthread_mutex_unlock(&hold_mutex);
}

/* ------------------------------------------------------------------------------------------------------- products --- */

static int narrow(size_t n)
{
    assert(n <= INT_MAX);
    return (int) n;
}

static int leading(size_t ld)
{
    return narrow(MMCL__MAX(ld, 1));
}

static CBLAS_TRANSPOSE op(bool transpose)
{
    return transpose ? CblasTrans : CblasNoTrans;
}

void mmcl__gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                    const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    if (m == 0 || n == 0)
        return;
    cblas_sgemm(CblasRowMajor, op(transpose_a), op(transpose_b), narrow(m), narrow(n), narrow(k), alpha, a, leading(lda), b,
                leading(ldb), beta, c, leading(ldc));
}

void mmcl__gemm_f64(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                    const double *b, size_t ldb, double beta, double *c, size_t ldc)
{
    if (m == 0 || n == 0)
        return;
    cblas_dgemm(CblasRowMajor, op(transpose_a), op(transpose_b), narrow(m), narrow(n), narrow(k), alpha, a, leading(lda), b,
                leading(ldb), beta, c, leading(ldc));
}

struct square {
    bool          transpose_a, transpose_b;
    size_t        k;
    const double *a, *b;
    double       *c;
};

#define SLICE 32 /* rows of the result that a task computes */

static void square_slice(void *argument, size_t i, uint32_t worker)
{
    (void) worker;
    const struct square *s = argument;
    size_t               first = i * SLICE, rows = MMCL__MIN(SLICE, s->k - first);
    mmcl__gemm_f64(s->transpose_a, s->transpose_b, rows, s->k, s->k, 1, s->transpose_a ? s->a + first : s->a + first * s->k, s->k,
                   s->b, s->k, 0, s->c + first * s->k, s->k);
}

mmcl_status mmcl__square_gemm(const mmcl_context *context, bool transpose_a, bool transpose_b, size_t k, const double *a,
                              const double *b, double *c)
{
    struct square square = {.transpose_a = transpose_a, .transpose_b = transpose_b, .k = k, .a = a, .b = b, .c = c};
    return mmcl__parallel(context, (k + SLICE - 1) / SLICE, square_slice, &square);
}

void mmcl__syrk_f64(size_t n, size_t rows, const double *a, size_t lda, double *c, size_t ldc)
{
    if (n == 0 || rows == 0)
        return;
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, narrow(n), narrow(rows), 1.0, a, leading(lda), 1.0, c, leading(ldc));
}

void mmcl__gemv_f64(bool transpose, size_t m, size_t n, double alpha, const double *a, const double *x, double beta, double *y)
{
    cblas_dgemv(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, narrow(m), narrow(n), alpha, a, narrow(n), x, 1, beta, y, 1);
}

double mmcl__dot_f64(size_t n, const double *a, const double *b)
{
    return cblas_ddot(narrow(n), a, 1, b, 1);
}

void mmcl__axpy_f64(size_t n, double alpha, const double *x, double *y)
{
    cblas_daxpy(narrow(n), alpha, x, 1, y, 1);
}

void mmcl__scale_f64(size_t n, double alpha, double *x)
{
    cblas_dscal(narrow(n), alpha, x, 1);
}

void mmcl__symmetrize(size_t n, double *a, size_t lda)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            a[i * lda + j] = a[j * lda + i];
}

/* --------------------------------------------------------------------------------------------------------- LAPACK --- */

/* Fortran interfaces: column-major, everything by reference, the lengths of the character arguments at the end. */
extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
                    const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void dposv_(const char *uplo, const int *n, const int *nrhs, double *a, const int *lda, double *b, const int *ldb, int *info,
                   size_t uplo_length);

static void swap_rows(size_t n, double *a, double *b)
{
    for (size_t i = 0; i < n; i++) {
        double kept = a[i];
        a[i]        = b[i];
        b[i]        = kept;
    }
}

/* LAPACK ascends and stores vectors as columns of a column-major matrix, which are our rows: only the order has to turn. */
static void reverse(size_t n, double *vectors, double *values)
{
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        swap_rows(1, values + i, values + j);
        swap_rows(n, vectors + i * n, vectors + j * n);
    }
}

mmcl_status mmcl__eigsym(mmcl_context *context, size_t n, double *a, double *values)
{
    if (n == 0)
        return MMCL_OK;
    /* The sizes that dsyevd asks for when it computes vectors. */
    size_t  work_count = 1 + 6 * n + 2 * n * n, iwork_count = 3 + 5 * n;
    double *work  = mmcl__alloc(context, work_count, sizeof *work);
    int    *iwork = mmcl__alloc(context, iwork_count, sizeof *iwork);
    int     info = 0, order = narrow(n), lwork = narrow(work_count), liwork = narrow(iwork_count);
    mmcl_status status = work == NULL || iwork == NULL ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK) /* our upper triangle is the lower one of a column-major reader */
        dsyevd_("V", "L", &order, a, &order, values, work, &lwork, iwork, &liwork, &info, 1, 1);
    mmcl__free(context, work, work_count, sizeof *work);
    mmcl__free(context, iwork, iwork_count, sizeof *iwork);
    if (status == MMCL_OK && info != 0)
        status = mmcl__fail(context, MMCL_E_NUMERIC, "the eigenvalues of a %zu x %zu matrix did not converge", n, n);
    if (status == MMCL_OK)
        reverse(n, a, values);
    return status;
}

extern void dgetrf_(const int *m, const int *n, double *a, const int *lda, int *ipiv, int *info);
extern void dgetrs_(const char *trans, const int *n, const int *nrhs, const double *a, const int *lda, const int *ipiv, double *b,
                    const int *ldb, int *info, size_t trans_length);

static void transpose(size_t rows, size_t cols, const double *from, double *to)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

/* LAPACK's lower triangle of a column-major matrix is our upper one. */
bool mmcl__cholesky(size_t n, double *a)
{
    int order = narrow(n), info = 0;
    if (n > 0)
        dpotrf_("L", &order, a, &order, &info, 1);
    return info == 0;
}

mmcl_status mmcl__solve_spd(mmcl_context *context, size_t n, size_t m, double *a, double *b)
{
    if (n == 0 || m == 0)
        return MMCL_OK;
    double *columns = mmcl__alloc(context, n * m, sizeof *columns); /* b as LAPACK wants it: column-major */
    if (columns == NULL)
        return MMCL_E_NOMEM;
    transpose(n, m, b, columns);
    int order = narrow(n), count = narrow(m), info = 0;
    dposv_("L", &order, &count, a, &order, columns, &order, &info, 1);
    transpose(m, n, columns, b);
    mmcl__free(context, columns, n * m, sizeof *columns);
    if (info != 0)
        return mmcl__fail(context, MMCL_E_NUMERIC, "a %zu x %zu system is not positive definite", n, n);
    return MMCL_OK;
}

void mmcl__solve_factor(size_t n, const double *factor, double *t)
{
    for (size_t i = 0; i < n; i++) {
        const double *restrict row = factor + i * n;
        t[i] /= row[i];
        for (size_t j = i + 1; j < n; j++)
            t[j] -= row[j] * t[i];
    }
    for (size_t i = n; i-- > 0;) {
        t[i] -= mmcl__dot_f64(n - i - 1, factor + i * n + i + 1, t + i + 1);
        t[i] /= factor[i * n + i];
    }
}

mmcl_status mmcl__invert_spd(mmcl_context *context, size_t n, double *a)
{
    int order = narrow(n), info = 0;
    dpotrf_("L", &order, a, &order, &info, 1); /* a column-major reader's lower triangle is our upper one */
    if (info == 0)
        dpotri_("L", &order, a, &order, &info, 1);
    if (info != 0)
        return mmcl__fail(context, MMCL_E_NUMERIC, "a %zu x %zu matrix is not positive definite", n, n);
    mmcl__symmetrize(n, a, n);
    return MMCL_OK;
}

struct solve {
    size_t        n, m;
    const double *a; /* factored */
    const int    *pivots;
    double       *b, *columns;
};

static void solve_slice(void *argument, size_t i, uint32_t worker)
{
    (void) worker;
    const struct solve *s = argument;
    size_t              first = i * SLICE;
    int                 order = narrow(s->n), count = narrow(MMCL__MIN(SLICE, s->m - first)), info = 0;
    double             *columns = s->columns + first * s->n;
    for (size_t row = 0; row < s->n; row++)
        for (size_t j = 0; j < (size_t) count; j++)
            columns[j * s->n + row] = s->b[row * s->m + first + j];
    dgetrs_("T", &order, &count, s->a, &order, s->pivots, columns, &order, &info, 1); /* fails for wrong arguments alone */
    for (size_t row = 0; row < s->n; row++)
        for (size_t j = 0; j < (size_t) count; j++)
            s->b[row * s->m + first + j] = columns[j * s->n + row];
}

mmcl_status mmcl__solve(mmcl_context *context, size_t n, size_t m, double *a, double *b, double *log_abs_det)
{
    mmcl_status status = MMCL_OK;
    int    *pivots  = mmcl__alloc(context, n, sizeof *pivots);
    double *columns = mmcl__alloc(context, n * m, sizeof *columns);
    int     order = narrow(n), info = 0;
    if (pivots != NULL && columns != NULL) {
        dgetrf_(&order, &order, a, &order, pivots, &info); /* a column-major reader sees the transpose: solve with its transpose */
        if (log_abs_det != NULL)
            *log_abs_det = 0;
        for (size_t i = 0; i < n && log_abs_det != NULL; i++)
            *log_abs_det += log(fabs(a[i * n + i]));
        struct solve solve = {.n = n, .m = m, .a = a, .pivots = pivots, .b = b, .columns = columns};
        if (info == 0)
            status = mmcl__parallel(context, (m + SLICE - 1) / SLICE, solve_slice, &solve);
    }
    bool failed = pivots == NULL || columns == NULL;
    mmcl__free(context, pivots, n, sizeof *pivots);
    mmcl__free(context, columns, n * m, sizeof *columns);
    if (failed)
        return MMCL_E_NOMEM;
    return info == 0 ? status : mmcl__fail(context, MMCL_E_NUMERIC, "a %zu x %zu system is singular", n, n);
}
