/*
 * Times loss and gradients of the symmetric contrastive objective: bench_objective KIND N D [REPEATS [THREADS [CACHE_MB]]], KIND one of
 * dot, cosine, squared, l1 and siglip; or the yardstick, bench_objective sgemm N D [REPEATS [THREADS]]: each thread by itself computes
 * products of [N, D] by [D, N], 200 in a repeat. One JSON line with the best repeat; a peer for the same work prints a like one.
 */
#include <mmcl/mmcl.h>

#include "linalg/blas.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double) at.tv_sec + 1e-9 * (double) at.tv_nsec;
}

static uint64_t state = 1;

static double uniform(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double) (state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static float *rows_of(size_t n, size_t d, int unit)
{
    float *rows = malloc(n * d * sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t k = 0; k < d; k++) {
            rows[i * d + k] = (float) normal();
            square += rows[i * d + k] * (double) rows[i * d + k];
        }
        for (size_t k = 0; unit && k < d; k++)
            rows[i * d + k] = (float) (rows[i * d + k] / sqrt(square));
    }
    return rows;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_objective dot|cosine|squared|l1|siglip|sgemm N D [REPEATS [THREADS [CACHE_MB]]]\n");
    return 2;
}

enum { PRODUCTS = 200, MOST_THREADS = 64 };

typedef struct products {
    size_t n, d;
    float *a, *b, *c;
} products;

static void *multiply(void *argument)
{
    const products *p = argument;
    for (int i = 0; i < PRODUCTS; i++)
        mmcl__gemm_f32(false, false, p->n, p->n, p->d, 1, p->a, p->d, p->b, p->n, 0, p->c, p->n);
    return NULL;
}

static int time_products(size_t n, size_t d, int repeats, uint32_t threads)
{
    pthread_t running[MOST_THREADS];
    products  work[MOST_THREADS];
    double    best = INFINITY, gigaflop = 2e-9 * PRODUCTS * threads * (double) n * (double) n * (double) d;
    if (threads == 0 || threads > MOST_THREADS)
        return usage();
    for (uint32_t i = 0; i < threads; i++)
        work[i] = (products){.n = n, .d = d, .a = rows_of(n, d, 1), .b = rows_of(d, n, 1), .c = rows_of(n, n, 0)};
    mmcl__blas_enter(MMCL_BLAS_ONE_THREAD);
    for (int k = 0; k <= repeats; k++) {
        double began = now();
        for (uint32_t i = 0; i < threads; i++)
            pthread_create(&running[i], NULL, multiply, &work[i]);
        for (uint32_t i = 0; i < threads; i++)
            pthread_join(running[i], NULL);
        best = fmin(best, now() - began);
    }
    mmcl__blas_leave(MMCL_BLAS_ONE_THREAD);
    printf("{\"yardstick\": \"sgemm\", \"n\": %zu, \"d\": %zu, \"threads\": %u, \"gflops\": %.1f}\n", n, d, threads, gigaflop / best);
    return 0;
}

int main(int argc, char **argv)
{
    const char *const names[] = {"dot", "cosine", "squared", "l1", "siglip"};
    int               kind = 0;
    while (argc > 1 && kind < 5 && strcmp(argv[1], names[kind]) != 0)
        kind++;
    int yardstick = argc > 1 && strcmp(argv[1], "sgemm") == 0;
    if (argc < 4 || (kind == 5 && !yardstick))
        return usage();
    size_t   n = strtoul(argv[2], NULL, 10), d = strtoul(argv[3], NULL, 10);
    int      repeats = argc > 4 ? atoi(argv[4]) : 3;
    uint32_t threads = argc > 5 ? (uint32_t) atoi(argv[5]) : 2;
    uint64_t cache   = argc > 6 ? strtoull(argv[6], NULL, 10) << 20 : 0;
    if (yardstick)
        return time_products(n, d, repeats, threads);

    const mmcl_context_options   own = {.struct_size = sizeof own, .threads = threads};
    const mmcl_objective_options options = {.struct_size = sizeof options,
                                            .similarity  = kind < 4 ? kind : MMCL_SIMILARITY_DOT,
                                            .loss        = kind == 4 ? MMCL_LOSS_SIGLIP : MMCL_LOSS_INFONCE,
                                            .cache_bytes = cache};
    float *x = rows_of(n, d, kind == 0 || kind == 4), *t = rows_of(n, d, kind == 0 || kind == 4);
    float *dx = malloc(n * d * sizeof *dx), *dt = malloc(n * d * sizeof *dt);
    mmcl_matrix           xs = {.data = x, .rows = n, .cols = d}, ts = {.data = t, .rows = n, .cols = d};
    mmcl_objective_input  input = {.struct_size = sizeof input, .x = &xs, .t = &ts, .scale = kind < 2 && d > 64 ? 100 : 1, .bias = kind == 4 ? -10 : 0};
    mmcl_objective_output output = {.struct_size = sizeof output, .dx = dx, .dt = dt};
    mmcl_objective_info   info = {.struct_size = sizeof info};
    mmcl_memory_info      memory = {.struct_size = sizeof memory};
    mmcl_context         *context = NULL;
    mmcl_objective       *objective = NULL;
    double                best = INFINITY;
    mmcl_status           status = mmcl_context_create(&context, &own);
    if (status == MMCL_OK)
        status = mmcl_objective_create(&objective, context, &options);
    for (int i = 0; i <= repeats && status == MMCL_OK; i++) {
        double began = now();
        status       = mmcl_objective_evaluate(objective, &input, &output, &info);
        best         = i > 0 || repeats == 0 ? fmin(best, now() - began) : best;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (status != MMCL_OK || mmcl_context_memory(context, &memory) != MMCL_OK)
        fprintf(stderr, "%s\n", mmcl_context_message(context));
    double pairs = (double) n * (double) n;
    printf("{\"ours\": \"mmcl\", \"kind\": \"%s\", \"n\": %zu, \"d\": %zu, \"threads\": %u, \"seconds\": %.6f, \"loss\": %.9g, "
           "\"library_mb\": %.2f, \"peak_mb\": %.1f, \"gflops\": %.1f, \"ns_per_pair\": %.3f, \"cached\": %llu}\n",
           argv[1], n, d, threads, best, info.loss, (double) memory.peak_bytes / 1048576, (double) usage.ru_maxrss / 1024,
           8e-9 * pairs * (double) d / best, 1e9 * best / pairs, (unsigned long long) info.cached);
    mmcl_objective_destroy(objective);
    mmcl_context_destroy(context);
    return status != MMCL_OK;
}
