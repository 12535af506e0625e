/* What the shared-memory transport costs, beside what the machine itself costs. Not a test: prints a table.
 *
 *   bench_shm [latency | bandwidth | crowd]      all by default
 *
 * latency: 8 B ping-pong of two spinning processes, beside two processes that bounce bare cache lines.
 * bandwidth: 64 MiB messages one way, both ways, and both ways with the arrivals summed, beside memcpy.
 * crowd: a token goes round a ring of 8 processes, who yield the processor, or sleep, while they wait. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tests/transport/shm/pair.h"

#define REPEATS 7

static cpu_set_t allowed; /* processors, at the start */

static void pin(unsigned processor)
{
    unsigned wanted = processor % (unsigned)CPU_COUNT(&allowed);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &allowed) && wanted-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

/* Run `work` as process 0 and, in a child, as process 1. Returns what process 0 returned. */
static double duel(double (*work)(unsigned self, int socket))
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) {
        abort();
    }
    pid_t child = fork();
    unsigned self = child == 0;
    pin(self);
    double result = work(self, sockets[self]);
    if (child == 0) {
        _exit(0);
    }
    waitpid(child, NULL, 0);
    sched_setaffinity(0, sizeof allowed, &allowed);
    close(sockets[0]);
    close(sockets[1]);
    return result;
}

/* ---- latency --------------------------------------------------------------------------------------------------- */

struct bounce {
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
};
static struct bounce *bounce;

#define ROUNDS 100000

static double bare_lines(unsigned self, int socket)
{
    (void)socket;
    double figures[REPEATS];
    uint64_t turn = 0;
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start_ns = clock_now_ns();
        for (unsigned i = 0; i < ROUNDS; i++) {
            turn++;
            if (self == 0) {
                atomic_store_explicit(&bounce->ping, turn, memory_order_release);
                while (atomic_load_explicit(&bounce->pong, memory_order_acquire) != turn) {
                }
            } else {
                while (atomic_load_explicit(&bounce->ping, memory_order_acquire) != turn) {
                }
                atomic_store_explicit(&bounce->pong, turn, memory_order_release);
            }
        }
        figures[repeat] = (double)(clock_now_ns() - start_ns) / ROUNDS / 2;
    }
    return median(figures, REPEATS);
}

static size_t message_bytes = 8;

static double ping_pong(unsigned self, int socket)
{
    struct pair_end end;
    struct transfer in, out;
    double figures[REPEATS];
    uint8_t *sent = calloc(1, message_bytes + 1), *received = calloc(1, message_bytes + 1);
    pair_open(&end, self, socket);
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start_ns = clock_now_ns();
        for (uint32_t i = 0; i < ROUNDS; i++) {
            pair_receive(end.link, 0, &in, received, message_bytes, i);
            if (self == 0) {
                pair_send(end.link, 0, &out, sent, message_bytes, i);
            }
            pair_wait(end.link, &in);
            if (self == 1) {
                pair_send(end.link, 0, &out, sent, message_bytes, i);
            }
            pair_wait(end.link, &out);
        }
        figures[repeat] = (double)(clock_now_ns() - start_ns) / ROUNDS / 2;
    }
    pair_close(&end);
    free(sent);
    free(received);
    return median(figures, REPEATS);
}

static void latency(void)
{
    bounce = mmap(NULL, sizeof *bounce, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double before = duel(bare_lines);
    printf("latency, one way, two spinning processes\n  bare cache line %26.0f ns\n", before);
    static const size_t sizes[] = {0, 8, 24, 256, 344, 1024, 4096, 16384, 65536};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        message_bytes = sizes[i];
        double figure = duel(ping_pong);
        printf("  %6zu B %33.0f ns  %5.2f x bare\n", sizes[i], figure, figure / before);
    }
    printf("  bare cache line again %20.0f ns\n", duel(bare_lines));
    munmap(bounce, sizeof *bounce);
}

/* ---- bandwidth ------------------------------------------------------------------------------------------------- */

static size_t bulk_bytes = 64u << 20;

static uint8_t *new_buffer(int fill)
{
    uint8_t *buffer = aligned_alloc(4096, bulk_bytes);
    memset(buffer, fill, bulk_bytes);
    return buffer;
}

static double plain_memcpy(unsigned self, int socket)
{
    (void)socket;
    if (self == 1) {
        return 0;
    }
    double figures[REPEATS];
    uint8_t *from = new_buffer(1), *to = new_buffer(2);
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start_ns = clock_now_ns();
        memcpy(to, from, bulk_bytes);
        figures[repeat] = (double)bulk_bytes / (double)(clock_now_ns() - start_ns);
    }
    free(from);
    free(to);
    return median(figures, REPEATS);
}

/* dst = src + dst by one process, one stream: what a reduction costs with nobody to talk to. */
static double plain_sum(unsigned self, int socket)
{
    (void)socket;
    if (self == 1) {
        return 0;
    }
    double figures[REPEATS];
    float *from = (float *)(void *)new_buffer(0), *to = (float *)(void *)new_buffer(0);
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start_ns = clock_now_ns();
        for (size_t i = 0; i < bulk_bytes / sizeof *to; i++) {
            to[i] += from[i];
        }
        figures[repeat] = (double)bulk_bytes / (double)(clock_now_ns() - start_ns);
    }
    free(from);
    free(to);
    return median(figures, REPEATS);
}

