/* lab: a few simulated endpoints, all linked with each other, and the trace of what they do. */
#ifndef KOLO_TESTS_SIM_LAB_H
#define KOLO_TESTS_SIM_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "transport/sim/network.h"

#define LAB_PEERS_MAX 8
#define LAB_TRACE_BYTES (1u << 20)

struct lab {
    struct sim_network *network;
    unsigned size;
    uint8_t ids[LAB_PEERS_MAX][TRANSPORT_ID_BYTES];
    struct transport *transports[LAB_PEERS_MAX];
    struct link *links[LAB_PEERS_MAX][LAB_PEERS_MAX];
    char *trace; /* lines, each with its newline; LAB_TRACE_BYTES */
    size_t trace_bytes;
};

/** A network whose numbers are easy to reckon with: 1 us latency, 1 byte/ns links, unlimited ports, no jitter. */
struct sim_network_config lab_config(void);

/** Make `size` peers on a network; not linked yet, so that faults and shapes can be put before that. */
void lab_open(struct lab *lab, const struct sim_network_config *config, unsigned size,
              uint64_t peer_timeout_ns);

/** Link all with all, run until nothing happens. All are up then. */
void lab_connect(struct lab *lab);

void lab_close(struct lab *lab);

/** Progress everywhere until nothing happens; time stands still. */
void lab_progress(struct lab *lab);

/** Progress and advance until nothing is left to happen, or until `time_ns`. */
void lab_run(struct lab *lab);
void lab_run_until(struct lab *lab, uint64_t time_ns);

/** Run until the transfer is no longer posted. Returns the time that is then. */
uint64_t lab_run_transfer(struct lab *lab, const struct transfer *transfer);

/** Begin the trace anew. */
void lab_trace_clear(struct lab *lab);

enum link_state lab_state(const struct lab *lab, unsigned a, unsigned b);

/** Send from a to b on a lane; receive there. Memory is the caller's. */
void lab_send(struct lab *lab, unsigned a, unsigned b, unsigned lane, struct transfer *transfer);
void lab_receive(struct lab *lab, unsigned a, unsigned b, unsigned lane, struct transfer *transfer);

/** A transfer of these bytes, all ready. */
struct transfer lab_transfer(uint8_t *data, size_t length);

#endif
