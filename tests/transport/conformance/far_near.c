/* The near end: a transport around another one, some of whose peers live with the agent. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/transport/conformance/far.h"

struct near_link {
    struct link base;
    struct link *real; /* NULL: with the agent */
    uint32_t number;
    struct near_link *next;
};

struct near_transport {
    struct transport base;
    struct transport *real; /* NULL: with the agent */
    uint32_t number;
    struct near_link *links;
};

/* A transfer that the agent has. */
struct lent {
    struct transfer *transfer;
    uint32_t transport;
    bool sends;
    size_t ready;   /* that the agent knows of */
    uint8_t *whole; /* what has come for spans, laid out like the message */
};

static struct near {
    const struct transport_ops *ops; /* the real ones */
    struct transport_ops wrapped;
    struct far_stream stream;
    int wakes;
    bool transport_used[FAR_TRANSPORTS_MAX], link_used[FAR_LINKS_MAX];
    struct lent lent[FAR_TRANSFERS_MAX];
    unsigned lent_end; /* those beyond are not used */
    uint8_t *payload;  /* of the last answer */
    size_t payload_room;
} near;

static uint32_t take_number(bool *used, uint32_t most)
{
    for (uint32_t i = 0; i < most; i++) {
        if (!used[i]) {
            used[i] = true;
            return i;
        }
    }
    far_fail("more transports or links than the agent has room for");
}

static void give_back(struct lent *lent)
{
    free(lent->whole);
    *lent = (struct lent){0};
    while (near.lent_end > 0 && near.lent[near.lent_end - 1].transfer == NULL) {
        near.lent_end--;
    }
}

/* ---- asking ---- */

static void take_update(void)
{
    struct far_update stand;
    far_get(&near.stream, &stand, sizeof stand);
    struct lent *lent = &near.lent[stand.transfer];
    struct transfer *transfer = lent->transfer;
    uint8_t *into = lent->whole != NULL ? lent->whole : transfer->data;
    if (stand.bytes > 0) {
        far_get(&near.stream, into + stand.from, stand.bytes);
    }
    transfer->state = (enum transfer_state)stand.state;
    transfer->status = (kolo_status)stand.status;
    transfer->moved = stand.moved;
    transfer->length_sent = stand.length_sent;
    memcpy(transfer->header, stand.header, sizeof transfer->header);
    if (!lent->sends && transfer->data == NULL) {
        transfer->span_bytes = stand.span_bytes;
        transfer->span = stand.span_bytes > 0 ? lent->whole + stand.moved : NULL;
    }
    if (transfer->state != TRANSFER_POSTED) {
        give_back(lent);
    }
}

/* Send what has been put, and take the answer; its payload is in near.payload. */
static struct far_answer take_answer(void)
{
    struct far_answer said;
    far_flush(&near.stream);
    far_get(&near.stream, &said, sizeof said);
    if (said.bytes > near.payload_room) {
        near.payload_room = said.bytes;
        near.payload = realloc(near.payload, near.payload_room);
        if (near.payload == NULL) {
            far_fail("realloc");
        }
    }
    far_get(&near.stream, near.payload, said.bytes);
    for (uint64_t i = 0; i < said.updates; i++) {
        take_update();
    }
    return said;
}

static struct far_answer ask(struct far_request request, const void *payload)
{
    far_put(&near.stream, &request, sizeof request);
    far_put(&near.stream, payload, request.bytes);
    return take_answer();
}

static uint32_t number_of(const struct transport *transport)
{
    return ((const struct near_transport *)transport)->number;
}

static const struct near_link *link_of(const struct link *link)
{
    return (const struct near_link *)link;
}

static struct transport *real_of(const struct transport *transport)
{
    return ((const struct near_transport *)transport)->real;
}

/* ---- transports and links ---- */

static bool lives_far(const uint8_t *id)
{
    return (id[0] & 1) != 0;
}

