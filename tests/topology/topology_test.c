#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/topology/topology.h"

/* Each check runs in a child process, with one variable set; it returns whether all is well. */
static void in_child(bool (*check)(void), const char *name, const char *value)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (name != NULL) {
            setenv(name, value, 1);
        }
        _exit(check() ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool says(kolo_status status, kolo_status expected, const char *part)
{
    if (status != expected || strstr(kolo_last_error(), part) == NULL) {
        printf("%s: \"%s\" does not say \"%s\"\n", kolo_status_name(status), kolo_last_error(),
               part);
        return false;
    }
    return true;
}

static bool check_this_machine(void)
{
    struct topology first;
    struct topology second;
    static const uint8_t none[TOPOLOGY_HOST_BYTES];
    return topology_read(&first) == KOLO_OK && topology_read(&second) == KOLO_OK &&
           memcmp(first.host, second.host, sizeof none) == 0 && first.processors >= 1 &&
           first.processors <= first.processors_online && first.packages >= 1 &&
           first.numa_nodes >= 1 && first.cores >= 1 && first.cores <= first.processors_online &&
           first.page_bytes == (uint64_t)sysconf(_SC_PAGESIZE) && first.spin_us == -1 &&
           (access("/proc/sys/kernel/random/boot_id", R_OK) != 0 ||
            memcmp(first.host, none, sizeof none) != 0);
}

/* All threads of this process: a sanitizer has one of its own. */
static bool bind_to(const cpu_set_t *set)
{
    DIR *threads = opendir("/proc/self/task");
    if (threads == NULL) {
        return false;
    }
    bool bound = true;
    for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        int thread = atoi(entry->d_name);
        bound = bound && (thread == 0 || sched_setaffinity(thread, sizeof *set, set) == 0);
    }
    closedir(threads);
    return bound;
}

static bool check_one_processor(void)
{
    cpu_set_t set;
    size_t processor = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return false;
    }
    while (!CPU_ISSET(processor, &set)) {
        processor++;
    }
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    struct topology topology;
    return bind_to(&set) && topology_read(&topology) == KOLO_OK && topology.processors == 1 &&
           topology_spin_ns(&topology, 1) > 0 && topology_spin_ns(&topology, 2) == 0;
}

#define THREADS 8

static void *read_topology(void *topology)
{
    return topology_read(topology) == KOLO_OK ? topology : NULL;
}

static bool check_threads_at_once(void)
{
    pthread_t thread[THREADS];
    struct topology topology[THREADS];
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&thread[i], NULL, read_topology, &topology[i]) != 0) {
            return false;
        }
    }
    bool same = true;
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(thread[i], &result);
        same = same && result != NULL && topology[i].processors == topology[0].processors &&
               topology[i].cores == topology[0].cores;
    }
    return same;
}

static bool check_synthetic(void)
{
    struct topology topology;
    return topology_read(&topology) == KOLO_OK && topology.packages == 2 &&
           topology.numa_nodes == 4 && topology.cores == 16 && topology.processors_online == 32 &&
           topology.processors == 32 && topology.l3_bytes > 0 && topology.l2_bytes == 0 &&
           topology_spin_ns(&topology, 32) > 0 && topology_spin_ns(&topology, 33) == 0;
}

static bool check_spin_of_7_us(void)
{
    struct topology topology;
    return topology_read(&topology) == KOLO_OK && topology_spin_ns(&topology, 1) == 7000 &&
           topology_spin_ns(&topology, 1000) == 7000;
}

static bool check_no_spin(void)
{
    struct topology topology;
    return topology_read(&topology) == KOLO_OK && topology_spin_ns(&topology, 1) == 0;
}

/* The second call fails as the first did, with its explanation. */
static bool check_bad_spin(void)
{
    struct topology topology;
    return says(topology_read(&topology), KOLO_ERR_ARGUMENT, "KOLO_SPIN_US=1000001") &&
           says(topology_read(&topology), KOLO_ERR_ARGUMENT, "KOLO_SPIN_US=1000001");
}

static bool check_bad_xml(void)
{
    struct topology topology;
    return says(topology_read(&topology), KOLO_ERR_SYSTEM, "/nonexistent.xml");
}

static void this_machine(void **state)
{
    (void)state;
    in_child(check_this_machine, NULL, NULL);
}

static void affinity_counts(void **state)
{
    (void)state;
    in_child(check_one_processor, NULL, NULL);
}

static void threads_see_the_same(void **state)
{
    (void)state;
    in_child(check_threads_at_once, NULL, NULL);
}

static void another_machine(void **state)
{
    (void)state;
    in_child(check_synthetic, "HWLOC_SYNTHETIC", "pack:2 numa:2 l3:1 core:4 pu:2");
}

static void spin_budget(void **state)
{
    (void)state;
    in_child(check_spin_of_7_us, "KOLO_SPIN_US", "7");
    in_child(check_no_spin, "KOLO_SPIN_US", "0");
    in_child(check_bad_spin, "KOLO_SPIN_US", "1000001");
}

static void a_file_that_is_not_there(void **state)
{
    (void)state;
    in_child(check_bad_xml, "KOLO_TOPOLOGY_XML", "/nonexistent.xml");
}

int main(void)
{
    static const char *const names[] = {"KOLO_SPIN_US", "KOLO_TOPOLOGY_XML", "HWLOC_XMLFILE",
                                        "HWLOC_SYNTHETIC"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine),         cmocka_unit_test(affinity_counts),
        cmocka_unit_test(threads_see_the_same), cmocka_unit_test(another_machine),
        cmocka_unit_test(spin_budget),          cmocka_unit_test(a_file_that_is_not_there),
    };
    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
