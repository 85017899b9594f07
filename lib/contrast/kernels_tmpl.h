/*
 * Similarity and gradient for one kind of term: NAME(x), and TERM(v), SLOPE(g, v) of v = x - t or DOT, are set by the file that
 * includes this one, once for each.
 */

/* Vectors of columns that a pass over the dimensions carries along: enough additions in flight to hide their latency. */
#define WIDTH (LANES == 16 ? 1 : 2)

INLINE void NAME(similarity_of)(const int n, size_t first, size_t cols, size_t dims, float p, const float *x, size_t x_stride,
                                const float *t, size_t t_stride, float *d, size_t d_stride)
{
    (void) p;
    x += first * x_stride;
    d += first * d_stride;
    for (size_t j = 0; j < cols; j += WIDTH * LANES) {
        vec sum[4][WIDTH];
        UNROLL
        for (int r = 0; r < n; r++)
            UNROLL
            for (int w = 0; w < WIDTH; w++)
                sum[r][w] = (vec){0};
        for (size_t start = 0; start < dims; start += 64) { /* many dimensions in parts: long sums lose digits */
            vec    part[4][WIDTH];
            size_t end = start + 64 < dims ? start + 64 : dims;
            UNROLL
            for (int r = 0; r < n; r++)
                UNROLL
                for (int w = 0; w < WIDTH; w++)
                    part[r][w] = (vec){0};
            for (size_t k = start; k < end; k++)
                UNROLL
                for (int w = 0; w < WIDTH; w++) {
                    vec column = load(t + k * t_stride + j + w * LANES);
                    UNROLL
                    for (int r = 0; r < n; r++) {
#ifdef DOT
                        part[r][w] += x[r * x_stride + k] * column;
#else
                        vec v = x[r * x_stride + k] - column;
                        part[r][w] -= TERM(v);
#endif
                    }
                }
            UNROLL
            for (int r = 0; r < n; r++)
                UNROLL
                for (int w = 0; w < WIDTH; w++)
                    sum[r][w] += part[r][w];
        }
        UNROLL
        for (int r = 0; r < n; r++)
            UNROLL
            for (int w = 0; w < WIDTH; w++)
                store(d + r * d_stride + j + w * LANES, sum[r][w]);
    }
}

static void NAME(similarity)(size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride, const float *t,
                             size_t t_stride, float *d, size_t d_stride)
{
    size_t i = 0;
    for (; i + 4 <= rows; i += 4)
        NAME(similarity_of)(4, i, cols, dims, p, x, x_stride, t, t_stride, d, d_stride);
    for (; i < rows; i++)
        NAME(similarity_of)(1, i, cols, dims, p, x, x_stride, t, t_stride, d, d_stride);
}

/* One dimension of n rows: `dx` [n] steps of dx_stride apart, `dt` [cols]. */
INLINE void NAME(slope_of)(const int n, const bool by_x, const bool by_t, size_t cols, float p, const float *x, size_t x_stride,
                           const float *t, const float *g, size_t g_stride, float *dx, size_t dx_stride, float *dt)
{
    (void) p;
    vec   sum[4];
    float own[4];
    UNROLL
    for (int r = 0; r < n; r++) {
        sum[r] = (vec){0};
        own[r] = x[r * x_stride];
    }
    for (size_t j = 0; j < cols; j += LANES) {
        vec column = load(t + j), slope = by_t ? load(dt + j) : (vec){0};
        UNROLL
        for (int r = 0; r < n; r++) {
            vec weight = load(g + r * g_stride + j);
#ifdef DOT
            if (by_x)
                sum[r] += weight * column;
            if (by_t)
                slope += weight * own[r];
#else
            vec v = own[r] - column, part = SLOPE(weight, v);
            if (by_x)
                sum[r] -= part;
            if (by_t)
                slope += part;
#endif
        }
        if (by_t)
            store(dt + j, slope);
    }
    UNROLL
    for (int r = 0; r < n; r++)
        if (by_x)
            dx[r * dx_stride] += total(sum[r]);
}

INLINE void NAME(gradient_of)(const int n, const bool by_x, const bool by_t, size_t cols, size_t dims, float p, const float *x,
                              size_t x_stride, const float *t, size_t t_stride, const float *g, size_t g_stride, float *dx,
                              size_t dx_stride, float *dt, size_t dt_stride)
{
    for (size_t k = 0; k < dims; k++)
        NAME(slope_of)(n, by_x, by_t, cols, p, x + k, x_stride, t + k * t_stride, g, g_stride, by_x ? dx + k : dx, dx_stride,
                       by_t ? dt + k * dt_stride : dt);
}

#define ROWS(n, by_x, by_t)                                                                                            \
    NAME(gradient_of)(n, by_x, by_t, cols, dims, p, x + i * x_stride, x_stride, t, t_stride, g + i * g_stride, g_stride, \
                      by_x ? dx + i * dx_stride : dx, dx_stride, dt, dt_stride)

static void NAME(gradient)(size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride, const float *t,
                           size_t t_stride, const float *g, size_t g_stride, float *dx, size_t dx_stride, float *dt,
                           size_t dt_stride)
{
    for (size_t i = 0; i < rows;) {
        bool four = i + 4 <= rows;
        if (dx != NULL && dt != NULL && four)
            ROWS(4, true, true);
        else if (dx != NULL && dt != NULL)
            ROWS(1, true, true);
        else if (dx != NULL)
            ROWS(1, true, false);
        else if (four)
            ROWS(4, false, true);
        else
            ROWS(1, false, true);
        i += four && dt != NULL ? 4 : 1;
    }
}

#undef ROWS
#undef WIDTH
#undef NAME
#undef TERM
#undef SLOPE
