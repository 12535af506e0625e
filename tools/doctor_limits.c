/* The checks of what the system allows this process, and how it runs its processors. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_check.h"
#include "tools/quantity.h"

/* A link over RDMA registers its slots (SLOTS_BYTES of transport/verbs, 2 MiB and a little) and its queues: with less than some of
 * them need, opening links fails. What users register (kolo_alloc, kolo_register) comes on top, and is as large as a model. */
#define MEMLOCK_LINK (UINT64_C(5) << 19)
#define MEMLOCK_LEAST (UINT64_C(64) << 20)
#define MEMLOCK_AMPLE (UINT64_C(8) << 30)

/* Descriptors that a process needs for one peer (a control connection, the lanes of a link, a completion channel) and for itself. */
#define FILES_PER_PEER 5
#define FILES_OWN 64
#define FILES_AMPLE 4096

#define SHM_AMPLE (UINT64_C(1) << 30) /* containers get 64 MiB if nobody asks for more */
#define CAP_IPC_LOCK_BIT 14           /* linux/capability.h */
#define UNLIMITED UINT64_MAX

/* The soft limit on the row "Max locked memory   8388608   8388608   bytes" of /proc/self/limits. */
static bool read_limit(uint64_t *limit, const struct doctor_view *view, const char *row)
{
    char text[4096];
    if (!doctor_read(text, sizeof text, view, "/proc/self/limits")) {
        return false;
    }
    const char *at = strstr(text, row);
    if (at == NULL) {
        return false;
    }
    at += strlen(row);
    at += strspn(at, " ");
    char *end;
    *limit = strncmp(at, "unlimited", 9) == 0 ? UNLIMITED : strtoull(at, &end, 10);
    return *limit == UNLIMITED || end != at;
}

