#include "harness.h"

#include <string.h>

static int32_t go_on(void *user, const mmcl_progress *progress)
{
    (void) user;
    (void) progress;
    return 0;
}

/* A context of its own, so that its creation is swept too. */
static mmcl_status context_life(world *w, const char *argument)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .allocator = w->allocator,
                                          .threads = argument != NULL ? 3 : 1};
    mmcl_allocator             allocator = {.struct_size = sizeof allocator};
    mmcl_memory_info           memory    = {.struct_size = sizeof memory};
    mmcl_context              *context, *outer = w->context;
    mmcl_status                status;
    w->context = NULL; /* the message of a context that was not born cannot be read */
    MAKE(w, context, CALL(mmcl_context_create)(&context, &options));
    CHECK(CALL(mmcl_context_threads)(context) == (argument != NULL ? 3u : 1u));
    CHECK(strcmp(CALL(mmcl_context_message)(context), "") == 0);
    CALL(mmcl_context_cancel)(context);
    CALL(mmcl_context_cancel_clear)(context);
    CALL(mmcl_context_set_progress)(context, go_on, NULL);
    TRY(w, CALL(mmcl_context_allocator)(context, &allocator));
    CHECK(allocator.alloc == w->allocator->alloc && allocator.user == w->allocator->user);
    TRY(w, CALL(mmcl_context_memory)(context, &memory));
    CHECK(memory.live_blocks >= 1 && memory.live_bytes <= memory.peak_bytes && memory.total_blocks >= memory.live_blocks);
    harness_note(w, &memory, sizeof memory);
end:
    CALL(mmcl_context_destroy)(status == MMCL_OK ? context : NULL);
    w->context = outer;
    return status;
}

static mmcl_status texts(world *w, const char *argument)
{
    (void) argument;
    for (int32_t i = -40; i <= 40; i++) {
        const char *status = CALL(mmcl_status_string)(i), *dtype = CALL(mmcl_dtype_name)(i);
        size_t      size   = CALL(mmcl_dtype_size)(i);
        CHECK(status != NULL && status[0] != '\0' && dtype != NULL && dtype[0] != '\0');
        harness_note(w, &size, sizeof size);
    }
    uint32_t version = CALL(mmcl_version)();
    CHECK(version == MMCL_VERSION_MAJOR * 1000000u + MMCL_VERSION_MINOR * 1000u + MMCL_VERSION_PATCH);
    CHECK(CALL(mmcl_version_string)()[0] != '\0');
    return MMCL_OK;
}

const scenario scenarios_context[] = {
    {"context", context_life, NULL}, {"context with threads", context_life, "threads"}, {"texts", texts, NULL}, {0}};
