/* The files of a doctor_view: /proc, /sys and /dev below its root. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/doctor_view.h"

#define PATH_BYTES 4096

/* False if it is too long. */
static bool make_path(char path[PATH_BYTES], const struct doctor_view *view, const char *format,
                      va_list arguments)
{
    int root = snprintf(path, PATH_BYTES, "%s", view->root);
    if (root < 0 || root >= PATH_BYTES) {
        return false;
    }
    int rest = vsnprintf(path + root, (size_t)(PATH_BYTES - root), format, arguments);
    return rest >= 0 && rest < PATH_BYTES - root;
}

static bool read_file(char *text, size_t bytes, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(text, 1, bytes - 1, file);
    bool read = !ferror(file);
    fclose(file);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' ')) {
        length--;
    }
    text[length] = '\0';
    return read;
}

bool doctor_read(char *text, size_t bytes, const struct doctor_view *view, const char *path, ...)
{
    char full[PATH_BYTES];
    va_list arguments;
    va_start(arguments, path);
    bool fits = make_path(full, view, path, arguments);
    va_end(arguments);
    text[0] = '\0';
    return fits && read_file(text, bytes, full);
}

bool doctor_read_number(long long *number, const struct doctor_view *view, const char *path, ...)
{
    char full[PATH_BYTES];
    char text[64];
    char *end;
    va_list arguments;
    va_start(arguments, path);
    bool fits = make_path(full, view, path, arguments);
    va_end(arguments);
    if (!fits || !read_file(text, sizeof text, full)) {
        return false;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0) {
        return false;
    }
    *number = value;
    return true;
}

bool doctor_exists(const struct doctor_view *view, const char *path, ...)
{
    char full[PATH_BYTES];
    va_list arguments;
    va_start(arguments, path);
    bool fits = make_path(full, view, path, arguments);
    va_end(arguments);
    return fits && access(full, F_OK) == 0;
}

bool doctor_read_link(char *name, size_t bytes, const struct doctor_view *view, const char *path,
                      ...)
{
    char full[PATH_BYTES];
    char target[PATH_BYTES];
    va_list arguments;
    va_start(arguments, path);
    bool fits = make_path(full, view, path, arguments);
    va_end(arguments);
    ssize_t length = fits ? readlink(full, target, sizeof target - 1) : -1;
    if (length <= 0) {
        return false;
    }
    target[length] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(name, bytes, "%s", slash != NULL ? slash + 1 : target);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

unsigned doctor_list(char names[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX], const struct doctor_view *view,
                     const char *path, ...)
{
    char full[PATH_BYTES];
    unsigned count = 0;
    va_list arguments;
    va_start(arguments, path);
    bool fits = make_path(full, view, path, arguments);
    va_end(arguments);
    DIR *folder = fits ? opendir(full) : NULL;
    if (folder == NULL) {
        return 0;
    }
    const struct dirent *entry;
    while (count < DOCTOR_NAMES_MAX && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < DOCTOR_NAME_MAX) {
            strcpy(names[count++], entry->d_name);
        }
    }
    closedir(folder);
    qsort(names, count, sizeof names[0], compare_names);
    return count;
}

const struct doctor_device *doctor_device_named(const struct doctor_view *view, const char *name)
{
    for (unsigned i = 0; i < view->devices; i++) {
        if (strcmp(view->device[i].name, name) == 0) {
            return &view->device[i];
        }
    }
    return NULL;
}

const struct doctor_link *doctor_link_named(const struct doctor_view *view, const char *name)
{
    for (unsigned i = 0; i < view->links; i++) {
        if (strcmp(view->link[i].name, name) == 0) {
            return &view->link[i];
        }
    }
    return NULL;
}

/* Does the bridge lead out of this host? One of its ports is a device on a bus, or a bond or VLAN, which stand for one. */
static bool has_wire(const struct doctor_view *view, const char *bridge)
{
    char ports[DOCTOR_NAMES_MAX][DOCTOR_NAME_MAX];
    unsigned count = doctor_list(ports, view, "/sys/class/net/%s/brif", bridge);
    for (unsigned i = 0; i < count; i++) {
        if (doctor_exists(view, "/sys/class/net/%s/device", ports[i]) ||
            doctor_exists(view, "/sys/class/net/%s/bonding", ports[i]) ||
            doctor_exists(view, "/proc/net/vlan/%s", ports[i])) {
            return true;
        }
    }
    return false;
}

enum doctor_virtual doctor_interface_kind(const struct doctor_view *view, const char *name)
{
    char event[512];
    if (doctor_exists(view, "/sys/class/net/%s/bridge", name)) {
        return has_wire(view, name) ? DOCTOR_PHYSICAL : DOCTOR_BRIDGE;
    }
    if (doctor_exists(view, "/sys/class/net/%s/tun_flags", name)) {
        return DOCTOR_TUNNEL;
    }
    if (!doctor_read(event, sizeof event, view, "/sys/class/net/%s/uevent", name)) {
        return DOCTOR_PHYSICAL;
    }
    static const char *const tunnels[] = {"DEVTYPE=vxlan", "DEVTYPE=wireguard", "DEVTYPE=geneve",
                                          "DEVTYPE=gre"};
    for (size_t i = 0; i < sizeof tunnels / sizeof tunnels[0]; i++) {
        if (strstr(event, tunnels[i]) != NULL) {
            return DOCTOR_TUNNEL;
        }
    }
    return strstr(event, "DEVTYPE=wlan") != NULL ? DOCTOR_WIRELESS : DOCTOR_PHYSICAL;
}
