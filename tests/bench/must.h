/* The context of a program that ends, with what went wrong, at the first failure. */
#ifndef TESTS_BENCH_MUST_H
#define TESTS_BENCH_MUST_H

#include <mmcl/mmcl.h>

#include <stdio.h>
#include <stdlib.h>

static mmcl_context *context;

static void must(mmcl_status status)
{
    if (status == MMCL_OK)
        return;
    fprintf(stderr, "%s\n", mmcl_context_message(context));
    exit(2);
}

#endif
