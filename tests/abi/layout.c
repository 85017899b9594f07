/*
 * The layout of every public struct on 64-bit machines, pinned when the struct is first released. A field may only be appended
 * to a struct that begins with struct_size: that changes its LAYOUT line and adds an AT line, and no other.
 *
 * No struct ends in padding: the library would take its bytes, which a caller need not have zeroed, for a field.
 */
#include <mmcl/mmcl.h>

#include <assert.h>

#define LAYOUT(type, bytes, last)                                                                                      \
    static_assert(sizeof(type) == (bytes), #type " changed its size");                                                 \
    static_assert(offsetof(type, last) + sizeof(((type *) 0)->last) == (bytes), #type " does not end with " #last);
#define AT(type, member, offset) static_assert(offsetof(type, member) == (offset), #type "." #member " moved");

extern const int mmcl_layout_checked;
const int        mmcl_layout_checked = 1;

static_assert(sizeof(mmcl_status) == 4 && sizeof(mmcl_dtype) == 4 && sizeof(mmcl_step_kind) == 4, "enumerations are 32 bits wide");

/* clang-format off */

/* Values that callers have compiled in: they never change and are never used again for something else. */
#define VALUE(name, value) static_assert(name == (value), #name " changed");

VALUE(MMCL_OK, 0)
VALUE(MMCL_E_NOMEM, -1)
VALUE(MMCL_E_INVAL, -2)
VALUE(MMCL_E_ABI, -3)
VALUE(MMCL_E_STATE, -4)
VALUE(MMCL_E_CANCELLED, -10)
VALUE(MMCL_E_CALLBACK, -11)
VALUE(MMCL_E_NUMERIC, -20)
VALUE(MMCL_E_IO, -30)
VALUE(MMCL_E_FORMAT, -31)
VALUE(MMCL_E_VERSION, -32)
VALUE(MMCL_E_UNSUPPORTED, -33)
VALUE(MMCL_E_NOTFOUND, -34)

VALUE(MMCL_F32, 0)
VALUE(MMCL_F64, 1)
VALUE(MMCL_F16, 2)
VALUE(MMCL_BF16, 3)
VALUE(MMCL_I8, 8)
VALUE(MMCL_U8, 9)
VALUE(MMCL_I16, 10)
VALUE(MMCL_U16, 11)
VALUE(MMCL_I32, 12)
VALUE(MMCL_U32, 13)
VALUE(MMCL_I64, 14)
VALUE(MMCL_U64, 15)
VALUE(MMCL_BOOL, 16)
VALUE(MMCL_STR, 24)

VALUE(MMCL_LOG_WARNING, 1)
VALUE(MMCL_LOG_INFO, 2)

VALUE(MMCL_BLAS_ONE_THREAD, 0)
VALUE(MMCL_BLAS_LEAVE, 1)

VALUE(MMCL_ACCESS_MAP, 0)
VALUE(MMCL_ACCESS_READ, 1)

VALUE(MMCL_STEP_CENTER, 1)
VALUE(MMCL_STEP_NORMALIZE, 2)
VALUE(MMCL_STEP_PCA, 3)
VALUE(MMCL_STEP_WHITEN, 4)
VALUE(MMCL_STEP_ICA, 5)

VALUE(MMCL_ICA_FASTICA, 0)
VALUE(MMCL_ICA_FASTICA_DEFLATION, 1)
VALUE(MMCL_ICA_PICARD, 2)
VALUE(MMCL_ICA_PICARD_FREE, 3)

VALUE(MMCL_CONTRAST_LOGCOSH, 0)
VALUE(MMCL_CONTRAST_EXP, 1)
VALUE(MMCL_CONTRAST_CUBE, 2)

VALUE(MMCL_DENSITY_AUTO, 0)
VALUE(MMCL_DENSITY_SUPER, 1)
VALUE(MMCL_DENSITY_SUB, 2)

VALUE(MMCL_SCALE_UNIT, 0)
VALUE(MMCL_SCALE_ARBITRARY, 1)

VALUE(MMCL_ORDER_FITTED, 0)
VALUE(MMCL_ORDER_VARIANCE, 1)
VALUE(MMCL_ORDER_NEGENTROPY, 2)

VALUE(MMCL_SIGN_FITTED, 0)
VALUE(MMCL_SIGN_LOADING, 1)
VALUE(MMCL_SIGN_SKEW, 2)

VALUE(MMCL_PRECISION_F32, 0)
VALUE(MMCL_PRECISION_F64, 1)

VALUE(MMCL_STOP_CLOSED_FORM, 0)
VALUE(MMCL_STOP_TOLERANCE, 1)
VALUE(MMCL_STOP_ITERATIONS, 2)
VALUE(MMCL_STOP_NO_PROGRESS, 3)

VALUE(MMCL_FIELD_MEAN, 1)
VALUE(MMCL_FIELD_COMPONENTS, 2)
VALUE(MMCL_FIELD_MIXING, 3)
VALUE(MMCL_FIELD_VARIANCE, 4)
VALUE(MMCL_FIELD_SPECTRUM, 5)

VALUE(MMCL_PROTOCOL_STRICT, 0)
VALUE(MMCL_PROTOCOL_PAPER, 1)

#if UINTPTR_MAX == UINT64_MAX

LAYOUT(mmcl_matrix, 64, swapped)
AT(mmcl_matrix, data, 0)
AT(mmcl_matrix, rows, 8)
AT(mmcl_matrix, cols, 16)
AT(mmcl_matrix, row_stride, 24)
AT(mmcl_matrix, col_stride, 32)
AT(mmcl_matrix, read, 40)
AT(mmcl_matrix, read_user, 48)
AT(mmcl_matrix, dtype, 56)
AT(mmcl_matrix, swapped, 60)

LAYOUT(mmcl_allocator, 32, free)
AT(mmcl_allocator, struct_size, 0)
AT(mmcl_allocator, user, 8)
AT(mmcl_allocator, alloc, 16)
AT(mmcl_allocator, free, 24)

LAYOUT(mmcl_executor, 32, reserved)
AT(mmcl_executor, struct_size, 0)
AT(mmcl_executor, user, 8)
AT(mmcl_executor, run, 16)
AT(mmcl_executor, width, 24)
AT(mmcl_executor, reserved, 28)

LAYOUT(mmcl_progress, 56, status)
AT(mmcl_progress, struct_size, 0)
AT(mmcl_progress, operation, 8)
AT(mmcl_progress, step, 16)
AT(mmcl_progress, total, 24)
AT(mmcl_progress, value, 32)
AT(mmcl_progress, seconds, 40)
AT(mmcl_progress, finished, 48)
AT(mmcl_progress, status, 52)

LAYOUT(mmcl_stream, 32, read_at)
AT(mmcl_stream, struct_size, 0)
AT(mmcl_stream, user, 8)
AT(mmcl_stream, size, 16)
AT(mmcl_stream, read_at, 24)

LAYOUT(mmcl_sink, 24, write)
AT(mmcl_sink, struct_size, 0)
AT(mmcl_sink, user, 8)
AT(mmcl_sink, write, 16)

LAYOUT(mmcl_context_options, 64, blas_policy)
AT(mmcl_context_options, struct_size, 0)
AT(mmcl_context_options, allocator, 8)
AT(mmcl_context_options, executor, 16)
AT(mmcl_context_options, log, 24)
AT(mmcl_context_options, log_user, 32)
AT(mmcl_context_options, progress, 40)
AT(mmcl_context_options, progress_user, 48)
AT(mmcl_context_options, threads, 56)
AT(mmcl_context_options, blas_policy, 60)

LAYOUT(mmcl_memory_info, 40, total_blocks)
AT(mmcl_memory_info, struct_size, 0)
AT(mmcl_memory_info, live_bytes, 8)
AT(mmcl_memory_info, peak_bytes, 16)
AT(mmcl_memory_info, live_blocks, 24)
AT(mmcl_memory_info, total_blocks, 32)

LAYOUT(mmcl_open_options, 24, reserved)
AT(mmcl_open_options, struct_size, 0)
AT(mmcl_open_options, stream, 8)
AT(mmcl_open_options, access, 16)
AT(mmcl_open_options, reserved, 20)

LAYOUT(mmcl_array_info, 112, compressed)
AT(mmcl_array_info, struct_size, 0)
AT(mmcl_array_info, shape, 8)
AT(mmcl_array_info, elements, 72)
AT(mmcl_array_info, element_bytes, 80)
AT(mmcl_array_info, dimensions, 88)
AT(mmcl_array_info, dtype, 92)
AT(mmcl_array_info, fortran, 96)
AT(mmcl_array_info, swapped, 100)
AT(mmcl_array_info, mapped, 104)
AT(mmcl_array_info, compressed, 108)

LAYOUT(mmcl_step_options, 96, lbfgs_memory)
AT(mmcl_step_options, struct_size, 0)
AT(mmcl_step_options, start, 8)
AT(mmcl_step_options, components, 16)
AT(mmcl_step_options, start_seed, 24)
AT(mmcl_step_options, max_iterations, 32)
AT(mmcl_step_options, tolerance, 40)
AT(mmcl_step_options, alpha, 48)
AT(mmcl_step_options, kind, 56)
AT(mmcl_step_options, algorithm, 60)
AT(mmcl_step_options, contrast, 64)
AT(mmcl_step_options, density, 68)
AT(mmcl_step_options, scale, 72)
AT(mmcl_step_options, order, 76)
AT(mmcl_step_options, sign, 80)
AT(mmcl_step_options, precision, 84)
AT(mmcl_step_options, clip_components, 88)
AT(mmcl_step_options, lbfgs_memory, 92)

LAYOUT(mmcl_step_info, 96, stop)
AT(mmcl_step_info, struct_size, 0)
AT(mmcl_step_info, rows, 8)
AT(mmcl_step_info, inputs, 16)
AT(mmcl_step_info, components, 24)
AT(mmcl_step_info, rank, 32)
AT(mmcl_step_info, iterations, 40)
AT(mmcl_step_info, passes, 48)
AT(mmcl_step_info, super_gaussian, 56)
AT(mmcl_step_info, residual, 64)
AT(mmcl_step_info, explained_variance, 72)
AT(mmcl_step_info, seconds, 80)
AT(mmcl_step_info, kind, 88)
AT(mmcl_step_info, stop, 92)

LAYOUT(mmcl_fit_options, 16, cache_bytes)
AT(mmcl_fit_options, struct_size, 0)
AT(mmcl_fit_options, cache_bytes, 8)

LAYOUT(mmcl_labelled, 72, labels)
AT(mmcl_labelled, features, 0)
AT(mmcl_labelled, labels, 64)

LAYOUT(mmcl_logreg_options, 40, precision)
AT(mmcl_logreg_options, struct_size, 0)
AT(mmcl_logreg_options, c, 8)
AT(mmcl_logreg_options, tolerance, 16)
AT(mmcl_logreg_options, max_iterations, 24)
AT(mmcl_logreg_options, no_intercept, 32)
AT(mmcl_logreg_options, precision, 36)

LAYOUT(mmcl_logreg_info, 72, reserved)
AT(mmcl_logreg_info, struct_size, 0)
AT(mmcl_logreg_info, c, 8)
AT(mmcl_logreg_info, objective, 16)
AT(mmcl_logreg_info, gradient_norm, 24)
AT(mmcl_logreg_info, gap, 32)
AT(mmcl_logreg_info, iterations, 40)
AT(mmcl_logreg_info, passes, 48)
AT(mmcl_logreg_info, seconds, 56)
AT(mmcl_logreg_info, stop, 64)
AT(mmcl_logreg_info, reserved, 68)

LAYOUT(mmcl_search_options, 72, reserved)
AT(mmcl_search_options, struct_size, 0)
AT(mmcl_search_options, grid, 8)
AT(mmcl_search_options, grid_count, 16)
AT(mmcl_search_options, steps, 24)
AT(mmcl_search_options, tolerance, 32)
AT(mmcl_search_options, max_iterations, 40)
AT(mmcl_search_options, fitted, 48)
AT(mmcl_search_options, fitted_user, 56)
AT(mmcl_search_options, precision, 64)
AT(mmcl_search_options, reserved, 68)

LAYOUT(mmcl_search_info, 48, seconds)
AT(mmcl_search_info, struct_size, 0)
AT(mmcl_search_info, c, 8)
AT(mmcl_search_info, val_accuracy, 16)
AT(mmcl_search_info, fits, 24)
AT(mmcl_search_info, passes, 32)
AT(mmcl_search_info, seconds, 40)

LAYOUT(mmcl_domain, 88, mask)
AT(mmcl_domain, name, 0)
AT(mmcl_domain, rows, 8)
AT(mmcl_domain, mask, 80)

LAYOUT(mmcl_fewshot_data, 272, fixed)
AT(mmcl_fewshot_data, struct_size, 0)
AT(mmcl_fewshot_data, classes, 8)
AT(mmcl_fewshot_data, train, 16)
AT(mmcl_fewshot_data, val, 88)
AT(mmcl_fewshot_data, test, 160)
AT(mmcl_fewshot_data, domains, 232)
AT(mmcl_fewshot_data, domain_count, 240)
AT(mmcl_fewshot_data, pool, 248)
AT(mmcl_fewshot_data, pool_parts, 256)
AT(mmcl_fewshot_data, fixed, 264)

LAYOUT(mmcl_probe_options, 48, reserved)
AT(mmcl_probe_options, struct_size, 0)
AT(mmcl_probe_options, search, 8)
AT(mmcl_probe_options, fit, 16)
AT(mmcl_probe_options, shots, 24)
AT(mmcl_probe_options, seed, 32)
AT(mmcl_probe_options, protocol, 40)
AT(mmcl_probe_options, reserved, 44)

LAYOUT(mmcl_probe_result, 104, seconds)
AT(mmcl_probe_result, struct_size, 0)
AT(mmcl_probe_result, c, 8)
AT(mmcl_probe_result, val_accuracy, 16)
AT(mmcl_probe_result, test_accuracy, 24)
AT(mmcl_probe_result, fits, 32)
AT(mmcl_probe_result, passes, 40)
AT(mmcl_probe_result, train_rows, 48)
AT(mmcl_probe_result, val_rows, 56)
AT(mmcl_probe_result, transform_rows, 64)
AT(mmcl_probe_result, components, 72)
AT(mmcl_probe_result, transform_seconds, 80)
AT(mmcl_probe_result, search_seconds, 88)
AT(mmcl_probe_result, seconds, 96)

VALUE(MMCL_METRIC_R2, 1)
VALUE(MMCL_METRIC_MCC, 2)

LAYOUT(mmcl_metric_options, 24, holdout)
AT(mmcl_metric_options, seed, 8)
AT(mmcl_metric_options, holdout, 16)

LAYOUT(mmcl_metric_details, 32, assignment)
AT(mmcl_metric_details, per_factor, 8)
AT(mmcl_metric_details, matrix, 16)
AT(mmcl_metric_details, assignment, 24)
#endif
/* clang-format on */
