/* Heads in model files: a linear one as ever, others block by block. */
#include "io/model_parts.h"

#include "classify/bottleneck.h"
#include "classify/kernel.h"

/* Elements of "head/options": their order is the file's, and only ever grows at the end. */
enum { OPTION_INPUTS, OPTION_CLASSES, OPTION_WIDTH, OPTION_UNIT_ROWS, OPTION_UNIT_MAPPED, OPTION_BLOCKS, N_OPTIONS };
/* Bits of OPTION_BLOCKS. */
enum { BLOCK_MAP = 1, BLOCK_LINEAR = 2, BLOCK_CACHE = 4, BLOCK_KERNEL = 8, BLOCK_BOTTLENECK = 16, ALL_BLOCKS = 31 };

/* ---------------------------------------------------------------------------------------------------------- writing --- */

static mmcl_status put_linear(mmcl_writer *writer, const char *weights_key, const char *intercepts_key, const mmcl_classifier *head)
{
    const uint64_t shape[] = {head->classes, head->width};
    MMCL__TRY(mmcl__writer_put(writer, weights_key, MMCL_F64, 2, shape, head->weights));
    return mmcl__writer_put(writer, intercepts_key, MMCL_F64, 1, shape, head->intercepts);
}

static mmcl_status put_kernel(mmcl_writer *writer, const mmcl__kernel *kernel)
{
    const uint64_t shape[] = {kernel->keys, kernel->cols};
    MMCL__TRY(mmcl__writer_put(writer, "head/kernel/sharpness", MMCL_F64, 1, &(uint64_t){1}, &kernel->sharpness));
    return mmcl__writer_put(writer, "head/kernel/keys", MMCL_F32, 2, shape, kernel->key);
}

static mmcl_status put_bottleneck(mmcl_writer *writer, const mmcl__bottleneck *bottleneck)
{
    const uint64_t down[] = {bottleneck->hidden, bottleneck->cols}, up[] = {bottleneck->cols, bottleneck->hidden};
    MMCL__TRY(mmcl__writer_put(writer, "head/bottleneck/ratio", MMCL_F64, 1, &(uint64_t){1}, &bottleneck->ratio));
    MMCL__TRY(mmcl__writer_put(writer, "head/bottleneck/down", MMCL_F32, 2, down, bottleneck->down));
    return mmcl__writer_put(writer, "head/bottleneck/up", MMCL_F32, 2, up, bottleneck->up);
}

