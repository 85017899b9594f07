/*
 * Every few-shot head against the float64 reference of tests/parity/heads_reference.py: logits of test rows, answers, and what was
 * chosen on val rows. A case of heads_golden.npz is a test of its own.
 */
#include "suite.h"
#include "linalg/matrix.h"

#include <mmcl/mmcl.h>

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))
#define FOLDER TEST_DATA "/../../parity/"

enum { MAX_CLASSES = 8, MAX_TEST = 64, TEXT_MAX = 256 };

/* Of the largest logit. What is promised is 1e-4; a weight decay left out, or another epsilon, can make as little as this. */
static const double tolerance = 1e-5;

/* Columns of `cases`, as GIVEN and CHOSEN of the script. */
enum column {
    DATASET, METHOD, MAPPED, WITH_VAL, WITH_TEXT, PAPER,
    EPOCHS, BATCH, CHANNELS, SEED, C, ALPHA, BETA, RATIO, ALPHA_START, GAMMA_START, ETA_START, ALPHA_RANGE, BETA_RANGE, CLAP,
    CHOSEN_C, CHOSEN_ALPHA, CHOSEN_BETA, CHOSEN_GAMMA, CHOSEN_ETA, CHOSEN_RATIO, CHOSEN_RATE, CHOSEN_DECAY, CHOSEN_EPOCH, VAL_ACCURACY, COLUMNS
};

static const char *const sets[] = {"plain", "ill"};

static mmcl_context *context;
static mmcl_archive *golden;
static double       *cases; /* [case, COLUMNS] */

/* An array of the golden file as float64, rows and columns stored where asked for. */
static double *array_of(const char *key, size_t *rows, size_t *cols)
{
    mmcl_array  *array;
    mmcl_matrix  matrix;
    mmcl__place  bad;
    OK(mmcl_archive_array(&array, golden, key));
    OK(mmcl_array_matrix(array, &matrix));
    double *out = malloc(matrix.rows * matrix.cols * sizeof *out);
    ck_assert_int_eq(mmcl__read_f64(&matrix, 0, matrix.rows, out, &bad), MMCL_OK);
    *rows = matrix.rows;
    *cols = matrix.cols;
    mmcl_array_destroy(array);
    return out;
}

static void set_up(void)
{
    size_t rows, columns;
    OK(mmcl_context_create(&context, NULL));
    OK(mmcl_archive_open(&golden, context, FOLDER "heads_golden.npz", NULL));
    cases = array_of("cases", &rows, &columns);
    ck_assert_uint_eq(columns, COLUMNS);
}

static void tear_down(void)
{
    free(cases);
    mmcl_archive_destroy(golden);
    mmcl_context_destroy(context);
}

/* How many tests there are has to be known before any of them runs; -1 when the file cannot be read. */
static int count_cases(void)
{
    mmcl_context   *own   = NULL;
    mmcl_array     *array = NULL;
    mmcl_array_info info  = {.struct_size = sizeof info};
    const int       read  = mmcl_context_create(&own, NULL) == MMCL_OK && mmcl_array_open(&array, own, FOLDER "heads_golden.npz:cases", NULL) == MMCL_OK
                     && mmcl_array_get_info(array, &info) == MMCL_OK;
    mmcl_array_destroy(array);
    mmcl_context_destroy(own);
    return read ? (int) info.shape[0] : -1;
}

/* Labelled rows of one part; freed by free_part. */
static mmcl_labelled part_of(const char *set, const char *part)
{
    char            key[TEXT_MAX];
    size_t          rows, cols;
    mmcl_array     *array;
    snprintf(key, sizeof key, "%s_%s_x", set, part);
    double  *x      = array_of(key, &rows, &cols);
    int64_t *labels = malloc(rows * sizeof *labels);
    snprintf(key, sizeof key, "%s_%s_y", set, part);
    OK(mmcl_archive_array(&array, golden, key));
    OK(mmcl_array_labels(array, labels, rows));
    mmcl_array_destroy(array);
    return (mmcl_labelled){.features = {.data = x, .rows = rows, .cols = cols, .dtype = MMCL_F64}, .labels = labels};
}

