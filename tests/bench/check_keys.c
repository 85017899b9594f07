/*
 * What keys of fewer bits change: check_keys DATA.npz...
 *
 * Fits tip (alpha 1.2, beta 5.5) on the arrays shot16_x and shot16_y, without text and, where text_x is there, with it, and prints one JSON line for
 * each and each type of keys: by how much the scores of the rows test_x differ from those with float32 keys, how many predictions do, and how
 * many of those rows the heads get right.
 */
#include "must.h"

#include <math.h>

static void *take(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (block == NULL)
        exit(2);
    return block;
}

static mmcl_matrix rows_of(mmcl_archive *archive, const char *key)
{
    mmcl_array *array;
    mmcl_matrix rows;
    must(mmcl_archive_array(&array, archive, key)); /* open until the end */
    must(mmcl_array_matrix(array, &rows));
    return rows;
}

static mmcl_labelled labelled(mmcl_archive *archive, const char *x, const char *y)
{
    const mmcl_matrix rows   = rows_of(archive, x);
    int64_t          *labels = take(rows.rows, sizeof *labels);
    mmcl_array       *array;
    must(mmcl_archive_array(&array, archive, y));
    must(mmcl_array_labels(array, labels, rows.rows));
    mmcl_array_destroy(array);
    return (mmcl_labelled){rows, labels};
}

static size_t first_best(const float *scores, size_t classes)
{
    size_t best = 0;
    for (size_t k = 1; k < classes; k++)
        best = scores[k] > scores[best] ? k : best;
    return best;
}

static void compare(const char *name, mmcl_key_type type, const mmcl_adapt_data *data, const mmcl_labelled *test, const float *wide, const float *scores)
{
    const size_t n = test->features.rows, classes = data->classes;
    size_t       differ = 0, right[2] = {0, 0};
    double       most = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t was = first_best(wide + i * classes, classes), is = first_best(scores + i * classes, classes);
        differ += is != was;
        right[0] += (int64_t) was == test->labels[i];
        right[1] += (int64_t) is == test->labels[i];
        for (size_t k = 0; k < classes; k++) {
            double change = fabs((double) scores[i * classes + k] - (double) wide[i * classes + k]);
            most          = fmax(most, change);
            squares += change * change;
        }
    }
    printf("{\"data\": \"%s\", \"text\": %s, \"keys\": \"%s\", \"count\": %zu, \"largest_difference\": %.2e, \"rms_difference\": %.2e, \"rows\": %zu, "
           "\"predictions_differ\": %zu, \"right_float32\": %zu, \"right\": %zu}\n",
           name, data->text.features.rows > 0 ? "true" : "false", type == MMCL_KEYS_BF16 ? "bfloat16" : "int8", data->train.features.rows, most,
           sqrt(squares / (double) (n * classes)), n, differ, right[0], right[1]);
}

static void check(const char *name, mmcl_adapt_data *data, const mmcl_labelled *test)
{
    const size_t count = test->features.rows * data->classes;
    float       *scores[] = {take(count, sizeof(float)), take(count, sizeof(float))};
    for (mmcl_key_type type = MMCL_KEYS_F32; type <= MMCL_KEYS_INT8; type++) {
        const mmcl_adapt_options options = {.struct_size = sizeof options, .alpha = 1.2, .beta = 5.5, .narrow_keys = type};
        mmcl_classifier         *head    = NULL;
        must(mmcl_adapt_fit(&head, context, MMCL_METHOD_TIP, data, &options, NULL));
        must(mmcl_classifier_scores(head, &test->features, scores[type != MMCL_KEYS_F32], 0));
        if (type != MMCL_KEYS_F32)
            compare(name, type, data, test, scores[0], scores[1]);
        mmcl_classifier_destroy(head);
    }
    free(scores[0]), free(scores[1]);
}

int main(int argc, char **argv)
{
    if (argc < 2 || mmcl_context_create(&context, NULL) != MMCL_OK)
        return 2;
    for (int i = 1; i < argc; i++) {
        mmcl_archive *archive;
        must(mmcl_archive_open(&archive, context, argv[i], NULL));
        mmcl_adapt_data     data = {.struct_size = sizeof data, .train = labelled(archive, "shot16_x", "shot16_y")};
        const mmcl_labelled test = labelled(archive, "test_x", "test_y");
        for (size_t j = 0; j < data.train.features.rows; j++)
            data.classes = (size_t) data.train.labels[j] >= data.classes ? (size_t) data.train.labels[j] + 1 : data.classes;
        check(argv[i], &data, &test);
        if (mmcl_archive_has(archive, "text_x")) {
            data.text = labelled(archive, "text_x", "text_y");
            check(argv[i], &data, &test);
        }
        fflush(stdout);
    }
    return 0;
}