static void meet(struct link *link, uint32_t tag)
{
    struct transfer in, out;
    pair_receive(link, 1, &in, NULL, 0, tag);
    pair_send(link, 1, &out, NULL, 0, tag);
    pair_wait(link, &in);
    pair_wait(link, &out);
}

static double one_way(unsigned self, int socket)
{
    struct pair_end end;
    struct transfer move;
    double figures[REPEATS];
    uint8_t *buffer = new_buffer((int)self);
    pair_open(&end, self, socket);
    for (uint32_t repeat = 0; repeat < REPEATS; repeat++) {
        meet(end.link, repeat);
        uint64_t start_ns = clock_now_ns();
        if (self == 0) {
            pair_send(end.link, 0, &move, buffer, bulk_bytes, repeat);
        } else {
            pair_receive(end.link, 0, &move, buffer, bulk_bytes, repeat);
        }
        pair_wait(end.link, &move);
        meet(end.link, repeat);
        figures[repeat] = (double)bulk_bytes / (double)(clock_now_ns() - start_ns);
    }
    pair_close(&end);
    free(buffer);
    return median(figures, REPEATS);
}

static double both_ways(unsigned self, int socket)
{
    struct pair_end end;
    struct transfer in, out;
    double figures[REPEATS];
    uint8_t *sent = new_buffer((int)self), *received = new_buffer(7);
    pair_open(&end, self, socket);
    for (uint32_t repeat = 0; repeat < REPEATS; repeat++) {
        meet(end.link, repeat);
        uint64_t start_ns = clock_now_ns();
        pair_receive(end.link, 0, &in, received, bulk_bytes, repeat);
        pair_send(end.link, 0, &out, sent, bulk_bytes, repeat);
        pair_wait(end.link, &in);
        pair_wait(end.link, &out);
        figures[repeat] = (double)bulk_bytes / (double)(clock_now_ns() - start_ns);
    }
    pair_close(&end);
    free(sent);
    free(received);
    return median(figures, REPEATS);
}

static void add(float *restrict to, const float *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] += from[i];
    }
}

/* Everybody sends a buffer and adds what comes to another one, out of the spans. */
static double summed(unsigned self, int socket)
{
    struct pair_end end;
    struct transfer in, out;
    double figures[REPEATS];
    uint8_t *sent = new_buffer(0), *sum = new_buffer(0);
    pair_open(&end, self, socket);
    for (uint32_t repeat = 0; repeat < REPEATS; repeat++) {
        meet(end.link, repeat);
        uint64_t start_ns = clock_now_ns();
        pair_receive(end.link, 0, &in, NULL, bulk_bytes, repeat);
        pair_send(end.link, 0, &out, sent, bulk_bytes, repeat);
        while (in.state == TRANSFER_POSTED || out.state == TRANSFER_POSTED) {
            transport_shm.progress(end.transport);
            size_t whole = in.state == TRANSFER_POSTED ? in.span_bytes & ~(size_t)63 : 0;
            if (whole > 0) {
                add((float *)(void *)(sum + in.moved), (const float *)(const void *)in.span,
                    whole / sizeof(float));
                transport_shm.release(end.link, 0, &in, whole);
            }
        }
        figures[repeat] = (double)bulk_bytes / (double)(clock_now_ns() - start_ns);
    }
    pair_close(&end);
    free(sent);
    free(sum);
    return median(figures, REPEATS);
}

/* Add what there is to the own values, into the room that the wire offers. */
static void relay_some(struct link *link, struct transfer *in, struct transfer *out,
                       const uint8_t *own)
{
    uint8_t *place;
    size_t whole = in->state == TRANSFER_POSTED ? in->span_bytes & ~(size_t)63 : 0;
    size_t room = whole > 0 ? transport_shm.reserve(link, 1, out, &place) & ~(size_t)63 : 0;
    size_t bytes = whole < room ? whole : room;
    if (bytes == 0) {
        return;
    }
    const float *a = (const float *)(const void *)in->span;
    const float *b = (const float *)(const void *)(own + in->moved);
    float *sum = (float *)(void *)place;
    for (size_t i = 0; i < bytes / sizeof *sum; i++) {
        sum[i] = a[i] + b[i];
    }
    transport_shm.release(link, 0, in, bytes);
    transport_shm.commit(link, 1, out, bytes);
}

