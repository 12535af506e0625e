#include "tools/link_message_wire.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#ifdef KOLO_HAVE_VERBS
#include "transport/verbs/verbs.h"
#endif

#define PEER_TIMEOUT_NS (10 * NS_PER_S)
#define SLEEP_MS 20
#define NAME_BYTES 16

/* Best first: the same order as the library's. */
static const struct transport_ops *const known[] = {
    &transport_shm,
#ifdef KOLO_HAVE_VERBS
    &transport_verbs,
#endif
    &transport_tcp,
};
#define KNOWN (sizeof known / sizeof *known)

static void identify(uint8_t id[TRANSPORT_ID_BYTES], const struct link_place *place,
                     enum link_side side)
{
    struct wire_writer writer = {.bytes = id, .capacity = TRANSPORT_ID_BYTES};
    wire_put_u64(&writer, place->token);
    wire_put_u64(&writer, (uint64_t)side + 1);
}

static kolo_status open_port(struct link_message_wire *wire, const struct link_place *place)
{
    struct port_config config = {.peer_timeout_ns = PEER_TIMEOUT_NS};
    struct wire_writer run = {.bytes = config.run, .capacity = sizeof config.run};
    identify(config.self, place, place->side);
    wire_put_u64(&run, place->token);
    return tcp_port_open(&wire->port, &config);
}

/* Make the transport, told what the request chooses. */
static kolo_status create(struct link_message_candidate *candidate, struct link_message_wire *wire,
                          const struct link_place *place)
{
    struct transport_config config = {.peer_timeout_ns = PEER_TIMEOUT_NS};
    identify(config.self, place, place->side);
    if (candidate->ops == &transport_tcp) {
        kolo_status status = open_port(wire, place);
        if (status != KOLO_OK) {
            return status;
        }
        config.wire = wire->port;
    }
#ifdef KOLO_HAVE_VERBS
    const struct link_end *end = &place->request->ends[place->side];
    struct verbs_wire verbs = {
        .wish = {.names = end->device[0] != '\0' ? end->device : NULL, .gid_index = end->gid_index},
        .by_cm = place->request->rdma_cm};
    if (candidate->ops == &transport_verbs) {
        config.wire = &verbs;
    }
#endif
    return candidate->ops->create(&candidate->transport, &config);
}

/* One end of a candidate: a transport with its link. */
static kolo_status candidate_make(struct link_message_candidate *candidate,
                                  struct wire_writer *address, struct link_message_wire *wire,
                                  const struct link_place *place)
{
    struct link_config link = {.dials = place->side == LINK_CLIENT,
                               .token = place->token,
                               .peer_name = place->control->peer};
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes = 0;
    identify(link.peer, place, 1 - place->side);
    kolo_status status = create(candidate, wire, place);
    if (status == KOLO_OK) {
        status = candidate->ops->link_create(&candidate->link, offer, &offer_bytes,
                                             candidate->transport, &link);
    }
    if (status == KOLO_OK) {
        wire_put_blob(address, candidate->ops->name, strlen(candidate->ops->name));
        wire_put_blob(address, offer, offer_bytes);
    }
    return status;
}

static void candidate_drop(struct link_message_candidate *candidate)
{
    if (candidate->transport != NULL) {
        candidate->ops->destroy(candidate->transport);
    }
    candidate->transport = NULL;
    candidate->link = NULL;
}

kolo_status link_message_wire_open(struct link_message_wire *wire, struct wire_writer *address,
                                   const struct link_place *place)
{
    const char *wanted = place->request->transport;
    kolo_status status = KOLO_OK;
    *wire = (struct link_message_wire){0};
    for (unsigned i = 0; i < KNOWN; i++) {
        if (wanted[0] != '\0' && strcmp(wanted, known[i]->name) != 0) {
            continue;
        }
        struct link_message_candidate *candidate = &wire->candidates[wire->count];
        candidate->ops = known[i];
        status = candidate_make(candidate, address, wire, place);
        if (status == KOLO_OK) {
            wire->count++;
        } else {
            candidate_drop(candidate);
        }
    }
    if (wire->count > 0) {
        return address->failed ? fail_quietly(KOLO_ERR_INTERNAL, "the offers are too long")
                               : KOLO_OK;
    }
    return status != KOLO_OK
               ? status
               : fail_quietly(KOLO_ERR_ARGUMENT, "this kolo has no transport \"%s\"", wanted);
}

