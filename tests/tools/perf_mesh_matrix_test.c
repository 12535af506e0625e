/* The tournament, the judgement, and the picture of `kolo perf mesh`. */
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

#include "tools/perf_mesh_report.h"

#define TRIED_MAX 65

/* Everybody meets everybody once, nobody is in two pairs of a round, and no round is wasted. */
static void tournaments(void **state)
{
    (void)state;
    assert_int_equal(mesh_rounds(0), 0);
    assert_int_equal(mesh_rounds(1), 0);
    assert_int_equal(mesh_rounds(2), 1);
    assert_int_equal(mesh_rounds(MESH_HOSTS_MAX), MESH_HOSTS_MAX - 1);
    for (unsigned hosts = 2; hosts <= TRIED_MAX; hosts++) {
        bool met[TRIED_MAX][TRIED_MAX] = {{false}};
        unsigned all = 0;
        for (unsigned round = 0; round < mesh_rounds(hosts); round++) {
            struct mesh_pair pairs[MESH_HOSTS_MAX / 2];
            bool busy[TRIED_MAX] = {false};
            unsigned count = mesh_round(pairs, hosts, round);
            assert_int_equal(count, hosts / 2);
            for (unsigned i = 0; i < count; i++) {
                unsigned one = pairs[i].one, other = pairs[i].other;
                assert_true(one < other && other < hosts);
                assert_false(busy[one] || busy[other] || met[one][other]);
                busy[one] = busy[other] = met[one][other] = true;
                all++;
            }
        }
        assert_int_equal(all, hosts * (hosts - 1) / 2);
    }
}

/* So many hosts whose directions all have about this bandwidth (1 % of spread) and latency. */
static void make(struct mesh_matrix *matrix, unsigned hosts, double bandwidth_Bps,
                 double latency_us)
{
    assert_true(mesh_matrix_init(matrix, hosts));
    for (unsigned i = 0; i < hosts; i++) {
        snprintf(matrix->host[i].name, sizeof matrix->host[i].name, "h%u", i);
        matrix->host[i].answers = true;
        for (unsigned k = 0; k < hosts; k++) {
            double spread = 1 + 0.01 * ((i * 7 + k * 3) % 5 - 2.0) / 2;
            struct mesh_figure figure = {.status = KOLO_OK,
                                         .test = "tcp",
                                         .bandwidth_Bps = bandwidth_Bps * spread,
                                         .latency_us = latency_us * spread,
                                         .latency_p99_us = 2 * latency_us};
            if (i != k) {
                mesh_note(matrix, i, k, &figure);
            }
        }
    }
}

/* What the report says, in a buffer of the caller. */
static const char *print(char text[16384], const struct mesh_matrix *matrix)
{
    FILE *file = fmemopen(text, 16384, "w");
    assert_non_null(file);
    mesh_report_print(file, matrix);
    fclose(file);
    return text;
}

static void all_is_well(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    make(&matrix, 5, 1e9, 10);
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.measured, 20);
    assert_int_equal(matrix.slow + matrix.failed + matrix.silent, 0);
    assert_true(fabs(matrix.median_Bps - 1e9) < 1e7);
    assert_null(strstr(print(text, &matrix), "slow"));
    mesh_matrix_free(&matrix);
}

static void a_slow_direction(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    make(&matrix, 4, 1e9, 10);
    mesh_at(&matrix, 2, 1)->bandwidth_Bps = 0.5e9;
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.slow, 1);
    assert_true(mesh_at(&matrix, 2, 1)->slow_bandwidth);
    print(text, &matrix);
    assert_non_null(strstr(text, "slow direction: h2 -> h1: 4 Gbit/s, 50 % below the median; 8"));
    assert_null(strstr(text, "slow pair"));
    assert_null(strstr(text, "slow host"));
    mesh_matrix_free(&matrix);
}

static void a_slow_pair(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    make(&matrix, 4, 1e9, 10);
    mesh_at(&matrix, 0, 3)->bandwidth_Bps = 0.25e9;
    mesh_at(&matrix, 3, 0)->bandwidth_Bps = 0.5e9;
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.slow, 2);
    print(text, &matrix);
    assert_non_null(strstr(text, "slow pair: h0 <-> h3: 2 and 4 Gbit/s, 75 % and 50 % below"));
    mesh_matrix_free(&matrix);
}

static void a_slow_host(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    make(&matrix, 6, 1e9, 10);
    for (unsigned i = 0; i < 5; i++) {
        mesh_at(&matrix, i, 5)->bandwidth_Bps = mesh_at(&matrix, 5, i)->bandwidth_Bps = 1e8;
    }
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.slow, 10);
    assert_true(matrix.host[5].slow);
    assert_false(matrix.host[0].slow);
    assert_non_null(strstr(print(text, &matrix), "slow host: h5"));
    mesh_matrix_free(&matrix);
}

/* Where figures spread by themselves, a quarter below the median is nothing. */
static void a_noisy_network(void **state)
{
    (void)state;
    struct mesh_matrix matrix;
    make(&matrix, 6, 1e9, 10);
    for (unsigned i = 0; i < 36; i++) {
        matrix.cell[i].bandwidth_Bps *= 0.7 + 0.02 * i;
    }
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.slow, 0);
    mesh_at(&matrix, 1, 2)->bandwidth_Bps = 1e6;
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.slow, 1);
    mesh_matrix_free(&matrix);
}

