/* A program outside the tree, in the common part of C99 and C++11: fits a transform and a classifier; silent when all is well. */
#include <mmcl/mmcl.h>

#include <stdio.h>
#include <string.h>

enum { ROWS = 60, COLS = 4, CLASSES = 2 };

static mmcl_status work(mmcl_context *context, mmcl_transform **transform, mmcl_classifier **head)
{
    static float   x[ROWS * COLS], y[ROWS * 2];
    static int64_t labels[ROWS], answers[ROWS];
    mmcl_matrix    rows;
    mmcl_labelled  labelled;
    mmcl_status    status;
    size_t         right = 0;
    for (int i = 0; i < ROWS; i++) {
        labels[i] = i % CLASSES;
        for (int j = 0; j < COLS; j++)
            x[i * COLS + j] = (float) ((i * (7 + j) + j * j) % 11) + (j == 1 ? 20.0f * (float) labels[i] : 0.0f);
    }
    memset(&rows, 0, sizeof rows);
    memset(&labelled, 0, sizeof labelled);
    rows.data = x;
    rows.rows = ROWS;
    rows.cols = COLS;
    if ((status = mmcl_transform_create_spec(transform, context, "whiten:2")) != MMCL_OK ||
        (status = mmcl_transform_fit(*transform, &rows, 1, NULL)) != MMCL_OK ||
        (status = mmcl_transform_apply(*transform, &rows, y, 0)) != MMCL_OK)
        return status;
    labelled.features.data = y;
    labelled.features.rows = ROWS;
    labelled.features.cols = 2;
    labelled.labels        = labels;
    if ((status = mmcl_logreg_fit(head, context, &labelled, CLASSES, NULL, NULL, NULL)) != MMCL_OK ||
        (status = mmcl_classifier_predict(*head, &labelled.features, NULL, answers)) != MMCL_OK)
        return status;
    for (int i = 0; i < ROWS; i++)
        right += answers[i] == labels[i];
    return right == ROWS ? MMCL_OK : MMCL_E_NUMERIC;
}

int main(void)
{
    mmcl_context    *context;
    mmcl_transform  *transform = NULL;
    mmcl_classifier *head      = NULL;
    mmcl_status      status    = mmcl_context_create(&context, NULL);
    if (status != MMCL_OK)
        return 1;
    status = work(context, &transform, &head);
    if (status != MMCL_OK)
        fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    mmcl_classifier_destroy(head);
    mmcl_transform_destroy(transform);
    mmcl_context_destroy(context);
    if (mmcl_version() != MMCL_VERSION_MAJOR * 1000000u + MMCL_VERSION_MINOR * 1000u + MMCL_VERSION_PATCH)
        return 1;
    return status != MMCL_OK;
}
