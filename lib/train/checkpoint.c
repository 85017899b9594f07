/* Checkpoints: all that a training needs to go on as if it had never stopped, and what tells whether it is the same training. */
#include "train/trainer.h"

#include "io/model_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------ fingerprint --- */

/* An option that has a say in what the steps compute: a whole number, perhaps with names for its values, or a real one. */
typedef struct trait {
    const char        *name;
    int64_t            whole;
    const char *const *names; /* of the values from 0, closed by NULL */
} trait;

typedef struct measure {
    const char *name;
    double      value;
} measure;

enum { MAX_TRAITS = 32 };

/* Traits and measures of a trainer or of an encoder. Their order is the file's, and only ever grows at the end. */
typedef struct fingerprint {
    size_t  n_traits, n_measures;
    trait   traits[MAX_TRAITS];
    measure measures[MAX_TRAITS];
} fingerprint;

#define ADD(list, count, items)                                                                                        \
    do {                                                                                                               \
        _Static_assert(sizeof(items) / sizeof *(items) <= MAX_TRAITS, "too many");                                     \
        memcpy(list, items, sizeof(items));                                                                            \
        count = sizeof(items) / sizeof *(items);                                                                       \
    } while (0)

static const char *const optimizers[]   = {"adam", "kfac", NULL};
static const char *const sources[]      = {"a model", "arrays", "a host's callback", NULL};
static const char *const owners[]       = {"a network", "a host's encoder", NULL};
static const char *const similarities[] = {"dot", "cosine", "squared L2", "L1", "Lp", NULL};
static const char *const losses[]       = {"InfoNCE", "SigLIP", NULL};
static const char *const directions[]   = {"both", "x2t", "t2x", NULL};
static const char *const normalizers[]  = {"sum", "mean", "mean of negatives", NULL};
static const char *const activations[]  = {"leaky ReLU", "ReLU", "tanh", "GELU", "SiLU", "identity", NULL};
static const char *const geometries[]   = {"none", "sphere", "box", NULL};

static fingerprint trainer_print(const mmcl_trainer *trainer)
{
    const mmcl_trainer_options   *o = &trainer->options;
    const mmcl_objective_options *objective = mmcl__objective_options(trainer->objective);
    const mmcl_source            *source    = &trainer->source;
    const mmcl__train_side       *sides     = trainer->sides;
    fingerprint                   print;
    const trait traits[] = {{"optimizer", o->optimizer, optimizers},
                            {"source", source->model != NULL ? 0 : source->x != NULL ? 1 : 2, sources},
                            {"source rows", (int64_t) trainer->arrays[0].rows, NULL},
                            {"source groups", trainer->groups != NULL, NULL},
                            {"encoder x", mmcl__encoder_is_host(sides[0].encoder), owners},
                            {"encoder t", mmcl__encoder_is_host(sides[1].encoder), owners},
                            {"inputs of encoder x", (int64_t) sides[0].inputs, NULL},
                            {"inputs of encoder t", (int64_t) sides[1].inputs, NULL},
                            {"outputs", (int64_t) sides[0].outputs, NULL},
                            {"batch", (int64_t) o->batch, NULL},
                            {"cell", (int64_t) o->cell, NULL},
                            {"pool", (int64_t) o->pool, NULL},
                            {"seed", (int64_t) o->seed, NULL},
                            {"steps", (int64_t) o->steps, NULL},
                            {"warmup", (int64_t) o->warmup, NULL},
                            {"refresh", (int64_t) o->refresh, NULL},
                            {"learn_scale", o->learn_scale != 0, NULL},
                            {"freeze_x", o->freeze_x != 0, NULL},
                            {"freeze_t", o->freeze_t != 0, NULL},
                            {"similarity", objective->similarity, similarities},
                            {"loss", objective->loss, losses},
                            {"sides", objective->sides, directions},
                            {"normalizer", objective->normalizer, normalizers},
                            {"summed", objective->summed != 0, NULL}};
    const measure measures[] = {{"rate", o->rate},
                                {"floor", o->floor},
                                {"beta1", o->beta1},
                                {"beta2", o->beta2},
                                {"epsilon", o->epsilon},
                                {"factor_decay", o->factor_decay},
                                {"damping", o->damping},
                                {"trust", o->trust},
                                {"decay", o->decay},
                                {"clip", o->clip},
                                {"average", o->average},
                                {"scale", o->scale},
                                {"scale_rate", o->scale_rate},
                                {"bias", o->bias},
                                {"exponent", objective->exponent},
                                {"min_scale", objective->min_scale},
                                {"max_scale", objective->max_scale}};
    ADD(print.traits, print.n_traits, traits);
    ADD(print.measures, print.n_measures, measures);
    return print;
}

