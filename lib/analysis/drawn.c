#include "analysis/analysis.h"

static mmcl_status read_drawn(void *user, size_t first, size_t count, void *out)
{
    const mmcl__drawn *d    = user;
    size_t             cols = d->rows->cols;
    for (size_t i = 0; i < count; i++) {
        size_t      row    = d->index[first + i];
        mmcl_status status = d->wide ? mmcl__rows_read_f64(d->rows, row, 1, (double *) out + i * cols, NULL, NULL)
                                     : mmcl__rows_read_f32(d->rows, row, 1, (float *) out + i * cols, NULL, NULL);
        if (status != MMCL_OK)
            return status;
    }
    return MMCL_OK;
}

mmcl_matrix mmcl__drawn_view(mmcl__drawn *drawn, size_t count)
{
    drawn->wide = false;
    for (size_t i = 0; i < drawn->rows->n_parts; i++)
        drawn->wide |= drawn->rows->parts[i].dtype == MMCL_F64;
    return (mmcl_matrix){.rows      = count,
                         .cols      = drawn->rows->cols,
                         .read      = read_drawn,
                         .read_user = drawn,
                         .dtype     = drawn->wide ? MMCL_F64 : MMCL_F32};
}
