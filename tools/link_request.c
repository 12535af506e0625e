#include "tools/link_request.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

#define VALIDATED_BYTES                                                                            \
    (UINT64_C(64) << 20) /* in flight on one pair, when every message is looked at */
#define ATOMIC_BYTES 8
#define COUNTED_BYTES_MAX (UINT64_C(1) << 62) /* of a run: counters hold them */

static const char *const names[LINK_TESTS] = {
    [LINK_WRITE] = "write",
    [LINK_READ] = "read",
    [LINK_SEND] = "send",
    [LINK_WRITE_IMM] = "write-imm",
    [LINK_ATOMIC_ADD] = "atomic-add",
    [LINK_ATOMIC_CAS] = "atomic-cas",
    [LINK_TCP] = "tcp",
    [LINK_MESSAGE] = "message",
};

const char *link_test_name(enum link_test test)
{
    assert((unsigned)test < LINK_TESTS);
    return names[test];
}

enum link_test link_test_find(const char *name)
{
    unsigned test = 0;
    while (test < LINK_TESTS && strcmp(name, names[test]) != 0) {
        test++;
    }
    return (enum link_test)test;
}

bool link_test_is_verbs(enum link_test test)
{
    return test < LINK_TCP;
}

bool link_test_has_size(enum link_test test, uint64_t size_bytes)
{
    return size_bytes == ATOMIC_BYTES || (test != LINK_ATOMIC_ADD && test != LINK_ATOMIC_CAS);
}

void link_request_init(struct link_request *request)
{
    static const struct link_end any = {.gid_index = -1, .numa_node = -1, .core = -1};
    *request = (struct link_request){.modes = LINK_BANDWIDTH | LINK_LATENCY,
                                     .size_count = 3,
                                     .size_bytes = {8, 64 << 10, 1 << 20},
                                     .duration_ns = NS_PER_S,
                                     .warmup_ns = NS_PER_S / 4,
                                     .warmup_iterations = 100,
                                     .pairs = 1,
                                     .depth = 128,
                                     .inline_bytes = -1,
                                     .post_list = 1,
                                     .ends = {any, any}};
}

/* One number and the range it must be in. */
struct range {
    const char *name;
    uint64_t value, least, most;
};

static kolo_status check_ranges(const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most) {
            return fail_quietly(KOLO_ERR_ARGUMENT,
                                "%s is %" PRIu64 ", which is not from %" PRIu64 " to %" PRIu64,
                                ranges[i].name, ranges[i].value, ranges[i].least, ranges[i].most);
        }
    }
    return KOLO_OK;
}

static kolo_status check_sizes(const struct link_request *request)
{
    for (unsigned i = 0; i < request->size_count; i++) {
        struct range size = {"a size", request->size_bytes[i], 1, LINK_SIZE_BYTES_MAX};
        kolo_status status = check_ranges(&size, 1);
        if (status != KOLO_OK) {
            return status; /* what is computed below would not fit */
        }
        struct range count = {"the number of messages of that size",
                              request->iterations + request->warmup_iterations, 0,
                              COUNTED_BYTES_MAX / (request->size_bytes[i] * request->pairs)};
        status = check_ranges(&count, 1);
        if (status != KOLO_OK) {
            return status;
        }
        uint64_t slots =
            request->validate ? link_request_depth(request, request->size_bytes[i]) : 1;
        if (request->size_bytes[i] * request->pairs * (1 + slots) > LINK_MEMORY_BYTES_MAX) {
            return fail_quietly(KOLO_ERR_ARGUMENT,
                                "%" PRIu64 " bytes on %u pairs take more than %" PRIu64
                                " GiB of memory: use fewer pairs or smaller messages",
                                request->size_bytes[i], request->pairs,
                                (uint64_t)(LINK_MEMORY_BYTES_MAX >> 30));
        }
    }
    return KOLO_OK;
}

