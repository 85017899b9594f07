#include "metrics/boosting.h"

#include "core/sorted.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define STAGES 100
#define DEPTH  3
#define RATE   0.1
#define NODES  ((2 << DEPTH) - 1) /* of a whole tree: node c has the children 2 c + 1 and 2 c + 2 */
#define WIDE   (1 << (DEPTH - 1)) /* nodes of the last level that may split */
#define SHARED 16384             /* cells from which on columns are spread over threads */
#define MORE   (1 + 1e-9)        /* small nodes are split equally well by many columns: rounding is not to choose among them */

typedef struct sums {
    double weight, sum, square; /* of the residuals */
} sums;

typedef struct split {
    double rise, size, threshold; /* gain is rise / size, kept apart because quotients take their time; rise below 0: none */
} split;

typedef struct tree {
    sums   nodes[NODES];
    size_t column[NODES]; /* SIZE_MAX: a leaf */
    double threshold[NODES], value[NODES];
} tree;

struct boost {
    mmcl_context           *context;
    const mmcl__boost_rows *fit;
    size_t    kept, outputs;   /* rows with weight; trees of a stage */
    uint32_t *row;             /* [kept] which rows of `fit` they are */
    uint32_t *order;           /* [k, kept] by ascending value */
    double   *sorted;          /* [k, kept] the values */
    uint32_t *spare;           /* [kept] */
    uint32_t *label;           /* [kept] classes, counted among those that occur */
    size_t   *present;         /* [count] a class's place among those that occur; SIZE_MAX: none */
    size_t   *named;           /* [count] and back */
    double   *score;           /* [outputs, kept] */
    double   *other;           /* [outputs, n] of the rows to predict */
    double   *residual;        /* [outputs, kept] */
    double   *weight;          /* [kept] */
    uint8_t  *node;            /* [kept] where a row is */
    split    *best;            /* [k, WIDE] of the level */
    double   *importance;      /* [k] */
    tree      tree;
    const double *target;      /* of the tree: [kept] residuals */
    size_t    level;
};

/* ---------------------------------------------------------------------------------------------------------- memory --- */

static mmcl_status open_boost(struct boost *b, size_t n)
{
    const mmcl__boost_rows *f = b->fit;
    size_t                  classes = f->classes != NULL ? f->count : 1;
    b->row        = mmcl__alloc(b->context, f->n, sizeof *b->row);
    b->order      = mmcl__alloc(b->context, f->k * f->n, sizeof *b->order);
    b->sorted     = mmcl__alloc(b->context, f->k * f->n, sizeof *b->sorted);
    b->spare      = mmcl__alloc(b->context, f->n, sizeof *b->spare);
    b->label      = mmcl__alloc(b->context, f->n, sizeof *b->label);
    b->present    = mmcl__alloc(b->context, classes, sizeof *b->present);
    b->named      = mmcl__alloc(b->context, classes, sizeof *b->named);
    b->weight     = mmcl__alloc(b->context, f->n, sizeof *b->weight);
    b->node       = mmcl__alloc(b->context, f->n, sizeof *b->node);
    b->best       = mmcl__alloc(b->context, f->k * WIDE, sizeof *b->best);
    b->score      = mmcl__alloc(b->context, b->outputs * f->n, sizeof *b->score);
    b->residual   = mmcl__alloc(b->context, b->outputs * f->n, sizeof *b->residual);
    b->other      = mmcl__alloc(b->context, b->outputs * n, sizeof *b->other);
    bool all      = b->row != NULL && b->order != NULL && b->sorted != NULL && b->spare != NULL && b->label != NULL && b->present != NULL &&
               b->named != NULL && b->weight != NULL && b->node != NULL && b->best != NULL && b->score != NULL && b->residual != NULL &&
               b->other != NULL;
    return all ? MMCL_OK : MMCL_E_NOMEM;
}

