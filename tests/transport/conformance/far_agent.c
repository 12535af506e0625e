/* The far end: makes the calls that are asked for, and tells how transfers have changed. */
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/transport/conformance/far.h"

struct mirror {
    struct transfer transfer; /* first: a mirror is what was posted */
    uint8_t *memory;
    uint32_t transport, link;
    bool used, sends;
    struct far_update told; /* last */
    size_t told_end;        /* bytes of a receive told of */
};

static struct agent {
    const struct transport_ops *ops;
    void *wire;
    struct far_stream stream;
    int wakes; /* the connection for wake-ups */
    struct transport *transports[FAR_TRANSPORTS_MAX];
    bool armed[FAR_TRANSPORTS_MAX];
    struct link *links[FAR_LINKS_MAX];
    uint32_t link_transport[FAR_LINKS_MAX];
    struct mirror mirrors[FAR_TRANSFERS_MAX];
    unsigned mirrors_end; /* those beyond are not used */
} agent;

static void *grow(size_t bytes)
{
    void *memory = malloc(bytes + 1);
    if (memory == NULL) {
        far_fail("malloc");
    }
    return memory;
}

static void drop(struct mirror *mirror)
{
    free(mirror->memory);
    *mirror = (struct mirror){0};
    while (agent.mirrors_end > 0 && !agent.mirrors[agent.mirrors_end - 1].used) {
        agent.mirrors_end--;
    }
}

/* ---- telling ---- */

static struct far_update stand_of(const struct mirror *mirror)
{
    const struct transfer *transfer = &mirror->transfer;
    struct far_update stand = {.transfer = (uint32_t)(mirror - agent.mirrors),
                               .state = transfer->state,
                               .status = transfer->status,
                               .moved = transfer->moved,
                               .span_bytes = transfer->span_bytes,
                               .length_sent = transfer->length_sent};
    memcpy(stand.header, transfer->header, sizeof stand.header);
    return stand;
}

static bool over(const struct mirror *mirror)
{
    return mirror->transfer.state != TRANSFER_POSTED;
}

/* A receive's bytes that have not been told of. At its end all of its memory: what was not to be touched is compared, too. */
static size_t end_of(const struct mirror *mirror)
{
    const struct transfer *transfer = &mirror->transfer;
    if (mirror->sends) {
        return 0;
    }
    if (transfer->data == NULL) {
        return transfer->moved + transfer->span_bytes;
    }
    return over(mirror) ? transfer->length : transfer->moved;
}

static bool news_of(struct far_update *stand, const struct mirror *mirror)
{
    struct far_update told = mirror->told;
    *stand = stand_of(mirror);
    told.from = told.bytes = 0;
    return memcmp(stand, &told, sizeof told) != 0;
}

static void tell(struct mirror *mirror, struct far_update *stand)
{
    const struct transfer *transfer = &mirror->transfer;
    size_t end = end_of(mirror);
    if (transfer->data == NULL && mirror->told_end < transfer->moved) {
        mirror->told_end = transfer->moved;
    }
    mirror->told = *stand;
    stand->from = mirror->told_end;
    stand->bytes = end > mirror->told_end ? end - mirror->told_end : 0;
    far_put(&agent.stream, stand, sizeof *stand);
    if (stand->bytes > 0) {
        far_put(&agent.stream,
                transfer->data == NULL ? transfer->span + (stand->from - transfer->moved)
                                       : transfer->data + stand->from,
                stand->bytes);
    }
    mirror->told_end += stand->bytes;
    if (over(mirror)) {
        drop(mirror);
    }
}

static void answer(int64_t value, uint64_t number, const void *bytes, size_t length)
{
    struct far_update stand;
    struct far_answer said = {.value = value, .number = number, .bytes = length};
    for (unsigned i = 0; i < agent.mirrors_end; i++) {
        said.updates += agent.mirrors[i].used && news_of(&stand, &agent.mirrors[i]);
    }
    far_put(&agent.stream, &said, sizeof said);
    far_put(&agent.stream, bytes, length);
    for (unsigned i = 0; i < agent.mirrors_end && said.updates > 0; i++) {
        if (agent.mirrors[i].used && news_of(&stand, &agent.mirrors[i])) {
            tell(&agent.mirrors[i], &stand);
            said.updates--;
        }
    }
    far_flush(&agent.stream);
}

