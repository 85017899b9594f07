#include "steps.h"

#include <stdio.h>

static const char *name_of(int32_t value, const char *const *names, int32_t count)
{
    return value >= 0 && value < count ? names[value] : "unknown";
}

static const char *const kinds[]      = {"raw", "center", "normalize", "pca", "whiten", "ica", "power", "relevance", "discriminants", "beside"};
static const char *const algorithms[] = {"fastica", "deflation", "picard", "picard-free"};
static const char *const contrasts[]  = {"logcosh", "exp", "cube"};
static const char *const densities[]  = {"auto", "super", "sub"};
static const char *const orders[]     = {"fitted", "variance", "negentropy"};
static const char *const signs[]      = {"fitted", "loading", "skew"};
static const char *const stops[]      = {"closed form", "tolerance", "iteration limit", "no progress"};

step_list steps_of(const mmcl_transform *transform)
{
    step_list list  = {.count = 0};
    size_t    count = transform != NULL ? mmcl_transform_count(transform) : 0;
    for (; list.count < count && list.count < MAX_STEPS; list.count++) {
        mmcl_step_info *info = &list.items[list.count];
        info->struct_size    = sizeof *info;
        if (mmcl_transform_step_result(transform, list.count, info) != MMCL_OK)
            break;
    }
    return list;
}

bool steps_have_components(mmcl_step_kind kind)
{
    return kind == MMCL_STEP_PCA || kind == MMCL_STEP_WHITEN || kind == MMCL_STEP_ICA || kind == MMCL_STEP_DISCRIMINANTS;
}

static bool converged(const mmcl_step_info *info)
{
    return info->stop == MMCL_STOP_CLOSED_FORM || info->stop == MMCL_STOP_TOLERANCE;
}

void steps_write_json(json_writer *out, const char *key, const step_list *steps)
{
    json_open_list(out, key);
    for (size_t i = 0; i < steps->count; i++) {
        const mmcl_step_info *info = &steps->items[i];
        json_open_object(out, NULL);
        json_text(out, "kind", name_of(info->kind, kinds, 10));
        json_count(out, "inputs", info->inputs);
        json_count(out, "components", info->components);
        json_count(out, "rank", info->rank);
        json_count(out, "rows", info->rows);
        json_count(out, "iterations", info->iterations);
        json_count(out, "passes", info->passes);
        json_flag(out, "converged", converged(info));
        json_text(out, "stop", name_of(info->stop, stops, 4));
        json_real(out, "residual", info->residual);
        json_real(out, "explained_variance", info->explained_variance);
        if (info->kind == MMCL_STEP_ICA)
            json_count(out, "super_gaussian", info->super_gaussian);
        json_real(out, "seconds", info->seconds);
        json_close(out);
    }
    json_close(out);
}

void steps_print(const step_list *steps)
{
    printf("%-13s %6s %6s %10s %9s  %-15s %10s %9s\n", "step", "in", "out", "iterations", "residual", "stopped by", "variance",
           "seconds");
    for (size_t i = 0; i < steps->count; i++) {
        const mmcl_step_info *info = &steps->items[i];
        char residual[32] = "-", iterations[32] = "-";
        if (info->stop != MMCL_STOP_CLOSED_FORM) {
            snprintf(residual, sizeof residual, "%.2e", info->residual);
            snprintf(iterations, sizeof iterations, "%llu", (unsigned long long) info->iterations);
        }
        printf("%-13s %6llu %6llu %10s %9s  %-15s %9.1f%% %9.2f\n", name_of(info->kind, kinds, 10), (unsigned long long) info->inputs,
               (unsigned long long) info->components, iterations, residual, name_of(info->stop, stops, 4),
               100 * info->explained_variance, info->seconds);
    }
}

void steps_write_options(json_writer *out, const char *key, const mmcl_transform *transform)
{
    json_open_list(out, key);
    for (size_t i = 0; i < mmcl_transform_count(transform); i++) {
        mmcl_step_options step = {.struct_size = sizeof step};
        if (mmcl_transform_get_step(transform, i, &step) != MMCL_OK)
            break;
        json_open_object(out, NULL);
        json_text(out, "kind", name_of(step.kind, kinds, 10));
        if (steps_have_components(step.kind))
            json_count(out, "components", step.components);
        if (step.kind == MMCL_STEP_POWER || step.kind == MMCL_STEP_RELEVANCE)
            json_real(out, "exponent", step.exponent);
        if (step.kind == MMCL_STEP_DISCRIMINANTS)
            json_real(out, "shrinkage", step.shrinkage);
        if (step.kind == MMCL_STEP_RELEVANCE || step.kind == MMCL_STEP_DISCRIMINANTS)
            json_count(out, "neighbours", step.neighbours);
        if (step.kind == MMCL_STEP_ICA) {
            json_text(out, "algorithm", name_of(step.algorithm, algorithms, 4));
            json_text(out, "contrast", name_of(step.contrast, contrasts, 3));
            json_text(out, "density", name_of(step.density, densities, 3));
            json_text(out, "scale", step.scale == MMCL_SCALE_UNIT ? "unit" : "arbitrary");
            json_real(out, "alpha", step.alpha);
            json_real(out, "tolerance", step.tolerance);
            json_count(out, "max_iterations", step.max_iterations);
            json_count(out, "start_seed", step.start_seed);
        }
        json_text(out, "order", name_of(step.order, orders, 3));
        json_text(out, "component_sign", name_of(step.sign, signs, 3));
        json_text(out, "precision", step.precision == MMCL_PRECISION_F64 ? "f64" : "f32");
        json_flag(out, "clip_components", step.clip_components != 0);
        json_close(out);
    }
    json_close(out);
}
