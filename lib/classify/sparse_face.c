#include "classify/sparse_face.h"

#include "core/sorted.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define GRAIN ((size_t) 1 << 18) /* products that are worth a task */
#define TASKS_MOST 16
#define SIDE 64     /* parameters of a class whose block is inverted as it is */
#define KEPT 24     /* rows that a larger block keeps */
#define DENSE 6     /* times that a term of a matrix product is faster than one of a list */
#define TURNED 8    /* rows whose scores are transposed at a time */
#define TILE 128    /* rows at a time */
#define SLIGHT 1e-8 /* of a block's diagonal, added to it: faces may have more parameters than there are rows */

/* -------------------------------------------------------------------------------------------------------- workspace --- */

size_t mmcl__face_size(const mmcl__face *face)
{
    return face->classes * (face->used + 1);
}

static size_t weights_of(const mmcl__face *face)
{
    return face->classes * face->used;
}

static bool allocate(mmcl__face *face)
{
    mmcl_context *context = face->context;
    size_t        n = face->rows, d = face->inputs, k = face->classes;
    face->scatter   = mmcl__calloc(context, d, sizeof *face->scatter);
    face->input     = mmcl__alloc(context, d, sizeof *face->input);
    face->free      = mmcl__alloc(context, k * d, sizeof *face->free);
    face->columns   = mmcl__alloc(context, n * d, sizeof *face->columns);
    face->transposed = mmcl__alloc(context, n * d, sizeof *face->transposed);
    face->turned    = mmcl__alloc(context, n * k, sizeof *face->turned);
    face->residuals = mmcl__alloc(context, n * k, sizeof *face->residuals);
    face->changes   = mmcl__alloc(context, n * k, sizeof *face->changes);
    face->sums      = mmcl__alloc(context, TASKS_MOST * k, sizeof *face->sums);
    face->losses    = mmcl__alloc(context, 2 * n, sizeof *face->losses);
    face->ridges    = mmcl__alloc(context, d, sizeof *face->ridges);
    face->count     = mmcl__alloc(context, k, sizeof *face->count);
    face->place     = mmcl__alloc(context, k * (d + 1), sizeof *face->place);
    face->blocks    = mmcl__alloc(context, k * face->block_size, sizeof *face->blocks);
    face->scratch   = mmcl__alloc(context, face->workers * face->scratch_size, sizeof *face->scratch);
    face->order     = mmcl__alloc(context, face->workers * 2 * n, sizeof *face->order);
    return face->scatter != NULL && face->input != NULL && face->free != NULL && face->columns != NULL && face->residuals != NULL &&
           face->transposed != NULL && face->turned != NULL && face->changes != NULL && face->sums != NULL && face->losses != NULL &&
           face->ridges != NULL && face->count != NULL && face->place != NULL && face->blocks != NULL && face->scratch != NULL && face->order != NULL;
}

mmcl_status mmcl__face_open(mmcl__face *face, mmcl_context *context, size_t rows, size_t inputs, size_t classes, const double *x,
                            const int32_t *labels)
{
    *face = (mmcl__face){.context = context, .rows = rows, .inputs = inputs, .classes = classes, .workers = mmcl__width(context), .x = x,
                         .labels = labels, .block_size = MMCL__MAX(SIDE * SIDE, KEPT * KEPT + (KEPT + 1) * (inputs + 1)),
                         .scratch_size = rows + MMCL__MAX(TILE * SIDE, inputs + 1 + KEPT)};
    if (!allocate(face)) {
        mmcl__face_close(face);
        return MMCL_E_NOMEM;
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < inputs; j++) {
            face->transposed[j * rows + i] = x[i * inputs + j];
            face->scatter[j] += x[i * inputs + j] * x[i * inputs + j] / (double) rows;
        }
    return MMCL_OK;
}

