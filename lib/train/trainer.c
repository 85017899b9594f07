#include "train/trainer.h"

#include "linalg/matrix.h"

#include <math.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------------------- checks --- */

#define FAIL(...) mmcl__fail(context, MMCL_E_INVAL, __VA_ARGS__)

static bool share(double value) /* of something kept: 0 up to, but not, 1 */
{
    return value >= 0 && value < 1;
}

static mmcl_status resolve(mmcl_context *context, mmcl_trainer_options *o)
{
    if (o->optimizer < MMCL_OPTIMIZER_ADAM || o->optimizer > MMCL_OPTIMIZER_KFAC)
        return FAIL("optimizer: %d is unknown", (int) o->optimizer);
    bool kfac       = o->optimizer == MMCL_OPTIMIZER_KFAC;
    o->rate         = o->rate != 0 ? o->rate : kfac ? 0.05 : 1e-3;
    o->beta1        = o->beta1 != 0 ? o->beta1 : 0.9;
    o->beta2        = o->beta2 != 0 ? o->beta2 : 0.999;
    o->epsilon      = o->epsilon != 0 ? o->epsilon : 1e-8;
    o->factor_decay = o->factor_decay != 0 ? o->factor_decay : 0.98;
    o->damping      = o->damping != 0 ? o->damping : 0.03;
    o->trust        = o->trust != 0 ? o->trust : 0.1;
    o->refresh      = o->refresh != 0 ? o->refresh : 40;
    o->scale        = o->scale != 0 ? o->scale : 1;
    o->scale_rate   = o->scale_rate != 0 ? o->scale_rate : 3e-3;
    if (o->batch < 2 || o->batch > (uint64_t) 1 << 24)
        return FAIL("batch: %llu, expected 2 to 2^24", (unsigned long long) o->batch);
    if (o->cell != 0 && (o->cell < 2 || o->batch % o->cell != 0))
        return FAIL("cell: %llu, expected a divisor of batch %llu, at least 2", (unsigned long long) o->cell, (unsigned long long) o->batch);
    if (o->cell == 0 && o->pool != 0)
        return FAIL("pool: %llu without cell", (unsigned long long) o->pool);
    o->pool = o->cell != 0 && o->pool == 0 ? 256 * o->batch : o->pool;
    if (o->pool % o->batch != 0 || o->pool > UINT32_MAX)
        return FAIL("pool: %llu, expected a multiple of batch %llu below 2^32", (unsigned long long) o->pool, (unsigned long long) o->batch);
    if ((o->checkpoint != NULL) != (o->checkpoint_every != 0))
        return o->checkpoint != NULL ? FAIL("checkpoint_every: 0 with a checkpoint, expected a number of steps")
                                     : FAIL("checkpoint: NULL, expected a path as checkpoint_every is %llu", (unsigned long long) o->checkpoint_every);
    const struct {
        const char *name;
        double      value;
        bool        ok;
    } ranges[] = {{"rate", o->rate, o->rate > 0},       {"floor", o->floor, o->floor >= 0 && o->floor <= 1},
                  {"beta1", o->beta1, share(o->beta1)}, {"beta2", o->beta2, share(o->beta2)},
                  {"epsilon", o->epsilon, o->epsilon > 0}, {"factor_decay", o->factor_decay, share(o->factor_decay)},
                  {"damping", o->damping, o->damping > 0}, {"trust", o->trust, o->trust > 0},
                  {"decay", o->decay, o->decay >= 0},
                  {"clip", o->clip, o->clip >= 0},      {"average", o->average, share(o->average)},
                  {"scale", o->scale, o->scale > 0},    {"scale_rate", o->scale_rate, o->scale_rate > 0},
                  {"bias", o->bias, true}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!ranges[i].ok || !isfinite(ranges[i].value))
            return FAIL("%s: %g is out of range", ranges[i].name, ranges[i].value);
    return MMCL_OK;
}

