#include "signs.h"

#include "memory.h"

#include <math.h>
#include <stdlib.h>

#define UNIT 1e-2

int signs_unit_rows(cli_session *session, const features *rows, size_t *count)
{
    enum { TILE = 256 };
    size_t          cols = rows->view.cols;
    float          *tile = memory_array(TILE * cols, sizeof *tile);
    mmcl_status status = MMCL_OK;
    *count = 0;
    for (size_t first = 0; status == MMCL_OK && first < rows->view.rows; first += TILE) {
        size_t some = rows->view.rows - first < TILE ? rows->view.rows - first : TILE;
        status = rows_read(session, &rows->view, first, some, tile);
        for (size_t i = 0; i < some && status == MMCL_OK; i++) {
            double square = 0;
            for (size_t j = 0; j < cols; j++)
                square += (double) tile[i * cols + j] * (double) tile[i * cols + j];
            *count += fabs(sqrt(square) - 1) < UNIT;
        }
    }
    free(tile);
    return status == MMCL_OK ? EXIT_OK : session_fail_status(session, status, rows->name);
}

const char *signs_advice(const signs_check *check)
{
    return !check->done || check->info.advice == MMCL_DENSITY_AUTO ? NULL : check->info.advice == MMCL_DENSITY_SUPER ? "super" : "sub";
}

int signs_run(cli_session *session, const mmcl_matrix *parts, size_t count, const mmcl_step_options *step, const char *name,
              signs_check *out)
{
    const mmcl_signs_options how = {.struct_size = sizeof how, .step = step, .seed = session->common->seed};
    out->info                    = (mmcl_signs_info){.struct_size = sizeof out->info};
    terminal_stage("signs of the contrast");
    mmcl_status status = mmcl_signs_test(session->context, parts, count, &how, &out->info);
    if (status != MMCL_OK)
        return session_fail(session, status, name);
    out->done          = true;
    const char *advice = signs_advice(out);
    if (advice != NULL)
        terminal_note("%s: rows of norm 1, where automatic signs mislead ICA: the axes of fixed %s-Gaussian signs stand out %.1f times as far; "
                      "ask for ica:%llu:picard:%s",
                      name, advice, fmax(out->info.super_gaussian, out->info.sub_gaussian) / out->info.automatic,
                      (unsigned long long) out->info.components, advice);
    return EXIT_OK;
}

/* The first ICA step whose signs are automatic; `before` becomes the steps ahead of it. *found false: there is none. */
static mmcl_status find_step(const mmcl_transform *transform, mmcl_transform *before, mmcl_step_options *step, bool *normalizes, bool *found)
{
    mmcl_status status = MMCL_OK;
    *found = *normalizes = false;
    for (size_t i = 0; i < mmcl_transform_count(transform) && status == MMCL_OK; i++) {
        *step  = (mmcl_step_options){.struct_size = sizeof *step};
        status = mmcl_transform_get_step(transform, i, step);
        if (status != MMCL_OK || step->kind == MMCL_STEP_ICA) {
            bool picard = step->algorithm == MMCL_ICA_PICARD || step->algorithm == MMCL_ICA_PICARD_FREE;
            *found      = status == MMCL_OK && !(picard && step->density != MMCL_DENSITY_AUTO) && step->components != 1;
            step->start = NULL;
            return status;
        }
        if (step->kind == MMCL_STEP_BESIDE) /* the first chain is looked at alone */
            return MMCL_OK;
        *normalizes |= step->kind == MMCL_STEP_NORMALIZE;
        status = mmcl_transform_add(before, step);
    }
    return status;
}

/* Several parts behind other steps are not looked at: they would have to be joined first. */
static int run_behind(cli_session *session, mmcl_transform *before, const features *parts, size_t count, const mmcl_step_options *step,
                      signs_check *out)
{
    mmcl_matrix *views = memory_array(count, sizeof *views);
    rows_applied applied;
    int          code = EXIT_OK;
    for (size_t i = 0; i < count; i++)
        views[i] = parts[i].view;
    if (mmcl_transform_count(before) == 0) {
        code = signs_run(session, views, count, step, parts[0].name, out);
    } else if (count == 1) {
        mmcl_status status = mmcl_transform_fit(before, views, 1, NULL);
        code = status == MMCL_OK ? rows_applied_init(&applied, session, before, views, parts[0].name) : session_fail(session, status, parts[0].name);
        if (code == EXIT_OK)
            code = signs_run(session, &applied.view, 1, step, parts[0].name, out);
    }
    free(views);
    return code;
}

int signs_of_chain(cli_session *session, const mmcl_transform *transform, const features *parts, size_t count, signs_check *out)
{
    mmcl_step_options step;
    mmcl_transform   *before = NULL;
    bool              unit, found = false;
    mmcl_status       status = mmcl_transform_create(&before, session->context);
    int               code   = EXIT_OK;
    if (status == MMCL_OK)
        status = find_step(transform, before, &step, &unit, &found);
    if (status != MMCL_OK)
        code = session_fail(session, status, NULL);
    for (size_t i = 0; i < count && found && !unit && code == EXIT_OK; i++) {
        size_t units = 0;
        code         = signs_unit_rows(session, &parts[i], &units);
        found        = units == parts[i].view.rows;
    }
    if (code == EXIT_OK && found)
        code = run_behind(session, before, parts, count, &step, out);
    mmcl_transform_destroy(before);
    return code;
}

void signs_json(const signs_check *check, json_writer *out)
{
    const char *advice = signs_advice(check);
    if (!check->done)
        return;
    json_open_object(out, "signs");
    json_text(out, "advice", advice != NULL ? advice : "auto");
    json_real(out, "automatic", check->info.automatic);
    json_real(out, "super", check->info.super_gaussian);
    json_real(out, "sub", check->info.sub_gaussian);
    json_real(out, "random", check->info.random);
    json_close(out);
}
