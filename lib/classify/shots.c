#include "classify/shots.h"

/* Rows sorted by class: those of class k are order[starts[k]] ... order[starts[k + 1] - 1], ascending. */
struct groups {
    size_t *starts; /* [classes + 1] */
    size_t *order;  /* [count] */
    size_t *scratch, *picks; /* [count], [shots] */
};

static void group(const struct groups *groups, const int64_t *labels, size_t count, size_t classes)
{
    for (size_t k = 0; k <= classes; k++)
        groups->starts[k] = 0;
    for (size_t i = 0; i < count; i++)
        groups->starts[labels[i] + 1]++;
    for (size_t k = 0; k < classes; k++)
        groups->starts[k + 1] += groups->starts[k];
    for (size_t i = 0; i < count; i++)
        groups->order[groups->starts[labels[i]]++] = i;
    for (size_t k = classes; k > 0; k--) /* filling moved every start to its class's end */
        groups->starts[k] = groups->starts[k - 1];
    groups->starts[0] = 0;
}

/* numpy.random.RandomState.choice(rows of the class, shots, replace = too few rows). */
static void draw_class(mmcl__numpy_rng *rng, const struct groups *groups, size_t k, size_t shots, int64_t *out)
{
    size_t first = groups->starts[k], n = groups->starts[k + 1] - first;
    if (n >= shots)
        mmcl__numpy_choice(rng, n, shots, groups->scratch, groups->picks);
    else
        mmcl__numpy_choice_repeat(rng, n, shots, groups->picks);
    for (size_t i = 0; i < shots; i++)
        out[i] = (int64_t) groups->order[first + groups->picks[i]];
}

static mmcl_status draw(mmcl_shot_sampler *sampler, const struct groups *groups, size_t classes, size_t shots, bool skip_empty,
                        const char *name, int64_t *out, size_t *drawn)
{
    *drawn = 0;
    for (size_t k = 0; k < classes && !skip_empty; k++) /* before the stream moves */
        if (groups->starts[k] == groups->starts[k + 1])
            return mmcl__fail(sampler->context, MMCL_E_NUMERIC, "%s: class %zu has no rows", name, k);
    for (size_t k = 0; k < classes; k++) {
        if (groups->starts[k] == groups->starts[k + 1]) {
            mmcl__log(sampler->context, MMCL_LOG_WARNING, "%s: class %zu has no rows and is left out", name, k);
            continue;
        }
        draw_class(&sampler->rng, groups, k, shots, out + *drawn);
        *drawn += shots;
    }
    return MMCL_OK;
}

mmcl_status mmcl__shots_draw(mmcl_shot_sampler *sampler, const int64_t *labels, size_t count, size_t classes, size_t shots,
                             bool skip_empty, const char *name, int64_t *out, size_t *drawn)
{
    mmcl_context *context = sampler->context;
    struct groups groups  = {
         .starts  = mmcl__alloc(context, classes + 1, sizeof *groups.starts),
         .order   = mmcl__alloc(context, count, sizeof *groups.order),
         .scratch = mmcl__alloc(context, count, sizeof *groups.scratch),
         .picks   = mmcl__alloc(context, shots, sizeof *groups.picks),
    };
    mmcl_status status = MMCL_E_NOMEM;
    if (groups.starts != NULL && groups.order != NULL && groups.scratch != NULL && groups.picks != NULL) {
        group(&groups, labels, count, classes);
        status = draw(sampler, &groups, classes, shots, skip_empty, name, out, drawn);
    }
    mmcl__free(context, groups.starts, classes + 1, sizeof *groups.starts);
    mmcl__free(context, groups.order, count, sizeof *groups.order);
    mmcl__free(context, groups.scratch, count, sizeof *groups.scratch);
    mmcl__free(context, groups.picks, shots, sizeof *groups.picks);
    return status;
}
