#include "runtime/topology/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 4096

/* The first line of a small file. False if there is none. */
static bool read_line(char *line, int line_bytes, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path) {
        return false;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool read = fgets(line, line_bytes, file) != NULL;
    fclose(file);
    return read;
}

static double ratio(double quota, double period)
{
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* cpu.max of version 2: "150000 100000" or "max 100000", in microseconds. */
static double quota_v2(const char *folder)
{
    char line[64];
    double quota = 0;
    double period = 0;
    if (!read_line(line, sizeof line, folder, "cpu.max") ||
        sscanf(line, "%lf %lf", &quota, &period) != 2) {
        return 0;
    }
    return ratio(quota, period);
}

/* Version 1: two files; a quota of -1 is none. */
static double quota_v1(const char *folder)
{
    char quota[64];
    char period[64];
    if (!read_line(quota, sizeof quota, folder, "cpu.cfs_quota_us") ||
        !read_line(period, sizeof period, folder, "cpu.cfs_period_us")) {
        return 0;
    }
    return ratio(strtod(quota, NULL), strtod(period, NULL));
}

static double tighter(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The tightest quota from `root`/`group` up to `root` itself. Inside a container the path may be the host's and lead nowhere:
 * folders that do not exist have no quota, and the root is the container's own. */
static double walk_up(const char *root, const char *group, double (*quota)(const char *folder))
{
    char folder[PATH_BYTES];
    size_t root_length = strlen(root);
    if ((size_t)snprintf(folder, sizeof folder, "%s%s", root, group) >= sizeof folder) {
        return 0;
    }
    double found = 0;
    for (;;) {
        found = tighter(found, quota(folder));
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= root_length || slash == NULL) {
            return found;
        }
        *(slash < folder + root_length ? folder + root_length : slash) = '\0';
    }
}

static bool has_word(const char *list, const char *word)
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

/* One line of the membership: "0::/group" is version 2; "4:cpu,cpuacct:/group" is version 1 with its controllers. */
static double line_processors(char *line, const char *mount)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL) {
        return 0;
    }
    *controllers++ = '\0';
    *group++ = '\0';
    char root[PATH_BYTES];
    if (controllers[0] == '\0') {
        snprintf(root, sizeof root, "%s/unified", mount);
        return tighter(walk_up(mount, group, quota_v2), walk_up(root, group, quota_v2));
    }
    if (!has_word(controllers, "cpu")) {
        return 0;
    }
    snprintf(root, sizeof root, "%s/cpu", mount); /* a link to cpu,cpuacct where they are one */
    return walk_up(root, group, quota_v1);
}

double cgroup_processors(const char *membership, const char *mount)
{
    FILE *file = fopen(membership, "re");
    if (file == NULL) {
        return 0;
    }
    double found = 0;
    char line[PATH_BYTES];
    while (fgets(line, sizeof line, file) != NULL) {
        found = tighter(found, line_processors(line, mount));
    }
    fclose(file);
    return found;
}
