#include "transport/tcp/tcp_connect.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "transport/tcp/hello.h"

#define NEXT_ADDRESS_NS (250 * NS_PER_MS) /* RFC 8305, section 5: "Connection Attempt Delay" */

static void answered(void *context, const struct port_answer *answer);

static void dial(struct tcp_link *link, unsigned lane, unsigned address)
{
    struct tcp_attempt *attempt = &link->connect.attempts[lane][address];
    struct port_hello hello = {.purpose = PORT_LANE, .lane = (uint16_t)lane, .token = link->token};
    assert(attempt->dial == NULL);
    memcpy(hello.to, link->peer, sizeof hello.to);
    *attempt =
        (struct tcp_attempt){.link = link, .lane = (uint8_t)lane, .address = (uint8_t)address};
    link->connect.tries[lane][address]++;
    kolo_status status =
        tcp_port_dial(&attempt->dial, link->transport->port, &link->connect.addresses[address],
                      &hello, attempt, answered);
    if (status != KOLO_OK) {
        attempt->dial = NULL;
        tcp_link_lose(link, status, "cannot dial %s: %s", link->name, kolo_last_error());
    }
}

static void dial_next_address(struct tcp_link *link, uint64_t now_ns)
{
    struct tcp_connect *connect = &link->connect;
    connect->next_ns = now_ns + NEXT_ADDRESS_NS;
    dial(link, 0, connect->next++);
}

void tcp_connect_begin(struct tcp_link *link)
{
    assert(link->connect.count > 0);
    dial_next_address(link, clock_now_ns());
}

void tcp_connect_tick(struct tcp_link *link, uint64_t now_ns)
{
    struct tcp_connect *connect = &link->connect;
    if (link->lanes[0].fd < 0 && connect->next < connect->count && now_ns >= connect->next_ns) {
        dial_next_address(link, now_ns);
    }
}

static void cancel_lane(struct tcp_link *link, unsigned lane)
{
    for (unsigned i = 0; i < PORT_ADDRESSES_MAX; i++) {
        struct tcp_attempt *attempt = &link->connect.attempts[lane][i];
        if (attempt->dial != NULL) {
            tcp_port_cancel(link->transport->port, attempt->dial);
            attempt->dial = NULL;
        }
    }
}

void tcp_connect_cancel(struct tcp_link *link)
{
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        cancel_lane(link, lane);
    }
}

static bool lane_is_dialled(const struct tcp_link *link, unsigned lane)
{
    for (unsigned i = 0; i < PORT_ADDRESSES_MAX; i++) {
        if (link->connect.attempts[lane][i].dial != NULL) {
            return true;
        }
    }
    return false;
}

static void succeeded(struct tcp_link *link, const struct tcp_attempt *attempt, int fd)
{
    cancel_lane(link, attempt->lane);
    if (attempt->lane == 0) {
        link->connect.chosen = attempt->address;
        for (unsigned lane = 1; lane < TRANSPORT_LANES && link->state == LINK_CONNECTING; lane++) {
            dial(link, lane, attempt->address);
        }
    }
    if (link->state != LINK_CONNECTING) {
        close(fd);
        return;
    }
    tcp_link_open_lane(link, attempt->lane, fd);
}

static void note_failure(struct tcp_link *link, const struct tcp_attempt *attempt,
                         const struct port_answer *answer)
{
    char *text = link->connect.failures;
    size_t used = strlen(text);
    char address[PORT_ADDRESS_TEXT];
    port_address_text(address, &link->connect.addresses[attempt->address]);
    const char *reason = answer->why == KOLO_ERR_PROTOCOL  ? hello_verdict_text(answer->verdict)
                         : answer->why == KOLO_ERR_TIMEOUT ? "no answer in time"
                                                           : strerror(answer->error);
    snprintf(text + used, sizeof link->connect.failures - used, "%s%s: %s", used > 0 ? "; " : "",
             address, reason);
}

/* A reason that may have passed at the next try: half-open strangers were evicted, the kernel's queue was full. */
static bool may_pass(const struct port_answer *answer)
{
    return answer->why == KOLO_ERR_TIMEOUT ||
           (answer->why == KOLO_ERR_SYSTEM &&
            (answer->error == ECONNRESET || answer->error == EPIPE || answer->error == EAGAIN ||
             answer->error == EADDRNOTAVAIL));
}

static void failed(struct tcp_link *link, const struct tcp_attempt *attempt,
                   const struct port_answer *answer)
{
    struct tcp_connect *connect = &link->connect;
    unsigned lane = attempt->lane;
    if (answer->why == KOLO_ERR_PROTOCOL && answer->verdict == PORT_REFUSED_DUPLICATE &&
        lane_is_dialled(link, lane)) {
        return; /* another attempt of this lane has been taken: its answer is on its way */
    }
    if (may_pass(answer) && connect->tries[lane][attempt->address] < TCP_TRIES_MAX) {
        dial(link, lane, attempt->address);
        return;
    }
    note_failure(link, attempt, answer);
    if (lane == 0 && connect->next < connect->count) {
        dial_next_address(link, clock_now_ns());
    } else if (!lane_is_dialled(link, lane)) {
        tcp_link_lose(link, KOLO_ERR_PEER_LOST, "cannot reach %s by tcp: %s", link->name,
                      connect->failures);
    }
}

static void answered(void *context, const struct port_answer *answer)
{
    struct tcp_attempt attempt = *(struct tcp_attempt *)context;
    struct tcp_link *link = attempt.link;
    link->connect.attempts[attempt.lane][attempt.address].dial = NULL;
    assert(link->state == LINK_CONNECTING);
    if (answer->fd >= 0) {
        succeeded(link, &attempt, answer->fd);
    } else {
        failed(link, &attempt, answer);
    }
}

/* ---- the end that is dialled -------------------------------------------------------------------------------------- */

static struct tcp_link *find(const struct tcp_transport *transport, const struct port_hello *hello)
{
    for (struct tcp_link *link = transport->links; link != NULL; link = link->next) {
        if (link->token == hello->token && !link->dials &&
            memcmp(link->peer, hello->from, sizeof link->peer) == 0) {
            return link;
        }
    }
    return NULL;
}

enum port_verdict tcp_connect_arrived(void *context, const struct port_hello *hello,
                                      const struct port_address *from)
{
    struct tcp_link *link = find(context, hello);
    (void)from;
    if (link == NULL || hello->lane >= TRANSPORT_LANES || link->state == LINK_LOST) {
        return PORT_REFUSED_CLOSED;
    }
    return link->lanes[hello->lane].fd >= 0 ? PORT_REFUSED_DUPLICATE : PORT_WELCOME;
}

void tcp_connect_opened(void *context, const struct port_hello *hello,
                        const struct port_address *from, int fd)
{
    struct tcp_link *link = find(context, hello);
    (void)from;
    assert(link != NULL);
    tcp_link_open_lane(link, hello->lane, fd);
}
