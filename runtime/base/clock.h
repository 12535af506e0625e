/* clock: monotonic time in nanoseconds. Deadlines are absolute; CLOCK_FOREVER is one that never comes. */
#ifndef KOLO_BASE_CLOCK_H
#define KOLO_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_FOREVER UINT64_MAX
#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_US 1000ULL

/** Monotonic time since an arbitrary start, in nanoseconds. About 25 ns a call. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/** The same clock as of the last tick of the kernel (1 to 10 ms ago), in a few nanoseconds: for sums over many short spans, in
 *  which the error evens out. */
static inline uint64_t clock_tick_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/** Seconds (from a configuration) to nanoseconds, saturating: negative is 0, very large is CLOCK_FOREVER. */
static inline uint64_t clock_ns_from_s(double seconds)
{
    if (!(seconds > 0)) {
        return 0;
    }
    return seconds >= 1e9 ? CLOCK_FOREVER : (uint64_t)(seconds * 1e9);
}

/** A deadline `span_ns` after `now_ns`; CLOCK_FOREVER when that does not fit. */
static inline uint64_t clock_after(uint64_t now_ns, uint64_t span_ns)
{
    return span_ns > CLOCK_FOREVER - now_ns ? CLOCK_FOREVER : now_ns + span_ns;
}

/** Milliseconds until the deadline, rounded up, for poll and epoll_wait; at most `most_ms`; 0 if it has passed. */
static inline int clock_ms_until(uint64_t deadline_ns, uint64_t now_ns, int most_ms)
{
    if (deadline_ns <= now_ns) {
        return 0;
    }
    uint64_t ms = (deadline_ns - now_ns - 1) / NS_PER_MS + 1;
    return ms < (uint64_t)most_ms ? (int)ms : most_ms;
}

#endif
