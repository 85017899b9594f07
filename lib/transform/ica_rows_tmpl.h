/* Whitened rows in one precision: REAL, NAME(x) and PSI, the member of the kernel table, are set by the file that includes this one. */

/* A worker's scratch: tiles of raw rows, of whitened rows and of y (as it is and in pieces), two more for the curvature, sums over a tile and over a lane. */
struct NAME(scratch) {
    REAL *raw, *white, *y, *pieces, *curvature, *square, *slope, *density, *psi_x, *second, *source;
};

static struct NAME(scratch) NAME(scratch_of)(const mmcl__ica_rows *rows, uint32_t worker)
{
    size_t cols = rows->source->cols, k = rows->k, extra = rows->curvature ? 1 : 0;
    REAL  *at = (REAL *) rows->scratch + worker * rows->share;
    struct NAME(scratch) s;
    s.raw       = at;
    s.white     = s.raw + TILE * cols;
    s.y         = s.white + TILE * k;
    s.pieces    = s.y + TILE * k;
    s.slope     = s.pieces + MMCL__ICA_SCRATCH(TILE, k);
    s.density   = s.slope + k;
    s.psi_x     = s.density + k;
    s.second    = s.psi_x + k * k;
    s.curvature = s.second + extra * k * k;
    s.square    = s.curvature + extra * TILE * k;
    s.source    = s.square + extra * TILE * k;
    return s;
}

/* n whitened rows from `from` on; NULL on failure. */
static const REAL *NAME(white_rows)(const mmcl__ica_rows *rows, const struct NAME(scratch) *s, size_t from, size_t n,
                                    mmcl__trouble *trouble)
{
    if (from + n <= rows->cached)
        return (const REAL *) rows->cache + from * rows->k;
    if (!NAME(mmcl__source_read)(rows->source, from, n, s->raw, s->source, trouble))
        return NULL;
    NAME(mmcl__stages_run)(rows->whitening, 1, n, rows->source->cols, s->raw, NULL, s->white, rows->k);
    return s->white;
}

static void NAME(fill_cache)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    const mmcl__ica_rows *rows = argument;
    struct NAME(scratch)  s    = NAME(scratch_of)(rows, worker);
    for (size_t t = first; t < last && t * TILE < rows->n; t++) {
        size_t from = t * TILE, n = MMCL__MIN(TILE, rows->n - from);
        REAL  *to = (REAL *) rows->cache + from * rows->k;
        if (from + n > rows->cached)
            return;
        if (!NAME(mmcl__source_read)(rows->source, from, n, s.raw, s.source, &rows->trouble[lane]))
            return;
        NAME(mmcl__stages_run)(rows->whitening, 1, n, rows->source->cols, s.raw, NULL, to, rows->k);
    }
}

static void NAME(add)(size_t n, const REAL *from, double *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += (double) from[i];
}

static void NAME(visit)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    const struct pass    *pass  = argument;
    const mmcl__ica_rows *rows  = pass->rows;
    struct NAME(scratch)  s     = NAME(scratch_of)(rows, worker);
    struct sums           sums  = sums_of(rows, lane);
    size_t                k = rows->k, m = pass->m;
    const NAME(mmcl__ica_products) *products = &mmcl__ica_products()->PSI;
    for (size_t t = first; t < last; t++) {
        size_t      from = t * TILE, n = MMCL__MIN(TILE, rows->n - from);
        const REAL *x = NAME(white_rows)(rows, &s, from, n, &rows->trouble[lane]);
        if (x == NULL)
            return;
        memset(s.slope, 0, m * sizeof(REAL));
        memset(s.density, 0, m * sizeof(REAL));
        products->project(n, m, k, x, pass->w, s.y);
        mmcl__ica()->PSI[pass->contrast](n, m, (REAL) pass->alpha, s.y, s.slope, pass->density ? s.density : NULL,
                                            pass->curvature ? s.curvature : NULL, s.square);
        /* Up to FLUSH tiles are summed in the tile's precision, by the product itself. */
        bool fresh = (t - first) % FLUSH == 0, flush = (t - first) % FLUSH == FLUSH - 1 || t + 1 == last;
        products->correlate(n, m, k, s.y, x, !fresh, s.psi_x, s.pieces);
        if (pass->curvature)
            products->correlate(n, m, m, s.curvature, s.square, !fresh, s.second, s.pieces);
        NAME(add)(m, s.slope, sums.slope);
        NAME(add)(m, s.density, sums.density);
        if (flush) {
            NAME(add)(m * k, s.psi_x, sums.psi_x);
            if (pass->curvature)
                NAME(add)(m * m, s.second, sums.second);
        }
    }
}

/* For mmcl__ica_describe: sums of y^3 go to slope, of log cosh y to density. */
static void NAME(describe)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    const struct pass    *pass = argument;
    const mmcl__ica_rows *rows = pass->rows;
    struct NAME(scratch)  s    = NAME(scratch_of)(rows, worker);
    struct sums           sums = sums_of(rows, lane);
    for (size_t t = first; t < last; t++) {
        size_t      from = t * TILE, n = MMCL__MIN(TILE, rows->n - from), m = pass->m;
        const REAL *x = NAME(white_rows)(rows, &s, from, n, &rows->trouble[lane]);
        if (x == NULL)
            return;
        mmcl__ica_products()->PSI.project(n, m, rows->k, x, pass->w, s.y);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < m; j++) {
                double y = s.y[i * m + j], size = fabs(y);
                sums.slope[j] += y * y * y;
                sums.density[j] += size + log1p(exp(-2 * size)) - M_LN2;
            }
    }
}
