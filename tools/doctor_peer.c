#include "tools/doctor_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/wire.h"
#include "tools/doctor_socket.h"
#include "tools/link_hello.h"
#include "transport/tcp/address.h"

#define ADDRESSES_MAX 8
#define DISCARD_PORT 9 /* closed nearly everywhere: a host that is up refuses it */
#define ALIVE_NS (2 * NS_PER_S)

/* One conversation with the other host. */
struct talk {
    struct doctor_findings *findings;
    const struct doctor_view *view;
    const struct doctor_peer *peer;
    uint64_t step_ns;
    struct port_address address;
    char text[PORT_ADDRESS_TEXT]; /* the address, with its port */
    int fd;
};

static uint64_t step(const struct talk *talk)
{
    return clock_after(clock_now_ns(), talk->step_ns);
}

static const char open_firewall[] = "sudo ufw allow %d/tcp   (firewalld: firewall-cmd "
                                    "--add-port=%d/tcp; nftables: nft list ruleset)";

/* Does a host answer at the address at all? */
static bool is_alive(const struct port_address *address)
{
    struct port_address to = *address;
    int fd = -1;
    address_set_port(&to, DISCARD_PORT);
    int error = doctor_socket_connect(&fd, &to.as.any, address_length(&to),
                                      clock_after(clock_now_ns(), ALIVE_NS));
    if (fd >= 0) {
        close(fd);
    }
    return error == 0 || error == ECONNREFUSED;
}

static void tell_refused(struct talk *talk)
{
    struct doctor_finding *finding =
        doctor_add(talk->findings, "peer port", DOCTOR_ERROR, "%s (%s) refuses the connection",
                   talk->peer->host, talk->text);
    doctor_why(finding,
               "the host is up, but nothing listens on port %d, or its firewall rejects it",
               talk->peer->port);
    doctor_cure(finding,
                "on %s: kolo doctor --serve --port %d   (if it runs: sudo nft list ruleset)",
                talk->peer->host, talk->peer->port);
}

static void tell_filtered(struct talk *talk)
{
    bool alive = is_alive(&talk->address);
    struct doctor_finding *finding =
        doctor_add(talk->findings, "peer port", DOCTOR_ERROR,
                   "%s (%s) does not answer within %g s%s", talk->peer->host, talk->text,
                   talk->peer->timeout_s, alive ? ", though the host answers elsewhere" : "");
    if (alive) {
        doctor_why(finding,
                   "a firewall drops what is sent to port %d: peers would wait and then fail",
                   talk->peer->port);
        doctor_cure(finding, open_firewall, talk->peer->port, talk->peer->port);
    } else {
        doctor_why(finding,
                   "the host is down, the address is wrong, or a firewall drops everything");
        doctor_cure(finding, "ping %s; on %s: sudo ufw allow %d/tcp", talk->peer->host,
                    talk->peer->host, talk->peer->port);
    }
}

static void tell_unreached(struct talk *talk, int error)
{
    enum doctor_call call = doctor_call_from(error);
    if (call == DOCTOR_CALL_REFUSED) {
        tell_refused(talk);
    } else if (call == DOCTOR_CALL_FILTERED) {
        tell_filtered(talk);
    } else {
        struct doctor_finding *finding =
            doctor_add(talk->findings, "peer port", DOCTOR_ERROR, "%s (%s) cannot be reached: %s",
                       talk->peer->host, talk->text, strerror(error));
        doctor_why(finding,
                   "there is no way to that address, no host has it, or a firewall says so");
        doctor_cure(finding, "ip route get %s; ping %s", talk->peer->host, talk->peer->host);
    }
}

static bool connect_one(struct talk *talk, int *error, const struct addrinfo *to)
{
    memcpy(&talk->address, to->ai_addr, to->ai_addrlen);
    port_address_text(talk->text, &talk->address);
    *error = doctor_socket_connect(&talk->fd, to->ai_addr, to->ai_addrlen, step(talk));
    return *error == 0;
}

/* The first address of the list that answers. */
static bool connect_any(struct talk *talk, const struct addrinfo *list)
{
    int error = 0, first_error = 0;
    unsigned tried = 0;
    struct port_address first = {.as.any.sa_family = AF_UNSPEC};
    for (const struct addrinfo *at = list; at != NULL && tried < ADDRESSES_MAX; at = at->ai_next) {
        if (at->ai_addrlen > sizeof talk->address) {
            continue;
        }
        if (connect_one(talk, &error, at)) {
            doctor_add(talk->findings, "peer port", DOCTOR_OK, "%s answers at %s", talk->peer->host,
                       talk->text);
            return true;
        }
        if (tried++ == 0) {
            first_error = error;
            first = talk->address;
        }
    }
    talk->address = first;
    port_address_text(talk->text, &first);
    tell_unreached(talk, first_error);
    return false;
}

