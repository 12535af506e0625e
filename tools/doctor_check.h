/* doctor_check: everything `kolo doctor` looks at on one host. Each check is a function that reads a view and adds what it found:
 * one finding at least if it applies, so that --verbose shows what was looked at, and none if it does not. */
#ifndef KOLO_TOOLS_DOCTOR_CHECK_H
#define KOLO_TOOLS_DOCTOR_CHECK_H

#include "tools/doctor_finding.h"
#include "tools/doctor_view.h"

struct doctor_check {
    const char *name;
    void (*look)(struct doctor_findings *findings, const struct doctor_view *view);
};

/** All of them, in the order of the report; a row without a name at the end. */
extern const struct doctor_check doctor_checks[];

/** doctor_limits.c: what the system allows this process. */
void doctor_memlock(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_files(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_memfd(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_shm(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_hugepages(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_governor(struct doctor_findings *findings, const struct doctor_view *view);

/** doctor_cgroup.c: what its control groups allow it. */
void doctor_cgroup_memory(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_cgroup_cpu(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_cgroup_pids(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_cgroup_rdma(struct doctor_findings *findings, const struct doctor_view *view);

/** doctor_rdma.c: devices, ports and their addresses. */
void doctor_provider(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_uverbs(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_port(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_gid(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_rdma_mtu(struct doctor_findings *findings, const struct doctor_view *view);

/** doctor_rate.c: ports, interfaces and slots that are slower than they could be. */
void doctor_port_rate(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_pcie(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_ethernet_rate(struct doctor_findings *findings, const struct doctor_view *view);

/** doctor_network.c: interfaces and names. */
void doctor_addresses(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_subnets(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_bridges(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_host_name(struct doctor_findings *findings, const struct doctor_view *view);

/** doctor_place.c: which memory and GPU is near which network device (hwloc). */
void doctor_place(struct doctor_findings *findings, const struct doctor_view *view);

#endif
