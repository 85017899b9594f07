/*
 * Types that every other header uses: status codes, element types, matrix views, allocator and callbacks.
 *
 * Three thread classes appear in the documentation of each function:
 *   any thread           may be called at any time from any thread
 *   concurrent on const  several threads may call it on the same handle as long as no other call changes that handle
 *   exclusive            one thread at a time for the context and all handles born from it
 */
#ifndef MMCL_BASE_H
#define MMCL_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && !defined(MMCL_STATIC)
#  ifdef MMCL_BUILDING
#    define MMCL_API __declspec(dllexport)
#  else
#    define MMCL_API __declspec(dllimport)
#  endif
#elif defined(__GNUC__)
#  define MMCL_API __attribute__((visibility("default")))
#else
#  define MMCL_API
#endif

#if defined(__GNUC__)
#  define MMCL_CHECK __attribute__((warn_unused_result))
#else
#  define MMCL_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------- status --- */

/* Outcome of a call: 0, or one of the negative codes below. The values never change. */
typedef int32_t mmcl_status;

#define MMCL_OK            ((mmcl_status) 0)
#define MMCL_E_NOMEM       ((mmcl_status) -1)  /* the allocator returned NULL */
#define MMCL_E_INVAL       ((mmcl_status) -2)  /* an argument or an option is wrong; the message says which */
#define MMCL_E_ABI         ((mmcl_status) -3)  /* an option struct is too short, or uses a field that this library does not know */
#define MMCL_E_STATE       ((mmcl_status) -4)  /* the handle is not ready for this call, such as apply before fit */
#define MMCL_E_CANCELLED   ((mmcl_status) -10) /* mmcl_context_cancel, or a progress callback asked to stop */
#define MMCL_E_CALLBACK    ((mmcl_status) -11) /* a callback of the host failed; never originates in the library */
#define MMCL_E_NUMERIC     ((mmcl_status) -20) /* NaN, infinity, rank deficiency, an empty class: data that define no result */
#define MMCL_E_IO          ((mmcl_status) -30) /* the system refused to open, read, write or rename */
#define MMCL_E_FORMAT      ((mmcl_status) -31) /* the file is truncated, damaged or not of the format it claims */
#define MMCL_E_VERSION     ((mmcl_status) -32) /* the file was written by a newer library */
#define MMCL_E_UNSUPPORTED ((mmcl_status) -33) /* the file is valid, but holds what the library refuses, such as pickled objects */
#define MMCL_E_NOTFOUND    ((mmcl_status) -34) /* no such file, or no such key in it */

/*
 * Short English text for a status. Never NULL, whatever the value. Static storage.
 * Thread class: any thread. Allocates nothing.
 */
MMCL_API const char *mmcl_status_string(mmcl_status status);

/* ------------------------------------------------------------------------------------------------ element types --- */

typedef int32_t mmcl_dtype;

#define MMCL_F32  ((mmcl_dtype) 0) /* IEEE binary32: the default of a zeroed view */
#define MMCL_F64  ((mmcl_dtype) 1)
#define MMCL_F16  ((mmcl_dtype) 2) /* IEEE binary16 */
#define MMCL_BF16 ((mmcl_dtype) 3) /* the upper half of a binary32 */
#define MMCL_I8   ((mmcl_dtype) 8)
#define MMCL_U8   ((mmcl_dtype) 9)
#define MMCL_I16  ((mmcl_dtype) 10)
#define MMCL_U16  ((mmcl_dtype) 11)
#define MMCL_I32  ((mmcl_dtype) 12)
#define MMCL_U32  ((mmcl_dtype) 13)
#define MMCL_I64  ((mmcl_dtype) 14)
#define MMCL_U64  ((mmcl_dtype) 15)
#define MMCL_BOOL ((mmcl_dtype) 16) /* one byte, 0 or 1 */
#define MMCL_STR  ((mmcl_dtype) 24) /* fixed-width text; only as an array read from a file, never in a view */

/* Bytes of one element; 0 for MMCL_STR (its width varies) and for unknown values. Thread class: any thread. */
MMCL_API size_t mmcl_dtype_size(mmcl_dtype dtype);

/* Name such as "float32". Never NULL. Static storage. Thread class: any thread. */
MMCL_API const char *mmcl_dtype_name(mmcl_dtype dtype);

/* ------------------------------------------------------------------------------------------------------- matrix --- */

