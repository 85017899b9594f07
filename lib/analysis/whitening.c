#include "analysis/analysis.h"

#include "core/rng.h"

mmcl_status mmcl__fit_whitening(const mmcl_moments *moments, uint64_t components, bool clip, mmcl_transform **out)
{
    const mmcl_step_options whiten = {.struct_size     = sizeof whiten,
                                      .components      = components,
                                      .kind            = MMCL_STEP_WHITEN,
                                      .clip_components = clip || components == 0};
    MMCL__TRY(mmcl__transform_create(out, moments->context));
    MMCL__TRY(mmcl__transform_add(*out, &whiten));
    return mmcl__transform_fit_moments(*out, moments);
}

void mmcl__draw_normal(uint32_t seed, size_t count, double *out)
{
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, seed);
    for (size_t i = 0; i < count; i++)
        out[i] = mmcl__numpy_normal(&rng);
}
