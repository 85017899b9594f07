/* Where a step's pairs come from. */
#include "train/trainer.h"

#include <string.h>

/* --------------------------------------------------------------------------------------------------- random orders --- */

/* The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a good mixer of 64 bits. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/*
 * A Feistel network permutes the numbers of 2 h bits, whatever its round function (Luby and Rackoff 1988); numbers beyond n are
 * sent through again until they fall below (cycle walking, Black and Rogaway 2002), at most four times on average.
 */
uint64_t mmcl__shuffled(uint64_t n, uint64_t seed, uint64_t epoch, uint64_t at)
{
    uint32_t half = 1;
    while (half < 31 && (uint64_t) 1 << (2 * half) < n)
        half++;
    const uint64_t mask = ((uint64_t) 1 << half) - 1, key = mix(seed ^ mix(epoch + 0x9E3779B97F4A7C15u));
    do {
        uint64_t left = at >> half, right = at & mask;
        for (uint64_t round = 1; round <= 6; round++) {
            uint64_t next = left ^ (mix(key + (round << 40) + right * 0x9E3779B97F4A7C15u) >> 20 & mask);
            left          = right;
            right         = next;
        }
        at = left << half | right;
    } while (at >= n);
    return at;
}

/* --------------------------------------------------------------------------------------------------------- sources --- */

static float *target(const mmcl_trainer *trainer, uint32_t side)
{
    const mmcl__side *s = &trainer->sides[side];
    return s->inputs == 0 ? NULL : s->pool != NULL ? s->pool : s->x;
}

#define GATHER 64 /* rows that a task fetches */

struct gather {
    mmcl_trainer *trainer;
    uint64_t      n, number;
    atomic_int    status;
    atomic_size_t bad; /* row of the arrays where it failed */
};

static void gather_task(void *argument, size_t i, uint32_t worker)
{
    struct gather *g       = argument;
    mmcl_trainer  *trainer = g->trainer;
    uint64_t       epoch_draws = g->n / trainer->draw, epoch = g->number / epoch_draws;
    uint64_t       begin = g->number % epoch_draws * trainer->draw;
    (void) worker;
    for (size_t at = i * GATHER; at < MMCL__MIN(trainer->draw, (i + 1) * GATHER); at++) {
        size_t row = (size_t) mmcl__shuffled(g->n, trainer->options.seed, epoch, begin + at);
        trainer->indices[at] = row;
        if (trainer->groups != NULL)
            trainer->groups[at] = trainer->source.groups[row];
        for (uint32_t side = 0; side < 2; side++) {
            float *to = target(trainer, side);
            if (to == NULL)
                continue;
            mmcl_status status = mmcl__read_f32(&trainer->arrays[side], row, 1, to + at * trainer->sides[side].inputs, NULL);
            if (status != MMCL_OK) {
                atomic_store(&g->bad, row);
                atomic_store(&g->status, status);
            }
        }
    }
}

static mmcl_status draw_arrays(mmcl_trainer *trainer, uint64_t number)
{
    struct gather gather = {.trainer = trainer, .n = trainer->source.rows, .number = number};
    atomic_init(&gather.status, MMCL_OK);
    atomic_init(&gather.bad, 0);
    MMCL__TRY(mmcl__parallel(trainer->context, (trainer->draw + GATHER - 1) / GATHER, gather_task, &gather));
    mmcl_status status = (mmcl_status) atomic_load(&gather.status);
    if (status == MMCL_E_NUMERIC)
        return mmcl__fail(trainer->context, status, "step %llu: row %zu of the source holds NaN or infinity",
                          (unsigned long long) trainer->step, (size_t) atomic_load(&gather.bad));
    return status == MMCL_OK ? status : mmcl__fail(trainer->context, status, "source: its read failed");
}

static mmcl_status draw_host(mmcl_trainer *trainer, uint64_t number)
{
    const mmcl_pairs pairs = {.struct_size = sizeof pairs,
                              .x           = target(trainer, 0),
                              .t           = target(trainer, 1),
                              .groups      = trainer->groups,
                              .seed        = trainer->options.seed,
                              .step        = number,
                              .rows        = trainer->draw};
    if (trainer->source.fill(trainer->source.fill_user, &pairs) != MMCL_OK)
        return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "source: fill failed at step %llu", (unsigned long long) trainer->step);
    return MMCL_OK;
}

static mmcl_status draw(mmcl_trainer *trainer, uint64_t number)
{
    if (trainer->source.model != NULL) {
        const mmcl_samples samples = {
            .struct_size = sizeof samples, .x = target(trainer, 0), .t = target(trainer, 1), .rows = trainer->draw};
        return mmcl__model_sample(trainer->source.model, trainer->options.seed, number, &samples);
    }
    return trainer->source.fill != NULL ? draw_host(trainer, number) : draw_arrays(trainer, number);
}

/* ----------------------------------------------------------------------------------------------------------- pools --- */

struct pick {
    mmcl_trainer *trainer;
    size_t        first; /* of the batch in the pool's order */
};

static void pick_task(void *argument, size_t i, uint32_t worker)
{
    const struct pick *pick    = argument;
    mmcl_trainer      *trainer = pick->trainer;
    (void) worker;
    for (size_t at = i * GATHER; at < MMCL__MIN((size_t) trainer->options.batch, (i + 1) * GATHER); at++) {
        size_t row = trainer->order[pick->first + at];
        for (uint32_t side = 0; side < 2; side++) {
            mmcl__side *s = &trainer->sides[side];
            if (s->inputs > 0)
                memcpy(s->x + at * s->inputs, s->pool + row * s->inputs, s->inputs * sizeof *s->x);
        }
        if (trainer->indices != NULL)
            trainer->batch_indices[at] = trainer->indices[row];
        if (trainer->groups != NULL)
            trainer->batch_groups[at] = trainer->groups[row];
    }
}

mmcl_status mmcl__batch_load(mmcl_trainer *trainer)
{
    size_t   batch  = (size_t) trainer->options.batch, per_draw = trainer->draw / batch;
    uint64_t number = trainer->step / per_draw;
    if (trainer->drawn != number || trainer->order == NULL) {
        trainer->drawn = UINT64_MAX;
        MMCL__TRY(draw(trainer, number));
        trainer->drawn = number;
    }
    if (trainer->order == NULL)
        return MMCL_OK;
    if (trainer->pool_number != number)
        MMCL__TRY(mmcl__pool_sort(trainer, number));
    struct pick pick = {.trainer = trainer, .first = (size_t) (trainer->step % per_draw) * batch};
    return mmcl__parallel(trainer->context, (batch + GATHER - 1) / GATHER, pick_task, &pick);
}
