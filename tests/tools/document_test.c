/* Files that appear whole or not at all, and the JSON and SVG that are written that way. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/chart.h"
#include "tools/json.h"

static char folder[] = "/tmp/kolo-document-XXXXXX";
static char path[256];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);         /* may not be there */
    return rmdir(folder); /* fails if anything else was left behind */
}

static void read_back(char *text, size_t bytes)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, bytes - 1, file);
    text[length] = 0;
    fclose(file);
}

static void json_is_exact(void **state)
{
    (void)state;
    struct json json;
    char text[1024];
    assert_true(json_open(&json, path));
    json_begin_object(&json);
    json_key(&json, "text");
    json_string(&json, "a\"b\\c\n\x80 \xc3\xa9 \xed\xa0\x80");
    json_key(&json, "numbers");
    json_begin_array(&json);
    json_number(&json, 0.125);
    json_number(&json, NAN);
    json_number(&json, -INFINITY);
    json_integer(&json, INT64_MIN);
    json_end_array(&json);
    json_key(&json, "empty");
    json_begin_object(&json);
    json_end_object(&json);
    json_key(&json, "null");
    json_string(&json, NULL);
    json_key(&json, "yes");
    json_bool(&json, true);
    json_end_object(&json);
    assert_int_equal(access(path, F_OK), -1); /* not before the end */
    assert_true(json_close(&json));
    read_back(text, sizeof text);
    assert_string_equal(text, "{\n"
                              "  \"text\": \"a\\\"b\\\\c\\u000a\\ufffd \xc3\xa9 "
                              "\\ufffd\\ufffd\\ufffd\",\n"
                              "  \"numbers\": [\n"
                              "    0.125,\n"
                              "    null,\n"
                              "    null,\n"
                              "    -9223372036854775808\n"
                              "  ],\n"
                              "  \"empty\": {},\n"
                              "  \"null\": null,\n"
                              "  \"yes\": true\n"
                              "}\n");
}

static void missing_folder_is_an_error(void **state)
{
    (void)state;
    struct json json;
    char nowhere[512];
    snprintf(nowhere, sizeof nowhere, "%s/none/file", folder);
    assert_false(json_open(&json, nowhere));
    assert_int_equal(errno, ENOENT);
    struct chart chart = {.title = "t", .x_label = "x", .y_label = "y"};
    assert_false(chart_write_svg(&chart, nowhere));
    assert_int_equal(errno, ENOENT);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    FILE *old = fopen(path, "w");
    assert_non_null(old);
    fputs("old", old);
    fclose(old);
    struct whole_file file;
    assert_true(whole_file_open(&file, path));
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    fclose(file.stream);
    file.stream = full;
    fputs("new", file.stream);
    assert_false(whole_file_close(&file));
    assert_int_equal(errno, ENOSPC);
    char text[16];
    read_back(text, sizeof text);
    assert_string_equal(text, "old");
}

/* How often `part` occurs in `text`. */
static int occurrences(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

static void chart_has_its_parts(void **state)
{
    (void)state;
    static const double x[] = {0, 1, 2, 3}, y[] = {5.5, 3, 2.5, 2.4};
    struct chart chart = {.title = "A & B <now>",
                          .x_label = "step",
                          .y_label = "loss",
                          .series = {{.name = "one", .x = x, .y = y, .count = 4},
                                     {.name = "two", .x = x, .y = y, .count = 4, .marked = true}},
                          .series_count = 2};
    static char text[65536];
    assert_true(chart_write_svg(&chart, path));
    read_back(text, sizeof text);
    assert_non_null(strstr(text, "A &amp; B &lt;now&gt;"));
    assert_int_equal(occurrences(text, "<polyline"), 2);
    assert_int_equal(occurrences(text, "<circle"), 4);
    assert_non_null(strstr(text, ">one<"));
    assert_non_null(strstr(text, "</svg>\n"));
    assert_null(strstr(text, "nan"));
}

static void chart_of_little_is_still_a_chart(void **state)
{
    (void)state;
    static const double x[] = {7}, y[] = {0};
    struct chart chart = {.title = "t",
                          .x_label = "x",
                          .y_label = "y",
                          .series = {{.name = "one", .x = x, .y = y, .count = 0}},
                          .series_count = 1};
    static char text[65536];
    for (chart.series[0].count = 0; chart.series[0].count <= 1; chart.series[0].count++) {
        assert_true(chart_write_svg(&chart, path));
        read_back(text, sizeof text);
        assert_null(strstr(text, "nan"));
        assert_null(strstr(text, "inf"));
        assert_non_null(strstr(text, "</svg>\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_is_exact, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(missing_folder_is_an_error, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_file, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(chart_has_its_parts, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(chart_of_little_is_still_a_chart, make_folder,
                                        remove_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
