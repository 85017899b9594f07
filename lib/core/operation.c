/* Progress and cancellation: one mechanism for every long operation. */
#include "core/core.h"

#include <math.h>
#include <time.h>

double mmcl__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static const mmcl__operation *outermost(const mmcl__operation *operation)
{
    while (operation->outer != NULL)
        operation = operation->outer;
    return operation;
}

static int32_t send(const mmcl__operation *operation, bool finished, mmcl_status status)
{
    mmcl_context *context = operation->context;
    if (context->progress == NULL)
        return 0;
    mmcl_progress event = {
        .struct_size = sizeof event,
        .operation   = operation->name,
        .step        = operation->step,
        .total       = operation->total,
        .value       = operation->value,
        .seconds     = mmcl__seconds() - outermost(operation)->began,
        .finished    = finished,
        .status      = status,
    };
    return context->progress(context->progress_user, &event);
}

void mmcl__begin(mmcl__operation *operation, mmcl_context *context, const char *name, uint64_t total)
{
    *operation = (mmcl__operation){
        .context = context, .outer = context->operation, .name = name, .total = total, .value = NAN, .began = mmcl__seconds()};
    if (operation->outer == NULL && context->hooks.enter != NULL)
        context->hooks.enter(context->blas_policy);
    context->operation = operation;
}

mmcl_status mmcl__check_cancel(mmcl_context *context)
{
    if (atomic_load_explicit(&context->cancelled, memory_order_relaxed))
        return mmcl__fail(context, MMCL_E_CANCELLED, "cancelled by mmcl_context_cancel");
    return MMCL_OK;
}

mmcl_status mmcl__tick(mmcl__operation *operation, uint64_t step, double value)
{
    mmcl_context *context = operation->context;
    operation->step       = step;
    operation->value      = value;
    MMCL__TRY(mmcl__check_cancel(context));
    if (send(operation, false, MMCL_OK) != 0)
        return mmcl__fail(context, MMCL_E_CANCELLED, "cancelled by the progress callback at step %llu of %s",
                          (unsigned long long) step, operation->name);
    return MMCL_OK;
}

mmcl_status mmcl__end(mmcl__operation *operation, mmcl_status status)
{
    mmcl_context *context = operation->context;
    context->operation    = operation->outer;
    if (operation->outer == NULL) {
        if (context->hooks.leave != NULL)
            context->hooks.leave(context->blas_policy);
        send(operation, true, status);
    }
    return status;
}
