/* mmcl identify: samples a latent partial causal model, trains encoders, and tells how well they recover the latents. */
#include "identify.h"

#include "memory.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(identify_settings, member)

static const cli_option options[] = {
    {"space", OPTION_CHOICE, AT(space), NULL, "where the coupled latents live (default: sphere)", identify_spaces, 0, 0},
    {"marginal", OPTION_TEXT, AT(marginal), "D", "uniform, normal[:S], laplace[:L], gennorm[:S]:B (default: uniform; real: normal)", NULL, 0, 0},
    {"coupling", OPTION_TEXT, AT(coupling), "D", "vmf:K, laplace:L, normal:S, gennorm:S:B (default: vmf:10; box: laplace:0.05; real: normal:0.05)",
     NULL, 0, 0},
    {"direction", OPTION_CHOICE, AT(direction), NULL, "which side is drawn first (default: x2t)", identify_directions, 0, 0},
    {"center", OPTION_CHOICE, AT(center), NULL, "of a non-uniform marginal on the sphere (default: e1)", identify_centers, 0, 0},
    {"latent", OPTION_COUNT, AT(latent), "D", "coupled latents of a side (default: 10)", NULL, 1, MMCL_MAX_LATENTS},
    {"private", OPTION_COUNTS, AT(private_latents), "M[,M]", "private latents of a side, or of x and t (default: 5)", NULL, 0, MMCL_MAX_LATENTS},
    {"correlation", OPTION_REAL, AT(correlation), "R", "of the marginal's components, which then are dependent (default: 0)", NULL, 0, 0},
    {"private-dependence", OPTION_REAL, AT(dependence), "S", "0 to 1: how far private latents follow the coupled ones (default: 0)", NULL, 0, 0},
    {"widths", OPTION_COUNTS, AT(widths), "W[,W...]", "hidden layers of the encoders (default: the recipe's)", NULL, 1, 16384},
    {"batch", OPTION_COUNT, AT(batch), "N", "pairs of a step (default: the recipe's)", NULL, 2, 1 << 20},
    {"steps", OPTION_COUNT, AT(steps), "N", "of all phases together (default: the recipe's)", NULL, 1, 1000000000},
    {"starts", OPTION_COUNT, AT(starts), "N", "trainings of a seed, of which the one with the least loss on fresh pairs stays (default: the recipe's; with\n"
     "                               --steps: 1)", NULL, 1, IDENTIFY_STARTS},
    {"seeds", OPTION_COUNT, AT(seeds), "N", "seeds SEED ... SEED+N-1, with mean and deviation (default: 1; --table: 3)", NULL, 1, 1000},
    {"table", OPTION_FLAG, AT(table), NULL, "every row of the table of results, as Markdown", NULL, 0, 0},
    {"out", OPTION_TEXT, AT(out), "F.npz", "fresh pairs of the first seed: x t z_x z_t m_x m_t, and f_x f_t of the encoders", NULL, 0, 0},
    {"plot", OPTION_TEXT, AT(plot), "F.svg", "draw the scores over the steps, and |correlation| before and after (--table: of the first row)", NULL, 0, 0},
    {0},
};

/* ------------------------------------------------------------------------------------------------------------ table --- */

#define SPHERE(...) {.latent = 10, .private_x = 5, .private_t = 5, __VA_ARGS__}
#define BOX(...) {.latent = 10, .private_x = 5, .private_t = 5, .space = MMCL_SPACE_BOX, __VA_ARGS__}
#define REAL(...) {.latent = 10, .private_x = 5, .private_t = 5, .space = MMCL_SPACE_REAL, __VA_ARGS__}

