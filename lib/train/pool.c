/* Hard batches: a pool of pairs, cut into cells of representations that lie close together. */
#include "train/trainer.h"

#include "core/rng.h"

/* A uniform number in [0, 1) for place (a, b) of pool `number`. */
static double chance(const mmcl_trainer *trainer, uint64_t number, uint32_t a, uint32_t b)
{
    const uint32_t counter[4] = {a, b, (uint32_t) number, 0x706f6f6cu ^ (uint32_t) (number >> 32)};
    const uint32_t key[2]     = {(uint32_t) trainer->options.seed, (uint32_t) (trainer->options.seed >> 32)};
    uint32_t       words[4];
    mmcl__philox(counter, key, words);
    return words[0] * 0x1p-32;
}

static mmcl_status encode(mmcl_trainer *trainer, mmcl__side *side)
{
    if (mmcl__encoder_is_host(side->encoder)) {
        const mmcl_encoder_rows rows = {.inputs  = side->pool,
                                        .indices = trainer->source.fill == NULL && trainer->source.model == NULL ? trainer->indices : NULL,
                                        .step    = trainer->step,
                                        .batch   = trainer->draw};
        mmcl_status status = mmcl__host_represent(side->encoder, &rows, trainer->pool_f);
        return status == MMCL_OK ? status : mmcl__fail(trainer->context, status, "encoder: represent failed");
    }
    const mmcl_matrix rows = {.data = side->pool, .rows = trainer->draw, .cols = side->inputs};
    mmcl_status status = mmcl__encoder_forward(side->encoder, &rows, trainer->pool_f, side->outputs);
    if (status == MMCL_E_NUMERIC)
        return mmcl__fail(trainer->context, status, "step %llu: the source holds NaN or infinity", (unsigned long long) trainer->step);
    return status == MMCL_OK ? status : mmcl__fail(trainer->context, status, "executor: its run failed");
}

/* The coordinate of largest variance times chance, over the rows of a cell. */
static size_t widest(const mmcl_trainer *trainer, uint64_t number, uint32_t cell, const uint32_t *rows, size_t n, size_t cols)
{
    size_t best   = 0;
    double spread = -1;
    for (size_t j = 0; j < cols; j++) {
        double sum = 0, square = 0, origin = trainer->pool_f[rows[0] * cols + j];
        for (size_t i = 0; i < n; i++) {
            double value = trainer->pool_f[rows[i] * cols + j] - origin;
            sum += value;
            square += value * value;
        }
        double found = (square - sum * sum / (double) n) * (0.7 + 0.6 * chance(trainer, number, cell, (uint32_t) j));
        if (found > spread) {
            spread = found;
            best   = j;
        }
    }
    return best;
}

/* Moves the half of the rows with the smaller keys to the front (Hoare's FIND, 1961). */
static void select_half(float *keys, uint32_t *rows, ptrdiff_t n)
{
    ptrdiff_t low = 0, high = n - 1, want = n / 2;
    while (low < high) {
        float     pivot = keys[want];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (keys[i] < pivot)
                i++;
            while (pivot < keys[j])
                j--;
            if (i > j)
                break;
            float    key = keys[i];
            uint32_t row = rows[i];
            keys[i]      = keys[j];
            rows[i]      = rows[j];
            keys[j--]    = key;
            rows[j + 1]  = row;
            i++;
        }
        if (j < want)
            low = i;
        if (want < i)
            high = j;
    }
}

struct split {
    mmcl_trainer *trainer;
    uint64_t      number;
    size_t        size, cols; /* rows of a cell before the split */
};

static void split_task(void *argument, size_t cell, uint32_t worker)
{
    const struct split *split   = argument;
    mmcl_trainer       *trainer = split->trainer;
    uint32_t           *rows    = trainer->order + cell * split->size;
    float              *keys    = trainer->keys + cell * split->size;
    uint32_t            name    = (uint32_t) (trainer->draw / split->size + cell); /* as in a heap: unique over all levels */
    (void) worker;
    size_t axis = widest(trainer, split->number, name, rows, split->size, split->cols);
    for (size_t i = 0; i < split->size; i++)
        keys[i] = trainer->pool_f[rows[i] * split->cols + axis];
    select_half(keys, rows, (ptrdiff_t) split->size);
}

/* Cells into a random order (Fisher and Yates). */
static void shuffle_cells(mmcl_trainer *trainer, uint64_t number)
{
    size_t block = (size_t) trainer->options.block, n = trainer->draw / block;
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = (size_t) (chance(trainer, number, (uint32_t) i, 0xffffffffu) * (double) (i + 1));
        for (size_t k = 0; k < block && i != j; k++) {
            uint32_t row                  = trainer->order[i * block + k];
            trainer->order[i * block + k] = trainer->order[j * block + k];
            trainer->order[j * block + k] = row;
        }
    }
}

mmcl_status mmcl__pool_sort(mmcl_trainer *trainer, uint64_t number)
{
    mmcl__side *side     = &trainer->sides[number & 1];
    trainer->pool_number = UINT64_MAX;
    for (size_t i = 0; i < trainer->draw; i++)
        trainer->order[i] = (uint32_t) i;
    if (trainer->options.pool_axis == MMCL_POOL_NEAR) {
        MMCL__TRY(encode(trainer, side));
        struct split split = {.trainer = trainer, .number = number, .cols = side->outputs};
        for (split.size = trainer->draw; split.size > trainer->options.block; split.size /= 2)
            MMCL__TRY(mmcl__parallel(trainer->context, trainer->draw / split.size, split_task, &split));
        shuffle_cells(trainer, number);
    }
    trainer->pool_number = number;
    return MMCL_OK;
}
