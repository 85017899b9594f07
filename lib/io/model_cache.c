/* Caches of keys in model files, under "head/cache/". */
#include "classify/cache.h"

#include "classify/cache_kernels.h"
#include "classify/classify.h"
#include "io/model_parts.h"

#include <string.h>

#define PREFIX "head/cache/"

/* Elements of "options" and "numbers": their order is the file's, and only ever grows at the end. */
enum { OPTION_KEYS, OPTION_CHANNELS, OPTION_UNIT, OPTION_MIN_MAX, OPTION_PARTS, N_OPTIONS };
enum { NUMBER_ALPHA, NUMBER_BETA, NUMBER_GAMMA, NUMBER_ETA, NUMBER_SCALE, N_NUMBERS };
/* Bits of OPTION_PARTS. */
enum { PART_MAP = 1, PART_WEIGHTS = 2, PART_NARROW = 4, PART_TEXT = 8, PART_BASE = 16, PART_WORDS = 32, PART_SHIFT = 64, PART_ADAPTER = 128,
       PART_COARSE = 256, ALL_PARTS = 511 };

/* ---------------------------------------------------------------------------------------------------------- writing --- */

static mmcl_status put(mmcl_writer *writer, const char *key, mmcl_dtype dtype, size_t rows, size_t cols, const void *values)
{
    const uint64_t shape[] = {rows, cols};
    return values != NULL ? mmcl__writer_put(writer, key, dtype, 2, shape, values) : MMCL_OK;
}

static int64_t parts_of(const mmcl__cache *cache)
{
    return (cache->map != NULL ? PART_MAP : 0) | (cache->weights != NULL ? PART_WEIGHTS : 0) | (cache->narrow != NULL ? PART_NARROW : 0) |
           (cache->text != NULL ? PART_TEXT : 0) | (cache->base != NULL ? PART_BASE : 0) | (cache->words != NULL ? PART_WORDS : 0) |
           (cache->shift != NULL ? PART_SHIFT : 0) | (cache->adapter != NULL ? PART_ADAPTER : 0) |
           (cache->coarse != NULL ? PART_COARSE : 0);
}

/* Keys a class. */
static mmcl_status put_counts(mmcl_writer *writer, const mmcl__cache *cache)
{
    int64_t *counts = mmcl__alloc(cache->context, cache->classes, sizeof *counts);
    if (counts == NULL)
        return MMCL_E_NOMEM;
    for (size_t k = 0; k < cache->classes; k++)
        counts[k] = (int64_t) (cache->starts[k + 1] - cache->starts[k]);
    mmcl_status status = mmcl__writer_put(writer, PREFIX "counts", MMCL_I64, 1, &(uint64_t){cache->classes}, counts);
    mmcl__free(cache->context, counts, cache->classes, sizeof *counts);
    return status;
}

