/* Accuracy with its interval, calibration and likelihood of a classifier on a test set. */
#include "classify/classify.h"

#include <math.h>
#include <string.h>

/* The z that a standard normal variable stays below with probability p, by bisection. */
static double normal_quantile(double p)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (erfc(-middle / sqrt(2)) / 2 < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* Wilson's (1927) score interval. */
static void interval(double share, double n, double confidence, double *low, double *high)
{
    double z = normal_quantile((1 + confidence) / 2), z2 = z * z;
    double centre = (share + z2 / (2 * n)) / (1 + z2 / n), half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n));
    *low  = fmax(centre - half, 0);
    *high = fmin(centre + half, 1);
}

/* Expected calibration error (Naeini et al. 2015): bins of equal width over the confidence, a bin's upper end its own. */
static double calibration_error(size_t n, const double *confidence, const int64_t *answers, const int64_t *labels, uint32_t bins)
{
    double error = 0;
    for (uint32_t b = 0; b < bins; b++) {
        double gap = 0; /* of the bin's sum of confidences and its number of right answers */
        for (size_t i = 0; i < n; i++) {
            double place = ceil(confidence[i] * bins) - 1;
            if (fmin(fmax(place, 0), bins - 1) == b)
                gap += confidence[i] - (answers[i] == labels[i]);
        }
        error += fabs(gap) / (double) n;
    }
    return error;
}

mmcl_status mmcl__evaluate(const mmcl_classifier *classifier, const mmcl_labelled *test, const uint8_t *mask, const mmcl_evaluate_options *options,
                           mmcl_evaluation *out)
{
    mmcl_context  *context    = classifier->context;
    size_t         n          = test->features.rows;
    mmcl__features features   = mmcl__features_of(&test->features);
    double        *confidence = mmcl__alloc(context, n, sizeof *confidence), *surprise = mmcl__alloc(context, n, sizeof *surprise);
    int64_t       *answers    = mmcl__alloc(context, n, sizeof *answers);
    mmcl__wanted   wanted     = {.mask = mask, .classes = answers, .labels = test->labels, .confidence = confidence, .surprise = surprise,
                                 .temperature = options->temperature};
    mmcl_status    status     = confidence != NULL && surprise != NULL && answers != NULL ? MMCL_OK : MMCL_E_NOMEM;
    if (status == MMCL_OK)
        status = mmcl__classify(classifier, &features, &wanted);
    if (status == MMCL_OK) {
        out->rows     = n;
        out->accuracy = (double) wanted.correct / (double) n;
        interval(out->accuracy, (double) n, options->confidence, &out->low, &out->high);
        out->calibration_error = calibration_error(n, confidence, answers, test->labels, options->bins);
        out->loss              = 0;
        for (size_t i = 0; i < n; i++) {
            out->mean_confidence += confidence[i] / (double) n;
            out->loss += surprise[i] / (double) n;
        }
    } else if (status != MMCL_E_NOMEM) {
        mmcl__read_failed(context, status, "test.features", SIZE_MAX, &wanted.bad);
    }
    mmcl__free(context, answers, n, sizeof *answers);
    mmcl__free(context, surprise, n, sizeof *surprise);
    mmcl__free(context, confidence, n, sizeof *confidence);
    return status;
}