static kolo_status near_create(struct transport **transport, const struct transport_config *config)
{
    struct near_transport *made = calloc(1, sizeof *made);
    if (made == NULL) {
        far_fail("calloc");
    }
    kolo_status status;
    made->base.ops = &near.wrapped;
    if (lives_far(config->self)) {
        struct far_peer self = {0};
        memcpy(self.id, config->self, sizeof self.id);
        made->number = take_number(near.transport_used, FAR_TRANSPORTS_MAX);
        status = (kolo_status)ask((struct far_request){.call = FAR_CREATE,
                                                       .transport = made->number,
                                                       .number = config->peer_timeout_ns,
                                                       .bytes = sizeof self},
                                  &self)
                     .value;
    } else {
        status = near.ops->create(&made->real, config);
    }
    *transport = &made->base;
    return status;
}

static void forget_link(struct near_transport *transport, struct near_link *link)
{
    struct near_link **at = &transport->links;
    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    if (link->real == NULL) {
        near.link_used[link->number] = false;
    }
    free(link);
}

static void near_destroy(struct transport *base)
{
    struct near_transport *transport = (struct near_transport *)base;
    if (transport->real != NULL) {
        near.ops->destroy(transport->real);
    } else {
        for (unsigned i = 0; i < near.lent_end; i++) {
            if (near.lent[i].transfer != NULL && near.lent[i].transport == transport->number) {
                give_back(&near.lent[i]); /* dropped: nobody may look at them */
            }
        }
        ask((struct far_request){.call = FAR_DESTROY, .transport = transport->number}, NULL);
        near.transport_used[transport->number] = false;
    }
    while (transport->links != NULL) {
        forget_link(transport, transport->links);
    }
    free(transport);
}

static kolo_status near_link_create(struct link **link, uint8_t *offer, size_t *offer_bytes,
                                    struct transport *base, const struct link_config *config)
{
    struct near_transport *transport = (struct near_transport *)base;
    struct near_link *made = calloc(1, sizeof *made);
    if (made == NULL) {
        far_fail("calloc");
    }
    made->base = (struct link){.ops = &near.wrapped, .transport = base};
    made->next = transport->links;
    transport->links = made;
    *link = &made->base;
    if (transport->real != NULL) {
        return near.ops->link_create(&made->real, offer, offer_bytes, transport->real, config);
    }
    struct far_peer peer = {0};
    memcpy(peer.id, config->peer, sizeof peer.id);
    snprintf(peer.name, sizeof peer.name, "%s", config->peer_name);
    made->number = take_number(near.link_used, FAR_LINKS_MAX);
    struct far_answer said = ask((struct far_request){.call = FAR_LINK_CREATE,
                                                      .transport = transport->number,
                                                      .link = made->number,
                                                      .flag = config->dials,
                                                      .number = config->token,
                                                      .bytes = sizeof peer},
                                 &peer);
    memcpy(offer, near.payload, said.bytes);
    *offer_bytes = said.bytes;
    return (kolo_status)said.value;
}

static kolo_status near_link_connect(struct link *base, const uint8_t *offer, size_t offer_bytes)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        return near.ops->link_connect(link->real, offer, offer_bytes);
    }
    struct far_request request = {
        .call = FAR_LINK_CONNECT, .link = link->number, .bytes = offer_bytes};
    return (kolo_status)ask(request, offer).value;
}

static enum link_state near_link_state(const struct link *base, kolo_status *why, const char **text)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        return near.ops->link_state(link->real, why, text);
    }
    struct far_answer said =
        ask((struct far_request){.call = FAR_LINK_STATE, .link = link->number}, NULL);
    if (why != NULL) {
        *why = (kolo_status)(int64_t)said.number;
    }
    if (text != NULL) {
        *text = (const char *)near.payload;
    }
    return (enum link_state)said.value;
}

static void near_link_close(struct link *base)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        near.ops->link_close(link->real);
    } else {
        ask((struct far_request){.call = FAR_LINK_CLOSE, .link = link->number}, NULL);
    }
    forget_link((struct near_transport *)base->transport, (struct near_link *)base);
}