void mmcl__face_close(mmcl__face *face)
{
    mmcl_context *context = face->context;
    size_t        n = face->rows, d = face->inputs, k = face->classes;
    mmcl__free(context, face->scatter, d, sizeof *face->scatter);
    mmcl__free(context, face->input, d, sizeof *face->input);
    mmcl__free(context, face->free, k * d, sizeof *face->free);
    mmcl__free(context, face->columns, n * d, sizeof *face->columns);
    mmcl__free(context, face->transposed, n * d, sizeof *face->transposed);
    mmcl__free(context, face->turned, n * k, sizeof *face->turned);
    mmcl__free(context, face->residuals, n * k, sizeof *face->residuals);
    mmcl__free(context, face->changes, n * k, sizeof *face->changes);
    mmcl__free(context, face->sums, TASKS_MOST * k, sizeof *face->sums);
    mmcl__free(context, face->losses, 2 * n, sizeof *face->losses);
    mmcl__free(context, face->ridges, d, sizeof *face->ridges);
    mmcl__free(context, face->count, k, sizeof *face->count);
    mmcl__free(context, face->place, k * (d + 1), sizeof *face->place);
    mmcl__free(context, face->blocks, k * face->block_size, sizeof *face->blocks);
    mmcl__free(context, face->scratch, face->workers * face->scratch_size, sizeof *face->scratch);
    mmcl__free(context, face->order, face->workers * 2 * n, sizeof *face->order);
    *face = (mmcl__face){.context = context};
}

/* ---------------------------------------------------------------------------------------------------------- the face --- */

static bool any_free(const mmcl__face *face, const uint8_t *free, size_t j)
{
    for (size_t k = 0; k < face->classes; k++)
        if (free[k * face->inputs + j])
            return true;
    return false;
}

static void list_places(mmcl__face *face, size_t k)
{
    size_t *place = face->place + k * (face->inputs + 1), count = 0;
    for (size_t j = 0; j < face->used; j++)
        if (face->free[k * face->used + j])
            place[count++] = j;
    place[count++] = face->used;
    face->count[k] = count;
    face->parameters += count;
}

void mmcl__face_choose(mmcl__face *face, const uint8_t *free)
{
    face->used = 0;
    for (size_t j = 0; j < face->inputs; j++)
        if (any_free(face, free, j))
            face->input[face->used++] = j;
    for (size_t k = 0; k < face->classes; k++)
        for (size_t j = 0; j < face->used; j++)
            face->free[k * face->used + j] = free[k * face->inputs + face->input[j]];
    face->parameters = 0;
    for (size_t k = 0; k < face->classes; k++)
        list_places(face, k);
    for (size_t i = 0; i < face->rows; i++)
        for (size_t j = 0; j < face->used; j++)
            face->columns[i * face->used + j] = face->x[i * face->inputs + face->input[j]];
}

void mmcl__face_gather(const mmcl__face *face, const double *solution, double *out)
{
    for (size_t k = 0; k < face->classes; k++)
        for (size_t j = 0; j < face->used; j++)
            out[k * face->used + j] = face->free[k * face->used + j] ? solution[k * face->inputs + face->input[j]] : 0;
    memcpy(out + weights_of(face), solution + face->classes * face->inputs, face->classes * sizeof *out);
}

void mmcl__face_add(const mmcl__face *face, double share, const double *vector, double *out)
{
    for (size_t k = 0; k < face->classes; k++)
        for (size_t j = 0; j < face->used; j++)
            out[k * face->inputs + face->input[j]] += share * vector[k * face->used + j];
    mmcl__axpy_f64(face->classes, share, vector + weights_of(face), out + face->classes * face->inputs);
}

/* ---------------------------------------------------------------------------------------------------------- products --- */

/* Whether products go by lists: a matrix product takes what is not free too, but is faster by far. */
static bool is_sparse(const mmcl__face *face)
{
    return face->parameters * DENSE < weights_of(face);
}

