#include "transport/shm/greeting.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "transport/shm/shm.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/* Watch the peer's process. Without (an old kernel, a process outside our PID namespace) its socket must do. */
static void watch_process(struct shm_link *link)
{
    int fd = -1;
    socklen_t length = sizeof fd;
    if (getsockopt(link->socket.fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) != 0) {
        struct ucred who;
        length = sizeof who;
        bool known = getsockopt(link->socket.fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0;
        fd = known && who.pid > 0 ? (int)syscall(SYS_pidfd_open, who.pid, 0) : -1;
    }
    if (fd >= 0 && shm_watch_begin(&link->process, shm_of(link)->poller, fd) != KOLO_OK) {
        close(fd);
    }
}

/* Map what every hello brings: the peer's bell and its board. */
static kolo_status map_peer(struct shm_peer *peer, const struct shm_hello *hello)
{
    void *bell = NULL;
    *peer = (struct shm_peer){.socket = -1};
    kolo_status status = shm_segment_map(&bell, hello->bell, sizeof(struct shm_bell));
    peer->bell = bell;
    return status == KOLO_OK ? shm_board_map(&peer->board, hello->board) : status;
}

/* Both ends have the segment and each other's bell and board: transfers could move. */
static void attach(struct shm_link *link, const struct shm_peer *peer, bool barriers)
{
    struct shm_segment *segment = link->segment;
    for (unsigned lane = 0; lane < TRANSPORT_LANES; lane++) {
        shm_writer_init(&link->out[lane].writer, &segment->rings[link->dials ? 0 : 1][lane]);
        shm_reader_init(&link->in[lane].reader, &segment->rings[link->dials ? 1 : 0][lane]);
    }
    link->peer = *peer;
    link->peer.socket = link->socket.fd;
    link->attached = true;
    if (!barriers) {
        shm_sleeper_be_careful(&shm_of(link)->sleeper);
    }
    watch_process(link);
}

static kolo_status send_hello(struct shm_link *link, int socket, int segment)
{
    struct shm *shm = shm_of(link);
    struct shm_hello hello = {
        .answers = !link->dials,
        .barriers = shm->sleeper.barriers,
        .token = link->token,
        .segment = segment,
        .bell = shm->sleeper.fd,
        .board = shm->board_fd,
    };
    memcpy(hello.from, shm->self, TRANSPORT_ID_BYTES);
    memcpy(hello.to, link->peer_id, TRANSPORT_ID_BYTES);
    return shm_hello_send(socket, &hello);
}

/* Knock and say hello with a fresh segment. The hello follows the knock at once: see SHM_STRANGERS_MAX. */
static kolo_status knock_and_greet(struct shm_link *link, int segment)
{
    int socket;
    kolo_status status = shm_door_knock(&socket, link->peer_door);
    if (status != KOLO_OK) {
        return status;
    }
    status = send_hello(link, socket, segment);
    if (status == KOLO_OK) {
        status = shm_watch_begin(&link->socket, shm_of(link)->poller, socket);
    }
    if (status != KOLO_OK) {
        close(socket);
    }
    return status;
}

kolo_status shm_greeting_dial(struct shm_link *link)
{
    void *memory;
    int segment;
    kolo_status status = shm_segment_create(&segment, &memory, sizeof *link->segment);
    if (status != KOLO_OK) {
        return status;
    }
    status = knock_and_greet(link, segment);
    close(segment);
    if (status == KOLO_OK) {
        link->segment = memory;
        return KOLO_OK;
    }
    shm_segment_unmap(memory, sizeof *link->segment);
    return status == KOLO_ERR_TIMEOUT ? KOLO_OK : status; /* shm_link_step() dials again */
}

static bool is_from_peer(const struct shm_link *link, const struct shm_hello *hello)
{
    return hello->token == link->token &&
           memcmp(hello->from, link->peer_id, TRANSPORT_ID_BYTES) == 0 &&
           memcmp(hello->to, shm_of(link)->self, TRANSPORT_ID_BYTES) == 0;
}

static struct shm_link *find(const struct shm *shm, const struct shm_hello *hello)
{
    for (struct shm_link *link = shm->links; link; link = link->next) {
        bool waits = !link->dials && !link->attached && link->state != LINK_LOST;
        if (waits && is_from_peer(link, hello)) {
            return link;
        }
    }
    return NULL;
}

/* Map what the hello brought, and answer. On failure nothing has changed. */
static kolo_status accept_hello(struct shm_link *link, int socket, const struct shm_hello *hello)
{
    void *segment;
    struct shm_peer peer;
    kolo_status status = shm_segment_map(&segment, hello->segment, sizeof *link->segment);
    if (status != KOLO_OK) {
        return status;
    }
    status = map_peer(&peer, hello);
    if (status == KOLO_OK) {
        status = send_hello(link, socket, -1);
    }
    if (status == KOLO_OK) {
        status = shm_watch_begin(&link->socket, shm_of(link)->poller, socket);
    }
    if (status != KOLO_OK) {
        shm_peer_unmap(&peer);
        shm_segment_unmap(segment, sizeof *link->segment);
        return status;
    }
    link->segment = segment;
    attach(link, &peer, hello->barriers);
    return KOLO_OK;
}

bool shm_greeting_welcome(void *context, int socket, const struct shm_hello *hello)
{
    struct shm_link *link = find(context, hello);
    if (hello->answers || !link || accept_hello(link, socket, hello) != KOLO_OK) {
        return false;
    }
    shm_hello_drop(hello);
    return true;
}

bool shm_greeting_hear(struct shm_link *link)
{
    struct shm_hello hello;
    enum shm_heard heard = shm_hello_receive(&hello, link->socket.fd);
    if (heard == SHM_HEARD_NOTHING) {
        return false;
    }
    if (heard == SHM_HEARD_END) {
        shm_link_lose(link, KOLO_ERR_PEER_LOST, "closed the shared-memory link before it was up");
        return true;
    }
    struct shm_peer peer = {0};
    bool sane = heard == SHM_HEARD_HELLO && hello.answers && is_from_peer(link, &hello) &&
                map_peer(&peer, &hello) == KOLO_OK;
    if (heard == SHM_HEARD_HELLO) {
        shm_hello_drop(&hello);
    }
    if (!sane) {
        shm_peer_unmap(&peer);
        shm_link_lose(link, KOLO_ERR_PROTOCOL, "answered a shared-memory hello with nonsense");
        return true;
    }
    attach(link, &peer, hello.barriers);
    return shm_link_step(link);
}

kolo_status shm_greeting_probe(const struct shm_link *link)
{
    int socket;
    kolo_status status = link->attached ? KOLO_OK : shm_door_knock(&socket, link->peer_door);
    if (status == KOLO_OK && !link->attached) {
        close(socket);
    }
    return status == KOLO_ERR_TIMEOUT ? KOLO_OK : status;
}