/* Try what the other end offers for a candidate. Out: connecting. */
static kolo_status try_offer(bool *connecting, struct link_message_wire *wire, const char *name,
                             const uint8_t *offer, size_t offer_bytes)
{
    *connecting = false;
    for (unsigned i = 0; i < wire->count; i++) {
        struct link_message_candidate *candidate = &wire->candidates[i];
        if (candidate->transport == NULL || strcmp(candidate->ops->name, name) != 0) {
            continue;
        }
        kolo_status status = candidate->ops->link_connect(candidate->link, offer, offer_bytes);
        if (status == KOLO_ERR_STATE) { /* no way by this wire: the next one */
            return KOLO_OK;
        }
        wire->transport = candidate->transport;
        wire->link = candidate->link;
        *connecting = status == KOLO_OK;
        return status;
    }
    return KOLO_OK;
}

static void drop_others(struct link_message_wire *wire)
{
    for (unsigned i = 0; i < wire->count; i++) {
        if (wire->candidates[i].transport != wire->transport) {
            candidate_drop(&wire->candidates[i]);
        }
    }
}

kolo_status link_message_wire_lost(const struct link_message_wire *wire)
{
    kolo_status why = KOLO_ERR_PEER_LOST;
    const char *text = NULL;
    (void)wire->link->ops->link_state(wire->link, &why, &text);
    return fail_quietly(why, "the %s link is lost: %s", wire->link->ops->name,
                        text != NULL ? text : "no reason is known");
}

static kolo_status await_up(struct link_message_wire *wire, int control_fd, uint64_t deadline_ns)
{
    const struct transport_ops *ops = wire->transport->ops;
    for (;;) {
        enum link_state state = ops->link_state(wire->link, NULL, NULL);
        if (state == LINK_UP) {
            return KOLO_OK;
        }
        if (state == LINK_LOST) {
            return link_message_wire_lost(wire);
        }
        if (clock_now_ns() > deadline_ns) {
            return fail_quietly(KOLO_ERR_TIMEOUT,
                                "the %s link does not come up: does a firewall stop it? (another "
                                "--transport may work)",
                                ops->name);
        }
        if (!ops->progress(wire->transport)) {
            link_message_wire_sleep(wire, control_fd);
        }
    }
}

kolo_status link_message_wire_connect(struct link_message_wire *wire, struct wire_reader *address,
                                      const struct link_place *place, uint64_t deadline_ns)
{
    bool connecting = false;
    while (!connecting && address->offset < address->length) {
        char name[NAME_BYTES];
        uint8_t offer[TRANSPORT_OFFER_BYTES];
        wire_get_text(address, name, sizeof name);
        size_t bytes = wire_get_blob(address, offer, sizeof offer);
        if (address->failed) {
            return fail_quietly(KOLO_ERR_PROTOCOL, "%s offers transports that cannot be",
                                place->control->peer);
        }
        kolo_status status = try_offer(&connecting, wire, name, offer, bytes);
        if (status != KOLO_OK) {
            return status;
        }
    }
    if (!connecting) {
        return fail_quietly(KOLO_ERR_STATE, "the two ends have no transport in common");
    }
    drop_others(wire);
    return await_up(wire, place->control->fd, deadline_ns);
}

void link_message_wire_close(struct link_message_wire *wire)
{
    for (unsigned i = 0; i < wire->count; i++) {
        candidate_drop(&wire->candidates[i]);
    }
    if (wire->port != NULL) {
        tcp_port_close(wire->port);
    }
}

void link_message_wire_sleep(const struct link_message_wire *wire, int control_fd)
{
    struct transport *transport = wire->transport;
    struct pollfd fds[2] = {{.fd = transport->ops->wait_fd(transport), .events = POLLIN},
                            {.fd = control_fd, .events = POLLIN}};
    if (transport->ops->arm(transport)) {
        (void)poll(fds, 2, SLEEP_MS);
    }
    transport->ops->disarm(transport);
}
