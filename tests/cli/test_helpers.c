/* The command's own helpers: options, JSON, suggestions, plot. */
#include "args.h"
#include "json.h"
#include "memory.h"
#include "svg.h"
#include "terminal.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    bool        flag;
    const char *text;
    text_list   list, parts;
    uint64_t    count;
    count_list  counts;
    double      real;
    int32_t     choice;
} settings;

static const char *const colours[] = {"red", "green", NULL};

static const cli_option table[] = {
    {"flag", OPTION_FLAG, offsetof(settings, flag), NULL, "", NULL, 0, 0},
    {"text", OPTION_TEXT, offsetof(settings, text), "T", "", NULL, 0, 0},
    {"list", OPTION_LIST, offsetof(settings, list), "L", "", NULL, 0, 0},
    {"parts", OPTION_PARTS, offsetof(settings, parts), "P", "", NULL, 0, 0},
    {"count", OPTION_COUNT, offsetof(settings, count), "N", "", NULL, 1, 100},
    {"counts", OPTION_COUNTS, offsetof(settings, counts), "N", "", NULL, 1, UINT64_MAX},
    {"real", OPTION_REAL, offsetof(settings, real), "X", "", NULL, 0, 0},
    {"choice", OPTION_CHOICE, offsetof(settings, choice), NULL, "", colours, 0, 0},
    {0},
};
static const cli_option *const tables[] = {table, NULL};

static int parse(int argc, const char *const *argv, settings *out, text_list *operands)
{
    bool help;
    *out      = (settings){0};
    *operands = (text_list){0};
    return args_parse(tables, argc, (char **) argv, out, operands, &help);
}

static void release(settings *given, text_list *operands)
{
    args_free(tables, given);
    text_list_free(operands);
}

START_TEST(options_are_read)
{
    const char *argv[] = {"a", "--flag", "--text=x=y", "--list", "one", "--list=two", "--parts", "p,q", "--count", "100",
                          "--counts", "1,18446744073709551615", "--real", ".5e1", "--choice=green", "-", "--", "--flag"};
    settings    s;
    text_list   operands;
    ck_assert_int_eq(parse(sizeof argv / sizeof *argv, argv, &s, &operands), EXIT_OK);
    ck_assert(s.flag);
    ck_assert_str_eq(s.text, "x=y");
    ck_assert_uint_eq(s.list.count, 2);
    ck_assert_str_eq(s.list.items[1], "two");
    ck_assert_uint_eq(s.parts.count, 2);
    ck_assert_uint_eq(s.count, 100);
    ck_assert_uint_eq(s.counts.items[1], UINT64_MAX);
    ck_assert_double_eq(s.real, 5);
    ck_assert_int_eq(s.choice, 1);
    ck_assert_uint_eq(operands.count, 3);
    ck_assert_str_eq(operands.items[2], "--flag");
    release(&s, &operands);
}
END_TEST

static const char *const bad[] = {"--count=0", "--count=101", "--count=+1", "--count= 1", "--count=", "--counts=1,", "--counts=,1",
                                  "--counts=18446744073709551616", "--real=1e", "--real=1e+", "--real=.", "--real=e5", "--real=0",
                                  "--real=-1", "--real=inf", "--real=0x1", "--real=1,5", "--real=1e999", "--choice=Red", "--choice=",
                                  "--text=", "--parts=,", "--flag=1", "--fla", "-f", "--text"};

START_TEST(bad_values_are_refused)
{
    settings  s;
    text_list operands;
    ck_assert_int_eq(parse(1, &bad[_i], &s, &operands), EXIT_USAGE);
    release(&s, &operands);
}
END_TEST

START_TEST(the_nearest_name_is_found)
{
    static const char *const names[] = {"shots", "seed", "seeds", "transform", "threads", NULL};
    ck_assert_str_eq(args_nearest("shot", names), "shots");
    ck_assert_str_eq(args_nearest("sede", names), "seed");
    ck_assert_str_eq(args_nearest("trasnform", names), "transform");
    ck_assert_str_eq(args_nearest("tr", names), "transform");
    ck_assert_ptr_null(args_nearest("zzzzzzz", names));
}
END_TEST

START_TEST(json_is_escaped_and_exact)
{
    json_writer out = {0};
    json_open_object(&out, NULL);
    json_text(&out, "a\"\\\n", "\x01 \xc3\xa9 \xff \xc0\xaf \xed\xa0\x80");
    json_open_list(&out, "l");
    json_real(&out, NULL, 0.1);
    json_real(&out, NULL, NAN);
    json_real(&out, NULL, -INFINITY);
    json_count(&out, NULL, UINT64_MAX);
    json_integer(&out, NULL, -3);
    json_flag(&out, NULL, true);
    json_text(&out, NULL, NULL);
    json_open_object(&out, NULL);
    json_count(&out, "deep", 1);
    json_close(&out);
    json_close(&out);
    json_close(&out);
    ck_assert_str_eq(out.text, "{\n  \"a\\\"\\\\\\u000a\": \"\\u0001 \xc3\xa9 \\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd\",\n"
                               "  \"l\": [\n    0.1,\n    null,\n    null,\n    18446744073709551615,\n    -3,\n    true,\n    null,\n"
                               "    {\"deep\": 1}\n  ]\n}\n");
    json_free(&out);
}
END_TEST

START_TEST(reals_read_back_the_same)
{
    static const double values[] = {0, 0.1, 1.0 / 3, 1e-7, 5e-324, 1.7976931348623157e308, 123456789.123456789, -0.81};
    json_writer         out      = {0};
    json_real(&out, NULL, values[_i]);
    ck_assert_double_eq(strtod(out.text, NULL), values[_i]);
    ck_assert_uint_le(strlen(out.text), 24);
    json_free(&out);
}
END_TEST

START_TEST(a_plot_is_complete)
{
    plot_point  points[] = {{1, 0.5, 0}, {2, NAN, 0}, {16, 0.75, 0.01}};
    plot_line   lines[]  = {{points, 3}, {points, 3}};
    plot_panel  panels[] = {{"set <1>", lines}};
    const char *names[]  = {"raw", "a&b"};
    char       *text     = NULL;
    size_t      size     = 0;
    FILE       *file     = open_memstream(&text, &size);
    svg_write(file, &(svg_plot){"title", "x", "y", panels, 1, names, 2});
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "set &lt;1&gt;"));
    ck_assert_ptr_nonnull(strstr(text, "a&amp;b, 16: 75.00 %"));
    ck_assert_ptr_null(strstr(text, "nan"));
    ck_assert_str_eq(text + size - 7, "</svg>\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command helpers");
    TCase *all   = tcase_create("all");
    tcase_add_test(all, options_are_read);
    tcase_add_loop_test(all, bad_values_are_refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(all, the_nearest_name_is_found);
    tcase_add_test(all, json_is_escaped_and_exact);
    tcase_add_loop_test(all, reals_read_back_the_same, 0, 8);
    tcase_add_test(all, a_plot_is_complete);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
