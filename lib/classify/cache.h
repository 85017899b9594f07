/*
 * A cache of keys, the block of a head that Tip-Adapter and its successors add to the text's scores. Owner of struct mmcl__cache.
 *
 * score of class k += alpha sum over its keys of w_j exp(-beta (1 - a_j)) + eta scale (text[k] . t(x))
 *
 * with a_j = u . key_j, u the row as the keys are kept: mapped, of the chosen channels, at unit length where `unit` says so; where
 * `min_max` is set, a is brought to 0 ... 1 over all keys of the row (a row whose affinities are all equal has 1 throughout). t(x) is
 * the mean of the text, weighted by the softmax of x . text. CCA's gamma term is linear in x and part of the linear block.
 */
#ifndef MMCL_CLASSIFY_CACHE_H
#define MMCL_CLASSIFY_CACHE_H

#include "classify/classifier.h"

#include <mmcl/adapt.h>

/* What makes the keys of rows, and what the head's other weights come from when keys or classes are added. */
typedef struct mmcl__cache_form {
    size_t                inputs;     /* columns of raw rows */
    const mmcl_transform *map;        /* NULL: none */
    const int32_t        *channels;   /* [n_channels] columns of the map's outputs; NULL: all */
    size_t                n_channels;
    bool                  unit;
    bool                  min_max;
    bool                  weighted;   /* keys have weights of their own, 1 to begin with */
    double                alpha, beta, gamma, eta;
    double                scale;      /* of the text's scores */
    const double         *text;       /* [classes, inputs] unit rows; NULL: the head has none */
    const double         *base;       /* [classes, inputs] of the linear block in front of scale; NULL: the text */
    const double         *words;      /* [classes, width] the text as keys are kept, for key weights; NULL: 1 */
    const double         *shift;      /* [inputs] added to a class's text before the map makes a row of words of it; NULL: none */
} mmcl__cache_form;

struct mmcl__cache {
    mmcl_context   *context;
    size_t          inputs, classes;
    mmcl_transform *map;
    int32_t        *channels;
    size_t          n_channels;
    bool            unit, min_max;
    double          alpha, beta, gamma, eta, scale;
    size_t          width, stride; /* columns of a key, and what they take with their padding */
    size_t          keys, room;
    size_t         *starts;        /* [classes + 1] keys are sorted by class */
    float          *key;           /* [room, stride] */
    uint32_t       *narrow;        /* [room, stride / 2] the same in bfloat16, to predict with; NULL: not wanted */
    int8_t         *coarse;        /* [room, stride] the same in 8 bits, with steps [room]; NULL: not wanted */
    float          *steps;
    float          *weights;       /* [room] w; NULL: 1 */
    float          *raw;           /* [room, inputs] unit rows that the keys came from, for gamma; NULL: not needed */
    double         *text, *base, *words, *shift; /* as in the form, or NULL */
    double         *adapter;       /* [width, width] that keys are multiplied with on their way in; NULL: none */
    float          *text_f32;      /* [classes, inputs] for eta; NULL: no such term */
};

/*
 * The cache of `rows` [n, inputs] at unit length with labels 0 ... classes - 1, in any order: within a class keys keep it. Copies
 * all of the form.
 */
mmcl_status mmcl__cache_create(mmcl__cache **out, mmcl_context *context, size_t classes, const mmcl__cache_form *form, size_t n,
                               const float *rows, const int32_t *labels);
/* The sizes that a cache of this form would have, and which arrays: these are not to be looked into. */
mmcl__cache mmcl__cache_like(size_t classes, const mmcl__cache_form *form);

/* One without keys, in which there is room for some; the arrays of the form are not copied, but there is room for them as well. */
mmcl_status mmcl__cache_make(mmcl__cache **out, mmcl_context *context, size_t classes, const mmcl__cache_form *form, mmcl_key_type narrow,
                              bool adapter, size_t room);
void        mmcl__cache_destroy(mmcl__cache *cache);
mmcl_status mmcl__cache_copy(mmcl__cache **out, mmcl_context *context, const mmcl__cache *cache);

/*
 * Adds unit rows as keys, each behind those of its class; the result is the cache that has had them from the start. MMCL_E_NOMEM
 * leaves the cache as it was. Moves keys: O(keys) for each row.
 */
mmcl_status mmcl__cache_add(mmcl__cache *cache, size_t n, const float *rows, const int32_t *labels);

/* Adds a class without keys; `text` [inputs] is its unit row where the cache looks at text, otherwise not looked at. */
mmcl_status mmcl__cache_add_class(mmcl__cache *cache, const double *text);

/* APE's gamma, and with it the weights of the keys. */
void mmcl__cache_set_gamma(mmcl__cache *cache, double gamma);

/* To be called when keys have been written by other hands. */
void mmcl__cache_keys_changed(mmcl__cache *cache);

/* An adapter of zeros, to be filled in, for keys that come later: those that are there are as they are. */
mmcl_status mmcl__cache_set_adapter(mmcl__cache *cache);

/* Puts keys of this type beside those in float32, to predict with; done once. */
mmcl_status mmcl__cache_set_narrow(mmcl__cache *cache, mmcl_key_type narrow);

/* Adds to scores [n, classes] of unit rows [n, inputs], stride elements apart. Allocates nothing, sets no message. */
mmcl_status mmcl__cache_add_scores(const mmcl__cache *cache, const float *rows, size_t n, float *scores, size_t stride);

/* u [n, width] of unit rows [n, inputs], `stride` elements apart with zeros behind the columns; at least mmcl__cache_columns. */
mmcl_status mmcl__cache_see(const mmcl__cache *cache, const float *rows, size_t n, float *out, size_t stride);

size_t mmcl__cache_columns(const mmcl__cache *cache);

/* weights [classes, inputs] of the linear block: scale (base + gamma visual). Allocates workspace. */
mmcl_status mmcl__cache_linear(const mmcl__cache *cache, double *weights);

/* visual [classes, inputs]: the mean of the raw rows, weighted for each class by the softmax over the rows of row . text. */
mmcl_status mmcl__cache_visual(mmcl_context *context, size_t classes, size_t inputs, const double *text, size_t n, const float *raw,
                               double *visual);

#endif
