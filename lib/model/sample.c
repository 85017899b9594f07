/* Batches: blocks of rows over the context's threads. */
#include "linalg/matrix.h"
#include "model/model.h"

#include <string.h>

#define LANES MMCL__SAMPLE_ROWS
#define BLOCKS 8 /* of a task */
#define PER_TASK ((size_t) BLOCKS * LANES)

static size_t tasks_of(size_t rows)
{
    return rows / PER_TASK + (rows % PER_TASK != 0);
}

/* to [n, cols] row-major = the first n lanes of from [cols]. */
static void store(size_t n, size_t cols, const float (*from)[LANES], float *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < cols; j++)
            to[i * cols + j] = from[j][i];
}

static void load(size_t n, size_t cols, const float *from, float (*to)[LANES])
{
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < LANES; i++)
            to[j][i] = i < n ? from[i * cols + j] : 0;
}

/* Mixes h [width], leaving the result in h; `other` is scratch. */
static void mix(const mmcl__sample_kernels *kernels, const mmcl__mixing *mixing, float (*h)[LANES], float (*other)[LANES])
{
    size_t n = mixing->width;
    for (size_t i = 0; i < mixing->layers; i++) {
        float slope = i + 1 < mixing->layers ? (float) mixing->slope : 1.0f;
        kernels->layer(n, mixing->matrices32 + i * n * n, slope, (const float (*)[LANES]) h, other);
        memcpy(h, other, n * sizeof *h);
    }
}

/* -------------------------------------------------------------------------------------------------------- sampling --- */

typedef struct batch {
    const mmcl_model *model;
    uint64_t          seed, step;
    mmcl_samples      out;
} batch;

/* Stores one side's latents, and what they mix to. */
static void finish_side(const batch *b, mmcl_side side, size_t at, size_t n, const double (*z)[LANES], const double (*m)[LANES])
{
    const mmcl_model *model = b->model;
    size_t            latent = model->options.latent, private = mmcl__model_private(model, side), width = latent + private;
    float *z_out = side == MMCL_SIDE_X ? b->out.z_x : b->out.z_t, *m_out = side == MMCL_SIDE_X ? b->out.m_x : b->out.m_t;
    float *out   = side == MMCL_SIDE_X ? b->out.x : b->out.t;
    float  h[MMCL_MAX_LATENTS][LANES], other[MMCL_MAX_LATENTS][LANES];
    for (size_t i = 0; i < width; i++)
        for (int l = 0; l < LANES; l++)
            h[i][l] = (float) (i < latent ? z[i][l] : m[i - latent][l]);
    if (z_out != NULL)
        store(n, latent, (const float (*)[LANES]) h, z_out + at * latent);
    if (m_out != NULL)
        store(n, private, (const float (*)[LANES])(h + latent), m_out + at * private);
    if (out == NULL)
        return;
    mix(model->kernels, &model->mixing[side], h, other);
    store(n, width, (const float (*)[LANES]) h, out + at * width);
}

static void sample_task(void *argument, size_t task, uint32_t worker)
{
    const batch         *b       = argument;
    const mmcl__sampler *sampler = &b->model->sampler;
    double               x[MMCL_MAX_LATENTS][LANES], t[MMCL_MAX_LATENTS][LANES]; /* z, then m */
    const mmcl__block    block = {.z = {x, t}, .m = {x + sampler->latent, t + sampler->latent}};
    (void) worker;
    for (size_t at = task * PER_TASK; at < MMCL__MIN(b->out.rows, (task + 1) * PER_TASK); at += LANES) {
        size_t n = MMCL__MIN(b->out.rows - at, LANES);
        b->model->kernels->block(sampler, b->seed, b->step, (uint32_t) (b->out.first_row + at), &block);
        finish_side(b, MMCL_SIDE_X, at, n, (const double (*)[LANES]) block.z[0], (const double (*)[LANES]) block.m[0]);
        finish_side(b, MMCL_SIDE_T, at, n, (const double (*)[LANES]) block.z[1], (const double (*)[LANES]) block.m[1]);
    }
}

