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


if __name__ == "__main__":
    guest.play(the_transport, all_reduce, links)
