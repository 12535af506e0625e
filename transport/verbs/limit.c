#include "transport/verbs/limit.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_BYTES 512
#define LINE_BYTES 256
#define UNIFIED_ROOT "/sys/fs/cgroup"   /* version 2: the rdma controller lies with all others */
#define RDMA_ROOT "/sys/fs/cgroup/rdma" /* version 1 */

/* The kernel asks for the capability in the first user namespace, whose map covers all users. */
static bool in_first_namespace(void)
{
    unsigned inside = 0, outside = 1, length = 0;
    FILE *file = fopen("/proc/self/uid_map", "re");
    if (file == NULL) {
        return true; /* a kernel without user namespaces */
    }
    int read = fscanf(file, "%u %u %u", &inside, &outside, &length);
    fclose(file);
    return read == 3 && inside == 0 && outside == 0 && length == UINT32_MAX;
}

/* A process with this capability may lock what it likes. */
static bool may_lock_all(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[0].effective >> CAP_IPC_LOCK & 1) != 0 && in_first_namespace();
}

const char *limit_memlock(char text[LIMIT_TEXT_BYTES])
{
    struct rlimit limit;
    text[0] = 0;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        may_lock_all()) {
        return text;
    }
    snprintf(text, LIMIT_TEXT_BYTES,
             "RLIMIT_MEMLOCK lets this process lock %llu KiB only: raise it (ulimit -l unlimited; "
             "memlock in /etc/security/limits.conf; LimitMEMLOCK=infinity in a systemd unit; "
             "--ulimit memlock=-1 for a container)",
             (unsigned long long)limit.rlim_cur / 1024);
    return text;
}

/* Out: line: what `path`/rdma.max says about the device. False if that is nothing, or no limit. */
static bool limited_here(char line[LINE_BYTES], const char *path, const char *device)
{
    char name[PATH_BYTES + sizeof "/rdma.max"];
    size_t length = strlen(device);
    bool found = false;
    snprintf(name, sizeof name, "%s/rdma.max", path);
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, LINE_BYTES, file) != NULL) {
        line[strcspn(line, "\n")] = 0;
        found = strncmp(line, device, length) == 0 && line[length] == ' ' &&
                strcmp(line + length, " hca_handle=max hca_object=max") != 0;
    }
    fclose(file);
    return found;
}

/* Out: path: the directory of this process's group under `root`. Each line of the file is "number:controllers:path". */
static bool find_group(char path[PATH_BYTES], size_t *root_bytes)
{
    char line[LINE_BYTES];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = 0;
        const char *controllers = strchr(line, ':');
        const char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group != NULL) {
            bool first_version = strncmp(controllers, ":rdma:", 6) == 0;
            const char *root = first_version ? RDMA_ROOT : UNIFIED_ROOT;
            found = first_version || group == controllers + 1;
            *root_bytes = strlen(root);
            snprintf(path, PATH_BYTES, "%s%s", root, group + 1);
        }
    }
    fclose(file);
    return found;
}

const char *limit_cgroup(char text[LIMIT_TEXT_BYTES], const char *device)
{
    char path[PATH_BYTES];
    char line[LINE_BYTES];
    size_t root_bytes = 0;
    text[0] = 0;
    if (!find_group(path, &root_bytes)) {
        return text;
    }
    for (;;) { /* a limit of any group above holds, too */
        if (limited_here(line, path, device)) {
            snprintf(text, LIMIT_TEXT_BYTES,
                     "the cgroup's limit (%.128s/rdma.max) is \"%.96s\": raise it", path, line);
            return text;
        }
        char *last = strrchr(path, '/');
        if (last == NULL || last < path + root_bytes) {
            return text;
        }
        *last = 0;
    }
}
