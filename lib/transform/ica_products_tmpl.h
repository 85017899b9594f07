/* The products of a pass for one precision: REAL and NAME(x) are set by the file that includes this one. */

typedef REAL NAME(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));

#define LANES (VECTOR / sizeof(REAL))
#define WIDTH (2 * LANES)

/*
 * y [height, WIDTH] = x times a panel, for x [height, IN_PIECES(k)] in `pieces` that lie n rows apart. `height` is a constant wherever this is
 * expanded, here and below, so that the sums live in registers.
 */
INLINE void NAME(project_rows)(size_t n, size_t pieces, const REAL *x, const REAL *panel, REAL *y, const size_t height)
{
    NAME(vec) sum[HEIGHT][2];
#pragma GCC unroll 6
    for (size_t i = 0; i < height; i++)
        sum[i][0] = sum[i][1] = (NAME(vec)){0};
    for (; pieces > 0; pieces--, x += n * PIECE, panel += PIECE * WIDTH)
#pragma GCC unroll 6
        for (size_t p = 0; p < PIECE; p++) {
            NAME(vec) first = *(const NAME(vec) *) (panel + p * WIDTH), second = *(const NAME(vec) *) (panel + p * WIDTH + LANES);
#pragma GCC unroll 6
            for (size_t i = 0; i < height; i++) {
                sum[i][0] += x[i * PIECE + p] * first;
                sum[i][1] += x[i * PIECE + p] * second;
            }
        }
#pragma GCC unroll 6
    for (size_t i = 0; i < height; i++) {
        *(NAME(vec) *) (y + i * WIDTH)         = sum[i][0];
        *(NAME(vec) *) (y + i * WIDTH + LANES) = sum[i][1];
    }
}

/* out [height, WIDTH] = x^T y, or that added, for x [n, height] whose rows lie `step` apart, and a panel y. */
INLINE void NAME(correlate_rows)(size_t n, size_t step, const REAL *x, const REAL *y, bool add, REAL *out, const size_t height)
{
    NAME(vec) sum[HEIGHT][2];
#pragma GCC unroll 6
    for (size_t i = 0; i < height; i++)
        sum[i][0] = sum[i][1] = (NAME(vec)){0};
    for (; n > 0; n--, x += step, y += WIDTH) {
        NAME(vec) first = *(const NAME(vec) *) y, second = *(const NAME(vec) *) (y + LANES);
#pragma GCC unroll 6
        for (size_t i = 0; i < height; i++) {
            sum[i][0] += x[i] * first;
            sum[i][1] += x[i] * second;
        }
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < height; i++) {
        NAME(vec) *to = (NAME(vec) *) (out + i * WIDTH), *beside = (NAME(vec) *) (out + i * WIDTH + LANES);
        if (add) {
            sum[i][0] += *to;
            sum[i][1] += *beside;
        }
        *to     = sum[i][0];
        *beside = sum[i][1];
    }
}

static void NAME(pack)(size_t m, size_t k, const double *w, REAL *panels)
{
    for (size_t first = 0; first < m; first += WIDTH)
        for (size_t j = 0; j < MMCL__ICA_IN_PIECES(k); j++)
            for (size_t i = first; i < first + WIDTH; i++)
                *panels++ = i < m && j < k ? (REAL) w[i * k + j] : 0;
}

#define CASES(function, ...)                                                                                           \
    case 1: function(__VA_ARGS__, 1); break;                                                                           \
    case 2: function(__VA_ARGS__, 2); break;                                                                           \
    case 3: function(__VA_ARGS__, 3); break;                                                                           \
    case 4: function(__VA_ARGS__, 4); break;                                                                           \
    case 5: function(__VA_ARGS__, 5); break;                                                                           \
    case 6: function(__VA_ARGS__, 6); break;

static void NAME(project)(size_t n, size_t k, const REAL *x, const REAL *panel, REAL *y, const void *ahead, size_t bytes)
{
    size_t      pieces = MMCL__ICA_IN_PIECES(k) / PIECE, blocks = (n + HEIGHT - 1) / HEIGHT, share = (bytes / CACHE_LINE + blocks) / blocks;
    const char *line = ahead;
    for (size_t row = 0; row < n; row += HEIGHT) {
        for (size_t i = 0; i < share && bytes >= CACHE_LINE; i++, line += CACHE_LINE, bytes -= CACHE_LINE)
            __builtin_prefetch(line, 0, 2);
        switch (n - row < HEIGHT ? n - row : HEIGHT) {
            CASES(NAME(project_rows), n, pieces, x + row * PIECE, panel, y + row * WIDTH)
        }
    }
}

static void NAME(correlate)(size_t n, size_t k, size_t piece, const REAL *x, const REAL *y, bool add, REAL *out)
{
    for (size_t first = 0; first < k; first += piece, x += n * piece)
        for (size_t j = 0; j < piece && first + j < k; j += HEIGHT) {
            size_t within = piece - j < HEIGHT ? piece - j : HEIGHT, left = k - first - j;
            switch (left < within ? left : within) {
                CASES(NAME(correlate_rows), n, piece, x + j, y, add, out + (first + j) * WIDTH)
            }
        }
}

#undef LANES
#undef WIDTH
#undef CASES
