/* Can components be trusted? How many there are, whether there are axes to find at all, and which of them every start finds. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4000, COLS = 32, SOURCES = 6 };

static float features[ROWS * COLS], mixing[SOURCES * COLS];

static int check(mmcl_status status, const mmcl_context *context)
{
    if (status == MMCL_OK)
        return 1;
    fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    return 0;
}

/* Leading directions that stand out of unrelated columns. */
static int count_components(mmcl_context *context, const mmcl_matrix *rows, uint64_t *components)
{
    mmcl_moments *moments = NULL;
    int           ok      = check(mmcl_moments_create(&moments, context, COLS), context) && check(mmcl_moments_update(moments, rows), context) &&
             check(mmcl_parallel_analysis(moments, NULL, components, NULL, NULL), context);
    mmcl_moments_destroy(moments);
    return ok;
}

int main(void)
{
    mmcl_context       *context   = NULL;
    mmcl_stability     *stability = NULL;
    mmcl_axes_info      axes      = {.struct_size = sizeof axes};
    mmcl_stability_info info      = {.struct_size = sizeof info};
    double              index[COLS];
    uint64_t            components = 0;
    sampler             s = {1};

    sample_matrix(&s, SOURCES * COLS, mixing);
    sample_mixed(&s, mixing, SOURCES, ROWS, COLS, features);
    for (size_t i = 0; i < ROWS * COLS; i++)
        features[i] += (float) (0.1 * sample_laplace(&s));

    const mmcl_matrix rows = {.data = features, .rows = ROWS, .cols = COLS};
    int ok = check(mmcl_context_create(&context, NULL), context) && count_components(context, &rows, &components);
    const mmcl_step_options      ica     = {.struct_size = sizeof ica, .kind = MMCL_STEP_ICA, .components = components, .algorithm = MMCL_ICA_PICARD};
    const mmcl_axes_options      compare = {.struct_size = sizeof compare, .step = &ica};
    const mmcl_stability_options repeat  = {.struct_size = sizeof repeat, .step = &ica, .runs = 10, .bootstrap = 1};
    ok = ok && check(mmcl_axes_test(context, &rows, 1, &compare, &axes), context) &&
         check(mmcl_stability_create(&stability, context, &rows, 1, &repeat), context) &&
         check(mmcl_stability_get_info(stability, &info), context) &&
         check(mmcl_stability_field(stability, MMCL_STABILITY_INDEX, index, COLS, NULL), context);
    if (ok) {
        printf("%llu of %d directions stand out\n", (unsigned long long) components, COLS);
        printf("axes: score %.1f against random rotations on unseen rows; above 4 they are there\n", axes.score);
        printf("%llu of %llu runs converged; stability of the components:", (unsigned long long) info.converged, (unsigned long long) info.runs);
        for (uint64_t c = 0; c < info.components; c++)
            printf(" %.2f", index[c]);
        printf("\n");
        ok = components == SOURCES && axes.score > 4 && index[SOURCES - 1] > 0.8; /* what the sampler put in */
    }
    mmcl_stability_destroy(stability);
    mmcl_context_destroy(context);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
