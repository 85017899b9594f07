/* Cross-modal retrieval: rows of unit length -> tiles of cosines -> the rank of each row's partner -> recalls. */
#include "analysis/analysis.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define TILE  ((size_t) 128) /* rows of each side whose cosines are taken at once */
#define EQUAL 1e-12          /* cosines nearer than this are equal: beyond it is rounding */

struct search {
    mmcl_context *context;
    size_t        n, cols;
    double       *rows[2]; /* [n, cols] at unit length */
    double       *rank[2]; /* [n] */
    double       *tiles;   /* [width of the context, TILE, TILE] */
    int           from;    /* the side that looks */
};

static mmcl_status read_units(const struct search *s, const mmcl_matrix *matrix, const char *name, double *out)
{
    mmcl__place bad;
    mmcl_status status = mmcl__read_f64(matrix, 0, s->n, out, &bad);
    if (status != MMCL_OK)
        return mmcl__read_failed(s->context, status, name, SIZE_MAX, &bad);
    for (size_t i = 0; i < s->n; i++) {
        double *row = out + i * s->cols, norm = sqrt(mmcl__dot_f64(s->cols, row, row));
        mmcl__scale_f64(s->cols, norm > 0 ? 1 / norm : 0, row);
    }
    return MMCL_OK;
}

/* Ranks of the partners of TILE rows. */
static void rank_rows(void *argument, size_t task, uint32_t worker)
{
    const struct search *s    = argument;
    const double        *look = s->rows[s->from], *among = s->rows[1 - s->from];
    double              *tile = s->tiles + worker * TILE * TILE, own[TILE], *rank = s->rank[s->from];
    size_t               begin = task * TILE, height = MMCL__MIN(TILE, s->n - begin);
    for (size_t i = 0; i < height; i++) {
        own[i]          = mmcl__dot_f64(s->cols, look + (begin + i) * s->cols, among + (begin + i) * s->cols);
        rank[begin + i] = 0.5; /* the partner is as similar as itself, which counts as half */
    }
    for (size_t first = 0; first < s->n; first += TILE) {
        size_t width = MMCL__MIN(TILE, s->n - first);
        mmcl__gemm_f64(false, true, height, width, s->cols, 1, look + begin * s->cols, s->cols, among + first * s->cols, s->cols, 0, tile, TILE);
        for (size_t i = 0; i < height; i++)
            for (size_t j = 0; j < width; j++) {
                double more = tile[i * TILE + j] - own[i];
                rank[begin + i] += more > EQUAL ? 1 : more >= -EQUAL ? 0.5 : 0;
            }
    }
}

/* The k-th smallest rank, k from 1. Ranks are multiples of 1/2, so counting halves the range until one is left. */
static double kth_rank(const double *rank, size_t n, size_t k)
{
    size_t low = 2, high = 2 * n; /* twice the rank */
    while (low < high) {
        size_t middle = low + (high - low) / 2, below = 0;
        for (size_t i = 0; i < n; i++)
            below += 2 * rank[i] <= (double) middle;
        if (below >= k)
            high = middle;
        else
            low = middle + 1;
    }
    return (double) low / 2;
}

static void summarise(const double *rank, size_t n, double *recalls[3], double *median, double *reciprocal)
{
    static const double depth[3] = {1, 5, 10};
    *reciprocal                  = 0;
    for (int r = 0; r < 3; r++) {
        size_t found = 0;
        for (size_t i = 0; i < n; i++)
            found += rank[i] <= depth[r];
        *recalls[r] = (double) found / (double) n;
    }
    for (size_t i = 0; i < n; i++)
        *reciprocal += 1 / rank[i] / (double) n;
    *median = (kth_rank(rank, n, (n + 1) / 2) + kth_rank(rank, n, n / 2 + 1)) / 2;
}

static mmcl_status run(struct search *s, const mmcl_matrix *x, const mmcl_matrix *t, mmcl_retrieval_info *info, double *ranks,
                       mmcl__operation *operation)
{
    MMCL__TRY(read_units(s, x, "x", s->rows[0]));
    MMCL__TRY(read_units(s, t, "t", s->rows[1]));
    for (s->from = 0; s->from < 2; s->from++) {
        MMCL__TRY(mmcl__parallel(s->context, (s->n + TILE - 1) / TILE, rank_rows, s));
        MMCL__TRY(mmcl__tick(operation, (uint64_t) s->from + 1, NAN));
    }
    if (ranks != NULL)
        memcpy(ranks, s->rank[0], 2 * s->n * sizeof *ranks);
    info->pairs = s->n;
    for (int side = 0; side < 2; side++) {
        double *recalls[3] = {&info->recall_1[side], &info->recall_5[side], &info->recall_10[side]};
        summarise(s->rank[side], s->n, recalls, &info->median_rank[side], &info->mean_reciprocal_rank[side]);
    }
    return MMCL_OK;
}

mmcl_status mmcl__retrieval(mmcl_context *context, const mmcl_matrix *x, const mmcl_matrix *t, mmcl_retrieval_info *info, double *ranks)
{
    struct search   s = {.context = context, .n = x->rows, .cols = x->cols};
    mmcl__operation operation;
    size_t          cells, rows, tiles = mmcl__width(context) * TILE * TILE;
    if (!mmcl__mul(s.n, s.cols + 1, &rows) || !mmcl__mul(rows, 2, &rows) || !mmcl__add(rows, tiles, &cells))
        return mmcl__fail(context, MMCL_E_INVAL, "x: %zu rows of %zu columns do not fit in memory", s.n, s.cols);
    double *block = mmcl__alloc(context, cells, sizeof *block);
    if (block == NULL)
        return MMCL_E_NOMEM;
    s.rows[0] = block;
    s.rows[1] = s.rows[0] + s.n * s.cols;
    s.rank[0] = s.rows[1] + s.n * s.cols;
    s.rank[1] = s.rank[0] + s.n;
    s.tiles   = s.rank[1] + s.n;
    mmcl__begin(&operation, context, "retrieval", 2);
    mmcl_status status = run(&s, x, t, info, ranks, &operation);
    mmcl__free(context, block, cells, sizeof *block);
    return mmcl__end(&operation, status);
}