static void free_part(mmcl_labelled *part)
{
    free((void *) (uintptr_t) part->features.data);
    free((void *) (uintptr_t) part->labels);
}

static mmcl_adapt_options options_of(const double *row)
{
    return (mmcl_adapt_options){
        .struct_size = sizeof(mmcl_adapt_options), .seed = (uint64_t) row[SEED], .epochs = (uint64_t) row[EPOCHS],
        .batch = (uint64_t) row[BATCH], .channels = (uint64_t) row[CHANNELS], .c = row[C], .alpha = row[ALPHA], .beta = row[BETA],
        .ratio = row[RATIO], .alpha_start = row[ALPHA_START], .gamma_start = row[GAMMA_START], .eta_start = row[ETA_START],
        .alpha_range = row[ALPHA_RANGE], .beta_range = row[BETA_RANGE], .clap = (mmcl_clap_constraint) row[CLAP],
        .protocol = row[PAPER] != 0 ? MMCL_PROTOCOL_PAPER : MMCL_PROTOCOL_STRICT,
        /* so that the optimum is found, not one near it */
        .tolerance = 1e-12, .max_iterations = 100000, .precision = MMCL_PRECISION_F64};
}

/* What the case is, for messages. */
static void describe(const double *row, size_t index, char *out)
{
    snprintf(out, TEXT_MAX, "case %zu: %s on %s, %s, %s, %s, %s", index, mmcl_method_name((mmcl_method) row[METHOD]), sets[(size_t) row[DATASET]],
             row[MAPPED] != 0 ? "mapped" : "raw", row[WITH_VAL] != 0 ? "val" : "no val", row[WITH_TEXT] != 0 ? "text" : "no text",
             row[PAPER] != 0 ? "paper" : "strict");
}

static void check_chosen(const double *row, const mmcl_adapt_info *info, const char *what)
{
    const struct {
        const char *name;
        double      expected, got;
    } all[] = {
        {"c", row[CHOSEN_C], info->c},           {"alpha", row[CHOSEN_ALPHA], info->alpha},
        {"beta", row[CHOSEN_BETA], info->beta},  {"gamma", row[CHOSEN_GAMMA], info->gamma},
        {"eta", row[CHOSEN_ETA], info->eta},     {"ratio", row[CHOSEN_RATIO], info->ratio},
        {"learning rate", row[CHOSEN_RATE], info->learning_rate}, {"weight decay", row[CHOSEN_DECAY], info->weight_decay},
        {"epoch", row[CHOSEN_EPOCH], (double) info->epoch},
        {"accuracy on val", row[VAL_ACCURACY], info->val_accuracy}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) /* a path of C begins where float32 rows say */
        ck_assert_msg(all[i].expected == -1 || fabs(all[i].got - all[i].expected) <= 1e-12 + (i == 0 ? 1e-6 : 1e-9) * fabs(all[i].expected),
                      "%s: %s is %.12g, the reference has %.12g", what, all[i].name, all[i].got, all[i].expected);
}

/* Logistic regression leaves open what is common to all classes of a row. */
static void centre(double *row, size_t classes)
{
    double mean = 0;
    for (size_t k = 0; k < classes; k++)
        mean += row[k] / (double) classes;
    for (size_t k = 0; k < classes; k++)
        row[k] -= mean;
}

static size_t largest(const double *row, size_t classes, double *margin)
{
    size_t best = 0;
    *margin     = INFINITY;
    for (size_t k = 1; k < classes; k++)
        best = row[k] > row[best] ? k : best;
    for (size_t k = 0; k < classes; k++)
        *margin = k != best ? fmin(*margin, row[best] - row[k]) : *margin;
    return best;
}

