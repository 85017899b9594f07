/* ZS-LP (Silva-Rodriguez et al., CVPR 2024): a linear probe on cosines that starts from the text. */
#include "classify/cosine.h"

#include <string.h>

mmcl_status mmcl__head_probe_zs(mmcl__adapt *adapt, mmcl_classifier **out)
{
    size_t  weights = adapt->classes * adapt->cols;
    double *z       = mmcl__alloc(adapt->context, weights, sizeof *z);
    if (z == NULL)
        return MMCL_E_NOMEM;
    memcpy(z, adapt->text, weights * sizeof *z);
    const mmcl__cosine training = mmcl__cosine_sgd(adapt, z);
    mmcl_status        status   = mmcl__cosine_head(&training, out);
    mmcl__free(adapt->context, z, weights, sizeof *z);
    return status;
}
