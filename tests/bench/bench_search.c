/*
 * The search for C on synthetic few-shot data of ImageNet's size:
 *
 *   bench_search [--rows 16000] [--cols 300] [--classes 1000] [--threads 2] [--tolerance T] [--json FILE] [--dump PREFIX]
 *                [--load PREFIX]
 *
 * prints one JSON line: seconds, passes over the rows and each fit's objective. --dump writes PREFIX_{x,y,val_x,val_y}.npy, for
 * peer_search.py to work on the same rows, and stops; --load reads such files instead of making rows.
 */
#include <mmcl/mmcl.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VAL_SHOTS 4
#define MAX_FITS 64

struct settings {
    size_t      rows, cols, classes;
    uint32_t    threads;
    double      tolerance;
    const char *json, *dump, *load;
};

struct data {
    float   *x, *val_x;
    int64_t *y, *val_y;
    size_t   val_rows;
};

/* ------------------------------------------------------------------------------------------------------- generator --- */

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_word(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state)
{
    return ((double) (next_word(state) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(uniform(state)));
    return radius * cos(6.283185307179586 * uniform(state));
}

/*
 * Class centres and noise share a decaying spectrum; rows have a common offset and unit norm, as CLIP's do. The noise is so strong
 * that a good probe gets about half of the validation rows right.
 */
static void sample(uint64_t *state, const struct settings *settings, const float *centres, size_t rows, float *x, int64_t *y)
{
    size_t d = settings->cols;
    for (size_t i = 0; i < rows; i++) {
        double norm = 0;
        y[i]        = (int64_t) (i % settings->classes);
        for (size_t j = 0; j < d; j++) {
            double scale = 1 / sqrt(1 + 10 * (double) j / (double) d);
            double value = (double) centres[(size_t) y[i] * d + j] + 3.6 * scale * normal(state) + (j == 0 ? 20 : 0);
            x[i * d + j] = (float) value;
            norm += value * value;
        }
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = (float) ((double) x[i * d + j] / sqrt(norm));
    }
}

static void generate(const struct settings *settings, struct data *data)
{
    size_t   d = settings->cols, val_rows = VAL_SHOTS * settings->classes;
    uint64_t state   = 1;
    float   *centres = malloc(settings->classes * d * sizeof *centres);
    data->val_rows   = val_rows;
    data->x          = malloc(settings->rows * d * sizeof *data->x);
    data->y          = malloc(settings->rows * sizeof *data->y);
    data->val_x      = malloc(val_rows * d * sizeof *data->val_x);
    data->val_y      = malloc(val_rows * sizeof *data->val_y);
    if (centres == NULL || data->x == NULL || data->y == NULL || data->val_x == NULL || data->val_y == NULL)
        exit(1);
    for (size_t i = 0; i < settings->classes * d; i++)
        centres[i] = (float) (normal(&state) / sqrt(1 + 10 * (double) (i % d) / (double) d));
    sample(&state, settings, centres, settings->rows, data->x, data->y);
    sample(&state, settings, centres, val_rows, data->val_x, data->val_y);
    free(centres);
}

/* A .npy file of version 1.0, as numpy documents it. */
static void dump(const char *prefix, const char *name, const char *type, size_t size, const void *values, size_t rows, size_t cols)
{
    char path[4096], header[118], shape[64];
    snprintf(path, sizeof path, "%s_%s.npy", prefix, name);
    snprintf(shape, sizeof shape, cols > 0 ? "(%zu, %zu)" : "(%zu,)", rows, cols);
    int length = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
    memset(header + length, ' ', sizeof header - (size_t) length);
    header[sizeof header - 1] = '\n';
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file) != 10 || fwrite(header, 1, sizeof header, file) != sizeof header ||
        fwrite(values, size, rows * (cols > 0 ? cols : 1), file) != rows * (cols > 0 ? cols : 1) || fclose(file) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
}

/* The whole of PREFIX_NAME.npy, as float32 rows or as labels. */
static void *load(mmcl_context *context, const char *prefix, const char *name, bool labels, size_t *rows, size_t *cols)
{
    char        path[4096];
    mmcl_array *array  = NULL;
    mmcl_matrix matrix = {.rows = 0};
    snprintf(path, sizeof path, "%s_%s.npy", prefix, name);
    mmcl_array_info info   = {.struct_size = sizeof info};
    mmcl_status     status = mmcl_array_open(&array, context, path, NULL);
    if (status == MMCL_OK)
        status = mmcl_array_get_info(array, &info);
    if (status == MMCL_OK && !labels)
        status = mmcl_array_matrix(array, &matrix);
    *rows     = labels ? (size_t) info.shape[0] : matrix.rows;
    *cols     = labels ? 1 : matrix.cols;
    void *out = malloc(*rows * *cols * (labels ? sizeof(int64_t) : sizeof(float)) + 1);
    if (status == MMCL_OK && labels && out != NULL)
        status = mmcl_array_labels(array, out, *rows);
    if (status != MMCL_OK || out == NULL || (!labels && (matrix.dtype != MMCL_F32 || matrix.data == NULL))) {
        fprintf(stderr, "cannot load %s: %s\n", path, mmcl_context_message(context));
        exit(1);
    }
    if (!labels)
        memcpy(out, matrix.data, *rows * *cols * sizeof(float));
    mmcl_array_destroy(array);
    return out;
}