static void close_boost(struct boost *b, size_t n)
{
    const mmcl__boost_rows *f = b->fit;
    size_t                  classes = f->classes != NULL ? f->count : 1;
    mmcl__free(b->context, b->row, f->n, sizeof *b->row);
    mmcl__free(b->context, b->order, f->k * f->n, sizeof *b->order);
    mmcl__free(b->context, b->sorted, f->k * f->n, sizeof *b->sorted);
    mmcl__free(b->context, b->spare, f->n, sizeof *b->spare);
    mmcl__free(b->context, b->label, f->n, sizeof *b->label);
    mmcl__free(b->context, b->present, classes, sizeof *b->present);
    mmcl__free(b->context, b->named, classes, sizeof *b->named);
    mmcl__free(b->context, b->weight, f->n, sizeof *b->weight);
    mmcl__free(b->context, b->node, f->n, sizeof *b->node);
    mmcl__free(b->context, b->best, f->k * WIDE, sizeof *b->best);
    mmcl__free(b->context, b->score, b->outputs * f->n, sizeof *b->score);
    mmcl__free(b->context, b->residual, b->outputs * f->n, sizeof *b->residual);
    mmcl__free(b->context, b->other, b->outputs * n, sizeof *b->other);
}

/* ----------------------------------------------------------------------------------------------------------- tree --- */

static size_t first_of_level(size_t level)
{
    return ((size_t) 1 << level) - 1;
}

/* The best split by one column of every node of the level. */
static void scan_column(void *argument, size_t column, uint32_t worker)
{
    struct boost   *b     = argument;
    const uint32_t *order = b->order + column * b->kept;
    const double   *value = b->sorted + column * b->kept;
    size_t          first = first_of_level(b->level), wide = (size_t) 1 << b->level;
    split          *best = b->best + column * WIDE;
    double          weight[WIDE] = {0}, sum[WIDE] = {0}, last[WIDE];
    (void) worker;
    for (size_t c = 0; c < wide; c++)
        best[c] = (split){-1, 1, 0};
    for (size_t i = 0; i < b->kept; i++) {
        size_t row = order[i], c = b->node[row] - first;
        if (c >= wide)
            continue;
        const sums *whole = &b->tree.nodes[first + c];
        double      left = weight[c], right = whole->weight - left;
        if (left > 0 && value[i] > last[c] && right > 0) {
            double across = right * sum[c] - left * (whole->sum - sum[c]), rise = across * across, size = left * right;
            if (rise * best[c].size > best[c].rise * size * MORE) {
                double middle = last[c] / 2 + value[i] / 2;
                best[c]       = (split){rise, size, middle < value[i] ? middle : last[c]};
            }
        }
        weight[c] += b->weight[row];
        sum[c] += b->weight[row] * b->target[row];
        last[c] = value[i];
    }
}

/* Waking threads takes longer than few cells do. */
static mmcl_status scan_columns(struct boost *b)
{
    if (b->kept * b->fit->k >= SHARED)
        return mmcl__parallel(b->context, b->fit->k, scan_column, b);
    for (size_t j = 0; j < b->fit->k; j++)
        scan_column(b, j, 0);
    return MMCL_OK;
}

static double impurity(const sums *s)
{
    double mean = s->sum / s->weight;
    return s->square / s->weight - mean * mean;
}

static const double *columns_of(const struct boost *b, size_t row)
{
    return b->fit->rows + b->row[row] * b->fit->stride;
}

/* The children of a node, which splits at the best of all columns. */
static void split_node(struct boost *b, size_t node)
{
    tree        *t     = &b->tree;
    const split *found = NULL;
    size_t       c     = node - first_of_level(b->level);
    t->column[node]    = SIZE_MAX;
    for (size_t j = 0; j < b->fit->k && t->nodes[node].weight > 0 && impurity(&t->nodes[node]) > DBL_EPSILON; j++)
        if (b->best[j * WIDE + c].rise >= 0 &&
            (found == NULL || b->best[j * WIDE + c].rise * found->size > found->rise * b->best[j * WIDE + c].size * MORE)) {
            found           = &b->best[j * WIDE + c];
            t->column[node] = j;
        }
    if (found == NULL)
        return;
    t->threshold[node] = found->threshold;
    b->importance[t->column[node]] += found->rise / found->size / t->nodes[node].weight;
}