static const struct row {
    const char        *name;
    mmcl_model_options model;
} rows[] = {
    {"sphere, uniform, vmf:10", SPHERE(.coupling_scale = 10)},
    {"sphere, uniform, vmf:1", SPHERE(.coupling_scale = 1)},
    {"sphere, uniform, laplace:0.05", SPHERE(.coupling = MMCL_DIST_LAPLACE)},
    {"sphere, uniform, normal:0.05", SPHERE(.coupling = MMCL_DIST_NORMAL)},
    {"sphere, uniform, vmf:10, t2x", SPHERE(.direction = MMCL_DIRECTION_T2X)},
    {"sphere, uniform, vmf:10, mixed", SPHERE(.direction = MMCL_DIRECTION_MIXED)},
    {"sphere, uniform, vmf:10, symmetric", SPHERE(.direction = MMCL_DIRECTION_SYMMETRIC)},
    {"sphere, normal around e1, vmf:10", SPHERE(.marginal = MMCL_DIST_NORMAL)},
    {"sphere, laplace around e1, vmf:10", SPHERE(.marginal = MMCL_DIST_LAPLACE)},
    {"box, uniform, laplace:0.05", BOX(.coupling = MMCL_DIST_LAPLACE)},
    {"box, uniform, laplace:0.05, t2x", BOX(.direction = MMCL_DIRECTION_T2X)},
    {"box, uniform, laplace:0.05, mixed", BOX(.direction = MMCL_DIRECTION_MIXED)},
    {"box, laplace:0.05, symmetric", BOX(.direction = MMCL_DIRECTION_SYMMETRIC)},
    {"box, uniform, normal:0.05", BOX(.coupling = MMCL_DIST_NORMAL)},
    {"box, uniform, gennorm:0.05:3", BOX(.coupling = MMCL_DIST_GENNORM)},
    {"box, uniform, laplace:0.05, correlation 0.3", BOX(.correlation = 0.3)},
    {"box, uniform, laplace:0.05, correlation 0.6", BOX(.correlation = 0.6)},
    {"real, laplace, laplace:0.05", REAL(.marginal = MMCL_DIST_LAPLACE, .coupling = MMCL_DIST_LAPLACE)},
    {"real, normal, laplace:0.05", REAL(.coupling = MMCL_DIST_LAPLACE)},
};
#define ROWS (sizeof rows / sizeof *rows)

