/* Accuracy with its interval, calibration and likelihood of a classifier on a test set. */
#include "classify/classify.h"
#include "core/rng.h"
#include "core/sorted.h"

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

/* What the rows were answered, for means over them with weights. */
struct answered {
    mmcl_context  *context;
    size_t         n;
    double        *confidence, *surprise; /* [n] */
    int64_t       *answers;               /* [n] */
    const int64_t *labels;                /* [n] */
    double        *gap;                   /* [bins] of a bin's sum of confidences and its number of right answers */
    double        *resampled[2];          /* [resamples] accuracies and calibration errors, ascending */
    const mmcl_evaluate_options *options;
};

/*
 * Accuracy and expected calibration error (Naeini et al. 2015): bins of equal width over the confidence, a bin's upper end its own. Of the
 * rows as they are (draw 0) or of a resample; false when that is empty.
 */
static bool measure(struct answered *a, uint32_t draw, double *accuracy, double *error)
{
    const uint32_t bins   = a->options->bins;
    double         weight = 0, right = 0, sum = 0;
    memset(a->gap, 0, bins * sizeof *a->gap);
    for (size_t i = 0; i < a->n; i++) {
        double w = draw == 0 ? 1 : mmcl__philox_poisson(a->options->seed, i, draw, 1), place = ceil(a->confidence[i] * bins) - 1;
        bool   hit = a->answers[i] == a->labels[i];
        a->gap[(size_t) fmin(fmax(place, 0), bins - 1)] += w * (a->confidence[i] - hit);
        weight += w;
        right += w * hit;
    }
    for (uint32_t b = 0; b < bins; b++)
        sum += fabs(a->gap[b]);
    *accuracy = right / weight;
    *error    = sum / weight;
    return weight > 0;
}

static mmcl_status resample(struct answered *a, mmcl_evaluation *out, mmcl__operation *operation)
{
    size_t counted = 0;
    double mean = 0, tail = (1 - a->options->confidence) / 2;
    for (uint32_t draw = 1; draw <= a->options->resamples; draw++) {
        double value[2];
        if (measure(a, draw, &value[0], &value[1])) {
            mmcl__sorted_insert(a->resampled[0], counted, value[0]);
            mmcl__sorted_insert(a->resampled[1], counted++, value[1]);
            mean += (value[1] - mean) / (double) counted;
        }
        MMCL__TRY(mmcl__tick(operation, draw, NAN));
    }
    if (counted == 0)
        return mmcl__fail(a->context, MMCL_E_NUMERIC, "resamples: none of %u holds a row", a->options->resamples);
    double shift          = out->calibration_error - mean;
    out->low              = mmcl__sorted_quantile(a->resampled[0], counted, tail);
    out->high             = mmcl__sorted_quantile(a->resampled[0], counted, 1 - tail);
    out->calibration_low  = fmax(mmcl__sorted_quantile(a->resampled[1], counted, tail) + shift, 0);
    out->calibration_high = fmax(mmcl__sorted_quantile(a->resampled[1], counted, 1 - tail) + shift, 0);
    return MMCL_OK;
}

static mmcl_status summarise(struct answered *a, mmcl_evaluation *out)
{
    const double    n      = (double) a->n;
    mmcl_status     status = MMCL_OK;
    mmcl__operation operation;
    out->rows = a->n;
    measure(a, 0, &out->accuracy, &out->calibration_error);
    out->calibration_low = out->calibration_high = out->calibration_error;
    out->mean_confidence = out->loss = 0;
    for (size_t i = 0; i < a->n; i++) {
        out->mean_confidence += a->confidence[i] / n;
        out->loss += a->surprise[i] / n;
    }
    interval(out->accuracy, n, a->options->confidence, &out->low, &out->high);
    if (a->options->resamples > 0) {
        mmcl__begin(&operation, a->context, "evaluate", a->options->resamples);
        status = mmcl__end(&operation, resample(a, out, &operation));
    }
    return status;
}

static bool open_answered(struct answered *a)
{
    const mmcl_evaluate_options *o = a->options;
    a->confidence = mmcl__alloc(a->context, a->n, sizeof *a->confidence);
    a->surprise   = mmcl__alloc(a->context, a->n, sizeof *a->surprise);
    a->answers    = mmcl__alloc(a->context, a->n, sizeof *a->answers);
    a->gap        = mmcl__alloc(a->context, o->bins, sizeof *a->gap);
    for (size_t i = 0; i < 2; i++)
        a->resampled[i] = mmcl__alloc(a->context, MMCL__MAX(o->resamples, 1), sizeof(double));
    return a->confidence != NULL && a->surprise != NULL && a->answers != NULL && a->gap != NULL && a->resampled[0] != NULL && a->resampled[1] != NULL;
}

static void close_answered(struct answered *a)
{
    for (size_t i = 0; i < 2; i++)
        mmcl__free(a->context, a->resampled[i], MMCL__MAX(a->options->resamples, 1), sizeof(double));
    mmcl__free(a->context, a->gap, a->options->bins, sizeof *a->gap);
    mmcl__free(a->context, a->answers, a->n, sizeof *a->answers);
    mmcl__free(a->context, a->surprise, a->n, sizeof *a->surprise);
    mmcl__free(a->context, a->confidence, a->n, sizeof *a->confidence);
}

mmcl_status mmcl__evaluate(const mmcl_classifier *classifier, const mmcl_labelled *test, const uint8_t *mask, const mmcl_evaluate_options *options,
                           mmcl_evaluation *out)
{
    mmcl__features  features = mmcl__features_of(&test->features);
    struct answered answered = {.context = classifier->context, .n = test->features.rows, .labels = test->labels, .options = options};
    mmcl_status     status   = open_answered(&answered) ? MMCL_OK : MMCL_E_NOMEM;
    mmcl__wanted    wanted   = {.mask = mask, .classes = answered.answers, .labels = test->labels, .confidence = answered.confidence,
                                .surprise = answered.surprise, .temperature = options->temperature};
    if (status == MMCL_OK) {
        status = mmcl__classify(classifier, &features, &wanted);
        if (status == MMCL_OK)
            status = summarise(&answered, out);
        else
            mmcl__read_failed(answered.context, status, "test.features", SIZE_MAX, &wanted.bad);
    }
    close_answered(&answered);
    return status;
}
