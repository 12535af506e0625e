"""One guest: `kolo perf link` over its own device, two peers in it, and what `kolo doctor` says of it. Usage: one.py BUILD [SCENE]..."""
import json
import os
import sys
import tempfile

import guest
import scenes
from guest import check

BUILD = sys.argv[1]
KOLO = os.path.join(BUILD, "bin/kolo")


def links():
    scenes.link(KOLO, "link")


def links_by_rdma_cm():
    scenes.link(KOLO, "link_cm", tests=("write", "send"), more=("--rdma-cm",))


def two_peers_in_one_guest():
    """With shared memory ruled out they use the device, which loops back."""
    before = guest.packets_sent()
    said = guest.run(KOLO, "run", "-n", "2", KOLO, "perf", "all-reduce", "-b", "1M", "-e", "1M", "-n", "4",
                     environment={"KOLO_TRANSPORT": "verbs"})
    check(guest.packets_sent() > before, said)


def several_queue_pairs():
    before = guest.packets_sent()
    said = guest.run(KOLO, "run", "-n", "2", KOLO, "perf", "all-reduce", "-b", "1M", "-e", "1M", "-n", "4",
                     environment={"KOLO_TRANSPORT": "verbs", "KOLO_VERBS_QUEUE_PAIRS": "4", "KOLO_LOG": "info"})
    check("4 queue pairs a link" in said and guest.packets_sent() > before, said)


def more_ports_than_a_link_has():
    """Asked for and not to be had: no other transport in silence."""
    ports = ",".join(f"{guest.DEVICE}:{port}" for port in range(1, 6))
    said = guest.run(KOLO, "run", "-n", "2", KOLO, "perf", "barrier", "-n", "1", expected=None,
                     environment={"KOLO_TRANSPORT": "verbs,tcp", "KOLO_VERBS_DEVICE": ports})
    check("KOLO_ERR_LIMIT" in said and "more than 4 RDMA ports" in said, said)


def more_than_a_completion_queue_holds():
    with guest.Program(KOLO, "perf", "link", "--serve") as server:
        server.wait_for("serving")
        said = guest.run(KOLO, "perf", "link", guest.FIRST, "--test", "write", "--pairs", "64", "--depth", "16384", expected=None)
    check("fewer --pairs or a smaller --depth" in said, said)


def a_device_that_is_none():
    said = guest.run(KOLO, "run", "-n", "2", KOLO, "perf", "barrier", "-n", "1", expected=None,
                     environment={"KOLO_TRANSPORT": "verbs", "KOLO_VERBS_DEVICE": "nonesuch0"})
    check("nonesuch0" in said and guest.DEVICE in said, said)


def doctor():
    with tempfile.TemporaryDirectory() as folder:
        document = os.path.join(folder, "doctor.json")
        said = guest.run(KOLO, "doctor", "--json", document, expected=None)
        with open(document, encoding="utf-8") as file:
            text = json.dumps(json.load(file))
    check(guest.DEVICE in text, said + text)


if __name__ == "__main__":
    guest.play(links, links_by_rdma_cm, two_peers_in_one_guest, several_queue_pairs, more_ports_than_a_link_has,
               more_than_a_completion_queue_holds, a_device_that_is_none, doctor)
