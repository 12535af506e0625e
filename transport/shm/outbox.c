#include "transport/shm/outbox.h"

#include "transport/shm/copy.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void finish_if_moved(struct shm_outbox *box, struct transfer *send)
{
    if (send->moved == send->length) {
        queue_pop(&box->queue)->state = TRANSFER_DONE;
    }
}

static void count(struct shm_outbox *box, struct transfer *send, size_t bytes)
{
    send->moved += bytes;
    *box->bytes += bytes;
}

/* A message that is complete and short goes out in its slot. */
static void send_whole(struct shm_outbox *box, struct transfer *send)
{
    shm_writer_put(&box->writer, send->header, send->data, send->length);
    shm_peer_wake(box->peer);
    count(box, send, send->length);
    finish_if_moved(box, send);
}

/* Copy what is ready and fits, piece by piece, so that the peer copies one piece while we do the next. */
static bool send_pieces(struct shm_outbox *box, struct transfer *send, size_t *budget)
{
    bool moved = false;
    while (*budget > 0 && send->moved < send->ready) {
        uint8_t *place;
        size_t room = shm_writer_room(&box->writer, &place);
        size_t bytes = least(room, send->ready - send->moved);
        if (bytes == 0) {
            break;
        }
        shm_copy_to_ring(place, send->data + send->moved, bytes);
        shm_writer_commit(&box->writer, bytes);
        shm_peer_wake(box->peer);
        count(box, send, bytes);
        *budget -= least(bytes, *budget);
        moved = true;
    }
    if (moved) {
        finish_if_moved(box, send);
    }
    return moved;
}

/* The poster fills the room: tell it once when there is some again. */
static bool relieve(struct shm_outbox *box)
{
    if (!box->starved || !shm_outbox_ready(box)) {
        return false;
    }
    box->starved = false;
    return true;
}

static bool step_head(struct shm_outbox *box, struct transfer *send, size_t *budget)
{
    struct shm_writer *writer = &box->writer;
    if (!send->data && send->length > 0) {
        return relieve(box);
    }
    if (writer->writing == SHM_WRITING_NOTHING) {
        bool whole =
            send->length <= SHM_INLINE_BYTES && (send->ready == send->length || send->length == 0);
        if ((!whole && send->ready == 0) || !shm_writer_has_slot(writer)) {
            return false;
        }
        if (whole) {
            send_whole(box, send);
            return true;
        }
        shm_writer_begin_bulk(writer, send->header, send->length);
    }
    return send_pieces(box, send, budget);
}

bool shm_outbox_step(struct shm_outbox *box)
{
    bool any = false;
    size_t budget = SHM_SEND_STEP_BYTES;
    while (box->queue.head && step_head(box, box->queue.head, &budget)) {
        any = true;
    }
    return any;
}

bool shm_outbox_ready(struct shm_outbox *box)
{
    const struct transfer *send = box->queue.head;
    if (!send) {
        return false;
    }
    bool waits_for_poster = send->data ? send->ready == send->moved : !box->starved;
    if (send->length > 0 && waits_for_poster) {
        return false;
    }
    uint8_t *place;
    return box->writer.writing == SHM_WRITING_NOTHING ? shm_writer_has_slot(&box->writer)
                                                      : shm_writer_room(&box->writer, &place) > 0;
}

static bool begin_reserved(struct shm_writer *writer, const struct transfer *send)
{
    if (!shm_writer_has_slot(writer)) {
        return false;
    }
    if (send->length <= SHM_INLINE_BYTES) {
        shm_writer_begin_inline(writer, send->header, send->length);
    } else {
        shm_writer_begin_bulk(writer, send->header, send->length);
    }
    return true;
}

size_t shm_outbox_reserve(struct shm_outbox *box, struct transfer *transfer, uint8_t **place)
{
    assert(!transfer->data);
    if (box->queue.head != transfer || transfer->length == 0) {
        return 0;
    }
    if (!box->place) {
        struct shm_writer *writer = &box->writer;
        bool begun = writer->writing != SHM_WRITING_NOTHING || begin_reserved(writer, transfer);
        size_t room = begun ? shm_writer_room(writer, &box->place) : 0;
        box->starved = room == 0;
        if (room == 0) {
            box->place = NULL;
            return 0;
        }
        box->place_bytes = room;
    }
    *place = box->place_bytes >= SHM_COPY_AROUND_BYTES ? box->stage : box->place;
    return box->place_bytes;
}

void shm_outbox_commit(struct shm_outbox *box, struct transfer *transfer, size_t bytes)
{
    assert(box->queue.head == transfer && bytes <= box->place_bytes);
    if (bytes == 0) {
        return;
    }
    if (box->place_bytes >= SHM_COPY_AROUND_BYTES) {
        shm_copy_to_ring(box->place, box->stage, bytes);
    }
    box->place = NULL;
    shm_writer_commit(&box->writer, bytes);
    shm_peer_wake(box->peer);
    count(box, transfer, bytes);
    finish_if_moved(box, transfer);
}

bool shm_outbox_cancel(struct shm_outbox *box, struct transfer *transfer)
{
    if (transfer->next || transfer->moved > 0) {
        return false;
    }
    if (box->queue.head != transfer) {
        return queue_remove(&box->queue, transfer);
    }
    if (box->writer.writing != SHM_WRITING_NOTHING) {
        shm_writer_forget(&box->writer);
    }
    box->place = NULL;
    queue_pop(&box->queue);
    return true;
}
