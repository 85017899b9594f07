#include "harness.h"

#include <math.h>
#include <string.h>

/* Everything that a fitted chain can tell, apart from times. */
static mmcl_status note_transform(world *w, const mmcl_transform *transform)
{
    size_t      inputs, outputs;
    mmcl_status status;
    CHECK(CALL(mmcl_transform_is_fitted)(transform) == 1);
    TRY(w, CALL(mmcl_transform_shape)(transform, &inputs, &outputs));
    harness_note(w, &outputs, sizeof outputs);
    for (size_t i = 0; i < CALL(mmcl_transform_count)(transform); i++) {
        mmcl_step_options options = {.struct_size = sizeof options};
        mmcl_step_info    info    = {.struct_size = sizeof info};
        double            values[COLS * COLS];
        TRY(w, CALL(mmcl_transform_get_step)(transform, i, &options));
        TRY(w, CALL(mmcl_transform_step_result)(transform, i, &info));
        info.seconds = 0;
        harness_note(w, &info, sizeof info);
        size_t needed;
        if (options.kind == MMCL_STEP_RELEVANCE) {
            TRY(w, CALL(mmcl_transform_field)(transform, i, MMCL_FIELD_WEIGHTS, values, COLS * COLS, &needed));
            harness_note(w, values, needed * sizeof *values);
        }
        if (options.components == 0)
            continue;
        for (mmcl_step_field field = MMCL_FIELD_MEAN; field <= MMCL_FIELD_SPECTRUM; field++) {
            TRY(w, CALL(mmcl_transform_field)(transform, i, field, values, COLS * COLS, &needed));
            harness_note(w, values, needed * sizeof *values);
        }
    }
end:
    return status;
}

/* Uses of a fitted chain. */
static mmcl_status use(world *w, const mmcl_transform *transform, bool affine)
{
    float       codes[ROWS * COLS], back[ROWS * COLS];
    double      mean[COLS], matrix[COLS * COLS];
    mmcl_matrix rows = fixture_rows(1), read = fixture_read(w, 1), out = {.data = codes, .rows = ROWS};
    size_t      inputs;
    mmcl_status status;
    TRY(w, CALL(mmcl_transform_shape)(transform, &inputs, &out.cols));
    TRY(w, CALL(mmcl_transform_apply)(transform, &rows, codes, 0));
    harness_note(w, codes, ROWS * out.cols * sizeof *codes);
    TRY(w, CALL(mmcl_transform_apply)(transform, &read, codes, 0));
    harness_note(w, codes, ROWS * out.cols * sizeof *codes);
    if (!affine)
        return MMCL_OK;
    TRY(w, CALL(mmcl_transform_inverse)(transform, &out, back, 0));
    harness_note(w, back, sizeof back);
    TRY(w, CALL(mmcl_transform_affine)(transform, mean, matrix));
    harness_note(w, mean, sizeof mean);
    harness_note(w, matrix, out.cols * COLS * sizeof *matrix);
end:
    return status;
}

