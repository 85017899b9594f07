/* What components mean, told by classes: whose rows lie far out on a component, and what becomes of a row that is moved along it. */
#include "analyse.h"

#include "dataset.h"
#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOGIT_SCALE 100 /* CLIP's */

/* Means of the val rows of each class, [classes, columns]. */
static int class_means(analysis *a, const dataset *data, double *means)
{
    const mmcl_matrix *view   = &data->val.x.view;
    size_t             cols   = data->columns;
    float             *read   = memory_array(view->rows * cols, sizeof *read);
    size_t            *rows   = memory_array(data->classes, sizeof *rows);
    mmcl_status        status = rows_read(a->session, view, 0, view->rows, read);
    for (size_t i = 0; i < view->rows && status == MMCL_OK; i++) {
        size_t class = (size_t) data->val.y[i];
        rows[class]++;
        for (size_t j = 0; j < cols; j++)
            means[class * cols + j] += ((double) read[i * cols + j] - means[class * cols + j]) / (double) rows[class];
    }
    free(rows);
    free(read);
    return status == MMCL_OK ? EXIT_OK : session_fail_status(a->session, status, data->val.x.name);
}

/* The classes of largest (sign 1) or least (sign -1) activation, outermost first. */
static void outermost(const double *activation, size_t classes, double sign, meaning_end *end)
{
    end->count = classes < MEANING_CLASSES ? classes : MEANING_CLASSES;
    for (size_t place = 0; place < end->count; place++) {
        size_t best = classes;
        for (size_t c = 0; c < classes; c++) {
            bool taken = false;
            for (size_t p = 0; p < place; p++)
                taken |= end->classes[p] == c;
            if (!taken && (best == classes || sign * activation[c] > sign * activation[best]))
                best = c;
        }
        end->classes[place]     = best;
        end->activations[place] = activation[best];
    }
}

/* Class probabilities of the mean row moved by `by` deviations along a direction, by the cosine with each class at CLIP's logit scale. */
static void move(const double *mean, const double *direction, double by, const double *units, size_t classes, size_t cols, double *out)
{
    double  square = 0, largest = -INFINITY, sum = 0;
    double *row = memory_array(cols, sizeof *row);
    for (size_t j = 0; j < cols; j++) {
        row[j] = mean[j] + by * direction[j];
        square += row[j] * row[j];
    }
    for (size_t c = 0; c < classes; c++) {
        out[c] = 0;
        for (size_t j = 0; j < cols; j++)
            out[c] += LOGIT_SCALE * row[j] * units[c * cols + j] / sqrt(square);
        largest = fmax(largest, out[c]);
    }
    for (size_t c = 0; c < classes; c++)
        sum += out[c] = exp(out[c] - largest);
    for (size_t c = 0; c < classes; c++)
        out[c] /= sum;
    free(row);
}

static void traverse(const double *mean, const double *direction, const double *units, size_t classes, size_t cols, meaning *m)
{
    double *probability = memory_array(MEANING_STEPS * classes, sizeof *probability), *most = memory_array(classes, sizeof *most);
    for (size_t s = 0; s < MEANING_STEPS; s++) {
        double by = MEANING_REACH * (2.0 * (double) s / (MEANING_STEPS - 1) - 1);
        move(mean, direction, by, units, classes, cols, probability + s * classes);
        for (size_t c = 0; c < classes; c++)
            most[c] = fmax(most[c], probability[s * classes + c]);
    }
    outermost(most, classes, 1, &m->met);
    for (size_t i = 0; i < m->met.count; i++)
        for (size_t s = 0; s < MEANING_STEPS; s++)
            m->path[i][s] = probability[s * classes + m->met.classes[i]];
    free(probability);
    free(most);
}

static void scale_to_unit(double *rows, size_t count, size_t cols)
{
    for (size_t i = 0; i < count; i++) {
        double square = 0;
        for (size_t j = 0; j < cols; j++)
            square += rows[i * cols + j] * rows[i * cols + j];
        for (size_t j = 0; j < cols && square > 0; j++)
            rows[i * cols + j] /= sqrt(square);
    }
}

/* map [components, columns], mixing [columns, components]: what the stable components are, and the way back. */
static void find_meanings(analysis *a, const dataset *data, const double *mean, const double *map, const double *mixing, double *means)
{
    size_t  k = a->components, cols = data->columns;
    double *activation = memory_array(data->classes, sizeof *activation), *direction = memory_array(cols, sizeof *direction);
    double *units = memory_array(data->classes * cols, sizeof *units);
    memcpy(units, means, data->classes * cols * sizeof *units);
    scale_to_unit(units, data->classes, cols);
    a->meanings = memory_array(k, sizeof *a->meanings);
    for (size_t i = 0; i < k; i++) {
        for (size_t c = 0; c < data->classes; c++) {
            activation[c] = 0;
            for (size_t j = 0; j < cols; j++)
                activation[c] += (means[c * cols + j] - mean[j]) * map[i * cols + j];
        }
        for (size_t j = 0; j < cols; j++)
            direction[j] = mixing[j * k + i];
        outermost(activation, data->classes, 1, &a->meanings[i].high);
        outermost(activation, data->classes, -1, &a->meanings[i].low);
        traverse(mean, direction, units, data->classes, cols, &a->meanings[i]);
    }
    free(units);
    free(direction);
    free(activation);
}

