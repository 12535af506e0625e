#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime/api/comm.h"
#include "runtime/api/settings.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/launch/exchange.h"
#include "runtime/membership/contacts.h"
#include "runtime/membership/notice.h"
#include "runtime/plan/costs.h"
#include "runtime/topology/interface.h"
#include "runtime/topology/topology.h"
#include "transport/tcp/port.h"

#define STRING_OF(x) #x
#define TEXT_OF(x) STRING_OF(x)

const char *kolo_version(void)
{
    return TEXT_OF(KOLO_VERSION_MAJOR) "." TEXT_OF(KOLO_VERSION_MINOR) "." TEXT_OF(
        KOLO_VERSION_PATCH);
}

/* ---- who we are ---- */

static kolo_status random_identity(uint8_t id[TRANSPORT_ID_BYTES])
{
    if (getrandom(id, TRANSPORT_ID_BYTES, 0) != TRANSPORT_ID_BYTES) {
        return fail(KOLO_ERR_SYSTEM, "getrandom failed: %s", strerror(errno));
    }
    return KOLO_OK;
}

/* Runs with different names must not meet: the name in 128 bits. It separates, it does not authenticate. */
static void run_key(uint8_t key[PORT_RUN_BYTES], const char *run_id)
{
    uint64_t hash[2] = {0xcbf29ce484222325ULL, 0x84222325cbf29ce4ULL};
    for (const char *c = run_id; *c != '\0'; c++) {
        hash[0] = (hash[0] ^ (uint8_t)*c) * 0x100000001b3ULL;
        hash[1] = (hash[1] ^ (uint8_t)*c ^ (hash[0] >> 32)) * 0x9e3779b97f4a7c15ULL;
    }
    memcpy(key, hash, PORT_RUN_BYTES);
}

static void describe_self(struct member *self, const struct settings *settings,
                          const struct topology *topology, const struct tcp_port *port)
{
    self->rank = settings->launch.rank;
    self->size = (uint32_t)settings->launch.size;
    self->pid = (uint32_t)getpid();
    self->transports = settings->transports;
    memcpy(self->host, topology->host, sizeof self->host);
    self->processor_set = topology->processor_set;
    if (gethostname(self->hostname, sizeof self->hostname - 1) != 0 || self->hostname[0] == '\0') {
        strcpy(self->hostname, "unknown");
    }
    self->addresses = tcp_port_addresses(port, self->address);
}

/* ---- what the group is like ---- */

/* How many of the group take turns on this process's processors. Sets that differ (each bound to a core of its own) are taken
 * to have none in common. */
static unsigned sharing_peers(const struct group *group)
{
    const struct member *self = &group->member[group->rank];
    unsigned peers = 0;
    for (uint32_t rank = 0; rank < group->size; rank++) {
        const struct member *other = &group->member[rank];
        peers += memcmp(other->host, self->host, sizeof self->host) == 0 &&
                 other->processor_set == self->processor_set;
    }
    return peers;
}

static enum costs_wire wire_to(const kolo_comm *comm, uint32_t rank)
{
    const char *name = wires_name(comm->wires.row[rank]);
    const struct member *member = comm->group.member;
    bool here = memcmp(member[rank].host, member[comm->group.rank].host, TOPOLOGY_HOST_BYTES) == 0;
    return strcmp(name, "shm") == 0     ? COSTS_SHARED_MEMORY
           : strcmp(name, "verbs") == 0 ? COSTS_RDMA
           : here                       ? COSTS_LOOPBACK
                                        : COSTS_NETWORK;
}

static struct network_uniform figures(const kolo_comm *comm, const struct topology *topology)
{
    const struct group *group = &comm->group;
    unsigned sharing = sharing_peers(group);
    struct network_uniform worst = {0};
    const struct member *self = &group->member[group->rank];
    double tcp_Bps = self->addresses > 0 ? interface_rate_Bps(&self->address[0].as.any) : 0;
    double verbs_Bps = wires_verbs_rate_Bps(&comm->wires);
    for (uint32_t rank = 0; rank < group->size; rank++) {
        if (rank == group->rank) {
            continue;
        }
        enum costs_wire wire = wire_to(comm, rank);
        struct network_uniform costs =
            costs_of(wire, sharing, topology->processors, wire == COSTS_RDMA ? verbs_Bps : tcp_Bps);
        costs_worst(&worst, &costs);
    }
    worst.shown_bytes = wires_board(&comm->wires) != NULL ? TRANSPORT_SHOWN_BYTES : 0;
    return worst;
}

