"""The part of `verbs` that runs in the guests: measures pairs, one after the other in turn, and leaves them as figures.json.

Usage: verbs_guest.py KOLO link|reduce PAIRS SMOKE"""
import concurrent.futures
import json
import os
import statistics
import sys
import tempfile

import guest
import perftest
from guest import COUNT, INDEX

KOLO, WHAT, PAIRS, SMOKE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "yes"
KIB, MIB = 1 << 10, 1 << 20
FASTER = 3 if COUNT == 1 else 1  # a guest's loop back is about three times as fast as the wire between two
BANDWIDTH_ITERATIONS = {64 * KIB: 800 * FASTER, MIB: 60 * FASTER}  # about a second
LATENCY_ITERATIONS = 1500 * FASTER
LATENCY_BYTES = 2
REDUCE_BYTES = 8 * MIB
REDUCE_CALLS = 4
WAITING = {"polling": ([], ["--poll"]), "events": (["-e"], ["--events"])}  # perftest's words, kolo's


def pairs(kolo, peer):
    """Measure both in turn. Guests other than the last get nothing but take part."""
    figures = {"kolo": [], "peer": []}
    for number in range(PAIRS):
        for name, measure in (("kolo", kolo), ("peer", peer)) if number % 2 == 0 else (("peer", peer), ("kolo", kolo)):
            figures[name].append(measure())
    return figures


def measure_bandwidths(link):
    rows = []
    for test in ("write", "read", "send"):
        for size, iterations in BANDWIDTH_ITERATIONS.items():
            count = 30 if SMOKE else iterations
            figures = pairs(lambda: link.bandwidth(test, size, count),
                            lambda: perftest.perftest_bandwidth(test, size, count))
            rows.append({"test": test, "bytes": size, "unit": "Bps", **figures})
    return rows


def measure_latencies(link):
    rows = []
    count = 100 if SMOKE else LATENCY_ITERATIONS
    for mode, (theirs, ours) in WAITING.items():
        figures = pairs(lambda: link.latency("send", LATENCY_BYTES, count, *ours),
                        lambda: perftest.perftest_latency("send", LATENCY_BYTES, count, *theirs))
        rows.append({"test": f"send latency, {mode}", "bytes": LATENCY_BYTES, "unit": "us", **figures})
    return rows


def measure_messages(link):
    count = 30 if SMOKE else BANDWIDTH_ITERATIONS[MIB]
    figures = pairs(lambda: link.bandwidth("message", MIB, count, "--transport", "verbs"),
                    lambda: perftest.perftest_bandwidth("write", MIB, count))
    return [{"test": "message", "bytes": MIB, "unit": "Bps", **figures}]


def measure_all_reduce():
    """Bytes a second of every direction, as far as the time of an all-reduce says so; it waits for its slowest direction."""
    median_us = None
    perftest.meet()
    with tempfile.TemporaryDirectory() as folder:
        document = os.path.join(folder, "perf.json")
        said = guest.run(KOLO, "perf", "all-reduce", "-b", str(REDUCE_BYTES), "-e", str(REDUCE_BYTES), "-n", str(REDUCE_CALLS),
                         "-w", "1", "--json", document,
                         environment=guest.peer_environment(INDEX - 1, COUNT, "verbs", KOLO_LOG="warn"), limit_s=120)
        if INDEX == 1:
            with open(document, encoding="utf-8") as file:
                found = json.load(file)
            guest.check(found["wrong"] == 0, said)
            median_us = found["results"][0]["out_of_place"]["median_us"]
    return 2 * (COUNT - 1) / COUNT * REDUCE_BYTES / (perftest.of_all(median_us)[0] * 1e-6)


def measure_both_directions():
    """Of two guests: half of what ib_write_bw carries in both directions at once."""
    both = perftest.perftest_bandwidth("write", MIB, 20 if SMOKE else BANDWIDTH_ITERATIONS[MIB], "-b")
    return both / 2 if both else None


def measure_ring():
    """Of more guests: what every guest writes to the next one while all do; the slowest of them, which a ring waits for."""
    words = ["ib_write_bw", "-d", guest.DEVICE, "-F", "-s", str(MIB), "-D", "4"]
    for _ in range(perftest.ATTEMPTS):
        with guest.Program(*words) as server, concurrent.futures.ThreadPoolExecutor() as threads:
            guest.wait_until(lambda: perftest.listens(perftest.PORT) or server.process.poll() is not None, "the server")
            perftest.meet()
            client = threads.submit(guest.run, *words, guest.ADDRESSES[INDEX % COUNT], expected=None)
            line = perftest.figures(client.result())
        rates = perftest.of_all(line[3] * MIB if line else None)
        if None not in rates:
            return min(rates)
    raise guest.Failed("ib_write_bw gave no figures around the ring")


def main():
    if WHAT == "link":
        with perftest.Link(KOLO) as link:
            rows = measure_bandwidths(link) + measure_latencies(link) + measure_messages(link)
    else:
        figures = pairs(measure_all_reduce, measure_both_directions if COUNT == 2 else measure_ring)
        rows = [{"test": f"all-reduce, {COUNT} guests", "bytes": REDUCE_BYTES, "unit": "Bps", **figures}]
    if perftest.IS_CLIENT:
        for row in rows:
            print(row["test"], row["bytes"], *(statistics.median(row[name]) for name in ("kolo", "peer")))
        with open(os.path.join(guest.SHARED, "figures.json"), "w", encoding="utf-8") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