/* Columns that the source has for a side; those of the encoder for a host's source. */
static mmcl_status check_source(mmcl_trainer *trainer, size_t widths[2])
{
    mmcl_context      *context = trainer->context;
    const mmcl_source *source  = &trainer->source;
    int                kinds   = (source->model != NULL) + (source->x != NULL || source->t != NULL) + (source->fill != NULL);
    if (kinds != 1)
        return FAIL("source: %d of model, x with t, and fill are set, expected one", kinds);
    if (source->model != NULL) {
        widths[0] = mmcl__model_width(source->model, MMCL_SIDE_X);
        widths[1] = mmcl__model_width(source->model, MMCL_SIDE_T);
    } else if (source->x != NULL || source->t != NULL) {
        if (source->x == NULL || source->t == NULL)
            return FAIL("source: x and t belong together, %s is NULL", source->x == NULL ? "x" : "t");
        MMCL__TRY(mmcl__matrix_check(context, source->x, "source.x"));
        MMCL__TRY(mmcl__matrix_check(context, source->t, "source.t"));
        if (source->x->rows != source->t->rows)
            return FAIL("source: x has %zu rows and t %zu, expected pairs", source->x->rows, source->t->rows);
        trainer->arrays[0] = *source->x;
        trainer->arrays[1] = *source->t;
        widths[0]          = source->x->cols;
        widths[1]          = source->t->cols;
    }
    if (source->groups != NULL && source->x == NULL)
        return FAIL("source: groups without x and t");
    if (source->grouped && source->fill == NULL)
        return FAIL("source: grouped without fill");
    return MMCL_OK;
}

