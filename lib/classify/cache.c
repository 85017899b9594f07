#include "classify/cache.h"

#include "classify/cache_kernels.h"
#include "classify/classify.h"
#include "linalg/blas.h"
#include "linalg/convert.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

#define TINY 1e-6 /* that APE adds to values and probabilities before it takes logarithms */

/* ----------------------------------------------------------------------------------------------------------- blocks --- */

/* A block of a cache, for making and taking back. */
struct block {
    void **at;
    size_t count, size;
};

enum { N_BLOCKS = 14 };

/* The blocks of `cache`, of count 0 where `has` does not have them. */
static void list_blocks(mmcl__cache *cache, const mmcl__cache *has, struct block *out)
{
    const size_t classes = cache->classes, inputs = cache->inputs, width = cache->width, room = cache->room;
    const struct block all[N_BLOCKS] = {
        {(void **) &cache->channels, has->channels != NULL ? cache->n_channels : 0, sizeof *cache->channels},
        {(void **) &cache->starts, classes + 1, sizeof *cache->starts},
        {(void **) &cache->key, room * cache->stride, sizeof *cache->key},
        {(void **) &cache->narrow, has->narrow != NULL ? room * cache->stride / 2 : 0, sizeof *cache->narrow},
        {(void **) &cache->coarse, has->coarse != NULL ? room * cache->stride : 0, sizeof *cache->coarse},
        {(void **) &cache->steps, has->steps != NULL ? room : 0, sizeof *cache->steps},
        {(void **) &cache->weights, has->weights != NULL ? room : 0, sizeof *cache->weights},
        {(void **) &cache->raw, has->raw != NULL ? room * inputs : 0, sizeof *cache->raw},
        {(void **) &cache->text, has->text != NULL ? classes * inputs : 0, sizeof *cache->text},
        {(void **) &cache->base, has->base != NULL ? classes * inputs : 0, sizeof *cache->base},
        {(void **) &cache->words, has->words != NULL ? classes * width : 0, sizeof *cache->words},
        {(void **) &cache->shift, has->shift != NULL ? inputs : 0, sizeof *cache->shift},
        {(void **) &cache->adapter, has->adapter != NULL ? width * width : 0, sizeof *cache->adapter},
        {(void **) &cache->text_f32, has->text_f32 != NULL ? classes * inputs : 0, sizeof *cache->text_f32},
    };
    memcpy(out, all, sizeof all);
}

void mmcl__cache_destroy(mmcl__cache *cache)
{
    struct block blocks[N_BLOCKS];
    if (cache == NULL)
        return;
    list_blocks(cache, cache, blocks);
    for (size_t i = 0; i < N_BLOCKS; i++)
        mmcl__free(cache->context, *blocks[i].at, blocks[i].count, blocks[i].size);
    mmcl__transform_destroy(cache->map);
    mmcl__free(cache->context, cache, 1, sizeof *cache);
}

/* Makes the blocks that `has` has and that `cache`, whose pointers are NULL, lacks. */
static mmcl_status make_blocks(mmcl__cache *cache, const mmcl__cache *has)
{
    struct block blocks[N_BLOCKS];
    list_blocks(cache, has, blocks);
    for (size_t i = 0; i < N_BLOCKS; i++)
        if (blocks[i].count > 0) {
            *blocks[i].at = mmcl__calloc(cache->context, blocks[i].count, blocks[i].size);
            if (*blocks[i].at == NULL)
                return MMCL_E_NOMEM;
        }
    return MMCL_OK;
}

/* An empty cache with the sizes, numbers and blocks of `like`, room for more, and its own map. */
static mmcl_status make_like(mmcl__cache **out, mmcl_context *context, const mmcl__cache *like, size_t classes, size_t room)
{
    mmcl__cache *cache = mmcl__calloc(context, 1, sizeof *cache);
    if (cache == NULL)
        return MMCL_E_NOMEM;
    *cache = (mmcl__cache){.context = context, .inputs = like->inputs, .classes = classes, .n_channels = like->n_channels, .unit = like->unit,
                           .min_max = like->min_max, .alpha = like->alpha, .beta = like->beta, .gamma = like->gamma, .eta = like->eta,
                           .scale = like->scale, .width = like->width, .stride = like->stride, .room = room};
    mmcl_status status = make_blocks(cache, like);
    if (status == MMCL_OK && like->map != NULL)
        status = mmcl__transform_clone(&cache->map, context, like->map);
    if (status == MMCL_OK)
        *out = cache;
    else
        mmcl__cache_destroy(cache);
    return status;
}

