/* A few-shot classifier: draws shots, fits a transform and a linear probe, saves the pipeline, loads it and predicts. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLASSES = 5, PER_CLASS = 60, ROWS = CLASSES * PER_CLASS, COLS = 24, SOURCES = 12 };

/* Rows around a centre for each class, row i of class i % CLASSES. */
static void sample_classes(sampler *s, const float *centres, const float *mixing, float *rows, int64_t *labels)
{
    sample_mixed(s, mixing, SOURCES, ROWS, COLS, rows);
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (int64_t) (i % CLASSES);
        for (size_t j = 0; j < COLS; j++)
            rows[i * COLS + j] += 2 * centres[(size_t) labels[i] * COLS + j];
    }
}

static int fail(mmcl_status status, const mmcl_context *context)
{
    fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static float   train[ROWS * COLS], val[ROWS * COLS], test[ROWS * COLS];
    static int64_t train_y[ROWS], val_y[ROWS], test_y[ROWS], answer[ROWS];
    static float   centres[CLASSES * COLS], mixing[SOURCES * COLS];
    const char    *names[CLASSES] = {"ant", "bee", "cat", "dog", "eel"};
    const char    *path           = argc > 1 ? argv[1] : "02_probe_pipeline.npz";
    sampler        s              = {2};

    sample_matrix(&s, CLASSES * COLS, centres);
    sample_matrix(&s, SOURCES * COLS, mixing);
    sample_classes(&s, centres, mixing, train, train_y);
    sample_classes(&s, centres, mixing, val, val_y);
    sample_classes(&s, centres, mixing, test, test_y);

    mmcl_fewshot_data data = {.struct_size = sizeof data,
                              .classes     = CLASSES,
                              .train       = {{.data = train, .rows = ROWS, .cols = COLS}, train_y},
                              .val         = {{.data = val, .rows = ROWS, .cols = COLS}, val_y},
                              .test        = {{.data = test, .rows = ROWS, .cols = COLS}, test_y}};
    mmcl_probe_options options    = {.struct_size = sizeof options, .shots = 8, .seed = 1};
    mmcl_probe_result  result     = {.struct_size = sizeof result};
    mmcl_context      *context    = NULL;
    mmcl_transform    *whiten     = NULL;
    mmcl_classifier   *classifier = NULL;
    mmcl_pipeline     *pipeline   = NULL, *loaded = NULL;
    size_t             right      = 0;
    int                code       = EXIT_SUCCESS;

    mmcl_status status = mmcl_context_create(&context, NULL);
    if (status == MMCL_OK)
        status = mmcl_transform_create_spec(&whiten, context, "whiten:12");
    if (status == MMCL_OK)
        status = mmcl_probe_run(&classifier, context, &data, whiten, &options, &result, NULL);
    if (status == MMCL_OK)
        status = mmcl_pipeline_create(&pipeline, context, whiten, classifier, names);
    if (status == MMCL_OK)
        status = mmcl_pipeline_save(pipeline, path);
    if (status == MMCL_OK)
        status = mmcl_pipeline_load(&loaded, context, path, NULL);
    if (status == MMCL_OK)
        status = mmcl_pipeline_predict(loaded, &data.test.features, answer, NULL);
    if (status != MMCL_OK)
        code = fail(status, context);
    for (size_t i = 0; status == MMCL_OK && i < ROWS; i++)
        right += answer[i] == test_y[i];
    if (status == MMCL_OK) {
        printf("C %g chosen after %llu fits; test accuracy %.3f\n", result.c, (unsigned long long) result.fits, result.test_accuracy);
        printf("the loaded pipeline gets %zu of %d right; row 0 is a %s\n", right, ROWS, mmcl_pipeline_class_name(loaded, (size_t) answer[0]));
    }
    mmcl_pipeline_destroy(loaded);
    mmcl_pipeline_destroy(pipeline);
    mmcl_classifier_destroy(classifier);
    mmcl_transform_destroy(whiten);
    mmcl_context_destroy(context);
    return code;
}
