#!/usr/bin/env python3
"""Three hosts in network namespaces; the link of one goes down in the middle of all-reduces: nobody says good-bye, nothing is
reset. The others must name it within the configured time (KOLO_PEER_TIMEOUT). A second scenario stops a process (SIGSTOP) and lets
it go on: nothing may be lost. Needs root for the namespaces; says so and skips (exit status 77) otherwise."""
import os
import signal
import subprocess
import sys
import time

SKIP = 77
PEER_TIMEOUT_S = 2
MARGIN_S = 2.5  # the kernel's timers, and a crowded machine
HOSTS = 3


def run(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True)


class Hosts:
    """HOSTS namespaces joined by a bridge in one more."""

    def __init__(self):
        self.tag = f"kolo{os.getpid()}"
        self.names = [f"{self.tag}h{i}" for i in range(HOSTS)]
        self.bridge = f"{self.tag}b"

    def __enter__(self):
        for name in self.names + [self.bridge]:
            run("ip", "netns", "add", name)
        run("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.bridge, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"p{i}", "netns", self.bridge)
            run("ip", "-n", self.bridge, "link", "set", f"p{i}", "master", "br0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "addr", "add", f"10.91.0.{i + 1}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        return self

    def __exit__(self, *_):
        for name in self.names + [self.bridge]:
            run("ip", "netns", "del", name, check=False)

    def start(self, program, rank):
        environment = dict(os.environ, KOLO_RANK=str(rank), KOLO_SIZE=str(HOSTS), KOLO_PEERS="10.91.0.1:4242",
                           KOLO_PORT="4242", KOLO_PEER_TIMEOUT=str(PEER_TIMEOUT_S), KOLO_OPEN_TIMEOUT="20", KOLO_LOG="none",
                           KOLO_RUN_ID=self.tag)
        return subprocess.Popen(["ip", "netns", "exec", self.names[rank], program], env=environment, text=True,
                                stdout=subprocess.PIPE)

    def unplug(self, rank):
        run("ip", "-n", self.bridge, "link", "set", f"p{rank}", "down")


def await_ready(peers):
    for rank, peer in enumerate(peers):
        line = peer.stdout.readline()
        assert line == "ready\n", f"rank {rank}: {line!r}"


def last_words(peer, limit_s):
    text, _ = peer.communicate(timeout=limit_s)
    return text.strip()


def a_silent_host_is_named(program):
    with Hosts() as hosts:
        peers = [hosts.start(program, rank) for rank in range(HOSTS)]
        try:
            await_ready(peers)
            hosts.unplug(2)
            unplugged = time.monotonic()
            for rank in (0, 1):
                words = last_words(peers[rank], 30)
                took = time.monotonic() - unplugged
                print(f"rank {rank} after {took:.2f} s: {words}")
                assert words.startswith("KOLO_ERR_PEER_LOST"), words
                assert "rank 2 " in words, words
                assert took < PEER_TIMEOUT_S + MARGIN_S, took
            words = last_words(peers[2], 30)
            print(f"rank 2: {words}")
            assert words.startswith("KOLO_ERR_PEER_LOST"), words
        finally:
            for peer in peers:
                peer.kill()


def a_stopped_process_loses_nothing(program):
    with Hosts() as hosts:
        peers = [hosts.start(program, rank) for rank in range(HOSTS)]
        try:
            await_ready(peers)
            peers[1].send_signal(signal.SIGSTOP)
            time.sleep(PEER_TIMEOUT_S * 1.5)  # its kernel answers for it: it is slow, not dead
            assert peers[0].poll() is None and peers[2].poll() is None, "someone gave up on a stopped process"
            peers[1].send_signal(signal.SIGCONT)
            time.sleep(0.2)
            peers[1].kill()
            for rank in (0, 2):
                words = last_words(peers[rank], 30)
                print(f"rank {rank}: {words}")
                assert words.startswith("KOLO_ERR_PEER_LOST") and "rank 1 " in words, words
        finally:
            for peer in peers:
                peer.kill()


def namespaces_work():
    name = f"kolo{os.getpid()}probe"
    made = run("ip", "netns", "add", name, check=False).returncode == 0
    works = made and run("ip", "-n", name, "link", "set", "lo", "up", check=False).returncode == 0
    run("ip", "netns", "del", name, check=False)
    return works


def main():
    if not namespaces_work():
        print("skipped: network namespaces need root and iproute2, and do not work in every container")
        return SKIP
    a_silent_host_is_named(sys.argv[1])
    a_stopped_process_loses_nothing(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
