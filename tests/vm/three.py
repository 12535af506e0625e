"""Three guests: a ring has a peer that is neither first nor last. Usage: three.py BUILD [SCENE]..."""
import os
import sys

import guest
import scenes

KOLO = os.path.join(sys.argv[1], "bin/kolo")


def all_reduce():
    scenes.all_reduce(KOLO, "verbs")


def six_peers_train():
    scenes.train(KOLO, "shm,verbs", per_guest=2)


if __name__ == "__main__":
    guest.play(all_reduce, six_peers_train)