static fingerprint encoder_print(const mmcl_encoder *encoder)
{
    const mmcl_encoder_options *o = &encoder->options;
    fingerprint                 print;
    const trait   traits[]   = {{"activation", o->activation, activations},
                                {"geometry", o->geometry, geometries},
                                {"learn_geometry", o->learn_geometry, NULL},
                                {"residual", o->residual, NULL},
                                {"input_map", o->input_map, NULL}};
    const measure measures[] = {{"slope", o->slope}, {"radius", o->radius}, {"lower", o->lower}, {"upper", o->upper}};
    ADD(print.traits, print.n_traits, traits);
    ADD(print.measures, print.n_measures, measures);
    return print;
}

static const char *value_of(const trait *t, char *text, size_t room)
{
    for (int64_t i = 0; t->names != NULL && t->names[i] != NULL; i++)
        if (i == t->whole)
            return t->names[i];
    snprintf(text, room, "%llu", (unsigned long long) t->whole);
    return text;
}

static mmcl_status differs(const mmcl_archive *archive, const char *whose, const char *name, const char *theirs, const char *ours)
{
    return mmcl__fail(archive->context, MMCL_E_INVAL, "%s: a checkpoint of another training: %s%s is %s there, %s here", archive->file->name,
                      whose, name, theirs, ours);
}

/* MMCL_E_INVAL, with both values, when two prints of one kind differ. `whose` begins the name. */
static mmcl_status compare(const mmcl_archive *archive, const char *whose, const fingerprint *theirs, const fingerprint *ours)
{
    char a[32], b[32];
    for (size_t i = 0; i < ours->n_traits; i++)
        if (theirs->traits[i].whole != ours->traits[i].whole)
            return differs(archive, whose, ours->traits[i].name, value_of(&theirs->traits[i], a, sizeof a),
                           value_of(&ours->traits[i], b, sizeof b));
    for (size_t i = 0; i < ours->n_measures; i++)
        if (theirs->measures[i].value != ours->measures[i].value) {
            snprintf(a, sizeof a, "%.17g", theirs->measures[i].value);
            snprintf(b, sizeof b, "%.17g", ours->measures[i].value);
            return differs(archive, whose, ours->measures[i].name, a, b);
        }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ parts --- */

/* A vector of a side that steps carry on from, beside the encoder's parameters. */
typedef struct vector {
    const char *name;
    float      *data;    /* [size] */
    size_t      size;
    bool        tensors; /* laid out as the parameters, and in the file tensor by tensor as they are */
} vector;

enum { MAX_VECTORS = 5 };

static const char *const prefixes[2] = {"x/", "t/"};

/* Those that a side has; their number. */
static size_t vectors_of(const mmcl__train_side *side, vector *out)
{
    const size_t size  = side->encoder->size;
    const vector all[] = {{"first", side->frozen ? NULL : side->first, size, true},
                          {"second", side->frozen ? NULL : side->second, size, true},
                          {"factors", side->kfac.factors, side->kfac.size, false},
                          {"inverses", side->kfac.inverses, side->kfac.size, false},
                          {"average", side->average != NULL ? side->average->parameters : NULL, size, true}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].data != NULL)
            out[n++] = all[i];
    return n;
}

typedef struct vector_key {
    char text[24];
} vector_key;

/* "x/first/", which names of tensors follow, or "x/factors". */
static vector_key key_of(int side, const vector *v)
{
    vector_key key;
    snprintf(key.text, sizeof key.text, "%s%s%s", prefixes[side], v->name, v->tensors ? "/" : "");
    return key;
}

/* Pairs of the pool that step `step` takes from it have their order from an encoder that is gone, unless the pool begins there. */
static bool within_pool(const mmcl_trainer *trainer, uint64_t step)
{
    return trainer->cells.pool > 0 && step % (trainer->cells.pool / trainer->options.batch) != 0;
}

enum { STATE_LOSS, STATE_SMOOTH_LOSS, STATE_GRADIENT_NORM, STATE_RATE, STATE_LOG_SCALE, STATE_BIAS, STATE_SCALE_FIRST,
       STATE_SCALE_SECOND = STATE_SCALE_FIRST + 2, N_STATE = STATE_SCALE_SECOND + 2 };

/* ---------------------------------------------------------------------------------------------------------- writing --- */

