/*
 * WiSE-FT (Wortsman et al., CVPR 2022): weights between the text's and trained ones, w = (1 - ratio) t + ratio u, u the unit weights of
 * probe-zs. The ratio is the first best of 0, 0.1 ... 1 on val; 0.5 without val.
 */
#include "classify/cosine.h"

#include <string.h>

#define RATIOS 11

/* out = logit_scale (1 - ratio) text + ratio trained; `trained` holds the scale already. */
static void blend(const mmcl__adapt *adapt, double ratio, const double *trained, double *out)
{
    double s = adapt->options->logit_scale;
    for (size_t i = 0; i < adapt->classes * adapt->cols; i++)
        out[i] = (1 - ratio) * s * adapt->text[i] + ratio * trained[i];
}

static mmcl_status choose(mmcl__adapt *adapt, const double *trained, double *blended)
{
    double best = -1, accuracy;
    for (int i = 0; i < RATIOS; i++) {
        double ratio = (double) i / (RATIOS - 1);
        blend(adapt, ratio, trained, blended);
        MMCL__TRY(mmcl__adapt_judge(adapt, blended, NULL, &accuracy));
        if (accuracy > best) {
            best               = accuracy;
            adapt->info->ratio = ratio;
        }
    }
    adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    return MMCL_OK;
}

/* `trained` [weights + classes], `blended` [weights], where the training starts. */
static mmcl_status fit(mmcl__adapt *adapt, double *trained, double *blended, mmcl_classifier **out)
{
    const mmcl__cosine training = mmcl__cosine_sgd(adapt, blended);
    double             given    = adapt->options->ratio;
    memcpy(blended, adapt->text, adapt->classes * adapt->cols * sizeof *blended);
    MMCL__TRY(mmcl__cosine_train(&training, trained));
    adapt->info->ratio = given > 0 ? given : 0.5;
    if (given == 0 && adapt->val.rows > 0)
        MMCL__TRY(choose(adapt, trained, blended));
    blend(adapt, adapt->info->ratio, trained, blended);
    return mmcl__adapt_linear(adapt, blended, NULL, out);
}

mmcl_status mmcl__head_wise_ft(mmcl__adapt *adapt, mmcl_classifier **out)
{
    size_t  weights = adapt->classes * adapt->cols, size = 2 * weights + adapt->classes;
    double *trained = mmcl__alloc(adapt->context, size, sizeof *trained);
    if (trained == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = fit(adapt, trained, trained + weights + adapt->classes, out);
    mmcl__free(adapt->context, trained, size, sizeof *trained);
    return status;
}
