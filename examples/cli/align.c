/* mmcl align: do both modalities hold the same components? Transforms fitted on pairs, components matched, retrieval before and after. */
#include "align.h"

#include "memory.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"x", OPTION_TEXT, offsetof(align_settings, inputs[0]), "A", "array of one modality, such as images", NULL, 0, 0},
    {"t", OPTION_TEXT, offsetof(align_settings, inputs[1]), "B", "array of the other: row i belongs to row i of --x", NULL, 0, 0},
    {"transform", OPTION_LIST, offsetof(align_settings, transforms), "SPEC", "may be given several times (default: ica:K, K = 64 or less)", NULL, 0, 0},
    {"fit-pairs", OPTION_COUNT, offsetof(align_settings, fit_pairs), "N", "of each split, for the fit; the others judge (default: half)", NULL, 2,
     UINT32_MAX},
    {"splits", OPTION_COUNT, offsetof(align_settings, splits), "N", "random splits into pairs that fit and pairs that judge (default: 10)", NULL, 1, 10000},
    {0},
};

/* ------------------------------------------------------------------------------------------------------------- rows --- */

static int open_side(align_run *run, int side)
{
    const char *name = run->settings->inputs[side];
    features    opened;
    TRY(features_open(run->session, name, &opened));
    align_side *out = &run->sides[side];
    out->name       = memory_text(opened.name);
    out->rows       = opened.view.rows;
    out->cols       = opened.view.cols;
    out->data       = memory_array(out->rows * out->cols, sizeof *out->data);
    mmcl_status status = rows_read(run->session, &opened.view, 0, out->rows, out->data);
    features_close(&opened);
    return status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, out->name);
}

static int open_sides(align_run *run)
{
    const align_side *x = &run->sides[0], *t = &run->sides[1];
    TRY(open_side(run, 0));
    TRY(open_side(run, 1));
    if (x->rows != t->rows || x->cols != t->cols)
        return terminal_fail(EXIT_ERROR, "%s has %zu rows of %zu columns, but %s has %zu of %zu; pairs need as many of each", x->name, x->rows, x->cols,
                             t->name, t->rows, t->cols);
    run->fitted = run->settings->fit_pairs > 0 ? (size_t) run->settings->fit_pairs : x->rows / 2;
    if (x->rows < 8 || run->fitted + 4 > x->rows)
        return terminal_fail(EXIT_ERROR, "%zu pairs fit and %zu judge, of %zu; at least 4 have to judge, of 8 or more", run->fitted,
                             x->rows > run->fitted ? x->rows - run->fitted : 0, x->rows);
    return EXIT_OK;
}

/* Rows `first` ... of a split (pairs by their numbers, those that fit first), side by side. */
static mmcl_matrix take(const align_side *side, const size_t *order, size_t first, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        memcpy(out + i * side->cols, side->data + order[first + i] * side->cols, side->cols * sizeof *out);
    return (mmcl_matrix){.data = out, .rows = count, .cols = side->cols};
}

/* A permutation that is a function of the seed and the split's number alone. */
static void shuffle(size_t *order, size_t count, uint64_t seed)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; i > 1; i--) {
        state += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 (Steele, Lea and Flood 2014) */
        uint64_t z = (state ^ state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z          = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        size_t j = (size_t) ((z ^ z >> 31) % i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j]     = kept;
    }
}

/* ---------------------------------------------------------------------------------------------------------- fitting --- */

typedef struct fitted {
    mmcl_transform *chains[2]; /* of each side, on its raw rows */
    size_t          components;
} fitted;

static mmcl_status fit_chain(align_run *run, const char *spec, const mmcl_matrix *parts, size_t count, mmcl_transform **out)
{
    mmcl_status status = mmcl_transform_create_spec(out, run->session->context, spec);
    if (status == MMCL_OK)
        status = mmcl_transform_fit(*out, parts, count, NULL);
    return status;
}

