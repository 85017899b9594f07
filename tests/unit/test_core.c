#include "suite.h"
#include "core/core.h"
#include "core/rng.h"

#include <check.h>
#include <string.h>

START_TEST(philox_known_answers)
{
    /* From the Random123 distribution's known-answer file. */
    const uint32_t counters[3][4] = {{0, 0, 0, 0}, {~0u, ~0u, ~0u, ~0u}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}};
    const uint32_t keys[3][2]     = {{0, 0}, {~0u, ~0u}, {0xa4093822, 0x299f31d0}};
    const uint32_t answers[3][4]  = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        mmcl__philox(counters[i], keys[i], out);
        ck_assert_mem_eq(out, answers[i], sizeof out);
    }
}
END_TEST

START_TEST(numpy_stream)
{
    /* numpy.random.RandomState(0).normal(size=3), RandomState(1).choice(10, 5, replace=False), RandomState(1).choice(7, 4). */
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, 0);
    ck_assert_double_eq(mmcl__numpy_normal(&rng), 1.764052345967664);
    ck_assert_double_eq(mmcl__numpy_normal(&rng), 0.4001572083672233);
    ck_assert_double_eq(mmcl__numpy_normal(&rng), 0.9787379841057392);
    size_t scratch[10], out[5];
    mmcl__numpy_seed(&rng, 1);
    mmcl__numpy_choice(&rng, 10, 5, scratch, out);
    const size_t drawn[5] = {2, 9, 6, 4, 0};
    ck_assert_mem_eq(out, drawn, sizeof drawn);
    mmcl__numpy_seed(&rng, 1);
    mmcl__numpy_choice_repeat(&rng, 7, 4, out);
    const size_t repeated[4] = {5, 3, 4, 0};
    ck_assert_mem_eq(out, repeated, sizeof repeated);
}
END_TEST

START_TEST(option_import)
{
    struct { size_t struct_size; uint64_t a, b; } theirs = {sizeof theirs, 1, 2};
    struct { size_t struct_size; uint64_t a; } ours;
    mmcl_context *context;
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    ck_assert_int_eq(mmcl__import(context, &ours, sizeof ours, sizeof ours, &theirs, "options"), MMCL_E_ABI);
    theirs.b = 0;
    ck_assert_int_eq(mmcl__import(context, &ours, sizeof ours, sizeof ours, &theirs, "options"), MMCL_OK);
    ck_assert_uint_eq(ours.a, 1);
    theirs.struct_size = 8;
    ck_assert_int_eq(mmcl__import(context, &ours, sizeof ours, sizeof ours, &theirs, "options"), MMCL_E_ABI);
    mmcl_context_destroy(context);
}
END_TEST

static void count_task(void *argument, size_t i, uint32_t worker)
{
    ck_assert_uint_lt(worker, 4);
    ((unsigned char *) argument)[i]++;
}

START_TEST(parallel_runs_each_task_once)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .threads = 4};
    mmcl_context              *context;
    unsigned char              seen[1000] = {0};
    ck_assert_int_eq(mmcl_context_create(&context, &options), MMCL_OK);
    for (int round = 0; round < 50; round++)
        ck_assert_int_eq(mmcl__parallel(context, 1000, count_task, seen), MMCL_OK);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(seen[i], 50);
    mmcl_context_destroy(context);
}
END_TEST

START_TEST(lanes_cover_everything)
{
    for (size_t n = 1; n < 200; n++) {
        mmcl__lanes lanes = mmcl__lanes_of(n, 1000);
        ck_assert_uint_eq(mmcl__lane_begin(&lanes, 0), 0);
        ck_assert_uint_eq(mmcl__lane_begin(&lanes, lanes.count), n);
        for (size_t i = 0; i < lanes.count; i++)
            ck_assert_uint_lt(mmcl__lane_begin(&lanes, i), mmcl__lane_begin(&lanes, i + 1));
    }
}
END_TEST

