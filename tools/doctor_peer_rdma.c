/* The last part of `kolo doctor HOST`: does RDMA pass between the two hosts? Every port here is measured with its partner there, as
 * `kolo perf link` does it, for a moment: what stops the packets of RDMA alone (a filter for UDP port 4791, a switch that
 * takes no large frames, fabrics that are not joined) is seen in no other way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "tools/doctor_peer.h"
#include "tools/link.h"

#define MEASURE_NS                                                                                 \
    (100 *                                                                                         \
     NS_PER_MS) /* each of four; by time, since a number of messages has no end where all get stuck */
#define SIZES 2
#define LARGE_BYTES 65536 /* packets as large as the path's MTU */

static const uint64_t sizes[SIZES] = {64, LARGE_BYTES};

/* Two ports that ought to reach each other, and how it went. */
struct way {
    const struct doctor_peer *peer;
    const struct doctor_fact_port *here, *there;
    const char *host; /* as the other end calls itself */
    struct link_record *records;
    size_t count; /* sizes that passed */
    kolo_status status;
};

static kolo_status measure(struct way *way)
{
    struct link_goal goal = {.host = way->peer->host,
                             .port = way->peer->port,
                             .connect_timeout_s = way->peer->timeout_s,
                             .tests = 1u << LINK_SEND};
    struct link_request *request = &goal.request;
    link_request_init(request);
    request->duration_ns = MEASURE_NS;
    request->warmup_ns = 0;
    request->size_count = SIZES;
    memcpy(request->size_bytes, sizes, sizeof sizes);
    snprintf(request->ends[LINK_CLIENT].device, LINK_DEVICE_BYTES, "%s", way->here->name);
    snprintf(request->ends[LINK_SERVER].device, LINK_DEVICE_BYTES, "%s", way->there->name);
    return link_measure(&way->records, &way->count, &goal);
}

static void tell_passes(struct doctor_findings *findings, const struct way *way)
{
    doctor_add(findings, "peer rdma path", DOCTOR_OK,
               "%s and %s on %s reach each other, with small and large messages (%.1f us, %.3g "
               "GB/s)",
               way->here->name, way->there->name, way->host, way->records[0].latency_us.median,
               way->records[SIZES - 1].bandwidth_Bps / 1e9);
}

/* No measurement came about, and not for want of a path. */
static void tell_untried(struct doctor_findings *findings, const struct way *way)
{
    bool busy = way->status == KOLO_ERR_STATE;
    struct doctor_finding *finding =
        doctor_add(findings, "peer rdma path", busy ? DOCTOR_NOTE : DOCTOR_WARNING,
                   "%s and %s on %s could not be measured: %s", way->here->name, way->there->name,
                   way->host, kolo_last_error());
    doctor_why(finding, "whether RDMA passes between the two hosts is not known");
    doctor_cure(finding, "%s %s",
                busy ? "when nobody else measures there: kolo doctor"
                     : "kolo doctor   (on both hosts); then kolo perf link",
                way->peer->host);
}

static void tell_large(struct doctor_findings *findings, const struct way *way)
{
    struct doctor_finding *finding =
        doctor_add(findings, "peer rdma path", DOCTOR_ERROR,
                   "small messages pass between %s and %s on %s, but large ones do not: %s",
                   way->here->name, way->there->name, way->host, kolo_last_error());
    doctor_why(finding, "something on the way drops RDMA packets of %u bytes and their headers",
               way->here->mtu < way->there->mtu ? way->here->mtu : way->there->mtu);
    doctor_cure(finding,
                "kolo perf link %s --port %d --mtu 1024   (finds the limit; then raise the MTU of "
                "the switch)",
                way->peer->host, way->peer->port);
}

static void tell_blocked(struct doctor_findings *findings, const struct way *way)
{
    struct doctor_finding *finding =
        doctor_add(findings, "peer rdma path", DOCTOR_ERROR, "no RDMA between %s and %s on %s: %s",
                   way->here->name, way->there->name, way->host, kolo_last_error());
    if (way->here->ethernet) {
        doctor_why(finding, "a firewall or a switch drops RoCE (UDP port 4791), or the two ports "
                            "are in networks that are not joined: peers use TCP");
        doctor_cure(finding, "sudo ufw allow 4791/udp on both   (firewalld: firewall-cmd "
                             "--add-port=4791/udp; nftables: nft list ruleset); ping between the "
                             "addresses of the ports' interfaces");
    } else {
        doctor_why(finding, "the two ports are in fabrics or partitions that are not joined: peers "
                            "use TCP");
        doctor_cure(finding, "ibping, ibtracert; cat /sys/class/infiniband/*/ports/*/pkeys/0   (on "
                             "both)");
    }
}

static void try_way(struct doctor_findings *findings, struct way *way)
{
    way->status = measure(way);
    if (way->status == KOLO_OK && way->count == SIZES) {
        tell_passes(findings, way);
    } else if (way->status != KOLO_ERR_PEER_LOST && way->status != KOLO_ERR_TIMEOUT) {
        tell_untried(findings, way);
    } else if (way->count > 0) {
        tell_large(findings, way);
    } else {
        tell_blocked(findings, way);
    }
    free(way->records);
}

void doctor_peer_try_rdma(struct doctor_findings *findings, const struct doctor_peer *peer,
                          const struct doctor_facts *here, const struct doctor_facts *there)
{
    for (unsigned i = 0; i < here->ports; i++) {
        const struct doctor_fact_port *partner = doctor_facts_partner(there, here, i);
        if (partner != NULL) {
            struct way way = {
                .peer = peer, .here = &here->port[i], .there = partner, .host = there->host};
            try_way(findings, &way);
        }
    }
}
