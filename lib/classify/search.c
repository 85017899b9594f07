/* CoOp's search for C: a grid in log C, then a bisection around its best point; every C is fitted once. */
#include "classify/classify.h"
#include "classify/logreg.h"

#include <math.h>
#include <string.h>

const double mmcl__coop_grid[MMCL__COOP_GRID] = {1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6};

/* One C that was fitted. */
struct fitted {
    double  c, accuracy;
    double *solution;
};

struct search {
    mmcl__logreg               logreg;
    const mmcl_labelled       *val;
    const mmcl_search_options *options;
    struct fitted             *fits; /* [capacity], ascending c */
    size_t                     count, capacity;
    uint64_t                   passes;
    mmcl__operation            operation;
};

static bool same(double a, double b)
{
    return fabs(log(a / b)) < 1e-9;
}

static struct fitted *find(struct search *search, double c)
{
    for (size_t i = 0; i < search->count; i++)
        if (same(search->fits[i].c, c))
            return &search->fits[i];
    return NULL;
}

/*
 * Start for c: solutions are smooth in log C, so the line through the two neighbours, or beyond the ends through the last two, as
 * far again as these lie apart at most.
 */
static void predict_start(const struct search *search, double c, double *start)
{
    size_t               size = mmcl__logreg_size(&search->logreg), above = 0, count = search->count;
    const struct fitted *fits = search->fits;
    if (count == 0) {
        mmcl__logreg_cold_start(&search->logreg, start);
        return;
    }
    while (above < count && fits[above].c < c)
        above++;
    size_t near = MMCL__MIN(above, count - 1), far = near > 0 ? near - 1 : MMCL__MIN((size_t) 1, count - 1);
    if (above == count) { /* beyond the last: measured from it */
        near = count - 1;
        far  = near > 0 ? near - 1 : 0;
    }
    double share = near != far ? log(c / fits[near].c) / log(fits[near].c / fits[far].c) : 0;
    share        = fmin(share, 1);
    for (size_t i = 0; i < size; i++)
        start[i] = fits[near].solution[i] + share * (fits[near].solution[i] - fits[far].solution[i]);
}

static mmcl_status judge(struct search *search, struct fitted *fitted, const mmcl_logreg_info *info)
{
    mmcl_classifier *classifier;
    mmcl_context    *context = search->logreg.context;
    mmcl__features   features = mmcl__features_of(&search->val->features);
    MMCL__TRY(mmcl__logreg_export(&search->logreg, fitted->solution, &classifier));
    mmcl_status status = mmcl__accuracy(context, classifier, &features, search->val->labels, NULL, "val.features", &fitted->accuracy);
    if (status == MMCL_OK && search->options->fitted != NULL)
        search->options->fitted(search->options->fitted_user, info, classifier, fitted->accuracy);
    mmcl__classifier_destroy(classifier);
    return status;
}

static mmcl_status solve(struct search *search, struct fitted *fitted)
{
    mmcl_logreg_info    info    = {.struct_size = sizeof info};
    mmcl_logreg_options options = {.struct_size    = sizeof options,
                                   .c              = fitted->c,
                                   .tolerance      = search->options->tolerance,
                                   .max_iterations = search->options->max_iterations,
                                   .precision      = search->options->precision};
    predict_start(search, fitted->c, fitted->solution);
    MMCL__TRY(mmcl__logreg_solve(&search->logreg, &options, fitted->solution, &info));
    search->passes += info.passes;
    return judge(search, fitted, &info);
}