static bool reach(struct talk *talk)
{
    char port[16];
    struct addrinfo *list, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%d", talk->peer->port);
    int error = getaddrinfo(talk->peer->host, port, &hints, &list);
    if (error != 0) {
        struct doctor_finding *finding =
            doctor_add(talk->findings, "peer name", DOCTOR_ERROR, "%s has no address: %s",
                       talk->peer->host, gai_strerror(error));
        doctor_why(finding, "peers that are told this name cannot find the host");
        doctor_cure(finding,
                    "getent hosts %s; add it to the name server or to /etc/hosts on every "
                    "host",
                    talk->peer->host);
        return false;
    }
    bool connected = connect_any(talk, list);
    freeaddrinfo(list);
    return connected;
}

/* Say what this is about, and be welcomed. */
static bool greet(struct talk *talk)
{
    uint8_t bytes[LINK_HELLO_BYTES], answer[LINK_ANSWER_BYTES], welcome[LINK_ANSWER_BYTES];
    struct link_hello hello = {.version = LINK_VERSION, .purpose = LINK_PURPOSE_DOCTOR};
    link_hello_encode(bytes, &hello);
    link_answer_encode(welcome, LINK_WELCOME);
    int error = doctor_socket_send(talk->fd, bytes, sizeof bytes, step(talk));
    error = error != 0 ? error : doctor_socket_receive(talk->fd, answer, sizeof answer, step(talk));
    if (error == 0 && memcmp(answer, welcome, sizeof welcome) == 0) {
        return true;
    }
    struct doctor_finding *finding = doctor_add(talk->findings, "peer port", DOCTOR_ERROR,
                                                "%s takes the connection, but %s", talk->text,
                                                error == 0            ? "does not welcome this"
                                                : error == ETIMEDOUT  ? "says nothing"
                                                : error == ECONNRESET ? "closes it"
                                                                      : strerror(error));
    doctor_why(finding, "something else listens on port %d there, or a kolo of another version",
               talk->peer->port);
    doctor_cure(finding,
                "on %s: kolo doctor --serve --port %d   (another port, if that one is taken)",
                talk->peer->host, talk->peer->port);
    return false;
}

static void tell_lost(struct talk *talk, int error, const char *when)
{
    struct doctor_finding *finding =
        doctor_add(talk->findings, "peer port", DOCTOR_ERROR, "%s answered, but %s: %s", talk->text,
                   when, error == EPROTO ? "what it sent makes no sense" : strerror(error));
    doctor_why(finding, "the connection does not hold: another version of kolo there, or a network "
                        "that loses packets");
    doctor_cure(finding, "ping -c 100 -i 0.2 %s; kolo --version on both", talk->peer->host);
}

static int exchange_facts(struct talk *talk, struct doctor_facts *there,
                          const struct doctor_facts *here)
{
    uint8_t message[DOCTOR_MESSAGE_BYTES];
    size_t length = 0;
    struct wire_writer writer = {.bytes = message, .capacity = sizeof message};
    wire_put_u32(&writer, (uint32_t)(talk->step_ns / NS_PER_MS));
    doctor_facts_put(&writer, here);
    int error =
        writer.failed ? EPROTO : doctor_message_send(talk->fd, message, writer.length, step(talk));
    if (error == 0) {
        error = doctor_message_receive(talk->fd, message, &length, step(talk));
    }
    if (error == 0) {
        struct wire_reader reader = {.bytes = message, .length = length};
        doctor_facts_get(there, &reader);
        error = reader.failed ? EPROTO : 0;
    }
    return error;
}

/* The other host says that its call works: it must have arrived, with our token. */
static bool call_arrived(struct talk *talk, int listener, uint64_t token)
{
    uint8_t bytes[8];
    int fd = -1;
    if (doctor_socket_accept(&fd, listener, step(talk)) != 0) {
        return false;
    }
    bool read = doctor_socket_receive(fd, bytes, sizeof bytes, step(talk)) == 0;
    struct wire_reader reader = {.bytes = bytes, .length = sizeof bytes};
    close(fd);
    return read && wire_get_u64(&reader) == token;
}

static void tell_call(struct talk *talk, enum doctor_call call, const struct doctor_facts *here,
                      const struct doctor_facts *there)
{
    static const char *const ends[] = {
        [DOCTOR_CALL_WORKS] = "reaches another host at this one's address (address translation)",
        [DOCTOR_CALL_REFUSED] = "is refused",
        [DOCTOR_CALL_FILTERED] = "gets no answer",
        [DOCTOR_CALL_UNREACHABLE] = "finds no way",
        [DOCTOR_CALL_FAILED] = "fails"};
    struct doctor_finding *finding = doctor_add(
        talk->findings, "peer call back", DOCTOR_ERROR,
        "%s cannot connect to port %d of this host: "
        "its call %s",
        there->host, here->back_port, ends[call <= DOCTOR_CALL_FAILED ? call : DOCTOR_CALL_FAILED]);
    doctor_why(finding,
               "peers connect in both directions: this host's firewall (or one on the way) "
               "must let them in");
    doctor_cure(finding,
                "export KOLO_PORT=%d; sudo ufw allow %d/tcp   (firewalld: firewall-cmd "
                "--add-port=%d/tcp; nftables: nft list ruleset)",
                here->back_port, here->back_port, here->back_port);
}

