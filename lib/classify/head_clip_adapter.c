/*
 * CLIP-Adapter (Gao et al., IJCV 2024): a bottleneck of a quarter of the columns beside the rows, before the cosine to the text, which stays.
 * Its share and the epoch are the first best on val; without val the share is 0.2 and the epoch the last.
 */
#include "classify/bottleneck.h"
#include "classify/descent.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define EPOCHS 100
#define BATCH  256
#define RATE   1e-3

static const double ratios[] = {0.2, 0.4, 0.6, 0.8};

/* One training, in float64. Parameters are down [hidden, cols], then up [cols, hidden]. */
struct bottleneck {
    mmcl__adapt    *adapt;
    size_t          cols, hidden, classes, rows; /* rows: of a pass at most */
    double          ratio, rate;
    uint64_t        epochs;
    mmcl__batches   batches;
    mmcl__optimizer optimizer;
    double         *parameters, *gradient;
    double         *f, *h, *u, *y;   /* [rows, cols], [rows, hidden], [rows, cols] twice: row, hidden, up before its ReLU, f' at unit length */
    double         *score, *length;  /* [rows, classes], [rows] */
    double         *slope, *down_slope; /* [rows, cols], [rows, hidden] */
    double          loss;
    size_t          right;
};

/* What is kept of all trainings. */
struct best {
    double  *parameters;
    double   accuracy, ratio;
    uint64_t epoch;
};

static size_t size_of(const struct bottleneck *b)
{
    return 2 * b->hidden * b->cols;
}

static size_t block_of(const struct bottleneck *b)
{
    return 2 * size_of(b) + b->rows * (4 * b->cols + 2 * b->hidden + b->classes + 1);
}

static mmcl_status open(struct bottleneck *b, uint64_t batch)
{
    mmcl__adapt     *adapt = b->adapt;
    const mmcl__rule rule  = {.adam = true, .decoupled = true, .epsilon = 1e-4,
                              .decay = adapt->options->weight_decay > 0 ? adapt->options->weight_decay : 0.01};
    uint32_t seed = (uint32_t) adapt->options->seed;
    b->rows       = MMCL__MAX((size_t) MMCL__MIN(batch, adapt->train.rows), MMCL__MIN(adapt->val.rows, (size_t) BATCH));
    MMCL__TRY(mmcl__batches_open(&b->batches, adapt->context, adapt->train.rows, (size_t) MMCL__MIN(batch, SIZE_MAX), false, seed));
    MMCL__TRY(mmcl__optimizer_open(&b->optimizer, adapt->context, &rule, size_of(b)));
    if ((b->parameters = mmcl__alloc(adapt->context, block_of(b), sizeof *b->parameters)) == NULL)
        return MMCL_E_NOMEM;
    double **const parts[] = {&b->gradient, &b->f, &b->u, &b->y, &b->slope, &b->h, &b->down_slope, &b->score, &b->length};
    const size_t   sizes[] = {size_of(b), b->rows * b->cols, b->rows * b->cols, b->rows * b->cols, b->rows * b->cols, b->rows * b->hidden,
                              b->rows * b->hidden, b->rows * b->classes, b->rows};
    double *at = b->parameters + size_of(b);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i] = at;
        at += sizes[i];
    }
    return MMCL_OK;
}

static void release(struct bottleneck *b)
{
    mmcl__free(b->adapt->context, b->parameters, block_of(b), sizeof *b->parameters);
    b->parameters = NULL;
    mmcl__optimizer_close(&b->optimizer);
    mmcl__batches_close(&b->batches);
}

/* Uniform within 1 / sqrt(inputs) of 0, as torch.nn.Linear begins. */
static void draw(struct bottleneck *b)
{
    mmcl__numpy_rng rng;
    size_t          half = b->hidden * b->cols;
    mmcl__numpy_seed(&rng, (uint32_t) b->adapt->options->seed);
    for (size_t i = 0; i < 2 * half; i++)
        b->parameters[i] = (2 * mmcl__numpy_uniform(&rng) - 1) / sqrt((double) (i < half ? b->cols : b->hidden));
}

static void rectify(size_t n, const double *gate, double *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = gate[i] > 0 ? values[i] : 0;
}

/* Scores of n rows in b->f. */
static void forward(struct bottleneck *b, size_t n)
{
    const double *down = b->parameters, *up = down + b->hidden * b->cols;
    mmcl__gemm_f64(false, true, n, b->hidden, b->cols, 1, b->f, b->cols, down, b->cols, 0, b->h, b->hidden);
    rectify(n * b->hidden, b->h, b->h);
    mmcl__gemm_f64(false, true, n, b->cols, b->hidden, 1, b->h, b->hidden, up, b->hidden, 0, b->u, b->cols);
    for (size_t i = 0; i < n; i++) {
        double *y = b->y + i * b->cols;
        for (size_t j = 0; j < b->cols; j++) {
            double u = b->u[i * b->cols + j];
            y[j]     = b->ratio * (u > 0 ? u : 0) + (1 - b->ratio) * b->f[i * b->cols + j];
        }
        b->length[i] = sqrt(mmcl__dot_f64(b->cols, y, y));
        mmcl__scale_f64(b->cols, b->length[i] > 0 ? 1 / b->length[i] : 0, y);
    }
    mmcl__gemm_f64(false, true, n, b->classes, b->cols, b->adapt->options->logit_scale, b->y, b->cols, b->adapt->text, b->cols, 0, b->score, b->classes);
}