/* ---- transfers ---- */

static struct lent *lent_of(const struct transfer *transfer)
{
    for (unsigned i = 0; i < near.lent_end; i++) {
        if (near.lent[i].transfer == transfer) {
            return &near.lent[i];
        }
    }
    far_fail("a call on a transfer that is not posted");
}

static struct lent *lend(struct transfer *transfer, uint32_t transport, bool sends)
{
    for (unsigned i = 0; i < FAR_TRANSFERS_MAX; i++) {
        if (near.lent[i].transfer == NULL) {
            near.lent_end = i < near.lent_end ? near.lent_end : i + 1;
            near.lent[i] = (struct lent){transfer, transport, sends, transfer->ready, NULL};
            return &near.lent[i];
        }
    }
    far_fail("more transfers than the agent has room for");
}

static void post(const struct near_link *link, unsigned lane, struct transfer *transfer, bool sends)
{
    struct lent *lent = lend(transfer, number_of(link->base.transport), sends);
    bool has_data = transfer->data != NULL;
    if (!sends && !has_data) {
        lent->whole = malloc(transfer->length + 1);
        if (lent->whole == NULL) {
            far_fail("malloc");
        }
    }
    size_t shown = sends && has_data ? transfer->ready : 0;
    struct far_request request = {.call = sends ? FAR_SEND : FAR_RECEIVE,
                                  .link = link->number,
                                  .lane = lane,
                                  .transfer = (uint32_t)(lent - near.lent),
                                  .flag = has_data,
                                  .number = transfer->length,
                                  .ready = transfer->ready,
                                  .bytes = sizeof transfer->header + shown};
    transfer->moved = 0;
    transfer->span = NULL;
    transfer->span_bytes = 0;
    far_put(&near.stream, &request, sizeof request);
    far_put(&near.stream, transfer->header, sizeof transfer->header);
    far_put(&near.stream, transfer->data, shown);
    take_answer();
}

static void near_send(struct link *base, unsigned lane, struct transfer *transfer)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        near.ops->send(link->real, lane, transfer);
    } else {
        post(link, lane, transfer, true);
    }
}

static void near_receive(struct link *base, unsigned lane, struct transfer *transfer)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        near.ops->receive(link->real, lane, transfer);
    } else {
        post(link, lane, transfer, false);
    }
}

static struct far_request about(enum far_call call, const struct near_link *link, unsigned lane,
                                const struct transfer *transfer)
{
    return (struct far_request){.call = (uint32_t)call,
                                .link = link->number,
                                .lane = lane,
                                .transfer = (uint32_t)(lent_of(transfer) - near.lent)};
}

static void near_release(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        near.ops->release(link->real, lane, transfer, bytes);
        return;
    }
    struct far_request request = about(FAR_RELEASE, link, lane, transfer);
    request.number = bytes;
    ask(request, NULL);
}

static size_t near_reserve(struct link *base, unsigned lane, struct transfer *transfer,
                           uint8_t **place)
{
    static uint8_t *room;
    static size_t room_bytes;
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        return near.ops->reserve(link->real, lane, transfer, place);
    }
    size_t bytes = (size_t)ask(about(FAR_RESERVE, link, lane, transfer), NULL).value;
    if (bytes > room_bytes) {
        room = realloc(room, bytes);
        room_bytes = bytes;
        if (room == NULL) {
            far_fail("realloc");
        }
    }
    *place = room;
    return bytes;
}

static void near_commit(struct link *base, unsigned lane, struct transfer *transfer, size_t bytes)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        near.ops->commit(link->real, lane, transfer, bytes);
        return;
    }
    uint8_t *place = NULL;
    near_reserve(base, lane, transfer, &place); /* the same room, with what was written there */
    struct far_request request = about(FAR_COMMIT, link, lane, transfer);
    request.bytes = bytes;
    ask(request, place);
}

