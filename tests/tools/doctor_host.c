#include "tests/tools/doctor_host.h"

#include <arpa/inet.h>
#include <ftw.h>
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

struct doctor_view host;
struct doctor_findings found;
static char root[64];

int host_set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/kolo-doctor-XXXXXX");
    memset(&host, 0, sizeof host);
    memset(&found, 0, sizeof found);
    host.root = root;
    host.verbs_built = true;
    host.processors = 8;
    host.shm_bytes = UINT64_C(8) << 30;
    strcpy(host.host, "node7");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int delete_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

int host_tear_down(void **state)
{
    (void)state;
    return nftw(root, delete_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path below the root, with the folders above it made. */
static void make_path(char full[512], const char *path)
{
    int length = snprintf(full, 512, "%s%s", root, path);
    assert_in_range(length, 1, 511);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
}

void host_put(const char *path, const char *text)
{
    char full[512];
    make_path(full, path);
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

void host_folder(const char *path)
{
    char full[512];
    make_path(full, path);
    assert_int_equal(mkdir(full, 0700), 0);
}

void host_link(const char *path, const char *target)
{
    char full[512];
    make_path(full, path);
    assert_int_equal(symlink(target, full), 0);
}

void host_address(const char *interface, const char *address, bool up)
{
    char text[INET6_ADDRSTRLEN];
    unsigned at = host.addresses++;
    const char *slash = strchr(address, '/');
    struct interface *one = &host.address[at];
    assert_non_null(slash);
    snprintf(text, sizeof text, "%.*s", (int)(slash - address), address);
    snprintf(one->name, sizeof one->name, "%s", interface);
    one->up = up;
    host.prefix_bits[at] = (unsigned)atoi(slash + 1);
    bool second = strchr(text, ':') != NULL;
    one->address.as.any.sa_family = second ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(one->address.as.any.sa_family, text,
                               second ? (void *)&one->address.as.v6.sin6_addr
                                      : (void *)&one->address.as.v4.sin_addr),
                     1);
}

static void put_port(const char *device, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "/sys/class/infiniband/%s/ports/1/%s", device, file);
    host_put(path, text);
}

void host_device(const char *name, const char *state, const char *layer, const char *rate)
{
    char path[256];
    struct doctor_device *device = &host.device[host.devices++];
    put_port(name, "state", state);
    put_port(name, "phys_state", "5: LinkUp\n");
    put_port(name, "link_layer", layer);
    put_port(name, "rate", rate);
    snprintf(path, sizeof path, "/sys/class/infiniband_verbs/uverbs%u/ibdev", host.devices - 1);
    host_put(path, name);
    host_put("/dev/infiniband/rdma_cm", "");
    snprintf(device->name, sizeof device->name, "%s", name);
    device->ports = 1;
    device->active_mtu[0] = device->max_mtu[0] = 4096;
}

void host_gid(const char *device, unsigned index, const char *gid, const char *type)
{
    char file[64];
    snprintf(file, sizeof file, "gids/%u", index);
    put_port(device, file, gid);
    snprintf(file, sizeof file, "gid_attrs/types/%u", index);
    put_port(device, file, type);
}

void host_look(void (*check)(struct doctor_findings *findings, const struct doctor_view *view))
{
    memset(&found, 0, sizeof found);
    check(&found, &host);
}

static bool has(const char *text, const char *part)
{
    return part == NULL || strstr(text, part) != NULL;
}

static void print_found(void)
{
    for (unsigned i = 0; i < found.count; i++) {
        const struct doctor_finding *one = &found.finding[i];
        print_message("found: %s, %s: %s | %s | %s\n", doctor_severity_name(one->severity),
                      one->check, one->seen, one->why, one->cure);
    }
}

void host_expect(enum doctor_severity severity, const char *seen, const char *why, const char *cure)
{
    bool expected = false;
    for (unsigned i = 0; i < found.count; i++) {
        const struct doctor_finding *one = &found.finding[i];
        expected = expected || (one->severity == severity && has(one->seen, seen) &&
                                has(one->why, why) && has(one->cure, cure));
        /* Whatever is wrong comes with a reason. */
        assert_true((one->severity == DOCTOR_OK) == (one->why[0] == '\0'));
    }
    if (!expected || doctor_worst(&found) != severity) {
        print_found();
        fail_msg("no %s with '%s', '%s', '%s', or there is worse", doctor_severity_name(severity),
                 seen == NULL ? "" : seen, why == NULL ? "" : why, cure == NULL ? "" : cure);
    }
}

void host_expect_nothing(void)
{
    print_found();
    assert_int_equal(found.count, 0);
}
