"""`kolo perf link` as a user runs it: a server and clients on this host, by TCP and by the library's messages. Usage: link_test.py KOLO"""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

KOLO = os.path.abspath(sys.argv.pop(1))
LIMIT_S = 60
QUICK = ["--duration", "0.1", "--warmup", "0.02"]
HELLO = struct.Struct("<4sHHIQ12x")  # magic, version, purpose, index, token
WELCOME, BUSY, OTHER_VERSION, NO_SESSION = range(4)


class Server:
    """A server on a port that the kernel chooses, for a `with` statement."""

    def __init__(self, *words):
        command = [KOLO, "perf", "link", "--serve", "--port", "0", *words]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        self.port = int(re.search(r"port (\d+)", self.process.stdout.readline()).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=LIMIT_S)

    def await_line(self, pattern):
        """Read the server's lines until one matches."""
        for line in self.process.stdout:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"the server never said: {pattern}")

    def await_end(self):
        """Until the session of a client has ended, well or not."""
        return self.await_line("has gone|failed|was ended")

    def command(self, *words, host="127.0.0.1"):
        return [KOLO, "perf", "link", host, "--port", str(self.port), *words]

    def ask(self, *words, host="127.0.0.1"):
        """Run a client to its end. Returns (exit code, output, errors)."""
        return run(*self.command(*words, host=host))

    def start(self, *words):
        return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def raw(self):
        """A connection of a stranger."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def greet(self, version=1, purpose=1, index=0, token=0):
        """A connection with a hello said. Returns (socket, verdict)."""
        connection = self.raw()
        connection.sendall(HELLO.pack(b"KPLK", version, purpose, index, token))
        answer = receive(connection, 16)
        self_magic, _, verdict = struct.unpack_from("<4sHH", answer)
        assert self_magic == b"KLPK", answer
        return connection, verdict


def receive(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            break
        data += part
    return data


def await_close(connection):
    """Until the other side has closed; a reset is as good."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout, done.stderr


