/* Making and ending a trainer. */
#include "train/trainer.h"

#include "linalg/matrix.h"

#include <math.h>
#include <string.h>

#define MOST_ROWS ((uint64_t) 1 << 24)

typedef unsigned long long ull;

/* --------------------------------------------------------------------------------------------------------- options --- */

static mmcl_status check_range(mmcl_context *context, const char *name, double value, double low, double high)
{
    if (!(value >= low && value <= high))
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %g, expected %g to %g", name, value, low, high);
    return MMCL_OK;
}

static void fill_defaults(mmcl_trainer_options *o)
{
    static const double rates[] = {1e-3, 0.1, 5e-3};
    o->rate       = o->rate != 0 || o->optimizer < 0 || o->optimizer > MMCL_OPTIMIZER_KFAC ? o->rate : rates[o->optimizer];
    o->beta1      = o->beta1 != 0 ? o->beta1 : 0.9;
    o->beta2      = o->beta2 != 0 ? o->beta2 : 0.999;
    o->epsilon    = o->epsilon != 0 ? o->epsilon : 1e-8;
    o->damping    = o->damping != 0 ? o->damping : 1e-4;
    o->memory     = o->memory != 0 ? o->memory : 0.98;
    o->scale      = o->scale != 0 ? o->scale : 1;
    o->scale_rate = o->scale_rate != 0 ? o->scale_rate : 3e-3;
    o->refresh    = o->refresh != 0 ? o->refresh : 40;
    if (o->block > 0 && o->pool == 0)
        o->pool = o->block <= MOST_ROWS / 512 ? MMCL__MAX(o->batch, 512 * o->block) : o->batch;
}

static mmcl_status check_numbers(mmcl_context *context, const mmcl_trainer_options *o)
{
    if (o->optimizer < MMCL_OPTIMIZER_ADAM || o->optimizer > MMCL_OPTIMIZER_KFAC)
        return mmcl__fail(context, MMCL_E_INVAL, "optimizer: %d is unknown", (int) o->optimizer);
    if (o->pool_axis < MMCL_POOL_NEAR || o->pool_axis > MMCL_POOL_RANDOM)
        return mmcl__fail(context, MMCL_E_INVAL, "pool_axis: %d is unknown", (int) o->pool_axis);
    if (o->learn_scale > 1 || o->learn_bias > 1 || o->freeze_x > 1 || o->freeze_t > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "learn_scale, learn_bias, freeze_x and freeze_t: expected 0 or 1");
    if (o->steps > 0 && o->warmup > o->steps)
        return mmcl__fail(context, MMCL_E_INVAL, "warmup: %llu steps of a schedule of %llu", (ull) o->warmup, (ull) o->steps);
    MMCL__TRY(check_range(context, "rate", o->rate, 1e-30, 1e6));
    MMCL__TRY(check_range(context, "floor", o->floor, 0, 1));
    MMCL__TRY(check_range(context, "beta1", o->beta1, 0, 0.999999));
    MMCL__TRY(check_range(context, "beta2", o->beta2, 0, 0.999999));
    MMCL__TRY(check_range(context, "epsilon", o->epsilon, 1e-30, 1));
    MMCL__TRY(check_range(context, "damping", o->damping, 1e-10, 1e6));
    MMCL__TRY(check_range(context, "memory", o->memory, 0, 0.999999));
    MMCL__TRY(check_range(context, "decay", o->decay, 0, 1e3));
    MMCL__TRY(check_range(context, "clip", o->clip, 0, 1e30));
    MMCL__TRY(check_range(context, "average", o->average, 0, 0.9999999));
    MMCL__TRY(check_range(context, "scale", o->scale, 1e-6, 1e6));
    MMCL__TRY(check_range(context, "scale_rate", o->scale_rate, 1e-30, 1e3));
    return check_range(context, "bias", o->bias, -1e6, 1e6);
}

