/* Every finding of doctor_network.c and doctor_place.c, on hosts that have it and hosts that have not. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tools/doctor_host.h"

static void name_is(const char *address)
{
    struct port_address *one = &host.host_address[host.host_addresses++];
    one->as.any.sa_family = AF_INET;
    assert_int_equal(inet_pton(AF_INET, address, &one->as.v4.sin_addr), 1);
}

static void an_ordinary_host(void **state)
{
    (void)state;
    host_address("lo", "127.0.0.1/8", true);
    host_address("eth0", "10.0.0.7/24", true);
    host_address("eth0", "fe80::1/64", true);
    host_address("eth1", "10.0.1.7/24", true);
    host_address("eth1", "fe80::2/64", true);
    name_is("10.0.0.7");
    host_look(doctor_addresses);
    host_expect(DOCTOR_OK, "10.0.0.7, 10.0.1.7", NULL, NULL);
    host_look(doctor_subnets);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
    host_look(doctor_bridges);
    host_expect(DOCTOR_OK, "there are none", NULL, NULL);
    host_look(doctor_host_name);
    host_expect(DOCTOR_OK, "node7, is 10.0.0.7", NULL, NULL);
}

static void no_address_leads_out(void **state)
{
    (void)state;
    host_address("lo", "127.0.0.1/8", true);
    host_address("eth0", "10.0.0.7/24", false);
    host_look(doctor_addresses);
    host_expect(DOCTOR_WARNING, "leads out", "other hosts", "ip link set");
}

static void a_selection_that_selects_nothing(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/24", true);
    host.interfaces_wanted = "ib0";
    host_look(doctor_addresses);
    host_expect(DOCTOR_ERROR, "KOLO_INTERFACES=ib0", "eth0", "unset KOLO_INTERFACES");
    host_look(doctor_bridges);
    host_expect_nothing();
}

static void two_interfaces_in_one_subnet(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/16", true);
    host_address("eth1", "10.0.1.7/24", true);
    host_look(doctor_subnets);
    host_expect(DOCTOR_WARNING, "eth0 (10.0.0.7/16) and eth1 (10.0.1.7/24)", "ARP", "arp_ignore");
}

static void one_pair_is_told_once(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/24", true);
    host_address("eth0", "2001:db8::7/64", true);
    host_address("eth1", "10.0.0.8/24", true);
    host_address("eth1", "2001:db8::8/64", true);
    host_look(doctor_subnets);
    host_expect(DOCTOR_WARNING, "eth0 (10.0.0.7/24) and eth1 (10.0.0.8/24)", NULL, NULL);
    assert_int_equal(found.count, 1);
}

static void addresses_of_one_host_only_are_no_subnet(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/32", true);
    host_address("eth1", "10.0.0.7/32", true);
    host_address("eth2", "10.0.0.9/24", false);
    host_address("eth3", "10.0.0.10/24", true);
    host_look(doctor_subnets);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
}

static void a_bridge_that_is_left_out(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/24", true);
    host_address("docker0", "172.17.0.1/16", true);
    host_put("/sys/class/net/docker0/bridge/bridge_id", "8000.0242\n");
    host_look(doctor_bridges);
    host_expect(DOCTOR_OK, "docker0", NULL, NULL);
}

static void a_bridge_that_is_picked(void **state)
{
    (void)state;
    host_address("mybridge", "172.30.0.1/16", true);
    host_address("eth0", "10.0.0.7/24", true);
    host_put("/sys/class/net/mybridge/bridge/bridge_id", "8000.0242\n");
    host_put("/sys/class/net/mybridge/brif/veth1", "");
    host_look(doctor_bridges);
    host_expect(DOCTOR_WARNING, "mybridge (172.30.0.1) is a bridge", "same address",
                "KOLO_INTERFACES=eth0");
}

static void a_bridge_that_the_user_picked(void **state)
{
    (void)state;
    host_address("docker0", "172.17.0.1/16", true);
    host_put("/sys/class/net/docker0/bridge/bridge_id", "8000.0242\n");
    host.interfaces_wanted = "docker0";
    host_look(doctor_bridges);
    host_expect(DOCTOR_WARNING, "docker0", NULL, "KOLO_INTERFACES=NAME");
}

/* A bridge between a cable and virtual machines is the host's way out. */
static void a_bridge_with_a_cable(void **state)
{
    (void)state;
    host_address("vmbr0", "10.0.0.7/24", true);
    host_put("/sys/class/net/vmbr0/bridge/bridge_id", "8000.0242\n");
    host_put("/sys/class/net/vmbr0/brif/tap3", "");
    host_put("/sys/class/net/vmbr0/brif/eno1", "");
    host_put("/sys/class/net/eno1/device/vendor", "0x15b3\n");
    host_look(doctor_bridges);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
}