/*
 * Fills `out` with rows first_row ... first_row + n_rows - 1, row-major without gaps, in the dtype of the matrix and in the
 * byte order of the machine. May be called from several of the library's threads at once, for different rows, when the
 * context has more than one; and several times for the same rows, with the same answer. Returns MMCL_OK or any negative
 * status, which reaches the caller as MMCL_E_CALLBACK.
 */
typedef mmcl_status (*mmcl_read_rows_fn)(void *user, size_t first_row, size_t n_rows, void *out);

/*
 * A view of a matrix that the library only reads: rows are samples, columns are dimensions. The memory stays the caller's
 * and has to live for the duration of the call. The layout of this struct is frozen.
 *
 * A zeroed struct with data, rows and cols set describes a dense row-major float32 matrix. Float16, bfloat16 and float64
 * are converted on the fly, in tiles; an integer matrix is refused where features are expected.
 */
typedef struct mmcl_matrix {
    const void       *data;       /* element (0, 0); NULL when `read` supplies the rows */
    size_t            rows;
    size_t            cols;
    size_t            row_stride; /* elements from one row to the next; 0: cols */
    size_t            col_stride; /* elements from one column to the next; 0: 1 */
    mmcl_read_rows_fn read;       /* used when data is NULL */
    void             *read_user;
    mmcl_dtype        dtype;
    uint32_t          swapped;    /* 1: the elements at `data` have the other byte order than this machine */
} mmcl_matrix;

/* ---------------------------------------------------------------------------------------------------- callbacks --- */

/*
 * Where the library gets every byte it holds. `size` is never 0; `align` is a power of two. `free` receives the size and
 * alignment that `alloc` was asked for. Called only from the thread that called into the library.
 */
typedef struct mmcl_allocator {
    size_t struct_size;
    void  *user;
    void *(*alloc)(void *user, size_t size, size_t align); /* NULL when there is no memory */
    void  (*free)(void *user, void *ptr, size_t size, size_t align);
} mmcl_allocator;

/*
 * Threads lent by the host. `run` calls task(arg, i) once for each i in 0 ... n - 1, on any threads, in any order, at most
 * `width` at a time, and returns 0 when all have returned. n never exceeds width. The tasks neither allocate nor block on
 * each other, so running them one after the other is correct too. A nonzero answer is reported as MMCL_E_CALLBACK.
 */
typedef struct mmcl_executor {
    size_t   struct_size;
    void    *user;
    int32_t (*run)(void *user, uint32_t n, void (*task)(void *arg, uint32_t i), void *arg);
    uint32_t width;    /* at least 1 */
    uint32_t reserved; /* 0 */
} mmcl_executor;

/* How far a long operation has come. Valid only during the callback; members are appended in later versions. */
typedef struct mmcl_progress {
    size_t      struct_size;
    const char *operation; /* static text, such as "fastica" or "logistic regression" */
    uint64_t    step;      /* steps done */
    uint64_t    total;     /* steps at most; 0 when unknown */
    double      value;     /* what the operation drives down (residual, loss); NaN when there is none */
    double      seconds;   /* since the call began */
    uint32_t    finished;  /* 1 exactly once per call, in its last event, whatever the outcome */
    mmcl_status status;    /* the outcome, in that last event; MMCL_OK before */
} mmcl_progress;

/* Returns 0 to go on, anything else to stop the operation with MMCL_E_CANCELLED (ignored in the final event). */
typedef int32_t (*mmcl_progress_fn)(void *user, const mmcl_progress *progress);

typedef int32_t mmcl_log_level;

#define MMCL_LOG_WARNING ((mmcl_log_level) 1) /* the result may not be what the caller hopes for */
#define MMCL_LOG_INFO    ((mmcl_log_level) 2) /* what the library decided where the caller left a choice */

/* Receives one line without a newline, valid only during the call, on the thread that called into the library. */
typedef void (*mmcl_log_fn)(void *user, mmcl_log_level level, const char *text);

/* Random-access reading for hosts without files. `read_at` fills all of `buffer` or returns a negative status. */
typedef struct mmcl_stream {
    size_t      struct_size;
    void       *user;
    uint64_t    size; /* bytes in all */
    mmcl_status (*read_at)(void *user, uint64_t offset, void *buffer, size_t bytes);
} mmcl_stream;

/* Sequential writing for hosts without files. `write` takes all bytes or returns a negative status. */
typedef struct mmcl_sink {
    size_t      struct_size;
    void       *user;
    mmcl_status (*write)(void *user, const void *bytes, size_t n_bytes);
} mmcl_sink;

#ifdef __cplusplus
}
#endif

#endif
