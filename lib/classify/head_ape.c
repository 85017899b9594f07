/* APE (Zhu et al., ICCV 2023): a cache on the channels that tell classes apart, its values softened by how the text sees the keys. */
#include "classify/head_cache.h"

#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------------------- channels --- */

/* What is added to a class's text in front of a map, so that text lies among the images: the difference of the means. */
static void set_shift(const mmcl__adapt *adapt, double *shift)
{
    const size_t d = adapt->inputs, classes = adapt->classes;
    memset(shift, 0, d * sizeof *shift);
    for (size_t i = 0; i < adapt->train.rows; i++)
        for (size_t j = 0; j < d; j++)
            shift[j] += (double) adapt->train.x[i * d + j] / (double) adapt->train.rows;
    for (size_t k = 0; k < classes; k++)
        for (size_t j = 0; j < d; j++)
            shift[j] -= adapt->text[k * d + j] / (double) classes;
}

/* words [classes, cols]: the text as keys are kept, before channels are chosen. `row`, `u` are scratch. */
static mmcl_status see_words(const mmcl__adapt *adapt, const mmcl__cache *like, const double *shift, float *row, float *u, double *words)
{
    const size_t d = adapt->inputs, columns = mmcl__cache_columns(like);
    for (size_t k = 0; k < adapt->classes; k++) {
        for (size_t j = 0; j < d; j++)
            row[j] = (float) (adapt->text[k * d + j] + (like->map != NULL ? shift[j] : 0));
        mmcl_status status = mmcl__cache_see(like, row, 1, u, columns);
        if (status != MMCL_OK)
            return mmcl__fail(adapt->context, status, "text.features: class %zu overflows float32 in the transform", k);
        for (size_t c = 0; c < like->width; c++)
            words[k * like->width + c] = (double) u[c];
    }
    return MMCL_OK;
}

/* criterion [cols] = varied variance over classes - similar (mean product of two different classes). */
static void rate_channels(size_t classes, size_t cols, const double *words, double similar, double varied, double *criterion)
{
    const double n = (double) classes;
    for (size_t c = 0; c < cols; c++) {
        double sum = 0, squares = 0, spread = 0;
        for (size_t k = 0; k < classes; k++) {
            sum += words[k * cols + c];
            squares += words[k * cols + c] * words[k * cols + c];
        }
        for (size_t k = 0; k < classes; k++) {
            double off = words[k * cols + c] - sum / n;
            spread += off * off;
        }
        criterion[c] = varied * spread / (n - 1) - similar * (sum * sum - squares) / (n * (n - 1));
    }
}

/* index [n]: the channels of highest criterion, ascending; of equal ones the first. Overwrites the criterion. */
static void pick_channels(size_t cols, double *criterion, size_t n, int32_t *index)
{
    for (size_t i = 0; i < n; i++) {
        size_t best = 0;
        for (size_t c = 1; c < cols; c++)
            if (criterion[c] > criterion[best])
                best = c;
        criterion[best] = -INFINITY;
    }
    for (size_t c = 0, i = 0; c < cols && i < n; c++)
        if (criterion[c] == -INFINITY)
            index[i++] = (int32_t) c;
}

/* chosen [classes, n]: the words on the channels, at unit length. */
static void shrink_words(size_t classes, size_t cols, const double *words, size_t n, const int32_t *index, double *chosen)
{
    for (size_t k = 0; k < classes; k++) {
        double square = 0;
        for (size_t i = 0; i < n; i++) {
            chosen[k * n + i] = words[k * cols + (size_t) index[i]];
            square += chosen[k * n + i] * chosen[k * n + i];
        }
        for (size_t i = 0; i < n && square > 0; i++)
            chosen[k * n + i] /= sqrt(square);
    }
}