/* Process 0 sends a buffer; process 1 adds its own on the way and sends the sum back, as in a ring of two. */
static double relayed(unsigned self, int socket)
{
    struct pair_end end;
    struct transfer in, out;
    double figures[REPEATS];
    uint8_t *own = new_buffer(0), *result = new_buffer(7);
    pair_open(&end, self, socket);
    for (uint32_t repeat = 0; repeat < REPEATS; repeat++) {
        meet(end.link, repeat);
        uint64_t start_ns = clock_now_ns();
        pair_receive(end.link, 1 - self, &in, self == 0 ? result : NULL, bulk_bytes, repeat);
        pair_send(end.link, self, &out, self == 0 ? own : NULL, bulk_bytes, repeat);
        while (in.state == TRANSFER_POSTED || out.state == TRANSFER_POSTED) {
            transport_shm.progress(end.transport);
            if (self == 1) {
                relay_some(end.link, &in, &out, own);
            }
        }
        figures[repeat] = (double)bulk_bytes / (double)(clock_now_ns() - start_ns);
    }
    pair_close(&end);
    free(own);
    free(result);
    return median(figures, REPEATS);
}

static void bandwidth(void)
{
    for (bulk_bytes = 256u << 10; bulk_bytes <= 64u << 20; bulk_bytes *= 16) {
        double copy = duel(plain_memcpy), sum = duel(plain_sum);
        printf("%zu KiB messages\n  memcpy by one process %17.2f GB/s\n", bulk_bytes >> 10, copy);
        printf("  sum by one process %20.2f GB/s\n", sum);
        double one = duel(one_way), both = duel(both_ways), with_sum = duel(summed);
        double there_and_back = duel(relayed);
        printf("  one way %31.2f GB/s  %5.2f x memcpy\n", one, one / copy);
        printf("  both ways, each %23.2f GB/s  %5.2f x memcpy\n", both, both / copy);
        printf("  both ways, summed, each %15.2f GB/s  %5.2f x sum\n", with_sum, with_sum / sum);
        printf("  there and back, summed on the way %5.2f GB/s  %5.2f x sum\n", there_and_back,
               there_and_back / sum);
    }
}

/* ---- crowd ----------------------------------------------------------------------------------------------------- */

#define CROWD 8
#define LAPS 2000

static void wait_yielding(struct link *link, const struct transfer *transfer)
{
    while (transfer->state == TRANSFER_POSTED) {
        if (!transport_shm.progress(link->transport)) {
            sched_yield();
        }
    }
}

static void (*crowd_wait)(struct link *, const struct transfer *);

static double crowd_member(unsigned self, int to_left, int to_right)
{
    struct transport *transport = pair_transport(self);
    unsigned left_peer = (self + CROWD - 1) % CROWD, right_peer = (self + 1) % CROWD;
    struct link *left, *right;
    if (self == 0) {
        right = pair_link(transport, self, right_peer, to_right);
        left = pair_link(transport, self, left_peer, to_left);
    } else {
        left = pair_link(transport, self, left_peer, to_left);
        right = pair_link(transport, self, right_peer, to_right);
    }
    pair_wait_up(left);
    pair_wait_up(right);
    uint64_t token = 0;
    uint64_t start_ns = clock_now_ns();
    for (uint32_t lap = 0; lap < LAPS; lap++) {
        struct transfer in, out;
        if (self == 0) {
            pair_send(right, 0, &out, &token, sizeof token, lap);
        }
        pair_receive(left, 0, &in, &token, sizeof token, lap);
        crowd_wait(left, &in);
        if (self != 0) {
            pair_send(right, 0, &out, &token, sizeof token, lap);
        }
        crowd_wait(right, &out);
    }
    double hop_ns = (double)(clock_now_ns() - start_ns) / LAPS / CROWD;
    usleep(100000); /* the neighbours may still be busy with the last token */
    transport_shm.destroy(transport);
    return hop_ns;
}

static double crowd_ring(void (*wait)(struct link *, const struct transfer *))
{
    int sockets[CROWD][2]; /* [i]: between i and i + 1 */
    pid_t children[CROWD];
    crowd_wait = wait;
    for (unsigned i = 0; i < CROWD; i++) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets[i]) != 0) {
            abort();
        }
    }
    for (unsigned i = 1; i < CROWD; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            crowd_member(i, sockets[i - 1][1], sockets[i][0]);
            _exit(0);
        }
    }
    double hop_ns = crowd_member(0, sockets[CROWD - 1][1], sockets[0][0]);
    for (unsigned i = 0; i < CROWD; i++) {
        if (i > 0) {
            waitpid(children[i], NULL, 0);
        }
        close(sockets[i][0]);
        close(sockets[i][1]);
    }
    return hop_ns;
}

static void crowd(void)
{
    printf("a token in a ring of %d processes, per hop\n", CROWD);
    printf("  sched_yield %27.0f ns\n", crowd_ring(wait_yielding));
    printf("  sleep (futex) %25.0f ns\n", crowd_ring(pair_wait_asleep));
    printf("  wait_fd (poll) %24.0f ns\n", crowd_ring(pair_wait_polling));
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    sched_getaffinity(0, sizeof allowed, &allowed);
    const char *what = count > 1 ? arguments[1] : "";
    if (!*what || strcmp(what, "latency") == 0) {
        latency();
    }
    if (!*what || strcmp(what, "bandwidth") == 0) {
        bandwidth();
    }
    if (!*what || strcmp(what, "crowd") == 0) {
        crowd();
    }
    return 0;
}