static bool has_devices(const struct doctor_view *view)
{
    char names[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    return doctor_list(names, view, "/sys/class/infiniband") > 0;
}

/* A process with this capability may lock what it likes. */
static bool may_lock_all(const struct doctor_view *view)
{
    char text[4096];
    if (!doctor_read(text, sizeof text, view, "/proc/self/status")) {
        return false;
    }
    const char *row = strstr(text, "CapEff:");
    return row != NULL && (strtoull(row + 7, NULL, 16) >> CAP_IPC_LOCK_BIT & 1) != 0;
}

void doctor_memlock(struct doctor_findings *findings, const struct doctor_view *view)
{
    uint64_t limit;
    char text[QUANTITY_TEXT_MAX];
    if (!has_devices(view) || !read_limit(&limit, view, "Max locked memory")) {
        return;
    }
    if (limit == UNLIMITED || may_lock_all(view)) {
        doctor_add(findings, "memlock", DOCTOR_OK, "locked memory: %s",
                   limit == UNLIMITED ? "unlimited" : "this process has CAP_IPC_LOCK");
        return;
    }
    enum doctor_severity severity = limit < MEMLOCK_LEAST   ? DOCTOR_ERROR
                                    : limit < MEMLOCK_AMPLE ? DOCTOR_WARNING
                                                            : DOCTOR_NOTE;
    struct doctor_finding *finding = doctor_add(findings, "memlock", severity,
                                                "a process may lock %s of memory (RLIMIT_MEMLOCK)",
                                                quantity_print_bytes(text, limit));
    if (severity == DOCTOR_ERROR) {
        doctor_why(finding,
                   "RDMA devices reach locked memory only: there is room for about %" PRIu64
                   " links, and more fail",
                   limit / MEMLOCK_LINK);
    } else {
        doctor_why(finding, "RDMA devices reach locked memory only: buffers beyond this cannot be "
                            "registered, and are copied");
    }
    doctor_cure(finding, "printf '* - memlock unlimited\\n' | sudo tee /etc/security/limits.d/"
                         "kolo.conf   (then log in again; systemd: LimitMEMLOCK=infinity; docker: "
                         "--ulimit memlock=-1; Slurm: PropagateResourceLimits)");
}

void doctor_files(struct doctor_findings *findings, const struct doctor_view *view)
{
    uint64_t limit;
    if (!read_limit(&limit, view, "Max open files")) {
        return;
    }
    if (limit >= FILES_AMPLE) {
        doctor_add(findings, "open files", DOCTOR_OK, "open files: %s",
                   limit == UNLIMITED ? "unlimited" : "enough for hundreds of peers");
        return;
    }
    uint64_t peers = limit > FILES_OWN ? (limit - FILES_OWN) / FILES_PER_PEER : 0;
    struct doctor_finding *finding =
        doctor_add(findings, "open files", peers < 32 ? DOCTOR_WARNING : DOCTOR_NOTE,
                   "a process may open %" PRIu64 " files", limit);
    doctor_why(finding,
               "each peer costs up to %d descriptors: a run of more than about %" PRIu64
               " peers fails to open its connections",
               FILES_PER_PEER, peers + 1);
    doctor_cure(finding, "ulimit -n 65536   (for good: '* - nofile 65536' in "
                         "/etc/security/limits.d/kolo.conf)");
}

void doctor_memfd(struct doctor_findings *findings, const struct doctor_view *view)
{
    if (view->memfd_error == 0) {
        doctor_add(findings, "memfd", DOCTOR_OK, "shared memory can be made (memfd_create)");
        return;
    }
    struct doctor_finding *finding = doctor_add(
        findings, "memfd", DOCTOR_ERROR, "memfd_create fails: %s", strerror(view->memfd_error));
    doctor_why(finding, "peers on one host share memory that is made so; without it they talk over "
                        "TCP, several times slower");
    doctor_cure(finding,
                "allow memfd_create in the container's seccomp profile (docker: "
                "--security-opt seccomp=unconfined to try); until then KOLO_TRANSPORT=tcp");
}

void doctor_shm(struct doctor_findings *findings, const struct doctor_view *view)
{
    if (view->shm_bytes >= SHM_AMPLE) {
        doctor_add(findings, "/dev/shm", DOCTOR_OK, "/dev/shm has %.1f GiB",
                   (double)view->shm_bytes / 0x1p30);
        return;
    }
    struct doctor_finding *finding =
        view->shm_bytes == 0
            ? doctor_add(findings, "/dev/shm", DOCTOR_WARNING, "there is no /dev/shm")
            : doctor_add(findings, "/dev/shm", DOCTOR_WARNING, "/dev/shm has %.3g MiB",
                         (double)view->shm_bytes / 0x1p20);
    doctor_why(finding, "kolo does not use it, but what runs beside it does: data loaders of "
                        "PyTorch, MPI and NCCL die of a bus error when it is full");
    doctor_cure(finding, view->shm_bytes == 0
                             ? "mount -t tmpfs -o size=50%% tmpfs /dev/shm"
                             : "mount -o remount,size=50%% /dev/shm   (docker: --shm-size=8g)");
}

void doctor_hugepages(struct doctor_findings *findings, const struct doctor_view *view)
{
    char names[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    char transparent[64];
    long long pages, reserved = 0;
    unsigned sizes = doctor_list(names, view, "/sys/kernel/mm/hugepages");
    for (unsigned i = 0; i < sizes; i++) {
        if (doctor_read_number(&pages, view, "/sys/kernel/mm/hugepages/%s/nr_hugepages",
                               names[i])) {
            reserved += pages;
        }
    }
    bool automatic = doctor_read(transparent, sizeof transparent, view,
                                 "/sys/kernel/mm/transparent_hugepage/enabled") &&
                     strstr(transparent, "[never]") == NULL;
    if (reserved > 0 || automatic) {
        doctor_add(findings, "huge pages", DOCTOR_OK, "huge pages: %lld reserved, transparent: %s",
                   reserved, automatic ? transparent : "no");
        return;
    }
    struct doctor_finding *finding = doctor_add(findings, "huge pages", DOCTOR_NOTE,
                                                sizes == 0 ? "this kernel has no huge pages"
                                                           : "no huge pages, neither reserved "
                                                             "nor transparent");
    doctor_why(finding, "large buffers cost more translation misses in processor and network "
                        "device, and take longer to register");
    if (sizes > 0) {
        doctor_cure(finding,
                    "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled   "
                    "(reserved ones: sysctl vm.nr_hugepages=1024)");
    }
}

void doctor_governor(struct doctor_findings *findings, const struct doctor_view *view)
{
    char names[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    char governor[64], slow[64] = "";
    unsigned count = doctor_list(names, view, "/sys/devices/system/cpu/cpufreq");
    unsigned looked = 0, others = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!doctor_read(governor, sizeof governor, view,
                         "/sys/devices/system/cpu/cpufreq/%s/scaling_governor", names[i])) {
            continue;
        }
        looked++;
        if (strcmp(governor, "performance") != 0) {
            others++;
            snprintf(slow, sizeof slow, "%s", governor);
        }
    }
    if (looked == 0) {
        return; /* the hypervisor's matter, or a fixed frequency */
    }
    if (others == 0) {
        doctor_add(findings, "governor", DOCTOR_OK, "processor frequency: governor performance");
        return;
    }
    struct doctor_finding *finding = doctor_add(
        findings, "governor", DOCTOR_WARNING,
        "processor frequency: governor %s on %u of %u frequency domains", slow, others, looked);
    doctor_why(finding,
               "processors slow down between messages: latency doubles, and figures of two "
               "runs do not compare");
    doctor_cure(finding, "sudo cpupower frequency-set -g performance");
}
