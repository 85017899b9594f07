/* What `mmcl identify` tells: settings, scores, curves; and how distributions are spelled. */
#include "identify.h"

#include "memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const identify_spaces[]     = {"sphere", "box", "real", NULL};
const char *const identify_directions[] = {"x2t", "t2x", "mixed", "symmetric", NULL};
const char *const identify_centers[]    = {"e1", "origin", NULL};

static const char *const kinds[] = {"default", "uniform", "normal", "laplace", "gennorm", "vmf", NULL};

/* --------------------------------------------------------------------------------------------------- distributions --- */

/* ":3" or ":0.05:3": up to two numbers above 0. */
static bool read_numbers(const char *text, double numbers[2], int *count)
{
    for (*count = 0; *text == ':' && *count < 2; ++*count) {
        char *end;
        errno           = 0;
        numbers[*count] = strtod(text + 1, &end);
        if (end == text + 1 || errno != 0 || !isfinite(numbers[*count]))
            return false;
        text = end;
    }
    return *text == '\0';
}

int identify_distribution(const char *option, const char *text, bool coupling, mmcl_model_options *out)
{
    double            numbers[2] = {0, 0};
    int               count      = 0;
    size_t            length     = strcspn(text, ":");
    mmcl_distribution kind       = MMCL_DIST_UNIFORM;
    while (kinds[kind] != NULL && (strlen(kinds[kind]) != length || strncmp(kinds[kind], text, length) != 0))
        kind++;
    bool two = kind == MMCL_DIST_GENNORM;
    if (kinds[kind] == NULL || !read_numbers(text + length, numbers, &count) || (count == 2 && !two) ||
        (kind == MMCL_DIST_UNIFORM && count > 0))
        return terminal_fail(EXIT_USAGE, "--%s: %s is not understood; expected %s", option, text,
                             coupling ? "vmf:K, laplace:L, normal:S or gennorm:S:B" : "uniform, normal[:S], laplace[:L] or gennorm[:S]:B");
    bool   beta_alone = two && count == 1 && !coupling;
    double scale = beta_alone ? 0 : numbers[0], beta = beta_alone ? numbers[0] : numbers[1];
    for (int i = 0; i < count; i++)
        if (numbers[i] <= 0)
            return terminal_fail(EXIT_USAGE, "--%s: %s: %g, expected a positive number", option, text, numbers[i]);
    *(coupling ? &out->coupling : &out->marginal)             = kind;
    *(coupling ? &out->coupling_scale : &out->marginal_scale) = scale;
    *(coupling ? &out->coupling_beta : &out->marginal_beta)   = beta;
    return EXIT_OK;
}

/* Of resolved options. */
char *identify_tell(const mmcl_model_options *model, bool coupling)
{
    mmcl_distribution kind  = coupling ? model->coupling : model->marginal;
    double            scale = coupling ? model->coupling_scale : model->marginal_scale;
    double            beta  = coupling ? model->coupling_beta : model->marginal_beta;
    if (kind == MMCL_DIST_UNIFORM)
        return memory_text(kinds[kind]);
    return kind == MMCL_DIST_GENNORM ? memory_format("gennorm:%g:%g", scale, beta) : memory_format("%s:%g", kinds[kind], scale);
}

/* ---------------------------------------------------------------------------------------------------------- summary --- */

static double score_of(const identify_run *run, int which, int side)
{
    const double *const scores[] = {run->scores.r2, run->scores.mcc, run->scores.leakage};
    return scores[which][side];
}

identify_summary identify_summarise(const identify_run *runs, size_t count)
{
    identify_summary s = {0};
    double *const    means[] = {s.mean.r2, s.mean.mcc, s.mean.leakage}, *const deviations[] = {s.deviation.r2, s.deviation.mcc, s.deviation.leakage};
    for (int which = 0; which < 3; which++)
        for (int side = 0; side < 2; side++) {
            double sum = 0, square = 0;
            for (size_t i = 0; i < count; i++)
                sum += score_of(&runs[i], which, side) / (double) count;
            for (size_t i = 0; i < count; i++)
                square += pow(score_of(&runs[i], which, side) - sum, 2) / (double) count;
            means[which][side]      = sum;
            deviations[which][side] = sqrt(square);
        }
    for (size_t i = 0; i < count; i++) {
        s.seconds += runs[i].seconds;
        s.final_loss += runs[i].final_loss / (double) count;
    }
    return s;
}

/* ------------------------------------------------------------------------------------------------------------- JSON --- */

static void write_pair(json_writer *out, const char *key, const double pair[2])
{
    json_open_list(out, key);
    json_real(out, NULL, pair[0]);
    json_real(out, NULL, pair[1]);
    json_close(out);
}

