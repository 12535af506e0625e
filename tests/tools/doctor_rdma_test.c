/* Every finding of doctor_rdma.c and doctor_rate.c, on hosts that have it and hosts that have not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tools/doctor_host.h"

#define PORT "/sys/class/infiniband/mlx5_0/ports/1/"
#define LOCAL_GID "fe80:0000:0000:0000:0202:03ff:fe04:0506\n"
#define ROUTABLE_GID "0000:0000:0000:0000:0000:ffff:0a00:0007\n"
#define NO_GID "0000:0000:0000:0000:0000:0000:0000:0000\n"

static void put_roce(void)
{
    host_device("mlx5_0", "4: ACTIVE\n", "Ethernet\n", "100 Gb/sec (4X EDR)\n");
    host_put(PORT "gid_attrs/ndevs/0", "eth2\n");
    host_put("/sys/class/net/eth2/mtu", "9000\n");
}

static void put_infiniband(void)
{
    host_device("mlx5_0", "4: ACTIVE\n", "InfiniBand\n", "200 Gb/sec (4X HDR)\n");
}

static void no_device(void **state)
{
    (void)state;
    host_look(doctor_provider);
    host_expect(DOCTOR_OK, "TCP", NULL, NULL);
    host_look(doctor_port);
    host_expect_nothing();
}

static void a_device_with_its_provider(void **state)
{
    (void)state;
    put_roce();
    host_look(doctor_provider);
    host_expect(DOCTOR_OK, "mlx5_0", NULL, NULL);
    host_look(doctor_uverbs);
    host_expect(DOCTOR_OK, "mlx5_0", NULL, NULL);
}

static void a_device_without_its_provider(void **state)
{
    (void)state;
    put_roce();
    host_link("/sys/class/infiniband/mlx5_0/device/driver", "../../../bus/pci/drivers/mlx5_core");
    host.devices = 0;
    host_look(doctor_provider);
    host_expect(DOCTOR_ERROR, "mlx5_0 (driver mlx5_core)", "user-space provider",
                "ibverbs-providers");
}

static void no_module_for_programs(void **state)
{
    (void)state;
    host.devices = 0;
    host_put(PORT "state", "4: ACTIVE\n");
    host_look(doctor_provider);
    host_expect(DOCTOR_ERROR, "no uverbs device", NULL, "modprobe ib_uverbs");
}

static void built_without_rdma(void **state)
{
    (void)state;
    put_roce();
    host.devices = 0;
    host.verbs_built = false;
    host_look(doctor_provider);
    host_expect(DOCTOR_WARNING, "built without RDMA", "TCP", "KOLO_VERBS=on");
}

static void a_device_that_may_not_be_opened(void **state)
{
    (void)state;
    put_roce();
    host.device[0].open_error = EACCES;
    host_look(doctor_uverbs);
    host_expect(DOCTOR_ERROR, "mlx5_0 cannot be opened: Permission denied", NULL, "chmod 666");
    host.device[0].open_error = ENOMEM;
    host_look(doctor_uverbs);
    host_expect(DOCTOR_ERROR, "mlx5_0", NULL, "dmesg");
}

static void a_container_without_the_devices(void **state)
{
    (void)state;
    host_put(PORT "state", "4: ACTIVE\n");
    host.devices = 1;
    strcpy(host.device[0].name, "mlx5_0");
    host.device[0].open_error = ENOENT;
    host_look(doctor_uverbs);
    host_expect(DOCTOR_ERROR, "there is no /dev/infiniband", NULL, "--device=/dev/infiniband");
    host.device[0].open_error = 0;
    host_look(doctor_uverbs);
    host_expect(DOCTOR_NOTE, "rdma_cm", "iWARP", "modprobe rdma_ucm");
}

static void the_only_port_is_down(void **state)
{
    (void)state;
    host_device("mlx5_0", "1: DOWN\n", "InfiniBand\n", "10 Gb/sec (4X SDR)\n");
    host_put(PORT "phys_state", "2: Polling\n");
    host_look(doctor_port);
    host_expect(DOCTOR_ERROR, "mlx5_0:1 is not active: state 1: DOWN, physical state 2: Polling",
                "RDMA is not used", "ibstat mlx5_0 1");
    host_put(PORT "phys_state", "3: Disabled\n");
    host_look(doctor_port);
    host_expect(DOCTOR_ERROR, NULL, NULL, "ibportstate");
}

static void an_ethernet_port_is_down(void **state)
{
    (void)state;
    put_roce();
    host_put(PORT "state", "1: DOWN\n");
    host_look(doctor_port);
    host_expect(DOCTOR_ERROR, "mlx5_0:1", NULL, "ip link set dev eth2 up");
}

static void a_spare_port_is_down(void **state)
{
    (void)state;
    put_roce();
    host_device("mlx5_1", "1: DOWN\n", "Ethernet\n", "40 Gb/sec (4X QDR)\n");
    host_look(doctor_port);
    host_expect(DOCTOR_NOTE, "mlx5_1:1", "spare", NULL);
}

static void no_subnet_manager(void **state)
{
    (void)state;
    host_device("mlx5_0", "2: INIT\n", "InfiniBand\n", "100 Gb/sec (4X EDR)\n");
    host_look(doctor_port);
    host_expect(DOCTOR_ERROR, "2: INIT", "subnet manager", "opensm");
}

static void gids(void **state)
{
    (void)state;
    put_roce();
    host_look(doctor_gid);
    host_expect(DOCTOR_ERROR, "has no address", "eth2", "ip addr add ADDRESS/PREFIX dev eth2");
    host_gid("mlx5_0", 0, LOCAL_GID, "IB/RoCE v1\n");
    host_look(doctor_gid);
    host_expect(DOCTOR_WARNING, "1 GIDs, and all are RoCE v1", "not routed", "cma_roce_mode");
    host_gid("mlx5_0", 1, LOCAL_GID, "RoCE v2\n");
    host_look(doctor_gid);
    host_expect(DOCTOR_WARNING, "link-local", NULL, "ip addr add");
    host_gid("mlx5_0", 2, NO_GID, "RoCE v2\n");
    host_look(doctor_gid);
    host_expect(DOCTOR_WARNING, "link-local", NULL, NULL);
    host_gid("mlx5_0", 3, ROUTABLE_GID, "RoCE v2\n");
    host_look(doctor_gid);
    host_expect(DOCTOR_OK, "1 RoCE v2", NULL, NULL);
}

static void gids_do_not_matter_on_infiniband_and_iwarp(void **state)
{
    (void)state;
    put_infiniband();
    host_look(doctor_gid);
    host_expect_nothing();
    host_put(PORT "link_layer", "Ethernet\n");
    host_put("/sys/class/infiniband/mlx5_0/node_type", "4: RNIC\n");
    host_look(doctor_gid);
    host_expect_nothing();
}

static void mtu(void **state)
{
    (void)state;
    put_roce();
    host_look(doctor_rdma_mtu);
    host_expect(DOCTOR_OK, "4096", NULL, NULL);
    host_put("/sys/class/net/eth2/mtu", "1500\n");
    host_look(doctor_rdma_mtu);
    host_expect(DOCTOR_ERROR,
                "packets of 4096 bytes and headers, but its interface eth2 takes 1500",
                "retry exceeded", "mtu 4200");
    host.device[0].active_mtu[0] = 1024;
    host_look(doctor_rdma_mtu);
    host_expect(DOCTOR_NOTE, "1024 bytes, and could send 4096", "headers", "dev eth2 mtu 9000");
}

static void mtu_of_infiniband(void **state)
{
    (void)state;
    put_infiniband();
    host.device[0].active_mtu[0] = 2048;
    host_look(doctor_rdma_mtu);
    host_expect(DOCTOR_NOTE, "2048", NULL, "opensm");
}

static void a_cable_with_few_lanes(void **state)
{
    (void)state;
    put_infiniband();
    host_look(doctor_port_rate);
    host_expect(DOCTOR_OK, "200 Gb/sec", NULL, NULL);
    host_put(PORT "rate", "50 Gb/sec (1X HDR)\n");
    host_look(doctor_port_rate);
    host_expect(DOCTOR_WARNING, "50 Gb/sec (1X HDR), on 1 of 4 lanes", "cable",
                "mlxlink -d mlx5_0");
}

static void a_port_slower_than_its_twin(void **state)
{
    (void)state;
    put_roce();
    host_device("mlx5_1", "4: ACTIVE\n", "Ethernet\n", "25 Gb/sec (1X EDR)\n");
    host_look(doctor_port_rate);
    host_expect(DOCTOR_OK, NULL, NULL, NULL); /* not known to be alike */
    host_put("/sys/class/infiniband/mlx5_0/board_id", "MT_0000000359\n");
    host_put("/sys/class/infiniband/mlx5_1/board_id", "MT_0000000359\n");
    host_look(doctor_port_rate);
    host_expect(DOCTOR_WARNING, "mlx5_1:1 runs at 25 Gb/sec", NULL, "mlxlink -d mlx5_1");
    host_put("/sys/class/infiniband/mlx5_1/board_id", "MT_0000000008\n");
    host_look(doctor_port_rate);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
}

