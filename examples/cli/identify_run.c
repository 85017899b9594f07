/* One run of `mmcl identify`: a model, its encoders, their training in phases, and the judgement on fresh samples. */
#include "identify.h"

#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JUDGED     IDENTIFY_JUDGED
#define STATISTICS 65536 /* rows for whitening and ICA */
#define POINTS     24    /* of the curve */
#define GAP        0.55  /* mean |f_x - f_t| of an output after a fold: near the optimum of L1 at scale 1 */

/* Streams of samples that training never sees: steps from the other end. */
#define JUDGED_STEP     UINT64_MAX
#define STATISTICS_STEP (UINT64_MAX - 1)

typedef struct work {
    cli_session         *session;
    mmcl_context        *judge; /* metrics are wanted while the session's context trains */
    const identify_case *what;
    identify_run        *run;
    mmcl_model          *model;
    mmcl_model_info      info;
    mmcl_encoder        *encoders[2];
    mmcl_objective      *objective;
    float               *seen[2], *latents[2], *privates[2], *codes; /* [JUDGED, ...] */
    uint64_t             start; /* which training this is */
    double               scale; /* of the logits, as the phases leave it */
    uint64_t             done;  /* steps of the phases before */
    uint64_t             every; /* steps from one point of the curve to the next */
} work;

#define CALL(w, call)                                                                                                            \
    do {                                                                                                                         \
        mmcl_status call_status = (call);                                                                                        \
        if (call_status != MMCL_OK)                                                                                              \
            return session_fail((w)->session, call_status, (w)->what->name);                                                     \
    } while (0)

/* ------------------------------------------------------------------------------------------------------- judgement --- */

static size_t width_of(const work *w, int side)
{
    return (size_t) (side == 0 ? w->info.width_x : w->info.width_t);
}
static size_t private_of(const work *w, int side)
{
    return (size_t) (side == 0 ? w->info.private_x : w->info.private_t);
}

static mmcl_status encode(const work *w, const mmcl_encoder *encoder, int side)
{
    const mmcl_matrix rows = {.data = w->seen[side], .rows = JUDGED, .cols = width_of(w, side)};
    return mmcl_encoder_forward(encoder, &rows, w->codes, 0);
}

/* Held out: some of the rows fit, the others judge. Below 0 by chance where nothing can be told; then 0. */
static mmcl_status r2_of(const work *w, const mmcl_matrix *codes, const float *truth, size_t cols, double *out)
{
    const mmcl_matrix         factors = {.data = truth, .rows = JUDGED, .cols = cols};
    const mmcl_metric_options options = {.struct_size = sizeof options, .holdout = IDENTIFY_HOLDOUT, .seed = 1};
    mmcl_metric_result        result  = {.struct_size = sizeof result};
    *out = 0;
    if (cols == 0)
        return MMCL_OK;
    mmcl_status status = mmcl_metric_evaluate(w->judge, MMCL_METRIC_R2, codes, &factors, &options, &result, NULL);
    *out               = fmax(0, result.value);
    return status;
}

/* Details may be NULL. */
static mmcl_status mcc_of(const work *w, const mmcl_matrix *codes, int side, double *out, const mmcl_metric_details *details)
{
    const mmcl_matrix  factors = {.data = w->latents[side], .rows = JUDGED, .cols = (size_t) w->info.latent};
    mmcl_metric_result result  = {.struct_size = sizeof result};
    mmcl_status        status  = mmcl_metric_evaluate(w->judge, MMCL_METRIC_MCC, codes, &factors, NULL, &result, details);
    *out                       = result.value;
    return status;
}

static mmcl_status judge(const work *w, const mmcl_encoder *const encoders[2], identify_scores *out)
{
    const mmcl_matrix codes  = {.data = w->codes, .rows = JUDGED, .cols = (size_t) w->info.latent};
    mmcl_status       status = MMCL_OK;
    for (int side = 0; side < 2 && status == MMCL_OK; side++) {
        status = encode(w, encoders[side], side);
        if (status == MMCL_OK)
            status = r2_of(w, &codes, w->latents[side], (size_t) w->info.latent, &out->r2[side]);
        if (status == MMCL_OK)
            status = r2_of(w, &codes, w->privates[side], private_of(w, side), &out->leakage[side]);
        if (status == MMCL_OK)
            status = mcc_of(w, &codes, side, &out->mcc[side], NULL);
    }
    return status;
}

static void add_point(identify_run *run, identify_point point)
{
    if (run->points == run->room) {
        run->room  = 2 * run->room + 16;
        run->curve = memory_grow(run->curve, run->room, sizeof *run->curve);
    }
    run->curve[run->points++] = point;
}

