"""Four hosts on one machine: network namespaces that a bridge joins, each on a link of its own with a shaped rate.

Needs root, ip, tc and iperf3. Everything is taken down at the end, also after an error.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time

from launchers import LIMIT_S, Failed, execute, perf_words, read_document

PORT = 29500
NETWORK = "10.77.0"


def missing():
    """Why this cannot run here; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc", "iperf3"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None


class Network:
    """`with Network(4, "1gbit") as network:` Hosts 0 .. n-1 have the addresses 10.77.0.1 .. n."""

    def __init__(self, hosts, rate):
        self.hosts, self.rate = hosts, rate
        self.tag = f"kolo{os.getpid()}"
        self.hub = f"{self.tag}-hub"

    def name(self, host):
        return f"{self.tag}-{host}"

    def address(self, host):
        return f"{NETWORK}.{host + 1}"

    def __enter__(self):
        try:
            self.build()
        except Exception:
            self.__exit__(None, None, None)
            raise
        return self

    def build(self):
        execute(["ip", "netns", "add", self.hub])
        execute(["ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge"])
        execute(["ip", "-n", self.hub, "link", "set", "bridge", "up"])
        for host in range(self.hosts):
            self.build_host(host)

    def build_host(self, host):
        """A namespace, and a link to the hub that is shaped in both directions."""
        name, port = self.name(host), f"port{host}"
        execute(["ip", "netns", "add", name])
        execute(["ip", "-n", name, "link", "set", "lo", "up"])
        execute(["ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self.hub])
        execute(["ip", "-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0"])
        execute(["ip", "-n", self.hub, "link", "set", port, "master", "bridge", "up"])
        execute(["ip", "-n", name, "link", "set", "eth0", "up"])
        for namespace, device in ((name, "eth0"), (self.hub, port)):
            execute(["tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", "rate", self.rate, "burst",
                     "128kb", "latency", "20ms"])

    def __exit__(self, *_):
        for name in [self.name(host) for host in range(self.hosts)] + [self.hub]:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def start(self, host, words, environment=None, **streams):
        return subprocess.Popen(["ip", "netns", "exec", self.name(host), *words],
                                env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, text=True, **streams)

    def measure_rate(self, seconds):
        """Bytes a second that every host can send to the next one in the ring while all do, by iperf3's receivers."""
        servers = [self.start(host, ["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for host in range(self.hosts)]
        try:
            for host in range(self.hosts):
                self.wait_for_listener(host, 5201)
            clients = [self.start(host, ["iperf3", "-c", self.address((host + 1) % self.hosts), "-t", str(seconds), "-O", "1",
                                         "-J"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                       for host in range(self.hosts)]
            rates = []
            for client in clients:
                report = json.loads(client.communicate(timeout=LIMIT_S)[0])
                rates.append(report["end"]["sum_received"]["bits_per_second"] / 8)
        finally:
            for server in servers:
                server.kill()
                server.wait()
        return sum(rates) / len(rates)

    def wait_for_listener(self, host, port):
        deadline = time.monotonic() + 10
        while f":{port} " not in execute(["ip", "netns", "exec", self.name(host), "ss", "-tln"]):
            if time.monotonic() > deadline:
                raise Failed(f"nothing listens on port {port} of host {host}")
            time.sleep(0.02)

    def perf(self, kolo, sweep, algorithm=None):
        """`kolo perf all-reduce` over tcp, a rank on each host. Bytes to Time."""
        with tempfile.TemporaryDirectory() as folder:
            document = os.path.join(folder, "perf.json")
            words = perf_words(kolo, sweep, document, "--transport", "tcp")
            words += ["--algorithm", algorithm] if algorithm else []
            ranks = []
            for host in range(self.hosts):
                environment = {"KOLO_RANK": str(host), "KOLO_SIZE": str(self.hosts), "KOLO_RUN_ID": self.tag,
                               "KOLO_PEERS": f"{self.address(0)}:{PORT}", "KOLO_PORT": str(PORT)}
                ranks.append(self.start(host, words, environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
            failures = [rank.communicate(timeout=LIMIT_S)[1] for rank in ranks]
            if any(rank.returncode for rank in ranks):
                raise Failed("kolo perf between namespaces failed: " + " / ".join(failures)[-2000:])
            return read_document(document)