static void put_slot(const char *speed, const char *width)
{
    host_put("/sys/class/infiniband/mlx5_0/device/current_link_speed", speed);
    host_put("/sys/class/infiniband/mlx5_0/device/current_link_width", width);
    host_put("/sys/class/infiniband/mlx5_0/device/max_link_speed", "16.0 GT/s PCIe\n");
    host_put("/sys/class/infiniband/mlx5_0/device/max_link_width", "16\n");
}

static void a_slot_below_the_card(void **state)
{
    (void)state;
    put_roce();
    host_look(doctor_pcie);
    host_expect_nothing();
    put_slot("16.0 GT/s PCIe\n", "16\n");
    host_look(doctor_pcie);
    host_expect(DOCTOR_OK, "16 GT/s x16", NULL, NULL);
    put_slot("8.0 GT/s PCIe\n", "8\n");
    host_look(doctor_pcie);
    host_expect(DOCTOR_WARNING, "8 GT/s x8, and could be by 16 GT/s x16", "64 of 256 Gbit/s",
                "slot with x16");
}

static void put_rate(uint32_t speed, uint32_t supported)
{
    host.links = 1;
    host.link[0] =
        (struct doctor_link){.name = "eth0", .speed_Mbps = speed, .supported_Mbps = supported};
}