/* Work split evenly, in the same way for any number of threads. */
static mmcl__lanes split(const mmcl__face *face, size_t n)
{
    size_t products = is_sparse(face) ? face->parameters * DENSE : weights_of(face), worth = face->rows * products / GRAIN;
    return (mmcl__lanes){.n = n, .count = MMCL__MAX(1, MMCL__MIN(MMCL__MIN(worth, (size_t) TASKS_MOST), n))};
}

struct product {
    mmcl__face   *face;
    mmcl__lanes   rows, used, classes;
    const double *v;
    double       *out;
};

/* Residuals of the lane's rows at v. */
static void expand_rows(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    const struct product *product = argument;
    mmcl__face           *face    = product->face;
    size_t                k = face->classes, u = face->used, first = mmcl__lane_begin(&product->rows, lane);
    size_t                n         = mmcl__lane_begin(&product->rows, lane + 1) - first;
    double               *residuals = face->residuals + first * k, *sums = face->sums + lane * k, spread = 0;
    memset(sums, 0, k * sizeof *sums);
    mmcl__gemm_f64(false, true, n, k, u, 1, face->columns + first * u, u, product->v, u, 0, residuals, k);
    mmcl__softmax_kernel()->f64(n, k, face->labels + first, product->v + weights_of(face), residuals, sums, face->losses + first,
                                face->losses + face->rows + first, &spread);
}

/* Changes of the probabilities of the lane's rows along v. */
static void change_rows(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    const struct product *product = argument;
    mmcl__face           *face    = product->face;
    size_t                k = face->classes, u = face->used, first = mmcl__lane_begin(&product->rows, lane);
    size_t                n       = mmcl__lane_begin(&product->rows, lane + 1) - first;
    double               *changes = face->changes + first * k, *sums = face->sums + lane * k;
    memset(sums, 0, k * sizeof *sums);
    mmcl__gemm_f64(false, true, n, k, u, 1, face->columns + first * u, u, product->v, u, 0, changes, k);
    mmcl__probability_changes(n, k, face->labels + first, face->residuals + first * k, product->v + weights_of(face), changes, sums);
}

/* The lane's columns of c changes^T columns + ridge v, where something is free. */
static void collect_columns(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    const struct product *product = argument;
    const mmcl__face     *face    = product->face;
    size_t                k = face->classes, u = face->used, first = mmcl__lane_begin(&product->used, lane);
    size_t                end = mmcl__lane_begin(&product->used, lane + 1);
    mmcl__gemm_f64(true, false, k, end - first, face->rows, face->c, face->changes, k, face->columns + first, u, 0, product->out + first, u);
    for (size_t l = 0; l < k; l++)
        for (size_t j = first, p = l * u + first; j < end; j++, p++)
            product->out[p] = face->free[p] ? product->out[p] + face->ridges[j] * product->v[p] : 0;
}

/* Scores of the lane's classes along v, without intercepts, [classes, rows]. */
static void scatter_classes(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    const struct product *product = argument;
    mmcl__face           *face    = product->face;
    size_t                n = face->rows, u = face->used, end = mmcl__lane_begin(&product->classes, lane + 1);
    for (size_t k = mmcl__lane_begin(&product->classes, lane); k < end; k++) {
        const size_t *place = face->place + k * (face->inputs + 1);
        memset(face->turned + k * n, 0, n * sizeof *face->turned);
        for (size_t p = 0; p + 1 < face->count[k]; p++)
            mmcl__axpy_f64(n, product->v[k * u + place[p]], face->transposed + face->input[place[p]] * n, face->turned + k * n);
    }
}