static void slow_to_answer(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    make(&matrix, 4, 1e9, 10);
    mesh_at(&matrix, 0, 1)->latency_us = 40;
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.slow, 1);
    assert_non_null(strstr(print(text, &matrix), "slow to answer: h0 <-> h1: 40 and"));
    mesh_matrix_free(&matrix);
}

static void failures_and_silence(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    make(&matrix, 3, 1e9, 10);
    struct mesh_figure failed = {.status = KOLO_ERR_TIMEOUT, .why = "no route"};
    struct mesh_figure later = {.status = KOLO_OK, .test = "tcp", .latency_us = 3};
    mesh_note(&matrix, 0, 1, &failed);
    mesh_note(&matrix, 0, 1, &later);
    matrix.host[2].answers = false;
    strcpy(matrix.host[2].why, "it is off");
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.failed, 1);
    assert_int_equal(matrix.silent, 1);
    print(text, &matrix);
    assert_non_null(strstr(text, "failed: h0 -> h1: no route"));
    assert_non_null(strstr(text, "no answer: h2: it is off"));
    mesh_matrix_free(&matrix);
}

static void nothing_measured(void **state)
{
    (void)state;
    char text[16384];
    struct mesh_matrix matrix;
    assert_true(mesh_matrix_init(&matrix, 2));
    mesh_judge(&matrix, 0.25);
    assert_int_equal(matrix.measured, 0);
    assert_non_null(strstr(print(text, &matrix), "0 directions measured (nothing)"));
    mesh_matrix_free(&matrix);
}

/* A picture is well-formed whatever hosts are called; that it can be read, perf_mesh_test.py sees. */
static void names_in_a_picture(void **state)
{
    (void)state;
    char path[] = "/tmp/kolo-mesh-XXXXXX", text[16384];
    int fd = mkstemp(path);
    struct mesh_matrix matrix;
    assert_true(fd >= 0);
    make(&matrix, 2, 1e9, 10);
    strcpy(matrix.host[0].name, "<&>\x01\xff");
    mesh_judge(&matrix, 0.25);
    assert_true(mesh_report_svg(&matrix, path));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    close(fd);
    unlink(path);
    assert_non_null(strstr(text, "&lt;&amp;&gt;?? 1"));
    assert_non_null(strstr(text, "</svg>"));
    assert_false(mesh_report_svg(&matrix, "/nowhere/mesh.svg"));
    mesh_matrix_free(&matrix);
}

static void tasks_travel(void **state)
{
    (void)state;
    uint8_t bytes[2048];
    struct mesh_task sent = {.host = "10.0.0.7", .port = 4242, .tests = 1U << LINK_TCP}, got;
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    link_request_init(&sent.request);
    mesh_task_put(&writer, &sent);
    assert_false(writer.failed);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    assert_int_equal(mesh_task_get(&got, &reader), KOLO_OK);
    assert_string_equal(got.host, sent.host);
    assert_int_equal(got.port, sent.port);
    assert_int_equal(got.tests, sent.tests);
    assert_int_equal(got.request.duration_ns, sent.request.duration_ns);
    for (size_t cut = 0; cut < writer.length; cut++) {
        struct wire_reader shorter = {.bytes = bytes, .length = cut};
        assert_int_not_equal(mesh_task_get(&got, &shorter), KOLO_OK);
    }
}

static void figures_travel(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct mesh_figure sent = {.status = KOLO_ERR_TIMEOUT,
                               .why = "so it\nis",
                               .test = "write",
                               .bandwidth_Bps = 1.25e10,
                               .latency_us = 1.5,
                               .latency_p99_us = 2.25};
    struct mesh_figure got;
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    mesh_figure_put(&writer, &sent);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    mesh_figure_get(&got, &reader);
    assert_false(reader.failed);
    assert_int_equal(got.status, KOLO_ERR_TIMEOUT);
    assert_string_equal(got.why, "so it is");
    assert_true(fabs(got.bandwidth_Bps - 1.25e10) < 1 && fabs(got.latency_p99_us - 2.25) < 1e-9);
    for (size_t cut = 0; cut < writer.length; cut++) {
        struct wire_reader shorter = {.bytes = bytes, .length = cut};
        mesh_figure_get(&got, &shorter);
        assert_true(shorter.failed);
    }
    sent.latency_us = NAN;
    writer.length = 0;
    mesh_figure_put(&writer, &sent);
    reader = (struct wire_reader){.bytes = bytes, .length = writer.length};
    mesh_figure_get(&got, &reader);
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tournaments),      cmocka_unit_test(all_is_well),
        cmocka_unit_test(a_slow_direction), cmocka_unit_test(a_slow_pair),
        cmocka_unit_test(a_slow_host),      cmocka_unit_test(a_noisy_network),
        cmocka_unit_test(slow_to_answer),   cmocka_unit_test(failures_and_silence),
        cmocka_unit_test(nothing_measured), cmocka_unit_test(names_in_a_picture),
        cmocka_unit_test(tasks_travel),     cmocka_unit_test(figures_travel),
    };
    return cmocka_run_group_tests_name("perf_mesh", tests, NULL, NULL);
}
