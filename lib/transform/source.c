#include "transform/source.h"

size_t mmcl__source_scratch(const mmcl__source *source, size_t n)
{
    return source->n_stages == 0 ? 0 : 2 * n * mmcl__stages_width(source->stages, source->n_stages, source->rows->cols);
}

bool mmcl__source_read_f32(const mmcl__source *source, size_t first, size_t n, float *out, float *scratch, mmcl__trouble *trouble)
{
    float *to       = source->n_stages == 0 ? out : scratch;
    trouble->status = mmcl__rows_read_f32(source->rows, first, n, to, &trouble->part, &trouble->place);
    if (trouble->status == MMCL_OK && source->n_stages > 0)
        mmcl__stages_run_f32(source->stages, source->n_stages, n, source->rows->cols, scratch,
                             scratch + mmcl__source_scratch(source, n) / 2, out, source->cols);
    return trouble->status == MMCL_OK;
}

bool mmcl__source_read_f64(const mmcl__source *source, size_t first, size_t n, double *out, double *scratch, mmcl__trouble *trouble)
{
    double *to      = source->n_stages == 0 ? out : scratch;
    trouble->status = mmcl__rows_read_f64(source->rows, first, n, to, &trouble->part, &trouble->place);
    if (trouble->status == MMCL_OK && source->n_stages > 0)
        mmcl__stages_run_f64(source->stages, source->n_stages, n, source->rows->cols, scratch,
                             scratch + mmcl__source_scratch(source, n) / 2, out, source->cols);
    return trouble->status == MMCL_OK;
}

mmcl_status mmcl__source_failed(mmcl_context *context, const mmcl__trouble *trouble)
{
    return mmcl__read_failed(context, trouble->status, "parts", trouble->part, &trouble->place);
}

struct round {
    const mmcl__lanes *lanes;
    mmcl__visit        visit;
    void              *argument;
    size_t             done, tiles; /* of each lane */
};

static void run_lane(void *argument, size_t lane, uint32_t worker)
{
    const struct round *round = argument;
    size_t              end   = mmcl__lane_begin(round->lanes, lane + 1);
    size_t              first = mmcl__lane_begin(round->lanes, lane) + round->done;
    if (first < end)
        round->visit(round->argument, lane, first, MMCL__MIN(end, first + round->tiles), worker);
}

mmcl_status mmcl__pass(mmcl_context *context, const mmcl__lanes *lanes, size_t round_tiles, mmcl__visit visit, void *argument,
                       const mmcl__trouble *trouble)
{
    struct round round   = {.lanes = lanes, .visit = visit, .argument = argument, .tiles = MMCL__MAX(1, round_tiles / lanes->count)};
    size_t       longest = mmcl__lane_begin(lanes, 1);
    for (; round.done < longest; round.done += round.tiles) {
        MMCL__TRY(mmcl__check_cancel(context));
        MMCL__TRY(mmcl__parallel(context, lanes->count, run_lane, &round));
        for (size_t lane = 0; lane < lanes->count; lane++)
            if (trouble[lane].status != MMCL_OK)
                return mmcl__source_failed(context, &trouble[lane]);
    }
    return MMCL_OK;
}
