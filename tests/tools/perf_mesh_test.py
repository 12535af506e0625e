"""`kolo perf mesh`, as a user runs it: servers on this host, and on hosts made of network namespaces of which one has a slow link.
Usage: perf_mesh_test.py KOLO"""
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import hosts

KOLO = os.path.abspath(sys.argv.pop(1))
PORT = "4778"
NAMESPACES = hosts.works()
NO_NAMESPACES = "network namespaces need root and iproute2, and do not work in every container"
GUESTS_MAX = 32  # LINK_GUESTS_MAX
QUICK = ["--duration", "0.2", "--timeout", "2"]


class Server:
    """`kolo perf ... --serve` on this host, on a port that the kernel chose."""

    def __init__(self, *words):
        self.process = subprocess.Popen([KOLO, *words, "--serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert "serving on port" in line, line
        self.port = int(line.split()[-1])

    def close(self):
        self.process.terminate()
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        return code


def mesh(*words, runner=None):
    """Returns (exit code, output, errors, document)."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mesh.json")
        command = [KOLO, "perf", "mesh", *words, "--json", path]
        if runner is not None:
            done = runner(*command)
        else:
            done = subprocess.run(command, capture_output=True, text=True, timeout=hosts.LIMIT_S, check=False)
        document = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
    return done.returncode, done.stdout, done.stderr, document


def directions(document):
    return {(one["from"], one["to"]): one for one in document["directions"]}


class OneHost(unittest.TestCase):
    def serve(self, *words):
        server = Server(*words)
        self.addCleanup(lambda: self.assertEqual(server.close(), 0))
        return server

    def test_every_pair_is_measured_both_ways(self):
        names = [f"127.0.0.{i + 1}:{self.serve(*words).port}"
                 for i, words in enumerate([["perf", "mesh"], ["perf", "link"], ["doctor"]])]
        code, out, err, document = mesh(*names, "--slow", "95", *QUICK)
        self.assertEqual(err, "")
        self.assertEqual(code, 1 if document["slow"] else 0, out)  # others may run here, too
        found = directions(document)
        self.assertEqual(set(found), {(a, b) for a in names for b in names if a != b})
        for one in found.values():
            self.assertTrue(one["measured"])
            self.assertGreater(one["bandwidth_Bps"], 1e6)
            self.assertGreater(one["latency_us"], 0)
            self.assertLessEqual(one["latency_us"], one["latency_p99_us"])
        self.assertEqual((document["failed"], document["silent"]), (0, 0))
        self.assertEqual(document["test"], "tcp")
        self.assertIn("6 directions measured", out)

    def test_a_host_that_does_not_answer_is_named_and_the_rest_goes_on(self):
        names = [f"127.0.0.1:{self.serve('perf', 'mesh').port}", f"127.0.0.2:{self.serve('perf', 'mesh').port}"]
        silent = "127.0.0.3:1"
        code, out, _, document = mesh(names[0], silent, names[1], "--slow", "95", *QUICK)
        self.assertEqual(code, 1)
        self.assertIn(f"no answer: {silent}: ", out)
        self.assertEqual(document["silent"], 1)
        self.assertEqual({pair for pair, one in directions(document).items() if one["measured"]},
                         {(names[0], names[1]), (names[1], names[0])})

    def test_hosts_file_and_picture(self):
        names = [f"127.0.0.{i + 1}:{self.serve('perf', 'mesh').port}" for i in range(2)]
        with tempfile.TemporaryDirectory() as folder:
            listed, picture = os.path.join(folder, "hosts"), os.path.join(folder, "mesh.svg")
            with open(listed, "w", encoding="utf-8") as file:
                file.write(f"# the cluster\n{names[0]}  # the first\n\n{names[1]}\n")
            code, out, err, document = mesh("--hosts-file", listed, "--svg", picture, "--slow", "95", *QUICK)
            self.assertEqual(code, 1 if document["slow"] else 0, out + err)
            root = xml.etree.ElementTree.parse(picture).getroot()
        text = " ".join(root.itertext())
        for name in names:
            self.assertIn(name, text)
        self.assertEqual(len([one for one in root.iter() if one.tag.endswith("title")]), 2)

    def test_guests_do_not_wait_for_each_other_and_are_bounded(self):
        server = self.serve("perf", "mesh")
        with contextlib.ExitStack() as open_now:
            def say_hello(purpose):
                """The verdict of the server on a hello (link_hello.h) of this purpose."""
                guest = open_now.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                guest.sendall(struct.pack("<4sHHIQ12x", b"KPLK", 1, purpose, 0, 0))
                return struct.unpack("<4sHH8x", guest.recv(16, socket.MSG_WAITALL))[2], guest

            mesh_purpose, welcome, busy = 3, 0, 1
            guests = [say_hello(mesh_purpose) for _ in range(GUESTS_MAX)]
            self.assertEqual({verdict for verdict, _ in guests}, {welcome})
            self.assertEqual(say_hello(mesh_purpose)[0], busy)
            guests[0][1].close()
            while say_hello(mesh_purpose)[0] == busy:  # until the server has seen it go
                pass
            self.assertEqual(server.close(), 0)
            self.assertEqual(guests[1][1].recv(1), b"")

    def test_wrong_command_lines(self):
        for words in ([], ["a"], ["a", "a"], ["a", "b", "--port", "0"], ["--serve", "a"], ["a", "b", "--test", "fast"],
                      ["a", "b", "--slow", "100"], ["a:x", "b"], ["--hosts-file", "/nowhere/hosts"], ["a", "b", "--size", "2G"]):
            with self.subTest(words=words):
                code, out, err, _ = mesh(*words)
                self.assertEqual((code, out), (2, ""), err)
                self.assertIn("kolo perf mesh", err)

    def test_help(self):
        done = subprocess.run([KOLO, "perf", "mesh", "--help"], capture_output=True, text=True, timeout=hosts.LIMIT_S, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn("--hosts-file", done.stdout)


@unittest.skipUnless(NAMESPACES, NO_NAMESPACES)
class SlowLinks(unittest.TestCase):
    """Four hosts, two of them with a cable of their own; every link is limited, so that the processor is not the limit, and that
    cable more than the rest."""

    def measure(self, sick):
        with hosts.Hosts(4) as four:
            for host in range(4):
                four.serve(host, KOLO, "perf", "mesh", "--serve", "--port", PORT)
            four.cable(1, 2)
            try:
                for host in range(4):
                    four.limit(host, "200mbit")
                sick(four)
            except subprocess.CalledProcessError as error:
                self.skipTest("tc does not work here: " + error.stderr.strip())
            return mesh(*four.addresses, "--port", PORT, "--duration", "0.4",
                        runner=lambda *words: four.on(0, *words, check=False))

    def test_the_slow_direction_is_named(self):
        def sick(four):
            four.limit(1, "20mbit", "eth1")

        code, out, _, document = self.measure(sick)
        self.assertEqual(code, 1, out)
        self.assertIn("slow direction: 10.92.0.2 -> 10.92.0.3: ", out)
        self.assertNotIn("slow pair", out)
        slow = {pair for pair, one in directions(document).items() if one["slow_bandwidth"]}
        self.assertEqual(slow, {("10.92.0.2", "10.92.0.3")})
        self.assertGreater(directions(document)[("10.92.0.2", "10.92.0.3")]["below_median_percent"], 60)

    def test_the_slow_pair_is_named(self):
        def sick(four):
            four.limit(1, "20mbit", "eth1")
            four.limit(2, "20mbit", "eth1")

        code, out, _, document = self.measure(sick)
        self.assertEqual(code, 1, out)
        self.assertIn("slow pair: 10.92.0.2 <-> 10.92.0.3: ", out)
        slow = {pair for pair, one in directions(document).items() if one["slow_bandwidth"]}
        self.assertEqual(slow, {("10.92.0.2", "10.92.0.3"), ("10.92.0.3", "10.92.0.2")})


if __name__ == "__main__":
    unittest.main(verbosity=2)
