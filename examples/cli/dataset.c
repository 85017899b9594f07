#include "dataset.h"

#include "memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_CLASSES 10000000 /* more is taken for a damaged label */

/* --------------------------------------------------------------------------------------------------------- labels --- */

static int fail_key(const char *path, const char *key, const char *why)
{
    return terminal_fail(EXIT_ERROR, "%s:%s: %s", path, key, why);
}

/* Labels `key` into memory of their own, with their count. Returns an exit code. */
static int read_labels(cli_session *session, mmcl_archive *archive, const char *path, const char *key, int64_t **out, size_t *count)
{
    mmcl_array *array  = NULL;
    mmcl_status status = mmcl_archive_array(&array, archive, key);
    if (status != MMCL_OK)
        return session_fail(session, status, path);
    mmcl_array_info info = {.struct_size = sizeof info};
    status               = mmcl_array_get_info(array, &info);
    if (status == MMCL_OK) {
        *count = (size_t) info.elements;
        *out   = memory_array(*count, sizeof **out);
        status = info.dimensions == 2 && info.shape[1] != 1 ? MMCL_E_INVAL : mmcl_array_labels(array, *out, *count);
    }
    mmcl_array_destroy(array);
    if (status == MMCL_OK)
        return EXIT_OK;
    free(*out);
    *out = NULL;
    if (status == MMCL_E_INVAL)
        return terminal_fail(EXIT_ERROR, "%s:%s: labels must be whole numbers in one dimension, not %s in %u", path, key,
                             mmcl_dtype_name(info.dtype), info.dimensions);
    return session_fail(session, status, path);
}

static void close_rows(labelled_rows *rows)
{
    features_close(&rows->x);
    free(rows->y);
    rows->y = NULL;
}

/* Features and labels of the same length. Returns an exit code. */
static int read_rows(cli_session *session, mmcl_archive *archive, const char *path, const char *x, const char *y, labelled_rows *out)
{
    size_t count = 0;
    TRY(features_from(session, archive, path, x, &out->x));
    int code = read_labels(session, archive, path, y, &out->y, &count);
    if (code == EXIT_OK && count != out->x.view.rows)
        code = terminal_fail(EXIT_ERROR, "%s: %s has %zu rows, but %s has %zu labels", path, x, out->x.view.rows, y, count);
    if (code != EXIT_OK)
        close_rows(out);
    return code;
}

static int64_t largest_label(const labelled_rows *rows, int64_t largest)
{
    for (size_t i = 0; i < rows->x.view.rows; i++)
        largest = rows->y[i] > largest ? rows->y[i] : largest;
    return largest;
}

/* Width and range of one set against the data set's. Returns an exit code. */
static int check_rows(const dataset *data, const labelled_rows *rows)
{
    if (rows->x.array == NULL)
        return EXIT_OK;
    if (rows->x.view.cols != data->columns)
        return terminal_fail(EXIT_ERROR, "%s: it has %zu columns; the other rows have %zu", rows->x.name, rows->x.view.cols,
                             data->columns);
    for (size_t i = 0; i < rows->x.view.rows; i++)
        if (rows->y[i] < 0 || (uint64_t) rows->y[i] >= data->classes)
            return terminal_fail(EXIT_ERROR, "%s: the label of row %zu is %" PRId64 "; expected 0 to %zu", rows->x.name, i,
                                 rows->y[i], data->classes - 1);
    return EXIT_OK;
}

int dataset_check_classes(const dataset *data, const labelled_rows *rows)
{
    if (rows->x.view.rows < data->classes)
        return terminal_fail(EXIT_ERROR, "%s: fewer rows (%zu) than classes (%zu)", rows->x.name, rows->x.view.rows, data->classes);
    uint8_t *seen = memory_array(data->classes, 1);
    for (size_t i = 0; i < rows->x.view.rows; i++)
        seen[rows->y[i]] = 1;
    const uint8_t *empty = memchr(seen, 0, data->classes);
    size_t         class = empty != NULL ? (size_t) (empty - seen) : 0;
    free(seen);
    if (empty == NULL)
        return EXIT_OK;
    return terminal_fail(EXIT_ERROR, "%s: class %zu%s%s has no rows", rows->x.name, class, data->class_names != NULL ? " " : "",
                         data->class_names != NULL ? data->class_names[class] : "");
}

/* ------------------------------------------------------------------------------------------------------------ text --- */