static mmcl_status check_finite(const mmcl_trainer *trainer)
{
    vector vectors[MAX_VECTORS];
    for (int s = 0; s < 2; s++) {
        const mmcl__train_side *side = &trainer->sides[s];
        MMCL__TRY(mmcl__encoder_check(side->encoder, side->encoder->parameters, s == 0 ? "encoder x" : "encoder t"));
        size_t n = vectors_of(side, vectors);
        for (size_t i = 0; i < n; i++)
            if (!mmcl__convert()->finite_f32(vectors[i].size, vectors[i].data))
                return mmcl__fail(trainer->context, MMCL_E_NUMERIC, "encoder %s: '%s' of its optimiser holds NaN or infinity", s == 0 ? "x" : "t",
                                  vectors[i].name);
    }
    return MMCL_OK;
}

static mmcl_status put_print(mmcl_writer *writer, const fingerprint *print)
{
    const uint64_t n_traits = print->n_traits, n_measures = print->n_measures;
    int64_t        whole[MAX_TRAITS];
    double         numbers[MAX_TRAITS];
    for (size_t i = 0; i < n_traits; i++)
        whole[i] = print->traits[i].whole;
    for (size_t i = 0; i < n_measures; i++)
        numbers[i] = print->measures[i].value;
    MMCL__TRY(mmcl__writer_put(writer, "options", MMCL_I64, 1, &n_traits, whole));
    return mmcl__writer_put(writer, "numbers", MMCL_F64, 1, &n_measures, numbers);
}

static mmcl_status put_state(mmcl_writer *writer, const mmcl__train_state *state)
{
    const int64_t step           = (int64_t) state->step;
    const double  values[N_STATE] = {[STATE_LOSS]             = state->loss,
                                     [STATE_SMOOTH_LOSS]      = state->smooth_loss,
                                     [STATE_GRADIENT_NORM]    = state->gradient_norm,
                                     [STATE_RATE]             = state->rate,
                                     [STATE_LOG_SCALE]        = state->log_scale,
                                     [STATE_BIAS]             = state->bias,
                                     [STATE_SCALE_FIRST]      = state->scale_first[0],
                                     [STATE_SCALE_FIRST + 1]  = state->scale_first[1],
                                     [STATE_SCALE_SECOND]     = state->scale_second[0],
                                     [STATE_SCALE_SECOND + 1] = state->scale_second[1]};
    MMCL__TRY(mmcl__writer_put(writer, "step", MMCL_I64, 1, &(uint64_t){1}, &step));
    return mmcl__writer_put(writer, "state", MMCL_F64, 1, &(uint64_t){N_STATE}, values);
}

static mmcl_status put_side(mmcl_writer *writer, const mmcl_trainer *trainer, int s)
{
    const mmcl__train_side *side = &trainer->sides[s];
    vector                  vectors[MAX_VECTORS];
    if (mmcl__encoder_is_host(side->encoder))
        return MMCL_OK;
    MMCL__TRY(mmcl__model_put_encoder(writer, prefixes[s], side->encoder));
    size_t n = vectors_of(side, vectors);
    for (size_t i = 0; i < n; i++) {
        const vector_key key = key_of(s, &vectors[i]);
        MMCL__TRY(vectors[i].tensors ? mmcl__model_put_vector(writer, key.text, side->encoder, vectors[i].data)
                                     : mmcl__writer_put(writer, key.text, MMCL_F32, 1, &(uint64_t){vectors[i].size}, vectors[i].data));
    }
    return MMCL_OK;
}

static mmcl_status put(mmcl_writer *writer, const mmcl_trainer *trainer)
{
    const fingerprint print = trainer_print(trainer);
    MMCL__TRY(put_print(writer, &print));
    MMCL__TRY(put_state(writer, &trainer->state));
    MMCL__TRY(put_side(writer, trainer, 0));
    MMCL__TRY(put_side(writer, trainer, 1));
    if (!within_pool(trainer, trainer->state.step))
        return MMCL_OK;
    return mmcl__writer_put(writer, "order", MMCL_U32, 1, &(uint64_t){trainer->cells.pool}, trainer->cells.order);
}

mmcl_status mmcl__trainer_save(const mmcl_trainer *trainer, const mmcl__model_target *target)
{
    mmcl_writer *writer;
    MMCL__TRY(check_finite(trainer));
    MMCL__TRY(mmcl__model_begin(&writer, trainer->context, "checkpoint", target));
    return mmcl__model_end(writer, target, put(writer, trainer));
}

