"""Hosts made of network namespaces on one bridge, for tests of tools that go from host to host. Needs root and iproute2:
works() says whether that is so here."""
import os
import subprocess

LIMIT_S = 60


def run(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True, timeout=LIMIT_S)


def works():
    name = f"kolo{os.getpid()}probe"
    try:
        made = run("ip", "netns", "add", name, check=False).returncode == 0
        good = made and run("ip", "-n", name, "link", "set", "lo", "up", check=False).returncode == 0
        run("ip", "netns", "del", name, check=False)
        return good
    except FileNotFoundError:
        return False


class Hosts:
    """So many namespaces, 10.92.0.1 and on, each with an interface eth0; their other ends p0, p1, ... are on a bridge."""

    def __init__(self, count, mtu=1500):
        self.mtu = mtu
        tag = f"kolo{os.getpid()}t"
        self.names = [f"{tag}{i}" for i in range(count)]
        self.addresses = [f"10.92.0.{i + 1}" for i in range(count)]
        self.bridge = f"{tag}b"
        self.children = []

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        for name in self.names + [self.bridge]:
            run("ip", "netns", "add", name)
        run("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.bridge, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            run("ip", "link", "add", "eth0", "netns", name, "mtu", str(self.mtu), "type", "veth", "peer", "name", f"p{i}",
                "netns", self.bridge, "mtu", str(self.mtu))
            run("ip", "-n", self.bridge, "link", "set", f"p{i}", "master", "br0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "addr", "add", self.addresses[i] + "/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
            child.wait()
            child.stdout.close()
        for name in self.names + [self.bridge]:
            run("ip", "netns", "del", name, check=False)

    def on(self, host, *words, check=True):
        """Run a command on a host, to its end."""
        return run("ip", "netns", "exec", self.names[host], *words, check=check)

    def on_bridge(self, *words):
        return run("ip", "netns", "exec", self.bridge, *words)

    def serve(self, host, *words):
        """Start a server and wait until it says that it serves. Returns its process."""
        child = subprocess.Popen(["ip", "netns", "exec", self.names[host], *words], stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        line = child.stdout.readline()
        assert "serving on port" in line, line
        return child

    def limit(self, host, rate, what="eth0"):
        """A host sends no faster than this ("50mbit") from now on."""
        self.on(host, "tc", "qdisc", "add", "dev", what, "root", "tbf", "rate", rate, "burst", "32k", "latency", "50ms")

    def cable(self, one, other):
        """A cable of their own between two hosts: what they send each other goes through eth1 on both."""
        run("ip", "link", "add", "eth1", "netns", self.names[one], "type", "veth", "peer", "name", "eth1", "netns",
            self.names[other])
        for host, to in ((one, other), (other, one)):
            self.on(host, "ip", "link", "set", "eth1", "up")
            self.on(host, "ip", "route", "add", self.addresses[to] + "/32", "dev", "eth1", "src", self.addresses[host])