/* Fits c unless that was done; *accuracy on the validation rows. */
static mmcl_status fit(struct search *search, double c, double *accuracy)
{
    struct fitted *known = find(search, c), fresh = {.c = c};
    size_t         size = mmcl__logreg_size(&search->logreg), place = 0;
    if (known != NULL) {
        *accuracy = known->accuracy;
        return MMCL_OK;
    }
    fresh.solution = mmcl__alloc(search->logreg.context, size, sizeof *fresh.solution);
    if (fresh.solution == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = solve(search, &fresh);
    if (status != MMCL_OK) {
        mmcl__free(search->logreg.context, fresh.solution, size, sizeof *fresh.solution);
        return status;
    }
    assert(search->count < search->capacity);
    while (place < search->count && search->fits[place].c < c)
        place++;
    memmove(search->fits + place + 1, search->fits + place, (search->count - place) * sizeof *search->fits);
    search->fits[place] = fresh;
    search->count++;
    *accuracy = fresh.accuracy;
    return mmcl__tick(&search->operation, search->count, fresh.accuracy);
}

/* The smallest value of the grid above `last`; 0 when there is none. */
static double next_above(const mmcl_search_options *options, double last)
{
    double next = 0;
    for (size_t i = 0; i < options->grid_count; i++)
        if (options->grid[i] > last && (next == 0 || options->grid[i] < next))
            next = options->grid[i];
    return next;
}

/* Fits the grid from below, each start near its solution, and finds the first of the best in the grid's own order. */
static mmcl_status coarse(struct search *search, double *best)
{
    const mmcl_search_options *options = search->options;
    double                     most    = -1, accuracy;
    for (double c = next_above(options, 0); c > 0; c = next_above(options, c))
        MMCL__TRY(fit(search, c, &accuracy));
    for (size_t i = 0; i < options->grid_count; i++)
        if (find(search, options->grid[i])->accuracy > most) {
            most  = find(search, options->grid[i])->accuracy;
            *best = options->grid[i];
        }
    return MMCL_OK;
}

/* Ties move to the left end, as in CoOp's program; the answer is the winner of the last step. */
static mmcl_status bisect(struct search *search, double *best)
{
    double left = *best / 10, right = *best * 10, at_left, at_right;
    for (uint64_t step = 0; step < search->options->steps; step++) {
        MMCL__TRY(fit(search, left, &at_left));
        MMCL__TRY(fit(search, right, &at_right));
        double middle = sqrt(left * right);
        if (at_left < at_right) {
            *best = right;
            left  = middle;
        } else {
            *best = left;
            right = middle;
        }
    }
    return MMCL_OK;
}

static mmcl_status run(struct search *search, mmcl_classifier **out, mmcl_search_info *info)
{
    double best = 0;
    MMCL__TRY(coarse(search, &best));
    MMCL__TRY(bisect(search, &best));
    const struct fitted *chosen = find(search, best);
    info->c                     = chosen->c;
    info->val_accuracy          = chosen->accuracy;
    info->fits                  = search->count;
    info->passes                = search->passes;
    return mmcl__logreg_export(&search->logreg, chosen->solution, out);
}

static mmcl_status open_and_run(struct search *search, mmcl_context *context, const mmcl_labelled *train, size_t classes,
                                mmcl_classifier **out, mmcl_search_info *info)
{
    search->capacity = search->options->grid_count + search->options->steps + 1;
    MMCL__TRY(mmcl__logreg_open(&search->logreg, context, train, classes, true, search->options->precision));
    search->fits       = mmcl__alloc(context, search->capacity, sizeof *search->fits);
    mmcl_status status = search->fits != NULL ? run(search, out, info) : MMCL_E_NOMEM;
    for (size_t i = 0; i < search->count; i++)
        mmcl__free(context, search->fits[i].solution, mmcl__logreg_size(&search->logreg), sizeof *search->fits[i].solution);
    mmcl__free(context, search->fits, search->capacity, sizeof *search->fits);
    mmcl__logreg_close(&search->logreg);
    return status;
}

mmcl_status mmcl__logreg_search(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train, const mmcl_labelled *val,
                                size_t classes, const mmcl_search_options *options, mmcl_search_info *info)
{
    struct search search = {.val = val, .options = options};
    double        began  = mmcl__seconds();
    MMCL__TRY(mmcl__labels_check(context, val, classes, "val"));
    mmcl__begin(&search.operation, context, "search for C", options->grid_count + options->steps + 1);
    mmcl_status status = open_and_run(&search, context, train, classes, out, info);
    info->seconds      = mmcl__seconds() - began;
    return mmcl__end(&search.operation, status);
}
