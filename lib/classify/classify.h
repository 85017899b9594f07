/* Scores and classes of rows from any features, in tiles on the stack: what every concurrent-on-const function of a head runs. */
#ifndef MMCL_CLASSIFY_CLASSIFY_H
#define MMCL_CLASSIFY_CLASSIFY_H

#include "classify/classifier.h"

/* Floats of a tile's scores where a cache adds to those of all classes at once: 192 KiB, and the most classes of such a head. */
#define MMCL__CACHE_SCORES ((size_t) 49152)

/* Where features come from: fills `out` [n, inputs] with rows first ... first + n - 1. Allocates nothing, sets no message. */
typedef struct mmcl__features {
    mmcl_status (*read)(const struct mmcl__features *features, size_t first, size_t n, float *out, mmcl__place *bad);
    const mmcl_matrix    *rows;
    const mmcl_transform *transform; /* for sources that map the rows first */
} mmcl__features;

/* Rows as they are. */
mmcl__features mmcl__features_of(const mmcl_matrix *rows);

/* What is wanted of each row; NULL: not wanted. */
typedef struct mmcl__wanted {
    const uint8_t *mask;    /* [classes] 1: may be answered; NULL: all */
    int64_t       *classes; /* [rows] */
    float         *scores;  /* [rows, classes] */
    size_t         stride;  /* of scores */
    const int64_t *labels;  /* [rows], compared with the answers */
    double        *confidence; /* [rows] softmax probability of the answer, of scores / temperature, among the classes of the mask */
    double        *surprise;   /* [rows] -log of the same of the label's; needs labels and confidence */
    double         temperature;
    size_t         correct; /* receives the number of equal ones */
    mmcl__place    bad;     /* receives the place of a NaN or infinity */
} mmcl__wanted;

mmcl_status mmcl__classify(const mmcl_classifier *classifier, const mmcl__features *features, mmcl__wanted *wanted);

/* Everything but struct_size is filled in; `options` are resolved. Sets the message on error. Allocates as mmcl_classifier_evaluate. */
mmcl_status mmcl__evaluate(const mmcl_classifier *classifier, const mmcl_labelled *test, const uint8_t *mask, const mmcl_evaluate_options *options,
                           mmcl_evaluation *out);

/* Share of rows answered as labelled. Sets the message on error; `name` is the argument's. */
mmcl_status mmcl__accuracy(mmcl_context *context, const mmcl_classifier *classifier, const mmcl__features *features,
                           const int64_t *labels, const uint8_t *mask, const char *name, double *accuracy);

#endif
