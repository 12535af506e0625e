#include "tests/transport/shm/pair.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"

static void demand(bool truth, const char *what)
{
    if (!truth) {
        fprintf(stderr, "process %d: %s: %s\n", (int)getpid(), what, kolo_last_error());
        abort();
    }
}

static void identify(uint8_t id[TRANSPORT_ID_BYTES], unsigned number)
{
    memset(id, (int)number + 1, TRANSPORT_ID_BYTES);
}

struct transport *pair_transport(unsigned self)
{
    struct transport *transport;
    struct transport_config config = {.sleeps_alone = true, .peer_timeout_ns = NS_PER_S};
    identify(config.self, self);
    demand(transport_shm.create(&transport, &config) == KOLO_OK, "create");
    return transport;
}

void pair_wait_up(struct link *link)
{
    uint64_t deadline_ns = clock_now_ns() + PAIR_PATIENCE_S * NS_PER_S;
    while (transport_shm.link_state(link, NULL, NULL) == LINK_CONNECTING) {
        transport_shm.progress(link->transport);
        demand(clock_now_ns() < deadline_ns, "the link does not come up");
    }
    demand(transport_shm.link_state(link, NULL, NULL) == LINK_UP, "the link is lost");
}

struct link *pair_link(struct transport *transport, unsigned self, unsigned other, int socket)
{
    struct link *link;
    uint8_t mine[TRANSPORT_OFFER_BYTES], theirs[TRANSPORT_OFFER_BYTES];
    size_t mine_bytes;
    struct link_config config = {.dials = self < other, .peer_name = "the other process"};
    config.token = self < other ? self * 1000 + other : other * 1000 + self;
    identify(config.peer, other);
    demand(transport_shm.link_create(&link, mine, &mine_bytes, transport, &config) == KOLO_OK,
           "link_create");
    demand(send(socket, mine, mine_bytes, 0) == (ssize_t)mine_bytes, "sending the offer");
    ssize_t theirs_bytes = recv(socket, theirs, sizeof theirs, 0);
    demand(theirs_bytes > 0, "receiving the offer");
    demand(transport_shm.link_connect(link, theirs, (size_t)theirs_bytes) == KOLO_OK,
           "link_connect");
    return link;
}

void pair_open(struct pair_end *end, unsigned self, int socket)
{
    end->transport = pair_transport(self);
    end->link = pair_link(end->transport, self, 1 - self, socket);
    pair_wait_up(end->link);
}

void pair_close(struct pair_end *end)
{
    transport_shm.link_close(end->link);
    transport_shm.destroy(end->transport);
}

static void prepare(struct transfer *transfer, void *data, size_t length, uint32_t tag)
{
    memset(transfer, 0, sizeof *transfer);
    transfer->data = data;
    transfer->length = length;
    transfer->ready = length;
    memcpy(transfer->header, &tag, sizeof tag);
}

void pair_send(struct link *link, unsigned lane, struct transfer *transfer, const void *data,
               size_t length, uint32_t tag)
{
    prepare(transfer, (void *)(uintptr_t)data, length, tag);
    transport_shm.send(link, lane, transfer);
}

void pair_receive(struct link *link, unsigned lane, struct transfer *transfer, void *data,
                  size_t length, uint32_t tag)
{
    prepare(transfer, data, length, tag);
    transport_shm.receive(link, lane, transfer);
}

void pair_wait(struct link *link, const struct transfer *transfer)
{
    uint64_t deadline_ns = 0;
    for (unsigned long spins = 0; transfer->state == TRANSFER_POSTED; spins++) {
        transport_shm.progress(link->transport);
        if (spins % 65536 == 65535) {
            uint64_t now_ns = clock_now_ns();
            deadline_ns = deadline_ns ? deadline_ns : now_ns + PAIR_PATIENCE_S * NS_PER_S;
            demand(now_ns < deadline_ns, "a transfer does not end");
        }
    }
}

unsigned pair_slept_out;

static void sleep_on_futex(struct transport *transport)
{
    uint64_t start_ns = clock_now_ns();
    transport_shm.sleep(transport, PAIR_SLEEP_NS);
    pair_slept_out += clock_now_ns() - start_ns >= PAIR_SLEEP_NS;
}

static void sleep_on_descriptor(struct transport *transport)
{
    struct pollfd poller = {.fd = transport_shm.wait_fd(transport), .events = POLLIN};
    demand(poll(&poller, 1, PAIR_PATIENCE_S * 1000) > 0, "nobody wakes this process");
}

static void wait_asleep(struct transport *transport, const struct transfer *transfer,
                        void (*rest)(struct transport *))
{
    uint64_t deadline_ns = clock_now_ns() + PAIR_PATIENCE_S * NS_PER_S;
    while (transfer->state == TRANSFER_POSTED) {
        if (transport_shm.progress(transport)) {
            continue;
        }
        if (transport_shm.arm(transport)) {
            rest(transport);
        }
        transport_shm.disarm(transport);
        demand(clock_now_ns() < deadline_ns, "a transfer does not end");
    }
}

void pair_wait_asleep(struct link *link, const struct transfer *transfer)
{
    wait_asleep(link->transport, transfer, sleep_on_futex);
}

void pair_wait_polling(struct link *link, const struct transfer *transfer)
{
    wait_asleep(link->transport, transfer, sleep_on_descriptor);
}