static int try_call_back(struct talk *talk, int listener, const struct doctor_facts *here,
                         const struct doctor_facts *there)
{
    uint8_t byte = DOCTOR_CALL_FAILED;
    uint64_t deadline_ns = clock_after(clock_now_ns(), 2 * talk->step_ns); /* it may wait for one */
    int error = doctor_socket_receive(talk->fd, &byte, 1, deadline_ns);
    if (error != 0) {
        return error;
    }
    if (byte == DOCTOR_CALL_WORKS && call_arrived(talk, listener, here->token)) {
        doctor_add(talk->findings, "peer call back", DOCTOR_OK, "%s reaches this host, too",
                   there->host);
    } else {
        tell_call(talk, (enum doctor_call)byte, here, there);
    }
    return 0;
}

static void try_bulk(struct talk *talk, const struct doctor_facts *here,
                     const struct doctor_facts *there)
{
    uint8_t byte = 0;
    bool to = doctor_bulk_send(talk->fd, step(talk)) == 0 &&
              doctor_socket_receive(talk->fd, &byte, 1, step(talk)) == 0;
    bool from = to && doctor_bulk_receive(talk->fd, step(talk)) == 0 &&
                doctor_socket_send(talk->fd, &byte, 1, step(talk)) == 0;
    if (from) {
        doctor_add(talk->findings, "peer large", DOCTOR_OK, "large messages pass both ways");
        return;
    }
    struct doctor_finding *finding =
        doctor_add(talk->findings, "peer large", DOCTOR_ERROR,
                   "small messages pass, but large ones %s %s do not arrive within %g s",
                   to ? "from" : "to", talk->peer->host, talk->peer->timeout_s);
    doctor_why(finding,
               "something on the way drops large packets: its MTU is below that of the ends "
               "(%u here, %u there)",
               here->mtu, there->mtu);
    doctor_cure(finding,
                "ping -M do -s %u %s   (finds the limit; then raise the switch's MTU, or sudo "
                "ip link set dev %s mtu 1500)",
                here->mtu > 28 ? here->mtu - 28 : 1472, talk->peer->host,
                here->interface[0] != '\0' ? here->interface : "INTERFACE");
}

static void converse(struct talk *talk, int listener, struct doctor_facts *here)
{
    struct doctor_facts there;
    int error = exchange_facts(talk, &there, here);
    if (error != 0) {
        tell_lost(talk, error, "told nothing of itself");
        return;
    }
    doctor_facts_compare(talk->findings, here, &there);
    error = listener >= 0 ? try_call_back(talk, listener, here, &there) : 0;
    if (error != 0) {
        tell_lost(talk, error, "the connection broke");
        return;
    }
    try_bulk(talk, here, &there);
    doctor_peer_try_rdma(talk->findings, talk->peer, here, &there);
}

static void talk_over(struct talk *talk)
{
    struct port_address local = {.as.any.sa_family = AF_UNSPEC};
    struct doctor_facts here;
    socklen_t bytes = sizeof local;
    int listener = -1, port = talk->peer->back_port;
    if (getsockname(talk->fd, &local.as.any, &bytes) != 0 || !greet(talk)) {
        return;
    }
    doctor_facts_read(&here, talk->view, &local);
    int error = doctor_socket_listen(&listener, &port, local.as.any.sa_family);
    if (error != 0) {
        struct doctor_finding *finding =
            doctor_add(talk->findings, "peer call back", DOCTOR_NOTE,
                       "cannot listen on port %d of this host: %s", port, strerror(error));
        doctor_why(finding, "whether the other host reaches this one was not tried");
        doctor_cure(finding, "ss -ltnp 'sport = :%d'   (who has it; or set another KOLO_PORT)",
                    port);
    } else {
        here.back_port = (uint16_t)port;
        (void)getrandom(&here.token, sizeof here.token, 0);
    }
    converse(talk, listener, &here);
    if (listener >= 0) {
        close(listener);
    }
}

void doctor_peer_check(struct doctor_findings *findings, const struct doctor_view *view,
                       const struct doctor_peer *peer)
{
    struct talk talk = {.findings = findings,
                        .view = view,
                        .peer = peer,
                        .step_ns = clock_ns_from_s(peer->timeout_s),
                        .fd = -1};
    if (reach(&talk)) {
        talk_over(&talk);
        close(talk.fd);
    }
}
