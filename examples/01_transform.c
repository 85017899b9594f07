/* Features in memory: finds the independent components, tells how the solver stopped, and transforms new rows. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4000, COLS = 32, SOURCES = 8 };

static float features[ROWS * COLS], mixing[SOURCES * COLS];

static int check(mmcl_status status, const mmcl_context *context)
{
    if (status == MMCL_OK)
        return 1;
    fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    return 0;
}

/* Prints what the steps of a fitted chain found. Not converging would be a result, not an error. */
static void report(const mmcl_transform *chain)
{
    for (size_t i = 0; i < mmcl_transform_count(chain); i++) {
        mmcl_step_info info = {.struct_size = sizeof info};
        if (mmcl_transform_step_result(chain, i, &info) != MMCL_OK)
            continue;
        printf("step %zu: %llu -> %llu columns, %llu iterations, %s, residual %.1e, %.1f %% of the variance\n", i,
               (unsigned long long) info.inputs, (unsigned long long) info.components, (unsigned long long) info.iterations,
               info.stop == MMCL_STOP_ITERATIONS ? "limit reached" : "converged", info.residual, 100 * info.explained_variance);
    }
}

int main(void)
{
    mmcl_context   *context = NULL;
    mmcl_transform *chain   = NULL;
    sampler         s       = {1};
    float           out[3 * SOURCES];

    sample_matrix(&s, SOURCES * COLS, mixing);
    sample_mixed(&s, mixing, SOURCES, ROWS, COLS, features);
    for (size_t i = 0; i < ROWS * COLS; i++) /* a little noise, as real features have */
        features[i] += (float) (0.01 * sample_laplace(&s));

    mmcl_matrix rows = {.data = features, .rows = ROWS, .cols = COLS};
    int ok = check(mmcl_context_create(&context, NULL), context) &&
             check(mmcl_transform_create_spec(&chain, context, "pca:16+ica:8:fastica:logcosh"), context) &&
             check(mmcl_transform_fit(chain, &rows, 1, NULL), context);
    if (ok) {
        report(chain);
        rows.rows = 3;
        ok        = check(mmcl_transform_apply(chain, &rows, out, 0), context);
    }
    for (size_t i = 0; ok && i < 3; i++)
        printf("row %zu: %6.2f %6.2f %6.2f ...\n", i, (double) out[i * SOURCES], (double) out[i * SOURCES + 1],
               (double) out[i * SOURCES + 2]);
    mmcl_transform_destroy(chain);
    mmcl_context_destroy(context);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