static void print_heading(void)
{
    printf("| model | R2 x | R2 t | MCC x | MCC t | leakage x | leakage t | seconds a seed |\n");
    printf("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
}

/* One seed has no deviation. */
static void print_score(double mean, double deviation, size_t count)
{
    if (count > 1)
        printf(" %.2f +- %.2f |", 100 * mean, 100 * deviation);
    else
        printf(" %.2f |", 100 * mean);
}

static void print_row(const identify_case *work, const identify_run *runs, size_t count)
{
    identify_summary s = identify_summarise(runs, count);
    printf("| %s |", work->name);
    for (int side = 0; side < 2; side++)
        print_score(s.mean.r2[side], s.deviation.r2[side], count);
    for (int side = 0; side < 2; side++)
        print_score(s.mean.mcc[side], s.deviation.mcc[side], count);
    printf(" %.3f | %.3f | %.0f |\n", s.mean.leakage[0], s.mean.leakage[1], s.seconds / (double) count);
    fflush(stdout);
}

/* ------------------------------------------------------------------------------------------------------------ cases --- */

/* What a case comes to with the library's defaults filled in. Its errors are those of the options, so bad usage. */
static int resolve(cli_session *session, mmcl_model_options *model)
{
    mmcl_model        *trial;
    mmcl_model_options whole = *model;
    whole.struct_size        = sizeof whole;
    whole.mixing             = MMCL_MIXING_IDENTITY; /* nothing is drawn */
    mmcl_status status         = mmcl_model_create(&trial, session->context, &whole);
    if (status == MMCL_E_INVAL)
        return terminal_fail(EXIT_USAGE, "%s", mmcl_context_message(session->context));
    if (status == MMCL_OK)
        status = mmcl_model_get_options(trial, &whole);
    mmcl_model_destroy(trial);
    if (status != MMCL_OK)
        return session_fail(session, status, NULL);
    *model        = whole;
    model->mixing = MMCL_MIXING_MLP;
    if (model->direction == MMCL_DIRECTION_SYMMETRIC && model->space == MMCL_SPACE_BOX)
        model->marginal = MMCL_DIST_UNIFORM; /* stands for the one that follows from the coupling */
    return EXIT_OK;
}

static int make_case(cli_session *session, const identify_settings *s, identify_case *work)
{
    TRY(resolve(session, &work->model));
    work->recipe = *recipe_for(&work->model);
    if (s->batch > 0)
        work->recipe.batch = s->batch;
    if (s->steps > 0) {
        recipe_scale(&work->recipe, s->steps);
        work->recipe.starts = 1;
    }
    if (s->starts > 0)
        work->recipe.starts = s->starts;
    work->widths      = s->widths.count > 0 ? s->widths.items : recipe_for(&work->model)->widths;
    work->width_count = s->widths.count > 0 ? s->widths.count : 2;
    work->out         = s->out;
    return EXIT_OK;
}

static int case_of_settings(cli_session *session, const identify_settings *s, identify_case *work)
{
    const count_list *m = &s->private_latents;
    if (m->count > 2)
        return terminal_fail(EXIT_USAGE, "--private: %zu numbers, expected one or two", m->count);
    work->model = (mmcl_model_options){.space              = s->space,
                                       .direction          = s->direction,
                                       .center             = s->center,
                                       .latent             = (uint32_t) s->latent,
                                       .private_x          = (uint32_t) (m->count > 0 ? m->items[0] : 5),
                                       .private_t          = (uint32_t) (m->count > 0 ? m->items[m->count - 1] : 5),
                                       .correlation        = s->correlation,
                                       .private_dependence = s->dependence};
    if (s->marginal != NULL)
        TRY(identify_distribution("marginal", s->marginal, false, &work->model));
    if (s->coupling != NULL)
        TRY(identify_distribution("coupling", s->coupling, true, &work->model));
    TRY(make_case(session, s, work));
    char *marginal = identify_tell(&work->model, false), *coupling = identify_tell(&work->model, true);
    work->name = memory_format("%s, %s, %s, %s", identify_spaces[s->space], marginal, coupling, identify_directions[s->direction]);
    free(coupling);
    free(marginal);
    return EXIT_OK;
}

/* All seeds of a case; *done counts the runs to be freed. */
static int run_case(cli_session *session, const identify_case *work, identify_run *runs, size_t seeds, size_t *done)
{
    for (size_t i = 0; i < seeds; i++) {
        *done = i + 1;
        TRY(identify_train(session, work, session->common->seed + i, &runs[i]));
    }
    terminal_clear();
    terminal_flush_notes();
    return EXIT_OK;
}

static bool prints(const identify_settings *s)
{
    return s->common.json == NULL || strcmp(s->common.json, "-") != 0;
}

static int run_single(cli_session *session, const identify_settings *s, json_writer *json, FILE *plot)
{
    identify_case work  = {0};
    size_t        seeds = s->seeds > 0 ? s->seeds : 1, done = 0;
    identify_run *runs = memory_array(seeds, sizeof *runs);
    int           code = case_of_settings(session, s, &work);
    if (code == EXIT_OK)
        code = run_case(session, &work, runs, seeds, &done);
    if (code == EXIT_OK) {
        if (prints(s)) {
            print_heading();
            print_row(&work, runs, seeds);
        }
        session_open_json(session, json, "identify");
        identify_write_case(json, &work, runs, seeds);
        json_close(json);
        if (plot != NULL)
            identify_write_plot(plot, &work, runs, seeds);
    }
    for (size_t i = 0; i < done; i++)
        identify_run_free(&runs[i]);
    free(runs);
    free((void *) work.name);
    return code;
}

static int run_row(cli_session *session, const identify_settings *s, size_t row, json_writer *json, FILE *plot)
{
    identify_case work  = {.name = rows[row].name, .model = rows[row].model};
    size_t        seeds = s->seeds > 0 ? s->seeds : 3, done = 0;
    identify_run *runs = memory_array(seeds, sizeof *runs);
    int           code = make_case(session, s, &work);
    if (code == EXIT_OK)
        code = run_case(session, &work, runs, seeds, &done);
    if (code == EXIT_OK) {
        if (prints(s))
            print_row(&work, runs, seeds);
        json_open_object(json, NULL);
        json_text(json, "model", work.name);
        identify_write_case(json, &work, runs, seeds);
        json_close(json);
        if (plot != NULL && row == 0)
            identify_write_plot(plot, &work, runs, seeds);
    }
    for (size_t i = 0; i < done; i++)
        identify_run_free(&runs[i]);
    free(runs);
    return code;
}

static int run_table(cli_session *session, const identify_settings *s, json_writer *json, FILE *plot)
{
    if (prints(s))
        print_heading();
    session_open_json(session, json, "identify");
    json_open_list(json, "rows");
    for (size_t i = 0; i < ROWS; i++)
        TRY(run_row(session, s, i, json, plot));
    json_close(json);
    json_close(json);
    return EXIT_OK;
}

/* ---------------------------------------------------------------------------------------------------------- command --- */

static int check_settings(const identify_settings *s)
{
    const char *outputs[] = {s->common.json, s->plot, s->out};
    if (s->table && (s->marginal != NULL || s->coupling != NULL || s->space != 0 || s->direction != 0 || s->latent != 0 ||
                     s->private_latents.count > 0 || s->correlation > 0 || s->dependence > 0 || s->center != 0 || s->out != NULL))
        return terminal_fail(EXIT_USAGE, "--table has models of its own; it takes --steps, --batch, --widths, --starts and --seeds");
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < i; j++)
            if (outputs[i] != NULL && outputs[j] != NULL && strcmp(outputs[i], outputs[j]) == 0)
                return terminal_fail(EXIT_USAGE, "two outputs have the same name: %s", outputs[i]);
    return EXIT_OK;
}

