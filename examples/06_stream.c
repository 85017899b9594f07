/* Rows that are never all in memory: supplied by a callback, and summed up in partial moments that are merged. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 50000, COLS = 16, BLOCK = 1000, KEPT = 4 };

/* Row i is computed from i alone, so that any rows can be asked for again. Column j has a spread of 1 + j. */
static mmcl_status read_rows(void *user, size_t first_row, size_t n_rows, void *out)
{
    float *next = out;
    (void) user;
    for (size_t i = 0; i < n_rows; i++) {
        sampler s = {first_row + i};
        for (size_t j = 0; j < COLS; j++)
            *next++ = (float) (sample_laplace(&s) * (double) (1 + j));
    }
    return MMCL_OK;
}

/* What one worker of many would send: the moments of its share of the rows. */
static mmcl_status add_share(mmcl_moments *moments, size_t first, size_t count)
{
    static float block[BLOCK * COLS];
    mmcl_status  status = MMCL_OK;
    for (size_t at = first; at < first + count && status == MMCL_OK; at += BLOCK) {
        mmcl_matrix rows = {.data = block, .rows = BLOCK, .cols = COLS};
        status           = read_rows(NULL, at, BLOCK, block);
        if (status == MMCL_OK)
            status = mmcl_moments_update(moments, &rows);
    }
    return status;
}

#define TRY(call)                                                                                                                \
    do {                                                                                                                         \
        mmcl_status status = (call);                                                                                             \
        if (status != MMCL_OK) {                                                                                                 \
            fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));                              \
            exit(EXIT_FAILURE);                                                                                                  \
        }                                                                                                                        \
    } while (0)

int main(void)
{
    mmcl_context   *context = NULL;
    mmcl_transform *streamed = NULL, *merged = NULL;
    mmcl_moments   *left = NULL, *right = NULL;
    mmcl_matrix     rows = {.rows = ROWS, .cols = COLS, .read = read_rows};
    float           a[BLOCK * KEPT], b[BLOCK * KEPT], largest = 0;

    TRY(mmcl_context_create(&context, NULL));
    TRY(mmcl_transform_create_spec(&streamed, context, "whiten:4"));
    TRY(mmcl_transform_fit(streamed, &rows, 1, NULL));

    TRY(mmcl_moments_create(&left, context, COLS));
    TRY(mmcl_moments_create(&right, context, COLS));
    TRY(add_share(left, 0, ROWS / 2));
    TRY(add_share(right, ROWS / 2, ROWS / 2));
    TRY(mmcl_moments_merge(left, right));
    TRY(mmcl_transform_create_spec(&merged, context, "whiten:4"));
    TRY(mmcl_transform_fit_moments(merged, left));

    rows.rows = BLOCK;
    TRY(mmcl_transform_apply(streamed, &rows, a, 0));
    TRY(mmcl_transform_apply(merged, &rows, b, 0));
    for (size_t i = 0; i < BLOCK * KEPT; i++)
        largest = fmaxf(largest, fabsf(a[i] - b[i]));
    printf("%d rows, streamed and merged: the two whitenings differ by at most %.1e\n", ROWS, (double) largest);

    mmcl_moments_destroy(right);
    mmcl_moments_destroy(left);
    mmcl_transform_destroy(merged);
    mmcl_transform_destroy(streamed);
    mmcl_context_destroy(context);
    return largest < 1e-3F ? EXIT_SUCCESS : EXIT_FAILURE;
}
