/* Few-shot data sets with one fault each: write_bad KIND OUT.npz. "good" has none; "fixed" neither, but a draw of 2 shots in place of train rows. */
#include <mmcl/mmcl.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CLASSES = 4, ROWS = 40, COLS = 6 };

static float   rows[ROWS * COLS];
static int32_t whole[ROWS * COLS];
static int64_t labels[ROWS];

static uint32_t next(void)
{
    static uint32_t state = 12345;
    state                 = state * 1664525 + 1013904223; /* Numerical Recipes' generator is enough here */
    return state >> 8;
}

static int is(const char *kind, const char *name)
{
    return strcmp(kind, name) == 0;
}

/* NAME_x and NAME_y; `cols` and `count` may disagree on purpose. */
static mmcl_status add(mmcl_writer *writer, const char *name, size_t cols, size_t count, int integers)
{
    char        key[32];
    mmcl_matrix view = {.data = rows, .rows = ROWS, .cols = cols};
    if (integers) {
        view.data  = whole;
        view.dtype = MMCL_I32;
    }
    snprintf(key, sizeof key, "%s_x", name);
    mmcl_status status = mmcl_writer_add(writer, key, &view, integers ? MMCL_I32 : MMCL_F32);
    snprintf(key, sizeof key, "%s_y", name);
    return status == MMCL_OK ? mmcl_writer_add_labels(writer, key, labels, count) : status;
}

int main(int argc, char **argv)
{
    mmcl_context *context = NULL;
    mmcl_writer  *writer  = NULL;
    const char   *names[] = {"a", "b", "c", "d"};
    if (argc != 3)
        return 2;
    const char *kind = argv[1];
    for (size_t i = 0; i < ROWS * COLS; i++)
        rows[i] = (float) next() / 16777216.0F + (float) (i / COLS % CLASSES == i % COLS);
    for (size_t i = 0; i < ROWS; i++)
        labels[i] = (int64_t) (i % CLASSES);
    if (is(kind, "label-high"))
        labels[5] = CLASSES;
    if (is(kind, "label-negative"))
        labels[5] = -1;
    if (is(kind, "empty-class"))
        for (size_t i = 0; i < ROWS; i++)
            labels[i] = (int64_t) (i % (CLASSES - 1));
    mmcl_status status = mmcl_context_create(&context, NULL);
    if (status == MMCL_OK)
        status = mmcl_writer_create(&writer, context, argv[2]);
    if (status == MMCL_OK)
        status = add(writer, is(kind, "fixed") ? "shot2" : "train", COLS, is(kind, "lengths") ? ROWS - 1 : ROWS, is(kind, "integers"));
    if (status == MMCL_OK && !is(kind, "no-val"))
        status = add(writer, "val", is(kind, "widths") ? COLS - 1 : COLS, ROWS, 0);
    if (is(kind, "nan"))
        rows[7 * COLS + 2] = NAN;
    if (is(kind, "infinity"))
        rows[7 * COLS + 2] = INFINITY;
    if (status == MMCL_OK)
        status = add(writer, "test", COLS, ROWS, 0);
    if (status == MMCL_OK)
        status = mmcl_writer_add_strings(writer, "classnames", names, CLASSES);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    if (status != MMCL_OK)
        fprintf(stderr, "%s\n", mmcl_context_message(context));
    mmcl_writer_destroy(writer);
    mmcl_context_destroy(context);
    return status == MMCL_OK ? 0 : 1;
}