/* ---- calls ---- */

static void create(const struct far_request *request)
{
    struct far_peer self;
    far_get(&agent.stream, &self, sizeof self);
    struct transport_config config = {.peer_timeout_ns = request->number, .wire = agent.wire};
    memcpy(config.self, self.id, sizeof config.self);
    answer(agent.ops->create(&agent.transports[request->transport], &config), 0, NULL, 0);
}

static void destroy(const struct far_request *request)
{
    agent.ops->destroy(agent.transports[request->transport]);
    agent.transports[request->transport] = NULL;
    agent.armed[request->transport] = false;
    for (unsigned i = 0; i < agent.mirrors_end; i++) {
        if (agent.mirrors[i].used && agent.mirrors[i].transport == request->transport) {
            drop(&agent.mirrors[i]);
        }
    }
    answer(0, 0, NULL, 0);
}

static void link_create(const struct far_request *request)
{
    struct far_peer peer;
    uint8_t offer[TRANSPORT_OFFER_BYTES];
    size_t offer_bytes = 0;
    far_get(&agent.stream, &peer, sizeof peer);
    struct link_config config = {
        .dials = request->flag, .token = request->number, .peer_name = peer.name};
    memcpy(config.peer, peer.id, sizeof config.peer);
    kolo_status status = agent.ops->link_create(&agent.links[request->link], offer, &offer_bytes,
                                                agent.transports[request->transport], &config);
    agent.link_transport[request->link] = request->transport;
    answer(status, 0, offer, offer_bytes);
}

static void link_connect(const struct far_request *request)
{
    uint8_t *offer = grow(request->bytes);
    far_get(&agent.stream, offer, request->bytes);
    kolo_status status = agent.ops->link_connect(agent.links[request->link], offer, request->bytes);
    free(offer);
    answer(status, 0, NULL, 0);
}

static void link_state(const struct far_request *request)
{
    kolo_status why = KOLO_OK;
    const char *text = "";
    enum link_state state = agent.ops->link_state(agent.links[request->link], &why, &text);
    text = text == NULL ? "" : text;
    answer(state, (uint64_t)(int64_t)why, text, strlen(text) + 1);
}

static void post(const struct far_request *request)
{
    struct mirror *mirror = &agent.mirrors[request->transfer];
    struct transfer *transfer = &mirror->transfer;
    *mirror = (struct mirror){.transport = agent.link_transport[request->link],
                              .link = request->link,
                              .used = true,
                              .sends = request->call == FAR_SEND};
    if (request->transfer >= agent.mirrors_end) {
        agent.mirrors_end = request->transfer + 1;
    }
    transfer->length = request->number;
    transfer->ready = request->ready;
    far_get(&agent.stream, transfer->header, sizeof transfer->header);
    mirror->memory = grow(transfer->length);
    memset(mirror->memory, 0xEE, transfer->length);
    transfer->data = request->flag ? mirror->memory : NULL;
    far_get(&agent.stream, mirror->memory, request->bytes - sizeof transfer->header);
    mirror->told = stand_of(mirror); /* idle: so that its being posted is news */
    struct link *link = agent.links[request->link];
    (mirror->sends ? agent.ops->send : agent.ops->receive)(link, request->lane, transfer);
    answer(0, 0, NULL, 0);
}

static void commit(const struct far_request *request)
{
    struct link *link = agent.links[request->link];
    struct transfer *transfer = &agent.mirrors[request->transfer].transfer;
    uint8_t *place = NULL;
    if (agent.ops->reserve(link, request->lane, transfer, &place) < request->bytes) {
        far_fail("the room that was reserved is gone");
    }
    far_get(&agent.stream, place, request->bytes);
    agent.ops->commit(link, request->lane, transfer, request->bytes);
    answer(0, 0, NULL, 0);
}

