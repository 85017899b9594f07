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

/* Beta and alpha; with them APE's gamma; or these and then CCA's gamma and eta: from the val rows, the options or the defaults. */
mmcl_status mmcl__caching_search(mmcl__caching *caching);
mmcl_status mmcl__caching_search_gamma(mmcl__caching *caching);
mmcl_status mmcl__caching_search_attention(mmcl__caching *caching, bool trained);

/* What gamma is multiplied with. */
mmcl_status mmcl__caching_set_visual(mmcl__caching *caching);

/* Rows right of the val rows with the cache's numbers as they are. */
mmcl_status mmcl__caching_judge(mmcl__caching *caching, uint64_t *right);

/* The head; the cache becomes its own. */
mmcl_status mmcl__caching_finish(mmcl__caching *caching, mmcl_classifier **out);

/* APE's choice of channels among the `cols` that a cache sees. */
typedef struct mmcl__channels {
    mmcl_context *context;
    size_t        classes, inputs, cols, n;
    int32_t      *index; /* [n] ascending */
    double       *words; /* [classes, n] the text on them, at unit length */
    double       *shift; /* [inputs] added to text in front of the map */
} mmcl__channels;

/* `similar` and `varied` weigh the two parts of the criterion. Released in any case by the other. */
mmcl_status mmcl__channels_choose(mmcl__channels *channels, const mmcl__adapt *adapt, double similar, double varied);
void        mmcl__channels_release(mmcl__channels *channels);

#endif
