/* Model files with their checksums made right: what can be loaded has to apply, and to save. */
#include "fuzz.h"

#include <stdlib.h>

static mmcl_status discard(void *user, const void *bytes, size_t count)
{
    (void) bytes;
    *(size_t *) user += count;
    return MMCL_OK;
}

static void use_transform(const mmcl_transform *transform)
{
    size_t          inputs, outputs, saved = 0;
    const mmcl_sink sink = {.struct_size = sizeof sink, .user = &saved, .write = discard};
    if (mmcl_transform_shape(transform, &inputs, &outputs) != MMCL_OK)
        abort();
    float      *in = calloc(3 * inputs, sizeof *in), *out = calloc(3 * outputs, sizeof *out);
    mmcl_matrix rows = {.data = in, .rows = 3, .cols = inputs};
    if (mmcl_transform_apply(transform, &rows, out, outputs) != MMCL_OK || mmcl_transform_save_to(transform, &sink) != MMCL_OK)
        abort();
    free(in);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    fuzz_input      input;
    mmcl_transform *transform;
    uint8_t        *repaired = fuzz_repaired(bytes, count);
    mmcl_context   *context  = fuzz_begin();
    fuzz_input_init(&input, repaired, count);
    if (mmcl_transform_load(&transform, context, "input", &input.options) == MMCL_OK)
        use_transform(transform);
    mmcl_transform_destroy(transform);
    fuzz_end(context);
    free(repaired);
    return 0;
}
