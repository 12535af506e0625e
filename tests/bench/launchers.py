"""The contestants: how kolo and each MPI are started for a sweep of all-reduces, and what they print.

Every contestant's ranks are bound to cores, in turn where there are more ranks than cores: else where the scheduler happens to put
them is what is measured.
Every contestant runs the same loop (calls timed one by one; per rank the median; the largest over the ranks) on the same
buffers (malloc, f32, sum, out of place). MPIs are tuned as their documents say:
  Open MPI: vader with CMA for one copy; mpi_yield_when_idle where there are more ranks than cores (FAQ, "Running MPI jobs",
  "oversubscription").
  MPICH: MPIR_CVAR_POLLS_BEFORE_YIELD where there are more ranks than cores. Its two ways to all-reduce inside a
  node (release_gather, and the general algorithms) take part as two contestants, since each is the faster at some sizes.
"""
import json
import os
import shutil
import subprocess
import tempfile
from typing import NamedTuple

LIMIT_S = 600


class Failed(Exception):
    """A contestant did not end well."""


def execute(words, environment=None):
    """Run to the end; the output. Raises Failed."""
    try:
        done = subprocess.run(words, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(words)}: not done after {LIMIT_S} s") from late
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


class Time(NamedTuple):
    """Of one call, in microseconds."""

    median_us: float  # the largest over the ranks
    mean_us: float    # averaged over the ranks


class Sweep:
    """Which sizes, and how long each is measured."""

    def __init__(self, first=8, last=64 << 20, factor=2, budget_s=0.1, calls=None):
        self.first, self.last, self.factor, self.budget_s, self.calls = first, last, factor, budget_s, calls


def read_document(path):
    """Bytes to Time from a document of `kolo perf`."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    if document["wrong"]:
        raise Failed(f"kolo perf found {document['wrong']} wrong elements")
    places = {result["bytes"]: result["out_of_place"] for result in document["results"]}
    return {size: Time(place["median_us"], place["mean_us"]) for size, place in places.items()}


def perf_words(kolo, sweep, document, *more):
    """The command line of `kolo perf` for a sweep."""
    calls = ["-n", str(sweep.calls), "-w", "2"] if sweep.calls else ["-t", str(sweep.budget_s), "-w", "10"]
    return [kolo, "perf", "all-reduce", "-b", str(sweep.first), "-e", str(sweep.last), "-f", str(sweep.factor), *calls,
            "--json", document, *more]


class Kolo:
    """kolo perf, started by kolo run."""

    def __init__(self, kolo, transport, algorithm=None):
        self.kolo, self.transport, self.algorithm = kolo, transport, algorithm
        self.name = f"kolo {algorithm}" if algorithm else "kolo"

    def times(self, ranks, sweep):
        bind = ["--bind", "core" if ranks <= len(os.sched_getaffinity(0)) else "share"]
        more = ["--transport", self.transport] + (["--algorithm", self.algorithm] if self.algorithm else [])
        with tempfile.TemporaryDirectory() as folder:
            document = os.path.join(folder, "perf.json")
            execute([self.kolo, "run", "-n", str(ranks), *bind, *perf_words(self.kolo, sweep, document, *more)])
            return read_document(document)


def read_lines(output):
    """Bytes to Time from the lines of mpi_all_reduce."""
    times = {}
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[0].isdigit():
            if fields[5] != "0":
                raise Failed(f"mpi_all_reduce found {fields[5]} wrong elements")
            times[int(fields[0])] = Time(float(fields[1]), float(fields[3]))
    if not times:
        raise Failed("mpi_all_reduce printed nothing")
    return times


def sweep_words(program, sweep):
    return [program, str(sweep.first), str(sweep.last), str(sweep.factor), str(sweep.budget_s)]


class OpenMpi:
    """mpi_all_reduce under Open MPI."""
    name = "Open MPI"
    environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

    def __init__(self, program, transport):
        self.program, self.transport = program, transport

    def times(self, ranks, sweep):
        words = ["mpiexec.openmpi", "-n", str(ranks), "--mca", "pml", "ob1"]
        if self.transport == "shm":
            words += ["--mca", "btl", "self,vader", "--mca", "btl_vader_single_copy_mechanism", "cma"]
        else:
            words += ["--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo"]
        if ranks <= len(os.sched_getaffinity(0)):
            words += ["--bind-to", "core"]
        else:
            words += ["--oversubscribe", "--map-by", "core", "--bind-to", "core:overload-allowed", "--mca", "mpi_yield_when_idle", "1"]
        return read_lines(execute([*words, *sweep_words(self.program, sweep)], self.environment))


class Mpich:
    """mpi_all_reduce under MPICH; `algorithm`: MPIR_CVAR_ALLREDUCE_POSIX_INTRA_ALGORITHM."""

    def __init__(self, program, algorithm):
        self.program, self.algorithm = program, algorithm
        self.name = f"MPICH {algorithm}"

    def times(self, ranks, sweep):
        environment = {"MPIR_CVAR_ALLREDUCE_POSIX_INTRA_ALGORITHM": self.algorithm}
        words = ["mpiexec.mpich", "-n", str(ranks)]
        words += ["-bind-to", "core"]
        if ranks > len(os.sched_getaffinity(0)):
            environment["MPIR_CVAR_POLLS_BEFORE_YIELD"] = "1"
        return read_lines(execute([*words, *sweep_words(self.program, sweep)], environment))


def compile_mpi(folder, source):
    """mpi_all_reduce for each MPI that is installed: {"openmpi": program, "mpich": program}."""
    programs = {}
    for mpi in ("openmpi", "mpich"):
        compiler = shutil.which(f"mpicc.{mpi}")
        if compiler and shutil.which(f"mpiexec.{mpi}"):
            programs[mpi] = os.path.join(folder, f"mpi_all_reduce_{mpi}")
            execute([compiler, "-O2", "-o", programs[mpi], source])
    return programs