static int32_t on_evaluate(void *user, const mmcl_train_info *info, const mmcl_encoder *x, const mmcl_encoder *t)
{
    work               *w           = user;
    const mmcl_encoder *encoders[2] = {x, t};
    identify_point      point       = {.step = w->done + info->step, .loss = info->smooth_loss};
    if (judge(w, encoders, &point.scores) != MMCL_OK)
        return 1;
    add_point(w->run, point);
    return 0;
}

/* |correlation| of the representations of x with z_x; `sorted`: representation i is the one that goes with latent i. */
static int correlate(const work *w, bool sorted, double *out)
{
    size_t                    d       = (size_t) w->info.latent;
    double                   *raw     = memory_array(d * d, sizeof *raw), mcc;
    uint64_t                 *order   = memory_array(d, sizeof *order);
    const mmcl_matrix         codes   = {.data = w->codes, .rows = JUDGED, .cols = d};
    const mmcl_metric_details details = {.struct_size = sizeof details, .matrix = raw, .assignment = order};
    mmcl_status               status  = encode(w, w->encoders[0], 0);
    if (status == MMCL_OK)
        status = mcc_of(w, &codes, 0, &mcc, &details);
    for (size_t i = 0; i < d * d && status == MMCL_OK; i++)
        out[i] = fabs(raw[(sorted ? order[i / d] : i / d) * d + i % d]);
    free(order);
    free(raw);
    return status == MMCL_OK ? EXIT_OK : session_fail_status(w->session, status, w->what->name);
}

/* -------------------------------------------------------------------------------------------------------- building --- */

static int sample(work *w, uint64_t step, size_t rows, float *x, float *t, bool judged)
{
    const mmcl_samples out = {.struct_size = sizeof out,
                              .rows        = rows,
                              .x           = x,
                              .t           = t,
                              .z_x         = judged ? w->latents[0] : NULL,
                              .z_t         = judged ? w->latents[1] : NULL,
                              .m_x         = judged ? w->privates[0] : NULL,
                              .m_t         = judged ? w->privates[1] : NULL};
    mmcl_status        status = mmcl_model_sample(w->model, w->run->seed, step, &out);
    return status == MMCL_OK ? EXIT_OK : session_fail_status(w->session, status, w->what->name);
}

static int make_model(work *w)
{
    mmcl_model_options options = w->what->model;
    options.struct_size        = sizeof options;
    options.mixing_seed_x = options.mixing_seed_t = w->run->seed;
    terminal_stage("%s, seed %llu: mixings", w->what->name, (unsigned long long) w->run->seed);
    CALL(w, mmcl_model_create(&w->model, w->session->context, &options));
    w->info = (mmcl_model_info){.struct_size = sizeof w->info};
    CALL(w, mmcl_model_get_info(w->model, &w->info));
    w->run->condition[0] = w->info.condition_x;
    w->run->condition[1] = w->info.condition_t;
    for (int side = 0; side < 2; side++) {
        w->seen[side]     = memory_array(JUDGED * width_of(w, side), sizeof(float));
        w->latents[side]  = memory_array(JUDGED * w->info.latent, sizeof(float));
        w->privates[side] = memory_array(JUDGED * private_of(w, side) + 1, sizeof(float));
    }
    w->codes = memory_array(JUDGED * w->info.latent, sizeof(float));
    return sample(w, JUDGED_STEP, JUDGED, w->seen[0], w->seen[1], true);
}

/* A fixed map before the first layer whitens the observations. */
static int whiten(work *w, int side, const float *rows)
{
    size_t            n        = width_of(w, side);
    const mmcl_matrix matrix   = {.data = rows, .rows = STATISTICS, .cols = n};
    mmcl_transform   *transform = NULL;
    double           *mean = memory_array(n, sizeof *mean), *map = memory_array(n * n, sizeof *map);
    mmcl_status       status = mmcl_transform_create_spec(&transform, w->session->context, "whiten");
    if (status == MMCL_OK)
        status = mmcl_transform_fit(transform, &matrix, 1, NULL);
    if (status == MMCL_OK)
        status = mmcl_transform_affine(transform, mean, map);
    if (status == MMCL_OK)
        status = mmcl_encoder_set_input(w->encoders[side], mean, map);
    mmcl_transform_destroy(transform);
    free(map);
    free(mean);
    return status == MMCL_OK ? EXIT_OK : session_fail(w->session, status, w->what->name);
}

