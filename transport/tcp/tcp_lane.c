#include "transport/tcp/tcp_lane.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CACHE_LINE 64
#define TOGETHER_BYTES 1024  /* sends of up to so many bytes are copied into one piece */
#define RECEIVES_PER_CALL 64 /* messages, so that the other direction gets its turn */

/* Offsets in a frame. */
enum { FRAME_MAGIC = 0, FRAME_NUMBER = 4, FRAME_LENGTH = 8, FRAME_HEADER = 16 };
_Static_assert(FRAME_HEADER + TRANSPORT_HEADER_BYTES == TCP_FRAME_BYTES, "frame layout");
_Static_assert(TCP_LANE_AHEAD_BYTES >= 2 * TCP_FRAME_BYTES, "a frame fits into the read-ahead");

kolo_status tcp_lane_init(struct tcp_lane *lane, unsigned index)
{
    memset(lane, 0, sizeof *lane);
    lane->fd = -1;
    lane->index = (uint8_t)index;
    lane->ahead = aligned_alloc(CACHE_LINE, TCP_LANE_AHEAD_BYTES);
    lane->bounce = aligned_alloc(CACHE_LINE, TCP_LANE_BOUNCE_BYTES);
    return lane->ahead != NULL && lane->bounce != NULL ? KOLO_OK : KOLO_ERR_MEMORY;
}

void tcp_lane_fini(struct tcp_lane *lane)
{
    free(lane->ahead);
    free(lane->bounce);
    lane->ahead = NULL;
    lane->bounce = NULL;
}

/* ---- the lines of posted transfers -------------------------------------------------------------------------------- */

static void push(struct transfer **first, struct transfer **last, struct transfer *transfer)
{
    transfer->state = TRANSFER_POSTED;
    transfer->status = KOLO_OK;
    transfer->moved = 0;
    transfer->scratch = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->next = NULL;
    if (*first == NULL) {
        *first = transfer;
    } else {
        (*last)->next = transfer;
    }
    *last = transfer;
}

void tcp_lane_post_send(struct tcp_lane *lane, struct transfer *transfer)
{
    assert(transfer->data != NULL || transfer->length == 0);
    push(&lane->sends, &lane->last_send, transfer);
}

void tcp_lane_post_receive(struct tcp_lane *lane, struct transfer *transfer)
{
    push(&lane->receives, &lane->last_receive, transfer);
}

static void pop_send(struct tcp_lane *lane)
{
    struct transfer *transfer = lane->sends;
    lane->sends = transfer->next;
    lane->send_number++;
    transfer->state = TRANSFER_DONE;
}

/* The message of the first receive is complete. */
static void pop_receive(struct tcp_lane *lane)
{
    struct transfer *transfer = lane->receives;
    assert(transfer->moved == transfer->length);
    lane->receives = transfer->next;
    lane->framed = false;
    lane->bounce_end = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    transfer->state = TRANSFER_DONE;
}

static void fail_transfer(struct transfer *transfer, kolo_status status)
{
    transfer->state = TRANSFER_FAILED;
    transfer->status = status;
    transfer->span = NULL;
    transfer->span_bytes = 0;
}

void tcp_lane_fail(struct tcp_lane *lane, kolo_status status)
{
    while (lane->sends != NULL) {
        struct transfer *transfer = lane->sends;
        lane->sends = transfer->next;
        fail_transfer(transfer, status);
    }
    while (lane->receives != NULL) {
        struct transfer *transfer = lane->receives;
        lane->receives = transfer->next;
        fail_transfer(transfer, status);
    }
}

/* Takes `transfer` out of the line. Returns false if it is not in it. */
static bool take_out(struct transfer **first, struct transfer **last, struct transfer *transfer)
{
    struct transfer *previous = NULL;
    for (struct transfer *at = *first; at != NULL; previous = at, at = at->next) {
        if (at != transfer) {
            continue;
        }
        if (previous == NULL) {
            *first = at->next;
        } else {
            previous->next = at->next;
        }
        if (*last == at) {
            *last = previous;
        }
        return true;
    }
    return false;
}

