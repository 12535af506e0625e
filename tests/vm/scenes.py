"""Scenes that several scenarios play. All guests call them at once; `place` is a name that no other scene of the run has."""
import json
import os
import re
import tempfile

import guest
from guest import ADDRESSES, COUNT, INDEX, check

PACKET_BYTES = 4096  # of payload, at most
ALL_REDUCE_BYTES = ("8", "1M", "17")  # first, last, factor
ALL_REDUCE_CALLS = 6
TRAIN = ["--hidden", "64", "--context", "8", "--embedding", "8", "--steps", "8", "--batch", "96", "--seed", "7"]
LINK_MESSAGES = "30"  # not a duration, in which a busy machine may get nothing done
LINK_TESTS = ("write", "read", "send", "write-imm", "atomic-add", "atomic-cas", "message", "tcp")


def apart(program, place, *variant):
    """The cases of apart.c, an end in each of two guests."""
    if INDEX == 1:
        with guest.Program(program, "serve", *variant) as end:
            end.wait_for("ready")
            guest.meet(place)
            said = end.end(limit_s=120)
        check("FAILED" not in said, said)
    else:
        guest.meet(place)
        said = guest.run(program, guest.FIRST, *variant, expected=-9, limit_s=120)
        check("on purpose" in said and "FAILED" not in said, said)


def conformance(program):
    """The conformance suite, half of the peers of each case in the other guest."""
    if INDEX == 1:
        guest.meet("agent_serves")
        said = guest.run(program, "far=" + ADDRESSES[1], limit_s=150)
        check("PASSED" in said and "FAILED" not in said, said)
    else:
        with guest.Program(program, "agent") as agent:
            agent.wait_for("ready")
            guest.meet("agent_serves")
            agent.end(limit_s=150)


def all_reduce(kolo, transport, over_rdma=True):
    """A peer in each guest adds up, small and large; every element is checked, and that it went by the device."""
    first, last, factor = ALL_REDUCE_BYTES
    before = guest.packets_sent()
    with tempfile.TemporaryDirectory() as folder:
        document = os.path.join(folder, "perf.json")
        said = guest.run(kolo, "perf", "all-reduce", "-b", first, "-e", last, "-f", factor, "-n", str(ALL_REDUCE_CALLS), "-w",
                         "1", "--json", document, environment=guest.peer_environment(INDEX - 1, COUNT, transport))
        if INDEX == 1:
            with open(document, encoding="utf-8") as file:
                check(json.load(file)["wrong"] == 0, said)
    if over_rdma and guest.DEVICE.startswith("rxe"):
        least = ALL_REDUCE_CALLS * (1 << 20) * 2 * (COUNT - 1) // COUNT // PACKET_BYTES
        sent = guest.packets_sent() - before
        check(sent >= least, f"only {sent} packets went by {guest.DEVICE}, of at least {least}:\n{said}")


def train(kolo, transport, per_guest):
    """Peers in all guests train a model together: the same digest on all."""
    size = per_guest * COUNT
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text")
        with open(text, "w", encoding="ascii") as file:
            file.write("".join(f"peer {i % 7} adds chunk {i * i % 11} and the ring turns.\n" for i in range(400)))
        peers = [guest.Program(kolo, "train", text, *TRAIN,
                               environment=guest.peer_environment((INDEX - 1) * per_guest + i, size, transport))
                 for i in range(per_guest)]
        said = [peer.end() for peer in peers]
    digests = [digest for text in said for digest in re.findall("^digest: ([0-9a-f]{64})$", text, re.MULTILINE)]
    check(len(digests) == per_guest, "\n".join(said))
    guest.tell("digests", digests)
    guest.meet("trained")
    everywhere = [digest for digests in guest.told("digests") for digest in digests]
    check(len(everywhere) == size and len(set(everywhere)) == 1, f"the digests differ: {everywhere}")


def link(kolo, place, tests=LINK_TESTS, more=()):
    """`kolo perf link` with all its tests, every byte looked at: from the last guest to the first, which may be the same."""
    if INDEX == 1:
        with guest.Program(kolo, "perf", "link", "--serve") as server:
            server.wait_for("serving")
            guest.meet(place)
            if COUNT == 1:
                measure_link(kolo, tests, more)
            guest.meet(place + "_done", limit_s=120)
    else:
        guest.meet(place)
        measure_link(kolo, tests, more)
        guest.meet(place + "_done")


def measure_link(kolo, tests, more):
    with tempfile.TemporaryDirectory() as folder:
        document = os.path.join(folder, "link.json")
        said = guest.run(kolo, "perf", "link", guest.FIRST, "--test", ",".join(tests), "--size", "8,64K", "--iterations",
                         LINK_MESSAGES, "--validate", "--json", document, *more, limit_s=120)
        with open(document, encoding="utf-8") as file:
            records = json.load(file)["records"]
    check({record["test"] for record in records} == set(tests), said)
    for record in records:
        check(record["bandwidth_Bps"] > 0 and record.get("wrong", 0) == 0, f"{record}\n{said}")


def doctor(kolo, place):
    """`kolo doctor` in the second guest looks at the way to the first. Returns there what it found about the peer, a line for each
    finding, and None in the others."""
    if INDEX != 2:
        with guest.Program(kolo, "doctor", "--serve") as server:
            server.wait_for("serving")
            guest.meet(place + "_serves")
            guest.meet(place + "_done")
        return None
    guest.meet(place + "_serves")
    with tempfile.TemporaryDirectory() as folder:
        document = os.path.join(folder, "doctor.json")
        said = guest.run(kolo, "doctor", guest.FIRST, "--verbose", "--json", document, expected=None)
        with open(document, encoding="utf-8") as file:
            findings = json.load(file)["findings"]
    guest.meet(place + "_done")
    check(guest.FIRST in said, said)
    return "".join(f"{finding['severity']} {finding['check']}: {finding['seen']} | {finding['why']}\n"
                   for finding in findings if finding["check"].startswith("peer"))


def doctor_finds(kolo, place, pattern):
    """The second guest's findings about the first match this."""
    found = doctor(kolo, place)
    check(found is None or re.search(pattern, found, re.MULTILINE), found)