mmcl_status mmcl__model_sample(const mmcl_model *model, uint64_t seed, uint64_t step, const mmcl_samples *out)
{
    batch b = {.model = model, .seed = seed, .step = step, .out = *out};
    return mmcl__parallel(model->context, tasks_of(out->rows), sample_task, &b);
}

/* ---------------------------------------------------------------------------------------------------- mixing alone --- */

typedef struct mixed_rows {
    const mmcl_model *model;
    mmcl_side         side;
    size_t            rows;
    const float      *z, *m;
    float            *out;
} mixed_rows;

static void mix_task(void *argument, size_t task, uint32_t worker)
{
    const mixed_rows *r      = argument;
    size_t            latent = r->model->options.latent, private = mmcl__model_private(r->model, r->side), width = latent + private;
    float             h[MMCL_MAX_LATENTS][LANES], other[MMCL_MAX_LATENTS][LANES];
    (void) worker;
    for (size_t at = task * PER_TASK; at < MMCL__MIN(r->rows, (task + 1) * PER_TASK); at += LANES) {
        size_t n = MMCL__MIN(r->rows - at, LANES);
        load(n, latent, r->z + at * latent, h);
        if (private > 0)
            load(n, private, r->m + at * private, h + latent);
        mix(r->model->kernels, &r->model->mixing[r->side], h, other);
        store(n, width, (const float (*)[LANES]) h, r->out + at * width);
    }
}

mmcl_status mmcl__model_mix(const mmcl_model *model, mmcl_side side, size_t rows, const float *z, const float *m, float *out)
{
    mixed_rows r = {.model = model, .side = side, .rows = rows, .z = z, .m = m, .out = out};
    return mmcl__parallel(model->context, tasks_of(rows), mix_task, &r);
}

/* --------------------------------------------------------------------------------------------------------- unmixing --- */

typedef struct observed_rows {
    const mmcl_model  *model;
    const mmcl_matrix *matrix;
    mmcl_side          side;
    float             *z, *m;
    _Atomic mmcl_status status;
} observed_rows;

/* h = the latents of one observation. */
static void unmix(const mmcl__mixing *mixing, double *h, double *other)
{
    size_t n = mixing->width;
    for (size_t layer = mixing->layers; layer-- > 0;) {
        const double *inverse = mixing->inverses + layer * n * n;
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += inverse[i * n + j] * h[j];
            other[i] = layer > 0 && sum < 0 ? sum / mixing->slope : sum;
        }
        memcpy(h, other, n * sizeof *h);
    }
}

static void unmix_task(void *argument, size_t task, uint32_t worker)
{
    observed_rows *r      = argument;
    size_t         latent = r->model->options.latent, private = mmcl__model_private(r->model, r->side), width = latent + private;
    double         rows[LANES * MMCL_MAX_LATENTS], other[MMCL_MAX_LATENTS];
    (void) worker;
    for (size_t at = task * PER_TASK; at < MMCL__MIN(r->matrix->rows, (task + 1) * PER_TASK); at += LANES) {
        size_t      n      = MMCL__MIN(r->matrix->rows - at, LANES);
        mmcl_status status = mmcl__read_f64(r->matrix, at, n, rows, NULL);
        if (status != MMCL_OK) {
            r->status = status;
            return;
        }
        for (size_t i = 0; i < n; i++) {
            double *h = rows + i * width;
            unmix(&r->model->mixing[r->side], h, other);
            for (size_t j = 0; j < latent && r->z != NULL; j++)
                r->z[(at + i) * latent + j] = (float) h[j];
            for (size_t j = 0; j < private && r->m != NULL; j++)
                r->m[(at + i) * private + j] = (float) h[latent + j];
        }
    }
}

mmcl_status mmcl__model_unmix(const mmcl_model *model, mmcl_side side, const mmcl_matrix *observations, float *z, float *m)
{
    observed_rows r = {.model = model, .matrix = observations, .side = side, .z = z, .m = m};
    MMCL__TRY(mmcl__parallel(model->context, tasks_of(observations->rows), unmix_task, &r));
    return r.status;
}