mmcl_status mmcl__trainer_checkpoint(const mmcl_trainer *trainer)
{
    uint64_t every = trainer->options.checkpoint_every;
    if (every == 0 || trainer->state.step % every != 0)
        return MMCL_OK;
    return mmcl__trainer_save(trainer, &(mmcl__model_target){.path = trainer->checkpoint});
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

/* What a file holds, before any of it takes effect. */
typedef struct staged {
    mmcl__train_state state;
    mmcl_encoder     *encoders[2];
    float            *vectors[2][MAX_VECTORS];
    uint32_t         *order;
} staged;

static mmcl_status check_print(mmcl_archive *archive, const mmcl_trainer *trainer)
{
    const fingerprint ours   = trainer_print(trainer);
    fingerprint       theirs = ours;
    int64_t           whole[MAX_TRAITS];
    double            numbers[MAX_TRAITS];
    MMCL__TRY(mmcl__model_take(archive, "options", MMCL_I64, ours.n_traits, whole));
    MMCL__TRY(mmcl__model_take(archive, "numbers", MMCL_F64, ours.n_measures, numbers));
    for (size_t i = 0; i < ours.n_traits; i++)
        theirs.traits[i].whole = whole[i];
    for (size_t i = 0; i < ours.n_measures; i++)
        theirs.measures[i].value = numbers[i];
    return compare(archive, "", &theirs, &ours);
}

static mmcl_status take_state(mmcl_archive *archive, mmcl_contrastive_loss loss, mmcl__train_state *state)
{
    int64_t step;
    double  values[N_STATE];
    MMCL__TRY(mmcl__model_take(archive, "step", MMCL_I64, 1, &step));
    MMCL__TRY(mmcl__model_take(archive, "state", MMCL_F64, N_STATE, values));
    if (step < 0)
        return mmcl__model_damaged(archive, "step", "is negative");
    for (size_t i = STATE_LOG_SCALE; i < N_STATE; i++)
        if (!isfinite(values[i]) || (i >= STATE_SCALE_SECOND && values[i] < 0))
            return mmcl__model_damaged(archive, "state", "has a value out of range");
    if ((values[STATE_BIAS] != 0 || values[STATE_SCALE_FIRST + 1] != 0) && loss != MMCL_LOSS_SIGLIP)
        return mmcl__model_damaged(archive, "state", "has a bias, which its loss has not");
    *state = (mmcl__train_state){.step          = (uint64_t) step,
                                 .loss          = values[STATE_LOSS],
                                 .smooth_loss   = values[STATE_SMOOTH_LOSS],
                                 .gradient_norm = values[STATE_GRADIENT_NORM],
                                 .rate          = values[STATE_RATE],
                                 .log_scale     = values[STATE_LOG_SCALE],
                                 .bias          = values[STATE_BIAS],
                                 .scale_first   = {values[STATE_SCALE_FIRST], values[STATE_SCALE_FIRST + 1]},
                                 .scale_second  = {values[STATE_SCALE_SECOND], values[STATE_SCALE_SECOND + 1]}};
    return MMCL_OK;
}

/* "4-24-24-3" */
static const char *write_widths(const mmcl_encoder *encoder, char *text, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i <= encoder->layers && used < room; i++)
        used += (size_t) snprintf(text + used, room - used, "%s%llu", i > 0 ? "-" : "", (unsigned long long) encoder->widths[i]);
    return text;
}

static mmcl_status check_encoder(const mmcl_archive *archive, const char *whose, const mmcl_encoder *theirs, const mmcl_encoder *ours)
{
    const fingerprint a = encoder_print(theirs), b = encoder_print(ours);
    char              their_widths[160], our_widths[160];
    if (theirs->layers != ours->layers || memcmp(theirs->widths, ours->widths, (ours->layers + 1) * sizeof *ours->widths) != 0)
        return differs(archive, whose, "widths", write_widths(theirs, their_widths, sizeof their_widths),
                       write_widths(ours, our_widths, sizeof our_widths));
    return compare(archive, whose, &a, &b);
}

/* The elements of `key`, of which there have to be `count`. */
static mmcl_status take_all(mmcl_archive *archive, const char *key, mmcl_dtype dtype, size_t count, void *out)
{
    mmcl_array *array;
    MMCL__TRY(mmcl__model_array(&array, archive, key, dtype, 1));
    mmcl_status status = array->layout.info.elements == count ? mmcl__array_read(array, 0, count, out)
                                                              : mmcl__model_damaged(archive, key, "has another size than it should");
    mmcl__array_destroy(array);
    return status;
}

