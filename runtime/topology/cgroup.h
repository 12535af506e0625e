/* cgroup: how much processor time the control groups of a process allow it. Containers are limited this way, and neither the
 * affinity mask nor hwloc shows it. Reads both versions of the interface; measures nothing. */
#ifndef KOLO_TOPOLOGY_CGROUP_H
#define KOLO_TOPOLOGY_CGROUP_H

/** The tightest quota on the way from a process's group up to the root, as a number of processors (1.5: 150 ms of every
 *  100 ms), or 0 if there is none (or none can be read).
 *
 *  In: membership: which groups the process is in, as /proc/self/cgroup has it.
 *      mount:      where the group file systems are, usually /sys/fs/cgroup. */
double cgroup_processors(const char *membership, const char *mount);

#endif
