/* The RDMA tests: write, read, send, write with immediate data, atomics, on one device port and as many queue pairs as asked for. Rates
 * are those of the requester, by its completions, as perftest's are. */
#include "tools/link_verbs.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/base/status.h"
#include "tools/link_verbs_bench.h"

#define SIGNAL_INTERVAL 64
#define SIGNAL_ALL_BYTES 8192 /* larger messages all ask for a completion */

/* ---- devices ---- */

static kolo_status open_devices(struct devices *devices, const struct link_end *end)
{
    struct device_wish wish = {.names = end->device[0] != '\0' ? end->device : NULL,
                               .gid_index = end->gid_index};
    kolo_status status = devices_open(devices, &wish);
    if (status == KOLO_OK && devices->ports == 0) {
        status =
            fail_quietly(KOLO_ERR_SYSTEM, "there is no RDMA device with a port that is up: see "
                                          "`kolo doctor`");
    }
    return status;
}

/* Is the GID the IP address at this end of the control connection? */
static bool is_local_address(const union ibv_gid *gid, int control_fd)
{
    static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;
    if (getsockname(control_fd, (struct sockaddr *)&local, &length) != 0) {
        return false;
    }
    if (local.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&local;
        return memcmp(gid->raw, &v6->sin6_addr, sizeof gid->raw) == 0;
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&local;
    return memcmp(gid->raw, v4_prefix, sizeof v4_prefix) == 0 &&
           memcmp(gid->raw + sizeof v4_prefix, &v4->sin_addr, sizeof v4->sin_addr) == 0;
}

/* The port that the control connection goes through, if one does; else the first. */
static const struct device_port *choose_port(const struct devices *devices, int control_fd)
{
    for (unsigned i = 0; control_fd >= 0 && i < devices->ports; i++) {
        if (is_local_address(&devices->port[i].gid, control_fd)) {
            return &devices->port[i];
        }
    }
    return &devices->port[0];
}

static void describe(struct link_host *host, const struct device_port *port)
{
    snprintf(host->device, sizeof host->device, "%s:%u", port->name, port->number);
    (void)device_describe(host->description, sizeof host->description, port);
    host->rate_Bps = port->rate_Bps;
    host->verbs = true;
    host->iwarp = port->iwarp;
}

void link_verbs_probe(struct link_host *host, const struct link_end *end)
{
    struct devices devices = {0};
    if (open_devices(&devices, end) == KOLO_OK) {
        describe(host, choose_port(&devices, -1));
    }
    devices_close(&devices);
}

/* ---- opening ---- */

static void verbs_close(struct link_bench *base)
{
    struct link_verbs_bench *bench = (struct link_verbs_bench *)base;
    link_verbs_unmake(bench);
    devices_close(&bench->devices);
    free(bench);
}

static kolo_status open_all(struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    kolo_status status = open_devices(&bench->devices, &place->request->ends[place->side]);
    if (status != KOLO_OK) {
        return status;
    }
    bench->chosen.port[0] = *choose_port(&bench->devices, place->control->fd);
    bench->chosen.ports = 1;
    bench->port = &bench->chosen.port[0];
    return link_verbs_make(bench);
}

static kolo_status verbs_open(struct link_bench **made, struct wire_writer *address,
                              struct link_host *host, const struct link_place *place)
{
    struct link_verbs_bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL) {
        return fail_quietly(KOLO_ERR_MEMORY, "out of memory");
    }
    bench->bench = (struct link_bench){.ops = &link_verbs, .place = place};
    kolo_status status = open_all(bench);
    if (status != KOLO_OK) {
        verbs_close(&bench->bench);
        return status;
    }
    describe(host, bench->port);
    link_verbs_put_address(address, bench);
    *made = &bench->bench;
    return KOLO_OK;
}

static kolo_status verbs_connect(struct link_bench *base, struct wire_reader *address,
                                 uint64_t deadline_ns)
{
    return link_verbs_connect((struct link_verbs_bench *)base, address, deadline_ns);
}

/* ---- running ---- */