static bool is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static mmcl_status check_batch(mmcl_context *context, const mmcl_trainer_options *o, const mmcl_objective_options *objective)
{
    if (o->batch < 2 || o->batch > MOST_ROWS)
        return mmcl__fail(context, MMCL_E_INVAL, "batch: %llu, expected 2 to %llu", (ull) o->batch, (ull) MOST_ROWS);
    if (o->block == 0)
        return o->pool == 0 ? MMCL_OK : mmcl__fail(context, MMCL_E_INVAL, "pool: %llu without a block", (ull) o->pool);
    if (o->block < 2 || o->batch % o->block != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "block: %llu, expected at least 2 and a divisor of the batch, %llu", (ull) o->block,
                          (ull) o->batch);
    if (o->pool > MOST_ROWS || o->pool % o->batch != 0 || o->pool % o->block != 0 || !is_power_of_two(o->pool / o->block))
        return mmcl__fail(context, MMCL_E_INVAL, "pool: %llu, expected a multiple of the batch (%llu), a block (%llu) times a power of 2",
                          (ull) o->pool, (ull) o->batch, (ull) o->block);
    if (objective->loss == MMCL_LOSS_INFONCE && o->pool_axis == MMCL_POOL_NEAR && objective->sides != MMCL_SIDES_BOTH)
        return mmcl__fail(context, MMCL_E_INVAL, "block: the sides of the objective alternate with the cells; expected both sides");
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- source --- */

static mmcl_status check_array(mmcl_trainer *trainer, size_t i, const mmcl_matrix *array)
{
    const char *names[] = {"source.x", "source.t"};
    MMCL__TRY(mmcl__matrix_check(trainer->context, array, names[i]));
    if (trainer->sides[i].inputs > 0 && array->cols != trainer->sides[i].inputs)
        return mmcl__fail(trainer->context, MMCL_E_INVAL, "%s: %zu columns, the encoder has %zu inputs", names[i], array->cols,
                          trainer->sides[i].inputs);
    trainer->arrays[i] = *array;
    return MMCL_OK;
}

static mmcl_status check_arrays(mmcl_trainer *trainer)
{
    mmcl_source *source = &trainer->source;
    for (size_t i = 0; i < 2 && source->x != NULL; i++)
        MMCL__TRY(check_array(trainer, i, i == 0 ? source->x : source->t));
    if (source->x != NULL && source->x->rows != source->t->rows)
        return mmcl__fail(trainer->context, MMCL_E_INVAL, "source: x has %zu rows, t has %zu", source->x->rows, source->t->rows);
    source->rows = source->x != NULL ? source->x->rows : source->rows;
    size_t draw  = (size_t) MMCL__MAX(trainer->options.batch, trainer->options.pool);
    if (source->rows < draw)
        return mmcl__fail(trainer->context, MMCL_E_INVAL, "source: %llu rows, fewer than a %s of %zu", (ull) source->rows,
                          trainer->options.pool > 0 ? "pool" : "batch", draw);
    for (size_t i = 0; i < source->rows && source->groups != NULL; i++)
        if (source->groups[i] < 0 || source->groups[i] > INT32_MAX)
            return mmcl__fail(trainer->context, MMCL_E_INVAL, "source.groups[%zu]: %lld, expected 0 to 2^31 - 1", i,
                              (long long) source->groups[i]);
    return MMCL_OK;
}

static mmcl_status check_model(mmcl_trainer *trainer)
{
    for (size_t i = 0; i < 2; i++) {
        size_t width = mmcl__model_width(trainer->source.model, (mmcl_side) i);
        if (trainer->sides[i].inputs > 0 && trainer->sides[i].inputs != width)
            return mmcl__fail(trainer->context, MMCL_E_INVAL, "encoder %c: %zu inputs, the model gives %zu columns", "xt"[i],
                              trainer->sides[i].inputs, width);
    }
    return MMCL_OK;
}

static mmcl_status check_source(mmcl_trainer *trainer)
{
    mmcl_context      *context = trainer->context;
    const mmcl_source *source  = &trainer->source;
    if ((source->x == NULL) != (source->t == NULL))
        return mmcl__fail(context, MMCL_E_INVAL, "source: give both x and t, or neither");
    int kinds = (source->model != NULL) + (source->x != NULL) + (source->fill != NULL) + (source->rows > 0 && source->x == NULL);
    if (kinds != 1)
        return mmcl__fail(context, MMCL_E_INVAL, "source: %d of model, x with t, fill and rows, expected exactly one", kinds);
    if (source->grouped > 1 || source->reserved != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "source: grouped is %u, reserved is %u", source->grouped, source->reserved);
    if ((source->groups != NULL && (source->model != NULL || source->fill != NULL)) || (source->grouped && source->fill == NULL))
        return mmcl__fail(context, MMCL_E_INVAL, "source: groups go with arrays, grouped goes with fill");
    if (source->rows > 0 && source->x == NULL && (trainer->sides[0].inputs > 0 || trainer->sides[1].inputs > 0))
        return mmcl__fail(context, MMCL_E_INVAL, "source: rows alone are for host encoders without inputs");
    if (source->model != NULL)
        return check_model(trainer);
    return source->fill != NULL ? MMCL_OK : check_arrays(trainer);
}

/* ---------------------------------------------------------------------------------------------------------- memory --- */

/* Takes a block unless count is 0. */
#define TAKE(field, count)                                                                                             \
    do {                                                                                                               \
        if ((count) > 0 && ((field) = mmcl__calloc(context, (count), sizeof *(field))) == NULL)                        \
            return MMCL_E_NOMEM;                                                                                       \
    } while (0)
#define GIVE(field, count) mmcl__free(context, (field), (count), sizeof *(field))

static mmcl_status open_side(mmcl_trainer *trainer, mmcl__side *side)
{
    mmcl_context *context = trainer->context;
    size_t        batch   = (size_t) trainer->options.batch;
    bool          host    = mmcl__encoder_is_host(side->encoder);
    TAKE(side->f, batch * side->outputs);
    TAKE(side->df, batch * side->outputs);
    TAKE(side->pool, (size_t) trainer->options.pool * side->inputs);
    if (host) {
        TAKE(side->own, batch * side->inputs);
        side->x = side->own;
        return MMCL_OK;
    }
    bool kfac = trainer->options.optimizer == MMCL_OPTIMIZER_KFAC && !side->frozen;
    MMCL__TRY(mmcl__workspace_create(&side->workspace, side->encoder, batch, kfac));
    side->x    = side->workspace->raw;
    side->size = side->encoder->size;
    TAKE(side->gradient, side->size);
    TAKE(side->first, side->size);
    TAKE(side->second, side->size);
    if (trainer->options.average > 0)
        MMCL__TRY(mmcl__encoder_clone(&side->average, side->encoder));
    return kfac ? mmcl__kfac_open(trainer, side) : MMCL_OK;
}

static void close_side(mmcl_trainer *trainer, mmcl__side *side)
{
    mmcl_context *context = trainer->context;
    size_t        batch   = (size_t) trainer->options.batch;
    mmcl__kfac_close(trainer, side);
    mmcl__encoder_destroy(side->average);
    mmcl__workspace_destroy(side->workspace);
    GIVE(side->f, batch * side->outputs);
    GIVE(side->df, batch * side->outputs);
    GIVE(side->pool, (size_t) trainer->options.pool * side->inputs);
    GIVE(side->own, batch * side->inputs);
    GIVE(side->gradient, side->size);
    GIVE(side->first, side->size);
    GIVE(side->second, side->size);
}

/* The pieces of all trained tensors; with `pieces` NULL it only counts them. */
static size_t cut(const mmcl_trainer *trainer, mmcl__piece *pieces)
{
    size_t n = 0;
    for (uint32_t s = 0; s < 2; s++) {
        const mmcl__side   *side    = &trainer->sides[s];
        const mmcl_encoder *encoder = side->encoder;
        size_t              end     = side->workspace != NULL && !side->frozen ? mmcl__encoder_trainable(encoder) : 0;
        for (size_t i = 0; i < encoder->n_tensors && encoder->tensors[i].offset < end; i++) {
            const mmcl__tensor *tensor = &encoder->tensors[i];
            size_t              size   = tensor->rows * tensor->cols;
            for (size_t at = 0; at < size; at += MMCL__UPDATE_CHUNK, n++)
                if (pieces != NULL)
                    pieces[n] = (mmcl__piece){.side   = s,
                                              .decays = tensor->decays,
                                              .layer  = i < 2 * encoder->layers,
                                              .first  = tensor->offset + at,
                                              .count  = MMCL__MIN(MMCL__UPDATE_CHUNK, size - at)};
        }
    }
    return n;
}

static mmcl_status open_batches(mmcl_trainer *trainer)
{
    mmcl_context *context = trainer->context;
    size_t        batch = (size_t) trainer->options.batch, pool = (size_t) trainer->options.pool;
    bool          grouped = trainer->source.groups != NULL || trainer->source.grouped;
    TAKE(trainer->order, pool);
    TAKE(trainer->keys, pool);
    TAKE(trainer->pool_f, pool * MMCL__MAX(trainer->sides[0].outputs, trainer->sides[1].outputs));
    TAKE(trainer->indices, trainer->source.rows > 0 ? trainer->draw : 0);
    TAKE(trainer->batch_indices, trainer->source.rows > 0 && pool > 0 ? batch : 0);
    TAKE(trainer->groups, grouped ? trainer->draw : 0);
    TAKE(trainer->batch_groups, grouped && pool > 0 ? batch : 0);
    trainer->n_pieces = cut(trainer, NULL);
    trainer->n_done   = MMCL__MAX(trainer->n_pieces, (size_t) 4 * (MMCL_MAX_HIDDEN + 1));
    TAKE(trainer->pieces, trainer->n_pieces);
    TAKE(trainer->squares, trainer->n_pieces);
    TAKE(trainer->done, trainer->n_done);
    cut(trainer, trainer->pieces);
    return MMCL_OK;
}

static void close_batches(mmcl_trainer *trainer)
{
    mmcl_context *context = trainer->context;
    size_t        batch = (size_t) trainer->options.batch, pool = (size_t) trainer->options.pool;
    GIVE(trainer->order, pool);
    GIVE(trainer->keys, pool);
    GIVE(trainer->pool_f, pool * MMCL__MAX(trainer->sides[0].outputs, trainer->sides[1].outputs));
    GIVE(trainer->indices, trainer->draw);
    GIVE(trainer->batch_indices, batch);
    GIVE(trainer->groups, trainer->draw);
    GIVE(trainer->batch_groups, batch);
    GIVE(trainer->pieces, trainer->n_pieces);
    GIVE(trainer->squares, trainer->n_pieces);
    GIVE(trainer->done, trainer->n_done);
}

/* The objective's workspace for the batch; with hard batches its two halves too. */
static mmcl_status open_objectives(mmcl_trainer *trainer)
{
    size_t                 rows = (size_t) trainer->options.batch, cols = trainer->sides[0].outputs;
    mmcl_objective_options half = *mmcl__objective_options(trainer->objective);
    trainer->low                = half.min_scale > 0 ? log(half.min_scale) : -13.8;
    trainer->high               = half.max_scale > 0 ? log(half.max_scale) : 13.8;
    MMCL__TRY(mmcl__objective_reserve(trainer->objective, rows, cols));
    if (trainer->options.block == 0 || trainer->options.pool_axis != MMCL_POOL_NEAR || half.loss != MMCL_LOSS_INFONCE)
        return MMCL_OK;
    half.rows = rows;
    half.cols = cols;
    for (size_t i = 0; i < 2; i++) {
        half.sides = i == 0 ? MMCL_SIDES_T2X : MMCL_SIDES_X2T;
        MMCL__TRY(mmcl__objective_create(&trainer->one_sided[i], trainer->context, &half));
    }
    return MMCL_OK;
}

/* -------------------------------------------------------------------------------------------------------- lifetime --- */

static mmcl_status check_encoders(mmcl_trainer *trainer)
{
    const mmcl__side *x = &trainer->sides[0], *t = &trainer->sides[1];
    mmcl_context     *context = trainer->context;
    if (x->encoder == t->encoder)
        return mmcl__fail(context, MMCL_E_INVAL, "x and t: the same encoder");
    if (x->encoder->context != context || t->encoder->context != context || mmcl__objective_context(trainer->objective) != context)
        return mmcl__fail(context, MMCL_E_INVAL, "encoders and objective: expected those of the trainer's context");
    if (x->outputs != t->outputs)
        return mmcl__fail(context, MMCL_E_INVAL, "encoders: x has %zu outputs, t has %zu", x->outputs, t->outputs);
    return MMCL_OK;
}

static mmcl_status build(mmcl_trainer *trainer)
{
    const mmcl_objective_options *objective = mmcl__objective_options(trainer->objective);
    MMCL__TRY(check_encoders(trainer));
    MMCL__TRY(check_numbers(trainer->context, &trainer->options));
    MMCL__TRY(check_batch(trainer->context, &trainer->options, objective));
    MMCL__TRY(check_source(trainer));
    trainer->draw = (size_t) MMCL__MAX(trainer->options.batch, trainer->options.pool);
    for (size_t i = 0; i < 2; i++)
        MMCL__TRY(open_side(trainer, &trainer->sides[i]));
    MMCL__TRY(open_batches(trainer));
    return open_objectives(trainer);
}

mmcl_status mmcl__trainer_create(mmcl_trainer **out, mmcl_context *context, mmcl_encoder *x, mmcl_encoder *t,
                                 mmcl_objective *objective, const mmcl_source *source, const mmcl_trainer_options *options)
{
    mmcl_trainer *trainer = mmcl__calloc(context, 1, sizeof *trainer);
    if (trainer == NULL)
        return MMCL_E_NOMEM;
    trainer->context   = context;
    trainer->options   = *options;
    trainer->source    = *source;
    trainer->objective = objective;
    fill_defaults(&trainer->options);
    for (size_t i = 0; i < 2; i++) {
        mmcl_encoder *encoder = i == 0 ? x : t;
        trainer->sides[i]     = (mmcl__side){.encoder = encoder,
                                             .inputs  = (size_t) encoder->options.inputs,
                                             .outputs = (size_t) encoder->options.outputs,
                                             .frozen  = i == 0 ? options->freeze_x != 0 : options->freeze_t != 0};
    }
    mmcl_status status = build(trainer);
    if (status != MMCL_OK) {
        mmcl__trainer_destroy(trainer);
        return status;
    }
    trainer->scale.value = fmin(fmax(log(trainer->options.scale), trainer->low), trainer->high);
    trainer->bias.value  = trainer->options.bias;
    trainer->smooth      = NAN;
    trainer->pool_number = trainer->drawn = UINT64_MAX;
    trainer->info = (mmcl_train_info){.struct_size = sizeof trainer->info, .loss = NAN, .smooth_loss = NAN, .gradient_norm = NAN,
                                      .scale = exp(trainer->scale.value), .bias = trainer->bias.value, .seconds_left = NAN};
    *out          = trainer;
    return MMCL_OK;
}

void mmcl__trainer_destroy(mmcl_trainer *trainer)
{
    if (trainer == NULL)
        return;
    for (size_t i = 0; i < 2; i++) {
        mmcl__objective_destroy(trainer->one_sided[i]);
        close_side(trainer, &trainer->sides[i]);
    }
    close_batches(trainer);
    mmcl__free(trainer->context, trainer, 1, sizeof *trainer);
}
