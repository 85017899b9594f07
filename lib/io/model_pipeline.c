/* Pipelines in model files: a chain, a head, class names. */
#include "io/model.h"

#include "classify/classifier.h"
#include "io/model_parts.h"

/* ---------------------------------------------------------------------------------------------------------- writing --- */

static mmcl_status put_pipeline(mmcl_writer *writer, const mmcl_pipeline *pipeline)
{
    if (pipeline->transform != NULL)
        MMCL__TRY(mmcl__model_put_transform(writer, "transform/", pipeline->transform));
    MMCL__TRY(mmcl__model_put_head(writer, pipeline->classifier));
    if (pipeline->names == NULL)
        return MMCL_OK;
    return mmcl__writer_add_strings(writer, "class_names", (const char *const *) pipeline->names, pipeline->classifier->classes);
}

mmcl_status mmcl__pipeline_save(const mmcl_pipeline *pipeline, const mmcl__model_target *target)
{
    mmcl_writer *writer;
    MMCL__TRY(mmcl__model_begin(&writer, pipeline->context, "pipeline", target));
    return mmcl__model_end(writer, target, put_pipeline(writer, pipeline));
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

/* Class names in one block: pointers, then texts. */
typedef struct names {
    char **texts; /* [classes], in one block with what they point at; NULL: there are none */
    size_t bytes; /* of the block */
} names;

static mmcl_status copy_names(mmcl_context *context, mmcl_array *array, size_t classes, names *out)
{
    size_t needed, bytes = classes * sizeof(char *);
    for (size_t i = 0; i < classes; i++) {
        MMCL__TRY(mmcl__array_string(array, i, NULL, 0, &needed));
        if (!mmcl__add(bytes, needed, &bytes))
            return mmcl__fail(context, MMCL_E_NOMEM, "class_names: do not fit in memory");
    }
    char **texts = mmcl__alloc(context, bytes, 1);
    if (texts == NULL)
        return MMCL_E_NOMEM;
    *out = (names){texts, bytes};
    for (char *at = (char *) (texts + classes), **text = texts; text < texts + classes; text++, at += needed) {
        *text = at;
        MMCL__TRY(mmcl__array_string(array, (size_t) (text - texts), at, (size_t) ((char *) texts + bytes - at), &needed));
    }
    return MMCL_OK;
}

static mmcl_status take_names(mmcl_archive *archive, size_t classes, names *out)
{
    mmcl_array *array;
    if (mmcl__archive_find(archive, "class_names") == NULL)
        return MMCL_OK;
    MMCL__TRY(mmcl__model_array(&array, archive, "class_names", MMCL_STR, 1));
    mmcl_status status = array->layout.info.elements == classes
                             ? copy_names(archive->context, array, classes, out)
                             : mmcl__model_damaged(archive, "class_names", "has too few or too many");
    mmcl__array_destroy(array);
    return status;
}

static mmcl_status take_pipeline(mmcl_pipeline **out, mmcl_archive *archive)
{
    mmcl_transform  *transform  = NULL;
    mmcl_classifier *classifier = NULL;
    names            classes    = {0};
    mmcl_status      status     = MMCL_OK;
    if (mmcl__archive_find(archive, "transform/columns") != NULL)
        status = mmcl__model_take_transform(&transform, archive, "transform/");
    if (status == MMCL_OK)
        status = mmcl__model_take_head(&classifier, archive);
    if (status == MMCL_OK && transform != NULL && transform->outputs != classifier->inputs)
        status = mmcl__model_damaged(archive, "classifier/weights", "does not fit the columns of the transform");
    if (status == MMCL_OK)
        status = take_names(archive, classifier->classes, &classes);
    if (status == MMCL_OK)
        status = mmcl__model_invalid(
            archive, mmcl__pipeline_create(out, archive->context, transform, classifier, (const char *const *) classes.texts));
    mmcl__free(archive->context, classes.texts, classes.bytes, 1);
    mmcl__classifier_destroy(classifier);
    mmcl__transform_destroy(transform);
    return status;
}

mmcl_status mmcl__pipeline_load(mmcl_pipeline **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl_archive *archive;
    MMCL__TRY(mmcl__model_open(&archive, context, path, options, "pipeline"));
    mmcl_status status = take_pipeline(out, archive);
    mmcl__archive_destroy(archive);
    return status;
}
