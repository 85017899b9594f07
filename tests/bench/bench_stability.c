/*
 * How long ICASSO takes, and what its tolerance changes: bench_stability ROWS.npy COMPONENTS RUNS TOLERANCE...
 *
 * runs the stability analysis on two threads once for each tolerance, from the same starts. One JSON line each: seconds, those of the
 * processor, passes, the mean index, components above 0.9, and how the indices, sorted, differ from those of the first tolerance.
 */
#include "must.h"

#include <math.h>
#include <string.h>
#include <time.h>

static void analyse(const mmcl_matrix *rows, size_t components, uint64_t runs, double tolerance, double *index)
{
    const mmcl_step_options      step    = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .components = components,
                                            .algorithm = MMCL_ICA_PICARD, .tolerance = tolerance};
    const mmcl_stability_options options = {.struct_size = sizeof options, .step = &step, .runs = runs};
    mmcl_stability_info          info    = {.struct_size = sizeof info};
    mmcl_stability              *stability;
    clock_t                      began = clock();
    size_t                       above = 0;
    must(mmcl_stability_create(&stability, context, rows, 1, &options));
    double processor = (double) (clock() - began) / CLOCKS_PER_SEC;
    must(mmcl_stability_get_info(stability, &info));
    must(mmcl_stability_field(stability, MMCL_STABILITY_INDEX, index, components, NULL));
    mmcl_stability_destroy(stability);
    for (size_t i = 0; i < components; i++)
        above += index[i] > 0.9;
    printf("{\"tolerance\": %g, \"seconds\": %.2f, \"processor_seconds\": %.2f, \"passes\": %llu, \"converged\": %llu, \"mean_index\": %.5f, "
           "\"above_0.9\": %zu",
           tolerance, info.seconds, processor, (unsigned long long) info.passes, (unsigned long long) info.converged, info.mean_index, above);
}

int main(int argc, char **argv)
{
    const mmcl_context_options two = {.struct_size = sizeof two, .threads = 2};
    mmcl_array                *array;
    mmcl_matrix                rows;
    if (argc < 5 || mmcl_context_create(&context, &two) != MMCL_OK)
        return 2;
    size_t  components = strtoul(argv[2], NULL, 10);
    double *first = malloc(components * sizeof *first), *index = malloc(components * sizeof *index);
    must(mmcl_array_open(&array, context, argv[1], NULL));
    must(mmcl_array_matrix(array, &rows));
    for (int i = 4; i < argc; i++) {
        double most = 0, sum = 0;
        analyse(&rows, components, strtoull(argv[3], NULL, 10), strtod(argv[i], NULL), index);
        if (i == 4)
            memcpy(first, index, components * sizeof *first);
        for (size_t c = 0; c < components; c++) {
            most = fmax(most, fabs(index[c] - first[c]));
            sum += fabs(index[c] - first[c]);
        }
        printf(", \"largest_difference\": %.5f, \"mean_difference\": %.5f}\n", most, sum / (double) components);
        fflush(stdout);
    }
    free(index);
    free(first);
    mmcl_array_destroy(array);
    mmcl_context_destroy(context);
    return 0;
}