/* The maps of the components, the most stable first, and the way back. */
static mmcl_status component_maps(const mmcl_stability *stability, size_t k, size_t cols, double *mean, double *map, double *mixing)
{
    mmcl_transform *transform = NULL;
    mmcl_status     status    = mmcl_stability_field(stability, MMCL_STABILITY_MEAN, mean, cols, NULL);
    if (status == MMCL_OK)
        status = mmcl_stability_field(stability, MMCL_STABILITY_MATRIX, map, k * cols, NULL);
    if (status == MMCL_OK)
        status = mmcl_stability_transform(stability, -2, &transform); /* of any index */
    if (status == MMCL_OK)
        status = mmcl_transform_field(transform, 0, MMCL_FIELD_MIXING, mixing, cols * k, NULL);
    mmcl_transform_destroy(transform);
    return status;
}

/* The names outlive the data set. */
static void keep_names(analysis *a, const dataset *data)
{
    a->class_count = data->classes;
    a->class_names = memory_array(data->classes, sizeof *a->class_names);
    for (size_t c = 0; c < data->classes; c++)
        a->class_names[c] = data->class_names != NULL ? memory_text(data->class_names[c]) : memory_format("class %zu", c);
}

int analyse_classes(analysis *a, const mmcl_stability *stability, const char *path)
{
    dataset data;
    size_t  k = a->components, cols = a->rows.view.cols;
    int     code = dataset_open(a->session, path, &data);
    if (code == EXIT_OK && data.columns != cols)
        code = terminal_fail(EXIT_ERROR, "%s: it has %zu columns; %s has %zu", data.val.x.name, data.columns, a->rows.name, cols);
    if (code == EXIT_OK) {
        double *means = memory_array(data.classes * cols, sizeof *means), *mean = memory_array(cols, sizeof *mean);
        double *map = memory_array(k * cols, sizeof *map), *mixing = memory_array(k * cols, sizeof *mixing);
        code = class_means(a, &data, means);
        if (code == EXIT_OK) {
            mmcl_status status = component_maps(stability, k, cols, mean, map, mixing);
            code               = status == MMCL_OK ? EXIT_OK : session_fail_status(a->session, status, a->rows.name);
        }
        if (code == EXIT_OK) {
            keep_names(a, &data);
            find_meanings(a, &data, mean, map, mixing, means);
        }
        free(mixing);
        free(map);
        free(mean);
        free(means);
    }
    dataset_close(&data);
    return code;
}

void analyse_classes_free(analysis *a)
{
    for (size_t c = 0; c < a->class_count; c++)
        free(a->class_names[c]);
    free(a->class_names);
    free(a->meanings);
}

/* ---------------------------------------------------------------------------------------------------------- outputs --- */

static void write_end(const analysis *a, json_writer *out, const char *key, const meaning_end *end)
{
    json_open_list(out, key);
    for (size_t i = 0; i < end->count; i++) {
        json_open_object(out, NULL);
        json_text(out, "class", a->class_names[end->classes[i]]);
        json_real(out, "activation", end->activations[i]);
        json_close(out);
    }
    json_close(out);
}

void analyse_classes_json(const analysis *a, json_writer *out)
{
    json_open_list(out, "meanings");
    for (uint64_t i = 0; a->meanings != NULL && i < a->components; i++) {
        json_open_object(out, NULL);
        json_real(out, "stability", a->index[i]);
        write_end(a, out, "high", &a->meanings[i].high);
        write_end(a, out, "low", &a->meanings[i].low);
        json_close(out);
    }
    json_close(out);
}

void analyse_classes_shown(const analysis *a, size_t *shown, size_t *count)
{
    *count = 0;
    while (*count < a->components && *count < MEANINGS_SHOWN) {
        size_t best = (size_t) a->components;
        double most = -1;
        for (size_t i = 0; i < a->components; i++) {
            bool taken = false;
            for (size_t p = 0; p < *count; p++)
                taken |= shown[p] == i;
            double reach = fmax(fabs(a->meanings[i].high.activations[0]), fabs(a->meanings[i].low.activations[0])) * fmax(a->index[i], 0);
            if (!taken && reach > most) {
                most = reach;
                best = i;
            }
        }
        shown[(*count)++] = best;
    }
}