static void write_model(json_writer *out, const identify_case *work)
{
    const mmcl_model_options *m = &work->model;
    char                     *marginal = identify_tell(m, false), *coupling = identify_tell(m, true);
    json_text(out, "space", identify_spaces[m->space]);
    json_text(out, "marginal", m->direction == MMCL_DIRECTION_SYMMETRIC && m->space == MMCL_SPACE_BOX ? "symmetric" : marginal);
    json_text(out, "coupling", coupling);
    json_text(out, "direction", identify_directions[m->direction]);
    json_text(out, "center", identify_centers[m->center]);
    json_count(out, "latent", m->latent);
    json_count(out, "private_x", m->private_x);
    json_count(out, "private_t", m->private_t);
    json_real(out, "correlation", m->correlation);
    json_real(out, "private_dependence", m->private_dependence);
    json_count(out, "mixing_layers", m->layers);
    free(coupling);
    free(marginal);
}

static void write_recipe(json_writer *out, const identify_case *work)
{
    static const char *const similarities[] = {"dot", "cosine", "squared_l2", "l1", "lp"};
    const recipe            *r = &work->recipe;
    json_open_object(out, "recipe");
    json_text(out, "name", r->name);
    json_open_list(out, "widths");
    for (size_t i = 0; i < work->width_count; i++)
        json_count(out, NULL, work->widths[i]);
    json_close(out);
    json_count(out, "batch", r->batch);
    json_text(out, "optimizer", "kfac");
    json_text(out, "similarity", similarities[r->similarity]);
    json_real(out, "scale", r->scale);
    json_flag(out, "learn_scale", r->learn_scale);
    json_count(out, "warmup", r->warmup);
    json_flag(out, "fold", r->fold);
    json_count(out, "starts", r->starts);
    json_open_list(out, "phases");
    for (size_t i = 0; i < RECIPE_PHASES && r->phases[i].steps > 0; i++) {
        json_open_object(out, NULL);
        json_count(out, "steps", r->phases[i].steps);
        json_count(out, "cell", r->phases[i].cell);
        json_count(out, "pool", r->phases[i].pool);
        json_real(out, "rate", r->phases[i].rate);
        json_real(out, "end", r->phases[i].end);
        json_close(out);
    }
    json_close(out);
    json_close(out);
}

static void write_matrix(json_writer *out, const char *key, size_t n, const double *matrix)
{
    json_open_list(out, key);
    for (size_t i = 0; i < n; i++) {
        json_open_list(out, NULL);
        for (size_t j = 0; j < n; j++)
            json_real(out, NULL, matrix[i * n + j]);
        json_close(out);
    }
    json_close(out);
}

static void write_run(json_writer *out, const identify_run *run, size_t latent)
{
    json_open_object(out, NULL);
    json_count(out, "seed", run->seed);
    json_count(out, "chosen_start", run->chosen);
    json_open_list(out, "start_losses");
    for (uint64_t i = 0; i < run->starts; i++)
        json_real(out, NULL, run->start_losses[i]);
    json_close(out);
    write_pair(out, "r2", run->scores.r2);
    write_pair(out, "mcc", run->scores.mcc);
    write_pair(out, "leakage", run->scores.leakage);
    write_pair(out, "condition", run->condition);
    json_real(out, "final_loss", run->final_loss);
    json_real(out, "seconds", run->seconds);
    json_open_list(out, "curve");
    for (size_t i = 0; i < run->points; i++) {
        json_open_object(out, NULL);
        json_count(out, "step", run->curve[i].step);
        json_real(out, "loss", run->curve[i].loss);
        write_pair(out, "r2", run->curve[i].scores.r2);
        write_pair(out, "mcc", run->curve[i].scores.mcc);
        json_close(out);
    }
    json_close(out);
    write_matrix(out, "correlations_before", latent, run->before);
    write_matrix(out, "correlations_after", latent, run->after);
    json_close(out);
}

void identify_write_case(json_writer *out, const identify_case *work, const identify_run *runs, size_t count)
{
    identify_summary s = identify_summarise(runs, count);
    write_pair(out, "r2_mean", s.mean.r2);
    write_pair(out, "r2_std", s.deviation.r2);
    write_pair(out, "mcc_mean", s.mean.mcc);
    write_pair(out, "mcc_std", s.deviation.mcc);
    write_pair(out, "leakage_mean", s.mean.leakage);
    json_real(out, "seconds", s.seconds);
    json_count(out, "steps", count > 0 ? runs[0].steps : 0);
    json_real(out, "final_loss", s.final_loss);
    json_count(out, "seeds", count);
    json_count(out, "judged_pairs", IDENTIFY_JUDGED);
    json_real(out, "r2_holdout", IDENTIFY_HOLDOUT);
    write_model(out, work);
    write_recipe(out, work);
    json_open_list(out, "runs");
    for (size_t i = 0; i < count; i++)
        write_run(out, &runs[i], work->model.latent);
    json_close(out);
}
