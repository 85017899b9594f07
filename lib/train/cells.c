/* Hard cells: pairs that lie close together in the embedding of one side. */
#include "train/trainer.h"

#include "core/rng.h"

#include <string.h>

/* Draws of a stream that follows from seed and index. */
struct stream {
    uint64_t seed, index;
    uint32_t drawn;
};

static uint32_t draw(struct stream *stream)
{
    const uint32_t counter[4] = {stream->drawn++, 0x63656c6c, (uint32_t) stream->index, (uint32_t) (stream->index >> 32)};
    const uint32_t key[2]     = {(uint32_t) stream->seed, (uint32_t) (stream->seed >> 32)};
    uint32_t       out[4];
    mmcl__philox(counter, key, out);
    return out[0];
}

/* Uniform in 0 ... n - 1, up to a bias of n / 2^32. */
static uint32_t below(struct stream *stream, uint32_t n)
{
    return (uint32_t) ((uint64_t) draw(stream) * n >> 32);
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t kept = *a;
    *a            = *b;
    *b            = kept;
}

/* The coordinate of largest variance, after a random factor of 0.7 to 1.3 for each, so that no two pools are cut alike. */
static size_t widest(size_t n, size_t d, const float *codes, const uint32_t *order, struct stream *stream)
{
    size_t best = 0;
    double most = -1;
    for (size_t j = 0; j < d; j++) {
        double sum = 0, squares = 0, origin = (double) codes[order[0] * d + j];
        for (size_t i = 0; i < n; i++) {
            double v = (double) codes[order[i] * d + j] - origin;
            sum += v;
            squares += v * v;
        }
        double spread = (squares - sum * sum / (double) n) * (0.7 + 0.6 * (double) draw(stream) / 0x1p32);
        if (spread > most) {
            most = spread;
            best = j;
        }
    }
    return best;
}

/* Is a's value below b's? Rows break ties, so that the order is total. */
static bool before(const float *values, uint32_t a, uint32_t b)
{
    return values[a] < values[b] || (values[a] == values[b] && a < b);
}

/* Brings the `rank` lowest of order [n] to its front (Hoare's selection, pivots in the middle). */
static void select_lowest(size_t n, size_t rank, const float *values, uint32_t *order)
{
    ptrdiff_t low = 0, high = (ptrdiff_t) n - 1;
    while (low < high) {
        uint32_t  pivot = order[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (before(values, order[i], pivot))
                i++;
            while (before(values, pivot, order[j]))
                j--;
            if (i <= j)
                swap(&order[i++], &order[j--]);
        }
        if ((ptrdiff_t) rank <= j)
            high = j;
        else if ((ptrdiff_t) rank >= i)
            low = i;
        else
            return;
    }
}

/* Halves a run of cells until it is one. */
static void split(size_t cells, size_t cell, size_t d, const float *codes, struct stream *stream, float *values, uint32_t *order)
{
    if (cells < 2)
        return;
    size_t n = cells * cell, half = cells / 2, j = widest(n, d, codes, order, stream);
    for (size_t i = 0; i < n; i++)
        values[order[i]] = codes[order[i] * d + j];
    select_lowest(n, half * cell, values, order);
    split(half, cell, d, codes, stream, values, order);
    split(cells - half, cell, d, codes, stream, values, order + half * cell);
}

void mmcl__cells_split(size_t n, size_t d, size_t cell, const float *codes, uint64_t seed, uint64_t index, float *values,
                       uint32_t *order)
{
    struct stream stream = {.seed = seed, .index = index};
    size_t        cells  = n / cell;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t) i;
    split(cells, cell, d, codes, &stream, values, order);
    for (size_t i = cells; i-- > 1;) {
        size_t other = below(&stream, (uint32_t) i + 1);
        for (size_t k = 0; k < cell && other != i; k++)
            swap(&order[i * cell + k], &order[other * cell + k]);
    }
}

/* --------------------------------------------------------------------------------------------------------- batches --- */

static mmcl_status draw_pool(mmcl_trainer *trainer, uint64_t index)
{
    mmcl__cells *cells = &trainer->cells;
    if (cells->index != index)
        cells->drawn = cells->ordered = false;
    cells->index = index;
    if (!cells->drawn)
        MMCL__TRY(mmcl__source_fill(trainer, index, cells->pool, cells->rows[0], cells->rows[1], NULL, trainer->indices));
    cells->drawn = true;
    if (cells->ordered)
        return MMCL_OK;
    const mmcl__train_side *side = &trainer->sides[index % 2];
    const mmcl_matrix       rows = {.data = cells->rows[index % 2], .rows = cells->pool, .cols = side->inputs};
    MMCL__TRY(mmcl__encoder_forward(side->encoder, &rows, cells->codes, side->outputs));
    mmcl__cells_split(cells->pool, side->outputs, (size_t) trainer->options.cell, cells->codes, trainer->options.seed, index,
                      cells->values, cells->order);
    cells->ordered = true;
    return MMCL_OK;
}

mmcl_status mmcl__cells_batch(mmcl_trainer *trainer)
{
    mmcl__cells *cells = &trainer->cells;
    size_t       batch = (size_t) trainer->options.batch, steps = cells->pool / batch;
    MMCL__TRY(draw_pool(trainer, trainer->state.step / steps));
    const uint32_t *order = cells->order + trainer->state.step % steps * batch;
    for (int s = 0; s < 2; s++) {
        const mmcl__train_side *side = &trainer->sides[s];
        for (size_t i = 0; i < batch; i++)
            memcpy(side->rows + i * side->inputs, cells->rows[s] + order[i] * side->inputs, side->inputs * sizeof *side->rows);
    }
    return MMCL_OK;
}
