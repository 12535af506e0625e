/* The checks of the control groups that this process is in, both versions of the interface. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/topology/cgroup.h"
#include "tools/doctor_check.h"
#include "tools/quantity.h"

#define PATH_BYTES 1024
#define MOUNT "/sys/fs/cgroup"
#define MEMORY_LEAST (UINT64_C(1) << 30)
#define PIDS_LEAST 256
#define RDMA_HANDLES_LEAST 8
#define RDMA_OBJECTS_LEAST 1024
#define NO_LIMIT UINT64_MAX

/* Where a controller's groups are: a folder for its limits, and a file in it. */
struct limit_file {
    const char *controller; /* of version 1 */
    const char *v1, *v2;    /* names of the file */
};

/* Calls `see` for the file in the group's folder and in each one above it, up to the mount itself. */
static void walk_up(void (*see)(void *found, const char *text), void *found,
                    const struct doctor_view *view, const char *mount, const char *group,
                    const char *file)
{
    char folder[PATH_BYTES], text[1024];
    if ((size_t)snprintf(folder, sizeof folder, "%s", group) >= sizeof folder) {
        return;
    }
    for (;;) {
        if (doctor_read(text, sizeof text, view, "%s%s/%s", mount, folder, file)) {
            see(found, text);
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL) {
            return;
        }
        *slash = '\0';
    }
}

/* Is the word in the list "cpu,cpuacct"? */
static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        bool starts = at == list || at[-1] == ',';
        if (starts && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Calls `see` with the text of every such file on the way from this process's group to the root. */
static void read_limits(void (*see)(void *found, const char *text), void *found,
                        const struct doctor_view *view, const struct limit_file *file)
{
    char membership[8192], mount[PATH_BYTES], *rest = NULL;
    if (!doctor_read(membership, sizeof membership, view, "/proc/self/cgroup")) {
        return;
    }
    for (char *line = strtok_r(membership, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':');
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL) {
            continue;
        }
        *group++ = '\0';
        controllers++;
        if (controllers[0] == '\0') {
            walk_up(see, found, view, MOUNT, group, file->v2);
            walk_up(see, found, view, MOUNT "/unified", group, file->v2);
        } else if (lists(controllers, file->controller)) {
            snprintf(mount, sizeof mount, MOUNT "/%s", file->controller);
            walk_up(see, found, view, mount, group, file->v1);
        }
    }
}

/* "max" is no limit, and so is version 1's largest multiple of a page. */
static void see_least(void *found, const char *text)
{
    uint64_t *least = found;
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (end != text && value < (UINT64_C(1) << 62) && value < *least) {
        *least = value;
    }
}

static uint64_t machine_memory(const struct doctor_view *view)
{
    char text[4096];
    const char *row =
        doctor_read(text, sizeof text, view, "/proc/meminfo") ? strstr(text, "MemTotal:") : NULL;
    return row == NULL ? 0 : strtoull(row + 9, NULL, 10) * 1024;
}

void doctor_cgroup_memory(struct doctor_findings *findings, const struct doctor_view *view)
{
    static const struct limit_file file = {"memory", "memory.limit_in_bytes", "memory.max"};
    uint64_t limit = NO_LIMIT, all = machine_memory(view);
    read_limits(see_least, &limit, view, &file);
    if (limit == NO_LIMIT || limit >= all) {
        doctor_add(findings, "memory limit", DOCTOR_OK, "no control group limits memory");
        return;
    }
    struct doctor_finding *finding =
        doctor_add(findings, "memory limit", limit < MEMORY_LEAST ? DOCTOR_WARNING : DOCTOR_NOTE,
                   "control groups allow %.1f GiB of the machine's %.1f GiB of memory",
                   (double)limit / 0x1p30, (double)all / 0x1p30);
    doctor_why(finding,
               "shared memory between peers and registered buffers count too; whoever goes "
               "beyond is killed, and the others lose a peer");
    doctor_cure(finding, "docker: --memory 64g; Kubernetes: resources.limits.memory; systemd: "
                         "MemoryMax=; Slurm: --mem");
}

