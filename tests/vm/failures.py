"""Two guests, and something is taken away in the middle of an operation: a peer, the way of RDMA, the port, the device, the network.
Usage: failures.py BUILD [SCENE]..."""
import os
import re
import sys

import guest
import scenes
from guest import INDEX, check

KOLO = os.path.join(sys.argv[1], "bin/kolo")
SUMS = os.path.join(sys.argv[1], "tests/vm/sums")
PEER_TIMEOUT_S = 3
LATE_S = PEER_TIMEOUT_S + 6  # emulated processors are slow
FOREVER = "1000000"
TIMES = "300"  # some seconds
PACKETS = 2000  # after the device has sent so many more, it is in the middle of something


def peer(rank, transport, times):
    environment = guest.peer_environment(rank, 2, transport, KOLO_PEER_TIMEOUT=str(PEER_TIMEOUT_S), KOLO_LOG="warn")
    return guest.Program(SUMS, times, environment=environment)


def named_in_time(said, *ranks):
    """The last call failed for the loss of one of these peers, within the time that is configured."""
    words = re.search(r"^KOLO_ERR_PEER_LOST ([\d.]+): .*$", said, re.MULTILINE)
    check(words is not None and any(f"rank {rank} " in words[0] for rank in ranks), said)
    check(float(words[1]) < LATE_S, said)


def a_killed_peer_is_named():
    with peer(INDEX - 1, "verbs", FOREVER) as here:
        here.wait_for("ready")
        guest.meet("killing")
        if INDEX == 2:
            here.kill()
            here.end(expected=-9)
        else:
            named_in_time(here.end(expected=3), 1)


def cut_rdma():
    """Soft-RoCE's packets are UDP: from now on none that comes is taken. TCP goes on."""
    if "100:" not in guest.run("ip", "rule"):  # what is looked at first can only be replaced
        guest.run("ip", "rule", "add", "pref", "100", "lookup", "local")
        guest.run("ip", "rule", "delete", "pref", "0")
    guest.run("ip", "rule", "add", "pref", "10", "ipproto", "udp", "blackhole")


def mend_rdma():
    guest.run("ip", "rule", "delete", "pref", "10")


def drop_port():
    """The interface goes down, and with it the device's port; TCP connections live through that."""
    guest.run("ip", "link", "set", "eth0", "down")
    guest.run("ip", "link", "set", "eth0", "up")


def await_traffic(here):
    before = guest.packets_sent()
    here.wait_for("ready")
    guest.wait_until(lambda: guest.packets_sent() - before > PACKETS, "packets on the device")


def tcp_takes_over(place, take_away):
    """The sums stay right, nobody fails, and each side says so once."""
    with peer(INDEX - 1, "verbs,tcp", TIMES) as here:
        await_traffic(here)
        guest.meet(place)
        if INDEX == 2:
            take_away()
            check(here.process.poll() is None, f"it ended before anything was taken away:\n{here.said}")
        said = here.end(limit_s=90)
    check(said.rstrip().endswith("done"), said)
    lines = [line for line in said.splitlines() if line.startswith("kolo ")]
    check(len(lines) == 1 and "tcp" in lines[0], f"{len(lines)} lines tell of the change, instead of one:\n{said}")


def tcp_takes_over_when_rdma_is_cut():
    tcp_takes_over("cutting", cut_rdma)
    if INDEX == 2:
        mend_rdma()


def tcp_takes_over_when_the_port_goes_down():
    tcp_takes_over("dropping", drop_port)


def without_another_way_it_is_an_error():
    with peer(INDEX - 1, "verbs", FOREVER) as here:
        await_traffic(here)
        guest.meet("cutting_all")
        if INDEX == 2:
            cut_rdma()
        named_in_time(here.end(expected=3), 0, 1)  # whoever noticed first blames the other; both tell the same story
    if INDEX == 2:
        mend_rdma()


def a_removed_device_is_let_go():
    """The kernel keeps a soft-RoCE device until nobody uses it, and tells nobody. So the sums go on; then it is gone."""
    with peer(INDEX - 1, "verbs,tcp", TIMES) as here:
        await_traffic(here)
        guest.meet("removing")
        if INDEX == 2:
            with guest.Program("rdma", "link", "delete", guest.DEVICE) as removal:
                check(here.end().rstrip().endswith("done"), here.said)
                removal.end()
        else:
            check(here.end().rstrip().endswith("done"), here.said)


def tcp_serves_who_has_no_device():
    """Guest 2 has no device any more. Nothing is said of it, and forcing verbs is refused."""
    said = guest.run(SUMS, "10", environment=guest.peer_environment(INDEX - 1, 2, "verbs,tcp", KOLO_LOG="warn"))
    check(said.split() == ["ready", "done"], said)
    said = guest.run(SUMS, "10", expected=1,
                     environment=guest.peer_environment(INDEX - 1, 2, "verbs", KOLO_OPEN_TIMEOUT="5", KOLO_LOG="none"))
    check("verbs" in said or "transport" in said, said)


def a_silent_network_is_named():
    with peer(INDEX - 1, "verbs,tcp", FOREVER) as here:
        here.wait_for("ready")
        guest.meet("silencing")
        if INDEX == 2:
            guest.run("ip", "link", "set", "eth0", "down")
        named_in_time(here.end(expected=3), 2 - INDEX)


def the_doctor_finds_rdma_cut():
    if INDEX == 1:
        cut_rdma()
    scenes.doctor_finds(KOLO, "doctor_cut", r"^ok peer large(.*\n)*error peer rdma path: no RDMA between .*UDP port 4791")
    if INDEX == 1:
        mend_rdma()


def the_doctor_finds_large_packets_dropped():
    """A path with a small MTU: TCP is told and adapts, soft-RoCE's packets are dropped."""
    if INDEX == 1:
        guest.run("ip", "route", "change", "10.77.0.0/24", "dev", "eth0", "mtu", "lock", "600")
    scenes.doctor_finds(KOLO, "doctor_large", r"^ok peer large(.*\n)*error peer rdma path: small messages pass between .*large ones do not")
    if INDEX == 1:
        guest.run("ip", "route", "change", "10.77.0.0/24", "dev", "eth0")


if __name__ == "__main__":
    guest.play(a_killed_peer_is_named, tcp_takes_over_when_rdma_is_cut, tcp_takes_over_when_the_port_goes_down,
               without_another_way_it_is_an_error, the_doctor_finds_rdma_cut,
               the_doctor_finds_large_packets_dropped, a_removed_device_is_let_go, tcp_serves_who_has_no_device,
               a_silent_network_is_named)
