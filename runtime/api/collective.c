#include <stdint.h>

#include "runtime/api/comm.h"

/* Argument checks of all collectives, then one way down: comm_submit(). */

enum overlap { APART, SAME, PARTLY };

static enum overlap overlap_of(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t left = (uintptr_t)a;
    uintptr_t right = (uintptr_t)b;
    if (a_bytes == 0 || b_bytes == 0 || left + a_bytes <= right || right + b_bytes <= left) {
        return APART;
    }
    return left == right && a_bytes == b_bytes ? SAME : PARTLY;
}

static kolo_status check_group(const char *call, const kolo_comm *comm, const kolo_queue *queue)
{
    if (comm == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "%s: comm is NULL; open it with kolo_open first", call);
    }
    if (queue != NULL && queue->comm != comm) {
        return fail(KOLO_ERR_ARGUMENT, "%s: the queue belongs to another communicator", call);
    }
    return KOLO_OK;
}

static kolo_status check_type(const char *call, const kolo_comm *comm, size_t count, kolo_type type)
{
    size_t element = kolo_type_size(type);
    if (element == 0) {
        return fail(KOLO_ERR_ARGUMENT, "%s: %d is not a kolo_type", call, (int)type);
    }
    if (count > SIZE_MAX / 2 / element / comm->group.size) {
        return fail(KOLO_ERR_LIMIT,
                    "%s: %zu elements of %zu bytes on %u ranks do not fit in memory", call, count,
                    element, comm->group.size);
    }
    return KOLO_OK;
}

static kolo_status check_operator(const char *call, kolo_operator op)
{
    if (kolo_operator_name(op) == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "%s: %d is not a kolo_operator", call, (int)op);
    }
    return KOLO_OK;
}

static kolo_status check_root(const char *call, const kolo_comm *comm, int root)
{
    if (root < 0 || (uint32_t)root >= comm->group.size) {
        return fail(KOLO_ERR_ARGUMENT, "%s: root %d is not a rank; ranks are 0 to %u", call, root,
                    comm->group.size - 1);
    }
    return KOLO_OK;
}

static kolo_status check_pointer(const char *call, const char *name, const void *pointer,
                                 size_t count, size_t element)
{
    if (pointer == NULL && count > 0) {
        return fail(KOLO_ERR_ARGUMENT, "%s: %s is NULL but count is %zu", call, name, count);
    }
    if ((uintptr_t)pointer % element != 0) {
        return fail(KOLO_ERR_ARGUMENT,
                    "%s: %s is at %p, not aligned to the %zu bytes of an element", call, name,
                    pointer, element);
    }
    return KOLO_OK;
}

static kolo_status check_overlap(const char *call, const void *out, size_t out_bytes,
                                 const void *in, size_t in_bytes, const void *in_place)
{
    enum overlap overlap = overlap_of(out, out_bytes, in, in_bytes);
    bool allowed = overlap == APART || (out_bytes == in_bytes && overlap == SAME) ||
                   (out_bytes != in_bytes && (out_bytes > in_bytes ? in : out) == in_place);
    if (!allowed) {
        return fail(
            KOLO_ERR_ARGUMENT,
            "%s: out (%p, %zu bytes) and in (%p, %zu bytes) overlap, but not as 'in place' asks "
            "for; see kolo.h",
            call, out, out_bytes, in, in_bytes);
    }
    return KOLO_OK;
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        kolo_status status_ = (call);                                                              \
        if (status_ != KOLO_OK) {                                                                  \
            return status_;                                                                        \
        }                                                                                          \
    } while (0)

kolo_status kolo_all_reduce(kolo_comm *comm, void *out, const void *in, size_t count,
                            kolo_type type, kolo_operator op, kolo_queue *queue)
{
    static const char call[] = "kolo_all_reduce";
    TRY(check_group(call, comm, queue));
    TRY(check_type(call, comm, count, type));
    TRY(check_operator(call, op));
    size_t element = kolo_type_size(type);
    TRY(check_pointer(call, "out", out, count, element));
    TRY(check_pointer(call, "in", in, count, element));
    TRY(check_overlap(call, out, count * element, in, count * element, NULL));
    const struct request request = {COLLECTIVE_ALL_REDUCE, out, in, count, type, op, 0};
    return comm_submit(comm, &request, queue);
}