static void copy_block(void *to, const void *from, size_t count, size_t size)
{
    if (from != NULL && count > 0)
        memcpy(to, from, count * size);
}

/* What `from` holds into a cache made like it, with as many classes or more and as much room or more. */
static void copy_contents(mmcl__cache *to, const mmcl__cache *from)
{
    const size_t classes = from->classes, keys = from->keys;
    copy_block(to->channels, from->channels, from->n_channels, sizeof *to->channels);
    copy_block(to->starts, from->starts, classes + 1, sizeof *to->starts);
    copy_block(to->key, from->key, keys * from->stride, sizeof *to->key);
    copy_block(to->narrow, from->narrow, keys * from->stride / 2, sizeof *to->narrow);
    copy_block(to->coarse, from->coarse, keys * from->stride, sizeof *to->coarse);
    copy_block(to->steps, from->steps, keys, sizeof *to->steps);
    copy_block(to->weights, from->weights, keys, sizeof *to->weights);
    copy_block(to->raw, from->raw, keys * from->inputs, sizeof *to->raw);
    copy_block(to->text, from->text, classes * from->inputs, sizeof *to->text);
    copy_block(to->base, from->base, classes * from->inputs, sizeof *to->base);
    copy_block(to->words, from->words, classes * from->width, sizeof *to->words);
    copy_block(to->shift, from->shift, from->inputs, sizeof *to->shift);
    copy_block(to->adapter, from->adapter, from->width * from->width, sizeof *to->adapter);
    copy_block(to->text_f32, from->text_f32, classes * from->inputs, sizeof *to->text_f32);
    to->keys = keys;
    for (size_t k = classes + 1; k <= to->classes; k++)
        to->starts[k] = keys;
}

mmcl_status mmcl__cache_copy(mmcl__cache **out, mmcl_context *context, const mmcl__cache *cache)
{
    MMCL__TRY(make_like(out, context, cache, cache->classes, cache->keys));
    copy_contents(*out, cache);
    return MMCL_OK;
}

/* Exchanges what two caches hold, so that a bigger one can take the place of the other. */
static void swap(mmcl__cache *a, mmcl__cache *b)
{
    mmcl__cache held = *a;
    *a               = *b;
    *b               = held;
}

/* -------------------------------------------------------------------------------------------------------------- keys --- */

mmcl_status mmcl__cache_see(const mmcl__cache *cache, const float *rows, size_t n, float *out, size_t stride)
{
    const mmcl_matrix view = {.data = rows, .rows = n, .cols = cache->inputs};
    if (cache->map != NULL)
        MMCL__TRY(mmcl__transform_apply(cache->map, &view, out, stride, NULL));
    for (size_t i = 0; i < n; i++) {
        float *u = out + i * stride;
        if (cache->map == NULL)
            memcpy(u, rows + i * cache->inputs, cache->inputs * sizeof *u);
        else if (cache->unit)
            mmcl__unit_rows_f32(1, cache->map->outputs, u, u, cache->map->outputs);
        for (size_t c = 0; c < cache->n_channels && cache->channels != NULL; c++)
            u[c] = u[cache->channels[c]];
        if (cache->channels != NULL && cache->unit)
            mmcl__unit_rows_f32(1, cache->width, u, u, cache->width);
        memset(u + cache->width, 0, (stride - cache->width) * sizeof *u);
    }
    return MMCL_OK;
}

size_t mmcl__cache_columns(const mmcl__cache *cache)
{
    return MMCL__MAX(cache->stride, cache->map != NULL ? cache->map->outputs : cache->inputs);
}

