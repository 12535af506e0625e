#include "tools/doctor_check.h"

#include <stddef.h>

const struct doctor_check doctor_checks[] = {
    {"provider", doctor_provider},
    {"uverbs", doctor_uverbs},
    {"memlock", doctor_memlock},
    {"port", doctor_port},
    {"gid", doctor_gid},
    {"mtu", doctor_rdma_mtu},
    {"port rate", doctor_port_rate},
    {"pcie", doctor_pcie},
    {"addresses", doctor_addresses},
    {"subnets", doctor_subnets},
    {"bridges", doctor_bridges},
    {"interface rate", doctor_ethernet_rate},
    {"host name", doctor_host_name},
    {"place", doctor_place},
    {"governor", doctor_governor},
    {"processor quota", doctor_cgroup_cpu},
    {"memory limit", doctor_cgroup_memory},
    {"process limit", doctor_cgroup_pids},
    {"rdma limit", doctor_cgroup_rdma},
    {"open files", doctor_files},
    {"memfd", doctor_memfd},
    {"/dev/shm", doctor_shm},
    {"huge pages", doctor_hugepages},
    {NULL, NULL},
};