static int make_encoders(work *w)
{
    const recipe *r = &w->what->recipe;
    float        *rows[2] = {memory_array(STATISTICS * width_of(w, 0), sizeof(float)), memory_array(STATISTICS * width_of(w, 1), sizeof(float))};
    int           code = sample(w, STATISTICS_STEP, STATISTICS, rows[0], rows[1], false);
    for (int side = 0; side < 2 && code == EXIT_OK; side++) {
        const mmcl_encoder_options options = {.struct_size  = sizeof options,
                                              .hidden       = w->what->widths,
                                              .hidden_count = w->what->width_count,
                                              .inputs       = width_of(w, side),
                                              .outputs      = w->info.latent,
                                              .seed         = 2 * w->run->seed + (uint64_t) side + 1000 * w->start,
                                              .slope        = w->what->model.slope != 0 ? w->what->model.slope : 0.2,
                                              .geometry     = r->geometry,
                                              .input_map    = 1};
        mmcl_status status = mmcl_encoder_create(&w->encoders[side], w->session->context, &options);
        code = status == MMCL_OK ? whiten(w, side, rows[side]) : session_fail(w->session, status, w->what->name);
    }
    free(rows[1]);
    free(rows[0]);
    return code;
}

/* -------------------------------------------------------------------------------------------------------- training --- */

/* B = unmixing of f_x, its rows scaled so that paired outputs lie GAP apart on average. Both encoders get the same map. */
static int fold_map(work *w, const float *const codes[2], double *mean, double *map)
{
    size_t            d = (size_t) w->info.latent;
    const mmcl_matrix matrix    = {.data = codes[0], .rows = STATISTICS, .cols = d};
    mmcl_transform   *transform = NULL;
    mmcl_status       status    = mmcl_transform_create_spec(&transform, w->session->context, "ica:fastica:cube");
    if (status == MMCL_OK)
        status = mmcl_transform_fit(transform, &matrix, 1, NULL);
    if (status == MMCL_OK)
        status = mmcl_transform_affine(transform, mean, map);
    mmcl_transform_destroy(transform);
    if (status != MMCL_OK)
        return session_fail(w->session, status, w->what->name);
    for (size_t i = 0; i < d; i++) {
        double gap = 0;
        for (size_t row = 0; row < STATISTICS; row++) {
            double difference = 0;
            for (size_t j = 0; j < d; j++)
                difference += map[i * d + j] * ((double) codes[0][row * d + j] - (double) codes[1][row * d + j]);
            gap += fabs(difference) / STATISTICS;
        }
        for (size_t j = 0; j < d; j++)
            map[i * d + j] *= gap > 0 ? GAP / gap : 1;
    }
    return EXIT_OK;
}

static int fold(work *w)
{
    size_t      d = (size_t) w->info.latent;
    float      *rows[2], *codes[2];
    double     *mean = memory_array(d, sizeof *mean), *map = memory_array(d * d, sizeof *map);
    mmcl_status status = MMCL_OK;
    for (int side = 0; side < 2; side++) {
        rows[side]  = memory_array(STATISTICS * width_of(w, side), sizeof(float));
        codes[side] = memory_array(STATISTICS * d, sizeof(float));
    }
    int code = sample(w, STATISTICS_STEP, STATISTICS, rows[0], rows[1], false);
    for (int side = 0; side < 2 && code == EXIT_OK && status == MMCL_OK; side++) {
        const mmcl_matrix matrix = {.data = rows[side], .rows = STATISTICS, .cols = width_of(w, side)};
        status                   = mmcl_encoder_forward(w->encoders[side], &matrix, codes[side], 0);
    }
    if (code == EXIT_OK && status != MMCL_OK)
        code = session_fail_status(w->session, status, w->what->name);
    if (code == EXIT_OK)
        code = fold_map(w, (const float *const *) codes, mean, map);
    for (int side = 0; side < 2 && code == EXIT_OK; side++)
        if ((status = mmcl_encoder_compose(w->encoders[side], mean, map)) != MMCL_OK)
            code = session_fail(w->session, status, w->what->name);
    for (int side = 0; side < 2; side++) {
        free(rows[side]);
        free(codes[side]);
    }
    free(map);
    free(mean);
    return code;
}

