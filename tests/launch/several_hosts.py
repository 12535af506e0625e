"""Real launchers start ranks on two hosts, and nothing says to kolo where they are. Usage: several_hosts.py openmpi|mpich SUM_RANKS

The hosts are network namespaces, and a script enters them in ssh's place. Needs root for that; says so and skips (exit status 77)
otherwise, and where the launcher is not installed."""
import collections
import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import hosts as namespaces

SKIP = 77
LIMIT_S = 60
TRIES = 3  # a launcher itself may fail to start on a crowded machine, with no word of why; what it starts is what is tested
RANKS = 4
SUM = RANKS * (RANKS + 1) // 2

# ssh as launchers call it: options, a host's address, and a command that a shell over there puts together. Each host has a name.
AGENT = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
for pair in $KOLO_TEST_HOSTS; do
    [ "${pair%%=*}" = "$host" ] || continue
    name=${pair#*=}
    exec ip netns exec "$name" unshare --uts sh -c "hostname $name; $*" </dev/null
done
echo "no host $host" >&2
exit 255
"""


class Mpich:
    program = "mpiexec.hydra"
    library = "mpich"
    cure = "-genv KOLO_PEERS"

    @staticmethod
    def words(hosts, agent, environment):
        words = ["mpiexec.hydra", "-rmk", "user", "-launcher", "ssh", "-launcher-exec", agent, "-hosts",
                 ",".join(hosts.addresses), "-ppn", "2", "-n", str(RANKS)]
        for name, value in environment.items():
            words += ["-genv", name, value]
        return words

    @staticmethod
    def refusals(run, library):
        """Where kolo cannot know that nobody else talks on PMI_FD, or nobody listens any more."""
        run.check_refusal("another thread", "threads", library)
        run.check_refusal("MPI_Finalize", "over", library)


class OpenMpi:
    program = "mpirun.openmpi"
    library = "mpi"
    cure = "-x KOLO_PEERS"

    @staticmethod
    def words(hosts, agent, environment):
        # Its own traffic keeps to the hosts' network, too; and its daemons end with it.
        words = ["mpirun.openmpi", "--allow-run-as-root", "--leave-session-attached", "--mca", "plm", "rsh", "--mca", "ras",
                 "^slurm", "--mca", "plm_rsh_agent", agent, "--mca", "oob_tcp_if_include", "eth0", "--mca",
                 "btl_tcp_if_include", "eth0", "--mca", "btl", "tcp,self", "--host",
                 ",".join(f"{address}:2" for address in hosts.addresses), "-n", str(RANKS)]
        for name, value in environment.items():
            words += ["-x", f"{name}={value}"]
        return words

    @staticmethod
    def refusals(run, library):
        run.check("threads", library)  # PMIx takes calls of many threads
        run.check_refusal("MPI_Finalize", "over", library)
        run.check_refusal("KOLO_PMIX_LIBRARY", "alone", KOLO_PMIX_LIBRARY="/nowhere/libpmix.so.2")


LAUNCHERS = {"mpich": Mpich, "openmpi": OpenMpi}


class Run:
    """Two hosts and a launcher on the first."""

    def __init__(self, launcher, sum_ranks):
        self.launcher, self.sum_ranks = launcher, sum_ranks
        self.hosts = namespaces.Hosts(2)
        self.folder = tempfile.TemporaryDirectory(prefix="kolo-hosts-")
        self.agent = os.path.join(self.folder.name, "agent")
        with open(self.agent, "w", encoding="utf-8") as file:
            file.write(AGENT)
        os.chmod(self.agent, 0o700)

    def __enter__(self):
        self.hosts.__enter__()
        return self

    def __exit__(self, *why):
        for name in self.hosts.names:
            pids = namespaces.run("ip", "netns", "pids", name, check=False).stdout.split()
            for pid in pids:  # a launcher that failed may have left some; the namespace is this test's own
                namespaces.run("kill", "-9", pid, check=False)
        self.hosts.__exit__(*why)
        self.folder.cleanup()

    def start(self, *arguments, **environment):
        """Returns (exit code, what the ranks and the launcher said)."""
        for _ in range(TRIES):
            code, text = self.start_once(*arguments, **environment)
            if re.search("^(rank|error|kolo) ", text, re.MULTILINE):
                break
            print(f"the launcher started nothing (exit code {code}):", text, sep="\n", flush=True)
        return code, text

    def start_once(self, *arguments, **environment):
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("KOLO_", "PMI", "OMPI_", "SLURM_", "MPI"))}
        pairs = [f"{address}={name}" for address, name in zip(self.hosts.addresses, self.hosts.names)]
        kept.update(KOLO_TEST_HOSTS=" ".join(pairs), TMPDIR=self.folder.name)
        # Its ranks are on one kernel, but are to talk as those of two.
        settings = {"KOLO_TRANSPORT": "tcp", "KOLO_OPEN_TIMEOUT": "20", **environment}
        words = self.launcher.words(self.hosts, self.agent, settings)
        done = subprocess.run(["ip", "netns", "exec", self.hosts.names[0], *words, self.sum_ranks, *arguments], env=kept,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=LIMIT_S, check=False)
        return done.returncode, done.stdout

    def check(self, *arguments, times=1, **environment):
        code, text = self.start(*arguments, **environment)
        print(" ".join(arguments), environment, "->", code, text, sep="\n", flush=True)
        assert code == 0, f"{arguments}: exit code {code}"
        found = [re.fullmatch(r"rank (\d) of (\d) on (\S+): (\d+)", line) for line in text.splitlines()]
        ranks = collections.Counter(line.group(1, 2, 4) for line in found if line)
        places = collections.Counter(line[3] for line in found if line)
        assert ranks == {(str(rank), str(RANKS), str(SUM)): times for rank in range(RANKS)}, ranks
        assert sorted(places.values()) == [times * RANKS // 2] * 2, places

    def check_refusal(self, cause, *arguments, **environment):
        code, text = self.start(*arguments, **environment)
        print(" ".join(arguments), environment, "->", code, text, sep="\n", flush=True)
        assert code != 0, f"{arguments}: no error"
        lines = [line for line in text.splitlines() if line.startswith("error ")]
        assert any(cause in line and self.launcher.cure in line for line in lines), lines


def missing(launcher):
    """Why this cannot run here; None if it can."""
    if shutil.which(launcher.program) is None:
        return f"{launcher.program} is not installed"
    if shutil.which("unshare") is None or not namespaces.works():
        return "network namespaces need root and iproute2, and do not work in every container"
    return None


def beside_mpi(run, library):
    """MPI and kolo in one process, over the launcher's one channel."""
    run.check("first", library)
    run.check("last", library)
    run.launcher.refusals(run, library)


def main():
    launcher = LAUNCHERS[sys.argv[1]]
    why = missing(launcher)
    if why is not None:
        print("skipped:", why)
        return SKIP
    with Run(launcher, sys.argv[2]) as run:
        run.check("alone")
        run.check("again", times=2)
        run.check("alone", KOLO_PORT="4242")
        run.check("alone", KOLO_PEERS="10.92.0.1:4242")
        library = ctypes.util.find_library(launcher.library)
        if library is not None:
            beside_mpi(run, library)
    return 0


if __name__ == "__main__":
    sys.exit(main())
