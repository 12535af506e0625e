"""Two guests whose devices speak iWARP: only rdma_cm connects them, and there are no immediates. Usage: iwarp.py BUILD [SCENE]..."""
import os
import sys

import guest
import scenes

BUILD = sys.argv[1]
KOLO = os.path.join(BUILD, "bin/kolo")


def the_transport():
    scenes.apart(os.path.join(BUILD, "tests/vm/test_apart"), "apart")


def all_reduce():
    scenes.all_reduce(KOLO, "verbs")


def links():
    scenes.link(KOLO, "link", tests=("write", "read", "send", "message"))


def sends_under_flow_control():
    """iWARP ends the connection when a send finds no receive, so that many of them in both directions need credit."""
    scenes.link(KOLO, "link_sends", tests=("send",), more=("--bidirectional", "--pairs", "3", "--post-list", "8"))


def doctors():
    scenes.doctor_finds(KOLO, "doctor", rf"^ok peer rdma path: {guest.DEVICE}:1 and {guest.DEVICE}:1 .*small and large messages")


if __name__ == "__main__":
    guest.play(the_transport, all_reduce, links, sends_under_flow_control, doctors)
