/* What the heads with a cache share: rows as the cache sees them, and the searches for their numbers on the val rows. */
#ifndef MMCL_CLASSIFY_HEAD_CACHE_H
#define MMCL_CLASSIFY_HEAD_CACHE_H

#include "classify/adapt.h"
#include "classify/cache.h"
#include "classify/grid.h"

/* A head in the making. */
typedef struct mmcl__caching {
    mmcl__adapt *adapt;
    mmcl__cache *cache;
    float       *u;       /* [val rows, columns] the val rows as keys are kept */
    size_t       columns;
    double      *weights; /* [classes, inputs] linear scores without gamma's term, or NULL */
    double      *visual;  /* [classes, inputs] what gamma is multiplied with, or NULL */
} mmcl__caching;

/* The options' number, or the default. */
static inline double mmcl__option_or(double value, double fallback)
{
    return value != 0 ? value : fallback;
}

/* The form of a head without channels: keys at unit length, or as CCA has them. `text` says whether the cache keeps it. */
mmcl__cache_form mmcl__caching_form(const mmcl__adapt *adapt, bool attention);

/* Makes the cache of the train rows. Everything is released by the other. */
mmcl_status mmcl__caching_open(mmcl__caching *caching, mmcl__adapt *adapt, const mmcl__cache_form *form);
void        mmcl__caching_close(mmcl__caching *caching);

/* Takes gamma, beta and alpha, or beta and alpha, or these and then gamma and eta, from the val rows, the options or the defaults. */
mmcl_status mmcl__caching_search(mmcl__caching *caching);
mmcl_status mmcl__caching_search_gamma(mmcl__caching *caching);
mmcl_status mmcl__caching_search_attention(mmcl__caching *caching, bool trained);

/* Rows right of the val rows with the cache's numbers as they are, in float32. */
mmcl_status mmcl__caching_finish(mmcl__caching *caching, mmcl_classifier **out);

#endif