mmcl_status mmcl__model_put_head(mmcl_writer *writer, const mmcl_classifier *head)
{
    if (mmcl__classifier_is_linear(head))
        return put_linear(writer, "classifier/weights", "classifier/intercepts", head);
    const int64_t options[N_OPTIONS] = {
        [OPTION_INPUTS]      = (int64_t) head->inputs,
        [OPTION_CLASSES]     = (int64_t) head->classes,
        [OPTION_WIDTH]       = (int64_t) head->width,
        [OPTION_UNIT_ROWS]   = head->unit_rows,
        [OPTION_UNIT_MAPPED] = head->unit_mapped,
        [OPTION_BLOCKS]      = (head->map != NULL ? BLOCK_MAP : 0) | (head->weights != NULL ? BLOCK_LINEAR : 0) |
                               (head->cache != NULL ? BLOCK_CACHE : 0) | (head->kernel != NULL ? BLOCK_KERNEL : 0) |
                               (head->bottleneck != NULL ? BLOCK_BOTTLENECK : 0),
    };
    MMCL__TRY(mmcl__writer_put(writer, "head/options", MMCL_I64, 1, &(uint64_t){N_OPTIONS}, options));
    if (head->map != NULL)
        MMCL__TRY(mmcl__model_put_transform(writer, "head/map/", head->map));
    if (head->kernel != NULL)
        MMCL__TRY(put_kernel(writer, head->kernel));
    if (head->bottleneck != NULL)
        MMCL__TRY(put_bottleneck(writer, head->bottleneck));
    if (head->cache != NULL)
        MMCL__TRY(mmcl__model_put_cache(writer, head->cache));
    return head->weights != NULL ? put_linear(writer, "head/weights", "head/intercepts", head) : MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

/* Weights and intercepts, checked; classes and inputs as the weights have them. */
static mmcl_status take_linear(mmcl_archive *archive, const char *weights_key, const char *intercepts_key, mmcl_classifier **out)
{
    mmcl_array *array;
    MMCL__TRY(mmcl__model_array(&array, archive, weights_key, MMCL_F64, 2));
    size_t classes = (size_t) array->layout.info.shape[0], inputs = (size_t) array->layout.info.shape[1];
    mmcl__array_destroy(array);
    if (classes == 0 || inputs == 0 || inputs > MMCL_MAX_COLUMNS)
        return mmcl__model_damaged(archive, weights_key, "has another shape than it should");
    double     *weights = NULL, *intercepts = NULL;
    mmcl_status status = mmcl__model_take_values(archive, weights_key, 2, classes, inputs, &weights);
    if (status == MMCL_OK)
        status = mmcl__model_take_values(archive, intercepts_key, 1, classes, 1, &intercepts);
    if (status == MMCL_OK)
        status = mmcl__classifier_create(out, archive->context, classes, inputs, weights, intercepts);
    mmcl__free(archive->context, weights, classes * inputs, sizeof *weights);
    mmcl__free(archive->context, intercepts, classes, sizeof *intercepts);
    return mmcl__model_invalid(archive, status);
}

static mmcl_status check_options(const mmcl_archive *archive, const int64_t *options)
{
    if (options[OPTION_BLOCKS] & ~(int64_t) ALL_BLOCKS)
        return mmcl__fail(archive->context, MMCL_E_VERSION, "%s: a head with parts that a newer library wrote", archive->file->name);
    if (options[OPTION_INPUTS] < 1 || options[OPTION_INPUTS] > MMCL_MAX_COLUMNS || options[OPTION_WIDTH] < 1 ||
        options[OPTION_WIDTH] > MMCL_MAX_COLUMNS || options[OPTION_CLASSES] < 1 || options[OPTION_UNIT_ROWS] < 0 ||
        options[OPTION_UNIT_ROWS] > 1 || options[OPTION_UNIT_MAPPED] < 0 || options[OPTION_UNIT_MAPPED] > 1 ||
        !(options[OPTION_BLOCKS] & (BLOCK_LINEAR | BLOCK_CACHE)) ||
        ((options[OPTION_BLOCKS] & (BLOCK_KERNEL | BLOCK_BOTTLENECK)) && (options[OPTION_BLOCKS] & (BLOCK_LINEAR | BLOCK_CACHE)) != BLOCK_LINEAR) ||
        (options[OPTION_BLOCKS] & (BLOCK_KERNEL | BLOCK_BOTTLENECK)) == (BLOCK_KERNEL | BLOCK_BOTTLENECK) ||
        (options[OPTION_BLOCKS] & (BLOCK_MAP | BLOCK_CACHE)) == (BLOCK_MAP | BLOCK_CACHE)) /* a cache has a map of its own */
        return mmcl__model_damaged(archive, "head/options", "describes no head");
    return MMCL_OK;
}

static mmcl_status read_keys(mmcl_archive *archive, mmcl_array *array, double sharpness, mmcl__kernel **out)
{
    const size_t  keys = (size_t) array->layout.info.shape[0], cols = (size_t) array->layout.info.shape[1];
    mmcl__kernel *kernel;
    if (keys == 0 || keys > MMCL_MAX_COLUMNS || cols == 0 || cols > MMCL_MAX_COLUMNS)
        return mmcl__model_damaged(archive, "head/kernel/keys", "has another shape than it should");
    MMCL__TRY(mmcl__kernel_create(&kernel, archive->context, keys, cols, sharpness, NULL));
    mmcl_status status = mmcl__array_read(array, 0, keys * cols, kernel->key);
    if (status == MMCL_OK && !mmcl__convert()->finite_f32(keys * cols, kernel->key))
        status = mmcl__model_damaged(archive, "head/kernel/keys", "holds NaN or infinity");
    if (status == MMCL_OK)
        *out = kernel;
    else
        mmcl__kernel_destroy(kernel);
    return status;
}

/* Without a map, rows are as wide as keys. */
static mmcl_status take_kernel(mmcl_archive *archive, mmcl_classifier *head)
{
    double      sharpness;
    mmcl_array *array;
    MMCL__TRY(mmcl__model_take(archive, "head/kernel/sharpness", MMCL_F64, 1, &sharpness));
    if (!mmcl__convert()->finite_f64(1, &sharpness) || sharpness <= 0)
        return mmcl__model_damaged(archive, "head/kernel/sharpness", "has a value out of range");
    MMCL__TRY(mmcl__model_array(&array, archive, "head/kernel/keys", MMCL_F32, 2));
    mmcl_status status = read_keys(archive, array, sharpness, &head->kernel);
    mmcl__array_destroy(array);
    MMCL__TRY(status);
    head->inputs = head->kernel->cols;
    return head->kernel->keys == head->width ? MMCL_OK : mmcl__model_damaged(archive, "head/kernel/keys", "does not fit the weights");
}

/* A matrix of the bottleneck, in the shape that it has to have. */
static mmcl_status take_matrix(mmcl_archive *archive, const char *key, size_t rows, size_t cols, float *out)
{
    mmcl_array *array;
    MMCL__TRY(mmcl__model_array(&array, archive, key, MMCL_F32, 2));
    mmcl_status status = array->layout.info.shape[0] == rows && array->layout.info.shape[1] == cols
                             ? mmcl__array_read(array, 0, rows * cols, out)
                             : mmcl__model_damaged(archive, key, "has another shape than it should");
    mmcl__array_destroy(array);
    if (status == MMCL_OK && !mmcl__convert()->finite_f32(rows * cols, out))
        status = mmcl__model_damaged(archive, key, "holds NaN or infinity");
    return status;
}

/* The weights say how wide it is, its own first array how many are hidden. */
static mmcl_status take_bottleneck(mmcl_archive *archive, mmcl_classifier *head)
{
    double      ratio;
    mmcl_array *array;
    MMCL__TRY(mmcl__model_take(archive, "head/bottleneck/ratio", MMCL_F64, 1, &ratio));
    if (!(ratio > 0 && ratio <= 1))
        return mmcl__model_damaged(archive, "head/bottleneck/ratio", "has a value out of range");
    MMCL__TRY(mmcl__model_array(&array, archive, "head/bottleneck/down", MMCL_F32, 2));
    size_t hidden = (size_t) array->layout.info.shape[0];
    mmcl__array_destroy(array);
    if (hidden == 0 || hidden > head->width)
        return mmcl__model_damaged(archive, "head/bottleneck/down", "has another shape than it should");
    MMCL__TRY(mmcl__bottleneck_create(&head->bottleneck, archive->context, head->width, hidden, ratio, NULL, NULL));
    MMCL__TRY(take_matrix(archive, "head/bottleneck/down", hidden, head->width, head->bottleneck->down));
    return take_matrix(archive, "head/bottleneck/up", head->width, hidden, head->bottleneck->up);
}

static mmcl_status take_map(mmcl_archive *archive, const int64_t *options, mmcl_classifier *head)
{
    mmcl_transform *map;
    MMCL__TRY(mmcl__model_take_transform(&map, archive, "head/map/"));
    mmcl_status status = map->outputs == (head->kernel != NULL ? head->kernel->cols : head->width)
                             ? mmcl__classifier_set_map(head, map, options[OPTION_UNIT_MAPPED] != 0)
                             : mmcl__model_damaged(archive, "head/map/columns", "does not fit the weights");
    mmcl__transform_destroy(map);
    return status;
}

static mmcl_status take_blocks(mmcl_archive *archive, const int64_t *options, mmcl_classifier *head)
{
    head->unit_rows = options[OPTION_UNIT_ROWS] != 0;
    if (options[OPTION_BLOCKS] & BLOCK_KERNEL)
        MMCL__TRY(take_kernel(archive, head));
    if (options[OPTION_BLOCKS] & BLOCK_BOTTLENECK)
        MMCL__TRY(take_bottleneck(archive, head));
    if (options[OPTION_BLOCKS] & BLOCK_MAP)
        MMCL__TRY(take_map(archive, options, head));
    if (head->inputs != (uint64_t) options[OPTION_INPUTS] || head->classes != (uint64_t) options[OPTION_CLASSES] ||
        head->width != (uint64_t) options[OPTION_WIDTH])
        return mmcl__model_damaged(archive, "head/options", "does not fit the other arrays");
    return options[OPTION_BLOCKS] & BLOCK_CACHE ? mmcl__model_take_cache(&head->cache, archive, head) : MMCL_OK;
}

mmcl_status mmcl__model_take_head(mmcl_classifier **out, mmcl_archive *archive)
{
    int64_t          options[N_OPTIONS];
    mmcl_classifier *head;
    if (mmcl__archive_find(archive, "head/options") == NULL)
        return take_linear(archive, "classifier/weights", "classifier/intercepts", out);
    MMCL__TRY(mmcl__model_take(archive, "head/options", MMCL_I64, N_OPTIONS, options));
    MMCL__TRY(check_options(archive, options));
    if (options[OPTION_BLOCKS] & BLOCK_LINEAR)
        MMCL__TRY(take_linear(archive, "head/weights", "head/intercepts", &head));
    else
        MMCL__TRY(mmcl__classifier_create(&head, archive->context, (size_t) options[OPTION_CLASSES], (size_t) options[OPTION_WIDTH], NULL, NULL));
    mmcl_status status = take_blocks(archive, options, head);
    if (status == MMCL_OK)
        *out = head;
    else
        mmcl__classifier_destroy(head);
    return status;
}