/* Scores become the slopes of the mean cross-entropy; b->loss gets it, b->right the rows that are answered right, ties to the lower class. */
static void cross_entropy(struct bottleneck *b, size_t n, const int32_t *labels)
{
    b->loss  = 0;
    b->right = 0;
    for (size_t i = 0; i < n; i++) {
        double *s   = b->score + i * b->classes, sum = 0;
        size_t  top = 0, own = (size_t) labels[i];
        for (size_t k = 1; k < b->classes; k++)
            top = s[k] > s[top] ? k : top;
        double peak = s[top];
        b->loss -= (s[own] - peak) / (double) n;
        for (size_t k = 0; k < b->classes; k++)
            sum += s[k] = exp(s[k] - peak);
        b->loss += log(sum) / (double) n;
        for (size_t k = 0; k < b->classes; k++)
            s[k] = (s[k] / sum - (k == own)) / (double) n;
        b->right += top == own;
    }
}

/* From the slopes of the scores to the gradient of the parameters. */
static void backward(struct bottleneck *b, size_t n)
{
    const double *up = b->parameters + b->hidden * b->cols;
    double       *down_gradient = b->gradient, *up_gradient = down_gradient + b->hidden * b->cols;
    mmcl__gemm_f64(false, false, n, b->cols, b->classes, b->adapt->options->logit_scale, b->score, b->classes, b->adapt->text, b->cols, 0, b->slope,
                   b->cols);
    for (size_t i = 0; i < n; i++) { /* through the scaling to unit length */
        double *g = b->slope + i * b->cols, *y = b->y + i * b->cols;
        mmcl__axpy_f64(b->cols, -mmcl__dot_f64(b->cols, g, y), y, g);
        mmcl__scale_f64(b->cols, b->length[i] > 0 ? b->ratio / b->length[i] : 0, g);
    }
    rectify(n * b->cols, b->u, b->slope);
    mmcl__gemm_f64(true, false, b->cols, b->hidden, n, 1, b->slope, b->cols, b->h, b->hidden, 0, up_gradient, b->hidden);
    mmcl__gemm_f64(false, false, n, b->hidden, b->cols, 1, b->slope, b->cols, up, b->hidden, 0, b->down_slope, b->hidden);
    rectify(n * b->hidden, b->h, b->down_slope);
    mmcl__gemm_f64(true, false, b->hidden, b->cols, n, 1, b->down_slope, b->hidden, b->f, b->cols, 0, down_gradient, b->cols);
}

/* Rows of a set into b->f, by their numbers, or the first ones from `first`; their labels. */
static void gather(struct bottleneck *b, const mmcl__rowset *set, const size_t *picks, size_t first, size_t n, int32_t *labels)
{
    for (size_t i = 0; i < n; i++) {
        size_t row = picks != NULL ? picks[i] : first + i;
        for (size_t j = 0; j < b->cols; j++)
            b->f[i * b->cols + j] = (double) set->x[row * b->cols + j];
        labels[i] = set->labels[row];
    }
}

static double judge(struct bottleneck *b, int32_t *labels)
{
    const mmcl__rowset *val   = &b->adapt->val;
    size_t              right = 0;
    for (size_t first = 0, n; first < val->rows; first += n) {
        n = MMCL__MIN(b->rows, val->rows - first);
        gather(b, val, NULL, first, n, labels);
        forward(b, n);
        cross_entropy(b, n, labels);
        right += b->right;
    }
    return (double) right / (double) val->rows;
}

/* Keeps what is better on val than all before; without val, what comes last. */
static void offer(struct bottleneck *b, uint64_t epoch, int32_t *labels, struct best *best)
{
    double loss = b->loss, accuracy = b->adapt->val.rows > 0 ? judge(b, labels) : best->accuracy;
    b->loss     = loss;
    if (b->adapt->val.rows > 0 && accuracy <= best->accuracy)
        return;
    memcpy(best->parameters, b->parameters, size_of(b) * sizeof *best->parameters);
    best->accuracy = accuracy;
    best->ratio    = b->ratio;
    best->epoch    = epoch;
}

