/* What a fit will take from the allocator: the sum of what its phases hold, in the order in which fit.c runs them. */
#include "transform/ica.h"
#include "transform/moments.h"
#include "transform/neighbours.h"

/* Largest of what the phases of a step hold at once, beside the maps that stay. */
static uint64_t step_bytes(const mmcl_step_options *step, size_t rows, size_t cols, size_t k, size_t width, uint64_t cache_bytes,
                           uint32_t threads)
{
    uint64_t d = cols, moments = 8 * (d * d + d) + mmcl__moments_bytes(rows, cols, width, threads);
    uint64_t spectral = 8 * (d * d + d) + 8 * d * d + 8 * (2 * d * d + 6 * d + 1) + 4 * (5 * d + 3);
    uint64_t most     = MMCL__MAX(moments + 8 * (d * d + d), spectral);
    if (step->kind == MMCL_STEP_DISCRIMINANTS)
        return MMCL__MAX(most, 8 * 3 * d * d + 8 * (d * d + d) + 8 * (k * d + d) + 12 * (k * d + d) +
                                   MMCL__MAX(mmcl__neighbour_bytes(rows, cols, k, step->neighbours, MMCL__MAX(width, cols), threads),
                                             8 * (2 * d * d + 6 * d + 1) + 4 * (5 * d + 3)));
    if (step->kind != MMCL_STEP_ICA)
        return most;
    bool     free_form = step->algorithm == MMCL_ICA_PICARD_FREE, picard = free_form || step->algorithm == MMCL_ICA_PICARD;
    uint64_t cells = (uint64_t) k * k;
    uint64_t solver = 8 * (picard ? (8 + 2 * (uint64_t) step->lbfgs_memory + 1) * cells : 2 * cells + 5 * cells);
    uint64_t maps   = 12 * (k * d + d) + 8 * (k * d + 2 * d + k) + 8 * (cells + 2 * (uint64_t) k); /* stage, step, unmixing */
    return MMCL__MAX(most, 8 * (d * d + d) + maps + solver +
                               mmcl__ica_rows_bytes(rows, k, cols, width, step->precision, cache_bytes, free_form, threads));
}

mmcl_status mmcl__transform_estimate(const mmcl_transform *transform, size_t rows, size_t cols, const mmcl_fit_options *options,
                                     uint64_t *bytes)
{
    uint64_t cache = options != NULL ? options->cache_bytes : 0, kept = 0, most = 0;
    size_t   width = 0, inputs = cols;
    for (size_t i = 0; i < transform->n_steps; i++) {
        const mmcl_step_options *step = &transform->steps[i].options;
        bool                     maps = mmcl__step_has_map(step->kind);
        uint32_t                 threads = mmcl__width(transform->context);
        if (step->kind == MMCL_STEP_BESIDE) {
            cols  = inputs;
            width = 0;
            continue;
        }
        size_t k = maps && step->components != 0 ? MMCL__MIN(step->components, cols) : cols;
        if (!mmcl__step_is_affine(step->kind))
            width = MMCL__MAX(width, cols); /* from here on rows pass through stages */
        if (step->kind == MMCL_STEP_RELEVANCE)
            most = MMCL__MAX(most, kept + mmcl__neighbour_bytes(rows, cols, cols, step->neighbours, width, threads));
        else if (mmcl__step_is_affine(step->kind))
            most = MMCL__MAX(most, kept + step_bytes(step, rows, cols, k, width, cache, threads));
        kept += 8 * (2 * (uint64_t) cols + k) + (maps ? 8 * (uint64_t) k * cols : 0);
        kept += maps ? 12 * (uint64_t) k * cols : 12 * (uint64_t) cols; /* its share of the stages */
        cols = k;
    }
    uint64_t sum = MMCL__MAX(most, kept);
    *bytes       = sum + sum / 64 + 16384; /* the margin covers the small blocks that are not worth a formula */
    return MMCL_OK;
}
