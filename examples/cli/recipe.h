/* How `identify` trains: the best known schedules, one table for all. */
#ifndef MMCL_CLI_RECIPE_H
#define MMCL_CLI_RECIPE_H

#include <mmcl/mmcl.h>

#include <stdbool.h>

#define RECIPE_PHASES 4

/* A stretch of training with a trainer of its own. */
typedef struct recipe_phase {
    uint64_t steps;
    uint64_t cell;      /* pairs of a hard cell; 0: the whole batch, as it is drawn */
    uint64_t pool;      /* pairs that hard cells are chosen from */
    double   rate, end; /* of the cosine */
} recipe_phase;

typedef struct recipe {
    const char     *name;
    uint64_t        widths[2];
    uint64_t        batch;
    uint64_t        warmup;
    mmcl_similarity similarity;
    mmcl_geometry   geometry;
    double          scale;       /* logit scale at the start */
    bool            learn_scale;
    bool            fold;        /* at the end an ICA of f_x is folded into both encoders */
    uint64_t        starts;      /* trainings from encoders of their own, of which the one with the least loss on fresh pairs stays */
    recipe_phase    phases[RECIPE_PHASES]; /* up to the first without steps */
} recipe;

/* The one for a model whose options are resolved. */
const recipe *recipe_for(const mmcl_model_options *model);

/* Steps of all phases. */
uint64_t recipe_steps(const recipe *r);

/* Phase lengths in proportion, so that they add up to `steps`. */
void recipe_scale(recipe *r, uint64_t steps);

#endif