static mmcl_status fit(world *w, const char *spec)
{
    const mmcl_matrix parts[2]  = {fixture_rows(0), fixture_read(w, 1)};
    mmcl_transform   *transform = NULL;
    uint64_t          bytes     = 0;
    mmcl_status       status;
    MAKE(w, transform, CALL(mmcl_transform_create_spec)(&transform, w->context, spec));
    TRY(w, CALL(mmcl_transform_estimate)(transform, 2 * ROWS, COLS, NULL, &bytes));
    CHECK(bytes > 0);
    TRY(w, CALL(mmcl_transform_fit)(transform, parts, 2, NULL));
    if ((status = note_transform(w, transform)) == MMCL_OK)
        status = use(w, transform, strstr(spec, "normalize") == NULL);
end:
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

/* A chain built by options; with a start and without a row cache. */
static mmcl_status build(world *w, const char *argument)
{
    const mmcl_matrix rows      = fixture_rows(0);
    mmcl_fit_options  options   = {.struct_size = sizeof options, .cache_bytes = 1};
    const double      start[9]  = {1, 0.1, 0, 0.2, 1, 0, 0, 0.3, 1};
    mmcl_step_options step      = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .components = 3, .start = start};
    mmcl_transform   *transform = NULL;
    mmcl_status       status;
    (void) argument;
    MAKE(w, transform, CALL(mmcl_transform_create)(&transform, w->context));
    TRY(w, CALL(mmcl_transform_add)(transform, &step));
    CHECK(CALL(mmcl_transform_count)(transform) == 1 && CALL(mmcl_transform_is_fitted)(transform) == 0);
    TRY(w, CALL(mmcl_transform_get_step)(transform, 0, &step));
    step.contrast = MMCL_CONTRAST_CUBE;
    step.order    = MMCL_ORDER_NEGENTROPY;
    step.sign     = MMCL_SIGN_SKEW;
    TRY(w, CALL(mmcl_transform_set_step)(transform, 0, &step));
    TRY(w, CALL(mmcl_transform_fit)(transform, &rows, 1, &options));
    status = note_transform(w, transform);
end:
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

static mmcl_status fitted(world *w, mmcl_transform **transform, const char *spec)
{
    const mmcl_matrix rows = fixture_rows(0);
    mmcl_status       status;
    MAKE(w, *transform, CALL(mmcl_transform_create_spec)(transform, w->context, spec));
    TRY(w, CALL(mmcl_transform_fit)(*transform, &rows, 1, NULL));
end:
    return status;
}

static mmcl_status join(world *w, const char *spec)
{
    mmcl_transform *first = NULL, *second = NULL, *joined = NULL;
    mmcl_status     status;
    if ((status = fitted(w, &first, "center+pca")) != MMCL_OK || (status = fitted(w, &second, spec)) != MMCL_OK)
        goto end;
    MAKE(w, joined, CALL(mmcl_transform_join)(&joined, w->context, first, second));
    status = use(w, joined, true);
end:
    CALL(mmcl_transform_destroy)(joined);
    CALL(mmcl_transform_destroy)(second);
    CALL(mmcl_transform_destroy)(first);
    return status;
}

static mmcl_status save_load(world *w, const char *spec)
{
    mmcl_transform *transform = NULL, *loaded = NULL;
    mmcl_sink       sink = sink_of(w);
    mmcl_status     status;
    if ((status = fitted(w, &transform, spec)) != MMCL_OK)
        goto end;
    TRY(w, CALL(mmcl_transform_save)(transform, path_of(w, "transform.npz")));
    MAKE(w, loaded, CALL(mmcl_transform_load)(&loaded, w->context, path_of(w, "transform.npz"), NULL));
    if ((status = use(w, loaded, true)) != MMCL_OK)
        goto end;
    CALL(mmcl_transform_destroy)(loaded);
    loaded = NULL;
    TRY(w, (sink = sink_of(w), CALL(mmcl_transform_save_to)(transform, &sink)));
    const mmcl_stream       stream  = stream_of(w);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    MAKE(w, loaded, CALL(mmcl_transform_load)(&loaded, w->context, "stream", &options));
    status = use(w, loaded, true);
end:
    CALL(mmcl_transform_destroy)(loaded);
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

static mmcl_status moments(world *w, const char *spec)
{
    const mmcl_matrix rows = fixture_rows(0), read = fixture_read(w, 1);
    mmcl_moments     *one = NULL, *two = NULL;
    mmcl_transform   *transform = NULL;
    double            mean[COLS], covariance[COLS * COLS];
    uint64_t          count;
    mmcl_status       status;
    MAKE(w, one, CALL(mmcl_moments_create)(&one, w->context, COLS));
    MAKE(w, two, CALL(mmcl_moments_create)(&two, w->context, COLS));
    TRY(w, CALL(mmcl_moments_update)(one, &rows));
    TRY(w, CALL(mmcl_moments_update)(two, &read));
    TRY(w, CALL(mmcl_moments_merge)(one, two));
    TRY(w, CALL(mmcl_moments_get)(one, &count, mean, covariance));
    CHECK(count == 2 * ROWS);
    harness_note(w, mean, sizeof mean);
    harness_note(w, covariance, sizeof covariance);
    MAKE(w, transform, CALL(mmcl_transform_create_spec)(&transform, w->context, spec));
    TRY(w, CALL(mmcl_transform_fit_moments)(transform, one));
    status = note_transform(w, transform);
end:
    CALL(mmcl_transform_destroy)(transform);
    CALL(mmcl_moments_destroy)(two);
    CALL(mmcl_moments_destroy)(one);
    return status;
}

const scenario scenarios_transform[] = {
    {"pca", fit, "pca:3"},
    {"center and normalize", fit, "center+normalize"},
    {"whiten", fit, "whiten:4"},
    {"fastica", fit, "ica:3"},
    {"deflation", fit, "ica:3:deflation:exp"},
    {"picard", fit, "ica:3:picard"},
    {"picard free", fit, "ica:3:picard-free:super"},
    {"chain", fit, "pca:5+ica:3+normalize"},
    {"normalize first", fit, "normalize+pca:4+whiten:2"},
    {"neighbours", fit, "whiten:2+normalize+power+relevance/center+discriminants:2"},
    {"built", build, NULL},
    {"join", join, "whiten:3"},
    {"save and load", save_load, "pca:5+ica:3"},
    {"moments", moments, "center+whiten:3"},
    {0},
};
