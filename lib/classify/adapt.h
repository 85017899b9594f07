/* What the few-shot heads share: their data, read and brought to the form that a head sees, and the table of heads. */
#ifndef MMCL_CLASSIFY_ADAPT_H
#define MMCL_CLASSIFY_ADAPT_H

#include "classify/classifier.h"

#include <mmcl/adapt.h>

/* Rows with labels, in memory. */
typedef struct mmcl__rowset {
    size_t   rows, cols;
    float   *x;      /* [rows, cols] */
    int32_t *labels; /* [rows] */
} mmcl__rowset;

/* One fit. */
typedef struct mmcl__adapt {
    mmcl_context             *context;
    mmcl_method               method;
    const mmcl_adapt_data    *data;    /* checked */
    const mmcl_adapt_options *options; /* imported; logit_scale and max_iterations have their defaults, the rest may be 0 */
    mmcl_adapt_info          *info;    /* NaN and 0 until the head fills in what it has */
    size_t                    classes;
    size_t                    inputs;  /* columns of raw rows */
    size_t                    cols;    /* columns that the head sees */
    mmcl__rowset              train, val;
    mmcl__rowset              prompts; /* only for heads that are trained on them */
    double                   *text;    /* [classes, cols] a unit row a class; NULL: there is no text */
} mmcl__adapt;

/* How a head wants its data. */
typedef struct mmcl__head {
    mmcl_status (*fit)(mmcl__adapt *adapt, mmcl_classifier **out); /* NULL: not in this version */
    bool cosine;      /* rows and prompts at unit length, before the transform and after it */
    bool mapped;      /* rows and text through data->transform; otherwise the head applies it by itself */
    bool needs_text;
    bool needs_shots;
    bool keeps_prompts;
} mmcl__head;

const mmcl__head *mmcl__head_of(mmcl_method method);

/* `data` is checked, `options` imported. Fills *info, whose struct_size is set. */
mmcl_status mmcl__adapt_fit(mmcl_classifier **out, mmcl_context *context, mmcl_method method, const mmcl_adapt_data *data,
                            const mmcl_adapt_options *options, mmcl_adapt_info *info);

/* A linear head on what the head sees, in front of which the scaling and the transform go that `adapt` was opened with. */
mmcl_status mmcl__adapt_linear(const mmcl__adapt *adapt, const double *weights, const double *intercepts, mmcl_classifier **out);

/* Share of val rows, as the head sees them, that linear weights answer right. */
mmcl_status mmcl__adapt_judge(const mmcl__adapt *adapt, const double *weights, const double *intercepts, double *accuracy);

/* Each head. */
mmcl_status mmcl__head_tip(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_tip_f(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_ape(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_ape_t(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_cca(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_cca_ft(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_zeroshot(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_ncm(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_clip_adapter(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_kernel_ridge(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_probe(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_probe_l1(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_probe_en(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_probe_ard(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_probe_zs(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_crossmodal(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_clap(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_lpp(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_taskres(mmcl__adapt *adapt, mmcl_classifier **out);
mmcl_status mmcl__head_wise_ft(mmcl__adapt *adapt, mmcl_classifier **out);

#endif