static kolo_status check_words(const struct link_request *request)
{
    if (request->bidirectional && request->reverse) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "bidirectional and reverse exclude each other");
    }
    if (request->mtu != 0 && request->mtu != 256 && request->mtu != 512 && request->mtu != 1024 &&
        request->mtu != 2048 && request->mtu != 4096) {
        return fail_quietly(KOLO_ERR_ARGUMENT,
                            "an MTU of %u is none of: 256, 512, 1024, 2048, 4096", request->mtu);
    }
    if (request->post_list > request->depth) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "a post list of %u is longer than the depth of %u",
                            request->post_list, request->depth);
    }
    if (request->signal_interval > request->depth) {
        return fail_quietly(KOLO_ERR_ARGUMENT, "a signal interval of %u is above the depth of %u",
                            request->signal_interval, request->depth);
    }
    return KOLO_OK;
}

kolo_status link_request_check(const struct link_request *request)
{
    const struct range ranges[] = {
        {"the modes' bits", request->modes, 1, LINK_BANDWIDTH | LINK_LATENCY},
        {"the number of sizes", request->size_count, 1, LINK_SIZES_MAX},
        {"the duration in ns", request->duration_ns, NS_PER_MS, LINK_DURATION_S_MAX * NS_PER_S},
        {"the number of iterations", request->iterations, 0, LINK_ITERATIONS_MAX},
        {"the warm-up in ns", request->warmup_ns, 0, LINK_WARMUP_S_MAX * NS_PER_S},
        {"the iterations of warm-up", request->warmup_iterations, 0, LINK_ITERATIONS_MAX},
        {"the number of pairs", request->pairs, 1, LINK_PAIRS_MAX},
        {"the depth", request->depth, 1, LINK_DEPTH_MAX},
        {"the inline size", (uint64_t)((int64_t)request->inline_bytes + 1), 0, LINK_INLINE_MAX + 1},
        {"the post list", request->post_list, 1, LINK_POST_LIST_MAX},
        {"the signal interval", request->signal_interval, 0, LINK_DEPTH_MAX},
        {"the service level", request->service_level, 0, 15},
        {"the way of waiting", request->wait, LINK_WAIT_DEFAULT, LINK_WAIT_EVENTS},
        {"the client's GID index", (uint64_t)((int64_t)request->ends[0].gid_index + 1), 0, 256},
        {"the server's GID index", (uint64_t)((int64_t)request->ends[1].gid_index + 1), 0, 256},
        {"the client's NUMA node", (uint64_t)((int64_t)request->ends[0].numa_node + 1), 0, 65536},
        {"the server's NUMA node", (uint64_t)((int64_t)request->ends[1].numa_node + 1), 0, 65536},
        {"the client's core", (uint64_t)((int64_t)request->ends[0].core + 1), 0, 65536},
        {"the server's core", (uint64_t)((int64_t)request->ends[1].core + 1), 0, 65536},
    };
    kolo_status status = check_ranges(ranges, sizeof ranges / sizeof *ranges);
    status = status == KOLO_OK ? check_words(request) : status;
    return status == KOLO_OK ? check_sizes(request) : status;
}

uint32_t link_request_depth(const struct link_request *request, uint64_t size_bytes)
{
    uint64_t fits = VALIDATED_BYTES / (size_bytes > ATOMIC_BYTES ? size_bytes : ATOMIC_BYTES);
    if (!request->validate || fits >= request->depth) {
        return request->depth;
    }
    return fits < 2 ? (request->depth < 2 ? request->depth : 2) : (uint32_t)fits;
}

bool link_request_sends(const struct link_request *request, enum link_side side)
{
    return request->bidirectional || (side == LINK_SERVER) == request->reverse;
}

static void put_text(struct wire_writer *writer, const char *text)
{
    wire_put_blob(writer, text, strlen(text));
}

static void put_end(struct wire_writer *writer, const struct link_end *end)
{
    put_text(writer, end->device);
    wire_put_u32(writer, (uint32_t)end->gid_index);
    wire_put_u32(writer, (uint32_t)end->numa_node);
    wire_put_u32(writer, (uint32_t)end->core);
}

static void get_end(struct wire_reader *reader, struct link_end *end)
{
    wire_get_text(reader, end->device, sizeof end->device);
    end->gid_index = (int)wire_get_u32(reader);
    end->numa_node = (int)wire_get_u32(reader);
    end->core = (int)wire_get_u32(reader);
}