static mmcl_status take_vector(mmcl_archive *archive, const mmcl_encoder *encoder, int s, const vector *v, float *out)
{
    const vector_key key = key_of(s, v);
    if (v->tensors)
        return mmcl__model_take_vector(archive, key.text, encoder, out);
    MMCL__TRY(take_all(archive, key.text, MMCL_F32, v->size, out));
    return mmcl__convert()->finite_f32(v->size, out) ? MMCL_OK : mmcl__model_damaged(archive, key.text, "holds NaN or infinity");
}

static mmcl_status take_side(mmcl_archive *archive, const mmcl_trainer *trainer, int s, staged *out)
{
    const mmcl__train_side *side = &trainer->sides[s];
    vector                  vectors[MAX_VECTORS];
    if (mmcl__encoder_is_host(side->encoder))
        return MMCL_OK;
    MMCL__TRY(mmcl__model_take_encoder(&out->encoders[s], archive, prefixes[s]));
    MMCL__TRY(check_encoder(archive, s == 0 ? "encoder x: " : "encoder t: ", out->encoders[s], side->encoder));
    size_t n = vectors_of(side, vectors);
    for (size_t i = 0; i < n; i++) {
        out->vectors[s][i] = mmcl__calloc(trainer->context, vectors[i].size, sizeof(float)); /* zeros between tensors */
        if (out->vectors[s][i] == NULL)
            return MMCL_E_NOMEM;
        MMCL__TRY(take_vector(archive, side->encoder, s, &vectors[i], out->vectors[s][i]));
    }
    return MMCL_OK;
}

static mmcl_status take_order(mmcl_archive *archive, const mmcl_trainer *trainer, staged *out)
{
    const size_t pool = trainer->cells.pool;
    if (!within_pool(trainer, out->state.step))
        return MMCL_OK;
    if ((out->order = mmcl__alloc(trainer->context, pool, sizeof *out->order)) == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(take_all(archive, "order", MMCL_U32, pool, out->order));
    for (size_t i = 0; i < pool; i++)
        if (out->order[i] >= pool)
            return mmcl__model_damaged(archive, "order", "has a value out of range");
    return MMCL_OK;
}

static mmcl_status take(mmcl_archive *archive, const mmcl_trainer *trainer, staged *out)
{
    MMCL__TRY(check_print(archive, trainer));
    MMCL__TRY(take_state(archive, mmcl__objective_options(trainer->objective)->loss, &out->state));
    MMCL__TRY(take_side(archive, trainer, 0, out));
    MMCL__TRY(take_side(archive, trainer, 1, out));
    return take_order(archive, trainer, out);
}

/* Cannot fail. Views of the parameters stay valid. */
static void adopt(mmcl_trainer *trainer, const staged *in)
{
    mmcl__cells *cells = &trainer->cells;
    trainer->state     = in->state;
    for (int s = 0; s < 2; s++) {
        mmcl_encoder *encoder = trainer->sides[s].encoder;
        vector        vectors[MAX_VECTORS];
        size_t        n = vectors_of(&trainer->sides[s], vectors);
        if (in->encoders[s] != NULL)
            memcpy(encoder->parameters, in->encoders[s]->parameters, encoder->size * sizeof *encoder->parameters);
        for (size_t i = 0; i < n; i++)
            memcpy(vectors[i].data, in->vectors[s][i], vectors[i].size * sizeof *vectors[i].data);
    }
    if (cells->pool == 0)
        return;
    cells->index   = in->state.step / (cells->pool / trainer->options.batch);
    cells->drawn   = false;
    cells->ordered = in->order != NULL;
    if (in->order != NULL)
        memcpy(cells->order, in->order, cells->pool * sizeof *cells->order);
}

static void discard(const mmcl_trainer *trainer, staged *s)
{
    for (int side = 0; side < 2; side++) {
        vector vectors[MAX_VECTORS];
        size_t n = vectors_of(&trainer->sides[side], vectors);
        for (size_t i = 0; i < n; i++)
            mmcl__free(trainer->context, s->vectors[side][i], vectors[i].size, sizeof(float));
        mmcl__encoder_destroy(s->encoders[side]);
    }
    mmcl__free(trainer->context, s->order, trainer->cells.pool, sizeof *s->order);
}

mmcl_status mmcl__trainer_resume(mmcl_trainer *trainer, const char *path, const mmcl_open_options *options)
{
    mmcl_archive *archive;
    staged        file = {0};
    MMCL__TRY(mmcl__model_open(&archive, trainer->context, path, options, "checkpoint"));
    mmcl_status status = take(archive, trainer, &file);
    if (status == MMCL_OK)
        adopt(trainer, &file);
    discard(trainer, &file);
    mmcl__archive_destroy(archive);
    return status;
}