/* Without labels the rows are the classes in order. */
static int number_text(dataset *data)
{
    labelled_rows *text = &data->text;
    if (text->x.view.rows != data->classes)
        return terminal_fail(EXIT_ERROR, "%s: %zu rows without labels; expected one for each of the %zu classes", text->x.name, text->x.view.rows,
                             data->classes);
    text->y = memory_array(text->x.view.rows, sizeof *text->y);
    for (size_t i = 0; i < text->x.view.rows; i++)
        text->y[i] = (int64_t) i;
    return EXIT_OK;
}

/* Every class needs a prompt, and every prompt a class. */
static int check_text(dataset *data)
{
    if (data->text.x.array == NULL)
        return EXIT_OK;
    if (data->text.y == NULL)
        TRY(number_text(data));
    TRY(check_rows(data, &data->text));
    return dataset_check_classes(data, &data->text);
}

static int read_text(cli_session *session, mmcl_archive *archive, dataset *data)
{
    if (mmcl_archive_has(archive, "text_x") && mmcl_archive_has(archive, "text_y"))
        return read_rows(session, archive, data->path, "text_x", "text_y", &data->text);
    return mmcl_archive_has(archive, "text_x") ? features_from(session, archive, data->path, "text_x", &data->text.x) : EXIT_OK;
}

/* "FILE:NAME_x" with labels in "FILE:NAME_y"; false when there are none. */
static bool has_labels(mmcl_archive *archive, char *key)
{
    size_t length = strlen(key);
    if (length < 2 || strcmp(key + length - 2, "_x") != 0)
        return false;
    key[length - 1] = 'y';
    return mmcl_archive_has(archive, key);
}

static int read_outer_labels(cli_session *session, const char *name, labelled_rows *out)
{
    const char *colon = strrchr(name, ':');
    if (colon == NULL)
        return EXIT_OK;
    mmcl_archive *archive = NULL;
    char         *path = memory_format("%.*s", (int) (colon - name), name), *key = memory_text(colon + 1);
    mmcl_status   status = mmcl_archive_open(&archive, session->context, path, NULL);
    int           code   = status == MMCL_OK ? EXIT_OK : session_fail(session, status, path);
    size_t        count  = 0;
    if (code == EXIT_OK && has_labels(archive, key))
        code = read_labels(session, archive, path, key, &out->y, &count);
    if (code == EXIT_OK && count > 0 && count != out->x.view.rows)
        code = terminal_fail(EXIT_ERROR, "%s has %zu rows, but %s has %zu labels", name, out->x.view.rows, key, count);
    mmcl_archive_destroy(archive);
    free(path);
    free(key);
    return code;
}

int dataset_set_text(cli_session *session, dataset *data, const char *name)
{
    close_rows(&data->text);
    TRY(features_open(session, name, &data->text.x));
    TRY(read_outer_labels(session, name, &data->text));
    return check_text(data);
}

/* --------------------------------------------------------------------------------------------------------- classes --- */

static int read_class_names(cli_session *session, mmcl_archive *archive, dataset *data)
{
    mmcl_array *array  = NULL;
    mmcl_status status = mmcl_archive_array(&array, archive, "classnames");
    if (status != MMCL_OK)
        return session_fail(session, status, data->path);
    mmcl_array_info info = {.struct_size = sizeof info};
    status               = mmcl_array_get_info(array, &info);
    bool text            = status == MMCL_OK && info.dtype == MMCL_STR && info.elements > 0;
    if (text) {
        data->classes     = (size_t) info.elements;
        data->class_names = memory_array(data->classes, sizeof *data->class_names);
    }
    for (size_t i = 0; text && status == MMCL_OK && i < data->classes; i++) {
        size_t bytes = 0;
        status       = mmcl_array_string(array, i, NULL, 0, &bytes);
        if (status != MMCL_OK)
            break;
        data->class_names[i] = memory_array(bytes, 1);
        status               = mmcl_array_string(array, i, data->class_names[i], bytes, NULL);
    }
    mmcl_array_destroy(array);
    if (status != MMCL_OK)
        return session_fail(session, status, data->path);
    return text ? EXIT_OK : fail_key(data->path, "classnames", "expected a list of texts");
}