static void descend(struct boost *b)
{
    tree  *t     = &b->tree;
    size_t first = first_of_level(b->level), next = first_of_level(b->level + 1);
    for (size_t c = next; c < 2 * next + 1; c++)
        t->nodes[c] = (sums){0};
    for (size_t i = 0; i < b->kept; i++) {
        size_t node = b->node[i];
        if (node < first || t->column[node] == SIZE_MAX)
            continue;
        size_t child = 2 * node + (columns_of(b, i)[t->column[node]] <= t->threshold[node] ? 1 : 2);
        double r = b->target[i], w = b->weight[i];
        b->node[i] = (uint8_t) child;
        t->nodes[child].weight += w;
        t->nodes[child].sum += w * r;
        t->nodes[child].square += w * r * r;
    }
}

static mmcl_status grow(struct boost *b, const double *target)
{
    tree *t     = &b->tree;
    b->target   = target;
    t->nodes[0] = (sums){0};
    for (size_t i = 0; i < b->kept; i++) {
        b->node[i] = 0;
        t->nodes[0].weight += b->weight[i];
        t->nodes[0].sum += b->weight[i] * target[i];
        t->nodes[0].square += b->weight[i] * target[i] * target[i];
    }
    for (b->level = 0; b->level < DEPTH; b->level++) {
        MMCL__TRY(scan_columns(b));
        for (size_t node = first_of_level(b->level); node < first_of_level(b->level + 1); node++)
            split_node(b, node);
        descend(b);
    }
    for (size_t node = first_of_level(DEPTH); node < NODES; node++)
        t->column[node] = SIZE_MAX;
    return MMCL_OK;
}

/* Leaves hold the mean residual, or a Newton step on the deviance: sum r / sum |y - r| (1 - |y - r|), by (K - 1) / K for K trees. */
static void fill_leaves(struct boost *b, const double *residual, size_t output)
{
    tree  *t = &b->tree;
    double curve[NODES] = {0}, outputs = (double) b->outputs;
    for (size_t i = 0; i < b->kept && b->fit->classes != NULL; i++) {
        double y = b->outputs == 1 ? b->label[i] : b->label[i] == output, p = y - residual[i];
        curve[b->node[i]] += b->weight[i] * p * (1 - p);
    }
    for (size_t c = 0; c < NODES; c++) {
        double step = b->fit->classes == NULL ? t->nodes[c].weight : curve[c], scale = b->outputs == 1 ? 1 : (outputs - 1) / outputs;
        t->value[c] = step > 1e-150 ? scale * t->nodes[c].sum / step : 0;
    }
}

static double predict(const tree *t, const double *columns)
{
    size_t c = 0;
    while (t->column[c] != SIZE_MAX)
        c = 2 * c + (columns[t->column[c]] <= t->threshold[c] ? 1 : 2);
    return t->value[c];
}

/* ----------------------------------------------------------------------------------------------------------- stages --- */

/* residual = the loss's negative gradient at the scores. */
static void take_residuals(struct boost *b)
{
    size_t n = b->kept;
    for (size_t i = 0; i < n; i++) {
        double most = b->score[i], sum = 0;
        if (b->fit->classes == NULL) {
            b->residual[i] = b->fit->target[b->row[i] * b->fit->target_stride] - b->score[i];
            continue;
        }
        if (b->outputs == 1) {
            b->residual[i] = b->label[i] - 1 / (1 + exp(-b->score[i]));
            continue;
        }
        for (size_t c = 1; c < b->outputs; c++)
            most = fmax(most, b->score[c * n + i]);
        for (size_t c = 0; c < b->outputs; c++)
            sum += exp(b->score[c * n + i] - most);
        for (size_t c = 0; c < b->outputs; c++)
            b->residual[c * n + i] = (b->label[i] == c) - exp(b->score[c * n + i] - most) / sum;
    }
}

static mmcl_status run_stage(struct boost *b, size_t n, const double *other)
{
    take_residuals(b);
    for (size_t c = 0; c < b->outputs; c++) {
        const double *residual = b->residual + c * b->kept;
        MMCL__TRY(mmcl__check_cancel(b->context));
        MMCL__TRY(grow(b, residual));
        fill_leaves(b, residual, c);
        for (size_t i = 0; i < b->kept; i++)
            b->score[c * b->kept + i] += RATE * b->tree.value[b->node[i]];
        for (size_t i = 0; i < n; i++)
            b->other[c * n + i] += RATE * predict(&b->tree, other + i * b->fit->stride);
    }
    return MMCL_OK;
}

