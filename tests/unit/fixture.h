/* A context for each test of a program. */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

#include <mmcl/mmcl.h>

#include "suite.h"

static mmcl_context *context;

static void setup(void)
{
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))

#endif
