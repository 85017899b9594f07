/* Where pairs come from. */
#include "train/trainer.h"

#include "core/rng.h"
#include "linalg/convert.h"

/* ----------------------------------------------------------------------------------------------------- permutation --- */

/* A word that follows from everything it is given. */
static uint32_t mix(uint64_t seed, uint64_t epoch, uint32_t round, uint32_t half)
{
    const uint32_t counter[4] = {half, round, (uint32_t) epoch, (uint32_t) (epoch >> 32)}, key[2] = {(uint32_t) seed, (uint32_t) (seed >> 32)};
    uint32_t       out[4];
    mmcl__philox(counter, key, out);
    return out[0];
}

/*
 * A Feistel network of six rounds over 2 b bits, the least that hold n, walked along its cycle until it lands below n (Black and Rogaway
 * 2002): at most four steps on average.
 */
uint64_t mmcl__shuffled(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t position)
{
    uint32_t bits = 1;
    while (bits < 32 && (uint64_t) 1 << 2 * bits < n)
        bits++;
    const uint32_t mask = bits < 32 ? ((uint32_t) 1 << bits) - 1 : UINT32_MAX;
    do {
        uint32_t left = (uint32_t) (position >> bits) & mask, right = (uint32_t) position & mask;
        for (uint32_t round = 0; round < 6; round++) {
            uint32_t next = left ^ (mix(seed, epoch, round, right) & mask);
            left          = right;
            right         = next;
        }
        position = (uint64_t) left << bits | right;
    } while (position >= n);
    return position;
}

/* ---------------------------------------------------------------------------------------------------------- arrays --- */

/* Rows of an epoch that are used by draws of `rows`. */
static uint64_t epoch_rows(const mmcl_trainer *trainer, size_t rows)
{
    return trainer->arrays[0].rows / rows * rows;
}

static mmcl_status read_rows(const mmcl_trainer *trainer, uint32_t side, size_t count, const uint64_t *indices, float *out)
{
    const mmcl_matrix *matrix = &trainer->arrays[side];
    for (size_t i = 0; i < count && out != NULL; i++) {
        mmcl__place bad    = {0, 0};
        mmcl_status status = mmcl__read_f32(matrix, (size_t) indices[i], 1, out + i * matrix->cols, &bad);
        if (status != MMCL_OK)
            return mmcl__read_failed(trainer->context, status, side == 0 ? "source.x" : "source.t", SIZE_MAX, &bad);
    }
    return MMCL_OK;
}

static mmcl_status fill_from_arrays(const mmcl_trainer *trainer, uint64_t step, size_t rows, float *x, float *t, int64_t *groups,
                                    uint64_t *indices)
{
    uint64_t n = trainer->arrays[0].rows, used = epoch_rows(trainer, rows), batches = used / rows, epoch = step / batches;
    for (size_t i = 0; i < rows; i++) {
        indices[i] = mmcl__shuffled(trainer->options.seed, epoch, n, step % batches * rows + i);
        if (groups != NULL)
            groups[i] = trainer->source.groups[indices[i]];
    }
    MMCL__TRY(read_rows(trainer, 0, rows, indices, x));
    return read_rows(trainer, 1, rows, indices, t);
}

/* ------------------------------------------------------------------------------------------------------------- all --- */

static mmcl_status fill_by_host(const mmcl_trainer *trainer, uint64_t step, size_t rows, float *x, float *t, int64_t *groups)
{
    const mmcl_pairs pairs = {.struct_size = sizeof pairs, .x = x, .t = t, .groups = groups, .seed = trainer->options.seed, .step = step,
                              .rows = rows};
    if (trainer->source.fill(trainer->source.fill_user, &pairs) != MMCL_OK)
        return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "source.fill: failed at draw %llu", (unsigned long long) step);
    for (int side = 0; side < 2; side++) {
        const float *values = side == 0 ? x : t;
        if (values != NULL && !mmcl__convert()->finite_f32(rows * trainer->sides[side].inputs, values))
            return mmcl__fail(trainer->context, MMCL_E_NUMERIC, "source.fill: NaN or infinity in %s of draw %llu", side == 0 ? "x" : "t",
                              (unsigned long long) step);
    }
    return MMCL_OK;
}

mmcl_status mmcl__source_fill(const mmcl_trainer *trainer, uint64_t step, size_t rows, float *x, float *t, int64_t *groups,
                              uint64_t *indices)
{
    const mmcl_source *source = &trainer->source;
    if (source->model != NULL) {
        const mmcl_samples samples = {.struct_size = sizeof samples, .x = x, .t = t, .rows = rows};
        return mmcl__model_sample(source->model, trainer->options.seed, step, &samples);
    }
    return source->fill != NULL ? fill_by_host(trainer, step, rows, x, t, groups)
                                : fill_from_arrays(trainer, step, rows, x, t, groups, indices);
}

uint64_t mmcl__source_epoch(const mmcl_trainer *trainer, uint64_t step)
{
    if (trainer->source.x == NULL)
        return 0;
    size_t   rows  = trainer->cells.pool > 0 ? trainer->cells.pool : (size_t) trainer->options.batch;
    uint64_t draws = trainer->cells.pool > 0 ? step / (trainer->cells.pool / trainer->options.batch) : step;
    return draws / (epoch_rows(trainer, rows) / rows);
}