static void an_interface_below_its_rate(void **state)
{
    (void)state;
    put_rate(25000, 25000);
    host_look(doctor_ethernet_rate);
    host_expect(DOCTOR_OK, "25000", NULL, NULL);
    put_rate(1000, 10000);
    host_look(doctor_ethernet_rate);
    host_expect(DOCTOR_WARNING, "eth0 runs at 1000 Mbit/s, and could at 10000", "cable",
                "ethtool eth0");
    put_rate(10000, 0);
    host_look(doctor_ethernet_rate);
    host_expect_nothing();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(no_device),
        HOST_TEST(a_device_with_its_provider),
        HOST_TEST(a_device_without_its_provider),
        HOST_TEST(no_module_for_programs),
        HOST_TEST(built_without_rdma),
        HOST_TEST(a_device_that_may_not_be_opened),
        HOST_TEST(a_container_without_the_devices),
        HOST_TEST(the_only_port_is_down),
        HOST_TEST(an_ethernet_port_is_down),
        HOST_TEST(a_spare_port_is_down),
        HOST_TEST(no_subnet_manager),
        HOST_TEST(gids),
        HOST_TEST(gids_do_not_matter_on_infiniband_and_iwarp),
        HOST_TEST(mtu),
        HOST_TEST(mtu_of_infiniband),
        HOST_TEST(a_cable_with_few_lanes),
        HOST_TEST(a_port_slower_than_its_twin),
        HOST_TEST(a_slot_below_the_card),
        HOST_TEST(an_interface_below_its_rate),
    };
    return cmocka_run_group_tests_name("doctor_rdma", tests, NULL, NULL);
}
