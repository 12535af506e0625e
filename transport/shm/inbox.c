#include "transport/shm/inbox.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void finish(struct shm_inbox *box)
{
    struct transfer *receive = queue_pop(&box->queue);
    receive->span = NULL;
    receive->span_bytes = 0;
    receive->state = TRANSFER_DONE;
}

static void take(struct shm_inbox *box, struct transfer *receive, size_t bytes)
{
    if (shm_reader_take(&box->reader, bytes)) {
        shm_peer_wake(box->peer);
    }
    receive->moved += bytes;
    *box->bytes += bytes;
    if (receive->moved == receive->length) {
        finish(box);
    }
}

/* Match the next message with the receive. Returns true if anything came of it. */
static bool open_message(struct shm_inbox *box, struct transfer *receive)
{
    uint64_t word;
    struct shm_reader *reader = &box->reader;
    if (shm_reader_peek(reader, &word) == SHM_NOTHING) {
        return false;
    }
    if (!transfer_suits(receive, shm_reader_header(reader), shm_reader_length(word))) {
        queue_pop(&box->queue);
        return true;
    }
    if (!shm_reader_open(reader, word)) {
        return false;
    }
    if (receive->length == 0) {
        take(box, receive, 0);
    }
    return true;
}

static bool copy_out(struct shm_inbox *box, struct transfer *receive, size_t *budget)
{
    const uint8_t *bytes;
    size_t room = least(receive->ready - receive->moved, *budget);
    size_t count = room ? least(shm_reader_available(&box->reader, &bytes), room) : 0;
    if (count == 0) {
        return false;
    }
    memcpy(receive->data + receive->moved, bytes, count);
    *budget -= count;
    take(box, receive, count);
    return true;
}

static bool show_span(struct shm_inbox *box, struct transfer *receive)
{
    const uint8_t *bytes;
    size_t count = shm_reader_available(&box->reader, &bytes);
    if (count == receive->span_bytes) {
        return false;
    }
    receive->span = bytes;
    receive->span_bytes = count;
    return true;
}

static bool step_head(struct shm_inbox *box, struct transfer *receive, size_t *budget)
{
    bool opened = false;
    if (!box->reader.open) {
        opened = open_message(box, receive);
        if (!box->reader.open) {
            return opened;
        }
    }
    bool moved = receive->data ? copy_out(box, receive, budget) : show_span(box, receive);
    return moved || opened;
}

bool shm_inbox_step(struct shm_inbox *box)
{
    bool any = false;
    size_t budget = SHM_RECEIVE_STEP_BYTES;
    while (box->queue.head && step_head(box, box->queue.head, &budget)) {
        any = true;
    }
    return any;
}

bool shm_inbox_ready(struct shm_inbox *box)
{
    const struct transfer *receive = box->queue.head;
    struct shm_reader *reader = &box->reader;
    uint64_t word;
    const uint8_t *bytes;
    if (!receive) {
        return false;
    }
    if (!reader->open) {
        return shm_reader_peek(reader, &word) == SHM_MESSAGE || reader->broken;
    }
    size_t count = shm_reader_available(reader, &bytes);
    bool moves =
        receive->data ? count > 0 && receive->ready > receive->moved : count != receive->span_bytes;
    return moves || reader->broken;
}

void shm_inbox_release(struct shm_inbox *box, struct transfer *transfer, size_t bytes)
{
    assert(box->queue.head == transfer && bytes <= transfer->span_bytes);
    transfer->span += bytes;
    transfer->span_bytes -= bytes;
    take(box, transfer, bytes);
    if (transfer->state == TRANSFER_POSTED) {
        show_span(box, transfer);
    }
}

bool shm_inbox_cancel(struct shm_inbox *box, struct transfer *transfer)
{
    if (transfer->next || transfer->moved > 0) {
        return false;
    }
    if (box->queue.head != transfer) {
        return queue_remove(&box->queue, transfer);
    }
    if (box->reader.open) {
        shm_reader_close(&box->reader);
    }
    transfer->span = NULL;
    transfer->span_bytes = 0;
    queue_pop(&box->queue);
    return true;
}

bool shm_inbox_lives_on(struct shm_inbox *box)
{
    return shm_reader_has_whole(&box->reader);
}