static int run_phase(work *w, const recipe_phase *phase, size_t index)
{
    const recipe     *r      = &w->what->recipe;
    const mmcl_source source = {.struct_size = sizeof source, .model = w->model};
    bool              hard   = phase->cell > 0 && r->batch % phase->cell == 0;
    const mmcl_trainer_options options = {.struct_size    = sizeof options,
                                          .evaluate       = on_evaluate,
                                          .evaluate_user  = w,
                                          .batch          = r->batch,
                                          .cell           = hard ? phase->cell : 0,
                                          .pool           = hard && phase->pool % r->batch == 0 ? phase->pool : 0,
                                          .seed           = w->run->seed + (16 * w->start + index) * 1000003, /* none repeats another's batches */
                                          .steps          = phase->steps,
                                          .warmup         = r->warmup < phase->steps / 4 ? r->warmup : phase->steps / 4,
                                          .evaluate_every = w->every,
                                          .rate           = phase->rate,
                                          .floor          = phase->end / phase->rate,
                                          .scale          = w->scale,
                                          .learn_scale    = r->learn_scale,
                                          .damping        = 0.01,
                                          .trust          = 0.01, /* where the loss is almost 0, rare pairs make long steps */
                                          .optimizer      = MMCL_OPTIMIZER_KFAC};
    mmcl_trainer   *trainer;
    mmcl_train_info info = {.struct_size = sizeof info};
    CALL(w, mmcl_trainer_create(&trainer, w->session->context, w->encoders[0], w->encoders[1], w->objective, &source, &options));
    terminal_stage("%s, seed %llu, start %llu, phase %zu", w->what->name, (unsigned long long) w->run->seed, (unsigned long long) w->start + 1,
                   index + 1);
    mmcl_status status = mmcl_trainer_run(trainer, phase->steps, &info);
    mmcl_trainer_destroy(trainer);
    CALL(w, status);
    w->scale           = info.scale;
    w->run->final_loss = info.smooth_loss;
    w->done += phase->steps;
    return EXIT_OK;
}

/* Of the fresh pairs, each among all the others: what one start is better at than another shows among many negatives. */
static int fresh_loss(work *w, double *out)
{
    size_t                       d       = (size_t) w->info.latent;
    const mmcl_objective_options options = {.struct_size = sizeof options, .similarity = w->what->recipe.similarity, .rows = JUDGED, .cols = d};
    float                       *codes   = memory_array(2 * JUDGED * d, sizeof *codes);
    const mmcl_matrix            sides[] = {{.data = codes, .rows = JUDGED, .cols = d}, {.data = codes + JUDGED * d, .rows = JUDGED, .cols = d}};
    const mmcl_objective_input   input   = {.struct_size = sizeof input, .x = &sides[0], .t = &sides[1], .scale = w->scale};
    mmcl_objective_info          info    = {.struct_size = sizeof info};
    mmcl_objective              *many    = NULL;
    mmcl_status                  status  = mmcl_objective_create(&many, w->session->context, &options);
    for (int side = 0; side < 2 && status == MMCL_OK; side++) {
        status = encode(w, w->encoders[side], side);
        memcpy(codes + (size_t) side * JUDGED * d, w->codes, JUDGED * d * sizeof *codes);
    }
    if (status == MMCL_OK)
        status = mmcl_objective_evaluate(many, &input, NULL, &info);
    mmcl_objective_destroy(many);
    free(codes);
    *out = info.loss;
    return status == MMCL_OK ? EXIT_OK : session_fail(w->session, status, w->what->name);
}

static int run_start(work *w)
{
    const recipe *r = &w->what->recipe;
    w->done  = 0;
    w->scale = r->scale;
    TRY(make_encoders(w));
    if (w->start == 0)
        TRY(correlate(w, false, w->run->before));
    for (size_t i = 0; i < RECIPE_PHASES; i++)
        if (r->phases[i].steps > 0)
            TRY(run_phase(w, &r->phases[i], i));
    return fresh_loss(w, &w->run->start_losses[w->start]);
}

/* What a start leaves behind. */
typedef struct outcome {
    mmcl_encoder   *encoders[2];
    identify_point *curve;
    size_t          points, room;
    double          final_loss;
} outcome;

/* Moves what the present start has made into `kept`, and what was there into the present start. */
static void exchange(work *w, outcome *kept)
{
    outcome present = {.encoders = {w->encoders[0], w->encoders[1]}, .curve = w->run->curve, .points = w->run->points, .room = w->run->room,
                       .final_loss = w->run->final_loss};
    w->encoders[0]     = kept->encoders[0];
    w->encoders[1]     = kept->encoders[1];
    w->run->curve      = kept->curve;
    w->run->points     = kept->points;
    w->run->room       = kept->room;
    w->run->final_loss = kept->final_loss;
    *kept              = present;
}

