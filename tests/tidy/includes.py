"""Includes point one way. Usage: includes.py ROOT

    tools, tests -> runtime (api) -> runtime/{plan,execute,membership,...} -> {collectives, transport} -> runtime/base

A file's own folder is always allowed. The longest row that a file's path begins with is its row."""
import re
import sys

import tree

API = "runtime/include/kolo/"
BASE = "runtime/base/"
CONTRACT = "transport/transport.h"
QUEUE = "transport/queue.h"

# Where a file is: what it may include of ours, besides its own folder. A name that ends in / is a whole folder.
MAY_INCLUDE = {
    # the floor
    "runtime/include/": [],
    "runtime/base/": [API],
    # what moves, and how it moves: neither sees the other
    "collectives/": [API, BASE],
    "transport/": [API, BASE],
    "transport/tcp/": [API, BASE, CONTRACT],
    "transport/shm/": [API, BASE, CONTRACT, QUEUE],
    "transport/sim/": [API, BASE, CONTRACT],
    "transport/verbs/": [API, BASE, CONTRACT, QUEUE],
    # who, when, where
    "runtime/topology/": [API, BASE],
    "runtime/memory/": [API, BASE],
    "runtime/reduce/": [API, BASE],
    "runtime/launch/": [API, BASE],
    "runtime/membership/": [API, BASE, "runtime/launch/", "runtime/topology/", CONTRACT, "transport/tcp/port.h"],
    "runtime/plan/": [API, BASE, "runtime/topology/", "collectives/"],
    "runtime/execute/": [API, BASE, "runtime/memory/", "runtime/reduce/", "runtime/topology/", "runtime/plan/",
                         "runtime/membership/", "collectives/", CONTRACT, "transport/verbs/verbs.h"],
    # the API joins them all
    "runtime/": ["runtime/", "collectives/", "transport/"],
    # the tools are users of the API; plan looks at schedules
    "tools/": [API],
    "tools/plan": [API, BASE, "tools/", "collectives/"],
    "tools/run": [API, "runtime/base/clock.h", "tools/"],
    "tools/perf": [API, "runtime/base/clock.h", "runtime/topology/", "tools/"],
    "tools/perf_mesh": [API, BASE, "tools/"],
    "tools/train": [API, "runtime/base/clock.h", "tools/"],
    # what measures links and looks at hosts goes below the API: it is what people use when that does not work
    "tools/link": [API, BASE, "runtime/topology/", "transport/", "tools/"],
    "tools/doctor": [API, BASE, "runtime/topology/", "transport/", "tools/"],
    # a test may look at what it tests
    "tests/": ["tests/", "runtime/", "collectives/", "transport/", "tools/"],
}

# Libraries and the only places that may know them.
ONLY_IN = {
    r"hwloc\.h|hwloc/.*": ["runtime/topology/", "tools/run_bind.c", "tools/link_bind.c", "tools/doctor_place.c", "tests/"],
    r"infiniband/.*|rdma/.*": ["transport/verbs/", "tools/link_verbs", "tools/doctor_verbs.c", "tests/"],
    r"cuda.*\.h|nccl\.h": ["runtime/memory/", "runtime/reduce/", "runtime/backends/", "tests/"],
    r"cblas\.h|cblas-.*": ["tools/train"],
    r"cmocka\.h": ["tests/"],
    r"mpi\.h": ["tests/bench/"],
}

# collectives is pure: no threads, no clock, no network, no system.
PURE = "collectives/"
NOT_PURE = re.compile(r"pthread\.h|threads\.h|time\.h|unistd\.h|fcntl\.h|poll\.h|signal\.h|netdb\.h|sys/.*|net/.*|"
                      r"netinet/.*|arpa/.*|linux/.*")

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def begins(path, allowed):
    return any(path.startswith(a) if a.endswith("/") else path == a for a in allowed)


def row_of(path):
    fitting = [row for row in MAY_INCLUDE if path.startswith(row)]
    return max(fitting, key=len) if fitting else None


def check_ours(path, target):
    """Why a file may not include this one of ours; None if it may."""
    row = row_of(path)
    if row is None:
        return "is in a folder without a row in MAY_INCLUDE"
    own = path.rpartition("/")[0] + "/"
    if target.rpartition("/")[0] + "/" == own or begins(target, MAY_INCLUDE[row]):
        return None
    return f"{row} may include: its own folder, {', '.join(MAY_INCLUDE[row]) or 'nothing'}"


def check_library(path, target):
    for pattern, places in ONLY_IN.items():
        if re.fullmatch(pattern, target) and not path.startswith(tuple(places)):
            return f"<{target}> belongs to {', '.join(places)}"
    if path.startswith(PURE) and NOT_PURE.fullmatch(target):
        return f"{PURE} is pure: no threads, clock or system"
    return None


def check_line(path, line):
    found = INCLUDE.match(line)
    if found is None:
        return None
    bracket, target = found.groups()
    if bracket == '"':
        return check_ours(path, target)
    if target.startswith("kolo/"):
        return check_ours(path, "runtime/include/" + target)
    return check_library(path, target)


def main():
    root = sys.argv[1]
    findings = []
    for path in tree.c_files(root):
        for number, line in enumerate(tree.lines(root, path), 1):
            why = check_line(path, line)
            if why is not None:
                findings.append(f"{path}:{number}: {line.strip()}: {why}")
    tree.finish("includes that point the wrong way", findings)


if __name__ == "__main__":
    main()
