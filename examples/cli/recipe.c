/*
 * What was found to work by trial: small encoders of the very form that inverts the mixing, whitened inputs,
 * K-FAC; on the sphere plain InfoNCE; elsewhere L1, then hard cells, then an ICA of the representations.
 */
#include "recipe.h"

#include <string.h>

enum { SPHERE, TIGHT_SPHERE, FLAT };

#define ON_SPHERES                                                                                                       \
    .widths = {128, 128}, .batch = 256, .warmup = 200, .similarity = MMCL_SIMILARITY_DOT, .geometry = MMCL_GEOMETRY_SPHERE, \
    .scale = 5, .learn_scale = true, .starts = 1

static const recipe recipes[] = {
    [SPHERE]       = {.name = "sphere", ON_SPHERES, .phases = {{.steps = 20000, .rate = 5e-2, .end = 1e-5}}},
    [TIGHT_SPHERE] = {.name = "tight sphere",
                      ON_SPHERES,
                      .phases = {{.steps = 4000, .rate = 5e-2, .end = 2e-2},
                                 {.steps = 21000, .cell = 32, .pool = 65536, .rate = 3e-2, .end = 1e-5}}},
    [FLAT]         = {.name       = "box and R^d",
                      .widths     = {64, 64},
                      .batch      = 256,
                      .warmup     = 200,
                      .similarity = MMCL_SIMILARITY_L1,
                      .geometry   = MMCL_GEOMETRY_NONE,
                      .scale      = 1,
                      .fold       = true,
                      .starts     = 3,
                      .phases     = {{.steps = 8000, .rate = 5e-2, .end = 2e-2},
                                     {.steps = 9000, .cell = 128, .pool = 65536, .rate = 4e-2, .end = 1e-2},
                                     {.steps = 8000, .cell = 128, .pool = 65536, .rate = 2e-2, .end = 1e-5}}},
};

/* A partner so near that a batch is told apart almost perfectly: then only hard cells have something left to teach. */
static bool is_tight(const mmcl_model_options *model)
{
    return model->coupling != MMCL_DIST_VMF || model->coupling_scale > 50;
}

const recipe *recipe_for(const mmcl_model_options *model)
{
    return &recipes[model->space != MMCL_SPACE_SPHERE ? FLAT : is_tight(model) ? TIGHT_SPHERE : SPHERE];
}

uint64_t recipe_steps(const recipe *r)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < RECIPE_PHASES; i++)
        sum += r->phases[i].steps;
    return sum;
}

void recipe_scale(recipe *r, uint64_t steps)
{
    uint64_t whole = recipe_steps(r), before = 0, done = 0;
    for (size_t i = 0; i < RECIPE_PHASES && r->phases[i].steps > 0; i++) {
        before += r->phases[i].steps;
        uint64_t until     = (uint64_t) ((double) steps * (double) before / (double) whole + 0.5);
        r->phases[i].steps = until > done ? until - done : 0;
        done               = until;
    }
}
