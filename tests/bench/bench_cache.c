/*
 * The search of a cache head, and the time of one prediction:
 *
 *   bench_cache search [--rows 50000] [--keys 16000] [--classes 1000] [--cols 512] [--betas 200] [--alphas 20] [--threads 2]
 *                      [--dump PREFIX]
 *   bench_cache row    [--keys 1600] [--classes 100] [--cols 512]
 *
 * `search` counts the rows that Tip-Adapter gets right at every beta and alpha, on synthetic features, and prints one JSON line with
 * the seconds and the chosen pair; --dump writes PREFIX_{x,y,keys,text}.npy for peer_cache.py to work on the same rows, and stops.
 * `row` prints the median and the least time of mmcl_classifier_scores for one row, with keys in float32, in bfloat16 and in 8 bits, hot and after
 * the caches of the processor have been filled with other things.
 */
#include "classify/grid.h"

#include <mmcl/mmcl.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    size_t      rows, keys, classes, cols, betas, alphas;
    uint32_t    threads;
    const char *dump;
};

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_word(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Sum of four uniform numbers, of variance 1: near enough to normal. */
static double noise(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double) (next_word(state) >> 11) * 0x1p-53 - 0.5;
    return sum * 1.7320508075688772;
}

static void *take(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (block == NULL) {
        fprintf(stderr, "bench_cache: no memory\n");
        exit(1);
    }
    return block;
}

/*
 * Rows of unit length around a common direction and one a class, the noise so strong that about half of the rows are told apart, as
 * in ImageNet. Class i % classes.
 */
static float *sample(uint64_t *state, const struct settings *settings, const float *centres, size_t rows, double spread, double offset)
{
    const size_t d   = settings->cols;
    float       *out = take(rows * d, sizeof *out);
    for (size_t i = 0; i < rows; i++) {
        double norm = 0;
        for (size_t j = 0; j < d; j++) {
            double value = (double) centres[i % settings->classes * d + j] + spread * noise(state) + (j == 0 ? offset : 0);
            out[i * d + j] = (float) value;
            norm += value * value;
        }
        for (size_t j = 0; j < d; j++)
            out[i * d + j] = (float) ((double) out[i * d + j] / sqrt(norm));
    }
    return out;
}

static void write_npy(const char *prefix, const char *name, const char *type, size_t rows, size_t cols, const void *data, size_t size)
{
    char  path[4096], header[128];
    FILE *file;
    snprintf(path, sizeof path, "%s_%s.npy", prefix, name);
    int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %zu), }", type, rows, cols);
    memset(header + n, ' ', sizeof header - (size_t) n);
    header[117] = '\n';
    file        = fopen(path, "wb");
    if (file == NULL || fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file) != 10 || fwrite(header, 1, 118, file) != 118 ||
        fwrite(data, size, rows * cols, file) != rows * cols || fclose(file) != 0) {
        fprintf(stderr, "bench_cache: %s: cannot write\n", path);
        exit(1);
    }
}

static void check(mmcl_context *context, mmcl_status status)
{
    if (status != MMCL_OK) {
        fprintf(stderr, "bench_cache: %s\n", mmcl_context_message(context));
        exit(1);
    }
}

static double now(void)
{
    return mmcl__seconds();
}

