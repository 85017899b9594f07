/* TaskRes (Yu et al., CVPR 2023): the text's weights stay, a residual beside them is trained: w = t + ratio z, z = 0 at first. */
#include "classify/cosine.h"

mmcl_status mmcl__head_taskres(mmcl__adapt *adapt, mmcl_classifier **out)
{
    size_t  weights = adapt->classes * adapt->cols;
    double *z       = mmcl__calloc(adapt->context, weights, sizeof *z);
    if (z == NULL)
        return MMCL_E_NOMEM;
    adapt->info->ratio    = adapt->options->ratio > 0 ? adapt->options->ratio : 0.5;
    mmcl__cosine training = {.adapt = adapt, .base = adapt->text, .share = adapt->info->ratio, .z = z,
                             .rule = {.adam = true, .epsilon = 1e-8, .decay = 5e-4}, .rate = 2e-3, .epochs = 100, .batch = 256,
                             .judge = true};
    mmcl__cosine_options(&training);
    mmcl_status status = mmcl__cosine_head(&training, out);
    mmcl__free(adapt->context, z, weights, sizeof *z);
    return status;
}
