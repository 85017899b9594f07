#include "suite.h"
#include "linalg/blas.h"
#include "linalg/convert.h"
#include "linalg/matrix.h"

#include <check.h>
#include <math.h>
#include <string.h>

static mmcl_context *context;

static void setup(void)
{
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

START_TEST(half_round_trip)
{
    for (uint32_t code = 0; code < 65536; code++) {
        uint16_t half  = (uint16_t) code;
        float    value = mmcl__f16_to_f32(half), fast;
        mmcl__convert()->f16_to_f32(1, &half, &fast);
        if (isnan(value)) {
            ck_assert(isnan(fast) && isnan(mmcl__f16_to_f32(mmcl__f32_to_f16(value))));
            continue;
        }
        ck_assert_mem_eq(&value, &fast, sizeof value);
        ck_assert_uint_eq(mmcl__f32_to_f16(value), half);
    }
    ck_assert_uint_eq(mmcl__f32_to_f16(1.0f + 0x1p-11f), 0x3c00);           /* a tie goes to even */
    ck_assert_uint_eq(mmcl__f32_to_f16(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);
    ck_assert_uint_eq(mmcl__f32_to_f16(1e6f), 0x7c00);
    ck_assert_uint_eq(mmcl__f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
}
END_TEST

START_TEST(kernels_equal_reference)
{
    const mmcl__convert_kernels *fast = mmcl__convert(), *slow = &mmcl__convert_reference;
    enum { n = 131 };
    float  a[n + 1], b[n + 1];
    double wide[n], x[n + 1], y[n + 1];
    for (size_t i = 0; i < n; i++)
        wide[i] = sin((double) i) * exp((double) i - 60);
    for (size_t count = 0; count <= n; count++) {
        a[count] = b[count] = 7;
        x[count] = y[count] = 7; /* canaries behind the last element */
        fast->f64_to_f32(count, wide, a);
        slow->f64_to_f32(count, wide, b);
        ck_assert_mem_eq(a, b, (count + 1) * sizeof *a);
        fast->f32_to_f64(count, a, x);
        slow->f32_to_f64(count, a, y);
        ck_assert_mem_eq(x, y, (count + 1) * sizeof *x);
    }
    for (size_t i = 0; i < n; i++)
        a[i] = 1;
    for (size_t i = 0; i < n; i++) {
        ck_assert(fast->finite_f32(n, a));
        a[i] = i % 2 ? NAN : -INFINITY;
        ck_assert(!fast->finite_f32(n, a) && !slow->finite_f32(n, a));
        a[i] = 1;
    }
}
END_TEST

START_TEST(eigen_decomposition)
{
    const double m[9] = {2, 1, 0, 0, 3, 1, 0, 0, 4}; /* upper triangle */
    double       a[9], values[3];
    memcpy(a, m, sizeof a);
    ck_assert_int_eq(mmcl__eigsym(context, 3, a, values), MMCL_OK);
    ck_assert(values[0] > values[1] && values[1] > values[2]);
    double full[9];
    memcpy(full, m, sizeof full);
    mmcl__symmetrize(3, full, 3);
    for (int v = 0; v < 3; v++)
        for (int i = 0; i < 3; i++) {
            double product = 0;
            for (int j = 0; j < 3; j++)
                product += full[3 * i + j] * a[3 * v + j];
            ck_assert_double_eq_tol(product, values[v] * a[3 * v + i], 1e-12);
        }
}
END_TEST

START_TEST(positive_definite_solve)
{
    double a[4] = {4, 1, 0, 3}, b[4] = {1, 2, 3, 4};
    ck_assert_int_eq(mmcl__solve_spd(context, 2, 2, a, b), MMCL_OK);
    ck_assert_double_eq_tol(4 * b[0] + b[2], 1, 1e-12);
    ck_assert_double_eq_tol(b[1] + 3 * b[3], 4, 1e-12);
    double singular[4] = {1, 1, 0, 1}, c[2] = {1, 1};
    ck_assert_int_eq(mmcl__solve_spd(context, 2, 1, singular, c), MMCL_E_NUMERIC);
}
END_TEST

static mmcl_status read_counting(void *user, size_t first, size_t n, void *out)
{
    mmcl_dtype dtype = *(mmcl_dtype *) user;
    for (size_t i = 0; i < n * 3; i++) {
        double value = (double) (first * 3 + i) / 4;
        if (dtype == MMCL_F64)
            ((double *) out)[i] = value;
        else if (dtype == MMCL_F32)
            ((float *) out)[i] = (float) value;
        else
            ((uint16_t *) out)[i] = mmcl__f32_to_f16((float) value);
    }
    return first > 900 ? MMCL_E_IO : MMCL_OK;
}

START_TEST(every_layout_reads_the_same)
{
    mmcl_dtype dtypes[] = {MMCL_F32, MMCL_F64, MMCL_F16};
    static float    f32[2700];
    static double   f64[2700];
    static uint16_t f16[2700], swapped[2700];
    float  out[900];
    double wide[900];
    for (size_t i = 0; i < 2700; i++) {
        f64[i] = (double) i / 4;
        f32[i] = (float) f64[i];
        f16[i] = mmcl__f32_to_f16(f32[i]);
        swapped[i] = (uint16_t) (f16[i] << 8 | f16[i] >> 8);
    }
    mmcl_matrix views[8] = {
        {.data = f32, .rows = 900, .cols = 3, .dtype = MMCL_F32},
        {.data = f64, .rows = 900, .cols = 3, .dtype = MMCL_F64},
        {.data = f16, .rows = 900, .cols = 3, .dtype = MMCL_F16},
        {.data = swapped, .rows = 900, .cols = 3, .dtype = MMCL_F16, .swapped = 1},
        {.rows = 1000, .cols = 3, .dtype = MMCL_F32, .read = read_counting, .read_user = &dtypes[0]},
        {.rows = 1000, .cols = 3, .dtype = MMCL_F64, .read = read_counting, .read_user = &dtypes[1]},
        {.rows = 1000, .cols = 3, .dtype = MMCL_F16, .read = read_counting, .read_user = &dtypes[2]},
        {.data = f32, .rows = 900, .cols = 3, .row_stride = 3, .col_stride = 1, .dtype = MMCL_F32},
    };
    for (int v = 0; v < 8; v++) {
        ck_assert_int_eq(mmcl__matrix_check(context, &views[v], "view"), MMCL_OK);
        ck_assert_int_eq(mmcl__read_f32(&views[v], 100, 300, out, NULL), MMCL_OK);
        ck_assert_int_eq(mmcl__read_f64(&views[v], 100, 300, wide, NULL), MMCL_OK);
        for (size_t i = 0; i < 900; i++) {
            float expected = v == 2 || v == 3 || v == 6 ? mmcl__f16_to_f32(f16[300 + i]) : f32[300 + i];
            ck_assert_float_eq(out[i], expected);
            ck_assert_double_eq(wide[i], (double) expected);
        }
    }
    ck_assert_int_eq(mmcl__read_f32(&views[4], 950, 2, out, NULL), MMCL_E_CALLBACK);
    /* Fortran order: element (i, j) at j * rows + i. */
    mmcl_matrix columns = {.data = f32, .rows = 4, .cols = 2, .row_stride = 1, .col_stride = 4};
    ck_assert_int_eq(mmcl__matrix_check(context, &columns, "view"), MMCL_OK);
    ck_assert_int_eq(mmcl__read_f32(&columns, 1, 2, out, NULL), MMCL_OK);
    const float expected[4] = {f32[1], f32[5], f32[2], f32[6]};
    ck_assert_mem_eq(out, expected, sizeof expected);
}
END_TEST

START_TEST(stacked_parts)
{
    float       a[4] = {0, 1, 2, 3}, b[6] = {4, 5, 6, 7, NAN, 9}, out[10];
    mmcl_matrix parts[3] = {{.data = a, .rows = 2, .cols = 2}, {.rows = 0, .cols = 2}, {.data = b, .rows = 3, .cols = 2}};
    mmcl__rows  rows;
    ck_assert_int_eq(mmcl__rows_open(context, &rows, parts, 3, "parts"), MMCL_OK);
    ck_assert_uint_eq(rows.rows, 5);
    size_t      part;
    mmcl__place place;
    ck_assert_int_eq(mmcl__rows_read_f32(&rows, 1, 3, out, &part, &place), MMCL_OK);
    ck_assert_float_eq(out[0], 2);
    ck_assert_float_eq(out[5], 7);
    ck_assert_int_eq(mmcl__rows_read_f32(&rows, 0, 5, out, &part, &place), MMCL_E_NUMERIC);
    ck_assert(part == 2 && place.row == 2 && place.col == 0);
    mmcl__rows_close(context, &rows);
    parts[2].cols = 3;
    ck_assert_int_eq(mmcl__rows_open(context, &rows, parts, 3, "parts"), MMCL_E_INVAL);
    ck_assert_str_eq(mmcl_context_message(context), "parts[2]: 3 columns, expected 2 as in parts[0]");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("linalg");
    TCase *tcase = tcase_create("linalg");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, half_round_trip);
    tcase_add_test(tcase, kernels_equal_reference);
    tcase_add_test(tcase, eigen_decomposition);
    tcase_add_test(tcase, positive_definite_solve);
    tcase_add_test(tcase, every_layout_reads_the_same);
    tcase_add_test(tcase, stacked_parts);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