enum flag {
    BIDIRECTIONAL = 1,
    REVERSE = 2,
    RDMA_CM = 4,
    VALIDATE = 8,
    HUGE_PAGES = 16,
    FLAGS = 31
};

void link_request_put(struct wire_writer *writer, const struct link_request *request)
{
    wire_put_u32(writer, request->modes);
    wire_put_u32(writer, (request->bidirectional ? BIDIRECTIONAL : 0u) |
                             (request->reverse ? REVERSE : 0u) | (request->rdma_cm ? RDMA_CM : 0u) |
                             (request->validate ? VALIDATE : 0u) |
                             (request->huge_pages ? HUGE_PAGES : 0u));
    wire_put_u32(writer, request->size_count);
    for (unsigned i = 0; i < request->size_count; i++) {
        wire_put_u64(writer, request->size_bytes[i]);
    }
    wire_put_u64(writer, request->duration_ns);
    wire_put_u64(writer, request->iterations);
    wire_put_u64(writer, request->warmup_ns);
    wire_put_u64(writer, request->warmup_iterations);
    wire_put_u32(writer, request->pairs);
    wire_put_u32(writer, request->depth);
    wire_put_u32(writer, (uint32_t)request->inline_bytes);
    wire_put_u32(writer, request->post_list);
    wire_put_u32(writer, request->signal_interval);
    wire_put_u32(writer, request->mtu);
    wire_put_u8(writer, request->service_level);
    wire_put_u8(writer, request->traffic_class);
    wire_put_u8(writer, (uint8_t)request->wait);
    wire_put_u64(writer, request->rate_limit_Bps);
    wire_put_u64(writer, request->seed);
    put_text(writer, request->transport);
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        put_end(writer, &request->ends[side]);
    }
}

static void get_flags(struct wire_reader *reader, struct link_request *request)
{
    uint32_t flags = wire_get_u32(reader);
    reader->failed = reader->failed || flags > FLAGS;
    request->bidirectional = flags & BIDIRECTIONAL;
    request->reverse = flags & REVERSE;
    request->rdma_cm = flags & RDMA_CM;
    request->validate = flags & VALIDATE;
    request->huge_pages = flags & HUGE_PAGES;
}

static void get_sizes(struct wire_reader *reader, struct link_request *request)
{
    request->size_count = wire_get_u32(reader);
    if (request->size_count > LINK_SIZES_MAX) {
        reader->failed = true;
        request->size_count = 0;
    }
    for (unsigned i = 0; i < request->size_count; i++) {
        request->size_bytes[i] = wire_get_u64(reader);
    }
}

kolo_status link_request_get(struct link_request *request, struct wire_reader *reader)
{
    struct link_request read = {.modes = wire_get_u32(reader)};
    get_flags(reader, &read);
    get_sizes(reader, &read);
    read.duration_ns = wire_get_u64(reader);
    read.iterations = wire_get_u64(reader);
    read.warmup_ns = wire_get_u64(reader);
    read.warmup_iterations = wire_get_u64(reader);
    read.pairs = wire_get_u32(reader);
    read.depth = wire_get_u32(reader);
    read.inline_bytes = (int32_t)wire_get_u32(reader);
    read.post_list = wire_get_u32(reader);
    read.signal_interval = wire_get_u32(reader);
    read.mtu = wire_get_u32(reader);
    read.service_level = wire_get_u8(reader);
    read.traffic_class = wire_get_u8(reader);
    read.wait = (enum link_wait)wire_get_u8(reader);
    read.rate_limit_Bps = wire_get_u64(reader);
    read.seed = wire_get_u64(reader);
    wire_get_text(reader, read.transport, sizeof read.transport);
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        get_end(reader, &read.ends[side]);
    }
    if (reader->failed || reader->offset != reader->length) {
        return fail_quietly(KOLO_ERR_PROTOCOL, "the bytes are no request");
    }
    kolo_status status = link_request_check(&read);
    if (status == KOLO_OK) {
        *request = read;
    }
    return status;
}
