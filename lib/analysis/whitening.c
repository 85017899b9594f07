#include "analysis/analysis.h"

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