bool tcp_lane_cancel(struct tcp_lane *lane, struct transfer *transfer)
{
    bool untouched = transfer->scratch == 0 && transfer->next == NULL;
    if (transfer == lane->receives && lane->framed) {
        untouched = false; /* its frame is gone from the read-ahead */
    }
    bool found = take_out(&lane->sends, &lane->last_send, transfer) ||
                 take_out(&lane->receives, &lane->last_receive, transfer);
    assert(found);
    (void)found;
    fail_transfer(transfer, KOLO_ERR_ABORTED);
    return untouched;
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How far a send's payload may go out. */
static size_t send_limit(const struct transfer *transfer)
{
    return smaller(transfer->ready, transfer->length);
}

/* Bytes of a send, its frame included, that may go out now: none before the first byte of payload is ready. scratch counts what
 * has gone. */
static size_t sendable(const struct transfer *transfer)
{
    size_t limit = send_limit(transfer);
    if (limit == 0 && transfer->length > 0) {
        return 0;
    }
    return TCP_FRAME_BYTES + limit - transfer->scratch;
}

static void encode_frame(uint8_t frame[TCP_FRAME_BYTES], const struct transfer *transfer,
                         uint32_t number)
{
    uint32_t magic = htole32(TCP_FRAME_MAGIC);
    uint64_t length = htole64((uint64_t)transfer->length);
    number = htole32(number);
    memcpy(frame + FRAME_MAGIC, &magic, sizeof magic);
    memcpy(frame + FRAME_NUMBER, &number, sizeof number);
    memcpy(frame + FRAME_LENGTH, &length, sizeof length);
    memcpy(frame + FRAME_HEADER, transfer->header, TRANSPORT_HEADER_BYTES);
}

/* One system call's worth of frames and payloads. */
struct batch {
    size_t bytes;
    size_t parts;
    struct iovec part[2 * TCP_LANE_BATCH];
    uint8_t frame[TCP_LANE_BATCH][TCP_FRAME_BYTES];
};

static void batch_add(struct batch *batch, uint8_t *bytes, size_t length)
{
    batch->part[batch->parts++] = (struct iovec){.iov_base = bytes, .iov_len = length};
    batch->bytes += length;
}

static void gather(struct batch *batch, const struct tcp_lane *lane)
{
    struct transfer *transfer = lane->sends;
    size_t payload = 0;
    batch->bytes = 0;
    batch->parts = 0;
    for (uint32_t i = 0; i < TCP_LANE_BATCH && transfer != NULL; i++, transfer = transfer->next) {
        size_t gone = transfer->scratch;
        size_t rest = sendable(transfer);
        if (rest > 0 && gone < TCP_FRAME_BYTES) {
            encode_frame(batch->frame[i], transfer, lane->send_number + i);
            batch_add(batch, batch->frame[i] + gone, TCP_FRAME_BYTES - gone);
            rest -= TCP_FRAME_BYTES - gone;
            gone = TCP_FRAME_BYTES;
        }
        rest = smaller(rest, TCP_LANE_CHUNK_BYTES - payload);
        if (rest > 0) {
            batch_add(batch, transfer->data + (gone - TCP_FRAME_BYTES), rest);
            payload += rest;
        }
        if (gone + rest < TCP_FRAME_BYTES + transfer->length) {
            break; /* what follows it has to wait */
        }
    }
}

/* `bytes` have gone to the kernel: divide them among the first sends. */
static void account_sent(struct tcp_lane *lane, size_t bytes)
{
    while (bytes > 0) {
        struct transfer *transfer = lane->sends;
        size_t part = smaller(bytes, TCP_FRAME_BYTES + transfer->length - transfer->scratch);
        bytes -= part;
        transfer->scratch += part;
        if (transfer->scratch > TCP_FRAME_BYTES) {
            size_t moved = transfer->scratch - TCP_FRAME_BYTES;
            lane->sent_bytes += moved - transfer->moved;
            transfer->moved = moved;
        }
        if (transfer->scratch == TCP_FRAME_BYTES + transfer->length) {
            pop_send(lane);
        } else {
            assert(bytes == 0);
        }
    }
}

/* Hand a batch to the kernel. Small ones are put together first: cheaper than having the kernel read a list of parts. */
static ssize_t push_batch(int fd, const struct batch *batch)
{
    uint8_t together[TOGETHER_BYTES];
    if (batch->bytes > sizeof together) {
        struct msghdr message = {.msg_iov = (struct iovec *)batch->part,
                                 .msg_iovlen = batch->parts};
        return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    size_t length = 0;
    for (size_t i = 0; i < batch->parts; i++) {
        memcpy(together + length, batch->part[i].iov_base, batch->part[i].iov_len);
        length += batch->part[i].iov_len;
    }
    return send(fd, together, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool tcp_lane_can_send(const struct tcp_lane *lane)
{
    return lane->sends != NULL && lane->writable && sendable(lane->sends) > 0;
}

bool tcp_lane_send(struct tcp_lane *lane)
{
    struct batch batch;
    size_t sent = 0;
    while (sent < TCP_LANE_CHUNK_BYTES && tcp_lane_can_send(lane)) {
        gather(&batch, lane);
        ssize_t went = push_batch(lane->fd, &batch);
        if (went < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                lane->writable = false;
            } else if (errno != EINTR) {
                lane->writable = false;
                lane->send_error = errno;
            }
            break;
        }
        account_sent(lane, (size_t)went);
        sent += (size_t)went;
        if ((size_t)went < batch.bytes) {
            lane->writable = false; /* the kernel is full: epoll tells when it is not */
        }
    }
    return sent > 0;
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

static size_t ahead_bytes(const struct tcp_lane *lane)
{
    return lane->ahead_end - lane->ahead_start;
}

/* Ask the kernel for bytes: into `into`, and what comes behind them into the (empty) read-ahead buffer. Returns how many came;
 * 0: none now, or none ever again (see `end`). */
static size_t take(struct tcp_lane *lane, uint8_t *into, size_t length, size_t ahead)
{
    ssize_t got;
    if (ahead == 0) {
        got = recv(lane->fd, into, length, MSG_DONTWAIT);
    } else {
        struct iovec parts[2] = {{.iov_base = into, .iov_len = length},
                                 {.iov_base = lane->ahead, .iov_len = ahead}};
        got = readv(lane->fd, parts, 2);
    }
    if (got > 0) {
        lane->readable = (size_t)got == length + ahead; /* less: that was all there is */
        return (size_t)got;
    }
    if (got == 0) {
        lane->end = TCP_LANE_CLOSED;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        lane->readable = false;
    } else if (errno != EINTR) {
        lane->end = TCP_LANE_BROKEN;
        lane->error = errno;
    }
    return 0;
}

/* How much to read where a frame is expected: with small messages, as many of them as come; before a large one its frame only,
 * so that its payload need not be copied. */
static size_t ahead_wanted(const struct transfer *expected)
{
    size_t wanted = 0;
    for (; expected != NULL; expected = expected->next) {
        size_t whole = TCP_FRAME_BYTES + expected->length;
        if (whole > TCP_LANE_AHEAD_BYTES - wanted) {
            wanted += wanted + TCP_FRAME_BYTES <= TCP_LANE_AHEAD_BYTES ? TCP_FRAME_BYTES : 0;
            break;
        }
        wanted += whole;
    }
    return wanted > 0 ? wanted : TCP_FRAME_BYTES;
}

/* Have a whole frame in the read-ahead buffer. Returns false if it is not there yet. */
static bool read_frame(struct tcp_lane *lane)
{
    size_t have = ahead_bytes(lane);
    if (have >= TCP_FRAME_BYTES) {
        return true;
    }
    if (lane->ahead_start > 0) {
        memmove(lane->ahead, lane->ahead + lane->ahead_start, have);
        lane->ahead_start = 0;
        lane->ahead_end = (uint32_t)have;
    }
    size_t wanted = ahead_wanted(lane->receives);
    lane->ahead_end += (uint32_t)take(lane, lane->ahead + have, wanted - have, 0);
    return ahead_bytes(lane) >= TCP_FRAME_BYTES;
}

/* Judge the frame in the read-ahead buffer. A message that does not suit fails the receive and stays where it is, for the next
 * receive to be compared with. */
static void match_frame(struct tcp_lane *lane)
{
    struct transfer *transfer = lane->receives;
    const uint8_t *frame = lane->ahead + lane->ahead_start;
    uint32_t magic;
    uint32_t number;
    uint64_t length;
    memcpy(&magic, frame + FRAME_MAGIC, sizeof magic);
    memcpy(&number, frame + FRAME_NUMBER, sizeof number);
    memcpy(&length, frame + FRAME_LENGTH, sizeof length);
    if (le32toh(magic) != TCP_FRAME_MAGIC || le32toh(number) != lane->receive_number) {
        lane->end = TCP_LANE_HOSTILE;
        return;
    }
    if (!transfer_suits(transfer, frame + FRAME_HEADER, (size_t)le64toh(length))) {
        lane->receives = transfer->next;
        return;
    }
    lane->ahead_start += TCP_FRAME_BYTES;
    lane->receive_number++;
    lane->framed = true;
}

/* Room for payload of the first receive: at *place. */
static size_t room(const struct tcp_lane *lane, const struct transfer *transfer, uint8_t **place)
{
    size_t rest = transfer->length - transfer->scratch;
    if (transfer->data != NULL) {
        *place = transfer->data + transfer->scratch;
        size_t limit = send_limit(transfer);
        return limit > transfer->scratch ? limit - transfer->scratch : 0;
    }
    *place = lane->bounce + lane->bounce_end;
    return smaller(rest, TCP_LANE_BOUNCE_BYTES - lane->bounce_end);
}

/* `bytes` of payload lie in their place. */
static void account_received(struct tcp_lane *lane, struct transfer *transfer, size_t bytes)
{
    transfer->scratch += bytes;
    lane->received_bytes += bytes;
    if (transfer->data != NULL) {
        transfer->moved = transfer->scratch;
        return;
    }
    if (transfer->span_bytes == 0) {
        transfer->span = lane->bounce + lane->bounce_end;
    }
    transfer->span_bytes += bytes;
    lane->bounce_end += (uint32_t)bytes;
}

/* Bring payload of the first receive to its place: first what has been read ahead, then from the kernel. Returns how much. */
static size_t receive_payload(struct tcp_lane *lane)
{
    struct transfer *transfer = lane->receives;
    uint8_t *place;
    size_t wanted = room(lane, transfer, &place);
    size_t got = smaller(wanted, ahead_bytes(lane));
    if (got > 0) {
        memcpy(place, lane->ahead + lane->ahead_start, got);
        lane->ahead_start += (uint32_t)got;
    } else if (wanted > 0) {
        wanted = smaller(wanted, TCP_LANE_CHUNK_BYTES);
        bool last = transfer->scratch + wanted == transfer->length;
        got = take(lane, place, wanted, last ? ahead_wanted(transfer->next) : 0);
        lane->ahead_start = 0;
        lane->ahead_end = got > wanted ? (uint32_t)(got - wanted) : 0;
        got = smaller(got, wanted);
    }
    account_received(lane, transfer, got);
    return got;
}

bool tcp_lane_wants(const struct tcp_lane *lane)
{
    uint8_t *place;
    return lane->receives != NULL && (!lane->framed || room(lane, lane->receives, &place) > 0);
}

bool tcp_lane_can_receive(const struct tcp_lane *lane)
{
    bool ahead = ahead_bytes(lane) >= (lane->framed ? 1 : TCP_FRAME_BYTES);
    return (lane->readable || ahead) && tcp_lane_wants(lane);
}

bool tcp_lane_receive(struct tcp_lane *lane)
{
    size_t bytes = 0;
    unsigned messages = 0;
    while (bytes < TCP_LANE_CHUNK_BYTES && messages < RECEIVES_PER_CALL &&
           lane->end == TCP_LANE_OPEN && tcp_lane_wants(lane)) {
        if (!lane->framed) {
            if (!read_frame(lane)) {
                break;
            }
            match_frame(lane);
            messages++;
            if (!lane->framed) {
                continue; /* it did not suit, or is no frame */
            }
        }
        if (lane->receives->length > 0) {
            size_t got = receive_payload(lane);
            bytes += got;
            if (got == 0) {
                break;
            }
        }
        if (lane->receives->moved == lane->receives->length) {
            pop_receive(lane);
        }
        if (!tcp_lane_can_receive(lane)) {
            break; /* after a short read the kernel has no more: no need to ask */
        }
    }
    return bytes > 0 || messages > 0;
}

void tcp_lane_release(struct tcp_lane *lane, struct transfer *transfer, size_t bytes)
{
    assert(transfer == lane->receives && transfer->data == NULL);
    assert(bytes <= transfer->span_bytes);
    transfer->moved += bytes;
    transfer->span += bytes;
    transfer->span_bytes -= bytes;
    if (transfer->moved == transfer->length) {
        pop_receive(lane);
    } else if (transfer->span_bytes == 0) {
        lane->bounce_end = 0; /* from the start again: that memory is in the cache */
        transfer->span = NULL;
    } else if (lane->bounce_end == TCP_LANE_BOUNCE_BYTES &&
               transfer->span_bytes < TCP_LANE_BOUNCE_BYTES / 4) {
        memmove(lane->bounce, transfer->span, transfer->span_bytes);
        transfer->span = lane->bounce;
        lane->bounce_end = (uint32_t)transfer->span_bytes;
    }
}

bool tcp_lane_probe_end(struct tcp_lane *lane)
{
    uint8_t byte;
    if (lane->end == TCP_LANE_OPEN && ahead_bytes(lane) == 0) {
        ssize_t got = recv(lane->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got == 0) {
            lane->end = TCP_LANE_CLOSED;
        } else if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            lane->end = TCP_LANE_BROKEN;
            lane->error = errno;
        }
    }
    return lane->end != TCP_LANE_OPEN;
}