/* Without names the largest label tells how many classes there are. */
static int count_classes(dataset *data)
{
    int64_t largest = largest_label(&data->test, largest_label(&data->val, largest_label(&data->train, -1)));
    for (size_t i = 0; i < data->fixed_count; i++)
        largest = largest_label(&data->fixed[i].rows, largest);
    if (largest >= MAX_CLASSES)
        return terminal_fail(EXIT_ERROR, "%s: a label of %" PRId64 " is out of range", data->path, largest);
    data->classes = (size_t) (largest + 1);
    return EXIT_OK;
}

/* The classes that a further test set may contain, from a list of their numbers. Returns an exit code. */
static int read_mask(cli_session *session, mmcl_archive *archive, const dataset *data, test_domain *out)
{
    char    *key   = memory_format("classes_%s", out->name);
    int64_t *list  = NULL;
    size_t   count = 0;
    int      code  = mmcl_archive_has(archive, key) ? read_labels(session, archive, data->path, key, &list, &count) : EXIT_OK;
    if (code == EXIT_OK && list != NULL) {
        out->mask = memory_array(data->classes, 1);
        for (size_t i = 0; i < count && code == EXIT_OK; i++) {
            if (list[i] < 0 || (uint64_t) list[i] >= data->classes)
                code = terminal_fail(EXIT_ERROR, "%s:%s: class %" PRId64 "; expected 0 to %zu", data->path, key, list[i],
                                     data->classes - 1);
            else
                out->mask[list[i]] = 1;
        }
    }
    free(list);
    free(key);
    return code;
}

/* ------------------------------------------------------------------------------------------------------- one .npz --- */

static bool ends_with_x(const char *key, const char *head, size_t *middle)
{
    size_t length = strlen(key), start = strlen(head);
    if (length <= start + 2 || strncmp(key, head, start) != 0 || strcmp(key + length - 2, "_x") != 0)
        return false;
    *middle = length - start - 2;
    return true;
}

static int compare_draws(const void *a, const void *b)
{
    uint64_t left = ((const fixed_draw *) a)->shots, right = ((const fixed_draw *) b)->shots;
    return (left > right) - (left < right);
}

/* "shotN_x" with its labels. */
static int read_draw(cli_session *session, mmcl_archive *archive, const char *key, size_t digits, dataset *data)
{
    const char *number = key + strlen("shot");
    if (strspn(number, "0123456789") != digits || digits > 9)
        return EXIT_OK;
    char *labels                   = memory_format("shot%.*s_y", (int) digits, number);
    data->fixed                    = memory_grow(data->fixed, data->fixed_count + 1, sizeof *data->fixed);
    data->fixed[data->fixed_count] = (fixed_draw){.shots = strtoull(number, NULL, 10)};
    int code = read_rows(session, archive, data->path, key, labels, &data->fixed[data->fixed_count++].rows);
    free(labels);
    return code;
}

/* "test_NAME_x" with its labels. */
static int read_domain(cli_session *session, mmcl_archive *archive, const char *key, size_t length, dataset *data)
{
    char *labels                       = memory_format("test_%.*s_y", (int) length, key + strlen("test_"));
    data->domains                      = memory_grow(data->domains, data->domain_count + 1, sizeof *data->domains);
    data->domains[data->domain_count] = (test_domain){.name = memory_format("%.*s", (int) length, key + strlen("test_"))};
    int code = read_rows(session, archive, data->path, key, labels, &data->domains[data->domain_count++].rows);
    free(labels);
    return code;
}

static int read_members(cli_session *session, mmcl_archive *archive, dataset *data)
{
    const char *path = data->path;
    TRY(read_rows(session, archive, path, "val_x", "val_y", &data->val));
    if (mmcl_archive_has(archive, "train_x"))
        TRY(read_rows(session, archive, path, "train_x", "train_y", &data->train));
    if (mmcl_archive_has(archive, "test_x"))
        TRY(read_rows(session, archive, path, "test_x", "test_y", &data->test));
    for (size_t i = 0; i < mmcl_archive_count(archive); i++) {
        const char *key = mmcl_archive_key(archive, i);
        size_t      middle;
        if (ends_with_x(key, "shot", &middle))
            TRY(read_draw(session, archive, key, middle, data));
        else if (ends_with_x(key, "test_", &middle))
            TRY(read_domain(session, archive, key, middle, data));
    }
    if (data->fixed_count > 0)
        qsort(data->fixed, data->fixed_count, sizeof *data->fixed, compare_draws);
    if (data->train.x.array == NULL && data->fixed_count == 0)
        return terminal_fail(EXIT_ERROR, "%s: no training rows: expected train_x and train_y, or shotN_x and shotN_y", path);
    if (data->test.x.array == NULL && data->domain_count == 0)
        return terminal_fail(EXIT_ERROR, "%s: no test set: expected test_x and test_y, or test_NAME_x and test_NAME_y", path);
    TRY(read_text(session, archive, data));
    if (mmcl_archive_has(archive, "classnames"))
        TRY(read_class_names(session, archive, data));
    else
        TRY(count_classes(data));
    for (size_t i = 0; i < data->domain_count; i++)
        TRY(read_mask(session, archive, data, &data->domains[i]));
    return EXIT_OK;
}