class Case(unittest.TestCase):
    def measure(self, server, *words, host="127.0.0.1"):
        """A measurement that succeeds. Returns its document."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "link.json")
            code, out, err = server.ask(*QUICK, "--json", path, *words, host=host)
            self.assertEqual(code, 0, out + err)
            self.assertEqual(os.listdir(folder), ["link.json"])
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        self.assertTrue(document["ok"])
        for record in document["records"]:
            self.check_record(record)
        return document

    def check_record(self, record):
        self.assertEqual(record["wrong"], 0)
        latency = record["latency_us"]
        if latency is not None:
            self.assertGreater(latency["min"], 0)
            ordered = [latency[key] for key in ("min", "median", "p99", "p999", "max")]
            self.assertEqual(ordered, sorted(ordered))
            self.assertGreater(record["latency_iterations"], 0)
        if record["bandwidth_Bps"] is not None:
            self.assertGreater(record["bandwidth_Bps"], 0)
            self.assertGreaterEqual(record["bandwidth_peak_Bps"] * 1.0001, record["bandwidth_median_Bps"])
            self.assertAlmostEqual(record["messages_per_s"] * record["size_bytes"] / record["bandwidth_Bps"], 1, places=6)
            both = record["client_sends_Bps"] + record["server_sends_Bps"]
            self.assertAlmostEqual(both / record["bandwidth_Bps"], 1, places=6)


class Measuring(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.__exit__)

    def test_bandwidth_and_latency_of_every_size(self):
        for test in ("tcp", "message"):
            with self.subTest(test):
                document = self.measure(self.server, "--test", test, "--size", "8,64K,1M", "--validate")
                records = document["records"]
                self.assertEqual([record["size_bytes"] for record in records], [8, 65536, 1 << 20])
                for record in records:
                    self.assertEqual(record["test"], test)
                    self.assertTrue(record["validated"])
                    self.assertIsNotNone(record["latency_us"])
                    self.assertIsNotNone(record["bandwidth_Bps"])
                    self.assertEqual(record["server_sends_Bps"], 0)
                self.assertEqual(document["hosts"]["client"]["name"], document["hosts"]["server"]["name"])

    def test_several_tests_in_one_run(self):
        document = self.measure(self.server, "--test", "message,tcp", "--size", "1K", "--bandwidth")
        self.assertEqual([record["test"] for record in document["records"]], ["tcp", "message"])
        self.assertTrue(all(record["latency_us"] is None for record in document["records"]))

    def test_directions(self):
        for test in ("tcp", "message"):
            with self.subTest(test):
                both = self.measure(self.server, "-t", test, "-s", "64K", "-b", "--validate")["records"][0]
                self.assertGreater(both["client_sends_Bps"], 0)
                self.assertGreater(both["server_sends_Bps"], 0)
                back = self.measure(self.server, "-t", test, "-s", "64K", "--reverse", "--validate")["records"][0]
                self.assertEqual(back["client_sends_Bps"], 0)
                self.assertGreater(back["server_sends_Bps"], 0)
                self.assertGreater(back["latency_iterations"], 0)

    def test_iterations(self):
        for test in ("tcp", "message"):
            record = self.measure(self.server, "-t", test, "-s", "4K", "-n", "500", "--warmup", "20")["records"][0]
            self.assertGreaterEqual(record["iterations"], 400)  # metered at moments at which several may arrive
            self.assertLessEqual(record["iterations"], 520)
            self.assertEqual(record["latency_iterations"], 500)

    def test_streams(self):
        record = self.measure(self.server, "-t", "tcp", "-q", "3", "-s", "16K", "--validate", "--bandwidth")["records"][0]
        self.assertGreater(record["iterations"], 3)

    def test_rate_limit(self):
        for test in ("tcp", "message"):
            record = self.measure(self.server, "-t", test, "-s", "1K", "--bandwidth", "--rate-limit", "4MB", "-D", "0.5")
            self.assertLess(record["records"][0]["bandwidth_Bps"], 4.4e6)
            self.assertGreater(record["records"][0]["bandwidth_Bps"], 1e6)

    def test_ways_of_waiting(self):
        for test in ("tcp", "message"):
            for wait in ("--events", "--poll"):
                with self.subTest(test + wait):
                    self.measure(self.server, "-t", test, "-s", "64", wait)

    def test_transports(self):
        for transport in ("tcp", "shm"):
            for size in ("1", "300K"):
                self.measure(self.server, "-t", "message", "--transport", transport, "-s", size, "--validate")
        code, _, err = self.server.ask("-t", "message", "--transport", "pigeon", *QUICK)
        self.assertEqual(code, 1)
        self.assertIn("pigeon", err)

    def test_sweep_and_table(self):
        code, out, err = self.server.ask("-t", "tcp", "-a", "--latency", "-n", "3", "--warmup", "0")
        self.assertEqual(code, 0, err)
        rows = [line.split() for line in out.splitlines() if re.match(r" \d", line)]
        self.assertEqual([int(row[0]) for row in rows], [2 << i for i in range(23)])
        self.assertIn("#bytes", out)
        self.assertIn("t_typical[usec]", out)
        self.assertEqual(len(self.measure(self.server, "-t", "tcp", "-a", "-n", "3", "--warmup", "0")["records"]), 23)

    def test_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "link.svg")
            code, out, err = self.server.ask(*QUICK, "-t", "tcp,message", "-s", "64,4K", "--plot", path)
            self.assertEqual(code, 0, out + err)
            self.assertEqual(os.listdir(folder), ["link.svg"])
            root = xml.etree.ElementTree.parse(path).getroot()
        text = " ".join(root.itertext())
        for word in ("Bandwidth", "Latency", "tcp", "message", "Gbit/s"):
            self.assertIn(word, text)

    def test_least_rate(self):
        self.assertEqual(self.server.ask(*QUICK, "-t", "tcp", "-s", "64K", "--min-gbps", "0.001")[0], 0)
        code, _, err = self.server.ask(*QUICK, "-t", "tcp", "-s", "64K", "--min-gbps", "100000")
        self.assertEqual(code, 1)
        self.assertIn("below", err)

    def test_addresses(self):
        self.measure(self.server, "-t", "tcp", "-s", "8", host="localhost")
        try:
            socket.create_connection(("::1", self.server.port)).close()
        except OSError:
            return  # no IPv6 here
        self.measure(self.server, "-t", "tcp", "-s", "8", host="::1")

    def test_places(self):
        self.measure(self.server, "-t", "tcp", "-s", "8", "--core", "0", "--remote-core", "0")
        self.measure(self.server, "-t", "message", "-s", "8", "--numa-node", "0")
        for option, where in (("--core", ""), ("--remote-core", "the server")):
            code, _, err = self.server.ask(*QUICK, "-t", "tcp", option, "60000")
            self.assertEqual(code, 1)
            self.assertIn("no core 60000", err)
            self.assertIn(where, err)

    def test_rdma_without_a_device(self):
        if os.path.isdir("/sys/class/infiniband") and os.listdir("/sys/class/infiniband"):
            self.skipTest("there is an RDMA device here")
        code, _, err = self.server.ask(*QUICK, "-t", "write")
        self.assertEqual(code, 1)
        self.assertIn("--test tcp", err)
        document = self.measure(self.server, "-s", "8")
        self.assertEqual(document["records"][0]["test"], "tcp")

    def test_a_failure_is_in_the_document(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "link.json")
            code, _, _ = self.server.ask(*QUICK, "-t", "tcp", "--core", "60000", "--json", path)
            self.assertEqual(code, 1)
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        self.assertFalse(document["ok"])
        self.assertIn("no core 60000", document["error"])
        self.assertEqual(document["records"], [])


class Serving(Case):
    def test_ends_at_a_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Server() as server:
                self.measure(server, "-t", "tcp", "-s", "8")
                server.process.send_signal(number)
                self.assertEqual(server.process.wait(LIMIT_S), 0)

    def test_ends_at_a_signal_under_load(self):
        with Server() as server:
            client = server.start("-t", "tcp", "-s", "64K", "-D", "30")
            server.await_line("has come")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(LIMIT_S), 0)
            _, err = client.communicate(timeout=LIMIT_S)
            self.assertEqual(client.returncode, 1)
            self.assertIn("127.0.0.1", err)

    def test_once(self):
        with Server("--once") as server:
            self.measure(server, "-t", "tcp", "-s", "8")
            self.assertEqual(server.process.wait(LIMIT_S), 0)

    def test_one_client_at_a_time(self):
        with Server() as server:
            first = server.start("-t", "tcp", "-s", "64K", "-D", "30")
            server.await_line("has come")
            code, _, err = server.ask("-t", "tcp", *QUICK)
            self.assertEqual(code, 1)
            self.assertIn("busy", err)
            first.kill()
            first.communicate()
            server.await_end()
            self.measure(server, "-t", "tcp", "-s", "8")

    def test_clients_that_die(self):
        for test in ("tcp", "message"):
            for moment_s in (0, 0.05, 0.3):
                with self.subTest(test=test, moment_s=moment_s), Server() as server:
                    client = server.start("-t", test, "-b", "-s", "64K", "-D", "30")
                    server.await_line("has come")
                    time.sleep(moment_s)  # wherever it is then
                    client.kill()
                    client.communicate()
                    server.await_end()
                    self.measure(server, "-t", test, "-s", "8")

    def test_strangers_are_bounded(self):
        with Server() as server:
            strangers = [server.raw() for _ in range(200)]
            self.measure(server, "-t", "tcp", "-s", "8")
            for stranger in strangers:  # all are sent away in the end
                stranger.settimeout(LIMIT_S)
                self.assertEqual(stranger.recv(1), b"")
                stranger.close()

    def test_garbage(self):
        with Server() as server:
            for garbage in (b"GET / HTTP/1.1\r\nHost: kolo\r\n\r\n", b"\0" * 64, b"KPLK" + b"\xff" * 60):
                with server.raw() as stranger:
                    stranger.sendall(garbage)
                    await_close(stranger)
            connection, verdict = server.greet(version=2)
            self.assertEqual(verdict, OTHER_VERSION)
            connection.close()
            connection, verdict = server.greet(purpose=2, token=1234)
            self.assertEqual(verdict, NO_SESSION)
            connection.close()
            self.measure(server, "-t", "tcp", "-s", "8")

    def test_hostile_sessions(self):
        frame = struct.Struct("<II")
        hostile = [b"", b"\xff" * 100, frame.pack(1 << 30, 3), frame.pack(4, 3) + b"abcd", frame.pack(0, 99),
                   frame.pack(4, 5) + struct.pack("<I", 6), frame.pack(8192, 3) + b"\0" * 8192]
        with Server() as server:
            for data in hostile:
                connection, verdict = server.greet()
                self.assertEqual(verdict, WELCOME)
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                await_close(connection)
                connection.close()
                server.await_end()
            self.measure(server, "-t", "tcp", "-s", "8")

    def test_port_in_use(self):
        with Server() as server:
            code, _, err = run(KOLO, "perf", "link", "--serve", "--port", str(server.port))
            self.assertEqual(code, 1)
            self.assertIn("in use", err)


class CommandLine(Case):
    def test_nobody_serves(self):
        with socket.socket() as listener:  # bound, not listening
            listener.bind(("127.0.0.1", 0))
            port = str(listener.getsockname()[1])
            code, _, err = run(KOLO, "perf", "link", "127.0.0.1", "--port", port)
        self.assertEqual(code, 1)
        self.assertIn("--serve", err)
        code, _, err = run(KOLO, "perf", "link", "no-such-host.invalid")
        self.assertEqual(code, 1)
        self.assertIn("no-such-host.invalid", err)

    def test_somebody_else_serves(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = subprocess.Popen([KOLO, "perf", "link", "127.0.0.1", "--port", str(listener.getsockname()[1])],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            connection, _ = listener.accept()
            connection.sendall(b"220 mail.example ESMTP\r\n")
            _, err = client.communicate(timeout=LIMIT_S)
            connection.close()
        self.assertEqual(client.returncode, 1)
        self.assertIn("is not", err)

    def test_wrong_command_lines(self):
        for words in ([], ["a", "b"], ["--serve", "host"], ["h", "--once"], ["h", "--test", "writ"], ["h", "--test", "tcp,"],
                      ["h", "--size", "8,,9"], ["h", "--size", "5X"], ["h", "--size", "0"], ["h", "--size", "2G"],
                      ["h", "--size", ",".join(["1"] * 65)], ["h", "--duration", "0"], ["h", "--iterations", "0"],
                      ["h", "--pairs", "65"], ["h", "--depth", "0"], ["h", "--post-list", "65"], ["h", "--mtu", "1500"],
                      ["h", "--service-level", "16"], ["h", "--traffic-class", "256"], ["h", "--inline", "5000"],
                      ["h", "--rate-limit", "4"], ["h", "--warmup", "x"], ["h", "--min-gbps", "0"], ["h", "--port", "0"],
                      ["h", "--port", "65536"], ["h", "-b", "--reverse"], ["h", "--depth", "4", "--post-list", "8"],
                      ["h", "--gid-index", "-1"], ["h", "--nonsense"], ["h", "--device", "d" * 80]):
            with self.subTest(words=words):
                code, out, err = run(KOLO, "perf", "link", *words)
                self.assertEqual(code, 2, err)
                self.assertIn("kolo perf link", err)
                self.assertEqual(out, "")

    def test_help(self):
        code, out, _ = run(KOLO, "perf", "link", "--help")
        self.assertEqual(code, 0)
        for word in ("--serve", "--test", "--json", "--min-gbps"):
            self.assertIn(word, out)
        self.assertIn("kolo perf link", run(KOLO, "perf", "--help")[1])


if __name__ == "__main__":
    signal.alarm(170)  # nothing waits for ever
    unittest.main(verbosity=2)
