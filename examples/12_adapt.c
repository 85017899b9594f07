/* Features in, a few labelled rows in, class names out: 12_adapt DATA.npz [METHOD] fits a head on shots drawn from train_x and names test_x. */
#include <mmcl/mmcl.h>

#include <stdio.h>
#include <stdlib.h>

enum { SHOTS = 4, SHOWN = 5, NAME = 64 };

static mmcl_context *context;

static void need(mmcl_status status)
{
    if (status == MMCL_OK)
        return;
    fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    exit(EXIT_FAILURE);
}

typedef struct set {
    mmcl_array   *array; /* stays open: its rows are mapped, not read */
    mmcl_labelled rows;
    int64_t      *labels;
} set;

static set open_set(mmcl_archive *file, const char *x, const char *y)
{
    set             out;
    mmcl_array     *classes;
    mmcl_array_info info = {.struct_size = sizeof info};
    need(mmcl_archive_array(&out.array, file, x));
    need(mmcl_array_matrix(out.array, &out.rows.features));
    need(mmcl_archive_array(&classes, file, y));
    need(mmcl_array_get_info(classes, &info));
    out.rows.labels = out.labels = malloc((size_t) info.elements * sizeof *out.labels);
    need(out.labels != NULL ? mmcl_array_labels(classes, out.labels, (size_t) info.elements) : MMCL_E_NOMEM);
    mmcl_array_destroy(classes);
    return out;
}

int main(int argc, char **argv)
{
    mmcl_archive        *file;
    mmcl_array          *names;
    mmcl_array_info      classes = {.struct_size = sizeof classes};
    mmcl_method          method;
    mmcl_classifier     *head;
    mmcl_fewshot_options options = {.struct_size = sizeof options, .shots = SHOTS, .seed = 1};
    mmcl_fewshot_result  result  = {.struct_size = sizeof result};
    if (argc < 2 || mmcl_method_parse(&method, argc > 2 ? argv[2] : "ncm") != MMCL_OK) {
        fprintf(stderr, "usage: %s DATA.npz [METHOD]\n", argv[0]);
        return 2;
    }
    need(mmcl_context_create(&context, NULL));
    need(mmcl_archive_open(&file, context, argv[1], NULL));
    need(mmcl_archive_array(&names, file, "classnames"));
    need(mmcl_array_get_info(names, &classes));

    set sets[4] = {open_set(file, "train_x", "train_y"), open_set(file, "val_x", "val_y"), open_set(file, "test_x", "test_y"),
                   open_set(file, "text_x", "text_y")};
    const mmcl_fewshot_data data = {.struct_size = sizeof data, .classes = (size_t) classes.elements, .train = sets[0].rows, .val = sets[1].rows,
                                    .test = sets[2].rows, .text = sets[3].rows};
    need(mmcl_fewshot_run(&head, context, method, &data, NULL, &options, NULL, &result, NULL));
    printf("%s, %d shots: %.1f %% of the test rows\n", mmcl_method_name(method), SHOTS, 100 * result.test_accuracy);

    mmcl_matrix some = data.test.features; /* a host's own rows would be another mmcl_matrix */
    int64_t     answers[SHOWN];
    char        name[NAME];
    some.rows = SHOWN;
    need(mmcl_classifier_predict(head, &some, NULL, answers));
    for (int i = 0; i < SHOWN; i++) {
        need(mmcl_array_string(names, (size_t) answers[i], name, NAME, NULL));
        printf("row %d: %s\n", i, name);
    }
    for (int i = 0; i < 4; i++) {
        mmcl_array_destroy(sets[i].array);
        free(sets[i].labels);
    }
    mmcl_classifier_destroy(head);
    mmcl_array_destroy(names);
    mmcl_archive_destroy(file);
    mmcl_context_destroy(context);
    return result.test_accuracy > 0.5 ? EXIT_SUCCESS : EXIT_FAILURE;
}