mmcl_status mmcl__model_put_cache(mmcl_writer *writer, const mmcl__cache *cache)
{
    const size_t  classes = cache->classes, inputs = cache->inputs, width = cache->width;
    const int64_t options[N_OPTIONS] = {
        [OPTION_KEYS]     = (int64_t) cache->keys,
        [OPTION_CHANNELS] = cache->channels != NULL ? (int64_t) cache->n_channels : 0,
        [OPTION_UNIT]     = cache->unit,
        [OPTION_MIN_MAX]  = cache->min_max,
        [OPTION_PARTS]    = parts_of(cache),
    };
    const double numbers[N_NUMBERS] = {[NUMBER_ALPHA] = cache->alpha, [NUMBER_BETA] = cache->beta, [NUMBER_GAMMA] = cache->gamma,
                                       [NUMBER_ETA] = cache->eta, [NUMBER_SCALE] = cache->scale};
    MMCL__TRY(mmcl__writer_put(writer, PREFIX "options", MMCL_I64, 1, &(uint64_t){N_OPTIONS}, options));
    MMCL__TRY(mmcl__writer_put(writer, PREFIX "numbers", MMCL_F64, 1, &(uint64_t){N_NUMBERS}, numbers));
    if (cache->map != NULL)
        MMCL__TRY(mmcl__model_put_transform(writer, PREFIX "map/", cache->map));
    MMCL__TRY(put_counts(writer, cache));
    MMCL__TRY(put(writer, PREFIX "channels", MMCL_I32, 1, cache->n_channels, cache->channels));
    MMCL__TRY(put(writer, PREFIX "keys", MMCL_F32, cache->keys, cache->stride, cache->key));
    MMCL__TRY(put(writer, PREFIX "weights", MMCL_F32, 1, cache->keys, cache->weights));
    MMCL__TRY(put(writer, PREFIX "rows", MMCL_F32, cache->keys, inputs, cache->raw));
    MMCL__TRY(put(writer, PREFIX "text", MMCL_F64, classes, inputs, cache->text));
    MMCL__TRY(put(writer, PREFIX "base", MMCL_F64, classes, inputs, cache->base));
    MMCL__TRY(put(writer, PREFIX "words", MMCL_F64, classes, width, cache->words));
    MMCL__TRY(put(writer, PREFIX "shift", MMCL_F64, 1, inputs, cache->shift));
    return put(writer, PREFIX "adapter", MMCL_F64, width, width, cache->adapter);
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

/* Whether the file has a matrix of this shape; asked before room for it is made. */
static mmcl_status expect(mmcl_archive *archive, bool wanted, const char *key, mmcl_dtype dtype, size_t rows, size_t cols)
{
    mmcl_array *array;
    if (!wanted)
        return MMCL_OK;
    MMCL__TRY(mmcl__model_array(&array, archive, key, dtype, 2));
    const mmcl_array_info *info = &array->layout.info;
    bool                   fits = info->shape[0] == rows && info->shape[1] == cols;
    mmcl__array_destroy(array);
    return fits ? MMCL_OK : mmcl__model_damaged(archive, key, "has another shape than it should");
}

/* Reads a matrix of this shape into a block that is there, or nothing where there is none. */
static mmcl_status take(mmcl_archive *archive, const char *key, mmcl_dtype dtype, size_t rows, size_t cols, void *out)
{
    mmcl_array *array;
    if (out == NULL)
        return MMCL_OK;
    MMCL__TRY(expect(archive, true, key, dtype, rows, cols));
    MMCL__TRY(mmcl__model_array(&array, archive, key, dtype, 2));
    mmcl_status status = mmcl__array_read(array, 0, rows * cols, out);
    mmcl__array_destroy(array);
    if (status == MMCL_OK && ((dtype == MMCL_F32 && !mmcl__convert()->finite_f32(rows * cols, out)) ||
                              (dtype == MMCL_F64 && !mmcl__convert()->finite_f64(rows * cols, out))))
        status = mmcl__model_damaged(archive, key, "holds NaN or infinity");
    return status;
}

static mmcl_status expect_arrays(mmcl_archive *archive, const mmcl__cache *like, bool adapter)
{
    MMCL__TRY(expect(archive, true, PREFIX "keys", MMCL_F32, like->room, like->stride));
    MMCL__TRY(expect(archive, like->raw != NULL, PREFIX "rows", MMCL_F32, like->room, like->inputs));
    MMCL__TRY(expect(archive, like->text != NULL, PREFIX "text", MMCL_F64, like->classes, like->inputs));
    MMCL__TRY(expect(archive, like->base != NULL, PREFIX "base", MMCL_F64, like->classes, like->inputs));
    MMCL__TRY(expect(archive, like->words != NULL, PREFIX "words", MMCL_F64, like->classes, like->width));
    return expect(archive, adapter, PREFIX "adapter", MMCL_F64, like->width, like->width);
}

static mmcl_status check_options(const mmcl_archive *archive, const int64_t *options, const double *numbers)
{
    if (options[OPTION_PARTS] & ~(int64_t) ALL_PARTS)
        return mmcl__fail(archive->context, MMCL_E_VERSION, "%s: a cache with parts that a newer library wrote", archive->file->name);
    if (options[OPTION_KEYS] < 0 || options[OPTION_KEYS] > INT32_MAX || options[OPTION_CHANNELS] < 0 ||
        options[OPTION_CHANNELS] > MMCL_MAX_COLUMNS || options[OPTION_UNIT] < 0 || options[OPTION_UNIT] > 1 || options[OPTION_MIN_MAX] < 0 ||
        options[OPTION_MIN_MAX] > 1)
        return mmcl__model_damaged(archive, PREFIX "options", "describes no cache");
    return mmcl__convert()->finite_f64(N_NUMBERS, numbers) ? MMCL_OK : mmcl__model_damaged(archive, PREFIX "numbers", "holds NaN or infinity");
}

static mmcl_status take_counts(mmcl_archive *archive, mmcl__cache *cache)
{
    int64_t *counts = mmcl__alloc(cache->context, cache->classes, sizeof *counts);
    if (counts == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = mmcl__model_take(archive, PREFIX "counts", MMCL_I64, cache->classes, counts);
    for (size_t k = 0; k < cache->classes && status == MMCL_OK; k++) {
        if (counts[k] < 0 || (uint64_t) counts[k] > cache->room - cache->starts[k])
            status = mmcl__model_damaged(archive, PREFIX "counts", "does not fit the keys");
        else
            cache->starts[k + 1] = cache->starts[k] + (size_t) counts[k];
    }
    mmcl__free(cache->context, counts, cache->classes, sizeof *counts);
    if (status == MMCL_OK && cache->starts[cache->classes] != cache->room)
        status = mmcl__model_damaged(archive, PREFIX "counts", "does not fit the keys");
    cache->keys = cache->room;
    return status;
}

static mmcl_status take_channels(mmcl_archive *archive, mmcl__cache *cache)
{
    const size_t columns = cache->map != NULL ? cache->map->outputs : cache->inputs;
    if (cache->channels == NULL)
        return MMCL_OK;
    MMCL__TRY(take(archive, PREFIX "channels", MMCL_I32, 1, cache->n_channels, cache->channels));
    for (size_t c = 0; c < cache->n_channels; c++)
        if (cache->channels[c] < 0 || (size_t) cache->channels[c] >= columns || (c > 0 && cache->channels[c] <= cache->channels[c - 1]))
            return mmcl__model_damaged(archive, PREFIX "channels", "does not choose among the columns");
    return MMCL_OK;
}

static mmcl_status take_arrays(mmcl_archive *archive, mmcl__cache *cache)
{
    const size_t classes = cache->classes, inputs = cache->inputs, width = cache->width;
    MMCL__TRY(take_counts(archive, cache));
    MMCL__TRY(take_channels(archive, cache));
    MMCL__TRY(take(archive, PREFIX "keys", MMCL_F32, cache->keys, cache->stride, cache->key));
    for (size_t j = 0; j < cache->keys; j++)
        memset(cache->key + j * cache->stride + width, 0, (cache->stride - width) * sizeof *cache->key);
    MMCL__TRY(take(archive, PREFIX "weights", MMCL_F32, 1, cache->keys, cache->weights));
    MMCL__TRY(take(archive, PREFIX "rows", MMCL_F32, cache->keys, inputs, cache->raw));
    MMCL__TRY(take(archive, PREFIX "text", MMCL_F64, classes, inputs, cache->text));
    MMCL__TRY(take(archive, PREFIX "base", MMCL_F64, classes, inputs, cache->base));
    MMCL__TRY(take(archive, PREFIX "words", MMCL_F64, classes, width, cache->words));
    MMCL__TRY(take(archive, PREFIX "shift", MMCL_F64, 1, inputs, cache->shift));
    return take(archive, PREFIX "adapter", MMCL_F64, width, width, cache->adapter);
}

static mmcl_key_type narrow_of(int64_t parts)
{
    return parts & PART_NARROW ? MMCL_KEYS_BF16 : parts & PART_COARSE ? MMCL_KEYS_INT8 : MMCL_KEYS_F32;
}

/* A cache for rows of `inputs` columns with the arrays of the file. */
static mmcl_status take_cache(mmcl_archive *archive, const int64_t *options, const mmcl__cache_form *form, size_t classes, mmcl__cache **out)
{
    mmcl__cache *cache, like = mmcl__cache_like(classes, form);
    const size_t keys = (size_t) options[OPTION_KEYS];
    like.room         = keys;
    MMCL__TRY(expect_arrays(archive, &like, options[OPTION_PARTS] & PART_ADAPTER));
    MMCL__TRY(mmcl__cache_make(&cache, archive->context, classes, form, narrow_of(options[OPTION_PARTS]), options[OPTION_PARTS] & PART_ADAPTER,
                               keys));
    mmcl_status status = take_arrays(archive, cache);
    if (status != MMCL_OK) {
        mmcl__cache_destroy(cache);
        return status;
    }
    mmcl__cache_keys_changed(cache);
    if (cache->text_f32 != NULL)
        mmcl__convert()->f64_to_f32(classes * cache->inputs, cache->text, cache->text_f32);
    *out = cache;
    return MMCL_OK;
}

mmcl_status mmcl__model_take_cache(mmcl__cache **out, mmcl_archive *archive, const mmcl_classifier *head)
{
    const size_t    inputs = head->inputs, classes = head->classes;
    int64_t         options[N_OPTIONS];
    double          numbers[N_NUMBERS];
    mmcl_transform *map = NULL;
    MMCL__TRY(mmcl__model_take(archive, PREFIX "options", MMCL_I64, N_OPTIONS, options));
    MMCL__TRY(mmcl__model_take(archive, PREFIX "numbers", MMCL_F64, N_NUMBERS, numbers));
    MMCL__TRY(check_options(archive, options, numbers));
    if (options[OPTION_PARTS] & PART_MAP)
        MMCL__TRY(mmcl__model_take_transform(&map, archive, PREFIX "map/"));
    /* Of what is an array here, only its presence counts. */
    const int32_t         some  = 0;
    const double          block = 0, *there = &block;
    const int64_t         parts = options[OPTION_PARTS];
    const size_t          channels = (size_t) options[OPTION_CHANNELS];
    const bool            texts    = parts & (PART_TEXT | PART_BASE | PART_WORDS | PART_SHIFT);
    const mmcl__cache_form form = {.inputs = inputs, .map = map, .channels = channels > 0 ? &some : NULL, .n_channels = channels,
                                   .unit = options[OPTION_UNIT] != 0, .min_max = options[OPTION_MIN_MAX] != 0, .weighted = parts & PART_WEIGHTS,
                                   .alpha = numbers[NUMBER_ALPHA], .beta = numbers[NUMBER_BETA], .gamma = numbers[NUMBER_GAMMA],
                                   .eta = numbers[NUMBER_ETA], .scale = numbers[NUMBER_SCALE], .text = parts & PART_TEXT ? there : NULL,
                                   .base = parts & PART_BASE ? there : NULL, .words = parts & PART_WORDS ? there : NULL,
                                   .shift = parts & PART_SHIFT ? there : NULL};
    mmcl_status status = MMCL_OK;
    if (map != NULL && map->inputs != inputs)
        status = mmcl__model_damaged(archive, PREFIX "map/columns", "does not fit the head");
    else if (texts && head->weights == NULL) /* whose text is the linear block */
        status = mmcl__model_damaged(archive, PREFIX "options", "has text for a head without");
    else if (classes > MMCL__CACHE_SCORES || channels > (map != NULL ? map->outputs : inputs))
        status = mmcl__model_damaged(archive, PREFIX "options", "describes no cache");
    else
        status = take_cache(archive, options, &form, classes, out);
    mmcl__transform_destroy(map);
    return status;
}