static void tunnels_and_radio(void **state)
{
    (void)state;
    host_address("wg0", "10.9.0.1/24", true);
    host_put("/sys/class/net/wg0/uevent", "DEVTYPE=wireguard\nINTERFACE=wg0\n");
    host_look(doctor_bridges);
    host_expect(DOCTOR_NOTE, "wg0 (10.9.0.1) is a tunnel", "rate", "KOLO_INTERFACES");
    host.addresses = 0;
    host_address("tun7", "10.9.0.1/24", true);
    host_put("/sys/class/net/tun7/tun_flags", "0x1001\n");
    host_look(doctor_bridges);
    host_expect(DOCTOR_NOTE, "tun7", NULL, NULL);
    host.addresses = 0;
    host_address("wlan0", "10.9.0.1/24", true);
    host_put("/sys/class/net/wlan0/uevent", "DEVTYPE=wlan\n");
    host_look(doctor_bridges);
    host_expect(DOCTOR_NOTE, "wireless", NULL, NULL);
}

static void a_host_name_without_address(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/24", true);
    host_look(doctor_host_name);
    host_expect(DOCTOR_WARNING, "node7, has no address", "launchers", "10.0.0.7 node7");
}

static void a_host_name_that_is_loopback(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/24", true);
    name_is("127.0.1.1");
    host_look(doctor_host_name);
    host_expect(DOCTOR_WARNING, "127.0.1.1: an address of every host", NULL, "10.0.0.7 node7");
}

static void a_host_name_of_another_host(void **state)
{
    (void)state;
    host_address("eth0", "10.0.0.7/24", true);
    name_is("10.0.0.8");
    host_look(doctor_host_name);
    host_expect(DOCTOR_WARNING, "10.0.0.8", NULL, "10.0.0.7 node7");
    name_is("10.0.0.7");
    host_look(doctor_host_name);
    host_expect(DOCTOR_OK, NULL, NULL, NULL);
}

/* A machine of two nodes, two processors each; a GPU and mlx5_0 under one switch of node 0, a GPU at node 0's other root, and one
 * at node 1, with mlx5_1 where `second` is at. */
#define PCI(index, bus, class, vendor, inside)                                                     \
    "<object type=\"PCIDev\" gp_index=\"" index "\" pci_busid=\"" bus                              \
    "\" pci_type=\"" class " [" vendor ":1017] [" vendor                                           \
                           ":0007] 00\" pci_link_speed=\"15.0\">" inside "</object>"
#define NIC(index, bus, name)                                                                      \
    PCI(index, bus, "0207", "15b3",                                                                \
        "<object type=\"OSDev\" gp_index=\"9" index "\" name=\"" name "\" osdev_type=\"3\"/>")
#define GPU(index, bus) PCI(index, bus, "0302", "10de", "")
#define HOST_BRIDGE(index, first, last, inside)                                                    \
    "<object type=\"Bridge\" gp_index=\"" index "\" bridge_type=\"0-1\" depth=\"0\" "              \
    "bridge_pci=\"0000:[" first "-" last "]\">" inside "</object>"
#define SWITCH(index, bus, first, last, inside)                                                    \
    "<object type=\"Bridge\" gp_index=\"" index "\" bridge_type=\"1-1\" depth=\"1\" "              \
    "bridge_pci=\"0000:[" first "-" last "]\" pci_busid=\"" bus                                    \
    "\" pci_type=\"0604 [10b5:8747] [0000:0000] 00\" pci_link_speed=\"15.0\">" inside "</object>"
#define PROCESSOR(index, number, set, node)                                                        \
    "<object type=\"PU\" os_index=\"" number "\" gp_index=\"" index "\" cpuset=\"" set             \
    "\" complete_cpuset=\"" set "\" nodeset=\"" node "\" complete_nodeset=\"" node "\"/>"
#define PACKAGE(index, number, set, node, memory, inside)                                          \
    "<object type=\"Package\" os_index=\"" number "\" gp_index=\"" index "\" cpuset=\"" set        \
    "\" complete_cpuset=\"" set "\" nodeset=\"" node "\" complete_nodeset=\"" node "\">"           \
    "<object type=\"NUMANode\" os_index=\"" number "\" gp_index=\"" memory "\" cpuset=\"" set      \
    "\" complete_cpuset=\"" set "\" nodeset=\"" node "\" complete_nodeset=\"" node                 \
    "\" local_memory=\"1073741824\"/>" inside "</object>"

