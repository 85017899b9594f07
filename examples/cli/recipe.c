/*
 * What was found to work by trial: small encoders of the very form that inverts the mixing, whitened inputs,
 * K-FAC; on the sphere plain InfoNCE; elsewhere L1, then hard cells, then an ICA of the representations.
 */
#include "recipe.h"

#include <string.h>

static const recipe recipes[] = {
    [MMCL_SPACE_SPHERE] = {.name        = "sphere",
                           .widths      = {128, 128},
                           .batch       = 256,
                           .warmup      = 200,
                           .similarity  = MMCL_SIMILARITY_DOT,
                           .geometry    = MMCL_GEOMETRY_SPHERE,
                           .scale       = 5,
                           .learn_scale = true,
                           .phases      = {{.steps = 20000, .rate = 5e-2, .end = 1e-5}}},
    [MMCL_SPACE_BOX]    = {.name       = "box",
                           .widths     = {64, 64},
                           .batch      = 256,
                           .warmup     = 200,
                           .similarity = MMCL_SIMILARITY_L1,
                           .geometry   = MMCL_GEOMETRY_NONE,
                           .scale      = 1,
                           .phases     = {{.steps = 8000, .rate = 5e-2, .end = 2e-2},
                                          {.steps = 9000, .cell = 128, .pool = 65536, .rate = 4e-2, .end = 1e-2},
                                          {.steps = 8000, .cell = 128, .pool = 65536, .rate = 2e-2, .end = 1e-5, .fold = true}}},
    [MMCL_SPACE_REAL]   = {.name       = "real",
                           .widths     = {64, 64},
                           .batch      = 256,
                           .warmup     = 200,
                           .similarity = MMCL_SIMILARITY_L1,
                           .geometry   = MMCL_GEOMETRY_NONE,
                           .scale      = 1,
                           .phases     = {{.steps = 8000, .rate = 5e-2, .end = 2e-2},
                                          {.steps = 9000, .cell = 128, .pool = 65536, .rate = 4e-2, .end = 1e-2},
                                          {.steps = 8000, .cell = 128, .pool = 65536, .rate = 2e-2, .end = 1e-5, .fold = true}}},
};

const recipe *recipe_for(mmcl_space space)
{
    return &recipes[space];
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