kolo_status kolo_reduce_scatter(kolo_comm *comm, void *out, const void *in, size_t count,
                                kolo_type type, kolo_operator op, kolo_queue *queue)
{
    static const char call[] = "kolo_reduce_scatter";
    TRY(check_group(call, comm, queue));
    TRY(check_type(call, comm, count, type));
    TRY(check_operator(call, op));
    size_t block = count * kolo_type_size(type);
    TRY(check_pointer(call, "out", out, count, kolo_type_size(type)));
    TRY(check_pointer(call, "in", in, count, kolo_type_size(type)));
    const uint8_t *own = in == NULL ? NULL : (const uint8_t *)in + comm->group.rank * block;
    TRY(check_overlap(call, out, block, in, block * comm->group.size, own));
    const struct request request = {COLLECTIVE_REDUCE_SCATTER, out, in, count, type, op, 0};
    return comm_submit(comm, &request, queue);
}

kolo_status kolo_all_gather(kolo_comm *comm, void *out, const void *in, size_t count,
                            kolo_type type, kolo_queue *queue)
{
    static const char call[] = "kolo_all_gather";
    TRY(check_group(call, comm, queue));
    TRY(check_type(call, comm, count, type));
    size_t block = count * kolo_type_size(type);
    TRY(check_pointer(call, "out", out, count, kolo_type_size(type)));
    TRY(check_pointer(call, "in", in, count, kolo_type_size(type)));
    const uint8_t *own = out == NULL ? NULL : (const uint8_t *)out + comm->group.rank * block;
    TRY(check_overlap(call, out, block * comm->group.size, in, block, own));
    const struct request request = {COLLECTIVE_ALL_GATHER, out, in, count, type, KOLO_SUM, 0};
    return comm_submit(comm, &request, queue);
}

kolo_status kolo_broadcast(kolo_comm *comm, void *out, const void *in, size_t count, kolo_type type,
                           int root, kolo_queue *queue)
{
    static const char call[] = "kolo_broadcast";
    TRY(check_group(call, comm, queue));
    TRY(check_type(call, comm, count, type));
    TRY(check_root(call, comm, root));
    size_t element = kolo_type_size(type);
    TRY(check_pointer(call, "out", out, count, element));
    if ((uint32_t)root == comm->group.rank) {
        TRY(check_pointer(call, "in", in, count, element));
        TRY(check_overlap(call, out, count * element, in, count * element, NULL));
    }
    const struct request request = {COLLECTIVE_BROADCAST, out, in, count, type, KOLO_SUM,
                                    (uint32_t)root};
    return comm_submit(comm, &request, queue);
}

kolo_status kolo_reduce(kolo_comm *comm, void *out, const void *in, size_t count, kolo_type type,
                        kolo_operator op, int root, kolo_queue *queue)
{
    static const char call[] = "kolo_reduce";
    TRY(check_group(call, comm, queue));
    TRY(check_type(call, comm, count, type));
    TRY(check_operator(call, op));
    TRY(check_root(call, comm, root));
    size_t element = kolo_type_size(type);
    TRY(check_pointer(call, "in", in, count, element));
    if ((uint32_t)root == comm->group.rank) {
        TRY(check_pointer(call, "out", out, count, element));
        TRY(check_overlap(call, out, count * element, in, count * element, NULL));
    }
    const struct request request = {COLLECTIVE_REDUCE, out, in, count, type, op, (uint32_t)root};
    return comm_submit(comm, &request, queue);
}

kolo_status kolo_barrier(kolo_comm *comm, kolo_queue *queue)
{
    TRY(check_group("kolo_barrier", comm, queue));
    const struct request request = {COLLECTIVE_BARRIER, NULL, NULL, 0, KOLO_U8, KOLO_SUM, 0};
    return comm_submit(comm, &request, queue);
}