static const char machine[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
    "<topology version=\"2.0\">"
    "<object type=\"Machine\" os_index=\"0\" cpuset=\"0x0000000f\" complete_cpuset=\"0x0000000f\" "
    "allowed_cpuset=\"0x0000000f\" nodeset=\"0x00000003\" complete_nodeset=\"0x00000003\" "
    "allowed_nodeset=\"0x00000003\" gp_index=\"1\">" //
    PACKAGE("2", "0", "0x00000003", "0x00000001", "3",
            PROCESSOR("4", "0", "0x00000001", "0x00000001")
                PROCESSOR("5", "1", "0x00000002", "0x00000001")
                    HOST_BRIDGE("6", "00", "0f",
                                SWITCH("7", "0000:00:01.0", "01", "02",
                                       NIC("8", "0000:01:00.0", "mlx5_0") GPU("10", "0000:02:00.0"))
                                    GPU("11", "0000:00:03.0")))
        PACKAGE("12", "1", "0x0000000c", "0x00000002", "13",
                PROCESSOR("14", "2", "0x00000004", "0x00000002")
                    PROCESSOR("15", "3", "0x00000008", "0x00000002")
                        HOST_BRIDGE("16", "80", "8f", GPU("17", "0000:80:03.0"))) //
    "</object></topology>\n";

static void put_machine(char path[128])
{
    snprintf(path, 128, "%s/machine.xml", host.root);
    host_put("/machine.xml", machine);
    host.topology_xml = path;
}

static void a_device_at_another_node(void **state)
{
    (void)state;
    char path[128];
    put_machine(path);
    host.binding = "2-3";
    host_look(doctor_place);
    host_expect(DOCTOR_WARNING,
                "mlx5_0 is at NUMA node 0, but this process may only use processors 2-3", "crosses",
                "numactl --cpunodebind=0 --membind=0");
    host.binding = "1-3";
    host_look(doctor_place);
    host_expect(DOCTOR_WARNING, "GPU", NULL, NULL);
    assert_int_equal(found.finding[0].severity, DOCTOR_OK);
    assert_non_null(strstr(found.finding[0].seen, "mlx5_0 is at NUMA node 0"));
}

static void gpus_near_and_far(void **state)
{
    (void)state;
    char path[128];
    put_machine(path);
    host_look(doctor_place);
    assert_int_equal(found.count, 4);
    assert_non_null(
        strstr(found.finding[1].seen, "0000:02:00.0 and mlx5_0 are under one PCIe switch"));
    assert_int_equal(found.finding[1].severity, DOCTOR_OK);
    assert_non_null(strstr(found.finding[2].seen, "0000:00:03.0 and mlx5_0 are at NUMA node 0"));
    assert_int_equal(found.finding[2].severity, DOCTOR_NOTE);
    host_expect(DOCTOR_WARNING, "GPU 0000:80:03.0 is at NUMA node 1, and no network device is",
                "crosses", "slot of node 1");
}

static void a_machine_that_cannot_be_read(void **state)
{
    (void)state;
    host.topology_xml = "/nowhere/machine.xml";
    host_look(doctor_place);
    host_expect(DOCTOR_NOTE, "hwloc", NULL, "lstopo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(an_ordinary_host),
        HOST_TEST(no_address_leads_out),
        HOST_TEST(a_selection_that_selects_nothing),
        HOST_TEST(two_interfaces_in_one_subnet),
        HOST_TEST(one_pair_is_told_once),
        HOST_TEST(addresses_of_one_host_only_are_no_subnet),
        HOST_TEST(a_bridge_that_is_left_out),
        HOST_TEST(a_bridge_that_is_picked),
        HOST_TEST(a_bridge_that_the_user_picked),
        HOST_TEST(a_bridge_with_a_cable),
        HOST_TEST(tunnels_and_radio),
        HOST_TEST(a_host_name_without_address),
        HOST_TEST(a_host_name_that_is_loopback),
        HOST_TEST(a_host_name_of_another_host),
        HOST_TEST(a_device_at_another_node),
        HOST_TEST(gpus_near_and_far),
        HOST_TEST(a_machine_that_cannot_be_read),
    };
    return cmocka_run_group_tests_name("doctor_network", tests, NULL, NULL);
}
