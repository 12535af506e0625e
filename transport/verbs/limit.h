/* limit: which limit of this machine a device ran into, in words with the cure. Memory that a device uses is locked, and
 * counted against the user, the cgroup and the device. */
#ifndef KOLO_VERBS_LIMIT_H
#define KOLO_VERBS_LIMIT_H

#define LIMIT_TEXT_BYTES 320

/** RLIMIT_MEMLOCK with its value and the cure; "" if it is unlimited, or of no force for this process (CAP_IPC_LOCK).
 *  Returns `text`. */
const char *limit_memlock(char text[LIMIT_TEXT_BYTES]);

/** The rdma controller of this process's cgroup, if it limits `device`: where, and what. "" if it does not, or cannot be read. Returns `text`. */
const char *limit_cgroup(char text[LIMIT_TEXT_BYTES], const char *device);

#endif
