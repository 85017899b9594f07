/* The context's life, its message and its log. */
#include "core/core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_THREADS 256

extern const mmcl_allocator mmcl__default_allocator;

/* Fills `context`, which has no memory of its own yet, from the caller's options. */
static mmcl_status import_options(mmcl_context *context, const mmcl_context_options *theirs, uint32_t *threads)
{
    mmcl_context_options options;
    MMCL__TRY(mmcl__import(context, &options, sizeof options, MMCL__V1(mmcl_context_options, blas_policy), theirs,
                           "mmcl_context_options"));
    context->allocator = mmcl__default_allocator;
    if (options.allocator != NULL)
        MMCL__TRY(mmcl__import(context, &context->allocator, sizeof context->allocator, MMCL__V1(mmcl_allocator, free),
                               options.allocator, "mmcl_allocator"));
    if (options.executor != NULL)
        MMCL__TRY(mmcl__import(context, &context->executor, sizeof context->executor, MMCL__V1(mmcl_executor, reserved),
                               options.executor, "mmcl_executor"));
    bool lent = options.executor != NULL;
    if (context->allocator.alloc == NULL || context->allocator.free == NULL ||
        (lent && (context->executor.run == NULL || context->executor.width == 0)) || (lent && options.threads > 1) ||
        options.threads > MAX_THREADS || (lent && context->executor.width > MAX_THREADS) ||
        options.blas_policy < MMCL_BLAS_ONE_THREAD || options.blas_policy > MMCL_BLAS_LEAVE)
        return MMCL_E_INVAL;
    context->log           = options.log;
    context->log_user      = options.log_user;
    context->progress      = options.progress;
    context->progress_user = options.progress_user;
    context->blas_policy   = options.blas_policy;
    *threads               = MMCL__MAX(options.threads, 1);
    return MMCL_OK;
}

mmcl_status mmcl__context_create(mmcl_context **out, const mmcl_context_options *options, mmcl__hooks hooks)
{
    uint32_t     threads = 1;
    mmcl_context fresh   = {.hooks = hooks};
    MMCL__TRY(import_options(&fresh, options, &threads));
    mmcl_context *context = fresh.allocator.alloc(fresh.allocator.user, sizeof *context, MMCL__ALIGN);
    if (context == NULL)
        return MMCL_E_NOMEM;
    *context                   = fresh;
    context->message[0]        = '\0';
    context->memory            = (mmcl_memory_info){.live_bytes = sizeof *context, .peak_bytes = sizeof *context};
    context->memory.live_blocks = context->memory.total_blocks = 1;
    atomic_init(&context->cancelled, 0);
    atomic_flag_clear(&context->busy);
    if (threads > 1) {
        mmcl_status status = mmcl__pool_create(&context->pool, context, threads);
        if (status != MMCL_OK) {
            mmcl__context_destroy(context);
            return status;
        }
    }
    *out = context;
    return MMCL_OK;
}

void mmcl__context_destroy(mmcl_context *context)
{
    if (context == NULL)
        return;
    mmcl__pool_destroy(context->pool, context);
    mmcl_allocator allocator = context->allocator;
    assert(context->memory.live_blocks == 1 && "handles must be destroyed before their context");
    allocator.free(allocator.user, context, sizeof *context, MMCL__ALIGN);
}

mmcl_status mmcl__fail(mmcl_context *context, mmcl_status status, const char *format, ...)
{
    va_list arguments;
    if (context == NULL)
        return status;
    va_start(arguments, format);
    vsnprintf(context->message, sizeof context->message, format, arguments);
    va_end(arguments);
    for (char *c = context->message; *c != '\0'; c++) /* a name from a file may hold anything: the message is one line */
        if ((unsigned char) *c < 0x20 || *c == 0x7f)
            *c = '?';
    return status;
}

void mmcl__log(mmcl_context *context, mmcl_log_level level, const char *format, ...)
{
    if (context->log == NULL)
        return;
    char    line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->log(context->log_user, level, line);
}