static void log_group(const kolo_comm *comm)
{
    if (!log_shows(LOG_INFO)) {
        return;
    }
    for (int rank = 0; rank < kolo_size(comm); rank++) {
        char text[256];
        kolo_describe_peer(comm, text, sizeof text, rank);
        log_line(LOG_INFO, "%s", text);
    }
}

/* ---- opening, step by step; kolo_close() undoes what has been done ---- */

static kolo_status open_port(kolo_comm *comm, struct member *self, const struct settings *settings)
{
    struct port_config config = {.number = settings->launch.port,
                                 .interfaces = settings->interfaces,
                                 .peer_timeout_ns = settings->peer_timeout_ns};
    kolo_status status = random_identity(self->id);
    if (status != KOLO_OK) {
        return status;
    }
    memcpy(config.self, self->id, sizeof config.self);
    run_key(config.run, settings->launch.run_id);
    return tcp_port_open(&comm->port, &config);
}

/* Where the launcher carries them: our addresses to the others, and theirs to us. */
static kolo_status exchange_addresses(struct launch *launch, const struct member *self,
                                      uint64_t deadline_ns)
{
    char text[CONTACTS_TEXT_MAX];
    static_assert(sizeof text <= EXCHANGE_TEXT_MAX, "what one rank says of itself is carried");
    if (launch->channel == LAUNCH_NO_CHANNEL) {
        return KOLO_OK;
    }
    if (contacts_text(text, self->address, self->addresses) == 0) {
        return fail(
            KOLO_ERR_SYSTEM,
            "%s runs %d ranks on several hosts, but this one has no address that others can "
            "reach: look at its network interfaces and at KOLO_INTERFACES",
            launch->launcher, launch->size);
    }
    return exchange_contacts(launch, text, deadline_ns);
}

static kolo_status find_peers(kolo_comm *comm, struct settings *settings,
                              const struct topology *topology, uint64_t deadline_ns)
{
    struct member self = {0};
    kolo_status status = exchange_join(&settings->launch, deadline_ns);
    if (status == KOLO_OK) {
        status = open_port(comm, &self, settings);
    }
    if (status != KOLO_OK) {
        return status;
    }
    describe_self(&self, settings, topology, comm->port);
    status = exchange_addresses(&settings->launch, &self, deadline_ns);
    if (status != KOLO_OK) {
        return status;
    }
    const struct genesis_config config = {
        .port = comm->port, .self = &self, .launch = &settings->launch, .deadline_ns = deadline_ns};
    status = genesis_run(&comm->group, &config);
    if (status == KOLO_OK) {
        log_set_rank((int)comm->group.rank);
    }
    return status;
}

static kolo_status connect_peers(kolo_comm *comm, const struct settings *settings,
                                 const struct topology *topology, uint64_t deadline_ns)
{
    const struct wires_config wires_config = {.port = comm->port,
                                              .verbs_devices = settings->verbs_devices,
                                              .verbs_gid_index = settings->verbs_gid_index,
                                              .verbs_queue_pairs = settings->verbs_queue_pairs,
                                              .peer_timeout_ns = settings->peer_timeout_ns,
                                              .deadline_ns = deadline_ns};
    kolo_status status = wires_open(&comm->wires, &comm->group, &wires_config);
    if (status != KOLO_OK) {
        return status;
    }
    const struct engine_config engine_config = {
        .spin_ns = topology_spin_ns(topology, sharing_peers(&comm->group)),
        .timeout_ns = settings->timeout_ns};
    status = engine_open(&comm->engine, &comm->group, &comm->wires, &engine_config);
    struct network_uniform network = figures(comm, topology);
    if (status == KOLO_OK) {
        status = engine_settle(&comm->engine, &network, deadline_ns);
    }
    if (status == KOLO_OK) {
        status = plans_create(&comm->plans, comm->group.rank, comm->group.size, &network,
                              settings->algorithm);
        comm->engine.plans = comm->plans;
    }
    return status;
}

static kolo_status open_comm(kolo_comm *comm, struct settings *settings)
{
    uint64_t deadline_ns = clock_after(clock_now_ns(), settings->open_timeout_ns);
    struct topology topology;
    kolo_status status = topology_read(&topology);
    if (status == KOLO_OK) {
        status = find_peers(comm, settings, &topology, deadline_ns);
    }
    if (status == KOLO_OK) {
        status = connect_peers(comm, settings, &topology, deadline_ns);
    }
    if (status == KOLO_OK) {
        log_group(comm);
    }
    return status;
}