static void check_logits(const double *expected, const float *scores, size_t rows, size_t classes, bool centred, const char *what)
{
    double scale = 0, worst = 0, e[MAX_CLASSES], got[MAX_CLASSES];
    for (size_t i = 0; i < rows * classes; i++)
        scale = fmax(scale, fabs(expected[i]));
    const double allowed = tolerance * scale + 1e-9; /* where every weight is 0, so are all logits but for rounding */
    for (size_t i = 0; i < rows; i++) {
        double margin, unused;
        for (size_t k = 0; k < classes; k++) {
            e[k]   = expected[i * classes + k];
            got[k] = (double) scores[i * classes + k];
        }
        if (centred) {
            centre(e, classes);
            centre(got, classes);
        }
        for (size_t k = 0; k < classes; k++)
            worst = fmax(worst, isnan(got[k]) ? INFINITY : fabs(got[k] - e[k]));
        const size_t best = largest(e, classes, &margin);
        ck_assert_msg(margin <= allowed || largest(got, classes, &unused) == best, "%s: row %zu is another class", what, i);
    }
    ck_assert_msg(worst <= allowed, "%s: logits differ by %.3g of their scale", what, worst / scale);
    if (getenv("MMCL_TEST_VERBOSE") != NULL)
        printf("%s: %.2g\n", what, worst / scale);
}

static void compare(const double *row, size_t index, const mmcl_adapt_data *data, const mmcl_labelled *test, const char *what)
{
    char                     key[TEXT_MAX];
    mmcl_classifier         *head;
    mmcl_adapt_info          info    = {.struct_size = sizeof info};
    const mmcl_method        method  = (mmcl_method) row[METHOD];
    const mmcl_adapt_options options = options_of(row);
    const mmcl_status        status  = mmcl_adapt_fit(&head, context, method, data, &options, &info);
    if (status == MMCL_E_UNSUPPORTED) {
        printf("NOT COMPARED, no such head yet: %s\n", what);
        return;
    }
    ck_assert_msg(status == MMCL_OK, "%s: %s", what, mmcl_context_message(context));
    check_chosen(row, &info, what);
    float   scores[MAX_TEST * MAX_CLASSES];
    size_t  rows, classes;
    snprintf(key, sizeof key, "logits_%zu", index);
    double *expected = array_of(key, &rows, &classes);
    ck_assert(rows == test->features.rows && rows <= MAX_TEST && classes == data->classes && classes <= MAX_CLASSES);
    OK(mmcl_classifier_scores(head, &test->features, scores, 0));
    check_logits(expected, scores, rows, classes, method >= MMCL_METHOD_PROBE && method <= MMCL_METHOD_PROBE_ARD, what);
    free(expected);
    mmcl_classifier_destroy(head);
}

START_TEST(equals_reference)
{
    char            what[TEXT_MAX], path[TEXT_MAX];
    const size_t    index = (size_t) _i;
    const double   *row   = cases + index * COLUMNS;
    const char     *set   = sets[(size_t) row[DATASET]];
    mmcl_labelled   train = part_of(set, "train"), val = part_of(set, "val"), text = part_of(set, "text"), test = part_of(set, "test");
    mmcl_transform *transform = NULL;
    mmcl_adapt_data data      = {.struct_size = sizeof data, .train = train};
    describe(row, index, what);
    if (row[MAPPED] != 0) {
        snprintf(path, sizeof path, FOLDER "heads_map_%s.npz", set);
        OK(mmcl_transform_load(&transform, context, path, NULL));
    }
    for (size_t i = 0; i < train.features.rows; i++)
        data.classes = (size_t) train.labels[i] >= data.classes ? (size_t) train.labels[i] + 1 : data.classes;
    data.transform = transform;
    if (row[WITH_VAL] != 0)
        data.val = val;
    if (row[WITH_TEXT] != 0)
        data.text = text;
    compare(row, index, &data, &test, what);
    mmcl_transform_destroy(transform);
    free_part(&train), free_part(&val), free_part(&text), free_part(&test);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heads_golden");
    TCase *all   = tcase_create("reference");
    const int count = count_cases();
    if (count <= 0) {
        fprintf(stderr, "heads_golden.npz: cannot be read\n");
        return 1;
    }
    tcase_set_timeout(all, 120);
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_loop_test(all, equals_reference, 0, count);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
