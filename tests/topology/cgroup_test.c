#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/topology/cgroup.h"

static char mount[64];
static char membership[96];

/* A file under the mount, with the folders it is in. */
static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", mount, path);
    for (char *slash = strchr(full + strlen(mount) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(mount, "/tmp/kolo-cgroup-XXXXXX");
    if (mkdtemp(mount) == NULL) {
        return -1;
    }
    snprintf(membership, sizeof membership, "%s/self", mount);
    return 0;
}

static int delete_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(mount, delete_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void check(double expected)
{
    double found = cgroup_processors(membership, mount);
    if (fabs(found - expected) > 1e-9) {
        fail_msg("%f processors, expected %f", found, expected);
    }
}

static void nothing_there(void **state)
{
    (void)state;
    check(0); /* no membership */
    put("self", "0::/gone\n4:cpu,cpuacct:/gone\n");
    check(0);
    put("self", "garbage\n");
    check(0);
    put("self", "");
    check(0);
}

static void version_2(void **state)
{
    (void)state;
    put("self", "0::/a/b\n");
    put("a/b/cpu.max", "150000 100000\n");
    check(1.5);
    put("a/b/cpu.max", "max 100000\n");
    check(0);
}

static void the_tightest_on_the_way_up(void **state)
{
    (void)state;
    put("self", "0::/a/b/c\n");
    put("a/b/c/cpu.max", "400000 100000\n");
    put("a/b/cpu.max", "max 100000\n");
    put("a/cpu.max", "25000 10000\n");
    check(2.5);
    put("cpu.max", "50000 100000\n"); /* a container's root is a group of the host */
    check(0.5);
}

/* Inside a container, the path may be the host's: what exists is the root. */
static void a_path_that_is_not_visible(void **state)
{
    (void)state;
    put("self", "0::/../outside/x\n");
    put("cpu.max", "300000 100000\n");
    check(3);
}

static void version_1(void **state)
{
    (void)state;
    put("self", "5:cpuset:/q\n4:cpu,cpuacct:/q\n1:name=systemd:/q\n");
    put("cpu/q/cpu.cfs_quota_us", "200000\n");
    put("cpu/q/cpu.cfs_period_us", "100000\n");
    check(2);
    put("cpu/q/cpu.cfs_quota_us", "-1\n");
    check(0);
    put("cpu/q/cpu.cfs_quota_us", "200000\n");
    put("cpu/q/cpu.cfs_period_us", "0\n");
    check(0);
}

static void only_the_cpu_controller_counts(void **state)
{
    (void)state;
    put("self", "4:cpuacct,cpuset:/q\n");
    put("cpu/q/cpu.cfs_quota_us", "200000\n");
    put("cpu/q/cpu.cfs_period_us", "100000\n");
    check(0);
    put("self", "4:cpuacct,cpu:/q\n");
    check(2);
}

static void both_versions_at_once(void **state)
{
    (void)state;
    put("self", "4:cpu:/q\n0::/u\n");
    put("cpu/q/cpu.cfs_quota_us", "300000\n");
    put("cpu/q/cpu.cfs_period_us", "100000\n");
    put("unified/u/cpu.max", "250000 100000\n");
    check(2.5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_there),
        TEST(version_2),
        TEST(the_tightest_on_the_way_up),
        TEST(a_path_that_is_not_visible),
        TEST(version_1),
        TEST(only_the_cpu_controller_counts),
        TEST(both_versions_at_once),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