/* Rows with weight, and the classes that they have. */
static void choose_rows(struct boost *b, size_t *classes)
{
    const mmcl__boost_rows *f = b->fit;
    *classes = 0;
    for (size_t c = 0; f->classes != NULL && c < f->count; c++)
        b->present[c] = SIZE_MAX;
    for (size_t i = 0; i < f->n; i++) {
        if (f->weight[i] == 0)
            continue;
        b->weight[b->kept] = f->weight[i];
        b->row[b->kept++]  = (uint32_t) i;
        if (f->classes != NULL)
            b->present[f->classes[i * f->target_stride]] = 0;
    }
    for (size_t c = 0; f->classes != NULL && c < f->count; c++)
        if (b->present[c] == 0) {
            b->named[*classes] = c;
            b->present[c]      = (*classes)++;
        }
    for (size_t i = 0; i < b->kept && f->classes != NULL; i++)
        b->label[i] = (uint32_t) b->present[f->classes[b->row[i] * f->target_stride]];
}

/* Columns one after the other through the space of `residual`, which is not used yet. */
static void sort_columns(struct boost *b)
{
    for (size_t j = 0; j < b->fit->k; j++) {
        double   *column = b->sorted + j * b->kept, *plain = b->residual;
        uint32_t *order  = b->order + j * b->kept;
        for (size_t i = 0; i < b->kept; i++)
            plain[i] = columns_of(b, i)[j];
        mmcl__sorted_order(b->kept, plain, order, b->spare);
        for (size_t i = 0; i < b->kept; i++)
            column[i] = plain[order[i]];
    }
}

/* Scores begin at the mean, or at the logarithms of the classes' shares. */
static void begin_scores(struct boost *b, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < b->kept; i++)
        total += b->weight[i];
    for (size_t c = 0; c < b->outputs; c++) {
        double sum = 0;
        for (size_t i = 0; i < b->kept; i++)
            sum += b->weight[i] * (b->fit->classes == NULL ? b->fit->target[b->row[i] * b->fit->target_stride]
                                   : b->outputs == 1       ? b->label[i]
                                                           : b->label[i] == c);
        double share = sum / total, start = b->fit->classes == NULL ? share : b->outputs == 1 ? log(share / (1 - share)) : log(share);
        for (size_t i = 0; i < b->kept; i++)
            b->score[c * b->kept + i] = start;
        for (size_t i = 0; i < n; i++)
            b->other[c * n + i] = start;
    }
}

static double decide(const struct boost *b, size_t n, size_t i)
{
    size_t best = 0;
    if (b->fit->classes == NULL)
        return b->other[i];
    if (b->outputs == 1)
        return (double) b->named[b->other[i] > 0];
    for (size_t c = 1; c < b->outputs; c++)
        if (b->other[c * n + i] > b->other[best * n + i])
            best = c;
    return (double) b->named[best];
}

static mmcl_status run(struct boost *b, size_t n, const double *other, double *predicted)
{
    sort_columns(b);
    begin_scores(b, n);
    for (size_t stage = 0; stage < STAGES; stage++)
        MMCL__TRY(run_stage(b, n, other));
    for (size_t i = 0; i < n; i++)
        predicted[i] = decide(b, n, i);
    double sum = 0;
    for (size_t j = 0; j < b->fit->k; j++)
        sum += b->importance[j];
    for (size_t j = 0; j < b->fit->k && sum > 0; j++)
        b->importance[j] /= sum;
    return MMCL_OK;
}

mmcl_status mmcl__boost(mmcl_context *context, const mmcl__boost_rows *fit, size_t n, const double *other, double *predicted,
                        double *importance)
{
    struct boost b = {.context = context, .fit = fit, .importance = importance};
    size_t       classes;
    memset(importance, 0, fit->k * sizeof *importance);
    b.outputs          = fit->classes != NULL && fit->count > 2 ? fit->count : 1;
    size_t      room   = b.outputs;
    mmcl_status status = open_boost(&b, n);
    if (status == MMCL_OK) {
        choose_rows(&b, &classes);
        b.outputs = classes > 2 ? classes : 1;
        status    = fit->classes != NULL && classes < 2 ? MMCL_E_NUMERIC : run(&b, n, other, predicted);
    }
    b.outputs = room;
    close_boost(&b, n);
    return status;
}
