/* Every finding of doctor_limits.c and doctor_cgroup.c, on hosts that have it and hosts that have not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tools/doctor_host.h"

static void put_limits(const char *memlock, const char *files)
{
    char text[512];
    snprintf(text, sizeof text,
             "Limit                     Soft Limit           Hard Limit           Units     \n"
             "Max open files            %-20s 1048576              files     \n"
             "Max locked memory         %-20s unlimited            bytes     \n",
             files, memlock);
    host_put("/proc/self/limits", text);
}

static void memlock_too_small_for_links(void **state)
{
    (void)state;
    host_device("mlx5_0", "4: ACTIVE\n", "Ethernet\n", "100 Gb/sec (4X EDR)\n");
    put_limits("8388608", "1024");
    host_look(doctor_memlock);
    host_expect(DOCTOR_ERROR, "8 MiB", "about 3 links, and more fail", "memlock unlimited");
}

static void memlock_too_small_for_buffers(void **state)
{
    (void)state;
    host_device("mlx5_0", "4: ACTIVE\n", "Ethernet\n", "100 Gb/sec (4X EDR)\n");
    put_limits("1073741824", "1024");
    host_look(doctor_memlock);
    host_expect(DOCTOR_WARNING, "1 GiB", "copied", "memlock unlimited");
}

static void memlock_unlimited(void **state)
{
    (void)state;
    host_device("mlx5_0", "4: ACTIVE\n", "Ethernet\n", "100 Gb/sec (4X EDR)\n");
    put_limits("unlimited", "1024");
    host_look(doctor_memlock);
    host_expect(DOCTOR_OK, "unlimited", NULL, NULL);
}

static void memlock_does_not_bind_who_may_lock_all(void **state)
{
    (void)state;
    host_device("mlx5_0", "4: ACTIVE\n", "Ethernet\n", "100 Gb/sec (4X EDR)\n");
    put_limits("65536", "1024");
    host_put("/proc/self/status", "Name:\tkolo\nCapEff:\t000001ffffffffff\n");
    host_look(doctor_memlock);
    host_expect(DOCTOR_OK, "CAP_IPC_LOCK", NULL, NULL);
    host_put("/proc/self/status", "Name:\tkolo\nCapEff:\t000001ffffffbfff\n");
    host_look(doctor_memlock);
    host_expect(DOCTOR_ERROR, "64 KiB", NULL, NULL);
}

static void memlock_is_no_matter_without_rdma(void **state)
{
    (void)state;
    put_limits("65536", "1024");
    host_look(doctor_memlock);
    host_expect_nothing();
}

static void open_files(void **state)
{
    (void)state;
    put_limits("unlimited", "128");
    host_look(doctor_files);
    host_expect(DOCTOR_WARNING, "128 files", "about 13 peers", "ulimit -n");
    put_limits("unlimited", "1024");
    host_look(doctor_files);
    host_expect(DOCTOR_NOTE, "1024 files", "about 193 peers", "ulimit -n");
    put_limits("unlimited", "20000");
    host_look(doctor_files);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    put_limits("unlimited", "unlimited");
    host_look(doctor_files);
    host_expect(DOCTOR_OK, "unlimited", NULL, NULL);
}

static void limits_that_cannot_be_read(void **state)
{
    (void)state;
    host_look(doctor_files);
    host_expect_nothing();
    host_put("/proc/self/limits", "Max open files            many\n");
    host_look(doctor_files);
    host_expect_nothing();
}

static void memfd(void **state)
{
    (void)state;
    host_look(doctor_memfd);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host.memfd_error = EPERM;
    host_look(doctor_memfd);
    host_expect(DOCTOR_ERROR, "not permitted", "TCP", "seccomp");
}

static void shm(void **state)
{
    (void)state;
    host_look(doctor_shm);
    host_expect(DOCTOR_OK, "8.0 GiB", NULL, NULL);
    host.shm_bytes = 64 << 20;
    host_look(doctor_shm);
    host_expect(DOCTOR_WARNING, "64 MiB", "PyTorch", "--shm-size");
    host.shm_bytes = 0;
    host_look(doctor_shm);
    host_expect(DOCTOR_WARNING, "no /dev/shm", NULL, "mount -t tmpfs");
}

static void huge_pages(void **state)
{
    (void)state;
    host_look(doctor_hugepages);
    host_expect(DOCTOR_NOTE, "has no huge pages", NULL, NULL);
    host_put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
    host_put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    host_look(doctor_hugepages);
    host_expect(DOCTOR_NOTE, "neither reserved", NULL, "madvise");
    host_put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    host_look(doctor_hugepages);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    host_put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
    host_look(doctor_hugepages);
    host_expect(DOCTOR_OK, "512", NULL, NULL);
}

static void governor(void **state)
{
    (void)state;
    host_look(doctor_governor);
    host_expect_nothing();
    host_put("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "performance\n");
    host_look(doctor_governor);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_put("/sys/devices/system/cpu/cpufreq/policy4/scaling_governor", "schedutil\n");
    host_look(doctor_governor);
    host_expect(DOCTOR_WARNING, "schedutil on 1 of 2", "latency", "cpupower");
}

static void memory_limit(void **state)
{
    (void)state;
    host_put("/proc/meminfo", "MemTotal:       67108864 kB\nMemFree: 1 kB\n");
    host_look(doctor_cgroup_memory);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_put("/proc/self/cgroup", "0::/job/step\n");
    host_put("/sys/fs/cgroup/job/step/memory.max", "max\n");
    host_put("/sys/fs/cgroup/job/memory.max", "8589934592\n");
    host_look(doctor_cgroup_memory);
    host_expect(DOCTOR_NOTE, "8.0 GiB of the machine's 64.0 GiB", "killed", "--memory");
    host_put("/sys/fs/cgroup/job/memory.max", "536870912\n");
    host_look(doctor_cgroup_memory);
    host_expect(DOCTOR_WARNING, "0.5 GiB", NULL, NULL);
}

static void memory_limit_of_version_1(void **state)
{
    (void)state;
    host_put("/proc/meminfo", "MemTotal:       67108864 kB\n");
    host_put("/proc/self/cgroup", "7:pids:/q\n3:memory:/q\n");
    host_put("/sys/fs/cgroup/memory/q/memory.limit_in_bytes", "9223372036854771712\n");
    host_look(doctor_cgroup_memory);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_put("/sys/fs/cgroup/memory/q/memory.limit_in_bytes", "4294967296\n");
    host_look(doctor_cgroup_memory);
    host_expect(DOCTOR_NOTE, "4.0 GiB", NULL, NULL);
}

static void processor_quota(void **state)
{
    (void)state;
    host_put("/proc/self/cgroup", "0::/a\n");
    host_put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    host_look(doctor_cgroup_cpu);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_put("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    host_look(doctor_cgroup_cpu);
    host_expect(DOCTOR_NOTE, "2.50 processors, of 8", "stands still", "cpuset");
    host_put("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    host_look(doctor_cgroup_cpu);
    host_expect(DOCTOR_WARNING, "0.50 processors", NULL, NULL);
}

static void process_limit(void **state)
{
    (void)state;
    host_put("/proc/self/cgroup", "0::/a\n");
    host_put("/sys/fs/cgroup/a/pids.max", "max\n");
    host_look(doctor_cgroup_pids);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_put("/sys/fs/cgroup/a/pids.max", "100\n");
    host_look(doctor_cgroup_pids);
    host_expect(DOCTOR_WARNING, "100 processes", "threads", "TasksMax");
}

static void rdma_limit(void **state)
{
    (void)state;
    host_put("/proc/self/cgroup", "0::/a\n");
    host_put("/sys/fs/cgroup/a/rdma.max", "mlx5_0 hca_handle=max hca_object=max\n");
    host_look(doctor_cgroup_rdma);
    host_expect_nothing();
    host_put("/sys/fs/cgroup/a/rdma.max",
             "mlx5_0 hca_handle=max hca_object=max\nmlx5_1 hca_handle=2 hca_object=2000\n");
    host_look(doctor_cgroup_rdma);
    host_expect(DOCTOR_WARNING, "2 handles and 2000 objects on mlx5_1", "queue pair", "rdma.max");
    host_put("/sys/fs/cgroup/a/rdma.max", "mlx5_1 hca_handle=0 hca_object=max\n");
    host_look(doctor_cgroup_rdma);
    host_expect(DOCTOR_ERROR, "0 handles and any number of objects", NULL, NULL);
    host_put("/sys/fs/cgroup/a/rdma.max", "mlx5_1 hca_handle=20 hca_object=20000\n");
    host_look(doctor_cgroup_rdma);
    host_expect(DOCTOR_NOTE, NULL, NULL, NULL);
}

/* More findings than there is room for are counted, and the last one can still be written to. */
static void too_many_findings(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DOCTOR_FINDINGS_MAX + 5; i++) {
        doctor_why(doctor_add(&found, "test", DOCTOR_NOTE, "number %u", i), "no reason");
    }
    assert_int_equal(found.count, DOCTOR_FINDINGS_MAX);
    assert_int_equal(found.left_out, 5);
    assert_string_equal(found.finding[DOCTOR_FINDINGS_MAX - 1].seen, "number 199");
    assert_string_equal(found.finding[DOCTOR_FINDINGS_MAX].seen, "number 204");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(memlock_too_small_for_links),
        HOST_TEST(memlock_too_small_for_buffers),
        HOST_TEST(memlock_unlimited),
        HOST_TEST(memlock_does_not_bind_who_may_lock_all),
        HOST_TEST(memlock_is_no_matter_without_rdma),
        HOST_TEST(open_files),
        HOST_TEST(limits_that_cannot_be_read),
        HOST_TEST(memfd),
        HOST_TEST(shm),
        HOST_TEST(huge_pages),
        HOST_TEST(governor),
        HOST_TEST(memory_limit),
        HOST_TEST(memory_limit_of_version_1),
        HOST_TEST(processor_quota),
        HOST_TEST(process_limit),
        HOST_TEST(rdma_limit),
        HOST_TEST(too_many_findings),
    };
    return cmocka_run_group_tests_name("doctor_limits", tests, NULL, NULL);
}
