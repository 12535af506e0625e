/* cluster: a whole communicator in one process and thread: n ranks with real plans and operations over the simulated network,
 * in virtual time. For tests of what the executor does, and how long it may take. */
#ifndef KOLO_TESTS_EXECUTE_CLUSTER_H
#define KOLO_TESTS_EXECUTE_CLUSTER_H

#include "runtime/execute/operation.h"
#include "transport/sim/network.h"

#define CLUSTER_RANKS_MAX 64

struct cluster {
    uint32_t size;
    uint32_t sequence;
    struct sim_network *network;
    struct transport *transport[CLUSTER_RANKS_MAX];
    struct link *link[CLUSTER_RANKS_MAX][CLUSTER_RANKS_MAX]; /* [rank][peer] */
    struct plans *plans[CLUSTER_RANKS_MAX];
    struct operation operation[CLUSTER_RANKS_MAX];
};

/** Make and connect; asserts that all links come up. `algorithm`: forced by name, or NULL. */
void cluster_open(struct cluster *cluster, uint32_t size, const struct sim_network_config *config,
                  const char *algorithm);

/** The same; and what is short enough is shown to all at once. */
void cluster_open_shown(struct cluster *cluster, uint32_t size,
                        const struct sim_network_config *config, const char *algorithm);
void cluster_close(struct cluster *cluster);

/** The identity of a rank. */
void cluster_id(uint8_t id[TRANSPORT_ID_BYTES], uint32_t rank);

/** Begin an operation: request[rank] for each. */
void cluster_begin(struct cluster *cluster, const struct request *request);

/** Run until no operation is running or nothing can happen any more. Returns how many are still running. */
unsigned cluster_run(struct cluster *cluster);

#endif