static void set_narrow_key(mmcl__cache *cache, size_t j)
{
    const float *key = cache->key + j * cache->stride;
    for (size_t i = 0; i < cache->stride / 2 && cache->narrow != NULL; i++)
        cache->narrow[j * (cache->stride / 2) + i] = mmcl__narrow_pair(key[2 * i], key[2 * i + 1]);
    if (cache->coarse != NULL)
        cache->steps[j] = mmcl__code_key(cache->stride, key, cache->coarse + j * cache->stride);
}

void mmcl__cache_keys_changed(mmcl__cache *cache)
{
    for (size_t j = 0; j < cache->keys; j++)
        set_narrow_key(cache, j);
}

/* exp(gamma log2((1 + 1e-6) / (p + 1e-6))), p what the softmax over the words gives to the key's class. */
static void set_weight(mmcl__cache *cache, size_t j, size_t label)
{
    double all = 0, own = 0;
    for (size_t k = 0; k < cache->classes && cache->words != NULL; k++) {
        double e = 0;
        for (size_t i = 0; i < cache->width; i++)
            e += (double) cache->key[j * cache->stride + i] * cache->words[k * cache->width + i];
        e = exp(e);
        all += e;
        own = k == label ? e : own;
    }
    if (cache->weights != NULL)
        cache->weights[j] = cache->words != NULL ? (float) exp(cache->gamma * log2((1 + TINY) / (own / all + TINY))) : 1;
}

static void set_weights(mmcl__cache *cache)
{
    for (size_t k = 0; k < cache->classes && cache->words != NULL; k++)
        for (size_t j = cache->starts[k]; j < cache->starts[k + 1]; j++)
            set_weight(cache, j, k);
}

void mmcl__cache_set_gamma(mmcl__cache *cache, double gamma)
{
    cache->gamma = gamma;
    set_weights(cache);
}

/* Makes place for a key at j. */
static void move_keys(mmcl__cache *cache, size_t j)
{
    const size_t tail = cache->keys - j, stride = cache->stride;
    memmove(cache->key + (j + 1) * stride, cache->key + j * stride, tail * stride * sizeof *cache->key);
    if (cache->narrow != NULL)
        memmove(cache->narrow + (j + 1) * (stride / 2), cache->narrow + j * (stride / 2), tail * (stride / 2) * sizeof *cache->narrow);
    if (cache->coarse != NULL) {
        memmove(cache->coarse + (j + 1) * stride, cache->coarse + j * stride, tail * stride * sizeof *cache->coarse);
        memmove(cache->steps + j + 1, cache->steps + j, tail * sizeof *cache->steps);
    }
    if (cache->weights != NULL)
        memmove(cache->weights + j + 1, cache->weights + j, tail * sizeof *cache->weights);
    if (cache->raw != NULL)
        memmove(cache->raw + (j + 1) * cache->inputs, cache->raw + j * cache->inputs, tail * cache->inputs * sizeof *cache->raw);
}

/* One row whose key is there: u [stride]. */
static void insert(mmcl__cache *cache, const float *row, const float *u, size_t label)
{
    const size_t j = cache->starts[label + 1];
    move_keys(cache, j);
    memcpy(cache->key + j * cache->stride, u, cache->stride * sizeof *u);
    if (cache->raw != NULL)
        memcpy(cache->raw + j * cache->inputs, row, cache->inputs * sizeof *row);
    for (size_t k = label + 1; k <= cache->classes; k++)
        cache->starts[k]++;
    cache->keys++;
    set_narrow_key(cache, j);
    set_weight(cache, j, label);
}

/* u = adapter u. */
static void adapt_key(const mmcl__cache *cache, float *u, double *scratch)
{
    const size_t width = cache->width;
    for (size_t i = 0; i < width && cache->adapter != NULL; i++) {
        scratch[i] = 0;
        for (size_t c = 0; c < width; c++)
            scratch[i] += cache->adapter[i * width + c] * (double) u[c];
    }
    for (size_t i = 0; i < width && cache->adapter != NULL; i++)
        u[i] = (float) scratch[i];
}