static void forget_encoders(mmcl_encoder *encoders[2])
{
    for (int side = 0; side < 2; side++) {
        mmcl_encoder_destroy(encoders[side]);
        encoders[side] = NULL;
    }
}

/* The best of the starts ends as the present one. */
static int run_starts(work *w)
{
    outcome best = {0};
    int     code = EXIT_OK;
    for (w->start = 0; w->start < w->what->recipe.starts && code == EXIT_OK; w->start++) {
        w->run->points = 0;
        code = run_start(w);
        if (code == EXIT_OK && (best.encoders[0] == NULL || w->run->start_losses[w->start] < w->run->start_losses[w->run->chosen])) {
            w->run->chosen = w->start;
            exchange(w, &best);
        }
        if (code == EXIT_OK)
            forget_encoders(w->encoders);
    }
    w->run->starts = w->start;
    if (code == EXIT_OK)
        exchange(w, &best);
    forget_encoders(best.encoders);
    free(best.curve);
    return code;
}

/* The judged pairs, all that is known of them, and what the encoders make of them. */
static int write_pairs(work *w)
{
    static const char *const names[][2] = {{"x", "t"}, {"z_x", "z_t"}, {"m_x", "m_t"}, {"f_x", "f_t"}};
    mmcl_writer             *writer     = NULL;
    mmcl_status              status     = mmcl_writer_create(&writer, w->session->context, w->what->out);
    for (int side = 0; side < 2; side++) {
        float *const arrays[] = {w->seen[side], w->latents[side], w->privates[side], w->codes};
        const size_t cols[]   = {width_of(w, side), (size_t) w->info.latent, private_of(w, side), (size_t) w->info.latent};
        if (status == MMCL_OK)
            status = encode(w, w->encoders[side], side);
        for (size_t i = 0; i < 4 && status == MMCL_OK; i++) {
            const mmcl_matrix rows = {.data = arrays[i], .rows = JUDGED, .cols = cols[i]};
            if (cols[i] > 0)
                status = mmcl_writer_add(writer, names[i][side], &rows, MMCL_F32);
        }
    }
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    mmcl_writer_destroy(writer);
    return status == MMCL_OK ? EXIT_OK : session_fail(w->session, status, w->what->out);
}

static int train(work *w)
{
    size_t d        = (size_t) w->info.latent;
    w->run->steps   = recipe_steps(&w->what->recipe);
    w->every        = w->run->steps / POINTS > 0 ? w->run->steps / POINTS : 1;
    w->run->before  = memory_array(d * d, sizeof(double));
    w->run->after   = memory_array(d * d, sizeof(double));
    const mmcl_objective_options options = {.struct_size = sizeof options, .similarity = w->what->recipe.similarity, .rows = w->what->recipe.batch,
                                            .cols = d};
    CALL(w, mmcl_objective_create(&w->objective, w->session->context, &options));
    TRY(run_starts(w));
    if (w->what->recipe.fold)
        TRY(fold(w));
    const mmcl_encoder *encoders[2] = {w->encoders[0], w->encoders[1]};
    mmcl_status         status      = judge(w, encoders, &w->run->scores);
    add_point(w->run, (identify_point){.step = w->run->steps, .loss = w->run->final_loss, .scores = w->run->scores}); /* after the fold */
    if (status != MMCL_OK)
        return session_fail_status(w->session, status, w->what->name);
    TRY(correlate(w, true, w->run->after));
    return w->what->out != NULL && w->run->seed == w->session->common->seed ? write_pairs(w) : EXIT_OK;
}

int identify_train(cli_session *session, const identify_case *what, uint64_t seed, identify_run *out)
{
    work   w     = {.session = session, .what = what, .run = out};
    double began = session_seconds();
    *out         = (identify_run){.seed = seed};
    mmcl_status status = mmcl_context_create(&w.judge, NULL);
    int         code   = status == MMCL_OK ? make_model(&w) : session_fail_status(session, status, what->name);
    if (code == EXIT_OK)
        code = train(&w);
    out->seconds = session_seconds() - began;
    for (int side = 0; side < 2; side++) {
        mmcl_encoder_destroy(w.encoders[side]);
        free(w.seen[side]);
        free(w.latents[side]);
        free(w.privates[side]);
    }
    free(w.codes);
    mmcl_objective_destroy(w.objective);
    mmcl_model_destroy(w.model);
    mmcl_context_destroy(w.judge);
    return code;
}

void identify_run_free(identify_run *run)
{
    free(run->curve);
    free(run->before);
    free(run->after);
    *run = (identify_run){0};
}
