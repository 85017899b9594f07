/* The products of a pass for one precision: REAL and NAME(x) are set by the file that includes this one. */

typedef REAL NAME(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));

#define LANES (VECTOR / sizeof(REAL))
#define WIDTH (2 * LANES)                       /* columns of a block of the result */
#define DEPTH (PANEL / (WIDTH * sizeof(REAL)))  /* terms of a sum that are added before the next panel */

/* Where the operands of a block lie: sums of a[i * a_row + p * a_step] * b[p * b_step + j] over p < depth. */
struct NAME(block) {
    size_t      depth;
    const REAL *a;
    size_t      a_row, a_step;
    const REAL *b;
    size_t      b_step;
    REAL       *c;
    size_t      c_row, cols; /* of the block: at most its registers hold */
    bool        add;
};

/* `height` and `vectors` are constants wherever this is expanded, so that the sums live in registers. */
INLINE void NAME(block_of)(const struct NAME(block) *block, const size_t height, const size_t vectors)
{
    NAME(vec)   sum[HEIGHT][2];
    const REAL *a = block->a, *b = block->b;
    size_t      a_row = block->a_row, a_step = block->a_step, b_step = block->b_step;
#pragma GCC unroll 6
    for (size_t i = 0; i < height; i++)
        sum[i][0] = sum[i][1] = (NAME(vec)){0};
    for (size_t p = block->depth; p > 0; p--, a += a_step, b += b_step) {
        NAME(vec) b0 = *(const NAME(vec) *) b, b1 = *(const NAME(vec) *) (b + (vectors > 1 ? LANES : 0));
#pragma GCC unroll 6
        for (size_t i = 0; i < height; i++) {
            sum[i][0] += a[i * a_row] * b0;
            if (vectors > 1)
                sum[i][1] += a[i * a_row] * b1;
        }
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < height; i++) {
        REAL *c = block->c + i * block->c_row;
        if (block->cols == vectors * LANES) {
            for (size_t v = 0; v < vectors; v++) {
                NAME(vec) *to = (NAME(vec) *) (c + v * LANES);
                if (block->add)
                    sum[i][v] += *to;
                *to = sum[i][v];
            }
            continue;
        }
        REAL row[WIDTH];
        memcpy(row, sum[i], sizeof row);
        for (size_t j = 0; j < block->cols; j++)
            c[j] = block->add ? c[j] + row[j] : row[j];
    }
}

#define CASE(height)                                                                                                   \
    case height:                                                                                                       \
        if (block->cols > LANES)                                                                                       \
            NAME(block_of)(block, height, 2);                                                                          \
        else                                                                                                           \
            NAME(block_of)(block, height, 1);                                                                          \
        break;

static void NAME(run_block)(const struct NAME(block) *block, size_t height)
{
    switch (height) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
    }
}

static void NAME(pack)(size_t m, size_t k, const double *w, REAL *panels)
{
    for (size_t first = 0; first < m; first += WIDTH)
        for (size_t j = 0; j < k; j++)
            for (size_t i = first; i < first + WIDTH; i++)
                *panels++ = i < m ? (REAL) w[i * k + j] : 0;
}

/* A panel stays in the first-level cache while all rows of x pass by. */
static void NAME(project)(size_t n, size_t m, size_t k, const REAL *x, const REAL *panels, REAL *y)
{
    for (size_t first = 0; first < m; first += WIDTH)
        for (size_t from = 0; from < k; from += DEPTH) {
            struct NAME(block) block = {.a_row = k, .a_step = 1, .b = panels + first * k + from * WIDTH, .b_step = WIDTH, .c_row = m,
                                        .add = from > 0};
            block.depth = k - from < DEPTH ? k - from : DEPTH;
            block.cols  = m - first < WIDTH ? m - first : WIDTH;
            for (size_t row = 0; row < n; row += HEIGHT) {
                block.a = x + row * k + from;
                block.c = y + row * m + first;
                NAME(run_block)(&block, n - row < HEIGHT ? n - row : HEIGHT);
            }
        }
}

/* y in pieces HEIGHT columns wide, each with its rows behind one another. */
static void NAME(gather)(size_t n, size_t m, const REAL *y, REAL *pieces)
{
    for (size_t first = 0; first < m; first += HEIGHT) {
        size_t width = m - first < HEIGHT ? m - first : HEIGHT;
        if (width == HEIGHT)
            for (size_t i = 0; i < n; i++, pieces += HEIGHT)
                memcpy(pieces, y + i * m + first, HEIGHT * sizeof(REAL));
        else
            for (size_t i = 0; i < n; i++, pieces += HEIGHT)
                memcpy(pieces, y + i * m + first, width * sizeof(REAL));
    }
}

/* WIDTH columns of x, rows behind one another; what is missing at the right is 0. */
static void NAME(take_columns)(size_t n, size_t k, const REAL *x, size_t cols, REAL *panel)
{
    for (size_t i = 0; i < n; i++, x += k, panel += WIDTH)
        if (cols == WIDTH) {
            memcpy(panel, x, WIDTH * sizeof(REAL));
        } else {
            memset(panel, 0, WIDTH * sizeof(REAL));
            memcpy(panel, x, cols * sizeof(REAL));
        }
}

/*
 * Columns of x in panels that stay in the first-level cache while all of y passes by. They are copied: where they lie, each row is
 * in a page of its own, which is more pages than the processor remembers.
 */
static void NAME(correlate)(size_t n, size_t m, size_t k, const REAL *y, const REAL *x, bool add, REAL *out, REAL *scratch)
{
    REAL *panel = scratch + n * ((m + HEIGHT - 1) / HEIGHT * HEIGHT);
    NAME(gather)(n, m, y, scratch);
    for (size_t first = 0; first < k; first += WIDTH) {
        struct NAME(block) block = {.a_row = 1, .a_step = HEIGHT, .b_step = WIDTH, .c_row = k};
        block.cols               = k - first < WIDTH ? k - first : WIDTH;
        NAME(take_columns)(n, k, x + first, block.cols, panel);
        for (size_t from = 0; from < n; from += DEPTH) {
            block.depth = n - from < DEPTH ? n - from : DEPTH;
            block.b     = panel + from * WIDTH;
            block.add   = add || from > 0;
            for (size_t row = 0; row < m; row += HEIGHT) {
                block.a = scratch + row * n + from * HEIGHT;
                block.c = out + row * k + first;
                NAME(run_block)(&block, m - row < HEIGHT ? m - row : HEIGHT);
            }
        }
    }
}

#undef LANES
#undef WIDTH
#undef DEPTH
#undef CASE