/* One unmixing for both sides, fitted on the rows of both, each side's less its own mean. */
static mmcl_status fit_shared(align_run *run, const char *spec, const mmcl_matrix parts[2], fitted *out)
{
    mmcl_transform *centres[2] = {NULL, NULL}, *shared = NULL;
    mmcl_matrix     centred[2];
    float          *rows[2];
    mmcl_status     status = MMCL_OK;
    for (int side = 0; side < 2; side++) {
        rows[side]    = memory_array(parts[side].rows * parts[side].cols, sizeof *rows[side]);
        centred[side] = (mmcl_matrix){.data = rows[side], .rows = parts[side].rows, .cols = parts[side].cols};
        if (status == MMCL_OK)
            status = fit_chain(run, "center", &parts[side], 1, &centres[side]);
        if (status == MMCL_OK)
            status = mmcl_transform_apply(centres[side], &parts[side], rows[side], 0);
    }
    if (status == MMCL_OK)
        status = fit_chain(run, spec, centred, 2, &shared);
    for (int side = 0; side < 2; side++) {
        if (status == MMCL_OK)
            status = mmcl_transform_join(&out->chains[side], run->session->context, centres[side], shared);
        mmcl_transform_destroy(centres[side]);
        free(rows[side]);
    }
    mmcl_transform_destroy(shared);
    return status;
}

static int fit_pairs(align_run *run, const char *spec, align_mode mode, const mmcl_matrix parts[2], fitted *out)
{
    mmcl_status status;
    if (mode == ALIGN_SHARED) {
        status = fit_shared(run, spec, parts, out);
    } else {
        status = fit_chain(run, spec, &parts[0], 1, &out->chains[0]);
        if (status == MMCL_OK)
            status = fit_chain(run, spec, &parts[1], 1, &out->chains[1]);
    }
    if (status == MMCL_OK)
        status = mmcl_transform_shape(out->chains[0], NULL, &out->components);
    return status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, spec);
}

/* --------------------------------------------------------------------------------------------------------- matching --- */

/* Component match[j] of x goes with component j of t, turned by turn[j]; found on the pairs that fit. */
typedef struct matching {
    uint64_t *match; /* [components] */
    double   *turn;  /* [components] +-1 */
} matching;

static mmcl_status correlate(align_run *run, const mmcl_matrix codes[2], double *matrix, uint64_t *match)
{
    mmcl_metric_result        result  = {.struct_size = sizeof result};
    const mmcl_metric_details details = {.struct_size = sizeof details, .matrix = matrix, .assignment = match};
    return mmcl_metric_evaluate(run->session->context, MMCL_METRIC_MCC, &codes[0], &codes[1], NULL, &result, &details);
}

/* Separate fits leave order and sign open; a shared one does not. */
static mmcl_status match_components(align_run *run, align_mode mode, const mmcl_matrix codes[2], matching *out)
{
    size_t      k      = codes[0].cols;
    double     *matrix = memory_array(k * k, sizeof *matrix);
    mmcl_status status = mode == ALIGN_SHARED ? MMCL_OK : correlate(run, codes, matrix, out->match);
    for (size_t j = 0; j < k; j++) {
        if (mode == ALIGN_SHARED)
            out->match[j] = j;
        out->turn[j] = mode == ALIGN_SHARED || status != MMCL_OK || matrix[out->match[j] * k + j] >= 0 ? 1 : -1;
    }
    free(matrix);
    return status;
}

/* The codes of x in the order and with the signs of t's. */
static void reorder(const matching *m, mmcl_matrix *codes, float *data)
{
    size_t k   = codes->cols;
    float *row = memory_array(k, sizeof *row);
    for (size_t i = 0; i < codes->rows; i++) {
        memcpy(row, data + i * k, k * sizeof *row);
        for (size_t j = 0; j < k; j++)
            data[i * k + j] = (float) m->turn[j] * row[m->match[j]];
    }
    free(row);
}

