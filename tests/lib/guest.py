"""What the scenarios of tests/vm and the benchmarks do inside a guest: meet the other guests, run programs with limits, start peers.

A scenario is a program that all guests run at once (tests/lib/rdma-vm); which of them it is, it asks INDEX. It fails by an exception:
its guest's exit status then ends the others."""
import json
import os
import signal
import subprocess
import sys
import time

INDEX = int(os.environ["RDMA_VM_INDEX"])  # from 1
COUNT = int(os.environ["RDMA_VM_COUNT"])
ADDRESSES = os.environ["RDMA_VM_ADDRS"].split()
DEVICE = os.environ.get("RDMA_VM_DEV", "")
SHARED = os.environ["RDMA_VM_OUT"]  # a folder that all guests write to
FIRST = ADDRESSES[0]
LIMIT_S = 60
PORT = 29500  # of the first peer; guests have no other services


class Failed(Exception):
    """Something was not as it has to be."""


def check(holds, why):
    if not holds:
        raise Failed(why)


def meet(place, limit_s=LIMIT_S):
    """Wait for all guests to come here. Each place once."""
    subprocess.run(["rdma-vm-barrier", place, str(limit_s)], check=True)


def wait_until(condition, what, limit_s=LIMIT_S):
    """The bounded wait for what has no event to wait for."""
    deadline = time.monotonic() + limit_s
    while not condition():
        check(time.monotonic() < deadline, f"in vain: {what}")
        time.sleep(0.02)


class Program:
    """A program with its output; killed at the end of `with`."""

    def __init__(self, *words, environment=None):
        self.words = " ".join(words)
        self.process = subprocess.Popen(words, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for(self, text):
        """Read lines until one has this text; the program's own limits end the wait. Returns the line."""
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return line
        raise Failed(f"{self.words} ended before it said \"{text}\":\n{self.said}")

    def end(self, expected=0, limit_s=LIMIT_S):
        """Wait for its end; all that it said. `expected`: its exit status, negative for a signal; None: any."""
        try:
            self.said += self.process.communicate(timeout=limit_s)[0]
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            self.said += self.process.communicate()[0]
            raise Failed(f"{self.words} did not end within {limit_s} s:\n{self.said}") from late
        status = self.process.returncode
        check(expected in (None, status), f"{self.words} ended with {status} instead of {expected}:\n{self.said}")
        return self.said

    def kill(self):
        self.process.send_signal(signal.SIGKILL)


def run(*words, environment=None, expected=0, limit_s=LIMIT_S):
    """Run a program to its end; its output."""
    with Program(*words, environment=environment) as program:
        return program.end(expected, limit_s)


def peer_environment(rank, size, transport, **more):
    """A peer's settings. Rank 0 is in the first guest, and the contact of all."""
    settings = {"KOLO_RANK": str(rank), "KOLO_SIZE": str(size), "KOLO_PEERS": f"{FIRST}:{PORT}", "KOLO_TRANSPORT": transport,
                "KOLO_LOG": "info", "OPENBLAS_NUM_THREADS": "1", **more}
    if rank == 0:
        settings["KOLO_PORT"] = str(PORT)
    return settings


def packets_sent():
    """By the guest's RDMA device so far; 0 where the device does not count."""
    try:
        with open(f"/sys/class/infiniband/{DEVICE}/ports/1/hw_counters/sent_pkts", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return 0


def tell(name, value):
    """Leave a value for the other guests, which see it after they have met."""
    with open(os.path.join(SHARED, f"{name}.{INDEX}"), "w", encoding="utf-8") as file:
        json.dump(value, file)


def told(name):
    """What every guest has told under this name, in their order."""
    values = []
    for index in range(1, COUNT + 1):
        with open(os.path.join(SHARED, f"{name}.{index}"), encoding="utf-8") as file:
            values.append(json.load(file))
    return values


def play(*scenes):
    """Run the scenes one after the other, or those named on the command line after the build folder; all guests meet before
    each."""
    for scene in scenes:
        if sys.argv[2:] and scene.__name__ not in sys.argv[2:]:
            continue
        meet(f"before_{scene.__name__}")
        began = time.monotonic()
        try:
            scene()
        except Failed as failure:
            print(f"FAILED {scene.__name__}: {failure}", flush=True)
            sys.exit(1)
        print(f"ok {scene.__name__}, {time.monotonic() - began:.1f} s", flush=True)
