"""Two guests, a wire between them: the transport with an end in each, all-reduce, training, `kolo perf link`, `kolo doctor`; then
some of it again while every hundredth packet is lost. Usage: two.py BUILD [SCENE]..."""
import os
import re
import sys

import guest
import scenes
from guest import INDEX, check

BUILD = sys.argv[1]
KOLO = os.path.join(BUILD, "bin/kolo")
CONFORMANCE = os.path.join(BUILD, "tests/transport/conformance/test_conformance_verbs")
APART = os.path.join(BUILD, "tests/vm/test_apart")


def the_transport():
    scenes.apart(APART, "apart")


def the_transport_with_regions():
    scenes.apart(APART, "apart_regions", "regions")


def the_conformance_suite():
    scenes.conformance(CONFORMANCE)


def all_reduce():
    scenes.all_reduce(KOLO, "verbs")


def four_peers_train():
    scenes.train(KOLO, "shm,verbs", per_guest=2)


def links():
    scenes.link(KOLO, "link")


def doctors():
    scenes.doctor_finds(KOLO, "doctor", rf"^ok peer rdma path: {guest.DEVICE}:1 and {guest.DEVICE}:1 .*small and large messages")


def packets_get_lost():
    guest.run("rdma-vm-modprobe", "sch_netem")
    guest.run("tc", "qdisc", "add", "dev", "eth0", "root", "netem", "loss", "1%")


def packets_were_lost():
    said = guest.run("tc", "-s", "qdisc", "show", "dev", "eth0")
    check(int(re.search(r"dropped (\d+)", said)[1]) > 0, said)


def the_transport_under_loss():
    scenes.apart(APART, "apart_under_loss")


def all_reduce_under_loss():
    scenes.all_reduce(KOLO, "verbs")


if __name__ == "__main__":
    guest.play(the_transport, the_transport_with_regions, the_conformance_suite, all_reduce, four_peers_train, links, doctors, packets_get_lost,
               the_transport_under_loss, all_reduce_under_loss, packets_were_lost)
