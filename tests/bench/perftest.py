"""perftest and `kolo perf link` in guests: the server in the first guest, the client in the last one, which may be the same.

All guests call each function at once; the figures come out in the last guest, None elsewhere. perftest is started again when it
gives up on its own clock ("Correlation coefficient"), or never ends, which it does now and then on emulated processors."""
import json
import os
import re
import tempfile

import guest

ATTEMPTS = 6
ATTEMPT_S = 30  # many times what a measurement takes
PORT = 18515  # perftest's own
MIB = 1 << 20
DEPTH = 128  # perftest's default
IS_SERVER, IS_CLIENT = guest.INDEX == 1, guest.INDEX == guest.COUNT

place = 0  # names for the guests to meet at, each once


def meet():
    global place
    place += 1
    guest.meet(f"perftest_{place}", limit_s=120)


def of_all(value):
    """The values that the guests call this with, in their order."""
    name = f"value_{place}"
    guest.tell(name, value)
    meet()
    return guest.told(name)


def listens(port):
    """Whether a socket of this guest listens on the port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            if any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file.readlines()[1:]):
                return True
    return False


def figures(text):
    """The line of figures in perftest's output; None if there is none, or if it is one of zeros (of a clock that jumped)."""
    found = re.search(r"^[ \t]*\d+[ \t]+\d+([ \t]+[\d.]+){3,}", text, re.MULTILINE)
    line = [float(word) for word in found[0].split()] if found else [0.0] * 4
    return line if line[3] > 0 else None


def attempt(words):
    """One run of a server and a client. Returns (went well, the client's figures, what was said here)."""
    server, line, said = None, None, ""
    try:
        if IS_SERVER:
            server = guest.Program(*words)
            guest.wait_until(lambda: listens(PORT) or server.process.poll() is not None, "perftest's server")
        meet()
        if IS_CLIENT:
            try:
                said = guest.run(*words, guest.FIRST, expected=None, limit_s=ATTEMPT_S)
            except guest.Failed as late:
                said = str(late)
            line = figures(said)
        return all(of_all(line is not None or not IS_CLIENT)), line, said
    finally:
        if server is not None:
            server.close()


def perftest(*words):
    """The client's line of figures."""
    for _ in range(ATTEMPTS):
        well, line, said = attempt([*words, "-d", guest.DEVICE, "-F"])
        if well:
            return line
    raise guest.Failed(f"{' '.join(words)} gave no figures in {ATTEMPTS} attempts:\n{said}")


def perftest_bandwidth(test, size, iterations, *more):
    """Bytes a second of ib_TEST_bw."""
    line = perftest(f"ib_{test}_bw", "-s", str(size), "-n", str(iterations), "-t", str(DEPTH), *more)
    return line[3] * MIB if line else None


def perftest_latency(test, size, iterations, *more):
    """Microseconds: the typical half round trip of ib_TEST_lat."""
    line = perftest(f"ib_{test}_lat", "-s", str(size), "-n", str(iterations), *more)
    return line[4] if line else None


class Link:
    """`with Link(kolo) as link:` `kolo perf link`, whose server stays."""

    def __init__(self, kolo):
        self.kolo, self.server = kolo, None

    def __enter__(self):
        if IS_SERVER:
            self.server = guest.Program(self.kolo, "perf", "link", "--serve")
            self.server.wait_for("serving")
        meet()
        return self

    def __exit__(self, *_):
        if self.server is not None:
            self.server.close()

    def measure(self, test, size, iterations, *more):
        """The record of one measurement."""
        record = None
        meet()
        if IS_CLIENT:
            with tempfile.TemporaryDirectory() as folder:
                document = os.path.join(folder, "link.json")
                said = guest.run(self.kolo, "perf", "link", guest.FIRST, "--test", test, "--size", str(size), "--iterations",
                                 str(iterations), "--json", document, *more)
                with open(document, encoding="utf-8") as file:
                    records = json.load(file)["records"]
            guest.check(len(records) == 1, said)
            record = records[0]
        meet()
        return record

    def bandwidth(self, test, size, iterations, *more):
        record = self.measure(test, size, iterations, "--bandwidth", *more)
        return record["bandwidth_Bps"] if record else None

    def latency(self, test, size, iterations, *more):
        record = self.measure(test, size, iterations, "--latency", *more)
        return record["latency_us"]["median"] if record else None
