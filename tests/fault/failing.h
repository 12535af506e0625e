/* failing: functions of the C library that fail when told to. They stand in for the real ones in what is linked with --wrap. */
#ifndef KOLO_TESTS_FAULT_FAILING_H
#define KOLO_TESTS_FAULT_FAILING_H

#include <stdbool.h>

enum failing_call {
    FAILING_ALLOCATION, /* malloc, calloc, realloc, aligned_alloc, posix_memalign */
    FAILING_MMAP,
    FAILING_SOCKET,
    FAILING_BIND,
    FAILING_LISTEN,
    FAILING_ACCEPT,
    FAILING_CONNECT,
    FAILING_EPOLL_CREATE,
    FAILING_EPOLL_CTL,
    FAILING_EVENTFD,
    FAILING_MEMFD,
    FAILING_FTRUNCATE,
    FAILING_SENDMSG,
    FAILING_RECVMSG,
    FAILING_SEND,
    FAILING_RECV,
    FAILING_THREAD,
    FAILING_CALLS
};

/** Its name, for people. */
const char *failing_name(enum failing_call call);

/** From now on, let the call number `nth` (from 0) of this kind fail, once. */
void failing_arm(enum failing_call call, unsigned nth);

/** No call fails any more. Returns whether one has. Any thread. */
bool failing_disarm(void);

#endif
