/*
 * One evaluation of the objective, shared by the files of this folder.
 *
 * The rows of this rank fall into `batches` batches of `batch` rows (usually one), each into `bands` runs of at most `band` rows. A
 * tile is the logits of a band of x against a band of t. Round r of a batch takes tiles (i, (i + r) mod bands): no two of them
 * share a row or a column, so that they may run at the same time, each adding to sums and gradients that are its own meanwhile,
 * and every sum is taken in the order of the rounds, whatever the number of threads. With several ranks, the band's columns
 * belong to the block of t that has come around the ring.
 */
#ifndef MMCL_CONTRAST_STATE_H
#define MMCL_CONTRAST_STATE_H

#include "contrast/contrast.h"
#include "contrast/kernels.h"

struct mmcl_objective {
    mmcl_context          *context;
    mmcl_objective_options options;
    mmcl_comm              comm; /* size 1 without functions: this process alone */
    unsigned char         *arena;
    size_t                 arena_bytes;
    float                 *cache;
    size_t                 cache_floats;
    struct mmcl__creed    *creeds; /* [comm.size] */
};

/* What the ranks have to agree on before they start, and how each has fared so far. */
typedef struct mmcl__creed {
    uint64_t rows, cols, blocks, groups, results, failed;
    double   scale, bias;
} mmcl__creed;

/* Statistics of the rows of x, and of the columns (rows of t) of a block; sums of exponentials as exp(top) * sum. */
enum {
    MMCL__NEGATIVE_TOP,   /* over the negatives */
    MMCL__NEGATIVE_SUM,
    MMCL__POSITIVE_TOP,   /* over the positives other than the own partner */
    MMCL__POSITIVE_SUM,
    MMCL__POSITIVE_TOTAL, /* sum of D over them */
    MMCL__POSITIVE_COUNT, /* how many they are */
    MMCL__BEST_NEGATIVE,  /* largest D */
    MMCL__BEST_POSITIVE,  /* with the own partner */
    MMCL__LOG_NORM,       /* the normaliser R */
    MMCL__WEIGHT_SUM,     /* sum of g over the negatives and the other positives */
    MMCL__FIELDS
};

/* What travels around the ring. */
typedef struct mmcl__block {
    float   *t;      /* [batch rows in order, t_stride], or packed by bands [dims, width] */
    float   *dt;     /* in the same layout; NULL when not wanted */
    double  *fields; /* [MMCL__FIELDS, rows] */
    int32_t *labels; /* [rows] or NULL */
} mmcl__block;

/* Scratch of a worker. */
typedef struct mmcl__scratch {
    float   *tile;    /* [band or MMCL__STRIP, width] */
    float   *col_top; /* [width] each */
    float   *col_sum;
    float   *row_top; /* [MMCL__STRIP] each */
    float   *factor;
    float   *row_sum;
    float   *totals;  /* [3 * MMCL__STRIP] */
    float   *values;  /* [MMCL__STRIP * width] positives of a strip: D, and where */
    int32_t *places;
    float   *rows;    /* [chunk, dims] rows that are being read */
} mmcl__scratch;

#define MMCL__STRIP 8 /* rows that pass through the kernels together */

typedef struct mmcl__evaluation {
    mmcl_objective                *objective;
    mmcl_context                  *context;
    const mmcl__contrast_kernels  *kernels;
    const mmcl_objective_input    *input;
    const mmcl_matrix             *x, *t;
    float                         *dx, *dt; /* the caller's, or NULL */
    size_t                         dx_stride, t_out_stride;
    mmcl_objective_info           *info;
    mmcl__operation               *operation; /* NULL as part of a longer one, whose progress it is */

    size_t rows, dims, batches, batch, bands, band, width;
    size_t members;  /* rows of a batch over all ranks */
    double count;    /* rows over all ranks */
    size_t chunk, chunks; /* rows that a task takes when there are no tiles */
    int    term;     /* MMCL__TERM_... */
    bool   product;  /* tiles come from matrix products, not from the kernels */
    bool   cosine, squared; /* rows are normalised; rows are centred, for |x - t|^2 = |x|^2 + |t|^2 - 2 x.t */
    bool   sigmoid, negatives_only;
    bool   copy_x, copy_t;
    bool   gradients; /* any derivative is wanted */
    float  exponent;
    double scale, bias, weight_x, weight_t; /* of each row's L_x and L_t in the loss */

    const float   *rows_x;  /* [rows, x_stride] */
    size_t         x_stride, t_stride, dt_stride; /* of the block's t and dt, unless they are packed */
    double        *fields;  /* [MMCL__FIELDS, rows] of the rows of x */
    mmcl__block    block, other;
    int32_t       *labels;
    double        *own;     /* [rows] D_ii */
    double        *own_g;   /* [rows] scale * dL/dS_ii */
    double        *moment;  /* [rows] sum_j g_ij d_ij */
    double        *inverse_x, *inverse_t; /* [rows] 1 / norm, of this rank */
    double        *centre;  /* [dims] */
    float         *square_x, *square_t;   /* [rows + pad] minus squared norms; square_t of the present block */
    float         *origin, *row_weight;   /* [rows + pad] of the softmax kernels */
    float         *col_origin, *col_weight, *col_ratio; /* [rows + pad] of the present block */
    double        *band_top, *band_low;   /* [batches * bands] largest R of the rows, smallest of the columns */
    double        *sums;    /* [chunks, 8] of the passes over rows */
    uint64_t      *bad;     /* [chunks, 2, 2] places that are not finite, or UINT64_MAX */
    mmcl__scratch *scratch; /* [workers] */

    uint32_t owner, step;   /* rank that the present block belongs to; how far it has come */
    size_t   round;
    bool     backward;
    float   *cache;
    size_t   cached;        /* tiles */
} mmcl__evaluation;

/* Band `index` of a batch: its first row, counted in this rank's rows, and how many there are. */
static inline size_t mmcl__band_begin(const mmcl__evaluation *e, size_t batch, size_t index)
{
    return batch * e->batch + index * e->batch / e->bands;
}

/* Where column `row` of a block lies in the packed layout: the address of its first dimension; the next is `width` further. */
static inline size_t mmcl__packed(const mmcl__evaluation *e, size_t row)
{
    size_t batch = row / e->batch, within = row % e->batch, index = (within * e->bands + e->bands - 1) / e->batch;
    while (index > 0 && mmcl__band_begin(e, 0, index) > within)
        index--;
    while (index + 1 < e->bands && mmcl__band_begin(e, 0, index + 1) <= within)
        index++;
    return (batch * e->bands + index) * e->dims * e->width + within - mmcl__band_begin(e, 0, index);
}

/* Both passes: tile.c. Forward leaves the statistics in the fields; backward adds up the gradients of all but the own pairs. */
mmcl_status mmcl__contrast_forward(mmcl__evaluation *e);
mmcl_status mmcl__contrast_backward(mmcl__evaluation *e);

/* Rows, statistics and results around them: rows.c. */
mmcl_status mmcl__contrast_load(mmcl__evaluation *e);
mmcl_status mmcl__contrast_pair(mmcl__evaluation *e);
mmcl_status mmcl__contrast_settle(mmcl__evaluation *e);
mmcl_status mmcl__contrast_finish(mmcl__evaluation *e, double *moment, double *weight);
mmcl_status mmcl__contrast_prepare_rows(mmcl__evaluation *e);
mmcl_status mmcl__contrast_prepare_columns(mmcl__evaluation *e);

/* values [count] summed over the ranks. */
mmcl_status mmcl__contrast_reduce(mmcl__evaluation *e, double *values, size_t count);

#endif