static mmcl_status check_fit(mmcl_trainer *trainer)
{
    mmcl_context               *context = trainer->context;
    const mmcl_trainer_options *options = &trainer->options;
    size_t                      widths[2] = {0, 0}, drawn = (size_t) (options->cell != 0 ? options->pool : options->batch);
    MMCL__TRY(check_source(trainer, widths));
    for (int s = 0; s < 2; s++) {
        const mmcl__train_side *side = &trainer->sides[s];
        if (side->encoder->context != context)
            return FAIL("encoder %s: born from another context", s == 0 ? "x" : "t");
        if (trainer->source.fill == NULL && side->inputs != 0 && side->inputs != widths[s])
            return FAIL("encoder %s: %zu inputs, the source has %zu columns", s == 0 ? "x" : "t", side->inputs, widths[s]);
        if (options->cell != 0 && mmcl__encoder_is_host(side->encoder))
            return FAIL("cell: %llu with a host encoder", (unsigned long long) options->cell);
    }
    if (trainer->sides[0].encoder == trainer->sides[1].encoder)
        return FAIL("encoders: x and t are the same");
    if (trainer->sides[0].outputs != trainer->sides[1].outputs)
        return FAIL("encoders: %zu and %zu outputs, expected as many", trainer->sides[0].outputs, trainer->sides[1].outputs);
    if (trainer->source.x != NULL && trainer->arrays[0].rows < drawn)
        return FAIL("%s: %zu, the source has %zu rows", options->cell != 0 ? "pool" : "batch", drawn, trainer->arrays[0].rows);
    if (options->cell != 0 && (trainer->source.groups != NULL || trainer->source.grouped))
        return FAIL("cell: %llu with groups", (unsigned long long) options->cell);
    const mmcl_objective_options *objective = mmcl__objective_options(trainer->objective);
    if (options->cell != 0 && (objective->loss != MMCL_LOSS_INFONCE || objective->comm != NULL))
        return FAIL("cell: %llu with an objective that is not InfoNCE in one process", (unsigned long long) options->cell);
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- memory --- */

static float *floats(mmcl_trainer *trainer, size_t rows, size_t cols)
{
    return mmcl__calloc(trainer->context, rows * cols, sizeof(float));
}

static mmcl_status open_side(mmcl_trainer *trainer, mmcl__train_side *side)
{
    const mmcl_trainer_options *options = &trainer->options;
    mmcl_encoder               *encoder = side->encoder;
    size_t                      batch   = (size_t) options->batch;
    bool                        kfac    = options->optimizer == MMCL_OPTIMIZER_KFAC && !side->frozen;
    side->out                           = floats(trainer, batch, side->outputs);
    side->slope                         = floats(trainer, batch, side->outputs);
    if (side->out == NULL || side->slope == NULL)
        return MMCL_E_NOMEM;
    if (mmcl__encoder_is_host(encoder)) {
        side->rows = floats(trainer, batch, side->inputs);
        return side->rows != NULL ? MMCL_OK : MMCL_E_NOMEM;
    }
    MMCL__TRY(mmcl__workspace_create(&side->workspace, encoder, batch, kfac));
    side->rows     = side->workspace->raw;
    side->gradient = floats(trainer, encoder->size, 1);
    side->first    = floats(trainer, encoder->size, 1);
    side->second   = kfac ? NULL : floats(trainer, encoder->size, 1);
    if (side->gradient == NULL || side->first == NULL || (side->second == NULL && !kfac))
        return MMCL_E_NOMEM;
    if (kfac)
        MMCL__TRY(mmcl__kfac_open(&side->kfac, encoder));
    return options->average > 0 ? mmcl__encoder_clone(&side->average, encoder) : MMCL_OK;
}

static void close_side(mmcl_trainer *trainer, mmcl__train_side *side)
{
    mmcl_context *context = trainer->context;
    size_t        batch = (size_t) trainer->options.batch, size = side->encoder->size;
    mmcl__encoder_destroy(side->average);
    mmcl__kfac_close(&side->kfac);
    mmcl__free(context, side->second, size, sizeof *side->second);
    mmcl__free(context, side->first, size, sizeof *side->first);
    mmcl__free(context, side->gradient, size, sizeof *side->gradient);
    if (mmcl__encoder_is_host(side->encoder))
        mmcl__free(context, side->rows, batch * side->inputs, sizeof *side->rows);
    mmcl__workspace_destroy(side->workspace);
    mmcl__free(context, side->slope, batch * side->outputs, sizeof *side->slope);
    mmcl__free(context, side->out, batch * side->outputs, sizeof *side->out);
}

/* The objective with the loss of one side alone. */
static mmcl_status open_anchored(mmcl_trainer *trainer, int embedded)
{
    mmcl_objective_options options = *mmcl__objective_options(trainer->objective);
    options.sides                  = embedded == 0 ? MMCL_SIDES_T2X : MMCL_SIDES_X2T;
    options.summed                 = 0;
    options.rows                   = trainer->options.batch;
    options.cols                   = trainer->sides[0].outputs;
    return mmcl__objective_create(&trainer->anchored[embedded], trainer->context, &options);
}

static mmcl_status open_cells(mmcl_trainer *trainer)
{
    mmcl__cells *cells = &trainer->cells;
    cells->pool        = (size_t) trainer->options.pool;
    cells->rows[0]     = floats(trainer, cells->pool, trainer->sides[0].inputs);
    cells->rows[1]     = floats(trainer, cells->pool, trainer->sides[1].inputs);
    cells->codes       = floats(trainer, cells->pool, trainer->sides[0].outputs);
    cells->values      = floats(trainer, cells->pool, 1);
    cells->order       = mmcl__calloc(trainer->context, cells->pool, sizeof *cells->order);
    if (cells->rows[0] == NULL || cells->rows[1] == NULL || cells->codes == NULL || cells->values == NULL || cells->order == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(open_anchored(trainer, 0));
    return open_anchored(trainer, 1);
}

static void close_cells(mmcl_trainer *trainer)
{
    mmcl__cells  *cells   = &trainer->cells;
    mmcl_context *context = trainer->context;
    mmcl__objective_destroy(trainer->anchored[1]);
    mmcl__objective_destroy(trainer->anchored[0]);
    mmcl__free(context, cells->order, cells->pool, sizeof *cells->order);
    mmcl__free(context, cells->values, cells->pool, sizeof *cells->values);
    mmcl__free(context, cells->codes, cells->pool * trainer->sides[0].outputs, sizeof *cells->codes);
    mmcl__free(context, cells->rows[1], cells->pool * trainer->sides[1].inputs, sizeof *cells->rows[1]);
    mmcl__free(context, cells->rows[0], cells->pool * trainer->sides[0].inputs, sizeof *cells->rows[0]);
}

/* Rows of the largest draw, whose numbers arrays need. */
static size_t drawn_rows(const mmcl_trainer *trainer)
{
    return (size_t) (trainer->options.cell != 0 ? trainer->options.pool : trainer->options.batch);
}

static mmcl_status open_checkpoint(mmcl_trainer *trainer)
{
    const char *path = trainer->options.checkpoint;
    if (path == NULL)
        return MMCL_OK;
    trainer->options.checkpoint = trainer->checkpoint = mmcl__strdup(trainer->context, path);
    return trainer->checkpoint != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

static mmcl_status open(mmcl_trainer *trainer)
{
    mmcl_context *context = trainer->context;
    MMCL__TRY(open_checkpoint(trainer));
    MMCL__TRY(open_side(trainer, &trainer->sides[0]));
    MMCL__TRY(open_side(trainer, &trainer->sides[1]));
    if (trainer->options.cell != 0)
        MMCL__TRY(open_cells(trainer));
    else
        MMCL__TRY(mmcl__objective_reserve(trainer->objective, (size_t) trainer->options.batch, trainer->sides[0].outputs));
    if (trainer->source.x != NULL && (trainer->indices = mmcl__calloc(context, drawn_rows(trainer), sizeof *trainer->indices)) == NULL)
        return MMCL_E_NOMEM;
    if (trainer->source.groups == NULL && !trainer->source.grouped)
        return MMCL_OK;
    trainer->groups = mmcl__calloc(context, (size_t) trainer->options.batch, sizeof *trainer->groups);
    return trainer->groups != NULL ? MMCL_OK : MMCL_E_NOMEM;
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
    mmcl_encoder *encoders[2] = {x, t};
    for (int s = 0; s < 2; s++)
        trainer->sides[s] = (mmcl__train_side){.encoder = encoders[s], .inputs = (size_t) encoders[s]->options.inputs,
                                               .outputs = (size_t) encoders[s]->options.outputs,
                                               .frozen = s == 0 ? options->freeze_x != 0 : options->freeze_t != 0};
    mmcl_status status = resolve(context, &trainer->options);
    if (status == MMCL_OK)
        status = check_fit(trainer);
    if (status == MMCL_OK)
        status = open(trainer);
    if (status != MMCL_OK) {
        mmcl__trainer_destroy(trainer);
        return status;
    }
    trainer->state = (mmcl__train_state){.loss = NAN, .smooth_loss = NAN, .gradient_norm = NAN, .rate = NAN,
                                         .log_scale = log(trainer->options.scale), .bias = trainer->options.bias};
    *out           = trainer;
    return MMCL_OK;
}

void mmcl__trainer_destroy(mmcl_trainer *trainer)
{
    if (trainer == NULL)
        return;
    mmcl_context *context = trainer->context;
    mmcl__free(context, trainer->groups, (size_t) trainer->options.batch, sizeof *trainer->groups);
    mmcl__free(context, trainer->indices, drawn_rows(trainer), sizeof *trainer->indices);
    close_cells(trainer);
    close_side(trainer, &trainer->sides[1]);
    close_side(trainer, &trainer->sides[0]);
    if (trainer->checkpoint != NULL)
        mmcl__free(context, trainer->checkpoint, strlen(trainer->checkpoint) + 1, 1);
    mmcl__free(context, trainer, 1, sizeof *trainer);
}