/* As change_rows, from the turned scores to turned changes. */
static void turn_rows(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    const struct product *product = argument;
    mmcl__face           *face    = product->face;
    size_t                n = face->rows, k = face->classes, end = mmcl__lane_begin(&product->rows, lane + 1);
    double               *sums = face->sums + lane * k;
    memset(sums, 0, k * sizeof *sums);
    for (size_t i = mmcl__lane_begin(&product->rows, lane), few; i < end; i += few) {
        double *changes = face->changes + i * k;
        few             = MMCL__MIN((size_t) TURNED, end - i);
        for (size_t l = 0; l < k; l++)
            for (size_t r = 0; r < few; r++)
                changes[r * k + l] = face->turned[l * n + i + r];
        mmcl__probability_changes(few, k, face->labels + i, face->residuals + i * k, product->v + weights_of(face), changes, sums);
        for (size_t l = 0; l < k; l++)
            for (size_t r = 0; r < few; r++)
                face->turned[l * n + i + r] = changes[r * k + l];
    }
}

/* What collect_columns does, for the lane's classes and where something is free alone. */
static void collect_classes(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    const struct product *product = argument;
    const mmcl__face     *face    = product->face;
    size_t                n = face->rows, u = face->used, end = mmcl__lane_begin(&product->classes, lane + 1);
    for (size_t k = mmcl__lane_begin(&product->classes, lane); k < end; k++) {
        const size_t *place = face->place + k * (face->inputs + 1);
        memset(product->out + k * u, 0, u * sizeof *product->out);
        for (size_t q = 0; q + 1 < face->count[k]; q++) {
            size_t p = k * u + place[q];
            if (face->free[p])
                product->out[p] = face->c * mmcl__dot_f64(n, face->transposed + face->input[place[q]] * n, face->turned + k * n) +
                                  face->ridges[place[q]] * product->v[p];
        }
    }
}

static mmcl_status sparse_product(struct product *product)
{
    const mmcl_context *context = product->face->context;
    MMCL__TRY(mmcl__parallel(context, product->classes.count, scatter_classes, product));
    MMCL__TRY(mmcl__parallel(context, product->rows.count, turn_rows, product));
    return mmcl__parallel(context, product->classes.count, collect_classes, product);
}

static mmcl_status dense_product(struct product *product)
{
    const mmcl_context *context = product->face->context;
    MMCL__TRY(mmcl__parallel(context, product->rows.count, change_rows, product));
    return mmcl__parallel(context, product->used.count, collect_columns, product);
}

mmcl_status mmcl__face_product(mmcl__face *face, const double *v, double *out)
{
    struct product product    = {.face = face, .rows = split(face, face->rows), .used = split(face, face->used),
                                 .classes = split(face, face->classes), .v = v, .out = out};
    double        *intercepts = out + weights_of(face);
    MMCL__TRY(is_sparse(face) ? sparse_product(&product) : dense_product(&product));
    memset(intercepts, 0, face->classes * sizeof *intercepts);
    for (size_t lane = 0; lane < product.rows.count; lane++)
        mmcl__axpy_f64(face->classes, face->c, face->sums + lane * face->classes, intercepts);
    return MMCL_OK;
}

static double probability(const mmcl__face *face, size_t i, size_t k)
{
    return face->residuals[i * face->classes + k] + ((size_t) face->labels[i] == k);
}

/* p_k (v_k - sum_l p_l v_l), v_k the score's change. */
static double change_of(const mmcl__face *face, size_t i, size_t k, const double *scores)
{
    double mean = 0;
    for (size_t l = 0; l < face->classes; l++)
        mean += probability(face, i, l) * scores[l];
    return probability(face, i, k) * (scores[k] - mean);
}