/* Inserts rows one by one; room for them is there. */
static mmcl_status insert_rows(mmcl__cache *cache, size_t n, const float *rows, const int32_t *labels)
{
    const size_t columns = mmcl__cache_columns(cache);
    mmcl_status  status  = MMCL_OK;
    float       *u       = mmcl__alloc(cache->context, columns, sizeof *u);
    double      *scratch = mmcl__alloc(cache->context, cache->width, sizeof *scratch);
    if (u == NULL || scratch == NULL)
        status = MMCL_E_NOMEM;
    for (size_t i = 0; i < n && status == MMCL_OK; i++) {
        status = mmcl__cache_see(cache, rows + i * cache->inputs, 1, u, columns);
        if (status != MMCL_OK) {
            mmcl__fail(cache->context, status, "row %zu overflows float32 in the transform", i);
            break;
        }
        adapt_key(cache, u, scratch);
        insert(cache, rows + i * cache->inputs, u, (size_t) labels[i]);
    }
    mmcl__free(cache->context, u, columns, sizeof *u);
    mmcl__free(cache->context, scratch, cache->width, sizeof *scratch);
    return status;
}

mmcl_status mmcl__cache_add(mmcl__cache *cache, size_t n, const float *rows, const int32_t *labels)
{
    mmcl__cache *bigger;
    MMCL__TRY(make_like(&bigger, cache->context, cache, cache->classes, cache->keys + n));
    copy_contents(bigger, cache);
    mmcl_status status = insert_rows(bigger, n, rows, labels);
    if (status == MMCL_OK)
        swap(cache, bigger);
    mmcl__cache_destroy(bigger);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- classes --- */

/* words [width] of a class's text: shifted, mapped, of the chosen channels. */
static mmcl_status see_text(const mmcl__cache *cache, const double *text, double *words)
{
    const size_t columns = mmcl__cache_columns(cache), d = cache->inputs;
    float       *u = mmcl__alloc(cache->context, columns, sizeof *u), *row = mmcl__alloc(cache->context, d, sizeof *row);
    mmcl_status  status = u != NULL && row != NULL ? MMCL_OK : MMCL_E_NOMEM;
    for (size_t i = 0; i < d && status == MMCL_OK; i++)
        row[i] = (float) (text[i] + (cache->shift != NULL ? cache->shift[i] : 0));
    if (status == MMCL_OK)
        status = mmcl__cache_see(cache, row, 1, u, columns);
    for (size_t i = 0; i < cache->width && status == MMCL_OK; i++)
        words[i] = (double) u[i];
    mmcl__free(cache->context, u, columns, sizeof *u);
    mmcl__free(cache->context, row, d, sizeof *row);
    return status;
}

/* The rows of the last class from its text. */
static mmcl_status fill_class(mmcl__cache *cache, const double *text)
{
    const size_t k = cache->classes - 1, d = cache->inputs;
    copy_block(cache->text != NULL ? cache->text + k * d : NULL, cache->text != NULL ? text : NULL, d, sizeof *text);
    copy_block(cache->base != NULL ? cache->base + k * d : NULL, cache->base != NULL ? text : NULL, d, sizeof *text);
    for (size_t i = 0; i < d && cache->text_f32 != NULL; i++)
        cache->text_f32[k * d + i] = (float) text[i];
    return cache->words != NULL ? see_text(cache, text, cache->words + k * cache->width) : MMCL_OK;
}

mmcl_status mmcl__cache_add_class(mmcl__cache *cache, const double *text)
{
    mmcl__cache *bigger;
    MMCL__TRY(make_like(&bigger, cache->context, cache, cache->classes + 1, cache->keys));
    copy_contents(bigger, cache);
    mmcl_status status = fill_class(bigger, text);
    if (status == MMCL_OK) {
        set_weights(bigger);
        swap(cache, bigger);
    }
    mmcl__cache_destroy(bigger);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- creation --- */

mmcl__cache mmcl__cache_like(size_t classes, const mmcl__cache_form *form)
{
    mmcl__cache   like = {.inputs = form->inputs, .classes = classes, .map = (mmcl_transform *) form->map, .channels = (int32_t *) form->channels,
                          .n_channels = form->n_channels, .unit = form->unit, .min_max = form->min_max, .alpha = form->alpha,
                          .beta = form->beta, .gamma = form->gamma, .eta = form->eta, .scale = form->scale, .text = (double *) form->text,
                          .base = (double *) form->base, .words = (double *) form->words, .shift = (double *) form->shift};
    like.width    = form->channels != NULL ? form->n_channels : form->map != NULL ? form->map->outputs : form->inputs;
    like.stride   = (like.width + MMCL__KEY_PAD - 1) / MMCL__KEY_PAD * MMCL__KEY_PAD;
    like.weights  = form->weighted || form->words != NULL ? (float *) (uintptr_t) form : NULL; /* only presence counts */
    like.raw = like.text_f32 = form->text != NULL ? (float *) (uintptr_t) form : NULL;
    return like;
}

static void copy_form(mmcl__cache *cache, const mmcl__cache_form *form)
{
    const size_t texts = cache->classes * cache->inputs;
    copy_block(cache->channels, form->channels, form->n_channels, sizeof *cache->channels);
    copy_block(cache->text, form->text, texts, sizeof *cache->text);
    copy_block(cache->base, form->base, texts, sizeof *cache->base);
    copy_block(cache->words, form->words, cache->classes * cache->width, sizeof *cache->words);
    copy_block(cache->shift, form->shift, cache->inputs, sizeof *cache->shift);
    if (form->text != NULL)
        mmcl__convert()->f64_to_f32(texts, form->text, cache->text_f32);
}

mmcl_status mmcl__cache_make(mmcl__cache **out, mmcl_context *context, size_t classes, const mmcl__cache_form *form, mmcl_key_type narrow,
                              bool adapter, size_t room)
{
    mmcl__cache like = mmcl__cache_like(classes, form);
    like.narrow      = narrow == MMCL_KEYS_BF16 ? (uint32_t *) (uintptr_t) form : NULL;
    like.coarse      = narrow == MMCL_KEYS_INT8 ? (int8_t *) (uintptr_t) form : NULL;
    like.steps       = narrow == MMCL_KEYS_INT8 ? (float *) (uintptr_t) form : NULL;
    like.adapter     = adapter ? (double *) (uintptr_t) form : NULL;
    return make_like(out, context, &like, classes, room);
}

mmcl_status mmcl__cache_create(mmcl__cache **out, mmcl_context *context, size_t classes, const mmcl__cache_form *form, size_t n,
                               const float *rows, const int32_t *labels)
{
    mmcl__cache *cache;
    MMCL__TRY(mmcl__cache_make(&cache, context, classes, form, MMCL_KEYS_F32, false, n));
    copy_form(cache, form);
    mmcl_status status = insert_rows(cache, n, rows, labels);
    if (status == MMCL_OK)
        *out = cache;
    else
        mmcl__cache_destroy(cache);
    return status;
}

mmcl_status mmcl__cache_set_adapter(mmcl__cache *cache)
{
    assert(cache->adapter == NULL);
    cache->adapter = mmcl__calloc(cache->context, cache->width * cache->width, sizeof *cache->adapter);
    return cache->adapter != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

mmcl_status mmcl__cache_set_narrow(mmcl__cache *cache, mmcl_key_type narrow)
{
    const size_t count = cache->room * cache->stride;
    assert(cache->narrow == NULL && cache->coarse == NULL);
    if (narrow == MMCL_KEYS_BF16)
        cache->narrow = mmcl__alloc(cache->context, count / 2, sizeof *cache->narrow);
    if (narrow == MMCL_KEYS_INT8) {
        cache->steps  = mmcl__alloc(cache->context, cache->room, sizeof *cache->steps);
        cache->coarse = cache->steps != NULL ? mmcl__alloc(cache->context, count, sizeof *cache->coarse) : NULL;
    }
    mmcl__cache_keys_changed(cache);
    return narrow == MMCL_KEYS_F32 || cache->narrow != NULL || cache->coarse != NULL ? MMCL_OK : MMCL_E_NOMEM;
}
