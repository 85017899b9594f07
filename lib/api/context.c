/* Edge of context.h: validate, call, map. */
#include "core/core.h"
#include "linalg/blas.h"

mmcl_status mmcl_context_create(mmcl_context **out, const mmcl_context_options *options)
{
    if (out == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    return mmcl__context_create(out, options, (mmcl__hooks){mmcl__blas_enter, mmcl__blas_leave});
}

void mmcl_context_destroy(mmcl_context *context)
{
    mmcl__context_destroy(context);
}

const char *mmcl_context_message(const mmcl_context *context)
{
    return context != NULL ? context->message : "";
}

void mmcl_context_cancel(mmcl_context *context)
{
    if (context != NULL)
        atomic_store(&context->cancelled, 1);
}

void mmcl_context_cancel_clear(mmcl_context *context)
{
    if (context != NULL)
        atomic_store(&context->cancelled, 0);
}

void mmcl_context_set_progress(mmcl_context *context, mmcl_progress_fn progress, void *user)
{
    if (context == NULL)
        return;
    context->progress      = progress;
    context->progress_user = user;
}

uint32_t mmcl_context_threads(const mmcl_context *context)
{
    return context != NULL ? mmcl__width(context) : 0;
}

mmcl_status mmcl_context_allocator(const mmcl_context *context, mmcl_allocator *out)
{
    if (context == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &context->allocator, sizeof *out, MMCL__V1(mmcl_allocator, free), "mmcl_allocator");
}

mmcl_status mmcl_context_memory(const mmcl_context *context, mmcl_memory_info *out)
{
    if (context == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &context->memory, sizeof *out, MMCL__V1(mmcl_memory_info, total_blocks), "mmcl_memory_info");
}