/* Blocks go back in any order; what is behind the last one that is held is free again. */
START_TEST(annexes_reuse_their_room)
{
    mmcl_context    *context;
    mmcl__annex      annex;
    mmcl_memory_info memory = {.struct_size = sizeof memory};
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    ck_assert_int_eq(mmcl__annex_open(&annex, context, 4 * MMCL__ALIGN), MMCL_OK);
    for (int round = 0; round < 3; round++) {
        char *first = mmcl__alloc(&annex.context, 1, 1), *second = mmcl__alloc(&annex.context, MMCL__ALIGN + 1, 1);
        char *third = mmcl__alloc(&annex.context, 5, 1);
        ck_assert(first != NULL && second == first + MMCL__ALIGN && third == second + 2 * MMCL__ALIGN);
        ck_assert_ptr_null(mmcl__alloc(&annex.context, 1, 1));
        ck_assert_int_ne(annex.context.message[0], '\0');
        mmcl__free(&annex.context, second, MMCL__ALIGN + 1, 1);
        ck_assert_ptr_null(mmcl__alloc(&annex.context, 1, 1)); /* the third is held behind it */
        mmcl__free(&annex.context, third, 5, 1);
        ck_assert_ptr_eq(mmcl__alloc(&annex.context, 3 * MMCL__ALIGN, 1), second);
        mmcl__free(&annex.context, first, 1, 1);
        mmcl__free(&annex.context, second, 3 * MMCL__ALIGN, 1);
    }
    mmcl__annex_close(&annex);
    ck_assert_int_eq(mmcl_context_memory(context, &memory), MMCL_OK);
    ck_assert_uint_eq(memory.live_blocks, 1);
    mmcl_context_destroy(context);
}
END_TEST

static int32_t remember(void *user, const mmcl_progress *progress)
{
    mmcl_progress *last = user;
    last->finished += progress->finished;
    last->step   = progress->step;
    last->status = progress->status;
    return progress->step == 3;
}

START_TEST(operations_nest_and_finish_once)
{
    mmcl_progress last = {0};
    const mmcl_context_options options = {.struct_size = sizeof options, .progress = remember, .progress_user = &last};
    mmcl_context   *context;
    mmcl__operation outer, inner;
    ck_assert_int_eq(mmcl_context_create(&context, &options), MMCL_OK);
    mmcl__begin(&outer, context, "outer", 2);
    mmcl__begin(&inner, context, "inner", 5);
    ck_assert_int_eq(mmcl__tick(&inner, 1, 0), MMCL_OK);
    ck_assert_int_eq(mmcl__tick(&inner, 3, 0), MMCL_E_CANCELLED);
    ck_assert_int_eq(mmcl__end(&inner, MMCL_E_CANCELLED), MMCL_E_CANCELLED);
    ck_assert_uint_eq(last.finished, 0);
    ck_assert_int_eq(mmcl__end(&outer, MMCL_E_CANCELLED), MMCL_E_CANCELLED);
    ck_assert_uint_eq(last.finished, 1);
    ck_assert_int_eq(last.status, MMCL_E_CANCELLED);
    mmcl_context_cancel(context);
    mmcl__begin(&outer, context, "outer", 2);
    ck_assert_int_eq(mmcl__tick(&outer, 0, 0), MMCL_E_CANCELLED);
    mmcl__end(&outer, MMCL_E_CANCELLED);
    mmcl_context_cancel_clear(context);
    ck_assert_int_eq(mmcl__check_cancel(context), MMCL_OK);
    mmcl_context_destroy(context);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core");
    TCase *tcase = tcase_create("core");
    tcase_add_test(tcase, philox_known_answers);
    tcase_add_test(tcase, numpy_stream);
    tcase_add_test(tcase, option_import);
    tcase_add_test(tcase, parallel_runs_each_task_once);
    tcase_add_test(tcase, lanes_cover_everything);
    tcase_add_test(tcase, annexes_reuse_their_room);
    tcase_add_test(tcase, operations_nest_and_finish_once);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
