/*
 * The context: allocator, threads, message, log, progress and cancellation. Every other handle is born from one and must be
 * destroyed before it.
 */
#ifndef MMCL_CONTEXT_H
#define MMCL_CONTEXT_H

#include <mmcl/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_context mmcl_context;

/* What the library does to the thread count of the BLAS library, which is one number for the whole process. */
typedef int32_t mmcl_blas_policy;

#define MMCL_BLAS_ONE_THREAD ((mmcl_blas_policy) 0) /* one thread while a library call runs, the previous count afterwards */
#define MMCL_BLAS_LEAVE      ((mmcl_blas_policy) 1) /* never touched: for hosts that have set it to one themselves */

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_context_options {
    size_t                struct_size;
    const mmcl_allocator *allocator;     /* copied; NULL: the C library's */
    const mmcl_executor  *executor;      /* copied; NULL: threads of the library's own, if any */
    mmcl_log_fn           log;           /* NULL: nothing is logged */
    void                 *log_user;
    mmcl_progress_fn      progress;      /* NULL: no progress events */
    void                 *progress_user;
    uint32_t              threads;       /* threads that work on a call, the caller's among them; 0: 1. Not with an executor */
    mmcl_blas_policy      blas_policy;
} mmcl_context_options;

/* Bytes that a context and its handles hold through its allocator. */
typedef struct mmcl_memory_info {
    size_t   struct_size;
    uint64_t live_bytes;
    uint64_t peak_bytes;   /* highest live_bytes so far */
    uint64_t live_blocks;
    uint64_t total_blocks; /* allocations so far */
} mmcl_memory_info;

/*
 * Creates a context. `options` may be NULL. Starts threads - 1 threads, which sleep while no call is running.
 * Thread class: any thread. Allocates: the context itself, from the given allocator.
 * Errors: MMCL_E_INVAL (out is NULL, more than 256 threads, threads together with an executor, an allocator or executor
 * without its functions), MMCL_E_ABI, MMCL_E_NOMEM (also when a thread cannot be started). *out is NULL on error.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_context_create(mmcl_context **out, const mmcl_context_options *options);

/*
 * Ends the threads and returns every byte. NULL is fine. All handles of the context must be gone.
 * Thread class: exclusive.
 */
MMCL_API void mmcl_context_destroy(mmcl_context *context);

/*
 * One line on why the last call that failed on this context, or on a handle of it, did: which argument, what it was, what was
 * expected. "" when none has failed. The text lives in the context until the next failure. Functions of class "concurrent on
 * const" return a status only and leave the message alone.
 * Thread class: exclusive. Allocates nothing.
 */
MMCL_API const char *mmcl_context_message(const mmcl_context *context);

/*
 * Asks the running operation, and every later one, to stop with MMCL_E_CANCELLED, until mmcl_context_cancel_clear.
 * Thread class: any thread (it may be called from a signal handler). Allocates nothing.
 */
MMCL_API void mmcl_context_cancel(mmcl_context *context);

/* Lets operations run again. Thread class: any thread. */
MMCL_API void mmcl_context_cancel_clear(mmcl_context *context);

/*
 * Replaces the progress callback; NULL for none. Thread class: exclusive. Allocates nothing.
 */
MMCL_API void mmcl_context_set_progress(mmcl_context *context, mmcl_progress_fn progress, void *user);

/* Threads that work on a call: the number given at creation, or the executor's width. Thread class: any thread. */
MMCL_API uint32_t mmcl_context_threads(const mmcl_context *context);

/*
 * Copies the allocator in use, so that the host can share it. `out->struct_size` must be set.
 * Thread class: any thread. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_context_allocator(const mmcl_context *context, mmcl_allocator *out);

/*
 * Reports the memory that the context and its handles hold. `out->struct_size` must be set.
 * Thread class: exclusive. Allocates nothing. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_context_memory(const mmcl_context *context, mmcl_memory_info *out);

#ifdef __cplusplus
}
#endif

#endif
