/* The message test: the library's own way of sending (transport.h), as collectives use it: messages posted on the lanes of one link,
 * received where they belong. Rates are those of the receiver. */
#include <kolo/kolo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "tools/link_buffer.h"
#include "tools/link_message_wire.h"

#define FLIGHT_MAX 64 /* messages posted at a time, on all lanes */
#define FLIGHT_BYTES (UINT64_C(64) << 20)
#define FLIGHT_LEAST 4
#define CONTROL_INTERVAL_NS (2 * NS_PER_MS) /* how often the control connection is looked at */
#define SPIN_NS (50 * NS_PER_US)            /* without anything happening, before sleeping */

struct message_bench {
    struct link_bench bench;
    struct link_message_wire wire;
    uint8_t *out, *in; /* kolo_alloc: one message; a message for each receive */
    uint8_t *expected; /* what must arrive; NULL: not looked at */

    /* of a run */
    const struct link_run *run;
    unsigned flight; /* transfers of each direction in use */
    struct transfer sends[FLIGHT_MAX], receives[FLIGHT_MAX];
    uint64_t posted[TRANSPORT_LANES]; /* sends */
    uint64_t sent;                    /* sends that are done */
    uint64_t wanted, received;        /* receives posted, and done */
    uint64_t began_ns, end_ns, messages;
    bool said_done, said_wanted; /* what the peer has been told: see finish() */
    bool heard_done, heard_wanted;
    uint64_t promised[TRANSPORT_LANES]; /* messages that the peer says it has sent */
    uint64_t asked[TRANSPORT_LANES];    /* and how many it has posted receives for, in [0] */
    uint64_t look_ns, quiet_since_ns;
    struct link_meter meter;
    uint64_t wrong;
};

static uint64_t greatest_size(const struct link_request *request)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < request->size_count; i++) {
        most = request->size_bytes[i] > most ? request->size_bytes[i] : most;
    }
    return most;
}

/* Messages in flight: the depth, as far as memory goes; whole rounds of the lanes. */
static unsigned flight_of(const struct link_request *request, uint64_t size_bytes)
{
    uint64_t flight = FLIGHT_BYTES / size_bytes;
    flight = flight > request->depth ? request->depth : flight;
    flight = flight > FLIGHT_MAX ? FLIGHT_MAX : flight < FLIGHT_LEAST ? FLIGHT_LEAST : flight;
    return (unsigned)(flight / TRANSPORT_LANES * TRANSPORT_LANES);
}

static void message_close(struct link_bench *bench)
{
    struct message_bench *message = (struct message_bench *)bench;
    link_message_wire_close(&message->wire);
    kolo_free(message->out);
    kolo_free(message->in);
    free(message->expected);
    free(message);
}

static bool allocate(struct message_bench *message, const struct link_request *request)
{
    size_t room = 0;
    for (unsigned i = 0; i < request->size_count; i++) {
        uint64_t size = request->size_bytes[i];
        size_t needed = (size_t)(size * flight_of(request, size));
        room = needed > room ? needed : room;
    }
    size_t most = (size_t)greatest_size(request);
    message->out = kolo_alloc(most);
    message->in = kolo_alloc(room);
    message->expected = request->validate ? malloc(most > 0 ? most : 1) : NULL;
    return message->out != NULL && message->in != NULL &&
           (message->expected != NULL || !request->validate);
}

static kolo_status message_open(struct link_bench **bench, struct wire_writer *address,
                                struct link_host *host, const struct link_place *place)
{
    (void)host; /* the device of the hello is as good as any */
    struct message_bench *message = calloc(1, sizeof *message);
    if (message == NULL) {
        return fail_quietly(KOLO_ERR_MEMORY, "out of memory");
    }
    message->bench = (struct link_bench){.ops = &link_message, .place = place};
    kolo_status status = allocate(message, place->request)
                             ? link_message_wire_open(&message->wire, address, place)
                             : fail_quietly(KOLO_ERR_MEMORY, "no memory for the messages");
    if (status != KOLO_OK) {
        message_close(&message->bench);
        return status;
    }
    *bench = &message->bench;
    return KOLO_OK;
}

static kolo_status message_connect(struct link_bench *bench, struct wire_reader *address,
                                   uint64_t deadline_ns)
{
    struct message_bench *message = (struct message_bench *)bench;
    return link_message_wire_connect(&message->wire, address, bench->place, deadline_ns);
}