void mmcl__face_product_reference(mmcl__face *face, const double *v, double *out)
{
    size_t  u = face->used, intercepts = weights_of(face);
    double *scores = face->sums;
    for (size_t p = 0; p < mmcl__face_size(face); p++)
        out[p] = p < intercepts && face->free[p] ? face->ridges[p % u] * v[p] : 0;
    for (size_t i = 0; i < face->rows; i++) {
        const double *x = face->columns + i * u;
        for (size_t k = 0; k < face->classes; k++)
            scores[k] = v[intercepts + k] + mmcl__dot_f64(u, x, v + k * u);
        for (size_t k = 0; k < face->classes; k++) {
            double change = face->c * change_of(face, i, k, scores);
            out[intercepts + k] += change;
            for (size_t j = 0; j < u; j++)
                out[k * u + j] += face->free[k * u + j] ? change * x[j] : 0;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ blocks --- */

static double curve(const mmcl__face *face, size_t i, size_t k)
{
    double residual = fabs(face->residuals[i * face->classes + k]);
    return residual * (1 - residual);
}

static double element(const mmcl__face *face, size_t i, size_t place)
{
    return place < face->used ? face->columns[i * face->used + place] : 1;
}

static double scatter_of(const mmcl__face *face, size_t place)
{
    return place < face->used ? face->scatter[face->input[place]] : 1;
}

/* About the mean over the classes of the second derivative along a parameter. */
static double spread_along(const mmcl__face *face, size_t place)
{
    return face->spread * scatter_of(face, place);
}

/* The upper Cholesky factor of the whole block of class k. `gathered` [TILE, count]. */
static void whole_block(const mmcl__face *face, size_t k, double *gathered, double *factor)
{
    size_t        count = face->count[k];
    const size_t *place = face->place + k * (face->inputs + 1);
    memset(factor, 0, count * count * sizeof *factor);
    for (size_t i = 0, n; i < face->rows; i += n) {
        n = MMCL__MIN((size_t) TILE, face->rows - i);
        for (size_t l = 0; l < n; l++) {
            double root = sqrt(face->c * curve(face, i + l, k));
            for (size_t p = 0; p < count; p++)
                gathered[l * count + p] = root * element(face, i + l, place[p]);
        }
        mmcl__syrk_f64(count, n, gathered, count, factor, count);
    }
    for (size_t p = 0; p < count; p++)
        factor[p * count + p] += SLIGHT * (factor[p * count + p] + spread_along(face, place[p])) + (place[p] < face->used ? face->ridges[place[p]] : 0);
    mmcl__cholesky(count, factor); /* fails only where something is not finite, and then the objective refuses the step */
}

/* roots [count] = D^-1/2, D the block's diagonal without the rows that it keeps. */
static void root_diagonal(const mmcl__face *face, size_t k, double rest, double all, double *roots)
{
    const size_t *place = face->place + k * (face->inputs + 1);
    for (size_t p = 0; p < face->count[k]; p++) {
        double ridge = place[p] < face->used ? face->ridges[place[p]] : 1e-3 * face->c * all;
        roots[p]     = 1 / sqrt(ridge + face->c * scatter_of(face, place[p]) * rest + SLIGHT * spread_along(face, place[p]));
    }
}

/*
 * A block as D + c X~^T q X~ over the KEPT rows of largest q = p (1 - p), the others in D alone: D^-1/2 (1 - A^T (1 + A A^T)^-1 A) D^-1/2 is its
 * inverse, A = (c q)^1/2 X~ D^-1/2. `part` takes A [kept, count], the factor [kept, kept] of 1 + A A^T, and D^-1/2.
 */
static void kept_rows(const mmcl__face *face, size_t k, double *q, uint32_t *order, double *part)
{
    size_t        n = face->rows, count = face->count[k], kept = MMCL__MIN(n, (size_t) KEPT);
    const size_t *place  = face->place + k * (face->inputs + 1);
    double       *factor = part + count * kept, *roots = factor + kept * kept, all = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        q[i] = curve(face, i, k);
        all += q[i];
    }
    mmcl__sorted_order(n, q, order, order + n);
    for (size_t r = 0; r < kept; r++)
        most += q[order[n - 1 - r]];
    root_diagonal(face, k, fmax(all - most, 0), all, roots);
    for (size_t r = 0; r < kept; r++) {
        size_t i    = order[n - 1 - r];
        double root = sqrt(face->c * q[i]);
        for (size_t p = 0; p < count; p++)
            part[r * count + p] = root * roots[p] * element(face, i, place[p]);
    }
    mmcl__gemm_f64(false, true, kept, kept, count, 1, part, count, part, count, 0, factor, kept);
    for (size_t r = 0; r < kept; r++)
        factor[r * kept + r] += 1;
    mmcl__cholesky(kept, factor);
}

static void build_block(void *argument, size_t k, uint32_t worker)
{
    mmcl__face *face    = argument;
    double     *scratch = face->scratch + worker * face->scratch_size, *block = face->blocks + k * face->block_size;
    if (face->count[k] <= SIDE)
        whole_block(face, k, scratch, block);
    else
        kept_rows(face, k, scratch, face->order + worker * 2 * face->rows, block);
}

struct solve {
    mmcl__face   *face;
    mmcl__lanes   classes;
    const double *v;
    double       *out;
};

static void apply_kept(const mmcl__face *face, size_t count, const double *part, double *t, double *y)
{
    size_t        kept = MMCL__MIN(face->rows, (size_t) KEPT);
    const double *factor = part + count * kept, *roots = factor + kept * kept;
    for (size_t p = 0; p < count; p++)
        t[p] *= roots[p];
    mmcl__gemv_f64(false, kept, count, 1, part, t, 0, y);
    mmcl__solve_factor(kept, factor, y);
    mmcl__gemv_f64(true, kept, count, -1, part, y, 1, t);
    for (size_t p = 0; p < count; p++)
        t[p] *= roots[p];
}

static void apply_block(const struct solve *solve, size_t k, double *t)
{
    mmcl__face   *face = solve->face;
    size_t        u = face->used, intercept = weights_of(face) + k, count = face->count[k];
    const size_t *place = face->place + k * (face->inputs + 1);
    const double *block = face->blocks + k * face->block_size;
    memset(solve->out + k * u, 0, u * sizeof *solve->out);
    for (size_t p = 0; p < count; p++)
        t[p] = solve->v[place[p] < u ? k * u + place[p] : intercept];
    if (count <= SIDE)
        mmcl__solve_factor(count, block, t);
    else
        apply_kept(face, count, block, t, t + count);
    solve->out[intercept] = t[count - 1];
    for (size_t p = 0; p + 1 < count; p++)
        solve->out[k * u + place[p]] = face->free[k * u + place[p]] ? t[p] : 0;
}

static void apply_blocks(void *argument, size_t lane, uint32_t worker)
{
    const struct solve *solve = argument;
    size_t              end   = mmcl__lane_begin(&solve->classes, lane + 1);
    for (size_t k = mmcl__lane_begin(&solve->classes, lane); k < end; k++)
        apply_block(solve, k, solve->face->scratch + worker * solve->face->scratch_size);
}

mmcl_status mmcl__face_precondition(mmcl__face *face, const double *v, double *out)
{
    size_t       worth = face->parameters * SIDE / GRAIN;
    struct solve solve = {.face = face, .classes = {face->classes, MMCL__MAX(1, MMCL__MIN(worth, face->classes))}, .v = v, .out = out};
    return mmcl__parallel(face->context, solve.classes.count, apply_blocks, &solve);
}

/* Mean over the classes of c sum_i p (1 - p), above 0. */
static double mean_spread(const mmcl__face *face)
{
    double sum = 0;
    for (size_t i = 0; i < face->rows; i++)
        for (size_t k = 0; k < face->classes; k++)
            sum += curve(face, i, k);
    return face->c * fmax(sum / (double) face->classes, 1e-100);
}

mmcl_status mmcl__face_expand(mmcl__face *face, double c, double ridge, double damping, const double *start)
{
    struct product product = {.face = face, .rows = split(face, face->rows), .v = start};
    face->c = c;
    MMCL__TRY(mmcl__parallel(face->context, product.rows.count, expand_rows, &product));
    face->spread = mean_spread(face);
    for (size_t j = 0; j < face->used; j++)
        face->ridges[j] = ridge + damping * spread_along(face, j);
    return mmcl__parallel(face->context, face->classes, build_block, face);
}
