/* Own memory: an allocator that counts, sees every byte of the library come and go, and can refuse. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 1000, COLS = 16 };

typedef struct counter {
    size_t live, peak, limit;
} counter;

static void *counted_alloc(void *user, size_t size, size_t align)
{
    counter *c = user;
    void    *memory;
    if (c->live + size > c->limit || posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size) != 0)
        return NULL; /* the library answers MMCL_E_NOMEM, and every handle stays as it was */
    c->live += size;
    c->peak = c->live > c->peak ? c->live : c->peak;
    return memory;
}

/* The size comes back, so no header is needed before the block. */
static void counted_free(void *user, void *memory, size_t size, size_t align)
{
    counter *c = user;
    (void) align;
    c->live -= size;
    free(memory);
}

int main(void)
{
    static float         features[ROWS * COLS];
    counter              c         = {.limit = (size_t) 1 << 30};
    mmcl_allocator       allocator = {sizeof allocator, &c, counted_alloc, counted_free};
    mmcl_context_options options   = {.struct_size = sizeof options, .allocator = &allocator};
    mmcl_matrix          rows      = {.data = features, .rows = ROWS, .cols = COLS};
    mmcl_context        *context   = NULL;
    mmcl_transform      *pca       = NULL;
    sampler              s         = {3};

    sample_matrix(&s, ROWS * COLS, features);
    if (mmcl_context_create(&context, &options) != MMCL_OK || mmcl_transform_create_spec(&pca, context, "pca:4") != MMCL_OK)
        return EXIT_FAILURE;

    c.limit             = c.live + 100; /* too little for a fit */
    mmcl_status refused = mmcl_transform_fit(pca, &rows, 1, NULL);
    c.limit             = (size_t) 1 << 30;
    mmcl_status fitted  = mmcl_transform_fit(pca, &rows, 1, NULL);
    printf("with 100 bytes: %s; with more: %s; peak %zu bytes\n", mmcl_status_string(refused), mmcl_status_string(fitted), c.peak);

    mmcl_transform_destroy(pca);
    mmcl_context_destroy(context);
    printf("held at the end: %zu bytes\n", c.live);
    return refused == MMCL_E_NOMEM && fitted == MMCL_OK && c.live == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