static void post_receive(struct message_bench *message)
{
    unsigned slot = (unsigned)(message->wanted % message->flight);
    unsigned lane = (unsigned)(message->wanted % TRANSPORT_LANES);
    size_t size = (size_t)message->run->size_bytes;
    struct transfer *transfer = &message->receives[slot];
    *transfer = (struct transfer){.data = message->in + slot * size, .length = size, .ready = size};
    message->wanted++;
    message->wire.link->ops->receive(message->wire.link, lane, transfer);
}

static void post_send(struct message_bench *message, uint64_t number)
{
    unsigned lane = (unsigned)(number % TRANSPORT_LANES);
    size_t size = (size_t)message->run->size_bytes;
    struct transfer *transfer = &message->sends[number % message->flight];
    *transfer = (struct transfer){.data = message->out, .length = size, .ready = size};
    message->posted[lane]++;
    message->wire.link->ops->send(message->wire.link, lane, transfer);
}

static kolo_status message_prepare(struct link_bench *bench, const struct link_run *run)
{
    struct message_bench *message = (struct message_bench *)bench;
    const struct link_request *request = bench->place->request;
    bool pings = run->mode == LINK_LATENCY;
    message->run = run;
    message->flight = pings ? TRANSPORT_LANES : flight_of(request, run->size_bytes);
    message->sent = message->wanted = message->received = message->wrong = 0;
    message->said_done = message->heard_done = false;
    message->said_wanted = message->heard_wanted = false;
    message->look_ns = message->quiet_since_ns = 0;
    message->meter = (struct link_meter){0};
    memset(message->posted, 0, sizeof message->posted);
    memset(message->sends, 0, sizeof message->sends);
    memset(message->receives, 0, sizeof message->receives);
    if (request->validate) {
        link_buffer_pattern(message->out, (size_t)run->size_bytes, request->seed);
        link_buffer_pattern(message->expected, (size_t)run->size_bytes, request->seed);
    }
    bool receives = pings || link_request_sends(request, 1 - bench->place->side);
    while (receives && message->wanted < message->flight) {
        post_receive(message);
    }
    return KOLO_OK;
}

/* Look at the control connection now and then. */
static kolo_status look(struct message_bench *message)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns < message->look_ns) {
        return KOLO_OK;
    }
    message->look_ns = now_ns + CONTROL_INTERVAL_NS;
    if (now_ns > message->run->deadline_ns) {
        return fail_quietly(KOLO_ERR_TIMEOUT, "%s has been silent for too long",
                            message->bench.place->control->peer);
    }
    if (message->heard_wanted) {
        return KOLO_OK;
    }
    return message->heard_done ? link_bench_hear_done(message->bench.place, &message->heard_wanted,
                                                      message->asked, TRANSPORT_LANES)
                               : link_bench_hear_done(message->bench.place, &message->heard_done,
                                                      message->promised, TRANSPORT_LANES);
}

/* Move bytes; sleep if nothing has happened for a while and the request does not say poll. */
static kolo_status move(struct message_bench *message)
{
    const struct link_message_wire *wire = &message->wire;
    enum link_wait wait = message->bench.place->request->wait;
    if (wire->transport->ops->progress(wire->transport)) {
        message->quiet_since_ns = 0;
    } else if (wait != LINK_WAIT_POLL) {
        uint64_t now_ns = clock_now_ns();
        message->quiet_since_ns = message->quiet_since_ns == 0 ? now_ns : message->quiet_since_ns;
        if (wait == LINK_WAIT_EVENTS || now_ns - message->quiet_since_ns > SPIN_NS) {
            link_message_wire_sleep(wire, message->bench.place->control->fd);
        }
    }
    return look(message);
}

static kolo_status transfer_failed(const struct message_bench *message,
                                   const struct transfer *transfer)
{
    return transfer->status == KOLO_ERR_MISMATCH
               ? fail_quietly(KOLO_ERR_PROTOCOL, "%s sent another message than was to come",
                              message->bench.place->control->peer)
               : link_message_wire_lost(&message->wire);
}

static void check_message(struct message_bench *message, struct transfer *transfer)
{
    size_t size = (size_t)message->run->size_bytes;
    if (message->expected != NULL) {
        message->wrong += memcmp(transfer->data, message->expected, size) != 0;
        memset(transfer->data, 0, size); /* the next one must write it anew */
    }
}

