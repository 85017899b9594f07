/*
 * An L2 probe does not see rotations: check_rotation DATA.npz POOL.npy SHOTS COMPONENTS
 *
 * fits whiten:COMPONENTS and ica:COMPONENTS on the pool, one probe on each from shotSHOTS_{x,y} for every C of CoOp's grid, and compares
 * what they answer on test_x, row by row. One JSON line a C; exit 1 when more than 0.1 % of the rows differ anywhere.
 */
#include "must.h"

static mmcl_matrix rows_of(const char *path, const char *key)
{
    char        name[4096];
    mmcl_array *array; /* stays open to the end: the matrix borrows from it */
    mmcl_matrix rows = {.rows = 0};
    snprintf(name, sizeof name, key != NULL ? "%s:%s" : "%s", path, key);
    must(mmcl_array_open(&array, context, name, NULL));
    must(mmcl_array_matrix(array, &rows));
    return rows;
}

static int64_t *labels_of(const char *path, const char *key, size_t count)
{
    char        name[4096];
    mmcl_array *array;
    int64_t    *labels = malloc(count * sizeof *labels);
    snprintf(name, sizeof name, "%s:%s", path, key);
    must(mmcl_array_open(&array, context, name, NULL));
    must(mmcl_array_labels(array, labels, count));
    mmcl_array_destroy(array);
    return labels;
}

/* Rows through a transform. */
static mmcl_matrix mapped(const mmcl_transform *transform, const mmcl_matrix *rows, size_t components)
{
    float *out = malloc(rows->rows * components * sizeof *out);
    must(mmcl_transform_apply(transform, rows, out, 0));
    return (mmcl_matrix){.data = out, .rows = rows->rows, .cols = components};
}

int main(int argc, char **argv)
{
    const double grid[] = {1e-6, 1e-4, 1e-2, 1, 1e2, 1e4, 1e6};
    if (argc != 5 || mmcl_context_create(&context, NULL) != MMCL_OK)
        return 2;
    char key[2][32], spec[2][32];
    snprintf(key[0], sizeof key[0], "shot%s_x", argv[3]);
    snprintf(key[1], sizeof key[1], "shot%s_y", argv[3]);
    snprintf(spec[0], sizeof spec[0], "whiten:%s", argv[4]);
    snprintf(spec[1], sizeof spec[1], "ica:%s", argv[4]);
    size_t        components = strtoul(argv[4], NULL, 10), classes = 0, worst = 0;
    mmcl_matrix   pool = rows_of(argv[2], NULL), train = rows_of(argv[1], key[0]), test = rows_of(argv[1], "test_x"), train_in[2], test_in[2];
    int64_t      *labels = labels_of(argv[1], key[1], train.rows), *truth = labels_of(argv[1], "test_y", test.rows);
    int64_t      *answers[2] = {malloc(test.rows * sizeof **answers), malloc(test.rows * sizeof **answers)};
    for (size_t i = 0; i < train.rows; i++)
        classes = (size_t) labels[i] >= classes ? (size_t) labels[i] + 1 : classes;
    for (int v = 0; v < 2; v++) {
        mmcl_transform *transform;
        must(mmcl_transform_create_spec(&transform, context, spec[v]));
        must(mmcl_transform_fit(transform, &pool, 1, NULL));
        train_in[v] = mapped(transform, &train, components);
        test_in[v]  = mapped(transform, &test, components);
        mmcl_transform_destroy(transform);
    }
    for (size_t g = 0; g < sizeof grid / sizeof *grid; g++) {
        size_t right[2] = {0, 0}, differ = 0;
        double objective[2];
        for (int v = 0; v < 2; v++) {
            const mmcl_logreg_options options = {.struct_size = sizeof options, .c = grid[g]};
            mmcl_logreg_info          info    = {.struct_size = sizeof info};
            mmcl_labelled             shots   = {.features = train_in[v], .labels = labels};
            mmcl_classifier          *made;
            must(mmcl_logreg_fit(&made, context, &shots, classes, &options, NULL, &info));
            must(mmcl_classifier_predict(made, &test_in[v], NULL, answers[v]));
            objective[v] = info.objective;
            mmcl_classifier_destroy(made);
            for (size_t i = 0; i < test.rows; i++)
                right[v] += answers[v][i] == truth[i];
        }
        for (size_t i = 0; i < test.rows; i++)
            differ += answers[0][i] != answers[1][i];
        worst = differ > worst ? differ : worst;
        printf("{\"C\": %g, \"rows\": %zu, \"differ\": %zu, \"accuracy\": [%.2f, %.2f], \"objective\": [%.12g, %.12g]}\n", grid[g], test.rows, differ,
               100.0 * (double) right[0] / (double) test.rows, 100.0 * (double) right[1] / (double) test.rows, objective[0], objective[1]);
    }
    return 1000 * worst > test.rows;
}
