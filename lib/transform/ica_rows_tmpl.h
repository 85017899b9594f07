/* Whitened rows in one precision: REAL, NAME(x) and PSI, the member of the kernel table, are set by the file that includes this one. */

/*
 * A worker's scratch: a panel of y; tiles of whitened rows as they are and in pieces, and of raw rows; sums over a tile and over a lane; for
 * the curvature two tiles in panels and their sums.
 */
struct NAME(scratch) {
    REAL *y, *white, *pieces, *raw, *slope, *density, *psi_x, *second, *curvature, *square, *source;
};

static struct NAME(scratch) NAME(scratch_of)(const mmcl__ica_rows *rows, uint32_t worker)
{
    size_t cols = rows->source->cols, k = rows->k, m = MMCL__ICA_IN_PANELS(k), extra = rows->curvature ? m : 0;
    REAL  *at = (REAL *) rows->scratch + worker * rows->share;
    struct NAME(scratch) s;
    s.y         = at;
    s.white     = s.y + TILE * MMCL__ICA_WIDEST;
    s.pieces    = s.white + TILE * k;
    s.raw       = s.pieces + TILE * MMCL__ICA_IN_PIECES(k);
    s.slope     = s.raw + TILE * cols;
    s.density   = s.slope + m;
    s.psi_x     = s.density + m;
    s.second    = s.psi_x + m * k;
    s.curvature = s.second + extra * k;
    s.square    = s.curvature + extra * TILE;
    s.source    = s.square + extra * TILE;
    return s;
}

/* x [n, k] in pieces. */
static void NAME(cut)(size_t n, size_t k, const REAL *x, REAL *pieces)
{
    for (size_t first = 0; first < k; first += MMCL__ICA_PIECE) {
        size_t cols = MMCL__MIN(MMCL__ICA_PIECE, k - first);
        for (size_t i = 0; i < n; i++, pieces += MMCL__ICA_PIECE)
            for (size_t j = 0; j < MMCL__ICA_PIECE; j++)
                pieces[j] = j < cols ? x[i * k + first + j] : 0;
    }
}

/* n rows from `from` on, whitened, into `pieces`. False on failure. */
static bool NAME(read_pieces)(const mmcl__ica_rows *rows, const struct NAME(scratch) *s, size_t from, size_t n, REAL *pieces,
                              mmcl__trouble *trouble)
{
    if (!NAME(mmcl__source_read)(rows->source, from, n, s->raw, s->source, trouble))
        return false;
    NAME(mmcl__stages_run)(rows->whitening, 1, n, rows->source->cols, s->raw, NULL, s->white, rows->k);
    NAME(cut)(n, rows->k, s->white, pieces);
    return true;
}

/* Where the tile of n rows lies in the cache; NULL when it does not. */
static REAL *NAME(cached)(const mmcl__ica_rows *rows, size_t from, size_t n)
{
    return from < rows->n && from + n <= rows->cached ? (REAL *) rows->cache + from * MMCL__ICA_IN_PIECES(rows->k) : NULL;
}

static void NAME(fill_cache)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    const mmcl__ica_rows *rows = argument;
    struct NAME(scratch)  s    = NAME(scratch_of)(rows, worker);
    for (size_t t = first; t < last; t++) {
        size_t from = t * TILE, n = MMCL__MIN(TILE, rows->n - from);
        REAL  *to = NAME(cached)(rows, from, n);
        if (to == NULL || !NAME(read_pieces)(rows, &s, from, n, to, &rows->trouble[lane]))
            return;
    }
}

/* n whitened rows from `from` on, in pieces; NULL on failure. */
static const REAL *NAME(pieces_at)(const mmcl__ica_rows *rows, const struct NAME(scratch) *s, size_t from, size_t n, mmcl__trouble *trouble)
{
    const REAL *there = NAME(cached)(rows, from, n);
    if (there == NULL && NAME(read_pieces)(rows, s, from, n, s->pieces, trouble))
        there = s->pieces;
    return there;
}

static void NAME(add)(size_t n, const REAL *from, double *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += (double) from[i];
}

/*
 * y of a tile, in s->y, for the panel of W that begins at row `first`. The next tile comes from far away: each panel fetches its share of it
 * into the cache.
 */