static kolo_status take_receives(struct message_bench *message)
{
    while (message->received < message->wanted) {
        struct transfer *transfer = &message->receives[message->received % message->flight];
        if (transfer->state == TRANSFER_FAILED) {
            return transfer_failed(message, transfer);
        }
        if (transfer->state != TRANSFER_DONE) {
            return KOLO_OK;
        }
        uint64_t now_ns = clock_now_ns();
        message->received++;
        check_message(message, transfer);
        link_meter_add(&message->meter, message->run->size_bytes, now_ns);
        if (!message->said_wanted) {
            post_receive(message);
        }
    }
    return KOLO_OK;
}

static bool may_send(const struct message_bench *message, uint64_t number, uint64_t now_ns)
{
    double rate_Bps = (double)message->bench.place->request->rate_limit_Bps;
    if (number >= message->messages || now_ns >= message->end_ns) {
        return false;
    }
    double bytes = (double)number * (double)message->run->size_bytes;
    return rate_Bps <= 0 ||
           bytes * (double)NS_PER_S / rate_Bps <= (double)(now_ns - message->began_ns);
}

static kolo_status reap_sends(struct message_bench *message)
{
    uint64_t posted = message->posted[0] + message->posted[1];
    for (; message->sent < posted; message->sent++) {
        struct transfer *transfer = &message->sends[message->sent % message->flight];
        if (transfer->state == TRANSFER_FAILED) {
            return transfer_failed(message, transfer);
        }
        if (transfer->state != TRANSFER_DONE) {
            break;
        }
    }
    return KOLO_OK;
}

static kolo_status drive_sends(struct message_bench *message)
{
    kolo_status status = reap_sends(message);
    if (status != KOLO_OK) {
        return status;
    }
    uint64_t posted = message->posted[0] + message->posted[1];
    uint64_t now_ns = clock_now_ns();
    while (posted - message->sent < message->flight && may_send(message, posted, now_ns)) {
        post_send(message, posted++);
    }
    bool over = posted >= message->messages || now_ns >= message->end_ns;
    if (over && message->sent == posted && !message->said_done) {
        message->said_done = true;
        return link_bench_say_done(message->bench.place, message->posted, TRANSPORT_LANES);
    }
    return KOLO_OK;
}

/* Receives are posted ahead, and cannot be taken back once the peer may have put something there. So a run ends like this: both say
 * how much they have sent; then, when they have posted receives for all that, how many; then they send what is missing of them. */
static kolo_status finish(struct message_bench *message)
{
    kolo_status status = KOLO_OK;
    for (;;) {
        uint64_t posted = message->posted[0] + message->posted[1];
        uint64_t promised = message->promised[0] + message->promised[1];
        if (message->heard_done && !message->said_wanted && message->wanted >= promised) {
            uint64_t wanted[TRANSPORT_LANES] = {message->wanted};
            message->said_wanted = true;
            status = link_bench_say_done(message->bench.place, wanted, TRANSPORT_LANES);
        }
        if (message->heard_wanted && message->asked[0] > posted + FLIGHT_MAX) {
            return fail_quietly(KOLO_ERR_PROTOCOL, "%s waits for more than can be",
                                message->bench.place->control->peer);
        }
        while (message->heard_wanted && posted < message->asked[0] &&
               posted - message->sent < message->flight) {
            post_send(message, posted++);
        }
        if (message->said_wanted && message->heard_wanted && message->sent >= message->asked[0] &&
            message->sent == posted && message->received == message->wanted) {
            return status;
        }
        status = status == KOLO_OK ? reap_sends(message) : status;
        status = status == KOLO_OK ? take_receives(message) : status;
        status = status == KOLO_OK ? move(message) : status;
        if (status != KOLO_OK) {
            return status;
        }
    }
}

static void begin_sending(struct message_bench *message, bool sends)
{
    uint64_t messages = 0;
    message->began_ns = clock_now_ns();
    message->end_ns = link_bench_end_ns(&messages, message->bench.place->request);
    message->messages = sends ? messages : 0;
}

static kolo_status stream(struct message_bench *message)
{
    bool sends = link_request_sends(message->bench.place->request, message->bench.place->side);
    begin_sending(message, sends);
    link_meter_start(&message->meter, message->bench.place->request, message->run->size_bytes, 1,
                     message->began_ns);
    kolo_status status = KOLO_OK;
    while (status == KOLO_OK && !(message->said_done && message->heard_done)) {
        status = take_receives(message);
        status = status == KOLO_OK && !message->said_done ? drive_sends(message) : status;
        status = status == KOLO_OK ? move(message) : status;
    }
    return status;
}