static void load_all(struct settings *settings, struct data *data)
{
    mmcl_context *context;
    size_t        rows, cols;
    if (mmcl_context_create(&context, NULL) != MMCL_OK)
        exit(1);
    data->x           = load(context, settings->load, "x", false, &settings->rows, &settings->cols);
    data->y           = load(context, settings->load, "y", true, &rows, &cols);
    data->val_x       = load(context, settings->load, "val_x", false, &data->val_rows, &cols);
    data->val_y       = load(context, settings->load, "val_y", true, &rows, &cols);
    settings->classes = 0;
    for (size_t i = 0; i < settings->rows; i++)
        settings->classes = (size_t) data->y[i] >= settings->classes ? (size_t) data->y[i] + 1 : settings->classes;
    mmcl_context_destroy(context);
}

/* ------------------------------------------------------------------------------------------------------------ runs --- */

struct fits {
    mmcl_logreg_info info[MAX_FITS];
    double           accuracy[MAX_FITS];
    size_t           count;
};

static void remember(void *user, const mmcl_logreg_info *info, const mmcl_classifier *classifier, double accuracy)
{
    struct fits *fits = user;
    (void) classifier;
    if (fits->count == MAX_FITS)
        return;
    fits->info[fits->count]       = *info;
    fits->accuracy[fits->count++] = accuracy;
}

static void print(FILE *out, const struct settings *settings, const mmcl_search_info *info, const struct fits *fits)
{
    fprintf(out, "{\"rows\": %zu, \"cols\": %zu, \"classes\": %zu, \"threads\": %u, \"seconds\": %.3f, \"passes\": %llu, \"C\": %.17g, ",
            settings->rows, settings->cols, settings->classes, settings->threads, info->seconds, (unsigned long long) info->passes,
            info->c);
    fprintf(out, "\"val_accuracy\": %.6f, \"fits\": [", info->val_accuracy);
    for (size_t i = 0; i < fits->count; i++) {
        const mmcl_logreg_info *fit = &fits->info[i];
        fprintf(out, "%s{\"C\": %.17g, \"objective\": %.17g, \"gap\": %.3g, \"passes\": %llu, \"seconds\": %.3f, \"val_accuracy\": %.6f}",
                i > 0 ? ", " : "", fit->c, fit->objective, fit->gap, (unsigned long long) fit->passes, fit->seconds,
                fits->accuracy[i]);
    }
    fprintf(out, "]}\n");
}

static int run(const struct settings *settings, const struct data *data)
{
    mmcl_context        *context;
    mmcl_classifier     *classifier = NULL;
    struct fits          fits       = {.count = 0};
    mmcl_context_options host       = {.struct_size = sizeof host, .threads = settings->threads};
    mmcl_search_options  options    = {
            .struct_size = sizeof options, .tolerance = settings->tolerance, .fitted = remember, .fitted_user = &fits};
    mmcl_search_info info  = {.struct_size = sizeof info};
    mmcl_labelled    train = {.features = {.data = data->x, .rows = settings->rows, .cols = settings->cols}, .labels = data->y};
    mmcl_labelled    val   = {.features = {.data = data->val_x, .rows = data->val_rows, .cols = settings->cols},
                              .labels   = data->val_y};
    if (mmcl_context_create(&context, &host) != MMCL_OK)
        return 1;
    mmcl_status status = mmcl_logreg_search(&classifier, context, &train, &val, settings->classes, &options, &info);
    if (status != MMCL_OK)
        fprintf(stderr, "%s\n", mmcl_context_message(context));
    else
        print(stdout, settings, &info, &fits);
    FILE *json = status == MMCL_OK && settings->json != NULL ? fopen(settings->json, "w") : NULL;
    if (json != NULL) {
        print(json, settings, &info, &fits);
        fclose(json);
    }
    mmcl_classifier_destroy(classifier);
    mmcl_context_destroy(context);
    return status != MMCL_OK || (settings->json != NULL && json == NULL);
}

static bool parse(int argc, char **argv, struct settings *settings)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL)
            return false;
        else if (strcmp(name, "--rows") == 0)
            settings->rows = strtoul(value, NULL, 10);
        else if (strcmp(name, "--cols") == 0)
            settings->cols = strtoul(value, NULL, 10);
        else if (strcmp(name, "--classes") == 0)
            settings->classes = strtoul(value, NULL, 10);
        else if (strcmp(name, "--threads") == 0)
            settings->threads = (uint32_t) strtoul(value, NULL, 10);
        else if (strcmp(name, "--tolerance") == 0)
            settings->tolerance = strtod(value, NULL);
        else if (strcmp(name, "--json") == 0)
            settings->json = value;
        else if (strcmp(name, "--dump") == 0)
            settings->dump = value;
        else if (strcmp(name, "--load") == 0)
            settings->load = value;
        else
            return false;
    }
    return settings->classes >= 2 && settings->rows >= settings->classes && settings->cols > 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {.rows = 16000, .cols = 300, .classes = 1000, .threads = 2};
    struct data     data;
    if (!parse(argc, argv, &settings)) {
        fprintf(stderr, "usage: bench_search [--rows N] [--cols N] [--classes N] [--threads N] [--tolerance T] [--json FILE] "
                        "[--dump PREFIX] [--load PREFIX]\n");
        return 2;
    }
    if (settings.load != NULL)
        load_all(&settings, &data);
    else
        generate(&settings, &data);
    int status = 0;
    if (settings.dump != NULL) {
        size_t val_rows = VAL_SHOTS * settings.classes;
        dump(settings.dump, "x", "<f4", sizeof *data.x, data.x, settings.rows, settings.cols);
        dump(settings.dump, "y", "<i8", sizeof *data.y, data.y, settings.rows, 0);
        dump(settings.dump, "val_x", "<f4", sizeof *data.val_x, data.val_x, val_rows, settings.cols);
        dump(settings.dump, "val_y", "<i8", sizeof *data.val_y, data.val_y, val_rows, 0);
    } else
        status = run(&settings, &data);
    free(data.x);
    free(data.y);
    free(data.val_x);
    free(data.val_y);
    return status;
}