static void NAME(project_panel)(const struct pass *pass, const struct NAME(scratch) *s, size_t from, size_t n, const REAL *x, size_t first)
{
    const mmcl__ica_rows *rows = pass->rows;
    const NAME(mmcl__ica_products) *products = &mmcl__ica_products()->PSI;
    size_t      padded = MMCL__ICA_IN_PIECES(rows->k), next = from + n, width = products->width, bytes = 0;
    const char *ahead = (const char *) NAME(cached)(rows, next, MMCL__MIN(TILE, rows->n - next));
    if (ahead != NULL) {
        bytes = MMCL__MIN(TILE, rows->n - next) * padded * sizeof(REAL) / ((pass->m + width - 1) / width);
        ahead += first / width * bytes;
    }
    products->project(n, rows->k, x, (const REAL *) pass->w + first * padded, s->y, ahead, bytes);
}

static void NAME(visit)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    const struct pass    *pass  = argument;
    const mmcl__ica_rows *rows  = pass->rows;
    struct NAME(scratch)  s     = NAME(scratch_of)(rows, worker);
    struct sums           sums  = sums_of(rows, lane);
    const NAME(mmcl__ica_products) *products = &mmcl__ica_products()->PSI;
    size_t k = rows->k, m = pass->m, width = products->width, panels = (m + width - 1) / width, wide = panels * width;
    for (size_t t = first; t < last; t++) {
        size_t      from = t * TILE, n = MMCL__MIN(TILE, rows->n - from);
        const REAL *x = NAME(pieces_at)(rows, &s, from, n, &rows->trouble[lane]);
        if (x == NULL)
            return;
        /* Up to FLUSH tiles are summed in the tile's precision, by the product itself. */
        bool fresh = (t - first) % FLUSH == 0, flush = (t - first) % FLUSH == FLUSH - 1 || t + 1 == last;
        memset(s.slope, 0, wide * sizeof(REAL));
        memset(s.density, 0, wide * sizeof(REAL));
        for (size_t p = 0; p < panels; p++) {
            size_t at = p * width;
            NAME(project_panel)(pass, &s, from, n, x, at);
            mmcl__ica()->PSI[pass->contrast](n, width, (REAL) pass->alpha, s.y, s.slope + at, pass->density ? s.density + at : NULL,
                                             pass->curvature ? s.curvature + at * n : NULL, s.square + at * n);
            products->correlate(n, k, MMCL__ICA_PIECE, x, s.y, !fresh, s.psi_x + at * k);
        }
        for (size_t p = 0; p < panels && pass->curvature; p++)
            products->correlate(n, m, width, s.square, s.curvature + p * width * n, !fresh, s.second + p * width * m);
        NAME(add)(wide, s.slope, sums.slope);
        NAME(add)(wide, s.density, sums.density);
        if (flush) {
            NAME(add)(wide * k, s.psi_x, sums.psi_x);
            if (pass->curvature)
                NAME(add)(wide * m, s.second, sums.second);
        }
    }
}

/* For mmcl__ica_describe: sums of y^3 go to slope, of log cosh y to density. */
static void NAME(describe)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    const struct pass    *pass  = argument;
    const mmcl__ica_rows *rows  = pass->rows;
    struct NAME(scratch)  s     = NAME(scratch_of)(rows, worker);
    struct sums           sums  = sums_of(rows, lane);
    size_t                width = mmcl__ica_products()->PSI.width;
    for (size_t t = first; t < last; t++) {
        size_t      from = t * TILE, n = MMCL__MIN(TILE, rows->n - from);
        const REAL *x = NAME(pieces_at)(rows, &s, from, n, &rows->trouble[lane]);
        if (x == NULL)
            return;
        memset(s.slope, 0, MMCL__ICA_IN_PANELS(pass->m) * sizeof(REAL));
        memset(s.density, 0, MMCL__ICA_IN_PANELS(pass->m) * sizeof(REAL));
        for (size_t at = 0; at < pass->m; at += width) {
            NAME(project_panel)(pass, &s, from, n, x, at);
            for (size_t i = 0; i < n * width; i++) {
                double y = s.y[i];
                sums.slope[at + i % width] += y * y * y;
            }
            mmcl__ica()->PSI[MMCL_CONTRAST_LOGCOSH](n, width, 1, s.y, s.slope, s.density + at, NULL, NULL);
        }
        for (size_t j = 0; j < pass->m; j++)
            sums.density[j] += (double) s.density[j] - (double) n * M_LN2;
    }
}