/* ---- ping-pong ---- */

/* Wait for the next message. Out: ended: the peer is done instead. */
static kolo_status await_message(struct message_bench *message, bool *ended)
{
    struct transfer *transfer = &message->receives[message->received % message->flight];
    *ended = false;
    while (transfer->state != TRANSFER_DONE) {
        if (transfer->state == TRANSFER_FAILED) {
            return transfer_failed(message, transfer);
        }
        kolo_status status = move(message);
        *ended = message->heard_done;
        if (status != KOLO_OK || *ended) {
            return status;
        }
    }
    check_message(message, transfer);
    message->received++;
    post_receive(message);
    return KOLO_OK;
}

/* Send one message; the transfer before the last is done by then, since its answer has come or goes out now. */
static kolo_status send_one(struct message_bench *message)
{
    struct transfer *transfer = &message->sends[message->sent % message->flight];
    while (transfer->state == TRANSFER_POSTED) {
        kolo_status status = move(message);
        if (status != KOLO_OK) {
            return status;
        }
    }
    if (transfer->state == TRANSFER_FAILED) {
        return transfer_failed(message, transfer);
    }
    post_send(message, message->sent++);
    return KOLO_OK;
}

static kolo_status ping(struct message_bench *message, struct link_sample *sample)
{
    const struct link_request *request = message->bench.place->request;
    begin_sending(message, true);
    uint64_t now_ns = clock_now_ns(), warm_ns = now_ns + request->warmup_ns;
    for (uint64_t i = 0; i < message->messages && now_ns < message->end_ns; i++) {
        bool ended = false;
        kolo_status status = send_one(message);
        status = status == KOLO_OK ? await_message(message, &ended) : status;
        if (status != KOLO_OK || ended) {
            return status != KOLO_OK ? status
                                     : fail_quietly(KOLO_ERR_PROTOCOL, "the ping-pong was cut off");
        }
        uint64_t then_ns = now_ns;
        now_ns = clock_now_ns();
        if (request->iterations > 0 ? i >= request->warmup_iterations : then_ns >= warm_ns) {
            link_sample_add(sample, now_ns - then_ns);
        }
    }
    return KOLO_OK;
}

static kolo_status pong(struct message_bench *message)
{
    for (;;) {
        bool ended = false;
        kolo_status status = await_message(message, &ended);
        if (status != KOLO_OK || ended) {
            return status;
        }
        status = send_one(message);
        if (status != KOLO_OK) {
            return status;
        }
    }
}

static kolo_status ping_pong(struct message_bench *message, struct link_outcome *outcome)
{
    if (!link_bench_begins(message->bench.place)) {
        return pong(message);
    }
    struct link_sample sample;
    if (!link_sample_init(&sample, LINK_SAMPLE_ROOM)) {
        return fail_quietly(KOLO_ERR_MEMORY, "no memory for the times");
    }
    kolo_status status = ping(message, &sample);
    outcome->iterations = sample.all;
    link_sample_times(&outcome->times_us, &sample, 0.5);
    link_sample_free(&sample);
    return status;
}

/* The sends that were posted last may still be under way; then this side is done. */
static kolo_status end_ping_pong(struct message_bench *message)
{
    uint64_t posted = message->posted[0] + message->posted[1];
    message->sent = posted > message->flight ? posted - message->flight : 0;
    message->said_done = true;
    return link_bench_say_done(message->bench.place, message->posted, TRANSPORT_LANES);
}

static kolo_status message_run(struct link_bench *bench, const struct link_run *run,
                               struct link_outcome *outcome)
{
    struct message_bench *message = (struct message_bench *)bench;
    bool pings = run->mode == LINK_LATENCY;
    kolo_status status = pings ? ping_pong(message, outcome) : stream(message);
    if (status == KOLO_OK && pings) {
        status = end_ping_pong(message);
    }
    status = status == KOLO_OK ? finish(message) : status;
    outcome->wrong = message->wrong;
    if (run->mode == LINK_BANDWIDTH) {
        link_meter_rate(&outcome->rate, &message->meter, 1);
    }
    return status;
}

const struct link_bench_ops link_message = {.open = message_open,
                                            .connect = message_connect,
                                            .prepare = message_prepare,
                                            .run = message_run,
                                            .close = message_close};
