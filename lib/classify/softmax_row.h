/*
 * Body of the softmax kernel, included once per element type with REAL, LANES, EXP and KERNEL defined. Sums run in LANES
 * independent strands, which the compiler keeps in vector registers.
 */

/* s = s + bias - origin; returns the largest, at least 0. */
static REAL KERNEL(shift)(size_t n, const REAL *restrict bias, REAL origin, REAL *restrict s)
{
    REAL   top[LANES] = {0}, most = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) {
            s[j + l] = s[j + l] + bias[j + l] - origin;
            top[l]   = s[j + l] > top[l] ? s[j + l] : top[l];
        }
    for (; j < n; j++) {
        s[j]   = s[j] + bias[j] - origin;
        top[0] = s[j] > top[0] ? s[j] : top[0];
    }
    for (int l = 0; l < LANES; l++)
        most = top[l] > most ? top[l] : most;
    return most;
}

/* s = exp(s - top); returns the sum. */
static REAL KERNEL(exponentials)(size_t n, REAL top, REAL *restrict s)
{
    REAL   sum[LANES] = {0}, total = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) {
            s[j + l] = EXP(s[j + l] - top);
            sum[l] += s[j + l];
        }
    for (; j < n; j++) {
        s[j] = EXP(s[j] - top);
        sum[0] += s[j];
    }
    for (int l = 0; l < LANES; l++)
        total += sum[l];
    return total;
}

/* s = scale s, added to column_sums; returns the sum of squares. */
static REAL KERNEL(probabilities)(size_t n, REAL scale, REAL *restrict s, REAL *restrict column_sums)
{
    REAL   sum[LANES] = {0}, total = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) {
            REAL p = s[j + l] * scale;
            s[j + l] = p;
            column_sums[j + l] += p;
            sum[l] += p * p;
        }
    for (; j < n; j++) {
        s[j] *= scale;
        column_sums[j] += s[j];
        sum[0] += s[j] * s[j];
    }
    for (int l = 0; l < LANES; l++)
        total += sum[l];
    return total;
}

static void KERNEL(softmax)(size_t rows, size_t classes, const int32_t *labels, const REAL *bias, REAL *scores, REAL *column_sums,
                            double *losses, double *normalisers, double *spread)
{
    for (size_t i = 0; i < rows; i++) {
        REAL  *s = scores + i * classes;
        size_t y = (size_t) labels[i];
        REAL   own = s[y] + bias[y], top = KERNEL(shift)(classes, bias, own, s);
        s[y]       = -(REAL) 1e30; /* leaves the label out of the sum: its own term is exp(-top) */
        REAL others = KERNEL(exponentials)(classes, top, s), all = others + EXP(-top), miss = others / all;
        s[y]         = 0;
        REAL squares = KERNEL(probabilities)(classes, 1 / all, s, column_sums);
        s[y]         = -miss;
        column_sums[y] -= miss;
        losses[i]      = top > 0 ? (double) top + log((double) all) : log1p((double) others);
        normalisers[i] = (double) own + losses[i];
        *spread += (double) miss * (2 - (double) miss) - (double) squares;
    }
}