static int run_search(mmcl_context *context, const struct settings *settings)
{
    const size_t d = settings->cols, classes = settings->classes, shots = settings->keys / classes;
    uint64_t     state   = 1;
    float       *centres = take(classes * d, sizeof *centres);
    for (size_t i = 0; i < classes * d; i++)
        centres[i] = (float) noise(&state);
    float   *x = sample(&state, settings, centres, settings->rows, 2.4, 30), *drawn = sample(&state, settings, centres, settings->keys, 2.4, 30);
    float   *words = sample(&state, settings, centres, classes, 2.4, 30), *keys = take(settings->keys * d, sizeof *keys);
    double  *weights = take(classes * d, sizeof *weights);
    int32_t *labels  = take(settings->rows, sizeof *labels);
    size_t  *starts  = take(classes + 1, sizeof *starts);
    for (size_t i = 0; i < settings->rows; i++)
        labels[i] = (int32_t) (i % classes);
    for (size_t k = 0; k <= classes; k++)
        starts[k] = k * shots;
    for (size_t j = 0; j < classes * shots; j++)
        memcpy(keys + j * d, drawn + (j % shots * classes + j / shots) * d, d * sizeof *keys);
    free(drawn);
    for (size_t i = 0; i < classes * d; i++)
        weights[i] = 100 * (double) words[i];
    if (settings->dump != NULL) {
        write_npy(settings->dump, "x", "<f4", settings->rows, d, x, sizeof *x);
        write_npy(settings->dump, "keys", "<f4", classes * shots, d, keys, sizeof *keys);
        write_npy(settings->dump, "text", "<f4", classes, d, words, sizeof *words);
        write_npy(settings->dump, "y", "<i4", settings->rows, 1, labels, sizeof *labels);
        return 0;
    }
    mmcl__grid grid = {.context = context, .rows = settings->rows, .classes = classes, .inputs = d, .x = x, .labels = labels,
                       .weights = weights, .width = d, .keys = classes * shots, .u = x, .u_stride = d, .key = keys, .key_stride = d, .starts = starts};
    mmcl__grid_axis betas = {0.1, (7 - 0.1) / 200, settings->betas}, alphas = {0.1, (3 - 0.1) / 20, settings->alphas};
    uint64_t       *counts = take(settings->betas * settings->alphas, sizeof *counts);
    mmcl_memory_info memory = {.struct_size = sizeof memory};
    double           began  = now();
    check(context, mmcl__grid_counts(&grid, &betas, &alphas, counts));
    double seconds = now() - began;
    size_t best    = mmcl__grid_best(settings->betas * settings->alphas, counts);
    check(context, mmcl_context_memory(context, &memory));
    printf("{\"seconds\": %.2f, \"beta\": %.4f, \"alpha\": %.4f, \"accuracy\": %.5f, \"library_bytes\": %llu, \"first\": %.5f}\n", seconds,
           mmcl__grid_at(&betas, best / settings->alphas), mmcl__grid_at(&alphas, best % settings->alphas),
           (double) counts[best] / (double) settings->rows, (unsigned long long) memory.peak_bytes, (double) counts[0] / (double) settings->rows);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- prediction --- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

/* Median and least seconds of one call; `flush` [bytes] is walked through before each where there is one. */
static void time_row(mmcl_context *context, const mmcl_classifier *head, const float *row, size_t cols, float *scores, char *flush, size_t bytes,
                     double out[2])
{
    enum { TIMES = 2001 };
    static double     seconds[TIMES];
    const mmcl_matrix view  = {.data = row, .rows = 1, .cols = cols};
    size_t            times = flush != NULL ? 101 : TIMES;
    for (size_t i = 0; i < times; i++) {
        for (size_t j = 0; j < bytes && flush != NULL; j += 64)
            flush[j]++;
        double began = now();
        check(context, mmcl_classifier_scores(head, &view, scores, 0));
        seconds[i] = now() - began;
    }
    qsort(seconds, times, sizeof *seconds, ascending);
    out[0] = 1e6 * seconds[times / 2];
    out[1] = 1e6 * seconds[0];
}

static int run_row(mmcl_context *context, const struct settings *settings)
{
    const size_t d = settings->cols, classes = settings->classes, bytes = (size_t) 256 << 20;
    uint64_t     state   = 1;
    float       *centres = take(classes * d, sizeof *centres), *scores = take(classes, sizeof *scores);
    int64_t     *labels  = take(settings->keys, sizeof *labels);
    char        *flush   = take(bytes, 1);
    for (size_t i = 0; i < classes * d; i++)
        centres[i] = (float) noise(&state);
    for (size_t i = 0; i < settings->keys; i++)
        labels[i] = (int64_t) (i % classes);
    float *shots = sample(&state, settings, centres, settings->keys, 2.4, 30), *words = sample(&state, settings, centres, classes, 2.4, 30);
    mmcl_adapt_data data = {.struct_size = sizeof data, .classes = classes,
                            .train = {{.data = shots, .rows = settings->keys, .cols = d}, labels},
                            .text = {{.data = words, .rows = classes, .cols = d}, labels}};
    for (mmcl_key_type type = MMCL_KEYS_F32; type <= MMCL_KEYS_INT8; type++) {
        mmcl_adapt_options options = {.struct_size = sizeof options, .beta = 5.5, .alpha = 1.2, .narrow_keys = type};
        mmcl_classifier   *head    = NULL;
        check(context, mmcl_adapt_fit(&head, context, MMCL_METHOD_TIP, &data, &options, NULL));
        double hot[2], cold[2];
        time_row(context, head, shots, d, scores, NULL, 0, hot);
        time_row(context, head, shots, d, scores, flush, bytes, cold);
        printf("{\"keys\": \"%s\", \"hot_us\": %.1f, \"hot_least_us\": %.1f, \"cold_us\": %.1f, \"cold_least_us\": %.1f}\n",
               (const char *[]){"float32", "bfloat16", "int8"}[type], hot[0], hot[1], cold[0], cold[1]);
        mmcl_classifier_destroy(head);
    }
    return 0;
}

static int parse(struct settings *settings, int argc, char **argv)
{
    const struct {
        const char *name;
        size_t     *value;
    } options[] = {{"--rows", &settings->rows}, {"--keys", &settings->keys}, {"--classes", &settings->classes}, {"--cols", &settings->cols},
                   {"--betas", &settings->betas}, {"--alphas", &settings->alphas}};
    for (int i = 2; i + 1 < argc; i += 2) {
        bool found = false;
        for (size_t j = 0; j < sizeof options / sizeof *options; j++)
            if (strcmp(argv[i], options[j].name) == 0) {
                *options[j].value = strtoull(argv[i + 1], NULL, 10);
                found             = true;
            }
        if (strcmp(argv[i], "--threads") == 0)
            settings->threads = (uint32_t) strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--dump") == 0)
            settings->dump = argv[i + 1];
        else if (!found)
            return 0;
    }
    return argc % 2 == 0;
}

int main(int argc, char **argv)
{
    const bool      row      = argc > 1 && strcmp(argv[1], "row") == 0;
    struct settings settings = {.rows = 50000, .keys = row ? 1600 : 16000, .classes = row ? 100 : 1000, .cols = 512, .betas = 200,
                                .alphas = 20, .threads = row ? 1 : 2};
    if (argc < 2 || (!row && strcmp(argv[1], "search") != 0) || !parse(&settings, argc, argv)) {
        fprintf(stderr, "usage: bench_cache search|row [OPTION VALUE]...\n");
        return 2;
    }
    mmcl_context        *context = NULL;
    mmcl_context_options options = {.struct_size = sizeof options, .threads = settings.threads};
    check(NULL, mmcl_context_create(&context, &options));
    int status = row ? run_row(context, &settings) : run_search(context, &settings);
    mmcl_context_destroy(context);
    return status;
}