/* Mean correlation of matched components on pairs that no fit has seen, and how many exceed one half. */
static mmcl_status judge_components(align_run *run, const mmcl_matrix codes[2], align_scores *out)
{
    size_t      k      = codes[0].cols;
    double     *matrix = memory_array(k * k, sizeof *matrix);
    mmcl_status status = correlate(run, codes, matrix, NULL);
    for (size_t j = 0; j < k; j++) {
        out->correlation += matrix[j * k + j] / (double) k;
        out->aligned += matrix[j * k + j] > 0.5;
    }
    free(matrix);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- judging --- */

static mmcl_status retrieve(align_run *run, const mmcl_matrix codes[2], align_scores *out)
{
    mmcl_retrieval_info info = {.struct_size = sizeof info};
    mmcl_status         status = mmcl_retrieval(run->session->context, &codes[0], &codes[1], &info, NULL);
    for (int side = 0; side < 2; side++) {
        out->recall[0][side] = info.recall_1[side];
        out->recall[1][side] = info.recall_5[side];
        out->recall[2][side] = info.recall_10[side];
        out->median[side]    = info.median_rank[side];
    }
    return status;
}

/* Rows of both sides through the chains. */
static mmcl_status encode(const fitted *f, const mmcl_matrix rows[2], float *const data[2], mmcl_matrix codes[2])
{
    mmcl_status status = MMCL_OK;
    for (int side = 0; side < 2 && status == MMCL_OK; side++) {
        codes[side] = (mmcl_matrix){.data = data[side], .rows = rows[side].rows, .cols = f->components};
        status      = mmcl_transform_apply(f->chains[side], &rows[side], data[side], 0);
    }
    return status;
}

static mmcl_status judge(align_run *run, const fitted *f, align_mode mode, const mmcl_matrix fit[2], const mmcl_matrix test[2], align_scores *out)
{
    size_t      k = f->components, most = fit[0].rows > test[0].rows ? fit[0].rows : test[0].rows;
    float      *data[2] = {memory_array(most * k, sizeof *data[0]), memory_array(most * k, sizeof *data[1])};
    matching    m       = {memory_array(k, sizeof *m.match), memory_array(k, sizeof *m.turn)};
    mmcl_matrix codes[2];
    mmcl_status status = encode(f, fit, data, codes);
    if (status == MMCL_OK)
        status = match_components(run, mode, codes, &m);
    if (status == MMCL_OK)
        status = encode(f, test, data, codes);
    if (status == MMCL_OK) {
        reorder(&m, &codes[0], data[0]);
        status = judge_components(run, codes, out);
    }
    if (status == MMCL_OK)
        status = retrieve(run, codes, out);
    free(m.match);
    free(m.turn);
    free(data[0]);
    free(data[1]);
    return status;
}

/* One split: the rows as they are, and every SPEC in both modes. */
static int run_split(align_run *run, size_t number, const size_t *order)
{
    size_t      cols = run->sides[0].cols, judged = run->sides[0].rows - run->fitted;
    float      *held[4];
    mmcl_matrix fit[2], test[2];
    for (int side = 0; side < 2; side++) {
        held[side]     = memory_array(run->fitted * cols, sizeof *held[side]);
        held[2 + side] = memory_array(judged * cols, sizeof *held[2 + side]);
        fit[side]      = take(&run->sides[side], order, 0, run->fitted, held[side]);
        test[side]     = take(&run->sides[side], order, run->fitted, judged, held[2 + side]);
    }
    mmcl_status status = retrieve(run, test, align_scores_of(run, ALIGN_RAW, 0, number));
    int         code   = status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, NULL);
    for (size_t spec = 0; spec < run->spec_count && code == EXIT_OK; spec++)
        for (align_mode mode = ALIGN_SHARED; mode <= ALIGN_SEPARATE && code == EXIT_OK; mode++) {
            fitted f = {{NULL, NULL}, 0};
            code     = fit_pairs(run, run->specs[spec], mode, fit, &f);
            if (code == EXIT_OK) {
                run->components[spec] = f.components;
                status                = judge(run, &f, mode, fit, test, align_scores_of(run, mode, spec, number));
                code                  = status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, run->specs[spec]);
            }
            mmcl_transform_destroy(f.chains[0]);
            mmcl_transform_destroy(f.chains[1]);
        }
    for (int i = 0; i < 4; i++)
        free(held[i]);
    return code;
}