static int read_archive(cli_session *session, dataset *data)
{
    mmcl_archive *archive = NULL;
    mmcl_status   status  = mmcl_archive_open(&archive, session->context, data->path, NULL);
    if (status != MMCL_OK)
        return session_fail(session, status, data->path);
    int code = read_members(session, archive, data);
    mmcl_archive_destroy(archive);
    return code;
}

/* ------------------------------------------------------------------------------------------------- CoOp's folder --- */

static int read_part(cli_session *session, const dataset *data, const char *part, labelled_rows *out)
{
    mmcl_archive *archive = NULL;
    char         *path    = memory_format("%s/%s.npz", data->path, part);
    mmcl_status   status  = mmcl_archive_open(&archive, session->context, path, NULL);
    int code = status == MMCL_OK ? read_rows(session, archive, path, "feature_list", "label_list", out)
                                 : session_fail(session, status, path);
    mmcl_archive_destroy(archive);
    free(path);
    return code;
}

static int read_folder(cli_session *session, dataset *data)
{
    TRY(read_part(session, data, "train", &data->train));
    TRY(read_part(session, data, "val", &data->val));
    TRY(read_part(session, data, "test", &data->test));
    return count_classes(data);
}

/* --------------------------------------------------------------------------------------------------------- opening --- */

/* The last part of a path, without ".npz". */
static char *name_of(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (end - start > 4 && strncmp(path + end - 4, ".npz", 4) == 0)
        end -= 4;
    return memory_format("%.*s", (int) (end - start), path + start);
}

static int check(dataset *data)
{
    if (data->classes < 2)
        return terminal_fail(EXIT_ERROR, "%s: %zu class; a classifier needs 2", data->path, data->classes);
    TRY(check_rows(data, &data->train));
    TRY(check_rows(data, &data->val));
    TRY(check_rows(data, &data->test));
    for (size_t i = 0; i < data->fixed_count; i++)
        TRY(check_rows(data, &data->fixed[i].rows));
    for (size_t i = 0; i < data->domain_count; i++)
        TRY(check_rows(data, &data->domains[i].rows));
    TRY(check_text(data));
    return dataset_check_classes(data, &data->val);
}

int dataset_open(cli_session *session, const char *path, dataset *out)
{
    struct stat there;
    bool        folder = stat(path, &there) == 0 && S_ISDIR(there.st_mode);
    *out               = (dataset){.path = memory_text(path), .name = name_of(path)};
    int code           = folder ? read_folder(session, out) : read_archive(session, out);
    out->columns       = out->val.x.view.cols;
    return code == EXIT_OK ? check(out) : code;
}

void dataset_close(dataset *data)
{
    close_rows(&data->train);
    close_rows(&data->val);
    close_rows(&data->test);
    close_rows(&data->text);
    for (size_t i = 0; i < data->fixed_count; i++)
        close_rows(&data->fixed[i].rows);
    for (size_t i = 0; i < data->domain_count; i++) {
        close_rows(&data->domains[i].rows);
        free(data->domains[i].name);
        free(data->domains[i].mask);
    }
    for (size_t i = 0; data->class_names != NULL && i < data->classes; i++)
        free(data->class_names[i]);
    free(data->class_names);
    free(data->fixed);
    free(data->domains);
    free(data->path);
    free(data->name);
    *data = (dataset){0};
}

const labelled_rows *dataset_train(const dataset *data, uint64_t shots, bool *fixed)
{
    *fixed = true;
    for (size_t i = 0; i < data->fixed_count; i++)
        if (data->fixed[i].shots == shots)
            return &data->fixed[i].rows;
    *fixed = false;
    return data->train.x.array != NULL ? &data->train : NULL;
}
