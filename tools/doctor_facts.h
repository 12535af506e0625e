/* doctor_facts: what two hosts tell each other of themselves when one asks `kolo doctor OTHER`, and what is wrong when their
 * facts are compared. */
#ifndef KOLO_TOOLS_DOCTOR_FACTS_H
#define KOLO_TOOLS_DOCTOR_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/wire.h"
#include "tools/doctor_finding.h"
#include "tools/doctor_view.h"

#define DOCTOR_FACTS_BYTES 2048 /* encoded, at most */
#define DOCTOR_FACTS_PORTS_MAX 16

struct doctor_fact_port {
    char name[DOCTOR_NAME_MAX]; /* "mlx5_0:1" */
    bool ethernet;
    uint32_t mtu; /* active, bytes; 0: unknown */
    uint32_t rate_Mbps;
};

struct doctor_facts {
    char host[DOCTOR_NAME_MAX];
    char version[16];                /* of kolo */
    char interface[DOCTOR_NAME_MAX]; /* that the connection between the two goes through */
    uint32_t mtu, speed_Mbps;        /* of that interface; 0: unknown */
    uint16_t back_port;              /* where this host listens for the other's call; 0: nowhere */
    uint64_t token;                  /* that call says it */
    unsigned ports;                  /* RDMA ports that are active */
    struct doctor_fact_port port[DOCTOR_FACTS_PORTS_MAX];
};

/** This host's facts, for a connection that has this address on this side. back_port and token stay 0. */
void doctor_facts_read(struct doctor_facts *facts, const struct doctor_view *view,
                       const struct port_address *local);

void doctor_facts_put(struct wire_writer *writer, const struct doctor_facts *facts);
/** From the other host: marks the reader failed if the bytes cannot be facts. */
void doctor_facts_get(struct doctor_facts *facts, struct wire_reader *reader);

/** What does not fit: MTU, rates, RDMA on one side only, versions. */
void doctor_facts_compare(struct doctor_findings *findings, const struct doctor_facts *here,
                          const struct doctor_facts *there);

/** The port of `there` that traffic of this host's port meets: rails are paired by index, where both are of one kind. NULL: none. */
const struct doctor_fact_port *doctor_facts_partner(const struct doctor_facts *there,
                                                    const struct doctor_facts *here, unsigned port);

#endif
