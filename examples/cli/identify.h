/* What the files of `mmcl identify` share. */
#ifndef MMCL_CLI_IDENTIFY_H
#define MMCL_CLI_IDENTIFY_H

#include "recipe.h"
#include "session.h"

#include <stdio.h>

#define IDENTIFY_JUDGED  8192 /* fresh pairs that scores are taken on */
#define IDENTIFY_HOLDOUT 0.5  /* share of them that regressions are not fitted on and R2 is taken on */

typedef struct identify_settings {
    common_settings common;
    const char     *marginal, *coupling; /* NULL: the space's own */
    const char     *plot, *out;
    count_list      private_latents;     /* one for both sides, or two */
    count_list      widths;
    uint64_t        latent, batch, steps, seeds, starts;
    double          correlation, dependence;
    int32_t         space, direction, center;
    bool            table;
} identify_settings;

/* A model to identify, and how. */
typedef struct identify_case {
    const char        *name;
    mmcl_model_options model; /* seeds of the mixings are filled in for each run */
    recipe             recipe;
    const uint64_t    *widths; /* of the hidden layers [width_count] */
    size_t             width_count;
    const char        *out; /* where the judged pairs of the first seed go; NULL: nowhere */
} identify_case;

typedef struct identify_scores {
    double r2[2], mcc[2], leakage[2]; /* image side, text side */
} identify_scores;

typedef struct identify_point {
    uint64_t        step;
    double          loss;
    identify_scores scores;
} identify_point;

#define IDENTIFY_STARTS 16

/* One seed. */
typedef struct identify_run {
    uint64_t        starts, chosen;                /* trainings, and the one that stayed */
    double          start_losses[IDENTIFY_STARTS]; /* on fresh pairs */
    uint64_t        seed, steps;
    double          final_loss, seconds, condition[2];
    identify_scores scores;
    identify_point *curve;         /* [points] */
    size_t          points, room;
    double         *before, *after; /* [latent, latent] |correlation| of representation and latent, x side; after: rows in best order */
} identify_run;

/* Models, trains and judges one seed. Returns an exit code. */
int  identify_train(cli_session *session, const identify_case *work, uint64_t seed, identify_run *out);
void identify_run_free(identify_run *run);

/* Over the runs of a case. */
typedef struct identify_summary {
    identify_scores mean, deviation;
    double          seconds, final_loss;
} identify_summary;
identify_summary identify_summarise(const identify_run *runs, size_t count);

/* Reading and telling distributions such as "gennorm:0.05:3". */
extern const char *const identify_spaces[], *const identify_directions[], *const identify_centers[];
int   identify_distribution(const char *option, const char *text, bool coupling, mmcl_model_options *out);
char *identify_tell(const mmcl_model_options *model, bool coupling);

/* Writing. A case is an object of its own. */
void identify_write_case(json_writer *out, const identify_case *work, const identify_run *runs, size_t count);
void identify_write_plot(FILE *file, const identify_case *work, const identify_run *runs, size_t count);

#endif