static int run_splits(align_run *run)
{
    size_t *order = memory_array(run->sides[0].rows, sizeof *order);
    int     code  = EXIT_OK;
    for (size_t i = 0; i < run->split_count && code == EXIT_OK; i++) {
        terminal_stage("split %zu of %zu", i + 1, run->split_count);
        shuffle(order, run->sides[0].rows, run->session->common->seed + i);
        code = run_split(run, i, order);
    }
    free(order);
    return code;
}

/* ---------------------------------------------------------------------------------------------------------- command --- */

static int check_specs(align_run *run)
{
    const text_list *given = &run->settings->transforms;
    size_t           most  = run->fitted - 1 < run->sides[0].cols ? run->fitted - 1 : run->sides[0].cols;
    run->spec_count        = given->count > 0 ? given->count : 1;
    run->specs             = memory_array(run->spec_count, sizeof *run->specs);
    run->components        = memory_array(run->spec_count, sizeof *run->components);
    for (size_t i = 0; i < run->spec_count; i++) {
        run->specs[i] = given->count > 0 ? memory_text(given->items[i]) : memory_format("ica:%zu", most < 64 ? most : 64);
        mmcl_transform *trial  = NULL;
        mmcl_status     status = mmcl_transform_create_spec(&trial, run->session->context, run->specs[i]);
        mmcl_transform_destroy(trial);
        if (status == MMCL_E_INVAL)
            return terminal_fail(EXIT_USAGE, "--transform: %s", mmcl_context_message(run->session->context));
        if (status != MMCL_OK)
            return session_fail(run->session, status, NULL);
    }
    run->split_count = run->settings->splits > 0 ? (size_t) run->settings->splits : 10;
    run->scores      = memory_array((2 * run->spec_count + 1) * run->split_count, sizeof *run->scores);
    return EXIT_OK;
}

static int work(align_run *run, text_output *json)
{
    for (int side = 0; side < 2; side++)
        if (run->settings->inputs[side] == NULL)
            return terminal_fail(EXIT_USAGE, "--x A and --t B are needed");
    TRY(output_open(json, "json", run->session->common->json));
    TRY(open_sides(run));
    TRY(check_specs(run));
    double begin = session_seconds();
    TRY(run_splits(run));
    run->seconds = session_seconds() - begin;
    terminal_clear();
    terminal_flush_notes();
    if (json->file != stdout)
        align_print(run);
    return output_json(json, align_write_json, run);
}

static int align(cli_session *session, const void *given, const text_list *operands)
{
    align_run   run  = {.session = session, .settings = given};
    text_output json = {0};
    (void) operands;
    int code = work(&run, &json);
    output_discard(&json);
    for (size_t i = 0; run.specs != NULL && i < run.spec_count; i++)
        free(run.specs[i]);
    for (int side = 0; side < 2; side++) {
        free(run.sides[side].name);
        free(run.sides[side].data);
    }
    free(run.specs);
    free(run.components);
    free(run.scores);
    return code;
}

const cli_command align_command = {
    .name     = "align",
    .summary  = "components of both modalities: matched, and retrieval before and after",
    .synopsis = "--x A --t B [--transform SPEC]... [--fit-pairs N] [--splits N]",
    .text     = "Row i of A and row i of B are a pair, such as an image and its caption. On a part of the pairs transforms are fitted\n"
                "in two ways: one that both sides share, fitted on the rows of both less the mean of each, and one a side, whose\n"
                "components are then matched by correlation. The other pairs judge:\n"
                "  correlation  mean over the components of the correlation of a component of x with its partner in t\n"
                "  aligned      components whose correlation exceeds 0.5\n"
                "  R@1, R@5     share of rows whose partner is first, or among the first 5, of all judged rows by cosine\n"
                "each as mean and deviation over random splits. The first line, raw, is retrieval with the rows as they are. SPEC is\n"
                "described in `mmcl help disentangle`.",
    .example  = "mmcl align --x images.npy --t captions.npy --transform ica:64 --transform pca:64 --json align.json",
    .options       = options,
    .settings_size = sizeof(align_settings),
    .operands      = "no operands",
    .run           = align,
};