static void near_cancel(struct link *base, unsigned lane, struct transfer *transfer)
{
    const struct near_link *link = link_of(base);
    if (link->real != NULL) {
        near.ops->cancel(link->real, lane, transfer);
    } else {
        ask(about(FAR_CANCEL, link, lane, transfer), NULL);
    }
}

/* ---- progress and sleep ---- */

static bool is_raised(const struct lent *lent, uint32_t transport)
{
    return lent->transfer != NULL && lent->transport == transport &&
           lent->transfer->ready > lent->ready;
}

static bool near_progress(struct transport *base)
{
    if (real_of(base) != NULL) {
        return near.ops->progress(real_of(base));
    }
    struct far_request request = {.call = FAR_PROGRESS, .transport = number_of(base)};
    for (unsigned i = 0; i < near.lent_end; i++) {
        request.number += is_raised(&near.lent[i], request.transport);
    }
    far_put(&near.stream, &request, sizeof request);
    for (unsigned i = 0; i < near.lent_end && request.number > 0; i++) {
        struct lent *lent = &near.lent[i];
        if (!is_raised(lent, request.transport)) {
            continue;
        }
        struct far_raise raise = {.transfer = i, .ready = lent->transfer->ready};
        far_put(&near.stream, &raise, sizeof raise);
        if (lent->sends) {
            far_put(&near.stream, lent->transfer->data + lent->ready, raise.ready - lent->ready);
        }
        lent->ready = raise.ready;
        request.number--;
    }
    return take_answer().value != 0;
}

static int near_wait_fd(const struct transport *base)
{
    return real_of(base) != NULL ? near.ops->wait_fd(real_of(base)) : near.wakes;
}

static bool near_arm(struct transport *base)
{
    if (real_of(base) != NULL) {
        return near.ops->arm(real_of(base));
    }
    return ask((struct far_request){.call = FAR_ARM, .transport = number_of(base)}, NULL).value !=
           0;
}

static void near_disarm(struct transport *base)
{
    if (real_of(base) != NULL) {
        near.ops->disarm(real_of(base));
        return;
    }
    char woken[64];
    ask((struct far_request){.call = FAR_DISARM, .transport = number_of(base)}, NULL);
    while (recv(near.wakes, woken, sizeof woken, MSG_DONTWAIT) > 0) {
    }
}

static void near_count(const struct transport *base, uint64_t *sent, uint64_t *received)
{
    if (real_of(base) != NULL) {
        near.ops->count(real_of(base), sent, received);
        return;
    }
    struct far_answer said =
        ask((struct far_request){.call = FAR_COUNT, .transport = number_of(base)}, NULL);
    *sent = (uint64_t)said.value;
    *received = said.number;
}

/* ---- joining ---- */

static int dial(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(FAR_PORT)};
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
        connect(made, (struct sockaddr *)&at, sizeof at) != 0) {
        far_fail(address);
    }
    return made;
}

const struct transport_ops *far_join(const char *address, const struct transport_ops *ops)
{
    far_stream_open(&near.stream, dial(address));
    near.wakes = dial(address);
    near.ops = ops;
    near.wrapped = (struct transport_ops){.name = ops->name,
                                          .features = ops->features,
                                          .create = near_create,
                                          .destroy = near_destroy,
                                          .link_create = near_link_create,
                                          .link_connect = near_link_connect,
                                          .link_state = near_link_state,
                                          .link_close = near_link_close,
                                          .send = near_send,
                                          .receive = near_receive,
                                          .release = near_release,
                                          .reserve = ops->reserve != NULL ? near_reserve : NULL,
                                          .commit = ops->commit != NULL ? near_commit : NULL,
                                          .cancel = near_cancel,
                                          .progress = near_progress,
                                          .wait_fd = near_wait_fd,
                                          .arm = near_arm,
                                          .disarm = near_disarm,
                                          .count = near_count};
    return &near.wrapped;
}