static mmcl_status train(struct bottleneck *b, int32_t *labels, struct best *best, mmcl__operation *operation, uint64_t done)
{
    size_t count = mmcl__batches_count(&b->batches);
    draw(b);
    for (uint64_t step = 0; step < b->epochs * count; step++) {
        size_t        n;
        const size_t *picks = mmcl__batches_next(&b->batches, &n);
        gather(b, &b->adapt->train, picks, 0, n, labels);
        forward(b, n);
        cross_entropy(b, n, labels);
        if (!isfinite(b->loss))
            return mmcl__fail(b->adapt->context, MMCL_E_NUMERIC, "the training diverges: the learning rate is too high");
        backward(b, n);
        mmcl__optimizer_step(&b->optimizer, mmcl__cosine_rate(b->rate, step, b->epochs * count), b->gradient, b->parameters);
        if ((step + 1) % count != 0)
            continue;
        offer(b, step / count + 1, labels, best);
        MMCL__TRY(mmcl__tick(operation, done + step / count + 1, b->loss));
    }
    b->adapt->info->iterations += b->optimizer.steps;
    b->adapt->info->objective = b->loss;
    return MMCL_OK;
}

/* All shares that are to be tried, each from the same start. */
static mmcl_status search(mmcl__adapt *adapt, struct bottleneck *b, int32_t *labels, struct best *best)
{
    const mmcl_adapt_options *options = adapt->options;
    bool                      given   = options->ratio > 0 || adapt->val.rows == 0;
    size_t                    count   = given ? 1 : sizeof ratios / sizeof *ratios;
    mmcl__operation           operation;
    mmcl_status               status = MMCL_OK;
    mmcl__begin(&operation, adapt->context, "clip-adapter", count * b->epochs);
    for (size_t i = 0; i < count && status == MMCL_OK; i++) {
        b->ratio = given && options->ratio > 0 ? options->ratio : ratios[i];
        status   = open(b, mmcl__or(options->batch, BATCH));
        if (status == MMCL_OK)
            status = train(b, labels, best, &operation, i * b->epochs);
        release(b);
    }
    if (count > 1)
        adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    return mmcl__end(&operation, status);
}

/* The text's cosines on what the bottleneck makes. */
static mmcl_status make_head(const mmcl__adapt *adapt, const struct bottleneck *b, const struct best *best, double *weights, float *narrow,
                             mmcl_classifier **out)
{
    size_t           half = b->hidden * b->cols;
    mmcl_classifier *made;
    memcpy(weights, adapt->text, b->classes * b->cols * sizeof *weights);
    mmcl__scale_f64(b->classes * b->cols, adapt->options->logit_scale, weights);
    for (size_t i = 0; i < 2 * half; i++)
        narrow[i] = (float) best->parameters[i];
    MMCL__TRY(mmcl__adapt_linear(adapt, weights, NULL, &made));
    mmcl_status status = mmcl__bottleneck_create(&made->bottleneck, adapt->context, b->cols, b->hidden, best->ratio, narrow, narrow + half);
    if (status == MMCL_OK)
        *out = made;
    else
        mmcl__classifier_destroy(made);
    return status;
}

static void report(mmcl__adapt *adapt, const struct bottleneck *b, const struct best *best)
{
    mmcl_adapt_info *info = adapt->info;
    info->ratio           = best->ratio;
    info->epoch           = best->epoch;
    info->learning_rate   = b->rate;
    info->weight_decay    = adapt->options->weight_decay > 0 ? adapt->options->weight_decay : 0.01;
    info->stop            = MMCL_STOP_ITERATIONS;
    info->flags |= adapt->val.rows > 0 ? MMCL_ADAPT_EPOCH_ON_VAL : 0;
}

mmcl_status mmcl__head_clip_adapter(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl_context     *context = adapt->context;
    struct bottleneck b       = {.adapt = adapt, .cols = adapt->cols, .hidden = MMCL__MAX(adapt->cols / 4, 1), .classes = adapt->classes,
                                 .rate = adapt->options->learning_rate > 0 ? adapt->options->learning_rate : RATE,
                                 .epochs = mmcl__or(adapt->options->epochs, EPOCHS), .optimizer = {.context = context}, .batches = {.context = context}};
    struct best best    = {.parameters = mmcl__alloc(context, size_of(&b), sizeof(double)), .accuracy = -1};
    size_t      most    = MMCL__MAX(adapt->train.rows, adapt->val.rows), weights = b.classes * b.cols;
    int32_t    *labels  = mmcl__alloc(context, most, sizeof *labels);
    double     *scaled  = mmcl__alloc(context, weights, sizeof *scaled);
    float      *narrow  = mmcl__alloc(context, size_of(&b), sizeof *narrow);
    mmcl_status status  = best.parameters != NULL && labels != NULL && scaled != NULL && narrow != NULL ? MMCL_OK : MMCL_E_NOMEM;
    if (status == MMCL_OK)
        status = search(adapt, &b, labels, &best);
    if (status == MMCL_OK)
        status = make_head(adapt, &b, &best, scaled, narrow, out);
    if (status == MMCL_OK)
        report(adapt, &b, &best);
    mmcl__free(context, narrow, size_of(&b), sizeof *narrow);
    mmcl__free(context, scaled, weights, sizeof *scaled);
    mmcl__free(context, labels, most, sizeof *labels);
    mmcl__free(context, best.parameters, size_of(&b), sizeof(double));
    return status;
}