mmcl_status mmcl__channels_choose(mmcl__channels *channels, const mmcl__adapt *adapt, double similar, double varied)
{
    mmcl_context     *context = adapt->context;
    mmcl__cache_form  form    = mmcl__caching_form(adapt, false);
    const mmcl__cache like    = mmcl__cache_like(adapt->classes, &form);
    const size_t      cols = like.width, columns = mmcl__cache_columns(&like), wanted = (size_t) adapt->options->channels;
    *channels = (mmcl__channels){.context = context, .classes = adapt->classes, .inputs = adapt->inputs, .cols = cols,
                                 .n = wanted != 0 ? wanted : (cols + 1) / 2};
    if (channels->n > cols)
        return mmcl__fail(context, MMCL_E_INVAL, "channels: %zu, expected at most the %zu columns that the cache sees", wanted, cols);
    float  *row = mmcl__alloc(context, adapt->inputs, sizeof *row), *u = mmcl__alloc(context, columns, sizeof *u);
    double *words = mmcl__alloc(context, adapt->classes * cols, sizeof *words), *criterion = mmcl__alloc(context, cols, sizeof *criterion);
    channels->index = mmcl__alloc(context, channels->n, sizeof *channels->index);
    channels->words = mmcl__alloc(context, adapt->classes * channels->n, sizeof *channels->words);
    channels->shift = mmcl__alloc(context, adapt->inputs, sizeof *channels->shift);
    mmcl_status status = row != NULL && u != NULL && words != NULL && criterion != NULL && channels->index != NULL &&
                                 channels->words != NULL && channels->shift != NULL
                             ? MMCL_OK
                             : MMCL_E_NOMEM;
    if (status == MMCL_OK) {
        set_shift(adapt, channels->shift);
        status = see_words(adapt, &like, channels->shift, row, u, words);
    }
    if (status == MMCL_OK) {
        rate_channels(adapt->classes, cols, words, similar, varied, criterion);
        pick_channels(cols, criterion, channels->n, channels->index);
        shrink_words(adapt->classes, cols, words, channels->n, channels->index, channels->words);
        adapt->info->inputs_used = channels->n;
    }
    mmcl__free(context, row, adapt->inputs, sizeof *row);
    mmcl__free(context, u, columns, sizeof *u);
    mmcl__free(context, words, adapt->classes * cols, sizeof *words);
    mmcl__free(context, criterion, cols, sizeof *criterion);
    return status;
}

void mmcl__channels_release(mmcl__channels *channels)
{
    mmcl__free(channels->context, channels->index, channels->n, sizeof *channels->index);
    mmcl__free(channels->context, channels->words, channels->classes * channels->n, sizeof *channels->words);
    mmcl__free(channels->context, channels->shift, channels->inputs, sizeof *channels->shift);
}

/* -------------------------------------------------------------------------------------------------------------- head --- */

static mmcl_status fit_on(mmcl__adapt *adapt, const mmcl__channels *channels, mmcl_classifier **out)
{
    mmcl__caching    caching;
    mmcl__cache_form form = mmcl__caching_form(adapt, false);
    form.channels         = channels->index;
    form.n_channels       = channels->n;
    form.words            = channels->words;
    form.shift            = form.map != NULL ? channels->shift : NULL;
    form.gamma            = mmcl__option_or(adapt->options->gamma, 0.1);
    mmcl_status status    = mmcl__caching_open(&caching, adapt, &form);
    if (status == MMCL_OK)
        status = mmcl__caching_search_gamma(&caching);
    if (status == MMCL_OK) {
        adapt->info->gamma = caching.cache->gamma;
        status             = mmcl__caching_finish(&caching, out);
    }
    mmcl__caching_close(&caching);
    return status;
}

mmcl_status mmcl__head_ape(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__channels channels;
    mmcl_status    status = mmcl__channels_choose(&channels, adapt, 0.7, 0.3);
    if (status == MMCL_OK)
        status = fit_on(adapt, &channels, out);
    mmcl__channels_release(&channels);
    return status;
}