void doctor_cgroup_cpu(struct doctor_findings *findings, const struct doctor_view *view)
{
    char membership[PATH_BYTES], mount[PATH_BYTES];
    snprintf(membership, sizeof membership, "%s/proc/self/cgroup", view->root);
    snprintf(mount, sizeof mount, "%s" MOUNT, view->root);
    double quota = cgroup_processors(membership, mount);
    if (!(quota > 0) || quota >= view->processors) {
        doctor_add(findings, "processor quota", DOCTOR_OK,
                   "no control group limits processor time");
        return;
    }
    struct doctor_finding *finding =
        doctor_add(findings, "processor quota", quota < 1 ? DOCTOR_WARNING : DOCTOR_NOTE,
                   "control groups allow the time of %.2f processors, of %u that may be used",
                   quota, view->processors);
    doctor_why(finding, "when it is used up, the process stands still for the rest of the period "
                        "(often 100 ms), and all peers wait for it");
    doctor_cure(finding, "set whole processors instead of time: docker: --cpuset-cpus; Kubernetes: "
                         "static CPU manager policy with integer limits; systemd: AllowedCPUs=");
}

void doctor_cgroup_pids(struct doctor_findings *findings, const struct doctor_view *view)
{
    static const struct limit_file file = {"pids", "pids.max", "pids.max"};
    uint64_t limit = NO_LIMIT;
    read_limits(see_least, &limit, view, &file);
    if (limit >= PIDS_LEAST) {
        doctor_add(findings, "process limit", DOCTOR_OK, "processes: enough");
        return;
    }
    struct doctor_finding *finding =
        doctor_add(findings, "process limit", DOCTOR_WARNING,
                   "control groups allow %" PRIu64 " processes and threads", limit);
    doctor_why(finding, "every peer has threads, and so has the arithmetic of its framework: when "
                        "the limit is hit, starting one fails");
    doctor_cure(finding, "docker: --pids-limit -1; systemd: TasksMax=infinity; Kubernetes: "
                         "podPidsLimit");
}

struct rdma_limits {
    bool any;
    uint64_t handles, objects;
    char device[DOCTOR_NAME_MAX];
};

static uint64_t value_of(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    uint64_t value = NO_LIMIT;
    if (at != NULL && at[strlen(key)] != 'm') { /* "max" */
        value = strtoull(at + strlen(key), NULL, 10);
    }
    return value;
}

/* Lines of "mlx5_0 hca_handle=2 hca_object=2000". */
static void see_rdma(void *found, const char *text)
{
    struct rdma_limits *limits = found;
    for (const char *line = text; *line != '\0';) {
        char copy[256];
        size_t length = strcspn(line, "\n");
        snprintf(copy, sizeof copy, "%.*s", (int)length, line);
        uint64_t handles = value_of(copy, "hca_handle="), objects = value_of(copy, "hca_object=");
        if (handles < limits->handles || objects < limits->objects) {
            limits->any = true;
            limits->handles = handles < limits->handles ? handles : limits->handles;
            limits->objects = objects < limits->objects ? objects : limits->objects;
            snprintf(limits->device, sizeof limits->device, "%.*s", (int)strcspn(copy, " "), copy);
        }
        line += line[length] == '\n' ? length + 1 : length;
    }
}

void doctor_cgroup_rdma(struct doctor_findings *findings, const struct doctor_view *view)
{
    static const struct limit_file file = {"rdma", "rdma.max", "rdma.max"};
    struct rdma_limits limits = {.handles = NO_LIMIT, .objects = NO_LIMIT};
    read_limits(see_rdma, &limits, view, &file);
    if (!limits.any) {
        return;
    }
    bool none = limits.handles == 0 || limits.objects == 0;
    bool few = limits.handles < RDMA_HANDLES_LEAST || limits.objects < RDMA_OBJECTS_LEAST;
    char handles[24] = "any number of", objects[24] = "any number of";
    if (limits.handles != NO_LIMIT) {
        snprintf(handles, sizeof handles, "%" PRIu64, limits.handles);
    }
    if (limits.objects != NO_LIMIT) {
        snprintf(objects, sizeof objects, "%" PRIu64, limits.objects);
    }
    struct doctor_finding *finding =
        doctor_add(findings, "rdma limit",
                   none  ? DOCTOR_ERROR
                   : few ? DOCTOR_WARNING
                         : DOCTOR_NOTE,
                   "control groups allow %s handles and %s objects on %s (rdma.max)", handles,
                   objects, limits.device);
    doctor_why(finding,
               "a process needs a handle for each device, and objects for every queue pair, "
               "completion queue and registration: what goes beyond fails");
    doctor_cure(finding,
                "echo '%s hca_handle=max hca_object=max' | sudo tee "
                "/sys/fs/cgroup/GROUP/rdma.max",
                limits.device);
}