/* The others are still connecting: let them fail with the same story. */
static void tell_peers(const kolo_comm *comm, kolo_status status, const char *text)
{
    const struct group *group = &comm->group;
    for (uint32_t rank = 0; group->control != NULL && rank < group->size; rank++) {
        if (group->control[rank] != NULL) {
            notice_send(group->control[rank], status, NOTICE_NOBODY, text);
        }
    }
}

kolo_status kolo_open(kolo_comm **comm, const kolo_config *config)
{
    if (comm == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "kolo_open: comm is NULL");
    }
    struct settings *settings = calloc(1, sizeof *settings);
    kolo_comm *made = calloc(1, sizeof *made);
    if (settings == NULL || made == NULL) {
        free(settings);
        free(made);
        return fail(KOLO_ERR_MEMORY, "no memory for a communicator (%zu bytes)",
                    sizeof *settings + sizeof *made);
    }
    kolo_status status = settings_read(settings, config);
    if (status == KOLO_OK && settings->launch.size > GENESIS_SIZE_MAX) {
        status = fail(KOLO_ERR_LIMIT, "kolo_open: %d peers; the most is %d", settings->launch.size,
                      GENESIS_SIZE_MAX);
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    if (status == KOLO_OK) {
        status = open_comm(made, settings);
    }
    free(settings);
    if (status != KOLO_OK) {
        char text[STATUS_TEXT_MAX];
        snprintf(text, sizeof text, "%s", kolo_last_error());
        tell_peers(made, status, text);
        kolo_close(made);
        return fail_again(status, text);
    }
    *comm = made;
    return KOLO_OK;
}

kolo_status kolo_close(kolo_comm *comm)
{
    if (comm == NULL) {
        return KOLO_OK;
    }
    comm_stop(comm);
    engine_close(&comm->engine);
    wires_close(&comm->wires);
    group_close(&comm->group);
    tcp_port_close(comm->port);
    plans_free(comm->plans);
    pthread_cond_destroy(&comm->changed);
    pthread_mutex_destroy(&comm->lock);
    free(comm);
    return KOLO_OK;
}

kolo_status kolo_abort(kolo_comm *comm)
{
    if (comm == NULL) {
        return fail(KOLO_ERR_ARGUMENT, "kolo_abort: comm is NULL");
    }
    engine_abort(&comm->engine);
    pthread_mutex_lock(&comm->lock);
    bool idle = !comm->driving;
    comm->driving = true;
    pthread_mutex_unlock(&comm->lock);
    if (idle) { /* nobody is there to tell the peers: do it */
        engine_fail(&comm->engine, KOLO_ERR_ABORTED, comm->group.rank, "rank %u called kolo_abort",
                    comm->group.rank);
        pthread_mutex_lock(&comm->lock);
        comm->driving = false;
        pthread_cond_broadcast(&comm->changed);
        pthread_mutex_unlock(&comm->lock);
    }
    return KOLO_OK;
}

/* ---- asking ---- */

int kolo_rank(const kolo_comm *comm)
{
    return comm == NULL ? -1 : (int)comm->group.rank;
}

int kolo_size(const kolo_comm *comm)
{
    return comm == NULL ? 0 : (int)comm->group.size;
}

kolo_status kolo_describe_peer(const kolo_comm *comm, char *text, size_t text_bytes, int peer)
{
    if (comm == NULL || text == NULL || text_bytes == 0) {
        return fail(KOLO_ERR_ARGUMENT,
                    "kolo_describe_peer: comm or text is NULL, or text_bytes is 0");
    }
    if (peer < 0 || peer >= kolo_size(comm)) {
        return fail(KOLO_ERR_ARGUMENT, "kolo_describe_peer: %d is not a rank; ranks are 0 to %d",
                    peer, kolo_size(comm) - 1);
    }
    char name[MEMBER_NAME_MAX];
    bool self = (uint32_t)peer == comm->group.rank;
    snprintf(text, text_bytes, "%s %s%s", member_name(name, &comm->group.member[peer]),
             self ? "is this process" : "by ", self ? "" : wires_name(comm->wires.row[peer]));
    return KOLO_OK;
}

kolo_status kolo_get_statistics(kolo_comm *comm, kolo_statistics *statistics)
{
    if (comm == NULL || statistics == NULL || statistics->struct_size != sizeof *statistics) {
        return fail(KOLO_ERR_ARGUMENT,
                    "kolo_get_statistics: comm or statistics is NULL, or struct_size is not set");
    }
    pthread_mutex_lock(&comm->lock);
    *statistics = comm->statistics;
    pthread_mutex_unlock(&comm->lock);
    statistics->struct_size = sizeof *statistics;
    return KOLO_OK;
}