static enum ibv_wr_opcode opcode_of(enum link_test test)
{
    static const enum ibv_wr_opcode opcodes[] = {
        [LINK_WRITE] = IBV_WR_RDMA_WRITE,
        [LINK_READ] = IBV_WR_RDMA_READ,
        [LINK_SEND] = IBV_WR_SEND,
        [LINK_WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM,
        [LINK_ATOMIC_ADD] = IBV_WR_ATOMIC_FETCH_AND_ADD,
        [LINK_ATOMIC_CAS] = IBV_WR_ATOMIC_CMP_AND_SWP,
    };
    assert(test < sizeof opcodes / sizeof *opcodes);
    return opcodes[test];
}

/* So many sends for one completion: never so many that a full queue would wait for ever. Of a ping-pong, each, as with perftest: a host
 * whose processors go to sleep in between answers sooner when it is woken by the acknowledgement as well. */
static uint32_t signal_interval(const struct link_request *request, const struct link_run *run)
{
    uint32_t most = run->depth >= request->post_list ? run->depth - request->post_list + 1 : 1;
    bool each = run->size_bytes > SIGNAL_ALL_BYTES || run->mode == LINK_LATENCY;
    uint32_t wish = request->signal_interval != 0      ? request->signal_interval
                    : each                             ? 1
                    : run->depth / 2 < SIGNAL_INTERVAL ? run->depth / 2 + 1
                                                       : SIGNAL_INTERVAL;
    return wish < most ? wish : most;
}

static void fill_patterns(struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    memset(bench->in.bytes, 0, bench->in_stride * place->request->pairs);
    if (!place->request->validate) {
        return;
    }
    link_buffer_pattern(bench->expected.bytes, bench->run->size_bytes, place->request->seed);
    for (unsigned i = 0; i < place->request->pairs; i++) {
        memcpy(bench->out.bytes + bench->lanes[i].out_offset, bench->expected.bytes,
               bench->run->size_bytes);
    }
}

static kolo_status verbs_prepare(struct link_bench *base, const struct link_run *run)
{
    struct link_verbs_bench *bench = (struct link_verbs_bench *)base;
    const struct link_place *place = base->place;
    uint32_t inline_bytes = link_verbs_inline(bench, run->mode),
             given = bench->lanes[0].pair->inline_bytes;
    kolo_status status = KOLO_OK;
    bench->run = run;
    bench->opcode = opcode_of(place->test);
    bench->signal_interval =
        place->test == LINK_WRITE || link_verbs_receives(bench) || run->mode == LINK_BANDWIDTH
            ? signal_interval(place->request, run)
            : 1;
    bench->inline_flag =
        run->size_bytes <= inline_bytes && run->size_bytes <= given ? (unsigned)IBV_SEND_INLINE : 0;
    bench->received = bench->wrong = 0;
    bench->said_done = bench->heard_done = false;
    fill_patterns(bench);
    for (unsigned i = 0; i < place->request->pairs && status == KOLO_OK; i++) {
        struct link_verbs_lane *lane = &bench->lanes[i];
        lane->posted = lane->left = lane->cycle = 0;
        status = link_verbs_receives(bench) ? link_verbs_fill(bench, lane) : KOLO_OK;
    }
    return status == KOLO_OK && bench->credited ? link_verbs_grant(bench) : status;
}

/* A counter, as the device has left it in memory. */
static uint64_t counter(const struct link_verbs_bench *bench, const struct link_verbs_lane *lane)
{
    uint64_t value;
    memcpy(&value, bench->in.bytes + lane->in_offset, sizeof value);
    return value;
}

/* Is the memory that the other end has written to, or this one read into, as it must be? */
static uint64_t count_wrong(const struct link_verbs_bench *bench)
{
    const struct link_place *place = bench->bench.place;
    bool pings = bench->run->mode == LINK_LATENCY && link_verbs_answers(bench);
    uint64_t wrong = 0, marked = pings && place->test == LINK_WRITE ? 1 : 0;
    for (unsigned i = 0; i < (bench->run->mode == LINK_LATENCY ? 1 : place->request->pairs); i++) {
        const struct link_verbs_lane *lane = &bench->lanes[i];
        switch (place->test) {
        case LINK_ATOMIC_ADD:
            wrong += counter(bench, lane) != bench->promised[i];
            break;
        case LINK_ATOMIC_CAS:
            wrong += counter(bench, lane) != (bench->promised[i] > 0);
            break;
        default:
            wrong += memcmp(bench->in.bytes + lane->in_offset, bench->expected.bytes,
                            bench->run->size_bytes - marked) != 0;
        }
    }
    return wrong;
}

static void validate(struct link_verbs_bench *bench, struct link_outcome *outcome)
{
    const struct link_place *place = bench->bench.place;
    bool pings = bench->run->mode == LINK_LATENCY;
    bool sends = pings ? link_bench_begins(place) : link_request_sends(place->request, place->side);
    bool target =
        pings ? !link_bench_begins(place) : link_request_sends(place->request, 1 - place->side);
    bool looks = place->test == LINK_READ ? sends : target || (pings && link_verbs_answers(bench));
    outcome->wrong = bench->wrong;
    if (place->request->validate && place->test != LINK_SEND && looks) {
        outcome->wrong += count_wrong(bench);
    }
}

static kolo_status verbs_run(struct link_bench *base, const struct link_run *run,
                             struct link_outcome *outcome)
{
    struct link_verbs_bench *bench = (struct link_verbs_bench *)base;
    kolo_status status = run->mode == LINK_LATENCY ? link_verbs_ping(bench, outcome)
                                                   : link_verbs_stream(bench, outcome);
    if (status == KOLO_OK) {
        validate(bench, outcome);
    }
    return status;
}

const struct link_bench_ops link_verbs = {.open = verbs_open,
                                          .connect = verbs_connect,
                                          .prepare = verbs_prepare,
                                          .run = verbs_run,
                                          .close = verbs_close};