static void progress(const struct far_request *request)
{
    for (uint64_t i = 0; i < request->number; i++) {
        struct far_raise raise;
        far_get(&agent.stream, &raise, sizeof raise);
        struct mirror *mirror = &agent.mirrors[raise.transfer];
        if (mirror->sends) {
            far_get(&agent.stream, mirror->memory + mirror->transfer.ready,
                    raise.ready - mirror->transfer.ready);
        }
        mirror->transfer.ready = raise.ready;
    }
    answer(agent.ops->progress(agent.transports[request->transport]), 0, NULL, 0);
}

static void one_call(const struct far_request *request)
{
    struct transport *transport = agent.transports[request->transport];
    struct link *link = agent.links[request->link];
    struct transfer *transfer = &agent.mirrors[request->transfer].transfer;
    uint8_t *place;
    uint64_t sent, received;
    switch ((enum far_call)request->call) {
    case FAR_CREATE:
        create(request);
        return;
    case FAR_DESTROY:
        destroy(request);
        return;
    case FAR_LINK_CREATE:
        link_create(request);
        return;
    case FAR_LINK_CONNECT:
        link_connect(request);
        return;
    case FAR_LINK_STATE:
        link_state(request);
        return;
    case FAR_LINK_CLOSE:
        agent.ops->link_close(link);
        agent.links[request->link] = NULL;
        break;
    case FAR_SEND:
    case FAR_RECEIVE:
        post(request);
        return;
    case FAR_RELEASE:
        agent.ops->release(link, request->lane, transfer, request->number);
        break;
    case FAR_RESERVE:
        answer((int64_t)agent.ops->reserve(link, request->lane, transfer, &place), 0, NULL, 0);
        return;
    case FAR_COMMIT:
        commit(request);
        return;
    case FAR_CANCEL:
        agent.ops->cancel(link, request->lane, transfer);
        break;
    case FAR_PROGRESS:
        progress(request);
        return;
    case FAR_ARM:
        agent.armed[request->transport] = agent.ops->arm(transport);
        answer(agent.armed[request->transport], 0, NULL, 0);
        return;
    case FAR_DISARM:
        agent.ops->disarm(transport);
        agent.armed[request->transport] = false;
        break;
    case FAR_COUNT:
        agent.ops->count(transport, &sent, &received);
        answer((int64_t)sent, received, NULL, 0);
        return;
    }
    answer(0, 0, NULL, 0);
}

/* ---- serving ---- */

/* Wait for a request; meanwhile pass on that an armed transport has woken. */
static void await_request(int requests)
{
    for (;;) {
        struct pollfd fds[1 + FAR_TRANSPORTS_MAX] = {{.fd = requests, .events = POLLIN}};
        for (unsigned i = 0; i < FAR_TRANSPORTS_MAX; i++) {
            fds[1 + i].fd = agent.armed[i] ? agent.ops->wait_fd(agent.transports[i]) : -1;
            fds[1 + i].events = POLLIN;
        }
        if (poll(fds, 1 + FAR_TRANSPORTS_MAX, -1) < 0) {
            far_fail("poll");
        }
        for (unsigned i = 0; i < FAR_TRANSPORTS_MAX; i++) {
            if (agent.armed[i] && fds[1 + i].revents != 0) {
                agent.armed[i] = false; /* said once */
                if (write(agent.wakes, "w", 1) != 1) {
                    far_fail("writing a wake-up");
                }
            }
        }
        if (fds[0].revents != 0) {
            return;
        }
    }
}

void far_serve(const struct transport_ops *ops, void *wire)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(FAR_PORT)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(listener, 2) != 0) {
        far_fail("listen");
    }
    printf("ready\n");
    fflush(stdout);
    int requests = accept(listener, NULL, NULL);
    agent.wakes = accept(listener, NULL, NULL);
    if (requests < 0 || agent.wakes < 0) {
        far_fail("accept");
    }
    close(listener);
    agent.ops = ops;
    agent.wire = wire;
    far_stream_open(&agent.stream, requests);
    struct far_request request;
    for (;;) {
        await_request(requests);
        if (fread(&request, sizeof request, 1, agent.stream.in) != 1) {
            return; /* the near end has left */
        }
        if (request.transport >= FAR_TRANSPORTS_MAX || request.link >= FAR_LINKS_MAX ||
            request.transfer >= FAR_TRANSFERS_MAX) {
            far_fail("a request for what there is not");
        }
        one_call(&request);
    }
}