static int work(cli_session *session, const identify_settings *s, text_output *json, text_output *plot, json_writer *text)
{
    TRY(check_settings(s));
    TRY(output_open(json, "json", s->common.json));
    TRY(output_open(plot, "plot", s->plot));
    TRY(output_check("out", s->out));
    TRY(s->table ? run_table(session, s, text, plot->file) : run_single(session, s, text, plot->file));
    if (plot->file != NULL)
        TRY(output_commit(plot));
    if (json->file == NULL)
        return EXIT_OK;
    fputs(text->text, json->file);
    return output_commit(json);
}

static int identify(cli_session *session, const void *given, const text_list *operands)
{
    text_output json = {0}, plot = {0};
    json_writer text = {0};
    (void) operands;
    int code = work(session, given, &json, &plot, &text);
    output_discard(&json);
    output_discard(&plot);
    json_free(&text);
    return code;
}

const cli_command identify_command = {
    .name     = "identify",
    .summary  = "recovers the latents of a synthetic model from paired observations",
    .synopsis = "[--space sphere|box|real] [--marginal D] [--coupling D] [--direction D] [--latent D]\n"
                "       [--private M] [--widths W,W] [--batch N] [--steps N] [--starts N] [--seeds N] [--table] [--plot F.svg]\n"
                "       [--out F.npz]",
    .text     = "Samples a latent partial causal model: coupled latents z_x and z_t, private ones, and invertible mixings to the\n"
                "observations x and t. Trains two encoders with the contrastive objective on pairs of observations alone, and\n"
                "compares their outputs on 8192 fresh pairs with the true latents:\n"
                "  R2       of a linear regression to z, fitted on half of the pairs and judged on the others\n"
                "  MCC      mean |correlation| of outputs and latents, matched one to one\n"
                "  leakage  R2 of a regression to the private latents, which the encoders should not know\n"
                "each for the image side (x) and the text side (t). In a box and on R^d an ICA of the outputs, which looks at\n"
                "observations alone, is folded into the encoders. Without --steps, --batch and --widths it takes the best\n"
                "recipe known.",
    .example  = "mmcl identify --space box --coupling laplace:0.05 --seeds 3 --plot box.svg --json box.json",
    .options       = options,
    .settings_size = sizeof(identify_settings),
    .operands      = "no operands",
    .run           = identify,
};
